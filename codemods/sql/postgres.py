"""The check of a rewriting by PostgreSQL's own parser (libpg_query, through pglast).

Optional: pglast is large and under the GPL, so it is an extra of this package. Without it the
comparison of the trees of sqlglot stands alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from codemods.edits import Edit, apply
from codemods.sql.syntax import meant

_PLACES = frozenset(
    (
        "location",
        "stmt_location",
        "stmt_len",
        "list_start",
        "list_end",
        "rexpr_list_start",
        "rexpr_list_end",
    )
)


@cache
def _parser() -> Callable[[str], str | None] | None:
    try:
        from pglast.parser import ParseError, parse_sql_json
    except ImportError:
        return None

    def parsed(text: str) -> str | None:
        try:
            tree: str = parse_sql_json(text)
        except ParseError:
            return None
        return tree

    return parsed


def is_available() -> bool:
    """Tell whether pglast is installed."""
    return _parser() is not None


def same_but_for(text: str, edits: Sequence[Edit]) -> bool | None:
    """Tell whether a text means the same after some edits, but for the names that they change.

    :return: None if PostgreSQL's parser is not there, or does not read the text as it was
    """
    before = _tree(text)
    if before is None:
        return None
    after = _tree(apply(text, edits))
    return after is not None and _Comparison(text, edits).same(before, after)


def _tree(text: str) -> Any:
    parse = _parser()
    tree = parse(text) if parse is not None else None
    return None if tree is None else json.loads(tree)["stmts"]


class _Comparison:
    """Compares two trees under the renames that some edits make."""

    def __init__(self, text: str, edits: Sequence[Edit]) -> None:
        self.renamed: set[tuple[str, str]] = set()
        self.added: set[str] = set()
        for edit in edits:
            old = text[edit.start : edit.end]
            name, _, alias = edit.new.partition(" AS ")
            *schema, plain = _path(name.strip()) or [""]
            self.renamed.add((meant(old), plain))
            self.renamed.add((old, edit.new))  # inside a string
            self.added |= {*schema, *(_path(alias) if alias else ()), meant(old)}

    def same(self, before: Any, after: Any) -> bool:
        if isinstance(before, dict) and isinstance(after, dict):
            keys = (before.keys() | after.keys()) - _PLACES
            return all(self._same_field(key, before.get(key), after.get(key)) for key in keys)
        if isinstance(before, list) and isinstance(after, list):
            return len(before) == len(after) and all(map(self.same, before, after))
        if isinstance(before, str) and isinstance(after, str):
            return before == after or (before, after) in self.renamed
        return bool(before == after)

    def _same_field(self, key: str, before: Any, after: Any) -> bool:
        if before is None and key in ("name", "schemaname"):
            return after in self.added
        return self.same(before, after)


def _path(written: str) -> list[str]:
    """Return the names in a dotted path of identifiers."""
    parts, part, quoted = [], "", False
    for sign in written:
        quoted ^= sign == '"'
        if sign == "." and not quoted:
            parts.append(part)
            part = ""
        else:
            part += sign
    return [meant(name) for name in (*parts, part)]
