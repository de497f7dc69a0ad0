"""A parsed Python module with the place of every node, its parent, and what its imports mean.

One pass over libcst's own code generation gives positions at under half the cost of the parse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import libcst as cst
from libcst._nodes.internal import CodegenState

SQLALCHEMY = "sqlalchemy"


# Nobody asks where blanks are, and they are a third of all nodes.
_BLANK = frozenset((cst.SimpleWhitespace, cst.Newline))


class _Recorder(CodegenState):
    """Writes the module's code, and takes down where each node begins and ends."""

    def __init__(self, module: cst.Module) -> None:
        super().__init__(
            default_indent=module.default_indent, default_newline=module.default_newline
        )
        self.at = 0
        self.open: list[int] = []
        self.nodes: list[cst.CSTNode] = []
        self.places: list[tuple[int, int, int, int]] = []
        """For each node: start, end, index of the parent, index after its last descendant."""

    def add_indent_tokens(self) -> None:
        for token in self.indent_tokens:
            self.add_token(token)

    def add_token(self, value: str) -> None:
        self.tokens.append(value)
        self.at += len(value)

    def before_codegen(self, node: cst.CSTNode) -> None:
        if type(node) in _BLANK:
            return
        parent = self.open[-1] if self.open else -1
        self.open.append(len(self.nodes))
        self.nodes.append(node)
        self.places.append((self.at, self.at, parent, 0))

    def after_codegen(self, node: cst.CSTNode) -> None:
        if type(node) in _BLANK:
            return
        index = self.open.pop()
        start, _, parent, _ = self.places[index]
        self.places[index] = (start, self.at, parent, len(self.nodes))


class NotPython(Exception):
    """The text is not Python that can be read; the message says where."""


@dataclass(frozen=True)
class Tree:
    """A module, and all its nodes in the order of the source."""

    source: str
    nodes: Sequence[cst.CSTNode]
    places: Sequence[tuple[int, int, int, int]]

    @cached_property
    def index(self) -> dict[cst.CSTNode, int]:
        """The position of each node in `nodes`."""
        return {node: i for i, node in enumerate(self.nodes)}

    @cached_property
    def _by_type(self) -> dict[type[cst.CSTNode], list[int]]:
        # isinstance() on libcst's abstract classes is slow; the classes of nodes are exact.
        found: dict[type[cst.CSTNode], list[int]] = {}
        for i, node in enumerate(self.nodes):
            found.setdefault(type(node), []).append(i)
        return found

    def of(self, *types: type[cst.CSTNode]) -> list[cst.CSTNode]:
        """Return the nodes of exactly these classes, in the order of the source."""
        found = sorted(i for kind in types for i in self._by_type.get(kind, ()))
        return [self.nodes[i] for i in found]

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where a node stands in the source."""
        start, end, _, _ = self.places[self.index[node]]
        return start, end

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return the node that a node is part of."""
        parent = self.places[self.index[node]][2]
        return self.nodes[parent] if parent >= 0 else None

    def parents(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the nodes that a node is inside of, the innermost first."""
        at = self.places[self.index[node]][2]
        while at >= 0:
            yield self.nodes[at]
            at = self.places[at][2]

    def inside(self, node: cst.CSTNode) -> Sequence[cst.CSTNode]:
        """Return all nodes inside a node, in the order of the source."""
        at = self.index[node]
        return self.nodes[at + 1 : self.places[at][3]]

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


def parse(source: str) -> Tree:
    """Return the tree of a module.

    :raises NotPython: it cannot be parsed, or would not come back as it was
    """
    try:
        module = cst.parse_module(source)
    except cst.ParserSyntaxError as error:
        raise NotPython(f"line {error.editor_line}") from None
    except (RecursionError, ValueError) as error:
        raise NotPython(str(error)) from None
    recorder = _Recorder(module)
    module._codegen(recorder)
    if "".join(recorder.tokens) != source:
        raise NotPython("its code does not come back as it was")
    return Tree(source, recorder.nodes, recorder.places)


@dataclass(frozen=True)
class Scope:
    """What a module's names mean, as far as imports and plain constants tell.

    :param imports: the dotted origin of each imported name that nothing else binds
    :param stars: modules of which everything is imported
    :param bound: names that the module binds itself
    :param constants: module-level names bound once, to a string
    :param databases: names of Flask-SQLAlchemy objects
    """

    imports: dict[str, str]
    stars: tuple[str, ...]
    bound: frozenset[str]
    constants: dict[str, cst.BaseExpression]
    databases: frozenset[str]

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

    def construct(self, node: cst.CSTNode) -> str | None:
        """Return the last name of something of SQLAlchemy's: Column, Table, mapped_column, …"""
        dotted = self.dotted(node)
        if dotted is not None and dotted.split(".")[0] == SQLALCHEMY:
            return dotted.rpartition(".")[2]
        starred = any(star.split(".")[0] == SQLALCHEMY for star in self.stars)
        if isinstance(node, cst.Name) and dotted is None and starred:
            return node.value if node.value not in self.bound else None
        return None


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
