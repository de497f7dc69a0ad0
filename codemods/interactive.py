"""Asks about one change after another: y takes it, n leaves it, a takes all, q leaves the rest.

What belongs together is asked together: a statement of SQL is rewritten as a whole, and so is the
class that describes a table.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from codemods.analysis import Part
from codemods.edits import Edit, apply
from codemods.files import Language
from codemods.findings import Outcome
from codemods.project import FileReport, Report
from codemods.sql import lexer


class Answer(Enum):
    """What a human says to a change."""

    YES = "y"
    NO = "n"
    ALL = "a"
    QUIT = "q"


@dataclass(frozen=True)
class Change:
    """Edits of one file that are made together, between two offsets of its text."""

    file: FileReport
    start: int
    end: int
    edits: tuple[Edit, ...]

    @property
    def before(self) -> str:
        """The lines that change, as they are."""
        start, end = self._lines
        return self.file.file.text[start:end]

    @property
    def after(self) -> str:
        """The same lines with the change made."""
        start, _ = self._lines
        return apply(self.before, (edit.moved(-start) for edit in self.edits))

    @property
    def _lines(self) -> tuple[int, int]:
        text = self.file.file.text
        start = text.rfind("\n", 0, self.edits[0].start) + 1
        end = text.find("\n", self.edits[-1].end)
        return start, len(text) if end < 0 else end


def chosen(report: Report, ask: Callable[[Change], Answer]) -> Report:
    """Return the report with those changes only that somebody wants."""
    answer = Answer.YES
    kept: list[FileReport] = []
    for file in report.files:
        declined: list[Change] = []
        for change in changes(file):
            if answer not in (Answer.ALL, Answer.QUIT):
                answer = ask(change)
            if answer in (Answer.NO, Answer.QUIT):
                declined.append(change)
        kept.append(_without(file, declined))
    return replace(report, files=tuple(kept))


def changes(file: FileReport) -> Iterator[Change]:
    """Yield what is asked about in a file, in order."""
    spans = sorted(_units(file), key=lambda span: (span[0], -span[1]))
    edits = list(file.part.edits)
    while edits:
        first = edits[0]
        start, end = next(
            ((a, b) for a, b in spans if a <= first.start and first.end <= b),
            (first.start, first.end),
        )
        inside = [edit for edit in edits if edit.end <= end]
        yield Change(file, start, end, tuple(inside))
        edits = edits[len(inside) :]


def _units(file: FileReport) -> Iterator[tuple[int, int]]:
    """Yield the spans that change together, the outer ones before the inner ones."""
    text = file.file.text
    if file.file.language is Language.PYTHON:
        yield from _python_units(text, file.part.edits)
    elif file.file.language is Language.SQL:
        yield from lexer.statements(text, lexer.segments(text))
    else:
        start = 0
        for paragraph in text.split("\n\n"):
            yield start, start + len(paragraph)
            start += len(paragraph) + 2


def _python_units(text: str, edits: Sequence[Edit]) -> Iterator[tuple[int, int]]:
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def units(node: ast.stmt) -> Iterator[tuple[int, int]]:
        start, end = lines[node.lineno - 1], lines[node.end_lineno or node.lineno]
        inner = sorted(_statements_in(node), key=lambda child: child.lineno)
        head = lines[inner[0].lineno - 1] if inner else end
        if isinstance(node, ast.ClassDef) and any(
            start <= edit.start < end and not any(_holds(lines, method, edit) for method in inner)
            for edit in edits
        ):
            yield start, end
            return
        yield start, head
        for child in inner:
            yield from units(child)

    for statement in ast.parse(text).body:
        yield from units(statement)


def _statements_in(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a block: all of them, but of a class its methods only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            is_method = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_method or not isinstance(node, ast.ClassDef):
                yield child
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from _statements_in(child)


def _holds(lines: Sequence[int], node: ast.stmt, edit: Edit) -> bool:
    return lines[node.lineno - 1] <= edit.start < lines[node.end_lineno or node.lineno]


def _without(file: FileReport, declined: Sequence[Change]) -> FileReport:
    """Return the report of a file with some of its changes not made."""
    if not declined:
        return file
    spans = [(change.start, change.end) for change in declined]

    def is_declined(start: int, end: int) -> bool:
        return any(a <= start and end <= b for a, b in spans)

    part = Part(
        tuple(e for e in file.part.edits if not is_declined(e.start, e.end)),
        tuple(
            f.left("declined")
            if f.outcome is Outcome.CHANGED and is_declined(f.start, f.end)
            else f
            for f in file.part.findings
        ),
        file.part.notes,
    )
    return replace(file, part=part, after=apply(file.file.text, part.edits))
