"""What a project's metadata says of its mappings, compared with what the database holds.

Runs after Alembic's own comparison of tables. What is made comes last, when its tables are there;
what is taken back comes first, while they still are. A downgrade is the reverse of all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import psycopg
import sqlalchemy as sa
from alembic.operations.ops import UpgradeOps
from alembic.util import CommandError, PriorityDispatchResult

from compat import catalog, state
from compat.autogenerate.registry import Goal, Registered, registered_in
from compat.autogenerate.stock import leave_out
from compat.compile import alter, switch
from compat.compile.replace import Phase
from compat.connection import Connection
from compat.errors import CompatError
from compat.mapping import Mapping
from compat.operations import (
    AlterMappingOp,
    CompatOperation,
    ContractOp,
    CreateCompatViewOp,
    CreateSyncOp,
    CutoverOp,
    DropCompatViewOp,
    DropSyncOp,
    RepairCompatViewOp,
    SwitchFormOp,
    UncutoverOp,
)
from compat.run import versions
from compat.run.definitions import drift

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

log = logging.getLogger("alembic.autogenerate.compat")


def compare(
    context: AutogenContext, upgrade: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    """Add to `upgrade` what takes the mappings of the database to those of the metadata.

    :raises CommandError: they cannot be compared; says why
    """
    leave_out(context, upgrade)
    try:
        registered = registered_in(_metadata(context))
        if registered is not None:
            _compare(context, upgrade, schemas, registered)
    except CompatError as error:
        raise CommandError(str(error)) from error
    return PriorityDispatchResult.CONTINUE


def _compare(
    context: AutogenContext,
    upgrade: UpgradeOps,
    schemas: set[str | None],
    registered: dict[str, Registered],
) -> None:
    conn = _driver_connection(context)
    held = {stored.stated.name: stored for stored in state.load_all(conn)}
    gone = [
        operation
        for name, stored in held.items()
        if name not in registered and _is_ours(context, schemas, stored)
        for operation in removal(stored)
    ]
    made = [
        operation
        for name, wanted in registered.items()
        for operation in steps(conn, wanted, held.get(name))
    ]
    for operation in (*gone, *made):
        log.info("Detected %s", " ".join(operation.to_diff_tuple()))
    upgrade.ops[:] = [*gone, *upgrade.ops, *made]


def removal(stored: state.Stored) -> Iterator[CompatOperation]:
    """Yield what takes a migration back that the metadata does not hold any more.

    Nothing is lost: a legacy table that was retired comes back with all that was written since.
    After a contract there is nothing left to be taken back; a published version is no revision's.
    """
    if _under_way(stored) is None:
        return
    if stored.phase == "cutover":
        yield UncutoverOp(stored.stated)
    yield DropCompatViewOp(stored.stated)
    yield DropSyncOp(stored.stated)


def steps(
    conn: Connection, wanted: Registered, stored: state.Stored | None
) -> Iterator[CompatOperation]:
    """Yield what takes a migration one step towards its goal, after what puts it right.

    :raises CommandError: the mapping was changed to one that cannot follow
    """
    if stored is None:
        yield CreateSyncOp(wanted.mapping)
        yield CreateCompatViewOp(wanted.mapping)
        return
    if _under_way(stored) is None:
        return
    if stored.stated != wanted.mapping:
        yield from _change(conn, stored, wanted.mapping)
        return
    yield from _repair(conn, stored)
    yield from _next_step(stored, wanted.goal)


def _next_step(stored: state.Stored, goal: Goal) -> Iterator[CompatOperation]:
    if stored.phase == "cutover":
        if goal == "contracted":
            yield ContractOp(stored.stated)
    elif goal != "expanded":
        yield CutoverOp(stored.stated)


def _change(conn: Connection, stored: state.Stored, mapping: Mapping) -> Iterator[CompatOperation]:
    """Yield what makes another mapping of a stored one, in the phase in which it is."""
    before, phase = stored.stated, _under_way(stored)
    assert phase is not None
    if phase == "cutover" and _is_switch(before, mapping):
        yield SwitchFormOp(before, mapping)
        return
    changes, found = versions.changes(conn, before, mapping)
    reasons = [*found, *(why for change in changes for why in alter.reasons_against(change, phase))]
    if reasons and phase == "cutover":
        raise CommandError(
            f"the mapping {mapping.name!r} cannot be changed so after its cutover:\n  "
            + "\n  ".join(reasons)
            + f"\n  fix: restore it, or `compat rollback {mapping.name}` first"
        )
    if reasons:
        yield from removal(stored)
        yield CreateSyncOp(mapping)
        yield CreateCompatViewOp(mapping)
        return
    recopy = phase != "cutover" and alter.converts_otherwise(before, mapping)
    yield AlterMappingOp(before, mapping, recopy=recopy)


def _is_switch(before: Mapping, after: Mapping) -> bool:
    """Return whether nothing but the form is another, and there is a way from one to the other."""
    return replace(before, form=after.form) == after and switch.way(before, after) is not None


def _repair(conn: Connection, stored: state.Stored) -> Iterator[CompatOperation]:
    """Yield what makes again what was edited by hand, if its tables are there."""
    mapping = stored.stated
    before = stored.phase in state.BEFORE_CUTOVER
    if before and catalog.find_exact(conn, mapping.view_of.schema, mapping.standby_name) is None:
        yield CreateCompatViewOp(stored.stated)
        return
    physical = mapping.legacy.name if before else mapping.retired_name
    tables = [(table.schema, table.name) for table in stored.mapping.tables]
    if mapping.chosen_form == "reversed" and not before:
        tables = [(mapping.target.schema, mapping.aside_name)]
    for schema, name in ((mapping.legacy.schema, physical), *tables):
        if catalog.find_exact(conn, schema, name) is None:
            log.warning("%s.%s of the mapping %s is missing", schema, name, mapping.name)
            return
    found = drift(conn, stored)
    if found:
        yield RepairCompatViewOp(stored.stated, found=found)


def _under_way(stored: state.Stored) -> Phase | None:
    """Return the phase of a migration that has a view and functions."""
    return next((phase for phase in get_args(Phase) if phase == stored.phase), None)


def _is_ours(context: AutogenContext, schemas: set[str | None], stored: state.Stored) -> bool:
    """Return whether env.py lets this project look at the legacy table of a mapping."""
    legacy = stored.mapping.legacy
    schema = None if legacy.schema == context.dialect.default_schema_name else legacy.schema
    return schema in schemas and context.run_name_filters(
        legacy.name, "table", {"schema_name": schema}
    )


def _metadata(context: AutogenContext) -> tuple[sa.MetaData, ...]:
    metadata = context.metadata
    if metadata is None:
        return ()
    return (metadata,) if isinstance(metadata, sa.MetaData) else tuple(metadata)


def _driver_connection(context: AutogenContext) -> Connection:
    connection = context.connection
    driver = None if connection is None else connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise CommandError(
            "autogenerate of mappings needs psycopg 3\n"
            "  fix: name the database with postgresql+psycopg:// in env.py"
        )
    return driver
