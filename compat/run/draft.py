"""A first mapping: legacy and target are reflected, and their columns paired by name and type.

What could not be paired is marked in the draft; a draft is a start, and says so where it guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from compat import catalog, rules, sqltypes
from compat.connection import Connection
from compat.errors import CatalogError, MappingError
from compat.mapping import Mapping
from compat.render import render_draft
from compat.rules import AnyRule
from compat.tables import Column, Table


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
    source: Connection | None = None,
) -> Draft:
    """Return a draft of the mapping between two existing tables.

    :param target: the target table; by default the legacy name with `_v2`, or, where the legacy
        table is in another database, without
    :param source: the database of the legacy table, when it is another one
    :raises CatalogError: a table does not exist, or the legacy table has no key
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
    return pair(old, new, name or old.name)


def pair(legacy: Table, target: Table, name: str) -> Draft:
    """Pair the columns of two tables: same name first, then the most similar one that fits."""
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
    ruled = {rule.legacy for rule in drafted}
    unpaired = tuple(column for column in legacy.column_names if column not in ruled)
    written = {name for rule in drafted for name in rule.targets}
    unfilled = tuple(
        column.name
        for column in target.columns
        if column.name not in written and column.default is None and not column.nullable
    )
    coded = {name: new.name for name, new in paired.items() if name in unpaired}
    mapping, questions = None, list(_questions(legacy, unpaired, unfilled, coded))
    try:
        mapping = Mapping(name, legacy, target, drafted)
    except MappingError as error:
        questions = questions or error.message.split("\n  ")
    source = render_draft(
        name, legacy, target, drafted, questions=tuple(questions), guessed=frozenset(guessed)
    )
    return Draft(mapping, drafted, unpaired, unfilled, tuple(questions), source)


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
