"""The copy's ranges: cut evenly whatever the key is, side by side, and taken up again after a kill.

Every row lies in exactly one range: the counts of the ranges add up to the rows of the table.
"""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from compat import rules, state
from compat.connection import connect
from compat.mapping import Mapping
from compat.names import ident, idents
from compat.run.batches import Abandoned, Job, copy_range
from compat.run.copy import CopyOptions, copy, forecast
from compat.run.pace import Pace
from compat.run.retry import LockPolicy
from tests.compat import migrations
from tests.compat.migrations import value
from tests.run.copying import (
    finish,
    progress,
    seen_by_range,
    start_copy,
    until_alone,
    until_seen,
    workers_connected,
)
from tests.run.support import (
    Connection,
    columns,
    copied_rows,
    ended,
    fill_lines,
    pairs,
    same_rows,
    steps,
    succeed,
    until,
    working,
)

pytestmark = pytest.mark.installed

ROWS, RANGE_ROWS = 40_000, 8_000  # 5,000 rows are sampled for each range: less than all

KEYS: dict[str, tuple[dict[str, str], str]] = {
    "a bigint, half of it dense and half of it far apart": (
        {"id": "bigint"},
        "CASE WHEN g % 2 = 0 THEN g ELSE g::bigint * g * 5000000000 END",
    ),
    "a bigint that falls as the table grows": ({"id": "bigint"}, "-g"),
    "two columns, the first with few values": ({"a": "integer", "Nr": "bigint"}, "g % 3, g"),
    "a uuid": ({"id": "uuid"}, "md5(g::text)::uuid"),
    "a text in the order of bytes": ({"id": 'text COLLATE "C"'}, "chr(60 + g % 50) || g"),
    "a text in the order of a language": (
        {"id": "text COLLATE {language}"},
        "chr(60 + g % 50) || g",
    ),
    "a name of no kind": ({'Select "x" %s': "integer"}, "g"),
}


def collation_of_a_language(conn: Connection) -> str:
    """Return the root collation of ICU; where the server is built without, one of the system's."""
    found: str = value(
        conn,
        "SELECT collname FROM pg_collation"
        " WHERE collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))"
        " ORDER BY collname = 'und-x-icu' DESC, collprovider = 'c' AND collname !~ '^(C|POSIX)'"
        " DESC, collname LIMIT 1",
    )
    return found


def make_things(conn: Connection, key: dict[str, str], values: str, rows: int) -> None:
    """Make `Odd %things` with this key and so many rows, and expand it."""
    language = ident(collation_of_a_language(conn))
    kinds = {name: kind.format(language=language) for name, kind in key.items()}
    definitions = ", ".join(f"{ident(name)} {kind}" for name, kind in kinds.items())
    for table in ("Odd %things", "Odd %things_v2"):
        conn.execute(
            f"CREATE TABLE {ident(table)}"
            f" ({definitions}, label text, PRIMARY KEY ({idents(tuple(key))}))"
        )
    conn.execute(
        f"INSERT INTO \"Odd %things\" SELECT {values}, repeat('x', g % 50)"
        f" FROM generate_series(1, {rows}) AS g"
    )
    lenses = [rules.Column(name, name) for name in (*key, "label")]
    migrations.Migration.between(conn, '"Odd %things"', '"Odd %things_v2"', lenses).expand()


# Cutting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
def test_ranges_hold_equal_numbers_of_rows_and_each_row_lies_in_one(
    url: str, conn: psycopg.Connection, kind: str
) -> None:
    make_things(conn, *KEYS[kind], ROWS)

    with connect(url) as mine:
        result = copy(mine, "Odd %things", CopyOptions(range_rows=RANGE_ROWS))

    assert (result.rows_seen, result.rows_copied, result.swept) == (ROWS, ROWS, 0)
    found = seen_by_range(conn)
    assert len(found) == ROWS // RANGE_ROWS
    assert sum(found) == ROWS
    assert RANGE_ROWS / 2.5 < min(found) <= max(found) < RANGE_ROWS * 1.8, found
    assert pairs(conn, '"Odd %things_v2"') == pairs(conn, '"Odd %things"')


