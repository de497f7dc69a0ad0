"""TasKy, Do! and TasKy2, the example of the InVerDa paper: three versions of the same rows at once.

The commands are those of its README; what clients do in between, a model in plain Python does too.
"""

from __future__ import annotations

import re
import shlex
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest
from psycopg import errors

from compat import catalog
from compat.mapping import load
from compat.run import steps as run
from compat.shapes import Tag
from tests.compat.migrations import Connection, Migration, value
from tests.repository import ROOT
from tests.run.support import INSIST, succeed, verify, working

pytestmark = pytest.mark.proof

FOLDER = ROOT / "examples" / "tasky"
COMMANDS = re.findall(
    r"^(?:psql|compat).*?(?=\s*(?:#.*)?$)", (FOLDER / "README.md").read_text(), re.M
)


# The model ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A task, whoever looks at it."""

    author: str
    task: str
    prio: int


@dataclass
class Model:
    """What there should be: tasks, and the authors that TasKy2 has ever heard of."""

    tasks: list[Task] = field(
        default_factory=lambda: [
            Task("Ann", "Organize party", 3),
            Task("Ben", "Learn for exam", 2),
            Task("Ann", "Write paper", 1),
            Task("Ben", "Clean room", 1),
        ]
    )

    def add(self, *tasks: Task) -> None:
        self.tasks += tasks

    def change(self, which: Callable[[Task], bool], **new: Any) -> None:
        self.tasks = [replace(item, **new) if which(item) else item for item in self.tasks]

    def remove(self, which: Callable[[Task], bool]) -> None:
        self.tasks = [item for item in self.tasks if not which(item)]


def called(name: str) -> Callable[[Task], bool]:
    return lambda item: item.task == name


def by(author: str) -> Callable[[Task], bool]:
    return lambda item: item.author == author


Write = tuple[str, Callable[[Model], None]]
"""A statement, and what it means."""

TASKY: list[Write] = [
    (
        "INSERT INTO task (author, task, prio) VALUES ('Cid', 'Swim', 1), ('Ann', 'Sing', 3)",
        lambda m: m.add(Task("Cid", "Swim", 1), Task("Ann", "Sing", 3)),
    ),
    # Enters Do!, and leaves it.
    ("UPDATE task SET prio = 1 WHERE task = 'Sing'", lambda m: m.change(called("Sing"), prio=1)),
    ("UPDATE task SET prio = 2 WHERE task = 'Swim'", lambda m: m.change(called("Swim"), prio=2)),
    (
        "UPDATE task SET author = 'Dan' WHERE author = 'Cid'",
        lambda m: m.change(by("Cid"), author="Dan"),
    ),
    (
        "UPDATE task SET author = 'Ben' WHERE task = 'Sing'",
        lambda m: m.change(called("Sing"), author="Ben"),
    ),
    ("DELETE FROM task WHERE task = 'Swim'", lambda m: m.remove(called("Swim"))),
]
DO: list[Write] = [
    (
        "INSERT INTO todo (author, task) VALUES ('Eve', 'Run')",
        lambda m: m.add(Task("Eve", "Run", 1)),
    ),
    (
        "UPDATE todo SET task = 'Run far' WHERE task = 'Run'",
        lambda m: m.change(called("Run"), task="Run far"),
    ),
    (
        "UPDATE todo SET author = 'Ann' WHERE author = 'Eve'",
        lambda m: m.change(by("Eve"), author="Ann"),
    ),
    (
        "UPDATE todo SET author = 'Fay' WHERE task = 'Sing'",
        lambda m: m.change(called("Sing"), author="Fay"),
    ),
    ("DELETE FROM todo WHERE task = 'Sing'", lambda m: m.remove(called("Sing"))),
    # Not among those of priority 1.
    ("DELETE FROM todo WHERE task = 'Organize party'", lambda m: None),
]
TASKY2: list[Write] = [
    (
        "WITH made AS (INSERT INTO author (name) VALUES ('Gus') RETURNING id)"
        " INSERT INTO task2 (task, prio, author_id) SELECT 'Read', 1, id FROM made",
        lambda m: m.add(Task("Gus", "Read", 1)),
    ),
    (
        "UPDATE author SET name = 'Anna' WHERE name = 'Ann'",
        lambda m: m.change(by("Ann"), author="Anna"),
    ),
    ("UPDATE task2 SET prio = 3 WHERE task = 'Read'", lambda m: m.change(called("Read"), prio=3)),
    (
        "UPDATE task2 SET prio = 1, task = 'Read it' WHERE task = 'Read'",
        lambda m: m.change(called("Read"), prio=1, task="Read it"),
    ),
    (
        "UPDATE task2 SET author_id = (SELECT id FROM author WHERE name = 'Anna')"
        " WHERE task = 'Read it'",
        lambda m: m.change(called("Read it"), author="Anna"),
    ),
    (
        "UPDATE author SET name = 'Ann' WHERE name = 'Anna'",
        lambda m: m.change(by("Anna"), author="Ann"),
    ),
    (
        "DELETE FROM task2 WHERE task IN ('Run far', 'Read it')",
        lambda m: m.remove(lambda x: x.task in ("Run far", "Read it")),
    ),
    ("DELETE FROM author WHERE name = 'Gus'", lambda m: None),
]


