"""Tables that are partitioned by what triggers of the migration write.

PostgreSQL picks the partition of a row before BEFORE triggers have run, and moves it to no other.
"""

from __future__ import annotations

from compat.bridge import bridge_of, is_bridge
from compat.mapping import Mapping
from compat.names import literal, regclass
from compat.rules import Lookup
from compat.tables import Table


def require_unmoved(mapping: Mapping) -> list[str]:
    """Return the statements that raise where a BEFORE trigger would move rows to a partition."""
    return [
        f"SELECT compat.require_unmoved({regclass(table.schema, table.name)}, "
        f"ARRAY[{', '.join(map(literal, columns))}], {literal(what)})"
        for table, columns, what in _written(mapping)
        if columns
    ]


def _written(mapping: Mapping) -> list[tuple[Table, list[str], str]]:
    """Return each table with the columns of its own that triggers write, and what these are."""
    kept = [
        (lens.ends.target_table, [lens.rule.keep], "a lookup that keeps the number")
        for lens in mapping.lenses
        if isinstance(lens.rule, Lookup) and lens.rule.keep is not None
    ]
    if not is_bridge(mapping):
        return kept
    bridge = bridge_of(mapping)
    own = set(bridge.base.column_names)
    sides = [
        name
        for item in bridge.columns
        for name in (item.column.name, *map(bridge.name_of, item.lens.targets))
    ]
    written = [name for name in dict.fromkeys(sides) if name in own]
    return [*kept, (bridge.base, written, f"the form {mapping.chosen_form}")]
