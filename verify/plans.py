"""How PostgreSQL would run a statement, as far as the checks look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compat.connection import Connection


def nodes(conn: Connection, sql: str) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a statement's plan, as EXPLAIN (FORMAT JSON) names their parts."""
    row = conn.execute(f"EXPLAIN (FORMAT JSON) {sql}", prepare=False).fetchone()
    assert row is not None
    waiting = [item["Plan"] for item in row[0]]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        yield node


def text(conn: Connection, sql: str) -> str:
    """Return a statement's plan as people read it."""
    lines = conn.execute(f"EXPLAIN (COSTS OFF) {sql}", prepare=False).fetchall()
    return "\n".join(line for (line,) in lines)
