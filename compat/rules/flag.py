"""A flag for the instant at which it was set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import literal
from compat.rules.core import Ends, Row, Rule, Value, misfit, refusal
from compat.tables import STRICT


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
        is_bool = self._is_boolean(ends)
        on: Value = (True if is_bool else 1) if self.on is None else self.on
        off: Value = (False if is_bool else 0) if self.off is None else self.off
        return on, off

    def _is_boolean(self, ends: Ends) -> bool:
        return sqltypes.parse(ends.legacy.type).name == "boolean"

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
        # A boolean is one of the two, or NULL, which gives NULL.
        neither = ""
        if not self._is_boolean(ends):
            neither = f"ELSE {refusal(value, kind, f'{ends.title}: neither {on} nor {off}')} "
        return {
            self.target: f"CASE {value} WHEN {on} THEN {instant} WHEN {off} THEN NULL {neither}END"
        }

    def loss(self, ends: Ends) -> str | None:
        return "NULL reads back as unset" if ends.legacy.nullable else None

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        return f"{legacy.column(self.legacy)} IS NULL" if ends.legacy.nullable else None

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        if self._is_boolean(ends):
            return None
        return f"{legacy.column(self.legacy)} NOT IN ({', '.join(self._values(ends))})"

    def problems(self, ends: Ends) -> Iterator[str]:
        target = ends.target(self.target)
        if not (sqltypes.parse(target.type).is_timestamp or target.type == "date"):
            yield f"the target column {self.target!r} is not a timestamp"
        if not target.nullable:
            yield f"the target column {self.target!r} must be nullable: NULL means unset"
        on, off = self._on_off(ends)
        yield from (f"on and off: {why}" for v in (on, off) if (why := misfit(v, ends.legacy)))
        if on == off:
            yield f"on and off are both {on!r}"

    def absorbs_null(self) -> bool:
        return True
