"""What keeps a lookup's copy of the legacy number right, from expand to contract.

An application of v2 writes the new key of a parent only: a trigger adds the parent's legacy number.
Where the legacy number of a parent changes, another carries that to its children.

A reference to a row of the same table may come before that row, in the copy or within a statement.
Then the child waits: it has the number, and no key yet. When the statement ends, the children that
it has written get their keys, or the error of a foreign key; the copy and the cutover see to those
whose parents had not been copied yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from compat.compile.functions import TARGET, drop_function, same_target_row, trigger_function
from compat.mapping import Mapping
from compat.names import derive, ident, literal, qualified, regclass
from compat.rules import NEW, OLD, Lens, Lookup, Row
from compat.rules.lookup import foreign_key, orphan, referenced
from compat.tables import Table

_PARENT = Row("parent")
_INSERTED = Row("inserted")

_MAY_FOLLOW = re.compile(r" ON UPDATE (CASCADE|SET )| DEFERRABLE")
"""What lets children follow a parent's new number, in the definition of their foreign key."""


@dataclass(frozen=True)
class _Kept:
    """A lookup that keeps the legacy number, the column for that, and its place among them."""

    lens: Lens
    rule: Lookup
    keep: str
    number: int

    @property
    def table(self) -> Table:
        """The table that holds key and number."""
        return self.lens.ends.target_table

    @property
    def fills(self) -> str:
        """The purpose of the function that adds the number, by which it is named."""
        return f"lookup_{self.number}"

    @property
    def follows(self) -> str:
        """The purpose of the function that carries over a change in the parent."""
        return f"follow_{self.number}"

    @property
    def syncs(self) -> str:
        """The purpose of the function that ends the waiting for what the sync has brought."""
        return f"settle_{self.number}"

    @property
    def arrives(self) -> str:
        """The purpose of the function that ends it for what came through the view."""
        return f"arrive_{self.number}"

    def waiting(self, row: Row) -> str:
        """Return the condition that a row of the table waits for its parent."""
        key, number = row.column(self.rule.target), row.column(self.keep)
        return f"{key} IS NULL AND {number} IS NOT NULL"

    @property
    def parent_key(self) -> str:
        """The key of the row `parent`."""
        return _PARENT.column(self.rule.parent.key)

    def parent_of(self, row: Row) -> str:
        """Return the condition that the row `parent` is the one that a row names by its number."""
        parent = self.rule.parent
        same = f"{_PARENT.column(parent.legacy)} = {row.column(self.keep)}"
        return f"{same}{parent.among(_PARENT)}"


def require_parents(mapping: Mapping) -> list[str]:
    """Return the statements that raise unless each parent can be found, and is there already."""
    return [
        f"SELECT compat.require_parent({regclass(mapping.legacy.schema, mapping.legacy.name)}, "
        f"{regclass(rule.parent.schema, rule.parent.name)}, "
        f"{literal(rule.parent.key)}, ARRAY[{', '.join(map(literal, rule.parent.columns))}])"
        for rule in mapping.rules
        if isinstance(rule, Lookup)
    ]


def require_no_children(mapping: Mapping) -> str:
    """Return the statement that raises where rows of other mappings find their parents here."""
    numbers = ", ".join(literal(lens.key_column) for lens in mapping.key)
    tag = "NULL" if mapping.tag is None else literal(str(mapping.tag.value))
    return (
        f"SELECT compat.require_no_children({literal(mapping.name)}, "
        f"{regclass(mapping.target.schema, mapping.target.name)}, ARRAY[{numbers}], {tag})"
    )


def create(mapping: Mapping) -> list[str]:
    """Return the statements that create the triggers, and their functions."""
    statements = [line for kept in _own(mapping) for line in _index_waiting(mapping, kept)]
    if mapping.chosen_form == "bridged":  # whose view is a plain one
        statements += attach_view(mapping, mapping.target.sql)
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
    for kept in _own(mapping):
        statements.append(_drop_index(mapping, kept))
        if mapping.chosen_form == "bridged":
            statements += [
                f"DROP TRIGGER {ident(_arrival(mapping, kept))} ON {kept.table.sql}",
                drop_function(mapping, kept.arrives),
            ]
    return statements


# -- rows that wait for their parents -------------------------------------------------------------


def define_sync(mapping: Mapping) -> list[str]:
    """Return the statements that define what `attach_sync` calls."""
    return [
        line
        for kept in _own(mapping)
        for line in trigger_function(mapping, kept.syncs, _settle(mapping, kept), mapping.legacy)
    ]


