"""Mappings on top of each other: one view over v3 does what two views over each other do.

Chained means: v2 is a view over the table v3, and v1 one over that view; fused: v1 is a view over
v3, by the composed mapping. Both get the same rows and the same statements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from compat import rules, state
from compat.compile import view
from compat.compose import compose, compose_all
from compat.errors import MappingError
from compat.mapping import CodeName, Fill, Mapping
from compat.names import ident, literal
from compat.tables import Column, Constraint, Table
from tests.compat.migrations import Connection, outcome
from tests.compat.strategies import against_database

ODD = 'Wert "%s"'
"""A name of each level's columns begins so."""


def _key(name: str) -> Constraint:
    return Constraint(f"{name}_pkey", "primary_key", (name,), "PRIMARY KEY (…)")


def _table(name: str, key: Column, *columns: Column) -> Table:
    return Table("public", name, (key, *columns), (_key(key.name),))


def _mapping(
    name: str, legacy: Table, target: Table, *column_rules: Any, **options: Any
) -> Mapping:
    """Map two tables whose keys are renamed, accepting every loss."""
    key = rules.Column(legacy.columns[0].name, target.columns[0].name)
    accepted = tuple(column.name for column in legacy.columns[1:])
    return Mapping(name, legacy, target, (key, *column_rules), accept=accepted, **options)


def _integer(name: str) -> Column:
    return Column(name, "integer", nullable=False)


# What the composed rules are ---------------------------------------------------------------------


def _composed_rule(
    v1: Column, first: rules.AnyRule, v2: Column, second: rules.AnyRule, *v3: Column
) -> rules.AnyRule:
    legacy, middle = _table("v1", _integer("a"), v1), _table("v2", _integer("b"), v2)
    upper = _mapping("second", middle, _table("v3", _integer("c"), *v3), second)
    return compose(_mapping("first", legacy, middle, first), upper).rules[1]


def test_a_rename_takes_nothing_of_its_own() -> None:
    epoch = _composed_rule(
        Column("x", "integer"),
        rules.Column("x", "y"),
        Column("y", "integer"),
        rules.Epoch("y", "z"),
        Column("z", "timestamp with time zone"),
    )
    assert epoch == rules.Epoch("x", "z")
    flag = _composed_rule(
        Column("x", "boolean", nullable=False),
        rules.Flag("x", "y"),
        Column("y", "timestamp with time zone"),
        rules.Column("y", "z"),
        Column("z", "timestamp with time zone"),
    )
    assert flag == rules.Flag("x", "z")


def test_two_value_maps_are_one() -> None:
    joined = _composed_rule(
        Column("x", "integer"),
        rules.ValueMap("x", "y", ((1, "new"), (2, "done"))),
        Column("y", "text"),
        rules.ValueMap("y", "z", (("new", 10), ("done", 20), ("lost", 30))),
        Column("z", "integer"),
    )
    assert joined == rules.ValueMap("x", "z", ((1, 10), (2, 20)))


def test_what_v3_does_not_let_be_written_is_read_only_for_v1_too() -> None:
    rule = _composed_rule(
        Column("x", "integer"),
        rules.Cast("x", "y"),
        Column("y", "bigint"),
        rules.Expression("y", '"z" + 1', ("z",)),
        Column("z", "bigint"),
    )
    assert isinstance(rule, rules.Expression)
    assert rule.is_read_only
    assert rule.uses == ("z",)


def test_a_composed_mapping_is_a_document_like_any_other() -> None:
    first, second = _pair_with_chain()
    composed = compose(first, second)
    assert isinstance(composed.rules[1], rules.Chain)
    assert Mapping.from_json(composed.to_json()) == composed
    assert composed.through == ("second",)


def _pair_with_chain() -> tuple[Mapping, Mapping]:
    v1 = _table("v1", _integer("a"), Column("x", "integer"))
    v2 = _table("v2", _integer("b"), Column("y", "timestamp with time zone"))
    v3 = _table("v3", _integer("c"), Column("z", "timestamp without time zone"))
    first = _mapping("first", v1, v2, rules.Epoch("x", "y"))
    return first, _mapping("second", v2, v3, rules.Cast("y", "z", timezone="UTC"))


def test_composition_is_associative_in_what_it_reads_and_writes() -> None:
    first, second = _pair_with_chain()
    v4 = _table("v4", _integer("d"), Column("w", "text"))
    third = _mapping("third", second.target, v4, rules.Cast("z", "w"))
    left = compose(compose(first, second), third)
    assert left == compose_all([first, second, third])
    right = compose(first, compose(second, third))
    assert left.through == right.through == ("second", "third")
    for row in (rules.Row("t"), rules.NEW):
        assert left.reads(row)["a"] == right.reads(row)["a"]
        assert set(left.writes(row)) == set(right.writes(row))


