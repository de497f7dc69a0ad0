"""Random legacy tables, the targets that replace them and the mapping between the two.

A table is put together from blocks. A block is one legacy column, its rule and the target columns
of that rule; a new rule is one more entry of CASES (tests/compat/rule_cases.py) or of KINDS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from hypothesis import strategies as st

from compat import rules
from compat.mapping import Form
from compat.names import ident, idents, literal
from compat.shapes import Choice, Half, Parent, Tag
from compat.tables import Table
from tests.compat.rule_cases import CASES, TOPICS, Case, cents, ints, prices, short_texts
from tests.compat.strategies import HOSTILE_NAMES

Sql = st.SearchStrategy[str]

_FORMS = ("auto", *(form for form in get_args(Form) if form != "reversed"))
"""`reversed` has no view at the legacy name, so nothing that could differ from the twin there."""

KEY_INTEGERS = [str(n) for n in range(1, 8)]
UUIDS = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(6)]
_PLAIN: dict[str, st.SearchStrategy[str | None]] = {
    "integer": ints,
    "smallint": st.integers(-9, 9).map(str),
    "text": short_texts | st.none(),
    "varchar(20)": short_texts | st.none(),
    "char(3)": st.sampled_from(["", "a", "abc", "  a"]),
    "boolean": st.booleans().map(str) | st.none(),
    "numeric": prices.filter(lambda text: text.strip() == text),
    "numeric(12,2)": cents,
    "double precision": st.floats(allow_nan=True).map(str),
    "date": st.dates().map(str) | st.sampled_from(["infinity", "0044-03-15 BC"]),
    "timestamp(3)": st.datetimes().map(str),
    "timestamptz": st.datetimes().map(lambda at: f"{at}+00") | st.just("-infinity"),
    "interval": st.sampled_from(["1 day", "24:00", "1 mon -1 day"]),
    "uuid": st.sampled_from(UUIDS) | st.none(),
    "jsonb": st.sampled_from(['{"a": 1}', "[]", "null", '"x"']) | st.none(),
    "bytea": st.binary(max_size=4).map(lambda data: f"\\x{data.hex()}"),
    "integer[]": st.sampled_from(["{}", "{1,NULL}", "{{1,2}}"]) | st.none(),
    'text COLLATE "C"': short_texts,
}
_ACCEPTED: dict[str, Any] = {"accept": ("v",)}
KINDS: dict[str, Case] = {
    **{
        f"plain {kind}": Case(kind, rules.Column("v", "t"), (f"t {kind}",), given, (given,))
        for kind, given in _PLAIN.items()
    },
    **{name: case for name, case in CASES.items() if "clock_timestamp" not in str(case.rule)},
    "a spelling that is lost": Case(
        "text", rules.Cast("v", "t"), ("t numeric(12,2)",), prices, (cents,), _ACCEPTED
    ),
    "two values that become one": Case(
        "text",
        rules.ValueMap("v", "t", (*TOPICS, ("c", "Beta"))),
        ("t text",),
        st.sampled_from(["a", "b", "c", None]),
        (st.sampled_from(["Alpha", "Beta"]),),
        _ACCEPTED,
    ),
    "a constant": Case("text", rules.Constant("v", "c"), (), short_texts, (), _ACCEPTED),
}
"""What a column may be: the legacy column is called v, the target columns as `target` says."""

REFUSED: dict[str, Sql] = {
    "value map": st.just("9"),
    "two values that become one": st.just("'z'"),
    "a spelling that is lost": st.sampled_from(["'abc'", "''", "'1e99'"]),
    "flag as a letter, turned round": st.just("'J'"),
}
"""Values that the plan says the target cannot hold: written rarely, and refused."""


@dataclass(frozen=True)
class Block:
    """One legacy column and what becomes of it.

    :param kind: its type, with a collation
    :param values: SQL for values that clients write
    :param default: SQL, None without
    :param born: target column → SQL for values that v2 applications write
    :param definitions: target column → what follows its name in CREATE TABLE
    :param is_lossy: whether the mapping has to accept a loss
    :param before: SQL for what must be there before the tables
    """

    name: str
    kind: str
    nullable: bool
    default: str | None
    values: Sql = field(repr=False)
    refused: Sql | None = field(repr=False)
    rule: rules.AnyRule
    definitions: dict[str, str]
    born: dict[str, Sql] = field(repr=False)
    is_lossy: bool = False
    is_serial: bool = False
    before: str = "SELECT"

    @property
    def definition(self) -> str:
        """The column as CREATE TABLE takes it."""
        parts = [ident(self.name), "serial" if self.is_serial else self.kind]
        parts += [] if self.nullable else ["NOT NULL"]
        parts += [] if self.default is None else [f"DEFAULT {self.default}"]
        return " ".join(parts)

    @property
    def is_integer(self) -> bool:
        return self.kind in ("integer", "bigint", "smallint")

    @property
    def keeps_equality(self) -> bool:
        """Whether values differ in the target exactly if they differ in the legacy table."""
        keeps_original = getattr(self.rule, "keep", None) is not None
        return self.rule.invertible and not self.is_lossy and not keeps_original

    @property
    def identifies(self) -> bool:
        """Whether a parent can be found by the column: equal values are the same value."""
        differ = ("numeric", "interval", "double precision", "jsonb", "bytea", "integer[]")
        return (
            self.keeps_equality and len(self.definitions) == 1 and not self.rule.shares
        ) and self.kind not in differ


Reflect = Callable[[str], Table]


@dataclass(frozen=True)
class Shape:
    """Tables beside the target, and how the mapping speaks of them.

    :param prepare: SQL that makes them, after the target
    :param options: the arguments of Mapping, from the tables as they were reflected
    :param keeps_hidden: whether a row stays in the target as long as it lives
    :param takes_v2: whether v2 applications can write to the target alone
    :param v2: what they write to any of the tables otherwise, as SQL
    """

    prepare: tuple[str, ...] = ()
    options: Callable[[Reflect], dict[str, Any]] = field(default=lambda _: {}, repr=False)
    keeps_hidden: bool = True
    takes_v2: bool = True
    v2: tuple[Sql, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Tables:
    """Two tables as SQL, and the rules between them.

    :param legacy: CREATE TABLE for any name, of which TABLE holds the place
    :param key: the blocks of the primary key
    :param hidden: target columns that no legacy write may change
    :param filled: target columns that v2 applications must give a value, as SQL
    """

    legacy_name: str
    target_name: str
    legacy: str
    target: str
    blocks: tuple[Block, ...]
    key: tuple[Block, ...]
    hidden: tuple[str, ...]
    filled: dict[str, str]
    fills: tuple[dict[str, str], ...]
    form: str
    shape: Shape

    @property
    def others(self) -> tuple[Block, ...]:
        """The blocks that are not part of the key."""
        return tuple(block for block in self.blocks if block not in self.key)

    @property
    def options(self) -> dict[str, Any]:
        """What the mapping is told besides its rules."""
        lossy = tuple(block.name for block in self.blocks if block.is_lossy)
        return {"accept": lossy, "fills": self.fills}


TABLE = "⟦table⟧"
"""Stands for the quoted name of the view or of the twin in statements for both."""

_SANE = ["id", "qty", "name", "state", "created", "v", "t", "l", "key", "Value"]
_names = st.sampled_from(_SANE + HOSTILE_NAMES)
_hidden = {
    "text DEFAULT 'hidden'": "'v2'",
    "integer NOT NULL DEFAULT 7": "8",
    "text": "'v2'",
    "timestamptz NOT NULL DEFAULT now()": "now()",
}


def one_in(draw: Any, number: int) -> bool:
    """Draw True once in a while; shrinks to False."""
    return bool(draw(st.integers(1, number)) == number)


def sql_of(text: str | None) -> str:
    """Return a literal of no type yet."""
    return "NULL" if text is None else literal(text)


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Return a rule, or a part of it, with other column names."""
    match value:
        case str():
            return names.get(value, value)
        case tuple():
            return tuple(renamed(part, names) for part in value)
        case rules.Expression():
            return replace(
                value,
                legacy=names[value.legacy],
                read_sql=renamed_sql(value.read_sql, names),
                uses=renamed(value.uses, names),
                writes=tuple((names[to], renamed_sql(sql, names)) for to, sql in value.writes),
            )
        case rules.Rule():
            changed = {
                item.name: renamed(getattr(value, item.name), names)
                for item in fields(value)  # type: ignore[arg-type]
                if item.name != "rule"
            }
            return replace(value, **changed)  # type: ignore[type-var]
    return value


