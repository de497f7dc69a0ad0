"""The shop's four tables as SQLAlchemy classes.
Each class states its own key: the shop asks the catalogue for nothing.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, FetchedValue, ForeignKey, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from . import values


class Base(DeclarativeBase):
    """The registry of the shop's classes."""


class Order(Base):
    """What one customer ordered at one moment."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    customer_name: Mapped[str] = mapped_column(String(120))
    placed_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue()
    )

    lines: Mapped[list[OrderLineItem]] = relationship(
        back_populates="order", order_by="OrderLineItem.line_no", passive_deletes=True
    )


class Product(Base):
    """Something that the shop sells."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    sku: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(200))
    stock: Mapped[int] = mapped_column(Integer)


class OrderLineItem(Base):
    """One line of an order."""

    __tablename__ = "order_line_items"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    order_id: Mapped[int] = mapped_column(Integer, ForeignKey("orders.id"))
    product_id: Mapped[int] = mapped_column(Integer, ForeignKey("products.id"))
    line_no: Mapped[int] = mapped_column(Integer)
    qty: Mapped[int] = mapped_column(Integer)
    price: Mapped[values.Price] = mapped_column(values.PRICE)
    status: Mapped[values.Status] = mapped_column(values.STATUS)
    created: Mapped[values.Created] = mapped_column(values.CREATED)
    # A new line is live: that is the database's default, and nobody sends it.
    deleted: Mapped[values.Deleted] = mapped_column(values.DELETED, server_default=FetchedValue())
    note: Mapped[str | None] = mapped_column(String(200))

    order: Mapped[Order] = relationship(back_populates="lines")
    product: Mapped[Product] = relationship()


class OrderLineReturn(Base):
    """Goods of one line that came back."""

    __tablename__ = "order_line_returns"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    line_item_id: Mapped[int] = mapped_column(Integer, ForeignKey("order_line_items.id"))
    qty: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str | None] = mapped_column(Text)
    returned_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=FetchedValue()
    )
