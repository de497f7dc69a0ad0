"""What other modules of the same application define: models of a table, and names to be changed.

A dotted origin, as an import gives it, is compared with the paths of the searched files.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath

from codemods.analysis import Style

_DEPTH = 6
"""How many re-exports are followed, and how many directories above a file may be a root."""


@dataclass(frozen=True)
class CodeRename:
    """A module, class or function that gets another dotted name."""

    old: str
    new: str

    @property
    def leaf(self) -> str:
        """The last part of the old name."""
        return self.old.rpartition(".")[2]


@dataclass(frozen=True)
class Entity:
    """A class or a Table of some module that stands for a legacy table, or for its target.

    :param path: of the file that defines it
    :param renames: the name of the mapping
    :param columns: each attribute or key by which the program knows a legacy column, and that
        column
    :param renamed: attributes and keys that get another name, and that name
    """

    path: str
    name: str
    renames: str
    style: Style
    is_target: bool
    columns: tuple[tuple[str, str], ...]
    renamed: tuple[tuple[str, str], ...] = ()

    def column(self, attribute: str) -> str | None:
        """Return the legacy column that an attribute or a key stands for."""
        return next((column for name, column in self.columns if name == attribute), None)

    def new_name(self, attribute: str) -> str | None:
        """Return what an attribute is called from now on, None if it stays."""
        return next((new for old, new in self.renamed if old == attribute), None)


def module_parts(path: str | PurePath) -> tuple[str, ...]:
    """Return the parts of a module's dotted name, with all directories above it before them."""
    pure = PurePath(path)
    parts = pure.with_suffix("").parts
    return parts[:-1] if parts and parts[-1] == "__init__" else parts


def is_module(path: str | PurePath, dotted: str) -> bool:
    """Tell whether a file is the module of this dotted name, from whatever root."""
    parts = tuple(dotted.split("."))
    return module_parts(path)[-len(parts) :] == parts


def absolute(path: str | PurePath, origin: str) -> tuple[str, ...]:
    """Return the parts of a dotted origin, a relative one as seen from the file at `path`."""
    plain = origin.lstrip(".")
    dots = len(origin) - len(plain)
    parts = tuple(part for part in plain.split(".") if part)
    if not dots:
        return parts
    package = PurePath(path).parent.parts
    return (*package[: len(package) - dots + 1], *parts)


def resolved(path: str, origin: str, entities: Iterable[Entity]) -> Entity | None:
    """Return the entity that a module at `path` knows by a dotted origin.

    Names that a package only passes on are followed to where they are defined.
    """
    known = tuple(entities)
    if not known:
        return None
    for place, dotted in passed_on(path, origin):
        *module, name = absolute(place, dotted)
        named = [e for e in known if e.name == name]
        found = [e for e in named if module and _ends_with(e.path, tuple(module))]
        if len(found) == 1:
            return found[0]
    return None


def _ends_with(path: str, module: tuple[str, ...]) -> bool:
    return module_parts(path)[-len(module) :] == module


def defined_at(path: str, origin: str) -> tuple[str, str] | None:
    """Return the file and the name of the class that a module at `path` knows by a dotted origin.

    None if it is no class of the application.
    """
    for place, dotted in passed_on(path, origin):
        *module, name = absolute(place, dotted)
        for file in _files(place, tuple(module), is_relative=dotted.startswith(".")):
            if name in classes(file):
                return file, name
    return None


def passed_on(path: str, origin: str, depth: int = _DEPTH) -> Iterator[tuple[str, str]]:
    """Yield a name as it is imported at `path`, then as the module that it comes from does, …

    Each with the file that imports it so.
    """
    yield path, origin
    if not depth:
        return
    *module, name = absolute(path, origin)
    for file in _files(path, tuple(module), is_relative=origin.startswith(".")):
        further = imports(file).get(name)
        if further is not None:
            yield from passed_on(file, further, depth - 1)
        return


def _files(path: str, module: tuple[str, ...], *, is_relative: bool) -> Iterator[str]:
    if not module:
        return
    bases = [Path()] if is_relative else list(Path(path).parents)[:_DEPTH]
    for base in bases:
        place = base.joinpath(*module)
        for candidate in (place.with_name(place.name + ".py"), place / "__init__.py"):
            if candidate.is_file():
                yield str(candidate)


def binds(path: str, name: str) -> bool:
    """Tell whether a module binds or imports a name anywhere."""
    return name in _read(path).bound


def imports(path: str) -> dict[str, str]:
    """Return the origin of each name that a module imports at its top level."""
    return _read(path).imports


def classes(path: str) -> dict[str, tuple[str, ...]]:
    """Return the classes that a module defines at its top level, with the last names of bases."""
    return _read(path).classes


@dataclass(frozen=True)
class _Names:
    """What a module imports from elsewhere, its classes, and all names that it binds."""

    imports: dict[str, str] = field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bound: frozenset[str] = frozenset()


def _read(path: str) -> _Names:
    try:
        stat = os.stat(path)
    except OSError:
        return _Names()
    return _read_version(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=512)
def _read_version(path: str, modified: int, size: int) -> _Names:
    del modified, size  # they tell one version of a file from the next
    try:
        module = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return _Names()
    imports: dict[str, str] = {}
    for statement in module.body:
        if isinstance(statement, ast.ImportFrom):
            origin = "." * statement.level + (statement.module or "")
            for alias in statement.names:
                separator = "" if origin.endswith(".") else "."
                imports[alias.asname or alias.name] = f"{origin}{separator}{alias.name}"
    defined = {
        node.name: tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases)
        for node in module.body
        if isinstance(node, ast.ClassDef)
    }
    return _Names(imports, defined, frozenset(_bound(module)))


def _bound(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
