"""Two rules on top of each other, through a table that is a view by now: v1 → v2 → v3.

Rules compile over rows. A row of the middle table whose columns are expressions over a row of the
target is all that it takes to read, and one over a legacy row all that it takes to write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import SerializerFunctionWrapHandler, WrapSerializer
from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import ident
from compat.rules.core import Ends, Row, Rule
from compat.tables import STRICT, Table

if TYPE_CHECKING:
    from compat.rules.any_rule import AnyRule
    from compat.rules.lens import Lens


def _with_tag(rule: Any, as_usual: SerializerFunctionWrapHandler) -> Any:
    """Write out a rule inside a rule: its name is a default, but it is what it is read back by."""
    return as_usual(rule) | {"rule": rule.rule}


@plain_dataclass(frozen=True)
class Computed(Row):
    """A row that is stored nowhere: each of its columns is an expression."""

    name: str = ""
    names: tuple[str, ...] = ()
    expression: Callable[[str], str] = field(default=ident)

    def column(self, name: str) -> str:
        """Return SQL for one column of this row."""
        return self.expression(name)

    def evaluate(self, expression: str) -> str:
        """Return SQL for a user's expression over the bare column names of this row."""
        if "--" in expression:
            expression += "\n"
        named = [name for name in self.names if mentions(expression, name)]
        if not named:
            return f"({expression})"
        columns = ", ".join(f"{self.column(name)} AS {ident(name)}" for name in named)
        return f"(SELECT {expression} FROM (SELECT {columns}) AS this_row)"


def mentions(expression: str, name: str) -> bool:
    """Return whether a user's expression may name a column; True when in doubt."""
    if "U&" in expression.upper():
        return True  # whose names may be written in code points
    expression = _without_literals(expression)
    spelled = name.replace('"', '""')
    quoted = f'"{spelled}"' in expression
    return quoted or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", expression, re.I) is not None


def _without_literals(expression: str) -> str:
    """Return a user's expression without its string literals, unless it may hold other strings."""
    if any(mark in expression for mark in ("\\", "$", "--", "/*")):
        return expression
    return re.sub(r"""("(?:[^"]|"")*")|'(?:[^']|'')*'""", r"\1", expression)


