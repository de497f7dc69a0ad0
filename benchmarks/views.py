"""What a client's statement costs on each side, against the native legacy table.

Short statements run many times per sample, each in its own transaction, as clients run them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.types.numeric import Int4

from benchmarks.journey import FIRST_FREE_LINE, INSERTED, LEGACY, Side, source_rows
from benchmarks.measure import Cost, Result, interleave, median_cost, ratio

WARM_UP = 12
"""Executions before the clock runs: PostgreSQL settles on a plan after five."""

RANGE = 100
BULK_ROWS = 200_000
MOST_OPERATIONS = 2_000

Parameters = tuple[object, ...]


@dataclass(frozen=True)
class Operation:
    """One kind of statement: its name, what it is called in the table, how a sample is taken."""

    name: str
    title: str
    sample: Callable[[Side, int], Cost]
    writes: bool = True


def measure(operation: Operation, sides: Sequence[Side], repeat: int) -> Result:
    """Sample the sides in turn; the first is the baseline."""
    costs = interleave(sides, operation.sample, repeat)
    return Result(
        operation.title,
        median_cost(costs[0]),
        {
            side.label: ratio(own, costs[0])
            for side, own in list(zip(sides, costs, strict=True))[1:]
        },
    )


# Single statements -------------------------------------------------------------------------------


def _run(side: Side, query: str, parameters: Iterable[Parameters], *, simple: bool = False) -> Cost:
    """Execute the statement once for each tuple of parameters, and return the cost of one."""
    given = list(parameters)
    cursor: psycopg.Cursor[psycopg.rows.TupleRow]
    cursor = psycopg.ClientCursor(side.conn) if simple else side.conn.cursor()
    prepare = None if simple else True
    with cursor:
        for values in given[:WARM_UP]:
            cursor.execute(query, values, prepare=prepare)
        timed = given[WARM_UP:]
        with side.clock.lap(len(timed)) as laps:
            for values in timed:
                cursor.execute(query, values, prepare=prepare)
    return laps[0]


def _count(side: Side) -> int:
    return WARM_UP + max(50, min(MOST_OPERATIONS, side.rows // 50))


def _keys(side: Side, turn: int, *, room: int = 0) -> list[int]:
    """The same keys for each side of one turn."""
    chosen = random.Random(turn)
    return [chosen.randint(1, side.rows - room) for _ in range(_count(side))]


def _select(side: Side, turn: int, *, simple: bool) -> Cost:
    query = f"SELECT * FROM {LEGACY} WHERE id = %s"
    return _run(side, query, ((Int4(key),) for key in _keys(side, turn)), simple=simple)


def _range(side: Side, turn: int, *, simple: bool) -> Cost:
    query = f"SELECT * FROM {LEGACY} WHERE id BETWEEN %s AND %s"
    keys = _keys(side, turn, room=RANGE)
    values = [(Int4(key), Int4(key + RANGE - 1)) for key in keys]
    return _run(side, query, values, simple=simple)


def _insert(side: Side, turn: int) -> Cost:
    query = (
        f"INSERT INTO {LEGACY} (order_id, product_id, line_no, qty, price, status, note)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"
    )
    values = [
        (Int4(1 + key // 4), Int4(1 + key % 1000), Int4(side.fresh_line()), Int4(2), "9.90",
         Int4(1 + key % 4), "a new line")
        for key in _keys(side, turn)
    ]  # fmt: skip
    cost = _run(side, query, values)
    side.conn.execute(f"DELETE FROM {LEGACY} WHERE line_no >= {FIRST_FREE_LINE}")
    side.vacuum()
    return cost


def _update(side: Side, turn: int) -> Cost:
    query = f"UPDATE {LEGACY} SET qty = %s, status = %s WHERE id = %s"
    values = [
        (Int4(1 + (key + turn) % 5), Int4(1 + (key + turn) % 4), Int4(key))
        for key in _keys(side, turn)
    ]
    cost = _run(side, query, values)
    side.vacuum()
    return cost


def _delete(side: Side, turn: int) -> Cost:
    count = _count(side)
    rows = side.conn.execute(
        f"INSERT INTO {LEGACY} (order_id, product_id, line_no)"
        f" SELECT 1 + i %% 100, 1 + i %% 100, {FIRST_FREE_LINE} + i"
        " FROM generate_series(1, %s) AS i RETURNING id",
        [count],
    ).fetchall()
    query = f"DELETE FROM {LEGACY} WHERE id = %s"
    cost = _run(side, query, ((Int4(row[0]),) for row in rows))
    side.vacuum()
    return cost


# Statements over many rows -----------------------------------------------------------------------


def _rolled_back(side: Side, query: str) -> Cost:
    """Run one large statement, per row; undone, so that every sample meets the same table."""
    with side.conn.transaction(force_rollback=True), side.conn.cursor() as cursor:
        with side.clock.lap() as laps:
            cursor.execute(query)
        rows = cursor.rowcount
    side.vacuum()
    cpu = laps[0].cpu
    return Cost(laps[0].wall / rows, None if cpu is None else cpu / rows)


def _bulk_rows(side: Side) -> int:
    return min(BULK_ROWS, side.rows)


def _bulk_insert(side: Side, turn: int) -> Cost:
    source = source_rows(_bulk_rows(side), first_line=FIRST_FREE_LINE)
    return _rolled_back(side, f"INSERT INTO {LEGACY} ({INSERTED}) {source}")


def _bulk_update(side: Side, turn: int) -> Cost:
    return _rolled_back(
        side,
        f"UPDATE {LEGACY} SET qty = qty % 5 + 1, status = status % 4 + 1"
        f" WHERE id <= {_bulk_rows(side)}",
    )


def operations(rows: int) -> tuple[Operation, ...]:
    """Every operation, in the order of the report."""
    bulk = f"{min(BULK_ROWS, rows):,} rows"
    return (
        Operation(
            "select-simple",
            "select by key, simple protocol",
            lambda side, turn: _select(side, turn, simple=True),
            writes=False,
        ),
        Operation(
            "select-prepared",
            "select by key, prepared",
            lambda side, turn: _select(side, turn, simple=False),
            writes=False,
        ),
        Operation(
            "range-simple",
            f"range select ({RANGE} rows), simple protocol",
            lambda side, turn: _range(side, turn, simple=True),
            writes=False,
        ),
        Operation(
            "range-prepared",
            f"range select ({RANGE} rows), prepared",
            lambda side, turn: _range(side, turn, simple=False),
            writes=False,
        ),
        Operation("insert", "single-row insert, prepared", _insert),
        Operation("update", "single-row update, prepared", _update),
        Operation("delete", "single-row delete, prepared", _delete),
        Operation("bulk-insert", f"INSERT … SELECT of {bulk}, per row", _bulk_insert),
        Operation("bulk-update", f"UPDATE of {bulk}, per row", _bulk_update),
    )
