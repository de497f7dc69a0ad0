"""The string expressions of one module, and what SQL found in them means for its source.

Between `literals`, which knows one literal, and the two that walk a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import libcst as cst

from codemods import context, literals
from codemods.analysis import Part
from codemods.edits import Edit
from codemods.literals import Text
from codemods.sql import SqlResult
from codemods.tree import Tree

Lookup = Callable[[str], "str | None"]
"""Gives the text of a constant by the dotted name of what was imported."""


class Strings:
    """The string expressions of a module, read once when somebody asks."""

    def __init__(self, tree: Tree, lookup: Lookup) -> None:
        self.tree = tree
        self.lookup = lookup
        self.known: dict[cst.CSTNode, Text | None] = {}

    def text(self, node: cst.CSTNode) -> Text | None:
        """Return the meaning of a node that is a string, else None."""
        if not isinstance(node, context.STRINGS):
            return None
        if node not in self.known:
            self.known[node] = literals.read(node, self.tree.source, self.tree.span, self.constant)
        return self.known[node]

    def constant(self, node: cst.BaseExpression) -> str | None:
        """Return the text that an expression stands for, if it is a constant."""
        scope = self.tree.scope
        if isinstance(node, cst.Name) and (value := scope.constants.get(node.value)) is not None:
            text = self.text(value)
            return None if text is None or text.holes else text.value
        origin = scope.dotted(node)
        return self.lookup(origin) if origin is not None else None


def placed(text: Text, result: SqlResult) -> Part:
    """Return the result for a text in terms of the source in which it is written."""
    edits: list[Edit] = []
    problem = None
    for edit in result.edits:
        moved = text.edit(edit)
        if moved is None:
            problem = (
                f"{text.value[edit.start : edit.end]!r} or its new name cannot be spelled there"
            )
        else:
            edits.append(moved)
    inserted = (*text.holes, *text.constants)

    def is_here(start: int, end: int) -> bool:
        return not any(a <= start and end <= b for a, b in inserted)

    findings = []
    for found in result.findings:
        if is_here(found.start, found.end):
            start, end = text.source_span(found.start, found.end)
            findings.append(replace(found, start=start, end=end))
    notes = []
    for note in result.notes:
        if is_here(note.start, note.end):
            start, end = text.source_span(note.start, note.end)
            notes.append(replace(note, start=start, end=end))
    part = Part(tuple(edits), tuple(findings), tuple(notes))
    return part if problem is None else part.left(f"left as it is: {problem}")
