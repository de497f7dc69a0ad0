"""The preflight of a cutover: everything that stands against it, all at once, with the fix of each.

Only reads. A cutover refuses while anything of this is a refusal; warnings are told and pass.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from compat import catalog, state
from compat.connection import Connection
from compat.errors import StateError
from compat.names import literal
from compat.run import defaults, health, verifications, versions
from compat.run.dependents import dependents
from compat.state import Stored


@dataclass(frozen=True)
class Demands:
    """What a cutover asks for beyond what it always does.

    :param verified_within: how old the last green `compat-verify` may be; None asks for none
    :param max_transaction_age: how long a transaction that holds a lock on the tables may have
        been open; younger ones are waited for, a little at a time
    """

    verified_within: timedelta | None = None
    max_transaction_age: timedelta = defaults.MAX_TRANSACTION_AGE


@dataclass(frozen=True)
class Finding:
    """One thing that stands against a cutover, or that one should know before it.

    :param kind: a stable word for programs: copy, reject, verification, transaction, view, …
    :param subject: the object by name
    """

    severity: Literal["refusal", "warning"]
    kind: str
    subject: str
    message: str
    fix: str

    @property
    def text(self) -> str:
        """The finding in one line."""
        return f"{self.kind} {self.subject}: {self.message}"


class CutoverRefused(StateError):
    """A cutover that would break something; `findings` says what, the warnings too."""

    def __init__(self, name: str, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        lines = []
        for finding in refusals(findings):
            lines += [f"\n  {finding.text}", f"\n    fix: {finding.fix}"]
        super().__init__(
            f"cutover of {name!r} is refused:{''.join(lines)}",
            f"`compat cutover {shlex.quote(name)}` lists what is left",
        )


def refusals(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the findings that stop a cutover."""
    return tuple(finding for finding in findings if finding.severity == "refusal")


def preflight(conn: Connection, stored: Stored, demands: Demands) -> tuple[Finding, ...]:
    """Return what stands against the cutover of a migration that has not been cut over.

    Refusals come first.
    """
    found = [
        *_unfinished(conn, stored),
        *_structure(conn, stored),
        *held_up(conn, stored, demands.max_transaction_age),
        *_versions(conn, stored),
        *_dependents(conn, stored),
    ]
    if demands.verified_within is not None:
        found += _unverified(conn, stored, demands.verified_within)
    return tuple(sorted(found, key=lambda finding: finding.severity))


def held_up(conn: Connection, stored: Stored, older_than: timedelta) -> Iterator[Finding]:
    """Yield the transactions for whose locks on the migration's tables a step would have to wait.

    :param older_than: how long a transaction must have been open to be named
    """
    yield from _transactions(conn, stored, older_than)
    yield from _prepared_transactions(conn, stored)


def _unfinished(conn: Connection, stored: Stored) -> Iterator[Finding]:
    name, spelled = stored.mapping.name, shlex.quote(stored.mapping.name)
    again = f"run `compat copy {spelled} --execute` first"
    if stored.phase != "copied" and not _is_empty(conn, stored):
        message = f"needs the phase copied; it is {stored.phase}"
        yield Finding("refusal", "copy", name, message, again)
    rejects = state.count_rejects(conn, name)
    if rejects:
        yield Finding(
            "refusal",
            "reject",
            name,
            f"{rejects:,} row{'s' * (rejects != 1)} could not be copied and would be missing",
            f"correct them, then `compat retry-rejects {spelled} --execute`",
        )
    for (index,) in conn.execute(
        "SELECT name FROM compat.deferred_index WHERE mapping = %s ORDER BY name", [name]
    ):
        yield Finding("refusal", "index", index, "is still to be built", again)


def _is_empty(conn: Connection, stored: Stored) -> bool:
    """Return whether the legacy table has no rows, or is not there at all."""
    table = stored.mapping.legacy
    if catalog.find_exact(conn, table.schema, table.name) is None:
        return True
    return not conn.execute(f"SELECT FROM {table.sql} LIMIT 1").rowcount


def _structure(conn: Connection, stored: Stored) -> Iterator[Finding]:
    name = stored.mapping.name
    for problem in health.problems(conn, stored):
        fix = f"put it right, or `compat unexpand {shlex.quote(name)} --execute` and begin again"
        yield Finding("refusal", "structure", name, problem, fix)


