"""The rate of a move between two databases against psql's \\copy out into a file and in from it.

Both convert the same rows and insert them under the same keys, checks and indexes. Wall time: two
servers and a client share the work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config

from benchmarks.measure import Clock, Connection, Cost, Part, Result, interleave, median_cost, ratio
from compat.connection import connect
from compat.database import Database
from compat.mapping import Mapping, load
from compat.run.move import move
from examples.reservations.data import load_monolith

ROOT = Path(__file__).parents[1]
COPY = "\\copy out and in"
COMMAND = "compat move"

_OUT = (
    "SELECT id, product_id, NULLIF(order_id, 0), quantity, status, expires_at, created_at,"
    " updated_at FROM inventory_reservations"
)
_IN = (
    "inventory_reservations"
    " (id, listing_id, order_id, quantity, status, expires_at, created_at, updated_at)"
)


def is_possible() -> bool:
    """Return whether there is a psql to compare with."""
    return shutil.which("psql") is not None


def measure(server: Database, rows: int, repeat: int) -> Result:
    """Move that many reservations from one database of the server to another, both ways."""
    mapping = dataclasses.replace(
        load(str(ROOT / "alembic" / "mappings" / "inventory_reservations.py")), where=None
    )
    with (
        server.fresh() as source,
        server.fresh() as target,
        psycopg.connect(source, autocommit=True) as monolith,
        psycopg.connect(target, autocommit=True) as microservice,
    ):
        load_monolith(monolith, rows)
        _create_target(microservice, target, rows)
        clock = Clock(microservice)
        ways: dict[str, Callable[[], int]] = {
            COPY: functools.partial(_copy, source, target),
            COMMAND: functools.partial(_move, source, target, mapping),
        }

        @contextlib.contextmanager
        def sample(way: str, turn: int) -> Iterator[list[Part]]:
            def run() -> Cost:
                microservice.execute("TRUNCATE inventory_reservations")
                with clock.lap(rows) as laps:
                    moved = ways[way]()
                assert moved == rows, (way, moved)
                return dataclasses.replace(laps[0], cpu=None)  # of a connection that did nothing

            yield [run]

        costs = dict(zip(ways, interleave(list(ways), sample, repeat), strict=True))
    copied = costs.pop(COPY)
    return Result(
        f"{rows:,} rows",
        median_cost(copied),
        {label: ratio(copied, others) for label, others in costs.items()},
    )


def _create_target(conn: Connection, url: str, rows: int) -> None:
    config = Config(ROOT / "alembic.ini")
    config.attributes["configure_logging"] = False
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "inventory_reservations@head")
    conn.execute(
        "INSERT INTO listings SELECT i, 'listing ' || i, 1 FROM generate_series(1, %s) AS i", [rows]
    )
    conn.execute("VACUUM (ANALYZE) listings")


def _copy(source: str, target: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        _psql(source, f"\\copy ({_OUT}) TO '{path}'")
        return int(_psql(target, f"\\copy {_IN} FROM '{path}'").removeprefix("COPY "))


def _psql(url: str, statement: str) -> str:
    arguments = ["psql", "--no-psqlrc", "--dbname", url, "--command", statement]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()


def _move(source: str, target: str, mapping: Mapping) -> int:
    with connect(source) as origin, connect(target) as destination:
        return move(origin, destination, mapping, execute=True).tally.moved
