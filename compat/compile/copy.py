"""The statements of the copy: its ranges, a batch, what it passed by, what it must not keep.

A batch takes a share lock on each row that it copies, and skips rows that somebody is writing:
those reach the target through the sync trigger, or, when the writer gives up, through the sweep.
So the copy never waits for a writer, which rules out deadlocks between the two.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count

from compat.bridge import in_transition
from compat.compile import bridge
from compat.compile.functions import TARGET, columns_and_values, same_target_row
from compat.compile.shaped import choices
from compat.compile.shaped import copy as shaped
from compat.compile.source import halves, parents
from compat.compile.source import source as target_rows
from compat.mapping import Mapping
from compat.names import ident, idents, literal
from compat.rules import Row
from compat.shapes import Place

LEGACY = Row("l")


def allow_writes() -> str:
    """Return the statement by which a session may write to targets before their cutover."""
    return "SET compat.early_writes = on"


def allow_late_writes() -> str:
    """Return the statement by which a session may write to retired tables after their cutover."""
    return "SET compat.late_writes = on"


def boundaries(mapping: Mapping) -> str:
    """Return the query for the keys that cut the legacy table into ranges of as many rows each.

    Parameters: `percent` of the table's blocks to sample, `ranges`. Rows (key text[]) in key order:
    the last key of every range but the last, which ends where the table does (`last_key`).
    """
    keys = key_columns(mapping)
    text = ", ".join(f"{key}::text" for key in keys)
    ranges = _parameter("ranges")
    return _for_driver(
        "WITH sample AS (\n"
        f"    SELECT ARRAY[{text}] AS key, count(*) OVER () AS size,\n"
        f"           row_number() OVER (ORDER BY {', '.join(keys)}) AS place\n"
        f"    FROM {mapping.legacy.sql} AS l TABLESAMPLE SYSTEM ({_parameter('percent')})\n"
        ")\n"
        "SELECT key FROM sample\n"
        f"WHERE place * {ranges} / size > (place - 1) * {ranges} / size AND place < size\n"
        "ORDER BY place"
    )


def last_key(mapping: Mapping) -> str:
    """Return the query for the greatest key (text[]) that there is; no row in an empty table."""
    descending = ", ".join(f"{key} DESC" for key in key_columns(mapping))
    return (
        f"SELECT {_key_text(mapping)} FROM {mapping.legacy.sql} AS l ORDER BY {descending} LIMIT 1"
    )


def batch(mapping: Mapping, where: str | None = None) -> str:
    """Return the statement that copies the next rows after one key, up to another.

    :param where: SQL over the bare legacy columns: only such rows
    Parameters: `after` (text[], or NULL: from the beginning), `upto` (text[], or NULL: to the end),
    `size`. One row: rows seen, rows copied, the last key seen (text[], NULL when none was).
    """
    conditions = [_after(mapping), _upto(mapping)]
    if where is not None:
        conditions.append(LEGACY.evaluate(where))
    conditions.append(_still_there(mapping))
    keys = ", ".join(key_columns(mapping))
    tail = f"ORDER BY {keys} LIMIT {_parameter('size')} {_locked(mapping)} SKIP LOCKED"
    return _insert(mapping, " AND ".join(conditions), tail, source=_found(mapping))


def condition(mapping: Mapping, where: str) -> str:
    """Return a query that reads no row, and fails where the SQL is no condition over the columns.

    :param where: SQL over the bare legacy columns
    """
    return f"SELECT FROM {mapping.legacy.sql} AS l WHERE {LEGACY.evaluate(where)} LIMIT 0"


def sweep(mapping: Mapping) -> str:
    """Return the statement that copies what no batch and no trigger has brought over.

    Waits for writers of these few rows. Parameter: `size`. One row, as a batch gives it.
    """
    return _insert(mapping, _absent(mapping), f"LIMIT {_parameter('size')} {_locked(mapping)}")


def retry(mapping: Mapping) -> str:
    """Return the statement that copies one row, after waiting for whoever writes it.

    Parameter: `key` (text[]). One row, as a batch gives it.
    """
    return _insert(mapping, _has_key(mapping), _locked(mapping))


def next_key(mapping: Mapping, where: str | None = None) -> str:
    """Return the query that locks the next row after one key, up to another, as a batch would.

    Parameters as for `batch`, without `size`. One row (key text[]) or none.
    """
    conditions = [_after(mapping), _upto(mapping)]
    if where is not None:
        conditions.append(LEGACY.evaluate(where))
    return _for_driver(
        f"SELECT {_key_text(mapping)} FROM {_found(mapping)}\n"
        f"WHERE {' AND '.join([*conditions, _still_there(mapping)])}\n"
        f"ORDER BY {', '.join(key_columns(mapping))} LIMIT 1 {_locked(mapping)} SKIP LOCKED"
    )


def next_missing(mapping: Mapping) -> str:
    """Return the query that locks one row which no batch, trigger or reject accounts for.

    No parameters. One row (key text[]) or none.
    """
    return (
        f"SELECT {_key_text(mapping)} FROM {mapping.legacy.sql} AS l\n"
        f"WHERE {_absent(mapping)} LIMIT 1 {_locked(mapping)}"
    )


def reject(mapping: Mapping) -> str:
    """Return the statement that sets a legacy row aside, with the reason.

    Parameters: `key` (text[]), `sqlstate`, `reason`.
    """
    return _for_driver(
        "INSERT INTO compat.reject (mapping, key, row_data, sqlstate, reason)\n"
        f"SELECT {literal(mapping.name)}, {_key_text(mapping)}, to_jsonb(l), "
        f"{_parameter('sqlstate')}, {_parameter('reason')}\n"
        f"FROM {mapping.legacy.sql} AS l WHERE {_has_key(mapping)}\n"
        "ON CONFLICT (mapping, key) DO UPDATE SET row_data = EXCLUDED.row_data,\n"
        "    sqlstate = EXCLUDED.sqlstate, reason = EXCLUDED.reason, at = EXCLUDED.at"
    )


def purge(mapping: Mapping) -> str:
    """Return the statement that deletes target rows that no legacy row accounts for.

    A DELETE in a REPEATABLE READ transaction whose snapshot is older than the copy of the row does
    not see the copy, and leaves it behind. To be run when no such snapshot is left, before the last
    sweep, and only while nobody but the copy and the sync writes the target. No parameters.
    """
    return f"DELETE FROM {_unaccounted(mapping)}"


def unaccounted(mapping: Mapping) -> str:
    """Return the query that counts what `purge` would delete; unlike that it may run in parallel.

    No parameters.
    """
    return f"SELECT count(*) FROM {_unaccounted(mapping)}"


def _unaccounted(mapping: Mapping) -> str:
    if mapping.syncs_through_view:
        relation = f"{mapping.standby} AS v"
        matches = " AND ".join(
            f"{LEGACY.column(name)} = v.{ident(name)}" for name in mapping.legacy.row_key
        )
    else:
        relation = f"{mapping.target.sql} AS t"
        matches = same_target_row(mapping, LEGACY)
    return f"{relation}\nWHERE NOT EXISTS (SELECT FROM {mapping.legacy.sql} AS l WHERE {matches})"


def missing(mapping: Mapping, where: str | None = None) -> str:
    """Return the query that counts legacy rows without a target row that were not rejected.

    :param where: SQL over the bare legacy columns: only such rows
    """
    condition = "" if where is None else f" AND {LEGACY.evaluate(where)}"
    return f"SELECT count(*) FROM {mapping.legacy.sql} AS l WHERE {_absent(mapping)}{condition}"


def foreign(mapping: Mapping) -> str:
    """Return the query for up to 5 keys of target rows that no legacy row accounts for."""
    matches = same_target_row(mapping, LEGACY)
    keys = ", ".join(map(TARGET.column, mapping.target_key))
    return (
        f"SELECT {keys} FROM {target_rows(mapping)}\n"
        f"WHERE NOT EXISTS (SELECT FROM {mapping.legacy.sql} AS l WHERE {matches})\n"
        f"ORDER BY {keys} LIMIT 5"
    )


def attempt(mapping: Mapping) -> tuple[str, tuple[str, ...]]:
    """Return a query that converts every legacy row and stores nothing, and what rows may lack.

    It raises what a copy would raise. One row: for each text of the second item, in order, the
    number of rows of which it is true, then what need not be looked at.
    """
    lacking, evaluated = [], []
    for place in mapping.places:
        for name, value in mapping.writes_to(place, LEGACY).items():
            column = place.table.column(name)
            if column is None or column.nullable:
                evaluated.append(f"count({value})")
                continue
            missing = f"({value}) IS NULL"
            if place.part is not None and place.part.may_lack:
                missing += f" AND {_given(mapping, place)}"
            lacking.append((f"give no value for {place.table.title}.{name}", missing))
    if mapping.choices:
        lacking.append(("are taken by no table of the mapping", _homeless(mapping)))
    counts = [f"count(*) FILTER (WHERE {condition})" for _, condition in lacking]
    selected = ", ".join([*counts, *evaluated])
    return f"SELECT {selected} FROM {mapping.legacy.sql} AS l", tuple(text for text, _ in lacking)


def homeless(mapping: Mapping) -> str:
    """Return the query for up to 5 keys (text[]) of legacy rows that no choice takes."""
    keys = ", ".join(key_columns(mapping))
    return (
        f"SELECT {_key_text(mapping)} FROM {mapping.legacy.sql} AS l\n"
        f"WHERE {_homeless(mapping)} ORDER BY {keys} LIMIT 5"
    )


def _homeless(mapping: Mapping) -> str:
    return f"({choices.place(mapping, LEGACY)}) IS NULL"


def _given(mapping: Mapping, place: Place) -> str:
    """Return the condition that a part that may lack has a row for a legacy row."""
    held = ", ".join(LEGACY.column(name) for name in mapping.holds(place))
    return f"num_nonnulls({held}) > 0"


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


def key_columns(mapping: Mapping) -> list[str]:
    """Return SQL for the key columns of the legacy row (alias l)."""
    return [LEGACY.column(lens.legacy.name) for lens in mapping.key]


def _insert(mapping: Mapping, condition: str, tail: str, source: str | None = None) -> str:
    source = source or f"{mapping.legacy.sql} AS l"
    if mapping.chosen_form == "reversed":
        return _fill(mapping, condition, tail, source)
    if mapping.choices and mapping.tag is None:
        return _copy_choices(mapping, condition, tail, source)
    if mapping.copies_through_view:
        return _copy_one_by_one(mapping, condition, tail, source)
    if mapping.parts:
        return _copy_parts(mapping, condition, tail, source)
    columns, values = columns_and_values(in_transition(mapping).writes(LEGACY))
    return _for_driver(
        f"WITH {_seen(source, condition, tail)}, copied AS (\n"
        f"    INSERT INTO {mapping.target.sql} AS {TARGET.name} ({columns})\n"
        f"    SELECT {values} FROM seen AS l\n"
        f"    ON CONFLICT ({idents(list(mapping.target_key))}) DO NOTHING RETURNING 1\n"
        ")\n"
        f"{_counted(mapping)}"
    )


def _fill(mapping: Mapping, condition: str, tail: str, source: str) -> str:
    """Return the statement that gives rows the columns of v2 that they have not yet."""
    # As a record: the table itself is within reach of a user's expression, too.
    written = bridge.assignments(mapping, replace(LEGACY, is_record=True))
    assigned = ",\n        ".join(f"{ident(name)} = {value}" for name, value in written.items())
    keys = [lens.legacy.name for lens in mapping.key]
    same = " AND ".join(f"{TARGET.column(name)} = {LEGACY.column(name)}" for name in keys)
    return _for_driver(
        f"WITH {_seen(source, condition, tail)}, copied AS (\n"
        f"    UPDATE {mapping.legacy.sql} AS t SET\n        {assigned}\n    FROM seen AS l\n"
        f"    WHERE {same} AND {bridge.lacks_shape(mapping, TARGET)} RETURNING 1\n)\n"
        f"{_counted(mapping)}"
    )


def _copy_parts(mapping: Mapping, condition: str, tail: str, source: str) -> str:
    """Return the statement that makes the missing parents, then the target's rows, then halves.

    A target row that the sync has brought since the snapshot is a conflict, and gets no halves
    here. A row whose parent has gone meanwhile is passed by: the sweep brings it.
    """
    # Bare names in a user's expression would be ambiguous beside the columns of parents and target.
    row = replace(LEGACY, is_record=True)
    steps = [_seen(source, condition, tail)]
    written, joins, conditions = mapping.writes(row), "", []
    for place in parents(mapping):
        steps += shaped.parents_of(mapping, place, row)
        alias = place.row.name
        same = shaped.same_parent(mapping, place, row)
        joins += f"\n    LEFT JOIN {alias}_all AS {alias} ON {same}"
        written |= {other: place.row.column(mine) for mine, other in place.on}
        key = place.row.column(place.on[0][0])
        conditions.append(f"({key} IS NOT NULL OR NOT {_given(mapping, place)})")
    columns, values = columns_and_values(written)
    where = f"\n    WHERE {' AND '.join(conditions)}" if conditions else ""
    steps.append(
        f"copied AS (\n    INSERT INTO {mapping.target.sql} AS t ({columns})\n"
        f"    SELECT {values} FROM seen AS l{joins}{where}\n"
        f"    ON CONFLICT ({idents(list(mapping.target_key))}) DO NOTHING RETURNING t.*\n)"
    )
    for place in halves(mapping):
        joined = {mine: TARGET.column(other) for mine, other in place.on}
        columns, values = columns_and_values(joined | mapping.writes_to(place, row))
        optional = place.part is not None and place.part.may_lack
        given = f"\n    WHERE {_given(mapping, place)}" if optional else ""
        steps.append(
            f"{place.row.name}_copied AS (\n"
            f"    INSERT INTO {place.table.sql} AS {place.row.name} ({columns})\n"
            f"    SELECT {values}\n    FROM copied AS t JOIN seen AS l "
            f"ON {same_target_row(mapping, row)}{given}\n)"
        )
    return _for_driver(f"WITH {', '.join(steps)}\n{_counted(mapping)}")


def _copy_choices(mapping: Mapping, condition: str, tail: str, source: str) -> str:
    """Return the statement that inserts rows into the table that is due for each.

    Where the sync has brought a row since the snapshot, it has taken that same table. OFFSET makes
    PostgreSQL look up each row by its key, rather than read all tables for every batch.
    """
    columns, values = columns_and_values(mapping.writes(LEGACY))
    place, absent = choices.place(mapping, LEGACY), same_target_row(mapping, LEGACY)
    steps = [
        _seen(source, condition, tail),
        f"due AS MATERIALIZED (\n    SELECT l.*, {place} AS {ident(_place_name(mapping))} "
        "FROM seen AS l\n"
        f"    WHERE NOT EXISTS (SELECT FROM {target_rows(mapping)} WHERE {absent} OFFSET 0)\n)",
    ]
    due = LEGACY.column(_place_name(mapping))
    counted = []
    for number, table in choices.numbered(mapping):
        counted.append(f"copied_{number}")
        steps.append(
            f"{counted[-1]} AS (\n    INSERT INTO {table.sql} AS t ({columns})\n"
            f"    SELECT {values} FROM due AS l WHERE {due} = {number}\n"
            f"    ON CONFLICT ({idents(list(mapping.target_key))}) DO NOTHING RETURNING 1\n)"
        )
    if mapping.remainder is not None:  # the view says why it refuses them
        counted.append("refused")
        steps.append(
            "refused AS MATERIALIZED (\n"
            f"    SELECT {shaped.call(mapping, LEGACY)} FROM due AS l WHERE {due} IS NULL\n)"
        )
    total = " + ".join(f"(SELECT count(*) FROM {name})" for name in counted)
    return _for_driver(f"WITH {', '.join(steps)}\n{_counted(mapping, total)}")


def _counted(mapping: Mapping, copied: str = "(SELECT count(*) FROM copied)") -> str:
    """Return the query for the rows seen and copied, and the last key seen."""
    descending = ", ".join(f"{key} DESC" for key in key_columns(mapping))
    # The subquery: only the key that is wanted becomes text.
    last = f"SELECT {', '.join(key_columns(mapping))} FROM seen AS l ORDER BY {descending} LIMIT 1"
    return (
        f"SELECT (SELECT count(*) FROM seen), {copied},\n"
        f"    (SELECT {_key_text(mapping)} FROM ({last}) AS l)"
    )


def _seen(source: str, condition: str, tail: str) -> str:
    return (
        f"seen AS MATERIALIZED (\n    SELECT l.* FROM {source}\n"
        f"    WHERE {condition}\n    {tail}\n)"
    )


def _place_name(mapping: Mapping) -> str:
    names = (f"place{n}" for n in count(1))
    return next(name for name in names if name not in mapping.legacy.column_names)


def _copy_one_by_one(mapping: Mapping, condition: str, tail: str, source: str) -> str:
    return _for_driver(
        f"WITH {_seen(source, condition, tail)}, copied AS MATERIALIZED (\n"
        f"    SELECT {shaped.call(mapping, LEGACY)} AS done FROM seen AS l\n"
        ")\n"
        f"{_counted(mapping, '(SELECT count(*) FROM copied WHERE done)')}"
    )


def _found(mapping: Mapping) -> str:
    """Return the legacy rows (alias l), each with the key under which it was found (alias found).

    OFFSET makes it a subquery of its own, which keeps what it gave when PostgreSQL looks again at
    a row that somebody has changed before the lock was had.
    """
    keys = ", ".join(key_columns(mapping))
    return (
        f"{mapping.legacy.sql} AS l "
        f"CROSS JOIN LATERAL (SELECT {keys} OFFSET 0) AS found ({idents(_found_names(mapping))})"
    )


def _still_there(mapping: Mapping) -> str:
    """Return the condition that a row has not moved to a higher key before its lock was had.

    As the last of its batch such a row would take along all rows between; its own sync trigger has
    brought it over.
    """
    found = ", ".join(f"found.{ident(name)}" for name in _found_names(mapping))
    return f"ROW({', '.join(key_columns(mapping))}) <= ROW({found})"


def _found_names(mapping: Mapping) -> list[str]:
    """Return names that a user's expression over the legacy columns does not mean."""
    free = (name for n in count(1) if (name := f"key{n}") not in mapping.legacy.column_names)
    return [name for name, _ in zip(free, mapping.key, strict=False)]


