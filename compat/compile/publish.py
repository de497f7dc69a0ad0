"""A version without rows of its own: a view, of a name that no table ever had, over the target.

As InVerDa's further schema versions (Herrmann et al., 2017): nothing is copied, synced or retired.
"""

from __future__ import annotations

from compat.compile import phases, view
from compat.mapping import Mapping
from compat.names import literal, regclass


def publish(mapping: Mapping) -> list[str]:
    """Return the statements that create the view under the legacy name of the mapping."""
    legacy, target = mapping.legacy, mapping.target
    made = view.create_view(mapping, legacy.name)
    at = next(n for n, statement in enumerate(made) if statement.startswith("CREATE VIEW "))
    return [
        phases.store(mapping, "published"),
        *made[: at + 1],
        # Before its functions are made, which run as its owner.
        f"SELECT compat.give_view({regclass(legacy.schema, legacy.name)}, "
        f"{regclass(target.schema, target.name)})",
        *made[at + 1 :],
        phases.event(mapping, "publish"),
    ]


def unpublish(mapping: Mapping) -> list[str]:
    """Return the statements that undo `publish`; the rows stay where they are."""
    return [
        phases.require_phase(mapping, "published"),
        *view.drop_view(mapping, mapping.legacy.name),
        f"DELETE FROM compat.mapping WHERE name = {literal(mapping.name)}",
        phases.event(mapping, "unpublish"),
    ]
