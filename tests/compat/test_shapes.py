"""Legacy rows that are spread over several tables, or share one: split, union and join.

Each behaves as the legacy table did, whoever writes, before the cutover, after it, and after going
back.
"""

from __future__ import annotations

import pytest

from compat import catalog, rules
from compat.mapping import Mapping
from compat.shapes import Choice, Half, Parent, Tag
from tests.compat.migrations import Connection, Migration, one, outcome, value

CUSTOMERS = """
CREATE TABLE customers (
    id serial PRIMARY KEY,
    name text NOT NULL,
    street text,
    city text,
    vip boolean NOT NULL DEFAULT false
);
CREATE TABLE accounts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id integer NOT NULL UNIQUE,
    full_name text NOT NULL,
    vip_since timestamptz,
    hidden text DEFAULT 'untouched'
);
CREATE TABLE addresses (
    account_id uuid PRIMARY KEY REFERENCES accounts,
    street text,
    city text,
    hidden text DEFAULT 'untouched'
);
"""

TASKS = """
CREATE TABLE task (id serial PRIMARY KEY, author text, task text NOT NULL, prio integer);
CREATE TABLE author (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE);
CREATE TABLE task2 (
    id integer PRIMARY KEY,
    task text NOT NULL,
    prio integer,
    author uuid REFERENCES author
);
"""

JOBS = """
CREATE TABLE jobs (id serial PRIMARY KEY, state text NOT NULL DEFAULT 'open', n bigint);
CREATE TABLE open_jobs (id integer PRIMARY KEY, state text NOT NULL, n bigint, hidden text);
CREATE TABLE done_jobs (id integer PRIMARY KEY, state text NOT NULL, n bigint, hidden text);
"""

PEOPLE = """
CREATE TABLE employee (id serial PRIMARY KEY, name text NOT NULL, boss integer);
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL, mail text);
CREATE TABLE person (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    legacy_id integer NOT NULL,
    name text NOT NULL,
    boss integer,
    mail text,
    UNIQUE (kind, legacy_id)
);
"""


def reflected(conn: Connection, *names: str) -> list[catalog.Table]:
    return [catalog.reflect_table(conn, name) for name in names]


def customers(conn: Connection, optional: bool = False) -> Migration:
    """Addresses get a table of their own; keys become UUIDs."""
    conn.execute(CUSTOMERS)
    legacy, target, half = reflected(conn, "customers", "accounts", "addresses")
    return Migration(
        conn,
        Mapping(
            "customers",
            legacy,
            target,
            (
                rules.Column("id", "legacy_id"),
                rules.Column("name", "full_name"),
                rules.Column("street", "street"),
                rules.Column("city", "city"),
                rules.Flag("vip", "vip_since"),
            ),
            parts=(Half(half, (("account_id", "id"),), ("street", "city"), optional=optional),),
        ),
    )


def tasks(conn: Connection, orphans: str = "keep") -> Migration:
    """TasKy2 of the InVerDa paper: authors get a table of their own."""
    conn.execute(TASKS)
    legacy, target, parent = reflected(conn, "task", "task2", "author")
    return Migration(
        conn,
        Mapping(
            "task",
            legacy,
            target,
            (
                rules.Column("id", "id"),
                rules.Column("author", "name"),
                rules.Column("task", "task"),
                rules.Column("prio", "prio"),
            ),
            parts=(
                Parent(parent, (("id", "author"),), ("author",), orphans=orphans),  # type: ignore[arg-type]
            ),
        ),
    )


def jobs(conn: Connection, remainder: str | None = None) -> Migration:
    """Jobs that are done go to a table of their own."""
    conn.execute(JOBS)
    legacy, target, other = reflected(conn, "jobs", "open_jobs", "done_jobs")
    return Migration(
        conn,
        Mapping(
            "jobs",
            legacy,
            target,
            tuple(rules.Column(name, name) for name in legacy.column_names),
            choices=(Choice(other, "state = 'done'"),),
            remainder=remainder,
        ),
    )


