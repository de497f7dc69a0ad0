"""Contents: every row of the legacy table against the view, both directions, exact.

One full join by key inside the database; only what differs leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass

from compat import sqltypes
from compat.mapping import Mapping
from compat.names import ident
from compat.rules import Lens, Row
from verify.context import Context, plural, shown
from verify.report import Finding, Result, does_not_hold, holds

NAME = "contents"

_LEGACY, _VIEW, _WRITTEN = Row("l"), Row("v"), Row("t")

# The join merges two key indexes with a small work_mem, and spills when it cannot; a hash of
# millions of rows would take memory from the live applications for nothing.
_WORK_MEM = "16MB"


def check(context: Context) -> Result:
    """Return whether the view shows exactly the rows of the legacy table.

    For columns whose loss the mapping accepts, a difference counts as loss when the view shows
    what writing and reading the legacy value gives.

    :raises psycopg.Error: a relation is missing, may not be read, or reading it raises
    """
    unfinished = context.unfinished
    if unfinished is not None:
        finding = Finding("unfinished", context.mapping.name, unfinished)
        return does_not_hold(NAME, unfinished, (finding,))
    join = _Join(context)
    context.conn.execute("SELECT pg_catalog.set_config('work_mem', %s, true)", [_WORK_MEM])
    row = context.conn.execute(join.overview()).fetchone()
    assert row is not None
    legacy, view, differing, *losses = row
    notes = tuple(
        f"{pair.name}: {plural(count, 'row')} with an accepted loss ({pair.lens.loss})"
        for pair, count in zip(join.lossy, losses, strict=True)
        if count
    )
    numbers = [("legacy", legacy), ("view", view), ("differing", differing)]
    numbers += [("accepted losses", sum(losses))] if join.lossy else []
    if not differing:
        return holds(
            NAME, f"{plural(view, 'row')} compared, all equal", notes=notes, numbers=tuple(numbers)
        )
    return _differences(context, join, view, notes, numbers)


def _differences(
    context: Context, join: _Join, view: int, notes: tuple[str, ...], numbers: list[tuple[str, int]]
) -> Result:
    row = context.conn.execute(join.totals()).fetchone()
    assert row is not None
    missing, extra, *by_column = row
    changed = numbers[2][1] - missing - extra
    columns = {pair.name: count for pair, count in zip(join.pairs, by_column, strict=True) if count}
    numbers += [("missing", missing), ("extra", extra), ("changed", changed)]
    numbers += [(f"changed {name}", count) for name, count in columns.items()]
    parts = [
        plural(missing, "row") + " missing in the view",
        plural(extra, "row") + " only in the view",
        plural(changed, "row")
        + " changed ("
        + ", ".join(f"{name}: {count:,}" for name, count in columns.items())
        + ")",
    ]
    counted = (missing, extra, changed)
    summary = ", ".join(part for part, count in zip(parts, counted, strict=True) if count)
    findings = tuple(_details(context, join))
    return does_not_hold(
        NAME,
        f"{summary}; {view:,} in the view",
        findings,
        sum(counted),
        notes=notes,
        numbers=tuple(numbers),
    )


def _details(context: Context, join: _Join) -> list[Finding]:
    findings: list[Finding] = []
    key_names = [pair.name for pair in join.key]
    width = len(key_names)
    with context.conn.cursor() as cursor:
        for row in cursor.execute(join.details(context.limit)):
            kind = row[0]
            key = tuple(zip(key_names, row[1 : 1 + width], strict=True))
            where = ", ".join(f"{name} = {shown(value)}" for name, value in key)
            if kind != "changed":
                side = "not in the view" if kind == "missing" else "only in the view"
                findings.append(Finding(kind, where, f"the row is {side}", key))
                continue
            cells = row[1 + width :]
            for n, pair in enumerate(join.pairs):
                differs, legacy, view = cells[3 * n : 3 * n + 3]
                if differs:
                    message = f"{pair.name}: {shown(legacy)} in the table, {shown(view)} in view"
                    findings.append(Finding(kind, where, message, key, legacy, view))
    return findings


@dataclass(frozen=True)
class _Pair:
    """One column of both sides; inside the statements columns go by number, whatever they are."""

    number: int
    lens: Lens

    @property
    def name(self) -> str:
        return self.lens.legacy.name

    def of(self, row: Row) -> str:
        return row.column(f"c{self.number}")

    @property
    def legacy(self) -> str:
        return self._comparable(self.of(_LEGACY))

    @property
    def view(self) -> str:
        return self._comparable(self.of(_VIEW))

    def differs(self, left: str, right: str) -> str:
        column = self.lens.legacy
        return sqltypes.differs(
            self._comparable(left), self._comparable(right), column.type, column.collation
        )

    def _comparable(self, value: str) -> str:
        """Return the value under one collation where the two sides have different ones."""
        ends = self.lens.ends
        collations = {ends.legacy.collation, *(ends.target(t).collation for t in self.lens.targets)}
        if len(collations) > 1 and sqltypes.parse(ends.legacy.type).is_text:
            return f'({value} COLLATE pg_catalog."C")'
        return value


class _Join:
    """The statements: one full join, asked in three ways."""

    def __init__(self, context: Context) -> None:
        mapping = context.mapping
        self._mapping = mapping
        self.pairs = tuple(_Pair(n, lens) for n, lens in enumerate(mapping.lenses))
        self.key = tuple(p for p in self.pairs if p.name in mapping.legacy.row_key)
        self.lossy = tuple(p for p in self.pairs if p.lens.loss is not None)
        self._from = (
            f"FROM (SELECT {self._columns(_LEGACY)} FROM {context.stored.legacy_sql} AS l) AS l\n"
            f"FULL JOIN (SELECT {self._columns(_VIEW)} FROM {context.stored.view_sql} AS v) AS v\n"
            f"ON {' AND '.join(f'{p.legacy} = {p.view}' for p in self.key)}"
        )

    def overview(self) -> str:
        """Return the query for rows of either side, differing rows, and rows of each loss."""
        wanted = [
            "count(l.present)",
            "count(v.present)",
            f"count(*) FILTER (WHERE {self._any})",
            *(
                "count(*) FILTER (WHERE l.present IS NOT NULL AND v.present IS NOT NULL AND "
                f"{pair.differs(pair.of(_LEGACY), pair.of(_VIEW))} AND NOT {self._faulty(pair)})"
                for pair in self.lossy
            ),
        ]
        return f"SELECT {', '.join(wanted)}\n{self._from}"

    def totals(self) -> str:
        """Return the query for missing rows, rows in excess, and changed rows by column."""
        both = "l.present IS NOT NULL AND v.present IS NOT NULL"
        wanted = [
            "count(*) FILTER (WHERE v.present IS NULL)",
            "count(*) FILTER (WHERE l.present IS NULL)",
            *(f"count(*) FILTER (WHERE {both} AND {self._faulty(p)})" for p in self.pairs),
        ]
        return f"SELECT {', '.join(wanted)}\n{self._from}\nWHERE {self._any}"

    def details(self, limit: int) -> str:
        """Return the query for the first differing rows: kind, key, then each column's cells."""
        key = [
            f"CASE WHEN l.present IS NULL THEN {p.of(_VIEW)}::text ELSE {p.of(_LEGACY)}::text END"
            for p in self.key
        ]
        cells = [
            cell
            for pair in self.pairs
            for cell in (
                self._faulty(pair),
                f"{pair.of(_LEGACY)}::text",
                f"{pair.of(_VIEW)}::text",
            )
        ]
        kind = (
            "CASE WHEN v.present IS NULL THEN 'missing' WHEN l.present IS NULL THEN 'extra' "
            "ELSE 'changed' END"
        )
        order = ", ".join(f"COALESCE({p.legacy}, {p.view})" for p in self.key)
        return (
            f"SELECT {', '.join([kind, *key, *cells])}\n{self._from}\nWHERE {self._any}\n"
            f"ORDER BY {order} LIMIT {limit:d}"
        )

    @property
    def _any(self) -> str:
        faults = [self._faulty(pair) for pair in self.pairs]
        return "(" + " OR ".join(["l.present IS NULL", "v.present IS NULL", *faults]) + ")"

    def _columns(self, row: Row) -> str:
        columns = [f"{row.column(p.name)} AS c{p.number}" for p in self.pairs]
        return ", ".join(["1 AS present", *columns])

    def _faulty(self, pair: _Pair) -> str:
        """Return the condition that the view shows another value than it should."""
        differs = pair.differs(pair.of(_LEGACY), pair.of(_VIEW))
        if pair not in self.lossy:
            return differs
        expected = after_loss(self._mapping, pair.lens, {p.name: p.of(_LEGACY) for p in self.pairs})
        if expected is None:
            return "false"
        # Evaluated for the few rows that differ, and never for a value that writing refuses.
        return f"(CASE WHEN {differs} THEN {pair.differs(expected, pair.of(_VIEW))} ELSE false END)"


def after_loss(mapping: Mapping, lens: Lens, legacy: dict[str, str]) -> str | None:
    """Return SQL for what the view shows after a legacy row was written, or None if unknown.

    :param legacy: SQL for the value of each legacy column
    """
    row = Row("l")
    written = mapping.writes(row)
    needed = [name for name in lens.rule.reads if name in written]
    if len(needed) < len(lens.rule.reads):
        return None  # reads what only the target knows
    if not needed:
        return lens.read(_WRITTEN)
    columns = ", ".join(f"{value} AS {ident(name)}" for name, value in legacy.items())
    values = ", ".join(f"{written[name]} AS {ident(name)}" for name in needed)
    return (
        f"(SELECT {lens.read(_WRITTEN)} FROM (SELECT {values} FROM (SELECT {columns}) AS l) AS t)"
    )
