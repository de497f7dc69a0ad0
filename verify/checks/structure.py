"""Structure: what stands in the catalogue against what the mapping compiles to.

View, columns, defaults, triggers, functions, owner, grants, comments, sequences: drift is named.
Indexes that the view cannot use any more are only noted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from compat import catalog
from compat.bridge import carrier_of
from compat.compile import bridge, horizon, install, lookups, policies, sync, view
from compat.compile.functions import bodies, triggers
from compat.compile.shaped import copy as shaped_copy
from compat.compile.shaped import numbers
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass
from compat.run import health
from compat.run.definitions import default_differences, view_differences
from compat.tables import Table
from verify import plans
from verify.context import Context, plural, shown
from verify.refusals import raise_if_lost
from verify.report import Finding, Result, does_not_hold, holds

NAME = "structure"

_SHARED = re.compile(
    r"(?:--[^\n]*\n|\s)*CREATE OR REPLACE FUNCTION (?P<name>compat\.\w+)\(.*?"
    r"AS (?P<tag>\$\w*\$)(?P<body>.*)(?P=tag)",
    re.DOTALL,
)
# pg_trigger.tgtype: row 1, before 2, insert 4, delete 8, update 16, truncate 32, instead 64
_EVENTS = 4 | 8 | 16 | 32
_SYNC = {
    "the trigger": (1 | 8 | 16,),
    "the insert trigger": (1 | 4, 4),
    "the truncate trigger": (32,),
}
_SYNC_THROUGH_VIEW = {"the trigger": (1 | 4 | 8 | 16,), "the truncate trigger": (32,)}
_REFUSALS = {2 | 4 | 8 | 16: "what others write there", 32: "a TRUNCATE"}
_INSTEAD = {"insert": 64 | 1 | 4, "update": 64 | 1 | 16, "delete": 64 | 1 | 8}
_BEFORE_WRITES = 2 | 8 | 16


def check(context: Context) -> Result:
    """Return whether everything that the mapping generates is in place and unchanged.

    :raises psycopg.Error: the catalogue or a relation may not be read
    """
    findings = list(_document(context))
    missing = list(_relations(context))
    findings += missing
    notes: list[str] = []
    if not missing:
        findings += _tables(context)
        findings += _columns(context)
        findings += _query(context, notes)
        findings += _triggers(context)
        if context.has_table:
            findings += _looks(context)
            findings += _sequences(context)
            findings += _guards(context)
            notes += _indexes(context)
    findings += _functions(context)
    findings += _shared_functions(context, notes)
    if not findings:
        return holds(
            NAME, "view, triggers and functions are as the mapping says", notes=tuple(notes)
        )
    subjects = ", ".join(dict.fromkeys(finding.subject for finding in findings))
    return does_not_hold(
        NAME,
        f"{plural(len(findings), 'deviation')}: {subjects}",
        tuple(findings),
        notes=tuple(notes),
    )


def _document(context: Context) -> Iterator[Finding]:
    stored, actual = context.stored.fingerprint, context.stored.stated.fingerprint
    if stored != actual:
        yield Finding(
            "fingerprint",
            "mapping document",
            "the stored document was changed by hand: its fingerprint is another",
            expected=stored,
            found=actual,
        )


def _relations(context: Context) -> Iterator[Finding]:
    mapping = context.mapping
    wanted = (
        (mapping.view_of.schema, context.view_name, "v", "a view"),
        *[(mapping.legacy.schema, context.physical_name, "rp", "a table")] * context.has_table,
        *((table.schema, table.name, "rp", "a table") for table in _carriers(mapping)),
    )
    for schema, name, kinds, what in wanted:
        relation = context.relation(schema, name)
        title = qualified(schema, name)
        if relation is None:
            yield Finding("relation", title, f"{title} does not exist; it should be {what}")
        elif relation.kind not in kinds:
            yield Finding("relation", title, f"{title} is not {what}")


def _carriers(mapping: Mapping) -> tuple[Table, ...]:
    """Return the tables that v2's rows are in, as they stand from expand to contract."""
    return (carrier_of(mapping), *mapping.tables[1:])