@dataclass(frozen=True, config=STRICT)
class Chain(Rule):
    """A legacy column ↔ columns of a middle table ↔ the target. Made by `compat.compose`.

    An UPDATE writes only what changed, at either level: where the middle value stays as it was,
    so does what is stored.

    :param first: the rule from the legacy column to the middle table
    :param middle: the middle table, with those columns of it that the rules here speak of
    :param second: the rules from these columns to the target
    :param beside: other rules of the first mapping, whose columns the SQL of `second` names
    :param given: what a middle column that no rule writes takes in a new row: (column, SQL over
        the bare legacy column names)
    """

    legacy: str
    first: Annotated[AnyRule, WrapSerializer(_with_tag)]
    middle: Table
    second: tuple[Annotated[AnyRule, WrapSerializer(_with_tag)], ...]
    beside: tuple[Annotated[AnyRule, WrapSerializer(_with_tag)], ...] = ()
    given: tuple[tuple[str, str], ...] = ()
    rule: Literal["chain"] = "chain"

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(t for name in self.first.targets for t in self._rule(name).targets)

    @property
    def reads(self) -> tuple[str, ...]:
        read = (t for name in self.first.reads for t in self._rule(name).reads)
        return tuple(dict.fromkeys((*self.targets, *read)))

    @property
    def invertible(self) -> bool:  # type: ignore[override]
        if not self.first.invertible or len(self.first.targets) != 1:
            return False
        second = self._rule(self.first.targets[0])
        return second.invertible and len(second.targets) == 1

    @property
    def is_constant(self) -> bool:
        """True when the target knows nothing of the column."""
        return bool(self.first.reads) and not any(rule.reads for rule in self._read_through)

    def read(self, target: Row, ends: Ends) -> str:
        return self._lens(self.first, ends).read(self._stored(target, ends))

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        before = None if current is None else self._stored(current, ends)
        after = self._written(legacy, ends, before)
        written: dict[str, str] = {}
        for name in self.first.targets:
            lens = self._second(name, ends)
            values = lens.write(after, current)
            if before is not None and current is not None and self._may_stay(lens, ends):
                changed = lens.changed(before, after)
                values = {
                    column: f"CASE WHEN {changed} THEN {value} ELSE {current.column(column)} END"
                    for column, value in values.items()
                }
            written |= values
        return written

    def loss(self, ends: Ends) -> str | None:
        if any(rule.rule == "expression" for rule in (self.first, *self._read_through)):
            return "nothing is known about an expression"
        lenses = [self._lens(self.first, ends)]
        lenses += [self._second(rule.legacy, ends) for rule in self._read_through]
        return next((lens.loss for lens in lenses if lens.loss is not None), None)

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        if self.loss(ends) is None or not set(self.reads) <= set(self.targets):
            return None
        written = self.write(legacy, ends)
        back = self.read(Computed(names=self.targets, expression=written.__getitem__), ends)
        value = legacy.column(self.legacy)
        return sqltypes.differs(back, value, ends.legacy.type, ends.legacy.collation)

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        after = self._written(legacy, ends, None)
        asked = [self._lens(self.first, ends).refused(legacy)]
        asked += [self._second(name, ends).refused(after) for name in self.first.targets]
        predicates = [predicate for predicate in asked if predicate is not None]
        # In this order: what the first rule refuses cannot be handed on to the second.
        branches = " ".join(f"WHEN {predicate} THEN true" for predicate in predicates)
        return f"CASE {branches} ELSE false END" if predicates else None

    def indexable(self, ends: Ends) -> bool:
        through = [self._second(name, ends) for name in self.first.reads]
        lenses = [self._lens(self.first, ends), *through]
        has_sql = self.first.rule == "expression"  # which becomes a sub-select
        return not has_sql and all(lens.rule.indexable(lens.ends) for lens in lenses)

    def absorbs_null(self) -> bool:
        return self.first.absorbs_null() or any(
            self._rule(name).absorbs_null() for name in self.first.targets[:1]
        )

    # -- the middle -----------------------------------------------------------------------

    @property
    def _read_through(self) -> list[AnyRule]:
        return [self._rule(name) for name in self.first.reads]

    def _rule(self, name: str) -> AnyRule:
        """Return the rule of a middle column."""
        return next(rule for rule in self.second if rule.legacy == name)

    def _second(self, name: str, ends: Ends) -> Lens:
        from compat.rules.lens import Lens

        column = self.middle.column(name)
        assert column is not None, name
        return Lens(self._rule(name), Ends(self.middle, column, ends.target_table))

    def _lens(self, rule: AnyRule, ends: Ends) -> Lens:
        """Return a rule of the first mapping, bound to its legacy column and the middle table."""
        from compat.rules.lens import Lens

        column = ends.legacy_table.column(rule.legacy)
        assert column is not None, rule.legacy
        return Lens(rule, Ends(ends.legacy_table, column, self.middle))

    def _stored(self, target: Row, ends: Ends) -> Row:
        """Return the middle row that a target row shows."""

        def expression(name: str) -> str:
            lens = self._second(name, ends)
            sql = lens.read(target)
            return f"({sql})" if lens.converts else sql

        return Computed(names=self.middle.column_names, expression=expression)

    def _written(self, legacy: Row, ends: Ends, before: Row | None) -> Row:
        """Return the middle row that a legacy row becomes.

        :param before: the middle row that is about to be changed, None for a new one
        """
        written = self.first.write(legacy, self._lens(self.first, ends).ends, before)
        given = dict(self.given)

        def expression(name: str) -> str:
            if name in written:
                return f"({written[name]})"
            for rule in self.beside:
                if name in rule.targets:
                    return self._beside(rule, name, legacy, ends, before)
            if before is not None:
                return before.column(name)
            column = self.middle.column(name)
            assert column is not None, name
            return f"{legacy.evaluate(given.get(name, 'NULL'))}::{column.type}"

        return Computed(names=self.middle.column_names, expression=expression)

    def _beside(self, rule: AnyRule, name: str, legacy: Row, ends: Ends, before: Row | None) -> str:
        lens = self._lens(rule, ends)
        value = lens.write(legacy, before)[name]
        if before is None or not lens.converts:
            return f"({value})"
        changed = sqltypes.differs(
            legacy.column(rule.legacy), lens.read(before), lens.legacy.type, lens.legacy.collation
        )
        return f"CASE WHEN {changed} THEN {value} ELSE {before.column(name)} END"

    def _may_stay(self, second: Lens, ends: Ends) -> bool:
        """Whether a change of the legacy value may leave this middle column as it was.

        A lossless rule gives another middle value for another legacy value (PutGet); a plain
        rename writes the same where it is the same.
        """
        first = self.first
        is_injective = len(first.targets) == 1 and first.loss(self._lens(first, ends).ends) is None
        return second.converts and not (is_injective and first.rule != "expression")
