"""Finds the models of the legacy tables before anything else, so that every file can know them.

Only files that name a table and look like they define one are parsed for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from codemods import files, python
from codemods.entities import Entity, is_module
from codemods.files import Language, SourceFile
from codemods.renames import Names

_DEFINES = re.compile(
    rb"__tablename__|\bTable\s*\(|\btable\s*\(|\bdb_table\b|\btable_name\b|\bclass\s+Meta\b|\b_table_\b"
    rb"|\bSQLModel\b|\bModel\b"
)


def with_entities(names: Names, paths: Iterable[Path]) -> Names:
    """Return the names together with the models that some files define."""
    return replace(names, entities=tuple(_entities(names, paths)))


def _entities(names: Names, paths: Iterable[Path]) -> Iterator[Entity]:
    for path in paths:
        if files.language_of(path) is not Language.PYTHON:
            continue
        file = files.read(path)
        if isinstance(file, SourceFile) and _DEFINES.search(file.data):
            yield from python.entities(file.text, names, str(path))


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
