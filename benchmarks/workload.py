"""Clients that never stop writing, each with a ledger of what it was told: as load, and for faults.

They keep their sessions and prepared statements, and write through the legacy name; every second
one through v2 too, where that takes writes. Then ledgers and tables can be compared.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

import psycopg
from psycopg import errors

from benchmarks import journey
from benchmarks.journey import FIRST_FREE_LINE, LEGACY
from benchmarks.measure import Connection
from examples.shop.database import CONNECTION_CLASSES, PASSING

PATIENCE: Final = 60.0
"""Seconds after which a client gives up on a server that does not come back."""

HOT_LINE: Final = FIRST_FREE_LINE - 1
"""The line of order 1 on which all clients count."""

RETURNS: Final = f"{LEGACY}_returned"
"""A table that references the legacy table, and of which the migration knows nothing."""

Names = Literal["legacy", "both", "v2"]
"""What clients use. both: every second client tries v2 first, and legacy where v2 refuses."""


@dataclass(frozen=True)
class Line:
    """A row in the legacy table's terms."""

    qty: int
    price: str
    status: int
    created: int
    deleted: bool
    note: str | None


@dataclass(frozen=True)
class Dialect:
    """The same statements in the terms of one of the two tables.

    `read` gives the rows of an order (line number, id, fields of Line), `some` restricts it.
    """

    insert: str
    edit: str
    add: str
    delete: str
    read: str
    some: str


_FIELDS = "qty, price, status, created, deleted, note"
LEGACY_DIALECT: Final = Dialect(
    insert=f"INSERT INTO {LEGACY} (order_id, product_id, line_no, {_FIELDS}) VALUES"
    " (%(order)s, 1, %(line_no)s, %(qty)s, %(price)s, %(status)s, %(created)s, %(deleted)s,"
    " %(note)s) RETURNING id",
    edit=f"UPDATE {LEGACY} SET price = %(price)s, status = %(status)s, deleted = %(deleted)s,"
    " note = %(note)s WHERE id = %(id)s",
    add=f"UPDATE {LEGACY} SET qty = qty + %(by)s WHERE id = %(id)s",
    delete=f"DELETE FROM {LEGACY} WHERE id = %(id)s",
    read=f"SELECT line_no, id, {_FIELDS} FROM {LEGACY} WHERE order_id = %(order)s",
    some=" AND line_no = ANY (%(line_nos)s)",
)

# Written by hand, not compiled from the mapping: a fault in the rules must not hide itself.
_STATES = "ARRAY['pending', 'reserved', 'shipped', 'cancelled']"
V2_DIALECT: Final = Dialect(
    insert=f"INSERT INTO {LEGACY}_v2 (order_id, product_id, position, quantity, unit_price, state,"
    " created_at, deleted_at, note) VALUES (%(order)s, 1, %(line_no)s, %(qty)s,"
    f" %(price)s::numeric, ({_STATES})[%(status)s], to_timestamp(%(created)s),"
    " CASE WHEN %(deleted)s THEN now() END, %(note)s) RETURNING line_item_id",
    edit=f"UPDATE {LEGACY}_v2 SET unit_price = %(price)s::numeric, state = ({_STATES})[%(status)s],"
    " deleted_at = CASE WHEN %(deleted)s THEN now() END, note = %(note)s"
    " WHERE line_item_id = %(id)s",
    add=f"UPDATE {LEGACY}_v2 SET quantity = quantity + %(by)s WHERE line_item_id = %(id)s",
    delete=f"DELETE FROM {LEGACY}_v2 WHERE line_item_id = %(id)s",
    read="SELECT position, line_item_id, quantity,"
    " CASE WHEN unit_price_text::numeric = unit_price THEN unit_price_text"
    f" ELSE unit_price::text END, array_position({_STATES}, state),"
    f" extract(epoch FROM created_at)::integer, deleted_at IS NOT NULL, note FROM {LEGACY}_v2"
    " WHERE order_id = %(order)s",
    some=" AND position = ANY (%(line_nos)s)",
)