def attach_sync(mapping: Mapping) -> list[str]:
    """Return the statements by which children that the sync has brought get the keys of parents."""
    return [
        f"CREATE TRIGGER {ident(name)} AFTER {event}\nON {mapping.legacy.sql} "
        f"REFERENCING NEW TABLE AS {_INSERTED.name}\nFOR EACH STATEMENT "
        f"EXECUTE FUNCTION {mapping.function(kept.syncs)}()"
        for kept in _own(mapping)
        for name, event in _sync_triggers(mapping, kept)
    ]


def detach_sync(mapping: Mapping) -> list[str]:
    """Return the statements that undo `attach_sync`."""
    return [
        f"DROP TRIGGER {ident(name)} ON {mapping.legacy.sql}"
        for kept in _own(mapping)
        for name, _ in _sync_triggers(mapping, kept)
    ]


def drop_sync(mapping: Mapping) -> list[str]:
    """Return the statements that undo `define_sync`."""
    return [drop_function(mapping, kept.syncs) for kept in _own(mapping)]


def attach_view(mapping: Mapping, view: str) -> list[str]:
    """Return the statements by which a statement on the view ends with all parents found.

    :param view: the quoted name of the view
    """
    statements = []
    for kept in _own(mapping):
        statements += trigger_function(
            mapping, kept.arrives, _arrive(mapping, kept), mapping.legacy
        )
        statements.append(
            f"CREATE TRIGGER {ident(_arrival(mapping, kept))} AFTER INSERT OR UPDATE\n"
            f"ON {view} FOR EACH STATEMENT EXECUTE FUNCTION {mapping.function(kept.arrives)}()"
        )
    return statements


def drop_view(mapping: Mapping) -> list[str]:
    """Return the statements that drop the functions of `attach_view`, when the view is gone."""
    return [drop_function(mapping, kept.arrives) for kept in _own(mapping)]


def settle(mapping: Mapping) -> list[str]:
    """Return the statements that give keys to children whose parents have come.

    Those that somebody is writing are passed by: waiting for one while holding others could end in
    a deadlock.
    """
    return [_settle_all(mapping, kept, " SKIP LOCKED") for kept in _own(mapping)]


def require_settled(mapping: Mapping) -> list[str]:
    """Return the statements that do so, and raise where a parent is not there.

    To be run when nobody writes to the legacy table.
    """
    return [
        line
        for kept in _own(mapping)
        for line in (
            _settle_all(mapping, kept, ""),
            f"SELECT compat.require_settled_references("
            f"{regclass(kept.table.schema, kept.table.name)}, "
            f"{literal(kept.rule.target)}, {literal(kept.keep)})",
        )
    ]


def indexes(mapping: Mapping) -> list[str]:
    """Return the names of the indexes of rows that wait, in the target's schema."""
    return [_index_name(mapping, kept) for kept in _own(mapping)]


def _own(mapping: Mapping) -> list[_Kept]:
    """Return the lookups whose parents are rows of the same mapping."""
    return [kept for kept in _kept(mapping) if kept.rule.is_own(kept.lens.ends)]


def _index_waiting(mapping: Mapping, kept: _Kept) -> list[str]:
    """Return the statements that create an index of the rows that wait, which is nearly empty.

    With a comment: `compat copy` leaves such indexes alone.
    """
    table = kept.table
    index = _index_name(mapping, kept)
    return [
        f"CREATE INDEX {ident(index)} ON {table.sql} ({ident(kept.keep)})\n"
        f"WHERE {ident(kept.rule.target)} IS NULL AND {ident(kept.keep)} IS NOT NULL",
        f"COMMENT ON INDEX {qualified(table.schema, index)} IS 'rows that wait for their parents'",
    ]


def _drop_index(mapping: Mapping, kept: _Kept) -> str:
    return f"DROP INDEX {qualified(kept.table.schema, _index_name(mapping, kept))}"


def _index_name(mapping: Mapping, kept: _Kept) -> str:
    return derive(f"zz_compat_{mapping.name}", f"__waiting_{kept.number}")


def _arrival(mapping: Mapping, kept: _Kept) -> str:
    """Return the name of the trigger for the end of a statement; a table may have others'."""
    name = f"compat_{kept.arrives}"
    return name if mapping.chosen_form == "instead_of" else derive(f"{name}_{mapping.name}", "")


