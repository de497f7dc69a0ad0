"""The structured log and the history: what happened, for programs and for people."""

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from compat.connection import connect
from compat.log import event, writing_to
from compat.mapping import Mapping
from compat.run import steps as run
from compat.run.retry import LockPolicy
from tests.run.support import (
    compat,
    compat_here,
    ended,
    environment,
    start,
    steps,
    succeed,
    until,
    verify,
)

pytestmark = pytest.mark.installed


@pytest.fixture
def mapping(copied: Mapping) -> Mapping:
    return copied


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The events of a log file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_each_step_is_logged_from_its_start_over_locks_and_retries_to_its_end(
    url: str, mapping: Mapping, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    with writing_to(str(path)), psycopg.connect(url) as holder, connect(url) as mine:
        holder.execute("SELECT count(*) FROM lines")
        policy = LockPolicy(20, 50, 0.01, 0.02)
        outcome = run.cutover(mine, "lines", policy, lambda attempt, why: holder.rollback())

    found = lines_of(path)
    assert [item["event"] for item in found] == [
        *("step.start", "retry", "lock", "lock", "step.end"),
    ]
    start_, retry, lock, _, end = found
    assert {item.get("mapping", "lines") for item in found} == {"lines"}
    assert retry["reason"] == "canceling statement due to lock timeout"
    assert (retry["attempt"], retry["work"]) == (1, "cutover of 'lines'")
    assert (lock["attempt"], lock["step"]) == (2, "cutover")
    assert end["attempts"] == outcome.attempts == 2
    assert 0 < outcome.held <= outcome.seconds
    assert end["held"] == pytest.approx(outcome.held, abs=1e-4)
    assert start_["time"].endswith("+00:00")
    assert start_["level"] == "info"


def test_a_refusal_and_a_step_that_was_done_already_are_logged(
    url: str, mapping: Mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    assert compat_here(url, "rollback", "lines").code == 0  # a dry run takes no step
    monkeypatch.setenv("COMPAT_LOG", str(path))
    for step, code in (("contract", 2), ("rollback", 0)):
        assert compat_here(url, step, "lines", "--execute").code == code

    refused, skipped = lines_of(path)
    assert (refused["event"], refused["level"]) == ("step.refused", "warning")
    assert refused["reason"] == "contract of 'lines' needs the phase cutover; it is copied"
    assert (skipped["event"], skipped["step"]) == ("step.skipped", "rollback")


def test_the_log_goes_to_the_file_or_to_standard_error_as_asked_for_and_holds_no_address(
    url: str, mapping: Mapping, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    refused = compat(url, "--log", str(path), "cutover", "lines", "--execute")
    assert refused.code == 2
    text = path.read_text("utf-8")
    assert "it has not been verified yet" in text
    assert "postgresql:" not in text
    assert str(urlsplit(url).password) not in text

    done = compat(url, "--log", "-", "cutover", "lines", "--execute", "--unverified")
    events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert [item["event"] for item in events][-1] == "step.end"

    unwritable = compat(url, "--log", str(tmp_path / "no" / "where"), "status")
    assert (unwritable.code, unwritable.out) == (2, "")
    assert "cannot be written: No such file or directory" in unwritable.err


def test_an_application_sees_the_events_in_its_own_logging(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="compat"):
        event("step.end", mapping="100 %s", rows=3, missing=None)
    (record,) = caplog.records
    assert record.getMessage() == "step.end mapping=100 %s rows=3"
    assert vars(record)["fields"] == {"mapping": "100 %s", "rows": 3}


def test_the_history_tells_steps_and_verifications_also_of_what_was_taken_back(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    assert verify(url, "--checks", "counts") == 0
    steps(url, "lines", "cutover", "rollback")

    def told() -> list[str]:
        events = succeed(url, "status", "lines", "--history", "--json").json
        return [item["step"] for item in events if not item["step"].endswith("index")]

    assert told() == ["expand", "copy", "copied", "verify", "cutover", "rollback"]
    assert "verdict holds" in succeed(url, "status", "lines", "--history").out
    succeed(url, "unexpand", "lines", "--execute")
    assert told() == ["expand", "copy", "copied", "cutover", "rollback", "unexpand"]
    assert "no mapping called 'nothing'" in compat_here(url, "status", "nothing", "--history").err
    assert "of which mapping?" in compat_here(url, "status", "--history").err


def test_status_names_the_command_that_is_at_work(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("SELECT count(*) FROM lines")
        process = start(
            url, "cutover", "lines", "--execute", "--unverified", "--lock-timeout", "10"
        )

        def command() -> Any:
            return succeed(url, "status", "--json").json[0]["command"]

        until(lambda: command() is not None, "the cutover to take the advisory lock")
        assert command()["name"] == "compat cutover"
        (status,) = succeed(url, "status", "--json").json
        assert status["next_step"] == (
            f"wait: compat cutover (pid {status['command']['pid']}) is at work on it"
        )
        holder.rollback()
    assert ended(process).code == 0
    assert succeed(url, "status", "--json").json[0]["command"] is None


def test_status_tells_what_is_left_to_do(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    def status() -> Any:
        return succeed(url, "status", "--json").json[0]

    assert status()["next_step"] == "compat-verify, then compat cutover lines --execute"
    assert verify(url) == 0
    assert status()["verified"]["verdict"] == "holds"
    assert status()["next_step"] == "compat cutover lines --execute"
    conn.execute("INSERT INTO compat.reject VALUES ('lines', '{7}', '{}', '23514', 'refused')")
    assert (status()["rejects"], "retry-rejects lines" in status()["next_step"]) == (1, True)
    conn.execute("INSERT INTO compat.deferred_index VALUES ('lines', 'by_state', 'CREATE INDEX …')")
    assert status()["next_step"].startswith("compat copy lines --execute (1 index")
    assert "1 rejected rows" in succeed(url, "status").out
    conn.execute("DELETE FROM compat.reject; DELETE FROM compat.deferred_index")
    conn.execute("CREATE TABLE child (line integer REFERENCES lines)")
    conn.execute("ALTER TABLE lines_v2 ADD CONSTRAINT few CHECK (quantity < 100) NOT VALID")
    assert status()["not_validated"] == ["lines_v2.few"]
    steps(url, "lines", "cutover")
    assert status()["twins"] == ["child.child_line_fkey__v2"]


DAMAGE = [
    (
        "DROP FUNCTION compat.lines__sync CASCADE",
        'the function "compat"."lines__sync"() is missing',
    ),
    (
        "CREATE OR REPLACE FUNCTION compat.lines__update() RETURNS trigger LANGUAGE plpgsql"
        " SECURITY DEFINER AS 'BEGIN RETURN NEW; END'",
        'the function "compat"."lines__update"() is not what the mapping compiles to',
    ),
    (
        "DROP TRIGGER compat_update ON lines__compat",
        'the trigger of "compat"."lines__update" on "public"."lines__compat" is missing',
    ),
    (
        'ALTER TABLE lines_v2 DISABLE TRIGGER "00_compat_early_writes"',
        "public.lines_v2 is not guarded",
    ),
    ("CREATE TABLE lines__retired ()", "public.lines__retired is in the way"),
    (
        "UPDATE compat.mapping SET fingerprint = 'x'",
        "the stored mapping was changed by hand",
    ),
]


@pytest.mark.parametrize(("damage", "complaint"), DAMAGE)
def test_status_and_cutover_name_what_is_broken(
    url: str, conn: psycopg.Connection, mapping: Mapping, damage: str, complaint: str
) -> None:
    conn.execute(damage)
    status = compat_here(url, "status")
    assert status.code == 1
    assert f"lines: {complaint}" in status.out
    refused = compat_here(url, "cutover", "lines", "--execute", "--unverified")
    assert refused.code == 2
    assert f"structure lines: {complaint}" in refused.err


def test_an_interrupted_build_of_an_index_is_named(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    conn.execute("INSERT INTO lines (order_id, qty) VALUES (900, 3), (901, 3)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON lines_v2 (quantity)")
    assert "the index broken on lines_v2 is invalid" in compat_here(url, "status").out


def test_a_missing_guard_of_the_retired_table_and_leftovers_of_a_contract_are_named(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    steps(url, "lines", "cutover")
    conn.execute('DROP TRIGGER "00_compat_late_writes" ON lines__retired')
    assert "public.lines__retired is not guarded" in compat_here(url, "status").out
    steps(url, "lines", "contract")
    assert succeed(url, "status", "--json").json[0]["problems"] == []
    conn.execute("CREATE VIEW lines__compat AS SELECT 1")
    assert "public.lines__compat is left over" in compat_here(url, "status").out


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1x", "1 h", "5mm", "1e9d", "99999999999d"])
def test_a_time_that_cannot_be_read_is_a_usage_error(url: str, text: str) -> None:
    result = compat_here(url, "usage", "lines", f"--watch={text}")
    assert (result.code, result.out) == (2, "")
    assert "Invalid value for '--watch'" in result.err


def test_the_log_can_be_named_by_the_environment(
    url: str, mapping: Mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    monkeypatch.setenv("COMPAT_LOG", str(path))
    assert "COMPAT_LOG" in environment(url)
    steps(url, "lines", "cutover", "rollback")
    ends = [item["step"] for item in lines_of(path) if item["event"] == "step.end"]
    assert ends == ["cutover", "rollback"]