@dataclass
class Ledger:
    """What one client was told: its rows, its share of the hot row, and how long it waited."""

    order: int
    lines: dict[int, Line] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)
    returned: set[int] = field(default_factory=set)
    """Lines to which there is a row in RETURNS."""
    counted: int = 0
    counted_perhaps: int = 0
    """Of these, how many nobody can know: the answer was lost."""
    acknowledged: int = 0
    acknowledged_by_v2: int = 0
    unknown: int = 0
    retried: Counter[str] = field(default_factory=Counter)
    """SQLSTATEs after which applications try again, and how often they came."""
    refused: int = 0
    """Writes that v2 does not take before the cutover."""
    errors: list[str] = field(default_factory=list)
    """What no application is prepared for, and answers that cannot be true."""
    timings: list[tuple[float, float]] = field(default_factory=list)
    """Start by the monotonic clock, and seconds, of each acknowledged transaction."""


@dataclass(frozen=True)
class Step:
    """One statement of a transaction, and what it makes of the client's line of that number."""

    statement: Literal["insert", "edit", "add", "delete"]
    line_no: int
    after: Line | None
    by: int = 0


def prepare(conn: Connection, rows: int) -> None:
    """Load the legacy table, add the row on which all count, and a table that references it."""
    journey.load_legacy(conn, rows)
    conn.execute(
        f"INSERT INTO {LEGACY} (order_id, product_id, line_no) VALUES (1, 1, {HOT_LINE});"
        f"CREATE TABLE {RETURNS}"
        f" (line_item_id integer PRIMARY KEY REFERENCES {LEGACY} ON DELETE CASCADE)"
    )


