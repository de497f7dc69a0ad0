"""Rows that arrive in another database: staged, converted, inserted, batch by batch.

Each batch is committed together with its progress and the keys that it inserted; a row that the
target refuses is found by halving its batch.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from typing import Any, Final, Literal

import psycopg
from psycopg.abc import Buffer

from compat import catalog, state
from compat.compile import move as compiled
from compat.compile.move import Batch, Rows
from compat.connection import Connection
from compat.errors import DataError
from compat.log import event
from compat.mapping import Mapping
from compat.run import defaults
from compat.run.batches import REFUSALS
from compat.run.pace import Pace
from compat.run.retry import LockPolicy, in_transaction

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, no flags, no extension
_TRAILER: Final = b"\xff\xff"
_CHUNK_BYTES: Final = 64 * 1024

What = Literal["moved", "different", "orphan", "rejected"]


@dataclass(frozen=True)
class MoveOptions:
    """How to go about it.

    :param condition: SQL over the legacy columns, besides the mapping's own
    :param max_rejects: rows that may be set aside; one more ends an execution
    :param listed: rows of each kind to name in the result
    :param list_moved: name the rows that are moved, too
    """

    condition: str | None = None
    pace: Pace = field(default_factory=lambda: Pace(batch_size=10_000, batch_seconds=0))
    max_rejects: int = defaults.MAX_REJECTS
    lock_policy: LockPolicy = field(default_factory=LockPolicy)
    listed: int = defaults.LISTED
    list_moved: bool = False


@dataclass(frozen=True)
class Tally:
    """What became of the rows that were found.

    :param same: they were in the target already, as they are
    :param different: they were in the target with other values, and stay so
    :param orphans: skipped, since a parent is missing in the target database
    :param rejected: set aside in compat.reject
    """

    found: int = 0
    moved: int = 0
    same: int = 0
    different: int = 0
    orphans: int = 0
    rejected: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(self.values, other.values, strict=True)))

    @property
    def values(self) -> tuple[int, ...]:
        """The counts, in the order in which they are defined."""
        return tuple(getattr(self, item.name) for item in fields(self))

    @property
    def skipped(self) -> int:
        """Rows that were left alone for a reason that is no error."""
        return self.same + self.different + self.orphans


@dataclass(frozen=True)
class Record:
    """One row, by its key, and what is to be said of it."""

    what: What
    row: str
    detail: str


@dataclass(frozen=True)
class Checked:
    """A foreign key of the target table after the move.

    :param holds: False for NOT VALID and NOT ENFORCED
    :param orphans: rows of the target whose parent is missing
    """

    name: str
    parent: str
    holds: bool
    orphans: int


@dataclass(frozen=True)
class Altered:
    """Moved rows whose value of a column a trigger of the target has changed."""

    column: str
    rows: int
    triggers: tuple[str, ...]


@dataclass(frozen=True)
class Advanced:
    """A sequence of the target that was behind the moved values, and where it is set to."""

    sequence: str
    value: int


@dataclass(frozen=True)
class _Refused:
    """A row that cannot be moved: its legacy key, the whole row, and why."""

    key: list[str]
    row: dict[str, Any]
    sqlstate: str
    reason: str


@dataclass(frozen=True)
class _Placed:
    """What one transaction did."""

    tally: Tally
    records: tuple[Record, ...]
    altered: dict[str, int]
    advanced: dict[str, int]
    had_orphans: bool


class Arrivals:
    """One run in the target database: where it is, and what it has met.

    :param after: the last key of a run that was killed, after which this one goes on
    """

    def __init__(
        self,
        target: Connection,
        mapping: Mapping,
        options: MoveOptions,
        number: int,
        *,
        after: tuple[str, ...] | None = None,
        tally: Tally | None = None,
        execute: bool,
    ) -> None:
        self.target, self.mapping, self.options = target, mapping, options
        self.number, self.after, self.execute = number, after, execute
        self.tally = tally or Tally()
        self.arrived = compiled.as_arrived(mapping, _unknown_types(target, mapping))
        written = set(mapping.writes(compiled.LEGACY))
        relation = catalog.find_exact(target, mapping.target.schema, mapping.target.name)
        assert relation is not None, mapping.target.title
        keys = catalog.foreign_keys(target, relation)
        self.keys = tuple(key for key in keys if written.issuperset(key.columns))
        # Where a parent comes in the same move, rows may have to wait for it.
        self.own_keys = tuple(
            key for key in self.keys if key.is_own and written.issuperset(key.parent_columns)
        )
        self.parent_keys = tuple(key for key in self.keys if key not in self.own_keys)
        self.sequences = _sequences(target, mapping, written)
        self.triggers = _insert_triggers(target, relation)
        self.batches = _count_batches(target, mapping.name, number)
        self.has_rejects = bool(state.count_rejects(target, mapping.name))
        self.expects_orphans = False
        self.records: list[Record] = []
        self.altered: Counter[str] = Counter()
        self.advanced: dict[str, int] = {}
        for statement in compiled.create_staging(self.arrived, waiting=bool(self.own_keys)):
            target.execute(statement)

    # -- reading ------------------------------------------------------------------------------

    def read(self, source: Connection, on_progress: Callable[[int], None]) -> None:
        """Stream the source's rows, those after the last key, and place them batch by batch."""
        query = compiled.select(self.mapping, self.options.condition, self.after)
        pace, size = self.options.pace, self.options.pace.first_size()
        with source.cursor().copy(compiled.copy_out(query)) as stream:
            rows = _rows(stream)
            while staged := self._stage(islice(rows, size)):
                started = time.monotonic()
                self._place(Rows(1, staged))
                on_progress(self.tally.found)
                if staged == size:
                    pace.rest(self.target, staged, time.monotonic() - started, lambda: True)

    def _stage(self, rows: Iterable[bytes]) -> int:
        """Fill the staging table with these rows, as the source sent them; return how many.

        :raises DataError: the target database cannot hold a value, as it can in the source
        """
        try:
            with self.target.transaction(), self.target.cursor() as cursor:
                cursor.execute(compiled.empty_staging())
                with cursor.copy(compiled.copy_in(self.arrived)) as into:
                    into.write(_HEADER)
                    for chunk in _chunks(rows):
                        into.write(chunk)
                    into.write(_TRAILER)
                return cursor.rowcount
        except psycopg.DataError as error:  # a character that its encoding does not have
            raise DataError(
                f"{self.mapping.legacy.title}: one of the rows after the first "
                f"{self.tally.found:,} cannot be received\n  {reason_of(error)}",
                "correct it, or leave it out with --where",
            ) from error

    # -- placing ------------------------------------------------------------------------------

    def _place(self, rows: Rows, *, nobody_waits: bool = False) -> None:
        """Insert staged rows, or the halves of them, until those are alone that are refused."""
        try:
            self._commit(lambda conn: self._insert(rows, nobody_waits))
        except REFUSALS as error:
            if isinstance(error, psycopg.errors.ForeignKeyViolation) and not self.expects_orphans:
                self.expects_orphans = True
                self._place(rows, nobody_waits=nobody_waits)
            elif len(rows) > 1:
                for half in rows.halves():
                    self._place(half, nobody_waits=nobody_waits)
            else:
                sqlstate, reason = error.sqlstate or "", reason_of(error)
                self._commit(lambda conn: self._refuse(rows, sqlstate, reason))

    def bring_in_waiting(self) -> None:
        """Place the rows whose parent, in the same table, had yet to come; who has none, orphans.

        Each round places all that can be: a row waits only for rows that wait for ever.
        """
        if not self.own_keys:
            return
        before = 0
        while waiting := int(self._value(f"SELECT count(*) FROM {compiled.WAITING}")):
            with self.target.transaction():
                for statement in compiled.bring_back(self.arrived):
                    self.target.execute(statement)
            self._place(Rows(1, waiting), nobody_waits=waiting == before)
            before = waiting

    def _commit(self, work: Callable[[Connection], _Placed]) -> None:
        what = f"a batch of the move {self.mapping.name!r}"
        placed = in_transaction(self.target, work, self.options.lock_policy, what)
        self.tally += placed.tally
        self.batches += 1
        self.expects_orphans = placed.had_orphans
        self.altered.update(placed.altered)
        for name, value in placed.advanced.items():
            self.advanced[name] = max(value, self.advanced.get(name, value))
        for record in placed.records:
            if sum(item.what == record.what for item in self.records) < self.options.listed:
                self.records.append(record)

    def _insert(self, rows: Rows, nobody_waits: bool) -> _Placed:
        """Do all that is to be done for these rows; part of one transaction."""
        arrived, batch = self.arrived, Batch(self.mapping.name, self.number, self.batches + 1)
        last_key = self._value(compiled.last_key(arrived, rows))
        # What is deferred to the commit could not be told apart from a failing commit.
        self.target.execute("SET CONSTRAINTS ALL IMMEDIATE")
        if self.has_rejects:
            self.target.execute(compiled.forget_rejects(arrived, rows))
        orphans = list(self._take_orphans(rows, nobody_waits))
        waiting = 0 if nobody_waits else self._let_wait(rows)
        moved = int(self._value(compiled.insert(arrived, batch, rows)))
        left = len(rows) - waiting - len(orphans) - moved
        rest = self._rows(compiled.take_rest(arrived, batch, rows)) if left else []
        different = [(key, columns) for key, columns, _ in rest if columns is not None]
        refused = [
            _Refused(key, row, "", "a trigger of the target discarded the row")
            for key, columns, row in rest
            if columns is None
        ]
        skips = self.mapping.orphans == "skip"
        refused += [] if skips else orphans
        self._set_aside(refused)
        tally = Tally(
            found=len(rows) - waiting,
            moved=moved,
            same=left - len(rest),
            different=len(different),
            orphans=len(orphans) if skips else 0,
            rejected=len(refused),
        )
        self._advance(tally, last_key)
        records = [
            *self._moved_records(rows),
            *(Record("different", self._title(k), f"differs in {_list(c)}") for k, c in different),
            *(Record("orphan", self._title(o.key), o.reason) for o in orphans if skips),
            *(self._record(item) for item in refused),
        ]
        return _Placed(
            tally, tuple(records), self._altered(rows), self._sequences_of(rows), bool(orphans)
        )

    def _refuse(self, rows: Rows, sqlstate: str, reason: str) -> _Placed:
        """Set one row aside; part of one transaction."""
        ((key, row),) = self._rows(compiled.row_and_key(self.arrived, rows))
        refused = _Refused(key, row, sqlstate, reason)
        self._set_aside([refused])
        tally = Tally(found=1, rejected=1)
        self._advance(tally, key)
        return _Placed(tally, (self._record(refused),), {}, {}, self.expects_orphans)

    def _take_orphans(self, rows: Rows, nobody_waits: bool) -> Iterator[_Refused]:
        keys = self.parent_keys if self.expects_orphans else ()
        for key in (*keys, *(self.own_keys if nobody_waits else ())):
            for legacy_key, values, row in self._rows(
                compiled.take_orphans(self.arrived, key, rows)
            ):
                columns, values_text = ", ".join(key.columns), ", ".join(values)
                reason = f"{key.name}: ({columns}) = ({values_text}) is not in {key.parent}"
                yield _Refused(legacy_key, row, "23503", reason)

    def _let_wait(self, rows: Rows) -> int:
        waiting = 0
        while found := sum(
            self.target.execute(compiled.let_wait(self.arrived, key, rows)).rowcount
            for key in self.own_keys
        ):
            waiting += found
        return waiting

    def _set_aside(self, refused: list[_Refused]) -> None:
        """Write the rows into compat.reject, unless they are too many.

        :raises DataError: names one of them
        """
        if not refused:
            return
        most = self.options.max_rejects
        if self.execute and self.tally.rejected + len(refused) > most:
            raise self._too_many(refused[max(most - self.tally.rejected, 0)])
        for item in refused:  # one by one: see _plan_ranges() of the copy
            self.target.execute(
                "INSERT INTO compat.reject (mapping, key, row_data, sqlstate, reason)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (mapping, key) DO UPDATE SET"
                " row_data = EXCLUDED.row_data, sqlstate = EXCLUDED.sqlstate,"
                " reason = EXCLUDED.reason, at = EXCLUDED.at",
                (self.mapping.name, item.key, json.dumps(item.row), item.sqlstate, item.reason),
            )
            event("reject", logging.WARNING, mapping=self.mapping.name, sqlstate=item.sqlstate)

    def _too_many(self, refused: _Refused) -> DataError:
        already = f"; {self.tally.rejected:,} rows have been set aside already"
        return DataError(
            f"{self.mapping.legacy.title}: the row with {self._title(refused.key)} cannot be moved"
            + already * bool(self.tally.rejected)
            + f"\n  {refused.reason}"
            + (f" (SQLSTATE {refused.sqlstate})" if refused.sqlstate else ""),
            "mend the cause and run the move again, which goes on from here; or set such rows "
            "aside with --max-rejects (a dry run counts them), or let the mapping skip orphans",
        )

    def _advance(self, tally: Tally, last_key: list[str]) -> None:
        """Record the progress, in the transaction that makes it."""
        # Rows that wait for a parent are in nobody's table yet: such a run begins again.
        last = None if self.own_keys else last_key
        self.target.execute(
            "UPDATE compat.move SET last_key = %s, found = found + %s, moved = moved + %s,"
            " same = same + %s, different = different + %s, orphans = orphans + %s,"
            " rejected = rejected + %s WHERE mapping = %s AND run = %s",
            [last, *tally.values, self.mapping.name, self.number],
        )

    def _moved_records(self, rows: Rows) -> Iterator[Record]:
        listed = sum(item.what == "moved" for item in self.records)
        if not self.options.list_moved or listed >= self.options.listed:
            return
        names = tuple(self.arrived.writes(compiled.LEGACY))
        most = self.options.listed - listed
        for key, values in self._rows(compiled.moved_rows(self.arrived, rows, most)):
            pairs = (f"{n} = {v}" for n, v in zip(names, values, strict=True) if v is not None)
            yield Record("moved", self._title(key), ", ".join(pairs))

    def _altered(self, rows: Rows) -> dict[str, int]:
        """Count, per column, what triggers made of the rows; where there are none, nothing."""
        if not self.triggers:
            return {}
        query, columns = compiled.altered(self.arrived, rows)
        (counts,) = self._rows(query)
        return {name: n for name, n in zip(columns, counts, strict=True) if n}

    def _sequences_of(self, rows: Rows) -> dict[str, int]:
        """Set the sequences past these rows' values, so that nobody is given one of them again."""
        advanced = {}
        for column, sequence in self.sequences:
            value = self._value(compiled.highest(self.arrived, column, rows))
            if value is not None and self._value(compiled.is_behind(sequence, value)):
                advanced[sequence] = int(value)
                if self.execute:  # it would not be rolled back
                    self.target.execute(compiled.advance(sequence, value))
        return advanced

    # -- the end ------------------------------------------------------------------------------

    def finish(self) -> None:
        """Close the run."""
        with self.target.transaction():
            self.target.execute(
                "UPDATE compat.move SET finished_at = clock_timestamp()"
                " WHERE mapping = %s AND run = %s",
                [self.mapping.name, self.number],
            )
            if self.execute:
                detail = {"run": self.number, **asdict(self.tally)}
                state.record(self.target, self.mapping.name, "moved", detail)
        if self.execute:
            self.target.execute(f"ANALYZE {self.mapping.target.sql}")

    def check_keys(self) -> tuple[Checked, ...]:
        """Look for rows of the target without a parent, whether or not they came with this run."""
        return tuple(
            Checked(
                key.name,
                key.parent,
                key.holds,
                int(self._value(compiled.orphans_in_target(self.mapping, key))),
            )
            for key in self.keys
        )

    def altered_columns(self) -> tuple[Altered, ...]:
        """Return what triggers of the target made of the moved rows."""
        return tuple(Altered(name, rows, self.triggers) for name, rows in self.altered.items())

    # -- pieces -------------------------------------------------------------------------------

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        # Unprepared: each batch is planned for what is staged at the moment.
        return self.target.execute(query, prepare=False).fetchall()

    def _value(self, query: str) -> Any:
        (row,) = self._rows(query)
        return row[0]

    def _title(self, key: list[str]) -> str:
        return title_of(self.mapping.legacy.row_key, key)

    def _record(self, refused: _Refused) -> Record:
        state_text = f" ({refused.sqlstate})" if refused.sqlstate else ""
        return Record("rejected", self._title(refused.key), refused.reason + state_text)


