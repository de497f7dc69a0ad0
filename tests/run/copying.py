"""What the tests of the copy share: a process of its own, watched and brought to its end."""

from __future__ import annotations

from typing import Any

from compat.mapping import Mapping
from tests.compat.migrations import one, value
from tests.forked import Process
from tests.run.support import (
    Connection,
    Ended,
    columns,
    copied_rows,
    ended,
    phase,
    same_rows,
    start,
    succeed,
    until,
)

_SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name LIKE %s AND datname = current_database()"
)


def start_copy(url: str, *options: str) -> Process:
    """Start copying `lines`."""
    return start(url, "copy", "lines", "--execute", *options)


def finish(url: str, conn: Connection, mapping: Mapping, *options: str) -> Ended:
    """Run the copy to its end, and see that both sides hold the same rows."""
    result = succeed(url, "copy", "lines", "--execute", *options)
    assert phase(conn, "lines") == "copied"
    assert same_rows(conn, mapping)
    return result


def progress(conn: Connection) -> tuple[int, int, bool]:
    """Rows seen and copied so far, and whether the copy says that it is done."""
    seen, copied, done = one(
        conn,
        "SELECT sum(rows_seen)::int, sum(rows_copied)::int, max(finished_at) IS NOT NULL"
        " FROM compat.copy_progress p JOIN compat.copy_range r ON r.mapping = p.mapping",
    )
    return seen, copied, done


def seen_by_range(conn: Connection) -> list[int]:
    """Rows seen so far in each range."""
    query = "SELECT rows_seen FROM compat.copy_range ORDER BY number"
    return columns(conn.execute(query).fetchall())


def until_seen(conn: Connection, rows: int, process: Process) -> None:
    """Wait until the copy has committed so many rows; fail if it ends before that."""

    def is_seen() -> bool:
        assert process.poll() is None, ended(process)
        return copied_rows(conn, "lines") >= rows

    # No process, no table: before the first batch there is nothing to read.
    until(is_seen, f"{rows} copied rows")


def until_alone(conn: Connection) -> None:
    """Wait until the server has noticed that the client and its workers are gone."""
    until(
        lambda: not value(conn, _SESSIONS, ["compat copy%"]),
        "the end of the killed copy's connections",
    )


def workers_connected(conn: Connection) -> int:
    """How many sessions copy rows at the moment."""
    return int(value(conn, _SESSIONS, ["compat copy worker"]))


def terminate(conn: Connection, application: str) -> int:
    """End the sessions of that application name in this database, as an administrator would."""
    rows: list[tuple[Any, ...]] = conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        [application],
    ).fetchall()
    return len(rows)
