"""Alembic operations: op.create_sync, op.create_compat_view, op.cutover, op.contract, and reverses.

They emit the statements of compat.compile, online and with --sql. Online, a step that the command
line has done already is skipped, so that revisions and `compat` can be used side by side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import ClassVar

import psycopg
import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError

from compat import state
from compat.compile import swap
from compat.compile.install import install, installed
from compat.errors import CompatError, StateError
from compat.mapping import Mapping
from compat.run.preflight import CutoverRefused, Demands, preflight, refusals
from compat.run.retry import RETRYABLE, LockPolicy, again, open_transactions
from compat.run.steps import check_tables, check_values, check_view
from compat.run.usage import StillUsed, Unused, observe

log = logging.getLogger("alembic.runtime.migration")

Compiler = Callable[[Mapping], list[str]]


class CompatOperation(MigrateOperation):
    """One step of a migration as an Alembic operation.

    :param mapping: the mapping; the same value in every revision of a migration
    :param lock_timeout: milliseconds that a statement may wait for a lock before the step gives
        way and is tried again
    :param max_attempts: how often it is tried before the revision fails and can be run again
    """

    operation: ClassVar[str]
    reverse_class: ClassVar[type[CompatOperation]]
    compile: ClassVar[Compiler]
    done: ClassVar[frozenset[str | None]]
    """Phases in which the step has been done already; None stands for an unknown mapping.

    In all others the step runs, and its SQL refuses the phases from which it cannot start."""
    makes_view: ClassVar[bool | None] = None
    """True when the step makes the standby view, False when it drops it."""

    def __init__(
        self,
        mapping: Mapping,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
    ) -> None:
        self.mapping = mapping
        self.lock_timeout = lock_timeout
        self.max_attempts = max_attempts

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return self.reverse_class(self.mapping, self.lock_timeout, self.max_attempts)

    def to_diff_tuple(self) -> tuple[str, str]:
        """Return what `alembic check` prints."""
        return (self.operation, self.mapping.name)

    def statements(self) -> list[str]:
        """Return the SQL of the step."""
        return type(self).compile(self.mapping)

    def check(self, conn: psycopg.Connection) -> None:
        """Look, before the step, for what stands against it; not offline, nor with other drivers.

        :raises CompatError: something does
        """


class _CreateSync(CompatOperation):
    """Refuses what `compat expand` refuses: later, a row would fail in the hands of a client."""

    def check(self, conn: psycopg.Connection) -> None:
        check_tables(conn, self.mapping)
        check_values(conn, self.mapping)


class _Cutover(CompatOperation):
    """Refuses what `compat cutover` refuses; a verification only where it is asked for.

    :param verified_within: how old the last green `compat-verify` may be; a new database, which
        runs all revisions in one go, needs none
    """

    def __init__(
        self,
        mapping: Mapping,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        verified_within: timedelta | None = None,
    ) -> None:
        super().__init__(mapping, lock_timeout, max_attempts)
        self.verified_within = verified_within

    def check(self, conn: psycopg.Connection) -> None:
        # Rolled back, so that the locks of its queries are gone before the step asks for its own.
        with conn.transaction(force_rollback=True):
            stored = state.load(conn, self.mapping.name)
            findings = preflight(conn, stored, Demands(self.verified_within))
        if refusals(findings):
            raise CutoverRefused(self.mapping.name, findings)
        for finding in findings:
            log.warning("%s", finding.text)


class _Contract(CompatOperation):
    """Refuses while the view is used, where that is asked for.

    :param unused_for: how long nobody may have been seen to use it; see `compat usage`
    """

    def __init__(
        self,
        mapping: Mapping,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        unused_for: timedelta | None = None,
    ) -> None:
        super().__init__(mapping, lock_timeout, max_attempts)
        self.unused_for = unused_for

    def check(self, conn: psycopg.Connection) -> None:
        if self.unused_for is None:
            return
        seen = observe(conn, self.mapping.name, Unused.watch)
        users = seen.within(self.unused_for)
        if users:
            raise StillUsed(seen, users)


def _register(
    name: str, compile: Compiler, *done: str | None, base: type[CompatOperation] = CompatOperation
) -> type[CompatOperation]:
    """Make `op.<name>(mapping)` and return its class."""

    def invoke(
        cls: type[CompatOperation],
        /,
        operations: Operations,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        **demands: timedelta | None,
    ) -> None:
        operations.invoke(cls(mapping, lock_timeout, max_attempts, **demands))

    invoke.__name__ = name  # register_operation() looks it up by this
    invoke.__doc__ = f"Run the step `{name}` of a mapping; see compat.compile.swap.{name}."
    members = {
        "operation": name,
        "compile": staticmethod(compile),
        "done": frozenset(done),
        "__doc__": f"op.{name}(mapping): see compat.compile.swap.{name}.",
        name: classmethod(invoke),
    }
    words = "".join(word.capitalize() for word in name.split("_"))
    created = type(f"{words}Op", (base,), members)
    Operations.register_operation(name)(created)
    Operations.implementation_for(created)(_execute)
    return created


def _execute(operations: Operations, operation: CompatOperation) -> None:
    """Emit the statements of a step, unless the database says that it has been done."""
    try:
        check_view(operation.mapping)
    except StateError as error:
        raise CommandError(str(error)) from error
    statements = operation.statements()
    if operations.get_context().as_sql:
        if operation.operation in ("create_sync", "create_compat_view"):
            _emit(operations, install())
        _emit(operations, _under_lock_timeout(statements, operation.lock_timeout))
        return
    connection = operations.get_bind()
    policy = LockPolicy(operation.lock_timeout, operation.max_attempts)

    def attempt() -> None:
        # Giving the savepoint up gives up its locks: others get through before the next attempt.
        with connection.begin_nested():
            _emit(operations, _under_lock_timeout(statements, operation.lock_timeout))

    try:
        _require_transaction(connection, operation)
        if connection.execute(sa.text(installed())).first() is None:
            _emit(operations, install())
        _lock(connection, operation.mapping)
        if not _is_pending(connection, operation):
            log.info("%s of %s was done already", operation.operation, operation.mapping.name)
            return
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
            operation.check(driver)
        what = f"{operation.operation} of {operation.mapping.name!r}"
        again(
            attempt, policy, _is_retryable, what, lambda n, why: log.info("attempt %d: %s", n, why)
        )
    except CompatError as error:
        raise CommandError(str(error)) from error
    except sa.exc.DBAPIError as error:
        raise _explained(error, operation, connection) from error


def _under_lock_timeout(statements: list[str], milliseconds: int) -> list[str]:
    # Afterwards the value is what it was, which is the default's only where nobody has set it.
    return [
        "SELECT set_config('compat.lock_timeout', current_setting('lock_timeout'), true)",
        f"SET LOCAL lock_timeout = '{milliseconds}ms'",
        *statements,
        "SELECT set_config('lock_timeout', current_setting('compat.lock_timeout'), true)",
    ]


def _require_transaction(connection: sa.Connection, operation: CompatOperation) -> None:
    driver = connection.connection.driver_connection
    if getattr(driver, "autocommit", False):
        raise StateError(
            f"{operation.operation} of {operation.mapping.name!r} must be one transaction, and "
            "this connection commits each statement by itself",
            "call it outside of autocommit_block(), on a connection that is not in AUTOCOMMIT",
        )


def _lock(connection: sa.Connection, mapping: Mapping) -> None:
    """Keep the command line out until the revision's transaction ends.

    :raises StateError: a command is at work
    """
    key = sa.func.hashtextextended(state.LOCK_PREFIX + mapping.name, 0)
    if not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(key))):
        raise state.busy(mapping.name)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, sa.exc.DBAPIError) and isinstance(error.orig, RETRYABLE)


def _explained(
    error: sa.exc.DBAPIError, operation: CompatOperation, connection: sa.Connection
) -> Exception:
    """Return what Alembic prints as one message for a refusal that the user can act on."""
    diag = error.orig.diag if isinstance(error.orig, psycopg.Error) else None
    if diag is None or diag.message_primary is None:
        return error
    lines = [f"{operation.operation} of {operation.mapping.name!r}: {diag.message_primary}"]
    lines += [f"  {diag.message_detail}"] * bool(diag.message_detail)
    hint = diag.message_hint
    if _is_retryable(error):
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
            lines[0] += open_transactions(driver)
        hint = "somebody holds a lock for long; run the revision again, or end that transaction"
    lines += [f"  fix: {hint}"] * bool(hint)
    return CommandError("\n".join(lines))


def _is_pending(connection: sa.Connection, operation: CompatOperation) -> bool:
    mapping = operation.mapping
    row = connection.execute(
        sa.text("SELECT phase, fingerprint FROM compat.mapping WHERE name = :name"),
        {"name": mapping.name},
    ).first()
    if row is not None and row.fingerprint != mapping.fingerprint:
        raise StateError(
            f"the mapping {mapping.name!r} in this revision is not the one that the database "
            f"holds (fingerprints {mapping.fingerprint[:12]} and {row.fingerprint[:12]})",
            "a mapping must not be edited after its expand; restore it, or downgrade first",
        )
    phase = None if row is None else row.phase
    if operation.makes_view is None:
        return phase not in operation.done
    if phase in _AFTER_CUTOVER:
        if not operation.makes_view:
            raise StateError(
                f"the view of {mapping.name!r} is in use: the migration is {phase}",
                f"take that back first (`compat status {mapping.name}`)",
            )
        return False
    is_there = connection.scalar(sa.select(sa.func.to_regclass(mapping.standby))) is not None
    return is_there is not operation.makes_view


def _emit(operations: Operations, statements: Iterable[str]) -> None:
    for statement in statements:
        # DDL() formats its text with %; anything else would take `:name` in a body for a bind.
        operations.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]


_BEFORE_CUTOVER = ("expanded", "copying", "copied")
_AFTER_CUTOVER = ("cutover", "contracted")

CreateSyncOp = _register(
    "create_sync", swap.create_sync, *_BEFORE_CUTOVER, *_AFTER_CUTOVER, base=_CreateSync
)
DropSyncOp = _register("drop_sync", swap.drop_sync, None)
CreateCompatViewOp = _register("create_compat_view", swap.create_compat_view)
DropCompatViewOp = _register("drop_compat_view", swap.drop_compat_view)
CutoverOp = _register("cutover", swap.cutover, *_AFTER_CUTOVER, base=_Cutover)
UncutoverOp = _register("uncutover", swap.uncutover, None, *_BEFORE_CUTOVER)
ContractOp = _register("contract", swap.contract, "contracted", base=_Contract)
UncontractOp = _register("uncontract", swap.uncontract, *_BEFORE_CUTOVER, "cutover")

CreateCompatViewOp.makes_view, DropCompatViewOp.makes_view = True, False

for _forward, _backward in (
    (CreateSyncOp, DropSyncOp),
    (CreateCompatViewOp, DropCompatViewOp),
    (CutoverOp, UncutoverOp),
    (ContractOp, UncontractOp),
):
    _forward.reverse_class, _backward.reverse_class = _backward, _forward
