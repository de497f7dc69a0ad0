"""Where each migration of a database stands, and what comes next.

What is told is read from the database at this moment, not remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from compat import state
from compat.catalog import estimate_rows, find_exact
from compat.connection import Connection


@dataclass(frozen=True)
class Status:
    """One migration: its phase, its copy, what is wrong with it, and the next step."""

    mapping: str
    legacy: str
    target: str
    form: str
    phase: str
    since: datetime
    rows: int
    rows_copied: int | None
    problems: tuple[str, ...]
    next_step: str


def status(conn: Connection, name: str | None = None) -> tuple[Status, ...]:
    """Return the status of one migration, or of all.

    :raises StateError: there is none of that name
    """
    stored = state.load_all(conn) if name is None else (state.load(conn, name),)
    return tuple(_status(conn, item) for item in stored)


def _status(conn: Connection, stored: state.Stored) -> Status:
    mapping = stored.mapping
    physical = mapping.retired_name if stored.phase == "cutover" else mapping.legacy.name
    if stored.phase == "contracted":
        rows = estimate_rows(conn, mapping.target.schema, mapping.target.name)
    else:
        rows = estimate_rows(conn, mapping.legacy.schema, physical)
    return Status(
        mapping=mapping.name,
        legacy=mapping.legacy.title,
        target=mapping.target.title,
        form=mapping.chosen_form,
        phase=stored.phase,
        since=stored.changed_at,
        rows=rows,
        rows_copied=stored.progress.rows_copied if stored.progress else None,
        problems=tuple(_problems(conn, stored)),
        next_step=_next_step(stored),
    )


def _problems(conn: Connection, stored: state.Stored) -> list[str]:
    mapping, schema = stored.mapping, stored.mapping.legacy.schema
    expected = [(mapping.target.schema, mapping.target.name, "table")]
    if stored.phase == "cutover":
        expected += [(schema, mapping.legacy.name, "view"), (schema, mapping.retired_name, "table")]
    elif stored.phase != "contracted":
        expected += [(schema, mapping.legacy.name, "table"), (schema, mapping.standby_name, "view")]
    kinds = {"r": "table", "p": "table", "v": "view"}
    problems = []
    for where, name, kind in expected:
        relation = find_exact(conn, where, name)
        if relation is None:
            problems.append(f"{where}.{name} is missing")
        elif kinds.get(relation.kind) != kind:
            problems.append(f"{where}.{name} is not a {kind}")
    return [*problems, *_trigger_problems(conn, stored)]


def _trigger_problems(conn: Connection, stored: state.Stored) -> list[str]:
    """Without the sync the two tables part silently: look whether its triggers are there and on."""
    mapping = stored.mapping
    if stored.phase == "contracted":
        return []
    purpose, schema, name = "sync", mapping.legacy.schema, mapping.legacy.name
    if stored.phase == "cutover":
        purpose, schema, name = "reverse", mapping.target.schema, mapping.target.name
    relation = find_exact(conn, schema, name)
    if relation is None:
        return []
    row = conn.execute(
        "SELECT count(*) FROM pg_catalog.pg_trigger"
        " WHERE tgrelid = %s AND tgenabled <> 'D' AND tgfoid = to_regprocedure(%s)",
        [relation.oid, f"{mapping.function(purpose)}()"],
    ).fetchone()
    if row == (2,):
        return []
    return [f"the sync triggers on {schema}.{name} are missing or disabled: writes do not pass"]


def _next_step(stored: state.Stored) -> str:
    name = stored.mapping.name
    return {
        "expanded": f"compat copy {name} --execute",
        "copying": f"compat copy {name} --execute (resumes)",
        "copied": f"compat-verify, then compat cutover {name} --execute",
        "cutover": f"compat-verify; then compat contract {name} --execute once nobody uses the "
        f"view (or compat rollback {name} --execute)",
        "contracted": "nothing: only v2 is left",
    }[stored.phase]