def test_names_in_code_go_all_the_way() -> None:
    first, second = _pair_with_chain()
    first = replace(first, code=(CodeName("m.V1", "m.V2"), CodeName("m.old", "m.new")))
    second = replace(second, code=(CodeName("m.V2", "m.V3"),))
    assert compose(first, second).code == (CodeName("m.V1", "m.V3"), CodeName("m.old", "m.new"))


def test_mappings_that_do_not_meet_are_told_apart() -> None:
    first, second = _pair_with_chain()
    with pytest.raises(MappingError, match=r"leads to public\.v2, the other begins at public\.v1"):
        compose(first, first)
    narrower = replace(second.legacy, columns=(*second.legacy.columns[:1], Column("y", "date")))
    other = _mapping("second", narrower, second.target, rules.Cast("y", "z"))
    with pytest.raises(MappingError, match=r"public\.v2\.y is date, and was timestamp with"):
        compose(first, other)


def test_a_key_that_v3_does_not_keep_unique_is_refused_with_the_fix() -> None:
    v1 = _table("v1", _integer("old"))
    v2 = Table(
        "public",
        "v2",
        (_integer("id"), _integer("old")),
        (_key("id"), Constraint("v2_old_key", "unique", ("old",), "UNIQUE (old)")),
    )
    v3 = _table("v3", _integer("id"), _integer("old"))
    first = Mapping("first", v1, v2, (rules.Column("old", "old"),), (Fill("id", "1"),))
    second = _mapping("second", v2, v3, rules.Column("old", "old"))
    with pytest.raises(MappingError, match=r"unique constraint over exactly \(old\)"):
        compose(first, second)


# Fused and chained -------------------------------------------------------------------------------

_WORDS = ("a", "b", "c", "d")
_NUMBERS = (1, 2, 3, 4)
_ZONED, _NAIVE = "timestamp with time zone", "timestamp without time zone"


@dataclass(frozen=True)
class Level:
    """A rule with the columns it writes, the main one first."""

    rule: rules.AnyRule
    targets: tuple[Column, ...]


@dataclass(frozen=True)
class Case:
    """A column of v1 on its way: what clients write to it, and what v3's own clients write."""

    legacy: Column
    first: Level
    second: tuple[Level, ...]


def _first(draw: Any, old: str, new: str) -> tuple[Column, Level]:
    """Draw a column of v1 and its rule to v2."""
    kind = draw(
        st.sampled_from(
            ["column", "word", "wider", "text", "price", "map", "maybe", "epoch", "flag", "sql"]
        )
    )
    side = Column(f"{new} kept", "text")
    drawn: dict[str, tuple[Column, rules.AnyRule, list[Column]]] = {
        "column": (Column(old, "integer"), rules.Column(old, new), [Column(new, "integer")]),
        "word": (Column(old, "text"), rules.Column(old, new), [Column(new, "text")]),
        "wider": (Column(old, "integer"), rules.Cast(old, new), [Column(new, "bigint")]),
        "text": (Column(old, "integer"), rules.Cast(old, new), [Column(new, "text")]),
        "price": (
            Column(old, "text"),
            rules.Cast(old, new, keep=side.name),
            [Column(new, "numeric(12,2)"), side],
        ),
        "map": (
            Column(old, "integer"),
            rules.ValueMap(old, new, tuple(zip(_NUMBERS, _WORDS, strict=True)), unknown=0),
            [Column(new, "text")],
        ),
        "maybe": (
            Column(old, "text"),
            rules.ValueMap(
                old, new, (("a", 1), ("b", 2)), otherwise=4, unknown="?", keep=side.name
            ),
            [Column(new, "integer"), side],
        ),
        "epoch": (Column(old, "integer"), rules.Epoch(old, new), [Column(new, _ZONED)]),
        "flag": (
            Column(old, "boolean", nullable=False, default="false"),
            rules.Flag(old, new),
            [Column(new, _ZONED)],
        ),
        "sql": (
            Column(old, "text"),
            rules.Expression(
                old,
                f"pg_catalog.upper({ident(new)})",
                (new,),
                ((new, f"pg_catalog.lower({ident(old)}) -- small"),),
            ),
            [Column(new, "text")],
        ),
    }
    column, rule, targets = drawn[kind]
    return column, Level(rule, tuple(targets))


