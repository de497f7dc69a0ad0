"""The statements of a bridge: columns, indexes and triggers that let a plain view take any write.

A row that is written in one shape gets the other from a BEFORE trigger, under the lock that the
write holds anyway. So ON CONFLICT, MERGE, FOR UPDATE and PostgreSQL's own re-check of a row that
somebody has changed work through the view as on a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from compat import sqltypes
from compat.bridge import Bridge, Bridged, bridge_of, in_transition
from compat.compile.functions import TARGET, drop_function, trigger_function
from compat.mapping import Mapping
from compat.names import derive, ident, idents, literal, qualified, regclass
from compat.rules import NEW, OLD, Row
from compat.rules.lens import new_row
from compat.tables import Column

# Before the target's own triggers, which are to see a row complete in its own shape; and after
# them, since they may change it.
_FIRST, _LAST = "00_compat_bridge", "~compat_bridge"


# -- what the target carries ----------------------------------------------------------------------


def create(mapping: Mapping, *, filled: bool = False) -> list[str]:
    """Return the statements that put the bridge on the target; none where the form needs none.

    :param filled: whether the target has rows already, whose bridge is to be filled
    """
    if mapping.chosen_form != "bridged":
        return []
    bridge = bridge_of(mapping)
    return [
        _alter(mapping, [f"ADD COLUMN {_definition(column)}" for column in bridge.added]),
        *([_fill(bridge)] if filled and bridge.columns else []),
        *([_create_indexes(bridge)] if bridge.columns else []),
        *create_inner(mapping),
        *define(mapping),
        # After the filling: it is no change that the other shape should follow.
        *attach(mapping),
    ]


def drop(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create`; indexes over the bridge go with its columns."""
    if mapping.chosen_form != "bridged":
        return []
    bridge = bridge_of(mapping)
    return [
        f"DROP VIEW {_inner(mapping)}",
        *detach(mapping),
        *(drop_function(mapping, purpose) for purpose in _bodies(bridge)),
        _alter(mapping, [f"DROP COLUMN {ident(column.name)}" for column in bridge.added]),
    ]


def define(mapping: Mapping) -> list[str]:
    """Return the statements that define the trigger functions, attached to nothing."""
    return [
        statement
        for purpose, body in _bodies(bridge_of(mapping)).items()
        for statement in trigger_function(mapping, purpose, body, mapping.legacy)
    ]


def attach(mapping: Mapping) -> list[str]:
    """Return the statements that create the triggers."""
    return [
        f"CREATE TRIGGER {ident(trigger.name)} BEFORE {trigger.event}\n"
        f"ON {mapping.target.sql} FOR EACH ROW\n"
        f"{trigger.when}"
        f"EXECUTE FUNCTION {mapping.function(trigger.purpose)}()"
        for trigger in _triggers(bridge_of(mapping))
    ]


def detach(mapping: Mapping) -> list[str]:
    """Return the statements that undo `attach`."""
    return [
        f"DROP TRIGGER {ident(trigger.name)} ON {mapping.target.sql}"
        for trigger in _triggers(bridge_of(mapping))
    ]


def contradictions(mapping: Mapping) -> list[tuple[str, str]]:
    """Return, per bridged column, its name and a predicate for target rows (t) out of step."""
    bridge = bridge_of(mapping)
    row = bridge.legacy_row(TARGET)
    return [
        (item.column.name, f"NOT ({_corresponds(item, row, TARGET)})")
        for item in bridge.columns
        if item.lens.targets
    ]


def _alter(mapping: Mapping, changes: Iterable[str]) -> str:
    return f"ALTER TABLE {mapping.target.sql}\n    " + ",\n    ".join(changes)


def _definition(column: Column) -> str:
    collation = "" if column.collation is None else f" COLLATE {column.collation}"
    return f"{ident(column.name)} {column.type}{collation}"


def _fill(bridge: Bridge) -> str:
    reads = ",\n    ".join(
        f"{ident(item.column.name)} = {item.lens.read(TARGET)}" for item in bridge.columns
    )
    return f"UPDATE {bridge.mapping.target.sql} AS {TARGET.name} SET\n    {reads}"


