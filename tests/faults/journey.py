"""One migration in a database of its own, under clients that keep ledgers, command by command.

After each command it can be asked whether `compat status` tells the truth, and whether the tables
hold what the clients were told.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
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
    "bridge": ("--to", "bridged"),
    "reverse": ("--to", "reversed"),
    "unswitch": ("--to", "instead_of"),
}
SWITCHES: Final = ("bridge", "reverse", "unswitch")
"""`compat switch` to one form or another."""

NONE: Final = "none"
BEFORE_CUTOVER: Final = ("expanded", "copying", "copied")
CUT_OVER: Final = (
    "cutover",
    "bridged",
    "reversed",
    "instead_of to bridged",
    "instead_of to reversed",
    "reversed to instead_of",
)
"""After the cutover: in the form `instead_of`, in others, and while a switch is under way."""

STARTS: Final[Mapping[str, str]] = {
    "expand": NONE,
    "copy": "expanded",
    "verify": "copied",
    "cutover": "copied",
    "rollback": "cutover",
    "contract": "cutover",
    "unexpand": "copied",
    "bridge": "cutover",
    "reverse": "cutover",
    "unswitch": "reversed",
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
    "bridge": ("cutover", "instead_of to bridged", "bridged"),
    "reverse": ("cutover", "instead_of to reversed", "reversed"),
    "unswitch": ("reversed", "reversed to instead_of", "cutover"),
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
    "bridge": "unswitch",
    "reverse": "unswitch",
    "unswitch": "reverse",
}
"""What is done after the harm instead of going on."""

NEXT_STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "expanded": ("compat copy",),
    "copying": ("compat copy",),
    "copied": ("compat cutover",),
    "cutover": ("compat contract", "compat rollback"),
    "contracted": ("nothing",),
    "bridged": ("compat contract", "compat rollback"),
    "reversed": ("compat switch", "compat rollback"),
    "instead_of to bridged": ("compat switch", "--to bridged", "resumes"),
    "instead_of to reversed": ("compat switch", "--to reversed", "resumes"),
    "reversed to instead_of": ("compat switch", "--to instead_of", "resumes"),
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
            if now in CUT_OVER and phase in ("bridged", "reversed"):
                self.run("bridge" if phase == "bridged" else "reverse")
            elif now in CUT_OVER and now != "cutover":
                self.run("unswitch")
            elif now == "cutover":
                self.run("rollback")
            elif phase in CUT_OVER and now == "copied":
                self.run("cutover")
            elif now == NONE:
                self.run("expand")
            elif phase in ("copied", *CUT_OVER):
                self.run("copy")
            else:
                self.run("unexpand")

    def phase(self) -> str:
        """The phase that the database has noted, after the cutover with the form and the next."""
        (stored,) = state.load_all(self.conn) or (None,)
        if stored is None:
            return NONE
        form = stored.mapping.chosen_form
        if stored.switching is not None:
            return f"{form} to {stored.switching}"
        return form if stored.phase == "cutover" and form != "instead_of" else stored.phase

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
        phase = self.phase()
        if status:
            told = (status["phase"], status["form"], status["switching"])
            assert told == self._noted(), status
            assert not status["problems"], status
            assert all(step in status["next_step"] for step in NEXT_STEPS[phase]), status
        assert bool(status) == (phase != NONE)
        waiting = self._waiting_indexes(phase)
        assert not waiting or (status and status["indexes_to_build"]), status
        if phase in clean.pictures:
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
        sides += [V2_DIALECT] if phase in ("copied", "contracted", *CUT_OVER) else []
        assert [ledger.errors for ledger in self.clients.ledgers] == [[]] * CLIENTS
        for dialect in sides:
            assert not workload.discrepancies(self.conn, dialect, self.clients.ledgers)
            assert _originals(self.conn, dialect) == self._originals
        if phase == "copied":
            assert pairs(self.conn, self.mapping.standby) == pairs(self.conn, NAME)
        if phase in ("cutover", "bridged", "instead_of to bridged"):
            assert pairs(self.conn, self.mapping.retired) == pairs(self.conn, NAME)

    def _noted(self) -> tuple[str, str, str | None]:
        """Phase, form and the form to which a switch is under way, as the database has them."""
        (stored,) = state.load_all(self.conn)
        return stored.phase, stored.mapping.chosen_form, stored.switching

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
        step = "switch" if command in SWITCHES else command
        return (step, NAME, "--execute", *OPTIONS.get(command, ()))

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


def walk_through(server: Database, *, switches: bool = False) -> Clean:
    """Take one journey without harm, and note how it looks on the way.

    :param switches: whether it leads through other forms, too
    """
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
        if switches:
            go("bridge", "bridged")
            go("unswitch", "cutover")
            go("reverse", "reversed")
            go("unswitch", "cutover")
        go("contract", "contracted")
    return clean


def _originals(conn: psycopg.Connection, dialect: Dialect) -> list[tuple[Any, ...]]:
    """The rows that no client touches."""
    rows = (conn.execute(dialect.read, {"order": n}).fetchall() for n in range(1, ORDERS + 1))
    return sorted(row for found in rows for row in found if row[0] < HOT_LINE)


def _without(indexes: set[str], picture: Catalogue) -> Catalogue:
    """The picture without these indexes, and without what says whether a twin is validated.

    A contract validates the twins in transactions of their own, which stay when it is ended. And
    columns by their place among those that there are: what a switch adds comes and goes.
    """
    found = {kind: [row for row in rows if row[0] not in indexes] for kind, rows in picture.items()}
    found["constraints"] = [
        (table, name, definition.removesuffix(" NOT VALID"), name.endswith("__v2") or is_valid)
        for table, name, definition, is_valid in found["constraints"]
    ]
    place = Counter[str]()
    columns = []
    for table, _, *column in sorted(found["columns"], key=lambda row: (row[0], row[1])):
        place[table] += 1
        columns.append((table, place[table], *column))
    found["columns"] = sorted(columns, key=repr)
    return found


def _left_behind(found: Catalogue, expected: Catalogue) -> dict[str, list[list[tuple[Any, ...]]]]:
    """What is there and should not be, and what is not there and should be, by its kind."""
    return {
        kind: [[row for row in a if row not in b], [row for row in b if row not in a]]
        for kind, a in found.items()
        if a != (b := expected[kind])
    }
