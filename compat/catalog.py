"""Reading tables from PostgreSQL's catalogue into values.

The only module that reflects; everything is read with an empty search path, so that names inside
defaults, checks and types are schema-qualified and mean the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from compat.errors import CatalogError
from compat.names import qualified
from compat.tables import Column, Constraint, Index, Policy, Sequence, Table

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Relation:
    """A name in the catalogue: what it is, and where."""

    oid: int
    schema: str
    name: str
    kind: str
    """pg_class.relkind: 'r' table, 'p' partitioned table, 'v' view, 'm' materialised view, …"""

    @property
    def title(self) -> str:
        """schema.name, as messages print it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key as the database holds it; `child` and `parent` are quoted, qualified names."""

    name: str
    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    holds: bool
    """False for NOT VALID and NOT ENFORCED: the table may hold rows without a parent."""

    @property
    def is_own(self) -> bool:
        """True when the table references itself."""
        return self.child == self.parent


def find(conn: Connection, name: str) -> Relation | None:
    """Return the relation that a user means by `name`, or None.

    :param name: exactly as the catalogue has it (Order "Lines"), with or without the schema and
        a dot before it, or spelled as in SQL (public."Order Lines")
    """
    if "\0" in name:
        return None
    schema, _, rest = name.partition(".")
    row = conn.execute(
        """
        SELECT c.oid, n.nspname, c.relname, c.relkind::text
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND (c.relname = %(name)s AND pg_catalog.pg_table_is_visible(c.oid)
               OR c.relname = %(rest)s AND n.nspname = %(schema)s)
        ORDER BY c.relname = %(name)s DESC LIMIT 1
        """,
        {"name": name, "schema": schema, "rest": rest},
    ).fetchone()
    if row is None:
        try:
            with conn.transaction():
                row = conn.execute(
                    "SELECT c.oid, n.nspname, c.relname, c.relkind::text FROM pg_catalog.pg_class c"
                    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                    " WHERE c.oid = pg_catalog.to_regclass(%s)",
                    [name],
                ).fetchone()
        except (errors.SyntaxError, errors.InvalidName, errors.FeatureNotSupported):
            return None  # cannot be a name, or has too many parts for one
    return None if row is None else Relation(*row)


def find_exact(conn: Connection, schema: str, name: str) -> Relation | None:
    """Return the relation of exactly this schema and name, or None."""
    row = conn.execute(
        "SELECT c.oid, n.nspname, c.relname, c.relkind::text FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        [schema, name],
    ).fetchone()
    return None if row is None else Relation(*row)


def require_table(conn: Connection, name: str) -> Relation:
    """Return the table that a user means by `name`.

    :raises CatalogError: no such relation, or not a table
    """
    relation = find(conn, name)
    if relation is None:
        raise CatalogError(
            f"no such table: {name}",
            "check the name and the schema (psql: \\dt *.*); an unqualified name is looked up in "
            f"the search path, which is {_search_path(conn)}",
        )
    if relation.kind not in ("r", "p"):
        kinds = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}
        raise CatalogError(f"{relation.title} is {kinds.get(relation.kind, 'not a table')}")
    return relation


def reflect(conn: Connection, relation: Relation) -> Table:
    """Return the table as a value.

    :raises CatalogError: it vanished, or the role may not see it
    """
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:

        def rows(query: str) -> list[dict[str, Any]]:
            return cursor.execute(query, {"oid": relation.oid}).fetchall()

        # Set back at the end: in a transaction of the caller's, SET LOCAL would outlive this one.
        (path,) = rows("SELECT pg_catalog.current_setting('search_path') AS path")
        cursor.execute("SET LOCAL search_path = pg_catalog")
        columns = tuple(Column(**row) for row in rows(_COLUMNS))
        if not columns:
            raise CatalogError(f"{relation.title} has no columns that this role can see")
        constraints = tuple(
            Constraint(**(row | {"columns": tuple(row["columns"])})) for row in rows(_CONSTRAINTS)
        )
        indexes = tuple(
            Index(row["name"], row["definition"], row["unique"]) for row in rows(_INDEXES)
        )
        sequences = tuple(Sequence(**row) for row in rows(_SEQUENCES))
        triggers = tuple(row["name"] for row in rows(_BEFORE_TRIGGERS))
        (about,) = rows(_ABOUT)
        policies = None
        if about["has_policies"]:
            policies = tuple(
                Policy(**(row | {"roles": tuple(row["roles"])})) for row in rows(_POLICIES)
            )
        cursor.execute("SELECT set_config('search_path', %(path)s, true)", path)
    return Table(
        relation.schema,
        relation.name,
        columns,
        constraints,
        indexes,
        sequences,
        triggers,
        about["comment"],
        policies,
    )


def reflect_table(conn: Connection, name: str) -> Table:
    """Return the table that a user means by `name`, reflected.

    :raises CatalogError: no such table
    """
    return reflect(conn, require_table(conn, name))


def foreign_keys(conn: Connection, relation: Relation) -> tuple[ForeignKey, ...]:
    """Return the foreign keys of a table, by name: where they lead, and whether they hold."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_FOREIGN_KEYS.format(side="conrelid"), {"oid": relation.oid})
        return tuple(_foreign_key(row) for row in rows)