class Client:
    """One application: an order of its own to write to, one session, and one ledger."""

    def __init__(self, url: str, number: int, seed: int, names: Names = "legacy") -> None:
        self.ledger = Ledger(order=2 + number)
        self.names: Names = names
        self.turn = threading.Lock()
        """Held during each transaction."""
        self._url = url
        self._number = number
        self._chance = random.Random(f"{seed}/{number}")
        self._next_line = FIRST_FREE_LINE
        self._conn = psycopg.connect(url, autocommit=True)
        (hot,) = self._rows(LEGACY_DIALECT, 1, [HOT_LINE])
        self._hot_id = hot[1]

    def run(self, stop: Callable[[], bool], rate: float) -> Ledger:
        """Do at most `rate` transactions in a second, until told to stop."""
        next_at = time.monotonic()
        while not stop():
            with self.turn:
                self._do_something()
            # Time lost in a stall is not made up for: that would be another load.
            now = time.monotonic()
            next_at = max(next_at + 1 / rate, now)
            time.sleep(next_at - now)
        self._conn.close()
        return self.ledger

    def _do_something(self) -> None:
        lines = sorted(self.ledger.lines)
        (choice,) = self._chance.choices(
            ("count", "insert", "edit", "add", "move", "look", "return", "delete"),
            (3, 4, 4, 4, 2, 2, 2, 1),
        )
        if choice == "count":
            self._count()
        elif choice == "insert" or len(lines) < 2:
            self._change(Step("insert", self._next_line, self._invented()))
            self._next_line += 1
        elif choice == "look":
            self._look(self._chance.choice(lines))
        elif choice == "return":
            self._return(self._chance.choice(lines))
        elif choice == "add":
            self._change(self._add(self._chance.choice(lines)))
        elif choice == "move":
            self._change(*map(self._add, self._chance.sample(lines, 2)))
        elif choice == "delete":
            self._change(Step("delete", self._chance.choice(lines), None))
        else:
            line_no = self._chance.choice(lines)
            old = self.ledger.lines[line_no]
            line = replace(self._invented(), qty=old.qty, created=old.created)
            self._change(Step("edit", line_no, line))

    def _add(self, line_no: int) -> Step:
        line, by = self.ledger.lines[line_no], self._chance.randint(1, 3)
        return Step("add", line_no, replace(line, qty=line.qty + by), by)

    def _invented(self) -> Line:
        # v2 keeps numbers, not spellings: only who writes through legacy alone spells freely.
        if self._tries_v2():
            price = f"{self._chance.randint(0, 400)}.{self._chance.randint(0, 99):02}"
        else:
            price = f"{self._chance.randint(500, 900)}{self._chance.choice(('', '.5', '.50'))}"
        return Line(
            qty=self._chance.randint(1, 9),
            price=price,
            status=self._chance.randint(1, 4),
            created=1_600_000_000 + self._chance.randint(0, 10**8),
            deleted=self._chance.random() < 0.2,
            note=self._chance.choice((None, "", "it's", "100 % :now", "Grüße, 日本", "a\\b")),
        )

    def _tries_v2(self) -> bool:
        return self.names == "v2" or (self.names == "both" and self._number % 2 == 1)

    # -- transactions -----------------------------------------------------------------------

    def _change(self, *steps: Step) -> None:
        """Change the client's own rows in one transaction, and note what they are now."""

        def attempt(dialect: Dialect) -> None:
            with self._conn.transaction() if len(steps) > 1 else contextlib.nullcontext():
                for step in steps:
                    self._execute(dialect, step)

        if self._until_through(attempt, lambda: self._happened(steps)):
            for step in steps:
                if step.after is None:
                    del self.ledger.lines[step.line_no], self.ledger.ids[step.line_no]
                    self.ledger.returned.discard(step.line_no)
                else:
                    self.ledger.lines[step.line_no] = step.after

    def _execute(self, dialect: Dialect, step: Step) -> None:
        values: dict[str, Any] = {} if step.after is None else asdict(step.after)
        values |= {"order": self.ledger.order, "line_no": step.line_no, "by": step.by}
        values["id"] = self.ledger.ids.get(step.line_no)
        cursor = self._conn.execute(getattr(dialect, step.statement), values, prepare=True)
        if cursor.rowcount != 1:
            self.ledger.errors.append(f"{step} was told {cursor.rowcount} rows")
        if step.statement == "insert":
            self.ledger.ids[step.line_no] = cursor.fetchall()[0][0]

    def _happened(self, steps: Sequence[Step]) -> bool:
        """Find out what became of a transaction whose answer was lost; half of it is an error."""
        found = self._found([step.line_no for step in steps])
        done = [found.get(step.line_no) == step.after for step in steps]
        undone = [found.get(s.line_no) == self.ledger.lines.get(s.line_no) for s in steps]
        if not all(done) and not all(undone):
            self.ledger.errors.append(f"of {steps}, this happened: {found}")
        return all(done)

    def _count(self) -> None:
        """Add one to the row to which all others add one too."""

        def attempt(dialect: Dialect) -> None:
            self._conn.execute(dialect.add, {"id": self._hot_id, "by": 1}, prepare=True)

        def happened() -> bool:
            self.ledger.counted_perhaps += 1
            return True

        if self._until_through(attempt, happened):
            self.ledger.counted += 1

    def _return(self, line_no: int) -> None:
        """Add a row that references a line, unless there is one."""
        query = f"INSERT INTO {RETURNS} VALUES (%s) ON CONFLICT DO NOTHING"

        def attempt(dialect: Dialect) -> None:
            self._conn.execute(query, [self.ledger.ids[line_no]], prepare=True)

        if self._until_through(attempt, lambda: False):
            self.ledger.returned.add(line_no)

    def _look(self, line_no: int) -> None:
        """Read a row; it must be as it was left."""
        found: dict[int, Line] = {}

        def attempt(dialect: Dialect) -> None:
            found.update(self._found([line_no]))

        expected = {line_no: self.ledger.lines[line_no]}
        if self._until_through(attempt, lambda: False) and found != expected:
            self.ledger.errors.append(f"read {found} instead of {expected}")

    def _found(self, line_nos: list[int]) -> dict[int, Line]:
        dialect = V2_DIALECT if self.names == "v2" else LEGACY_DIALECT
        rows = self._rows(dialect, self.ledger.order, line_nos)
        self.ledger.ids |= {row[0]: row[1] for row in rows}
        return {row[0]: Line(*row[2:]) for row in rows}

    def _rows(self, dialect: Dialect, order: int, line_nos: list[int]) -> list[tuple[Any, ...]]:
        values = {"order": order, "line_nos": line_nos}
        return self._conn.execute(dialect.read + dialect.some, values, prepare=True).fetchall()

    def _until_through(
        self, attempt: Callable[[Dialect], None], happened: Callable[[], bool]
    ) -> bool:
        """Try a transaction until it is through, as applications do; False: refused for good.

        :param happened: called when the answer was lost, to tell whether there is more to do
        """
        ledger, started = self.ledger, time.monotonic()
        dialect = V2_DIALECT if self._tries_v2() else LEGACY_DIALECT
        while True:
            try:
                attempt(dialect)
                break
            except psycopg.Error as error:
                if is_lost(error):
                    ledger.unknown += 1
                    if self._learn(happened):
                        break
                elif dialect is V2_DIALECT and self.names == "both" and _is_early(error):
                    ledger.refused += 1
                    dialect = LEGACY_DIALECT
                elif error.sqlstate in PASSING:
                    ledger.retried[error.sqlstate] += 1
                else:
                    ledger.errors.append(f"{error.sqlstate}: {error.diag.message_primary or error}")
                    return False
        ledger.acknowledged += 1
        ledger.acknowledged_by_v2 += dialect is V2_DIALECT
        ledger.timings.append((started, time.monotonic() - started))
        return True

    def _learn(self, happened: Callable[[], bool]) -> bool:
        """Connect again, however long the server takes, and ask."""
        give_up = time.monotonic() + PATIENCE
        while True:
            self._conn.close()
            try:
                self._conn = psycopg.connect(self._url, autocommit=True)
                return happened()
            except psycopg.OperationalError as error:
                if not is_lost(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether the connection is gone, or never came to be."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(CONNECTION_CLASSES)


def _is_early(error: psycopg.Error) -> bool:
    return isinstance(error, errors.ObjectNotInPrerequisiteState)


class Workload:
    """Some clients, each in a thread of its own."""

    def __init__(self, url: str, *, clients: int = 4, seed: int = 1, rate: float = 50.0) -> None:
        self._clients = [Client(url, number, seed) for number in range(clients)]
        self._rate = rate

    @property
    def ledgers(self) -> list[Ledger]:
        """What the clients were told so far."""
        return [client.ledger for client in self._clients]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the clients work for the time of the block."""
        stop = threading.Event()
        with ThreadPoolExecutor(len(self._clients)) as pool:
            running = [pool.submit(each.run, stop.is_set, self._rate) for each in self._clients]
            try:
                yield
            finally:
                stop.set()
        for each in running:
            each.result()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hold all clients between two transactions."""
        with contextlib.ExitStack() as stack:
            for client in self._clients:
                stack.enter_context(client.turn)
            yield

    def has_done(self, transactions: int) -> Callable[[], bool]:
        """Return a question: has every client done so many transactions more than now?"""
        marks = [ledger.acknowledged + transactions for ledger in self.ledgers]
        return lambda: all(
            ledger.acknowledged >= mark for ledger, mark in zip(self.ledgers, marks, strict=True)
        )

    def use(self, names: Names) -> None:
        """Let clients use other names from their next transaction on; returns when all do."""
        with self.paused():
            for client in self._clients:
                client.names = names


def discrepancies(conn: Connection, dialect: Dialect, ledgers: Iterable[Ledger]) -> list[str]:
    """Say where a table is not as the ledgers of all clients promise; nothing to say: it is."""
    said: list[str] = []
    least = most = 1
    returned: list[int] = []
    for ledger in ledgers:
        rows = conn.execute(dialect.read, {"order": ledger.order}).fetchall()
        found = [(row[0], Line(*row[2:])) for row in rows if row[0] >= FIRST_FREE_LINE]
        expected = sorted(ledger.lines.items())
        said += _differences(f"order {ledger.order}", expected, sorted(found))
        most += ledger.counted
        least += ledger.counted - ledger.counted_perhaps
        returned += [ledger.ids[line_no] for line_no in ledger.returned]
    hot = {"order": 1, "line_nos": [HOT_LINE]}
    rows = conn.execute(dialect.read + dialect.some, hot).fetchall()
    if [least <= row[2] <= most for row in rows] != [True]:
        said.append(f"the row on which all count is {rows}: it should have {least} to {most}")
    found_returned = [row[0] for row in conn.execute(f"SELECT line_item_id FROM {RETURNS}")]
    if sorted(found_returned) != sorted(returned):
        said.append(f"rows that reference {found_returned} instead of {returned}")
    return said


def _differences(
    title: str, expected: Sequence[tuple[int, Line]], found: Sequence[tuple[int, Line]]
) -> Iterator[str]:
    for row in expected:
        if row not in found:
            yield f"{title}: {row} is not there"
    for row in found:
        if row not in expected:
            yield f"{title}: {row} should not be there"
    if len(found) != len(dict(found)):
        yield f"{title}: a line is there twice"
