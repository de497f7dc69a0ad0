"""Rows that were set aside because the target refuses them: listed, and tried again.

The legacy table still holds them; what a reject keeps is the row as it was, and the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from compat import state
from compat.connection import Connection
from compat.errors import StateError
from compat.mapping import Mapping
from compat.run.batches import copy_or_reject
from compat.run.quiet import copying
from compat.run.retry import LockPolicy, in_transaction


@dataclass(frozen=True)
class Reject:
    """One legacy row that could not be carried over.

    :param title: the row by its key, for people
    :param row_data: the whole row as it was
    """

    title: str
    key: tuple[str, ...]
    sqlstate: str
    reason: str
    at: datetime
    row_data: dict[str, Any]


@dataclass(frozen=True)
class Retried:
    """What became of the rejects of a migration; `rejects` are those that remain."""

    mapping: str
    copied: int
    gone: int
    rejects: tuple[Reject, ...]


def rejects(conn: Connection, name: str) -> tuple[Reject, ...]:
    """Return the rows of a migration that were set aside, by key.

    :raises StateError: there is no such migration
    """
    columns = state.load(conn, name).mapping.legacy.row_key
    rows = conn.execute(
        "SELECT key, sqlstate, reason, at, row_data FROM compat.reject WHERE mapping = %s"
        " ORDER BY key",
        [name],
    ).fetchall()
    return tuple(
        Reject(
            ", ".join(f"{column} = {part}" for column, part in zip(columns, key, strict=True)),
            tuple(key),
            *rest,
        )
        for key, *rest in rows
    )


def retry(conn: Connection, name: str, policy: LockPolicy | None = None) -> Retried:
    """Copy each reject again, as its legacy row is now; what is still refused keeps its place.

    :raises StateError: there is no such migration, or another command is at work
    """
    state.lock(conn, name)
    stored = state.load(conn, name)
    if stored.phase not in state.BEFORE_CUTOVER:
        raise StateError(f"{name!r} is {stored.phase}: its rows have been copied")
    copied = gone = 0
    with copying(conn, stored.mapping):
        for item in rejects(conn, name):
            seen, rejected = in_transaction(
                conn,
                partial(_retry_one, mapping=stored.mapping, key=list(item.key)),
                policy or LockPolicy(),
                f"a reject of {name!r}",
            )
            gone += not seen
            copied += seen - rejected
    return Retried(name, copied, gone, rejects(conn, name))


def _retry_one(conn: Connection, mapping: Mapping, key: list[str]) -> tuple[int, int]:
    """Copy one reject, or keep it with what is said of it now; return rows seen and rejected."""
    conn.execute("DELETE FROM compat.reject WHERE mapping = %s AND key = %s", [mapping.name, key])
    done = copy_or_reject(conn, mapping, key, most=None)
    return done.seen, done.rejected
