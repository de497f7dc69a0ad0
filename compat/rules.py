"""Column rules: one small lens each, from a target row to a legacy column and back.

`read` goes into views and reverse sync, `write` into triggers, sync and copy; all are pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt
from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import ident, literal
from compat.tables import STRICT, Table
from compat.tables import Column as TableColumn


def _shortest(factor: Decimal | int) -> Decimal | int:
    """Equal factors give equal documents."""
    return int(factor) if factor == int(factor) else Decimal(factor).normalize()


def _decimal_as_text(value: object) -> object:
    return str(value) if isinstance(value, Decimal | float) else value


Value = StrictBool | StrictInt | Annotated[str, BeforeValidator(_decimal_as_text)]
"""A legacy or target value inside a rule; decimals become text, as in the mapping document."""


def _misfit(value: Value, column: TableColumn) -> str | None:
    """Say why a value cannot be one of the column's, or None."""
    kind = sqltypes.parse(column.type)
    match value:
        case bool():
            fits = kind.name == "boolean"
        case int():
            fits = kind.is_integer or kind.is_numeric or kind.name in ("real", "double precision")
        case str():
            fits = not kind.is_integer and kind.name != "boolean"
            length = kind.modifiers[0] if kind.modifiers and kind.is_character else None
            if length is not None and len(value) > length:
                return f"{value!r} is longer than {column.name!r} holds ({column.type})"
    if fits:
        return None
    return f"{value!r} is no {column.type}, which {column.name!r} is; write it as one"


@plain_dataclass(frozen=True)
class Row:
    """How a piece of SQL reaches the columns of one row: a table alias, or NEW and OLD."""

    name: str
    is_record: bool = False

    def column(self, name: str) -> str:
        """Return SQL for one column of this row."""
        return f"{self.name}.{ident(name)}"

    def evaluate(self, expression: str) -> str:
        """Return SQL for a user's expression over the bare column names of this row."""
        if "--" in expression:
            expression += "\n"  # or a comment at its end would swallow what follows
        if self.is_record:
            return f"(SELECT {expression} FROM (SELECT {self.name}.*) AS this_row)"
        return f"({expression})"


NEW = Row("NEW", is_record=True)
OLD = Row("OLD", is_record=True)


@plain_dataclass(frozen=True)
class Ends:
    """The two ends of a rule: its legacy column, and the target table."""

    legacy_table: Table
    legacy: TableColumn
    target_table: Table

    def target(self, name: str) -> TableColumn:
        """Return the target column of that name; Mapping has checked that it exists."""
        column = self.target_table.column(name)
        assert column is not None, name
        return column

    @property
    def title(self) -> str:
        """The legacy column as messages print it."""
        return f"{self.legacy_table.title}.{self.legacy.name}"


class Rule(ABC):
    """What every rule answers. Rules are immutable values; all methods are pure.

    Three laws hold for a rule that calls itself lossless (Foster et al., "Combinators for
    bidirectional tree transformations", 2007): reading gives what was written (PutGet), writing
    what was read changes nothing (GetPut), and columns that it does not name stay as they are.
    """

    rule: str
    legacy: str
    invertible: ClassVar[bool] = False
    """True when `write` is a function of the legacy value alone, so that keys may use it."""

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """The target columns that `write` sets, the main one first."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The target columns that the rule needs to exist."""
        return self.targets

    @abstractmethod
    def read(self, target: Row, ends: Ends) -> str:
        """Return SQL of the legacy type over a target row."""

    @abstractmethod
    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        """Return SQL for each of `targets` over a legacy row.

        :param current: the target row that is about to be changed, None for a new one
        """

    @abstractmethod
    def loss(self, ends: Ends) -> str | None:
        """Say for which values a law would break silently, or None when for none."""

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        """Return a predicate that is true for legacy rows that would lose something, or None."""
        return None

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        """Return a predicate that is true for legacy rows that `write` would refuse, or None."""
        return None

    def problems(self, ends: Ends) -> Iterator[str]:
        """Yield what is wrong with the rule for these columns."""
        return iter(())

    def absorbs_null(self) -> bool:
        """True when a NULL in the legacy column ends as something else than NULL."""
        return False