def _reflected(context: Context, schema: str, name: str) -> Table:
    relation = context.relation(schema, name)
    assert relation is not None, name
    return catalog.reflect(context.conn, relation)


def _tables(context: Context) -> Iterator[Finding]:
    """Yield what has changed in the tables since the mapping was made."""
    mapping = context.mapping
    targets = _carriers(mapping)
    legacy = [(mapping.legacy, context.physical_name)] * context.has_table
    for known, name in (*legacy, *((table, table.name) for table in targets)):
        actual = _reflected(context, known.schema, name)
        title = qualified(actual.schema, actual.name)
        for column in known.columns:
            now = actual.column(column.name)
            if now is None:
                yield Finding("table", title, f"{title} has lost the column {column.name!r}")
                continue
            whats = ["type", "nullable", "generated", "collation"]
            if known is mapping.legacy:  # the target's key gets and loses one on the way
                whats.append("default")
            for what in whats:
                before, after = getattr(column, what), getattr(now, what)
                if before != after:
                    yield Finding(
                        "table",
                        f"{title}.{ident(column.name)}",
                        f"{column.name} of {title}: {what} was {before}, is {after}",
                        expected=str(before),
                        found=str(after),
                    )
        for added in set(actual.column_names) - set(known.column_names):
            if known is mapping.legacy and context.stored.switching != "reversed":
                yield Finding(
                    "table", title, f"{title} has a column {added!r} that the mapping lacks"
                )
        held = {item.definition for item in actual.constraints}
        for item in known.constraints:
            if item.kind != "foreign_key" and item.definition not in held:
                yield Finding(
                    "constraint",
                    f"{title}.{ident(item.name)}",
                    f"{title} has lost the constraint {item.name}: {item.definition}",
                    expected=item.definition,
                )


def _columns(context: Context) -> Iterator[Finding]:
    mapping = context.facing.mapping
    actual = _reflected(context, mapping.legacy.schema, context.view_name)
    expected = mapping.legacy.column_names
    if actual.column_names != expected:
        yield Finding(
            "columns",
            context.stored.view_sql,
            "the view has other columns, or another order, than the legacy table",
            expected=", ".join(expected),
            found=", ".join(actual.column_names),
        )
    for lens in mapping.lenses:
        column, now = lens.legacy, actual.column(lens.legacy.name)
        if now is None:
            continue
        subject = f"{context.stored.view_sql}.{ident(column.name)}"
        for what in ("type", "collation"):
            before, after = getattr(column, what), getattr(now, what)
            if before != after:
                yield Finding(
                    what,
                    subject,
                    f"{column.name}: the {what} was {before or 'the default'}, is "
                    f"{after or 'the default'}: prepared statements and comparisons change",
                    expected=before,
                    found=after,
                )
    for difference in default_differences(context.mapping, actual):
        yield Finding(
            "default",
            f"{context.stored.view_sql}.{ident(difference.what)}",
            f"{difference.what}: the default was {difference.expected or 'none'}, is "
            f"{difference.found or 'none'}",
            expected=difference.expected,
            found=difference.found,
        )


def _query(context: Context, notes: list[str]) -> Iterator[Finding]:
    """Yield how the view's query differs from the compiled one, made as a temporary view."""
    try:
        differences = view_differences(context.conn, context.mapping, context.view_name)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        notes.append(f"the text of the view was not compared: {error.diag.message_primary}")
        return
    for difference in differences:
        before, after = difference.expected, difference.found
        yield Finding(
            "view",
            context.stored.view_sql,
            f"{difference.what} of the view is not what the mapping compiles to:\n"
            + _diff(before or "none", after or "none"),
            expected=before,
            found=after,
        )


