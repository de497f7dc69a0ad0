"""The legacy schema of the reference shop: orders, products, order lines and returns.

It is what a real application brings along: a serial key, foreign keys in and out, a check, a
unique key, defaults, states as numbers, Unix seconds, a deleted flag and prices as text.
"""

import sqlalchemy as sa
from alembic import op

revision = "oli_0001"
down_revision = None
branch_labels = ("order_line_items",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer_name", sa.String(120), nullable=False),
        sa.Column(
            "placed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
    )
    op.create_table(
        "products",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sku", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("stock", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("sku", name="products_sku_key"),
        sa.CheckConstraint("stock >= 0", name="products_stock_check"),
    )
    op.create_table(
        "order_line_items",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, nullable=False),
        sa.Column("product_id", sa.Integer, nullable=False),
        sa.Column("line_no", sa.Integer, nullable=False),
        sa.Column("qty", sa.Integer, nullable=False, server_default="1"),
        sa.Column("price", sa.Text, nullable=False, server_default="0.00"),
        sa.Column(
            "status",
            sa.Integer,
            nullable=False,
            server_default="1",
            comment="1 pending, 2 reserved, 3 shipped, 4 cancelled",
        ),
        sa.Column(
            "created",
            sa.Integer,
            nullable=False,
            server_default=sa.text("(extract(epoch from now()))::integer"),
            comment="Unix time in seconds",
        ),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("note", sa.String(200)),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name="order_line_items_order_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name="order_line_items_product_id_fkey"
        ),
        sa.UniqueConstraint("order_id", "line_no", name="order_line_items_order_line_key"),
        sa.CheckConstraint("qty > 0", name="order_line_items_qty_check"),
        comment="What was ordered: one row per line of an order",
    )
    op.create_index("order_line_items_product_id_idx", "order_line_items", ["product_id"])
    op.create_index("order_line_items_created_idx", "order_line_items", ["created"])
    op.create_table(
        "order_line_returns",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("line_item_id", sa.Integer, nullable=False),
        sa.Column("qty", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column(
            "returned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.ForeignKeyConstraint(
            ["line_item_id"],
            ["order_line_items.id"],
            name="order_line_returns_line_item_id_fkey",
        ),
    )


def downgrade() -> None:
    op.drop_table("order_line_returns")
    op.drop_table("order_line_items")
    op.drop_table("products")
    op.drop_table("orders")
