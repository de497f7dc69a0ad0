"""Expand, cutover, rollback and contract: the short steps, each one transaction.

All can be repeated: a step that has been done already says so and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psycopg

from compat import catalog, state
from compat.compile import swap
from compat.connection import Connection
from compat.errors import CatalogError, DataError, StateError
from compat.mapping import Mapping
from compat.run.retry import LockPolicy, in_transaction
from compat.tables import Table

OnRetry = Callable[[int, str], None]


@dataclass(frozen=True)
class Outcome:
    """What a step did: `changed` is False when there was nothing left to do."""

    step: str
    mapping: str
    changed: bool
    seconds: float
    attempts: int = 1


def execute(conn: Connection, statements: Iterable[str]) -> None:
    """Run compiled statements as they are, inside the caller's transaction."""
    for statement in statements:
        conn.execute(statement)


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
    started = time.monotonic()
    state.lock(conn, mapping.name)
    existing = next((s for s in state.load_all(conn) if s.mapping.name == mapping.name), None)
    if existing is not None:
        if existing.mapping == mapping:
            return Outcome("expand", mapping.name, False, time.monotonic() - started)
        raise StateError(
            f"a different mapping called {mapping.name!r} is {existing.phase} in this database",
            "use another name, or take that migration back first (compat status)",
        )
    check_tables(conn, mapping)

    def work(conn: Connection) -> None:
        state.ensure_installed(conn)
        check_values(conn, mapping)  # before any lock: it reads the whole table
        execute(conn, swap.create_sync(mapping))
        execute(conn, swap.create_compat_view(mapping))

    return _run(conn, "expand", mapping.name, work, policy=policy, on_retry=on_retry)


def unexpand(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Stop the sync, drop the standby view and forget the mapping; the target keeps its rows."""
    state.lock(conn, name)
    mapping = _stored(conn, name, "unexpand", "expanded", "copying", "copied").mapping

    def work(conn: Connection) -> None:
        execute(conn, swap.drop_compat_view(mapping))
        execute(conn, swap.drop_sync(mapping))

    return _run(conn, "unexpand", name, work, policy=policy, on_retry=on_retry)


def cutover(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Put the view under the legacy name; the legacy table is retired and kept current.

    :raises StateError: the copy is not finished, or locks could not be had
    """
    state.lock(conn, name)
    stored = state.load(conn, name)
    if stored.phase == "cutover":
        return Outcome("cutover", name, False, 0.0)
    mapping = stored.mapping
    if stored.phase == "contracted":
        raise StateError(f"{name!r} is contracted: the legacy table is gone")
    work = _executing(swap.cutover(mapping))
    return _run(conn, "cutover", name, work, policy=policy, on_retry=on_retry)


def rollback(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Put the legacy table back under its name, with everything that was written since."""
    state.lock(conn, name)
    stored = state.load(conn, name)
    if stored.phase in ("expanded", "copying", "copied"):
        return Outcome("rollback", name, False, 0.0)
    work = _executing(swap.uncutover(_stored(conn, name, "rollback", "cutover").mapping))
    return _run(conn, "rollback", name, work, policy=policy, on_retry=on_retry)


def contract(
    conn: Connection,
    name: str,
    policy: LockPolicy | None = None,
    on_retry: OnRetry = lambda attempt, reason: None,
) -> Outcome:
    """Remove view, reverse sync and the retired table; from here on only v2 is left.

    :raises StateError: something that is not ours depends on them
    """
    state.lock(conn, name)
    stored = state.load(conn, name)
    if stored.phase == "contracted":
        return Outcome("contract", name, False, 0.0)
    work = _executing(swap.contract(_stored(conn, name, "contract", "cutover").mapping))
    try:
        return _run(conn, "contract", name, work, policy=policy, on_retry=on_retry)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise StateError(
            f"{error.diag.message_primary}:\n  {error.diag.message_detail}",
            "move these to the v2 table or drop them, then contract again",
        ) from error


def check_tables(conn: Connection, mapping: Mapping) -> None:
    """Compare the mapping's two tables with what the database holds.

    :raises CatalogError: names the table, the column and what differs
    """
    for table in (mapping.legacy, mapping.target):
        relation = catalog.find_exact(conn, table.schema, table.name)
        if relation is None or relation.kind not in ("r", "p"):
            is_view = relation is not None and relation.kind == "v"
            raise CatalogError(
                f"no such table: {table.title}" + (" (it is a view)" if is_view else ""),
                "create it first (the target comes from a revision of yours), or correct the "
                "mapping",
            )
        differences = list(_differences(table, catalog.reflect(conn, relation)))
        if differences:
            raise CatalogError(
                f"{table.title} is not what the mapping describes:\n  " + "\n  ".join(differences),
                "draft the mapping again, or put the table right",
            )


def check_values(conn: Connection, mapping: Mapping) -> None:
    """Look for values in the legacy table that the mapping refuses.

    :raises DataError: names the column, the values and how many rows hold them
    """
    from compat.compile import copy as compiled

    lines = []
    for column, query in compiled.refused(mapping):
        found = conn.execute(query).fetchall()
        if found:
            values = ", ".join(f"{value!r} ({count} rows)" for value, count in found)
            lines.append(f"{mapping.legacy.title}.{column}: no counterpart for {values}")
    if lines:
        raise DataError(
            "the legacy table holds values that the mapping cannot carry over:\n  "
            + "\n  ".join(lines),
            "add them to the mapping, keep them in a side column (keep=…), or correct the rows",
        )


def _executing(statements: list[str]) -> Callable[[Connection], None]:
    return lambda conn: execute(conn, statements)


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


def _stored(conn: Connection, name: str, step: str, *phases: state.Phase) -> state.Stored:
    stored = state.load(conn, name)
    if stored.phase not in phases:
        raise StateError(
            f"{step} of {name!r} needs the phase {' or '.join(phases)}; it is {stored.phase}",
            f"`compat status {name}` tells the next step",
        )
    return stored


def _run(
    conn: Connection,
    step: str,
    name: str,
    work: Callable[[Connection], None],
    *,
    policy: LockPolicy | None,
    on_retry: OnRetry,
) -> Outcome:
    started, attempts = time.monotonic(), [1]

    def note(attempt: int, reason: str) -> None:
        attempts[0] = attempt + 1
        on_retry(attempt, reason)

    try:
        in_transaction(conn, work, policy or LockPolicy(), f"{step} of {name!r}", note)
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise StateError(
            error.diag.message_primary or str(error), error.diag.message_hint
        ) from error
    return Outcome(step, name, True, time.monotonic() - started, attempts[0])
