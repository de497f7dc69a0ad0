"""Mappings on top of each other for tests: pairs of them, and what clients do to each version.

Chained means: v2 is a view over the tables of v3, and v1 one over that view; fused: v1 is a view
over v3, by the composed mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal
from unittest import mock

from hypothesis import strategies as st

from compat import rules
from compat.compile import horizon, view
from compat.compose import compose
from compat.mapping import Fill, Mapping
from compat.names import ident, literal
from compat.rules import AnyRule
from compat.shapes import Choice, Half, Parent
from compat.tables import Column, Constraint, Table
from tests.compat.migrations import Connection

ODD = 'Wert "%s"'
"""A name of each level's columns begins so."""


def key_of(name: str) -> Constraint:
    return Constraint(f"{name}_pkey", "primary_key", (name,), "PRIMARY KEY (…)")


def table_of(name: str, key: Column, *columns: Column) -> Table:
    return Table("public", name, (key, *columns), (key_of(key.name),))


def mapping_between(
    name: str, legacy: Table, target: Table, *column_rules: Any, **options: Any
) -> Mapping:
    """Map two tables whose keys are renamed, accepting every loss."""
    key = rules.Column(legacy.columns[0].name, target.columns[0].name)
    accepted = tuple(column.name for column in legacy.columns[1:])
    return Mapping(name, legacy, target, (key, *column_rules), accept=accepted, **options)


def integer(name: str) -> Column:
    return Column(name, "integer", nullable=False)


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


def first_level(draw: Any, old: str, new: str) -> tuple[Column, Level]:
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