def inbound_foreign_keys(conn: Connection, relation: Relation) -> tuple[ForeignKey, ...]:
    """Return the foreign keys that lead to a table, its own ones to itself among them."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_FOREIGN_KEYS.format(side="confrelid"), {"oid": relation.oid})
        return tuple(_foreign_key(row) for row in rows)


def _foreign_key(row: dict[str, Any]) -> ForeignKey:
    return ForeignKey(**(row | {name: tuple(row[name]) for name in ("columns", "parent_columns")}))


def estimate_rows(conn: Connection, schema: str, name: str) -> int:
    """Return an estimate of the rows of a table as the planner makes it, 0 when nothing is known.

    Rows per page as of the last ANALYZE, times the pages of today; of all its partitions.
    """
    row = conn.execute(
        "SELECT COALESCE(sum(GREATEST(reltuples, 0) / GREATEST(relpages, 1)"
        " * pg_relation_size(oid) / current_setting('block_size')::int), 0)"
        f" FROM pg_catalog.pg_class WHERE {_WITH_PARTITIONS}",
        {"table": qualified(schema, name)},
    ).fetchone()
    assert row is not None
    return int(row[0])


def has_statistics(conn: Connection, schema: str, name: str) -> bool:
    """Return whether a table, or each of its partitions, is empty or has been analyzed."""
    row = conn.execute(
        "SELECT bool_and(reltuples > 0 OR pg_relation_size(oid) = 0)"
        f" FROM pg_catalog.pg_class WHERE {_WITH_PARTITIONS}",
        {"table": qualified(schema, name)},
    ).fetchone()
    return row == (True,)


def _search_path(conn: Connection) -> str:
    row = conn.execute("SHOW search_path").fetchone()
    return str(row[0]) if row else "unknown"


_WITH_PARTITIONS = """
oid IN (SELECT pg_catalog.to_regclass(%(table)s)
        UNION SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%(table)s)))
"""
_COLUMNS = """
SELECT a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable,
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default,
       CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,
       CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated,
       CASE WHEN a.attcollation <> t.typcollation
            THEN (SELECT format('%%I.%%I', n.nspname, c.collname) FROM pg_collation c
                  JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation)
       END AS collation,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

# contype 'n' (NOT NULL as a constraint, PostgreSQL 18) is already in Column.nullable.
_CONSTRAINTS = """
SELECT c.conname AS name,
       CASE c.contype WHEN 'p' THEN 'primary_key' WHEN 'u' THEN 'unique' WHEN 'c' THEN 'check'
                      WHEN 'f' THEN 'foreign_key' ELSE 'exclude' END AS kind,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(attnum, n)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
             ORDER BY k.n) AS columns,
       pg_get_constraintdef(c.oid) AS definition
FROM pg_constraint c
WHERE c.conrelid = %(oid)s AND c.contype IN ('p', 'u', 'c', 'f', 'x')
ORDER BY position(c.contype IN 'puxcf'), c.conname
"""

_INDEXES = """
SELECT c.relname AS name, i.indisunique AS unique,
       -- What follows the names: cut by length, since the names may contain the word USING.
       substr(pg_get_indexdef(i.indexrelid),
              length(format('CREATE %%sINDEX %%I ON %%s%%s ',
                            CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname,
                            CASE c.relkind WHEN 'I' THEN 'ONLY ' END, i.indrelid::regclass)) + 1
       ) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %(oid)s AND i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid
                  AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY c.relname
"""

# deptype 'a': serial; a sequence that a default merely calls depends the other way round.
_SEQUENCES = """
SELECT DISTINCT n.nspname AS schema, s.relname AS name, a.attname AS column
FROM pg_attribute a
JOIN pg_depend d ON (d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
                     AND d.classid = 'pg_class'::regclass AND d.deptype = 'a')
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE a.attrelid = %(oid)s
ORDER BY 1, 2
"""

_BEFORE_TRIGGERS = """
SELECT tgname AS name FROM pg_trigger
WHERE tgrelid = %(oid)s AND NOT tgisinternal AND tgtype & 2 = 2 AND tgtype & 1 = 1
  AND tgname NOT LIKE '00\\_compat%%'
ORDER BY tgname
"""

_ABOUT = """
SELECT obj_description(oid, 'pg_class') AS comment, relrowsecurity AS has_policies
FROM pg_class WHERE oid = %(oid)s
"""

# A sub-query shows in the stored expression only; so it cannot be taken for one in a string.
_POLICIES = """
SELECT p.polname AS name,
       CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
                     WHEN 'd' THEN 'delete' ELSE 'all' END AS command,
       p.polpermissive AS permissive,
       ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE r.oid = ANY (p.polroles)
             ORDER BY r.rolname::text COLLATE "C") AS roles,
       pg_get_expr(p.polqual, p.polrelid) AS using,
       pg_get_expr(p.polwithcheck, p.polrelid) AS check,
       strpos(concat(p.polqual::text, p.polwithcheck::text), '{SUBLINK ') > 0 AS has_subquery
FROM pg_policy p WHERE p.polrelid = %(oid)s ORDER BY p.polname
"""

# Not the keys of partitions, which repeat their table's, nor those over periods (PostgreSQL 18).
# Columns that older versions lack are read through to_jsonb.
_FOREIGN_KEYS = """
SELECT c.conname AS name, format('%%I.%%I', cn.nspname, cc.relname) AS child,
       format('%%I.%%I', pn.nspname, pc.relname) AS parent,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(attnum, n)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
             ORDER BY k.n) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k(attnum, n)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum
             ORDER BY k.n) AS parent_columns,
       c.convalidated AND COALESCE((to_jsonb(c) ->> 'conenforced')::boolean, true) AS holds
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_class cc ON cc.oid = c.conrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = cc.relnamespace
JOIN pg_catalog.pg_class pc ON pc.oid = c.confrelid
JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.{side} = %(oid)s
  AND NOT COALESCE((to_jsonb(c) ->> 'conperiod')::boolean, false)
ORDER BY c.conname
"""
