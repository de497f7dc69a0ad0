"""A comparison across two databases: both sides of a range at once, drilled into where they differ.

Neither side is held in one snapshot, which on a long run would keep a live database from cleaning
up: rows that differ are looked at again until they agree, or have stopped changing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from compat import catalog, sqltypes
from compat.catalog import ForeignKey
from compat.compile.move import as_arrived
from compat.connection import Connection, connect
from compat.errors import CatalogError
from compat.mapping import Mapping
from compat.rules import Lens
from compat.tables import Column
from verify.compare import side
from verify.compare.differences import Cell, Difference, Key, Outcome, counted
from verify.compare.ranges import Range
from verify.compare.side import Classes, HashStyle, Part, Side

ROWS_PER_RANGE = 5_000
RANGES_PER_JOB = 50

_AT_ONCE = 500
"""Rows that are looked up by their keys in one query."""

_CLASSES_AT_ONCE = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

# Types whose values every server puts into the same order.
_ORDERED_ALIKE = frozenset(
    (
        *(*sqltypes.INTEGER_DIGITS, "numeric", "oid", "uuid", "bytea", "boolean", "date"),
        *("timestamp without time zone", "timestamp with time zone", "time without time zone"),
    )
)
_PLAIN_COLLATIONS = ('pg_catalog."C"', 'pg_catalog."POSIX"', "pg_catalog.C", "pg_catalog.POSIX")

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What both databases, looked at together, make of the mapping.

    :param mapping: for the source
    :param arrived: for the target: legacy types that it does not know are text
    :param is_ordered: whether both sides order keys alike, so that there can be ranges
    :param keys: foreign keys of the target whose orphans a move skips
    :param knows_moves: whether the target remembers what was moved
    """

    mapping: Mapping
    arrived: Mapping
    style: HashStyle
    is_ordered: bool
    keys: tuple[ForeignKey, ...]
    knows_moves: bool

    @property
    def source(self) -> Side:
        """The legacy rows that should be there."""
        return Side(self.mapping, True, self.style)

    @property
    def target(self) -> Side:
        """What the rules read from the target's rows."""
        return Side(self.arrived, False, self.style)


@dataclass(frozen=True)
class Job:
    """What a worker needs to compare some ranges.

    :param source: URL; not shown, since it may hold a password
    :param target: URL
    """

    source: str = field(repr=False)
    target: str = field(repr=False)
    plan: Plan = field(repr=False)
    ranges: tuple[tuple[int, Range], ...]


def compare_ranges(job: Job) -> list[tuple[int, Outcome]]:
    """Compare some ranges on connections of the worker's own.

    :raises psycopg.Error: a relation is missing, may not be read, or reading it raises
    """
    with (
        connect(job.source, purpose="verify worker") as source,
        connect(job.target, purpose="verify worker") as target,
        across(source, target, job.plan) as databases,
    ):
        return [(number, databases.compare(part)) for number, part in job.ranges]


def make_plan(source: Connection, target: Connection, mapping: Mapping) -> Plan:
    """Look at both databases.

    :raises CatalogError: the target table is missing
    """
    relation = catalog.find_exact(target, mapping.target.schema, mapping.target.name)
    if relation is None:
        raise CatalogError(f"the target database has no table {mapping.target.title}")
    written = set(mapping.writes(side.LEGACY))
    keys: tuple[ForeignKey, ...] = ()
    if mapping.orphans == "skip":
        found = catalog.foreign_keys(target, relation)
        keys = tuple(key for key in found if written.issuperset(key.columns))
    # Not to_regclass(), which is an error for a role that may not look into the schema.
    knows_moves = _value(
        target,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = 'move_batch'"
        " AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'compat'"
        "  AND has_schema_privilege(oid, 'USAGE')) AND has_table_privilege(oid, 'SELECT'))",
    )
    return Plan(
        mapping,
        _arrived(target, mapping),
        _style(source, target),
        _is_ordered(source, target, mapping),
        keys,
        knows_moves,
    )


