"""The command line as a user runs it: exit codes, messages without tracebacks, reports.

The mapping is a real one, written as Python, as a user would.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from codemods.cli import app
from tests.codemods.mappings import mapping

APP = """\
db.execute("SELECT qty FROM order_line_items")
db.execute("SELECT * FROM order_line_items")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "mapping.py").write_text(mapping())
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text(APP)
    return tmp_path


ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "PATH": "/usr/bin:/bin",
    "COLUMNS": "200",
}


@dataclass(frozen=True)
class Done:
    """What a command has printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def run(place: Path, *arguments: str, stdin: str = "") -> Done:
    """Run the command in this process: a new one spends most of its time on imports.

    Not for several jobs: what runs tests side by side has threads, and must not be forked.
    """
    with contextlib.chdir(place):
        done = CliRunner().invoke(app, arguments, input=stdin, env=ENVIRONMENT, color=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def run_program(place: Path, *arguments: str) -> Done:
    """Run the command as a program, with the whole way from its arguments to its exit code."""
    command = [sys.executable, "-c", "from codemods.cli import main; main()", *arguments]
    done = subprocess.run(
        command, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def document(done: Done) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_user_looks_checks_writes_and_checks_again(place: Path) -> None:
    looked = run_program(place, "app", "--mapping", "mapping.py")
    assert looked.returncode == 0, looked.stderr
    assert '+db.execute("SELECT quantity AS qty FROM order_line_items_v2")' in looked.stdout
    assert "app/app.py:1: qty → quantity AS qty" in looked.stdout
    assert "app/app.py:2:27: order_line_items: left as it is: * shows" in looked.stdout
    assert "3 hits = 2 to change + 0 unrelated + 1 need a look" in looked.stdout
    assert (place / "app" / "app.py").read_text() == APP
    assert run_program(place, "app", "--mapping", "mapping.py:LINES", "--check").returncode == 1
    written = run(place, "app", "-m", "mapping.py", "--write", "--json")
    assert written.returncode == 0
    totals = document(written)["totals"]
    assert (
        totals["hits"]
        == totals["changed"] + totals["unrelated"] + totals["ignored"] + totals["needs_a_look"]
    )
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
        (["app", "-m", "mapping.py", "--write", "--output-names", "x"], "legacy"),
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


def commit(place: Path) -> None:
    """Make a repository of the place, with everything committed."""
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", *settings, *arguments], cwd=place, check=True)


def test_work_that_git_does_not_have_is_not_written_over(place: Path) -> None:
    commit(place)
    (place / "app" / "other.py").write_text("not named by anything\n")
    unrelated = run(place, "app", "-m", "mapping.py", "--write")
    assert unrelated.returncode == 0, unrelated.stderr
    (place / "app" / "app.py").write_text(APP)
    commit(place)
    (place / "app" / "app.py").write_text(APP + "# mine\n")
    refused = run(place, "app", "-m", "mapping.py", "--write")
    assert refused.returncode == 2
    assert "1 of 1 files to change hold work that git does not have: app/app.py" in refused.stderr
    assert (place / "app" / "app.py").read_text() == APP + "# mine\n"
    forced = run(place, "app", "-m", "mapping.py", "--write", "--force")
    assert forced.returncode == 0, forced.stderr
    assert "order_line_items_v2" in (place / "app" / "app.py").read_text()


def test_each_change_is_asked_for_and_the_rest_is_left(place: Path) -> None:
    (place / "app" / "app.py").write_text(
        'A = "SELECT qty FROM order_line_items"\n'
        'B = "SELECT id FROM order_line_items"\n'
        'C = "DELETE FROM order_line_items"\n'
    )
    done = run(place, "app", "-m", "mapping.py", "-i", "--json", stdin="n\ny\nq\n")
    assert done.returncode == 0, done.stderr
    assert (place / "app" / "app.py").read_text() == (
        'A = "SELECT qty FROM order_line_items"\n'
        'B = "SELECT line_item_id AS id FROM order_line_items_v2"\n'
        'C = "DELETE FROM order_line_items"\n'
    )
    totals = document(done)["totals"]
    assert (totals["hits"], totals["changed"], totals["needs_a_look"]) == (5, 2, 3)


def test_nobody_answering_changes_nothing(place: Path) -> None:
    done = run(place, "app", "-m", "mapping.py", "--interactive")
    assert done.returncode == 0, done.stderr
    assert (place / "app" / "app.py").read_text() == APP


def test_reports_say_the_same_in_every_form(place: Path) -> None:
    arguments = ("--sarif", "r.sarif", "--html", "r.html", "--log", "changes.log", "--json")
    done = run(place, "app", "-m", "mapping.py", "--write", *arguments)
    assert done.returncode == 0, done.stderr
    totals = document(done)["totals"]
    found = json.loads((place / "r.sarif").read_text())["runs"][0]["results"]
    rules = [result["ruleId"] for result in found]
    assert rules.count("legacy-name") == totals["edits"]
    assert rules.count("needs-a-look") == totals["needs_a_look"]
    region = found[0]["locations"][0]["physicalLocation"]["region"]
    assert (region["startLine"], region["startColumn"], region["endColumn"]) == (1, 20, 23)
    page = (place / "r.html").read_text()
    assert "SELECT quantity AS qty FROM order_line_items_v2" in page
    assert "app/app.py:2:27: order_line_items: left as it is" in page
    assert 'src="' not in page
    assert "http" not in page
    log = (place / "changes.log").read_text()
    assert "## app/app.py: 2 edits" in log
    assert "app/app.py:1: qty → quantity AS qty" in log
    run(place, "app", "-m", "mapping.py", "--log", "changes.log")
    assert (place / "changes.log").read_text().startswith(log)


MODEL = """\
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Line(Base):
    __tablename__ = "order_line_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    qty: Mapped[int]
    note: Mapped[str]
