"""What the database knows of its migrations: the tables of the schema `compat`, as values.

Every step writes its state in the transaction that does the work.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from psycopg.rows import dict_row

from compat.compile.install import install, installed
from compat.compose import compose_all
from compat.connection import Connection
from compat.errors import MappingError, StateError
from compat.mapping import Form, Mapping

LOCK_PREFIX = "compat "
"""What is hashed for a migration's advisory lock: this and the mapping's name."""

Phase = Literal["expanded", "copying", "copied", "cutover", "contracted", "published"]
BEFORE_CUTOVER: Final[tuple[Phase, ...]] = ("expanded", "copying", "copied")


@dataclass(frozen=True)
class Progress:
    """How far a copy has come; it is committed together with the rows it counts."""

    ranges: int
    ranges_finished: int
    rows_seen: int
    rows_copied: int
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Stored:
    """A mapping as the database holds it.

    :param mapping: what view, triggers and functions are made of: composed with the later versions
        that the migration reads through by now
    :param stated: what was expanded, which the fingerprint is of
    :param switching: the form to which a switch is under way
    """

    mapping: Mapping
    fingerprint: str
    phase: Phase
    changed_at: datetime
    progress: Progress | None
    stated: Mapping
    switching: Form | None = None

    @property
    def legacy_sql(self) -> str:
        """The quoted name of the physical legacy table in this phase."""
        return self.mapping.retired if self.phase == "cutover" else self.mapping.legacy.sql

    @property
    def view_sql(self) -> str:
        """The quoted name of the compatibility view in this phase."""
        in_use = self.phase in ("cutover", "published")
        return self.mapping.view_of.sql if in_use else self.mapping.standby


def is_installed(conn: Connection) -> bool:
    """Return whether the schema `compat` of this version is there."""
    return conn.execute(installed()).fetchone() is not None


def ensure_installed(conn: Connection) -> None:
    """Create or complete the schema `compat`."""
    if is_installed(conn):
        return
    with conn.transaction():
        for statement in install():
            conn.execute(statement)


@contextmanager
def installed_for_now(conn: Connection) -> Iterator[None]:
    """Run what needs our functions and changes nothing, in a transaction that is rolled back.

    Where the schema `compat` is not there yet, it is there for this transaction only.
    """
    with conn.transaction(force_rollback=True):
        ensure_installed(conn)
        yield


def load_all(conn: Connection) -> tuple[Stored, ...]:
    """Return every mapping that the database holds, by name; none where nothing is installed."""
    if conn.execute("SELECT to_regclass('compat.mapping')").fetchone() == (None,):
        return ()
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            SELECT m.name, m.document, m.fingerprint, m.phase, m.changed_at,
                   to_jsonb(m) ->> 'through' AS through,
                   to_jsonb(m) ->> 'switching' AS switching,
                   p.started_at, p.finished_at, r.ranges, r.ranges_finished, r.rows_seen,
                   r.rows_copied
            FROM compat.mapping m LEFT JOIN compat.copy_progress p ON p.mapping = m.name
            CROSS JOIN LATERAL (
                SELECT count(*) AS ranges, count(*) FILTER (WHERE finished) AS ranges_finished,
                       COALESCE(sum(rows_seen), 0)::bigint AS rows_seen,
                       COALESCE(sum(rows_copied), 0)::bigint AS rows_copied
                FROM compat.copy_range r WHERE r.mapping = m.name
            ) AS r
            ORDER BY m.name
            """
        ).fetchall()
    stated = {row["name"]: _stated(row) for row in rows}
    through = {row["name"]: row["through"] for row in rows if row["through"] is not None}
    return tuple(_stored(row, _composed(row, stated, through)) for row in rows)


def load(conn: Connection, name: str) -> Stored:
    """Return one stored mapping.

    :raises StateError: there is none of that name
    """
    stored = load_all(conn)
    for item in stored:
        if item.mapping.name == name:
            return item
    names = ", ".join(item.mapping.name for item in stored) or "none"
    raise StateError(
        f"no mapping called {name!r} in this database (there: {names})",
        "give a stored name, or the path of a .json or .py file and `compat expand` first",
    )


def set_phase(conn: Connection, name: str, phase: Phase) -> None:
    """Record the phase of a migration; part of the caller's transaction."""
    conn.execute(
        "UPDATE compat.mapping SET phase = %s, changed_at = clock_timestamp() WHERE name = %s",
        [phase, name],
    )


def record(conn: Connection, name: str, step: str, detail: dict[str, Any]) -> None:
    """Write one line into the log of steps; part of the caller's transaction."""
    conn.execute(
        "INSERT INTO compat.event (mapping, step, detail) VALUES (%s, %s, %s)",
        [name, step, json.dumps(detail, default=str)],
    )


def lock(conn: Connection, name: str) -> None:
    """Take the advisory lock of a migration for this session: one command at a time.

    Waits a moment: the session of a command that has ended, or was killed, goes a little later.

    :raises StateError: another command holds it
    """
    try:
        with conn.transaction():
            conn.execute("SET LOCAL lock_timeout = '1s'")
            conn.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [LOCK_PREFIX + name])
    except psycopg.errors.LockNotAvailable:
        raise busy(name) from None


@contextmanager
def leading(conn: Connection) -> Iterator[str]:
    """Hold a lock by which workers see that the command that sent them still lives; yield its name.

    Each command has one of its own: nobody's workers go on under the command that comes after. The
    connection may die within: then the lock is gone too, which is what the workers look for.
    """
    leader = f"compat workers of {uuid.uuid4()}"
    conn.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [leader])
    try:
        yield leader
    finally:
        with suppress(psycopg.OperationalError):
            conn.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [leader])


def is_led(conn: Connection, leader: str) -> bool:
    """Return whether the command of that name, as `leading` gave it, still lives."""
    row = conn.execute(
        "SELECT pg_try_advisory_xact_lock_shared(hashtextextended(%s, 0))", [leader]
    ).fetchone()
    return row == (False,)


def count_rejects(conn: Connection, name: str) -> int:
    """Return how many rows of a migration have been set aside."""
    row = conn.execute("SELECT count(*) FROM compat.reject WHERE mapping = %s", [name]).fetchone()
    assert row is not None
    return int(row[0])


def busy(name: str) -> StateError:
    """Return the error of who finds the advisory lock of a migration taken."""
    return StateError(
        f"another command is working on {name!r} right now",
        "wait for it, or look for application_name 'compat …' in pg_stat_activity",
    )


def _stated(row: dict[str, Any]) -> Mapping:
    document = row["document"]
    return Mapping.from_json(document if isinstance(document, str) else json.dumps(document))


def _composed(row: dict[str, Any], stated: dict[str, Mapping], through: dict[str, str]) -> Mapping:
    """Return the mapping of a row, composed with those that it reads through."""
    name = row["name"]
    chain = [stated[name]]
    while name in through:
        name = through[name]
        chain.append(stated[name])
    try:
        return compose_all(chain)
    except MappingError:
        if row["phase"] != "contracted":
            raise
        return chain[0]  # nothing is made of it any more


def _stored(row: dict[str, Any], mapping: Mapping) -> Stored:
    progress = None
    if row["started_at"] is not None:
        progress = Progress(
            row["ranges"],
            row["ranges_finished"],
            row["rows_seen"],
            row["rows_copied"],
            row["started_at"],
            row["finished_at"],
        )
    return Stored(
        mapping,
        row["fingerprint"],
        row["phase"],
        row["changed_at"],
        progress,
        _stated(row),
        row["switching"],
    )
