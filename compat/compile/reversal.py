"""The steps of a migration of the form `reversed`: the legacy table stays what it is.

It carries the target's columns as well (compat.compile.bridge); the target's name goes to a view
over them, and the empty target waits under another name.
"""

from __future__ import annotations

from compat.compile import bridge, partitions, view
from compat.compile.phases import (
    event,
    register,
    require_copied,
    require_phase,
    set_phase,
    unregister,
)
from compat.errors import StateError
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass


def create_sync(mapping: Mapping) -> list[str]:
    """Return the statements that give the legacy table the target's columns, and keep them so."""
    return [
        # Adding columns takes it anyway: not first a weaker one, which two could hold.
        f"LOCK TABLE {mapping.legacy.sql} IN ACCESS EXCLUSIVE MODE",
        *_require_free(mapping),
        *partitions.require_unmoved(mapping),
        *register(mapping),
        *bridge.create(mapping),
    ]


def drop_sync(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create_sync`; what only v2 can tell is lost."""
    name = literal(mapping.name)
    return [
        require_phase(mapping, "expanded", "copying", "copied"),
        f"LOCK TABLE {mapping.legacy.sql} IN ACCESS EXCLUSIVE MODE",
        *bridge.drop(mapping),
        # They would be built again otherwise, over columns that are gone.
        f"DELETE FROM compat.deferred_index WHERE mapping = {name}",
        *unregister(mapping),
    ]


def create_compat_view(mapping: Mapping) -> list[str]:
    """Return the statements that make the target's view under its standby name."""
    legacy, target = mapping.legacy, mapping.target
    return [
        *view.create_view(mapping),
        f"SELECT compat.own_view({regclass(target.schema, mapping.standby_name)}, "
        f"{regclass(legacy.schema, legacy.name)})",
    ]


def drop_compat_view(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create_compat_view`."""
    return view.drop_view(mapping)


def cutover(mapping: Mapping) -> list[str]:
    """Return the statements that put the view under the target's name; the legacy table stays.

    Nobody is locked out but who uses the target, which is empty.
    """
    target = mapping.target
    return [
        require_copied(mapping),
        f"LOCK TABLE {target.sql} IN ACCESS EXCLUSIVE MODE",
        *_require_free(mapping),
        *change_places(mapping),
        set_phase(mapping, "cutover"),
        event(mapping, "cutover"),
    ]


def change_places(mapping: Mapping) -> list[str]:
    """Return the statements that set the target aside, and give its name and looks to the view."""
    target = mapping.target
    return [
        f"ALTER TABLE {target.sql} RENAME TO {ident(mapping.aside_name)}",
        f"ALTER VIEW {mapping.standby} RENAME TO {ident(target.name)}",
        _wear(mapping, target.name, mapping.aside_name),
    ]


def uncutover(mapping: Mapping) -> list[str]:
    """Return the statements that undo `cutover`; what v2 has written is in the legacy table."""
    target = mapping.target
    return [
        require_phase(mapping, "cutover"),
        f"ALTER VIEW {target.sql} RENAME TO {ident(mapping.standby_name)}",
        f"ALTER TABLE {_aside(mapping)} RENAME TO {ident(target.name)}",
        _wear(mapping, target.name, mapping.standby_name),
        set_phase(mapping, "copied"),
        event(mapping, "rollback"),
    ]


def contract(mapping: Mapping) -> list[str]:
    """Refuse: nothing of this form would be left to remove but the rows.

    :raises StateError: always
    """
    raise StateError(
        f"{mapping.name!r} is reversed: {mapping.legacy.title} holds the rows, and "
        f"{mapping.target.title} is a view over it",
        f"`compat switch {mapping.name} --to instead_of` (or bridged) puts the rows into "
        f"{mapping.target.title} first",
    )


def uncontract(mapping: Mapping) -> list[str]:
    """Refuse, as `contract` does.

    :raises StateError: always
    """
    return contract(mapping)


def _aside(mapping: Mapping) -> str:
    return qualified(mapping.target.schema, mapping.aside_name)


def _require_free(mapping: Mapping) -> list[str]:
    """Return the checks that the name of the target can become a view's."""
    target = regclass(mapping.target.schema, mapping.target.name)
    return [f"SELECT compat.require_empty({target})", f"SELECT compat.require_unused({target})"]


def _wear(mapping: Mapping, name: str, model: str) -> str:
    """Return the statement that hands owner, grants and comments of v2 on, and leaves none behind.

    The owner is the legacy table's: a view reads it with its owner's rights.
    """
    schema, legacy = mapping.target.schema, mapping.legacy
    owner = (
        "(SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class "
        f"WHERE oid = {regclass(legacy.schema, legacy.name)})"
    )
    return (
        f"SELECT compat.wear({regclass(schema, name)}, compat.looks_of({regclass(schema, model)}) "
        f"|| jsonb_build_object('owner', {owner})), compat.withdraw({regclass(schema, model)})"
    )
