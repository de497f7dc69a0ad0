"""The statements of a move between two databases, and of taking it back.

Raw legacy rows come into a temporary table of the target database, and are converted there by the
mapping's rules. Where a function takes `rows`, its statement deals with these staged rows only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from compat import sqltypes
from compat.catalog import ForeignKey
from compat.compile.functions import TARGET, columns_and_values, same_target_row
from compat.mapping import Mapping
from compat.names import ident, idents, literal
from compat.rules import Flag, Lens, Row
from compat.tables import Column

LEGACY = Row("l")

STAGING, ARRIVED, WAITING = (f"pg_temp.compat_{name}" for name in ("staging", "arrived", "waiting"))
KEYS: Final = "pg_temp.compat_moved"

# What send and receive functions have not changed since they exist, and means the same in every
# database; an enum's number, for example, does not.
_PORTABLE: Final = frozenset(
    (
        *("smallint", "integer", "bigint", "real", "double precision", "numeric", "boolean"),
        *("text", "character", "character varying", "bytea", "bit", "bit varying", "uuid"),
        *("date", "interval", "time without time zone", "time with time zone"),
        *("timestamp without time zone", "timestamp with time zone"),
        *("json", "jsonb", "xml", "inet", "cidr", "macaddr", "macaddr8", "oid"),
    )
)


@dataclass(frozen=True)
class Rows:
    """Which staged rows a statement deals with: their numbers, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def halves(self) -> tuple[Rows, Rows]:
        """Return the first and the second half."""
        middle = (self.first + self.last) // 2
        return Rows(self.first, middle), Rows(middle + 1, self.last)


@dataclass(frozen=True)
class Batch:
    """What identifies one batch in compat.move_batch."""

    mapping: str
    run: int
    number: int

    @property
    def condition(self) -> str:
        """SQL that is true for the record of this batch."""
        return f"mapping = {literal(self.mapping)} AND run = {self.run} AND number = {self.number}"


# Out of the source ------------------------------------------------------------------------------


def travels_as_text(column: Column) -> bool:
    """Return whether the binary form of the column's type may differ between two databases."""
    return sqltypes.parse(column.type).name not in _PORTABLE


def select(mapping: Mapping, condition: str | None, after: tuple[str, ...] | None) -> str:
    """Return the query for the raw legacy rows that are to be moved, in the order of the key.

    :param condition: SQL over the bare legacy columns, besides the mapping's own
    :param after: the key, as text, after which to begin
    """
    columns = [
        LEGACY.column(column.name) + "::text" * travels_as_text(column)
        for column in mapping.legacy.columns
    ]
    keys = ", ".join(LEGACY.column(name) for name in mapping.legacy.row_key)
    # Each on lines of its own: a condition may end in a comment.
    conditions = [f"(\n{item}\n)" for item in (mapping.where, condition) if item is not None]
    if after is not None:
        bounds = ", ".join(
            f"{literal(value)}::{lens.legacy.type}"
            for value, lens in zip(after, mapping.key, strict=True)
        )
        conditions.append(f"ROW({keys}) > ROW({bounds})")
    where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {', '.join(columns)}\nFROM {mapping.legacy.sql} AS l{where}\nORDER BY {keys}"


def copy_out(query: str) -> str:
    """Return the statement that sends the rows of a query in binary."""
    return f"COPY ({query}\n) TO STDOUT (FORMAT BINARY)"


# Into the target --------------------------------------------------------------------------------


def as_arrived(mapping: Mapping, unknown_types: Collection[str]) -> Mapping:
    """Return the mapping with text in place of legacy types that the target database lacks."""
    columns = tuple(
        replace(column, type="text", collation=None) if column.type in unknown_types else column
        for column in mapping.legacy.columns
    )
    return replace(mapping, legacy=replace(mapping.legacy, columns=columns))


