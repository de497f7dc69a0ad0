"""To `reversed`: the retired table, which the reverse sync keeps true, becomes the table again.

It gets v2's columns while it is retired: the reverse sync writes them as well, and the copy fills
them in the rows that are there. Then it changes places with both: with the compatibility view, as
at a rollback, and with the target, as at the cutover of a reversed migration.
"""

from __future__ import annotations

import dataclasses

from compat.bridge import bridge_of
from compat.compile import bridge, lookups, reversal, swap, sync
from compat.compile.functions import TARGET, same_target_row
from compat.compile.phases import event, require_phase, set_phase
from compat.compile.switch.state import become, begun, unbegun
from compat.mapping import Mapping
from compat.names import ident, literal, regclass
from compat.rules import Constant, Row
from compat.shapes import Fill
from compat.tables import Constraint

_LEGACY = Row("l")


def between(before: Mapping, after: Mapping) -> Mapping:
    """Return the mapping by which the copy fills v2's columns of the retired table.

    As a reversed migration fills them, but with what is in the target.

    :param after: of the form `reversed`
    """
    legacy, key = after.legacy, after.legacy.row_key
    kept = {
        lens.legacy.name: lens
        for lens in after.lenses
        if not lens.converts or lens.legacy.name in key
    }
    given = {name for lens in kept.values() for name in lens.targets}
    same_row = same_target_row(after, Row("this_row"))
    definition = f"PRIMARY KEY ({', '.join(map(ident, key))})"
    return dataclasses.replace(
        after,
        legacy=dataclasses.replace(
            legacy,
            name=before.retired_name,
            columns=tuple(
                column if column.name in kept else dataclasses.replace(column, nullable=True)
                for column in legacy.columns
            ),
            constraints=(Constraint("key", "primary_key", key, definition),),
        ),
        target=dataclasses.replace(
            after.target,
            columns=tuple(dataclasses.replace(item, default=None) for item in after.target.columns),
        ),
        rules=tuple(
            kept[name].rule if name in kept else Constant(name, None)
            for name in legacy.column_names
        ),
        fills=tuple(
            Fill(
                name,
                f"(SELECT {TARGET.column(name)} FROM {after.target.sql} AS {TARGET.name} "
                f"WHERE {same_row})",
            )
            for name in after.target.column_names
            if name not in given
        ),
        accept=(*after.accept, *(name for name in legacy.column_names if name not in kept)),
    )


def begin(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements after which v2's columns of a row are written with the row."""
    carrier = _carrier(before, after)
    return [
        require_phase(before, "cutover"),
        # In the order of v2's writers, whose rows the reverse sync takes on to the retired table.
        f"LOCK TABLE {before.target.sql} IN SHARE ROW EXCLUSIVE MODE",
        f"LOCK TABLE {before.retired} IN ACCESS EXCLUSIVE MODE",
        *bridge.carry(carrier, carrier.legacy),
        *sync.define_reverse(before, toward=after),
        *begun(after),
    ]


def abandon(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements that undo `begin`."""
    carrier = _carrier(before, after)
    return [
        require_phase(before, "cutover"),
        f"LOCK TABLE {before.target.sql} IN SHARE ROW EXCLUSIVE MODE",
        f"LOCK TABLE {before.retired} IN ACCESS EXCLUSIVE MODE",
        *sync.define_reverse(before),
        *bridge.uncarry(carrier, carrier.legacy),
        *unbegun(before),
    ]


def different(before: Mapping, after: Mapping) -> str:
    """Return the query for the number of rows whose v2 columns are not what the target holds."""
    made = bridge_of(after)
    here = ", ".join(_LEGACY.column(own) for _, own in made.held)
    there = ", ".join(TARGET.column(name) for name, _ in made.held)
    return (
        f"SELECT count(*) FROM {before.retired} AS {_LEGACY.name}\n"
        f"FULL JOIN {after.target.sql} AS {TARGET.name} ON {same_target_row(after, _LEGACY)}\n"
        f"WHERE {_LEGACY.column(made.marker.name)} IS NULL\n"
        f"    OR ROW({here})::record OPERATOR(pg_catalog.*<>) ROW({there})::record"
    )


def finish(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements after which the legacy table serves everybody.

    A rollback, without its sync; then the target is emptied, set aside, and its name, with what
    means it, goes to the view.
    """
    target = after.target
    shown = regclass(target.schema, target.name)
    return [
        require_phase(before, "cutover"),
        f"SELECT compat.lock_dependents({shown})",
        *swap.uncutover(before),
        *swap.drop_compat_view(before),
        *sync.drop_forward(before),
        *lookups.drop(before),
        *bridge.drop(before),
        *bridge.serve(after),
        *reversal.create_compat_view(after),
        f"SELECT compat.note_dependents({literal(after.name)}, {shown})",
        f"TRUNCATE {target.sql}",
        *reversal.change_places(after),
        f"SELECT compat.follow_name({literal(after.name)})",
        become(after),
        set_phase(after, "cutover"),
        event(after, f"switch to {after.chosen_form}"),
    ]


def _carrier(before: Mapping, after: Mapping) -> Mapping:
    """Return the mapping of the form `reversed` while its legacy table is retired."""
    legacy = dataclasses.replace(after.legacy, name=before.retired_name)
    return dataclasses.replace(after, legacy=legacy)
