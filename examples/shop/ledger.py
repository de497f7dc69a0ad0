"""What the workers were told by the database, and the proof that the database agrees.

Each operation is two lines of JSON: `intent` before its transaction, then `ack` when the database
said yes, or `fail` when it said no. An intent alone means that nobody can know. From these lines
`check` works out what every order must look like, and compares that with what is there.
"""

import json
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from .database import ShopError
from .models import Order
from .states import (
    Line,
    Lines,
    State,
    after,
    differences,
    is_one_of,
    new_lines,
    read_orders,
    total,
)

WORKER: Final = "Worker"
"""All customers that are workers have names that begin like this, and no other customer has."""

BOARD: Final = f"{WORKER}s' board"
BOARD_ID: Final = 0
"""The one order that all workers share: they compete for its lines, and count on them."""

NO_ORDER: Final = ""
"""The order of those that only look for something."""


@dataclass(frozen=True)
class Operation:
    """One operation as the ledger tells it."""

    name: str
    at: float
    action: str
    order: str
    """The customer's name for an order that a worker placed, "#17" for any other."""
    details: Mapping[str, Any]
    outcome: Literal["acknowledged", "refused", "unknown"] = "unknown"
    answer: Mapping[str, Any] | None = None

    def acknowledged(self, answer: Mapping[str, Any]) -> Self:
        """Return the operation with the database's answer, and with the ids that it gave."""
        details = dict(self.details)
        if ids := answer.get("ids"):
            details["lines"] = {
                number: {**line, "id": ids[number]} for number, line in details["lines"].items()
            }
        return replace(self, details=details, outcome="acknowledged", answer=answer)

    @property
    def line_no(self) -> int:
        """The number of the line that is worked on."""
        return int(self.details["line_no"])


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    acknowledged: int
    refused: tuple[tuple[str, int], ...]
    """SQLSTATEs that reached the application, and how often."""
    unknown: int
    retries: int
    longest_stall: float
    """Seconds that the slowest acknowledged operation took, its retries included."""
    orders: int
    lines: int
    discrepancies: tuple[str, ...]

    def in_words(self, at_most: int = 20) -> list[str]:
        """Return the verdict as lines for a person to read, with the first discrepancies."""
        more = len(self.discrepancies) - at_most
        return [
            f"{self.acknowledged:,} operations acknowledged, {self.unknown:,} of unknown outcome,"
            f" {self.retries:,} retries; the slowest took {self.longest_stall * 1000:,.0f} ms.",
            *(f"{times:,} refused with {reason}." for reason, times in self.refused),
            f"{self.orders:,} orders with {self.lines:,} lines compared:"
            f" {len(self.discrepancies) or 'no'} discrepancies.",
            *self.discrepancies[:at_most],
            *([f"… and {more:,} more."] if more > 0 else []),
        ]


