"""What the command lines share: consoles, JSON, progress bars, exit codes.

Colour and bars on a terminal; plain lines where output is read by something else.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from compat.errors import CompatError

HOLDS, DOES_NOT_HOLD, COULD_NOT_RUN = 0, 1, 2

# Where nobody looks at a terminal there is no width to fit into.
_WIDTH = None if sys.stdout.isatty() else 140

# Names and SQL may hold what rich takes for an emoji (`:key:`).
out = Console(soft_wrap=True, highlight=False, emoji=False, width=_WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False, width=_WIDTH)


def to_json(value: Any) -> str:
    """Return dataclasses, tuples and plain values as JSON."""

    def default(item: Any) -> Any:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
        if isinstance(item, datetime):
            return item.isoformat()
        return str(item)

    return json.dumps(value, default=default, indent=2, ensure_ascii=False)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output, without colour."""
    sys.stdout.write(to_json(value) + "\n")


def fail(error: CompatError) -> NoReturn:
    """Print an error that the user can act on, and end with exit code 2."""
    err.print(Text("error: ", style="bold red") + Text(error.message))
    if error.hint:
        err.print(Text("  fix: ", style="bold") + Text(error.hint))
    raise SystemExit(COULD_NOT_RUN)


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn errors of the user's into a message and exit code 2, Ctrl-C into 130."""
    try:
        yield
    except CompatError as error:
        fail(error)
    except KeyboardInterrupt:
        err.print("interrupted; run the command again to go on where it stopped")
        raise SystemExit(130) from None


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (done, total) that draws a bar, or prints a line now and then."""
    if not err.is_terminal:
        last = [0]

        def line(done: int, total: int) -> None:
            if total and (done >= total or done - last[0] >= max(total // 10, 1)):
                last[0] = done
                err.print(f"{title}: {done:,} of about {total:,} rows")

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=None, rate="")

        def bar(done: int, total: int) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:,.0f} rows/s" if speed else ""
            progress.update(task, completed=done, total=max(total, done), rate=rate)

        yield bar
