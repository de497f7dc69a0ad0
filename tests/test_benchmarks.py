"""The benchmarks run from end to end, on few rows, and write their report where they are told."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import moving
from benchmarks.measure import Cost, Part, Ratio, Result, interleave, ratio
from benchmarks.report import Aim, Section
from compat.database import Database
from tests import repository

ARGUMENTS = ("--rows", "2000", "--repeat", "1")


def test_quick_run_writes_every_table_to_the_given_file(server: Database, tmp_path: Path) -> None:
    output = tmp_path / "results.md"
    before = _own_results()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *ARGUMENTS, "--output", output],
        cwd=repository.ROOT,
        env=os.environ | {"DATABASE_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = output.read_text(encoding="utf-8")
    for title in (
        "## Through the view",
        "## What legacy writers pay while rows are copied",
        "## What clients pay between cutover and contract",
        "## Rate of the copy",
        *["## Rate of a move to another database"] * moving.is_possible(),
        "## Rewriting applications",
        "| generated, 5,000 lines (",
        "compat-codemod (≤ 1.5 ×) | libcst.tool codemod",
        "## Cutover and rollback under load, 20,000 rows",
        "| client errors | 0 | 0 |",
        "| rows that are not as a client was told | 0 | 0 |",
        "instead_of (≤ 3 ×) | with a lookup, kept (≤ 3.5 ×) | with a lookup (≤ 3.5 ×)",
        "PostgreSQL " + server.version,
        "python -m benchmarks " + " ".join(ARGUMENTS),
    ):
        assert title in text
    assert text.count("single-row update") >= 3
    assert _own_results() == before


def test_unknown_name_is_refused_with_the_names_that_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "nonsense"],
        cwd=repository.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "bulk-update" in done.stderr


def test_sides_take_turns_piece_by_piece_and_the_direction_alternates() -> None:
    order: list[str] = []

    @contextlib.contextmanager
    def sample(side: str, turn: int) -> Iterator[list[Part]]:
        def run() -> Cost:
            order.append(side)
            return Cost(1, None)

        yield [run] * 3
        order.append("|")

    assert [len(costs) for costs in interleave(["a", "b"], sample, 2)] == [6, 6]
    assert "".join(order) == "abbaab||baabba||"


def test_ratio_is_the_median_of_the_turns_and_falls_back_to_the_wall_clock() -> None:
    baseline = [Cost(1, 1), Cost(2, 2), Cost(1, 1)]
    costs = [Cost(2, 3), Cost(4, 6), Cost(90, 50)]
    assert ratio(costs, baseline) == Ratio(wall=2, cpu=3)
    unseen = [Cost(2, None), Cost(4, 6), Cost(2, 3)]
    assert ratio(unseen, baseline) == Ratio(wall=2, cpu=None)
    assert ratio(unseen, baseline).best == 2


@pytest.mark.parametrize(
    ("aim", "measured", "met"),
    [
        (Aim(3), 3.004, True),
        (Aim(3), 3.01, False),
        (Aim(0.7, at_least=True), 0.7, True),
        (Aim(0.7, at_least=True), 0.69, False),
    ],
)
def test_report_says_which_aims_are_missed(aim: Aim, measured: float, met: bool) -> None:
    result = Result("an update", Cost(1e-6, 1e-6), {"view": Ratio(measured, measured)})
    text = Section("T", "E", "native", ["view"], [result], {"view": aim}).render()
    assert ("Every aim of this table is met." in text) is met
    assert ("an update, view:" in text) is not met


def _own_results() -> bytes | None:
    path = repository.ROOT / "benchmarks" / "RESULTS.md"
    return path.read_bytes() if path.exists() else None
