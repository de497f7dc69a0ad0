"""Which constraint of the legacy table stands for a constraint of the target, and what they say.

Pure: definitions are read as pg_get_constraintdef() and pg_get_indexdef() print them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from compat.definitions import NAMES, names, parent_of, quoted, tokens
from compat.mapping import Mapping
from compat.names import ident
from compat.shapes import Parent as ParentPart
from compat.shapes import Place
from compat.tables import Constraint, Table

_CHECK = re.compile(
    r"CHECK \((?P<expression>.*)\)(?: NO INHERIT)?(?P<later> NOT VALID)?(?P<off> NOT ENFORCED)?",
    re.DOTALL,
)
_KEY_OF_INDEX = re.compile(rf"USING \w+ \((?P<columns>{NAMES})\)")


@dataclass(frozen=True)
class Check:
    """A CHECK.

    :param columns: what it reads
    :param expression: over the bare names of these columns
    :param is_valid: False for NOT VALID, which older rows may break
    """

    name: str
    columns: tuple[str, ...]
    expression: str
    is_valid: bool


@dataclass(frozen=True)
class Blame:
    """What an error says of a constraint.

    :param constraint: its name
    :param columns: the legacy columns that it is about, in its order, () where they are not known
    :param parent: the name of the table that a foreign key leads to
    :param same_values: whether the target holds the same values in these columns
    """

    constraint: str
    columns: tuple[str, ...] = ()
    parent: str | None = None
    same_values: bool = True


def checks(table: Table) -> tuple[Check, ...]:
    """Return the CHECKs that a table enforces, in the order in which it evaluates them.

    Not those over whole rows, which name the table.
    """
    found = []
    for item in table.constraints:
        match = _CHECK.fullmatch(item.definition) if item.kind == "check" else None
        if match is None or match["off"] or f"{ident(table.name)}.*" in quoted(item.definition):
            continue
        found.append(Check(item.name, item.columns, match["expression"], match["later"] is None))
    return tuple(sorted(found, key=lambda check: check.name.encode()))


def keys(table: Table) -> tuple[Constraint, ...]:
    """Return what compares a row with other rows: unique, exclusion and foreign keys.

    Unique indexes count as unique constraints; over an expression, or with a condition, they have
    the columns that it mentions.
    """
    return (
        *(item for item in table.constraints if item.kind != "check"),
        *(
            Constraint(
                index.name,
                "unique",
                _key_of_index(index.definition) or _mentioned(table, index.definition),
                index.definition,
            )
            for index in table.indexes
            if index.unique
        ),
    )


def exclusive(table: Table) -> list[Constraint]:
    """Return the keys of a table that no two of its rows may share."""
    return [item for item in keys(table) if item.kind != "foreign_key"]


def is_deferred(constraint: Constraint) -> bool:
    """True when a constraint may be checked at the end of the transaction only."""
    return "DEFERRABLE" in constraint.definition and "NOT DEFERRABLE" not in constraint.definition


def blame_of_legacy(mapping: Mapping) -> dict[str, Blame]:
    """Return what errors say of the constraints of the legacy table, by their names."""
    return {item.name: _blame(item, item.columns) for item in keys(mapping.legacy)}


def blame_of(mapping: Mapping, place: Place) -> dict[str, Blame]:
    """Return what the legacy table would have said, by the names of the constraints of a place.

    A constraint that only the place has keeps its name.
    """
    return {item.name: _translated(mapping, place, item) for item in keys(place.table)}


def unmatched(mapping: Mapping) -> tuple[Constraint, ...]:
    """Return the keys of the legacy table that no table of the target has a counterpart for.

    What is unique in one of several tables that rows are in may be in another of them as well; only
    of the row's own key the view sees to that.
    """
    matched = {blame.constraint for p in mapping.places for blame in blame_of(mapping, p).values()}
    own = mapping.legacy.row_key
    return tuple(
        item
        for item in keys(mapping.legacy)
        if item.name not in matched
        or (mapping.choices and item.kind != "foreign_key" and item.columns != own)
    )


def legacy_names(mapping: Mapping, place: Place) -> dict[str, tuple[str, ...]]:
    """Return, for the columns of a place, the legacy columns that they hold or stand for.

    A column that references a parent stands for what identifies that.
    """
    found: dict[str, tuple[str, ...]] = {}
    for lens in mapping.lenses_of(place):
        found |= {name: (lens.legacy.name,) for name in lens.targets if name not in found}
    if place.part is None:
        for part in mapping.parts:
            if isinstance(part, ParentPart):
                found |= {other: part.holds for _, other in part.on if other not in found}
        return found
    of_target = legacy_names(mapping, mapping.places[0])
    joined = {mine: of_target[other] for mine, other in place.on if other in of_target}
    return joined | found


def _translated(mapping: Mapping, place: Place, item: Constraint) -> Blame:
    if isinstance(place.part, ParentPart) and item.kind != "foreign_key":
        return Blame(item.name)  # many legacy rows have one parent
    names = legacy_names(mapping, place)
    # All legacy rows have the same tag.
    tag = None if mapping.tag is None else mapping.tag.column
    wanted = [name for name in item.columns if name != tag or place.part is not None]
    if not wanted or not names.keys() >= set(wanted):
        return Blame(item.name)
    columns = tuple(dict.fromkeys(legacy for name in wanted for legacy in names[name]))
    same_values = not any(mapping.lens(name).converts for name in columns)
    for other in keys(mapping.legacy):
        if _family(item) == _family(other) and set(other.columns) == set(columns):
            return replace(_blame(other, other.columns), same_values=same_values)
    return replace(_blame(item, columns), same_values=same_values)


def _blame(item: Constraint, columns: tuple[str, ...]) -> Blame:
    """Name no columns where an error would print expressions over them."""
    if item.definition.startswith("USING ") and _key_of_index(item.definition) is None:
        columns = ()
    found = parent_of(item)
    return Blame(item.name, columns, None if found is None else found.name)


def _family(item: Constraint) -> str:
    return "unique" if item.kind == "primary_key" else item.kind


def _key_of_index(definition: str) -> tuple[str, ...] | None:
    match = _KEY_OF_INDEX.match(definition)
    return None if match is None else names(match["columns"])


def _mentioned(table: Table, definition: str) -> tuple[str, ...]:
    mentioned = set(tokens(quoted(definition)))
    return tuple(name for name in table.column_names if ident(name) in mentioned)