@dataclass(frozen=True)
class _Trigger:
    """A trigger that should be there; `kinds` are the values of tgtype that it may have."""

    table: Table
    function: str
    kinds: tuple[int, ...]
    what: str = "the trigger"


def _triggers(context: Context) -> Iterator[Finding]:
    mapping = context.mapping
    physical = Table(mapping.legacy.schema, context.physical_name, ())
    shown_view = Table(mapping.view_of.schema, context.view_name, ())
    wanted = [(physical, "sync")]
    unwanted = [(table, "reverse") for table in mapping.tables]
    if context.is_cutover:
        wanted, unwanted = unwanted, wanted
    if not context.has_table:
        wanted = []
    kinds_by_name = _SYNC_THROUGH_VIEW if mapping.syncs_through_view else _SYNC
    expected = [
        _Trigger(table, mapping.function(purpose), kinds, what)
        for table, purpose in wanted
        for what, kinds in kinds_by_name.items()
    ]
    expected += [
        _Trigger(shown_view, mapping.function(purpose), (kind,))
        for purpose, kind in _INSTEAD.items()
        if mapping.chosen_form == "instead_of"
        or (purpose == "insert" and mapping.inserts_by_trigger)
    ]
    if mapping.chosen_form == "instead_of" and horizon.tells(mapping):
        expected.append(_Trigger(shown_view, horizon.FUNCTION, (_BEFORE_WRITES,)))
    for trigger in expected:
        yield from _trigger(context, trigger)
    for problem in health.lookup_problems(context.conn, mapping):
        yield Finding("trigger", mapping.target.sql, problem)
    for problem in health.bridge_problems(context.conn, mapping):
        yield Finding("trigger", mapping.target.sql, problem)
    for problem in health.number_problems(context.conn, context.stored):
        yield Finding("trigger", mapping.target.sql, problem)
    for table, purpose in unwanted:
        function = mapping.function(purpose)
        for name, *_ in _triggers_of(context, table, function, _EVENTS):
            subject = f"the trigger of {function} on {table.sql}"
            yield Finding("trigger", subject, f"{name} should not be there in this phase")
    of_view = triggers(view.create_view(mapping))
    known = {function for _, _, function in of_view}
    looked_at = {trigger.function for trigger in expected}
    for name, _, function in of_view:
        if function not in looked_at and not health.fires(context.conn, shown_view.sql, name):
            what = f"the trigger of {function} on {shown_view.sql} is missing or disabled"
            yield Finding("trigger", f"{shown_view.sql}.{ident(name)}", what)
    rows = context.conn.execute(
        "SELECT t.tgname, p.pronamespace::regnamespace::text, p.proname "
        "FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid "
        f"WHERE t.tgrelid = {regclass(shown_view.schema, shown_view.name)} AND NOT t.tgisinternal"
        # The legacy table's own, which the cutover has moved here, are the user's.
        " AND t.tgname NOT LIKE 'compat\\_before\\_%'"
    ).fetchall()
    for name, schema, function in rows:
        if qualified(schema, function) not in known:
            yield Finding(
                "trigger",
                f"{shown_view.sql}.{ident(name)}",
                f"the view has a trigger {name} that the mapping does not know",
            )


def _trigger(context: Context, trigger: _Trigger) -> Iterator[Finding]:
    subject = f"{trigger.what} of {trigger.function} on {trigger.table.sql}"
    events = trigger.kinds[0] & _EVENTS
    rows = _triggers_of(context, trigger.table, trigger.function, events)
    if not rows:
        yield Finding("trigger", subject, f"{subject} is missing")
    for name, kind, enabled, is_conditional in rows:
        if enabled not in ("O", "A"):
            state = "disabled" if enabled == "D" else "enabled for replicas only"
            what = trigger.what.removeprefix("the ")
            yield Finding("trigger", subject, f"{name}: {what} is {state}", found=enabled)
        if kind not in trigger.kinds or is_conditional:
            yield Finding(
                "trigger", subject, f"{name} does not fire for what it should (edited by hand)"
            )


