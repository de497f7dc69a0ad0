"""Faults planted by hand, one each: the verification finds it, and names it.

Data faults are written past the sync triggers, as a crash, a restore or a hand would leave them.
"""

from __future__ import annotations

import psycopg
import pytest

import verify
from compat import rules, state
from compat.compile import view
from compat.compile.functions import TARGET
from tests.verify import journey
from tests.verify.journey import Connection
from verify.report import Finding, Result, Status


def past_the_triggers(conn: Connection, *statements: str) -> None:
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            conn.execute(statement)


def check(conn: Connection, name: str, limit: int = 1000) -> Result:
    (result,) = verify.run(conn, [name], limit=limit).results
    return result


def found(conn: Connection, name: str) -> tuple[Finding, ...]:
    result = check(conn, name)
    assert result.status is Status.DOES_NOT_HOLD, result
    return result.findings


# -- contents and counts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "column", "expected", "shown"),
    [
        ("quantity = 99", "qty", "4", "99"),
        ("unit_price = 99", "price", "0.03", "99.00"),
        ("unit_price_text = ' 0.03'", "price", "0.03", " 0.03"),
        ("status = 'shipped'", "status", "4", "3"),
        ("status = 'pending'", "status", "4", "1"),
        ("created_at = created_at + interval '1 second'", "created", "1600000003", "1600000004"),
        ("created_at = created_at - interval '1 us'", "created", "1600000003", "1600000002"),
        ("deleted_at = now()", "deleted", "false", "true"),
        ("note = NULL", "note", "note 3", None),
        ("note = 'note 3 '", "note", "note 3", "note 3 "),
        ("note = 'Note 3'", "note", "note 3", "Note 3"),
        ("product_id = 5", "product_id", "4", "5"),
    ],
)
def test_a_changed_value_is_found_with_its_row_its_column_and_both_values(
    shop: Connection, fault: str, column: str, expected: str, shown: str | None
) -> None:
    past_the_triggers(shop, f"UPDATE order_line_items_v2 SET {fault} WHERE line_item_id = 4")
    (finding,) = found(shop, "contents")
    assert finding.kind == "changed"
    assert finding.key == (("id", "4"),)
    assert finding.message.startswith(f"{column}: ")
    assert (finding.expected, finding.found) == (expected, shown)
    assert check(shop, "counts").status is Status.HOLDS


def test_microseconds_lost_or_gained_are_seen_where_the_legacy_type_shows_them(
    conn: Connection,
) -> None:
    conn.execute(
        """
        CREATE TABLE logs (id bigint PRIMARY KEY, at timestamp NOT NULL, us bigint NOT NULL);
        INSERT INTO logs SELECT i, '2024-01-01 00:00:00.123456', 1700000000123456
        FROM generate_series(1, 9) i;
        CREATE TABLE logs_v2 (id bigint PRIMARY KEY, at timestamptz NOT NULL,
                              us timestamptz NOT NULL);
        """
    )
    mapping = journey.mapping_of(
        conn,
        "logs",
        "logs_v2",
        rules.Column("id", "id"),
        rules.Cast("at", "at", timezone="UTC"),
        rules.Epoch("us", "us", unit="us"),
    )
    journey.copied(conn, mapping)
    past_the_triggers(conn, "UPDATE logs_v2 SET at = date_trunc('millisecond', at) WHERE id = 3")
    past_the_triggers(conn, "UPDATE logs_v2 SET us = date_trunc('second', us) WHERE id = 4")
    assert [(f.key[0][1], f.expected, f.found) for f in found(conn, "contents")] == [
        ("3", "2024-01-01 00:00:00.123456", "2024-01-01 00:00:00.123"),
        ("4", "1700000000123456", "1700000000000000"),
    ]


def test_a_missing_row_and_an_extra_row_are_found_though_the_counts_agree(
    shop: Connection,
) -> None:
    past_the_triggers(
        shop, "UPDATE order_line_items_v2 SET line_item_id = 5000 WHERE line_item_id = 17"
    )
    assert check(shop, "counts").status is Status.HOLDS
    assert [(f.kind, f.key) for f in found(shop, "contents")] == [
        ("missing", (("id", "17"),)),
        ("extra", (("id", "5000"),)),
    ]


