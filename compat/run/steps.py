"""Expand, cutover, rollback and contract: the short steps, each one transaction.

All can be repeated: a step that has been done already says so and changes nothing.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import psycopg

from compat import catalog, state
from compat.bridge import bridge_of, is_bridge
from compat.compile import copy as compiled
from compat.compile import publish as published
from compat.compile import swap
from compat.connection import Connection
from compat.errors import CatalogError, CompatError, DataError, StateError
from compat.log import event
from compat.mapping import Mapping
from compat.names import ident
from compat.run import indexes, usage, versions
from compat.run.identities import check_identities
from compat.run.preflight import CutoverRefused, Demands, preflight, refusals
from compat.run.retry import LockPolicy, in_transaction
from compat.tables import Table

OnRetry = Callable[[int, str], None]
Step = Literal["unexpand", "cutover", "rollback", "contract", "unpublish"]
"""The steps of a migration that the database knows, by its name."""
AnyStep = Step | Literal["expand", "publish"]

_BEFORE_CUTOVER: tuple[state.Phase, ...] = ("expanded", "copying", "copied")
_FROM: dict[Step, tuple[state.Phase, ...]] = {
    "unexpand": _BEFORE_CUTOVER,
    "cutover": _BEFORE_CUTOVER,
    "rollback": ("cutover",),
    "contract": ("cutover",),
    "unpublish": ("published",),
}
_DONE: dict[Step, tuple[state.Phase, ...]] = {
    "unexpand": (),
    "cutover": ("cutover",),
    "rollback": _BEFORE_CUTOVER,
    "contract": ("contracted",),
    "unpublish": (),
}


@dataclass(frozen=True)
class Outcome:
    """What a step did: `changed` is False when there was nothing left to do.

    :param held: seconds from the first lock on a table to the end of the transaction
    :param notes: what one should know, though it did not stop the step
    """

    step: str
    mapping: str
    changed: bool
    seconds: float
    attempts: int = 1
    held: float = 0.0
    notes: tuple[str, ...] = ()


def expand(
    conn: Connection,
    mapping: Mapping,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Store the mapping, start the sync legacy → target, and make the view under its standby name.

    :raises CatalogError: a table is missing or differs from the mapping's
    :raises StateError: another mapping of that name, or the target is not empty
    :raises DataError: the legacy table holds values that the mapping refuses
    """
    with _refusals_logged("expand", mapping.name):
        state.lock(conn, mapping.name)
        if not can_expand(conn, mapping):
            return _skipped("expand", mapping.name)

    return _run(conn, "expand", mapping, policy, on_retry)


