"""Lookups: integer references of three tables migrated at once become UUIDs, and stay integers.

Customers, their invoices, and the lines of those; the parents first, each through its legacy_id.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from compat import rules, state
from compat.errors import DataError, MappingError
from compat.mapping import Mapping
from compat.names import ident
from compat.run import health
from compat.run.batches import Copied, copy_or_reject
from compat.run.plan import suggested_indexes
from compat.run.steps import check_values
from compat.shapes import Tag
from tests.compat.migrations import (
    Connection,
    Migration,
    one,
    outcome,
    uninstalled,
    value,
)

TABLES = """
CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE invoices (
    id serial PRIMARY KEY,
    customer_id integer CONSTRAINT "Whose?" REFERENCES customers,
    total integer NOT NULL DEFAULT 0
);
CREATE TABLE lines (
    id serial PRIMARY KEY,
    invoice_id integer NOT NULL REFERENCES invoices ON DELETE CASCADE,
    qty integer NOT NULL DEFAULT 1
);
CREATE TABLE customers_v2 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id integer NOT NULL UNIQUE,
    name text NOT NULL
);
CREATE TABLE invoices_v2 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id integer NOT NULL UNIQUE,
    customer_id uuid CONSTRAINT invoices_v2_customer REFERENCES customers_v2,
    legacy_customer_id integer,
    total integer NOT NULL
);
CREATE TABLE lines_v2 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id integer NOT NULL UNIQUE,
    invoice_id uuid NOT NULL REFERENCES invoices_v2 ON DELETE CASCADE,
    legacy_invoice_id integer,
    quantity integer NOT NULL
);
CREATE INDEX ON invoices_v2 (customer_id);
CREATE INDEX ON lines_v2 (invoice_id);
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bo');
INSERT INTO invoices VALUES (10, 1), (11, 2), (12, NULL);
INSERT INTO lines VALUES (100, 10), (101, 10), (102, 11);
SELECT setval('customers_id_seq', 50), setval('invoices_id_seq', 50), setval('lines_id_seq', 200);
"""

CUSTOMERS = rules.Referenced("public", "customers_v2")
INVOICES = rules.Referenced("public", "invoices_v2")


@pytest.fixture(params=["kept", "looked up"])
def tables(conn: Connection, request: pytest.FixtureRequest) -> tuple[Migration, ...]:
    """The three migrations, none begun; the lookups keep the legacy number, or do not."""
    conn.execute(TABLES)
    return migrations(conn, keep=request.param == "kept")


def migrations(conn: Connection, *, keep: bool) -> tuple[Migration, ...]:
    whose = rules.Lookup(
        "customer_id", "customer_id", CUSTOMERS, keep="legacy_customer_id" if keep else None
    )
    part_of = rules.Lookup(
        "invoice_id", "invoice_id", INVOICES, keep="legacy_invoice_id" if keep else None
    )
    identity = rules.Column("id", "legacy_id")
    return (
        # As an updatable view it would bring its row to the retired table only at the end of a
        # statement, after the children that the same statement inserts.
        Migration.between(
            conn,
            "customers",
            "customers_v2",
            [identity, rules.Column("name", "name")],
            form="instead_of",
        ),
        Migration.between(
            conn, "invoices", "invoices_v2", [identity, whose, rules.Column("total", "total")]
        ),
        Migration.between(
            conn, "lines", "lines_v2", [identity, part_of, rules.Column("qty", "quantity")]
        ),
    )


def references(conn: Connection, table: str, column: str, parent: str) -> list[tuple[int, int]]:
    """Legacy numbers of children and of the parents that the new keys lead to."""
    return conn.execute(
        f"SELECT c.legacy_id, p.legacy_id FROM {table} AS c LEFT JOIN {parent} AS p"
        f" ON p.id = c.{column} ORDER BY 1"
    ).fetchall()


def test_three_tables_go_over_parents_first_and_references_lead_to_the_same_rows(
    conn: Connection, tables: tuple[Migration, ...]
) -> None:
    before = [migration.legacy_rows() for migration in tables]
    for migration in tables:
        migration.expand().copy()
    assert references(conn, "invoices_v2", "customer_id", "customers_v2") == [
        (10, 1),
        (11, 2),
        (12, None),
    ]
    assert references(conn, "lines_v2", "invoice_id", "invoices_v2") == [
        (100, 10),
        (101, 10),
        (102, 11),
    ]
    for migration in tables:
        assert migration.standby_rows() == migration.legacy_rows()
        migration.cutover()
    assert [migration.legacy_rows() for migration in tables] == before
    for migration in reversed(tables):
        migration.uncutover()
    assert [migration.legacy_rows() for migration in tables] == before


STATEMENTS = (
    "INSERT INTO customers{0} (name) VALUES ('Cy') RETURNING *",
    "INSERT INTO invoices{0} (customer_id) VALUES (51), (1), (NULL) RETURNING *",
    "INSERT INTO invoices{0} (customer_id) VALUES (99)",
    "INSERT INTO lines{0} (invoice_id, qty) VALUES (51, 3), (10, 4) RETURNING *",
    "INSERT INTO lines{0} (invoice_id) VALUES (-1)",
    "INSERT INTO lines{0} (invoice_id) VALUES (NULL)",
    "UPDATE invoices{0} SET customer_id = 2 WHERE customer_id = 1 RETURNING *",
    "UPDATE invoices{0} SET customer_id = 99 WHERE id = 10",
    "UPDATE invoices{0} SET customer_id = NULL, total = 7 WHERE id = 10 RETURNING *",
    "UPDATE invoices{0} SET total = total + 1 RETURNING *",
    "WITH c AS (INSERT INTO customers{0} (name) VALUES ('Di') RETURNING id),"
    " i AS (INSERT INTO invoices{0} (customer_id) SELECT id FROM c RETURNING *) SELECT * FROM i",
    "UPDATE lines{0} SET invoice_id = 12 WHERE invoice_id = 10 RETURNING *",
    "DELETE FROM lines{0} WHERE invoice_id = 12 RETURNING *",
    "DELETE FROM invoices{0} WHERE customer_id = 2 RETURNING *",
    "SELECT l.*, i.*, c.* FROM lines{0} l JOIN invoices{0} i ON i.id = l.invoice_id"
    " LEFT JOIN customers{0} c ON c.id = i.customer_id",
    "SELECT * FROM lines{0}",
)


@pytest.mark.parametrize("phase", ["sync", "cutover"])
def test_clients_see_what_tables_with_foreign_keys_would_show(
    conn: Connection, tables: tuple[Migration, ...], phase: str
) -> None:
    for name in ("customers", "invoices", "lines"):
        conn.execute(f"CREATE TABLE {name}_twin (LIKE {name} INCLUDING ALL)")
        conn.execute(f"INSERT INTO {name}_twin SELECT * FROM {name}")
        conn.execute(f"CREATE SEQUENCE {name}_twin_seq START {201 if name == 'lines' else 51}")
        default = f"nextval('{name}_twin_seq')"
        conn.execute(f"ALTER TABLE {name}_twin ALTER id SET DEFAULT {default}")
    conn.execute(
        "ALTER TABLE invoices_twin ADD FOREIGN KEY (customer_id) REFERENCES customers_twin"
    )
    conn.execute(
        "ALTER TABLE lines_twin ADD FOREIGN KEY (invoice_id) REFERENCES invoices_twin"
        " ON DELETE CASCADE"
    )
    for migration in tables:
        migration.expand().copy()
    if phase == "cutover":
        for migration in tables:
            migration.cutover()
    for statement in STATEMENTS:
        answers = [outcome(conn, statement.format(suffix)) for suffix in ("_twin", "")]
        assert answers[0] == answers[1], statement
    for migration in tables:
        name = migration.mapping.legacy.name
        expected = migration.rows(f"{name}_twin")
        assert migration.legacy_rows() == expected
        passive = migration.retired_rows if phase == "cutover" else migration.standby_rows
        assert passive() == expected


def test_a_missing_parent_is_reported_as_the_legacy_foreign_key_reported_it(
    conn: Connection, tables: tuple[Migration, ...]
) -> None:
    statement = "INSERT INTO invoices (id, customer_id) VALUES (1, 99)"
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as before:
        conn.execute(statement)
    for migration in tables[:2]:
        migration.expand().copy().cutover()
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as after:
        conn.execute(statement)
    for field in ("message_primary", "message_detail", "schema_name", "table_name"):
        assert getattr(after.value.diag, field) == getattr(before.value.diag, field)
    assert after.value.diag.constraint_name == "Whose?"


@pytest.fixture
def kept(conn: Connection) -> tuple[Migration, ...]:
    """The three migrations after the cutover, with the legacy numbers kept."""
    conn.execute(TABLES)
    found = migrations(conn, keep=True)
    for migration in found:
        migration.expand().copy().cutover()
    return found


def test_v2_writes_the_new_key_only_and_legacy_clients_see_the_number(
    conn: Connection, kept: tuple[Migration, ...]
) -> None:
    ada, bo = (value(conn, f"SELECT id FROM customers_v2 WHERE legacy_id = {n}") for n in (1, 2))
    conn.execute("INSERT INTO invoices_v2 (customer_id, total) VALUES (%s, 5)", [ada])
    assert one(conn, "SELECT customer_id, total FROM invoices WHERE id = 51") == (1, 5)
    conn.execute("UPDATE invoices_v2 SET customer_id = %s WHERE legacy_id = 51", [bo])
    assert value(conn, "SELECT customer_id FROM invoices WHERE id = 51") == 2
    assert value(conn, "SELECT customer_id FROM invoices__retired WHERE id = 51") == 2
    conn.execute("UPDATE invoices_v2 SET customer_id = NULL WHERE legacy_id = 51")
    assert value(conn, "SELECT customer_id FROM invoices WHERE id = 51") is None
    assert value(conn, "SELECT legacy_customer_id FROM invoices_v2 WHERE legacy_id = 51") is None


def test_v2_with_a_parent_that_is_not_there_gets_the_words_of_its_own_foreign_key(
    conn: Connection, kept: tuple[Migration, ...]
) -> None:
    statement = "INSERT INTO {} (customer_id, legacy_id, total) VALUES (gen_random_uuid(), 1, 1)"
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as failed:
        conn.execute(statement.format("invoices_v2"))
    assert failed.value.diag.constraint_name == "invoices_v2_customer"
    assert failed.value.diag.table_name == "invoices_v2"
    assert 'is not present in table "customers_v2"' in str(failed.value.diag.message_detail)


def test_a_parent_that_changes_its_legacy_number_takes_its_children_along(
    conn: Connection,
) -> None:
    conn.execute(TABLES)
    conn.execute('ALTER TABLE invoices DROP CONSTRAINT "Whose?"')
    conn.execute(
        "ALTER TABLE invoices ADD FOREIGN KEY (customer_id) REFERENCES customers ON UPDATE CASCADE"
    )
    found = migrations(conn, keep=True)
    for migration in found[:2]:
        migration.expand().copy()
    conn.execute("UPDATE customers SET id = 7 WHERE id = 1")
    assert (
        found[1].standby_rows() == found[1].legacy_rows() == [(10, 7, 0), (11, 2, 0), (12, None, 0)]
    )
    for migration in found[:2]:
        migration.cutover()
    conn.execute("UPDATE customers SET id = 8 WHERE id = 7")
    assert found[1].legacy_rows() == found[1].retired_rows()
    assert found[1].legacy_rows() == [(10, 8, 0), (11, 2, 0), (12, None, 0)]


def test_a_parent_that_may_not_change_its_legacy_number_may_not_when_the_children_have_gone_ahead(
    conn: Connection,
) -> None:
    conn.execute(TABLES)
    customers, invoices, _ = migrations(conn, keep=True)
    statement = "UPDATE customers SET id = id + 10 WHERE name = 'Ada'"
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as before:
        conn.execute(statement)
    customers.expand().copy()
    invoices.expand().copy().cutover()
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as after:
        conn.execute(statement)
    for field in ("message_primary", "message_detail", "table_name", "constraint_name"):
        assert getattr(after.value.diag, field) == getattr(before.value.diag, field)
    conn.execute("DELETE FROM lines")
    conn.execute("DELETE FROM invoices WHERE customer_id = 1")
    conn.execute(statement)
    assert customers.standby_rows() == customers.legacy_rows() == [(2, "Bo"), (11, "Ada")]


SHARED = """
CREATE TABLE clerk (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE client (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE visit (id serial PRIMARY KEY, client_id integer NOT NULL);
CREATE TABLE person (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    legacy_id integer NOT NULL,
    name text NOT NULL,
    UNIQUE (kind, legacy_id)
);
CREATE TABLE visit_v2 (
    id integer PRIMARY KEY,
    client_id uuid NOT NULL REFERENCES person,
    legacy_client_id integer
);
INSERT INTO clerk (name) VALUES ('Cleo'), ('Carl'), ('Cora');
INSERT INTO client (name) VALUES ('Ada'), ('Bo');
INSERT INTO visit (client_id) VALUES (1), (2), (1);
"""
CLIENTS = rules.Referenced("public", "person", tag=("kind", "client"))


@pytest.mark.parametrize("keep", ["legacy_client_id", None])
def test_parents_in_a_shared_table_are_told_apart_by_their_tag(
    conn: Connection, keep: str | None
) -> None:
    conn.execute(SHARED)
    identity, name = rules.Column("id", "legacy_id"), rules.Column("name", "name")
    clerks, clients = (
        Migration.between(conn, table, "person", [identity, name], tag=Tag("kind", table))
        for table in ("clerk", "client")
    )
    whose = rules.Lookup("client_id", "client_id", CLIENTS, keep=keep)
    visits = Migration.between(conn, "visit", "visit_v2", [rules.Column("id", "id"), whose])
    read = Mapping.from_json(visits.mapping.to_json())
    assert read == visits.mapping
    for migration in (clerks, clients, visits):
        migration.expand().copy()
    names = "SELECT v.id, p.name FROM visit_v2 AS v JOIN person AS p ON p.id = v.client_id"
    assert sorted(conn.execute(names)) == [(1, "Ada"), (2, "Bo"), (3, "Ada")]
    visits.cutover()
    # There is a clerk with this number, but no client.
    assert outcome(conn, "INSERT INTO visit (client_id) VALUES (3)") == ("failed", "23503")
    assert outcome(conn, "UPDATE visit SET client_id = 2 WHERE id = 1")[:2] == ("done", 1)
    assert visits.legacy_rows() == visits.retired_rows() == [(1, 2), (2, 2), (3, 1)]
    if keep is not None:
        clerk = "SELECT id FROM person WHERE kind = 'clerk' AND legacy_id = 2"
        statement = f"INSERT INTO visit_v2 (id, client_id) VALUES (9, ({clerk}))"
        assert outcome(conn, statement) == ("failed", "23503")


def test_a_tagged_parent_needs_a_key_that_is_unique_with_the_tag(conn: Connection) -> None:
    conn.execute(SHARED)
    conn.execute("ALTER TABLE person DROP CONSTRAINT person_kind_legacy_id_key")
    state.ensure_installed(conn)
    whose = rules.Lookup("client_id", "client_id", CLIENTS)
    visits = Migration.between(conn, "visit", "visit_v2", [rules.Column("id", "id"), whose])
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        visits.expand()
    assert (
        refused.value.diag.message_hint == "ALTER TABLE public.person ADD UNIQUE (kind, legacy_id)"
    )


def without_key(conn: Connection) -> tuple[Migration, ...]:
    """Customers copied, and invoices of which one has no customer any more: nothing forbade it."""
    conn.execute(TABLES)
    conn.execute('ALTER TABLE invoices DROP CONSTRAINT "Whose?"')
    found = migrations(conn, keep=True)
    found[0].expand().copy()
    return found


def test_a_row_without_its_parent_is_set_aside_by_the_copy_with_the_reason(
    conn: Connection,
) -> None:
    _, invoices, _ = without_key(conn)
    invoices.expand()
    conn.execute("ALTER TABLE invoices DISABLE TRIGGER USER")
    conn.execute("UPDATE invoices SET customer_id = 99 WHERE id = 11")
    conn.execute("ALTER TABLE invoices ENABLE TRIGGER USER")
    with conn.transaction():
        assert copy_or_reject(conn, invoices.mapping, ["11"], None) == Copied(seen=1, rejected=1)
    assert one(conn, "SELECT key, sqlstate, reason FROM compat.reject")[:2] == (["11"], "23503")
    reason = value(conn, "SELECT reason FROM compat.reject")
    assert 'Key (customer_id)=(99) is not present in table "customers_v2".' in reason


def test_the_plan_names_the_references_that_lead_nowhere(conn: Connection) -> None:
    _, invoices, _ = without_key(conn)
    conn.execute("UPDATE invoices SET customer_id = 99 WHERE id = 11")
    with pytest.raises(DataError, match=r"invoices\.customer_id: .*'99' \(1 row\)"):
        check_values(conn, invoices.mapping)


def test_children_do_not_begin_before_their_parents_are_there(conn: Connection) -> None:
    conn.execute(TABLES)
    customers, invoices, _ = migrations(conn, keep=True)
    customers.expand()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        invoices.expand()
    assert "compat copy customers --execute" in str(refused.value.diag.message_hint)
    customers.copy()
    invoices.expand().copy().unexpand()
    customers.unexpand()
    assert uninstalled(conn)


def test_a_parent_whose_key_is_not_unique_is_refused_with_the_fix(conn: Connection) -> None:
    conn.execute(TABLES)
    conn.execute("ALTER TABLE invoices_v2 DROP CONSTRAINT invoices_v2_customer")
    conn.execute("ALTER TABLE customers_v2 DROP CONSTRAINT customers_v2_pkey")
    state.ensure_installed(conn)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is not unique") as error:
        migrations(conn, keep=True)[1].expand()
    assert error.value.diag.message_hint == "ALTER TABLE public.customers_v2 ADD UNIQUE (id)"


def test_a_disabled_trigger_of_a_lookup_is_a_problem_and_a_contract_drops_all(
    conn: Connection, kept: tuple[Migration, ...]
) -> None:
    name = kept[1].mapping.name
    assert health.problems(conn, state.load(conn, name)) == ()
    for table, trigger in (
        ("invoices_v2", "zz_compat_invoices__lookup_1_update"),
        ("customers_v2", "01_compat_invoices__follow_1"),
    ):
        conn.execute(f'ALTER TABLE {table} DISABLE TRIGGER "{trigger}"')
        (problem,) = health.problems(conn, state.load(conn, name))
        assert trigger in problem
        conn.execute(f'ALTER TABLE {table} ENABLE TRIGGER "{trigger}"')
    for migration in reversed(kept):
        migration.contract()
    assert health.problems(conn, state.load(conn, name)) == ()
    assert (
        value(conn, "SELECT count(*) FROM pg_trigger WHERE tgname ~ 'compat' AND NOT tgisinternal")
        == 0
    )
    for migration in kept:
        migration.uncontract()
    assert health.problems(conn, state.load(conn, name)) == ()
    assert kept[1].legacy_rows() == [(10, 1, 0), (11, 2, 0), (12, None, 0)]


def test_a_parent_that_is_deleted_meanwhile_is_for_the_foreign_key_of_the_target_to_say(
    url: str, conn: Connection, kept: tuple[Migration, ...]
) -> None:
    with psycopg.connect(url) as deleting, ThreadPoolExecutor(1) as others:
        deleting.execute("INSERT INTO customers (id, name) VALUES (7, 'Gone')")
        deleting.commit()
        deleting.execute("DELETE FROM customers WHERE id = 7")
        pid = conn.info.backend_pid
        insert = "INSERT INTO invoices (customer_id) VALUES (7)"
        waiting = others.submit(outcome, conn, insert)
        blocking = "SELECT %s = ANY (pg_blocking_pids(%s))"
        while not value(deleting, blocking, [deleting.info.backend_pid, pid]):
            assert not waiting.done()
        deleting.commit()
        assert waiting.result(timeout=30) == ("failed", "23503")
    assert value(conn, "SELECT count(*) FROM invoices") == 3


def test_the_plan_names_an_index_that_finds_rows_by_the_number(conn: Connection) -> None:
    conn.execute(TABLES)
    conn.execute("CREATE INDEX ON invoices (customer_id)")
    (statement,) = suggested_indexes(migrations(conn, keep=True)[1].mapping)
    assert statement == (
        'CREATE INDEX ON "public"."invoices_v2" (("invoices_v2"."legacy_customer_id"))'
    )
    conn.execute(statement)
    assert suggested_indexes(migrations(conn, keep=False)[1].mapping) == ()


def test_parents_are_not_taken_back_under_their_children(conn: Connection) -> None:
    conn.execute(TABLES)
    customers, invoices, lines = migrations(conn, keep=False)
    for migration in (customers, invoices, lines):
        migration.expand().copy()
    lines.cutover()
    for parent, child, hint in (
        (
            customers,
            "invoices finds in public.customers_v2",
            "Take invoices back first: `compat unexpand",
        ),
        (invoices, "lines finds in public.invoices_v2", "`compat rollback lines --execute`, then"),
    ):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=child) as refused:
            parent.unexpand()
        assert hint in str(refused.value.diag.message_hint)
    lines.uncutover().unexpand()
    invoices.unexpand()
    customers.unexpand()
    assert uninstalled(conn)


def test_odd_names_work_everywhere(conn: Connection) -> None:
    parent, key, number, keep = 'the "Parent" %s', "Key; --", "select", "it's kept"
    conn.execute(
        f"CREATE TABLE {ident(parent)} ({ident(key)} uuid PRIMARY KEY,"
        f" {ident(number)} bigint NOT NULL UNIQUE)"
    )
    conn.execute(f"INSERT INTO {ident(parent)} VALUES (gen_random_uuid(), 1)")
    conn.execute("CREATE TABLE old (id integer PRIMARY KEY, v bigint)")
    conn.execute(f"CREATE TABLE new (id integer PRIMARY KEY, v uuid, {ident(keep)} bigint)")
    rule = rules.Lookup(
        "v", "v", rules.Referenced("public", parent, key, number), keep=keep, constraint='%s "x"'
    )
    migration = Migration.between(
        conn, "old", "new", [rules.Column("id", "id"), rule], name='a "name" %s; --'
    )
    migration.expand().copy()
    assert health.problems(conn, state.load(conn, migration.mapping.name)) == ()
    migration.cutover()
    conn.execute("INSERT INTO old VALUES (1, 1)")
    conn.execute(f"INSERT INTO new SELECT 2, {ident(key)} FROM {ident(parent)}")
    conn.execute(f"UPDATE {ident(parent)} SET {ident(number)} = 5")
    assert migration.legacy_rows() == migration.retired_rows() == [(1, 5), (2, 5)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match='constraint "%s "x""'):
        conn.execute("INSERT INTO old VALUES (3, 3)")


ORDERS = """
CREATE TABLE orders (id serial PRIMARY KEY, note text);
CREATE TABLE items (
    order_id integer REFERENCES orders ON UPDATE CASCADE,
    line_no integer,
    qty integer NOT NULL DEFAULT 1,
    PRIMARY KEY (order_id, line_no)
);
CREATE TABLE labels (
    order_id integer, line_no integer, text text,
    FOREIGN KEY (order_id, line_no) REFERENCES items
);
CREATE TABLE orders_v2 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id integer NOT NULL UNIQUE, note text
);
CREATE TABLE items_v2 (
    order_id uuid REFERENCES orders_v2,
    order_number integer NOT NULL,
    line_no integer,
    qty integer NOT NULL,
    PRIMARY KEY (order_id, line_no),
    UNIQUE (order_number, line_no)
);
INSERT INTO orders VALUES (1), (2), (3);
INSERT INTO items VALUES (1, 1), (1, 2), (2, 1);
INSERT INTO labels VALUES (2, 1, 'fragile');
"""


def orders(conn: Connection, *, keep: str | None = "order_number") -> tuple[Migration, Migration]:
    conn.execute(
        ORDERS if keep else ORDERS.replace("order_number integer NOT NULL", "order_number integer")
    )
    same = [rules.Column("line_no", "line_no"), rules.Column("qty", "qty")]
    whose = rules.Lookup("order_id", "order_id", rules.Referenced("public", "orders_v2"), keep=keep)
    identity, note = rules.Column("id", "legacy_id"), rules.Column("note", "note")
    return (
        Migration.between(conn, "orders", "orders_v2", [identity, note], form="instead_of"),
        Migration.between(conn, "items", "items_v2", [whose, *same]),
    )


def test_a_reference_may_be_part_of_the_key(conn: Connection) -> None:
    parents, items = orders(conn)
    conn.execute("CREATE TABLE twin (LIKE items INCLUDING ALL)")
    conn.execute("INSERT INTO twin SELECT * FROM items")
    conn.execute("ALTER TABLE twin ADD FOREIGN KEY (order_id) REFERENCES orders")
    statements = (
        "INSERT INTO {0} VALUES (2, 2, 5), (3, 1, 6) RETURNING *",
        "INSERT INTO {0} VALUES (2, 2, 5)",
        "INSERT INTO {0} VALUES (9, 1, 5)",
        "INSERT INTO {0} (order_id, line_no) VALUES (3, 9) RETURNING *",
        "UPDATE {0} SET qty = qty + 1 WHERE order_id = 1 RETURNING *",
        "UPDATE {0} SET order_id = 3, line_no = 7 WHERE order_id = 2 AND line_no = 2 RETURNING *",
        "UPDATE {0} SET order_id = 9 WHERE order_id = 3 AND line_no = 7",
        "UPDATE {0} SET line_no = 1 WHERE order_id = 3 AND line_no = 7",
        "DELETE FROM {0} WHERE order_id = 3 RETURNING *",
    )
    parents.expand().copy()
    items.expand().copy(size=1)
    with conn.transaction(force_rollback=True):
        for statement in statements:
            expected = outcome(conn, statement.format("twin"))
            assert outcome(conn, statement.format("items")) == expected, statement
        assert items.standby_rows() == items.legacy_rows() == items.rows("twin")
    # The twin's key leads to a table, as it is now; the view of parents comes later.
    items.cutover()
    for statement in statements:
        expected = outcome(conn, statement.format("twin"))
        assert outcome(conn, statement.format("items")) == expected, statement
        assert items.legacy_rows() == items.retired_rows() == items.rows("twin"), statement
    assert outcome(conn, "DELETE FROM items WHERE order_id = 2") == ("failed", "23503")
    conn.execute("DROP TABLE twin")
    parents.cutover()
    conn.execute("UPDATE orders SET id = 8 WHERE id = 1")
    assert items.legacy_rows() == items.retired_rows() == [(2, 1, 1), (8, 1, 2), (8, 2, 2)]
    conn.execute(
        "INSERT INTO items_v2 (order_id, line_no, qty) SELECT id, 3, 4 FROM orders_v2"
        " WHERE legacy_id = 2"
    )
    conn.execute(
        "UPDATE items_v2 SET order_id = o.id FROM orders_v2 o"
        " WHERE o.legacy_id = 3 AND items_v2.line_no = 3"
    )
    assert items.legacy_rows() == items.retired_rows()
    assert (3, 3, 4) in items.legacy_rows()
    for migration in (items, parents):
        migration.uncutover()
        migration.unexpand()
    assert items.legacy_rows() == [(2, 1, 1), (3, 3, 4), (8, 1, 2), (8, 2, 2)]


def test_a_reference_in_the_key_needs_the_number_beside_it(conn: Connection) -> None:
    with pytest.raises(MappingError, match=r"only with the number beside it.*keep=…"):
        orders(conn, keep=None)
