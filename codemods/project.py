"""Works on all files of some paths: analyses each, then settles what depends on other files.

Returns values only; `files.write` is called by whoever wants the result on disk.
"""

from __future__ import annotations

import ast
import gc
import logging
import signal
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from codemods import discovery, documents, files, python
from codemods.analysis import Analysis, Definition, Part, State
from codemods.edits import Edit, OverlappingEdits, apply
from codemods.files import Choice, Constants, Language, Prefilter, SourceFile
from codemods.findings import IGNORED, Finding, Note, Outcome
from codemods.python.tree import Tree
from codemods.renames import Names
from codemods.sql import script
from compat.errors import CompatError


@dataclass(frozen=True)
class FileReport:
    """What was found in one file, and its text before and after.

    :param problem: why the file could not be read as what it is
    :param refused: its edits were given up, as they could not all be made
    :param defines: other files refer to a table by what this one says
    """

    file: SourceFile
    part: Part
    after: str
    problem: str | None = None
    refused: bool = False
    defines: bool = False

    @property
    def path(self) -> Path:
        """The path as it was given or found."""
        return self.file.path

    @property
    def is_changed(self) -> bool:
        """Whether the text after the edits is another one."""
        return self.after != self.file.text

    @cached_property
    def _starts(self) -> list[int]:
        text = self.file.text
        starts = [0]
        at = text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = text.find("\n", at + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of an offset in the text before."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    @property
    def lines(self) -> int:
        """How many lines the text before has; behind the last line end there is one more."""
        return len(self._starts)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Return where some lines, counted from 1, begin and end; without the last line's end."""
        end = len(self.file.text) if last == self.lines else self._starts[last] - 1
        return self._starts[first - 1], end

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
    """Counts over all hits: the first is the sum of the four that follow.

    :param ignored: hits that a comment has asked to ignore
    """

    hits: int
    changed: int
    unrelated: int
    ignored: int
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
        findings = [found for report in self.files for found in report.part.findings]
        outcomes = [found.outcome for found in findings]
        ignored = sum(found.reason == IGNORED for found in findings)
        return Totals(
            len(outcomes),
            outcomes.count(Outcome.CHANGED),
            outcomes.count(Outcome.UNRELATED) - ignored,
            ignored,
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


def run(
    paths: Sequence[Path], names: Names, *, choice: Choice | None = None, jobs: int = 1
) -> Report:
    """Search files and directories, and return what is to be done.

    :param choice: which files of directories are searched
    :param jobs: in so many processes
    :raises CompatError: no such path, or mappings that contradict each other
    """
    check(names)
    prefilter = Prefilter.of(names)
    searched = 0
    matched: list[tuple[Path, int]] = []
    others: list[Path] = []
    unread: list[Unread] = []
    for path in files.find(paths, choice):
        searched += 1
        try:
            size = prefilter.size_of_match(path)
        except OSError as error:
            unread.append(Unread(path, f"cannot be read: {error.strerror}"))
            continue
        if size is None:
            others.append(path)
        else:
            matched.append((path, size))
    names, trees = discovery.with_entities(names, (path for path, _ in matched))
    names = discovery.with_aliases(names, [*(path for path, _ in matched), *others])
    matched = sorted([*matched, *discovery.mentioning(names, others)])
    analysed: list[tuple[SourceFile, Analysis]] = []
    for path, result in _each(matched, names, trees, jobs):
        if isinstance(result, str):
            unread.append(Unread(path, result))
        else:
            analysed.append(result)
    analysed.sort(key=lambda item: item[0].path)
    reports = settled(analysed, names)
    shown = (r for r in reports if r.part.findings or r.part.notes or r.part.edits)
    return Report(tuple(shown), tuple(unread), searched)


# -- one file, in this process or another ------------------------------------------------------

_Result = tuple[SourceFile, Analysis] | str

# Below this, in bytes, another process costs more than it saves.
_SMALL = 300_000

# Of two names so many characters apart, one may belong to the other.
_CLOSE = 200


class _Worker:
    """What a process keeps between two files."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.constants = Constants()

    def __call__(self, path: Path, tree: Tree | None = None) -> _Result:
        file = files.read(path)
        if isinstance(file, str):
            return file
        return file, analyse(file, self.names, self.constants, tree)


_worker: _Worker | None = None


def _begin(names: Names) -> None:
    global _worker  # noqa: PLW0603  # what a process pool offers for state of its processes
    _worker = _Worker(names)
    # Ctrl-C is for the main process, which ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prepare()


def _work(path: Path) -> _Result:
    assert _worker is not None
    return _worker(path)


def _each(
    matched: Sequence[tuple[Path, int]], names: Names, trees: dict[Path, Tree], jobs: int
) -> Iterator[tuple[Path, _Result]]:
    """Yield what is found in each file; other processes are sent paths only.

    :param trees: of files that were parsed already; trees do not travel
    """
    _prepare()
    here = _Worker(names)
    paths = [path for path, _ in matched if path not in trees]
    if jobs <= 1 or sum(size for path, size in matched if path not in trees) < _SMALL:
        for path, _ in matched:
            yield path, here(path, trees.pop(path, None))
        return
    with ProcessPoolExecutor(jobs, initializer=_begin, initargs=(names,)) as pool:
        size = max(1, min(16, len(paths) // (4 * jobs)))
        results = pool.map(_work, paths, chunksize=size)
        try:
            for path in [*trees]:
                yield path, here(path, trees.pop(path))
            yield from zip(paths, results, strict=True)
        finally:
            # After Ctrl-C nobody waits for files that were not begun.
            pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    """Set up this process for parsing many files."""
    # sqlglot warns of statements that it reads as plain commands; they are reported here.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    # Trees are large and hold no cycles: looking for some all the time would only cost.
    gc.set_threshold(100_000, 20, 20)


def analyse(
    file: SourceFile, names: Names, constants: Constants, tree: Tree | None = None
) -> Analysis:
    """Return what was found in one file, whatever its language.

    :param tree: of a Python file, if it was parsed already
    """
    is_python = file.language is Language.PYTHON
    if not is_python and not names.find(file.text) and not names.mentions_target(file.text):
        return Analysis()
    if file.is_generated:
        return _listed(file.text, names, "a generated file: change what it is made from")
    if file.language is Language.SQL:
        result = script.rewrite(file.text, names)
        return Analysis(Part(result.edits, result.findings, result.notes))
    lookup = partial(constants.of, file.path)
    if file.language in (Language.MARKDOWN, Language.RST):
        return documents.analyse(
            file.text,
            names,
            rst=file.language is Language.RST,
            python=lambda text: python.analyse(text, names, lookup),
        )
    if file.language is Language.OTHER:
        return _listed(file.text, names, "files of this kind are not rewritten")
    return python.analyse(file.text, names, lookup, str(file.path), tree)


def _listed(text: str, names: Names, reason: str) -> Analysis:
    """Return the analysis of a text that nobody rewrites: the table's name needs a look."""
    findings = []
    hits = names.find(text)
    tables = [hit.start for hit in hits if hit.kind == "table"]
    for hit in hits:
        outcome, why = Outcome.LOOK, reason
        if hit.kind == "column" and not any(_are_close(text, hit.start, at) for at in tables):
            outcome, why = Outcome.UNRELATED, f"a word beside the table's name: {reason}"
        findings.append(Finding(hit.start, hit.end, hit.name, hit.kind, outcome, why))
    return Analysis(Part(findings=tuple(findings)))


def _are_close(text: str, one: int, other: int) -> bool:
    """Tell whether two places are in the same line, and not at two ends of a long one."""
    start, end = sorted((one, other))
    return end - start < _CLOSE and "\n" not in text[start:end]


# -- all files ---------------------------------------------------------------------------------


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
    part = analysis.settled(definitions)
    if not analysis.is_related:
        part = _scoped(file.text, part, names)
    after, problem = _applied(file, part.edits)
    if problem is not None:
        part = part.left(f"left as it is: {problem}")
    defines = bool(analysis.definitions)
    return FileReport(file, part, after, analysis.problem, problem is not None, defines)


def _applied(file: SourceFile, edits: Sequence[Edit]) -> tuple[str, str | None]:
    """Return a file's text after some edits, or as it is and why they cannot be made."""
    try:
        after = apply(file.text, edits)
    except OverlappingEdits:
        return file.text, "two changes want the same place"
    if file.encode(after) is None:
        return file.text, f"a new name cannot be written in {file.encoding}"
    if after != file.text and file.language is Language.PYTHON and _breaks(file.text, after):
        return file.text, "the file would no longer be valid Python"
    return after, None


def _scoped(text: str, part: Part, names: Names) -> Part:
    """Leave out what says nothing: column names in a file that does not name the table."""
    if any(f.kind == "table" for f in part.findings) or names.mentions_table(text):
        return part
    findings: tuple[Finding, ...] = tuple(f for f in part.findings if f.kind in ("derived", "code"))
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
