"""What a module tells SQLAlchemy about a legacy table: classes, Tables, keys, constraints.

Only the database's names change; the attribute or the key that the program uses stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import libcst as cst

from codemods import context, sql
from codemods.analysis import Definition, Part, Pending, State, Style, joined
from codemods.edits import Edit
from codemods.findings import Finding, Note, Outcome
from codemods.literals import Text
from codemods.renames import ColumnRename, Names, Renames
from codemods.strings import Strings, placed
from codemods.tree import Tree, dotted_source

COLUMNS = frozenset(("Column", "mapped_column"))
WRAPPERS = frozenset(("deferred", "column_property"))
NAMED_COLUMNS = frozenset(("UniqueConstraint", "PrimaryKeyConstraint", "ExcludeConstraint"))
CLEAN_BASES = frozenset(("DeclarativeBase", "DeclarativeBaseNoMeta", "MappedAsDataclass"))


@dataclass
class _Plan:
    """What is to be done with one definition: all of it, or nothing."""

    renames: Renames
    style: Style
    is_target: bool = False
    parts: list[Part] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    seen: set[cst.CSTNode] = field(default_factory=set)

    def block(self, reason: str) -> None:
        self.blockers.append(reason)

    def part(self) -> Part:
        part = joined(self.parts)
        return part.left(f"left as it is: {self.blockers[0]}") if self.blockers else part

    def definition(self) -> Definition:
        state = State.LEFT if self.blockers else State.REWRITTEN
        return Definition(self.renames.name, self.style, State.TARGET if self.is_target else state)


class Models:
    """Finds and works on all definitions of a module. Mutable; used by one analysis."""

    def __init__(self, tree: Tree, names: Names, strings: Strings) -> None:
        self.tree = tree
        self.names = names
        self.strings = strings
        self.parts: list[Part] = []
        self.pending: list[Pending] = []
        self.definitions: list[Definition] = []
        self.done: set[cst.CSTNode] = set()
        self.imported: Part | None = None

    def work(self) -> None:
        for node in self.tree.of(cst.ClassDef, cst.Call):
            if isinstance(node, cst.ClassDef):
                self._class(node)
            elif isinstance(node, cst.Call):
                construct = self.tree.scope.construct(node.func)
                if construct == "Table":
                    self._table(node)
                elif construct == "ForeignKey" and node.args:
                    self._reference(node.args[0].value)
                elif construct == "ForeignKeyConstraint" and len(node.args) > 1:
                    for item in _items(node.args[1].value):
                        self._reference(item)
                elif construct == "relationship":
                    for arg in node.args:
                        if arg.keyword is not None and arg.keyword.value == "secondary":
                            self._secondary(arg.value)
        if self.imported is not None:
            self.parts.append(self.imported)

    def _finish(self, plan: _Plan) -> None:
        self.parts.append(plan.part())
        self.definitions.append(plan.definition())
        self.done |= plan.seen

    # -- which table -------------------------------------------------------------------------

    def _renames(self, table: str, schema: str | None) -> tuple[Renames | None, bool]:
        """Return the renames for a table's name, and whether it is the target already."""
        for renames in self.names.for_table(table):
            if schema in (None, renames.legacy_schema):
                return renames, False
        for renames in self.names.for_target(table):
            if schema in (None, renames.target_schema):
                return renames, True
        return None, False

    # -- classes -------------------------------------------------------------------------------

    def _class(self, node: cst.ClassDef) -> None:
        table_name: Text | None = None
        table_node: cst.CSTNode | None = None
        schema: tuple[cst.BaseExpression, Text] | None = None
        for target, value in _assignments(node):
            if target == "__tablename__" and value is not None:
                table_name, table_node = self.strings.text(value), value
            elif target == "__table_args__" and value is not None:
                schema = self._schema(value)
        if table_name is None or table_node is None:
            return
        renames, is_target = self._renames(table_name.value, schema[1].value if schema else None)
        if renames is None:
            self._other_table(table_node, table_name)
            self._other_columns(node)
            return
        plan = _Plan(renames, Style.DECLARATIVE, is_target)
        self._table_name(plan, table_node, table_name, schema)
        for statement in _statements(node):
            self._class_statement(plan, statement)
        self._unread_columns(plan, node)
        self._missing(plan, node)
        self._finish(plan)

    def _other_table(self, node: cst.CSTNode, text: Text) -> None:
        findings = []
        for hit in self.names.find(text.value):
            start, end = text.source_span(hit.start, hit.end)
            findings.append(
                Finding(start, end, hit.name, hit.kind, Outcome.UNRELATED, "the name of a table")
            )
        self.parts.append(Part(findings=tuple(findings)))
        self.done.add(node)

    def _other_columns(self, definition: cst.CSTNode) -> None:
        """Strings that name columns in the definition of a table that is none of ours."""
        for call in self.tree.inside(definition):
            if not isinstance(call, cst.Call):
                continue
            construct = self.tree.scope.construct(call.func)
            nodes: list[cst.BaseExpression] = []
            if construct in COLUMNS | NAMED_COLUMNS or construct in ("Index", "CheckConstraint"):
                nodes = [arg.value for arg in call.args if not arg.star]
            elif construct == "ForeignKeyConstraint" and call.args:
                nodes = list(_items(call.args[0].value))
            for node in nodes:
                text = self.strings.text(node)
                if text is not None and node not in self.done:
                    self.done.add(node)
                    self._unrelated(text, "of another table")

    def _schema(self, value: cst.BaseExpression) -> tuple[cst.BaseExpression, Text] | None:
        """Return the schema that `__table_args__` names."""
        for item in (value, *_items(value)):
            if not isinstance(item, cst.Dict):
                continue
            for element in item.elements:
                if not isinstance(element, cst.DictElement):
                    continue
                key = self.strings.text(element.key)
                text = self.strings.text(element.value)
                if key is not None and key.value == "schema" and text is not None:
                    return element.value, text
        return None

    def _table_name(
        self,
        plan: _Plan,
        node: cst.CSTNode,
        text: Text,
        schema: tuple[cst.BaseExpression, Text] | None,
    ) -> None:
        renames = plan.renames
        if plan.is_target:
            return
        title = f"{renames.target_schema}.{renames.target_table}"
        if renames.target_schema != renames.legacy_schema:
            if schema is None:
                plan.block(f"the model names no schema, and the target is {title}")
            else:
                self._replaced(
                    plan, schema[0], schema[1], renames.target_schema, kind="schema", reason=""
                )
        reason = f"{renames.legacy_title} is now {title}"
        self._replaced(plan, node, text, renames.target_table, kind="table", reason=reason)

    def _replaced(
        self, plan: _Plan, node: cst.CSTNode, text: Text, new: str, *, kind: str, reason: str
    ) -> None:
        """Replace the whole content of a string literal."""
        plan.seen.add(node)
        start, end = text.source_span(0, len(text.value))
        edit = text.edit(Edit(0, len(text.value), new, reason))
        if edit is None:
            plan.block(f"{text.value!r} or its new name cannot be spelled there")
            edits: tuple[Edit, ...] = ()
        else:
            edits = (edit,)
        findings: tuple[Finding, ...] = ()
        if kind in ("table", "column"):
            if new == text.value:
                findings = (
                    Finding(start, end, text.value, kind, Outcome.UNRELATED, "the name stays"),
                )
                edits = ()
            else:
                findings = (Finding(start, end, text.value, kind, Outcome.CHANGED, reason, new),)
        plan.parts.append(Part(edits, findings))

    def _class_statement(self, plan: _Plan, statement: cst.BaseSmallStatement) -> None:
        if isinstance(statement, cst.AnnAssign):
            if isinstance(statement.target, cst.Name):
                self._attribute(plan, statement.target, statement.value, statement.annotation)
        elif isinstance(statement, cst.Assign) and len(statement.targets) == 1:
            target = statement.targets[0].target
            if not isinstance(target, cst.Name):
                return
            if target.value == "__table_args__":
                self._table_args(plan, statement.value)
            elif not target.value.startswith("__"):
                self._attribute(plan, target, statement.value, None)

    def _attribute(
        self,
        plan: _Plan,
        target: cst.Name,
        value: cst.BaseExpression | None,
        annotation: cst.Annotation | None,
    ) -> None:
        """One attribute of a class, which may be a column."""
        column_call = self._column_call(value)
        renames = plan.renames
        if column_call is None:
            named = renames.by_legacy.get(target.value)
            if named is None or not named.matters:
                return
            if value is None and annotation is not None and self._is_mapped(annotation):
                self._annotated(plan, target, annotation, named)
            elif value is not None and self._other_construct(value) is None and not plan.is_target:
                plan.block(f"what {target.value!r} is made from is not known")
                self._left(plan, target)
            return
        plan.seen.add(column_call)
        given, node = self._given_name(plan, column_call)
        name = target.value if given is None else given.value
        plan.columns.add(name)
        if plan.is_target:
            self._note_target(plan, target, name)
            return
        column = renames.by_legacy.get(name)
        if column is None or not column.matters:
            if given is not None and target.value in renames.by_legacy:
                return
            return
        self._column_definition(plan, target, column_call, column, given=given, given_node=node)

    def _note_target(self, plan: _Plan, target: cst.Name, name: str) -> None:
        converted = plan.renames.converted_by_target.get(name)
        if converted is not None:
            self._note(plan, target, f"the type of the column: {converted.converted}")

    def _note(self, plan: _Plan, node: cst.Name, text: str) -> None:
        start, end = self.tree.span(node)
        plan.parts.append(Part(notes=(Note(start, end, node.value, text),)))

    def _column_definition(
        self,
        plan: _Plan,
        target: cst.Name,
        call: cst.Call,
        column: ColumnRename,
        *,
        given: Text | None,
        given_node: cst.CSTNode | None,
    ) -> None:
        if column.target is None:
            plan.block(f"{column.legacy!r} has no single counterpart in the target table")
            if given is None:
                self._left(plan, target)
            return
        if column.converted is not None:
            self._note(plan, target, f"the type of the column: {column.converted}")
        reason = f"{plan.renames.legacy_table}.{column.legacy} is now {column.target}"
        if given is not None and given_node is not None:
            self._replaced(plan, given_node, given, column.target, kind="column", reason=reason)
            return
        plan.seen.add(target)
        if column.target == column.legacy:
            told = f"the name stays, but {column.converted}"
            self._finding(plan, target, Outcome.LOOK, told)
            return
        written = self._literal(plan, column.target)
        edit = _insert_first(self.tree, call, written, reason)
        if written is None or edit is None:
            plan.block(f"there is no place for the name of {column.legacy!r}")
            self._left(plan, target)
            return
        name = dotted_source(call.func)
        self._finding(plan, target, Outcome.CHANGED, reason, f"{name}({written}, …)")
        plan.parts.append(Part((edit,)))

    def _annotated(
        self, plan: _Plan, target: cst.Name, annotation: cst.Annotation, column: ColumnRename
    ) -> None:
        """`qty: Mapped[int]` alone gets a call that names the column."""
        plan.columns.add(column.legacy)
        if plan.is_target:
            return
        plan.seen.add(target)
        if column.target is None:
            plan.block(f"{column.legacy!r} has no single counterpart in the target table")
            self._left(plan, target)
            return
        if column.converted is not None:
            self._note(plan, target, f"the type of the column: {column.converted}")
        if column.target == column.legacy:
            self._finding(plan, target, Outcome.LOOK, f"the name stays, but {column.converted}")
            return
        function = self._mapped_column()
        written = self._literal(plan, column.target)
        if function is None or written is None:
            plan.block("mapped_column is not imported, and cannot be imported cleanly")
            self._left(plan, target)
            return
        reason = f"{plan.renames.legacy_table}.{column.legacy} is now {column.target}"
        at = self.tree.span(annotation.annotation)[1]
        new = f" = {function}({written})"
        self._finding(plan, target, Outcome.CHANGED, reason, new.removeprefix(" = "))
        plan.parts.append(Part((Edit(at, at, new, reason),)))

    def _left(self, plan: _Plan, target: cst.Name) -> None:
        """List the attribute that keeps the whole class as it is."""
        plan.seen.add(target)
        self._finding(plan, target, Outcome.LOOK, f"left as it is: {plan.blockers[0]}")

    def _finding(
        self, plan: _Plan, node: cst.Name, outcome: Outcome, reason: str, new: str | None = None
    ) -> None:
        start, end = self.tree.span(node)
        plan.parts.append(
            Part(findings=(Finding(start, end, node.value, "column", outcome, reason, new),))
        )

    def _literal(self, plan: _Plan, name: str) -> str | None:
        """Return a name as a string literal in the quotes that the file prefers."""
        if not name.isprintable() or "\\" in name:
            return None
        source = self.tree.source
        mark = "'" if source.count("'") > 2 * source.count('"') else '"'
        if mark in name:
            mark = "'" if mark == '"' else '"'
        return None if mark in name else f"{mark}{name}{mark}"

    def _column_call(self, value: cst.BaseExpression | None) -> cst.Call | None:
        """Return the call that makes a column, also from inside deferred(…)."""
        if not isinstance(value, cst.Call):
            return None
        construct = self.tree.scope.construct(value.func)
        if construct in COLUMNS:
            return value
        if construct in WRAPPERS and value.args:
            return self._column_call(value.args[0].value)
        return None

    def _other_construct(self, value: cst.BaseExpression) -> str | None:
        if isinstance(value, cst.Call):
            return self.tree.scope.construct(value.func)
        return None

    def _is_mapped(self, annotation: cst.Annotation) -> bool:
        node = annotation.annotation
        if isinstance(node, cst.Subscript):
            return self.tree.scope.construct(node.value) == "Mapped"
        text = self.strings.text(node)
        return text is not None and text.value.startswith(("Mapped[", "orm.Mapped["))

    def _given_name(self, plan: _Plan, call: cst.Call) -> tuple[Text | None, cst.CSTNode | None]:
        """Return the name that a Column call gives, None when it takes the attribute's."""
        for index, arg in enumerate(call.args):
            if arg.star:
                plan.block("a column is made with * or **, which may hold its name")
            elif arg.keyword is None and index == 0:
                if (text := self.strings.text(arg.value)) is not None:
                    return text, arg.value
                if self.strings.constant(arg.value) is not None:
                    plan.block("the name of a column is a constant")
            elif arg.keyword is not None and arg.keyword.value == "name":
                if (text := self.strings.text(arg.value)) is not None:
                    return text, arg.value
                plan.block("the name of a column is computed")
        return None, None

    def _mapped_column(self) -> str | None:
        """Return how mapped_column is called here; an import is added if that is clean."""
        scope = self.tree.scope
        for name, origin in scope.imports.items():
            if origin == "sqlalchemy.orm.mapped_column":
                return name
        for name, origin in scope.imports.items():
            if origin == "sqlalchemy.orm":
                return f"{name}.mapped_column"
        if "mapped_column" in scope.bound or "mapped_column" in scope.imports:
            return None
        if any(star == "sqlalchemy.orm" for star in scope.stars):
            return "mapped_column"
        for node in self.tree.of(cst.ImportFrom):
            if not isinstance(node, cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
                continue
            line = self.tree.parent(node)
            if dotted_source(node.module) != "sqlalchemy.orm" or node.relative or line is None:
                continue
            if not isinstance(self.tree.parent(line), cst.Module):
                continue
            for alias in node.names:
                if alias.evaluated_name == "Mapped":
                    at = self.tree.span(alias.name)[1]
                    if alias.asname is not None:
                        at = self.tree.span(alias.asname)[1]
                    self.imported = Part((Edit(at, at, ", mapped_column", "names a column"),))
                    return "mapped_column"
        return None

    def _unread_columns(self, plan: _Plan, node: cst.ClassDef) -> None:
        """A column made where it was not expected may carry a legacy name."""
        if plan.is_target:
            return
        for inner in self.tree.inside(node):
            if isinstance(inner, cst.Call) and inner not in plan.seen:
                if self.tree.scope.construct(inner.func) in COLUMNS:
                    plan.block("a column is made in a way that is not followed")
            elif isinstance(inner, cst.FunctionDef):
                column = plan.renames.by_legacy.get(inner.name.value)
                declared = any(
                    dotted_source(d.decorator).rpartition(".")[2] == "declared_attr"
                    for d in inner.decorators
                )
                if declared and column is not None and column.matters:
                    plan.block(f"{column.legacy!r} is made by a function")

    def _missing(self, plan: _Plan, node: cst.ClassDef) -> None:
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
        if isinstance(base, cst.Subscript):
            return self._is_clean(base.value, seen)
        if self.tree.scope.construct(base) in CLEAN_BASES or dotted_source(base) in (
            "object",
            "Generic",
        ):
            return True
        if dotted_source(base).endswith(".Model") and self.tree.scope.construct(base) == "Model":
            return True
        if not isinstance(base, cst.Name) or base.value in seen:
            return False
        for node in self.tree.of(cst.ClassDef, cst.Assign):
            if isinstance(node, cst.ClassDef) and node.name.value == base.value:
                has_columns = any(
                    (isinstance(n, cst.Call) and self.tree.scope.construct(n.func) in COLUMNS)
                    or (isinstance(n, cst.Annotation) and self._is_mapped(n))
                    for n in self.tree.inside(node)
                )
                return not has_columns and all(
                    self._is_clean(b.value, seen | {base.value}) for b in node.bases
                )
            if isinstance(node, cst.Assign) and isinstance(node.value, cst.Call):
                named = any(
                    isinstance(t.target, cst.Name) and t.target.value == base.value
                    for t in node.targets
                )
                if named and self.tree.scope.construct(node.value.func) == "declarative_base":
                    return not any(
                        a.keyword is not None and a.keyword.value == "cls" for a in node.value.args
                    )
        return False

    # -- constraints and indexes -------------------------------------------------------------

    def _table_args(self, plan: _Plan, value: cst.BaseExpression) -> None:
        if not isinstance(value, cst.Tuple | cst.Dict | cst.List):
            plan.block("__table_args__ is computed")
        for item in _items(value):
            if isinstance(item, cst.Call):
                self._constraint(plan, item)
        if plan.is_target:
            return
        inside_calls = (
            node
            for item in (value, *_items(value))
            if isinstance(item, cst.Call)
            for node in self.tree.inside(item)
        )
        for node in inside_calls:
            if context.is_whole_string(self.tree, node) and node not in plan.seen | self.done:
                text = self.strings.text(node)
                if text is not None and self._has_renamed(plan, text):
                    plan.block("__table_args__ names a column in a way that is not followed")

    def _has_renamed(self, plan: _Plan, text: Text) -> bool:
        return any(
            h.kind == "column"
            and (c := plan.renames.by_legacy.get(h.name)) is not None
            and c.target != c.legacy
            for h in self.names.find(text.value)
        )

    def _constraint(self, plan: _Plan, call: cst.Call) -> None:
        """One constraint or index of a table."""
        construct = self.tree.scope.construct(call.func)
        plain = [arg.value for arg in call.args if arg.keyword is None and not arg.star]
        if construct in NAMED_COLUMNS:
            self._column_names(plan, plain)
        elif construct == "Index":
            self._index_name(plan, plain[:1])
            self._column_names(plan, plain[1:])
            for arg in call.args:
                if arg.keyword is not None and isinstance(arg.value, cst.Call):
                    self._text_call(plan, arg.value)
        elif construct == "ForeignKeyConstraint" and plain:
            self._column_names(plan, list(_items(plain[0])))
            for item in _items(plain[1]) if len(plain) > 1 else ():
                self._reference(item)
        elif construct == "CheckConstraint" and plain:
            self._expression(plan, plain[0])
        for arg in call.args:
            if arg.keyword is not None and arg.keyword.value == "name":
                self._index_name(plan, [arg.value])

    def _index_name(self, plan: _Plan, nodes: Sequence[cst.BaseExpression]) -> None:
        """The name of a constraint or an index is none of the mapping's."""
        for node in nodes:
            text = self.strings.text(node)
            if text is None:
                continue
            plan.seen.add(node)
            for hit in self.names.find(text.value):
                start, end = text.source_span(hit.start, hit.end)
                reason = "the name of a constraint or index"
                finding = Finding(start, end, hit.name, hit.kind, Outcome.UNRELATED, reason)
                plan.parts.append(Part(findings=(finding,)))

    def _column_names(self, plan: _Plan, nodes: Sequence[cst.BaseExpression]) -> None:
        """Strings that name columns by their keys in the Table."""
        for node in nodes:
            text = self.strings.text(node)
            if isinstance(node, cst.Call):
                self._text_call(plan, node)
            if text is None or plan.is_target:
                continue
            column = plan.renames.by_legacy.get(text.value)
            if column is None or not column.matters:
                continue
            if plan.style is Style.CORE:
                plan.seen.add(node)
                start, end = text.source_span(0, len(text.value))
                reason = "the key of a column, which stays"
                finding = Finding(start, end, text.value, "column", Outcome.UNRELATED, reason)
                plan.parts.append(Part(findings=(finding,)))
            elif column.target is None:
                plan.block(f"{column.legacy!r} has no single counterpart in the target table")
            else:
                reason = f"{plan.renames.legacy_table}.{column.legacy} is now {column.target}"
                self._replaced(plan, node, text, column.target, kind="column", reason=reason)

    def _text_call(self, plan: _Plan, call: cst.Call) -> None:
        if self.tree.scope.construct(call.func) in ("text", "Computed") and call.args:
            self._expression(plan, call.args[0].value)

    def _expression(self, plan: _Plan, node: cst.BaseExpression) -> None:
        """A SQL expression over the columns of the table."""
        text = self.strings.text(node)
        if isinstance(node, cst.Call):
            self._text_call(plan, node)
        if text is None or plan.is_target or not self.names.find(text.value):
            return
        plan.seen.add(node)
        result = sql.rewrite_expression(text.value, self.names, plan.renames)
        part = placed(text, result)
        plan.parts.append(part)
        if any(f.outcome is Outcome.LOOK and f.kind == "column" for f in part.findings) and not (
            result.edits
        ):
            renamed = self._has_renamed(plan, text)
            if renamed:
                plan.block("a SQL expression of the table is not understood")

    # -- Core tables ---------------------------------------------------------------------------

    def _table(self, call: cst.Call) -> None:
        if not call.args or call.args[0].star:
            return
        node = call.args[0].value
        text = self.strings.text(node)
        if text is None:
            return
        schema: tuple[cst.BaseExpression, Text] | None = None
        for arg in call.args:
            if arg.keyword is not None and arg.keyword.value == "schema":
                given = self.strings.text(arg.value)
                schema = None if given is None else (arg.value, given)
        renames, is_target = self._renames(text.value, schema[1].value if schema else None)
        if renames is None:
            self._other_table(node, text)
            self._other_columns(call)
            return
        plan = _Plan(renames, Style.CORE, is_target)
        self._table_name(plan, node, text, schema)
        for arg in call.args[1:]:
            self._table_item(plan, arg)
        if any(part.edits for part in plan.parts[1:]) and not plan.blockers:
            start, end = self.tree.span(node)
            told = "a result of select(table) names its columns as the database does now"
            plan.parts.append(Part(notes=(Note(start, end, text.value, told),)))
        self._finish(plan)

    def _table_item(self, plan: _Plan, arg: cst.Arg) -> None:
        if arg.star:
            plan.block("the columns of the table come from * or **")
        elif arg.keyword is not None:
            if arg.keyword.value in ("autoload_with", "autoload"):
                plan.block("the table is read from the database")
            elif arg.keyword.value == "schema" and self.strings.text(arg.value) is None:
                plan.block("the schema of the table is computed")
        elif isinstance(arg.value, cst.Call):
            construct = self.tree.scope.construct(arg.value.func)
            if construct in COLUMNS:
                self._core_column(plan, arg.value)
            else:
                self._constraint(plan, arg.value)

    def _core_column(self, plan: _Plan, call: cst.Call) -> None:
        given, node = self._given_name(plan, call)
        if given is None or node is None:
            plan.block("a column has no plain name")
            return
        if plan.is_target:
            converted = plan.renames.converted_by_target.get(given.value)
            if converted is not None:
                start, end = self.tree.span(node)
                told = f"the type of the column: {converted.converted}"
                plan.parts.append(Part(notes=(Note(start, end, given.value, told),)))
            return
        column = plan.renames.by_legacy.get(given.value)
        if column is None or not column.matters:
            return
        if column.target is None:
            plan.block(f"{column.legacy!r} has no single counterpart in the target table")
            return
        if column.converted is not None:
            start, end = self.tree.span(node)
            told = f"the type of the column: {column.converted}"
            plan.parts.append(Part(notes=(Note(start, end, given.value, told),)))
        reason = f"{plan.renames.legacy_table}.{column.legacy} is now {column.target}"
        self._replaced(plan, node, given, column.target, kind="column", reason=reason)
        keys = [a for a in call.args if a.keyword is not None and a.keyword.value == "key"]
        if not keys and column.target != column.legacy:
            written = self._literal(plan, column.legacy)
            at = self.tree.span(call.args[-1].value)[1]
            told = "the key stays, so that the program's names do"
            if written is None:
                plan.block(f"{column.legacy!r} cannot be spelled as a key")
                return
            plan.parts.append(Part((Edit(at, at, f", key={written}", told),)))

    # -- references from elsewhere -------------------------------------------------------------

    def _reference(self, node: cst.BaseExpression) -> None:
        """A string `table.column` or `schema.table.column`."""
        text = self.strings.text(node)
        if text is None or node in self.done:
            return
        pieces = text.value.split(".")
        if len(pieces) not in (2, 3):
            return
        schema = pieces[0] if len(pieces) == 3 else None
        renames, is_target = self._renames(pieces[-2], schema)
        self.done.add(node)
        if renames is None or is_target:
            self._unrelated(text, "a column of another table")
            return
        self._pending(text, renames, schema, pieces[-2], pieces[-1])

    def _secondary(self, node: cst.BaseExpression) -> None:
        text = self.strings.text(node)
        if text is None or node in self.done:
            return
        renames, is_target = self._renames(text.value, None)
        if renames is not None and not is_target:
            self.done.add(node)
            self._pending(text, renames, None, text.value, None)

    def _unrelated(self, text: Text, reason: str) -> None:
        findings = []
        for hit in self.names.find(text.value):
            start, end = text.source_span(hit.start, hit.end)
            findings.append(Finding(start, end, hit.name, hit.kind, Outcome.UNRELATED, reason))
        self.parts.append(Part(findings=tuple(findings)))

    def _pending(
        self, text: Text, renames: Renames, schema: str | None, table: str, column: str | None
    ) -> None:
        at = len(schema) + 1 if schema is not None else 0
        reason = f"{renames.legacy_title} is now {renames.target_schema}.{renames.target_table}"
        base: list[Part | None] = []
        if renames.target_schema != renames.legacy_schema and schema is not None:
            base.append(
                self._piece(text, 0, schema, renames.target_schema, kind="schema", reason=reason)
            )
        new_table = renames.target_table
        if renames.target_schema != renames.legacy_schema and schema is None:
            new_table = f"{renames.target_schema}.{new_table}"
        base.append(self._piece(text, at, table, new_table, kind="table", reason=reason))
        declarative, core = list(base), list(base)
        rename = renames.by_legacy.get(column) if column is not None else None
        if rename is not None and column is not None and rename.matters:
            at += len(table) + 1
            start, end = text.source_span(at, at + len(column))
            told = f"{renames.legacy_table}.{column} is now {rename.target}"
            stays = Finding(
                start, end, column, "column", Outcome.UNRELATED, "the key of a column, which stays"
            )
            core.append(Part(findings=(stays,)))
            if rename.target is None:
                declarative.append(None)
            else:
                declarative.append(
                    self._piece(text, at, column, rename.target, kind="column", reason=told)
                )
        known = joined(p for p in declarative if p is not None)
        if None in declarative or None in core:
            self.parts.append(known.left("the new name cannot be spelled there"))
            return
        self.pending.append(Pending(renames.name, known, joined(p for p in core if p is not None)))

    def _piece(
        self, text: Text, at: int, old: str, new: str, *, kind: str, reason: str
    ) -> Part | None:
        start, end = text.source_span(at, at + len(old))
        if old == new:
            outcome = Outcome.UNRELATED
            return Part(findings=(Finding(start, end, old, kind, outcome, "the name stays"),))
        edit = text.edit(Edit(at, at + len(old), new, reason))
        if edit is None:
            finding = Finding(start, end, old, kind, Outcome.LOOK, "it is spelled in pieces")
            self.parts.append(Part(findings=(finding,)))
            return None
        if kind == "schema":
            return Part((edit,))
        return Part((edit,), (Finding(start, end, old, kind, Outcome.CHANGED, reason, new),))


def _items(node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    if isinstance(node, cst.Tuple | cst.List):
        for element in node.elements:
            yield element.value


def _statements(node: cst.ClassDef) -> Iterator[cst.BaseSmallStatement]:
    for line in node.body.body:
        if isinstance(line, cst.SimpleStatementLine):
            yield from line.body


def _assignments(node: cst.ClassDef) -> Iterator[tuple[str, cst.BaseExpression | None]]:
    for statement in _statements(node):
        if isinstance(statement, cst.Assign):
            for target in statement.targets:
                if isinstance(target.target, cst.Name):
                    yield target.target.value, statement.value
        elif isinstance(statement, cst.AnnAssign) and isinstance(statement.target, cst.Name):
            yield statement.target.value, statement.value


def _insert_first(tree: Tree, call: cst.Call, written: str | None, reason: str) -> Edit | None:
    """Return the edit that gives a call a new first argument, on a line of its own if they are."""
    if written is None:
        return None
    if not call.args:
        at = tree.span(call)[1] - 1 - sum(len(")") for _ in call.rpar)
        if tree.source[at] != ")":
            return None
        return Edit(at, at, written, reason)
    at = tree.span(call.args[0])[0]
    before = tree.source[tree.span(call.func)[1] : at]
    newline = before.rfind("\n")
    if newline < 0:
        return Edit(at, at, f"{written}, ", reason)
    start = newline - 1 if before[newline - 1 : newline] == "\r" else newline
    return Edit(at, at, f"{written},{before[start:]}", reason)
