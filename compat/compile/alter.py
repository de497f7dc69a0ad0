"""A mapping is changed while its migration is under way; or its view and functions are repaired.

Repairing is changing a mapping into itself. One transaction, as all steps.
"""

from __future__ import annotations

from collections.abc import Iterator

from compat.bridge import bridge_of, is_bridge
from compat.compile import bridge, copy, lookups, phases
from compat.compile.functions import TARGET
from compat.compile.replace import Phase, drop_if_there, replace, view_name
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass
from compat.rules import Row
from compat.tables import Table

_RETIRED = Row("r")


def converts_otherwise(before: Mapping, after: Mapping) -> bool:
    """Return whether the one mapping may make another target row of a legacy row than the other."""
    return copy.batch(before) != copy.batch(after)


def reasons_against(before: Mapping, after: Mapping, phase: Phase) -> Iterator[str]:
    """Yield why one mapping cannot become the other; one sentence each."""
    for what, old, new in (
        ("name", before.name, after.name),
        ("legacy table", before.legacy.title, after.legacy.title),
        ("target", before.target.title, after.target.title),
    ):
        if old != new:
            yield f"the {what} is another ({old} before, {new} after): that is another migration"
    for mapping in (before, after):
        if is_bridge(mapping):
            where = bridge_of(mapping).base.title
            yield f"{where} carries a bridge that fits one mapping only ({mapping.chosen_form})"
    if before.syncs_through_view or after.syncs_through_view:
        yield "its rows are in several tables, or share one"
    if phase != "cutover":
        return
    if _shown(before.legacy) != _shown(after.legacy):
        yield "the legacy columns are others, and clients use the view that has them"
    if (before.legacy.row_key, before.target_key) != (after.legacy.row_key, after.target_key):
        yield "the key is another: the rows of the retired table could not be found by it"


def alter(before: Mapping, after: Mapping, phase: Phase) -> list[str]:
    """Return the statements that make triggers, functions and view as the new mapping says.

    Before the cutover, where `converts_otherwise`, the target is emptied and the copy begins anew.
    After it the target's rows are what they are; the retired table follows what the view shows.
    """
    name = literal(after.name)
    statements = _make_anew(before, after, phase)
    if phase == "cutover":
        statements += _update_retired(before, after)
    elif converts_otherwise(before, after):
        statements += _begin_copy_anew(after)
    return [
        *statements,
        f"UPDATE compat.mapping SET document = {literal(after.to_json())}, "
        f"fingerprint = {literal(after.fingerprint)} WHERE name = {name}",
        phases.event(after, "alter"),
    ]


def repair(mapping: Mapping, phase: Phase) -> list[str]:
    """Return the statements that make triggers, functions and view anew as the mapping says."""
    return [*_make_anew(mapping, mapping, phase), phases.event(mapping, "repair")]


def _make_anew(before: Mapping, after: Mapping, phase: Phase) -> list[str]:
    return [
        phases.require_phase(after, phase),
        *_lock(after, phase),
        *_replace_bridge(after),
        *replace(before, after, phase),
        *drop_if_there(lookups.drop(before)),
        *lookups.create(after),
    ]


def _replace_bridge(mapping: Mapping) -> list[str]:
    """Return the statements that make the triggers of the bridge anew; its columns stay."""
    if not is_bridge(mapping):
        return []
    return [
        *bridge.define(mapping),
        *drop_if_there(bridge.detach(mapping)),
        *bridge.attach(mapping),
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
        f"FROM {after.target.sql} AS {TARGET.name}\nWHERE {same_row} AND {differs}",
        "SET LOCAL compat.late_writes = off",
    ]


def _begin_copy_anew(mapping: Mapping) -> list[str]:
    """Return the statements that empty the target and forget how far the copy has come."""
    name = literal(mapping.name)
    return [
        f"SELECT compat.build_deferred_indexes({name})",
        f"DELETE FROM compat.deferred_index WHERE mapping = {name}",
        "SET LOCAL compat.early_writes = on",
        f"TRUNCATE {mapping.target.sql}",
        "SET LOCAL compat.early_writes = off",
        f"DELETE FROM compat.copy_progress WHERE mapping = {name}",
        f"DELETE FROM compat.reject WHERE mapping = {name}",
        f"UPDATE compat.mapping SET phase = 'expanded', changed_at = clock_timestamp() "
        f"WHERE name = {name}",
    ]


def _shown(table: Table) -> list[tuple[str, str, str | None]]:
    return [(column.name, column.type, column.collation) for column in table.columns]
