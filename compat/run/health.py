"""What is wrong with a migration: the database compared with what its phase and mapping say.

Cheap enough for every `compat status`; `compat-verify` compares rows and behaviour as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import md5

from compat import catalog
from compat.compile import bridge, lookups, swap, sync, view
from compat.compile.functions import bodies, triggers
from compat.compile.publish import publish
from compat.compile.shaped import numbers
from compat.compile.switch import WAYS
from compat.connection import Connection
from compat.mapping import Mapping
from compat.state import BEFORE_CUTOVER, Stored


def problems(conn: Connection, stored: Stored) -> tuple[str, ...]:
    """Return one sentence for each thing that is not as it must be; none when all is well."""
    found = list(_relations(conn, stored))
    if stored.fingerprint != stored.stated.fingerprint:
        found.append("the stored mapping was changed by hand: its fingerprint is another")
    if stored.phase == "contracted":
        return (*found, *_leftovers(conn, stored.mapping), *number_problems(conn, stored))
    return (
        *found,
        *_owners(conn, stored),
        *definition_problems(conn, stored),
        *_indexes(conn, stored),
    )


def definition_problems(conn: Connection, stored: Stored) -> tuple[str, ...]:
    """Return one sentence for each trigger or function that is not as the mapping says."""
    if stored.phase == "published":
        return (*_view_triggers(conn, stored), *_functions(conn, stored))
    return (
        *_sync_triggers(conn, stored),
        *_switch_triggers(conn, stored),
        *_guard(conn, stored),
        *_view_triggers(conn, stored),
        *lookup_problems(conn, stored.mapping),
        *bridge_problems(conn, stored.mapping),
        *number_problems(conn, stored),
        *_functions(conn, stored),
    )


def _relations(conn: Connection, stored: Stored) -> Iterator[str]:
    mapping, schema = stored.mapping, stored.mapping.legacy.schema
    wanted = [(table.schema, table.name, "table") for table in mapping.tables]
    unwanted: list[str] = []
    if mapping.chosen_form == "reversed":
        schema, wanted, unwanted = _reversed_relations(stored)
    elif stored.phase == "cutover":
        wanted += [(schema, mapping.legacy.name, "view"), (schema, mapping.retired_name, "table")]
        unwanted += [mapping.standby_name]
    elif stored.phase == "published":
        wanted += [(schema, mapping.legacy.name, "view")]
    elif stored.phase in BEFORE_CUTOVER:
        wanted += [(schema, mapping.legacy.name, "table"), (schema, mapping.standby_name, "view")]
        unwanted += [mapping.retired_name]
    kinds = {"r": "table", "p": "table", "v": "view"}
    for where, name, kind in wanted:
        relation = catalog.find_exact(conn, where, name)
        if relation is None:
            yield f"{where}.{name} is missing"
        elif stored.phase == "contracted" and relation.kind == "v":
            continue  # replaced by a later version since
        elif kinds.get(relation.kind) != kind:
            yield f"{where}.{name} is not a {kind}"
    for name in unwanted:
        if catalog.find_exact(conn, schema, name) is not None:
            yield f"{schema}.{name} is in the way: the next step needs the name"


def _reversed_relations(
    stored: Stored,
) -> tuple[str, list[tuple[str, str, str]], list[str]]:
    """Return the schema of v2, what must be there, and which of its names must be free."""
    mapping = stored.mapping
    legacy, target = mapping.legacy, mapping.target
    table, view = target.name, mapping.standby_name
    if stored.phase == "cutover":
        table, view = mapping.aside_name, target.name
    wanted = [(legacy.schema, legacy.name, "table"), (target.schema, table, "table")]
    free = mapping.standby_name if stored.phase == "cutover" else mapping.aside_name
    return target.schema, [*wanted, (target.schema, view, "view")], [free]


def _owners(conn: Connection, stored: Stored) -> Iterator[str]:
    """Everything that serves a migration works with one owner's rights: is there only one?"""
    names = [stored.legacy_sql, *(table.sql for table in stored.mapping.tables)]
    if stored.mapping.chosen_form == "reversed":  # the target stands aside
        names = [stored.legacy_sql]
    if stored.phase == "cutover":  # before, it is handed over by the cutover
        names.append(stored.view_sql)
    rows = conn.execute(
        "SELECT pg_get_userbyid(c.relowner), string_agg(c.oid::regclass::text, ', ' ORDER BY n)"
        " FROM unnest(%s::text[]) WITH ORDINALITY AS given(name, n)"
        " JOIN pg_catalog.pg_class c ON c.oid = to_regclass(name) GROUP BY 1 ORDER BY min(n)",
        [names],
    ).fetchall()
    if len(rows) > 1:
        whose = "; ".join(
            f"{relations} belong{'s' * (',' not in relations)} to {owner}"
            for owner, relations in rows
        )
        yield f"not all have the same owner: {whose}"