def _unverified(conn: Connection, stored: Stored, within: timedelta) -> Iterator[Finding]:
    if _is_empty(conn, stored):
        return
    runs = verifications.history(conn, stored.mapping.name)
    objection = verifications.objection(runs, stored.fingerprint, within)
    if objection is not None:
        fix = "run `compat-verify`, as a role that may write to the schema compat (or --unverified)"
        yield Finding("refusal", "verification", stored.mapping.name, objection, fix)


def _versions(conn: Connection, stored: Stored) -> Iterator[Finding]:
    found = list(versions.objections(conn, stored.mapping))
    for name, message, fix in found:
        yield Finding("refusal", "version", name, message, fix)
    if found:
        return
    for name, message in versions.other_forms(conn, stored.mapping):
        fix = "`compat plan` says what clients keep of the other form"
        yield Finding("warning", "version", name, message, fix)


def _dependents(conn: Connection, stored: Stored) -> Iterator[Finding]:
    mapping = stored.mapping
    if mapping.chosen_form == "reversed":
        return  # the table that they mean stays what it is
    relation = catalog.find_exact(conn, mapping.legacy.schema, mapping.legacy.name)
    if relation is None or relation.kind not in ("r", "p"):
        return  # said already, by _structure
    for item in dependents(conn, mapping, relation):
        if item.verdict != "fine":
            yield Finding(item.verdict, item.kind, item.name, item.what_happens, item.fix)


_TABLES = """
    WITH RECURSIVE tables(oid) AS (
        SELECT to_regclass(name) FROM unnest(%(names)s::text[]) AS name
        UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tables t ON i.inhparent = t.oid
    ), held AS (
        SELECT l.pid, l.virtualtransaction, string_agg(DISTINCT l.relation::regclass::text, ', ')
                   AS relations
        FROM pg_catalog.pg_locks l JOIN tables t ON l.relation = t.oid
        WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
          AND l.database = (SELECT oid FROM pg_catalog.pg_database
                            WHERE datname = current_database())
        GROUP BY l.pid, l.virtualtransaction
    )
"""


def _names(stored: Stored) -> dict[str, object]:
    mapping = stored.mapping
    tables = (table.sql for table in mapping.tables)
    return {"names": [stored.legacy_sql, stored.view_sql, *tables]}


def _transactions(conn: Connection, stored: Stored, older_than: timedelta) -> Iterator[Finding]:
    rows = conn.execute(
        f"{_TABLES} SELECT a.pid, a.usename, a.application_name, a.state, relations,"
        " date_trunc('second', clock_timestamp() - a.xact_start)"
        " FROM held h JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid"
        " WHERE a.xact_start IS NULL OR clock_timestamp() - a.xact_start >= %(age)s"
        " ORDER BY a.xact_start, a.pid",
        {**_names(stored), "age": older_than},
    ).fetchall()
    for pid, user, application, activity, relations, age in rows:
        who = f"pid {pid}"
        what = f"{user or 'background'}, {application or 'no name'}, {activity or 'state unknown'}"
        if age is None:  # of others' sessions, an ordinary role is not shown that
            yield Finding(
                "warning",
                "transaction",
                who,
                f"({what}) holds a lock on {relations}; since when is not shown to this role",
                "GRANT pg_read_all_stats to this role to see it",
            )
        else:
            yield Finding(
                "refusal",
                "transaction",
                who,
                f"({what}) has been open for {age} and holds a lock on {relations}",
                f"end it, SELECT pg_terminate_backend({pid}), or allow more with "
                "--max-transaction-age",
            )


def _prepared_transactions(conn: Connection, stored: Stored) -> Iterator[Finding]:
    rows = conn.execute(
        f"{_TABLES} SELECT p.gid, p.owner, h.relations,"
        " date_trunc('second', clock_timestamp() - p.prepared)"
        # It has no process, and the virtual number of the session that prepared it (-1 after a
        # restart); but it holds the lock on its own number.
        " FROM held h JOIN pg_catalog.pg_locks x ON x.virtualtransaction = h.virtualtransaction"
        "  AND x.locktype = 'transactionid' AND x.granted AND x.pid IS NULL"
        " JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid"
        " WHERE h.pid IS NULL ORDER BY p.prepared",
        _names(stored),
    ).fetchall()
    for gid, owner, relations, age in rows:
        yield Finding(
            "refusal",
            "prepared transaction",
            gid,
            f"({owner}) was prepared {age} ago and holds a lock on {relations} until it is ended",
            f"COMMIT PREPARED or ROLLBACK PREPARED {literal(gid)}",
        )
