"""The command `compat-verify`: exit code 0 when all holds, 1 when not, 2 when it could not be told.

Only the report goes to standard output; what a user must put right goes to standard error.
"""

from __future__ import annotations

from typing import Annotated

import typer

from compat.connection import connect, user_errors
from compat.console import reporting_errors
from verify import terminal
from verify.runner import NAMES, run

_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_ALL = ",".join(NAMES)


@_app.command()
def verify(
    url: Annotated[
        str | None,
        typer.Argument(
            help="postgresql://user@host/database; by default COMPAT_DATABASE_URL or DATABASE_URL",
            show_default=False,
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(help="Only this stored mapping; may be given again.", show_default=False),
    ] = None,
    checks: Annotated[str, typer.Option(help="Which checks, separated by commas.")] = _ALL,
    limit: Annotated[
        int, typer.Option(min=0, help="How many differences are shown; totals are exact.")
    ] = 10,
    lock_timeout: Annotated[
        int,
        typer.Option(min=1, help="Milliseconds that a probe waits for a row of an application."),
    ] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare the compatibility views of a database with the tables whose place they take.

    Reads the stored mappings; compares structure, row counts and every row; tries statements on
    the view and on a twin of the table. Everything is rolled back.

    Exit code: 0 all of it holds, 1 something does not, 2 something could not be checked.
    """
    names = [name.strip() for name in checks.split(",") if name.strip()]
    with (
        reporting_errors(),
        user_errors(),
        connect(url, purpose="verify") as conn,
        terminal.progress(quiet=as_json) as on_start,
    ):
        report = run(
            conn, names, mapping, limit=limit, lock_timeout=lock_timeout, on_start=on_start
        )
    if as_json:
        print(report.to_json())
    else:
        terminal.show(report)
    raise typer.Exit(report.exit_code)


def main() -> None:
    """Run the command; a user's mistake gives a message and exit code 2, never a traceback."""
    _app()
