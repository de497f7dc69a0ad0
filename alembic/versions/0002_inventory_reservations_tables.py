"""The five tables of the orders microservice: carts, orders, and reservations of stock.

Only reservations have rows in the monolith; `compat move` brings them here (docs/move.md).
"""

import sqlalchemy as sa
from alembic import op

revision = "inv_0002"
down_revision = "inv_0001"
branch_labels = None
depends_on = None

TABLES = ("shopping_carts", "cart_items", "orders", "order_items", "inventory_reservations")
TOUCH = """
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END $$
"""


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, primary_key=True)


def _listing() -> sa.Column[int]:
    return sa.Column("listing_id", sa.BigInteger, sa.ForeignKey("listings.id"), nullable=False)


def _time(name: str) -> sa.Column[sa.DateTime]:
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, nullable=False, server_default=sa.func.now())


def upgrade() -> None:
    op.create_table(
        "shopping_carts",
        _id(),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("session_id", sa.Text),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint(
            "user_id IS NOT NULL OR session_id IS NOT NULL", name="shopping_carts_owner_check"
        ),
    )
    op.create_table(
        "cart_items",
        _id(),
        sa.Column(
            "cart_id",
            sa.BigInteger,
            sa.ForeignKey("shopping_carts.id", ondelete="CASCADE"),
            nullable=False,
        ),
        _listing(),
        sa.Column("quantity", sa.Integer, nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.UniqueConstraint("cart_id", "listing_id", name="cart_items_listing_key"),
        sa.CheckConstraint("quantity > 0", name="cart_items_quantity_check"),
    )
    op.create_table(
        "orders",
        _id(),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("status", sa.String(20), nullable=False, server_default="pending"),
        sa.Column("total", sa.Numeric(12, 2), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("total >= 0", name="orders_total_check"),
    )
    op.create_table(
        "order_items",
        _id(),
        sa.Column(
            "order_id",
            sa.BigInteger,
            sa.ForeignKey("orders.id", ondelete="CASCADE"),
            nullable=False,
        ),
        _listing(),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("price", sa.Numeric(12, 2), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("quantity > 0", name="order_items_quantity_check"),
    )
    op.create_table(
        "inventory_reservations",
        _id(),
        _listing(),
        sa.Column(
            "order_id",
            sa.BigInteger,
            comment="NULL: not ordered yet. Orders of the monolith are not in this database.",
        ),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("status", sa.String(20), nullable=False, server_default="active"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("quantity > 0", name="inventory_reservations_quantity_check"),
        sa.CheckConstraint(
            "status IN ('active', 'committed', 'released', 'expired')",
            name="inventory_reservations_status_check",
        ),
    )
    op.create_index(
        "inventory_reservations_listing_id_idx", "inventory_reservations", ["listing_id"]
    )
    op.create_index(
        "inventory_reservations_expires_at_idx",
        "inventory_reservations",
        ["expires_at"],
        postgresql_where=sa.text("status = 'active'"),
    )
    op.execute(sa.DDL(TOUCH))  # type: ignore[no-untyped-call]
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_touch BEFORE UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
        )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute("DROP FUNCTION touch_updated_at()")
