"""A migration under way is changed: another mapping, another form; or it is put right again."""

from __future__ import annotations

from typing import get_args

import psycopg
import sqlalchemy as sa
from alembic.operations import MigrateOperation

from compat import state
from compat.compile import alter
from compat.compile import switch as compiled
from compat.compile.replace import Phase
from compat.errors import StateError
from compat.mapping import Mapping
from compat.names import regclass
from compat.operations.base import (
    CompatOperation,
    as_held,
    bound,
    driver_of,
    other_mapping,
    registered,
    stored,
)
from compat.run import switch, versions
from compat.run.retry import LockPolicy
from compat.run.steps import check_values


@registered("alter_mapping")
class AlterMappingOp(CompatOperation):
    """Make triggers, functions and view as another mapping of the same tables says.

    :param before: the mapping that the database holds
    :param mapping: the one that it holds then
    :param recopy: where the two convert rows differently, before the cutover: whether the target
        is emptied and the copy begun anew; False refuses that, unless the target is empty
    """

    def __init__(
        self,
        before: Mapping,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        recopy: bool = False,
    ) -> None:
        super().__init__(mapping, lock_timeout=lock_timeout, max_attempts=max_attempts)
        self.before = before
        self.recopy = recopy

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return AlterMappingOp(self.mapping, self.before, recopy=self.recopy, **self.patience)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """See CompatOperation.pending."""
        phase, fingerprint = stored(connection, self.mapping)
        if fingerprint == self.mapping.fingerprint:
            return None
        under_way = _under_way(self, phase)
        if fingerprint != self.before.fingerprint:
            raise other_mapping(self.before, fingerprint)
        changes = self._changes(connection, under_way)
        if not self.recopy and under_way != "cutover":
            self._require_no_rows(connection)
        return alter.alter(self.mapping, changes, under_way)

    def _changes(self, connection: sa.Connection, phase: Phase) -> tuple[alter.Change, ...]:
        """Return what is to be made anew in this database.

        :raises StateError: it cannot be; says why
        """
        driver = driver_of(connection)
        changes: tuple[alter.Change, ...] = (alter.Change(self.before, self.mapping),)
        reasons: tuple[str, ...] = ()
        if driver is not None:
            changes, reasons = versions.changes(driver, self.before, self.mapping)
        reasons += tuple(
            reason for change in changes for reason in alter.reasons_against(change, phase)
        )
        if reasons:
            raise StateError(
                f"alter_mapping of {self.mapping.name!r}, which is {phase}:\n  "
                + "\n  ".join(reasons),
                "take the migration back as far as it must be (downgrade), and change it there",
            )
        return changes

    def _require_no_rows(self, connection: sa.Connection) -> None:
        if not alter.converts_otherwise(self.before, self.mapping):
            return
        for table in alter.own_tables(self.mapping):
            if connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {bound(table.sql)})")):
                raise StateError(
                    f"{table.title} holds rows as the mapping before converts them",
                    "op.alter_mapping(…, recopy=True) empties it; `compat copy "
                    f"{self.mapping.name} --execute` fills it again",
                )

    def check(self, conn: psycopg.Connection) -> None:
        """Look, as create_sync does, for values that a client or the copy would be refused later.

        Not at the columns: in a downgrade, those that go with the mapping are there still.
        """
        if state.load(conn, self.mapping.name).phase in state.BEFORE_CUTOVER:
            check_values(conn, self.mapping)


@registered("switch_form")
class SwitchFormOp(CompatOperation):
    """Give a migration that was cut over another form, where no rows have to be copied for it.

    Else `compat switch` does it, and the revision finds it done.

    :param before: the mapping that the database holds
    :param mapping: the same in another form
    """

    def __init__(
        self,
        before: Mapping,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
    ) -> None:
        super().__init__(mapping, lock_timeout=lock_timeout, max_attempts=max_attempts)
        self.before = before

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back, where there is a way."""
        return SwitchFormOp(self.mapping, self.before, **self.patience)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """See CompatOperation.pending."""
        _, fingerprint = stored(connection, self.mapping)
        if fingerprint == self.mapping.fingerprint:
            return None
        if fingerprint != self.before.fingerprint:
            raise other_mapping(self.before, fingerprint)
        driver, form = driver_of(connection), self.mapping.chosen_form
        if driver is None:
            raise StateError(
                f"{self.operation} of {self.mapping.name!r} needs psycopg 3",
                f"run `compat switch {self.mapping.name} --to {form} --execute` first",
            )
        before, after = switch.switchable(driver, state.load(driver, self.mapping.name), form)
        way = compiled.way(before, after)
        if way is None or way.copied is None:
            return compiled.statements(before, after)
        held = before.legacy if before.chosen_form == "reversed" else before.target
        if connection.execute(sa.text(f"SELECT FROM {bound(held.sql)} LIMIT 1")).rowcount:
            raise StateError(
                f"{held.title} has rows, which a revision does not copy",
                f"run `compat switch {before.name} --to {form} --execute` first",
            )
        return [
            f"LOCK TABLE {held.sql} IN SHARE ROW EXCLUSIVE MODE",
            f"SELECT compat.require_empty({regclass(held.schema, held.name)})",
            *compiled.statements(before, after),
        ]


@registered("repair_compat_view")
class RepairCompatViewOp(CompatOperation):
    """Make triggers, functions and view anew as the mapping says, whatever they were edited to.

    It is its own reverse: what somebody's edit was is not known.

    :param found: what was found to be different, for `alembic check`
    """

    def __init__(
        self,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        found: tuple[str, ...] = (),
    ) -> None:
        super().__init__(mapping, lock_timeout=lock_timeout, max_attempts=max_attempts)
        self.found = found

    def reverse(self) -> MigrateOperation:
        """Return the operation itself."""
        return self

    def to_diff_tuple(self) -> tuple[str, ...]:
        """Return what `alembic check` prints."""
        return (*super().to_diff_tuple(), *self.found)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """See CompatOperation.pending."""
        phase, fingerprint = stored(connection, self.mapping)
        under_way = _under_way(self, phase)
        if fingerprint != self.mapping.fingerprint:
            raise other_mapping(self.mapping, fingerprint)
        return alter.repair(as_held(connection, self.mapping), under_way)


def _under_way(operation: CompatOperation, phase: str | None) -> Phase:
    """Return the phase of a migration whose view and functions are there.

    :raises StateError: they are not
    """
    for under_way in get_args(Phase):
        if phase == under_way:
            return under_way  # type: ignore[no-any-return]
    raise StateError(
        f"{operation.operation} of {operation.mapping.name!r}: it is "
        f"{phase or 'not in this database'}, so there is nothing to be changed",
        "leave the operation out of the revision",
    )
