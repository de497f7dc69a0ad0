"""Rows that the target refuses: named, or set aside and tried again; and copies of some rows only.

The legacy table still holds what is set aside, so nothing is lost: it is listed until it is mended.
"""

from collections.abc import Callable

import psycopg
import pytest

from compat import rules
from compat.connection import connect
from compat.errors import DataError
from compat.mapping import Mapping
from compat.names import ident, idents
from compat.run.batches import copy_or_reject
from tests.compat import migrations
from tests.compat.migrations import value
from tests.run.copying import finish, progress, start_copy, until_seen
from tests.run.support import (
    Connection,
    columns,
    compat_here,
    ended,
    phase,
    same_rows,
    steps,
    succeed,
)

pytestmark = pytest.mark.installed

COPY = ("copy", "lines", "--execute")


def copied_ids(conn: Connection) -> list[int]:
    return columns(conn.execute("SELECT line_id FROM lines_v2 ORDER BY 1").fetchall())


def reject_keys(conn: Connection) -> list[list[str]]:
    return columns(conn.execute("SELECT key FROM compat.reject ORDER BY key").fetchall())


# Refused -----------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[str, int, str, str]] = {
    "a check of the target": (
        "ALTER TABLE lines_v2 ADD CONSTRAINT few CHECK (line_id <> 17)",
        17,
        "23514",
        'violates check constraint "few"',
    ),
    "a foreign key": (
        "CREATE TABLE orders (id integer PRIMARY KEY);"
        "INSERT INTO orders SELECT g FROM generate_series(0, 10) AS g WHERE g <> 6;"
        "DELETE FROM lines WHERE id IN (19, 20);"
        "ALTER TABLE lines_v2 ADD CONSTRAINT of_order FOREIGN KEY (order_id) REFERENCES orders",
        18,
        "23503",
        'Key (order_id)=(6) is not present in table "orders"',
    ),
    "a foreign key that is checked at the commit": (
        "CREATE TABLE orders (id integer PRIMARY KEY);"
        "INSERT INTO orders SELECT g FROM generate_series(0, 10) AS g WHERE g <> 6;"
        "DELETE FROM lines WHERE id IN (19, 20);"
        "ALTER TABLE lines_v2 ADD CONSTRAINT of_order FOREIGN KEY (order_id) REFERENCES orders"
        " DEFERRABLE INITIALLY DEFERRED",
        18,
        "23503",
        'Key (order_id)=(6) is not present in table "orders"',
    ),
    "a unique index": (
        "UPDATE lines SET note = 'n11' WHERE id = 17;"
        "CREATE UNIQUE INDEX alone ON lines_v2 (remark)",
        17,
        "23505",
        "Key (remark)=(n11) already exists",
    ),
    "a trigger of the target's own": (
        "CREATE FUNCTION no_17() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.line_id = 17 THEN RAISE 'not 17, %', NEW.state; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER no_17 BEFORE INSERT ON lines_v2 FOR EACH ROW EXECUTE FUNCTION no_17()",
        17,
        "P0001",
        "not 17, done",
    ),
    "a value without a counterpart": (
        "UPDATE lines SET status = 9 WHERE id = 17",
        17,
        "23514",
        "public.lines.status: no counterpart",
    ),
    "a value that is too long for an index": (
        "CREATE FUNCTION long(id integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$"
        " SELECT string_agg(md5(g::text), '') FROM generate_series(1, CASE id WHEN 17 THEN 999 END)"
        " AS g $$; CREATE INDEX ON lines_v2 (long(line_id))",
        17,
        "54000",
        "index row requires",
    ),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_row_that_the_target_refuses_stops_the_copy_or_is_set_aside(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], why: str
) -> None:
    plant, row, sqlstate, reason = REFUSALS[why]
    expand(30)
    conn.execute("SET session_replication_role = replica")  # behind the back of the sync
    conn.execute(plant)
    rows = columns(conn.execute("SELECT id FROM lines ORDER BY 1").fetchall())
    others = [number for number in rows if number != row]

    result = compat_here(url, *COPY)

    assert result.code == 2
    assert f"public.lines: the row with id = {row} cannot be carried over" in result.err
    assert reason in result.err
    assert f"(SQLSTATE {sqlstate})" in result.err
    assert "fix: correct the row and copy again, set such rows aside with --max-rejects" in (
        result.err
    )
    assert (phase(conn, "lines"), reject_keys(conn)) == ("copying", [])

    result = succeed(url, *COPY, "--max-rejects", "1", "--json")

    assert copied_ids(conn) == others
    assert (result.json["rows_seen"], result.json["rows_copied"], result.json["rejected"]) == (
        len(rows),
        len(others),
        1,
    )
    assert progress(conn) == (len(rows), len(others), True)
    assert phase(conn, "lines") == "copied"
    found = conn.execute(
        "SELECT key, sqlstate, reason, row_data = (SELECT to_jsonb(l) FROM lines l WHERE id = %s)"
        " FROM compat.reject",
        [row],
    ).fetchall()
    assert [(key, state, whole) for key, state, _, whole in found] == [([str(row)], sqlstate, True)]
    assert reason in found[0][2]

    assert f"copied already ({len(others)} rows)" in succeed(url, *COPY).out
    listed = compat_here(url, "retry-rejects", "lines")
    assert listed.code == 1
    assert f"id = {row}: " in listed.out
    assert reason in listed.out


