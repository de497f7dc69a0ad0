"""Alembic operations: op.create_sync, op.create_compat_view, op.cutover, op.contract, and reverses;
op.alter_mapping, op.switch_form and op.repair_compat_view.

They emit the statements of compat.compile, online and with --sql. Online, a step that the command
line has done already is skipped, so that revisions and `compat` can be used side by side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, get_args

import psycopg
import sqlalchemy as sa
from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError

from compat import state
from compat.compile import alter, publish, swap
from compat.compile.install import install, installed
from compat.compile.replace import Phase
from compat.errors import CompatError, StateError
from compat.mapping import Mapping
from compat.names import regclass
from compat.run import switch, versions
from compat.run.preflight import CutoverRefused, Demands, preflight, refusals
from compat.run.retry import RETRYABLE, LockPolicy, again, open_transactions
from compat.run.steps import can_publish, check_tables, check_values, check_view
from compat.run.usage import StillUsed, Unused, observe

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

log = logging.getLogger("alembic.runtime.migration")

Compiler = Callable[..., list[str]]


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

    def to_diff_tuple(self) -> tuple[str, ...]:
        """Return what `alembic check` prints."""
        return (self.operation, self.mapping.name)

    def statements(self) -> list[str]:
        """Return the SQL of the step."""
        return type(self).compile(self.mapping)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """Return the SQL that there is left to do on this database; None when all is done.

        :raises StateError: the database holds another mapping, or is in a phase that forbids it
        """
        return self.compiled(connection) if _is_pending(connection, self) else None

    def compiled(self, connection: sa.Connection) -> list[str]:
        """Return the SQL of the step for this database, with all versions that it holds."""
        return type(self).compile(_as_held(connection, self.mapping))

    def check(self, conn: psycopg.Connection) -> None:
        """Look, before the step, for what stands against it; not offline, nor with other drivers.

        :raises CompatError: something does
        """


class _PutsBeneath(CompatOperation):
    """Makes the views of older versions anew, over another table."""

    def compiled(self, connection: sa.Connection) -> list[str]:
        """See CompatOperation.compiled."""
        driver, mapping = _driver(connection), _as_held(connection, self.mapping)
        return type(self).compile(mapping, versions.beneath(driver, mapping) if driver else ())


@renderers.dispatch_for(CompatOperation)
def _render(context: AutogenContext, operation: CompatOperation) -> str:
    from compat.autogenerate.render import render_operation  # which imports this module

    return render_operation(context, operation)


class _CreateSync(CompatOperation):
    """Refuses what `compat expand` refuses: later, a row would fail in the hands of a client."""

    def check(self, conn: psycopg.Connection) -> None:
        check_tables(conn, self.mapping)
        versions.require_composable(conn, self.mapping)
        check_values(conn, self.mapping)


class _Publish(CompatOperation):
    """Refuses what `compat publish` refuses."""

    def check(self, conn: psycopg.Connection) -> None:
        can_publish(conn, self.mapping)


class _Cutover(_PutsBeneath):
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


@Operations.register_operation("alter_mapping")
class AlterMappingOp(CompatOperation):
    """Makes triggers, functions and view as another mapping of the same two tables says.

    :param before: the mapping that the database holds
    :param mapping: the one that it holds then
    :param recopy: where the two convert rows differently, before the cutover: whether the target
        is emptied and the copy begun anew; False refuses that, unless the target is empty
    """

    operation = "alter_mapping"

    def __init__(
        self,
        before: Mapping,
        mapping: Mapping,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        recopy: bool = False,
    ) -> None:
        super().__init__(mapping, lock_timeout, max_attempts)
        self.before = before
        self.recopy = recopy

    @classmethod
    def alter_mapping(
        cls,
        operations: Operations,
        before: Mapping,
        mapping: Mapping,
        *,
        recopy: bool = False,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
    ) -> None:
        """Change a mapping while its migration is under way; see compat.compile.alter."""
        operations.invoke(cls(before, mapping, lock_timeout, max_attempts, recopy))

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back."""
        return AlterMappingOp(
            self.mapping, self.before, self.lock_timeout, self.max_attempts, self.recopy
        )

    def statements(self) -> list[str]:
        """Refuse: the SQL depends on the phase.

        :raises StateError: always
        """
        raise _needs_database(self)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """See CompatOperation.pending."""
        phase, fingerprint = _stored(connection, self.mapping)
        if fingerprint == self.mapping.fingerprint:
            return None
        under_way = _under_way(self, phase)
        if fingerprint != self.before.fingerprint:
            raise _other_mapping(self.before, fingerprint)
        reasons = list(alter.reasons_against(self.before, self.mapping, under_way))
        if above := _as_held(connection, self.before).through:
            reasons.append(f"it reads through {', '.join(above)} by now")
        if _as_held(connection, self.before) != self.before:
            reasons.append("a later version is in place of its target, through which it reads")
        if reasons:
            raise StateError(
                f"alter_mapping of {self.mapping.name!r}, which is {phase}:\n  "
                + "\n  ".join(reasons),
                "take the migration back as far as it must be (downgrade), and change it there",
            )
        if not self.recopy and under_way != "cutover":
            self._require_no_rows(connection)
        return alter.alter(self.before, self.mapping, under_way)

    def _require_no_rows(self, connection: sa.Connection) -> None:
        target = self.mapping.target
        if not alter.converts_otherwise(self.before, self.mapping):
            return
        if connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {_bound(target.sql)})")):
            raise StateError(
                f"{target.title} holds rows as the mapping before converts them",
                "op.alter_mapping(…, recopy=True) empties it; `compat copy "
                f"{self.mapping.name} --execute` fills it again",
            )

    def check(self, conn: psycopg.Connection) -> None:
        """Look, as create_sync does, for values that a client or the copy would be refused later.

        Not at the columns: in a downgrade, those that go with the mapping are there still.
        """
        if state.load(conn, self.mapping.name).phase in state.BEFORE_CUTOVER:
            check_values(conn, self.mapping)


