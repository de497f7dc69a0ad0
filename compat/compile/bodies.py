"""What the INSTEAD OF triggers of the compatibility view do: their bodies in PL/pgSQL.

INSTEAD OF triggers alone lose updates under READ COMMITTED: the view's row is read without a lock.
The UPDATE and DELETE here re-check that the row still is what the client's statement saw: by its
age (compat.compile.horizon), or by what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from types import MappingProxyType

from compat.bridge import in_transition
from compat.compile import errors, horizon, variables
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
    carried = in_transition(mapping)  # between a table that carries a bridge and its view
    read_back = returning(carried)
    (target, *_) = mapping.places
    computed = variables.of_insert(carried)
    written = carried.writes(NEW) | computed.columns
    if errors.on_conflict(target.table):
        doubts = []
        insert = errors.insert_looking(mapping, written, read_back, _GIVEN * bool(read_back))
    else:
        doubts = errors.doubts(mapping)
        insert = errors.insert(mapping, target, written, read_back, _GIVEN * bool(read_back))
    declarations = [
        *["    doubtful boolean := false;"] * (not errors.on_conflict(target.table)),
        *_given(read_back),
    ]
    return "\n".join(
        [
            *_declared(declarations),
            "BEGIN",
            *errors.refuse_nulls(mapping),
            *refuse_read_only(mapping, "insert"),
            *errors.refuse_checks(mapping),
            *doubts,
            *computed.around(insert),
            "    IF FOUND THEN",
            "        RETURN NEW;",
            "    END IF;",
            "    RETURN NULL;",  # a trigger of the target's own has left it out
            "END",
        ]
    )


def _update_body(mapping: Mapping) -> str:
    read_back = returning(mapping)
    declarations = [*horizon.declaration(mapping), *_given(read_back * horizon.tells(mapping))]
    return "\n".join(
        [
            *_declared(declarations),
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
    others = [lens for lens in mapping.lenses if lens.targets and lens not in keys] or keys
    return [
        f"    IF {any_changed(keys)} THEN",
        *errors.translated(mapping, _update(mapping, mapping.lenses, guard(mapping)), NEW),
        "    ELSE",
        *indented(_update_without_keys(mapping, others)),
        "    END IF;",
    ]


def _update_without_keys(mapping: Mapping, lenses: Sequence[Lens]) -> list[str]:
    if not horizon.tells(mapping):
        return _update_of_changed(mapping, lenses, guard(mapping))
    again = [
        *[f"    NEW := {_GIVEN};"] * bool(to_read_back(mapping)),
        *_update(mapping, lenses, guard(mapping)),
    ]
    return horizon.by_age(lambda age: _update_of_changed(mapping, lenses, age), again)


def _update_of_changed(mapping: Mapping, lenses: Sequence[Lens], condition: str) -> list[str]:
    converting = [lens for lens in lenses if lens.converts]
    renamed = [lens for lens in lenses if not lens.converts]
    if not (converting and renamed):
        return _computed_update(mapping, lenses, condition)
    return [
        f"    IF {any_changed(converting)} THEN",
        *indented(_computed_update(mapping, lenses, condition)),
        "    ELSE",
        *indented(_update(mapping, renamed, condition)),
        "    END IF;",
    ]


def _computed_update(mapping: Mapping, lenses: Sequence[Lens], condition: str) -> list[str]:
    computed = variables.of_update(mapping, lenses)
    return computed.around(_update(mapping, lenses, condition, computed.columns))


def _update(
    mapping: Mapping,
    lenses: Sequence[Lens],
    condition: str,
    computed: Mapping_[str, str] = MappingProxyType({}),
) -> list[str]:
    return [
        f"    UPDATE {mapping.target.sql} AS t SET",
        f"        {assignments_of_update(mapping, lenses, computed)}",
        f"    WHERE {same_target_row(mapping, OLD)}",
        f"      AND {condition}{returning(mapping)};",
    ]


def _delete_body(mapping: Mapping) -> str:
    def delete(condition: str) -> list[str]:
        return [
            f"    DELETE FROM {mapping.target.sql} AS t",
            f"    WHERE {same_target_row(mapping, OLD)}",
            f"      AND {condition};",
        ]

    guarded = delete(guard(mapping))
    unreferenced = horizon.by_age(delete, guarded) if horizon.tells(mapping) else guarded
    return "\n".join(
        [
            *_declared(horizon.declaration(mapping)),
            "BEGIN",
            f"    IF {errors.is_referenced(mapping, OLD)} THEN",
            *errors.translated(mapping, guarded, OLD),
            "    ELSE",
            *indented(unreferenced),
            "    END IF;",
            "    IF FOUND THEN",
            "        RETURN OLD;",
            "    END IF;",
            *_missed(mapping),
            "END",
        ]
    )


def _declared(declarations: Sequence[str]) -> list[str]:
    return [f"<<{horizon.BLOCK}>>", "DECLARE", *declarations] if declarations else []


_GIVEN = "given"
"""NEW as it was: RETURNING … INTO NEW sets it to NULL when there is no row."""


def _given(read_back: str) -> list[str]:
    return [f"    {_GIVEN} CONSTANT record := NEW;"] * bool(read_back)


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
