"""A parsed Python module with the place of every node, its parent, and what its imports mean.

A place is told by libcst's own code generation, which costs half of a parse: only statements in
which somebody asks for one are written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from operator import attrgetter
from typing import Any

import libcst as cst
from libcst._nodes.internal import CodegenState

from codemods.python.reduction import Wanted, reduced

SQLALCHEMY = "sqlalchemy"
_SQLALCHEMY = frozenset((SQLALCHEMY, "sqlmodel"))  # which passes on what it does not change


# Nobody asks where blanks are, and they are a third of all nodes.
_BLANK = frozenset((cst.SimpleWhitespace, cst.Newline))
_NO_NODE = _BLANK | {str, bool, type(None), cst.MaybeSentinel}

_IN_ORDER = {
    cst.Module: ("header", "body", "footer"),
    cst.FunctionDef: ("decorators", "name", "type_parameters", "params", "returns", "body"),
    cst.ClassDef: ("decorators", "name", "type_parameters", "bases", "keywords", "body"),
    cst.Parameters: (
        *("posonly_params", "posonly_ind", "params", "star_arg", "kwonly_params", "star_kwarg"),
    ),
    cst.Arg: ("keyword", "value"),
    cst.IfExp: ("body", "test", "orelse"),
    cst.ImportFrom: ("relative", "module", "names"),
    cst.IndentedBlock: ("header", "body", "footer"),
    cst.ExceptHandler: ("type", "name", "body"),
}
"""What comes first in the source, where libcst has its fields in another order."""


@cache
def _children(kind: type[cst.CSTNode]) -> Callable[[cst.CSTNode], tuple[Any, ...]]:
    """Return what gives the fields of a node, in the order of the source but for brackets."""
    first = ("leading_lines", *_IN_ORDER.get(kind, ()))
    names = [item.name for item in dataclasses.fields(kind)]
    names = [*(n for n in first if n in names), *(n for n in names if n not in first)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda node: tuple(getattr(node, name) for name in names)


class _Recorder(CodegenState):
    """Writes code, and takes down where each node begins and ends in it."""

    def __init__(self, module: cst.Module, indents: Sequence[str] = ()) -> None:
        super().__init__(
            default_indent=module.default_indent, default_newline=module.default_newline
        )
        for indent in indents:
            self.increase_indent(indent)
        self.at = 0
        self.open: list[int] = []
        self.spans: list[tuple[cst.CSTNode, int, int]] = []

    def add_indent_tokens(self) -> None:
        for token in self.indent_tokens:
            self.add_token(token)

    def add_token(self, value: str) -> None:
        self.tokens.append(value)
        self.at += len(value)

    def before_codegen(self, node: cst.CSTNode) -> None:
        if type(node) not in _BLANK:
            self.open.append(self.at)

    def after_codegen(self, node: cst.CSTNode) -> None:
        if type(node) not in _BLANK:
            self.spans.append((node, self.open.pop(), self.at))


_LARGEST = 2_000_000
"""In characters; the tree of more would take more memory than a worker should."""


class NotPython(Exception):
    """The text is not Python that can be read; the message says where."""


@dataclass(frozen=True)
class Tree:
    """A module, and all its nodes in the order of the source (brackets and blanks follow later).

    :param read: as much of the source as was parsed, of the same length
    :param parents_at: the index of each node's parent in `nodes`, -1 for the module
    :param ends_at: the index behind each node's last descendant
    :param by_type: the indices of the nodes of each class
    """

    source: str
    read: str
    module: cst.Module
    nodes: Sequence[cst.CSTNode]
    parents_at: Sequence[int]
    ends_at: Sequence[int]
    by_type: dict[type[cst.CSTNode], list[int]]
    _spans: dict[int, tuple[int, int]] = field(default_factory=dict)

    def holds(self, wanted: Wanted) -> bool:
        """Tell whether all that is wanted was parsed, and nothing else."""
        return reduced(self.source, wanted) == self.read

    @cached_property
    def _index(self) -> dict[int, int]:
        # By id(): hashing a node is a call of a method in Python.
        return {id(node): i for i, node in enumerate(self.nodes)}

    def __contains__(self, node: cst.CSTNode) -> bool:
        return id(node) in self._index

    def of(self, *types: type[cst.CSTNode]) -> list[cst.CSTNode]:
        """Return the nodes of exactly these classes, in the order of the source."""
        # isinstance() on libcst's abstract classes is slow; the classes of nodes are exact.
        found = sorted(i for kind in types for i in self.by_type.get(kind, ()))
        return [self.nodes[i] for i in found]

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where a node stands in the source.

        :raises NotPython: the code does not come back as it was
        """
        if id(node) not in self._spans:
            self._place(node)
        return self._spans[id(node)]

    def _place(self, node: cst.CSTNode) -> None:
        """Find the places of all nodes in the same statement of the module or of a class."""
        for statement, indents in self._statements_around(node):
            recorder = _Recorder(self.module, indents)
            statement._codegen(recorder)
            start = _only_place(self.read, "".join(recorder.tokens))
            if start is not None:
                self._take(recorder, start)
                return
        recorder = _Recorder(self.module)
        self.module._codegen(recorder)
        if "".join(recorder.tokens) != self.read:
            raise NotPython("its code does not come back as it was")
        self._take(recorder, 0)

    def _statements_around(self, node: cst.CSTNode) -> list[tuple[cst.CSTNode, list[str]]]:
        """Return the statements of a module or class that hold a node, the innermost first.

        Each with the indentation of the blocks around it.
        """
        module, *path = [node, *self.parents(node)][::-1]
        assert isinstance(module, cst.Module)
        indents: list[str] = []
        found: list[tuple[cst.CSTNode, list[str]]] = []
        while path and isinstance(path[0], cst.SimpleStatementLine | cst.BaseCompoundStatement):
            statement, *path = path
            found.append((statement, [*indents]))
            if not isinstance(statement, cst.ClassDef) or not path:
                break
            block, *path = path
            if isinstance(block, cst.IndentedBlock):
                indents.append(module.default_indent if block.indent is None else block.indent)
        return found[::-1]

    def _take(self, recorder: _Recorder, start: int) -> None:
        self._spans.update({id(node): (start + a, start + b) for node, a, b in recorder.spans})

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return the node that a node is part of."""
        parent = self.parents_at[self._index[id(node)]]
        return self.nodes[parent] if parent >= 0 else None

    def parents(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the nodes that a node is inside of, the innermost first."""
        at = self.parents_at[self._index[id(node)]]
        while at >= 0:
            yield self.nodes[at]
            at = self.parents_at[at]

    def inside(self, node: cst.CSTNode) -> Sequence[cst.CSTNode]:
        """Return all nodes inside a node, in the order of the source."""
        at = self._index[id(node)]
        return self.nodes[at + 1 : self.ends_at[at]]

    @cached_property
    def scope(self) -> Scope:
        """What the names of the module mean."""
        return _scope(self)

    @cached_property
    def extended(self) -> frozenset[str]:
        """The names of variables that are joined with text or put into an f-string."""
        found: set[str] = set()
        for node in self.of(cst.AugAssign, cst.BinaryOperation, cst.FormattedStringExpression):
            if isinstance(node, cst.AugAssign):
                found |= _last_name(node.target)
            elif isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add):
                found |= _last_name(node.left) | _last_name(node.right)
            elif isinstance(node, cst.FormattedStringExpression):
                found |= _last_name(node.expression)
        return frozenset(found)