def test_a_row_lost_or_in_excess_shows_in_the_counts_too(shop: Connection) -> None:
    past_the_triggers(shop, "DELETE FROM order_line_items_v2 WHERE line_item_id IN (3, 5)")
    (finding,) = found(shop, "counts")
    assert (finding.expected, finding.found) == ("200", "198")
    past_the_triggers(shop, "DELETE FROM order_line_items__retired WHERE id IN (3, 5, 6)")
    assert [f.kind for f in found(shop, "contents")] == ["extra"]
    (finding,) = found(shop, "counts")
    assert (finding.expected, finding.found) == ("197", "198")


def test_totals_are_exact_however_few_rows_are_shown(shop: Connection) -> None:
    past_the_triggers(
        shop,
        "UPDATE order_line_items_v2 SET quantity = 77 WHERE line_item_id > 150",
        "UPDATE order_line_items_v2 SET note = 'x' WHERE line_item_id > 190",
        "DELETE FROM order_line_items_v2 WHERE line_item_id < 8",
    )
    for limit, keys in ((0, []), (3, ["1", "2", "3"])):
        result = check(shop, "contents", limit)
        assert [f.key[0][1] for f in result.findings] == keys
        assert result.total == 57
        numbers = dict(result.numbers)
        assert (numbers["missing"], numbers["extra"], numbers["changed"]) == (7, 0, 50)
        assert (numbers["changed qty"], numbers["changed note"]) == (50, 10)


def test_equal_numbers_and_documents_written_differently_are_different(conn: Connection) -> None:
    conn.execute(
        """
        CREATE TABLE t (id integer PRIMARY KEY, n numeric, j json, f double precision, c char(5));
        INSERT INTO t SELECT i, 1.5, '{"a": 1}', 0, 'x' FROM generate_series(1, 5) i;
        CREATE TABLE t2 (LIKE t INCLUDING ALL);
        """
    )
    columns = [rules.Column(name, name) for name in ("id", "n", "j", "f", "c")]
    journey.copied(conn, journey.mapping_of(conn, "t", "t2", *columns))
    past_the_triggers(conn, "UPDATE t2 SET n = 1.50 WHERE id = 1")
    past_the_triggers(conn, """UPDATE t2 SET j = '{"a":1}' WHERE id = 2""")
    past_the_triggers(conn, "UPDATE t2 SET f = '-0' WHERE id = 3")
    assert [f.message.split(":")[0] for f in found(conn, "contents")] == ["n", "j", "f"]


def test_a_value_that_the_view_cannot_read_is_a_fault_and_no_crash(shop: Connection) -> None:
    shop.execute("ALTER TABLE order_line_items_v2 DROP CONSTRAINT order_line_items_v2_status_check")
    past_the_triggers(shop, "UPDATE order_line_items_v2 SET status = 'lost' WHERE line_item_id = 4")
    (finding,) = found(shop, "contents")
    assert "lost" in finding.message
    assert "23514" in finding.message


def test_columns_swapped_in_the_view_are_found_by_every_check_that_looks_at_values(
    shop: Connection,
) -> None:
    (stored,) = (s.mapping for s in state.load_all(shop))
    query = view.select(stored)
    swapped = query.replace('t."quantity" AS "qty"', 't."position" AS "qty"').replace(
        't."position" AS "line_no"', 't."quantity" AS "line_no"'
    )
    assert swapped != query
    shop.execute(f"CREATE OR REPLACE VIEW order_line_items AS {swapped}")
    assert {f.message.split(":")[0] for f in found(shop, "contents")} == {"line_no", "qty"}
    assert [f.kind for f in found(shop, "structure")] == ["view"]
    assert found(shop, "probes")


