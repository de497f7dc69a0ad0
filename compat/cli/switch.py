"""`compat switch`: a live migration goes from one form to another.

Only reads arguments and prints; the work is in compat.run.switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from compat import state
from compat.cli.app import AsJson, Execute, LockTimeout, MaxAttempts, Name, Url, app
from compat.compile import switch as compiled
from compat.connection import connect, user_errors
from compat.console import out, print_json, progress_bar, reporting_errors
from compat.mapping import Form
from compat.run import switch as switching
from compat.run.copy import CopyOptions, CopyState
from compat.run.pace import Pace
from compat.run.retry import LockPolicy


@dataclass(frozen=True)
class _Preview:
    """What a switch would run, beside its copy; nothing when the migration has the form."""

    mapping: str
    before: Form
    after: Form
    statements: tuple[str, ...]


@app.command()
def switch(
    name: Name,
    to: Annotated[Form, typer.Option("--to", help="The form that the migration is to have.")],
    execute: Execute = False,
    workers: Annotated[
        int, typer.Option(help="Ranges of keys that are copied side by side.", min=1)
    ] = CopyOptions.workers,
    throttle: Annotated[
        float | None, typer.Option(help="Rows per second at most.", min=0.001)
    ] = None,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Give a migration that was cut over another form, while its clients go on writing.

    Rows are copied, or get columns filled, beside what serves everybody, where the form needs it;
    run it again to resume. Back to the form that it still has takes an unfinished switch back.

    Example: `compat switch order_line_items --to instead_of --execute`
    """
    with reporting_errors(), user_errors(), connect(url, purpose="switch") as conn:
        if not execute:
            before, after = switching.switchable(conn, state.load(conn, name), to)
            statements = tuple(compiled.statements(before, after))
            _would(_Preview(name, before.chosen_form, to, statements), as_json)
            return
        options = CopyOptions(
            workers=workers,
            pace=Pace(rows_per_second=throttle),
            lock_policy=LockPolicy(lock_timeout, max_attempts),
        )
        with progress_bar(f"switch {name}") as bar:

            def show(at: CopyState) -> None:
                bar(at.rows_seen, at.total)

            done = switching.switch(conn, name, to, options, show)
        print_json(done) if as_json else _print_done(done)


def _would(preview: _Preview, as_json: bool) -> None:
    if as_json:
        print_json(preview)
    elif not preview.statements:
        out.print(f"{preview.mapping} is {preview.after} already", markup=False)
    else:
        out.print(
            f"would switch {preview.mapping} from {preview.before} to {preview.after}:\n",
            markup=False,
        )
        for statement in preview.statements:
            out.print(statement + ";", markup=False)
        out.print("\nnothing was changed; add --execute to do it")


def _print_done(done: switching.Switched) -> None:
    if not done.changed:
        out.print(f"{done.mapping} is {done.after} already", markup=False)
        return
    moved = "" if done.rows is None else f", {done.rows:,} rows copied"
    out.print(f"{done.mapping} is {done.after}: {done.seconds:.1f} s{moved}", markup=False)
