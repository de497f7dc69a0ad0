"""Divides a file of SQL into sections of whole statements, and rows of data between them.

A dump may have millions of statements; what is known of one section is forgotten before the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from codemods.sql import lexer

# What may hold a semicolon that ends no statement is passed over: psql's commands and Jinja too.
_TOKEN = re.compile(
    rf"""
      (?P<OTHER>^[ \t]*\\[^\n]*|\{{\{{.*?\}}\}}|\{{%.*?%\}}|\{{\#.*?\#\}})
    | {lexer.COVERED}
    | ;(?P<END>[ \t]*\r?\n)?
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_COPY = re.compile(lexer.SPACE + r"COPY\b[^;']*?\bFROM\s+STDIN\b[^;]*;[ \t]*\r?\n", re.IGNORECASE)
_ROWS_END = re.compile(r"^\\\.[ \t]*\r?$", re.MULTILINE)
_LEAST = 250_000
"""In characters; what is known of a section takes fifty times as much memory for a while."""


@dataclass(frozen=True)
class Section:
    """A part of a file.

    :param rows: it holds no statements, but the rows that follow COPY … FROM stdin
    :param ended: the line `\\.` is there that ends the rows
    """

    start: int
    end: int
    rows: bool = False
    ended: bool = False


def sections(text: str) -> Iterator[Section]:
    """Yield the parts of a file, in order; together they are all of it."""
    start = statement = at = 0
    while found := _TOKEN.search(text, at):
        at = found.end()
        if found.lastgroup in ("COMMENT", "STRING", "QUOTED", "DOLLAR"):
            continue
        if found["END"] and _COPY.fullmatch(text, statement, at):
            yield Section(start, at)
            last = _ROWS_END.search(text, at)
            start = len(text) if last is None else last.end()
            yield from _rows(text, at, start, ended=last is not None)
            at = start
        elif found["END"] and at - start >= _LEAST:
            yield Section(start, at)
            start = at
        statement = at
    if start < len(text):
        yield Section(start, len(text))


def _rows(text: str, start: int, end: int, *, ended: bool) -> Iterator[Section]:
    while start < end:
        line = text.find("\n", start + _LEAST, end) + 1
        yield Section(start, line or end, rows=True, ended=ended)
        start = line or end
