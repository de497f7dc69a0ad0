"""Who still uses a compatibility view: evidence from the server, gathered at no cost to clients.

Three sources. A statement that uses the view holds a lock on it until its transaction ends
(pg_locks). A session shows the last statement that it ran, also while it idles (pg_stat_activity).
pg_stat_statements, where it is installed, counts every statement, but knows no application.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

import psycopg
from psycopg.rows import class_row

from compat import state
from compat.connection import Connection, despite_interrupt
from compat.errors import StateError
from compat.run import defaults, statements
from compat.run.mentions import Kind, kind_of_use, may_use
from compat.state import Stored

Source = Literal["lock", "session", "statements"]

_STORE_EVERY: Final = 1.0  # seconds between two writes of what a long watch has seen


@dataclass(frozen=True)
class Use:
    """What one role, through one application, was seen to do with the view, by one source.

    :param times: transactions (lock) or statements (session, statements)
    """

    role: str
    application: str
    source: Source
    kind: Kind
    first_seen: datetime
    last_seen: datetime
    times: int

    @property
    def text(self) -> str:
        """The use in one line."""
        who = f"{self.role} ({self.application or 'no application name'})"
        when = f"{self.last_seen:%Y-%m-%d %H:%M:%S}"
        if self.source == "statements":  # they are counted, not dated
            who, when = self.role, f"{self.first_seen:%Y-%m-%d %H:%M:%S} and {when}"
            return f"{who}: {self.times:,} {self.kind} statements between {when}"
        return f"{who}: {self.kind}, seen {self.times:,} × until {when}"


@dataclass(frozen=True)
class Usage:
    """The uses of one view, and how far the evidence reaches.

    :param since: when the view took the legacy name
    :param now: the server's clock, when we stopped looking
    :param notes: what the evidence covers, what it cannot show, and how to get better
    """

    mapping: str
    since: datetime
    now: datetime
    uses: tuple[Use, ...]
    notes: tuple[str, ...]

    def within(self, span: timedelta) -> tuple[Use, ...]:
        """Return the uses of the last so many seconds."""
        return tuple(use for use in self.uses if self.now - use.last_seen <= span)


@dataclass(frozen=True)
class Unused:
    """How it is made sure that nobody uses a view any more.

    :param for_: how long nothing may have been seen; only evidence that exists counts
    :param watch: how long to look now
    :param insist: whether to go on although somebody was seen
    """

    for_: timedelta = defaults.UNUSED_FOR
    watch: timedelta = defaults.WATCH
    insist: bool = False


class StillUsed(StateError):
    """A contract that would break somebody; `users` says whom."""

    def __init__(self, usage: Usage, users: tuple[Use, ...]) -> None:
        self.users = users
        self.notes = usage.notes
        lines = [f"\n  {use.text}" for use in users] + [f"\n  note: {note}" for note in usage.notes]
        super().__init__(
            f"the view of {usage.mapping!r} is still used:{''.join(lines)}",
            "move these applications to v2 and contract later, or shorten --unused-for, or insist "
            "with --force",
        )


def observe(
    conn: Connection,
    name: str,
    watch: timedelta = timedelta(0),
    interval: timedelta = defaults.LOOK_INTERVAL,
    *,
    remember: bool = True,
    on_look: Callable[[int], None] = lambda uses: None,
) -> Usage:
    """Look who uses the view of a migration, for a while, and return all that is known of it.

    What was seen is kept (compat.usage), also when this is interrupted, where the role may write.

    :param watch: how long to look; zero looks once
    :param remember: False changes nothing, as a dry run must
    :param on_look: called after each look with the number of uses seen
    :raises StateError: there is no such migration, or its view does not have the legacy name
    """
    stored = state.load(conn, name)
    if stored.phase != "cutover":
        raise StateError(
            f"the view of {name!r} is not in use: the migration is {stored.phase}",
            f"`compat status {shlex.quote(name)}` tells the next step",
        )
    return observe_stored(conn, stored, watch, interval, remember=remember, on_look=on_look)


def observe_stored(
    conn: Connection,
    stored: Stored,
    watch: timedelta,
    interval: timedelta = defaults.LOOK_INTERVAL,
    *,
    remember: bool = True,
    on_look: Callable[[int], None] = lambda uses: None,
) -> Usage:
    """Do what `observe` does, for a migration that has been loaded and is cut over."""
    seen = _Seen(conn, stored, remember=remember)
    deadline = time.monotonic() + watch.total_seconds()
    try:
        while True:
            seen.look()
            on_look(seen.count)
            left = deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(interval.total_seconds(), left))
        seen.count_statements()
    finally:
        despite_interrupt(seen.store)
    return seen.usage()


def begin(conn: Connection, name: str) -> None:
    """Note how far pg_stat_statements has counted: after a cutover, before anybody's next look.

    Where that cannot be done, the first look does it, and learns nothing from what was before.
    """
    stored = state.load(conn, name)
    with suppress(psycopg.DatabaseError), conn.transaction():
        counts = statements.read(conn, stored)
        if counts is not None:
            statements.note(conn, stored, counts, counts.at)


@contextmanager
def apart(conn: Connection, name: str) -> Iterator[None]:
    """Keep what this block does to a view out of what pg_stat_statements tells of others."""
    with conn.transaction():
        stored = state.load(conn, name)
    if stored.phase == "cutover":
        seen = _Seen(conn, stored)
        seen.count_statements()
        seen.store()
    yield
    if stored.phase == "cutover":
        with suppress(psycopg.DatabaseError), conn.transaction():
            counts = statements.read(conn, stored)
            if counts is not None:
                since = statements.counted_since(counts, statements.baseline(conn, stored), stored)
                statements.note(conn, stored, counts, since)


class _Seen:
    """What has been seen of one view in one go."""

    def __init__(self, conn: Connection, stored: Stored, *, remember: bool = True) -> None:
        self._conn, self._stored, self._remember = conn, stored, remember
        self._uses: dict[tuple[str, str, Source, Kind], Use] = {}
        self._counted: set[tuple[object, ...]] = set()
        self._stored_at = time.monotonic()
        self.notes: dict[str, None] = {}

    @property
    def count(self) -> int:
        """How many uses have been seen since they were stored last."""
        return len(self._uses)

    def look(self) -> None:
        """Look once at locks and sessions."""
        for what, use in (*self._locks(), *self._sessions()):
            if what not in self._counted:
                self._counted.add(what)
                self._add(use)
        if time.monotonic() - self._stored_at > _STORE_EVERY:
            self.store()

    def count_statements(self) -> None:
        """Add what pg_stat_statements has counted since it was asked last."""
        conn, stored = self._conn, self._stored
        try:
            with conn.transaction():
                counts = statements.read(conn, stored)
                before = statements.baseline(conn, stored)
        except psycopg.DatabaseError as error:
            self.notes[f"pg_stat_statements cannot be read: {error.diag.message_primary}"] = None
            return
        if counts is None:
            self.notes[_SAMPLED.format(shlex.quote(stored.mapping.name))] = None
            return
        since = statements.counted_since(counts, before, stored)
        for (role, kind), times in (counts.new_since(before) if before else {}).items():
            assert before is not None
            self._add(Use(role, "", "statements", kind, before.taken_at, counts.at, times))
        self.notes[f"pg_stat_statements has counted every statement since {since:%F %T}"] = None
        if counts.hidden:
            self.notes[_HIDDEN] = None
        if self._remember:
            with self._if_permitted(), conn.transaction():
                self._store()
                statements.note(conn, stored, counts, since)

    def store(self) -> None:
        """Keep what was seen in compat.usage, where that is wanted and permitted."""
        if self._remember and self._uses:
            with self._if_permitted(), self._conn.transaction():
                self._store()
        self._stored_at = time.monotonic()

    def _store(self) -> None:
        for use in self._uses.values():
            self._conn.execute(_UPSERT, {"mapping": self._stored.mapping.name, **vars(use)})
        self._uses = {}

    def usage(self) -> Usage:
        """Return all that is known: what has been kept, and what could not be."""
        with self._conn.cursor(row_factory=class_row(Use)) as cursor:
            kept = cursor.execute(
                "SELECT role, application, source, kind, first_seen, last_seen, times"
                " FROM compat.usage WHERE mapping = %s",
                [self._stored.mapping.name],
            ).fetchall()
        for use in kept:
            self._add(use)
        row = self._conn.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        uses = sorted(self._uses.values(), key=lambda use: use.last_seen, reverse=True)
        stored = self._stored
        return Usage(stored.mapping.name, stored.changed_at, row[0], tuple(uses), (*self.notes,))

    def _locks(self) -> Iterator[tuple[tuple[object, ...], Use]]:
        """Yield the transactions that hold, or wait for, a lock on the view."""
        rows = self._conn.execute(
            "SELECT a.pid, l.virtualtransaction, a.usename::text, a.application_name,"
            " bool_or(l.mode = 'RowExclusiveLock'), clock_timestamp()"
            " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'relation' AND l.relation = to_regclass(%s)"
            f" AND a.datname = current_database() AND {_SOMEBODY_ELSE}"
            " GROUP BY 1, 2, 3, 4",
            [self._stored.view_sql],
        ).fetchall()
        for pid, transaction, role, application, writes, at in rows:
            kind: Kind = "write" if writes else "read"
            what = ("lock", pid, transaction, kind)
            yield what, Use(role, application, "lock", kind, at, at, 1)

    def _sessions(self) -> Iterator[tuple[tuple[object, ...], Use]]:
        """Yield the sessions whose last statement used the view, since it has its name."""
        legacy = self._stored.mapping.legacy
        rows = self._conn.execute(
            "SELECT a.pid, a.query_start, a.usename::text, a.application_name, a.query"
            " FROM pg_catalog.pg_stat_activity a"
            " WHERE a.datname = current_database() AND a.query_start >= %s"
            f" AND {may_use('a.query')} AND {_SOMEBODY_ELSE}",
            [self._stored.changed_at, legacy.name],
        ).fetchall()
        for pid, at, role, application, text in rows:
            kind = kind_of_use(text, legacy.schema, legacy.name)
            if kind is not None:
                yield ("session", pid, at), Use(role, application, "session", kind, at, at, 1)

    def _add(self, use: Use) -> None:
        key = (use.role, use.application, use.source, use.kind)
        known = self._uses.get(key)
        if known is not None:
            use = replace(
                use,
                first_seen=min(use.first_seen, known.first_seen),
                last_seen=max(use.last_seen, known.last_seen),
                times=use.times + known.times,
            )
        self._uses[key] = use

    @contextmanager
    def _if_permitted(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
            self.notes[_NOT_KEPT] = None


# Not our own commands; nor pg_dump, which reads whatever there is.
_SOMEBODY_ELSE = (
    "a.pid <> pg_backend_pid() AND a.usename IS NOT NULL"
    " AND a.application_name !~ '^(compat( |$)|pg_dump)'"
)
# A session that idles shows the same statement at each look: counted once.
_UPSERT = """
    INSERT INTO compat.usage AS u
    VALUES (%(mapping)s, %(role)s, %(application)s, %(source)s, %(kind)s, %(first_seen)s,
            %(last_seen)s, %(times)s)
    ON CONFLICT (mapping, role, application, source, kind) DO UPDATE
    SET first_seen = least(u.first_seen, EXCLUDED.first_seen),
        last_seen = greatest(u.last_seen, EXCLUDED.last_seen),
        times = u.times + CASE WHEN EXCLUDED.last_seen > u.last_seen THEN EXCLUDED.times ELSE 0 END
"""
_SAMPLED = (
    "without pg_stat_statements, what begins and ends between two looks is seen only as the last "
    "statement of a session (not if that was a COMMIT); `compat usage {} --watch 10m` looks longer"
)
_HIDDEN = "statements of other roles are not shown to this role: GRANT pg_read_all_stats to it"
_NOT_KEPT = "what was seen now is not kept: this role may not write to the schema compat"
