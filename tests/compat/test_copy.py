"""The statements of the copy, one connection at a time: ranges of any key, repetition, the sweep.

What happens beside writers stands in test_concurrency.py.
"""

from __future__ import annotations

import pytest
from psycopg import errors

from compat import rules
from compat.compile import copy, install
from tests.compat.migrations import (
    Connection,
    Migration,
    copy_batches,
    lines,
    one,
    outcome,
    sweep,
    value,
)

KEYS = {
    "text": "chr(97 + n % 26) || ' ,\"{}\\' || n",
    'text COLLATE "C"': "CASE n % 3 WHEN 0 THEN 'É' WHEN 1 THEN 'e' ELSE 'Z' END || n",
    "varchar(9)": "n::text",
    "char(5)": "left(n::text || '  ', 5)",
    "bigint": "n::bigint * 4611686018427387 * (-1) ^ (n % 2)",
    "numeric(12,3)": "n / 8.0",
    "uuid": "md5(n::text)::uuid",
    "date": "'0001-12-25'::date + n",
    "timestamptz": "'2020-01-01'::timestamptz + n * interval '1 microsecond'",
    "timestamp(3)": "'1969-12-31 23:59:59.990'::timestamp + n * interval '1 millisecond'",
    "boolean": "n = 7",
    "bytea": "int4send(n * 7919)",
    "double precision": "n / 7.0",
    "inet": "'10.0.0.0'::inet + n",
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_walk_over_keys_of_any_type(conn: Connection, kind: str, size: int) -> None:
    count = 2 if kind == "boolean" else 40
    conn.execute(
        f"CREATE TABLE old (k {kind} PRIMARY KEY, v integer);"
        f"CREATE TABLE new (key {kind} PRIMARY KEY, w integer);"
        f"INSERT INTO old SELECT {KEYS[kind]}, n FROM generate_series(7, {6 + count}) n"
    )
    found = [rules.Column("k", "key"), rules.Column("v", "w")]
    migration = Migration.between(conn, "old", "new", found).expand()
    for zone in ("UTC", "Asia/Kathmandu"):
        conn.execute(f"SET timezone = '{zone}'")
        assert copy_batches(conn, migration.mapping, size) == (
            (count, count) if zone == "UTC" else (count, 0)
        )
    assert migration.standby_rows() == migration.legacy_rows()


def test_batches_walk_over_compound_keys_whose_order_differs_in_the_target(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (a integer, b text, c date, v integer, PRIMARY KEY (b, a, c));"
        "CREATE TABLE new (z date, y bigint, x text, w integer, PRIMARY KEY (z, y, x));"
        "INSERT INTO old SELECT n % 5, chr(97 + n % 3), '2020-01-01'::date + n % 7, n"
        " FROM generate_series(1, 105) n"
    )
    found: list[rules.AnyRule] = [
        rules.Cast("a", "y"),
        rules.Column("b", "x"),
        rules.Column("c", "z"),
        rules.Column("v", "w"),
    ]
    migration = Migration.between(conn, "old", "new", found).expand()
    assert migration.mapping.legacy.row_key == ("b", "a", "c")
    assert copy_batches(conn, migration.mapping, 8) == (105, 105)
    assert migration.standby_rows() == migration.legacy_rows()
    migration.copy().cutover()
    assert conn.execute("UPDATE old SET c = c + 1000, a = a - 9 WHERE b = 'a'").rowcount == 35
    assert conn.execute("DELETE FROM old WHERE b = 'b'").rowcount == 35
    assert migration.retired_rows() == migration.legacy_rows()


def test_an_empty_table_has_no_batch(conn: Connection) -> None:
    migration = lines(conn).expand()
    assert copy_batches(conn, migration.mapping, 10) == (0, 0)
    assert value(conn, copy.missing(migration.mapping)) == 0


def test_a_batch_that_is_repeated_after_an_interruption_copies_nothing_twice(
    conn: Connection,
) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 25)")
    migration.expand()
    conn.execute(copy.allow_writes())
    bounds = {"after": None, "upto": None, "size": 10}
    assert one(conn, copy.batch(migration.mapping), bounds) == (10, 10, ["10"])
    assert one(conn, copy.batch(migration.mapping), bounds) == (10, 0, ["10"])
    assert copy_batches(conn, migration.mapping, 10) == (25, 15)


