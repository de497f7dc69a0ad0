"""The command line `compat`: draft, plan, expand, copy, cutover, rollback, contract, status, demo.

Only reads arguments and prints; the work is in compat.run. Whatever changes a database needs
--execute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from compat import state
from compat.connection import Connection, connect, user_errors
from compat.console import (
    DOES_NOT_HOLD,
    err,
    out,
    print_json,
    progress_bar,
    reporting_errors,
)
from compat.errors import CompatError, MappingError
from compat.mapping import Mapping, json_schema, load
from compat.run import steps
from compat.run.copy import CopyOptions, CopyState, forecast
from compat.run.copy import copy as run_copy
from compat.run.draft import draft as run_draft
from compat.run.plan import Plan
from compat.run.plan import plan as run_plan
from compat.run.retry import LockPolicy
from compat.run.status import Status
from compat.run.status import status as run_status

app = typer.Typer(
    name="compat",
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

_PLANNED: tuple[steps.Step | Literal["expand"], ...] = ("expand", "cutover", "rollback", "contract")


@app.command()
def draft(
    table: Annotated[str, typer.Argument(help="The legacy table, with or without its schema.")],
    target: Annotated[
        str | None, typer.Option(help="The v2 table (default: the legacy name with _v2).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the mapping.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: .py or .json.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write a first mapping by pairing the columns of two tables.

    Exit code 1 when something is left to decide; it is marked OPEN in the draft.

    Example: `compat draft order_line_items -o mapping.py`
    """
    with reporting_errors(), user_errors(), connect(url, purpose="draft") as conn:
        result = run_draft(conn, table, target, name)
        text = result.source
        if as_json or (output is not None and output.suffix == ".json"):
            if result.mapping is None:
                raise MappingError(
                    "the draft is not complete, and JSON has no place for open questions:\n  "
                    + "\n  ".join(result.open_questions),
                    "draft into a .py file and settle the lines marked OPEN",
                )
            text = result.mapping.to_json(indent=2) + "\n"
        if output is None:
            typer.echo(text, nl=False)
        elif output.exists() and not force:
            raise CompatError(f"{output} exists already", "give another file, or --force")
        else:
            try:
                output.write_text(text, encoding="utf-8")
            except OSError as error:
                raise CompatError(f"cannot write {output}: {error.strerror}") from None
            err.print(f"wrote {output}", markup=False)
        for question in result.open_questions:
            err.print(f"[bold yellow]open:[/] {escape(question)}")
        if result.mapping is None:
            raise SystemExit(DOES_NOT_HOLD)


