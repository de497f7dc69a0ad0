"""A legacy column that v2 has no place for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import literal
from compat.rules.core import Ends, Row, Rule, Value, misfit
from compat.tables import STRICT


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
        elif self.value is not None and (why := misfit(self.value, ends.legacy)):
            yield why

    def absorbs_null(self) -> bool:
        return self.value is not None
