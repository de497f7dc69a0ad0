"""Shapes from the command line: each goes all the way, and back, as a stranger would take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compat.mapping import load
from compat.operations import (
    ContractOp,
    CreateCompatViewOp,
    CreateSyncOp,
    CutoverOp,
    RepairCompatViewOp,
)
from tests.compat.migrations import Connection, outcome, value
from tests.compat.shaped import MAKERS, STATEMENTS, customers, jobs, people, tasks
from tests.run.support import catalogue, compat_here, phase, steps, succeed, verify, write_mapping
from tests.test_alembic import operating

pytestmark = pytest.mark.installed


@pytest.mark.parametrize("suffix", ["py", "json"])
@pytest.mark.parametrize("shape", MAKERS)
def test_a_mapping_of_any_shape_is_read_back_as_it_was_written(
    conn: Connection, tmp_path: Path, shape: str, suffix: str
) -> None:
    mapping = MAKERS[shape](conn).mapping
    path = write_mapping(mapping, tmp_path, f"mapping.{suffix}")
    assert load(str(path)) == mapping


@pytest.mark.parametrize("shape", MAKERS)
def test_a_shape_goes_all_the_way_and_back_from_the_command_line(
    conn: Connection, url: str, tmp_path: Path, shape: str
) -> None:
    migration = MAKERS[shape](conn)
    mapping = migration.mapping
    name, statements = mapping.name, STATEMENTS[mapping.name]
    twin = migration.twin()
    conn.execute(
        f"CREATE SEQUENCE twin_id; ALTER TABLE {twin} ALTER id SET DEFAULT nextval('twin_id')"
    )

    def both() -> None:
        for statement in statements:
            expected = outcome(conn, statement.format(twin))
            assert outcome(conn, statement.format(name)) == expected, statement
            assert migration.legacy_rows() == migration.rows(twin), statement

    def verified() -> None:
        assert verify(url) == 0
        # It draws two keys, which stay drawn.
        conn.execute(f"SELECT setval('twin_id', last_value) FROM {name}_id_seq")

    both()
    path = write_mapping(mapping, tmp_path)
    succeed(url, "plan", path)
    succeed(url, "plan", path, "--json")
    succeed(url, "expand", path)
    succeed(url, "expand", path, "--execute")
    both()
    succeed(url, "copy", name)
    succeed(url, "copy", name, "--execute", "--defer-indexes")
    verified()
    both()
    assert migration.standby_rows() == migration.legacy_rows()
    verified()
    succeed(url, "cutover", name)
    succeed(url, "cutover", name, "--execute")
    both()
    verified()
    assert migration.retired_rows() == migration.legacy_rows()
    succeed(url, "status", name, "--json")
    steps(url, name, "rollback")
    both()
    verified()
    steps(url, name, "cutover", "contract")
    assert phase(conn, name) == "contracted"
    assert succeed(url, "status", name, "--json").json[0]["problems"] == []


def test_a_shared_target_that_draws_no_legacy_keys_is_found(conn: Connection, url: str) -> None:
    employee, _ = people(conn)
    employee.expand().cutover()
    (name,) = conn.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'person'::regclass AND tgname ~ 'number'"
    ).fetchone() or ("",)
    assert compat_here(url, "status").code == 0
    for damage in ("ALTER TABLE person DISABLE TRIGGER {}", "DROP TRIGGER {} ON person"):
        conn.execute(damage.format(f'"{name}"'))
        found = compat_here(url, "status")
        assert found.code == 1
        assert f'the trigger {name} on "public"."person" is missing or disabled' in found.out
        assert verify(url, "--checks", "structure") == 1
    with operating(url) as operations:
        operations.invoke(RepairCompatViewOp(employee.mapping))
    assert compat_here(url, "status").code == 0


@pytest.mark.parametrize("first", ["employee", "customer"])
def test_two_legacy_tables_become_one_in_either_order_and_one_goes_back(
    conn: Connection, url: str, tmp_path: Path, first: str
) -> None:
    migrations = {migration.mapping.name: migration for migration in people(conn)}
    (second,) = migrations.keys() - {first}
    conn.execute("INSERT INTO employee (name) VALUES ('Ann'), ('Ben')")
    conn.execute("INSERT INTO customer (name) VALUES ('Cid')")
    conn.execute("INSERT INTO person (kind, legacy_id, name) VALUES ('guest', 1, 'Gus')")
    for name, migration in migrations.items():
        path = write_mapping(migration.mapping, tmp_path, f"{name}.py")
        succeed(url, "expand", path, "--execute")
    conn.execute("UPDATE person SET name = 'Gustav' WHERE kind = 'guest'")
    refused = outcome(
        conn, f"INSERT INTO person (kind, legacy_id, name) VALUES ('{first}', 9, 'x')"
    )
    assert refused == ("failed", "55000")
    steps(url, first, "copy", "cutover")
    conn.execute(f"INSERT INTO {first} (name) VALUES ('Dan')")
    conn.execute(f"INSERT INTO {second} (name) VALUES ('Eve')")
    conn.execute(f"UPDATE person SET name = upper(name) WHERE kind = '{first}'")
    steps(url, second, "copy")
    assert verify(url) == 0
    steps(url, second, "cutover")
    conn.execute("INSERT INTO person (kind, name) VALUES ('employee', 'Fay'), ('customer', 'Guy')")
    conn.execute("DELETE FROM employee WHERE name = 'Fay'")
    conn.execute("DELETE FROM customer WHERE name = 'Guy'")
    assert verify(url) == 0
    steps(url, first, "rollback")
    conn.execute(f"DELETE FROM {first} WHERE name = 'DAN'")
    conn.execute(f"UPDATE {second} SET name = lower(name)")
    assert verify(url) == 0
    assert (
        value(conn, "SELECT count(*) FROM employee") + value(conn, "SELECT count(*) FROM customer")
        == 4
    )
    steps(url, second, "contract")
    steps(url, first, "cutover", "contract")
    assert value(conn, "SELECT count(*) FROM person") == 5
    conn.execute("INSERT INTO person (kind, name) VALUES ('employee', 'Hal'), ('customer', 'Ivy')")


def test_the_plan_says_what_is_where_and_what_writes_do(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    conn.execute("CREATE SCHEMA other; SET search_path = public")
    mapping = tasks(conn, orphans="delete").mapping
    plan = succeed(url, "plan", write_mapping(mapping, tmp_path), "--json").json
    assert [(t["table"], t["role"], t["holds"]) for t in plan["tables"]] == [
        ("public.task2", "target", ["id", "task", "prio"]),
        ("public.author", "parent", ["author"]),
    ]
    assert plan["tables"][1]["delete"] == "goes with the last row that references it"
    assert plan["indexes"] == ['CREATE INDEX ON "public"."task2" ("author")']


def test_rows_that_no_table_takes_stop_the_expand_and_later_ones_are_set_aside(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    path = write_mapping(jobs(conn, remainder="state = 'open'").mapping, tmp_path)
    conn.execute("INSERT INTO jobs (state) VALUES ('open'), ('lost'), ('done')")
    refused = compat_here(url, "expand", path, "--execute")
    assert refused.code == 2, refused
    assert "id = 2" in refused.err
    conn.execute("UPDATE jobs SET state = 'done' WHERE id = 2")
    succeed(url, "expand", path, "--execute")
    conn.execute(
        "SET session_replication_role = replica; UPDATE jobs SET state = 'lost' WHERE id = 2"
    )
    conn.execute("RESET session_replication_role")
    stopped = compat_here(url, "copy", "jobs", "--execute")
    assert stopped.code == 2, stopped
    assert "no table of jobs takes this row" in stopped.err
    succeed(url, "copy", "jobs", "--execute", "--max-rejects", "1")
    conn.execute(
        "SET session_replication_role = replica; UPDATE jobs SET state = 'done' WHERE id = 2"
    )
    conn.execute("RESET session_replication_role")
    succeed(url, "retry-rejects", "jobs", "--execute")
    assert value(conn, "SELECT count(*) FROM done_jobs") == 2
    assert verify(url) == 0


def test_a_half_that_cannot_be_written_is_set_aside_with_its_whole_row(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    migration = customers(conn)
    conn.execute("ALTER TABLE addresses ADD CONSTRAINT known CHECK (city <> 'Atlantis')")
    conn.execute("INSERT INTO customers (name, city) VALUES ('a', 'Rome'), ('b', 'Atlantis')")
    mapping = migration.mapping
    succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    succeed(url, "copy", "customers", "--execute", "--max-rejects", "1")
    assert "known" in value(conn, "SELECT reason FROM compat.reject")
    assert value(conn, "SELECT count(*) FROM accounts") == 1
    conn.execute("ALTER TABLE addresses DROP CONSTRAINT known")
    succeed(url, "retry-rejects", "customers", "--execute")
    assert migration.standby_rows() == migration.legacy_rows()


def test_rows_of_a_shape_are_not_moved_to_another_database(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    path = write_mapping(customers(conn).mapping, tmp_path)
    ended = compat_here(url, "move", path, "--source", url, "--target", url)
    assert ended.code == 2, ended
    assert "a row is in public.addresses as well" in ended.err


PLANTED = {
    "a changed value in the half": (
        "split by key",
        "UPDATE addresses SET city = 'elsewhere' WHERE city = 'Paris'",
        "contents",
    ),
    "a missing half": ("split by key", "DELETE FROM addresses WHERE city = 'Paris'", "counts"),
    "a half of nothing": (
        "split by key",
        "INSERT INTO addresses (account_id) VALUES (gen_random_uuid())",
        "integrity",
    ),
    "an extra row in a choice": (
        "split by predicate",
        "INSERT INTO done_jobs VALUES (77, 'done', 1)",
        "contents",
    ),
    "a row in two tables": (
        "split by predicate",
        "INSERT INTO done_jobs SELECT id, state, n FROM open_jobs LIMIT 1",
        "integrity",
    ),
    "a wrong parent": (
        "join",
        "UPDATE task2 SET author = (SELECT id FROM author WHERE name = 'Ben')",
        "contents",
    ),
    "a guard removed": ("split by key", "ALTER TABLE addresses DISABLE TRIGGER USER", "structure"),
    "a guard of a shared target removed": (
        "union",
        'DROP TRIGGER "00_compat_early_writes_delete_customer" ON person',
        "structure",
    ),
    "a function edited": (
        "join",
        "CREATE OR REPLACE FUNCTION compat.task__reverse() RETURNS trigger LANGUAGE plpgsql"
        " SECURITY DEFINER AS 'BEGIN RETURN NULL; END'",
        "structure",
    ),
}
FILLED = {
    "split by key": "INSERT INTO customers (name, city) VALUES ('a', 'Paris'), ('b', 'Rome')",
    "split by predicate": "INSERT INTO jobs (state) VALUES ('open'), ('done')",
    "join": "INSERT INTO task (author, task) VALUES ('Ann', 'a'), ('Ben', 'b')",
    "union": "INSERT INTO customer (name) VALUES ('Cid')",
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_in_any_of_the_tables_is_found(
    conn: Connection, url: str, fault: str
) -> None:
    shape, planted, check = PLANTED[fault]
    migration = MAKERS[shape](conn)
    conn.execute(FILLED[shape])
    migration.expand().copy()
    conn.execute("SET session_replication_role = replica")
    conn.execute(planted)
    assert verify(url, "--checks", check) == 1


@pytest.mark.parametrize("shape", MAKERS)
def test_the_operations_of_alembic_take_a_shape_forward_and_back(
    conn: Connection, url: str, shape: str
) -> None:
    migration = MAKERS[shape](conn)
    mapping = migration.mapping
    for statement in STATEMENTS[mapping.name][:2]:
        conn.execute(statement.format(mapping.name))
    rows = migration.legacy_rows()
    made = [kind(mapping) for kind in (CreateSyncOp, CreateCompatViewOp, CutoverOp, ContractOp)]
    pictures = []
    for operation in made:
        if isinstance(operation, CutoverOp):
            steps(url, mapping.name, "copy")
        pictures.append(catalogue(conn))
        with operating(url) as operations:
            operations.invoke(operation)
    assert phase(conn, mapping.name) == "contracted"
    for operation in reversed(made[2:]):
        with operating(url) as operations:
            operations.invoke(operation.reverse())
        assert catalogue(conn) == pictures.pop()
        assert migration.legacy_rows() == rows
    assert verify(url) == 0
    with operating(url) as operations:
        for operation in reversed(made[:2]):
            operations.invoke(operation.reverse())
    assert migration.legacy_rows() == rows
