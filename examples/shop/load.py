"""Years of invented business, the same for the same seed, loaded through COPY.
Prices are as clerks typed them: mostly "12.50", now and then "12.5" or " 7.00".
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

import psycopg
from psycopg import sql

from . import values
from .database import ShopError
from .models import Base, Order, OrderLineItem, OrderLineReturn, Product

FIRST_DAY: Final = datetime(2020, 1, 1, tzinfo=UTC)
SECONDS: Final = 5 * 365 * 24 * 3600

FIRST_NAMES: Final = ("Ada", "Björn", "Chloé", "Dmitri", "Eve", "Fatma", "Gaël", "Hana", "Íñigo")
LAST_NAMES: Final = ("O'Neill", "Müller", "Nowak", "García", "Ødegård", "Ng", "Şahin", "de Vries")
THINGS: Final = ("Kettle", "Lamp", "Chair", 'Pipe 3/4"', "Mug", "Rug", "Shelf", "Clock", "Vase")
COLOURS: Final = ("red", "green", "blue", "black", "white", "grün", "café", "off-white")
NOTES: Final = (
    "gift wrap",
    "leave it at O'Neill's door",
    'marked "fragile"',
    "поставить у двери",
    "お急ぎ便 🚚",
    "50 % off: see mail\nof Monday",
    "C:\\orders\\new",
    "",
)
REASONS: Final = ("too small", "broken on arrival", "doesn't match the picture", None)

STATUSES: Final = (values.SHIPPED, values.CANCELLED, values.RESERVED, values.PENDING)
STATUS_WEIGHTS: Final = tuple(accumulate((82, 8, 4, 6)))


@dataclass(frozen=True)
class Loaded:
    """How many rows were loaded."""

    orders: int
    products: int
    lines: int
    returns: int


def load(connection: psycopg.Connection, rows: int, seed: int) -> Loaded:
    """Fill the four empty tables with `rows` order lines and what belongs to them.

    The rows depend on `rows` and `seed` alone. All of it is one transaction, committed here.
    """
    if rows < 1:
        raise ShopError("Ask for at least one row.")
    found = connection.execute(
        "SELECT EXISTS (SELECT FROM orders) OR EXISTS (SELECT FROM products)"
    ).fetchone()
    if found != (False,):
        raise ShopError("There are orders or products already: load into empty tables.")

    chance = random.Random(seed)
    products = _products(chance, count=max(10, min(2000, rows // 50)))
    orders, lines = _orders(chance, rows, products)
    returns = _returns(chance, lines)
    for model, content in (
        (Product, [product[:4] for product in products]),
        (Order, orders),
        (OrderLineItem, lines),
        (OrderLineReturn, returns),
    ):
        _copy(connection, model, content)
        _continue_sequence(connection, model)
    connection.commit()
    for model in (Product, Order, OrderLineItem, OrderLineReturn):
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(model.__tablename__)))
    connection.commit()
    return Loaded(len(orders), len(products), len(lines), len(returns))


def _products(chance: random.Random, count: int) -> list[tuple[int, str, str, int, int]]:
    """Return id, sku, name, stock and the usual price in cents of each product."""
    return [
        (
            number,
            f"SKU-{number:05}",
            f"{chance.choice(THINGS)}, {chance.choice(COLOURS)}",
            chance.randrange(0, 500),
            chance.randrange(99, 40_000),
        )
        for number in range(1, count + 1)
    ]


def _orders(
    chance: random.Random, rows: int, products: Sequence[tuple[int, str, str, int, int]]
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    orders: list[tuple[object, ...]] = []
    lines: list[tuple[object, ...]] = []
    rand = chance.random
    while len(lines) < rows:
        order_id = len(orders) + 1
        placed = FIRST_DAY + timedelta(seconds=int(rand() * SECONDS))
        name = f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}"
        orders.append((order_id, name, placed))
        for line_no in range(1, 2 + min(int(rand() * 5), rows - len(lines) - 1)):
            product_id, *_, cents = products[int(rand() * len(products))]
            created = placed + timedelta(seconds=int(rand() * 600))
            deleted = created + timedelta(days=1 + rand() * 30) if rand() < 0.03 else None
            lines.append(
                (
                    len(lines) + 1,
                    order_id,
                    product_id,
                    line_no,
                    1 + int(rand() ** 4 * 12),
                    values.price(_typed(rand(), cents)),
                    chance.choices(STATUSES, cum_weights=STATUS_WEIGHTS)[0],
                    values.created(created),
                    values.deleted(deleted),
                    chance.choice(NOTES) if rand() < 0.1 else None,
                )
            )
    return orders, lines


def _typed(dice: float, cents: int) -> str:
    """Write a price as clerks do: two decimals, but one time in a hundred differently."""
    price = f"{cents // 100}.{cents % 100:02}"
    if dice >= 0.01:
        return price
    variants = (f" {price}", f"0{price}", f"{price}0", price.rstrip("0").rstrip("."))
    return variants[int(dice * 400)]


def _returns(
    chance: random.Random, lines: Iterable[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    came_back = [line for line in lines if line[6] == values.SHIPPED and chance.random() < 0.02]
    return [
        (
            number,
            line[0],
            1,
            chance.choice(REASONS),
            FIRST_DAY + timedelta(seconds=SECONDS + chance.randrange(3600)),
        )
        for number, line in enumerate(came_back, start=1)
    ]


def _copy(
    connection: psycopg.Connection, model: type[Base], rows: Iterable[Sequence[object]]
) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model.__tablename__),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in model.__table__.columns),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _continue_sequence(connection: psycopg.Connection, model: type[Base]) -> None:
    """Let the next row that the shop adds take the id after the last one loaded."""
    (key,) = (column.name for column in model.__table__.primary_key)
    connection.execute(
        sql.SQL(
            "SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 0) + 1, false) FROM {}"
        ).format(
            sql.Literal(model.__tablename__),
            sql.Literal(key),
            sql.Identifier(key),
            sql.Identifier(model.__tablename__),
        )
    )
