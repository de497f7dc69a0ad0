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
from verify.probes.values import unused, worth_trying
from verify.scratch import Scratch

_STEPS = {
    True: ("{c} + 1", "{c} - 1"),  # of numbers
    False: ("{c} || 'x'",),  # of texts
}
_UNUSUAL = 96  # the number of the first of some values that no row has


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
    """Yield, for each column outside the key, one change that the view accepts.

    Where columns decide which table a row is in, to what a row of another table may have.
    """
    before = shown(conn, scratch, key)
    for lens in _settable(scratch):
        others = _present(conn, scratch, lens) if scratch.mapping.choices else ()
        for value in (*others, *worth_trying(lens)):
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


def update(scratch: Scratch, change: Change, condition: str, new_key: Cells | None = None) -> str:
    """Return the UPDATE that makes a change, and gives the row another key, if one is given."""
    keys = [f"{ident(name)} = {literal(value)}" for name, value in (new_key or {}).items()]
    assigned = ", ".join([change.assignment, *keys])
    return f"UPDATE {scratch.view} SET {assigned} WHERE {condition}"


def new_keys(conn: Connection, scratch: Scratch, change: Change, keys: list[Cells]) -> list[Cells]:
    """Return for each of these rows a key that no row has, and that may come with a change.

    Nothing where the view refuses one of them.
    """
    found = list[Cells]()
    for number, key in enumerate(keys, start=_UNUSUAL):
        new = {lens.legacy.name: unused(lens, number) for lens in scratch.mapping.key}
        statement = update(scratch, change, where(key), new)
        if None in new.values() or not _is_accepted(conn, scratch, statement):
            return []
        found.append(new)
    return found


def _is_accepted(conn: Connection, scratch: Scratch, statement: str) -> bool:
    try:
        with conn.transaction(force_rollback=True):
            done = conn.execute(statement)
            scratch.check_apart(conn)
    except (psycopg.IntegrityError, psycopg.DataError):
        return False
    return done.rowcount == 1


def delete(scratch: Scratch, key: Cells) -> str:
    """Return the DELETE of a row through the view."""
    return f"DELETE FROM {scratch.view} WHERE {where(key)}"


def _present(conn: Connection, scratch: Scratch, lens: Lens) -> tuple[str, ...]:
    """Return the values that rows have in a column, as text."""
    name = ident(lens.legacy.name)
    rows = conn.execute(
        f"SELECT DISTINCT {name}::text FROM {scratch.view} WHERE {name} IS NOT NULL ORDER BY 1"
    )
    return tuple(value for (value,) in rows)


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
