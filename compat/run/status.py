"""Where each migration of a database stands, and what comes next.

What is told is read from the database at this moment, not remembered.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from compat import state
from compat.catalog import estimate_rows
from compat.connection import Connection
from compat.run import defaults, health, verifications
from compat.run.move import MoveRun, runs
from compat.run.preflight import Demands, held_up


@dataclass(frozen=True)
class Command:
    """A command of ours that is at work on a migration at this moment."""

    pid: int
    name: str
    since: datetime


@dataclass(frozen=True)
class Verified:
    """The last run of `compat-verify` over a migration."""

    verdict: verifications.Verdict
    checks: tuple[str, ...]
    at: datetime
    age: timedelta


@dataclass(frozen=True)
class Status:
    """One migration: its phase, its copy, what is wrong with it, and the next step.

    :param problems: what is not as it must be in this phase
    :param rejects: rows that could not be copied
    :param indexes_to_build: indexes of the target that the copy has put off
    :param not_validated: constraints of the target that its older rows were not checked against
    :param twins: foreign keys that reference the target beside the table, until contract
    :param verified: the last run, whatever it found
    :param command: what is at work right now
    :param held_up_by: transactions for whose locks a step would have to wait
    :param switching: the form to which a switch is under way
    """

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
    rejects: int = 0
    indexes_to_build: int = 0
    not_validated: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    verified: Verified | None = None
    command: Command | None = None
    held_up_by: tuple[str, ...] = ()
    switching: str | None = None


@dataclass(frozen=True)
class Event:
    """Something that the database remembers of a migration."""

    at: datetime
    step: str
    detail: dict[str, Any]


def status(conn: Connection, name: str | None = None) -> tuple[Status, ...]:
    """Return the status of one migration, or of all.

    :raises StateError: there is none of that name
    """
    moves = [run for run in runs(conn) if name in (None, run.mapping.name)]
    stored = state.load_all(conn) if name is None or moves else (state.load(conn, name),)
    return (
        *(_status(conn, item) for item in stored if name in (None, item.mapping.name)),
        *map(_status_of_move, moves),
    )


def _status_of_move(run: MoveRun) -> Status:
    name, ended = shlex.quote(run.mapping.name), run.undone_at or run.finished_at
    if run.undone_at is not None:
        phase, next_step = "taken back", f"nothing, or compat move {name} --execute"
    elif run.finished_at is not None:
        phase, next_step = "moved", f"nothing (or compat unmove {name} --execute)"
    else:
        phase, next_step = "moving", f"compat move {name} --execute (goes on where it was)"
    return Status(
        mapping=run.mapping.name,
        legacy=f"{run.mapping.legacy.title} in {run.source}",
        target=run.mapping.target.title,
        form="another database",
        phase=phase,
        since=ended or run.started_at,
        rows=run.tally.found,
        rows_copied=run.moved_in_all,
        problems=(),
        next_step=next_step,
    )


def history(conn: Connection, name: str) -> tuple[Event, ...]:
    """Return the steps and verifications of a migration, the oldest first.

    A migration that was taken back is still remembered by its steps.

    :raises StateError: nothing is remembered under that name
    """
    if not state.is_installed(conn):
        state.load(conn, name)
    rows = conn.execute(
        "SELECT at, step, detail FROM compat.event WHERE mapping = %(name)s UNION ALL"
        " SELECT finished_at, 'verify', jsonb_build_object('verdict', verdict, 'checks', checks,"
        " 'phase', phase) FROM compat.verification WHERE mapping = %(name)s ORDER BY 1",
        {"name": name},
    ).fetchall()
    if not rows:
        state.load(conn, name)
    return tuple(Event(*row) for row in rows)


def _status(conn: Connection, stored: state.Stored) -> Status:
    mapping = stored.mapping
    physical = mapping.retired_name if stored.phase == "cutover" else mapping.legacy.name
    if stored.phase in ("contracted", "published"):
        rows = estimate_rows(conn, mapping.target.schema, mapping.target.name)
    else:
        rows = estimate_rows(conn, mapping.legacy.schema, physical)
    rejects, indexes = state.count_rejects(conn, mapping.name), _indexes_to_build(conn, stored)
    command, runs = _command(conn, mapping.name), verifications.history(conn, mapping.name)
    holders = () if stored.phase == "contracted" else held_up(conn, stored, _OLD)
    return Status(
        mapping=mapping.name,
        legacy=mapping.legacy.title,
        target=mapping.target.title,
        form=mapping.chosen_form,
        phase=stored.phase,
        since=stored.changed_at,
        rows=rows,
        rows_copied=stored.progress.rows_copied if stored.progress else None,
        problems=health.problems(conn, stored),
        next_step=_next_step(stored, rejects, indexes, command, runs),
        rejects=rejects,
        indexes_to_build=indexes,
        not_validated=health.not_validated(conn, mapping),
        twins=_twins(conn, mapping.name),
        verified=_verified(runs),
        command=command,
        held_up_by=tuple(holder.text for holder in holders),
        switching=stored.switching,
    )


_OLD = Demands.max_transaction_age


def _indexes_to_build(conn: Connection, stored: state.Stored) -> int:
    row = conn.execute(
        "SELECT count(*) FROM compat.deferred_index WHERE mapping = %s", [stored.mapping.name]
    ).fetchone()
    assert row is not None
    return int(row[0])


def _twins(conn: Connection, name: str) -> tuple[str, ...]:
    rows = conn.execute(
        "SELECT referencing::text || '.' || quote_ident(twin_name)"
        " FROM compat.foreign_key_twins(%s)",
        [name],
    ).fetchall()
    return tuple(row[0] for row in rows)


def _verified(runs: tuple[verifications.Verification, ...]) -> Verified | None:
    if not runs:
        return None
    last = runs[0]
    return Verified(last.verdict, last.checks, last.finished_at, last.age)


def _command(conn: Connection, name: str) -> Command | None:
    """Return who holds the advisory lock of a migration, if it is not we ourselves."""
    row = conn.execute(
        "SELECT a.pid, a.application_name, a.backend_start"
        " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid,"
        " hashtextextended(%s, 0) AS key"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
        "  WHERE datname = current_database())"
        " AND (l.classid::bigint << 32 | l.objid::bigint) = key AND l.pid <> pg_backend_pid()",
        [state.LOCK_PREFIX + name],
    ).fetchone()
    return None if row is None else Command(*row)


def _next_step(
    stored: state.Stored,
    rejects: int,
    indexes: int,
    command: Command | None,
    runs: tuple[verifications.Verification, ...],
) -> str:
    name = shlex.quote(stored.mapping.name)
    if command is not None:
        return f"wait: {command.name or 'a command'} (pid {command.pid}) is at work on it"
    if stored.switching is not None:
        return (
            f"compat switch {name} --to {stored.switching} --execute (resumes; --to "
            f"{stored.mapping.chosen_form} takes it back)"
        )
    if stored.mapping.chosen_form == "reversed" and stored.phase == "cutover":
        return (
            f"compat-verify; then compat switch {name} --to instead_of --execute (or compat "
            f"rollback {name} --execute)"
        )
    if stored.phase in state.BEFORE_CUTOVER and indexes:
        built = "1 index is" if indexes == 1 else f"{indexes} indexes are"
        return f"compat copy {name} --execute ({built} still to be built)"
    if stored.phase == "copied" and rejects:
        return f"correct the rejected rows, then compat retry-rejects {name} --execute"
    if stored.phase == "copied":
        fresh = defaults.VERIFIED_WITHIN
        is_green = verifications.objection(runs, stored.fingerprint, fresh) is None
        return ("" if is_green else "compat-verify, then ") + f"compat cutover {name} --execute"
    return {
        "expanded": f"compat copy {name} --execute",
        "copying": f"compat copy {name} --execute (resumes)",
        "cutover": f"compat-verify; then compat contract {name} --execute once nobody uses the "
        f"view (or compat rollback {name} --execute)",
        "contracted": "nothing: only v2 is left",
        "published": f"nothing; compat unpublish {name} --execute once nobody uses the view",
    }[stored.phase]
