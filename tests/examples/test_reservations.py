"""The monolith and its microservice, on two servers, as a stranger runs the example.

The second server is of another PostgreSQL version where the machine has one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from compat import catalog
from compat.database import Database, DatabaseUnavailable, Kind, provide_database
from compat.mapping import Mapping, load
from tests.repository import ROOT
from tests.run.support import environment, picture

MAPPING = "alembic/mappings/inventory_reservations.py"
ROWS = 400
ACTIVE = "status = 'active' AND expires_at > now()"
HAS_LISTING = "product_id % 20 > 0"


@dataclass(frozen=True)
class Databases:
    """The addresses of the monolith and of the microservice."""

    monolith: str
    microservice: str

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command of the example in the checkout; return what it printed."""
        variables = environment(
            None,
            COMPAT_SOURCE_URL=self.monolith,
            COMPAT_TARGET_URL=self.microservice,
            PYTHONPATH=os.pathsep.join((str(ROOT / "examples"), str(ROOT))),
        )
        finished = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished.stdout

    def compat(self, *arguments: str, code: int = 0) -> str:
        return self.run("-c", "from compat.cli import main; main()", *arguments, code=code)

    def query(self, address: str, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(address, autocommit=True) as conn:
            return conn.execute(query).fetchall()


@pytest.fixture(scope="module")
def other_server(server: Database) -> Iterator[Database]:
    """A second server: of another kind than the tests' own, if there is one."""
    kinds: tuple[Kind | None, ...] = ("embedded", "binaries", None)
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            if kind == server.kind:
                continue
            try:
                yield stack.enter_context(provide_database(kind, own=True))
            except DatabaseUnavailable:
                continue
            return


@pytest.fixture
def databases(other_server: Database, url: str) -> Iterator[Databases]:
    """The example as it is before the move."""
    with other_server.fresh() as monolith:
        found = Databases(monolith, url)
        found.run("-m", "alembic", "-x", f"url={url}", "upgrade", "inventory_reservations@head")
        found.run("-m", "reservations", "--rows", str(ROWS))
        yield found


def test_active_reservations_move_and_everything_else_stays(databases: Databases) -> None:
    with psycopg.connect(databases.monolith, autocommit=True) as conn:
        before = picture(conn)
    with psycopg.connect(databases.microservice, autocommit=True) as conn:
        empty = picture(conn)
    (active,) = databases.query(
        databases.monolith,
        f"SELECT count(*), count(*) FILTER (WHERE {HAS_LISTING}) FROM inventory_reservations"
        f" WHERE {ACTIVE}",
    )
    assert 0 < active[1] < active[0] < ROWS

    dry = databases.compat("move", MAPPING, "--verbose")

    assert dry.count("would move id = ") == active[1]
    assert dry.count("skipped id = ") == active[0] - active[1]
    assert "parent missing" in dry
    with psycopg.connect(databases.microservice, autocommit=True) as conn:
        assert picture(conn) == empty

    wet = databases.compat("move", MAPPING, "--execute")

    assert "foreign key inventory_reservations_listing_id_fkey → public.listings: valid" in wet
    assert databases.query(
        databases.microservice,
        "SELECT id, listing_id, order_id, quantity, status, expires_at, created_at, updated_at"
        " FROM inventory_reservations ORDER BY id",
    ) == databases.query(
        databases.monolith,
        "SELECT id, product_id, NULLIF(order_id, 0), quantity, status::text, expires_at,"
        f" created_at, updated_at FROM inventory_reservations WHERE {ACTIVE} AND {HAS_LISTING}"
        " ORDER BY id",
    )
    with psycopg.connect(databases.monolith, autocommit=True) as conn:
        assert picture(conn) == before


def test_the_microservice_works_on_and_only_the_move_is_taken_back(databases: Databases) -> None:
    databases.compat("move", MAPPING, "--execute")
    (new,) = databases.query(
        databases.microservice,
        "INSERT INTO inventory_reservations (listing_id, quantity, expires_at)"
        " VALUES (1, 1, now() + interval '1 day') RETURNING id",
    )
    assert new[0] > ROWS - 10  # past every key that was moved
    (changed,) = databases.query(
        databases.microservice,
        "UPDATE inventory_reservations SET status = 'committed' WHERE id = ("
        " SELECT min(id) FROM inventory_reservations) RETURNING id",
    )
    assert f"not overwritten id = {changed[0]}: differs in status" in databases.compat(
        "move", "inventory_reservations", "--execute"
    )

    assert f"stays: id = {changed[0]} (changed since)" in databases.compat(
        "unmove", "inventory_reservations", "--execute", code=1
    )

    left = databases.query(databases.microservice, "SELECT id FROM inventory_reservations")
    assert sorted(left) == [changed, new]


def test_the_mapping_describes_both_tables_as_the_example_makes_them(
    databases: Databases,
) -> None:
    mapping: Mapping = load(str(ROOT / MAPPING))
    name = "inventory_reservations"
    for address, table in (
        (databases.monolith, mapping.legacy),
        (databases.microservice, mapping.target),
    ):
        with psycopg.connect(address, autocommit=True) as conn:
            assert catalog.reflect_table(conn, name).columns == table.columns
    branch = ("downgrade", "inventory_reservations@base")
    databases.run("-m", "alembic", "-x", f"url={databases.microservice}", *branch)
    left = databases.query(
        databases.microservice,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    )
    assert left == [("alembic_version",)]


def test_without_databases_the_example_says_what_it_needs(other_server: Database) -> None:
    command = [sys.executable, "-m", "reservations"]
    variables = environment(None, PYTHONPATH=str(ROOT / "examples"))
    unnamed = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (unnamed.returncode, "name both databases" in unnamed.stderr) == (2, True)
    with other_server.fresh() as empty:  # no listings in it
        arguments = ["--source", empty, "--target", empty]
        failed = subprocess.run(
            [*command, *arguments], env=variables, capture_output=True, text=True, check=False
        )
    assert failed.returncode == 2
    assert 'relation "listings" does not exist' in failed.stderr
