"""The golden corpus: each file is a text before, a text after, and the whole report.

Also what holds for all of them: idempotence, valid results, one finding for each hit, the way back.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import libcst
import pytest

from codemods.findings import Outcome
from tests.codemods.cases import CORPUS, NAMES, Case, examine, load, outcome

FILES = sorted(CORPUS.glob("*.txt"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture
def case(path: Path) -> Case:
    return load(path)


def test_the_corpus_is_not_lost() -> None:
    assert len(FILES) >= 200


def test_a_case_gives_the_text_and_the_report_that_its_file_holds(case: Case, path: Path) -> None:
    found = outcome(case.title, case.names, case.file, case.before).render()
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found, encoding="utf-8")
    assert found == case.render()


def test_a_second_run_changes_nothing(case: Case) -> None:
    report = examine(case.after, case.file, NAMES[case.names])
    assert report.after == case.after
    assert not report.part.edits


def test_the_result_is_still_python_where_it_was(case: Case) -> None:
    if case.file.endswith(".py") and not case.before.startswith("def (:"):
        # Template strings are newer than the Python that runs this.
        parsed = libcst.parse_module if case.file == "app.py" and 't"' in case.before else ast.parse
        parsed(case.before)
        parsed(case.after)


def test_each_hit_ends_as_exactly_one_finding(case: Case) -> None:
    report = examine(case.before, case.file, NAMES[case.names])
    places = [(found.start, found.end) for found in report.part.findings]
    assert len(places) == len(set(places))
    for found in report.part.findings:
        assert (found.new is not None) == (found.outcome is Outcome.CHANGED)
        assert found.reason


def test_no_word_of_a_legacy_table_is_passed_over_in_silence(case: Case) -> None:
    """The table's name, as a whole word of the source, is in the report wherever it stands."""
    names = NAMES[case.names]
    report = examine(case.before, case.file, names)
    spans = [(found.start, found.end) for found in report.part.findings]
    for hit in names.find(case.before):
        if hit.kind == "table" and hit.name in names.tables:
            assert any(start <= hit.start and hit.end <= end for start, end in spans), hit
