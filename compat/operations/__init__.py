"""Alembic operations: op.create_sync, op.create_compat_view, op.cutover, op.contract, and reverses;
op.alter_mapping, op.switch_form, op.repair_compat_view; op.publish, op.unpublish.

They emit the statements of compat.compile, online and with --sql.
"""

from compat.operations import execute as _execute  # noqa: F401 (registers itself with Alembic)
from compat.operations.base import CompatOperation
from compat.operations.changes import AlterMappingOp, RepairCompatViewOp, SwitchFormOp
from compat.operations.steps import (
    ContractOp,
    CreateCompatViewOp,
    CreateSyncOp,
    CutoverOp,
    DropCompatViewOp,
    DropSyncOp,
    PublishOp,
    UncontractOp,
    UncutoverOp,
    UnpublishOp,
)

__all__ = [
    "AlterMappingOp",
    "CompatOperation",
    "ContractOp",
    "CreateCompatViewOp",
    "CreateSyncOp",
    "CutoverOp",
    "DropCompatViewOp",
    "DropSyncOp",
    "PublishOp",
    "RepairCompatViewOp",
    "SwitchFormOp",
    "UncontractOp",
    "UncutoverOp",
    "UnpublishOp",
]