class Ledger:
    """A file to which one worker appends what it intends and what it is told."""

    def __init__(self, path: Path, worker: int) -> None:
        self.run = uuid.uuid4().hex[:8]
        self._count = 0
        try:
            # An earlier run may have been killed in the middle of a line.
            torn = path.exists() and not path.read_bytes().endswith(b"\n")
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise ShopError(f"Cannot write the ledger {path}: {error.strerror}.") from None
        if torn:
            self._file.write("\n")
        self._write({"kind": "start", "run": self.run, "worker": worker, "at": time.time()})

    def intend(self, action: str, order: str, details: Mapping[str, Any]) -> Operation:
        """Write down what is about to be tried."""
        self._count += 1
        operation = Operation(f"{self.run}/{self._count}", time.time(), action, order, details)
        self._write(
            {
                "kind": "intent",
                "op": operation.name,
                "at": operation.at,
                "action": action,
                "order": order,
                "details": details,
            }
        )
        return operation

    def acknowledge(
        self, operation: Operation, answer: Mapping[str, Any], seconds: float, retries: int
    ) -> Operation:
        """Write down that the database said yes, and what else it said."""
        self._write(
            {
                "kind": "ack",
                "op": operation.name,
                "answer": answer,
                "seconds": round(seconds, 6),
                "retries": retries,
            }
        )
        return operation.acknowledged(answer)

    def refuse(self, operation: Operation, reason: str) -> None:
        """Write down that the database said no, and why."""
        self._write({"kind": "fail", "op": operation.name, "sqlstate": reason})

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()  # what the system has survives us, should we be killed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def read(paths: Iterable[Path]) -> tuple[list[dict[str, Any]], list[Operation]]:
    """Return all answers and, in the order in which they were tried, all operations."""
    operations: dict[str, Operation] = {}
    answers: list[dict[str, Any]] = []
    for path in paths:
        for number, entry in _entries(path):
            try:
                match entry["kind"]:
                    case "intent":
                        operations[entry["op"]] = Operation(
                            entry["op"],
                            entry["at"],
                            entry["action"],
                            entry["order"],
                            entry["details"],
                        )
                    case "ack":
                        answers.append(entry)
                        operations[entry["op"]] = operations[entry["op"]].acknowledged(
                            entry["answer"]
                        )
                    case "fail":
                        answers.append(entry)
                        operations[entry["op"]] = replace(
                            operations[entry["op"]], outcome="refused"
                        )
            except (KeyError, TypeError, AttributeError):
                raise _not_a_ledger(path, number) from None
    return answers, sorted(operations.values(), key=lambda operation: operation.at)


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise ShopError(f"Cannot read the ledger {path}: {error.strerror}.") from None
    torn = 0
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        # The last line that a killed worker wrote may be torn: nothing was done upon it.
        if torn and (entry is None or entry.get("kind") != "start"):
            raise _not_a_ledger(path, torn)
        torn = number if entry is None else 0
        if entry is not None:
            yield number, entry


def _not_a_ledger(path: Path, line: int) -> ShopError:
    return ShopError(f"{path}, line {line}: this is not a line of a ledger.")


def check(session: Session, paths: Iterable[Path], table: str | None = None) -> Verdict:
    """Compare what the ledgers promise with what the database holds.

    The ledgers must be those of all workers there ever were. `table` names another relation
    with the columns of the order lines, should it be the one to look at.
    """
    answers, operations = read(paths)
    by_order: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_order[operation.order].append(operation)
    by_order.pop(NO_ORDER, None)

    found = _found_orders(session, by_order)
    there = {number for numbers in found.values() for number in numbers}
    told = {
        operation.answer["order_id"]: operation.order
        for operation in operations
        if operation.answer and "order_id" in operation.answer
    }
    lines = read_orders(session, there | told.keys(), table)

    discrepancies = [
        f"order {told[number]}: its lines are there, though it is gone itself"
        for number in sorted(lines.keys() - there)
    ]
    for order in sorted(found.keys() | by_order.keys()):
        expected = by_order.get(order)
        states = [lines.get(number, {}) for number in found.get(order, [])]
        if expected is None:
            problems = ["nobody ever placed it"]
        elif len(states) > 1:
            problems = [f"it is there {len(states)} times"]
        elif order == BOARD:
            problems = _check_board(expected, states[0] if states else {})
        else:
            problems = _check_order(expected, states[0] if states else None)
        discrepancies += [f"order {order}: {problem}" for problem in problems]

    return Verdict(
        acknowledged=sum(operation.outcome == "acknowledged" for operation in operations),
        refused=tuple(
            sorted(
                Counter(entry["sqlstate"] for entry in answers if entry["kind"] == "fail").items()
            )
        ),
        unknown=sum(operation.outcome == "unknown" for operation in operations),
        retries=sum(entry.get("retries", 0) for entry in answers),
        longest_stall=max((entry.get("seconds", 0.0) for entry in answers), default=0.0),
        orders=len(found),
        lines=sum(map(len, lines.values())),
        discrepancies=tuple(discrepancies),
    )


