"""The state of an order, whatever the representation of its columns, and how operations change it.
Workers choose their next operation by it; the check of the ledger compares it with the database.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, Integer, MetaData, any_, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from . import values
from .models import OrderLineItem, OrderLineReturn


@dataclass(frozen=True)
class Line:
    """A line of an order; where `id` or `created` (Unix seconds) is None, it is not known."""

    product_id: int
    qty: int
    price: str
    status: str = "pending"
    deleted: bool = False
    note: str | None = None
    returned: int = 0
    id: int | None = None
    created: int | None = None


Lines = Mapping[int, Line]
"""The lines of one order by their number."""

State = Lines | None
"""The lines of an order, or None for an order that is not there."""

NOT_ALWAYS_KNOWN: Final = ("id", "created")
OPEN: Final = ("pending", "reserved")


def after(state: State, action: str, details: Mapping[str, Any]) -> tuple[State, int]:
    """Return what an operation makes of an order, and how many rows it should report."""
    match action:
        case "place_order":
            return new_lines(details), len(details["lines"])
        case "drop_order":
            return None, 0 if state is None else 1
        case "look":
            return state, len(state or {})
    if state is None:
        return state, 0
    if action == "add_line":
        return {**state, **new_lines(details)}, len(details["lines"])
    number = details["line_no"]
    if number not in state:
        return state, 0
    if action == "delete":
        return {other: line for other, line in state.items() if other != number}, 1
    changed = _line_after(state[number], action, details)
    return (state, 0) if changed is None else ({**state, number: changed}, 1)


def _line_after(line: Line, action: str, details: Mapping[str, Any]) -> Line | None:
    """Return the changed line, or None where the operation's own condition does not hold."""
    match action:
        case "change_quantity":
            return replace(line, qty=line.qty + details["by"])
        case "set_price":
            return replace(line, price=details["price"])
        case "write_note":
            return replace(line, note=details["note"])
        case "take_back":
            return replace(line, returned=line.returned + details["qty"])
        case "claim":
            return replace(line, status="reserved") if line.status == "pending" else None
        case "ship":
            return replace(line, status="shipped") if line.status == "reserved" else None
        case "cancel":
            return replace(line, status="cancelled") if line.status in OPEN else None
        case "soft_delete":
            return None if line.deleted else replace(line, deleted=True)
    raise ValueError(f"no such operation: {action}")


def new_lines(details: Mapping[str, Any]) -> Lines:
    """Return the lines that an operation adds."""
    return {int(number): Line(**line) for number, line in details["lines"].items()}


def differences(expected: State, found: State) -> list[str]:
    """Say in words where an order is not as expected; nothing to say means that it is."""
    if expected is None or found is None:
        if expected is None and found is not None:
            return ["it should not be there"]
        return [] if found is expected else ["it is not there"]
    problems: list[str] = []
    for number in sorted(expected.keys() | found.keys()):
        if number not in found:
            problems.append(f"line {number} is not there")
        elif number not in expected:
            twice = -number in found
            problems.append(
                f"line {abs(number)} {'is there twice' if twice else 'should not be there'}"
            )
        else:
            problems += _line_differences(number, expected[number], found[number])
    return problems


def _line_differences(number: int, expected: Line, found: Line) -> list[str]:
    pairs = (
        (field.name, getattr(expected, field.name), getattr(found, field.name))
        for field in fields(Line)
    )
    return [
        f"line {number}: {name} is {is_!r} and should be {should!r}"
        for name, should, is_ in pairs
        if is_ != should and not (should is None and name in NOT_ALWAYS_KNOWN)
    ]


def total(lines: Lines) -> Decimal:
    """Return what a customer owes for these lines."""
    return sum(
        (
            line.qty * Decimal(line.price)
            for line in lines.values()
            if line.status != "cancelled" and not line.deleted
        ),
        Decimal(0),
    )


def is_one_of(column: InstrumentedAttribute[int], numbers: Collection[int]) -> ColumnElement[bool]:
    """Compare a column with any number of numbers, in one parameter."""
    return column == any_(literal(list(numbers), ARRAY(Integer)))


def read_orders(
    session: Session, order_ids: Collection[int], table: str | None = None
) -> dict[int, dict[int, Line]]:
    """Read the lines of some orders through the shop's model, or from another `table` like it.

    Should an order have two lines of the same number, the second stands under minus that number.
    """
    item = OrderLineItem
    if table is not None:
        original = OrderLineItem.metadata.tables[OrderLineItem.__tablename__]
        item = aliased(
            OrderLineItem, original.to_metadata(MetaData(), name=table), adapt_on_names=True
        )
    returned = (
        select(OrderLineReturn.line_item_id, func.sum(OrderLineReturn.qty).label("pieces"))
        .group_by(OrderLineReturn.line_item_id)
        .subquery()
    )
    found = session.execute(
        select(item, func.coalesce(returned.c.pieces, 0))
        .outerjoin(returned, returned.c.line_item_id == item.id)
        .where(is_one_of(item.order_id, order_ids))
        .order_by(item.id)
    )
    orders: dict[int, dict[int, Line]] = defaultdict(dict)
    for line, pieces in found:
        lines = orders[line.order_id]
        number = -line.line_no if line.line_no in lines else line.line_no
        lines[number] = Line(
            product_id=line.product_id,
            qty=line.qty,
            price=f"{values.amount(line.price).quantize(Decimal('0.01'))}",
            status=values.STATUS_NAMES[line.status],
            deleted=values.is_deleted(line.deleted),
            note=line.note,
            returned=pieces,
            id=line.id,
            created=int(values.moment(line.created).timestamp()),
        )
    return dict(orders)
