"""A first mapping: legacy and target are reflected, and their columns paired by name and type.

What could not be paired is marked in the draft; a draft is a start, and says so where it guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from compat import catalog, rules, sqltypes
from compat.connection import Connection
from compat.definitions import names, parent_of
from compat.errors import CatalogError, MappingError
from compat.mapping import Mapping
from compat.render import render_draft
from compat.rules import AnyRule
from compat.shapes import Half, Parent
from compat.tables import Column, Constraint, Table


@dataclass(frozen=True)
class Draft:
    """A drafted mapping.

    :param mapping: the mapping, or None while something in it still has to be decided
    :param unpaired: legacy columns for which no counterpart was found
    :param unfilled: target columns that nothing writes
    :param open_questions: what keeps the draft from being a mapping, one sentence each
    :param source: the Python module, with the open questions as comments
    """

    mapping: Mapping | None
    rules: tuple[AnyRule, ...]
    unpaired: tuple[str, ...]
    unfilled: tuple[str, ...]
    open_questions: tuple[str, ...]
    source: str


def draft(
    conn: Connection,
    legacy: str,
    target: str | None = None,
    name: str | None = None,
    *,
    source: Connection | None = None,
    parts: Iterable[str] = (),
) -> Draft:
    """Return a draft of the mapping between existing tables.

    :param target: the target table; by default the legacy name with `_v2`, or, where the legacy
        table is in another database, without
    :param source: the database of the legacy table, when it is another one
    :param parts: further tables that hold columns of each row
    :raises CatalogError: a table does not exist, the legacy table has no key, or no foreign key
        joins a part to the target
    """
    old = catalog.reflect_table(source or conn, legacy)
    if not old.row_key:
        raise CatalogError(
            f"{old.title} has no primary key and no unique constraint over NOT NULL columns, so "
            "rows cannot be told apart",
            f"ALTER TABLE {old.sql} ADD PRIMARY KEY (…), then draft again",
        )
    target_name = target or f"{old.schema}.{old.name}" + "_v2" * (source is None)
    if catalog.find(conn, target_name) is None:
        guessed = "" if target else " (give --target when it is called otherwise)"
        raise CatalogError(
            f"no such table: {target_name}{guessed}",
            "create the v2 table first: the draft pairs its columns with the legacy ones",
        )
    new = catalog.reflect_table(conn, target_name)
    others = [_part(new, catalog.reflect_table(conn, part)) for part in parts]
    return pair(old, new, name or old.name, others)


def pair(legacy: Table, target: Table, name: str, parts: Iterable[Half | Parent] = ()) -> Draft:
    """Pair the columns of tables: same name first, then the most similar one that fits.

    :param parts: how further tables are joined to the target; what they hold is found here
    """
    parts = tuple(parts)
    joined = {column for part in parts if isinstance(part, Parent) for _, column in part.on}
    free, left = _without(target, joined), legacy
    matches, held = [], []
    for part in parts:
        table = _without(part.table, {column for column, _ in part.on})
        others = {c.name for c in left.columns if not _is_rather_in(table, free, c)}
        match = _match(_without(left, others), table)
        holds = tuple(rule.legacy for rule in match.rules)
        if holds:
            matches.append(match)
            held.append(replace(part, holds=holds))
            left = _without(left, set(holds))
    matches.insert(0, _match(left, free))
    found = {rule.legacy: rule for match in matches for rule in match.rules}
    drafted = tuple(found[column] for column in legacy.column_names if column in found)
    unpaired = tuple(column for column in legacy.column_names if column not in found)
    unfilled = tuple(column for match in matches for column in match.unfilled)
    coded = {old: new for match in matches for old, new in match.paired.items() if old in unpaired}
    guessed = frozenset(column for match in matches for column in match.guessed)
    mapping, questions = None, list(_questions(legacy, unpaired, unfilled, coded))
    try:
        mapping = Mapping(name, legacy, target, drafted, parts=tuple(held))
    except MappingError as error:
        questions = questions or error.message.split("\n  ")
    source = render_draft(
        name,
        legacy,
        target,
        drafted,
        parts=tuple(held),
        questions=tuple(questions),
        guessed=guessed,
    )
    return Draft(mapping, drafted, unpaired, unfilled, tuple(questions), source)


@dataclass(frozen=True)
class _Match:
    """What was found for one table.

    :param paired: names of legacy columns and their counterparts, also where no rule is evident
    """

    rules: tuple[AnyRule, ...]
    guessed: frozenset[str]
    paired: dict[str, str]
    unfilled: tuple[str, ...]


def _match(legacy: Table, target: Table) -> _Match:
    sides = _side_columns(target)
    paired = _pairs(legacy, target, set(sides.values()))
    guessed = _only_one_of_its_type(legacy, target, paired, set(sides.values()))
    paired |= guessed
    drafted = tuple(
        _keeping(rule, sides)
        for column in legacy.columns
        if column.name in paired and (rule := _rule(column, paired[column.name])) is not None
    )
    drafted = tuple(rule for rule in drafted if not _needs_pairs(rule, legacy, target))
    written = {name for rule in drafted for name in rule.targets}
    unfilled = tuple(
        column.name
        for column in target.columns
        if column.name not in written and column.default is None and not column.nullable
    )
    counterparts = {name: new.name for name, new in paired.items()}
    return _Match(drafted, frozenset(guessed), counterparts, unfilled)


def _part(target: Table, table: Table) -> Half | Parent:
    """Return how a table is joined to the target, holding nothing yet: a foreign key tells.

    One that leads from all of a key of its own to the target makes a half of each row; one that
    comes from the target makes it a parent.

    :raises CatalogError: there is none
    """
    for item in table.constraints:
        on = _leads_to(item, target)
        if on and any(set(key) == {mine for mine, _ in on} for key in table.unique_keys):
            return Half(table, on, ())
    for item in target.constraints:
        on = _leads_to(item, table)
        if on:
            return Parent(table, tuple((its, mine) for mine, its in on), ())
    raise CatalogError(
        f"{table.title} is joined to {target.title} by no foreign key, so what it holds cannot be "
        "guessed",
        "add the foreign key of the half to the target, or of the target to its parent; where it "
        "takes some of the rows instead, draft without it, and add choices=(shapes.Choice(…),)",
    )


def _leads_to(item: Constraint, table: Table) -> tuple[tuple[str, str], ...]:
    """Return the pairs of columns by which a foreign key leads to a table; none if it does not."""
    parent = parent_of(item) if item.kind == "foreign_key" else None
    if parent is None or names(parent.sql) not in ((table.schema, table.name), (table.name,)):
        return ()
    return tuple(zip(item.columns, parent.columns, strict=True))


def _is_rather_in(part: Table, target: Table, column: Column) -> bool:
    """Return whether a legacy column is more like one of a part than any of the target."""
    in_part, in_target = (
        max((_likeness(column, new) for new in table.columns if _rule(column, new)), default=0.0)
        for table in (part, target)
    )
    return in_part > in_target


def _without(table: Table, names: set[str]) -> Table:
    return replace(table, columns=tuple(c for c in table.columns if c.name not in names))


def _only_one_of_its_type(
    legacy: Table, target: Table, paired: dict[str, Column], reserved: set[str]
) -> dict[str, Column]:
    """Pair what is left over and has a type that occurs once on each side: a guess, and marked so.

    A nullable target column is not guessed: it may as well be new.
    """
    taken = {column.name for column in paired.values()} | reserved
    old_left = [column for column in legacy.columns if column.name not in paired]
    new_left = [c for c in target.columns if c.name not in taken and not c.nullable]
    return {
        old.name: new
        for old in old_left
        for new in new_left
        if old.type == new.type
        and sum(column.type == old.type for column in old_left) == 1
        and sum(column.type == new.type for column in new_left) == 1
    }


def _questions(
    legacy: Table, unpaired: tuple[str, ...], unfilled: tuple[str, ...], coded: dict[str, str]
) -> Iterator[str]:
    for name in unpaired:
        column = legacy.column(name)
        assert column is not None
        if name in coded:
            yield (
                f"{name!r} and {coded[name]!r} belong together, but only you know which value "
                f"is which: rules.ValueMap({name!r}, {coded[name]!r}, ((…, …), …))"
            )
            continue
        yield (
            f"the legacy column {name!r} ({column.type}) has no counterpart: give it a rule, "
            f"for example rules.Constant({name!r}, …) with accept=({name!r},)"
        )
    for name in unfilled:
        if name in coded.values():
            continue
        yield f"the target column {name!r} is NOT NULL and nothing writes it: Fill({name!r}, …)"


def _side_columns(target: Table) -> dict[str, str]:
    """Return target columns that look made to keep the originals of another one: main → side."""
    sides = {}
    for column in target.columns:
        main = re.sub(r"_(text|legacy|raw|original|orig)$", "", column.name)
        if main != column.name and column.nullable and target.column(main) is not None:
            sides[main] = column.name
    return sides


def _keeping(rule: AnyRule, sides: dict[str, str]) -> AnyRule:
    if isinstance(rule, rules.Cast | rules.Epoch) and rule.target in sides:
        return replace(rule, keep=sides[rule.target])
    return rule


def _needs_pairs(rule: AnyRule, legacy: Table, target: Table) -> bool:
    """True for a number cast to a text that a CHECK restricts: codes without a legend."""
    column = legacy.column(rule.legacy)
    if not isinstance(rule, rules.Cast) or column is None:
        return False
    return sqltypes.parse(column.type).is_integer and any(
        c.kind == "check" and c.columns == (rule.target,) and "'" in c.definition
        for c in target.constraints
    )


def _pairs(legacy: Table, target: Table, reserved: set[str]) -> dict[str, Column]:
    """Return the target column for each legacy column that has one; none is taken twice."""
    scored = sorted(
        (
            (-_likeness(old, new), i, j, old, new)
            for i, old in enumerate(legacy.columns)
            for j, new in enumerate(target.columns)
            if new.name not in reserved and _rule(old, new) is not None
        ),
        key=lambda item: item[:3],
    )
    paired: dict[str, Column] = {}
    taken: set[str] = set()
    for score, _, _, old, new in scored:
        if -score >= 0.5 and old.name not in paired and new.name not in taken:
            paired[old.name] = new
            taken.add(new.name)
    return paired


def _likeness(old: Column, new: Column) -> float:
    """Return how alike two columns are, 0 to 1.3: names foremost, the same type as a bonus."""
    a, b = (re.sub(r"[^\w]|_", "", column.name).casefold() for column in (old, new))
    if a == b:
        return 1.3
    a_words, b_words = (set(_words(column.name)) for column in (old, new))
    likeness = SequenceMatcher(None, a, b).ratio()
    if a_words <= b_words or b_words <= a_words or b.startswith(a) or a.startswith(b):
        likeness = max(likeness, 0.75)
    if _ABBREVIATIONS.get(a) == b:
        likeness = 1.0
    if old.type == new.type:
        likeness += 0.1
    return likeness if likeness > 0.5 else 0.0


_ABBREVIATIONS = {
    "qty": "quantity",
    "amt": "amount",
    "descr": "description",
    "desc": "description",
    "addr": "address",
    "tel": "phone",
    "no": "number",
    "num": "number",
    "dob": "birthdate",
    "lineno": "position",
}


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Z]?[^\W_A-Z]+|[A-Z]+(?![^\W_A-Z])|\d+", name) or [name]


def _rule(old: Column, new: Column) -> AnyRule | None:
    """Return the rule that turns one column into the other, or None when none is evident."""
    if new.generated is not None:
        return None
    if old.type == new.type:
        return rules.Column(old.name, new.name)
    legacy, target = sqltypes.parse(old.type), sqltypes.parse(new.type)
    if target.is_timestamp and legacy.is_integer:
        flag_like = re.match(r"(is_?|has_?)?(deleted|removed|archived)", old.name, re.I)
        if new.nullable and (flag_like or legacy.name == "smallint"):
            return rules.Flag(old.name, new.name)
        if legacy.name == "smallint":  # holds a few hours of seconds at most
            return None
        return rules.Epoch(old.name, new.name, "s" if legacy.name == "integer" else "ms")
    if legacy.name == "boolean" and (target.is_timestamp or target.name == "date"):
        return rules.Flag(old.name, new.name)
    if legacy.is_timestamp and target.is_timestamp:
        zone = "UTC" if legacy.has_zone != target.has_zone else None
        return rules.Cast(old.name, new.name, timezone=zone)
    if legacy.is_numeric and target.is_integer and "cent" in new.name.lower():
        return rules.Cast(old.name, new.name, factor=100)
    comparable = {"boolean", "uuid", "date"}
    families = [
        "number" if t.is_integer or t.is_numeric else "text" if t.is_text else t.name
        for t in (legacy, target)
    ]
    if families[0] == families[1] or (
        "text" in families and set(families) & {"number", *comparable}
    ):
        return rules.Cast(old.name, new.name)
    return None
