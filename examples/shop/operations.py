"""What happens in the shop: each function is the work of one short transaction.
Some use the ORM, some SQL in SQLAlchemy's style, some in psycopg's: as such shops do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CursorResult, select, text
from sqlalchemy.orm import Session

from . import values
from .models import Order, OrderLineItem


@dataclass(frozen=True)
class NewLine:
    """A line to be ordered; the price is as typed, such as "12.50"."""

    product_id: int
    line_no: int
    qty: int
    price: str
    note: str | None = None


def place_order(
    session: Session, customer: str, lines: Sequence[NewLine], *, at: datetime | None = None
) -> tuple[int, list[int]]:
    """Place an order with all its lines; return the order's id and those of the lines."""
    order = Order(customer_name=customer)
    order.lines = _lines(lines, at or datetime.now(UTC))
    session.add(order)
    session.flush()
    return order.id, [line.id for line in order.lines]


def place_order_once(
    session: Session, order_id: int, customer: str, lines: Sequence[NewLine]
) -> list[int]:
    """Place an order under a given id; return its lines' ids, or [] if it is there already."""
    placed = _execute(
        session,
        "INSERT INTO orders (id, customer_name) VALUES (:id, :customer) ON CONFLICT DO NOTHING",
        id=order_id,
        customer=customer,
    )
    if not placed.rowcount:
        return []
    items = _lines(lines, datetime.now(UTC))
    for item in items:
        item.order_id = order_id
    session.add_all(items)
    session.flush()
    return [item.id for item in items]


def add_line(session: Session, order_id: int, line: NewLine) -> int:
    """Add one line to an order, created now by the database's clock; return its id."""
    added = session.connection().exec_driver_sql(
        """
        INSERT INTO order_line_items (order_id, product_id, line_no, qty, price, status, note)
        VALUES (%(order_id)s, %(product_id)s, %(line_no)s, %(qty)s, %(price)s, %(status)s, %(note)s)
        RETURNING id
        """,
        {
            "order_id": order_id,
            "product_id": line.product_id,
            "line_no": line.line_no,
            "qty": line.qty,
            "price": values.price(line.price),
            "status": values.PENDING,
            "note": line.note,
        },
    )
    return int(added.scalar_one())


def change_quantity(session: Session, line_id: int, *, by: int) -> int:
    """Order more or fewer pieces; return 1, or 0 if there is no such line."""
    return _execute(
        session, "UPDATE order_line_items SET qty = qty + :n WHERE id = :id", n=by, id=line_id
    ).rowcount


def set_price(session: Session, line_id: int, *, price: str) -> int:
    """Agree on another price; return 1, or 0 if there is no such line."""
    return _execute(
        session,
        "UPDATE order_line_items SET price = :price WHERE id = :id",
        price=values.price(price),
        id=line_id,
    ).rowcount


def write_note(session: Session, line_id: int, *, note: str | None) -> int:
    """Write a note on a line, or wipe it off; return 1, or 0 if there is no such line."""
    line = session.get(OrderLineItem, line_id)
    if line is None:
        return 0
    line.note = note
    session.flush()
    return 1


def claim(session: Session, line_id: int) -> int:
    """Reserve the goods of a pending line; return 1, or 0 if somebody else was first."""
    return _execute(
        session,
        "UPDATE order_line_items SET status = :reserved WHERE id = :id AND status = :pending",
        reserved=values.RESERVED,
        pending=values.PENDING,
        id=line_id,
    ).rowcount


def ship(session: Session, line_id: int) -> int:
    """Send off a reserved line; return 1, or 0 if it is not reserved."""
    return _execute(
        session,
        "UPDATE order_line_items SET status = :shipped WHERE id = :id AND status = :reserved",
        shipped=values.SHIPPED,
        reserved=values.RESERVED,
        id=line_id,
    ).rowcount


def cancel(session: Session, line_id: int) -> int:
    """Cancel a line that is not yet shipped; return 1, or 0 if it is too late."""
    return _execute(
        session,
        "UPDATE order_line_items SET status = :cancelled"
        " WHERE id = :id AND status IN (:pending, :reserved)",
        cancelled=values.CANCELLED,
        pending=values.PENDING,
        reserved=values.RESERVED,
        id=line_id,
    ).rowcount


def soft_delete(session: Session, line_id: int) -> int:
    """Hide a line from the customer; return 1, or 0 if it is hidden already."""
    return _execute(
        session,
        f"UPDATE order_line_items SET deleted = :deleted WHERE id = :id AND {values.NOT_DELETED}",
        deleted=values.deleted(datetime.now(UTC)),
        id=line_id,
    ).rowcount


def delete(session: Session, line_id: int) -> int:
    """Remove a line for good; return 1, or 0 if there is no such line."""
    return (
        session.connection()
        .exec_driver_sql("DELETE FROM order_line_items WHERE id = %(id)s", {"id": line_id})
        .rowcount
    )


def drop_order(session: Session, order_id: int) -> int:
    """Remove an order, and its lines with it; return 1, or 0 if there is no such order."""
    return _execute(session, "DELETE FROM orders WHERE id = :id", id=order_id).rowcount


def take_back(session: Session, line_id: int, *, qty: int, reason: str | None) -> int:
    """Take back goods of a line; return 1."""
    return _execute(
        session,
        "INSERT INTO order_line_returns (line_item_id, qty, reason)"
        " VALUES (:line_item_id, :qty, :reason)",
        line_item_id=line_id,
        qty=qty,
        reason=reason,
    ).rowcount


def pending_lines(session: Session, order_id: int, *, at_most: int) -> list[tuple[int, int]]:
    """Return id and number of the order's oldest lines that nobody has claimed."""
    found = session.execute(
        select(OrderLineItem.id, OrderLineItem.line_no)
        .where(
            OrderLineItem.order_id == order_id,
            OrderLineItem.status == values.PENDING,
            text(values.NOT_DELETED),
        )
        .order_by(OrderLineItem.id)
        .limit(at_most)
    )
    return [(line_id, line_no) for line_id, line_no in found]


def order_of_share(session: Session, *, start: int, share: int, of: int) -> int | None:
    """Return the first order from an id on, of those that fall to one of several clerks."""
    return session.scalars(
        select(Order.id)
        .where(Order.id >= start, Order.id % of == share)
        .order_by(Order.id)
        .limit(1)
    ).first()


def order_total(session: Session, order_id: int) -> Decimal:
    """Return what the customer owes for an order."""
    total = _execute(
        session,
        f"""
        SELECT sum(qty * CAST(price AS numeric)) AS total
        FROM order_line_items
        WHERE order_id = :order_id AND status <> :cancelled AND {values.NOT_DELETED}
        """,
        order_id=order_id,
        cancelled=values.CANCELLED,
    ).scalar_one()
    return Decimal(total or 0)


def _lines(lines: Sequence[NewLine], at: datetime) -> list[OrderLineItem]:
    return [
        OrderLineItem(
            product_id=line.product_id,
            line_no=line.line_no,
            qty=line.qty,
            price=values.price(line.price),
            status=values.PENDING,
            created=values.created(at),
            note=line.note,
        )
        for line in lines
    ]


def _execute(session: Session, sql: str, **parameters: object) -> CursorResult[Any]:
    result = session.execute(text(sql), parameters)
    assert isinstance(result, CursorResult)
    return result
