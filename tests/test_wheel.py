"""The wheel holds the three packages with all their data, and nothing else.

In particular not `alembic/`, which would be installed into the library of that name.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import repository


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that nothing is written into the checkout, nor changed in it meanwhile."""
    directory = tmp_path_factory.mktemp("source")
    for path in repository.files():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository.ROOT / path, directory / path)
    return directory


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    process = subprocess.run(
        [*command, str(directory), str(source)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    (built,) = directory.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_exactly_the_files_of_the_three_packages(
    source: Path, wheel: zipfile.ZipFile
) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(source).as_posix()
        for package in repository.PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file()
    }
    assert shipped == expected


def test_the_wheel_is_typed_licensed_and_names_its_commands(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {f"{package}/py.typed" for package in repository.PACKAGES} <= set(names)
    assert any(Path(name).name == "LICENSE" for name in names)
    (name,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    entries = configparser.ConfigParser()
    entries.read_string(wheel.read(name).decode())
    assert dict(entries["console_scripts"]) == {
        "compat": "compat.cli:main",
        "compat-codemod": "codemods.cli:main",
        "compat-verify": "verify.cli:main",
    }
    assert dict(entries["alembic.plugins"]) == {"compat": "compat.alembic_plugin"}


def test_everything_that_an_entry_point_names_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    for module in ("compat/cli", "codemods/cli", "verify/cli", "compat/alembic_plugin"):
        assert {f"{module}.py", f"{module}/__init__.py"} & set(wheel.namelist()), module
