"""Statements of an application said of the legacy table and of the view, and the answers compared.

Each runs on both sides inside the caller's snapshot, and is undone at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from compat.names import ident, idents
from verify.context import Context, one_line, plural
from verify.probes.side import read
from verify.probes.statements import Cells
from verify.probes.twin import draws
from verify.report import Finding
from verify.workload.answers import Reply, ask, difference
from verify.workload.reading import Statement, Workload

if TYPE_CHECKING:
    from verify.workload.pointing import Pointed

# What others do, or may do and we not, says nothing of the view: locks, conflicts, rights, a
# database that may only be read.
_SAYS_NOTHING = ("55P03", "40001", "40P01", "42501", "25006", "57014")
_FOREIGN_KEY = "23503"
_MOST_REASONS = 10


def set_up(context: Context) -> None:
    """Set the transaction up for statements of applications on either side."""
    schema = ident(context.mapping.legacy.schema)
    for setting, value in (
        ("lock_timeout", f"{context.lock_timeout:d}ms"),
        ("compat.early_writes", "on"),
    ):
        context.conn.execute("SELECT pg_catalog.set_config(%s, %s, true)", [setting, value])
    # The application's own path is not known: at the end, so that the session's comes first.
    context.conn.execute(
        "SELECT pg_catalog.set_config('search_path',"
        " concat_ws(', ', nullif(current_setting('search_path'), ''), %s::text), true)",
        [schema],
    )
    context.conn.execute("SET CONSTRAINTS ALL IMMEDIATE")


def a_row(context: Context) -> Cells | None:
    """Return a row of the legacy table, to fill parameters with; None if it is empty."""
    names = idents(list(context.mapping.legacy.column_names))
    rows = read(context.conn, f"SELECT {names} FROM {context.stored.legacy_sql} LIMIT 1")
    return rows[0] if rows else None


@dataclass
class Comparison:
    """What comparing statements on the legacy table and on the view has shown so far.

    :param left_out: what was not tried, and why
    :param hindered: what somebody else, or missing rights, kept us from trying
    :param refused: how many of those tried both sides refused alike
    """

    context: Context
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    hindered: list[str] = field(default_factory=list)
    tried: int = 0
    refused: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"table": 0.0, "view": 0.0})

    def add(self, workload: Workload) -> None:
        """Try all statements that speak of the table."""
        from verify.workload.pointing import LeftOut, pointed

        self.left_out += workload.left_out
        sample = a_row(self.context)
        for statement in workload.statements:
            try:
                said = pointed(statement.text, self.context.mapping, sample)
            except LeftOut as reason:
                self.left_out.append(f"{statement.place}: {reason}")
                continue
            if said is not None:
                self._compare(statement, said)

    def _compare(self, statement: Statement, said: Pointed) -> None:
        table, view = self._sides(said)
        for reply in (table, view):
            if reply.sqlstate in _SAYS_NOTHING:
                self.hindered.append(f"{statement.place}: {reply.tag}")
                return
        if table.sqlstate == _FOREIGN_KEY and view.sqlstate is None and not self.context.is_cutover:
            self.left_out.append(
                f"{statement.place}: what refers to the table refers to the view after the cutover"
            )
            return
        self.tried += 1
        self.refused += table.sqlstate is not None and view.sqlstate is not None
        self.seconds["table"] += table.seconds
        self.seconds["view"] += view.seconds
        found = difference(said, *self._comparable(said, table, view))
        if found is None:
            return
        again, _ = self._sides(said)
        if difference(said, *self._comparable(said, table, again)) is not None:
            self.tried -= 1
            self.left_out.append(f"{statement.place}: the table itself answers differently again")
            return
        lossy = frozenset(lens.legacy.name for lens in self.context.mapping.lenses if lens.loss)
        if lossy and difference(said, table.without(lossy), view.without(lossy)) is None:
            self.left_out.append(
                f"{statement.place}: differs in columns whose loss the mapping accepts"
            )
            return
        self.findings.append(
            Finding(
                found.kind,
                statement.place,
                f"{found.message}\n{one_line(statement.text, 300)}",
                expected=found.expected,
                found=found.found,
            )
        )

    def _sides(self, said: Pointed) -> tuple[Reply, Reply]:
        stored, conn = self.context.stored, self.context.conn
        return ask(conn, said.at(stored.legacy_sql)), ask(conn, said.at(stored.view_sql))

    def _comparable(self, said: Pointed, table: Reply, view: Reply) -> tuple[Reply, Reply]:
        """Leave out what must differ: a new row's key, and the name of a whole row's type."""
        table, view = (reply.with_types(self._row_types) for reply in (table, view))
        if not said.inserts:
            return table, view
        return table.without(self._drawn), view.without(self._drawn)

    @cached_property
    def _row_types(self) -> dict[str, str]:
        rows = self.context.conn.execute(
            "SELECT reltype::text FROM pg_catalog.pg_class WHERE oid IN (to_regclass(%s),"
            " to_regclass(%s))",
            [self.context.stored.legacy_sql, self.context.stored.view_sql],
        ).fetchall()
        return {oid: "row" for (oid,) in rows}

    @cached_property
    def _drawn(self) -> frozenset[str]:
        columns = self.context.mapping.legacy.columns
        return frozenset(column.name for column in columns if draws(self.context, column))

    def notes(self) -> list[str]:
        """What a reader should know of what was not compared."""
        reasons = [*self.left_out, *self.hindered]
        notes = [f"left out: {reason}" for reason in reasons[:_MOST_REASONS]]
        if len(reasons) > _MOST_REASONS:
            notes.append(f"left out: {len(reasons) - _MOST_REASONS} more")
        if self.refused:
            notes.append(f"{plural(self.refused, 'statement')} refused by both, with one SQLSTATE")
        return notes
