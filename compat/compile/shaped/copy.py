"""Copy of rows that are spread over several tables: one at a time, by a function, through the view.

Its statements look with a snapshot of their own whether the sync has brought the row meanwhile;
the legacy row is locked by then, so nobody can after that.
"""

from __future__ import annotations

from compat.compile.functions import same_target_row
from compat.compile.source import source
from compat.mapping import Mapping
from compat.names import dollar_quote, idents, literal, regclass
from compat.rules import Row

_SOURCE = Row("s")


def define(mapping: Mapping) -> list[str]:
    """Return the statements that define the function: legacy key → whether the row was copied."""
    legacy = mapping.legacy
    columns = [column.name for column in legacy.columns if column.generated is None]
    same = " AND ".join(
        f"{_SOURCE.column(lens.legacy.name)} = ${n}" for n, lens in enumerate(mapping.key, start=1)
    )
    body = f"""
BEGIN
    INSERT INTO {mapping.standby} ({idents(columns)})
    SELECT {", ".join(map(_SOURCE.column, columns))} FROM {legacy.sql} AS s
    WHERE {same} AND NOT EXISTS (
        SELECT FROM {source(mapping)}
        WHERE {same_target_row(mapping, _SOURCE)});
    RETURN FOUND;
END
"""
    return [
        f"CREATE OR REPLACE FUNCTION {_signature(mapping)} RETURNS boolean\n"
        "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp\n"
        f"AS {dollar_quote(body)}",
        f"REVOKE ALL ON FUNCTION {_signature(mapping)} FROM PUBLIC",
        f"SELECT compat.own({literal(_signature(mapping))}::pg_catalog.regprocedure, "
        f"{regclass(legacy.schema, legacy.name)})",
    ]


def drop(mapping: Mapping) -> str:
    """Return the statement that drops the function."""
    return f"DROP FUNCTION {_signature(mapping)}"


def call(mapping: Mapping, row: Row) -> str:
    """Return the call of the function for a legacy row."""
    keys = ", ".join(row.column(lens.legacy.name) for lens in mapping.key)
    return f"{mapping.function('copy')}({keys})"


def _signature(mapping: Mapping) -> str:
    types = ", ".join(lens.legacy.type for lens in mapping.key)
    return f"{mapping.function('copy')}({types})"
