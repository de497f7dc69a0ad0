"""What holds for the repository as a whole: it names no machine, and its parts agree.

Every file that git tracks, or would track, is looked at.
"""

from __future__ import annotations

import ast
import re
import tomllib

from tests import repository

ROOT = repository.ROOT

# Put together here, or this file would find itself.
MACHINE_PATHS = re.compile(
    r"(?<![\w.~}\])/])/(?:" + "|".join(("work", "opt", "root", "home", "Users")) + r")/[\w.]"
)
REGISTRIES = re.compile(
    "|".join(("py" + r"pi\.", "python" + "hosted", "index" + "-url", "registry" + r"\.npm")), re.I
)


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in repository.files():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_nothing_in_the_repository_names_a_path_of_one_machine() -> None:
    assert lines_matching(MACHINE_PATHS) == []


def test_nothing_in_the_repository_names_a_package_registry() -> None:
    assert lines_matching(REGISTRIES) == []


def test_the_search_for_machine_paths_finds_them_and_leaves_others_alone() -> None:
    for text in ("cd /" + "work/x", '"/' + "opt/y", "=/" + "root/.z", "(/" + "home/me)"):
        assert MACHINE_PATHS.search(text), text
    for text in (
        "docs/" + "work/x",
        "~/" + "work/x",
        "https://example.org/" + "home/a",
        "/workers/x",
    ):
        assert not MACHINE_PATHS.search(text), text


def test_every_module_of_the_packages_says_what_it_is_for() -> None:
    modules = [
        path
        for path in repository.files()
        if path.parts[0] in repository.PACKAGES and path.suffix == ".py"
    ]
    assert modules
    silent = [
        str(path)
        for path in modules
        if not ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_every_make_target_that_the_documents_name_exists() -> None:
    defined = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    documents = [path for path in repository.files() if path.suffix == ".md"]
    documents.append(next(path for path in repository.files() if path.as_posix() == ".ci/run"))
    named = {
        (str(path), target)
        for path in documents
        for target in re.findall(r"(?:^|`|\$ |&& )make ([a-z][\w-]*)", (ROOT / path).read_text())
    }
    assert {pair for pair in named if pair[1] not in defined} == set()
    assert {"help", "lint", "test", "demo", "bench", "clean"} <= defined


def test_the_folder_of_revisions_does_not_hide_the_alembic_library() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra, requirements in project["optional-dependencies"].items():
        if extra != "bench":  # peers to measure against, wanted by nobody else
            wanted += requirements
    names = {re.split(r"[\[<>=! ]", requirement)[0].lower() for requirement in wanted}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin) for pin in pins)
    pinned = {pin.split("==")[0].lower() for pin in pins}
    assert names - pinned == {project["name"]}
