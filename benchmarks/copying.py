"""The rate of the copy in batches against one INSERT … SELECT into the same target.

The target has all its constraints and indexes in both cases: the ratio speaks of the batches only.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import psycopg

from benchmarks import journey
from benchmarks.measure import Clock, Connection, Cost, Part, Result, interleave, median_cost, ratio
from compat import state
from compat.compile import copy as compiled
from compat.compile.functions import columns_and_values
from compat.database import Database
from compat.mapping import Mapping
from compat.rules import Row
from compat.run import copy as command

BATCH_SIZES = (1_000, 5_000, 20_000)


ONE_STATEMENT = "one statement"
COMMAND = "compat copy"


def measure(server: Database, rows: int, repeat: int) -> Result:
    """Copy that many rows in one statement, in batches of each size, and by the command."""
    with server.fresh() as url, psycopg.connect(url, autocommit=True) as conn:
        clock = Clock(conn)
        journey.load_legacy(conn, rows)
        mapping = journey.create_target(conn, "instead_of")
        journey.expand(conn, mapping)
        ways = _ways(conn, mapping)

        @contextlib.contextmanager
        def sample(way: str, turn: int) -> Iterator[list[Part]]:
            def run() -> Cost:
                _empty_target(conn, mapping)
                with clock.lap(rows) as laps:
                    copied = ways[way]()
                assert copied == rows, (way, copied)
                return laps[0]

            yield [run]

        labels = list(ways)
        costs = dict(zip(labels, interleave(labels, sample, repeat), strict=True))
    # A rate is the inverse of a cost: the one statement stands above the line.
    one = costs.pop(ONE_STATEMENT)
    return Result(
        f"{rows:,} rows",
        median_cost(one),
        {label: ratio(one, others) for label, others in costs.items()},
    )


def _ways(conn: Connection, mapping: Mapping) -> dict[str, Callable[[], int]]:
    columns, values = columns_and_values(mapping.writes(Row("l")))
    one_statement = (
        f"INSERT INTO {mapping.target.sql} ({columns})\n"
        f"SELECT {values} FROM {mapping.legacy.sql} AS l"
    )
    return {
        ONE_STATEMENT: lambda: conn.execute(one_statement).rowcount,
        **{
            f"batches of {size:,}": functools.partial(journey.copy, conn, mapping, size)
            for size in BATCH_SIZES
        },
        # With its checks of every value, its counts and its records of progress.
        COMMAND: lambda: command.copy(conn, mapping.name).rows_copied,
    }


def _empty_target(conn: Connection, mapping: Mapping) -> None:
    """As before the copy; the command leaves settings and a phase behind."""
    conn.execute("RESET ALL")
    conn.execute(compiled.allow_writes())
    # One process must do the work, or its CPU time would not be all of it.
    conn.execute("SET max_parallel_workers_per_gather = 0")
    conn.execute(f"TRUNCATE {mapping.target.sql}")
    conn.execute("DELETE FROM compat.copy_progress")
    state.set_phase(conn, mapping.name, "expanded")
