"""What the INSTEAD OF triggers of the compatibility view do: their bodies in PL/pgSQL.

INSTEAD OF triggers alone lose updates under READ COMMITTED: the view's row is read without a lock.
The UPDATE and DELETE here re-check that the row still is what the client's statement saw.
"""

from __future__ import annotations

from compat.compile.functions import (
    TARGET,
    assignments_of_update,
    columns_and_values,
    same_target_row,
)
from compat.mapping import Mapping
from compat.names import literal
from compat.rules import NEW, OLD, Constant, Expression


def _insert_body(mapping: Mapping) -> str:
    columns, values = columns_and_values(mapping.writes(NEW))
    return "\n".join(
        [
            "BEGIN",
            *refuse_nulls(mapping),
            *refuse_read_only(mapping, "insert"),
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
            *refuse_nulls(mapping),
            *refuse_read_only(mapping, "update"),
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
    return [
        f"    PERFORM FROM {mapping.target.sql} AS t",
        f"    WHERE {same_target_row(mapping, OLD)} AND NOT compat.is_own_change(t.xmin);",
        "    IF NOT FOUND THEN",
        "        RETURN NULL;",
        "    END IF;",
        *could_not_serialize(mapping, 4),
    ]


def could_not_serialize(mapping: Mapping, indentation: int) -> list[str]:
    """Return the error that tells a client to try again."""
    legacy, pad = mapping.legacy, " " * indentation
    message = f'could not serialize access to "{legacy.name}" due to concurrent update'
    return [
        f"{pad}RAISE EXCEPTION USING ERRCODE = 'serialization_failure',",
        f"{pad}    MESSAGE = {literal(message)},",
        f"{pad}    HINT = 'The row was changed after the statement read it; retry the transaction.',",
        f"{pad}    SCHEMA = {literal(legacy.schema)}, TABLE = {literal(legacy.name)};",
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


def refuse_nulls(mapping: Mapping) -> list[str]:
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


def refuse_read_only(mapping: Mapping, operation: str) -> list[str]:
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
