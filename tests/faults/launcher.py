"""Runs a command in a process of its own that stops at a chosen statement, to be harmed there.

The statements that psycopg sends are counted, BEGIN and COMMIT with them; the command itself knows
nothing of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from collections.abc import Generator
from dataclasses import dataclass
from multiprocessing.connection import Connection as Channel
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg.pq import TransactionStatus

from tests.forked import processes
from tests.run.support import DEADLINE, Ended, environment

When = Literal["before", "sent", "after"]


@dataclass(frozen=True)
class Point:
    """A moment in a command: a statement by its number, from 1, and a side of it.

    sent: the server has it, but the answer was not waited for.
    """

    number: int
    when: When = "before"


NEVER = Point(0)


@dataclass(frozen=True)
class Sent:
    """What a whole command sent: how many statements, and the numbers of those (COMMIT, ROLLBACK)
    that ended a transaction."""

    statements: int
    ends: tuple[int, ...]


class Command:
    """A command that was started, until it ends."""

    def __init__(self, url: str, arguments: tuple[str, ...], point: Point, folder: Path) -> None:
        self._outputs = (folder / "out", folder / "err")
        self._channel, theirs = processes.Pipe()
        self._process = processes.Process(
            target=_run, args=(url, arguments, point, self._outputs, theirs)
        )
        self._process.start()
        theirs.close()

    def stopped(self) -> int | None:
        """Wait until it stops at its point; return the session's process id, None if it ended."""
        told = self._told()
        return told if isinstance(told, int) else None

    def go_on(self) -> None:
        """Let it continue, unless a signal has ended it already."""
        with contextlib.suppress(BrokenPipeError):
            self._channel.send("go on")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def ended(self) -> Ended:
        """Wait for its end."""
        self._process.join(DEADLINE)
        code = self._process.exitcode
        assert code is not None, "the command does not end"
        self._process.close()
        self._channel.close()
        out, err = (path.read_text(encoding="utf-8") for path in self._outputs)
        return Ended(code, out, err)

    def sent(self) -> Sent:
        """Wait until it has sent everything; return how much that was."""
        told = self._told()
        assert isinstance(told, Sent), told
        return told

    def _told(self) -> Any:
        assert self._channel.poll(DEADLINE), "the command neither stops nor ends"
        with contextlib.suppress(EOFError):
            return self._channel.recv()
        return None


def _run(
    url: str, arguments: tuple[str, ...], point: Point, outputs: tuple[Path, Path], channel: Channel
) -> None:
    for descriptor, path in enumerate(outputs, start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    given = environment(url)
    os.environ.clear()
    os.environ.update(given)
    from compat.cli import main as compat
    from verify.cli import main as verify

    program, *rest = arguments
    sys.argv = ["compat-verify", *rest] if program == "verify" else ["compat", program, *rest]
    counter = _Counter(point, channel)
    psycopg.Connection.wait = counter.replacement()  # type: ignore[method-assign]
    try:
        verify() if program == "verify" else compat()
    finally:
        channel.send(Sent(counter.statements, tuple(counter.ends)))


class _Counter:
    """Takes the place of what psycopg awaits the answer of each statement with."""

    def __init__(self, point: Point, channel: Channel) -> None:
        self.statements = 0
        self.ends: list[int] = []
        self._point = point
        self._channel = channel
        self._numbers = itertools.count(1)  # several threads may draw from it

    def replacement(self) -> Any:
        original = psycopg.Connection.wait

        def wait(conn: psycopg.Connection, answer: Generator[Any, Any, Any], *args: Any) -> Any:
            number = self.statements = next(self._numbers)
            if number == self._point.number and self._point.when == "before":
                self._stop(conn)
            if number == self._point.number and self._point.when == "sent":
                answer = self._stop_within(conn, answer)
            was_idle = conn.info.transaction_status == TransactionStatus.IDLE
            result = original(conn, answer, *args)
            if not was_idle and conn.info.transaction_status == TransactionStatus.IDLE:
                self.ends.append(number)
            if number == self._point.number and self._point.when == "after":
                self._stop(conn)
            return result

        return wait

    def _stop(self, conn: psycopg.Connection) -> None:
        self._channel.send(conn.info.backend_pid)
        self._channel.recv()

    def _stop_within(
        self, conn: psycopg.Connection, answer: Generator[Any, Any, Any]
    ) -> Generator[Any, Any, Any]:
        """Stop once the statement is sent, which is before psycopg first waits for the server."""
        awaited = next(answer)
        self._stop(conn)
        while True:
            ready = yield awaited
            try:
                awaited = answer.send(ready)
            except StopIteration as end:
                return end.value
