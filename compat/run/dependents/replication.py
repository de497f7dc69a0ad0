"""Publications and subscriptions."""

from __future__ import annotations

from collections.abc import Iterator

from compat import catalog
from compat.bridge import bridge_of, is_bridge
from compat.connection import Connection
from compat.mapping import Mapping
from compat.run.dependents.dependent import Dependent


def replication(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield the publications and subscriptions that it is part of."""
    rows = conn.execute(
        "SELECT quote_ident(t.pubname), EXISTS (SELECT FROM pg_publication_rel r"
        "  JOIN pg_publication p ON p.oid = r.prpubid"
        "  WHERE p.pubname = t.pubname AND r.prrelid = %s)"
        " FROM pg_publication_tables t WHERE t.schemaname = %s AND t.tablename = %s ORDER BY 1",
        [relation.oid, relation.schema, relation.name],
    ).fetchall()
    renamed = f"would publish the retired table under its new name, {mapping.retired_name}"
    for name, is_listed in rows:
        if is_listed:
            yield Dependent(
                "publication",
                name,
                "refusal",
                f"{renamed}, which subscribers do not know",
                f"ALTER PUBLICATION {name} DROP TABLE {mapping.legacy.sql}, and add "
                f"{mapping.target.sql}",
            )
        else:
            yield Dependent(
                "publication",
                name,
                "warning",
                renamed,
                f"let the subscribers have a table of that name, and one like {mapping.target.sql}",
            )
    subscriptions = conn.execute(
        "SELECT quote_ident(s.subname) FROM pg_subscription_rel r"
        " JOIN pg_subscription s ON s.oid = r.srsubid WHERE r.srrelid = %s ORDER BY 1",
        [relation.oid],
    )
    for (name,) in subscriptions:
        yield Dependent(
            "subscription",
            name,
            "refusal",
            "writes to the table by its name, and cannot write to a view",
            "end the subscription, or replicate into the target",
        )


def widened(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    """Yield the publications whose subscribers lack the columns that `compat expand` adds.

    Not those with a list of columns.
    """
    if not is_bridge(mapping):
        return
    carrier = bridge_of(mapping).base
    rows = conn.execute(
        "SELECT quote_ident(t.pubname) FROM pg_publication_tables t"
        " JOIN pg_publication p ON p.pubname = t.pubname"
        " LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = to_regclass(%s)"
        # Lists of columns exist from PostgreSQL 15 on.
        " WHERE t.schemaname = %s AND t.tablename = %s"
        " AND nullif(to_jsonb(r) -> 'prattrs', 'null') IS NULL ORDER BY 1",
        [carrier.sql, carrier.schema, carrier.name],
    ).fetchall()
    columns = ", ".join(column.name for column in bridge_of(mapping).added)
    for (name,) in rows:
        yield Dependent(
            "publication",
            name,
            "warning",
            f"publishes the columns that `compat expand` adds to {carrier.title} ({columns}): "
            "replication stops where a subscriber's table has none of that name",
            "add them there first; or give the publication a list of columns (PostgreSQL 15)",
        )
