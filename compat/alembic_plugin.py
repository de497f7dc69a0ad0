"""The entry point through which Alembic finds this package's operations.

It is imported in the middle of `import alembic`: whatever needs Alembic is imported inside `setup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin


def setup(plugin: Plugin) -> None:
    """Register the operations; the module registers them as it is imported."""
    import compat.operations  # noqa: F401
