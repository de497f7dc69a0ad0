"""Sync of rows that are spread over several tables, or that share a table with others.

Forward it writes through the view, whose triggers know where each column lives. Reverse it reads
the rows again that a change may concern, and puts the retired table right.
"""

from __future__ import annotations

from compat import sqltypes
from compat.compile.functions import (
    TARGET,
    indented,
)
from compat.compile.source import matches, parents, source
from compat.mapping import Mapping
from compat.names import ident, idents
from compat.rules import NEW, OLD, Constant, Converting, Lens, Row
from compat.shapes import Place

_SOURCE = Row("s")
_RETIRED = Row("r")
_EXCLUDED = Row("EXCLUDED")


def forward_body(mapping: Mapping) -> str:
    """Return the body of the sync function, legacy table → standby view; row triggers call it.

    What a row holds is read again, as in compat.compile.sync: other triggers may have changed it.
    """
    legacy = mapping.legacy
    columns = tuple(column.name for column in legacy.columns if column.generated is None)
    new = ", ".join(NEW.column(name) for name in columns)
    assigned = ", ".join(f"{ident(name)} = {NEW.column(name)}" for name in columns)
    return f"""BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM {mapping.standby};
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT {", ".join(map(_SOURCE.column, legacy.column_names))}
        INTO {", ".join(map(NEW.column, legacy.column_names))}
        {_current(mapping, NEW)};
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since.
        IF NOT EXISTS (SELECT {_current(mapping, OLD)}) THEN
            DELETE FROM {mapping.standby} AS v WHERE {_same_key(mapping, Row("v"), OLD)};
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE {mapping.standby} AS v SET {assigned} WHERE {_same_key(mapping, Row("v"), OLD)};
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    UPDATE {mapping.standby} AS v SET {assigned} WHERE {_same_key(mapping, Row("v"), NEW)};
    IF NOT FOUND THEN
        INSERT INTO {mapping.standby} ({idents(columns)}) VALUES ({new});
    END IF;
    RETURN NULL;
END"""


def reverse_body(mapping: Mapping) -> str:
    """Return the body of the reverse function; its argument is the number of the place.

    A row of the retired table follows several rows here, whose writers do not know of each other.
    The target's row is what they all lock before they read the rest: who comes second sees what
    the first has committed.
    """
    branches = [
        "    IF TG_OP = 'TRUNCATE' THEN",
        *indented(_resync(mapping), 8),
        "    ELSIF TG_ARGV[0] = '0' THEN",
        f"        IF {_leaves(_finding_columns(mapping))} THEN",
        *indented(_remove(mapping, _keys_of_row(mapping, OLD)), 12),
        "        END IF;",
        "        IF TG_OP <> 'DELETE' THEN",
        *indented(_lock_parents(mapping), 12),
        *indented(_store(mapping, _same_target(mapping, NEW)), 12),
        "        END IF;",
    ]
    for number, place in enumerate(mapping.places[1:], start=1):
        branches += [
            f"    ELSIF TG_ARGV[0] = '{number}' THEN",
            f"        IF {_leaves([mine for mine, _ in place.on])} THEN",
            *indented(_follow_part(mapping, place, OLD), 12),
            "        END IF;",
            "        IF TG_OP <> 'DELETE' THEN",
            *indented(_follow_part(mapping, place, NEW), 12),
            "        END IF;",
        ]
    return "\n".join(["BEGIN", *branches, "    END IF;", "    RETURN NULL;", "END"])


def _finding_columns(mapping: Mapping) -> list[str]:
    """Return the columns of the target by which its legacy row and its parts are found."""
    keys = [lens.targets[0] for lens in mapping.key]
    joins = [other for place in mapping.places for _, other in place.on]
    tag = [] if mapping.tag is None else [mapping.tag.column]
    return list(dict.fromkeys([*keys, *joins, *tag]))


def _leaves(columns: list[str]) -> str:
    """Return the condition that a row is no more where these columns of OLD say."""
    moved = " OR ".join(f"{NEW.column(c)} IS DISTINCT FROM {OLD.column(c)}" for c in columns)
    return f"TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND ({moved})"


def _current(mapping: Mapping, row: Row) -> str:
    ours = f"pg_catalog.age({_SOURCE.name}.xmin) <= 0"
    same = _same_key(mapping, _SOURCE, row)
    return f"FROM {mapping.legacy.sql} AS {_SOURCE.name} WHERE {same} AND {ours}"


def _same_key(mapping: Mapping, left: Row, right: Row) -> str:
    return " AND ".join(
        f"{left.column(name)} = {right.column(name)}" for name in mapping.legacy.row_key
    )