def test_a_partitioned_table_is_cut_by_the_rows_of_all_its_partitions(
    url: str, conn: psycopg.Connection
) -> None:
    columns_and_key = "(region integer, id integer, PRIMARY KEY (region, id))"
    conn.execute(f"CREATE TABLE visits {columns_and_key} PARTITION BY LIST (region)")
    conn.execute("CREATE TABLE visits_here PARTITION OF visits FOR VALUES IN (1, 2)")
    conn.execute("CREATE TABLE visits_there PARTITION OF visits DEFAULT")
    conn.execute(f"CREATE TABLE visits_v2 {columns_and_key}")
    conn.execute(f"INSERT INTO visits SELECT g % 5, g FROM generate_series(1, {ROWS}) AS g")
    lenses = [rules.Column(name, name) for name in ("region", "id")]
    migrations.Migration.between(conn, "visits", "visits_v2", lenses).expand()

    with connect(url) as mine:
        result = copy(mine, "visits", CopyOptions(range_rows=RANGE_ROWS))

    assert (result.rows_seen, result.rows_copied, result.swept) == (ROWS, ROWS, 0)
    assert len(seen_by_range(conn)) == ROWS // RANGE_ROWS
    assert min(seen_by_range(conn)) > RANGE_ROWS / 2.5
    assert pairs(conn, "visits_v2") == pairs(conn, "visits")


def test_fewer_rows_than_ranges_make_fewer_ranges(url: str, conn: psycopg.Connection) -> None:
    make_things(conn, {"a": "boolean", "b": "integer"}, "g > 1, 0", 2)

    with connect(url) as mine:
        copy(mine, "Odd %things", CopyOptions(range_rows=1))

    assert seen_by_range(conn) == [1, 1]


