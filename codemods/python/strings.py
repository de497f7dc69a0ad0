"""The string expressions of one module, and what SQL found in them means for its source.

Between `literals`, which knows one literal, and the two that walk a module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import libcst as cst

from codemods.analysis import Part
from codemods.edits import Edit
from codemods.python import composed, context
from codemods.python.literals import Text
from codemods.python.tree import Tree
from codemods.sql import SqlResult

Lookup = Callable[[str], "str | None"]
"""Gives the text of a constant by the dotted name of what was imported."""


class Strings:
    """The string expressions of a module, read once when somebody asks."""

    def __init__(self, tree: Tree, lookup: Lookup) -> None:
        self.tree = tree
        self.lookup = lookup
        self.known: dict[cst.CSTNode, Text | None] = {}

    def text(self, node: cst.CSTNode) -> Text | None:
        """Return the meaning of a string literal or of several side by side, else None."""
        if not isinstance(node, context.STRINGS):
            return None
        return self.composition(node)

    def may_hold(self, node: cst.CSTNode, wanted: Callable[[str], object]) -> bool:
        """Return False only if the text of a string surely holds nothing of what is wanted.

        Most strings do not, and reading one costs.

        :param wanted: tells of a text whether something wanted is in it
        """
        written = _written(node)
        return "\\" in written or bool(wanted(written))

    def composition(self, node: cst.CSTNode) -> Text | None:
        """Return the text of any string expression, as far as it is known."""
        if node not in self.known:
            assert isinstance(node, cst.BaseExpression)
            self.known[node] = composed.read(self.tree, [node], self.constant)
        return self.known[node]

    def assembly(self, nodes: Sequence[cst.BaseExpression]) -> Text | None:
        """Return the text of several string expressions, one behind the other."""
        return composed.read(self.tree, nodes, self.constant)

    def constant(self, node: cst.BaseExpression) -> str | None:
        """Return the text that an expression stands for, if it is a constant."""
        scope = self.tree.scope
        if isinstance(node, cst.Name) and (value := scope.constants.get(node.value)) is not None:
            text = self.text(value)
            return None if text is None or text.holes else text.value
        origin = scope.dotted(node)
        return self.lookup(origin) if origin is not None else None


def _written(node: cst.CSTNode) -> str:
    """Return what is written between the quotes of a string, without what is inserted."""
    if isinstance(node, cst.SimpleString):
        return node.raw_value
    if isinstance(node, cst.ConcatenatedString):
        return _written(node.left) + _written(node.right)
    if isinstance(node, cst.FormattedString | cst.TemplatedString):
        texts = cst.FormattedStringText | cst.TemplatedStringText
        return "".join(part.value for part in node.parts if isinstance(part, texts))
    return ""


def placed(text: Text, result: SqlResult) -> Part:
    """Return the result for a text in terms of the source in which it is written."""
    edits: list[Edit] = []
    problem = None
    for edit in result.edits:
        moved = text.edits(edit)
        if moved is None:
            problem = _unspelled(text.value[edit.start : edit.end], edit.new)
        else:
            edits += moved
    if problem is None and _overlap(edits):
        problem = "a literal is used twice, with different new names"
    inserted = (*text.holes, *text.constants)

    def is_here(start: int, end: int) -> bool:
        return not any(a <= start and end <= b for a, b in inserted)

    # A literal may be inserted in two places, and then stands for several hits.
    edits = list({(edit.start, edit.end, edit.new): edit for edit in edits}.values())
    findings = {}
    for found in result.findings:
        if is_here(found.start, found.end):
            start, end = text.source_span(found.start, found.end)
            findings[start, end] = replace(found, start=start, end=end)
    notes = []
    for note in result.notes:
        if is_here(note.start, note.end):
            start, end = text.source_span(note.start, note.end)
            notes.append(replace(note, start=start, end=end))
    part = Part(tuple(edits), tuple(findings.values()), tuple(notes))
    return part if problem is None else part.left(f"left as it is: {problem}")


def _unspelled(old: str, new: str) -> str:
    """Say why an edit cannot be made in the source."""
    if " AS " in new:
        return "there is no place for AS, which would keep the name of an output"
    return f"{old!r} or its new name cannot be spelled there"


def agreed(parts: Sequence[Part]) -> Part:
    """Return one part for the texts that may come out of the same literals, if all say the same."""
    findings = {(f.start, f.end): f for part in parts for f in part.findings}
    same = all(
        (f.outcome, f.new) == (findings[f.start, f.end].outcome, findings[f.start, f.end].new)
        for part in parts
        for f in part.findings
    )
    edits = sorted({(e.start, e.end, e.new): e for part in parts for e in part.edits}.values())
    notes = sorted({note for part in parts for note in part.notes})
    whole = Part(tuple(edits), tuple(findings.values()), tuple(notes))
    if same and not _overlap(edits):
        return whole
    return whole.left("left as it is: which table has the column depends on what is added")


def _overlap(edits: list[Edit]) -> bool:
    """Tell whether two edits want to write something else in the same place."""
    places = sorted({(edit.start, edit.end, edit.new) for edit in edits})
    return any(before[1] > after[0] for before, after in pairwise(places))
