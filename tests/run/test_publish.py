"""`compat publish` and `unpublish`: versions of a table that have no rows of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from compat import catalog, rules
from compat.mapping import Mapping, load
from compat.operations import PublishOp
from compat.render import render_module
from compat.shapes import Tag
from compat.tables import Column, Constraint, Table
from tests.compat.migrations import Connection, one, outcome
from tests.run.support import compat_here as run
from tests.test_alembic import operating

TASK = "CREATE TABLE task (id serial PRIMARY KEY, author text, task text NOT NULL, prio integer)"
TODO = Table(
    "public",
    "todo",
    (
        Column("id", "integer", nullable=False, default="nextval('public.task_id_seq'::regclass)"),
        Column("author", "text"),
        Column("task", "text", nullable=False),
    ),
    (Constraint("todo_pkey", "primary_key", ("id",), "PRIMARY KEY (id)"),),
)


@pytest.fixture
def todo(conn: Connection, tmp_path: Path) -> Path:
    """Do! of the InVerDa paper: the urgent tasks, whose priority need not be told."""
    conn.execute(TASK)
    mapping = Mapping(
        "todo",
        TODO,
        catalog.reflect_table(conn, "task"),
        tuple(rules.Column(name, name) for name in TODO.column_names),
        tag=Tag("prio", 1),
    )
    file = tmp_path / "todo.py"
    file.write_text(render_module(mapping), encoding="utf-8")
    return file


def test_a_published_version_reads_and_writes_the_rows_of_the_table(
    conn: Connection, url: str, todo: Path
) -> None:
    assert run(url, "publish", todo).code == 0
    assert catalog.find_exact(conn, "public", "todo") is None  # a dry run
    assert run(url, "publish", todo, "--execute").code == 0
    assert "done already" in run(url, "publish", todo, "--execute").out
    conn.execute("INSERT INTO task (author, task, prio) VALUES ('Ann', 'a', 1), ('Ben', 'b', 2)")
    assert conn.execute("SELECT * FROM todo").fetchall() == [(1, "Ann", "a")]
    assert outcome(conn, "INSERT INTO todo (author, task) VALUES ('Cid', 'c') RETURNING id") == (
        "done",
        1,
        [(3,)],
    )
    assert one(conn, "SELECT * FROM task WHERE id = 3") == (3, "Cid", "c", 1)
    assert outcome(conn, "UPDATE todo SET task = 'x'")[:2] == ("done", 2)
    assert outcome(conn, "DELETE FROM todo WHERE id = 2")[:2] == ("done", 0)
    conn.execute("UPDATE task SET prio = 3 WHERE id = 1")
    assert conn.execute("SELECT id FROM todo").fetchall() == [(3,)]
    status = run(url, "status", "todo")
    assert (status.code, "published" in status.out) == (0, True), status
    assert run(url, "unpublish", "todo", "--execute").code == 0
    assert catalog.find_exact(conn, "public", "todo") is None
    assert one(conn, "SELECT count(*) FROM task") == (3,)
    assert one(conn, "SELECT count(*) FROM compat.mapping") == (0,)


def test_a_name_that_is_taken_is_refused(conn: Connection, url: str, todo: Path) -> None:
    conn.execute("CREATE TABLE todo (id integer)")
    ended = run(url, "publish", todo, "--execute")
    assert (ended.code, "public.todo is there already" in ended.err) == (2, True)
    assert "compat expand" in ended.err


def test_a_view_of_the_users_is_not_replaced_and_the_way_out_is_said(
    conn: Connection, url: str, todo: Path
) -> None:
    conn.execute("CREATE VIEW todo AS SELECT id FROM task; CREATE VIEW mine AS SELECT id FROM todo")
    ended = run(url, "publish", todo, "--execute")
    assert (ended.code, "public.todo is a view already" in ended.err) == (2, True)
    assert 'ALTER VIEW "public"."todo" RENAME TO' in ended.err
    conn.execute('ALTER VIEW todo RENAME TO "todo of mine"')
    assert run(url, "publish", todo, "--execute").code == 0
    conn.execute("INSERT INTO todo (task) VALUES ('x')")
    assert one(conn, "SELECT count(*) FROM mine") == (1,)


def test_steps_of_a_migration_are_refused_for_a_version(
    conn: Connection, url: str, todo: Path
) -> None:
    assert run(url, "publish", todo, "--execute").code == 0
    for step in ("cutover", "rollback", "contract", "unexpand"):
        ended = run(url, step, "todo", "--execute")
        assert (ended.code, "it is published" in ended.err) == (2, True), ended
    assert run(url, "copy", "todo", "--execute").code == 2


def test_a_revision_publishes_a_version_and_its_downgrade_takes_it_back(
    conn: Connection, url: str, todo: Path
) -> None:
    mapping = load(str(todo))
    with operating(url) as operations:
        operations.invoke(PublishOp(mapping))
        operations.invoke(PublishOp(mapping))  # done already
    conn.execute("INSERT INTO todo (author, task) VALUES ('Ann', 'a')")
    assert one(conn, "SELECT prio FROM task") == (1,)
    with operating(url) as operations:
        operations.invoke(PublishOp(mapping).reverse())
    assert catalog.find_exact(conn, "public", "todo") is None
