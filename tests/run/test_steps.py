"""The short steps among clients that never stop: locks, retries, and nothing lost.

Clients hold prepared statements and know one table name; the steps pull the table away below them.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from compat.connection import connect
from compat.errors import StateError
from compat.mapping import Mapping
from compat.run import steps as run
from compat.run.retry import LockPolicy
from tests.compat.migrations import one, value
from tests.run.support import (
    INSIST,
    Connection,
    compat_here,
    ended,
    make_lines,
    phase,
    same_rows,
    start,
    steps,
    succeed,
    until,
    working,
    write_mapping,
)

Task = Callable[[threading.Event], None]
Step = Callable[[Connection, str, LockPolicy, run.OnRetry], run.Outcome]
PATIENT = LockPolicy(timeout_ms=100, max_attempts=500, pause_s=0.01, longest_pause_s=0.05)


@pytest.fixture
def mapping(url: str, conn: psycopg.Connection, tmp_path: Path) -> Mapping:
    """The migration of `lines` with 60 rows, expanded and copied."""
    mapping = make_lines(conn, 60)
    succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    steps(url, "lines", "copy")
    return mapping


# Locks and retries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "step", "table"),
    [
        ((), run.cutover, "lines"),
        ((), run.cutover, "lines_v2"),
        (("cutover",), run.rollback, "lines"),
        (("cutover",), run.rollback, "lines__retired"),
        (("cutover",), run.contract, "lines"),
    ],
)
def test_a_step_tries_again_until_the_lock_is_free_and_says_how_often(
    url: str, mapping: Mapping, before: tuple[str, ...], step: Step, table: str
) -> None:
    steps(url, "lines", *before)
    failures: list[tuple[int, str]] = []
    with psycopg.connect(url) as holder, connect(url) as mine:
        holder.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")

        def note(attempt: int, reason: str) -> None:
            failures.append((attempt, reason))
            if attempt == 3:
                holder.rollback()

        outcome = step(mine, "lines", LockPolicy(20, 50, 0.01, 0.02), note)

    assert (outcome.changed, outcome.attempts) == (True, 4)
    assert [attempt for attempt, _ in failures] == [1, 2, 3]
    assert {reason for _, reason in failures} == {"canceling statement due to lock timeout"}


def test_the_command_line_reports_each_attempt_and_their_number(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("SELECT count(*) FROM lines")
        process = start(
            url, "cutover", "lines", "--execute", "--unverified", "--lock-timeout", "20"
        )
        until(
            lambda: bool(
                value(
                    conn,
                    "SELECT count(*) FROM pg_locks WHERE relation = 'lines'::regclass"
                    " AND mode = 'AccessExclusiveLock' AND NOT granted",
                )
            ),
            "the cutover to ask for its lock",
        )
        first = process.stderr.readline()
        holder.rollback()
    result = ended(process)

    assert first == "  attempt 1: canceling statement due to lock timeout; trying again\n"
    assert result.code == 0
    assert "cutover done" in result.out
    assert " attempts" in result.out


def test_between_two_attempts_clients_get_through(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    written = []
    with psycopg.connect(url) as holder, connect(url) as mine:
        holder.execute("SELECT count(*) FROM lines")

        def note(attempt: int, reason: str) -> None:
            written.append(conn.execute("UPDATE lines SET qty = 5 WHERE id = 1").rowcount)
            if attempt == 2:
                holder.rollback()

        run.cutover(mine, "lines", LockPolicy(10, 50, 0.01, 0.02), note)

    assert written == [1, 1]
    assert value(conn, "SELECT quantity FROM lines_v2 WHERE line_id = 1") == 5


def test_a_deadlock_with_a_client_is_ended_by_the_step_and_never_by_the_client(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    waiting = threading.Event()
    failed: list[str] = []
    with psycopg.connect(url) as client, connect(url) as mine:
        # First v2, then the legacy table: the opposite of the order that the cutover takes.
        client.execute("LOCK TABLE lines_v2 IN ROW EXCLUSIVE MODE")

        def ask(stop: threading.Event) -> None:
            waiting.wait(20)
            client.execute("UPDATE lines SET qty = 9 WHERE id = 1")
            client.commit()

        def note(attempt: int, reason: str) -> None:
            failed.append(reason)
            waiting.set()

        with working(ask):
            outcome = run.cutover(mine, "lines", PATIENT, note)

    assert outcome.attempts > 1
    assert value(conn, "SELECT quantity FROM lines_v2 WHERE line_id = 1") == 9
    assert value(conn, "SELECT qty FROM lines WHERE id = 1") == 9


# Company -----------------------------------------------------------------------------------------


class Ledger:
    """What clients have been told is done. Any error but 40001, which they retry, is a failure."""

    def __init__(self) -> None:
        self.increments: Counter[int] = Counter()
        self.living: set[int] = set()
        self.writes = [0] * 4
        self.retries = 0
        self._lock = threading.Lock()

    def client(self, url: str, number: int) -> Task:
        """A client that increments rows of all, and inserts and deletes rows of its own."""

        def work(stop: threading.Event) -> None:
            chance, mine = random.Random(number), list[int]()
            with psycopg.connect(url, autocommit=True, prepare_threshold=1) as conn:
                while not stop.is_set():
                    roll = chance.random()
                    if roll < 0.5:
                        row = chance.randrange(1, 6)
                        self._write(conn, "UPDATE lines SET qty = qty + 1 WHERE id = %s", row)
                        with self._lock:
                            self.increments[row] += 1
                    elif roll < 0.75 or not mine:
                        row = 1_000_000 * (number + 1) + self.writes[number]
                        self._write(
                            conn, "INSERT INTO lines (id, order_id) VALUES (%s, %s)", row, row
                        )
                        mine.append(row)
                    else:
                        row = mine.pop(chance.randrange(len(mine)))
                        self._write(conn, "DELETE FROM lines WHERE id = %s", row)
                    self.writes[number] += 1
            with self._lock:
                self.living.update(mine)

        return work

    def clients(self, url: str) -> list[Task]:
        """Four of them."""
        return [self.client(url, number) for number in range(4)]

    def until_each_wrote(self, more: int) -> None:
        """Wait until every client has done so many more writes."""
        wanted = [done + more for done in self.writes]
        until(
            lambda: all(done >= least for done, least in zip(self.writes, wanted, strict=True)),
            f"{more} more writes of each client",
        )

    def check(self, conn: Connection, before: dict[int, int], query: str) -> None:
        """Compare what was acknowledged with what is there, row by row."""
        expected = {row: qty + self.increments[row] for row, qty in before.items()}
        expected |= dict.fromkeys(self.living, 1)
        assert quantities(conn, query) == expected

    def _write(self, conn: Connection, statement: str, *values: int) -> None:
        while True:
            try:
                assert conn.execute(statement, values).rowcount == 1
                return
            except errors.SerializationFailure:
                self.retries += 1


def quantities(conn: Connection, query: str) -> dict[int, int]:
    """The rows of a query over key and quantity."""
    return dict(conn.execute(query).fetchall())


LEGACY = "SELECT id, qty FROM lines"
TARGET = "SELECT line_id, quantity FROM lines_v2"


def test_four_writers_with_prepared_statements_see_no_error_at_a_cutover(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    ledger, before = Ledger(), quantities(conn, LEGACY)

    with working(*ledger.clients(url)), connect(url) as mine:
        ledger.until_each_wrote(20)
        assert run.cutover(mine, "lines", PATIENT).changed
        ledger.until_each_wrote(20)

    for query in (LEGACY, TARGET, "SELECT id, qty FROM lines__retired"):
        ledger.check(conn, before, query)


def test_ten_cutovers_and_rollbacks_among_writers_lose_nothing(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    ledger, before = Ledger(), quantities(conn, LEGACY)

    with working(*ledger.clients(url)), connect(url) as mine:
        for _ in range(10):
            for step in (run.cutover, run.rollback):
                ledger.until_each_wrote(15)
                assert step(mine, "lines", PATIENT).changed
        ledger.until_each_wrote(5)

    for query in (LEGACY, TARGET):
        ledger.check(conn, before, query)
    assert same_rows(conn, mapping)
    log = conn.execute("SELECT step, count(*) FROM compat.event GROUP BY 1").fetchall()
    assert dict(log) | {"cutover": 10, "rollback": 10} == dict(log)


def test_a_contract_among_readers_leaves_only_the_target(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    steps(url, "lines", "cutover")
    before = quantities(conn, TARGET)

    def read(stop: threading.Event) -> None:
        with psycopg.connect(url, autocommit=True) as mine:
            while not stop.is_set():
                try:
                    assert mine.execute("SELECT count(*) FROM lines").fetchone() == (60,)
                except errors.UndefinedTable:
                    return

    with working(read, read), connect(url) as mine:
        assert run.contract(mine, "lines", PATIENT).changed

    assert quantities(conn, TARGET) == before
    assert (
        value(
            conn,
            "SELECT to_regclass('lines') IS NULL AND to_regclass('lines__retired') IS"
            " NULL AND to_regclass('lines__compat') IS NULL",
        )
        is True
    )
    assert one(conn, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == (0,)


# Status ------------------------------------------------------------------------------------------


def test_status_tells_the_truth_in_every_phase(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    assert succeed(url, "status", "--json").json == []
    file = write_mapping(make_lines(conn, 12), tmp_path)
    conn.execute("ANALYZE lines")
    journey: list[tuple[tuple[str | Path, ...], str, int, int | None, str]] = [
        (("expand", file), "expanded", 12, None, "compat copy lines --execute"),
        (("copy", "lines"), "copied", 12, 12, "compat-verify, then compat cutover lines --execute"),
        (("cutover", "lines"), "cutover", 12, 12, "compat contract lines --execute"),
        (("rollback", "lines"), "copied", 12, 12, "compat cutover lines --execute"),
        (("cutover", "lines"), "cutover", 12, 12, "compat rollback lines --execute"),
        (("contract", "lines"), "contracted", 12, 12, "nothing"),
    ]
    for command, name, rows, copied, next_step in journey:
        succeed(url, *command, "--execute", *INSIST.get(str(command[0]), ()))
        (status,) = succeed(url, "status", "--json").json
        assert (status["phase"], status["rows"], status["rows_copied"]) == (name, rows, copied)
        assert next_step in status["next_step"]
        assert status["problems"] == []


DAMAGE = [
    ((), "DROP VIEW lines__compat", "public.lines__compat is missing"),
    ((), "ALTER TABLE lines RENAME TO elsewhere", "public.lines is missing"),
    ((), "DROP TABLE lines_v2 CASCADE", "public.lines_v2 is missing"),
    ((), 'DROP TRIGGER "00_compat_sync" ON lines', "the sync triggers on public.lines are missing"),
    ((), "ALTER TABLE lines DISABLE TRIGGER USER", "the sync triggers on public.lines are missing"),
    ((), "ALTER TABLE lines OWNER TO pg_monitor", "not all have the same owner: lines belongs to"),
    (("cutover",), "ALTER VIEW lines OWNER TO pg_monitor", "not all have the same owner"),
    (("cutover",), "DROP VIEW lines CASCADE", "public.lines is missing"),
    (
        ("cutover",),
        "DROP VIEW lines CASCADE; CREATE TABLE lines (id integer)",
        "public.lines is not a view",
    ),
    (("cutover",), "DROP TABLE lines__retired", "public.lines__retired is missing"),
    (
        ("cutover",),
        "ALTER TABLE lines_v2 DISABLE TRIGGER ALL",
        "the sync triggers on public.lines_v2 are missing or disabled",
    ),
    (("cutover", "contract"), "DROP TABLE lines_v2", "public.lines_v2 is missing"),
]


@pytest.mark.parametrize(("before", "damage", "complaint"), DAMAGE)
def test_status_finds_damage_made_by_hand(
    url: str, mapping: Mapping, before: tuple[str, ...], damage: str, complaint: str
) -> None:
    steps(url, "lines", *before)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(damage)

        result = compat_here(url, "status")

    assert result.code == 1
    assert f"lines: {complaint}" in result.out


def test_a_cutover_whose_view_was_dropped_by_hand_changes_nothing_and_says_what_is_missing(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    conn.execute("DROP VIEW lines__compat")

    result = compat_here(url, "cutover", "lines", "--execute")

    assert result.code == 2
    assert "structure lines: public.lines__compat is missing" in result.err
    assert "Traceback" not in result.err
    assert phase(conn, "lines") == "copied"
    assert conn.execute("UPDATE lines SET qty = 4 WHERE id = 1").rowcount == 1
    assert value(conn, "SELECT quantity FROM lines_v2 WHERE line_id = 1") == 4


def test_a_contract_reads_through_referencing_tables_before_it_locks_anything(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    conn.execute(
        "CREATE TABLE child (id serial PRIMARY KEY, line int CONSTRAINT to_line REFERENCES lines);"
        "INSERT INTO child (line) SELECT id FROM lines"
    )
    steps(url, "lines", "cutover")
    with psycopg.connect(url) as reader, connect(url) as mine:
        reader.execute("SELECT FROM lines LIMIT 1")  # holds its lock on the view

        with pytest.raises(StateError, match="met locks in all of 2 attempts"):
            run.contract(mine, "lines", LockPolicy(timeout_ms=20, max_attempts=2))

    assert phase(conn, "lines") == "cutover"
    assert value(conn, "SELECT convalidated FROM pg_constraint WHERE conname = 'to_line__v2'")
