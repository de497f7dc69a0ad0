"""A mapping as Python source, so that a revision is self-contained and readable.

What is rendered evaluates to an equal mapping; arguments that have their default are left out.
"""

from __future__ import annotations

import textwrap
from dataclasses import MISSING, Field, fields, is_dataclass
from decimal import Decimal
from typing import Any

from compat.mapping import Fill, Mapping
from compat.rules import AnyRule
from compat.shapes import Half, Parent
from compat.tables import Table

IMPORTS = (
    "from compat import rules, shapes, tables\nfrom compat.mapping import CodeName, Fill, Mapping"
)
"""What the rendered source needs to have imported."""

_WIDTH = 100
_POSITIONAL = frozenset(
    ("legacy", "target", "schema", "name", "type", "kind", "value", "unit", "pairs", "old", "new")
)


def render(mapping: Mapping, indent: int = 0) -> str:
    """Return a Python expression that evaluates to `mapping` where IMPORTS were run."""
    return _render(mapping, indent)


def render_module(mapping: Mapping, note: str = "") -> str:
    """Return a Python module that defines MAPPING; `compat plan FILE.py` reads it."""
    head = _docstring(f"How {mapping.legacy.title} corresponds to {mapping.target.title}.")
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    body = f"{comment}MAPPING = {render(mapping)}\n"
    return f"{head}\n\n{_imports(body)}\n\n{body}"


def render_draft(
    name: str,
    legacy: Table,
    target: Table,
    rules: tuple[AnyRule, ...],
    *,
    parts: tuple[Half | Parent, ...] = (),
    questions: tuple[str, ...],
    guessed: frozenset[str] = frozenset(),
) -> str:
    """Return a module like render_module's for a mapping that may not be complete yet.

    :param questions: what is open; each becomes a comment that begins with OPEN
    :param guessed: legacy columns whose rule is a guess; a comment says so
    """
    head = _docstring(f"How {legacy.title} corresponds to {target.title}: a draft.") + "\n\n"
    body = f"MAPPING = Mapping(\n    {_string(name)},\n"
    body += f"    {_render(legacy, 4)},\n    {_render(target, 4)},\n    rules=(\n"
    for rule in rules:
        guess = "        # GUESS: nothing but the type speaks for this\n"
        body += guess * (rule.legacy in guessed) + f"        {_render(rule, 8)},\n"
    for question in questions:
        body += textwrap.fill(
            f"OPEN: {question}",
            _WIDTH,
            initial_indent="        # ",
            subsequent_indent="        #   ",
        )
        body += "\n"
    body += "    ),\n" + f"    {_render(parts, 4, 'parts=')},\n" * bool(parts)
    return head + _imports(body) + "\n\n" + body + ")\n"


def _docstring(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{escaped}"""'


def _imports(body: str) -> str:
    imports = IMPORTS
    for name in ("CodeName", "Fill"):
        if f"{name}(" not in body:
            imports = imports.replace(f"{name}, ", "")
    if "shapes." not in body:
        imports = imports.replace("shapes, ", "")
    return imports


def _render(value: Any, indent: int, prefix: str = "") -> str:
    if isinstance(value, tuple):
        parts = [_render(item, indent + 4) for item in value]
        return _layout(prefix + "(", parts, ")", indent, True)
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value()
        return prefix + (str(int(value)) if whole else repr(str(value)))
    if not is_dataclass(value) or isinstance(value, type):
        return prefix + (_string(value, indent) if isinstance(value, str) else repr(value))
    arguments, positional = [], True
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name in ("rule", "version") or _is_default(field, item):
            positional = False  # what follows a left-out argument needs its name
            continue
        positional = positional and field.name in _POSITIONAL
        keyword = "" if positional else f"{field.name}="
        arguments.append(_render(item, indent + 4, keyword))
    return _layout(prefix + _constructor(type(value)) + "(", arguments, ")", indent, False)


def _layout(head: str, parts: list[str], tail: str, indent: int, is_tuple: bool) -> str:
    comma = "," if is_tuple and len(parts) == 1 else ""
    flat = head + ", ".join(parts) + comma + tail
    if len(flat) + indent < _WIDTH and "\n" not in flat:  # a comma follows
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
    module = kind.__module__.split(".")[1]  # compat.rules.epoch is reached through compat.rules
    return kind.__name__ if kind is Fill or module == "mapping" else f"{module}.{kind.__name__}"


def _string(text: str, indent: int = 0) -> str:
    """Return a literal; one that is too long for its line becomes several in parentheses."""
    room = _WIDTH - indent - 16
    if len(text) <= room or indent == 0:
        return _quoted(text)
    lines = textwrap.wrap(text, room, drop_whitespace=False, break_on_hyphens=False)
    if "".join(lines) != text:  # wrap() replaces tabs and newlines
        return _quoted(text)
    pad = " " * (indent + 4)
    return "(" + "".join(f"\n{pad}{_quoted(line)}" for line in lines) + f"\n{' ' * indent})"


def _quoted(text: str) -> str:
    quoted = repr(text)
    if quoted[0] == "'" and '"' not in text:
        return '"' + quoted[1:-1].replace("\\'", "'") + '"'
    return quoted
