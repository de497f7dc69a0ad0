"""Rows compared within one database: ranges, workers, thresholds, samples, files, interruptions."""

from __future__ import annotations

import csv
import json
import threading
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

import verify
from compat import rules
from compat.errors import CompatError, StateError
from tests.verify import journey
from tests.verify.journey import Connection
from tests.verify.test_between import EVERY_TYPE, FAULTS
from tests.verify.test_command import command
from verify import sinks
from verify.compare import within
from verify.compare.join import Join
from verify.options import Options, Threshold, percent_of, thresholds
from verify.report import Result, Status

ROWS = 400
IN_RANGES = Options(range_rows=20)


@pytest.fixture
def stock(conn: Connection) -> Connection:
    """A table of 400 rows with gaps in its keys, copied and ready for the cutover."""
    conn.execute(
        f"""
        CREATE TABLE stock (id bigint PRIMARY KEY, sku text NOT NULL, qty integer, note text);
        INSERT INTO stock SELECT i * 3, 'sku ' || i, i % 7, nullif('n' || i % 5, 'n0')
        FROM generate_series(1, {ROWS}) i;
        CREATE TABLE stock_v2 (item bigint PRIMARY KEY, sku text NOT NULL, quantity integer,
                               remark text);
        ANALYZE stock;
        """
    )
    columns = (("id", "item"), ("sku", "sku"), ("qty", "quantity"), ("note", "remark"))
    mapping = journey.mapping_of(
        conn, "stock", "stock_v2", *(rules.Column(old, new) for old, new in columns)
    )
    journey.copied(conn, mapping)
    return conn


def contents(conn: Connection, options: Options = IN_RANGES, limit: int = 1000) -> Result:
    (result,) = verify.run(conn, ["contents"], options=options, limit=limit).results
    return result


PLANTED = """
UPDATE stock_v2 SET quantity = quantity + 1 WHERE item IN (3, 60, 63, 600, 1200);
UPDATE stock_v2 SET remark = '' WHERE item IN (15, 1185);
DELETE FROM stock_v2 WHERE item IN (6, 57, 66, 1197);
INSERT INTO stock_v2 VALUES (-7, 'below', 1), (64, 'between', 1), (5000, 'above', 1);
"""
CHANGED = [("3", "qty"), ("15", "note"), ("60", "qty"), ("63", "qty"), ("600", "qty")]
CHANGED += [("1185", "note"), ("1200", "qty")]


@pytest.mark.parametrize("workers", [1, 3])
def test_what_differs_is_found_exactly_at_the_ends_of_ranges_too(
    stock: Connection, workers: int
) -> None:
    stock.execute(PLANTED)
    result = contents(stock, replace(IN_RANGES, workers=workers))
    found = [
        (f.kind, f.key[0][1], f.message.split(":")[0] if f.kind == "changed" else "")
        for f in result.findings
    ]
    assert [item for item in found if item[0] == "changed"] == [
        ("changed", key, column) for key, column in CHANGED
    ]
    assert {key for kind, key, _ in found if kind == "missing"} == {"6", "57", "66", "1197"}
    assert [key for kind, key, _ in found if kind == "extra"] == ["-7", "64", "5000"]
    assert [int(str(key)) for _, key, _ in found] == sorted(int(str(k)) for _, k, _ in found)
    numbers = dict(result.numbers)
    assert (numbers["legacy"], numbers["view"], numbers["differing"]) == (ROWS, ROWS - 1, 14)
    assert (numbers["changed qty"], numbers["changed note"]) == (5, 2)
    assert "note: NULL in the table, '' in the view" in {f.message for f in result.findings}


def test_the_first_differences_are_shown_in_the_order_of_the_key_whoever_found_them(
    stock: Connection,
) -> None:
    stock.execute(PLANTED)
    result = contents(stock, limit=3)
    assert [finding.key[0][1] for finding in result.findings] == ["-7", "3", "6"]
    assert result.total == 14


