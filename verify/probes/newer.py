"""Writes of v2 applications, which say them to the target in its own shape, and know no bridge.

The view must show what they have written: of a row that got the values of another one, its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compat.compile.functions import TARGET, same_target_row
from compat.compile.source import matches, source
from compat.mapping import Mapping
from compat.names import ident, idents, literal
from compat.rules import Lens, Lookup, Row
from compat.shapes import Parent, Place
from verify.probes.statements import Cells, Direct, Probe
from verify.probes.values import unused

LEGACY = Row("l")
_OTHER = Row("other")
_MOST_PAIRS = 3
_UNUSUAL = 98  # the number of a value that no other probe takes


@dataclass(frozen=True)
class Write:
    """What v2 does to one row, and how that reads through the view.

    :param key: of the legacy row
    :param shows: what the view must show of the row afterwards, by column; None: no such row
    :param may_fail: whether a constraint of the target may stand against it
    """

    probe: Probe
    key: Cells
    shows: Cells | None
    may_fail: bool = True


def row_of(mapping: Mapping, key: Cells) -> str:
    """Return the FROM item (alias l) of a legacy row of which the key is known."""
    types = {column.name: column.type for column in mapping.legacy.columns}
    columns = ", ".join(
        f"{literal(value)}::{types[name]} AS {ident(name)}" for name, value in key.items()
    )
    return f"(SELECT {columns}) AS {LEGACY.name}"


def updates(mapping: Mapping, samples: tuple[Cells, ...]) -> Iterator[Write]:
    """Yield updates that give the row of one sample what the row of another one has."""
    for place in mapping.places:
        for lens in mapping.lenses_of(place):
            written = _own_targets(lens)
            if not written or lens.legacy.name in mapping.legacy.row_key:
                continue
            if isinstance(place.part, Parent):
                yield from _rename(mapping, place, lens, samples)
                continue
            for row, other in _pairs(lens.legacy.name, samples):
                shows = _after(mapping, place, written, row, other)
                yield _update(mapping, place, written, (row, other), shows)


def replacement(mapping: Mapping, row: Cells, stored: Cells) -> tuple[Write, Write]:
    """Return the DELETE of a row, and the same with an INSERT of what was stored behind it.

    :param stored: the row of the target, by its columns
    """
    key = _key(mapping, row)
    delete = (
        f"DELETE FROM {mapping.target.sql} AS {TARGET.name} "
        f"USING {row_of(mapping, key)} WHERE {same_target_row(mapping, LEGACY)}"
    )
    added = {
        lens.rule.keep
        for lens in mapping.lenses
        if isinstance(lens.rule, Lookup) and lens.rule.keep is not None
    }
    columns = [
        column.name
        for column in mapping.target.columns
        if column.generated is None and column.name not in added
    ]
    values = ", ".join(literal(stored[name]) for name in columns)
    insert = (
        f"INSERT INTO {mapping.target.sql} ({idents(columns)}) OVERRIDING SYSTEM VALUE "
        f"VALUES ({values})"
    )
    exact = {lens.legacy.name: row[lens.legacy.name] for lens in mapping.lenses if _is_exact(lens)}
    return (
        Write(Probe("v2 deletes a row", Direct((delete,))), key, None, may_fail=False),
        Write(Probe("v2 inserts a row", Direct((delete, insert))), key, exact, may_fail=False),
    )


def spelling(lens: Lens) -> str | None:
    """Return the column of the target that keeps how legacy clients spelt a value, or None."""
    if isinstance(lens.rule, Lookup) or lens.part is not None:
        return None
    return getattr(lens.rule, "keep", None)


def forgotten(mapping: Mapping, lens: Lens, row: Cells) -> Write:
    """Return the UPDATE by which v2 forgets how the value of a row was spelt, and nothing else."""
    key, column = _key(mapping, row), spelling(lens)
    assert column is not None
    sql = (
        f"UPDATE {mapping.target.sql} AS {TARGET.name} SET {ident(column)} = NULL "
        f"FROM {row_of(mapping, key)} WHERE {same_target_row(mapping, LEGACY)}"
    )
    shows = {name: value for name, value in row.items() if name != lens.legacy.name}
    return Write(Probe(f"v2 forgets {column}", Direct((sql,))), key, shows)


def _rename(
    mapping: Mapping, place: Place, lens: Lens, samples: tuple[Cells, ...]
) -> Iterator[Write]:
    """Yield an update of a parent, which is to stay one that no other is like."""
    name, value = lens.legacy.name, unused(lens, _UNUSUAL)
    row = next((row for row in samples if row[name] is not None), None)
    if row is None or value is None or lens.converts:
        return
    key, (column,) = _key(mapping, row), lens.targets
    sql = (
        f"UPDATE {place.table.sql} AS {place.row.name} SET {ident(column)} = {literal(value)} "
        f"FROM {mapping.target.sql} AS {TARGET.name}, {row_of(mapping, key)} "
        f"WHERE {same_target_row(mapping, LEGACY)} AND {matches(place, TARGET)}"
    )
    probe = Probe(f"v2 updates {place.table.name}.{column}", Direct((sql,)))
    yield Write(probe, key, {**row, name: value})


def _own_targets(lens: Lens) -> tuple[str, ...]:
    """Return the columns that v2 writes; the legacy number beside a reference is not its own."""
    if isinstance(lens.rule, Lookup):
        return (lens.rule.target,)
    return lens.targets


def _reads(lens: Lens) -> set[str]:
    """Return the columns of its own that v2 writes to say what the legacy column shows."""
    return set(_own_targets(lens)) if isinstance(lens.rule, Lookup) else set(lens.rule.reads)


def _is_exact(lens: Lens) -> bool:
    """Return whether what is stored decides alone what a legacy client reads."""
    return lens.loss is None and bool(lens.rule.reads)


def _pairs(name: str, samples: tuple[Cells, ...]) -> list[tuple[Cells, Cells]]:
    """Return some pairs of rows with different values of a legacy column."""
    distinct = list({row[name]: row for row in reversed(samples)}.values())
    distinct.sort(key=lambda row: row[name] is None)
    first, others = distinct[0], distinct[1:]
    pairs = [(first, other) for other in others[-_MOST_PAIRS:]]
    return [*pairs, *((other, first) for other in others[-1:])]


def _after(
    mapping: Mapping, place: Place, written: tuple[str, ...], row: Cells, other: Cells
) -> Cells:
    """Return what the view must show of a row that got these columns of another row.

    Of what is read from other columns too, nothing is known.
    """
    shows = dict(row)
    here = mapping.lenses_of(place)
    for lens in mapping.lenses:
        name, reads = lens.legacy.name, _reads(lens) if lens in here else set[str]()
        if not _is_exact(lens) or (reads & set(written) and not reads <= set(written)):
            del shows[name]
        elif reads and reads <= set(written):
            shows[name] = other[name]
    return shows


def _update(
    mapping: Mapping,
    place: Place,
    columns: tuple[str, ...],
    rows: tuple[Cells, Cells],
    shows: Cells,
) -> Write:
    key, other = (_key(mapping, row) for row in rows)
    alias = place.row.name
    assigned = ", ".join(f"{ident(name)} = {_OTHER.column(name)}" for name in columns)
    same = same_target_row(mapping, LEGACY)
    given = (
        f"(SELECT {alias}.* FROM {source(mapping)} CROSS JOIN {row_of(mapping, other)} "
        f"WHERE {same}) AS {_OTHER.name}"
    )
    tables, condition = [given, row_of(mapping, key)], same
    if place.part is not None:
        tables.append(f"{mapping.target.sql} AS {TARGET.name}")
        condition += f" AND {matches(place, TARGET)}"
    sql = (
        f"UPDATE {place.table.sql} AS {alias} SET {assigned} "
        f"FROM {', '.join(tables)} WHERE {condition}"
    )
    return Write(Probe(f"v2 updates {', '.join(columns)}", Direct((sql,))), key, shows)


def _key(mapping: Mapping, row: Cells) -> Cells:
    return {name: row[name] for name in mapping.legacy.row_key}
