"""The statements of a bridge: columns, indexes and triggers that let a plain view take any write.

A row that is written in one shape gets the other from a BEFORE trigger, under the lock that the
write holds anyway. So ON CONFLICT, MERGE, FOR UPDATE and PostgreSQL's own re-check of a row that
somebody has changed work through the view as on a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from compat import sqltypes
from compat.bridge import Bridge, Bridged, bridge_of, in_transition, is_bridge, key_sequences
from compat.compile.functions import (
    TARGET,
    drop_function,
    indented,
    null_default,
    trigger_function,
)
from compat.mapping import Mapping
from compat.names import derive, ident, idents, literal, qualified, regclass
from compat.rules import NEW, OLD, Lookup, Row
from compat.rules.lens import new_row
from compat.tables import Column, Sequence, Table

# Before the carrier's own triggers, which are to see a row complete in its own shape; and after
# them, since they may change it.
_FIRST, _LAST = "00_compat_bridge", "~compat_bridge"


# -- what the target carries ----------------------------------------------------------------------


def create(mapping: Mapping, *, filled: bool = False) -> list[str]:
    """Return the statements that put the bridge on its carrier; none where the form needs none.

    :param filled: whether the target has rows already, whose bridge is to be filled
    """
    if not is_bridge(mapping):
        return []
    bridge = bridge_of(mapping)
    return [
        _alter(bridge, [f"ADD COLUMN {_definition(column)}" for column in bridge.added]),
        *([_fill(bridge)] if filled and bridge.columns else []),
        *([_create_indexes(bridge)] if bridge.extra else []),
        *create_inner(mapping),
        *define(mapping),
        # After the filling: it is no change that the other shape should follow.
        *attach(mapping),
    ]


def carry(
    mapping: Mapping, table: Table, *, shown: Table | None = None, is_filled: bool = False
) -> list[str]:
    """Return the statements that add the columns of a bridge alone, to be filled by a copy.

    :param table: the carrier under its name of the moment
    :param shown: the table that the view stands for under its name of the moment
    :param is_filled: whether the target has rows already: the copy builds the indexes in the end
    """
    bridge = bridge_of(mapping)
    bridge = replace(bridge, base=table, shown=shown or bridge.shown)
    return [
        _alter(bridge, [f"ADD COLUMN {_definition(column)}" for column in bridge.added]),
        *([_create_indexes(bridge, later=is_filled)] if bridge.extra else []),
    ]


def uncarry(mapping: Mapping, table: Table) -> list[str]:
    """Return the statements that undo `carry`."""
    bridge = replace(bridge_of(mapping), base=table)
    return [_alter(bridge, [f"DROP COLUMN {ident(column.name)}" for column in bridge.added])]


def serve(mapping: Mapping) -> list[str]:
    """Return the statements that make use of the columns that `carry` has added."""
    return [*create_inner(mapping), *define(mapping), *attach(mapping)]


def drop(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create`; indexes over the bridge go with its columns."""
    if not is_bridge(mapping):
        return []
    bridge = bridge_of(mapping)
    return [
        f"DROP VIEW {_inner(mapping)}",
        *detach(mapping),
        *(drop_function(mapping, purpose) for purpose in _bodies(bridge)),
        _alter(bridge, [f"DROP COLUMN {ident(column.name)}" for column in bridge.added]),
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
    bridge = bridge_of(mapping)
    return [
        f"CREATE TRIGGER {ident(trigger.name)} BEFORE {trigger.event}\n"
        f"ON {bridge.base.sql} FOR EACH ROW\n"
        f"{trigger.when}"
        f"EXECUTE FUNCTION {mapping.function(trigger.purpose)}()"
        for trigger in _triggers(bridge)
    ]


def detach(mapping: Mapping) -> list[str]:
    """Return the statements that undo `attach`."""
    bridge = bridge_of(mapping)
    return [
        f"DROP TRIGGER {ident(trigger.name)} ON {bridge.base.sql}" for trigger in _triggers(bridge)
    ]


def contradictions(mapping: Mapping) -> list[tuple[str, str]]:
    """Return, per bridged column, its name and a predicate for carrier rows (t) out of step."""
    bridge = bridge_of(mapping)
    legacy, target = bridge.legacy_row(TARGET), bridge.target_row(TARGET)
    filled = f"{TARGET.column(bridge.marker.name)} IS NOT NULL AND " * bridge.is_reversed
    return [
        (item.column.name, f"{filled}NOT ({_corresponds(item, legacy, target)})")
        for item in bridge.columns
        if item.lens.targets
    ]


def assignments(mapping: Mapping, legacy: Row) -> dict[str, str]:
    """Return SQL for what the copy gives the carrier, over a legacy row (form `reversed`).

    The marker says of a row that it has both shapes: before, the triggers let it be.
    """
    bridge = bridge_of(mapping)
    given = {bridge.names[name]: value for name, value in _new_target(bridge, legacy).items()}
    return {**given, bridge.marker.name: "false"}


def lacks_shape(mapping: Mapping, row: Row) -> str:
    """Return the condition that a row of the carrier was not filled yet (form `reversed`)."""
    return f"{row.column(bridge_of(mapping).marker.name)} IS NULL"


def _alter(bridge: Bridge, changes: Iterable[str]) -> str:
    return f"ALTER TABLE {bridge.base.sql}\n    " + ",\n    ".join(changes)


def _definition(column: Column) -> str:
    collation = "" if column.collation is None else f" COLLATE {column.collation}"
    return f"{ident(column.name)} {column.type}{collation}"


def _fill(bridge: Bridge) -> str:
    reads = ",\n    ".join(
        f"{ident(item.column.name)} = {item.lens.read(TARGET)}" for item in bridge.columns
    )
    return f"UPDATE {bridge.mapping.target.sql} AS {TARGET.name} SET\n    {reads}"


def _create_indexes(bridge: Bridge, *, later: bool = False) -> str:
    """Return the statement that gives the carrier the indexes that the other shape has.

    The unique ones are what ON CONFLICT needs; the others, what the applications' queries need.
    Where there are rows already, the copy builds them in the end, while everybody goes on writing.
    """
    mapping, shown, base = bridge.mapping, bridge.shown, bridge.base
    added = _texts(name for name, own in bridge.held if own in bridge.extra_names)
    arguments = (
        f"{regclass(shown.schema, shown.name)}, {regclass(base.schema, base.name)},\n"
        f"    {_texts(bridge.names)}, {_texts(bridge.names.values())}, {added}"
    )
    if not (bridge.is_reversed or later):
        return f"SELECT compat.index_bridge({arguments})"
    shape = "v2" if bridge.is_reversed else "legacy"
    prefix = derive(mapping.name, f"__{shape}_000").removesuffix("000")
    return (
        f"SELECT compat.defer_bridge_indexes({literal(mapping.name)}, {literal(prefix)}, "
        f"{arguments})"
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
    if required and not bridge.is_reversed:
        nulls = _any(f"{NEW.column(n)} IS NULL AND {OLD.column(n)} IS NOT NULL" for n in required)
        event = f"UPDATE OF {idents(required)}"
        yield _Trigger(f"{_FIRST}_nulls", event, "bridge_nulls", nulls)
    for number, item in _numbered(bridge):
        if item.lens.targets:
            own = (item.column.name, *map(bridge.name_of, item.lens.targets))
            changed = _if_filled(bridge, _any(_stored_change(bridge, name) for name in own))
            purpose = f"bridge_update_{number}"
            yield _Trigger(
                f"{_FIRST}_update_{number}", f"UPDATE OF {idents(own)}", purpose, changed
            )
    for number, item in _numbered(bridge):
        if not _reads_own_targets(item) and item.lens.rule.reads:
            kept = f"NOT ({_stored_change(bridge, item.column.name)})"
            reads = map(bridge.name_of, item.lens.rule.reads)
            changed = _any(_stored_change(bridge, name) for name in reads)
            condition = _if_filled(bridge, f"{kept} AND ({changed})")
            purpose = f"bridge_read_{number}"
            yield _Trigger(f"{_FIRST}_update_read_{number}", "UPDATE", purpose, condition)
    if _settles(bridge):
        yield _Trigger(f"{_LAST}_insert", "INSERT", "bridge_settle")
        # Also when they have undone what the other shape has followed already.
        names = dict.fromkeys(
            (
                *_inputs(bridge),
                *(name for item in bridge.columns for name in _outputs(item, bridge)),
            )
        )
        changed = _if_filled(bridge, _any(_stored_change(bridge, name) for name in names))
        yield _Trigger(f"{_LAST}_update", "UPDATE", "bridge_settle", changed)
    if required and bridge.is_reversed:  # the legacy side, too, may have made one
        nulls = _any(f"{NEW.column(name)} IS NULL" for name in required)
        condition = f"{NEW.column(bridge.marker.name)} IS NOT NULL AND ({nulls})"
        yield _Trigger(f"{_LAST}_without_nulls", "INSERT OR UPDATE", "bridge_nulls", condition)


def _if_filled(bridge: Bridge, condition: str) -> str:
    """Return a trigger's condition, in the form `reversed` for rows only that the copy has filled.

    Others it fills from their legacy shape, whatever they have become by then.
    """
    if not bridge.is_reversed:
        return condition
    return f"{OLD.column(bridge.marker.name)} IS NOT NULL AND ({condition})"


def _bodies(bridge: Bridge) -> dict[str, str]:
    bodies = {"bridge_insert": _insert_body(bridge)}
    required = _required(bridge)
    if required:
        bodies["bridge_nulls"] = _function(_refuse_nulls(bridge, required))
    for number, item in _numbered(bridge):
        if item.lens.targets:
            bodies[f"bridge_update_{number}"] = _function(_carry_over(item, bridge))
        if not _reads_own_targets(item) and item.lens.rule.reads:
            bodies[f"bridge_read_{number}"] = _function([_read(item, bridge)])
    if _settles(bridge):
        bodies["bridge_settle"] = _settle_body(bridge)
    return bodies


def _numbered(bridge: Bridge) -> Iterable[tuple[int, Bridged]]:
    return enumerate(bridge.columns, start=1)


def _settles(bridge: Bridge) -> bool:
    """True where triggers between ours may change what is converted: its own, or a lookup's."""
    is_filled = any(
        isinstance(item.lens.rule, Lookup) and item.lens.rule.keep is not None
        for item in bridge.columns
    )
    return bool((bridge.base.triggers or is_filled) and _inputs(bridge))


def _inputs(bridge: Bridge) -> tuple[str, ...]:
    """Return the base's own columns that the bridge follows."""
    if bridge.is_reversed:
        return tuple(item.column.name for item in bridge.columns if item.lens.targets)
    return tuple(dict.fromkeys(name for item in bridge.columns for name in item.lens.rule.reads))


def _outputs(item: Bridged, bridge: Bridge) -> tuple[str, ...]:
    """Return the columns of the bridge that one legacy column makes."""
    if bridge.is_reversed:
        return tuple(map(bridge.name_of, item.lens.targets))
    return (item.column.name,)


def _required(bridge: Bridge) -> list[str]:
    """Return the columns of the carrier that only the shown table wants to be NOT NULL."""
    carrier, shown = bridge.carrier, bridge.shown
    return [
        own
        for name, own in bridge.held
        if not _column(shown, name).nullable and _column(carrier, own).nullable
    ]


def _insert_body(bridge: Bridge) -> str:
    marker = NEW.column(bridge.marker.name)
    if bridge.is_reversed:
        return _function(
            [
                f"IF {marker} THEN",
                *indented(_keep_drawn_keys(bridge)),
                *indented(_read(item, bridge) for item in bridge.columns),
                *(["ELSE"] if bridge.extra else []),
                *indented(_given_by_legacy(bridge)),
                "END IF;",
                f"{marker} := false;",
            ]
        )
    required = [own for name, own in bridge.held if not _column(bridge.shown, name).nullable]
    given = [
        f"{NEW.column(name)} := {value};" for name, value in _new_target(bridge, bridge.new).items()
    ]
    return _function(
        [
            f"IF {marker} THEN",
            *indented([f"{marker} := NULL;", *_refuse_nulls(bridge, required)]),
            *indented(given),
            *(["ELSE"] if bridge.columns else []),
            *indented(_draw_keys(bridge.mapping)),
            *indented(line for item in bridge.columns for line in _given_by_target(item, bridge)),
            "END IF;",
        ]
    )


def drawn(mapping: Mapping) -> tuple[Sequence, ...]:
    """Return the sequences from which the triggers of the bridge draw keys of the target.

    A default would be drawn beside the view's own, and each legacy INSERT would take two numbers.
    """
    return key_sequences(mapping) if mapping.chosen_form == "bridged" else ()


def _draw_keys(mapping: Mapping) -> Iterator[str]:
    for sequence in drawn(mapping):
        key = NEW.column(mapping.lens(sequence.column).targets[0])
        number = f"nextval({literal(sequence.sql)}::pg_catalog.regclass)"
        yield f"{key} := coalesce({key}, {number});"


def _keep_drawn_keys(bridge: Bridge) -> Iterator[str]:
    """Yield what gives a row of v2 without a key the one that the legacy column has just drawn."""
    for sequence in key_sequences(bridge.mapping):
        lens = bridge.mapping.lens(sequence.column)
        own = NEW.column(bridge.name_of(lens.targets[0]))
        yield f"{own} := coalesce({own}, {lens.write(bridge.new)[lens.targets[0]]});"


def _new_target(bridge: Bridge, legacy: Row) -> dict[str, str]:
    """Return SQL for what a new row gets beside what the carrier holds already, over a legacy row.

    What a bridge adds has no default of its own, since a NULL would not prevent it.
    """
    fills = {fill.target: fill.write(legacy) for fill in bridge.mapping.fills}
    written = new_row([item.lens for item in bridge.columns], legacy, fills)
    given = written | {name: value for name, value in fills.items() if name not in written}
    if not bridge.is_reversed:
        return given
    defaults = {
        column.name: column.default
        for column in bridge.shown.columns
        if column.default is not None and bridge.names[column.name] in bridge.extra_names
    }
    return defaults | given


def _given_by_legacy(bridge: Bridge) -> Iterator[str]:
    """Yield what an INSERT into the legacy table does: it need not give the bridge, but may."""
    given = _new_target(bridge, bridge.new)
    targets = dict.fromkeys(item.lens.targets for item in bridge.columns if item.lens.targets)
    alone = [(name,) for name in given if not any(name in names for names in targets)]
    for names in (*targets, *alone):
        own = [NEW.column(bridge.names[name]) for name in names]
        yield f"IF pg_catalog.num_nonnulls({', '.join(own)}) = 0 THEN"
        for column, name in zip(own, names, strict=True):
            yield f"    {column} := {given[name]};"
        for item in bridge.columns:
            if item.lens.targets == names:
                yield f"ELSIF NOT ({_corresponds(item, bridge.new, bridge.new_target)}) THEN"
                yield f"    {_contradict(item, bridge)}"
        yield "END IF;"


def _given_by_target(item: Bridged, bridge: Bridge) -> list[str]:
    """Return what an INSERT into the target itself does: it need not give the bridge, but may."""
    column = NEW.column(item.column.name)
    lines = [f"IF {column} IS NULL THEN", f"    {_read(item, bridge)}"]
    if item.lens.targets:
        lines += [
            f"ELSIF NOT ({_corresponds(item, bridge.new, bridge.new_target)}) THEN",
            *indented([_contradict(item, bridge)]),
        ]
    return [*lines, "END IF;"]


def _carry_over(item: Bridged, bridge: Bridge) -> list[str]:
    """Return what an UPDATE does for one column: the side that it changed gives the other."""
    written = item.lens.write(bridge.new, current=bridge.new_target)
    by_target = _any(_changed(item, bridge))
    lines = [
        f"IF {item.lens.changed(bridge.new, bridge.old)} THEN",
        f"    IF NOT ({by_target}) THEN",
        *indented(_assigned(written, bridge), 8),
        f"    ELSIF NOT ({_corresponds(item, bridge.new, bridge.new_target)}) THEN",
        *indented([_contradict(item, bridge)], 8),
        "    END IF;",
    ]
    if _reads_own_targets(item):
        lines += [f"ELSIF {by_target} THEN", f"    {_read(item, bridge)}"]
    return [*lines, "END IF;"]


def _assigned(written: dict[str, str], bridge: Bridge) -> Iterator[str]:
    for name, value in written.items():
        yield f"{NEW.column(bridge.name_of(name))} := {value};"


def _read(item: Bridged, bridge: Bridge) -> str:
    return f"{NEW.column(item.column.name)} := {item.lens.read(bridge.new_target)};"


def _settle_body(bridge: Bridge) -> str:
    """Return what is done after the carrier's own triggers, whose word is the last."""
    lines = []
    for item in bridge.columns:
        if bridge.is_reversed and item.lens.targets:
            written = item.lens.write(bridge.new, current=bridge.new_target)
            follow = list(_assigned(written, bridge))
        elif not bridge.is_reversed and item.lens.rule.reads:
            follow = [_read(item, bridge)]
        else:
            continue
        lines += [
            f"IF NOT ({_corresponds(item, bridge.new, bridge.new_target)}) THEN",
            *indented(follow),
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
        before, after = item.lens.read(bridge.old_target), item.lens.read(bridge.new_target)
        return [_not_alike(item.column, after, before)]
    return [_differs(bridge, name) for name in item.lens.targets]


def _any(conditions: Iterable[str]) -> str:
    return "\n    OR ".join(conditions)


def _differs(bridge: Bridge, name: str) -> str:
    column = _column(bridge.mapping.target, name)
    return _not_alike(column, bridge.new_target.column(name), bridge.old_target.column(name))


def _stored_change(bridge: Bridge, name: str) -> str:
    """Return the condition that an UPDATE changes a column of the carrier, for a trigger."""
    column = _column(bridge.carrier, name)
    return sqltypes.differs_stored(
        NEW.column(name), OLD.column(name), column.type, column.collation
    )


def _not_alike(column: Column, left: str, right: str) -> str:
    return sqltypes.differs(left, right, column.type, column.collation)


def _column(table: Table, name: str) -> Column:
    column = table.column(name)
    assert column is not None, name
    return column


def _contradict(item: Bridged, bridge: Bridge) -> str:
    main = bridge.name_of(item.lens.targets[0])
    arguments = [
        literal(bridge.base.schema),
        literal(bridge.base.name),
        literal(item.column.name),
        f"{NEW.column(item.column.name)}::text",
        literal(main),
        f"{NEW.column(main)}::text",
    ]
    return f"PERFORM compat.contradict({', '.join(arguments)});"


def _refuse_nulls(bridge: Bridge, columns: list[str]) -> list[str]:
    """Return the check of columns that the shown table wants to be NOT NULL, in its words."""
    if not columns:
        return []
    values = ", ".join(map(NEW.column, columns))
    shown = {own: name for name, own in bridge.held}
    which = " ".join(f"WHEN {NEW.column(n)} IS NULL THEN {literal(shown[n])}" for n in columns)
    table = bridge.shown
    arguments = f"{literal(table.schema)}, {literal(table.name)}, CASE {which} END"
    return [
        f"IF pg_catalog.num_nulls({values}) > 0 THEN",
        f"    PERFORM compat.refuse_null({arguments});",
        "END IF;",
    ]


def _function(lines: Iterable[str]) -> str:
    return "\n".join(["BEGIN", *indented(lines), "    RETURN NEW;", "END"])


# -- its view -------------------------------------------------------------------------------------


def inner_name(mapping: Mapping) -> str:
    """Return the name, in the schema compat, of the view that marks what comes through it."""
    return derive(mapping.name, "__bridge")


def inner_select(mapping: Mapping) -> str:
    """Return the query of that view: the columns of what it stands for, and the marker."""
    bridge = bridge_of(mapping)
    marker = bridge.marker.name
    reads = {**in_transition(mapping).reads(TARGET), marker: TARGET.column(marker)}
    columns = ",\n    ".join(f"{sql} AS {ident(name)}" for name, sql in reads.items())
    return f"SELECT\n    {columns}\nFROM {bridge.base.sql} AS {TARGET.name}"


def select(mapping: Mapping) -> str:
    """Return the query of the compatibility view, which passes the other one's columns on."""
    columns = ",\n    ".join(f"b.{ident(name)}" for name in bridge_of(mapping).shown.column_names)
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
    """Return the defaults of the view's columns as SQL: those of what it stands for.

    A column without one must not be given that of the carrier, which a plain NULL would not
    prevent. But v2 draws its keys from the sequence of the legacy table, where that keeps them.
    """
    bridge = bridge_of(mapping)
    drawn = {sequence.column for sequence in mapping.legacy.sequences if bridge.is_reversed}
    found = {}
    for column in bridge.shown.columns:
        own = bridge.names.get(column.name)
        if own is None:
            continue  # only read
        held = bridge.base.column(own)
        if column.default is not None:
            found[column.name] = column.default
        elif held is not None and own in drawn and held.default is not None:
            found[column.name] = held.default
        elif held is not None and (held.default is not None or held.identity is not None):
            found[column.name] = null_default(column.type)
    return found


def _inner(mapping: Mapping) -> str:
    return qualified("compat", inner_name(mapping))