def _sync_triggers(mapping: Mapping, kept: _Kept) -> list[tuple[str, str]]:
    """Return name and event of the triggers on the legacy table, which fire after the sync's."""
    first = f"01_compat_{mapping.name}"
    return [
        (derive(first, f"__{kept.syncs}_{event.lower()}"), event) for event in ("INSERT", "UPDATE")
    ]


def _settle(mapping: Mapping, kept: _Kept) -> str:
    """Return the body for a statement on the legacy table.

    The parent may not have been copied yet. That it is in the legacy table is for a foreign key
    there to say; where there is none, who is nowhere is refused.
    """
    refuse = ""
    if foreign_key(mapping.legacy, kept.rule.legacy) is None:
        missing = kept.rule.missing(_INSERTED.column(kept.rule.legacy), kept.lens.ends)
        orphaned = kept.rule.refused(_INSERTED, kept.lens.ends)
        refuse = f"\n    PERFORM {missing}\n    FROM {_INSERTED.name} WHERE {orphaned};"
    return f"""BEGIN
    UPDATE {kept.table.sql} AS t SET {ident(kept.rule.target)} = {kept.parent_key}
    FROM {_INSERTED.name}, {kept.rule.parent.sql} AS parent
    WHERE {same_target_row(mapping, _INSERTED)}
    AND {kept.waiting(TARGET)} AND {kept.parent_of(TARGET)};{refuse}
    RETURN NULL;
END"""


def _arrive(mapping: Mapping, kept: _Kept) -> str:
    """Return the body for a statement on the view, also on one that is not in use yet.

    Only the rows of this transaction: others may still have to wait, and whoever writes one of them
    may wait for us.
    """
    own = "compat.is_own_change(t.xmin)"
    number = TARGET.column(kept.keep)
    parents = f"{kept.rule.parent.sql} AS parent WHERE {kept.parent_of(TARGET)}"
    return f"""DECLARE
    missing record;
BEGIN
    IF pg_catalog.to_regclass({literal(mapping.retired)}) IS NULL
    AND (pg_catalog.pg_trigger_depth() > 1
         OR pg_catalog.current_setting('compat.early_writes', true) = 'on') THEN
        RETURN NULL;  -- the sync, or the copy, which see to it themselves
    END IF;
    LOOP
        SELECT {number} AS number, EXISTS (SELECT FROM {parents}) AS present
        INTO missing
        FROM {kept.table.sql} AS t
        WHERE {kept.waiting(TARGET)} AND {own} ORDER BY 2 LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF NOT missing.present THEN
            PERFORM {kept.rule.missing("missing.number", kept.lens.ends)};
        END IF;
        UPDATE {kept.table.sql} AS t SET {ident(kept.rule.target)} = {kept.parent_key}
        FROM {kept.rule.parent.sql} AS parent
        WHERE {kept.waiting(TARGET)} AND {own}
        AND {kept.parent_of(TARGET)};
    END LOOP;
    RETURN NULL;
END"""


def _settle_all(mapping: Mapping, kept: _Kept, locked: str) -> str:
    keys = [TARGET.column(name) for name in mapping.target_key]
    due = [f"due.{ident(name)}" for name in mapping.target_key]
    same = " AND ".join(f"{mine} = {other}" for mine, other in zip(keys, due, strict=True))
    return (
        f"WITH due AS MATERIALIZED (\n"
        f"    SELECT {', '.join(keys)}, {kept.parent_key} AS parent_key\n"
        f"    FROM {kept.table.sql} AS t JOIN {kept.rule.parent.sql} AS parent\n"
        f"    ON {kept.parent_of(TARGET)}\n"
        f"    WHERE {kept.waiting(TARGET)} FOR NO KEY UPDATE OF t{locked}\n"
        f")\nUPDATE {kept.table.sql} AS t SET {ident(kept.rule.target)} = due.parent_key\n"
        f"FROM due WHERE {same}"
    )


def _kept(mapping: Mapping) -> list[_Kept]:
    found = [
        (lens, lens.rule, lens.rule.keep)
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
    parent = referenced(known)
    name = mapping.legacy.name
    message = (
        f'update or delete on table "{parent.name}" violates foreign key constraint "{known.name}" '
        f'on table "{name}"'
    )
    before, after = (
        f"Key ({', '.join(parent.columns)})=(",
        f') is still referenced from table "{name}".',
    )
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
