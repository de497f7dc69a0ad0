"""Versions on top of versions: orders → orders_v2 → orders_v3, all of them written to at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from psycopg import errors

from compat import catalog, rules, state
from compat import operations as ops
from compat.compile import swap
from compat.database import sqlalchemy_url
from compat.errors import StateError
from compat.mapping import Mapping
from compat.run import health
from compat.run import steps as run
from compat.run.plan import plan
from compat.run.retry import LockPolicy
from compat.shapes import Tag
from compat.tables import Column, Constraint, Table
from tests.compat.migrations import Connection, Migration, one, value
from tests.run.support import (
    catalogue,
    succeed,
    verify,
    working,
)

pytestmark = pytest.mark.installed

TABLES = """
CREATE TABLE orders (
    id serial PRIMARY KEY,
    qty integer NOT NULL DEFAULT 1,
    price text NOT NULL DEFAULT '0.00',
    status integer NOT NULL DEFAULT 1,
    created integer NOT NULL DEFAULT 1700000000,
    deleted boolean NOT NULL DEFAULT false,
    note varchar(20)
);
CREATE TABLE notes (id serial PRIMARY KEY, order_id integer NOT NULL REFERENCES orders);
CREATE TABLE orders_v2 (
    order_id integer PRIMARY KEY,
    quantity integer NOT NULL,
    unit_price numeric(12,2) NOT NULL,
    price_text text,
    state text NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    remark varchar(20),
    currency char(3) NOT NULL DEFAULT 'EUR'
);
CREATE TABLE orders_v3 (
    id bigint PRIMARY KEY,
    amount integer NOT NULL,
    cents bigint NOT NULL,
    price_text text,
    code smallint NOT NULL,
    born timestamp NOT NULL,
    gone timestamptz,
    remark text,
    currency char(3) NOT NULL DEFAULT 'EUR',
    colour text DEFAULT 'red'
);
INSERT INTO orders (qty, price, status, note)
SELECT n % 7, n || '.5', n % 3 + 1, 'n' || n FROM generate_series(1, 30) AS n;
INSERT INTO notes (order_id) SELECT n FROM generate_series(1, 5) AS n;
"""


def _first(conn: Connection) -> Mapping:
    column_rules = (
        rules.Column("id", "order_id"),
        rules.Column("qty", "quantity"),
        rules.Cast("price", "unit_price", keep="price_text"),
        rules.ValueMap("status", "state", ((1, "free"), (2, "claimed"), (3, "done"))),
        rules.Epoch("created", "created_at"),
        rules.Flag("deleted", "deleted_at"),
        rules.Column("note", "remark"),
    )
    return Migration.between(conn, "orders", "orders_v2", column_rules, name="first").mapping


def _second(conn: Connection) -> Mapping:
    column_rules = (
        rules.Cast("order_id", "id"),
        rules.Column("quantity", "amount"),
        rules.Cast("unit_price", "cents", factor=100),
        rules.Column("price_text", "price_text"),
        rules.ValueMap("state", "code", (("free", 10), ("claimed", 20), ("done", 30))),
        rules.Cast("created_at", "born", timezone="UTC"),
        rules.Column("deleted_at", "gone"),
        rules.Cast("remark", "remark"),
        rules.Column("currency", "currency"),
    )
    return Migration.between(conn, "orders_v2", "orders_v3", column_rules, name="second").mapping


def _copied(conn: Connection, mapping: Mapping) -> None:
    run.expand(conn, mapping)
    Migration(conn, mapping).copy()


@pytest.fixture
def stacked(conn: psycopg.Connection) -> Connection:
    """orders → orders_v2 is cut over, orders_v2 → orders_v3 is copied."""
    conn.execute(TABLES)
    _copied(conn, _first(conn))
    run.cutover(conn, "first")
    _copied(conn, _second(conn))
    return conn


@pytest.fixture
def topped(stacked: Connection) -> Connection:
    """Both are cut over."""
    run.cutover(stacked, "second")
    return stacked


def _rows(conn: Connection, relation: str, key: str) -> list[tuple[object, ...]]:
    return conn.execute(f"SELECT * FROM {relation} ORDER BY {key}").fetchall()


def _is_current(conn: Connection) -> bool:
    """Whether both retired tables hold what the views show."""
    return all(
        _rows(conn, view, key) == _rows(conn, f"{view}__retired", key)
        for view, key in (("orders", "id"), ("orders_v2", "order_id"))
    )


def _problems(conn: Connection) -> dict[str, tuple[str, ...]]:
    return {s.mapping.name: health.problems(conn, s) for s in state.load_all(conn)}


def _reads(conn: Connection, view: str) -> set[str]:
    """The tables that a view is made of."""
    rows = conn.execute(
        "SELECT DISTINCT d.refobjid::regclass::text FROM pg_depend d"
        " JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class = %s::regclass"
        " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.refobjid <> r.ev_class",
        [view],
    )
    return {row[0] for row in rows}


WRITES = [
    "INSERT INTO orders (qty, price) VALUES (7, '01.5')",
    "UPDATE orders SET deleted = true WHERE id = 3",
    "UPDATE orders SET status = 2, note = 'x' WHERE id < 5",
    "UPDATE orders SET price = '7' WHERE id = 6",
    "DELETE FROM orders WHERE id = 20",
    "INSERT INTO orders_v2 (order_id, quantity, unit_price, state, created_at)"
    " VALUES (1000, 1, 2.5, 'done', now())",
    "UPDATE orders_v2 SET state = 'claimed', created_at = created_at + interval '1 s'"
    " WHERE order_id = 7",
    "DELETE FROM orders_v2 WHERE order_id = 21",
    "INSERT INTO orders_v3 (amount, cents, code, born) VALUES (1, 250, 30, now())",
    "UPDATE orders_v3 SET cents = cents + 1, born = born + interval '1 us' WHERE id % 2 = 0",
    "DELETE FROM orders_v3 WHERE id = 22",
    "INSERT INTO orders_v3 SELECT 2000 + n, n, n, NULL, 10, now() FROM generate_series(1, 9) n",
]
"""What clients of each version do."""


def test_what_one_version_writes_all_of_them_show(topped: Connection) -> None:
    assert _problems(topped) == {"first": (), "second": ()}
    assert _is_current(topped)
    for statement in WRITES:
        assert topped.execute(statement).rowcount > 0, statement
        assert _is_current(topped), statement
    assert one(topped, "SELECT deleted, status FROM orders WHERE id = 3") == (True, 2)
    assert value(topped, "SELECT count(*) FROM orders_v3 WHERE colour = 'red'") > 0
    counts = {value(topped, f"SELECT count(*) FROM {t}") for t in ("orders", "orders_v2")}
    assert counts == {value(topped, "SELECT count(*) FROM orders_v3")}


def test_the_oldest_view_reads_the_newest_table_and_nothing_else(topped: Connection) -> None:
    assert _reads(topped, "orders") == {"orders_v3"}
    first, second = state.load_all(topped)
    assert (first.mapping.through, first.mapping.target) == (("second",), second.mapping.target)
    assert first.stated.target.title == second.stated.legacy.title


def test_an_update_changes_only_what_changed_at_each_level(topped: Connection) -> None:
    topped.execute("UPDATE orders_v3 SET born = '2024-01-01 10:00:00.123456' WHERE id = 1")
    topped.execute("UPDATE orders SET qty = 5, created = created WHERE id = 1")
    topped.execute("UPDATE orders_v2 SET remark = 'seen' WHERE order_id = 1")
    assert value(topped, "SELECT born::text FROM orders_v3 WHERE id = 1").endswith(".123456")
    topped.execute("UPDATE orders SET price = '1.500' WHERE id = 2")
    topped.execute("UPDATE orders SET note = 'n' WHERE id = 2")
    kept = one(topped, "SELECT cents, price_text FROM orders_v3 WHERE id = 2")
    assert kept == (150, "1.500")
    assert value(topped, "SELECT price FROM orders WHERE id = 2") == "1.500"


def test_a_rollback_of_the_later_version_leaves_no_trace(stacked: Connection) -> None:
    before = catalogue(stacked)
    run.cutover(stacked, "second")
    for statement in WRITES:
        stacked.execute(statement)
    run.rollback(stacked, "second")
    assert catalogue(stacked) == before
    assert _problems(stacked) == {"first": (), "second": ()}
    shown = _rows(stacked, "orders", "id")
    assert shown == _rows(stacked, "orders__retired", "id")
    stacked.execute("UPDATE orders SET status = 3, qty = 9 WHERE id = 9")
    stacked.execute("UPDATE orders_v2 SET remark = 'v2' WHERE order_id = 8")
    run.cutover(stacked, "second")
    assert _is_current(stacked)
    assert one(stacked, "SELECT amount, code FROM orders_v3 WHERE id = 9") == (9, 30)


def test_clients_of_the_oldest_version_keep_their_view(url: str, stacked: Connection) -> None:
    stacked.execute("GRANT SELECT ON orders TO PUBLIC")
    seen = "SELECT 'orders'::regclass::oid, relacl::text FROM pg_class WHERE relname = 'orders'"
    before = one(stacked, seen)
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as client:
        query = "SELECT * FROM orders WHERE id = %s"
        first = client.execute(query, [1]).fetchall()
        for step in (run.cutover, run.rollback, run.cutover):
            step(stacked, "second")
            assert client.execute(query, [1]).fetchall() == first
            assert one(stacked, seen) == before
            (made,) = client.execute("INSERT INTO orders (qty) VALUES (4) RETURNING status, price")
            assert made == (1, "0.00")
        key = client.execute(
            "INSERT INTO orders_v3 (amount, cents, code, born)"
            " VALUES (1, 1, 10, now()) RETURNING id"
        ).fetchone()
        assert (
            key
            == client.execute("SELECT currval(pg_get_serial_sequence('orders', 'id'))").fetchone()
        )


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_versions_are_contracted_in_any_order(topped: Connection, order: tuple[str, str]) -> None:
    run.contract(topped, order[0])
    assert _problems(topped) == {"first": (), "second": ()}
    left, key = ("orders_v2", "order_id") if order[0] == "first" else ("orders", "id")
    topped.execute(
        "INSERT INTO orders_v3 (id, amount, cents, code, born) VALUES (500, 1, 250, 30, now())"
    )
    topped.execute(f"DELETE FROM {left} WHERE {key} = 1 + 9")
    assert _rows(topped, left, key) == _rows(topped, f"{left}__retired", key)
    with pytest.raises(errors.ForeignKeyViolation, match="notes_order_id_fkey"):
        topped.execute("INSERT INTO notes (order_id) VALUES (10)")
    run.contract(topped, order[1])
    keys = topped.execute(
        "SELECT conname, confrelid::regclass::text, convalidated FROM pg_constraint"
        " WHERE conrelid = 'notes'::regclass AND contype = 'f'"
    ).fetchall()
    assert keys == [("notes_order_id_fkey", "orders_v3", True)]
    topped.execute("INSERT INTO orders_v3 (amount, cents, code, born) VALUES (1, 1, 10, now())")


def test_the_older_version_can_go_back_once_the_later_one_is_contracted(
    topped: Connection,
) -> None:
    with pytest.raises(StateError, match="reads through second") as refused:
        run.rollback(topped, "first")
    assert "compat rollback second" in str(refused.value)
    run.contract(topped, "second")
    shown = _rows(topped, "orders", "id")
    run.rollback(topped, "first")
    assert _problems(topped) == {"first": (), "second": ()}
    assert _rows(topped, "orders", "id") == shown
    topped.execute("UPDATE orders SET status = 3, deleted = true WHERE id = 1")
    assert one(topped, "SELECT code, gone IS NOT NULL FROM orders_v3 WHERE id = 1") == (30, True)
    run.cutover(topped, "first")
    assert _rows(topped, "orders", "id") == _rows(topped, "orders__retired", "id")


def test_the_later_version_waits_until_the_older_one_is_cut_over(
    conn: psycopg.Connection,
) -> None:
    conn.execute(TABLES)
    _copied(conn, _first(conn))
    _copied(conn, _second(conn))
    with pytest.raises(StateError, match=r"writes to public\.orders_v2, and is only"):
        run.cutover(conn, "second")
    run.cutover(conn, "first")
    run.cutover(conn, "second")
    assert _is_current(conn)


def test_a_mapping_that_the_older_one_could_not_follow_is_refused_at_once(
    conn: psycopg.Connection,
) -> None:
    conn.execute("CREATE TABLE codes (code text PRIMARY KEY)")
    conn.execute("CREATE TABLE codes_v2 (id serial PRIMARY KEY, code text NOT NULL UNIQUE)")
    conn.execute("CREATE TABLE codes_v3 (id integer PRIMARY KEY, code text NOT NULL)")
    by_code = [rules.Column("code", "code")]
    _copied(conn, Migration.between(conn, "codes", "codes_v2", by_code, name="first").mapping)
    run.cutover(conn, "first")
    both = [rules.Column("id", "id"), rules.Column("code", "code")]
    second = Migration.between(conn, "codes_v2", "codes_v3", both, name="second").mapping
    with pytest.raises(StateError, match=r"unique constraint over exactly \(code\)") as refused:
        run.expand(conn, second)
    assert "contract 'first' first" in str(refused.value)


def test_a_script_that_knows_of_one_version_only_is_refused(stacked: Connection) -> None:
    mapping = state.load(stacked, "second").mapping
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="for: first"):
        Migration(stacked, mapping).run(swap.cutover(mapping))
    run.cutover(stacked, "second")
    stated = state.load(stacked, "first").stated
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="for: second"):
        Migration(stacked, stated).run(swap.contract(stated))


@pytest.mark.parametrize(("table", "key"), [("orders", "id"), ("orders_v2", "order_id")])
def test_nobody_but_the_sync_writes_to_a_retired_table(
    topped: Connection, table: str, key: str
) -> None:
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="takes no writes of its own"):
        topped.execute(f"DELETE FROM {table}__retired WHERE {key} = 1")


def test_no_increment_is_lost_between_the_versions(url: str, topped: Connection) -> None:
    topped.execute("UPDATE orders SET qty = 0 WHERE id = 1")
    done = {"orders": 0, "orders_v2": 0, "orders_v3": 0}
    statements = {
        "orders": "UPDATE orders SET qty = qty + 1 WHERE id = 1",
        "orders_v2": "UPDATE orders_v2 SET quantity = quantity + 1 WHERE order_id = 1",
        "orders_v3": "UPDATE orders_v3 SET amount = amount + 1 WHERE id = 1",
    }

    def client(table: str) -> None:
        with psycopg.connect(url, autocommit=True) as mine:
            for _ in range(60):
                try:
                    done[table] += mine.execute(statements[table]).rowcount
                except errors.SerializationFailure:
                    continue

    threads = [threading.Thread(target=client, args=[table]) for table in done]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done["orders"] > 0
    assert value(topped, "SELECT qty FROM orders WHERE id = 1") == sum(done.values())
    assert _is_current(topped)


@pytest.mark.proof
def test_clients_of_two_versions_go_on_while_the_third_comes_and_goes(
    url: str, stacked: Connection
) -> None:
    done: dict[str, int] = {}

    def client(table: str, statement: str) -> None:
        def work(stop: threading.Event) -> None:
            with psycopg.connect(url, autocommit=True) as mine:
                while not stop.is_set() or done.get(table, 0) < 10:
                    try:
                        done[table] = done.get(table, 0) + mine.execute(statement).rowcount
                    except errors.SerializationFailure:
                        continue

        tasks.append(work)

    tasks: list[Callable[[threading.Event], None]] = []
    client("orders", "UPDATE orders SET qty = qty + 1 WHERE id = 1")
    client("orders_v2", "UPDATE orders_v2 SET quantity = quantity + 1 WHERE order_id = 2")
    stacked.execute("UPDATE orders SET qty = 0 WHERE id < 3")
    patient = LockPolicy(timeout_ms=100, max_attempts=500, pause_s=0.01, longest_pause_s=0.05)
    with working(*tasks):
        for _ in range(3):
            run.cutover(stacked, "second", patient)
            run.rollback(stacked, "second", patient)
        run.cutover(stacked, "second", patient)
    counted = {
        "orders": value(stacked, "SELECT qty FROM orders WHERE id = 1"),
        "orders_v2": value(stacked, "SELECT quantity FROM orders_v2 WHERE order_id = 2"),
    }
    assert counted == done
    assert _is_current(stacked)


def test_status_verify_and_plan_speak_of_the_composed_mapping(url: str, topped: Connection) -> None:
    assert verify(url, "--mapping", "first") == 0
    status = {item["mapping"]: item for item in succeed(url, "status", "--json").json}
    assert status["first"]["target"] == "public.orders_v3"
    assert status["first"]["problems"] == []
    planned = succeed(url, "plan", "first", "--json").json
    assert planned["through"] == ["second"]
    assert 'FROM "public"."orders_v3" AS t' in planned["view"]
    told = succeed(url, "plan", "first", "--sql").out
    assert "composed of first → second: the view reads public.orders_v3 itself" in told
    topped.execute('ALTER FUNCTION compat.first__update() RENAME TO "first__was"')
    assert verify(url, "--mapping", "first") == 1


def test_plan_shows_beforehand_what_the_older_view_becomes(stacked: Connection) -> None:
    planned = plan(stacked, state.load(stacked, "second").mapping)
    (older,) = planned.beneath
    assert (older.mapping, older.legacy, older.target) == (
        "first",
        "public.orders",
        "public.orders_v3",
    )
    assert 'FROM "public"."orders_v3" AS t' in older.view
    (view,) = [d for d in planned.dependents if d.kind == "view"]
    assert (view.name, view.verdict) == ("public.orders", "fine")
    assert "compiled anew" in view.what_happens


def test_a_third_version_is_put_on_top_and_both_older_views_follow(topped: Connection) -> None:
    topped.execute(
        "CREATE TABLE orders_v4 (id bigint PRIMARY KEY, n integer NOT NULL, cents text NOT NULL,"
        " price_text text, code text NOT NULL, born timestamptz NOT NULL, gone timestamptz,"
        " remark text, currency char(3) NOT NULL DEFAULT 'EUR', colour text)"
    )
    column_rules = (
        rules.Column("id", "id"),
        rules.Column("amount", "n"),
        rules.Cast("cents", "cents"),
        rules.Column("price_text", "price_text"),
        rules.ValueMap("code", "code", ((10, "f"), (20, "c"), (30, "d"))),
        rules.Cast("born", "born", timezone="UTC"),
        rules.Column("gone", "gone"),
        rules.Column("remark", "remark"),
        rules.Column("currency", "currency"),
        rules.Column("colour", "colour"),
    )
    third = Migration.between(topped, "orders_v3", "orders_v4", column_rules, name="third").mapping
    _copied(topped, third)
    run.cutover(topped, "third")
    assert _problems(topped) == {"first": (), "second": (), "third": ()}
    assert _reads(topped, "orders") == _reads(topped, "orders_v2") == {"orders_v4"}
    for statement in WRITES:
        assert topped.execute(statement).rowcount > 0, statement
        assert _is_current(topped), statement
    topped.execute("UPDATE orders_v4 SET cents = '77', code = 'd' WHERE id = 1")
    assert one(topped, "SELECT price, status FROM orders WHERE id = 1") == ("0.77", 3)
    run.contract(topped, "second")
    run.rollback(topped, "third")
    assert _problems(topped) == {"first": (), "second": (), "third": ()}
    assert _reads(topped, "orders") == {"orders_v3"}
    assert _rows(topped, "orders", "id") == _rows(topped, "orders__retired", "id")


PLAIN = """
CREATE TABLE items (id integer PRIMARY KEY, qty integer DEFAULT 1, note text);
CREATE TABLE items_v2 (id integer PRIMARY KEY, quantity integer, remark text);
CREATE TABLE items_v3 (id integer PRIMARY KEY, quantity bigint, remark text);
INSERT INTO items SELECT n, n, 'n' FROM generate_series(1, 9) AS n;
"""


def test_an_updatable_view_gets_triggers_where_the_later_version_converts(
    conn: psycopg.Connection,
) -> None:
    conn.execute(PLAIN)
    names = (rules.Column("id", "id"), rules.Column("qty", "quantity"))
    first = (*names, rules.Column("note", "remark"))
    _copied(conn, Migration.between(conn, "items", "items_v2", first, name="first").mapping)
    run.cutover(conn, "first")
    second = (
        rules.Column("id", "id"),
        rules.Cast("quantity", "quantity"),
        rules.Column("remark", "remark"),
    )
    _copied(conn, Migration.between(conn, "items_v2", "items_v3", second, name="second").mapping)
    before = catalogue(conn)
    outcome = run.cutover(conn, "second")
    (note,) = [note for note in outcome.notes if note.startswith("version")]
    assert "its view is updatable and becomes instead_of: qty: cast converts" in note
    conn.execute("INSERT INTO items (id) VALUES (10)")
    conn.execute("UPDATE items SET qty = qty + 1 WHERE id < 3")
    assert one(conn, "SELECT quantity FROM items_v3 WHERE id = 10") == (1,)
    assert _rows(conn, "items", "id") == _rows(conn, "items__retired", "id")
    run.rollback(conn, "second")
    assert catalogue(conn) == before
    conn.execute("INSERT INTO items (id) VALUES (10) ON CONFLICT (id) DO UPDATE SET qty = 5")
    assert value(conn, "SELECT quantity FROM items_v2 WHERE id = 10") == 5


SHARED = """
CREATE TABLE people (kind text NOT NULL, number integer NOT NULL, name text,
                     PRIMARY KEY (kind, number));
