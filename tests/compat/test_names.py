"""Names that break careless SQL, through a whole migration and back; and the names that we derive.

Every name is data: quoted where it is an identifier, escaped where it is a literal.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from compat import catalog, rules, state
from compat.compile import copy
from compat.errors import MappingError
from compat.mapping import Mapping
from compat.names import MAX_BYTES, check_identifier, derive, dollar_quote, ident, literal
from tests.compat.migrations import Connection, Migration, outcome, uninstalled, value
from tests.compat.strategies import HOSTILE_NAMES, names, pure, texts

LONG, WIDE = "x" * 63, "ключ" * 7 + "ключ"[:3]
SCHEMA = 'Sales; DROP "x" %s'
LEGACY_TABLE, TARGET_TABLE = 'Order "Lines"; --', 'order.lines $$ "v2"'
COLUMNS = ["select", "ключ", "a.b", "%s", "it's", "$compat$", LONG, WIDE, "NEW", "t", "{0}", "\\"]
TARGETS = {name: f"{name[:20]}→" for name in COLUMNS}


def hostile(conn: Connection) -> Migration:
    """Two tables in an oddly named schema, all of whose columns have hostile names."""
    schema, legacy, target = (
        sql.Identifier(*path)
        for path in ((SCHEMA,), (SCHEMA, LEGACY_TABLE), (SCHEMA, TARGET_TABLE))
    )
    conn.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    conn.execute(sql.SQL("CREATE TYPE {}.\"mood; --\" AS ENUM ('it''s')").format(schema))
    plain = [name for name in COLUMNS if name not in ("select", "%s", "it's", "$compat$", LONG)]
    columns = sql.SQL(", ").join(
        sql.SQL("{} text DEFAULT 'it''s %s $compat$ {{0}}'").format(sql.Identifier(name))
        for name in plain
    )
    conn.execute(
        sql.SQL(
            'CREATE TABLE {legacy} ("select" serial PRIMARY KEY, {columns},'
            ' "%s" numeric(10,2) NOT NULL DEFAULT 1, "it\'s" integer DEFAULT 1,'
            ' "$compat$" boolean NOT NULL DEFAULT false, {long} integer DEFAULT 0,'
            ' CONSTRAINT {long} CHECK ("%s" > 0))'
        ).format(legacy=legacy, columns=columns, long=sql.Identifier(LONG))
    )
    new_columns = sql.SQL(", ").join(
        sql.SQL("{} text").format(sql.Identifier(TARGETS[name])) for name in plain
    )
    kinds = {
        "select": "bigint PRIMARY KEY",
        "%s": "integer",
        "it's": "text",
        "$compat$": "timestamptz",
        LONG: "timestamptz",
    }
    others = sql.SQL(", ").join(
        sql.SQL("{} ").format(sql.Identifier(TARGETS[name])) + sql.SQL(kind)
        for name, kind in kinds.items()
    )
    conn.execute(sql.SQL("CREATE TABLE {} ({}, {})").format(target, new_columns, others))
    found: list[rules.AnyRule] = [rules.Column(name, TARGETS[name]) for name in plain]
    found += [
        rules.Cast("select", TARGETS["select"]),
        rules.Cast("%s", TARGETS["%s"], factor=100),
        rules.ValueMap("it's", TARGETS["it's"], ((1, "it's"), (2, "%s $compat$ \\ {0}"))),
        rules.Flag("$compat$", TARGETS["$compat$"]),
        rules.Epoch(LONG, TARGETS[LONG]),
    ]
    title = f"{SCHEMA}.{LEGACY_TABLE}"
    name = f"{LEGACY_TABLE} % $compat$ {LONG}"[:63]
    return Migration.between(conn, title, f"{SCHEMA}.{TARGET_TABLE}", found, name=name)


LIFE: list[tuple[list[str], str]] = [
    (["cutover"], "retired_rows"),
    (["uncutover"], "standby_rows"),
    (["cutover", "contract", "uncontract"], "retired_rows"),
    (["uncutover"], "standby_rows"),
]
"""Steps, and the relation that must then show what the legacy name shows."""


def writes(conn: Connection, table: str) -> list[Any]:
    """What clients see of a few statements; `table` is quoted."""
    statements = [
        'INSERT INTO {} DEFAULT VALUES RETURNING "ключ", "%s", "it\'s", "$compat$"',
        'INSERT INTO {} ("a.b", "%s", "it\'s", "$compat$") VALUES (\'x\', 2.5, 2, true)'
        ' RETURNING "NEW"',
        'UPDATE {} SET "%s" = "%s" + 0.01, "NEW" = "t" || \'%\', "it\'s" = 2 RETURNING "NEW"',
        'UPDATE {} SET "it\'s" = 9',
        'UPDATE {} SET "%s" = -1',
        'UPDATE {} SET "$compat$" = NULL',
        'DELETE FROM {} WHERE "a.b" = \'x\' RETURNING "%s", "\\"',
    ]
    return [outcome(conn, statement.replace("{}", table, 1)) for statement in statements]


def test_a_hostile_mapping_goes_through_a_whole_life_with_equal_contents(conn: Connection) -> None:
    migration = hostile(conn)
    table = migration.mapping.legacy.sql
    expected = writes(conn, migration.twin('twin "of" %s'))
    assert [answer[0] for answer in expected] == ["done"] * 3 + ["done"] + ["failed"] * 2 + ["done"]
    expected[3] = ("failed", "23514")  # a value without a counterpart is refused from expand on
    migration.expand()
    assert writes(conn, table) == expected
    migration.copy(size=2)
    for steps, other in LIFE:
        for step in steps:
            getattr(migration, step)()
        shown = migration.legacy_rows()
        assert shown == getattr(migration, other)(), steps
        conn.execute(f"DELETE FROM {table}")
        answers = writes(conn, table)
        assert [answer[:2] for answer in answers] == [answer[:2] for answer in expected], steps
    migration.unexpand()
    assert uninstalled(conn)
    assert catalog.reflect_table(conn, f"{SCHEMA}.{LEGACY_TABLE}") == migration.mapping.legacy


@pytest.mark.parametrize("name", ["old", "new", "t", "r", "l", "found", "tg_op", "this_row"])
def test_columns_may_be_called_like_what_stands_in_the_functions(
    conn: Connection, name: str
) -> None:
    conn.execute(f"CREATE TABLE a (id integer PRIMARY KEY, {name} integer, v integer)")
    conn.execute(f"CREATE TABLE b (id integer PRIMARY KEY, {name} integer, {name}_2 bigint)")
    found: list[rules.AnyRule] = [rules.Column(column, column) for column in ("id", name)]
    found.append(rules.Cast("v", f"{name}_2"))
    migration = Migration.between(conn, "a", "b", found).expand().cutover()
    assert conn.execute("INSERT INTO a VALUES (1, 2, 3), (2, 3, 4)").rowcount == 2
    assert conn.execute(f"UPDATE a SET v = v + 1, {name} = v").rowcount == 2
    assert conn.execute("DELETE FROM a WHERE id = 2").rowcount == 1
    assert migration.legacy_rows() == migration.retired_rows() == [(1, 3, 4)]
    migration.uncutover()
    assert conn.execute("UPDATE a SET v = v + 1").rowcount == 1
    assert migration.standby_rows() == migration.legacy_rows()


def test_the_checks_of_a_hostile_mapping_run_and_find(conn: Connection) -> None:
    migration = hostile(conn)
    conn.execute(f'INSERT INTO {migration.mapping.legacy.sql} ("it\'s") VALUES (1), (7), (7)')
    state.ensure_installed(conn)
    refused = {
        name: conn.execute(query).fetchall() for name, query in copy.refused(migration.mapping)
    }
    assert {name: rows for name, rows in refused.items() if rows} == {"it's": [("7", 2)]}
    assert value(conn, copy.missing(migration.mapping)) == 3
    assert conn.execute(copy.foreign(migration.mapping)).fetchall() == []
    assert copy.losses(migration.mapping) == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_migration_may_have_any_name(conn: Connection, name: str) -> None:
    table = sql.Identifier(name).as_string(conn)
    conn.execute(f"CREATE TABLE {table} ({table} integer PRIMARY KEY)")
    conn.execute("CREATE TABLE n (n integer PRIMARY KEY)")
    migration = Migration.between(conn, name, "n", [rules.Column(name, "n")], form="instead_of")
    migration.expand().cutover()
    assert conn.execute(f"INSERT INTO {table} VALUES (1), (2) RETURNING {table}").rowcount == 2
    assert conn.execute(f"UPDATE {table} SET {table} = {table} + 5").rowcount == 2
    assert migration.retired_rows() == migration.legacy_rows() == [(6,), (7,)]
    migration.contract().uncontract().uncutover().unexpand()
    assert migration.legacy_rows() == [(6,), (7,)]
    assert uninstalled(conn)


@pure
@given(names, st.sampled_from(["__retired", "__compat", "__insert", "__reverse"]))
def test_derived_names_fit_are_different_and_keep_their_ending(name: str, suffix: str) -> None:
    derived = derive(name, suffix)
    check_identifier(derived, "derived")
    assert derived.endswith(suffix)
    assert derived != name
    assert derived == name + suffix or len((name + suffix).encode()) > MAX_BYTES


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert derive("x" * 62 + "a", "__retired") != derive("x" * 62 + "b", "__retired")


@pure
@given(texts, st.lists(st.sampled_from(["$compat$", "$compat1$", "$"]), max_size=4))
def test_dollar_quotes_end_only_where_they_should(text: str, tags: list[str]) -> None:
    body = text.join(tags)
    quoted = dollar_quote(body)
    tag = quoted[: quoted.index("$", 1) + 1]
    assert quoted == tag + body + tag
    assert (body + tag).index(tag) == len(body)


def test_identifiers_and_literals_come_back_from_the_server_as_they_were(conn: Connection) -> None:
    for name in [*HOSTILE_NAMES, *COLUMNS]:
        cursor = conn.execute(f"SELECT {literal(name)} AS {ident(name)}")
        assert cursor.description is not None
        assert cursor.description[0].name == name
        assert cursor.fetchone() == (name,)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "é" * 32])
def test_names_that_postgresql_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(MappingError, match="thing: "):
        check_identifier(name, "thing")


def test_every_generated_name_of_a_hostile_mapping_is_told_apart(conn: Connection) -> None:
    mapping: Mapping = hostile(conn).mapping
    made = [mapping.function(purpose) for purpose in ("insert", "update", "delete", "sync")]
    made += [mapping.retired, mapping.standby, mapping.legacy.sql, mapping.target.sql]
    assert len(set(made)) == len(made)
