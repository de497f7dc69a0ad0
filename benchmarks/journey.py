"""The tables that are measured: one database per side, each taken to its place in a migration.

Every side answers to the legacy name, so that the same unmodified statements run on all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg

from benchmarks.measure import Clock, Connection
from compat import catalog, rules, state
from compat.compile import copy as compiled
from compat.compile import swap, sync
from compat.database import Database
from compat.mapping import Form, Mapping

Lookup = Literal["with a lookup", "with a lookup, kept"]
"""Whether products have UUIDs in the target, and whether it keeps their legacy numbers as well."""

Stage = Literal["native", "forward", "view", "reverse"]
"""native: the legacy table alone. forward: with sync triggers, before the cutover. view: after the
cutover, retired table detached. reverse: after the cutover, retired table kept current."""

LEGACY = "order_line_items"
FIRST_FREE_LINE = 1000
"""Line numbers from here on are not used by the loaded rows."""

_LEGACY = """
CREATE TABLE orders (id serial PRIMARY KEY, customer_name varchar(120) NOT NULL);
CREATE TABLE products (id serial PRIMARY KEY, sku varchar(32) NOT NULL UNIQUE);
CREATE TABLE order_line_items (
    id serial PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    product_id integer NOT NULL REFERENCES products (id),
    line_no integer NOT NULL,
    qty integer NOT NULL DEFAULT 1 CHECK (qty > 0),
    price text NOT NULL DEFAULT '0.00',
    status integer NOT NULL DEFAULT 1,
    created integer NOT NULL DEFAULT (extract(epoch FROM now()))::integer,
    deleted boolean NOT NULL DEFAULT false,
    note varchar(200),
    UNIQUE (order_id, line_no)
) WITH (autovacuum_enabled = off);
CREATE INDEX ON order_line_items (product_id);
"""

# The same keys, checks and indexes as the legacy table, or the ratio would speak of them.
_TARGET_FRAME = """
CREATE TABLE order_line_items_v2 (
    line_item_id integer PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    {product},
    position integer NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    {columns}
    note varchar(200),
    currency char(3) NOT NULL DEFAULT 'EUR',
    UNIQUE (order_id, position)
) WITH (autovacuum_enabled = off);
CREATE INDEX ON order_line_items_v2 (product_id);
"""

_PRODUCT = "product_id integer NOT NULL REFERENCES products (id)"
_NEW_PRODUCT = "product_id uuid NOT NULL REFERENCES products_v2 (id)"
_KEPT_PRODUCT = f"{_NEW_PRODUCT}, legacy_product_id integer"

_NEW_PRODUCTS = """
CREATE TABLE products_v2 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id integer NOT NULL UNIQUE,
    sku varchar(32) NOT NULL UNIQUE
);
INSERT INTO products_v2 (legacy_id, sku) SELECT id, sku FROM products;
ANALYZE products_v2;
"""

_RENAMED = """
    unit_price text NOT NULL,
    state integer NOT NULL,
    created_at integer NOT NULL,
    is_deleted boolean NOT NULL,
"""

_CONVERTED = """
    unit_price numeric(12,2) NOT NULL,
    unit_price_text text,
    state text NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
