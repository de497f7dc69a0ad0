"""Legacy rows that are spread over several tables, or share one: split, union and join.

Each behaves as the legacy table did, whoever writes, before the cutover, after it, and after going
back.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from compat import catalog, rules
from compat.errors import CatalogError
from compat.mapping import Mapping
from compat.run import steps
from compat.run.dependents import Dependent, dependents
from compat.run.plan import plan
from compat.run.preflight import CutoverRefused
from compat.run.steps import check_tables
from compat.shapes import Choice, Half, Parent
from tests.compat.migrations import Connection, Migration, one, outcome, value
from tests.compat.shaped import (
    MAKERS,
    STATEMENTS,
    customers,
    jobs,
    people,
    reflected,
    tasks,
)


@pytest.mark.parametrize("shape", MAKERS)
def test_a_shape_serves_what_the_table_served_forward_and_back(
    conn: Connection, shape: str
) -> None:
    migration = MAKERS[shape](conn)
    name = migration.mapping.name
    statements = STATEMENTS[name]
    twin = migration.twin()
    conn.execute(
        f"CREATE SEQUENCE twin_id; ALTER TABLE {twin} ALTER id SET DEFAULT nextval('twin_id')"
    )

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


@pytest.mark.parametrize("optional", [False, True])
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


@pytest.mark.parametrize("orphans", ["keep", "delete"])
def test_an_update_of_something_else_does_not_lock_the_parent(
    conn: Connection, orphans: str
) -> None:
    tasks(conn, orphans).expand().cutover()
    conn.execute("INSERT INTO task (author, task) VALUES ('Ann', 'a'), ('Ann', 'b')")
    locked_by = "SELECT xmax FROM author"
    before = value(conn, locked_by)
    conn.execute("UPDATE task SET prio = 1")
    assert value(conn, locked_by) == before
    if orphans == "keep":
        conn.execute("DELETE FROM task WHERE task = 'b'")
        assert value(conn, locked_by) == before


@pytest.mark.parametrize("statement", ["UPDATE task SET prio = 1", "DELETE FROM task"])
@pytest.mark.parametrize("renamed_back", [False, True])
def test_who_writes_a_row_while_its_parent_is_renamed_hears_of_it(
    conn: Connection, url: str, statement: str, renamed_back: bool
) -> None:
    migration = tasks(conn).expand().cutover()
    conn.execute("INSERT INTO task (author, task) VALUES ('Ann', 'a')")
    with psycopg.connect(url) as v2, ThreadPoolExecutor(1) as others:
        v2.execute("UPDATE author SET name = 'Anna'")
        waiting = others.submit(outcome, conn, f"{statement} WHERE author = 'Ann'")
        while not value(
            v2,
            "SELECT %s = ANY (pg_blocking_pids(%s))",
            [v2.info.backend_pid, conn.info.backend_pid],
        ):
            assert not waiting.done()
        if renamed_back:
            v2.execute("UPDATE author SET name = 'Ann'")
        v2.commit()
        told = waiting.result(timeout=30)
    assert told == (("done", 1, None) if renamed_back else ("failed", "40001"))
    assert migration.retired_rows() == migration.legacy_rows()


@pytest.mark.parametrize("statement", ["UPDATE task SET prio = 1", "DELETE FROM task"])
def test_a_snapshot_from_before_its_parent_was_renamed_writes_no_row(
    conn: Connection, url: str, statement: str
) -> None:
    tasks(conn).expand().cutover()
    conn.execute("INSERT INTO task (author, task) VALUES ('Ann', 'a')")
    with psycopg.connect(url) as older:
        older.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert value(older, "SELECT author FROM task") == "Ann"
        conn.execute("UPDATE author SET name = 'Anna'")
        with pytest.raises(psycopg.errors.SerializationFailure):
            older.execute(f"{statement} WHERE author = 'Ann'")


def test_a_reference_that_leads_nowhere_stays_until_its_columns_change(conn: Connection) -> None:
    migration = tasks(conn).expand().cutover()
    conn.execute("ALTER TABLE task2 DROP CONSTRAINT task2_author_fkey")
    conn.execute("INSERT INTO task (author, task) VALUES ('Ann', 'a')")
    conn.execute("DELETE FROM author")
    reference = value(conn, "SELECT author FROM task2")
    conn.execute("UPDATE task SET prio = 1, id = 7, author = NULL")
    assert one(conn, "SELECT id, prio, author FROM task2") == (7, 1, reference)
    conn.execute("UPDATE task SET author = 'Ben'")
    assert value(conn, "SELECT name FROM author JOIN task2 ON author = author.id") == "Ben"
    conn.execute("UPDATE task SET author = NULL")
    assert value(conn, "SELECT author FROM task2") is None
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


def test_a_row_of_v2_that_fits_nowhere_may_change_where_it_is(conn: Connection) -> None:
    migration = jobs(conn, remainder="state = 'open'").expand().cutover()
    conn.execute("INSERT INTO done_jobs VALUES (1, 'lost', 1, 'mine')")
    assert outcome(conn, "UPDATE jobs SET n = 2") == ("done", 1, None)
    assert one(conn, "SELECT * FROM done_jobs") == (1, "lost", 2, "mine")
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


SPANS = """
CREATE TABLE span (id integer PRIMARY KEY, "from" integer, upto integer, CHECK ("from" <= upto));
CREATE TABLE beginning (id integer PRIMARY KEY, "from" integer);
CREATE TABLE ending (id integer PRIMARY KEY, upto integer);
"""


def spans(conn: Connection, optional: bool) -> Migration:
    """Cut over to two tables, joined by the legacy key, of which each has one end."""
    conn.execute(SPANS)
    legacy, target, half = reflected(conn, "span", "beginning", "ending")
    own = tuple(rules.Column(name, name) for name in legacy.column_names)
    parts = (Half(half, (("id", "id"),), ("upto",), optional=optional),)
    return Migration(conn, Mapping("span", legacy, target, own, parts=parts)).expand().cutover()


@pytest.mark.parametrize("optional", [False, True])
def test_what_a_check_compares_may_change_in_two_tables_at_once(
    conn: Connection, optional: bool
) -> None:
    migration = spans(conn, optional)
    conn.execute("INSERT INTO span VALUES (1, 1, 2), (2, NULL, 3), (3, NULL, NULL), (4, 7, NULL)")
    conn.execute("""UPDATE span SET "from" = coalesce("from", 0) + 5, upto = 9 WHERE id < 4""")
    assert outcome(conn, 'UPDATE span SET "from" = 10, upto = 8') == ("failed", "23514")
    conn.execute("""UPDATE span SET "from" = upto, upto = NULL WHERE id = 1""")
    assert migration.legacy_rows() == [(1, 9, None), (2, 5, 9), (3, 5, 9), (4, 7, None)]
    assert migration.retired_rows() == migration.legacy_rows()


def test_an_optional_half_comes_with_a_new_key_of_the_row(conn: Connection) -> None:
    migration = spans(conn, optional=True)
    conn.execute("INSERT INTO span VALUES (1, 1, NULL), (2, 2, 2)")
    conn.execute("UPDATE span SET id = id + 10, upto = coalesce(upto, 0) + 5")
    assert migration.legacy_rows() == [(11, 1, 5), (12, 2, 7)]
    assert migration.retired_rows() == migration.legacy_rows()


COLOURS = """
CREATE TABLE pens (id integer PRIMARY KEY, ink text, cap text, is_empty boolean NOT NULL);
CREATE TABLE full_pens (id integer PRIMARY KEY, colours jsonb, is_empty boolean NOT NULL);
CREATE TABLE empty_pens (LIKE full_pens INCLUDING ALL);
CREATE TABLE paints (id integer PRIMARY KEY, colours jsonb);
"""
PEN_RULES = (
    rules.Column("id", "id"),
    rules.JsonField("ink", "colours", "ink"),
    rules.JsonField("cap", "colours", "cap"),
    rules.Column("is_empty", "is_empty"),
)


@pytest.mark.parametrize("shape", ["half", "choice"])
def test_columns_that_share_a_document_change_together(conn: Connection, shape: str) -> None:
    conn.execute(COLOURS)
    legacy, target, other, half = reflected(conn, "pens", "full_pens", "empty_pens", "paints")
    more: dict[str, Any] = {"choices": (Choice(other, "is_empty"),)}
    if shape == "half":
        conn.execute("ALTER TABLE full_pens DROP colours")
        (target,) = reflected(conn, "full_pens")
        more = {"parts": (Half(half, (("id", "id"),), ("ink", "cap")),)}
    migration = Migration(conn, Mapping("pens", legacy, target, PEN_RULES, **more))
    migration.expand().cutover()
    table = "paints" if shape == "half" else "empty_pens"
    stored = f"SELECT colours FROM {table}"
    conn.execute("INSERT INTO pens VALUES (1, 'red', 'blue', true)")
    assert value(conn, stored) == {"ink": "red", "cap": "blue"}
    conn.execute(f"""UPDATE {table} SET colours = colours || '{{"clip": "gold"}}'""")
    conn.execute("UPDATE pens SET ink = 'green', cap = 'black'")
    assert value(conn, stored) == {"ink": "green", "cap": "black", "clip": "gold"}
    conn.execute("UPDATE pens SET cap = 'white', is_empty = false, id = 2")
    assert migration.retired_rows() == migration.legacy_rows() == [(2, "green", "white", False)]


# What a shape cannot serve -----------------------------------------------------------------------


def hanging_on(migration: Migration) -> list[Dependent]:
    legacy = migration.mapping.legacy
    relation = catalog.find(migration.conn, legacy.name)
    assert relation is not None
    return [
        item
        for item in dependents(migration.conn, migration.mapping, relation)
        if item.kind == "foreign key"
    ]


def test_rows_that_are_referenced_cannot_be_split_by_predicate(conn: Connection) -> None:
    migration = jobs(conn).expand()
    conn.execute("CREATE TABLE notes (job integer REFERENCES jobs)")
    conn.execute("ALTER TABLE jobs ADD CONSTRAINT itself FOREIGN KEY (id) REFERENCES jobs")
    assert [(item.name, item.verdict) for item in hanging_on(migration)] == [
        ("public.jobs.itself", "refusal"),
        ("public.notes.notes_job_fkey", "refusal"),
    ]
    with pytest.raises(CutoverRefused, match="a foreign key references one"):
        steps.cutover(conn, "jobs")
    conn.execute("DROP TABLE notes; ALTER TABLE jobs DROP CONSTRAINT itself")
    assert steps.cutover(conn, "jobs").changed


def test_rows_found_by_tag_and_key_cannot_be_referenced_by_the_key(conn: Connection) -> None:
    migration = people(conn)[1].expand()
    conn.execute("CREATE TABLE orders (customer integer REFERENCES customer)")
    (key,) = hanging_on(migration)
    assert key.verdict == "refusal"
    assert "a column of its own" in key.fix
    with pytest.raises(CutoverRefused, match=r"no unique constraint on \(legacy_id\)"):
        steps.cutover(conn, "customer")


ALIKE = (
    "numeric(10,2)",
    "numeric(10,2)[]",
    "cents",
    "character(3)",
    "character varying(9)",
    "cidr",
    "mood",
    "timestamp with time zone",
    "uuid",
)
UNLIKE = ("numeric", "numeric[]", "amount", "double precision", "interval", "jsonb", "bpchar")


def test_a_parent_is_found_only_by_values_of_which_equal_ones_look_alike(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE DOMAIN cents AS numeric(10,2); CREATE DOMAIN amount AS numeric;"
        "CREATE TYPE mood AS ENUM ('good', 'bad')"
    )
    for identity in ALIKE:
        check_tables(conn, priced(conn, identity))
    for identity in UNLIKE:
        mapping = priced(conn, identity)
        with pytest.raises(CatalogError, match=r"public.author cannot be found by name \("):
            check_tables(conn, mapping)
    with pytest.raises(CatalogError, match="may look different"):
        plan(conn, mapping)


def test_a_collation_that_takes_different_texts_for_equal_finds_no_parent(
    conn: Connection,
) -> None:
    # Made as ICU would: not every server is built with it.
    conn.execute('CREATE COLLATION nocase FROM "C"')
    mapping = priced(conn, "text COLLATE nocase")
    assert steps.can_expand(conn, mapping)
    conn.execute("UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'nocase'")
    with pytest.raises(CatalogError, match=r"name \(text COLLATE nocase\)"):
        steps.can_expand(conn, mapping)


def priced(conn: Connection, identity: str) -> Mapping:
    """Return the mapping of a table whose parents are found by a column of this type."""
    conn.execute(
        "DROP TABLE IF EXISTS task, task2, author;"
        f"CREATE TABLE task (id integer PRIMARY KEY, author {identity});"
        f"CREATE TABLE author (id serial PRIMARY KEY, name {identity} UNIQUE);"
        "CREATE TABLE task2 (id integer PRIMARY KEY, author integer REFERENCES author)"
    )
    legacy, target, parent = reflected(conn, "task", "task2", "author")
    own = (rules.Column("id", "id"), rules.Column("author", "name"))
    return Mapping(
        "task", legacy, target, own, parts=(Parent(parent, (("id", "author"),), ("author",)),)
    )
