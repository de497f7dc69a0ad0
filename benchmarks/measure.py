"""Clocks, and the order of samples by which drift of the machine cancels.

The server's own CPU time is preferred: other programs on the machine hardly change it.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Cost:
    """Seconds per operation; `cpu` is the backend's, None where it cannot be seen."""

    wall: float
    cpu: float | None

    def per(self, operations: int) -> Cost:
        """The share of one of so many operations."""
        return Cost(self.wall / operations, None if self.cpu is None else self.cpu / operations)


class Clock:
    """Measures what a connection's backend spends between two moments."""

    def __init__(self, conn: Connection) -> None:
        self._process = _local_process(conn)

    @property
    def sees_cpu(self) -> bool:
        """Whether the backend is a process of this machine."""
        return self._process is not None

    @contextlib.contextmanager
    def lap(self, operations: int = 1) -> Iterator[list[Cost]]:
        """Yield a list that holds the cost per operation after the block."""
        laps: list[Cost] = []
        cpu, wall = self._cpu(), time.perf_counter()
        yield laps
        wall = time.perf_counter() - wall
        after = self._cpu()
        spent = None if cpu is None or after is None else after - cpu
        laps.append(Cost(wall, spent).per(operations))

    def _cpu(self) -> float | None:
        return None if self._process is None else _cpu_seconds(self._process)


def _local_process(conn: Connection) -> int | None:
    """The process id of the backend, if this machine's process of that id is that backend.

    In a container, or on another host, the number may belong to somebody else: the server writes
    the database's name, which is random here, into the title of its process.
    """
    process = conn.info.backend_pid
    database = conn.info.dbname
    try:
        title = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
        _cpu_seconds(process)
    except (OSError, OverflowError):
        return None
    return process if "postgres" in title and database in title else None


def _cpu_seconds(process: int) -> float:
    # Linux encodes the CPU clock of another process in the clock's number (what
    # clock_getcpuclockid() returns): nanoseconds, where /proc/<pid>/stat counts 10 ms.
    return time.clock_gettime((~process << 3) | 2)


Side = TypeVar("Side")

Part = Callable[[], Cost]
"""A short piece of a sample."""

Sample = Callable[[Side, int], contextlib.AbstractContextManager[Sequence[Part]]]
"""Prepares one turn of one side, yields the pieces of it, and cleans up afterwards."""


def interleave(sides: Sequence[Side], sample: Sample[Side], repeat: int) -> list[list[Cost]]:
    """Let the sides take turns piece by piece, in alternating direction; one list per side.

    Pieces of milliseconds: what disturbs the machine for longer disturbs all sides alike.
    """
    costs: list[list[Cost]] = [[] for _ in sides]
    order = list(range(len(sides)))
    for turn in range(repeat):
        with contextlib.ExitStack() as stack:
            prepared = [stack.enter_context(sample(side, turn)) for side in sides]
            for number in range(len(prepared[0])):
                for index in order:
                    costs[index].append(prepared[index][number]())
                order.reverse()
    return costs


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The median of each clock on its own."""
    seen = [cost.cpu for cost in costs if cost.cpu is not None]
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(seen) if len(seen) == len(costs) else None,
    )


@dataclass(frozen=True)
class Ratio:
    """How many times the baseline; both clocks."""

    wall: float
    cpu: float | None

    @property
    def best(self) -> float:
        """By CPU time where it could be seen."""
        return self.wall if self.cpu is None else self.cpu


def ratio(costs: Sequence[Cost], baseline: Sequence[Cost]) -> Ratio:
    """The median, over the turns, of what one turn's two samples say."""
    pairs = list(zip(costs, baseline, strict=True))
    cpu = [a.cpu / b.cpu for a, b in pairs if a.cpu is not None and b.cpu]
    return Ratio(
        statistics.median(a.wall / b.wall for a, b in pairs),
        statistics.median(cpu) if len(cpu) == len(pairs) else None,
    )


@dataclass(frozen=True)
class Result:
    """One measured line: what the baseline costs, and what each variant costs against it."""

    title: str
    baseline: Cost
    ratios: Mapping[str, Ratio]


# What wait4() says of a child is at least what its parent had when it started it.
_TELLING_ITS_PEAK = """
import atexit, importlib, pathlib, sys
status = pathlib.Path("/proc/self/status")
if status.exists():
    atexit.register(lambda: sys.stderr.write(status.read_text()))
importlib.import_module(sys.argv.pop(1)).main()
"""


def run_measured(module: str, url: str, *arguments: str) -> tuple[int, int | None]:
    """Run the `main` of a module as a command on a database.

    Return its exit code and its peak of resident memory in bytes, None where the system does not
    tell.
    """
    done = subprocess.run(
        [sys.executable, "-c", _TELLING_ITS_PEAK, module, *arguments],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^VmHWM:\s*(\d+) kB", done.stderr, re.MULTILINE)
    return done.returncode, int(found[1]) * 1024 if found else None
