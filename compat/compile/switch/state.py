"""What the database remembers of a switch: that one is under way, and the form that it has led to.

Each list is part of the transaction that does the work.
"""

from __future__ import annotations

from compat.compile.phases import event
from compat.mapping import Mapping
from compat.names import literal


def begun(after: Mapping) -> list[str]:
    """Return the statements that note a switch to another form, whose copy begins."""
    name = literal(after.name)
    return [
        f"DELETE FROM compat.copy_progress WHERE mapping = {name}",
        f"UPDATE compat.mapping SET switching = {literal(after.chosen_form)} WHERE name = {name}",
        event(after, f"switch to {after.chosen_form}"),
    ]


def unbegun(before: Mapping) -> list[str]:
    """Return the statements that forget a switch that was not finished."""
    name = literal(before.name)
    return [
        *(
            f"DELETE FROM compat.{table} WHERE mapping = {name}"
            for table in ("copy_progress", "reject", "deferred_index")
        ),
        f"UPDATE compat.mapping SET switching = NULL WHERE name = {name}",
        event(before, "switch back"),
    ]


def become(after: Mapping) -> str:
    """Return the statement that makes a migration one of another form."""
    return (
        f"UPDATE compat.mapping SET document = {literal(after.to_json())}, "
        f"fingerprint = {literal(after.fingerprint)}, switching = NULL, "
        f"changed_at = clock_timestamp() WHERE name = {literal(after.name)}"
    )
