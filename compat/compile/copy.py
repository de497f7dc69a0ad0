"""The statements of the copy: where a batch ends, the batch, and the sweep after the last one.

A batch takes a share lock on each row that it copies, and skips rows that somebody is writing:
those reach the target through the sync trigger, or, when the writer gives up, through the sweep.
So the copy never waits for a writer, which rules out deadlocks between the two.
"""

from __future__ import annotations

import re

from compat.compile.functions import TARGET, columns_and_values, same_target_row
from compat.mapping import Mapping
from compat.names import idents
from compat.rules import Row

LEGACY = Row("l")


def allow_writes() -> str:
    """Return the statement by which a session may write to targets before their cutover."""
    return "SET compat.early_writes = on"


def batch_end(mapping: Mapping) -> str:
    """Return the query for the last key of the next batch.

    Parameters: `after` (text[] or NULL: from the beginning), `size`. One row (key text[]), or none
    when nothing is left.
    """
    keys = _key_columns(mapping)
    ordered = ", ".join(keys)
    # OFFSET size - 1 of a table that is shorter finds nothing: take its last row then.
    return _for_driver(
        f"SELECT ARRAY[{', '.join(f'{key}::text' for key in keys)}] FROM (\n"
        f"    SELECT {ordered} FROM {mapping.legacy.sql} AS l\n"
        f"    WHERE {_after(mapping)}\n"
        f"    ORDER BY {ordered} LIMIT {_parameter('size')}\n"
        f") AS l ORDER BY {', '.join(f'{key} DESC' for key in keys)} LIMIT 1"
    )


def batch(mapping: Mapping) -> str:
    """Return the statement that copies the rows after one key up to another.

    Parameters: `after` (text[] or NULL), `upto` (text[]). One row: rows seen, rows copied.
    """
    return _insert(mapping, f"{_after(mapping)} AND {_upto(mapping)}", "SKIP LOCKED")


def sweep(mapping: Mapping) -> str:
    """Return the statement that copies what no batch and no trigger has brought over.

    Waits for writers of these few rows. Parameter: `size`. One row: rows seen, rows copied.
    """
    return _insert(mapping, _absent(mapping), "", limit=f"LIMIT {_parameter('size')}")


def purge(mapping: Mapping) -> str:
    """Return the statement that deletes target rows that no legacy row accounts for.

    A DELETE in a REPEATABLE READ transaction whose snapshot is older than the copy of the row does
    not see the copy, and leaves it behind. To be run when no such snapshot is left, before the last
    sweep, and only while nobody but the copy and the sync writes the target. No parameters.
    """
    matches = same_target_row(mapping, LEGACY)
    return (
        f"DELETE FROM {mapping.target.sql} AS t\n"
        f"WHERE NOT EXISTS (SELECT FROM {mapping.legacy.sql} AS l WHERE {matches})"
    )


def missing(mapping: Mapping) -> str:
    """Return the query that counts legacy rows without a target row."""
    return f"SELECT count(*) FROM {mapping.legacy.sql} AS l WHERE {_absent(mapping)}"


def foreign(mapping: Mapping) -> str:
    """Return the query for up to 5 keys of target rows that no legacy row accounts for."""
    matches = same_target_row(mapping, LEGACY)
    keys = idents(list(mapping.target_key))
    return (
        f"SELECT {keys} FROM {mapping.target.sql} AS t\n"
        f"WHERE NOT EXISTS (SELECT FROM {mapping.legacy.sql} AS l WHERE {matches})\n"
        f"ORDER BY {keys} LIMIT 5"
    )


def attempt(mapping: Mapping) -> tuple[str, tuple[str, ...]]:
    """Return a query that converts every legacy row and stores nothing, and its columns.

    It raises what a copy would raise. One row: the number of rows, then for each target column of
    the second item, in order, the number of rows that give it a value.
    """
    written = mapping.writes(LEGACY)
    counts = ", ".join(f"count({value})" for value in written.values())
    return f"SELECT count(*), {counts} FROM {mapping.legacy.sql} AS l", tuple(written)


def refused(mapping: Mapping) -> list[tuple[str, str]]:
    """Return, per legacy column that may refuse values, a query for the values and their counts."""
    queries = []
    for lens in mapping.lenses:
        predicate = lens.refused(LEGACY)
        if predicate is not None:
            value = LEGACY.column(lens.legacy.name)
            queries.append(
                (
                    lens.legacy.name,
                    f"SELECT {value}::text, count(*) FROM {mapping.legacy.sql} AS l\n"
                    f"WHERE {predicate} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5",
                )
            )
    return queries


def losses(mapping: Mapping) -> list[tuple[str, str]]:
    """Return, per legacy column that may lose something, a query that counts the rows."""
    queries = []
    for lens in mapping.lenses:
        predicate = lens.lost(LEGACY)
        if predicate is None:
            continue
        refusal = lens.refused(LEGACY)
        if refusal is not None:  # asking what such a value becomes would raise
            predicate = f"CASE WHEN {refusal} THEN false ELSE {predicate} END"
        queries.append(
            (
                lens.legacy.name,
                f"SELECT count(*) FROM {mapping.legacy.sql} AS l WHERE {predicate}",
            )
        )
    return queries


def _insert(mapping: Mapping, condition: str, locking: str, limit: str = "") -> str:
    columns, values = columns_and_values(mapping.writes(LEGACY))
    return _for_driver(
        "WITH seen AS MATERIALIZED (\n"
        f"    SELECT l.* FROM {mapping.legacy.sql} AS l\n"
        f"    WHERE {condition}\n"
        f"    {limit} FOR SHARE OF l {locking}\n"
        "), copied AS (\n"
        f"    INSERT INTO {mapping.target.sql} AS {TARGET.name} ({columns})\n"
        f"    SELECT {values} FROM seen AS l\n"
        f"    ON CONFLICT ({idents(list(mapping.target_key))}) DO NOTHING RETURNING 1\n"
        ")\n"
        "SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied)"
    )


def _absent(mapping: Mapping) -> str:
    return (
        f"NOT EXISTS (SELECT FROM {mapping.target.sql} AS t "
        f"WHERE {same_target_row(mapping, LEGACY)})"
    )


def _key_columns(mapping: Mapping) -> list[str]:
    return [LEGACY.column(lens.legacy.name) for lens in mapping.key]


def _bound(mapping: Mapping, parameter: str) -> str:
    return ", ".join(
        f"({_parameter(parameter)}::text[])[{n}]::{lens.legacy.type}"
        for n, lens in enumerate(mapping.key, start=1)
    )


def _after(mapping: Mapping) -> str:
    keys = ", ".join(_key_columns(mapping))
    return (
        f"({_parameter('after')}::text[] IS NULL OR ROW({keys}) > ROW({_bound(mapping, 'after')}))"
    )


def _upto(mapping: Mapping) -> str:
    keys = ", ".join(_key_columns(mapping))
    return f"ROW({keys}) <= ROW({_bound(mapping, 'upto')})"


def _parameter(name: str) -> str:
    """Return a mark that `_for_driver` turns into a placeholder; no name can contain it."""
    return f"\0{name}\0"


def _for_driver(sql: str) -> str:
    """Return the statement with psycopg's placeholders, its own percent signs doubled."""
    return re.sub("\0(\\w+)\0", r"%(\1)s", sql.replace("%", "%%"))
