"""How an operation is carried out: printed for a script, or run with retries and lock timeouts."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import psycopg
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError

from compat import state
from compat.compile.install import install, installed
from compat.errors import CompatError, StateError
from compat.mapping import Mapping
from compat.operations.base import CompatOperation, driver_of
from compat.run.retry import RETRYABLE, LockPolicy, again, open_transactions
from compat.run.steps import check_view

log = logging.getLogger("alembic.runtime.migration")


@Operations.implementation_for(CompatOperation)
def execute(operations: Operations, operation: CompatOperation) -> None:
    """Emit the statements of a step, unless the database says that it has been done.

    :raises CommandError: the step cannot be done; says why, and what to do
    """
    try:
        check_view(operation.mapping)
        if operations.get_context().as_sql:
            _print(operations, operation)
        else:
            _run(operations, operation)
    except CompatError as error:
        raise CommandError(str(error)) from error


def _print(operations: Operations, operation: CompatOperation) -> None:
    """Emit a step for a script (--sql), which cannot know what the database holds."""
    statements = operation.statements()
    if operation.begins:
        _emit(operations, install())
    _emit(operations, _under_lock_timeout(statements, operation.lock_timeout))


def _run(operations: Operations, operation: CompatOperation) -> None:
    connection = operations.get_bind()
    policy = LockPolicy(operation.lock_timeout, operation.max_attempts)
    try:
        _require_transaction(connection, operation)
        if connection.execute(sa.text(installed())).first() is None:
            _emit(operations, install())
        _lock(connection, operation.mapping)
        statements = operation.pending(connection)
        if statements is None:
            log.info("%s of %s was done already", operation.operation, operation.mapping.name)
            return
        driver = driver_of(connection)
        if driver is not None:
            operation.check(driver)
        emitted = _under_lock_timeout(statements, operation.lock_timeout)

        def attempt() -> None:
            # Giving the savepoint up gives up its locks: others get through before the next one.
            with connection.begin_nested():
                _emit(operations, emitted)

        what = f"{operation.operation} of {operation.mapping.name!r}"
        again(
            attempt, policy, _is_retryable, what, lambda n, why: log.info("attempt %d: %s", n, why)
        )
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
        driver = driver_of(connection)
        lines[0] += open_transactions(driver) if driver is not None else ""
        hint = "somebody holds a lock for long; run the revision again, or end that transaction"
    lines += [f"  fix: {hint}"] * bool(hint)
    return CommandError("\n".join(lines))


def _emit(operations: Operations, statements: Iterable[str]) -> None:
    for statement in statements:
        # DDL() formats its text with %; anything else would take `:name` in a body for a bind.
        operations.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]
