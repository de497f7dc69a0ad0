"""What several tests of the run start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from compat.database import Database
from compat.mapping import Mapping
from tests.run.support import Connection, make_lines, succeed, write_mapping


@pytest.fixture(scope="module")
def somewhere(server: Database) -> Iterator[Connection]:
    """A connection for tests that ask the server and need no table: they must change nothing."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def expand(url: str, conn: psycopg.Connection, tmp_path: Path) -> Callable[[int], Mapping]:
    """Make `lines` with so many rows, and expand."""

    def make(rows: int) -> Mapping:
        mapping = make_lines(conn, rows)
        succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
        return mapping

    return make
