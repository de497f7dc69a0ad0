"""Row counts: the legacy table against the target, exact, in one snapshot.

Both are counted in one statement; sync keeps them equal in every snapshot, also while data is live.
"""

from __future__ import annotations

from dataclasses import dataclass

from compat.compile.source import source
from compat.mapping import Mapping
from compat.names import ident
from verify.context import Context, plural, shown
from verify.report import Finding, Result, does_not_hold, holds, not_run

NAME = "counts"


def check(context: Context) -> Result:
    """Return whether both sides have the same number of rows, in all and in each declared group.

    :raises psycopg.Error: a relation is missing or may not be read
    """
    mapping, legacy_sql = context.mapping, context.stored.legacy_sql
    title = context.stored.view_sql if mapping.syncs_through_view else mapping.target.sql
    columns = context.options.groups(mapping.name)
    for name in columns:
        if reason := no_groups(context.mapping, name):
            return not_run(NAME, reason)
    row = context.conn.execute(
        f"SELECT (SELECT count(*) FROM {legacy_sql}), (SELECT count(*) FROM {source(mapping)})"
    ).fetchone()
    assert row is not None
    legacy, target = row
    unfinished = context.unfinished
    if unfinished is not None:
        counted = Counted(legacy_sql, title, legacy, target)
        finding = Finding("unfinished", context.mapping.name, unfinished)
        summary = f"{unfinished} ({counted.summary})"
        return does_not_hold(NAME, summary, (finding,), numbers=counted.numbers)
    groups = tuple(group for name in columns for group in _groups(context, name))
    return judge(Counted(legacy_sql, title, legacy, target, groups), context.limit)


@dataclass(frozen=True)
class Group:
    """The rows with one value (text) of a legacy column, on either side."""

    column: str
    value: str | None
    legacy: int
    found: int


@dataclass(frozen=True)
class Counted:
    """The rows of both sides, in all and by groups."""

    legacy_title: str
    target_title: str
    legacy: int
    target: int
    groups: tuple[Group, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether no count differs."""
        return self.legacy == self.target and all(g.legacy == g.found for g in self.groups)

    @property
    def summary(self) -> str:
        """Both totals, in one line."""
        return f"{self.legacy_title} has {plural(self.legacy, 'row')}, " + (
            f"{self.target_title} has {self.target:,}"
        )

    @property
    def numbers(self) -> tuple[tuple[str, int], ...]:
        """The counts by name."""
        numbers = (("legacy", self.legacy), ("target", self.target))
        return (*numbers, ("groups", len(self.groups))) if self.groups else numbers


def judge(counted: Counted, limit: int) -> Result:
    """Return the result of what was counted.

    :param limit: how many differing groups are shown
    """
    if counted.agrees:
        groups = len(counted.groups)
        of_groups = f", and in each of {plural(groups, 'group')}" if groups else ""
        summary = f"{plural(counted.legacy, 'row')} on both sides{of_groups}"
        return holds(NAME, summary, numbers=counted.numbers)
    findings = [
        Finding(
            "count",
            f"{group.column} = {shown(group.value)}",
            f"{plural(group.legacy, 'row')} expected, {group.found:,} found",
            expected=str(group.legacy),
            found=str(group.found),
        )
        for group in counted.groups
        if group.legacy != group.found
    ]
    total, shown_ones = len(findings), findings[:limit]
    summary = f"{plural(counted.legacy, 'row')} on both sides, but groups differ"
    if counted.legacy != counted.target:
        summary, total = counted.summary, total + 1
        whole = Finding(
            "count",
            counted.target_title,
            summary,
            expected=str(counted.legacy),
            found=str(counted.target),
        )
        shown_ones = [whole, *shown_ones]
    return does_not_hold(NAME, summary, tuple(shown_ones), total, numbers=counted.numbers)


def no_groups(mapping: Mapping, name: str) -> str | None:
    """Return why rows cannot be counted by a legacy column, or None."""
    if mapping.legacy.column(name) is None:
        columns = ", ".join(mapping.legacy.column_names)
        return f"{mapping.legacy.title} has no column {name!r} to group by (there: {columns})"
    loss = mapping.lens(name).loss
    if loss is not None:
        return f"groups of {name!r} need not agree, since the mapping accepts a loss: {loss}"
    return None


def _groups(context: Context, name: str) -> tuple[Group, ...]:
    """Count the rows of the table and of the view by the values of one legacy column."""
    column = ident(name)

    def grouped(relation: str) -> str:
        value = f'({column}::text) COLLATE pg_catalog."C"'
        return f"(SELECT {value} AS value, count(*) AS rows FROM {relation} GROUP BY 1)"

    rows = context.conn.execute(
        "SELECT COALESCE(l.value, v.value), COALESCE(l.rows, 0), COALESCE(v.rows, 0)\n"
        f"FROM {grouped(context.stored.legacy_sql)} AS l\n"
        # A full join takes nothing but equality; of arrays, it holds for NULL and NULL too.
        f"FULL JOIN {grouped(context.stored.view_sql)} AS v ON ARRAY[l.value] = ARRAY[v.value]\n"
        "ORDER BY 1"
    )
    return tuple(Group(name, *row) for row in rows)
