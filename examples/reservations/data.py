"""The monolith's schema and its rows, and the listings that the microservice has already.
All of it follows from the number of rows; times are relative to now.
"""

from __future__ import annotations

import psycopg

PRODUCTS_PER_LISTING = 20
"""Of so many products one has no listing in the microservice."""

MONOLITH = """
CREATE TABLE products (id bigserial PRIMARY KEY, name varchar(200) NOT NULL);
CREATE TYPE reservation_status AS ENUM ('active', 'committed', 'released', 'expired');
CREATE TABLE inventory_reservations (
    id bigserial PRIMARY KEY,
    product_id bigint NOT NULL REFERENCES products (id),
    order_id bigint NOT NULL DEFAULT 0,
    quantity integer NOT NULL CHECK (quantity > 0),
    status reservation_status NOT NULL DEFAULT 'active',
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN inventory_reservations.order_id IS '0: not ordered yet';
CREATE INDEX ON inventory_reservations (product_id);
CREATE FUNCTION update_inventory_reservations_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END $$;
CREATE TRIGGER trigger_update_inventory_reservations_updated_at
    BEFORE UPDATE ON inventory_reservations
    FOR EACH ROW EXECUTE FUNCTION update_inventory_reservations_updated_at();
"""

# Of eight reservations five are active, and every tenth of all has expired without being marked.
_RESERVATIONS = """
INSERT INTO inventory_reservations
    (product_id, order_id, quantity, status, expires_at, created_at, updated_at)
SELECT 1 + i %% %(products)s, CASE WHEN i %% 3 = 0 THEN 0 ELSE 5000 + i END, 1 + i %% 4,
       (ARRAY['active', 'active', 'committed', 'active', 'released', 'active', 'expired', 'active']
       )[1 + i %% 8]::reservation_status,
       now() + CASE WHEN i %% 10 = 0 THEN interval '-1 hour' ELSE interval '1 day' END,
       now() - i * interval '1 second', now() - i * interval '0.5 second'
FROM generate_series(0, %(rows)s - 1) AS i
"""


def load_monolith(conn: psycopg.Connection, rows: int) -> None:
    """Create the monolith's tables, with so many reservations; a product for every ten of them."""
    products = max(rows // 10, PRODUCTS_PER_LISTING)
    conn.execute(MONOLITH)
    conn.execute(
        "INSERT INTO products (name) SELECT 'product ' || i FROM generate_series(1, %s) AS i",
        [products],
    )
    conn.execute(_RESERVATIONS, {"rows": rows, "products": products})
    conn.execute("ANALYZE products, inventory_reservations")


def load_listings(conn: psycopg.Connection, rows: int) -> None:
    """Fill the microservice's listings, which bear the ids of the products."""
    products = max(rows // 10, PRODUCTS_PER_LISTING)
    conn.execute(
        "INSERT INTO listings (id, title, price) SELECT i, 'listing ' || i, 1 + i %% 100"
        " FROM generate_series(1, %s) AS i WHERE i %% %s > 0",
        [products, PRODUCTS_PER_LISTING],
    )
    conn.execute("ANALYZE listings")