def _second(draw: Any, column: Column, new: str, is_plain: bool = False) -> Level:
    """Draw the rule of a column of v2 to v3."""
    old = column.name
    numbered = tuple(zip(_WORDS, _NUMBERS, strict=True))
    same = Level(rules.Column(old, new), (Column(new, column.type),))
    choices: dict[str, list[Level]] = {
        "integer": [
            Level(rules.Cast(old, new), (Column(new, "text"),)),
            Level(
                rules.ValueMap(old, new, tuple((n, w) for w, n in numbered), unknown=9),
                (Column(new, "text"),),
            ),
        ],
        "bigint": [Level(rules.Cast(old, new), (Column(new, "numeric(20,0)"),))],
        "text": [
            Level(rules.ValueMap(old, new, numbered, unknown="?"), (Column(new, "integer"),)),
            Level(
                rules.Expression(
                    old,
                    f"pg_catalog.reverse({ident(new)})",
                    (new,),
                    ((new, f"pg_catalog.reverse({ident(old)})"),),
                ),
                (Column(new, "text"),),
            ),
        ],
        "numeric(12,2)": [Level(rules.Cast(old, new, factor=100), (Column(new, "bigint"),))],
        "boolean": [Level(rules.Flag(old, new), (Column(new, _ZONED),))],
        _ZONED: [Level(rules.Cast(old, new, timezone="UTC"), (Column(new, _NAIVE),))],
    }
    if is_plain:  # what v3 has no place for, it does not refuse either
        choices["text"].append(Level(rules.Constant(old, "1"), ()))
    chosen: Level = draw(st.sampled_from([same, *choices[column.type]]))
    return chosen


@st.composite
def pairs(draw: Any) -> tuple[Mapping, Mapping]:
    """Two mappings on top of each other: 1 to 4 columns, and two that only v2 and v3 have."""
    cases = []
    for n in range(draw(st.integers(1, 4))):
        legacy, lower = _first(draw, f"{ODD} {n}", f"v2 {n}")
        is_plain = lower.rule.rule == "column"
        upper = tuple(
            _second(draw, column, f"v3 {column.name}", is_plain) for column in lower.targets
        )
        cases.append(Case(legacy, lower, upper))
    hidden = draw(
        st.sampled_from(
            [
                Column("hidden", "text"),
                Column("hidden", "text", default="'a'::text"),
                Column("hidden", "integer", default="2"),
            ]
        )
    )
    hidden_level = _second(draw, hidden, "v3 hidden")
    filled = draw(st.booleans())
    fill_sql = f"pg_catalog.now() + {len(cases)} * interval '1 day'"
    moment, given_at = Column("moment", _ZONED), "moment"
    flagged = Level(
        rules.Flag("set", "set at", at="moment" if draw(st.booleans()) else None),
        (Column("set at", _ZONED),),
    )
    v2_columns = [
        *(column for case in cases for column in case.first.targets),
        hidden,
        moment,
        Column("set", "boolean", nullable=False, default="true"),
    ]
    v3_levels = [
        *(level for case in cases for level in case.second),
        hidden_level,
        Level(rules.Cast("moment", "at", timezone="UTC"), (Column("at", _NAIVE),)),
        flagged,
    ]
    v3_columns = [
        *(column for level in v3_levels for column in level.targets),
        Column("new in v3", "text", default="'new'"),
    ]
    v1 = _table("v1", _integer("a"), *(case.legacy for case in cases))
    v2 = _table("v2", _integer("b"), *v2_columns)
    v3 = _table("v3", _integer("c"), *v3_columns)
    fills = (Fill(given_at, fill_sql),) if filled else ()
    upper_fills = (Fill("new in v3", '"b"::text'),) if draw(st.booleans()) else ()
    first_rules = [case.first.rule for case in cases]
    first = _mapping("first", v1, v2, *first_rules, form="instead_of", fills=fills)
    second_rules = [level.rule for level in v3_levels]
    second = _mapping("second", v2, v3, *second_rules, form="instead_of", fills=upper_fills)
    return first, second


_VALUES: dict[str, st.SearchStrategy[str | None]] = {
    "integer": st.none() | st.sampled_from(["0", "1", "2", "3", "4", "86400", "-1"]),
    "text": st.none() | st.sampled_from(["a", "b", "c", "1.5", "1.50", "01.5", "", "-- x"]),
    "boolean": st.sampled_from(["true", "false"]),
    "bigint": st.sampled_from(["1", "150", "-5"]),
    "numeric(20,0)": st.sampled_from(["1", "2147483647"]),
    "numeric(12,2)": st.sampled_from(["1.50", "2"]),
    _ZONED: st.none() | st.sampled_from(["2020-01-01 12:00:00.25+00", "1960-05-05 00:00+00"]),
    _NAIVE: st.none() | st.sampled_from(["2020-01-01 12:00:00.75", "1960-05-05"]),
}