def _leftovers(conn: Connection, mapping: Mapping) -> Iterator[str]:
    """Yield what a contract must have removed."""
    for name in (mapping.retired_name, mapping.standby_name):
        if catalog.find_exact(conn, mapping.legacy.schema, name) is not None:
            yield f"{mapping.legacy.schema}.{name} is left over"
    for name in bodies(_generated(mapping)):
        row = conn.execute("SELECT to_regprocedure(%s)", [name]).fetchone()
        if row != (None,):
            yield f"the function {name} is left over"


def _sync_triggers(conn: Connection, stored: Stored) -> Iterator[str]:
    """Without the sync the two tables part silently: are its triggers there, and on?"""
    mapping = stored.mapping
    if mapping.chosen_form == "reversed":
        return  # there is one table, see bridge_problems()
    attach = sync.attach_reverse if stored.phase == "cutover" else sync.attach_forward
    off = {table for name, table, _ in triggers(attach(mapping)) if not fires(conn, table, name)}
    for table in (mapping.legacy, *mapping.tables):
        if table.sql not in off:
            continue
        if stored.phase != "cutover" and table is not mapping.legacy:
            yield _unguarded(table.title)
        else:
            yield (
                f"the sync triggers on {table.title} are missing or disabled: writes do not pass"
            )


def _switch_triggers(conn: Connection, stored: Stored) -> Iterator[str]:
    """While a switch is under way, what is written must reach the other form as well."""
    for name, table, _ in triggers(switching(stored)):
        if not fires(conn, table, name):
            yield (
                f"the trigger {name} on {table} is missing or disabled: the form "
                f"{stored.switching} would lack what is written; take the switch back"
            )


def switching(stored: Stored) -> list[str]:
    """Return the statements with which a switch that is under way has begun."""
    if stored.switching is None:
        return []
    way = WAYS[stored.mapping.chosen_form, stored.switching]
    assert way.copied is not None
    return way.copied.begin(stored.mapping, replace(stored.mapping, form=stored.switching))


def _guard(conn: Connection, stored: Stored) -> Iterator[str]:
    """After the cutover nobody but the sync may write to the retired table: is that refused?"""
    if stored.phase != "cutover" or stored.mapping.chosen_form == "reversed":
        return
    row = conn.execute(
        "SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = to_regclass(%s)"
        " AND tgenabled IN ('O', 'A') AND tgfoid = to_regproc('compat.refuse_late_write')",
        [stored.mapping.retired],
    ).fetchone()
    if row != (2,):
        yield _unguarded(f"{stored.mapping.legacy.schema}.{stored.mapping.retired_name}")


def _unguarded(title: str) -> str:
    return (
        f"{title} is not guarded: its trigger is missing or disabled, and what is written there "
        "directly would be lost"
    )


def _view_triggers(conn: Connection, stored: Stored) -> Iterator[str]:
    for name, _, function in triggers(view.create_view(stored.mapping)):
        if not fires(conn, stored.view_sql, name):
            yield f"the trigger of {function} on {stored.view_sql} is missing or disabled"


def bridge_problems(conn: Connection, mapping: Mapping) -> Iterator[str]:
    """Yield the triggers that are not there, or off, by which both shapes of a row keep in step."""
    for name, table, _ in triggers(bridge.create(mapping)):
        if not fires(conn, table, name):
            yield (
                f"the trigger {name} on {table} is missing or disabled: what is written in one "
                "shape does not show in the other"
            )