def renamed_sql(sql: str, names: dict[str, str]) -> str:
    """Return SQL with other column names."""
    words = "|".join(names)
    return re.sub(rf"\b({words})\b", lambda found: ident(names[found[0]]), sql)


@st.composite
def blocks(draw: Any, name: str, target_names: list[str]) -> Block:
    """A column that is no part of the key; takes the names of its target columns off the list."""
    title = draw(st.sampled_from(sorted(KINDS)))
    case = KINDS[title]
    kind, required, _ = case.legacy.partition(" NOT NULL")
    # What an accepted loss makes of a value may meet a constraint that the value itself breaks.
    nullable = bool(case.options) or (not required and draw(st.booleans()))
    values = case.given.filter(lambda text: text is not None) if not nullable else case.given
    old = [definition.split()[0] for definition in case.target]
    names = {"v": name} | {short: target_names.pop() for short in old}
    literals = values.map(sql_of)
    return Block(
        name,
        kind,
        nullable,
        draw(literals) if draw(st.booleans()) else None,
        literals,
        REFUSED.get(title),
        renamed(case.rule, names),
        dict(_definition(text, names) for text in case.target),
        {names[short]: born.map(sql_of) for short, born in zip(old, case.born, strict=True)},
        bool(case.options),
        before=case.before,
    )


