"""A number of seconds, or of smaller or larger units, since 1970 for a timestamp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import StrictInt
from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import literal
from compat.rules.core import Converting, Ends
from compat.tables import STRICT

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND


@plain_dataclass(frozen=True)
class _Size:
    """A unit: how long it is in microseconds, as an interval, as a field of date_trunc()."""

    microseconds: int
    interval: str
    field: str = ""


@dataclass(frozen=True, config=STRICT)
class Epoch(Converting):
    """Seconds, or other units, since 1970-01-01 UTC ↔ a timestamp; before 1970 they are negative.

    Reading rounds down, so that an instant that v2 stored with microseconds shows as the unit that
    contains it. A target without time zone is taken as UTC.

    :param infinity: the legacy number that means `infinity`; without one, a v2 application gets an
        error when it stores that while legacy clients may read it
    :param minus_infinity: likewise for `-infinity`
    """

    legacy: str
    target: str
    unit: Literal["us", "ms", "s", "min", "h", "d"] = "s"
    keep: str | None = None
    infinity: StrictInt | None = None
    minus_infinity: StrictInt | None = None
    rule: Literal["epoch"] = "epoch"

    _SIZES: ClassVar[dict[str, _Size]] = {
        "us": _Size(1, "1 microsecond"),
        "ms": _Size(1_000, "1 millisecond"),
        "s": _Size(_SECOND, "1 second"),
        "min": _Size(60 * _SECOND, "1 minute", "minute"),
        "h": _Size(_HOUR, "1 hour", "hour"),
        "d": _Size(24 * _HOUR, "24 hours", "day"),
    }

    @property
    def _size(self) -> _Size:
        return self._SIZES[self.unit]

    def units(self, seconds: int) -> int:
        """Return how many whole units so many seconds are."""
        return seconds * _SECOND // self._size.microseconds

    def encode(self, value: str, ends: Ends) -> str:
        # timestamptz + interval is exact where to_timestamp(double) rounds; hours and smaller
        # units do not depend on the session's time zone.
        instant = f"(timestamptz 'epoch' + {self._span(value, ends)})"
        target = ends.target(self.target).type
        zone = "" if sqltypes.parse(target).has_zone else " AT TIME ZONE 'UTC'"
        instant = f"({instant}{zone})::{target}" if zone else f"{instant}::{target}"
        return _case(value, [(literal(n), f"'{i}'::{target}") for n, i in self._ends], instant)

    def _span(self, value: str, ends: Ends) -> str:
        """Return SQL for the interval that so many units are."""
        kind, unit = sqltypes.parse(ends.legacy.type), f"interval '{self._size.interval}'"
        count, size = value, self._size.microseconds
        if not kind.is_integer:
            unit, size = "interval '1 microsecond'", 1
            count = f"floor({value}::numeric * {self._size.microseconds})::bigint"
        elif kind.name != "bigint" or size > _HOUR:
            return f"{value} * {unit}"
        # n * interval is computed as a double, exact up to 2^53 microseconds (the year 2255);
        # for whole hours it is exact throughout.
        hour = _HOUR // size
        return f"{count} / {hour} * interval '1 hour' + mod({count}, {hour}) * {unit}"

    def decode(self, value: str, ends: Ends) -> str:
        kind = ends.legacy.type
        target = ends.target(self.target).type
        pairs = [(f"'{i}'::{target}", f"{literal(n)}::{kind}") for n, i in self._ends]
        return _case(value, pairs, self._number(value, ends))

    def _number(self, value: str, ends: Ends) -> str:
        """Return SQL for how many units after 1970 a finite timestamp is."""
        legacy = sqltypes.parse(ends.legacy.type)
        # extract() from a timestamptz is not immutable and could not be indexed.
        if sqltypes.parse(ends.target(self.target).type).has_zone:
            value = f"({value} AT TIME ZONE 'UTC')"
        if legacy.is_integer and self._size.field:
            # What is cut off before needs no division that may round up.
            value = f"pg_catalog.date_trunc('{self._size.field}', {value})"
        if self.unit == "us" or not legacy.is_integer:
            # Near the end of bigint, extract() rounds a timestamp, but not an interval.
            value = f"{value} - timestamp 'epoch'"
        number = f"extract(epoch FROM {value})"
        if self._size.microseconds < _SECOND:
            number += f" * {_SECOND // self._size.microseconds}"
        elif self._size.microseconds > _SECOND:
            number += f" / {self._size.microseconds // _SECOND}"
        if legacy.is_integer:
            return f"floor({number})::{ends.legacy.type}"
        if legacy.digits is None:
            return f"({number})::{ends.legacy.type}"
        shift = Decimal(10) ** legacy.digits[1]
        return f"(floor({number} * {shift}) * {1 / shift:f})::{ends.legacy.type}"

    @property
    def _ends(self) -> list[tuple[int, str]]:
        """The legacy numbers that mean an infinity, each with which one."""
        both = ((self.infinity, "infinity"), (self.minus_infinity, "-infinity"))
        return [(number, end) for number, end in both if number is not None]

    def loss(self, ends: Ends) -> str | None:
        legacy = sqltypes.parse(ends.legacy.type)
        if legacy.digits is None or self._size.microseconds % 10 ** legacy.digits[1]:
            return f"digits of {ends.legacy.type} beyond the microsecond are cut off"
        finest = self._size.microseconds // 10 ** legacy.digits[1]
        needed = next(n for n in range(7) if finest % 10 ** (6 - n) == 0)
        kept = sqltypes.parse(ends.target(self.target).type).modifiers
        if kept and kept[0] < needed:
            return f"the target keeps {kept[0]} digits of a second, {needed} are needed"
        return None

    def problems(self, ends: Ends) -> Iterator[str]:
        yield from super().problems(ends)
        if not sqltypes.parse(ends.target(self.target).type).is_timestamp:
            yield f"the target column {self.target!r} is not a timestamp"
        legacy = sqltypes.parse(ends.legacy.type)
        if not (legacy.is_integer or legacy.is_numeric or legacy.name == "double precision"):
            yield f"{ends.legacy.type} is not a number of seconds"
        if self.infinity is not None and self.infinity == self.minus_infinity:
            yield f"infinity and minus_infinity are both {self.infinity}"


def _case(value: str, pairs: list[tuple[str, str]], otherwise: str) -> str:
    if not pairs:
        return otherwise
    whens = " ".join(f"WHEN {given} THEN {result}" for given, result in pairs)
    return f"CASE {value} {whens} ELSE {otherwise} END"
