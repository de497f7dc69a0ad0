"""What the copy of rows that are spread over several tables needs beside INSERT … SELECT.

Parents are found or made for a whole batch. Where that cannot be said in one statement, a function
copies one row at a time through the view. It looks with a snapshot of its own whether the sync has
brought the row meanwhile; the legacy row is locked by then, so nobody can after that.
"""

from __future__ import annotations

from compat.compile.functions import columns_and_values, same_target_row
from compat.compile.source import source
from compat.mapping import Mapping
from compat.names import dollar_quote, ident, idents, literal, regclass
from compat.rules import Row
from compat.shapes import Place

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


def parents_of(mapping: Mapping, place: Place, row: Row) -> list[str]:
    """Return WITH items by which all rows of `seen` get their parents: `p1_made`, `p1_all`.

    Made in the order of what identifies them, so that two batches cannot wait for each other. One
    that somebody else has made since the snapshot is not seen, but returned by DO UPDATE.

    :param row: the alias of a row of `seen`
    """
    alias = place.row.name
    identity = _identity(mapping, place, row)
    columns, values = columns_and_values(mapping.writes_to(place, row))
    keys = ", ".join(identity.values())
    given = " AND ".join(f"{value} IS NOT NULL" for value in identity.values())
    first = next(iter(identity))
    same = same_parent(mapping, place, row)
    return [
        f"{alias}_made AS (\n"
        f"    INSERT INTO {place.table.sql} AS {alias} ({columns})\n"
        f"    SELECT DISTINCT ON ({keys}) {values} FROM seen AS {row.name}\n"
        f"    WHERE {given} AND NOT EXISTS (\n"
        f"        SELECT FROM {place.table.sql} AS {alias} WHERE {same})\n"
        f"    ORDER BY {keys}\n"
        f"    ON CONFLICT ({idents(list(identity))}) DO UPDATE "
        f"SET {ident(first)} = {Row('EXCLUDED').column(first)}\n"
        f"    RETURNING {alias}.*\n)",
        f"{alias}_found AS MATERIALIZED (\n"
        f"    SELECT {alias}.* FROM {place.table.sql} AS {alias}\n"
        f"    WHERE EXISTS (SELECT FROM seen AS {row.name} WHERE {same}) FOR KEY SHARE\n)",
        f"{alias}_all AS (SELECT * FROM {alias}_found UNION ALL SELECT * FROM {alias}_made)",
    ]


def same_parent(mapping: Mapping, place: Place, row: Row) -> str:
    """Return the condition that a parent has the values of a legacy row."""
    return " AND ".join(
        f"{place.row.column(name)} = {value}"
        for name, value in _identity(mapping, place, row).items()
    )


def _identity(mapping: Mapping, place: Place, row: Row) -> dict[str, str]:
    """Return SQL for what identifies a parent, as the parent's columns would hold it."""
    found = {}
    for lens in mapping.lenses_of(place):
        for name, value in lens.write(row).items():
            column = lens.ends.target(name)
            collation = "" if column.collation is None else f" COLLATE {column.collation}"
            found[name] = f"(({value})::{column.type}{collation})"
    return found


def _signature(mapping: Mapping) -> str:
    types = ", ".join(lens.legacy.type for lens in mapping.key)
    return f"{mapping.function('copy')}({types})"