def title_of(columns: tuple[str, ...], key: Iterable[str]) -> str:
    """Return a row's name for people: its key columns and their values."""
    return ", ".join(f"{name} = {value}" for name, value in zip(columns, key, strict=True))


def reason_of(error: psycopg.Error) -> str:
    """Return what PostgreSQL says of a row that it refuses, on one line."""
    parts = (error.diag.message_primary, error.diag.message_detail)
    return "; ".join(part for part in parts if part)


def _unknown_types(target: Connection, mapping: Mapping) -> set[str]:
    """Return the legacy types that the target database does not have."""
    types = [c.type for c in mapping.legacy.columns if compiled.travels_as_text(c)]
    rows = target.execute(
        "SELECT t FROM unnest(%s::text[]) AS t WHERE to_regtype(t) IS NULL", [types]
    )
    return {row[0] for row in rows}


def _sequences(
    target: Connection, mapping: Mapping, written: set[str]
) -> tuple[tuple[str, str], ...]:
    """Return the written columns of the target that own a sequence, and its quoted name."""
    rows = target.execute(
        "SELECT c, s FROM unnest(%s::text[]) AS c, pg_get_serial_sequence(%s, c) AS s"
        " WHERE s IS NOT NULL ORDER BY c",
        [sorted(written), mapping.target.sql],
    )
    return tuple((column, sequence) for column, sequence in rows)


def _insert_triggers(target: Connection, relation: catalog.Relation) -> tuple[str, ...]:
    """Return the BEFORE INSERT row triggers that are on: what may change a row on its way in."""
    rows = target.execute(
        "SELECT tgname FROM pg_catalog.pg_trigger WHERE tgrelid = %s AND NOT tgisinternal"
        " AND tgenabled IN ('O', 'A') AND tgtype & 7 = 7 ORDER BY tgname",
        [relation.oid],
    )
    return tuple(row[0] for row in rows)


def _count_batches(target: Connection, name: str, run: int) -> int:
    row = target.execute(
        "SELECT COALESCE(max(number), 0) FROM compat.move_batch WHERE mapping = %s AND run = %s",
        [name, run],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _rows(stream: Iterable[Buffer]) -> Iterator[bytes]:
    """Yield what stands between header and trailer; the server sends each row by itself."""
    is_first = True
    for message in stream:
        row = bytes(message)
        if is_first:
            row, is_first = row.removeprefix(_HEADER), False
        if row != _TRAILER:
            yield row


def _chunks(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Join rows to pieces of a size that is worth sending."""
    pieces, size = list[bytes](), 0
    for row in rows:
        pieces.append(row)
        size += len(row)
        if size >= _CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
