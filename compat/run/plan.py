"""The plan: what would happen to a table, in which form and why, before anything does.

Reads the catalogue and the rows; changes nothing, also where it needs a helper function for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from compat import state
from compat.bridge import bridge_of, is_bridge
from compat.catalog import estimate_rows, find_exact
from compat.compile import copy as compiled
from compat.compile import view
from compat.compile.source import parents
from compat.connection import Connection
from compat.fidelity import Behaviour, behaviours_of
from compat.mapping import Form, Mapping
from compat.names import ident, idents
from compat.rules import Lens, Row
from compat.run import versions
from compat.run.dependents import Dependent, dependents
from compat.run.spread import TablePlan, spread
from compat.run.steps import check_tables, check_values
from compat.tables import Table


@dataclass(frozen=True)
class ColumnPlan:
    """What becomes of one legacy column."""

    legacy: str
    targets: tuple[str, ...]
    rule: str
    loss: str | None
    accepted: bool
    rows_lost: int | None
    """Rows that would lose something; None when not counted because nothing can be lost."""
    refusals: tuple[str, ...]
    """What legacy clients could write so far and then get an error for."""


@dataclass(frozen=True)
class VersionPlan:
    """An older version whose view is made anew at cutover, over the target itself.

    :param view: the query that it has then
    """

    mapping: str
    legacy: str
    target: str
    form: Form
    view: str


@dataclass(frozen=True)
class Plan:
    """All that `compat plan` tells."""

    mapping: str
    legacy: str
    target: str
    phase: str
    rows: int
    form: Form
    why: tuple[str, ...]
    columns: tuple[ColumnPlan, ...]
    fidelity: tuple[Behaviour, ...]
    dependents: tuple[Dependent, ...]
    indexes: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]
    view: str
    """The query of the view."""
    through: tuple[str, ...]
    """The later migrations through which the view reads, in order."""
    beneath: tuple[VersionPlan, ...]
    tables: tuple[TablePlan, ...]
    """What is where, when a legacy row is not simply a row of the target."""


def plan(conn: Connection, mapping: Mapping) -> Plan:
    """Return the plan of a migration.

    :raises CatalogError: a table is missing or differs from the mapping's
    :raises DataError: the legacy table holds values that the mapping refuses
    """
    stored = next((s for s in state.load_all(conn) if s.mapping.name == mapping.name), None)
    lost: dict[str, int] = {}
    if stored is None or stored.phase in ("expanded", "copying", "copied"):
        check_tables(conn, mapping)
        with state.installed_for_now(conn):
            check_values(conn, mapping)
            for column, query in compiled.losses(mapping):
                row = conn.execute(query).fetchone()
                lost[column] = int(row[0]) if row else 0
    return Plan(
        mapping=mapping.name,
        legacy=mapping.legacy.title,
        target=mapping.target.title,
        phase=stored.phase if stored else "not started",
        rows=_rows(conn, mapping, stored),
        form=mapping.chosen_form,
        why=_why(mapping),
        columns=tuple(
            ColumnPlan(
                lens.legacy.name,
                lens.targets,
                lens.rule.rule,
                lens.loss,
                lens.legacy.name in mapping.accept,
                lost.get(lens.legacy.name),
                lens.refusals,
            )
            for lens in mapping.lenses
        ),
        fidelity=behaviours_of(mapping),
        dependents=_dependents(conn, mapping, stored),
        indexes=suggested_indexes(mapping),
        steps=_steps(mapping),
        view=view.select(mapping),
        through=mapping.through,
        beneath=_versions(conn, mapping),
        tables=spread(mapping),
    )


def _versions(conn: Connection, mapping: Mapping) -> tuple[VersionPlan, ...]:
    composed = (item.composed for item in versions.beneath(conn, mapping))
    return tuple(
        VersionPlan(m.name, m.legacy.title, m.target.title, m.chosen_form, view.select(m))
        for m in composed
    )


def _why(mapping: Mapping) -> tuple[str, ...]:
    """Say why the view has its form, one sentence each."""
    return (*_why_this_form(mapping), *_how_inserts(mapping))


def _how_inserts(mapping: Mapping) -> Iterator[str]:
    """Say what becomes of COPY … FROM and ON CONFLICT where applications need COPY."""
    if mapping.chosen_form not in ("updatable", "bridged"):
        return
    if mapping.inserts_by_trigger:
        yield (
            "applications need copy: a trigger takes INSERTs, so COPY … FROM works and ON CONFLICT "
            "does not; UPDATE and DELETE are native"
        )
    elif "copy" in mapping.needs:
        yield (
            "applications need both copy and on_conflict: one view cannot have both, and keeps ON "
            "CONFLICT; form='reversed' has both"
        )


def _why_this_form(mapping: Mapping) -> tuple[str, ...]:
    if mapping.form != "auto":
        return (f"the mapping asks for {mapping.form}",)
    needed = f"applications need {', '.join(mapping.needs)}"
    reasons = mapping.reasons_against_updatable
    if not reasons:
        return ("every column is a plain rename",)
    if mapping.chosen_form == "bridged":
        return (*reasons, f"{needed}: the target carries the legacy columns meanwhile")
    if {"on_conflict", "hot_rows"} & set(mapping.needs):
        bridge = (f"no bridge: {reason}" for reason in mapping.reasons_against_bridged)
        return (*reasons, f"{needed}, which this form does not serve", *bridge)
    return reasons


def _rows(conn: Connection, mapping: Mapping, stored: state.Stored | None) -> int:
    table, name = mapping.legacy, mapping.legacy.name
    if stored is not None and stored.phase == "cutover":
        name = mapping.retired_name
    elif stored is not None and stored.phase == "contracted":
        table, name = mapping.target, mapping.target.name
    return estimate_rows(conn, table.schema, name)


def suggested_indexes(mapping: Mapping) -> tuple[str, ...]:
    """Return CREATE INDEX statements for converted columns that the legacy table had indexed.

    The view's conditions on such a column can only use an index over the very same expression.
    """
    statements: list[str] = []
    indexed = {
        column.name
        for column in mapping.legacy.columns
        for index in mapping.legacy.indexes
        if ident(column.name) in index.definition or f"({column.name}" in index.definition
    } | {name for key in mapping.legacy.unique_keys for name in key}
    if is_bridge(mapping):
        return ()  # the bridge has the legacy table's
    for lens in mapping.lenses:
        if lens.targets and lens.legacy.name in indexed:
            statements += _indexes_for(mapping, lens)
    for place in parents(mapping):
        # When a parent changes, the reverse sync looks for the rows that reference it.
        columns = [other for _, other in place.on]
        if not _finds_by(mapping.target, columns[0]):
            statements.append(f"CREATE INDEX ON {mapping.target.sql} ({idents(columns)})")
    return tuple(statements)


def _indexes_for(mapping: Mapping, lens: Lens) -> Iterator[str]:
    """Yield the statements for one legacy column, on the tables where it lives."""
    place = next(place for place in mapping.places if lens in mapping.lenses_of(place))
    tables = [place.table]
    if place.part is None:
        tables += [choice.table for choice in mapping.choices]
    for table in tables:
        if not lens.converts:
            if mapping.is_shaped and not _finds_by(table, lens.targets[0]):
                yield f"CREATE INDEX ON {table.sql} ({ident(lens.targets[0])})"
        elif lens.rule.indexable(lens.ends):
            alone = replace(lens, part=None, among_others=False)
            yield f"CREATE INDEX ON {table.sql} (({alone.read(Row(ident(table.name)))}))"


def _finds_by(table: Table, column: str) -> bool:
    """Return whether an index of a table begins with a column."""
    begins = tuple(f"USING btree ({spelling}" for spelling in (ident(column), column))
    return any(key[0] == column for key in table.unique_keys) or any(
        index.definition.startswith(begins) for index in table.indexes
    )


def _steps(mapping: Mapping) -> tuple[tuple[str, str], ...]:
    name, carried, bridge = shlex.quote(mapping.name), "", ""
    if mapping.chosen_form == "reversed":
        return _steps_reversed(mapping)
    if mapping.chosen_form == "bridged":
        added = ", ".join(column.name for column in bridge_of(mapping).added)
        carried, bridge = f"; {mapping.target.title} gets {added}", ", the bridge"
    return (
        (
            "expand",
            f"sync triggers on {mapping.legacy.title}; view ready as {mapping.standby}{carried}",
        ),
        ("copy", f"compat copy {name} --execute"),
        ("verify", "compat-verify"),
        ("cutover", f"{mapping.legacy.title} becomes {mapping.retired}, the view takes its name"),
        ("rewrite", "compat-codemod over the applications"),
        ("contract", f"the view{bridge} and {mapping.retired} are dropped"),
    )


def _steps_reversed(mapping: Mapping) -> tuple[tuple[str, str], ...]:
    name, legacy, target = shlex.quote(mapping.name), mapping.legacy.title, mapping.target.title
    added = ", ".join(column.name for column in bridge_of(mapping).added)
    return (
        ("expand", f"{legacy} gets {added}, kept in step; view ready as {mapping.standby}"),
        ("copy", f"compat copy {name} --execute: fills these columns"),
        ("verify", "compat-verify"),
        ("cutover", f"{target}, still empty, stands aside; the view takes its name"),
        ("rewrite", "compat-codemod over the applications"),
        ("switch", f"compat switch {name} --to instead_of --execute: the rows go to {target}"),
    )


def _dependents(
    conn: Connection, mapping: Mapping, stored: state.Stored | None
) -> tuple[Dependent, ...]:
    if stored is not None and stored.phase == "contracted":
        return ()
    name = mapping.legacy.name
    if stored is not None and stored.phase == "cutover" and mapping.chosen_form != "reversed":
        name = mapping.retired_name
    relation = find_exact(conn, mapping.legacy.schema, name)
    return () if relation is None else dependents(conn, mapping, relation)
