"""Where things stand: `compat status`.

Only reads arguments and prints; the work is in compat.run.status.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from compat.cli.app import AsJson, Url, app, table_of
from compat.connection import connect, user_errors
from compat.console import DOES_NOT_HOLD, out, print_json, reporting_errors
from compat.run.status import Status
from compat.run.status import status as run_status


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Only this mapping.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say where each migration stands and what comes next. Exit code 1 when something is wrong.

    Example: `compat status`
    """
    with reporting_errors(), user_errors(), connect(url, purpose="status") as conn:
        result = run_status(conn, name)
    if as_json:
        print_json(result)
    elif not result:
        out.print("no migration in this database; `compat draft TABLE` starts one")
    else:
        _print_status(result)
    if any(item.problems for item in result):
        raise SystemExit(DOES_NOT_HOLD)


def _print_status(statuses: tuple[Status, ...]) -> None:
    table = table_of("", "mapping", "phase", "since", "form", "rows", "copied", "next")
    for item in statuses:
        table.add_row(
            escape(item.mapping),
            item.phase,
            f"{item.since:%Y-%m-%d %H:%M:%S}",
            item.form,
            f"{item.rows:,}",
            "" if item.rows_copied is None else f"{item.rows_copied:,}",
            escape(item.next_step),
        )
    out.print(table)
    for item in statuses:
        for problem in item.problems:
            out.print(f"[bold red]{escape(item.mapping)}:[/] {escape(problem)}")