def _value(draw: Any, table: Table, column: Column) -> str:
    """Draw a value as SQL; clients of v3 write nothing that a view of v2 could not show."""
    is_shown = table.name == "v3" and column.type == "text"
    value = draw(st.sampled_from(["1", "2"]) if is_shown else _VALUES[column.type])
    return "NULL" if value is None else f"{literal(value)}::{column.type}"


def _assigned(draw: Any, table: Table) -> dict[str, str]:
    columns = draw(
        st.lists(st.sampled_from(table.columns[1:]), min_size=1, max_size=3, unique=True)
    )
    return {column.name: _value(draw, table, column) for column in columns}


def _insert(table: Table, schema: str, values: dict[str, str]) -> str:
    columns = ", ".join(map(ident, values))
    given = ", ".join(values.values())
    return f"INSERT INTO {schema}.{ident(table.name)} ({columns}) VALUES ({given}) RETURNING *"


@st.composite
def statements(draw: Any, mappings: tuple[Mapping, Mapping]) -> list[str]:
    """Statements of clients of v1 and of v3, with SCHEMA for the schema."""
    first, second = mappings
    made = []
    for number in "123":
        made.append((first.legacy, "insert", {"a": number} | _assigned(draw, first.legacy)))
    for _ in range(draw(st.integers(1, 6))):
        table = draw(st.sampled_from([first.legacy, first.legacy, second.target]))
        name = table.columns[0].name
        kind = draw(st.sampled_from(["insert", "update", "update", "update all", "delete"]))
        key = {name: str(draw(st.integers(1, 5)))}
        made.append((table, kind, (key if kind != "update all" else {}) | _assigned(draw, table)))
    return [_statement(table, kind, values) for table, kind, values in made]


def _statement(table: Table, kind: str, values: dict[str, str]) -> str:
    key = table.columns[0].name
    relation = f"SCHEMA.{ident(table.name)}"
    if kind == "insert":
        return _insert(table, "SCHEMA", values)
    where = f" WHERE {ident(key)} = {values[key]}" if key in values else ""
    if kind == "delete":
        return f"DELETE FROM {relation}{where} RETURNING *"
    assigned = ", ".join(f"{ident(n)} = {v}" for n, v in values.items() if n != key)
    return f"UPDATE {relation} SET {assigned}{where} RETURNING *"


@pytest.fixture
def installed(conn: psycopg.Connection) -> Connection:
    state.ensure_installed(conn)
    return conn


def _inside(mapping: Mapping, schema: str) -> Mapping:
    """Return a mapping with its tables in another schema, and functions of its own."""
    return replace(
        mapping,
        name=f"{schema} {mapping.name}",
        legacy=replace(mapping.legacy, schema=schema),
        target=replace(mapping.target, schema=schema),
    )


def _make(conn: Connection, schema: str, first: Mapping, second: Mapping) -> None:
    conn.execute(f"CREATE SCHEMA {schema}")
    first, second = _inside(first, schema), _inside(second, schema)
    # What is returned is read again: the triggers of the view v2 may store something else.
    first = replace(first, target=replace(first.target, triggers=("view",)))
    columns = ", ".join(
        f"{ident(c.name)} {c.type} {'' if c.nullable else 'NOT NULL'}"
        + (f" DEFAULT {c.default}" if c.default else "")
        for c in second.target.columns
    )
    conn.execute(f"CREATE TABLE {second.target.sql} ({columns}, PRIMARY KEY (c))")
    made = [second, first] if schema == "chained" else [compose(first, second)]
    for mapping in made:
        for statement in view.create_view(mapping, mapping.legacy.name):
            conn.execute(statement)


@against_database
@given(data=st.data())
def test_fused_and_chained_answer_alike_and_store_the_same_rows(
    installed: Connection, data: st.DataObject
) -> None:
    first, second = data.draw(pairs())
    asked = data.draw(statements((first, second)))
    for mapping in (first, second):
        note(f"{mapping.rules} {mapping.fills}")
    note("\n".join(asked))
    with installed.transaction(force_rollback=True):
        # One transaction: now() is the same on both sides.
        for schema in ("chained", "fused"):
            _make(installed, schema, first, second)
        for text in asked:
            chained, fused = (
                outcome(installed, text.replace("SCHEMA", schema))
                for schema in ("chained", "fused")
            )
            assert chained == fused, text
            for name, key in (("v3", "c"), ("v1", "a")):
                stored = [
                    outcome(installed, f"SELECT * FROM {schema}.{name} ORDER BY {key}")
                    for schema in ("chained", "fused")
                ]
                assert stored[0] == stored[1], text
