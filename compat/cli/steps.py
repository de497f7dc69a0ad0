"""The short steps: `compat expand`, `unexpand`, `cutover`, `rollback`, `contract`.

Each is one transaction; without --execute it is only printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compat.cli.app import (
    AsJson,
    Execute,
    LockTimeout,
    MaxAttempts,
    Name,
    Source,
    Url,
    app,
    find_mapping,
    say_retry,
)
from compat.connection import Connection, connect, user_errors
from compat.console import out, print_json, reporting_errors
from compat.run import steps
from compat.run.retry import LockPolicy


@app.command()
def expand(
    mapping: Source,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Store a mapping, start the sync of new writes, and make the view under a standby name.

    For projects without Alembic; with it, a revision calls op.create_sync and
    op.create_compat_view.

    Example: `compat expand mapping.py --execute`
    """
    with reporting_errors(), user_errors(), connect(url, purpose="expand") as conn:
        value = find_mapping(conn, mapping)
        if not execute:
            to_do = steps.can_expand(conn, value)
            statements = tuple(steps.statements("expand", value)) if to_do else ()
            _would(Preview("expand", value.name, statements), as_json)
            return
        policy = LockPolicy(lock_timeout, max_attempts)
        _done(steps.expand(conn, value, policy, say_retry), as_json)


@app.command()
def unexpand(
    name: Name, execute: Execute = False, as_json: AsJson = False, url: Url = None
) -> None:
    """Take an expand back: stop the sync, drop the standby view, forget the mapping.

    Example: `compat unexpand order_line_items --execute`
    """
    _short_step("unexpand", steps.unexpand, name, url, LockPolicy() if execute else None, as_json)


@app.command()
def cutover(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Put the view under the legacy name, in one short transaction.

    Example: `compat cutover order_line_items --execute`
    """
    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("cutover", steps.cutover, name, url, policy if execute else None, as_json)


@app.command()
def rollback(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Put the legacy table back under its name, with all that was written since.

    Example: `compat rollback order_line_items --execute`
    """
    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("rollback", steps.rollback, name, url, policy if execute else None, as_json)


@app.command()
def contract(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = LockPolicy.timeout_ms,
    max_attempts: MaxAttempts = LockPolicy.max_attempts,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Drop the view, the sync and the retired table: the end of the migration.

    Example: `compat contract order_line_items --execute`
    """
    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("contract", steps.contract, name, url, policy if execute else None, as_json)


@dataclass(frozen=True)
class Preview:
    """What a step would run: nothing when it was done already."""

    step: str
    mapping: str
    statements: tuple[str, ...]


def _short_step(
    step: steps.Step,
    run: Callable[[Connection, str, LockPolicy, steps.OnRetry], steps.Outcome],
    name: str,
    url: str | None,
    policy: LockPolicy | None,
    as_json: bool,
) -> None:
    """Run a step under a policy, or say what it would do when there is none."""
    with reporting_errors(), user_errors(), connect(url, purpose=step) as conn:
        if policy is None:
            _would(_preview(conn, step, name), as_json)
        else:
            _done(run(conn, name, policy, say_retry), as_json)


def _preview(conn: Connection, step: steps.Step, name: str) -> Preview:
    value = steps.startable(conn, step, name)
    return Preview(step, name, () if value is None else tuple(steps.statements(step, value)))


def _would(preview: Preview, as_json: bool) -> None:
    if as_json:
        print_json(preview)
    elif not preview.statements:
        out.print(f"{preview.mapping}: {preview.step} was done already", markup=False)
    else:
        out.print(f"would {preview.step} {preview.mapping}, in one transaction:\n", markup=False)
        for statement in preview.statements:
            out.print(statement + ";", markup=False)
        out.print("\nnothing was changed; add --execute to do it")


def _done(outcome: steps.Outcome, as_json: bool) -> None:
    if as_json:
        print_json(outcome)
    elif not outcome.changed:
        out.print(f"{outcome.mapping}: {outcome.step} was done already", markup=False)
    else:
        tries = "" if outcome.attempts == 1 else f" in {outcome.attempts} attempts"
        out.print(
            f"{outcome.mapping}: {outcome.step} done in {outcome.seconds * 1000:.0f} ms{tries}",
            markup=False,
        )
