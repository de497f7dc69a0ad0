"""The compatibility view: its query, its defaults, its looks, and how it comes and goes.

What its INSTEAD OF triggers do is in compat.compile.bodies.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Mapping_
from typing import Final

from compat.bridge import is_bridge
from compat.compile import bodies, bridge, errors, horizon, lookups, own_keys, policies
from compat.compile.functions import TARGET, drop_function, null_default, trigger_function
from compat.compile.shaped import choices, parts
from compat.compile.source import source
from compat.mapping import Mapping
from compat.names import ident, qualified, regclass
from compat.rules import Constant, Expression, Lens
from compat.tables import Table

_Bodies = Mapping_[str, Callable[[Mapping], str]]
_BODIES: Final[Mapping_[str, _Bodies]] = {
    "one table": bodies.BODIES,
    "parts": {
        "insert": parts.insert_body,
        "update": parts.update_body,
        "delete": parts.delete_body,
    },
    "choices": {
        "insert": choices.insert_body,
        "update": choices.update_body,
        "delete": choices.delete_body,
    },
}


def select(mapping: Mapping) -> str:
    """Return the query of the view: every column of what it stands for, in order."""
    if is_bridge(mapping):
        return bridge.select(mapping)
    columns = ",\n    ".join(
        f"{sql} AS {ident(name)}" for name, sql in mapping.reads(TARGET).items()
    )
    return policies.only_visible(mapping, f"SELECT\n    {columns}\nFROM {source(mapping)}")


def create_view(mapping: Mapping, name: str | None = None) -> list[str]:
    """Return the statements that create the view and what belongs to it.

    :param name: the name of the view, in the schema of what it stands for; the standby name by
        default
    """
    view = qualified(mapping.view_of.schema, name or mapping.standby_name)
    statements = [
        *policies.before_view(mapping),
        f"CREATE VIEW {view}{policies.options(mapping)} AS\n{select(mapping)}",
    ]
    statements += [
        f"ALTER VIEW {view} ALTER COLUMN {ident(column)} SET DEFAULT {default}"
        for column, default in defaults(mapping).items()
    ]
    if mapping.chosen_form == "instead_of":
        statements += policies.triggers(mapping, view)
        statements += horizon.trigger(mapping, view)
        statements.append(errors.define_references(mapping))
    for operation, body in _bodies(mapping).items():
        statements += trigger_function(mapping, operation, body(mapping), mapping.legacy)
        trigger = ident(f"compat_{operation}")
        statements.append(
            f"CREATE TRIGGER {trigger} INSTEAD OF {operation.upper()} ON {view}\n"
            f"FOR EACH ROW EXECUTE FUNCTION {mapping.function(operation)}()"
        )
    if mapping.chosen_form == "instead_of":
        statements += lookups.attach_view(mapping, view)
    if mapping.inserts_by_trigger:
        statements += own_keys.attach_view(mapping, view)
    return statements


def _bodies(mapping: Mapping) -> _Bodies:
    """Return what makes the bodies of the INSTEAD OF triggers that the view has, by operation."""
    if mapping.chosen_form == "instead_of":
        return _BODIES["parts" if mapping.parts else "choices" if mapping.choices else "one table"]
    return {"insert": bodies.BODIES["insert"]} if mapping.inserts_by_trigger else {}


def wear_looks_of(view_schema: str, view_name: str, source: Table) -> str:
    """Return the statement that gives a view the owner, grants and comments of a table."""
    return (
        f"SELECT compat.wear({regclass(view_schema, view_name)}, "
        f"compat.looks_of({regclass(source.schema, source.name)}))"
    )


def drop_view(mapping: Mapping, name: str | None = None) -> list[str]:
    """Return the statements that drop the view and its trigger functions."""
    view = qualified(mapping.view_of.schema, name or mapping.standby_name)
    statements = [f"DROP VIEW {view}"]
    statements += [drop_function(mapping, operation) for operation in _bodies(mapping)]
    if mapping.chosen_form == "instead_of":
        statements.append(errors.drop_references(mapping))
        statements += lookups.drop_view(mapping)
    if mapping.inserts_by_trigger:
        statements += own_keys.drop_view(mapping)
    if mapping.chosen_form == "instead_of":
        statements += policies.drop(mapping)
    return statements


def defaults(mapping: Mapping) -> dict[str, str]:
    """Return the defaults of the view's columns as SQL."""
    if is_bridge(mapping):
        return bridge.defaults(mapping)
    found = {}
    for lens in mapping.lenses:
        column = lens.legacy
        if isinstance(lens.rule, Constant):
            if not mapping.inserts_by_trigger:
                continue  # a default counts as a write, which such a column refuses
            found[column.name] = lens.read(TARGET)
        elif isinstance(lens.rule, Expression) and lens.rule.is_read_only:
            continue  # whatever stands in NEW then was given by the client, and is refused
        elif column.default is not None:
            found[column.name] = column.default
        elif mapping.chosen_form == "updatable" and _would_show(lens):
            found[column.name] = null_default(column.type)
    return found


def _would_show(lens: Lens) -> bool:
    """Return whether a column of an updatable view that is left out would get what v2 gives."""
    target = lens.ends.target(lens.targets[0])
    return target.default is not None or target.identity is not None
