"""The bridge: columns of the other shape that a table carries while a migration lasts.

In the form `bridged` the target carries legacy columns, in the form `reversed` the legacy table
those of the target. Triggers keep both shapes of a row in step (compat.compile.bridge); what is
left between the carrier and the table that a view stands for are plain renames. All is pure.
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
from compat.tables import Column, Constraint, Sequence, Table

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
    """One legacy column whose values the carrier has in both shapes.

    :param column: the carrier's, of exactly its type and collation
    """

    lens: Lens
    column: Column


@dataclass(frozen=True)
class Bridge:
    """What one table carries beside its own columns.

    :param shown: the table whose name the view takes
    :param base: the table that carries its columns as well
    :param columns: what is there in both shapes, in the order of the legacy columns
    :param extra: the columns that the base is given, nullable and without default
    :param marker: boolean, by which the triggers know a row that comes through the view
    """

    mapping: Mapping
    shown: Table
    base: Table
    columns: tuple[Bridged, ...]
    extra: tuple[Column, ...]
    marker: Column
    held: tuple[tuple[str, str], ...]
    """(column of `shown`, column of the carrier that holds its values) pairs."""

    @property
    def is_reversed(self) -> bool:
        """True when it is the legacy table that carries both shapes."""
        return self.base is self.mapping.legacy

    @property
    def added(self) -> tuple[Column, ...]:
        """The columns that come and go with the bridge; they stand last in the table."""
        return (*self.extra, self.marker)

    @property
    def carrier(self) -> Table:
        """The base while it carries the bridge."""
        return replace(self.base, columns=(*self.base.columns, *self.added))

    @cached_property
    def names(self) -> dict[str, str]:
        """The columns of the carrier that hold the values of those of `shown`, by the latter."""
        return dict(self.held)

    @cached_property
    def extra_names(self) -> frozenset[str]:
        """The names of the columns that the base is given."""
        return frozenset(column.name for column in self.extra)

    def name_of(self, target: str) -> str:
        """Return the column of the carrier that holds a target column."""
        return self.names[target] if self.is_reversed else target

    def legacy_row(self, record: Row) -> Row:
        """Return the legacy row that is inside a row of the carrier."""
        if self.is_reversed:
            return record
        return Renamed(
            record.name,
            True,
            tuple(
                (name, record.column(self.names[name]) if name in self.names else lens.read(record))
                for lens in self.mapping.lenses
                for name in (lens.legacy.name,)
            ),
        )

    def target_row(self, record: Row) -> Row:
        """Return the target row that is inside a row of the carrier."""
        if not self.is_reversed:
            return record
        columns = tuple((name, record.column(own)) for name, own in self.held)
        return Renamed(record.name, True, columns)

    @cached_property
    def new(self) -> Row:
        """The legacy row inside NEW."""
        return self.legacy_row(NEW)

    @cached_property
    def old(self) -> Row:
        """The legacy row inside OLD."""
        return self.legacy_row(OLD)

    @cached_property
    def new_target(self) -> Row:
        """The target row inside NEW."""
        return self.target_row(NEW)

    @cached_property
    def old_target(self) -> Row:
        """The target row inside OLD."""
        return self.target_row(OLD)


def is_bridge(mapping: Mapping) -> bool:
    """Tell whether one of the two tables carries both shapes while the migration lasts."""
    return mapping.chosen_form in ("bridged", "reversed")


def bridge_of(mapping: Mapping) -> Bridge:
    """Return the bridge of a mapping, whose form is `bridged` or `reversed`."""
    return _reversed(mapping) if mapping.chosen_form == "reversed" else _bridged(mapping)


def _bridged(mapping: Mapping) -> Bridge:
    names = _Names(mapping.target)
    columns = tuple(
        Bridged(lens, _added(lens.legacy, names)) for lens in mapping.lenses if needs_bridge(lens)
    )
    own = {item.lens.legacy.name: item.column.name for item in columns}
    own |= {lens.legacy.name: lens.targets[0] for lens in mapping.lenses if not lens.converts}
    names.taken.update(mapping.legacy.column_names)  # the marker stands beside them in a view
    return Bridge(
        mapping,
        mapping.legacy,
        mapping.target,
        columns,
        tuple(item.column for item in columns),
        Column(names.free(MARKER), "boolean"),
        tuple((name, own[name]) for name in mapping.legacy.column_names if name in own),
    )


def _reversed(mapping: Mapping) -> Bridge:
    names = _Names(mapping.legacy)
    own = {lens.targets[0]: lens.legacy.name for lens in mapping.lenses if not lens.converts}
    extra = {
        column.name: _added(column, names)
        for column in mapping.target.columns
        if column.name not in own
    }
    own |= {name: column.name for name, column in extra.items()}
    names.taken.update(mapping.target.column_names)
    return Bridge(
        mapping,
        mapping.target,
        mapping.legacy,
        tuple(
            Bridged(lens, lens.legacy)
            for lens in mapping.lenses
            if lens.converts and lens.legacy.generated is None
        ),
        tuple(extra.values()),
        Column(names.free(MARKER), "boolean"),
        tuple((name, own[name]) for name in mapping.target.column_names),
    )


class _Names:
    """The names that a table has room for."""

    def __init__(self, table: Table) -> None:
        self.taken = set(table.column_names)

    def free(self, wanted: str) -> str:
        """Return the name, or one like it that is not taken, and take it."""
        name, n = wanted, 0
        while name in self.taken:
            n += 1
            name = derive(wanted, "__compat" + f"_{n}" * (n > 1))
        self.taken.add(name)
        return name


def _added(column: Column, names: _Names) -> Column:
    return Column(names.free(column.name), column.type, collation=column.collation)


def carrier_of(mapping: Mapping) -> Table:
    """Return the table that holds the rows of v2 as it stands from expand to contract."""
    return bridge_of(mapping).carrier if is_bridge(mapping) else mapping.target


def needs_bridge(lens: Lens) -> bool:
    """Tell whether a legacy column needs one of its own in the target, to be written natively.

    What can only be read (an expression without writes) is computed from the target.
    """
    return lens.converts and (bool(lens.targets) or lens.rule.rule == "constant")


def key_sequences(mapping: Mapping) -> tuple[Sequence, ...]:
    """Return the legacy table's sequences from which triggers, not a default, draw keys of v2.

    A trigger cannot tell a NULL that was given from a column that was left out: both draw.
    """
    if not is_bridge(mapping):
        return ()
    return tuple(
        sequence
        for sequence in mapping.legacy.sequences
        if needs_bridge(lens := mapping.lens(sequence.column))
        and lens.targets
        and lens.ends.target(lens.targets[0]).default is None
        and lens.ends.target(lens.targets[0]).identity is None
    )


def in_transition(mapping: Mapping) -> Mapping:
    """Return the mapping between what the view stands for and the table as it is until contract.

    With a bridge that is one of plain renames to its carrier: from the legacy table, or, in the
    form `reversed`, from the target. What is written by it is marked as coming through the view;
    the triggers there write the rest. A mapping of another form is returned as it is.
    """
    if not is_bridge(mapping):
        return mapping
    bridge = bridge_of(mapping)
    given = set(bridge.names.values())
    carrier = bridge.carrier
    read_only = (rule for rule in mapping.rules if rule.legacy not in bridge.names)
    return replace(
        mapping,
        legacy=_enforced(bridge) if bridge.is_reversed else bridge.shown,
        target=replace(
            carrier,
            # Nobody need give what the triggers fill in.
            columns=tuple(
                replace(column, nullable=column.nullable or column.name not in given)
                for column in carrier.columns
            ),
            constraints=(*carrier.constraints, *_unique_keys(bridge)),
        ),
        rules=(
            *(Rename(name, own) for name, own in bridge.held),
            *(() if bridge.is_reversed else read_only),
        ),
        fills=(Fill(bridge.marker.name, "true"),),
        form="instead_of",
        needs=(),
        accept=() if bridge.is_reversed else mapping.accept,
    )


def _enforced(bridge: Bridge) -> Table:
    """Return the shown table without what nothing holds its rows to."""
    held = tuple(item for item in bridge.shown.constraints if item.kind != "check")
    return replace(bridge.shown, constraints=held, triggers=(), sequences=())


def _unique_keys(bridge: Bridge) -> Iterator[Constraint]:
    """Yield the keys of the shown table as those of the carrier, where an added column is."""
    for item in bridge.shown.constraints:
        if not item.identifies or not set(item.columns) <= set(bridge.names):
            continue
        columns = tuple(bridge.names[name] for name in item.columns)
        if bridge.extra_names & set(columns):
            yield Constraint(item.name, "unique", columns, "UNIQUE")
