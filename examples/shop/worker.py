"""One busy employee: random operations, the same for the same seed, each noted in the ledger.
It works on orders that are its own, and with all others on the one order that they share.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from . import operations
from .database import Database, OutcomeUnknown, ShopError, is_lost, sqlstate
from .ledger import BOARD, BOARD_ID, NO_ORDER, WORKER, Ledger, Operation
from .models import Order, Product
from .operations import NewLine
from .states import Line, Lines, after, read_orders

HOT_LINES: Final = 4
"""The board's first lines, on which all workers count."""

CHOICES: Final[Mapping[str, int]] = {
    "place_order": 10,
    "look": 5,
    "add_line": 5,
    "change_quantity": 18,
    "set_price": 8,
    "write_note": 8,
    "claim": 8,
    "ship": 6,
    "cancel": 2,
    "soft_delete": 4,
    "delete": 4,
    "take_back": 2,
    "drop_order": 1,
    "adopt": 4,
    "count": 8,
    "post": 3,
    "compete": 5,
}
"""How often each operation is chosen, relative to the others."""

NOTES: Final = (None, "urgent", "it's a gift", 'say "hello"', "100 % :now", "Grüße, 日本", "a\\b")

Answer = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """What a worker has to say at the end of the day."""

    acknowledged: int
    refused: tuple[tuple[str, int], ...]
    unknown: int
    retries: int
    longest_stall: float