CREATE TABLE persons (kind integer NOT NULL, number bigint NOT NULL, full_name text,
                      PRIMARY KEY (kind, number));
"""


def _shared(conn: Connection, table: str, value: str) -> Mapping:
    conn.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, name text)")
    conn.execute(f"INSERT INTO {table} SELECT n, '{table} ' || n FROM generate_series(1, 5) AS n")
    names = (rules.Column("id", "number"), rules.Column("name", "name"))
    tag = Tag("kind", value)
    return Migration.between(conn, table, "people", names, name=table, tag=tag).mapping


def _persons(conn: Connection) -> Mapping:
    column_rules = (
        rules.ValueMap("kind", "kind", (("customer", 1), ("employee", 2))),
        rules.Cast("number", "number"),
        rules.Column("name", "full_name"),
    )
    return Migration.between(conn, "people", "persons", column_rules, name="people").mapping


def test_two_tables_that_were_merged_go_on_together(conn: psycopg.Connection) -> None:
    conn.execute(SHARED)
    tables = ("customer", "employee")
    for table in tables:
        _copied(conn, _shared(conn, table, table))
        run.cutover(conn, table)
    _copied(conn, _persons(conn))
    before = catalogue(conn)
    run.cutover(conn, "people")
    assert set(_problems(conn).values()) == {()}
    for table in tables:
        assert _reads(conn, table) == {"persons"}
        conn.execute(f"INSERT INTO {table} VALUES (9, 'nine')")
        conn.execute(f"UPDATE {table} SET name = name || '!' WHERE id < 3")
        conn.execute(f"DELETE FROM {table} WHERE id = 5")
    conn.execute("UPDATE persons SET full_name = 'by v3' WHERE (kind, number) = (2, 4)")
    conn.execute("INSERT INTO people VALUES ('customer', 10, 'by v2')")
    for table in tables:
        assert _rows(conn, table, "id") == _rows(conn, f"{table}__retired", "id")
    assert value(conn, "SELECT name FROM employee WHERE id = 4") == "by v3"
    assert value(conn, "SELECT count(*) FROM persons") == 11
    run.rollback(conn, "people")
    assert catalogue(conn) == before
    assert value(conn, "SELECT name FROM customer WHERE id = 10") == "by v2"


def test_a_version_without_rows_of_its_own_follows_too(conn: psycopg.Connection) -> None:
    conn.execute(SHARED)
    conn.execute("INSERT INTO people VALUES ('customer', 1, 'Ann'), ('employee', 1, 'Ben')")
    staff = Table(
        "public",
        "staff",
        (Column("number", "integer", nullable=False), Column("name", "text")),
        (Constraint("staff_pkey", "primary_key", ("number",), "PRIMARY KEY (number)"),),
    )
    names = (rules.Column("number", "number"), rules.Column("name", "name"))
    target = catalog.reflect_table(conn, "people")
    run.publish(conn, Mapping("staff", staff, target, names, tag=Tag("kind", "employee")))
    _copied(conn, _persons(conn))
    before = catalogue(conn)
    run.cutover(conn, "people")
    assert set(_problems(conn).values()) == {()}
    assert _reads(conn, "staff") == {"persons"}
    conn.execute("INSERT INTO staff VALUES (2, 'Cid')")
    assert one(conn, "SELECT kind, full_name FROM persons WHERE number = 2") == (2, "Cid")
    assert conn.execute("SELECT * FROM people").rowcount == 3
    run.rollback(conn, "people")
    assert catalogue(conn) == before
    assert _rows(conn, "staff", "number") == [(1, "Ben"), (2, "Cid")]
    run.cutover(conn, "people")
    run.contract(conn, "people")
    assert _rows(conn, "staff", "number") == [(1, "Ben"), (2, "Cid")]


@contextmanager
def _operations(url: str) -> Iterator[Operations]:
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    with (
        engine.begin() as connection,
        Operations.context(MigrationContext.configure(connection)) as operations,
    ):
        yield operations


def test_revisions_go_up_and_down_in_order(url: str, conn: psycopg.Connection) -> None:
    conn.execute(TABLES)
    first, second = _first(conn), _second(conn)
    for mapping in (first, second):
        with _operations(url) as operations:
            operations.invoke(ops.CreateSyncOp(mapping))
            operations.invoke(ops.CreateCompatViewOp(mapping))
        Migration(conn, mapping).copy()
        with _operations(url) as operations:
            operations.invoke(ops.CutoverOp(mapping))
    assert _is_current(conn)
    for mapping in (first, second):
        with _operations(url) as operations:
            operations.invoke(ops.ContractOp(mapping))
    assert _problems(conn) == {"first": (), "second": ()}
    with _operations(url) as operations:
        operations.invoke(ops.UncontractOp(first))
        operations.invoke(ops.UncutoverOp(first))
    with (
        pytest.raises(CommandError, match=r"first leads to the table that"),
        _operations(url) as operations,
    ):
        operations.invoke(ops.UncontractOp(second))
    with _operations(url) as operations:
        operations.invoke(ops.CutoverOp(first))
        operations.invoke(ops.ContractOp(first))
    backward = [
        ops.UncontractOp(second),
        ops.UncutoverOp(second),
        ops.UncontractOp(first),
        ops.UncutoverOp(first),
    ]
    for taken_back in backward:
        with _operations(url) as operations:
            operations.invoke(taken_back)
        assert _problems(conn) == {"first": (), "second": ()}
    assert value(conn, "SELECT count(*) FROM orders") == 30
    conn.execute("UPDATE orders SET qty = 42 WHERE id = 1")
    assert value(conn, "SELECT amount FROM orders_v3 WHERE id = 1") == 42
