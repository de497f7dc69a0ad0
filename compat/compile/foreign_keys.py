"""Foreign keys of the tables that the sync writes.

A row that a client changes while others are still being copied is brought over at once. A key that
leads to rows which are not there yet would refuse it, and with it the client's statement.
"""

from __future__ import annotations

from collections.abc import Iterator

from compat.mapping import Mapping
from compat.names import literal, regclass
from compat.rules import NEW, Lookup
from compat.tables import Constraint, Table


def require_filled(mapping: Mapping) -> list[str]:
    """Return the statements that raise where a key leads to rows that are still to be copied."""
    legacy = regclass(mapping.legacy.schema, mapping.legacy.name)
    return [
        f"SELECT compat.require_filled({legacy}, {regclass(table.schema, table.name)}, "
        f"{literal(key.name)}, ARRAY[{', '.join(map(literal, written))}])"
        for table, key, written in _keys(mapping)
    ]


def _keys(mapping: Mapping) -> Iterator[tuple[Table, Constraint, list[str]]]:
    """Return each key of columns that rules and fills write, and all that these write there.

    Not those by which parts are joined, whose rows are written together; nor those of lookups, for
    which there is more to require.
    """
    looked_up = {rule.target for rule in mapping.rules if isinstance(rule, Lookup)}
    for place in mapping.places:
        written = mapping.writes_to(place, NEW).keys()
        for key in place.table.constraints:
            if key.kind == "foreign_key" and set(key.columns) <= written - looked_up:
                yield place.table, key, sorted(written)
