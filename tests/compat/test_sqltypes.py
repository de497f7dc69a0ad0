"""Types as format_type() writes them, and what a cast between two may lose, as the database has it.

A cast that is called lossless gives every value back exactly, or refuses it with an error.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest
from psycopg import errors

from compat import rules, sqltypes
from compat.names import Scalar, literal
from compat.rules import Ends, Row
from compat.tables import Column, Table
from tests.compat.migrations import Connection, one, value

PARSED = {
    "integer": ("integer", (), False),
    "numeric(10,2)": ("numeric", (10, 2), False),
    "numeric(3,-2)": ("numeric", (3, -2), False),
    "character varying(20)": ("character varying", (20,), False),
    "character varying(20)[]": ("character varying", (20,), True),
    "integer[][]": ("integer", (), True),
    "timestamp(3) without time zone": ("timestamp without time zone", (3,), False),
    "timestamp with time zone": ("timestamp with time zone", (), False),
    "bit varying(5)": ("bit varying", (5,), False),
    "interval day to second(3)": ("interval day to second", (3,), False),
    "double precision": ("double precision", (), False),
    '"char"': ('"char"', (), False),
    "public.mood": ("public.mood", (), False),
    '"Odd Schema"."Odd Type"': ('"Odd Schema"."Odd Type"', (), False),
    'public."f(x) [y]"': ('public."f(x) [y]"', (), False),
}


@pytest.mark.parametrize("text", PARSED)
def test_a_type_is_parsed_into_name_modifiers_and_array(text: str) -> None:
    assert sqltypes.parse(text) == sqltypes.SqlType(*PARSED[text])


def test_the_names_of_all_built_in_types_parse_to_themselves(conn: Connection) -> None:
    found = conn.execute(
        "SELECT format_type(oid, NULL) FROM pg_type WHERE typtype = 'b'"
    ).fetchall()
    assert len(found) > 100
    for (text,) in found:
        parsed = sqltypes.parse(text)
        assert parsed.name + "[]" * parsed.array == text


def test_values_that_differ_in_what_a_client_sees_are_told_apart(conn: Connection) -> None:
    for kind, left, right in (
        ("numeric", "1.5", "1.50"),
        ("jsonb", "[1.0]", "[1.00]"),
        ("json", "[1]", "[ 1]"),
        ("double precision", "0", "-0"),
        ("text[]", "{a}", "{b}"),
        ("text", "a", "A"),
        ("integer", "1", "2"),
    ):
        terms = [f"'{literal}'::{kind}" for literal in (left, right)]
        for a in (*terms, f"NULL::{kind}"):
            for b in (*terms, f"NULL::{kind}"):
                assert value(conn, f"SELECT {sqltypes.differs(a, b, kind)}") == (a != b), (a, b)


ZONE = "timestamp with time zone"
LOCAL = "timestamp without time zone"
INTEGERS = ("smallint", "integer", "bigint")
TEXTS = ("text", "character varying", "character varying(9)", "character varying(200)")
NUMERICS = ("numeric(4,0)", "numeric(10,2)", "numeric(20,6)", "numeric(38,10)", "numeric")
TIMESTAMPS = (LOCAL, ZONE, "timestamp(3) without time zone", "timestamp(3) with time zone")
OTHERS = ("boolean", "uuid", "date", "character(3)", "integer[]", "double precision", "interval")
TYPES = (*INTEGERS, *TEXTS, *NUMERICS, *TIMESTAMPS, *OTHERS)
FACTORS = (Decimal(100), Decimal(1000000), Decimal("0.01"), Decimal(1), Decimal(3))
ZONES = ("UTC", "Europe/Berlin", "Pacific/Apia")

Case = tuple[str, str, Decimal | None, str | None]


def cases() -> Iterator[Case]:
    for old in TYPES:
        for new in TYPES:
            yield old, new, None, None
            if old in INTEGERS + NUMERICS and new in INTEGERS + NUMERICS:
                yield from ((old, new, factor, None) for factor in FACTORS)
            if ("with time zone" in old) != ("with time zone" in new) and {old, new} <= {
                *TIMESTAMPS,
                "date",
            }:
                yield from ((old, new, None, zone) for zone in ZONES)


LOSSLESS = [case for case in cases() if sqltypes.cast_loss(*case) is None]

KNOWN_LOSSES: list[tuple[str, str, Decimal | None, str | None, str]] = [
    ("text", "numeric(10,2)", None, None, "'1.5' or '01'"),
    ("text", "character varying(9)", None, None, "longer than 9 characters is cut off"),
    ("character varying(200)", "character varying(9)", None, None, "cut off"),
    ("integer", "character varying(9)", None, None, "cut off"),
    ("uuid", "character varying(9)", None, None, "cut off"),
    ("numeric(20,6)", "character varying(9)", None, None, "cut off"),
    ("text", "character(3)", None, None, "pads with blanks"),
    ("numeric", "numeric(10,2)", None, None, "unbounded"),
    ("numeric(10,2)", "integer", None, None, "2 digits after the point"),
    ("numeric(10,2)", "double precision", None, None, "exact decimals"),
    ("numeric(20,6)", "integer", Decimal(100), None, "4 digits after the point"),
    ("numeric(10,2)", "integer", Decimal(3), None, "not a power of ten"),
    (LOCAL, "timestamp(3) without time zone", None, None, "the target keeps 3"),
    (LOCAL, ZONE, None, None, "time zone"),
    (LOCAL, ZONE, None, "Europe/Berlin", "do not exist in Europe/Berlin"),
    ("date", ZONE, None, "Pacific/Apia", "do not exist in Pacific/Apia"),
    ("integer[]", "text", None, None, "array"),
    ("double precision", "text", None, None, "session settings"),
    ("integer", "boolean", None, None, "not every integer"),
    ("interval", "uuid", None, None, "do not hold the same values"),
]


@pytest.mark.parametrize(("old", "new", "factor", "zone", "reason"), KNOWN_LOSSES)
def test_a_cast_that_may_lose_something_says_what(
    old: str, new: str, factor: Decimal | None, zone: str | None, reason: str
) -> None:
    assert reason in str(sqltypes.cast_loss(old, new, factor, zone))


KNOWN_GAINS: list[Case] = [
    ("integer", "bigint", None, None),
    ("bigint", "integer", None, None),
    ("integer", "text", None, None),
    ("numeric(10,2)", "integer", Decimal(100), None),
    ("bigint", "numeric(20,6)", Decimal("0.01"), None),
    ("numeric(10,2)", "character varying(200)", None, None),
    ("character varying(9)", "character varying(200)", None, None),
    (LOCAL, ZONE, None, "UTC"),
    ("date", LOCAL, None, None),
    ("boolean", "integer", None, None),
    ("uuid", "text", None, None),
]


@pytest.mark.parametrize("case", KNOWN_GAINS)
def test_a_cast_that_gives_every_value_back_needs_no_acceptance(case: Case) -> None:
    assert case in LOSSLESS


def samples(kind: str) -> list[str]:
    """Values of a type as text: its extremes, its oddities, and some at random."""
    dice = random.Random(kind)
    parsed = sqltypes.parse(kind)
    if parsed.is_integer:
        bits = {"smallint": 15, "integer": 31, "bigint": 63}[parsed.name]
        fixed = [0, 1, -1, 2**bits - 1, -(2**bits), 10**4, 9999]
        return [*map(str, fixed), *(str(dice.randint(-(2**bits), 2**bits - 1)) for _ in range(40))]
    if parsed.is_numeric:
        before, after = parsed.digits or (20, 15)
        values = ["0", "NaN", "-" + "9" * before + "." + "9" * after, "1.5", "0." + "0" * 9 + "1"]
        for _ in range(40):
            digits = "".join(dice.choice("0123456789") for _ in range(dice.randint(1, before)))
            fraction = "".join(dice.choice("0123456789") for _ in range(after))
            values.append(f"{dice.choice(['', '-'])}{digits}.{fraction or 0}")
        return values
    if parsed.is_text or parsed.name == "character":
        length = parsed.modifiers[0] if parsed.modifiers else 40
        fixed_texts = ["", " ", "a", "a ", "01", "1.50", "é" * length, "x" * length, "it's \\ %s"]
        return [text[:length] for text in fixed_texts]
    if parsed.is_timestamp or parsed.name == "date":
        fixed_times = [
            "1970-01-01 00:00:00",
            "1969-12-31 23:59:59.999999",
            "2024-03-31 02:30:00",
            "2024-10-27 02:30:00.123456",
            "2011-12-30 12:00:00",
            "2011-12-30 00:00:00",
            "9999-12-31 23:59:59.999999",
            "294276-12-31 23:59:59.999999",
            "4713-01-01 00:00:00 BC",
            "5874897-12-31",
            "0044-03-15 12:00:00 BC",
            "infinity",
            "-infinity",
        ]
        return fixed_times + [
            f"{dice.randint(1, 9999):04}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02} "
            f"{dice.randint(0, 23):02}:{dice.randint(0, 59):02}:{dice.uniform(0, 59):09.6f}"
            for _ in range(20)
        ]
    return {
        "boolean": ["true", "false"],
        "uuid": ["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
        "double precision": [
            "0",
            "-0",
            "NaN",
            "infinity",
            "1e-320",
            "0.1",
            "1.7976931348623157e308",
        ],
        "interval": ["1 mon", "30 days", "720:00:00", "-1 day 00:00:01"],
        "integer": ["{}", "{1,NULL}"],
    }[parsed.name]


def test_every_cast_that_is_called_lossless_gives_values_back_or_refuses_them(
    conn: Connection,
) -> None:
    assert len(LOSSLESS) > 150
    conn.execute(
        # The value, cast there and back, unless a cast refuses it.
        """
        CREATE FUNCTION back_or_refused(given text, expression text) RETURNS text LANGUAGE plpgsql
        AS $$ DECLARE result text; BEGIN
            EXECUTE expression INTO result USING given; RETURN result;
        EXCEPTION WHEN data_exception OR feature_not_supported THEN RETURN 'refused'; END $$
        """
    )
    changed, exact = [], 0
    for old, new, factor, zone in LOSSLESS:
        rule = rules.Cast("a", "b", factor=factor, timezone=zone)
        ends = Ends(table("old", "a", old), Column("a", old), table("new", "b", new))
        written = rule.write(Row("v"), ends)["b"]
        back = rule.read(Row("w"), ends)
        expression = (
            f"SELECT CASE WHEN ROW(v.a)::record *= ROW(back)::record THEN 'same' "
            f"ELSE concat(v.a, ' → ', back) END FROM (SELECT $1::{old} AS a) AS v, "
            f"LATERAL (SELECT {written} AS b) AS w, LATERAL (SELECT {back} AS back) AS x"
        )
        for text in samples(old):
            try:
                result = value(conn, "SELECT back_or_refused(%s, %s)", [text, expression])
            except psycopg.Error as error:
                raise AssertionError(f"{old} → {new}: {text!r}: {error}") from error
            exact += result == "same"
            if result not in ("same", "refused"):
                changed.append(f"{old} → {new} (factor {factor}, zone {zone}): {result}")
    assert changed == []
    assert exact > 1000


def table(name: str, column: str, kind: str) -> Table:
    return Table("public", name, (Column(column, kind),))


UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("target", [ZONE, LOCAL])
def test_every_epoch_that_is_called_lossless_gives_numbers_back_or_refuses_them(
    conn: Connection, unit: str, target: str
) -> None:
    dice = random.Random(unit)
    rule = rules.Epoch("a", "b", unit)  # type: ignore[arg-type]
    for kind, bits in (("integer", 31), ("bigint", 63)):
        ends = Ends(table("old", "a", kind), Column("a", kind), table("new", "b", target))
        assert rule.loss(ends) is None
        last = 253402300800 * UNITS[unit] - 1  # the sentinel of many an application: 9999-12-31
        numbers = [0, 1, -1, last, -last, 2**53 + 1, 2**bits - 1, -(2**bits)]
        numbers += [dice.randint(-last, last) for _ in range(200)]
        numbers += [dice.randint(-(2**31), 2**31 - 1) for _ in range(50)]
        exact = 0
        for number in numbers:
            if not -(2**bits) <= number < 2**bits:
                continue
            written = rule.write(Row("v"), ends)["b"]
            query = (
                f"SELECT {rule.read(Row('w'), ends)} FROM "
                f'(SELECT %s::{kind} AS "a") AS v, LATERAL (SELECT {written} AS "b") AS w'
            )
            try:
                assert value(conn, query, [number]) == number
                exact += 1
            except (errors.DatetimeFieldOverflow, errors.NumericValueOutOfRange):
                pass  # beyond what timestamps hold
        assert exact > 50


def test_literals_are_read_as_the_value_that_they_were_made_from(conn: Connection) -> None:
    scalars: list[tuple[Scalar, str]] = [
        (-1, "text"),
        (-32768, "smallint"),
        (-(2**31), "integer"),
        (-(2**63), "bigint"),
        (Decimal("-1.50"), "numeric(10,2)"),
        ("it's \\ %s", "text"),
        (True, "boolean"),
        (None, "date"),
    ]
    columns = ", ".join(
        f"{literal(scalar)}::{kind} AS c{n}" for n, (scalar, kind) in enumerate(scalars)
    )
    conn.execute(f"CREATE VIEW literals AS SELECT {columns}")
    assert one(conn, "SELECT * FROM literals") == ("-1", *(scalar for scalar, _ in scalars[1:]))
    types = conn.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'literals'::regclass ORDER BY attnum"
    ).fetchall()
    assert [kind for (kind,) in types] == [kind for _, kind in scalars]