"""
USER = """\
from app.a_model import Line


def many(session):
    session.execute("DELETE FROM order_line_items WHERE qty = 0")
    return session.query(Line).filter(Line.qty > 1)
"""
PRESSING = """\
import signal
import sys

from codemods.cli import main

event, times, *arguments = sys.argv[1:]
left = [int(times)]


def press(happened, details):
    if happened == event and "user_" in str(details[0]):
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)


sys.addaudithook(press)
main(arguments)
"""
"""Presses Ctrl-C where the program opens or renames a file for the n-th time."""


@pytest.mark.parametrize(
    ("event", "times", "told", "written"),
    [
        ("open", 1, "interrupted", 0),
        ("os.rename", 1, "1 of 4 files are written, the others as they were", 1),
        ("os.rename", 3, "3 of 4 files are written, the others as they were", 3),
    ],
)
def test_ctrl_c_leaves_whole_files_and_the_next_run_goes_on(
    place: Path, event: str, times: int, told: str, written: int
) -> None:
    app_files = place / "app"
    (app_files / "app.py").unlink()
    before = {"a_model.py": MODEL, **{f"user_{number}.py": USER for number in range(3)}}
    for name, text in before.items():
        (app_files / name).write_text(text)
    arguments = ("app", "-m", "mapping.py", "--attributes", "--write", "-j1")
    command = [sys.executable, "-c", PRESSING, event, str(times), *arguments]
    done = subprocess.run(
        command, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    stopped = {path.name: path.read_text() for path in app_files.iterdir()}
    assert stopped.keys() == before.keys()
    assert stopped["a_model.py"] == MODEL
    again = run(place, *arguments)
    assert again.returncode == 0, again.stderr
    after = {path.name: path.read_text() for path in app_files.iterdir()}
    assert "line_item_id: Mapped[int]" in after["a_model.py"]
    assert all("Line.quantity > 1" in after[name] for name in before if name != "a_model.py")
    assert all(text in (before[name], after[name]) for name, text in stopped.items())
    assert sum(text == after[name] for name, text in stopped.items()) == written


SARIF_LEVELS = {"none", "note", "warning", "error"}


def test_sarif_has_what_version_2_1_0_requires(place: Path) -> None:
    """https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"""
    odd = place / "app" / "an odd näme #1.py"
    odd.write_text(APP)
    (place / "app" / "bad.py").write_bytes(b"# order_line_items \xff")
    run(place, "app", "-m", "mapping.py", "--sarif", "r.sarif")
    log = json.loads((place / "r.sarif").read_text())
    assert log["version"] == "2.1.0"
    assert log.keys() <= {"$schema", "version", "runs"}
    (of_run,) = log["runs"]
    assert of_run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    rules = {rule["id"]: rule for rule in of_run["tool"]["driver"]["rules"]}
    assert len(rules) == len(of_run["tool"]["driver"]["rules"])
    assert all(r["defaultConfiguration"]["level"] in SARIF_LEVELS for r in rules.values())
    assert {result["ruleId"] for result in of_run["results"]} == {
        *("legacy-name", "needs-a-look", "not-read")
    }
    for result in of_run["results"]:
        assert result["ruleId"] in rules
        assert result["level"] in SARIF_LEVELS
        assert result["message"]["text"]
        for location in result["locations"]:
            check_place(location["physicalLocation"])
        for fix in result.get("fixes", ()):
            assert fix["description"]["text"]
            for change in fix["artifactChanges"]:
                for replacement in change["replacements"]:
                    region = replacement["deletedRegion"]
                    check_place({"artifactLocation": change["artifactLocation"], "region": region})
                    assert isinstance(replacement["insertedContent"]["text"], str)


def check_place(place: dict[str, Any]) -> None:
    """Assert that a location is a URI reference, and that its region goes forward from 1."""
    uri = place["artifactLocation"]["uri"]
    assert uri.isascii()
    assert not {*" #?"} & {*uri}
    if region := place.get("region"):
        assert all(isinstance(value, int) and value >= 1 for value in region.values())
        start = region["startLine"], region["startColumn"]
        assert start <= (region["endLine"], region["endColumn"])


def test_names_of_outputs_follow_if_asked(place: Path) -> None:
    done = run(place, "app", "-m", "mapping.py", "--output-names", "new", "--write")
    assert done.returncode == 0, done.stderr
    assert "SELECT quantity FROM order_line_items_v2" in (place / "app" / "app.py").read_text()


def test_several_processes_find_what_one_finds(place: Path) -> None:
    # Small repositories are not worth a second process.
    for number in range(20):
        (place / "app" / f"m{number}.py").write_text(APP + f"# {'x' * 20_000}\n")
    one, two = (
        document(run_program(place, "app", "-m", "mapping.py", "--json", "-j", jobs))
        for jobs in "12"
    )
    assert one["totals"]["files_changed"] == 21
    assert one == two


def test_the_hook_checks_the_files_that_it_is_given(place: Path) -> None:
    hooks = (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text()
    assert "entry: compat-codemod" in hooks
    assert 'args: ["--check"]' in hooks
    done = run(place, "--check", "--mapping=mapping.py", "app/app.py")
    assert done.returncode == 1, done.stderr