def _last_name(node: cst.CSTNode) -> set[str]:
    if isinstance(node, cst.Name):
        return {node.value}
    return {node.attr.value} if isinstance(node, cst.Attribute) else set()


def _only_place(source: str, code: str) -> int | None:
    """Return where the lines of a statement stand in the source, if they do so once."""
    found: int | None = None
    at = source.find(code)
    while at >= 0:
        if at == 0 or source[at - 1] in "\r\n":
            if found is not None:
                return None
            found = at
        at = source.find(code, at + 1)
    return found


def parse(source: str, wanted: Wanted | None = None) -> Tree:
    """Return the tree of a module.

    :param wanted: leave out the bodies of functions of which nothing is wanted
    :raises NotPython: it cannot be parsed, or is too large for that
    """
    if len(source) > _LARGEST:
        raise NotPython("too large: data belongs into a file of its own")
    try:
        read = source if wanted is None else reduced(source, wanted)
        return _tree(source, read, cst.parse_module(read))
    except cst.ParserSyntaxError as error:
        raise NotPython(f"line {error.editor_line}") from None
    except (RecursionError, ValueError) as error:
        raise NotPython(str(error)) from None


def _tree(source: str, read: str, module: cst.Module) -> Tree:
    nodes: list[cst.CSTNode] = []
    parents: list[int] = []
    ends: list[int] = []
    by_type: dict[type[cst.CSTNode], list[int]] = {}

    def visit(node: cst.CSTNode, parent: int) -> None:
        at = len(nodes)
        kind = type(node)
        nodes.append(node)
        parents.append(parent)
        ends.append(0)
        by_type.setdefault(kind, []).append(at)
        for value in _children(kind)(node):
            held = type(value)
            if held in _NO_NODE:
                continue
            if held is tuple or held is list:
                for item in value:
                    visit(item, at)
            else:
                visit(value, at)
        ends[at] = len(nodes)

    visit(module, -1)
    return Tree(source, read, module, nodes, parents, ends, by_type)


