"""The view timed against the table: ratios with a threshold, and plans that lost an index."""

from __future__ import annotations

import verify
from tests.verify import journey
from tests.verify.journey import Connection
from verify.options import Options
from verify.report import Result, Status
from verify.workload.reading import Statement, Workload


def measured(conn: Connection, max_ratio: float, *queries: str) -> Result:
    workload = Workload(tuple(Statement(text, f"q.sql:{n}") for n, text in enumerate(queries)))
    options = Options(queries=workload, max_ratio=max_ratio)
    (result,) = verify.run(conn, ["performance"], options=options).results
    return result


def test_reads_writes_and_declared_queries_are_timed_on_both_sides(conn: Connection) -> None:
    mapping = journey.shop_mapping(conn)
    journey.copied(conn, mapping)
    journey.cut_over(conn, mapping)
    query = "SELECT sum(qty) FROM order_line_items"
    result = measured(conn, 1e6, query, "SELECT 1 FROM orders", "SELECT $1 FROM order_line_items")
    assert result.status is Status.HOLDS, result
    assert [measure.title for measure in result.measures] == [
        "read of one row by key",
        f"q.sql:0 {query}",
        "insert of one row",
        "update of a renamed column of one row",
        "update of a converted column of one row",
        "delete of one row",
    ]
    for measure in result.measures:
        assert 0 < measure.table[0] <= measure.table[1]
        assert 0 < measure.view[0] <= measure.view[1]
    assert result.notes == ("left out: q.sql:2: nothing tells what $1 may be",)
    assert set(result.as_json()["measures"][0]) == {"title", "table_ms", "view_ms", "ratio"}


def test_a_statement_that_takes_longer_than_it_may_is_named_with_both_times(
    conn: Connection,
) -> None:
    mapping = journey.shop_mapping(conn)
    journey.copied(conn, mapping)
    journey.cut_over(conn, mapping)
    result = measured(conn, 1e-6)
    assert result.status is Status.DOES_NOT_HOLD
    assert {f.kind for f in result.findings} == {"slow"}
    assert "delete of one row" in {f.subject for f in result.findings}
    assert all("ms on the table" in f.message for f in result.findings)


def test_a_plan_that_lost_an_index_is_shown_beside_the_one_that_has_it(conn: Connection) -> None:
    conn.execute(journey.SHOP)
    conn.execute(
        """
        CREATE INDEX by_status ON order_line_items (status);
        INSERT INTO order_line_items (order_id, product_id, line_no, status)
        SELECT 1 + i % 60, 1, i, 2 FROM generate_series(1000, 6000) i;
        UPDATE order_line_items SET status = 3 WHERE status <> 2 AND id <> 7;
        UPDATE order_line_items SET status = 4 WHERE id = 7;
        """
    )
    mapping = journey.reflected_shop_mapping(conn)
    journey.copied(conn, mapping)
    journey.cut_over(conn, mapping)
    conn.execute("ANALYZE order_line_items__retired, order_line_items_v2")
    query = "SELECT id FROM order_line_items WHERE status = 4"
    result = measured(conn, 1e6, query)
    (finding,) = result.findings
    assert (finding.kind, finding.subject) == ("plan", f"q.sql:0 {query}")
    assert "Index" in (finding.expected or "")
    assert "Seq Scan on order_line_items_v2" in (finding.found or "")


def test_an_empty_table_and_a_role_that_may_make_no_copy_are_not_passed(conn: Connection) -> None:
    mapping = journey.shop_mapping(conn)
    conn.execute("TRUNCATE order_line_items CASCADE")
    journey.copied(conn, mapping)
    assert measured(conn, 1e6).status is Status.NOT_RUN
