"""String literals of Python: what they mean, and where in the source each character stands.

A name found in the meaning can be replaced in the source only where it is in one piece.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import libcst as cst

from codemods.edits import Edit

Span = Callable[[cst.CSTNode], tuple[int, int]]
Constant = Callable[[cst.BaseExpression], "str | None"]

_ESCAPE = re.compile(
    r"""\\(?:(?P<line>\r\n|\n|\r)|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})
    |U(?P<U>[0-9a-fA-F]{8})|N\{(?P<N>[^}]*)\}|(?P<octal>[0-7]{1,3})|(?P<one>.))""",
    re.VERBOSE | re.DOTALL,
)
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}


@dataclass(frozen=True)
class Part:
    """How one literal of a concatenation is written."""

    start: int
    end: int
    quote: str
    raw: bool
    formatted: bool
    is_bytes: bool


@dataclass(frozen=True)
class Text:
    """The meaning of a string expression.

    :param value: the text; what is inserted at run time stands in it as `_hole_N_`
    :param starts: for each character, where its spelling begins in the source
    :param ends: and where it ends; equal to the beginning for what is not spelled there
    :param parts: the literals; :param part_of: which one each character belongs to
    :param holes: spans of `value` whose text is not known
    :param constants: spans of `value` whose text comes from a constant elsewhere
    """

    value: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    part_of: tuple[int, ...]
    parts: tuple[Part, ...]
    holes: tuple[tuple[int, int], ...] = ()
    constants: tuple[tuple[int, int], ...] = ()

    @property
    def start(self) -> int:
        """Where the expression begins in the source."""
        return self.parts[0].start

    @property
    def end(self) -> int:
        """Where the expression ends in the source."""
        return self.parts[-1].end

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a span of the value begins and ends in the source, in however many parts."""
        if start >= len(self.value):
            return self.end, self.end
        return self.starts[start], max(self.ends[start:end], default=self.starts[start])

    def edit(self, edit: Edit) -> Edit | None:
        """Return an edit of the value as one of the source, or None if that is not possible."""
        if edit.start == edit.end:
            return self._insertion(edit)
        indexes = range(edit.start, edit.end)
        parts = {self.part_of[i] for i in indexes}
        if len(parts) != 1 or any(self.starts[i] == self.ends[i] for i in indexes):
            return None
        if any(self.ends[i] != self.starts[i + 1] for i in indexes[:-1]):
            return None
        part = self.parts[parts.pop()]
        written = _spell(edit.new, part)
        if written is None:
            return None
        return Edit(self.starts[edit.start], self.ends[edit.end - 1], written, edit.reason)

    def _insertion(self, edit: Edit) -> Edit | None:
        if edit.start == 0 or self.starts[edit.start - 1] == self.ends[edit.start - 1]:
            return None
        written = _spell(edit.new, self.parts[self.part_of[edit.start - 1]])
        if written is None:
            return None
        at = self.ends[edit.start - 1]
        return Edit(at, at, written, edit.reason)


def _spell(new: str, part: Part) -> str | None:
    """Return a text as a literal of this kind writes it, or None if that is too risky."""
    # A sign that starts a placeholder would be read by whoever fills in the parameters.
    if any(sign in new for sign in "\\%:{}\n\r\0") or not new.isprintable():
        return None
    if part.is_bytes and not new.isascii():
        return None
    if part.quote[0] in new:
        if part.raw:
            return None
        return new.replace(part.quote[0], "\\" + part.quote[0])
    return new


