"""A number of seconds or smaller units since 1970 for a timestamp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.rules.core import Converting, Ends
from compat.tables import STRICT


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
