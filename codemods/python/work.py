"""What is decided about one module while it is analysed, and what all parts of that need.

Mutable, and seen by nobody outside of one analysis; the values that leave it are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import libcst as cst

from codemods.analysis import Definition, Part, Pending, State, Style, joined
from codemods.edits import Edit
from codemods.entities import Entity
from codemods.findings import Finding, Note, Outcome
from codemods.python import ignored
from codemods.python.literals import Text
from codemods.python.strings import Strings
from codemods.python.tree import Tree, dotted_source
from codemods.renames import ColumnRename, Names, Renames


class Work:
    """A module, the names that are looked for, and the decisions so far."""

    def __init__(self, tree: Tree, names: Names, strings: Strings, path: str) -> None:
        self.tree = tree
        self.names = names
        self.strings = strings
        self.path = path
        self.parts: list[Part] = []
        self.pending: list[Pending] = []
        self.definitions: list[Definition] = []
        self.entities: list[Entity] = []
        self.done: set[cst.CSTNode] = set()
        self.ignored = ignored.find(tree)

    # -- which table -------------------------------------------------------------------------

    def renames(self, table: str, schema: str | None) -> tuple[Renames | None, bool]:
        """Return the renames for a table's name, and whether it is the target already."""
        for renames in self.names.for_table(table):
            if schema in (None, renames.legacy_schema):
                return renames, False
        for renames in self.names.for_target(table):
            if schema in (None, renames.target_schema):
                return renames, True
        return None, False

    def named(self, name: str) -> Renames:
        """Return the renames of a mapping."""
        return next(renames for renames in self.names.renames if renames.name == name)

    # -- decisions ---------------------------------------------------------------------------

    def found(
        self,
        text: Text,
        start: int,
        end: int,
        outcome: Outcome,
        reason: str,
        *,
        kind: str,
        new: str | None = None,
    ) -> Finding:
        """Return a finding for a span of a string's value."""
        a, b = text.source_span(start, end)
        return Finding(a, b, text.value[start:end], kind, outcome, reason, new)

    def unrelated(self, text: Text, reason: str, outcome: Outcome = Outcome.UNRELATED) -> Part:
        """Return the part that says the same of every hit in a string."""
        return Part(
            findings=tuple(
                self.found(text, hit.start, hit.end, outcome, reason, kind=hit.kind)
                for hit in self.names.find(text.value)
            )
        )

    def name_found(
        self, node: cst.Name, outcome: Outcome, reason: str, *, kind: str, new: str | None = None
    ) -> Finding:
        """Return a finding for a name in the code."""
        start, end = self.name_span(node)
        return Finding(start, end, node.value, kind, outcome, reason, new)

    def name_span(self, node: cst.Name) -> tuple[int, int]:
        """Return where a name stands, without parentheses around it."""
        start, end = self.tree.span(node)
        if node.lpar:
            start += self.tree.source[start:end].index(node.value)
        return start, start + len(node.value)

    def replaced_name(self, node: cst.Name, new: str, reason: str, *, kind: str) -> Part:
        """Return the part that replaces a name in the code."""
        start, end = self.name_span(node)
        finding = Finding(start, end, node.value, kind, Outcome.CHANGED, reason, new)
        return Part((Edit(start, end, new, reason),), (finding,))

    def replaced(
        self, text: Text, start: int, end: int, new: str, reason: str, *, kind: str
    ) -> Part | None:
        """Return the part that replaces a span of a string's value, None if it cannot be spelled.

        :param kind: of the finding; `schema` and `""` give none, as they are no legacy names
        """
        old = text.value[start:end]
        if old == new:
            if kind not in ("table", "column"):
                return Part()
            stays = self.found(text, start, end, Outcome.UNRELATED, "the name stays", kind=kind)
            return Part(findings=(stays,))
        edits = text.edits(Edit(start, end, new, reason))
        if edits is None:
            return None
        if kind not in ("table", "column", "derived", "code"):
            return Part(edits)
        changed = self.found(text, start, end, Outcome.CHANGED, reason, kind=kind, new=new)
        return Part(edits, (changed,))

    def literal(self, name: str) -> str | None:
        """Return a name as a string literal in the quotes that the file prefers."""
        if not name.isprintable() or "\\" in name:
            return None
        source = self.tree.source
        mark = "'" if source.count("'") > 2 * source.count('"') else '"'
        if mark in name:
            mark = "'" if mark == '"' else '"'
        return None if mark in name else f"{mark}{name}{mark}"


