"""What keeps a lookup's copy of the legacy number right, from expand to contract.

An application of v2 writes the new key of a parent only: a trigger adds the parent's legacy number.
Where the legacy number of a parent changes, another carries that to its children.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from compat.compile.functions import drop_function, trigger_function
from compat.mapping import Mapping
from compat.names import derive, ident, literal, regclass
from compat.rules import NEW, OLD, Lookup, Row
from compat.rules.lookup import foreign_key, orphan, referenced
from compat.tables import Table

_MAY_FOLLOW = re.compile(r" ON UPDATE (CASCADE|SET )| DEFERRABLE")
"""What lets children follow a parent's new number, in the definition of their foreign key."""


@dataclass(frozen=True)
class _Kept:
    """A lookup that keeps the legacy number, the table that it writes, and its own number."""

    rule: Lookup
    keep: str
    table: Table
    number: int

    @property
    def fills(self) -> str:
        """The purpose of the function that adds the number, by which it is named."""
        return f"lookup_{self.number}"

    @property
    def follows(self) -> str:
        """The purpose of the function that carries over a change in the parent."""
        return f"follow_{self.number}"


def require_parents(mapping: Mapping) -> list[str]:
    """Return the statements that raise unless each parent can be found, and is there already."""
    return [
        f"SELECT compat.require_parent({regclass(mapping.legacy.schema, mapping.legacy.name)}, "
        f"{regclass(rule.parent.schema, rule.parent.name)}, "
        f"{literal(rule.parent.key)}, ARRAY[{', '.join(map(literal, rule.parent.columns))}])"
        for rule in mapping.rules
        if isinstance(rule, Lookup)
    ]


def create(mapping: Mapping) -> list[str]:
    """Return the statements that create the triggers, and their functions."""
    statements = []
    for kept in _kept(mapping):
        for purpose, body in ((kept.fills, _fill(kept)), (kept.follows, _follow(mapping, kept))):
            statements += trigger_function(mapping, purpose, body, mapping.legacy)
        key, number = ident(kept.rule.target), ident(kept.keep)
        legacy = ident(kept.rule.parent.legacy)
        on_insert, on_update, on_parent = _trigger_names(mapping, kept)
        fill, follow = mapping.function(kept.fills), mapping.function(kept.follows)
        statements += [
            f"CREATE TRIGGER {ident(on_insert)} BEFORE INSERT\nON {kept.table.sql} FOR EACH ROW\n"
            f"WHEN (NEW.{number} IS NULL AND NEW.{key} IS NOT NULL)\n"
            f"EXECUTE FUNCTION {fill}()",
            f"CREATE TRIGGER {ident(on_update)} BEFORE UPDATE\nON {kept.table.sql} FOR EACH ROW\n"
            f"WHEN (NEW.{key} IS DISTINCT FROM OLD.{key}\n"
            f"      AND NEW.{number} IS NOT DISTINCT FROM OLD.{number})\n"
            f"EXECUTE FUNCTION {fill}()",
            f"CREATE TRIGGER {ident(on_parent)} AFTER UPDATE\nON {kept.rule.parent.sql} "
            f"FOR EACH ROW\nWHEN (NEW.{legacy} IS DISTINCT FROM OLD.{legacy})\n"
            f"EXECUTE FUNCTION {follow}()",
        ]
    return statements


def drop(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create`."""
    statements = []
    for kept in _kept(mapping):
        on_insert, on_update, on_parent = _trigger_names(mapping, kept)
        statements += [
            f"DROP TRIGGER {ident(on_insert)} ON {kept.table.sql}",
            f"DROP TRIGGER {ident(on_update)} ON {kept.table.sql}",
            f"DROP TRIGGER {ident(on_parent)} ON {kept.rule.parent.sql}",
            drop_function(mapping, kept.fills),
            drop_function(mapping, kept.follows),
        ]
    return statements


def _kept(mapping: Mapping) -> list[_Kept]:
    found = [
        (lens.rule, lens.rule.keep, lens.ends.target_table)
        for lens in mapping.lenses
        if isinstance(lens.rule, Lookup) and lens.rule.keep is not None
    ]
    return [_Kept(*kept, number) for number, kept in enumerate(found, start=1)]


def _trigger_names(mapping: Mapping, kept: _Kept) -> tuple[str, str, str]:
    """Return the names of the triggers for new rows, for changed ones, and on the parent.

    The first two fire last: after what BEFORE triggers of the table's own put into the row. The
    third fires after the parent's own sync, which may cascade to the retired children. Several
    mappings may have one target, or one parent.
    """
    last = f"zz_compat_{mapping.name}"
    return (
        derive(last, f"__{kept.fills}_insert"),
        derive(last, f"__{kept.fills}_update"),
        derive(f"01_compat_{mapping.name}", f"__{kept.follows}"),
    )


def _fill(kept: _Kept) -> str:
    rule, parent, row = kept.rule, kept.rule.parent, Row("parent")
    key, number = NEW.column(rule.target), NEW.column(kept.keep)
    known = foreign_key(kept.table, rule.target)
    missing = orphan(kept.table, rule.target, key, known.name if known else None, parent.name)
    nameless = (
        f"{kept.table.title}.{rule.target}: the row of {parent.title} has no {parent.legacy}, "
        "by which legacy clients know it"
    )
    return f"""BEGIN
    SELECT {row.column(parent.legacy)} INTO {number}
    FROM {parent.sql} AS {row.name}
    WHERE {row.column(parent.key)} = {key}{parent.among(row)};
    IF {number} IS NULL AND {key} IS NOT NULL THEN
        IF FOUND THEN
            PERFORM compat.refuse({literal(nameless)}, ({key})::text, NULL::text);
        ELSE
            PERFORM {missing};
        END IF;
    END IF;
    RETURN NEW;
END"""


def _follow(mapping: Mapping, kept: _Kept) -> str:
    parent = kept.rule.parent
    return f"""BEGIN{_refuse_new_number(mapping, kept)}
    UPDATE {kept.table.sql} AS t SET {ident(kept.keep)} = {NEW.column(parent.legacy)}
    WHERE {_is_child(kept)};
    RETURN NULL;
END"""


def _refuse_new_number(mapping: Mapping, kept: _Kept) -> str:
    """Return what raises, after the cutover, where the legacy key lets no number change.

    The key itself, now of the retired table, is looked at when the children have followed.
    """
    known = foreign_key(mapping.legacy, kept.rule.legacy)
    if known is None or _MAY_FOLLOW.search(known.definition):
        return ""
    parent, columns = referenced(known)
    name = mapping.legacy.name
    message = (
        f'update or delete on table "{parent}" violates foreign key constraint "{known.name}" '
        f'on table "{name}"'
    )
    before, after = f"Key ({columns})=(", f') is still referenced from table "{name}".'
    return f"""
    IF pg_catalog.to_regclass({literal(mapping.retired)}) IS NOT NULL
    AND EXISTS (SELECT FROM {kept.table.sql} AS t WHERE {_is_child(kept)}) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'foreign_key_violation',
            MESSAGE = {literal(message)},
            DETAIL = {literal(before)} || {OLD.column(kept.rule.parent.legacy)} || {literal(after)},
            SCHEMA = {literal(mapping.legacy.schema)}, TABLE = {literal(name)},
            CONSTRAINT = {literal(known.name)};
    END IF;"""


def _is_child(kept: _Kept) -> str:
    return f"t.{ident(kept.rule.target)} = {OLD.column(kept.rule.parent.key)}"