def second_level(draw: Any, column: Column, new: str, is_plain: bool = False) -> Level:
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
        legacy, lower = first_level(draw, f"{ODD} {n}", f"v2 {n}")
        is_plain = lower.rule.rule == "column"
        upper = tuple(
            second_level(draw, column, f"v3 {column.name}", is_plain) for column in lower.targets
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
    hidden_level = second_level(draw, hidden, "v3 hidden")
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
    v1 = table_of("v1", integer("a"), *(case.legacy for case in cases))
    v2 = table_of("v2", integer("b"), *v2_columns)
    v3 = table_of("v3", integer("c"), *v3_columns)
    fills = (Fill(given_at, fill_sql),) if filled else ()
    upper_fills = (Fill("new in v3", '"b"::text'),) if draw(st.booleans()) else ()
    first_rules = [case.first.rule for case in cases]
    first = mapping_between("first", v1, v2, *first_rules, form="instead_of", fills=fills)
    second_rules = [level.rule for level in v3_levels]
    second = mapping_between("second", v2, v3, *second_rules, form="instead_of", fills=upper_fills)
    return first, second


# Shapes ------------------------------------------------------------------------------------------

Pair = tuple[Mapping, Mapping]


def _without(table: Table, names: set[str]) -> Table:
    return replace(table, columns=tuple(c for c in table.columns if c.name not in names))


def _with(table: Table, *columns: Column) -> Table:
    return replace(table, columns=(*table.columns, *columns))


def _columns_of(table: Table, names: Iterable[str]) -> list[Column]:
    wanted = set(names)
    return [column for column in table.columns if column.name in wanted]


def _groups(draw: Any, first: Mapping, is_optional: bool) -> list[AnyRule]:
    """Draw rules of the first mapping whose columns can be in a half of their own."""
    rules_of_columns = [r for r in first.rules[1:] if not (is_optional and r.absorbs_null())]
    several = st.lists(st.sampled_from(rules_of_columns), min_size=1, unique=True)
    drawn: list[AnyRule] = draw(several)
    return drawn


def newer_half(draw: Any, pair: Pair, is_optional: bool = False) -> Pair:
    """Draw which columns the second mapping keeps in a half."""
    first, second = pair
    if is_optional and all(rule.absorbs_null() for rule in first.rules[1:]):
        return pair
    held = {name for rule in _groups(draw, first, is_optional) for name in rule.targets}
    if not is_optional and draw(st.booleans()):
        held |= {"moment", "set"}
    if not is_optional and draw(st.booleans()):
        held.add("hidden")
    moved = [rule for rule in second.rules if rule.legacy in held]
    if is_optional and not all(rule.targets for rule in moved):
        return pair
    there = {name for rule in moved for name in rule.targets}
    half = table_of("h3", integer("k"), *_columns_of(second.target, there))
    part = Half(half, (("k", "c"),), tuple(sorted(held)), optional=is_optional)
    target = _without(second.target, there)
    return first, replace(second, target=target, parts=(*second.parts, part))


def older_half(draw: Any, pair: Pair) -> Pair:
    """Draw which columns the first mapping keeps in a half; v2 itself becomes a view."""
    first, second = pair
    chosen = _groups(draw, first, is_optional=False)
    there = {name for rule in chosen for name in rule.targets}
    half = table_of("h2", integer("k"), *_columns_of(first.target, there))
    part = Half(half, (("k", "b"),), tuple(rule.legacy for rule in chosen))
    target = _without(first.target, there)
    later = {name for rule in second.rules if rule.legacy in there for name in rule.targets}
    return (
        replace(first, target=target, parts=(part,)),
        replace(
            second,
            legacy=target,
            target=_without(second.target, later),
            rules=tuple(rule for rule in second.rules if rule.legacy not in there),
            accept=tuple(name for name in second.accept if name not in there),
        ),
    )


def older_half_replaced(draw: Any, pair: Pair) -> Pair:
    """Draw the same, where it is the half that becomes a view."""
    _, second = pair
    split, _ = older_half(draw, pair)
    (part,) = split.parts
    moved = [rule for rule in second.rules if part.table.column(rule.legacy) is not None]
    later = _columns_of(second.target, (name for rule in moved for name in rule.targets))
    return split, mapping_between(
        "second", part.table, table_of("h3", integer("c"), *later), *moved, form="instead_of"
    )


_IDENTITIES = [
    (Column("name", "text"), "column", Column("v2 name", "text"), "column", "text"),
    (Column("name", "integer"), "cast", Column("v2 name", "bigint"), "column", "bigint"),
    (Column("name", "integer"), "column", Column("v2 name", "integer"), "cast", "text"),
    (Column("name", "integer"), "map", Column("v2 name", "text"), "column", "text"),
    (Column("name", "integer"), "cast", Column("v2 name", "bigint"), "cast", "numeric(20,0)"),
    (None, "column", Column("v2 name", "text"), "column", "text"),
]
"""What identifies a parent on its way; None where v1 does not know of it."""


Orphans = Literal["keep", "delete"]
_ORPHANS: tuple[Orphans, ...] = ("keep", "delete")


def _identity(kind: str, old: str, new: str) -> AnyRule:
    if kind == "map":
        return rules.ValueMap(old, new, tuple(zip(_NUMBERS, _WORDS, strict=True)))
    return rules.Cast(old, new) if kind == "cast" else rules.Column(old, new)


def _numbered(column: Column) -> tuple[Fill, ...]:
    """Return what gives a parent its key: not a sequence, which a failed statement draws from."""
    return (Fill("p", f"pg_catalog.hashtext({ident(column.name)}::text)"),)


def _parents(name: str, identity: Column) -> Table:
    unique = Constraint(f"{name}_key", "unique", (identity.name,), "UNIQUE (…)")
    found = table_of(name, integer("p"), identity)
    return replace(found, constraints=(*found.constraints, unique))


def newer_parent(draw: Any, pair: Pair) -> Pair:
    """Draw a column that the second mapping keeps in parents, which the first may not know."""
    first, second = pair
    v1, kind, v2, later_kind, later_type = draw(st.sampled_from(_IDENTITIES))
    if v1 is not None:
        first = replace(
            first,
            legacy=_with(first.legacy, v1),
            target=_with(first.target, v2),
            rules=(*first.rules, _identity(kind, v1.name, v2.name)),
        )
    else:
        first = replace(first, target=_with(first.target, v2))
    orphans: Orphans = "keep" if v1 is None else draw(st.sampled_from(_ORPHANS))
    parents = _parents("p3", Column("v3 name", later_type))
    part = Parent(parents, (("p", "parent"),), (v2.name,), _numbered(v2), orphans)
    return first, replace(
        second,
        legacy=first.target,
        target=_with(second.target, Column("parent", "integer")),
        rules=(*second.rules, _identity(later_kind, v2.name, "v3 name")),
        parts=(*second.parts, part),
    )


def older_parent(draw: Any, pair: Pair) -> Pair:
    """Draw a column that the first mapping keeps in parents; v2 itself becomes a view."""
    first, second = pair
    v1, kind, v2, *_ = draw(st.sampled_from(_IDENTITIES[:-1]))
    middle = _with(first.target, Column("parent", "integer"))
    orphans: Orphans = draw(st.sampled_from(_ORPHANS))
    part = Parent(_parents("p2", v2), (("p", "parent"),), (v1.name,), _numbered(v1), orphans)
    return replace(
        first,
        legacy=_with(first.legacy, v1),
        target=middle,
        rules=(*first.rules, _identity(kind, v1.name, v2.name)),
        parts=(part,),
    ), replace(
        second,
        legacy=middle,
        target=_with(second.target, Column("v3 parent", "integer")),
        rules=(*second.rules, rules.Column("parent", "v3 parent")),
    )


def older_parent_replaced(draw: Any, pair: Pair) -> Pair:
    """Draw the same, where it is the parents that become a view."""
    first, _ = older_parent(draw, pair)
    (part,) = first.parts
    identity = part.table.columns[1]
    later = _parents("p3", replace(identity, name="v3 name"))
    later = replace(later, columns=(replace(later.columns[0], name="q"), *later.columns[1:]))
    later = replace(later, constraints=(key_of("q"), *later.constraints[1:]))
    names = (rules.Column("p", "q"), rules.Column(identity.name, "v3 name"))
    return first, Mapping("second", part.table, later, names)


_CONDITIONS = {
    "integer": "{} = 1",
    "bigint": "{} > 1",
    "text": "{} IN ('a', 'b')",
    "numeric(12,2)": "{} = 1.5",
    "boolean": "{}",
    _ZONED: "{} > '2000-01-01'",
}


def newer_choice(draw: Any, pair: Pair) -> Pair:
    """Draw a condition over v2 by which rows are in one of two tables."""
    first, second = pair
    told = [r.targets[0] for r in first.rules[1:] if r.targets and r.rule != "expression"]
    named = draw(st.sampled_from([*told, "hidden"]))
    (column,) = _columns_of(first.target, [named])
    when = _CONDITIONS[column.type].format(ident(named))
    rest = f"NOT {when}"
    remainder = draw(st.sampled_from([None, rest, f"{rest} OR {ident(named)} IS NULL"]))
    other = replace(second.target, name="c3")
    return first, replace(second, choices=(Choice(other, when),), remainder=remainder)


SHAPES: dict[str, Callable[[Any, Pair], Pair]] = {
    "v3 is split by key": newer_half,
    "v3 is split by key, optional": lambda draw, pair: newer_half(draw, pair, is_optional=True),
    "v3 has parents": newer_parent,
    "v3 is split by key and has parents": lambda draw, pair: newer_parent(
        draw, newer_half(draw, pair)
    ),
    "v3 is split by predicate": newer_choice,
    "v2 is split by key": older_half,
    "v2 is split by key, and the half replaced": older_half_replaced,
    "v2 has parents": older_parent,
    "v2 has parents, and they are replaced": older_parent_replaced,
}
"""What makes a pair of mappings one with a shape in the first or in the second."""


# What clients do ---------------------------------------------------------------------------------


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
    """Draw a value as SQL; clients of tables write nothing that a view of v2 could not show."""
    if column.name.endswith("parent"):  # a foreign key would let no other parent be referenced
        return "NULL"
    is_shown = table.name != "v1" and column.type == "text"
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
    """Statements of clients of v1 and of the tables, with SCHEMA for the schema."""
    first, second = mappings
    made = []
    for number in "123":
        made.append((first.legacy, "insert", {"a": number} | _assigned(draw, first.legacy)))
    for _ in range(draw(st.integers(1, 6))):
        table = draw(st.sampled_from([first.legacy, first.legacy, *stored(mappings)]))
        name = table.columns[0].name
        kind = draw(st.sampled_from(["insert", "update", "update", "update all", "delete"]))
        # Nothing but the views keeps a key unique among the tables of choices.
        is_apart = bool(second.choices) and kind == "insert" and table is not first.legacy
        born = 10 * (1 + stored(mappings).index(table)) if is_apart else 0
        key = {name: str(draw(st.integers(1, 5)) + born)}
        made.append((table, kind, (key if kind != "update all" else {}) | _assigned(draw, table)))
    return [_statement(table, kind, values) for table, kind, values in made]


def stored(mappings: tuple[Mapping, Mapping]) -> list[Table]:
    """Return the tables of two mappings that hold rows when both are views."""
    first, second = mappings
    others = [table for table in first.tables if table.name != second.legacy.name]
    return [*second.tables, *others]


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


def _inside(mapping: Mapping, schema: str) -> Mapping:
    """Return a mapping with its tables in another schema, and functions of its own."""

    def moved(table: Table) -> Table:
        return replace(table, schema=schema)

    return replace(
        mapping,
        name=f"{schema} {mapping.name}",
        legacy=moved(mapping.legacy),
        target=moved(mapping.target),
        parts=tuple(replace(part, table=moved(part.table)) for part in mapping.parts),
        choices=tuple(replace(item, table=moved(item.table)) for item in mapping.choices),
    )


def make_views(conn: Connection, schema: str, first: Mapping, second: Mapping) -> None:
    """Make the tables and views in a schema of their own, which is called chained or fused."""
    conn.execute(f"CREATE SCHEMA {schema}")
    first, second = _inside(first, schema), _inside(second, schema)
    for table in stored((first, second)):
        _create(conn, table)
    # What is returned is read again: the triggers of the view v2 may store something else.
    first = _with_triggers(first, second.legacy)
    made = [second, first] if schema == "chained" else [compose(first, second)]
    for mapping in made:
        # A view, which only a chain has for its target, has no xmin to tell the age of a row by.
        is_over_view = mapping is first
        with mock.patch.object(horizon, "tells", _never) if is_over_view else nullcontext():
            statements = view.create_view(mapping, mapping.legacy.name)
        for statement in statements:
            conn.execute(statement)


def _never(mapping: Mapping) -> bool:
    return False


def _with_triggers(first: Mapping, middle: Table) -> Mapping:
    def marked(table: Table) -> Table:
        return replace(table, triggers=("view",)) if table.name == middle.name else table

    return replace(
        first,
        target=marked(first.target),
        parts=tuple(replace(part, table=marked(part.table)) for part in first.parts),
        choices=tuple(replace(item, table=marked(item.table)) for item in first.choices),
    )


def _create(conn: Connection, table: Table) -> None:
    parts = [
        f"{ident(c.name)} {c.type} {'' if c.nullable else 'NOT NULL'}"
        + (f" DEFAULT {c.default}" if c.default else "")
        for c in table.columns
    ]
    parts += [
        f"{'PRIMARY KEY' if item.kind == 'primary_key' else 'UNIQUE'} "
        f"({', '.join(map(ident, item.columns))})"
        for item in table.constraints
    ]
    conn.execute(f"CREATE TABLE {table.sql} ({', '.join(parts)})")
