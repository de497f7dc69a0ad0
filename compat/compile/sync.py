"""Sync triggers: what one side accepts, the other receives in the same transaction.

Forward (legacy → target) while rows are copied, reverse (target → retired legacy) after cutover;
never both at once, so that nothing echoes.
"""

from __future__ import annotations

from compat import sqltypes
from compat.compile.functions import (
    assignments_of_update,
    columns_and_values,
    drop_function,
    same_target_row,
    trigger_function,
)
from compat.mapping import Mapping
from compat.names import ident, idents
from compat.rules import NEW, OLD, Constant, Lens, Row

# Triggers of one event fire in the order of their names. Ours must be the first: a later trigger
# that changes the row again would otherwise be overtaken by our older NEW.
_PREFIX = "00_compat"
_RETIRED = Row("r")

EARLY_WRITES = f"{_PREFIX}_early_writes"
"""The trigger on the target that refuses whatever is neither sync nor copy, before cutover."""


def create_forward(mapping: Mapping) -> list[str]:
    """Return the statements that make the legacy table's writes reach the target."""
    return [
        *trigger_function(mapping, "sync", _forward_body(mapping), mapping.legacy),
        *attach_forward(mapping),
    ]


def attach_forward(mapping: Mapping) -> list[str]:
    """Return the statements that put the existing function on the legacy table again."""
    return [*_triggers(mapping, "sync", mapping.legacy.sql), _refuse_early_writes(mapping)]


def detach_forward(mapping: Mapping) -> list[str]:
    """Return the statements that take the triggers off the legacy table, the function stays."""
    return [
        *_drop_triggers(mapping.legacy.sql, "sync"),
        f"DROP TRIGGER {ident(EARLY_WRITES)} ON {mapping.target.sql}",
    ]


def drop_forward(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create_forward`."""
    return [*detach_forward(mapping), drop_function(mapping, "sync")]


def define_reverse(mapping: Mapping) -> list[str]:
    """Return the statements that define the reverse function, attached to nothing yet."""
    return trigger_function(mapping, "reverse", _reverse_body(mapping), mapping.legacy)


def attach_reverse(mapping: Mapping) -> list[str]:
    """Return the statements that make the target's writes reach the retired legacy table."""
    return _triggers(mapping, "reverse", mapping.target.sql)


def detach_reverse(mapping: Mapping) -> list[str]:
    """Return the statements that take the reverse triggers off the target."""
    return _drop_triggers(mapping.target.sql, "reverse")


def drop_reverse_function(mapping: Mapping) -> str:
    """Return the statement that drops the reverse function."""
    return drop_function(mapping, "reverse")


def _triggers(mapping: Mapping, purpose: str, table: str) -> list[str]:
    function = mapping.function(purpose)
    return [
        f"CREATE TRIGGER {ident(f'{_PREFIX}_{purpose}')} AFTER INSERT OR UPDATE OR DELETE\n"
        f"ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()",
        f"CREATE TRIGGER {ident(f'{_PREFIX}_{purpose}_truncate')} AFTER TRUNCATE\n"
        f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    ]


def _refuse_early_writes(mapping: Mapping) -> str:
    # What triggers write (ours, or the cascades of foreign keys) has a depth; the copy says so.
    return (
        f"CREATE TRIGGER {ident(EARLY_WRITES)} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE\n"
        f"ON {mapping.target.sql} FOR EACH STATEMENT\n"
        "WHEN (pg_catalog.pg_trigger_depth() = 0\n"
        "      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')\n"
        "EXECUTE FUNCTION compat.refuse_early_write()"
    )


def _drop_triggers(table: str, purpose: str) -> list[str]:
    return [
        f"DROP TRIGGER {ident(f'{_PREFIX}_{purpose}{suffix}')} ON {table}"
        for suffix in ("", "_truncate")
    ]


def _forward_body(mapping: Mapping) -> str:
    written = mapping.writes(NEW)
    columns, values = columns_and_values(written)
    return _body(
        insert=[
            f"INSERT INTO {mapping.target.sql} AS t ({columns})",
            f"VALUES ({values})",
            _on_conflict(mapping.target_key, tuple(written)),
        ],
        update=[
            f"UPDATE {mapping.target.sql} AS t SET",
            f"    {assignments_of_update(mapping)}",
            f"WHERE {same_target_row(mapping, OLD)};",
        ],
        delete=[f"DELETE FROM {mapping.target.sql} AS t WHERE {same_target_row(mapping, OLD)};"],
        truncate=[f"DELETE FROM {mapping.target.sql};"],
    )


def _reverse_body(mapping: Mapping) -> str:
    stored = [lens for lens in mapping.lenses if lens.legacy.generated is None]
    values = {lens.legacy.name: lens.read(NEW) for lens in stored}
    columns = idents(tuple(values))
    same_row = " AND ".join(
        f"{_RETIRED.column(lens.legacy.name)} = {lens.read(OLD)}" for lens in mapping.key
    )
    updated = ",\n    ".join(_reverse_assignment(lens) for lens in stored if _follows(lens))
    values_sql = ",\n    ".join(values.values())
    return _body(
        insert=[
            f"INSERT INTO {mapping.retired} AS r ({columns}) OVERRIDING SYSTEM VALUE",
            f"VALUES ({values_sql})",
            _on_conflict(
                mapping.legacy.row_key, tuple(lens.legacy.name for lens in stored if _follows(lens))
            ),
        ],
        update=[f"UPDATE {mapping.retired} AS r SET", f"    {updated}", f"WHERE {same_row};"],
        delete=[f"DELETE FROM {mapping.retired} AS r WHERE {same_row};"],
        truncate=[f"DELETE FROM {mapping.retired};"],
    )


def _follows(lens: Lens) -> bool:
    """True unless the target knows nothing of the column: then the retired value stays."""
    return not isinstance(lens.rule, Constant)


def _reverse_assignment(lens: Lens) -> str:
    name, value = lens.legacy.name, lens.read(NEW)
    if lens.converts:
        # What v2 did not change keeps its legacy spelling, also where the rule would lose it.
        column = lens.legacy
        changed = sqltypes.differs(value, lens.read(OLD), column.type, column.collation)
        value = f"CASE WHEN {changed} THEN {value} ELSE {_RETIRED.column(name)} END"
    return f"{ident(name)} = {value}"


def _on_conflict(key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    assigned = ", ".join(f"{ident(name)} = EXCLUDED.{ident(name)}" for name in columns)
    return f"ON CONFLICT ({idents(key)}) DO UPDATE SET {assigned};"


def _body(insert: list[str], update: list[str], delete: list[str], truncate: list[str]) -> str:
    def block(lines: list[str]) -> str:
        return "\n".join("        " + line for line in lines)

    return "\n".join(
        [
            "BEGIN",
            "    IF TG_OP = 'UPDATE' THEN",
            block(update),
            "        IF NOT FOUND THEN",
            block(insert),
            "        END IF;",
            "    ELSIF TG_OP = 'INSERT' THEN",
            block(insert),
            "    ELSIF TG_OP = 'DELETE' THEN",
            block(delete),
            "    ELSE",
            block(truncate),
            "    END IF;",
            "    RETURN NULL;",
            "END",
        ]
    )