def _definition(text: str, names: dict[str, str]) -> tuple[str, str]:
    """Return the name of a target column and what follows it in CREATE TABLE."""
    name, rest = text.split(maxsplit=1)
    return names[name], renamed_sql(rest, names) if "CHECK" in rest else rest


_KEYS: dict[str, tuple[str, str, list[str]]] = {
    "serial": ("integer", "integer", KEY_INTEGERS),
    "serial that grows": ("integer", "bigint", KEY_INTEGERS),
    "bigint": ("bigint", "bigint", KEY_INTEGERS),
    "number as text": ("integer", "text", KEY_INTEGERS),
    "text": ("text", "text", ["", "a", "A", "it's", "%s", "é"]),
    "uuid": ("uuid", "uuid", UUIDS),
}


@st.composite
def keys(draw: Any, name: str, target_name: str) -> Block:
    """A column of the key, with few values, so that rows meet."""
    title = draw(st.sampled_from(list(_KEYS)))
    kind, target_kind, few = _KEYS[title]
    rule = rules.Column if kind == target_kind else rules.Cast
    values = st.sampled_from([literal(text) for text in few])
    is_serial = title.startswith("serial")
    return Block(
        name,
        kind,
        False,
        None,
        values,
        None,
        rule(name, target_name),
        {target_name: target_kind},
        {target_name: values},
        is_serial=is_serial,
    )


@st.composite
def constraints(draw: Any, found: list[Block]) -> tuple[list[str], list[str]]:
    """UNIQUE and CHECK constraints of the legacy table, and those that the target has too."""
    legacy, target = [], []
    for block in found:
        name = ident(block.name)
        if block.keeps_equality and one_in(draw, 5):
            legacy.append(f"UNIQUE ({name})")
            if draw(st.booleans()):
                target.append(f"UNIQUE ({ident(block.rule.targets[0])})")
        if not block.is_lossy and one_in(draw, 5):
            forbidden = draw(block.values)
            legacy.append(f"CHECK ({name} IS DISTINCT FROM {forbidden})")
            if block.rule.rule == "column" and draw(st.booleans()):
                only = ident(block.rule.targets[0])
                target.append(f"CHECK ({only} IS DISTINCT FROM {forbidden})")
    return legacy, target


