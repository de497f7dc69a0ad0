"""The state of a migration, written by the transaction that does the step."""

from __future__ import annotations

from compat.mapping import Mapping
from compat.names import literal


def register(mapping: Mapping) -> list[str]:
    """Return the statements that store the mapping, in phase `expanded`."""
    return [store(mapping, "expanded"), event(mapping, "expand")]


def store(mapping: Mapping, phase: str) -> str:
    """Return the statement that stores a mapping which the database does not know."""
    values = (mapping.name, mapping.to_json(), mapping.fingerprint, phase)
    return (
        "INSERT INTO compat.mapping (name, document, fingerprint, phase)\n"
        f"VALUES ({', '.join(map(literal, values))})"
    )


def unregister(mapping: Mapping) -> list[str]:
    """Return the statements that forget the mapping, its rejects, and give back its indexes."""
    name = literal(mapping.name)
    return [
        f"SELECT compat.build_deferred_indexes({name})",
        f"DELETE FROM compat.reject WHERE mapping = {name}",
        f"DELETE FROM compat.mapping WHERE name = {name}",
        event(mapping, "unexpand"),
    ]


def require_phase(mapping: Mapping, *phases: str) -> str:
    """Return the statement that locks the migration's state, and raises in all other phases."""
    return (
        f"SELECT compat.require_phase({literal(mapping.name)}, {', '.join(map(literal, phases))})"
    )


def require_copied(mapping: Mapping) -> str:
    """Return the check that all rows are in the target; an empty legacy table needs no copy."""
    name = literal(mapping.name)
    return (
        f"SELECT CASE WHEN EXISTS (SELECT FROM {mapping.legacy.sql}) "
        f"THEN compat.require_phase({name}, 'copied') "
        f"ELSE compat.require_phase({name}, 'expanded', 'copying', 'copied') END"
    )


def set_phase(mapping: Mapping, phase: str) -> str:
    """Return the statement that records the phase, and since when."""
    return (
        f"UPDATE compat.mapping SET phase = {literal(phase)}, changed_at = clock_timestamp() "
        f"WHERE name = {literal(mapping.name)}"
    )


def event(mapping: Mapping, step: str) -> str:
    """Return the statement that writes a step into the log of the database."""
    return (
        "INSERT INTO compat.event (mapping, step, detail) VALUES "
        f"({literal(mapping.name)}, {literal(step)}, "
        f"jsonb_build_object('fingerprint', {literal(mapping.fingerprint)}))"
    )