def create_staging(mapping: Mapping, *, waiting: bool) -> list[str]:
    """Return the statements that make the temporary tables, and a view that has the legacy types.

    :param waiting: also make the table for rows whose parent, in the same table, has yet to come
    """
    number = _number(mapping)
    collations = {column.collation for column in mapping.target.columns}
    raw, typed = [], [number]
    for column in mapping.legacy.columns:
        name, as_text = ident(column.name), travels_as_text(column)
        # A collation that the target uses is there; of others nobody knows.
        known = column.collation is not None and column.collation in collations
        collation = f" COLLATE {column.collation}" if known and not as_text else ""
        raw.append(f"{name} {'text' if as_text else column.type}{collation}")
        cast = as_text and column.type != "text"
        typed.append(f"{name}::{column.type} AS {name}" if cast else name)
    waits = [f"CREATE TEMP TABLE compat_waiting ({', '.join(raw)})"] if waiting else []
    return [
        "DROP TABLE IF EXISTS pg_temp.compat_staging, pg_temp.compat_waiting CASCADE",
        "CREATE TEMP TABLE compat_staging "
        f"({number} integer GENERATED ALWAYS AS IDENTITY, {', '.join(raw)})",
        f"CREATE TEMP VIEW compat_arrived AS SELECT {', '.join(typed)} FROM {STAGING}",
        *waits,
    ]


def empty_staging() -> str:
    """Return the statement that makes room for the next batch, counted from 1."""
    return f"TRUNCATE {STAGING} RESTART IDENTITY"


def copy_in(mapping: Mapping) -> str:
    """Return the statement that takes what `copy_out` has sent into the staging table."""
    return f"COPY {STAGING} ({idents(mapping.legacy.column_names)}) FROM STDIN (FORMAT BINARY)"


def last_key(mapping: Mapping, rows: Rows) -> str:
    """Return the query for the legacy key (text[]) of the last of these rows."""
    return f"SELECT {_key_text(mapping)} FROM {STAGING} AS l WHERE {_number(mapping)} = {rows.last}"


def forget_rejects(mapping: Mapping, rows: Rows) -> str:
    """Return the statement that deletes the rejects of an earlier run that are tried again."""
    return (
        f"DELETE FROM compat.reject AS r USING {STAGING} AS l\n"
        f"WHERE r.mapping = {literal(mapping.name)} AND r.key = {_key_text(mapping)}\n"
        f"    AND {_among(mapping, rows)}"
    )


def take_orphans(mapping: Mapping, key: ForeignKey, rows: Rows) -> str:
    """Return the statement that takes out rows whose parent by this key is missing.

    Rows that are in the target already stay: nobody will insert them. One row each: the legacy key
    (text[]), the values that the parent would have (text[]), the whole row (jsonb).
    """
    values = ", ".join(f"({value})::text" for value in _values(mapping, key, LEGACY))
    return (
        "WITH gone AS (\n"
        f"    DELETE FROM {ARRIVED} AS l\n"
        f"    WHERE {_among(mapping, rows)} AND {_has_no_parent(mapping, key, LEGACY)}\n"
        f"    AND {_is_absent(mapping)}\n"
        f"    RETURNING {LEGACY.name}.{_number(mapping)} AS number, {_key_text(mapping)} AS key,\n"
        f"        ARRAY[{values}] AS values, {_document(mapping)} AS row_data\n"
        ")\nSELECT key, values, row_data FROM gone ORDER BY number"
    )


def let_wait(mapping: Mapping, key: ForeignKey, rows: Rows) -> str:
    """Return the statement that lets rows wait whose parent, in the same table, has yet to come.

    To be repeated until it finds none: a row also waits when its parent does.
    """
    other = Row("p")
    is_parent = " AND ".join(
        f"{mapping.writes(other)[column]} = {value}"
        for column, value in zip(key.parent_columns, _values(mapping, key, LEGACY), strict=True)
    )
    columns = idents(mapping.legacy.column_names)
    number = _number(mapping)
    return (
        f"WITH lacking AS (\n    SELECT l.{number} FROM {ARRIVED} AS l\n"
        f"    WHERE {_among(mapping, rows)} AND {_has_no_parent(mapping, key, LEGACY)}\n"
        f"    AND NOT EXISTS (SELECT FROM {ARRIVED} AS p\n"
        f"        WHERE {_among(mapping, rows, 'p')} AND {is_parent})\n"
        f"    AND {_is_absent(mapping)}\n"
        "), gone AS (\n"
        f"    DELETE FROM {STAGING} WHERE {number} IN (SELECT {number} FROM lacking)\n"
        f"    RETURNING {columns}\n"
        f")\nINSERT INTO {WAITING} ({columns}) SELECT {columns} FROM gone"
    )


