"""The bodies of functions and DO blocks: the SQL statements and expressions inside.

PL/pgSQL is divided by its keywords, not parsed: what is no statement and no expression stays, and
is listed if it names the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from codemods.findings import Finding, Outcome
from codemods.renames import NameHit, Names
from codemods.sql import lexer
from codemods.sql.ledger import SqlResult
from codemods.sql.lexer import SPACE, Kind, Segment

Rewrite = Callable[[str], SqlResult]

_ROUTINE = re.compile(
    SPACE + r"(?:(?P<do>DO\b)|CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b)", re.IGNORECASE
)
_LANGUAGE = re.compile(r"\bLANGUAGE\s+['\"]?(\w+)", re.IGNORECASE)
_BLANK = re.compile(SPACE)
_WORD = re.compile(r"\w+|<<\s*\w+\s*>>")
_TYPE_OF = re.compile(r"%TYPE\b", re.IGNORECASE)
_ROW_OF_TRIGGER = re.compile(r"\b(?:NEW|OLD)\.\"?\Z", re.IGNORECASE)
_QUERY = re.compile(r"(?:SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|TRUNCATE|VALUES)\b", re.IGNORECASE)
_INTO = re.compile(
    r"(?<!INSERT)(?<!MERGE)\s+INTO\s+(?:STRICT\s+)?[\w.\"]+(?:\s*,\s*[\w.\"]+)*", re.IGNORECASE
)
_PREFIX = "SELECT "


@dataclass(frozen=True)
class _Piece:
    """A statement or an expression inside of a body."""

    start: int
    end: int
    is_expression: bool = False


def rewrite_routine(
    text: str, found: tuple[Segment, ...], names: Names, rewrite: Rewrite
) -> SqlResult | None:
    """Return the result for a statement that defines a function or is a DO block, else None.

    :param found: the segments of the text
    :param rewrite: rewrites a complete SQL text
    """
    head = _ROUTINE.match(text)
    bodies = [segment for segment in found if segment.kind is Kind.DOLLAR]
    if head is None or len(bodies) != 1:
        return None
    opening = text.index("$", bodies[0].start + 1) + 1
    size = opening - bodies[0].start
    start, end = opening, bodies[0].end - size
    body = text[start:end]
    outside = text[: bodies[0].start] + " " * (bodies[0].end - bodies[0].start)
    outside += text[bodies[0].end :]
    match = _LANGUAGE.search(outside)
    language = match[1].lower() if match else ("plpgsql" if head["do"] else "")
    if language == "sql":
        inside = rewrite(body)
    elif language == "plpgsql":
        inside = _rewrite_block(body, names, rewrite)
    else:
        inside = _listed(body, names, f"a body in {language or 'another language'}")
    inside = _without_collisions(inside, text, names)
    signature = tuple(_in_signature(hit) for hit in names.find(outside))
    moved = inside.moved(start)
    findings = sorted((*signature, *moved.findings), key=lambda found: found.start)
    return SqlResult(moved.edits, tuple(findings), moved.notes, True, inside.reads_legacy)


def _in_signature(hit: NameHit) -> Finding:
    if hit.kind == "column":
        reason = "a parameter or a result of the function"
        return Finding(hit.start, hit.end, hit.name, hit.kind, Outcome.UNRELATED, reason)
    reason = "the function takes or returns rows of the table, whose columns get new names"
    return Finding(hit.start, hit.end, hit.name, hit.kind, Outcome.LOOK, reason)


def _listed(text: str, names: Names, reason: str) -> SqlResult:
    return SqlResult(
        findings=tuple(
            Finding(hit.start, hit.end, hit.name, hit.kind, Outcome.LOOK, reason)
            for hit in names.find(text)
        )
    )


def _without_collisions(result: SqlResult, routine: str, names: Names) -> SqlResult:
    """Leave a body as it is if a variable may have the name that a column gets."""
    for edit in result.edits:
        new = edit.new.split(" AS ")[0].strip().strip('"')
        is_table = new in names.targets
        if new and not is_table and re.search(rf"(?<![\w.]){re.escape(new)}(?!\w)", routine):
            return result.left(f"left as it is: {new!r} may be a variable of the function")
    return result


_LITERALS = (lexer.Kind.STRING, lexer.Kind.DOLLAR)


# -- PL/pgSQL --------------------------------------------------------------------------------


def _rewrite_block(body: str, names: Names, rewrite: Rewrite) -> SqlResult:
    found = lexer.segments(body)
    results = []
    for start, end in lexer.statements(body, found):
        for piece in _pieces(body, start, end):
            text = body[piece.start : piece.end]
            # Where no table is named, what looks like a column is a variable or a field.
            if any(hit.kind != "column" for hit in names.find(text)):
                results.append(_rewrite_piece(text, piece, rewrite).moved(piece.start))
    edits = tuple(edit for result in results for edit in result.edits)
    known = [finding for result in results for finding in result.findings]
    spans = {(finding.start, finding.end) for finding in known}
    rest = [_between(hit, body) for hit in names.find(body) if (hit.start, hit.end) not in spans]
    return SqlResult(
        edits,
        tuple(sorted((*known, *rest), key=lambda finding: finding.start)),
        tuple(note for result in results for note in result.notes),
        reads_legacy=any(result.reads_legacy for result in results),
    )


def _rewrite_piece(text: str, piece: _Piece, rewrite: Rewrite) -> SqlResult:
    if piece.is_expression:
        result = rewrite(f"{_PREFIX}({text}\n)").moved(-len(_PREFIX) - 1)
        return result.within(0, len(text))
    plain = re.sub(r"^PERFORM", "SELECT ", text, flags=re.IGNORECASE)
    # The variables that take the results are no part of the query.
    into = _INTO.search(plain)
    if into is not None:
        plain = plain[: into.start()] + " " * (into.end() - into.start()) + plain[into.end() :]
    return rewrite(plain)


def _between(hit: NameHit, body: str) -> Finding:
    if hit.kind != "column":
        return _finding(hit, Outcome.LOOK, "outside of the SQL statements of the body")
    if _ROW_OF_TRIGGER.search(body, 0, hit.start):
        return _finding(hit, Outcome.LOOK, "a row of a trigger, of a table that is not known here")
    if _TYPE_OF.match(body, hit.end):
        return _finding(hit, Outcome.LOOK, "the type of a column")
    if _is_executed(hit, body):
        return _finding(hit, Outcome.LOOK, "in a statement that is put together at run time")
    return _finding(hit, Outcome.UNRELATED, "outside of the SQL statements of the body")


def _is_executed(hit: NameHit, body: str) -> bool:
    """Tell whether a hit is in a literal of a statement that begins with EXECUTE."""
    found = lexer.segments(body)
    if not any(s.kind in _LITERALS and s.start <= hit.start < s.end for s in found):
        return False
    return any(
        start <= hit.start < end
        and re.search(r"\bEXECUTE\b", body[start : hit.start], re.IGNORECASE)
        for start, end in lexer.statements(body, found)
    )


def _finding(hit: NameHit, outcome: Outcome, reason: str) -> Finding:
    return Finding(hit.start, hit.end, hit.name, hit.kind, outcome, reason)


def _pieces(body: str, start: int, end: int) -> Iterator[_Piece]:
    """Yield what is SQL between two semicolons, past the keywords of PL/pgSQL."""
    at = start
    while word := _WORD.match(body, _after_blank(body, at), end):
        keyword = word[0].upper()
        if keyword.startswith("<<") or keyword in ("BEGIN", "DECLARE", "ELSE", "LOOP", "EXCEPTION"):
            at = word.end()
        elif keyword in ("IF", "ELSIF", "ELSEIF", "WHEN", "CASE", "WHILE"):
            stop = _find_word(body, word.end(), end, "LOOP" if keyword == "WHILE" else "THEN")
            if stop is None:
                return
            yield _Piece(word.end(), stop[0], is_expression=True)
            at = stop[1]
        elif keyword in ("FOR", "FOREACH"):
            first, stop = (_find_word(body, word.end(), end, w) for w in ("IN", "LOOP"))
            if first is None or stop is None:
                return
            yield from _query_or_expression(body, first[1], stop[0])
            at = stop[1]
        else:
            yield from _last_piece(body, word, end)
            return


def _last_piece(body: str, word: re.Match[str], end: int) -> Iterator[_Piece]:
    keyword = word[0].upper()
    if keyword == "PERFORM" or _QUERY.match(word[0]):
        yield _Piece(word.start(), end)
    elif keyword == "RETURN":
        after = re.compile(r"\s+(?:QUERY|NEXT)\b", re.IGNORECASE).match(body, word.end())
        yield from _query_or_expression(body, after.end() if after else word.end(), end)
    elif keyword != "EXECUTE":
        # An assignment, a default, or a cursor and its query.
        sign = re.compile(r"[^;(']*?(?::=|\bFOR\b)", re.IGNORECASE).match(body, word.end(), end)
        if sign is not None:
            yield from _query_or_expression(body, sign.end(), end)


def _query_or_expression(body: str, start: int, end: int) -> Iterator[_Piece]:
    start = _after_blank(body, start)
    if body[start:end].strip() and not re.match(r"EXECUTE\b", body[start:end], re.IGNORECASE):
        yield _Piece(start, end, is_expression=_QUERY.match(body, start) is None)


def _after_blank(body: str, at: int) -> int:
    blank = _BLANK.match(body, at)
    return blank.end() if blank else at


def _find_word(body: str, start: int, end: int, word: str) -> tuple[int, int] | None:
    """Return where a keyword stands in plain code, outside of parentheses and CASE."""
    depth = 0
    code = body[start:end]
    covered = lexer.segments(code)
    for match in re.finditer(rf"[()]|\b(?:CASE|END|{word})\b", code, re.IGNORECASE):
        if any(s.start <= match.start() < s.end for s in covered):
            continue
        sign = match[0].upper()
        if sign in ("(", "CASE"):
            depth += 1
        elif sign in (")", "END"):
            depth -= 1
        elif depth == 0:
            return start + match.start(), start + match.end()
    return None