def test_a_row_that_another_constraint_of_the_target_refuses_is_an_error_and_not_left_out(
    conn: Connection,
) -> None:
    migration = lines(conn)
    conn.execute("ALTER TABLE lines_v2 ADD UNIQUE (remark)")
    conn.execute("INSERT INTO lines (order_id, note) VALUES (1, 'same'), (2, 'same')")
    migration.expand()
    with pytest.raises(errors.UniqueViolation):
        copy_batches(conn, migration.mapping, 10)
    with pytest.raises(errors.UniqueViolation):
        sweep(conn, migration.mapping, 10)


def test_the_sweep_brings_a_limited_number_of_missing_rows_at_a_time(conn: Connection) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 25)")
    migration.expand()
    conn.execute(copy.allow_writes())
    assert one(conn, copy.sweep(migration.mapping), {"size": 10})[:2] == (10, 10)
    sweep(conn, migration.mapping, 10)
    assert migration.standby_rows() == migration.legacy_rows()


def test_target_rows_of_unknown_origin_are_named_and_purged(conn: Connection) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT generate_series(1, 3)")
    migration.expand().copy()
    conn.execute("UPDATE lines_v2 SET line_id = line_id + 100 WHERE line_id < 3")
    assert conn.execute(copy.foreign(migration.mapping)).fetchall() == [(101,), (102,)]
    assert value(conn, copy.missing(migration.mapping)) == 2
    assert conn.execute(copy.purge(migration.mapping)).rowcount == 2
    sweep(conn, migration.mapping, 10)
    assert migration.standby_rows() == migration.legacy_rows()


def test_values_that_would_be_refused_or_lose_something_are_counted_beforehand(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, a text, b integer, c boolean, d text, e text);"
        "CREATE TABLE new (id integer PRIMARY KEY, a numeric(9,2), b text, c date,"
        " d text NOT NULL);"
        "INSERT INTO old VALUES (1, '1.50', 1, true, 'd', 'e'), (2, '1.5', 1, NULL, 'd', 'x'),"
        " (3, 'three', 3, false, NULL, NULL), (4, NULL, NULL, false, 'd', 'e'),"
        " (5, '1e99', 3, false, 'd', 'e')"
    )
    found: list[rules.AnyRule] = [
        rules.Column("id", "id"),
        rules.Cast("a", "a"),
        rules.ValueMap("b", "b", ((1, "one"), (2, "two"))),
        rules.Flag("c", "c"),
        rules.Column("d", "d"),
        rules.Constant("e", "e"),
    ]
    accept = ["a", "c", "e"]
    mapping = Migration.between(conn, "old", "new", found, accept=accept).expand().mapping
    refused = {name: conn.execute(query).fetchall() for name, query in copy.refused(mapping)}
    assert refused == {"a": [("1e99", 1), ("three", 1)], "b": [("3", 2)], "d": [(None, 1)]}
    losses = {name: value(conn, query) for name, query in copy.losses(mapping)}
    assert losses == {"a": 1, "c": 1, "e": 2}


def test_an_attempt_counts_what_target_columns_would_lack_or_raises_what_the_copy_would(
    conn: Connection,
) -> None:
    migration = lines(conn)
    conn.execute(
        "INSERT INTO lines (order_id, price, note) VALUES (1, '1.5', 'n'), (2, '2.00', NULL)"
    )
    for statement in install.install():
        conn.execute(statement)
    query, lacks = copy.attempt(migration.mapping)
    counts = dict(zip(lacks, one(conn, query), strict=False))
    assert counts["give no value for public.lines_v2.unit_price"] == 0
    conn.execute("ALTER TABLE lines ALTER price DROP NOT NULL; UPDATE lines SET price = NULL")
    counts = dict(zip(lacks, one(conn, query), strict=False))
    assert counts["give no value for public.lines_v2.unit_price"] == 2
    assert counts["give no value for public.lines_v2.line_id"] == 0
    conn.execute("UPDATE lines SET status = 9")
    with pytest.raises(errors.CheckViolation, match="no counterpart"):
        conn.execute(query)


