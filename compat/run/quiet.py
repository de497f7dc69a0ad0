"""The session of a copy: it may write to targets, and sets off nobody's triggers.

In the form `reversed` a copy writes to the legacy table itself. To its triggers that would look as
if somebody had changed the rows: they would date them anew, or note a change that there was not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from compat import state
from compat.compile import copy as compiled
from compat.connection import Connection
from compat.errors import CompatError
from compat.mapping import Mapping


@contextmanager
def copying(conn: Connection, mapping: Mapping) -> Iterator[None]:
    """Let a session write as the copy does.

    :raises CompatError: the role may not keep triggers of others from being set off; names them
    """
    conn.execute(compiled.allow_writes())
    if mapping.chosen_form == "reversed":  # and the legacy table that is filled may be retired
        conn.execute(compiled.allow_late_writes())
    disturbed = disturbed_triggers(conn, mapping)
    if not disturbed:
        yield
        return
    try:
        conn.execute("SET session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        raise CompatError(
            f"filling the new columns of {mapping.legacy.title} would set off its triggers "
            f"({', '.join(disturbed)})",
            "copy as a superuser, or GRANT SET ON PARAMETER session_replication_role to this role "
            "(PostgreSQL 15 and later)",
        ) from None
    try:
        yield
    finally:
        if not conn.broken:
            conn.execute("RESET session_replication_role")


def disturbed_triggers(conn: Connection, mapping: Mapping) -> tuple[str, ...]:
    """Return the triggers on UPDATE, of others, of a table that a copy writes beside its clients.

    Without those for certain columns: the copy writes none that they know. What it writes to the
    target after the cutover, the reverse sync would take on to the retired table, with all columns.
    """
    if mapping.chosen_form != "reversed":
        return ()
    filled, retired = mapping.legacy.sql, state.load(conn, mapping.name).mapping.retired
    rows = conn.execute(
        "SELECT t.tgname::text FROM pg_catalog.pg_trigger t"
        " JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid"
        " WHERE (t.tgrelid = to_regclass(%(filled)s) AND t.tgattr = ''::int2vector"
        "        OR t.tgrelid = to_regclass(%(retired)s) AND %(filled)s <> %(retired)s)"
        " AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
        " AND t.tgtype::integer & 16 <> 0"
        " AND p.pronamespace <> 'compat'::regnamespace ORDER BY 1",
        {"filled": filled, "retired": retired},
    ).fetchall()
    return tuple(name for (name,) in rows)
