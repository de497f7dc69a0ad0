"""A copy of view, triggers and target in a schema of its own, for what others must see committed.

Copied as they stand in the database, edits by hand included. Tables are UNLOGGED: not replicated.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace

from compat.bridge import bridge_of, carrier_of, is_bridge
from compat.compile import bridge, errors
from compat.compile.functions import TARGET, bodies
from compat.compile.source import matches, tagged
from compat.connection import Connection, connect, url_of
from compat.mapping import Mapping
from compat.names import dollar_quote, ident, idents, literal, qualified, regclass
from compat.rules import OLD
from compat.tables import Table
from verify.context import Context
from verify.probes.statements import Cells
from verify.probes.values import ordinary

_PREFIX = "compat_verify_"
_EVENTS = {4: "INSERT", 8: "DELETE", 16: "UPDATE"}  # bits of pg_trigger.tgtype
_VIEW, _BASE = "compat_verify_view", "compat_verify_base"
_IS_REFERENCED = "compat_verify.is_referenced"


class CannotCopy(Exception):
    """The view cannot be tried on a copy; the message says why."""


@dataclass(frozen=True)
class Scratch:
    """The copy; every connection to its database can use it until `opened` ends.

    :param rows: how many rows the copied target has
    :param asks_for_references: whether a trigger does another thing with rows that others refer to
    """

    url: str
    schema: str
    mapping: Mapping
    rows: int = 0
    asks_for_references: bool = False

    @property
    def view(self) -> str:
        """The copied view, quoted."""
        return qualified(self.schema, _VIEW)

    @property
    def target(self) -> Table:
        """The copied target table."""
        return replace(carrier_of(self.mapping), schema=self.schema)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The copies of all tables that a legacy row may be stored in, the target first."""
        others = self.mapping.tables[1:]
        return (self.target, *(replace(table, schema=self.schema) for table in others))

    def reset(self, conn: Connection) -> None:
        """Give the copied tables their first rows again, and commit."""
        with conn.transaction():
            for number, table in enumerate(self.tables):
                conn.execute(f"TRUNCATE {table.sql}")
                conn.execute(_insert(table, self._base(number)))

    def keep(self, conn: Connection) -> None:
        """Remember the rows of the copied tables as their first ones."""
        for number, table in enumerate(self.tables):
            conn.execute(f"CREATE UNLOGGED TABLE {self._base(number)} AS TABLE {table.sql}")

    def _base(self, number: int) -> str:
        return qualified(self.schema, f"{_BASE}_{number}")

    def pretend(self, conn: Connection, *, is_referenced: bool) -> None:
        """Tell the triggers in this session whether other rows refer to those of the copy."""
        setting = "on" if is_referenced else "off"
        conn.execute("SELECT pg_catalog.set_config(%s, %s, false)", [_IS_REFERENCED, setting])

    def check_apart(self, conn: Connection) -> None:
        """Make sure that an open transaction has written to nothing but the copy.

        A function edited by hand may name the real target in a way that we do not recognise.

        :raises CannotCopy: names the table; the caller must not commit then
        """
        row = conn.execute(
            "SELECT string_agg(DISTINCT c.oid::regclass::text, ', ') FROM pg_catalog.pg_locks l"
            " JOIN pg_catalog.pg_class c ON c.oid = l.relation"
            " WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'"
            " AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND c.relkind IN ('r', 'p')"
            " AND c.relnamespace <> pg_catalog.to_regnamespace(%s)",
            [ident(self.schema)],
        ).fetchone()
        if row is not None and row[0] is not None:
            raise CannotCopy(f"a trigger of the view also writes to {row[0]}: tried on no copy")


@contextmanager
def opened(context: Context, rows: int) -> Iterator[Scratch]:
    """Yield a copy with up to so many rows of the target, made up if it is empty.

    A session of its own waits in the server for the end of ours, whatever ends it, and then drops
    the copy: it goes also when this program is killed.

    :raises CannotCopy: no row could be made up, or the view has no column list to copy
    :raises psycopg.Error: the role may not create a schema, or not read what is copied
    """
    url, key = url_of(context.conn), secrets.randbits(62)
    schema = f"{_PREFIX}{key}"
    definition = _definition(context)
    with connect(url, purpose="verify copy") as conn, ThreadPoolExecutor(1) as pool:
        _drop_leftovers(conn)
        conn.execute("SELECT pg_catalog.pg_advisory_lock(%s)", [key])
        cleaner = pool.submit(_drop_at_the_end, url, schema, key)
        try:
            _await_waiting(conn, cleaner, key)
            asks = any(_asks(context.mapping) in text for _, _, text in definition.triggers)
            scratch = Scratch(url, schema, context.mapping, asks_for_references=asks)
            yield replace(scratch, rows=_create(conn, scratch, definition, rows))
        finally:
            if not conn.closed:
                conn.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [key])
            cleaner.result()


