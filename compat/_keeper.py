"""Keeps one temporary PostgreSQL server alive for exactly as long as its parent process.

Run as a program of its own by `compat.database`; it uses the standard library only.
"""

# Why a process of its own: a program that is killed with SIGKILL (or SIGTERM, which Python does
# not turn into an exception) cannot clean up after itself. The keeper stands in a session of its
# own, so that Ctrl-C in the terminal reaches neither it nor the server; it notices the end of its
# parent in two ways (end of file on its standard input; another parent process id), stops the
# server and removes the directory. The server in turn asks the kernel for SIGQUIT, the signal of an
# immediate shutdown, should the keeper itself be killed.
#
# Protocol, one JSON document per line. First line in: the settings (see `Settings`). First line
# out: {"ok": true, "port", "data_directory", "log_file"} or {"ok": false, "error"}. After that
# {"command": "restart"} answers {"ok": ...} once the server is ready again; {"command": "stop"} or
# the end of the input ends everything.

from __future__ import annotations

import contextlib
import functools
import json
import locale
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECK_SECONDS = 0.25
START_SECONDS = 60.0
PORT_ATTEMPTS = 20
MEMORY = "/dev/shm"  # where Linux has a file system in memory
MEMORY_BYTES = 3 * 2**30  # many times what the largest test takes, 0.4 GB


class Failed(Exception):
    """The server could not be started; the message says why."""


class ParentGone(Exception):
    """The parent process ended while something was under way."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the parent asks for."""

    parent: int
    bin_directory: str
    run_as: str | None
    password: str
    options: dict[str, str]
    # A tree to copy into the temporary directory first, and the place of bin_directory in it.
    copy_from: str | None = None
    copy_names: tuple[str, ...] = ()
    in_memory: bool = False


