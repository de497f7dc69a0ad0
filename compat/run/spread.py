"""What the plan says of each table that legacy rows are spread over: what is there, what writes do.

Pure: derived from the mapping alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from compat.mapping import Mapping
from compat.shapes import Half, Parent
from compat.tables import Table


@dataclass(frozen=True)
class TablePlan:
    """One table that rows of the legacy table are stored in.

    :param holds: the legacy columns that live there
    :param insert: what a legacy INSERT does to it, and so on
    """

    table: str
    role: str
    holds: tuple[str, ...]
    insert: str
    update: str
    delete: str


def spread(mapping: Mapping) -> tuple[TablePlan, ...]:
    """Return the tables of a mapping; none where a legacy row simply is a row of the target."""
    if not mapping.syncs_through_view:
        return ()
    if mapping.choices:
        return _choices(mapping)
    whole = _target(mapping)
    return (whole, *(_part(part) for part in mapping.parts))


def _target(mapping: Mapping) -> TablePlan:
    role, insert = "target", "one row for each"
    if mapping.tag is not None:
        role = f"target, shared: rows with {mapping.tag.column} = {mapping.tag.value!r}"
        insert = f"one row for each, tagged {mapping.tag.value!r}"
    return TablePlan(
        mapping.target.title,
        role,
        mapping.holds(mapping.places[0]),
        insert,
        "written when one of these changes",
        "the row goes",
    )


def _part(part: Half | Parent) -> TablePlan:
    if isinstance(part, Parent):
        return TablePlan(
            part.table.title,
            "parent",
            part.holds,
            "the row that has these values is referenced, or made",
            "another row is referenced, or made; none is changed",
            "goes with the last row that references it" if part.orphans == "delete" else "stays",
        )
    listed = ", ".join(part.holds)
    return TablePlan(
        part.table.title,
        "half, optional" if part.optional else "half",
        part.holds,
        f"a row where one of {listed} is not NULL" if part.optional else "one row for each",
        "made, written, or removed when all become NULL"
        if part.optional
        else "written when one of these changes",
        "the row goes too" if part.on_delete == "delete" else "the row stays",
    )


def _choices(mapping: Mapping) -> tuple[TablePlan, ...]:
    takes = [(choice.table, f"rows WHERE {choice.when}") for choice in mapping.choices]
    rest = "all other rows" if mapping.remainder is None else f"rows WHERE {mapping.remainder}"
    return tuple(
        TablePlan(
            table.title,
            role,
            mapping.legacy.column_names,
            _insert(mapping),
            "a row that is due elsewhere moves" + _left_behind(mapping, table),
            "the row goes",
        )
        for table, role in (*takes, (mapping.target, rest))
    )


def _insert(mapping: Mapping) -> str:
    if mapping.remainder is None:
        return "those rows"
    return "those rows; one that no table takes is refused (23514)"


def _left_behind(mapping: Mapping, table: Table) -> str:
    """Say which columns a row loses that leaves a table for another one."""
    lost = [
        column.name
        for column in table.columns
        if any(
            (there := other.column(column.name)) is None or there.type != column.type
            for other in mapping.tables
        )
    ]
    return f" and loses {', '.join(lost)}" if lost else ""
