"""What else in a database hangs on a legacy table, and what a cutover does to it.

What means the table by its name means the view afterwards. Views, rules, functions with a SQL body
and policies mean it by its identity: the cutover defines them again, so that they follow the name.
What cannot follow (materialised views, row types, publications) goes on meaning the retired table:
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
from compat.names import derive, ident, idents, qualified
from compat.tables import Column

Verdict = Literal["fine", "warning", "refusal"]

_FOLLOWS = "follows the name to the view at the cutover, and back at a rollback"
_STAYS = "goes on reading the retired table, which is kept current"
_NOT_OURS = "this role may not define it again"


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
                f"{_STAYS}; it is materialised: create it again before contract",
            )
            continue
        obstacle = _obstacle(conn, mapping, relation, oid) if is_ours else _NOT_OURS
        if obstacle is None:
            yield Dependent("view", name, "fine", _FOLLOWS)
        elif takes_writes:
            yield Dependent(
                "view",
                name,
                "warning",
                f"{_STAYS} ({obstacle}); what is written through it is refused from the cutover on",
                "if anybody writes through it, create it again after the cutover",
            )
        else:
            what = f"{_STAYS} ({obstacle}); create it again before contract"
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


def _rules(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
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
            yield _by_identity(conn, mapping, relation, "rule", name, text=text, can_follow=is_ours)


def _functions(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
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
        yield _by_identity(
            conn, mapping, relation, "function", name, text=body, can_follow=can_follow
        )


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


def _triggers(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    # tgtype: 1 a row, 2 before it, 32 TRUNCATE.
    rows = conn.execute(
        "SELECT quote_ident(t.tgname), t.tgtype & 1 = 1, t.tgtype & 2 = 2, t.tgtype & 32 = 32,"
        " m.trigger IS NOT NULL, t.tgenabled = 'D', p.prosrc ~* '\\mcurrent_(user|role)\\M'"
        " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
        " LEFT JOIN compat.movable_triggers(%(oid)s) m ON m.trigger = t.oid"
        " WHERE t.tgrelid = %(oid)s AND NOT t.tgisinternal AND t.tgname NOT LIKE '00\\_compat%%'"
        " ORDER BY 1",
        {"oid": relation.oid},
    ).fetchall()
    fires = "fires on the retired table until contract, with its owner's rights"
    for name, of_row, is_before, on_truncate, is_movable, is_off, asks_who in rows:
        if is_off:
            yield Dependent("trigger", name, "fine", "is off")
        elif is_movable and mapping.chosen_form == "instead_of":
            yield Dependent(
                "trigger",
                name,
                "fine",
                "moves to the view at the cutover, and back at a rollback; does not fire for what "
                "is written to the target",
            )
        elif of_row and is_before:
            yield Dependent(
                "trigger",
                name,
                "warning",
                f"{fires}: a row that it changes is changed there only",
                "if it changes rows, move it to the target before the cutover",
            )
        elif not of_row and not on_truncate:
            yield Dependent(
                "trigger",
                name,
                "warning",
                f"{fires}, once for each row that changes instead of once for a statement",
                "let it count rows, or make one for the target and drop it before the cutover",
            )
        elif asks_who:
            yield Dependent(
                "trigger",
                name,
                "warning",
                f"{fires}: current_user is the owner there",
                "let it use session_user, or make one for the target",
            )
        else:
            yield Dependent(
                "trigger", name, "fine", f"{fires}; move it to the target if v2 needs it"
            )


def _policies(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
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
        yield _by_identity(conn, mapping, relation, "policy", name, text=text, can_follow=is_ours)


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


def _statistics(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
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


def _relatives(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
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


def _event_triggers(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    for (name,) in conn.execute(
        "SELECT quote_ident(evtname) FROM pg_event_trigger WHERE evtenabled <> 'D'"
        " AND evtevent <> 'login' ORDER BY 1"
    ):
        yield Dependent("event trigger", name, "fine", "fires for the commands of each step")


def _labels(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
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
    "statistics": _statistics,
    "inheritance": _relatives,
    "event trigger": _event_triggers,
    "security label": _labels,
}


def _by_identity(
    conn: Connection,
    mapping: Mapping,
    relation: catalog.Relation,
    kind: str,
    name: str,
    *,
    text: str,
    can_follow: bool,
) -> Dependent:
    """Return the verdict over something that means the table by its identity.

    :param text: as PostgreSQL writes it
    :param can_follow: whether the cutover can define it again
    """
    row = conn.execute("SELECT %s::oid::regclass::text", [relation.oid]).fetchone()
    assert row is not None
    writing = r"\b(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO)\s+(ONLY\s+)?"
    writes = re.search(rf"{writing}{re.escape(row[0])}(?![\w$.\"])", text)
    if can_follow and relation.name == mapping.legacy.name:
        if writes and "ON CONFLICT" in text and mapping.chosen_form == "instead_of":
            return Dependent(
                kind,
                name,
                "refusal",
                "follows the name to the view, which takes no ON CONFLICT in this form",
                "let it handle 23505 instead, or choose another form (compat plan)",
            )
        return Dependent(kind, name, "fine", _FOLLOWS)
    if writes:
        return Dependent(
            kind,
            name,
            "refusal",
            "writes to the table by its identity, not by its name: after the cutover that would "
            "be the retired table, which takes no writes",
            "run this as its owner; or let it write by name (a function: with a body in quotes; a "
            "rule: as a trigger); or drop it before the cutover and create it again after",
        )
    return Dependent(kind, name, "fine", f"{_STAYS}; create it again before contract")
