"""The mapping as a value: what it refuses and how it says so, its document, its fingerprint.

Nothing here needs a database.
"""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from compat import rules
from compat.errors import MappingError
from compat.mapping import CodeName, Fill, Mapping, json_schema, load
from compat.tables import Column, Constraint, Table
from tests.compat.strategies import mappings, pure

KEY = Constraint("old_pkey", "primary_key", ("id",), "PRIMARY KEY (id)")
TARGET_KEY = Constraint("new_pkey", "primary_key", ("key",), "PRIMARY KEY (key)")
KEY_RULE = rules.Column("id", "key")


def mapping(
    *others: tuple[Column | None, tuple[Column, ...], rules.AnyRule | None],
    key: Column | None = None,
    target_key: Column | None = None,
    keys: tuple[Constraint, ...] = (KEY,),
    target_keys: tuple[Constraint, ...] = (TARGET_KEY,),
    key_rule: rules.AnyRule | None = KEY_RULE,
    **options: Any,
) -> Mapping:
    """A mapping of a key and of the columns under test, each (legacy, targets, rule)."""
    legacy = [key or Column("id", "integer", False)]
    target = [target_key or Column("key", "integer", False)]
    found = [key_rule] if key_rule else []
    for old, new, rule in others:
        legacy += [old] if old else []
        target += new
        found += [rule] if rule else []
    return Mapping(
        options.pop("name", "lines"),
        Table("public", "old", tuple(legacy), keys),
        Table("public", "new", tuple(target), target_keys),
        tuple(found),
        **options,
    )


def one_column(
    old: str, new: str, rule: rules.AnyRule, *more: Column, nullable: bool = True, **options: Any
) -> Mapping:
    """A mapping whose only other columns are legacy `a` and target `b`."""
    columns = (Column("b", new), *more)
    return mapping((Column("a", old, nullable), columns, rule), **options)


def side(kind: str, nullable: bool = True) -> Column:
    return Column("kept", kind, nullable)


TEXT = Column("a", "text")
TO_TEXT = (Column("b", "text"),)
STATUS = rules.ValueMap("a", "b", ((1, "one"), (2, "two")))

