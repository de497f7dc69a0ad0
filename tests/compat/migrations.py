"""Migrations for tests: two tables made from SQL, a mapping between them, and its compiled steps.

The steps run exactly what compat.compile returns, each list in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from compat import catalog, rules, state
from compat.compile import copy, install, lookups, swap
from compat.mapping import Mapping
from compat.names import qualified

Connection = psycopg.Connection[Any]
Rows = list[tuple[Any, ...]]

LINES = """
CREATE TABLE lines (
    id serial PRIMARY KEY,
    order_id integer NOT NULL,
    line_no integer NOT NULL DEFAULT 1,
    qty integer NOT NULL DEFAULT 1 CONSTRAINT lines_qty_check CHECK (qty > 0),
    price text NOT NULL DEFAULT '0.00',
    status integer NOT NULL DEFAULT 1,
    created integer NOT NULL DEFAULT 1700000000,
    deleted boolean NOT NULL DEFAULT false,
    note varchar(20),
    CONSTRAINT lines_order_line_key UNIQUE (order_id, line_no)
);
CREATE TABLE lines_v2 (
    line_id integer PRIMARY KEY,
    order_id integer NOT NULL,
    position integer NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(12,2) NOT NULL,
    unit_price_text text,
    state text NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    remark varchar(20),
    currency char(3) NOT NULL DEFAULT 'EUR',
    UNIQUE (order_id, position)
);
"""
"""A legacy table with the habits of its kind, and the table that replaces it."""

LINES_RULES: tuple[rules.AnyRule, ...] = (
    rules.Column("id", "line_id"),
    rules.Column("order_id", "order_id"),
    rules.Column("line_no", "position"),
    rules.Column("qty", "quantity"),
    rules.Cast("price", "unit_price", keep="unit_price_text"),
    rules.ValueMap("status", "state", ((1, "free"), (2, "claimed"), (3, "done"))),
    rules.Epoch("created", "created_at"),
    rules.Flag("deleted", "deleted_at"),
    rules.Column("note", "remark"),
)

RENAMED = """
CREATE TABLE lines (id serial PRIMARY KEY, qty integer DEFAULT 1, status text DEFAULT 'free',
                    note varchar(20));
CREATE TABLE lines_v2 (state text, line_id integer PRIMARY KEY, quantity integer,
                       hidden text DEFAULT 'untouched', remark varchar(20));