class Converting(Rule):
    """A rule over one target column that converts the value alone, with an optional side column.

    With `keep`, the side column holds the original of each value that would not come back as it
    was, and NULL for all others; it counts only while it still agrees with the main column.
    """

    target: str
    keep: str | None
    invertible = True

    @abstractmethod
    def encode(self, value: str, ends: Ends) -> str:
        """Return SQL of the target type for a legacy value."""

    @abstractmethod
    def decode(self, value: str, ends: Ends) -> str:
        """Return SQL of the legacy type for a target value."""

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if self.keep is None else (self.target, self.keep)

    def read(self, target: Row, ends: Ends) -> str:
        main = target.column(self.target)
        decoded = self.decode(main, ends)
        if self.keep is None:
            return decoded
        side = target.column(self.keep)
        return (
            f"CASE WHEN {side} IS NOT NULL AND {self.encode(side, ends)} IS NOT DISTINCT FROM "
            f"{main} THEN {side} ELSE {decoded} END"
        )

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        value = legacy.column(self.legacy)
        written = {self.target: self.encode(value, ends)}
        if self.keep is not None:
            written[self.keep] = f"CASE WHEN {self._changes(value, ends)} THEN {value} END"
        return written

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        if self.keep is not None or self.loss(ends) is None:
            return None
        return self._changes(legacy.column(self.legacy), ends)

    def _changes(self, value: str, ends: Ends) -> str:
        back = self.decode(self.encode(value, ends), ends)
        return sqltypes.differs(back, value, ends.legacy.type, ends.legacy.collation)

    def problems(self, ends: Ends) -> Iterator[str]:
        if self.keep is None:
            return
        side = ends.target(self.keep)
        if side.type != ends.legacy.type:
            yield (
                f"the side column {self.keep!r} is {side.type}, the legacy column is "
                f"{ends.legacy.type}; they must be the same"
            )
        if not side.nullable:
            yield f"the side column {self.keep!r} must be nullable: most rows do not need it"


@dataclass(frozen=True, config=STRICT)
class Column(Rule):
    """A rename: the same value under another name. Always lossless."""

    legacy: str
    target: str
    rule: Literal["column"] = "column"
    invertible: ClassVar[bool] = True

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    def read(self, target: Row, ends: Ends) -> str:
        return target.column(self.target)

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        return {self.target: legacy.column(self.legacy)}

    def loss(self, ends: Ends) -> str | None:
        return None

    def problems(self, ends: Ends) -> Iterator[str]:
        target = ends.target(self.target)
        if target.type != ends.legacy.type:
            yield (
                f"types differ: {ends.legacy.type} and {target.type}; "
                f"use rules.Cast({self.legacy!r}, {self.target!r})"
            )
        elif target.collation != ends.legacy.collation:
            legacy, other = (c.collation or "the default" for c in (ends.legacy, target))
            yield (
                f"collations differ: {legacy} and {other}; give the target column the legacy "
                f"one, or use rules.Cast({self.legacy!r}, {self.target!r})"
            )


