"""Operations as lines of a revision, and their mappings as constants above it.

A revision holds its mappings itself: it means the same years later, whatever the models say then.
"""

from __future__ import annotations

import re
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any

from compat.mapping import Mapping
from compat.operations import CompatOperation
from compat.render import IMPORTS, render

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


class _Preamble(str):
    """The imports and constants of one revision, as the one line that Alembic puts on top of it."""

    constants: dict[str, Mapping]

    def __new__(cls, constants: dict[str, Mapping]) -> _Preamble:
        definitions = [f"{name} = {render(mapping)}" for name, mapping in constants.items()]
        preamble = super().__new__(cls, "\n\n".join([IMPORTS, *definitions]))
        preamble.constants = constants
        return preamble


def render_operation(context: AutogenContext, operation: CompatOperation) -> str:
    """Return the call of an operation; its mappings are put beside the imports of the revision."""
    parameters = signature(type(operation).__init__).parameters.values()
    arguments = []
    for parameter in list(parameters)[1:]:
        value = getattr(operation, parameter.name)
        if isinstance(value, Mapping):
            arguments.append(_constant(context, value))
        elif parameter.name in _ONLY_SHOWN or value == parameter.default:
            continue
        else:
            arguments.append(f"{parameter.name}={_value(context, value)}")
    prefix = context.opts["alembic_module_prefix"] or ""
    return f"{prefix}{operation.operation}({', '.join(arguments)})"


_ONLY_SHOWN = frozenset({"found"})
"""What an operation knows for `alembic check` alone."""


def _value(context: AutogenContext, value: Any) -> str:
    if isinstance(value, timedelta):
        context.imports.add("import datetime")
    return repr(value)


def _constant(context: AutogenContext, mapping: Mapping) -> str:
    """Return the name of the constant that holds a mapping in this revision."""
    known = next((item for item in context.imports if isinstance(item, _Preamble)), None)
    constants = dict(known.constants) if known is not None else {}
    for name, other in constants.items():
        if other == mapping:
            return name
    base = re.sub(r"\W", "_", mapping.name).upper()
    base = base if base.isidentifier() else f"MAPPING_{base}"
    name, number = base, 1
    while name in constants:
        number += 1
        name = f"{base}_{number}"
    if known is not None:
        context.imports.remove(known)
    context.imports.add(_Preamble({**constants, name: mapping}))
    return name