@dataclass(frozen=True)
class Design:
    """A target table in the making: its columns with their definitions, and its constraints."""

    name: str
    key: list[Block]
    others: list[Block]
    columns: dict[str, str]
    constraints: list[str]
    filled: dict[str, str]

    @property
    def key_names(self) -> list[str]:
        return [block.rule.targets[0] for block in self.key]

    @property
    def table(self) -> str:
        return ident(self.name)

    def born(self, blocks: list[Block]) -> dict[str, Sql]:
        """Return what v2 applications write to the columns of some blocks."""
        return {name: values for block in blocks for name, values in block.born.items()}

    @property
    def new_key(self) -> Sql:
        """SQL for the values of a key, which some row may have."""
        kinds = [kind for block in self.key for kind in block.definitions.values()]
        return st.tuples(*self.born(self.key).values()).map(
            lambda values: ", ".join(map("{}::{}".format, values, kinds))
        )

    @property
    def row(self) -> Sql:
        """A predicate that one row meets at most."""
        key = idents(self.key_names)
        return self.new_key.map(lambda values: f"ROW({key}) = ROW({values})")

    def change(self, table: str, blocks: list[Block]) -> tuple[Sql, ...]:
        """Return what updates one column of a table that holds some blocks."""
        return tuple(
            st.tuples(values, self.row).map(
                lambda drawn, name=name: (  # type: ignore[misc]
                    f"UPDATE {ident(table)} SET {ident(name)} = {drawn[0]} WHERE {drawn[1]}"
                )
            )
            for name, values in self.born(blocks).items()
        )

    def insert(self, table: str, blocks: list[Block], more: dict[str, str]) -> Sql:
        """Return what inserts a row, under a key that a query `new` gives.

        :param more: SQL for further columns
        """
        born = self.born(blocks)
        columns = idents([*self.key_names, *born, *more])
        return st.tuples(*born.values()).map(
            lambda drawn: (
                f"INSERT INTO {ident(table)} ({columns})"
                f" SELECT {', '.join(['new.*', *drawn, *more.values()])} FROM new"
            )
        )

    def create(self, draw: Any, key: list[str]) -> str:
        """Return CREATE TABLE for any name, with the columns in any order."""
        order = draw(st.permutations(list(self.columns)))
        parts = [f"{ident(name)} {self.columns[name]}" for name in order]
        return _create([*parts, f"PRIMARY KEY ({idents(key)})", *self.constraints])


Shaping = Callable[[Any, Design], tuple[str, Shape]]


def one_table(draw: Any, design: Design) -> tuple[str, Shape]:
    """Each row is one row of the target."""
    return design.create(draw, design.key_names), Shape()


def halved(draw: Any, design: Design) -> tuple[str, Shape]:
    """Some columns live in a table of their own, and no constraint of the target speaks of them."""
    design.constraints.clear()
    moved = draw(st.lists(st.sampled_from(design.others), min_size=1, max_size=2, unique_by=id))
    columns = {name: design.columns[name] for name in design.key_names}
    for block in moved:
        columns |= {name: design.columns.pop(name) for name in block.definitions}
    half = replace(design, columns=columns, constraints=[])
    optional = draw(st.booleans()) and all(block.nullable for block in moved)
    on = tuple((name, name) for name in design.key_names)
    holds = tuple(block.name for block in moved)

    def options(reflect: Reflect) -> dict[str, Any]:
        return {"parts": (Half(reflect(ident(HALF)), on, holds, optional=optional),)}

    create = half.create(draw, design.key_names).replace(TABLE, ident(HALF))
    stay = [block for block in design.others if block not in moved]
    one, other = design.insert(design.name, stay, design.filled), design.insert(HALF, moved, {})
    together = st.tuples(design.new_key, one, other).map(
        lambda drawn: (
            f"WITH new AS (SELECT {drawn[0]}), written AS ({drawn[1]} RETURNING 1) {drawn[2]}"
        )
    )
    gone = design.row.map(
        lambda row: (
            f"WITH gone AS (DELETE FROM {ident(HALF)} WHERE {row})"
            f" DELETE FROM {design.table} WHERE {row}"
        )
    )
    v2 = (together, gone, *design.change(design.name, stay), *design.change(HALF, moved))
    if optional:
        v2 += (design.row.map(lambda row: f"DELETE FROM {ident(HALF)} WHERE {row}"),)
    # A row of the target alone is none of the legacy table's.
    shape = Shape((create,), options, takes_v2=False, v2=v2)
    return design.create(draw, design.key_names), shape


