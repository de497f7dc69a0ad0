"""Sync triggers: what one side accepts, the other receives in the same transaction.

Forward (legacy → target) while rows are copied, reverse (target → retired legacy) after cutover;
never both at once, so that nothing echoes. A trigger says which row was written; what the row holds
is read again: other triggers, or functions that the statement calls, may have changed it since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from compat import sqltypes
from compat.bridge import bridge_of, in_transition
from compat.compile import lookups, variables
from compat.compile.functions import (
    TARGET,
    assignments_of_update,
    drop_function,
    indented,
    same_target_row,
    trigger_function,
)
from compat.compile.shaped import sync as shaped
from compat.compile.source import parents, tagged
from compat.compile.variables import Variables
from compat.mapping import Mapping
from compat.names import derive, dollar_quote, ident, idents, literal, regclass
from compat.rules import NEW, OLD, Chain, Constant, Lens, Row
from compat.tables import Table

# Triggers of one event fire in the order of their names. Ours must be the first: what a later
# trigger writes elsewhere may need the row on the other side.
_PREFIX = "00_compat"
_RETIRED = Row("r")
_SOURCE = Row("s")
_INSERTED = Row("inserted")
_CURRENT = Row("n")

_Purpose = Literal["sync", "reverse"]

EARLY_WRITES, EARLY_TRUNCATE = f"{_PREFIX}_early_writes", f"{_PREFIX}_early_truncate"
"""The trigger on the target that refuses whatever is neither sync nor copy, before cutover."""


def create_forward(mapping: Mapping) -> list[str]:
    """Return the statements that make the legacy table's writes reach the target."""
    return [*define_forward(mapping), *attach_forward(mapping)]


def define_forward(mapping: Mapping) -> list[str]:
    """Return the statements that define the forward function, and attach it to nothing."""
    body = shaped.forward_body if mapping.syncs_through_view else _forward_body
    return [
        *trigger_function(mapping, "sync", body(mapping), mapping.legacy),
        *lookups.define_sync(mapping),
    ]


def attach_forward(mapping: Mapping) -> list[str]:
    """Return the statements that put the existing function on the legacy table again."""
    if mapping.syncs_through_view:
        attached = _row_triggers(mapping, "sync", mapping.legacy)
    else:
        receiver = regclass(mapping.target.schema, mapping.target.name)
        attached = _triggers(mapping, "sync", mapping.legacy, receiver)
    return [*attached, *lookups.attach_sync(mapping), *_refuse_early_writes(mapping)]


def detach_forward(mapping: Mapping) -> list[str]:
    """Return the statements that take the triggers off the legacy table, the function stays."""
    return [
        *_drop_triggers(mapping, "sync", mapping.legacy),
        *lookups.detach_sync(mapping),
        *[
            f"DROP TRIGGER {name} ON {table.sql}"
            for table in mapping.tables
            for name, _ in _early_guards(mapping, table)
        ],
    ]


