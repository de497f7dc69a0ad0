"""The SQL that a small mapping compiles to, word for word, in golden/*.sql.

After a change that is meant: UPDATE_GOLDEN=1 pytest tests/compat/test_sql.py, then read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compat import rules
from compat.catalog import ForeignKey
from compat.compile import alter, copy, move, swap, switch
from compat.compile.install import install
from compat.compile.move import Batch, Rows
from compat.mapping import Fill, Form, Mapping
from compat.shapes import Choice, Half, Parent, Tag
from compat.tables import Column, Constraint, Index, Policy, Sequence, Table
from tests.compat.migrations import Connection

GOLDEN = Path(__file__).parent / "golden"

LEGACY = Table(
    "public",
    "jobs",
    (
        Column("id", "integer", False, "nextval('public.jobs_id_seq'::regclass)"),
        Column("cost", "numeric(10,2)", False, "0.00", comment="in euros"),
        Column("status", "integer", False, "1"),
        Column("done", "boolean", False, "false"),
        Column("note", "text"),
        Column("origin", "text", default="'shop'::text"),
    ),
    (
        Constraint("jobs_pkey", "primary_key", ("id",), "PRIMARY KEY (id)"),
        Constraint("jobs_cost_check", "check", ("cost",), "CHECK ((cost >= 0))"),
    ),
    (Index("jobs_note_idx", "USING btree (note)"),),
    (Sequence("public", "jobs_id_seq", "id"),),
    comment="What is to be done",
)
TARGET = Table(
    "public",
    "tasks",
    (
        Column("task_id", "integer", False),
        Column("cents", "integer", False),
        Column("state", "text", False),
        Column("done_at", "timestamp with time zone"),
        Column("remark", "text"),
        Column("title", "text", False),
    ),
    (Constraint("tasks_pkey", "primary_key", ("task_id",), "PRIMARY KEY (task_id)"),),
)
CONVERTING = Mapping(
    "jobs",
    LEGACY,
    TARGET,
    (
        rules.Column("id", "task_id"),
        rules.Cast("cost", "cents", factor=100),
        rules.ValueMap("status", "state", ((1, "waiting"), (2, "running"))),
        rules.Flag("done", "done_at"),
        rules.Column("note", "remark"),
        rules.Constant("origin", "shop"),
    ),
    fills=(Fill("title", "upper(note)"),),
    accept=("origin",),
)
RENAMING = Mapping(
    "files",
    Table("public", "files", LEGACY.columns[::4], LEGACY.constraints[:1]),
    Table("public", "documents", TARGET.columns[::4], TARGET.constraints),
    (rules.Column("id", "task_id"), rules.Column("note", "remark")),
)

CHANGED = replace(
    CONVERTING,
    rules=tuple(
        rules.ValueMap("status", "state", ((1, "waiting"), (2, "busy")))
        if rule.legacy == "status"
        else rule
        for rule in CONVERTING.rules
    ),
)

BRIDGED = replace(CONVERTING, name="bridged jobs", form="bridged")
FILES_COPIED_INTO = replace(RENAMING, name="files copied into", needs=("copy",))
JOBS_COPIED_INTO = replace(BRIDGED, name="jobs copied into", needs=("copy",))
REVERSED = replace(CONVERTING, name="reversed jobs", form="reversed")
SECURED = Mapping(
    "secured files",
    replace(
        RENAMING.legacy,
        policies=(
            Policy("few", "update", False, ("clerk",), "(id < 3)", "(id < 2)"),
            Policy("own", using="(note = CURRENT_USER)"),
            Policy(
                "shared",
                "select",
                using="(EXISTS (SELECT FROM public.shares s WHERE (s.file = files.id)))",
                has_subquery=True,
            ),
        ),
    ),
    RENAMING.target,
    RENAMING.rules,
)

REFERRING = Mapping(
    "invoices",
    Table(
        "public",
        "invoices",
        (
            Column("id", "integer", False),
            Column("customer_id", "integer"),
            Column("color", "text"),
            Column("weight", "numeric(8,3)"),
        ),
        (
            Constraint("invoices_pkey", "primary_key", ("id",), "PRIMARY KEY (id)"),
            Constraint(
                "invoices_customer",
                "foreign_key",
                ("customer_id",),
                "FOREIGN KEY (customer_id) REFERENCES public.customers(id)",
            ),
        ),
    ),
    Table(
        "public",
        "bills",
        (
            Column("bill_id", "integer", False),
            Column("customer_id", "uuid"),
            Column("legacy_customer_id", "integer"),
            Column("details", "jsonb", False, "'{}'::jsonb"),
        ),
        (Constraint("bills_pkey", "primary_key", ("bill_id",), "PRIMARY KEY (bill_id)"),),
    ),
    (
        rules.Column("id", "bill_id"),
        rules.Lookup(
            "customer_id",
            "customer_id",
            rules.Referenced("public", "customers_v2"),
            keep="legacy_customer_id",
        ),
        rules.JsonField("color", "details", "color"),
        rules.JsonField("weight", "details", ("measures", 0), null="null"),
    ),
)

PEOPLE = Mapping(
    "people",
    Table(
        "public",
        "people",
        (Column("id", "integer", False), Column("boss", "integer")),
        (
            Constraint("people_pkey", "primary_key", ("id",), "PRIMARY KEY (id)"),
            Constraint(
                "people_boss",
                "foreign_key",
                ("boss",),
                "FOREIGN KEY (boss) REFERENCES public.people(id)",
            ),
        ),
    ),
    Table(
        "public",
        "persons",
        (
            Column("id", "uuid", False, "gen_random_uuid()"),
            Column("number", "integer", False),
            Column("boss_id", "uuid"),
            Column("boss_number", "integer"),
        ),
        (
            Constraint("persons_pkey", "primary_key", ("id",), "PRIMARY KEY (id)"),
            Constraint("persons_number", "unique", ("number",), "UNIQUE (number)"),
            Constraint(
                "persons_boss",
                "foreign_key",
                ("boss_id",),
                "FOREIGN KEY (boss_id) REFERENCES public.persons(id)",
            ),
        ),
    ),
    (
        rules.Column("id", "number"),
        rules.Lookup(
            "boss",
            "boss_id",
            rules.Referenced("public", "persons", legacy="number"),
            keep="boss_number",
        ),
    ),
)

CLIENTS = Table(
    "public",
    "clients",
    (
        Column("id", "integer", False, "nextval('public.clients_id_seq'::regclass)"),
        Column("name", "text", False),
        Column("city", "text"),
        Column("kind", "text"),
    ),
    (
        Constraint("clients_pkey", "primary_key", ("id",), "PRIMARY KEY (id)"),
        Constraint(
            "clients_kind",
            "foreign_key",
            ("kind",),
            "FOREIGN KEY (kind) REFERENCES kinds(k)",
        ),
    ),
    sequences=(Sequence("public", "clients_id_seq", "id"),),
)


def table_of(name: str, key: str, *others: str) -> Table:
    """A table with a key of integers, and columns of text."""
    return Table(
        "public",
        name,
        (Column(key, "integer", False), *(Column(other, "text") for other in others)),
        (Constraint(f"{name}_pkey", "primary_key", (key,), f"PRIMARY KEY ({key})"),),
    )


def shaped(name: str, target: Table, **shape: Any) -> Mapping:
    """CLIENTS as columns of the same names in several tables."""
    same = tuple(rules.Column(column, column) for column in CLIENTS.column_names)
    return Mapping(name, CLIENTS, target, same, **shape)


HALVED = shaped(
    "halved clients",
    table_of("persons", "id", "name", "kind"),
    parts=(Half(table_of("addresses", "person", "city"), (("person", "id"),), ("city",)),),
)
OPTIONALLY_HALVED = shaped(
    "maybe halved clients",
    table_of("persons", "id", "name", "kind"),
    parts=(
        Half(
            table_of("addresses", "person", "city"), (("person", "id"),), ("city",), optional=True
        ),
    ),
)
_CITIES = replace(
    table_of("cities", "city_id", "city"),
    columns=(Column("city_id", "integer", False, identity="by default"), Column("city", "text")),
    constraints=(
        Constraint("cities_pkey", "primary_key", ("city_id",), "PRIMARY KEY (city_id)"),
        Constraint("cities_city_key", "unique", ("city",), "UNIQUE (city)"),
    ),
)
_PERSONS_OF_CITIES = table_of("persons", "id", "name", "kind")
JOINED = shaped(
    "joined clients",
    replace(
        _PERSONS_OF_CITIES, columns=(*_PERSONS_OF_CITIES.columns, Column("city_id", "integer"))
    ),
    parts=(Parent(_CITIES, (("city_id", "city_id"),), ("city",), orphans="delete"),),
)
CHOSEN = shaped(
    "chosen clients",
    table_of("persons", "id", "name", "city", "kind"),
    choices=(Choice(table_of("firms", "id", "name", "city", "kind"), "kind = 'firm'"),),
    remainder="kind = 'person'",
)
TAGGED = shaped(
    "tagged clients",
    replace(
        table_of("persons", "id", "name", "city", "kind", "what"),
        constraints=(
            Constraint("persons_pkey", "primary_key", ("what", "id"), "PRIMARY KEY (what, id)"),
        ),
    ),
    tag=Tag("what", "client"),
)

PARENT = ForeignKey("fk", "public.tasks", ("remark",), "public.notes", ("text",), True)
ITSELF = ForeignKey("up", "public.tasks", ("cents",), "public.tasks", ("task_id",), True)


def switched(mapping: Mapping, before: Form, after: Form) -> list[str]:
    return switch.statements(replace(mapping, form=before), replace(mapping, form=after))


def moving(mapping: Mapping) -> list[str]:
    """A batch on its way into another database."""
    rows, batch = Rows(1, 9), Batch(mapping.name, 2, 3)
    return [
        move.copy_out(move.select(mapping, "cost > 0 -- paid", ("7",))),
        *move.create_staging(mapping, waiting=True),
        move.copy_in(mapping),
        move.forget_rejects(mapping, rows),
        move.take_orphans(mapping, PARENT, rows),
        move.let_wait(mapping, ITSELF, rows),
        move.insert(mapping, batch, rows),
        move.take_rest(mapping, batch, rows),
        move.altered(mapping, rows)[0],
        move.orphans_in_target(mapping, PARENT),
    ]


def moving_back(mapping: Mapping) -> list[str]:
    """The rows of a move are taken out of the other database."""
    return [
        *move.moved_keys(mapping, 2),
        move.lock_moved(mapping),
        move.judge_moved(mapping, changed=False),
        move.keep_referenced(mapping, ITSELF),
        move.delete_moved(mapping),
        *move.forget_moved(mapping, 2),
    ]


COMPILED: dict[str, Callable[[Mapping], list[str]]] = {
    "create_sync": swap.create_sync,
    "create_compat_view": swap.create_compat_view,
    "cutover": swap.cutover,
    "uncutover": swap.uncutover,
    "contract": swap.contract,
    "uncontract": swap.uncontract,
    "drop_compat_view": swap.drop_compat_view,
    "drop_sync": swap.drop_sync,
    "copy": lambda mapping: [
        copy.boundaries(mapping),
        copy.batch(mapping),
        copy.sweep(mapping),
        copy.retry(mapping),
        copy.reject(mapping),
    ],
    "checks": lambda mapping: [
        copy.missing(mapping),
        copy.foreign(mapping),
        copy.purge(mapping),
        *(f"-- {column}\n{query}" for column, query in copy.refused(mapping)),
        *(f"-- {column}\n{query}" for column, query in copy.losses(mapping)),
    ],
    "switch": lambda mapping: switched(mapping, "reversed", "bridged"),
    "switch_to_bridged": lambda mapping: switched(mapping, "instead_of", "bridged"),
    "switch_to_reversed": lambda mapping: switched(mapping, "instead_of", "reversed"),
    "alter": lambda mapping: alter.alter(CHANGED, [alter.Change(mapping, CHANGED)], "copied"),
    "alter_after_cutover": lambda mapping: alter.alter(
        CHANGED, [alter.Change(mapping, CHANGED)], "cutover"
    ),
    "repair": lambda mapping: alter.repair(mapping, "cutover"),
    "move": moving,
    "unmove": moving_back,
}
FILES = (
    {f"jobs_{step}": (CONVERTING, step) for step in COMPILED}
    | {f"secured_{step}": (SECURED, step) for step in ("create_compat_view", "uncontract")}
    | {f"references_{step}": (REFERRING, step) for step in ("create_sync", "drop_sync", "checks")}
    | {
        f"own_references_{step}": (PEOPLE, step)
        for step in ("create_sync", "create_compat_view", "cutover", "contract")
    }
    | {f"files_{step}": (RENAMING, step) for step in ("create_compat_view", "cutover", "copy")}
    | {f"halved_{step}": (HALVED, step) for step in ("create_compat_view", "copy")}
    | {"optionally_halved_create_compat_view": (OPTIONALLY_HALVED, "create_compat_view")}
    | {f"joined_{step}": (JOINED, step) for step in ("create_compat_view", "copy")}
    | {f"chosen_{step}": (CHOSEN, step) for step in ("create_compat_view", "copy")}
    | {f"tagged_{step}": (TAGGED, step) for step in ("create_compat_view", "cutover")}
    | {
        f"bridged_{step}": (BRIDGED, step)
        for step in ("create_sync", "create_compat_view", "contract", "copy")
    }
    | {
        f"{mapping.name.replace(' ', '_')}_{step}": (mapping, step)
        for mapping in (FILES_COPIED_INTO, JOBS_COPIED_INTO)
        for step in ("create_compat_view", "drop_compat_view")
    }
    | {
        f"reversed_{step}": (REVERSED, step)
        for step in ("create_sync", "create_compat_view", "cutover", "copy")
    }
)


@pytest.mark.parametrize("name", FILES)
def test_a_step_compiles_to_the_statements_in_its_golden_file(name: str) -> None:
    mapping, step = FILES[name]
    text = "".join(f"{statement};\n\n" for statement in COMPILED[step](mapping))
    path = GOLDEN / f"{name}.sql"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(FILES)


def test_compilation_gives_the_same_text_each_time() -> None:
    again = Mapping.from_json(CONVERTING.to_json())
    for step in COMPILED.values():
        assert step(again) == step(CONVERTING)


def test_installing_twice_changes_nothing(conn: Connection) -> None:
    def objects() -> list[tuple[str, ...]]:
        return conn.execute(
            "SELECT oid::regprocedure::text, prosrc FROM pg_proc"
            " WHERE pronamespace = to_regnamespace('compat')"
            " UNION ALL SELECT relname, relkind::text"
            " FROM pg_class WHERE relnamespace = to_regnamespace('compat') ORDER BY 1"
        ).fetchall()

    for statement in install():
        conn.execute(statement)
    first = objects()
    for statement in install():
        conn.execute(statement)
    assert len(first) > 20
    assert objects() == first
