"""What the shop's owner wants to know in the morning.
Every question is one statement over the whole table, so that none of them is cheap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Numeric, cast, func, select, text
from sqlalchemy.orm import Session

from . import values
from .models import OrderLineItem, Product


@dataclass(frozen=True)
class StatusCount:
    status: str
    lines: int
    pieces: int


@dataclass(frozen=True)
class Seller:
    sku: str
    pieces: int
    revenue: Decimal


@dataclass(frozen=True)
class OrderTotal:
    order_id: int
    customer: str
    total: Decimal


def by_status(session: Session) -> list[StatusCount]:
    """Count lines and pieces in each state."""
    found = session.execute(
        text(
            """
            SELECT status, count(*) AS lines, sum(qty) AS pieces
            FROM order_line_items
            GROUP BY status
            ORDER BY status
            """
        )
    )
    return [StatusCount(values.STATUS_NAMES[row.status], row.lines, row.pieces) for row in found]


def best_sellers(session: Session, *, at_most: int = 10) -> list[Seller]:
    """Rank the products by what was earned with them."""
    revenue = func.sum(cast(OrderLineItem.price, Numeric) * OrderLineItem.qty).label("revenue")
    found = session.execute(
        select(Product.sku, func.sum(OrderLineItem.qty), revenue)
        .join(OrderLineItem, OrderLineItem.product_id == Product.id)
        .where(OrderLineItem.status == values.SHIPPED, text(values.NOT_DELETED))
        .group_by(Product.sku)
        .order_by(revenue.desc(), Product.sku)
        .limit(at_most)
    )
    return [Seller(sku, pieces, earned) for sku, pieces, earned in found]


def largest_orders(session: Session, *, at_most: int = 10) -> list[OrderTotal]:
    """Rank the orders by what they are worth."""
    found = session.execute(
        text(
            f"""
            SELECT o.id, o.customer_name, sum(i.qty * CAST(i.price AS numeric)) AS total
            FROM orders AS o
            JOIN order_line_items AS i ON i.order_id = o.id
            WHERE {values.NOT_DELETED}
            GROUP BY o.id, o.customer_name
            ORDER BY total DESC, o.id
            LIMIT :at_most
            """
        ),
        {"at_most": at_most},
    )
    return [OrderTotal(row.id, row.customer_name, row.total) for row in found]


def lines_since(session: Session, moment: datetime) -> int:
    """Count the lines created since a moment."""
    return int(
        session.connection()
        .exec_driver_sql(
            "SELECT count(*) FROM order_line_items WHERE created >= %(since)s",
            {"since": values.created(moment)},
        )
        .scalar_one()
    )


def returned_pieces(session: Session) -> list[tuple[int, int, int]]:
    """List the lines of which something came back: id, pieces ordered, pieces returned."""
    found = session.execute(
        text(
            """
            SELECT i.id, i.qty AS ordered, sum(r.qty) AS returned
            FROM order_line_items AS i
            JOIN order_line_returns AS r ON r.line_item_id = i.id
            GROUP BY i.id, i.qty
            ORDER BY i.id
            """
        )
    )
    return [(row.id, row.ordered, row.returned) for row in found]


def written(session: Session) -> Iterator[str]:
    """Yield the morning report, line by line."""
    yield "Lines by state"
    for count in by_status(session):
        yield f"  {count.status:10} {count.lines:>10,} lines {count.pieces:>12,} pieces"
    yield "Best sellers"
    for seller in best_sellers(session):
        yield f"  {seller.sku:10} {seller.pieces:>10,} pieces {seller.revenue:>15,.2f}"
    yield "Largest orders"
    for order in largest_orders(session):
        yield f"  {order.order_id:>10} {order.customer:30.30} {order.total:>12,.2f}"
    yield f"Lines with returns: {len(returned_pieces(session)):,}"
