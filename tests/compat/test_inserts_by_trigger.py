"""`needs=("copy",)` over a plain view: a trigger takes INSERTs, everything else stays native.

What the plan says of such views is in test_fidelity, their verification in tests/verify.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from compat import rules, state
from compat.compile import alter
from compat.compose import compose
from compat.errors import MappingError
from compat.fidelity import behaviours_of, find_of
from compat.mapping import Form, Mapping
from compat.run import health, needs
from compat.run.plan import plan
from compat.run.switch import switch as run_switch
from tests.compat.migrations import (
    Connection,
    Migration,
    lines,
    one,
    outcome,
    renamed,
    uninstalled,
    value,
)
from tests.compat.test_concurrency import until_waiting

Make = Callable[..., Migration]


def updatable(conn: Connection, **options: Any) -> Migration:
    """Two tables of plain renames."""
    return renamed(conn, **{"needs": ("copy",)} | options)


def bridged(conn: Connection, **options: Any) -> Migration:
    """Two tables of which the one converts."""
    return lines(conn, **{"needs": ("copy", "hot_rows")} | options)


FORMS = (updatable, bridged)
EACH_FORM = pytest.mark.parametrize("make", FORMS, ids=[make.__name__ for make in FORMS])


def beside_twin(migration: Migration) -> str:
    """Cut over beside a clone of the legacy table with the same rows; return its name."""
    conn, twin = migration.conn, migration.twin()
    conn.execute("CREATE SEQUENCE again")
    conn.execute(f"ALTER TABLE {twin} ALTER id SET DEFAULT nextval('again')")
    for table in ("lines", twin):
        key = "order_id" if migration.mapping.legacy.column("order_id") else "qty"
        conn.execute(f"INSERT INTO {table} ({key}) SELECT i FROM generate_series(1, 5) i")
    migration.expand().copy().cutover()
    return twin


def copied(conn: Connection, statement: str, text: str) -> tuple[Any, ...]:
    """Return what a client sees of a COPY … FROM STDIN: rows counted, or its SQLSTATE."""
    cursor = conn.cursor()
    try:
        with conn.transaction(), cursor.copy(statement) as copy:
            copy.write(text)
    except psycopg.Error as error:
        return "failed", error.sqlstate, error.diag.constraint_name, error.diag.message_primary
    return "done", cursor.rowcount


# -- what it does ---------------------------------------------------------------------------------


def test_auto_keeps_the_plain_view_where_applications_need_copy(conn: Connection) -> None:
    mapping = updatable(conn).mapping
    assert (mapping.chosen_form, mapping.inserts_by_trigger) == ("updatable", True)
    assert not replace(mapping, needs=()).inserts_by_trigger
    conn.execute("DROP TABLE lines, lines_v2")
    mapping = bridged(conn).mapping
    assert (mapping.chosen_form, mapping.inserts_by_trigger) == ("bridged", True)
    assert replace(mapping, needs=("copy",)).chosen_form == "instead_of"
    assert not replace(mapping, needs=("hot_rows",)).inserts_by_trigger
    assert not replace(mapping, form="reversed").inserts_by_trigger
    assert replace(mapping, form="instead_of").inserts_by_trigger


def test_one_view_cannot_have_both_copy_and_on_conflict(conn: Connection) -> None:
    both = ("copy", "on_conflict")
    with pytest.raises(MappingError, match=r"no view takes both COPY … FROM .* form='reversed'"):
        bridged(conn, needs=both)
    conn.execute("DROP TABLE lines, lines_v2")
    migration = bridged(conn, needs=both, form="bridged")
    assert not migration.mapping.inserts_by_trigger
    assert find_of("COPY … FROM", migration.mapping).verdict == "not possible"
    assert any("one view cannot have both" in why for why in plan(conn, migration.mapping).why)
    assert replace(migration.mapping, form="reversed").needs == both


COPIES = [
    ("COPY {} (id, qty, note) FROM STDIN", "70\t7\tone\n71\t8\t\\N\n"),
    ("COPY {} (qty, note) FROM STDIN (FORMAT csv, HEADER)", 'qty,note\n7,"a, b"\n8,\n'),
    ("COPY {} (qty) FROM STDIN (FORMAT csv)", "3\n4\n"),
    ("COPY {} (id, qty) FROM STDIN", "80\t1\n80\t2\n"),
    ("COPY {} (id) FROM STDIN", "\\N\n"),
    ("COPY {} (qty, note) FROM STDIN", "1\tthis is longer than twenty characters\n"),
    ("COPY {} (qty) FROM STDIN WITH (FREEZE)", "1\n"),
]


def test_copy_from_gives_what_it_gives_on_a_table_through_an_updatable_view(
    conn: Connection,
) -> None:
    migration = updatable(conn)
    twin = beside_twin(migration)
    for statement, text in COPIES:
        seen, right = (copied(conn, statement.format(name), text) for name in ("lines", twin))
        assert seen[:2] == right[:2], statement
        assert migration.legacy_rows() == migration.rows(twin) == migration.retired_rows()


def test_copy_from_gives_what_it_gives_on_a_table_through_a_bridged_view(
    conn: Connection,
) -> None:
    migration = bridged(conn)
    twin = beside_twin(migration)
    for statement, text in [
        ("COPY {} (id, order_id, price, status) FROM STDIN", "70\t70\t1.5\t2\n71\t71\t2\t3\n"),
        ("COPY {} (order_id, deleted) FROM STDIN (FORMAT csv)", "72,true\n73,false\n"),
        ("COPY {} (order_id, status) FROM STDIN", "74\t1\n75\t\\N\n"),
        ("COPY {} (order_id, qty) FROM STDIN", "76\t0\n"),
        ("COPY {} (order_id) FROM STDIN", "1\n"),
        ("COPY {} (order_id) FROM STDIN WITH (FREEZE)", "77\n"),
    ]:
        seen, right = (copied(conn, statement.format(name), text) for name in ("lines", twin))
        assert seen[:2] == right[:2], statement
        assert migration.legacy_rows() == migration.rows(twin) == migration.retired_rows()
    states = conn.execute("SELECT line_id, state FROM lines_v2 WHERE line_id IN (70, 71)")
    assert sorted(states.fetchall()) == [(70, "claimed"), (71, "done")]


def test_copy_names_the_legacy_constraint_and_table(conn: Connection) -> None:
    bridged(conn).expand().cutover()
    assert copied(conn, "COPY lines (order_id) FROM STDIN", "1\n1\n") == (
        "failed",
        "23505",
        "lines_order_line_key",
        'duplicate key value violates unique constraint "lines_order_line_key"',
    )
    assert copied(conn, "COPY lines (order_id, qty) FROM STDIN", "1\t0\n")[1:3] == (
        "23514",
        "lines_qty_check",
    )
    failed = copied(conn, "COPY lines (order_id, status) FROM STDIN", "1\t\\N\n")
    assert (
        failed[3]
        == 'null value in column "status" of relation "lines" violates not-null constraint'
    )


def test_a_key_that_only_the_bridge_has_is_named_as_the_legacy_one(conn: Connection) -> None:
    conn.execute('CREATE TABLE old (id integer PRIMARY KEY, a integer CONSTRAINT "one a" UNIQUE)')
    conn.execute("CREATE TABLE new (key bigint PRIMARY KEY, a text)")
    found: list[rules.AnyRule] = [rules.Cast("id", "key"), rules.Cast("a", "a")]
    Migration.between(conn, "old", "new", found, form="bridged", needs=("copy",)).expand().cutover()
    conn.execute("INSERT INTO old VALUES (1, 1)")
    assert copied(conn, "COPY old FROM STDIN", "2\t1\n")[1:3] == ("23505", "one a")
    assert copied(conn, "COPY old FROM STDIN", "1\t2\n")[1:3] == ("23505", "old_pkey")


@EACH_FORM
def test_an_insert_returns_what_the_view_shows_and_draws_one_number(
    conn: Connection, make: Make
) -> None:
    migration = make(conn)
    key = "order_id" if make is bridged else "qty"
    twin = beside_twin(migration)
    for statement in (
        f"INSERT INTO {{}} ({key}) VALUES (90) RETURNING *",
        f"INSERT INTO {{}} ({key}, note) VALUES (91, DEFAULT), (92, 'x') RETURNING note, id",
        f"INSERT INTO {{}} ({key}) SELECT 100 + {key} FROM {{}} WHERE {key} < 4 RETURNING id",
        "INSERT INTO {} DEFAULT VALUES RETURNING id",
        f"INSERT INTO {{}} (id, {key}) VALUES (500, 500) RETURNING *",
        f"INSERT INTO {{}} ({key}) VALUES (501) RETURNING *",
        f"UPDATE {{}} SET note = 'y' WHERE {key} = 90 RETURNING *",
        f"DELETE FROM {{}} WHERE {key} = 91 RETURNING *",
    ):
        answers = [outcome(conn, statement.format(name, name)) for name in ("lines", twin)]
        assert answers[0] == answers[1], statement
    assert migration.legacy_rows() == migration.rows(twin) == migration.retired_rows()


def test_a_key_that_is_converted_draws_one_number_as_well(conn: Connection) -> None:
    conn.execute("CREATE TABLE old (id serial PRIMARY KEY, v text)")
    conn.execute("CREATE TABLE new (key bigint PRIMARY KEY, v text DEFAULT 'of v2')")
    found: list[rules.AnyRule] = [rules.Cast("id", "key"), rules.Column("v", "v")]
    migration = Migration.between(
        conn, "old", "new", found, form="bridged", needs=("copy",)
    ).expand()
    migration.cutover()
    assert [value(conn, "INSERT INTO old DEFAULT VALUES RETURNING id") for _ in range(3)] == [
        1,
        2,
        3,
    ]
    assert copied(conn, "COPY old (v) FROM STDIN", "x\n") == ("done", 1)
    assert one(conn, "INSERT INTO new DEFAULT VALUES RETURNING key, v") == (5, "of v2")
    assert migration.target_rows()[0][:2] == (1, None)
    assert migration.legacy_rows() == migration.retired_rows()


@EACH_FORM
def test_concurrent_increments_and_row_locks_stay_native(
    conn: Connection, url: str, make: Make
) -> None:
    beside_twin(make(conn))
    with (
        psycopg.connect(url, autocommit=True) as other,
        psycopg.connect(url, autocommit=True) as third,
        ThreadPoolExecutor(1) as pool,
    ):
        with conn.transaction():
            conn.execute("UPDATE lines SET qty = qty + 1 WHERE id = 1")
            before = pool.submit(
                outcome, other, "UPDATE lines SET qty = qty + 1 WHERE id = 1 RETURNING id"
            )
            until_waiting(third, other)
        assert before.result(60) == ("done", 1, [(1,)])
        with conn.transaction():
            conn.execute("SELECT FROM lines WHERE id = 1 FOR UPDATE")
            free = outcome(other, "SELECT id FROM lines WHERE id < 3 FOR UPDATE SKIP LOCKED")
            assert free == ("done", 1, [(2,)])
    assert value(conn, "SELECT qty FROM lines WHERE id = 1") == 3


@EACH_FORM
def test_on_conflict_and_a_merge_that_inserts_and_updates_fail_as_the_plan_says(
    conn: Connection, make: Make
) -> None:
    migration = make(conn)
    beside_twin(migration)
    said = {item.behaviour: item for item in behaviours_of(migration.mapping)}
    columns = "id, order_id" if make is bridged else "id, qty"
    insert = f"INSERT INTO lines ({columns}) VALUES (1, 1) ON CONFLICT"
    assert outcome(conn, f"{insert} (id) DO NOTHING") == ("failed", "42P10")
    assert said["ON CONFLICT (columns)"].verdict == "not possible"
    assert outcome(conn, f"{insert} DO NOTHING") == ("failed", "23505")
    assert said["ON CONFLICT DO NOTHING"].verdict == "not possible"
    assert said["COPY … FROM"].verdict == "kept"


@EACH_FORM
def test_who_may_insert_through_the_view_is_who_has_that_right_on_it(
    conn: Connection, role: Callable[[str], str], make: Make
) -> None:
    make(conn).expand().cutover()
    clerk = role("trigger: clerk")
    column = "order_id" if make is bridged else "qty"
    conn.execute(f"GRANT USAGE ON SEQUENCE lines_id_seq TO {clerk}")
    refused = ("failed", "42501")
    for granted, done in ((False, refused), (True, ("done", 1))):
        if granted:
            conn.execute(f"GRANT INSERT ({column}) ON lines TO {clerk}")
        with conn.transaction():
            conn.execute(f"SET LOCAL ROLE {clerk}")
            statement = f"INSERT INTO lines ({column}) VALUES (5)"
            assert outcome(conn, statement)[:2] == done
            assert outcome(conn, f"{statement} RETURNING id") == refused
            assert copied(conn, f"COPY lines ({column}) FROM STDIN", "6\n")[:2] == done


def test_a_copy_may_bring_children_before_their_parents(conn: Connection) -> None:
    for table, key in (("staff", "id"), ("people", "person_id")):
        conn.execute(
            f"CREATE TABLE {table} ({key} integer PRIMARY KEY, boss integer"
            f" CONSTRAINT {table}_boss REFERENCES {table})"
        )
    found = [rules.Column("id", "person_id"), rules.Column("boss", "boss")]
    migration = Migration.between(conn, "staff", "people", found, needs=("copy",))
    migration.expand().cutover()
    assert copied(conn, "COPY staff FROM STDIN", "1\t2\n2\t\\N\n") == ("done", 2)
    assert copied(conn, "COPY staff FROM STDIN", "3\t9\n")[:3] == ("failed", "23503", "staff_boss")
    assert migration.legacy_rows() == migration.retired_rows() == [(1, 2), (2, None)]
    migration.contract()
    assert uninstalled_but_for(conn, migration.mapping)


def test_a_reference_to_the_table_itself_by_lookup_cannot_be_bridged_for_copy(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE staff (id integer PRIMARY KEY, boss integer REFERENCES staff, a int)"
    )
    conn.execute(
        "CREATE TABLE people (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
        " legacy_id integer NOT NULL UNIQUE, boss uuid REFERENCES people,"
        " legacy_boss integer, a text)"
    )
    boss = rules.Lookup("boss", "boss", rules.Referenced("public", "people"), keep="legacy_boss")
    found: list[rules.AnyRule] = [
        rules.Column("id", "legacy_id"),
        boss,
        rules.Cast("a", "a"),
    ]
    chosen = Migration.between(conn, "staff", "people", found, needs=("copy", "hot_rows")).mapping
    assert chosen.chosen_form == "instead_of"
    assert replace(chosen, needs=("hot_rows",)).chosen_form == "bridged"
    with pytest.raises(MappingError, match="boss: COPY … FROM brings each row by itself"):
        replace(chosen, form="bridged")


# -- what comes and goes --------------------------------------------------------------------------


def uninstalled_but_for(conn: Connection, mapping: Mapping) -> bool:
    """True when nothing of a migration is left but what a contract leaves."""
    assert not list(health.problems(conn, state.load(conn, mapping.name)))
    return not value(
        conn,
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'compat'::regnamespace"
        " AND prorettype = 'trigger'::regtype AND proname !~ '^(refuse|note)_'",
    )


@EACH_FORM
def test_there_and_back_through_rollback_and_contract(conn: Connection, make: Make) -> None:
    migration = make(conn)
    twin = beside_twin(migration)
    statement = "COPY {} (%s) FROM STDIN" % ("order_id" if make is bridged else "qty")
    number = 600

    def check() -> None:
        nonlocal number
        number += 1
        for name in ("lines", twin):
            assert copied(conn, statement.format(name), f"{number}\n") == ("done", 1)
        assert migration.legacy_rows() == migration.rows(twin)
        assert not list(health.problems(conn, state.load(conn, migration.mapping.name)))

    check()
    migration.uncutover()
    check()
    migration.cutover()
    check()
    migration.contract()
    assert uninstalled_but_for(conn, migration.mapping)
    migration.uncontract()
    check()
    migration.uncutover().unexpand()
    assert uninstalled(conn)
    assert migration.legacy_rows() == migration.rows(twin)


@EACH_FORM
def test_a_changed_need_changes_the_view_and_back(conn: Connection, make: Make) -> None:
    migration = make(conn)
    beside_twin(migration)
    before = migration.mapping
    after = replace(before, needs=tuple(need for need in before.needs if need != "copy"))
    statement = "COPY lines (%s) FROM STDIN" % ("order_id" if make is bridged else "qty")
    for old, new in ((before, after), (after, before)):
        change = alter.Change(old, new)
        assert not list(alter.reasons_against(change, "cutover"))
        migration.run(alter.alter(new, [change], "cutover"))
        assert not list(health.problems(conn, state.load(conn, new.name)))
        done = copied(conn, statement, f"{700 + new.inserts_by_trigger}\n")
        assert done[:2] == (("done", 1) if new is before else ("failed", "42809"))


@pytest.mark.parametrize("name", ["compat_insert", "compat_update"])
def test_a_missing_trigger_is_noticed_where_there_is_to_be_one(conn: Connection, name: str) -> None:
    migration = bridged(conn).expand().cutover()
    conn.execute(f"DROP TRIGGER IF EXISTS {name} ON lines")
    found = list(health.problems(conn, state.load(conn, migration.mapping.name)))
    assert bool(found) == (name == "compat_insert")


@pytest.mark.parametrize("to", ["instead_of", "reversed"])
def test_a_switch_drops_and_makes_the_trigger(conn: Connection, to: Form) -> None:
    migration = bridged(conn)
    conn.execute("INSERT INTO lines (order_id) SELECT i FROM generate_series(1, 5) i")
    migration.expand().copy().cutover()
    before = migration.mapping
    run_switch(conn, before.name, to)
    assert (
        copied(conn, "COPY lines (order_id) FROM STDIN", "70\n") == ("done", 1) or to == "reversed"
    )
    assert not list(health.problems(conn, state.load(conn, before.name)))
    run_switch(conn, before.name, "bridged")
    assert state.load(conn, before.name).mapping.inserts_by_trigger
    assert copied(conn, "COPY lines (order_id) FROM STDIN", "71\n") == ("done", 1)
    conn.execute("UPDATE lines SET qty = qty + 1 WHERE order_id = 71")
    assert migration.legacy_rows() == migration.retired_rows()
    assert not list(health.problems(conn, state.load(conn, before.name)))


# -- what follows from it -------------------------------------------------------------------------


def test_a_composed_view_keeps_its_copy(conn: Connection) -> None:
    first = updatable(conn).mapping
    conn.execute(
        "CREATE TABLE lines_v3 (id integer PRIMARY KEY, n integer, state text, hidden text DEFAULT"
        " 'untouched', remark varchar(20))"
    )
    found = [
        rules.Column("state", "state"),
        rules.Column("line_id", "id"),
        rules.Column("quantity", "n"),
        rules.Column("hidden", "hidden"),
        rules.Column("remark", "remark"),
    ]
    second = Migration.between(conn, "lines_v2", "lines_v3", found).mapping
    both = compose(first, second)
    assert (both.chosen_form, both.inserts_by_trigger) == ("updatable", True)
    assert not compose(replace(first, needs=()), second).inserts_by_trigger


def test_a_view_needs_no_bridge_for_what_a_scan_finds(conn: Connection, tmp_path: Path) -> None:
    mapping = bridged(conn).mapping
    document = {
        "version": 1,
        "server_version": 17,
        "mappings": [{"name": mapping.name, "table": mapping.legacy.title}],
        "uses": [
            {"mapping": mapping.name, "behaviour": name, "path": "a.py", "line": 1, "fix": ""}
            for name in ("COPY … FROM", "ON CONFLICT (columns)")
        ],
    }
    path = tmp_path / "needs.json"
    path.write_text(json.dumps(document))
    found = needs.read(path, mapping)
    assert [need.behaviour for need in found.not_served] == ["ON CONFLICT (columns)"]
    assert found.serving == ("reversed",)


def test_the_plan_says_why(conn: Connection) -> None:
    found = plan(conn, updatable(conn).mapping)
    assert found.form == "updatable"
    assert found.why[0] == "every column is a plain rename"
    assert "a trigger takes INSERTs, so COPY … FROM works and ON CONFLICT does not" in found.why[1]


def test_errors_of_an_update_are_still_those_of_the_target(conn: Connection) -> None:
    beside_twin(bridged(conn))
    with pytest.raises(errors.UniqueViolation) as caught:
        conn.execute("UPDATE lines SET order_id = 1 WHERE order_id = 2")
    assert caught.value.diag.table_name == "lines_v2"
