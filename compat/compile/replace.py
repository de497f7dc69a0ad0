"""View, triggers and functions of a migration made anew, as another mapping says.

What hangs on the view stays: it is replaced in place where PostgreSQL can
(compat/compile/schema/replacement.sql).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from compat.compile import retired, sync, view
from compat.compile.functions import triggers
from compat.compile.shaped import copy
from compat.mapping import Mapping
from compat.names import ident, literal, qualified, regclass
from compat.tables import Table

Phase = Literal["expanded", "copying", "copied", "cutover"]


def replace(before: Mapping, after: Mapping, phase: Phase) -> list[str]:
    """Return the statements that make everything that one mapping compiled to as another says."""
    _, name = view_name(after, phase)
    if after.chosen_form == "reversed":
        waiting = after.aside_name if phase == "cutover" else after.target.name
        target = dataclasses.replace(after.target, name=waiting)
        return replace_view(before, after, name, target)
    model = after.retired_name if phase == "cutover" else after.legacy.name
    return [
        *replace_view(before, after, name, dataclasses.replace(after.legacy, name=model)),
        *sync.define_forward(after),
        *sync.define_reverse(after),
        *_define_copy(before, after),
        *_attach(before, after, phase),
    ]


def view_name(mapping: Mapping, phase: Phase) -> tuple[str, str]:
    """Return schema and name of the view in a phase."""
    name = mapping.view_of.name if phase == "cutover" else mapping.standby_name
    return mapping.view_of.schema, name


def _define_copy(before: Mapping, after: Mapping) -> list[str]:
    if after.copies_through_view:
        return copy.define(after)
    return [copy.drop(before)] if before.copies_through_view else []


def _attach(before: Mapping, after: Mapping, phase: Phase) -> list[str]:
    if phase != "cutover":
        return [*drop_if_there(sync.detach_forward(before)), *sync.attach_forward(after)]
    return [
        *drop_if_there(sync.detach_reverse(before)),
        *sync.attach_reverse(after),
        retired.unguard(after),
        retired.guard(after),
    ]


def replace_view(before: Mapping, after: Mapping, name: str, model: Table) -> list[str]:
    """Return the statements for the view, its defaults, its triggers and their functions.

    :param name: the name of the view, in the schema of what it stands for
    :param model: the table whose looks it gets where somebody has dropped it
    """
    schema = after.view_of.schema
    shown = qualified(schema, name)
    old = view.create_view(before, name)
    made = view.create_view(after, name)
    at = next(n for n, statement in enumerate(made) if statement.startswith("CREATE VIEW "))
    definition, belongings = made[at], made[at + 1 :]
    replaced = dict.fromkeys(trigger for trigger, *_ in triggers([*old, *belongings]))
    kept = view.drop_view(after, name)
    drop_functions = [item for item in view.drop_view(before, name) if item not in kept]
    return [
        *made[:at],
        f"SELECT compat.replace_view({literal(schema)}, {literal(name)}, "
        f"{literal(definition)}, {regclass(model.schema, model.name)})",
        *[f"DROP TRIGGER IF EXISTS {ident(trigger)} ON {shown}" for trigger in replaced],
        *drop_functions,
        *[
            f"ALTER VIEW {shown} ALTER COLUMN {ident(column)} DROP DEFAULT"
            for column in after.view_of.column_names
        ],
        *belongings,
    ]


def drop_if_there(statements: list[str]) -> list[str]:
    """Return the statements with their DROP TRIGGERs made for where somebody was there before."""
    return [re.sub(r"^DROP TRIGGER ", "DROP TRIGGER IF EXISTS ", item) for item in statements]