def bring_back(mapping: Mapping) -> list[str]:
    """Return the statements that make the rows which wait the next batch."""
    columns = idents(mapping.legacy.column_names)
    return [
        empty_staging(),
        f"INSERT INTO {STAGING} ({columns}) SELECT {columns} FROM {WAITING}",
        f"TRUNCATE {WAITING}",
    ]


def insert(mapping: Mapping, batch: Batch, rows: Rows) -> str:
    """Return the statement that inserts what is not in the target, and records its keys.

    One row: how many were inserted.
    """
    columns, values = columns_and_values(mapping.writes(LEGACY))
    return (
        "WITH moved AS (\n"
        f"    INSERT INTO {mapping.target.sql} AS {TARGET.name} ({columns})\n"
        f"    SELECT {values} FROM {ARRIVED} AS l WHERE {_among(mapping, rows)}\n"
        f"    ON CONFLICT ({idents(mapping.target_key)}) DO NOTHING\n"
        f"    RETURNING {_recorded(mapping, TARGET.name)} AS key\n"
        "), recorded AS (\n"
        "    INSERT INTO compat.move_batch (mapping, run, number, xid, keys)\n"
        f"    SELECT {literal(batch.mapping)}, {batch.run}, {batch.number}, "
        "pg_current_xact_id(), array_agg(key) FROM moved HAVING count(*) > 0\n"
        ")\nSELECT count(*) FROM moved"
    )


def take_rest(mapping: Mapping, batch: Batch, rows: Rows) -> str:
    """Return the statement that takes out what the insert has left, for rows that need a word.

    One row for each that is in the target with other values, or not at all: the legacy key
    (text[]), the names of the columns that differ (text[], NULL when a trigger discarded the row),
    the whole row (jsonb). Rows that are in the target as they are in the source go without a word.
    """
    written = mapping.writes(LEGACY)
    is_moved = " AND ".join(
        f"m.{ident(name)} = ({written[name]})::text" for name in mapping.target_key
    )
    keys = _unnested(mapping, f"(SELECT keys FROM compat.move_batch WHERE {batch.condition})")
    return (
        "WITH rest AS (\n"
        f"    DELETE FROM {ARRIVED} AS l WHERE {_among(mapping, rows)}\n"
        f"        AND NOT EXISTS (SELECT FROM ({keys}) AS m WHERE {is_moved})\n"
        f"    RETURNING {LEGACY.name}.{_number(mapping)} AS number, {_key_text(mapping)} AS key,\n"
        f"        {_document(mapping)} AS row_data,\n"
        f"        (SELECT {_differences(mapping)} FROM {mapping.target.sql} AS {TARGET.name}\n"
        f"         WHERE {same_target_row(mapping, LEGACY)}) AS differences\n"
        ")\n"
        "SELECT key, differences, row_data FROM rest\n"
        "WHERE differences IS DISTINCT FROM '{}' ORDER BY number"
    )


def row_and_key(mapping: Mapping, rows: Rows) -> str:
    """Return the query for the legacy key (text[]) and the whole row (jsonb), as they arrived."""
    return (
        f"SELECT {_key_text(mapping)}, {_document(mapping)} FROM {STAGING} AS l "
        f"WHERE {_among(mapping, rows)}"
    )


def moved_rows(mapping: Mapping, rows: Rows, most: int) -> str:
    """Return the query for the legacy keys (text[]) and new values (text[]) of what was moved.

    :param most: rows at most
    """
    values = ", ".join(f"({value})::text" for value in mapping.writes(LEGACY).values())
    return (
        f"SELECT {_key_text(mapping)}, ARRAY[{values}] FROM {ARRIVED} AS l\n"
        f"WHERE {_among(mapping, rows)} ORDER BY {_number(mapping)} LIMIT {most}"
    )


