"""What SQLAlchemy is told about a table: its columns' names, constraints, indexes, foreign keys."""

from __future__ import annotations

import re
from collections.abc import Sequence

import libcst as cst

from codemods import sql
from codemods.analysis import Part, Pending, Style, joined
from codemods.findings import Outcome
from codemods.python import context
from codemods.python.literals import Text
from codemods.python.strings import placed
from codemods.python.work import Plan, Work, items, keyword, positional
from codemods.renames import Renames

COLUMNS = frozenset(("Column", "mapped_column"))
NAMED_COLUMNS = frozenset(("UniqueConstraint", "PrimaryKeyConstraint", "ExcludeConstraint"))
EXPRESSIONS = frozenset(("CheckConstraint", "Computed"))
_TABLE_COLUMN = re.compile(
    r"(?<![\w.])(?:(?P<schema>\w+)\.)?(?P<table>\w+)\.(?:c|columns)\.(?P<column>\w+)"
)
_KEY_STAYS = "the key of a column, which stays"


class Constraints:
    """Works on constraints and references, inside and outside of a table's definition."""

    def __init__(self, work: Work) -> None:
        self.work = work

    # -- columns -----------------------------------------------------------------------------

    def given_name(self, plan: Plan, call: cst.Call) -> tuple[Text | None, cst.CSTNode | None]:
        """Return the name that a Column call gives, None when it takes the attribute's."""
        strings = self.work.strings
        for index, arg in enumerate(call.args):
            if arg.star:
                plan.block("a column is made with * or **, which may hold its name")
            elif arg.keyword is None and index == 0:
                if (text := strings.text(arg.value)) is not None:
                    return text, arg.value
                if strings.constant(arg.value) is not None:
                    plan.block("the name of a column is a constant")
            elif arg.keyword is not None and arg.keyword.value == "name":
                if (text := strings.text(arg.value)) is not None:
                    return text, arg.value
                plan.block("the name of a column is computed")
        return None, None

    def inside_column(self, plan: Plan, call: cst.Call) -> None:
        """The conditions and computations that a Column call holds are about the whole table."""
        for node in positional(call):
            if (
                isinstance(node, cst.Call)
                and self.work.tree.scope.construct(node.func) in EXPRESSIONS
            ):
                for expression in positional(node)[:1]:
                    self.expression(plan, expression)

    # -- tables that are none of ours --------------------------------------------------------

    def other_table(self, node: cst.CSTNode, text: Text) -> None:
        """The name of a table with which no mapping has to do."""
        if text.holes:
            told = "a part of the table's name is inserted at run time"
            self.work.parts.append(self.work.unrelated(text, told, Outcome.LOOK))
        else:
            self.work.parts.append(self.work.unrelated(text, "the name of a table"))
        self.work.done.add(node)

    def other_columns(self, definition: cst.CSTNode) -> None:
        """Strings that name columns in the definition of a table that is none of ours."""
        work = self.work
        for call in work.tree.inside(definition):
            if not isinstance(call, cst.Call):
                continue
            construct = work.tree.scope.construct(call.func)
            nodes: list[cst.BaseExpression] = []
            if construct in COLUMNS | NAMED_COLUMNS | EXPRESSIONS | {"Index"}:
                nodes = [arg.value for arg in call.args if not arg.star]
            elif construct == "ForeignKeyConstraint" and call.args:
                nodes = list(items(call.args[0].value))
            for node in nodes:
                text = work.strings.text(node)
                if text is not None and node not in work.done:
                    work.done.add(node)
                    work.parts.append(work.unrelated(text, "of another table"))

    # -- constraints and indexes of a table --------------------------------------------------

    def table_args(self, plan: Plan, value: cst.BaseExpression) -> None:
        """`__table_args__` of a class."""
        if not isinstance(value, cst.Tuple | cst.Dict | cst.List):
            plan.block("__table_args__ is computed")
        for item in items(value):
            if isinstance(item, cst.Call):
                self.constraint(plan, item)
        if plan.is_target:
            return
        inside_calls = (
            node
            for item in (value, *items(value))
            if isinstance(item, cst.Call)
            for node in self.work.tree.inside(item)
        )
        for node in inside_calls:
            if context.is_whole_string(self.work.tree, node) and not (
                node in plan.seen or node in self.work.done
            ):
                text = self.work.strings.text(node)
                if text is not None and plan.has_renamed(text):
                    plan.block("__table_args__ names a column in a way that is not followed")

    def constraint(self, plan: Plan, call: cst.Call) -> None:
        """One constraint or index of a table."""
        construct = self.work.tree.scope.construct(call.func)
        plain = positional(call)
        if construct in NAMED_COLUMNS:
            self._columns(plan, plain)
        elif construct == "Index":
            self._name(plan, plain[:1])
            self._columns(plan, plain[1:])
            for arg in call.args:
                if arg.keyword is None:
                    continue
                if isinstance(arg.value, cst.Call):
                    self._text_call(plan, arg.value)
                elif arg.keyword.value.endswith("_include"):
                    self._columns(plan, list(items(arg.value)))
        elif construct == "ForeignKeyConstraint" and plain:
            self._columns(plan, list(items(plain[0])))
            for item in items(plain[1]) if len(plain) > 1 else ():
                self.reference(item)
        elif construct == "CheckConstraint" and plain:
            self.expression(plan, plain[0])
        name = keyword(call, "name")
        if name is not None:
            self._name(plan, [name.value])

    def _name(self, plan: Plan, nodes: Sequence[cst.BaseExpression]) -> None:
        """The name of a constraint or an index is none of the mapping's."""
        for node in nodes:
            text = self.work.strings.text(node)
            if text is not None:
                plan.seen.add(node)
                plan.parts.append(self.work.unrelated(text, "the name of a constraint or index"))

    def _columns(self, plan: Plan, nodes: Sequence[cst.BaseExpression]) -> None:
        """Strings that name columns by their keys in the Table."""
        for node in nodes:
            text = self.work.strings.text(node)
            if isinstance(node, cst.Call):
                self._text_call(plan, node)
            if text is None or plan.is_target:
                continue
            column = plan.renames.by_legacy.get(text.value)
            if column is None or not column.matters:
                continue
            if plan.style is Style.CORE and not self.work.names.settings.attributes:
                plan.seen.add(node)
                plan.parts.append(self.work.unrelated(text, _KEY_STAYS))
            elif column.target is None:
                plan.block(f"{column.legacy!r} {column.absence}")
            else:
                plan.replace(node, text, column.target, kind="column", reason=plan.why(column))

    def _text_call(self, plan: Plan, call: cst.Call) -> None:
        if self.work.tree.scope.construct(call.func) in ("text", "Computed") and call.args:
            self.expression(plan, call.args[0].value)

    def expression(self, plan: Plan, node: cst.BaseExpression) -> None:
        """A SQL expression over the columns of the table."""
        text = self.work.strings.text(node)
        if isinstance(node, cst.Call):
            self._text_call(plan, node)
        if text is None or plan.is_target or not self.work.names.find(text.value):
            return
        plan.seen.add(node)
        result = sql.rewrite_expression(text.value, self.work.names, plan.renames)
        part = placed(text, result)
        plan.parts.append(part)
        unclear = any(f.outcome is Outcome.LOOK and f.kind == "column" for f in part.findings)
        if unclear and not result.edits and plan.has_renamed(text):
            plan.block("a SQL expression of the table is not understood")

    # -- references from elsewhere -----------------------------------------------------------

    def reference(self, node: cst.CSTNode) -> None:
        """A string `table.column` or `schema.table.column`."""
        text = self.work.strings.text(node)
        if text is None or node in self.work.done:
            return
        pieces = text.value.split(".")
        if len(pieces) not in (2, 3):
            return
        schema = pieces[0] if len(pieces) == 3 else None
        renames, is_target = self.work.renames(pieces[-2], schema)
        self.work.done.add(node)
        if renames is None or is_target:
            self.work.parts.append(self.work.unrelated(text, "a column of another table"))
            return
        self._refer(text, renames, schema, pieces[-2], pieces[-1])

    def table_name(self, node: cst.CSTNode) -> None:
        """A string `table` or `schema.table` that names a Table of the metadata."""
        text = self.work.strings.text(node)
        if text is None or node in self.work.done:
            return
        schema, _, table = text.value.rpartition(".")
        renames, is_target = self.work.renames(table, schema or None)
        if renames is not None and not is_target:
            self.work.done.add(node)
            self._refer(text, renames, schema or None, table, None)

    def joined(self, node: cst.CSTNode) -> None:
        """An expression in a string of relationship(), which may use `table.c.column`."""
        text = self.work.strings.text(node)
        if text is None or node in self.work.done:
            return
        hits = self.work.names.find(text.value)
        covered: list[tuple[int, int]] = []
        found: list[Pending] = []
        for match in _TABLE_COLUMN.finditer(text.value):
            schema = match.group("schema")
            renames, is_target = self.work.renames(match.group("table"), schema)
            if renames is None or is_target:
                continue
            if renames.target_schema != renames.legacy_schema or renames.divided is not None:
                return
            pending = self._table_column(text, match, renames)
            if pending is None:
                return
            found.append(pending)
            covered.append(match.span())
        inside = [h for h in hits if any(a <= h.start and h.end <= b for a, b in covered)]
        if found and len(inside) == len(hits):
            self.work.done.add(node)
            self.work.pending += found

    def _table_column(self, text: Text, match: re.Match[str], renames: Renames) -> Pending | None:
        reason = f"{renames.legacy_title} is now {renames.target_schema}.{renames.target_table}"
        start, end = match.span("table")
        table = self.work.replaced(text, start, end, renames.target_table, reason, kind="table")
        column = renames.by_legacy.get(match.group("column"))
        if table is None or column is None or not column.matters:
            return None if table is None else Pending(renames.name, table, table)
        start, end = match.span("column")
        told = f"{renames.legacy_table}.{column.legacy} is now {column.target}"
        stays = self.work.found(text, start, end, Outcome.UNRELATED, _KEY_STAYS, kind="column")
        if column.target is None:
            return None
        changed = self.work.replaced(text, start, end, column.target, told, kind="column")
        if changed is None:
            return None
        keyed = changed if self.work.names.settings.attributes else Part(findings=(stays,))
        return Pending(renames.name, joined((table, changed)), joined((table, keyed)))

    def _refer(
        self, text: Text, renames: Renames, schema: str | None, table: str, column: str | None
    ) -> None:
        """Say what a reference becomes, depending on how the table is defined."""
        base = self._table_part(text, renames, schema, table)
        named, keyed = [base], [base]
        rename = renames.by_legacy.get(column) if column is not None else None
        if rename is not None and rename.matters:
            end = len(text.value)
            start = end - len(rename.legacy)
            reason = f"{renames.legacy_table}.{rename.legacy} is now {rename.target}"
            changed = (
                self.work.replaced(text, start, end, rename.target, reason, kind="column")
                if rename.target is not None
                else None
            )
            named.append(changed)
            if self.work.names.settings.attributes:
                keyed.append(changed)
            else:
                stays = self.work.found(
                    text, start, end, Outcome.UNRELATED, _KEY_STAYS, kind="column"
                )
                keyed.append(Part(findings=(stays,)))
        if None in named or None in keyed:
            told = "the new name cannot be spelled there"
            self.work.parts.append(self.work.unrelated(text, told, Outcome.LOOK))
            return
        self.work.pending.append(
            Pending(
                renames.name,
                joined(p for p in named if p is not None),
                joined(p for p in keyed if p is not None),
            )
        )

    def _table_part(
        self, text: Text, renames: Renames, schema: str | None, table: str
    ) -> Part | None:
        if renames.divided is not None:
            return None
        reason = f"{renames.legacy_title} is now {renames.target_schema}.{renames.target_table}"
        at = len(schema) + 1 if schema is not None else 0
        new = renames.target_table
        moved: Part | None = Part()
        if renames.target_schema != renames.legacy_schema:
            if schema is None:
                new = f"{renames.target_schema}.{new}"
            else:
                moved = self.work.replaced(
                    text, 0, len(schema), renames.target_schema, reason, kind="schema"
                )
        renamed = self.work.replaced(text, at, at + len(table), new, reason, kind="table")
        return None if moved is None or renamed is None else joined((moved, renamed))