class Plan:
    """What is to be done with one definition of a table: all of it, or nothing."""

    def __init__(self, work: Work, renames: Renames, style: Style, *, is_target: bool) -> None:
        self.work = work
        self.renames = renames
        self.style = style
        self.is_target = is_target
        self.parts: list[Part] = []
        self.blockers: list[str] = []
        self.columns: dict[str, str] = {}
        """Each legacy column that was met, and the attribute or key that stands for it."""
        self.renamed: dict[str, str] = {}
        """Attributes and keys that get another name."""
        self.seen: set[cst.CSTNode] = set()

    def finish(self, name: str | None, *, defines: bool = True) -> None:
        """Hand the decisions over.

        :param name: what the module calls the class or Table
        :param defines: others refer to the table by what is said here
        """
        work = self.work
        if work.ignored.touches(self.parts):
            self.block("a part of it is ignored by a comment")
        part = joined(self.parts)
        work.parts.append(
            part.left(f"left as it is: {self.blockers[0]}") if self.blockers else part
        )
        state = State.LEFT if self.blockers else State.REWRITTEN
        state = State.TARGET if self.is_target else state
        if defines:
            work.definitions.append(Definition(self.renames.name, self.style, state))
        work.done |= self.seen
        if name is not None:
            work.entities.append(
                Entity(
                    work.path,
                    name,
                    self.renames.name,
                    self.style,
                    self.is_target,
                    tuple((attribute, column) for column, attribute in self.columns.items()),
                    tuple(self.renamed.items()),
                )
            )

    def block(self, reason: str) -> None:
        """Leave the whole definition as it is."""
        self.blockers.append(reason)

    # -- what is said ------------------------------------------------------------------------

    def why(self, column: ColumnRename) -> str:
        """Return the reason of a change, for a reader."""
        return f"{self.renames.legacy_table}.{column.legacy} is now {column.target}"

    @property
    def why_table(self) -> str:
        """The reason for which the table's name changes."""
        target = f"{self.renames.target_schema}.{self.renames.target_table}"
        return f"{self.renames.legacy_title} is now {target}"

    def note(self, node: cst.CSTNode, name: str, text: str) -> None:
        """Say that a value has to be checked."""
        start, end = self.work.tree.span(node)
        self.parts.append(Part(notes=(Note(start, end, name, text),)))

    def note_type(self, node: cst.CSTNode, name: str, column: ColumnRename) -> None:
        """Say that a column's type has to be checked, if its values change."""
        if column.converted is not None:
            self.note(node, name, f"the type of the column: {column.converted}")

    def said(self, node: cst.Name, outcome: Outcome, reason: str, new: str | None = None) -> None:
        """Take down what becomes of an attribute."""
        finding = self.work.name_found(node, outcome, reason, kind="column", new=new)
        self.parts.append(Part(findings=(finding,)))

    def left(self, target: cst.Name) -> None:
        """List the attribute that keeps the whole definition as it is."""
        self.seen.add(target)
        self.said(target, Outcome.LOOK, f"left as it is: {self.blockers[0]}")

    # -- what is changed ---------------------------------------------------------------------

    def replace(self, node: cst.CSTNode, text: Text, new: str, *, kind: str, reason: str) -> None:
        """Replace the whole content of a string literal."""
        self.seen.add(node)
        part = self.work.replaced(text, 0, len(text.value), new, reason, kind=kind)
        if part is None:
            self.block(f"{text.value!r} or its new name cannot be spelled there")
            return
        self.parts.append(part)

    def insert(self, at: int, new: str, reason: str) -> None:
        """Insert text into the source."""
        self.parts.append(Part((Edit(at, at, new, reason),)))

    def name_table(
        self, node: cst.CSTNode, text: Text, schema: tuple[cst.CSTNode, Text] | None
    ) -> None:
        """Replace the table's name, and its schema where another one is named."""
        renames = self.renames
        if self.is_target:
            return
        if (reason := renames.divided or renames.incomplete) is not None:
            self.block(reason)
        if renames.target_schema != renames.legacy_schema:
            if schema is None:
                self.block(
                    "the model names no schema, and the target is "
                    f"{renames.target_schema}.{renames.target_table}"
                )
            else:
                self.replace(*schema, renames.target_schema, kind="schema", reason=self.why_table)
        self.replace(node, text, renames.target_table, kind="table", reason=self.why_table)

    def rename_attribute(self, target: cst.Name, column: ColumnRename) -> bool:
        """Give an attribute the column's new name, if that is asked for and possible."""
        if not self.work.names.settings.attributes or target.value != column.legacy:
            return False
        if column.target is None or not column.target.isidentifier():
            self.block(f"{column.target!r} is no name for an attribute")
            return False
        self.seen.add(target)
        self.renamed[target.value] = column.target
        part = self.work.replaced_name(target, column.target, self.why(column), kind="column")
        self.parts.append(part)
        return True

    def has_renamed(self, text: Text) -> bool:
        """Tell whether a text names a column of the table that gets another name."""
        return any(
            hit.kind == "column"
            and (column := self.renames.by_legacy.get(hit.name)) is not None
            and column.target != column.legacy
            for hit in self.work.names.find(text.value)
        )


