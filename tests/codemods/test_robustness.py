"""Real code of others, with names of theirs as the mapping: nothing crashes, nothing breaks.

Every file still compiles, a second run changes nothing, each hit is counted once.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import alembic
import libcst
import pytest
import sqlalchemy

from codemods import project
from codemods.files import Constants, SourceFile, decode
from codemods.renames import ColumnRename, Names, Renames

LIBRARIES = [Path(module.__file__ or "").parent for module in (sqlalchemy, alembic, libcst)]
LARGEST = 60_000


def sample(directory: Path) -> list[SourceFile]:
    """Return every few files of a library, those of a size that keeps the test short."""
    paths = [p for p in sorted(directory.rglob("*.py")) if 500 < p.stat().st_size < LARGEST]
    step = max(len(paths) // 70, 1)
    decoded = (decode(path, path.read_bytes()) for path in paths[::step][:70])
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


@pytest.mark.parametrize("directory", LIBRARIES, ids=lambda path: path.name)
def test_code_of_others_survives(directory: Path) -> None:
    sampled = sample(directory)
    assert len(sampled) > 40
    hits = 0
    for file in sampled:
        names = names_of(file.text)
        constants = Constants()
        analysis = project.analyse(file, names, constants)
        assert analysis.problem is None, file.path
        (report,) = project.settled([(file, analysis)], names)
        places = [(found.start, found.end) for found in report.part.findings]
        assert len(places) == len(set(places)), file.path
        hits += len(places)
        if report.is_changed:
            ast.parse(report.after)
            after = SourceFile(file.path, report.after.encode(), report.after, "utf-8")
            again = project.analyse(after, names, constants)
            (second,) = project.settled([(after, again)], names)
            assert not second.part.edits, file.path
    assert hits > 1_000