@dataclass(frozen=True, config=STRICT)
class Cast(Converting):
    """The value in another type, optionally scaled or moved out of a time zone.

    :param factor: target = legacy × factor (100 turns numeric(10,2) into integer cents)
    :param timezone: the zone that a timestamp without time zone is meant in
    :param keep: side column for originals whose spelling would be lost
    """

    legacy: str
    target: str
    factor: Annotated[Decimal | int, AfterValidator(_shortest)] | None = None
    timezone: str | None = None
    keep: str | None = None
    rule: Literal["cast"] = "cast"

    def encode(self, value: str, ends: Ends) -> str:
        return self._convert(value, ends.legacy.type, ends.target(self.target).type, "*")

    def decode(self, value: str, ends: Ends) -> str:
        return self._convert(value, ends.target(self.target).type, ends.legacy.type, "/")

    def _convert(self, value: str, source: str, result: str, operator: str) -> str:
        if self.factor is not None:
            factor = Decimal(self.factor)
            inverse = Decimal(1).scaleb(-factor.adjusted())
            if operator == "/" and factor * inverse == 1:
                # numeric division rounds to 16 digits or so; a product is exact.
                operator, factor = "*", inverse
            value = f"({value}::numeric {operator} {literal(factor)})"
        if self.timezone is not None:
            zone = literal(self.timezone)
            if sqltypes.parse(source).name == "date":
                value = f"{value}::timestamp"
            value = f"({value} AT TIME ZONE {zone})"
        return f"{value}::{result}"

    def loss(self, ends: Ends) -> str | None:
        target = ends.target(self.target).type
        factor = None if self.factor is None else Decimal(self.factor)
        return sqltypes.cast_loss(ends.legacy.type, target, factor, self.timezone)

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        target = ends.target(self.target).type
        value = legacy.column(self.legacy)
        if not sqltypes.parse(ends.legacy.type).is_text or self.factor is not None:
            factor = Decimal(1 if self.factor is None else self.factor)
            scaled = f"({value}::numeric * {literal(factor)})"
            return sqltypes.out_of_range(scaled, ends.legacy.type, target, factor)
        if sqltypes.parse(target).is_text:
            return None
        return f"{value} IS NOT NULL AND NOT compat.castable({value}, {literal(target)})"

    def problems(self, ends: Ends) -> Iterator[str]:
        yield from super().problems(ends)
        if self.factor is not None and self.factor <= 0:
            yield f"a factor must be greater than 0, not {self.factor}"
        types = [sqltypes.parse(ends.legacy.type), sqltypes.parse(ends.target(self.target).type)]
        if self.timezone is not None and sum(t.has_zone for t in types) != 1:
            yield "timezone is for casts between types with and without time zone"
        naive = [t for t in types if t.is_timestamp or t.name == "date"]
        if self.timezone is None and len(naive) == 2 and sum(t.has_zone for t in naive) == 1:
            yield (
                "the result would depend on each session's time zone; say which one the "
                "application means, for example timezone='UTC'"
            )


@dataclass(frozen=True, config=STRICT)
class ValueMap(Converting):
    """One value for another, by a table of pairs (legacy, target). NULL stays NULL.

    A legacy value without a pair is refused, unless `otherwise` gives it a target value and `keep`
    remembers it. A target value without a pair, which only v2 applications can write, reads as
    `unknown`, or is an error when that is not given.
    """

    legacy: str
    target: str
    pairs: tuple[tuple[Value, Value], ...]
    otherwise: Value | None = None
    unknown: Value | None = None
    keep: str | None = None
    rule: Literal["value_map"] = "value_map"

    def encode(self, value: str, ends: Ends) -> str:
        target = ends.target(self.target)
        otherwise = None if self.otherwise is None else literal(self.otherwise)
        return _case(value, self.pairs, target.type, otherwise, f"{ends.title}: no counterpart")

    def decode(self, value: str, ends: Ends) -> str:
        seen: dict[Value, Value] = {}
        for legacy, target in self.pairs:
            seen.setdefault(target, legacy)
        title = f"{ends.target_table.title}.{self.target}: no legacy counterpart"
        unknown = None if self.unknown is None else literal(self.unknown)
        return _case(value, tuple(seen.items()), ends.legacy.type, unknown, title)

    def loss(self, ends: Ends) -> str | None:
        targets = [target for _, target in self.pairs]
        twice = sorted({str(t) for t in targets if targets.count(t) > 1})
        if twice:
            return f"several legacy values become {', '.join(twice)}"
        if self.otherwise is not None:
            return f"every value without a pair becomes {self.otherwise}"
        return None

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        if self.otherwise is not None:
            return None
        value = legacy.column(self.legacy)
        return f"{value} NOT IN ({', '.join(literal(pair[0]) for pair in self.pairs)})"

    def problems(self, ends: Ends) -> Iterator[str]:
        yield from super().problems(ends)
        if not self.pairs:
            yield "a value map needs at least one pair"
        target = ends.target(self.target)
        values = [(pair[0], ends.legacy) for pair in self.pairs]
        values += [(pair[1], target) for pair in self.pairs]
        values += [(self.otherwise, target)] if self.otherwise is not None else []
        values += [(self.unknown, ends.legacy)] if self.unknown is not None else []
        yield from filter(None, (_misfit(*value) for value in dict.fromkeys(values)))
        legacy = [pair[0] for pair in self.pairs]
        for value in sorted({str(v) for v in legacy if legacy.count(v) > 1}):
            yield f"the legacy value {value} stands in two pairs"


