"""Rows that differ, as values, and what one range or a whole comparison counts.

All of it survives JSON, so that a run that was interrupted can go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Kind = Literal["changed", "missing", "extra"]
Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Cell:
    """One column of a changed row: what the legacy side has, and what was found; None is NULL."""

    column: str
    expected: str | None
    found: str | None


@dataclass(frozen=True)
class Difference:
    """One row that is not on both sides what it should be.

    :param key: the values of the legacy row key, as text
    :param cells: the columns that differ, of a changed row
    """

    kind: Kind
    key: Key
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What was found in one range, or in all of them.

    :param legacy: rows on the legacy side
    :param view: rows on the other side
    :param changing: rows that differ, but went on changing while they were looked at again
    :param orphans: rows that a move skips, since a parent is missing in the target database
    :param unselected: rows that a move brought over and that the mapping selects no longer
    :param losses: rows by column whose difference is a loss that the mapping accepts
    :param by_column: changed rows by column
    :param differences: the first ones in the order of the key, or all
    """

    legacy: int = 0
    view: int = 0
    missing: int = 0
    extra: int = 0
    changed: int = 0
    changing: int = 0
    orphans: int = 0
    unselected: int = 0
    losses: dict[str, int] = field(default_factory=dict)
    by_column: dict[str, int] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()

    @property
    def differing(self) -> int:
        """Rows that differ and have stopped changing."""
        return self.missing + self.extra + self.changed

    @property
    def match_rate(self) -> float:
        """Rows that match, in percent of the rows that either side has; 100 only when all do."""
        rows = self.legacy + self.extra
        if not self.differing:
            return 100.0
        return min(100.0 * max(rows - self.differing, 0) / max(rows, 1), 99.999999)

    def __add__(self, other: Outcome) -> Outcome:
        def added(name: str) -> Any:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                return dict(Counter(mine) + Counter(theirs))
            return mine + theirs

        return Outcome(*(added(item.name) for item in fields(self)))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(document: dict[str, Any]) -> Outcome:
        """Return what `as_json` has written."""
        differences = tuple(
            Difference(item["kind"], tuple(item["key"]), tuple(Cell(**c) for c in item["cells"]))
            for item in document["differences"]
        )
        return Outcome(**(document | {"differences": differences}))


def counted(
    differences: Iterable[Difference], keep: int | None = None
) -> tuple[dict[str, int], tuple[Difference, ...]]:
    """Return the changed rows by column, and the first `keep` differences (None: all)."""
    by_column: Counter[str] = Counter()
    kept: list[Difference] = []
    for item in differences:
        by_column.update(cell.column for cell in item.cells)
        if keep is None or len(kept) < keep:
            kept.append(item)
    return dict(by_column), tuple(kept)
