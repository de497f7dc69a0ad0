"""Shows a report: a diff, a log of the changes, what needs a look, and counts that add up.

For people with colour on a terminal, and as JSON.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from codemods.findings import Finding, Note, Outcome
from codemods.project import FileReport, Report

_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


def diff(report: FileReport) -> Iterator[str]:
    """Yield the lines of a unified diff, without their line ends."""
    before, after = (text.split("\n") for text in (report.file.text, report.after))
    name = report.path.as_posix()
    for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm=""):
        yield line.rstrip("\r")


def show(report: Report, console: Console, *, verbose: bool = False, wrote: bool = False) -> None:
    """Print a report for people.

    :param verbose: list what is unrelated as well
    :param wrote: the changes are on disk
    """
    for file in report.files:
        for line in diff(file):
            style = next((s for start, s in _STYLES.items() if line.startswith(start)), "")
            console.print(Text(line, style=style))
    _section(console, "Changed" if wrote else "To change", "green", _changes(report))
    _section(console, "Needs a look", "yellow", _findings(report, Outcome.LOOK))
    _section(console, "Values to check", "magenta", _notes(report))
    if verbose:
        _section(console, "Unrelated", "dim", _findings(report, Outcome.UNRELATED))
    _section(console, "Not read", "red", (f"{item.path}: {item.reason}" for item in report.unread))
    _summary(report, console, wrote=wrote)


def _section(console: Console, title: str, style: str, lines: Iterator[str]) -> None:
    first = True
    for line in lines:
        if first:
            console.print(Text(f"\n{title}", style=f"bold {style}"))
            first = False
        console.print(Text(f"  {line}"))


def _changes(report: Report) -> Iterator[str]:
    for file in report.files:
        for edit in file.part.edits:
            line, _ = file.position(edit.start)
            old = file.old(edit)
            told = f"{old} → {edit.new}" if old else f"+ {edit.new.strip()}"
            yield f"{file.path}:{line}: {' '.join(told.split())}  ({edit.reason})"


def _findings(report: Report, outcome: Outcome) -> Iterator[str]:
    for file in report.files:
        for found in file.part.findings:
            if found.outcome is outcome:
                line, column = file.position(found.start)
                yield f"{file.path}:{line}:{column}: {found.name}: {found.reason}"


def _notes(report: Report) -> Iterator[str]:
    for file in report.files:
        for note in file.part.notes:
            line, column = file.position(note.start)
            yield f"{file.path}:{line}:{column}: {note.name}: {note.text}"


def _summary(report: Report, console: Console, *, wrote: bool) -> None:
    totals = report.totals
    changed = "changed" if wrote else "to change"
    console.print(
        Text(
            f"\n{totals.hits:,} hits = {totals.changed:,} {changed}"
            f" + {totals.unrelated:,} unrelated + {totals.needs_a_look:,} need a look"
            f"; {totals.notes:,} values to check",
            style="bold",
        )
    )
    files = f"{totals.files_searched:,} files searched, {totals.files_changed:,} {changed}"
    if totals.files_changed and not wrote:
        files += "; nothing is written without --write"
    console.print(Text(files))


def document(report: Report, *, wrote: bool = False) -> dict[str, Any]:
    """Return a report as plain values, ready for JSON."""
    return {
        "version": 1,
        "written": wrote,
        "totals": dataclasses.asdict(report.totals),
        "files": [_file(file) for file in report.files],
        "unread": [{"path": str(item.path), "reason": item.reason} for item in report.unread],
    }


def _file(file: FileReport) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "problem": file.problem,
        "changes": [
            {
                **_place(file, edit.start),
                "old": file.old(edit),
                "new": edit.new,
                "reason": edit.reason,
            }
            for edit in file.part.edits
        ],
        "findings": [_finding(file, found) for found in file.part.findings],
        "notes": [_note(file, note) for note in file.part.notes],
        "diff": "".join(f"{line}\n" for line in diff(file)),
    }


def _place(file: FileReport, offset: int) -> dict[str, Any]:
    line, column = file.position(offset)
    return {"line": line, "column": column}


def _finding(file: FileReport, found: Finding) -> dict[str, Any]:
    return {
        **_place(file, found.start),
        "name": found.name,
        "kind": found.kind,
        "outcome": found.outcome.value,
        "reason": found.reason,
        "new": found.new,
    }


def _note(file: FileReport, note: Note) -> dict[str, Any]:
    return {**_place(file, note.start), "name": note.name, "text": note.text}
