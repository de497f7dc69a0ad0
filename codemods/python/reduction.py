"""Leaves out what a module's analysis does not need, before the costly parse.

The bodies of functions in which nothing is of interest become `...`; all offsets stay.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest

Wanted = Callable[[str], bool]
"""Tells whether a piece of source holds something of interest."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_NOTHING = "..."
_SMALL = 1_000
_LINE_END = re.compile(r"\r\n|\n|\r")
# A name may be written in two literals side by side or joined with `+`, or with escapes.
_SEAM = re.compile(r"""["'](?:(?:[\s\\+()]|\#[^\n]*\n)+[rRbBfFuUtT]{0,2})?["']""")
_ATTRIBUTE_SET = re.compile(r"\.\s*(\w+)\s*(?::[^=\n]+)?[+|]?=(?!=)")
_HIDING = re.compile(r"\\[xuUN0-7]|\b(?:global|nonlocal)\b|\f")


def reduced(source: str, wanted: Wanted) -> str:
    """Return a module's source without the bodies of functions that nobody needs to see.

    What stays, stands where it stood: the result is as long as the source.
    """
    # What a comment asks to ignore may be anything.
    if len(source) < _SMALL or "compat:" in source:
        return source
    try:
        with warnings.catch_warnings(action="ignore"):  # of the files that are read
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return source
    return _Reduction(source, module, wanted).text()


class _Reduction:
    """One module, and what of it is wanted."""

    def __init__(self, source: str, module: ast.Module, wanted: Wanted) -> None:
        self.source = source
        self.module = module
        self.wanted = wanted
        self.lines = [0, *(match.end() for match in _LINE_END.finditer(source)), len(source)]

    def text(self) -> str:
        kept: list[_Function] = []
        silent: list[tuple[int, int]] = []
        for node in _functions(self.module.body):
            start, end = self._body(node)
            if self._is_wanted(self.source[start:end]):
                kept.append(node)
            elif start + len(_NOTHING) < end:
                silent.append((start, end))
        held = sorted({*self._held(self.module.body), *self._attributes(kept)})
        names = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, held))})(?!\w)") if held else None
        pieces: list[str] = []
        at = 0
        for start, end in silent:
            if names is None or not names.search(self.source, start, end):
                pieces += (self.source[at:start], _NOTHING.ljust(end - start))
                at = end
        return "".join((*pieces, self.source[at:]))

    def _is_wanted(self, text: str) -> bool:
        if self.wanted(text) or _HIDING.search(text):
            return True
        return _SEAM.search(text) is not None and self.wanted(_SEAM.sub("", text))

    def _body(self, node: _Function) -> tuple[int, int]:
        """Return where the body of a function begins and ends; nothing if not on its own lines."""
        first = node.body[0]
        decorators = getattr(first, "decorator_list", ())
        line = self.lines[min(d.lineno for d in (first, *decorators)) - 1]
        start = line + first.col_offset
        if self.source[line:start].strip():
            return start, start
        end = self.lines[node.end_lineno or first.lineno]
        return start, start + len(self.source[start:end].rstrip("\r\n"))

    def _lines_of(self, node: ast.stmt) -> str:
        return self.source[self.lines[node.lineno - 1] : self.lines[node.end_lineno or node.lineno]]

    def _held(self, body: Iterable[ast.stmt]) -> Iterator[str]:
        """Yield the names, outside of functions, that stand for something wanted.

        Who uses such a name elsewhere may add to it, or query it.
        """
        for node in body:
            if isinstance(node, _Function) or not self._is_wanted(self._lines_of(node)):
                continue
            if isinstance(node, ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from (a.asname or a.name for a in node.names if a.name != "*")
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                yield from _stored(node)
            for field in _BLOCKS:
                yield from self._held(getattr(node, field, ()))

    def _attributes(self, functions: Iterable[_Function]) -> Iterator[str]:
        """Yield the attributes, as in `self.query`, that functions set to something wanted."""
        for function in functions:
            text = self.source[slice(*self._body(function))]
            found = [*_ATTRIBUTE_SET.finditer(text)]
            # The value ends before the next attribute is set, at the latest.
            for match, after in zip_longest(found, found[1:]):
                if self._is_wanted(text[match.start() : after.start() if after else None]):
                    yield match.group(1)


def _functions(body: Iterable[ast.AST]) -> Iterator[_Function]:
    """Yield the functions of a module and of its classes, not those inside of functions."""
    for node in body:
        if isinstance(node, _Function):
            yield node
        else:
            for field in _BLOCKS:
                yield from _functions(getattr(node, field, ()))


def _stored(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> Iterator[str]:
    """Yield the names and attributes to which a statement assigns."""
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        for inner in ast.walk(target):
            if isinstance(inner, ast.Name):
                yield inner.id
            elif isinstance(inner, ast.Attribute):
                yield inner.attr
