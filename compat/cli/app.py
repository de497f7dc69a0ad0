"""What the commands of `compat` share: the application, its options, how a table is printed.

Options that several commands take are defined once, so that they mean the same everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from compat import state
from compat.connection import Connection
from compat.console import err
from compat.mapping import Mapping, load


class InOrderOfUse(TyperGroup):
    """Lists the commands in the order in which a migration needs them."""

    before = ("draft", "plan", "schema", "expand", "unexpand", "copy")
    after = ("cutover", "rollback", "contract", "status")

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


def find_mapping(conn: Connection, source: str) -> Mapping:
    """Return the mapping in a file, or the one of that name in the database."""
    if source.endswith(".json") or ".py" in source:
        return load(source)
    return state.load(conn, source).mapping


def say_retry(attempt: int, reason: str) -> None:
    """Tell why a step is tried again."""
    err.print(f"  attempt {attempt}: {reason}; trying again", style="yellow", markup=False)


def table_of(title: str, *headers: str) -> Table:
    """Return an empty table with these headers."""
    from rich import box

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
