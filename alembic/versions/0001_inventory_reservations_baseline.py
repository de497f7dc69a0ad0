"""The microservice as it is before it takes reservations over: its listings.

A branch of its own, for a database of its own: `alembic upgrade inventory_reservations@head`.
"""

import sqlalchemy as sa
from alembic import op

revision = "inv_0001"
down_revision = None
branch_labels = ("inventory_reservations",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "listings",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("price", sa.Numeric(12, 2), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("listings")
