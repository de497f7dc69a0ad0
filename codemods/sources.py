"""Where mappings come from: files that `compat` reads, or the database that stores them.

The only place beside `renames.from_mapping` that knows how `compat` keeps mappings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from codemods.renames import Names, OtherTable, code_from_mapping, from_mapping
from codemods.settings import Settings
from compat.errors import CompatError
from compat.mapping import Mapping, load

if TYPE_CHECKING:
    from compat.connection import Connection

_COLUMNS = """
    SELECT n.nspname, c.relname, array_agg(a.attname::text)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'compat')
    GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Given:
    """Mappings, and what a database says beside them.

    :param others: the tables that no mapping is about
    :param server_version: as in 15, None without a database
    """

    mappings: tuple[Mapping, ...]
    others: tuple[OtherTable, ...] = ()
    server_version: int | None = None


def given(mappings: Sequence[str], url: str | None) -> Given:
    """Return some mappings.

    :param mappings: paths as `compat.mapping.load` takes them
    :param url: a database, whose stored mappings are taken if no path is given, and whose other
        tables help to tell to which table a bare column belongs
    :raises CompatError: no such mapping, or no such database
    """
    found = Given(tuple(load(source) for source in mappings))
    if url is not None:
        # Most runs need no database, and its driver takes a while to load.
        from compat.connection import connect, user_errors
        from compat.state import load_all

        with user_errors(), connect(url, purpose="codemod") as conn:
            stored = found.mappings or tuple(stored.mapping for stored in load_all(conn))
            found = Given(stored, _other_tables(conn), conn.info.server_version // 10_000)
        if not found.mappings:
            raise CompatError("the database holds no mapping", "give --mapping FILE")
    if not found.mappings:
        raise CompatError(
            "no mapping was given", "give --mapping FILE.json or FILE.py, or --url URL"
        )
    return found


def names(
    mappings: Sequence[str],
    url: str | None,
    *,
    outputs: Literal["legacy", "new"] = "legacy",
    settings: Settings | None = None,
) -> Names:
    """Return the names of some mappings, as `given` finds them.

    :param outputs: under which names statements give their results to the program
    :raises CompatError: no such mapping, or no such database
    """
    found = given(mappings, url)
    return Names(
        tuple(from_mapping(mapping) for mapping in found.mappings),
        found.others,
        outputs=outputs,
        code=tuple(code for mapping in found.mappings for code in code_from_mapping(mapping)),
        settings=settings or Settings(),
    )


def _other_tables(conn: Connection) -> tuple[OtherTable, ...]:
    return tuple(
        OtherTable(schema, name, frozenset(columns))
        for schema, name, columns in conn.execute(_COLUMNS).fetchall()
    )
