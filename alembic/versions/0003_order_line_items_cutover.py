"""Cutover: the view takes the legacy name; the legacy table is retired and kept current.

Refuses unless every row has been copied (or there is none).
"""

from pathlib import Path

from alembic import op

from compat.mapping import load

revision = "oli_0003"
down_revision = "oli_0002"
branch_labels = None
depends_on = None

MAPPING = load(str(Path(__file__).parents[1] / "mappings" / "order_line_items.py"))


def upgrade() -> None:
    op.cutover(MAPPING)


def downgrade() -> None:
    op.uncutover(MAPPING)