def _drop_at_the_end(url: str, schema: str, key: int) -> None:
    with connect(url, purpose="verify clean-up") as conn:
        for setting in ("statement_timeout", "lock_timeout", "client_connection_check_interval"):
            conn.execute(f"SET {setting} = 0")
        conn.execute("SET client_min_messages = warning")
        drop = f"DROP SCHEMA IF EXISTS {ident(schema)} CASCADE"
        body = f"BEGIN PERFORM pg_catalog.pg_advisory_lock({key}); {drop}; END"
        conn.execute(f"DO {dollar_quote(body)}")


def _await_waiting(conn: Connection, cleaner: Future[None], key: int) -> None:
    """Return when the session that cleans up stands in the queue for our lock."""
    while not cleaner.done():
        if conn.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory'"
            " AND NOT granted AND (classid::bigint << 32) + objid::bigint = %s)",
            [key],
        ).fetchone() == (True,):
            return
        wait([cleaner], timeout=0.005)
    cleaner.result()


def _drop_leftovers(conn: Connection) -> None:
    """Drop the copies of runs that not even the server survived."""
    conn.execute("SET client_min_messages = warning")
    for (schema,) in conn.execute(
        "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname ~ %s"
        " AND pg_catalog.pg_has_role(nspowner, 'USAGE')",
        [rf"^{_PREFIX}\d+$"],
    ).fetchall():
        with conn.transaction():
            key = int(schema.removeprefix(_PREFIX))
            if conn.execute("SELECT pg_try_advisory_xact_lock(%s)", [key]).fetchone() == (True,):
                conn.execute(f"DROP SCHEMA IF EXISTS {ident(schema)} CASCADE")


@dataclass(frozen=True)
class _Definition:
    """View and triggers as the catalogue has them.

    :param query: names the target without its schema
    :param triggers: by name, events and the function's definition from RETURNS on
    :param bridge: what the view reads the target through, where that carries a bridge
    """

    query: str
    triggers: tuple[tuple[str, str, str], ...]
    bridge: _BridgeDefinition | None = None


@dataclass(frozen=True)
class _BridgeDefinition:
    """The inner view of a bridge, and the triggers on the table that carries it.

    :param query: of the inner view, names the target without its schema
    :param triggers: each up to the name of its table, from there to that of its function, and the
        function's definition from RETURNS on
    """

    query: str
    marker: str
    triggers: tuple[tuple[str, str, str], ...]


def _definition(context: Context) -> _Definition:
    conn, mapping = context.conn, context.mapping
    view = regclass(mapping.legacy.schema, context.view_name)
    bridge = _bridge_definition(context) if is_bridge(context.stored.stated) else None
    path = "compat" if bridge is not None else mapping.target.schema
    triggers = conn.execute(
        "SELECT t.tgname, t.tgtype::int, pg_catalog.pg_get_functiondef(t.tgfoid)"
        f" FROM pg_catalog.pg_trigger t WHERE t.tgrelid = {view} AND NOT t.tgisinternal"
        " AND t.tgtype & 64 <> 0"
    ).fetchall()
    return _Definition(
        _query(context, view, path),
        tuple(
            (
                name,
                " OR ".join(word for bit, word in _EVENTS.items() if kind & bit),
                text.partition(" RETURNS trigger\n")[2],
            )
            for name, kind, text in triggers
        ),
        bridge,
    )


def _query(context: Context, view: str, path: str) -> str:
    """Return the query of a view, with the relations of one schema named without it."""
    with context.conn.transaction(force_rollback=True):
        context.conn.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [ident(path)])
        row = context.conn.execute(f"SELECT pg_catalog.pg_get_viewdef({view})").fetchone()
    assert row is not None
    query: str = row[0]
    return query


