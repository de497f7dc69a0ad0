"""The shop of tests.verify.journey, made once and copied for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from compat import state
from compat.database import Database, database_name
from tests.verify import journey
from tests.verify.journey import Connection


@pytest.fixture(scope="session")
def waiting_shop(server: Database) -> Iterator[str]:
    """The name of a template: all rows are copied, the view waits for the cutover."""
    with server.fresh() as address:
        with psycopg.connect(address, autocommit=True) as conn:
            journey.copied(conn, journey.shop_mapping(conn))
        yield database_name(address)


@pytest.fixture(scope="session")
def migrated_shop(server: Database, waiting_shop: str) -> Iterator[str]:
    """The name of a template: the shop after a good cutover."""
    with server.fresh(template=waiting_shop) as address:
        with psycopg.connect(address, autocommit=True) as conn:
            journey.cut_over(conn, state.load(conn, "order_line_items").mapping)
        yield database_name(address)


@pytest.fixture
def shop_url(server: Database, migrated_shop: str) -> Iterator[str]:
    """The address of a shop after a good cutover."""
    with server.fresh(template=migrated_shop) as address:
        yield address


@pytest.fixture
def shop(shop_url: str) -> Iterator[Connection]:
    """A connection in autocommit mode to that shop."""
    with psycopg.connect(shop_url, autocommit=True) as connection:
        yield connection
