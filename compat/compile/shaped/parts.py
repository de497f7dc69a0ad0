"""INSTEAD OF bodies for rows that are spread over the target, halves of it, and parents.

Each keeps the rows in variables that have the names of the aliases (t, p1, …), so that what a rule
reads is the same text in a query and in a variable.

Locks are taken in the order of v2 writers, for whom the reverse sync locks the target's row after
the row of a part that they have written: parts first.
"""

from __future__ import annotations

from collections.abc import Iterable

from compat.compile.bodies import could_not_serialize, refuse_read_only
from compat.compile.errors import refuse_nulls
from compat.compile.functions import TARGET, columns_and_values, same_target_row
from compat.compile.source import halves, matches, parents
from compat.mapping import Mapping
from compat.names import ident, idents
from compat.rules import NEW, OLD, Lens, Row
from compat.shapes import Half, Parent, Place


def insert_body(mapping: Mapping) -> str:
    """Return the body for INSERT: parents are found or made, then target and halves."""
    return _function(
        mapping,
        [
            *refuse_nulls(mapping),
            *refuse_read_only(mapping, "insert"),
            *(line for place in parents(mapping) for line in _find_or_make(mapping, place)),
            *_insert_target(mapping),
            *(line for place in halves(mapping) for line in _insert_half(mapping, place)),
            *_read_back(mapping),
            "    RETURN NEW;",
        ],
    )


def update_body(mapping: Mapping) -> str:
    """Return the body for UPDATE: only tables of which something changed are written."""
    found = [place for place in parents(mapping) if mapping.lenses_of(place)]
    lines = [
        *refuse_nulls(mapping),
        *refuse_read_only(mapping, "update"),
        *_lock(mapping, "FOR NO KEY UPDATE"),
        *_leave_if_changed(mapping),
        *(f"    left_{place.row.name} := {place.row.name};" for place in _cleaned(mapping)),
        *_move_keys(mapping),
    ]
    for place in found:
        lines += _if(_changed(mapping.lenses_of(place)), _find_or_make(mapping, place))
    lines += _update_target(mapping)
    for place in halves(mapping):
        written = [lens for lens in mapping.lenses_of(place) if lens.targets]
        if written:
            lines += _if(_changed(written), _update_half(mapping, place))
    lines += [*_clean(mapping, "left_"), *_read_back(mapping), "    RETURN NEW;"]
    return _function(mapping, lines)


def delete_body(mapping: Mapping) -> str:
    """Return the body for DELETE: the halves go with the target's row, in one command."""
    gone = [
        f"{place.row.name}_gone AS (\n"
        f"        DELETE FROM {place.table.sql} AS {place.row.name} "
        f"WHERE {matches(place, TARGET)})"
        for place in halves(mapping)
        if isinstance(place.part, Half) and place.part.on_delete == "delete"
    ]
    head = f"    WITH {', '.join(gone)}" if gone else "    "
    return _function(
        mapping,
        [
            *_lock(mapping, "FOR UPDATE"),
            *_leave_if_changed(mapping),
            f"{head}DELETE FROM {mapping.target.sql} AS t WHERE {same_target_row(mapping, OLD)};",
            *_clean(mapping, ""),
            "    RETURN OLD;",
        ],
    )


def _function(mapping: Mapping, lines: Iterable[str]) -> str:
    declared = [f"    {place.row.name} {place.table.sql}%ROWTYPE;" for place in mapping.places]
    declared += [
        f"    left_{place.row.name} {place.table.sql}%ROWTYPE;" for place in _cleaned(mapping)
    ]
    return "\n".join(["DECLARE", *declared, "BEGIN", *lines, "END"])


def _if(condition: str, lines: Iterable[str]) -> list[str]:
    return [f"    IF {condition} THEN", *(f"    {line}" for line in lines), "    END IF;"]


