"""Cutover and rollback under clients that never stop, and commands that are ended as they wait."""

from __future__ import annotations

import signal

import psycopg
import pytest

from compat.database import Database
from tests.faults.journey import NAME, journey
from tests.run.support import until


def test_cutover_and_rollback_alternate_ten_times_and_no_client_sees_an_error(
    server: Database,
) -> None:
    with journey(server, rate=200) as migration:
        migration.go_to("copied")
        for _ in range(10):
            for command, phase in (("cutover", "cutover"), ("rollback", "copied")):
                migration.run(command)
                until(migration.clients.has_done(10), f"clients that go on after the {command}")
                migration.compare(phase)
        ledgers = migration.clients.ledgers
    assert [(ledger.errors, ledger.unknown) for ledger in ledgers] == [([], 0)] * 4
    # 40001 is what the view says where a table would wait for the row and look at it again.
    assert {state for ledger in ledgers for state in ledger.retried} <= {"40001"}
    by_v2 = [ledger.acknowledged_by_v2 > 0 for ledger in ledgers]
    assert by_v2 == [False, True, False, True]


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(("command", "phase"), [("cutover", "copied"), ("rollback", "cutover")])
def test_a_command_that_is_ended_as_it_waits_for_a_lock_no_longer_stands_in_the_way(
    server: Database, command: str, phase: str, harm: signal.Signals
) -> None:
    with journey(server) as migration:
        migration.go_to(phase)
        with psycopg.connect(migration.url) as reader:
            reader.execute(f"SELECT FROM {NAME} LIMIT 1")
            running = migration.start(command, options=("--lock-timeout", "600000"))
            migration.until_waiting()
            running.send(harm)
            assert running.ended().code == (130 if harm == signal.SIGINT else -harm)
            migration.until_nobody_works()
            until(migration.clients.has_done(5), "clients that go on beside the reader")
            assert migration.phase() == phase
        migration.run(command)
        migration.compare(migration.phase())
