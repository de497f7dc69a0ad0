"""Finds in SQL what a view at the place of a table does not do.

Told by the words of a statement, which is enough here and works in functions, scripts and pieces of
SQL as well; only GROUP BY is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from codemods.scan.needs import Need
from codemods.sql import IGNORE, lexer
from codemods.sql.lexer import Kind
from codemods.sql.syntax import name_of, parse_one
from compat.tables import Table

_PLAIN = frozenset((Kind.QUOTED, Kind.SEMICOLON, Kind.PARAMETER, Kind.HOLE))


_LOCKING = r"\bFOR\s+(?:(?:NO\s+KEY\s+)?UPDATE|(?:KEY\s+)?SHARE)\b"


@dataclass(frozen=True)
class Found:
    """A need at an offset of a text."""

    offset: int
    need: Need


class Statements:
    """The patterns for one legacy table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.key = table.primary_key
        name = _identifier(table.name)
        path = rf"(?:ONLY\s+)?(?:{_identifier(table.schema)}\s*\.\s*|(?<![.\w\"])){name}(?![\w$\"])"
        self.named = re.compile(rf"(?<![\w$]){path}", re.IGNORECASE)
        self.creates = re.compile(
            rf"\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{path}", re.IGNORECASE
        )
        insert = rf"\bINSERT\s+INTO\s+{path}.*?\bON\s+CONFLICT\s*"
        self.patterns = tuple(
            (need, re.compile(pattern, re.IGNORECASE | re.DOTALL))
            for need, pattern in (
                (Need.ON_CONFLICT_CONSTRAINT, rf"{insert}ON\s+CONSTRAINT\b"),
                (Need.ON_CONFLICT, rf"{insert}\("),
                (Need.ON_CONFLICT_ANY, rf"{insert}DO\b"),
                (Need.TRUNCATE, rf"\bTRUNCATE\b[^;()]*?\s{path}"),
                (Need.COPY_FROM, rf"\bCOPY\s+{path}\s*(?:\([^)]*\))?\s*FROM\b"),
                (Need.LOCK, rf"\bLOCK\s+(?:TABLE\s+)?{path}"),
                (Need.ROW_LOCKS, rf"\b(?:FROM|JOIN)\s+{path}.*?{_LOCKING}"),
                (Need.MERGE, rf"\bMERGE\s+INTO\s+{path}"),
                (Need.SYSTEM_COLUMNS, rf"\b(?:UPDATE|FROM)\s+{path}.*?\bWHERE\s+CURRENT\s+OF\b"),
                (Need.DDL, rf"\bREFERENCES\s+{path}"),
                (Need.DDL, rf"\bCREATE\s+(?:UNIQUE\s+)?INDEX\b[^;]*?\bON\s+{path}"),
                (Need.ALTER, rf"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?{path}"),
                (Need.ALTER, rf"\bCREATE\s+(?:CONSTRAINT\s+)?TRIGGER\b[^;]*?\bON\s+{path}"),
            )
        )
        self.system = re.compile(r"(?<![\w$])(?:ctid|xmin|xmax|cmin|cmax|tableoid)(?![\w$])", re.I)

    def find(self, text: str) -> Iterator[Found]:
        """Yield what the statements of a text need of the table."""
        if not self.named.search(text):
            return
        found = lexer.segments(text)
        code = list(text)
        for segment in found:
            inside = text[segment.start : segment.end]
            if segment.kind is Kind.DOLLAR:
                opening = inside.index("$", 1) + 1
                body = inside[opening:-opening]
                for inner in self.find(body):
                    yield Found(segment.start + opening + inner.offset, inner.need)
            if segment.kind not in _PLAIN and not IGNORE.search(inside):
                code[segment.start : segment.end] = " " * (segment.end - segment.start)
        plain = "".join(code)
        for start, end in lexer.statements(text, found):
            statement = plain[start:end]
            # What says "ignore" was left in the text for this; other comments were taken out.
            if self.named.search(statement) and not IGNORE.search(statement):
                for item in self._in_statement(statement, text[start:end]):
                    yield Found(start + item.offset, item.need)

    def _in_statement(self, code: str, text: str) -> Iterator[Found]:
        for need, pattern in self.patterns:
            if match := pattern.search(code):
                yield Found(_first_word(code, match.start()), need)
        if match := self.system.search(code):
            yield Found(match.start(), Need.SYSTEM_COLUMNS)
        if re.search(r"\bGROUP\s+BY\b", code, re.IGNORECASE):
            yield from self._by_key_only(text)

    def _by_key_only(self, text: str) -> Iterator[Found]:
        """Yield the queries that select columns which depend on the key they are grouped by."""
        trees = (parse_one(masked) for masked in lexer.masks(text, lexer.segments(text)))
        tree = next((tree for tree in trees if tree is not None), None)
        columns = {column.name for column in self.table.columns}
        for select in tree.find_all(exp.Select) if tree is not None else ():
            sources = [t for t in select.find_all(exp.Table) if t.name == self.table.name]
            group = select.args.get("group")
            if not sources or not isinstance(group, exp.Group) or not self.key:
                continue
            aliases = {source.alias_or_name for source in sources}
            grouped = {name_of(c.this) for c in group.expressions if _is_plain(c)}
            depends = [
                column
                for item in select.expressions
                for column in item.find_all(exp.Column)
                if _is_plain(column)
                and column.parent_select is select
                and column.find_ancestor(exp.AggFunc) is None
                and (column.table in aliases or (not column.table and len(aliases) == 1))
                and name_of(column.this) in columns - grouped
            ]
            if set(self.key) <= grouped and depends:
                start = depends[0].this.meta.get("start")
                yield Found(start if isinstance(start, int) else 0, Need.GROUP_BY_KEY)


def _identifier(name: str) -> str:
    quoted = re.escape('"' + name.replace('"', '""') + '"')
    return rf"(?:{quoted}|{re.escape(name)})" if re.fullmatch(r"[a-z_][\w$]*", name) else quoted


def _is_plain(node: exp.Expr) -> bool:
    return isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier)


def _first_word(text: str, at: int) -> int:
    return at + len(text[at:]) - len(text[at:].lstrip())
