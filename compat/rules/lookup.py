"""A reference to a parent by its legacy number, for one by its new key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

from compat.definitions import Parent, parent_of
from compat.names import check_identifier, literal, qualified
from compat.rules.core import Ends, Row, Rule, Value, wrong_type
from compat.tables import STRICT, Constraint, Table

_PARENT = Row("parent")


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

    The parent may be a row of the same table. A statement may bring it after its child, which waits
    for it by the number that it keeps, until the statement ends; see compat.compile.lookups.

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
        found = self.parent.key_of(value)
        if not self.is_own(ends):
            key_type = ends.target(self.target).type
            found = f"COALESCE({found}, {self.missing(value, ends)}::{key_type})"
        return {self.target: found} | ({} if self.keep is None else {self.keep: value})

    def loss(self, ends: Ends) -> str | None:
        return None

    def refused(self, legacy: Row, ends: Ends) -> str | None:
        value = legacy.column(self.legacy)
        if self.is_own(ends):  # the rows of the target come from the legacy table
            number = _PARENT.column(_own_number(ends, self.legacy))
            own = f"SELECT FROM {ends.legacy_table.sql} AS {_PARENT.name} WHERE {number} = {value}"
            return f"{value} IS NOT NULL AND NOT EXISTS ({own})"
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
        if self.is_own(ends):
            yield from self._own_problems(ends)
        if self.keep is not None:
            yield from wrong_type(ends, self.keep)
            if self.keep == self.target:
                yield f"keep and target are both {self.keep!r}; they are two columns"
            if ends.target(self.target).nullable > ends.target(self.keep).nullable:
                yield (
                    f"{self.keep!r} is NOT NULL, but {self.target!r} is not; "
                    "a row without a parent has neither"
                )

    def is_own(self, ends: Ends) -> bool:
        """True when the parents are rows of the same mapping, not others in a shared target."""
        parent, target = self.parent, ends.target_table
        if (parent.schema, parent.name) != (target.schema, target.name):
            return False
        known = foreign_key(ends.legacy_table, self.legacy)
        return known is None or referenced(known).name == ends.legacy_table.name

    def missing(self, value: str, ends: Ends) -> str:
        """Return SQL of type text that raises what the legacy key raises; NULL for NULL."""
        known = foreign_key(ends.legacy_table, self.legacy)
        name = self.constraint or (known.name if known else None)
        return orphan(ends.legacy_table, self.legacy, value, name, self.parent.name)

    def _own_problems(self, ends: Ends) -> Iterator[str]:
        """Yield what keeps a row from waiting for a parent that comes after it."""
        waits = "the parent is a row of the same table, and may come after those that reference it"
        if self.keep is None:
            yield (
                f"{waits}: a row waits for it by its number; name a column of "
                f"{ends.target_table.title} for that, keep=…"
            )
        if not ends.target(self.target).nullable:
            yield f"{waits}; let {self.target!r} be nullable until the contract"
        if foreign_key(ends.legacy_table, self.legacy) and not foreign_key(
            ends.target_table, self.target
        ):
            yield (
                f"{ends.target_table.title} needs a foreign key too, which decides who may be "
                f"deleted: FOREIGN KEY ({self.target}) REFERENCES {self.parent.title} "
                f"({self.parent.key})"
            )


_NONE = Constraint("", "foreign_key", (), "")


def _own_number(ends: Ends, column: str) -> str:
    """Return the legacy column by which a table's references to itself find a row."""
    known = foreign_key(ends.legacy_table, column)
    if known is None:
        return ends.legacy_table.row_key[0]
    (name,) = referenced(known).columns
    return name


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
        referenced(known).name if known else parent,
    )
    return f"compat.refuse_orphan({', '.join(map(literal, arguments))}, ({value})::text)"


def referenced(key: Constraint) -> Parent:
    """Return where a foreign key over one column leads."""
    found = parent_of(key)
    assert found is not None, key.definition
    return found