def _triggers_of(
    context: Context, table: Table, function: str, events: int
) -> list[tuple[str, int, str, bool]]:
    """Return the triggers that call a function at any of some events.

    Name, tgtype, tgenabled, whether they have a condition.
    """
    return context.conn.execute(
        "SELECT tgname, tgtype::int, tgenabled::text, "
        "tgqual IS NOT NULL OR tgattr <> ''::pg_catalog.int2vector "
        "FROM pg_catalog.pg_trigger WHERE NOT tgisinternal "
        f"AND tgrelid = {regclass(table.schema, table.name)} AND tgfoid = "
        f"pg_catalog.to_regprocedure({literal(function + '()')}) "
        f"AND (tgtype::int & {events}) <> 0"
    ).fetchall()


def _guards(context: Context) -> Iterator[Finding]:
    """Yield what is missing of the triggers that keep others from writing to the passive table."""
    if context.is_cutover:
        table, refuses = Table(context.mapping.legacy.schema, context.physical_name, ()), "late"
    elif context.mapping.syncs_through_view:
        yield from _named_guards(context)
        return
    else:
        table, refuses = context.mapping.target, "early"
    function = f"compat.refuse_{refuses}_write"
    rows = context.conn.execute(
        "SELECT tgtype::int, tgenabled::text FROM pg_catalog.pg_trigger WHERE NOT tgisinternal "
        f"AND tgrelid = {regclass(table.schema, table.name)} "
        f"AND tgfoid = pg_catalog.to_regproc({literal(function)})"
    ).fetchall()
    fires = {kind for kind, enabled in rows if enabled in ("O", "A")}
    for kind, what in _REFUSALS.items():
        if kind not in fires:
            subject = f"the trigger of {function} on {table.sql}"
            state = "disabled" if kind in {found for found, _ in rows} else "missing"
            yield Finding("trigger", subject, f"{subject} is {state}: {what} would be lost")


def _named_guards(context: Context) -> Iterator[Finding]:
    """Yield the same for tables that others may share: each mapping has triggers of its own."""
    for name, table, function in triggers(sync.attach_forward(context.mapping)):
        if not function.startswith("compat.refuse_"):
            continue
        row = context.conn.execute(
            "SELECT tgenabled::text FROM pg_catalog.pg_trigger "
            f"WHERE tgrelid = pg_catalog.to_regclass({literal(table)}) AND tgname = {literal(name)}"
        ).fetchone()
        if row is None or row[0] not in ("O", "A"):
            subject = f"the trigger {name} on {table}"
            state = "missing" if row is None else "disabled"
            message = f"{subject} is {state}: what others write there would be lost"
            yield Finding("trigger", subject, message)


def _indexes(context: Context) -> Iterator[str]:
    """Yield the converted columns that the legacy table finds rows by, and the view does not.

    PostgreSQL says it: with sequential scans as a last resort, does the plan have a condition on
    an index?
    """
    mapping, conn = context.mapping, context.conn
    physical = regclass(mapping.legacy.schema, context.physical_name)
    rows = conn.execute(
        "SELECT DISTINCT a.attname::text, min(i.indexrelid::regclass::text) "
        "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a "
        "ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
        f"WHERE i.indrelid = {physical} AND i.indisvalid AND i.indpred IS NULL GROUP BY 1"
    ).fetchall()
    leading = dict(rows)
    for lens in mapping.lenses:
        name = lens.legacy.name
        if lens.converts and name in leading and not _finds_by_index(context, name):
            yield (
                f"no index of {mapping.target.sql} finds rows by {name} through the view, as "
                f"{leading[name]} did on the table"
            )


