"""Contents: every row of the legacy table against the view, both directions, exact.

One full join by key inside the database; only what differs leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable
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

# Beyond this many differing rows it no longer matters which columns exactly they differ in, and
# they are not to fill the disk.
_LOOKED_AT = 100_000


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
    counts = _Counts(*row[:5])
    losses = row[5:]
    notes = tuple(
        f"{pair.name}: {plural(count, 'row')} with an accepted loss ({pair.lens.loss})"
        for pair, count in zip(join.lossy, losses, strict=True)
        if count
    )
    numbers = counts.numbers
    numbers += [("accepted losses", sum(losses))] if join.lossy else []
    if not counts.differing:
        summary = f"{plural(counts.view, 'row')} compared, all equal"
        return holds(NAME, summary, notes=notes, numbers=tuple(numbers))
    by_column, findings = _differences(context, join)
    numbers += [(f"changed {name}", count) for name, count in by_column.items()]
    summary = f"{counts.summary(by_column)}; {counts.view:,} in the view"
    return does_not_hold(
        NAME, summary, tuple(findings), counts.differing, notes=notes, numbers=tuple(numbers)
    )


@dataclass(frozen=True)
class _Counts:
    """How many rows there are, and how many of them differ in which way."""

    legacy: int
    view: int
    differing: int
    missing: int
    extra: int

    @property
    def changed(self) -> int:
        return self.differing - self.missing - self.extra

    @property
    def numbers(self) -> list[tuple[str, int]]:
        names = ("legacy", "view", "differing", "missing", "extra", "changed")
        return [(name, getattr(self, name)) for name in names]

    def summary(self, by_column: dict[str, int]) -> str:
        columns = ", ".join(f"{name}: {count:,}" for name, count in by_column.items())
        of_first = f", of the first {_LOOKED_AT:,} rows" if self.differing > _LOOKED_AT else ""
        parts = (
            (self.missing, f"{plural(self.missing, 'row')} missing in the view"),
            (self.extra, f"{plural(self.extra, 'row')} only in the view"),
            (self.changed, f"{plural(self.changed, 'row')} changed ({columns}{of_first})"),
        )
        return ", ".join(text for count, text in parts if count)


def _differences(context: Context, join: _Join) -> tuple[dict[str, int], list[Finding]]:
    """Return how many rows differ in each column, and the first of them in the order of the key."""
    rows = context.conn.execute(join.differences(context.limit)).fetchall()
    names = [pair.name for pair in join.pairs]
    by_column = {name: count for name, count in zip(names, rows[0][0], strict=True) if count}
    findings: list[Finding] = []
    for _, kind, key_values, faults, legacy_values, view_values in rows:
        if kind is None:
            continue  # none was asked for
        key = tuple(zip((pair.name for pair in join.key), key_values, strict=True))
        where = ", ".join(f"{name} = {shown(value)}" for name, value in key)
        if kind != "changed":
            side = "not in the view" if kind == "missing" else "only in the view"
            findings.append(Finding(kind, where, f"the row is {side}", key))
            continue
        for name, is_fault, legacy, view in zip(
            names, faults, legacy_values, view_values, strict=True
        ):
            if is_fault:
                message = f"{name}: {shown(legacy)} in the table, {shown(view)} in the view"
                findings.append(Finding(kind, where, message, key, legacy, view))
    return by_column, findings


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
        both = "l.present IS NOT NULL AND v.present IS NOT NULL"
        wanted = [
            "count(l.present)",
            "count(v.present)",
            f"count(*) FILTER (WHERE {self._any})",
            "count(*) FILTER (WHERE v.present IS NULL)",
            "count(*) FILTER (WHERE l.present IS NULL)",
            *(
                f"count(*) FILTER (WHERE {both} AND "
                f"{pair.differs(pair.of(_LEGACY), pair.of(_VIEW))} AND NOT {self._faulty(pair)})"
                for pair in self.lossy
            ),
        ]
        return f"SELECT {', '.join(wanted)}\n{self._from}"

    def differences(self, limit: int) -> str:
        """Return the query for the differing rows.

        At least one row: changed rows by column (always the same), then kind, key, faults, legacy
        and view values of one differing row, or NULLs when `limit` is 0.
        """
        keys = [f"COALESCE({p.legacy}, {p.view})" for p in self.key]
        order = ", ".join(f"k{n}" for n in range(len(keys)))

        def array(values: Iterable[str], kind: str = "text") -> str:
            return f"ARRAY[{', '.join(f'({value})::{kind}' for value in values)}]"

        return (
            "WITH d AS MATERIALIZED (SELECT CASE WHEN v.present IS NULL THEN 'missing' "
            "WHEN l.present IS NULL THEN 'extra' ELSE 'changed' END AS kind, "
            + ", ".join(f"{key} AS k{n}" for n, key in enumerate(keys))
            + f", {array(keys)} AS key"
            f", {array((self._faulty(p) for p in self.pairs), 'boolean')} AS faults"
            f", {array(p.of(_LEGACY) for p in self.pairs)} AS legacy"
            f", {array(p.of(_VIEW) for p in self.pairs)} AS view\n"
            f"{self._from}\nWHERE {self._any} LIMIT {_LOOKED_AT}), totals AS (SELECT "
            + array(
                (
                    f"count(*) FILTER (WHERE kind = 'changed' AND faults[{n}])"
                    for n in range(1, len(self.pairs) + 1)
                ),
                "bigint",
            )
            + " AS changed FROM d)\n"
            "SELECT changed, kind, key, faults, legacy, view FROM totals LEFT JOIN "
            f"(SELECT * FROM d ORDER BY {order} LIMIT {limit:d}) AS d ON true ORDER BY {order}"
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
