"""`compat copy` moves the existing rows while both sides are live; `compat retry-rejects`.

Only reads arguments and prints; the work is in compat.run.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from compat.cli.app import AsJson, Execute, LockTimeout, MaxAttempts, Name, Url, app, connected
from compat.console import DOES_NOT_HOLD, out, print_json, progress_bar
from compat.run import defaults

if TYPE_CHECKING:
    from compat.run.copy import CopyForecast, CopyResult, CopyState
    from compat.run.rejects import Retried


@app.command()
def copy(
    name: Name,
    execute: Execute = False,
    workers: Annotated[
        int, typer.Option(help="Ranges of keys that are copied side by side.", min=1)
    ] = defaults.WORKERS,
    dask: Annotated[
        str | None,
        typer.Option(help="Let a Dask cluster do it: its scheduler, as in tcp://host:8786."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Rows in the first transaction.", min=1)
    ] = defaults.BATCH_SIZE,
    batch_seconds: Annotated[
        float,
        typer.Option(help="Seconds a transaction should take; 0 keeps its size.", min=0),
    ] = defaults.BATCH_SECONDS,
    throttle: Annotated[
        float | None, typer.Option(help="Rows per second at most.", min=0.001)
    ] = None,
    pause: Annotated[
        float, typer.Option(help="Seconds between two transactions of a worker.", min=0)
    ] = defaults.PAUSE,
    max_lag: Annotated[
        str | None,
        typer.Option(help="Wait while a replica is further behind than this: 64MB."),
    ] = None,
    max_rejects: Annotated[
        int, typer.Option(help="Rows that may be set aside in compat.reject.", min=0)
    ] = defaults.MAX_REJECTS,
    where: Annotated[
        str | None,
        typer.Option(help="SQL over the legacy columns: copy such rows now, the rest later."),
    ] = None,
    defer_indexes: Annotated[
        bool,
        typer.Option(
            "--defer-indexes",
            help="Drop the target's indexes that are not unique; build them when the rows are "
            "there, concurrently.",
        ),
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for transactions that do not see the copy.")
    ] = defaults.PATIENCE,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Copy the existing rows, in ranges side by side, in batches; run it again to resume.

    Example: `compat copy order_line_items --execute --workers 4 --max-lag 64MB`
    """
    from compat.run.copy import CopyOptions, forecast
    from compat.run.copy import copy as run_copy
    from compat.run.pace import Pace, bytes_of
    from compat.run.retry import LockPolicy

    with connected(url, "copy") as conn:
        lag = None if max_lag is None else bytes_of(conn, max_lag)
        options = CopyOptions(
            workers=workers,
            dask=dask,
            pace=Pace(batch_size, batch_seconds, throttle, pause, lag),
            max_rejects=max_rejects,
            defer_indexes=defer_indexes,
            where=where,
            patience=patience,
            lock_policy=LockPolicy(lock_timeout, max_attempts),
        )
        if not execute:
            coming = forecast(conn, name, options)
            print_json(coming) if as_json else _print_forecast(coming)
            return
        with progress_bar(f"copy {name}") as bar:

            def show(at: CopyState) -> None:
                bar(at.rows_seen, at.total)

            result = run_copy(conn, name, options, show)
        print_json(result) if as_json else _print_result(result)


@app.command(name="retry-rejects")
def retry_rejects(
    name: Name, execute: Execute = False, as_json: AsJson = False, url: Url = None
) -> None:
    """Copy the rows that were set aside again; without --execute, list them with the reasons.

    Exit code 1 when some are still refused.

    Example: `compat retry-rejects order_line_items --execute`
    """
    from compat.run.rejects import Retried, rejects, retry

    with connected(url, "retry-rejects") as conn:
        found = retry(conn, name) if execute else Retried(name, 0, 0, rejects(conn, name))
    if as_json:
        print_json(found)
    else:
        _print_rejects(found, execute)
    if found.rejects:
        raise SystemExit(DOES_NOT_HOLD)


def _print_forecast(coming: CopyForecast) -> None:
    out.print(
        f"would copy {coming.rows_missing:,} of {coming.rows:,} rows, "
        f"in {coming.ranges:,} ranges, {coming.workers} side by side"
    )
    for column, rows in coming.losses:
        lost = f"  {column}: {rows:,} rows lose what was accepted for them"
        out.print(lost, markup=False)
    for index in coming.deferred_indexes:
        out.print(f"  {index}: dropped before, built again after", markup=False)
    out.print("nothing was changed; add --execute to do it")


def _print_result(result: CopyResult) -> None:
    if not result.changed:
        out.print(f"{result.mapping}: copied already ({result.rows_copied:,} rows)", markup=False)
        return
    rate = result.rows_seen / result.seconds if result.seconds else 0.0
    synced = result.rows_seen - result.rows_copied - result.rejected
    out.print(
        f"{result.mapping}: {result.rows_seen:,} rows seen, {result.rows_copied:,} copied "
        f"({synced:,} were there through the sync), "
        f"{result.seconds:.1f} s, {rate:,.0f} rows/s",
        markup=False,
    )
    if result.purged:
        out.print(
            "  removed from the target again, since their legacy rows were deleted "
            f"meanwhile: {result.purged:,}"
        )
    if result.rejected:
        out.print(
            f"  set aside in compat.reject: {result.rejected:,}; correct them, then "
            f"`compat retry-rejects {shlex.quote(result.mapping)} --execute`",
            markup=False,
        )
    if not result.finished:
        out.print("  the others are still to be copied: run it again without --where")


def _print_rejects(found: Retried, executed: bool) -> None:
    if executed:
        out.print(
            f"{found.mapping}: {found.copied:,} rows copied, {found.gone:,} are gone from the "
            f"legacy table, {len(found.rejects):,} still refused",
            markup=False,
        )
    elif not found.rejects:
        out.print(f"{found.mapping}: no row has been set aside", markup=False)
    for item in found.rejects:
        out.print(f"  {item.title}: {item.reason} (SQLSTATE {item.sqlstate})", markup=False)