def drop_forward(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create_forward`."""
    return [*detach_forward(mapping), *drop_forward_functions(mapping)]


def drop_forward_functions(mapping: Mapping) -> list[str]:
    """Return the statements that undo `define_forward`."""
    return [drop_function(mapping, "sync"), *lookups.drop_sync(mapping)]


def define_reverse(mapping: Mapping, toward: Mapping | None = None) -> list[str]:
    """Return the statements that define the reverse function, attached to nothing yet.

    :param toward: the mapping of the form `reversed` to which a switch is under way: the retired
        table carries its columns already
    """
    if mapping.syncs_through_view:
        body = shaped.reverse_body(mapping)
    else:
        body = _reverse_body(mapping, {} if toward is None else _carried(toward))
    return trigger_function(mapping, "reverse", body, mapping.legacy)


def attach_reverse(mapping: Mapping) -> list[str]:
    """Return the statements that make the target's writes reach the retired legacy table."""
    if mapping.syncs_through_view:
        return [
            statement
            for table, place in _placed(mapping)
            for statement in _row_triggers(mapping, "reverse", table, place)
        ]
    receiver = regclass(mapping.legacy.schema, mapping.retired_name)
    return _triggers(mapping, "reverse", mapping.target, receiver)


def detach_reverse(mapping: Mapping) -> list[str]:
    """Return the statements that take the reverse triggers off the target."""
    return [
        statement
        for table in mapping.tables
        for statement in _drop_triggers(mapping, "reverse", table)
    ]


def drop_reverse_function(mapping: Mapping) -> str:
    """Return the statement that drops the reverse function."""
    return drop_function(mapping, "reverse")


def _trigger_names(mapping: Mapping, purpose: _Purpose) -> tuple[str, ...]:
    """Return the names of the triggers for changes, for new rows, and for TRUNCATE."""
    suffixes = ("", "_truncate") if mapping.syncs_through_view else ("", "_insert", "_truncate")
    return tuple(_own(mapping, f"{_PREFIX}_{purpose}{suffix}") for suffix in suffixes)


def _own(mapping: Mapping, name: str) -> str:
    """Return the quoted name of a trigger of ours on a table that other mappings may share."""
    shared = mapping.syncs_through_view or mapping.through
    return ident(derive(f"{name}_{mapping.name}", "") if shared else name)


def _placed(mapping: Mapping) -> list[tuple[Table, str]]:
    """Return the tables with the argument by which the reverse function knows them."""
    places = [(place.table, str(n)) for n, place in enumerate(mapping.places)]
    return [*places, *((choice.table, "0") for choice in mapping.choices)]


def _row_triggers(
    mapping: Mapping, purpose: _Purpose, source: Table, argument: str | None = None
) -> list[str]:
    given = "" if argument is None else literal(argument)
    call = f"EXECUTE FUNCTION {mapping.function(purpose)}({given})"
    changes, truncates = _trigger_names(mapping, purpose)
    return [
        f"CREATE TRIGGER {changes} AFTER INSERT OR UPDATE OR DELETE\n"
        f"ON {source.sql} FOR EACH ROW {call}",
        f"CREATE TRIGGER {truncates} AFTER TRUNCATE\nON {source.sql} FOR EACH STATEMENT {call}",
    ]


def _triggers(mapping: Mapping, purpose: _Purpose, source: Table, receiver: str) -> list[str]:
    call = f"EXECUTE FUNCTION {mapping.function(purpose)}()"
    changes, inserts, truncates = _trigger_names(mapping, purpose)
    return [
        f"CREATE TRIGGER {changes} AFTER UPDATE OR DELETE\nON {source.sql} FOR EACH ROW {call}",
        _insert_trigger(inserts, source, receiver, call),
        f"CREATE TRIGGER {truncates} AFTER TRUNCATE\nON {source.sql} FOR EACH STATEMENT {call}",
    ]


def _insert_trigger(name: str, source: Table, receiver: str, call: str) -> str:
    """Return the statement that creates the INSERT trigger, once for a statement where it may be.

    Once for a statement is cheaper, but later: after everything else that the statement sets off.
    Where other tables reference the receiver, that would be too late for rows that a row trigger
    writes there. Rows that are inserted into a partition by its own name would not set it off.
    """
    relation = regclass(source.schema, source.name)
    body = f"""
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = {relation} AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = {receiver} AND contype = 'f') THEN
        CREATE TRIGGER {name} AFTER INSERT
        ON {source.sql} FOR EACH ROW {call};
    ELSE
        CREATE TRIGGER {name} AFTER INSERT
        ON {source.sql} REFERENCING NEW TABLE AS {_INSERTED.name}
        FOR EACH STATEMENT {call};
    END IF;
END
"""
    return f"DO {dollar_quote(body)}"


def _refuse_early_writes(mapping: Mapping) -> list[str]:
    return [
        f"CREATE TRIGGER {name} {definition}"
        for table in mapping.tables
        for name, definition in _early_guards(mapping, table)
    ]


def _early_guards(mapping: Mapping, table: Table) -> list[tuple[str, str]]:
    """Return name and definition of the triggers that keep others from writing to a table."""

    def refused(event: str, level: str = "STATEMENT", condition: str = "true") -> str:
        # What triggers write (ours, or the cascades of foreign keys) has a depth; the copy says so.
        also = "" if condition == "true" else f"\n      AND ({condition})"
        return (
            f"{event}\nON {table.sql} FOR EACH {level}\n"
            "WHEN (pg_catalog.pg_trigger_depth() = 0\n"
            "      AND pg_catalog.current_setting('compat.early_writes', true) "
            f"IS DISTINCT FROM 'on'{also})\n"
            f"EXECUTE FUNCTION compat.refuse_early_write({literal(mapping.legacy.sql)})"
        )

    writes, truncates = (_own(mapping, name) for name in (EARLY_WRITES, EARLY_TRUNCATE))
    parent = next((p for p in parents(mapping) if p.table == table), None)
    if parent is not None:
        # Others may add parents; but one that changes or goes would do so in legacy rows.
        read = dict.fromkeys(
            [*(mine for mine, _ in parent.on)]
            + [name for lens in mapping.lenses_of(parent) for name in lens.rule.reads]
        )
        guards = [(writes, refused(f"BEFORE UPDATE OF {idents(tuple(read))} OR DELETE"))]
    elif mapping.tag is not None and table == mapping.target:
        old, new = (tagged(mapping, row) or "true" for row in (OLD, NEW))
        events = {"insert": new, "update": f"{old} OR {new}", "delete": old}
        guards = [
            (
                _own(mapping, f"{EARLY_WRITES}_{event}"),
                refused(f"BEFORE {event.upper()}", "ROW", condition),
            )
            for event, condition in events.items()
        ]
    else:
        guards = [(writes, refused("BEFORE INSERT OR UPDATE OR DELETE"))]
    # After it, so that it is seen whether the same command has emptied the legacy table too.
    return [*guards, (truncates, refused("AFTER TRUNCATE"))]


def _drop_triggers(mapping: Mapping, purpose: _Purpose, table: Table) -> list[str]:
    return [f"DROP TRIGGER {name} ON {table.sql}" for name in _trigger_names(mapping, purpose)]


def _forward_body(mapping: Mapping) -> str:
    mapping = in_transition(mapping)
    written = mapping.writes(NEW)
    computed = variables.of_update(mapping, mapping.lenses)
    return _body(
        mapping.legacy,
        mapping.legacy.row_key,
        mapping.legacy.column_names,
        TARGET,
        into=f"INSERT INTO {mapping.target.sql} AS t ({idents(tuple(written))})",
        values=mapping.writes,
        on_conflict=_on_conflict(mapping.target_key, tuple(written)),
        computed=computed,
        update=[
            f"UPDATE {mapping.target.sql} AS t SET",
            f"    {assignments_of_update(mapping, computed=computed.columns)}",
        ],
        delete=f"DELETE FROM {mapping.target.sql} AS t",
        same_row=same_target_row(mapping, OLD),
    )


def _carried(toward: Mapping) -> dict[str, str | None]:
    """Return what a reversed mapping adds to the legacy table: the target column that each holds.

    None for the marker, which says that the row has both shapes.
    """
    bridge = bridge_of(toward)
    held = {own: name for name, own in bridge.held if own in bridge.extra_names}
    return {**held, bridge.marker.name: None}


def _reverse_body(mapping: Mapping, carried: dict[str, str | None]) -> str:
    mapping = in_transition(mapping)

    def beside(row: Row) -> dict[str, str]:
        return {own: "false" if name is None else row.column(name) for own, name in carried.items()}

    stored = [lens for lens in mapping.lenses if lens.legacy.generated is None]
    columns = (*(lens.legacy.name for lens in stored), *carried)
    read = (name for lens in mapping.lenses for name in lens.rule.reads)
    same_row = " AND ".join(
        f"{_RETIRED.column(lens.legacy.name)} = {lens.read(OLD)}" for lens in mapping.key
    )
    followed = [lens for lens in stored if _follows(lens)]
    computed = variables.of_reverse(followed, _RETIRED)
    updated = ",\n    ".join(
        [
            *(_reverse_assignment(lens, computed) for lens in followed),
            *(f"{ident(own)} = {value}" for own, value in beside(NEW).items()),
        ]
    )
    return _body(
        mapping.target,
        mapping.target_key,
        tuple(dict.fromkeys((*read, *(name for name in carried.values() if name is not None)))),
        _RETIRED,
        into=f"INSERT INTO {mapping.retired} AS r ({idents(columns)}) OVERRIDING SYSTEM VALUE",
        values=lambda row: {lens.legacy.name: lens.read(row) for lens in stored} | beside(row),
        on_conflict=_on_conflict(
            mapping.legacy.row_key,
            (*(lens.legacy.name for lens in followed), *carried),
        ),
        computed=computed,
        update=[f"UPDATE {mapping.retired} AS r SET", f"    {updated}"],
        delete=f"DELETE FROM {mapping.retired} AS r",
        same_row=same_row,
    )


def _follows(lens: Lens) -> bool:
    """True unless the target knows nothing of the column: then the retired value stays."""
    rule = lens.rule
    return not (isinstance(rule, Constant) or (isinstance(rule, Chain) and rule.is_constant))


def _reverse_assignment(lens: Lens, computed: Variables) -> str:
    name, value = lens.legacy.name, lens.read(NEW)
    if name in computed.columns:
        value = computed.columns[name]
    elif lens.converts:
        # What v2 did not change keeps its legacy spelling, also where the rule would lose it.
        column = lens.legacy
        changed = sqltypes.differs(value, lens.read(OLD), column.type, column.collation)
        value = f"CASE WHEN {changed} THEN {value} ELSE {_RETIRED.column(name)} END"
    return f"{ident(name)} = {value}"


def _on_conflict(key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    assigned = ", ".join(f"{ident(name)} = EXCLUDED.{ident(name)}" for name in columns)
    return f"ON CONFLICT ({idents(key)}) DO UPDATE SET {assigned}"


def _body(
    source: Table,
    key: tuple[str, ...],
    columns: tuple[str, ...],
    receiver: Row,
    *,
    into: str,
    values: Callable[[Row], dict[str, str]],
    on_conflict: str,
    computed: Variables,
    update: list[str],
    delete: str,
    same_row: str,
) -> str:
    """Return the body of a sync function.

    :param source: the table that the triggers are on, `key` its key, `columns` what is read of it
    :param receiver: the other table, by the alias that it has in what follows
    :param into: the head of an INSERT into it, and `values` what that takes from a row
    :param update: an UPDATE of it without WHERE, which may use `computed`, and `delete` a DELETE
    :param same_row: the condition that finds the row there that corresponds to OLD
    """

    def current(row: Row) -> str:
        # Of this transaction: an older snapshot (REPEATABLE READ) may show another row of that key,
        # which somebody has deleted since. Everything that it shows has an older xmin than ours.
        same_key = " AND ".join(f"{_SOURCE.column(name)} = {row.column(name)}" for name in key)
        ours = f"pg_catalog.age({_SOURCE.name}.xmin) <= 0"
        return f"FROM {source.sql} AS {_SOURCE.name} WHERE {same_key} AND {ours}"

    older = f"pg_catalog.age({receiver.name}.xmin) > 0"
    # By name: the columns of a partition may stand in another order than those of its table.
    read_again = [
        f"SELECT {', '.join(map(_SOURCE.column, columns))}",
        f"INTO {', '.join(map(NEW.column, columns))}",
        f"{current(NEW)};",
    ]
    # OFFSET 0: one look by the key for each row, in their order, however many the plan was made
    # for. PostgreSQL keeps the plan of the first statement, which may have inserted one row.
    inserted = [
        f"SELECT {_listed(values(_CURRENT))}",
        f"FROM (SELECT s.* FROM {_INSERTED.name} CROSS JOIN LATERAL (",
        f"    SELECT * {current(_INSERTED)} OFFSET 0",
        f") AS s) AS {_CURRENT.name}",
    ]
    return f"""BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        {delete};
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
{_block([into, *inserted, f"{on_conflict};"], 8)}
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
{_block(read_again, 8)}
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        {delete} WHERE {same_row} AND {older};
        IF NOT FOUND THEN
            {delete} WHERE {same_row}
            AND ({older}
                 OR NOT EXISTS (SELECT {current(OLD)}));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
{_block(computed.around(indented([*update, f"WHERE {same_row};"])), 4)}
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
{_block([into, f"VALUES ({_listed(values(NEW))})", f"{on_conflict};"], 4)}
    RETURN NULL;
END"""


def _listed(values: dict[str, str]) -> str:
    return ",\n        ".join(values.values())


def _block(lines: list[str], indentation: int) -> str:
    return "\n".join(indented(lines, indentation))
