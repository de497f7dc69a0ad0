"""Cutover and rollback of a large table, one after the other, under clients that never stop.

Measured are the clients' waiting times, and how long the tool keeps its locks. Each client is a
process of its own, so that none waits for the others or for the tool in Python.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Channel
from multiprocessing.synchronize import Event
from typing import Any, Final

import psycopg

from benchmarks import journey, workload
from benchmarks.measure import Connection
from benchmarks.workload import LEGACY_DIALECT, V2_DIALECT, Client, Ledger
from compat.database import Database
from compat.run import steps
from compat.run.copy import copy

CLIENTS: Final = 4
RATE: Final = 100.0
"""Transactions per second of each client: the machine must not be the one that makes them wait."""

PAUSE: Final = 0.5
"""Seconds between a cutover and the next rollback."""

STALL_AIM_MS: Final = 250
HOLD_AIM_MS: Final = 50

_processes = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Span:
    """A time by the monotonic clock."""

    start: float
    end: float

    def meets(self, other: Span) -> bool:
        """Whether the two have a moment in common."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Waits:
    """How long the transactions of one time took, in seconds."""

    title: str
    count: int
    p50: float
    p99: float
    longest: float

    @classmethod
    def among(cls, title: str, transactions: Sequence[Span], times: Sequence[Span]) -> Waits:
        """Of the transactions that meet one of these times."""
        seconds = sorted(t.end - t.start for t in transactions if any(map(t.meets, times)))
        if not seconds:
            return cls(title, 0, 0.0, 0.0, 0.0)
        p99 = seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]
        return cls(title, len(seconds), statistics.median(seconds), p99, seconds[-1])


@dataclass(frozen=True)
class Step:
    """A cutover or a rollback: when, how long its attempts kept their locks (seconds each)."""

    name: str
    time: Span
    holds: tuple[float, ...]


@dataclass(frozen=True)
class Load:
    """What was measured."""

    rows: int
    steps: Sequence[Step]
    waits: Sequence[Waits]
    acknowledged: int
    by_v2: int
    retried: Mapping[str, int]
    errors: Sequence[str]
    discrepancies: Sequence[str]

    @property
    def longest_hold(self) -> float:
        """Seconds, of all attempts of all steps."""
        return max(hold for step in self.steps for hold in step.holds)

    @property
    def longest_stall(self) -> float:
        """Seconds of the slowest transaction that met a step."""
        names = {step.name for step in self.steps}
        return max(waits.longest for waits in self.waits if waits.title in names)

    def render(self) -> str:
        """The section of the report, as Markdown."""
        holds = [hold * 1000 for step in self.steps for hold in step.holds]
        attempts = sum(len(step.holds) for step in self.steps)
        lines = [
            f"## Cutover and rollback under load, {self.rows:,} rows",
            "",
            f"{len(self.steps) // 2} cutovers and as many rollbacks, one after the other, of the "
            f"converting mapping with an inbound foreign key, under {CLIENTS} processes that "
            f"keep their sessions and prepared statements, each with up to {RATE:g} transactions "
            "per second; every second one writes through v2 as soon as it may. How long a lock is "
            "held, is timed in the tool: from the answer to the first `LOCK TABLE … ACCESS "
            "EXCLUSIVE` of an attempt to the answer to its COMMIT (or ROLLBACK). A transaction "
            "counts for a step when the two overlap; its time includes its retries.",
            "",
            "| | measured | aim |",
            "|---|--:|--:|",
            _line("client errors", len(self.errors), "0", met=not self.errors),
            _line(
                "rows that are not as a client was told",
                len(self.discrepancies),
                "0",
                met=not self.discrepancies,
            ),
            _line(
                "longest client stall",
                _ms(self.longest_stall),
                f"< {STALL_AIM_MS} ms",
                met=self.longest_stall * 1000 < STALL_AIM_MS,
            ),
            _line(
                "longest hold of the lock",
                _ms(self.longest_hold),
                f"< {HOLD_AIM_MS} ms",
                met=self.longest_hold * 1000 < HOLD_AIM_MS,
            ),
            _line("median hold of the lock", f"{statistics.median(holds):.1f} ms"),
            _line("attempts that had a lock, per step", f"{attempts / len(self.steps):.1f}"),
            _line("transactions, of them through v2", f"{self.acknowledged:,}, {self.by_v2:,}"),
            _line("errors after which a client tried again", _retries(self.retried)),
            "",
            "| clients' transactions | number | p50 | p99 | longest |",
            "|---|--:|--:|--:|--:|",
            *(
                f"| {w.title} | {w.count:,} | {_ms(w.p50)} | {_ms(w.p99)} | {_ms(w.longest)} |"
                for w in self.waits
            ),
            "",
            *(f"- {problem}" for problem in (*self.errors, *self.discrepancies)),
        ]
        return "\n".join(lines)


