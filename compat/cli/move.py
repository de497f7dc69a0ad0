"""Between two databases: `compat move`, and `compat unmove`, which takes it back.

Only reads arguments and prints; the work is in compat.run.move and compat.run.unmove.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from compat.cli.app import AsJson, Execute, LockTimeout, MaxAttempts, app, connected, table_of
from compat.console import (
    DOES_NOT_HOLD,
    err,
    out,
    print_json,
    progress_bar,
    reporting_errors,
)
from compat.errors import ConnectionFailed
from compat.run import defaults

if TYPE_CHECKING:
    from compat.connection import Connection
    from compat.mapping import Mapping
    from compat.run.arrivals import Record
    from compat.run.move import MoveResult
    from compat.run.unmove import Unmoved

GRACE_SECONDS = 5
VERBOSE_ROWS = 1_000

Moved = Annotated[
    str,
    typer.Argument(
        metavar="MAPPING",
        help="A mapping: FILE.json, FILE.py[:NAME], or the name of one that was moved before.",
    ),
]
SourceUrl = Annotated[
    str | None,
    typer.Option("--source", envvar="COMPAT_SOURCE_URL", help="URL of the database to read."),
]
TargetUrl = Annotated[
    str | None,
    typer.Option(
        "--target",
        "--url",
        "-u",
        envvar="COMPAT_TARGET_URL",
        help="URL of the database to write; else COMPAT_DATABASE_URL or DATABASE_URL.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help=f"Name up to {VERBOSE_ROWS:,} rows of each kind.")
]


@app.command()
def move(
    mapping: Moved,
    source: SourceUrl = None,
    target: TargetUrl = None,
    where: Annotated[
        str | None,
        typer.Option(help="Only such rows: SQL over the legacy columns, besides the mapping's."),
    ] = None,
    execute: Execute = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not wait {GRACE_SECONDS} s for Ctrl-C.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Rows in one transaction.", min=1)] = 10_000,
    throttle: Annotated[
        float | None, typer.Option(help="Rows per second at most.", min=0.001)
    ] = None,
    max_rejects: Annotated[
        int, typer.Option(help="Rows to set aside in compat.reject before giving up.", min=0)
    ] = 0,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Move rows to another database; the source is only read. Run it again to resume.

    Never overwrites a row. Exit code 1 when rows were refused, or a foreign key does not hold.

    Example: `compat move mapping.py --source postgresql://…/monolith --target postgresql://…/orders`
    """
    from compat.connection import connect, user_errors
    from compat.run.arrivals import MoveOptions
    from compat.run.move import move as run_move
    from compat.run.pace import Pace
    from compat.run.retry import LockPolicy

    options = MoveOptions(
        condition=where,
        pace=Pace(batch_size, batch_seconds=0, rows_per_second=throttle),
        max_rejects=max_rejects,
        lock_policy=LockPolicy(lock_timeout, max_attempts),
        listed=VERBOSE_ROWS if verbose else defaults.LISTED,
        list_moved=verbose,
    )
    with (
        reporting_errors(),
        user_errors(),
        connect(_require_source(source), purpose="move") as origin,
        connect(target, purpose="move") as destination,
    ):
        value = _find(destination, mapping)
        if execute and not yes:
            _wait_for_second_thoughts(destination)
        with progress_bar(f"move {value.name}") as bar:
            result = run_move(origin, destination, value, options, bar, execute=execute)
    if as_json:
        print_json(result)
    else:
        _print_moved(result, max_rejects)
    if not result.holds:
        raise SystemExit(DOES_NOT_HOLD)


