"""The plan: what would happen to a table, in which form and why, before anything does.

Reads the catalogue and the rows; changes nothing, also where it needs a helper function for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from compat import state
from compat.catalog import estimate_rows, find_exact
from compat.compile import copy as compiled
from compat.connection import Connection
from compat.fidelity import Behaviour, behaviours
from compat.mapping import Form, Mapping
from compat.names import ident
from compat.rules import Row
from compat.run.dependents import Dependent, dependents
from compat.run.steps import check_tables, check_values


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
    reasons = mapping.reasons_against_updatable
    if mapping.form != "auto":
        why: tuple[str, ...] = (f"the mapping asks for {mapping.form}",)
    elif reasons:
        why = reasons
    else:
        why = ("every column is a plain rename",)
    return Plan(
        mapping=mapping.name,
        legacy=mapping.legacy.title,
        target=mapping.target.title,
        phase=stored.phase if stored else "not started",
        rows=_rows(conn, mapping, stored),
        form=mapping.chosen_form,
        why=why,
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
        fidelity=behaviours(mapping.chosen_form),
        dependents=_dependents(conn, mapping, stored),
        indexes=suggested_indexes(mapping),
        steps=_steps(mapping),
    )


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
    statements = []
    indexed = {
        column.name
        for column in mapping.legacy.columns
        for index in mapping.legacy.indexes
        if ident(column.name) in index.definition or f"({column.name}" in index.definition
    } | {name for key in mapping.legacy.unique_keys for name in key}
    for lens in mapping.lenses:
        if lens.converts and lens.targets and lens.legacy.name in indexed:
            expression = lens.read(Row(ident(mapping.target.name)))
            statements.append(f"CREATE INDEX ON {mapping.target.sql} (({expression}))")
    return tuple(statements)


def _steps(mapping: Mapping) -> tuple[tuple[str, str], ...]:
    name = mapping.name
    return (
        ("expand", f"sync triggers on {mapping.legacy.title}; view ready as {mapping.standby}"),
        ("copy", f"compat copy {name} --execute"),
        ("verify", "compat-verify"),
        ("cutover", f"{mapping.legacy.title} becomes {mapping.retired}, the view takes its name"),
        ("rewrite", "compat-codemod over the applications"),
        ("contract", f"the view and {mapping.retired} are dropped"),
    )


def _dependents(
    conn: Connection, mapping: Mapping, stored: state.Stored | None
) -> tuple[Dependent, ...]:
    if stored is not None and stored.phase == "contracted":
        return ()
    name = mapping.legacy.name
    if stored is not None and stored.phase == "cutover":
        name = mapping.retired_name
    relation = find_exact(conn, mapping.legacy.schema, name)
    return () if relation is None else dependents(conn, mapping, relation)
