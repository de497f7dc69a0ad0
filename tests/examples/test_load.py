"""The generator of invented business.
The same seed gives the same rows, and they look like what people type.
"""

import psycopg
import pytest

from examples.shop.database import Database, ShopError
from examples.shop.load import load

TABLES = ("orders", "products", "order_line_items", "order_line_returns")


def content(connection: psycopg.Connection) -> list[list[tuple[object, ...]]]:
    return [
        connection.execute(f"SELECT * FROM {table} ORDER BY id".encode()).fetchall()
        for table in TABLES
    ]


def test_same_seed_gives_same_rows_and_another_seed_others(database: Database, url: str) -> None:
    loads = []
    with psycopg.connect(url) as connection:
        for seed in (1, 1, 2):
            load(connection, 500, seed)
            loads.append(content(connection))
            connection.execute("TRUNCATE orders, products, order_line_items, order_line_returns")

    assert loads[0] == loads[1]
    assert loads[0] != loads[2]


def test_load_counts_what_it_loads(database: Database, url: str) -> None:
    with psycopg.connect(url) as connection:
        loaded = load(connection, 500, 1)

        assert loaded.lines == 500
        assert [len(rows) for rows in content(connection)] == [
            loaded.orders,
            loaded.products,
            loaded.lines,
            loaded.returns,
        ]


def test_next_row_takes_the_id_after_the_last_one_loaded(database: Database, url: str) -> None:
    with psycopg.connect(url) as connection:
        load(connection, 500, 1)

        inserted = connection.execute(
            "INSERT INTO order_line_items (order_id, product_id, line_no) VALUES (1, 1, 99)"
            " RETURNING id"
        ).fetchone()

        assert inserted == (501,)


def test_loaded_lines_have_all_the_oddities_of_real_ones(database: Database, url: str) -> None:
    with psycopg.connect(url) as connection:
        load(connection, 5000, 1)
        odd = connection.execute(
            """
            SELECT count(*) FILTER (WHERE price <> price::numeric(12, 2)::text) / 5000.0,
                   count(*) FILTER (WHERE deleted) / 5000.0,
                   count(*) FILTER (WHERE note ~ '[^ -~]'),
                   count(*) FILTER (WHERE note ~ '["'']'),
                   count(DISTINCT status),
                   (max(created) - min(created)) / 86400 / 365.0
            FROM order_line_items
            """
        ).fetchone()

    assert odd is not None
    prices, deleted, unicode, quotes, statuses, years = odd
    assert 0.002 < prices < 0.03
    assert 0.01 < deleted < 0.06
    assert unicode > 10
    assert quotes > 10
    assert statuses == 4
    assert 4.9 < years < 5.1


def test_load_refuses_tables_that_are_not_empty(shop: Database, url: str) -> None:
    with (
        psycopg.connect(url) as connection,
        pytest.raises(ShopError, match="load into empty tables"),
    ):
        load(connection, 10, 1)