def joined(draw: Any, design: Design) -> tuple[str, Shape]:
    """Some columns live once for each of their values, in a parent that rows reference."""
    identifying = [block for block in design.others if block.identifies]
    if not identifying:
        return one_table(draw, design)
    design.constraints.clear()
    moved = draw(st.lists(st.sampled_from(identifying), min_size=1, max_size=2, unique_by=id))
    number, reference = "the number", "the parent"
    columns = {number: "serial PRIMARY KEY"}
    for block in moved:
        columns |= {name: design.columns.pop(name) for name in block.definitions}
    design.columns[reference] = "integer"
    same = f"UNIQUE ({idents(list(columns)[1:])})"
    parts = [f"{ident(name)} {definition}" for name, definition in columns.items()]
    create = _create([*parts, same]).replace(TABLE, ident(PARENT))
    orphans = draw(st.sampled_from(["keep", "delete"]))
    holds = tuple(block.name for block in moved)

    def options(reflect: Reflect) -> dict[str, Any]:
        on = ((number, reference),)
        return {"parts": (Parent(reflect(ident(PARENT)), on, holds, orphans=orphans),)}

    numbers = st.integers(1, 3)
    stay = [block for block in design.others if block not in moved]
    v2 = (
        *(
            st.tuples(values, numbers).map(
                lambda drawn, name=name: (  # type: ignore[misc]
                    f"UPDATE {ident(PARENT)} SET {ident(name)} = {drawn[0]}"
                    f" WHERE {ident(number)} = {drawn[1]}"
                )
            )
            for name, values in design.born(moved).items()
        ),
        st.tuples(numbers, design.row).map(
            lambda drawn: (
                f"UPDATE {design.table} SET {ident(reference)} = (SELECT {ident(number)}"
                f" FROM {ident(PARENT)} WHERE {ident(number)} = {drawn[0]}) WHERE {drawn[1]}"
            )
        ),
        design.row.map(lambda row: f"DELETE FROM {design.table} WHERE {row}"),
        *design.change(design.name, stay),
    )
    foreign = f"ALTER TABLE {design.table} ADD FOREIGN KEY ({ident(reference)}) REFERENCES "
    shape = Shape((create, foreign + ident(PARENT)), options, takes_v2=False, v2=v2)
    return design.create(draw, design.key_names), shape


def chosen(draw: Any, design: Design) -> tuple[str, Shape]:
    """Rows that fulfil a predicate live in a table of their own, which is like the target."""
    create = design.create(draw, design.key_names)
    name = ident(draw(st.sampled_from([*design.key, *design.others])).name)
    when = draw(st.sampled_from([f"{name} IS NULL", f"{name} IS NOT NULL", "true"]))
    block = draw(st.sampled_from(design.key))
    when = draw(st.just(when) | block.values.map(f"{ident(block.name)} > {{}}".format))

    remainder = draw(st.sampled_from([None, f"({when}) IS NOT TRUE"]))

    def options(reflect: Reflect) -> dict[str, Any]:
        return {"choices": (Choice(reflect(ident(OTHER)), when),), "remainder": remainder}

    prepare = (create.replace(TABLE, ident(OTHER)),)
    key = idents(design.key_names)
    v2: tuple[Sql, ...] = ()
    for table, elsewhere in ((design.name, OTHER), (OTHER, design.name)):
        insert = st.tuples(
            design.new_key, design.row, design.insert(table, design.others, design.filled)
        )
        v2 += (
            insert.map(
                lambda drawn, elsewhere=elsewhere: (  # type: ignore[misc]
                    f"WITH new AS (SELECT {drawn[0]} EXCEPT SELECT {key} FROM {ident(elsewhere)})"
                    f" {drawn[2]}"
                )
            ),
            design.row.map(
                lambda row, table=table: f"DELETE FROM {ident(table)} WHERE {row}"  # type: ignore[misc]
            ),
            *design.change(table, design.others),
        )
    return create, Shape(prepare, options, keeps_hidden=False, takes_v2=False, v2=v2)


