"""How a module uses the models of a legacy table: their attributes, keys, and names of columns.

Attributes and keys are the program's own names and stay, unless they are to be renamed as well;
some places take the names that the database has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import libcst as cst

from codemods import sql
from codemods.analysis import Part, Pending, Style, joined
from codemods.edits import Edit
from codemods.entities import Entity
from codemods.findings import Finding, Note, Outcome
from codemods.python import context
from codemods.python.inference import Inference, Model
from codemods.python.literals import Text
from codemods.python.strings import placed
from codemods.python.work import Work, last_name
from codemods.renames import ColumnRename
from codemods.sql.identifiers import words

_BY_KEYWORD = words(
    "filter filter_by exclude get values update create get_or_create update_or_create aggregate"
    " annotate ordered_values get_or_none aget acreate afilter set"
)
_BY_STRING = words("order_by values values_list only defer distinct load_only in_bulk group_by")
_EXPRESSIONS = words("F Sum Avg Min Max Count OuterRef Prefetch")
_RETURNING = words("select returning with_only_columns add_columns query")
_SQL_TEXT = words("text literal_column RawSQL SQL raw")


class Usage:
    """Works on the uses of models in one module."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.inference = Inference(work)
        self.attributes = work.names.settings.attributes
        self.interesting = {
            attribute
            for entity in (*work.entities, *work.names.entities)
            for attribute, _ in entity.columns
        } | work.names.columns
        self._any_word = re.compile("|".join(map(re.escape, self.interesting)) or r"(?!)")

    def visit(self) -> None:
        """Decide about all names and strings that a known model explains."""
        if not self.inference.is_useful:
            return
        for node in self.work.tree.of(cst.Name, *context.STRINGS):
            if isinstance(node, cst.Name):
                if self._is_ours(node.value) and node not in self.work.done:
                    self._name(node)
            elif node not in self.work.done and context.is_whole_string(self.work.tree, node):
                self._string(node)

    # -- names -------------------------------------------------------------------------------

    def _is_ours(self, name: str) -> bool:
        return name in self.interesting or name.partition("__")[0] in self.interesting

    def _name(self, node: cst.Name) -> None:
        first = node.value.partition("__")[0]
        parent = self.work.tree.parent(node)
        if isinstance(parent, cst.Attribute) and parent.attr is node:
            self._attribute(node, parent)
        elif isinstance(parent, cst.Arg) and parent.keyword is node:
            call = self.work.tree.parent(parent)
            if isinstance(call, cst.Call):
                self._keyword(node, first, call)
        elif self.attributes:
            self._in_class_body(node)

    def _attribute(self, node: cst.Name, parent: cst.Attribute) -> None:
        owner = parent.value
        model = self.inference.model(owner)
        if model is None and isinstance(owner, cst.Attribute):
            if owner.attr.value in ("c", "columns"):
                table = self.inference.model(owner.value)
                if table is not None:
                    self._column(node, table)
                return
            if owner.attr.value == "excluded":
                found = self.inference.query(owner.value)
                if found is not None:
                    self._conflict_column(node, found)
                return
        if model is not None and not model.as_table:
            self._program(node, model.entity)
            return
        row = self.inference.row(owner)
        if row is not None:
            self._program(node, row)

    def _keyword(self, node: cst.Name, first: str, call: cst.Call) -> None:
        conflict = self.inference.conflict(node)
        if conflict is not None:
            if last_name(call.func) == "dict":
                self._conflict_column(node, conflict)
            return
        model = self.inference.model(call.func)
        if model is not None and not model.as_table:
            self._program(node, model.entity, first)
            return
        if isinstance(call.func, cst.Attribute) and call.func.attr.value in _BY_KEYWORD:
            found = self.inference.query(call.func.value)
            if found is not None and found.as_table:
                self._column(node, found)
            elif found is not None:
                self._program(node, found.entity, first)
        elif last_name(call.func) == "Q":
            outer = self._query_around(call) or self._described(call)
            if outer is not None:
                self._program(node, outer.entity, first)

    def _described(self, node: cst.CSTNode) -> Model | None:
        """Return the Django model in whose `class Meta` a node stands."""
        for parent in self.work.tree.parents(node):
            if isinstance(parent, cst.ClassDef) and parent.name.value == "Meta":
                return self.inference.own(parent)
        return None

    def _query_around(self, node: cst.CSTNode) -> Model | None:
        """Return the model of the query of which an expression is an argument."""
        for parent in self.work.tree.parents(node):
            if isinstance(parent, cst.Call) and isinstance(parent.func, cst.Attribute):
                found = self.inference.query(parent.func.value)
                if found is not None and not found.as_table:
                    return found
        return None

    def _in_class_body(self, node: cst.Name) -> None:
        """A column's variable, used in the body of its class: `Index("ix", qty)`."""
        tree = self.work.tree
        entity: Entity | None = None
        for parent in tree.parents(node):
            if isinstance(parent, cst.FunctionDef | cst.Lambda):
                return
            if isinstance(parent, cst.ClassDef):
                entity = self.inference.local.get(parent.name.value)
                break
        above = tree.parent(node)
        if entity is not None and not isinstance(above, cst.AssignTarget | cst.AnnAssign):
            self._program(node, entity)

    # -- decisions ---------------------------------------------------------------------------

    def _program(self, node: cst.Name, entity: Entity, first: str | None = None) -> None:
        """A name that the program itself has given to a column."""
        attribute = node.value if first is None else first
        column = self._of(entity, attribute)
        if column is None:
            return
        self.work.done.add(node)
        if column.converted is not None and context.uses_value(self.work.tree, node):
            self._note(node, attribute, column)
        new = entity.new_name(attribute)
        if new is not None and not entity.is_target:
            self._renamed(node, entity, attribute, new, column)
            return
        start, _ = self.work.name_span(node)
        if attribute in self.work.names.columns:
            reason = _stays(entity)
            finding = Finding(
                start, start + len(attribute), attribute, "column", Outcome.UNRELATED, reason
            )
            self.work.parts.append(Part(findings=(finding,)))

    def _renamed(
        self, node: cst.Name, entity: Entity, attribute: str, new: str, column: ColumnRename
    ) -> None:
        written = new + node.value.removeprefix(attribute)
        reason = f"{entity.name}.{attribute} is now {new}"
        part = self.work.replaced_name(node, written, reason, kind="column")
        self.work.pending.append(Pending(entity.renames, part, part))

    def _note(self, node: cst.CSTNode, name: str, column: ColumnRename) -> None:
        start, end = self.work.tree.span(node)
        literal = context.compared_literal(self.work.tree, node)
        told = f"{literal}; {column.converted}" if literal else str(column.converted)
        self.work.parts.append(Part(notes=(Note(start, end, name, told),)))

    def _note_string(self, node: cst.CSTNode, name: str, column: ColumnRename) -> None:
        """`{"status": 3}` sets a value as well."""
        pair = self.work.tree.parent(node)
        if column.converted is None or not isinstance(pair, cst.DictElement):
            return
        start, end = self.work.tree.span(node)
        literal = context.literal(self.work.tree, pair.value)
        told = f"set to {literal}; {column.converted}" if literal else column.converted
        self.work.parts.append(Part(notes=(Note(start, end, name, told),)))

    def _of(self, entity: Entity, attribute: str) -> ColumnRename | None:
        """Return the legacy column that an attribute stands for, if something becomes of it."""
        legacy = entity.column(attribute)
        if legacy is None:
            return None
        column = self.work.named(entity.renames).by_legacy.get(legacy)
        return column if column is not None and column.matters else None

    def _column(self, node: cst.Name, model: Model) -> None:
        """`.c.qty` of a Table: a key, or the column's own name behind a class."""
        if model.entity.style is Style.CORE or not model.as_table:
            self._program(node, model.entity)
        else:
            self._database(node, model.entity)

    def _conflict_column(self, node: cst.Name, model: Model) -> None:
        """`excluded.qty`, and the keys of `set_`, go by the columns of the Table."""
        self._column(node, Model(model.entity, as_table=True))

    def _database(self, node: cst.Name, entity: Entity) -> None:
        """A name in the code that is the column's name in the database."""
        column = self.work.named(entity.renames).by_legacy.get(node.value)
        if column is None or not column.matters or entity.is_target:
            return
        self.work.done.add(node)
        if column.converted is not None:
            self._note(node, node.value, column)
        reason = f"{entity.name}.__table__ has {column.target} for {node.value}"
        if column.target == column.legacy:
            self._said(node, Outcome.LOOK, f"the name stays, but {column.converted}")
        elif column.target is None or not column.target.isidentifier():
            self._said(node, Outcome.LOOK, "it has no counterpart that could be written here")
        else:
            part = self.work.replaced_name(node, column.target, reason, kind="column")
            parent = self.work.tree.parent(node)
            part = self._labelled(part, parent or node, column.legacy)
            self.work.pending.append(Pending(entity.renames, part, part))

    def _labelled(self, part: Part, node: cst.CSTNode, name: str) -> Part:
        """Let a column that a query returns keep the name by which its result knows it."""
        arg = self.work.tree.parent(node)
        call = self.work.tree.parent(arg) if isinstance(arg, cst.Arg) else None
        written = self.work.literal(name)
        if not isinstance(call, cst.Call) or last_name(call.func) not in _RETURNING or not written:
            return part
        at = self.work.tree.span(node)[1]
        label = Edit(at, at, f".label({written})", "the result keeps its name")
        return joined((part, Part((label,))))

    def _said(self, node: cst.Name, outcome: Outcome, reason: str) -> None:
        finding = self.work.name_found(node, outcome, reason, kind="column")
        self.work.parts.append(Part(findings=(finding,)))

    # -- strings -----------------------------------------------------------------------------

    def _string(self, node: cst.CSTNode) -> None:
        if not self.work.strings.may_hold(node, self._is_interesting):
            return
        text = self.work.strings.text(node)
        if text is None or not text.value:
            return
        word = text.value.removeprefix("-")
        if word.partition("__")[0] in self.interesting:
            self._column_string(node, text, word)
        elif self.work.names.find(text.value):
            self._sql_string(node, text)
        if node not in self.work.done and self.attributes:
            self._in_relationship(node, text)

    def _is_interesting(self, text: str) -> bool:
        return self._any_word.search(text) is not None or bool(self.work.names.find(text))

    def _column_string(self, node: cst.CSTNode, text: Text, word: str) -> None:
        tree = self.work.tree
        parent = tree.parent(node)
        conflict = self.inference.conflict(node)
        if conflict is not None:
            self._conflict_string(node, text, conflict)
            return
        if isinstance(parent, cst.Index):
            subscript = tree.parent(tree.parent(parent) or parent)
            owner = subscript.value if isinstance(subscript, cst.Subscript) else None
            if isinstance(owner, cst.Attribute) and owner.attr.value in ("c", "columns"):
                model = self.inference.model(owner.value)
                if model is not None:
                    self._key(node, text, model, subscript)
            return
        described = self._described(node)
        if described is not None:
            self._program_string(node, text, word, described.entity)
            return
        call, is_key = self._call_around(node)
        if call is None:
            return
        name = last_name(call.func)
        if name in ("getattr", "setattr", "hasattr", "delattr") and call.args:
            given = call.args[0].value
            row = self.inference.row(given)
            model = self.inference.model(given)
            entity = row or (model.entity if model is not None else None)
            if entity is not None:
                self._program_string(node, text, word, entity)
            return
        found = (
            self.inference.query(call.func.value) if isinstance(call.func, cst.Attribute) else None
        )
        if name == "from_select" and found is not None:
            self._key(node, text, Model(found.entity, as_table=True))
        elif name in _BY_KEYWORD and is_key and found is not None:
            if found.as_table:
                self._key(node, text, found)
            else:
                self._program_string(node, text, word, found.entity)
        elif name in _BY_STRING and found is not None and not found.as_table:
            self._program_string(node, text, word, found.entity)
        elif name in _EXPRESSIONS:
            outer = self._query_around(call)
            if outer is not None:
                self._program_string(node, text, word, outer.entity)
        elif name in ("validates", "synonym", "column_keyed_dict", "attribute_keyed_dict"):
            own = self.inference.own(node)
            if own is not None:
                self._program_string(node, text, word, own.entity)

    def _call_around(self, node: cst.CSTNode) -> tuple[cst.Call | None, bool]:
        """Return the call of which a string is an argument, or in a list or dictionary in one.

        And whether it is the key of a dictionary.
        """
        is_key = False
        inner = node
        for parent in self.work.tree.parents(node):
            if isinstance(parent, cst.Call):
                return parent, is_key
            if isinstance(parent, cst.DictElement):
                if parent.key is not inner:
                    return None, False
                is_key = True
            elif not isinstance(parent, cst.Arg | cst.Element | cst.List | cst.Tuple | cst.Dict):
                return None, False
            inner = parent
        return None, False

    def _conflict_string(self, node: cst.CSTNode, text: Text, model: Model) -> None:
        """`index_elements=["id"]` names columns of the database, `set_={"qty": …}` keys."""
        parent = self.work.tree.parent(node)
        if isinstance(parent, cst.DictElement) and parent.key is not node:
            return
        for outer in self.work.tree.parents(node):
            if isinstance(outer, cst.Arg) and outer.keyword is not None:
                name = outer.keyword.value
                if name == "index_elements":
                    self._database_string(node, text, model.entity)
                elif name == "set_" and isinstance(parent, cst.DictElement):
                    self._key(node, text, Model(model.entity, as_table=True))
                return
            if isinstance(outer, cst.Call):
                return

    def _key(
        self, node: cst.CSTNode, text: Text, model: Model, subscript: cst.CSTNode | None = None
    ) -> None:
        """A string that is the key of a column in its Table."""
        if model.entity.style is Style.CORE or not model.as_table:
            self._program_string(node, text, text.value, model.entity)
        else:
            self._database_string(node, text, model.entity, subscript)

    def _program_string(self, node: cst.CSTNode, text: Text, word: str, entity: Entity) -> None:
        attribute = word.partition("__")[0]
        column = self._of(entity, attribute)
        if column is None:
            return
        self.work.done.add(node)
        self._note_string(node, attribute, column)
        new = entity.new_name(attribute)
        start = len(text.value) - len(word)
        end = start + len(attribute)
        reason = f"{entity.name}.{attribute} is now {new}"
        part = None
        if new is not None and not entity.is_target:
            part = self.work.replaced(text, start, end, new, reason, kind="column")
        if part is not None:
            self.work.pending.append(Pending(entity.renames, part, part))
        elif attribute in self.work.names.columns:
            stays = self.work.found(
                text, start, end, Outcome.UNRELATED, _stays(entity), kind="column"
            )
            self.work.parts.append(Part(findings=(stays,)))

    def _database_string(
        self,
        node: cst.CSTNode,
        text: Text,
        entity: Entity,
        subscript: cst.CSTNode | None = None,
    ) -> None:
        column = self.work.named(entity.renames).by_legacy.get(text.value)
        if column is None or not column.matters or entity.is_target:
            return
        self.work.done.add(node)
        self._note_string(node, column.legacy, column)
        end = len(text.value)
        if column.target is None:
            told = f"it {column.absence}"
            self.work.parts.append(self.work.unrelated(text, told, Outcome.LOOK))
            return
        reason = f"{entity.name}.__table__ has {column.target} for {column.legacy}"
        part = self.work.replaced(text, 0, end, column.target, reason, kind="column")
        if part is None:
            told = "the new name cannot be spelled there"
            self.work.parts.append(self.work.unrelated(text, told, Outcome.LOOK))
            return
        if subscript is not None:
            part = self._labelled(part, subscript, column.legacy)
        self.work.pending.append(Pending(entity.renames, part, part))

    # -- SQL in queries ----------------------------------------------------------------------

    def _sql_string(self, node: cst.CSTNode, text: Text) -> None:
        """`text("qty > 0")` in a query over one model, and Django's `extra()` and `RawSQL`."""
        call = self._sql_call(node)
        if call is None:
            return
        model = self._only_model(call)
        if model is None or model.entity.is_target:
            return
        renames = self.work.named(model.entity.renames)
        if context.STATEMENT.match(text.value):
            if last_name(call.func) != "raw" or text.holes or text.constants:
                return
            # The model takes the columns of the result by their names in the database.
            names = replace(self.work.names, outputs="new")
            result = sql.rewrite(text.value, names, complete=True)
        else:
            result = sql.rewrite_expression(text.value, self.work.names, renames)
        if not result.parsed:
            return
        self.work.done.add(node)
        part = placed(text, result)
        self.work.pending.append(Pending(renames.name, part, part))

    def _sql_call(self, node: cst.CSTNode) -> cst.Call | None:
        call, is_key = self._call_around(node)
        if call is not None and not is_key:
            if last_name(call.func) in _SQL_TEXT:
                return call
            if last_name(call.func) != "extra":
                return None
        for parent in self.work.tree.parents(node):
            if isinstance(parent, cst.Arg):
                outer = self.work.tree.parent(parent)
                given = parent.keyword.value if parent.keyword is not None else ""
                if not isinstance(outer, cst.Call) or last_name(outer.func) != "extra":
                    return None
                return outer if given in ("where", "select") else None
            if isinstance(parent, cst.DictElement) and parent.key is node:
                return None
        return None

    def _only_model(self, call: cst.Call) -> Model | None:
        """Return the model of the query that holds a call, if it is about nothing else."""
        if last_name(call.func) in ("extra", "raw") and isinstance(call.func, cst.Attribute):
            return self.inference.query(call.func.value)
        found: Model | None = None
        for parent in self.work.tree.parents(call):
            if not isinstance(parent, cst.Call):
                continue
            is_method = isinstance(parent.func, cst.Attribute)
            query = parent.func.value if isinstance(parent.func, cst.Attribute) else parent
            found = self.inference.query(query) or found
            if found is None and not is_method and last_name(parent.func) in _RETURNING:
                return None
        return found

    # -- relationships -----------------------------------------------------------------------

    def _in_relationship(self, node: cst.CSTNode, text: Text) -> None:
        """`order_by="OrderLine.qty"`: classes by the names under which they are registered."""
        if not context.in_relationship(self.work.tree, node):
            return
        for entity in (*self.work.entities, *self.inference.others):
            parts = list(self._attributes_of(entity, text))
            if parts:
                self.work.done.add(node)
                self.work.pending += [Pending(entity.renames, part, part) for part in parts]
                return

    def _attributes_of(self, entity: Entity, text: Text) -> Iterator[Part]:
        for match in re.finditer(rf"\b{re.escape(entity.name)}\.(\w+)", text.value):
            new = entity.new_name(match.group(1))
            if new is None:
                continue
            reason = f"{entity.name}.{match.group(1)} is now {new}"
            part = self.work.replaced(text, *match.span(1), new, reason, kind="column")
            if part is not None:
                yield part


def _stays(entity: Entity) -> str:
    what = "a key" if entity.style is Style.CORE else "an attribute"
    return f"{what} of {entity.name}, which stays"
