"""Rows move to another database: out of one snapshot of the source, which is only read.

What is there already is never overwritten; running a move again goes on where it was killed.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg

from compat import state
from compat.compile import move as compiled
from compat.connection import Connection
from compat.errors import CompatError, StateError
from compat.log import event
from compat.mapping import Mapping
from compat.run.arrivals import Advanced, Altered, Arrivals, Checked, MoveOptions, Record, Tally
from compat.run.steps import check_table


@dataclass(frozen=True)
class MoveResult:
    """What a move did, or, unless `executed`, what it would do.

    :param run: its number among the runs of the mapping; the tally speaks of the whole run
    :param records: some rows, named
    """

    mapping: str
    source: str
    target: str
    executed: bool
    run: int
    resumed: bool
    tally: Tally
    seconds: float
    records: tuple[Record, ...]
    altered: tuple[Altered, ...]
    sequences: tuple[Advanced, ...]
    foreign_keys: tuple[Checked, ...]

    @property
    def holds(self) -> bool:
        """Whether no row was refused and no foreign key is violated."""
        return not self.tally.rejected and not any(key.orphans for key in self.foreign_keys)


@dataclass(frozen=True)
class MoveRun:
    """A run as the target database remembers it; without an end, it was killed or goes on.

    :param tally: of this run
    :param moved_in_all: rows moved by this run and earlier ones, without those taken back
    """

    mapping: Mapping
    source: str
    run: int
    started_at: datetime
    finished_at: datetime | None
    undone_at: datetime | None
    tally: Tally
    moved_in_all: int


def move(
    source: Connection,
    target: Connection,
    mapping: Mapping,
    options: MoveOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda found, total: None,
    *,
    execute: bool = False,
) -> MoveResult:
    """Insert the source's rows into the target, as the mapping says; never overwrite one there.

    Without `execute`, all of it happens in one transaction that is rolled back. Killed at any
    moment, the next run goes on after the last committed batch.

    :param on_progress: told the rows found so far and an estimate of all of them
    :raises CatalogError: a table is missing or differs from the mapping's
    :raises DataError: more rows are refused than may be set aside; names one of them
    :raises StateError: another command is at work, or the mapping has other uses in the target
    """
    options = options or MoveOptions()
    started = time.monotonic()
    event("move.start", mapping=mapping.name, executed=execute)
    state.lock(target, mapping.name)
    _check_use(source, target, mapping)
    with _reading(source):
        total = _check_source(source, mapping, options.condition)
        check_table(target, mapping.target)
        with _writing(target, execute):
            run = _begin(source, target, mapping, options, execute=execute)
            run.read(source, lambda found: on_progress(found, max(total, found + 1)))
            run.bring_in_waiting()
            run.finish()
            on_progress(run.tally.found, run.tally.found)
            event("move.end", mapping=mapping.name, rows=run.tally.moved, executed=execute)
            return MoveResult(
                mapping=mapping.name,
                source=_title(source),
                target=_title(target),
                executed=execute,
                run=run.number,
                resumed=run.after is not None,
                tally=run.tally,
                records=tuple(run.records),
                altered=run.altered_columns(),
                sequences=tuple(Advanced(*item) for item in run.advanced.items()),
                foreign_keys=run.check_keys(),
                seconds=time.monotonic() - started,
            )


def stored_mapping(conn: Connection, name: str) -> Mapping:
    """Return the mapping of that name by which rows were last moved into this database.

    :raises StateError: there is none
    """
    documents = {run.mapping.name: run.mapping for run in runs(conn)}
    if name not in documents:
        names = ", ".join(documents) or "none"
        raise StateError(
            f"no move called {name!r} into this database (there: {names})",
            "give the path of a .json or .py file",
        )
    return documents[name]


def runs(conn: Connection) -> tuple[MoveRun, ...]:
    """Return the last run of each mapping by which rows were moved into this database, by name."""
    if conn.execute("SELECT to_regclass('compat.move')").fetchone() == (None,):
        return ()
    rows = conn.execute(
        "SELECT DISTINCT ON (mapping) document::text, source, run, started_at, finished_at,"
        " undone_at, ARRAY[found, moved, same, different, orphans, rejected],"
        " COALESCE(sum(moved) FILTER (WHERE undone_at IS NULL) OVER (PARTITION BY mapping), 0)"
        " FROM compat.move ORDER BY mapping, run DESC"
    ).fetchall()
    return tuple(
        MoveRun(
            mapping=Mapping.from_json(document),
            source=source,
            run=run,
            started_at=started_at,
            finished_at=finished_at,
            undone_at=undone_at,
            tally=Tally(*counts),
            moved_in_all=int(moved),
        )
        for document, source, run, started_at, finished_at, undone_at, counts, moved in rows
    )


def _begin(
    source: Connection,
    target: Connection,
    mapping: Mapping,
    options: MoveOptions,
    *,
    execute: bool,
) -> Arrivals:
    """Take up the last run where it was killed, else begin a new one."""
    same = [mapping.fingerprint, _title(source), options.condition]
    last = target.execute(
        "SELECT run, last_key, found, moved, same, different, orphans, rejected,"
        " finished_at IS NULL AND undone_at IS NULL AND last_key IS NOT NULL"
        "  AND fingerprint = %s AND source = %s AND condition IS NOT DISTINCT FROM %s"
        " FROM compat.move WHERE mapping = %s ORDER BY run DESC LIMIT 1",
        [*same, mapping.name],
    ).fetchone()
    if last is not None and last[-1]:
        run, last_key, *counts, _ = last
        after, tally = tuple(last_key), Tally(*counts)
        return Arrivals(target, mapping, options, run, after=after, tally=tally, execute=execute)
    number = 1 if last is None else last[0] + 1
    run = Arrivals(target, mapping, options, number, execute=execute)
    with target.transaction():
        target.execute(
            "INSERT INTO compat.move (mapping, run, document, fingerprint, source, condition)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [mapping.name, number, mapping.to_json(), *same],
        )
        if execute:  # the log's numbers would not be rolled back
            state.record(target, mapping.name, "move", {"run": number, "source": same[1]})
    return run


@contextmanager
def _reading(source: Connection) -> Iterator[None]:
    """Read from one snapshot; whatever tries to write, or would hide rows, is an error."""
    source.execute("SET client_encoding = 'UTF8'")  # of both: the raw rows pass through
    source.execute("SET default_transaction_read_only = on")
    source.execute("SET row_security = off")
    with source.transaction():
        source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


@contextmanager
def _writing(target: Connection, execute: bool) -> Iterator[None]:
    """Have the schema compat in the target; unless `execute`, all is rolled back at the end."""
    target.execute("SET client_encoding = 'UTF8'")
    target.execute("SET row_security = off")
    if execute:
        state.ensure_installed(target)
        yield
        return
    with state.installed_for_now(target):
        yield


def _check_source(source: Connection, mapping: Mapping, condition: str | None) -> int:
    """Look whether the rows can be read; return the planner's estimate of how many.

    :raises CatalogError: the table is missing or differs from the mapping's
    :raises CompatError: the condition is none, or the role may not read
    """
    check_table(source, mapping.legacy)
    query = compiled.select(mapping, condition, None)
    try:
        # Prepared: then it can only be one statement.
        row = source.execute(f"EXPLAIN (FORMAT JSON) {query}", prepare=True).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise CompatError(
            f"the source says: {error.diag.message_primary}",
            f"GRANT SELECT ON {mapping.legacy.sql} TO {source.info.user}, and USAGE on its schema",
        ) from error
    except psycopg.ProgrammingError as error:
        if mapping.where is None and condition is None:
            raise
        raise CompatError(
            f"the condition cannot be evaluated in the source: {error.diag.message_primary}",
            "write SQL over the columns of "
            f"{mapping.legacy.title}: {', '.join(mapping.legacy.column_names)}",
        ) from error
    assert row is not None
    return int(row[0][0]["Plan"]["Plan Rows"])


def check_movable(mapping: Mapping) -> None:
    """Look whether each row of the mapping is one row of one table, as between two databases.

    :raises StateError: it is not; says what to do
    """
    if mapping.reasons_against_move:
        raise StateError(
            f"the mapping {mapping.name!r} cannot move rows to another database:\n  "
            + "\n  ".join(mapping.reasons_against_move),
            "move the rows to a table of the legacy shape there, and divide it within that "
            f"database: `compat expand`, `compat copy {shlex.quote(mapping.name)}`",
        )


def _check_use(source: Connection, target: Connection, mapping: Mapping) -> None:
    """Refuse a mapping of another use, or at work within the target; a table that is both ends."""
    check_movable(mapping)
    if any(stored.mapping.name == mapping.name for stored in state.load_all(target)):
        raise StateError(
            f"{mapping.name!r} is a migration within the target database",
            f"`compat copy {shlex.quote(mapping.name)}` copies its rows; or give the mapping "
            "another name",
        )
    place = "SELECT pg_postmaster_start_time(), current_database(), to_regclass(%s)::oid"
    ends = [
        conn.execute(place, [table.sql]).fetchone()
        for conn, table in ((source, mapping.legacy), (target, mapping.target))
    ]
    if ends[0] == ends[1]:
        raise StateError(
            f"source and target are one table: {_title(source)}, {mapping.legacy.title}",
            "give the URLs of two databases",
        )


def _title(conn: Connection) -> str:
    """Return the database's name and place, as messages show it."""
    return f"{conn.info.dbname} at {conn.info.host}:{conn.info.port}"
