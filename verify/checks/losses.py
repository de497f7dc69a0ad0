"""Losses: legacy rows of which a lossy rule keeps less than they have, counted by rule.

A mapping is only made when it accepts each of its losses by name; this says what that amounts to.
"""

from __future__ import annotations

from compat.compile import copy as compiled
from compat.connection import Connection
from compat.mapping import Mapping
from verify.context import Context, plural
from verify.report import Result, holds

NAME = "losses"


def check(context: Context) -> Result:
    """Return how many legacy rows lose something, by column.

    :raises psycopg.Error: the legacy table is missing or may not be read
    """
    return count(context.conn, context.physical)


def count(conn: Connection, mapping: Mapping) -> Result:
    """Return how many rows of the mapping's legacy table lose something, by column.

    :raises psycopg.Error: it is missing or may not be read
    """
    lossy = {lens.legacy.name: lens.loss for lens in mapping.lenses if lens.loss is not None}
    queries = {name: query for name, query in compiled.losses(mapping) if name in lossy}
    numbers, notes = [], []
    for name, loss in lossy.items():
        if name not in queries:
            notes.append(f"{name}: not counted, accepted by the mapping ({loss})")
            continue
        row = conn.execute(queries[name]).fetchone()
        assert row is not None
        numbers.append((name, int(row[0])))
        if row[0]:
            notes.append(f"{name}: {plural(row[0], 'row')}, accepted by the mapping ({loss})")
    losing = [name for name, rows in numbers if rows]
    if not lossy:
        summary = "no rule of the mapping can lose anything"
    elif not losing:
        summary = "no row loses anything" + "; not all rules can be counted" * bool(notes)
    else:
        summary = f"rows lose what the mapping accepts to lose: {', '.join(losing)}"
    return holds(NAME, summary, notes=tuple(notes), numbers=tuple(numbers))
