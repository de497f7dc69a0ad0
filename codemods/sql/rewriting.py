"""Rewrites the legacy names in one SQL text, by position, and accounts for every hit in it.

A text may hold several statements; each is rewritten as a whole or not at all.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from codemods.findings import IGNORED, Finding, Outcome
from codemods.renames import NameHit, Names, Renames
from codemods.sql import lexer
from codemods.sql.bodies import rewrite_routine
from codemods.sql.identifiers import quote
from codemods.sql.ledger import Ledger, SqlResult, joined
from codemods.sql.lexer import Kind, Segment
from codemods.sql.queries import Queries

IGNORE = re.compile(r"\bcompat:\s*ignore\b", re.IGNORECASE)
"""What a comment says to keep a statement as it is."""

_LARGEST = 1_000_000
"""In characters; the tree of a longer statement would take more memory than a worker should."""

# "Select" is how a sentence begins.
_SELECT = re.compile(r"[\s(]*(?:SELECT|select)\b")
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)


def rewrite(
    text: str,
    names: Names,
    *,
    fixed: Sequence[tuple[int, int]] = (),
    percent_inserts: bool = False,
    complete: bool = False,
    variables: bool = False,
) -> SqlResult:
    """Return the edits that bring a SQL text to the target names.

    :param complete: nothing is added to the text before it runs, so that a statement which does
        not name a legacy table has nothing to do with one
    :param fixed: spans that come from elsewhere (an inserted constant): read, but not editable
    :param percent_inserts: `%s` inserts text (Python's `%` operator) and is no parameter
    :param variables: the text is of a function, whose records are qualifiers as relations are
    """
    whole = lexer.segments(text)
    spans = list(lexer.statements(text, whole))
    ignored = _ignored(text, whole, spans)
    results: list[SqlResult] = []

    holes = [segment.start for segment in whole if segment.kind is Kind.HOLE]

    def is_plain(start: int, end: int) -> bool:
        return bisect_left(holes, start) == bisect_left(holes, end)

    for start, end in spans:
        statement = text[start:end]
        hits = names.find(statement)
        if not hits:
            continue
        if (start, end) in ignored:
            result = _said(hits, IGNORED)
        elif (
            complete
            and is_plain(start, end)
            and all(hit.kind == "column" for hit in hits)
            and (variables or not _may_lack_from(statement))
        ):
            result = _said(hits, "the statement does not name the legacy table")
        elif len(statement) > _LARGEST:
            result = _said(hits, "in a statement that is too large to be read", Outcome.LOOK)
        else:
            kept = [(a - start, b - start) for a, b in fixed if a < end and b > start]
            result = _rewritten(
                Ledger(statement, names, kept, percent_inserts=percent_inserts, variables=variables)
            )
        results.append(result.moved(start))
    return joined(results)


def rewrite_expression(text: str, names: Names, renames: Renames) -> SqlResult:
    """Return the edits for a SQL expression over one legacy table, such as a check constraint."""
    table = ".".join(quote(n)[0] for n in (renames.legacy_schema, renames.legacy_table))
    prefix = f"SELECT 1 FROM {table} WHERE ("
    # The end of the line closes a trailing comment before the parenthesis does.
    result = rewrite(f"{prefix}{text}\n)", names)
    return result.moved(-len(prefix)).within(0, len(text))


def _rewritten(ledger: Ledger) -> SqlResult:
    routine = rewrite_routine(
        ledger.text,
        ledger.segments,
        ledger.names,
        lambda body: rewrite(body, ledger.names, complete=True, variables=True),
    )
    if routine is not None:
        return routine
    tree = ledger.parse()
    if tree is None:
        return ledger.listed("this could not be read as SQL", parsed=False)
    Queries(ledger).statement(tree)
    return ledger.settled(tree)


def _may_lack_from(statement: str) -> bool:
    """Tell whether a text begins as a query and names no relation: perhaps a piece of one."""
    return _SELECT.match(statement) is not None and _FROM.search(statement) is None


def _said(hits: Sequence[NameHit], reason: str, outcome: Outcome = Outcome.UNRELATED) -> SqlResult:
    """Return the result that says the same of every hit, and changes nothing."""
    return SqlResult(
        findings=tuple(
            Finding(hit.start, hit.end, hit.name, hit.kind, outcome, reason) for hit in hits
        ),
        parsed=outcome is not Outcome.LOOK,
    )


def _ignored(
    text: str, found: Sequence[Segment], spans: Sequence[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Return the statements that a comment in them, or behind them on the line, says to keep."""
    ignored: set[tuple[int, int]] = set()
    for segment in found:
        comment = text[segment.start : segment.end]
        if segment.kind is not Kind.COMMENT or not IGNORE.search(comment):
            continue
        line = text.rfind("\n", 0, segment.start) + 1
        before = [span for span in spans if line <= span[1] < segment.start]
        ignored |= {before[-1]} if before else {s for s in spans if s[0] <= segment.start < s[1]}
    return ignored
