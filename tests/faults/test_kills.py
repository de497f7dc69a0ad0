"""Commands that are ended at any statement: status tells the truth, and they resume or go back.

Which statements, depends on a seed alone; FAULT_SEED=7 pytest tests/faults takes others.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import psycopg
import pytest

from compat.database import Database
from tests.compat.migrations import value
from tests.faults.journey import (
    NONE,
    POSSIBLE,
    STARTS,
    SWITCHES,
    WAY_BACK,
    Clean,
    Journey,
    journey,
    walk_through,
)
from tests.faults.launcher import Command, Point, Sent, When
from tests.run.support import until

SEED: Final = int(os.environ.get("FAULT_SEED", "11"))

Harm = Literal["kill", "interrupt", "terminate", "crash", "restart"]

WHENS: Final[tuple[When, ...]] = ("before", "sent", "after")

DRAWN: Final[Mapping[str, int]] = {
    "expand": 8,
    "copy": 14,
    "verify": 2,
    "cutover": 9,
    "rollback": 8,
    "contract": 5,
    "unexpand": 4,
    "bridge": 6,
    "reverse": 8,
    "unswitch": 8,
}
"""How many statements of each command are drawn: seventy in all."""


@dataclass(frozen=True)
class Blow:
    """What is done to a command, and where, and how things go on from there."""

    harm: Harm
    point: Point
    then: Literal["resume", "go back"]


def drawn(command: str, sent: Sent) -> Iterator[Blow]:
    """Random statements, and every side of the one that commits the command's work.

    One interrupt besides, as the first transaction ends.
    """
    chance = random.Random(f"{SEED}/{command}")
    for _ in range(DRAWN[command]):
        harm: Harm = chance.choice(("kill", "kill", "interrupt", "terminate"))
        when: When = chance.choice(WHENS) if harm == "kill" else "before"
        yield Blow(harm, Point(chance.randint(1, sent.statements), when), _choice(chance))
    yield Blow("interrupt", Point(sent.ends[0]), _choice(chance))
    for when in WHENS:
        yield Blow("kill", Point(sent.ends[-1], when), _choice(chance))


def crashes(command: str, sent: Sent) -> Iterator[Blow]:
    """A random statement each for two restarts and a crash; the COMMIT for the third restart."""
    chance = random.Random(f"{SEED}/{command} crashes")
    harms: tuple[Harm, ...] = ("restart", "restart", "crash")
    for harm in harms:
        when: When = chance.choice(("before", "after"))
        yield Blow(harm, Point(chance.randint(1, sent.statements), when), _choice(chance))
    yield Blow("restart", Point(sent.ends[-1], "after"), _choice(chance))


def _choice(chance: random.Random) -> Literal["resume", "go back"]:
    return chance.choice(("resume", "go back"))


def kill(running: Command, session: int, migration: Journey, server: Database) -> None:
    running.send(signal.SIGKILL)


def interrupt(running: Command, session: int, migration: Journey, server: Database) -> None:
    running.send(signal.SIGINT)
    running.go_on()


def terminate(running: Command, session: int, migration: Journey, server: Database) -> None:
    migration.conn.execute("SELECT pg_terminate_backend(%s)", [session])
    there = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    until(lambda: not value(migration.conn, there, [session]), "the end of the session")
    running.go_on()


def crash(running: Command, session: int, migration: Journey, server: Database) -> None:
    """Kill one process of the server, which then ends all others and recovers."""
    with contextlib.suppress(psycopg.OperationalError):
        migration.conn.execute(f"COPY (SELECT) TO PROGRAM 'kill -9 {session}; sleep 60'")
    migration.reconnect()
    running.go_on()


def restart(running: Command, session: int, migration: Journey, server: Database) -> None:
    server.restart_immediately()
    migration.reconnect()
    running.go_on()


HARMS: Final[Mapping[Harm, Callable[[Command, int, Journey, Database], None]]] = {
    "kill": kill,
    "interrupt": interrupt,
    "terminate": terminate,
    "crash": crash,
    "restart": restart,
}


def strike(migration: Journey, command: str, blow: Blow, server: Database) -> bool:
    """Harm a command, and see that it says what happened to it; False if it ended before that."""
    migration.go_to(STARTS[command])
    running = migration.start(command, blow.point)
    session = running.stopped()
    if session is not None:
        HARMS[blow.harm](running, session, migration, server)
    ended = running.ended()
    assert "Traceback" not in ended.err, ended.err
    if session is None:
        assert ended.code == 0, ended
    elif blow.harm == "kill":
        assert ended.code == -signal.SIGKILL, ended
    elif blow.harm == "interrupt":
        assert ended.code == 130, ended
        assert "run the command again to go on where it stopped" in ended.err
    elif ended.code != 0:  # 0: there was nothing left to send
        assert ended.code == 2, ended
        assert "the connection was lost" in ended.err, ended
        assert "fix: run the command again" in ended.err, ended
    return session is not None


def survive(migration: Journey, command: str, blow: Blow, clean: Clean, server: Database) -> bool:
    """Harm a command, see that what is there is in order, and go on or back.

    Returns False if the command ended before it could be harmed.
    """
    if not strike(migration, command, blow, server):
        return False
    phase = migration.check(clean)
    assert phase in POSSIBLE[command], phase
    if blow.then == "resume" or phase == "contracted":
        if (command, phase) != ("unexpand", NONE):
            migration.run(command)
        assert migration.check(clean) == POSSIBLE[command][-1]
    elif (command, phase) != ("expand", NONE):
        migration.run(WAY_BACK[command])
        migration.check(clean)
    return True


def survive_all(blows: Iterable[tuple[str, Blow]], clean: Clean, server: Database) -> None:
    """Survive one blow after the other, in a new database whenever a migration is at its end."""
    left = list(blows)
    print(f"FAULT_SEED={SEED}")
    while left:
        with journey(server) as migration:
            while left and migration.phase() != "contracted":
                command, blow = left.pop()
                print(command, blow)
                if not survive(migration, command, blow, clean, server):
                    # What clients do meanwhile spares a command work: then it sends less.
                    earlier = Point(blow.point.number * 9 // 10, blow.point.when)
                    left.append((command, replace(blow, point=earlier)))


@pytest.fixture(scope="module")
def clean(server: Database) -> Clean:
    return walk_through(server)


@pytest.fixture(scope="module")
def clean_in_other_forms(server: Database) -> Clean:
    return walk_through(server, switches=True)


@pytest.mark.parametrize("command", [command for command in DRAWN if command not in SWITCHES])
def test_a_command_that_is_ended_anywhere_resumes_or_goes_back_without_a_loss(
    server: Database, clean: Clean, command: str
) -> None:
    survive_all(((command, blow) for blow in drawn(command, clean.sent[command])), clean, server)


@pytest.mark.proof
@pytest.mark.parametrize("command", SWITCHES)
def test_a_switch_that_is_ended_anywhere_resumes_or_goes_back_without_a_loss(
    server: Database, clean_in_other_forms: Clean, command: str
) -> None:
    clean = clean_in_other_forms
    survive_all(((command, blow) for blow in drawn(command, clean.sent[command])), clean, server)


@pytest.mark.parametrize(
    "commands",
    [
        ("expand", "copy", "unexpand"),
        ("cutover", "rollback", "contract"),
        pytest.param(SWITCHES, marks=pytest.mark.proof),
    ],
)
def test_a_server_that_crashes_beneath_a_command_loses_nothing(
    own_server: Database, commands: tuple[str, ...]
) -> None:
    clean = walk_through(own_server, switches=commands == SWITCHES)
    blows = [
        (command, blow) for command in commands for blow in crashes(command, clean.sent[command])
    ]
    survive_all(blows, clean, own_server)
