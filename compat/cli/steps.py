"""The short steps: `compat expand`, `unexpand`, `cutover`, `rollback`, `contract`.

Each is one transaction; without --execute it is only printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from compat.cli.app import (
    AsJson,
    Execute,
    LockTimeout,
    MaxAttempts,
    Name,
    Source,
    Url,
    app,
    connected,
    duration,
    find_mapping,
    say_retry,
)
from compat.console import DOES_NOT_HOLD, out, print_json
from compat.run import defaults

if TYPE_CHECKING:
    from compat.connection import Connection
    from compat.run import steps
    from compat.run.preflight import Finding
    from compat.run.retry import LockPolicy
    from compat.run.usage import Use
    from compat.state import Stored


@app.command()
def expand(
    mapping: Source,
    execute: Execute = False,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Store a mapping, start the sync of new writes, and make the view under a standby name.

    For projects without Alembic; with it, a revision calls op.create_sync and
    op.create_compat_view.

    Example: `compat expand mapping.py --execute`
    """
    from compat.run import steps
    from compat.run.retry import LockPolicy

    with connected(url, "expand") as conn:
        value = find_mapping(conn, mapping)
        if not execute:
            to_do = steps.can_expand(conn, value)
            statements = tuple(steps.statements(conn, "expand", value)) if to_do else ()
            _would(Preview("expand", value.name, statements), as_json)
            return
        policy = LockPolicy(lock_timeout, max_attempts)
        _done(steps.expand(conn, value, policy, say_retry), as_json)


