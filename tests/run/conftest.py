"""What several tests of the run start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from compat.database import Database, database_name
from compat.mapping import Mapping
from tests.run.support import Connection, make_lines, steps, succeed, write_mapping


@pytest.fixture(scope="module")
def somewhere(server: Database) -> Iterator[Connection]:
    """A connection for tests that ask the server and need no table: they must change nothing."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="session")
def copied_lines(
    server: Database, installed_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Mapping]]:
    """A database with the migration of `lines` with 30 rows, expanded and copied; its mapping."""
    with server.fresh(template=installed_template) as address:
        with psycopg.connect(address, autocommit=True) as conn:
            mapping = make_lines(conn)
        file = write_mapping(mapping, tmp_path_factory.mktemp("lines"))
        succeed(address, "expand", file, "--execute")
        steps(address, "lines", "copy")
        yield database_name(address), mapping


@pytest.fixture
def template(template: str, request: pytest.FixtureRequest) -> str:
    """For a test that takes the migration that is copied: the database that has it."""
    if "copied" not in request.fixturenames:
        return template
    name: str = request.getfixturevalue("copied_lines")[0]
    return name


@pytest.fixture
def copied(copied_lines: tuple[str, Mapping], url: str) -> Mapping:
    """The migration of `lines` with 30 rows, expanded and copied, in the test's database."""
    return copied_lines[1]


@pytest.fixture
def expand(url: str, conn: psycopg.Connection, tmp_path: Path) -> Callable[[int], Mapping]:
    """Make `lines` with so many rows, and expand."""

    def make(rows: int) -> Mapping:
        mapping = make_lines(conn, rows)
        succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
        return mapping

    return make
