"""Contract: view, reverse sync and the retired table go; only order_line_items_v2 is left.

The downgrade brings them back, with every row that was written since.
"""

from pathlib import Path

from alembic import op

from compat.mapping import load

revision = "oli_0004"
down_revision = "oli_0003"
branch_labels = None
depends_on = None

MAPPING = load(str(Path(__file__).parents[1] / "mappings" / "order_line_items.py"))


def upgrade() -> None:
    op.contract(MAPPING)


def downgrade() -> None:
    op.uncontract(MAPPING)