def _create_indexes(bridge: Bridge) -> str:
    """Return the statement that gives the bridge the legacy table's indexes over its columns.

    The unique ones are what ON CONFLICT needs; the others, what the applications' queries need.
    """
    legacy, target = bridge.mapping.legacy, bridge.mapping.target
    bridged = _texts(item.lens.legacy.name for item in bridge.columns)
    return (
        f"SELECT compat.index_bridge({regclass(legacy.schema, legacy.name)}, "
        f"{regclass(target.schema, target.name)},\n    {_texts(bridge.names)}, "
        f"{_texts(bridge.names.values())}, {bridged})"
    )


def _texts(values: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(map(literal, values))}]::text[]"


# -- its triggers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trigger:
    name: str
    event: str
    purpose: str
    condition: str = ""

    @property
    def when(self) -> str:
        return f"WHEN ({self.condition})\n" if self.condition else ""


def _triggers(bridge: Bridge) -> Iterator[_Trigger]:
    # A condition is evaluated where the row is: a call of a function costs ten times as much.
    yield _Trigger(f"{_FIRST}_insert", "INSERT", "bridge_insert")
    required = _required(bridge)
    if required:
        nulls = _any(f"{NEW.column(n)} IS NULL AND {OLD.column(n)} IS NOT NULL" for n in required)
        event = f"UPDATE OF {idents(required)}"
        yield _Trigger(f"{_FIRST}_nulls", event, "bridge_nulls", nulls)
    for number, item in _numbered(bridge):
        if item.lens.targets:
            own = (item.column.name, *item.lens.targets)
            changed = _any(_stored_change(bridge, name) for name in own)
            purpose = f"bridge_update_{number}"
            yield _Trigger(
                f"{_FIRST}_update_{number}", f"UPDATE OF {idents(own)}", purpose, changed
            )
    for number, item in _numbered(bridge):
        if not _reads_own_targets(item) and item.lens.rule.reads:
            kept = f"NOT ({_stored_change(bridge, item.column.name)})"
            changed = _any(_stored_change(bridge, name) for name in item.lens.rule.reads)
            condition = f"{kept} AND ({changed})"
            purpose = f"bridge_read_{number}"
            yield _Trigger(f"{_FIRST}_update_read_{number}", "UPDATE", purpose, condition)
    if _settles(bridge):
        yield _Trigger(f"{_LAST}_insert", "INSERT", "bridge_settle")
        # Also when they have undone what the other shape has followed already.
        names = (*_inputs(bridge), *(item.column.name for item in bridge.columns))
        changed = _any(_stored_change(bridge, name) for name in names)
        yield _Trigger(f"{_LAST}_update", "UPDATE", "bridge_settle", changed)


def _bodies(bridge: Bridge) -> dict[str, str]:
    bodies = {"bridge_insert": _insert_body(bridge)}
    required = _required(bridge)
    if required:
        bodies["bridge_nulls"] = _function(_refuse_nulls(bridge, required))
    for number, item in _numbered(bridge):
        if item.lens.targets:
            bodies[f"bridge_update_{number}"] = _function(_carry_over(item, bridge))
        if not _reads_own_targets(item) and item.lens.rule.reads:
            bodies[f"bridge_read_{number}"] = _function([_read(item)])
    if _settles(bridge):
        bodies["bridge_settle"] = _settle_body(bridge)
    return bodies


def _numbered(bridge: Bridge) -> Iterable[tuple[int, Bridged]]:
    return enumerate(bridge.columns, start=1)


def _settles(bridge: Bridge) -> bool:
    """True where triggers of the target's own may change what is converted."""
    return bool(bridge.mapping.target.triggers and _inputs(bridge))


def _inputs(bridge: Bridge) -> tuple[str, ...]:
    """Return the target's own columns that the bridge is read from."""
    return tuple(dict.fromkeys(name for item in bridge.columns for name in item.lens.rule.reads))


def _required(bridge: Bridge) -> list[str]:
    """Return the columns of the carrier that only the legacy table wants to be NOT NULL."""
    return [
        bridge.names[lens.legacy.name]
        for lens in bridge.mapping.lenses
        if lens.legacy.name in bridge.names
        and not lens.legacy.nullable
        and (lens.converts or lens.ends.target(lens.targets[0]).nullable)
    ]


