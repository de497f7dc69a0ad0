"""Searches applications for what the planned compatibility view cannot serve.

Feeds the plan: which statements must change before the cutover, or which form the view must have.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from codemods import files
from codemods.files import Choice, Language, Prefilter
from codemods.project import Unread
from codemods.renames import Names, from_mapping
from codemods.scan import programs
from codemods.scan.needs import Use
from codemods.scan.statements import Statements
from compat.mapping import Mapping

_EXCERPT = 100


@dataclass(frozen=True)
class Scan:
    """What was found in all files.

    :param server_version: as in 15, None if not known
    """

    mappings: tuple[Mapping, ...]
    uses: tuple[Use, ...]
    unread: tuple[Unread, ...]
    searched: int
    server_version: int | None = None

    @cached_property
    def not_served(self) -> tuple[Use, ...]:
        """What the view cannot do."""
        return tuple(use for use in self.uses if not use.is_served)

    def document(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; docs/codemod.md describes the fields."""
        return {
            "version": 1,
            "server_version": self.server_version,
            "mappings": [
                {"name": m.name, "table": m.legacy.title, "form": m.chosen_form}
                for m in self.mappings
            ],
            "totals": {
                "files_searched": self.searched,
                "uses": len(self.uses),
                "not_served": len(self.not_served),
            },
            "uses": [
                {
                    "path": use.path,
                    "line": use.line,
                    "mapping": use.mapping,
                    "behaviour": use.need.behaviour,
                    "verdict": use.verdict,
                    "certain": use.certain,
                    "fix": use.need.fix,
                    "statement": use.statement,
                }
                for use in self.uses
            ],
            "unread": [{"path": str(item.path), "reason": item.reason} for item in self.unread],
        }


def run(
    paths: Sequence[Path],
    mappings: Sequence[Mapping],
    *,
    server_version: int | None = None,
    choice: Choice | None = None,
) -> Scan:
    """Search files and directories for what the view of each mapping cannot do.

    :param server_version: of the database to be, as in 15
    :raises CompatError: no such path
    """
    repository = _Repository()
    searched = 0
    for path in files.find(paths, choice):
        if files.language_of(path) in (Language.PYTHON, Language.SQL):
            searched += 1
            repository.add(path)
    uses = {use for m in mappings for use in repository.uses(m, server_version)}
    ordered = sorted(uses, key=lambda use: (use.path, use.line, use.need.behaviour))
    unread = tuple(repository.unread)
    return Scan(tuple(mappings), tuple(ordered), unread, searched, server_version)


class _Repository:
    """The files that are searched; each is decoded and parsed once, if somebody asks."""

    def __init__(self) -> None:
        self.data: dict[Path, bytes] = {}
        self.texts: dict[Path, str] = {}
        self.modules: dict[Path, ast.Module] = {}
        self.unread: list[Unread] = []

    def add(self, path: Path) -> None:
        try:
            self.data[path] = path.read_bytes()
        except OSError as error:
            self.unread.append(Unread(path, f"cannot be read: {error.strerror}"))

    def uses(self, mapping: Mapping, server_version: int | None) -> Iterator[Use]:
        """Yield what the files need of the legacy table of a mapping."""
        statements = Statements(mapping.legacy)
        named = list(self._mentioning(Prefilter.of(Names((from_mapping(mapping),))).matches))
        known = frozenset(
            name
            for path in named
            if (module := self._module(path)) is not None
            for name in programs.models(module, mapping.legacy)
        )
        words = [name.encode() for name in known]
        others = self._mentioning(lambda data: any(word in data for word in words))
        for path in dict.fromkeys((*named, *others)):
            lines = self._text(path).splitlines()
            for found in self._found(path, statements, known):
                statement = " ".join(lines[found.line - 1].split())[:_EXCERPT]
                verdict = found.need.verdict_of(mapping, server_version)
                yield Use(
                    str(path),
                    found.line,
                    mapping.name,
                    found.need,
                    verdict,
                    statement,
                    found.certain,
                )

    def _found(
        self, path: Path, statements: Statements, known: frozenset[str]
    ) -> Iterator[programs.Found]:
        text = self._text(path)
        if files.language_of(path) is Language.SQL:
            # What creates the table is its definition, not a client of it.
            if not statements.creates.search(text):
                for item in statements.find(text):
                    yield programs.Found(text.count("\n", 0, item.offset) + 1, item.need)
        elif (module := self._module(path)) is not None:
            yield from programs.find(text, module, statements, known)

    def _mentioning(self, matches: Callable[[bytes], bool]) -> Iterator[Path]:
        return (path for path, data in self.data.items() if matches(data))

    def _text(self, path: Path) -> str:
        if path not in self.texts:
            file = files.decode(path, self.data[path])
            if isinstance(file, str):
                self.unread.append(Unread(path, file))
            self.texts[path] = "" if isinstance(file, str) else file.text
        return self.texts[path]

    def _module(self, path: Path) -> ast.Module | None:
        if files.language_of(path) is not Language.PYTHON:
            return None
        if path not in self.modules:
            try:
                with warnings.catch_warnings(action="ignore"):  # of the files that are read
                    self.modules[path] = ast.parse(self._text(path))
            except (SyntaxError, ValueError, RecursionError) as error:
                self.unread.append(Unread(path, f"not readable as Python ({error})"))
                self.modules[path] = ast.Module([], [])
        return self.modules[path]
