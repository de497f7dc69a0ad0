"""Functions, domains and columns that have the row type of the legacy table."""

from __future__ import annotations

from collections.abc import Iterator

from compat import catalog
from compat.connection import Connection
from compat.mapping import Mapping
from compat.run.dependents.dependent import Dependent


def row_types(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield what has its row type."""
    rows = conn.execute(
        "SELECT p.oid::regprocedure::text, EXISTS ("
        "  SELECT FROM pg_proc o JOIN pg_class v ON v.oid = to_regclass(%(standby)s)"
        "  WHERE o.pronamespace = p.pronamespace AND o.proname = p.proname"
        "  AND o.proargtypes::oid[] = array_replace(p.proargtypes::oid[], c.reltype, v.reltype))"
        " FROM pg_proc p, pg_class c WHERE c.oid = %(oid)s AND c.reltype = ANY (p.proargtypes)"
        " ORDER BY 1",
        {"oid": relation.oid, "standby": mapping.standby},
    ).fetchall()
    for name, has_twin in rows:
        if has_twin:
            yield Dependent("function", name, "fine", "there is one for rows of the view too")
        else:
            yield Dependent(
                "function",
                name,
                "refusal",
                "takes rows of the table, and would not be found for rows of the view",
                f"create the same function for the row type {mapping.standby}",
            )
    returning = conn.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p, pg_class c WHERE c.oid = %s"
        " AND c.reltype <> ALL (p.proargtypes)"
        " AND c.reltype = ANY (coalesce(p.proallargtypes, '{}') || p.prorettype) ORDER BY 1",
        [relation.oid],
    )
    for (name,) in returning:
        yield Dependent(
            "function",
            name,
            "warning",
            "returns rows of the type of the retired table, with the same columns",
            "create it again before contract",
        )
    domains = conn.execute(
        "SELECT d.oid::regtype::text FROM pg_class c JOIN pg_type d ON d.typbasetype = c.reltype"
        " WHERE c.oid = %s ORDER BY 1",
        [relation.oid],
    )
    for (name,) in domains:
        yield Dependent(
            "domain",
            name,
            "warning",
            "keeps the row type of the retired table",
            "give its columns another type, and drop it, before contract",
        )
    columns = conn.execute(
        "SELECT a.attrelid::regclass::text || '.' || quote_ident(a.attname)"
        " FROM pg_class c JOIN pg_type t ON t.oid = c.reltype"
        " JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped"
        " JOIN pg_class r ON r.oid = a.attrelid AND r.relkind <> 'v'"
        " WHERE c.oid = %s ORDER BY 1",
        [relation.oid],
    )
    for (name,) in columns:
        yield Dependent(
            "column",
            name,
            "warning",
            "keeps the row type of the retired table",
            "give it another type before contract",
        )