def altered(mapping: Mapping, rows: Rows) -> tuple[str, tuple[str, ...]]:
    """Return the query that counts, per target column, moved rows that are not as they were sent.

    And the columns, in its order.
    """
    counts = {}
    for lens in mapping.lenses:
        for name, value in lens.write(LEGACY).items():
            counts[name] = f"count(*) FILTER (WHERE {_differs(lens, name, value)})"
    query = (
        f"SELECT {', '.join(counts.values())}\n"
        f"FROM {ARRIVED} AS l JOIN {mapping.target.sql} AS {TARGET.name}\n"
        f"    ON {same_target_row(mapping, LEGACY)}\nWHERE {_among(mapping, rows)}"
    )
    return query, tuple(counts)


def highest(mapping: Mapping, column: str, rows: Rows) -> str:
    """Return the query for the highest value that these rows give to a target column."""
    value = mapping.writes(LEGACY)[column]
    return f"SELECT max({value}) FROM {ARRIVED} AS l WHERE {_among(mapping, rows)}"


def is_behind(sequence: str, value: int) -> str:
    """Return the query whether a sequence has yet to give a value.

    :param sequence: its quoted name
    """
    return f"SELECT s.last_value + s.is_called::integer <= {value} FROM {sequence} AS s"


def advance(sequence: str, value: int) -> str:
    """Return the statement that sets a sequence so that it gives what comes after a value."""
    return f"SELECT pg_catalog.setval({literal(sequence)}::regclass, {value})"


def orphans_in_target(mapping: Mapping, key: ForeignKey) -> str:
    """Return the query that counts target rows whose parent by this key is missing."""
    given, matches = _reference(key, [TARGET.column(name) for name in key.columns])
    return (
        f"SELECT count(*) FROM {mapping.target.sql} AS {TARGET.name}\n"
        f"WHERE {given} AND NOT EXISTS (SELECT FROM {key.parent} AS p WHERE {matches})"
    )


# Taking a move back -----------------------------------------------------------------------------


def moved_keys(mapping: Mapping, run: int | None) -> list[str]:
    """Return the statements that make a temporary table of what one run has moved, or all runs.

    A key that was moved again after somebody had deleted the row counts for the later run.
    """
    names = idents(mapping.target_key)
    typed = ", ".join(
        f"m.{ident(name)}::{_target_type(mapping, name)} AS {ident(name)}"
        for name in mapping.target_key
    )
    only = "" if run is None else f" AND b.run = {run}"
    return [
        f"DROP TABLE IF EXISTS {KEYS}",
        f"CREATE TEMP TABLE compat_moved AS\n"
        f"SELECT DISTINCT ON ({names}) b.run AS compat_run, b.xid AS compat_xid,\n"
        f"    ''::text AS compat_outcome, {typed}\n"
        f"FROM compat.move_batch AS b, LATERAL ({_unnested(mapping, 'b.keys')}) AS m\n"
        f"WHERE b.mapping = {literal(mapping.name)}{only}\n"
        f"ORDER BY {names}, b.run DESC",
        f"ANALYZE {KEYS}",
    ]


def lock_moved(mapping: Mapping) -> str:
    """Return the query that locks the moved rows, so that nobody changes or references them."""
    return (
        f"SELECT count(*) FROM (SELECT FROM {mapping.target.sql} AS {TARGET.name}\n"
        f"    JOIN {KEYS} AS m ON {_same_moved(mapping)} FOR UPDATE OF {TARGET.name}) AS locked"
    )


