"""The frame of every generated trigger function, and the pieces of SQL that they share.

All of them: SECURITY DEFINER as the legacy table's owner, fixed search path (compat.own adds the
table's schema where that is safe), static SQL, no exception block, callable by nobody.
"""

from __future__ import annotations

import re

from compat.mapping import Mapping
from compat.names import dollar_quote, ident, literal, regclass
from compat.rules import NEW, OLD, Row
from compat.tables import Table

TARGET = Row("t")
"""The target table, as every generated statement aliases it."""

_DEFINITION = re.compile(
    r"CREATE OR REPLACE FUNCTION (?P<name>.+?)\(\) RETURNS trigger\n.*?"
    r"AS (?P<tag>\$compat\d*\$)(?P<body>.*)(?P=tag)$",
    re.DOTALL,
)
_TRIGGER = re.compile(
    r'CREATE TRIGGER "(?P<name>(?:[^"]|"")+)" .*?\sON (?P<table>"(?:[^"]|"")+"\."(?:[^"]|"")+")\s'
    r".*?EXECUTE FUNCTION (?P<function>.+?)\((?:'[^\n]*')?\)",
    re.DOTALL,
)


def trigger_function(mapping: Mapping, purpose: str, body: str, owner_of: Table) -> list[str]:
    """Return the statements that define one trigger function.

    :param body: the PL/pgSQL from DECLARE or BEGIN to END
    :param owner_of: the table whose owner the function runs as
    """
    name = mapping.function(purpose)
    source = dollar_quote(f"\n#variable_conflict use_column\n{body}\n")
    signature = literal(f"{name}()")
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger\n"
        "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp\n"
        f"AS {source}",
        f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC",
        f"SELECT compat.own({signature}::pg_catalog.regprocedure, "
        f"{regclass(owner_of.schema, owner_of.name)})",
    ]


def drop_function(mapping: Mapping, purpose: str) -> str:
    """Return the statement that drops one trigger function."""
    return f"DROP FUNCTION IF EXISTS {mapping.function(purpose)}()"


def same_target_row(mapping: Mapping, legacy: Row) -> str:
    """Return the condition that finds the target row (alias t) of a legacy row by its key."""
    conditions = [
        f"{TARGET.column(lens.targets[0])} = {lens.write(legacy)[lens.targets[0]]}"
        for lens in mapping.key
    ]
    if mapping.tag is not None:
        conditions.append(f"{TARGET.column(mapping.tag.column)} = {literal(mapping.tag.value)}")
    return " AND ".join(conditions)


def assignments_of_update(mapping: Mapping, *, converted: bool = True) -> str:
    """Return the SET list that carries an update OLD → NEW of a legacy row into the target row.

    :param converted: False leaves out what a rule converts: for rows in which nothing of that kind
        changed

    A converted column is written only when its legacy value changed (GetPut), so that what the
    legacy side cannot see (microseconds, the instant behind a flag) survives.
    """
    parts = []
    for lens in mapping.lenses:
        if lens.converts and not converted:
            continue
        changed = lens.changed(NEW, OLD)
        for name, value in lens.write(NEW, current=TARGET).items():
            kept = f"CASE WHEN {changed} THEN {value} ELSE {TARGET.column(name)} END"
            parts.append(f"{ident(name)} = {kept if lens.converts else value}")
    return ",\n        ".join(parts)


def columns_and_values(written: dict[str, str]) -> tuple[str, str]:
    """Return the column list and the value list of an INSERT."""
    return ", ".join(ident(name) for name in written), ",\n        ".join(written.values())


def bodies(statements: list[str]) -> dict[str, str]:
    """Return, by quoted name, the body of each trigger function that these statements define."""
    found = map(_DEFINITION.match, statements)
    return {match["name"]: match["body"] for match in found if match}


def triggers(statements: list[str]) -> list[tuple[str, str, str]]:
    """Return name, quoted table and function of each trigger that these statements make."""
    found = map(_TRIGGER.search, statements)  # may stand inside a DO block
    return [
        (match["name"].replace('""', '"'), match["table"], match["function"])
        for match in found
        if match
    ]
