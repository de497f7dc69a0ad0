"""A shop for each test that asks for one: the tables of the baseline revision, and some goods.

The baseline is run by itself, so that these tests depend on no other revision. With
SHOP_TABLES=moved the shop finds its table moved to v2, and the view in its place.
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from compat.connection import connect
from compat.run.copy import copy
from examples.shop.database import Database
from examples.shop.load import load

ROOT = Path(__file__).parents[2]
NAME = "order_line_items"
TABLES = os.environ.get("SHOP_TABLES", "legacy")


def run_baseline(database: Database, direction: str) -> None:
    """Upgrade or downgrade by the baseline revision alone."""
    run_revision(database, f"0001_{NAME}_baseline", direction)


def run_revision(database: Database, name: str, direction: str) -> None:
    """Upgrade or downgrade by one revision alone."""
    path = ROOT / "alembic" / "versions" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    revision: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(revision)
    with database.engine.connect() as connection:
        # As env.py has it: a revision may end its transaction, and begin another.
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        with context.begin_transaction(_per_migration=True), Operations.context(context):
            getattr(revision, direction)()


def move(database: Database, url: str) -> None:
    """Move the shop's table to v2, and put the view in its place."""
    run_revision(database, f"0002_{NAME}_expand", "upgrade")
    with connect(url, purpose="copy") as connection:
        copy(connection, NAME)
        # The server learns only later that a session has ended, and keeps its locks until then.
        connection.execute("SELECT pg_advisory_unlock_all()")
    run_revision(database, f"0003_{NAME}_cutover", "upgrade")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A shop without goods."""
    database = Database(url)
    run_baseline(database, "upgrade")
    yield database
    database.close()


@pytest.fixture
def shop(database: Database, url: str) -> Database:
    """A shop with a few customers' orders."""
    if TABLES == "moved":
        move(database, url)
    with psycopg.connect(url) as connection:
        load(connection, rows=200, seed=7)
        if TABLES == "moved":
            # Until contract the view owns the sequence: pg_get_serial_sequence() of v2 finds none.
            connection.execute(f"SELECT setval('{NAME}_id_seq', 200)".encode())
    return database
