"""Tables as values: what a mapping must know of the legacy and the target relation.

Reflected once (compat.catalog) and then part of the mapping, so that a revision works years later.
"""

from __future__ import annotations

import json
import re
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from compat import names

STRICT = ConfigDict(extra="forbid")

# Deferrable: only from time to time; without overlaps: not by equality.
_NOT_ALWAYS = re.compile(r"\bDEFERRABLE( INITIALLY DEFERRED)?$| WITHOUT OVERLAPS\)")

ConstraintKind = Literal["primary_key", "unique", "check", "foreign_key", "exclude"]


@dataclass(frozen=True, config=STRICT)
class Column:
    """One column.

    :param type: as format_type() writes it, with modifiers
    :param default: SQL text of the default, or None
    :param identity: 'always' or 'by default' for identity columns
    :param generated: SQL text of a GENERATED ALWAYS AS (…) STORED column
    :param collation: quoted name of a collation other than the type's default
    """

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    identity: Literal["always", "by default"] | None = None
    generated: str | None = None
    collation: str | None = None
    comment: str | None = None


@dataclass(frozen=True, config=STRICT)
class Constraint:
    """One constraint; `definition` is what pg_get_constraintdef() prints."""

    name: str
    kind: ConstraintKind
    columns: tuple[str, ...]
    definition: str

    @property
    def identifies(self) -> bool:
        """True when no two rows have equal values at any moment, so that ON CONFLICT can use it."""
        return self.kind in ("primary_key", "unique") and not _NOT_ALWAYS.search(self.definition)


@dataclass(frozen=True, config=STRICT)
class Index:
    """One index that no constraint owns; `definition` starts at USING."""

    name: str
    definition: str
    unique: bool = False


@dataclass(frozen=True, config=STRICT)
class Sequence:
    """A sequence that a column of the table owns, as serial makes it."""

    schema: str
    name: str
    column: str

    @property
    def sql(self) -> str:
        """The quoted, schema-qualified name."""
        return names.qualified(self.schema, self.name)


PolicyCommand = Literal["all", "select", "insert", "update", "delete"]


@dataclass(frozen=True, config=STRICT)
class Policy:
    """One policy of row-level security.

    :param permissive: False for AS RESTRICTIVE
    :param roles: for whom it is; () for PUBLIC
    :param using: SQL over the bare column names, for rows that are there
    :param check: the same for new rows; None where `using` counts for them too
    :param has_subquery: whether one of the two reads other tables
    """

    name: str
    command: PolicyCommand = "all"
    permissive: bool = True
    roles: tuple[str, ...] = ()
    using: str | None = None
    check: str | None = None
    has_subquery: bool = False


@dataclass(frozen=True, config=STRICT)
class Table:
    """One table; `triggers` names its own BEFORE ROW triggers, which may change what is stored.

    :param policies: None where row-level security is off; () where it is on and shows nothing
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    triggers: tuple[str, ...] = ()
    comment: str | None = None
    policies: tuple[Policy, ...] | None = None

    @property
    def sql(self) -> str:
        """The quoted, schema-qualified name."""
        return names.qualified(self.schema, self.name)

    @property
    def policies_json(self) -> str | None:
        """The policies as compat.policies_of() gives them, None where there are none."""
        if self.policies is None:
            return None
        return json.dumps(
            [
                [p.name, p.command, p.permissive, list(p.roles), p.using, p.check]
                for p in sorted(self.policies, key=lambda policy: policy.name)
            ],
            ensure_ascii=False,
        )

    @property
    def title(self) -> str:
        """The name as messages print it: schema.table, without quotes."""
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column | None:
        """Return the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key, or ()."""
        return next((c.columns for c in self.constraints if c.kind == "primary_key"), ())

    @property
    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """The columns of the primary key and of every unique constraint that always holds."""
        return tuple(c.columns for c in self.constraints if c.identifies)

    @property
    def row_key(self) -> tuple[str, ...]:
        """The primary key, else the first unique constraint without nullable columns, else ()."""
        keys = self.unique_keys
        if self.primary_key in keys:
            return self.primary_key
        required = {column.name for column in self.columns if not column.nullable}
        return next((key for key in keys if required.issuperset(key)), ())
