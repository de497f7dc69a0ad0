"""Shows a report to people: a diff, what changes, what needs a look, and counts that add up."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from codemods.findings import Outcome
from codemods.interactive import Change
from codemods.project import Report
from codemods.reports import lines
from codemods.scan import Scan
from codemods.scan.needs import Use

_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


def show(report: Report, console: Console, *, verbose: bool = False, wrote: bool = False) -> None:
    """Print a report for people.

    :param verbose: list what is unrelated as well
    :param wrote: the changes are on disk
    """
    for file in report.files:
        for line in lines.diff(file):
            console.print(_coloured(line))
    _section(console, "Changed" if wrote else "To change", "green", lines.changes(report))
    _section(console, "Needs a look", "yellow", lines.findings(report, Outcome.LOOK))
    _section(console, "To check", "magenta", lines.notes(report))
    if verbose:
        _section(console, "Unrelated", "dim", lines.findings(report, Outcome.UNRELATED))
    _section(console, "Not read", "red", (f"{item.path}: {item.reason}" for item in report.unread))
    _summary(report, console, wrote=wrote)


def show_scan(scan: Scan, console: Console) -> None:
    """Print what a view cannot serve, and what it serves with a note."""
    served = (use for use in scan.uses if use.is_served)
    _section(console, "Not served by the view", "red", map(_use, scan.not_served))
    _section(console, "Served", "green", map(_use, served))
    _section(console, "Not read", "red", (f"{item.path}: {item.reason}" for item in scan.unread))
    forms = ", ".join(f"{m.name}: {m.chosen_form}" for m in scan.mappings)
    summary = (
        f"\n{len(scan.uses):,} uses = {len(scan.not_served):,} not served"
        f" + {len(scan.uses) - len(scan.not_served):,} served ({forms})"
    )
    console.print(Text(summary, style="bold"))
    console.print(Text(f"{scan.searched:,} files searched"))


def _use(use: Use) -> str:
    doubt = "" if use.certain else "perhaps "
    told = "" if use.is_served else f"; instead: {use.need.fix}"
    return (
        f"{use.path}:{use.line}: {doubt}{use.need.behaviour}: {use.verdict}{told}"
        f"\n    {use.statement}"
    )


def show_change(change: Change, console: Console) -> None:
    """Print one change before it is made."""
    line, _ = change.file.position(change.edits[0].start)
    console.print(Text(f"\n{change.file.path}:{line}", style="bold"))
    for sign, text in (("-", change.before), ("+", change.after)):
        for written in text.splitlines():
            console.print(_coloured(sign + written))


def _coloured(line: str) -> Text:
    style = next((s for start, s in _STYLES.items() if line.startswith(start)), "")
    return Text(line, style=style)


def _section(console: Console, title: str, style: str, lines: Iterator[str]) -> None:
    first = True
    for line in lines:
        if first:
            console.print(Text(f"\n{title}", style=f"bold {style}"))
            first = False
        console.print(Text(f"  {line}"))


def _summary(report: Report, console: Console, *, wrote: bool) -> None:
    totals = report.totals
    console.print(Text(f"\n{lines.summary(report, wrote=wrote)}", style="bold"))
    changed = "changed" if wrote else "to change"
    files = f"{totals.files_searched:,} files searched, {totals.files_changed:,} {changed}"
    if totals.files_changed and not wrote:
        files += "; nothing is written without --write"
    console.print(Text(files))
