"""What several tests of the run start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from compat.mapping import Mapping
from tests.run.support import make_lines, succeed, write_mapping


@pytest.fixture
def expand(url: str, conn: psycopg.Connection, tmp_path: Path) -> Callable[[int], Mapping]:
    """Make `lines` with so many rows, and expand."""

    def make(rows: int) -> Mapping:
        mapping = make_lines(conn, rows)
        succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
        return mapping

    return make