def judge_moved(mapping: Mapping, *, changed: bool) -> str:
    """Return the statement that decides what becomes of each row: removed, changed or gone.

    Unchanged is what has still the transaction that inserted it as xmin; freezing keeps it.

    :param changed: also remove what somebody has changed since
    """
    removable = "true" if changed else f"{TARGET.name}.xmin = m.compat_xid::xid"
    return (
        f"UPDATE {KEYS} AS m SET compat_outcome = COALESCE(\n"
        f"    (SELECT CASE WHEN {removable} THEN 'removed' ELSE 'changed' END\n"
        f"     FROM {mapping.target.sql} AS {TARGET.name} WHERE {_same_moved(mapping)}), 'gone')"
    )


def keep_referenced(mapping: Mapping, key: ForeignKey) -> str:
    """Return the statement that keeps the rows which others reference by this key.

    Where a table references itself, rows that are removed too do not count, so that it is to be
    repeated until it keeps no more.
    """
    matches = " AND ".join(
        f"c.{ident(column)} = {TARGET.column(parent)}"
        for column, parent in zip(key.columns, key.parent_columns, strict=True)
    )
    stays = ""
    if key.is_own:
        same = " AND ".join(f"c.{ident(name)} = x.{ident(name)}" for name in mapping.target_key)
        stays = (
            f"\n        AND NOT EXISTS (SELECT FROM {KEYS} AS x\n"
            f"            WHERE {same} AND x.compat_outcome = 'removed')"
        )
    return (
        f"UPDATE {KEYS} AS m SET compat_outcome = 'referenced'\n"
        f"FROM {mapping.target.sql} AS {TARGET.name}\n"
        f"WHERE m.compat_outcome = 'removed' AND {_same_moved(mapping)}\n"
        f"    AND EXISTS (SELECT FROM {key.child} AS c WHERE {matches}{stays})"
    )


def outcomes(mapping: Mapping) -> str:
    """Return the query that counts the rows of each outcome."""
    return f"SELECT compat_outcome, count(*) FROM {KEYS} GROUP BY 1"


def kept_keys(mapping: Mapping, most: int) -> str:
    """Return the query for the target keys (text[]) of rows that stay, and why."""
    keys = ", ".join(f"{ident(name)}::text" for name in mapping.target_key)
    return (
        f"SELECT ARRAY[{keys}], compat_outcome FROM {KEYS}\n"
        "WHERE compat_outcome IN ('changed', 'referenced')\n"
        f"ORDER BY {idents(mapping.target_key)} LIMIT {most}"
    )


def delete_moved(mapping: Mapping) -> str:
    """Return the statement that deletes what is to be removed."""
    return (
        f"DELETE FROM {mapping.target.sql} AS {TARGET.name} USING {KEYS} AS m\n"
        f"WHERE m.compat_outcome = 'removed' AND {_same_moved(mapping)}"
    )


def forget_moved(mapping: Mapping, run: int | None) -> list[str]:
    """Return the statements that leave only the rows which stay on record, and close the runs."""
    of_run = f"mapping = {literal(mapping.name)}" + ("" if run is None else f" AND run = {run}")
    return [
        f"DELETE FROM compat.move_batch WHERE {of_run}",
        "INSERT INTO compat.move_batch (mapping, run, number, xid, keys)\n"
        f"SELECT {literal(mapping.name)}, compat_run,\n"
        "    row_number() OVER (PARTITION BY compat_run ORDER BY compat_xid), compat_xid,\n"
        f"    array_agg({_recorded(mapping, 'm')})\n"
        f"FROM {KEYS} AS m WHERE compat_outcome IN ('changed', 'referenced')\n"
        "GROUP BY compat_run, compat_xid",
        f"UPDATE compat.move SET undone_at = clock_timestamp() WHERE {of_run}"
        " AND undone_at IS NULL",
    ]


# Pieces -----------------------------------------------------------------------------------------


def _number_name(mapping: Mapping) -> str:
    """Return the name of the column that counts the staged rows, which no legacy column has."""
    name = "compat_row"
    while name in mapping.legacy.column_names:
        name += "_"
    return name


def _number(mapping: Mapping) -> str:
    return ident(_number_name(mapping))


def _among(mapping: Mapping, rows: Rows, alias: str = LEGACY.name) -> str:
    return f"{alias}.{_number(mapping)} BETWEEN {rows.first} AND {rows.last}"