"""

_SAME = (
    rules.Column("id", "line_item_id"),
    rules.Column("order_id", "order_id"),
    rules.Column("product_id", "product_id"),
    rules.Column("line_no", "position"),
    rules.Column("qty", "quantity"),
    rules.Column("note", "note"),
)

_RENAMES = (
    *_SAME,
    rules.Column("price", "unit_price"),
    rules.Column("status", "state"),
    rules.Column("created", "created_at"),
    rules.Column("deleted", "is_deleted"),
)

_CONVERSIONS = (
    *_SAME,
    rules.Cast("price", "unit_price", keep="unit_price_text"),
    rules.ValueMap(
        "status",
        "state",
        ((1, "pending"), (2, "reserved"), (3, "shipped"), (4, "cancelled")),
    ),
    rules.Epoch("created", "created_at"),
    rules.Flag("deleted", "deleted_at"),
)

LINES_PER_ORDER = 4
PRODUCTS = 1000

INSERTED = "order_id, product_id, line_no, qty, price, status, created, deleted, note"


def source_rows(rows: int, *, first_line: int = 0) -> str:
    """The query that makes up so many legacy rows; every fiftieth price is spelled unusually."""
    return f"""
        SELECT 1 + i / {LINES_PER_ORDER} AS order_id, 1 + i % {PRODUCTS} AS product_id,
               {first_line} + i % {LINES_PER_ORDER} AS line_no, 1 + i % 5 AS qty,
               CASE WHEN i % 50 = 0 THEN '12.5'
                    ELSE round((i % 10000) / 100.0, 2)::text END AS price,
               1 + i % 4 AS status, 1600000000 + i AS created, i % 20 = 0 AS deleted,
               'line ' || i AS note
        FROM generate_series(0, {rows} - 1) AS i
    """


@dataclass
class Side:
    """One database at its stage, and the connection that the statements run on."""

    stage: Stage
    form: Form | None
    conn: Connection
    clock: Clock
    rows: int
    mapping: Mapping | None = None
    lookup: Lookup | None = None
    title: str | None = None

    @property
    def label(self) -> str:
        """The column of the table of results."""
        return self.title or self.lookup or self.form or self.stage

    def vacuum(self) -> None:
        """Give every sample the same table: no dead rows, current statistics."""
        for table in _tables(self.conn):
            self.conn.execute(f"VACUUM (ANALYZE) {table}")


@contextlib.contextmanager
def open_side(
    server: Database, stage: Stage, form: Form | None, rows: int, lookup: Lookup | None = None
) -> Iterator[Side]:
    """A database of its own, with `rows` loaded, at that stage of its migration."""
    with server.fresh() as url, psycopg.connect(url, autocommit=True) as conn:
        side = Side(stage, form, conn, Clock(conn), rows, lookup=lookup)
        load_legacy(conn, rows)
        if form is not None:
            side.mapping = create_target(conn, form, lookup)
            expand(conn, side.mapping)
            copy(conn, side.mapping)
            if stage in ("view", "reverse"):
                _cut_over(conn, side.mapping, keep_retired=stage == "reverse")
        side.vacuum()
        # One process must do the work, or its CPU time would not be all of it.
        conn.execute("SET max_parallel_workers_per_gather = 0")
        yield side


def load_legacy(conn: Connection, rows: int) -> None:
    """Create the legacy schema with that many order lines."""
    conn.execute(_LEGACY)
    orders = 1 + rows // LINES_PER_ORDER
    conn.execute(
        "INSERT INTO orders (customer_name) SELECT 'c' || i FROM generate_series(1, %s) i", [orders]
    )
    conn.execute(
        "INSERT INTO products (sku) SELECT 's' || i FROM generate_series(1, %s) i", [PRODUCTS]
    )
    conn.execute(f"INSERT INTO {LEGACY} ({INSERTED}) {source_rows(rows)}")
    conn.execute(f"VACUUM (ANALYZE) {LEGACY}")


def create_target(conn: Connection, form: Form, lookup: Lookup | None = None) -> Mapping:
    """Create the target table, and the functions that rules call; return the mapping."""
    state.ensure_installed(conn)
    converts = form != "updatable"
    columns = _CONVERTED if converts else _RENAMED
    product = _PRODUCT
    found: tuple[rules.AnyRule, ...] = _CONVERSIONS if converts else _RENAMES
    if lookup is not None:
        conn.execute(_NEW_PRODUCTS)
        keep = "legacy_product_id" if lookup == "with a lookup, kept" else None
        product = _NEW_PRODUCT if keep is None else _KEPT_PRODUCT
        parent = rules.Referenced("public", "products_v2")
        rule = rules.Lookup("product_id", "product_id", parent, keep)
        found = (*(other for other in found if other.legacy != rule.legacy), rule)
    conn.execute(_TARGET_FRAME.format(columns=columns.strip(), product=product))
    return Mapping(
        LEGACY,
        catalog.reflect_table(conn, LEGACY),
        catalog.reflect_table(conn, "order_line_items_v2"),
        found,
        form=form,
    )


def expand(conn: Connection, mapping: Mapping) -> None:
    """Register the mapping, start the forward sync, make the view."""
    with conn.transaction():
        for statement in (*swap.create_sync(mapping), *swap.create_compat_view(mapping)):
            conn.execute(statement)


def copy(conn: Connection, mapping: Mapping, batch_size: int = 20_000) -> int:
    """Run the statements of the copy, each batch in its own transaction; return the rows."""
    conn.execute(compiled.allow_writes())
    batch = compiled.batch(mapping)
    after: list[str] | None = None
    copied = 0
    # Not prepared, so planned for their values: a generic plan would read from the beginning for
    # every batch. Forcing custom plans on the session instead would have every foreign key check
    # planned again for every row.
    while True:
        bounds = {"after": after, "upto": None, "size": batch_size}
        row = conn.execute(batch, bounds, prepare=False).fetchone()
        assert row is not None
        copied += row[1]
        after = row[2]
        if after is None:
            return int(copied)


def _cut_over(conn: Connection, mapping: Mapping, *, keep_retired: bool) -> None:
    state.set_phase(conn, mapping.name, "copied")
    with conn.transaction():
        for statement in swap.cutover(mapping):
            conn.execute(statement)
        if not keep_retired:
            for statement in sync.detach_reverse(mapping):
                conn.execute(statement)


def _tables(conn: Connection) -> list[str]:
    rows = conn.execute(
        "SELECT oid::regclass::text FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    return [row[0] for row in rows]
