"""Shapes on top of each other: what a composed mapping says, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from compat import rules
from compat.compose import compose
from compat.errors import MappingError
from compat.mapping import Fill, Mapping
from compat.shapes import Choice, Half, Parent, Tag
from compat.tables import Column, Constraint, Table
from tests.compat.composing import integer, mapping_between, table_of

V1 = table_of("v1", integer("a"), Column("x", "integer"), Column("y", "text"))
V2 = table_of(
    "v2", integer("b"), Column("x2", "text"), Column("y2", "text"), Column("kind", "integer")
)
TO_V3 = (
    rules.Column("x2", "x3"),
    rules.Column("y2", "y3"),
    rules.Cast("kind", "kind"),
)


def _first(**options: Any) -> Mapping:
    names = (rules.Cast("x", "x2"), rules.Column("y", "y2"))
    return mapping_between("first", V1, V2, *names, **options)


def _only_y(**options: Any) -> Mapping:
    narrow = replace(V1, columns=(V1.columns[0], V1.columns[2]))
    return mapping_between("first", narrow, V2, rules.Column("y", "y2"), **options)


def _second(*elsewhere: str, **options: Any) -> Mapping:
    """Map v2 to v3, with these columns of v3 left to a part."""
    columns = [Column("x3", "text"), Column("y3", "text"), Column("kind", "bigint")]
    more = options.pop("columns", [])
    here = [column for column in columns if column.name not in elsewhere]
    return mapping_between(
        "second", V2, table_of("v3", integer("c"), *here, *more), *TO_V3, **options
    )


def _half(*held: str, **options: Any) -> Half:
    columns = [Column(name.replace("2", "3"), "text") for name in held]
    return Half(table_of("h3", integer("k"), *columns), (("k", "c"),), held, **options)


def _parent(*held: str, **options: Any) -> Parent:
    columns = [Column(name.replace("2", "3"), "text") for name in held]
    names = tuple(column.name for column in columns)
    key = Column("p", "integer", nullable=False, identity="by default")
    table = table_of("p3", key, *columns)
    unique = Constraint("p3_key", "unique", names, "UNIQUE (…)")
    table = replace(table, constraints=(*table.constraints, unique))
    return Parent(table, (("p", "parent"),), held, **options)


REFERENCE = Column("parent", "integer")


def test_a_part_holds_the_columns_that_go_there() -> None:
    composed = compose(_first(), _second("y3", parts=(_half("y2"),)))
    assert [(part.shape, part.holds) for part in composed.parts] == [("half", ("y",))]
    assert composed.lens("y").ends.target_table.name == "h3"
    assert composed.lens("x").rule == rules.Cast("x", "x3")
    assert composed.target.name == "v3"
    assert Mapping.from_json(composed.to_json()) == composed


def test_a_half_of_which_the_older_version_knows_nothing_is_filled() -> None:
    filled = _only_y(fills=(Fill("x2", "upper(y)"),))
    (part,) = compose(filled, _second("x3", parts=(_half("x2"),))).parts
    assert part.holds == ()
    assert [fill.target for fill in part.fills] == ["x3"]
    (part,) = compose(_only_y(), _second("x3", parts=(_half("x2", optional=True),))).parts
    assert (part.holds, part.fills) == ((), ())


def test_an_older_version_that_does_not_know_the_parents_references_none() -> None:
    second = _second("x3", parts=(_parent("x2"),), columns=[REFERENCE])
    composed = compose(_only_y(), second)
    assert (composed.parts, composed.fills) == ((), ())
    default = replace(REFERENCE, default="1")
    second = _second("x3", parts=(_parent("x2"),), columns=[default])
    assert compose(_only_y(), second).fills == (Fill("parent", "NULL"),)


def test_conditions_are_asked_of_the_legacy_columns() -> None:
    other = table_of(
        "c3", integer("c"), Column("x3", "text"), Column("y3", "text"), Column("kind", "bigint")
    )
    second = _second(choices=(Choice(other, "x2 = '1'"),), remainder="x2 <> '1'")
    composed = compose(_first(), second)
    assert '"x"' in composed.choices[0].when
    assert composed.remainder is not None
    assert '"x"' in composed.remainder


@pytest.mark.parametrize(
    ("rule", "kind", "value"),
    [
        (rules.Column("kind", "sort"), "integer", 7),
        (rules.Cast("kind", "sort"), "bigint", 7),
        (rules.Cast("kind", "sort"), "text", "7"),
        (rules.ValueMap("kind", "sort", ((7, "seven"), (8, "eight"))), "text", "seven"),
    ],
)
def test_a_tag_is_what_the_later_rule_makes_of_it(
    rule: rules.AnyRule, kind: str, value: object
) -> None:
    column_rules = (*TO_V3[:2], rule)
    columns = (Column("x3", "text"), Column("y3", "text"), Column("sort", kind))
    second = mapping_between("second", V2, table_of("v3", integer("c"), *columns), *column_rules)
    assert compose(_first(tag=Tag("kind", 7)), second).tag == Tag("sort", value)  # type: ignore[arg-type]


C3 = table_of(
    "c3", integer("c"), Column("x3", "text"), Column("y3", "text"), Column("kind", "bigint")
)
SPLIT_V2 = replace(V2, columns=(*V2.columns[:2], V2.columns[3]))
SPLIT = replace(
    _first(),
    target=SPLIT_V2,
    parts=(Half(table_of("h2", integer("k"), Column("y2", "text")), (("k", "b"),), ("y",)),),
)


def _two_places() -> tuple[Mapping, Mapping]:
    both = rules.Expression("y", "x2 || y2", ("x2", "y2"))
    first = mapping_between("first", V1, V2, rules.Cast("x", "x2"), both)
    return first, _second("y3", parts=(_half("y2"),))


REFUSED: dict[str, Callable[[], tuple[Mapping, Mapping]]] = {
    r"y: needs x2, y2 of public\.v2, which are in several tables": _two_places,
    r"x2: 'first' knows 'y2' only": lambda: (
        _only_y(),
        _second("x3", "y3", parts=(_half("x2", "y2", optional=True),)),
    ),
    r"x2: new rows of 'first' would have 'a' in public\.p3": lambda: (
        _only_y(fills=(Fill("x2", "'a'"),)),
        _second("x3", parts=(_parent("x2"),), columns=[REFERENCE]),
    ),
    r"would leave its parent behind": lambda: (
        _only_y(),
        _second("x3", parts=(_parent("x2", orphans="delete"),), columns=[REFERENCE]),
    ),
    r"v3\.parent must reference a parent": lambda: (
        _only_y(),
        _second("x3", parts=(_parent("x2"),), columns=[replace(REFERENCE, nullable=False)]),
    ),
    r"x2: which table takes a row depends on it, and on columns that 'first' writes": lambda: (
        _only_y(),
        _second(choices=(Choice(C3, "x2 = '1' OR y2 = '1'"),)),
    ),
    r"x2: which table takes a row depends on it, and it is filled from y": lambda: (
        _only_y(fills=(Fill("x2", "y"),)),
        _second(choices=(Choice(C3, "x2 = '1'"),)),
    ),
    r"the tag 'kind' of 'first' is in public\.h3; it must be in public\.v3": lambda: (
        _first(tag=Tag("kind", 7)),
        _second(
            "kind",
            parts=(
                Half(
                    table_of("h3", integer("k"), Column("kind", "bigint")), (("k", "c"),), ("kind",)
                ),
            ),
        ),
    ),
    r"both are over several tables": lambda: (
        SPLIT,
        mapping_between(
            "second",
            SPLIT_V2,
            table_of("v3", integer("c"), Column("kind", "bigint")),
            *(rule for rule in TO_V3 if rule.legacy in ("x2", "kind")),
            parts=(_half("x2"),),
        ),
    ),
    r"public\.v2\.b joins the rows of 'first'; map it with rules\.Column": lambda: (
        SPLIT,
        Mapping(
            "second",
            SPLIT_V2,
            table_of(
                "v3", Column("c", "bigint", nullable=False), *(Column(n, "text") for n in ("x3",))
            ),
            (rules.Cast("b", "c"), rules.Column("x2", "x3"), rules.Constant("kind", 1)),
            accept=("kind",),
        ),
    ),
    r"a: the tables of 'first' would hold it differently": lambda: (
        _first(choices=(Choice(replace(V2, name="c2"), "x = 1"),)),
        _second(),
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_composed_is_refused_with_the_reason(reason: str) -> None:
    first, second = REFUSED[reason]()
    with pytest.raises(MappingError, match=reason):
        compose(first, second)


def test_a_table_of_several_is_replaced_and_joined_by_its_new_names() -> None:
    (part,) = SPLIT.parts
    later = table_of("h3", integer("key"), Column("y3", "text"))
    names = (rules.Column("k", "key"), rules.Column("y2", "y3"))
    (replaced,) = compose(SPLIT, Mapping("second", part.table, later, names)).parts
    assert (replaced.table, replaced.on, replaced.holds) == (later, (("key", "b"),), ("y",))


def test_one_of_the_tables_of_choices_is_replaced_by_one_that_is_alike() -> None:
    other = Table("public", "c2", V2.columns, V2.constraints)
    first = _first(choices=(Choice(other, "x = 1"),))
    later = Table("public", "c9", (*V2.columns, Column("colour", "text")), V2.constraints)
    same = tuple(rules.Column(name, name) for name in V2.column_names)
    composed = compose(first, Mapping("second", other, later, same))
    assert composed.choices == (Choice(later, "x = 1"),)
    assert composed.target == V2
    assert compose(first, Mapping("second", V2, replace(V2, name="v9"), same)).target.name == "v9"
