"""Commands in processes of their own that are forked from one which has imported everything.

A program that Python starts anew spends most of a second on its imports.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection as Channel
from pathlib import Path
from typing import IO, Literal

# Besides what the verification imports as well.
_IMPORTED_BY_COMMANDS = ("copy", "draft", "needs", "plan", "rejects", "status", "switch", "unmove")

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    [
        "alembic.config",
        "compat.cli",
        *(f"compat.run.{command}" for command in _IMPORTED_BY_COMMANDS),
        "verify.cli",
        "verify.runner",
        "verify.between",
        "tests.forked",
        "tests.faults.launcher",
    ]
)


class Process:
    """A command of `compat`, or of `alembic`, at work; used as a `subprocess.Popen[str]` is."""

    def __init__(
        self,
        environment: Mapping[str, str],
        arguments: tuple[str, ...],
        *,
        program: Literal["compat", "alembic"] = "compat",
        folder: Path | None = None,
    ) -> None:
        pipes = [processes.Pipe(duplex=False) for _ in ("out", "err")]
        theirs = [writer for _, writer in pipes]
        self._process = processes.Process(
            target=_run,
            args=(dict(environment), (program, *arguments), str(folder or Path.cwd()), theirs),
        )
        self._process.start()
        for writer in theirs:
            writer.close()
        self.stdout, self.stderr = (_reader(ours) for ours, _ in pipes)

    @property
    def returncode(self) -> int | None:
        """The exit code, negative the number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self.returncode

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for its end, and return what it printed and said of errors.

        :raises AssertionError: it has not ended after so many seconds; it is killed
        """
        said: list[str] = []
        listener = threading.Thread(target=lambda: said.append(self.stderr.read()))
        overdue = threading.Timer(timeout, self.kill)
        overdue.start()
        listener.start()
        printed = self.stdout.read()
        listener.join()
        self._process.join()
        assert overdue.is_alive(), f"not ended after {timeout} s: {printed}{said}"
        overdue.cancel()
        self.stdout.close()
        self.stderr.close()
        return printed, said[0]


def _reader(channel: Channel) -> IO[str]:
    with channel:
        return os.fdopen(os.dup(channel.fileno()), encoding="utf-8")


def _run(
    environment: dict[str, str], command: tuple[str, ...], folder: str, outputs: list[Channel]
) -> None:
    for descriptor, channel in enumerate(outputs, start=1):
        os.dup2(channel.fileno(), descriptor)
        channel.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = list(command)
    if command[0] == "alembic":
        from alembic.config import main as run_alembic

        run_alembic()
    else:
        from compat.cli import main as run_compat

        run_compat()
