"""What ends an INSTEAD OF function when a row is no more what the client's statement saw.

As in compat.compile.bodies: changed earlier by the same transaction, a table would not count it;
changed by another, the client is told to try again.
"""

from __future__ import annotations

from collections.abc import Iterable

from compat.compile.bodies import could_not_serialize
from compat.mapping import Mapping
from compat.rules import Row
from compat.tables import Table


def leave_if_changed(
    mapping: Mapping, guard: str, rows: Iterable[tuple[Table, Row, str]], indentation: int = 4
) -> list[str]:
    """Return the lines that leave the function unless a row passes the guard.

    :param guard: the condition that it still shows what it did
    :param rows: what it consists of: each table, its alias and the condition that finds the row
    """
    pad = " " * indentation
    changed = f"\n{pad}        OR ".join(
        f"EXISTS (SELECT FROM {table.sql} AS {row.name} "
        f"WHERE {condition} AND compat.is_own_change({row.name}.xmin))"
        for table, row, condition in rows
    )
    return [
        f"{pad}IF NOT ({guard}) THEN",
        f"{pad}    IF {changed} THEN",
        f"{pad}        RETURN NULL;",
        f"{pad}    END IF;",
        *could_not_serialize(mapping, indentation + 4),
        f"{pad}END IF;",
    ]
