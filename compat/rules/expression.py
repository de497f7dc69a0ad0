"""SQL of the user's own."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from compat.rules.core import Ends, Row, Rule
from compat.tables import STRICT


@dataclass(frozen=True, config=STRICT)
class Expression(Rule):
    """SQL of the user's own, over the bare column names of the target (read) or legacy (write) row.

    Names that are not columns must be schema-qualified: the functions run with an empty path.

    :param read_sql: SQL over target columns that gives the legacy value
    :param uses: the target columns that read_sql names
    :param writes: (target column, SQL over legacy columns) pairs; none makes it read-only
    :param lossless: the author's word that the three laws hold
    """

    legacy: str
    read_sql: str
    uses: tuple[str, ...] = ()
    writes: tuple[tuple[str, str], ...] = ()
    lossless: bool = False
    rule: Literal["expression"] = "expression"

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.writes)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.targets, *self.uses)))

    @property
    def is_read_only(self) -> bool:
        """True when legacy clients cannot write the column."""
        return not self.writes

    def read(self, target: Row, ends: Ends) -> str:
        return f"{target.evaluate(self.read_sql)}::{ends.legacy.type}"

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        return {
            name: f"{legacy.evaluate(sql)}::{ends.target(name).type}" for name, sql in self.writes
        }

    def loss(self, ends: Ends) -> str | None:
        return None if self.lossless else "nothing is known about an expression"

    def refuses(self, ends: Ends) -> str | None:
        return "every write" if self.is_read_only else None

    def absorbs_null(self) -> bool:
        return True