def people(conn: Connection) -> tuple[Migration, Migration]:
    """Two legacy tables share one target."""
    conn.execute(PEOPLE)
    employee, customer, person = reflected(conn, "employee", "customer", "person")

    def merged(legacy: catalog.Table) -> Migration:
        own = [rules.Column("id", "legacy_id")]
        own += [rules.Column(name, name) for name in legacy.column_names[1:]]
        tag = Tag("kind", legacy.name)
        return Migration(conn, Mapping(legacy.name, legacy, person, tuple(own), tag=tag))

    return merged(employee), merged(customer)


STATEMENTS = {
    "customers": (
        "INSERT INTO {} (name, street, city) VALUES ('Ada', 'A Street', 'London') RETURNING *",
        "INSERT INTO {} (name) VALUES ('Bob'), ('Cleo') RETURNING id, vip",
        "UPDATE {} SET city = 'Paris' WHERE id = 1 RETURNING *",
        "UPDATE {} SET name = upper(name), vip = true RETURNING *",
        "UPDATE {} SET street = NULL, city = NULL",
        "UPDATE {} SET id = id + 10 WHERE id > 1 RETURNING *",
        "INSERT INTO {} (id, name) VALUES (1, 'again')",
        "INSERT INTO {} (name) VALUES (NULL)",
        "DELETE FROM {} WHERE name = 'BOB' RETURNING *",
        "UPDATE {} SET city = 'Rome' WHERE city IS NULL",
        "DELETE FROM {} WHERE id = 99",
        "DELETE FROM {}",
        "INSERT INTO {} (id, name, city) SELECT n, 'n' || n, n FROM generate_series(50, 55) n",
    ),
    "task": (
        "INSERT INTO {} (author, task, prio) VALUES ('Ann', 'learn', 1) RETURNING *",
        "INSERT INTO {} (author, task) VALUES ('Ann', 'write'), ('Ben', 'clean'), (NULL, 'idle')",
        "UPDATE {} SET author = 'Ben' WHERE task = 'learn' RETURNING *",
        "UPDATE {} SET author = 'Cid', prio = coalesce(prio, 0) + 1 WHERE author = 'Ben'",
        "UPDATE {} SET author = NULL WHERE task = 'write' RETURNING *",
        "UPDATE {} SET id = id + 1000 RETURNING id",
        "DELETE FROM {} WHERE author = 'Cid' RETURNING task",
        "INSERT INTO {} VALUES (101, 'Dan', NULL, 1)",
        "DELETE FROM {}",
        "INSERT INTO {} SELECT n, 'author ' || n % 3, 'task', n FROM generate_series(501, 509) n",
    ),
    "jobs": (
        "INSERT INTO {} (n) VALUES (1), (2), (3) RETURNING *",
        "INSERT INTO {} (state, n) VALUES ('done', 4) RETURNING *",
        "UPDATE {} SET state = 'done' WHERE n < 3 RETURNING *",
        "UPDATE {} SET n = n + 1 RETURNING *",
        "UPDATE {} SET state = 'open', id = id + 10 WHERE n = 5 RETURNING *",
        "INSERT INTO {} VALUES (1, 'open', 9)",
        "UPDATE {} SET id = 2 WHERE id = 1",
        "DELETE FROM {} WHERE state = 'done' RETURNING id",
        "DELETE FROM {}",
        "INSERT INTO {} SELECT n, CASE WHEN n % 2 = 0 THEN 'done' ELSE 'open' END FROM"
        " generate_series(20, 25) n",
    ),
    "customer": (
        "INSERT INTO {} (name, mail) VALUES ('Ada', 'a@x') RETURNING *",
        "INSERT INTO {} (name) VALUES ('Bob') RETURNING *",
        "UPDATE {} SET mail = name || '@y' RETURNING *",
        "UPDATE {} SET id = id + 500",
        "INSERT INTO {} (id, name) VALUES (501, 'x')",
        "DELETE FROM {} WHERE name = 'Ada'",
        "DELETE FROM {}",
        "INSERT INTO {} (id, name) SELECT n, n FROM generate_series(70, 75) n",
    ),
}