"""
"""Tables that differ in names and order only: an updatable view serves them."""

RENAMED_RULES: tuple[rules.AnyRule, ...] = (
    rules.Column("id", "line_id"),
    rules.Column("qty", "quantity"),
    rules.Column("status", "state"),
    rules.Column("note", "remark"),
)


@dataclass(frozen=True)
class Migration:
    """One migration on one connection, which must be in autocommit mode."""

    conn: Connection
    mapping: Mapping

    @classmethod
    def between(
        cls,
        conn: Connection,
        legacy: str,
        target: str,
        column_rules: Iterable[rules.AnyRule],
        **options: Any,
    ) -> Migration:
        """Reflect two tables that exist and map them.

        :param legacy: name as catalog.find() takes it; also the name of the mapping by default
        :param options: further arguments of Mapping
        """
        tables = [catalog.reflect_table(conn, name) for name in (legacy, target)]
        name = options.pop("name", tables[0].name)
        return cls(conn, Mapping(name, tables[0], tables[1], tuple(column_rules), **options))

    # -- the steps ----------------------------------------------------------------------------

    def expand(self) -> Migration:
        """Install the schema compat if need be, start the sync, make the standby view."""
        state.ensure_installed(self.conn)
        return self.run(swap.create_sync(self.mapping), swap.create_compat_view(self.mapping))

    def unexpand(self) -> Migration:
        return self.run(swap.drop_compat_view(self.mapping), swap.drop_sync(self.mapping))

    def copy(self, size: int = 1000) -> Migration:
        """Copy all rows in batches, sweep up the rest, and say so."""
        copy_batches(self.conn, self.mapping, size)
        sweep(self.conn, self.mapping, size)
        self.run(lookups.settle(self.mapping))
        state.set_phase(self.conn, self.mapping.name, "copied")
        return self

    def cutover(self) -> Migration:
        return self.run(swap.cutover(self.mapping))

    def uncutover(self) -> Migration:
        return self.run(swap.uncutover(self.mapping))

    def contract(self) -> Migration:
        return self.run(swap.contract(self.mapping))

    def uncontract(self) -> Migration:
        return self.run(swap.uncontract(self.mapping))

    def run(self, *steps: Sequence[str]) -> Migration:
        """Run lists of compiled statements in one transaction."""
        with self.conn.transaction():
            for statements in steps:
                for statement in statements:
                    self.conn.execute(statement)
        return self

    # -- what there is to see -----------------------------------------------------------------

    def legacy_rows(self) -> Rows:
        """What a client sees under the legacy name, in the order of the key."""
        return self.rows(self.mapping.legacy.sql)

    def standby_rows(self) -> Rows:
        """What the view shows before the cutover."""
        return self.rows(self.mapping.standby)

    def retired_rows(self) -> Rows:
        """What the retired legacy table holds after the cutover."""
        return self.rows(self.mapping.retired)

    def target_rows(self) -> Rows:
        """All columns of the target, in the order of the key."""
        return self._ordered(self.mapping.target.sql, self.mapping.target_key)

    def rows(self, relation: str) -> Rows:
        """The rows of a relation that has the legacy columns, in the order of the key."""
        return self._ordered(relation, self.mapping.legacy.row_key)

    def _ordered(self, relation: str, key: Iterable[str]) -> Rows:
        columns = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in key)
        return self.conn.execute(f"SELECT * FROM {relation} ORDER BY {columns}").fetchall()

    def twin(self, name: str = "twin") -> str:
        """Make a clone of the legacy table with its defaults and constraints; return its name."""
        clone = qualified(self.mapping.legacy.schema, name)
        self.conn.execute(f"CREATE TABLE {clone} (LIKE {self.mapping.legacy.sql} INCLUDING ALL)")
        return clone


def lines(conn: Connection, **options: Any) -> Migration:
    """Make LINES and map them."""
    conn.execute(LINES)
    return Migration.between(conn, "lines", "lines_v2", LINES_RULES, **options)


def renamed(conn: Connection, **options: Any) -> Migration:
    """Make RENAMED and map them: an updatable view."""
    conn.execute(RENAMED)
    return Migration.between(conn, "lines", "lines_v2", RENAMED_RULES, **options)


def copy_batches(conn: Connection, mapping: Mapping, size: int) -> tuple[int, int]:
    """Run the batches of the copy to the end; return the rows seen and copied."""
    conn.execute(copy.allow_writes())
    after, seen, copied = None, 0, 0
    while True:
        bounds = {"after": after, "upto": None, "size": size}
        more_seen, more_copied, after = one(conn, copy.batch(mapping), bounds)
        seen, copied = seen + more_seen, copied + more_copied
        if after is None:
            return seen, copied


def sweep(conn: Connection, mapping: Mapping, size: int) -> None:
    """Copy the rows that neither a batch nor a trigger brought over."""
    conn.execute(copy.allow_writes())
    while one(conn, copy.missing(mapping))[0]:
        assert one(conn, copy.sweep(mapping), {"size": size})[1] > 0


def one(conn: Connection, query: str, parameters: Any = None) -> tuple[Any, ...]:
    """Return the one row of a query."""
    (row,) = conn.execute(query, parameters).fetchall()
    return tuple(row)


def value(conn: Connection, query: str, parameters: Any = None) -> Any:
    """Return the one value of a query."""
    (only,) = one(conn, query, parameters)
    return only


def outcome(conn: Connection, statement: str, parameters: Any = None) -> tuple[Any, ...]:
    """Return what a client sees of a statement: rows counted and returned, or its SQLSTATE."""
    try:
        with conn.transaction():
            cursor = conn.execute(statement, parameters)
            returned = sorted(cursor.fetchall(), key=repr) if cursor.description else None
            return "done", cursor.rowcount, returned
    except psycopg.Error as error:
        return "failed", error.sqlstate


def uninstalled(conn: Connection) -> bool:
    """True when nothing of a migration is left but the schema compat and its log."""
    return not value(
        conn,
        "SELECT (SELECT count(*) FROM compat.mapping) + (SELECT count(*) FROM compat.foreign_key)"
        " + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'compat'::regnamespace"
        "    AND prorettype = 'trigger'::regtype AND proname !~ '^(refuse|note)_')",
    )


__all__ = [
    "LINES",
    "LINES_RULES",
    "RENAMED",
    "RENAMED_RULES",
    "Connection",
    "Migration",
    "copy_batches",
    "install",
    "lines",
    "one",
    "outcome",
    "renamed",
    "sweep",
    "uninstalled",
    "value",
]
