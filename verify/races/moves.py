"""What two sessions may do to the same row: changes that a view is seen to accept.

Found by trying them on the copy, since checks of the target may refuse any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from compat import sqltypes
from compat.connection import Connection
from compat.names import ident, idents, literal
from compat.rules import Constant, Expression, Lens
from verify.probes.statements import Cells, where
from verify.probes.values import worth_trying
from verify.scratch import Scratch

_STEPS = {
    True: ("{c} + 1", "{c} - 1"),  # of numbers
    False: ("{c} || 'x'",),  # of texts
}


@dataclass(frozen=True)
class Change:
    """An UPDATE of one column to a value.

    :param before: what the column showed first, as text
    """

    lens: Lens
    before: str | None
    after: str

    @property
    def column(self) -> str:
        """The name of the column."""
        return self.lens.legacy.name

    @property
    def assignment(self) -> str:
        """What stands behind SET."""
        return f"{ident(self.column)} = {literal(self.after)}"

    @property
    def is_unchanged(self) -> str:
        """The condition that nobody has made the change yet; text is compared, json has no `=`."""
        return f"{ident(self.column)}::text IS NOT DISTINCT FROM {literal(self.before)}"


@dataclass(frozen=True)
class Step:
    """An UPDATE of one column that depends on what it has: SET qty = qty + 1.

    :param values: what the column shows after none, one and two of them
    """

    lens: Lens
    expression: str
    values: tuple[str | None, str | None, str | None]

    @property
    def column(self) -> str:
        """The name of the column."""
        return self.lens.legacy.name

    @property
    def assignment(self) -> str:
        """What stands behind SET."""
        return f"{ident(self.column)} = {self.expression}"


def shown(conn: Connection, scratch: Scratch, key: Cells) -> dict[str, str | None]:
    """Return the row as the view shows it, as text; nothing if it is not there."""
    names = scratch.mapping.legacy.column_names
    columns = ", ".join(f"{ident(name)}::text" for name in names)
    row = conn.execute(f"SELECT {columns} FROM {scratch.view} WHERE {where(key)}").fetchone()
    return {} if row is None else dict(zip(names, row, strict=True))


def changes(conn: Connection, scratch: Scratch, key: Cells) -> Iterator[Change]:
    """Yield, for each column outside the key, one change that the view accepts."""
    before = shown(conn, scratch, key)
    for lens in _settable(scratch):
        for value in worth_trying(lens):
            after = _tried(conn, scratch, key, ((lens.legacy.name, literal(value)),))
            if after and after[0] not in (None, before[lens.legacy.name]):
                yield Change(lens, before[lens.legacy.name], str(after[0]))
                break


def steps(conn: Connection, scratch: Scratch, key: Cells) -> Iterator[Step]:
    """Yield, for each column of numbers or text, one step that can be made twice."""
    before = shown(conn, scratch, key)
    for lens in _settable(scratch):
        kind, name = sqltypes.parse(lens.legacy.type), lens.legacy.name
        if kind.array or not (kind.is_integer or kind.is_numeric or kind.is_text):
            continue
        if before[name] is None:
            continue
        for pattern in _STEPS[not kind.is_text]:
            expression = pattern.format(c=ident(name))
            after = _tried(conn, scratch, key, ((name, expression),) * 2)
            if len({before[name], *after}) == 3:
                yield Step(lens, expression, (before[name], after[0], after[1]))
                break


def insert(conn: Connection, scratch: Scratch, row: Cells) -> str | None:
    """Return the INSERT of a row, where the view accepts it; None where something refuses it.

    :param row: of which the key is in the copy
    """
    mapping = scratch.mapping
    given = [
        lens.legacy.name
        for lens in mapping.lenses
        if lens.legacy.generated is None and not isinstance(lens.rule, Constant | Expression)
    ]
    values = ", ".join(literal(row[name]) for name in given)
    statement = f"INSERT INTO {scratch.view} ({idents(given)}) VALUES ({values})"
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(delete(scratch, {name: row[name] for name in mapping.legacy.row_key}))
            done = conn.execute(statement)
            scratch.check_apart(conn)
    except (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError):
        return None
    return statement if done.rowcount == 1 else None


def delete(scratch: Scratch, key: Cells) -> str:
    """Return the DELETE of a row through the view."""
    return f"DELETE FROM {scratch.view} WHERE {where(key)}"


def _settable(scratch: Scratch) -> list[Lens]:
    return [
        lens
        for lens in scratch.mapping.lenses
        if lens.legacy.name not in scratch.mapping.legacy.row_key
        and lens.legacy.generated is None
        and not isinstance(lens.rule, Constant | Expression)
    ]


def _tried(
    conn: Connection, scratch: Scratch, key: Cells, assignments: tuple[tuple[str, str], ...]
) -> tuple[str | None, ...]:
    """Return what a column shows after each of some updates, which are undone; nothing if refused.

    The server, not we, says what a literal becomes.

    :param assignments: column and expression
    """
    found = []
    try:
        with conn.transaction(force_rollback=True):
            for name, expression in assignments:
                done = conn.execute(
                    f"UPDATE {scratch.view} SET {ident(name)} = {expression} WHERE {where(key)}"
                )
                scratch.check_apart(conn)
                row = shown(conn, scratch, key)
                if done.rowcount != 1 or not row:
                    return ()
                found.append(row[name])
    except (psycopg.IntegrityError, psycopg.DataError):
        return ()
    return tuple(found)