MAKERS = {
    "split by key": customers,
    "split by key, optional": lambda conn: customers(conn, optional=True),
    "join": tasks,
    "join without orphans": lambda conn: tasks(conn, orphans="delete"),
    "split by predicate": jobs,
    "union": lambda conn: people(conn)[1],
}


@pytest.mark.parametrize("shape", MAKERS)
def test_a_shape_serves_what_the_table_served_forward_and_back(
    conn: Connection, shape: str
) -> None:
    migration = MAKERS[shape](conn)
    name = migration.mapping.name
    statements = STATEMENTS[name]
    twin = migration.twin()
    conn.execute(f"CREATE SEQUENCE twin_id; ALTER TABLE {twin} ALTER id SET DEFAULT nextval('twin_id')")

    def both(statement: str) -> None:
        expected = outcome(conn, statement.format(twin))
        assert outcome(conn, statement.format(name)) == expected, statement
        same(statement)

    def same(why: str = "") -> None:
        assert migration.legacy_rows() == migration.rows(twin), why

    both(statements[0])
    both(statements[1])
    migration.expand()
    both(statements[2])
    migration.copy(size=2)
    assert migration.standby_rows() == migration.legacy_rows()
    for statement in statements:
        both(statement)
        assert migration.standby_rows() == migration.legacy_rows(), statement
    migration.cutover()
    for statement in statements:
        both(statement)
        assert migration.retired_rows() == migration.legacy_rows(), statement
    migration.uncutover()
    for statement in statements:
        both(statement)
        assert migration.standby_rows() == migration.legacy_rows(), statement
    migration.cutover().contract()
    migration.uncontract()
    same("after contract and back")
    assert migration.retired_rows() == migration.legacy_rows()
    for statement in statements:
        both(statement)
    migration.uncutover().unexpand()
    same("after all was taken back")


def test_halves_keep_what_the_view_does_not_show(conn: Connection) -> None:
    migration = customers(conn).expand().cutover()
    conn.execute("INSERT INTO customers (name, city) VALUES ('Ada', 'London')")
    conn.execute("UPDATE accounts SET hidden = 'a'")
    conn.execute("UPDATE addresses SET hidden = 'b'")
    conn.execute("UPDATE customers SET name = 'Eve', city = 'Rome', id = 7")
    assert one(conn, "SELECT full_name, city, a.hidden, b.hidden FROM accounts a, addresses b") == (
        "Eve",
        "Rome",
        "a",
        "b",
    )
    assert migration.retired_rows() == migration.legacy_rows() == [(7, "Eve", None, "Rome", False)]


def test_an_update_touches_only_the_tables_of_which_something_changed(conn: Connection) -> None:
    customers(conn).expand().cutover()
    conn.execute("INSERT INTO customers (name, city) VALUES ('Ada', 'London')")
    versions = "SELECT a.xmin, b.xmin FROM accounts a, addresses b"
    before = one(conn, versions)
    conn.execute("UPDATE customers SET name = 'Eve'")
    after = one(conn, versions)
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)
    conn.execute("UPDATE customers SET city = 'Rome'")
    assert (one(conn, versions)[0], one(conn, versions)[1] != after[1]) == (after[0], True)


@pytest.mark.parametrize("optional", (False, True))
def test_what_v2_writes_to_either_half_reaches_the_retired_table(
    conn: Connection, optional: bool
) -> None:
    migration = customers(conn, optional).expand().cutover()
    conn.execute(
        "WITH a AS (INSERT INTO accounts (full_name) VALUES ('Zoe') RETURNING id)"
        " INSERT INTO addresses SELECT id, 's', 'c' FROM a"
    )
    conn.execute("UPDATE addresses SET city = 'Oslo'")
    conn.execute("UPDATE accounts SET full_name = 'Zoë'")
    assert migration.retired_rows() == [(1, "Zoë", "s", "Oslo", False)]
    conn.execute("DELETE FROM addresses")
    assert migration.retired_rows() == migration.legacy_rows()
    assert len(migration.legacy_rows()) == int(optional)
    conn.execute("TRUNCATE accounts CASCADE")
    assert migration.retired_rows() == migration.legacy_rows() == []


