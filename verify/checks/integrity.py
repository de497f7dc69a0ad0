"""Integrity: what must hold among the rows themselves, whatever the constraints promise.

Rows without parent, duplicates, NULL keys, two references to one parent that disagree, values out
of bounds, and the user's own rules; each with examples. Constraints that make a fault impossible
are not looked behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from compat import catalog
from compat.bridge import bridge_of, in_transition, is_bridge
from compat.catalog import ForeignKey, Relation
from compat.compile import bridge
from compat.compile.source import halves, source, tagged
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import ident, idents, qualified
from verify.context import Context, plural, shown
from verify.report import Finding, Result, does_not_hold, holds, not_run
from verify.rulebook import Bounds, DualId, Rule, Rulebook

NAME = "integrity"


@dataclass(frozen=True)
class Demand:
    """One thing that must hold, as a query for the rows that break it.

    :param kind: a stable word for programs: orphan, duplicate, null, bridge, dual_id, range, rule
    :param subject: what it is about: a foreign key, a column, a rule
    :param message: what is wrong with a row that breaks it
    :param relation: FROM item of the rows, the row's alias being `t`
    :param fault: SQL condition of a row that breaks it
    :param names: columns of `t` that tell which row it is
    """

    kind: str
    subject: str
    message: str
    relation: str
    fault: str
    names: tuple[str, ...]

    def query(self, limit: int) -> str:
        """Return the query for the number of faulty rows and the names of the first ones."""
        names = ", ".join(f"t.{ident(name)}::text" for name in self.names)
        return (
            "WITH faulty AS MATERIALIZED (\n"
            f"    SELECT ARRAY[{names}]::text[] AS names FROM {self.relation}\n"
            f"    WHERE {self.fault}\n)\n"
            "SELECT (SELECT count(*) FROM faulty), f.names\n"
            f"FROM (SELECT 1) AS one LEFT JOIN (SELECT names FROM faulty LIMIT {limit:d}) AS f "
            "ON true"
        )


def check(context: Context) -> Result:
    """Return whether the target's rows, and the view over them, are sound.

    :raises psycopg.Error: a relation is missing or may not be read
    """
    mapping = context.facing.mapping
    return examine(
        context.conn,
        mapping,
        context.options.rules.of(mapping),
        context.limit,
        view_sql=context.stored.view_sql,
        bridged=context.mapping,
    )


def examine(
    conn: Connection,
    mapping: Mapping,
    rules: Rulebook,
    limit: int,
    *,
    view_sql: str | None = None,
    bridged: Mapping | None = None,
) -> Result:
    """Look at the target of a mapping.

    :param view_sql: the view over it, None where there is none
    :param bridged: the mapping whose bridge is examined, None where there is none
    :raises psycopg.Error: a relation is missing or may not be read
    """
    target = catalog.find_exact(conn, mapping.target.schema, mapping.target.name)
    if target is None:
        return not_run(NAME, f"{mapping.target.title} does not exist")
    demands = [
        *_orphans(conn, mapping, target),
        *_duplicates(conn, mapping),
        *_halves(mapping),
        *_in_two_tables(mapping),
        *_nulls(conn, mapping, view_sql),
        *(_contradictions(bridged) if bridged is not None else ()),
        *_derived_dual_ids(conn, mapping, target),
        *(_dual_id(mapping, item, view_sql) for item in rules.dual_ids),
        *(_bounds(mapping, item, view_sql) for item in rules.ranges),
        *(_rule(mapping, item, view_sql) for item in rules.rules),
    ]
    findings: list[Finding] = []
    numbers: list[tuple[str, int]] = []
    total, unknown = 0, []
    for demand in demands:
        try:
            with conn.transaction():
                faulty, found = _examine(conn, demand, limit)
        except (psycopg.errors.InsufficientPrivilege, psycopg.ProgrammingError) as error:
            unknown.append(f"{demand.subject}: {error.diag.message_primary}")
            continue
        findings += found
        total += faulty
        if faulty:
            numbers.append((f"{demand.kind} {demand.subject}", faulty))
    numbers.append(("demands", len(demands)))
    notes = tuple(f"not examined: {reason}" for reason in unknown)
    if findings:
        summary = "; ".join(f"{name}: {plural(rows, 'row')}" for name, rows in numbers[:-1])
        return does_not_hold(
            NAME, summary, tuple(findings), total, notes=notes, numbers=tuple(numbers)
        )
    if unknown:
        return not_run(NAME, "; ".join(unknown), numbers=tuple(numbers))
    summary = f"{plural(len(demands), 'demand')} on the rows examined, all of them hold"
    return holds(NAME, summary, numbers=tuple(numbers))


def _examine(conn: Connection, demand: Demand, limit: int) -> tuple[int, list[Finding]]:
    """Return how many rows break a demand, and the first ones; one at least stands for them."""
    rows = conn.execute(demand.query(max(limit, 1)), prepare=False).fetchall()
    faulty = rows[0][0]
    findings = []
    for _, values in rows:
        if values is None:
            continue
        key = tuple(zip(demand.names, values, strict=True))
        where = ", ".join(f"{name} = {shown(value)}" for name, value in key)
        findings.append(Finding(demand.kind, demand.subject, f"{where}: {demand.message}", key))
    return faulty, findings


# What is known without being told ---------------------------------------------------------------


def _orphans(conn: Connection, mapping: Mapping, target: Relation) -> Iterator[Demand]:
    """Foreign keys of the target and to it, valid or not: replicas and restores do not check."""
    own = catalog.foreign_keys(conn, target)
    inbound = [key for key in catalog.inbound_foreign_keys(conn, target) if not key.is_own]
    for key in own:
        yield _orphan(key, (*mapping.target_key, *key.columns))
    for key in inbound:
        yield _orphan(key, key.columns)
    known = {(key.child, key.name) for key in (*own, *inbound)}
    for table in mapping.tables[1:]:
        relation = catalog.find_exact(conn, table.schema, table.name)
        for key in () if relation is None else catalog.foreign_keys(conn, relation):
            if (key.child, key.name) not in known:
                yield _orphan(key, key.columns)


def _orphan(key: ForeignKey, names: tuple[str, ...]) -> Demand:
    given = " AND ".join(f"t.{ident(name)} IS NOT NULL" for name in key.columns)
    matches = " AND ".join(
        f"p.{ident(parent)} = t.{ident(name)}"
        for name, parent in zip(key.columns, key.parent_columns, strict=True)
    )
    return Demand(
        "orphan",
        f"{key.name} of {key.child}",
        f"there is no such row in {key.parent}" + " (the key is not valid)" * (not key.holds),
        f"{key.child} AS t",
        f"{given} AND NOT EXISTS (SELECT FROM {key.parent} AS p WHERE {matches})",
        tuple(dict.fromkeys(names)),
    )


def _contradictions(mapping: Mapping) -> Iterator[Demand]:
    """Rows of a table that carries a bridge whose two shapes do not say the same.

    The view shows one of them, and is compared with the legacy table; so this is what proves that
    the converted columns, too, correspond to the legacy rows.
    """
    if not is_bridge(mapping):
        return
    base, columns = bridge_of(mapping).base, in_transition(mapping).target_key
    for name, fault in bridge.contradictions(mapping):
        yield Demand(
            "bridge",
            f"{name} of {base.title}",
            "it does not correspond to what v2 reads",
            f"{base.sql} AS t",
            fault,
            columns,
        )


def _duplicates(conn: Connection, mapping: Mapping) -> Iterator[Demand]:
    """What should be unique in the target, where no valid index makes sure that it is."""
    tag = () if mapping.tag is None else (mapping.tag.column,)
    legacy = (
        (*tag, *(mapping.lens(name).targets[0] for name in key))
        for key in mapping.legacy.unique_keys
        if all(lens.part is None and not lens.converts for lens in map(mapping.lens, key))
    )
    wanted = (mapping.target_key, *mapping.target.unique_keys, *legacy)
    guarded = [frozenset(names) for names in _unique_indexes(conn, mapping)]
    for names in dict.fromkeys(wanted):
        if any(guard <= frozenset(names) for guard in guarded):
            continue
        columns = idents(list(names))
        given = " AND ".join(f"{ident(name)} IS NOT NULL" for name in names)
        yield Demand(
            "duplicate",
            f"({', '.join(names)}) of {mapping.target.title}",
            "more than one row has this",
            f"(SELECT {columns}, count(*) AS compat_rows FROM {mapping.target.sql}\n"
            f"    WHERE {given} GROUP BY {columns}) AS t",
            "t.compat_rows > 1",
            names,
        )


def _unique_indexes(conn: Connection, mapping: Mapping) -> list[list[str]]:
    """Return the columns of the unique indexes by which no two rows can ever be equal."""
    rows = conn.execute(
        "SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a"
        "  WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))"
        " FROM pg_catalog.pg_index i WHERE i.indrelid = pg_catalog.to_regclass(%s)"
        " AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL"
        " AND 0 <> ALL (i.indkey)",
        [mapping.target.sql],
    )
    return [names for (names,) in rows]


def _halves(mapping: Mapping) -> Iterator[Demand]:
    """Halves of nothing, also where no foreign key speaks of them."""
    for place in halves(mapping):
        names = tuple(mine for mine, _ in place.on)
        found = " AND ".join(f"t.{ident(mine)} = w.{ident(other)}" for mine, other in place.on)
        yield Demand(
            "orphan",
            place.table.title,
            f"there is no such row in {mapping.target.title}",
            f"{place.table.sql} AS t",
            f"NOT EXISTS (SELECT FROM {mapping.target.sql} AS w WHERE {found})",
            names,
        )


def _in_two_tables(mapping: Mapping) -> Iterator[Demand]:
    """Keys that more than one of the tables has that rows are divided among."""
    if not mapping.choices:
        return
    columns = idents(list(mapping.target_key))
    yield Demand(
        "duplicate",
        f"({', '.join(mapping.target_key)}) of {', '.join(t.title for t in mapping.tables)}",
        "more than one row has this",
        f"(SELECT {columns}, count(*) AS compat_rows FROM {source(mapping)}\n"
        f"    GROUP BY {columns}) AS t",
        "t.compat_rows > 1",
        mapping.target_key,
    )


def _nulls(conn: Connection, mapping: Mapping, view_sql: str | None) -> Iterator[Demand]:
    """Keys of the target, and legacy columns that were NOT NULL, where the target allows it."""
    nullable = {
        name
        for (name,) in conn.execute(
            "SELECT attname::text FROM pg_catalog.pg_attribute"
            " WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attnotnull",
            [mapping.target.sql],
        )
    }
    condition = tagged(mapping)
    ours = "" if condition is None else f" AND {condition}"
    for name in mapping.target_key:
        if name in nullable:
            yield Demand(
                "null",
                f"{name} of {mapping.target.title}",
                "the key is NULL",
                f"{mapping.target.sql} AS t",
                f"t.{ident(name)} IS NULL{ours}",
                tuple(dict.fromkeys((*mapping.target_key, *mapping.target.row_key))),
            )
    if view_sql is None:
        return
    for lens in mapping.lenses:
        name = lens.legacy.name
        sources = set(lens.rule.reads)
        may_be_null = lens.part is not None or sources & nullable
        if lens.legacy.nullable or lens.rule.absorbs_null() or not may_be_null:
            continue
        yield Demand(
            "null",
            f"{name} of {view_sql}",
            f"{name} is NULL, which the legacy table did not allow",
            f"{view_sql} AS t",
            f"t.{ident(name)} IS NULL",
            mapping.legacy.row_key,
        )


def _derived_dual_ids(conn: Connection, mapping: Mapping, target: Relation) -> Iterator[Demand]:
    """`legacy_x_id` beside `x_id`, which references a parent that has a `legacy_id`."""
    known = set(mapping.target.column_names)
    for key in catalog.foreign_keys(conn, target):
        if len(key.columns) != 1:
            continue
        (column,), (parent_column,) = key.columns, key.parent_columns
        legacy = f"legacy_{column}"
        if legacy not in known:
            continue
        for parent_legacy in ("legacy_id", legacy):
            if _has_column(conn, key.parent, parent_legacy):
                item = DualId(
                    mapping.target.title, column, legacy, key.parent, parent_column, parent_legacy
                )
                yield _disagreeing(mapping.target.sql, mapping.target_key, item, key.parent)
                break


def _has_column(conn: Connection, relation: str, name: str) -> bool:
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE NOT attisdropped"
        " AND attrelid = pg_catalog.to_regclass(%s) AND attname = %s)",
        [relation, name],
    ).fetchone()
    return row == (True,)


# What a user demands ----------------------------------------------------------------------------


def _table(mapping: Mapping, name: str, view_sql: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the quoted name of a table of the rules, and the columns that name its rows."""
    if name in (mapping.target.name, mapping.target.title):
        return mapping.target.sql, mapping.target_key
    for table in mapping.tables[1:]:
        if name in (table.name, table.title):
            return table.sql, next(iter(table.unique_keys), ())
    if name in (mapping.legacy.name, mapping.legacy.title):
        return view_sql or mapping.legacy.sql, mapping.legacy.row_key
    return _quoted(name), ()