@contextmanager
def across(source: Connection, target: Connection, plan: Plan) -> Iterator[Databases]:
    """Yield both databases, set to be read only."""
    for conn in (source, target):
        conn.execute("SET default_transaction_read_only = on")
    with ThreadPoolExecutor(1, thread_name_prefix="compat") as helper:
        yield Databases(source, target, plan, helper)


@dataclass(frozen=True)
class _Seen:
    """One row as both sides had it at one moment.

    :param source: the legacy row as text, None where it is missing, or not selected
    :param target: what the target shows
    :param is_unselected: the source has the row, but the mapping does not select it
    """

    source: Key | None
    target: Key | None
    is_unselected: bool = False


@dataclass(frozen=True)
class _Looked:
    """What one look at some rows has shown.

    :param differing: by key, with both rows, so that another look can tell whether they changed
    """

    differing: dict[Key, tuple[Difference, _Seen]]
    losses: dict[str, int]
    orphans: int
    unselected: int


class Databases:
    """Both sides, on one connection each; the two are asked at the same time."""

    def __init__(
        self, source: Connection, target: Connection, plan: Plan, helper: ThreadPoolExecutor
    ) -> None:
        self._source, self._target = source, target
        self.plan, self._helper = plan, helper
        self._lossy = side.lossy_columns(plan.arrived)

    def compare(self, part: Range) -> Outcome:
        """Return what differs in one range at this moment, all of it."""
        ask = self.plan.source.checksum(part), self.plan.target.checksum(part)
        left, right = self._both(*ask, _rows)
        if left == right:
            rows = left[0][0]
            return Outcome(legacy=rows, view=rows)
        return self._drill(part)

    def compare_classes(self, rows: int) -> Iterator[Outcome]:
        """Yield what differs, class by class of the key's hash; for sides that order otherwise.

        :param rows: about how many there are
        """
        modulus = 1 << max(rows // ROWS_PER_RANGE, 1).bit_length()
        ask = self.plan.source.checksums(modulus), self.plan.target.checksums(modulus)
        left, right = ({row[0]: row[1:] for row in rows} for rows in self._both(*ask, _rows))
        numbers = left.keys() | right.keys()
        differing = sorted(n for n in numbers if left.get(n) != right.get(n))
        same = sum(left[number][0] for number in left.keys() - set(differing))
        yield Outcome(legacy=same, view=same)
        for some in _batches(differing, _CLASSES_AT_ONCE):
            yield self._drill(Classes(tuple(some), modulus))

    def settled(
        self, differences: Collection[Difference], seconds: float
    ) -> tuple[tuple[Difference, ...], int]:
        """Look again at rows that differ, until they agree or the time is over.

        Returns those that went on differing without any change, and how many were changing still.
        """
        end, pause = time.monotonic() + seconds, _FIRST_PAUSE
        watched = self._look_at_all([item.key for item in differences])
        changed: set[Key] = set()
        while watched and (left := end - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
            now = self._look_at_all(watched)
            changed |= {key for key, (_, seen) in now.items() if seen != watched[key][1]}
            watched = now
        still = changed & watched.keys()
        return tuple(item for key, (item, _) in watched.items() if key not in still), len(still)

    def rows(self) -> tuple[int, int]:
        """Return the rows that the mapping selects in the source, and those of the target."""
        left, right = self._both(self.plan.source.count(), self.plan.target.count(), _rows)
        return left[0][0], right[0][0]

    def groups(self, column: str) -> tuple[dict[str | None, int], dict[str | None, int]]:
        """Return the rows of both sides by the values of a legacy column."""
        ask = self.plan.source.groups(column), self.plan.target.groups(column)
        left, right = self._both(*ask, _rows)
        return dict(left), dict(right)

    def _drill(self, part: Part) -> Outcome:
        """Compare row by row."""
        ask = self.plan.source.hashes(part), self.plan.target.hashes(part)
        left, right = self._both(*ask, _hashes)
        suspects = [key for key, value in left.items() if right.get(key) != value]
        suspects += [key for key in right if key not in left]
        looked = _Looked({}, {}, 0, 0)
        for keys in _batches(suspects, _AT_ONCE):
            looked = _joined(looked, self._look(keys))
        by_column, differences = counted(item for item, _ in looked.differing.values())
        kinds = [item.kind for item in differences]
        return Outcome(
            legacy=len(left),
            view=len(right),
            missing=kinds.count("missing"),
            extra=kinds.count("extra"),
            changed=kinds.count("changed"),
            orphans=looked.orphans,
            unselected=looked.unselected,
            losses=looked.losses,
            by_column=by_column,
            differences=differences,
        )

    def _look_at_all(self, keys: Iterable[Key]) -> dict[Key, tuple[Difference, _Seen]]:
        found: dict[Key, tuple[Difference, _Seen]] = {}
        for some in _batches(list(keys), _AT_ONCE):
            found |= self._look(some).differing
        return found

    def _look(self, keys: list[Key]) -> _Looked:
        """Look up rows on both sides, and judge how they differ at this moment."""
        ask = self.plan.source.lookup(keys), self.plan.target.lookup(keys)
        left, right = self._both(*ask, _lookups)
        seen = {}
        for key in keys:
            is_selected, row = left.get(key, (False, None))
            _, found = right.get(key, (True, None))
            seen[key] = _Seen(row if is_selected else None, found, key in left and not is_selected)
        orphans = self._orphans({k: s.source for k, s in seen.items() if s.source and not s.target})
        moved = self._moved([k for k, s in seen.items() if s.is_unselected and s.target])
        remains = self._remains({k: s.source for k, s in seen.items() if s.source and s.target})
        differing: dict[Key, tuple[Difference, _Seen]] = {}
        losses: dict[str, int] = {}
        for key, now in seen.items():
            if key in orphans or key in moved:
                continue
            difference = self._judge(key, now, remains.get(key, {}), losses)
            if difference is not None:
                differing[key] = difference, now
        return _Looked(differing, losses, len(orphans), len(moved))

    def _judge(
        self, key: Key, seen: _Seen, remains: dict[str, str | None], losses: dict[str, int]
    ) -> Difference | None:
        """Return how a row differs, and count what is an accepted loss.

        :param remains: by lossy column, what is left of the legacy value
        """
        if seen.source is None and seen.target is None:
            return None
        if seen.target is None:
            return Difference("missing", key)
        if seen.source is None:
            return Difference("extra", key)
        cells = []
        for lens, legacy, found in zip(
            self.plan.arrived.lenses, seen.source, seen.target, strict=True
        ):
            name = lens.legacy.name
            if legacy == found or not side.is_compared(self.plan.arrived, lens):
                continue
            if name in remains and remains[name] == found:
                losses[name] = losses.get(name, 0) + 1
            else:
                cells.append(Cell(name, legacy, found))
        return Difference("changed", key, tuple(cells)) if cells else None

    def _orphans(self, rows: dict[Key, Key]) -> set[Key]:
        if not rows or not self.plan.keys:
            return set()
        query = side.orphans(self.plan.arrived, self.plan.keys, list(rows.values()))
        return _numbered(list(rows), _rows(self._target, query))

    def _moved(self, keys: list[Key]) -> set[Key]:
        if not keys or not self.plan.knows_moves:
            return set()
        return _numbered(keys, _rows(self._target, side.moved(self.plan.arrived, keys)))

    def _remains(self, rows: dict[Key, Key]) -> dict[Key, dict[str, str | None]]:
        if not rows or not self._lossy:
            return {}
        query = side.expected(self.plan.arrived, list(rows.values()))
        names = [lens.legacy.name for lens in self._lossy]
        return {
            key: dict(zip(names, values, strict=True))
            for key, (values,) in zip(rows, _rows(self._target, query), strict=True)
        }

    def _both(
        self, source: str, target: str, gather: Callable[[Connection, str], T]
    ) -> tuple[T, T]:
        other = self._helper.submit(gather, self._source, source)
        mine = gather(self._target, target)
        return other.result(), mine


def _rows(conn: Connection, query: str) -> list[tuple[Any, ...]]:
    # Unprepared: each range is planned for its own bounds.
    return conn.execute(query, prepare=False).fetchall()


def _value(conn: Connection, query: str) -> Any:
    return _rows(conn, query)[0][0]


def _hashes(conn: Connection, query: str) -> dict[Key, int]:
    with conn.transaction(), conn.cursor("compat_hashes") as cursor:
        cursor.itersize = 10_000
        return {tuple(key): value for key, value in cursor.execute(query)}


def _lookups(conn: Connection, query: str) -> dict[Key, tuple[bool, Key]]:
    return {tuple(key): (selected, tuple(row)) for key, selected, row in _rows(conn, query)}


def _numbered(keys: list[Key], rows: list[tuple[Any, ...]]) -> set[Key]:
    return {keys[number - 1] for (number,) in rows}


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _joined(one: _Looked, other: _Looked) -> _Looked:
    losses = dict(one.losses)
    for name, count in other.losses.items():
        losses[name] = losses.get(name, 0) + count
    return _Looked(
        one.differing | other.differing,
        losses,
        one.orphans + other.orphans,
        one.unselected + other.unselected,
    )


def _style(source: Connection, target: Connection) -> HashStyle:
    versions = {conn.info.server_version // 10_000 for conn in (source, target)}
    encodings = {_value(conn, "SHOW server_encoding") for conn in (source, target)}
    if len(encodings) > 1:
        return "digest"
    # hash_record_extended() came with 14; nobody promises that hashes stay from version to version.
    return "record" if len(versions) == 1 and min(versions) >= 14 else "text"


def _is_ordered(source: Connection, target: Connection, mapping: Mapping) -> bool:
    """Return whether a range of keys holds the same rows on both sides."""
    asks_database = False
    for lens in mapping.key:
        kinds = [sqltypes.parse(item.type) for item in (lens.legacy, _main_target(lens))]
        if lens.converts and not all(kind.is_integer for kind in kinds):
            return False
        kind = kinds[0]
        if kind.array or not (kind.is_character or kind.name in _ORDERED_ALIKE):
            return False  # an enum, for example, is ordered as each database likes
        if kind.is_character and lens.legacy.collation is None:
            asks_database = True
        elif kind.is_character and lens.legacy.collation not in _PLAIN_COLLATIONS:
            return False
    return not asks_database or _have_one_order(source, target)


def _have_one_order(source: Connection, target: Connection) -> bool:
    """Return whether the databases' own collations are surely the same, to the version."""
    query = (
        "SELECT datcollate, to_jsonb(d) ->> 'datlocprovider', to_jsonb(d) ->> 'daticulocale',"
        " to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticurules',"
        " to_jsonb(d) ->> 'datcollversion', encoding"
        " FROM pg_catalog.pg_database AS d WHERE datname = current_database()"
    )
    left, right = (_rows(conn, query)[0] for conn in (source, target))
    collation, version = left[0], left[-2]
    # C.UTF-8 has no versions, since it never changes; others may be too old to tell theirs.
    never_changes = collation.partition(".")[0] in ("C", "POSIX")
    return bool(left == right and (version is not None or never_changes))


def _main_target(lens: Lens) -> Column:
    return lens.ends.target(lens.targets[0])


def _arrived(target: Connection, mapping: Mapping) -> Mapping:
    """Return the mapping with what the target database knows: of types, and of collations."""
    columns = mapping.legacy.columns
    unknown_types = {
        column.type for column in columns if _is_unknown(target, "to_regtype", column.type)
    }
    arrived = as_arrived(mapping, unknown_types)
    replaced = tuple(
        replace(lens.legacy, collation=_main_target(lens).collation)
        if lens.targets
        and lens.legacy.collation is not None
        and _is_unknown(target, "to_regcollation", lens.legacy.collation)
        else lens.legacy
        for lens in arrived.lenses
    )
    return replace(arrived, legacy=replace(arrived.legacy, columns=replaced))


def _is_unknown(conn: Connection, function: str, name: str) -> bool:
    return conn.execute(f"SELECT {function}(%s) IS NULL", [name]).fetchone() == (True,)
