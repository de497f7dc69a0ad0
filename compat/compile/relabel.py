"""Other labels for the same values: what a value map calls a value after its mapping was changed.

The rows of the target get the new labels, so that both sides go on meaning what they meant.
"""

from __future__ import annotations

import dataclasses

from compat.compile.functions import TARGET
from compat.compile.source import matches, tagged
from compat.mapping import Mapping
from compat.names import ident, literal
from compat.rules import AnyRule, Lens, Value, ValueMap
from compat.shapes import Parent, Place


def relabelled(before: Mapping, after: Mapping) -> Mapping:
    """Return the mapping `before` with the labels that the rows have once they are relabelled."""
    known = set(after.legacy.column_names)
    rules = tuple(
        _with_labels(rule, _labels(rule, after.lens(rule.legacy).rule))
        if rule.legacy in known
        else rule
        for rule in before.rules
    )
    return dataclasses.replace(before, rules=rules)


def relabel(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements that give rows of the target the labels by which they are read now."""
    return [
        statement
        for place in after.places
        if not isinstance(place.part, Parent)  # which others' rows may have as well
        for lens in after.lenses_of(place)
        if (labels := _labels(before.lens(lens.legacy.name).rule, lens.rule))
        for statement in _update(after, place, lens, labels)
    ]


def _labels(old: AnyRule, new: AnyRule) -> dict[Value, Value]:
    """Return by which labels of a value map those are replaced that it does not know any more.

    Only where the new one is free: what two labels have become one cannot be told apart again.
    """
    if not (isinstance(old, ValueMap) and isinstance(new, ValueMap) and old.target == new.target):
        return {}
    labels, known = dict(new.pairs), {label for _, label in new.pairs}
    taken = {label for _, label in old.pairs}
    found: dict[Value, Value] = {}
    for value, label in old.pairs:
        if label not in known and labels.get(value, label) not in taken:
            found.setdefault(label, labels[value])
    return found


def _with_labels(rule: AnyRule, labels: dict[Value, Value]) -> AnyRule:
    if not (labels and isinstance(rule, ValueMap)):
        return rule
    pairs = tuple((value, labels.get(label, label)) for value, label in rule.pairs)
    return dataclasses.replace(rule, pairs=pairs)


def _update(mapping: Mapping, place: Place, lens: Lens, labels: dict[Value, Value]) -> list[str]:
    name, row = lens.targets[0], place.row
    kind, column = lens.ends.target(name).type, row.column(name)
    cases = " ".join(
        f"WHEN {literal(old)}::{kind} THEN {literal(new)}::{kind}" for old, new in labels.items()
    )
    found = f"{column} IN ({', '.join(f'{literal(old)}::{kind}' for old in labels)})"
    mine = tagged(mapping)
    if mine is not None and place.part is not None:
        mine = (
            f"EXISTS (SELECT FROM {mapping.target.sql} AS {TARGET.name} "
            f"WHERE {matches(place, TARGET)} AND {mine})"
        )
    others = [choice.table for choice in mapping.choices] if place.part is None else []
    return [
        f"UPDATE {table.sql} AS {row.name}\nSET {ident(name)} = CASE {column} {cases} END\n"
        f"WHERE {' AND '.join(filter(None, (found, mine)))}"
        for table in (place.table, *others)
    ]
