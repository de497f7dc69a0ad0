"""The laws of the rules, against the database: PutGet, GetPut, hidden columns stay; and the twins.

Every rule meets random legacy values and random rows born in the target; the view, the sync
triggers and the reverse sync must agree with what a plain table does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compat import rules
from compat.mapping import Form
from tests.compat.migrations import Connection, Migration, one, outcome, value
from tests.compat.rule_cases import (
    CASES,
    STATES,
    TOPICS,
    Case,
    booleans,
    cents,
    instants,
    ints,
    prices,
    short_texts,
    zoned,
)
from tests.compat.strategies import against_database

pytestmark = pytest.mark.examples

FORMS: tuple[Form, ...] = ("instead_of", "bridged", "reversed")


def cut_over(conn: Connection, case: Case, form: Form = "instead_of") -> Migration:
    conn.execute(case.before)
    conn.execute(f"CREATE TABLE old (id integer PRIMARY KEY, v {case.legacy})")
    conn.execute(
        f"CREATE TABLE new (key integer PRIMARY KEY, hidden text DEFAULT 'hidden',"
        f" {', '.join(case.target)})"
    )
    found = (rules.Column("id", "key"), case.rule)
    options = {"form": form, **case.options}
    return Migration.between(conn, "old", "new", found, **options).expand().cutover()


@contextmanager
def rolled_back(conn: Connection) -> Iterator[None]:
    with conn.transaction(force_rollback=True):
        yield


@contextmanager
def unnoticed(conn: Connection) -> Iterator[None]:
    """What is written meanwhile fires no trigger, as what was written before the migration."""
    conn.execute("SET LOCAL session_replication_role = replica")
    yield
    conn.execute("SET LOCAL session_replication_role = origin")


def kind_of(case: Case) -> str:
    return case.legacy.removesuffix(" NOT NULL")


def insert_each(conn: Connection, case: Case, given: list[str | None]) -> None:
    """Insert the values into the legacy table, numbered from 1."""
    query = f"SELECT n, v::{kind_of(case)} FROM unnest(%s::text[]) WITH ORDINALITY AS given (v, n)"
    conn.execute(f"INSERT INTO old (id, v) {query}", [given])


def forms_of(name: str) -> tuple[Form, ...]:
    """Return the forms that a rule can have: not all can be reversed."""
    return FORMS[:2] if isinstance(CASES[name].rule, rules.Lookup) else FORMS


IN_EACH_FORM = [(name, form) for name in CASES for form in forms_of(name)]


def put_get(conn: Connection, case: Case, first: str | None, second: str | None) -> None:
    """What a client writes it reads back: at once, later, and in the retired table if any."""
    retired = value(conn, "SELECT coalesce(to_regclass('old__retired'), 'old')::text")
    kind = kind_of(case)
    with rolled_back(conn):
        for statement, given in (
            (f"INSERT INTO old VALUES (1, %s::{kind}) RETURNING v::text", first),
            (f"UPDATE old SET v = %s::{kind} WHERE id = 1 RETURNING v::text", second),
            (f"UPDATE old SET v = %s::{kind} RETURNING v::text", first),
        ):
            wanted = value(conn, f"SELECT %s::{kind}::text", [given])
            assert value(conn, statement, [given]) == wanted
            assert value(conn, "SELECT v::text FROM old") == wanted
            assert value(conn, f"SELECT v::text FROM {retired}") == wanted


def get_put(conn: Connection, case: Case, born: tuple[str | None, ...], change: str | None) -> None:
    """Writing back what was read changes nothing, whatever v2 stored; nor does anything else."""
    kind = kind_of(case)
    marks = ", ".join("%s" for _ in born)
    retired = value(conn, "SELECT coalesce(to_regclass('old__retired'), 'old')::text")
    names = ", ".join(definition.split()[0] for definition in case.target)
    with rolled_back(conn):
        conn.execute(f"INSERT INTO new (key, hidden, {names}) VALUES (1, 'h', {marks})", born)
        before = one(conn, "SELECT new::text FROM new")
        read = value(conn, "SELECT v::text FROM old")
        assert value(conn, f"SELECT v::text FROM {retired}") == read
        assert conn.execute("UPDATE old SET v = v").rowcount == 1
        assert conn.execute("UPDATE old SET id = id WHERE v IS NOT DISTINCT FROM v").rowcount == 1
        assert conn.execute(f"UPDATE old SET v = %s::{kind}", [read]).rowcount == 1
        assert one(conn, "SELECT new::text FROM new") == before
        conn.execute("UPDATE old SET id = 2")
        conn.execute("UPDATE new SET key = 1")
        assert one(conn, "SELECT new::text FROM new") == before
        conn.execute(f"UPDATE old SET v = %s::{kind}", [change])
        assert value(conn, "SELECT hidden FROM new") == "h"
        assert value(conn, f"SELECT v::text FROM {retired}") == value(
            conn, "SELECT v::text FROM old"
        )


@pytest.mark.parametrize(("name", "form"), IN_EACH_FORM)
def test_a_rule_keeps_the_laws(conn: Connection, name: str, form: Form) -> None:
    case = CASES[name]
    cut_over(conn, case, form)

    @against_database
    @given(case.given, case.given, st.tuples(*case.born))
    def laws(first: str | None, second: str | None, born: tuple[str | None, ...]) -> None:
        put_get(conn, case, first, second)
        get_put(conn, case, born, second)

    laws()


@pytest.mark.parametrize("form", FORMS[:2])
@pytest.mark.parametrize("name", CASES)
def test_the_copy_brings_each_value_over_as_the_view_would(
    conn: Connection, name: str, form: Form
) -> None:
    case = CASES[name]
    conn.execute(case.before)
    conn.execute(f"CREATE TABLE old (id integer PRIMARY KEY, v {case.legacy})")
    conn.execute(f"CREATE TABLE new (key integer PRIMARY KEY, {', '.join(case.target)})")
    found = (rules.Column("id", "key"), case.rule)
    options = {"form": form, **case.options}
    migration = Migration.between(conn, "old", "new", found, **options).expand()

    @against_database
    @given(st.lists(case.given, max_size=8))
    def laws(given: list[str | None]) -> None:
        with rolled_back(conn):
            with unnoticed(conn):
                insert_each(conn, case, given)
            assert value(conn, "SELECT count(*) FROM new") == 0
            migration.copy(size=3)
            assert migration.standby_rows() == migration.legacy_rows()
            contents = "SELECT new::text FROM new ORDER BY key"  # Python has no infinite dates
            copied = conn.execute(contents).fetchall()
            conn.execute("DELETE FROM new")
            conn.execute("UPDATE old SET id = id")  # the sync upserts what is not there
            assert conn.execute(contents).fetchall() == copied

    if "clock_timestamp" not in str(case.rule):
        laws()
    else:  # two clocks never agree, but the flag itself must
        conn.execute("INSERT INTO old VALUES (1, 1), (2, 0)")
        assert migration.standby_rows() == migration.legacy_rows()


@pytest.mark.parametrize("name", [name for name, form in IN_EACH_FORM if form == "reversed"])
def test_the_copy_fills_what_an_insert_of_the_same_would(conn: Connection, name: str) -> None:
    case = CASES[name]
    if "clock_timestamp" in str(case.rule):
        return  # two clocks never agree
    conn.execute(case.before)
    conn.execute(f"CREATE TABLE old (id integer PRIMARY KEY, v {case.legacy})")
    conn.execute(f"CREATE TABLE new (key integer PRIMARY KEY, {', '.join(case.target)})")
    found = (rules.Column("id", "key"), case.rule)
    options = {"form": "reversed", **case.options}
    migration = Migration.between(conn, "old", "new", found, **options).expand()
    shown = f"SELECT v::text FROM {migration.mapping.standby} AS v ORDER BY key"

    @against_database
    @given(st.lists(case.given, max_size=8))
    def laws(given: list[str | None]) -> None:
        with rolled_back(conn):
            insert_each(conn, case, given)
            inserted = conn.execute(shown).fetchall()
            with unnoticed(conn):
                conn.execute("CREATE TEMPORARY TABLE given AS SELECT id, v FROM old; TRUNCATE old")
                conn.execute("INSERT INTO old (id, v) SELECT id, v FROM given")
            migration.copy(size=3)
            assert conn.execute(shown).fetchall() == inserted

    laws()


def test_a_constant_reads_as_one_value_and_takes_writes_without_effect(conn: Connection) -> None:
    case = Case("text DEFAULT 'x'", rules.Constant("v", "c"), ("t text",), st.none(), ())
    cut_over(conn, Case(case.legacy, case.rule, case.target, st.none(), (), {"accept": ("v",)}))
    assert outcome(conn, "INSERT INTO old VALUES (1, 'other') RETURNING v") == ("done", 1, [("c",)])
    assert outcome(conn, "INSERT INTO old (id) VALUES (2) RETURNING v") == ("done", 1, [("c",)])
    assert outcome(conn, "UPDATE old SET v = 'y' RETURNING v") == ("done", 2, [("c",), ("c",)])
    assert conn.execute("SELECT v FROM old__retired ORDER BY id").fetchall() == [("c",), ("c",)]


def test_what_a_constant_hides_survives_the_rollback(conn: Connection) -> None:
    conn.execute("CREATE TABLE old (id integer PRIMARY KEY, v text, w text)")
    conn.execute("CREATE TABLE new (key integer PRIMARY KEY, w text)")
    conn.execute("INSERT INTO old VALUES (1, 'mine', 'a')")
    migration = Migration.between(
        conn,
        "old",
        "new",
        [rules.Column("id", "key"), rules.Constant("v", "c"), rules.Column("w", "w")],
        accept=("v",),
    )
    migration.expand().copy().cutover()
    conn.execute("UPDATE old SET w = 'b'")
    migration.uncutover()
    assert migration.legacy_rows() == [(1, "mine", "b")]


def test_a_spelling_whose_loss_was_accepted_survives_the_rollback_while_nobody_changes_the_value(
    conn: Connection,
) -> None:
    conn.execute("CREATE TABLE old (id integer PRIMARY KEY, v text, w text)")
    conn.execute("CREATE TABLE new (key integer PRIMARY KEY, v numeric(9,2), w text)")
    conn.execute("INSERT INTO old VALUES (1, '1.5', 'a'), (2, '01', 'a')")
    found: list[rules.AnyRule] = [rules.Column("id", "key"), rules.Cast("v", "v")]
    found.append(rules.Column("w", "w"))
    migration = Migration.between(conn, "old", "new", found, accept=("v",))
    migration.expand().copy().cutover()
    assert [row[1] for row in migration.legacy_rows()] == ["1.50", "1.00"]
    conn.execute("UPDATE old SET w = 'b'")
    conn.execute("UPDATE new SET w = 'c', v = v + 1 WHERE key = 2")
    migration.uncutover()
    assert migration.legacy_rows() == [(1, "1.5", "b"), (2, "2.00", "c")]


def test_an_expression_without_writes_refuses_them_like_a_generated_column(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, n integer,"
        " v integer GENERATED ALWAYS AS (n * 2) STORED)"
    )
    conn.execute("CREATE TABLE new (key integer PRIMARY KEY, n integer)")
    migration = Migration.between(
        conn,
        "old",
        "new",
        [
            rules.Column("id", "key"),
            rules.Column("n", "n"),
            rules.Expression("v", "n * 2", ("n",), lossless=True),
        ],
    )
    twin = migration.twin()
    migration.expand().cutover()
    for statement in (
        "INSERT INTO {} (id, n) VALUES (1, 7) RETURNING *",
        "INSERT INTO {} VALUES (2, 7, DEFAULT) RETURNING *",
        "INSERT INTO {} VALUES (3, 7, 14)",
        "UPDATE {} SET n = 8 WHERE id = 1 RETURNING *",
        "UPDATE {} SET v = 9",
        "UPDATE {} SET v = DEFAULT, n = 1 WHERE id = 2",
        "DELETE FROM {} WHERE v = 16 RETURNING *",
    ):
        answers = [outcome(conn, statement.format(name)) for name in (twin, "old")]
        if "v = DEFAULT" not in statement:
            assert answers[0] == answers[1], statement
    contents = "SELECT id, v FROM {} WHERE id <> 2"
    assert conn.execute(contents.format(twin)).fetchall() == []
    assert conn.execute(contents.format("old")).fetchall() == []


# -- statements on the view and on a table -------------------------------------------------------

WIDE = """
CREATE TABLE {0} (
    id integer PRIMARY KEY,
    order_id integer NOT NULL DEFAULT 7,
    line_no integer NOT NULL DEFAULT 1,
    qty integer NOT NULL DEFAULT 1 CHECK (qty > 0),
    price text NOT NULL DEFAULT '0.00',
    cost numeric(10,2) DEFAULT 1.5,
    status integer DEFAULT 1,
    topic text DEFAULT 'a',
    created integer NOT NULL DEFAULT 1700000000,
    seen bigint,
    deleted boolean NOT NULL DEFAULT false,
    active char(1) NOT NULL DEFAULT 'Y',
    happened timestamp DEFAULT '2020-02-02 02:02:02.020202',
    debt integer DEFAULT 0,
    note varchar(20),
    UNIQUE (order_id, line_no)
);
CREATE TABLE {0}_v2 (
    hidden text DEFAULT 'hidden',
    line_id bigint PRIMARY KEY,
    order_id integer NOT NULL,
    position integer NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(12,2) NOT NULL,
    unit_price_text text,
    cost_cents integer,
    state text,
    topic varchar(9),
    topic_text text,
    created_at timestamptz NOT NULL,
    seen_at timestamp,
    deleted_at timestamptz,
    left_at date,
    happened_at timestamptz,
    credit integer,
    remark varchar(20),
    title text NOT NULL,
    UNIQUE (order_id, position)
);
"""
WIDE_RULES: tuple[rules.AnyRule, ...] = (
    rules.Cast("id", "line_id"),
    rules.Column("order_id", "order_id"),
    rules.Column("line_no", "position"),
    rules.Column("qty", "quantity"),
    rules.Cast("price", "unit_price", keep="unit_price_text"),
    rules.Cast("cost", "cost_cents", factor=100),
    rules.ValueMap("status", "state", STATES),
    rules.ValueMap("topic", "topic", TOPICS, otherwise="Other", unknown="?", keep="topic_text"),
    rules.Epoch("created", "created_at"),
    rules.Epoch("seen", "seen_at", "ms"),
    rules.Flag("deleted", "deleted_at"),
    rules.Flag("active", "left_at", on="N", off="Y"),
    rules.Cast("happened", "happened_at", timezone="UTC"),
    rules.Expression("debt", "-credit", ("credit",), (("credit", "-debt"),), lossless=True),
    rules.Column("note", "remark"),
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def wide(conn: Connection, name: str) -> Migration:
    conn.execute(WIDE.format(name))
    fills = [{"target": "title", "value": "pg_catalog.concat(topic, ' ', note)"}]
    return Migration.between(conn, name, f"{name}_v2", WIDE_RULES, fills=fills).expand()


ids = st.integers(0, 9).map(str)
small = st.integers(0, 9).map(str)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "order_id": small,
    "line_no": small,
    "qty": st.integers(1, 9).map(str),
    "price": prices.map(quoted),
    "cost": cents.filter(lambda text: len(text) < 9) | st.just("NULL"),
    "status": st.sampled_from(["1", "2", "3", "NULL"]),
    "topic": st.sampled_from(["a", "b", "c", "Other", "it's"]).map(quoted) | st.just("NULL"),
    "created": ints,
    "seen": st.integers(-(10**12), 10**13).map(str) | st.just("NULL"),
    "deleted": booleans,
    "active": st.sampled_from(["'Y'", "'N'"]),
    "happened": instants.map(quoted) | st.just("NULL"),
    "debt": st.integers(-99, 99).map(str) | st.just("NULL"),
    "note": short_texts.map(quoted) | st.just("NULL"),
}
CHANGES = {
    "qty": st.sampled_from(["qty + 1", "qty * 2"]),
    "cost": st.just("cost + 0.01"),
    "deleted": st.just("NOT deleted"),
    "note": st.just("substr(note || id, 1, 20)"),
    "seen": st.just("seen + 1"),
}
CONDITIONS = st.one_of(
    ids.map("id = {}".format),
    ids.map("id > {}".format),
    small.map("order_id = {}".format),
    st.sampled_from(
        [
            "true",
            "false",
            "deleted",
            "active = 'N'",
            "status = 2",
            "status IS NULL",
            "topic = 'c'",
            "price = '1.5'",
            "cost < 0",
            "qty > 3 AND NOT deleted",
            "happened < '2000-01-01'",
            "id IN (SELECT id FROM {0} WHERE created > 0)",
        ]
    ),
)
RETURNING = st.sampled_from(["", " RETURNING *", " RETURNING id, qty * 2, upper(note)"])


@st.composite
def inserts(draw: Any) -> str:
    given = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=8))
    key = draw(st.integers(1, 12).map(str) | st.just("NULL"))
    row = [key, *(draw(VALUES[name] | st.just("DEFAULT")) for name in given)]
    columns = ", ".join(["id", *given])
    return f"INSERT INTO {{0}} ({columns}) VALUES ({', '.join(row)}){draw(RETURNING)}"


@st.composite
def updates(draw: Any) -> str:
    given = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, min_size=1, max_size=5))
    changes = {name: draw(VALUES[name] | CHANGES.get(name, st.just("DEFAULT"))) for name in given}
    source, condition = "", draw(CONDITIONS)
    if draw(st.integers(0, 3)) == 0 and "SELECT" not in condition:
        # Known: a row that it meets twice, and leaves as it is, the view counts twice.
        changes["qty"] = "qty + 1"
        source, condition = " FROM (VALUES (1), (1), (2)) AS s(n)", f"({condition}) AND id = s.n"
    assignments = ", ".join(f"{name} = {text}" for name, text in changes.items())
    returning = draw(st.sampled_from(["", " RETURNING {0}.*"]))
    return f"UPDATE {{0}} SET {assignments}{source} WHERE {condition}{returning}"


@st.composite
def first_rows(draw: Any) -> list[str]:
    """Statements that insert five rows without conflict."""
    names = sorted(set(VALUES) - {"order_id"})
    rows = [", ".join([str(n), str(n), *(draw(VALUES[name]) for name in names)]) for n in range(5)]
    columns = ", ".join(["id", "order_id", *names])
    return [f"INSERT INTO {{0}} ({columns}) VALUES ({row})" for row in rows]


deletes = st.builds("DELETE FROM {{0}} WHERE {}{}".format, CONDITIONS, RETURNING)
key_changes = st.builds("UPDATE {{0}} SET id = {} WHERE id = {}".format, ids, ids)
statements = st.one_of(inserts(), inserts(), inserts(), updates(), updates(), deletes, key_changes)


def test_statements_on_the_view_do_what_they_do_on_a_table_and_so_do_the_sync_triggers(
    conn: Connection,
) -> None:
    """The table beside it is in its expand phase: client results, and what reaches the target."""
    viewed, synced = wide(conn, "viewed").cutover(), wide(conn, "synced")

    @settings(against_database, max_examples=3 * against_database.max_examples)
    @given(first_rows(), st.lists(statements, min_size=5, max_size=12))
    def agree(first: list[str], run: list[str]) -> None:
        with rolled_back(conn):
            for statement in first + run:
                on_view, on_table = (
                    outcome(conn, statement.replace("{0}", name)) for name in ("viewed", "synced")
                )
                assert on_view == on_table, statement
                assert viewed.legacy_rows() == synced.legacy_rows()
                assert viewed.retired_rows() == synced.legacy_rows()
                assert viewed.target_rows() == synced.target_rows()

    agree()


V2_VALUES: dict[str, st.SearchStrategy[str]] = {
    "quantity": st.integers(1, 9).map(str),
    "unit_price": cents,
    "unit_price_text": st.sampled_from(["'1.5'", "'7'", "NULL"]),
    "cost_cents": st.integers(-999, 999).map(str) | st.just("NULL"),
    "state": st.sampled_from(["'new'", "'open'", "NULL"]),
    "topic": st.sampled_from(["'Alpha'", "'Other'", "'Newer'", "NULL"]),
    "topic_text": st.sampled_from(["'a'", "'zzz'", "NULL"]),
    "created_at": st.just("clock_timestamp()"),
    "seen_at": st.sampled_from(["localtimestamp", "'1969-12-31 23:59:59.9999'", "NULL"]),
    "deleted_at": st.sampled_from(["clock_timestamp()", "NULL"]),
    "left_at": st.sampled_from(["'2020-01-01'", "NULL"]),
    "happened_at": zoned.map(quoted) | st.just("NULL"),
    "credit": st.integers(-99, 99).map(str) | st.just("NULL"),
    "remark": short_texts.map(quoted) | st.just("NULL"),
    "hidden": st.just("'x'"),
}


@st.composite
def v2_statements(draw: Any) -> str:
    key = draw(ids)
    if draw(st.booleans()):
        names = sorted(VALUES_OF_A_V2_ROW)
        row = [draw(V2_VALUES[name]) for name in names]
        return (
            f"INSERT INTO viewed_v2 (line_id, order_id, position, title, {', '.join(names)})"
            f" VALUES ({key}, {draw(small)}, {draw(small)}, 't', {', '.join(row)})"
        )
    if draw(st.integers(0, 4)) == 0:
        return f"DELETE FROM viewed_v2 WHERE line_id = {key}"
    given = draw(st.lists(st.sampled_from(sorted(V2_VALUES)), unique=True, min_size=1, max_size=4))
    changes = ", ".join(f"{name} = {draw(V2_VALUES[name])}" for name in given)
    return f"UPDATE viewed_v2 SET {changes} WHERE line_id >= {key}"


VALUES_OF_A_V2_ROW = set(V2_VALUES) - {"hidden"}


def test_the_retired_table_shows_what_the_view_shows_after_statements_on_either_side(
    conn: Connection,
) -> None:
    migration = wide(conn, "viewed").cutover()

    @settings(against_database, max_examples=3 * against_database.max_examples)
    @given(first_rows(), st.lists(st.one_of(statements, v2_statements()), min_size=5, max_size=15))
    def agree(first: list[str], run: list[str]) -> None:
        with rolled_back(conn):
            for statement in first + run:
                outcome(conn, statement.replace("{0}", "viewed"))
                assert migration.retired_rows() == migration.legacy_rows(), statement
            shown = migration.legacy_rows()
            migration.uncutover()
            assert migration.legacy_rows() == shown
            migration.cutover()
            assert migration.legacy_rows() == shown
            migration.contract().uncontract()
            assert migration.legacy_rows() == migration.retired_rows() == shown

    agree()


REFUSED = {
    "INSERT INTO {} (id, qty) VALUES (1, 0)": ("23514", None),
    "INSERT INTO {} (id, qty) VALUES (1, NULL)": ("23502", "qty"),
    "INSERT INTO {} (id, qty, deleted) VALUES (1, NULL, NULL)": ("23502", "qty"),
    "INSERT INTO {} (id) VALUES (NULL)": ("23502", "id"),
    "INSERT INTO {} (id, note) VALUES (1, repeat('x', 21))": ("22001", None),
    "INSERT INTO {} (id, cost) VALUES (1, 123456789.00)": ("22003", None),
    "INSERT INTO {} (id, active) VALUES (1, 'YES')": ("22001", None),
    "INSERT INTO {} (id, qty) VALUES (1, 'x')": ("22P02", None),
    "INSERT INTO {} (id, nothing) VALUES (1, 1)": ("42703", None),
    "INSERT INTO {} VALUES (5), (5)": ("23505", None),
    "UPDATE {} SET created = NULL": ("23502", "created"),
    "UPDATE {} SET qty = -qty": ("23514", None),
    "UPDATE {} SET id = 4 WHERE id = 3": ("23505", None),
    "UPDATE {} SET created = created / 0": ("22012", None),
}


@pytest.mark.parametrize("statement", REFUSED)
def test_what_the_table_refuses_the_view_refuses_alike(conn: Connection, statement: str) -> None:
    migration = wide(conn, "viewed")
    twin = migration.twin()
    migration.cutover()
    for name in (twin, "viewed"):
        conn.execute(f"INSERT INTO {name} (id, line_no) VALUES (3, 3), (4, 4)")
    refusals = []
    for name in (twin, "viewed"):
        with pytest.raises(psycopg.Error) as caught:
            conn.execute(statement.format(name))
        refusals.append((caught.value.sqlstate, caught.value.diag.column_name))
    assert refusals == [REFUSED[statement], REFUSED[statement]]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} (id, line_no, status) VALUES (1, 2, 9)",
        "INSERT INTO {} (id, line_no, active) VALUES (1, 2, 'J')",
        "UPDATE {} SET status = 9",
        "UPDATE {} SET active = 'J'",
    ],
)
def test_a_value_without_a_counterpart_is_refused_before_and_after_the_cutover(
    conn: Connection, statement: str
) -> None:
    migration = wide(conn, "viewed")
    conn.execute("INSERT INTO viewed (id) VALUES (3)")
    for _ in ("before", "after"):
        with pytest.raises(psycopg.errors.CheckViolation, match=r"public\.viewed\.\w+: n"):
            conn.execute(statement.format("viewed"))
        migration.copy().cutover()
        assert migration.legacy_rows() == migration.retired_rows()
        migration.uncutover()


def test_the_instant_of_a_flag_is_kept_while_it_stays_set(conn: Connection) -> None:
    migration = wide(conn, "viewed").cutover()
    conn.execute("INSERT INTO viewed (id, deleted) VALUES (1, true)")
    long_ago = datetime.now(UTC) - timedelta(days=900)
    conn.execute("UPDATE viewed_v2 SET deleted_at = %s", [long_ago])
    conn.execute("UPDATE viewed SET deleted = true, qty = 5")
    assert value(conn, "SELECT deleted_at FROM viewed_v2") == long_ago
    conn.execute("UPDATE viewed SET deleted = false")
    assert value(conn, "SELECT deleted_at FROM viewed_v2") is None
    conn.execute("UPDATE viewed SET deleted = true")
    assert value(conn, "SELECT deleted_at > now() - interval '1 day' FROM viewed_v2")
    assert migration.retired_rows() == migration.legacy_rows()
