"""Cutting a table into ranges of its key, by a sample, so that they can be compared one by one.

Both sides of a range hold the same keys only where both compare keys alike.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from compat import catalog
from compat.compile.copy import boundaries
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import literal

MOST_RANGES = 10_000
_SAMPLED_ROWS_PER_RANGE = 100


@dataclass(frozen=True)
class Range:
    """The rows whose key lies after one key, up to another; None is the table's end.

    Keys are as text, column by column.
    """

    after: tuple[str, ...] | None = None
    upto: tuple[str, ...] | None = None

    def condition(self, columns: list[str], types: list[str]) -> str:
        """Return SQL for the rows of this range.

        :param columns: SQL of the key's columns
        :param types: of these columns
        """
        bounds = ((">", self.after), ("<=", self.upto))
        conditions = [
            f"ROW({', '.join(columns)}) {operator} ROW({_typed(key, types)})"
            for operator, key in bounds
            if key is not None
        ]
        return " AND ".join(conditions) or "true"


def cut(conn: Connection, mapping: Mapping, rows_per_range: int) -> tuple[Range, ...]:
    """Return ranges of about so many rows of the legacy table, in the order of the key.

    :raises psycopg.Error: the table may not be read
    """
    rows = catalog.estimate_rows(conn, mapping.legacy.schema, mapping.legacy.name)
    wanted = min(-(-rows // rows_per_range), MOST_RANGES)
    if wanted < 2:
        return (Range(),)
    percent = min(100.0, 100.0 * wanted * _SAMPLED_ROWS_PER_RANGE / rows)
    parameters = {"percent": percent, "ranges": wanted}
    cuts = conn.execute(boundaries(mapping), parameters).fetchall()
    ends = [tuple(key) for (key,) in cuts]
    return tuple(Range(*pair) for pair in zip([None, *ends], [*ends, None], strict=True))


def some(ranges: tuple[Range, ...], percent: float) -> tuple[Range, ...]:
    """Return so many percent of the ranges, at least one, taken at random, in their order."""
    number = max(1, round(len(ranges) * percent / 100))
    return tuple(ranges[place] for place in sorted(random.sample(range(len(ranges)), number)))


def _typed(key: tuple[str, ...], types: list[str]) -> str:
    return ", ".join(
        f"{literal(value)}::{type_name}" for value, type_name in zip(key, types, strict=True)
    )
