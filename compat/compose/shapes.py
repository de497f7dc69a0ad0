"""The shapes of two mappings on top of each other: tables, parts, choices and tag.

Where the second mapping has a shape, the first is of one table, whose columns are now here and
there. Where the first has one, the second takes the place of one of its tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from compat import sqltypes
from compat.compose.columns import Columns
from compat.errors import MappingError
from compat.mapping import Fill
from compat.rules import AnyRule, Cast, Column, ValueMap, mentions
from compat.rules.core import Value
from compat.shapes import AnyPart, Choice, Parent, Place, Tag
from compat.tables import Table


@dataclass(frozen=True)
class Shapes:
    """What becomes of the shapes, once it is known what becomes of the columns."""

    columns: Columns

    @property
    def _is_replaced(self) -> bool:
        """True when the second mapping takes the place of one of several tables."""
        return len(self.columns.first.tables) > 1

    def target(self) -> Table:
        """Return the target of the composed mapping."""
        return self._now(self.columns.first.target)

    def fills(self) -> tuple[Fill, ...]:
        """Return what columns of the target take that no legacy column is written to."""
        first, second = self.columns.first, self.columns.second
        if self.columns.spot.part is not None:
            return first.fills
        without = (fill for part in self._unidentified() for fill in self._unreferenced(part))
        return (*self.columns.fills(second.places[0]), *without)

    def parts(self) -> tuple[AnyPart, ...]:
        """Return the parts of the composed mapping."""
        if self._is_replaced:
            return tuple(self._rejoined(place) for place in self.columns.first.places[1:])
        unidentified = self._unidentified()
        places = self.columns.second.places[1:]
        return tuple(self._held(place) for place in places if place.part not in unidentified)

    def choices(self) -> tuple[Choice, ...]:
        """Return the choices of the composed mapping."""
        if self._is_replaced:
            chosen = self.columns.first.choices
            return tuple(replace(item, table=self._now(item.table)) for item in chosen)
        return tuple(
            replace(item, when=self._over_legacy(item.when)) for item in self.columns.second.choices
        )

    def remainder(self) -> str | None:
        """Return what the target takes where there are choices."""
        remainder = self.columns.second.remainder
        if self._is_replaced:
            return self.columns.first.remainder
        return None if remainder is None else self._over_legacy(remainder)

    # -- the first mapping has parts or choices -------------------------------------------

    def _now(self, table: Table) -> Table:
        """Return the table that has the place of a table of the first mapping."""
        middle = self.columns.middle
        is_replaced = (table.schema, table.name) == (middle.schema, middle.name)
        return self.columns.second.target if is_replaced else table

    def require_same_columns(self, rules: Iterable[AnyRule]) -> None:
        """Look whether one of several tables still has the columns that all of them need.

        :raises MappingError: it has them no more
        """
        first, second = self.columns.first, self.columns.second
        for before, after in zip(first.rules, rules, strict=True):
            if before != after:
                raise MappingError(
                    f"{before.legacy}: the tables of {first.name!r} would hold it differently; "
                    "contract it first"
                )
        if fills := {*self.columns.fills(second.places[0])} ^ {*first.fills}:
            raise MappingError(
                f"{min(x.target for x in fills)}: only {second.target.title} would be filled "
                f"so, of the tables of {first.name!r}; contract it first"
            )

    def _rejoined(self, place: Place) -> AnyPart:
        """Return a part of the first mapping, joined by the columns that there are now."""
        part, spot = place.part, self.columns.spot
        assert part is not None
        if spot.part is None:
            on = tuple((mine, self._joining(other)) for mine, other in part.on)
            return replace(part, on=on)
        if place.part is not spot.part:
            return part
        on = tuple((self._joining(mine), other) for mine, other in part.on)
        fills = tuple(self.columns.fills(self.columns.second.places[0]))
        return replace(part, table=self._now(part.table), on=on, fills=fills)

    def _joining(self, name: str) -> str:
        """Return what a column is called now by which rows are joined."""
        middle, second = self.columns.middle, self.columns.second
        rule = second.lens(name).rule if middle.column(name) is not None else None
        if not isinstance(rule, Column):
            raise MappingError(
                f"{middle.title}.{name} joins the rows of {self.columns.first.name!r}; map it with "
                f"rules.Column in {second.name!r}, or contract the older version first"
            )
        return rule.target

    # -- the second mapping has parts -----------------------------------------------------

    def _held(self, place: Place) -> AnyPart:
        """Return a part of the second mapping that holds legacy columns of the first."""
        part = place.part
        assert part is not None
        held = tuple(
            rule.legacy for rule in self.columns.met if self.columns.place(rule).part is part
        )
        if isinstance(part, Parent) or part.optional:
            self._require_whole(part)
        return replace(part, holds=held, fills=tuple(self.columns.fills(place)))

    def _require_whole(self, part: AnyPart) -> None:
        """Look whether it is known of a legacy row alone if it has a row in a part, and which."""
        first, columns = self.columns.first, self.columns
        written = [name for name in part.holds if name in columns.written]
        for name in part.holds:
            if not columns.second.lens(name).targets:
                raise MappingError(
                    f"{name}: a row of {part.table.title} depends on it, and it is not stored there"
                )
            given = columns.given.get(name)
            if written and name not in columns.written:
                raise MappingError(
                    f"{name}: {first.name!r} knows {written[0]!r} only, of what a row of "
                    f"{part.table.title} depends on"
                )
            if not written and given != "NULL":
                raise MappingError(
                    f"{name}: new rows of {first.name!r} would have {given} in {part.table.title}, "
                    "and nothing to tell whether they still do"
                )
        for rule in columns.met:
            if set(rule.targets) & set(written) and rule.absorbs_null():
                raise MappingError(
                    f"{rule.legacy}: a row of {part.table.title} depends on what is NULL, and a "
                    f"{rule.rule} makes something of it"
                )

    def _unidentified(self) -> list[Parent]:
        """Return the parents that rows of the first mapping never reference."""
        unidentified = []
        for place in self.columns.second.places[1:]:
            part = place.part
            if isinstance(part, Parent) and not set(part.holds) & self.columns.written:
                self._require_whole(part)
                unidentified.append(part)
        return unidentified

    def _unreferenced(self, part: Parent) -> Iterator[Fill]:
        """Yield what columns take that reference such a parent, where that is not their default."""
        first, second = self.columns.first, self.columns.second
        if part.orphans == "delete":
            raise MappingError(
                f"{part.table.title}: {first.name!r} knows nothing of it, so a row that it deletes "
                "would leave its parent behind; keep the orphans, or contract it first"
            )
        for _, other in part.on:
            column = second.target.column(other)
            assert column is not None, other
            if column.default is not None and column.nullable:
                yield Fill(other, "NULL")
            elif column.default is None and not column.nullable:
                raise MappingError(
                    f"{second.target.title}.{other} must reference a parent, and {first.name!r} "
                    "has nothing by which it would be found"
                )

    # -- the second mapping has choices ---------------------------------------------------

    def _over_legacy(self, condition: str) -> str:
        """Return a condition over the middle table as one over the legacy columns."""
        self._require_decidable()
        return self.columns.row.evaluate(condition)

    def _require_decidable(self) -> None:
        """Look whether the place of a row follows from its legacy columns, also when it changes.

        An UPDATE leaves what it does not change as it is stored, which a condition over one column
        cannot notice, nor one over columns that the legacy values tell exactly.
        """
        columns, first, second = self.columns, self.columns.first, self.columns.second
        conditions = [choice.when for choice in second.choices]
        conditions += [] if second.remainder is None else [second.remainder]
        tag = None if first.tag is None else first.tag.column
        named = [
            name
            for name in columns.middle.column_names
            if name != tag and any(mentions(text, name) for text in conditions)
        ]
        unknown = [name for name in named if name not in columns.written]
        if unknown and len(unknown) < len(named):
            raise MappingError(
                f"{unknown[0]}: which table takes a row depends on it, and on columns that "
                f"{first.name!r} writes; that does not write {unknown[0]!r}"
            )
        for fill in first.fills:
            changes = any(mentions(fill.value, column) for column in first.legacy.column_names)
            if fill.target in unknown and changes:
                raise MappingError(
                    f"{fill.target}: which table takes a row depends on it, and it is filled from "
                    f"{fill.value}"
                )
        for rule in columns.met:
            inexact = not isinstance(rule, Column | Cast | ValueMap) or len(rule.targets) > 1
            if set(rule.targets) & set(named) and (
                rule.rule == "expression" or (inexact and len(named) > 1)
            ):
                raise MappingError(
                    f"{rule.legacy}: which table takes a row depends on {rule.targets[0]!r}, which "
                    f"a {rule.rule} does not tell exactly"
                )

    # -- tags -----------------------------------------------------------------------------

    def tag(self) -> Tag | None:
        """Return the tag as the target has it."""
        first, second = self.columns.first, self.columns.second
        if first.tag is None:
            return second.tag
        return first.tag if self.columns.spot.part is not None else self._converted(first.tag)

    def _converted(self, tag: Tag) -> Tag:
        middle, second = self.columns.middle, self.columns.second
        if middle.column(tag.column) is None:
            raise MappingError(f"{middle.title} has no column {tag.column!r} any more")
        lens = second.lens(tag.column)
        if lens.part is not None:
            raise MappingError(
                f"the tag {tag.column!r} of {self.columns.first.name!r} is in "
                f"{lens.ends.target_table.title}; it must be in {second.target.title}"
            )
        value = _later(tag.value, lens.rule, lens.ends.target(lens.targets[0]).type)
        if value is None:
            raise MappingError(
                f"the tag {tag.column!r} of {self.columns.first.name!r} is lost: map it with "
                "rules.Column, with a rules.Cast that keeps integers or text, or with a "
                "rules.ValueMap that has a value of its own for it"
            )
        return Tag(lens.targets[0], value)


def _later(value: Value, rule: AnyRule, kind: str) -> Value | None:
    """Return what a rule makes of a tag's value, None where it is not known or not unique.

    :param kind: the type of the column that takes it
    """
    if isinstance(rule, Column):
        return value
    if isinstance(rule, ValueMap) and value in dict(rule.pairs):
        targets = [target for _, target in rule.pairs]
        later = dict(rule.pairs)[value]
        return later if targets.count(later) == 1 and later != rule.otherwise else None
    if isinstance(rule, Cast) and rule.factor is None and rule.timezone is None:
        return _cast(value, kind)
    return None


def _cast(value: Value, kind: str) -> Value | None:
    result = sqltypes.parse(kind)
    match value:
        case bool():
            return None
        case int() if result.is_integer:
            return value
        case int() | str() if result.is_text:
            return str(value)
    return None
