"""Errors as the legacy table would have raised them: its constraints, its columns, its values.

What a row shows by itself is refused beforehand. Of other rows, a look tells whether all is well;
an exception block, which costs a subtransaction, is entered only where the look leaves a doubt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from compat import constraints
from compat.bridge import bridge_of
from compat.compile.functions import (
    columns_and_values,
    indented,
)
from compat.constraints import Blame
from compat.definitions import parent_of
from compat.mapping import Mapping
from compat.names import ident, literal, regclass
from compat.rules import NEW, Constant, Expression, Lens, Lookup, Row
from compat.shapes import Half, Parent, Place
from compat.tables import Constraint, Table

_OTHER = Row("other")
_REFERENCED = "referenced"


def refuse_nulls(mapping: Mapping) -> list[str]:
    """Return the check of the legacy NOT NULL columns."""
    required = _required(mapping)
    if not required:
        return []
    columns = ", ".join(NEW.column(name) for name in required)
    names = ", ".join(map(literal, required))
    return [
        f"    IF pg_catalog.num_nulls({columns}) > 0 THEN",
        f"        PERFORM compat.refuse_null(NEW, {_legacy(mapping)}, {names});",
        "    END IF;",
    ]


def _required(mapping: Mapping) -> list[str]:
    return [
        lens.legacy.name
        for lens in mapping.lenses
        if not lens.legacy.nullable and not isinstance(lens.rule, Constant | Expression)
    ]


def refuse_checks(mapping: Mapping) -> list[str]:
    """Return the CHECKs of the legacy table over NEW.

    A variable stands for each column that they name: as expressions over variables they cost a
    tenth of what a query costs that selects them from NEW.
    """
    # The copy of some shapes goes through the view, and rows of before may break what is NOT VALID.
    checks = [
        check
        for check in constraints.checks(mapping.legacy)
        if check.is_valid or not mapping.syncs_through_view
    ]
    tests = [
        line
        for check in checks
        for line in (
            f"IF NOT {_condition(check)} THEN",
            f"    PERFORM compat.refuse_check(NEW, {_legacy(mapping)}, {literal(check.name)});",
            "END IF;",
        )
    ]
    variables = _variables(mapping.legacy, checks)
    if variables:
        tests = ["DECLARE", *indented(variables), "BEGIN", *indented(tests), "END;"]
    return indented(tests)


def on_conflict(table: Table) -> str:
    """Return the clause that lets an INSERT into a table leave out a row instead of failing.

    Nothing where the table has a deferrable key, which PostgreSQL refuses there, or BEFORE
    triggers, which would fire again when the row is tried a second time.
    """
    if table.triggers or any(map(constraints.is_deferred, constraints.exclusive(table))):
        return ""
    return "\n    ON CONFLICT DO NOTHING"


def doubts(mapping: Mapping) -> list[str]:
    """Return the look that sets `doubtful` when other rows, or none, may refuse NEW."""
    readable, doubt = _doubt(mapping)
    if not doubt:
        return []
    lines = [f"    doubtful := {doubt};"]
    return [f"    IF {readable} THEN", *indented(lines), "    END IF;"] if readable else lines


def define_references(mapping: Mapping) -> str:
    """Return the statement that makes the function `is_referenced` calls, unless it is there."""
    legacy = mapping.legacy
    return (
        f"SELECT compat.define_references({literal(mapping.function(_REFERENCED))}, "
        f"{literal(mapping.name)}, {regclass(legacy.schema, legacy.name)})"
    )


def drop_references(mapping: Mapping) -> str:
    """Return the statement that drops that function."""
    return f"DROP FUNCTION IF EXISTS {mapping.function(_REFERENCED)}(anyelement)"


def is_referenced(mapping: Mapping, row: Row) -> str:
    """Return the condition that rows of other tables refer to a legacy row."""
    return f"{mapping.function(_REFERENCED)}({row.name})"


def key_lenses(mapping: Mapping) -> tuple[Lens, ...]:
    """Return the lenses of what other rows are compared with, by keys of either table."""
    names = set(mapping.legacy.row_key)
    for item in constraints.keys(mapping.legacy):
        names |= set(item.columns)
    for place, table in _stored(mapping):
        of_keys = {name for item in _comparing(mapping, place, table) for name in item.columns}
        for written, legacy in constraints.legacy_names(mapping, place).items():
            names |= set(legacy) if written in of_keys else set()
    return tuple(lens for lens in mapping.lenses if lens.legacy.name in names and lens.targets)


def translated(
    mapping: Mapping, statement: Iterable[str], row: Row, places: Iterable[Place] = ()
) -> list[str]:
    """Return a statement inside a block that raises its errors as the legacy table would.

    :param row: the legacy row that errors speak of
    :param places: what the statement writes; the target when nothing is given
    """
    legacy = mapping.legacy
    names = {
        "legacy": [legacy.schema, legacy.name],
        "retired": mapping.retired_name,
        "of_legacy": _listed(constraints.blame_of_legacy(mapping)),
        "places": [_described(mapping, place) for place in places or mapping.places[:1]],
    }
    document = literal(json.dumps(names, ensure_ascii=False, sort_keys=True))
    return [
        "    BEGIN",
        *statement,
        "    EXCEPTION WHEN integrity_constraint_violation THEN",
        "        DECLARE",
        "            message text; detail text; schema_name text; table_name text;",
        "            column_name text; constraint_name text;",
        "        BEGIN",
        "            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,",
        "                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,",
        "                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;",
        f"            PERFORM compat.raise_as_legacy({row.name}, {document}, SQLSTATE, message,",
        "                detail, schema_name, table_name, column_name, constraint_name);",
        "            RAISE;",
        "        END;",
        "    END;",
    ]


def insert(
    mapping: Mapping, place: Place, written: dict[str, str], returning: str, given: str = ""
) -> list[str]:
    """Return the INSERT of a row as `insert_or_explain` does it.

    :param written: SQL for the columns
    :param returning: RETURNING with INTO
    """
    columns, values = columns_and_values(written)
    head = f"    INSERT INTO {place.table.sql} AS {place.row.name} ({columns})"
    at_first, again = (
        [head, f"    VALUES ({values}){left_out}{returning};"]
        for left_out in (on_conflict(place.table), "")
    )
    return insert_or_explain(mapping, at_first, again, [place], given)


def insert_looking(
    mapping: Mapping, written: dict[str, str], returning: str, given: str = ""
) -> list[str]:
    """Return the INSERT of a row into the target, which looks for parents in the same statement.

    For targets that take ON CONFLICT. What is not inserted is tried again in a `translated` block.

    :param written: SQL for the columns
    :param returning: RETURNING with INTO
    :param given: the variable with NEW as it was, when the statement may overwrite that
    """
    (place, *_) = mapping.places
    columns, values = columns_and_values(written)
    head = f"    INSERT INTO {place.table.sql} AS {place.row.name} ({columns})"
    readable, doubt = _doubt(mapping)
    end = f"{on_conflict(place.table)}{returning};"
    insert = [head, f"    VALUES ({values}){end}"]
    looking = [head, f"    SELECT {values}", f"    WHERE NOT ({doubt}){end}"] if doubt else insert
    if readable:
        looking = [
            f"    IF {readable} THEN",
            *indented(looking),
            "    ELSE",
            *indented(insert),
            "    END IF;",
        ]
    again = [head, f"    VALUES ({values}){returning};"]
    return [
        *looking,
        "    IF NOT FOUND THEN",
        *[f"    NEW := {given};"] * bool(given),
        *translated(mapping, again, NEW),
        "    END IF;",
    ]


def insert_or_explain(
    mapping: Mapping, at_first: list[str], again: list[str], places: Iterable[Place], given: str
) -> list[str]:
    """Return an INSERT that is made at once, or, where that is `doubtful`, in a `translated` block.

    It is doubtful as well when another row has kept this one out at first.

    :param again: the same without ON CONFLICT
    :param given: the variable with NEW as it was, when the statement may overwrite that
    """
    return [
        "    IF NOT doubtful THEN",
        *at_first,
        *["    doubtful := NOT FOUND;"] * (at_first != again),
        "    END IF;",
        "    IF doubtful THEN",
        *[f"    NEW := {given};"] * bool(given),
        *translated(mapping, again, NEW, places),
        "    END IF;",
    ]


def where_doubtful(
    mapping: Mapping, statement: list[str], row: Row, places: Iterable[Place]
) -> list[str]:
    """Return a statement that is made at once, or, where that is `doubtful`, in such a block."""
    return [
        "    IF doubtful THEN",
        *translated(mapping, statement, row, places),
        "    ELSE",
        *statement,
        "    END IF;",
    ]


def _doubt(mapping: Mapping) -> tuple[str, str]:
    """Return when it may be asked, and the condition, that other rows, or none, may refuse NEW.

    A table that has been renamed or dropped since, or may not be read, is not looked at.
    """
    looks = dict.fromkeys(_looks(mapping))
    own = {table.sql for table in mapping.tables}
    relations = dict.fromkeys(relation for relation, _ in looks if relation not in own)
    readable = "\n    AND ".join(
        f"pg_catalog.has_table_privilege(pg_catalog.to_regclass({literal(name)}), 'SELECT')"
        for name in relations
    )
    return readable, "\n        OR ".join(condition for _, condition in looks)


def _looks(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Yield a relation, and the condition that a row is there that should not be, or none is."""
    for place, table in _stored(mapping):
        yield from _looks_of_place(mapping, place, table)
    for item in constraints.unmatched(mapping):
        values = {name: NEW.column(name) for name in item.columns}
        if item.kind == "foreign_key":
            yield from _parent_missing(mapping, item, values)
        elif item.kind == "unique":
            yield mapping.retired, f"EXISTS ({_rows(mapping.retired, values)})"


