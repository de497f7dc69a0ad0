"""Rewrites files of SQL: psql's own commands, COPY data and Jinja templates (dbt) among statements.

What is no SQL is masked by text of the same length, so that every statement keeps its offsets.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from codemods import sql
from codemods.findings import Finding, Outcome
from codemods.renames import NameHit, Names
from codemods.sql import SqlResult, lexer
from codemods.sql.ledger import joined
from codemods.sql.sections import Section, sections

# https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-META-COMMANDS
_COMMAND = re.compile(
    r"^[ \t]*\\(?P<name>[a-z_+!?]+|\?)(?P<rest>[^\n]*)", re.IGNORECASE | re.MULTILINE
)
_ENDS_QUERY = re.compile(
    r"\\(?:gset|gexec|gdesc|gx|g|watch|crosstabview|bind)\b[^;\n]*;?", re.IGNORECASE
)
_IGNORED = re.compile(r"\s*(?:--|/\*|\{#)[^\n]*\bcompat:\s*ignore-file\b")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_RELATION = re.compile(
    r"""\{\{-?\s*(?P<call>ref|source)\s*\(\s*
        (?:(?P<q1>['"])[^'"]*(?P=q1)\s*,\s*)?
        (?P<q2>['"])(?P<name>[A-Za-z_]\w*)(?P=q2)\s*\)\s*-?\}\}""",
    re.VERBOSE,
)
_WITHIN_LINES = re.compile(r"[^\r\n]+")
_DECLARES = re.compile(r"\{\{-?\s*(?:config|log|set_sql_header)\s*\(")


@dataclass(frozen=True)
class _Region:
    """A part of the file that is no SQL, and what is said of hits in it."""

    start: int
    end: int
    what: str
    outcome: Outcome = Outcome.LOOK
    columns: Outcome = Outcome.UNRELATED

    def finding(self, hit: NameHit) -> Finding:
        outcome = self.columns if hit.kind == "column" else self.outcome
        return Finding(hit.start, hit.end, hit.name, hit.kind, outcome, self.what)


def rewrite(text: str, names: Names) -> SqlResult:
    """Return the edits and findings for a file of SQL."""
    if _IGNORED.match(text):
        reason = "a comment says that the file stays: compat: ignore-file"
        return SqlResult(
            findings=tuple(
                Finding(hit.start, hit.end, hit.name, hit.kind, Outcome.UNRELATED, reason)
                for hit in names.find(text)
            )
        )
    return joined(_rewritten(text, section, names) for section in sections(text))


def _rewritten(text: str, section: Section, names: Names) -> SqlResult:
    """Return what a section of a file yields, by its place in the file."""
    part = text[section.start : section.end]
    result = _rows(part, names, section) if section.rows else _statements(part, names)
    return result.moved(section.start) if section.start else result


def _rows(text: str, names: Names, section: Section) -> SqlResult:
    """Return the findings in rows of data."""
    if section.ended:
        region = _Region(0, len(text), "a row of data", Outcome.UNRELATED)
    else:
        # To psql, all that follows is data; a program sends rows by other means.
        what = r"a row of data, or a statement: no \. ends the rows of COPY … FROM stdin"
        region = _Region(0, len(text), what, columns=Outcome.LOOK)
    return SqlResult(findings=tuple(region.finding(hit) for hit in names.find(text)))


def _statements(text: str, names: Names) -> SqlResult:
    """Return the edits and findings for statements, commands and templates."""
    mask = _Mask(text, names)
    result = sql.rewrite(mask.text, names, complete=True)
    if not mask.regions:
        return result
    # A hit is found in the masked text, or stands in a region that is no SQL.
    found = {(f.start, f.end): f for f in result.findings}
    for hit in names.find(text):
        if (hit.start, hit.end) not in found:
            found[hit.start, hit.end] = mask.region(hit).finding(hit)
    return SqlResult(
        result.edits,
        tuple(found[place] for place in sorted(found)),
        result.notes,
        result.parsed,
        result.reads_legacy,
    )


def _blank(text: str) -> str:
    """Return as many spaces as a text has signs, in as many lines."""
    return _WITHIN_LINES.sub(lambda match: " " * len(match[0]), text)


class _Mask:
    """A section's text with nothing but SQL in it."""

    def __init__(self, text: str, names: Names) -> None:
        self.names = names
        self.regions: list[_Region] = []
        self.changes: list[tuple[int, int, str]] = []
        self._templates(text)
        self.text = self._changed(text)
        if "\\" in text:
            self._commands(self.text)
            self.text = self._changed(self.text)

    def region(self, hit: NameHit) -> _Region:
        """Return the region that a hit stands in."""
        for region in self.regions:
            if region.start <= hit.start < region.end:
                return region
        return _Region(hit.start, hit.end, "beside something that is no SQL", columns=Outcome.LOOK)

    def _changed(self, text: str) -> str:
        """Return a text after the changes noted; what is inside of another is left out."""
        pieces: list[str] = []
        at = 0
        for start, end, new in sorted(self.changes):
            if start >= at:
                pieces += (text[at:start], new)
                at = end
        self.changes = []
        return "".join((*pieces, text[at:]))

    def _put(self, start: int, end: int, new: str) -> None:
        """Let a text of the same length stand for a part of the file."""
        self.changes.append((start, end, new))

    # -- psql --------------------------------------------------------------------------------

    def _commands(self, text: str) -> None:
        covered = [(s.start, s.end) for s in lexer.segments(text)]

        def is_code(at: int) -> bool:
            before = bisect_right(covered, (at, len(text))) - 1
            return before < 0 or covered[before][1] <= at

        for match in _ENDS_QUERY.finditer(text):
            line = text.rfind("\n", 0, match.start()) + 1
            if is_code(match.start()) and text[line : match.start()].strip():
                self._put(*match.span(), ";" + _blank(match[0][1:]))
                self.regions.append(_Region(*match.span(), "a command of psql"))
        for match in _COMMAND.finditer(text):
            if not is_code(match.start("name") - 1):
                continue
            name = match["name"].lower()
            if name == "copy":
                # The command of the same words, which ends with its line.
                self._put(match.start("name") - 1, match.start("name"), " ")
                if match.end() < len(text):
                    self._put(match.end(), match.end() + 1, ";")
                continue
            self._put(*match.span(), _blank(match[0]))
            columns = Outcome.LOOK if name == "set" else Outcome.UNRELATED
            self.regions.append(
                _Region(*match.span(), f"a command of psql, \\{name}", columns=columns)
            )

    # -- Jinja -------------------------------------------------------------------------------

    def _templates(self, text: str) -> None:
        if "{{" not in text and "{%" not in text and "{#" not in text:
            return
        for match in _TEMPLATE.finditer(text):
            start, end = match.span()
            if text.startswith("{{", start) and not _DECLARES.match(match[0]):
                self._expression(match)
                continue
            self._put(start, end, _blank(match[0]))
            if text.startswith("{#", start):
                self.regions.append(_Region(start, end, "a comment in the template"))
            elif text.startswith("{%", start):
                what = "a statement of the template language"
                self.regions.append(_Region(start, end, what, columns=Outcome.LOOK))
            else:
                kept = self.names.outputs == "legacy"
                what = "configuration of the model, whose outputs keep their names"
                columns = Outcome.UNRELATED if kept else Outcome.LOOK
                self.regions.append(_Region(start, end, what, columns=columns))

    def _expression(self, match: re.Match[str]) -> None:
        """Let a template's expression stand for a relation, or for something unknown."""
        start, end = match.span()
        what = "in an expression of the template"
        relation = _RELATION.fullmatch(match[0])
        if relation is not None and self._is_known(relation):
            before, after = match[0][: relation.start("name")], match[0][relation.end("name") :]
            self._put(start, end, _blank(before) + relation["name"] + _blank(after))
        else:
            if relation is not None:
                what = "another model of that name, or a name that cannot be put there"
            self._put(start, end, "{" + "_" * (end - start - 2) + "}")
        self.regions.append(_Region(start, end, what, columns=Outcome.LOOK))

    def _is_known(self, relation: re.Match[str]) -> bool:
        """Tell whether the relation's name may be replaced where it stands, or is not ours.

        `source()` names a table of the database, `ref()` a model that happens to be called so.
        """
        if relation["name"] not in self.names.tables:
            return True
        return relation["call"] == "source" and all(
            renames.target_schema == renames.legacy_schema
            and renames.divided is None
            and re.fullmatch(r"[a-z_]\w*", renames.target_table) is not None
            for renames in self.names.for_table(relation["name"])
        )
