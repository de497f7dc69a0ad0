"""From `reversed` to a form in which the target has the rows.

The target is filled beside the legacy table, which goes on serving everybody, and then changes
places with v2's view.
"""

from __future__ import annotations

import dataclasses

from compat.bridge import bridge_of
from compat.compile import bridge, lookups, swap, sync, view
from compat.compile.functions import TARGET
from compat.compile.phases import require_phase, set_phase
from compat.compile.switch.state import become, begun, unbegun
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass
from compat.rules import AnyRule, Column, Constant, Row
from compat.tables import Constraint, Table

_LEGACY = Row("l")


def between(before: Mapping, after: Mapping) -> Mapping:
    """Return the mapping by which rows go from the legacy table that carries v2 to the target.

    Both shapes are there, so it is one of plain renames: what only v2 can tell goes with the row.
    A bridge that the target is to carry then gets the legacy values as they are spelled.

    :param before: of the form `reversed`
    :param after: the same in another form
    """
    carried = bridge_of(before)
    held = {own: name for name, own in carried.held}
    target = dataclasses.replace(before.target, name=before.aside_name)
    if after.chosen_form == "bridged":
        made = bridge_of(after)
        held |= {
            item.lens.legacy.name: item.column.name
            for item in made.columns
            if item.lens.legacy.name not in held
        }
        target = dataclasses.replace(target, columns=(*target.columns, *made.added))
    rules: list[AnyRule] = [
        Column(name, held[name]) if name in held else Constant(name, None)
        for name in carried.carrier.column_names
    ]
    key = tuple(carried.names[name] for name in before.target_key)
    return dataclasses.replace(
        before,
        legacy=Table(
            before.legacy.schema,
            before.legacy.name,
            tuple(
                # Of the others nothing goes along, whatever they hold.
                column if column.name in held else dataclasses.replace(column, nullable=True)
                for column in carried.carrier.columns
            ),
            (Constraint("key", "primary_key", key, f"PRIMARY KEY ({', '.join(map(ident, key))})"),),
        ),
        target=target,
        rules=tuple(rules),
        fills=(),
        form="instead_of",
        accept=tuple(name for name in carried.carrier.column_names if name not in held),
        needs=(),
    )


def begin(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements after which writes reach the target as well; the copy can begin."""
    rows = between(before, after)
    target = rows.target
    return [
        require_phase(before, "cutover"),
        f"LOCK TABLE {before.legacy.sql} IN SHARE ROW EXCLUSIVE MODE",
        f"SELECT compat.require_empty({regclass(target.schema, target.name)})",
        *(bridge.carry(after, target) if after.chosen_form == "bridged" else []),
        *sync.create_forward(rows),
        *begun(after),
    ]


def abandon(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements that undo `begin`, and empty the target again."""
    rows = between(before, after)
    return [
        require_phase(before, "cutover"),
        f"LOCK TABLE {before.legacy.sql} IN SHARE ROW EXCLUSIVE MODE",
        *sync.drop_forward(rows),
        f"TRUNCATE {rows.target.sql}",
        *(bridge.uncarry(after, rows.target) if after.chosen_form == "bridged" else []),
        *unbegun(before),
    ]


def different(before: Mapping, after: Mapping) -> str:
    """Return the query for the number of rows that the target does not hold as they are."""
    rows = between(before, after)
    lenses = [lens for lens in rows.lenses if lens.targets]
    here = ", ".join(_LEGACY.column(lens.legacy.name) for lens in lenses)
    there = ", ".join(TARGET.column(lens.targets[0]) for lens in lenses)
    same = " AND ".join(
        f"{TARGET.column(lens.targets[0])} = {_LEGACY.column(lens.legacy.name)}"
        for lens in rows.key
    )
    # By their stored images: also types without an equality are compared.
    return (
        f"SELECT count(*) FROM {rows.legacy.sql} AS l\n"
        f"FULL JOIN {rows.target.sql} AS t ON {same}\n"
        f"WHERE ROW({here})::record OPERATOR(pg_catalog.*<>) ROW({there})::record"
    )


def finish(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements that put the filled target in the place of v2's view.

    Then as at a cutover: the view over it takes the legacy name, the legacy table is retired. All
    in one transaction, so that clients of either name see the one form or the other.
    """
    legacy, target = before.legacy, before.target
    shown = regclass(target.schema, target.name)
    waiting = regclass(target.schema, before.standby_name)
    return [
        require_phase(before, "cutover"),
        # In the order of v2's clients: what reads their view, it, and only then what is beneath.
        f"SELECT compat.lock_dependents({shown})",
        f"SELECT compat.note_dependents({literal(before.name)}, {shown})",
        f"ALTER VIEW {target.sql} RENAME TO {ident(before.standby_name)}",
        f"SELECT compat.lock_dependents({regclass(legacy.schema, legacy.name)})",
        f"SELECT compat.lock_referencing({regclass(legacy.schema, legacy.name)}, "
        "'SHARE ROW EXCLUSIVE')",
        f"LOCK TABLE {legacy.sql} IN ACCESS EXCLUSIVE MODE",
        "SELECT compat.hurry()",
        f"ALTER TABLE {qualified(target.schema, before.aside_name)} RENAME TO {ident(target.name)}",
        f"SELECT compat.follow_name({literal(before.name)})",
        f"SELECT compat.wear({shown}, compat.looks_of({waiting}))",
        *view.drop_view(before),
        *bridge.drop(before),
        *(bridge.serve(after) if after.chosen_form == "bridged" else []),
        become(after),
        set_phase(after, "copied"),
        *sync.define_forward(after),
        *lookups.create(after),
        *swap.create_compat_view(after),
        *swap.cutover(after),
    ]
