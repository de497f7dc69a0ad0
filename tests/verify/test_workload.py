"""Statements of applications on table and view: read from files and logs, compared, undone."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

import verify
from compat.database import Database
from compat.errors import CompatError
from tests.run.test_usage import counting, has_statements
from tests.verify import journey
from tests.verify.journey import Connection
from verify.options import Options
from verify.report import Result, Status
from verify.workload import reading
from verify.workload.pointing import LeftOut, pointed
from verify.workload.reading import Statement, Workload


def compared(conn: Connection, *statements: str) -> Result:
    workload = Workload(tuple(Statement(text, f"{n}") for n, text in enumerate(statements)))
    (result,) = verify.run(conn, ["workload"], options=Options(workload=workload)).results
    return result


GOOD = (
    "SELECT * FROM order_line_items ORDER BY id",
    "SELECT o.customer_name, sum(l.qty * l.price::numeric) AS total FROM public.order_line_items l "
    "JOIN orders o ON o.id = l.order_id WHERE NOT l.deleted GROUP BY o.id ORDER BY total DESC "
    "LIMIT 5",
    "SELECT status, count(*) FROM order_line_items WHERE order_line_items.qty > 1 GROUP BY status",
    "WITH cheap AS (SELECT * FROM order_line_items WHERE price < '1') SELECT count(*) FROM cheap",
    "SELECT (SELECT max(qty) FROM order_line_items i WHERE i.order_id = o.id) FROM orders o",
    "SELECT order_line_items FROM order_line_items WHERE id = 3",
    "UPDATE order_line_items SET qty = qty + 1, note = upper(note) WHERE status IN (1, 2)",
    "UPDATE order_line_items SET qty = -1 WHERE id = 4",
    "INSERT INTO order_line_items (order_id, product_id, line_no, price) VALUES (1, 1, 99, '7.5')",
    "INSERT INTO order_line_items (order_id, product_id, line_no) VALUES (1, 1, 98) RETURNING id",
    "DELETE FROM order_line_items WHERE id = 5",
    "DELETE FROM order_line_items USING orders o WHERE order_line_items.order_id = o.id AND o.id=3",
)


@pytest.mark.parametrize("is_cutover", [False, True])
def test_statements_are_answered_alike_and_leave_nothing(
    conn: Connection, is_cutover: bool
) -> None:
    mapping = journey.shop_mapping(conn)
    journey.copied(conn, mapping)
    if is_cutover:
        journey.cut_over(conn, mapping)
    before = conn.execute("SELECT t FROM order_line_items_v2 t ORDER BY 1").fetchall()
    result = compared(conn, *GOOD)
    assert result.status is Status.HOLDS, result
    numbers = dict(result.numbers)
    # A row that others refer to can only be kept by the view once they refer to its target.
    counted = (numbers["statements"], numbers["refused alike"], numbers["left out"])
    assert counted == ((len(GOOD), 2, 0) if is_cutover else (len(GOOD) - 1, 1, 1))
    assert numbers["table µs"] > 0
    assert numbers["view µs"] > 0
    assert conn.execute("SELECT t FROM order_line_items_v2 t ORDER BY 1").fetchall() == before


@pytest.mark.parametrize(
    ("fault", "statement", "kind"),
    [
        (
            "UPDATE order_line_items_v2 SET quantity = 5 WHERE line_item_id = 4",
            "SELECT sum(qty) FROM order_line_items",
            "rows",
        ),
        (
            "UPDATE order_line_items_v2 SET quantity = 5 WHERE line_item_id = 4",
            "SELECT qty, id FROM order_line_items ORDER BY qty DESC LIMIT 41",
            "rows",
        ),
        (
            "DELETE FROM order_line_items_v2 WHERE line_item_id = 4",
            "UPDATE order_line_items SET note = 'x' WHERE qty = 4",
            "row count",
        ),
        (
            "ALTER TABLE order_line_items_v2 ADD CONSTRAINT c CHECK (note <> 'x') NOT VALID",
            "UPDATE order_line_items SET note = 'x' WHERE id = 9",
            "sqlstate",
        ),
    ],
)
def test_an_answer_that_differs_is_shown_with_its_statement(
    shop: Connection, fault: str, statement: str, kind: str
) -> None:
    assert compared(shop, statement).status is Status.HOLDS
    with shop.transaction():
        shop.execute("SET LOCAL session_replication_role = replica")
        shop.execute(fault)
    result = compared(shop, statement)
    assert result.status is Status.DOES_NOT_HOLD
    assert [(f.kind, f.subject) for f in result.findings] == [(kind, "0")]
    assert statement in result.findings[0].message


def test_rows_in_another_order_count_only_where_the_statement_orders_them(
    shop: Connection,
) -> None:
    with shop.transaction():
        shop.execute("SET LOCAL session_replication_role = replica")
        shop.execute("CREATE TABLE turned AS TABLE order_line_items_v2 ORDER BY line_item_id DESC")
        shop.execute("ALTER TABLE order_line_items_v2 DISABLE TRIGGER ALL")
        shop.execute("DELETE FROM order_line_items_v2")
        shop.execute("INSERT INTO order_line_items_v2 SELECT * FROM turned")
        shop.execute("ALTER TABLE order_line_items_v2 ENABLE TRIGGER ALL")
    assert compared(shop, "SELECT id, qty FROM order_line_items").status is Status.HOLDS
    assert compared(shop, "SELECT qty FROM order_line_items ORDER BY qty").status is Status.HOLDS
    ties = "SELECT id, qty FROM order_line_items ORDER BY qty LIMIT 3"
    assert compared(shop, ties).status is Status.HOLDS


def test_what_differs_each_time_or_cannot_be_filled_is_left_out_and_said(
    shop: Connection,
) -> None:
    result = compared(
        shop,
        "SELECT random() FROM order_line_items",
        "SELECT qty + $1 FROM order_line_items",
        "SELECT public.order_line_items.qty FROM public.order_line_items",
        "SELECT 1 FROM orders",
        "SELECT id FROM order_line_items WHERE id IN ($1, $2) AND qty = ANY (ARRAY[$3]::int[])"
        " LIMIT $4 OFFSET $5",
    )
    assert result.status is Status.HOLDS
    assert dict(result.numbers)["statements"] == 1
    assert result.notes == (
        "left out: 0: the table itself answers differently again",
        "left out: 1: nothing tells what $1 may be",
        "left out: 2: it names a column by schema and table",
    )


def test_a_workload_of_other_tables_and_one_without_rights_are_not_run(shop: Connection) -> None:
    assert compared(shop, "SELECT 1 FROM orders").status is Status.NOT_RUN
    shop.execute("SET default_transaction_read_only = on")
    result = compared(shop, "SELECT 1 FROM order_line_items", "DELETE FROM order_line_items")
    assert result.status is Status.NOT_RUN
    assert "1 statement could not be tried" in result.summary
    (result,) = verify.run(shop, ["workload"]).results
    assert result.status is Status.NOT_RUN
    assert "--workload FILE" in result.summary


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ('SELECT "Id" FROM Order_Line_Items', 'SELECT "Id" FROM V AS "order_line_items"'),
        ("TABLE public.order_line_items", 'TABLE V AS "order_line_items"'),
        ("SELECT 1 FROM order_line_items AS x, orders", "SELECT 1 FROM V AS x, orders"),
        (
            "SELECT 'order_line_items' /* order_line_items */ FROM order_line_items l",
            "SELECT 'order_line_items' /* order_line_items */ FROM V l",
        ),
    ],
)
def test_only_the_name_of_the_table_is_replaced(
    conn: Connection, statement: str, expected: str
) -> None:
    said = pointed(statement, journey.shop_mapping(conn), None)
    assert said is not None
    assert said.at("V") == expected


def test_other_tables_of_the_name_are_none_of_ours(conn: Connection) -> None:
    mapping = journey.shop_mapping(conn)
    for statement in (
        "SELECT 1 FROM archive.order_line_items",
        "WITH order_line_items AS (SELECT 1) SELECT * FROM order_line_items",
        'SELECT 1 FROM "Order_Line_Items"',
    ):
        assert pointed(statement, mapping, None) is None
    with pytest.raises(LeftOut):
        pointed("SELECT FROM WHERE order_line_items (", mapping, None)


# -- files ------------------------------------------------------------------------------------


def test_sql_ends_at_semicolons_or_else_at_the_end_of_the_line(tmp_path: Path) -> None:
    path = tmp_path / "w.sql"
    path.write_text(
        "-- a comment; not the end\nSELECT ';'\n  FROM t;\n\n/* x */ BEGIN;\nSELECT $$;$$;\n"
        "SELECT ';'\n  FROM t;\n"
    )
    read = reading.load(path)
    assert [(s.place, s.text.split()[-1]) for s in read.statements] == [
        ("w.sql:1", "t"),
        ("w.sql:6", "$$;$$"),
        ("w.sql:7", "t"),
    ]
    assert read.left_out == ("1 × BEGIN: no query",)
    path.write_text("SELECT 1\n\n-- none\nSELECT 2\n")
    assert [s.place for s in reading.load(path).statements] == ["w.sql:1", "w.sql:4"]


def csv_line(message: str, detail: str = "", database: str = "shop", application: str = "") -> str:
    cells = [""] * 26
    cells[2], cells[13], cells[14], cells[22] = database, message, detail, application
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n"


def test_logs_in_csv_and_json_give_statements_with_their_parameters(tmp_path: Path) -> None:
    lines = [
        ("statement: SELECT 1 FROM t;", "", "shop", "web"),
        (
            "duration: 0.1 ms  execute s_1: SELECT 2\nFROM t WHERE a = $1 AND b = $2 AND c = $10",
            "parameters: $1 = 'it''s, $2 = 5', $2 = NULL, $10 = '7'",
            "shop",
            "web",
        ),
        ("statement: SELECT 3", "", "other", "web"),
        ("statement: SELECT 4", "", "shop", "compat verify"),
        ("statement: COMMIT", "", "shop", "web"),
        ("checkpoint starting: time", "", "", ""),
    ]
    as_csv, as_json = tmp_path / "log.csv", tmp_path / "log.json"
    as_csv.write_text("".join(csv_line(*line) for line in lines))
    as_json.write_text(
        "".join(
            json.dumps(
                {"message": message, "detail": detail, "dbname": name, "application_name": by}
            )
            + "\n"
            for message, detail, name, by in lines
        )
    )
    for path in (as_csv, as_json):
        read = reading.load(path, "shop")
        assert [statement.text for statement in read.statements] == [
            "SELECT 1 FROM t",
            "SELECT 2\nFROM t WHERE a = 'it''s, $2 = 5' AND b = NULL AND c = '7'",
        ]
        assert read.left_out == ("1 × COMMIT: no query",)


def test_a_file_that_is_no_log_is_refused_with_a_reason(tmp_path: Path) -> None:
    for name, text in (("a.csv", "a,b\n"), ("a.json", "[1]\n"), ("b.json", "{\n")):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(CompatError, match="cannot be read as a log"):
            reading.load(path)
    with pytest.raises(CompatError, match="cannot be read"):
        reading.load(tmp_path / "none.sql")


def test_the_servers_own_statistics_are_a_workload_where_they_are_installed(
    own_server: Database,
) -> None:
    with counting(own_server) as url, psycopg.connect(url, autocommit=True) as conn:
        mapping = journey.shop_mapping(conn)
        journey.copied(conn, mapping)
        conn.execute("SELECT qty, note FROM order_line_items WHERE id = 5 AND qty < 100 LIMIT 7")
        conn.execute("SELECT upper('x') FROM order_line_items")
        (result,) = verify.run(conn, ["workload"]).results
        if not has_statements(conn):
            assert result.status is Status.NOT_RUN
            return
        assert result.status is Status.HOLDS, result
        assert dict(result.numbers)["statements"] >= 1
        assert any("nothing tells what $1 may be" in note for note in result.notes)


# -- the user's own probes ----------------------------------------------------------------------


def probed(conn: Connection, *statements: str) -> Result:
    own = Workload(tuple(Statement(text, f"own.sql:{n}") for n, text in enumerate(statements)))
    (result,) = verify.run(conn, ["probes"], options=Options(probes=own)).results
    return result


def test_own_probes_are_tried_beside_the_generated_ones(shop: Connection) -> None:
    few = dict(probed(shop).numbers)["statements"]
    result = probed(
        shop,
        "UPDATE order_line_items SET note = 'own' WHERE qty > 3",
        "DELETE FROM order_line_items WHERE id = $1",
        "SELECT $1 FROM order_line_items",
    )
    assert result.status is Status.HOLDS, result
    assert dict(result.numbers)["statements"] == few + 2
    assert "left out: own.sql:2: nothing tells what $1 may be" in result.notes


def test_an_own_probe_that_is_answered_differently_is_named(shop: Connection) -> None:
    shop.execute("ALTER TABLE order_line_items_v2 ADD CHECK (note <> 'own')")
    assert probed(shop).status is Status.HOLDS
    result = probed(shop, "UPDATE order_line_items SET note = 'own' WHERE id = 4")
    assert [(f.kind, f.subject) for f in result.findings] == [("sqlstate", "own.sql:0")]


def test_what_no_view_of_a_form_can_do_is_said_and_no_fault(shop: Connection) -> None:
    (note,) = (note for note in probed(shop).notes if "not possible" in note)
    assert 'form instead_of: upsert of a new row, ON CONFLICT ("id") DO NOTHING (42P10)' in note
    assert "upsert of a row that is there, DO NOTHING (23505)" in note
    assert "COPY" not in note
