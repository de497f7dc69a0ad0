"""The form `reversed`: clients keep their table, and v2 writes through a view over it.

What the legacy side keeps is in test_fidelity, the laws of its rules in test_laws, 8 connections at
once in test_concurrency, its verification in tests/verify/test_good_migrations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from psycopg import errors

import verify
from compat import rules
from compat.errors import MappingError, StateError
from compat.fidelity import behaviours_of
from compat.mapping import Fill, Mapping
from compat.run import health, indexes
from compat.state import load
from compat.tables import Column
from tests.compat.migrations import (
    LINES_RULES,
    Connection,
    Migration,
    lines,
    one,
    outcome,
    uninstalled,
    value,
)

BORN = (
    "INSERT INTO lines_v2 (order_id, position, quantity, unit_price, state, created_at)"
    " VALUES (90, 1, 2, 3.5, 'done', to_timestamp(5.25))"
)


def reversed_lines(conn: Connection, **options: Any) -> Migration:
    return lines(conn, form="reversed", **options)


@pytest.fixture
def cut_over(conn: Connection) -> Migration:
    migration = reversed_lines(conn)
    conn.execute(
        "INSERT INTO lines (order_id, price, status)"
        " SELECT i, '1.5', 1 FROM generate_series(1, 5) i"
    )
    return migration.expand().copy(2).cutover()


def v2(conn: Connection, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    return conn.execute(f"SELECT {columns} FROM lines_v2 WHERE {where} ORDER BY line_id").fetchall()


# -- both sides write --------------------------------------------------------------------------


def test_v2_writes_through_its_view_and_legacy_clients_see_it(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute("UPDATE lines_v2 SET state = 'done', unit_price = 7 WHERE line_id = 1")
    assert value(conn, f"{BORN} RETURNING line_id") == 6
    assert conn.execute(
        "SELECT id, price, status, created, deleted FROM lines WHERE id IN (1, 6) ORDER BY id"
    ).fetchall() == [(1, "7.00", 3, 1700000000, False), (6, "3.50", 3, 5, False)]
    conn.execute("DELETE FROM lines_v2 WHERE line_id < 6")
    assert value(conn, "SELECT array_agg(id) FROM lines") == [6]


def test_v2_sees_what_legacy_clients_write(conn: Connection, cut_over: Migration) -> None:
    conn.execute("UPDATE lines SET status = 2, price = '9.5', qty = 4 WHERE id = 1")
    conn.execute("INSERT INTO lines (order_id, deleted) VALUES (70, true)")
    found = v2(
        conn, "state, unit_price::text, unit_price_text, quantity, deleted_at IS NULL, currency"
    )
    assert found[0] == ("claimed", "9.50", "9.5", 4, True, "EUR")
    assert found[5] == ("free", "0.00", None, 1, False, "EUR")
    conn.execute("TRUNCATE lines")
    assert v2(conn, "1") == []


def test_a_null_that_v2_gives_for_a_key_that_is_converted_draws_one_as_the_plan_says(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id serial PRIMARY KEY); CREATE TABLE new (key bigint PRIMARY KEY)"
    )
    found = [rules.Cast("id", "key")]
    migration = Migration.between(conn, "old", "new", found, form="reversed").expand().cutover()
    assert outcome(conn, "INSERT INTO new VALUES (NULL) RETURNING key") == ("done", 1, [(1,)])
    (told,) = (item for item in behaviours_of(migration.mapping) if "NULL given" in item.behaviour)
    assert (told.verdict, told.note.split(":")[0]) == ("not possible", "key")
    plain = reversed_lines(conn).mapping
    assert not any("NULL given" in item.behaviour for item in behaviours_of(plain))
    conn.execute("SELECT compat.build_deferred_indexes('old')")  # as the command copy does
    (report,) = verify.run(conn, ["probes"]).results
    assert report.status is verify.Status.HOLDS, report.findings
    assert "NULL given for key draws a number, as the plan says" in report.notes


def test_what_only_v2_can_tell_survives_what_legacy_clients_do(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute(
        "UPDATE lines_v2 SET created_at = created_at + interval '0.25 s', currency = 'USD'"
    )
    conn.execute("UPDATE lines SET created = created, qty = 4, status = 2 WHERE id = 1")
    seconds = "extract(epoch FROM created_at)::text, currency"
    assert v2(conn, seconds, "line_id = 1") == [("1700000000.250000", "USD")]


def test_v2_has_its_defaults_and_its_not_null_in_its_own_words(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute(BORN)
    assert v2(conn, "currency", "order_id = 90") == [("EUR",)]
    for statement, column in (
        ("UPDATE lines_v2 SET state = NULL", "state"),
        (BORN.replace("'done'", "NULL"), "state"),
        ("UPDATE lines_v2 SET currency = NULL", "currency"),
    ):
        with pytest.raises(errors.NotNullViolation) as caught:
            conn.execute(statement)
        diag = caught.value.diag
        assert (diag.table_name, diag.column_name) == ("lines_v2", column)
    without_position = BORN.replace(", position", "").replace("90, 1,", "90,")
    assert outcome(conn, without_position) == ("failed", "23502")


def test_upserts_of_v2_find_its_keys(conn: Connection, cut_over: Migration) -> None:
    upsert = (
        BORN.replace("(90, 1,", "(1, 1,")
        + " ON CONFLICT (order_id, position) DO UPDATE SET state = EXCLUDED.state,"
        " quantity = lines_v2.quantity + EXCLUDED.quantity RETURNING line_id, state, quantity"
    )
    assert one(conn, upsert) == (1, "done", 3)
    assert one(conn, "SELECT status, qty FROM lines WHERE id = 1") == (3, 3)


def test_an_insert_of_both_shapes_must_not_contradict_itself(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute("CREATE TEMPORARY TABLE saved AS SELECT * FROM lines")
    conn.execute("TRUNCATE lines; INSERT INTO lines SELECT * FROM saved")
    assert len(v2(conn, "*")) == 5
    with pytest.raises(errors.CheckViolation, match="status = '2' contradicts state = 'free'"):
        conn.execute("INSERT INTO lines (order_id, status, state) VALUES (80, 2, 'free')")


def test_an_insert_without_a_list_of_columns_is_what_it_was(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute("INSERT INTO lines VALUES (900, 93, 1, 2, '1', 3, 5, true, NULL)")
    assert v2(conn, "state, quantity", "line_id = 900") == [("done", 2)]


def test_the_legacy_tables_own_triggers_have_the_last_word(conn: Connection) -> None:
    reversed_lines(conn)
    conn.execute(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " NEW.created := 9; IF NEW.status = 2 THEN NEW.status := 3; END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON lines"
        " FOR EACH ROW EXECUTE FUNCTION touch()"
    )
    Migration.between(conn, "lines", "lines_v2", LINES_RULES, form="reversed").expand().cutover()
    conn.execute("INSERT INTO lines (order_id, status) VALUES (1, 2)")
    conn.execute("UPDATE lines_v2 SET quantity = 7, state = 'claimed'")
    assert one(conn, "SELECT status, created, qty FROM lines") == (3, 9, 7)
    assert v2(conn, "state, extract(epoch FROM created_at)::int") == [("done", 9)]


def test_fills_constants_keys_of_their_own_and_what_is_only_read(conn: Connection) -> None:
    conn.execute(
        "CREATE TABLE old (id serial PRIMARY KEY, n integer NOT NULL, tag text DEFAULT 'mine',"
        " twice integer GENERATED ALWAYS AS (n * 2) STORED);"
        "CREATE TABLE new (key bigint NOT NULL UNIQUE, n bigint NOT NULL, title text NOT NULL,"
        " id uuid PRIMARY KEY DEFAULT gen_random_uuid())"
    )
    migration = Migration.between(
        conn,
        "old",
        "new",
        [
            rules.Cast("id", "key"),
            rules.Cast("n", "n"),
            rules.Constant("tag", "gone"),
            rules.Expression("twice", "n * 2", ("n",), lossless=True),
        ],
        fills=(Fill("title", "'number ' || n || coalesce(tag, '')"),),
        accept=("tag",),
        form="reversed",
    )
    conn.execute("INSERT INTO old (n) VALUES (7)")
    migration.expand().copy()
    indexes.build(conn, migration.mapping)
    migration.cutover()
    conn.execute("INSERT INTO old (n, tag) VALUES (8, NULL), (9, DEFAULT)")
    conn.execute("INSERT INTO new (n, title) VALUES (10, 'of v2')")
    assert conn.execute("SELECT key, title FROM new ORDER BY key").fetchall() == [
        (1, "number 7mine"),
        (2, "number 8"),
        (3, "number 9mine"),
        (4, "of v2"),
    ]
    assert one(conn, "SELECT id, n, tag, twice FROM old ORDER BY id DESC LIMIT 1") == (
        4,
        10,
        "gone",
        20,
    )
    same = "INSERT INTO new (id, n, title) SELECT id, 1, 'x' FROM new ON CONFLICT (id) DO NOTHING"
    assert outcome(conn, same) == ("done", 0, None)


# -- its coming and going ----------------------------------------------------------------------


def columns_of(conn: Connection, table: str) -> list[str]:
    query = (
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return [name for (name,) in conn.execute(query, [table]).fetchall()]


def test_expand_and_unexpand_leave_the_legacy_table_as_it_was(conn: Connection) -> None:
    migration = reversed_lines(conn)
    conn.execute("INSERT INTO lines (order_id, price) VALUES (1, '1.5')")
    plain, rows = columns_of(conn, "lines"), migration.legacy_rows()
    migration.expand()
    added = columns_of(conn, "lines")[len(plain) :]
    assert added[0] == "unit_price"
    assert added[-1] == "compat_via_view"
    migration.copy().cutover()
    conn.execute("UPDATE lines_v2 SET state = 'done'")
    migration.uncutover().unexpand()
    assert columns_of(conn, "lines") == plain
    assert migration.legacy_rows() == [(*rows[0][:5], 3, *rows[0][6:])]
    assert uninstalled(conn)
    assert (
        value(conn, "SELECT count(*) FROM pg_class WHERE relname ~ '__(bridge|compat|aside)'") == 0
    )


def test_the_view_wears_the_looks_of_the_target_and_gives_them_back(
    conn: Connection, role: Any
) -> None:
    reader = role("reader")
    migration = reversed_lines(conn)
    conn.execute(f"GRANT SELECT ON lines_v2 TO {reader}; COMMENT ON COLUMN lines_v2.state IS 's'")
    migration.expand().copy().cutover()
    conn.execute(f"GRANT UPDATE (state) ON lines_v2 TO {reader}")
    conn.execute(f"SET ROLE {reader}")
    assert outcome(conn, "UPDATE lines_v2 SET state = 'done'")[0] == "done"
    assert outcome(conn, "SELECT * FROM lines") == ("failed", "42501")
    conn.execute("RESET ROLE")
    migration.uncutover()
    held = "SELECT has_column_privilege(%s, 'lines_v2', 'state', 'UPDATE')"
    assert value(conn, held, [reader.strip('"')]) is True
    assert value(conn, "SELECT col_description('lines_v2'::regclass, 7)") == "s"


def test_a_missing_trigger_is_told(conn: Connection, cut_over: Migration) -> None:
    assert health.problems(conn, load(conn, "lines")) == ()
    conn.execute('DROP TRIGGER "00_compat_bridge_update_2" ON lines')
    assert any(
        "bridge_update_2" in problem for problem in health.problems(conn, load(conn, "lines"))
    )


def test_a_contract_is_refused_and_says_what_to_do(conn: Connection, cut_over: Migration) -> None:
    with pytest.raises(StateError, match="holds the rows") as caught:
        cut_over.contract()
    assert "compat switch lines --to instead_of" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("INSERT INTO lines_v2 SELECT 1, 1, 1, 1, 1, '1', 'free', now()", "not empty"),
        ("CREATE TABLE parts (line integer REFERENCES lines_v2)", "foreign key"),
        ("CREATE VIEW few AS SELECT line_id FROM lines_v2", "few"),
    ],
)
def test_a_target_that_somebody_uses_already_is_refused(
    conn: Connection, statement: str, message: str
) -> None:
    migration = reversed_lines(conn)
    conn.execute(statement)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match=message):
        migration.expand()


def test_a_mapping_says_why_it_cannot_be_reversed(conn: Connection) -> None:
    mapping = reversed_lines(conn).mapping
    generated = replace(
        mapping.target,
        columns=(*mapping.target.columns, Column("total", "integer", generated="(quantity * 2)")),
    )
    with pytest.raises(MappingError, match="total: a view has no column that is GENERATED"):
        replace(mapping, target=generated)
    assert Mapping.from_json(mapping.to_json()) == mapping


def test_rows_that_the_copy_has_not_reached_are_filled_from_what_they_are_then(
    conn: Connection,
) -> None:
    migration = reversed_lines(conn)
    conn.execute("INSERT INTO lines (order_id, status) SELECT i, 1 FROM generate_series(1, 4) i")
    migration.expand()
    conn.execute("UPDATE lines SET status = 2 WHERE id < 3; DELETE FROM lines WHERE id = 1")
    conn.execute("INSERT INTO lines (order_id, status) VALUES (9, 3)")
    migration.copy(2).cutover()
    assert v2(conn, "line_id, state") == [(2, "claimed"), (3, "free"), (4, "free"), (5, "done")]
