"""What the depth of a version costs: a view beneath which seven later versions have been put.

All sides have the legacy view of `benchmarks.journey` over one table with the same keys, checks
and indexes; what differs is how many mappings lie between the two.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks import views
from benchmarks.journey import LEGACY, Side, copy, expand, open_side
from benchmarks.measure import Result
from benchmarks.report import Aim, Section
from compat import catalog, rules, state
from compat.compile import sync
from compat.database import Database
from compat.mapping import Mapping
from compat.names import ident
from compat.run import steps
from compat.tables import Column, Constraint, Table

DEPTH = 8
AIM = Aim(1.3)
_OPERATIONS = ("select-simple", "select-prepared", "range-prepared", "insert", "update", "delete")


@dataclass(frozen=True)
class _Change:
    """What one version does to one column besides giving it another name."""

    column: str
    type: str
    rule: rules.AnyRule


_STATES = (("pending", 1), ("reserved", 2), ("shipped", 3), ("cancelled", 4))
_CODES = tuple((code, f"state {code}") for _, code in _STATES)

_CHANGES: tuple[_Change, ...] = (
    _Change("state", "smallint", rules.ValueMap("", "", _STATES)),
    _Change("created_at", "timestamp without time zone", rules.Cast("", "", timezone="UTC")),
    _Change("unit_price", "bigint", rules.Cast("", "", factor=100)),
    _Change("state", "text", rules.ValueMap("", "", _CODES)),
    _Change("created_at", "timestamp with time zone", rules.Cast("", "", timezone="UTC")),
    _Change("note", "text", rules.Cast("", "")),
    _Change("quantity", "bigint", rules.Cast("", "")),
)
"""One for each version after v2; a column that is converted again is converted from what it is."""


def measure(server: Database, rows: int, repeat: int) -> Section:
    """Measure what clients of the oldest version pay for the later ones."""
    chosen = [item for item in views.operations(rows) if item.name in _OPERATIONS]
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(open_side(server, "view", "instead_of", rows))
        sides = [
            stack.enter_context(_deep(server, rows, converting=False)),
            stack.enter_context(_deep(server, rows, converting=True)),
        ]
        results = [_measured(item, base, sides, repeat) for item in chosen]
    columns = [side.label for side in sides]
    return Section(
        f"Through the view, {DEPTH} versions deep",
        "The converting view of the first table, against the same view after seven later versions "
        "were put beneath it: its mapping is composed with theirs, and it reads and writes the "
        "newest table itself. Each of them renames every column; in the second column of figures "
        "each converts one as well, some of them for the third time.",
        "depth 1",
        columns,
        results,
        dict.fromkeys(columns, AIM),
    )


def _measured(operation: views.Operation, base: Side, sides: Sequence[Side], repeat: int) -> Result:
    """Measure in pairs: of three, the middle one would never find its own caches warm."""
    pairs = [views.measure(operation, (base, side), repeat) for side in sides]
    ratios = {label: found for pair in pairs for label, found in pair.ratios.items()}
    return replace(pairs[0], ratios=ratios)


@contextlib.contextmanager
def _deep(server: Database, rows: int, *, converting: bool) -> Iterator[Side]:
    """A side with so many versions, of which only the first still has its view."""
    with open_side(server, "view", "instead_of", rows) as side:
        conn, title = side.conn, "renames and conversions" if converting else "renames"
        table = f"{LEGACY}_v2"
        for number, change in enumerate(_CHANGES, start=3):
            below = catalog.reflect_table(conn, table)
            mapping = _next_version(side, below, number, change if converting else None)
            expand(conn, mapping)
            copy(conn, mapping)
            state.set_phase(conn, mapping.name, "copied")
            steps.cutover(conn, mapping.name)
            table = mapping.target.name
        # What the other versions leave behind is not what is measured.
        for number in range(3, DEPTH + 2):
            steps.contract(conn, f"to v{number}")
        oldest = state.load(conn, LEGACY).mapping
        for statement in sync.detach_reverse(oldest):
            conn.execute(statement)
        side.vacuum()
        yield replace(side, mapping=oldest, title=f"depth {DEPTH}, {title}")


def _next_version(side: Side, below: Table, number: int, change: _Change | None) -> Mapping:
    """Create the table of a version, and return the mapping that leads to it."""
    name, columns, column_rules = f"{LEGACY}_v{number}", [], []
    for column in below.columns:
        new = _renamed(column.name, number)
        rule: rules.AnyRule = rules.Column(column.name, new)
        kind = column.type
        if change is not None and _root(column.name) == change.column:
            kind = change.type
            rule = replace(change.rule, legacy=column.name, target=new)  # type: ignore[arg-type]
        columns.append(_definition(column, new, kind))
        column_rules.append(rule)
    keys = [_in_new_names(item, number) for item in below.constraints]
    side.conn.execute(
        f"CREATE TABLE {name} ({', '.join((*columns, *keys))}) WITH (autovacuum_enabled = off)"
    )
    side.conn.execute(f"CREATE INDEX ON {name} ({ident(_renamed('product_id', number))})")
    target = catalog.reflect_table(side.conn, name)
    return Mapping(f"to v{number}", below, target, tuple(column_rules), form="instead_of")


def _root(name: str) -> str:
    return name.removeprefix("v").lstrip("0123456789").removeprefix("_") or name


def _renamed(name: str, number: int) -> str:
    return f"v{number}_{_root(name)}"


def _definition(column: Column, name: str, kind: str) -> str:
    default = (
        f" DEFAULT {column.default}" if column.default and "nextval" not in column.default else ""
    )
    return f"{ident(name)} {kind}{default}{'' if column.nullable else ' NOT NULL'}"


def _in_new_names(constraint: Constraint, number: int) -> str:
    """Return the definition of a constraint over the columns of the next version."""
    definition = constraint.definition
    for name in constraint.columns:
        definition = re.sub(
            rf'(?<![\w"])"?{re.escape(name)}"?(?![\w"])',
            _renamed(name, number),
            definition,
            count=1,
        )
    return definition
