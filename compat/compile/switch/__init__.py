"""A live migration in another form: the ways there, each in statements.

Where rows have to be copied or filled, `begin` makes all writes reach the new place as well, the
copy sees to the rows that are there, and `finish` is the short transaction in which clients change
over; `abandon` undoes `begin`. A way without a copy is `finish` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from compat.compile.switch import in_place, materialise, reverse
from compat.mapping import Form, Mapping
from compat.names import literal


@dataclass(frozen=True)
class Copied:
    """What a way needs whose rows have to be copied; all take the mapping before and after.

    :param begin: the statements after which the copy can begin
    :param between: the mapping of that copy
    :param different: the query for the number of rows that are not as they should be after it
    :param abandon: the statements that undo `begin`
    """

    begin: Callable[[Mapping, Mapping], list[str]]
    between: Callable[[Mapping, Mapping], Mapping]
    different: Callable[[Mapping, Mapping], str]
    abandon: Callable[[Mapping, Mapping], list[str]]


@dataclass(frozen=True)
class Way:
    """How a migration gets from one form to another.

    :param finish: the statements of the transaction in which clients change over
    :param copied: None where no rows have to be copied
    """

    finish: Callable[[Mapping, Mapping], list[str]]
    copied: Copied | None = None


def _with_copy(way: ModuleType) -> Way:
    return Way(way.finish, Copied(way.begin, way.between, way.different, way.abandon))


WAYS: Final[Mapping_[tuple[Form, Form], Way]] = {
    ("reversed", "instead_of"): _with_copy(materialise),
    ("reversed", "bridged"): _with_copy(materialise),
    ("instead_of", "bridged"): _with_copy(in_place),
    ("bridged", "instead_of"): Way(in_place.finish),
    ("instead_of", "reversed"): _with_copy(reverse),
    ("bridged", "reversed"): _with_copy(reverse),
}
"""The ways that there are, by the form before and after."""


def way(before: Mapping, after: Mapping) -> Way | None:
    """Return the way from one form of a mapping to another, None where there is none."""
    return WAYS.get((before.chosen_form, after.chosen_form))


def statements(before: Mapping, after: Mapping) -> list[str]:
    """Return the SQL of a switch, without that of its copy; none where there is nothing to do."""
    found = way(before, after)
    if found is None:
        return []
    if found.copied is None:
        return found.finish(before, after)
    return [
        *found.copied.begin(before, after),
        # Which a copy builds in its end, concurrently; here, what is left of them.
        f"SELECT compat.build_deferred_indexes({literal(after.name)})",
        *found.finish(before, after),
    ]
