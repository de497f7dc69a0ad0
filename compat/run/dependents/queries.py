"""Views, rules and functions with a SQL body that read or write the legacy table."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from compat import catalog
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import ident
from compat.run.dependents.dependent import FOLLOWS, STAYS, Dependent, by_identity
from compat.tables import Column

_NOT_OURS = "this role may not define it again"


def views(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    """Yield the views over it."""
    # 28: INSERT, UPDATE, DELETE in the mask of pg_relation_is_updatable; 64: INSTEAD OF.
    rows = conn.execute(
        "SELECT DISTINCT c.oid, c.oid::regclass::text, c.relkind = 'v', c.relkind = 'v'"
        " AND pg_relation_is_updatable(c.oid, false) & 28 <> 0"
        " AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgtype & 64 <> 0),"
        " pg_has_role(c.relowner, 'USAGE'),"
        " EXISTS (SELECT FROM compat.mapping m WHERE c.oid = to_regclass(format('%%I.%%I',"
        "  m.document #>> '{legacy,schema}', m.document #>> '{legacy,name}')))"
        " FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'"
        " JOIN pg_class c ON c.oid = r.ev_class"
        " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.refobjid = %s AND r.ev_class <> d.refobjid ORDER BY 2",
        [relation.oid],
    ).fetchall()
    for oid, name, is_plain, takes_writes, is_ours, is_version in rows:
        if is_version:
            yield Dependent("view", name, "fine", "is compiled anew, over the target itself")
            continue
        if not is_plain:
            yield Dependent(
                "view",
                name,
                "fine",
                f"{STAYS}; it is materialised: create it again before contract",
            )
            continue
        obstacle = _obstacle(conn, mapping, relation, oid) if is_ours else _NOT_OURS
        if obstacle is None:
            yield Dependent("view", name, "fine", FOLLOWS)
        elif takes_writes:
            yield Dependent(
                "view",
                name,
                "warning",
                f"{STAYS} ({obstacle}); what is written through it is refused from the cutover on",
                "if anybody writes through it, create it again after the cutover",
            )
        else:
            what = f"{STAYS} ({obstacle}); create it again before contract"
            yield Dependent("view", name, "fine", what)


def _obstacle(
    conn: Connection, mapping: Mapping, relation: catalog.Relation, oid: int
) -> str | None:
    """Return why a view could not be defined over the compatibility view, None if it could.

    Tried on a temporary view of the same columns, which hides the table: a temporary schema comes
    first in every search path.
    """
    if relation.name != mapping.legacy.name:
        return "the cutover has left it behind"
    columns = ", ".join(map(_typed, mapping.legacy.columns))
    with conn.transaction(force_rollback=True):
        # So that PostgreSQL writes the table's name alone.
        conn.execute(f"SET LOCAL search_path = {ident(relation.schema)}")
        row = conn.execute("SELECT pg_get_viewdef(%s::oid)", [oid]).fetchone()
        assert row is not None
        try:
            conn.execute(f"CREATE TEMPORARY VIEW {ident(relation.name)} AS SELECT {columns}")
            conn.execute(f"CREATE TEMPORARY VIEW compat_trial AS {row[0]}")
        except psycopg.Error as error:
            return error.diag.message_primary or str(error)
        row = conn.execute(
            "SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute a"
            " JOIN pg_attribute b ON b.attrelid = 'pg_temp.compat_trial'::regclass"
            " AND b.attnum = a.attnum"
            " WHERE a.attrelid = %s AND a.attnum > 0 AND a.atttypid <> b.atttypid",
            [oid],
        ).fetchone()
    return None if row in (None, (None,)) else f"{row[0]} would get another type"


def _typed(column: Column) -> str:
    collation = "" if column.collation is None else f" COLLATE {column.collation}"
    return f"NULL::{column.type}{collation} AS {ident(column.name)}"


def rules(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    """Yield its rules, and those of others that name it."""
    rows = conn.execute(
        "SELECT DISTINCT quote_ident(r.rulename) || ' on ' || r.ev_class::regclass::text,"
        " r.ev_class = %(oid)s, r.ev_type IN ('2', '3') OR r.is_instead, pg_get_ruledef(r.oid),"
        " (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = r.ev_class)"
        " FROM pg_rewrite r LEFT JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass"
        "  AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s"
        " WHERE r.rulename <> '_RETURN' AND (r.ev_class = %(oid)s OR d.objid IS NOT NULL)"
        " ORDER BY 1",
        {"oid": relation.oid},
    ).fetchall()
    for name, is_own, breaks_sync, text, is_ours in rows:
        if is_own and breaks_sync:
            yield Dependent(
                "rule",
                name,
                "refusal",
                "would apply to what the reverse sync writes, and keep the retired table from "
                "being current",
                "make it a trigger, or drop it, before the cutover",
            )
        elif is_own:
            yield Dependent("rule", name, "fine", "applies to the retired table until contract")
        else:
            yield by_identity(conn, mapping, relation, "rule", name, text=text, can_follow=is_ours)


def functions(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield the functions with a SQL body that names it."""
    rows = conn.execute(
        "SELECT DISTINCT p.oid::regprocedure::text, pg_get_function_sqlbody(p.oid),"
        " pg_has_role(p.proowner, 'USAGE') AND c.reltype <> ALL"
        "  (coalesce(p.proallargtypes, p.proargtypes) || p.prorettype)"
        " FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid JOIN pg_class c ON c.oid = d.refobjid"
        " WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.refobjid = %s AND p.prosqlbody IS NOT NULL ORDER BY 1",
        [relation.oid],
    ).fetchall()
    for name, body, can_follow in rows:
        yield by_identity(
            conn, mapping, relation, "function", name, text=body, can_follow=can_follow
        )
