"""Indexes of the target that wait until the rows are there: dropped before a copy, built after it.

Only those that guard nothing: unique indexes and those of constraints stay. What is dropped is
noted in compat.deferred_index in the same transaction, so that a copy that dies is made good later.
"""

from __future__ import annotations

from compat import state
from compat.bridge import carrier_of
from compat.compile.source import parents
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import qualified
from compat.run.retry import LockPolicy, in_transaction
from compat.tables import Table


def deferrable(conn: Connection, mapping: Mapping) -> list[tuple[str, str]]:
    """Return name and definition of each index of the target tables that guards nothing.

    Left out is also what a definition does not say, or what cannot be built concurrently, and all
    of tables that hold rows of others, which somebody may be reading.
    """
    return conn.execute(
        "SELECT c.relname::text, pg_get_indexdef(c.oid)"
        " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid IN (SELECT to_regclass(t) FROM unnest(%s::text[]) AS t)"
        " AND NOT i.indisunique AND NOT i.indisexclusion"
        " AND NOT i.indisreplident AND NOT i.indisclustered AND i.indisvalid"
        " AND c.relkind = 'i' AND NOT c.relispartition AND c.reltablespace = 0"
        " AND obj_description(c.oid, 'pg_class') IS NULL AND NOT EXISTS ("
        "   SELECT FROM pg_catalog.pg_attribute AS a"
        "   WHERE a.attrelid = c.oid AND a.attstattarget >= 0)"
        " ORDER BY c.relname",
        [[table.sql for table in _own_tables(mapping)]],
    ).fetchall()


def _own_tables(mapping: Mapping) -> list[Table]:
    """Return the tables that nobody else fills; in the target's schema, as the notes have it."""
    if mapping.tag is not None or mapping.chosen_form == "reversed":
        return []
    shared = [place.table for place in parents(mapping)]
    schema = mapping.target.schema
    return [table for table in mapping.tables if table not in shared and table.schema == schema]


def defer(conn: Connection, mapping: Mapping, policy: LockPolicy) -> None:
    """Drop the deferrable indexes of the target, and note what is to be built again."""

    def work(conn: Connection) -> None:
        # What an index calls is named with its schema then, whoever builds it again.
        conn.execute("SELECT set_config('search_path', 'pg_catalog, pg_temp', true)")
        for name, definition in deferrable(conn, mapping):
            conn.execute(
                "INSERT INTO compat.deferred_index VALUES (%s, %s, %s)"
                # A build that was killed may have got as far as this index.
                " ON CONFLICT (mapping, name) DO UPDATE SET definition = EXCLUDED.definition",
                [mapping.name, name, definition],
            )
            conn.execute(f"DROP INDEX {qualified(mapping.target.schema, name)}")
            state.record(conn, mapping.name, "defer index", {"name": name})

    in_transaction(conn, work, policy, f"dropping indexes of {mapping.target.title}")


def build(conn: Connection, mapping: Mapping) -> None:
    """Build what was deferred, without keeping anybody from writing meanwhile."""
    for name, definition in conn.execute(
        "SELECT name, definition FROM compat.deferred_index WHERE mapping = %s ORDER BY name",
        [mapping.name],
    ).fetchall():
        index = qualified(carrier_of(mapping).schema, name)
        valid = conn.execute(
            "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = to_regclass(%s)",
            [index],
        ).fetchone()
        if valid == (False,):  # what a build that was killed leaves behind
            conn.execute(f"DROP INDEX CONCURRENTLY {index}")
        if valid != (True,):
            conn.execute(definition.replace(" INDEX ", " INDEX CONCURRENTLY ", 1))
        conn.execute(
            "DELETE FROM compat.deferred_index WHERE mapping = %s AND name = %s",
            [mapping.name, name],
        )