def _finds_by_index(context: Context, name: str) -> bool:
    conn = context.conn
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL enable_seqscan = off")
            column = ident(name)
            row = conn.execute(
                f"SELECT {column}::text FROM {context.stored.legacy_sql} "
                f"WHERE {column} IS NOT NULL LIMIT 1"
            ).fetchone()
            if row is None:
                return True
            query = f"SELECT FROM {context.stored.view_sql} WHERE {column} = {literal(row[0])}"
            return any("Index Cond" in node for node in plans.nodes(conn, query))
    except psycopg.Error as error:  # the checks that read rows will say so
        raise_if_lost(error)
        return True


def _shared_functions(context: Context, notes: list[str]) -> Iterator[Finding]:
    """Yield the functions of the schema `compat` that were edited: the generated ones call them."""
    conn = context.conn
    if conn.execute(install.installed()).fetchone() is None:
        notes.append("the schema compat is of another version: its functions were not compared")
        return
    rows = conn.execute(
        "SELECT 'compat.' || proname, prosrc FROM pg_catalog.pg_proc "
        "WHERE pronamespace = 'compat'::pg_catalog.regnamespace"
    ).fetchall()
    held: dict[str, list[str]] = {}
    for name, body in rows:
        held.setdefault(name, []).append(body)
    for match in filter(None, map(_SHARED.match, install.install())):
        name, body = match["name"], match["body"]
        if name not in held:
            yield Finding("function", name, f"the function {name} is missing")
        elif body not in held[name]:
            yield Finding(
                "function",
                name,
                f"the function {name} was edited by hand:\n" + _diff(body, held[name][0]),
                expected=body,
                found=held[name][0],
            )


def _functions(context: Context) -> Iterator[Finding]:
    """Yield which generated functions were edited: what guards against lost updates is in them."""
    mapping = context.mapping
    statements = view.create_view(mapping)
    if mapping.chosen_form == "reversed":
        statements += bridge.create(mapping)
    if context.has_table:
        statements += [*sync.create_forward(mapping), *sync.define_reverse(mapping)]
        statements += [*lookups.create(mapping), *bridge.create(mapping)]
        statements += shaped_copy.define(mapping) if mapping.copies_through_view else []
    statements += numbers.draw(mapping) if context.is_cutover else []
    statements += health.switching(context.stored)  # which may define some of them anew
    as_caller = {f"{mapping.function(purpose)}()" for purpose in policies.PURPOSES}
    is_ours = context.conn.execute(install.installed()).fetchone() is not None
    changed = "was edited by hand" if is_ours else "was edited, or generated by another version"
    for name, expected in bodies(statements).items():
        row: Any = context.conn.execute(
            "SELECT p.prosrc, p.prosecdef, array_to_string(p.proconfig, ', '), "
            "pg_catalog.pg_get_userbyid(p.proowner), pg_catalog.pg_get_userbyid(c.relowner), "
            "'search_path=' || compat.function_path(c.oid) "
            "FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_class c ON c.oid = "
            f"pg_catalog.to_regclass({literal(context.stored.legacy_sql)}) "
            f"WHERE p.oid = pg_catalog.to_regprocedure({literal(name)})"
        ).fetchone()
        if row is None:
            yield Finding("function", name, f"the function {name} is missing")
            continue
        body, is_definer, settings, owner, table_owner, path = row
        if body != expected:
            yield Finding(
                "function",
                name,
                f"the function {name} {changed}:\n" + _diff(expected, body),
                expected=expected,
                found=body,
            )
        if is_definer is (name in as_caller) or settings != path:
            rights = "INVOKER" if name in as_caller else "DEFINER"
            yield Finding(
                "function",
                name,
                f"the function {name} must be SECURITY {rights} with a fixed search_path",
                found=f"security definer: {is_definer}, settings: {settings}",
            )
        if table_owner is not None and owner != table_owner:
            yield Finding(
                "function",
                name,
                f"the function {name} belongs to {owner}, the legacy table to {table_owner}",
                expected=table_owner,
                found=owner,
            )


