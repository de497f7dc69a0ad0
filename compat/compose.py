"""Mappings on top of each other: v1 → v2 and v2 → v3 give one mapping v1 → v3.

So that a view of depth 8 costs what one of depth 1 does (as lenses compose: Foster et al.,
"Combinators for bidirectional tree transformations", 2007). Pure, like everything about mappings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from compat.errors import MappingError
from compat.mapping import CodeName, Fill, Mapping
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
from compat.shapes import Tag
from compat.tables import Column as TableColumn
from compat.tables import Table

_OfOneColumn = Cast | Text | Delimited | ValueMap | Epoch | Flag | JsonField | Lookup
"""The rules that go on saying what they say when their columns have other names."""

_FORMS = ("updatable", "instead_of")
"""The forms of a view that another version may be put beneath."""


def compose(first: Mapping, second: Mapping) -> Mapping:
    """Return the mapping from the legacy table of `first` to the target of `second`.

    It has the name of `first`. What either mapping accepts to lose is accepted.

    :raises MappingError: the two do not meet, or together they are no mapping
    """
    problem = next(_problems(first, second), None)
    if problem is None:
        try:
            return _Composition(first, second).mapping()
        except MappingError as error:
            problem = error.message
    raise MappingError(f"{first.name!r} and {second.name!r} cannot be composed: {problem}")


def compose_all(mappings: Iterable[Mapping]) -> Mapping:
    """Return the mapping from the legacy table of the first to the target of the last."""
    return reduce(compose, mappings)


def _problems(first: Mapping, second: Mapping) -> Iterator[str]:
    if (first.target.schema, first.target.name) != (second.legacy.schema, second.legacy.name):
        yield f"one leads to {first.target.title}, the other begins at {second.legacy.title}"
    for mapping in (first, second):
        if mapping.reasons_against_view:
            yield f"{mapping.name!r}: {mapping.reasons_against_view[0]}"
        if len(mapping.tables) > 1:
            yield f"{mapping.name!r} is over several tables; contract the older version first"
    if first.tag is not None and second.tag is not None:
        yield "both share their target by a tag; contract the older version first"
    if first.chosen_form not in _FORMS:
        yield (
            f"the view of {first.name!r} is {first.chosen_form}, and what serves it is in "
            f"{first.target.title}; switch it to instead_of, or contract it first"
        )
    for column in first.target.columns:
        found = second.legacy.column(column.name)
        if found is not None and (found.type, found.collation) != (column.type, column.collation):
            yield f"{second.legacy.title}.{column.name} is {found.type}, and was {column.type}"


@dataclass(frozen=True)
class _Composition:
    first: Mapping
    second: Mapping

    @property
    def middle(self) -> Table:
        return self.second.legacy

    def mapping(self) -> Mapping:
        first, second = self.first, self.second
        rules = tuple(self.rule(rule) for rule in first.rules)
        return Mapping(
            name=first.name,
            legacy=first.legacy,
            target=second.target,
            rules=rules,
            fills=tuple(self.fills()),
            # A view that has triggers keeps them: what they make possible, clients may rely on.
            form="instead_of" if first.chosen_form == "instead_of" else "auto",
            accept=(*first.accept, *self._lost(rules)),
            code=tuple(self._code()),
            tag=second.tag if first.tag is None else self._tag(first.tag),
            through=(*first.through, second.name, *second.through),
        )

    # -- rules ----------------------------------------------------------------------------

    def rule(self, rule: AnyRule) -> AnyRule:
        """Return the rule for the same legacy column, over the target of the second mapping."""
        names = self._named_by_read(rule)
        for name in names:
            if self.middle.column(name) is None:
                raise MappingError(f"{self.middle.title} has no column {name!r} any more")
        if not names:
            return rule
        return self._renamed(rule) or self._read_only(rule, names) or self._chain(rule, names)

    def _named_by_read(self, rule: AnyRule) -> tuple[str, ...]:
        """Return the middle columns that a rule of the first mapping writes or reads."""
        asked = _Asked()
        rule.read(asked, self._lens(rule).ends)
        known = [name for name in self.middle.column_names if asked.may_be(name)]
        return tuple(dict.fromkeys((*rule.targets, *rule.reads, *known)))

    def _lens(self, rule: AnyRule) -> Lens:
        column = self.first.legacy.column(rule.legacy)
        assert column is not None, rule.legacy
        return Lens(rule, Ends(self.first.legacy, column, self.first.target))

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
        ends = replace(self._lens(rule).ends, target_table=self.second.target)
        uses = tuple(dict.fromkeys(name for lens in lenses for name in lens.rule.reads))
        return Expression(rule.legacy, Lens(chain, ends).read(_Bare("")), uses)

    def _chain(self, rule: AnyRule, names: tuple[str, ...]) -> Chain:
        for part in (rule, *(self.second.lens(name).rule for name in names)):
            if part.shares or isinstance(part, Lookup):
                raise MappingError(
                    f"{rule.legacy}: a {part.rule} and another conversion on top of each other"
                )
        given = self._given()
        named = [n for name in rule.targets for n in self._named_by_write(name)]
        beside = [
            other
            for other in self.first.rules
            if other is not rule and set(other.targets) & (set(named) - set(rule.targets))
        ]
        read_beside = [name for other in beside for name in self._named_by_read(other)]
        wanted = tuple(dict.fromkeys((*names, *named, *read_beside)))
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

    def _given(self) -> dict[str, str]:
        """Return what each middle column that no rule writes takes in a new row, as SQL."""
        ruled = {name for rule in self.first.rules for name in rule.targets}
        if self.first.tag is not None:
            ruled.add(self.first.tag.column)
        given = {
            column.name: column.default or "NULL"
            for column in self.middle.columns
            if column.name not in ruled and column.generated is None
        }
        return given | {fill.target: fill.value for fill in self.first.fills}

    def fills(self) -> Iterator[Fill]:
        """Yield what target columns take that no legacy column is written to."""
        given, filled = self._given(), {fill.target for fill in self.first.fills}

        def expression(name: str) -> str:
            column = _column(self.middle, name)
            value = given.get(name) or self._written_bare(name)
            return f"({value})::{column.type}"

        row = Computed(names=self.middle.column_names, expression=expression)
        for name in given:
            lens = self.second.lens(name)
            for target, value in lens.write(row).items():
                column = lens.ends.target(target)
                if name in filled or not _comes_by_itself(lens, given[name], column):
                    yield Fill(target, value)
        for fill in self.second.fills:
            yield Fill(fill.target, row.evaluate(fill.value))

    def _written_bare(self, name: str) -> str:
        """Return what a rule of the first mapping writes to a middle column, over bare names."""
        tag = self.first.tag
        if tag is not None and name == tag.column:
            return literal(tag.value)
        for rule in self.first.rules:
            if name in rule.targets:
                return self._lens(rule).write(_Bare(""))[name]
        return "NULL"

    # -- the rest -------------------------------------------------------------------------

    def _lost(self, rules: tuple[AnyRule, ...]) -> list[str]:
        """Return the legacy columns that may lose something which the second mapping accepted."""
        lenses = [
            Lens(rule, replace(self._lens(rule).ends, target_table=self.second.target))
            for rule in rules
            if rule.legacy not in self.first.accept
        ]
        return [lens.legacy.name for lens in lenses if lens.loss is not None]

    def _tag(self, tag: Tag) -> Tag:
        """Return the tag as the target has it."""
        if self.middle.column(tag.column) is None:
            raise MappingError(f"{self.middle.title} has no column {tag.column!r} any more")
        rule = self.second.lens(tag.column).rule
        if isinstance(rule, Column):
            return Tag(rule.target, tag.value)
        if isinstance(rule, ValueMap) and tag.value in dict(rule.pairs):
            targets = [target for _, target in rule.pairs]
            value = dict(rule.pairs)[tag.value]
            if targets.count(value) == 1:
                return Tag(rule.target, value)
        raise MappingError(
            f"the tag {tag.column!r} of {self.first.name!r} is lost: map it with rules.Column, or "
            "with a rules.ValueMap that has a value of its own for it"
        )

    def _code(self) -> Iterator[CodeName]:
        later = {code.old: code.new for code in self.second.code}
        for code in self.first.code:
            new = later.get(code.new, code.new)
            if new != code.old:
                yield CodeName(code.old, new)


@dataclass(frozen=True)
class _Bare(Row):
    """A row whose columns go by their bare names, as in a user's SQL."""

    def column(self, name: str) -> str:
        return ident(name)

    def evaluate(self, expression: str) -> str:
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
