"""What the commands of `compat` share: the application, its options, how a table is printed.

Options that several commands take are defined once, so that they mean the same everywhere. What a
command needs it imports itself, so that `--help` is there at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from compat.console import err, reporting_errors
from compat.log import writing_to

if TYPE_CHECKING:
    from rich.table import Table

    from compat.connection import Connection
    from compat.mapping import Mapping


class InOrderOfUse(TyperGroup):
    """Lists the commands in the order in which a migration needs them."""

    before = ("draft", "plan", "schema", "expand", "unexpand", "copy")
    after = ("cutover", "rollback", "switch", "usage", "contract", "move", "unmove", "status")

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands: those of the order first."""
        names, order = super().list_commands(ctx), (*self.before, *self.after)
        return [*(n for n in order if n in names), *(n for n in names if n not in order)]


app = typer.Typer(
    name="compat",
    cls=InOrderOfUse,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Replace a PostgreSQL table while unmodified applications go on reading and writing it.",
)


@app.callback()
def common(
    context: typer.Context,
    log: Annotated[
        str | None,
        typer.Option(
            envvar="COMPAT_LOG",
            metavar="FILE",
            help="Append what happens to this file, as JSON lines; - is standard error.",
        ),
    ] = None,
) -> None:
    """Open the log before the command, and close it after."""
    with reporting_errors():
        context.with_resource(writing_to(log))


def duration(text: str | timedelta) -> timedelta:
    """Return the time that a user means: 90, 30s, 15m, 2h, 1d, 1h30m, 100ms; a default as it is.

    :raises typer.BadParameter: it cannot be read, or is too long
    """
    if isinstance(text, timedelta):
        return text
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|$)", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise typer.BadParameter(f"{text!r} is no time; write 30s, 15m, 2h or 1d")
    try:
        return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long") from None


_UNITS = {
    "ms": timedelta(milliseconds=1),
    "": timedelta(seconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}

Url = Annotated[
    str | None,
    typer.Option("--url", "-u", help="Database URL; else COMPAT_DATABASE_URL or DATABASE_URL."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Execute = Annotated[
    bool, typer.Option("--execute", help="Do it. Without this, only say what would be done.")
]
Name = Annotated[str, typer.Argument(help="Name of a mapping that the database holds.")]
Source = Annotated[
    str, typer.Argument(help="A mapping: FILE.json, FILE.py[:NAME], or a name in the database.")
]
LockTimeout = Annotated[
    int, typer.Option(help="Milliseconds to wait for a lock before giving way.", min=1)
]
MaxAttempts = Annotated[int, typer.Option(help="Attempts before giving up.", min=1)]


@contextmanager
def connected(url: str | None, command: str) -> Iterator[Connection]:
    """Yield a connection for a command; what the user can put right is reported, not raised.

    :param command: its name, which pg_stat_activity shows
    """
    with reporting_errors():
        from compat.connection import connect, user_errors

        with user_errors(), connect(url, purpose=command) as conn:
            yield conn


def find_mapping(conn: Connection, source: str) -> Mapping:
    """Return the mapping in a file, or the one of that name in the database."""
    from compat import state
    from compat.mapping import load

    if source.endswith(".json") or ".py" in source:
        return load(source)
    return state.load(conn, source).mapping


def say_retry(attempt: int, reason: str) -> None:
    """Tell why a step is tried again."""
    err.print(f"  attempt {attempt}: {reason}; trying again", style="yellow", markup=False)


def table_of(title: str, *headers: str) -> Table:
    """Return an empty table with these headers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
