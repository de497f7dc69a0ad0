"""Rewrites documentation: SQL and Python in Markdown and reStructuredText, and names as code.

Prose stays: that it names the table is reported, as no program can tell what a sentence means.
Read line by line, since no Markdown library keeps the offsets at which code stands.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from codemods import sql
from codemods.analysis import Analysis, Part, joined
from codemods.edits import Edit
from codemods.findings import IGNORED, Finding, Outcome
from codemods.renames import NameHit, Names
from codemods.sql import SqlResult

SQL = frozenset(("sql", "postgres", "postgresql", "pgsql", "psql", "plpgsql"))
PYTHON = frozenset(("python", "python3", "py", "py3"))

AnalysePython = Callable[[str], Analysis]

_FENCE = re.compile(r"(?P<prefix>[ \t>]*(?:[-*+][ \t]+)?)(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_DIRECTIVE = re.compile(
    r"(?P<prefix>[ \t]*)\.\.[ \t]+(?:code-block|code|sourcecode)::[ \t]*(?P<info>\S*)[ \t]*$"
)
_LITERAL = re.compile(r"(?P<prefix>[ \t]*)(?!\.\.[ \t]).*::[ \t]*$")
_MARKDOWN_SPAN = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`)(?P<code>[^`](?:.*?[^`])?)(?P=ticks)(?!`)", re.DOTALL
)
_RST_SPAN = re.compile(r"(?<!`)``(?P<code>[^`](?:.*?[^`])?)``(?!`)", re.DOTALL)
_STATEMENT = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|COPY|TRUNCATE|EXPLAIN|GRANT|LOCK)\s",
    re.IGNORECASE,
)
_AS_A_NAME = (("TRUNCATE ", ""), ("COMMENT ON COLUMN ", " IS ''"), ("COPY ", " TO STDOUT"))
"""Statements in which a name has the place that it has in a sentence: t, t.c, and t (c, …)."""


# Code that is shown without a fence: indented, or typed at Python's prompt.
_CODE_LINE = re.compile(r"^(?: {4,}|\t| *>>> | *\.\.\. )[^\n]+|:sql:`[^`\n]+`", re.MULTILINE)


@dataclass(frozen=True)
class _Code:
    """A piece of code in a document.

    :param lines: where each of its lines begins in the document, without what it is indented by
    :param opened: where the markup that introduces it begins
    """

    language: str
    opened: int
    end: int
    text: str
    lines: tuple[int, ...]
    indent: str = ""

    def place(self, offset: int) -> int:
        """Return where an offset in the code is in the document."""
        starts = self._starts()
        line = bisect_right(starts, offset) - 1
        return self.lines[line] + offset - starts[line]

    def _starts(self) -> list[int]:
        starts = [0]
        starts += [match.end() for match in re.finditer("\n", self.text)]
        return starts[: len(self.lines)]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a span of the code is in the document."""
        first = self.place(start)
        return (first, first) if start == end else (first, self.place(end - 1) + 1)

    def part(self, part: Part) -> Part:
        """Return what was found in the code in terms of the document."""
        return Part(
            tuple(
                Edit(*self.span(e.start, e.end), e.new.replace("\n", f"\n{self.indent}"), e.reason)
                for e in part.edits
            ),
            tuple(
                replace(f, start=start, end=end)
                for f in part.findings
                for start, end in [self.span(f.start, f.end)]
            ),
            tuple(
                replace(n, start=start, end=end)
                for n in part.notes
                for start, end in [self.span(n.start, n.end)]
            ),
        )


def analyse(text: str, names: Names, *, rst: bool, python: AnalysePython) -> Analysis:
    """Return what is to be done in a document.

    :param rst: it is reStructuredText, else Markdown
    :param python: analyses a Python text
    """
    blocks = list(_rst_blocks(text) if rst else _markdown_blocks(text))
    spans = list(_spans(text, blocks, _RST_SPAN if rst else _MARKDOWN_SPAN))
    parts = []
    for code in (*blocks, *spans):
        hits = names.find(text[code.opened : code.end])
        if not hits and not names.mentions_target(code.text):
            continue
        if _is_ignored(text, code.opened):
            reason = IGNORED
            parts.append(_said(hits, code.opened, Outcome.UNRELATED, reason))
        else:
            parts.append(code.part(_code(code, names, python)))
    found = {(f.start, f.end) for part in parts for f in part.findings}
    unread = [
        (code.opened, code.end)
        for code in (*blocks, *spans)
        if names.mentions_table(text[code.opened : code.end])
    ]
    unread += [m.span() for m in _CODE_LINE.finditer(text) if names.mentions_table(m[0])]
    rest = [
        _elsewhere(hit, names, in_code=any(a <= hit.start < b for a, b in unread))
        for hit in names.find(text)
        if (hit.start, hit.end) not in found
    ]
    return Analysis(joined([*parts, Part(findings=tuple(rest))]))


def _said(hits: tuple[NameHit, ...], by: int, outcome: Outcome, reason: str) -> Part:
    return Part(
        findings=tuple(
            Finding(h.start + by, h.end + by, h.name, h.kind, outcome, reason) for h in hits
        )
    )


