"""What the rest of this package knows of a mapping: which names become which.

Nothing here speaks of SQL or Python; `from_mapping` is the only place that knows `compat`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Protocol

from codemods.entities import CodeRename, Entity
from codemods.settings import Settings

DESCRIPTIONS = {
    "cast": "the type changes (cast)",
    "value_map": "each value becomes another one (value_map)",
    "text": "the text is trimmed, or its case folded (text)",
    "epoch": "a number of seconds becomes a timestamp (epoch)",
    "flag": "a flag becomes the time at which it was set (flag)",
    "lookup": "the number of a parent becomes its new key (lookup)",
    "json_field": "the value moves into a document (json_field)",
    "delimited": "a text with delimiters becomes an array, or the reverse (delimited)",
    "constant": "the target has no such column, the legacy one is constant (constant)",
    "expression": "the value is computed (expression)",
}
"""How a report explains that a rule changes the value, by the rule's tag."""


SERIAL_SEQUENCE = re.compile(r"(?P<name>pg_get_serial_sequence)\s*\(\s*[^'\s]")
"""A call that asks for the sequence of a table which is not written there."""


@dataclass(frozen=True)
class ColumnRename:
    """One legacy column and its counterpart.

    :param target: None when there is no single counterpart
    :param converted: why the value changes, for a reader; None for a pure rename
    :param absence: what to say of it where `target` is None
    """

    legacy: str
    target: str | None
    converted: str | None = None
    absence: str = "has no single counterpart in the target table"

    @property
    def matters(self) -> bool:
        """True unless the column stays exactly as it is."""
        return self.target != self.legacy or self.converted is not None


