"""The policy for locks and retries: the only place that decides what is tried again, and how often.

A step that needs a strong lock waits for it briefly and then gives way, since whoever comes after
a waiting lock request queues behind it; the whole transaction is tried again after a random pause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg
from psycopg import errors
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from compat.connection import Connection
from compat.errors import StateError
from compat.log import event
from compat.run import defaults

T = TypeVar("T")

RETRYABLE: Final = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


@dataclass(frozen=True)
class LockPolicy:
    """How long a transaction may wait for a lock, and how often it is tried.

    :param timeout_ms: below PostgreSQL's deadlock_timeout (1 s), so that a deadlock with a client
        is always ended by us and never by an error for the client
    :param pause_s: upper bound of the first random pause; it doubles up to `longest_pause_s`
    """

    timeout_ms: int = defaults.LOCK_TIMEOUT_MS
    max_attempts: int = defaults.MAX_ATTEMPTS
    pause_s: float = 0.05
    longest_pause_s: float = 1.0


def again(
    attempt: Callable[[], T],
    policy: LockPolicy,
    is_retryable: Callable[[BaseException], bool],
    what: str,
    on_retry: Callable[[int, str], None] = lambda attempt, reason: None,
) -> T:
    """Call `attempt`, and again after a random pause while it raises what may be retried.

    :param what: names the work in the log
    :raises BaseException: whatever the last attempt raised
    """

    def note(state: RetryCallState) -> None:
        reason = _reason(state.outcome.exception() if state.outcome else None)
        pause = round(state.upcoming_sleep, 3)
        event("retry", work=what, attempt=state.attempt_number, reason=reason, pause=pause)
        on_retry(state.attempt_number, reason)

    retrying = Retrying(
        retry=retry_if_exception(is_retryable),
        stop=stop_after_attempt(policy.max_attempts),
        wait=wait_random_exponential(multiplier=policy.pause_s, max=policy.longest_pause_s),
        before_sleep=note,
        reraise=True,
    )
    return retrying(attempt)


def in_transaction(
    conn: Connection,
    work: Callable[[Connection], T],
    policy: LockPolicy,
    what: str,
    on_retry: Callable[[int, str], None] = lambda attempt, reason: None,
) -> T:
    """Run `work` in one transaction under lock_timeout, and again while it meets locks.

    :param what: names the step in the error
    :param on_retry: told the number of the failed attempt and the reason
    :raises StateError: every attempt met a lock; names who held it
    """

    def attempt() -> T:
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", [f"{policy.timeout_ms}ms"])
            return work(conn)

    try:
        return again(attempt, policy, _is_retryable, what, on_retry)
    except RETRYABLE as error:
        raise StateError(
            f"{what} met locks in all of {policy.max_attempts} attempts: {_reason(error)}"
            f"{open_transactions(conn)}",
            "end the long transactions, or give more attempts (--max-attempts) or more time for "
            "each (--lock-timeout)",
        ) from error


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, RETRYABLE)


def _reason(error: BaseException | None) -> str:
    if isinstance(error, psycopg.Error):
        return error.diag.message_primary or type(error).__name__
    return str(error)


def open_transactions(conn: Connection) -> str:
    """Return a few lines about the oldest open transactions, which usually hold the locks."""
    rows = conn.execute(
        "SELECT pid, usename, application_name, state,"
        " date_trunc('second', clock_timestamp() - xact_start)::text"
        " FROM pg_catalog.pg_stat_activity"
        " WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()"
        " ORDER BY xact_start LIMIT 3"
    ).fetchall()
    return "".join(
        f"\n  open since {age}: pid {pid}, {user or 'background'}"
        f" ({application or 'no name'}, {state})"
        for pid, user, application, state, age in rows
    )
