"""A mapping is changed while its migration is under way; or its view and functions are repaired.

Repairing is changing a mapping into itself. One transaction, as all steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from compat.bridge import bridge_of, is_bridge
from compat.compile import bridge, copy, lookups, phases, sync
from compat.compile.functions import TARGET
from compat.compile.relabel import relabel, relabelled
from compat.compile.replace import Phase, drop_if_there, replace, replace_view, view_name
from compat.compile.shaped import numbers
from compat.compile.source import halves, source
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass
from compat.rules import NEW, Row
from compat.shapes import Parent
from compat.tables import Table

_RETIRED = Row("r")


@dataclass(frozen=True)
class Change:
    """One version of which the view is made anew.

    :param before: its mapping, composed with the later versions that it reads through
    :param after: what it becomes
    :param is_published: whether it is a view only, without a retired table
    """

    before: Mapping
    after: Mapping
    is_published: bool = False


def converts_otherwise(before: Mapping, after: Mapping) -> bool:
    """Return whether the one mapping may make another target row of a legacy row than the other."""
    return _made(before) != _made(after)


def _made(mapping: Mapping) -> tuple[object, ...]:
    """Return what tells which rows are made of a legacy row, and where."""
    written = [mapping.writes_to(place, NEW) for place in mapping.places]
    conditions = [choice.when for choice in mapping.choices]
    return copy.batch(mapping), written, conditions, mapping.remainder


def own_tables(mapping: Mapping) -> tuple[Table, ...]:
    """Return the tables that hold rows of this migration alone, before its cutover."""
    parts = tuple(place.table for place in halves(mapping))
    return (mapping.target, *parts, *(choice.table for choice in mapping.choices))


def reasons_against(change: Change, phase: Phase) -> Iterator[str]:
    """Yield why one mapping cannot become the other; one sentence each."""
    before, after = change.before, change.after
    for what, old, new in (
        ("name", before.name, after.name),
        ("legacy table", before.legacy.title, after.legacy.title),
        ("target", before.target.title, after.target.title),
    ):
        if old != new:
            yield f"the {what} is another ({old} before, {new} after): that is another migration"
            return
    if _places(before) != _places(after):
        yield "its rows are in other tables, or joined by other columns"
        return
    yield from _reasons_of_bridge(before, after, phase)
    if phase != "cutover":
        yield from _reasons_before_cutover(before, after)
        return
    if _conditions(before) != _conditions(after):
        yield "the conditions of its choices are others, by which rows were put where they are"
    if _shown(before.legacy) != _shown(after.legacy):
        yield "the legacy columns are others, and clients use the view that has them"
    if (before.legacy.row_key, before.target_key) != (after.legacy.row_key, after.target_key):
        yield "the key is another: the rows of the retired table could not be found by it"


def _reasons_of_bridge(before: Mapping, after: Mapping, phase: Phase) -> Iterator[str]:
    if not (is_bridge(before) or is_bridge(after)):
        return
    if before.chosen_form != after.chosen_form:
        yield (
            f"its form is {before.chosen_form} and would be {after.chosen_form}: "
            "`compat switch`, or op.switch_form, changes that after the cutover"
        )
        return
    where, old, new = bridge_of(before).base.title, _carried(before), _carried(after)
    if old != new:
        yield f"{where} carries the columns {', '.join(old)}, and would carry {', '.join(new)}"
    elif bridge.inner_select(before) != bridge.inner_select(after):
        yield f"{where} carries columns that are read under other names"
    if before.chosen_form == "reversed" and _converts(before) != _converts(after):
        yield f"{where} holds v2's columns as the mapping before converts them, and v2 uses them"


def _reasons_before_cutover(before: Mapping, after: Mapping) -> Iterator[str]:
    if not converts_otherwise(before, after):
        return
    if after.tag is not None:
        yield f"{after.target.title} holds rows of others, and could not be emptied for a new copy"
    for part in after.parts:
        if isinstance(part, Parent):
            yield f"{part.table.title} may have others' rows, and could not be emptied either"


def _places(mapping: Mapping) -> tuple[object, ...]:
    """Return in which tables a row is, and how it is found there; not what is done to it."""
    parts = [
        (part.shape, part.table.title, part.on, part.holds, part.may_lack) for part in mapping.parts
    ]
    return parts, [choice.table.title for choice in mapping.choices], mapping.tag


def _conditions(mapping: Mapping) -> tuple[object, ...]:
    return [choice.when for choice in mapping.choices], mapping.remainder


def _carried(mapping: Mapping) -> list[str]:
    return [f"{ident(column.name)} {column.type}" for column in bridge_of(mapping).added]


def _converts(mapping: Mapping) -> tuple[object, ...]:
    return _made(mapping), mapping.reads(TARGET)


def alter(stated: Mapping, changes: Iterable[Change], phase: Phase) -> list[str]:
    """Return the statements that make triggers, functions and views as the new mapping says.

    Before the cutover, where `converts_otherwise`, the target is emptied and the copy begins anew.
    After it the target's rows are what they are; the retired tables follow what the views show.

    :param stated: the new mapping as the revision has it
    :param changes: it first, as it is composed; then the versions beneath
    """
    own, *beneath = changes = tuple(changes)
    name = literal(stated.name)
    statements = [
        phases.require_phase(stated, phase),
        *[
            f"LOCK TABLE {change.after.legacy.sql} IN ACCESS EXCLUSIVE MODE"
            for change in sorted(beneath, key=lambda change: change.after.name)
        ],
        *_lock(own.after, phase),
        *(_relabel(changes) if phase == "cutover" else []),
        *_make_anew(own.before, own.after, phase),
    ]
    if phase == "cutover":
        statements += _update_retired(relabelled(own.before, own.after), own.after)
        statements += _set_defaults_of_retired(own.before, own.after)
        statements += chain.from_iterable(map(_make_beneath_anew, beneath))
    elif converts_otherwise(own.before, own.after):
        statements += _begin_copy_anew(own.after)
    return [
        *statements,
        f"UPDATE compat.mapping SET document = {literal(stated.to_json())}, "
        f"fingerprint = {literal(stated.fingerprint)} WHERE name = {name}",
        phases.event(stated, "alter"),
    ]


def repair(mapping: Mapping, phase: Phase) -> list[str]:
    """Return the statements that make triggers, functions and view anew as the mapping says."""
    return [
        phases.require_phase(mapping, phase),
        *_lock(mapping, phase),
        *_make_anew(mapping, mapping, phase),
        phases.event(mapping, "repair"),
    ]


def _make_anew(before: Mapping, after: Mapping, phase: Phase) -> list[str]:
    is_cutover = phase == "cutover"
    return [
        *replace(before, after, phase),
        *(_replace_bridge(before, after, is_cutover) if is_bridge(after) else []),
        *drop_if_there(lookups.drop(before)),
        *lookups.create(after),
        *(numbers.draw(after) if is_cutover else []),
    ]


def _make_beneath_anew(change: Change) -> list[str]:
    """Return the statements for a version beneath; its view is locked."""
    before, after = change.before, change.after
    if change.is_published:
        return replace_view(before, after, after.legacy.name, after.target)
    return [
        *replace(before, after, "cutover"),
        *drop_if_there(lookups.drop(before)),
        *lookups.create(after),
        *numbers.draw(after),
        *_update_retired(before, after),
    ]


def _relabel(changes: tuple[Change, ...]) -> list[str]:
    """Return the statements that relabel rows; nothing follows, since no value has changed."""
    own = changes[0]
    statements = relabel(own.before, own.after)
    if not statements:
        return []
    triggers = [sync.detach_reverse(change.before) for change in changes if not change.is_published]
    if is_bridge(own.before):
        triggers.append(bridge.detach(own.before))
    return [*drop_if_there(list(chain.from_iterable(triggers))), *statements]


def _replace_bridge(before: Mapping, after: Mapping, is_cutover: bool) -> list[str]:
    """Return the statements that make the triggers of the bridge anew; its columns stay."""
    return [
        *bridge.define(after),
        *drop_if_there(bridge.detach(before)),
        # Without them, since nobody has changed anything.
        *(_refill(before, after) if is_cutover else []),
        *bridge.attach(after),
    ]


def _refill(before: Mapping, after: Mapping) -> list[str]:
    """Return the statement that reads a bridge anew, where it corresponds to the target no more."""
    if after.chosen_form != "bridged":
        return []
    changed = {
        lens.legacy.name for lens in after.lenses if lens.rule != before.lens(lens.legacy.name).rule
    }
    columns = {item.column.name: item.lens for item in bridge_of(after).columns}
    broken = {
        name: predicate
        for name, predicate in bridge.contradictions(after)
        if columns[name].legacy.name in changed
    }
    if not broken:
        return []
    assigned = ",\n    ".join(
        f"{ident(name)} = CASE WHEN {predicate} THEN {columns[name].read(TARGET)} "
        f"ELSE {TARGET.column(name)} END"
        for name, predicate in broken.items()
    )
    return [
        f"UPDATE {after.target.sql} AS {TARGET.name} SET\n    {assigned}\n"
        f"WHERE {' OR '.join(broken.values())}"
    ]


def _lock(mapping: Mapping, phase: Phase) -> list[str]:
    """Return the statements that keep writers out, in the order in which these take locks."""
    schema, name = view_name(mapping, phase)
    if mapping.chosen_form == "reversed":
        return [f"LOCK TABLE {mapping.legacy.sql} IN SHARE ROW EXCLUSIVE MODE"]
    source = [] if phase == "cutover" else [mapping.legacy.sql]
    return [
        *[f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE" for table in source],
        # Locks the view and, beneath it, the target.
        f"SELECT compat.lock_view({literal(qualified(schema, name))}, "
        f"{regclass(mapping.target.schema, mapping.target.name)})",
        "SELECT compat.hurry()",
    ]


def _update_retired(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements that bring the retired table after what the view shows now.

    Only rows that read otherwise than before, and only columns that are read by another rule: what
    the old rule could not say exactly keeps its legacy spelling everywhere else.
    """
    if is_bridge(after):
        return []  # it holds what the view shows
    old, new = before.reads(TARGET), after.reads(TARGET)
    changed = [
        name
        for name, read in new.items()
        if read != old[name] and after.lens(name).legacy.generated is None
    ]
    if not changed:
        return []
    assigned = ",\n    ".join(f"{ident(name)} = {new[name]}" for name in changed)
    same_row = " AND ".join(
        f"{_RETIRED.column(lens.legacy.name)} = {lens.read(TARGET)}" for lens in after.key
    )
    differs = " OPERATOR(pg_catalog.*<>) ".join(
        f"ROW({', '.join(reads[name] for name in changed)})::record" for reads in (old, new)
    )
    return [
        "SET LOCAL compat.late_writes = on",
        f"UPDATE {after.retired} AS {_RETIRED.name} SET\n    {assigned}\n"
        f"FROM {source(after)}\nWHERE {same_row} AND {differs}",
        "SET LOCAL compat.late_writes = off",
    ]


