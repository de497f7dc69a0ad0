"""What the database holds of a mapping's view, triggers and functions, against what it compiles to.

PostgreSQL rewrites the query of a view when it stores it, so two of them are compared as it writes
them out: the view's own, and that of a temporary view made for the moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from compat import catalog
from compat.compile import view
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import ident, literal, regclass
from compat.run import health
from compat.state import Stored
from compat.tables import Table

_MODEL = "compat_verify_model"


@dataclass(frozen=True)
class Difference:
    """A part of a view that is not what the mapping says, as PostgreSQL writes both.

    :param what: the part; of a default, the name of its column
    """

    what: str
    expected: str | None
    found: str | None


def drift(conn: Connection, stored: Stored) -> tuple[str, ...]:
    """Return one sentence for each definition that `op.repair_compat_view` would make anew."""
    mapping, is_cutover = stored.mapping, stored.phase == "cutover"
    name = mapping.view_of.name if is_cutover else mapping.standby_name
    relation = catalog.find_exact(conn, mapping.view_of.schema, name)
    if relation is None:
        missing = (f"the view {stored.view_sql} is missing",)
        return missing + health.definition_problems(conn, stored)
    parts = [
        f"the default of {difference.what}"
        for difference in default_differences(mapping, catalog.reflect(conn, relation))
    ]
    # Where this role may not make a temporary view, the rest is compared.
    with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
        parts += [difference.what for difference in view_differences(conn, mapping, name)]
    return (
        *(f"{part} of {stored.view_sql} is not what the mapping compiles to" for part in parts),
        *health.definition_problems(conn, stored),
    )


def default_differences(mapping: Mapping, shown: Table) -> Iterator[Difference]:
    """Compare the defaults of a view, as it was reflected, with those of what it stands for.

    Without those that are expressions of ours, which `view_differences` compares.
    """
    expected, own = view.defaults(mapping), _own_defaults(mapping)
    for name in mapping.view_of.column_names:
        now = shown.column(name)
        if now is not None and name not in own and now.default != expected.get(name):
            yield Difference(name, expected.get(name), now.default)


def view_differences(conn: Connection, mapping: Mapping, name: str) -> tuple[Difference, ...]:
    """Compare the query of a view, and the defaults that are ours, with the compiled ones.

    :param name: the view's name, in the schema of what it stands for
    :raises psycopg.errors.InsufficientPrivilege: the role may not make a temporary view
    :raises psycopg.errors.ReadOnlySqlTransaction: nor may the transaction
    """
    model = f"pg_temp.{_MODEL}"
    with conn.transaction(force_rollback=True):
        conn.execute(f"CREATE TEMPORARY VIEW {_MODEL} AS {view.select(mapping)}")
        for column, default in _own_defaults(mapping).items():
            conn.execute(f"ALTER VIEW {model} ALTER COLUMN {ident(column)} SET DEFAULT {default}")
        found = _texts(conn, mapping, regclass(mapping.view_of.schema, name))
        expected = _texts(conn, mapping, f"{literal(model)}::pg_catalog.regclass")
    return tuple(
        Difference(what, expected[what], found[what])
        for what in expected
        if expected[what] != found[what]
    )


def _texts(conn: Connection, mapping: Mapping, relation: str) -> dict[str, str | None]:
    texts: dict[str, str | None] = {}
    row = conn.execute(f"SELECT pg_catalog.pg_get_viewdef({relation}, true)").fetchone()
    assert row is not None
    texts["the query"] = row[0]
    for column in _own_defaults(mapping):
        row = conn.execute(
            "SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d "
            "JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum "
            f"WHERE d.adrelid = {relation} AND a.attname = {literal(column)}"
        ).fetchone()
        texts[f"the default of {column}"] = row[0] if row else None
    return texts


def _own_defaults(mapping: Mapping) -> dict[str, str]:
    """Return the defaults of the view that are not those of what it stands for, as SQL."""
    return {
        name: default
        for name, default in view.defaults(mapping).items()
        if (column := mapping.view_of.column(name)) is None or default != column.default
    }
