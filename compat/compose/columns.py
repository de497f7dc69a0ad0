"""The columns of two mappings on top of each other: one rule for each legacy column, and fills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from compat.errors import MappingError
from compat.mapping import Fill, Mapping
from compat.names import ident, literal
from compat.rules import (
    AnyRule,
    Cast,
    Chain,
    Column,
    Computed,
    Delimited,
    Ends,
    Epoch,
    Expression,
    Flag,
    JsonField,
    Lens,
    Lookup,
    Row,
    Text,
    ValueMap,
    mentions,
)
from compat.shapes import Place
from compat.tables import Column as TableColumn
from compat.tables import Table

_OfOneColumn = Cast | Text | Delimited | ValueMap | Epoch | Flag | JsonField | Lookup
"""The rules that go on saying what they say when their columns have other names."""


@dataclass(frozen=True)
class Columns:
    """Two mappings that meet in a table: the legacy table of the second."""

    first: Mapping
    second: Mapping

    @property
    def middle(self) -> Table:
        """The table in which they meet, as the second mapping describes it."""
        return self.second.legacy

    @cached_property
    def spot(self) -> Place:
        """The place of the first mapping that the second takes; a choice is the target's."""
        here = (self.middle.schema, self.middle.name)
        places = self.first.places
        return next((p for p in places if (p.table.schema, p.table.name) == here), places[0])

    @cached_property
    def met(self) -> tuple[AnyRule, ...]:
        """The rules of the first mapping that the second has a say in."""
        held = self.first.holds(self.spot)
        return tuple(rule for rule in self.first.rules if rule.legacy in held)

    def ends(self, rule: AnyRule) -> Ends:
        """Return the ends of a rule of the first mapping."""
        return self.first.lens(rule.legacy).ends

    def ends_of_composed(self, legacy: str) -> Ends:
        """Return the ends of the rule for a legacy column in the composed mapping."""
        ends = self.first.lens(legacy).ends
        for rule in self.met:
            if rule.legacy == legacy:
                return replace(ends, target_table=self.place(rule).table)
        return ends

    # -- rules ----------------------------------------------------------------------------

    def rule(self, rule: AnyRule) -> AnyRule:
        """Return the rule for the same legacy column, over the target of the second mapping."""
        if rule not in self.met:
            return rule
        names = self._named_by_read(rule)
        for name in names:
            if self.middle.column(name) is None:
                raise MappingError(f"{self.middle.title} has no column {name!r} any more")
        if not names:
            return rule
        self.place(rule)
        return self._renamed(rule) or self._read_only(rule, names) or self._chain(rule, names)

    def place(self, rule: AnyRule) -> Place:
        """Return the place of the second mapping in which a legacy column lives.

        :raises MappingError: it lives in several
        """
        return self._place_of(rule.legacy, self._named_by_read(rule))

    def _place_of(self, legacy: str, names: Iterable[str]) -> Place:
        stored = [n for n in names if (r := self.second.lens(n).rule).targets or r.reads]
        found = {
            place.table.title: place
            for place in self.second.places
            if set(stored) & set(self.second.holds(place))
        }
        if len(found) > 1:
            raise MappingError(
                f"{legacy}: needs {', '.join(stored)} of {self.middle.title}, which are in "
                f"several tables by now ({', '.join(found)})"
            )
        return next(iter(found.values()), self.second.places[0])

    def _named_by_read(self, rule: AnyRule) -> tuple[str, ...]:
        """Return the middle columns that a rule of the first mapping writes or reads."""
        asked = _Asked()
        rule.read(asked, self.ends(rule))
        known = [name for name in self.middle.column_names if asked.may_be(name)]
        return tuple(dict.fromkeys((*rule.targets, *rule.reads, *known)))

    def _renamed(self, rule: AnyRule) -> AnyRule | None:
        """Return one rule that does what the two do, where one of them only renames."""
        second = [self.second.lens(name).rule for name in rule.targets]
        if isinstance(rule, Column):
            asked = _Asked()
            self.second.lens(rule.target).write(asked)
            stands_alone = isinstance(second[0], Column | _OfOneColumn) and not asked.expressions
            return replace(second[0], legacy=rule.legacy) if stands_alone else None
        names = {item.legacy: item.target for item in second if isinstance(item, Column)}
        if len(names) < len(second):
            return _joined(rule, second[0]) if len(second) == 1 else None
        if not isinstance(rule, _OfOneColumn):
            return None
        side: dict[str, Any] = (
            {"keep": names[keep]} if (keep := getattr(rule, "keep", None)) is not None else {}
        )
        return replace(rule, target=names[rule.target], **side)

    def _read_only(self, rule: AnyRule, names: tuple[str, ...]) -> Expression | None:
        """Return an expression for a column that the second version does not let be written."""
        lenses = [self.second.lens(name) for name in names]
        is_read_only = isinstance(rule, Expression) and rule.is_read_only
        written = [lens for lens in lenses if lens.legacy.name in rule.targets]
        if not is_read_only and not any(
            isinstance(lens.rule, Expression) and lens.rule.is_read_only for lens in written
        ):
            return None
        chain = self._chain(rule, names)
        ends = self.ends_of_composed(rule.legacy)
        uses = tuple(dict.fromkeys(name for lens in lenses for name in lens.rule.reads))
        return Expression(rule.legacy, Lens(chain, ends).read(Bare("")), uses)

    def _chain(self, rule: AnyRule, names: tuple[str, ...]) -> Chain:
        for part in (rule, *(self.second.lens(name).rule for name in names)):
            if part.shares or isinstance(part, Lookup):
                raise MappingError(
                    f"{rule.legacy}: a {part.rule} and another conversion on top of each other"
                )
        given = self.given
        named = [n for name in rule.targets for n in self._named_by_write(name)]
        beside = [
            other
            for other in self.met
            if other is not rule and set(other.targets) & (set(named) - set(rule.targets))
        ]
        read_beside = [name for other in beside for name in self._named_by_read(other)]
        wanted = tuple(dict.fromkeys((*names, *named, *read_beside)))
        self._place_of(rule.legacy, wanted)
        columns = tuple(column for column in self.middle.columns if column.name in wanted)
        return Chain(
            rule.legacy,
            rule,
            Table(self.middle.schema, self.middle.name, columns),
            tuple(self.second.lens(name).rule for name in wanted),
            tuple(beside),
            tuple((name, given[name]) for name in dict.fromkeys(named) if name in given),
        )

    def _named_by_write(self, name: str) -> list[str]:
        """Return the middle columns that the second rule of one of them names in what it writes."""
        lens, asked = self.second.lens(name), _Asked()
        lens.write(asked)
        return [other for other in self.middle.column_names if asked.may_be(other)]

    # -- columns that no legacy column is written to --------------------------------------

    @cached_property
    def written(self) -> frozenset[str]:
        """The middle columns that a legacy column is written to."""
        return frozenset(name for rule in self.met for name in rule.targets)

    @cached_property
    def given(self) -> dict[str, str]:
        """What each middle column that nothing else writes takes in a new row, as SQL."""
        elsewhere = {*self.written, *self.first.given_to(self.spot)}
        defaults = {
            column.name: column.default or "NULL"
            for column in self.middle.columns
            if column.name not in elsewhere and column.generated is None
        }
        part = self.spot.part
        fills = self.first.fills if part is None else part.fills
        return defaults | {fill.target: fill.value for fill in fills}

    @cached_property
    def row(self) -> Computed:
        """The middle row that a legacy row becomes, over the bare names of its columns."""

        def expression(name: str) -> str:
            value = self.given.get(name) or self._written_bare(name)
            return f"({value})::{_column(self.middle, name).type}"

        return Computed(names=self.middle.column_names, expression=expression)

    def _written_bare(self, name: str) -> str:
        """Return what a rule of the first mapping writes to a middle column, over bare names."""
        tag = self.first.tag
        if self.spot.part is None and tag is not None and name == tag.column:
            return literal(tag.value)
        for rule in self.met:
            if name in rule.targets:
                return Lens(rule, self.ends(rule)).write(Bare(""))[name]
        if name in self.first.given_to(self.spot):
            raise MappingError(
                f"{self.middle.title}.{name} joins rows for {self.first.name!r}, so nothing else "
                f"can be made of it; {self.second.name!r} does"
            )
        return "NULL"

    def fills(self, place: Place) -> Iterator[Fill]:
        """Yield what columns of a place take that no legacy column is written to."""
        part = self.spot.part
        filled = {fill.target for fill in (self.first.fills if part is None else part.fills)}
        for name in self.given:
            if name not in self.second.holds(place):
                continue
            lens = self.second.lens(name)
            for target, value in lens.write(self.row).items():
                column = lens.ends.target(target)
                if name in filled or not _comes_by_itself(lens, self.given[name], column):
                    yield Fill(target, value)
        for fill in self.second.fills if place.part is None else place.part.fills:
            yield Fill(fill.target, self.row.evaluate(fill.value))