def measure(server: Database, rows: int, alternations: int, calm: float) -> Load:
    """Alternate so many times between cutover and rollback.

    :param calm: seconds of load before the first cutover, and after the last rollback
    """
    with (
        server.fresh() as url,
        psycopg.connect(url, autocommit=True) as conn,
        _Timed.connect(url, autocommit=True) as tool,
    ):
        workload.prepare(conn, rows)
        mapping = journey.create_target(conn, "instead_of")
        steps.expand(tool, mapping)
        copy(tool, mapping.name)
        for table in (mapping.legacy.sql, mapping.target.sql):
            conn.execute(f"VACUUM (ANALYZE) {table}")
        done: list[Step] = []
        with _clients(url) as ledgers:
            began = time.monotonic()
            time.sleep(calm)
            for _ in range(alternations):
                for name, run in (("cutover", steps.cutover), ("rollback", steps.rollback)):
                    tool.holds.clear()
                    start = time.monotonic()
                    run(tool, mapping.name)
                    done.append(Step(name, Span(start, time.monotonic()), tuple(tool.holds)))
                    time.sleep(PAUSE)
            time.sleep(calm)
            ended = time.monotonic()
        return _summary(conn, rows, done, ledgers, Span(began, ended))


class _Timed(psycopg.Connection[Any]):
    """A connection that notes how long each transaction kept an ACCESS EXCLUSIVE lock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.holds: list[float] = []
        self._granted = 0.0  # when; 0: no lock is held

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> psycopg.Cursor[Any]:
        cursor = super().execute(query, *args, **kwargs)
        if not self._granted and str(query).startswith("LOCK TABLE"):
            self._granted = time.monotonic()
        return cursor

    @contextlib.contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[psycopg.Transaction]:
        self._granted = 0.0
        try:
            with super().transaction(*args, **kwargs) as transaction:
                yield transaction
        finally:
            if self._granted:
                self.holds.append(time.monotonic() - self._granted)


@contextlib.contextmanager
def _clients(url: str) -> Iterator[list[Ledger]]:
    """Let clients work for the time of the block; afterwards the list holds their ledgers."""
    stop = _processes.Event()
    ledgers: list[Ledger] = []
    pipes = [_processes.Pipe() for _ in range(CLIENTS)]
    clients = [
        _processes.Process(target=_work, args=(url, number, theirs, stop), daemon=True)
        for number, (_, theirs) in enumerate(pipes)
    ]
    for client in clients:
        client.start()
    for ours, theirs in pipes:
        theirs.close()
        ours.recv()  # the client is connected
    try:
        yield ledgers
    finally:
        stop.set()
    ledgers += [ours.recv() for ours, _ in pipes]
    for client in clients:
        client.join()


def _work(url: str, number: int, channel: Channel, stop: Event) -> None:
    client = Client(url, number, seed=1, names="both")
    channel.send(None)
    channel.send(client.run(stop.is_set, RATE))


def _summary(
    conn: Connection, rows: int, done: Sequence[Step], ledgers: Sequence[Ledger], all_of_it: Span
) -> Load:
    transactions = [
        Span(start, start + seconds) for ledger in ledgers for start, seconds in ledger.timings
    ]
    cutovers, rollbacks = (
        [step.time for step in done if step.name == name] for name in ("cutover", "rollback")
    )
    through_view = [
        Span(cutover.end, rollback.start)
        for cutover, rollback in zip(cutovers, rollbacks, strict=True)
    ]
    return Load(
        rows,
        done,
        [
            Waits.among("before", transactions, [Span(all_of_it.start, cutovers[0].start)]),
            Waits.among("cutover", transactions, cutovers),
            Waits.among("between cutover and rollback", transactions, through_view),
            Waits.among("rollback", transactions, rollbacks),
            Waits.among("after", transactions, [Span(rollbacks[-1].end, all_of_it.end)]),
        ],
        acknowledged=sum(ledger.acknowledged for ledger in ledgers),
        by_v2=sum(ledger.acknowledged_by_v2 for ledger in ledgers),
        retried=sum((ledger.retried for ledger in ledgers), Counter()),
        errors=[error for ledger in ledgers for error in ledger.errors],
        discrepancies=[
            f"{name}: {problem}"
            for name, dialect in (("legacy", LEGACY_DIALECT), ("v2", V2_DIALECT))
            for problem in workload.discrepancies(conn, dialect, ledgers)
        ],
    )


def _line(title: str, measured: object, aim: str = "", *, met: bool = True) -> str:
    return f"| {title} | {measured if met else f'**{measured}**'} | {aim} |"


def _retries(retried: Mapping[str, int]) -> str:
    return ", ".join(f"{times:,} × {state}" for state, times in retried.items()) or "none"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