def prctl() -> Callable[..., int] | None:
    """The C library's function, looked up before a child gives up the right to read our files."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        function: Callable[..., int] = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return function


def ask_for_signal_at_death_of_keeper(function: Callable[..., int]) -> None:
    """Linux only; elsewhere the server merely outlives a keeper that is itself killed."""
    pr_set_pdeathsig = 1
    function(pr_set_pdeathsig, int(signal.SIGQUIT), 0, 0, 0)


def unused_port() -> int:
    """A free TCP port below the ephemeral range.

    In that range a client that retries while the server restarts can be given the server's own port
    for its end of the connection: it would then be connected to itself, and hold the port.
    """
    low = 32768
    with contextlib.suppress(OSError, ValueError, IndexError):
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = 15000
    for _ in range(200):
        port = random.randrange(first, low) if low > first + 1000 else 0
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failed("no free TCP port on 127.0.0.1")


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


class Keeper:
    """The temporary directory, the server in it, and the conversation with the parent."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings = settings
        self.root = root
        self.data = root / "data"
        self.log = root / "server.log"
        self.port = 0
        self.server: subprocess.Popen[bytes] | None = None
        self.input = b""
        self.bin = Path(settings.bin_directory)

    # The parent

    def check_parent(self) -> None:
        """A fork of the parent may hold our input open after it is gone: hence the second test."""
        if os.getppid() != self.settings.parent:
            raise ParentGone
        readable, _, _ = select.select([0], [], [], 0)
        if readable and not self.read_input():
            raise ParentGone

    def read_input(self) -> bool:
        chunk = os.read(0, 65536)
        self.input += chunk
        return bool(chunk)

    def next_command(self) -> str:
        """The next command of the parent; its end counts as "stop"."""
        while b"\n" not in self.input:
            if os.getppid() != self.settings.parent:
                return "stop"
            readable, _, _ = select.select([0], [], [], CHECK_SECONDS)
            if readable and not self.read_input():
                return "stop"
        line, _, self.input = self.input.partition(b"\n")
        command: str = json.loads(line)["command"]
        return command

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            self.check_parent()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    # The server

    def popen(self, arguments: list[str], **more: Any) -> subprocess.Popen[bytes]:
        user = self.settings.run_as
        if user is not None:
            account = pwd.getpwnam(user)
            more |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        if (function := prctl()) is not None:
            more["preexec_fn"] = functools.partial(ask_for_signal_at_death_of_keeper, function)
        kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
        return subprocess.Popen(
            arguments,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            # Nothing of the caller's PG* variables and locale may leak into the server.
            env={name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"},
            **more,
        )

    def create(self) -> None:
        """Make the directory and the cluster in it."""
        if self.settings.copy_from is not None:
            copy = self.root / "postgresql"
            for name in self.settings.copy_names:
                shutil.copytree(
                    Path(self.settings.copy_from) / name,
                    copy / name,
                    ignore=shutil.ignore_patterns("*.a", "include", "pkgconfig"),
                )
                self.check_parent()
            self.bin = copy / Path(self.settings.bin_directory).relative_to(self.settings.copy_from)
            for directory in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
                directory.chmod(0o755)
        self.data.mkdir(mode=0o700)
        password = self.root / "password"
        password.write_text(self.settings.password)
        password.chmod(0o600)
        self.log.touch(mode=0o600)
        if self.settings.run_as is not None:
            account = pwd.getpwnam(self.settings.run_as)
            for path in (self.root, self.data, password, self.log):
                os.chown(path, account.pw_uid, account.pw_gid)
        try:
            locale.setlocale(locale.LC_ALL, "C.UTF-8")
            name = "C.UTF-8"
        except locale.Error:
            name = "C"
        arguments = [str(self.bin / "initdb"), "--pgdata", str(self.data), "--no-sync"]
        arguments += ["--username", "postgres", "--pwfile", str(password), "--auth", "password"]
        arguments += ["--encoding", "UTF8", "--locale", name]
        with self.log.open("ab") as log:
            process = self.popen(arguments, stdout=log, stderr=log, start_new_session=True)
        try:
            finished = self.wait_until(lambda: process.poll() is not None, START_SECONDS)
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if not finished:
            raise Failed(f"initdb did not finish in {START_SECONDS:.0f} s")
        if process.returncode != 0:
            raise Failed(f"initdb failed: {tail(self.log)}")
        password.unlink()

    def start(self) -> None:
        """Start the server on the port it has, or on a new one the first time."""
        attempts = PORT_ATTEMPTS if self.port == 0 else 1
        for attempt in range(attempts):
            port = self.port or unused_port()
            if self.start_on(port):
                self.port = port
                return
            taken = "could not bind" in tail(self.log) or "in use" in tail(self.log)
            if not taken or attempt + 1 == attempts:
                raise Failed(f"the server did not start: {tail(self.log)}")

    def start_on(self, port: int) -> bool:
        options = {
            **self.settings.options,
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        arguments = [str(self.bin / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            arguments += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            server = self.popen(arguments, stdout=log, stderr=log)
        self.server = server

        def ready_or_ended() -> bool:
            return server.poll() is not None or self.is_ready(server.pid)

        if not self.wait_until(ready_or_ended, START_SECONDS):
            raise Failed(f"the server was not ready in {START_SECONDS:.0f} s: {tail(self.log)}")
        return server.poll() is None

    def is_ready(self, pid: int) -> bool:
        """What pg_ctl looks at: the server writes its state into the eighth line of this file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # Compare the process too: after an immediate stop the old file is still there.
        return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def stop(self) -> None:
        """An immediate shutdown: no checkpoint, as if the power had failed."""
        server, self.server = self.server, None
        if server is None:
            return
        for number in (signal.SIGQUIT, signal.SIGKILL):
            if server.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)

    def restart(self) -> None:
        """Crash and recover."""
        self.stop()
        self.start()


def reply(**document: object) -> None:
    """One line to the parent, who may be gone: that is noticed elsewhere."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(document).encode() + b"\n")


def read_settings() -> Settings:
    line = b""
    while not line.endswith(b"\n"):
        character = os.read(0, 1)
        if not character:
            raise ParentGone
        line += character
    document = json.loads(line)
    document["copy_names"] = tuple(document.get("copy_names", ()))
    return Settings(**document)


def leave(number: int, frame: object) -> None:
    raise ParentGone


def serve(keeper: Keeper) -> None:
    """Start, then obey until the parent says stop or is gone."""
    try:
        keeper.create()
        keeper.start()
    except (Failed, OSError, subprocess.SubprocessError, shutil.Error) as error:
        reply(ok=False, error=str(error))
        return
    reply(
        ok=True,
        port=keeper.port,
        data_directory=str(keeper.data),
        log_file=str(keeper.log),
    )
    while keeper.next_command() == "restart":
        try:
            keeper.restart()
        except (Failed, OSError, subprocess.SubprocessError, shutil.Error) as error:
            reply(ok=False, error=str(error))
        else:
            reply(ok=True)


def main() -> None:
    """Read the settings, keep the server, remove every trace."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    with contextlib.suppress(ParentGone):
        settings = read_settings()
        root = Path(tempfile.mkdtemp(prefix="compat-postgresql-", dir=directory_for(settings)))
        keeper = Keeper(settings, root)
        try:
            serve(keeper)
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            keeper.stop()
            remove(root)


def directory_for(settings: Settings) -> str:
    """Where to put the temporary directory: the account that runs the server must get there."""
    if settings.in_memory and memory_will_do(programs_too=settings.copy_from is not None):
        return MEMORY
    usual = tempfile.gettempdir()
    if settings.run_as is None:
        return usual
    for place in (usual, "/tmp", "/var/tmp"):
        above = (Path(place).resolve(), *Path(place).resolve().parents)
        if all(path.is_dir() and path.stat().st_mode & 0o001 for path in above):
            return place
    return usual


def memory_will_do(*, programs_too: bool) -> bool:
    """Whether there is room; containers often have little, and let no program be run from there."""
    try:
        place = os.statvfs(MEMORY)
    except OSError:
        return False
    if programs_too and place.f_flag & os.ST_NOEXEC:
        return False
    return os.access(MEMORY, os.W_OK) and place.f_bavail * place.f_frsize >= MEMORY_BYTES


def remove(root: Path) -> None:
    """Backends of a killed server may write for a moment longer: try until nothing is left."""
    deadline = time.monotonic() + 10
    while root.exists() and time.monotonic() < deadline:
        shutil.rmtree(root, ignore_errors=True)
        if root.exists():
            time.sleep(0.05)


if __name__ == "__main__":
    main()
    sys.exit(0)