@app.command()
def plan(
    mapping: Source,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL of every step.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say what would happen: the form of the view and why, what clients keep, what may be lost.

    Example: `compat plan mapping.py`
    """
    with reporting_errors(), user_errors(), connect(url, purpose="plan") as conn:
        value = _mapping(conn, mapping)
        result = run_plan(conn, value)
    if as_json:
        print_json(result)
        return
    _print_plan(result)
    if sql:
        for step in _PLANNED:
            out.print(f"\n-- {step}", markup=False)
            for statement in steps.statements(step, value):
                out.print(statement + ";", markup=False)


@app.command()
def expand(
    mapping: Source,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Store a mapping, start the sync of new writes, and make the view under a standby name.

    For projects without Alembic; with it, a revision calls op.create_sync and
    op.create_compat_view.

    Example: `compat expand mapping.py --execute`
    """
    with reporting_errors(), user_errors(), connect(url, purpose="expand") as conn:
        value = _mapping(conn, mapping)
        if not execute:
            to_do = steps.can_expand(conn, value)
            statements = tuple(steps.statements("expand", value)) if to_do else ()
            _would(Preview("expand", value.name, statements), as_json)
            return
        policy = LockPolicy(lock_timeout, max_attempts)
        _done(steps.expand(conn, value, policy, _say_retry), as_json)


@app.command()
def unexpand(
    name: Name, execute: Execute = False, as_json: AsJson = False, url: Url = None
) -> None:
    """Take an expand back: stop the sync, drop the standby view, forget the mapping.

    Example: `compat unexpand order_line_items --execute`
    """
    _short_step("unexpand", steps.unexpand, name, url, LockPolicy() if execute else None, as_json)


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


@app.command()
def cutover(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Put the view under the legacy name, in one short transaction.

    Example: `compat cutover order_line_items --execute`
    """
    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("cutover", steps.cutover, name, url, policy if execute else None, as_json)


@app.command()
def rollback(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Put the legacy table back under its name, with all that was written since.

    Example: `compat rollback order_line_items --execute`
    """
    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("rollback", steps.rollback, name, url, policy if execute else None, as_json)


@app.command()
def contract(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Drop the view, the sync and the retired table: the end of the migration.

    Example: `compat contract order_line_items --execute`
    """
    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("contract", steps.contract, name, url, policy if execute else None, as_json)


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


@app.command()
def schema() -> None:
    """Print the JSON Schema of the mapping document.

    Example: `compat schema > mapping.schema.json`
    """
    print_json(json_schema())


@app.command()
def demo(
    rows: Annotated[int, typer.Option(help="Order lines to begin with.", min=100)] = 100_000,
    workers: Annotated[int, typer.Option(help="Shop processes that keep writing.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the data and of the shop's customers.")] = 1,
    keep: Annotated[bool, typer.Option(help="Keep the working directory (ledgers, logs).")] = False,
) -> None:
    """Run the whole journey on a database of its own, with a live shop on top. From a checkout.

    Example: `compat demo --rows 20000`
    """
    from compat.demo import run_demo

    with reporting_errors():
        raise SystemExit(run_demo(rows=rows, workers=workers, seed=seed, keep=keep))


def main() -> None:
    """Run the command line."""
    app()


def _mapping(conn: Connection, source: str) -> Mapping:
    if source.endswith(".json") or ".py" in source:
        return load(source)
    return state.load(conn, source).mapping


@dataclass(frozen=True)
class Preview:
    """What a step would run: nothing when it was done already."""

    step: str
    mapping: str
    statements: tuple[str, ...]


def _short_step(
    step: steps.Step,
    run: Callable[[Connection, str, LockPolicy, steps.OnRetry], steps.Outcome],
    name: str,
    url: str | None,
    policy: LockPolicy | None,
    as_json: bool,
) -> None:
    """Run a step under a policy, or say what it would do when there is none."""
    with reporting_errors(), user_errors(), connect(url, purpose=step) as conn:
        if policy is None:
            _would(_preview(conn, step, name), as_json)
        else:
            _done(run(conn, name, policy, _say_retry), as_json)


def _preview(conn: Connection, step: steps.Step, name: str) -> Preview:
    value = steps.startable(conn, step, name)
    return Preview(step, name, () if value is None else tuple(steps.statements(step, value)))


def _would(preview: Preview, as_json: bool) -> None:
    if as_json:
        print_json(preview)
    elif not preview.statements:
        out.print(f"{preview.mapping}: {preview.step} was done already", markup=False)
    else:
        out.print(f"would {preview.step} {preview.mapping}, in one transaction:\n", markup=False)
        for statement in preview.statements:
            out.print(statement + ";", markup=False)
        out.print("\nnothing was changed; add --execute to do it")


def _say_retry(attempt: int, reason: str) -> None:
    err.print(f"  attempt {attempt}: {reason}; trying again", style="yellow", markup=False)


def _done(outcome: steps.Outcome, as_json: bool) -> None:
    if as_json:
        print_json(outcome)
    elif not outcome.changed:
        out.print(f"{outcome.mapping}: {outcome.step} was done already", markup=False)
    else:
        tries = "" if outcome.attempts == 1 else f" in {outcome.attempts} attempts"
        out.print(
            f"{outcome.mapping}: {outcome.step} done in {outcome.seconds * 1000:.0f} ms{tries}",
            markup=False,
        )


def _print_plan(plan: Plan) -> None:
    head = escape(f"{plan.legacy} → {plan.target}, {plan.phase}")
    out.print(f"[bold]{escape(plan.mapping)}[/]: {head}")
    out.print(f"about {plan.rows:,} rows; form [bold]{plan.form}[/], because")
    for reason in plan.why:
        out.print(f"  {reason}", markup=False)
    columns = _table("columns", "legacy", "target", "rule", "may be lost", "rows", "refused")
    for column in plan.columns:
        loss = column.loss or ""
        columns.add_row(
            escape(column.legacy),
            escape(", ".join(column.targets)),
            column.rule,
            escape(f"{loss} (accepted)" if loss and column.accepted else loss),
            "" if column.rows_lost is None else f"{column.rows_lost:,}",
            escape(", ".join(column.refusals)),
        )
    fidelity = _table(f"what clients keep ({plan.form})", "behaviour", "", "note")
    styles = {"kept": "green", "kept with a note": "yellow", "not possible": "red"}
    for item in plan.fidelity:
        style = styles[item.verdict]
        fidelity.add_row(item.behaviour, f"[{style}]{item.verdict}[/]", item.note)
    tables = [columns, fidelity]
    if plan.dependents:
        dependents = _table("what else hangs on the table", "kind", "name", "what happens")
        for dependent in plan.dependents:
            dependents.add_row(dependent.kind, escape(dependent.name), dependent.what_happens)
        tables.append(dependents)
    steps_table = _table("steps", "step", "what it does")
    for step, what in plan.steps:
        steps_table.add_row(step, escape(what))
    for table in (*tables, steps_table):
        out.print()
        out.print(table)
    if plan.indexes:
        out.print("\nindexes that the view needs where the legacy table had one:")
        for statement in plan.indexes:
            out.print(f"  {statement};", markup=False)


def _print_status(statuses: tuple[Status, ...]) -> None:
    table = _table("", "mapping", "phase", "since", "form", "rows", "copied", "next")
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


def _table(title: str, *headers: str) -> Table:
    from rich import box

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