@app.command()
def unmove(
    mapping: Moved,
    target: TargetUrl = None,
    run: Annotated[
        int | None, typer.Option(help="Only what this run has moved (default: all runs).", min=1)
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Also rows that somebody has changed since.")
    ] = False,
    execute: Execute = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Delete from the target what a move has inserted, and nothing else.

    Rows that were changed since stay, and so do those that others reference; then the exit code
    is 1.

    Example: `compat unmove mapping.py --target postgresql://…/orders --execute`
    """
    from compat.run.unmove import unmove as run_unmove

    with connected(target, "unmove") as conn:
        value = _find(conn, mapping)
        listed = VERBOSE_ROWS if verbose else defaults.LISTED
        result = run_unmove(conn, value, run, changed=changed, execute=execute, listed=listed)
    if as_json:
        print_json(result)
    else:
        _print_unmoved(result)
    if not result.holds:
        raise SystemExit(DOES_NOT_HOLD)


def _require_source(url: str | None) -> str:
    if not url:
        raise ConnectionFailed(
            "no source database was named",
            "give --source postgresql://user@host/database or set COMPAT_SOURCE_URL",
        )
    return url


def _find(target: Connection, source: str) -> Mapping:
    from compat.mapping import load
    from compat.run.move import stored_mapping

    if source.endswith(".json") or ".py" in source:
        return load(source)
    return stored_mapping(target, source)


def _wait_for_second_thoughts(target: Connection) -> None:
    """Give whoever sits at the terminal the time to press Ctrl-C."""
    if not (sys.stdin.isatty() and err.is_terminal):
        return
    from compat.connection import redact

    name = redact(target.info.dsn)
    try:
        for left in range(GRACE_SECONDS, 0, -1):
            err.print(f"writes to {name} in {left} s; Ctrl-C cancels", markup=False, end="\r")
            time.sleep(1)
        err.print()
    except KeyboardInterrupt:
        err.print("\ncancelled; nothing was changed")
        raise SystemExit(130) from None


def _print_moved(result: MoveResult, max_rejects: int) -> None:
    tally, would = result.tally, "" if result.executed else "would be "
    for record in result.records:
        out.print(f"  {_word(record, result.executed)} {record.row}: {record.detail}", markup=False)
    named, most = Counter(record.what for record in result.records), defaults.LISTED
    if max(named.values(), default=0) >= most:
        out.print(f"  (at most {most} of each kind are named, {VERBOSE_ROWS:,} with --verbose)")
    title = f"{result.mapping}: {result.source} → {result.target}"
    table = table_of(escape(title), "", "rows")
    for what, rows in (
        ("found", tally.found),
        (f"{would}moved", tally.moved),
        (f"{would}skipped", tally.skipped),
        ("  in the target already, as they are", tally.same),
        ("  in the target already, but different (not overwritten)", tally.different),
        ("  parent missing in the target database", tally.orphans),
        (f"{would}rejected (set aside in compat.reject)", tally.rejected),
    ):
        table.add_row(what, f"{rows:,}")
    out.print(table)
    for item in result.altered:
        triggers = ", ".join(item.triggers)
        out.print(
            f"triggers of the target ({triggers}) change {item.column} in {item.rows:,} rows",
            markup=False,
        )
    for step in result.sequences:
        verb = "set to" if result.executed else "would be set to"
        out.print(f"sequence {step.sequence} {verb} {step.value:,}", markup=False)
    for key in result.foreign_keys:
        state = "valid" if key.holds and not key.orphans else f"{key.orphans:,} rows without parent"
        kind = "" if key.holds else " (NOT VALID or NOT ENFORCED)"
        out.print(f"foreign key {key.name} → {key.parent}{kind}: {state}", markup=False)
    how = f"run {result.run}" + ", resumed" * result.resumed if result.executed else "dry run"
    out.print(f"{how}, {result.seconds:.1f} s", markup=False)
    if not result.executed:
        if tally.rejected > max_rejects:
            out.print(
                f"an execution would stop at the first row that is refused; --max-rejects "
                f"{tally.rejected} sets them aside"
            )
        out.print("nothing was changed; add --execute to do it")


def _word(record: Record, executed: bool) -> str:
    if record.what == "moved":
        return "moved" if executed else "would move"
    return {"different": "not overwritten", "orphan": "skipped", "rejected": "rejected"}[
        record.what
    ]


def _print_unmoved(result: Unmoved) -> None:
    for kept in result.kept:
        why = "changed since" if kept.why == "changed" else "referenced by other rows"
        out.print(f"  stays: {kept.row} ({why})", markup=False)
    table = table_of(escape(result.mapping), "", "rows")
    for what, rows in (
        ("removed" if result.executed else "would be removed", result.removed),
        ("kept: changed since (--changed removes them)", result.changed),
        ("kept: referenced by other rows", result.referenced),
        ("gone already", result.gone),
    ):
        table.add_row(what, f"{rows:,}")
    out.print(table)
    if not result.executed:
        out.print("nothing was changed; add --execute to do it")
