"""Shapes: what a mapping says when one legacy row is not exactly one row of one target table.

A mapping has one target, which holds the key. `Half` (split by key) and `Parent` (join) add tables
to it, `Choice` (split by predicate) gives rows to other tables instead, and `Tag` (union) lets
several legacy tables share the target. All are immutable values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from compat.rules.core import Row, Value, misfit
from compat.tables import STRICT, Table


@dataclass(frozen=True, config=STRICT)
class Fill:
    """What a column that only the target has receives for a row that comes from the legacy side.

    :param value: SQL over the bare legacy column names, or a constant expression
    """

    target: str
    value: str

    def write(self, legacy: Row) -> str:
        """Return SQL for the column over a legacy row."""
        return legacy.evaluate(self.value)


@dataclass(frozen=True, config=STRICT)
class Half:
    """Columns of each row that live in a table of their own, one row there for each here.

    A legacy INSERT makes both rows, an UPDATE writes those of which something changed, a DELETE
    removes both. Vertical partitioning, as in Navathe et al. (1984); InVerDa calls it DECOMPOSE ON
    PK (Herrmann et al., "Living in Parallel Realities", 2017).

    :param on: (column of this table, column of the target) pairs by which the rows are joined
    :param holds: the legacy columns whose rules write this table
    :param optional: there is a row only where one of those columns is not NULL
    :param on_delete: what becomes of the row when the legacy row is deleted
    """

    table: Table
    on: tuple[tuple[str, str], ...]
    holds: tuple[str, ...]
    fills: tuple[Fill, ...] = ()
    optional: bool = False
    on_delete: Literal["delete", "keep"] = "delete"
    shape: Literal["half"] = "half"

    @property
    def may_lack(self) -> bool:
        """True when a legacy row may have no row here."""
        return self.optional

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the shape itself."""
        columns = tuple(mine for mine, _ in self.on)
        if not any(set(key) == set(columns) for key in self.table.unique_keys):
            yield (
                f"{self.table.title} has no primary key or unique constraint over exactly "
                f"({', '.join(columns)}), by which its rows are found; add one"
            )


@dataclass(frozen=True, config=STRICT)
class Parent:
    """Columns that repeat from row to row, and live once in a parent that the target references.

    A legacy INSERT or UPDATE takes the parent that has these values, or makes it; it never changes
    a parent, which other rows have as well. InVerDa calls it DECOMPOSE ON FK.

    :param on: (column of the parent, column of the target that references it) pairs
    :param holds: the legacy columns whose rules write the parent; together they identify it
    :param orphans: what becomes of a parent that the last row has left
    """

    table: Table
    on: tuple[tuple[str, str], ...]
    holds: tuple[str, ...]
    fills: tuple[Fill, ...] = ()
    orphans: Literal["keep", "delete"] = "keep"
    shape: Literal["parent"] = "parent"

    @property
    def may_lack(self) -> bool:
        """True: where all held columns are NULL, nothing is referenced."""
        return True

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the shape itself."""
        columns = tuple(mine for mine, _ in self.on)
        if not any(set(key) == set(columns) for key in self.table.unique_keys):
            listed = ", ".join(columns)
            yield f"{self.table.title} has no unique key ({listed}) to reference; add it"


AnyPart = Annotated[Half | Parent, Field(discriminator="shape")]


@dataclass(frozen=True, config=STRICT)
class Choice:
    """A table that takes, in place of the target, the legacy rows that fulfil a condition.

    The rules are those of the mapping: the table has the columns that they write and read. A row
    that changes so that another table is due moves there, with what columns both have.

    :param when: SQL over the bare legacy column names
    """

    table: Table
    when: str


@dataclass(frozen=True, config=STRICT)
class Tag:
    """The rows of a shared target that are this legacy table's: with one value in a column."""

    column: str
    value: Value

    def problems(self, target: Table) -> Iterator[str]:
        """Yield what is wrong with the tag for a target."""
        column = target.column(self.column)
        if column is None:
            yield f"the tag names {self.column!r}, which {target.title} does not have; create it"
        elif why := misfit(self.value, column):
            yield f"tag: {why}"


@plain_dataclass(frozen=True)
class Place:
    """One table that a legacy row is stored in, as compiled SQL reaches it.

    :param row: its alias, which is also the name of the variable that holds its row
    :param part: what makes it belong to the target, None for the target itself
    """

    row: Row
    table: Table
    part: Half | Parent | None = None

    @property
    def on(self) -> tuple[tuple[str, str], ...]:
        """The pairs (column here, column of the target) by which it is joined."""
        return () if self.part is None else self.part.on