def test_workers_share_the_snapshot_of_the_run_so_that_busy_applications_raise_no_alarm(
    stock: Connection, url: str
) -> None:
    stop = threading.Event()

    def work(first: int) -> None:
        with psycopg.connect(url, autocommit=True) as application:
            n = first
            while not stop.is_set():
                n += 7
                application.execute(
                    "UPDATE stock SET qty = qty + 1 WHERE id = %s", [3 * (1 + n % ROWS)]
                )
                application.execute(
                    "INSERT INTO stock VALUES (%s, 'new', 1)", [10_000_000 * first + n]
                )
                application.execute("DELETE FROM stock WHERE id = %s", [3 * (1 + n * 5 % 50)])

    workers = [threading.Thread(target=work, args=(n,)) for n in (1, 2)]
    for worker in workers:
        worker.start()
    try:
        results = [contents(stock) for _ in range(5)]
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert [r.summary for r in results if r.status is not Status.HOLDS] == []
    assert len({dict(r.numbers)["view"] for r in results}) > 1  # it was written meanwhile


# -- less than all ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "holds"),
    [
        ((Threshold(96.5),), True),
        ((Threshold(96.6),), False),
        ((Threshold(90), Threshold(100, "stock")), False),
        ((Threshold(100), Threshold(90, "stock")), True),
        ((Threshold(90, "another"),), False),
    ],
)
def test_a_share_of_matching_rows_can_be_enough_for_all_mappings_or_for_one(
    stock: Connection, limits: tuple[Threshold, ...], holds: bool
) -> None:
    stock.execute(PLANTED)  # 14 of 403 rows that either side has: 96.526 % match
    result = contents(stock, replace(IN_RANGES, thresholds=limits))
    assert (result.status is Status.HOLDS) is holds
    assert result.total == 14
    assert "match rate: 96.526055 %" in result.notes
    assert result.findings


def test_one_row_of_many_is_never_rounded_to_a_hundred_percent(stock: Connection) -> None:
    stock.execute("DELETE FROM stock_v2 WHERE item = 3")
    result = contents(stock, replace(IN_RANGES, thresholds=(Threshold(99.76),)))
    assert result.status is Status.DOES_NOT_HOLD
    assert contents(stock, replace(IN_RANGES, thresholds=(Threshold(99.75),))).total == 1


@pytest.mark.parametrize("text", ["0", "101", "-1", "x", "nan", "stock="])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(CompatError, match="is no percentage"):
        thresholds([text])


def test_percentages_are_read_with_and_without_a_sign() -> None:
    assert percent_of("1%", "--sample") == 1
    assert thresholds(["99.99", "a=b=50"]) == (Threshold(99.99), Threshold(50, "a=b"))


def test_a_sample_compares_some_ranges_and_says_that_it_is_one(stock: Connection) -> None:
    result = contents(stock, replace(IN_RANGES, sample=10))
    assert result.status is Status.HOLDS
    assert result.summary.startswith("a sample of 10 %: ")
    assert 0 < dict(result.numbers)["view"] < ROWS / 2


def test_a_sample_is_not_recorded_as_a_run(stock: Connection, url: str) -> None:
    assert command(url, "--checks", "contents", "--sample", "5%").returncode == 0
    assert stock.execute("SELECT count(*) FROM compat.verification").fetchone() == (0,)
    assert command(url, "--checks", "contents").returncode == 0
    assert stock.execute("SELECT count(*) FROM compat.verification").fetchone() == (1,)


# -- all of them, somewhere else --------------------------------------------------------------


@pytest.fixture
def two_faults(stock: Connection) -> Connection:
    stock.execute("UPDATE stock_v2 SET remark = '', quantity = NULL WHERE item = 15")
    stock.execute("""UPDATE stock SET note = E'say "é",\\n' WHERE id = 9""")
    stock.execute("UPDATE stock_v2 SET remark = NULL WHERE item = 9")
    stock.execute("DELETE FROM stock_v2 WHERE item = 600")
    return stock


LINES = [
    ("stock", "changed", {"id": "9"}, "note", 'say "é",\n', None),
    ("stock", "changed", {"id": "15"}, "qty", "5", None),
    ("stock", "changed", {"id": "15"}, "note", None, ""),
    ("stock", "missing", {"id": "600"}, None, None, None),
]


def test_all_differences_go_to_a_json_lines_file(
    two_faults: Connection, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "found.jsonl"
    done = command(url, "--checks", "contents", "--limit", "1", "--differences", str(path))
    assert done.returncode == 1
    documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(*d.values(),) for d in documents] == [
        (*line[:2], json.dumps(line[2]), *line[3:]) for line in LINES
    ]


