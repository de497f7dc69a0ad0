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
class Named:
    """An identifier that a function quotes when the program runs, as `sql.Identifier("qty")`.

    :param start: where it begins in the text, with its quotes; :param end: where it ends
    :param after: where in the source something can be written behind it, None if nowhere
    :param around: which literal that place is in
    """

    start: int
    end: int
    after: int | None
    around: int


@dataclass(frozen=True)
class Text:
    """The meaning of a string expression.

    :param value: the text; what is inserted at run time stands in it as `_hole_N_`
    :param starts: for each character, where its spelling begins in the source
    :param ends: and where it ends; equal to the beginning for what is not spelled there
    :param part_of: which literal each character belongs to
    :param parts: the literals
    :param holes: spans of `value` whose text is not known
    :param constants: spans of `value` whose text comes from a constant elsewhere
    :param named: identifiers that are quoted at run time
    """

    value: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    part_of: tuple[int, ...]
    parts: tuple[Part, ...]
    holes: tuple[tuple[int, int], ...] = ()
    constants: tuple[tuple[int, int], ...] = ()
    named: tuple[Named, ...] = ()

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a span of the value begins and ends in the source, in however many parts."""
        if start >= len(self.value):
            at = max(part.end for part in self.parts)
            return at, at
        found = self._inner(start, end)
        if found is not None:
            start, end = found
        return self.starts[start], max(self.ends[start:end], default=self.starts[start])

    def edits(self, edit: Edit) -> tuple[Edit, ...] | None:
        """Return an edit of the value as edits of the source, or None if that is not possible."""
        if edit.start == edit.end:
            return self._insertion(edit.start, edit.new, edit.reason)
        named = next((n for n in self.named if (n.start, n.end) == (edit.start, edit.end)), None)
        if named is not None:
            return self._identifier(named, edit)
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
        return (Edit(self.starts[edit.start], self.ends[edit.end - 1], written, edit.reason),)

    def _inner(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the span of an identifier without the quotes that nobody has written."""
        if any((n.start, n.end) == (start, end) for n in self.named):
            return start + 1, end - 1
        return None

    def _identifier(self, named: Named, edit: Edit) -> tuple[Edit, ...] | None:
        """Write a new name without its quotes, and what follows it behind the placeholder."""
        match = _QUOTED.match(edit.new)
        if match is None:
            return None
        name = match.group("name").replace('""', '"')
        inside = self.edits(Edit(named.start + 1, named.end - 1, name, edit.reason))
        if inside is None or match.end() == len(edit.new):
            return inside
        behind = self._insertion(named.end, edit.new[match.end() :], edit.reason)
        return None if behind is None else (*inside, *behind)

    def _insertion(self, at: int, new: str, reason: str) -> tuple[Edit, ...] | None:
        if at == 0:
            return None
        named = next((n for n in self.named if n.end == at), None)
        if named is not None:
            if named.after is None:
                return None
            place, part = named.after, self.parts[named.around]
        elif self.starts[at - 1] == self.ends[at - 1]:
            return None
        else:
            place, part = self.ends[at - 1], self.parts[self.part_of[at - 1]]
        written = _spell(new, part)
        return None if written is None else (Edit(place, place, written, reason),)


_QUOTED = re.compile(r'"(?P<name>(?:[^"]|"")+)"')


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


_SPECIAL = re.compile(r"\\|\{\{|\}\}")


@dataclass
class Builder:
    """Gathers the text of a string expression, piece by piece."""

    source: str
    span: Span
    constant: Constant
    value: list[str] = field(default_factory=list)
    size: int = 0
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    part_of: list[int] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    constants: list[tuple[int, int]] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)

    def text(self) -> Text:
        """Return what was gathered."""
        return Text(
            "".join(self.value),
            tuple(self.starts),
            tuple(self.ends),
            tuple(self.part_of),
            tuple(self.parts),
            tuple(self.holes),
            tuple(self.constants),
            tuple(self.named),
        )

    def add(self, text: str, start: int, end: int, part: int) -> None:
        """Add characters that share one spelling."""
        size = len(text)
        self.value.append(text)
        self.size += size
        self.starts += [start] * size
        self.ends += [end] * size
        self.part_of += [part] * size

    def _plain(self, start: int, end: int, part: int) -> None:
        """Add source that means itself."""
        self.value.append(self.source[start:end])
        self.size += end - start
        self.starts += range(start, end)
        self.ends += range(start + 1, end + 1)
        self.part_of += [part] * (end - start)

    def body(self, start: int, end: int, index: int) -> None:
        """Add the source between two offsets of one literal, decoded."""
        part = self.parts[index]
        position = start
        for special in _SPECIAL.finditer(self.source, start, end):
            at = special.start()
            if at < position:
                continue
            if special.group() != "\\":
                if part.formatted:
                    self._plain(position, at, index)
                    self.add(special.group()[0], at, at + 2, index)
                    position = at + 2
            elif not part.raw and (match := _ESCAPE.match(self.source, at, end)) is not None:
                self._plain(position, at, index)
                self.add(_unescaped(match, part.is_bytes), at, match.end(), index)
                position = match.end()
        self._plain(position, end, index)

    def simple(self, node: cst.SimpleString, *, formatted: bool = False) -> tuple[int, int, int]:
        """Begin a plain literal; return where its content starts and ends, and its number.

        :param formatted: `{{` means a brace, as `.format()` is called on it
        """
        start, end = self._without_parentheses(node, node.value)
        prefix, quote = node.prefix.lower(), node.quote
        part = Part(start, end, quote, "r" in prefix, formatted, "b" in prefix)
        self.parts.append(part)
        return start + len(prefix) + len(quote), end - len(quote), len(self.parts) - 1

    def formatted(self, node: cst.FormattedString | cst.TemplatedString) -> None:
        """Add an f-string or a template string."""
        start, end = self.span(node)
        start += self.source[start:end].index(node.start) if node.lpar else 0
        if node.rpar:
            end = start + self.source[start:end].rindex(node.end) + len(node.end)
        prefix = node.prefix.lower()
        self.parts.append(Part(start, end, node.quote, "r" in prefix, True, "b" in prefix))
        index = len(self.parts) - 1
        for piece in node.parts:
            a, b = self.span(piece)
            if isinstance(piece, cst.FormattedStringText | cst.TemplatedStringText):
                self.body(a, b, index)
            elif isinstance(piece, cst.FormattedStringExpression):
                plain = piece.conversion is None and piece.format_spec is None
                known = self.constant(piece.expression) if plain and piece.equal is None else None
                self.inserted(known, a, index)
            else:
                # What a template string inserts is a parameter, whatever its value.
                self.inserted(None, a, index)

    def inserted(self, known: str | None, at: int, part: int) -> None:
        """Add what comes from elsewhere: the text of a constant, or a name for anything."""
        before = self.size
        self.add(f"_hole_{len(self.holes)}_" if known is None else known, at, at, part)
        (self.holes if known is None else self.constants).append((before, self.size))

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


def add(node: cst.BaseExpression, builder: Builder) -> bool:
    """Add a string literal, or several that stand side by side; return False for anything else."""
    if isinstance(node, cst.SimpleString):
        builder.body(*builder.simple(node))
        return True
    if isinstance(node, cst.FormattedString | cst.TemplatedString):
        builder.formatted(node)
        return True
    if isinstance(node, cst.ConcatenatedString):
        return add(node.left, builder) and add(node.right, builder)
    return False
