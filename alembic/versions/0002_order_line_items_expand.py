"""Expand: the v2 table beside the legacy one, kept in step, and the view ready for the cutover.

Afterwards: `compat copy order_line_items --execute`, `compat-verify`, then the next revision.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from compat.mapping import load

revision = "oli_0002"
down_revision = "oli_0001"
branch_labels = None
depends_on = None

MAPPING = load(str(Path(__file__).parents[1] / "mappings" / "order_line_items.py"))


def upgrade() -> None:
    # In transactions of their own: the foreign keys lock orders and products, the sync locks
    # order_line_items. One transaction that waited for both could deadlock with the shop's.
    with op.get_context().autocommit_block():
        op.create_table(
            "order_line_items_v2",
            sa.Column("line_item_id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("order_id", sa.Integer, nullable=False),
            sa.Column("product_id", sa.Integer, nullable=False),
            sa.Column("position", sa.Integer, nullable=False),
            sa.Column("quantity", sa.Integer, nullable=False),
            sa.Column("unit_price", sa.Numeric(12, 2), nullable=False),
            sa.Column(
                "unit_price_text",
                sa.Text,
                comment="The price as the legacy side wrote it, where that is not how it prints",
            ),
            sa.Column("status", sa.Text, nullable=False),
            sa.Column(
                "created_at",
                sa.DateTime(timezone=True),
                nullable=False,
                server_default=sa.func.now(),
            ),
            sa.Column("deleted_at", sa.DateTime(timezone=True)),
            sa.Column("note", sa.String(200)),
            sa.Column("currency", sa.CHAR(3), nullable=False, server_default="EUR"),
            sa.ForeignKeyConstraint(
                ["order_id"],
                ["orders.id"],
                name="order_line_items_v2_order_id_fkey",
                ondelete="CASCADE",
            ),
            sa.ForeignKeyConstraint(
                ["product_id"], ["products.id"], name="order_line_items_v2_product_id_fkey"
            ),
            sa.UniqueConstraint("order_id", "position", name="order_line_items_v2_position_key"),
            sa.CheckConstraint("quantity > 0", name="order_line_items_v2_quantity_check"),
            sa.CheckConstraint(
                "status IN ('pending', 'reserved', 'shipped', 'cancelled')",
                name="order_line_items_v2_status_check",
            ),
            comment="What was ordered: one row per line of an order",
            if_not_exists=True,
        )
        op.create_index(
            "order_line_items_v2_product_id_idx",
            "order_line_items_v2",
            ["product_id"],
            if_not_exists=True,
        )
        # The legacy side asks for `created` between two numbers: the index must hold what the view
        # computes, and extract() from a timestamptz would not be immutable.
        op.create_index(
            "order_line_items_v2_created_idx",
            "order_line_items_v2",
            [sa.text("(floor(extract(epoch FROM (created_at AT TIME ZONE 'UTC')))::integer)")],
            if_not_exists=True,
        )
    op.create_sync(MAPPING)
    op.create_compat_view(MAPPING)


def downgrade() -> None:
    op.drop_compat_view(MAPPING)
    op.drop_sync(MAPPING)
    op.drop_table("order_line_items_v2")
