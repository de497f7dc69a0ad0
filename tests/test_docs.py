"""The documentation is true: its commands run, and it names what there is.

The guide is executed as it stands, block by block, on one database.
"""

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import op

from compat import rules
from compat.database import Database
from tests.repository import ROOT
from verify.runner import NAMES

DOCS = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = ("compat", "compat-verify", "compat-codemod", "alembic", "python", "make")


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)


def run(command: str, url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in the checkout as a user with an activated environment would."""
    environment = dict(os.environ, DATABASE_URL=url, **variables)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment.pop("COMPAT_DATABASE_URL", None)
    return subprocess.run(
        ["sh", "-euc", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("page", "least"), [("guide", 15), ("copy", 6)])
def test_every_command_of_a_page_runs_in_the_order_in_which_it_stands(
    url: str, page: str, least: int
) -> None:
    commands = [
        line for block in blocks(ROOT / "docs" / f"{page}.md", "sh") for line in block.splitlines()
    ]
    assert len(commands) > least
    for command in commands:
        finished = run(command, url)
        assert finished.returncode == 0, f"{command}\n{finished.stdout}{finished.stderr}"


def test_every_command_of_the_page_on_moves_runs_in_the_order_in_which_it_stands(
    server: Database, url: str
) -> None:
    commands = [
        line for block in blocks(ROOT / "docs" / "move.md", "sh") for line in block.splitlines()
    ]
    assert len(commands) > 8
    with server.fresh() as source:
        for command in commands:
            finished = run(command, "", COMPAT_SOURCE_URL=source, COMPAT_TARGET_URL=url)
            assert finished.returncode == 0, f"{command}\n{finished.stdout}{finished.stderr}"


def test_every_compat_command_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"^compat ([a-z]+)", text, re.M))
    assert {"draft", "plan", "copy", "cutover", "rollback", "contract"} <= named
    for command in named:
        finished = run(f"compat {command} --help", "")
        assert finished.returncode == 0, finished.stderr
        assert "Example" in finished.stdout


def test_the_mapping_page_describes_every_rule() -> None:
    text = (ROOT / "docs" / "mapping.md").read_text("utf-8")
    made = {
        name
        for name, value in vars(rules).items()
        if inspect.isclass(value)
        and issubclass(value, rules.Rule)
        and hasattr(value, "__pydantic_fields__")
    }
    made.remove("Chain")  # which `compat.compose` makes; nobody writes one
    assert len(made) == 11
    assert {name for name in made if f"rules.{name}(" not in text} == set()


def test_every_call_on_the_page_on_verifying_is_one_that_the_command_takes() -> None:
    text = (ROOT / "docs" / "verify.md").read_text("utf-8")
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
    calls = re.findall(r"(?:^|run: |entry: )compat-verify\b([^#\n]*)", blocks, re.MULTILINE)
    assert len(calls) >= 6
    asked = [sys.executable, "-c", "from verify.cli import main; main()", "--help"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT)
    known = set(re.findall(r"--[a-z-]+", said.stdout))
    for call in calls:
        words = shlex.split(call)
        options = {word for word in words if word.startswith("--")}
        assert options <= known, call
        if "--checks" in words:
            assert set(words[words.index("--checks") + 1].split(",")) <= set(NAMES), call


def test_the_alembic_page_names_only_operations_that_exist() -> None:
    text = (ROOT / "docs" / "alembic.md").read_text("utf-8")
    named = set(re.findall(r"\bop\.([a-z_]+)\(", text))
    assert {"create_sync", "cutover", "contract", "uncontract"} <= named
    assert {name for name in named if not hasattr(op, name)} == set()


@pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS], ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
