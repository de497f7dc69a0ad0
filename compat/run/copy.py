"""The copy: existing rows in key order, in batches, each committed together with its progress.

Killed at any moment, it goes on after the last committed batch; running it again is how to resume.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from compat import catalog, state
from compat.compile import copy as compiled
from compat.connection import Connection
from compat.errors import DataError, StateError
from compat.mapping import Mapping
from compat.run.retry import LockPolicy, in_transaction
from compat.run.steps import check_tables, check_values


@dataclass(frozen=True)
class CopyOptions:
    """How fast to go.

    :param batch_size: rows in one transaction
    :param throttle: rows per second at most, None for as fast as it goes
    :param patience: seconds to wait, at the end, for transactions that began before it
    """

    batch_size: int = 5_000
    throttle: float | None = None
    patience: float = 60.0
    lock_policy: LockPolicy = field(default_factory=LockPolicy)

    @property
    def rows_per_batch(self) -> int:
        """Rows in one transaction: under a throttle, never more than it allows for one second."""
        if self.throttle is None:
            return self.batch_size
        return min(self.batch_size, max(1, int(self.throttle)))


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

    `rows_seen - rows_copied` rows were there already: the sync triggers had brought them; `swept`
    came at the end, since somebody had locked them; `purged` left the target again, because no
    legacy row accounts for them any more.
    """

    mapping: str
    rows_seen: int
    rows_copied: int
    swept: int
    purged: int
    seconds: float
    changed: bool


@dataclass(frozen=True)
class CopyForecast:
    """What a copy would do: the answer of a dry run."""

    mapping: str
    rows: int
    rows_missing: int
    batches: int
    losses: tuple[tuple[str, int], ...]


def forecast(conn: Connection, name: str, options: CopyOptions) -> CopyForecast:
    """Count what is to be copied, and the rows for which an accepted rule loses something.

    :raises StateError: the migration is past its copy
    :raises DataError: values that the mapping refuses, or target rows of unknown origin
    """
    stored = _copyable(conn, name)
    mapping = stored.mapping
    check_tables(conn, mapping)
    check_values(conn, mapping)
    if stored.progress is None:
        _check_origin(conn, mapping)
    rows = _count(conn, f"SELECT count(*) FROM {mapping.legacy.sql}")
    absent = _count(conn, compiled.missing(mapping))
    lost = tuple((column, _count(conn, query)) for column, query in compiled.losses(mapping))
    return CopyForecast(name, rows, absent, -(-absent // options.rows_per_batch), lost)


def copy(
    conn: Connection,
    name: str,
    options: CopyOptions | None = None,
    on_progress: Callable[[CopyState], None] = lambda state: None,
) -> CopyResult:
    """Copy every legacy row that is not in the target yet, and mark the migration as copied.

    :raises StateError: the migration is past its copy, or another command is at work
    :raises DataError: values that the mapping refuses, or target rows of unknown origin
    """
    options = options or CopyOptions()
    started = time.monotonic()
    state.lock(conn, name)
    stored = _copyable(conn, name)
    mapping, progress = stored.mapping, stored.progress
    if stored.phase == "copied" and progress is not None:
        return CopyResult(name, progress.rows_seen, progress.rows_copied, 0, 0, 0.0, False)
    check_tables(conn, mapping)
    check_values(conn, mapping)
    if progress is None:  # later such a row may be one of ours, copied in vain; see _settle()
        _check_origin(conn, mapping)
    _prepare(conn, mapping)
    if progress is None:
        with conn.transaction():
            conn.execute("INSERT INTO compat.copy_progress (mapping) VALUES (%s)", [name])
            state.set_phase(conn, name, "copying")
            state.record(conn, name, "copy", {"batch_size": options.batch_size})
    seen, copied = (progress.rows_seen, progress.rows_copied) if progress else (0, 0)
    after = list(progress.last_key) if progress and progress.last_key else None
    total = max(catalog.estimate_rows(conn, mapping.legacy.schema, mapping.legacy.name), seen)
    resumed = progress is not None
    on_progress(CopyState(seen, copied, total, resumed))

    begun, seen_before, analyzed_at = time.monotonic(), seen, 0
    batch_end, batch = compiled.batch_end(mapping), compiled.batch(mapping)
    while True:
        # Unprepared: a generic plan would not use the key range, and read from the beginning.
        size = options.rows_per_batch
        end = conn.execute(batch_end, {"after": after, "size": size}, prepare=False).fetchone()
        if end is None:
            break
        upto = end[0]
        bounds: dict[str, list[str] | None] = {"after": after, "upto": upto}

        def work(conn: Connection, bounds: dict[str, list[str] | None] = bounds) -> tuple[int, int]:
            row = conn.execute(batch, bounds, prepare=False).fetchone()
            assert row is not None
            _advance(conn, name, row[0], row[1], bounds["upto"])
            return row[0], row[1]

        try:
            batch_seen, batch_copied = in_transaction(
                conn, work, options.lock_policy, f"a batch of the copy of {name!r}"
            )
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise _refused(error, mapping, after, upto) from error
        after, seen, copied = upto, seen + batch_seen, copied + batch_copied
        on_progress(CopyState(seen, copied, max(total, seen), resumed))
        if copied >= 10 * max(analyzed_at, options.batch_size):
            # The upserts of the sync triggers plan by the statistics of the target.
            conn.execute(f"ANALYZE {mapping.target.sql}")
            analyzed_at = copied
        if options.throttle:
            ahead = (seen - seen_before) / options.throttle - (time.monotonic() - begun)
            if ahead > 0:
                time.sleep(ahead)

    swept, purged = _settle(conn, mapping, options)
    conn.execute(f"ANALYZE {mapping.target.sql}")
    with conn.transaction():
        conn.execute(
            "UPDATE compat.copy_progress SET finished_at = clock_timestamp() WHERE mapping = %s",
            [name],
        )
        state.set_phase(conn, name, "copied")
        detail = {"seen": seen + swept, "copied": copied + swept, "purged": purged}
        state.record(conn, name, "copied", detail)
    seconds = time.monotonic() - started
    return CopyResult(name, seen + swept, copied + swept, swept, purged, seconds, True)


def _copyable(conn: Connection, name: str) -> state.Stored:
    stored = state.load(conn, name)
    if stored.phase in ("cutover", "contracted"):
        raise StateError(f"{name!r} is {stored.phase}: its rows have been copied")
    return stored


def _advance(
    conn: Connection, name: str, seen: int, copied: int, upto: list[str] | None = None
) -> None:
    """Record what was copied, in the transaction that copied it.

    :raises StateError: the migration was taken back in the meantime
    """
    updated = conn.execute(
        "UPDATE compat.copy_progress SET last_key = COALESCE(%s, last_key),"
        " rows_seen = rows_seen + %s, rows_copied = rows_copied + %s WHERE mapping = %s",
        [upto, seen, copied, name],
    ).rowcount
    if not updated:
        raise StateError(f"{name!r} was taken back while its rows were copied")


def _refused(
    error: psycopg.Error, mapping: Mapping, after: list[str] | None, upto: list[str]
) -> DataError:
    """Return an error that says between which keys PostgreSQL met the row that it refused."""
    key = ", ".join(mapping.legacy.row_key)
    since = f"after {key} = {', '.join(after)}" if after else "from the first row"
    lines = [
        f"{mapping.legacy.title}: a row between two keys cannot be carried over "
        f"({since}, up to {key} = {', '.join(upto)})",
        f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})",
    ]
    if error.diag.message_detail:
        lines.append(error.diag.message_detail)
    return DataError(
        "\n  ".join(lines),
        "correct the row, or take the expand back and change the mapping; then copy again",
    )


