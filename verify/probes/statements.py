"""INSERT, UPDATE and DELETE as values that can be said of the view and of the twin alike.

Values are written as a client writes them: untyped literals, which the column's type takes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from compat.names import ident, idents, literal

Cells = Mapping[str, str | None]
"""One row: each column's value as PostgreSQL prints it; None is NULL."""


class Keyword(Enum):
    """What stands in a statement in place of a value."""

    DEFAULT = "DEFAULT"


Value = str | None | Keyword


def say(value: Value) -> str:
    """Return a value as SQL."""
    return value.value if isinstance(value, Keyword) else literal(value)


def where(key: Cells) -> str:
    """Return the condition that finds one row by its key."""
    return " AND ".join(f"{ident(name)} = {literal(value)}" for name, value in key.items())


def where_any(keys: Iterable[Cells]) -> str:
    """Return the condition that finds each of several rows by its key."""
    rows = list(keys)
    if not rows:
        return "false"
    names = list(rows[0])
    values = ", ".join("(" + ", ".join(literal(row[name]) for name in names) + ")" for row in rows)
    return f"({idents(names)}) IN ({values})"


@dataclass(frozen=True)
class Insert:
    """INSERT of one or several rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement.

        :param given: for each row, values for columns that the statement leaves to a generator
        """
        columns, rows = self.columns, self.rows
        overriding = ""
        if given:
            columns = tuple(dict.fromkeys((*columns, *given[0])))
            rows = tuple(
                tuple((dict(zip(self.columns, row, strict=True)) | dict(known))[c] for c in columns)
                for row, known in zip(rows, given, strict=True)
            )
            overriding = " OVERRIDING SYSTEM VALUE"
        if not columns:
            return f"INSERT INTO {relation} DEFAULT VALUES RETURNING *"
        values = ", ".join("(" + ", ".join(map(say, row)) + ")" for row in rows)
        return f"INSERT INTO {relation} ({idents(columns)}){overriding} VALUES {values} RETURNING *"


@dataclass(frozen=True)
class Update:
    """UPDATE of columns to given values."""

    assignments: tuple[tuple[str, Value], ...]
    condition: str
    returning: bool = True

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement; nothing is ever left to a generator."""
        assigned = ", ".join(f"{ident(name)} = {say(value)}" for name, value in self.assignments)
        tail = " RETURNING *" * self.returning
        return f"UPDATE {relation} SET {assigned} WHERE {self.condition}{tail}"


@dataclass(frozen=True)
class Touch:
    """UPDATE that assigns each column to itself."""

    columns: tuple[str, ...]
    condition: str

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement."""
        assigned = ", ".join(f"{ident(name)} = {ident(name)}" for name in self.columns)
        return f"UPDATE {relation} SET {assigned} WHERE {self.condition} RETURNING *"


@dataclass(frozen=True)
class Delete:
    """DELETE."""

    condition: str

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement."""
        return f"DELETE FROM {relation} WHERE {self.condition} RETURNING *"


_TWICE = "(VALUES (1), (2)) AS compat_verify_twice (compat_verify_n)"


@dataclass(frozen=True)
class UpdateTwice:
    """UPDATE … FROM that meets each row twice; a table changes and counts it once."""

    assignments: tuple[tuple[str, Value], ...]
    condition: str

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement."""
        assigned = ", ".join(f"{ident(name)} = {say(value)}" for name, value in self.assignments)
        return (
            f"UPDATE {relation} AS r SET {assigned} FROM {_TWICE} WHERE {self.condition} "
            "RETURNING r.*"
        )


@dataclass(frozen=True)
class DeleteTwice:
    """DELETE … USING that meets each row twice."""

    condition: str

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement."""
        return f"DELETE FROM {relation} AS r USING {_TWICE} WHERE {self.condition} RETURNING r.*"


@dataclass(frozen=True)
class DeleteUpdated:
    """DELETE of a row that the same statement has updated; a table keeps and does not count it."""

    assignments: tuple[tuple[str, Value], ...]
    key: Cells

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement."""
        update = Update(self.assignments, where(self.key)).sql(relation)
        same = " AND ".join(f"r.{ident(name)} = u.{ident(name)}" for name in self.key)
        return (
            f"WITH u AS ({update}) DELETE FROM {relation} AS r USING u WHERE {same} RETURNING r.*"
        )


@dataclass(frozen=True)
class Upsert:
    """INSERT … ON CONFLICT.

    :param clause: what stands behind these two words
    """

    insert: Insert
    clause: str

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement; nothing is left to a generator."""
        text = self.insert.sql(relation).removesuffix(" RETURNING *")
        return f"{text} ON CONFLICT {self.clause} RETURNING *"


@dataclass(frozen=True)
class Copy:
    """COPY … FROM STDIN of one row."""

    columns: tuple[str, ...]
    row: tuple[str | None, ...]

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statement, without the row."""
        return f"COPY {relation} ({idents(self.columns)}) FROM STDIN"


@dataclass(frozen=True)
class Direct:
    """Statements that name the target itself."""

    texts: tuple[str, ...]

    def sql(self, relation: str, given: tuple[Cells, ...] = ()) -> str:
        """Return the statements, which are the same whatever the relation."""
        return "; ".join(self.texts)


Statement = (
    Insert
    | Upsert
    | Copy
    | Update
    | UpdateTwice
    | Touch
    | Delete
    | DeleteTwice
    | DeleteUpdated
    | Direct
)


@dataclass(frozen=True)
class Probe:
    """One statement to try on both sides.

    :param title: what the report calls it
    :param keys: keys that the statement may bring about, besides those of the sampled rows
    :param draws: columns that a sequence or a volatile default fills
    :param refusal: the SQLSTATE with which a view of this form always refuses it, if it does
    """

    title: str
    statement: Statement
    keys: tuple[Cells, ...] = ()
    draws: tuple[str, ...] = ()
    refusal: str | None = None
