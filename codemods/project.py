"""Works on all files of some paths: analyses each, then settles what depends on other files.

Returns values only; `files.write` is called by whoever wants the result on disk.
"""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from codemods import files, python, sql
from codemods.analysis import Analysis, Definition, Part, State
from codemods.edits import Edit, apply
from codemods.files import Constants, Prefilter, SourceFile
from codemods.findings import Finding, Note, Outcome
from codemods.renames import Names
from compat.errors import CompatError


@dataclass(frozen=True)
class FileReport:
    """What was found in one file, and its text before and after.

    :param problem: why the file could not be read as what it is
    :param refused: its edits were given up, as they could not all be made
    """

    file: SourceFile
    part: Part
    after: str
    problem: str | None = None
    refused: bool = False

    @property
    def path(self) -> Path:
        """The path as it was given or found."""
        return self.file.path

    @property
    def is_changed(self) -> bool:
        """Whether the text after the edits is another one."""
        return self.after != self.file.text

    @cached_property
    def _lines(self) -> list[int]:
        text = self.file.text
        starts = [0]
        at = text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = text.find("\n", at + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of an offset in the text before."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def old(self, edit: Edit) -> str:
        """Return what an edit replaces."""
        return self.file.text[edit.start : edit.end]


@dataclass(frozen=True)
class Unread:
    """A file that could not be read as text."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Totals:
    """Counts over all hits: the first is the sum of the three that follow."""

    hits: int
    changed: int
    unrelated: int
    needs_a_look: int
    notes: int
    edits: int
    files_searched: int
    files_changed: int


@dataclass(frozen=True)
class Report:
    """What was found in all files; those without a hit are left out."""

    files: tuple[FileReport, ...]
    unread: tuple[Unread, ...]
    searched: int

    @cached_property
    def totals(self) -> Totals:
        """The counts."""
        outcomes = [found.outcome for report in self.files for found in report.part.findings]
        return Totals(
            len(outcomes),
            outcomes.count(Outcome.CHANGED),
            outcomes.count(Outcome.UNRELATED),
            outcomes.count(Outcome.LOOK),
            sum(len(report.part.notes) for report in self.files),
            sum(len(report.part.edits) for report in self.files),
            self.searched,
            sum(report.is_changed for report in self.files),
        )


def check(names: Names) -> None:
    """Refuse mappings that cannot be followed in one run.

    :raises CompatError: one mapping leads to where another one starts, or two start at one table
    """
    starts = [(r.legacy_schema, r.legacy_table) for r in names.renames]
    for renames in names.renames:
        if (renames.target_schema, renames.target_table) in starts:
            raise CompatError(
                f"the target of mapping {renames.name!r} is the legacy table of another one",
                "give one mapping at a time, the older one first",
            )
        if starts.count((renames.legacy_schema, renames.legacy_table)) > 1:
            raise CompatError(
                f"two mappings are about {renames.legacy_title}", "give one of them only"
            )


def run(paths: Sequence[Path], names: Names) -> Report:
    """Search files and directories, and return what is to be done.

    :raises CompatError: no such path, or mappings that contradict each other
    """
    check(names)
    prefilter = Prefilter.of(names)
    constants = Constants()
    searched = 0
    unread: list[Unread] = []
    analysed: list[tuple[SourceFile, Analysis]] = []
    for path in files.find(paths):
        searched += 1
        file = files.read(path, prefilter)
        if isinstance(file, str):
            unread.append(Unread(path, file))
        elif file is not None:
            analysed.append((file, analyse(file, names, constants)))
    reports = settled(analysed, names)
    shown = (r for r in reports if r.part.findings or r.part.notes or r.part.edits)
    return Report(tuple(shown), tuple(unread), searched)


def analyse(file: SourceFile, names: Names, constants: Constants) -> Analysis:
    """Return what was found in one file, whatever its language."""
    if not names.find(file.text) and not names.mentions_target(file.text):
        return Analysis()
    if file.path.suffix == ".sql":
        result = sql.rewrite(file.text, names, complete=True)
        return Analysis(Part(result.edits, result.findings, result.notes))
    return python.analyse(file.text, names, partial(constants.of, file.path))


def settled(analysed: Sequence[tuple[SourceFile, Analysis]], names: Names) -> list[FileReport]:
    """Return the reports; references agree with what became of the definitions."""
    refused: set[Path] = set()
    while True:
        definitions = tuple(
            replace(d, state=State.LEFT) if file.path in refused else d
            for file, analysis in analysed
            for d in analysis.definitions
        )
        reports = [_report(file, analysis, definitions, names) for file, analysis in analysed]
        more = {r.path for r in reports if r.refused} - refused
        if not more:
            return reports
        refused |= more


def _report(
    file: SourceFile, analysis: Analysis, definitions: Sequence[Definition], names: Names
) -> FileReport:
    part = _scoped(file.text, analysis.settled(definitions), names)
    after = apply(file.text, part.edits)
    reason = None
    if file.encode(after) is None:
        reason = f"a new name cannot be written in {file.encoding}"
    elif after != file.text and file.path.suffix != ".sql" and _breaks(file.text, after):
        reason = "the file would no longer be valid Python"
    if reason is not None:
        part = part.left(f"left as it is: {reason}")
        after = file.text
    return FileReport(file, part, after, analysis.problem, reason is not None)


def _scoped(text: str, part: Part, names: Names) -> Part:
    """Leave out what says nothing: column names in a file that does not name the table."""
    if names.mentions_table(text) or any(f.kind == "table" for f in part.findings):
        return part
    findings: tuple[Finding, ...] = tuple(f for f in part.findings if f.kind == "derived")
    notes: tuple[Note, ...] = part.notes if names.mentions_target(text) else ()
    return replace(part, findings=findings, notes=notes)


def _breaks(before: str, after: str) -> bool:
    return not _is_python(after) and _is_python(before)


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True