# -- reading trees -----------------------------------------------------------------------------


def items(node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    """Yield what a tuple or a list holds, nothing for other expressions."""
    if isinstance(node, cst.Tuple | cst.List | cst.Set):
        for element in node.elements:
            yield element.value


def statements(node: cst.ClassDef) -> Iterator[cst.BaseSmallStatement]:
    """Yield the simple statements of a class."""
    for line in node.body.body:
        if isinstance(line, cst.SimpleStatementLine):
            yield from line.body


def assignments(node: cst.ClassDef) -> Iterator[tuple[cst.Name, cst.BaseExpression | None]]:
    """Yield the names that a class binds in simple statements, with what they are bound to."""
    for statement in statements(node):
        if isinstance(statement, cst.Assign):
            for target in statement.targets:
                if isinstance(target.target, cst.Name):
                    yield target.target, statement.value
        elif isinstance(statement, cst.AnnAssign) and isinstance(statement.target, cst.Name):
            yield statement.target, statement.value


def line_start(tree: Tree, line: cst.CSTNode) -> tuple[int, str | None]:
    """Return where a line of a block begins, and its indentation if nothing else is before it."""
    if not isinstance(line, cst.SimpleStatementLine):
        return 0, None
    at = tree.span(line.body[0])[0]
    indent = tree.source[tree.source.rfind("\n", 0, at) + 1 : at]
    return at, None if indent.strip() or not indent else indent


def keyword(call: cst.Call, name: str) -> cst.Arg | None:
    """Return the argument that a call gives by name."""
    return next((a for a in call.args if a.keyword is not None and a.keyword.value == name), None)


def positional(call: cst.Call) -> Sequence[cst.BaseExpression]:
    """Return the arguments that a call gives by position, up to the first with a star."""
    found: list[cst.BaseExpression] = []
    for arg in call.args:
        if arg.star:
            break
        if arg.keyword is None:
            found.append(arg.value)
    return found


def last_name(node: cst.BaseExpression) -> str:
    """Return the last part of what is called: `c` for `a.b().c`."""
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return dotted_source(node).rpartition(".")[2]


def insert_first(tree: Tree, call: cst.Call, written: str | None, reason: str) -> Edit | None:
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


def insert_last(tree: Tree, call: cst.Call, written: str, reason: str) -> Edit | None:
    """Return the edit that gives a call a new last argument, on a line of its own if they are."""
    if not call.args:
        return insert_first(tree, call, written, reason)
    last = call.args[-1]
    at = tree.span(last.value)[1]
    line = tree.source.rfind("\n", 0, tree.span(last)[0])
    indent = tree.source[line + 1 : tree.span(last)[0]]
    if line < tree.span(call)[0] or indent.strip():
        return Edit(at, at, f", {written}", reason)
    newline = "\r\n" if tree.source[line - 1 : line] == "\r" else "\n"
    return Edit(at, at, f",{newline}{indent}{written}", reason)