# What is looked at -------------------------------------------------------------------------------

SHOWN = {
    "task": "SELECT id, author, task, prio FROM task",
    "todo": "SELECT id, author, task, 1 FROM todo",
    "task2": "SELECT t.id, name, task, prio FROM task2 t JOIN author a ON a.id = author_id",
    "task__retired": "SELECT id, author, task, prio FROM task__retired",
}
"""Every version as TasKy would show it."""


def look(conn: Connection) -> dict[str, set[tuple[Any, ...]]]:
    """Return what each version shows that there is."""
    there = {name for name in SHOWN if catalog.find_exact(conn, "public", name) is not None}
    return {name: set(conn.execute(SHOWN[name])) for name in SHOWN if name in there}


def check(conn: Connection, model: Model, why: str) -> None:
    """Compare every version with the model, and with the others row by row."""
    shown = look(conn)
    whole = next(rows for name, rows in shown.items() if name != "todo")
    assert Counter(Task(*row[1:]) for row in whole) == Counter(model.tasks), why
    for name, rows in shown.items():
        assert rows == ({row for row in whole if row[3] == 1} if name == "todo" else whole), why


def write(conn: Connection, model: Model, *versions: list[Write]) -> None:
    """Let clients of these versions write, and look at all versions after each statement."""
    for statement, meaning in (item for version in versions for item in version):
        conn.execute(statement)
        meaning(model)
        check(conn, model, statement)


@dataclass
class Readme:
    """The commands of the README, one after the other."""

    conn: Connection
    url: str
    left: list[str] = field(default_factory=lambda: list(COMMANDS))

    def run(self, step: str) -> None:
        """Run the next command, which must be this one."""
        words = shlex.split(self.left.pop(0))
        assert step in " ".join(words), words
        if words[0] == "psql":
            self.conn.execute((ROOT / words[-1]).read_text())
        elif words[0] == "compat-verify":
            assert verify(self.url, *words[1:]) == 0
        else:
            names = [str(ROOT / word) if word.endswith(".py") else word for word in words[1:]]
            succeed(self.url, *names, *INSIST.get(words[1], ()))


@pytest.fixture
def readme(conn: psycopg.Connection, url: str) -> Readme:
    return Readme(conn, url)


# The stories -------------------------------------------------------------------------------------


