"""Tables of every shape, and what a legacy client does to them."""

from __future__ import annotations

from collections.abc import Callable

from compat import catalog, rules
from compat.mapping import Mapping
from compat.shapes import Choice, Half, Parent, Tag
from compat.tables import Table
from tests.compat.migrations import Connection, Migration

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


CONTACTS = """
CREATE TABLE contact (id serial PRIMARY KEY, name text NOT NULL, street text, since date);
CREATE TABLE human (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    legacy_id integer NOT NULL,
    name text NOT NULL,
    since date,
    UNIQUE (kind, legacy_id)
);
CREATE TABLE address (human_id uuid PRIMARY KEY REFERENCES human ON DELETE CASCADE, street text);
INSERT INTO human (kind, legacy_id, name) VALUES ('other', 1, 'not ours');
"""


def reflected(conn: Connection, *names: str) -> list[Table]:
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


def contacts(conn: Connection) -> Migration:
    """A legacy table that shares its target, with a half beside."""
    conn.execute(CONTACTS)
    legacy, target, half = reflected(conn, "contact", "human", "address")
    return Migration(
        conn,
        Mapping(
            "contact",
            legacy,
            target,
            (
                rules.Column("id", "legacy_id"),
                rules.Column("name", "name"),
                rules.Column("street", "street"),
                rules.Column("since", "since"),
            ),
            parts=(Half(half, (("human_id", "id"),), ("street",)),),
            tag=Tag("kind", "contact"),
        ),
    )


def people(conn: Connection) -> tuple[Migration, Migration]:
    """Two legacy tables share one target."""
    conn.execute(PEOPLE)
    employee, customer, person = reflected(conn, "employee", "customer", "person")

    def merged(legacy: Table) -> Migration:
        own = [rules.Column("id", "legacy_id")]
        own += [rules.Column(name, name) for name in legacy.column_names[1:]]
        tag = Tag("kind", legacy.name)
        return Migration(conn, Mapping(legacy.name, legacy, person, tuple(own), tag=tag))

    return merged(employee), merged(customer)


STATEMENTS = {
    "contact": (
        "INSERT INTO {} (name, street) VALUES ('Ada', 'A Street') RETURNING *",
        "INSERT INTO {} (name) VALUES ('Bob'), ('Cleo') RETURNING *",
        "UPDATE {} SET street = name || ' Street', since = '2020-01-01' RETURNING *",
        "UPDATE {} SET id = id + 500",
        "INSERT INTO {} (id, name) VALUES (501, 'x')",
        "DELETE FROM {} WHERE name = 'Ada'",
        "DELETE FROM {}",
        "INSERT INTO {} (id, name) SELECT n, n FROM generate_series(1070, 1075) n",
    ),
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
        "INSERT INTO {} (id, name, city) SELECT n, 'n' || n, n FROM generate_series(1050, 1055) n",
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
        " generate_series(1020, 1025) n",
    ),
    "customer": (
        "INSERT INTO {} (name, mail) VALUES ('Ada', 'a@x') RETURNING *",
        "INSERT INTO {} (name) VALUES ('Bob') RETURNING *",
        "UPDATE {} SET mail = name || '@y' RETURNING *",
        "UPDATE {} SET id = id + 500",
        "INSERT INTO {} (id, name) VALUES (501, 'x')",
        "DELETE FROM {} WHERE name = 'Ada'",
        "DELETE FROM {}",
        "INSERT INTO {} (id, name) SELECT n, n FROM generate_series(1070, 1075) n",
    ),
}

MAKERS: dict[str, Callable[[Connection], Migration]] = {
    "split by key": customers,
    "split by key, optional": lambda conn: customers(conn, optional=True),
    "join": tasks,
    "join without orphans": lambda conn: tasks(conn, orphans="delete"),
    "split by predicate": jobs,
    "split by predicate, with a remainder": lambda conn: jobs(conn, remainder="state <> 'done'"),
    "union, split by key": contacts,
    "union": lambda conn: people(conn)[1],
}
