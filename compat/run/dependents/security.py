"""Policies, and security labels."""

from __future__ import annotations

from collections.abc import Iterator

from compat import catalog
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import ident, qualified
from compat.run.dependents.dependent import Dependent, by_identity


def policies(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    """Yield its policies, and those of others that read it."""
    yield from _own_policies(conn, mapping, relation)
    elsewhere = conn.execute(
        "SELECT DISTINCT quote_ident(p.polname) || ' on ' || p.polrelid::regclass::text,"
        " pg_has_role(c.relowner, 'USAGE'), concat_ws(' ', pg_get_expr(p.polqual, p.polrelid),"
        "  pg_get_expr(p.polwithcheck, p.polrelid))"
        " FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid"
        " JOIN pg_class c ON c.oid = p.polrelid"
        " WHERE d.classid = 'pg_policy'::regclass AND d.refobjid = %s AND p.polrelid <> d.refobjid"
        " ORDER BY 1",
        [relation.oid],
    ).fetchall()
    for name, is_ours, text in elsewhere:
        yield by_identity(conn, mapping, relation, "policy", name, text=text, can_follow=is_ours)


def _own_policies(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    row = conn.execute(
        "SELECT compat.policies_of(oid) IS DISTINCT FROM %s::jsonb,"
        " relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = %s",
        [mapping.legacy.policies_json, relation.oid],
    ).fetchone()
    assert row is not None
    has_changed, is_forced = row
    table, title = qualified(relation.schema, relation.name), relation.title
    if has_changed:
        yield Dependent(
            "policy",
            title,
            "refusal",
            "has another row-level security than the mapping knows, and the view would apply",
            f"put it back, or `compat unexpand {mapping.name} --execute` and draft it again",
        )
    if is_forced:
        yield Dependent(
            "policy",
            title,
            "refusal",
            "is forced on the owner, as whom the sync works: it would pass over rows",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY; let applications use another role",
        )
    if has_changed or mapping.legacy.policies is None:
        return
    for policy in mapping.legacy.policies:
        yield Dependent("policy", policy.name, "fine", "the view applies it to those who use it")
    for target in mapping.tables:
        for (grantee,) in conn.execute(
            "SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC'"
            "  ELSE quote_ident(pg_get_userbyid(g.grantee)) END"
            " FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = to_regclass(%s)"
            " AND g.grantee <> c.relowner AND NOT c.relrowsecurity ORDER BY 1",
            [target.sql],
        ).fetchall():
            yield Dependent(
                "policy",
                title,
                "warning",
                f"{grantee} has rights on {target.title}, where no policy applies",
                f"give {target.title} policies of its own, or REVOKE ALL ON {target.sql} "
                f"FROM {grantee}",
            )


def labels(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    """Yield its security labels."""
    for (provider,) in conn.execute(
        "SELECT DISTINCT provider FROM pg_seclabel"
        " WHERE classoid = 'pg_class'::regclass AND objoid = %s ORDER BY 1",
        [relation.oid],
    ):
        yield Dependent(
            "security label",
            provider,
            "warning",
            "stays on the retired table: the view has none",
            f"SECURITY LABEL FOR {ident(provider)} ON VIEW {mapping.legacy.sql} IS '…' after the "
            "cutover",
        )
