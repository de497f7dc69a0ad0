"""The lines of which reports for people are made, without colour."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from codemods.findings import Outcome
from codemods.project import FileReport, Report


def diff(report: FileReport) -> Iterator[str]:
    """Yield the lines of a unified diff, without their line ends."""
    before, after = (text.split("\n") for text in (report.file.text, report.after))
    name = report.path.as_posix()
    for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm=""):
        yield line.rstrip("\r")


def changes(report: Report) -> Iterator[str]:
    """Yield one line for each edit: where, what becomes what, and why."""
    for file in report.files:
        yield from changes_of(file)


def changes_of(file: FileReport) -> Iterator[str]:
    """Yield one line for each edit of a file."""
    for edit in file.part.edits:
        line, _ = file.position(edit.start)
        old = file.old(edit)
        told = f"{old} → {edit.new}" if old else f"+ {edit.new.strip()}"
        yield f"{file.path}:{line}: {' '.join(told.split())}  ({edit.reason})"


def findings(report: Report, outcome: Outcome) -> Iterator[str]:
    """Yield one line for each hit of an outcome."""
    for file in report.files:
        yield from findings_of(file, outcome)


def findings_of(file: FileReport, outcome: Outcome) -> Iterator[str]:
    """Yield one line for each hit of an outcome in a file."""
    for found in file.part.findings:
        if found.outcome is outcome:
            line, column = file.position(found.start)
            yield f"{file.path}:{line}:{column}: {found.name}: {found.reason}"


def notes(report: Report) -> Iterator[str]:
    """Yield one line for each place that a human must check, though its name is right."""
    for file in report.files:
        for note in file.part.notes:
            line, column = file.position(note.start)
            yield f"{file.path}:{line}:{column}: {note.name}: {note.text}"


def summary(report: Report, *, wrote: bool) -> str:
    """Return the counts in one sentence: the first is the sum of those that follow."""
    totals = report.totals
    ignored = f" + {totals.ignored:,} ignored" if totals.ignored else ""
    return (
        f"{totals.hits:,} hits = {totals.changed:,} {'changed' if wrote else 'to change'}"
        f" + {totals.unrelated:,} unrelated{ignored} + {totals.needs_a_look:,} need a look"
        f"; {totals.notes:,} to check"
    )