def test_all_three_versions_are_alive_from_first_to_last(conn: Connection, readme: Readme) -> None:
    model = Model()
    readme.run("tasky.sql")
    readme.run("publish")
    write(conn, model, TASKY, DO)
    readme.run("tasky2.sql")
    readme.run("expand")
    readme.run("copy")
    write(conn, model, TASKY, DO)
    readme.run("compat-verify")
    readme.run("cutover")
    check(conn, model, "cutover")
    write(conn, model, TASKY, DO, TASKY2)
    write(conn, model, TASKY[:2], DO, TASKY[2:], TASKY2)
    readme.run("rollback")
    check(conn, model, "rollback")
    assert value(conn, "SELECT relkind::text FROM pg_class WHERE relname = 'task'") == "r"
    write(conn, model, TASKY, DO)
    model.remove(called("Run far"))
    conn.execute("DELETE FROM task WHERE task = 'Run far'")
    readme.run("cutover")
    check(conn, model, "cutover again")
    write(conn, model, TASKY, DO, TASKY2)
    readme.run("contract")
    assert set(look(conn)) == {"todo", "task2"}
    write(conn, model, DO[:3], TASKY2)
    readme.run("unpublish")
    check(conn, model, "unpublish")
    assert not readme.left
    assert value(conn, "SELECT count(*) FROM compat.mapping WHERE phase <> 'contracted'") == 0


def test_two_small_versions_of_one_table_follow_it_together(conn: Connection, url: str) -> None:
    conn.execute((FOLDER / "tasky.sql").read_text())
    conn.execute((FOLDER / "tasky2.sql").read_text())
    todo = load(str(FOLDER / "todo.py"))
    later = replace(
        todo,
        name="later",
        legacy=replace(todo.legacy, name="later"),
        tag=Tag("prio", 3),
    )
    for mapping in (todo, later):
        run.publish(conn, mapping)
    _migrate(conn)
    conn.execute("INSERT INTO later (author, task) VALUES ('Cid', 'Swim')")
    conn.execute("UPDATE task SET prio = 3 WHERE task = 'Clean room'")
    conn.execute("UPDATE author SET name = 'Anna' WHERE name = 'Ann'")
    conn.execute("UPDATE later SET author = 'Cid' WHERE task = 'Clean room'")

    def seen() -> list[list[tuple[Any, ...]]]:
        return [
            conn.execute(f"SELECT author, task FROM {name} ORDER BY task").fetchall()
            for name in ("later", "todo")
        ]

    expected = [
        [("Cid", "Clean room"), ("Anna", "Organize party"), ("Cid", "Swim")],
        [("Anna", "Write paper")],
    ]
    assert seen() == expected
    run.rollback(conn, "task")
    assert seen() == expected
    run.cutover(conn, "task")
    run.contract(conn, "task")
    assert seen() == expected
    conn.execute("DELETE FROM later")
    assert value(conn, "SELECT count(*) FROM task2") == 2
    assert verify(url, "--mapping", "later") == 0


# Many at once ------------------------------------------------------------------------------------

HOT = range(1, 5)
"""The tasks that everybody works on: their text is a number, which counts the work."""


