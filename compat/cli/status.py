"""Where things stand: `compat status`.

Only reads arguments and prints; the work is in compat.run.status.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from compat.cli.app import AsJson, Url, app, connected, table_of
from compat.console import DOES_NOT_HOLD, out, print_json
from compat.errors import CompatError

if TYPE_CHECKING:
    from compat.run.status import Event, Status


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Only this mapping.")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="What was done to this mapping so far, instead.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say where each migration stands and what comes next. Exit code 1 when something is wrong.

    Example: `compat status`
    """
    from compat.run.status import history as run_history
    from compat.run.status import status as run_status

    with connected(url, "status") as conn:
        if history:
            if name is None:
                raise CompatError("the history of which mapping?", "compat status NAME --history")
            _print_history(run_history(conn, name), as_json)
            return
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
        for remark in _remarks(item):
            out.print(f"{item.mapping}: {remark}", markup=False)


def _remarks(item: Status) -> Iterator[str]:
    if item.rejects:
        lists = f"compat retry-rejects {shlex.quote(item.mapping)}"
        yield f"{item.rejects:,} rejected rows ({lists} lists them)"
    if item.not_validated:
        yield f"not validated (VALIDATE CONSTRAINT does it): {', '.join(item.not_validated)}"
    if item.twins:
        yield f"foreign keys to the target, validated at contract: {', '.join(item.twins)}"
    if item.verified is not None:
        age = timedelta(seconds=round(item.verified.age.total_seconds()))
        yield f"verified {age} ago, {', '.join(item.verified.checks)}: {item.verified.verdict}"
    for holder in item.held_up_by:
        yield f"held up by {holder}"


def _print_history(events: tuple[Event, ...], as_json: bool) -> None:
    if as_json:
        print_json(events)
        return
    table = table_of("", "when", "step", "detail")
    for item in events:
        detail = ", ".join(f"{key} {value}" for key, value in item.detail.items())
        table.add_row(f"{item.at:%Y-%m-%d %H:%M:%S}", escape(item.step), escape(detail))
    out.print(table)
