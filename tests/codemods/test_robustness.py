"""Real code of others, with names of theirs as the mapping: nothing crashes, nothing breaks.

Every file still compiles, a second run changes nothing, each hit is counted once. A few files are
taken each time; the proofs take a thousand of all installed packages, several times.
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import alembic
import libcst
import pytest
import sqlalchemy

from codemods import files, project
from codemods.files import Constants, Language, SourceFile, decode
from codemods.findings import Outcome
from codemods.renames import ColumnRename, Names, Renames

LARGEST = 60_000
INSTALLED = Path(sysconfig.get_path("purelib"))
LIBRARIES = [Path(module.__file__ or "").parent for module in (sqlalchemy, alembic, libcst)]
SEEDS = (1, 2, 3)


def sample(directory: Path, number: int, seed: int = 0) -> list[SourceFile]:
    """Return files of a library, the same in each run, of a size that keeps the test short."""
    paths = [
        path
        for pattern in ("*.py", "*.sql", "*.md", "*.rst")
        for path in sorted(directory.rglob(pattern))
        if 500 < path.stat().st_size < LARGEST
    ]
    chosen = random.Random(number + seed).sample(paths, min(number, len(paths)))
    decoded = (decode(path, path.read_bytes()) for path in chosen)
    return [file for file in decoded if isinstance(file, SourceFile)]


def names_of(text: str, choose: random.Random) -> Names:
    """Return renames of words that the text uses, some of them often, as table and as columns."""
    words = Counter(re.findall(r"\b[a-z][a-z_]{2,}\b", text))
    often = [word for word, _ in words.most_common(25) if word not in ("self", "def", "return")]
    others = sorted(words.keys() - {*often})
    chosen = [*often[:11], *choose.sample(others, min(4, len(others)))]
    choose.shuffle(chosen)
    table, *columns = chosen or ["nothing"]
    return Names(
        (
            Renames(
                "sample",
                "public",
                table,
                "public",
                f"{table}_v2",
                tuple(
                    ColumnRename(column, f"new_{column}", "epoch" if index % 3 == 0 else None)
                    for index, column in enumerate(columns)
                ),
            ),
        )
    )


def examine(file: SourceFile, names: Names) -> project.FileReport:
    with warnings.catch_warnings(action="ignore"):  # of the code that is read
        analysis = project.analyse(file, names, Constants())
        (report,) = project.settled([(file, analysis)], names)
    return report


def survives(sampled: Sequence[SourceFile], choose: random.Random) -> int:
    """Rewrite files, each with names of its own, and return how many hits there were."""
    hits = 0
    for file in sampled:
        names = names_of(file.text, choose)
        report = examine(file, names)
        findings = report.part.findings
        places = [(found.start, found.end) for found in findings]
        assert len(places) == len(set(places)), file.path
        outcomes = Counter(found.outcome for found in findings)
        assert sum(outcomes[outcome] for outcome in Outcome) == len(findings)
        hits += len(places)
        if report.is_changed:
            if files.language_of(file.path) is Language.PYTHON:
                with warnings.catch_warnings(action="ignore"):
                    ast.parse(report.after)
            data = file.encode(report.after)
            assert data is not None
            after = SourceFile(file.path, data, report.after, file.encoding, file.mark)
            second = examine(after, names)
            assert not second.part.edits, file.path
    return hits


@pytest.mark.parametrize("directory", LIBRARIES, ids=lambda path: path.name)
def test_code_of_others_survives(directory: Path) -> None:
    sampled = sample(directory, 25)
    assert len(sampled) > 22
    assert survives(sampled, random.Random(0)) > 300


@pytest.mark.proof
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_thousand_installed_files_survive(seed: int) -> None:
    sampled = sample(INSTALLED, 1_000, seed)
    assert len(sampled) > 900
    assert survives(sampled, random.Random(seed)) > 30_000