def _looks_of_place(mapping: Mapping, place: Place, table: Table) -> Iterator[tuple[str, str]]:
    written = mapping.writes_to(place, NEW)
    looked_up = {
        n for lens in mapping.lenses if isinstance(lens.rule, Lookup) for n in lens.targets
    }
    is_half = isinstance(place.part, Half)  # written in one command with the target
    for item in _comparing(mapping, place, table):
        if not written.keys() >= set(item.columns) or looked_up & set(item.columns):
            continue  # a lookup has found the parent
        values = {name: written[name] for name in item.columns}
        if item.kind == "foreign_key":
            yield from _parent_missing(mapping, item, values)
        elif item.kind in ("primary_key", "unique") and (is_half or not on_conflict(table)):
            yield table.sql, f"EXISTS ({_rows(table.sql, values)})"


def _stored(mapping: Mapping) -> Iterator[tuple[Place, Table]]:
    """Yield every table that rows are stored in, with the place whose columns it has."""
    for place in mapping.places:
        yield place, place.table
    for choice in mapping.choices:
        yield mapping.places[0], choice.table


def _comparing(mapping: Mapping, place: Place, table: Table) -> Iterator[Constraint]:
    """Yield the keys that may refuse a legacy row.

    Not those of a parent, which is found if it is there, nor what joins the places of a row.
    """
    joining = set(mapping.given_to(place))
    for item in constraints.keys(table):
        is_foreign = item.kind == "foreign_key"
        if is_foreign and joining >= set(item.columns):
            continue
        if is_foreign or not isinstance(place.part, Parent):
            yield item


