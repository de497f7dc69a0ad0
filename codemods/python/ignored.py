"""Comments that ask to leave code alone: `# compat: ignore` and `# compat: ignore-file`.

Behind code it is about that line or statement; on a line of its own about the statement or block
that follows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import libcst as cst

from codemods.analysis import Part
from codemods.findings import IGNORED, Finding, Outcome
from codemods.python.tree import Tree

_COMMENT = re.compile(r"#\s*compat:\s*ignore(?P<file>-file)?\b")


@dataclass(frozen=True)
class Ignored:
    """The spans of a source that are left alone."""

    spans: tuple[tuple[int, int], ...] = ()

    def covers(self, start: int, end: int) -> bool:
        """Tell whether a span of the source is inside, at least in part."""
        return any(a <= start < b or start <= a < end for a, b in self.spans)

    def touches(self, parts: Sequence[Part]) -> bool:
        """Tell whether an edit is inside."""
        return any(self.covers(edit.start, edit.end) for part in parts for edit in part.edits)

    def applied(self, part: Part) -> Part:
        """Return what remains of a part."""
        if not self.spans:
            return part
        if self.touches((part,)):
            part = part.left("left as it is: a part of it is ignored by a comment")
        return replace(
            part,
            findings=tuple(self._finding(found) for found in part.findings),
            notes=tuple(note for note in part.notes if not self.covers(note.start, note.end)),
        )

    def _finding(self, found: Finding) -> Finding:
        if not self.covers(found.start, found.end):
            return found
        return replace(found, outcome=Outcome.UNRELATED, reason=IGNORED, new=None)


def find(tree: Tree) -> Ignored:
    """Return what the comments of a module ask to leave alone."""
    if "compat:" not in tree.source:
        return Ignored()
    spans: list[tuple[int, int]] = []
    for node in tree.of(cst.Comment):
        if not isinstance(node, cst.Comment):
            continue
        match = _COMMENT.match(node.value)
        if match is None:
            continue
        if match.group("file"):
            return Ignored(((0, len(tree.source)),))
        spans.append(_span(tree, node))
    return Ignored(tuple(spans))


def _span(tree: Tree, comment: cst.Comment) -> tuple[int, int]:
    start, end = tree.span(comment)
    line = tree.source.rfind("\n", 0, start) + 1
    alone = not tree.source[line:start].strip()
    for parent in tree.parents(comment):
        if isinstance(parent, cst.BaseParenthesizableWhitespace):
            # Inside of an expression: its own line, or the next one.
            return (line, end) if not alone else (line, _line_end(tree, end + 1))
        if isinstance(parent, cst.Module):
            following = [n for n in parent.body if tree.span(n)[0] > start]
            return tree.span(following[0]) if following else (line, end)
        if isinstance(parent, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            return tree.span(parent)
    return line, end


def _line_end(tree: Tree, at: int) -> int:
    found = tree.source.find("\n", at)
    return len(tree.source) if found < 0 else found
