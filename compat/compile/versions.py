"""Versions on top of versions: v1's view reads v3 directly once the table v2 has become a view.

The view keeps its identity, grants and defaults; its query, triggers and functions are made anew in
the transaction that puts the later version in place, or takes it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from compat.compile import lookups
from compat.compile.replace import drop_if_there, replace, replace_view
from compat.mapping import Mapping
from compat.names import literal
from compat.tables import Table


@dataclass(frozen=True)
class Older:
    """A version whose view is in use, beneath the migration of a step.

    :param directly: its mapping to the legacy table of the step's migration
    :param composed: its mapping to the target of the step's migration
    :param is_published: whether it is a view only, without a retired table
    """

    directly: Mapping
    composed: Mapping
    is_published: bool = False

    @property
    def kept(self) -> tuple[Table, ...]:
        """The tables that its view goes on reading."""
        return tuple(table for table in self.composed.tables if table in self.directly.tables)


def lock(older: tuple[Older, ...]) -> list[str]:
    """Return the statements that keep the writers of the older views out, before any table."""
    return [
        f"LOCK TABLE {item.directly.legacy.sql} IN ACCESS EXCLUSIVE MODE"
        for item in sorted(older, key=_name)
    ]


def put_beneath(mapping: Mapping, older: tuple[Older, ...]) -> list[str]:
    """Return the statements by which the older views read the target; locks are held."""
    replaced = (_replace(item, item.directly, item.composed) for item in older)
    put = f"SELECT compat.put_beneath({literal(mapping.name)})"
    return [*chain.from_iterable(replaced), put]


def take_from_beneath(mapping: Mapping, older: tuple[Older, ...]) -> list[str]:
    """Return the statements that undo `put_beneath`, once the table has its name again."""
    replaced = (_replace(item, item.composed, item.directly) for item in older)
    return [
        *chain.from_iterable(replaced),
        f"SELECT compat.take_from_beneath({literal(mapping.name)})",
    ]


def _replace(item: Older, before: Mapping, after: Mapping) -> list[str]:
    if item.is_published:
        return replace_view(before, after, after.legacy.name, after.target)
    return [
        *replace(before, after, "cutover"),
        *drop_if_there(lookups.drop(before)),
        *lookups.create(after),
    ]


def require(mapping: Mapping, older: tuple[Older, ...]) -> str:
    """Return the statement that raises where other versions are beneath or above than these."""
    beneath = ", ".join(literal(name) for name in sorted(map(_name, older)))
    return (
        f"SELECT compat.require_beneath({literal(mapping.name)}, ARRAY[{beneath}]::text[]), "
        + _required_above(mapping)
    )


def require_above(mapping: Mapping) -> str:
    """Return the statement that raises where the view reads through other versions than said."""
    return f"SELECT {_required_above(mapping)}"


def require_settled(mapping: Mapping) -> str:
    """Return the statement that raises while a migration beneath is not cut over."""
    return f"SELECT compat.require_settled_beneath({literal(mapping.name)})"


def require_topmost(mapping: Mapping) -> str:
    """Return the statement that raises while a later version is in place of the target."""
    return f"SELECT compat.require_topmost({literal(mapping.name)})"


def _required_above(mapping: Mapping) -> str:
    above = ", ".join(map(literal, mapping.through))
    return f"compat.require_above({literal(mapping.name)}, ARRAY[{above}]::text[])"


def _name(item: Older) -> str:
    return item.directly.name
