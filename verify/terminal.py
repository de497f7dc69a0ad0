"""The report for people: a table on a terminal, plain lines in a log.

Names and values come from a database and are never taken for markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from verify.context import plural
from verify.report import MappingReport, Report, Result, Status

_STYLES = {Status.HOLDS: "green", Status.DOES_NOT_HOLD: "bold red", Status.NOT_RUN: "yellow"}


def show(report: Report, console: Console | None = None) -> None:
    """Print the report."""
    out = console or Console(highlight=False)
    for mapping in report.mappings:
        if out.is_terminal:
            out.print(_table(mapping))
        else:
            _lines(mapping, out)
    verdict = {0: "All of it holds.", 1: "It does not hold.", 2: "Not everything could be checked."}
    style = {0: "green", 1: "bold red", 2: "yellow"}[report.exit_code]
    out.print(Text(verdict[report.exit_code], style))


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, str], None]]:
    """Yield what is called before each check; on a terminal a line tells what is under way."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda mapping, check: None
        return
    with console.status(Text("connecting")) as status:
        yield lambda mapping, check: status.update(Text(f"{mapping}: {check}"))


def _title(mapping: MappingReport) -> str:
    return (
        f"{mapping.name} ({mapping.phase}, {mapping.form}): "
        f"{mapping.legacy} against {mapping.view} over {mapping.target}"
    )


def _table(mapping: MappingReport) -> Table:
    table = Table(title=Text(_title(mapping), "bold"), title_justify="left", expand=False)
    table.add_column("check")
    table.add_column("verdict")
    table.add_column("what was found", overflow="fold")
    table.add_column("time", justify="right")
    for result in mapping.results:
        found = Group(Text(result.summary), *(Text(line, "dim") for line in _details(result)))
        verdict = Text(result.status.value, _STYLES[result.status])
        table.add_row(Text(result.check), verdict, found, f"{result.seconds:.2f} s")
    return table


def _lines(mapping: MappingReport, out: Console) -> None:
    _plain(out, _title(mapping))
    for result in mapping.results:
        _plain(out, f"  {result.check:<11} {result.status.value:<14} {result.summary}")
        for line in _details(result):
            _plain(out, f"      {line}")


def _plain(out: Console, line: str) -> None:
    out.print(Text(line), soft_wrap=True)


def _details(result: Result) -> Iterator[str]:
    for measure in result.measures:
        times = zip(("p50", "p95"), measure.table, measure.view, measure.ratios, strict=True)
        figures = (f"{name} {a:.3f} → {b:.3f} ms ({ratio:.2f} ×)" for name, a, b, ratio in times)
        yield f"{measure.title}: {', '.join(figures)}"
    for finding in result.findings:
        first, *more = finding.message.splitlines() or [""]
        yield f"{finding.subject}: {first}"
        yield from (f"    {line}" for line in more[:12])
        if len(more) > 12:
            yield f"    … {plural(len(more) - 12, 'more line')}"
    shown = len({finding.key or finding for finding in result.findings})
    if result.total > shown:
        yield f"… {result.total:,} in all; --limit shows more"
    for note in result.notes:
        yield f"note: {note}"