def _prepare(conn: Connection, mapping: Mapping) -> None:
    conn.execute(compiled.allow_writes())
    never = conn.execute(
        "SELECT reltuples < 0 FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)",
        [mapping.legacy.sql],
    ).fetchone()
    if never == (True,):
        conn.execute(f"ANALYZE {mapping.legacy.sql}")


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


def _settle(conn: Connection, mapping: Mapping, options: CopyOptions) -> tuple[int, int]:
    """Bring over what the batches passed by, drop what they brought in vain; count both.

    Passed by: rows that somebody had locked. In vain: rows that were deleted by a transaction whose
    snapshot is older than their copy, which its sync trigger could not see. Once no such snapshot
    is left, neither can happen again.
    """
    swept = purged = 0
    while True:
        _wait_for_older_snapshots(conn, mapping.name, options.patience)
        purged += in_transaction(
            conn,
            lambda conn: conn.execute(compiled.purge(mapping)).rowcount,
            options.lock_policy,
            f"clearing the target of {mapping.name!r}",
        )
        found = _sweep(conn, mapping, options)
        if not found:
            return swept, purged
        swept += found


def _sweep(conn: Connection, mapping: Mapping, options: CopyOptions) -> int:
    """Copy the rows that no batch and no trigger has brought over; return how many."""
    swept, statement = 0, compiled.sweep(mapping)
    while _count(conn, compiled.missing(mapping)):

        def work(conn: Connection) -> int:
            row = conn.execute(statement, {"size": options.rows_per_batch}).fetchone()
            assert row is not None
            _advance(conn, mapping.name, row[1], row[1])
            return int(row[1])

        swept += in_transaction(
            conn, work, options.lock_policy, f"the last rows of the copy of {mapping.name!r}"
        )
    return swept


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


def _count(conn: Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])
