"""`compat copy`: moves the existing rows, in batches, while both sides are live.

Only reads arguments and prints; the work is in compat.run.copy.
"""

from __future__ import annotations

from typing import Annotated

import typer

from compat.cli.app import AsJson, Execute, LockTimeout, MaxAttempts, Name, Url, app
from compat.connection import connect, user_errors
from compat.console import out, print_json, progress_bar, reporting_errors
from compat.run.copy import CopyOptions, CopyState, forecast
from compat.run.copy import copy as run_copy
from compat.run.retry import LockPolicy


@app.command()
def copy(
    name: Name,
    execute: Execute = False,
    batch_size: Annotated[
        int, typer.Option(help="Rows in one transaction.", min=1)
    ] = CopyOptions.batch_size,
    throttle: Annotated[
        float | None, typer.Option(help="Rows per second at most.", min=0.001)
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for transactions that do not see the copy.")
    ] = CopyOptions.patience,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Copy the existing rows, in batches; run it again to resume.

    Example: `compat copy order_line_items --execute --throttle 20000`
    """
    policy = LockPolicy(lock_timeout, max_attempts)
    options = CopyOptions(batch_size, throttle, patience, policy)
    with reporting_errors(), user_errors(), connect(url, purpose="copy") as conn:
        if not execute:
            coming = forecast(conn, name, options)
            if as_json:
                print_json(coming)
                return
            out.print(
                f"would copy {coming.rows_missing:,} of {coming.rows:,} rows "
                f"in about {coming.batches:,} batches of {options.rows_per_batch:,}"
            )
            for column, rows in coming.losses:
                lost = f"  {column}: {rows:,} rows lose what was accepted for them"
                out.print(lost, markup=False)
            out.print("nothing was changed; add --execute to do it")
            return
        with progress_bar(f"copy {name}") as bar:

            def show(at: CopyState) -> None:
                bar(at.rows_seen, at.total)

            result = run_copy(conn, name, options, show)
        if as_json:
            print_json(result)
        elif not result.changed:
            out.print(f"{name}: copied already ({result.rows_copied:,} rows)", markup=False)
        else:
            rate = result.rows_seen / result.seconds if result.seconds else 0.0
            out.print(
                f"{name}: {result.rows_seen:,} rows seen, {result.rows_copied:,} copied "
                f"({result.rows_seen - result.rows_copied:,} were there through the sync), "
                f"{result.seconds:.1f} s, {rate:,.0f} rows/s",
                markup=False,
            )
            if result.purged:
                out.print(
                    "  removed from the target again, since their legacy rows were deleted "
                    f"meanwhile: {result.purged:,}"
                )
