"""A shop for each test that asks for one: the tables of the baseline revision, and some goods.

The baseline is run by itself, so that these tests depend on no other revision.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from examples.shop.database import Database
from examples.shop.load import load

ROOT = Path(__file__).parents[2]
BASELINE = ROOT / "alembic" / "versions" / "0001_order_line_items_baseline.py"


def run_baseline(database: Database, direction: str) -> None:
    """Upgrade or downgrade by the baseline revision alone."""
    spec = importlib.util.spec_from_file_location("baseline", BASELINE)
    assert spec is not None
    assert spec.loader is not None
    baseline: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(baseline)
    with database.engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            getattr(baseline, direction)()


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
    with psycopg.connect(url) as connection:
        load(connection, rows=200, seed=7)
    return database
