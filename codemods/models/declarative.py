"""Classes that SQLAlchemy or SQLModel maps to a table: which columns they have, under which names.

Unless attributes are to be renamed as well, only the names in the database change.
"""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from codemods.analysis import Style
from codemods.edits import Edit
from codemods.findings import Outcome
from codemods.models.constraints import COLUMNS, Constraints
from codemods.python.imports import imported_name
from codemods.python.literals import Text
from codemods.python.tree import dotted_source
from codemods.python.work import (
    Plan,
    Work,
    assignments,
    insert_first,
    insert_last,
    items,
    keyword,
    line_start,
    statements,
)
from codemods.renames import ColumnRename

WRAPPERS = frozenset(("deferred", "column_property", "query_expression"))
CLEAN_BASES = frozenset(
    ("DeclarativeBase", "DeclarativeBaseNoMeta", "MappedAsDataclass", "AsyncAttrs", "SQLModel")
)
_SQLMODEL = frozenset(("sqlmodel",))


@dataclass(frozen=True)
class _Header:
    """What a class says about its table.

    :param node: the expression that holds the name, None if the name follows from the class's
    """

    node: cst.CSTNode | None
    table: str
    text: Text | None
    schema: tuple[cst.CSTNode, Text] | None


class Declarative:
    """Works on the classes of one module."""

    def __init__(self, work: Work, constraints: Constraints) -> None:
        self.work = work
        self.constraints = constraints

    def visit(self, node: cst.ClassDef) -> None:
        """Decide about one class, if it is mapped to a table."""
        header = self._header(node)
        if header is None:
            return
        schema = header.schema[1].value if header.schema else None
        renames, is_target = self.work.renames(header.table, schema)
        if renames is None:
            if header.node is not None and header.text is not None:
                self.constraints.other_table(header.node, header.text)
                self.constraints.other_columns(node)
            return
        plan = Plan(self.work, renames, Style.DECLARATIVE, is_target=is_target)
        if header.node is None or header.text is None:
            self._implicit_name(plan, node)
        else:
            plan.name_table(header.node, header.text, header.schema)
        is_sqlmodel = self._is_sqlmodel(node)
        for statement in statements(node):
            self._statement(plan, statement, is_sqlmodel=is_sqlmodel)
        self._unread_columns(plan, node)
        self._missing(plan, node)
        plan.finish(node.name.value)

    # -- which table -------------------------------------------------------------------------

    def _header(self, node: cst.ClassDef) -> _Header | None:
        table: tuple[cst.CSTNode, Text] | None = None
        schema: tuple[cst.CSTNode, Text] | None = None
        for target, value in assignments(node):
            if target.value == "__tablename__" and value is not None:
                table = self._table_name(value)
            elif target.value == "__table_args__" and value is not None:
                schema = self._schema(value)
        if table is not None:
            return _Header(table[0], table[1].value, table[1], schema)
        given = any(target.value == "__tablename__" for target, _ in assignments(node))
        if self._is_sqlmodel(node) and not given:
            return _Header(None, node.name.value.lower(), None, schema)
        return None

    def _table_name(self, value: cst.BaseExpression) -> tuple[cst.CSTNode, Text] | None:
        """Return the string that names the table, perhaps that of a constant used only here."""
        text = self.work.strings.text(value)
        if text is not None:
            return value, text
        scope = self.work.tree.scope
        if isinstance(value, cst.Name) and (node := scope.constants.get(value.value)) is not None:
            text = self.work.strings.text(node)
            uses = (
                isinstance(name, cst.Name) and name.value == value.value
                for name in self.work.tree.of(cst.Name)
            )
            if text is not None and sum(uses) == 2:
                return node, text
        return None

    def _is_sqlmodel(self, node: cst.ClassDef) -> bool:
        return any(
            arg.keyword is not None
            and arg.keyword.value == "table"
            and dotted_source(arg.value) == "True"
            for arg in node.keywords
        )

    def _schema(self, value: cst.BaseExpression) -> tuple[cst.CSTNode, Text] | None:
        """Return the schema that `__table_args__` names."""
        for item in (value, *items(value)):
            if not isinstance(item, cst.Dict):
                continue
            for element in item.elements:
                if isinstance(element, cst.DictElement):
                    key = self.work.strings.text(element.key)
                    text = self.work.strings.text(element.value)
                    if key is not None and key.value == "schema" and text is not None:
                        return element.value, text
        return None

    def _implicit_name(self, plan: Plan, node: cst.ClassDef) -> None:
        """Give a class the table's name that no longer follows from its own."""
        renames = plan.renames
        if plan.is_target:
            return
        written = self.work.literal(renames.target_table)
        if renames.target_schema != renames.legacy_schema or written is None:
            plan.block("the table's name follows from the class's, and cannot be written there")
            return
        lines = (n for n in node.body.body if isinstance(n, cst.SimpleStatementLine))
        first = next((n for n in lines if not isinstance(n.body[0], cst.Expr)), node)
        at, indent = line_start(self.work.tree, first)
        if indent is None:
            plan.block("there is no place for the table's name")
            return
        plan.insert(at, f"__tablename__ = {written}\n{indent}", plan.why_table)
        if node.name.value in self.work.names.tables:
            plan.seen.add(node.name)

    # -- columns -----------------------------------------------------------------------------

    def _statement(
        self, plan: Plan, statement: cst.BaseSmallStatement, *, is_sqlmodel: bool
    ) -> None:
        if isinstance(statement, cst.AnnAssign):
            if isinstance(statement.target, cst.Name):
                if is_sqlmodel and not statement.target.value.startswith("_"):
                    self._field(plan, statement, statement.target)
                else:
                    self._attribute(plan, statement.target, statement.value, statement.annotation)
        elif isinstance(statement, cst.Assign) and len(statement.targets) == 1:
            target = statement.targets[0].target
            if not isinstance(target, cst.Name):
                return
            if target.value == "__table_args__":
                self.constraints.table_args(plan, statement.value)
            elif not target.value.startswith("__"):
                self._attribute(plan, target, statement.value, None)

    def _attribute(
        self,
        plan: Plan,
        target: cst.Name,
        value: cst.BaseExpression | None,
        annotation: cst.Annotation | None,
    ) -> None:
        """One attribute of a class, which may be a column."""
        call = self._column_call(value)
        renames = plan.renames
        if call is None:
            named = renames.by_legacy.get(target.value)
            if named is None:
                return
            if value is None and annotation is not None and self._is_mapped(annotation):
                self._annotated(plan, target, annotation, named)
            elif named.matters and not plan.is_target and self._is_unknown(value):
                plan.block(f"what {target.value!r} is made from is not known")
                plan.left(target)
            return
        plan.seen.add(call)
        given, node = self.constraints.given_name(plan, call)
        self.constraints.inside_column(plan, call)
        name = target.value if given is None else given.value
        if plan.is_target:
            self._on_target(plan, target, name)
            return
        column = renames.by_legacy.get(name)
        if column is None:
            return
        plan.columns[name] = target.value
        if column.matters:
            self._column(plan, target, call, column, given=given, given_node=node)

    def _is_unknown(self, value: cst.BaseExpression | None) -> bool:
        """Tell whether a value might be a column, as nothing else is known of it."""
        if isinstance(value, cst.Call):
            return self._construct(value) is None
        return value is not None

    def _construct(self, call: cst.Call) -> str | None:
        return self.work.tree.scope.construct(call.func)

    def _on_target(self, plan: Plan, target: cst.Name, name: str) -> None:
        for column in plan.renames.columns:
            if column.target == name:
                plan.columns[column.legacy] = target.value
        converted = plan.renames.converted_by_target.get(name)
        if converted is not None:
            plan.note_type(target, target.value, converted)

    def _column(
        self,
        plan: Plan,
        target: cst.Name,
        call: cst.Call,
        column: ColumnRename,
        *,
        given: Text | None,
        given_node: cst.CSTNode | None,
    ) -> None:
        if not self._has_place(plan, target, column, is_named=given is not None):
            return
        plan.note_type(target, target.value, column)
        if given is not None and given_node is not None:
            assert column.target is not None
            plan.replace(given_node, given, column.target, kind="column", reason=plan.why(column))
            plan.rename_attribute(target, column)
            return
        if self._stays(plan, target, column) or plan.rename_attribute(target, column):
            return
        written = self.work.literal(column.target or "")
        edit = insert_first(self.work.tree, call, written, plan.why(column))
        self._given(plan, target, edit, f"{dotted_source(call.func)}({written}, …)", column)

    def _has_place(
        self, plan: Plan, target: cst.Name, column: ColumnRename, *, is_named: bool
    ) -> bool:
        if column.target is None:
            plan.block(f"{column.legacy!r} {column.absence}")
            if not is_named:
                plan.left(target)
            return False
        return True

    def _stays(self, plan: Plan, target: cst.Name, column: ColumnRename) -> bool:
        """Tell whether the name stays, although the values change."""
        if column.target != column.legacy:
            return False
        plan.seen.add(target)
        plan.said(target, Outcome.LOOK, f"the name stays, but {column.converted}")
        return True

    def _given(
        self,
        plan: Plan,
        target: cst.Name,
        edit: Edit | None,
        shown: str,
        column: ColumnRename,
    ) -> None:
        """Take down the edit that gives an attribute's column its name."""
        plan.seen.add(target)
        if edit is None:
            plan.block(f"there is no place for the name of {column.legacy!r}")
            plan.left(target)
            return
        plan.said(target, Outcome.CHANGED, plan.why(column), shown)
        plan.insert(edit.start, edit.new, edit.reason)

    def _annotated(
        self, plan: Plan, target: cst.Name, annotation: cst.Annotation, column: ColumnRename
    ) -> None:
        """`qty: Mapped[int]` alone gets a call that names the column."""
        if plan.is_target:
            return
        plan.columns[column.legacy] = target.value
        if not column.matters or not self._has_place(plan, target, column, is_named=False):
            return
        plan.note_type(target, target.value, column)
        if self._stays(plan, target, column) or plan.rename_attribute(target, column):
            return
        function = imported_name(plan, "sqlalchemy.orm", "mapped_column", beside="Mapped")
        written = self.work.literal(column.target or "")
        if function is None or written is None:
            plan.block("mapped_column is not imported, and cannot be imported cleanly")
            plan.left(target)
            return
        at = self.work.tree.span(annotation.annotation)[1]
        new = f" = {function}({written})"
        edit = Edit(at, at, new, plan.why(column))
        self._given(plan, target, edit, new.removeprefix(" = "), column)

    def _column_call(self, value: cst.BaseExpression | None) -> cst.Call | None:
        """Return the call that makes a column, also from inside deferred(…)."""
        if not isinstance(value, cst.Call):
            return None
        construct = self._construct(value)
        if construct in COLUMNS:
            return value
        if construct in WRAPPERS and value.args:
            return self._column_call(value.args[0].value)
        return None

    def _is_mapped(self, annotation: cst.Annotation) -> bool:
        node = annotation.annotation
        if isinstance(node, cst.Subscript):
            return self.work.tree.scope.construct(node.value) == "Mapped"
        text = self.work.strings.text(node)
        return text is not None and text.value.startswith(("Mapped[", "orm.Mapped["))

    # -- SQLModel ----------------------------------------------------------------------------

    def _field(self, plan: Plan, statement: cst.AnnAssign, target: cst.Name) -> None:
        """`qty: int` of a SQLModel class, with or without Field(…)."""
        call = statement.value if isinstance(statement.value, cst.Call) else None
        scope = self.work.tree.scope
        if call is not None and scope.member(call.func, _SQLMODEL) == "Relationship":
            return
        is_field = call is not None and scope.member(call.func, _SQLMODEL) == "Field"
        inner = keyword(call, "sa_column") if call is not None and is_field else None
        if inner is not None:
            self._attribute(plan, target, inner.value, statement.annotation)
            return
        name, given = (target.value, None)
        if call is not None and is_field:
            given = self._sqlmodel_name(plan, call)
            name = given[1].value if given else name
        if plan.is_target:
            self._on_target(plan, target, name)
            return
        column = plan.renames.by_legacy.get(name)
        if column is None:
            return
        plan.columns[name] = target.value
        if not column.matters or not self._has_place(
            plan, target, column, is_named=given is not None
        ):
            return
        plan.note_type(target, target.value, column)
        if given is not None:
            plan.replace(*given, column.target or "", kind="column", reason=plan.why(column))
            plan.rename_attribute(target, column)
            return
        if self._stays(plan, target, column) or plan.rename_attribute(target, column):
            return
        if call is not None and not is_field:
            plan.block(f"what {target.value!r} is made from is not known")
            plan.left(target)
            return
        self._sqlmodel_column(plan, statement, target, call, column)

    def _sqlmodel_name(self, plan: Plan, call: cst.Call) -> tuple[cst.CSTNode, Text] | None:
        """Return the name in `Field(sa_column_kwargs={"name": …})`."""
        arg = keyword(call, "sa_column_kwargs")
        if any(a.star for a in call.args):
            plan.block("a field is made with * or **, which may hold the column's name")
        if arg is None:
            return None
        if not isinstance(arg.value, cst.Dict):
            plan.block("sa_column_kwargs is computed")
            return None
        for element in arg.value.elements:
            if not isinstance(element, cst.DictElement):
                plan.block("sa_column_kwargs is computed")
                continue
            key = self.work.strings.text(element.key)
            text = self.work.strings.text(element.value)
            if key is not None and key.value == "name" and text is not None:
                return element.value, text
        return None

    def _sqlmodel_column(
        self,
        plan: Plan,
        statement: cst.AnnAssign,
        target: cst.Name,
        call: cst.Call | None,
        column: ColumnRename,
    ) -> None:
        tree = self.work.tree
        name, key = self.work.literal(column.target or ""), self.work.literal("name")
        function = imported_name(plan, "sqlmodel", "Field", beside="SQLModel")
        if name is None or key is None or function is None:
            plan.block("Field is not imported, and cannot be imported cleanly")
            plan.left(target)
            return
        pair = f"{key}: {name}"
        shown = f"{function}(sa_column_kwargs={{{pair}}})"
        reason = plan.why(column)
        edit: Edit | None
        if call is not None:
            given = keyword(call, "sa_column_kwargs")
            if given is not None:
                at = tree.span(given.value)[0] + 1
                is_empty = isinstance(given.value, cst.Dict) and not given.value.elements
                edit = Edit(at, at, pair if is_empty else f"{pair}, ", reason)
            else:
                edit = insert_last(tree, call, f"sa_column_kwargs={{{pair}}}", reason)
        elif statement.value is not None:
            start, end = tree.span(statement.value)
            plan.insert(start, f"{function}(default=", reason)
            edit = Edit(end, end, f", sa_column_kwargs={{{pair}}})", reason)
        else:
            at = tree.span(statement.annotation.annotation)[1]
            edit = Edit(at, at, f" = {shown}", reason)
        self._given(plan, target, edit, shown, column)

    # -- what may be missed ------------------------------------------------------------------

    def _unread_columns(self, plan: Plan, node: cst.ClassDef) -> None:
        """A column made where it was not expected may carry a legacy name."""
        if plan.is_target:
            return
        for inner in self.work.tree.inside(node):
            if isinstance(inner, cst.Call) and inner not in plan.seen:
                if self._construct(inner) in COLUMNS:
                    plan.block("a column is made in a way that is not followed")
            elif isinstance(inner, cst.FunctionDef):
                column = plan.renames.by_legacy.get(inner.name.value)
                declared = any(
                    dotted_source(d.decorator).rpartition(".")[2] == "declared_attr"
                    for d in inner.decorators
                )
                if declared and column is not None and column.matters:
                    plan.block(f"{column.legacy!r} is made by a function")

    def _missing(self, plan: Plan, node: cst.ClassDef) -> None:
        """A renamed column that the class does not define may come from a base class."""
        missing = [
            c.legacy
            for c in plan.renames.columns
            if c.target != c.legacy and c.legacy not in plan.columns
        ]
        if plan.is_target or not missing:
            return
        for base in node.bases:
            if not self._is_clean(base.value, set()):
                written = dotted_source(base.value) or "a base class"
                plan.block(f"{missing[0]!r} may be defined by {written}")
                return

    def _is_clean(self, base: cst.BaseExpression, seen: set[str]) -> bool:
        """Tell whether a base class surely defines no columns."""
        construct = self.work.tree.scope.construct(base)
        if isinstance(base, cst.Subscript):
            return self._is_clean(base.value, seen)
        if construct in CLEAN_BASES or dotted_source(base) in ("object", "Generic"):
            return True
        if dotted_source(base).endswith(".Model") and construct == "Model":
            return True
        if isinstance(base, cst.Call):
            return construct is None and self.work.tree.scope.construct(base.func) == (
                "declarative_base"
            )
        if not isinstance(base, cst.Name) or base.value in seen:
            return False
        return self._is_clean_class(base.value, seen)

    def _is_clean_class(self, name: str, seen: set[str]) -> bool:
        scope = self.work.tree.scope
        for node in self.work.tree.of(cst.ClassDef, cst.Assign):
            if isinstance(node, cst.ClassDef) and node.name.value == name:
                has_columns = any(
                    (isinstance(n, cst.Call) and scope.construct(n.func) in COLUMNS)
                    or (isinstance(n, cst.Annotation) and self._is_mapped(n))
                    for n in self.work.tree.inside(node)
                ) or (scope.uses(_SQLMODEL) and self._has_fields(node))
                return not has_columns and all(
                    self._is_clean(b.value, seen | {name}) for b in node.bases
                )
            if isinstance(node, cst.Assign) and isinstance(node.value, cst.Call):
                named = any(
                    isinstance(t.target, cst.Name) and t.target.value == name for t in node.targets
                )
                if named and scope.construct(node.value.func) == "declarative_base":
                    return keyword(node.value, "cls") is None
        return False

    def _has_fields(self, node: cst.ClassDef) -> bool:
        return any(isinstance(statement, cst.AnnAssign) for statement in statements(node))