@dataclass
class Counts:
    """What was acknowledged: work done on hot tasks, and tasks that came and went."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    done: Counter[str] = field(default_factory=Counter)

    def client(self, url: str, rounds: int, *work: tuple[str, str]) -> None:
        """Do each piece of work so many times; try none again that was refused with 40001.

        :param work: what is counted, and the statement, with the number of the round
        """
        with psycopg.connect(url, autocommit=True) as conn:
            for n in range(rounds):
                for counted, statement in work:
                    try:
                        rows = conn.execute(statement, {"n": n, "hot": 1 + n % len(HOT)}).rowcount
                    except errors.SerializationFailure:
                        continue
                    with self.lock:
                        self.done[counted] += rows


INCREMENT = "UPDATE {} SET task = (task::integer + 1)::text WHERE id = %(hot)s"
DELETE = "DELETE FROM {0} WHERE id = (SELECT min(id) FROM {0} WHERE task LIKE 'by %%')"
OLDER = (
    (("worked", INCREMENT.format("task")),) * 2,
    (("worked", INCREMENT.format("todo")),) * 2,
    (
        ("came", "INSERT INTO task (author, task, prio) VALUES ('Ann', 'by task ' || %(n)s, 1)"),
        ("came", "INSERT INTO todo (author, task) VALUES ('New ' || %(n)s, 'by todo')"),
        ("went", DELETE.format("task")),
        (
            "moved",
            "UPDATE todo SET author = substr('ABC', 1 + %(n)s %% 3, 1) WHERE id = %(hot)s",
        ),
    ),
)
NEWER = (
    (("worked", INCREMENT.format("task2")),) * 2,
    (
        (
            "came",
            "INSERT INTO task2 (task, prio, author_id)"
            " SELECT 'by task2 ' || %(n)s, 1 + %(n)s %% 3, id FROM author WHERE name = 'Dan'",
        ),
        ("went", DELETE.format("task2")),
        ("left", "UPDATE task SET prio = 3 - prio WHERE id = %(hot)s"),
        ("came back", "UPDATE task2 SET prio = 3 - prio WHERE id = %(hot)s"),
        (
            "moved",
            "UPDATE task SET author = substr('ABC', 1 + %(n)s %% 3, 1) WHERE id = %(hot)s",
        ),
        ("went", DELETE.format("todo")),
    ),
    (("renamed", "UPDATE author SET name = 'A' || %(n)s WHERE name = 'A'"),),
)
"""What clients of the older versions do, and of all."""


def _migrate(conn: Connection) -> None:
    """Take the table to TasKy2 and put the views in its place, as run.steps does it."""
    mapping = load(str(FOLDER / "task.py"))
    run.expand(conn, mapping)
    Migration(conn, mapping).copy()
    run.cutover(conn, "task")


@pytest.fixture
def busy(conn: psycopg.Connection) -> Connection:
    """TasKy and Do!, with the tasks that everybody works on; and the tables of TasKy2."""
    for name in ("tasky", "tasky2"):
        conn.execute((FOLDER / f"{name}.sql").read_text())
    conn.execute("UPDATE task SET author = 'A', task = '0', prio = 1")
    conn.execute(
        "INSERT INTO task (author, task, prio)"
        " SELECT 'Dan', 'quiet ' || n, 1 + n % 3 FROM generate_series(1, 300) AS n"
    )
    run.publish(conn, load(str(FOLDER / "todo.py")))
    return conn


def _accounted(conn: Connection, counts: Counts) -> None:
    done = counts.done
    shown = look(conn)
    whole = shown.pop("task")
    todo = shown.pop("todo")
    assert set(shown) == {"task2", "task__retired"}
    assert todo == {row for row in whole if row[3] == 1}
    assert all(rows == whole for rows in shown.values())
    worked = sum(int(row[2]) for row in whole if row[0] in HOT)
    assert (worked, len(whole) - len(HOT) - 300) == (done["worked"], done["came"] - done["went"])
    assert min(done.values()) > 0, done


def test_nobody_loses_an_update_between_three_versions(url: str, busy: Connection) -> None:
    _migrate(busy)
    counts = Counts()
    with working(
        *(lambda stop, work=work: counts.client(url, 40, *work) for work in (*OLDER, *NEWER))
    ):
        pass
    _accounted(busy, counts)


def test_clients_go_on_while_the_table_becomes_two(url: str, busy: Connection) -> None:
    counts = Counts()

    def clients(work: tuple[tuple[str, str], ...]) -> Callable[[threading.Event], None]:
        def until_stopped(stop: threading.Event) -> None:
            while not stop.is_set():
                counts.client(url, len(HOT), *work)

        return until_stopped

    succeed(url, "expand", str(FOLDER / "task.py"), "--execute")
    with working(*map(clients, OLDER)):
        succeed(url, "copy", "task", "--execute")
        assert verify(url, "--mapping", "task") == 0
        succeed(url, "cutover", "task", "--execute", "--max-attempts", "200")
        succeed(url, "rollback", "task", "--execute", "--max-attempts", "200")
        succeed(url, "cutover", "task", "--execute", "--unverified", "--max-attempts", "200")
    _accounted(busy, counts)