REFUSED: dict[str, tuple[Any, list[str]]] = {
    "a rule for a column that the legacy table does not have": (
        lambda: mapping((None, TO_TEXT, rules.Column("a", "b"))),
        ["'a'", "public.old", "drop the rule or correct its name"],
    ),
    "a rule that writes a column that the target does not have": (
        lambda: mapping((TEXT, (), rules.Column("a", "b"))),
        ["'a'", "public.new.b", "create the column or correct the rule"],
    ),
    "an expression that uses a column that the target does not have": (
        lambda: mapping((TEXT, (), rules.Expression("a", "b", ("b",))), accept=("a",)),
        ["'a'", "public.new.b", "create the column or correct the rule"],
    ),
    "a side column that the target does not have": (
        lambda: one_column("text", "numeric(9,2)", rules.Cast("a", "b", keep="kept")),
        ["'a'", "public.new.kept", "create the column"],
    ),
    "two rules for one legacy column": (
        lambda: mapping(
            (TEXT, TO_TEXT, rules.Column("a", "b")), (None, (), rules.Constant("a", None))
        ),
        ["'a'", "2 rules", "keep one"],
    ),
    "two rules that write one target column": (
        lambda: mapping(
            (TEXT, TO_TEXT, rules.Column("a", "b")),
            (Column("c", "text"), (), rules.Column("c", "b")),
        ),
        ["'b'", "2 rules or fills", "keep one"],
    ),
    "a rule and a fill that write one target column": (
        lambda: mapping((TEXT, TO_TEXT, rules.Column("a", "b")), fills=(Fill("b", "''"),)),
        ["'b'", "2 rules or fills", "keep one"],
    ),
    "a legacy column without a rule": (
        lambda: mapping((TEXT, TO_TEXT, None)),
        ["'a'", "no rule", "rules.Column('a', …)"],
    ),
    "a fill of a column that the target does not have": (
        lambda: mapping(fills=(Fill("b", "1"),)),
        ["'b'", "public.new", "create the column or drop the fill"],
    ),
    "a name in code that no import could spell": (
        lambda: mapping(code=(CodeName("shop.order-line", "shop.line"),)),
        ["'shop.order-line'", "no dotted name"],
    ),
    "a name in code with two new ones": (
        lambda: mapping(code=(CodeName("a.B", "a.C"), CodeName("a.B", "a.D"))),
        ["'a.B'", "2 new names", "keep one"],
    ),
    "a name in code that stays": (
        lambda: mapping(code=(CodeName("a.B", "a.B"),)),
        ["'a.B'", "to itself"],
    ),
    "an accepted column that does not exist": (
        lambda: mapping(accept=("a",)),
        ["'a'", "public.old", "drop or correct it"],
    ),
    "a column that is there twice": (
        lambda: mapping((TEXT, (*TO_TEXT, *TO_TEXT), rules.Column("a", "b"))),
        ["'b'", "2 times", "reflect it again"],
    ),
    "a condition without content": (
        lambda: mapping(where=" \n"),
        ["where is no condition", "leave it out"],
    ),
    "no key in the legacy table": (
        lambda: mapping(keys=()),
        ["public.old", "no primary key", "ALTER TABLE … ADD PRIMARY KEY"],
    ),
    "only a deferrable key in the legacy table": (
        lambda: mapping(keys=(dataclasses.replace(KEY, definition="PRIMARY KEY (id) DEFERRABLE"),)),
        ["public.old", "not deferrable", "ALTER TABLE … ADD PRIMARY KEY"],
    ),
    "only a key over a nullable column in the legacy table": (
        lambda: mapping(
            (TEXT, TO_TEXT, rules.Column("a", "b")),
            keys=(Constraint("u", "unique", ("a",), "UNIQUE (a)"),),
        ),
        ["public.old", "no unique constraint over NOT NULL columns"],
    ),
    "no key in the target": (
        lambda: mapping(target_keys=()),
        ["public.new", "(key)", "add one"],
    ),
    "a wider key in the target than the legacy key": (
        lambda: mapping(
            (TEXT, TO_TEXT, rules.Column("a", "b")),
            target_keys=(Constraint("p", "primary_key", ("key", "b"), "PRIMARY KEY (key, b)"),),
        ),
        ["public.new", "exactly (key)", "add one"],
    ),
    "only a deferrable key in the target": (
        lambda: mapping(
            target_keys=(
                Constraint("p", "unique", ("key",), "UNIQUE (key) DEFERRABLE INITIALLY DEFERRED"),
            )
        ),
        ["public.new", "not deferrable", "add one"],
    ),
    "a key that a flag would carry": (
        lambda: mapping(
            key=Column("id", "boolean", False),
            target_key=Column("key", "timestamp with time zone"),
            key_rule=rules.Flag("id", "key"),
        ),
        ["id", "a key column needs a lossless rule", "rules.Column"],
    ),
    "a key whose spelling only a side column keeps, so that '1' and '01' were one row": (
        lambda: mapping(
            (None, (side("text"),), None),
            key=Column("id", "text", False),
            key_rule=rules.Cast("id", "key", keep="kept"),
        ),
        ["id", "a key column needs a lossless rule", "rules.Column"],
    ),
    "a key with another collation": (
        lambda: mapping(
            key=Column("id", "text", False, collation='pg_catalog."C"'),
            target_key=Column("key", "text", False),
            key_rule=rules.Cast("id", "key"),
        ),
        ["id", "same collation", "'key'"],
    ),
    "a lossy rule that nobody accepted": (
        lambda: one_column("text", "numeric(9,2)", rules.Cast("a", "b")),
        ["a: ", "may lose something", "accept=('a',)", "keep=…"],
    ),
    "a lossy rule without the possibility of a side column": (
        lambda: one_column("boolean", "timestamp with time zone", rules.Flag("a", "b")),
        ["a: ", "NULL reads back as unset", "accept=('a',)"],
    ),
    "a cast to a shorter varchar, which would cut off": (
        lambda: one_column("text", "character varying(20)", rules.Cast("a", "b")),
        ["a: ", "longer than 20 characters is cut off", "accept=('a',)"],
    ),
    "an expression without its author's word": (
        lambda: one_column("text", "text", rules.Expression("a", "b", ("b",))),
        ["a: ", "nothing is known about an expression", "accept=('a',)"],
    ),
    "a value map that joins two values": (
        lambda: one_column("integer", "text", rules.ValueMap("a", "b", ((1, "x"), (2, "x")))),
        ["a: ", "several legacy values become x", "accept=('a',)"],
    ),
    "a value map with one legacy value twice": (
        lambda: one_column("integer", "text", rules.ValueMap("a", "b", ((1, "x"), (1, "y")))),
        ["a: ", "the legacy value 1 stands in two pairs"],
    ),
    "a value map without pairs": (
        lambda: one_column("integer", "text", rules.ValueMap("a", "b", ())),
        ["a: ", "at least one pair"],
    ),
    "a value map whose legacy values are of another type": (
        lambda: one_column("integer", "text", rules.ValueMap("a", "b", (("1", "one"),))),
        ["a: ", "'1' is no integer", "write it as one"],
    ),
    "a value map whose target values do not fit, and would be cut off": (
        lambda: one_column("integer", "character varying(2)", STATUS),
        ["a: ", "'one' is longer than 'b' holds"],
    ),
    "a flag without values for a text column": (
        lambda: one_column(
            "text", "timestamp with time zone", rules.Flag("a", "b"), nullable=False
        ),
        ["a: ", "1 is no text", "write it as one"],
    ),
    "a flag whose two values are one": (
        lambda: one_column(
            "integer", "timestamp with time zone", rules.Flag("a", "b", on=0), nullable=False
        ),
        ["a: ", "on and off are both 0"],
    ),
    "a flag over something else than an instant": (
        lambda: one_column("boolean", "text", rules.Flag("a", "b"), nullable=False),
        ["a: ", "'b'", "not a timestamp"],
    ),
    "a flag over an instant that is always there": (
        lambda: mapping(
            (
                Column("a", "boolean", False),
                (Column("b", "timestamp with time zone", False),),
                rules.Flag("a", "b"),
            )
        ),
        ["a: ", "'b'", "must be nullable"],
    ),
    "an epoch that is no number": (
        lambda: one_column("text", "timestamp with time zone", rules.Epoch("a", "b")),
        ["a: ", "text is not a number of seconds"],
    ),
    "an epoch whose target is no instant": (
        lambda: one_column("integer", "date", rules.Epoch("a", "b")),
        ["a: ", "'b'", "not a timestamp"],
    ),
    "a rename between types": (
        lambda: one_column("integer", "bigint", rules.Column("a", "b")),
        ["a: ", "integer and bigint", "use rules.Cast('a', 'b')"],
    ),
    "a rename between collations, which would sort otherwise": (
        lambda: mapping(
            (Column("a", "text", collation='pg_catalog."C"'), TO_TEXT, rules.Column("a", "b"))
        ),
        ["a: ", 'pg_catalog."C"', "give the target column the legacy one"],
    ),
    "a side column of another type": (
        lambda: one_column(
            "text", "numeric(9,2)", rules.Cast("a", "b", keep="kept"), side("varchar(9)")
        ),
        ["a: ", "'kept'", "must be the same"],
    ),
    "a side column that must not be NULL": (
        lambda: one_column(
            "text", "numeric(9,2)", rules.Cast("a", "b", keep="kept"), side("text", False)
        ),
        ["a: ", "'kept'", "must be nullable"],
    ),
    "a change of time zones without a zone": (
        lambda: one_column(
            "timestamp without time zone", "timestamp with time zone", rules.Cast("a", "b")
        ),
        ["a: ", "timezone='UTC'"],
    ),
    "a zone where no type has one": (
        lambda: one_column("text", "text", rules.Cast("a", "b", timezone="UTC")),
        ["a: ", "timezone is for casts between types with and without time zone"],
    ),
    "a factor of nothing": (
        lambda: one_column("numeric(9,2)", "integer", rules.Cast("a", "b", factor=0)),
        ["a: ", "greater than 0"],
    ),
    "a constant NULL in a column without NULLs": (
        lambda: mapping((Column("a", "text", False), (), rules.Constant("a", None)), accept=("a",)),
        ["a: ", "NOT NULL", "constant is NULL"],
    ),
    "a constant of another type": (
        lambda: mapping((TEXT, (), rules.Constant("a", 1)), accept=("a",)),
        ["a: ", "1 is no text", "write it as one"],
    ),
    "a required target column that nothing writes": (
        lambda: mapping((None, (Column("b", "text", False),), None)),
        ["'b'", "NOT NULL without a default", "Fill('b', …)"],
    ),
    "a GENERATED target column": (
        lambda: mapping(
            (TEXT, (Column("b", "text", generated="upper(c)"),), rules.Column("a", "b"))
        ),
        ["'b'", "GENERATED", "make it a plain column"],
    ),
    "a GENERATED ALWAYS AS IDENTITY target column": (
        lambda: mapping(target_key=Column("key", "integer", False, identity="always")),
        ["'key'", "IDENTITY", "make it a plain column"],
    ),
    "a GENERATED legacy column that clients would have to write": (
        lambda: mapping(
            (Column("a", "text", generated="upper(c)"), TO_TEXT, rules.Column("a", "b"))
        ),
        ["a: ", "GENERATED", "rules.Expression('a', …)"],
    ),
    "an identity column in the legacy table": (
        lambda: mapping(key=Column("id", "integer", False, identity="by default")),
        ["id: ", "identity", "serial column"],
    ),
    "an updatable view that would have to convert": (
        lambda: one_column("integer", "text", STATUS, form="updatable"),
        ["a: ", "an updatable view cannot convert", "use instead_of"],
    ),
    "an updatable view that would have to fill": (
        lambda: mapping((None, TO_TEXT, None), fills=(Fill("b", "''"),), form="updatable"),
        ["b: ", "default instead of the fill"],
    ),
    "a table name of 64 bytes": (
        lambda: dataclasses.replace(mapping(), legacy=Table("public", "é" * 32, ())),
        ["public." + "é" * 32, "64 bytes", "as pg_class or pg_attribute shows it"],
    ),
    "an empty column name": (
        lambda: mapping((Column("", "text"), TO_TEXT, rules.Column("", "b"))),
        ["public.old", "a name is empty"],
    ),
    "a column name with a NUL character": (
        lambda: mapping((Column("a\0b", "text"), TO_TEXT, rules.Column("a\0b", "b"))),
        ["public.old", r"'a\x00b'", "NUL"],
    ),
    "a mapping name of 64 bytes": (
        lambda: mapping(name="m" * 64),
        ["mapping: the name", "64 bytes"],
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_contradiction_is_refused_with_the_mapping_the_column_and_a_fix(what: str) -> None:
    make, fragments = REFUSED[what]
    with pytest.raises(MappingError) as caught:
        make()
    message = str(caught.value)
    assert message.startswith("mapping 'lines'") or "'" + "m" * 64 + "'" in message
    assert [part for part in fragments if part not in message] == [], message


def test_all_problems_of_one_sort_are_told_at_once() -> None:
    with pytest.raises(MappingError) as caught:
        mapping((TEXT, TO_TEXT, None), (Column("c", "text"), (), None))
    assert "'a' has no rule" in str(caught.value)
    assert "'c' has no rule" in str(caught.value)


def test_what_loses_something_is_taken_when_it_is_accepted_or_kept_aside() -> None:
    accepted = one_column("text", "numeric(9,2)", rules.Cast("a", "b"), accept=("a",))
    kept = one_column("text", "numeric(9,2)", rules.Cast("a", "b", keep="kept"), side("text"))
    assert accepted.lens("a").loss is not None
    assert kept.lens("a").loss is None


def test_auto_takes_the_updatable_form_only_where_nothing_is_converted_filled_or_stricter() -> None:
    def form(*columns: Any, **options: Any) -> str:
        return mapping(*columns, **options).chosen_form

    assert form((TEXT, TO_TEXT, rules.Column("a", "b"))) == "updatable"
    assert form((TEXT, TO_TEXT, rules.Column("a", "b")), form="instead_of") == "instead_of"
    assert form((Column("a", "integer"), TO_TEXT, STATUS)) == "instead_of"
    assert form((None, TO_TEXT, None), fills=(Fill("b", "''"),)) == "instead_of"
    stricter = Column("a", "text", False)
    assert form((stricter, TO_TEXT, rules.Column("a", "b"))) == "instead_of"


def test_reasons_against_an_updatable_view_name_each_column() -> None:
    found = mapping(
        (Column("a", "integer"), TO_TEXT, STATUS),
        (Column("c", "text"), (), rules.Constant("c", "x")),
        accept=("c",),
    )
    assert [reason.partition(":")[0] for reason in found.reasons_against_updatable] == ["a", "c"]


def test_a_mapping_cannot_be_changed() -> None:
    found = mapping()
    for value in (found, found.legacy, found.legacy.columns[0], found.rules[0]):
        name = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "other")


def test_lists_that_were_given_are_not_shared_with_the_mapping() -> None:
    given_rules = [KEY_RULE]
    found = dataclasses.replace(mapping(), rules=given_rules)  # type: ignore[arg-type]
    given_rules.clear()
    assert found.rules == (KEY_RULE,)


@pure
@given(mappings())
def test_the_document_gives_back_an_equal_mapping(original: Mapping) -> None:
    read = Mapping.from_json(original.to_json())
    assert read == original
    assert read.fingerprint == original.fingerprint
    assert Mapping.from_json(original.to_json(indent=2)) == original


def test_decimals_in_value_maps_survive_the_document() -> None:
    pairs: Any = ((Decimal("1.50"), "x"), (Decimal(2), "y"))
    rule = rules.ValueMap("a", "b", pairs)
    found = one_column("numeric(4,2)", "text", rule)
    assert Mapping.from_json(found.to_json()) == found


def test_the_document_does_not_depend_on_how_a_factor_is_spelled() -> None:
    a, b = (
        one_column("numeric(9,2)", "integer", rules.Cast("a", "b", factor=factor))
        for factor in (100, Decimal("1E+2"))
    )
    assert a == b
    assert a.fingerprint == b.fingerprint


@pure
@given(mappings(), mappings())
def test_fingerprints_differ_exactly_when_mappings_do(a: Mapping, b: Mapping) -> None:
    assert (a.fingerprint == b.fingerprint) == (a == b)


def test_the_fingerprint_of_a_given_mapping_is_the_same_in_every_release() -> None:
    # Databases hold it. When this fails, documents that users have stored no longer match.
    found = one_column("integer", "text", STATUS)
    assert found.fingerprint == ("0d1615e56514d260730ff975322126d35c00b4aea768f81032b4f953e76b3d7b")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"accept": ("a",)},
        {"form": "instead_of"},
        {"fills": (Fill("free", "1"),)},
        {"rules": (KEY_RULE, rules.ValueMap("a", "b", ((1, "one"), (2, "zwei"))))},
    ],
)
def test_the_fingerprint_sees_every_change(change: dict[str, Any]) -> None:
    found = one_column("integer", "text", STATUS, Column("free", "integer"))
    assert dataclasses.replace(found, **change).fingerprint != found.fingerprint


