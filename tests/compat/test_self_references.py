"""Tables that reference themselves: numbers become UUIDs, whoever comes first, child or parent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from compat import rules, state
from compat.compose import compose
from compat.errors import CompatError
from compat.names import ident
from compat.run import health
from compat.run.copy import copy
from tests.compat.migrations import Connection, Migration, one, outcome, uninstalled, value

PEOPLE = """
CREATE TABLE people (
    id serial PRIMARY KEY,
    name text NOT NULL,
    boss integer CONSTRAINT "Whose boss?" REFERENCES people
);
CREATE TABLE people_v2 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id integer NOT NULL UNIQUE,
    name text NOT NULL,
    boss uuid CONSTRAINT people_v2_boss REFERENCES people_v2,
    legacy_boss integer
);
CREATE INDEX ON people_v2 (boss);
INSERT INTO people VALUES (1, 'Ada', 3), (2, 'Bo', 2), (3, 'Cy', NULL), (4, 'Di', 5), (5, 'Ed', 4);
SELECT setval('people_id_seq', 50);
"""
"""A boss of a higher number, one's own boss, and two that are each other's."""

PARENT = rules.Referenced("public", "people_v2")


def people(conn: Connection, **options: Any) -> Migration:
    conn.execute(PEOPLE)
    boss = rules.Lookup("boss", "boss", PARENT, keep="legacy_boss")
    identity, name = rules.Column("id", "legacy_id"), rules.Column("name", "name")
    return Migration.between(conn, "people", "people_v2", [identity, name, boss], **options)


def bosses(conn: Connection) -> list[tuple[int, int | None, int | None]]:
    """Of each row its number, that of the row which its key leads to, and the number beside it."""
    return conn.execute(
        "SELECT p.legacy_id, b.legacy_id, p.legacy_boss FROM people_v2 AS p"
        " LEFT JOIN people_v2 AS b ON b.id = p.boss ORDER BY 1"
    ).fetchall()


STATEMENTS = (
    "INSERT INTO people{0} VALUES (11, 'child first', 12), (12, 'parent', 1) RETURNING *",
    "INSERT INTO people{0} VALUES (13, 'own boss', 13) RETURNING *",
    "INSERT INTO people{0} VALUES (14, 'x', 15), (15, 'y', 16), (16, 'z', 14) RETURNING *",
    "INSERT INTO people{0} VALUES (17, 'nobody', 99)",
    "INSERT INTO people{0} VALUES (18, 'a', 19), (20, 'b', 99)",
    "WITH a AS (INSERT INTO people{0} VALUES (21, 'first', 22) RETURNING id),"
    " b AS (INSERT INTO people{0} SELECT id + 1, 'second', id FROM a RETURNING *) SELECT * FROM b",
    "UPDATE people{0} SET boss = 99 WHERE id = 1",
    "UPDATE people{0} SET boss = 12 WHERE id IN (1, 2) RETURNING *",
    "UPDATE people{0} SET boss = NULL WHERE id = 2 RETURNING *",
    "UPDATE people{0} SET name = name || '!' RETURNING *",
    "UPDATE people{0} SET boss = id WHERE id < 4 RETURNING *",
    "DELETE FROM people{0} WHERE id = 12",
    "DELETE FROM people{0} WHERE id IN (11, 12) RETURNING *",
    "DELETE FROM people{0} WHERE id = 14",
    "DELETE FROM people{0} WHERE id IN (14, 15)",
    "DELETE FROM people{0} WHERE id IN (14, 15, 16) RETURNING *",
    "DELETE FROM people{0} WHERE id = 13 RETURNING *",
    "WITH a AS (DELETE FROM people{0} WHERE id = 22 RETURNING id)"
    " DELETE FROM people{0} USING a WHERE boss = a.id OR people{0}.id = 21 RETURNING people{0}.*",
    "SELECT p.*, b.* FROM people{0} p JOIN people{0} b ON b.id = p.boss",
)


@pytest.mark.parametrize("form", ["instead_of", "bridged"])
@pytest.mark.parametrize("phase", ["sync", "cutover"])
def test_clients_see_what_a_table_that_references_itself_would_show(
    conn: Connection, phase: str, form: str
) -> None:
    migration = people(conn, form=form)
    conn.execute("CREATE TABLE people_twin (LIKE people INCLUDING ALL)")
    conn.execute("INSERT INTO people_twin SELECT * FROM people")
    conn.execute("ALTER TABLE people_twin ADD FOREIGN KEY (boss) REFERENCES people_twin")
    before = migration.legacy_rows()
    migration.expand().copy(size=1)
    assert bosses(conn) == [(number, boss, boss) for number, _, boss in before]
    if phase == "cutover":
        migration.cutover()
    for statement in STATEMENTS:
        answers = [outcome(conn, statement.format(suffix)) for suffix in ("_twin", "")]
        assert answers[0] == answers[1], statement
        expected = migration.rows("people_twin")
        assert bosses(conn) == [(number, boss, boss) for number, _, boss in expected], statement
    assert migration.legacy_rows() == expected
    if phase == "cutover":
        assert migration.retired_rows() == expected
        assert health.problems(conn, state.load(conn, "people")) == ()
        migration.contract().uncontract()
        assert health.problems(conn, state.load(conn, "people")) == ()
        migration.uncutover()
    assert migration.legacy_rows() == migration.standby_rows() == expected
    assert health.problems(conn, state.load(conn, "people")) == ()
    migration.unexpand()
    assert uninstalled(conn)
    assert value(conn, "SELECT count(*) FROM pg_constraint WHERE condeferrable") == 0


FAILING = (
    "INSERT INTO people VALUES (17, 'nobody', 99)",
    "UPDATE people SET boss = 99 WHERE id = 1",
    "DELETE FROM people WHERE id = 3",
    "DELETE FROM people WHERE id IN (3, 4)",
    "UPDATE people SET id = 30 WHERE id = 3",
)


def test_errors_are_those_of_the_legacy_foreign_key(conn: Connection) -> None:
    migration = people(conn)

    def errors() -> list[tuple[Any, ...]]:
        found = []
        for statement in FAILING:
            with pytest.raises(psycopg.errors.ForeignKeyViolation) as failed:
                conn.execute(statement)
            diag = failed.value.diag
            found.append(
                (
                    diag.message_primary,
                    diag.message_detail,
                    diag.schema_name,
                    diag.table_name,
                    diag.constraint_name,
                )
            )
        return found

    before = errors()
    migration.expand().copy()
    assert errors() == before
    migration.cutover()
    assert errors() == before
    assert migration.legacy_rows() == migration.retired_rows()


def test_v2_writes_keys_only_and_legacy_clients_see_the_numbers(conn: Connection) -> None:
    migration = people(conn).expand().copy().cutover()
    conn.execute(
        "WITH boss AS (SELECT gen_random_uuid() AS id)"
        " INSERT INTO people_v2 (id, name, boss) SELECT id, 'boss', NULL::uuid FROM boss"
        " UNION ALL SELECT gen_random_uuid(), 'child', id FROM boss ORDER BY 2"
    )
    found = dict(conn.execute("SELECT name, id FROM people WHERE name IN ('boss', 'child')"))
    assert value(conn, "SELECT boss FROM people WHERE name = 'child'") == found["boss"]
    assert migration.legacy_rows() == migration.retired_rows()
    bo = value(conn, "SELECT id FROM people_v2 WHERE name = 'Bo'")
    conn.execute("UPDATE people_v2 SET boss = %s WHERE name = 'child'", [bo])
    assert value(conn, "SELECT boss FROM people__retired WHERE name = 'child'") == 2
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as failed:
        conn.execute("DELETE FROM people_v2 WHERE name = 'Bo'")
    assert failed.value.diag.constraint_name == "people_v2_boss"


def test_a_parent_that_another_transaction_is_still_copying_is_found_by_the_cutover(
    url: str, conn: Connection
) -> None:
    """A child that comes while the copy of its parent is not committed yet must wait for it."""
    migration = people(conn).expand()
    with psycopg.connect(url) as copying:
        copying.execute("SET compat.early_writes = on")
        copying.execute("INSERT INTO people_v2 (legacy_id, name) VALUES (3, 'Cy')")
        conn.execute("INSERT INTO people VALUES (6, 'Fay', 3)")
        assert one(conn, "SELECT boss, legacy_boss FROM people_v2 WHERE legacy_id = 6") == (None, 3)
        copying.commit()
    migration.copy().cutover()
    assert bosses(conn) == [(n, boss, boss) for n, _, boss in migration.legacy_rows()]
    assert (6, 3, 3) in bosses(conn)


def test_the_command_that_copies_leaves_nobody_waiting(url: str, conn: Connection) -> None:
    migration = people(conn)
    conn.execute("INSERT INTO people SELECT n, 'p', 1100 - n FROM generate_series(100, 1000) AS n")
    migration.expand()
    assert copy(conn, "people").rows_copied == 906
    assert bosses(conn) == [(n, boss, boss) for n, _, boss in migration.legacy_rows()]


def test_two_connections_hire_and_dismiss_at_once_and_no_reference_is_wrong(
    url: str, conn: Connection
) -> None:
    """Each inserts children before their parents, and deletes parents before their children."""
    migration = people(conn).expand().copy().cutover()

    def work(first: int) -> int:
        with psycopg.connect(url, autocommit=True) as mine:
            done = 0
            for n in range(first, first + 60, 3):
                rows = f"({n}, 'c', {n + 1}), ({n + 1}, 'p', 1), ({n + 2}, 'd', {n})"
                mine.execute(f"INSERT INTO people VALUES {rows}")
                done += mine.execute(
                    f"DELETE FROM people WHERE id IN ({n + 1}, {n}, {n + 2})"
                    if n % 2
                    else f"UPDATE people SET boss = {n + 2} WHERE id = {n + 1}"
                ).rowcount
            return done

    with ThreadPoolExecutor(4) as crew:
        counts = list(crew.map(work, (1000, 2000, 3000, 4000)))
    assert counts == [40, 40, 40, 40]
    rows = migration.legacy_rows()
    assert rows == migration.retired_rows()
    assert len(rows) == 5 + 4 * 30
    assert bosses(conn) == [(n, boss, boss) for n, _, boss in rows]


def test_a_table_without_a_foreign_key_refuses_who_is_nowhere(conn: Connection) -> None:
    conn.execute(PEOPLE)
    conn.execute('ALTER TABLE people DROP CONSTRAINT "Whose boss?"')
    conn.execute("ALTER TABLE people_v2 DROP CONSTRAINT people_v2_boss")
    identity, name = rules.Column("id", "legacy_id"), rules.Column("name", "name")
    boss = rules.Lookup("boss", "boss", PARENT, keep="legacy_boss")
    migration = Migration.between(conn, "people", "people_v2", [identity, name, boss])
    migration.expand().copy()
    for _ in range(2):
        assert outcome(conn, "INSERT INTO people VALUES (7, 'x', 99)") == ("failed", "23503")
        assert outcome(conn, "UPDATE people SET boss = 99") == ("failed", "23503")
        assert outcome(conn, "INSERT INTO people VALUES (8, 'y', 9), (9, 'z', 8)")[1] == 2
        assert outcome(conn, "DELETE FROM people WHERE id IN (8, 9)")[1] == 2
        if state.load(conn, "people").phase == "copied":
            migration.cutover()


def test_what_keeps_a_row_from_waiting_is_named(conn: Connection) -> None:
    conn.execute(PEOPLE)
    conn.execute("ALTER TABLE people_v2 DROP CONSTRAINT people_v2_boss, ALTER boss SET NOT NULL")
    boss = rules.Lookup("boss", "boss", PARENT)
    with pytest.raises(CompatError) as refused:
        Migration.between(
            conn,
            "people",
            "people_v2",
            [rules.Column("id", "legacy_id"), rules.Column("name", "name"), boss],
        )
    message = str(refused.value)
    assert "name a column of public.people_v2 for that, keep=…" in message
    assert "let 'boss' be nullable until the contract" in message
    assert "FOREIGN KEY (boss) REFERENCES public.people_v2 (id)" in message


def test_odd_names_work(conn: Connection) -> None:
    old, new, key, number = 'the "Old" %s (x)', "New; --", 'k"%', "n(a), b"
    boss, keep = "Boss (of)", "it's %s kept"
    old_name, new_name = 'fk "1" %', 'fk "2" (%)'
    conn.execute(
        f"CREATE TABLE {ident(old)} ({ident(number)} bigint PRIMARY KEY,"
        f" {ident(boss)} bigint CONSTRAINT {ident(old_name)} REFERENCES {ident(old)})"
    )
    conn.execute(
        f"CREATE TABLE {ident(new)} ({ident(key)} uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
        f" {ident(number)} bigint NOT NULL UNIQUE, {ident(keep)} bigint,"
        f" {ident(boss)} uuid CONSTRAINT {ident(new_name)} REFERENCES {ident(new)})"
    )
    conn.execute(f"INSERT INTO {ident(old)} VALUES (1, 2), (2, 1)")
    rule = rules.Lookup(boss, boss, rules.Referenced("public", new, key, number), keep=keep)
    migration = Migration.between(
        conn,
        f'"public".{ident(old)}',
        f'"public".{ident(new)}',
        [rules.Column(number, number), rule],
    )
    migration.expand().copy().cutover()
    conn.execute(f"INSERT INTO {ident(old)} VALUES (3, 4), (4, 3)")
    assert migration.legacy_rows() == migration.retired_rows() == [(1, 2), (2, 1), (3, 4), (4, 3)]
    for statement in (
        f"INSERT INTO {ident(old)} VALUES (5, 6)",
        f"DELETE FROM {ident(old)} WHERE {ident(number)} = 1",
    ):
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as failed:
            conn.execute(statement)
        assert failed.value.diag.constraint_name == old_name
        assert failed.value.diag.table_name == old
    assert conn.execute(f"DELETE FROM {ident(old)}").rowcount == 4
    migration.uncutover().unexpand()
    assert uninstalled(conn)


def test_alembic_finds_no_drift_in_what_the_migration_makes_of_the_target(
    url: str, conn: Connection
) -> None:
    migration = people(conn)
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    models = sa.MetaData()
    models.reflect(engine)

    def drift() -> list[Any]:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), models))

    assert drift() == []
    migration.expand().copy()
    assert drift() == []
    migration.cutover()
    assert drift() == []
    engine.dispose()


def test_a_later_version_waits_for_the_contract_of_one_that_references_itself(
    conn: Connection,
) -> None:
    older = people(conn)
    conn.execute("CREATE TABLE people_v3 (LIKE people_v2 INCLUDING ALL)")
    names = ("id", "legacy_id", "name", "boss", "legacy_boss")
    later = Migration.between(
        conn, "people_v2", "people_v3", [rules.Column(name, name) for name in names]
    )
    with pytest.raises(CompatError, match=r"boss: 'people' finds rows of .* contract it first"):
        compose(older.mapping, later.mapping)