def test_an_empty_table_is_one_range(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(0)
    with connect(url) as mine:
        assert forecast(mine, "lines", CopyOptions(range_rows=1)).ranges == 1
        copy(mine, "lines", CopyOptions(range_rows=1))

    assert seen_by_range(conn) == [0]


def test_a_table_that_was_filled_after_its_statistics_said_0_rows_is_cut(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    conn.execute("SET session_replication_role = replica")  # rows that nobody has synced
    mapping = expand(0)
    conn.execute("ALTER TABLE lines SET (autovacuum_enabled = off)")
    conn.execute("ANALYZE lines")
    fill_lines(conn, 12_000)
    assert value(conn, "SELECT reltuples FROM pg_class WHERE relname = 'lines'") <= 0

    finish(url, conn, mapping)

    found = seen_by_range(conn)
    assert len(found) == 2
    assert min(found) > 3_000


def test_a_target_that_references_itself_is_copied_in_one_range_parents_first(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    for table in ("node", "node_v2"):
        conn.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, parent integer)")
    conn.execute("INSERT INTO node SELECT g, nullif(g / 2, 0) FROM generate_series(1, 12000) g")
    succeed(url, "draft", "node", "-o", tmp_path / "node.py")
    succeed(url, "expand", tmp_path / "node.py", "--execute")
    conn.execute("ALTER TABLE node_v2 ADD FOREIGN KEY (parent) REFERENCES node_v2")

    assert "in 1 ranges" in succeed(url, "copy", "node").out
    succeed(url, "copy", "node", "--execute", "--batch-size", "1000")

    assert seen_by_range(conn) == [12_000]
    assert pairs(conn, "node_v2") == pairs(conn, "node")


# Running -----------------------------------------------------------------------------------------


def test_two_workers_go_side_by_side_and_after_a_kill_any_number_ends_their_ranges(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    rows = 12_000
    mapping = expand(rows)
    for workers in ("2", "3"):
        before = copied_rows(conn, "lines")
        process = start_copy(url, "--workers", workers, "--batch-size", "200", "--throttle", "2000")
        until_seen(conn, before + 1, process)
        until(lambda: workers_connected(conn) == 2, "two sessions that copy")
        until(lambda: min(seen_by_range(conn)) > 0, "rows of both ranges")
        process.kill()
        assert ended(process).code == -signal.SIGKILL
        until_alone(conn)
        seen, copied, done = progress(conn)
        assert seen == copied == value(conn, "SELECT count(*) FROM lines_v2") < rows
        assert not done

    finish(url, conn, mapping, "--workers", "1")

    assert progress(conn) == (rows, rows, True)
    assert len(seen_by_range(conn)) == 2


def test_rows_born_outside_all_bounds_during_the_copy_are_there_at_the_end(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(12_000)
    process = start_copy(url, "--batch-size", "500", "--throttle", "8000")
    until_seen(conn, 1, process)

    conn.execute(
        "INSERT INTO lines (id, order_id) SELECT id, id - 10 FROM generate_series(-50, 0) AS id"
        " UNION ALL SELECT id, id FROM generate_series(50001, 50100) AS id"
    )
    result = ended(process)

    assert result.code == 0, result
    assert same_rows(conn, mapping)
    seen, copied, done = progress(conn)
    assert (copied, done) == (12_000, True)
    assert 12_000 <= seen <= 12_151
    steps(url, "lines", "cutover")


def test_a_row_that_moves_to_a_higher_key_while_its_batch_runs_takes_no_others_along(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    """PostgreSQL looks at the moved row again once it has the lock, and sees its new key."""
    expand(60)
    conn.execute(
        "CREATE FUNCTION held_up(id integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
        " IF id = 3 THEN PERFORM pg_advisory_xact_lock_shared(7); END IF; RETURN true; END $$"
    )
    conn.execute("SELECT pg_advisory_lock(7)")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    pace = Pace(batch_size=10, batch_seconds=0)

    def some(stop: threading.Event) -> None:
        with connect(url) as mine:
            copy(mine, "lines", CopyOptions(where="held_up(id)", pace=pace))

    with working(some):
        until(lambda: value(conn, waiting) == 1, "a batch in the middle of its rows")
        conn.execute("UPDATE lines SET id = 1000 WHERE id = 5")
        conn.execute("SELECT pg_advisory_unlock(7)")

    missing = "SELECT id FROM lines WHERE id NOT IN (SELECT line_id FROM lines_v2)"
    assert columns(conn.execute(missing).fetchall()) == []


def test_a_worker_whose_range_somebody_else_goes_on_with_stops(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(100)
    conn.execute("INSERT INTO compat.copy_progress (mapping) VALUES ('lines')")
    conn.execute("INSERT INTO compat.copy_range (mapping, number) VALUES ('lines', 1)")
    pace = Pace(batch_size=10, batch_seconds=0, rows_per_second=20)

    with connect(url) as mine, ThreadPoolExecutor(1) as threads, state.leading(mine) as leader:
        job = Job(url, mapping.to_json(), "lines", leader, 1, pace, 0, LockPolicy())
        worker = threads.submit(copy_range, job)
        until(lambda: copied_rows(conn, "lines") >= 10, "the first batch")
        conn.execute("UPDATE compat.copy_range SET last_key = '{95}'")
        with pytest.raises(Abandoned, match="the worker of another command copies the same rows"):
            worker.result()


def test_no_worker_goes_on_under_the_command_that_comes_after(
    url: str, conn: psycopg.Connection
) -> None:
    with connect(url) as first, connect(url) as second:
        with state.leading(first) as leader:
            assert state.is_led(conn, leader)
        with state.leading(second) as other:
            assert not state.is_led(conn, leader)
            assert state.is_led(conn, other)


def test_a_copy_does_not_go_after_the_rows_that_clients_add_meanwhile(
    conn: Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(50)
    # As many rows after each batch as were in it: who goes after them never comes to an end.
    conn.execute(
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  INSERT INTO lines (order_id) SELECT max(order_id) + g"
        "  FROM lines, generate_series(1, 5) AS g GROUP BY g; RETURN NULL; END $$;"
        "CREATE TRIGGER more AFTER INSERT ON lines_v2 FOR EACH STATEMENT"
        " WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION more()"
    )
    done = copy(conn, mapping.name, CopyOptions(pace=Pace(batch_size=5, batch_seconds=0)))
    assert (done.rows_seen, done.swept) == (50, 0)
    assert value(conn, "SELECT count(*) FROM lines_v2") > 50
    assert same_rows(conn, mapping)
