"""The compatibility view: its query, its defaults, its INSTEAD OF triggers, its looks.

INSTEAD OF triggers alone lose updates under READ COMMITTED: the view's row is read without a lock.
The UPDATE and DELETE here re-check that the row still is what the client's statement saw.
"""

from __future__ import annotations

from compat.compile.functions import (
    TARGET,
    assignments_of_update,
    columns_and_values,
    drop_function,
    same_target_row,
    trigger_function,
)
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass
from compat.rules import NEW, OLD, Constant, Expression
from compat.tables import Table

OPERATIONS = ("insert", "update", "delete")


def select(mapping: Mapping) -> str:
    """Return the query of the view: every legacy column, in order, from the target."""
    columns = ",\n    ".join(
        f"{sql} AS {ident(name)}" for name, sql in mapping.reads(TARGET).items()
    )
    return f"SELECT\n    {columns}\nFROM {mapping.target.sql} AS {TARGET.name}"


def create_view(mapping: Mapping, name: str | None = None) -> list[str]:
    """Return the statements that create the view and what belongs to it.

    :param name: the name of the view in the legacy table's schema; the standby name by default
    """
    view = qualified(mapping.legacy.schema, name or mapping.standby_name)
    statements = [f"CREATE VIEW {view} AS\n{select(mapping)}"]
    statements += [
        f"ALTER VIEW {view} ALTER COLUMN {ident(column)} SET DEFAULT {default}"
        for column, default in _defaults(mapping).items()
    ]
    if mapping.chosen_form == "instead_of":
        for operation in OPERATIONS:
            statements += trigger_function(
                mapping, operation, BODIES[operation](mapping), mapping.legacy
            )
            trigger = ident(f"compat_{operation}")
            statements.append(
                f"CREATE TRIGGER {trigger} INSTEAD OF {operation.upper()} ON {view}\n"
                f"FOR EACH ROW EXECUTE FUNCTION {mapping.function(operation)}()"
            )
    return statements


def wear_looks_of(view_schema: str, view_name: str, source: Table) -> str:
    """Return the statement that gives a view the owner, grants and comments of a table."""
    return (
        f"SELECT compat.wear({regclass(view_schema, view_name)}, "
        f"compat.looks_of({regclass(source.schema, source.name)}))"
    )


def drop_view(mapping: Mapping, name: str | None = None) -> list[str]:
    """Return the statements that drop the view and its trigger functions."""
    view = qualified(mapping.legacy.schema, name or mapping.standby_name)
    statements = [f"DROP VIEW {view}"]
    if mapping.chosen_form == "instead_of":
        statements += [drop_function(mapping, operation) for operation in OPERATIONS]
    return statements


def _defaults(mapping: Mapping) -> dict[str, str]:
    """Return the defaults of the view's columns as SQL."""
    defaults = {}
    for lens in mapping.lenses:
        column = lens.legacy
        if isinstance(lens.rule, Constant):
            if mapping.chosen_form == "updatable":
                continue  # a default counts as a write, which such a column refuses
            defaults[column.name] = lens.read(TARGET)
        elif isinstance(lens.rule, Expression) and lens.rule.is_read_only:
            continue  # whatever stands in NEW then was given by the client, and is refused
        elif column.default is not None:
            defaults[column.name] = column.default
    return defaults


def _insert_body(mapping: Mapping) -> str:
    columns, values = columns_and_values(mapping.writes(NEW))
    return "\n".join(
        [
            "BEGIN",
            *_refuse_nulls(mapping),
            *_refuse_read_only(mapping, "insert"),
            f"    INSERT INTO {mapping.target.sql} AS t ({columns})",
            f"    VALUES ({values}){_returning(mapping)};",
            "    RETURN NEW;",
            "END",
        ]
    )


def _update_body(mapping: Mapping) -> str:
    return "\n".join(
        [
            "BEGIN",
            *_refuse_nulls(mapping),
            *_refuse_read_only(mapping, "update"),
            *_updates(mapping),
            "    IF FOUND THEN",
            "        RETURN NEW;",
            "    END IF;",
            *_missed(mapping),
            "END",
        ]
    )


def _updates(mapping: Mapping) -> list[str]:
    """Return the UPDATE of the target row; a short one where nothing converted has changed.

    Most updates change plainly renamed columns only (`SET qty = …`); deciding once for the row is
    cheaper than once for each converted column.
    """
    converting = [lens for lens in mapping.lenses if lens.converts and lens.targets]
    if not converting or not any(not lens.converts for lens in mapping.lenses):
        return _update(mapping, converted=True)
    changed = "\n    OR ".join(lens.changed(NEW, OLD) for lens in converting)
    return [
        f"    IF {changed} THEN",
        *_update(mapping, converted=True),
        "    ELSE",
        *_update(mapping, converted=False),
        "    END IF;",
    ]


