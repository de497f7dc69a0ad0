"""Performance: what the view costs against the table, as ratios; and plans that lost an index.

Reads and declared queries run on the real relations, writes on copies of both, which no sync slows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from compat.compile.swap import add_constraints, create_table
from compat.connection import Connection, connect
from compat.errors import ConnectionFailed
from compat.names import idents, literal
from compat.tables import Table
from verify import plans
from verify import scratch as copies
from verify.context import Context, one_line, plural
from verify.probes.side import attempt
from verify.probes.statements import Cells, where
from verify.races import moves
from verify.refusals import raise_if_lost
from verify.report import Finding, Measure, Result, does_not_hold, holds, not_run
from verify.scratch import CannotCopy, Scratch
from verify.workload.comparison import a_row, set_up

NAME = "performance"

_COPIED_ROWS = 1000
_WARM_UP, _LEAST_ROUNDS, _MOST_ROUNDS = 3, 20, 200
_MOST_SECONDS = 1.0  # for one kind of statement, unless the least number of rounds takes longer
_TWIN = "compat_verify_twin"


@dataclass(frozen=True)
class Pair:
    """One kind of statement on both sides.

    :param before: what makes it possible each time, and is not timed
    """

    title: str
    table: str
    view: str
    before: tuple[str, str] = ("", "")


def check(context: Context) -> Result:
    """Return whether the view takes no more than so many times as long as the table.

    :raises psycopg.Error: a relation is missing or may not be read
    """
    if context.unfinished is not None:
        return not_run(NAME, context.unfinished)
    set_up(context)
    sample = a_row(context)
    if sample is None:
        return not_run(NAME, "the table is empty: there is nothing to measure")
    queries, notes = _queries(context, sample)
    reads = [_read(context, sample), *queries]
    if not context.has_table:
        reads, notes = [], ["only writes were measured: there is no table to read from instead"]
    findings, measures = [], []
    for pair in reads:
        try:
            measures.append(_measure(context.conn, pair))
        except psycopg.Error as error:
            raise_if_lost(error)
            notes.append(f"{pair.title}: {error.diag.message_primary}")
            continue
        findings += _lost_index(context, pair)
    writes, reason = _measure_writes(context)
    measures += writes
    limit = context.options.max_ratio
    findings += [_slow(measure, limit) for measure in measures if measure.ratios[0] > limit]
    more: dict[str, Any] = {"measures": tuple(measures), "notes": tuple(notes)}
    if findings:
        subjects = ", ".join(dict.fromkeys(finding.subject for finding in findings))
        return does_not_hold(NAME, f"dearer than it may be: {subjects}", tuple(findings), **more)
    if reason is not None:
        return not_run(NAME, f"writes were not measured: {reason}", **more)
    worst = max(measures, key=lambda measure: measure.ratios[0])
    return holds(
        NAME,
        f"{plural(len(measures), 'kind')} of statements, at most {worst.ratios[0]:.2f} × the table "
        f"({worst.title})",
        **more,
    )


# -- which statements -------------------------------------------------------------------------


def _queries(context: Context, sample: Cells) -> tuple[list[Pair], list[str]]:
    """Return the declared queries of this table, and why others are not among them."""
    from verify.workload.pointing import LeftOut, pointed

    found, notes = [], [f"left out: {reason}" for reason in context.options.queries.left_out]
    for query in context.options.queries.statements:
        try:
            said = pointed(query.text, context.mapping, sample)
        except LeftOut as reason:
            notes.append(f"left out: {query.place}: {reason}")
            continue
        if said is not None:
            sides = said.at(context.stored.legacy_sql), said.at(context.stored.view_sql)
            found.append(Pair(f"{query.place} {one_line(query.text, 60)}", *sides))
    return found, notes


def _read(context: Context, sample: Cells) -> Pair:
    key = {name: sample[name] for name in context.mapping.legacy.row_key}
    table, view = (
        f"SELECT * FROM {relation} WHERE {where(key)}"
        for relation in (context.stored.legacy_sql, context.stored.view_sql)
    )
    return Pair("read of one row by key", table, view)


def _writes(conn: Connection, scratch: Scratch, twin: Table) -> Iterator[Pair]:
    """Yield a write of each kind, of one row of the copies."""
    (key,) = copies.keys_of_rows(conn, scratch, 1)
    row = moves.shown(conn, scratch, key)

    def pair(title: str, statement: Callable[[str], str], before: Callable[[str], str]) -> Pair:
        table, view = twin.sql, scratch.view
        return Pair(title, statement(table), statement(view), (before(table), before(view)))

    def delete(relation: str) -> str:
        return f"DELETE FROM {relation} WHERE {where(key)}"

    names = [c.name for c in twin.columns if c.generated is None and c.identity != "always"]
    values = ", ".join(literal(row[name]) for name in names)
    yield pair(
        "insert of one row",
        lambda relation: f"INSERT INTO {relation} ({idents(names)}) VALUES ({values})",
        delete,
    )
    for converts in (False, True):
        for change in moves.changes(conn, scratch, key):
            if change.lens.converts is converts:
                kind = "converted" if converts else "renamed"
                assignment = change.assignment
                yield pair(
                    f"update of a {kind} column of one row",
                    lambda relation, a=assignment: (  # type: ignore[misc]
                        f"UPDATE {relation} SET {a} WHERE {where(key)}"
                    ),
                    lambda relation: "",
                )
                break
    yield pair("delete of one row", delete, lambda relation: "")


# -- how long they take -----------------------------------------------------------------------


def _measure_writes(context: Context) -> tuple[list[Measure], str | None]:
    """Return what writes cost, or why that was not measured."""
    try:
        with (
            copies.opened(context, _COPIED_ROWS) as scratch,
            connect(scratch.url, autocommit=False, purpose="verify performance") as conn,
        ):
            twin = _copied_table(conn, scratch)
            return [_measure(conn, pair) for pair in list(_writes(conn, scratch, twin))], None
    except (CannotCopy, ConnectionFailed) as error:
        return [], str(error)
    except psycopg.errors.InsufficientPrivilege as error:
        return [], error.diag.message_primary


def _copied_table(conn: Connection, scratch: Scratch) -> Table:
    """Make a copy of the legacy table as it was mapped, with the rows of the view's copy."""
    table = replace(scratch.mapping.legacy, schema=scratch.schema, name=_TWIN)
    for statement in create_table(table, table.name):
        conn.execute(statement.replace("CREATE TABLE", "CREATE UNLOGGED TABLE", 1))
    columns = idents([column.name for column in table.columns if column.generated is None])
    conn.execute(f"INSERT INTO {table.sql} ({columns}) SELECT {columns} FROM {scratch.view}")
    for statement in add_constraints(table, table.name, foreign_keys=False):
        conn.execute(statement)
    conn.commit()
    for relation in (table, *scratch.tables):
        conn.execute(f"ANALYZE {relation.sql}")
    conn.commit()
    return table


