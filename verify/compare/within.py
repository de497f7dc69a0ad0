"""A comparison within one database: all ranges in one snapshot, which workers share.

Sync triggers write both sides in one transaction, so that no snapshot sees them apart: rows that
differ do so for good, however busy the applications are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from compat.connection import Connection, connect
from compat.mapping import Mapping
from compat.names import literal
from verify.compare.differences import Cell, Difference, Outcome, counted
from verify.compare.join import Join
from verify.compare.ranges import Range

ROWS_PER_RANGE = 10_000
RANGES_PER_JOB = 50

# The join merges two key indexes with a small work_mem, and spills when it cannot; a hash of
# millions of rows would take memory from the live applications for nothing.
_WORK_MEM = "16MB"

_FETCHED = 1_000


@dataclass(frozen=True)
class Job:
    """What a worker needs to compare some ranges.

    :param url: of the database; not shown, since it may hold a password
    :param snapshot: as pg_export_snapshot() has named it
    :param document: the mapping, as JSON
    :param keep: how many differing rows of a range come back; None for all
    """

    url: str = field(repr=False)
    snapshot: str
    document: str = field(repr=False)
    legacy_sql: str
    view_sql: str
    ranges: tuple[tuple[int, Range], ...]
    keep: int | None


def compare_ranges(job: Job) -> list[tuple[int, Outcome]]:
    """Compare some ranges on a connection of the worker's own, in the snapshot of the run.

    :raises psycopg.Error: a relation is missing, may not be read, or reading it raises
    """
    join = Join(Mapping.from_json(job.document), job.legacy_sql, job.view_sql)
    with connect(job.url, purpose="verify worker") as conn, conn.transaction(force_rollback=True):
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        conn.execute(f"SET TRANSACTION SNAPSHOT {literal(job.snapshot)}")
        return [(number, compare(conn, join, part, job.keep)) for number, part in job.ranges]


def can_cut(mapping: Mapping) -> bool:
    """Return whether a range of legacy keys can be looked up in the view by an index."""
    return not any(lens.converts for lens in mapping.key)


def compare(conn: Connection, join: Join, part: Range, keep: int | None) -> Outcome:
    """Return what differs in one range; part of the caller's transaction.

    :param keep: how many differing rows to return; None for all
    :raises psycopg.Error: as for `compare_ranges`
    """
    found = _counts(conn, join, part)
    if not found.differing:
        return found
    look = _all_differences if keep is None else _first_differences(keep)
    by_column, differences = look(conn, join, part)
    return replace(found, by_column=by_column, differences=differences)


def compare_whole(conn: Connection, join: Join) -> Iterator[Outcome]:
    """Yield all that differs in a table that cannot be cut: some rows at a time, counts at last.

    :raises psycopg.Error: as for `compare_ranges`
    """
    found = _counts(conn, join, Range())
    if found.differing:
        with _differing(conn, join, Range()) as differences:
            while piece := tuple(islice(differences, _FETCHED)):
                by_column, _ = counted(piece)
                yield Outcome(by_column=by_column, differences=piece)
    yield found


def _counts(conn: Connection, join: Join, part: Range) -> Outcome:
    """Return how many rows differ in one range, but not which."""
    conn.execute(f"SET LOCAL work_mem = {literal(_WORK_MEM)}")
    # Unprepared: a generic plan would not know how many rows a range has.
    row = conn.execute(join.overview(part), prepare=False).fetchone()
    assert row is not None
    legacy, view, differing, missing, extra, *losses = row
    return Outcome(
        legacy=legacy,
        view=view,
        missing=missing,
        extra=extra,
        changed=differing - missing - extra,
        losses={p.name: n for p, n in zip(join.lossy, losses, strict=True) if n},
    )


_Found = tuple[dict[str, int], tuple[Difference, ...]]


def _all_differences(conn: Connection, join: Join, part: Range) -> _Found:
    with _differing(conn, join, part) as differences:
        return counted(differences)


@contextmanager
def _differing(conn: Connection, join: Join, part: Range) -> Iterator[Iterator[Difference]]:
    with conn.cursor("compat_differences") as cursor:  # a server-side one: they may be many
        cursor.itersize = _FETCHED
        cursor.execute(join.differing(part))
        yield (_difference(join, row[:5]) for row in cursor)


def _first_differences(keep: int) -> Callable[[Connection, Join, Range], _Found]:
    def look(conn: Connection, join: Join, part: Range) -> _Found:
        rows = conn.execute(join.differing_counted(part, keep), prepare=False).fetchall()
        names = [pair.name for pair in join.pairs]
        by_column = {name: count for name, count in zip(names, rows[0][0], strict=True) if count}
        differing = tuple(_difference(join, row[1:]) for row in rows if row[1] is not None)
        return by_column, differing

    return look


def _difference(join: Join, row: tuple[Any, ...]) -> Difference:
    kind, key, faults, legacy, view = row
    if kind != "changed":
        return Difference(kind, tuple(key))
    cells = (
        Cell(pair.name, expected, found)
        for pair, is_fault, expected, found in zip(join.pairs, faults, legacy, view, strict=True)
        if is_fault
    )
    return Difference(kind, tuple(key), tuple(cells))
