"""The form `bridged`: what a table does natively, the view does; and both shapes keep in step.

The laws of its rules are in test_laws, 8 connections at once in test_concurrency, its verification
in tests/verify/test_good_migrations.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import errors

from compat import rules
from compat.bridge import bridge_of, in_transition
from compat.errors import MappingError
from compat.mapping import Fill, Mapping
from compat.run import health, steps
from compat.state import load
from compat.tables import Column, Constraint, Table
from tests.compat.migrations import (
    LINES_RULES,
    Connection,
    Migration,
    lines,
    one,
    outcome,
    renamed,
    uninstalled,
    value,
)

WORKERS, PATIENCE = 8, 60


def bridged_lines(conn: Connection, **options: Any) -> Migration:
    return lines(conn, form="bridged", **options)


@pytest.fixture
def cut_over(conn: Connection) -> Migration:
    migration = bridged_lines(conn)
    conn.execute(
        "INSERT INTO lines (order_id, price, status)"
        " SELECT i, '1.5', 1 FROM generate_series(1, 5) i"
    )
    return migration.expand().copy().cutover()


# -- what a table does ----------------------------------------------------------------------------

STATEMENTS = [
    "INSERT INTO {0} (order_id) VALUES (90) RETURNING order_id, line_no, price, status, deleted",
    "INSERT INTO {0} (order_id, status) VALUES (91, DEFAULT), (92, 2) RETURNING status",
    "INSERT INTO {0} VALUES (900, 93, 1, DEFAULT, DEFAULT, 3, DEFAULT, true, NULL) RETURNING *",
    "INSERT INTO {0} (id, order_id, price) VALUES (1, 94, '2')"
    " ON CONFLICT (id) DO UPDATE SET price = EXCLUDED.price RETURNING *",
    "INSERT INTO {0} (order_id, status) VALUES (2, 2)"
    " ON CONFLICT (order_id, line_no) DO UPDATE SET status = EXCLUDED.status, qty = {0}.qty + 1"
    " WHERE {0}.status = 1 RETURNING *",
    "INSERT INTO {0} (order_id) VALUES (2) ON CONFLICT DO NOTHING RETURNING id",
    "INSERT INTO {0} (order_id) VALUES (2), (2)"
    " ON CONFLICT (order_id, line_no) DO UPDATE SET status = 3",
    "INSERT INTO {0} (order_id) VALUES (2) ON CONFLICT (status) DO NOTHING",
    "INSERT INTO {0} (order_id) SELECT order_id + 100 FROM {0} WHERE order_id < 4",
    "UPDATE {0} SET status = status + 1, price = price || '0' WHERE order_id = 3 RETURNING *",
    "UPDATE {0} SET status = 2, deleted = true WHERE status = 1 AND price = '1.5' RETURNING id",
    "UPDATE {0} t SET status = s.v FROM (VALUES (4, 3), (4, 3)) s(k, v) WHERE t.order_id = s.k"
    " RETURNING id, status",
    "UPDATE {0} SET created = NULL",
    "UPDATE {0} SET price = NULL WHERE order_id = 3",
    "INSERT INTO {0} (order_id, status) VALUES (95, NULL)",
    "SELECT id, status FROM {0} WHERE status = 2 ORDER BY id FOR UPDATE SKIP LOCKED",
    "WITH gone AS (DELETE FROM {0} WHERE deleted RETURNING *) SELECT price, status FROM gone",
    "UPDATE {0} SET created = created + 1 WHERE created = 1700000000",
    "DELETE FROM {0} WHERE price = '1.50'",
]


def test_every_statement_gives_what_it_gives_on_a_table(conn: Connection) -> None:
    migration = bridged_lines(conn)
    twin = migration.twin()
    for table in ("lines", twin):
        conn.execute(
            f"INSERT INTO {table} (id, order_id, price, status)"
            " SELECT i, i, '1.5', 1 FROM generate_series(1, 5) i"
        )
    conn.execute("CREATE SEQUENCE again START 1000; SELECT setval('lines_id_seq', 999)")
    conn.execute(f"ALTER TABLE {twin} ALTER id SET DEFAULT nextval('again')")
    migration = replace(migration).expand().copy().cutover()
    for statement in STATEMENTS:
        answers = [outcome(conn, statement.format(name)) for name in ("lines", twin)]
        assert answers[0] == answers[1], statement
        assert migration.legacy_rows() == migration.rows(twin) == migration.retired_rows()


def test_merge_works_where_postgresql_merges_into_views(
    conn: Connection, cut_over: Migration
) -> None:
    merge = (
        "MERGE INTO lines USING (VALUES (1, 2), (77, 3)) s (o, v) ON lines.order_id = s.o"
        " WHEN MATCHED THEN UPDATE SET status = s.v"
        " WHEN NOT MATCHED THEN INSERT (order_id, status) VALUES (s.o, s.v)"
    )
    if conn.info.server_version < 170000:
        assert outcome(conn, merge)[0] == "failed"
        return
    assert outcome(conn, merge)[:2] == ("done", 2)
    states = conn.execute("SELECT order_id, state FROM lines_v2 WHERE order_id IN (1, 77)")
    assert sorted(states.fetchall()) == [(1, "claimed"), (77, "done")]


def test_a_prepared_statement_and_a_select_of_all_columns_survive_the_cutover_and_the_way_back(
    conn: Connection,
) -> None:
    migration = bridged_lines(conn).expand().copy()
    conn.execute("PREPARE all_of AS SELECT * FROM lines ORDER BY id")
    conn.execute(
        "PREPARE up (int, int) AS INSERT INTO lines (order_id, status) VALUES ($1, $2)"
        " ON CONFLICT (order_id, line_no) DO UPDATE SET status = EXCLUDED.status"
    )
    for step in ("cutover", "uncutover", "cutover"):
        for status in (1, 2, 3):
            conn.execute(f"EXECUTE up (1, {status})")
        (row,) = conn.execute("EXECUTE all_of").fetchall()
        assert row[5] == 3
        getattr(migration, step)()
    assert migration.retired_rows() == migration.legacy_rows()


def test_copy_into_the_view_is_refused_as_the_plan_says(
    conn: Connection, cut_over: Migration
) -> None:
    with pytest.raises(errors.WrongObjectType), conn.cursor().copy("COPY lines FROM STDIN"):
        pass


def test_not_null_is_reported_with_the_legacy_table_and_column(
    conn: Connection, cut_over: Migration
) -> None:
    for statement in (
        "UPDATE lines SET status = NULL",
        "INSERT INTO lines (order_id, status) VALUES (1, NULL)",
    ):
        with pytest.raises(errors.NotNullViolation) as caught:
            conn.execute(statement)
        diag = caught.value.diag
        assert (diag.schema_name, diag.table_name, diag.column_name) == (
            "public",
            "lines",
            "status",
        )
        assert diag.message_primary is not None
        assert diag.message_primary.startswith('null value in column "status" of relation "lines"')


def test_a_column_without_legacy_default_gets_none_from_the_target(conn: Connection) -> None:
    conn.execute("CREATE TABLE old (id integer PRIMARY KEY, a text, b json, c text)")
    conn.execute(
        "CREATE TABLE new (key integer PRIMARY KEY, a text DEFAULT 'x', b json DEFAULT '[]',"
        " c text COLLATE \"C\" DEFAULT 'y')"
    )
    found: list[rules.AnyRule] = [
        rules.Column(n, m) for n, m in (("id", "key"), ("a", "a"), ("b", "b"))
    ]
    migration = Migration.between(
        conn, "old", "new", [*found, rules.Cast("c", "c")], form="bridged"
    )
    migration.expand().cutover()
    assert outcome(conn, "INSERT INTO old (id) VALUES (1) RETURNING *")[2] == [
        (1, None, None, None)
    ]
    assert one(conn, "INSERT INTO new (key) VALUES (2) RETURNING a, b, c") == ("x", [], "y")
    assert conn.execute("SELECT a, c FROM old WHERE id = 2").fetchall() == [("x", "y")]


# -- both shapes ----------------------------------------------------------------------------------


def test_v2_writes_its_own_columns_only_and_legacy_clients_see_it(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute("UPDATE lines_v2 SET state = 'done', unit_price = 7 WHERE line_id = 1")
    conn.execute(
        "INSERT INTO lines_v2 VALUES (70, 70, 1, 1, 2, NULL, 'claimed', to_timestamp(5.5), now())"
    )
    assert conn.execute(
        "SELECT id, price, status, created, deleted FROM lines WHERE id IN (1, 70) ORDER BY id"
    ).fetchall() == [(1, "7.00", 3, 1700000000, False), (70, "2.00", 2, 5, True)]
    assert cut_over.retired_rows() == cut_over.legacy_rows()


def test_what_only_v2_can_tell_survives_what_legacy_clients_do(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute("UPDATE lines_v2 SET created_at = created_at + interval '0.25 s'")
    conn.execute("UPDATE lines SET created = created, qty = 4, status = 2 WHERE id = 1")
    found = value(conn, "SELECT extract(epoch FROM created_at) FROM lines_v2 WHERE line_id = 1")
    assert found == Decimal("1700000000.25")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lines_v2 SET status = 2, state = 'done' WHERE line_id = 1",
        "INSERT INTO lines_v2 (line_id, order_id, position, quantity, unit_price, state,"
        " created_at, status) VALUES (80, 80, 1, 1, 1, 'done', now(), 1)",
    ],
)
def test_shapes_that_contradict_each_other_are_refused_by_name_and_value(
    conn: Connection, cut_over: Migration, statement: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=r"status = '\d' contradicts state = 'done'"):
        conn.execute(statement)
    conn.execute(statement.replace("status = 2", "status = 3").replace("now(), 1", "now(), 3"))
    assert cut_over.retired_rows() == cut_over.legacy_rows()


def test_the_targets_own_triggers_have_the_last_word(conn: Connection) -> None:
    migration = bridged_lines(conn)
    conn.execute(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF TG_OP = 'UPDATE' THEN NEW.created_at := timestamptz 'epoch' + interval '9 s'; END IF;"
        " IF NEW.state = 'claimed' THEN NEW.state := 'done'; END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON lines_v2"
        " FOR EACH ROW EXECUTE FUNCTION touch()"
    )
    migration = Migration.between(conn, "lines", "lines_v2", LINES_RULES, form="bridged")
    migration.expand().cutover()
    insert = "INSERT INTO lines (order_id, status) VALUES (1, 2) RETURNING status"
    assert value(conn, insert) == 3
    update = "UPDATE lines SET qty = 2, created = 5 RETURNING status, created, price"
    assert one(conn, update) == (3, 9, "0.00")
    conn.execute("UPDATE lines_v2 SET state = 'claimed'")
    assert value(conn, "SELECT status FROM lines") == 3
    assert migration.retired_rows() == migration.legacy_rows()
    conn.execute("UPDATE lines SET price = '0.5', created = 9")
    assert migration.legacy_rows()[0][4] == "0.5"


def test_fills_and_constants_and_what_is_only_read(conn: Connection) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, n integer NOT NULL, tag text DEFAULT 'mine',"
        " twice integer GENERATED ALWAYS AS (n * 2) STORED)"
    )
    conn.execute(
        "CREATE TABLE new (key integer PRIMARY KEY, n bigint NOT NULL, title text NOT NULL)"
    )
    migration = Migration.between(
        conn,
        "old",
        "new",
        [
            rules.Column("id", "key"),
            rules.Cast("n", "n"),
            rules.Constant("tag", "gone"),
            rules.Expression("twice", "n * 2", ("n",), lossless=True),
        ],
        fills=(Fill("title", "'number ' || n || coalesce(tag, '')"),),
        accept=("tag",),
        form="bridged",
    )
    conn.execute("INSERT INTO old (id, n) VALUES (1, 7)")
    migration.expand().copy().cutover()
    conn.execute("INSERT INTO old (id, n, tag) VALUES (2, 8, NULL), (3, 9, DEFAULT)")
    conn.execute("INSERT INTO new (key, n, title) VALUES (4, 10, 'of v2')")
    assert conn.execute("SELECT key, title FROM new ORDER BY key").fetchall() == [
        (1, "number 7mine"),
        (2, "number 8"),
        (3, "number 9mine"),
        (4, "of v2"),
    ]
    assert migration.legacy_rows() == migration.retired_rows()
    assert migration.legacy_rows()[3] == (4, 10, "gone", 20)
    assert outcome(conn, "INSERT INTO old (id, n, twice) VALUES (5, 1, 2)") == ("failed", "0A000")


# -- its coming and going -------------------------------------------------------------------------


def columns_of(conn: Connection, table: str) -> list[str]:
    query = (
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return [name for (name,) in conn.execute(query, [table]).fetchall()]


def test_the_bridge_comes_last_at_expand_and_goes_at_contract_and_at_unexpand(
    conn: Connection,
) -> None:
    migration = bridged_lines(conn)
    conn.execute("INSERT INTO lines (order_id, price) VALUES (1, '1.5')")
    plain = columns_of(conn, "lines_v2")
    carried = [*plain, "price", "status", "created", "deleted", "compat_via_view"]
    migration.expand().copy()
    assert columns_of(conn, "lines_v2") == carried
    rows = migration.cutover().legacy_rows()
    migration.contract()
    assert columns_of(conn, "lines_v2") == plain
    migration.uncontract()
    assert columns_of(conn, "lines_v2") == carried
    assert migration.legacy_rows() == migration.retired_rows() == rows
    conn.execute("UPDATE lines SET status = 2, created = 3")
    migration.uncutover().unexpand()
    assert migration.rows("lines") == [(1, 1, 1, 1, "1.5", 2, 3, False, None)]
    assert columns_of(conn, "lines_v2") == plain
    assert uninstalled(conn)
    assert value(conn, "SELECT count(*) FROM pg_class WHERE relname ~ '__bridge'") == 0


def test_the_legacy_indexes_over_converted_columns_are_on_the_bridge(conn: Connection) -> None:
    conn.execute(
        'CREATE TABLE old (id integer PRIMARY KEY, "e mail" text UNIQUE, kind text, n integer,'
        " gone boolean NOT NULL DEFAULT false, EXCLUDE (n WITH =),"
        " CONSTRAINT later UNIQUE (kind) DEFERRABLE);"
        'CREATE UNIQUE INDEX ON old (lower("e mail"), kind DESC) WHERE NOT gone;'
        "CREATE INDEX ON old (kind); CREATE INDEX ON old (n);"
        'CREATE TABLE new (key integer PRIMARY KEY, "e mail" varchar(99), sort varchar(9),'
        " n integer, gone_at timestamptz)"
    )
    found: list[rules.AnyRule] = [
        rules.Column("id", "key"),
        rules.Cast("e mail", "e mail"),
        rules.Cast("kind", "sort"),
        rules.Column("n", "n"),
        rules.Flag("gone", "gone_at"),
    ]
    options: dict[str, Any] = {"form": "bridged", "accept": ("e mail", "kind")}
    migration = Migration.between(conn, "old", "new", found, **options).expand().cutover()
    definitions = conn.execute(
        "SELECT regexp_replace(indexdef, '^.* USING ', '') FROM pg_indexes"
        " WHERE tablename = 'new' AND indexname <> 'new_pkey' ORDER BY 1"
    ).fetchall()
    assert definitions == [
        ('btree ("e mail__compat")',),
        ("btree (kind)",),
        ('btree (lower("e mail__compat"), kind DESC) WHERE (NOT gone)',),
    ]
    for _ in range(2):
        conn.execute(
            "INSERT INTO old (id, \"e mail\", kind) VALUES (1, 'A', 'x')"
            ' ON CONFLICT (lower("e mail"), kind) WHERE NOT gone DO UPDATE SET n = 2'
        )
    conn.execute("INSERT INTO old VALUES (2, 'A', 'y') ON CONFLICT (\"e mail\") DO NOTHING")
    assert migration.legacy_rows() == [(1, "A", "x", 2, False)]


def test_a_converted_key_takes_one_number_of_the_sequence_whoever_inserts(
    conn: Connection,
) -> None:
    conn.execute("CREATE TABLE old (id serial PRIMARY KEY, v text)")
    conn.execute("CREATE TABLE new (key bigint PRIMARY KEY, v text)")
    found = (rules.Cast("id", "key"), rules.Column("v", "v"))
    migration = Migration.between(conn, "old", "new", found, form="bridged").expand().cutover()
    legacy, v2 = "INSERT INTO old (v) VALUES ('a') RETURNING id", "INSERT INTO new (v) VALUES ('b')"
    assert [value(conn, s) for s in (legacy, f"{v2} RETURNING key", legacy)] == [1, 2, 3]
    migration.contract()
    assert value(conn, f"{v2} RETURNING key") == 4
    migration.uncontract()
    assert [value(conn, f"{v2} RETURNING key"), value(conn, legacy)] == [5, 6]
    migration.uncutover()
    assert value(conn, legacy) == 7


def test_a_converted_key_is_found_by_its_column_on_the_bridge(conn: Connection) -> None:
    conn.execute("CREATE TABLE old (id serial PRIMARY KEY, v text)")
    conn.execute("CREATE TABLE new (id bigint PRIMARY KEY, v text)")
    conn.execute("INSERT INTO old (v) SELECT 'v' || i FROM generate_series(1, 9) i")
    found: list[rules.AnyRule] = [rules.Cast("id", "id"), rules.Column("v", "v")]
    migration = Migration.between(conn, "old", "new", found, form="bridged").expand().copy()
    conn.execute("UPDATE old SET id = id + 100 WHERE id > 7; DELETE FROM old WHERE id = 1")
    assert migration.standby_rows() == migration.legacy_rows()
    migration.cutover()
    conn.execute("INSERT INTO old (v) VALUES ('more'); UPDATE old SET id = 50 WHERE id = 2")
    conn.execute("INSERT INTO new (v) VALUES ('of v2'); DELETE FROM old WHERE id = 3")
    conn.execute("INSERT INTO old VALUES (4, 'again') ON CONFLICT (id) DO UPDATE SET v = 'again'")
    assert migration.legacy_rows() == migration.retired_rows()
    assert value(conn, "SELECT count(*) FROM new WHERE new.id = id__compat") == 9
    migration.uncutover()
    assert migration.standby_rows() == migration.legacy_rows()


def test_what_postgresql_writes_out_of_the_triggers_makes_them_again(
    conn: Connection, cut_over: Migration
) -> None:
    triggers = (
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger"
        " WHERE tgrelid = 'lines_v2'::regclass AND tgname ~ 'bridge' ORDER BY 1"
    )
    made = conn.execute(triggers).fetchall()
    assert len(made) == 6  # INSERT, NULLs, and one for each converted column
    for name, definition in made:
        conn.execute(f'DROP TRIGGER "{name}" ON lines_v2')
        conn.execute(definition)
    assert conn.execute(triggers).fetchall() == made
    conn.execute("UPDATE lines SET price = '1.50' WHERE id = 1")
    assert value(conn, "SELECT unit_price_text FROM lines_v2 WHERE line_id = 1") is None


ODD = 'Order "Lines"; --', "sélect", "%s $compat$", "x" * 63


def test_odd_names_work(conn: Connection) -> None:
    table, key, one_, long = ODD
    quoted = psycopg.sql.SQL(
        "CREATE TABLE {t} ({k} integer PRIMARY KEY, {a} integer, {b} text NOT NULL DEFAULT '7');"
        "CREATE TABLE {n} ({b} numeric NOT NULL, {a} text, {k} integer PRIMARY KEY)"
    ).format(
        t=psycopg.sql.Identifier(table),
        n=psycopg.sql.Identifier(long),
        k=psycopg.sql.Identifier(key),
        a=psycopg.sql.Identifier(one_),
        b=psycopg.sql.Identifier(long),
    )
    conn.execute(quoted)
    found: list[rules.AnyRule] = [
        rules.Column(key, key),
        rules.Cast(one_, one_),
        rules.Cast(long, long),
    ]
    migration = Migration.between(conn, table, long, found, form="bridged", accept=(long,))
    migration.expand().copy().cutover()
    conn.execute(f"INSERT INTO {migration.mapping.legacy.sql} VALUES (1, 2), (2, NULL)")
    assert migration.legacy_rows() == migration.retired_rows() == [(1, 2, "7"), (2, None, "7")]
    migration.contract().uncontract().uncutover().unexpand()
    assert uninstalled(conn)


def test_a_role_with_rights_on_the_view_alone_needs_none_elsewhere(
    conn: Connection, cut_over: Migration
) -> None:
    conn.execute(
        "DO $$BEGIN IF to_regrole('bridge_client') IS NULL THEN CREATE ROLE bridge_client; END IF;"
        " END$$; GRANT SELECT, INSERT, UPDATE ON lines TO bridge_client;"
        " GRANT USAGE ON SEQUENCE lines_id_seq TO bridge_client; SET ROLE bridge_client"
    )
    conn.execute(
        "INSERT INTO lines (order_id, status) VALUES (1, 2), (60, 2)"
        " ON CONFLICT (order_id, line_no) DO UPDATE SET status = EXCLUDED.status"
    )
    for statement in (
        "SELECT FROM lines_v2",
        'SELECT FROM compat."lines__bridge"',
        'INSERT INTO compat."lines__bridge" (id) VALUES (1)',
        "DELETE FROM lines",
    ):
        assert outcome(conn, statement) == ("failed", "42501"), statement
    conn.execute("RESET ROLE; DROP OWNED BY bridge_client")
    assert value(conn, "SELECT count(*) FROM lines_v2 WHERE state = 'claimed'") == 2


def test_the_state_of_the_bridge_is_told(conn: Connection, cut_over: Migration) -> None:
    stored = load(conn, "lines")
    assert health.problems(conn, stored) == ()
    conn.execute('ALTER TABLE lines_v2 DISABLE TRIGGER "00_compat_bridge_insert"')
    (problem,) = health.problems(conn, stored)
    assert "00_compat_bridge_insert" in problem
    conn.execute('ALTER TABLE lines_v2 ENABLE TRIGGER "00_compat_bridge_insert"')
    cut_over.uncutover()
    steps.check_tables(conn, stored.mapping)


# -- eight connections ----------------------------------------------------------------------------


@pytest.fixture
def connect(url: str) -> Iterator[Callable[[], Connection]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(psycopg.connect(url, autocommit=True))


def test_no_upsert_increment_or_v2_write_of_a_converted_column_is_lost(
    conn: Connection, connect: Callable[[], Connection]
) -> None:
    conn.execute("CREATE TABLE old (id serial PRIMARY KEY, k text UNIQUE, n integer DEFAULT 0)")
    conn.execute("CREATE TABLE new (key integer PRIMARY KEY, k varchar(9), n text, w bigint)")
    found: list[rules.AnyRule] = [
        rules.Column("id", "key"),
        rules.Cast("k", "k"),
        rules.Cast("n", "n"),
    ]
    options: dict[str, Any] = {"form": "bridged", "accept": ("k",)}
    migration = Migration.between(conn, "old", "new", found, **options).expand().cutover()
    start = threading.Barrier(WORKERS)
    statements = (
        "INSERT INTO old (k, n) VALUES (%(k)s, 1) ON CONFLICT (k) DO UPDATE SET n = old.n + 1",
        "UPDATE old SET n = n + 1 WHERE k = %(k)s",
        "UPDATE new SET n = (new.n::integer + 1)::text WHERE k = %(k)s",
        "UPDATE new SET w = coalesce(w, 0) + 1 WHERE k = %(k)s",
    )

    def work(number: int) -> dict[tuple[int, str], int]:
        worker, chosen = connect(), random.Random(number)
        counted: dict[tuple[int, str], int] = {}
        start.wait(PATIENCE)
        for _ in range(300):
            which, key = chosen.randrange(len(statements)), f"k{chosen.randrange(3)}"
            rows = worker.execute(statements[which], {"k": key}).rowcount
            counted[which, key] = counted.get((which, key), 0) + rows
        return counted

    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(work, range(WORKERS)))
    for key in ("k0", "k1", "k2"):
        total = [sum(counted.get((which, key), 0) for counted in done) for which in range(4)]
        assert (value(conn, "SELECT w FROM new WHERE k = %s", [key]) or 0) == total[3]
        assert value(conn, "SELECT n FROM old WHERE k = %s", [key]) == sum(total[:3])
        assert value(conn, "SELECT n FROM new WHERE k = %s", [key]) == str(sum(total[:3]))
    assert migration.legacy_rows() == migration.retired_rows()


# -- the mapping ----------------------------------------------------------------------------------


def test_needs_make_auto_choose(conn: Connection) -> None:
    mapping = lines(conn).mapping

    def chosen(*needs: Any) -> str:
        return replace(mapping, needs=needs).chosen_form

    assert [chosen(), chosen("on_conflict"), chosen("hot_rows"), chosen("copy")] == [
        *("instead_of", "bridged", "bridged", "instead_of")
    ]
    conn.execute("DROP TABLE lines, lines_v2 CASCADE")
    plain = renamed(conn).mapping
    assert replace(plain, needs=("on_conflict",)).chosen_form == "updatable"
    assert replace(plain, needs=("copy",)).chosen_form == "updatable"


def test_needs_are_written_only_where_there_are_some_and_always_alike(conn: Connection) -> None:
    mapping = lines(conn).mapping
    assert "needs" not in mapping.to_json()
    texts = {
        replace(mapping, needs=needs).to_json()  # type: ignore[arg-type]
        for needs in ({"on_conflict", "hot_rows"}, ("hot_rows", "on_conflict"))
    }
    assert len(texts) == 1
    assert Mapping.from_json(texts.pop()).needs == ("hot_rows", "on_conflict")


def test_a_column_that_postgresql_generates_cannot_be_bridged() -> None:
    legacy = Table(
        "public",
        "old",
        (Column("id", "integer", False), Column("v", "text")),
        (Constraint("p", "primary_key", ("id",), "PRIMARY KEY (id)"),),
    )
    computed = Column("both", "text", generated="a || b")
    target = replace(
        legacy,
        name="new",
        columns=(Column("id", "integer", False), Column("a", "text"), computed),
    )
    rule = rules.Expression("v", "both", ("both",), (("a", "v"),), lossless=True)
    with pytest.raises(MappingError, match="v: both is GENERATED"):
        Mapping("m", legacy, target, (rules.Column("id", "id"), rule), form="bridged")


def test_names_on_the_bridge_are_those_of_the_legacy_table_where_they_are_free(
    conn: Connection,
) -> None:
    mapping = bridged_lines(conn).mapping
    taken = replace(
        mapping.target,
        columns=(*mapping.target.columns, Column("price", "text"), Column("price__compat", "text")),
    )
    names = bridge_of(replace(mapping, target=taken)).names
    assert (names["price"], names["status"]) == ("price__compat_2", "status")
    assert not any(lens.converts for lens in in_transition(mapping).lenses)
