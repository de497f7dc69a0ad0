"""Several connections at once: through the views, through the sync triggers, beside the copy.

Nothing waits for a clock: who must wait is seen waiting in pg_stat_activity before a test goes on.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import errors

from compat import rules
from compat.compile import copy, view
from compat.mapping import Form
from tests.compat.hot import HOT, Account, Client, balance
from tests.compat.migrations import (
    Connection,
    Migration,
    copy_batches,
    lines,
    one,
    outcome,
    renamed,
    sweep,
    value,
)

WORKERS = 8
PATIENCE = 60


@pytest.fixture
def connect(url: str) -> Iterator[Callable[[], Connection]]:
    """More connections to the test's database, closed at its end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(psycopg.connect(url, autocommit=True))


@contextmanager
def threads(count: int = WORKERS) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(count) as pool:
        yield pool


def until_waiting(observer: Connection, waiting: Connection) -> None:
    """Return once the other connection waits for a lock."""
    deadline = time.monotonic() + PATIENCE
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    while not value(observer, query, [waiting.info.backend_pid]):
        assert time.monotonic() < deadline, "nobody waits"


def retrying(
    conn: Connection, statement: str, parameters: Any = None, *, counter: list[int] | None = None
) -> int:
    """Run a statement as an application does that retries serialization failures."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return conn.execute(statement, parameters).rowcount
        except errors.SerializationFailure:
            if counter is not None:
                counter.append(1)
            assert time.monotonic() < deadline, "starved"


def cut_over_lines(conn: Connection) -> Migration:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    return migration.expand().copy().cutover()


FORMS: dict[str, tuple[Callable[[Connection], Migration], str]] = {
    "instead_of": (lines, "INSERT INTO lines (order_id) SELECT generate_series(1, 200)"),
    "bridged": (
        partial(lines, form="bridged"),
        "INSERT INTO lines (order_id) SELECT generate_series(1, 200)",
    ),
    "reversed": (
        partial(lines, form="reversed"),
        "INSERT INTO lines (order_id) SELECT generate_series(1, 200)",
    ),
    "updatable": (renamed, "INSERT INTO lines (status) SELECT 1 FROM generate_series(1, 200)"),
}


@pytest.fixture(params=FORMS)
def two_hundred(request: pytest.FixtureRequest, conn: Connection) -> Migration:
    """200 rows under a view of each form; qty is 1 and status is 1 in all of them."""
    make, rows = FORMS[request.param]
    migration = make(conn)
    conn.execute(rows)
    assert migration.mapping.chosen_form == request.param
    return migration.expand().copy().cutover()


def test_every_increment_of_a_hot_row_counts(
    two_hundred: Migration, connect: Callable[[], Connection]
) -> None:
    retries: list[int] = []

    def increment(worker: Connection) -> int:
        statement = "UPDATE lines SET qty = qty + 1 WHERE id = 1"
        return sum(retrying(worker, statement, counter=retries) for _ in range(500))

    with threads() as pool:
        counted = list(pool.map(increment, [connect() for _ in range(WORKERS)]))
    assert counted == [500] * WORKERS
    assert value(two_hundred.conn, "SELECT qty FROM lines WHERE id = 1") == 1 + 500 * WORKERS
    assert two_hundred.retired_rows() == two_hundred.legacy_rows()
    assert bool(retries) == (two_hundred.mapping.chosen_form == "instead_of")


def test_no_row_is_claimed_twice(two_hundred: Migration, connect: Callable[[], Connection]) -> None:
    start = threading.Barrier(WORKERS)

    def claim(worker: Connection) -> list[int]:
        start.wait(PATIENCE)
        statement = "UPDATE lines SET status = '2' WHERE id = %s AND status = '1'"
        return [number for number in range(1, 201) if retrying(worker, statement, [number]) == 1]

    with threads() as pool:
        claims = list(pool.map(claim, [connect() for _ in range(WORKERS)]))
    assert sorted(number for claimed in claims for number in claimed) == list(range(1, 201))
    taken = "SELECT count(*) FROM lines WHERE status = '2'"
    assert value(two_hundred.conn, taken) == 200


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name, (_, forms) in HOT.items() for form in forms]
)
def test_no_lost_update_no_double_claim_and_no_stale_delete_on_fifty_hot_rows(
    conn: Connection, connect: Callable[[], Connection], name: str, form: Form
) -> None:
    migration = HOT[name][0](conn, form)
    assert migration.mapping.chosen_form == form
    migration.expand().copy().cutover()
    account = Account()
    clients = [Client(connect(), number, account) for number in range(WORKERS)]
    with threads() as pool:
        for work in [pool.submit(client.work) for client in clients]:
            work.result(PATIENCE)
    balance(migration, account)
    assert account.holders
    assert account.deleted


def meet(
    conn: Connection, connect: Callable[[], Connection], first: str, second: str
) -> tuple[Any, ...]:
    """Run `second` while `first` holds the row, commit `first`; return what `second` gave."""
    one_, other = connect(), connect()
    with threads(1) as pool:
        with one_.transaction():
            one_.execute(first)
            given: Future[tuple[Any, ...]] = pool.submit(outcome, other, second)
            until_waiting(conn, other)
        return given.result(PATIENCE)


CONFLICTS = {
    "an increment": (
        "UPDATE lines SET qty = qty + 1 WHERE id = 1",
        "UPDATE lines SET qty = qty + 1 WHERE id = 1",
        "SELECT qty FROM lines WHERE id = 1",
        2,
        3,
    ),
    "a claim": (
        "UPDATE lines SET status = '2', note = 'first' WHERE id = 1 AND status = '1'",
        "UPDATE lines SET status = '2', note = 'second' WHERE id = 1 AND status = '1'",
        "SELECT note FROM lines WHERE id = 1",
        "first",
        "first",
    ),
    "another column": (
        "UPDATE lines SET qty = 5 WHERE id = 1",
        "UPDATE lines SET note = 'n' WHERE id = 1",
        "SELECT concat(qty, note) FROM lines WHERE id = 1",
        "5",
        "5n",
    ),
    "a stale delete": (
        "UPDATE lines SET qty = 2 WHERE id = 1",
        "DELETE FROM lines WHERE qty = 1",
        "SELECT count(*) FROM lines",
        1,
        1,
    ),
    "an unchanged condition": (
        "UPDATE lines SET note = 'n' WHERE id = 1",
        "DELETE FROM lines WHERE qty = 1",
        "SELECT count(*) FROM lines",
        1,
        0,
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_a_statement_that_saw_an_older_row_is_refused_and_succeeds_when_it_is_retried(
    conn: Connection, connect: Callable[[], Connection], name: str
) -> None:
    first, second, query, before, after = CONFLICTS[name]
    migration = cut_over_lines(conn)
    assert meet(conn, connect, first, second) == ("failed", "40001")
    assert value(conn, query) == before
    assert outcome(conn, second)[0] == "done"
    assert value(conn, query) == after
    assert migration.retired_rows() == migration.legacy_rows()


@pytest.mark.parametrize("name", CONFLICTS)
def test_an_updatable_view_serves_both_statements_as_a_table_does(
    conn: Connection, connect: Callable[[], Connection], name: str
) -> None:
    first, second, query, _, after = CONFLICTS[name]
    migration = renamed(conn)
    conn.execute("INSERT INTO lines (status) VALUES ('1')")
    migration.expand().copy().cutover()
    assert meet(conn, connect, first, second)[0] == "done"
    assert value(conn, query) == after
    assert migration.retired_rows() == migration.legacy_rows()


def without_guard(migration: Migration) -> None:
    """Compile the view's functions as they would be without the re-check."""
    for statement in view.create_view(migration.mapping):
        if statement.startswith("CREATE OR REPLACE FUNCTION"):
            naive = re.sub(
                r"\n\s+AND ROW\(.*\)::record OPERATOR\(pg_catalog\.\*=\) ROW\(OLD\.\*\)::record",
                "",
                statement,
            )
            migration.conn.execute(naive)
    bodies = "SELECT string_agg(prosrc, '') FROM pg_proc WHERE proname ~ '__(update|delete)$'"
    assert "*=" not in value(migration.conn, bodies)


