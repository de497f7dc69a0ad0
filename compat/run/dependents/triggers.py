"""Triggers on the legacy table, and event triggers that its steps set off."""

from __future__ import annotations

from collections.abc import Iterator

from compat import catalog
from compat.connection import Connection
from compat.mapping import Mapping
from compat.run.dependents.dependent import Dependent


def triggers(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    """Yield the triggers on it that are not ours."""
    # tgtype: 1 a row, 2 before it, 32 TRUNCATE.
    rows = conn.execute(
        "SELECT quote_ident(t.tgname), t.tgtype & 1 = 1, t.tgtype & 2 = 2, t.tgtype & 32 = 32,"
        " m.trigger IS NOT NULL, t.tgenabled = 'D', p.prosrc ~* '\\mcurrent_(user|role)\\M'"
        " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
        " LEFT JOIN compat.movable_triggers(%(oid)s) m ON m.trigger = t.oid"
        " WHERE t.tgrelid = %(oid)s AND NOT t.tgisinternal AND t.tgname NOT LIKE '00\\_compat%%'"
        " ORDER BY 1",
        {"oid": relation.oid},
    ).fetchall()
    fires = "fires on the retired table until contract, with its owner's rights"
    for name, of_row, is_before, on_truncate, is_movable, is_off, asks_who in rows:
        if is_off:
            yield Dependent("trigger", name, "fine", "is off")
        elif is_movable and mapping.chosen_form == "instead_of":
            yield Dependent(
                "trigger",
                name,
                "fine",
                "moves to the view at the cutover, and back at a rollback; does not fire for what "
                "is written to the target",
            )
        elif of_row and is_before:
            yield Dependent(
                "trigger",
                name,
                "warning",
                f"{fires}: a row that it changes is changed there only",
                "if it changes rows, move it to the target before the cutover",
            )
        elif not of_row and not on_truncate:
            yield Dependent(
                "trigger",
                name,
                "warning",
                f"{fires}, once for each row that changes instead of once for a statement",
                "let it count rows, or make one for the target and drop it before the cutover",
            )
        elif asks_who:
            yield Dependent(
                "trigger",
                name,
                "warning",
                f"{fires}: current_user is the owner there",
                "let it use session_user, or make one for the target",
            )
        else:
            yield Dependent(
                "trigger", name, "fine", f"{fires}; move it to the target if v2 needs it"
            )


def event_triggers(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield the event triggers, which fire for the commands of each step."""
    for (name,) in conn.execute(
        "SELECT quote_ident(evtname) FROM pg_event_trigger WHERE evtenabled <> 'D'"
        " AND evtevent <> 'login' ORDER BY 1"
    ):
        yield Dependent("event trigger", name, "fine", "fires for the commands of each step")
