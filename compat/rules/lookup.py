"""A reference to a parent by its legacy number, for one by its new key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

from compat.names import check_identifier, literal, qualified
from compat.rules.core import Ends, Row, Rule, Value, wrong_type
from compat.tables import STRICT, Constraint, Table

_PARENT = Row("parent")
_REFERENCED = re.compile(
    r"^FOREIGN KEY \(.*?\) REFERENCES (?P<table>.+?)\((?P<columns>.*?)\)", re.DOTALL
)
_LAST_NAME = re.compile(r'(?P<quoted>"(?:[^"]|"")+")$|(?P<plain>[^.]+)$')


@dataclass(frozen=True, config=STRICT)
class Referenced:
    """The table in which a lookup finds parents: where it is, and by which two columns.

    :param key: the column that the target references
    :param legacy: the column that holds the legacy key of the parent, which tells parents apart
    :param tag: the column and the value by which the parents are told from other rows of a shared
        table; `legacy` need only be unique together with it
    """

    schema: str
    name: str
    key: str = "id"
    legacy: str = "legacy_id"
    tag: tuple[str, Value] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns by which a legacy key finds one parent."""
        return (self.legacy,) if self.tag is None else (self.tag[0], self.legacy)

    @property
    def sql(self) -> str:
        """The quoted, schema-qualified name."""
        return qualified(self.schema, self.name)

    @property
    def title(self) -> str:
        """The name as messages print it: schema.table, without quotes."""
        return f"{self.schema}.{self.name}"

    def key_of(self, legacy: str) -> str:
        """Return a scalar sub-select for the key of the parent with a legacy number."""
        return self._find(self.key, self.legacy, legacy)

    def legacy_of(self, key: str) -> str:
        """Return a scalar sub-select for the legacy number of the parent with a key."""
        return self._find(self.legacy, self.key, key)

    def among(self, parent: Row) -> str:
        """Return a condition, to go on with after another: the row is one of the parents."""
        if self.tag is None:
            return ""
        column, value = self.tag
        return f" AND {parent.column(column)} = {literal(value)}"

    def _find(self, wanted: str, by: str, value: str) -> str:
        return (
            f"(SELECT {_PARENT.column(wanted)} FROM {self.sql} AS {_PARENT.name} "
            f"WHERE {_PARENT.column(by)} = {value}{self.among(_PARENT)})"
        )


@dataclass(frozen=True, config=STRICT)
class Lookup(Rule):
    """A foreign key by the parent's legacy number ↔ one by its new key, usually a UUID.

    Writing finds the parent, which must be there: else the error is that of the legacy foreign
    key. Reading finds its number, or takes it from the column `keep`, which costs nothing and can
    be indexed; triggers fill `keep` where an application of v2 writes the new key only, and follow
    a parent whose legacy number changes.

    :param target: the column that references the parent by its key
    :param keep: a column of the target that holds the legacy number as well
    :param constraint: the name of the foreign key in errors (default: that of the legacy table)
    """

    legacy: str
    target: str
    parent: Referenced
    keep: str | None = None
    constraint: str | None = None
    rule: Literal["lookup"] = "lookup"

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if self.keep is None else (self.target, self.keep)

    def read(self, target: Row, ends: Ends) -> str:
        if self.keep is not None:
            return target.column(self.keep)
        return f"{self.parent.legacy_of(target.column(self.target))}::{ends.legacy.type}"

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        value = legacy.column(self.legacy)
        key_type = ends.target(self.target).type
        refusal = orphan(
            ends.legacy_table, self.legacy, value, self._constraint(ends), self.parent.name
        )
        found = f"COALESCE({self.parent.key_of(value)}, {refusal}::{key_type})"
        return {self.target: found} | ({} if self.keep is None else {self.keep: value})

    def loss(self, ends: Ends) -> str | None:
        return None

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        value = legacy.column(self.legacy)
        return f"{value} IS NOT NULL AND {self.parent.key_of(value)} IS NULL"

    def refuses(self, ends: Ends) -> str | None:
        late = "DEFERRABLE" in (foreign_key(ends.legacy_table, self.legacy) or _NONE).definition
        return f"what is not in {self.parent.title}" + " yet, also until the commit" * late

    def indexable(self, ends: Ends) -> bool:
        return self.keep is not None

    def problems(self, ends: Ends) -> Iterator[str]:
        parent = self.parent
        for name in (parent.schema, parent.name, parent.key, *parent.columns):
            check_identifier(name, f"the parent of {self.legacy}")
        if (parent.schema, parent.name) == (ends.target_table.schema, ends.target_table.name):
            yield (
                "the parent is the target itself, where a statement may bring child and parent at "
                "once; a reference to its own table needs a column of its own, by the legacy key"
            )
        if self.keep is not None:
            yield from wrong_type(ends, self.keep)
            if self.keep == self.target:
                yield f"keep and target are both {self.keep!r}; they are two columns"
            if ends.target(self.target).nullable > ends.target(self.keep).nullable:
                yield (
                    f"{self.keep!r} is NOT NULL, but {self.target!r} is not; "
                    "a row without a parent has neither"
                )

    def _constraint(self, ends: Ends) -> str | None:
        known = foreign_key(ends.legacy_table, self.legacy)
        return self.constraint or (known.name if known else None)


_NONE = Constraint("", "foreign_key", (), "")


def foreign_key(table: Table, column: str) -> Constraint | None:
    """Return the foreign key of a table over just one column, or None."""
    found = (c for c in table.constraints if c.kind == "foreign_key" and c.columns == (column,))
    return next(found, None)


def orphan(table: Table, column: str, value: str, constraint: str | None, parent: str) -> str:
    """Return SQL of type text that raises what a foreign key raises, and gives NULL for NULL.

    :param value: SQL of the value for which there is no parent
    :param parent: the name of the parent where the table has no foreign key that tells it
    """
    known = foreign_key(table, column)
    arguments = (
        table.schema,
        table.name,
        column,
        constraint,
        referenced(known)[0] if known else parent,
    )
    return f"compat.refuse_orphan({', '.join(map(literal, arguments))}, ({value})::text)"


def referenced(key: Constraint) -> tuple[str, str]:
    """Return the name of the table that a foreign key references, and the columns as text."""
    match = _REFERENCED.match(key.definition)
    assert match is not None, key.definition
    return _unqualified(match["table"]), match["columns"]


def _unqualified(name: str) -> str:
    match = _LAST_NAME.search(name)
    assert match is not None, name
    quoted = match["quoted"]
    return match["plain"] if quoted is None else quoted[1:-1].replace('""', '"')
