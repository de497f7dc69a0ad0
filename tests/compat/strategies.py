"""Random valid mappings, odd names among them, and how many examples the properties take.

A mapping is put together from blocks: each brings legacy columns, target columns and one rule.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from compat import rules
from compat.mapping import Fill, Mapping
from compat.tables import Column, Constraint, Index, Sequence, Table

MANY = settings.get_current_profile_name() == "proof"

# A time limit would measure the machine; a fixture per function is what the properties want.
pure = settings(max_examples=60, deadline=None)
against_database = settings(
    max_examples=50 if MANY else 10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

HOSTILE_NAMES = [
    'Order "Lines"; --',
    "select",
    "ключ",
    "a.b",
    "%s",
    "it's",
    "$compat$",
    "x" * 63,
    "é" * 31,
    "back\\slash",
    "new\nline",
    " ",
]
_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(_characters, max_size=20)
names = st.sampled_from(HOSTILE_NAMES) | st.text(_characters, min_size=1, max_size=15)
maybe_text = st.none() | texts

Block = tuple[Column, list[Column], rules.AnyRule]


def _renamed(draw: Any, old: str, new: str) -> Block:
    kind = draw(st.sampled_from(["integer", "text", "numeric(10,2)", "jsonb", 'public."Odd (x)"']))
    nullable = draw(st.booleans())
    default = draw(maybe_text)
    legacy = Column(old, kind, nullable, default, comment=draw(maybe_text))
    return legacy, [Column(new, kind, True)], rules.Column(old, new)


def _cast(draw: Any, old: str, new: str) -> Block:
    choices: list[tuple[str, str, dict[str, Any]]] = [
        ("integer", "bigint", {}),
        ("numeric(10,2)", "integer", {"factor": 100}),
        ("integer", "numeric(12,2)", {"factor": Decimal("0.01")}),
        ("timestamp without time zone", "timestamp with time zone", {"timezone": "UTC"}),
        ("character varying(20)", "text", {}),
        ("text", "numeric(12,2)", {"keep": f"{new[:10]} kept"}),
    ]
    source, result, options = draw(st.sampled_from(choices))
    targets = [Column(new, result)]
    if "keep" in options:
        targets.append(Column(options["keep"], source))
    return Column(old, source), targets, rules.Cast(old, new, **options)


def _value_map(draw: Any, old: str, new: str) -> Block:
    pairs = draw(
        st.lists(
            st.tuples(st.integers(-(2**31), 2**31 - 1), texts),
            min_size=1,
            max_size=4,
            unique_by=(lambda pair: pair[0], lambda pair: pair[1]),
        )
    )
    unknown = draw(st.none() | st.integers(0, 9))
    rule = rules.ValueMap(old, new, tuple(pairs), unknown=unknown)
    return Column(old, "integer"), [Column(new, "text")], rule


def _epoch(draw: Any, old: str, new: str) -> Block:
    unit = draw(st.sampled_from(["us", "ms", "s", "min", "h", "d"]))
    zone = draw(st.sampled_from(["with", "without"]))
    target = Column(new, f"timestamp {zone} time zone")
    rule = rules.Epoch(old, new, unit, infinity=draw(st.none() | st.integers(0, 9)))
    return Column(old, "bigint"), [target], rule


def _flag(draw: Any, old: str, new: str) -> Block:
    kind, values = draw(
        st.sampled_from(
            [("boolean", {}), ("integer", {}), ("character(1)", {"on": "Y", "off": "N"})]
        )
    )
    at = draw(st.none() | st.just("pg_catalog.now()"))
    rule = rules.Flag(old, new, at=at, **values)
    return Column(old, kind, False), [Column(new, "timestamp with time zone")], rule


def _text(draw: Any, old: str, new: str) -> Block:
    trim = draw(st.sampled_from(["both", "leading", "trailing"]))
    keep = draw(st.none() | st.just(f"{new[:10]} kept"))
    rule = rules.Text(old, new, trim, draw(st.sampled_from([None, "lower", "upper"])), keep)
    targets = [Column(new, "text"), *([Column(keep, "text")] if keep else [])]
    return Column(old, "text"), targets, rule


def _delimited(draw: Any, old: str, new: str) -> Block:
    rule = rules.Delimited(old, new, draw(texts.filter(bool)))
    return Column(old, "text"), [Column(new, "text[]")], rule


def _lookup(draw: Any, old: str, new: str) -> Block:
    parent = rules.Referenced(*draw(st.lists(names, min_size=4, max_size=4, unique=True)))
    keep = draw(st.none() | st.just(f"{new[:10]} kept"))
    rule = rules.Lookup(old, new, parent, keep, draw(st.none() | names))
    targets = [Column(new, "uuid"), *([Column(keep, "integer")] if keep else [])]
    return Column(old, "integer"), targets, rule


def _json_field(draw: Any, old: str, new: str) -> Block:
    path = draw(texts | st.tuples(texts, st.integers(0, 9), texts))
    rule = rules.JsonField(old, new, path, draw(st.sampled_from(["missing", "null"])))
    kind = draw(st.sampled_from(["text", "numeric(10,2)", "boolean", "timestamp with time zone"]))
    return Column(old, kind), [Column(new, "jsonb")], rule


def _constant(draw: Any, old: str, new: str) -> Block:
    kind, value = draw(
        st.sampled_from([("text", "gone"), ("integer", -1), ("boolean", False), ("text", None)])
        | texts.map(lambda text: ("text", text))
    )
    return Column(old, kind), [], rules.Constant(old, value)


def _expression(draw: Any, old: str, new: str) -> Block:
    writes = ((new, draw(texts)),) if draw(st.booleans()) else ()
    rule = rules.Expression(old, draw(texts), (new,), writes, lossless=draw(st.booleans()))
    return Column(old, "text"), [Column(new, "text")], rule


_BLOCKS: list[Callable[[Any, str, str], Block]] = [
    _renamed,
    _cast,
    _value_map,
    _epoch,
    _flag,
    _text,
    _delimited,
    _lookup,
    _json_field,
    _constant,
    _expression,
]


@st.composite
def mappings(draw: Any) -> Mapping:
    """A valid mapping of 2 to 7 columns, with fills, keys, indexes and sequences of all sorts."""
    count = draw(st.integers(2, 7))
    old_names = draw(st.lists(names, min_size=count, max_size=count, unique=True))
    new_names = draw(st.lists(names, min_size=count + 1, max_size=count + 1, unique=True))
    key = (
        Column(old_names[0], "integer", False, "nextval('public.s'::regclass)"),
        [Column(new_names[0], "integer", False)],
        rules.Column(old_names[0], new_names[0]),
    )
    blocks: list[Block] = [key]
    for old, new in zip(old_names[1:], new_names[1:-1], strict=True):
        blocks.append(draw(st.sampled_from(_BLOCKS))(draw, old, new))
    fills = [Fill(new_names[-1], draw(texts))] if draw(st.booleans()) else []
    targets = [column for _, columns, _ in blocks for column in columns]
    targets.append(Column(new_names[-1], "text"))
    assume(len({column.name for column in targets}) == len(targets))  # side columns may meet
    schema, old_table, new_table = draw(st.lists(names, min_size=3, max_size=3, unique=True))
    legacy = Table(
        schema,
        old_table,
        tuple(block[0] for block in blocks),
        (_primary_key(old_names[0]),),
        (Index("i", "USING btree (x)", draw(st.booleans())),) if draw(st.booleans()) else (),
        (Sequence("public", "s", old_names[0]),),
        comment=draw(maybe_text),
    )
    target = Table(schema, new_table, tuple(targets), (_primary_key(new_names[0]),))
    return Mapping(
        draw(names),
        legacy,
        target,
        tuple(draw(st.permutations([block[2] for block in blocks]))),
        tuple(fills),
        draw(st.sampled_from(["auto", "instead_of"])),
        tuple(old_names[1:]),
    )


def _primary_key(column: str) -> Constraint:
    return Constraint(f"{column[:20]}_pk", "primary_key", (column,), "PRIMARY KEY (…)")