def test_until_the_cutover_the_target_takes_what_sync_cascades_and_copy_write_and_nothing_else(
    conn: Connection,
) -> None:
    conn.execute("CREATE TABLE orders (id integer PRIMARY KEY); INSERT INTO orders VALUES (1), (2)")
    migration = lines(conn)
    conn.execute(
        "ALTER TABLE lines_v2 ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE"
    )
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    migration.expand().copy()
    conn.execute("INSERT INTO lines (order_id) VALUES (2)")
    conn.execute("SET compat.early_writes = off")
    own = ["UPDATE lines_v2 SET currency = 'USD'", "DELETE FROM lines_v2", "TRUNCATE lines_v2"]
    for again in ("cutover", None):
        for statement in own:
            assert outcome(conn, statement) == ("failed", "55000"), statement
        if again:
            migration.cutover()
            assert outcome(conn, own[0])[:2] == ("done", 2)
            migration.uncutover()
    conn.execute("DELETE FROM orders WHERE id = 1")
    assert [row[0] for row in migration.target_rows()] == [2]
    conn.execute("SET compat.early_writes = on")
    assert outcome(conn, own[0])[:2] == ("done", 1)


@pytest.mark.parametrize("both", [True, False])
def test_a_truncate_that_cascades_to_the_target_passes_if_it_reaches_the_legacy_table_too(
    conn: Connection, both: bool
) -> None:
    conn.execute("CREATE TABLE orders (id integer PRIMARY KEY); INSERT INTO orders VALUES (1)")
    migration = lines(conn)
    conn.execute("ALTER TABLE lines_v2 ADD FOREIGN KEY (order_id) REFERENCES orders")
    if both:
        conn.execute("ALTER TABLE lines ADD FOREIGN KEY (order_id) REFERENCES orders")
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    migration.expand().copy()
    conn.execute("SET compat.early_writes = off")

    found = outcome(conn, "TRUNCATE orders CASCADE")

    assert found[:2] == (("done", -1) if both else ("failed", "55000"))
    assert len(migration.target_rows()) == len(migration.legacy_rows()) == (0 if both else 1)


def test_truncating_one_side_empties_the_other(conn: Connection) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    migration.expand().copy()
    conn.execute("TRUNCATE lines")
    assert migration.target_rows() == []
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    migration.cutover()
    conn.execute("TRUNCATE lines_v2")
    assert migration.retired_rows() == migration.legacy_rows() == []


def test_rows_can_be_loaded_through_the_view_with_copy(conn: Connection) -> None:
    migration = lines(conn).expand().cutover()
    with conn.cursor().copy("COPY lines (order_id, price, deleted) FROM STDIN") as load:
        load.write("1\t01.5\tt\n2\t2.00\tf\n")
    assert [(row[1], row[4], row[7]) for row in migration.legacy_rows()] == [
        (1, "01.5", True),
        (2, "2.00", False),
    ]
    assert migration.retired_rows() == migration.legacy_rows()


def test_returning_shows_what_a_trigger_of_the_targets_own_has_stored(conn: Connection) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, v text);"
        "CREATE TABLE new (id integer PRIMARY KEY, v text);"
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.v = upper(NEW.v); RETURN NEW; END $$;"
        "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON new"
        " FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    found = [rules.Column("id", "id"), rules.Column("v", "v")]
    migration = Migration.between(conn, "old", "new", found, form="instead_of").expand().cutover()
    assert value(conn, "INSERT INTO old VALUES (1, 'a') RETURNING v") == "A"
    assert value(conn, "UPDATE old SET v = 'b' RETURNING v") == "B"
    assert migration.retired_rows() == migration.legacy_rows() == [(1, "B")]
