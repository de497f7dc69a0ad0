"""The steps of a migration, there and back, and of a version without rows of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import psycopg
import sqlalchemy as sa
from alembic.operations import MigrateOperation

from compat import state
from compat.compile import publish, swap
from compat.errors import StateError
from compat.mapping import Mapping
from compat.operations.base import (
    CompatOperation,
    as_held,
    driver_of,
    other_mapping,
    registered,
    stored,
)
from compat.run import versions
from compat.run.preflight import CutoverRefused, Demands, preflight, refusals
from compat.run.retry import LockPolicy
from compat.run.steps import can_publish, check_tables, check_values
from compat.run.usage import StillUsed, Unused, observe

log = logging.getLogger("alembic.runtime.migration")

_BEFORE_CUTOVER = frozenset({"expanded", "copying", "copied"})
_AFTER_CUTOVER = frozenset({"cutover", "contracted"})


class Step(CompatOperation):
    """A step whose SQL follows from the mapping."""

    compile: ClassVar[Callable[..., list[str]]]
    done: ClassVar[frozenset[str | None]]
    """Phases in which the step has been done already; None stands for an unknown mapping.

    In all others the step runs, and its SQL refuses the phases from which it cannot start."""

    def statements(self) -> list[str]:
        """See CompatOperation.statements."""
        return type(self).compile(self.mapping)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """See CompatOperation.pending."""
        phase, fingerprint = stored(connection, self.mapping)
        if phase is not None and fingerprint != self.mapping.fingerprint:
            raise other_mapping(self.mapping, fingerprint)
        return None if self.is_done(connection, phase) else self.compiled(connection)

    def is_done(self, connection: sa.Connection, phase: str | None) -> bool:
        """Return whether the step has been done already."""
        return phase in self.done

    def compiled(self, connection: sa.Connection) -> list[str]:
        """Return the SQL of the step for this database, with all versions that it holds."""
        return type(self).compile(as_held(connection, self.mapping))


class _StepBeneath(Step):
    """A step that makes the views of older versions anew, over another table."""

    def compiled(self, connection: sa.Connection) -> list[str]:
        """See Step.compiled."""
        driver, mapping = driver_of(connection), as_held(connection, self.mapping)
        return type(self).compile(mapping, versions.beneath(driver, mapping) if driver else ())


@registered("create_sync")
class CreateSyncOp(Step):
    """Store the mapping; triggers carry legacy writes to the target from now on.

    Refuses what `compat expand` refuses: later, a row would fail in the hands of a client.
    """

    compile = staticmethod(swap.create_sync)
    done = _BEFORE_CUTOVER | _AFTER_CUTOVER
    begins = True

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return DropSyncOp(self.mapping, **self.patience)

    def check(self, conn: psycopg.Connection) -> None:
        """See CompatOperation.check."""
        check_tables(conn, self.mapping)
        versions.require_composable(conn, self.mapping)
        check_values(conn, self.mapping)


@registered("drop_sync")
class DropSyncOp(Step):
    """Stop the sync and forget the mapping; the target keeps its rows."""

    compile = staticmethod(swap.drop_sync)
    done = frozenset({None})

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return CreateSyncOp(self.mapping, **self.patience)


@registered("create_compat_view")
class CreateCompatViewOp(Step):
    """Make the view and its functions, under the standby name."""

    compile = staticmethod(swap.create_compat_view)
    begins = True

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return DropCompatViewOp(self.mapping, **self.patience)

    def is_done(self, connection: sa.Connection, phase: str | None) -> bool:
        """See Step.is_done."""
        return phase in _AFTER_CUTOVER or _stands_by(connection, self.mapping)


@registered("drop_compat_view")
class DropCompatViewOp(Step):
    """Drop the view under its standby name, and its functions."""

    compile = staticmethod(swap.drop_compat_view)

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return CreateCompatViewOp(self.mapping, **self.patience)

    def is_done(self, connection: sa.Connection, phase: str | None) -> bool:
        """See Step.is_done.

        :raises StateError: the view has taken the legacy name
        """
        if phase in _AFTER_CUTOVER:
            raise StateError(
                f"the view of {self.mapping.name!r} is in use: the migration is {phase}",
                f"take that back first (`compat status {self.mapping.name}`)",
            )
        return not _stands_by(connection, self.mapping)


def _stands_by(connection: sa.Connection, mapping: Mapping) -> bool:
    return connection.scalar(sa.select(sa.func.to_regclass(mapping.standby))) is not None


@registered("cutover")
class CutoverOp(_StepBeneath):
    """Put the view under the legacy name; the legacy table is retired and kept current.

    Refuses what `compat cutover` refuses; a verification is asked for only where you say so.

    :param verified_within: how old the last green `compat-verify` may be; a new database, which
        runs all revisions in one go, needs none
    """

    compile = staticmethod(swap.cutover)
    done = _AFTER_CUTOVER

    def __init__(
        self,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        verified_within: timedelta | None = None,
    ) -> None:
        super().__init__(mapping, lock_timeout=lock_timeout, max_attempts=max_attempts)
        self.verified_within = verified_within

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return UncutoverOp(self.mapping, **self.patience)

    def check(self, conn: psycopg.Connection) -> None:
        """See CompatOperation.check."""
        # Rolled back, so that the locks of its queries are gone before the step asks for its own.
        with conn.transaction(force_rollback=True):
            held = state.load(conn, self.mapping.name)
            findings = preflight(conn, held, Demands(self.verified_within))
        if refusals(findings):
            raise CutoverRefused(self.mapping.name, findings)
        for finding in findings:
            log.warning("%s", finding.text)


@registered("uncutover")
class UncutoverOp(_StepBeneath):
    """Put the legacy table back under its name, with everything that was written since."""

    compile = staticmethod(swap.uncutover)
    done = frozenset({None, *_BEFORE_CUTOVER})

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return CutoverOp(self.mapping, **self.patience)


@registered("contract")
class ContractOp(Step):
    """Remove view, reverse sync and the retired table; from here on only v2 is left.

    :param unused_for: how long nobody may have been seen to use the view, else it is refused; see
        `compat usage`
    """

    compile = staticmethod(swap.contract)
    done = frozenset({"contracted"})

    def __init__(
        self,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        unused_for: timedelta | None = None,
    ) -> None:
        super().__init__(mapping, lock_timeout=lock_timeout, max_attempts=max_attempts)
        self.unused_for = unused_for

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return UncontractOp(self.mapping, **self.patience)

    def check(self, conn: psycopg.Connection) -> None:
        """See CompatOperation.check."""
        if self.unused_for is None:
            return
        seen = observe(conn, self.mapping.name, Unused.watch)
        users = seen.within(self.unused_for)
        if users:
            raise StillUsed(seen, users)


@registered("uncontract")
class UncontractOp(Step):
    """Bring view and retired table back, filled from the target."""

    compile = staticmethod(swap.uncontract)
    done = frozenset({*_BEFORE_CUTOVER, "cutover"})

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return ContractOp(self.mapping, **self.patience)


@registered("publish")
class PublishOp(Step):
    """Make a view over the target under a name that no table has; see compat.compile.publish.

    Refuses what `compat publish` refuses.
    """

    compile = staticmethod(publish.publish)
    done = frozenset({"published"})
    begins = True

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return UnpublishOp(self.mapping, **self.patience)

    def check(self, conn: psycopg.Connection) -> None:
        """See CompatOperation.check."""
        can_publish(conn, self.mapping)


@registered("unpublish")
class UnpublishOp(Step):
    """Drop the view of a published version; the rows stay where they are."""

    compile = staticmethod(publish.unpublish)
    done = frozenset({None})

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return PublishOp(self.mapping, **self.patience)