def _set_defaults_of_retired(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements that give the retired table the defaults that the view has now."""
    if after.chosen_form == "reversed":
        return []  # the legacy table is the user's own
    statements = []
    for column in after.legacy.columns:
        old = before.legacy.column(column.name)
        if old is not None and old.default != column.default:
            change = "DROP DEFAULT" if column.default is None else f"SET DEFAULT {column.default}"
            statements.append(
                f"ALTER TABLE {after.retired} ALTER COLUMN {ident(column.name)} {change}"
            )
    return statements


def _begin_copy_anew(mapping: Mapping) -> list[str]:
    """Return the statements that empty the target and forget how far the copy has come."""
    name = literal(mapping.name)
    return [
        f"SELECT compat.build_deferred_indexes({name})",
        f"DELETE FROM compat.deferred_index WHERE mapping = {name}",
        "SET LOCAL compat.early_writes = on",
        f"TRUNCATE {', '.join(table.sql for table in own_tables(mapping))}",
        "SET LOCAL compat.early_writes = off",
        f"DELETE FROM compat.copy_progress WHERE mapping = {name}",
        f"DELETE FROM compat.reject WHERE mapping = {name}",
        f"UPDATE compat.mapping SET phase = 'expanded', changed_at = clock_timestamp() "
        f"WHERE name = {name}",
    ]


def _shown(table: Table) -> list[tuple[str, str, str | None]]:
    return [(column.name, column.type, column.collation) for column in table.columns]
