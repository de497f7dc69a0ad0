"""INSTEAD OF bodies for rows that are spread over the target, halves of it, and parents.

Each keeps the rows in variables that have the names of the aliases (t, p1, …), so that what a rule
reads is the same text in a query and in a variable.

Locks are taken in the order of v2 writers, for whom the reverse sync locks the target's row after
the row of a part that they have written: parts first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compat.compile import errors
from compat.compile.bodies import could_not_serialize, guard, refuse_read_only, to_read_back
from compat.compile.functions import (
    TARGET,
    any_changed,
    columns_and_values,
    indented,
    same_target_row,
)
from compat.compile.shaped.stale import leave_if_changed
from compat.compile.source import halves, matches, parents, source
from compat.mapping import Mapping
from compat.names import ident, idents
from compat.rules import NEW, OLD, Lens, Row
from compat.rules.lens import changed_row
from compat.shapes import Half, Parent, Place


def insert_body(mapping: Mapping) -> str:
    """Return the body for INSERT: parents are found or made, then target and halves."""
    return _function(
        mapping,
        [
            *errors.refuse_nulls(mapping),
            *refuse_read_only(mapping, "insert"),
            *errors.refuse_checks(mapping),
            *errors.doubts(mapping),
            *(line for place in parents(mapping) for line in _find_or_make(mapping, place)),
            *_insert_rows(mapping),
            "    IF NOT FOUND THEN",
            "        RETURN NULL;",  # a trigger of the target's own has left it out
            "    END IF;",
            *_read_back(mapping),
            "    RETURN NEW;",
        ],
    )


def update_body(mapping: Mapping) -> str:
    """Return the body for UPDATE: only tables of which something changed are written."""
    found = [place for place in parents(mapping) if mapping.lenses_of(place)]
    lines = [
        *errors.refuse_nulls(mapping),
        *refuse_read_only(mapping, "update"),
        *errors.refuse_checks(mapping),
        *_lock(mapping, "FOR NO KEY UPDATE"),
        *_leave_if_changed(mapping),
        f"    doubtful := {any_changed(errors.key_lenses(mapping))};",
        *(f"    left_{place.row.name} := {place.row.name};" for place in _cleaned(mapping)),
        *_move_keys(mapping),
    ]
    for place in found:
        lines += _if(any_changed(mapping.lenses_of(place)), _find_or_make(mapping, place))
    lines += _update_rows(mapping)
    for place in _cleaned(mapping):
        left = Row(f"left_{place.row.name}")
        lines += _if(any_changed(mapping.lenses_of(place)), _clean(mapping, place, left))
    lines += _read_back(mapping)
    return _function(mapping, [*lines, "    RETURN NEW;"], left=_cleaned(mapping))


def delete_body(mapping: Mapping) -> str:
    """Return the body for DELETE: the halves go with the target's row, in one command."""
    gone = [
        f"{place.row.name}_gone AS (\n"
        f"        DELETE FROM {place.table.sql} AS {place.row.name} "
        f"WHERE {matches(place, TARGET)})"
        for place in halves(mapping)
        if isinstance(place.part, Half) and place.part.on_delete == "delete"
    ]
    head = f"    WITH {', '.join(gone)}\n    " if gone else "    "
    delete = f"{head}DELETE FROM {mapping.target.sql} AS t WHERE {same_target_row(mapping, OLD)};"
    written = [mapping.places[0], *halves(mapping)]
    return _function(
        mapping,
        [
            *_lock(mapping, "FOR UPDATE"),
            *_leave_if_changed(mapping),
            f"    doubtful := {errors.is_referenced(mapping, OLD)};",
            *errors.where_doubtful(mapping, [delete], OLD, written),
            *(line for p in _cleaned(mapping) for line in _clean(mapping, p, p.row)),
            "    RETURN OLD;",
        ],
    )


def _function(mapping: Mapping, lines: Iterable[str], left: Iterable[Place] = ()) -> str:
    declared = [f"    {place.row.name} {place.table.sql}%ROWTYPE;" for place in mapping.places]
    declared += [f"    left_{place.row.name} {place.table.sql}%ROWTYPE;" for place in left]
    declared.append("    doubtful boolean := false;")
    return "\n".join(["DECLARE", *declared, "BEGIN", *lines, "END"])


def _if(condition: str, lines: Iterable[str]) -> list[str]:
    return [f"    IF {condition} THEN", *indented(lines), "    END IF;"]


def _given(lenses: Iterable[Lens]) -> str:
    """Return the condition that any of these legacy columns has a value."""
    columns = ", ".join(NEW.column(lens.legacy.name) for lens in lenses)
    return f"pg_catalog.num_nonnulls({columns}) > 0" if columns else "false"


# -- parents ----------------------------------------------------------------------------------


