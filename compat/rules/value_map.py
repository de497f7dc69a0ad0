"""One value for another, by a table of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

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


def _case(
    value: str,
    pairs: tuple[tuple[Value, Value], ...],
    result: str,
    otherwise: str | None,
    message: str,
) -> str:
    whens = " ".join(f"WHEN {literal(a)} THEN {literal(b)}::{result}" for a, b in pairs)
    if otherwise is None:
        return f"CASE {value} {whens} ELSE {refusal(value, result, message)} END"
    fallback = f"CASE WHEN {value} IS NOT NULL THEN {otherwise}::{result} END"
    return f"CASE {value} {whens} ELSE {fallback} END"
