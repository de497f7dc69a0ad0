"""What several tests of compat start from."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from tests.compat.migrations import Connection

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nearly every test here needs the schema compat, and none is about installing it."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("installed")


@pytest.fixture
def role(conn: Connection) -> Iterator[Callable[[str], str]]:
    """Makes roles, which all databases of a server share, and takes them away again."""
    made: list[str] = []

    def make(name: str) -> str:
        made.append(f"{name} {secrets.token_hex(4)}")
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(made[-1])))
        return f'"{made[-1]}"'

    yield make
    conn.execute("RESET ROLE")
    for name in made:
        conn.execute(sql.SQL("DROP OWNED BY {0} CASCADE").format(sql.Identifier(name)))
    for name in made:
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
