"""Which mappings a project's models hold: kept in `MetaData.info`, where Alembic looks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from compat.errors import MappingError
from compat.mapping import Mapping

Goal = Literal["expanded", "cutover", "contracted"]
_KEY = "compat.mappings"


@dataclass(frozen=True)
class Registered:
    """A mapping, and how far its migration is to be taken."""

    mapping: Mapping
    goal: Goal


def register(metadata: sa.MetaData, *mappings: Mapping, goal: Goal = "expanded") -> None:
    """Make mappings part of a project's metadata, for Alembic's autogenerate.

    A metadata that has been registered with, if only with `register(metadata)`, says all: a mapping
    that the database holds beside it is taken back by the next revision.

    :param goal: the phase to which revisions are to take them. Autogenerate renders one step at a
        time: the cutover once this is `cutover`, the contract once it is `contracted`
    :raises MappingError: a name has been registered already
    """
    registered: dict[str, Registered] = metadata.info.setdefault(_KEY, {})
    for mapping in mappings:
        if mapping.name in registered:
            raise MappingError(
                f"a mapping called {mapping.name!r} is registered already",
                "register each mapping once, with the goal that it has now",
            )
        registered[mapping.name] = Registered(mapping, goal)


def registered_in(metadata: Iterable[sa.MetaData]) -> dict[str, Registered] | None:
    """Return what has been registered, by name; None where nobody ever has.

    :raises MappingError: two of the metadata hold a mapping of one name
    """
    held = [one.info[_KEY] for one in metadata if _KEY in one.info]
    if not held:
        return None
    found: dict[str, Registered] = {}
    for registered in held:
        for name in registered:
            if name in found:
                raise MappingError(f"two metadata hold a mapping called {name!r}", "keep one")
        found |= registered
    return found
