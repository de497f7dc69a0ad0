"""The lines of which reports for people are made, without colour."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import islice

from codemods.edits import Edit, apply
from codemods.findings import Outcome
from codemods.project import FileReport, Report

_CONTEXT = 3
"""Lines that a diff shows around what changes."""


def diff(report: FileReport) -> Iterator[str]:
    """Yield the lines of a unified diff, without their line ends."""
    if not report.is_changed:
        return
    name = report.path.as_posix()
    yield from (f"--- a/{name}", f"+++ b/{name}")
    added = 0
    for first, last, edits in _hunks(report):
        start, end = report.span(first, last)
        text = report.file.text[start:end]
        after = apply(text, (edit.moved(-start) for edit in edits)).split("\n")
        before = text.split("\n")
        yield f"@@ -{_range(first, before)} +{_range(first + added, after)} @@"
        # All lines are context; what comes before them are headers.
        found = difflib.unified_diff(before, after, n=len(before), lineterm="")
        yield from (line.rstrip("\r") for line in islice(found, 3, None))
        added += len(after) - len(before)


def _hunks(report: FileReport) -> Iterator[tuple[int, int, list[Edit]]]:
    """Yield the first and the last line of each part of a file that changes, and its edits.

    Only these are compared line by line: a dump has a million others.
    """
    hunks: list[tuple[int, int, list[Edit]]] = []
    for edit in report.part.edits:
        first, last = report.position(edit.start)[0], report.position(edit.end)[0]
        if hunks and first - _CONTEXT <= hunks[-1][1] + _CONTEXT + 1:
            begun, _, before = hunks.pop()
            hunks.append((begun, last, [*before, edit]))
        else:
            hunks.append((first, last, [edit]))
    for first, last, edits in hunks:
        yield max(1, first - _CONTEXT), min(report.lines, last + _CONTEXT), edits


def _range(start: int, lines: list[str]) -> str:
    return f"{start},{len(lines)}" if len(lines) > 1 else f"{start}"


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