@dataclass(frozen=True, config=STRICT)
class Epoch(Converting):
    """Seconds, milliseconds or microseconds since 1970-01-01 UTC ↔ a timestamp.

    Reading rounds down, so that an instant that v2 stored with microseconds shows as the unit that
    contains it. A target without time zone is taken as UTC.
    """

    legacy: str
    target: str
    unit: Literal["s", "ms", "us"] = "s"
    keep: str | None = None
    rule: Literal["epoch"] = "epoch"

    _PER_SECOND: ClassVar = {"s": 1, "ms": 1_000, "us": 1_000_000}
    _INTERVAL: ClassVar = {"s": "second", "ms": "millisecond", "us": "microsecond"}

    def encode(self, value: str, ends: Ends) -> str:
        # timestamptz + interval is exact where to_timestamp(double) rounds; hours and smaller
        # units do not depend on the session's time zone.
        unit = f"interval '1 {self._INTERVAL[self.unit]}'"
        span = f"{value} * {unit}"
        if sqltypes.parse(ends.legacy.type).name == "bigint":
            # n * interval is computed as a double, exact up to 2^53 microseconds (the year 2255);
            # for whole hours it is exact throughout.
            hour = 3600 * self._PER_SECOND[self.unit]
            span = f"{value} / {hour} * interval '1 hour' + mod({value}, {hour}) * {unit}"
        instant = f"(timestamptz 'epoch' + {span})"
        target = ends.target(self.target).type
        zone = "" if sqltypes.parse(target).has_zone else " AT TIME ZONE 'UTC'"
        return f"({instant}{zone})::{target}" if zone else f"{instant}::{target}"

    def decode(self, value: str, ends: Ends) -> str:
        # extract() from a timestamptz is not immutable and could not be indexed.
        if sqltypes.parse(ends.target(self.target).type).has_zone:
            value = f"({value} AT TIME ZONE 'UTC')"
        if self.unit == "us":
            # Near the end of bigint, extract() rounds a timestamp, but not an interval.
            value = f"{value} - timestamp 'epoch'"
        per_second = self._PER_SECOND[self.unit]
        scaled = f"extract(epoch FROM {value})" + ("" if per_second == 1 else f" * {per_second}")
        return f"floor({scaled})::{ends.legacy.type}"

    def loss(self, ends: Ends) -> str | None:
        if not sqltypes.parse(ends.legacy.type).is_integer:
            return f"fractions of a unit in {ends.legacy.type} are cut off"
        digits = sqltypes.parse(ends.target(self.target).type).modifiers
        needed = {"s": 0, "ms": 3, "us": 6}[self.unit]
        if digits and digits[0] < needed:
            return f"the target keeps {digits[0]} digits of a second, {needed} are needed"
        return None

    def problems(self, ends: Ends) -> Iterator[str]:
        yield from super().problems(ends)
        if not sqltypes.parse(ends.target(self.target).type).is_timestamp:
            yield f"the target column {self.target!r} is not a timestamp"
        legacy = sqltypes.parse(ends.legacy.type)
        if not (legacy.is_integer or legacy.is_numeric or legacy.name == "double precision"):
            yield f"{ends.legacy.type} is not a number of seconds"


