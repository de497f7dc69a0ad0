"""Real code of others, with names of theirs as the mapping: nothing crashes, nothing breaks.

Every file still compiles, a second run changes nothing, each hit is counted once. A few files are
taken here; CODEMOD_FILES=1000 takes a thousand of all installed packages, which lasts minutes.
"""

from __future__ import annotations

import ast
import os
import random
import re
import sysconfig
import warnings
from collections import Counter
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
WANTED = int(os.environ.get("CODEMOD_FILES", "0"))
INSTALLED = Path(sysconfig.get_path("purelib"))
LIBRARIES = [Path(module.__file__ or "").parent for module in (sqlalchemy, alembic, libcst)]
# (directory, how many files of it, how many hits at least)
SAMPLES = [(INSTALLED, WANTED, 30_000)] if WANTED else [(path, 25, 300) for path in LIBRARIES]


def sample(directory: Path, number: int) -> list[SourceFile]:
    """Return files of a library, the same in each run, of a size that keeps the test short."""
    paths = [
        path
        for pattern in ("*.py", "*.sql", "*.md", "*.rst")
        for path in sorted(directory.rglob(pattern))
        if 500 < path.stat().st_size < LARGEST
    ]
    chosen = random.Random(number).sample(paths, min(number, len(paths)))
    decoded = (decode(path, path.read_bytes()) for path in chosen)
    return [file for file in decoded if isinstance(file, SourceFile)]


def names_of(text: str) -> Names:
    """Return renames of words that the text uses often, as table and as columns."""
    words = Counter(re.findall(r"\b[a-z][a-z_]{2,}\b", text))
    common = [word for word, _ in words.most_common(12) if word not in ("self", "def", "return")]
    table, *columns = common or ["nothing"]
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


@pytest.mark.parametrize(("directory", "number", "least"), SAMPLES)
@pytest.mark.timeout(3_000)
def test_code_of_others_survives(directory: Path, number: int, least: int) -> None:
    sampled = sample(directory, number)
    assert len(sampled) > number * 0.9
    hits = 0
    for file in sampled:
        names = names_of(file.text)
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
    assert hits > least
