"""Contents: every row of the legacy table against the view, both directions, exact.

Compared range by range in one snapshot; only what differs leaves the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compat.connection import url_of
from verify.compare import within
from verify.compare.crew import compare_all
from verify.compare.differences import Outcome
from verify.compare.join import Join
from verify.compare.log import Numbered
from verify.compare.ranges import Range, cut, some
from verify.compare.verdict import WITHIN, Verdict
from verify.context import Context
from verify.report import Finding, Result, does_not_hold

NAME = "contents"


def check(context: Context) -> Result:
    """Return whether the view shows exactly the rows of the legacy table.

    For columns whose loss the mapping accepts, a difference counts as loss when the view shows
    what writing and reading the legacy value gives.

    :raises psycopg.Error: a relation is missing, may not be read, or reading it raises
    """
    unfinished = context.unfinished
    if unfinished is not None:
        finding = Finding("unfinished", context.mapping.name, unfinished)
        return does_not_hold(NAME, unfinished, (finding,))
    mapping, log = context.mapping, context.log
    _compare(context, log.begin(mapping.name, _identity(context), lambda: _ranges(context)))
    verdict = Verdict(
        NAME,
        mapping.name,
        mapping.legacy.row_key,
        WITHIN,
        {lens.legacy.name: lens.loss for lens in mapping.lenses if lens.loss is not None},
        context.options,
        context.limit,
    )
    return verdict.result(log.total(mapping.name), log.differences(mapping.name))


def _identity(context: Context) -> dict[str, Any]:
    return {
        "fingerprint": context.mapping.fingerprint,
        "phase": context.stored.phase,
        "sample": context.options.sample,
        "database": context.conn.info.dbname,
    }


def _ranges(context: Context) -> tuple[Range, ...]:
    """Cut the table, where a range of the view can be looked up by an index."""
    if not within.can_cut(context.mapping):
        return (Range(),)
    size = context.options.range_rows or within.ROWS_PER_RANGE
    found = cut(context.conn, context.physical, size)
    sample = context.options.sample
    return found if sample is None else some(found, sample)


def _compare(context: Context, ranges: list[Numbered]) -> None:
    """Compare on this connection, or on workers that share its snapshot."""
    mapping, options, log = context.mapping, context.options, context.log
    legacy_sql, view_sql = context.stored.legacy_sql, context.stored.view_sql
    keep = None if options.differences.takes_all else context.limit
    is_alone = options.workers == 1 and options.dask is None
    if is_alone or len(ranges) == 1 or context.snapshot is None:
        join = Join(mapping, legacy_sql, view_sql)
        if keep is None and ranges and not within.can_cut(mapping):
            _log_pieces(context, within.compare_whole(context.conn, join))
            return
        for number, part in ranges:
            log.add(mapping.name, number, within.compare(context.conn, join, part, keep))
        return
    url, document, snapshot = url_of(context.conn), mapping.to_json(), context.snapshot

    def job(some: tuple[Numbered, ...]) -> within.Job:
        return within.Job(url, snapshot, document, legacy_sql, view_sql, some, keep)

    compare_all(
        within.compare_ranges,
        job,
        ranges,
        within.RANGES_PER_JOB,
        log=log,
        name=mapping.name,
        options=options,
    )


def _log_pieces(context: Context, pieces: Iterator[Outcome]) -> None:
    """Log what was found in a table that is one range; that range last, which is done then."""
    for number, piece in enumerate(pieces, start=1):
        is_last = not piece.differences
        context.log.add(context.mapping.name, 0 if is_last else number, piece)
