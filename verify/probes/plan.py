"""Which statements to try: derived from the mapping, the catalogue and a few existing rows.

The twin says what is right, so a statement need not be valid; it must only be the same for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from compat.bridge import key_sequences
from compat.names import ident, idents, literal
from compat.rules import Constant, Expression, Flag, Lens, Row, ValueMap
from compat.tables import Constraint
from verify.context import Context, shown
from verify.probes.side import attempt, read
from verify.probes.statements import (
    Cells,
    Copy,
    Delete,
    DeleteTwice,
    DeleteUpdated,
    Insert,
    Keyword,
    Probe,
    Touch,
    Update,
    UpdateTwice,
    Upsert,
    Value,
    where,
    where_any,
)
from verify.probes.twin import Ground, lacking, parents
from verify.probes.values import ordinary, unused, worth_trying

_VALUES_PER_COLUMN = 12
_SAMPLES_PER_COLUMN = 3
_UNUSUAL = 99


@dataclass
class Plan:
    """The statements for one mapping, and why some that one would expect are not among them."""

    context: Context
    ground: Ground
    notes: list[str] = field(default_factory=list)
    _number: int = 0
    _refused: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        legacy = self.context.mapping.legacy
        self._lenses = self.context.mapping.lenses
        self._writable = tuple(
            lens
            for lens in self._lenses
            if lens.legacy.generated is None
            and not (isinstance(lens.rule, Expression) and lens.rule.is_read_only)
        )
        self._fk_columns = {name for fk in self.ground.outbound for name in fk.columns}
        self._unique = [(c.name, c.columns) for c in legacy.constraints if _is_key(c)]
        self._in_keys = {n for c in legacy.constraints if c.kind != "check" for n in c.columns}
        for index in legacy.indexes:
            if index.unique:
                named = tuple(
                    name
                    for name in legacy.column_names
                    if re.search(rf'(?<!\w)"?{re.escape(name)}"?(?!\w)', index.definition)
                )
                self._unique.append((index.name, named))
        self.changeable = tuple(lens.legacy.name for lens in self._writable if _is_settable(lens))
        stated = self.context.stored.stated
        v2_keys = key_sequences(stated) if self.context.writes_legacy else ()
        self._drawn = {stated.lens(item.column).targets[0] for item in v2_keys}
        self._unique_columns = {name for _, columns in self._unique for name in columns}

    def probes(self) -> Iterator[Probe]:
        """Yield the statements; between two of them both sides are as at the start."""
        if self.ground.samples:
            yield from self._updates()
            yield from self._deletes()
        else:
            self.notes.append("the table is empty: no update and no delete was tried")
        yield from self._inserts()  # at the very end those that draw from a sequence

    # -- inserts ----------------------------------------------------------------------------

    def _inserts(self) -> Iterator[Probe]:
        rows = [row for row in (self.fresh_row() for _ in range(2)) if row is not None]
        if not rows:
            self.notes.append("no new row could be made up, so no insert was tried")
            return
        row = rows[0]
        full = self._insert("insert with all columns", [row])
        yield full
        if len(rows) == 2:
            yield self._insert("insert two rows at once", rows)
        for lens in self._writable:
            name = lens.legacy.name
            if isinstance(lens.rule, Constant):
                continue
            if name in self._drawn:
                self.notes.append(f"NULL given for {name} draws a number, as the plan says")
            else:
                yield self._insert(f"insert NULL into {name}", [{**row, name: None}])
            if name in self.changeable and name not in self._unique_columns:
                for value in self._values(lens):
                    title = f"insert {shown(value, 30)} into {name}"
                    yield self._insert(title, [{**row, name: value}])
        if self.ground.samples:
            for name, columns in self._unique:
                for sample in (self.ground.samples[-1], *self.ground.elsewhere):
                    clash = {column: sample[column] for column in columns}
                    yield self._insert(f"insert what {name} has already", [{**row, **clash}])
        yield from self._upserts(rows[-1])
        yield from self._copies(rows[-1])
        yield from self._generated_inserts(row)

    def _generated_inserts(self, row: Cells) -> Iterator[Probe]:
        draws = self.ground.drawing
        required = [
            lens.legacy.name
            for lens in self._writable
            if lens.legacy.name not in draws
            and (
                (not lens.legacy.nullable and lens.legacy.default is None)
                or lens.legacy.name in self._unique_columns
            )
        ]
        yield Probe(
            "insert with the fewest columns",
            Insert(tuple(required), (tuple(row[name] for name in required),)),
            draws=draws,
        )
        by_keyword: dict[str, Value] = {
            lens.legacy.name: row[lens.legacy.name]
            if lens.legacy.name in required
            else Keyword.DEFAULT
            for lens in self._writable
        }
        yield Probe(
            "insert with the keyword DEFAULT",
            Insert(tuple(by_keyword), (tuple(by_keyword.values()),)),
            draws=draws,
        )

    def _upserts(self, row: Cells) -> Iterator[Probe]:
        """Yield upserts of a new row and of one that is there, for the key of the table."""
        key = self.ground.key_names
        triggers = self.context.mapping.inserts_by_trigger
        refusal = "42P10" if triggers else None
        by_key = f"({idents(key)})"
        new = self._insert(f"upsert of a new row, ON CONFLICT {by_key} DO NOTHING", [row])
        yield self._upsert(new, f"{by_key} DO NOTHING", refusal)
        if not self.ground.samples:
            return
        sample = self.ground.samples[-1]
        present = self._insert("upsert of a row that is there, DO NOTHING", [sample])
        yield self._upsert(present, "DO NOTHING", "23505" if triggers else None)
        for lens in self._writable:
            change = self.change_of(lens, sample)
            if change is not None and isinstance(change[1], str):
                name = ident(lens.legacy.name)
                changed: list[Cells] = [{**sample, lens.legacy.name: change[1]}]
                title = f"upsert of a row that is there, DO UPDATE SET {lens.legacy.name}"
                clause = f"{by_key} DO UPDATE SET {name} = EXCLUDED.{name}"
                yield self._upsert(self._insert(title, changed), clause, refusal)

    def _upsert(self, probe: Probe, clause: str, refusal: str | None) -> Probe:
        assert isinstance(probe.statement, Insert)
        return replace(probe, statement=Upsert(probe.statement, clause), draws=(), refusal=refusal)

    def _copies(self, row: Cells) -> Iterator[Probe]:
        """Yield COPY of a new row; values that PostgreSQL itself computes are left out."""
        names = [name for name in row if self.context.mapping.lens(name) in self._writable]
        refusal = None if self.context.mapping.inserts_by_trigger else "42809"
        statement = Copy(tuple(names), tuple(row[name] for name in names))
        yield Probe("COPY of one row", statement, keys=(self.ground.key(row),), refusal=refusal)

    def _insert(self, title: str, rows: list[Cells]) -> Probe:
        names = [lens.legacy.name for lens in self._writable if lens.legacy.identity != "always"]
        always = tuple(
            lens.legacy.name for lens in self._writable if lens.legacy.identity == "always"
        )
        return Probe(
            title,
            Insert(tuple(names), tuple(tuple(row[name] for name in names) for row in rows)),
            keys=tuple(self.ground.key(row) for row in rows),
            draws=always,
        )

    def fresh_row(self) -> Cells | None:
        """Return a row that neither side has yet, like an existing one where there is one."""
        base: dict[str, str | None] = (
            dict(self.ground.samples[0]) if self.ground.samples else self._made_up()
        )
        number, self._number = self._number, self._number + 20
        varied: set[str] = set()
        # The key first: what makes it fresh often makes the others fresh too.
        for name, columns in self._unique:
            if varied.intersection(columns):
                continue
            if not self._vary(base, columns, varied, number):
                self.notes.append(f"nothing new was found for {name}")
                return None
        return base

    def _vary(
        self, base: dict[str, str | None], columns: tuple[str, ...], varied: set[str], number: int
    ) -> bool:
        mapping = self.context.mapping
        for name in sorted(columns, key=lambda name: name in self._fk_columns):
            if name in self._fk_columns:
                for fk in self.ground.outbound:
                    if name in fk.columns and set(fk.columns) <= set(columns):
                        found = parents(self.ground, fk, base, columns)
                        picked = found[(number // 20) % len(found)] if found else None
                        if picked is not None:
                            base.update(picked)
                            varied.update(fk.columns)
                            return True
                continue
            for n in range(number, number + 20):
                value = unused(mapping.lens(name), n)
                if value is None:
                    break
                candidate = {**base, name: value}
                key = {column: candidate[column] for column in columns}
                if not self._exists(key):
                    base[name] = value
                    varied.add(name)
                    return True
        return False

    def _exists(self, key: Cells) -> bool:
        if any(value is None for value in key.values()):
            return False
        view = self.ground.view
        return bool(read(view.conn, f"SELECT FROM {view.relation} WHERE {where(key)} LIMIT 1"))

    def _made_up(self) -> dict[str, str | None]:
        """Return a row for an empty table: ordinary values, and parents that exist."""
        row: dict[str, str | None] = {}
        for lens in self._lenses:
            row[lens.legacy.name] = None if lens.legacy.nullable else ordinary(lens)
        for fk in self.ground.outbound:
            found = parents(self.ground, fk, row, ())
            if found:
                row.update(found[0])
            elif all(row[name] is not None for name in fk.columns):
                self.notes.append(f"{fk.relation} is empty, so {fk.name} cannot be met")
        return row

    # -- updates ----------------------------------------------------------------------------

    def _updates(self) -> Iterator[Probe]:
        ground = self.ground
        row = (ground.free or ground.samples)[0]
        here = where(ground.key(row))
        for lens in self._writable:
            yield from self._updates_of(lens, row, here)
        yield Probe("update that changes nothing", Touch(self.changeable, here))
        fresh = self.fresh_row()
        if fresh is not None:
            absent = where(ground.key(fresh))
            yield Probe("update of no row", Update(self._some_change(row), absent))
            yield from self._updates_to(fresh, row, here)
        every = where_any(ground.key(sample) for sample in ground.samples)
        yield Probe("update of several rows", Update(self._some_change(row), every))
        yield Probe("update of several rows that changes nothing", Touch(self.changeable, every))
        changes = self._some_change(row)
        if not {name for name, _ in changes} & set(ground.key_names):  # by which they are found
            yield Probe("update without RETURNING", Update(changes, every, returning=False))
        for other in (row, *ground.elsewhere):
            for change in self._changes_of_places(other):
                title = f"update {change[0]} of a row that is met twice"
                yield Probe(title, UpdateTwice((change,), where(ground.key(other))))
        yield from self._updates_of_parts()
        yield from self._updates_elsewhere()
        if len(ground.samples) > 1:
            for name, columns in self._unique:
                near = ground.samples[-1] if ground.samples[-1] != row else ground.samples[-2]
                for other in (near, *(item for item in ground.elsewhere if item != row)):
                    clash = tuple((column, other[column]) for column in columns)
                    yield Probe(f"update to what {name} has already", Update(clash, here))

    def _updates_of(self, lens: Lens, row: Cells, here: str) -> Iterator[Probe]:
        name = lens.legacy.name
        if not _is_settable(lens):
            return
        if name not in self._unique_columns or not lens.legacy.nullable:
            yield Probe(f"update {name} to NULL", Update(((name, None),), here))
        if name in self._unique_columns:  # the twin does not know what other rows have
            value = self._unused_in(row, lens)
            if value is not None:
                title = f"update {name} to {shown(value, 30)}"
                yield Probe(title, Update(((name, value),), here))
            return
        if lens.legacy.default is not None and name not in self.ground.drawing:
            yield Probe(f"update {name} to DEFAULT", Update(((name, Keyword.DEFAULT),), here))
        values = self._values(lens)
        for other in self._rows_for(lens, row):
            for value in values:
                if value != other[name]:
                    title = f"update {name} from {shown(other[name], 30)} to {shown(value, 30)}"
                    condition = where(self.ground.key(other))
                    yield Probe(title, Update(((name, value),), condition))

    def _changes_of_places(self, row: Cells) -> Iterator[tuple[str, Value]]:
        """Yield an assignment of another value for each table that has a part of the row."""
        mapping = self.context.mapping
        for place in mapping.places:
            change = self._any_change(row, mapping.lenses_of(place))
            if change is not None:
                yield change

    def _updates_of_parts(self) -> Iterator[Probe]:
        """Yield updates by which a part that a row need not have comes or goes."""
        for names in lacking(self.context.mapping):
            settable = [name for name in names if name in self.changeable]
            rows = [
                row
                for row in self.ground.samples
                if any(row[name] is not None for name in settable)
            ]
            for row in rows[:1]:
                gone = tuple((name, None) for name in settable)
                here = where(self.ground.key(row))
                yield Probe(f"update {', '.join(settable)} to NULL", Update(gone, here))

    def _updates_elsewhere(self) -> Iterator[Probe]:
        """Yield updates of rows in other tables than the target."""
        for row in self.ground.elsewhere:
            fresh = self.fresh_row()
            if fresh is not None:
                yield from self._updates_to(fresh, row, where(self.ground.key(row)))

    def _rows_for(self, lens: Lens, row: Cells) -> list[Cells]:
        """Return the rows on which to update a column: for a state or a flag, one in each state.

        One where it is NULL too, and one where all is NULL that its part of the row holds.
        """
        name = lens.legacy.name
        parts = [names for names in lacking(self.context.mapping) if name in names]

        def state(row: Cells) -> tuple[str | None, bool]:
            return row[name], any(all(row[n] is None for n in names) for names in parts)

        distinct = {state(row): row}
        for other in self.ground.samples:
            if isinstance(lens.rule, ValueMap | Flag) or other[name] is None:
                distinct.setdefault(state(other), other)
        elsewhere = [row for row in self.ground.elsewhere if row not in distinct.values()]
        return [*distinct.values(), *elsewhere]

    def _unused_in(self, row: Cells, lens: Lens) -> str | None:
        """Return a value by which a row stays unique when only this column changes, or None."""
        name = lens.legacy.name
        if name in self.ground.key_names or any(name in fk.columns for fk in self.ground.inbound):
            return None  # has a statement of its own, for a row that nothing refers to
        keys = [columns for _, columns in self._unique if name in columns]
        for fk in self.ground.outbound:
            if name in fk.columns:
                if fk.columns != (name,) or len(keys) != 1:
                    return None
                found = parents(self.ground, fk, row, keys[0])
                return found[0][name] if found else None
        for number in range(90, _UNUSUAL):
            value = unused(lens, number)
            changed = {**row, name: value}
            if value is not None and not any(
                self._exists({column: changed[column] for column in columns}) for columns in keys
            ):
                return value
        return None

    def _values(self, lens: Lens) -> list[str]:
        name = lens.legacy.name
        # Of rows in other tables first, where one goes that gets what they have.
        seen = [row[name] for row in (*self.ground.elsewhere, *self.ground.samples)]
        existing = list(dict.fromkeys(value for value in seen if value is not None))
        if name in self._fk_columns:
            single = [fk for fk in self.ground.outbound if fk.columns == (name,)]
            found = parents(self.ground, single[0], {}, ()) if single else []
            known = [value for row in found if (value := row[name]) is not None]
            return list(dict.fromkeys([*existing, *known]))[:_SAMPLES_PER_COLUMN]
        values = [*worth_trying(lens)[:_VALUES_PER_COLUMN], *existing[:_SAMPLES_PER_COLUMN]]
        return [value for value in dict.fromkeys(values) if not self.is_refused(lens, value)]

    def is_refused(self, lens: Lens, value: str) -> bool:
        """Return whether the mapping declares that it refuses this value."""
        predicate = lens.refused(Row("l"))
        if predicate is None:
            return False
        name = lens.legacy.name
        if (name, value) not in self._refused:
            given = f"SELECT {literal(value)}::{lens.legacy.type} AS {ident(name)}"
            conn = self.ground.view.conn
            with attempt(conn):
                found = read(conn, f"SELECT ({predicate}) AS refused FROM ({given}) AS l")
            self._refused[name, value] = found[0]["refused"] == "t"
        return self._refused[name, value]

    def _updates_to(self, fresh: Cells, row: Cells, here: str) -> Iterator[Probe]:
        ground = self.ground
        key = tuple((name, fresh[name]) for name in ground.key_names if fresh[name] != row[name])
        if key and (ground.free or not ground.inbound):
            new_key = {**row, **dict(key)}
            keys = (ground.key(new_key),)
            yield Probe("update of the key", Update(key, here), keys=keys)
            for lens in self._writable:
                for change in self._several_changes(lens, row):
                    title = f"update of the key and {lens.legacy.name}"
                    yield Probe(title, Update((*key, change), here), keys=keys)
        elif key:
            self.notes.append("every sampled row is referred to: the key was not updated")
        fixed = {*ground.key_names} | {name for fk in ground.inbound for name in fk.columns}
        rest = tuple(
            (lens.legacy.name, fresh[lens.legacy.name])
            for lens in self._writable
            if _is_settable(lens) and lens.legacy.name not in fixed
        )
        if not rest:
            return
        yield Probe("update of all columns but the key", Update(rest, here))
        everything = tuple((dict(rest) | dict(self._changes(row, dict(rest)))).items())
        yield Probe("update of all columns but the key to other values", Update(everything, here))
        free = tuple(item for item in everything if item[0] not in self._in_keys)
        if free and free != everything:
            yield Probe("update of all columns that are in no key", Update(free, here))
        if key and (ground.free or not ground.inbound):
            together = Update((*key, *everything), here)
            new = {**row, **dict(key)}
            yield Probe("update of all columns", together, keys=(ground.key(new),))

    def _changes(self, row: Cells, fresh: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
        """Yield an assignment of another value to each column that `fresh` does not change."""
        for lens in self._writable:
            name = lens.legacy.name
            if fresh.get(name, row[name]) != row[name] or not _is_settable(lens):
                continue
            if name in self._unique_columns:
                value = self._unused_in(row, lens)
                if value is not None:
                    yield name, value
            elif (change := self.change_of(lens, row)) is not None:
                yield change

    def change_of(self, lens: Lens, row: Cells) -> tuple[str, Value] | None:
        """Return an assignment of another value to a column that no key restrains, or None.

        Of a value that the table takes, so that the statement has an effect to compare.
        """
        name = lens.legacy.name
        if name not in self.changeable or name in self._unique_columns:
            return None
        here = where(self.ground.key(row))
        for value in self._values(lens):
            if value != row[name] and self._is_taken(Update(((name, value),), here)):
                return name, value
        return None

    def _several_changes(self, lens: Lens, row: Cells) -> Iterator[tuple[str, Value]]:
        """Yield an assignment of another value; of all where the spelling is kept beside it."""
        change = self.change_of(lens, row)
        if change is None:
            return
        yield change
        if getattr(lens.rule, "keep", None) is not None:
            here = where(self.ground.key(row))
            for value in self._values(lens):
                other = (lens.legacy.name, value)
                if other != change and self._is_taken(Update((other,), here)):
                    yield other

    def _is_taken(self, statement: Update) -> bool:
        twin = self.ground.twin
        with attempt(twin.conn):
            return twin.tell(statement.sql(twin.relation)).sqlstate is None

    def _some_change(self, row: Cells) -> tuple[tuple[str, Value], ...]:
        """Return an assignment that every row can take, of a converted column if there is one."""
        found = self._any_change(row)
        if found is None:  # nothing but keys: assign one to itself
            name = self.changeable[0]
            return ((name, row[name]),)
        return (found,)

    def _any_change(
        self, row: Cells, among: Iterable[Lens] | None = None
    ) -> tuple[str, Value] | None:
        """Return an assignment of another value, to a converted column if there is one.

        :param among: the columns to choose from, None for all
        """
        lenses = sorted(
            self._writable if among is None else among,
            key=lambda lens: (lens.legacy.name in self._fk_columns, not lens.converts),
        )
        changes = (self.change_of(lens, row) for lens in lenses)
        return next((change for change in changes if change is not None), None)

    # -- deletes ----------------------------------------------------------------------------

    def _deletes(self) -> Iterator[Probe]:
        ground = self.ground
        free = ground.free or (() if ground.inbound else ground.samples)
        if not free:
            self.notes.append("every sampled row is referred to: only a delete of none was tried")
        elsewhere = () if ground.inbound else ground.elsewhere
        for row in (*free[:1], *elsewhere):
            yield Probe("delete of one row", Delete(where(ground.key(row))))
            yield Probe("delete of a row that is met twice", DeleteTwice(where(ground.key(row))))
            for change in self._changes_of_places(row):
                title = f"delete of a row of which the statement updates {change[0]}"
                yield Probe(title, DeleteUpdated((change,), ground.key(row)))
        if len(free) > 1:
            several = where_any(ground.key(row) for row in free)
            yield Probe("delete of several rows", Delete(several))
        fresh = self.fresh_row()
        if fresh is not None:
            yield Probe("delete of no row", Delete(where(ground.key(fresh))))

    # -- the guard --------------------------------------------------------------------------

    def by_contents(self) -> Iterator[Probe]:
        """Yield the statements for which the guard compares contents, where it need not else."""
        if not self.ground.samples:
            return
        row = (self.ground.free or self.ground.samples)[0]
        here = where(self.ground.key(row))
        for lens in self._writable:
            for change in self._several_changes(lens, row):
                yield Probe(f"update {change[0]}, contents compared", Update((change,), here))
        if row in self.ground.free or not self.ground.inbound:
            yield Probe("delete of one row, contents compared", Delete(here))

    # -- constraints ------------------------------------------------------------------------

    def broken_checks(self) -> Iterator[Probe]:
        """Yield one statement for each CHECK that a value can be found to break."""
        checks = [c for c in self.context.mapping.legacy.constraints if c.kind == "check"]
        if not self.ground.samples:
            return
        row = (self.ground.free or self.ground.samples)[0]
        here = where(self.ground.key(row))
        for item in checks:
            for probe in self._attempts(item, row, here):
                with attempt(self.ground.twin.conn):
                    answer = self.ground.twin.answer(probe)
                if answer.sqlstate == "23514" and answer.blame[1] == item.name:
                    yield probe
                    break
            else:
                self.notes.append(f"no value was found that breaks {item.name}")

    def _attempts(self, item: Constraint, row: Cells, here: str) -> Iterator[Probe]:
        for lens in self._writable:
            if lens.legacy.name not in item.columns or not _is_settable(lens):
                continue
            for value in (*worth_trying(lens), "-1", "0", "", "~", "-999999", "999999"):
                if value == row[lens.legacy.name] or self._is_unfit(lens, value):
                    continue
                title = f"update {lens.legacy.name} to {shown(value, 30)}, against {item.name}"
                yield Probe(title, Update(((lens.legacy.name, value),), here))

    def _is_unfit(self, lens: Lens, value: str) -> bool:
        """Return whether the value is no literal of the type, or refused by declaration."""
        conn = self.ground.view.conn
        with attempt(conn):
            fits = self.ground.view.tell(f"SELECT {literal(value)}::{lens.legacy.type}")
        return fits.sqlstate is not None or self.is_refused(lens, value)


def _is_key(item: Constraint) -> bool:
    return item.kind in ("primary_key", "unique")


def _is_settable(lens: Lens) -> bool:
    """Return whether an update of the column through the view has an effect to compare."""
    return not isinstance(lens.rule, Constant) and lens.legacy.identity != "always"
