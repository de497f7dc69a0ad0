"""The versions beneath a migration: whose views read its legacy table, or read through it."""

from __future__ import annotations

from collections.abc import Iterator

from compat import state
from compat.compile.alter import Change
from compat.compile.relabel import relabelled
from compat.compile.versions import Older
from compat.compose import compose, compose_all
from compat.connection import Connection
from compat.errors import MappingError, StateError
from compat.mapping import Mapping
from compat.state import BEFORE_CUTOVER, Stored


def beneath(conn: Connection, mapping: Mapping) -> tuple[Older, ...]:
    """Return the versions whose views are made anew when a migration is cut over or rolled back.

    :param mapping: as the database holds it, composed with what it reads through
    :raises MappingError: one of them cannot be composed with it
    """
    return tuple(
        _older(path, mapping, item.phase == "published") for item, path in _paths(conn, mapping)
    )


def require_composable(conn: Connection, mapping: Mapping) -> None:
    """Look, before anything is made, whether older versions could be put beneath a migration.

    :raises StateError: one of them could not, says why
    """
    all_stored = state.load_all(conn)
    for name, message, fix in _torn(all_stored, mapping):
        raise StateError(f"{name!r} {message}", fix)
    for stored in _leading_to(all_stored, mapping):
        if stored.phase == "contracted":
            continue
        try:
            compose(stored.mapping, mapping)
        except MappingError as error:
            raise StateError(
                f"{stored.mapping.legacy.title}, which {stored.mapping.name!r} maps to "
                f"{mapping.legacy.title}, could not go on: {error.message}",
                f"contract {stored.mapping.name!r} first, or change this mapping",
            ) from None


def objections(conn: Connection, mapping: Mapping) -> Iterator[tuple[str, str, str]]:
    """Yield why a cutover must wait for older versions: the name of one, what is wrong, the fix."""
    yield from _torn(state.load_all(conn), mapping)
    for stored in _leading_to(state.load_all(conn), mapping):
        name = stored.mapping.name
        if stored.phase in BEFORE_CUTOVER:
            yield (
                name,
                f"writes to {mapping.legacy.title}, and is only {stored.phase}",
                f"cut over {name} first (`compat status {name}`), or unexpand it",
            )
    for item, path in _paths(conn, mapping):
        try:
            _older(path, mapping)
        except MappingError as error:
            name = item.stated.name
            yield name, error.message, f"contract {name} first, or change this mapping"


def other_forms(conn: Connection, mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Yield the older versions whose views change their form at the cutover, and how."""
    for item in beneath(conn, mapping):
        was, becomes = item.directly.chosen_form, item.composed.chosen_form
        if was != becomes:
            why = "; ".join(item.composed.reasons_against_updatable)
            yield item.directly.name, f"its view is {was} and becomes {becomes}: {why}"


def changes(
    conn: Connection, before: Mapping, after: Mapping
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return what is made anew where a mapping is changed, itself first, and why it cannot be.

    :param before: the mapping as it is stored, not composed
    """
    stored = {item.stated.name: item for item in state.load_all(conn)}
    held = stored[before.name].mapping
    try:
        composed = compose_all((after, *(stored[name].stated for name in held.through)))
    except MappingError as error:
        return (), (error.message,)
    # The views beneath are read by the labels that the rows have by then.
    between = relabelled(held, composed)
    found, reasons = [Change(held, composed)], []
    for item, path in _paths(conn, held) if stored[before.name].phase == "cutover" else ():
        try:
            was, becomes = (_older(path, by).composed for by in (between, composed))
            found.append(Change(was, becomes, item.phase == "published"))
        except MappingError as error:
            reasons.append(error.message)
    return tuple(found), tuple(reasons)


def _torn(stored: tuple[Stored, ...], mapping: Mapping) -> Iterator[tuple[str, str, str]]:
    """Yield the older versions of which another table has been replaced: a view follows one."""
    if mapping.chosen_form == "reversed":
        return
    for item in stored:
        above = item.mapping.through[:1]
        is_elsewhere = above not in ((), (mapping.name,))
        if is_elsewhere and item.phase != "contracted" and _leads_to(item.stated, mapping):
            yield (
                item.stated.name,
                f"reads {mapping.legacy.title}, and reads through {above[0]} already",
                f"contract {item.stated.name} first, or roll {above[0]} back",
            )


def _older(path: tuple[Mapping, ...], mapping: Mapping, is_published: bool = False) -> Older:
    directly = compose_all(path)
    return Older(directly, compose(directly, mapping), is_published)


def _paths(conn: Connection, mapping: Mapping) -> list[tuple[Stored, tuple[Mapping, ...]]]:
    """Return each version with a view beneath a migration, and the mappings that lead there."""
    stored = {item.mapping.name: item for item in state.load_all(conn)}
    last = {
        item.stated.name
        for item in _leading_to(tuple(stored.values()), mapping)
        if item.phase not in BEFORE_CUTOVER
    }
    paths = []
    for item in stored.values():
        names = (item.stated.name, *item.mapping.through)
        end = next((n for n, name in enumerate(names) if name in last), None)
        if item.phase in ("cutover", "published") and end is not None:
            paths.append((item, tuple(stored[name].stated for name in names[: end + 1])))
    return paths


def _leading_to(stored: tuple[Stored, ...], mapping: Mapping) -> list[Stored]:
    """Return the migrations one of whose tables is the legacy table of another, and leaves it."""
    if mapping.chosen_form == "reversed":
        return []  # it stays what it is, and where its readers know it
    return [
        item
        for item in stored
        if _leads_to(item.stated, mapping)
        and (item.mapping.through[:1] or (mapping.name,)) == (mapping.name,)
    ]


def _leads_to(older: Mapping, mapping: Mapping) -> bool:
    place = (mapping.legacy.schema, mapping.legacy.name)
    tables = [(table.schema, table.name) for table in older.tables]
    return older.name != mapping.name and place in tables