@pytest.mark.parametrize("name", ["an increment", "a claim", "another column", "a stale delete"])
def test_without_the_guard_the_same_statements_go_wrong_in_silence(
    conn: Connection, connect: Callable[[], Connection], name: str
) -> None:
    first, second, query, _, after = CONFLICTS[name]
    without_guard(cut_over_lines(conn))
    assert meet(conn, connect, first, second)[0] == "done"
    assert value(conn, query) != after


def test_a_row_that_another_connection_deleted_is_not_counted(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    cut_over_lines(conn)
    delete = "DELETE FROM lines WHERE id = 1"
    assert meet(conn, connect, delete, "UPDATE lines SET qty = 7")[:2] == ("done", 0)
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    assert meet(conn, connect, "DELETE FROM lines", "DELETE FROM lines")[:2] == ("done", 0)


def test_a_row_that_another_connection_left_as_it_was_is_written(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    cut_over_lines(conn)
    same = "UPDATE lines SET qty = qty WHERE id = 1"
    assert meet(conn, connect, same, "UPDATE lines SET qty = 7") == ("done", 1, None)


def change_between_snapshot_and_horizon(
    conn: Connection, connect: Callable[[], Connection], setting: str = ""
) -> tuple[Any, ...]:
    """Let a statement wait after it has taken its snapshot; change its row; return what it gave."""
    conn.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END';"
        'CREATE TRIGGER "a first" BEFORE UPDATE ON lines FOR EACH STATEMENT EXECUTE FUNCTION wait()'
    )
    other = connect()
    other.execute(setting)
    with threads(1) as pool:
        conn.execute("SELECT pg_advisory_lock(7)")
        given = pool.submit(outcome, other, "UPDATE lines SET qty = qty + 1 WHERE id = 1")
        until_waiting(conn, other)
        conn.execute("UPDATE lines SET qty = 100 WHERE id = 1")
        conn.execute("SELECT pg_advisory_unlock(7)")
        return given.result(PATIENCE)


@pytest.mark.parametrize("setting", ["", "SET compat.horizon = '-1000'"])
def test_the_age_of_a_row_is_compared_with_the_snapshot_of_the_statement(
    conn: Connection, connect: Callable[[], Connection], setting: str
) -> None:
    cut_over_lines(conn)
    assert change_between_snapshot_and_horizon(conn, connect, setting) == ("failed", "40001")
    assert value(conn, "SELECT qty FROM lines WHERE id = 1") == 100
    # VOLATILE, it would take a snapshot of its own: where nobody else writes, the update is lost.
    noting = "SELECT provolatile::text FROM pg_proc WHERE proname = 'note_horizon'"
    assert value(conn, noting) == "s"


@pytest.mark.parametrize("horizon", ["", "2147483647"], ids=["by age", "by contents"])
def test_rows_are_written_alike_whether_told_by_age_or_by_contents(
    conn: Connection, horizon: str
) -> None:
    migration = cut_over_lines(conn)
    conn.execute(
        "INSERT INTO lines (order_id, price) SELECT i, i || '.5' FROM generate_series(2, 9) i"
    )
    twin = migration.twin()
    conn.execute(f"INSERT INTO {twin} SELECT * FROM lines")
    conn.execute("SELECT set_config('compat.horizon', %s, false)", [horizon])
    for statement in (
        "UPDATE {0} SET qty = qty + id, note = 'n' RETURNING *",
        "UPDATE {0} SET price = '7', status = 2, created = created + 1 WHERE id < 5 RETURNING *",
        "UPDATE {0} SET deleted = true WHERE id IN (2, 3) RETURNING *",
        "UPDATE {0} SET order_id = order_id + 100 WHERE id = 4",
        "DELETE FROM {0} WHERE id > 6 RETURNING *",
    ):
        on_table, on_view = (outcome(conn, statement.format(name)) for name in (twin, "lines"))
        assert on_view == on_table, statement
        assert migration.legacy_rows() == migration.rows(twin)


def test_an_outer_statement_does_not_take_an_inner_ones_snapshot_for_its_own(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    cut_over_lines(conn)
    conn.execute("INSERT INTO lines (order_id) VALUES (2)")
    conn.execute(
        "CREATE FUNCTION inner_one() RETURNS integer LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_advisory_xact_lock(7); UPDATE lines SET qty = 5 WHERE id = 2; "
        "RETURN 1; END'"
    )
    other = connect()
    with threads(1) as pool:
        conn.execute("SELECT pg_advisory_lock(7)")
        statement = "UPDATE lines SET qty = qty + inner_one() WHERE id = 1"
        given = pool.submit(outcome, other, statement)
        until_waiting(conn, other)
        conn.execute("UPDATE lines SET qty = 100 WHERE id = 1")
        conn.execute("SELECT pg_advisory_unlock(7)")
        assert given.result(PATIENCE) == ("failed", "40001")
    assert value(conn, "SELECT qty FROM lines WHERE id = 1") == 100


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("statement", ["UPDATE lines SET qty = 9", "DELETE FROM lines"])
def test_stricter_isolation_levels_refuse_as_they_do_on_a_table(
    conn: Connection, connect: Callable[[], Connection], level: str, statement: str
) -> None:
    cut_over_lines(conn)
    other = connect()
    other.execute(f"BEGIN ISOLATION LEVEL {level}")
    assert value(other, "SELECT qty FROM lines") == 1
    conn.execute("UPDATE lines SET qty = 2")
    assert outcome(other, statement) == ("failed", "40001")
    other.execute("ROLLBACK")
    assert value(conn, "SELECT qty FROM lines") == 2


def test_a_row_that_one_statement_meets_twice_is_written_and_counted_once(
    conn: Connection,
) -> None:
    migration = cut_over_lines(conn)
    twin = migration.twin()
    conn.execute(f"INSERT INTO {twin} SELECT * FROM lines")
    for statement in (
        "UPDATE {0} SET qty = qty + 1 FROM (VALUES (1), (1), (1)) AS s(n) WHERE id = s.n",
        "WITH a AS (UPDATE {0} SET qty = qty + 1 RETURNING qty) SELECT * FROM a",
        "DELETE FROM {0} USING (VALUES (1), (1)) AS s(n) WHERE id = s.n",
    ):
        on_table, on_view = (outcome(conn, statement.format(name)) for name in (twin, "lines"))
        assert on_view == on_table, statement
        assert migration.legacy_rows() == migration.rows(twin)
    conn.execute("INSERT INTO lines (id, order_id) VALUES (5, 5)")
    conn.execute(
        "WITH a AS (UPDATE lines SET qty = 8 WHERE id = 5 RETURNING id)"
        " UPDATE lines SET note = 'n' WHERE id = 5"
    )
    written = one(conn, "SELECT qty, note FROM lines WHERE id = 5")
    assert written in ((8, None), (1, "n"))  # as on a table: one of the two, never an error
    assert migration.retired_rows() == migration.legacy_rows()


def test_savepoints_released_and_rolled_back_are_the_transactions_own_changes(
    conn: Connection,
) -> None:
    migration = cut_over_lines(conn)
    with conn.transaction():
        with conn.transaction():
            conn.execute("UPDATE lines SET qty = 2")
            duplicates = "UPDATE lines SET qty = qty + 1 FROM (VALUES (1), (1)) AS s(n)"
            assert conn.execute(duplicates).rowcount == 1
        with conn.transaction(force_rollback=True):
            conn.execute("UPDATE lines SET qty = 99")
            assert conn.execute("DELETE FROM lines WHERE qty = 99").rowcount == 1
        assert conn.execute("UPDATE lines SET qty = qty + 1 WHERE qty = 3").rowcount == 1
    assert value(conn, "SELECT qty FROM lines") == 4
    assert migration.retired_rows() == migration.legacy_rows()


# -- beside the copy -----------------------------------------------------------------------------

MANY = 2000


def write_at_random(worker: Connection, number: int, until: threading.Event) -> int:
    """Transactions over several rows that are this worker's own, in random order."""
    dice, done = random.Random(number), 0
    mine = [n for n in range(1, MANY + 1) if n % 4 == number]
    born = MANY + 1 + number
    while not until.is_set() or done < 50:
        with worker.transaction(force_rollback=dice.random() < 0.1):
            for _ in range(dice.randint(1, 6)):
                target = dice.choice(mine)
                kind = dice.random()
                if kind < 0.6:
                    worker.execute(
                        "UPDATE lines SET qty = qty + 1, price = %s, deleted = NOT deleted"
                        " WHERE id = %s",
                        [f"{dice.randint(0, 99)}.5", target],
                    )
                elif kind < 0.8:
                    worker.execute("DELETE FROM lines WHERE id = %s", [target])
                else:
                    worker.execute("INSERT INTO lines (id, order_id) VALUES (%s, %s)", [born, born])
                    born += 4
        done += 1
    return done


def test_the_copy_and_four_writers_do_not_get_in_each_others_way(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    migration = lines(conn)
    conn.execute(
        f"INSERT INTO lines (order_id, price) SELECT n, n || '.5' FROM generate_series(1, {MANY}) n"
    )
    migration.expand()
    mapping, copied = migration.mapping, threading.Event()
    with threads(4) as pool:
        working = [pool.submit(write_at_random, connect(), number, copied) for number in range(4)]
        try:
            seen, brought = copy_batches(connect(), mapping, size=50)
        finally:
            copied.set()
        assert all(work.result(PATIENCE) >= 50 for work in working)
    assert 0 < brought <= seen
    sweep(conn, mapping, size=100)
    assert value(conn, copy.missing(mapping)) == 0
    assert conn.execute(copy.foreign(mapping)).fetchall() == []
    assert migration.standby_rows() == migration.legacy_rows()


def test_rows_whose_writer_gives_up_are_brought_by_the_sweep(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 20)")
    migration.expand()
    writer = connect()
    with writer.transaction(force_rollback=True):
        writer.execute("UPDATE lines SET qty = 9 WHERE id > 15")
        assert copy_batches(conn, migration.mapping, size=7) == (15, 15)
    assert value(conn, copy.missing(migration.mapping)) == 5
    sweep(conn, migration.mapping, size=2)
    assert migration.standby_rows() == migration.legacy_rows()


def test_rows_that_are_written_while_the_copy_passes_are_brought_by_the_trigger(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 20)")
    migration.expand()
    writer = connect()
    with writer.transaction():
        writer.execute("UPDATE lines SET qty = 9 WHERE id > 15")
        writer.execute("DELETE FROM lines WHERE id = 3")
        assert copy_batches(conn, migration.mapping, size=7) == (14, 14)
    assert value(conn, copy.missing(migration.mapping)) == 0
    assert conn.execute(copy.foreign(migration.mapping)).fetchall() == []
    assert migration.standby_rows() == migration.legacy_rows()


def test_a_batch_that_meets_a_locked_parent_can_be_given_a_time_limit_and_run_again(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    """Applications lock the order, then write its lines: the copy must not end in their way."""
    conn.execute("CREATE TABLE orders (id integer PRIMARY KEY); INSERT INTO orders VALUES (1)")
    migration = lines(conn)
    conn.execute("ALTER TABLE lines_v2 ADD FOREIGN KEY (order_id) REFERENCES orders")
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    migration.expand()
    writer, copier = connect(), connect()
    copier.execute("SET lock_timeout = '20ms'")
    with writer.transaction():
        writer.execute("SELECT FROM orders WHERE id = 1 FOR UPDATE")
        with pytest.raises(errors.LockNotAvailable):
            copy_batches(copier, migration.mapping, size=10)
        writer.execute("UPDATE lines SET qty = 2 WHERE order_id = 1")
    copy_batches(copier, migration.mapping, size=10)
    assert migration.standby_rows() == migration.legacy_rows()


def test_a_delete_by_an_older_snapshot_leaves_a_row_that_the_purge_finds(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 5)")
    migration.expand()
    older = connect()
    older.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM lines")
    copy_batches(conn, migration.mapping, size=10)
    older.execute("DELETE FROM lines WHERE id IN (2, 4); COMMIT")
    assert conn.execute(copy.foreign(migration.mapping)).fetchall() == [(2,), (4,)]
    assert conn.execute(copy.purge(migration.mapping)).rowcount == 2
    assert conn.execute(copy.foreign(migration.mapping)).fetchall() == []
    assert migration.standby_rows() == migration.legacy_rows()


def test_an_update_by_an_older_snapshot_is_refused_rather_than_lost(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 5)")
    migration.expand()
    older = connect()
    older.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM lines")
    copy_batches(conn, migration.mapping, size=10)
    with pytest.raises(errors.SerializationFailure):
        older.execute("UPDATE lines SET qty = 9")
    older.execute("ROLLBACK")
    assert migration.standby_rows() == migration.legacy_rows()


def test_writers_notice_nothing_of_cutovers_and_rollbacks(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 4)")
    migration.expand().copy()
    stop = threading.Event()

    def write(worker: Connection, number: int) -> int:
        done = 0
        while not stop.is_set():
            counted = worker.execute(
                "UPDATE lines SET qty = qty + 1 WHERE id = %s RETURNING qty", [number]
            ).fetchall()
            done += 1
            assert counted == [(1 + done,)]
        return done

    with threads(4) as pool:
        working = [pool.submit(write, connect(), number) for number in range(1, 5)]
        try:
            for _ in range(20):
                migration.cutover()
                assert migration.retired_rows() is not None
                migration.uncutover()
        finally:
            stop.set()
        counts = [work.result(PATIENCE) for work in working]
    assert conn.execute("SELECT qty - 1 FROM lines ORDER BY id").fetchall() == [
        (count,) for count in counts
    ]
    assert migration.standby_rows() == migration.legacy_rows()


def test_keys_drawn_on_both_sides_at_once_never_meet(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    conn.execute("CREATE TABLE old (id serial PRIMARY KEY, v text)")
    conn.execute("CREATE TABLE new (key integer PRIMARY KEY, v text)")
    found = [rules.Column("id", "key"), rules.Column("v", "v")]
    migration = Migration.between(conn, "old", "new", found).expand().cutover()

    def insert(worker: Connection, table: str) -> None:
        for _ in range(100):
            worker.execute(f"INSERT INTO {table} (v) VALUES ('x')")

    with threads(4) as pool:
        for work in [pool.submit(insert, connect(), name) for name in ("old", "new") * 2]:
            work.result(PATIENCE)
    assert value(conn, "SELECT count(*) FROM new") == 400
    assert migration.retired_rows() == migration.legacy_rows()