def tagged(draw: Any, design: Design) -> tuple[str, Shape]:
    """The target has rows of others too, under the same keys."""
    kind = "the kind"
    # A CHECK may refuse the row of others, which has no values of most columns.
    design.constraints[:] = [text for text in design.constraints if text.startswith("UNIQUE")]
    design.columns[kind] = "text NOT NULL"
    values = dict.fromkeys((kind, *design.filled), "'theirs'")
    values |= {b.rule.targets[0]: draw(b.values) for b in design.key}
    design.filled[kind] = "'ours'"
    row = f"({idents(list(values))}) VALUES ({', '.join(values.values())})"
    create = design.create(draw, [kind, *design.key_names])
    return create, Shape(
        (f"INSERT INTO {ident(design.name)} {row}",), lambda _: {"tag": Tag(kind, "ours")}
    )


HALF, OTHER, PARENT = "the half", "the other", "the origin"
SHAPES: tuple[Shaping, ...] = (halved, joined, chosen, tagged)
"""How rows are spread over tables; each gives CREATE TABLE for the target, and the rest."""


@st.composite
def tables(draw: Any) -> Tables:
    """A legacy table of one to six columns, and what it becomes."""
    count, parts = draw(st.integers(0, 4)), 2 if one_in(draw, 4) else 1
    old = draw(st.lists(_names, min_size=count + parts, max_size=count + parts, unique=True))
    new = draw(st.lists(_names, min_size=20, max_size=20, unique=True))
    key = [draw(keys(name, new.pop())) for name in old[:parts]]
    others = [draw(blocks(name, new)) for name in old[parts:]]
    extra = draw(st.lists(st.sampled_from(sorted(_hidden)), max_size=2))
    hidden = {new.pop(): definition for definition in extra}
    filled = {new.pop(): "'v2'"} if draw(st.booleans()) else {}
    fills = tuple(
        {"target": name, "value": f"pg_catalog.concat('of ', {ident(old[0])})"} for name in filled
    )
    legacy_constraints, target_constraints = draw(constraints(others))
    found = draw(st.permutations([*key, *others]))
    columns = {
        name: definition for block in found for name, definition in block.definitions.items()
    }
    columns |= hidden | dict.fromkeys(filled, "text NOT NULL")
    table_names = st.sampled_from(["old", "new", *HOSTILE_NAMES])
    legacy_name, target_name = draw(st.lists(table_names, min_size=2, max_size=2, unique=True))
    design = Design(target_name, key, others, columns, target_constraints, filled)
    kept_hidden = (*hidden, *filled)
    choices: tuple[Shaping, ...] = (one_table, one_table, *SHAPES)
    if not others or any(block.is_lossy for block in others):
        choices = (one_table,)
    create, shape = draw(st.sampled_from(choices))(draw, design)
    legacy = [block.definition for block in found]
    legacy += [f"PRIMARY KEY ({idents([block.name for block in key])})", *legacy_constraints]
    return Tables(
        legacy_name,
        target_name,
        _create(legacy),
        create,
        tuple(found),
        tuple(key),
        kept_hidden if shape.keeps_hidden else (),
        filled,
        fills,
        draw(st.sampled_from(_FORMS)),
        shape,
    )


def _create(parts: list[str]) -> str:
    lines = ",\n    ".join(parts)
    return f"CREATE TABLE {TABLE} (\n    {lines}\n)"