def _elsewhere(hit: NameHit, names: Names, *, in_code: bool) -> Finding:
    """Say what a hit is that stands in a sentence, or in code of another language."""
    if in_code:
        outcome, reason = Outcome.LOOK, "beside the table's name, in code that is not read"
    elif hit.kind == "column":
        outcome, reason = Outcome.UNRELATED, "a word in a document"
    elif hit.kind == "derived" and not sql.looks_derived(hit.name, names):
        outcome, reason = Outcome.UNRELATED, "another name that holds the table's"
    else:
        outcome, reason = Outcome.LOOK, "the text of a document names the legacy table"
    return Finding(hit.start, hit.end, hit.name, hit.kind, outcome, reason)


def _is_ignored(text: str, start: int) -> bool:
    """Tell whether a comment in the same line or the one before says so."""
    line = text.rfind("\n", 0, start) + 1
    before = text[:line].rstrip().rpartition("\n")[2]
    return any(sql.IGNORE.search(part) for part in (before, text[line:start]))


# -- what a piece of code says -----------------------------------------------------------------


def _code(code: _Code, names: Names, python: AnalysePython) -> Part:
    if code.language in PYTHON:
        # The definitions in a document say nothing of the tables of the program.
        analysis = python(code.text)
        return analysis.settled(analysis.definitions)
    if code.language in SQL or (not code.language and _STATEMENT.match(code.text)):
        return _of_sql(sql.rewrite(code.text, names, complete=True))
    if code.language == "span":
        return _name(code.text, names)
    return Part()


def _of_sql(result: SqlResult) -> Part:
    return Part(result.edits, result.findings, result.notes)


def _name(text: str, names: Names) -> Part:
    """Return the part for a code span: a statement, or the name of a table or a column."""
    if _STATEMENT.match(text):
        return _of_sql(sql.rewrite(text, names, complete=True))
    for before, after in _AS_A_NAME:
        result = sql.rewrite(f"{before}{text}{after}", names)
        if result.edits:
            return _of_sql(result.moved(-len(before)))
    hits = names.find(text)
    if any(hit.kind == "column" and text.strip() == hit.name for hit in hits):
        return _said(hits, 0, Outcome.LOOK, "a column's name in a document")
    return Part()


# -- where code stands -------------------------------------------------------------------------


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line.removesuffix("\r")
        start += len(line) + 1


def _markdown_blocks(text: str) -> Iterator[_Code]:
    opened: tuple[int, re.Match[str]] | None = None
    content: list[tuple[int, str]] = []
    for start, line in _lines(text):
        match = _FENCE.match(line)
        if opened is None:
            if match is not None:
                opened, content = (start, match), []
            continue
        fence = opened[1]["fence"]
        closes = (
            match is not None and match["fence"].startswith(fence) and not match["info"].strip()
        )
        if closes:
            yield _block(opened[0], start, opened[1]["info"], content)
            opened = None
        else:
            content.append((start, line))


def _rst_blocks(text: str) -> Iterator[_Code]:
    opened: tuple[int, int, str] | None = None
    content: list[tuple[int, str]] = []
    for start, line in (*_lines(text), (len(text), "end")):
        if opened is not None:
            depth = len(line) - len(line.lstrip())
            is_option = not content and re.match(r"\s+:\w[\w-]*:", line)
            if not line.strip() or is_option:
                if content:
                    content.append((start, line))
                continue
            if depth > opened[1]:
                content.append((start, line))
                continue
            yield _block(opened[0], start, opened[2], content)
            opened, content = None, []
        match = _DIRECTIVE.match(line) or _LITERAL.match(line)
        if match is not None:
            info = match.groupdict().get("info") or ""
            opened = (
                start + (0 if "info" in match.groupdict() else len(line)),
                len(match["prefix"]),
                info,
            )


def _block(opened: int, end: int, info: str, content: list[tuple[int, str]]) -> _Code:
    words = re.findall(r"[\w+-]+", info.lower())
    indent = _common_indent([line for _, line in content if line.strip()])
    lines = [(start + len(indent), line[len(indent) :]) for start, line in content]
    text = "\n".join(line for _, line in lines)
    starts = tuple(min(start, end) for start, _ in lines) or (end,)
    return _Code(words[0] if words else "", opened, end, text, starts, indent)


def _common_indent(lines: list[str]) -> str:
    indents = [re.match(r"[ \t>]*", line) for line in lines]
    shortest = min((match[0] for match in indents if match), key=len, default="")
    return shortest if all(line.startswith(shortest) for line in lines) else ""


def _spans(text: str, blocks: list[_Code], pattern: re.Pattern[str]) -> Iterator[_Code]:
    """Yield the pieces of code within sentences; they end with their paragraph."""
    at = 0
    for start, end in (*((block.opened, block.end) for block in blocks), (len(text), len(text))):
        for paragraph in re.finditer(r"(?:.+\n?)+", text[at:start]):
            for match in pattern.finditer(paragraph[0]):
                code = at + paragraph.start() + match.start("code")
                yield _Code(
                    "span",
                    code,
                    code + len(match["code"]),
                    match["code"],
                    _starts(match["code"], code),
                )
        at = end


def _starts(code: str, at: int) -> tuple[int, ...]:
    return (at, *(at + match.end() for match in re.finditer("\n", code)))
