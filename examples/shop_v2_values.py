"""How order lines hold prices, states, times and deletions, in version 2 of the schema.
It takes the place of `shop/values.py`: what a rewriting of names cannot do is done here by hand.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import DateTime, Numeric, Text

Price = Decimal
Status = str
Created = datetime
Deleted = datetime | None

PRICE: Final = Numeric(12, 2)
STATUS: Final = Text()
CREATED: Final = DateTime(timezone=True)
DELETED: Final = DateTime(timezone=True)

PENDING: Final[Status] = "pending"
RESERVED: Final[Status] = "reserved"
SHIPPED: Final[Status] = "shipped"
CANCELLED: Final[Status] = "cancelled"
STATUS_NAMES: Final[Mapping[Status, str]] = {
    PENDING: "pending",
    RESERVED: "reserved",
    SHIPPED: "shipped",
    CANCELLED: "cancelled",
}

NOT_DELETED: Final = "deleted_at IS NULL"
"""SQL that is true for the lines that a customer still sees."""


def price(typed: str) -> Price:
    """Return the price to store for what somebody typed, such as "12.50"."""
    return Decimal(typed.strip())


def amount(stored: Price) -> Decimal:
    """Return a stored price as a number."""
    return stored


def created(moment: datetime) -> Created:
    """Return the creation time to store for a moment."""
    return moment


def moment(stored: Created) -> datetime:
    """Return a stored creation time as a moment."""
    return stored.astimezone(UTC)


def deleted(since: datetime | None) -> Deleted:
    """Return the deletion to store for a line deleted at a moment, or for a live one."""
    return since


def is_deleted(stored: Deleted) -> bool:
    """Tell whether a stored deletion means that the line is deleted."""
    return stored is not None
