"""Concurrency: two sessions write the same row through the view, and neither is told a lie.

The second one waits for the first, as on a table. Then it either re-checks the row, or is told to
try again (40001); what it must not do is to go on with what it read before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

import psycopg

from compat.compile.errors import key_lenses
from compat.compile.source import parents
from compat.connection import Connection, connect
from compat.errors import ConnectionFailed
from verify.context import Context, plural, shown
from verify.probes.statements import Cells, where
from verify.races import moves
from verify.races.moves import Change, Step
from verify.report import Finding, Result, does_not_hold, holds, not_run
from verify.scratch import CannotCopy, Scratch, keys_of_rows, opened

NAME = "concurrency"

# One of each table that has whole rows, and one without each part that may be missing.
_MOST_ROWS = 4

Row = dict[str, str | None]
Move = TypeVar("Move", Change, Step)

_DENIED = "a session was told that the row is not there, since another one had changed it"
_ALONE = "a session that was alone could not write the row"


@dataclass(frozen=True)
class Ending:
    """How a race ended.

    :param told: how many rows the second session was told that it wrote
    :param is_retry: whether it was told to try again instead
    :param row: the row as the view shows it afterwards; empty when it is gone
    :param is_first_denied: whether the first session could not even write a row that is there
    """

    told: int
    is_retry: bool
    row: Row
    is_first_denied: bool = False

    @property
    def is_denied(self) -> bool:
        """True when a row that is there was said not to be."""
        return bool(self.row) and not self.told and not self.is_retry


@dataclass(frozen=True)
class Race:
    """Two statements on one row, the second while the first is not committed.

    :param kind: a stable word for programs
    :param operation: the trigger function that must guard the second statement
    :param lie: returns what is wrong with an ending, or None
    :param is_referenced: whether the row seems to be one that other tables refer to
    :param before: a statement that is committed first
    """

    kind: str
    title: str
    first: str
    second: str
    operation: str
    lie: Callable[[Ending], str | None]
    is_referenced: bool = False
    before: str | None = None


def check(context: Context) -> Result:
    """Return whether concurrent writers through the view see each other's work.

    :raises psycopg.Error: the role may not create a schema, or the view is not there
    """
    context = context.facing
    reason = _why_not(context)
    if reason is not None:
        return not_run(NAME, reason)
    try:
        with opened(context, rows=1) as scratch:
            return _run(context, scratch)
    except (CannotCopy, ConnectionFailed) as error:
        return not_run(NAME, str(error))


def _why_not(context: Context) -> str | None:
    conn = context.conn
    if conn.execute("SHOW transaction_read_only").fetchone() == ("on",):
        return "this connection may only read (a standby, or default_transaction_read_only)"
    row = conn.execute(
        "SELECT has_database_privilege(current_database(), 'CREATE'), current_user::text,"
        " current_database()"
    ).fetchone()
    assert row is not None
    if not row[0]:
        return (
            f"permission denied: {row[1]} may not create a schema in {row[2]}, which the races "
            "need for a copy of the view; grant it, or leave the check out with --checks"
        )
    return None


def _run(context: Context, scratch: Scratch) -> Result:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(connect(scratch.url, autocommit=False, purpose="verify race"))
            for _ in range(2)
        )
        track = _Track(scratch, first, second, stack.enter_context(ThreadPoolExecutor(1)))
        keys = keys_of_rows(first, scratch, _MOST_ROWS)
        races = [(key, race) for key in keys for race in _races(first, scratch, key)]
        races += _races_of_two_rows(first, scratch, keys)
        first.rollback()
        if not races:
            return not_run(NAME, "no update could be made up that the view accepts")
        found: dict[str, Finding] = {}
        for key, race in races:
            ending = track.run(race, key)
            lie = _ALONE if ending.is_first_denied else race.lie(ending)
            if lie is not None:
                finding = Finding(race.kind, race.title, lie + _where(context, race))
                found.setdefault(race.title, finding)
        findings = list(found.values())
    numbers = (("races", len(races)),)
    if not findings:
        return holds(
            NAME, f"{plural(len(races), 'race')} of two sessions, none lost", numbers=numbers
        )
    lost = ", ".join(finding.subject for finding in findings)
    return does_not_hold(
        NAME,
        f"{len(findings)} of {plural(len(races), 'race')} of two sessions lost a write: {lost}",
        tuple(findings),
        numbers=numbers,
    )


def _where(context: Context, race: Race) -> str:
    if context.mapping.chosen_form != "instead_of":
        return ""
    return f" (the guard of {context.mapping.function(race.operation)})"


@dataclass(frozen=True)
class _Track:
    """Two sessions, and a thread in which the second one may wait for the first."""

    scratch: Scratch
    first: Connection
    second: Connection
    thread: ThreadPoolExecutor

    def run(self, race: Race, key: Cells) -> Ending:
        """Let two sessions race for a row that is as it was at the beginning.

        :raises psycopg.Error: a statement was refused for another reason than the other session
        """
        self.scratch.reset(self.first)
        for conn in (self.first, self.second):
            self.scratch.pretend(conn, is_referenced=race.is_referenced)
        if race.before is not None:
            self.first.execute(race.before)
            self.scratch.check_apart(self.first)
            self.first.commit()
        if not self._is_done_by_first(race):
            self.first.rollback()
            return Ending(0, False, {}, is_first_denied=True)
        self.scratch.check_apart(self.first)
        answer = self.thread.submit(self._second, race.second)
        self._await_blocked(answer)
        self.first.commit()
        told, is_retry = answer.result()
        row = moves.shown(self.first, self.scratch, key)
        self.first.rollback()
        return Ending(told, is_retry, row)

    def _is_done_by_first(self, race: Race) -> bool:
        """Return whether the first session, in whose way nobody is, was told that it wrote."""
        try:
            return self.first.execute(race.first).rowcount == 1
        except (psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation):
            return False

    def _second(self, statement: str) -> tuple[int, bool]:
        try:
            written = self.second.execute(statement).rowcount
            self.scratch.check_apart(self.second)
            self.second.commit()
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            self.second.rollback()
            return 0, True
        except psycopg.errors.UniqueViolation:
            self.second.rollback()
            return 0, False
        return written, False

    def _await_blocked(self, answer: Future[tuple[int, bool]]) -> None:
        """Return when the second session waits for the first one, or is through already."""
        pid = self.second.info.backend_pid
        while not answer.done():
            blocked = self.first.execute(
                "SELECT pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(%s))", [pid]
            ).fetchone()
            if blocked == (True,):
                return
            wait([answer], timeout=0.002)


def _races(conn: Connection, scratch: Scratch, key: Cells) -> Iterator[Race]:
    """Yield the races, each in all branches that a trigger may take for a row.

    The update of a row has a statement of its own for columns of keys, converted and renamed ones;
    the delete, for rows that others refer to.
    """
    possible = list(moves.changes(conn, scratch, key))
    here, view = where(key), scratch.view
    for step in _one_of_each_kind(scratch, moves.steps(conn, scratch, key)):
        yield _increment(step, view, here)
    deletes = [_two_deletes(view, here)]
    for change in _one_of_each_kind(scratch, possible):
        yield _claim(change, view, here)
        yield _update_of_deleted(change, view, here)
        others = [item for item in possible if item.column != change.column]
        for other in _one_of_each_kind(scratch, others):
            yield _two_columns(other, change, view, here)
        yield from _two_inserts(conn, scratch, key, change)
        deletes += [_stale_delete(change, view, here), _delete_of_updated(change, view, here)]
    yield from deletes
    if scratch.asks_for_references:
        for race in deletes:
            title = f"{race.title}, of a row with references"
            yield replace(race, title=title, is_referenced=True)


def _races_of_two_rows(
    conn: Connection, scratch: Scratch, keys: list[Cells]
) -> Iterator[tuple[Cells, Race]]:
    """Yield races of two rows that get the same new parent: neither is in the other's way.

    With each the key that the first of the rows has afterwards.
    """
    if len(keys) < 2:
        return
    held = [lens for place in parents(scratch.mapping) for lens in scratch.mapping.lenses_of(place)]
    here, there = (where(key) for key in keys[:2])
    for change in moves.changes(conn, scratch, keys[0]):
        if change.lens not in held:
            continue
        title = f"two rows that get the same {change.column}"
        first, second = (moves.update(scratch, change, condition) for condition in (here, there))
        yield keys[0], Race("denied", title, first, second, "update", _denied)
        new_keys = moves.new_keys(conn, scratch, change, keys[:2])
        if new_keys:
            first, second = (
                moves.update(scratch, change, condition, new_key)
                for condition, new_key in zip((here, there), new_keys, strict=True)
            )
            title += " and another key"
            yield new_keys[0], Race("denied", title, first, second, "update", _denied)
        rows = [moves.shown(conn, scratch, key) for key in keys[:2]]
        inserts = [moves.insert(conn, scratch, row | {change.column: change.after}) for row in rows]
        if None not in inserts:
            first, second = map(str, inserts)
            title = f"inserts of two rows with the same {change.column}"
            before = f"DELETE FROM {scratch.view} WHERE {here} OR {there}"
            yield keys[0], Race("denied", title, first, second, "insert", _denied, before=before)


def _denied(ending: Ending) -> str | None:
    return _DENIED if ending.is_denied else None


def _one_of_each_kind(scratch: Scratch, moves: Iterable[Move]) -> list[Move]:
    """Return the first on a column of a key, on another one that is renamed, and on a converted.

    All, where some columns decide which table a row is in, and others do not.
    """
    if scratch.mapping.choices:
        return list(moves)
    of_keys = key_lenses(scratch.mapping)
    first: dict[tuple[bool, bool], Move] = {}
    for move in moves:
        is_of_key = move.lens in of_keys
        first.setdefault((is_of_key, not is_of_key and move.lens.converts), move)
    return [move for _, move in sorted(first.items(), key=lambda item: item[0], reverse=True)]


def _increment(step: Step, view: str, here: str) -> Race:
    def lie(ending: Ending) -> str | None:
        told = 1 + ending.told
        if ending.is_denied:
            return _DENIED
        if (found := ending.row.get(step.column)) == step.values[told]:
            return None
        return (
            f"{told} sessions were told that SET {step.assignment} was done; {step.column} went "
            f"from {shown(step.values[0])} to {shown(found)} instead of {shown(step.values[told])}"
        )

    statement = f"UPDATE {view} SET {step.assignment} WHERE {here}"
    title = f"two increments of {step.column}"
    return Race("lost update", title, statement, statement, "update", lie)


def _claim(change: Change, view: str, here: str) -> Race:
    def lie(ending: Ending) -> str | None:
        if ending.told == 0 and ending.row.get(change.column) == change.after:
            return None
        return (
            f"two sessions both claimed the row while {change.column} was {shown(change.before)}, "
            "and both were told that they have it"
        )

    statement = f"UPDATE {view} SET {change.assignment} WHERE {here} AND {change.is_unchanged}"
    title = f"two claims by {change.column}"
    return Race("double claim", title, statement, statement, "update", lie)


def _stale_delete(change: Change, view: str, here: str) -> Race:
    def lie(ending: Ending) -> str | None:
        if ending.told == 0 and ending.row:
            return None
        return (
            f"a session deleted the row WHERE {change.column} = {shown(change.before)} after "
            f"another had made it {shown(change.after)}"
        )

    return Race(
        "stale delete",
        f"delete by a {change.column} that changes",
        f"UPDATE {view} SET {change.assignment} WHERE {here}",
        f"DELETE FROM {view} WHERE {here} AND {change.is_unchanged}",
        "delete",
        lie,
    )


def _delete_of_updated(change: Change, view: str, here: str) -> Race:
    return Race(
        "lost delete",
        f"delete of a row whose {change.column} changes",
        f"UPDATE {view} SET {change.assignment} WHERE {here}",
        f"DELETE FROM {view} WHERE {here}",
        "delete",
        _denied,
    )


def _update_of_deleted(change: Change, view: str, here: str) -> Race:
    def lie(ending: Ending) -> str | None:
        if ending.told == 0 and not ending.row:
            return None
        return f"an update of {change.column} was told that it wrote a row that was just deleted"

    return Race(
        "phantom update",
        f"update of {change.column} in a row that is deleted",
        f"DELETE FROM {view} WHERE {here}",
        f"UPDATE {view} SET {change.assignment} WHERE {here}",
        "update",
        lie,
    )


def _two_columns(first: Change, second: Change, view: str, here: str) -> Race:
    def lie(ending: Ending) -> str | None:
        if ending.is_denied:
            return _DENIED
        wanted = {first.column: first.after}
        if ending.told:
            wanted[second.column] = second.after
        lost = [name for name, value in wanted.items() if ending.row.get(name) != value]
        if not lost:
            return None
        return f"{', '.join(lost)}: one session's value was overwritten by the other's old one"

    return Race(
        "lost update",
        f"updates of {first.column} and {second.column} side by side",
        f"UPDATE {view} SET {first.assignment} WHERE {here}",
        f"UPDATE {view} SET {second.assignment} WHERE {here}",
        "update",
        lie,
    )


def _two_inserts(conn: Connection, scratch: Scratch, key: Cells, change: Change) -> Iterator[Race]:
    """Yield the race of two sessions for a key that no row has, where such rows can be inserted."""

    def lie(ending: Ending) -> str | None:
        if ending.told == 0 and ending.row.get(change.column) == change.before:
            return None
        return "two sessions were both told that they inserted a row with the same key"

    row = moves.shown(conn, scratch, key)
    first = moves.insert(conn, scratch, row)
    second = moves.insert(conn, scratch, row | {change.column: change.after})
    if first is not None and second is not None:
        title = f"two inserts of one key with another {change.column}"
        before = moves.delete(scratch, key)
        yield Race("double insert", title, first, second, "insert", lie, before=before)


def _two_deletes(view: str, here: str) -> Race:
    def lie(ending: Ending) -> str | None:
        if ending.told == 0 and not ending.row:
            return None
        return "two sessions were both told that they deleted the row"

    statement = f"DELETE FROM {view} WHERE {here}"
    return Race("double delete", "two deletes", statement, statement, "delete", lie)
