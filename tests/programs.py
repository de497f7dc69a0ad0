"""PostgreSQL's own programs, for the tests that run what a user would."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import psycopg

from compat.database import Database


def find_program(server: Database, name: str) -> str | None:
    """The program of that name that came with the server, else any."""
    with contextlib.suppress(OSError):  # no such process here, or not ours to look at
        beside = Path(os.readlink(f"/proc/{server.process}/exe")).with_name(name)
        if os.access(beside, os.X_OK):
            return str(beside)
    return shutil.which(name)


def run_script(server: Database, url: str, text: str) -> None:
    """Run a script in psql, stopping at the first error; without psql, as one simple query."""
    if (psql := find_program(server, "psql")) is None:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(text)
        return
    program = [psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", url]
    done = subprocess.run(program, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def dump(server: Database, url: str, *options: str) -> str:
    """What pg_dump prints of a database."""
    program = find_program(server, "pg_dump")
    assert program is not None, "a PostgreSQL without pg_dump, here and on the PATH"
    command = [program, "--dbname", url, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
