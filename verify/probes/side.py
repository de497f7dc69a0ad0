"""One side of the comparison: a relation, the statements said to it, and what it answered.

Answers are kept as the server wrote them, so that 1.5 and 1.50 stay apart whatever a driver thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from compat.connection import Connection
from compat.names import idents
from verify.context import Disturbed
from verify.probes.statements import Cells, Copy, Probe, where_any

_SAVEPOINT = "compat_verify"
ROLLBACK = f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}"
"""Takes a transaction that has failed inside `attempt` back to its beginning."""


@dataclass(frozen=True)
class Answer:
    """What a statement gave.

    :param sqlstate: of the error, or None
    :param tag: the command tag: INSERT 0 1
    :param types: names and exact types of the returned columns
    :param rows: the returned rows, in order
    :param blame: column and constraint that the error named
    """

    sqlstate: str | None
    message: str = ""
    tag: str = ""
    types: tuple[str, ...] = ()
    rows: tuple[Cells, ...] = ()
    blame: tuple[str | None, str | None] = (None, None)

    @property
    def said(self) -> str:
        """The answer in a few words."""
        if self.sqlstate is not None:
            return f"{self.sqlstate} {self.message}"
        return self.tag


@dataclass(frozen=True)
class Side:
    """A relation that is asked; all statements run in the caller's transaction."""

    conn: Connection
    relation: str
    columns: tuple[str, ...]

    def answer(self, probe: Probe, given: tuple[Cells, ...] = ()) -> Answer:
        """Say the statement; afterwards the transaction may have failed (see `attempt`).

        :raises Disturbed: a lock was not to be had, or the row was changed meanwhile
        """
        sql = probe.statement.sql(self.relation, given)
        if isinstance(probe.statement, Copy):
            row = probe.statement.row
            return self._told(lambda: self._copy(sql, row))
        return self.tell(sql)

    def _copy(self, sql: str, row: tuple[str | None, ...]) -> psycopg.Cursor[tuple[object, ...]]:
        cursor = self.conn.cursor()
        with cursor.copy(sql) as copy:
            copy.write_row(row)
        return cursor

    def tell(self, sql: str) -> Answer:
        """Say any statement."""
        return self._told(lambda: self.conn.execute(sql, prepare=False))

    def _told(self, say: Callable[[], psycopg.Cursor[tuple[object, ...]]]) -> Answer:
        try:
            cursor = say()
        except psycopg.Error as error:
            disturbed(error)
            if error.sqlstate is None:
                raise
            diag = error.diag
            return Answer(
                error.sqlstate,
                diag.message_primary or "",
                blame=(diag.column_name, diag.constraint_name),
            )
        types = tuple(f"{c.name} {c.type_display}" for c in cursor.description or ())
        return Answer(None, "", cursor.statusmessage or "", types, tuple(_cells(cursor)))

    def rows(self, keys: Iterable[Cells] | None) -> tuple[Cells, ...]:
        """Return the rows with these keys, or all of them."""
        condition = "true" if keys is None else where_any(keys)
        return read(
            self.conn, f"SELECT {idents(self.columns)} FROM {self.relation} WHERE {condition}"
        )


def read(conn: Connection, sql: str) -> tuple[Cells, ...]:
    """Return the rows of a query, each value as the server printed it.

    :raises Disturbed: a lock was not to be had
    """
    try:
        return tuple(_cells(conn.execute(sql, prepare=False)))
    except psycopg.Error as error:
        disturbed(error)
        raise


def disturbed(error: psycopg.Error) -> None:
    """Raise Disturbed when the error comes from what others do at this moment."""
    message = error.diag.message_primary or str(error)
    if isinstance(error, psycopg.errors.LockNotAvailable):
        raise Disturbed(message, error.sqlstate, is_lock=True) from error
    if isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        raise Disturbed(message, error.sqlstate, is_lock=False) from error


@contextmanager
def attempt(conn: Connection, savepoint: str = _SAVEPOINT) -> Iterator[None]:
    """Undo at the end whatever was done inside, also after an error of the database."""
    conn.execute(f"SAVEPOINT {savepoint}", prepare=False)
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute(f"ROLLBACK TO SAVEPOINT {savepoint}", prepare=False)
            conn.execute(f"RELEASE SAVEPOINT {savepoint}", prepare=False)


def _cells(cursor: psycopg.Cursor[tuple[object, ...]]) -> Iterator[Cells]:
    result = cursor.pgresult
    if result is None or cursor.description is None:
        return
    names = [column.name for column in cursor.description]
    encoding = cursor.connection.info.encoding
    for row in range(result.ntuples):
        values = (result.get_value(row, n) for n in range(result.nfields))
        yield {
            name: None if value is None else value.decode(encoding, "replace")
            for name, value in zip(names, values, strict=True)
        }
