"""The twin: a temporary table that behaves as the legacy table did, loaded with a few of its rows.

And what the probes must know of the surroundings: foreign keys in and out, defaults that draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from compat import sqltypes
from compat.compile.swap import column_definition
from compat.mapping import Mapping
from compat.names import ident, idents, literal, qualified, regclass
from compat.rules import Flag, Row, ValueMap
from compat.tables import Column, Table
from verify.context import Context
from verify.probes.side import Side, attempt, read
from verify.probes.statements import Cells, where_any

_NAME = "compat_verify_twin"
FITS_NOWHERE = "compat_verify_fits_nowhere"
"""The twin's constraint that refuses what no table of a mapping takes; no legacy table has it."""
_WINDOW, _QUIET_WINDOW = 300, 100
_MOST_SAMPLES = 12


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key as the catalogue has it, from `columns` of one table to those of another.

    :param relation: the other table, quoted
    :param references: the columns at the far end, in the order of `columns`
    """

    name: str
    columns: tuple[str, ...]
    relation: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Ground:
    """What the probes stand on.

    :param samples: existing rows, the same on both sides
    :param free: those among them that no other table refers to
    :param drawing: columns that a sequence or a volatile default fills
    :param elsewhere: one of the samples from each table beside the target that has whole rows
    :param window: the keys of the rows among which samples are chosen
    """

    view: Side
    twin: Side
    key_names: tuple[str, ...]
    samples: tuple[Cells, ...]
    free: tuple[Cells, ...]
    outbound: tuple[ForeignKey, ...]
    inbound: tuple[ForeignKey, ...]
    drawing: tuple[str, ...]
    notes: tuple[str, ...]
    elsewhere: tuple[Cells, ...] = ()
    window: tuple[Cells, ...] = ()

    def key(self, row: Cells) -> Cells:
        """Return the key of a row."""
        return {name: row[name] for name in self.key_names}


def prepare(context: Context) -> Ground:
    """Create the twin inside the open transaction and load it.

    :raises psycopg.Error: the role may not create temporary tables, or may not read
    """
    mapping, conn = context.mapping, context.conn
    columns = mapping.legacy.column_names
    key_names = mapping.legacy.row_key
    view = Side(conn, context.stored.view_sql, columns)
    twin = Side(conn, f"pg_temp.{_NAME}", columns)
    physical = Table(mapping.legacy.schema, context.physical_name, ())
    outbound = _foreign_keys(context, physical, outbound=True)
    inbound = _foreign_keys(context, physical, outbound=False)
    drawing = tuple(c.name for c in mapping.legacy.columns if draws(context, c))
    _create(context, twin, drawing)
    free, notes = _free(context, view, inbound)
    pairs = _elsewhere(context, view)
    elsewhere = [row for pair in pairs for row in pair[:1]]
    samples = []
    window = _window(context, view)
    for row in _samples(context, window, (*free, *(row for pair in pairs for row in pair))):
        if _load(context, view, twin, {name: row[name] for name in key_names}):
            samples.append(row)
        else:
            notes.append("a row that the legacy table would refuse was left out of the probes")
    if mapping.legacy.triggers:
        names = ", ".join(mapping.legacy.triggers)
        notes.append(f"the twin has no triggers; the legacy table has {names}")
    return Ground(
        view,
        twin,
        key_names,
        tuple(samples),
        tuple(row for row in samples if row in free),
        outbound,
        inbound,
        drawing,
        tuple(dict.fromkeys(notes)),
        tuple(row for row in elsewhere if row in samples),
        tuple({name: row[name] for name in key_names} for row in window),
    )


def _create(context: Context, twin: Side, drawing: tuple[str, ...]) -> None:
    legacy = context.mapping.legacy
    definitions = ",\n    ".join(_definition(legacy, column, drawing) for column in legacy.columns)
    context.conn.execute(f"CREATE TEMPORARY TABLE {_NAME} (\n    {definitions}\n) ON COMMIT DROP")
    for item in legacy.constraints:
        if item.kind == "foreign_key":
            continue  # temporary tables cannot refer to others
        context.conn.execute(
            f"ALTER TABLE {twin.relation} ADD CONSTRAINT {ident(item.name)} {item.definition}"
        )
    for index in legacy.indexes:
        if index.unique:
            context.conn.execute(
                f"CREATE UNIQUE INDEX {ident(index.name)} ON {twin.relation} {index.definition}"
            )
    mapping = context.mapping
    if mapping.remainder is not None:
        # What no table takes is refused on purpose; the plan has said so.
        takes = [*(choice.when for choice in mapping.choices), mapping.remainder]
        taken = " OR ".join(Row("").evaluate(condition) for condition in takes)
        context.conn.execute(
            f"ALTER TABLE {twin.relation} ADD CONSTRAINT {FITS_NOWHERE} CHECK (({taken}) IS TRUE)"
        )


def _definition(legacy: Table, column: Column, drawing: tuple[str, ...]) -> str:
    if column.identity is not None:
        parts = [ident(column.name), column.type]
        parts.append(f"GENERATED {column.identity.upper()} AS IDENTITY")
        return " ".join(parts)
    if column.name in drawing:
        nullability = "" if column.nullable else " NOT NULL"
        return f"{ident(column.name)} {column.type}{nullability}"
    return column_definition(legacy, column.name)


def draws(context: Context, column: Column) -> bool:
    """Return whether each use of the default gives another value."""
    if column.identity is not None:
        return True
    if column.default is None:
        return False
    if "nextval(" in column.default:
        return True  # not evaluated: that would draw
    first, second = (
        read(context.conn, f"SELECT ({column.default})::text AS value") for _ in range(2)
    )
    return first != second


def _foreign_keys(context: Context, table: Table, *, outbound: bool) -> tuple[ForeignKey, ...]:
    own, other = ("conrelid", "confrelid") if outbound else ("confrelid", "conrelid")
    own_keys, other_keys = ("conkey", "confkey") if outbound else ("confkey", "conkey")
    relation = regclass(table.schema, table.name)
    rows = context.conn.execute(
        f"""
        SELECT c.conname, n.nspname, o.relname, c.conrelid = c.confrelid,
               ARRAY(SELECT a.attname::text FROM unnest(c.{own_keys}) WITH ORDINALITY k(n, i)
                     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.{own} AND a.attnum = k.n
                     ORDER BY k.i),
               ARRAY(SELECT a.attname::text FROM unnest(c.{other_keys}) WITH ORDINALITY k(n, i)
                     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.{other} AND a.attnum = k.n
                     ORDER BY k.i)
        FROM pg_catalog.pg_constraint c
        JOIN pg_catalog.pg_class o ON o.oid = c.{other}
        JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
        WHERE c.contype = 'f' AND c.conparentid = 0 AND c.{own} = {relation}
        ORDER BY c.conname
        """
    ).fetchall()
    return tuple(
        ForeignKey(
            name,
            tuple(columns),
            context.stored.view_sql if to_itself else qualified(schema, other_name),
            tuple(references),
        )
        for name, schema, other_name, to_itself, columns, references in rows
    )


def _free(
    context: Context, view: Side, inbound: tuple[ForeignKey, ...]
) -> tuple[tuple[Cells, ...], list[str]]:
    """Return some rows that nobody refers to: old ones, which applications hardly write."""
    keys = context.mapping.legacy.row_key
    unreferenced = " AND ".join(
        f"NOT EXISTS (SELECT FROM {fk.relation} AS r WHERE "
        + " AND ".join(
            f"r.{ident(far)} = w.{ident(near)}"
            for near, far in zip(fk.columns, fk.references, strict=True)
        )
        + ")"
        for fk in inbound
    )
    try:
        with attempt(context.conn):
            for direction in ("ASC", "DESC"):
                order = ", ".join(f"{ident(name)} {direction}" for name in keys)
                rows = read(
                    context.conn,
                    f"SELECT {idents(view.columns)} FROM (SELECT * FROM {view.relation} "
                    f"ORDER BY {order} LIMIT {_WINDOW}) AS w WHERE {unreferenced or 'true'} "
                    f"ORDER BY {order} LIMIT {3 + len(context.avoid)}",
                )
                quiet = tuple(row for row in rows if _is_quiet(context, row))[:3]
                if quiet:
                    return quiet, []
    except psycopg.errors.InsufficientPrivilege as error:
        return (), [f"who refers to a row is not known: {error.diag.message_primary}"]
    return (), []


def _is_quiet(context: Context, row: Cells) -> bool:
    return tuple(row[name] for name in context.mapping.legacy.row_key) not in context.avoid


def _window(context: Context, view: Side) -> list[Cells]:
    """Return the first and the last rows, but those that applications were seen to write."""
    keys = context.mapping.legacy.row_key
    ends: list[Cells] = []
    # The newest rows are those that applications write: leave them alone once that has disturbed.
    directions: tuple[str, ...] = ("ASC", "DESC")
    limit = _WINDOW
    if context.avoid:
        directions, limit = ("ASC",), _QUIET_WINDOW
    for direction in directions:
        order = ", ".join(f"{ident(name)} {direction}" for name in keys)
        ends += read(
            context.conn,
            f"SELECT {idents(view.columns)} FROM {view.relation} ORDER BY {order} LIMIT {limit}",
        )
    return [row for row in ends if _is_quiet(context, row)]


def _samples(context: Context, window: list[Cells], free: tuple[Cells, ...]) -> list[Cells]:
    """Return rows worth trying: the first, the last, one with each NULL, each mapped value."""
    keys = context.mapping.legacy.row_key
    chosen: list[Cells] = [*free, *window[:1], *window[-1:], *window[len(window) // 2 :][:1]]
    for names in lacking(context.mapping):
        chosen += [row for row in window if all(row[name] is None for name in names)][:1]
    for lens in context.mapping.lenses:
        name = lens.legacy.name
        if lens.legacy.nullable:
            chosen += [row for row in window if row[name] is None][:1]
        if isinstance(lens.rule, ValueMap | Flag):
            chosen += {row[name]: row for row in reversed(window)}.values()
        if sqltypes.parse(lens.legacy.type).is_text:
            chosen += sorted(window, key=lambda row: -len(row[name] or ""))[:1]
    distinct = {tuple(row[name] for name in keys): row for row in chosen}
    return list(distinct.values())[:_MOST_SAMPLES]


def _elsewhere(context: Context, view: Side) -> list[list[Cells]]:
    """Return two rows of each table beside the target: one to try, one that is to stay there."""
    found = []
    order = idents(context.mapping.legacy.row_key)
    for choice in context.mapping.choices:
        rows = read(
            context.conn,
            f"SELECT {idents(view.columns)} FROM {view.relation} AS v WHERE "
            f"{Row('v').evaluate(choice.when)} ORDER BY {order} LIMIT {2 + len(context.avoid)}",
        )
        found.append([row for row in rows if _is_quiet(context, row)][:2])
    return found


def lacking(mapping: Mapping) -> list[tuple[str, ...]]:
    """Return the legacy columns of each part that a row need not have."""
    return [
        tuple(lens.legacy.name for lens in mapping.lenses_of(place))
        for place in mapping.places
        if place.part is not None and place.part.may_lack
    ]


def _load(context: Context, view: Side, twin: Side, key: Cells) -> bool:
    stored = [c.name for c in context.mapping.legacy.columns if c.generated is None]
    sql = (
        f"INSERT INTO {twin.relation} ({idents(stored)}) OVERRIDING SYSTEM VALUE "
        f"SELECT {idents(stored)} FROM {view.relation} WHERE {where_any([key])}"
    )
    try:
        with context.conn.transaction():
            context.conn.execute(sql)
    except psycopg.errors.IntegrityError:
        return False
    return True


def parents(ground: Ground, fk: ForeignKey, row: Cells, unique: tuple[str, ...]) -> list[Cells]:
    """Return what the columns of a foreign key may refer to, so that a unique key stays unique.

    :param row: the other columns of the unique key are taken from it
    """
    others = [name for name in unique if name not in fk.columns]
    taken = " AND ".join(
        [
            *(
                f"v.{ident(near)} = p.{ident(far)}"
                for near, far in zip(fk.columns, fk.references, strict=True)
            ),
            *(f"v.{ident(name)} = {literal(row[name])}" for name in others),
        ]
    )
    columns = ", ".join(
        f"p.{ident(far)} AS {ident(near)}"
        for near, far in zip(fk.columns, fk.references, strict=True)
    )
    absent = f"NOT EXISTS (SELECT FROM {ground.view.relation} AS v WHERE {taken})"
    query = f"SELECT {columns} FROM {fk.relation} AS p WHERE {absent if unique else 'true'} LIMIT 5"
    try:
        with attempt(ground.view.conn):
            return list(read(ground.view.conn, query))
    except psycopg.errors.InsufficientPrivilege:
        return []