def _insert_body(bridge: Bridge) -> str:
    mapping, marker = bridge.mapping, NEW.column(bridge.marker.name)
    required = [own for name, own in bridge.names.items() if not _legacy(mapping, name).nullable]
    fills = {fill.target: fill.write(bridge.new) for fill in mapping.fills}
    written = new_row([item.lens for item in bridge.columns], bridge.new, fills)
    filled = {name: value for name, value in fills.items() if name not in written}
    given = [f"{NEW.column(name)} := {value};" for name, value in (written | filled).items()]
    return _function(
        [
            f"IF {marker} THEN",
            *_indented([f"{marker} := NULL;", *_refuse_nulls(bridge, required)]),
            *_indented(given),
            *(["ELSE"] if bridge.columns else []),
            *_indented(line for item in bridge.columns for line in _given_by_target(item, bridge)),
            "END IF;",
        ]
    )


def _given_by_target(item: Bridged, bridge: Bridge) -> list[str]:
    """Return what an INSERT into the target itself does: it need not give the bridge, but may."""
    column = NEW.column(item.column.name)
    lines = [f"IF {column} IS NULL THEN", f"    {_read(item)}"]
    if item.lens.targets:
        lines += [
            f"ELSIF NOT ({_corresponds(item, bridge.new, NEW)}) THEN",
            *_indented([_contradict(item, bridge)]),
        ]
    return [*lines, "END IF;"]


def _carry_over(item: Bridged, bridge: Bridge) -> list[str]:
    """Return what an UPDATE does for one column: the side that it changed gives the other."""
    written = item.lens.write(bridge.new, current=NEW)
    by_target = _any(_changed(item, bridge))
    lines = [
        f"IF {item.lens.changed(bridge.new, bridge.old)} THEN",
        f"    IF NOT ({by_target}) THEN",
        *_indented((f"{NEW.column(name)} := {value};" for name, value in written.items()), 8),
        f"    ELSIF NOT ({_corresponds(item, bridge.new, NEW)}) THEN",
        *_indented([_contradict(item, bridge)], 8),
        "    END IF;",
    ]
    if _reads_own_targets(item):
        lines += [f"ELSIF {by_target} THEN", f"    {_read(item)}"]
    return [*lines, "END IF;"]


def _read(item: Bridged) -> str:
    return f"{NEW.column(item.column.name)} := {item.lens.read(NEW)};"


def _settle_body(bridge: Bridge) -> str:
    """Return what is done after the target's own triggers, whose word is the last."""
    lines = []
    for item in bridge.columns:
        if item.lens.rule.reads:
            lines += [
                f"IF NOT ({_corresponds(item, bridge.new, NEW)}) THEN",
                f"    {_read(item)}",
                "END IF;",
            ]
    return _function(lines)


def _reads_own_targets(item: Bridged) -> bool:
    """True when nothing but its own target columns decides what a column reads as."""
    return bool(item.lens.targets) and set(item.lens.rule.reads) <= set(item.lens.targets)


def _corresponds(item: Bridged, legacy: Row, target: Row) -> str:
    """Return the condition that a bridged column and its target columns say the same.

    Either reading gives the one, or writing the other: of microseconds that only the target has the
    first is true, of a spelling that only the legacy side has, the second.
    """
    lens = item.lens
    here = legacy.column(lens.legacy.name)
    reads = sqltypes.differs(lens.read(target), here, lens.legacy.type, lens.legacy.collation)
    writes = [
        _not_alike(lens.ends.target(name), value, target.column(name))
        for name, value in lens.write(legacy, current=target).items()
    ]
    if not writes:
        return f"NOT ({reads})"
    # CASE, so that writing is asked only where it must be: it may refuse the value.
    return f"CASE WHEN NOT ({reads}) THEN true ELSE NOT ({' OR '.join(writes)}) END"


def _changed(item: Bridged, bridge: Bridge) -> list[str]:
    if item.lens.rule.shares:  # what others put into the same document is no change of this part
        return [_not_alike(item.column, item.lens.read(NEW), item.lens.read(OLD))]
    return [_differs(bridge, name) for name in item.lens.targets]


def _any(conditions: Iterable[str]) -> str:
    return "\n    OR ".join(conditions)


def _differs(bridge: Bridge, name: str) -> str:
    column = bridge.mapping.target.column(name)
    assert column is not None, name
    return _not_alike(column, NEW.column(name), OLD.column(name))