# -- structure --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "named"),
    [
        ("ALTER TABLE order_line_items_v2 DISABLE TRIGGER USER", "trigger", "disabled"),
        (
            'ALTER TABLE order_line_items_v2 ENABLE REPLICA TRIGGER "00_compat_reverse"',
            "trigger",
            "replicas only",
        ),
        ("DROP TRIGGER compat_update ON order_line_items", "trigger", "missing"),
        (
            'DROP TRIGGER "00_compat_reverse_truncate" ON order_line_items_v2',
            "trigger",
            "truncate trigger",
        ),
        (
            "CREATE TRIGGER old AFTER INSERT OR UPDATE OR DELETE ON order_line_items__retired "
            "FOR EACH ROW EXECUTE FUNCTION compat.order_line_items__sync()",
            "trigger",
            "should not be there",
        ),
        ("ALTER VIEW order_line_items ALTER qty DROP DEFAULT", "default", "qty"),
        ("ALTER VIEW order_line_items ALTER qty SET DEFAULT 2", "default", "qty"),
        ("REVOKE SELECT ON order_line_items FROM reader_{db}", "grant", "SELECT to reader_{db}"),
        ("GRANT DELETE ON order_line_items TO reader_{db}", "grant", "in excess"),
        ("REVOKE UPDATE (qty) ON order_line_items FROM reader_{db}", "grant", "UPDATE"),
        ("COMMENT ON VIEW order_line_items IS 'other'", "comment", "other"),
        ("COMMENT ON COLUMN order_line_items.price IS NULL", "comment", "as text"),
        ("ALTER VIEW order_line_items OWNER TO reader_{db}", "owner", "reader_{db}"),
        ("ALTER SEQUENCE order_line_items_id_seq OWNED BY NONE", "sequence", "id_seq"),
        (
            "ALTER FUNCTION compat.order_line_items__update() SECURITY INVOKER",
            "function",
            "SECURITY DEFINER",
        ),
        ("ALTER FUNCTION compat.order_line_items__update() RESET ALL", "function", "search_path"),
        ("ALTER TABLE order_line_items_v2 ALTER note TYPE varchar(300)", "error", "note"),
        ("ALTER TABLE order_line_items_v2 ALTER created_at DROP NOT NULL", "table", "nullable"),
        (
            "ALTER TABLE order_line_items_v2 DROP CONSTRAINT order_line_items_v2_status_check",
            "constraint",
            "status_check",
        ),
        ("ALTER TABLE order_line_items__retired ADD COLUMN more text", "table", "more"),
        (
            "UPDATE compat.mapping SET document = "
            "replace(document::text, '\"pending\"', '\"open\"')::json",
            "fingerprint",
            "changed by hand",
        ),
        ("DROP VIEW order_line_items CASCADE", "relation", "does not exist"),
        (
            "ALTER TABLE order_line_items_v2 ALTER currency TYPE varchar(3)",
            "table",
            "type was character(3), is character varying(3)",
        ),
        ("ALTER TABLE order_line_items__retired ALTER qty DROP DEFAULT", "table", "default was 1"),
        (
            'ALTER TABLE order_line_items__retired DISABLE TRIGGER "00_compat_late_writes"',
            "trigger",
            "is disabled",
        ),
        (
            'DROP TRIGGER "00_compat_late_truncate" ON order_line_items__retired',
            "trigger",
            "is missing",
        ),
        (
            "CREATE OR REPLACE FUNCTION compat.is_own_change(version xid) RETURNS boolean "
            "LANGUAGE plpgsql AS 'BEGIN RETURN true; END'",
            "function",
            "compat.is_own_change was edited by hand:\n--- mapping\n+++ database",
        ),
    ],
)
def test_what_was_changed_in_the_catalogue_by_hand_is_named(
    conn: Connection, fault: str, kind: str, named: str
) -> None:
    mapping = journey.shop_mapping(conn)
    database = conn.info.dbname
    reader = f"reader_{database}"
    conn.execute(f"CREATE ROLE {reader}")
    try:
        conn.execute(f"GRANT SELECT ON order_line_items TO {reader}")
        conn.execute(f"GRANT UPDATE (qty) ON order_line_items TO {reader}")
        journey.copied(conn, mapping)
        journey.cut_over(conn, mapping)
        assert check(conn, "structure").status is Status.HOLDS
        statement = fault.format(db=database)
        if kind == "error":  # PostgreSQL itself protects what a view reads
            with pytest.raises(psycopg.errors.FeatureNotSupported):
                conn.execute(statement)
            return
        conn.execute(statement)
        findings = found(conn, "structure")
        assert kind in {finding.kind for finding in findings}
        assert any(named.format(db=database) in f.message for f in findings), findings
    finally:
        conn.execute(f"REASSIGN OWNED BY {reader} TO CURRENT_USER")
        conn.execute(f"DROP OWNED BY {reader}")
        conn.execute(f"DROP ROLE {reader}")


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_a_guard_against_lost_updates_that_was_taken_out_is_shown_as_a_difference(
    shop: Connection, operation: str
) -> None:
    name = f"compat.order_line_items__{operation}()"
    row = shop.execute(f"SELECT pg_get_functiondef('{name}'::regprocedure)").fetchone()
    assert row is not None
    lines = row[0].splitlines()
    guards = [n for n, line in enumerate(lines) if "AND ROW(" in line]
    assert guards  # an update has two: with and without its converted columns
    for n in guards:
        lines[n] = ";" if lines[n].rstrip().endswith(";") else ""
    shop.execute("\n".join(lines))
    (finding,) = found(shop, "structure")
    assert finding.kind == "function"
    assert f"order_line_items__{operation}" in finding.message
    assert "-      AND ROW(" in finding.message
    assert verify.run(shop, ["structure", "counts"]).exit_code == 1


