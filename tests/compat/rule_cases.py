"""Each rule for a legacy column, with values of both sides: what the laws and the twins try.

A new rule is one more entry of CASES.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from compat import rules
from tests.compat.strategies import texts

Text = st.SearchStrategy[str | None]

ints = st.integers(-(2**31), 2**31 - 1).map(str)
short_texts = texts.map(lambda text: text[:20])
cents = st.integers(-(10**9), 10**9).map(lambda n: f"{n // 100}.{n % 100:02}")
prices = cents | st.sampled_from(["0", "1", "01", "1.5", "1.50", "1.500", " 1.50", "+1", "1e2"])
instants = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(str)
zoned = instants.map(lambda text: f"{text}+00")
booleans = st.booleans().map(str)


@dataclass(frozen=True)
class Case:
    """A rule for the legacy column v, with what may stand on either side of it.

    :param target: the definitions of the target columns that the rule writes
    :param given: legacy values, as text
    :param born: values of those target columns in rows that only v2 wrote, as text
    """

    legacy: str
    rule: rules.AnyRule
    target: tuple[str, ...]
    given: Text
    born: tuple[Text, ...]
    options: dict[str, Any] = field(default_factory=dict)
    before: str = "SELECT"
    """What must be there before the tables: types, parents."""


def document_with(path: str | tuple[str | int, ...], member: str, other: str) -> str:
    """A document that holds one JSON value at a path, and another value beside it."""
    for step in reversed((path,) if isinstance(path, str) else path):
        if isinstance(step, int):
            member = f"[{', '.join([other] * step + [member, other])}]"
        else:
            member = f'{{"other": {other}, {json.dumps(step)}: {member}}}'
    return member


ODD = ["{}", "null", '{"a": null}', None]
"""Documents in which nothing is where a rule looks for it."""
ODDS: Text = st.sampled_from(ODD)

PARENTS = f"""
CREATE TABLE parents (id uuid PRIMARY KEY, legacy_id integer NOT NULL UNIQUE);
INSERT INTO parents VALUES ('{1:032}', 1), ('{2:032}', 2)
"""

STATES = ((1, "new"), (2, "open"), (3, "done"))
TOPICS = (("a", "Alpha"), ("b", "Beta"))

CASES: dict[str, Case] = {
    "column": Case(
        "varchar(20)", rules.Column("v", "t"), ("t varchar(20)",), short_texts, (short_texts,)
    ),
    "cast to a wider integer": Case("integer", rules.Cast("v", "t"), ("t bigint",), ints, (ints,)),
    "cast to text": Case("integer", rules.Cast("v", "t"), ("t text",), ints, (ints,)),
    "cast with a factor": Case(
        "numeric(12,2)", rules.Cast("v", "t", factor=100), ("t bigint",), cents, (ints,)
    ),
    "cast with a fraction for a factor": Case(
        "bigint",
        rules.Cast("v", "t", factor="0.01"),  # type: ignore[arg-type]
        ("t numeric(20,4)",),
        st.integers(-(10**17), 10**17).map(str),
        (cents.map(lambda text: text + "17"),),
    ),
    "cast into a time zone": Case(
        "timestamp",
        rules.Cast("v", "t", timezone="UTC"),
        ("t timestamptz",),
        instants,
        (zoned,),
    ),
    "cast out of a time zone to the millisecond": Case(
        "timestamp(3) with time zone",
        rules.Cast("v", "t", timezone="UTC"),
        ("t timestamp",),
        zoned,
        (instants,),
    ),
    "cast with a side column": Case(
        "text",
        rules.Cast("v", "t", keep="k"),
        ("t numeric(12,2)", "k text"),
        prices | st.none(),
        (cents, prices | st.none()),
    ),
    "value map": Case(
        "integer",
        rules.ValueMap("v", "t", STATES),
        ("t text",),
        st.sampled_from(["1", "2", "3", None]),
        (st.sampled_from(["new", "open", "done", None]),),
    ),
    "value map for what v2 alone knows": Case(
        "integer",
        rules.ValueMap("v", "t", STATES, unknown=1),
        ("t text",),
        st.sampled_from(["1", "2", "3", None]),
        (st.sampled_from(["new", "open", "done", "paused", "", None]),),
    ),
    "value map with a side column for the rest": Case(
        "text",
        rules.ValueMap("v", "t", TOPICS, otherwise="Other", unknown="?", keep="k"),
        ("t varchar(9)", "k text"),
        st.sampled_from(["a", "b", "c", "", "Other", "?"]) | short_texts | st.none(),
        (st.sampled_from(["Alpha", "Beta", "Other", "New", None]), short_texts | st.none()),
    ),
    "value map of two into one with a side column": Case(
        "integer",
        rules.ValueMap("v", "t", ((1, "on"), (2, "on"), (3, "off")), keep="k"),
        ("t text", "k integer"),
        st.sampled_from(["1", "2", "3", None]),
        (st.sampled_from(["on", "off", None]), st.sampled_from(["1", "2", "3", None])),
    ),
    "flag": Case(
        "boolean NOT NULL",
        rules.Flag("v", "t"),
        ("t timestamptz",),
        booleans,
        (zoned | st.none(),),
    ),
    "flag as a number": Case(
        "smallint NOT NULL",
        rules.Flag("v", "t", at="pg_catalog.clock_timestamp()"),
        ("t timestamp",),
        st.sampled_from(["0", "1"]),
        (instants | st.none(),),
    ),
    "flag as a letter, turned round": Case(
        "char(1) NOT NULL",
        rules.Flag("v", "t", on="N", off="Y", at="NULL::timestamptz"),
        ("t date",),
        st.sampled_from(["Y", "N"]),
        (st.dates().map(str) | st.none(),),
    ),
    "flag with NULL taken for unset": Case(
        "boolean",
        rules.Flag("v", "t"),
        ("t timestamptz",),
        booleans,
        (zoned | st.none(),),
        {"accept": ("v",)},
    ),
    "expression with writes": Case(
        "integer",
        rules.Expression("v", "first + last", ("first", "last"), (("first", "v"), ("last", "0"))),
        ("first integer DEFAULT 0", "last integer DEFAULT 0"),
        ints,
        (st.integers(-9, 9).map(str), st.integers(-9, 9).map(str)),
        {"accept": ("v",)},
    ),
}
MOODS = ("happy", 'it\'s "so"', "")
MOOD_TYPE = "CREATE TYPE mood AS ENUM ('', 'it''s \"so\"', 'happy')"
CASES |= {
    "enum to varchar": Case(
        "mood",
        rules.ValueMap("v", "t", tuple((mood, mood) for mood in MOODS)),
        ("t varchar(20) CHECK (t IN ('happy', 'it''s \"so\"', ''))",),
        st.sampled_from([*MOODS, None]),
        (st.sampled_from([*MOODS, None]),),
        before=MOOD_TYPE,
    ),
    "varchar to enum": Case(
        "varchar(20)",
        rules.ValueMap("v", "t", tuple((mood, mood) for mood in MOODS)),
        ("t mood",),
        st.sampled_from([*MOODS, None]),
        (st.sampled_from([*MOODS, None]),),
        before=MOOD_TYPE,
    ),
    "integer array": Case(
        "integer[]",
        rules.Cast("v", "t"),
        ("t bigint[]",),
        st.sampled_from(["{}", "{1,NULL,-3}", "[5:6]={1,2}", "{{1,2},{3,4}}", None]),
        (st.sampled_from(["{}", "{2147483647}", "[0:0]={NULL}", None]),),
    ),
    "scale that shrinks, with a side column": Case(
        "numeric(10,4)",
        rules.Cast("v", "t", keep="k"),
        ("t numeric(10,2)", "k numeric(10,4)"),
        st.integers(-(10**9), 10**9).map(lambda n: str(Decimal(n).scaleb(-4))) | st.none(),
        (st.sampled_from(["1.01", "-0.99", None]), st.sampled_from(["1.0050", None])),
    ),
    "padded characters as text": Case(
        "character(5)",
        rules.Cast("v", "t"),
        ("t text",),
        st.sampled_from(["", "a", " a", "a b c", "é   ", None]),
        (st.sampled_from(["", "x", " y", None]),),
    ),
    "text trimmed, with a side column": Case(
        "text",
        rules.Text("v", "t", trim="both", keep="k"),
        ("t text", "k text"),
        st.sampled_from(["", " ", "a", " a", "a ", "\ta\n", "a  b "]) | texts | st.none(),
        (st.sampled_from(["", "b", " b ", None]), st.sampled_from([" b", "", None])),
    ),
    "text in lower case, with a side column": Case(
        "varchar(20)",
        rules.Text("v", "t", trim="trailing", case="lower", keep="k"),
        ("t varchar(20)", "k varchar(20)"),
        st.sampled_from(["", "a", "A ", "ÀÉ", "İI", "ß", "ẞ"]) | short_texts | st.none(),
        (st.sampled_from(["", "b", "B", None]), st.sampled_from(["B", "b ", None])),
    ),
    "text with delimiters": Case(
        "text",
        rules.Delimited("v", "t", ", "),
        ("t text[]",),
        st.sampled_from(["", ",", ", ", "a, b", ", ,, ", "NULL", "{}", "a,b"]) | texts | st.none(),
        (st.sampled_from(["{}", "{a,NULL}", '{"a, b"}', "{{a,b},{c,d}}", '{""}', None]),),
    ),
    "an array as text, with a side column": Case(
        "text[]",
        rules.Delimited("v", "t", "|", keep="k"),
        ("t text", "k text[]"),
        st.sampled_from(["{}", "{a}", "{a|b,c}", "{NULL}", '{""}', "[3:4]={x,y}", None]),
        (st.sampled_from(["", "a|b", "|", None]), st.sampled_from(["{a|b}", None])),
    ),
    "epoch with an infinity": Case(
        "bigint",
        rules.Epoch("v", "t", infinity=2**62, minus_infinity=-1),
        ("t timestamptz",),
        st.sampled_from([str(2**62), "-1", "0", "1", "-2", "253402300799", None]),
        (zoned | st.sampled_from(["infinity", "-infinity", None]),),
    ),
    "epoch in ms with an infinity as a timestamp": Case(
        "bigint",
        rules.Epoch("v", "t", "ms", infinity=0),
        ("t timestamp",),
        st.sampled_from(["0", "1", "-1", "-62135596800000", None]),
        (instants | st.sampled_from(["infinity", "4713-01-01 BC", None]),),
    ),
    "epoch with digits": Case(
        "numeric(18,6)",
        rules.Epoch("v", "t"),
        ("t timestamptz",),
        st.integers(-(10**15), 10**16).map(lambda n: str(Decimal(n).scaleb(-6))) | st.none(),
        (zoned | st.none(),),
    ),
    "epoch in ms with digits": Case(
        "numeric(18,1)",
        rules.Epoch("v", "t", "ms"),
        ("t timestamp",),
        st.integers(-(10**15), 10**15).map(lambda n: str(Decimal(n).scaleb(-1))),
        (instants | st.none(),),
    ),
    "epoch as a double": Case(
        "double precision",
        rules.Epoch("v", "t"),
        ("t timestamptz",),
        st.integers(-(10**12), 10**12).map(lambda n: str(n / 1000)) | st.none(),
        (zoned | st.none(),),
        {"accept": ("v",)},
    ),
    "a lookup with the number kept": Case(
        "integer",
        rules.Lookup("v", "t", rules.Referenced("public", "parents"), keep="k"),
        ("t uuid REFERENCES parents", "k integer"),
        st.sampled_from(["1", "2", None]),
        (st.sampled_from([f"{n:032}" for n in (1, 2)]) | st.none(), st.none()),
        before=PARENTS,
    ),
    "a lookup": Case(
        "integer",
        rules.Lookup("v", "t", rules.Referenced("public", "parents")),
        ("t uuid REFERENCES parents",),
        st.sampled_from(["1", "2", None]),
        (st.sampled_from([f"{n:032}" for n in (1, 2)]) | st.none(),),
        before=PARENTS,
    ),
    "json field: an instant": Case(
        "timestamptz", rules.JsonField("v", "t", "at"), ("t jsonb",), zoned | st.none(), (ODDS,)
    ),
    "json field: few characters": Case(
        "character(4)",
        rules.JsonField("v", "t", "c"),
        ("t jsonb DEFAULT '{\"v\": 2}' NOT NULL",),
        st.sampled_from(["", " a", "a", None]),
        (st.sampled_from(["{}", '{"c": "x"}', '{"c": "longer"}']),),
    ),
}
_others = st.sampled_from(["null", "[]", '"x"', "-1.50", '{"k": 1}'])
_members: dict[str, Text] = {
    "text": texts.map(json.dumps) | st.sampled_from(["1", "true", "[1, null]"]),
    "integer": st.integers(-9, 9).map(str) | st.just('"7"'),
    "numeric": cents,
    "boolean": st.sampled_from(["true", "false", '"t"']),
}
_numbers = st.sampled_from(["0", "1.5", "1.50", "-0.0", "1e2"]) | cents
for _name, _kind, _given, _path in (
    ("text", "text", texts, "k"),
    ("text under an odd key", "text", texts, 'it\'s "k" \\ %s'),
    ("an integer", "integer", ints, "k"),
    ("a number as it is written", "numeric", _numbers, "k"),
    ("a flag", "boolean", booleans, "k"),
    ("text within", "text", texts, ("a", "k")),
    ("a number in an array", "integer", ints, ("a", 2)),
    ("a number in an object in an array", "integer", ints, ("a", 1, "k")),
):
    for _null in ("missing", "null"):
        _member = _members[_kind] | st.just("null")
        CASES[f"json field: {_name}, NULL is {_null}"] = Case(
            _kind,
            rules.JsonField("v", "t", _path, _null),
            ("t jsonb",),
            _given | st.none(),
            (st.builds(document_with, st.just(_path), _member, _others) | ODDS,),
        )
for _unit, _seconds in (("min", 60), ("h", 3600), ("d", 86400)):
    for _kind in ("integer", "bigint"):
        CASES[f"epoch in {_unit} as {_kind}"] = Case(
            _kind,
            rules.Epoch("v", "t", _unit),  # type: ignore[arg-type]
            ("t timestamptz",),
            st.integers(-(10**9) // _seconds, 10**10 // _seconds).map(str) | st.none(),
            (zoned | st.none(),),
        )
for _unit, _per_second in (("s", 1), ("ms", 1_000), ("us", 1_000_000)):
    for _zone, _born in (("timestamptz", zoned), ("timestamp", instants)):
        CASES[f"epoch in {_unit} over {_zone}"] = Case(
            "bigint",
            rules.Epoch("v", "t", _unit),  # type: ignore[arg-type]
            (f"t {_zone}",),
            (
                st.integers(-(10**9) * _per_second, 10**10 * _per_second).map(str)
                | st.sampled_from([str(253402300800 * _per_second - 1), "0", "-1"])
                | st.none()
            ),
            (_born | st.none(),),
        )
CASES["epoch in s as an integer"] = Case(
    "integer",
    rules.Epoch("v", "t"),
    ("t timestamptz",),
    ints,
    (st.datetimes(datetime(1902, 1, 1), datetime(2038, 1, 1)).map(lambda at: f"{at}+00"),),
)
