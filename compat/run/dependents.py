"""What else in a database hangs on a legacy table, and what a cutover does to it.

What means the table by its name means the view afterwards. What means it by its identity (views,
rules, functions with a SQL body, publications, row types) goes on meaning the retired table:
reading is fine there, since the reverse sync keeps it current; writing is refused by its guard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from compat import catalog, state
from compat.compile import swap
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import qualified

Verdict = Literal["fine", "warning", "refusal"]


@dataclass(frozen=True)
class Dependent:
    """Something that hangs on the legacy table.

    :param verdict: `refusal` when it would break, or an acknowledged write would be lost
    :param fix: what to do about it; empty when it is fine
    """

    kind: str
    name: str
    verdict: Verdict
    what_happens: str
    fix: str = ""


def dependents(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> tuple[Dependent, ...]:
    """Return what hangs on the legacy table, kind by kind.

    :param relation: the legacy table under its name of the moment
    """
    found: list[Dependent] = []
    with state.installed_for_now(conn):
        # So that whatever PostgreSQL writes out is qualified.
        conn.execute("SET LOCAL search_path = pg_catalog")
        for kind, look in _KINDS.items():
            try:
                with conn.transaction():
                    found += look(conn, mapping, relation)
            except psycopg.errors.InsufficientPrivilege:
                found.append(
                    Dependent(
                        kind,
                        "(not visible to this role)",
                        "warning",
                        "cannot be looked at by this role",
                        "look as the owner of the table or as a superuser",
                    )
                )
    return tuple(found)


def _foreign_keys(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    rows = conn.execute(
        "SELECT c.oid, c.conrelid::regclass::text || '.' || quote_ident(c.conname),"
        " t.relkind = 'p',"
        " ARRAY(SELECT a.attname::text FROM unnest(c.confkey) AS k(attnum) JOIN pg_attribute a"
        "       ON a.attrelid = c.confrelid AND a.attnum = k.attnum)"
        " FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
        " WHERE c.contype = 'f' AND c.confrelid = %s AND c.conparentid = 0"
        " AND c.conrelid NOT IN (c.confrelid, coalesce(to_regclass(%s), 0)) ORDER BY 2",
        [relation.oid, mapping.target.sql],
    ).fetchall()
    for oid, name, is_partitioned, columns in rows:
        if is_partitioned and conn.info.server_version < 180000:
            yield Dependent(
                "foreign key",
                name,
                "refusal",
                "a partitioned table cannot get the second, not yet validated key to the target",
                "drop it before the cutover, and add one that references the target after it",
            )
            continue
        try:
            with conn.transaction():
                conn.execute(swap.foreign_key_twin(mapping, oid))
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            message, hint = error.diag.message_primary or "", error.diag.message_hint or ""
            yield Dependent("foreign key", name, "refusal", message, hint)
            continue
        referenced = [mapping.lens(column).targets[0] for column in columns]
        if _is_unique(conn, mapping, referenced):
            yield Dependent("foreign key", name, "fine", "follows to the target at cutover")
        else:
            listed = ", ".join(referenced)
            yield Dependent(
                "foreign key",
                name,
                "refusal",
                f"{mapping.target.title} has no unique constraint on ({listed}) to reference",
                f"add UNIQUE ({listed}) to {mapping.target.title}, or drop the key",
            )


def _is_unique(conn: Connection, mapping: Mapping, columns: list[str]) -> bool:
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass(%s) AND i.indisunique"
        " AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
        " AND %s::text[] = ARRAY(SELECT a.attname::text FROM pg_attribute a"
        "   WHERE a.attrelid = i.indrelid"
        "   AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts-1])"
        '   ORDER BY a.attname COLLATE "C"))',
        [mapping.target.sql, sorted(columns)],
    ).fetchone()
    return row == (True,)


def _cascades(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield the legacy table's own keys by which rows elsewhere delete or change its rows."""
    query = (
        "SELECT quote_ident(c.conname), c.confrelid::regclass::text,"
        " c.confdeltype::text || c.confupdtype::text,"
        " ARRAY(SELECT a.attname::text FROM unnest(c.conkey) AS k(attnum) JOIN pg_attribute a"
        "       ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY 1)"
        " FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = to_regclass(%s)"
        " AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd')) ORDER BY 1"
    )
    carried = {
        (actions, tuple(columns))
        for _, _, actions, columns in conn.execute(query, [mapping.target.sql])
    }
    for name, referenced, actions, columns in conn.execute(
        query, [qualified(relation.schema, relation.name)]
    ):
        targets = sorted(t for column in columns for t in mapping.lens(column).targets)
        if (actions, tuple(targets)) not in carried:
            yield Dependent(
                "cascade",
                name,
                "warning",
                f"what it does when a row of {referenced} goes or changes its key, happens to the "
                "retired table only: the target has no such key",
                f"give {mapping.target.title} a foreign key with the same actions",
            )