def _found_orders(session: Session, ledger: Iterable[str]) -> dict[str, list[int]]:
    """Return the ids of the orders in question by the name that they have in the ledger."""
    found: dict[str, list[int]] = defaultdict(list)
    placed = select(Order.id, Order.customer_name).where(
        Order.customer_name.startswith(WORKER, autoescape=True)
    )
    for number, name in session.execute(placed):
        found[name].append(number)
    touched = [int(order[1:]) for order in ledger if order.startswith("#")]
    for number in session.scalars(select(Order.id).where(is_one_of(Order.id, touched))):
        found[f"#{number}"].append(number)
    return found


def _check_order(operations: Sequence[Operation], found: State) -> list[str]:
    """Follow an order that one worker at a time owns through all the states it can have had."""
    problems: list[str] = []
    # An order that a customer placed is known from the first look at it.
    possible: list[State] = [] if operations[0].order.startswith("#") else [None]
    for operation in operations:
        if operation.outcome == "refused":
            continue
        outcomes = [after(state, operation.action, operation.details) for state in possible]
        if operation.answer is None:
            possible += [state for state, _ in outcomes if state not in possible]
        elif operation.action == "look":
            seen = {int(number): Line(**line) for number, line in operation.answer["lines"].items()}
            differing = [differences(state, seen) for state in possible]
            if differing and all(differing):
                problems += [f"{text} (so saw {operation.name})" for text in differing[-1]]
            if Decimal(operation.answer["total"]) != total(seen):
                problems.append(
                    f"the total is {operation.answer['total']} and should be {total(seen)}"
                    f" (so saw {operation.name})"
                )
            possible = [seen]
        else:
            told = operation.answer["rows"]
            possible = [state for state, rows in outcomes if rows == told]
            if not possible:
                should = " or ".join(sorted({str(rows) for _, rows in outcomes}))
                problems.append(
                    f"{operation.action} {operation.name} was told {told} rows, not {should}"
                )
                possible = [state for state, _ in outcomes]
    differing = [differences(state, found) for state in possible]
    return problems + (differing[-1] if differing and all(differing) else [])


def _check_board(operations: Sequence[Operation], found: Lines) -> list[str]:
    """Count what all workers did to the shared lines, in whatever order they did it."""
    intended: dict[int, Line] = {}
    promised: set[int] = set()
    changes: dict[int, list[Operation]] = defaultdict(list)
    # The acknowledged last: they know the ids, which a try of unknown outcome does not.
    for operation in sorted(operations, key=lambda each: each.answer is not None):
        if operation.outcome == "refused":
            continue
        if operation.action not in ("place_order", "add_line"):
            changes[operation.line_no].append(operation)
        elif operation.answer is None:
            intended |= new_lines(operation.details)
        elif operation.answer["rows"]:
            intended |= new_lines(operation.details)
            promised |= new_lines(operation.details).keys()

    problems: list[str] = []
    for number in sorted(promised | found.keys()):
        expected = {number: intended[number]} if number in intended else {}
        there = {number: found[number]} if number in found else {}
        if expected and there:
            likely, more = _shared_line(number, expected[number], there[number], changes[number])
            expected = {number: likely}
            problems += more
        problems += differences(expected, there)
    return problems


def _shared_line(
    number: int, line: Line, found: Line, changes: Iterable[Operation]
) -> tuple[Line, list[str]]:
    """Return what the line should be, and what is wrong with the answers that workers got."""
    problems: list[str] = []
    status = line.status
    least = most = line.qty
    claims: list[str] = []
    perhaps = too_late = False
    for change in changes:
        told = None if change.answer is None else change.answer["rows"]
        if change.action == "change_quantity":
            most += change.details["by"]
            if told is not None:
                least += change.details["by"]
            if told == 0:
                problems.append(f"line {number}: {change.name} was told that it is not there")
        elif told is None:
            perhaps = True
        elif told:
            claims.append(change.name)
        else:
            too_late = True
    if len(claims) > 1:
        problems.append(f"line {number} was claimed {len(claims)} times: {', '.join(claims)}")
    if too_late and not claims and not perhaps:
        problems.append(f"line {number}: a claim was turned down though nobody else made one")
    if claims or (perhaps and found.status == "reserved"):
        status = "reserved"
    qty = min(max(found.qty, least), most)
    return replace(line, qty=qty, status=status), problems
