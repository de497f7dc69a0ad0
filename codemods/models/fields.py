"""Models of Django, peewee, Tortoise and Pony: an attribute of the class names the table, and an
argument of each field the column, where it is not called as the attribute is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

import libcst as cst

from codemods.analysis import Style
from codemods.findings import Outcome
from codemods.models.constraints import Constraints
from codemods.python.literals import Text
from codemods.python.work import (
    Plan,
    Work,
    assignments,
    insert_last,
    items,
    keyword,
    last_name,
    line_start,
    statements,
)
from codemods.renames import ColumnRename


@dataclass(frozen=True)
class Framework:
    """How one library is told the names of a table and of its columns.

    :param packages: from which its fields are imported
    :param table: the attribute that names the table; :param in_meta: it stands in `class Meta`
    :param column: the argument of a field that names the column
    :param references: fields whose column is called as the attribute, and `_id`
    :param key: the column of the key that a class has without saying so
    """

    name: str
    packages: frozenset[str]
    table: str
    in_meta: bool
    column: str
    references: frozenset[str]
    key: str = "id"


FRAMEWORKS = (
    Framework(
        "Django",
        frozenset(("django",)),
        "db_table",
        True,
        "db_column",
        frozenset(("ForeignKey", "OneToOneField")),
    ),
    Framework(
        "peewee",
        frozenset(("peewee", "playhouse")),
        "table_name",
        True,
        "column_name",
        frozenset(("ForeignKeyField",)),
    ),
    Framework(
        "Tortoise",
        frozenset(("tortoise",)),
        "table",
        True,
        "source_field",
        frozenset(("ForeignKeyField", "OneToOneField")),
    ),
    Framework("Pony", frozenset(("pony",)), "_table_", False, "column", frozenset()),
)

_NO_COLUMN = frozenset(
    (
        "ManyToManyField",
        "GenericForeignKey",
        "GenericRelation",
        "BackrefAccessor",
        "ReverseRelation",
        "ForeignKeyRelation",
        "Set",
    )
)
_FIELD_ENDINGS = ("Field", "ForeignKey")
_PONY_FIELDS = frozenset(("Required", "Optional", "PrimaryKey", "Discriminator"))


class Fields:
    """Works on the classes of one module whose fields name their columns by an argument."""

    def __init__(self, work: Work, constraints: Constraints) -> None:
        self.work = work
        self.constraints = constraints
        self.frameworks = [f for f in FRAMEWORKS if work.tree.scope.uses(f.packages)]

    def visit(self, node: cst.ClassDef) -> None:
        """Decide about one class, if it is a model."""
        for framework in self.frameworks:
            place = _meta(node) if framework.in_meta else node
            given = self._value(place, framework.table) if place is not None else None
            if given is not None:
                self._named(framework, node, given, place)
                return
            if framework.name == "Django":
                self._by_convention(framework, node)

    def _value(self, node: cst.ClassDef, name: str) -> cst.BaseExpression | None:
        return next((value for target, value in assignments(node) if target.value == name), None)

    # -- which table -------------------------------------------------------------------------

    def _named(
        self,
        framework: Framework,
        node: cst.ClassDef,
        given: cst.BaseExpression,
        place: cst.ClassDef | None,
    ) -> None:
        schema: tuple[cst.CSTNode, Text] | None = None
        strings = self.work.strings
        parts = list(items(given))
        if len(parts) == 2 and (text := strings.text(parts[0])) is not None:
            schema, given = (parts[0], text), parts[1]
        written = self._value(place, "schema") if place is not None else None
        if written is not None and (text := strings.text(written)) is not None:
            schema = written, text
        table = strings.text(given)
        if table is None:
            return
        renames, is_target = self.work.renames(
            table.value, schema[1].value if schema is not None else None
        )
        if renames is None:
            self.constraints.other_table(given, table)
            return
        plan = Plan(self.work, renames, Style.DECLARATIVE, is_target=is_target)
        plan.name_table(given, table, schema)
        self._fields(framework, plan, node)

    def _by_convention(self, framework: Framework, node: cst.ClassDef) -> None:
        """A Django model without db_table: its table is called `app_class`."""
        meta = _meta(node)
        label = self._value(meta, "app_label") if meta is not None else None
        text = self.work.strings.text(label) if label is not None else None
        directories = [part for part in PurePath(self.work.path).parts[:-1] if part != "models"]
        app = text.value if text is not None else (directories or [""])[-1]
        renames, is_target = self.work.renames(f"{app}_{node.name.value.lower()}", None)
        is_model = any(last_name(base.value).endswith("Model") for base in node.bases)
        if renames is None or is_target or not is_model:
            return
        plan = Plan(self.work, renames, Style.DECLARATIVE, is_target=False)
        self._write_table(plan, node, meta)
        self._fields(framework, plan, node)

    def _write_table(self, plan: Plan, node: cst.ClassDef, meta: cst.ClassDef | None) -> None:
        """Say which table it is, as that no longer follows from the names."""
        written = self.work.literal(plan.renames.target_table)
        if written is None or plan.renames.target_schema != plan.renames.legacy_schema:
            plan.block("the table's name follows from the class's, and cannot be written there")
            return
        newline = "\r\n" if "\r\n" in self.work.tree.source else "\n"
        if meta is not None:
            at, indent = line_start(self.work.tree, meta.body.body[0])
            if indent is not None:
                plan.insert(at, f"db_table = {written}{newline}{indent}", plan.why_table)
                return
        else:
            lines = [n for n in node.body.body if isinstance(n, cst.SimpleStatementLine)]
            _, indent = line_start(self.work.tree, lines[-1]) if lines else (0, None)
            if indent is not None:
                end = self.work.tree.span(lines[-1])[1]
                step = indent[:1] if indent.startswith("\t") else "    "
                told = f"{newline}{indent}class Meta:{newline}{indent}{step}db_table = {written}"
                plan.insert(end, f"{told}{newline}", plan.why_table)
                return
        plan.block("there is no place for the table's name")

    # -- columns -----------------------------------------------------------------------------

    def _fields(self, framework: Framework, plan: Plan, node: cst.ClassDef) -> None:
        for statement in statements(node):
            target: cst.BaseExpression | None = None
            value: cst.BaseExpression | None = None
            if isinstance(statement, cst.Assign) and len(statement.targets) == 1:
                target, value = statement.targets[0].target, statement.value
            elif isinstance(statement, cst.AnnAssign):
                target, value = statement.target, statement.value
            if isinstance(target, cst.Name) and isinstance(value, cst.Call):
                self._field(framework, plan, target, value)
        self._missing(framework, plan, node)
        plan.finish(node.name.value)

    def _field(self, framework: Framework, plan: Plan, target: cst.Name, call: cst.Call) -> None:
        kind = last_name(call.func)
        if kind in _NO_COLUMN:
            return
        is_field = kind.endswith(_FIELD_ENDINGS) or (
            framework.name == "Pony" and kind in _PONY_FIELDS
        )
        given = keyword(call, framework.column)
        text = self.work.strings.text(given.value) if given is not None else None
        if given is not None and text is None:
            plan.block(f"the name of a column is computed ({framework.column}=)")
            return
        name = target.value
        if text is not None:
            name = text.value
        elif kind in framework.references:
            name = f"{target.value}_id"
        if plan.is_target:
            self._on_target(plan, target, name)
            return
        column = plan.renames.by_legacy.get(name)
        if column is None:
            return
        plan.columns[name] = target.value
        if not column.matters:
            return
        if any(arg.star for arg in call.args) and text is None:
            plan.block("a field is made with * or **, which may hold the column's name")
        if column.target is None:
            plan.block(f"{column.legacy!r} {column.absence}")
        elif not is_field:
            plan.block(f"what {target.value!r} is made from is not known")
        if plan.blockers:
            if target.value == column.legacy:
                plan.left(target)
            return
        plan.note_type(target, target.value, column)
        assert column.target is not None
        if text is not None and given is not None:
            plan.replace(given.value, text, column.target, kind="column", reason=plan.why(column))
            plan.rename_attribute(target, column)
        elif column.target == column.legacy:
            if target.value == column.legacy:
                plan.seen.add(target)
                plan.said(target, Outcome.LOOK, f"the name stays, but {column.converted}")
        elif not plan.rename_attribute(target, column):
            self._name_column(framework, plan, target, call, column)

    def _name_column(
        self,
        framework: Framework,
        plan: Plan,
        target: cst.Name,
        call: cst.Call,
        column: ColumnRename,
    ) -> None:
        written = self.work.literal(column.target or "")
        new = f"{framework.column}={written}"
        edit = insert_last(self.work.tree, call, new, plan.why(column)) if written else None
        if edit is None:
            plan.block(f"there is no place for the name of {column.legacy!r}")
            return
        if target.value == column.legacy:
            plan.seen.add(target)
            shown = f"{last_name(call.func)}(…, {new})"
            plan.said(target, Outcome.CHANGED, plan.why(column), shown)
        plan.insert(edit.start, edit.new, edit.reason)

    def _on_target(self, plan: Plan, target: cst.Name, name: str) -> None:
        for column in plan.renames.columns:
            if column.target == name:
                plan.columns[column.legacy] = target.value
        converted = plan.renames.converted_by_target.get(name)
        if converted is not None:
            plan.note_type(target, target.value, converted)

    def _missing(self, framework: Framework, plan: Plan, node: cst.ClassDef) -> None:
        """A renamed column that the class does not define may be implicit, or inherited."""
        if plan.is_target:
            return
        missing = [
            c.legacy
            for c in plan.renames.columns
            if c.target != c.legacy and c.legacy not in plan.columns
        ]
        if framework.key in missing and not self._has_key(node):
            plan.block(
                f"the key {framework.key!r} is implicit, and has another name in the target: "
                f"give the class a field for it"
            )
            return
        for base in node.bases:
            if missing and not self._is_clean(base.value):
                plan.block(f"{missing[0]!r} may be defined by {last_name(base.value)}")
                return

    def _has_key(self, node: cst.ClassDef) -> bool:
        return any(
            isinstance(value, cst.Call)
            and (
                keyword(value, "primary_key") is not None
                or keyword(value, "pk") is not None
                or last_name(value.func) in ("PrimaryKey", "AutoField", "PrimaryKeyField")
            )
            for _, value in assignments(node)
        ) or self._is_composite(node)

    def _is_composite(self, node: cst.ClassDef) -> bool:
        """Tell whether the class says `PrimaryKey(a, b)` or `primary_key = CompositeKey(…)`."""
        meta = _meta(node)
        if meta is not None and self._value(meta, "primary_key") is not None:
            return True
        return any(
            isinstance(statement, cst.Expr)
            and isinstance(statement.value, cst.Call)
            and last_name(statement.value.func) == "PrimaryKey"
            for statement in statements(node)
        )

    def _is_clean(self, base: cst.BaseExpression) -> bool:
        """Tell whether a base class surely defines no fields."""
        scope = self.work.tree.scope
        if last_name(base) in ("Model", "Entity") and (
            isinstance(base, cst.Attribute) or scope.dotted(base) is not None
        ):
            return True
        if not isinstance(base, cst.Name):
            return False
        for node in self.work.tree.of(cst.ClassDef):
            if isinstance(node, cst.ClassDef) and node.name.value == base.value:
                fields = any(isinstance(value, cst.Call) for _, value in assignments(node))
                return not fields and all(self._is_clean(b.value) for b in node.bases)
        return scope.member(base, frozenset().union(*(f.packages for f in FRAMEWORKS))) == "Model"


def _meta(node: cst.ClassDef) -> cst.ClassDef | None:
    for inner in node.body.body:
        if isinstance(inner, cst.ClassDef) and inner.name.value == "Meta":
            return inner
    return None
