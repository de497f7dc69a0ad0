"""What a client's statement costs on each side, against the native legacy table.

Short statements run many times, each in its own transaction, as clients run them.
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.types.numeric import Int4

from benchmarks.journey import FIRST_FREE_LINE, INSERTED, LEGACY, Side, source_rows
from benchmarks.measure import Cost, Part, Result, Sample, interleave, median_cost, ratio

WARM_UP = 12
"""Executions before the clock runs: PostgreSQL settles on a plan after five."""

RANGE = 100
BULK_ROWS = 200_000
PIECE = 100
"""Executions between two readings of the clock, some milliseconds."""

MOST_PIECES = 20

Parameters = tuple[object, ...]


@dataclass(frozen=True)
class Operation:
    """One kind of statement: its name, what it is called in the table, how a sample is taken."""

    name: str
    title: str
    sample: Sample[Side]
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


def _parts(
    side: Side, query: str, parameters: Iterable[Parameters], *, simple: bool = False
) -> list[Part]:
    """Return pieces that execute the statement, once for each tuple of parameters."""
    given = list(parameters)
    cursor: psycopg.Cursor[psycopg.rows.TupleRow]
    cursor = psycopg.ClientCursor(side.conn) if simple else side.conn.cursor()
    prepare = None if simple else True

    def run(values: Sequence[Parameters]) -> Cost:
        with side.clock.lap(len(values)) as laps:
            for value in values:
                cursor.execute(query, value, prepare=prepare)
        return laps[0]

    run(given[:WARM_UP])
    return [
        functools.partial(run, given[start : start + PIECE])
        for start in range(WARM_UP, len(given), PIECE)
    ]


def _count(side: Side) -> int:
    return WARM_UP + PIECE * max(1, min(MOST_PIECES, side.rows // 5_000))


def _keys(side: Side, turn: int, *, room: int = 0) -> list[int]:
    """The same keys for each side of one turn."""
    chosen = random.Random(turn)
    return [chosen.randint(1, side.rows - room) for _ in range(_count(side))]


@contextlib.contextmanager
def _select(side: Side, turn: int, *, simple: bool) -> Iterator[list[Part]]:
    query = f"SELECT * FROM {LEGACY} WHERE id = %s"
    yield _parts(side, query, ((Int4(key),) for key in _keys(side, turn)), simple=simple)


@contextlib.contextmanager
def _range(side: Side, turn: int, *, simple: bool) -> Iterator[list[Part]]:
    query = f"SELECT * FROM {LEGACY} WHERE id BETWEEN %s AND %s"
    keys = _keys(side, turn, room=RANGE)
    values = [(Int4(key), Int4(key + RANGE - 1)) for key in keys]
    yield _parts(side, query, values, simple=simple)


@contextlib.contextmanager
def _insert(side: Side, turn: int) -> Iterator[list[Part]]:
    query = (
        f"INSERT INTO {LEGACY} (order_id, product_id, line_no, qty, price, status, note)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"
    )
    values = [
        (Int4(1 + key // 4), Int4(1 + key % 1000), Int4(FIRST_FREE_LINE + number), Int4(2), "9.90",
         Int4(1 + key % 4), "a new line")
        for number, key in enumerate(_keys(side, turn))
    ]  # fmt: skip
    yield _parts(side, query, values)
    side.conn.execute(f"DELETE FROM {LEGACY} WHERE line_no >= {FIRST_FREE_LINE}")
    side.vacuum()


@contextlib.contextmanager
def _update(side: Side, turn: int) -> Iterator[list[Part]]:
    query = f"UPDATE {LEGACY} SET qty = %s, status = %s WHERE id = %s"
    values = [
        (Int4(1 + (key + turn) % 5), Int4(1 + (key + turn) % 4), Int4(key))
        for key in _keys(side, turn)
    ]
    yield _parts(side, query, values)
    side.vacuum()


@contextlib.contextmanager
def _delete(side: Side, turn: int) -> Iterator[list[Part]]:
    rows = side.conn.execute(
        f"INSERT INTO {LEGACY} (order_id, product_id, line_no)"
        f" SELECT 1 + i %% 100, 1 + i %% 100, {FIRST_FREE_LINE} + i"
        " FROM generate_series(1, %s) AS i RETURNING id",
        [_count(side)],
    ).fetchall()
    query = f"DELETE FROM {LEGACY} WHERE id = %s"
    yield _parts(side, query, ((Int4(row[0]),) for row in rows))
    side.vacuum()


# Statements over many rows -----------------------------------------------------------------------


def _rolled_back(side: Side, query: str) -> list[Part]:
    """Return one large statement, per row; undone, so that every sample meets the same table."""

    def run() -> Cost:
        with side.conn.transaction(force_rollback=True), side.conn.cursor() as cursor:
            with side.clock.lap() as laps:
                cursor.execute(query)
            rows = cursor.rowcount
        return laps[0].per(rows)

    return [run]


def _bulk_rows(side: Side) -> int:
    return min(BULK_ROWS, side.rows)


@contextlib.contextmanager
def _bulk_insert(side: Side, turn: int) -> Iterator[list[Part]]:
    source = source_rows(_bulk_rows(side), first_line=FIRST_FREE_LINE)
    yield _rolled_back(side, f"INSERT INTO {LEGACY} ({INSERTED}) {source}")
    side.vacuum()


@contextlib.contextmanager
def _bulk_update(side: Side, turn: int) -> Iterator[list[Part]]:
    yield _rolled_back(
        side,
        f"UPDATE {LEGACY} SET qty = qty % 5 + 1, status = status % 4 + 1"
        f" WHERE id <= {_bulk_rows(side)}",
    )
    side.vacuum()


def operations(rows: int) -> tuple[Operation, ...]:
    """Every operation, in the order of the report."""
    bulk = f"{min(BULK_ROWS, rows):,} rows"
    return (
        Operation(
            "select-simple",
            "select by key, simple protocol",
            functools.partial(_select, simple=True),
            writes=False,
        ),
        Operation(
            "select-prepared",
            "select by key, prepared",
            functools.partial(_select, simple=False),
            writes=False,
        ),
        Operation(
            "range-simple",
            f"range select ({RANGE} rows), simple protocol",
            functools.partial(_range, simple=True),
            writes=False,
        ),
        Operation(
            "range-prepared",
            f"range select ({RANGE} rows), prepared",
            functools.partial(_range, simple=False),
            writes=False,
        ),
        Operation("insert", "single-row insert, prepared", _insert),
        Operation("update", "single-row update, prepared", _update),
        Operation("delete", "single-row delete, prepared", _delete),
        Operation("bulk-insert", f"INSERT … SELECT of {bulk}, per row", _bulk_insert),
        Operation("bulk-update", f"UPDATE of {bulk}, per row", _bulk_update),
    )