def _measure(conn: Connection, pair: Pair) -> Measure:
    """Let both sides take turns, each turn undone, and return what they took."""
    table, view = list[float](), list[float]()
    sides = [(pair.table, pair.before[0], table), (pair.view, pair.before[1], view)]
    end = time.perf_counter() + _MOST_SECONDS
    for turn in range(_MOST_ROUNDS + _WARM_UP):
        if turn >= _LEAST_ROUNDS + _WARM_UP and time.perf_counter() > end:
            break
        for statement, before, times in sides:
            with attempt(conn):
                if before:
                    conn.execute(before, prepare=True)
                started = time.perf_counter()
                conn.execute(statement, prepare=True)
                times.append(1000 * (time.perf_counter() - started))
        sides.reverse()
    return Measure(pair.title, _percentiles(table[_WARM_UP:]), _percentiles(view[_WARM_UP:]))


def _percentiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def _slow(measure: Measure, limit: float) -> Finding:
    ratios = "{:.2f} × (p95: {:.2f} ×)".format(*measure.ratios)
    return Finding(
        "slow",
        measure.title,
        f"p50 is {measure.table[0]:.3f} ms on the table, {measure.view[0]:.3f} ms on the view: "
        f"{ratios}, more than {limit:g} ×",
        expected=f"{measure.table[0]:.3f} ms",
        found=f"{measure.view[0]:.3f} ms",
    )


# -- plans ------------------------------------------------------------------------------------


def _lost_index(context: Context, pair: Pair) -> list[Finding]:
    """Return a finding when the table is read by an index and the view reads all its target."""
    conn, names = context.conn, [table.name for table in context.mapping.tables]
    table = _scans(conn, pair.table, context.physical_name)
    view = set[str]().union(*(_scans(conn, pair.view, name) for name in names))
    if "Seq Scan" in table or "Seq Scan" not in view:
        return []
    before, after = (plans.text(conn, sql) for sql in (pair.table, pair.view))
    message = (
        f"the table is read by an index, the view reads all of a table: {', '.join(names)}\n"
        f"table:\n{before}\nview:\n{after}"
    )
    return [Finding("plan", pair.title, message, expected=before, found=after)]


def _scans(conn: Connection, sql: str, relation: str) -> set[str]:
    """Return by which kinds of plan nodes a relation is read."""
    found = plans.nodes(conn, sql)
    return {str(node["Node Type"]) for node in found if node.get("Relation Name") == relation}
