"""`compat switch`: a live migration goes from one form to another.

Only reads arguments and prints; the work is in compat.run.switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from compat.cli.app import AsJson, Execute, LockTimeout, MaxAttempts, Name, Url, app, connected
from compat.console import out, print_json, progress_bar
from compat.run import defaults

if TYPE_CHECKING:
    from compat.mapping import Form
    from compat.run.copy import CopyState
    from compat.run.switch import Switched

Wanted = Literal["updatable", "bridged", "instead_of", "reversed"]
"""Each Form of compat.mapping: the option is read before that is imported."""


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
    to: Annotated[Wanted, typer.Option("--to", help="The form that the migration is to have.")],
    execute: Execute = False,
    workers: Annotated[
        int, typer.Option(help="Ranges of keys that are copied side by side.", min=1)
    ] = defaults.WORKERS,
    throttle: Annotated[
        float | None, typer.Option(help="Rows per second at most.", min=0.001)
    ] = None,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Give a migration that was cut over another form, while its clients go on writing.

    Rows are copied, or get columns filled, beside what serves everybody, where the form needs it;
    run it again to resume. Back to the form that it still has takes an unfinished switch back.

    Example: `compat switch order_line_items --to instead_of --execute`
    """
    from compat import state
    from compat.compile import switch as compiled
    from compat.run import switch as switching
    from compat.run.copy import CopyOptions
    from compat.run.pace import Pace
    from compat.run.retry import LockPolicy

    with connected(url, "switch") as conn:
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


def _print_done(done: Switched) -> None:
    if not done.changed:
        out.print(f"{done.mapping} is {done.after} already", markup=False)
        return
    moved = "" if done.rows is None else f", {done.rows:,} rows copied"
    out.print(f"{done.mapping} is {done.after}: {done.seconds:.1f} s{moved}", markup=False)
