"""Mappings changed while their migrations are under way, in every form and shape: there and back.

In process: what the comparison finds is invoked at once, as an upgrade and a downgrade would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext
from alembic.util import CommandError

from compat import rules
from compat.autogenerate import register
from compat.database import sqlalchemy_url
from compat.mapping import Fill, Mapping
from compat.operations import AlterMappingOp, CompatOperation, SwitchFormOp
from compat.shapes import Half, Parent
from tests.compat.migrations import Connection, Migration, lines, value
from tests.compat.shaped import contacts, customers, jobs, tasks
from tests.run.support import steps, verify
from tests.test_alembic import create, operating

LABELS = {1: "free", 2: "claimed", 3: "done"}


def found(url: str, *mappings: Mapping) -> list[CompatOperation]:
    """What `alembic check` finds of a project that has registered the mappings."""
    metadata = sa.MetaData()
    register(metadata, *mappings)
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        produced = produce_migrations(context, metadata).upgrade_ops
    assert produced is not None
    return [item for item in produced.ops if isinstance(item, CompatOperation)]


def changed(mapping: Mapping, *new: rules.AnyRule, **others: object) -> Mapping:
    by_column = {rule.legacy: rule for rule in new}
    kept = tuple(by_column.get(rule.legacy, rule) for rule in mapping.rules)
    return replace(mapping, rules=kept, **others)  # type: ignore[arg-type]


def states(**labels: str) -> rules.ValueMap:
    pairs = {**LABELS, **{int(key[1:]): label for key, label in labels.items()}}
    return rules.ValueMap("status", "state", tuple(pairs.items()))


def other_labels(mapping: Mapping) -> Mapping:
    return changed(mapping, states(_2="taken", _3="it's 100% done", _4="lost"))


def another_default(mapping: Mapping) -> Mapping:
    legacy = mapping.legacy
    columns = tuple(
        replace(column, default="7") if column.name == "qty" else column
        for column in legacy.columns
    )
    return replace(mapping, legacy=replace(legacy, columns=columns))


def another_unit(mapping: Mapping) -> Mapping:
    """What v2 holds are milliseconds by now: every row reads otherwise."""
    return changed(mapping, rules.Epoch("created", "created_at", "min"))


def fills_of_a_half(mapping: Mapping) -> Mapping:
    (half,) = mapping.parts
    assert isinstance(half, Half)
    return replace(mapping, parts=(replace(half, fills=(Fill("hidden", "'filled'"),)),))


def policy_of_parents(mapping: Mapping) -> Mapping:
    (parent,) = mapping.parts
    assert isinstance(parent, Parent)
    return replace(mapping, parts=(replace(parent, orphans="delete"),))


def optional_half(mapping: Mapping) -> Mapping:
    (half,) = mapping.parts
    assert isinstance(half, Half)
    return replace(mapping, parts=(replace(half, optional=True),))


def upper_case(mapping: Mapping) -> Mapping:
    rule = rules.Text("name", mapping.lens("name").targets[0], case="upper")
    return changed(mapping, rule, accept=(*mapping.accept, "name"))


def another_fill(mapping: Mapping) -> Mapping:
    return replace(mapping, fills=(Fill("hidden", "'filled'"),))


ROWS = {
    "lines": "INSERT INTO lines (order_id, status, created) SELECT n, n, n * 60 FROM"
    " generate_series(1, 3) n",
    "customers": "INSERT INTO customers (name, city) VALUES ('Ada', 'London'), ('BOB', NULL)",
    "task": "INSERT INTO task (author, task) VALUES ('Ann', 'a'), ('Ann', 'b'), ('Ben', 'c')",
    "jobs": "INSERT INTO jobs (state) VALUES ('open'), ('done')",
    "contact": "INSERT INTO contact (name, street) VALUES ('Ada', 'A Street'), ('BOB', NULL)",
}
Make = Callable[[Connection], Migration]
CASES: dict[str, tuple[Make, Callable[[Mapping], Mapping], tuple[str, ...]]] = {
    "instead_of, labels": (lines, other_labels, ("copied", "cutover")),
    "instead_of, a default": (lines, another_default, ("cutover",)),
    "instead_of, a unit": (lines, another_unit, ("cutover",)),
    "bridged, labels": (
        lambda conn: lines(conn, form="bridged"),
        other_labels,
        ("copied", "cutover"),
    ),
    "bridged, a unit": (lambda conn: lines(conn, form="bridged"), another_unit, ("cutover",)),
    "bridged, a default": (
        lambda conn: lines(conn, form="bridged"),
        another_default,
        ("cutover",),
    ),
    "halves, a fill": (customers, fills_of_a_half, ("copied", "cutover")),
    "halves, a rule": (customers, upper_case, ("copied", "cutover")),
    "parents, a policy": (tasks, policy_of_parents, ("copied", "cutover")),
    "choices, a fill": (jobs, another_fill, ("copied", "cutover")),
    "a tag, a rule": (contacts, upper_case, ("cutover",)),
}


@pytest.mark.proof
@pytest.mark.parametrize(
    ("case", "at"), [(name, at) for name, (*_, phases) in CASES.items() for at in phases]
)
def test_a_changed_mapping_is_found_and_made_so_and_so_is_the_way_back(
    conn: Connection, url: str, case: str, at: str
) -> None:
    make, change, _ = CASES[case]
    migration = make(conn)
    before = migration.mapping
    after = change(before)
    name = before.name
    conn.execute(ROWS[name])
    with operating(url) as operations:
        create(operations, before)
    steps(url, name, "copy", *["cutover"] * (at == "cutover"))
    rows = migration.legacy_rows()

    for wanted, held in ((after, before), (before, after)):
        (operation,) = found(url, wanted)
        assert isinstance(operation, AlterMappingOp)
        assert (operation.before, operation.mapping) == (held, wanted)
        with operating(url) as operations:
            operations.invoke(operation)
        if operation.recopy:
            steps(url, name, "copy")
        assert found(url, wanted) == []
        assert verify(url, "--checks", "contents,structure,integrity") == 0
        if not case.endswith("a unit"):
            assert migration.legacy_rows() == rows
    assert migration.legacy_rows() == rows
    if at == "cutover":
        assert value(conn, "SELECT count(*) FROM compat.event WHERE step = 'alter'") == 2
        steps(url, name, "rollback")
        assert migration.legacy_rows() == rows
        assert verify(url, "--checks", "contents,structure") == 0


def test_new_labels_are_in_the_target_and_a_client_writes_them(conn: Connection, url: str) -> None:
    migration = lines(conn, form="bridged")
    conn.execute(ROWS["lines"])
    migration.expand().copy().cutover()
    with operating(url) as operations:
        operations.invoke(AlterMappingOp(migration.mapping, other_labels(migration.mapping)))
    conn.execute("UPDATE lines SET status = 4 WHERE id = 1")
    target = "SELECT array_agg(state ORDER BY line_id) FROM lines_v2"
    assert value(conn, target) == ["lost", "taken", "it's 100% done"]
    conn.execute("UPDATE lines_v2 SET state = 'free'")
    assert value(conn, "SELECT array_agg(DISTINCT status) FROM lines") == [1]


STACK = """
CREATE TABLE v1 (id serial PRIMARY KEY, st integer NOT NULL DEFAULT 1);
CREATE TABLE v2 (id integer PRIMARY KEY, status integer NOT NULL);
CREATE TABLE v3 (key integer PRIMARY KEY, state text NOT NULL);
INSERT INTO v1 (st) VALUES (1), (2);
"""


@pytest.mark.proof
def test_older_versions_go_on_through_a_mapping_that_is_changed_and_may_be_changed_themselves(
    conn: Connection, url: str
) -> None:
    conn.execute(STACK)
    first = Migration.between(
        conn, "v1", "v2", [rules.Column("id", "id"), rules.Column("st", "status")]
    ).mapping
    labels = rules.ValueMap("status", "state", ((1, "new"), (2, "old")))

    def go(mapping: Mapping) -> Mapping:
        with operating(url) as operations:
            create(operations, mapping)
        steps(url, mapping.name, "copy", "cutover")
        return mapping

    go(first)
    second = go(Migration.between(conn, "v2", "v3", [rules.Column("id", "key"), labels]).mapping)
    relabelled = changed(second, replace(labels, pairs=((1, "fresh"), (2, "old"), (3, "gone"))))
    column = replace(first.legacy.columns[1], default="2")
    defaulting = replace(
        first, legacy=replace(first.legacy, columns=(first.legacy.columns[0], column))
    )

    def change(*wanted: Mapping) -> None:
        (operation,) = found(url, *wanted)
        with operating(url) as operations:
            operations.invoke(operation)
        assert found(url, *wanted) == []
        assert verify(url, "--checks", "contents,structure,integrity") == 0

    change(first, relabelled)
    conn.execute("UPDATE v1 SET st = 3 WHERE id = 2")
    assert value(conn, "SELECT array_agg(state ORDER BY key) FROM v3") == ["fresh", "gone"]
    change(defaulting, relabelled)
    conn.execute("INSERT INTO v1 (id) VALUES (9)")
    assert value(conn, "SELECT state FROM v3 WHERE key = 9") == "old"
    conn.execute("DELETE FROM v1 WHERE st = 3")
    change(first, relabelled)
    change(first, second)
    assert conn.execute("SELECT * FROM v1 ORDER BY id").fetchall() == [(1, 1), (9, 2)]
    steps(url, "v2", "rollback")
    steps(url, "v1", "rollback")
    assert conn.execute("SELECT * FROM v1 ORDER BY id").fetchall() == [(1, 1), (9, 2)]


def test_another_form_is_rendered_as_a_switch_and_a_copy_that_it_needs_is_asked_for(
    conn: Connection, url: str
) -> None:
    migration = lines(conn, form="bridged")
    conn.execute(ROWS["lines"])
    migration.expand().copy().cutover()
    other = replace(migration.mapping, form="instead_of")
    (operation,) = found(url, other)
    assert isinstance(operation, SwitchFormOp)
    with operating(url) as operations:
        operations.invoke(operation)
    assert found(url, other) == []
    (back,) = found(url, migration.mapping)
    assert back.to_diff_tuple() == operation.reverse().to_diff_tuple()
    match = "compat switch lines --to bridged --execute"
    with pytest.raises(CommandError, match=match), operating(url) as operations:
        operations.invoke(back)
    assert found(url, other) == []


REFUSED: dict[str, tuple[Make, Callable[[Mapping], Mapping], str, str]] = {
    "another bridge": (
        lambda conn: lines(conn, form="bridged"),
        lambda mapping: changed(
            mapping, rules.Text("note", "remark", case="upper"), accept=("note",)
        ),
        "cutover",
        "carries the columns .*, and would carry",
    ),
    "another form": (
        lambda conn: lines(conn, form="bridged"),
        lambda mapping: replace(mapping, form="instead_of"),
        "cutover",
        "op.switch_form",
    ),
    "other places": (
        customers,
        optional_half,
        "cutover",
        "its rows are in other tables",
    ),
    "other conditions": (
        jobs,
        lambda mapping: replace(mapping, remainder="state <> 'done'"),
        "cutover",
        "by which rows were put where they are",
    ),
    "a shared target": (contacts, upper_case, "copied", "could not be emptied"),
    "a label that was another's": (
        lines,
        lambda mapping: changed(mapping, states(_1="claimed", _2="taken")),
        "cutover",
        "no legacy counterpart",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_changed_under_way_is_refused_with_the_reason_and_nothing_changes(
    conn: Connection, url: str, case: str
) -> None:
    make, change, at, reason = REFUSED[case]
    migration = make(conn)
    name = migration.mapping.name
    conn.execute(ROWS[name])
    migration.expand().copy()
    if at == "cutover":
        migration.cutover()
    rows = migration.legacy_rows()
    operation = AlterMappingOp(migration.mapping, change(migration.mapping), recopy=True)
    with pytest.raises(CommandError, match=reason), operating(url) as operations:
        operations.invoke(operation)
    assert migration.legacy_rows() == rows
    assert found(url, migration.mapping) == []
