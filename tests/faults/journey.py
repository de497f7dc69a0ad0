"""One migration in a database of its own, under clients that keep ledgers, command by command.

After each command it can be asked whether `compat status` tells the truth, and whether the tables
hold what the clients were told.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks import journey as tables
from benchmarks import workload
from benchmarks.workload import HOT_LINE, LEGACY_DIALECT, V2_DIALECT, Dialect, Names, Workload
from compat import state
from compat.database import Database
from tests.compat.migrations import value
from tests.faults.launcher import NEVER, Command, Point, Sent
from tests.run.support import catalogue, pairs, until, write_mapping

NAME: Final = tables.LEGACY
ROWS: Final = 100
CLIENTS: Final = 4
ORDERS: Final = 1 + ROWS // tables.LINES_PER_ORDER
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "copy": ("--batch-size", "10", "--batch-seconds", "0", "--defer-indexes"),
    "cutover": ("--unverified",),
    "contract": ("--force", "--watch", "0s"),
}

NONE: Final = "none"
BEFORE_CUTOVER: Final = ("expanded", "copying", "copied")

STARTS: Final[Mapping[str, str]] = {
    "expand": NONE,
    "copy": "expanded",
    "verify": "copied",
    "cutover": "copied",
    "rollback": "cutover",
    "contract": "cutover",
    "unexpand": "copied",
}
"""The phase from which each command is harmed."""

POSSIBLE: Final[Mapping[str, tuple[str, ...]]] = {
    "expand": (NONE, "expanded"),
    "copy": BEFORE_CUTOVER,
    "verify": ("copied",),
    "cutover": ("copied", "cutover"),
    "rollback": ("cutover", "copied"),
    "contract": ("cutover", "contracted"),
    "unexpand": ("copied", NONE),
}
"""The phases in which a harmed command may leave the migration; the last is where it leads."""

WAY_BACK: Final[Mapping[str, str]] = {
    "expand": "unexpand",
    "copy": "unexpand",
    "verify": "cutover",
    "cutover": "rollback",
    "rollback": "cutover",
    "contract": "rollback",
    "unexpand": "expand",
}
"""What is done after the harm instead of going on."""

NEXT_STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "expanded": ("compat copy",),
    "copying": ("compat copy",),
    "copied": ("compat cutover",),
    "cutover": ("compat contract", "compat rollback"),
    "contracted": ("nothing",),
}
"""What `compat status` must name as the next step."""

_OF_COMMANDS = "application_name LIKE 'compat %' AND datname = current_database()"
_ADVISORY_LOCKS = (
    "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
    " WHERE locktype = 'advisory' AND d.datname = current_database()"
)
_NAMES: Final[Mapping[str, Names]] = {NONE: "legacy", "contracted": "v2"}

Catalogue = dict[str, list[tuple[Any, ...]]]


@dataclass
class Clean:
    """What a journey without harm looks like."""

    pictures: dict[str, list[Catalogue]] = field(default_factory=dict)
    """The catalogue in each phase; before an expand there may be a schema `compat`, or none."""
    sent: dict[str, Sent] = field(default_factory=dict)


class Journey:
    """A migration, its clients, and the commands on it."""

    def __init__(self, url: str, folder: Path, clients: Workload, conn: psycopg.Connection) -> None:
        self.url = url
        self.conn = conn
        self.clients = clients
        self._folder = folder
        self.mapping = tables.create_target(conn, "instead_of")
        conn.execute("DROP SCHEMA compat CASCADE")
        self._file = write_mapping(self.mapping, folder)
        self._originals = _originals(conn, LEGACY_DIALECT)

    def start(self, command: str, point: Point = NEVER, options: tuple[str, ...] = ()) -> Command:
        """Start a command; the clients use only those names that it leaves them."""
        if command in ("expand", "unexpand"):
            self.clients.use("legacy")
            if self.phase() == NONE:  # whatever earlier journeys have left
                self.conn.execute(f"TRUNCATE {self.mapping.target.sql}")
                self.conn.execute("DROP SCHEMA IF EXISTS compat CASCADE")
        elif command == "contract":
            self.clients.use("v2")
        return Command(self.url, (*self._arguments(command), *options), point, self._folder)

    def run(self, command: str) -> Sent:
        """Run a command that must not fail."""
        # Verify compares what it reads at different times: on a table as small and busy as this
        # one, every row that it picks changes meanwhile.
        quiet = self.clients.paused() if command == "verify" else contextlib.nullcontext()
        with quiet:
            running = self.start(command)
            sent, ended = running.sent(), running.ended()
        assert ended.code == 0, (command, ended)
        self.clients.use(_NAMES.get(self.phase(), "both"))
        return sent

    def go_to(self, phase: str) -> None:
        """Take the migration to a phase, by commands that nobody harms."""
        while (now := self.phase()) != phase:
            if now == "cutover":
                self.run("rollback")
            elif phase == "cutover" and now == "copied":
                self.run("cutover")
            elif now == NONE:
                self.run("expand")
            elif phase in ("copied", "cutover"):
                self.run("copy")
            else:
                self.run("unexpand")

    def phase(self) -> str:
        """The phase that the database has noted."""
        stored = state.load_all(self.conn)
        return stored[0].phase if stored else NONE

    def reconnect(self) -> None:
        """Take a new connection, once the server takes any."""
        self.conn.close()

        def is_back() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                self.conn = psycopg.connect(self.url, autocommit=True)
            return not self.conn.closed

        until(is_back, "the server's return")

    def check(self, clean: Clean) -> str:
        """See that status, catalogue and tables agree with each other and with the ledgers.

        Returns the phase.
        """
        self.until_nobody_works()
        status = self._status()
        phase = str(status["phase"]) if status else NONE
        if status:
            assert not status["problems"], status
            assert all(step in status["next_step"] for step in NEXT_STEPS[phase]), status
        waiting = self._waiting_indexes(phase)
        assert not waiting or (status and status["indexes_to_build"]), status
        found = _without(waiting, catalogue(self.conn))
        expected = [_without(waiting, picture) for picture in clean.pictures[phase]]
        assert found in expected, _left_behind(found, expected[-1])
        assert not value(self.conn, _ADVISORY_LOCKS)
        self.clients.use(_NAMES.get(phase, "both"))
        self.compare(phase)
        return phase

    def compare(self, phase: str) -> None:
        """See that the tables hold what the ledgers say and, where both count, agree."""
        with self.clients.paused():
            self._compare(phase)

    def _compare(self, phase: str) -> None:
        sides = [] if phase == "contracted" else [LEGACY_DIALECT]
        sides += [V2_DIALECT] if phase in ("copied", "cutover", "contracted") else []
        assert [ledger.errors for ledger in self.clients.ledgers] == [[]] * CLIENTS
        for dialect in sides:
            assert not workload.discrepancies(self.conn, dialect, self.clients.ledgers)
            assert _originals(self.conn, dialect) == self._originals
        if phase == "copied":
            assert pairs(self.conn, self.mapping.standby) == pairs(self.conn, NAME)
        if phase == "cutover":
            assert pairs(self.conn, self.mapping.retired) == pairs(self.conn, NAME)

    def _waiting_indexes(self, phase: str) -> set[str]:
        """Names and definitions of the indexes that the copy builds when the rows are there."""
        if phase != "copying":
            return set()
        rows = self.conn.execute("SELECT name, definition FROM compat.deferred_index").fetchall()
        return {text for row in rows for text in row}

    def _arguments(self, command: str) -> tuple[str, ...]:
        match command:
            case "verify":
                return ("verify",)
            case "expand":
                return ("expand", str(self._file), "--execute")
        return (command, NAME, "--execute", *OPTIONS.get(command, ()))

    def _status(self) -> dict[str, Any] | None:
        running = Command(self.url, ("status", "--json"), NEVER, self._folder)
        found = json.loads(running.ended().out)
        assert len(found) <= 1
        return found[0] if found else None

    def until_nobody_works(self) -> None:
        """Wait until the server has noticed that a client is gone."""
        sessions = f"SELECT count(*) FROM pg_stat_activity WHERE {_OF_COMMANDS}"
        until(lambda: not value(self.conn, sessions), "the end of a killed command's session")

    def until_waiting(self) -> None:
        """Wait until a command waits for a lock."""
        sessions = f"SELECT count(*) FROM pg_stat_activity WHERE {_OF_COMMANDS}"
        waiting = f"{sessions} AND wait_event_type = 'Lock'"
        until(lambda: bool(value(self.conn, waiting)), "a command that waits for a lock")


@contextlib.contextmanager
def journey(server: Database, *, rate: float = 50.0) -> Iterator[Journey]:
    """A new database with a legacy table, and four clients at work."""
    with (
        tempfile.TemporaryDirectory() as folder,
        server.fresh() as url,
        psycopg.connect(url, autocommit=True) as conn,
    ):
        workload.prepare(conn, ROWS)
        clients = Workload(url, clients=CLIENTS, rate=rate)
        migration = Journey(url, Path(folder), clients, conn)
        with clients.running():
            try:
                yield migration
            finally:
                migration.conn.close()


def walk_through(server: Database) -> Clean:
    """Take one journey without harm, and note how it looks on the way."""
    clean = Clean()
    with journey(server) as calm:

        def note(phase: str) -> None:
            clean.pictures.setdefault(phase, []).append(catalogue(calm.conn))

        def go(command: str, phase: str) -> None:
            clean.sent[command] = calm.run(command)
            note(phase)

        note(NONE)
        go("expand", "expanded")
        go("unexpand", NONE)
        calm.go_to("expanded")
        clean.pictures["copying"] = clean.pictures["expanded"]
        go("copy", "copied")
        go("verify", "copied")
        go("cutover", "cutover")
        go("rollback", "copied")
        go("cutover", "cutover")
        go("contract", "contracted")
    return clean


def _originals(conn: psycopg.Connection, dialect: Dialect) -> list[tuple[Any, ...]]:
    """The rows that no client touches."""
    rows = (conn.execute(dialect.read, {"order": n}).fetchall() for n in range(1, ORDERS + 1))
    return sorted(row for found in rows for row in found if row[0] < HOT_LINE)


def _without(indexes: set[str], picture: Catalogue) -> Catalogue:
    """The picture without these indexes, and without what says whether a twin is validated.

    A contract validates the twins in transactions of their own, which stay when it is ended.
    """
    found = {kind: [row for row in rows if row[0] not in indexes] for kind, rows in picture.items()}
    found["constraints"] = [
        (table, name, definition.removesuffix(" NOT VALID"), name.endswith("__v2") or is_valid)
        for table, name, definition, is_valid in found["constraints"]
    ]
    return found


def _left_behind(found: Catalogue, expected: Catalogue) -> dict[str, list[list[tuple[Any, ...]]]]:
    """What is there and should not be, and what is not there and should be, by its kind."""
    return {
        kind: [[row for row in a if row not in b], [row for row in b if row not in a]]
        for kind, a in found.items()
        if a != (b := expected[kind])
    }
