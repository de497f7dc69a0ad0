"""The guard of the retired table: between cutover and contract only the reverse sync writes there.

Its counterpart before the cutover, on the target, is in compat.compile.sync.
"""

from __future__ import annotations

from compat.mapping import Mapping
from compat.names import literal, regclass


def guard(mapping: Mapping) -> str:
    """Return the statement that makes the retired table refuse whatever is not the reverse sync.

    View and reverse function must be in place under their names.
    """
    legacy = mapping.legacy
    return (
        f"SELECT compat.guard_retired({_retired(mapping)}, "
        f"{literal(mapping.function('reverse') + '()')}::pg_catalog.regprocedure, "
        f"{regclass(legacy.schema, legacy.name)}, "
        f"{regclass(mapping.target.schema, mapping.target.name)})"
    )


def unguard(mapping: Mapping) -> str:
    """Return the statement that undoes `guard`; it does nothing where there is none."""
    return f"SELECT compat.unguard_retired({_retired(mapping)})"


def _retired(mapping: Mapping) -> str:
    return regclass(mapping.legacy.schema, mapping.retired_name)
