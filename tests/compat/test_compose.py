"""Mappings on top of each other: one view over v3 does what two views over each other do.

Chained means: v2 is a view over the table v3, and v1 one over that view; fused: v1 is a view over
v3, by the composed mapping. Both get the same rows and the same statements.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from compat import rules, state
from compat.compose import compose, compose_all
from compat.errors import MappingError
from compat.mapping import CodeName, Fill, Mapping
from compat.tables import Column, Constraint, Table
from tests.compat.composing import (
    SHAPES,
    Pair,
    integer,
    key_of,
    make_views,
    mapping_between,
    pairs,
    statements,
    stored,
    table_of,
)
from tests.compat.migrations import Connection, outcome
from tests.compat.strategies import against_database

pytestmark = pytest.mark.proof

# What the composed rules are ---------------------------------------------------------------------


def _composed_rule(
    v1: Column, first: rules.AnyRule, v2: Column, second: rules.AnyRule, *v3: Column
) -> rules.AnyRule:
    legacy, middle = table_of("v1", integer("a"), v1), table_of("v2", integer("b"), v2)
    upper = mapping_between("second", middle, table_of("v3", integer("c"), *v3), second)
    return compose(mapping_between("first", legacy, middle, first), upper).rules[1]


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
    v1 = table_of("v1", integer("a"), Column("x", "integer"))
    v2 = table_of("v2", integer("b"), Column("y", "timestamp with time zone"))
    v3 = table_of("v3", integer("c"), Column("z", "timestamp without time zone"))
    first = mapping_between("first", v1, v2, rules.Epoch("x", "y"))
    return first, mapping_between("second", v2, v3, rules.Cast("y", "z", timezone="UTC"))


def test_composition_is_associative_in_what_it_reads_and_writes() -> None:
    first, second = _pair_with_chain()
    v4 = table_of("v4", integer("d"), Column("w", "text"))
    third = mapping_between("third", second.target, v4, rules.Cast("z", "w"))
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
    other = mapping_between("second", narrower, second.target, rules.Cast("y", "z"))
    with pytest.raises(MappingError, match=r"public\.v2\.y is date, and was timestamp with"):
        compose(first, other)


def test_a_key_that_v3_does_not_keep_unique_is_refused_with_the_fix() -> None:
    v1 = table_of("v1", integer("old"))
    v2 = Table(
        "public",
        "v2",
        (integer("id"), integer("old")),
        (key_of("id"), Constraint("v2_old_key", "unique", ("old",), "UNIQUE (old)")),
    )
    v3 = table_of("v3", integer("id"), integer("old"))
    first = Mapping("first", v1, v2, (rules.Column("old", "old"),), (Fill("id", "1"),))
    second = mapping_between("second", v2, v3, rules.Column("old", "old"))
    with pytest.raises(MappingError, match=r"unique constraint over exactly \(old\)"):
        compose(first, second)


# Fused and chained -------------------------------------------------------------------------------


@pytest.fixture
def installed(conn: psycopg.Connection) -> Connection:
    state.ensure_installed(conn)
    return conn


@pytest.mark.examples
@against_database
@given(data=st.data())
def test_fused_and_chained_answer_alike_and_store_the_same_rows(
    installed: Connection, data: st.DataObject
) -> None:
    _compare(installed, data, data.draw(pairs()))


@pytest.mark.examples
@pytest.mark.parametrize("shape", SHAPES)
@against_database
@given(data=st.data())
def test_fused_and_chained_are_alike_in_every_shape(
    installed: Connection, shape: str, data: st.DataObject
) -> None:
    _compare(installed, data, SHAPES[shape](data.draw, data.draw(pairs())))


def _compare(conn: Connection, data: st.DataObject, pair: Pair) -> None:
    """Let clients of all versions do the same to both; compare what they see and what is stored."""
    asked = data.draw(statements(pair))
    for mapping in pair:
        note(f"{mapping.rules} {mapping.fills} {mapping.parts} {mapping.choices}")
    note("\n".join(asked))
    looked_at = [table.name for table in (pair[0].legacy, *stored(pair))]
    with conn.transaction(force_rollback=True):
        # One transaction: now() is the same on both sides.
        for schema in ("chained", "fused"):
            make_views(conn, schema, *pair)
        for text in [*asked, *(f"SELECT * FROM SCHEMA.{name} ORDER BY 1" for name in looked_at)]:
            chained, fused = (
                outcome(conn, text.replace("SCHEMA", schema)) for schema in ("chained", "fused")
            )
            # Where a statement is wrong in two ways, either may be told first.
            assert chained == fused or chained[0] == fused[0] == "failed", text
