"""The names of a query's outputs: by default they stay, though the columns behind them change.

A program reads its results by these names; ORDER BY and DISTINCT ON may refer to them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from sqlglot import exp, tokenize
from sqlglot.tokenizer_core import Token

from codemods.edits import Edit
from codemods.sql.identifiers import words
from codemods.sql.ledger import Ledger
from codemods.sql.scope import Frame, Use
from codemods.sql.syntax import DIALECT, is_bare, meant, name_of, named_after, output_name

_CLAUSE_ENDS = words(
    """FROM WHERE GROUP HAVING ORDER LIMIT OFFSET UNION EXCEPT INTERSECT WINDOW FETCH FOR INTO
    , ;"""
)
_LIST_STARTS = words(", SELECT RETURNING DISTINCT ALL")
_KEPT = (Use.NAMED, Use.RELATION)

Resolve = Callable[[exp.Expr, Frame], None]


class Outputs:
    """The select lists of one statement.

    :param resolve: resolves the names in an expression, at a query level
    """

    def __init__(self, ledger: Ledger, resolve: Resolve) -> None:
        self.ledger = ledger
        self.resolve = resolve

    def projections(self, items: Sequence[exp.Expr], frame: Frame, use: Use) -> dict[str, str]:
        """Resolve a select list; return the outputs that get another name, if they may."""
        renamed: dict[str, str] = {}
        for item in items:
            if isinstance(item, exp.Star) and use is Use.EXISTENCE:
                continue
            self.resolve(item, frame)
            column = named_after(item)
            if column is None or not isinstance(column.this, exp.Identifier):
                continue
            start = column.this.meta.get("start")
            for edit in [e for e in self.ledger.edits if e.start == start]:
                if meant(edit.new) == name_of(column.this):
                    continue
                if use in _KEPT:
                    self._keep_name(item, column.this, edit)
                elif use is Use.RENAMED:
                    renamed[name_of(column.this)] = meant(edit.new)
        return renamed

    def _keep_name(self, item: exp.Expr, identifier: exp.Identifier, edit: Edit) -> None:
        """Give a renamed column its legacy name back as the name of the output."""
        output = f" AS {self.ledger.text[edit.start : edit.end]}"
        if item is identifier.parent:
            self.ledger.extend(edit, edit.new + output)
        else:
            end = self._end_of_projection(edit.start, edit.end)
            if end is None:
                self.ledger.block("the output's name follows the column in a way not understood")
                return
            self.ledger.edits.append(Edit(end, end, output, "the output keeps its name"))
        alias = exp.Identifier(this=identifier.name, quoted=bool(identifier.args.get("quoted")))

        def change() -> None:
            item.replace(exp.Alias(this=item.copy(), alias=alias))

        self.ledger.changes.append(change)

    def _end_of_projection(self, start: int, end: int) -> int | None:
        """Return where the item of a select list ends that holds a name at `start:end`."""
        tokens = self._tokens
        at = next((i for i, t in enumerate(tokens) if t.start == start), None)
        if at is None:
            return None
        opened = closed = 0
        for token in reversed(tokens[:at]):
            if token.text == ")":
                closed += 1
            elif token.text == "(":
                closed, opened = (closed - 1, opened) if closed else (0, opened + 1)
            elif not closed and token.text.upper() in _LIST_STARTS:
                break
        depth, last = 0, end
        for token in tokens[at + 1 :]:
            if token.text in ("(", "["):
                depth += 1
            elif token.text in (")", "]"):
                depth -= 1
                if depth < -opened:
                    break
            elif depth <= -opened and token.text.upper() in _CLAUSE_ENDS:
                break
            last = token.end + 1
        return last

    @cached_property
    def _tokens(self) -> list[Token]:
        return tokenize(self.ledger.masked, read=DIALECT)

    # -- references to outputs -------------------------------------------------------------

    def by_output_first(
        self,
        node: exp.Expr,
        projections: Sequence[exp.Expr],
        renamed: Mapping[str, str],
        frame: Frame,
    ) -> None:
        """ORDER BY and DISTINCT ON take a bare name as that of an output, if there is one."""
        column = node.this if isinstance(node, exp.Ordered) else node
        if not (isinstance(column, exp.Column) and is_bare(column)):
            self.resolve(node, frame)
            return
        names = {output_name(item) for item in projections}
        if name_of(column.this) in names:
            self._refer(column.this, renamed)
            return
        before = len(self.ledger.edits)
        self.resolve(column, frame)
        after = {renamed.get(name or "", name) for name in names}
        for edit in self.ledger.edits[before:]:
            if meant(edit.new) in after:
                self.ledger.block(f"{edit.new} would mean an output of that name")

    def only_output(self, node: exp.Expr, renamed: Mapping[str, str], frame: Frame) -> None:
        """ORDER BY after a set operation knows the names of outputs only."""
        column = node.this if isinstance(node, exp.Ordered) else node
        if isinstance(column, exp.Column) and is_bare(column):
            self._refer(column.this, renamed)
        else:
            self.resolve(node, frame)

    def _refer(self, identifier: exp.Identifier, renamed: Mapping[str, str]) -> None:
        new = renamed.get(name_of(identifier))
        if new is None:
            self.ledger.mark(identifier, "the name of an output")
        else:
            self.ledger.rename(identifier, new, "the output has the column's new name")
