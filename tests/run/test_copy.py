"""The copy under every disturbance: killed, interrupted, its server crashed, others writing.

Whatever happens, running it again ends with the same rows on both sides, none of them twice.
"""

import contextlib
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from compat.connection import connect
from compat.database import Database
from compat.mapping import Mapping
from compat.run.copy import CopyOptions, copy
from compat.run.pace import Pace
from tests.compat.migrations import value
from tests.run.copying import (
    finish,
    progress,
    start_copy,
    terminate,
    until_alone,
    until_seen,
)
from tests.run.support import (
    PASSWORD,
    catalogue,
    changed_url,
    compat_here,
    contents,
    copied_rows,
    ended,
    make_lines,
    ordinary_role,
    own,
    phase,
    same_rows,
    steps,
    succeed,
    working,
    write_mapping,
)

# Killed, interrupted, crashed --------------------------------------------------------------------


def test_a_copy_that_is_killed_ten_times_at_random_copies_every_row_once(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    rows = 6_000
    mapping = expand(rows)
    chance = random.Random(20_240_101)
    for threshold in sorted(chance.sample(range(1, rows - 500), 10)):
        process = start_copy(url, "--batch-size", str(chance.choice([7, 20, 41])))
        until_seen(conn, threshold, process)
        process.kill()
        assert ended(process).code == -signal.SIGKILL
        until_alone(conn)
        seen, copied, done = progress(conn)
        assert copied == value(conn, "SELECT count(*) FROM lines_v2")
        assert threshold <= seen == copied <= rows
        assert not done
        assert phase(conn, "lines") == "copying"

    result = finish(url, conn, mapping)

    assert "6,000 rows seen, 6,000 copied" in result.out
    assert progress(conn) == (rows, rows, True)
    assert value(conn, "SELECT count(*) FROM lines_v2") == rows
    steps(url, "lines", "cutover")


def test_ctrl_c_ends_the_copy_with_130_and_it_resumes(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(500)
    process = start_copy(url, "--batch-size", "10", "--throttle", "100")
    until_seen(conn, 20, process)

    process.send_signal(signal.SIGINT)
    result = ended(process)

    assert result.code == 130
    assert "interrupted; run the command again to go on where it stopped" in result.err
    assert "Traceback" not in result.err
    seen, copied, done = progress(conn)
    assert (seen, done) == (copied, False)
    assert 20 <= seen == value(conn, "SELECT count(*) FROM lines_v2")
    status = succeed(url, "status").out
    assert "(resumes)" in status
    finish(url, conn, mapping)
    assert progress(conn) == (500, 500, True)


def test_a_copy_whose_server_crashes_says_so_and_resumes(
    own_server: Database, tmp_path: Path
) -> None:
    with own_server.fresh() as url:
        with psycopg.connect(url, autocommit=True) as conn:
            mapping = make_lines(conn, 500)
            succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
            process = start_copy(url, "--batch-size", "10", "--throttle", "100")
            until_seen(conn, 20, process)
            conn.execute("CREATE TABLE saved ()")  # and with it what was committed before

        own_server.restart_immediately()
        result = ended(process)

        assert result.code == 2
        assert "error: the connection was lost" in result.err
        assert "fix: run the command again: it takes up where it stopped" in result.err
        assert "Traceback" not in result.err
        with psycopg.connect(url, autocommit=True) as conn:
            seen, copied, done = progress(conn)
            assert (seen, done) == (copied, False)
            assert 20 <= seen == value(conn, "SELECT count(*) FROM lines_v2")
            finish(url, conn, mapping)
            assert progress(conn) == (500, 500, True)


def test_a_connection_that_the_administrator_ends_is_reported_as_lost(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(300)
    process = start_copy(url, "--batch-size", "10", "--throttle", "100")
    until_seen(conn, 10, process)

    assert terminate(conn, "compat copy") == 1
    result = ended(process)

    assert result.code == 2
    assert "error: the connection was lost: terminating connection" in result.err
    assert "fix: run the command again" in result.err
    finish(url, conn, mapping)


def test_a_migration_that_is_taken_back_while_its_rows_are_copied_ends_the_copy(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(500)
    process = start_copy(url, "--batch-size", "10", "--throttle", "100")
    until_seen(conn, 20, process)

    conn.execute("DELETE FROM compat.mapping")  # as a script made by `alembic --sql` may do
    result = ended(process)

    assert result.code == 2
    assert "'lines' was taken back while its rows were copied" in result.err


# Company -----------------------------------------------------------------------------------------


def test_writers_of_all_kinds_during_the_copy_end_with_equal_contents(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    rows = 2_000
    mapping = expand(rows)
    written = [0, 0, 0]

    def writer(number: int) -> Callable[[threading.Event], None]:
        def write(stop: threading.Event) -> None:
            chance = random.Random(number)
            with psycopg.connect(url, autocommit=True) as mine:
                while not stop.is_set():
                    row, roll = chance.randrange(1, rows + 200), chance.random()
                    with contextlib.suppress(psycopg.errors.UniqueViolation), mine.transaction():
                        if roll < 0.4:
                            changed = "UPDATE lines SET qty = qty + 1, status = 3 WHERE id = %s"
                        elif roll < 0.6:
                            changed = "DELETE FROM lines WHERE id = %s"
                        elif roll < 0.7:  # another key: before or behind where the copy is
                            changed = "UPDATE lines SET id = -id WHERE id = %s"
                        else:
                            changed = "INSERT INTO lines (id, order_id) VALUES (%s, 7000000)"
                            changed = changed.replace(
                                "7000000", str(chance.randrange(10**6, 10**9))
                            )
                        mine.execute(changed, [row])
                        if roll > 0.95:
                            raise psycopg.Rollback
                    written[number] += 1

        return write

    process = start_copy(url, "--batch-size", "25")
    with working(writer(0), writer(1), writer(2)):
        result = ended(process)
        copied_among = list(written)

    assert result.code == 0, result
    assert min(copied_among) > 0
    assert same_rows(conn, mapping)
    assert value(conn, "SELECT count(*) FROM lines_v2") == value(conn, "SELECT count(*) FROM lines")
    seen, copied, done = progress(conn)
    assert copied <= seen
    assert done


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_rows_that_were_locked_while_their_batch_passed_reach_the_target(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], end: str
) -> None:
    mapping = expand(50)
    with psycopg.connect(url) as writer:
        writer.execute("UPDATE lines SET qty = 77 WHERE id = 5")
        writer.execute("SELECT FROM lines WHERE id IN (6, 20) FOR UPDATE")
        writer.execute("DELETE FROM lines WHERE id = 30")
        process = start_copy(url, "--batch-size", "10")
        until_seen(conn, 46, process)
        assert value(conn, "SELECT count(*) FROM lines_v2") == 46
        writer.execute(end)
        result = ended(process)

    assert result.code == 0, result
    assert same_rows(conn, mapping)
    committed = end == "COMMIT"
    assert value(conn, "SELECT count(*) FROM lines_v2") == (49 if committed else 50)
    assert (value(conn, "SELECT quantity FROM lines_v2 WHERE line_id = 5") == 77) is committed
    seen, copied, _ = progress(conn)
    assert copied == (48 if committed else 50)
    assert seen >= copied  # the sweep may have looked before the COMMIT


def test_a_row_locked_for_ever_ends_the_copy_with_the_name_of_who_holds_it(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(20)
    with psycopg.connect(url, application_name="forgotten terminal") as writer:
        writer.execute("SELECT FROM lines WHERE id = 6 FOR UPDATE")
        options = ("--lock-timeout", "10", "--max-attempts", "2")
        result = compat_here(url, "copy", "lines", "--execute", *options)

        assert result.code == 2
        assert "the last rows of the copy of 'lines' met locks in all of 2 attempts" in result.err
        assert "forgotten terminal, idle in transaction" in result.err
        assert progress(conn) == (19, 19, False)
    finish(url, conn, mapping)
    assert progress(conn) == (20, 20, True)


def test_a_row_deleted_by_a_transaction_that_cannot_see_its_copy_does_not_stay_in_the_target(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(30)
    with psycopg.connect(url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT count(*) FROM lines")
        process = start_copy(url)
        until_seen(conn, 30, process)
        old.execute("DELETE FROM lines WHERE id = 5")
        old.commit()
        result = ended(process)

    assert result.code == 0, result
    assert "their legacy rows were deleted meanwhile: 1\n" in result.out
    assert same_rows(conn, mapping)
    assert value(conn, "SELECT count(*) FROM lines_v2") == 29


def test_a_snapshot_that_outlasts_the_patience_is_named(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(30)
    with psycopg.connect(url, application_name="pg_dump") as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT count(*) FROM lines")
        result = compat_here(url, "copy", "lines", "--execute", "--patience", "0")

        assert result.code == 2
        assert f"the transaction of pid {old.info.backend_pid}" in result.err
        assert "pg_dump" in result.err
        assert phase(conn, "lines") == "copying"
        old.execute("DELETE FROM lines WHERE id = 5")  # which its sync trigger cannot pass on
        old.commit()
    assert value(conn, "SELECT count(*) FROM lines_v2") == 30
    assert "their legacy rows were deleted meanwhile: 1\n" in finish(url, conn, mapping).out


def test_an_ordinary_owner_sees_the_old_snapshots_of_other_users_too(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    mapping = make_lines(conn)
    with ordinary_role(conn) as owner:
        own(conn, owner, "lines", "lines_v2")
        mine = changed_url(url, user=owner, password=PASSWORD)
        succeed(mine, "expand", write_mapping(mapping, tmp_path), "--execute")
        with psycopg.connect(url) as old:
            old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            old.execute("SELECT count(*) FROM lines")
            result = compat_here(mine, "copy", "lines", "--execute", "--patience", "0")
            assert result.code == 2
            assert f"the transaction of pid {old.info.backend_pid}" in result.err
        steps(mine, "lines", "copy", "cutover", "rollback", "cutover", "contract")


# Keys and sizes ----------------------------------------------------------------------------------


KEYS = {
    "integers at both ends": ("integer", "(-2147483648), (-1), (0), (1), (2147483647)"),
    "bigints at both ends": (
        "bigint",
        "(-9223372036854775808), (-9007199254740993), (0), (9007199254740993),"
        " (9223372036854775807)",
    ),
    "long numerics": ("numeric", "(-1e30), (0.1), (0.10000000000000000001), (1e30), ('NaN')"),
    "floats": ("double precision", "('-Infinity'), (0.1), (0.1::float8 + 1e-17), (1e300), ('NaN')"),
    "uuids": (
        "uuid",
        "('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff'),"
        " ('7f000000-0000-0000-0000-000000000001'), ('80000000-0000-0000-0000-000000000000')",
    ),
    "texts in the order of bytes": (
        'text COLLATE "C"',
        """(''), ('a'), ('B'), ('a''b"\\{},'), ('Ä'), ('NULL'), ('%s')""",
    ),
    "texts in the order of the database": ("text", "(''), ('a'), ('B'), ('é'), (' b'), ('Z')"),
    "texts of blanks": ("character(3)", "('a'), ('ab'), (' a'), ('b')"),
    "limited texts": ("varchar(5)", "('a'), ('a '), ('A'), ('ab')"),
    "days": ("date", "('-infinity'), ('0044-03-15 BC'), ('2024-02-29'), ('infinity')"),
    "instants": (
        "timestamp with time zone",
        "('2024-03-31 01:59:59.999999+01'), ('2024-03-31 03:00+02'), ('2024-10-27 02:30+01'),"
        " ('2024-10-27 02:30+02')",
    ),
    "bytes": ("bytea", r"('\x'), ('\x00'), ('\x5c'), ('\xff')"),
    "truths": ("boolean", "(false), (true)"),
    "networks": ("inet", "('10.0.0.1'), ('10.0.0.0/8'), ('::1')"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_kind_are_copied_in_batches_of_two(
    url: str, conn: psycopg.Connection, tmp_path: Path, kind: str
) -> None:
    key, values = KEYS[kind]
    for table in ("thing", "thing_v2"):
        conn.execute(f"CREATE TABLE {table} (id {key} PRIMARY KEY, label text)")
    conn.execute(f"INSERT INTO thing (id) VALUES {values}")
    rows = value(conn, "SELECT count(*) FROM thing")
    file = tmp_path / "thing.py"
    succeed(url, "draft", "thing", "-o", file)
    succeed(url, "expand", file, "--execute")

    result = succeed(url, "copy", "thing", "--execute", "--batch-size", "2", "--json").json

    assert (result["rows_seen"], result["rows_copied"], result["swept"]) == (rows, rows, 0)
    assert contents(conn)["public.thing_v2"] == contents(conn)["public.thing"]
    steps(url, "thing", "cutover")
    assert value(conn, "SELECT count(*) FROM thing") == rows


def test_a_compound_key_whose_parts_are_ordered_differently_in_the_target(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    conn.execute(
        'CREATE TABLE thing (region text COLLATE "C", nr integer, day date, label text,'
        " PRIMARY KEY (day, region, nr));"
        'CREATE TABLE thing_v2 (nr integer, region text COLLATE "C", label text, day date,'
        " PRIMARY KEY (region, nr, day));"
        "INSERT INTO thing SELECT chr(97 + g % 3), g / 6, date '2024-01-01' + g % 2, g::text"
        " FROM generate_series(1, 60) AS g"
    )
    file = tmp_path / "thing.py"
    succeed(url, "draft", "thing", "-o", file)
    succeed(url, "expand", file, "--execute")

    result = succeed(url, "copy", "thing", "--execute", "--batch-size", "7", "--json").json

    assert (result["rows_seen"], result["rows_copied"], result["swept"]) == (60, 60, 0)
    query = "SELECT region, nr, day, label FROM {} ORDER BY 1, 2, 3"
    rows = [conn.execute(query.format(table)).fetchall() for table in ("thing", "thing_v2")]
    assert rows[0] == rows[1]


def test_an_empty_table_needs_no_copy_and_allows_one(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(0)
    assert "would copy 0 of 0 rows" in succeed(url, "copy", "lines").out

    steps(url, "lines", "cutover")
    steps(url, "lines", "rollback", "copy")

    assert progress(conn) == (0, 0, True)
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    steps(url, "lines", "cutover")
    assert value(conn, "SELECT count(*) FROM lines") == 1


@pytest.mark.parametrize("rows", [1, 9, 10, 11])
def test_batches_end_where_the_table_does(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], rows: int
) -> None:
    mapping = expand(rows)
    result = succeed(url, "copy", "lines", "--execute", "--batch-size", "10", "--json").json

    assert (result["rows_seen"], result["rows_copied"]) == (rows, rows)
    assert same_rows(conn, mapping)


def test_rows_that_the_sync_brought_over_are_seen_and_not_copied_again(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(10)
    conn.execute("UPDATE lines SET deleted = true WHERE id IN (1, 2, 3)")
    conn.execute("SET compat.early_writes = on")
    conn.execute("UPDATE lines_v2 SET deleted_at = '2001-02-03 04:05:06.789' WHERE line_id = 1")

    result = succeed(url, "copy", "lines", "--execute")

    assert "10 rows seen, 7 copied (3 were there through the sync)" in result.out
    assert same_rows(conn, mapping)
    kept = value(conn, "SELECT deleted_at::text FROM lines_v2 WHERE line_id = 1")
    assert kept.startswith("2001-02-03 04:05:06.789")


def test_a_throttled_copy_commits_no_more_at_once_than_a_second_allows(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(20)
    committed = set()

    with connect(url) as mine:
        options = CopyOptions(pace=Pace(rows_per_second=10))
        copy(mine, "lines", options, lambda _: committed.add(copied_rows(conn, "lines")))

    assert committed == {0, 10, 20}


def test_a_dry_run_counts_losses_and_changes_nothing(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    conn.execute(
        "CREATE TABLE thing (id integer PRIMARY KEY, amount numeric(10,3));"
        "CREATE TABLE thing_v2 (id integer PRIMARY KEY, amount numeric(10,2));"
        "INSERT INTO thing VALUES (1, 1.25), (2, 1.255), (3, 1.001)"
    )
    file = tmp_path / "thing.py"
    drafted = compat_here(url, "draft", "thing", "-o", file)
    assert drafted.code == 1
    text = file.read_text(encoding="utf-8").replace(
        "    ),\n)\n", "    ),\n    accept=('amount',),\n)\n"
    )
    file.write_text(text, encoding="utf-8")
    succeed(url, "expand", file, "--execute")
    before = catalogue(conn), contents(conn)

    forecast = succeed(url, "copy", "thing")

    assert "would copy 3 of 3 rows" in forecast.out
    assert "amount: 2 rows lose what was accepted for them" in forecast.out
    assert (catalogue(conn), contents(conn)) == before
