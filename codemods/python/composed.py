"""Texts that are put together where they stand: `+`, `%`, `.format()`, `.join()`, psycopg's `sql`.

A part that is a literal can be changed where it is written; any other one is a hole in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import libcst as cst

from codemods.python import literals
from codemods.python.context import STRINGS
from codemods.python.literals import Builder, Named, Text
from codemods.python.tree import Tree

_FIELD = re.compile(r"\{\{|\}\}|\{(?P<name>\w*)\}")
_PERCENT = re.compile(r"%%|%(?:\((?P<name>\w+)\))?s")
_PSYCOPG = ("psycopg", "psycopg2", "psycopg_pool")
_VALUES = frozenset(("Literal", "Placeholder"))


def root(tree: Tree, node: cst.CSTNode) -> cst.CSTNode:
    """Return the expression whose text a string is a part of; the string itself if it is whole."""
    while (outer := _outer(tree, node)) is not None:
        node = outer
    return node


def read(
    tree: Tree, nodes: Sequence[cst.BaseExpression], constant: literals.Constant
) -> Text | None:
    """Return the text of compositions, one behind the other; None when it cannot be told.

    :param constant: the text of an expression, where it is known
    """
    builder = Builder(tree.source, tree.span, constant)
    reader = _Reader(tree, builder)
    first, *others = nodes
    if not reader.add(first) or not builder.parts:
        return None
    for node in others:
        reader.part(node)
    return builder.text()


def _outer(tree: Tree, node: cst.CSTNode) -> cst.CSTNode | None:
    parent = tree.parent(node)
    if isinstance(parent, cst.BinaryOperation):
        fills = isinstance(parent.operator, cst.Modulo) and (
            parent.left is node or isinstance(parent.left, STRINGS)
        )
        return parent if fills or isinstance(parent.operator, cst.Add) else None
    if isinstance(parent, cst.Attribute) and parent.attr.value in ("format", "join"):
        call = tree.parent(parent)
        return call if isinstance(call, cst.Call) and call.func is parent else None
    if isinstance(parent, cst.Arg) and not parent.star:
        call = tree.parent(parent)
        return call if isinstance(call, cst.Call) and _takes_parts(tree, call) else None
    if isinstance(parent, cst.Element):
        return _outer(tree, tree.parent(parent) or parent)
    if isinstance(parent, cst.CompFor) and parent.iter is node:
        made = tree.parent(parent)
        return _outer(tree, made) if made is not None else None
    return None


def _takes_parts(tree: Tree, call: cst.Call) -> bool:
    """Tell whether the arguments of a call become parts of the text that it returns."""
    if _psycopg(tree, call) is not None:
        return True
    func = call.func
    if isinstance(func, cst.Name) and func.value == "map":
        origin = tree.scope.dotted(call.args[0].value) or ""
        return origin.endswith(".sql.Identifier")
    if isinstance(func, cst.Attribute) and func.attr.value in ("format", "join"):
        receiver = func.value
        return isinstance(receiver, STRINGS) or _psycopg(tree, receiver) is not None
    return False


def _psycopg(tree: Tree, node: cst.CSTNode) -> str | None:
    """Return which class of psycopg's `sql` a call makes: SQL, Identifier, Literal, …"""
    if not isinstance(node, cst.Call):
        return None
    origin = tree.scope.dotted(node.func)
    if origin is None:
        return None
    package, _, rest = origin.partition(".")
    return rest.removeprefix("sql.") if package in _PSYCOPG and rest.startswith("sql.") else None