@dataclass(frozen=True, config=STRICT)
class Flag(Rule):
    """A flag ↔ the instant at which it was set: "deleted" ↔ deleted_at.

    Setting it keeps an instant that is there already, else takes `at`; unsetting it gives NULL.

    :param on: the legacy value that means set (default: true, or 1 for numbers)
    :param off: the legacy value that means unset (default: false, or 0)
    :param at: SQL over the legacy columns for the instant of a row that has none yet
        (default, also where that is NULL: the start of the writing transaction)
    """

    legacy: str
    target: str
    on: Value | None = None
    off: Value | None = None
    at: str | None = None
    rule: Literal["flag"] = "flag"

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    def _on_off(self, ends: Ends) -> tuple[Value, Value]:
        is_bool = sqltypes.parse(ends.legacy.type).name == "boolean"
        on: Value = (True if is_bool else 1) if self.on is None else self.on
        off: Value = (False if is_bool else 0) if self.off is None else self.off
        return on, off

    def _values(self, ends: Ends) -> tuple[str, str]:
        on, off = self._on_off(ends)
        return literal(on), literal(off)

    def read(self, target: Row, ends: Ends) -> str:
        is_set = f"{target.column(self.target)} IS NOT NULL"
        on, off = self._values(ends)
        if (on, off) == ("true", "false"):
            return f"({is_set})"
        return f"CASE WHEN {is_set} THEN {on} ELSE {off} END::{ends.legacy.type}"

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        value, kind = legacy.column(self.legacy), ends.target(self.target).type
        on, off = self._values(ends)
        at = "pg_catalog.now()"
        if self.at is not None:
            at = f"COALESCE({legacy.evaluate(self.at)}, {at})"  # a NULL would mean unset
        instant = f"{at}::{kind}"
        if current is not None:
            instant = f"COALESCE({current.column(self.target)}, {instant})"
        refusal = _refusal(value, kind, f"{ends.title}: neither {on} nor {off}")
        return {
            self.target: f"CASE {value} WHEN {on} THEN {instant} WHEN {off} THEN NULL "
            f"ELSE {refusal} END"
        }

    def loss(self, ends: Ends) -> str | None:
        return "NULL reads back as unset" if ends.legacy.nullable else None

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        return f"{legacy.column(self.legacy)} IS NULL" if ends.legacy.nullable else None

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        if sqltypes.parse(ends.legacy.type).name == "boolean":
            return None
        return f"{legacy.column(self.legacy)} NOT IN ({', '.join(self._values(ends))})"

    def problems(self, ends: Ends) -> Iterator[str]:
        target = ends.target(self.target)
        if not (sqltypes.parse(target.type).is_timestamp or target.type == "date"):
            yield f"the target column {self.target!r} is not a timestamp"
        if not target.nullable:
            yield f"the target column {self.target!r} must be nullable: NULL means unset"
        on, off = self._on_off(ends)
        yield from (f"on and off: {why}" for v in (on, off) if (why := _misfit(v, ends.legacy)))
        if on == off:
            yield f"on and off are both {on!r}"

    def absorbs_null(self) -> bool:
        return True


@dataclass(frozen=True, config=STRICT)
class Constant(Rule):
    """A legacy column that v2 has no place for: it reads as one value, and writes go nowhere."""

    legacy: str
    value: Value | None
    rule: Literal["constant"] = "constant"

    @property
    def targets(self) -> tuple[str, ...]:
        return ()

    def read(self, target: Row, ends: Ends) -> str:
        return f"{literal(self.value)}::{ends.legacy.type}"

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        return {}

    def loss(self, ends: Ends) -> str | None:
        return f"every other value than {literal(self.value)} is dropped"

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        value = legacy.column(self.legacy)
        constant = self.read(legacy, ends)
        return sqltypes.differs(value, constant, ends.legacy.type, ends.legacy.collation)

    def problems(self, ends: Ends) -> Iterator[str]:
        if self.value is None and not ends.legacy.nullable:
            yield "the legacy column is NOT NULL, its constant is NULL"
        elif self.value is not None and (why := _misfit(self.value, ends.legacy)):
            yield why

    def absorbs_null(self) -> bool:
        return self.value is not None


@dataclass(frozen=True, config=STRICT)
class Expression(Rule):
    """SQL of the user's own, over the bare column names of the target (read) or legacy (write) row.

    Names that are not columns must be schema-qualified: the functions run with an empty path.

    :param read_sql: SQL over target columns that gives the legacy value
    :param uses: the target columns that read_sql names
    :param writes: (target column, SQL over legacy columns) pairs; none makes it read-only
    :param lossless: the author's word that the three laws hold
    """

    legacy: str
    read_sql: str
    uses: tuple[str, ...] = ()
    writes: tuple[tuple[str, str], ...] = ()
    lossless: bool = False
    rule: Literal["expression"] = "expression"

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.writes)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.targets, *self.uses)))

    @property
    def is_read_only(self) -> bool:
        """True when legacy clients cannot write the column."""
        return not self.writes

    def read(self, target: Row, ends: Ends) -> str:
        return f"{target.evaluate(self.read_sql)}::{ends.legacy.type}"

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        return {
            name: f"{legacy.evaluate(sql)}::{ends.target(name).type}" for name, sql in self.writes
        }

    def loss(self, ends: Ends) -> str | None:
        return None if self.lossless else "nothing is known about an expression"

    def absorbs_null(self) -> bool:
        return True


AnyRule = Annotated[
    Column | Cast | ValueMap | Epoch | Flag | Constant | Expression, Field(discriminator="rule")
]


