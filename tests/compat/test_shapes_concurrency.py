"""Rows of one or several tables, written at once under the legacy name and in those of v2.

What was acknowledged counts, and in the end the retired table is what the view shows.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import psycopg
import pytest

from compat import rules
from compat.mapping import Form
from compat.run import copy, indexes, steps
from tests.compat.migrations import Connection, Migration, one
from tests.compat.shaped import customers, jobs, people, tasks

pytestmark = pytest.mark.proof

LEGACY, V2 = 4, 4
STATEMENTS = 120
ROWS = 6
RETRIED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)

Writes = Callable[[random.Random], tuple[str, int]]
"""A statement, and what each row that it changes adds to the total."""


def legacy_customers(choice: random.Random) -> tuple[str, int]:
    key = choice.randint(1, ROWS)
    return choice.choice(
        [
            (f"UPDATE customers SET name = (name::int + 1)::text WHERE id = {key}", 1),
            (f"UPDATE customers SET city = (city::int + 1)::text WHERE id = {key}", 1),
            (
                f"UPDATE customers SET city = (city::int + 1)::text, vip = NOT vip"
                f" WHERE id = {key}",
                1,
            ),
            (f"UPDATE customers SET street = NULL WHERE id = {key}", 0),
            (
                f"UPDATE customers SET name = (name::int + 1)::text, street = 's'"
                f" WHERE id <= {key}",
                1,
            ),
            (f"INSERT INTO customers (id, name, city) VALUES ({key + 100}, '0', '0')", 0),
            (f"DELETE FROM customers WHERE id = {key + 100}", 0),
        ]
    )


def v2_customers(choice: random.Random) -> tuple[str, int]:
    key = choice.randint(1, ROWS)
    address = f"account_id = (SELECT id FROM accounts WHERE legacy_id = {key})"
    return choice.choice(
        [
            (
                f"UPDATE accounts SET full_name = (full_name::int + 1)::text"
                f" WHERE legacy_id = {key}",
                1,
            ),
            (f"UPDATE addresses SET city = (city::int + 1)::text WHERE {address}", 1),
            (f"UPDATE accounts SET hidden = hidden || '.' WHERE legacy_id = {key}", 0),
            (f"UPDATE addresses SET street = coalesce(street, '') || '.' WHERE {address}", 0),
            (
                "WITH a AS (INSERT INTO accounts (legacy_id, full_name)"
                f" VALUES ({key + 200}, '0') ON CONFLICT DO NOTHING RETURNING id)"
                " INSERT INTO addresses (account_id, city) SELECT id, '0' FROM a",
                0,
            ),
            (
                f"WITH a AS (DELETE FROM addresses USING accounts a WHERE account_id = a.id"
                f" AND legacy_id = {key + 200} RETURNING account_id)"
                " DELETE FROM accounts WHERE id IN (SELECT account_id FROM a)",
                0,
            ),
        ]
    )


def legacy_task(choice: random.Random) -> tuple[str, int]:
    key, author = choice.randint(1, ROWS), choice.randint(1, 4)
    return choice.choice(
        [
            (f"UPDATE task SET prio = prio + 1 WHERE id = {key}", 1),
            (f"UPDATE task SET prio = prio + 1, author = 'a{author}' WHERE id = {key}", 1),
            (f"UPDATE task SET prio = prio + 1 WHERE author = 'a{author}' AND id < 99", 1),
            (f"UPDATE task SET author = NULL WHERE id = {key}", 0),
            (
                f"INSERT INTO task (id, task, author, prio)"
                f" VALUES ({key + 100}, '', 'a{author}', 0)",
                0,
            ),
            (f"DELETE FROM task WHERE id = {key + 100}", 0),
        ]
    )


def v2_task(choice: random.Random) -> tuple[str, int]:
    key, author = choice.randint(1, ROWS), choice.randint(1, 4)
    return choice.choice(
        [
            (f"UPDATE task2 SET prio = prio + 1 WHERE id = {key}", 1),
            (f"UPDATE author SET name = name || '.' WHERE name = 'a{author}'", 0),
            (f"UPDATE author SET name = 'a{author}' WHERE name = 'a{author}.'", 0),
            (
                f"UPDATE task2 SET prio = prio + 1, author = (SELECT min(id::text)::uuid"
                f" FROM author"
                f" WHERE name LIKE 'a{author}%') WHERE id = {key}",
                1,
            ),
            (
                "DELETE FROM author WHERE NOT EXISTS (SELECT FROM task2 WHERE author = author.id)",
                0,
            ),
        ]
    )


def legacy_jobs(choice: random.Random) -> tuple[str, int]:
    key, state = choice.randint(1, ROWS), choice.choice(["open", "done"])
    return choice.choice(
        [
            (f"UPDATE jobs SET n = n + 1 WHERE id = {key}", 1),
            (f"UPDATE jobs SET n = n + 1, state = '{state}' WHERE id = {key}", 1),
            (f"UPDATE jobs SET n = n + 1 WHERE state = '{state}' AND id < 99", 1),
            (f"INSERT INTO jobs VALUES ({key + 100}, '{state}', 0)", 0),
            (f"UPDATE jobs SET state = '{state}' WHERE id = {key + 100}", 0),
            (f"DELETE FROM jobs WHERE id = {key + 100}", 0),
        ]
    )


def v2_jobs(choice: random.Random) -> tuple[str, int]:
    key = choice.randint(1, ROWS)
    here, there = choice.sample(["open_jobs", "done_jobs"], 2)
    state = there.removesuffix("_jobs")
    return choice.choice(
        [
            (f"UPDATE {here} SET n = n + 1 WHERE id = {key}", 1),
            (f"UPDATE {here} SET n = n + 1 WHERE id <= {key}", 1),
            (
                f"WITH gone AS (DELETE FROM {here} WHERE id = {key} RETURNING *)"
                f" INSERT INTO {there} SELECT id, '{state}', n, hidden FROM gone",
                0,
            ),
            (f"DELETE FROM {here} WHERE id = {key + 100}", 0),
        ]
    )


def legacy_customer(choice: random.Random) -> tuple[str, int]:
    key = choice.randint(1, ROWS)
    return choice.choice(
        [
            (f"UPDATE customer SET mail = (mail::int + 1)::text WHERE id = {key}", 1),
            (f"UPDATE customer SET mail = (mail::int + 1)::text WHERE id <= {key}", 1),
            (f"INSERT INTO customer VALUES ({key + 100}, 'x', '0')", 0),
            (f"DELETE FROM customer WHERE id = {key + 100}", 0),
        ]
    )


def v2_customer(choice: random.Random) -> tuple[str, int]:
    key = choice.randint(1, ROWS)
    ours = f"kind = 'customer' AND legacy_id = {key}"
    return choice.choice(
        [
            (f"UPDATE person SET mail = (mail::int + 1)::text WHERE {ours}", 1),
            (
                f"UPDATE person SET kind = 'employee'"
                f" WHERE kind = 'customer' AND legacy_id = {key + 100}",
                0,
            ),
            (
                f"UPDATE person SET kind = 'customer'"
                f" WHERE kind = 'employee' AND legacy_id = {key + 100}",
                0,
            ),
            (
                f"INSERT INTO person (kind, legacy_id, name) VALUES ('employee', {key + 100}, 'e')",
                0,
            ),
            (f"DELETE FROM person WHERE kind = 'employee' AND legacy_id = {key + 100}", 0),
        ]
    )


def one_table(conn: Connection, form: Form) -> Migration:
    """A table that converts its key and what is counted; both shapes are in one row, or in two."""
    conn.execute(
        "CREATE TABLE one (id serial PRIMARY KEY, n text NOT NULL DEFAULT '0',"
        " kind integer NOT NULL DEFAULT 1, note text);"
        "CREATE TABLE one_v2 (key bigint PRIMARY KEY, count integer NOT NULL, kind text NOT NULL,"
        " note text, hidden text DEFAULT '')"
    )
    found = (
        rules.Cast("id", "key"),
        rules.Cast("n", "count"),
        rules.ValueMap("kind", "kind", ((1, "a"), (2, "b"))),
        rules.Column("note", "note"),
    )
    return Migration.between(conn, "one", "one_v2", found, form=form, accept=("n",))


def legacy_one(choice: random.Random) -> tuple[str, int]:
    key, kind = choice.randint(1, ROWS), choice.randint(1, 2)
    return choice.choice(
        [
            (f"UPDATE one SET n = (n::int + 1)::text WHERE id = {key}", 1),
            (f"UPDATE one SET n = (n::int + 1)::text, kind = {kind} WHERE id = {key}", 1),
            (f"UPDATE one SET n = (n::int + 1)::text WHERE kind = {kind} AND id < 99", 1),
            (f"UPDATE one SET kind = {kind}, note = '{kind}' WHERE id = {key}", 0),
            (f"INSERT INTO one (id, kind) VALUES ({key + 100}, {kind})", 0),
            (f"DELETE FROM one WHERE id = {key + 100}", 0),
        ]
    )


def v2_one(choice: random.Random) -> tuple[str, int]:
    key, kind = choice.randint(1, ROWS), choice.choice("ab")
    return choice.choice(
        [
            (f"UPDATE one_v2 SET count = count + 1 WHERE key = {key}", 1),
            (f"UPDATE one_v2 SET count = count + 1, kind = '{kind}' WHERE key = {key}", 1),
            (f"UPDATE one_v2 SET hidden = hidden || '.' WHERE kind = '{kind}'", 0),
            (
                f"INSERT INTO one_v2 (key, count, kind) VALUES ({key + 100}, 0, '{kind}')"
                + " ON CONFLICT (key) DO UPDATE SET count = one_v2.count",
                0,
            ),
            (f"DELETE FROM one_v2 WHERE key = {key + 100}", 0),
        ]
    )


Case = tuple[Callable[[Connection], Migration], Writes, Writes, str, str]
CASES: dict[str, Case] = {
    "split by key": (
        customers,
        legacy_customers,
        v2_customers,
        f"INSERT INTO customers (name, city) SELECT '0', '0' FROM generate_series(1, {ROWS})",
        "SELECT sum(name::int + city::int) FROM {}",
    ),
    "split by key, optional": (
        lambda conn: customers(conn, optional=True),
        legacy_customers,
        v2_customers,
        f"INSERT INTO customers (name, city) SELECT '0', '0' FROM generate_series(1, {ROWS})",
        "SELECT sum(name::int + city::int) FROM {}",
    ),
    "join": (
        tasks,
        legacy_task,
        v2_task,
        f"INSERT INTO task (author, task, prio) SELECT 'a1', '', 0 FROM generate_series(1, {ROWS})",
        "SELECT sum(prio) FROM {}",
    ),
    "join without orphans": (
        lambda conn: tasks(conn, orphans="delete"),
        legacy_task,
        v2_task,
        f"INSERT INTO task (author, task, prio) SELECT 'a1', '', 0 FROM generate_series(1, {ROWS})",
        "SELECT sum(prio) FROM {}",
    ),
    "split by predicate": (
        jobs,
        legacy_jobs,
        v2_jobs,
        f"INSERT INTO jobs (n) SELECT 0 FROM generate_series(1, {ROWS})",
        "SELECT sum(n) FROM {}",
    ),
    "union": (
        lambda conn: people(conn)[1],
        legacy_customer,
        v2_customer,
        f"INSERT INTO customer (name, mail) SELECT 'c', '0' FROM generate_series(1, {ROWS})",
        "SELECT sum(mail::int) FROM {}",
    ),
}


FORMS: dict[str, Case] = {
    form: (
        partial(one_table, form=form),
        legacy_one,
        v2_one,
        f"INSERT INTO one (note) SELECT 'x' FROM generate_series(1, {ROWS})",
        "SELECT sum(n::int) FROM {}",
    )
    for form in get_args(Form)
    if form != "updatable"
}


@pytest.mark.parametrize("form", FORMS)
def test_what_both_sides_write_to_one_table_at_once_is_in_both_shapes(
    conn: Connection, url: str, form: str
) -> None:
    make, legacy, v2, filling, total = FORMS[form]
    migration = make(conn)
    conn.execute(filling)
    migration.expand().copy()
    indexes.build(conn, migration.mapping)
    migration.cutover()
    added, seen = _let_write(url, [legacy] * LEGACY + [v2] * V2)
    assert one(conn, total.format("one")) == (added,), seen
    assert one(conn, "SELECT sum(count) FROM one_v2") == (added,), seen
    both = "SELECT id, n::int, chr(96 + kind), note FROM one ORDER BY id"
    assert (
        conn.execute(both).fetchall()
        == conn.execute("SELECT key, count, kind, note FROM one_v2 ORDER BY key").fetchall()
    )
    migration.uncutover()
    assert one(conn, total.format("one")) == (added,)


@pytest.mark.parametrize("shape", CASES)
def test_what_both_sides_write_at_once_is_kept_and_shown_by_both(
    conn: Connection, url: str, shape: str
) -> None:
    make, legacy, v2, filling, total = CASES[shape]
    migration = make(conn)
    conn.execute(filling)
    migration.expand().copy().cutover()
    added, seen = _let_write(url, [legacy] * LEGACY + [v2] * V2)
    name = migration.mapping.name
    assert one(conn, total.format(name)) == (added,), seen
    assert migration.retired_rows() == migration.legacy_rows(), seen
    migration.uncutover()
    assert one(conn, total.format(name)) == (added,)


@pytest.mark.parametrize("shape", CASES)
def test_what_the_legacy_side_writes_while_rows_are_copied_reaches_all_tables(
    conn: Connection, url: str, shape: str
) -> None:
    make, legacy, _, filling, total = CASES[shape]
    migration = make(conn)
    conn.execute(filling)
    name = migration.mapping.name
    with psycopg.connect(url, autocommit=True) as leader:
        steps.expand(leader, migration.mapping)
    writers = threading.Thread(target=lambda: results.append(_let_write(url, [legacy] * LEGACY)))
    results: list[tuple[int, Counter[str]]] = []
    writers.start()
    options = copy.CopyOptions(range_rows=2)
    with psycopg.connect(url, autocommit=True) as leader:
        copy.copy(leader, name, options)
    writers.join()
    ((added, seen),) = results
    assert one(conn, total.format(name)) == (added,), seen
    assert migration.standby_rows() == migration.legacy_rows(), seen
    migration.cutover()
    assert migration.retired_rows() == migration.legacy_rows()


def _let_write(url: str, writers: list[Writes]) -> tuple[int, Counter[str]]:
    """Let each write on a connection of its own; return what was acknowledged, and the errors."""
    lock, seen = threading.Lock(), Counter[str]()
    added, broken = 0, list[BaseException]()

    def write(number: int, choose: Writes) -> None:
        nonlocal added
        choice = random.Random(number)
        try:
            with psycopg.connect(url, autocommit=True) as conn:
                for _ in range(STATEMENTS):
                    statement, each = choose(choice)
                    rows = _acknowledged(conn, statement, seen, lock)
                    with lock:
                        added += each * rows
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken, broken
    return added, seen


def _acknowledged(
    conn: psycopg.Connection[Any], statement: str, seen: Counter[str], lock: threading.Lock
) -> int:
    """Return how many rows a statement has changed, told to try again as often as need be."""
    while True:
        try:
            return conn.execute(statement.encode()).rowcount
        except RETRIED as error:
            with lock:
                seen[type(error).__name__] += 1
        except psycopg.IntegrityError:
            return 0
