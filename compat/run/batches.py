"""One range of a copy, batch by batch: each is committed together with its progress.

Runs wherever an executor sends it, on a connection of its own, for as long as the command that
sent it lives. A row that the target refuses is found by halving the batch, and set aside.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psycopg

from compat import state
from compat.compile import copy as compiled
from compat.compile import lookups
from compat.connection import Connection, connect
from compat.errors import DataError, StateError
from compat.log import event
from compat.mapping import Mapping
from compat.run.pace import Pace
from compat.run.quiet import copying
from compat.run.retry import LockPolicy, in_transaction

Key = list[str] | None

REFUSALS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.RaiseException,
    psycopg.errors.ProgramLimitExceeded,  # a value is too long for an index
)
"""What PostgreSQL, a constraint, or a trigger of the target's own says of a row that it refuses."""


class Abandoned(StateError):
    """The command that sent a worker has ended, or has lost its connection."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to copy one range.

    :param url: of the database; not shown, since it may hold a password
    :param document: the mapping, as JSON
    :param leader: of the command that sends it, as `state.leading` names it
    :param number: of the range in compat.copy_range; None for the whole table, unrecorded
    :param where: only such rows, with `number` None
    """

    url: str = field(repr=False)
    document: str = field(repr=False)
    name: str
    leader: str
    number: int | None
    pace: Pace
    max_rejects: int
    lock_policy: LockPolicy
    where: str | None = None


@dataclass(frozen=True)
class Copied:
    """What became of the rows of one or many batches."""

    seen: int = 0
    copied: int = 0
    rejected: int = 0

    def __add__(self, other: Copied) -> Copied:
        return Copied(
            self.seen + other.seen, self.copied + other.copied, self.rejected + other.rejected
        )


def copy_range(job: Job) -> Copied:
    """Copy what is left of one range, and mark it as finished.

    :raises DataError: more rows are refused than may be set aside; names one of them
    :raises StateError: the migration was taken back, or rows stay locked
    """
    with connect(job.url, purpose="copy worker") as conn:
        return _Range(conn, job).run()


