"""The statements of a comparison within one database: a full join by key, range by range.

Columns go by number inside the statements, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from compat import sqltypes
from compat.mapping import Mapping
from compat.names import ident
from compat.rules import Lens, Row
from verify.compare.ranges import Range

# Beyond this many differing rows of one range it no longer matters which columns exactly they
# differ in, and they are not to fill the disk.
LOOKED_AT = 100_000

_LEGACY, _VIEW, _WRITTEN = Row("l"), Row("v"), Row("t")


@dataclass(frozen=True)
class Pair:
    """One column of both sides."""

    number: int
    lens: Lens

    @property
    def name(self) -> str:
        """The legacy column."""
        return self.lens.legacy.name

    def of(self, row: Row) -> str:
        """Return SQL for the value on one side of the join."""
        return row.column(f"c{self.number}")

    @property
    def legacy(self) -> str:
        """SQL for the legacy value as it is compared."""
        return self._comparable(self.of(_LEGACY))

    @property
    def view(self) -> str:
        """SQL for the view's value as it is compared."""
        return self._comparable(self.of(_VIEW))

    def differs(self, left: str, right: str) -> str:
        """Return SQL that is true when two values of this column can be told apart."""
        column = self.lens.legacy
        return sqltypes.differs(
            self._comparable(left), self._comparable(right), column.type, column.collation
        )

    def _comparable(self, value: str) -> str:
        """Return the value under one collation where the two sides have different ones."""
        ends = self.lens.ends
        collations = {ends.legacy.collation, *(ends.target(t).collation for t in self.lens.targets)}
        if len(collations) > 1 and sqltypes.parse(ends.legacy.type).is_text:
            return f'({value} COLLATE pg_catalog."C")'
        return value