def _update(mapping: Mapping, *, converted: bool) -> list[str]:
    return [
        f"    UPDATE {mapping.target.sql} AS t SET",
        f"        {assignments_of_update(mapping, converted=converted)}",
        f"    WHERE {same_target_row(mapping, OLD)}",
        f"      AND {_guard(mapping)}{_returning(mapping)};",
    ]


def _delete_body(mapping: Mapping) -> str:
    return "\n".join(
        [
            "BEGIN",
            f"    DELETE FROM {mapping.target.sql} AS t",
            f"    WHERE {same_target_row(mapping, OLD)}",
            f"      AND {_guard(mapping)};",
            "    IF FOUND THEN",
            "        RETURN OLD;",
            "    END IF;",
            *_missed(mapping),
            "END",
        ]
    )


BODIES = {"insert": _insert_body, "update": _update_body, "delete": _delete_body}


def _guard(mapping: Mapping) -> str:
    """Return the condition that the row still shows what the client's statement saw of it.

    Compared as stored images: exact for every type, also for those without equality.
    """
    reads = ", ".join(mapping.reads(TARGET).values())
    # Not OLD alone: a target column may be called so.
    return f"ROW({reads})::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record"


def _missed(mapping: Mapping) -> list[str]:
    """Return the cold path of UPDATE and DELETE: why was there no row to write?

    Gone, or changed earlier by the same transaction (the same command met it twice): a table
    would not count the row. Changed by another transaction: a table would evaluate the command
    again for that row, which no trigger can; so the client is told to.
    """
    legacy = mapping.legacy
    message = f'could not serialize access to "{legacy.name}" due to concurrent update'
    return [
        f"    PERFORM FROM {mapping.target.sql} AS t",
        f"    WHERE {same_target_row(mapping, OLD)} AND NOT compat.is_own_change(t.xmin);",
        "    IF NOT FOUND THEN",
        "        RETURN NULL;",
        "    END IF;",
        "    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',",
        f"        MESSAGE = {literal(message)},",
        "        HINT = 'The row was changed after the statement read it; retry the transaction.',",
        f"        SCHEMA = {literal(legacy.schema)}, TABLE = {literal(legacy.name)};",
    ]


def _returning(mapping: Mapping) -> str:
    """Return the RETURNING clause that puts into NEW what was stored.

    Where a rule is lossless, that is what NEW already holds (PutGet), unless a trigger of the
    target's own may have changed it.
    """
    lenses = [
        lens for lens in mapping.lenses if mapping.target.triggers or not lens.reads_back_exactly
    ]
    if not lenses:
        return ""
    reads = ", ".join(lens.read(TARGET) for lens in lenses)
    into = ", ".join(NEW.column(lens.legacy.name) for lens in lenses)
    return f"\n    RETURNING {reads}\n    INTO {into}"


def _refuse_nulls(mapping: Mapping) -> list[str]:
    """Return the check of the legacy NOT NULL columns, reported as the table reported it."""
    required = [
        lens.legacy.name
        for lens in mapping.lenses
        if not lens.legacy.nullable and not isinstance(lens.rule, Constant | Expression)
    ]
    if not required:
        return []
    columns = ", ".join(NEW.column(name) for name in required)
    which = " ".join(f"WHEN {NEW.column(name)} IS NULL THEN {literal(name)}" for name in required)
    relation = literal(mapping.legacy.name)
    return [
        f"    IF pg_catalog.num_nulls({columns}) > 0 THEN",
        "        RAISE EXCEPTION USING ERRCODE = 'not_null_violation',",
        '            MESSAGE = pg_catalog.format(\'null value in column "%s" of relation "%s" \'',
        "                'violates not-null constraint',",
        f"                CASE {which} END, {relation}),",
        f"            COLUMN = CASE {which} END,",
        f"            SCHEMA = {literal(mapping.legacy.schema)}, TABLE = {relation};",
        "    END IF;",
    ]


def _refuse_read_only(mapping: Mapping, operation: str) -> list[str]:
    lines = []
    for lens in mapping.lenses:
        if not (isinstance(lens.rule, Expression) and lens.rule.is_read_only):
            continue
        new, name = NEW.column(lens.legacy.name), lens.legacy.name
        given = f"{new} IS NOT NULL" if operation == "insert" else lens.changed(NEW, OLD)
        message = (
            f'cannot insert a non-DEFAULT value into column "{name}"'
            if operation == "insert"
            else f'column "{name}" can only be updated to DEFAULT'
        )
        lines += [
            f"    IF {given} THEN",
            "        RAISE EXCEPTION USING ERRCODE = 'generated_always',",
            f"            MESSAGE = {literal(message)}, COLUMN = {literal(name)};",
            "    END IF;",
        ]
    return lines
