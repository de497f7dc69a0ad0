"""Several legacy columns in one jsonb document, and what v2 keeps beside them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat import rules
from compat.errors import MappingError
from compat.mapping import Fill
from tests.compat.migrations import Connection, Migration, one, outcome, value
from tests.compat.strategies import against_database, texts

TABLES = """
CREATE TABLE products (
    id integer PRIMARY KEY, factory1 text, factory2 text, factory3 text DEFAULT 'third',
    price numeric(10,2)
);
CREATE TABLE products_v2 (id integer PRIMARY KEY, details jsonb NOT NULL DEFAULT '{"made": "new"}');
"""
FACTORIES = ("factory1", "factory2", "factory3")
PRICE = rules.JsonField("price", "details", ("price", "EUR"))


def packed(conn: Connection, into: str, null: str = "missing", **options: object) -> Migration:
    """Three columns as an array or an object within the document, and the price elsewhere in it."""
    conn.execute(TABLES)
    places = {name: n if into == "array" else f"no. {n}" for n, name in enumerate(FACTORIES)}
    fields = rules.pack("details", places, under=("factories",), null=null)  # type: ignore[arg-type]
    found: list[rules.AnyRule] = [rules.Column("id", "id"), *fields, PRICE]
    return Migration.between(conn, "products", "products_v2", found, **options).expand().cutover()


def details(conn: Connection) -> object:
    return value(conn, "SELECT details FROM products_v2")


def test_columns_become_an_array_in_which_each_keeps_its_place(conn: Connection) -> None:
    packed(conn, "array")
    conn.execute("INSERT INTO products (id, factory2) VALUES (1, 'two')")
    assert details(conn) == {"made": "new", "factories": [None, "two", "third"]}
    assert one(conn, "SELECT * FROM products") == (1, None, "two", "third", None)
    conn.execute("UPDATE products SET factory3 = NULL")
    assert details(conn) == {"made": "new", "factories": [None, "two"]}
    conn.execute("UPDATE products SET factory2 = NULL, factory1 = 'one'")
    assert details(conn) == {"made": "new", "factories": ["one"]}


def test_columns_become_an_object_and_null_a_missing_key_or_null(conn: Connection) -> None:
    packed(conn, "object", "null")
    conn.execute("INSERT INTO products VALUES (1, 'one', NULL, DEFAULT, 1.50)")
    factories = {"no. 0": "one", "no. 1": None, "no. 2": "third"}
    assert details(conn) == {"made": "new", "factories": factories, "price": {"EUR": 1.50}}
    assert value(conn, "SELECT details #>> '{price,EUR}' FROM products_v2") == "1.50"
    conn.execute("UPDATE products SET price = NULL")
    assert details(conn) == {"made": "new", "factories": factories, "price": {}}


def test_an_update_touches_the_member_that_changed_and_no_other(conn: Connection) -> None:
    packed(conn, "object")
    given = '{"factories": {"no. 0": 1, "no. 9": [9]}, "price": {"USD": 2}, "by v2": null}'
    conn.execute("INSERT INTO products_v2 VALUES (1, %s)", [given])
    conn.execute("UPDATE products SET factory2 = 'two'")
    assert details(conn) == {
        "factories": {"no. 0": 1, "no. 1": "two", "no. 9": [9]},
        "price": {"USD": 2},
        "by v2": None,
    }


def test_a_fill_is_what_a_new_document_begins_as(conn: Connection) -> None:
    packed(conn, "array", fills=(Fill("details", "jsonb_build_object('id', id)"),))
    conn.execute("INSERT INTO products (id, price) VALUES (7, 3)")
    wanted = {"id": 7, "factories": [None, None, "third"], "price": {"EUR": 3}}
    assert details(conn) == wanted


def test_what_v2_writes_at_the_same_time_survives(conn: Connection, url: str) -> None:
    packed(conn, "object")
    conn.execute("INSERT INTO products (id) VALUES (1)")
    with psycopg.connect(url) as v2, ThreadPoolExecutor(1) as others:
        v2.execute("UPDATE products_v2 SET details = details || '{\"stock\": 5}'")
        waiting = others.submit(outcome, conn, "UPDATE products SET factory1 = 'one'")
        blocked = [v2.info.backend_pid, conn.info.backend_pid]
        while not value(v2, "SELECT %s = ANY (pg_blocking_pids(%s))", blocked):
            assert not waiting.done()
        v2.commit()
        assert waiting.result(timeout=30) == ("done", 1, None)
    wanted = {"made": "new", "stock": 5, "factories": {"no. 0": "one", "no. 2": "third"}}
    assert details(conn) == wanted


@pytest.mark.examples
@pytest.mark.parametrize("null", ["missing", "null"])
@pytest.mark.parametrize("into", ["array", "object"])
def test_every_row_comes_back_as_it_was_written(conn: Connection, into: str, null: str) -> None:
    migration = packed(conn, into, null)
    texts_or_null = texts | st.none()

    @against_database
    @given(*[st.tuples(texts_or_null, texts_or_null, texts_or_null) for _ in range(2)])
    def laws(first: tuple[str | None, ...], second: tuple[str | None, ...]) -> None:
        with conn.transaction(force_rollback=True):
            conn.execute("INSERT INTO products VALUES (1, %s, %s, %s, 1)", first)
            assert migration.legacy_rows()[0][1:4] == first
            sets = "factory1 = %s, factory2 = %s, factory3 = %s"
            conn.execute(f"UPDATE products SET {sets}", second)
            assert migration.legacy_rows()[0][1:4] == second
            assert migration.legacy_rows() == migration.retired_rows()

    laws()


CLASHES = {
    "the same member": (("a",), ("a",), "leads to or into the other"),
    "one within the other": (("a",), ("a", "b"), "leads to or into the other"),
    "a key and a place": (("a", 0), ("a", "b"), "choose one"),
    "a negative place": (("a", -1), ("b",), "counts from 0"),
}


@pytest.mark.parametrize("name", CLASHES)
def test_members_that_stand_in_each_others_way_are_refused(conn: Connection, name: str) -> None:
    first, second, message = CLASHES[name]
    conn.execute("CREATE TABLE old (id integer PRIMARY KEY, a text, b text)")
    conn.execute("CREATE TABLE new (id integer PRIMARY KEY, d jsonb)")
    found: list[rules.AnyRule] = [
        rules.Column("id", "id"),
        rules.JsonField("a", "d", first),
        rules.JsonField("b", "d", second),
    ]
    with pytest.raises(MappingError, match=message):
        Migration.between(conn, "old", "new", found)


def test_a_document_that_another_rule_writes_whole_is_refused(conn: Connection) -> None:
    conn.execute("CREATE TABLE old (id integer PRIMARY KEY, a text, d jsonb)")
    conn.execute("CREATE TABLE new (id integer PRIMARY KEY, d jsonb)")
    found: list[rules.AnyRule] = [
        rules.Column("id", "id"),
        rules.JsonField("a", "d", "a"),
        rules.Column("d", "d"),
    ]
    with pytest.raises(MappingError, match="written by 2 rules"):
        Migration.between(conn, "old", "new", found)