class _Range:
    """The state of one range while it is copied: where it is, and how many rows it takes next."""

    def __init__(self, conn: Connection, job: Job) -> None:
        self.conn, self.job = conn, job
        self.mapping = Mapping.from_json(job.document)
        self.batch = compiled.batch(self.mapping, job.where)
        self.next_key = compiled.next_key(self.mapping, job.where)
        self.settle = lookups.settle(self.mapping)
        self.after, self.upto, self.is_finished = self._bounds()
        self.size = job.pace.first_size()

    def run(self) -> Copied:
        # No batch waits for the disk: a crash takes its progress along with its rows, and whatever
        # is committed later, as a client's change of such a row, or the end of the copy, saves it.
        self.conn.execute("SET synchronous_commit = off")
        with copying(self.conn, self.mapping):
            return self._copy()

    def _copy(self) -> Copied:
        total = Copied()
        while not self.is_finished:
            started = time.monotonic()
            try:
                done = self._in_transaction(self._copy_batch)
            except REFUSALS:
                # Which row it is, is found by halving: the rows before it are committed meanwhile.
                if self.size > 1:
                    self.size = max(1, self.size // 4)
                    continue
                done = self._in_transaction(self._copy_or_reject)
            total += done
            seconds = time.monotonic() - started
            self.size = self.job.pace.next_size(self.size, done.seen, seconds)
            if not self.is_finished:
                self.job.pace.rest(self.conn, done.seen, seconds, self._is_led)
        return total

    def _bounds(self) -> tuple[Key, Key, bool]:
        """Return the last key copied (or that of the range before), the last one, and the end."""
        if self.job.number is None:
            return None, None, False
        row = self.conn.execute(
            "SELECT COALESCE(r.last_key, (SELECT p.upto FROM compat.copy_range AS p"
            "  WHERE p.mapping = r.mapping AND p.number = r.number - 1)), r.upto, r.finished"
            " FROM compat.copy_range AS r WHERE r.mapping = %s AND r.number = %s",
            [self.job.name, self.job.number],
        ).fetchone()
        if row is None:
            raise _taken_back(self.job.name)
        return row[0], row[1], row[2]

    def _in_transaction(self, work: Callable[[Connection], tuple[Key, Copied]]) -> Copied:
        what = f"a batch of the copy of {self.job.name!r}"
        last, done = in_transaction(self.conn, work, self.job.lock_policy, what)
        self.is_finished = last is None
        self.after = last or self.after
        return done

    def _copy_batch(self, conn: Connection) -> tuple[Key, Copied]:
        # Unprepared: a generic plan would not use the key range, and read from the beginning.
        bounds = {"after": self.after, "upto": self.upto, "size": self.size}
        row = conn.execute(self.batch, bounds, prepare=False).fetchone()
        assert row is not None
        for statement in self.settle:
            conn.execute(statement)
        seen, copied, last = row
        done = Copied(seen, copied)
        self._advance(last, done)
        return last, done

    def _copy_or_reject(self, conn: Connection) -> tuple[Key, Copied]:
        bounds = {"after": self.after, "upto": self.upto}
        row = conn.execute(self.next_key, bounds, prepare=False).fetchone()
        if row is None:
            self._advance(None, Copied())
            return None, Copied()
        key: list[str] = row[0]
        done = copy_or_reject(conn, self.mapping, key, self.job.max_rejects)
        self._advance(key, done)
        return key, done

    def _advance(self, last: Key, done: Copied) -> None:
        """Record what was copied, in the transaction that copies it.

        :raises StateError: the migration was taken back, or the command has ended
        """
        # In the batch's transaction: what is committed was wanted until now.
        if not self._is_led():
            raise Abandoned(f"the command that copies {self.job.name!r} has ended")
        if self.job.number is None:
            return
        updated = self.conn.execute(
            "UPDATE compat.copy_range SET last_key = COALESCE(%s, last_key),"
            " rows_seen = rows_seen + %s, rows_copied = rows_copied + %s, finished = %s"
            " WHERE mapping = %s AND number = %s AND NOT finished"
            " AND (last_key IS NULL OR last_key = %s)",
            [
                last,
                done.seen,
                done.copied,
                last is None,
                self.job.name,
                self.job.number,
                self.after,
            ],
        ).rowcount
        if not updated:
            self._bounds()  # says so when there is no such range any more
            raise Abandoned(
                f"the worker of another command copies the same rows of {self.job.name!r}"
            )

    def _is_led(self) -> bool:
        return state.is_led(self.conn, self.job.leader)


def copy_or_reject(conn: Connection, mapping: Mapping, key: list[str], most: int | None) -> Copied:
    """Copy one row, or set it aside with the reason; part of the caller's transaction.

    :param most: how many rows of this migration may be set aside in all; None for any number
    :raises DataError: one more would be too many; names the row, the reason and the fix
    """
    try:
        with conn.transaction():  # a savepoint
            # Else a constraint that is deferred would speak up at the commit, too late to catch.
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
            row = conn.execute(compiled.retry(mapping), {"key": key}, prepare=False).fetchone()
            assert row is not None
            return Copied(row[0], row[1])
    except REFUSALS as error:
        reason = _reason(error)
        event("reject", logging.WARNING, mapping=mapping.name, sqlstate=error.sqlstate)
        conn.execute(
            compiled.reject(mapping), {"key": key, "sqlstate": error.sqlstate, "reason": reason}
        )
        if most is not None and _count_alone(conn, mapping.name) > most:
            raise _refused(mapping, key, reason, error.sqlstate, most) from error
        return Copied(seen=1, rejected=1)


def _count_alone(conn: Connection, name: str) -> int:
    """Return how many rows have been set aside, by all workers: one adds to them at a time."""
    conn.execute("SELECT FROM compat.copy_progress WHERE mapping = %s FOR UPDATE", [name])
    return state.count_rejects(conn, name)


def _reason(error: psycopg.Error) -> str:
    parts = (error.diag.message_primary, error.diag.message_detail)
    return "; ".join(part for part in parts if part)


def _refused(
    mapping: Mapping, key: list[str], reason: str, sqlstate: str | None, most: int
) -> DataError:
    columns = zip(mapping.legacy.row_key, key, strict=True)
    row = ", ".join(f"{name} = {value}" for name, value in columns)
    counted = f"; {most:,} rows have been set aside already" if most else ""
    return DataError(
        f"{mapping.legacy.title}: the row with {row} cannot be carried over{counted}\n"
        f"  {reason} (SQLSTATE {sqlstate})",
        "correct the row and copy again, set such rows aside with --max-rejects, or take the "
        "expand back and change the mapping",
    )


def _taken_back(name: str) -> StateError:
    return StateError(f"{name!r} was taken back while its rows were copied")