class Join:
    """The full join of a legacy table and its view.

    :param mapping: the mapping
    :param legacy_sql: the quoted name of the physical legacy table
    :param view_sql: the quoted name of the view
    """

    def __init__(self, mapping: Mapping, legacy_sql: str, view_sql: str) -> None:
        self._mapping = mapping
        self._legacy_sql, self._view_sql = legacy_sql, view_sql
        self.pairs = tuple(Pair(n, lens) for n, lens in enumerate(mapping.lenses))
        by_name = {pair.name: pair for pair in self.pairs}
        self.key = tuple(by_name[name] for name in mapping.legacy.row_key)
        self.lossy = tuple(p for p in self.pairs if p.lens.loss is not None)

    def overview(self, part: Range) -> str:
        """Return the query for rows of either side, differing, missing and extra ones, and losses.

        The losses are rows by column, in the order of `lossy`.
        """
        both = "l.present IS NOT NULL AND v.present IS NOT NULL"
        wanted = [
            "count(l.present)",
            "count(v.present)",
            f"count(*) FILTER (WHERE {self._any})",
            "count(*) FILTER (WHERE v.present IS NULL)",
            "count(*) FILTER (WHERE l.present IS NULL)",
            *(
                f"count(*) FILTER (WHERE {both} AND "
                f"{pair.differs(pair.of(_LEGACY), pair.of(_VIEW))} AND NOT {self._faulty(pair)})"
                for pair in self.lossy
            ),
        ]
        return f"SELECT {', '.join(wanted)}\n{self._from(part)}"

    def differing(self, part: Range) -> str:
        """Return the query for the differing rows in the order of the key.

        Rows (kind, key text[], faults boolean[], legacy text[], view text[]).
        """
        return f"{self._differing(part)}\nORDER BY {self._order}"

    def differing_counted(self, part: Range, limit: int) -> str:
        """Return the query for the first differing rows, and for how many are changed by column.

        At least one row: changed rows by column, always the same, then a differing row, or NULLs
        when `limit` is 0.
        """
        columns = (
            f"count(*) FILTER (WHERE kind = 'changed' AND faults[{n}])"
            for n in range(1, len(self.pairs) + 1)
        )
        return (
            f"WITH d AS MATERIALIZED ({self._differing(part)} LIMIT {LOOKED_AT}),\n"
            f"totals AS (SELECT {_array(columns, 'bigint')} AS columns FROM d)\n"
            "SELECT columns, kind, key, faults, legacy, view FROM totals LEFT JOIN\n"
            f"(SELECT * FROM d ORDER BY {self._order} LIMIT {limit:d}) AS d ON true\n"
            f"ORDER BY {self._order}"
        )

    def _differing(self, part: Range) -> str:
        keys = [f"COALESCE({p.legacy}, {p.view})" for p in self.key]
        return (
            "SELECT CASE WHEN v.present IS NULL THEN 'missing' "
            "WHEN l.present IS NULL THEN 'extra' ELSE 'changed' END AS kind, "
            f"{_array(keys)} AS key, "
            f"{_array((self._faulty(p) for p in self.pairs), 'boolean')} AS faults, "
            f"{_array(p.of(_LEGACY) for p in self.pairs)} AS legacy, "
            f"{_array(p.of(_VIEW) for p in self.pairs)} AS view, "
            + ", ".join(f"{key} AS k{n}" for n, key in enumerate(keys))
            + f"\n{self._from(part)}\nWHERE {self._any}"
        )

    @property
    def _order(self) -> str:
        return ", ".join(f"k{n}" for n in range(len(self.key)))

    @property
    def _any(self) -> str:
        faults = [self._faulty(pair) for pair in self.pairs]
        return "(" + " OR ".join(["l.present IS NULL", "v.present IS NULL", *faults]) + ")"

    def _from(self, part: Range) -> str:
        return (
            f"FROM {self._side(_LEGACY, self._legacy_sql, part)}\n"
            f"FULL JOIN {self._side(_VIEW, self._view_sql, part)}\n"
            f"ON {' AND '.join(f'{p.legacy} = {p.view}' for p in self.key)}"
        )

    def _side(self, row: Row, relation: str, part: Range) -> str:
        columns = ", ".join(f"{row.column(p.name)} AS c{p.number}" for p in self.pairs)
        condition = part.condition(
            [row.column(p.name) for p in self.key], [p.lens.legacy.type for p in self.key]
        )
        return (
            f"(SELECT 1 AS present, {columns} FROM {relation} AS {row.name} WHERE {condition}) "
            f"AS {row.name}"
        )

    def _faulty(self, pair: Pair) -> str:
        """Return the condition that the view shows another value than it should."""
        differs = pair.differs(pair.of(_LEGACY), pair.of(_VIEW))
        if pair not in self.lossy:
            return differs
        expected = after_loss(self._mapping, pair.lens, {p.name: p.of(_LEGACY) for p in self.pairs})
        if expected is None:
            return "false"
        # Evaluated for the few rows that differ, and never for a value that writing refuses.
        return f"(CASE WHEN {differs} THEN {pair.differs(expected, pair.of(_VIEW))} ELSE false END)"


def after_loss(mapping: Mapping, lens: Lens, legacy: dict[str, str]) -> str | None:
    """Return SQL for what the view shows after a legacy row was written, or None if unknown.

    :param legacy: SQL for the value of each legacy column
    """
    row = Row("l")
    place = next(place for place in mapping.places if lens in mapping.lenses_of(place))
    written = mapping.writes_to(place, row)
    needed = [name for name in lens.rule.reads if name in written]
    if len(needed) < len(lens.rule.reads):
        return None  # reads what only the target knows
    if not needed:
        return lens.read(_WRITTEN)
    columns = ", ".join(f"{value} AS {ident(name)}" for name, value in legacy.items())
    values = ", ".join(f"{written[name]} AS {ident(name)}" for name in needed)
    return (
        f"(SELECT {lens.read(_WRITTEN)} FROM (SELECT {values} FROM (SELECT {columns}) AS l) "
        f"AS {place.row.name})"
    )


def _array(values: Iterable[str], kind: str = "text") -> str:
    return f"ARRAY[{', '.join(f'({value})::{kind}' for value in values)}]"
