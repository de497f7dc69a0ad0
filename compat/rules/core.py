"""What every column rule answers, and the rows and columns that it speaks of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, StrictBool, StrictInt

from compat import sqltypes
from compat.names import ident, literal
from compat.tables import Column as TableColumn
from compat.tables import Table


def _decimal_as_text(value: object) -> object:
    return str(value) if isinstance(value, Decimal | float) else value


Value = StrictBool | StrictInt | Annotated[str, BeforeValidator(_decimal_as_text)]
"""A legacy or target value inside a rule; decimals become text, as in the mapping document."""


def misfit(value: Value, column: TableColumn) -> str | None:
    """Say why a value cannot be one of the column's, or None."""
    kind = sqltypes.parse(column.type)
    match value:
        case bool():
            fits = kind.name == "boolean"
        case int():
            fits = kind.is_integer or kind.is_numeric or kind.name in ("real", "double precision")
        case str():
            fits = not kind.is_integer and kind.name != "boolean"
            length = kind.modifiers[0] if kind.modifiers and kind.is_character else None
            if length is not None and len(value) > length:
                return f"{value!r} is longer than {column.name!r} holds ({column.type})"
    if fits:
        return None
    return f"{value!r} is no {column.type}, which {column.name!r} is; write it as one"


@plain_dataclass(frozen=True)
class Row:
    """How a piece of SQL reaches the columns of one row: a table alias, or NEW and OLD."""

    name: str
    is_record: bool = False

    def column(self, name: str) -> str:
        """Return SQL for one column of this row."""
        return f"{self.name}.{ident(name)}"

    def evaluate(self, expression: str) -> str:
        """Return SQL for a user's expression over the bare column names of this row."""
        if "--" in expression:
            expression += "\n"  # or a comment at its end would swallow what follows
        if self.is_record:
            return f"(SELECT {expression} FROM (SELECT {self.name}.*) AS this_row)"
        return f"({expression})"


NEW = Row("NEW", is_record=True)
OLD = Row("OLD", is_record=True)


@plain_dataclass(frozen=True)
class Ends:
    """The two ends of a rule: its legacy column, and the target table."""

    legacy_table: Table
    legacy: TableColumn
    target_table: Table

    def target(self, name: str) -> TableColumn:
        """Return the target column of that name; Mapping has checked that it exists."""
        column = self.target_table.column(name)
        assert column is not None, name
        return column

    @property
    def title(self) -> str:
        """The legacy column as messages print it."""
        return f"{self.legacy_table.title}.{self.legacy.name}"


class Rule(ABC):
    """What every rule answers. Rules are immutable values; all methods are pure.

    Three laws hold for a rule that calls itself lossless (Foster et al., "Combinators for
    bidirectional tree transformations", 2007): reading gives what was written (PutGet), writing
    what was read changes nothing (GetPut), and columns that it does not name stay as they are.
    """

    rule: str
    legacy: str
    shares: ClassVar[bool] = False
    """True when several such rules may write one target column, each a part of it."""
    invertible: ClassVar[bool] = False
    """True when `write` is a function of the legacy value alone, so that keys may use it."""

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """The target columns that `write` sets, the main one first."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The target columns that the rule needs to exist."""
        return self.targets

    @abstractmethod
    def read(self, target: Row, ends: Ends) -> str:
        """Return SQL of the legacy type over a target row."""

    @abstractmethod
    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        """Return SQL for each of `targets` over a legacy row.

        :param current: the target row that is about to be changed, None for a new one
        """

    @abstractmethod
    def loss(self, ends: Ends) -> str | None:
        """Say for which values a law would break silently, or None when for none."""

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        """Return a predicate that is true for legacy rows that would lose something, or None."""
        return None

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        """Return a predicate that is true for legacy rows that `write` would refuse, or None."""
        return None

    def refuses(self, ends: Ends) -> str | None:
        """Say in a few words which legacy values `write` refuses, or None when it takes all."""
        return None

    def indexable(self, ends: Ends) -> bool:
        """True when PostgreSQL takes an index on what `read` returns."""
        return True

    def problems(self, ends: Ends) -> Iterator[str]:
        """Yield what is wrong with the rule for these columns."""
        return iter(())

    def absorbs_null(self) -> bool:
        """True when a NULL in the legacy column ends as something else than NULL."""
        return False


class Converting(Rule):
    """A rule over one target column that converts the value alone, with an optional side column.

    With `keep`, the side column holds the original of each value that would not come back as it
    was, and NULL for all others; it counts only while it still agrees with the main column.
    """

    target: str
    keep: str | None
    invertible = True

    @abstractmethod
    def encode(self, value: str, ends: Ends) -> str:
        """Return SQL of the target type for a legacy value."""

    @abstractmethod
    def decode(self, value: str, ends: Ends) -> str:
        """Return SQL of the legacy type for a target value."""

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if self.keep is None else (self.target, self.keep)

    def read(self, target: Row, ends: Ends) -> str:
        main = target.column(self.target)
        decoded = self.decode(main, ends)
        if self.keep is None:
            return decoded
        side = target.column(self.keep)
        return (
            f"CASE WHEN {side} IS NOT NULL AND {self.encode(side, ends)} IS NOT DISTINCT FROM "
            f"{main} THEN {side} ELSE {decoded} END"
        )

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        value = legacy.column(self.legacy)
        written = {self.target: self.encode(value, ends)}
        if self.keep is not None:
            written[self.keep] = f"CASE WHEN {self._changes(value, ends)} THEN {value} END"
        return written

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        if self.keep is not None or self.loss(ends) is None:
            return None
        return self._changes(legacy.column(self.legacy), ends)

    def _changes(self, value: str, ends: Ends) -> str:
        """Return SQL that is true when a value does not come back as it was."""
        back = self.decode(self.encode(value, ends), ends)
        return sqltypes.differs(back, value, ends.legacy.type, ends.legacy.collation)

    def problems(self, ends: Ends) -> Iterator[str]:
        if self.keep is None:
            return
        yield from wrong_type(ends, self.keep)
        if not ends.target(self.keep).nullable:
            yield f"the side column {self.keep!r} must be nullable: most rows do not need it"


def wrong_type(ends: Ends, keep: str) -> Iterator[str]:
    """Yield it when a side column cannot hold exactly what the legacy column holds."""
    side = ends.target(keep)
    if side.type != ends.legacy.type:
        yield (
            f"the side column {keep!r} is {side.type}, the legacy column is "
            f"{ends.legacy.type}; they must be the same"
        )


def refusal(value: str, type_text: str, message: str) -> str:
    """Return SQL of that type which raises the message for a value that is not NULL."""
    return f"compat.refuse({literal(message)}, ({value})::text, NULL::{type_text})::{type_text}"