def _described(mapping: Mapping, place: Place) -> dict[str, object]:
    return {
        "name": [place.table.schema, place.table.name],
        "constraints": _listed(constraints.blame_of(mapping, place)),
        "columns": {n: lens.legacy.name for lens in mapping.lenses_of(place) for n in lens.targets}
        | _bridged(mapping),
    }


def _bridged(mapping: Mapping) -> dict[str, str]:
    """Return the legacy columns that the target carries, by their names there."""
    if mapping.chosen_form != "bridged":
        return {}
    return {item.column.name: item.lens.legacy.name for item in bridge_of(mapping).columns}


def _parent_missing(
    mapping: Mapping, item: Constraint, values: dict[str, str]
) -> Iterator[tuple[str, str]]:
    parent = parent_of(item)
    if parent is None or constraints.is_deferred(item):
        return
    wanted = dict(zip(parent.columns, values.values(), strict=True))
    missing = f"NOT EXISTS ({_rows(parent.sql, wanted)})"
    if not set(values.values()) <= set(map(NEW.column, _required(mapping))):
        nulls = f"pg_catalog.num_nulls({', '.join(values.values())})"
        missing = f"{nulls} = 0 AND {missing}"
        if parent.match_full and len(values) > 1:
            missing += f" OR {nulls} BETWEEN 1 AND {len(values) - 1}"
    yield parent.sql, missing


def _rows(relation: str, values: dict[str, str]) -> str:
    condition = " AND ".join(f"{_OTHER.column(name)} = {value}" for name, value in values.items())
    return f"SELECT FROM {relation} AS {_OTHER.name} WHERE {condition}"


def _condition(check: constraints.Check) -> str:
    if _SHADOWED & set(check.columns):
        return NEW.evaluate(check.expression)
    return f"({check.expression})"


_SHADOWED = frozenset({"new", "old"})
"""Columns of these names would hide the rows that triggers are given."""


def _variables(table: Table, checks: Iterable[constraints.Check]) -> list[str]:
    named = {n for check in checks if not _SHADOWED & set(check.columns) for n in check.columns}
    variables = []
    for column in table.columns:
        if column.name in named:
            collation = "" if column.collation is None else f" COLLATE {column.collation}"
            name = ident(column.name)
            variables.append(f"{name} {column.type}{collation} := {NEW.column(column.name)};")
    return variables


def _legacy(mapping: Mapping) -> str:
    return f"{literal(mapping.legacy.schema)}, {literal(mapping.legacy.name)}"


def _listed(blames: dict[str, Blame]) -> dict[str, dict[str, object]]:
    return {
        name: {
            "name": blame.constraint,
            "columns": blame.columns,
            "parent": blame.parent,
            "same_values": blame.same_values,
        }
        for name, blame in blames.items()
    }
