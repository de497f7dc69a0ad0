"""The baseline revision goes up and down.
What it creates is used, and so tested, by all the other tests of the shop.
"""

import psycopg

from examples.shop.database import Database

from .conftest import run_baseline

OBJECTS = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"


def test_downgrade_of_the_baseline_leaves_nothing(
    database: Database, conn: psycopg.Connection
) -> None:
    assert conn.execute(OBJECTS).fetchone() != (0,)

    run_baseline(database, "downgrade")

    assert conn.execute(OBJECTS).fetchone() == (0,)
