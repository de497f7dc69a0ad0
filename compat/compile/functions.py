"""The frame of every generated trigger function, and the pieces of SQL that they share.

All that write: SECURITY DEFINER as the legacy table's owner. All: fixed search path (compat.own
adds the table's schema where that is safe), static SQL, an exception block only where an error is
likely, callable by nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Mapping_
from types import MappingProxyType

from compat.mapping import Mapping
from compat.names import dollar_quote, ident, literal, regclass
from compat.rules import NEW, OLD, Lens, Row
from compat.rules.lens import changed_row
from compat.tables import Table

TARGET = Row("t")
"""The target table, as every generated statement aliases it."""

_DEFINITION = re.compile(
    r"CREATE OR REPLACE FUNCTION (?P<signature>.+?\)) RETURNS (?:trigger|boolean)\n.*?"
    r"AS (?P<tag>\$compat\d*\$)(?P<body>.*)(?P=tag)$",
    re.DOTALL,
)
_TRIGGER = re.compile(
    r'CREATE (?:OR REPLACE )?TRIGGER "(?P<name>(?:[^"]|"")+)" .*?'
    r'\sON (?P<table>"(?:[^"]|"")+"\."(?:[^"]|"")+")\s'
    r".*?EXECUTE FUNCTION (?P<function>.+?)\((?:'[^\n]*')?\)",
    re.DOTALL,
)


def trigger_function(mapping: Mapping, purpose: str, body: str, owner_of: Table) -> list[str]:
    """Return the statements that define one trigger function.

    :param body: the PL/pgSQL from DECLARE or BEGIN to END
    :param owner_of: the table whose owner the function runs as
    """
    return _function(mapping, purpose, body, owner_of, "SECURITY DEFINER")


def caller_function(mapping: Mapping, purpose: str, body: str, owner_of: Table) -> list[str]:
    """Return the same for a function that runs as whoever sets off the trigger."""
    return _function(mapping, purpose, body, owner_of, "SECURITY INVOKER")


def _function(
    mapping: Mapping, purpose: str, body: str, owner_of: Table, security: str
) -> list[str]:
    name = mapping.function(purpose)
    source = dollar_quote(f"\n#variable_conflict use_column\n{body}\n")
    signature = literal(f"{name}()")
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger\n"
        f"LANGUAGE plpgsql {security} SET search_path = pg_catalog, pg_temp\n"
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
        f"{TARGET.column(lens.key_column)} = {lens.write(legacy)[lens.key_column]}"
        for lens in mapping.key
    ]
    if mapping.tag is not None:
        conditions.append(f"{TARGET.column(mapping.tag.column)} = {literal(mapping.tag.value)}")
    return " AND ".join(conditions)


def assignments_of_update(
    mapping: Mapping,
    lenses: Sequence[Lens] | None = None,
    computed: Mapping_[str, str] = MappingProxyType({}),
) -> str:
    """Return the SET list that carries an update OLD → NEW of a legacy row into the target row.

    :param lenses: those of the columns that may have changed; None for all
    :param computed: as for `changed_row`
    """
    lenses = mapping.lenses if lenses is None else lenses
    written = changed_row(lenses, TARGET, OLD, NEW, computed)
    return ",\n        ".join(f"{ident(name)} = {value}" for name, value in written.items())


def any_changed(lenses: Iterable[Lens]) -> str:
    """Return the condition that an update OLD → NEW of a legacy row changes any of its columns."""
    return "\n    OR ".join(lens.changed(NEW, OLD) for lens in lenses) or "false"


def indented(lines: Iterable[str], by: int = 4) -> list[str]:
    """Return the lines, moved to the right."""
    # Line by line, not with textwrap: a literal may contain line breaks.
    return [" " * by + line for line in lines]


def columns_and_values(written: dict[str, str]) -> tuple[str, str]:
    """Return the column list and the value list of an INSERT."""
    return ", ".join(ident(name) for name in written), ",\n        ".join(written.values())


def null_default(type_: str) -> str:
    """Return NULL as a view's default, for which the default of the table beneath does not step in.

    PostgreSQL does not keep a plain NULL, nor one that it knows for NULL as it reads it.
    """
    return f"CASE WHEN false THEN NULL::{type_} END"


def bodies(statements: list[str]) -> dict[str, str]:
    """Return, by signature, the body of each function that these statements define."""
    found = map(_DEFINITION.match, statements)
    return {match["signature"]: match["body"] for match in found if match}


def triggers(statements: list[str]) -> list[tuple[str, str, str]]:
    """Return name, quoted table and function of each trigger that these statements make."""
    found = map(_TRIGGER.search, statements)  # may stand inside a DO block
    return [
        (match["name"].replace('""', '"'), match["table"], match["function"])
        for match in found
        if match
    ]