@plain_dataclass(frozen=True)
class Lens:
    """A rule bound to the columns it connects: what compilation works with."""

    rule: AnyRule
    ends: Ends

    @property
    def legacy(self) -> TableColumn:
        """The legacy column."""
        return self.ends.legacy

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns that writing sets, the main one first."""
        return self.rule.targets

    def read(self, target: Row) -> str:
        """Return SQL of exactly the legacy type and collation over a target row."""
        sql = self.rule.read(target, self.ends)
        return f"({sql}) COLLATE {self._collation}" if self._collation else sql

    @property
    def _collation(self) -> str | None:
        """The collation that the read expression must be given, None when it has it already."""
        sources = {self.ends.target(name).collation for name in self.rule.reads}
        wanted = self.legacy.collation
        if sources <= {wanted} and (self.rule.reads or wanted is None):
            return None
        if wanted is None and not sqltypes.parse(self.legacy.type).is_character:
            return None
        return wanted or 'pg_catalog."default"'

    def write(self, legacy: Row, current: Row | None = None) -> dict[str, str]:
        """Return SQL for each target column over a legacy row."""
        return self.rule.write(legacy, self.ends, current)

    def changed(self, before: Row, after: Row) -> str:
        """Return SQL that is true when the legacy value differs between two legacy rows."""
        name = self.legacy.name
        return sqltypes.differs(
            before.column(name), after.column(name), self.legacy.type, self.legacy.collation
        )

    @property
    def loss(self) -> str | None:
        """Why the rule may lose something and does not keep it, or None."""
        keeps = isinstance(self.rule, Converting) and self.rule.keep is not None
        return None if keeps else self.rule.loss(self.ends)

    def lost(self, legacy: Row) -> str | None:
        """Return a predicate for legacy rows that would lose something, or None."""
        return self.rule.lost(legacy, self.ends)

    @property
    def refuses_null(self) -> bool:
        """True when the legacy column takes a NULL that the target does not."""
        may_be_null = self.legacy.nullable and not self.rule.absorbs_null()
        return may_be_null and any(not self.ends.target(n).nullable for n in self.targets[:1])

    @property
    def refusals(self) -> tuple[str, ...]:
        """What the legacy table takes and the target cannot hold: a write of it is an error."""
        found = ["NULL"] if self.refuses_null else []
        if isinstance(self.rule, ValueMap) and self.rule.otherwise is None:
            found.append("values without a pair")
        elif isinstance(self.rule, Cast) and self.rule.refused(Row("l"), self.ends) is not None:
            found.append(f"what does not fit into {self.ends.target(self.rule.target).type}")
        elif isinstance(self.rule, Expression) and self.rule.is_read_only:
            found.append("every write")
        return tuple(found)

    def refused(self, legacy: Row) -> str | None:
        """Return a predicate for legacy rows that cannot be written, or None."""
        predicate = self.rule.refused(legacy, self.ends)
        if self.refuses_null:
            is_null = f"{legacy.column(self.legacy.name)} IS NULL"
            return is_null if predicate is None else f"({predicate} OR {is_null})"
        return predicate

    @property
    def converts(self) -> bool:
        """True unless the rule is a plain rename."""
        return self.rule.rule != "column"

    @property
    def reads_back_exactly(self) -> bool:
        """True when reading after a write must give what was written (no loss, not read-only)."""
        return self.loss is None and not isinstance(self.rule, Expression)


def _refusal(value: str, type_text: str, message: str) -> str:
    return f"compat.refuse({literal(message)}, ({value})::text, NULL::{type_text})::{type_text}"


def _case(
    value: str,
    pairs: tuple[tuple[Value, Value], ...],
    result: str,
    otherwise: str | None,
    message: str,
) -> str:
    whens = " ".join(f"WHEN {literal(a)} THEN {literal(b)}::{result}" for a, b in pairs)
    if otherwise is None:
        return f"CASE {value} {whens} ELSE {_refusal(value, result, message)} END"
    fallback = f"CASE WHEN {value} IS NOT NULL THEN {otherwise}::{result} END"
    return f"CASE {value} {whens} ELSE {fallback} END"


__all__ = [
    "NEW",
    "OLD",
    "AnyRule",
    "Cast",
    "Column",
    "Constant",
    "Ends",
    "Epoch",
    "Expression",
    "Flag",
    "Lens",
    "Row",
    "Rule",
    "ValueMap",
]
