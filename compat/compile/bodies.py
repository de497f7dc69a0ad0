"""What the INSTEAD OF triggers of the compatibility view do: their bodies in PL/pgSQL.

INSTEAD OF triggers alone lose updates under READ COMMITTED: the view's row is read without a lock.
The UPDATE and DELETE here re-check that the row still is what the client's statement saw.
"""

from __future__ import annotations

from collections.abc import Sequence

from compat.compile import errors
from compat.compile.functions import (
    TARGET,
    any_changed,
    assignments_of_update,
    indented,
    same_target_row,
)
from compat.mapping import Mapping
from compat.names import literal
from compat.rules import NEW, OLD, Expression, Lens, Row


def _insert_body(mapping: Mapping) -> str:
    """Return the body that writes a row; a second time only when the first look was not enough."""
    read_back = returning(mapping)
    # RETURNING … INTO NEW sets it to NULL when there is no row.
    given = "given" * bool(read_back)
    insert = errors.insert(mapping, mapping.places[0], mapping.writes(NEW), read_back, given)
    return "\n".join(
        [
            "DECLARE",
            "    doubtful boolean := false;",
            *["    given CONSTANT record := NEW;"] * bool(given),
            "BEGIN",
            *errors.refuse_nulls(mapping),
            *refuse_read_only(mapping, "insert"),
            *errors.refuse_checks(mapping),
            *errors.doubts(mapping),
            *insert,
            "    IF FOUND THEN",
            "        RETURN NEW;",
            "    END IF;",
            "    RETURN NULL;",  # a trigger of the target's own has left it out
            "END",
        ]
    )


def _update_body(mapping: Mapping) -> str:
    return "\n".join(
        [
            "BEGIN",
            *errors.refuse_nulls(mapping),
            *refuse_read_only(mapping, "update"),
            *errors.refuse_checks(mapping),
            *_updates(mapping),
            "    IF FOUND THEN",
            "        RETURN NEW;",
            "    END IF;",
            *_missed(mapping),
            "END",
        ]
    )


def _updates(mapping: Mapping) -> list[str]:
    """Return the UPDATE of the target row, as short as what has changed allows.

    Most updates change plainly renamed columns only (`SET qty = …`); deciding once for the row is
    cheaper than once for each converted column. What keys compare with other rows may be refused,
    so that is written where errors are translated, and not at all elsewhere.
    """
    keys = errors.key_lenses(mapping)
    others = [lens for lens in mapping.lenses if lens.targets and lens not in keys]
    converting = [lens for lens in others if lens.converts]
    renamed = [lens for lens in others if not lens.converts]
    lines = [
        f"    IF {any_changed(keys)} THEN",
        *errors.translated(mapping, _update(mapping, mapping.lenses), NEW),
    ]
    if converting and renamed:
        lines += [f"    ELSIF {any_changed(converting)} THEN", *_update(mapping, others)]
        others = renamed
    return [*lines, "    ELSE", *_update(mapping, others or keys), "    END IF;"]


def _update(mapping: Mapping, lenses: Sequence[Lens]) -> list[str]:
    return [
        f"    UPDATE {mapping.target.sql} AS t SET",
        f"        {assignments_of_update(mapping, lenses)}",
        f"    WHERE {same_target_row(mapping, OLD)}",
        f"      AND {guard(mapping)}{returning(mapping)};",
    ]


def _delete_body(mapping: Mapping) -> str:
    delete = [
        f"    DELETE FROM {mapping.target.sql} AS t",
        f"    WHERE {same_target_row(mapping, OLD)}",
        f"      AND {guard(mapping)};",
    ]
    return "\n".join(
        [
            "BEGIN",
            f"    IF {errors.is_referenced(mapping, OLD)} THEN",
            *errors.translated(mapping, delete, OLD),
            "    ELSE",
            *delete,
            "    END IF;",
            "    IF FOUND THEN",
            "        RETURN OLD;",
            "    END IF;",
            *_missed(mapping),
            "END",
        ]
    )


BODIES = {"insert": _insert_body, "update": _update_body, "delete": _delete_body}


def guard(mapping: Mapping, row: Row = TARGET) -> str:
    """Return the condition that the row still shows what the client's statement saw of it.

    Compared as stored images: exact for every type, also for those without equality.

    :param row: the row of the target, as it is now
    """
    reads = ", ".join(mapping.reads(row).values())
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
    hint = "The row was changed after the statement read it; retry the transaction."
    return [
        f"{pad}RAISE EXCEPTION USING ERRCODE = 'serialization_failure',",
        f"{pad}    MESSAGE = {literal(message)},",
        f"{pad}    HINT = {literal(hint)},",
        f"{pad}    SCHEMA = {literal(legacy.schema)}, TABLE = {literal(legacy.name)};",
    ]


def to_read_back(mapping: Mapping) -> list[Lens]:
    """Return the lenses whose value in NEW may not be what was stored.

    Where a rule is lossless it is (PutGet), unless a trigger of a table's own may have changed it.
    """
    has_triggers = any(table.triggers for table in mapping.tables)
    return [lens for lens in mapping.lenses if has_triggers or not lens.reads_back_exactly]


def returning(mapping: Mapping, indentation: int = 4) -> str:
    """Return the RETURNING clause that puts into NEW what was stored, if that may differ."""
    lenses = to_read_back(mapping)
    if not lenses:
        return ""
    reads = ", ".join(lens.read(TARGET) for lens in lenses)
    into = ", ".join(NEW.column(lens.legacy.name) for lens in lenses)
    lines = indented([f"RETURNING {reads}", f"INTO {into}"], indentation)
    return "".join(f"\n{line}" for line in lines)


def refuse_read_only(mapping: Mapping, operation: str) -> list[str]:
    """Return the check that nothing is given for columns that are read only, as if GENERATED."""
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
