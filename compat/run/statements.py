"""What pg_stat_statements has counted of the statements that use a view, since it was asked last.

The view counts from its own beginning, so that each answer is noted in compat.usage_baseline, and
the next one is the difference. A reset, a crash of the server and evicted entries start anew.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from compat.connection import Connection
from compat.run.mentions import Kind, kind_of_use, may_use
from compat.state import Stored


@dataclass(frozen=True)
class Counts:
    """What was counted at one moment.

    :param reset: since when the server counts without a break
    :param calls: by entry: how often it was called
    :param users: by entry: role, and what the statement does with the view
    :param hidden: entries whose text this role may not see
    """

    at: datetime
    reset: datetime
    calls: dict[str, int]
    users: dict[str, tuple[str, Kind]]
    hidden: int

    def new_since(self, before: Baseline) -> Counter[tuple[str, Kind]]:
        """Return how many statements have come, by role and kind."""
        found: Counter[tuple[str, Kind]] = Counter()
        known = before.calls if before.reset == self.reset else {}
        for entry, calls in self.calls.items():
            earlier = known.get(entry, 0)
            # Fewer than before: the entry was evicted, and came back.
            found[self.users[entry]] += calls - earlier if calls >= earlier else calls
        return +found


@dataclass(frozen=True)
class Baseline:
    """What we know of an earlier answer; nothing was missed since `since`."""

    since: datetime
    taken_at: datetime
    reset: datetime
    calls: dict[str, int]


def read(conn: Connection, stored: Stored) -> Counts | None:
    """Return what was counted of a view under its legacy name; None without pg_stat_statements.

    :raises psycopg.Error: the extension is there, and its views cannot be read
    """
    row = conn.execute(
        "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n"
        " ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"
    ).fetchone()
    if row is None:
        return None
    rows = conn.execute(
        sql.SQL(
            "SELECT clock_timestamp(), stats_reset, concat_ws('/', userid, queryid, toplevel),"
            " pg_catalog.pg_get_userbyid(userid)::text, calls, query, queryid IS NULL"
            " FROM {info} LEFT JOIN {entries} ON dbid = ("
            "  SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
            f" AND (queryid IS NULL OR {may_use('query')})"
        ).format(
            info=sql.Identifier(row[0], "pg_stat_statements_info"),
            entries=sql.Identifier(row[0], "pg_stat_statements"),
        ),
        [stored.mapping.legacy.name],
    ).fetchall()
    at, reset, *_ = rows[0]
    calls, users, hidden = dict[str, int](), dict[str, tuple[str, Kind]](), 0
    legacy = stored.mapping.legacy
    for _, _, entry, role, count, text, is_hidden in rows:
        kind = kind_of_use(text or "", legacy.schema, legacy.name)
        if kind is not None:
            calls[entry], users[entry] = count, (role, kind)
        hidden += is_hidden and count is not None
    return Counts(at, reset, calls, users, hidden)


def baseline(conn: Connection, stored: Stored) -> Baseline | None:
    """Return what was noted last, or None; a note from before the cutover still counts."""
    row = conn.execute(
        "SELECT since, taken_at, stats_reset, calls FROM compat.usage_baseline WHERE mapping = %s",
        [stored.mapping.name],
    ).fetchone()
    return None if row is None else Baseline(*row)


def counted_since(counts: Counts, before: Baseline | None, stored: Stored) -> datetime:
    """Return since when no statement on the view has been missed."""
    if before is None:
        return counts.at
    began = before.since if before.reset == counts.reset else counts.reset
    return max(began, stored.changed_at)


def note(conn: Connection, stored: Stored, counts: Counts, since: datetime) -> None:
    """Make an answer the baseline of the next one.

    :param since: when nothing was missed since
    :raises psycopg.Error: the role may not write there
    """
    conn.execute(
        "INSERT INTO compat.usage_baseline VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (mapping) DO UPDATE SET since = EXCLUDED.since,"
        " taken_at = EXCLUDED.taken_at, stats_reset = EXCLUDED.stats_reset,"
        " calls = EXCLUDED.calls",
        [stored.mapping.name, since, counts.at, counts.reset, json.dumps(counts.calls)],
    )