class _Reader:
    """Adds the parts of one composition to a builder."""

    def __init__(self, tree: Tree, builder: Builder) -> None:
        self.tree = tree
        self.builder = builder

    def add(self, node: cst.BaseExpression) -> bool:
        """Add an expression whose text is known, at least in part."""
        if literals.add(node, self.builder):
            return True
        if isinstance(node, cst.BinaryOperation):
            if isinstance(node.operator, cst.Add):
                self.part(node.left)
                self.part(node.right)
                return True
            if isinstance(node.operator, cst.Modulo):
                return self._filled(node.left, _PERCENT, list(_percent_arguments(node.right)))
            return False
        if not isinstance(node, cst.Call):
            return False
        kind = _psycopg(self.tree, node)
        if kind in ("SQL", "Composed") and len(node.args) == 1:
            return self._wrapped(node.args[0].value)
        if kind == "Identifier":
            return self._identifier(node, None, len(self.builder.parts) - 1)
        if kind in _VALUES:
            self._nowhere("%s", node)
            return True
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "format":
            arguments = [(a.keyword.value if a.keyword else "", a.value) for a in node.args]
            if any(a.star for a in node.args):
                arguments = []
            return self._filled(node.func.value, _FIELD, arguments)
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "join":
            return self._joined(node.func.value, node)
        return False

    def _wrapped(self, node: cst.BaseExpression) -> bool:
        """Add what is handed to `SQL(…)`, or the list of parts that is handed to `Composed(…)`."""
        if not isinstance(node, cst.List | cst.Tuple):
            return self.add(node)
        _, given = self._items(node)
        for item in given or ():
            self.part(item)
        return given is not None

    def part(self, node: cst.BaseExpression) -> None:
        """Add an expression: its text, that of the constant that it names, or a hole."""
        if not self.add(node):
            at = self.tree.span(node)[0]
            self.builder.inserted(self.builder.constant(node), at, len(self.builder.parts) - 1)

    def _nowhere(self, text: str, node: cst.CSTNode) -> None:
        """Add characters that nobody has written."""
        at = self.tree.span(node)[0]
        self.builder.add(text, at, at, len(self.builder.parts) - 1)

    # -- templates ---------------------------------------------------------------------------

    def _filled(
        self,
        template: cst.BaseExpression,
        fields: re.Pattern[str],
        arguments: list[tuple[str, cst.BaseExpression]],
    ) -> bool:
        """Add a template, its fields filled with what is known; the others stay as written."""
        given = iter([value for name, value in arguments if not name])
        numbered = [value for name, value in arguments if not name]
        named = {name: value for name, value in arguments if name}
        literal_nodes = list(_literals(self.tree, template))
        if not literal_nodes:
            return False
        for literal in literal_nodes:
            if not isinstance(literal, cst.SimpleString):
                if not literals.add(literal, self.builder):
                    return False
                continue
            start, end, index = self.builder.simple(literal, formatted=fields is _FIELD)
            position = start
            for match in fields.finditer(self.tree.source, start, end):
                name = match.group("name")
                if match.group() in ("{{", "}}", "%%"):
                    continue
                if name is not None and name.isdigit():
                    value = numbered[int(name)] if int(name) < len(numbered) else None
                else:
                    value = named.get(name) if name else next(given, None)
                if value is None or not self._is_known(value):
                    continue
                self.builder.body(position, match.start(), index)
                self._field(value, match.end(), index)
                position = match.end()
            self.builder.body(position, end, index)
        return True

    def _is_known(self, node: cst.BaseExpression) -> bool:
        if isinstance(node, cst.SimpleString) or _psycopg(self.tree, node) is not None:
            return True
        func = node.func if isinstance(node, cst.Call) else None
        if isinstance(func, cst.Attribute) and func.attr.value in ("format", "join"):
            return self._is_known(func.value)
        return self.builder.constant(node) is not None

    def _field(self, value: cst.BaseExpression, after: int, around: int) -> None:
        if isinstance(value, cst.Call) and _psycopg(self.tree, value) == "Identifier":
            self._identifier(value, after, around)
        elif not self.add(value):
            self.builder.inserted(self.builder.constant(value), after, around)

    def _identifier(self, call: cst.Call, after: int | None, around: int) -> bool:
        builder = self.builder
        for number, arg in enumerate(call.args):
            if number:
                self._nowhere(".", call)
            node = arg.value
            before = builder.size
            if isinstance(node, cst.SimpleString) and '"' not in str(node.evaluated_value):
                self._nowhere('"', node)
                builder.body(*builder.simple(node))
                self._nowhere('"', node)
                builder.named.append(Named(before, builder.size, after, around))
            else:
                known = builder.constant(node)
                quoted = None if known is None else '"' + known.replace('"', '""') + '"'
                builder.inserted(quoted, self.tree.span(node)[0], around)
        return bool(call.args)

    # -- lists -------------------------------------------------------------------------------

    def _joined(self, separator: cst.BaseExpression, call: cst.Call) -> bool:
        texts = list(_literals(self.tree, separator))
        if len(texts) != 1 or not isinstance(texts[0], cst.SimpleString) or len(call.args) != 1:
            return False
        between = texts[0].evaluated_value
        made_by, given = self._items(call.args[0].value)
        if not isinstance(between, str) or given is None:
            return False
        for number, item in enumerate(given):
            if number:
                self._nowhere(between, call)
            if made_by is None:
                self.part(item)
            else:
                single = cst.Call(made_by, [cst.Arg(item)])
                self._identifier(single, None, len(self.builder.parts) - 1)
        return True

    def _items(
        self, node: cst.BaseExpression
    ) -> tuple[cst.BaseExpression | None, list[cst.BaseExpression] | None]:
        """Return what is joined, and the class to which `map()` hands each of it."""
        if isinstance(node, cst.List | cst.Tuple):
            if any(isinstance(e, cst.StarredElement) for e in node.elements):
                return None, None
            return None, [element.value for element in node.elements]
        if isinstance(node, cst.Call) and len(node.args) == 2:
            function = node.args[0].value
            origin = self.tree.scope.dotted(function) or ""
            is_map = isinstance(node.func, cst.Name) and node.func.value == "map"
            if is_map and origin.endswith(".sql.Identifier"):
                return function, self._items(node.args[1].value)[1]
        if isinstance(node, cst.GeneratorExp | cst.ListComp):
            return self._made_of_each(node)
        return None, None

    def _made_of_each(
        self, node: cst.GeneratorExp | cst.ListComp
    ) -> tuple[cst.BaseExpression | None, list[cst.BaseExpression] | None]:
        """Read `Identifier(name) for name in ["id", "qty"]` as the `map()` that it is."""
        call, loop = node.elt, node.for_in
        if (
            isinstance(call, cst.Call)
            and _psycopg(self.tree, call) == "Identifier"
            and len(call.args) == 1
            and loop.inner_for_in is None
            and not loop.ifs
            and isinstance(loop.target, cst.Name)
            and loop.target.deep_equals(call.args[0].value)
        ):
            return call.func, self._items(loop.iter)[1]
        return None, None


def _literals(tree: Tree, node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    """Yield the literals of a template: one, several side by side, or those inside `SQL(…)`."""
    if isinstance(node, cst.ConcatenatedString):
        yield from _literals(tree, node.left)
        yield from _literals(tree, node.right)
    elif isinstance(node, STRINGS):
        yield node
    elif isinstance(node, cst.Call) and _psycopg(tree, node) == "SQL" and len(node.args) == 1:
        yield from _literals(tree, node.args[0].value)


def _percent_arguments(node: cst.BaseExpression) -> Iterator[tuple[str, cst.BaseExpression]]:
    if isinstance(node, cst.Tuple):
        for element in node.elements:
            yield "", element.value
    elif isinstance(node, cst.Dict):
        for pair in node.elements:
            key = pair.key if isinstance(pair, cst.DictElement) else None
            if isinstance(key, cst.SimpleString) and isinstance(key.evaluated_value, str):
                yield key.evaluated_value, pair.value
    else:
        yield "", node
