"""Does a statement, as a statistics view shows it, use a relation of a given name?

No parser: the texts may be cut off in the middle or hold placeholders, and there are thousands.
Tokens tell a relation from a column, an alias, a string or a comment of the same name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["read", "write"]

_TOKEN = re.compile(
    r"""
      (?P<skipped> \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<string> [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z) | '(?:[^']|'')*(?:'|\Z)
                | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z) )
    | "(?P<quoted> (?:[^"]|"")* )"
    | (?P<word> [^\W\d][\w$]* )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_LEAVES_FROM = frozenset(
    (
        *("WHERE", "SET", "GROUP", "ORDER", "HAVING", "WINDOW", "LIMIT", "OFFSET", "FETCH", "FOR"),
        *("RETURNING", "VALUES", "WHEN", "UNION", "EXCEPT", "INTERSECT"),
    )
)
_BEFORE_TABLE = frozenset(["", "(", ";", "AS", "UNION", "ALL", "EXCEPT", "INTERSECT"])


@dataclass(frozen=True)
class _Token:
    """A piece of a statement; `keyword` is empty for whatever is in quotes."""

    keyword: str = ""
    name: str | None = None


@dataclass
class _Level:
    """Where we are between two parentheses: inside a statement, inside its list of relations."""

    in_statement: bool = False
    in_from: bool = False


def may_use(text: str) -> str:
    """Return the SQL condition that a text holds a name: the parameter, as the catalogue has it.

    Spares most texts `kind_of_use`. Within quotes a quote is doubled.

    :param text: SQL of the text
    """
    return f"strpos(replace(lower({text}), '\"\"', '\"'), replace(lower(%s), '\"\"', '\"')) > 0"


def kind_of_use(text: str, schema: str, name: str) -> Kind | None:
    """Return how a statement uses a relation, or None when it does not.

    A name without a schema counts: what it means depends on the search path of the session.
    """
    tokens = [*_tokens(text)]
    expressions = _common_table_expressions(tokens)
    found: set[Kind] = set()
    for at, kind in _relation_positions(tokens):
        chain, end = _chain(tokens, at)
        if chain[-1:] != [name] or chain[-2:-1] not in ([], [schema]):
            continue
        if len(chain) == 1 and name in expressions:
            continue
        if kind == "copy":
            found.add("write" if _copies_in(tokens, end) else "read")
        elif kind == "write" or _keyword(tokens, end) != "(":  # else a function in FROM
            found.add(kind)
    return "write" if "write" in found else "read" if found else None


def _tokens(text: str) -> list[_Token]:
    tokens = []
    for match in _TOKEN.finditer(text):
        if match["quoted"] is not None:
            tokens.append(_Token(name=match["quoted"].replace('""', '"')))
        elif match["word"] is not None:
            tokens.append(_Token(match["word"].upper(), match["word"].lower()))
        elif match["skipped"] is None:
            tokens.append(_Token(match["other"] or "'"))
    return tokens


def _keyword(tokens: list[_Token], at: int) -> str:
    return tokens[at].keyword if 0 <= at < len(tokens) else ""


def _common_table_expressions(tokens: list[_Token]) -> set[str]:
    found = set()
    for at, token in enumerate(tokens):
        as_, *next_two = (_keyword(tokens, at + n) for n in (1, 2, 3))
        is_query = as_ == "AS" and (next_two[0] == "(" or "MATERIALIZED" in next_two)
        if token.name and (is_query or _keyword(tokens, at - 1) in ("WITH", "RECURSIVE")):
            found.add(token.name)
    return found


def _relation_positions(tokens: list[_Token]) -> list[tuple[int, Literal[Kind, "copy"]]]:
    """Return where the name of a relation stands, or should, and what is done with it."""
    found: list[tuple[int, Literal[Kind, "copy"]]] = []
    levels = [_Level()]
    for at, token in enumerate(tokens):
        level, word = levels[-1], token.keyword
        before, after = _keyword(tokens, at - 1), _keyword(tokens, at + 1)
        if word == "(":
            # FROM (a JOIN b …): still relations.
            is_joined = level.in_from and before in ("FROM", "JOIN", ",", "(")
            levels.append(_Level(is_joined, is_joined))
            if is_joined:
                found.append((at + 1, "read"))
        elif word == ")" and len(levels) > 1:
            levels.pop()
        elif word == ";":
            levels = [_Level()]
        elif word in ("SELECT", "DELETE", "MERGE", "INSERT"):
            level.in_statement, level.in_from = True, False
        elif word == "FROM" and level.in_statement and not _is_distinct_from(tokens, at):
            level.in_from = True
            found.append((at + 1, "write" if before == "DELETE" else "read"))
        elif word == "UPDATE" and before not in ("FOR", "KEY") and after != "SET":
            level.in_statement = True
            found.append((at + 1, "write"))
        elif word == "INTO":
            found.append((at + 1, "write"))
        elif (
            word == "JOIN" or (word == "USING" and after != "(") or (word == "," and level.in_from)
        ):
            found.append((at + 1, "read"))
        elif word == "COPY":
            found.append((at + 1, "copy"))
        elif word == "TABLE" and before in _BEFORE_TABLE:
            found.append((at + 1, "read"))
        elif word in _LEAVES_FROM:
            level.in_from = False
    return found


def _is_distinct_from(tokens: list[_Token], at: int) -> bool:
    return _keyword(tokens, at - 1) == "DISTINCT" and _keyword(tokens, at - 2) in ("IS", "NOT")


def _chain(tokens: list[_Token], at: int) -> tuple[list[str], int]:
    """Return the parts of a dotted name, and where it ends."""
    while _keyword(tokens, at) in ("ONLY", "LATERAL"):
        at += 1
    parts: list[str] = []
    while at < len(tokens) and (name := tokens[at].name) is not None:
        parts.append(name)
        if _keyword(tokens, at + 1) != ".":
            return parts, at + 1
        at += 2
    return parts, at


def _copies_in(tokens: list[_Token], at: int) -> bool:
    """Return whether a COPY goes FROM something, from behind its relation on."""
    words = (token.keyword for token in tokens[at:])
    return next((word for word in words if word in ("FROM", "TO")), "") == "FROM"
