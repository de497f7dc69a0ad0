"""The copy: existing rows in key order, in ranges side by side, each batch with its progress.

Killed at any moment, it goes on after the last committed batches: running it again resumes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from compat import catalog, state
from compat.bridge import carrier_of
from compat.compile import copy as compiled
from compat.compile import lookups
from compat.connection import Connection, url_of
from compat.errors import CompatError, DataError, StateError
from compat.log import event
from compat.mapping import Mapping
from compat.run import defaults, indexes
from compat.run.batches import REFUSALS, Abandoned, Copied, Job, copy_or_reject, copy_range
from compat.run.pace import Pace, check_lag_is_visible
from compat.run.quiet import copying
from compat.run.retry import LockPolicy, in_transaction
from compat.run.steps import check_tables, check_values
from compat.run.workers import executor, run_each

_WORTH_SHARING = 10_000
_MOST_RANGES = 1_000
_SAMPLED_ROWS_PER_RANGE = 5_000
_ANALYZE_FIRST = 5_000


@dataclass(frozen=True)
class CopyOptions:
    """How the rows are copied.

    :param workers: ranges that are copied side by side
    :param dask: address of a Dask scheduler; None for threads of this process
    :param range_rows: rows of a range, more or less
    :param pace: of the whole copy: the workers share what it allows
    :param max_rejects: rows that may be set aside in compat.reject before the copy gives up
    :param defer_indexes: drop the target's indexes that are not unique, build them at the end
    :param where: SQL over the legacy columns: copy such rows now, the others in a later run
    :param patience: seconds to wait, at the end, for transactions that began before it
    """

    workers: int = defaults.WORKERS
    dask: str | None = None
    range_rows: int = 100_000
    pace: Pace = field(default_factory=Pace)
    max_rejects: int = defaults.MAX_REJECTS
    defer_indexes: bool = False
    where: str | None = None
    patience: float = defaults.PATIENCE
    lock_policy: LockPolicy = field(default_factory=LockPolicy)


@dataclass(frozen=True)
class CopyState:
    """Where the copy is; `total` is an estimate."""

    rows_seen: int
    rows_copied: int
    total: int
    resumed: bool


@dataclass(frozen=True)
class CopyResult:
    """What the copy did in all its runs (rows) and in this one (seconds).

    `rows_seen - rows_copied - rejected` rows were there already: the sync triggers had brought
    them; `swept` came at the end, since somebody had locked them; `purged` left the target again,
    because no legacy row accounts for them any more. `finished` is False after a copy of some rows
    only.
    """

    mapping: str
    rows_seen: int
    rows_copied: int
    swept: int
    purged: int
    rejected: int
    seconds: float
    changed: bool
    finished: bool = True


@dataclass(frozen=True)
class CopyForecast:
    """What a copy would do: the answer of a dry run."""

    mapping: str
    rows: int
    rows_missing: int
    ranges: int
    workers: int
    losses: tuple[tuple[str, int], ...]
    deferred_indexes: tuple[str, ...]


def forecast(conn: Connection, name: str, options: CopyOptions) -> CopyForecast:
    """Count what is to be copied, and the rows for which an accepted rule loses something.

    :raises StateError: the migration is past its copy
    :raises DataError: values that the mapping refuses, or target rows of unknown origin
    :raises CompatError: `where` is no condition over the legacy columns
    """
    stored = _copyable(conn, name)
    mapping = stored.mapping
    check_tables(conn, mapping)
    _check_where(conn, mapping, options.where)
    if not options.max_rejects:
        check_values(conn, mapping)
    if stored.progress is None:
        _check_origin(conn, mapping)
    rows = _count(conn, f"SELECT count(*) FROM {mapping.legacy.sql}")
    absent = _count(conn, compiled.missing(mapping, options.where))
    lost = tuple((column, _count(conn, query)) for column, query in compiled.losses(mapping))
    return CopyForecast(
        name,
        rows,
        absent,
        stored.progress.ranges if stored.progress else _ranges_for(conn, mapping, rows, options),
        options.workers,
        lost,
        tuple(name for name, _ in indexes.deferrable(conn, mapping) if options.defer_indexes),
    )


def copy(
    conn: Connection,
    name: str,
    options: CopyOptions | None = None,
    on_progress: Callable[[CopyState], None] = lambda state: None,
) -> CopyResult:
    """Copy every legacy row that is not in the target yet, and mark the migration as copied.

    :raises StateError: the migration is past its copy, or another command is at work
    :raises DataError: rows that the target refuses, or target rows of unknown origin
    :raises CompatError: `where` is no condition over the legacy columns
    """
    return _Copy(conn, name, options or CopyOptions(), on_progress).run()


def copy_between(
    conn: Connection,
    name: str,
    mapping: Mapping,
    options: CopyOptions | None = None,
    on_progress: Callable[[CopyState], None] = lambda state: None,
) -> CopyResult:
    """Copy the rows of a migration from one table of its own to another, whatever its phase is.

    :param mapping: from the one to the other, under the migration's name; its sync is on
    """
    return _Copy(conn, name, options or CopyOptions(), on_progress, mapping).run()


class _Copy:
    """The command that leads the workers; it alone plans the ranges and ends the copy."""

    def __init__(
        self,
        conn: Connection,
        name: str,
        options: CopyOptions,
        on_progress: Callable[[CopyState], None],
        between: Mapping | None = None,
    ) -> None:
        self.between = between
        self.conn, self.name, self.options = conn, name, options
        self.on_progress = on_progress
        self.started = time.monotonic()
        self.analyzed_at = 0

    def run(self) -> CopyResult:
        conn, options = self.conn, self.options
        state.lock(conn, self.name)
        self.stored = self._stored()
        self.mapping = self.between or self.stored.mapping
        if self._is_done():
            return self._result(changed=False)
        # Left last, the executor waits for its workers: they stop when nobody leads them any more.
        with copying(conn, self.mapping), executor(options.workers, options.dask) as crew:
            self._prepare()
            with state.leading(conn) as self.leader:
                if options.where is not None:
                    return self._copy_some(crew, options.where)
                self._plan_ranges()
                self._copy_ranges(crew)
        with copying(conn, self.mapping):
            swept, purged = self._settle()
            self._settle_references()
        indexes.build(conn, self.mapping)
        self._analyze_targets()
        with conn.transaction():
            conn.execute(
                "UPDATE compat.copy_progress SET finished_at = clock_timestamp()"
                " WHERE mapping = %s",
                [self.name],
            )
            self._set_phase("copied")
            result = self._result(swept=swept, purged=purged)
            detail = {"seen": result.rows_seen, "copied": result.rows_copied, "purged": purged}
            state.record(conn, self.name, "copied", detail)
        event("copy.end", mapping=self.name, rows=result.rows_seen, seconds=result.seconds)
        return result

    def _stored(self) -> state.Stored:
        load = _copyable if self.between is None else state.load
        return load(self.conn, self.name)

    def _is_done(self) -> bool:
        progress = self.stored.progress
        if self.between is None:
            return self.stored.phase == "copied" and progress is not None
        return progress is not None and progress.finished_at is not None

    def _set_phase(self, phase: state.Phase) -> None:
        if self.between is None:
            state.set_phase(self.conn, self.name, phase)

    def _prepare(self) -> None:
        """Check what a copy needs, and note that one has begun."""
        conn, mapping = self.conn, self.mapping
        event("copy.start", mapping=self.name, workers=self.options.workers)
        if self.between is None:
            check_tables(conn, mapping)
        _check_where(conn, mapping, self.options.where)
        if self.options.pace.max_lag is not None:
            check_lag_is_visible(conn)
        if self.stored.progress is None:
            # Later such a row may be one of ours, copied in vain; see _settle().
            _check_origin(conn, mapping)
        if not catalog.has_statistics(conn, mapping.legacy.schema, mapping.legacy.name):
            conn.execute(f"ANALYZE {mapping.legacy.sql}")
        if self.stored.progress is None:
            with conn.transaction():
                conn.execute("INSERT INTO compat.copy_progress (mapping) VALUES (%s)", [self.name])
                self._set_phase("copying")
                state.record(conn, self.name, "copy", {"workers": self.options.workers})
        if self.options.defer_indexes:
            indexes.defer(conn, mapping, self.options.lock_policy)

    # -- the ranges -----------------------------------------------------------------------

    def _plan_ranges(self) -> None:
        """Cut the table into ranges, once; later runs go on with the same ones."""
        conn, mapping = self.conn, self.mapping
        if _count(conn, "SELECT count(*) FROM compat.copy_range WHERE mapping = %s", [self.name]):
            return
        rows = catalog.estimate_rows(conn, mapping.legacy.schema, mapping.legacy.name)
        ranges = _ranges_for(conn, mapping, rows, self.options)
        # What is inserted from here on the sync brings: a copy that went after it would not end
        # where clients insert faster than it may go. In an empty table there is nothing to do.
        last = conn.execute(compiled.last_key(mapping)).fetchone()
        ends: list[list[str] | None] = [None if last is None else last[0]]
        if ranges > 1:
            percent = min(100.0, 100.0 * ranges * _SAMPLED_ROWS_PER_RANGE / rows)
            parameters = {"percent": percent, "ranges": ranges}
            cuts = conn.execute(compiled.boundaries(mapping), parameters).fetchall()
            ends = [key for (key,) in cuts] + ends
        with conn.transaction():
            # What a copy of some rows has set aside comes up again, as it is now.
            conn.execute("DELETE FROM compat.reject WHERE mapping = %s", [self.name])
            # Not executemany: interrupted in the pipeline that it uses, a connection is of no more
            # use, not even to let go of its locks.
            for number, end in enumerate(ends, start=1):
                conn.execute(
                    "INSERT INTO compat.copy_range (mapping, number, upto, finished)"
                    " VALUES (%s, %s, %s, %s)",
                    [self.name, number, end, end is None],
                )

    def _copy_ranges(self, crew: Executor) -> None:
        numbers = self.conn.execute(
            "SELECT number FROM compat.copy_range WHERE mapping = %s AND NOT finished"
            " ORDER BY number",
            [self.name],
        ).fetchall()
        self._tick()
        self._let_work(crew, [self._job(number) for (number,) in numbers])

    def _copy_some(self, crew: Executor, where: str) -> CopyResult:
        """Copy such rows and no others; what has been done is not remembered but by the rows."""
        (done,) = self._let_work(crew, [replace(self._job(None), where=where)])
        seconds = time.monotonic() - self.started
        return CopyResult(
            self.name, done.seen, done.copied, 0, 0, done.rejected, seconds, True, finished=False
        )

    def _let_work(self, crew: Executor, jobs: list[Job]) -> list[Copied]:
        """Run the jobs; those that run side by side share what the pace allows."""
        at_once = max(min(self.options.workers, len(jobs)), 1)
        pace = self.options.pace
        if pace.rows_per_second is not None:
            pace = replace(pace, rows_per_second=pace.rows_per_second / at_once)
        jobs = [replace(job, pace=pace) for job in jobs]
        try:
            return list(run_each(crew, copy_range, jobs, at_once, self._tick))
        except Abandoned:
            self.conn.execute("SELECT 1")  # says so when it is this connection that was lost
            raise

    def _job(self, number: int | None) -> Job:
        return Job(
            url_of(self.conn),
            self.mapping.to_json(),
            self.name,
            self.leader,
            number,
            self.options.pace,
            self.options.max_rejects,
            self.options.lock_policy,
        )

    def _tick(self) -> None:
        """Tell how far the workers are; keep the statistics of the growing target true."""
        seen, copied = self._rows()
        total = catalog.estimate_rows(
            self.conn, self.mapping.legacy.schema, self.mapping.legacy.name
        )
        resumed = self.stored.progress is not None
        self.on_progress(CopyState(seen, copied, max(total, seen), resumed))
        if copied >= max(10 * self.analyzed_at, _ANALYZE_FIRST):
            # The upserts of the sync triggers plan by the statistics of the target.
            self._analyze_targets()
            self.analyzed_at = copied

    def _analyze_targets(self) -> None:
        others = self.mapping.tables[1:]
        for table in (carrier_of(self.mapping), *others):
            self.conn.execute(f"ANALYZE {table.sql}")

    def _rows(self) -> tuple[int, int]:
        """Return the rows seen and copied in all runs."""
        row = self.conn.execute(
            "SELECT COALESCE(sum(rows_seen), 0)::bigint, COALESCE(sum(rows_copied), 0)::bigint"
            " FROM compat.copy_range WHERE mapping = %s",
            [self.name],
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    # -- the end --------------------------------------------------------------------------

    def _settle(self) -> tuple[int, int]:
        """Bring over what the batches passed by, drop what they brought in vain; count both.

        Passed by: rows that somebody had locked. In vain: rows that were deleted by a transaction
        whose snapshot is older than their copy, which its sync trigger could not see. Once no such
        snapshot is left, neither can happen again.
        """
        swept = purged = 0
        if self.mapping.chosen_form == "reversed":
            return self._sweep(), 0  # a row is where it was: nothing is left behind
        while True:
            _wait_for_older_snapshots(self.conn, self.name, self.options.patience)
            if _count(self.conn, compiled.unaccounted(self.mapping)):
                purged += in_transaction(
                    self.conn,
                    lambda conn: conn.execute(compiled.purge(self.mapping)).rowcount,
                    self.options.lock_policy,
                    f"clearing the target of {self.name!r}",
                )
            found = self._sweep()
            if not found:
                return swept, purged
            swept += found

    def _settle_references(self) -> None:
        """Give keys to rows that were brought before the row of this table that they reference.

        Those that somebody is writing just now are left to the cutover.
        """
        for statement in lookups.settle(self.mapping):
            in_transaction(
                self.conn,
                partial(Connection.execute, query=statement),
                self.options.lock_policy,
                f"the references of {self.mapping.target.title} to itself",
            )

    def _sweep(self) -> int:
        """Copy or set aside the rows that nothing has brought over; return how many there were."""
        found, size = 0, self.options.pace.first_size()
        while _count(self.conn, compiled.missing(self.mapping)):

            def sweep(conn: Connection, size: int = size) -> Copied:
                row = conn.execute(compiled.sweep(self.mapping), {"size": size}).fetchone()
                assert row is not None
                return self._noted(Copied(row[0], row[1]))

            try:
                done = self._in_transaction(sweep)
                size = min(2 * size, self.options.pace.first_size())
            except REFUSALS:
                if size > 1:
                    size = max(1, size // 4)
                    continue
                done = self._in_transaction(self._sweep_one)
            found += done.seen
        return found

    def _in_transaction(self, work: Callable[[Connection], Copied]) -> Copied:
        what = f"the last rows of the copy of {self.name!r}"
        return in_transaction(self.conn, work, self.options.lock_policy, what)

    def _sweep_one(self, conn: Connection) -> Copied:
        row = conn.execute(compiled.next_missing(self.mapping)).fetchone()
        if row is None:
            return Copied()
        return self._noted(copy_or_reject(conn, self.mapping, row[0], self.options.max_rejects))

    def _noted(self, done: Copied) -> Copied:
        """Count what the sweep brought with the last range."""
        self.conn.execute(
            "UPDATE compat.copy_range SET rows_seen = rows_seen + %(seen)s,"
            " rows_copied = rows_copied + %(copied)s WHERE mapping = %(name)s AND number ="
            " (SELECT max(number) FROM compat.copy_range WHERE mapping = %(name)s)",
            {"seen": done.seen, "copied": done.copied, "name": self.name},
        )
        return done

    def _result(
        self,
        *,
        swept: int = 0,
        purged: int = 0,
        changed: bool = True,
    ) -> CopyResult:
        seen, copied = self._rows()
        rejected = state.count_rejects(self.conn, self.name)
        seconds = time.monotonic() - self.started if changed else 0.0
        return CopyResult(self.name, seen, copied, swept, purged, rejected, seconds, changed)


def _copyable(conn: Connection, name: str) -> state.Stored:
    stored = state.load(conn, name)
    if stored.phase in ("cutover", "contracted"):
        raise StateError(f"{name!r} is {stored.phase}: its rows have been copied")
    return stored


def _check_where(conn: Connection, mapping: Mapping, where: str | None) -> None:
    if where is None:
        return
    try:
        conn.execute(compiled.condition(mapping, where))
    except (psycopg.ProgrammingError, psycopg.DataError) as error:
        raise CompatError(
            f"{where!r} is no condition over the rows of {mapping.legacy.title}: "
            f"{error.diag.message_primary}",
            "write SQL as it would stand after WHERE, over the legacy columns: "
            f'"{mapping.legacy.row_key[0]} IS NOT NULL"',
        ) from None


def _ranges_for(conn: Connection, mapping: Mapping, rows: int, options: CopyOptions) -> int:
    """Return into how many ranges a table of so many rows is cut."""
    if _references_itself(conn, mapping):  # parents first
        return 1
    fewest = options.workers if rows > _WORTH_SHARING else 1
    return min(max(-(-rows // options.range_rows), fewest), _MOST_RANGES)


def _references_itself(conn: Connection, mapping: Mapping) -> bool:
    query = (
        "SELECT count(*) FROM pg_catalog.pg_constraint"
        " WHERE contype = 'f' AND conrelid = confrelid AND conrelid = to_regclass(%s)"
    )
    return _count(conn, query, [mapping.target.sql]) > 0


def _check_origin(conn: Connection, mapping: Mapping) -> None:
    """Refuse target rows that no legacy row accounts for: somebody else writes the target."""
    rows = conn.execute(compiled.foreign(mapping)).fetchall()
    if rows:
        keys = "; ".join(
            ", ".join(f"{n} = {v}" for n, v in zip(mapping.target_key, row, strict=True))
            for row in rows
        )
        raise DataError(
            f"the target {mapping.target.title} is not empty: it holds rows that are not in "
            f"{mapping.legacy.title}, the first with {keys}",
            "delete these rows, and let v2 applications write only after the cutover",
        )


def _wait_for_older_snapshots(conn: Connection, name: str, patience: float) -> None:
    """Wait until every transaction that still reads sees what has been copied so far.

    :raises StateError: one of them outlasts our patience; names it
    """
    row = conn.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::xid").fetchone()
    assert row is not None
    deadline = time.monotonic() + patience
    while True:
        older = conn.execute(
            "SELECT pid, usename, application_name,"
            " date_trunc('second', clock_timestamp() - xact_start)::text"
            " FROM pg_catalog.pg_stat_activity"
            # Not backend_type: of other users' sessions, an ordinary role is not shown that.
            " WHERE usesysid IS NOT NULL AND datname = current_database()"
            " AND pid <> pg_backend_pid() AND age(backend_xmin) > age(%s::text::xid)"
            " ORDER BY xact_start LIMIT 1",
            [str(row[0])],
        ).fetchone()
        if older is None:
            return
        if time.monotonic() > deadline:
            pid, user, application, age = older
            raise StateError(
                f"all rows of {name!r} are copied, but the transaction of pid {pid} ({user}, "
                f"{application or 'no name'}) has been open for {age} and does not see them",
                "end that transaction (or wait for it), then run the copy again",
            )
        time.sleep(0.05)


def _count(conn: Connection, query: str, parameters: list[str] | None = None) -> int:
    row = conn.execute(query, parameters).fetchone()
    assert row is not None
    return int(row[0])
