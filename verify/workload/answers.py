"""What a statement gave, and how two of its answers differ: in order, and as sets.

Values are kept as the server printed them, so that 1.5 and 1.50 stay apart.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from compat.connection import Connection
from verify.context import one_line, plural, shown
from verify.probes.side import attempt
from verify.refusals import raise_if_lost

if TYPE_CHECKING:
    from verify.workload.pointing import Pointed

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Reply:
    """What a statement gave.

    :param tag: the command tag, or the error
    :param columns: names of what it returned
    :param types: exact types of what it returned
    :param seconds: until the answer was complete
    """

    sqlstate: str | None
    tag: str
    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0

    def without(self, names: frozenset[str]) -> Reply:
        """Return the answer without some columns."""
        kept = [n for n, name in enumerate(self.columns) if name not in names]
        return replace(
            self,
            columns=tuple(self.columns[n] for n in kept),
            types=tuple(self.types[n] for n in kept),
            rows=tuple(tuple(row[n] for n in kept) for row in self.rows),
        )

    def with_types(self, names: dict[str, str]) -> Reply:
        """Return the answer with other names for some types."""
        return replace(self, types=tuple(names.get(name, name) for name in self.types))


@dataclass(frozen=True)
class Difference:
    """How two answers differ.

    :param kind: a stable word for programs: sqlstate, row count, type, rows, order
    """

    kind: str
    message: str
    expected: str | None = None
    found: str | None = None


def ask(conn: Connection, sql: str) -> Reply:
    """Run a statement, undo it, and return its answer.

    :raises psycopg.OperationalError: the connection was lost
    """
    started = time.perf_counter()
    try:
        with attempt(conn):
            cursor = conn.execute(sql, prepare=False)
            seconds = time.perf_counter() - started
            return _reply(cursor, seconds)
    except psycopg.Error as error:
        raise_if_lost(error)
        message = error.diag.message_primary or ""
        return Reply(error.sqlstate, f"{error.sqlstate} {message}")


def _reply(cursor: psycopg.Cursor[tuple[object, ...]], seconds: float) -> Reply:
    result, description = cursor.pgresult, cursor.description
    tag = cursor.statusmessage or ""
    if result is None or description is None:
        return Reply(None, tag, seconds=seconds)
    encoding = cursor.connection.info.encoding
    rows = tuple(
        tuple(
            None if (value := result.get_value(row, n)) is None else value.decode(encoding)
            for n in range(result.nfields)
        )
        for row in range(result.ntuples)
    )
    return Reply(
        None,
        tag,
        tuple(column.name for column in description),
        tuple(column.type_display for column in description),
        rows,
        seconds,
    )


def difference(statement: Pointed, table: Reply, view: Reply) -> Difference | None:
    """Return how the view's answer differs from the table's, or None.

    Rows in another order differ only where the statement says what orders them.
    """
    if table.sqlstate != view.sqlstate:
        message = f"table: {table.tag}; view: {view.tag}"
        return Difference("sqlstate", message, table.sqlstate, view.sqlstate)
    if table.sqlstate is not None:
        return None
    if table.tag != view.tag:
        return Difference("row count", f"table: {table.tag}; view: {view.tag}", table.tag, view.tag)
    if (table.columns, table.types) != (view.columns, view.types):
        return Difference(
            "type",
            "the returned columns have other names or types",
            _heading(table),
            _heading(view),
        )
    if table.rows == view.rows:
        return None
    lost = list((Counter(table.rows) - Counter(view.rows)).elements())
    gained = list((Counter(view.rows) - Counter(table.rows)).elements())
    if lost or gained:
        return _other_rows(statement, table, view, lost, gained)
    if statement.order is not None and _keys(statement, table) != _keys(statement, view):
        return Difference("order", "the same rows come in another order")
    return None


def _other_rows(
    statement: Pointed, table: Reply, view: Reply, lost: list[Row], gained: list[Row]
) -> Difference | None:
    if statement.is_limited and not statement.writes:
        # With a limit, which of the rows that are tied come is for the server to choose.
        keys = _keys(statement, table)
        if keys is None or keys == _keys(statement, view):
            return None
    first = [_shown(rows) for rows in (lost, gained)]
    return Difference(
        "rows",
        f"{plural(len(lost), 'row')} only by the table ({first[0]}), {len(gained)} only by the "
        f"view ({first[1]})",
        *first,
    )


def _keys(statement: Pointed, reply: Reply) -> list[Row] | None:
    """Return what orders the rows, row by row, or None when it is not among the output."""
    positions = []
    for name in statement.order or ():
        if name.isdigit():
            positions.append(int(name) - 1)
        elif reply.columns.count(name) == 1:
            positions.append(reply.columns.index(name))
        else:
            return None
    return [tuple(row[n] for n in positions) for row in reply.rows] if positions else None


def _heading(reply: Reply) -> str:
    return ", ".join(f"{a} {b}" for a, b in zip(reply.columns, reply.types, strict=True))


def _shown(rows: list[Row]) -> str:
    return one_line(", ".join(map(shown, rows[0])), 120) if rows else "none"