def _locked(mapping: Mapping) -> str:
    """Return by what lock the rows of a batch are kept from changing."""
    return f"FOR {'NO KEY UPDATE' if mapping.chosen_form == 'reversed' else 'SHARE'} OF l"


def _absent(mapping: Mapping) -> str:
    if mapping.chosen_form == "reversed":
        absent = bridge.lacks_shape(mapping, LEGACY)
    else:
        found = f"FROM {target_rows(mapping)} WHERE {same_target_row(mapping, LEGACY)}"
        absent = f"NOT EXISTS (SELECT {found})"
    return (
        f"{absent}\n"
        "    AND NOT EXISTS (SELECT FROM compat.reject AS r "
        f"WHERE r.mapping = {literal(mapping.name)} AND r.key = {_key_text(mapping)})"
    )


def _key_text(mapping: Mapping) -> str:
    return f"ARRAY[{', '.join(f'{key}::text' for key in key_columns(mapping))}]"


def _bound(mapping: Mapping, parameter: str) -> str:
    return ", ".join(
        f"({_parameter(parameter)}::text[])[{n}]::{lens.legacy.type}"
        for n, lens in enumerate(mapping.key, start=1)
    )


def _compared(mapping: Mapping, operator: str, parameter: str) -> str:
    return f"ROW({', '.join(key_columns(mapping))}) {operator} ROW({_bound(mapping, parameter)})"


def _after(mapping: Mapping) -> str:
    return f"({_parameter('after')}::text[] IS NULL OR {_compared(mapping, '>', 'after')})"


def _upto(mapping: Mapping) -> str:
    return f"({_parameter('upto')}::text[] IS NULL OR {_compared(mapping, '<=', 'upto')})"


def _has_key(mapping: Mapping) -> str:
    return _compared(mapping, "=", "key")


def _parameter(name: str) -> str:
    """Return a mark that `_for_driver` turns into a placeholder; no name can contain it."""
    return f"\0{name}\0"


def _for_driver(sql: str) -> str:
    """Return the statement with psycopg's placeholders, its own percent signs doubled."""
    return re.sub("\0(\\w+)\0", r"%(\1)s", sql.replace("%", "%%"))
