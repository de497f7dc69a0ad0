"""The same value under another name, or in another type."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import literal
from compat.rules.core import Converting, Ends, Row, Rule
from compat.tables import STRICT


def _shortest(factor: Decimal | int) -> Decimal | int:
    """Equal factors give equal documents."""
    return int(factor) if factor == int(factor) else Decimal(factor).normalize()


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
        kind = sqltypes.parse(ends.legacy.type)
        if kind.array and sqltypes.element(ends.legacy.type) != sqltypes.element(target):
            return f"{value} IS NOT NULL AND NOT compat.castable({value}::text, {literal(target)})"
        if not kind.is_text or self.factor is not None:
            factor = Decimal(1 if self.factor is None else self.factor)
            scaled = f"({value}::numeric * {literal(factor)})"
            return sqltypes.out_of_range(scaled, ends.legacy.type, target, factor)
        if sqltypes.parse(target).is_text:
            return None
        return f"{value} IS NOT NULL AND NOT compat.castable({value}, {literal(target)})"

    def refuses(self, ends: Ends) -> str | None:
        if self.refused(Row("l"), ends) is None:
            return None
        return f"what does not fit into {ends.target(self.target).type}"

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
