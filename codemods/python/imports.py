"""How a module calls something that it needs from a library; imports it where that is clean."""

from __future__ import annotations

import libcst as cst

from codemods.analysis import Part
from codemods.edits import Edit
from codemods.python.tree import dotted_source
from codemods.python.work import Plan, Work


def imported_name(plan: Plan, module: str, name: str, *, beside: str) -> str | None:
    """Return how a function is called here; it is imported next to `beside` if it is not yet.

    None when the name means something else here, or nothing is imported next to which it could be.
    """
    work = plan.work
    scope = work.tree.scope
    for local, origin in scope.imports.items():
        if origin == f"{module}.{name}":
            return local
    for local, origin in scope.imports.items():
        if origin == module:
            return f"{local}.{name}"
    if name in scope.bound or name in scope.imports:
        return None
    if module in scope.stars:
        return name
    at = _end_of_alias(work, module, beside)
    if at is None:
        return None
    plan.parts.append(Part((Edit(at, at, f", {name}", "names a column"),)))
    return name


def _end_of_alias(work: Work, module: str, name: str) -> int | None:
    tree = work.tree
    for node in tree.of(cst.ImportFrom):
        if not isinstance(node, cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
            continue
        line = tree.parent(node)
        if dotted_source(node.module) != module or node.relative or line is None:
            continue
        if not isinstance(tree.parent(line), cst.Module):
            continue
        for alias in node.names:
            if alias.evaluated_name == name:
                return tree.span(alias.name if alias.asname is None else alias.asname)[1]
    return None
