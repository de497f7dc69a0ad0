"""Tables of SQLAlchemy Core: `Table(…)` with its columns, and what is read from the database."""

from __future__ import annotations

import libcst as cst

from codemods.analysis import Style
from codemods.findings import Outcome
from codemods.models.constraints import COLUMNS, Constraints
from codemods.python.literals import Text
from codemods.python.work import Plan, Work, insert_last, keyword
from codemods.renames import ColumnRename

_REFLECTING = ("autoload_with", "autoload")


class Tables:
    """Works on the calls of `Table` in one module."""

    def __init__(self, work: Work, constraints: Constraints) -> None:
        self.work = work
        self.constraints = constraints

    def visit(self, call: cst.Call) -> None:
        """Decide about one call of `Table`."""
        plan = self._plan(call)
        if plan is None:
            return
        for arg in call.args[1:]:
            self._item(plan, arg)
        keeps_keys = not self.work.names.settings.attributes
        if keeps_keys and any(part.edits for part in plan.parts[1:]) and not plan.blockers:
            told = "a result of select(table) names its columns as the database does now"
            plan.note(call.args[0].value, plan.renames.legacy_table, told)
        # A table that is read from the database is left, and keeps no other definition from it.
        is_reflected = any(
            arg.keyword is not None and arg.keyword.value in _REFLECTING for arg in call.args
        )
        plan.finish(self._variable(call), defines=not (is_reflected and plan.blockers))

    def visit_lightweight(self, call: cst.Call) -> None:
        """Decide about one call of `table("…", column("…"))`."""
        plan = self._plan(call)
        if plan is None:
            return
        for arg in call.args[1:]:
            inner = arg.value
            if isinstance(inner, cst.Call) and self._construct(inner) == "column":
                self._column(plan, inner)
        renamed = any(c.target != c.legacy for c in plan.renames.columns)
        if renamed and not self.work.names.settings.attributes:
            plan.block("table() has no keys, so that results would show the new names")
        plan.finish(self._variable(call), defines=False)

    def _construct(self, call: cst.Call) -> str | None:
        return self.work.tree.scope.construct(call.func)

    def _plan(self, call: cst.Call) -> Plan | None:
        """Begin the plan for a table, None if it is none of ours."""
        if not call.args or call.args[0].star:
            return None
        node = call.args[0].value
        text = self.work.strings.text(node)
        if text is None:
            return None
        schema: tuple[cst.CSTNode, Text] | None = None
        given = keyword(call, "schema")
        if given is not None and (written := self.work.strings.text(given.value)) is not None:
            schema = given.value, written
        renames, is_target = self.work.renames(text.value, schema[1].value if schema else None)
        if renames is None:
            self.constraints.other_table(node, text)
            self.constraints.other_columns(call)
            return None
        plan = Plan(self.work, renames, Style.CORE, is_target=is_target)
        plan.name_table(node, text, schema)
        return plan

    def _variable(self, call: cst.Call) -> str | None:
        """Return the name of the module's variable that holds the Table."""
        assign = self.work.tree.parent(call)
        target: cst.BaseExpression | None = None
        if isinstance(assign, cst.Assign) and len(assign.targets) == 1:
            target = assign.targets[0].target
        elif isinstance(assign, cst.AnnAssign):
            target = assign.target
        return target.value if isinstance(target, cst.Name) else None

    def _item(self, plan: Plan, arg: cst.Arg) -> None:
        if arg.star:
            plan.block("the columns of the table come from * or **")
        elif arg.keyword is not None:
            if arg.keyword.value in _REFLECTING:
                self._reflected(plan)
            elif arg.keyword.value == "schema" and self.work.strings.text(arg.value) is None:
                plan.block("the schema of the table is computed")
        elif isinstance(arg.value, cst.Call):
            if self._construct(arg.value) in COLUMNS:
                self._column(plan, arg.value)
            else:
                self.constraints.constraint(plan, arg.value)

    def _reflected(self, plan: Plan) -> None:
        """The database tells the columns, so that the program meets their new names."""
        if not self.work.names.settings.attributes:
            plan.block("the table is read from the database")
            return
        for column in plan.renames.columns:
            if column.legacy in plan.columns:
                continue
            plan.columns[column.legacy] = column.legacy
            if column.target is not None and column.target != column.legacy:
                plan.renamed[column.legacy] = column.target

    def _column(self, plan: Plan, call: cst.Call) -> None:
        given, node = self.constraints.given_name(plan, call)
        self.constraints.inside_column(plan, call)
        if given is None or node is None:
            plan.block("a column has no plain name")
            return
        if plan.is_target:
            converted = plan.renames.converted_by_target.get(given.value)
            if converted is not None:
                plan.note_type(node, given.value, converted)
            return
        column = plan.renames.by_legacy.get(given.value)
        if column is None:
            return
        key = keyword(call, "key")
        key_text = self.work.strings.text(key.value) if key is not None else None
        plan.columns[column.legacy] = key_text.value if key_text else column.legacy
        if not column.matters:
            return
        if column.target is None:
            plan.block(f"{column.legacy!r} {column.absence}")
            return
        plan.note_type(node, given.value, column)
        if column.target == column.legacy:
            text = f"the name stays, but {column.converted}"
            plan.seen.add(node)
            plan.parts.append(self.work.unrelated(given, text, Outcome.LOOK))
            return
        plan.replace(node, given, column.target, kind="column", reason=plan.why(column))
        if key is None:
            self._key(plan, call, column)

    def _key(self, plan: Plan, call: cst.Call, column: ColumnRename) -> None:
        """Keep the name by which the program knows the column, or let it go."""
        if self.work.names.settings.attributes and column.target is not None:
            plan.renamed[column.legacy] = column.target
            return
        written = self.work.literal(column.legacy)
        told = "the key stays, so that the program's names do"
        edit = None
        if written is not None:
            edit = insert_last(self.work.tree, call, f"key={written}", told)
        if edit is None:
            plan.block(f"{column.legacy!r} cannot be spelled as a key")
            return
        plan.insert(edit.start, edit.new, told)
