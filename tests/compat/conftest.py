"""What several tests of compat start from."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from tests.compat.migrations import Connection


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
