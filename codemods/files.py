"""The only place of this package that touches the disk: finding, reading and writing files.

What is written back differs from what was read only in the edits: encoding, mark, newlines, mode.
"""

from __future__ import annotations

import ast
import codecs
import io
import os
import re
import subprocess
import tempfile
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from codemods.renames import Names
from compat.errors import CompatError

SUFFIXES = frozenset((".py", ".pyi", ".sql"))
SKIPPED = frozenset(
    (".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__")
)


class FileError(CompatError):
    """A path that cannot be searched, or a file that cannot be written."""


@dataclass(frozen=True)
class SourceFile:
    """A file as text, and what is needed to write it back.

    :param mark: the byte order mark, or nothing
    """

    path: Path
    data: bytes
    text: str
    encoding: str
    mark: bytes = b""

    def encode(self, text: str) -> bytes | None:
        """Return a text as this file's bytes, None if its encoding does not have all signs."""
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError:
            return None


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files to search, each once, in order; git's ignored files are left out.

    :raises FileError: no such path, or a file of a kind that is not known
    """
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise FileError(f"no such file or directory: {path}", "check the spelling of PATH")
        if path.is_file() and path.suffix not in SUFFIXES:
            raise FileError(
                f"{path} is neither Python nor SQL", f"give {', '.join(sorted(SUFFIXES))} files"
            )
        for file in [path] if path.is_file() else _below(path):
            key = file.resolve()
            if key not in seen:
                seen.add(key)
                yield file


def _below(directory: Path) -> Iterator[Path]:
    listed = _listed_by_git(directory)
    for path in sorted(_walked(directory) if listed is None else listed):
        if path.suffix in SUFFIXES and path.is_file() and not path.is_symlink():
            yield path


def _listed_by_git(directory: Path) -> list[Path] | None:
    """Return what git neither ignores nor keeps to itself, None outside of a repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    except OSError:
        return None
    # An ignored directory that is named explicitly is searched all the same.
    if done.returncode != 0 or not done.stdout:
        return None
    names = (os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
    return [directory / name for name in names]


def _walked(directory: Path) -> Iterator[Path]:
    for root, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name not in SKIPPED]
        for name in names:
            yield Path(root, name)


@dataclass(frozen=True)
class Prefilter:
    """Tells from the bytes of a file whether it may mention a table of the mappings."""

    needles: tuple[bytes, ...]

    @staticmethod
    def of(names: Names) -> Prefilter:
        """Return the filter for some names."""
        needles: set[bytes] = set()
        for name in (*names.tables, *names.targets):
            # Quotes and backslashes are spelled in several ways; the longest piece without stays.
            piece = max(re.findall(r"[^\"'\\]+", name) or [""], key=len)
            for spelled in (piece, piece.lower(), piece.upper()):
                needles.add(spelled.encode().lower())
                needles.add(spelled.encode("latin-1", "ignore").lower())
        return Prefilter(tuple(sorted(needles)))

    def matches(self, data: bytes) -> bool:
        """Return False only if the file surely names none of the tables."""
        lowered = data.lower()
        return any(needle in lowered for needle in self.needles)


def read(path: Path, prefilter: Prefilter) -> SourceFile | str | None:
    """Return a file, None if it names no table, or why it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return decode(path, data) if prefilter.matches(data) else None


def decode(path: Path, data: bytes) -> SourceFile | str:
    """Return a file from its bytes, or why they are no text."""
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    body = data[len(mark) :]
    if path.suffix == ".sql":
        encodings = ["utf-8", "latin-1"]
    else:
        try:
            encodings = [tokenize.detect_encoding(io.BytesIO(body).readline)[0]]
        except (SyntaxError, UnicodeDecodeError) as error:
            return f"has no encoding that Python knows: {error}"
    for encoding in encodings:
        try:
            text = body.decode(encoding)
        except UnicodeDecodeError:
            continue
        file = SourceFile(path, data, text, encoding, mark)
        if file.encode(text) == data:
            return file
    return f"is not valid {encodings[0]}"


def write(file: SourceFile, text: str) -> None:
    """Put a new text into a file, in one step; links are followed, the mode is kept.

    :raises FileError: it has changed since it was read, or cannot be written
    """
    data = file.encode(text)
    path = file.path.resolve()
    if data is None:
        raise FileError(f"{file.path}: a new name does not exist in {file.encoding}")
    try:
        if path.read_bytes() != file.data:
            raise FileError(f"{file.path} has changed in the meantime", "run the command again")
        mode = path.stat().st_mode
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                os.fchmod(stream.fileno(), mode & 0o7777)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise FileError(f"{file.path} cannot be written: {error.strerror}") from error


@dataclass
class Constants:
    """Texts of module-level constants in other modules, read once each.

    A cache, not a value: one for each run.
    """

    known: dict[Path, dict[str, str]] = field(default_factory=dict)

    def of(self, importer: Path, origin: str) -> str | None:
        """Return the text that a dotted name stands for, as a module imports it.

        :param origin: `.values.NOT_DELETED`, `shop.values.NOT_DELETED`
        """
        module, _, name = origin.rpartition(".")
        for path in _modules(importer, module, is_relative=origin.startswith(".")):
            if path.is_file():
                return self._read(path).get(name)
        return None

    def _read(self, path: Path) -> dict[str, str]:
        if path not in self.known:
            try:
                self.known[path] = _constants(ast.parse(path.read_bytes()))
            except (OSError, SyntaxError, ValueError, RecursionError):
                self.known[path] = {}
        return self.known[path]


def _modules(importer: Path, module: str, *, is_relative: bool) -> Iterator[Path]:
    plain = module.lstrip(".")
    dots = len(module) - len(plain)
    parts = [part for part in plain.split(".") if part]
    ancestors = list(importer.resolve().parents)
    # `.NAME` alone splits off its dot together with the name.
    above = max(dots, 1) - 1 if is_relative else 0
    bases = ancestors[above : above + 1] if is_relative else ancestors[:6]
    for base in bases:
        place = base.joinpath(*parts)
        if parts:
            yield place.with_name(place.name + ".py")
        yield place / "__init__.py"


def _constants(module: ast.Module) -> dict[str, str]:
    """Return the names that a module binds once, at its top level, to a string."""
    found: dict[str, str] = {}
    bound: dict[str, int] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] = bound.get(node.id, 0) + 1
    for statement in module.body:
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        value = getattr(statement, "value", None)
        text = value.value if isinstance(value, ast.Constant) else None
        if isinstance(target, ast.Name) and isinstance(text, str) and bound[target.id] == 1:
            found[target.id] = text
    return found