def _changed(lenses: Iterable[Lens]) -> str:
    return "\n    OR ".join(lens.changed(NEW, OLD) for lens in lenses) or "false"


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
    return [
        f"    IF NOT {_given(lenses)} THEN",
        f"        {alias} := NULL;",
        "    ELSE",
        *(f"        {line}" for line in find),
        "        IF NOT FOUND THEN",
        f"            INSERT INTO {place.table.sql} AS {alias} ({columns})",
        f"            VALUES ({values})",
        f"            ON CONFLICT ({idents(list(identity))}) DO NOTHING",
        f"            RETURNING {alias}.* INTO {alias};",
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


def _clean(mapping: Mapping, prefix: str) -> list[str]:
    """Return the deletion of parents that nothing references any more, from their variables.

    Locked first, and looked at again with a new snapshot: a row that references it may have been
    committed while the lock was waited for.
    """
    lines = []
    for place in _cleaned(mapping):
        left = Row(prefix + place.row.name)
        same = " AND ".join(f"gone.{ident(mine)} = {left.column(mine)}" for mine, _ in place.on)
        used = " AND ".join(f"t.{ident(other)} = gone.{ident(mine)}" for mine, other in place.on)
        # Under another alias: that of the place is the name of the variable.
        gone = f"FROM {place.table.sql} AS gone WHERE {same}"
        lines += [
            f"    PERFORM {gone} FOR UPDATE;",
            f"    DELETE {gone}",
            f"    AND NOT EXISTS (SELECT FROM {mapping.target.sql} AS t WHERE {used});",
        ]
    return lines


# -- the target and its halves ----------------------------------------------------------------


def _insert_target(mapping: Mapping) -> list[str]:
    columns, values = columns_and_values(mapping.writes(NEW) | _references(mapping))
    return [
        f"    INSERT INTO {mapping.target.sql} AS t ({columns})",
        f"    VALUES ({values})",
        "    RETURNING t.* INTO t;",
    ]


def _insert_half(mapping: Mapping, place: Place) -> list[str]:
    alias = place.row.name
    joined = {mine: TARGET.column(other) for mine, other in place.on}
    columns, values = columns_and_values(joined | mapping.writes_to(place, NEW))
    lines = [
        f"    INSERT INTO {place.table.sql} AS {alias} ({columns})",
        f"    VALUES ({values})",
        f"    RETURNING {alias}.* INTO {alias};",
    ]
    if isinstance(place.part, Half) and place.part.optional:
        return _if(_given(mapping.lenses_of(place)), lines)
    return lines


def _move_keys(mapping: Mapping) -> list[str]:
    """Return the change of key columns that halves are joined by: both sides in one command.

    So that a foreign key between them is looked at when both have changed.
    """
    by_target = {lens.targets[0]: lens for lens in mapping.key}
    moved = [
        (place, [(mine, by_target[other]) for mine, other in place.on if other in by_target])
        for place in halves(mapping)
    ]
    moved = [(place, pairs) for place, pairs in moved if pairs]
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
    lines = [
        f"    WITH {follow}",
        f"        UPDATE {mapping.target.sql} AS t SET {written}",
        f"        WHERE {same_target_row(mapping, OLD)} RETURNING t.* INTO t;",
    ]
    lines += [
        f"    {place.row.column(mine)} := {lens.write(NEW)[lens.targets[0]]};"
        for place, pairs in moved
        for mine, lens in pairs
    ]
    return _if(_changed(mapping.key), lines)


def _update_target(mapping: Mapping) -> list[str]:
    lenses = mapping.lenses_of(mapping.places[0])
    references = [f"{ident(name)} = {sql}" for name, sql in _references(mapping).items()]
    assigned = ",\n        ".join([*_assignments(lenses, TARGET), *references])
    held = [lens for place in parents(mapping) for lens in mapping.lenses_of(place)]
    keys_moved = any(
        other in {lens.targets[0] for lens in mapping.key}
        for place in halves(mapping)
        for _, other in place.on
    )
    same = same_target_row(mapping, NEW if keys_moved else OLD)
    return _if(
        _changed([lens for lens in (*lenses, *held) if lens.targets]),
        [
            f"    UPDATE {mapping.target.sql} AS t SET",
            f"        {assigned}",
            f"    WHERE {same} RETURNING t.* INTO t;",
        ],
    )


def _update_half(mapping: Mapping, place: Place) -> list[str]:
    alias, lenses = place.row.name, mapping.lenses_of(place)
    assigned = ",\n        ".join(_assignments(lenses, place.row))
    update = [
        f"    UPDATE {place.table.sql} AS {alias} SET",
        f"        {assigned}",
        f"    WHERE {matches(place, TARGET)} RETURNING {alias}.* INTO {alias};",
    ]
    if not (isinstance(place.part, Half) and place.part.optional):
        return update
    return [
        f"    IF {place.row.column(place.on[0][0])} IS NULL THEN",
        *(f"    {line}" for line in _insert_half(mapping, place)),
        f"    ELSIF {_given(lenses)} THEN",
        *(f"    {line}" for line in update),
        "    ELSE",
        f"        DELETE FROM {place.table.sql} AS {alias} WHERE {matches(place, TARGET)};",
        f"        {alias} := NULL;",
        "    END IF;",
    ]


def _assignments(lenses: Iterable[Lens], current: Row) -> list[str]:
    """Return SET items that write what changed, and nothing else (GetPut)."""
    return [
        f"{ident(name)} = CASE WHEN {lens.changed(NEW, OLD)} THEN {value} "
        f"ELSE {current.column(name)} END"
        for lens in lenses
        for name, value in lens.write(NEW, current=current).items()
    ]


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
        again = _select_part(place, strength if isinstance(place.part, Half) else "FOR SHARE")
        again += [] if place.part.may_lack else gone
        # It belongs to another row by now, or there was none.
        lines += _if(f"ROW({here}) IS DISTINCT FROM ROW({there})", again)
    return lines


def _lock_part(mapping: Mapping, place: Place, strength: str) -> list[str]:
    """Return the lock of the row of a part, and that of the parent which may be left for another.

    Both in the order of the key: others may go the opposite way. Who leaves a parent that may have
    to go locks it as for that at once; a lock that is made stronger later is a deadlock of two.
    """
    if isinstance(place.part, Half):
        return _select_part(place, strength)
    shared = _select_part(place, "FOR SHARE")
    if place not in _cleaned(mapping):
        return shared
    found = matches(place, TARGET)
    if strength == "FOR UPDATE":
        return _select_part(place, strength)
    lenses = mapping.lenses_of(place)
    wanted = " AND ".join(
        f"{place.row.column(name)} = {sql}"
        for lens in lenses
        for name, sql in lens.write(NEW).items()
    )
    keys = ", ".join(place.row.column(mine) for mine, _ in place.on)
    return [
        f"    IF {_changed(lenses)} THEN",
        f"        PERFORM FROM {place.table.sql} AS {place.row.name}",
        f"        WHERE {found} OR {wanted} ORDER BY {keys} FOR UPDATE;",
        "    END IF;",
        *shared,
    ]


def _select_part(place: Place, lock: str) -> list[str]:
    alias = place.row.name
    return [
        f"    SELECT {alias}.* INTO {alias} FROM {place.table.sql} AS {alias}",
        f"    WHERE {matches(place, TARGET)} {lock};",
    ]


def _leave_if_changed(mapping: Mapping) -> list[str]:
    """Return what ends the function when the row is no more what the client's statement saw.

    As in compat.compile.bodies: changed earlier by the same transaction, a table would not count
    it; changed by another, the client is told to try again.
    """
    reads = ", ".join(mapping.reads(TARGET).values())
    own = [f"{same_target_row(mapping, OLD)}"]
    own += [matches(place, TARGET) for place in halves(mapping)]
    places = [mapping.places[0], *halves(mapping)]
    changed = "\n        OR ".join(
        f"EXISTS (SELECT FROM {place.table.sql} AS {place.row.name} "
        f"WHERE {condition} AND compat.is_own_change({place.row.name}.xmin))"
        for place, condition in zip(places, own, strict=True)
    )
    return [
        f"    IF NOT (ROW({reads})::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record) THEN",
        f"        IF {changed} THEN",
        "            RETURN NULL;",
        "        END IF;",
        *could_not_serialize(mapping, 8),
        "    END IF;",
    ]


def _read_back(mapping: Mapping) -> list[str]:
    """Return the assignments that put into NEW what was stored, where that may differ from it."""
    return [
        f"    {NEW.column(lens.legacy.name)} := {lens.read(TARGET)};"
        for lens in mapping.lenses
        if any(table.triggers for table in mapping.tables) or not lens.reads_back_exactly
    ]
