"""Divides SQL into code, comments, literals and placeholders, without parsing it.

A parser reads only what this leaves as code; everything keeps its offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What a segment is; code itself is whatever no segment covers."""

    STRING = auto()
    QUOTED = auto()
    DOLLAR = auto()
    COMMENT = auto()
    PARAMETER = auto()
    PERCENT = auto()
    HOLE = auto()
    SEMICOLON = auto()


@dataclass(frozen=True, slots=True)
class Segment:
    """A span that is not plain code."""

    start: int
    end: int
    kind: Kind


HOLE = "_hole_"
"""How the name begins that stands for text unknown before the program runs."""

COVERED = r"""
      (?P<COMMENT>--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z))
    | (?P<STRING>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)|'(?:[^']|'')*(?:'|\Z))
    | (?P<QUOTED>"(?:[^"]|"")*(?:"|\Z))
    | (?P<DOLLAR>(?<![\w$])\$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z))
"""
"""A pattern (verbose, with DOTALL) for what hides the signs in it: comments and literals."""

_PATTERN = re.compile(
    rf"""
      \s{{2,}}  # at once: a file may have many where something else was
    | {COVERED}
    | (?P<PARAMETER>%(?:\(\w+\))?[sbtdfir](?!\w)|(?<![:\w\]]):(?:[A-Za-z_]\w*|'\w+')
      |(?<![\w$])\$\d+)
    | (?P<PERCENT>%%)
    | (?P<HOLE>\{{[^{{}}'"]*\}}|(?<![\w$])_hole_\d+_(?![\w$])|(?<![:\w\]]):"\w+")
    | (?P<SEMICOLON>;)
    """,
    re.VERBOSE | re.DOTALL,
)


_BLANKS = re.compile(r"\s+")


def segments(text: str) -> tuple[Segment, ...]:
    """Return what is not plain code, in order."""
    return tuple(
        Segment(match.start(), match.end(), Kind[match.lastgroup or ""])
        for match in _PATTERN.finditer(text)
        if match.lastgroup
    )


def statements(text: str, found: tuple[Segment, ...]) -> Iterator[tuple[int, int]]:
    """Yield the span of each statement, without its semicolon and the blanks before it."""
    start = _after_blanks(text, 0)
    for segment in found:
        if segment.kind is Kind.SEMICOLON:
            yield min(start, segment.start), segment.start
            start = _after_blanks(text, segment.end)
    if start < len(text):
        yield start, len(text)


def _after_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return at if blanks is None else blanks.end()


SPACE = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*\*/)*"
"""A pattern for what may stand before a statement: white space and comments."""

# What stands before a statement that is read, or inside it, and takes no part in its names.
_BEFORE = re.compile(
    SPACE
    + r"(?:EXPLAIN\b(?:\s*\([^()]*\)|\s+(?:ANALYZE|ANALYSE|VERBOSE)\b)*"
    + r"|DECLARE\s+\w+\s+(?:(?:BINARY|INSENSITIVE|ASENSITIVE|NO|SCROLL)\s+)*"
    + r"CURSOR\s+(?:WITH(?:OUT)?\s+HOLD\s+)?FOR"
    + r"|PREPARE\s+\w+\s*(?:\([^()]*\)\s*)?AS)(?=\s)",
    re.IGNORECASE,
)
_INSIDE = re.compile(
    r"\bOVERRIDING\s+(?:SYSTEM|USER)\s+VALUE\b|\bWHERE\s+CURRENT\s+OF\s+\w+", re.IGNORECASE
)


def masks(text: str, found: tuple[Segment, ...]) -> Iterator[str]:
    """Yield texts of the same length for a parser, the most literal one first.

    Placeholders become names or numbers where the parser does not take them as they are.
    """
    plain = list(text)
    for segment in found:
        if segment.kind is Kind.PERCENT:
            plain[segment.start + 1] = " "
        elif segment.kind is Kind.HOLE and text[segment.start] in "{%:":
            size = segment.end - segment.start
            plain[segment.start : segment.end] = (HOLE + "_" * size)[:size]
    if before := _BEFORE.match(text):
        plain[: before.end()] = " " * before.end()
    for inside in _INSIDE.finditer(text):
        plain[inside.start() : inside.end()] = " " * (inside.end() - inside.start())
    yield "".join(plain)
    parameters = [s for s in found if s.kind is Kind.PARAMETER]
    if parameters:
        for sign in ("p", "1"):
            for segment in parameters:
                plain[segment.start : segment.end] = sign * (segment.end - segment.start)
            yield "".join(plain)