def _bridge_definition(context: Context) -> _BridgeDefinition:
    mapping = context.stored.stated
    base = bridge_of(mapping).base
    inner = regclass("compat", bridge.inner_name(mapping))
    functions = ", ".join(map(literal, bodies(bridge.define(mapping))))
    rows = context.conn.execute(
        "SELECT pg_catalog.pg_get_triggerdef(t.oid),"
        " pg_catalog.format(' ON %I.%I ', n.nspname, c.relname),"
        " pg_catalog.pg_get_functiondef(t.tgfoid)"
        " FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.oid = {regclass(base.schema, base.name)}"
        " AND t.tgfoid = ANY (SELECT pg_catalog.to_regprocedure(f)"
        f" FROM unnest(ARRAY[{functions}]) AS f)"
    ).fetchall()
    triggers = []
    for definition, place, function in rows:
        head, _, tail = definition.partition(place)
        condition = tail.rpartition(" EXECUTE FUNCTION ")[0]
        triggers.append((head, condition, function.partition(" RETURNS trigger\n")[2]))
    marker = bridge_of(mapping).marker.name
    return _BridgeDefinition(_query(context, inner, base.schema), marker, tuple(triggers))


def _create(conn: Connection, scratch: Scratch, definition: _Definition, rows: int) -> int:
    """Make the copy, commit it, and return how many rows it has."""
    real = scratch.mapping.target
    copies = dict(zip(scratch.mapping.tables, scratch.tables, strict=True))
    if len({table.name for table in copies}) < len(copies):
        raise CannotCopy("two of its tables have the same name in different schemas")
    with conn.transaction():
        conn.execute(f"CREATE SCHEMA {ident(scratch.schema)}")
        for original, copy in copies.items():
            conn.execute(
                f"CREATE UNLOGGED TABLE {copy.sql} (LIKE {original.sql} INCLUDING ALL"
                " EXCLUDING COMMENTS EXCLUDING STATISTICS)"
            )
        path = f"{ident(scratch.schema)}, {ident(real.schema)}"
        conn.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [path])
        if definition.bridge is not None:
            _create_bridge(conn, scratch, definition.bridge)
        if scratch.asks_for_references:
            conn.execute(_define_references(scratch))
        query = definition.query
        for original, copy in list(copies.items())[1:]:
            query = _redirected(conn, query, original, copy)
        conn.execute(f"CREATE VIEW {scratch.view} AS {query}")
        for number, (name, events, text) in enumerate(definition.triggers):
            function = qualified(scratch.schema, f"trigger_{number}")
            body = text.replace(_asks(scratch.mapping), f"{_references(scratch)}(OLD)")
            for original, copy in copies.items():
                body = _redirected(conn, body, original, copy)
            conn.execute(f"CREATE FUNCTION {function}() RETURNS trigger\n{body}")
            conn.execute(
                f"CREATE TRIGGER {ident(name)} INSTEAD OF {events} ON {scratch.view}"
                f" FOR EACH ROW EXECUTE FUNCTION {function}()"
            )
        copied = _copy_rows(conn, scratch, rows)
        if not copied:
            _make_up_a_row(conn, scratch)
        _advance_identities(conn, scratch)
        scratch.keep(conn)
        scratch.check_apart(conn)
    return copied or 1


def _copy_rows(conn: Connection, scratch: Scratch, rows: int) -> int:
    """Copy some rows of the target or the choices, and what else they consist of."""
    mapping, copied = scratch.mapping, 0
    whole = [mapping.target, *(choice.table for choice in mapping.choices)]
    where = "" if mapping.tag is None else f" AS t WHERE {tagged(mapping)}"
    for original in whole:
        copy = replace(original, schema=scratch.schema)
        copy = scratch.target if original is mapping.target else copy
        copied += conn.execute(f"{_insert(copy, original.sql)}{where} LIMIT {rows:d}").rowcount
    copied += _copy_lacking_rows(conn, scratch)
    for place in mapping.places[1:]:
        copy = replace(place.table, schema=scratch.schema)
        belongs = f"SELECT FROM {scratch.target.sql} AS t WHERE {matches(place, TARGET)}"
        conn.execute(
            f"{_insert(copy, place.table.sql)} AS {place.row.name} WHERE EXISTS ({belongs})"
        )
    return copied