def test_an_index_that_the_view_cannot_use_any_more_is_noted(conn: Connection) -> None:
    conn.execute(journey.SHOP)
    conn.execute("CREATE INDEX by_status ON order_line_items (status, qty)")
    mapping = journey.reflected_shop_mapping(conn)
    journey.copied(conn, mapping)
    journey.cut_over(conn, mapping)
    lost = "finds rows by status through the view, as by_status did"
    result = check(conn, "structure")
    assert result.status is Status.HOLDS
    assert [lost in note for note in result.notes] == [True]
    (read,) = (lens.read(TARGET) for lens in mapping.lenses if lens.legacy.name == "status")
    expression = read.replace('t."', '"')
    conn.execute(f"CREATE INDEX ON order_line_items_v2 (({expression}))")
    assert check(conn, "structure").notes == ()


# -- probes -----------------------------------------------------------------------------------


def edit(conn: Connection, operation: str, old: str, new: str) -> None:
    name = f"compat.order_line_items__{operation}()"
    row = conn.execute(f"SELECT pg_get_functiondef('{name}'::regprocedure)").fetchone()
    assert row is not None
    assert old in row[0], row[0]
    conn.execute(row[0].replace(old, new))


@pytest.mark.parametrize(
    ("operation", "old", "new", "kind"),
    [
        ("insert", "RETURN NEW;", "NEW.qty := 7; RETURN NEW;", "returned"),
        ("update", "RETURN NEW;", "RETURN OLD;", "returned"),
        ("delete", "RETURN OLD;", "RETURN NULL;", "row count"),
        ("insert", 'NEW."note"', 'btrim(NEW."note")', "stored"),
        ("update", 'NEW."note"', "nullif(NEW.\"note\", '')", "stored"),
        ("update", "'pending'", "'shipped'", "stored"),
        ("insert", "PERFORM compat.refuse_null", "-- PERFORM compat.refuse_null", "sqlstate"),
        ("insert", "order_line_items_order_line_key", "a_key", "constraint in an error"),
        ("update", "'order_line_items_qty_check'", "'a_check'", "constraint in an error"),
        ("update", "IF FOUND THEN", "IF NOT FOUND THEN", "row count"),
        (
            "update",
            'CASE WHEN NEW."created" IS DISTINCT FROM OLD."created" THEN',
            "CASE WHEN true THEN",
            "side effect",
        ),
    ],
)
def test_a_function_that_behaves_otherwise_is_found_by_its_behaviour(
    shop: Connection, operation: str, old: str, new: str, kind: str
) -> None:
    edit(shop, operation, old, new)
    findings = found(shop, "probes")
    assert kind in {finding.kind for finding in findings}
    assert all("order_line_items" in finding.message for finding in findings)


