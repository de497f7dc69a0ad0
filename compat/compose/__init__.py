"""Mappings on top of each other: v1 → v2 and v2 → v3 give one mapping v1 → v3.

So that a view of depth 8 costs what one of depth 1 does (as lenses compose: Foster et al.,
"Combinators for bidirectional tree transformations", 2007). Pure, like everything about mappings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce

from compat.compose.columns import Columns
from compat.compose.shapes import Shapes
from compat.errors import MappingError
from compat.mapping import CodeName, Mapping
from compat.rules import AnyRule, Lens, Lookup
from compat.tables import Table

_FORMS = ("updatable", "instead_of")
"""The forms of a view that another version may be put beneath."""


def compose(first: Mapping, second: Mapping) -> Mapping:
    """Return the mapping from the legacy table of `first` to the target of `second`.

    It has the name of `first`. What either mapping accepts to lose is accepted. Where `first` is
    over several tables, `second` takes the place of one of them.

    :raises MappingError: the two do not meet, or together they are no mapping
    """
    problem = next(_problems(first, second), None)
    if problem is None:
        try:
            return _composed(Columns(first, second))
        except MappingError as error:
            problem = error.message
    raise MappingError(f"{first.name!r} and {second.name!r} cannot be composed: {problem}")


def compose_all(mappings: Iterable[Mapping]) -> Mapping:
    """Return the mapping from the legacy table of the first to the target of the last."""
    return reduce(compose, mappings)


def _problems(first: Mapping, second: Mapping) -> Iterator[str]:
    middle = second.legacy
    met = [table for table in first.tables if _name(table) == _name(middle)]
    if not met:
        yield f"one leads to {first.target.title}, the other begins at {middle.title}"
    for mapping in (first, second):
        if mapping.reasons_against_view:
            yield f"{mapping.name!r}: {mapping.reasons_against_view[0]}"
    if len(first.tables) > 1:
        yield from _problems_over_several(first, second)
    if first.tag is not None and second.tag is not None:
        yield "both share their target by a tag; contract the older version first"
    if second.chosen_form == "reversed":
        yield f"{second.name!r} is reversed: {second.legacy.title} stays what it is"
    if first.chosen_form not in _FORMS:
        yield (
            f"the view of {first.name!r} is {first.chosen_form}, and what serves it is in "
            f"{first.target.title}; switch it to instead_of, or contract it first"
        )
    for lens in first.lenses:
        if isinstance(lens.rule, Lookup) and lens.rule.is_own(lens.ends):
            yield (
                f"{lens.legacy.name}: {first.name!r} finds rows of {first.target.title} in that "
                "table itself; contract it first"
            )
    for column in (column for table in met for column in table.columns):
        found = middle.column(column.name)
        if found is not None and (found.type, found.collation) != (column.type, column.collation):
            yield f"{middle.title}.{column.name} is {found.type}, and was {column.type}"


def _problems_over_several(first: Mapping, second: Mapping) -> Iterator[str]:
    if len(second.tables) > 1:
        yield "both are over several tables; contract the older version first"
    if second.tag is not None and (first.choices or second.legacy.title != first.target.title):
        yield (
            f"{second.name!r} shares its target by a tag, and {second.legacy.title} is one of "
            f"several tables of {first.name!r}; contract the older version first"
        )


def _composed(columns: Columns) -> Mapping:
    first, second = columns.first, columns.second
    shapes = Shapes(columns)
    rules = tuple(map(columns.rule, first.rules))
    if first.choices:
        shapes.require_same_columns(rules)
    return Mapping(
        name=first.name,
        legacy=first.legacy,
        target=shapes.target(),
        rules=rules,
        fills=shapes.fills(),
        # A view that has triggers keeps them: what they make possible, clients may rely on.
        form="instead_of" if first.chosen_form == "instead_of" else "auto",
        accept=(*first.accept, *_lost(columns, rules)),
        needs=("copy",) if first.inserts_by_trigger and "copy" in first.needs else (),
        code=tuple(_code(first, second)),
        parts=shapes.parts(),
        choices=shapes.choices(),
        remainder=shapes.remainder(),
        tag=shapes.tag(),
        through=(*first.through, second.name, *second.through),
    )


def _lost(columns: Columns, rules: Iterable[AnyRule]) -> Iterator[str]:
    """Yield the legacy columns that may lose something which the second mapping accepted."""
    for rule in rules:
        if rule.legacy not in columns.first.accept:
            lens = Lens(rule, columns.ends_of_composed(rule.legacy))
            if lens.loss is not None:
                yield rule.legacy


def _code(first: Mapping, second: Mapping) -> Iterator[CodeName]:
    later = {code.old: code.new for code in second.code}
    for code in first.code:
        new = later.get(code.new, code.new)
        if new != code.old:
            yield CodeName(code.old, new)


def _name(table: Table) -> tuple[str, str]:
    return table.schema, table.name