def _find_or_make(mapping: Mapping, place: Place) -> list[str]:
    """Return the search for the parent with the values of NEW, into its variable."""
    alias, lenses = place.row.name, mapping.lenses_of(place)
    identity = {name: sql for lens in lenses for name, sql in lens.write(NEW).items()}
    same = " AND ".join(f"{place.row.column(name)} = {sql}" for name, sql in identity.items())
    columns, values = columns_and_values(mapping.writes_to(place, NEW))
    find = [
        f"SELECT {alias}.* INTO {alias} FROM {place.table.sql} AS {alias}",
        f"WHERE {same} FOR KEY SHARE;",
    ]
    make = [
        f"    INSERT INTO {place.table.sql} AS {alias} ({columns})",
        f"    VALUES ({values})",
        f"    ON CONFLICT ({idents(list(identity))}) DO NOTHING",
        f"    RETURNING {alias}.* INTO {alias};",
    ]
    return [
        f"    IF NOT {_given(lenses)} THEN",
        f"        {alias} := NULL;",
        "    ELSE",
        *indented(find, 8),
        "        IF NOT FOUND THEN",
        *indented(errors.where_doubtful(mapping, make, NEW, [place]), 8),
        "            IF NOT FOUND THEN  -- somebody else has made it meanwhile",
        *(f"                {line}" for line in find),
        "                IF NOT FOUND THEN",
        *could_not_serialize(mapping, 20),
        "                END IF;",
        "            END IF;",
        "        END IF;",
        "    END IF;",
    ]


def _references(mapping: Mapping) -> dict[str, str]:
    """Return the target's columns that reference parents, with the keys in their variables."""
    return {other: place.row.column(mine) for place in parents(mapping) for mine, other in place.on}


def _cleaned(mapping: Mapping) -> list[Place]:
    """Return the parents that go when the last row has left them."""
    return [
        place
        for place in parents(mapping)
        if isinstance(place.part, Parent) and place.part.orphans == "delete"
    ]


def _clean(mapping: Mapping, place: Place, left: Row) -> list[str]:
    """Return the deletion of a parent that nothing references any more, from its variable.

    Locked first, and looked at again with a new snapshot: a row that references it may have been
    committed while the lock was waited for.
    """
    same = " AND ".join(f"gone.{ident(mine)} = {left.column(mine)}" for mine, _ in place.on)
    used = " AND ".join(f"t.{ident(other)} = gone.{ident(mine)}" for mine, other in place.on)
    # Under another alias: that of the place is the name of the variable.
    gone = f"FROM {place.table.sql} AS gone WHERE {same}"
    return [
        f"    PERFORM {gone} FOR UPDATE;",
        f"    DELETE {gone}",
        f"    AND NOT EXISTS (SELECT FROM {mapping.target.sql} AS t WHERE {used});",
    ]


# -- the target and its halves ----------------------------------------------------------------


def _insert_rows(mapping: Mapping) -> list[str]:
    """Return the INSERT of target and halves in one command.

    So that the reverse sync, and whatever else comes after it, finds the row complete.
    """
    target = mapping.places[0]
    written = mapping.writes(NEW) | _references(mapping)
    joined = [_inserted_half(mapping, place) for place in halves(mapping)]
    if not joined:
        return errors.insert(mapping, target, written, "\n    RETURNING t.* INTO t")
    columns, values = columns_and_values(written)

    def command(left_out: str) -> list[str]:
        own = (
            f"t AS (\n        INSERT INTO {target.table.sql} AS t ({columns})\n"
            f"        VALUES ({values}){left_out}\n        RETURNING t.*)"
        )
        items = ",\n    ".join([own, *joined])
        return [f"    WITH {items}", "    SELECT t.* INTO t FROM t;"]

    at_first, again = command(errors.on_conflict(target.table)), command("")
    places = [target, *halves(mapping)]
    return errors.insert_or_explain(mapping, at_first, again, places, given="")


def _inserted_half(
    mapping: Mapping, place: Place, conditions: Iterable[str] = (), origin: str = "t"
) -> str:
    """Return the WITH item that inserts a half of the row `t`, where one is wanted.

    :param conditions: SQL that must hold besides
    :param origin: what `t` is read from, nothing where it is a variable
    """
    alias = place.row.name
    joined = {mine: TARGET.column(other) for mine, other in place.on}
    columns, values = columns_and_values(joined | mapping.writes_to(place, NEW))
    wanted = [*conditions]
    if isinstance(place.part, Half) and place.part.optional:
        wanted.append(_given(mapping.lenses_of(place)))
    rest = f"\n        FROM {origin}" * bool(origin)
    rest += f"\n        WHERE {' AND '.join(wanted)}" * bool(wanted)
    return (
        f"{alias}_made AS (\n        INSERT INTO {place.table.sql} AS {alias} ({columns})\n"
        f"        SELECT {values}{rest})"
    )