@app.command()
def unexpand(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Take an expand back: stop the sync, drop the standby view, forget the mapping.

    Example: `compat unexpand order_line_items --execute`
    """
    from compat.run import steps
    from compat.run.retry import LockPolicy

    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("unexpand", steps.unexpand, name, url, policy if execute else None, as_json)


@app.command()
def publish(
    mapping: Source,
    execute: Execute = False,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make a further version of a table: a view under a new name, which takes writes as well.

    The mapping's legacy table is the version; there is no such table. Nothing is copied.

    Example: `compat publish urgent_tasks.py --execute`
    """
    from compat.run import steps
    from compat.run.retry import LockPolicy

    with connected(url, "publish") as conn:
        value = find_mapping(conn, mapping)
        if not execute:
            to_do = steps.can_publish(conn, value)
            statements = tuple(steps.statements(conn, "publish", value)) if to_do else ()
            _would(Preview("publish", value.name, statements), as_json)
            return
        policy = LockPolicy(lock_timeout, max_attempts)
        _done(steps.publish(conn, value, policy, say_retry), as_json)


@app.command()
def unpublish(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Drop the view of a published version; the rows stay where they are.

    Example: `compat unpublish urgent_tasks --execute`
    """
    from compat.run import steps
    from compat.run.retry import LockPolicy

    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("unpublish", steps.unpublish, name, url, policy if execute else None, as_json)


@app.command()
def cutover(
    name: Name,
    execute: Execute = False,
    verified_within: Annotated[
        timedelta,
        typer.Option(
            parser=duration,
            metavar="TIME",
            show_default="24h",
            help="How old the last green compat-verify may be.",
        ),
    ] = defaults.VERIFIED_WITHIN,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Insist, though it was not verified.")
    ] = False,
    max_transaction_age: Annotated[
        timedelta,
        typer.Option(
            parser=duration,
            metavar="TIME",
            show_default="30s",
            help="How long a transaction with a lock on the tables may have been open.",
        ),
    ] = defaults.MAX_TRANSACTION_AGE,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Put the view under the legacy name, in one short transaction.

    Refuses with a list of everything that stands against it, which the dry run shows too (exit
    code 1).

    Example: `compat cutover order_line_items --verified-within 2h --execute`
    """
    from compat.run import steps
    from compat.run.preflight import CutoverRefused, Demands, preflight
    from compat.run.retry import LockPolicy

    demands = Demands(None if unverified else verified_within, max_transaction_age)
    policy = LockPolicy(lock_timeout, max_attempts)
    with connected(url, "cutover") as conn:
        if not execute:
            stored = steps.startable(conn, "cutover", name)
            findings = preflight(conn, stored, demands) if stored else ()
            _would(replace(_preview(conn, "cutover", name, stored), findings=findings), as_json)
            return
        try:
            _done(steps.cutover(conn, name, policy, say_retry, demands), as_json)
        except CutoverRefused as refused:
            if as_json:
                print_json(Preview("cutover", name, (), refused.findings))
            raise


@app.command()
def rollback(
    name: Name,
    execute: Execute = False,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Put the legacy table back under its name, with all that was written since.

    Example: `compat rollback order_line_items --execute`
    """
    from compat.run import steps
    from compat.run.retry import LockPolicy

    policy = LockPolicy(lock_timeout, max_attempts)
    _short_step("rollback", steps.rollback, name, url, policy if execute else None, as_json)


@app.command()
def contract(
    name: Name,
    execute: Execute = False,
    unused_for: Annotated[
        timedelta,
        typer.Option(
            parser=duration,
            metavar="TIME",
            show_default="24h",
            help="How long nobody may have been seen to use the view.",
        ),
    ] = defaults.UNUSED_FOR,
    watch: Annotated[
        timedelta,
        typer.Option(
            parser=duration, metavar="TIME", show_default="2s", help="How long to look now."
        ),
    ] = defaults.WATCH,
    force: Annotated[
        bool, typer.Option("--force", help="Insist; says who was seen, and may break.")
    ] = False,
    lock_timeout: LockTimeout = defaults.LOCK_TIMEOUT_MS,
    max_attempts: MaxAttempts = defaults.MAX_ATTEMPTS,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Drop the view, the sync and the retired table: the end of the migration.

    Refuses while somebody uses the view, as far as there is evidence; see `compat usage`.

    Example: `compat contract order_line_items --execute`
    """
    from compat.run import steps
    from compat.run.retry import LockPolicy
    from compat.run.usage import StillUsed, Unused, observe

    unused = Unused(unused_for, watch, force)
    policy = LockPolicy(lock_timeout, max_attempts)
    with connected(url, "contract") as conn:
        if not execute:
            preview = _preview(conn, "contract", name, steps.startable(conn, "contract", name))
            if preview.statements:
                usage = observe(conn, name, watch, remember=False)
                preview = replace(preview, users=usage.within(unused_for), notes=usage.notes)
            _would(preview, as_json)
            return
        try:
            _done(steps.contract(conn, name, policy, say_retry, unused), as_json)
        except StillUsed as refused:
            if as_json:
                print_json(Preview("contract", name, (), (), refused.users, refused.notes))
            raise


@dataclass(frozen=True)
class Preview:
    """What a step would run: nothing when it was done already, or is refused.

    :param findings: what stands against a cutover
    :param users: who was seen to use a view that is to go
    :param notes: how far the evidence for that reaches
    """

    step: str
    mapping: str
    statements: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    users: tuple[Use, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        """True when the step would refuse."""
        from compat.run.preflight import refusals

        return bool(refusals(self.findings) or self.users)


def _short_step(
    step: steps.Step,
    run: Callable[[Connection, str, LockPolicy, steps.OnRetry], steps.Outcome],
    name: str,
    url: str | None,
    policy: LockPolicy | None,
    as_json: bool,
) -> None:
    """Run a step under a policy, or say what it would do when there is none."""
    from compat.run import steps

    with connected(url, step) as conn:
        if policy is None:
            _would(_preview(conn, step, name, steps.startable(conn, step, name)), as_json)
        else:
            _done(run(conn, name, policy, say_retry), as_json)


def _preview(conn: Connection, step: steps.Step, name: str, stored: Stored | None) -> Preview:
    from compat.run import steps

    statements = () if stored is None else tuple(steps.statements(conn, step, stored.mapping))
    return Preview(step, name, statements)


def _would(preview: Preview, as_json: bool) -> None:
    if as_json:
        print_json(preview)
    elif not preview.statements:
        out.print(f"{preview.mapping}: {preview.step} was done already", markup=False)
    else:
        out.print(f"would {preview.step} {preview.mapping}, in one transaction:\n", markup=False)
        for statement in preview.statements:
            out.print(statement + ";", markup=False)
        _print_against(preview)
        out.print("\nnothing was changed; add --execute to do it")
    if preview.is_refused:
        raise SystemExit(DOES_NOT_HOLD)


def _print_against(preview: Preview) -> None:
    for finding in preview.findings:
        style = "bold red" if finding.severity == "refusal" else "yellow"
        out.print(f"\n[{style}]{finding.severity}:[/] {escape(finding.text)}")
        out.print(f"  fix: {finding.fix}", markup=False)
    if preview.users:
        out.print("\n[bold red]refusal:[/] the view is still used:")
    for use in preview.users:
        out.print(f"  {use.text}", markup=False)
    for note in preview.notes:
        out.print(f"note: {note}", markup=False)


def _done(outcome: steps.Outcome, as_json: bool) -> None:
    if as_json:
        print_json(outcome)
        return
    if not outcome.changed:
        out.print(f"{outcome.mapping}: {outcome.step} was done already", markup=False)
    else:
        tries = "" if outcome.attempts == 1 else f" in {outcome.attempts} attempts"
        out.print(
            f"{outcome.mapping}: {outcome.step} done in {outcome.seconds * 1000:.0f} ms{tries}",
            markup=False,
        )
    for note in outcome.notes:
        out.print(f"  note: {note}", markup=False)
