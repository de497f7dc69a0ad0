"""Functions that take the name of a table, and of columns, as plain text: `copy_from`, `to_sql`, …

Which they are is a setting; an argument called `table` counts in any call.
"""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from codemods.analysis import Part, joined
from codemods.findings import Note, Outcome
from codemods.python.literals import Text
from codemods.python.work import Work, items, keyword, last_name
from codemods.renames import Renames
from codemods.settings import TABLE_KEYWORDS, TableCall

_ANY = TableCall("", None, "")


@dataclass(frozen=True)
class _Named:
    """A string that names a legacy table."""

    node: cst.CSTNode
    text: Text
    at: int
    renames: Renames
    schema: tuple[cst.CSTNode, Text] | None


def visit(work: Work) -> None:
    """Decide about all calls of a module that take the name of a legacy table as text."""
    known = {call.function: call for call in work.names.settings.calls}
    for node in work.tree.of(cst.Call):
        if not isinstance(node, cst.Call):
            continue
        configured = known.get(last_name(node.func))
        found = _named(work, node, configured)
        if found is not None:
            work.parts.append(_part(work, node, found, configured))
        elif configured is not None:
            _other_table(work, node, configured)


def _named(work: Work, node: cst.Call, configured: TableCall | None) -> _Named | None:
    for index, arg in enumerate(node.args):
        if arg.star:
            return None
        name = arg.keyword.value if arg.keyword is not None else None
        if configured is not None:
            matches = name == configured.keyword if name else index == configured.table
        else:
            matches = name in TABLE_KEYWORDS
        text = work.strings.text(arg.value) if matches and arg.value not in work.done else None
        if text is None:
            continue
        schema, dot, table = text.value.rpartition(".")
        given = keyword(node, "schema")
        other = work.strings.text(given.value) if given is not None else None
        place = (given.value, other) if given is not None and other is not None else None
        known = schema or (other.value if other is not None else None)
        renames, is_target = work.renames(table, known)
        if renames is not None and not is_target:
            return _Named(arg.value, text, len(schema) + len(dot), renames, place)
    return None


def _other_table(work: Work, node: cst.Call, configured: TableCall) -> None:
    """Columns beside the literal name of a table that is none of ours."""
    for index, arg in enumerate(node.args):
        name = arg.keyword.value if arg.keyword is not None else None
        matches = name == configured.keyword if name else index == configured.table
        text = work.strings.text(arg.value) if matches else None
        if text is None or text.holes or work.names.find(text.value):
            continue
        for column, written in _columns(work, node, configured) or ():
            work.done.add(column)
            work.parts.append(work.unrelated(written, f"a column of {text.value}"))


def _part(work: Work, node: cst.Call, found: _Named, configured: TableCall | None) -> Part:
    renames = found.renames
    work.done.add(found.node)
    renamed = [c for c in renames.columns if c.matters]
    columns = _columns(work, node, configured or _ANY)
    if configured is not None and configured.by_name and renamed:
        told = (
            f"{configured.function} takes the columns by name, and "
            f"{renamed[0].legacy!r} is now {renamed[0].target!r}"
        )
        return work.unrelated(found.text, told, Outcome.LOOK)
    if configured is not None and configured.needs_columns and columns is None:
        told = f"{configured.function} without a list of columns goes by their order"
        return work.unrelated(found.text, told, Outcome.LOOK)
    if (reason := renames.divided or renames.incomplete) is not None:
        return work.unrelated(found.text, reason, Outcome.LOOK)
    reason = f"{renames.legacy_title} is now {renames.target_schema}.{renames.target_table}"
    parts = [_table(work, found, reason)]
    for column_node, text in columns or ():
        column = renames.by_legacy.get(text.value)
        if column is not None and column.matters:
            work.done.add(column_node)
            told = f"{renames.legacy_table}.{column.legacy} is now {column.target}"
            new = column.target
            parts.append(
                None
                if new is None
                else work.replaced(text, 0, len(text.value), new, told, kind="column")
            )
            if column.converted is not None:
                start, end = work.tree.span(column_node)
                parts.append(Part(notes=(Note(start, end, text.value, column.converted),)))
    part = joined(p for p in parts if p is not None)
    if None in parts:
        told = "a new name cannot be written there"
        strings = [found.text, *(text for _, text in columns or ())]
        return joined(work.unrelated(text, told, Outcome.LOOK) for text in strings)
    if configured is None and renamed:
        start, end = work.tree.span(found.node)
        told = f"whoever takes this name must use the columns of {renames.target_table}"
        part = joined((part, Part(notes=(Note(start, end, renames.legacy_table, told),))))
    return part


def _table(work: Work, found: _Named, reason: str) -> Part | None:
    renames, text = found.renames, found.text
    new = renames.target_table
    moved: Part | None = Part()
    if renames.target_schema != renames.legacy_schema:
        if found.at:
            end = found.at - 1
            moved = work.replaced(text, 0, end, renames.target_schema, reason, kind="schema")
        elif found.schema is not None:
            written = found.schema[1]
            end = len(written.value)
            moved = work.replaced(written, 0, end, renames.target_schema, reason, kind="schema")
        else:
            return None
    end = len(text.value)
    part = work.replaced(text, found.at, end, new, reason, kind="table")
    return None if part is None or moved is None else joined((moved, part))


def _columns(
    work: Work, node: cst.Call, configured: TableCall
) -> list[tuple[cst.CSTNode, Text]] | None:
    """Return the strings that name columns in the call, None if it lists none."""
    found: list[tuple[cst.CSTNode, Text]] | None = None
    for index, arg in enumerate(node.args):
        by_name = arg.keyword is not None and arg.keyword.value in configured.columns
        by_position = arg.keyword is None and configured.position == index
        if (by_name or by_position) and isinstance(arg.value, cst.List | cst.Tuple | cst.Set):
            found = found or []
            for item in items(arg.value):
                text = work.strings.text(item)
                if text is not None:
                    found.append((item, text))
    return found
