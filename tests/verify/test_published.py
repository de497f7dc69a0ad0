"""Versions that were published: views of a name that no table ever had."""

from __future__ import annotations

from pathlib import Path

import pytest

import verify
from compat import catalog, rules
from compat.compile import install, publish
from compat.mapping import Mapping
from compat.shapes import Tag
from tests.run.test_publish import TASK, TODO
from tests.verify import journey
from tests.verify.journey import Connection
from verify.options import Options
from verify.report import Result, Status
from verify.runner import DEFAULTS
from verify.workload import reading


@pytest.fixture
def todo(conn: Connection) -> Connection:
    """Do! of the InVerDa paper, over tasks, half of which are urgent."""
    conn.execute(TASK)
    conn.execute(
        "INSERT INTO task (author, task, prio) "
        "SELECT 'author ' || i % 4, 'task ' || i, 1 + i % 2 FROM generate_series(1, 20) i"
    )
    mapping = Mapping(
        "todo",
        TODO,
        catalog.reflect_table(conn, "task"),
        tuple(rules.Column(name, name) for name in TODO.column_names),
        tag=Tag("prio", 1),
    )
    journey.run(conn, install.install())
    journey.run(conn, publish.publish(mapping))
    return conn


def results(conn: Connection, *checks: str, options: Options | None = None) -> dict[str, Result]:
    report = verify.run(conn, checks or DEFAULTS, options=options)
    return {result.check: result for result in report.results}


def test_a_version_is_verified_against_a_twin_and_has_no_rows_to_compare(todo: Connection) -> None:
    found = results(todo)
    assert {result.status for result in found.values()} == {Status.HOLDS}, found
    for name in ("counts", "contents", "losses"):
        assert found[name].summary.startswith("nothing to compare"), found[name]
    assert dict(found["probes"].numbers)["statements"] > 40
    assert dict(found["concurrency"].numbers)["races"] >= 5


def test_of_a_version_writes_are_measured_and_reads_have_nothing_to_be_compared_with(
    todo: Connection,
) -> None:
    measured = results(todo, "performance", options=Options(max_ratio=1000))["performance"]
    assert measured.status is Status.HOLDS, measured
    assert [measure.title.partition(" ")[0] for measure in measured.measures] == [
        "insert",
        "update",
        "delete",
    ]


def test_what_was_to_be_tried_on_the_table_of_a_version_has_not_passed(
    todo: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "said.sql"
    file.write_text("SELECT count(*) FROM todo;\n")
    said = reading.load(file)
    found = results(todo, "workload", "probes", options=Options(workload=said, probes=said))
    assert {result.status for result in found.values()} == {Status.NOT_RUN}, found
    assert all("no table of its own" in result.summary for result in found.values())


@pytest.mark.parametrize(
    ("fault", "seen_by"),
    [
        ("DROP TRIGGER compat_insert ON todo", {"structure", "probes", "concurrency"}),
        ("ALTER VIEW todo ALTER id DROP DEFAULT", {"structure", "probes"}),
        (
            "CREATE OR REPLACE VIEW todo AS SELECT id, task AS author, author AS task FROM task "
            "WHERE prio = 1",
            {"structure", "probes"},
        ),
    ],
)
def test_faults_of_a_version_are_found(todo: Connection, fault: str, seen_by: set[str]) -> None:
    todo.execute(fault)
    found = results(todo)
    failed = {name for name, result in found.items() if result.status is Status.DOES_NOT_HOLD}
    assert {"structure", "probes"} <= failed <= seen_by
