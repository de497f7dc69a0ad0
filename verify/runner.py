"""Runs the checks over the stored mappings and gathers what they say.

Counts and contents of a mapping share one snapshot; nothing that a check does is ever committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg.pq import TransactionStatus

from compat import state
from compat.connection import SETTINGS, Connection
from compat.errors import CompatError, StateError
from compat.names import literal
from compat.run import usage
from compat.state import Stored
from verify.checks import contents, counts, integrity, losses, performance, structure
from verify.compare import log as logs
from verify.compare.log import Log
from verify.context import Context, Disturbed
from verify.options import Options
from verify.probes import check as probes
from verify.races import check as races
from verify.refusals import raise_if_lost, refused
from verify.report import MappingReport, Report, Result, Status, holds, not_run
from verify.workload import check as workload


@dataclass(frozen=True)
class Check:
    """One entry of the register.

    :param shares_snapshot: whether it reads inside the mapping's one snapshot
    :param is_default: whether it is made when nobody says which
    :param needs_table: whether it compares with the rows of the legacy table
    """

    name: str
    function: Callable[[Context], Result]
    shares_snapshot: bool
    is_default: bool = True
    needs_table: bool = False


CHECKS = (
    Check(structure.NAME, structure.check, shares_snapshot=False),
    Check(counts.NAME, counts.check, shares_snapshot=True, needs_table=True),
    Check(contents.NAME, contents.check, shares_snapshot=True, needs_table=True),
    Check(integrity.NAME, integrity.check, shares_snapshot=True),
    Check(losses.NAME, losses.check, shares_snapshot=True, needs_table=True),
    Check(probes.NAME, probes.check, shares_snapshot=False),
    Check(races.NAME, races.check, shares_snapshot=False),
    Check(workload.NAME, workload.check, shares_snapshot=False, is_default=False),
    Check(performance.NAME, performance.check, shares_snapshot=False, is_default=False),
)
NAMES = tuple(check.name for check in CHECKS)
DEFAULTS = tuple(check.name for check in CHECKS if check.is_default)

# How often a check starts again when the rows that it tried were changed meanwhile.
_ATTEMPTS = 8

# A reader waits for no more than an exclusive lock, which a cutover holds for milliseconds.
_READ_LOCK_TIMEOUT = "5s"

# After a cutover some probes write to the retired table, to see what it answers; it is rolled back.
_SETTINGS = SETTINGS | {"lock_timeout": _READ_LOCK_TIMEOUT, "compat.late_writes": "on"}


def run(
    conn: Connection,
    checks: Iterable[str] = DEFAULTS,
    mappings: Iterable[str] | None = None,
    *,
    limit: int = 10,
    lock_timeout: int = 500,
    on_start: Callable[[str, str], None] | None = None,
    record: Callable[[MappingReport], None] | None = None,
    options: Options | None = None,
) -> Report:
    """Return what the checks say of the stored mappings; the database is left as it was.

    :param conn: no transaction may be open on it
    :param checks: some of NAMES, in any order
    :param mappings: names of stored mappings; None for all
    :param limit: how many differing rows are shown for each mapping
    :param lock_timeout: milliseconds that a probe waits for a row of a live application
    :param on_start: called with the names of mapping and check before each one
    :param record: called with the report of each mapping as soon as there is one, to write it to
        the database; without it nothing is written at all
    :param options: how data is compared
    :raises StateError: nothing is stored, or nothing of a name that was asked for
    :raises CompatError: an unknown check, or a transaction is open
    :raises psycopg.Error: the stored mappings may not be read, or the connection was lost
    """
    wanted = _wanted_checks(checks)
    if conn.info.transaction_status is not TransactionStatus.IDLE:
        raise CompatError(
            "a transaction is open on this connection",
            "commit or roll back first: the checks need snapshots of their own",
        )
    options = options or Options()
    reports = []
    chosen = _wanted_mappings(conn, mappings)
    options.rules.check_used(stored.mapping for stored in chosen)
    options.check_groups(stored.mapping.name for stored in chosen)
    with logs.opened(options.resume) as log:
        for name in (stored.mapping.name for stored in chosen):
            work = _Mapping(conn, name, limit, lock_timeout, on_start, options, log)
            if record is None:
                reports.append(work.report(wanted))
                continue
            with usage.apart(conn, name):
                reports.append(work.report(wanted))
            record(reports[-1])
    return Report(tuple(reports))


def _wanted_checks(names: Iterable[str]) -> tuple[Check, ...]:
    asked = list(names)
    for name in asked:
        if name not in NAMES:
            raise CompatError(f"no such check: {name!r}", f"choose from {', '.join(NAMES)}")
    if not asked:
        raise CompatError("no check was asked for", f"choose from {', '.join(NAMES)}")
    return tuple(check for check in CHECKS if check.name in asked)


def _wanted_mappings(conn: Connection, names: Iterable[str] | None) -> list[Stored]:
    with conn.transaction():
        stored = {item.mapping.name: item for item in state.load_all(conn)}
    if not stored:
        raise StateError(
            "no mapping is stored in this database",
            "expand one first (compat expand, or the revision that does it), or check the URL",
        )
    if names is None:
        return list(stored.values())
    asked = list(dict.fromkeys(names))
    for name in asked:
        if name not in stored:
            raise StateError(
                f"no mapping called {name!r} in this database (there: {', '.join(stored)})"
            )
    return [stored[name] for name in asked]


class _PhaseChanged(Exception):
    """Somebody took the mapping into another phase after it was looked up."""


@dataclass(frozen=True)
class _Mapping:
    """The work on one mapping."""

    conn: Connection
    name: str
    limit: int
    lock_timeout: int
    on_start: Callable[[str, str], None] | None
    options: Options
    log: Log

    def report(self, wanted: tuple[Check, ...]) -> MappingReport:
        """Return the results of all checks."""
        together = [check for check in wanted if check.shares_snapshot]
        done: dict[str, Result] = {}
        if together:
            stored, results = self._inside("READ ONLY", together, frozenset())
            done |= results
        for check in wanted:
            if not check.shares_snapshot:
                stored, result = self._alone(check)
                done[check.name] = result
        mapping = stored.mapping
        return MappingReport(
            mapping.name,
            stored.fingerprint,
            stored.phase,
            mapping.chosen_form,
            stored.legacy_sql,
            stored.view_sql,
            mapping.target.sql,
            tuple(done[check.name] for check in wanted),
        )

    def _alone(self, check: Check) -> tuple[Stored, Result]:
        """Make a check in a transaction of its own, again when live applications get in the way."""
        started = time.monotonic()
        avoid: frozenset[tuple[str | None, ...]] = frozenset()
        looked_again = False
        for _ in range(_ATTEMPTS):
            try:
                stored, results = self._inside("READ WRITE", [check], avoid)
                result = results[check.name]
                if result.status is not Status.DOES_NOT_HOLD or looked_again:
                    break
                looked_again = True  # a fault stays; what live applications cause does not
            except Disturbed as error:
                avoid |= error.rows
                what = "locked" if error.is_lock else "the sampled rows keep changing"
                result = not_run(check.name, f"{what}: {error.reason}")
                stored = self._load()
        return stored, replace(result, seconds=time.monotonic() - started)

    def _inside(
        self, access: str, checks: list[Check], avoid: frozenset[tuple[str | None, ...]]
    ) -> tuple[Stored, dict[str, Result]]:
        """Make checks inside one snapshot; starts again when somebody changes the phase just then.

        :param access: READ ONLY or READ WRITE
        """
        for _ in range(20):
            stored = self._load()
            context = Context(
                self.conn, stored, self.limit, self.lock_timeout, avoid, self.options, self.log
            )
            try:
                with self._snapshot(stored, access):
                    if access == "READ ONLY":
                        context = replace(context, snapshot=_exported(self.conn))
                    return stored, {check.name: self._one(check, context) for check in checks}
            except _PhaseChanged:
                continue
        raise StateError(f"the phase of {self.name!r} keeps changing", "run again when it is still")

    def _load(self) -> Stored:
        with self.conn.transaction():
            return state.load(self.conn, self.name)

    @contextmanager
    def _snapshot(self, stored: Stored, access: str) -> Iterator[None]:
        """Open one snapshot, undone at the end, with the relations locked against a new phase.

        :raises _PhaseChanged: it came before the locks
        """
        with self.conn.transaction(force_rollback=True):
            self.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if access == "READ ONLY":
                self.conn.execute("SET TRANSACTION READ ONLY")
            for setting, value in _SETTINGS.items():
                self.conn.execute(f"SET LOCAL {setting} = {literal(value)}")
            # In the order in which a change of the phase locks them: whatever has the legacy name
            # first, or the two would wait for each other.
            named, other = stored.legacy_sql, stored.view_sql
            if stored.phase == "cutover":
                named, other = other, named
            relations = (named, other, *(table.sql for table in stored.mapping.tables))
            try:
                with self.conn.transaction():  # none of this takes the snapshot
                    self.conn.execute(f"LOCK TABLE {', '.join(relations)} IN ACCESS SHARE MODE")
            except psycopg.Error as error:
                raise_if_lost(error)
                if isinstance(error, psycopg.errors.DeadlockDetected):
                    raise _PhaseChanged from error
                # Whatever is missing or may not be read, the checks will say; unless it has
                # another name by now.
            if state.load(self.conn, self.name).changed_at != stored.changed_at:
                raise _PhaseChanged
            yield

    def _one(self, check: Check, context: Context) -> Result:
        if context.stored.phase == "contracted":
            return holds(check.name, "contracted: nothing is left to compare")
        if check.needs_table and not context.has_table:
            return holds(check.name, "nothing to compare: the view has no table of its own")
        if self.on_start is not None:
            self.on_start(self.name, check.name)
        started = time.monotonic()
        try:
            with self.conn.transaction(force_rollback=True):
                result = check.function(context)
        except psycopg.Error as error:
            result = refused(check.name, error)
        return replace(result, seconds=time.monotonic() - started)


def _exported(conn: Connection) -> str:
    """Return the name by which other connections share this one's snapshot."""
    row = conn.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
    assert row is not None
    return str(row[0])