def _stored_change(bridge: Bridge, name: str) -> str:
    """Return the condition that an UPDATE changes a column of the carrier, for a trigger."""
    column = bridge.carrier.column(name)
    assert column is not None, name
    return sqltypes.differs_stored(
        NEW.column(name), OLD.column(name), column.type, column.collation
    )


def _not_alike(column: Column, left: str, right: str) -> str:
    return sqltypes.differs(left, right, column.type, column.collation)


def _legacy(mapping: Mapping, name: str) -> Column:
    column = mapping.legacy.column(name)
    assert column is not None, name
    return column


def _contradict(item: Bridged, bridge: Bridge) -> str:
    target, main = bridge.mapping.target, item.lens.targets[0]
    arguments = [
        literal(target.schema),
        literal(target.name),
        literal(item.column.name),
        f"{NEW.column(item.column.name)}::text",
        literal(main),
        f"{NEW.column(main)}::text",
    ]
    return f"PERFORM compat.contradict({', '.join(arguments)});"


def _refuse_nulls(bridge: Bridge, columns: list[str]) -> list[str]:
    """Return the check of columns that the legacy table wants to be NOT NULL, in its words."""
    if not columns:
        return []
    values = ", ".join(map(NEW.column, columns))
    legacy = {own: name for name, own in bridge.names.items()}
    which = " ".join(f"WHEN {NEW.column(n)} IS NULL THEN {literal(legacy[n])}" for n in columns)
    table = bridge.mapping.legacy
    arguments = f"{literal(table.schema)}, {literal(table.name)}, CASE {which} END"
    return [
        f"IF pg_catalog.num_nulls({values}) > 0 THEN",
        f"    PERFORM compat.refuse_null({arguments});",
        "END IF;",
    ]


def _function(lines: Iterable[str]) -> str:
    return "\n".join(["BEGIN", *_indented(lines), "    RETURN NEW;", "END"])


def _indented(lines: Iterable[str], by: int = 4) -> list[str]:
    return [" " * by + line for line in lines]


# -- its view -------------------------------------------------------------------------------------


def inner_name(mapping: Mapping) -> str:
    """Return the name, in the schema compat, of the view that marks what comes through it."""
    return derive(mapping.name, "__bridge")


def inner_select(mapping: Mapping) -> str:
    """Return the query of that view: the legacy columns, and the marker."""
    marker = bridge_of(mapping).marker.name
    reads = {**in_transition(mapping).reads(TARGET), marker: TARGET.column(marker)}
    columns = ",\n    ".join(f"{sql} AS {ident(name)}" for name, sql in reads.items())
    return f"SELECT\n    {columns}\nFROM {mapping.target.sql} AS {TARGET.name}"


def select(mapping: Mapping) -> str:
    """Return the query of the compatibility view, which passes the other one's columns on."""
    columns = ",\n    ".join(f"b.{ident(name)}" for name in mapping.legacy.column_names)
    return f"SELECT\n    {columns}\nFROM {_inner(mapping)} AS b"


def create_inner(mapping: Mapping) -> list[str]:
    """Return the statements that create the inner view, for nobody but the legacy table's owner.

    PostgreSQL gives a column that a client does not know the default of the view that has it.
    """
    inner, marker, legacy = _inner(mapping), bridge_of(mapping).marker.name, mapping.legacy
    return [
        f"CREATE VIEW {inner} AS\n{inner_select(mapping)}",
        f"ALTER VIEW {inner} ALTER COLUMN {ident(marker)} SET DEFAULT true",
        f"SELECT compat.own_view({regclass('compat', inner_name(mapping))}, "
        f"{regclass(legacy.schema, legacy.name)})",
    ]


def defaults(mapping: Mapping) -> dict[str, str]:
    """Return the defaults of the compatibility view's columns as SQL: those of the legacy table.

    A column without one must not be given that of the target, which a plain NULL would not prevent.
    """
    bridge = bridge_of(mapping)
    found = {}
    for column in mapping.legacy.columns:
        held = mapping.target.column(bridge.names.get(column.name, ""))
        if column.name not in bridge.names:
            continue  # only read
        if column.default is not None:
            found[column.name] = column.default
        elif held is not None and (held.default is not None or held.identity is not None):
            found[column.name] = f"CASE WHEN false THEN NULL::{column.type} END"
    return found


def _inner(mapping: Mapping) -> str:
    return qualified("compat", inner_name(mapping))
