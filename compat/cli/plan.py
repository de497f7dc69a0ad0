"""Before anything is changed: `compat draft`, `compat plan`, `compat schema`.

Only reads arguments and prints; the work is in compat.run.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from compat.cli.app import AsJson, Source, Url, app, connected, find_mapping, table_of
from compat.console import DOES_NOT_HOLD, err, out, print_json
from compat.errors import CompatError, MappingError

if TYPE_CHECKING:
    from rich.table import Table

    from compat.run.needs import Needs
    from compat.run.plan import Plan

_STYLES = {"kept": "green", "kept with a note": "yellow", "not possible": "red"}
_PLACES = 3
"""So many places of a need are shown; --json has all."""
_PLANNED: Final = ("expand", "cutover", "rollback", "contract")


@app.command()
def draft(
    table: Annotated[str, typer.Argument(help="The legacy table, with or without its schema.")],
    target: Annotated[
        str | None, typer.Option(help="The v2 table (default: the legacy name with _v2).")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="A further table with columns of each row: a half, or a parent; repeat."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the mapping.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: .py or .json.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
    source: Annotated[
        str | None,
        typer.Option(help="URL of the legacy table's database, for a move between two databases."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write a first mapping by pairing the columns of two tables.

    Exit code 1 when something is left to decide; it is marked OPEN in the draft.

    Example: `compat draft order_line_items -o mapping.py`
    """
    from compat.connection import connect
    from compat.run.draft import draft as run_draft

    with (
        connected(url, "draft") as conn,
        connect(source, purpose="draft") if source else nullcontext() as other,
    ):
        result = run_draft(conn, table, target, name, source=other, parts=part or ())
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
    needs: Annotated[
        Path | None,
        typer.Option(
            help="What applications need, as `compat-codemod scan --json` printed it: exit code 1"
            " when the form of the view does not serve all of it."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say what would happen: the form of the view and why, what clients keep, what may be lost.

    Example: `compat plan mapping.py --needs needs.json`
    """
    from compat.run import steps
    from compat.run.needs import read as read_needs
    from compat.run.plan import plan as run_plan

    with connected(url, "plan") as conn:
        value = find_mapping(conn, mapping)
        result = run_plan(conn, value)
        version = conn.info.server_version // 10_000
        needed = None if needs is None else read_needs(needs, value, version)
        planned: dict[str, list[str]] = {}
        if sql:
            planned = {step: steps.statements(conn, step, value) for step in _PLANNED}
    if as_json:
        print_json(result if needed is None else {**vars(result), "needs": needed})
    else:
        _print_plan(result)
        if needed is not None:
            _print_needs(needed)
        if sql:
            _print_sql(result, planned)
    if needed is not None and needed.not_served:
        raise SystemExit(DOES_NOT_HOLD)


def _print_sql(plan: Plan, planned: dict[str, list[str]]) -> None:
    out.print(f"\n-- the view {plan.legacy}", markup=False)
    out.print(plan.view + ";", markup=False)
    for version in plan.beneath:
        out.print(f"\n-- the view {version.legacy}, from the cutover on", markup=False)
        out.print(version.view + ";", markup=False)
    for step, statements in planned.items():
        out.print(f"\n-- {step}", markup=False)
        for statement in statements:
            out.print(statement + ";", markup=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the mapping document.

    Example: `compat schema > mapping.schema.json`
    """
    from compat.mapping import json_schema

    print_json(json_schema())


def _print_plan(plan: Plan) -> None:
    head = escape(f"{plan.legacy} → {plan.target}, {plan.phase}")
    out.print(f"[bold]{escape(plan.mapping)}[/]: {head}")
    out.print(f"about {plan.rows:,} rows; form [bold]{plan.form}[/], because")
    for reason in plan.why:
        out.print(f"  {reason}", markup=False)
    if plan.through:
        chain = " → ".join((plan.mapping, *plan.through))
        out.print(f"composed of {chain}: the view reads {plan.target} itself", markup=False)
    for version in plan.beneath:
        out.print(
            f"beneath: {version.legacy} ({version.mapping}) is compiled anew at cutover, straight "
            f"to {version.target} ({version.form})",
            markup=False,
        )
    columns = table_of("columns", "legacy", "target", "rule", "may be lost", "rows", "refused")
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
    fidelity = table_of(f"what clients keep ({plan.form})", "behaviour", "", "note")
    for item in plan.fidelity:
        style = _STYLES[item.verdict]
        fidelity.add_row(item.behaviour, f"[{style}]{item.verdict}[/]", item.note)
    tables = [columns, *_tables(plan), fidelity]
    if plan.dependents:
        dependents = table_of("what else hangs on the table", "kind", "name", "what happens")
        for dependent in plan.dependents:
            what = dependent.what_happens
            if dependent.verdict != "fine":
                what = f"{dependent.verdict}: {what}; fix: {dependent.fix}"
            dependents.add_row(dependent.kind, escape(dependent.name), escape(what))
        tables.append(dependents)
    steps_table = table_of("steps", "step", "what it does")
    for step, what in plan.steps:
        steps_table.add_row(step, escape(what))
    for table in (*tables, steps_table):
        out.print()
        out.print(table)
    if plan.indexes:
        out.print("\nindexes that the view needs where the legacy table had one:")
        for statement in plan.indexes:
            out.print(f"  {statement};", markup=False)


def _tables(plan: Plan) -> list[Table]:
    """Return the table of tables, where there is more to say of them than their name."""
    if not plan.tables:
        return []
    shown = table_of("tables", "table", "what it is", "holds", "INSERT", "UPDATE", "DELETE")
    for item in plan.tables:
        cells = (
            item.table,
            item.role,
            ", ".join(item.holds),
            item.insert,
            item.update,
            item.delete,
        )
        shown.add_row(*map(escape, cells))
    return [shown]


def _print_needs(needs: Needs) -> None:
    forms = [item.form for item in needs.needs[0].served] if needs.needs else []
    table = table_of("what applications need", "behaviour", *forms, "where", "instead")
    for need in needs.needs:
        verdicts = [
            f"[{_STYLES[s.behaviour.verdict]}]{s.behaviour.verdict}[/]" for s in need.served
        ]
        shown = ", ".join(need.places[:_PLACES])
        more = len(need.places) - _PLACES
        where = f"{shown} and {more} more" if more > 0 else shown
        instead = "" if need.is_served(needs.form) else need.fix
        table.add_row(need.behaviour, *verdicts, escape(where), escape(instead))
    out.print()
    out.print(table)
    if not needs.not_served:
        out.print(f"the form {needs.form} serves all of it")
    elif needs.serving:
        out.print(f"all of it is served by the form {' or '.join(needs.serving)}")
    else:
        out.print("no form of this view serves all of it: change the applications first")