def test_a_renamed_parent_is_renamed_in_every_legacy_row(conn: Connection) -> None:
    migration = tasks(conn).expand().cutover()
    conn.execute("INSERT INTO task (author, task) VALUES ('Ann', 'a'), ('Ann', 'b'), ('Ben', 'c')")
    conn.execute("UPDATE author SET name = 'Anna' WHERE name = 'Ann'")
    assert [row[1] for row in migration.retired_rows()] == ["Anna", "Anna", "Ben"]
    assert migration.retired_rows() == migration.legacy_rows()


def test_a_parent_that_nobody_references_stays_or_goes_as_declared(conn: Connection) -> None:
    tasks(conn, orphans="delete").expand().cutover()
    conn.execute("INSERT INTO task (author, task) VALUES ('Ann', 'a'), ('Ann', 'b'), ('Ben', 'c')")
    conn.execute("UPDATE task SET author = 'Ben' WHERE task = 'a'")
    assert value(conn, "SELECT count(*) FROM author") == 2
    conn.execute("DELETE FROM task WHERE task = 'b'")
    assert value(conn, "SELECT string_agg(name, ',') FROM author") == "Ben"


def test_a_row_that_fits_no_table_is_refused(conn: Connection) -> None:
    jobs(conn, remainder="state = 'open'").expand().cutover()
    assert outcome(conn, "INSERT INTO jobs (state) VALUES ('lost')") == ("failed", "23514")
    conn.execute("INSERT INTO jobs (n) VALUES (1)")
    assert outcome(conn, "UPDATE jobs SET state = 'lost'") == ("failed", "23514")
    assert outcome(conn, "UPDATE jobs SET state = 'done'")[:2] == ("done", 1)
    assert value(conn, "SELECT count(*) FROM done_jobs") == 1


def test_a_row_that_v2_has_put_elsewhere_stays_there_until_it_is_due(conn: Connection) -> None:
    migration = jobs(conn).expand().cutover()
    conn.execute("INSERT INTO done_jobs VALUES (1, 'open', 1, 'mine')")
    conn.execute("UPDATE jobs SET n = 2")
    assert one(conn, "SELECT * FROM done_jobs") == (1, "open", 2, "mine")
    conn.execute("UPDATE jobs SET state = 'done'")
    assert one(conn, "SELECT * FROM done_jobs") == (1, "done", 2, "mine")
    conn.execute("UPDATE jobs SET state = 'open'")
    assert one(conn, "SELECT * FROM open_jobs") == (1, "open", 2, "mine")
    assert migration.retired_rows() == migration.legacy_rows()


def test_tables_that_share_a_target_do_not_see_each_other(conn: Connection) -> None:
    employee, customer = people(conn)
    conn.execute("INSERT INTO employee (name) VALUES ('Ada'), ('Bob')")
    conn.execute("INSERT INTO customer (name) VALUES ('Cleo')")
    employee.expand()
    customer.expand()
    employee.copy()
    customer.copy()
    employee.cutover()
    conn.execute("UPDATE employee SET name = 'Ada L.' WHERE id = 1")
    conn.execute("UPDATE customer SET mail = 'c@x'")
    customer.cutover()
    conn.execute("DELETE FROM employee WHERE id = 2")
    conn.execute("INSERT INTO customer (name) VALUES ('Dan')")
    assert employee.legacy_rows() == employee.retired_rows() == [(1, "Ada L.", None)]
    assert customer.legacy_rows() == [(1, "Cleo", "c@x"), (2, "Dan", None)]
    assert customer.retired_rows() == customer.legacy_rows()
    conn.execute("UPDATE person SET kind = 'customer', legacy_id = 9 WHERE name = 'Ada L.'")
    assert employee.legacy_rows() == employee.retired_rows() == []
    assert customer.retired_rows() == customer.legacy_rows()
    customer.uncutover()
    conn.execute("TRUNCATE customer")
    assert value(conn, "SELECT count(*) FROM person") == 0
    employee.uncutover()