@dataclass
class _Builder:
    source: str
    span: Span
    constant: Constant
    value: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    part_of: list[int] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    constants: list[tuple[int, int]] = field(default_factory=list)

    def add(self, text: str, start: int, end: int) -> None:
        """Add characters that share one spelling."""
        for character in text:
            self.value.append(character)
            self.starts.append(start)
            self.ends.append(end)
            self.part_of.append(len(self.parts) - 1)

    def body(self, start: int, end: int, part: Part) -> None:
        """Add the source between two offsets of one literal, decoded."""
        position = start
        while position < end:
            character = self.source[position]
            if character == "\\" and not part.raw:
                match = _ESCAPE.match(self.source, position, end)
                if match is not None:
                    self.add(_unescaped(match, part.is_bytes), position, match.end())
                    position = match.end()
                    continue
            if part.formatted and self.source[position : position + 2] in ("{{", "}}"):
                self.add(character, position, position + 2)
                position += 2
                continue
            self.add(character, position, position + 1)
            position += 1

    def simple(self, node: cst.SimpleString) -> None:
        start, end = self._without_parentheses(node, node.value)
        prefix, quote = node.prefix.lower(), node.quote
        part = Part(start, end, quote, "r" in prefix, False, "b" in prefix)
        self.parts.append(part)
        self.body(start + len(prefix) + len(quote), end - len(quote), part)

    def formatted(self, node: cst.FormattedString | cst.TemplatedString) -> None:
        start, end = self.span(node)
        start += self.source[start:end].index(node.start) if node.lpar else 0
        if node.rpar:
            end = start + self.source[start:end].rindex(node.end) + len(node.end)
        prefix = node.prefix.lower()
        part = Part(start, end, node.quote, "r" in prefix, True, "b" in prefix)
        self.parts.append(part)
        for piece in node.parts:
            a, b = self.span(piece)
            if isinstance(piece, cst.FormattedStringText | cst.TemplatedStringText):
                self.body(a, b, part)
            elif isinstance(piece, cst.FormattedStringExpression | cst.TemplatedStringExpression):
                self.hole(piece, a)

    def hole(
        self, piece: cst.FormattedStringExpression | cst.TemplatedStringExpression, at: int
    ) -> None:
        """Add what is inserted: the text of a constant, or a name that stands for anything."""
        before = len(self.value)
        plain = piece.conversion is None and piece.format_spec is None and piece.equal is None
        known = self.constant(piece.expression) if plain else None
        self.add(f"_hole_{len(self.holes)}_" if known is None else known, at, at)
        (self.holes if known is None else self.constants).append((before, len(self.value)))

    def _without_parentheses(self, node: cst.SimpleString, token: str) -> tuple[int, int]:
        start, end = self.span(node)
        if node.lpar:
            start += self.source[start:end].index(token)
        return start, start + len(token)


def _unescaped(match: re.Match[str], is_bytes: bool) -> str:
    groups = match.groupdict()
    if groups["line"] is not None:
        return ""
    for key in ("x", "u", "U"):
        if (digits := groups[key]) is not None:
            return match.group() if is_bytes and key != "x" else chr(int(digits, 16))
    if (octal := groups["octal"]) is not None:
        return chr(int(octal, 8))
    if (name := groups["N"]) is not None:
        try:
            return match.group() if is_bytes else unicodedata.lookup(name)
        except KeyError:
            return match.group()
    one = groups["one"] or ""
    return _SIMPLE.get(one, match.group())


def read(node: cst.BaseExpression, source: str, span: Span, constant: Constant) -> Text | None:
    """Return the meaning of a string expression; None when it is no string.

    :param span: where a node stands in the source
    :param constant: the text of an expression inserted into an f-string, where it is known
    """
    builder = _Builder(source, span, constant)
    if not _add(node, builder):
        return None
    return Text(
        "".join(builder.value),
        tuple(builder.starts),
        tuple(builder.ends),
        tuple(builder.part_of),
        tuple(builder.parts),
        tuple(builder.holes),
        tuple(builder.constants),
    )


def _add(node: cst.BaseExpression, builder: _Builder) -> bool:
    if isinstance(node, cst.SimpleString):
        builder.simple(node)
        return True
    if isinstance(node, cst.FormattedString | cst.TemplatedString):
        builder.formatted(node)
        return True
    if isinstance(node, cst.ConcatenatedString):
        return _add(node.left, builder) and _add(node.right, builder)
    return False
