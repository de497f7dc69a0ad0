"""The bridge: columns of the legacy shape that the target carries while a migration lasts.

Triggers keep both shapes of a row in step (compat.compile.bridge); what is left between the legacy
table and the target are plain renames. All values are pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from compat.mapping import Mapping
from compat.names import derive, ident
from compat.rules import NEW, OLD, Lens, Row
from compat.rules import Column as Rename
from compat.shapes import Fill
from compat.tables import Column, Constraint, Table

MARKER = "compat_via_view"
"""The marker's name where it is free: true in a row that comes through the view."""


@dataclass(frozen=True)
class Renamed(Row):
    """A trigger's record, spoken of by the column names of another table.

    :param columns: (name in the other table, SQL over the record) pairs
    """

    columns: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> str:
        """Return SQL for one column of the other table."""
        return next(sql for column, sql in self.columns if column == name)

    def evaluate(self, expression: str) -> str:
        """Return SQL for a user's expression over the bare column names of the other table."""
        columns = ", ".join(f"{sql} AS {ident(name)}" for name, sql in self.columns)
        bare = Row("this_row").evaluate(expression)
        return f"(SELECT {bare} FROM (SELECT {columns}) AS this_row)"


@dataclass(frozen=True)
class Bridged:
    """One legacy column that needs a column of its own in the target.

    :param column: of exactly its type and collation, nullable, without default
    """

    lens: Lens
    column: Column


@dataclass(frozen=True)
class Bridge:
    """What the target carries beside its own columns.

    :param columns: in the order of the legacy columns
    :param marker: boolean, by which the triggers know a row that comes through the view
    """

    mapping: Mapping
    columns: tuple[Bridged, ...]
    marker: Column

    @property
    def added(self) -> tuple[Column, ...]:
        """The columns that come and go with the bridge; they stand last in the table."""
        return (*(item.column for item in self.columns), self.marker)

    @property
    def carrier(self) -> Table:
        """The target while it carries the bridge."""
        target = self.mapping.target
        return replace(target, columns=(*target.columns, *self.added))

    @cached_property
    def names(self) -> dict[str, str]:
        """The columns of the carrier that hold the values of legacy columns, by the latter."""
        own = {item.lens.legacy.name: item.column.name for item in self.columns}
        plain = (lens for lens in self.mapping.lenses if not lens.converts)
        own |= {lens.legacy.name: lens.targets[0] for lens in plain}
        return {name: own[name] for name in self.mapping.legacy.column_names if name in own}

    def legacy_row(self, record: Row) -> Row:
        """Return the legacy row that is inside NEW or OLD of a trigger on the carrier."""
        return Renamed(
            record.name,
            True,
            tuple(
                (name, record.column(self.names[name]) if name in self.names else lens.read(record))
                for lens in self.mapping.lenses
                for name in (lens.legacy.name,)
            ),
        )

    @cached_property
    def new(self) -> Row:
        """The legacy row inside NEW."""
        return self.legacy_row(NEW)

    @cached_property
    def old(self) -> Row:
        """The legacy row inside OLD."""
        return self.legacy_row(OLD)


def bridge_of(mapping: Mapping) -> Bridge:
    """Return the bridge of a mapping, whose form is `bridged`."""
    taken = set(mapping.target.column_names)

    def free(wanted: str) -> str:
        name, n = wanted, 0
        while name in taken:
            n += 1
            name = derive(wanted, "__compat" + f"_{n}" * (n > 1))
        taken.add(name)
        return name

    columns = tuple(
        Bridged(
            lens, Column(free(lens.legacy.name), lens.legacy.type, collation=lens.legacy.collation)
        )
        for lens in mapping.lenses
        if needs_bridge(lens)
    )
    taken.update(mapping.legacy.column_names)  # the marker stands beside them in a view
    return Bridge(mapping, columns, Column(free(MARKER), "boolean"))


def carrier_of(mapping: Mapping) -> Table:
    """Return the target as it stands from expand to contract."""
    return bridge_of(mapping).carrier if mapping.chosen_form == "bridged" else mapping.target


def needs_bridge(lens: Lens) -> bool:
    """Tell whether a legacy column needs one of its own in the target, to be written natively.

    What can only be read (an expression without writes) is computed from the target.
    """
    return lens.converts and (bool(lens.targets) or lens.rule.rule == "constant")


def in_transition(mapping: Mapping) -> Mapping:
    """Return the mapping to the target as it stands from expand to contract.

    For the form `bridged` that is one of plain renames to the carrier of the bridge. What is
    written by it is marked as coming from the legacy side; the triggers there write the rest. A
    mapping of another form is returned as it is.
    """
    if mapping.chosen_form != "bridged":
        return mapping
    bridge = bridge_of(mapping)
    given = set(bridge.names.values())
    carrier = bridge.carrier
    return replace(
        mapping,
        target=replace(
            carrier,
            # Nobody need give what the triggers fill in.
            columns=tuple(
                replace(column, nullable=column.nullable or column.name not in given)
                for column in carrier.columns
            ),
            constraints=(*carrier.constraints, *_unique_keys(bridge)),
        ),
        rules=tuple(
            Rename(rule.legacy, bridge.names[rule.legacy]) if rule.legacy in bridge.names else rule
            for rule in mapping.rules
        ),
        fills=(Fill(bridge.marker.name, "true"),),
        form="instead_of",
        needs=(),
    )


def _unique_keys(bridge: Bridge) -> Iterator[Constraint]:
    """Yield the keys of the legacy table as those of the carrier, where a converted column is."""
    bridged = {item.lens.legacy.name for item in bridge.columns}
    for item in bridge.mapping.legacy.constraints:
        if (
            item.identifies
            and bridged & set(item.columns)
            and set(item.columns) <= set(bridge.names)
        ):
            columns = tuple(bridge.names[name] for name in item.columns)
            yield Constraint(item.name, "unique", columns, "UNIQUE")
