"""Where the rows of a view come from: the FROM item over the tables that hold a legacy row.

The target has the alias `t`, its parts `p1`, `p2` and so on.
"""

from __future__ import annotations

from compat.mapping import TARGET, Mapping
from compat.names import idents, literal
from compat.rules import Row
from compat.shapes import Half, Place
from compat.tables import Table


def source(mapping: Mapping) -> str:
    """Return the FROM item that gives each legacy row once, by the aliases of `mapping.places`."""
    joined = [_target(mapping)]
    for place in mapping.places[1:]:
        assert place.part is not None
        join = "LEFT JOIN" if place.part.may_lack else "JOIN"
        joined.append(f"{join} {place.table.sql} AS {place.row.name} ON {matches(place, TARGET)}")
    return "\n".join(joined)


def matches(place: Place, target: Row) -> str:
    """Return the condition that finds the row of a part that belongs to a target row."""
    return " AND ".join(
        f"{place.row.column(mine)} = {target.column(other)}" for mine, other in place.on
    )


def tagged(mapping: Mapping, target: Row = TARGET) -> str | None:
    """Return the condition that a row of the target is of this mapping, None where all are."""
    if mapping.tag is None:
        return None
    return f"{target.column(mapping.tag.column)} = {literal(mapping.tag.value)}"


def halves(mapping: Mapping) -> tuple[Place, ...]:
    """Return the places that hold a half of each row."""
    return tuple(place for place in mapping.places if isinstance(place.part, Half))


def parents(mapping: Mapping) -> tuple[Place, ...]:
    """Return the places that hold parents of rows."""
    others = mapping.places[1:]
    return tuple(place for place in others if not isinstance(place.part, Half))


def _target(mapping: Mapping) -> str:
    if not mapping.choices:
        condition = tagged(mapping)
        if condition is None:
            return f"{mapping.target.sql} AS {TARGET.name}"
        rows = _rows(mapping.target, mapping.target.column_names, condition)
        return f"(\n    {rows}\n) AS {TARGET.name}"
    tables = (mapping.target, *(choice.table for choice in mapping.choices))
    columns = tuple(
        column.name
        for column in mapping.target.columns
        if all(_same(table, column.name, column.type) for table in tables)
    )
    rows = "\n    UNION ALL\n    ".join(_rows(table, columns, tagged(mapping)) for table in tables)
    return f"(\n    {rows}\n) AS {TARGET.name}"


def _same(table: Table, name: str, kind: str) -> bool:
    column = table.column(name)
    return column is not None and column.type == kind


def _rows(table: Table, columns: tuple[str, ...], condition: str | None) -> str:
    where = "" if condition is None else f" WHERE {condition}"
    return f"SELECT {idents(columns)} FROM {table.sql} AS {TARGET.name}{where}"
