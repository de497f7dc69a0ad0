"""The entry point through which Alembic finds this package's operations and its autogenerate.

It is imported in the middle of `import alembic`: whatever needs Alembic is imported inside `setup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps
    from alembic.runtime.plugins import Plugin
    from alembic.util import PriorityDispatchResult

AUTOGENERATE = "alembic.autogenerate.compat"
"""Under this name the comparison takes part by default; `~` before it in `autogenerate_plugins` of
env.py leaves it out."""


def setup(plugin: Plugin) -> None:
    """Register the operations, which their module does as it is imported, and the comparison."""
    from alembic.runtime.plugins import Plugin
    from alembic.util import DispatchPriority

    import compat.operations  # noqa: F401

    comparison = Plugin(AUTOGENERATE)
    comparison.add_autogenerate_comparator(
        _leave_out_schema,
        "schema",
        "compat_schema",
        qualifier="postgresql",
        priority=DispatchPriority.FIRST,  # before the tables are looked at
    )
    comparison.add_autogenerate_comparator(
        _compare,
        "schema",
        "compat",
        qualifier="postgresql",
        priority=DispatchPriority.LAST,  # when the tables have been compared
    )


def _leave_out_schema(
    context: AutogenContext, upgrade: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    from alembic.util import PriorityDispatchResult

    schemas.discard("compat")
    return PriorityDispatchResult.CONTINUE


def _compare(
    context: AutogenContext, upgrade: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    from compat.autogenerate.compare import compare

    return compare(context, upgrade, schemas)
