"""SQL types as PostgreSQL's format_type() writes them, and what a conversion between two may lose.

Pure text analysis: enough to tell families, ranges and scales apart, and nothing more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_SHAPE: Final = re.compile(
    r"^(?P<head>[^()\[\]]+?)\s*(?:\((?P<modifiers>-?\d+(?:\s*,\s*-?\d+)?)\))?"
    r"(?P<tail>[^()\[\]]*?)(?P<array>(?:\[\])*)$"
)

INTEGER_DIGITS: Final = {"smallint": 4, "integer": 9, "bigint": 18}
_INTEGER_ORDER: Final = ("smallint", "integer", "bigint")
_TEXTS: Final = frozenset({"text", "character varying"})

_TEXT_LENGTHS: Final = {"smallint": 6, "integer": 11, "bigint": 20, "boolean": 5, "uuid": 36}

# Equality of these types is identity: two equal values cannot be told apart by any client.
# numeric (1.5 = 1.50), interval, float (-0), jsonb, citext, char(n) and unknown types are not.
_EQUAL_IS_SAME: Final = frozenset(
    {
        *INTEGER_DIGITS,
        *_TEXTS,
        "boolean",
        "uuid",
        "bytea",
        "date",
        "oid",
        "timestamp without time zone",
        "timestamp with time zone",
        "time without time zone",
    }
)


@dataclass(frozen=True)
class SqlType:
    """One type: `name` without modifiers, `modifiers` as integers, `array` when it is one."""

    name: str
    modifiers: tuple[int, ...] = ()
    array: bool = False

    @property
    def is_integer(self) -> bool:
        """True for smallint, integer and bigint."""
        return not self.array and self.name in INTEGER_DIGITS

    @property
    def is_numeric(self) -> bool:
        """True for numeric with or without precision."""
        return not self.array and self.name == "numeric"

    @property
    def is_text(self) -> bool:
        """True for text and varchar."""
        return not self.array and self.name in _TEXTS

    @property
    def is_character(self) -> bool:
        """True for text, varchar and char(n)."""
        return self.is_text or (not self.array and self.name == "character")

    @property
    def is_timestamp(self) -> bool:
        """True for timestamp with or without time zone."""
        return not self.array and self.name.startswith("timestamp")

    @property
    def has_zone(self) -> bool:
        """True for timestamptz and timetz."""
        return self.name.endswith("with time zone")

    @property
    def equal_is_same(self) -> bool:
        """True when values that compare equal are indistinguishable."""
        return not self.array and self.name in _EQUAL_IS_SAME

    @property
    def digits(self) -> tuple[int, int] | None:
        """(digits before the point, digits after it) that always fit, or None when unbounded."""
        if self.is_integer:
            return INTEGER_DIGITS[self.name], 0
        if self.is_numeric and self.modifiers:
            precision, scale = (*self.modifiers, 0)[:2]
            return precision - scale, scale
        return None


def parse(text: str) -> SqlType:
    """Return the SqlType of a format_type() text; an odd one becomes a type of that whole name."""
    match = _SHAPE.match(text.strip())
    if match is None:
        return SqlType(text.strip())
    name = re.sub(r"\s+", " ", match["head"] + match["tail"]).strip()
    modifiers = tuple(int(part) for part in (match["modifiers"] or "").split(",") if part)
    return SqlType(name, modifiers, bool(match["array"]))


def element(type_text: str) -> str:
    """Return the type of the elements of an array type."""
    return type_text.strip().rstrip("[]")


def differs(left: str, right: str, type_text: str, collation: str | None = None) -> str:
    """Return SQL that is true when two values of one type can be told apart (NULLs are alike).

    Where equality is coarser than identity (numeric 1.5 and 1.50, json without equality, a
    nondeterministic collation) the values are compared as PostgreSQL stores them.
    """
    if parse(type_text).equal_is_same and collation is None:
        return f"{left} IS DISTINCT FROM {right}"
    return f"(ROW({left})::record OPERATOR(pg_catalog.*<>) ROW({right})::record)"


def differs_stored(left: str, right: str, type_text: str, collation: str | None = None) -> str:
    """Return SQL for what `differs` says that PostgreSQL can keep: in a trigger's condition.

    When it writes such a condition out, for a dump, it leaves `::record` away, and reads the
    operators between two rows as comparisons of their columns then.
    """
    if parse(type_text).equal_is_same and collation is None:
        return f"{left} IS DISTINCT FROM {right}"
    return f"pg_catalog.record_image_ne(ROW({left}), ROW({right}))"


def out_of_range(number: str, legacy_text: str, target_text: str, factor: Decimal) -> str | None:
    """Return SQL that is true when a scaled number does not fit into the target, or None.

    :param number: SQL of the scaled number, of type numeric
    :returns: None where every number fits, or where it is not known which ones do
    """
    legacy, target = parse(legacy_text), parse(target_text)
    if target.digits is None or not (legacy.is_integer or legacy.is_numeric):
        return None
    before, after = target.digits
    shift = factor.adjusted() + 1 if factor != 1 else 0
    if legacy.digits is not None and legacy.digits[0] + shift <= before:
        return None
    if target.is_integer:
        bits = {"smallint": 16, "integer": 32, "bigint": 64}[target.name]
        limit = 2 ** (bits - 1)
        return f"pg_catalog.round({number}) NOT BETWEEN {-limit} AND {limit - 1}"
    return f"pg_catalog.abs(pg_catalog.round({number}, {after})) >= 1e{before}::numeric"


def cast_loss(
    legacy_text: str, target_text: str, factor: Decimal | None, timezone: str | None
) -> str | None:
    """Say why `legacy → target → legacy` may change a value without an error, or None.

    A value that does not fit raises an error in PostgreSQL; that is a refusal, not a loss.
    """
    legacy, target = parse(legacy_text), parse(target_text)
    if legacy.array and target.array:
        if factor is not None:
            return "a factor is for single numbers"
        return cast_loss(element(legacy_text), element(target_text), None, timezone)
    if factor is not None:
        return _scaling_loss(legacy, target, factor)
    if legacy == target:
        return None
    if legacy.array or target.array:
        return "an array and a single value are not the same; use rules.Delimited for a text"
    if target.is_text and target.modifiers and not _fits(legacy, target.modifiers[0]):
        return f"what is longer than {target.modifiers[0]} characters is cut off"
    if legacy.is_integer:
        if target.is_integer or target.is_numeric or target.is_text:
            return None
        return f"not every {legacy_text} has a counterpart in {target_text}"
    if legacy.is_numeric:
        return _scaling_loss(legacy, target, Decimal(1))
    if legacy.is_text:
        return _text_loss(legacy_text, target)
    if legacy.is_timestamp and target.is_timestamp:
        return _timestamp_loss(legacy, target, timezone)
    if legacy.name == "date" and target.is_timestamp:
        return _zone_loss(timezone) if target.has_zone else None
    if target.is_text and legacy.name in {"boolean", "uuid"}:
        return None
    if target.is_text and legacy.name == "character" and legacy.modifiers:
        return None  # blanks at its end are no part of a char(n), which pads them again
    if legacy.name == "boolean" and target.name == "integer":
        return None
    if target.is_text and not target.modifiers and "::" not in legacy.name:
        return f"{legacy_text} as text depends on session settings or on the type's output"
    return f"{legacy_text} and {target_text} do not hold the same values"


def _scaling_loss(legacy: SqlType, target: SqlType, factor: Decimal) -> str | None:
    if legacy.digits is None:
        return "an unbounded numeric keeps digits and a display scale that the target may not"
    _, scale = legacy.digits
    sign, digits, exponent = factor.normalize().as_tuple()
    if sign or digits != (1,) or not isinstance(exponent, int):
        return f"a factor of {factor} is not a power of ten"
    if target.is_text:
        return None if factor == 1 else "a scaled number as text"
    if target.digits is None:
        return None if target.is_numeric else f"{target.name} does not hold exact decimals"
    needed = max(scale - exponent, 0)
    if target.digits[1] < needed:
        return f"{needed} digits after the point are needed, the target keeps {target.digits[1]}"
    return None


def _text_loss(legacy_text: str, target: SqlType) -> str | None:
    if target.is_text:
        return None
    if target.name == "character":
        return "char(n) pads with blanks and loses trailing ones"
    return f"text need not be written the way {target.name} prints it ('1.5' or '01' for 1.50)"


def _timestamp_loss(legacy: SqlType, target: SqlType, timezone: str | None) -> str | None:
    kept = target.modifiers[0] if target.modifiers else 6
    given = legacy.modifiers[0] if legacy.modifiers else 6
    if kept < given:
        return f"{given} digits of a second are given, the target keeps {kept}"
    return None if legacy.has_zone == target.has_zone else _zone_loss(timezone)


def _zone_loss(timezone: str | None) -> str | None:
    if timezone is None:
        return "depends on the session's time zone"
    if timezone.upper() in {"UTC", "ETC/UTC", "GMT"}:
        return None
    return f"local times that do not exist in {timezone} are moved when clocks go forward"


def _fits(legacy: SqlType, length: int) -> bool:
    """Return whether every value fits, as text, into so many characters.

    An explicit cast to varchar(n) cuts off what does not, without an error.
    """
    if legacy.is_character:
        return bool(legacy.modifiers) and legacy.modifiers[0] <= length
    if legacy.digits is not None and not legacy.is_integer:
        before, after = legacy.digits
        return len("-0.") + before + after <= length
    return _TEXT_LENGTHS.get(legacy.name, length + 1) <= length