def _key_text(mapping: Mapping) -> str:
    keys = ", ".join(f"{LEGACY.column(name)}::text" for name in mapping.legacy.row_key)
    return f"ARRAY[{keys}]"


def _document(mapping: Mapping) -> str:
    # Not to_jsonb(l), which would be a column of that name.
    return f"to_jsonb(l.*) - {literal(_number_name(mapping))}"


def _is_absent(mapping: Mapping) -> str:
    return (
        f"NOT EXISTS (SELECT FROM {mapping.target.sql} AS {TARGET.name} "
        f"WHERE {same_target_row(mapping, LEGACY)})"
    )


def _values(mapping: Mapping, key: ForeignKey, row: Row) -> list[str]:
    written = mapping.writes(row)
    return [written[name] for name in key.columns]


def _has_no_parent(mapping: Mapping, key: ForeignKey, row: Row) -> str:
    given, matches = _reference(key, _values(mapping, key, row))
    return f"{given} AND NOT EXISTS (SELECT FROM {key.parent} AS p WHERE {matches})"


def _reference(key: ForeignKey, values: list[str]) -> tuple[str, str]:
    """Return the conditions that a key speaks of these values at all, and that p is the parent."""
    given = " AND ".join(f"{value} IS NOT NULL" for value in values)
    matches = " AND ".join(
        f"p.{ident(column)} = {value}"
        for column, value in zip(key.parent_columns, values, strict=True)
    )
    return given, matches


def _differences(mapping: Mapping) -> str:
    """Return SQL for the names of the legacy columns that the target row shows otherwise."""
    cases = [
        f"CASE WHEN {condition} THEN {literal(name)} END" for name, condition in _differing(mapping)
    ]
    return f"array_remove(ARRAY[{', '.join(cases)}]::text[], NULL)"


def _differing(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Yield the conditions on which a target row holds something else than would be written."""
    for lens in mapping.lenses:
        if isinstance(lens.rule, Flag):  # what it writes depends on the time
            value, kind = LEGACY.column(lens.legacy.name), lens.legacy.type
            differs = sqltypes.differs(lens.read(TARGET), value, kind, lens.legacy.collation)
            yield lens.legacy.name, f"({differs}) AND {value} IS NOT NULL"
        elif lens.targets:
            parts = (f"({_differs(lens, *written)})" for written in lens.write(LEGACY).items())
            yield lens.legacy.name, " OR ".join(parts)


def _differs(lens: Lens, name: str, value: str) -> str:
    """Return SQL that is true when a target column does not hold a value."""
    column = lens.ends.target(name)
    return sqltypes.differs(TARGET.column(name), value, column.type, column.collation)


def _recorded(mapping: Mapping, alias: str) -> str:
    """Return SQL for a target key as it is recorded: text, or text[] for several columns."""
    keys = [f"{alias}.{ident(name)}::text" for name in mapping.target_key]
    return keys[0] if len(keys) == 1 else f"ARRAY[{', '.join(keys)}]"


def _unnested(mapping: Mapping, keys: str) -> str:
    """Return a query with one text column per key column, from an array of recorded keys."""
    names = mapping.target_key
    if len(names) == 1:
        return f"SELECT u.part AS {ident(names[0])} FROM unnest({keys}) AS u(part)"
    # unnest() gives the parts of all keys one after the other.
    width = len(names)
    parts = ", ".join(
        f"max(u.part) FILTER (WHERE (u.n - 1) % {width} = {place}) AS {ident(name)}"
        for place, name in enumerate(names)
    )
    return (
        f"SELECT {parts} FROM unnest({keys}) WITH ORDINALITY AS u(part, n) "
        f"GROUP BY (u.n - 1) / {width}"
    )


def _same_moved(mapping: Mapping) -> str:
    return " AND ".join(f"{TARGET.column(name)} = m.{ident(name)}" for name in mapping.target_key)


def _target_type(mapping: Mapping, name: str) -> str:
    column = mapping.target.column(name)
    assert column is not None, name
    return column.type
