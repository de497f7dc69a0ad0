"""A mapping as Python source, so that a revision is self-contained and readable.

What is rendered evaluates to an equal mapping; arguments that have their default are left out.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from decimal import Decimal
from typing import Any

from compat.mapping import Mapping

IMPORTS = "from compat import rules, tables\nfrom compat.mapping import Fill, Mapping"
"""What the rendered source needs to have imported."""

_WIDTH = 96
_POSITIONAL = {"legacy", "target", "schema", "name", "type", "kind", "value", "unit", "pairs"}


def render(mapping: Mapping, indent: int = 0) -> str:
    """Return a Python expression that evaluates to `mapping` where IMPORTS were run."""
    return _render(mapping, indent)


def render_module(mapping: Mapping, note: str = "") -> str:
    """Return a Python module that defines MAPPING; `compat plan FILE.py` reads it."""
    head = f'"""How {mapping.legacy.title} corresponds to {mapping.target.title}."""\n'
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    return f"{head}\n{IMPORTS}\n\n{comment}MAPPING = {render(mapping)}\n"


def _render(value: Any, indent: int) -> str:
    if isinstance(value, tuple):
        return _layout("(", [_render(item, indent + 4) for item in value], ")", indent, True)
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value()
        return str(int(value)) if whole else repr(str(value))
    if not is_dataclass(value) or isinstance(value, type):
        return _string(value) if isinstance(value, str) else repr(value)
    arguments, positional = [], True
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name in ("rule", "version") or _is_default(field, item):
            positional = False  # what follows a left-out argument needs its name
            continue
        positional = positional and field.name in _POSITIONAL
        prefix = "" if positional else f"{field.name}="
        arguments.append(prefix + _render(item, indent + 4))
    return _layout(_constructor(type(value)) + "(", arguments, ")", indent, False)


def _layout(head: str, parts: list[str], tail: str, indent: int, is_tuple: bool) -> str:
    comma = "," if is_tuple and len(parts) == 1 else ""
    flat = head + ", ".join(parts) + comma + tail
    if len(flat) + indent <= _WIDTH and "\n" not in flat:
        return flat
    pad = " " * (indent + 4)
    return head + "".join(f"\n{pad}{part}," for part in parts) + f"\n{' ' * indent}{tail}"


def _is_default(field: Field[Any], item: Any) -> bool:
    default: Any = field.default
    if default is MISSING:
        return False
    default = getattr(default, "default", default)  # a pydantic FieldInfo
    return bool(default == item and type(default) is type(item))


def _constructor(kind: type) -> str:
    module = kind.__module__.removeprefix("compat.")
    return kind.__name__ if module == "mapping" else f"{module}.{kind.__name__}"


def _string(text: str) -> str:
    quoted = repr(text)
    if quoted[0] == "'" and '"' not in text:
        return '"' + quoted[1:-1].replace("\\'", "'") + '"'
    return quoted
