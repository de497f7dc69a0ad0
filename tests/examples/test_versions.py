"""The shop's own tests after its table has moved: unmodified on the view, rewritten on v2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codemods import files, project, sources
from compat.database import Database as Server
from examples.shop.database import Database
from tests.repository import ROOT

MAPPING = ROOT / "alembic" / "mappings" / "order_line_items.py"
CHOSEN = "placed or once or changes_that_line or claimed or dropped or pending or reports or check"
"""Each operation and each report once: every test moves a table of its own."""
TESTS = Path("tests", "examples", "test_operations.py")


def run_tests(directory: Path, server: Server) -> subprocess.CompletedProcess[str]:
    """Run the shop's tests in a checkout, or a copy of one, with the table moved."""
    variables = {"SHOP_TABLES": "moved", "DATABASE_URL": server.url, "PYTHONPATH": str(directory)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS), "-k", CHOSEN],
        cwd=directory,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def rewritten(tmp_path: Path, database: Database, url: str) -> Path:
    """What of the checkout the tests need, with the shop and its tests moved to v2.

    The database tells which columns the other tables have.
    """
    for name in ("alembic", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "tests" / "examples").mkdir(parents=True)
    for path in (
        *("tests/__init__.py", "tests/conftest.py", "tests/repository.py", "pyproject.toml"),
        *("tests/examples/__init__.py", "tests/examples/conftest.py", str(TESTS)),
    ):
        shutil.copy(ROOT / path, tmp_path / path)
    # What converts values is written by hand.
    shop = tmp_path / "examples" / "shop"
    shutil.copy(ROOT / "examples" / "shop_v2_values.py", shop / "values.py")
    report = project.run([shop, tmp_path / TESTS], sources.names([str(MAPPING)], url))
    for file in report.files:
        if file.is_changed:
            files.write(file.file, file.after)
    return tmp_path


def test_unmodified_shop_passes_its_tests_on_the_view(server: Server) -> None:
    done = run_tests(ROOT, server)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rewritten_shop_passes_its_tests_on_v2(rewritten: Path, server: Server) -> None:
    sources_of_shop = "".join(p.read_text() for p in (rewritten / "examples" / "shop").glob("*.py"))
    assert "order_line_items_v2" in sources_of_shop
    done = run_tests(rewritten, server)
    assert done.returncode == 0, done.stdout + done.stderr
