"""What all operations share: an operation knows its SQL, and what of it is left to be done.

Online, a step that the command line has done already is skipped, so that revisions and `compat`
can be used side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import psycopg
import sqlalchemy as sa
from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations

from compat import state
from compat.errors import StateError
from compat.mapping import Mapping
from compat.run.retry import LockPolicy

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


class CompatOperation(MigrateOperation):
    """One step of a migration as an Alembic operation.

    :param mapping: the mapping; the same value in every revision of a migration
    :param lock_timeout: milliseconds that a statement may wait for a lock before the step gives
        way and is tried again
    :param max_attempts: how often it is tried before the revision fails and can be run again
    """

    operation: ClassVar[str]
    """Its name: `op.<name>(…)`."""
    begins: ClassVar[bool] = False
    """Whether a migration may begin with it, so that a script (--sql) needs the schema compat."""

    def __init__(
        self,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
    ) -> None:
        self.mapping = mapping
        self.lock_timeout = lock_timeout
        self.max_attempts = max_attempts

    @property
    def patience(self) -> dict[str, Any]:
        """How it waits for locks, as arguments of another operation."""
        return {"lock_timeout": self.lock_timeout, "max_attempts": self.max_attempts}

    def to_diff_tuple(self) -> tuple[str, ...]:
        """Return what `alembic check` prints."""
        return (self.operation, self.mapping.name)

    def statements(self) -> list[str]:
        """Return the SQL of the step for a script (--sql); here, refuse.

        :raises StateError: the SQL depends on what the database holds
        """
        raise StateError(
            f"{self.operation} of {self.mapping.name!r} looks up how far the migration is, "
            "which a script (--sql) cannot",
            "run this revision online",
        )

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """Return the SQL that there is left to do on this database; None when all is done.

        :raises StateError: the database holds another mapping, or is in a phase that forbids it
        """
        raise NotImplementedError

    def check(self, conn: psycopg.Connection) -> None:
        """Look, before the step, for what stands against it; not offline, nor with other drivers.

        :raises CompatError: something does
        """


AnyOperation = TypeVar("AnyOperation", bound=type[CompatOperation])


def registered(name: str) -> Callable[[AnyOperation], AnyOperation]:
    """Make an operation `op.<name>(…)`, with the arguments of its constructor."""

    def register(operation: AnyOperation) -> AnyOperation:
        def invoke(
            cls: type[CompatOperation], operations: Operations, *arguments: Any, **options: Any
        ) -> None:
            operations.invoke(cls(*arguments, **options))

        invoke.__name__ = name  # Alembic looks it up by this
        invoke.__doc__ = operation.__doc__
        setattr(operation, name, classmethod(invoke))
        operation.operation = name
        Operations.register_operation(name)(operation)
        return operation

    return register


@renderers.dispatch_for(CompatOperation)
def _render(context: AutogenContext, operation: CompatOperation) -> str:
    from compat.autogenerate.render import render_operation  # which imports this module

    return render_operation(context, operation)


# What the database holds of a mapping -----------------------------------------------------------


def driver_of(connection: sa.Connection) -> psycopg.Connection | None:
    """Return the connection of the driver beneath, if that is psycopg."""
    driver = connection.connection.driver_connection
    return driver if isinstance(driver, psycopg.Connection) else None


def as_held(connection: sa.Connection, mapping: Mapping) -> Mapping:
    """Return a mapping, composed with the later versions that it reads through by now."""
    driver = driver_of(connection)
    held = () if driver is None else state.load_all(driver)
    return next((item.mapping for item in held if item.stated == mapping), mapping)


def stored(connection: sa.Connection, mapping: Mapping) -> tuple[str | None, str]:
    """Return phase and fingerprint of the mapping of that name in the database."""
    row = connection.execute(
        sa.text("SELECT phase, fingerprint FROM compat.mapping WHERE name = :name"),
        {"name": mapping.name},
    ).first()
    return (None, "") if row is None else (row.phase, row.fingerprint)


def other_mapping(mapping: Mapping, fingerprint: str) -> StateError:
    """Return the refusal of a mapping of which the database holds another version."""
    return StateError(
        f"the mapping {mapping.name!r} in this revision is not the one that the database "
        f"holds (fingerprints {mapping.fingerprint[:12]} and {fingerprint[:12]})",
        "a mapping must not be edited after its expand: restore it, and let a revision change it "
        "(op.alter_mapping); or downgrade first",
    )


def bound(sql: str) -> str:
    """Return SQL for sa.text(), which takes `:name` for a parameter."""
    return sql.replace(":", "\\:")
