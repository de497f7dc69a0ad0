"""A live migration goes from one form to another, while its clients go on writing.

Where rows have to move, they are copied beside the table that serves everybody, as before a
cutover; then one short transaction makes the change. Killed at any moment, the same command goes
on where it was: the database knows the form that is under way, and how far the copy has come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import psycopg

from compat import catalog, state
from compat.compile import switch as compiled
from compat.connection import Connection
from compat.errors import StateError
from compat.log import event
from compat.mapping import Form, Mapping
from compat.run.copy import CopyOptions, CopyState, copy_between
from compat.run.dependents import dependents
from compat.run.retry import LockPolicy, in_transaction

_MATERIALISED: tuple[Form, ...] = ("instead_of", "bridged")


@dataclass(frozen=True)
class Switched:
    """What a switch did: `changed` is False when the migration had the form already.

    :param rows: how many rows the target was given; None where none had to move
    """

    mapping: str
    before: Form
    after: Form
    changed: bool
    seconds: float = 0.0
    rows: int | None = None


def switch(
    conn: Connection,
    name: str,
    to: Form,
    options: CopyOptions | None = None,
    on_progress: Callable[[CopyState], None] = lambda state: None,
) -> Switched:
    """Switch a migration that was cut over to another form.

    :raises MappingError: the mapping cannot have that form
    :raises StateError: the migration is in another phase, locks could not be had, or there is no
        way from the one form to the other
    :raises DataError: the target refuses a row
    """
    options = options or CopyOptions()
    started = time.monotonic()
    state.lock(conn, name)
    stored = state.load(conn, name)
    before, after = switchable(conn, stored, to)
    event("switch.start", mapping=name, before=before.chosen_form, after=to)
    rows = None
    if before.chosen_form == to:
        if stored.switching is None:
            return Switched(name, to, to, False)
        other = replace(before, form=stored.switching)
        _in_transaction(conn, compiled.abandon(before, other), options.lock_policy, name)
    elif before.chosen_form == "reversed":
        rows = _materialise(conn, stored, after, options, on_progress)
    else:
        _in_transaction(conn, compiled.unbridge(before, after), options.lock_policy, name)
    seconds = time.monotonic() - started
    event("switch.end", mapping=name, after=to, seconds=round(seconds, 4))
    return Switched(name, before.chosen_form, to, True, seconds, rows)


def switchable(conn: Connection, stored: state.Stored, to: Form) -> tuple[Mapping, Mapping]:
    """Return the mapping before and after a switch. Changes nothing.

    :raises MappingError: the mapping cannot have that form
    :raises StateError: it would be refused
    """
    before, name = stored.mapping, stored.mapping.name
    if stored.phase != "cutover":
        raise StateError(
            f"switch of {name!r} needs the phase cutover; it is {stored.phase}",
            "before the cutover, unexpand it and expand it in the other form",
        )
    if stored.stated != before:
        raise StateError(
            f"{name!r} reads through {', '.join(before.through)}",
            "contract the later migration first, or roll it back",
        )
    now = before.chosen_form
    after = before if to == now else replace(before, form=to)
    if stored.switching not in (None, to) and to != now:
        raise StateError(
            f"{name!r} is being switched to {stored.switching}",
            f"`compat switch {name} --to {now} --execute` takes that back",
        )
    if to != now and (now, to) not in _ways():
        raise StateError(
            f"there is no way from {now} to {to}",
            "roll it back, unexpand it, and expand it in the other form; nothing is lost",
        )
    if now == "reversed" and to != now:
        _require_free(conn, before, after)
    return before, after


def statements(before: Mapping, after: Mapping) -> list[str]:
    """Return the SQL of a switch, without that of its copy; none where there is nothing to do."""
    if before.chosen_form == after.chosen_form:
        return []
    if before.chosen_form == "reversed":
        return [*compiled.begin(before, after), *compiled.materialise(before, after)]
    return compiled.unbridge(before, after)


def _ways() -> set[tuple[Form, Form]]:
    return {("reversed", to) for to in _MATERIALISED} | {("bridged", "instead_of")}


def _require_free(conn: Connection, before: Mapping, after: Mapping) -> None:
    """Look for what could not follow the legacy name to a view, as before a cutover.

    :raises StateError: names it
    """
    relation = catalog.find_exact(conn, before.legacy.schema, before.legacy.name)
    if relation is None:
        return
    found = [item for item in dependents(conn, after, relation) if item.verdict == "refusal"]
    if found:
        lines = "".join(f"\n  {item.kind} {item.name}: {item.what_happens}" for item in found)
        raise StateError(f"switch of {before.name!r} is refused:{lines}", found[0].fix)


def _materialise(
    conn: Connection,
    stored: state.Stored,
    after: Mapping,
    options: CopyOptions,
    on_progress: Callable[[CopyState], None],
) -> int:
    """Fill the target beside the legacy table, and put it in its place; return its rows."""
    before, policy = stored.mapping, options.lock_policy
    name = before.name
    if stored.switching is None:
        _in_transaction(conn, compiled.begin(before, after), policy, name)
    between = compiled.materialising(before, after)
    result = copy_between(conn, name, between, options, on_progress)
    row = conn.execute(compiled.different(before, after)).fetchone()
    if row != (0,):
        raise StateError(
            f"{row[0] if row else 'some'} rows of {between.legacy.title} are not in "
            f"{between.target.title} as they are",
            f"`compat switch {name} --to reversed --execute` takes it back; then look at triggers "
            "of the target",
        )
    _in_transaction(conn, compiled.materialise(before, after), policy, name)
    return result.rows_seen


def _in_transaction(
    conn: Connection, statements: Iterable[str], policy: LockPolicy, name: str
) -> None:
    def work(conn: Connection) -> None:
        for statement in statements:
            conn.execute(statement)

    try:
        in_transaction(conn, work, policy, f"switch of {name!r}")
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise StateError(
            error.diag.message_primary or str(error), error.diag.message_hint
        ) from error