@dataclass(frozen=True)
class Bare(Row):
    """A row whose columns go by their bare names, as in a user's SQL."""

    def column(self, name: str) -> str:
        """Return SQL for one column of this row."""
        return ident(name)

    def evaluate(self, expression: str) -> str:
        """Return SQL for a user's expression over the bare column names of this row."""
        return f"({expression}\n)" if "--" in expression else f"({expression})"


@dataclass(frozen=True)
class _Asked(Row):
    """A row that remembers which of its columns were asked for."""

    name: str = ""
    columns: set[str] = field(default_factory=set)
    expressions: list[str] = field(default_factory=list)

    def column(self, name: str) -> str:
        self.columns.add(name)
        return "NULL"

    def evaluate(self, expression: str) -> str:
        self.expressions.append(expression)
        return "NULL"

    def may_be(self, name: str) -> bool:
        """Return whether a column was asked for, or may be named by a user's expression."""
        return name in self.columns or any(mentions(text, name) for text in self.expressions)


def _column(table: Table, name: str) -> TableColumn:
    column = table.column(name)
    assert column is not None, name
    return column


def _joined(first: AnyRule, second: AnyRule) -> ValueMap | None:
    """Return one value map for two that say it all in their pairs."""
    if not (isinstance(first, ValueMap) and isinstance(second, ValueMap)):
        return None
    if any((m.keep, m.otherwise, m.unknown) != (None, None, None) for m in (first, second)):
        return None
    later = dict(second.pairs)
    pairs = tuple((legacy, later[middle]) for legacy, middle in first.pairs if middle in later)
    if not pairs or len(set(later.values())) < len(later):
        return None
    return ValueMap(first.legacy, second.target, pairs)


def _comes_by_itself(lens: Lens, value: str, column: TableColumn) -> bool:
    """Whether a target column takes the same value when nothing is written to it."""
    if value == "NULL":
        return (column.default is None and not lens.rule.absorbs_null()) or not column.nullable
    return isinstance(lens.rule, Column) and column.default == value