def unexpand(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Stop the sync, drop the standby view and forget the mapping; the target keeps its rows."""

    def restore(stored: state.Stored) -> None:
        if stored.mapping.chosen_form != "reversed":  # whose indexes go
            indexes.build(conn, stored.mapping)  # concurrently, so not in the step's transaction

    return _step(conn, "unexpand", name, policy, on_retry, check=restore)


def publish(
    conn: Connection,
    mapping: Mapping,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Make a view over the target, under a name that no table has; no rows are copied or moved.

    :raises CatalogError: the target is missing or differs, or the name is taken
    :raises StateError: another mapping of that name
    """
    with _refusals_logged("publish", mapping.name):
        state.lock(conn, mapping.name)
        if not can_publish(conn, mapping):
            return _skipped("publish", mapping.name)
    return _run(conn, "publish", mapping, policy, on_retry)


def unpublish(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Drop the view of a published version; the rows stay where they are."""
    return _step(conn, "unpublish", name, policy, on_retry)


def cutover(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
    demands: Demands | None = None,
) -> Outcome:
    """Put the view under the legacy name; the legacy table is retired and kept current.

    :raises CutoverRefused: something would break, or was demanded and is not there
    :raises StateError: the migration is in another phase, or locks could not be had
    """

    notes: tuple[str, ...] = ()

    def check(stored: state.Stored) -> None:
        nonlocal notes
        findings = preflight(conn, stored, demands or Demands())
        if refusals(findings):
            raise CutoverRefused(name, findings)
        notes = tuple(finding.text for finding in findings)

    outcome = _step(conn, "cutover", name, policy, on_retry, check=check)
    if outcome.changed:
        usage.begin(conn, name)
    return replace(outcome, notes=notes)


def rollback(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Put the legacy table back under its name, with everything that was written since."""
    return _step(conn, "rollback", name, policy, on_retry)


def contract(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
    unused: usage.Unused | None = None,
) -> Outcome:
    """Remove view, reverse sync and the retired table; from here on only v2 is left.

    :param unused: how it is made sure that nobody uses the view any more; None does not look
    :raises StillUsed: somebody does
    :raises StateError: something that is not ours depends on them
    """

    notes: tuple[str, ...] = ()

    def check(stored: state.Stored) -> None:
        nonlocal notes
        if unused is not None:
            notes = _require_unused(conn, stored, unused)
        _validate_twins(conn, name, policy)

    try:
        outcome = _step(conn, "contract", name, policy, on_retry, check=check)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise StateError(
            f"{error.diag.message_primary}:\n  {error.diag.message_detail}",
            "move these to the v2 table or drop them, then contract again",
        ) from error
    return replace(outcome, notes=notes)


def _require_unused(
    conn: Connection, stored: state.Stored, unused: usage.Unused
) -> tuple[str, ...]:
    """Return what there is to say of those who use the view.

    :raises StillUsed: somebody does, and nobody insists
    """
    seen = usage.observe_stored(conn, stored, unused.watch)
    users = seen.within(unused.for_)
    if users and not unused.insist:
        raise usage.StillUsed(seen, users)
    return (*(f"may break: {use.text}" for use in users), *seen.notes)


def _validate_twins(conn: Connection, name: str, policy: LockPolicy | None) -> None:
    """Read through the referencing tables while nobody is locked out; the contract need not then.

    :raises StateError: locks could not be had
    """
    for table, twin in conn.execute(
        "SELECT referencing::text, twin_name::text FROM compat.foreign_key_twins(%s)", [name]
    ).fetchall():
        statement = f"ALTER TABLE {table} VALIDATE CONSTRAINT {ident(twin)}"
        in_transaction(
            conn,
            partial(_execute_one, statement=statement),
            policy or LockPolicy(),
            f"validating {twin} of {table}",
        )


def _execute_one(conn: Connection, statement: str) -> None:
    conn.execute(statement)


def can_expand(conn: Connection, mapping: Mapping) -> bool:
    """Return whether an expand is to be done; False when it was done already. Changes nothing.

    :raises CompatError: it would be refused
    """
    if _is_known(conn, mapping):
        return False
    check_tables(conn, mapping)
    versions.require_composable(conn, mapping)
    with state.installed_for_now(conn):
        check_values(conn, mapping)
    return True


def can_publish(conn: Connection, mapping: Mapping) -> bool:
    """Return whether a version is to be published; False when it was already. Changes nothing.

    :raises CompatError: it would be refused
    """
    if _is_known(conn, mapping):
        return False
    check_view(mapping)
    taken = catalog.find_exact(conn, mapping.legacy.schema, mapping.legacy.name)
    if taken is not None:
        raise _name_taken(mapping.legacy, taken)
    for table in mapping.tables:
        check_table(conn, table)
    check_identities(conn, mapping)
    return True


def _name_taken(table: Table, taken: catalog.Relation) -> CatalogError:
    if taken.kind == "v":
        # Whose definition would be lost, and come back with no unpublish.
        return CatalogError(
            f"{table.title} is a view already, which a published version does not replace",
            f"ALTER VIEW {table.sql} RENAME TO …, or drop it, then publish again; what is made of "
            "it goes on reading the one that was renamed",
        )
    return CatalogError(
        f"{table.title} is there already",
        "a published version is a new view; to put a view in a table's place, "
        "`compat expand` the mapping",
    )


def _is_known(conn: Connection, mapping: Mapping) -> bool:
    existing = next((s for s in state.load_all(conn) if s.stated.name == mapping.name), None)
    if existing is None:
        return False
    if existing.stated == mapping:
        return True
    raise StateError(
        f"a different mapping called {mapping.name!r} is {existing.phase} in this database",
        "use another name, or take that migration back first (compat status)",
    )


def startable(conn: Connection, step: Step, name: str) -> state.Stored | None:
    """Return the migration when a step is to be done, None when it was done already.

    :raises StateError: the migration is not in a phase from which the step can start
    """
    stored = state.load(conn, name)
    phase = stored.phase
    if phase in _DONE[step]:
        return None
    if stored.switching is not None:
        raise StateError(
            f"{name!r} is being switched to {stored.switching}",
            f"`compat switch {shlex.quote(name)} --to {stored.switching} --execute` goes on; "
            f"--to {stored.mapping.chosen_form} takes that back",
        )
    if phase not in _FROM[step]:
        raise StateError(
            f"{step} of {name!r} needs the phase {' or '.join(_FROM[step])}; it is {phase}",
            f"`compat status {shlex.quote(name)}` tells the next step",
        )
    return stored


def statements(conn: Connection, step: AnyStep, mapping: Mapping) -> list[str]:
    """Return the SQL of a step in this database.

    :raises MappingError: a version beneath cannot be composed with the mapping
    """
    older = versions.beneath(conn, mapping) if step in ("cutover", "rollback") else ()
    return {
        "expand": lambda: swap.create_sync(mapping) + swap.create_compat_view(mapping),
        "unexpand": lambda: swap.drop_compat_view(mapping) + swap.drop_sync(mapping),
        "cutover": lambda: swap.cutover(mapping, older),
        "rollback": lambda: swap.uncutover(mapping, older),
        "contract": lambda: swap.contract(mapping),
        "publish": lambda: published.publish(mapping),
        "unpublish": lambda: published.unpublish(mapping),
    }[step]()


def check_view(mapping: Mapping) -> None:
    """Look whether a view can stand for the legacy table, as all steps but a move need it.

    :raises StateError: it cannot; says why
    """
    reasons = mapping.reasons_against_view
    if reasons:
        raise StateError(
            f"the mapping {mapping.name!r} is for a move to another database, not for a view at "
            "the legacy name:\n  " + "\n  ".join(reasons),
            f"`compat move {shlex.quote(mapping.name)} --source URL --target URL`, or change the "
            "mapping",
        )


def check_tables(conn: Connection, mapping: Mapping) -> None:
    """Compare the mapping's tables with what the database holds.

    :raises StateError: the mapping is for a move to another database
    :raises CatalogError: names the table, the column and what differs
    """
    check_view(mapping)
    for table in (mapping.legacy, *mapping.tables):
        check_table(conn, _with_bridge(conn, mapping, table))
    check_identities(conn, mapping)


def _with_bridge(conn: Connection, mapping: Mapping, table: Table) -> Table:
    """Return a table of the mapping with the bridge, if it carries it at the moment."""
    if not is_bridge(mapping) or table is not bridge_of(mapping).base:
        return table
    bridge = bridge_of(mapping)
    carries = conn.execute(
        "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s",
        [table.sql, bridge.marker.name],
    )
    return bridge.carrier if carries.rowcount else table


def check_table(conn: Connection, table: Table) -> catalog.Relation:
    """Compare one table with what the database holds, and return where it is.

    :raises CatalogError: names the table, the column and what differs
    """
    relation = catalog.find_exact(conn, table.schema, table.name)
    if relation is None or relation.kind not in ("r", "p"):
        is_view = relation is not None and relation.kind == "v"
        raise CatalogError(
            f"no such table: {table.title}" + (" (it is a view)" if is_view else ""),
            "create it first (the target comes from a revision of yours), or correct the mapping",
        )
    differences = list(_differences(table, catalog.reflect(conn, relation)))
    if differences:
        raise CatalogError(
            f"{table.title} is not what the mapping describes:\n  " + "\n  ".join(differences),
            "draft the mapping again, or put the table right",
        )
    return relation


def check_values(conn: Connection, mapping: Mapping) -> None:
    """Look for values in the legacy table that the mapping refuses.

    :raises DataError: names the column, the values and how many rows hold them
    """
    refusal = _attempt(conn, mapping)
    if refusal is None:
        return
    lines = []
    for column, query in compiled.refused(mapping):
        found = conn.execute(query).fetchall()
        if found:
            values = ", ".join(
                f"{value!r} ({count} row{'s' * (count != 1)})" for value, count in found
            )
            lines.append(f"{mapping.legacy.title}.{column}: no counterpart for {values}")
    if mapping.choices and (homeless := conn.execute(compiled.homeless(mapping)).fetchall()):
        rows = "; ".join(
            ", ".join(f"{n} = {v}" for n, v in zip(mapping.legacy.row_key, key, strict=True))
            for (key,) in homeless
        )
        raise DataError(
            f"no table of the mapping {mapping.name!r} takes some rows of {mapping.legacy.title}, "
            f"the first with {rows}",
            "widen a choice or the remainder, leave the remainder out (it takes what no choice "
            "takes), or correct the rows",
        )
    raise DataError(
        "the legacy table holds values that the mapping cannot carry over:\n  "
        + "\n  ".join(lines or [refusal]),
        "add them to the mapping, keep them in a side column (keep=…), or correct the rows",
    )


def _attempt(conn: Connection, mapping: Mapping) -> str | None:
    """Convert every row without storing it; return what PostgreSQL refuses first, or None.

    Much cheaper than asking of each value whether it could be converted.
    """
    query, lacking = compiled.attempt(mapping)
    try:
        with conn.transaction():
            row = conn.execute(query).fetchone()
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        return error.diag.message_primary or str(error)
    assert row is not None
    for complaint, rows in zip(lacking, row, strict=False):
        if rows:
            return f"{rows} rows {complaint}"
    return None


def _differences(described: Table, actual: Table) -> Iterable[str]:
    for column in described.columns:
        found = actual.column(column.name)
        if found is None:
            yield f"column {column.name!r} is missing"
        elif found.type != column.type:
            yield f"column {column.name!r} is {found.type}, the mapping says {column.type}"
        elif found.nullable != column.nullable:
            yield f"column {column.name!r} is {'' if found.nullable else 'NOT '}NULL here"
    described_names = set(described.column_names)
    for name in actual.column_names:
        if name not in described_names:
            yield f"column {name!r} is not in the mapping"


def _step(
    conn: Connection,
    step: Step,
    name: str,
    policy: LockPolicy | None,
    on_retry: OnRetry,
    *,
    check: Callable[[state.Stored], None] = lambda stored: None,
) -> Outcome:
    """Do a step that the database knows by name, unless it was done already.

    :param check: raises what stands against it
    """
    with _refusals_logged(step, name):
        state.lock(conn, name)
        stored = startable(conn, step, name)
        if stored is None:
            return _skipped(step, name)
        check(stored)
    return _run(conn, step, stored.mapping, policy, on_retry)


def _skipped(step: str, name: str) -> Outcome:
    event("step.skipped", mapping=name, step=step)
    return Outcome(step, name, False, 0.0)


@contextmanager
def _refusals_logged(step: str, name: str) -> Iterator[None]:
    try:
        yield
    except CompatError as error:
        event("step.refused", logging.WARNING, mapping=name, step=step, reason=error.message)
        raise


def _run(
    conn: Connection,
    step: AnyStep,
    mapping: Mapping,
    policy: LockPolicy | None,
    on_retry: OnRetry,
) -> Outcome:
    name, started, attempts, locked = mapping.name, time.monotonic(), 1, 0.0
    compiled = statements(conn, step, mapping)

    def note(attempt: int, reason: str) -> None:
        nonlocal attempts
        attempts = attempt + 1
        on_retry(attempt, reason)

    def work(conn: Connection) -> None:
        nonlocal locked
        if step in ("expand", "publish"):
            state.ensure_installed(conn)
        locked = 0.0
        for statement in compiled:
            asked = time.monotonic()
            conn.execute(statement)
            if statement.startswith("LOCK TABLE"):
                now = time.monotonic()
                locked = locked or now
                waited = round(now - asked, 4)
                event("lock", mapping=name, step=step, attempt=attempts, seconds=waited)

    event("step.start", mapping=name, step=step)
    try:
        in_transaction(conn, work, policy or LockPolicy(), f"{step} of {name!r}", note)
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        reason = error.diag.message_primary or str(error)
        event("step.refused", logging.WARNING, mapping=name, step=step, reason=reason)
        raise StateError(reason, error.diag.message_hint) from error
    except (CompatError, psycopg.Error) as error:
        event("step.failed", logging.ERROR, mapping=name, step=step, reason=type(error).__name__)
        raise
    ended = time.monotonic()
    held = ended - locked if locked else 0.0
    outcome = Outcome(step, name, True, ended - started, attempts, held)
    event(
        "step.end",
        mapping=name,
        step=step,
        attempts=attempts,
        seconds=round(outcome.seconds, 4),
        held=round(held, 4),
    )
    return outcome