def lookup_problems(conn: Connection, mapping: Mapping) -> Iterator[str]:
    """Yield the triggers that are not there, or off, by which kept legacy numbers stay right."""
    for name, table, _ in triggers(lookups.create(mapping)):
        if not fires(conn, table, name):
            yield (
                f"the trigger {name} on {table} is missing or disabled: legacy clients would see "
                "another parent than v2"
            )


def number_problems(conn: Connection, stored: Stored) -> Iterator[str]:
    """Yield the triggers that are not there, or off, that draw legacy keys in a shared target."""
    if stored.phase in BEFORE_CUTOVER or stored.phase == "published":
        return
    for name, table, _ in triggers(numbers.draw(stored.mapping)):
        if _is_table(conn, table) and not fires(conn, table, name):
            yield (
                f"the trigger {name} on {table} is missing or disabled: rows that v2 inserts get "
                "no legacy key"
            )


def _is_table(conn: Connection, name: str) -> bool:
    """Return whether a relation is one: a target may have been replaced by a later version."""
    row = conn.execute(
        "SELECT FROM pg_catalog.pg_class WHERE oid = to_regclass(%s) AND relkind IN ('r', 'p')",
        [name],
    )
    return bool(row.rowcount)


def fires(conn: Connection, table: str, name: str) -> bool:
    """Return whether a trigger is there and enabled; True where its table is not.

    :param table: its name as SQL
    """
    row = conn.execute(
        "SELECT to_regclass(%(table)s) IS NULL OR EXISTS ("
        "  SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = to_regclass(%(table)s)"
        "  AND tgname = %(name)s AND tgenabled IN ('O', 'A'))",
        {"table": table, "name": name},
    ).fetchone()
    return row == (True,)


def _functions(conn: Connection, stored: Stored) -> Iterator[str]:
    published = stored.phase == "published"
    generated = publish(stored.mapping) if published else _generated(stored.mapping)
    generated += switching(stored)  # which may define some of them anew
    if stored.phase == "cutover":
        generated += numbers.draw(stored.mapping)
    for name, body in bodies(generated).items():
        row = conn.execute(
            "SELECT md5(prosrc) FROM pg_catalog.pg_proc WHERE oid = to_regprocedure(%s)",
            [name],
        ).fetchone()
        if row is None:
            yield f"the function {name} is missing"
        elif row[0] != md5(body.encode(), usedforsecurity=False).hexdigest():
            yield (
                f"the function {name} is not what the mapping compiles to: it was edited, or is "
                "of another version (compat-verify shows the difference)"
            )


def _generated(mapping: Mapping) -> list[str]:
    return [*swap.create_sync(mapping), *swap.create_compat_view(mapping)]


def _indexes(conn: Connection, stored: Stored) -> Iterator[str]:
    rows = conn.execute(
        "SELECT indexrelid::regclass::text, indrelid::regclass::text FROM pg_catalog.pg_index i"
        " WHERE NOT indisvalid AND indrelid IN (SELECT to_regclass(t) FROM unnest(%s::text[]) AS t)"
        " AND NOT EXISTS ("
        "  SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = indexrelid)"
        " ORDER BY 1",
        [[stored.legacy_sql, *(table.sql for table in stored.mapping.tables)]],
    )
    for name, table in rows:
        yield f"the index {name} on {table} is invalid: a build of it was interrupted; drop it"


def not_validated(conn: Connection, mapping: Mapping) -> tuple[str, ...]:
    """Return the constraints of the target tables that old rows were not checked against.

    Without the twins of foreign keys (of other migrations, too): those wait for a contract.
    """
    rows = conn.execute(
        "SELECT c.conrelid::regclass::text || '.' || quote_ident(c.conname)"
        " FROM pg_catalog.pg_constraint c WHERE NOT c.convalidated"
        " AND c.conrelid IN (SELECT to_regclass(t) FROM unnest(%s::text[]) AS t)"
        " AND NOT EXISTS (SELECT FROM compat.foreign_key f"
        "  WHERE f.referencing = c.conrelid AND f.twin_name = c.conname) ORDER BY 1",
        [[table.sql for table in mapping.tables]],
    ).fetchall()
    return tuple(row[0] for row in rows)