@dataclass(frozen=True)
class Renames:
    """One legacy table, its target, and what becomes of each legacy column.

    :param columns: every legacy column, also those that keep name and value: what a table does
        not have matters as much for resolving a bare name as what it has
    :param target_columns: every column of the target
    :param divided: why no name can take the place of the legacy table's, None when one can
    :param incomplete: why the target's row alone is not the whole row, None when it is
    """

    name: str
    legacy_schema: str
    legacy_table: str
    target_schema: str
    target_table: str
    columns: tuple[ColumnRename, ...]
    target_columns: tuple[str, ...] = ()
    divided: str | None = None
    incomplete: str | None = None

    @cached_property
    def by_legacy(self) -> dict[str, ColumnRename]:
        """The columns by legacy name."""
        return {column.legacy: column for column in self.columns}

    @cached_property
    def converted_by_target(self) -> dict[str, ColumnRename]:
        """The converted columns by target name."""
        return {c.target: c for c in self.columns if c.converted and c.target is not None}

    @cached_property
    def all_target_columns(self) -> frozenset[str]:
        """Every known column of the target."""
        named = (column.target for column in self.columns if column.target is not None)
        return frozenset((*self.target_columns, *named))

    @property
    def legacy_title(self) -> str:
        """The legacy table as messages print it."""
        return f"{self.legacy_schema}.{self.legacy_table}"

    @property
    def target_title(self) -> str:
        """The target table as messages print it."""
        return f"{self.target_schema}.{self.target_table}"

    def inverted(self) -> Renames:
        """Return the renames that lead back; columns without a counterpart are left out."""
        return Renames(
            self.name,
            self.target_schema,
            self.target_table,
            self.legacy_schema,
            self.legacy_table,
            tuple(
                ColumnRename(column.target, column.legacy, column.converted)
                for column in self.columns
                if column.target is not None
            ),
            tuple(column.legacy for column in self.columns),
        )


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _Table(Protocol):
    @property
    def schema(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[_Named, ...]: ...


class _Rule(Protocol):
    @property
    def rule(self) -> str: ...
    @property
    def legacy(self) -> str: ...
    @property
    def targets(self) -> tuple[str, ...]: ...


class _CodeName(Protocol):
    @property
    def old(self) -> str: ...
    @property
    def new(self) -> str: ...


class _Part(Protocol):
    @property
    def table(self) -> _Table: ...
    @property
    def holds(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> str: ...


class _Choice(Protocol):
    @property
    def table(self) -> _Table: ...


class _Tag(Protocol):
    @property
    def column(self) -> str: ...
    @property
    def value(self) -> object: ...


class AnyMapping(Protocol):
    """As much of `compat.mapping.Mapping` as is needed here."""

    @property
    def name(self) -> str: ...
    @property
    def legacy(self) -> _Table: ...
    @property
    def target(self) -> _Table: ...
    @property
    def rules(self) -> tuple[_Rule, ...]: ...
    @property
    def code(self) -> tuple[_CodeName, ...]: ...
    @property
    def parts(self) -> tuple[_Part, ...]: ...
    @property
    def choices(self) -> tuple[_Choice, ...]: ...
    @property
    def tag(self) -> _Tag | None: ...


def from_mapping(mapping: AnyMapping) -> Renames:
    """Return the renames that a mapping asks for."""
    return Renames(
        mapping.name,
        mapping.legacy.schema,
        mapping.legacy.name,
        mapping.target.schema,
        mapping.target.name,
        tuple(_column(rule, mapping) for rule in mapping.rules),
        tuple(column.name for column in mapping.target.columns),
        _divided(mapping),
        _incomplete(mapping),
    )


def _divided(mapping: AnyMapping) -> str | None:
    if mapping.tag is not None:
        target = f"{mapping.target.schema}.{mapping.target.name}"
        tag = f"{mapping.tag.column} = {mapping.tag.value!r}"
        return f"{target} holds other rows too: only those with {tag} are meant"
    if not mapping.choices:
        return None
    tables = (mapping.target, *(choice.table for choice in mapping.choices))
    listed = " or ".join(f"{table.schema}.{table.name}" for table in tables)
    return f"a row is in {listed}, depending on its values"


def _incomplete(mapping: AnyMapping) -> str | None:
    halves = [part.table for part in mapping.parts if part.shape == "half"]
    if not halves:
        return None
    listed = ", ".join(f"{table.schema}.{table.name}" for table in halves)
    return f"a row has a half in {listed}, which must come and go with it"


def code_from_mapping(mapping: AnyMapping) -> tuple[CodeRename, ...]:
    """Return the modules, classes and functions to which a mapping gives other names."""
    return tuple(CodeRename(code.old, code.new) for code in mapping.code)


def _column(rule: _Rule, mapping: AnyMapping) -> ColumnRename:
    for part in mapping.parts:
        if rule.legacy in part.holds:
            place = f"{part.table.schema}.{part.table.name}"
            name = f" as {rule.targets[0]}" if rule.targets else ""
            return ColumnRename(rule.legacy, None, absence=f"is in {place} now{name}")
    # A rule with a side column writes two; the first one is the counterpart. An expression over
    # several columns has none, nor has what is one of many in a document.
    single = rule.rule != "json_field" and (rule.rule != "expression" or len(rule.targets) == 1)
    target = rule.targets[0] if rule.targets and single else None
    if rule.rule == "column":
        return ColumnRename(rule.legacy, target)
    return ColumnRename(rule.legacy, target, DESCRIPTIONS.get(rule.rule, f"rule {rule.rule}"))


INSERTED = re.compile(r"_hole_\d+_")
"""How a text shows what is inserted when the program runs; it may be nothing at all."""


@dataclass(frozen=True, slots=True)
class NameHit:
    """One textual occurrence of a legacy name.

    :param kind: table, column, or derived (a longer name that holds the table's)
    """

    start: int
    end: int
    name: str
    kind: str


@dataclass(frozen=True)
class OtherTable:
    """A table that no mapping is about, and all its columns."""

    schema: str
    name: str
    columns: frozenset[str]


@dataclass(frozen=True)
class Names:
    """All legacy names of some mappings, ready for finding them in a text.

    :param others: tables whose columns are known from the database
    :param outputs: under which names statements give their results to the program
    :param code: modules, classes and functions that get other names
    :param settings: what a user asks for beyond the mappings
    :param entities: the classes and Tables that stand for a legacy table, in the searched files
    :param aliases: other names under which modules import those
    """

    renames: tuple[Renames, ...]
    others: tuple[OtherTable, ...] = ()
    outputs: Literal["legacy", "new"] = "legacy"
    code: tuple[CodeRename, ...] = ()
    settings: Settings = field(default_factory=Settings)
    entities: tuple[Entity, ...] = ()
    aliases: frozenset[str] = frozenset()

    def inverted(self) -> Names:
        """Return the names that lead back; what was found in files is left out."""
        return replace(
            self,
            renames=tuple(renames.inverted() for renames in self.renames),
            code=tuple(CodeRename(code.new, code.old) for code in self.code),
            entities=(),
            aliases=frozenset(),
        )

    @cached_property
    def words(self) -> frozenset[str]:
        """The words in code, beside the names of tables, that make a Python file worth reading."""
        known = {entity.name for entity in self.entities}
        known |= {code.leaf for code in self.code} | self.aliases
        if self.settings.attributes:
            known |= {old for entity in self.entities for old, _ in entity.renamed}
        return frozenset(known)

    def columns_of(self, schema: str | None, table: str) -> frozenset[str] | None:
        """Return all columns of a table that is in no mapping, None when they are not known."""
        found = [
            other.columns
            for other in self.others
            if other.name == table and schema in (None, other.schema)
        ]
        return found[0] if len(found) == 1 else None

    @cached_property
    def tables(self) -> frozenset[str]:
        """The legacy tables."""
        return frozenset(r.legacy_table for r in self.renames)

    @cached_property
    def columns(self) -> frozenset[str]:
        """The legacy columns that do not stay as they are."""
        return frozenset(c.legacy for r in self.renames for c in r.columns if c.matters)

    @cached_property
    def targets(self) -> frozenset[str]:
        """The target tables."""
        return frozenset(r.target_table for r in self.renames)

    @cached_property
    def converted(self) -> dict[str, str]:
        """Why the value changes, by legacy and by target name of each converted column."""
        return {
            name: column.converted
            for renames in self.renames
            for column in renames.columns
            if column.converted
            for name in (column.legacy, column.target)
            if name is not None
        }

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Names need not look like words (`Order "Lines"`): look-arounds keep whole words whole,
        # and the longer alternative comes first.
        tables, columns = _alternatives(self.tables), _alternatives(self.columns)
        table = f"(?P<table>{tables})"
        if not columns:
            return re.compile(table)
        return re.compile(rf"{table}|(?<![\w$])(?P<column>{columns})(?![\w$])")

    def find(self, text: str) -> tuple[NameHit, ...]:
        """Return each occurrence of a legacy name, whatever its case."""
        lowered = _lower(text)
        hits: list[NameHit] = []
        after = 0
        for match in self._pattern.finditer(lowered):
            start, end = match.span()
            if start < after:
                continue
            kind = match.lastgroup
            if kind == "table":
                start, end = _word(lowered, start, end, after)
                word = INSERTED.sub("", lowered[start:end].replace('""', '"'))
                if word not in self._folded[0]:
                    kind = None if word in self._folded[1] else "derived"
            after = end
            if kind is not None:
                # A dump has the same few names a million times.
                hits.append(NameHit(start, end, sys.intern(text[start:end]), kind))
        return tuple(hits)

    @cached_property
    def _folded(self) -> tuple[frozenset[str], frozenset[str]]:
        """Legacy and target tables in lower case."""
        return frozenset(map(_lower, self.tables)), frozenset(map(_lower, self.targets))

    @cached_property
    def _concern(self) -> re.Pattern[str]:
        anywhere = map(longest_piece, map(_lower, (*self.tables, *self.targets)))
        words = {*self.words, *self.columns, *self.converted}
        words |= {attribute for entity in self.entities for attribute, _ in entity.columns}
        alone = map(longest_piece, sorted(map(_lower, words)))
        # `line__qty__gt` is a path over attributes.
        word = rf"(?:(?<![\w$])|(?<=__))(?:{_any_of(alone)})(?:(?![\w$])|(?=__))"
        return re.compile(rf"{SERIAL_SEQUENCE.pattern}|{_any_of(anywhere)}|{word}")

    def may_concern(self, source: str) -> bool:
        """Return False only if a piece of Python surely has nothing to do with any mapping."""
        return self._concern.search(_lower(source)) is not None

    def mentions_table(self, text: str) -> bool:
        """Tell whether a legacy table is named in a text, alone and not inside a longer name."""
        return any(hit.kind == "table" for hit in self.find(text))

    @cached_property
    def _targets(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w$])(?:{_alternatives(self.targets)})(?![\w$])")

    def mentions_target(self, text: str) -> bool:
        """Tell whether a target table is named in a text."""
        return self._targets.search(_lower(text)) is not None

    def for_table(self, name: str) -> tuple[Renames, ...]:
        """Return the renames whose legacy table is called so; two may differ by schema."""
        return tuple(r for r in self.renames if r.legacy_table == name)

    def for_target(self, name: str) -> tuple[Renames, ...]:
        """Return the renames whose target table is called so."""
        return tuple(r for r in self.renames if r.target_table == name)


def longest_piece(name: str) -> str:
    """Return the longest part of a name that stands in any source as it is.

    Quotes and backslashes are spelled in several ways.
    """
    pieces: list[str] = re.findall(r"[^\"'\\]+", name)
    return max(pieces, key=len, default="")


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, texts)) or "(?!)"


def _alternatives(names: frozenset[str]) -> str:
    # SQL writes a double quote inside a quoted name twice.
    spelled = {_lower(form) for name in names for form in (name, name.replace('"', '""'))}
    return "|".join(re.escape(form) for form in sorted(spelled, key=len, reverse=True))


def _lower(text: str) -> str:
    """Return a text in lower case, of the same length."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := sign.lower()) == 1 else sign for sign in text)


def _word(text: str, start: int, end: int, after: int) -> tuple[int, int]:
    """Return the span of the whole word that a name is part of."""
    while start > after and _in_word(text[start - 1]):
        start -= 1
    while end < len(text) and _in_word(text[end]):
        end += 1
    return start, end


def _in_word(sign: str) -> bool:
    return sign.isalnum() or sign in "_$"
