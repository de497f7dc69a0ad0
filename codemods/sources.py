"""Where mappings come from: files that `compat` reads, or the database that stores them.

The only place beside `renames.from_mapping` that knows how `compat` keeps mappings.
"""

from __future__ import annotations

from collections.abc import Sequence

from codemods.renames import Names, OtherTable, from_mapping
from compat.connection import Connection, connect, user_errors
from compat.errors import CompatError
from compat.mapping import load
from compat.state import load_all

_COLUMNS = """
    SELECT n.nspname, c.relname, array_agg(a.attname::text)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'compat')
    GROUP BY 1, 2
"""


def names(mappings: Sequence[str], url: str | None) -> Names:
    """Return the names of some mappings.

    :param mappings: paths as `compat.mapping.load` takes them
    :param url: a database, whose stored mappings are taken if no path is given, and whose other
        tables help to tell to which table a bare column belongs
    :raises CompatError: no such mapping, or no such database
    """
    given = [from_mapping(load(source)) for source in mappings]
    others: tuple[OtherTable, ...] = ()
    if url is not None:
        with user_errors(), connect(url, purpose="codemod") as conn:
            given = given or [from_mapping(stored.mapping) for stored in load_all(conn)]
            others = _other_tables(conn)
        if not given:
            raise CompatError("the database holds no mapping", "give --mapping FILE")
    if not given:
        raise CompatError(
            "no mapping was given", "give --mapping FILE.json or FILE.py, or --url URL"
        )
    return Names(tuple(given), others)


def _other_tables(conn: Connection) -> tuple[OtherTable, ...]:
    return tuple(
        OtherTable(schema, name, frozenset(columns))
        for schema, name, columns in conn.execute(_COLUMNS).fetchall()
    )