def _move_keys(mapping: Mapping) -> list[str]:
    """Return the change of key columns that halves are joined by: both sides in one command.

    So that a foreign key between them is looked at when both have changed.
    """
    moved = _joined_by_key(mapping)
    if not moved:
        return []
    follow = ", ".join(
        f"{place.row.name}_moved AS (\n"
        f"            UPDATE {place.table.sql} AS {place.row.name} SET "
        + ", ".join(f"{ident(mine)} = {lens.write(NEW)[lens.targets[0]]}" for mine, lens in pairs)
        + f"\n            WHERE {matches(place, TARGET)})"
        for place, pairs in moved
    )
    written = ", ".join(
        f"{ident(name)} = {sql}" for lens in mapping.key for name, sql in lens.write(NEW).items()
    )
    move = [
        f"    WITH {follow}",
        f"    UPDATE {mapping.target.sql} AS t SET {written}",
        f"    WHERE {same_target_row(mapping, OLD)} RETURNING t.* INTO t;",
    ]
    places = [mapping.places[0], *(place for place, _ in moved)]
    lines = errors.translated(mapping, move, NEW, places)
    for place, pairs in moved:
        is_there = f"{place.row.column(place.on[0][0])} IS NOT NULL"
        lines += _if(
            is_there,
            [
                f"    {place.row.column(mine)} := {lens.write(NEW)[lens.targets[0]]};"
                for mine, lens in pairs
            ],
        )
    return _if(any_changed(mapping.key), lines)


def _joined_by_key(mapping: Mapping) -> list[tuple[Place, list[tuple[str, Lens]]]]:
    """Return the halves whose rows a change of the legacy key moves, with (column there, lens)."""
    by_target = {lens.targets[0]: lens for lens in mapping.key}
    pairs = {
        place: [(mine, by_target[other]) for mine, other in place.on if other in by_target]
        for place in halves(mapping)
    }
    return [(place, moved) for place, moved in pairs.items() if moved]


def _update_rows(mapping: Mapping) -> list[str]:
    """Return the UPDATE of all that has changed, in one command when a half is concerned.

    As with INSERT: what follows must not meet one place as it is now and another as it was.
    """
    target = mapping.places[0]
    held = [lens for place in parents(mapping) for lens in _written(mapping, place)]
    own = any_changed([*_written(mapping, target), *held])
    update = _update_target(mapping)
    alone = errors.where_doubtful(mapping, [f"{update};"], NEW, [target])
    concerned = [place for place in halves(mapping) if _written(mapping, place)]
    if not concerned:
        return _if(own, alone)
    changes = {place: any_changed(_written(mapping, place)) for place in concerned}
    items = ",\n    ".join(
        item
        for place, change in changes.items()
        for item in _written_half(mapping, place, [f"({change})"] * (len(concerned) > 1))
    )
    together = [f"    WITH {items}", f"{update} AND ({own});"]
    changed = "\n    OR ".join(changes.values())
    return [
        f"    IF {changed} THEN",
        *indented(errors.where_doubtful(mapping, together, NEW, [target, *concerned])),
        f"    ELSIF {own} THEN",
        *indented(alone),
        "    END IF;",
    ]


def _update_target(mapping: Mapping) -> str:
    lenses = mapping.lenses_of(mapping.places[0])
    assigned = ",\n        ".join([*_assignments(lenses, TARGET), *_other_references(mapping)])
    found_by = NEW if _joined_by_key(mapping) else OLD  # the keys have been moved by now
    return (
        f"    UPDATE {mapping.target.sql} AS t SET\n        {assigned}\n"
        f"    WHERE {same_target_row(mapping, found_by)}"
    )


def _other_references(mapping: Mapping) -> list[str]:
    """Return SET items for references to parents; one that leads nowhere stays what it is."""
    return [
        f"{ident(other)} = CASE WHEN {any_changed(mapping.lenses_of(place))} "
        f"THEN {place.row.column(mine)} ELSE {TARGET.column(other)} END"
        for place in parents(mapping)
        if mapping.lenses_of(place)
        for mine, other in place.on
    ]


def _written(mapping: Mapping, place: Place) -> list[Lens]:
    return [lens for lens in mapping.lenses_of(place) if lens.targets]