def _copy_lacking_rows(conn: Connection, scratch: Scratch) -> int:
    """Copy one row more of the target for each part that there is not of every row."""
    mapping, copied = scratch.mapping, 0
    key = ident(mapping.target_key[0])
    for place in mapping.places[1:]:
        if place.part is None or not place.part.may_lack:
            continue
        copied += conn.execute(
            f"{_insert(scratch.target, mapping.target.sql)} AS {TARGET.name} WHERE NOT EXISTS "
            f"(SELECT FROM {place.table.sql} AS {place.row.name} WHERE {matches(place, TARGET)})"
            f" AND {tagged(mapping) or 'true'} AND NOT EXISTS (SELECT FROM {scratch.target.sql}"
            f" AS c WHERE c.{key} = {TARGET.name}.{key}) LIMIT 1"
        ).rowcount
    return copied


def _advance_identities(conn: Connection, scratch: Scratch) -> None:
    """Let the copies, whose sequences are their own, number new rows after those that they have."""
    for table in scratch.tables:
        for column in table.columns:
            if column.identity is not None:
                highest = f"pg_catalog.max({ident(column.name)})"
                conn.execute(
                    "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence("
                    f"{literal(table.sql)}, {literal(column.name)})::regclass, {highest})"
                    f" FROM {table.sql} HAVING {highest} > 0"
                )


def _create_bridge(conn: Connection, scratch: Scratch, definition: _BridgeDefinition) -> None:
    inner = qualified(scratch.schema, bridge.inner_name(scratch.mapping))
    conn.execute(f"CREATE VIEW {inner} AS {definition.query}")
    conn.execute(f"ALTER VIEW {inner} ALTER COLUMN {ident(definition.marker)} SET DEFAULT true")
    for number, (head, condition, text) in enumerate(definition.triggers):
        function = qualified(scratch.schema, f"bridge_{number}")
        conn.execute(f"CREATE FUNCTION {function}() RETURNS trigger\n{text}")
        conn.execute(f"{head} ON {scratch.target.sql} {condition} EXECUTE FUNCTION {function}()")


def _asks(mapping: Mapping) -> str:
    """Return the call by which a trigger asks whether other tables refer to the row."""
    return errors.is_referenced(mapping, OLD)


def _references(scratch: Scratch) -> str:
    return qualified(scratch.schema, "is_referenced")


def _define_references(scratch: Scratch) -> str:
    """Return the statement that makes what answers in its place: as `pretend` says."""
    answer = f"pg_catalog.current_setting({literal(_IS_REFERENCED)}, true) = 'on'"
    return (
        f"CREATE FUNCTION {_references(scratch)}(given anyelement) RETURNS boolean LANGUAGE sql"
        f" STABLE AS {dollar_quote(f'SELECT {answer}')}"
    )


def _insert(target: Table, source: str) -> str:
    columns = idents([column.name for column in target.columns if column.generated is None])
    return (
        f"INSERT INTO {target.sql} ({columns}) OVERRIDING SYSTEM VALUE"
        f" SELECT {columns} FROM {source}"
    )


def _redirected(conn: Connection, text: str, real: Table, target: Table) -> str:
    """Return a function's text with the copy in place of the target, as we or others quote it."""
    row = conn.execute(
        "SELECT pg_catalog.format('%%I.%%I', %s::text, %s::text)", [real.schema, real.name]
    ).fetchone()
    assert row is not None
    spellings = "|".join(map(re.escape, (real.sql, row[0])))
    return re.sub(rf'(?<![\w"$.])(?:{spellings})(?![\w"$])', lambda _: target.sql, text)


def _make_up_a_row(conn: Connection, scratch: Scratch) -> None:
    row = {
        lens.legacy.name: ordinary(lens)
        for lens in scratch.mapping.lenses
        if not lens.legacy.nullable and lens.legacy.generated is None
    }
    values = ", ".join(literal(value) for value in row.values())
    made = conn.execute(
        f"INSERT INTO {scratch.view} ({idents(list(row))}) VALUES ({values})"
    ).rowcount
    if not made:
        raise CannotCopy("the table is empty, and its view takes no row")


def keys_of_rows(conn: Connection, scratch: Scratch, limit: int) -> list[Cells]:
    """Return the legacy keys of rows of the copy, at least of one."""
    names = scratch.mapping.legacy.row_key
    columns = ", ".join(f"{ident(name)}::text" for name in names)
    rows = conn.execute(f"SELECT {columns} FROM {scratch.view} LIMIT {limit:d}").fetchall()
    if not rows:
        raise CannotCopy("the view shows no row of its target")
    return [dict(zip(names, row, strict=True)) for row in rows]
