"""How order lines hold prices, states, times and deletions.
All that depends on the representation of these four columns stands here, and only here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import Boolean, Integer, Text

Price = str
Status = int
Created = int
Deleted = bool

PRICE: Final = Text()
STATUS: Final = Integer()
CREATED: Final = Integer()
DELETED: Final = Boolean()

PENDING: Final[Status] = 1
RESERVED: Final[Status] = 2
SHIPPED: Final[Status] = 3
CANCELLED: Final[Status] = 4
STATUS_NAMES: Final[Mapping[Status, str]] = {
    PENDING: "pending",
    RESERVED: "reserved",
    SHIPPED: "shipped",
    CANCELLED: "cancelled",
}

NOT_DELETED: Final = "NOT deleted"
"""SQL that is true for the lines that a customer still sees."""


def price(typed: str) -> Price:
    """Return the price to store for what somebody typed, such as "12.50"."""
    return typed


def amount(stored: Price) -> Decimal:
    """Return a stored price as a number."""
    return Decimal(stored.strip())


def created(moment: datetime) -> Created:
    """Return the creation time to store for a moment."""
    return int(moment.timestamp())


def moment(stored: Created) -> datetime:
    """Return a stored creation time as a moment."""
    return datetime.fromtimestamp(stored, UTC)


def deleted(since: datetime | None) -> Deleted:
    """Return the deletion to store for a line deleted at a moment, or for a live one."""
    return since is not None


def is_deleted(stored: Deleted) -> bool:
    """Tell whether a stored deletion means that the line is deleted."""
    return stored