def _quoted(name: str) -> str:
    schema, dot, table = name.rpartition(".")
    return qualified(schema, table) if dot else ident(table)


def _dual_id(mapping: Mapping, item: DualId, view_sql: str | None) -> Demand:
    relation, names = _table(mapping, item.table, view_sql)
    return _disagreeing(relation, names, item, _quoted(item.parent))


def _disagreeing(relation: str, names: tuple[str, ...], item: DualId, parent: str) -> Demand:
    new, legacy = f"t.{ident(item.column)}", f"t.{ident(item.legacy)}"
    return Demand(
        "dual_id",
        f"{item.legacy} and {item.column} of {item.table}",
        f"they do not name the same row of {parent}",
        f"{relation} AS t",
        f"({new} IS NULL) <> ({legacy} IS NULL) OR {new} IS NOT NULL AND NOT EXISTS (\n"
        f"        SELECT FROM {parent} AS p WHERE p.{ident(item.parent_column)} = {new}\n"
        f"            AND p.{ident(item.parent_legacy)} = {legacy})",
        tuple(dict.fromkeys((*names, item.column, item.legacy))),
    )


def _bounds(mapping: Mapping, item: Bounds, view_sql: str | None) -> Demand:
    relation, names = _table(mapping, item.table, view_sql)
    column = f"t.{ident(item.column)}"
    # On lines of their own: a user's SQL may end in a comment.
    outside = [
        f"{column} {operator} (\n{bound}\n)"
        for operator, bound in (("<", item.min), (">", item.max))
        if bound is not None
    ]
    limits = f"{item.min or 'any'} to {item.max or 'any'}"
    return Demand(
        "range",
        f"{item.column} of {item.table}",
        f"out of bounds ({limits})",
        f"{relation} AS t",
        " OR ".join(outside) or "false",
        tuple(dict.fromkeys((*names, item.column))),
    )


def _rule(mapping: Mapping, item: Rule, view_sql: str | None) -> Demand:
    relation, names = _table(mapping, item.table, view_sql)
    return Demand(
        "rule",
        item.name,
        f"{item.holds.strip()} does not hold",
        f"{relation} AS t",
        f"(\n{item.holds}\n) IS NOT TRUE",
        names,
    )