def _written_half(mapping: Mapping, place: Place, conditions: list[str]) -> list[str]:
    """Return the WITH items that carry an update into a half, or make or remove it.

    :param conditions: SQL that must hold besides
    """
    alias, lenses = place.row.name, mapping.lenses_of(place)
    assigned = ",\n        ".join(_assignments(lenses, place.row))
    where = f"WHERE {' AND '.join([matches(place, TARGET), *conditions])}"
    update = f"UPDATE {place.table.sql} AS {alias} SET\n        {assigned}\n        {where}"
    if not (isinstance(place.part, Half) and place.part.optional):
        return [f"{alias}_written AS (\n        {update})"]
    given = _given(lenses)
    is_missing = f"{place.row.column(place.on[0][0])} IS NULL"
    return [
        f"{alias}_written AS (\n        {update} AND {given})",
        f"{alias}_gone AS (\n        DELETE FROM {place.table.sql} AS {alias}\n"
        f"        {where} AND NOT {given})",
        _inserted_half(mapping, place, [is_missing, *conditions], origin=""),
    ]


def _assignments(lenses: Sequence[Lens], current: Row) -> list[str]:
    """Return SET items that write what changed, and nothing else (GetPut)."""
    written = changed_row(lenses, current, OLD, NEW)
    return [f"{ident(name)} = {value}" for name, value in written.items()]


# -- what the client's statement saw ----------------------------------------------------------


def _lock(mapping: Mapping, strength: str) -> list[str]:
    """Return the locks of all rows that the legacy row consists of, read as they are then."""
    read = [
        f"    SELECT t.* INTO t FROM {mapping.target.sql} AS t",
        f"    WHERE {same_target_row(mapping, OLD)}",
    ]
    gone = ["    IF NOT FOUND THEN", "        RETURN NULL;", "    END IF;"]
    lines = [*read[:-1], f"{read[-1]};", *gone]
    for place in mapping.places[1:]:
        lines += _lock_part(mapping, place, strength)
    lines += [*read[:-1], f"{read[-1]} {strength};", *gone]
    for place in mapping.places[1:]:
        assert place.part is not None
        here = ", ".join(place.row.column(mine) for mine, _ in place.on)
        there = ", ".join(TARGET.column(other) for _, other in place.on)
        again = _select_part(place, strength if isinstance(place.part, Half) else None)
        again += [] if place.part.may_lack else gone
        # It belongs to another row by now, or there was none, or it has not been looked at.
        lines += _if(f"ROW({here}) IS DISTINCT FROM ROW({there})", again)
    return lines


def _lock_part(mapping: Mapping, place: Place, strength: str) -> list[str]:
    """Return the lock of the row of a part, or of the parent that is left.

    A parent that stays is not locked, since many rows share it: who renames it has to lock each of
    these rows before the end, so under the lock of the target's row it is as it was read then, or
    is renamed after us. Who leaves one waits for that first; the other way round is a deadlock.

    One that may have to go is locked as for that at once, for a lock that is made stronger later is
    a deadlock of two, and with the next in the order of the key: others may go the opposite way.
    """
    if isinstance(place.part, Half):
        return _select_part(place, strength)
    may_go = place in _cleaned(mapping)
    if strength == "FOR UPDATE":
        return _select_part(place, strength) if may_go else []
    lenses = mapping.lenses_of(place)
    shared = _select_part(place, "FOR SHARE")
    if not may_go:
        return _if(any_changed(lenses), shared)
    wanted = " AND ".join(
        f"{place.row.column(name)} = {sql}"
        for lens in lenses
        for name, sql in lens.write(NEW).items()
    )
    keys = ", ".join(place.row.column(mine) for mine, _ in place.on)
    both = [
        f"    PERFORM FROM {place.table.sql} AS {place.row.name}",
        f"    WHERE {matches(place, TARGET)} OR {wanted} ORDER BY {keys} FOR UPDATE;",
    ]
    return _if(any_changed(lenses), [*both, *shared])


def _select_part(place: Place, lock: str | None) -> list[str]:
    alias = place.row.name
    locked = "" if lock is None else f" {lock}"
    return [
        f"    SELECT {alias}.* INTO {alias} FROM {place.table.sql} AS {alias}",
        f"    WHERE {matches(place, TARGET)}{locked};",
    ]


def _leave_if_changed(mapping: Mapping) -> list[str]:
    """Return what ends the function when target or halves are no more what the client saw."""
    rows = [(mapping.target, TARGET, same_target_row(mapping, OLD))]
    rows += [(place.table, place.row, matches(place, TARGET)) for place in halves(mapping)]
    return leave_if_changed(mapping, guard(mapping), rows)


def _read_back(mapping: Mapping) -> list[str]:
    """Return the query that puts into NEW what was stored, where that may differ from it."""
    lenses = to_read_back(mapping)
    if not lenses:
        return []
    return [
        f"    SELECT {', '.join(lens.read(TARGET) for lens in lenses)}",
        f"    INTO {', '.join(NEW.column(lens.legacy.name) for lens in lenses)}",
        f"    FROM {source(mapping)}",
        f"    WHERE {same_target_row(mapping, NEW)};",
    ]
