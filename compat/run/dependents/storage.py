"""Statistics objects, and tables that share rows with the legacy table."""

from __future__ import annotations

from collections.abc import Iterator

from compat import catalog
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import derive, ident, idents
from compat.run.dependents.dependent import Dependent


def statistics(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield its extended statistics."""
    rows = conn.execute(
        "SELECT quote_ident(s.stxname), ARRAY(SELECT a.attname::text FROM unnest(s.stxkeys) k(n)"
        "  JOIN pg_attribute a ON a.attrelid = s.stxrelid AND a.attnum = k.n ORDER BY 1)"
        " FROM pg_statistic_ext s WHERE s.stxrelid = %s ORDER BY 1",
        [relation.oid],
    ).fetchall()
    statistics = ident(derive(mapping.target.name, "_stats"))
    for name, columns in rows:
        targets = sorted({target for c in columns for target in mapping.lens(c).targets})
        if len(targets) < 2 or _has_statistics(conn, mapping, targets):
            yield Dependent("statistics", name, "fine", "stays on the retired table")
        else:
            yield Dependent(
                "statistics",
                name,
                "warning",
                f"stays on the retired table; {mapping.target.title} has none like it, and queries "
                "may get other plans",
                f"CREATE STATISTICS {statistics} ON {idents(targets)} FROM {mapping.target.sql};"
                f" ANALYZE {mapping.target.sql}",
            )


def _has_statistics(conn: Connection, mapping: Mapping, columns: list[str]) -> bool:
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxrelid = to_regclass(%s)"
        " AND %s::text[] <@ ARRAY(SELECT a.attname::text FROM unnest(s.stxkeys) k(n)"
        "  JOIN pg_attribute a ON a.attrelid = s.stxrelid AND a.attnum = k.n))",
        [mapping.target.sql, columns],
    ).fetchone()
    return row == (True,)


def relatives(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield its relatives by inheritance."""
    rows = conn.execute(
        "SELECT CASE i.inhrelid WHEN %(oid)s THEN i.inhparent ELSE i.inhrelid END::regclass::text"
        " FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent"
        " WHERE i.inhrelid = %(oid)s OR i.inhparent = %(oid)s AND p.relkind <> 'p' ORDER BY 1",
        {"oid": relation.oid},
    )
    for (name,) in rows:
        yield Dependent(
            "inheritance",
            name,
            "refusal",
            "shares rows with the table, which are written under its name, unseen by the view",
            "migrate the partitioned table as a whole, or end the inheritance first",
        )
