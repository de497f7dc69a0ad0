"""`compat usage`: who still uses a compatibility view.

Only reads arguments and prints; the work is in compat.run.usage.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from compat.cli.app import AsJson, Name, Url, app, connected, duration, table_of
from compat.console import err, out, print_json
from compat.run import defaults

if TYPE_CHECKING:
    from compat.connection import Connection
    from compat.run.usage import Usage

_ONCE = timedelta(0)


@app.command()
def usage(
    name: Name,
    watch: Annotated[
        timedelta,
        typer.Option(
            parser=duration,
            metavar="TIME",
            show_default="one look",
            help="How long to look; Ctrl-C ends it and keeps what was seen.",
        ),
    ] = _ONCE,
    interval: Annotated[
        timedelta,
        typer.Option(
            parser=duration, metavar="TIME", show_default="100ms", help="Time between two looks."
        ),
    ] = defaults.LOOK_INTERVAL,
    since: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration,
            metavar="TIME",
            show_default="the cutover",
            help="Only who was seen within this time.",
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say who still uses the view under the legacy name, by role and application.

    Looks at locks, at the last statement of each session, and at pg_stat_statements where it is
    installed. What was seen is kept in the database, and `compat contract` heeds it.

    Example: `compat usage order_line_items --watch 10m`
    """
    with connected(url, "usage") as conn:
        found = _watched(conn, name, watch, interval)
    shown = found.uses if since is None else found.within(since)
    if as_json:
        print_json({**vars(found), "uses": shown})
        return
    if not shown:
        out.print(f"{name}: nobody was seen to use the view", markup=False)
    else:
        table = table_of("", "role", "application", "", "seen by", "times", "first", "last")
        for use in shown:
            table.add_row(
                escape(use.role),
                escape(use.application),
                use.kind,
                use.source,
                f"{use.times:,}",
                f"{use.first_seen:%Y-%m-%d %H:%M:%S}",
                f"{use.last_seen:%Y-%m-%d %H:%M:%S}",
            )
        out.print(table)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


def _watched(conn: Connection, name: str, watch: timedelta, interval: timedelta) -> Usage:
    from compat.connection import despite_interrupt
    from compat.run.usage import observe

    try:
        return observe(conn, name, watch, interval)
    except KeyboardInterrupt:
        err.print("interrupted; what was seen is kept")
        return despite_interrupt(lambda: observe(conn, name))