def test_a_default_dropped_from_the_view_is_found_by_an_insert_that_relies_on_it(
    shop: Connection,
) -> None:
    shop.execute("ALTER VIEW order_line_items ALTER status DROP DEFAULT")
    assert "insert with the fewest columns" in {f.subject for f in found(shop, "probes")}


def test_a_target_that_is_stricter_than_the_legacy_table_is_found(shop: Connection) -> None:
    shop.execute("ALTER TABLE order_line_items_v2 ADD CHECK (note <> '')")
    findings = found(shop, "probes")
    assert {f.kind for f in findings} == {"sqlstate"}
    assert {(f.expected, f.found) for f in findings} == {(None, "23514")}


def test_a_foreign_key_that_the_target_lacks_is_found(shop: Connection) -> None:
    shop.execute(
        "ALTER TABLE order_line_items_v2 DROP CONSTRAINT order_line_items_v2_product_id_fkey"
    )
    shop.execute("ALTER TABLE order_line_items_v2 DISABLE TRIGGER USER")  # or reverse sync objects
    findings = [f for f in found(shop, "probes") if f.kind != "synced"]
    assert [(f.subject, f.expected, f.found) for f in findings] == [
        ("update product_id, against order_line_items_product_id_fkey", "23503", None)
    ]


def test_a_sync_that_was_disabled_is_found_by_what_it_does_not_do(shop: Connection) -> None:
    shop.execute("ALTER TABLE order_line_items_v2 DISABLE TRIGGER USER")
    findings = found(shop, "probes")
    assert {finding.kind for finding in findings} == {"synced"}
    assert "delete of one row" in {finding.subject for finding in findings}


def test_a_sync_to_the_target_that_was_edited_is_found_before_the_cutover(conn: Connection) -> None:
    journey.copied(conn, journey.shop_mapping(conn))
    assert check(conn, "probes").status is Status.HOLDS
    edit(conn, "sync", "'reserved'", "'shipped'")
    assert {finding.kind for finding in found(conn, "probes")} == {"synced"}


def test_a_check_that_neither_view_nor_target_has_is_found(shop: Connection) -> None:
    shop.execute(
        "ALTER TABLE order_line_items_v2 DROP CONSTRAINT order_line_items_v2_quantity_check"
    )
    shop.execute("ALTER TABLE order_line_items_v2 DISABLE TRIGGER USER")
    assert "sqlstate" not in {finding.kind for finding in found(shop, "probes")}
    for operation in ("insert", "update"):  # the view itself looks at the legacy table's
        edit(shop, operation, "IF NOT ((qty > 0))", "IF false")
    assert ("23514", None) in {(f.expected, f.found) for f in found(shop, "probes")}


def test_a_row_that_others_refer_to_and_that_can_be_deleted_nevertheless_is_found(
    shop: Connection,
) -> None:
    row = shop.execute(
        "SELECT format('ALTER TABLE order_line_returns DROP CONSTRAINT %I', conname) "
        "FROM pg_constraint WHERE contype = 'f' AND confrelid = 'order_line_items_v2'::regclass"
    ).fetchone()
    assert row is not None
    shop.execute(row[0])
    shop.execute("ALTER TABLE order_line_items_v2 DISABLE TRIGGER USER")
    findings = [f for f in found(shop, "probes") if f.kind != "synced"]
    assert [(f.expected, f.found) for f in findings] == [("23503", None)]
    assert "order_line_returns" in findings[0].subject


def test_a_copy_that_is_not_finished_does_not_hold_and_says_what_to_do(conn: Connection) -> None:
    journey.expand(conn, journey.shop_mapping(conn))
    report = verify.run(conn)
    assert [(r.check, r.status.value) for r in report.results] == [
        ("structure", "holds"),
        ("counts", "does not hold"),
        ("contents", "does not hold"),
        ("integrity", "holds"),
        ("losses", "holds"),
        ("probes", "not run"),
        ("concurrency", "holds"),
    ]
    assert report.exit_code == 1
    for result in report.results:
        is_told = "compat copy order_line_items --execute" in result.summary
        assert is_told is (result.status is not Status.HOLDS)