@Operations.register_operation("switch_form")
class SwitchFormOp(CompatOperation):
    """Gives a migration that was cut over another form, where no rows have to be copied for it.

    Else `compat switch` does it, and the revision finds it done.

    :param before: the mapping that the database holds
    :param mapping: the same in another form
    """

    operation = "switch_form"

    def __init__(
        self,
        before: Mapping,
        mapping: Mapping,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
    ) -> None:
        super().__init__(mapping, lock_timeout, max_attempts)
        self.before = before

    @classmethod
    def switch_form(
        cls,
        operations: Operations,
        before: Mapping,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
    ) -> None:
        """Give a migration another form; see compat.compile.switch."""
        operations.invoke(cls(before, mapping, lock_timeout, max_attempts))

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes this one back, where there is a way."""
        return SwitchFormOp(self.mapping, self.before, self.lock_timeout, self.max_attempts)

    def statements(self) -> list[str]:
        """Refuse: the SQL depends on the rows that there are.

        :raises StateError: always
        """
        raise _needs_database(self)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """See CompatOperation.pending."""
        _, fingerprint = _stored(connection, self.mapping)
        if fingerprint == self.mapping.fingerprint:
            return None
        if fingerprint != self.before.fingerprint:
            raise _other_mapping(self.before, fingerprint)
        driver, form = _driver(connection), self.mapping.chosen_form
        if driver is None:
            raise StateError(
                f"{self.operation} of {self.mapping.name!r} needs psycopg 3",
                f"run `compat switch {self.mapping.name} --to {form} --execute` first",
            )
        before, after = switch.switchable(driver, state.load(driver, self.mapping.name), form)
        rows = connection.execute(sa.text(f"SELECT FROM {_bound(before.legacy.sql)} LIMIT 1"))
        if before.chosen_form == "reversed" and rows.rowcount:
            raise StateError(
                f"{before.legacy.title} has rows, which a revision does not copy",
                f"run `compat switch {before.name} --to {form} --execute` first",
            )
        legacy = before.legacy
        still_empty = [
            f"LOCK TABLE {legacy.sql} IN SHARE ROW EXCLUSIVE MODE",
            f"SELECT compat.require_empty({regclass(legacy.schema, legacy.name)})",
        ]
        return [
            *(still_empty if before.chosen_form == "reversed" else []),
            *switch.statements(before, after),
        ]


@Operations.register_operation("repair_compat_view")
class RepairCompatViewOp(CompatOperation):
    """Makes triggers, functions and view anew as the mapping says, whatever they were edited to.

    It is its own reverse: what somebody's edit was is not known.

    :param found: what was found to be different, for `alembic check`
    """

    operation = "repair_compat_view"

    def __init__(
        self,
        mapping: Mapping,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
        found: tuple[str, ...] = (),
    ) -> None:
        super().__init__(mapping, lock_timeout, max_attempts)
        self.found = found

    @classmethod
    def repair_compat_view(
        cls,
        operations: Operations,
        mapping: Mapping,
        *,
        lock_timeout: int = LockPolicy.timeout_ms,
        max_attempts: int = LockPolicy.max_attempts,
    ) -> None:
        """Make view, triggers and functions as the mapping says; see compat.compile.alter."""
        operations.invoke(cls(mapping, lock_timeout, max_attempts))

    def reverse(self) -> MigrateOperation:
        """Return the operation itself."""
        return self

    def to_diff_tuple(self) -> tuple[str, ...]:
        """Return what `alembic check` prints."""
        return (*super().to_diff_tuple(), *self.found)

    def statements(self) -> list[str]:
        """Refuse: the SQL depends on the phase.

        :raises StateError: always
        """
        raise _needs_database(self)

    def pending(self, connection: sa.Connection) -> list[str] | None:
        """See CompatOperation.pending."""
        phase, fingerprint = _stored(connection, self.mapping)
        under_way = _under_way(self, phase)
        if fingerprint != self.mapping.fingerprint:
            raise _other_mapping(self.mapping, fingerprint)
        return alter.repair(_as_held(connection, self.mapping), under_way)


def _driver(connection: sa.Connection) -> psycopg.Connection | None:
    driver = connection.connection.driver_connection
    return driver if isinstance(driver, psycopg.Connection) else None


def _as_held(connection: sa.Connection, mapping: Mapping) -> Mapping:
    """Return a mapping, composed with the later versions that it reads through by now."""
    driver = _driver(connection)
    held = () if driver is None else state.load_all(driver)
    return next((item.mapping for item in held if item.stated == mapping), mapping)


def _needs_database(operation: CompatOperation) -> StateError:
    return StateError(
        f"{operation.operation} of {operation.mapping.name!r} looks up how far the migration is, "
        "which a script (--sql) cannot",
        "run this revision online",
    )


def _stored(connection: sa.Connection, mapping: Mapping) -> tuple[str | None, str]:
    """Return phase and fingerprint of the mapping of that name in the database."""
    row = connection.execute(
        sa.text("SELECT phase, fingerprint FROM compat.mapping WHERE name = :name"),
        {"name": mapping.name},
    ).first()
    return (None, "") if row is None else (row.phase, row.fingerprint)


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


def _other_mapping(mapping: Mapping, fingerprint: str) -> StateError:
    return StateError(
        f"the mapping {mapping.name!r} in this revision is not the one that the database "
        f"holds (fingerprints {mapping.fingerprint[:12]} and {fingerprint[:12]})",
        "a mapping must not be edited after its expand: restore it, and let a revision change it "
        "(op.alter_mapping); or downgrade first",
    )


def _bound(sql: str) -> str:
    """Return SQL for sa.text(), which takes `:name` for a parameter."""
    return sql.replace(":", "\\:")


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
    where = f"{compile.__module__}.{compile.__name__}"
    invoke.__doc__ = f"Run the step `{name}` of a mapping; see {where}."
    members = {
        "operation": name,
        "compile": staticmethod(compile),
        "done": frozenset(done),
        "__doc__": f"op.{name}(mapping): see {where}.",
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
        if operations.get_context().as_sql:
            _print(operations, operation)
        else:
            _run(operations, operation)
    except CompatError as error:
        raise CommandError(str(error)) from error


def _print(operations: Operations, operation: CompatOperation) -> None:
    """Emit a step for a script (--sql), which cannot know what the database holds."""
    statements = operation.statements()
    if operation.operation in ("create_sync", "create_compat_view", "publish"):
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
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
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
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
            lines[0] += open_transactions(driver)
        hint = "somebody holds a lock for long; run the revision again, or end that transaction"
    lines += [f"  fix: {hint}"] * bool(hint)
    return CommandError("\n".join(lines))


def _is_pending(connection: sa.Connection, operation: CompatOperation) -> bool:
    mapping = operation.mapping
    phase, fingerprint = _stored(connection, mapping)
    if phase is not None and fingerprint != mapping.fingerprint:
        raise _other_mapping(mapping, fingerprint)
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
UncutoverOp = _register("uncutover", swap.uncutover, None, *_BEFORE_CUTOVER, base=_PutsBeneath)
ContractOp = _register("contract", swap.contract, "contracted", base=_Contract)
UncontractOp = _register("uncontract", swap.uncontract, *_BEFORE_CUTOVER, "cutover")
PublishOp = _register("publish", publish.publish, "published", base=_Publish)
UnpublishOp = _register("unpublish", publish.unpublish, None)

CreateCompatViewOp.makes_view, DropCompatViewOp.makes_view = True, False
for _changing in (AlterMappingOp, SwitchFormOp, RepairCompatViewOp):
    Operations.implementation_for(_changing)(_execute)

for _forward, _backward in (
    (CreateSyncOp, DropSyncOp),
    (CreateCompatViewOp, DropCompatViewOp),
    (CutoverOp, UncutoverOp),
    (ContractOp, UncontractOp),
    (PublishOp, UnpublishOp),
):
    _forward.reverse_class, _backward.reverse_class = _backward, _forward