def _views(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    # 28: INSERT, UPDATE, DELETE in the mask of pg_relation_is_updatable; 64: INSTEAD OF.
    rows = conn.execute(
        "SELECT DISTINCT c.oid::regclass::text, c.relkind = 'v'"
        " AND pg_relation_is_updatable(c.oid, false) & 28 <> 0"
        " AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgtype & 64 <> 0)"
        " FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'"
        " JOIN pg_class c ON c.oid = r.ev_class"
        " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.refobjid = %s AND r.ev_class <> d.refobjid ORDER BY 1",
        [relation.oid],
    )
    for name, takes_writes in rows:
        reads = "goes on reading the retired table, which is kept current"
        if takes_writes:
            yield Dependent(
                "view",
                name,
                "warning",
                f"{reads}; what is written through it is refused from the cutover on",
                "if anybody writes through it, create it again after the cutover",
            )
        else:
            yield Dependent("view", name, "fine", f"{reads}; re-create it before contract")


def _rules(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    rows = conn.execute(
        "SELECT DISTINCT quote_ident(r.rulename) || ' on ' || r.ev_class::regclass::text,"
        " r.ev_class = %(oid)s, r.ev_type IN ('2', '3') OR r.is_instead, pg_get_ruledef(r.oid)"
        " FROM pg_rewrite r LEFT JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass"
        "  AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s"
        " WHERE r.rulename <> '_RETURN' AND (r.ev_class = %(oid)s OR d.objid IS NOT NULL)"
        " ORDER BY 1",
        {"oid": relation.oid},
    )
    for name, is_own, breaks_sync, text in rows:
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
            yield _by_identity(conn, "rule", name, text, relation)


def _functions(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    rows = conn.execute(
        "SELECT DISTINCT p.oid::regprocedure::text, pg_get_function_sqlbody(p.oid)"
        " FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid"
        " WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.refobjid = %s AND p.prosqlbody IS NOT NULL ORDER BY 1",
        [relation.oid],
    )
    for name, body in rows:
        yield _by_identity(conn, "function", name, body, relation)


def _row_types(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
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
    columns = conn.execute(
        "SELECT a.attrelid::regclass::text || '.' || quote_ident(a.attname)"
        " FROM pg_class c JOIN pg_type t ON t.oid = c.reltype"
        " JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped"
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


def _triggers(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    rows = conn.execute(
        "SELECT quote_ident(tgname), tgtype & 3 = 3 FROM pg_trigger"
        " WHERE tgrelid = %s AND NOT tgisinternal AND tgname NOT LIKE '00\\_compat%%' ORDER BY 1",
        [relation.oid],
    )
    for name, may_change_rows in rows:
        fires = "fires on the retired table until contract, with its owner's rights"
        if may_change_rows:
            yield Dependent(
                "trigger",
                name,
                "warning",
                f"{fires}: a row that it changes is changed there only",
                "if it changes rows, move it to the target before the cutover",
            )
        else:
            yield Dependent(
                "trigger", name, "fine", f"{fires}; move it to the target if v2 needs it"
            )


def _policies(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    rows = conn.execute(
        "SELECT quote_ident(p.polname), c.relrowsecurity FROM pg_policy p"
        " JOIN pg_class c ON c.oid = p.polrelid WHERE c.oid = %s ORDER BY 1",
        [relation.oid],
    )
    for name, is_enforced in rows:
        if is_enforced:
            yield Dependent(
                "policy",
                name,
                "refusal",
                "does not apply through the view, which would show every row to everybody",
                "tables with row level security cannot be migrated yet",
            )
        else:
            yield Dependent("policy", name, "fine", "is not enforced, and stays on the old table")
    elsewhere = conn.execute(
        "SELECT DISTINCT quote_ident(p.polname) || ' on ' || p.polrelid::regclass::text"
        " FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid"
        " WHERE d.classid = 'pg_policy'::regclass AND d.refobjid = %s AND p.polrelid <> d.refobjid"
        " ORDER BY 1",
        [relation.oid],
    )
    for (name,) in elsewhere:
        yield Dependent(
            "policy", name, "fine", "goes on reading the retired table; re-create before contract"
        )


def _replication(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
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


_KINDS: dict[str, Any] = {
    "foreign key": _foreign_keys,
    "cascade": _cascades,
    "view": _views,
    "rule": _rules,
    "function": _functions,
    "row type": _row_types,
    "trigger": _triggers,
    "policy": _policies,
    "publication": _replication,
}


def _by_identity(
    conn: Connection, kind: str, name: str, text: str, relation: catalog.Relation
) -> Dependent:
    """Return the verdict over something whose text, as PostgreSQL writes it, means the table."""
    row = conn.execute("SELECT %s::oid::regclass::text", [relation.oid]).fetchone()
    assert row is not None
    writing = r"\b(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO)\s+(ONLY\s+)?"
    if re.search(rf"{writing}{re.escape(row[0])}(?![\w$.\"])", text):
        return Dependent(
            kind,
            name,
            "refusal",
            "writes to the table by its identity, not by its name: after the cutover that would "
            "be the retired table, which takes no writes",
            "let it write by name (a function: with a body in quotes; a rule: as a trigger), or "
            "drop it before the cutover and create it again after",
        )
    return Dependent(
        kind,
        name,
        "fine",
        "goes on reading the retired table, which is kept current; re-create it before contract",
    )
