"""Values worth trying in a column: the edges of its type, and what its rule converts.

Pure: whether a value is valid is for the twin to say, whether the mapping refuses it for its rule.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from compat import sqltypes
from compat.rules import Cast, Constant, Epoch, Expression, Flag, Lens, Lookup, Value, ValueMap

_UNICODE = "Grüße, мир — 漢字 😀"
_AWKWARD = 'it\'s "quoted" \\ 100% '

_BY_TYPE: dict[str, tuple[str, ...]] = {
    "smallint": ("0", "1", "-1", "-32768", "32767", "32768"),
    "integer": ("0", "1", "-1", "-2147483648", "2147483647", "2147483648"),
    "bigint": ("0", "1", "-1", "-9223372036854775808", "9223372036854775807"),
    "boolean": ("t", "f"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "123e4567-e89b-42d3-a456-426614174000"),
    "date": ("1970-01-01", "2024-02-29", "9999-12-31", "infinity"),
    "timestamp without time zone": (
        "1970-01-01 00:00:00",
        "2024-02-29 12:34:56.123456",
        "9999-12-31 23:59:59.999999",
        "infinity",
    ),
    "timestamp with time zone": (
        "1970-01-01 00:00:00+00",
        "2024-02-29 12:34:56.123456+02",
        "infinity",
    ),
    "time without time zone": ("00:00:00", "23:59:59.999999"),
    "interval": ("0", "1 mon", "30 days"),
    "bytea": ("\\x", "\\x00ff"),
    "json": ("{}", "[]", '{"b": 1, "a": 2,  "a": 3}', "null"),
    "jsonb": ("{}", "[]", '{"b": 1, "a": 2}', "null"),
    "double precision": ("0", "-0", "0.1", "NaN", "1e308"),
    "real": ("0", "-0", "0.1", "NaN"),
}
_TEXT_AS_NUMBER = ("0", "1", "-1", "7.25", "12.5", "0012.50", "1e2", " 7 ", "", "x")
_SECONDS = (0, 1, -1, 951782399, 951782400, 1900000000, 2147483647, -2147483648)


def worth_trying(lens: Lens) -> tuple[str, ...]:
    """Return values for a column, the rule's own first, as literals without quotes."""
    rule, kind = lens.rule, sqltypes.parse(lens.legacy.type)
    match rule:
        case Constant() | Expression(writes=()):
            return ()
        case ValueMap():
            return tuple(_text(legacy) for legacy, _ in rule.pairs)
        case Flag():
            is_bool = kind.name == "boolean"
            on: Value = (True if is_bool else 1) if rule.on is None else rule.on
            off: Value = (False if is_bool else 0) if rule.off is None else rule.off
            return _text(on), _text(off)
        case Epoch():
            bound = 2**31 if kind.name == "integer" else 2**63
            ends = (rule.infinity, rule.minus_infinity)
            units = (*(rule.units(seconds) for seconds in _SECONDS), *filter(None, ends))
            return tuple(str(number) for number in units if -bound <= number < bound)
        case Lookup():
            return ()  # only who knows the parents knows them
        case Cast():
            return _for_cast(lens)
    return _of_type(lens.legacy.type)


def _for_cast(lens: Lens) -> tuple[str, ...]:
    legacy = sqltypes.parse(lens.legacy.type)
    target = sqltypes.parse(lens.ends.target(lens.targets[0]).type)
    if legacy.is_text:
        return _of_type(lens.legacy.type) if target.is_text else _TEXT_AS_NUMBER
    if legacy.is_timestamp or legacy.name in ("date", "boolean", "uuid"):
        # Beyond year 9999 and at infinity the conversions of PostgreSQL leave their range.
        return tuple(v for v in _of_type(lens.legacy.type) if v[:4] not in ("9999", "infi"))
    if legacy.is_integer or legacy.is_numeric:
        fraction = "." + "9" * legacy.digits[1] if legacy.digits and legacy.digits[1] else ""
        return "0", "1", "-1", f"99{fraction}"
    return ()


def _of_type(type_text: str) -> tuple[str, ...]:
    kind = sqltypes.parse(type_text)
    if kind.array:
        return ("{}",)
    if kind.is_numeric:
        if not kind.modifiers:
            return "0", "-1", "1.5", "1.50", "NaN"
        whole, scale = kind.digits or (0, 0)
        largest = "9" * max(whole, 1) + ("." + "9" * scale if scale > 0 else "")
        return "0", "-1", largest, "9" + largest, "0.0000000001"
    if kind.is_text or kind.name in ("character", "bpchar"):
        length = kind.modifiers[0] if kind.modifiers else None
        texts = ("", "x", "  x  ", _UNICODE, _AWKWARD)
        if length is None:
            return texts
        fitting = tuple(dict.fromkeys(text[:length] for text in texts))
        return *fitting, "é" * length, "é" * (length + 1)
    return _BY_TYPE.get(kind.name, ())


def unused(lens: Lens, number: int) -> str | None:
    """Return the `number`-th of many values that real data hardly has, or None if there are none.

    :param number: from 0 to 99
    """
    kind = sqltypes.parse(lens.legacy.type)
    if kind.array or isinstance(lens.rule, ValueMap | Flag | Lookup | Constant | Expression):
        return None
    if kind.name == "smallint":
        return str(31_000 + number)
    if kind.is_integer:
        return str(1_900_000_000 + number)
    if kind.is_numeric:
        whole = kind.digits[0] if kind.digits else 9
        return str(min(10**whole - 1, 1_900_000_000) - number)
    if kind.is_text and isinstance(lens.rule, Cast):
        target = sqltypes.parse(lens.ends.target(lens.targets[0]).type)
        if target.is_integer or target.is_numeric:
            return str(31_000 + number)
    if kind.is_text or kind.name == "character":
        length = kind.modifiers[0] if kind.modifiers else 63
        word = f"compat-verify-{number:02d}"
        return word if len(word) <= length else f"{97 - number % 90:0{length}d}"[-length:]
    if kind.name == "uuid":
        return f"00000000-0000-4000-8000-{number:012d}"
    if kind.name == "date":
        return (date(2900, 1, 1) + timedelta(days=number)).isoformat()
    if kind.is_timestamp:
        return (datetime(2900, 1, 1) + timedelta(seconds=number)).isoformat(sep=" ")
    return None


def ordinary(lens: Lens) -> str | None:
    """Return a value for a column of which no row is known, or None where none can be guessed."""
    values = worth_trying(lens)
    if sqltypes.parse(lens.legacy.type).is_integer and "1" in values:
        return "1"  # more checks ask for a positive number than for zero
    return values[0] if values else unused(lens, 0)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"  # as PostgreSQL prints it
    return str(value)
