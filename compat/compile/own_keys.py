"""Foreign keys of the target to itself: looked at when the client's statement ends, as on a table.

A statement may bring a child before its parent, or delete the parent first. Through a view each row
is a command of its own, after which PostgreSQL would look. So these keys are deferrable during the
migration: until the cutover they wait for the commit, since the legacy table has a key of its own;
after it triggers of the view let them wait until its statement ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

from compat import constraints
from compat.compile.functions import drop_function, trigger_function
from compat.definitions import parent_of
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass
from compat.rules import Lookup
from compat.tables import Constraint

_DEFER, _CHECK = "defer_own", "check_own"

When = Literal["NOT DEFERRABLE", "DEFERRABLE INITIALLY IMMEDIATE", "DEFERRABLE INITIALLY DEFERRED"]


def keys(mapping: Mapping) -> list[Constraint]:
    """Return the keys of the target to itself that are deferrable during the migration."""
    return [key for key, _ in _own(mapping)]


def look(mapping: Mapping, when: When) -> list[str]:
    """Return the statement that says when PostgreSQL looks at these keys."""
    names = [literal(key.name) for key in keys(mapping)]
    if not names:
        return []
    target = regclass(mapping.target.schema, mapping.target.name)
    return [f"SELECT compat.look_at_keys({target}, ARRAY[{', '.join(names)}], {literal(when)})"]


def attach_view(mapping: Mapping, view: str) -> list[str]:
    """Return the statements by which a statement on the view looks when it ends.

    :param view: the quoted name of the view
    """
    own = keys(mapping)
    if not own:
        return []
    names = ", ".join(qualified(mapping.target.schema, key.name) for key in own)
    listed = ", ".join(literal(key.name) for key in own)
    deferrable = f"compat.are_deferrable({literal(mapping.target.schema)}, ARRAY[{listed}]::name[])"
    # The sync and the copy of some shapes write through the view before the cutover.
    skipped = f"""    IF NOT {deferrable}
    OR pg_catalog.to_regclass({literal(mapping.retired)}) IS NULL
    AND (pg_catalog.pg_trigger_depth() > 1
         OR pg_catalog.current_setting('compat.early_writes', true) = 'on') THEN
        RETURN NULL;
    END IF;"""
    described = literal(json.dumps(_described(mapping), ensure_ascii=False, sort_keys=True))
    bodies = {
        _DEFER: f"""BEGIN
{skipped}
    SET CONSTRAINTS {names} DEFERRED;
    RETURN NULL;
END""",
        _CHECK: f"""BEGIN
{skipped}
    SET CONSTRAINTS {names} IMMEDIATE;
    RETURN NULL;
EXCEPTION WHEN foreign_key_violation THEN
    DECLARE
        message text; detail text; constraint_name text;
    BEGIN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
            constraint_name = CONSTRAINT_NAME;
        PERFORM compat.raise_of_own_key({described}, message, detail, constraint_name);
        RAISE;
    END;
END""",
    }
    statements = []
    for (purpose, body), moment in zip(bodies.items(), ("BEFORE", "AFTER"), strict=True):
        statements += trigger_function(mapping, purpose, body, mapping.legacy)
        statements.append(
            f"CREATE TRIGGER {ident(f'compat_{purpose}')} {moment} INSERT OR UPDATE OR DELETE\n"
            f"ON {view} FOR EACH STATEMENT EXECUTE FUNCTION {mapping.function(purpose)}()"
        )
    return statements


def drop_view(mapping: Mapping) -> list[str]:
    """Return the statements that drop the functions of `attach_view`, when the view is gone."""
    return [drop_function(mapping, purpose) for purpose in (_DEFER, _CHECK) if _own(mapping)]


def _own(mapping: Mapping) -> list[tuple[Constraint, Constraint]]:
    """Return the keys of the target to itself, each with the legacy one that it stands for."""
    return list(_pairs(mapping))


def _pairs(mapping: Mapping) -> Iterator[tuple[Constraint, Constraint]]:
    legacy = {item.name: item for item in constraints.keys(mapping.legacy)}
    blames = constraints.blame_of(mapping, mapping.places[0])
    for item in constraints.keys(mapping.target):
        other = legacy.get(blames[item.name].constraint)
        if (
            other is not None
            and _leads_to(item, mapping.target.name)
            and _leads_to(other, mapping.legacy.name)
            and not constraints.is_deferred(item)
            and not constraints.is_deferred(other)
        ):
            yield item, other


def _leads_to(item: Constraint, table: str) -> bool:
    parent = parent_of(item) if item.kind == "foreign_key" else None
    return parent is not None and parent.name == table


def _described(mapping: Mapping) -> dict[str, object]:
    """Return what errors of these keys are translated by: names, and where numbers are found."""
    numbers = {
        lens.rule.target: lens.rule.keep
        for lens in mapping.lenses
        if isinstance(lens.rule, Lookup) and lens.rule.keep is not None
    }
    described: dict[str, object] = {}
    for item, other in _own(mapping):
        number = numbers.get(item.columns[0])
        described[item.name] = {
            "name": other.name,
            "columns": [
                [_listed(item.columns), _listed(other.columns)],
                [_listed(_referenced(item)), _listed(_referenced(other))],
            ],
            "number": None if number is None else [ident(item.columns[0]), ident(number)],
        }
    return {
        "legacy": [mapping.legacy.schema, mapping.legacy.name],
        "target": [mapping.target.sql, mapping.target.name],
        "keys": described,
    }


def _referenced(item: Constraint) -> tuple[str, ...]:
    parent = parent_of(item)
    assert parent is not None, item
    return parent.columns


def _listed(columns: tuple[str, ...]) -> str:
    """Return columns as the detail of an error lists them."""
    return ", ".join(columns)
