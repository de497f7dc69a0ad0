"""One value for another, by a table of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import literal
from compat.rules.core import Converting, Ends, Row, Value, misfit, refusal
from compat.tables import STRICT


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
        source, result = ends.legacy.type, ends.target(self.target).type
        title = f"{ends.title}: no counterpart"
        return _case(
            value, self.pairs, result, _otherwise(value, source, result, self.otherwise, title)
        )

    def decode(self, value: str, ends: Ends) -> str:
        source, result = ends.target(self.target).type, ends.legacy.type
        seen: dict[Value, Value] = {}
        for legacy, target in self.pairs:
            seen.setdefault(target, legacy)
        title = f"{ends.target_table.title}.{self.target}: no legacy counterpart"
        return _case(
            value, seen.items(), result, _otherwise(value, source, result, self.unknown, title)
        )

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

    def refuses(self, ends: Ends) -> str | None:
        return "values without a pair" if self.otherwise is None else None

    def problems(self, ends: Ends) -> Iterator[str]:
        yield from super().problems(ends)
        if not self.pairs:
            yield "a value map needs at least one pair"
        target = ends.target(self.target)
        values = [(pair[0], ends.legacy) for pair in self.pairs]
        values += [(pair[1], target) for pair in self.pairs]
        values += [(self.otherwise, target)] if self.otherwise is not None else []
        values += [(self.unknown, ends.legacy)] if self.unknown is not None else []
        yield from filter(None, (misfit(*value) for value in dict.fromkeys(values)))
        legacy = [pair[0] for pair in self.pairs]
        for value in sorted({str(v) for v in legacy if legacy.count(v) > 1}):
            yield f"the legacy value {value} stands in two pairs"


def _case(value: str, pairs: Iterable[tuple[Value, Value]], result: str, otherwise: str) -> str:
    whens = " ".join(f"WHEN {literal(a)} THEN {literal(b)}::{result}" for a, b in pairs)
    return f"CASE {value} {whens} ELSE {otherwise} END"


def _otherwise(value: str, source: str, result: str, given: Value | None, message: str) -> str:
    """Return SQL for a value without a pair: what is given for it, or an error; NULL for NULL."""
    if given is not None:
        return f"CASE WHEN {value} IS NOT NULL THEN {literal(given)}::{result} END"
    if _has_immutable_text(source):
        return refusal(value, result, message)
    # A function gives no length: without the cast, neither would the CASE that it stands in.
    return f"compat.refuse_any({literal(message)}, {value}, NULL::{result})::{result}"


def _has_immutable_text(type_text: str) -> bool:
    """False for enums and whatever else has a text that may not stand in an index."""
    kind = sqltypes.parse(type_text)
    return kind.is_integer or kind.is_numeric or kind.is_character or kind.name == "boolean"
