"""Takes a mapping through its phases with the compiled statements, as the commands do.

What `compat` offers as commands has tests of its own; here only the state that results matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from compat import catalog, rules
from compat.compile import copy, install, swap
from compat.mapping import Fill, Mapping
from compat.run import indexes

Connection = psycopg.Connection[Any]

SHOP = """
CREATE TABLE orders (id serial PRIMARY KEY, customer_name varchar(120) NOT NULL);
CREATE TABLE products (id serial PRIMARY KEY, sku varchar(32) NOT NULL UNIQUE);
CREATE TABLE order_line_items (
    id serial PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders ON DELETE CASCADE,
    product_id integer NOT NULL REFERENCES products,
    line_no integer NOT NULL,
    qty integer NOT NULL DEFAULT 1 CONSTRAINT order_line_items_qty_check CHECK (qty > 0),
    price text NOT NULL DEFAULT '0.00',
    status integer NOT NULL DEFAULT 1,
    created integer NOT NULL DEFAULT (extract(epoch FROM now()))::integer,
    deleted boolean NOT NULL DEFAULT false,
    note varchar(200),
    CONSTRAINT order_line_items_order_line_key UNIQUE (order_id, line_no)
);
COMMENT ON TABLE order_line_items IS 'Lines of an order';
COMMENT ON COLUMN order_line_items.price IS 'as text';
CREATE TABLE order_line_returns (
    id serial PRIMARY KEY,
    line_item_id integer NOT NULL REFERENCES order_line_items,
    qty integer NOT NULL
);
INSERT INTO orders (customer_name) SELECT 'customer ' || i FROM generate_series(1, 60) i;
INSERT INTO products (sku) SELECT 'sku ' || i FROM generate_series(1, 20) i;
INSERT INTO order_line_items
    (order_id, product_id, line_no, qty, price, status, created, deleted, note)
SELECT 1 + i / 4, 1 + i % 20, i % 4, 1 + i % 5,
       CASE WHEN i % 50 = 0 THEN '12.5' ELSE round((i % 1000) / 100.0, 2)::text END,
       1 + i % 4, 1600000000 + i, i % 20 = 0, CASE WHEN i % 7 <> 0 THEN 'note ' || i END
FROM generate_series(0, 199) i;
INSERT INTO order_line_returns (line_item_id, qty)
SELECT 1 + i * 10, 1 FROM generate_series(1, 10) i;
CREATE TABLE order_line_items_v2 (
    line_item_id integer PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders ON DELETE CASCADE,
    product_id integer NOT NULL REFERENCES products,
    position integer NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(12,2) NOT NULL,
    unit_price_text text,
    status text NOT NULL CHECK (status IN ('pending', 'reserved', 'shipped', 'cancelled')),
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    note varchar(200),
    currency char(3) NOT NULL DEFAULT 'EUR',
    UNIQUE (order_id, position)
);
"""

STATES: tuple[tuple[rules.Value, rules.Value], ...] = (
    (1, "pending"),
    (2, "reserved"),
    (3, "shipped"),
    (4, "cancelled"),
)


def shop_mapping(conn: Connection) -> Mapping:
    """Create the shop and return the mapping of its order lines, with every kind of conversion."""
    conn.execute(SHOP)
    return reflected_shop_mapping(conn)


def reflected_shop_mapping(conn: Connection) -> Mapping:
    """Return the mapping of a shop that exists already."""
    return mapping_of(
        conn,
        "order_line_items",
        "order_line_items_v2",
        rules.Column("id", "line_item_id"),
        rules.Column("order_id", "order_id"),
        rules.Column("product_id", "product_id"),
        rules.Column("line_no", "position"),
        rules.Column("qty", "quantity"),
        rules.Cast("price", "unit_price", keep="unit_price_text"),
        rules.ValueMap("status", "status", STATES),
        rules.Epoch("created", "created_at"),
        rules.Flag("deleted", "deleted_at"),
        rules.Column("note", "note"),
    )


def mapping_of(
    conn: Connection,
    legacy: str,
    target: str,
    *column_rules: rules.AnyRule,
    fills: tuple[Fill, ...] = (),
    accept: tuple[str, ...] = (),
) -> Mapping:
    """Return a mapping between two existing tables, named like the legacy one."""
    return Mapping(
        legacy,
        catalog.reflect_table(conn, legacy),
        catalog.reflect_table(conn, target),
        column_rules,
        fills=fills,
        accept=accept,
    )


def run(conn: Connection, statements: Iterable[str]) -> None:
    """Run the statements of one step in one transaction."""
    with conn.transaction():
        for statement in statements:
            conn.execute(statement)


def expand(conn: Connection, *mappings: Mapping) -> None:
    """Install, register, start the sync and make the view under its standby name."""
    run(conn, install.install())
    for mapping in mappings:
        run(conn, swap.create_sync(mapping))
        run(conn, swap.create_compat_view(mapping))


def copy_rows(conn: Connection, *mappings: Mapping) -> None:
    """Copy all rows in one batch and enter the phase `copied`."""
    conn.execute(copy.allow_writes())  # for the faults that tests plant before the cutover, too
    for mapping in mappings:
        conn.execute(copy.batch(mapping), {"after": None, "upto": None, "size": 10**9})
        conn.execute("UPDATE compat.mapping SET phase = 'copied' WHERE name = %s", [mapping.name])


def copied(conn: Connection, *mappings: Mapping) -> None:
    """Bring the mappings into the phase `copied`."""
    expand(conn, *mappings)
    copy_rows(conn, *mappings)
    for mapping in mappings:
        indexes.build(conn, mapping)


def cut_over(conn: Connection, *mappings: Mapping) -> None:
    """Bring mappings in phase `copied` into the phase `cutover`."""
    for mapping in mappings:
        run(conn, swap.cutover(mapping))
