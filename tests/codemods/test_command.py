"""The command line as a user runs it: another process, exit codes, messages without tracebacks.

The mapping is a real one, written as Python, as a user would.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

MAPPING = """
from compat import rules
from compat.mapping import Mapping
from compat.tables import Column, Constraint, Table

KEY = lambda name: Constraint(f"{name}_pkey", "primary_key", ("id",), "PRIMARY KEY (id)")
LINES = Mapping(
    "order_line_items",
    Table(
        "public",
        "order_line_items",
        (Column("id", "integer", nullable=False), Column("qty", "integer"), Column("note", "text")),
        (Constraint("a", "primary_key", ("id",), "PRIMARY KEY (id)"),),
    ),
    Table(
        "public",
        "order_line_items_v2",
        (
            Column("line_item_id", "integer", nullable=False),
            Column("quantity", "integer"),
            Column("note", "text"),
        ),
        (Constraint("b", "primary_key", ("line_item_id",), "PRIMARY KEY (line_item_id)"),),
    ),
    (
        rules.Column("id", "line_item_id"),
        rules.Column("qty", "quantity"),
        rules.Column("note", "note"),
    ),
)
"""
APP = """\
db.execute("SELECT qty FROM order_line_items")
db.execute("SELECT * FROM order_line_items")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "mapping.py").write_text(MAPPING)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text(APP)
    return tmp_path


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from codemods.cli import main; main()", *arguments]
    root = Path(__file__).parents[2]
    return subprocess.run(
        command,
        cwd=place,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_user_looks_checks_writes_and_checks_again(place: Path) -> None:
    looked = run(place, "app", "--mapping", "mapping.py")
    assert looked.returncode == 0, looked.stderr
    assert '+db.execute("SELECT quantity AS qty FROM order_line_items_v2")' in looked.stdout
    assert "app/app.py:1: qty → quantity AS qty" in looked.stdout
    assert "app/app.py:2:27: order_line_items: left as it is: * shows" in looked.stdout
    assert "3 hits = 2 to change + 0 unrelated + 1 need a look" in looked.stdout
    assert (place / "app" / "app.py").read_text() == APP
    assert run(place, "app", "--mapping", "mapping.py:LINES", "--check").returncode == 1
    written = run(place, "app", "-m", "mapping.py", "--write", "--json")
    assert written.returncode == 0
    totals = document(written)["totals"]
    assert totals["hits"] == totals["changed"] + totals["unrelated"] + totals["needs_a_look"]
    assert (
        (place / "app" / "app.py")
        .read_text()
        .startswith('db.execute("SELECT quantity AS qty FROM order_line_items_v2")')
    )
    checked = run(place, "app", "-m", "mapping.py", "--check", "--json")
    assert checked.returncode == 0
    assert document(checked)["totals"]["edits"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "-m", "mapping.py"], "no such file or directory: nowhere"),
        (["app", "-m", "nothing.json"], "no such mapping file: nothing.json"),
        (["app", "-m", "broken.json"], "not a mapping document"),
        (["app", "-m", "broken.py"], "could not be run"),
        (["app", "-m", "mapping.py:OTHER"], "has no mapping called 'OTHER'"),
        (["app"], "no mapping was given"),
        (["app", "-m", "mapping.py", "-m", "mapping.py"], "two mappings are about"),
        (["app", "-m", "mapping.py", "--write", "--check"], "exclude each other"),
        (["notes.txt", "-m", "mapping.py"], "neither Python nor SQL"),
        (["app", "--url", "postgresql://127.0.0.1:1/none"], "127.0.0.1"),
        (["app", "--nonsense"], "No such option"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_mistake_gives_a_message_and_exit_code_2(
    place: Path, arguments: list[str], message: str
) -> None:
    (place / "broken.json").write_text("{}")
    (place / "broken.py").write_text("1/0")
    (place / "notes.txt").write_text("")
    done = run(place, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (place / "app" / "app.py").read_text() == APP


def test_help_shows_examples_and_exit_codes(place: Path) -> None:
    done = run(place, "--help")
    assert done.returncode == 0
    assert "compat-codemod app/ --mapping order_line_items.json" in done.stdout
    assert "Exit codes" in done.stdout


def test_a_database_tells_which_columns_other_tables_have(place: Path, url: str) -> None:
    (place / "app" / "app.py").write_text(
        'A = "SELECT qty FROM order_line_items l JOIN orders o ON o.id = l.id"\n'
    )
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE orders (id int, placed_at timestamptz)")
    without = document(run(place, "app", "-m", "mapping.py", "--json"))
    assert without["totals"]["edits"] == 0
    known = document(run(place, "app", "-m", "mapping.py", "--url", url, "--json"))
    assert known["totals"]["changed"] == 3
    stored = run(place, "app", "--url", url)
    assert stored.returncode == 2
    assert "the database holds no mapping" in stored.stderr