def _looks(context: Context) -> Iterator[Finding]:
    """Yield how the view looks other than the table; rights come with the name, at the cutover.

    Before it, the view must have the owner's, and may have those that the table gives as well: who
    verifies has to read it.
    """
    mapping = context.mapping
    table, shown_view = (
        _looks_of(context, name) for name in (context.physical_name, context.view_name)
    )
    most = _looks_at_cutover(context) if context.is_cutover else table
    least = most if context.is_cutover else _of_owner_only(context, table)
    view_sql = context.stored.view_sql
    yield from _look(view_sql, "owner", table["owner"], shown_view["owner"])
    yield from _look(view_sql, "comment", table["comment"], shown_view["comment"])
    yield from _grants(view_sql, least["grants"], most["grants"], shown_view["grants"])
    for name in mapping.legacy.column_names:
        before, after = table["columns"].get(name), shown_view["columns"].get(name)
        if before is None or after is None:
            continue  # reported as another column list
        subject = f"{view_sql}.{ident(name)}"
        yield from _look(subject, "comment", before["comment"], after["comment"])
        must, may = (looks["columns"][name]["grants"] for looks in (least, most))
        yield from _grants(subject, must, may, after["grants"])


def _looks_at_cutover(context: Context) -> dict[str, Any]:
    """Return what the legacy table looked like when the view took its name."""
    row = context.conn.execute(
        "SELECT compat.looks_here(looks, to_regclass(%s)) FROM compat.mapping WHERE name = %s",
        [context.stored.view_sql, context.mapping.name],
    ).fetchone()
    assert row is not None
    looks: dict[str, Any] = row[0]
    return looks


def _of_owner_only(context: Context, looks: dict[str, Any]) -> dict[str, Any]:
    """Return the looks without any rights but the owner's."""
    row = context.conn.execute("SELECT quote_ident(%s)", [looks["owner"]]).fetchone()
    assert row is not None

    def own(grants: Any) -> list[Any]:
        return [grant for grant in grants or () if grant[0] == row[0]]

    columns = {
        name: column | {"grants": own(column["grants"])}
        for name, column in looks["columns"].items()
    }
    return looks | {"grants": own(looks["grants"]), "columns": columns}


def _looks_of(context: Context, name: str) -> dict[str, Any]:
    relation = regclass(context.mapping.legacy.schema, name)
    row = context.conn.execute(f"SELECT compat.looks_of({relation})").fetchone()
    assert row is not None
    looks: dict[str, Any] = row[0]
    return looks


def _look(subject: str, what: str, before: str | None, after: str | None) -> Iterator[Finding]:
    if before != after:
        yield Finding(
            what,
            subject,
            f"{what}: {shown(before)} on the table, {shown(after)} on the view",
            expected=before,
            found=after,
        )


def _grants(subject: str, least: Any, most: Any, found: Any) -> Iterator[Finding]:
    """Yield which rights of the least are lost, and which are there that are more than the most."""
    must, may, held = ({tuple(grant) for grant in grants or ()} for grants in (least, most, found))
    for grants, problem in ((must - held, "lost"), (held - may, "in excess")):
        for grantee, privilege, _ in sorted(grants):
            yield Finding(
                "grant",
                subject,
                f"{privilege} to {grantee} is {problem} on the view",
                expected=privilege if problem == "lost" else None,
                found=None if problem == "lost" else privilege,
            )


def _sequences(context: Context) -> Iterator[Finding]:
    mapping = context.mapping
    for sequence in mapping.legacy.sequences:
        row = context.conn.execute(
            "SELECT pg_catalog.pg_get_serial_sequence(%s, %s)::regclass = %s::regclass",
            [mapping.legacy.sql, sequence.column, sequence.sql],
        ).fetchone()
        if row != (True,):
            yield Finding(
                "sequence",
                sequence.sql,
                f"pg_get_serial_sequence does not find {sequence.sql} for "
                f"{mapping.legacy.sql}.{ident(sequence.column)}",
            )


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "mapping", "database", lineterm="", n=1
    )
    return "\n".join(lines)