def test_all_differences_go_to_a_csv_file_that_copy_reads_back_null_and_empty_apart(
    two_faults: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "found.csv"
    with sinks.opened(str(path), None) as sink:
        contents(two_faults, replace(IN_RANGES, differences=sink), limit=0)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["mapping", "kind", "key", "column_name", "expected", "found"]
    assert len(rows) == len(LINES)
    two_faults.execute(
        "CREATE TEMP TABLE read_back (mapping text, kind text, key jsonb, column_name text,"
        " expected text, found text)"
    )
    with two_faults.cursor().copy("COPY read_back FROM STDIN (FORMAT csv, HEADER)") as into:
        into.write(path.read_bytes())
    assert two_faults.execute("SELECT * FROM read_back").fetchall() == LINES


def test_all_differences_go_to_a_table_to_which_runs_add(two_faults: Connection, url: str) -> None:
    for _ in range(2):
        arguments = ("--checks", "contents", "--differences", "table:public.what differs")
        assert command(url, *arguments).returncode == 1
    rows = two_faults.execute(
        "SELECT mapping, kind, key, column_name, expected, found"
        ' FROM "what differs" ORDER BY found_at, ctid'
    ).fetchall()
    assert rows == LINES * 2


def test_all_differences_of_a_table_that_cannot_be_cut_are_kept_some_at_a_time(
    conn: Connection, tmp_path: Path
) -> None:
    conn.execute(
        """
        CREATE TABLE a (id integer PRIMARY KEY, v integer);
        INSERT INTO a SELECT i, i FROM generate_series(1, 2500) i;
        CREATE TABLE b (id text PRIMARY KEY, v integer);
        """
    )
    mapping = journey.mapping_of(conn, "a", "b", rules.Cast("id", "id"), rules.Column("v", "v"))
    journey.copied(conn, mapping)
    conn.execute("UPDATE b SET v = -v")
    with conn.transaction():
        join = Join(mapping, mapping.legacy.sql, mapping.standby)
        pieces = list(within.compare_whole(conn, join))
    assert [len(piece.differences) for piece in pieces] == [1000, 1000, 500, 0]
    path = tmp_path / "found.jsonl"
    with sinks.opened(str(path), None) as sink:
        result = contents(conn, Options(differences=sink), limit=1)
    assert result.status is Status.DOES_NOT_HOLD
    assert result.total == 2500
    found = [json.loads(line)["key"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(found) == 2500
    assert len({str(key) for key in found}) == 2500


def test_another_place_for_differences_is_refused(stock: Connection, url: str) -> None:
    for place, said in (("found.xlsx", "no place for differences"), ("/nowhere/f.csv", "No such")):
        done = command(url, "--differences", place)
        assert done.returncode == 2
        assert said in done.stderr


# -- interruptions ----------------------------------------------------------------------------


@pytest.fixture
def interrupted(stock: Connection, tmp_path: Path) -> Path:
    """The progress of a run that met an error in the middle of the table."""
    path = tmp_path / "progress"
    stock.execute("ALTER TABLE stock_v2 RENAME COLUMN quantity TO q")
    stock.execute("UPDATE stock_v2 SET remark = 'wrong' WHERE item = 9")
    stock.execute(
        "CREATE OR REPLACE VIEW stock__compat AS SELECT item AS id, sku,"
        " CASE WHEN item < 600 THEN q ELSE q / (item - 900)::int END AS qty, remark AS note"
        " FROM stock_v2"
    )
    result = contents(stock, replace(IN_RANGES, workers=1, resume=path))
    assert "division by zero" in result.summary
    assert path.exists()
    stock.execute(
        "CREATE OR REPLACE VIEW stock__compat AS SELECT item AS id, sku, q AS qty, remark AS note"
        " FROM stock_v2"
    )
    return path


def test_a_run_that_was_interrupted_goes_on_where_it_stopped(
    stock: Connection, interrupted: Path
) -> None:
    stock.execute("UPDATE stock_v2 SET remark = 'wrong' WHERE item IN (12, 1197)")
    result = contents(stock, replace(IN_RANGES, workers=1, resume=interrupted))
    # 9 was seen by the first part, 1197 by the second; 12 is in a range that had been done.
    assert [f.key[0][1] for f in result.findings if "note" in f.message] == ["9", "1197"]
    assert dict(result.numbers)["view"] == ROWS
    assert not interrupted.exists()
    again = contents(stock, replace(IN_RANGES, resume=interrupted))
    assert dict(again.numbers)["changed note"] == 3


def test_a_line_that_was_cut_short_by_a_kill_is_done_again(
    stock: Connection, interrupted: Path
) -> None:
    text = interrupted.read_bytes()
    interrupted.write_bytes(text[: text.rindex(b"\n", 0, -1) + 20])
    result = contents(stock, replace(IN_RANGES, workers=2, resume=interrupted))
    assert dict(result.numbers)["view"] == ROWS


def test_progress_of_another_state_of_the_mapping_is_refused(
    stock: Connection, interrupted: Path
) -> None:
    with pytest.raises(StateError, match="sample changed since"):
        contents(stock, replace(IN_RANGES, sample=5, resume=interrupted))
    interrupted.write_text("something else\n")
    with pytest.raises(CompatError, match="does not hold the progress of a run"):
        contents(stock, replace(IN_RANGES, resume=interrupted))
    assert interrupted.read_text() == "something else\n"


# -- counts by group --------------------------------------------------------------------------


def test_rows_are_counted_by_the_values_of_a_column_null_among_them(stock: Connection) -> None:
    options = Options(group_by=("note", "qty"))
    (result,) = verify.run(stock, ["counts"], options=options).results
    assert result.status is Status.HOLDS
    assert result.summary == "400 rows on both sides, and in each of 12 groups"
    stock.execute("UPDATE stock_v2 SET remark = NULL WHERE item IN (3, 6)")
    (result,) = verify.run(stock, ["counts"], options=options).results
    assert [(f.subject, f.expected, f.found) for f in result.findings] == [
        ("note = 'n1'", "80", "79"),
        ("note = 'n2'", "80", "79"),
        ("note = NULL", "80", "82"),
    ]


def test_groups_of_one_mapping_are_those_of_no_other(stock: Connection) -> None:
    options = Options(group_by=("qty", "stock=note", "stock=a=b"))
    assert options.groups("stock") == ("qty", "note", "a=b")
    assert options.groups("other") == ("qty",)
    (result,) = verify.run(stock, ["counts"], options=Options(group_by=("stock=note",))).results
    assert result.summary == "400 rows on both sides, and in each of 5 groups"
    with pytest.raises(CompatError, match="no mapping called 'stok' is verified"):
        verify.run(stock, ["counts"], options=Options(group_by=("stok=note",)))


def test_a_group_that_the_table_does_not_have_is_named_with_those_that_it_has(
    stock: Connection, url: str
) -> None:
    done = command(url, "--checks", "counts", "--group-by", "colour")
    assert done.returncode == 2
    assert "no column 'colour' to group by (there: id, sku, qty, note)" in done.stdout


# -- every type -------------------------------------------------------------------------------


def test_every_trap_of_every_type_is_found_in_one_database_too(conn: Connection) -> None:
    conn.execute(EVERY_TYPE)
    conn.execute("CREATE TABLE things_v2 (LIKE things INCLUDING ALL)")
    columns = conn.execute("SELECT * FROM things LIMIT 0").description or ()
    same = (rules.Column(column.name, column.name) for column in columns)
    journey.copied(conn, journey.mapping_of(conn, "things", "things_v2", *same))
    for column, value, expected, found in FAULTS:
        conn.execute(
            f"UPDATE things_v2 SET {column} = {value.replace('things', 'things_v2')} WHERE id = 7"
        )
        differing = [
            (f.message.split(":")[0], f.expected, f.found) for f in contents(conn).findings
        ]
        conn.execute("DELETE FROM things_v2 WHERE id = 7")
        conn.execute("INSERT INTO things_v2 SELECT * FROM things WHERE id = 7")
        assert differing == [(column, expected, found)], (column, value)


def test_a_key_that_differs_in_nothing_but_case_is_another_row(conn: Connection) -> None:
    conn.execute(
        """
        CREATE TABLE codes (code varchar(9) PRIMARY KEY, n integer);
        INSERT INTO codes SELECT 'Code ' || i, i FROM generate_series(1, 9) i;
        CREATE TABLE codes_v2 (LIKE codes INCLUDING ALL);
        """
    )
    same = (rules.Column(name, name) for name in ("code", "n"))
    journey.copied(conn, journey.mapping_of(conn, "codes", "codes_v2", *same))
    conn.execute("UPDATE codes_v2 SET code = 'code 7' WHERE n = 7")
    conn.execute("UPDATE codes_v2 SET code = code || ' ' WHERE n = 8")
    assert {(f.kind, f.key[0][1]) for f in contents(conn).findings} == {
        ("missing", "Code 7"),
        ("extra", "code 7"),
        ("missing", "Code 8"),
        ("extra", "Code 8 "),
    }
