"""What PostgreSQL prints of constraints and indexes, read: names, and where foreign keys lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from compat.names import ident
from compat.tables import Constraint

_NAME = r'(?:"(?:[^"]|"")+"|[^\s(),."]+)'
NAMES = rf"{_NAME}(?:, {_NAME})*"
_FOREIGN_KEY = re.compile(
    rf"FOREIGN KEY \({NAMES}\) "
    rf"REFERENCES (?P<table>(?:{_NAME}\.)?{_NAME})\((?P<columns>{NAMES})\)"
    r"(?P<full> MATCH FULL)?"
)


@dataclass(frozen=True)
class Parent:
    """Where a foreign key leads.

    :param sql: the table as SQL, and `name` without schema and quotes
    :param columns: the referenced columns
    :param match_full: whether all referencing columns must be NULL where one is
    """

    sql: str
    name: str
    columns: tuple[str, ...]
    match_full: bool


def parent_of(constraint: Constraint) -> Parent | None:
    """Return where a foreign key leads, or None where that is not by equality of columns."""
    match = _FOREIGN_KEY.match(constraint.definition)
    if match is None:
        return None
    name, columns = names(match["table"])[-1], names(match["columns"])
    return Parent(match["table"], name, columns, match["full"] is not None)


def names(text: str) -> tuple[str, ...]:
    """Return the identifiers in a list of them, or in a qualified name, without quotes."""
    return tuple(name[1:-1].replace('""', '"') for name in tokens(quoted(text)))


def quoted(text: str) -> str:
    """Return SQL with every identifier in quotes, string literals left alone."""
    return re.sub(
        r"""'(?:[^']|'')*'|"(?:[^"]|"")+"|[^\W\d][\w$]*""",
        lambda match: match[0] if match[0][0] in "'\"" else ident(match[0]),
        text,
    )


def tokens(text: str) -> Iterator[str]:
    """Yield the identifiers in SQL in which each has quotes, with these."""
    for match in re.finditer(r"""'(?:[^']|'')*'|(?P<name>"(?:[^"]|"")+")""", text):
        if match["name"]:
            yield match["name"]