@dataclass(frozen=True)
class Scope:
    """What a module's names mean, as far as imports and plain constants tell.

    :param imports: the dotted origin of each imported name that nothing else binds
    :param stars: modules of which everything is imported
    :param bound: names that the module binds itself
    :param constants: module-level names bound once, to a string
    :param databases: names of Flask-SQLAlchemy objects
    :param bindings: how often the module binds each name itself
    """

    imports: dict[str, str]
    stars: tuple[str, ...]
    bound: frozenset[str]
    constants: dict[str, cst.BaseExpression]
    databases: frozenset[str]
    bindings: dict[str, int]

    def dotted(self, node: cst.CSTNode) -> str | None:
        """Return the dotted origin of a name or an attribute, None when it is not imported."""
        if isinstance(node, cst.Name):
            return self.imports.get(node.value)
        if isinstance(node, cst.Attribute):
            inner = node.value
            if isinstance(inner, cst.Name) and inner.value in self.databases:
                return f"{SQLALCHEMY}.{node.attr.value}"
            before = self.dotted(inner)
            return f"{before}.{node.attr.value}" if before else None
        return None

    def construct(self, node: cst.BaseExpression) -> str | None:
        """Return the last name of something of SQLAlchemy's: Column, Table, mapped_column, …"""
        return self.member(node, _SQLALCHEMY)

    def member(self, node: cst.BaseExpression, packages: frozenset[str]) -> str | None:
        """Return the last name of something that comes from one of these packages."""
        dotted = self.dotted(node)
        if dotted is not None:
            return dotted.rpartition(".")[2] if dotted.partition(".")[0] in packages else None
        starred = any(star.partition(".")[0] in packages for star in self.stars)
        if isinstance(node, cst.Name) and starred:
            return node.value if node.value not in self.bound else None
        return None

    def uses(self, packages: frozenset[str]) -> bool:
        """Tell whether anything is imported from one of these packages."""
        origins = (*self.imports.values(), *self.stars)
        return any(origin.partition(".")[0] in packages for origin in origins)


def dotted_source(node: cst.BaseExpression | None) -> str:
    """Return a dotted name as written, an empty text for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        return f"{dotted_source(node.value)}.{node.attr.value}"
    return ""


_BINDERS = (
    cst.AssignTarget,
    cst.AnnAssign,
    cst.AugAssign,
    cst.NamedExpr,
    cst.Param,
    cst.FunctionDef,
    cst.ClassDef,
    cst.For,
    cst.CompFor,
)


def _scope(tree: Tree) -> Scope:
    imports: dict[str, str] = {}
    stars: list[str] = []
    bound: dict[str, int] = {}
    constants: dict[str, cst.BaseExpression] = {}
    databases: set[str] = set()
    for node in tree.of(cst.Import, cst.ImportFrom, *_BINDERS):
        if isinstance(node, cst.Import):
            for alias in node.names:
                name = dotted_source(alias.name)
                if isinstance(alias.asname, cst.AsName) and isinstance(alias.asname.name, cst.Name):
                    imports[alias.asname.name.value] = name
                else:
                    first = name.split(".")[0]
                    imports[first] = first
        elif isinstance(node, cst.ImportFrom):
            module = "." * len(node.relative) + dotted_source(node.module)
            if isinstance(node.names, cst.ImportStar):
                stars.append(module)
                continue
            for alias in node.names:
                name = dotted_source(alias.name)
                local = name
                if isinstance(alias.asname, cst.AsName) and isinstance(alias.asname.name, cst.Name):
                    local = alias.asname.name.value
                imports[local] = f"{module}{name}" if module.endswith(".") else f"{module}.{name}"
        elif isinstance(node, _BINDERS):
            for bound_name in _bound_by(node):
                bound[bound_name] = bound.get(bound_name, 0) + 1
            _take_constant(tree, node, constants, databases)
    return Scope(
        {name: origin for name, origin in imports.items() if name not in bound},
        tuple(stars),
        frozenset(bound),
        {name: value for name, value in constants.items() if bound[name] == 1},
        # An imported `db` is Flask-SQLAlchemy's object by convention.
        frozenset(databases | ({"db"} & imports.keys())),
        bound,
    )


def _bound_by(node: cst.CSTNode) -> Iterator[str]:
    if isinstance(node, cst.Param | cst.FunctionDef | cst.ClassDef):
        if isinstance(node.name, cst.Name):
            yield node.name.value
        return
    yield from _names(getattr(node, "target", None))


def _names(target: object) -> Iterator[str]:
    if isinstance(target, cst.Name):
        yield target.value
    elif isinstance(target, cst.Tuple | cst.List):
        for element in target.elements:
            yield from _names(element.value)


def _take_constant(
    tree: Tree,
    node: cst.CSTNode,
    constants: dict[str, cst.BaseExpression],
    databases: set[str],
) -> None:
    """Take down `NAME = "text"` at the level of the module, and `db = SQLAlchemy(…)`."""
    value: object = None
    target: object = None
    statement = node
    if isinstance(node, cst.AssignTarget):
        assign = tree.parent(node)
        if isinstance(assign, cst.Assign) and len(assign.targets) == 1:
            statement, target, value = assign, node.target, assign.value
    elif isinstance(node, cst.AnnAssign):
        target, value = node.target, node.value
    if not isinstance(target, cst.Name):
        return
    if isinstance(value, cst.Call) and dotted_source(value.func).endswith("SQLAlchemy"):
        databases.add(target.value)
    line = tree.parent(statement)
    at_top = line is not None and isinstance(tree.parent(line), cst.Module)
    strings = cst.SimpleString | cst.ConcatenatedString
    if at_top and isinstance(value, strings):
        constants[target.value] = value