def _valid(document: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """The part of JSON Schema that ours uses."""
    if "$ref" in schema:
        return _valid(document, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            matching = [_valid(document, part, root) for part in schema[key]]
            return any(matching) if key == "anyOf" else sum(matching) == 1
    if "const" in schema:
        return bool(document == schema["const"])
    if "enum" in schema:
        return document in schema["enum"]
    match schema.get("type"):
        case "object":
            known = schema["properties"]
            return (
                isinstance(document, dict)
                and set(schema.get("required", ())) <= set(document) <= set(known)
                and all(_valid(item, known[name], root) for name, item in document.items())
            )
        case "array" if "prefixItems" in schema:
            return len(document) == len(schema["prefixItems"]) and all(
                _valid(item, part, root)
                for item, part in zip(document, schema["prefixItems"], strict=True)
            )
        case "array":
            return isinstance(document, list) and all(
                _valid(item, schema["items"], root) for item in document
            )
        case "string":
            return isinstance(document, str)
        case "boolean":
            return isinstance(document, bool)
        case "integer" | "number":
            return isinstance(document, int) and not isinstance(document, bool)
        case "null":
            return document is None
    raise AssertionError(f"our checker does not know {schema}")


@pure
@given(mappings())
def test_the_json_schema_describes_what_is_written(original: Mapping) -> None:
    schema = json_schema()
    document = json.loads(original.to_json())
    assert _valid(document, schema, schema)


def test_the_json_schema_refuses_what_the_mapping_refuses() -> None:
    schema = json_schema()
    for document in BROKEN_DOCUMENTS.values():
        assert not _valid(document, schema, schema)


def broken(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(one_column("integer", "text", STATUS).to_json())
    return document | changes


BROKEN_DOCUMENTS = {
    "extra": broken(extra=1),
    "version": broken(version=2),
    "form": broken(form="magic"),
    "rules.0": broken(rules=[{"rule": "magic", "legacy": "id"}]),
    "rules.0.column.speed": broken(
        rules=[{"rule": "column", "legacy": "id", "target": "key", "speed": 3}]
    ),
    "legacy.name": broken(legacy={"schema": "public", "columns": []}),
}


@pytest.mark.parametrize("place", BROKEN_DOCUMENTS)
def test_a_document_of_another_form_is_refused_with_the_place_of_the_fault(place: str) -> None:
    with pytest.raises(MappingError) as caught:
        Mapping.from_json(json.dumps(BROKEN_DOCUMENTS[place]))
    assert f"\n  {place}: " in str(caught.value)
    assert "compat schema" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "x"}'])
def test_what_is_no_document_at_all_is_refused(text: str) -> None:
    with pytest.raises(MappingError, match="not a mapping document"):
        Mapping.from_json(text)


def test_a_document_that_contradicts_itself_is_refused_like_a_mapping() -> None:
    with pytest.raises(MappingError, match="mapping 'lines': the legacy column 'a' has no rule"):
        Mapping.from_json(json.dumps(broken(rules=[{"rule": "column", **_KEY_DOCUMENT}])))


_KEY_DOCUMENT = {"legacy": "id", "target": "key"}

MODULE = """
from compat import rules, tables
from compat.mapping import Mapping

def make(name):
    table = tables.Table("public", "old", (tables.Column("id", "integer", False),),
                         (tables.Constraint("p", "primary_key", ("id",), "PRIMARY KEY (id)"),))
    new = tables.Table("public", "new", table.columns, table.constraints)
    return Mapping(name, table, new, (rules.Column("id", "id"),))

"""


def test_a_mapping_is_loaded_from_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(mapping().to_json(), encoding="utf-8")
    assert load(str(path)) == mapping()


def test_a_mapping_is_loaded_from_a_python_file_that_holds_one(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(MODULE + "MAPPING = ALIAS = make('one')", encoding="utf-8")
    assert load(str(path)).name == "one"


def test_a_mapping_is_loaded_by_its_name_from_a_python_file_that_holds_several(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.py"
    path.write_text(MODULE + "A = make('one')\nB = make('two')", encoding="utf-8")
    assert load(f"{path}:B").name == "two"
    with pytest.raises(MappingError, match=r"holds A, B as mappings\n  fix: name one: .*m.py:NAME"):
        load(str(path))
    with pytest.raises(MappingError, match="no mapping called 'C'"):
        load(f"{path}:C")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("x = 1", "holds none as mappings"),
        ("1 / 0", "could not be run: ZeroDivisionError"),
        ("def", "could not be run: SyntaxError"),
        (MODULE + "make('')", "a name is empty"),
    ],
)
def test_a_python_file_without_a_sound_mapping_is_refused(
    tmp_path: Path, body: str, complaint: str
) -> None:
    path = tmp_path / "m.py"
    path.write_text(body, encoding="utf-8")
    with pytest.raises(MappingError, match=complaint):
        load(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for missing in (tmp_path / "no.json", tmp_path / "no.py", tmp_path):
        with pytest.raises(MappingError, match="no such mapping file"):
            load(str(missing))
