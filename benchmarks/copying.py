"""The rate of the copy in batches against one INSERT … SELECT into the same target.

The target has all its constraints and indexes in both cases: the ratio speaks of the batches only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from benchmarks import journey
from benchmarks.measure import Clock, Connection, Cost, Part, Result, interleave, median_cost, ratio
from compat.compile.functions import columns_and_values
from compat.database import Database
from compat.mapping import Mapping
from compat.rules import Row

BATCH_SIZES = (1_000, 5_000, 20_000)


@dataclass(frozen=True)
class _Way:
    label: str
    batch_size: int | None


def measure(server: Database, rows: int, repeat: int) -> Result:
    """Copy that many rows in one statement, and in batches of each size."""
    ways = [_Way("one statement", None)]
    ways += [_Way(f"batches of {size:,}", size) for size in BATCH_SIZES]
    with server.fresh() as url, psycopg.connect(url, autocommit=True) as conn:
        clock = Clock(conn)
        conn.execute("SET max_parallel_workers_per_gather = 0")
        journey.load_legacy(conn, rows)
        mapping = journey.create_target(conn, "instead_of")

        @contextlib.contextmanager
        def sample(way: _Way, turn: int) -> Iterator[list[Part]]:
            def run() -> Cost:
                conn.execute(f"TRUNCATE {mapping.target.sql}")
                with clock.lap(rows) as laps:
                    copied = _copy(conn, mapping, way.batch_size)
                assert copied == rows
                return laps[0]

            yield [run]

        costs = interleave(ways, sample, repeat)
    # A rate is the inverse of a cost: the one statement stands above the line.
    return Result(
        f"{rows:,} rows",
        median_cost(costs[0]),
        {way.label: ratio(costs[0], costs[n]) for n, way in enumerate(ways) if n > 0},
    )


def _copy(conn: Connection, mapping: Mapping, batch_size: int | None) -> int:
    if batch_size is not None:
        return journey.copy(conn, mapping, batch_size)
    columns, values = columns_and_values(mapping.writes(Row("l")))
    return conn.execute(
        f"INSERT INTO {mapping.target.sql} ({columns})\n"
        f"SELECT {values} FROM {mapping.legacy.sql} AS l"
    ).rowcount
