"""The rate of the copy against one INSERT … SELECT into the same target, and what the tool holds.

The target has all its constraints and indexes in both cases. Several workers are several server
processes, so only the wall clock can compare them with the one statement.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from benchmarks import journey
from benchmarks.measure import (
    Clock,
    Connection,
    Cost,
    Part,
    Result,
    interleave,
    median_cost,
    ratio,
    run_measured,
)
from compat import state
from compat.compile import copy as compiled
from compat.compile.functions import columns_and_values
from compat.connection import connect
from compat.database import Database
from compat.mapping import Mapping
from compat.rules import Row
from compat.run import copy as command

WORKERS = (1, 2, 4)
ONE_STATEMENT = "one statement"


@dataclass(frozen=True)
class Copying:
    """The rates at one size, and the peak memory of `compat copy`, in bytes, where it is told."""

    rates: Result
    peak_memory: int | None


def label(workers: int) -> str:
    """The column of so many workers."""
    return f"{workers} worker{'s' * (workers > 1)}"


def measure(server: Database, rows: int, repeat: int) -> Copying:
    """Copy that many rows in one statement, by the command with so many workers, and as a child."""
    with server.fresh() as url, connect(url) as conn:
        clock = Clock(conn)
        journey.load_legacy(conn, rows)
        mapping = journey.create_target(conn, "instead_of")
        journey.expand(conn, mapping)
        conn.execute(f"VACUUM ANALYZE {mapping.legacy.sql}")
        ways = _ways(conn, mapping)

        @contextlib.contextmanager
        def sample(way: str, turn: int) -> Iterator[list[Part]]:
            def run() -> Cost:
                _empty_target(conn, mapping)
                with clock.lap(rows) as laps:
                    copied = ways[way]()
                assert copied == rows, (way, copied)
                return Cost(laps[0].wall, None)

            yield [run]

        costs = dict(zip(ways, interleave(list(ways), sample, repeat), strict=True))
        _empty_target(conn, mapping)
        conn.execute("SELECT pg_advisory_unlock_all()")  # the command's, from its turns here
        memory = _peak_memory(url, mapping)
    # A rate is the inverse of a cost: the one statement stands above the line.
    one = costs.pop(ONE_STATEMENT)
    rates = {name: ratio(one, others) for name, others in costs.items()}
    return Copying(Result(f"{rows:,} rows", median_cost(one), rates), memory)


def _ways(conn: Connection, mapping: Mapping) -> dict[str, Callable[[], int]]:
    columns, values = columns_and_values(mapping.writes(Row("l")))
    one_statement = (
        f"INSERT INTO {mapping.target.sql} ({columns})\n"
        f"SELECT {values} FROM {mapping.legacy.sql} AS l"
    )
    return {
        ONE_STATEMENT: lambda: conn.execute(one_statement).rowcount,
        **{label(n): functools.partial(_copy, conn, mapping, n) for n in WORKERS},
    }


def _copy(conn: Connection, mapping: Mapping, workers: int) -> int:
    return command.copy(conn, mapping.name, command.CopyOptions(workers=workers)).rows_copied


def _peak_memory(url: str, mapping: Mapping) -> int | None:
    """The peak of the command, which must succeed."""
    code, peak = run_measured("compat.cli", url, "copy", mapping.name, "--execute")
    assert code == 0, "compat copy failed"
    return peak


def _empty_target(conn: psycopg.Connection, mapping: Mapping) -> None:
    """As before the copy, which leaves settings, progress and a phase behind."""
    conn.execute(compiled.allow_writes())
    conn.execute(f"TRUNCATE {mapping.target.sql}")
    conn.execute("DELETE FROM compat.copy_progress")
    state.set_phase(conn, mapping.name, "expanded")
    conn.execute("CHECKPOINT")  # or one way would write what another has left
