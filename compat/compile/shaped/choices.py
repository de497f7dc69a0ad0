"""INSTEAD OF bodies for rows that are in one of several tables, by a condition over the legacy row.

A key is unique among all tables: who inserts one holds an advisory lock on it until the end of the
transaction, as nothing in PostgreSQL spans several tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from compat.compile import errors
from compat.compile.bodies import could_not_serialize, guard, refuse_read_only, returning
from compat.compile.functions import (
    TARGET,
    any_changed,
    assignments_of_update,
    indented,
    same_target_row,
)
from compat.compile.shaped.stale import leave_if_changed
from compat.compile.source import source
from compat.mapping import Mapping
from compat.names import literal
from compat.rules import NEW, OLD, Row
from compat.rules.lens import changed_row
from compat.shapes import Choice
from compat.tables import Table


@dataclass(frozen=True)
class _Branch:
    """One of the tables: its number, the mapping as if it were the only one, its variable."""

    number: int
    mapping: Mapping
    row: Row

    @property
    def table(self) -> Table:
        return self.mapping.target


def insert_body(mapping: Mapping) -> str:
    """Return the body for INSERT: the first table whose condition holds takes the row."""
    return _function(
        [*_WANTED, *_given(mapping)],
        [
            *errors.refuse_nulls(mapping),
            *refuse_read_only(mapping, "insert"),
            *errors.refuse_checks(mapping),
            *errors.doubts(mapping),
            *_require_new_key(mapping),
            f"    wanted := {place(mapping, NEW)};",
            *_insert_where_wanted(mapping, None),
            "    RETURN NEW;",
        ],
    )


def update_body(mapping: Mapping) -> str:
    """Return the body for UPDATE: a row stays where it is unless another table is due now."""
    lines = [
        *errors.refuse_nulls(mapping),
        *refuse_read_only(mapping, "update"),
        *errors.refuse_checks(mapping),
        f"    doubtful := {any_changed(errors.key_lenses(mapping))};",
        f"    IF {any_changed(mapping.key)} THEN",
        *indented(_require_new_key(mapping)),
        "    END IF;",
        f"    wanted := {place(mapping, NEW)};",
        f"    stays := wanted IS NOT DISTINCT FROM {place(mapping, OLD)};",
    ]
    for branch in _branches(mapping):
        moved = _insert_where_wanted(mapping, branch)
        lines += [
            *_lock(branch, "FOR NO KEY UPDATE"),
            "    IF FOUND THEN",
            *_leave_if_changed(mapping, branch),
            f"        IF stays OR wanted = {branch.number} THEN",
            *indented(_update(branch), 8),
            "            RETURN NEW;",
            "        END IF;",
            f"    {_delete(branch)}",
            *indented(moved),
            "        RETURN NEW;",
            "    END IF;",
        ]
    variables = [*_WANTED, *_given(mapping), "    stays boolean;", *_rows_of(mapping)]
    return _function(variables, [*lines, *_leave_without_row(mapping)])


def delete_body(mapping: Mapping) -> str:
    """Return the body for DELETE: from the table that has the row."""
    lines = []
    for branch in _branches(mapping):
        lines += [
            *_lock(branch, "FOR UPDATE"),
            "    IF FOUND THEN",
            *_leave_if_changed(mapping, branch),
            *indented(_explained_delete(branch)),
            "        RETURN OLD;",
            "    END IF;",
        ]
    doubtful = f"    doubtful boolean := {errors.is_referenced(mapping, OLD)};"
    return _function([doubtful, *_rows_of(mapping)], [*lines, *_leave_without_row(mapping)])


_WANTED = ("    wanted integer;", "    doubtful boolean := false;")


def _given(mapping: Mapping) -> list[str]:
    """Return what keeps NEW for a second try, where RETURNING … INTO NEW may overwrite it."""
    return ["    given CONSTANT record := NEW;"] * any(map(_returning, _branches(mapping)))


def _rows_of(mapping: Mapping) -> list[str]:
    return [f"    {branch.row.name} {branch.table.sql}%ROWTYPE;" for branch in _branches(mapping)]


def _function(variables: Iterable[str], lines: list[str]) -> str:
    return "\n".join(["DECLARE", *variables, "BEGIN", *lines, "END"])


def numbered(mapping: Mapping) -> list[tuple[int, Table]]:
    """Return the tables in the order in which they are looked through, the target last."""
    tables = [*(choice.table for choice in mapping.choices), mapping.target]
    return list(enumerate(tables, start=1))


def _branches(mapping: Mapping) -> list[_Branch]:
    return [
        _Branch(
            number,
            replace(mapping, target=table, choices=(), remainder=None),
            Row(f"t{number}", is_record=True),
        )
        for number, table in numbered(mapping)
    ]


def _conditions(mapping: Mapping) -> list[Choice]:
    rest = [] if mapping.remainder is None else [Choice(mapping.target, mapping.remainder)]
    return [*mapping.choices, *rest]


def place(mapping: Mapping, row: Row) -> str:
    """Return SQL for the number of the table that takes a legacy row; NULL when none does."""
    whens = " ".join(
        f"WHEN {row.evaluate(choice.when)} THEN {number}"
        for number, choice in enumerate(_conditions(mapping), start=1)
    )
    rest = f" ELSE {len(mapping.choices) + 1}" if mapping.remainder is None else ""
    return f"CASE {whens}{rest} END"


def _insert_where_wanted(mapping: Mapping, origin: _Branch | None) -> list[str]:
    """Return the INSERT of NEW into the table that is due.

    :param origin: the table that the row comes from, whose other columns go with it
    """
    lines, keyword = [], "IF"
    for branch in _branches(mapping):
        if origin is not None and branch.number == origin.number:
            continue
        read_back = _returning(branch)
        given = "given" * bool(read_back)
        place = branch.mapping.places[0]
        insert = errors.insert(branch.mapping, place, _written(branch, origin), read_back, given)
        lines += [
            f"    {keyword} wanted = {branch.number} THEN",
            *indented(insert),
        ]
        keyword = "ELSIF"
    legacy = mapping.legacy
    return [
        *lines,
        "    ELSE",
        "        RAISE EXCEPTION USING ERRCODE = 'check_violation',",
        f"            MESSAGE = {literal(f'no table of {mapping.name} takes this row')},",
        "            DETAIL = pg_catalog.format('Failing row contains %s.', NEW),",
        "            HINT = 'Correct the row, or give the mapping a remainder.',",
        f"            SCHEMA = {literal(legacy.schema)}, TABLE = {literal(legacy.name)};",
        "    END IF;",
    ]


def _written(branch: _Branch, origin: _Branch | None) -> dict[str, str]:
    new = branch.mapping.writes(NEW)
    if origin is None:
        return new
    kept = {
        column.name: origin.row.column(column.name)
        for column in branch.table.columns
        if column.generated is None
        and (there := origin.table.column(column.name)) is not None
        and there.type == column.type
    }
    return new | kept | changed_row(branch.mapping.lenses, origin.row, OLD, NEW)


def _update(branch: _Branch) -> list[str]:
    statement = [
        f"    UPDATE {branch.table.sql} AS t SET",
        f"        {assignments_of_update(branch.mapping)}",
        f"    WHERE {same_target_row(branch.mapping, OLD)}{_returning(branch)};",
    ]
    return errors.where_doubtful(branch.mapping, statement, NEW, branch.mapping.places)


def _delete(branch: _Branch) -> str:
    same = same_target_row(branch.mapping, OLD)
    return f"    DELETE FROM {branch.table.sql} AS t WHERE {same};"


def _explained_delete(branch: _Branch) -> list[str]:
    delete = [_delete(branch)]
    return errors.where_doubtful(branch.mapping, delete, OLD, branch.mapping.places)


def _require_new_key(mapping: Mapping) -> list[str]:
    """Return the check that no table has the key of NEW, reported as the legacy table would."""
    legacy = mapping.legacy
    names = legacy.row_key
    values = ", ".join(NEW.column(name) for name in names)
    constraint = next(c.name for c in legacy.constraints if c.identifies and c.columns == names)
    message = f'duplicate key value violates unique constraint "{constraint}"'
    return [
        "    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended("
        f"{literal(mapping.target.title)} || {_key_as_text(mapping)}, 0));",
        f"    IF EXISTS (SELECT FROM {source(mapping)} WHERE {same_target_row(mapping, NEW)}) THEN",
        "        RAISE EXCEPTION USING ERRCODE = 'unique_violation',",
        f"            MESSAGE = {literal(message)},",
        f"            DETAIL = pg_catalog.format({literal(_detail(names))}, {values}),",
        f"            CONSTRAINT = {literal(constraint)},",
        f"            SCHEMA = {literal(legacy.schema)}, TABLE = {literal(legacy.name)};",
        "    END IF;",
    ]


def _key_as_text(mapping: Mapping) -> str:
    """Return the key of NEW as the tables hold it: the same for the views of all versions."""
    written = {
        name: f"({lens.write(NEW)[name]})::{lens.ends.target(name).type}"
        for lens in mapping.key
        for name in lens.targets[:1]
    }
    return f"ROW({', '.join(written[name] for name in sorted(written))})::text"


def _detail(names: tuple[str, ...]) -> str:
    marks = ", ".join("%s" for _ in names)
    return f"Key ({', '.join(names).replace('%', '%%')})=({marks}) already exists."


def _lock(branch: _Branch, strength: str) -> list[str]:
    name = branch.row.name
    return [
        f"    SELECT t.* INTO {name} FROM {branch.table.sql} AS t",
        f"    WHERE {same_target_row(branch.mapping, OLD)} {strength};",
    ]


def _leave_if_changed(mapping: Mapping, branch: _Branch) -> list[str]:
    same = same_target_row(branch.mapping, OLD)
    unchanged = guard(branch.mapping, branch.row)
    return leave_if_changed(mapping, unchanged, [(branch.table, TARGET, same)], indentation=8)


def _returning(branch: _Branch) -> str:
    return returning(branch.mapping, indentation=12)


def _leave_without_row(mapping: Mapping) -> list[str]:
    """Return what ends the function when no table has had the row when it was looked at.

    Somebody may have moved it meanwhile to a table that had been looked at before.
    """
    return [
        f"    IF EXISTS (SELECT FROM {source(mapping)} WHERE {same_target_row(mapping, OLD)}) THEN",
        *could_not_serialize(mapping, 8),
        "    END IF;",
        "    RETURN NULL;",
    ]