class Worker:
    """A worker with its own orders, its own chance and its own ledger.

    Of all that work at one time, each has another `number` below `workers`.
    """

    def __init__(
        self, database: Database, ledger: Ledger, *, number: int, workers: int, seed: int
    ) -> None:
        self.name = f"{WORKER} {number}"
        self.number = number
        self.workers = workers
        self._database = database
        self._ledger = ledger
        self._chance = random.Random(f"{seed}/{number}")
        self._orders: dict[str, int] = {}
        self._states: dict[str, Lines] = {}
        self._given_up: set[str] = set()
        self._outcomes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._longest = 0.0

    def run(
        self,
        stop: Callable[[], bool],
        *,
        at_most: int | None = None,
        rate: float | None = None,
    ) -> Summary:
        """Work until told to stop, or for so many operations; at most `rate` in a second."""
        self._arrive()
        names, weights = list(CHOICES), list(CHOICES.values())
        next_at = time.monotonic()
        while not stop() and (at_most is None or self._outcomes.total() < at_most):
            (choice,) = self._chance.choices(names, weights)
            self._do(choice)
            if rate is not None:
                # Time lost in a stall is not made up for: that would be another load.
                now = time.monotonic()
                next_at = max(next_at + 1 / rate, now)
                time.sleep(next_at - now)
        return Summary(
            acknowledged=self._outcomes["acknowledged"],
            refused=tuple(sorted(self._refused.items())),
            unknown=self._outcomes["unknown"],
            retries=self._database.retries,
            longest_stall=round(self._longest, 6),
        )

    def _do(self, choice: str) -> None:
        match choice:
            case "place_order":
                self._place_order()
            case "adopt":
                self._adopt()
            case "look":
                self._look()
            case "add_line":
                self._add_line()
            case "drop_order":
                self._drop_order()
            case "count":
                self._count()
            case "post":
                self._post()
            case "compete":
                self._compete()
            case _:
                self._work_on_a_line(choice)

    def _arrive(self) -> None:
        """See what the shop sells, and put up the board unless somebody else has done so."""

        def look_around(session: Session) -> tuple[list[int], int]:
            others = ~Order.customer_name.startswith(WORKER, autoescape=True)
            last = session.scalar(select(func.max(Order.id)).where(others))
            return list(session.scalars(select(Product.id).order_by(Product.id))), last or 0

        self._products, self._last_customer = self._database.read(look_around)
        if not self._products:
            raise ShopError("There are no products to sell: load some first.")
        # Whoever is first puts it up, so all have to mean the same.
        lines = [
            NewLine(product_id=self._products[0], line_no=number, qty=1, price="1.00")
            for number in range(1, HOT_LINES + 1)
        ]
        while BOARD_ID not in (
            orders := self._database.read(lambda session: read_orders(session, [BOARD_ID]))
        ):
            self._perform(
                "place_order",
                BOARD,
                {"lines": _told(lines)},
                lambda session: _with_ids(
                    lines, operations.place_order_once(session, BOARD_ID, BOARD, lines)
                ),
            )
            if self._refused:
                raise ShopError(f"The board was refused with SQLSTATE {min(self._refused)}.")
        self._board = orders[BOARD_ID]
        # Numbers of a worker's own on the board, beyond those that earlier days have used.
        self._next_on_board = (max(self._board) // self.workers + 1) * self.workers + self.number

    # --- orders of its own ---------------------------------------------------------------------

    def _place_order(self) -> None:
        customer = f"{self.name}, {self._ledger.run}-{self._outcomes.total()}"
        now = datetime.now(UTC).replace(microsecond=0)
        lines = [self._new_line(number) for number in range(1, self._chance.randint(2, 6))]

        def place(session: Session) -> Answer:
            order_id, ids = operations.place_order(session, customer, lines, at=now)
            return {"order_id": order_id, **_with_ids(lines, ids)}

        told = _told(lines, created=int(now.timestamp()))
        answer = self._perform("place_order", customer, {"lines": told}, place)
        if answer is not None:
            self._orders[customer] = answer["order_id"]

    def _adopt(self) -> None:
        """Take over an order that a customer placed, if there are any."""
        start = self._chance.randint(1, self._last_customer + 1)
        if start > self._last_customer:
            return
        answer = self._perform(
            "search",
            NO_ORDER,
            {"from": start},
            lambda session: {
                "found": operations.order_of_share(
                    session, start=start, share=self.number, of=self.workers
                )
            },
        )
        if answer and answer["found"] and answer["found"] <= self._last_customer:
            self._look_at(f"#{answer['found']}", answer["found"])

    def _look(self) -> None:
        if order := self._any_order():
            self._look_at(order, self._orders[order])

    def _look_at(self, order: str, order_id: int) -> None:
        if order in self._given_up:
            return

        def look(session: Session) -> Answer:
            lines = read_orders(session, [order_id]).get(order_id, {})
            return {
                "order_id": order_id,
                "rows": len(lines),
                "lines": {number: asdict(line) for number, line in lines.items()},
                "total": str(operations.order_total(session, order_id)),
            }

        answer = self._perform("look", order, {}, look)
        if answer is not None:
            self._orders[order] = order_id
            self._states[order] = {no: Line(**line) for no, line in answer["lines"].items()}

    def _add_line(self) -> None:
        if order := self._any_order():
            line = self._new_line(max(self._states[order], default=0) + 1)
            self._perform(
                "add_line",
                order,
                {"line_no": line.line_no, "lines": _told([line])},
                lambda session: _with_ids(
                    [line], [operations.add_line(session, self._orders[order], line)]
                ),
            )

    def _drop_order(self) -> None:
        order = self._any_order()
        # What was returned stays in the books, and so does its line.
        if order and not any(line.returned for line in self._states[order].values()):
            self._perform(
                "drop_order",
                order,
                {},
                lambda session: {"rows": operations.drop_order(session, self._orders[order])},
            )

    def _work_on_a_line(self, choice: str) -> None:
        order = self._any_order()
        if not order or not self._states[order]:
            return
        number, line = self._chance.choice(sorted(self._states[order].items()))
        details: dict[str, Any] = {}
        match choice:
            case "change_quantity":
                details = {"by": self._chance.choice((1, 2, 3, -1) if line.qty > 1 else (1, 2, 3))}
            case "set_price":
                details = {"price": self._price()}
            case "write_note":
                details = {"note": self._chance.choice(NOTES)}
            case "take_back":
                details = {"qty": 1, "reason": self._chance.choice(NOTES)}
            case "delete" if line.returned:
                return
        work = getattr(operations, choice)
        self._perform(
            choice,
            order,
            {"line_no": number, "line_id": line.id, **details},
            lambda session: {"rows": work(session, line.id, **details)},
        )

    # --- the order that all share --------------------------------------------------------------

    def _count(self) -> None:
        """Add one to a line to which all others add one too."""
        number = self._chance.randint(1, HOT_LINES)
        line_id = self._board[number].id
        assert line_id is not None
        self._perform(
            "change_quantity",
            BOARD,
            {"line_no": number, "line_id": line_id, "by": 1},
            lambda session: {"rows": operations.change_quantity(session, line_id, by=1)},
        )

    def _post(self) -> None:
        """Put a line on the board, for anybody to claim."""
        line = self._new_line(self._next_on_board)
        self._next_on_board += self.workers
        self._perform(
            "add_line",
            BOARD,
            {"line_no": line.line_no, "lines": _told([line])},
            lambda session: _with_ids([line], [operations.add_line(session, BOARD_ID, line)]),
        )

    def _compete(self) -> None:
        """Try to be the one who claims one of the oldest lines on the board."""
        answer = self._perform(
            "search",
            NO_ORDER,
            {"on": BOARD},
            lambda session: {"found": operations.pending_lines(session, BOARD_ID, at_most=3)},
        )
        if answer and answer["found"]:
            line_id, number = self._chance.choice(answer["found"])
            self._perform(
                "claim",
                BOARD,
                {"line_no": number, "line_id": line_id},
                lambda session: {"rows": operations.claim(session, line_id)},
            )

    # --- how all of it is done -----------------------------------------------------------------

    def _perform(
        self, action: str, order: str, details: Answer, work: Callable[[Session], Answer]
    ) -> Answer | None:
        """Run one transaction between its two lines in the ledger; None unless it is certain."""
        operation = self._ledger.intend(action, order, details)
        retries, started = self._database.retries, time.monotonic()
        try:
            answer = self._database.run(work)
        except OutcomeUnknown:
            self._outcomes["unknown"] += 1
            self._give_up(order)
            return None
        except SQLAlchemyError as error:
            reason = sqlstate(error) or type(error).__name__
            self._ledger.refuse(operation, reason)
            self._outcomes["refused"] += 1
            self._refused[reason] += 1
            if isinstance(error, DBAPIError) and is_lost(error):
                raise ShopError("The database is gone, and did not come back.") from error
            return None
        seconds = time.monotonic() - started
        self._longest = max(self._longest, seconds)
        self._outcomes["acknowledged"] += 1
        done = self._ledger.acknowledge(
            operation, answer, seconds, self._database.retries - retries
        )
        self._remember(done)
        return answer

    def _remember(self, done: Operation) -> None:
        """Keep in mind what its own order looks like now."""
        if done.order in (BOARD, NO_ORDER) or done.action == "look":
            return
        state, _ = after(self._states.get(done.order), done.action, done.details)
        if state is None:
            self._give_up(done.order)
        else:
            self._states[done.order] = state

    def _give_up(self, order: str) -> None:
        """Leave an order alone: it is gone, or nobody can know what it looks like."""
        self._given_up.add(order)
        self._orders.pop(order, None)
        self._states.pop(order, None)

    def _any_order(self) -> str | None:
        return self._chance.choice(list(self._orders)) if self._orders else None

    def _new_line(self, number: int) -> NewLine:
        return NewLine(
            product_id=self._chance.choice(self._products),
            line_no=number,
            qty=self._chance.randint(1, 9),
            price=self._price(),
            note=self._chance.choice(NOTES),
        )

    def _price(self) -> str:
        return f"{self._chance.randint(0, 400)}.{self._chance.randint(0, 99):02}"


def _told(lines: Sequence[NewLine], created: int | None = None) -> dict[str, Any]:
    """Write new lines as the ledger does."""
    return {
        str(line.line_no): {
            "product_id": line.product_id,
            "qty": line.qty,
            "price": line.price,
            "note": line.note,
            "created": created,
        }
        for line in lines
    }


def _with_ids(lines: Sequence[NewLine], ids: Sequence[int]) -> Answer:
    """Write the ids that new lines were given as the ledger does; none of them: no rows."""
    return {
        "rows": len(ids),
        "ids": {str(line.line_no): line_id for line, line_id in zip(lines, ids, strict=False)},
    }
