"""Finds the models of the legacy tables before anything else, so that every file can know them.

Only files that name a table and look like they define one are parsed for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from codemods import files, python
from codemods.entities import Entity, imports, is_module
from codemods.files import Language, SourceFile
from codemods.python.tree import Tree
from codemods.renames import Names, longest_piece

_DEFINES = re.compile(
    rb"__tablename__|\bTable\s*\(|\btable\s*\(|\bdb_table\b|\btable_name\b|\bclass\s+Meta\b|\b_table_\b"
    rb"|\bSQLModel\b|\bModel\b"
)
_CLASS = re.compile(r"^[ \t]*class\s+(\w+)", re.MULTILINE)
_KEPT = 200_000
"""So many characters may stand in all trees that are kept; a tree takes 250 bytes for each."""


def with_entities(names: Names, paths: Iterable[Path]) -> tuple[Names, dict[Path, Tree]]:
    """Return the names together with the models that some files define.

    And trees of those files, as many as the memory allows, so that few are parsed once more.
    """
    entities: list[Entity] = []
    trees: dict[Path, Tree] = {}
    size = 0
    for path in paths:
        if files.language_of(path) is not Language.PYTHON:
            continue
        file = files.read(path)
        if not isinstance(file, SourceFile) or not _may_define(file, names):
            continue
        tree = python.tree_of(file.text, names)
        if tree is None:
            continue
        entities += python.entities(tree, names, str(path))
        size += len(file.text)
        if size <= _KEPT:
            trees[path] = tree
    return replace(names, entities=tuple(entities)), trees


def _may_define(file: SourceFile, names: Names) -> bool:
    """Return False only if a file surely defines no model of a table.

    It would name the table as a text, or leave that to a library that calls it after the class.
    """
    if not _DEFINES.search(file.data):
        return False
    tables = {*names.tables, *names.targets}
    if any(re.search(rf"{re.escape(longest_piece(t))}[\"'\\]", file.text) for t in tables):
        return True
    called = "".join(tables).replace("_", "").lower()
    return any(name.replace("_", "").lower() in called for name in _CLASS.findall(file.text))


def with_aliases(names: Names, paths: Iterable[Path]) -> Names:
    """Return the names together with those under which modules pass a model on to others."""
    known = {entity.name for entity in names.entities}
    if not known:
        return names
    renames = re.compile(rf"\b(?:{'|'.join(map(re.escape, known))})\s+as\s".encode())
    aliases = {
        local
        for path in paths
        if files.language_of(path) is Language.PYTHON and renames.search(path.read_bytes())
        for local, origin in imports(str(path)).items()
        if origin.rpartition(".")[2] in known
    }
    return replace(names, aliases=frozenset(aliases))


def mentioning(names: Names, paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Yield the Python files that name a model or a renamed name, each with its size in bytes."""
    if not names.words:
        return
    moved = [code.old for code in names.code]
    words = "|".join(re.escape(word) for word in sorted(names.words))
    pattern = re.compile(rf"(?<!\w)(?:{words})(?:__\w+)?(?!\w)".encode())
    for path in paths:
        if files.language_of(path) is Language.PYTHON:
            data = path.read_bytes()
            if pattern.search(data) or any(is_module(path, old) for old in moved):
                yield path, len(data)