def test_one_row_more_than_may_be_set_aside_stops_the_copy(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(30)
    conn.execute("ALTER TABLE lines_v2 ADD CHECK (line_id NOT IN (5, 9, 17))")

    result = compat_here(url, *COPY, "--max-rejects", "2", "--batch-seconds", "0")

    assert result.code == 2
    assert "the row with id = 17 cannot be carried over; 2 rows have been set aside" in result.err
    assert reject_keys(conn) == [["5"], ["9"]]
    result = succeed(url, *COPY, "--max-rejects", "3")
    assert "30 rows seen, 27 copied (0 were there" in result.out
    assert "set aside in compat.reject: 3; correct them" in result.out


def test_workers_side_by_side_set_no_more_aside_than_they_may_together(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(12_000)
    conn.execute("ALTER TABLE lines_v2 ADD CHECK (line_id % 100 > 0)")

    assert compat_here(url, *COPY, "--workers", "4", "--max-rejects", "7").code == 2
    assert len(reject_keys(conn)) <= 7
    succeed(url, *COPY, "--workers", "4", "--max-rejects", "120")

    assert len(reject_keys(conn)) == 120
    assert progress(conn) == (12_000, 11_880, True)


def test_a_worker_waits_for_what_another_is_about_to_set_aside(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    """Else both would count no more than their own."""
    mapping = expand(30)
    conn.execute("ALTER TABLE lines_v2 ADD CHECK (line_id NOT IN (5, 9))")
    conn.execute("INSERT INTO compat.copy_progress (mapping) VALUES ('lines')")
    with connect(url) as first, connect(url) as second:
        for worker in (first, second):
            worker.execute("SET compat.early_writes = on; SET lock_timeout = '10ms'")
        with first.transaction():
            assert copy_or_reject(first, mapping, ["5"], 1).rejected == 1
            with pytest.raises(psycopg.errors.LockNotAvailable), second.transaction():
                copy_or_reject(second, mapping, ["9"], 1)
        with pytest.raises(DataError, match="id = 9"), second.transaction():
            copy_or_reject(second, mapping, ["9"], 1)

    assert reject_keys(conn) == [["5"]]


def test_a_row_that_was_locked_while_its_batch_passed_is_set_aside_at_the_end(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(30)
    conn.execute("ALTER TABLE lines_v2 ADD CHECK (line_id NOT IN (5, 9))")
    with psycopg.connect(url) as writer:
        writer.execute("SELECT FROM lines WHERE id IN (5, 6, 9) FOR UPDATE")
        process = start_copy(url, "--max-rejects", "2")
        until_seen(conn, 27, process)
        writer.rollback()
        result = ended(process)

    assert result.code == 0, result
    assert reject_keys(conn) == [["5"], ["9"]]
    assert progress(conn) == (30, 28, True)


# Tried again -------------------------------------------------------------------------------------


def test_rejects_are_tried_again_as_the_legacy_rows_are_then(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(30)
    conn.execute("ALTER TABLE lines_v2 ADD CHECK (quantity < 1000)")
    conn.execute("SET session_replication_role = replica")
    conn.execute("UPDATE lines SET qty = 1000 WHERE id IN (3, 5, 7, 9)")
    conn.execute("RESET session_replication_role")
    succeed(url, *COPY, "--max-rejects", "4")

    conn.execute("UPDATE lines SET qty = 3 WHERE id = 3")  # its sync trigger brings it over
    conn.execute("SET session_replication_role = replica")
    conn.execute("UPDATE lines SET qty = 5 WHERE id = 5")
    conn.execute("UPDATE lines SET qty = 1007 WHERE id = 7")
    conn.execute("RESET session_replication_role")
    conn.execute("DELETE FROM lines WHERE id = 9")
    listed = compat_here(url, "retry-rejects", "lines", "--json")
    assert (listed.code, len(listed.json["rejects"])) == (1, 4)

    result = compat_here(url, "retry-rejects", "lines", "--execute")

    assert result.code == 1
    assert "2 rows copied, 1 are gone from the legacy table, 1 still refused" in result.out
    (left,) = conn.execute("SELECT key, row_data ->> 'qty' FROM compat.reject").fetchall()
    assert left == (["7"], "1007")
    conn.execute("UPDATE lines SET qty = 7 WHERE id = 7")
    assert "1 rows copied" in succeed(url, "retry-rejects", "lines", "--execute").out
    assert "no row has been set aside" in succeed(url, "retry-rejects", "lines").out
    assert same_rows(conn, mapping)
    steps(url, "lines", "cutover")


def test_who_takes_a_migration_back_takes_its_rejects_back(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(30)
    conn.execute("ALTER TABLE lines_v2 ADD CHECK (line_id <> 5)")
    succeed(url, *COPY, "--max-rejects", "1")
    assert reject_keys(conn) == [["5"]]

    succeed(url, "unexpand", "lines", "--execute")

    assert reject_keys(conn) == []


# Some rows only ----------------------------------------------------------------------------------


def test_a_condition_copies_its_rows_and_a_run_without_it_the_others(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(30)
    conn.execute("UPDATE lines SET note = '50% \"of\" :x' WHERE id IN (4, 8)")
    conn.execute("SET compat.early_writes = on; DELETE FROM lines_v2")
    odd = "note LIKE '%50\\% \"_f\" :x%' OR id % 10 = 0 AND \"price\" <> '%s {} %(a)s'"
    assert "would copy 5 of 30 rows" in succeed(url, "copy", "lines", "--where", odd).out

    result = succeed(url, *COPY, "--where", odd)

    assert copied_ids(conn) == [4, 8, 10, 20, 30]
    assert "5 rows seen, 5 copied" in result.out
    assert "the others are still to be copied: run it again without --where" in result.out
    assert phase(conn, "lines") == "copying"
    assert "5 rows seen, 0 copied" in succeed(url, *COPY, "--where", odd).out
    finish(url, conn, mapping)
    assert progress(conn) == (30, 25, True)


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("qtty > 1", 'column "qtty" does not exist'),
        ("qty >", "syntax error"),
        ("qty", "must be type boolean"),
        ("count(*) > 1", "aggregate functions are not allowed"),
        ("qty > 'x'", "invalid input syntax for type integer"),
    ],
)
def test_a_condition_that_is_none_is_refused_before_anything_is_done(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], where: str, reason: str
) -> None:
    expand(10)
    for options in ((), ("--execute",)):
        result = compat_here(url, "copy", "lines", *options, "--where", where)
        assert result.code == 2
        assert f"error: {where!r} is no condition over the rows of public.lines: " in result.err
        assert reason in result.err
    assert phase(conn, "lines") == "expanded"


def test_a_condition_that_fails_for_a_row_says_why(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(10)
    result = compat_here(url, *COPY, "--where", "1 / (id - 5) < 2", "--max-rejects", "100")
    assert result.code == 2
    assert "division by zero (SQLSTATE 22012)" in result.err
    assert reject_keys(conn) == []


def test_what_a_copy_of_some_rows_sets_aside_comes_up_again(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(30)
    conn.execute("ALTER TABLE lines_v2 ADD CHECK (line_id NOT IN (5, 9))")
    result = succeed(url, *COPY, "--where", "id < 10", "--max-rejects", "2", "--json").json
    assert (result["rows_seen"], result["rows_copied"], result["rejected"]) == (9, 7, 2)
    conn.execute("DELETE FROM lines WHERE id IN (5, 9)")

    result = finish(url, conn, mapping, "--json").json

    assert (result["rows_seen"], result["rows_copied"], result["rejected"]) == (28, 21, 0)


# Odd names ---------------------------------------------------------------------------------------


def test_rejects_and_conditions_know_odd_names(url: str, conn: psycopg.Connection) -> None:
    names, tables = ('Größe "in" %s', "l", "key1"), ("Größen :x 'y' %s", "x" * 63)
    definition = ", ".join(f"{ident(name)} integer" for name in names)
    for table in tables:
        conn.execute(
            f"CREATE TABLE {ident(table)} ({definition}, PRIMARY KEY ({idents(names[:2])}))"
        )
    conn.execute(f"INSERT INTO {ident(tables[0])} SELECT g, -g, g FROM generate_series(1, 9) AS g")
    lenses = [rules.Column(name, name) for name in names]
    mapping = (
        migrations.Migration.between(conn, ident(tables[0]), ident(tables[1]), lenses)
        .expand()
        .mapping
    )
    conn.execute(f"ALTER TABLE {ident(tables[1])} ADD CHECK (key1 <> 2)")
    where = f'{ident(names[0])} < 9 AND "l" < 0 AND key1 > 0'

    some = compat_here(url, "copy", tables[0], "--execute", "--where", where)
    assert 'the row with Größe "in" %s = 2, l = -2 cannot be carried over' in some.err
    allowed = ("--max-rejects", "1")
    succeed(url, "copy", tables[0], "--execute", "--where", where, *allowed)
    succeed(url, "copy", tables[0], "--execute", *allowed)

    assert value(conn, f"SELECT count(*) FROM {mapping.target.sql}") == 8
    assert reject_keys(conn) == [["2", "-2"]]
    assert 'Größe "in" %s = 2, l = -2: ' in compat_here(url, "retry-rejects", tables[0]).out
    conn.execute(f"UPDATE {mapping.legacy.sql} SET key1 = 3 WHERE l = -2")
    succeed(url, "retry-rejects", tables[0], "--execute")
    assert same_rows(conn, mapping)
