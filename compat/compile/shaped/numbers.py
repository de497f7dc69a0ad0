"""Legacy keys for rows that v2 inserts into a shared target, each from its table's own sequence.

A column has one default, so a trigger draws from the sequence of the table that a row belongs to.
"""

from __future__ import annotations

from compat.compile.functions import drop_function, trigger_function
from compat.compile.source import tagged
from compat.mapping import Mapping
from compat.names import derive, ident, literal
from compat.rules import NEW


def draw(mapping: Mapping) -> list[str]:
    """Return the statements by which rows with the tag get the keys that they are not given."""
    lines = [
        f"    {NEW.column(column)} := coalesce({NEW.column(column)}, "
        f"nextval({literal(sequence)}::pg_catalog.regclass));"
        for column, sequence in _drawn(mapping)
    ]
    if not lines:
        return []
    body = "\n".join(["BEGIN", *lines, "    RETURN NEW;", "END"])
    return [
        *trigger_function(mapping, "number", body, mapping.legacy),
        f"CREATE OR REPLACE TRIGGER {_name(mapping)} BEFORE INSERT\nON {mapping.target.sql} "
        f"FOR EACH ROW WHEN ({tagged(mapping, NEW)})\n"
        f"EXECUTE FUNCTION {mapping.function('number')}()",
    ]


def cease(mapping: Mapping) -> list[str]:
    """Return the statements that undo `draw`."""
    if not _drawn(mapping):
        return []
    return [
        f"DROP TRIGGER IF EXISTS {_name(mapping)} ON {mapping.target.sql}",
        drop_function(mapping, "number"),
    ]


def _drawn(mapping: Mapping) -> list[tuple[str, str]]:
    """Return the target columns that nothing else fills, each with its quoted sequence."""
    drawn: list[tuple[str, str]] = []
    if mapping.tag is None:
        return drawn  # such a column has the sequence for its default
    for sequence in mapping.legacy.sequences:
        lens = mapping.lens(sequence.column)
        if lens.part is None and lens.targets:
            target = lens.ends.target(lens.targets[0])
            if target.default is None and target.identity is None:
                drawn.append((target.name, sequence.sql))
    return drawn


def _name(mapping: Mapping) -> str:
    return ident(derive(f"00_compat_number_{mapping.name}", ""))