def _same_target(mapping: Mapping, row: Row) -> str:
    """Return the condition that t is this row of the target or of a choice."""
    return " AND ".join(
        f"{TARGET.column(lens.targets[0])} = {row.column(lens.targets[0])}" for lens in mapping.key
    )


def _keys_of_row(mapping: Mapping, row: Row) -> str:
    """Return the condition that r is the retired row of a row of the target."""
    return " AND ".join(
        f"{_RETIRED.column(lens.legacy.name)} = {lens.read(row)}" for lens in mapping.key
    )


def _shown(mapping: Mapping) -> str:
    """Return the condition that the view shows the row r."""
    same = " AND ".join(
        f"{TARGET.column(lens.targets[0])} = {lens.write(_RETIRED)[lens.targets[0]]}"
        for lens in mapping.key
    )
    return f"EXISTS (SELECT FROM {source(mapping)}\n    WHERE {same})"


def _remove(mapping: Mapping, condition: str) -> list[str]:
    return [
        f"DELETE FROM {mapping.retired} AS r WHERE {condition}",
        f"AND NOT {_shown(mapping)};",
    ]


def _store(mapping: Mapping, condition: str) -> list[str]:
    stored = [lens for lens in mapping.lenses if lens.legacy.generated is None]
    columns = idents([lens.legacy.name for lens in stored])
    following = [lens for lens in stored if not isinstance(lens.rule, Constant)]
    assigned = ",\n    ".join(f"{ident(x.legacy.name)} = {_followed(x)}" for x in following)
    same = " OR ".join(
        sqltypes.differs(
            _RETIRED.column(lens.legacy.name),
            _EXCLUDED.column(lens.legacy.name),
            lens.legacy.type,
            lens.legacy.collation,
        )
        for lens in following
    )
    return [
        f"INSERT INTO {mapping.retired} AS r ({columns}) OVERRIDING SYSTEM VALUE",
        f"SELECT {', '.join(lens.read(TARGET) for lens in stored)}",
        f"FROM {source(mapping)}",
        f"WHERE {condition}",
        f"ON CONFLICT ({idents(list(mapping.legacy.row_key))}) DO UPDATE SET {assigned}",
        f"WHERE {same};",
    ]


def _followed(lens: Lens) -> str:
    """Return the value that a retired row takes; one that v2 did not change keeps its spelling."""
    name = lens.legacy.name
    new, old = _EXCLUDED.column(name), _RETIRED.column(name)
    if lens.loss is None or not isinstance(lens.rule, Converting):
        return new
    again = lens.rule.decode(lens.rule.encode(old, lens.ends), lens.ends)
    differs = sqltypes.differs(again, new, lens.legacy.type, lens.legacy.collation)
    return f"CASE WHEN {differs} THEN {new} ELSE {old} END"


def _resync(mapping: Mapping) -> list[str]:
    return [*_remove(mapping, "true"), *_store(mapping, "true")]


def _lock_parents(mapping: Mapping) -> list[str]:
    """Return the locks of what the row references from now on.

    Who renames such a parent at the same time, sees only the rows that have referenced it before:
    one of the two has to wait. A row that goes on referencing it, the other looks for and locks.
    """
    lines = []
    for place in parents(mapping):
        changed = " OR ".join(
            f"{NEW.column(other)} IS DISTINCT FROM {OLD.column(other)}" for _, other in place.on
        )
        lines += [
            f"IF TG_OP = 'INSERT' OR {changed} THEN",
            f"    PERFORM FROM {place.table.sql} AS {place.row.name}",
            f"    WHERE {matches(place, NEW)} FOR SHARE;",
            "END IF;",
        ]
    return lines


def _follow_part(mapping: Mapping, place: Place, row: Row) -> list[str]:
    """Return what puts all legacy rows right that a row of a part belongs to, or did.

    :param row: OLD, for the rows that it has left, or NEW
    """
    joined = " AND ".join(
        f"{TARGET.column(other)} = {row.column(mine)}" for mine, other in place.on
    )
    keys = ", ".join(TARGET.column(name) for name in mapping.target_key)
    belongs = " AND ".join(
        f"{_RETIRED.column(lens.legacy.name)} = {lens.read(TARGET)}" for lens in mapping.key
    )
    lock = (
        f"PERFORM FROM {mapping.target.sql} AS t WHERE {joined} ORDER BY {keys} FOR NO KEY UPDATE;"
    )
    assert place.part is not None
    if row is OLD and not place.part.may_lack:
        held = f"EXISTS (SELECT FROM {mapping.target.sql} AS t\n    WHERE {joined} AND {belongs})"
        return [lock, *_remove(mapping, held)]
    return [lock, *_store(mapping, joined)]
