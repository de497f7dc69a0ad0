"""Texts that several statements put together in a variable: `sql = "…"`, then `sql += " WHERE …"`.

Which of the pieces are added may depend on conditions, so that several texts come out of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import libcst as cst

from codemods.python.tree import Tree, dotted_source

_Scope = cst.FunctionDef | cst.ClassDef | cst.Module
_MAKES_TEXT = ("format", "join", "substitute")
_JUMPS = cst.Break | cst.Continue
_BLOCKS = (cst.IndentedBlock, cst.Module, cst.SimpleStatementSuite)
_MANY = 5
"""Of so many optional pieces all combinations are looked at."""


@dataclass(frozen=True)
class _Given:
    """One statement that gives a variable its text, or adds to it.

    :param nodes: the expressions whose texts are added
    :param adds: the variable keeps what it held
    """

    target: cst.Name
    nodes: tuple[cst.BaseExpression, ...]
    adds: bool


@dataclass(frozen=True)
class Assembly:
    """A variable's first text and what is added to it, in the order of the source.

    :param optional: numbers of the pieces that are not always added
    :param exclusive: pairs of pieces of which at most one is added
    """

    pieces: tuple[_Given, ...]
    optional: tuple[int, ...]
    exclusive: frozenset[tuple[int, int]]

    def variants(self) -> Iterator[list[cst.BaseExpression]]:
        """Yield the expressions of each text that may come out, one behind the other.

        Of many optional pieces, only what each of them makes of the shortest and the longest.
        """
        for chosen in self._choices():
            if not any((a, b) in self.exclusive for a, b in combinations(chosen, 2)):
                yield [
                    node
                    for number, piece in enumerate(self.pieces)
                    if number not in self.optional or number in chosen
                    for node in piece.nodes
                ]

    def _choices(self) -> Iterator[tuple[int, ...]]:
        if len(self.optional) <= _MANY:
            for size in range(len(self.optional) + 1):
                yield from combinations(self.optional, size)
            return
        yield ()
        for number in self.optional:
            yield (number,)
            yield self._longest(number)

    def _longest(self, first: int) -> tuple[int, ...]:
        """Return a piece with all others that do not exclude each other."""
        chosen = [first]
        for number in self.optional:
            pairs = {(min(number, c), max(number, c)) for c in chosen}
            if number != first and not pairs & self.exclusive:
                chosen.append(number)
        return tuple(sorted(chosen))


def find(tree: Tree, node: cst.CSTNode) -> Assembly | None:
    """Return what an expression is a piece of, if a variable's text is put together with it.

    None also if the variable may hold anything else, or is put into another text itself.
    """
    given = _given(tree, node)
    if given is None:
        return None
    scope = _scope(tree, given.target)
    if isinstance(scope, cst.ClassDef):
        # What is set there is an attribute, to which others may add.
        return None
    found: list[_Given] = []
    reads: list[int] = []
    for name in _occurrences(tree, scope, given.target.value):
        piece = _given(tree, name)
        if piece is not None and piece.target is name:
            found.append(piece)
        elif _only_reads(tree, name, scope):
            reads.append(_at(tree, name))
        elif piece is None or not _goes_on(tree, piece, name):
            return None
    return _assembly(tree, scope, _around(tree, found, given), reads)


def _given(tree: Tree, node: cst.CSTNode) -> _Given | None:
    """Return the statement of which an expression is all that is given, or the target."""
    for parent in tree.parents(node):
        if isinstance(parent, cst.AugAssign):
            adds = isinstance(parent.operator, cst.AddAssign)
            if adds and isinstance(parent.target, cst.Name):
                return _Given(parent.target, (parent.value,), adds=True)
            return None
        if isinstance(parent, cst.Assign):
            target = parent.targets[0].target
            if len(parent.targets) != 1 or not isinstance(target, cst.Name):
                return None
            return _assigned(target, parent.value)
        if isinstance(parent, cst.AnnAssign):
            if parent.value is None or not isinstance(parent.target, cst.Name):
                return None
            return _assigned(parent.target, parent.value)
        if not isinstance(parent, cst.BinaryOperation | cst.AssignTarget):
            return None
    return None


def _assigned(target: cst.Name, value: cst.BaseExpression) -> _Given:
    """Read `sql = sql + "…"` as what it is."""
    terms: list[cst.BaseExpression] = []
    node = value
    while isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add):
        terms.insert(0, node.right)
        node = node.left
    if terms and isinstance(node, cst.Name) and node.value == target.value:
        return _Given(target, tuple(terms), adds=True)
    return _Given(target, (value,), adds=False)


def _scope(tree: Tree, node: cst.CSTNode) -> _Scope:
    return next(p for p in tree.parents(node) if isinstance(p, _Scope))


def _goes_on(tree: Tree, piece: _Given, name: cst.Name) -> bool:
    """Tell whether a name is the `sql` to which `sql = sql + "…"` adds, and nothing else."""
    return piece.adds and all(name not in (node, *tree.inside(node)) for node in piece.nodes)


def _occurrences(tree: Tree, scope: _Scope, name: str) -> Iterator[cst.Name]:
    """Yield where a variable is named, in the order of the source."""
    for node in tree.inside(scope):
        if not isinstance(node, cst.Name) or node.value != name:
            continue
        parent = tree.parent(node)
        is_other = isinstance(parent, cst.Attribute) and parent.attr is node
        is_other |= isinstance(parent, cst.Arg) and parent.keyword is node
        if not is_other:
            yield node


def _only_reads(tree: Tree, name: cst.Name, scope: _Scope) -> bool:
    """Tell whether a variable is handed on as it is, and not put into another text."""
    if _scope(tree, name) is not scope:
        return False
    parent = tree.parent(name)
    if isinstance(parent, cst.Arg):
        call = tree.parent(parent)
        is_text = isinstance(call, cst.Call) and dotted_source(call.func).endswith(_MAKES_TEXT)
        return not parent.star and not is_text
    return isinstance(parent, cst.Return | cst.If | cst.BooleanOperation | cst.Comparison)


def _around(tree: Tree, found: list[_Given], given: _Given) -> list[_Given]:
    """Return what belongs to one text, when a variable is used for several."""
    at = next(i for i, piece in enumerate(found) if piece.target is given.target)
    starts = [i for i, piece in enumerate(found) if not piece.adds and _is_new(tree, found, i)]
    first = max((i for i in starts if i <= at), default=-1)
    after = min((i for i in starts if i > at), default=len(found))
    return found[first:after] if first >= 0 else []


def _is_new(tree: Tree, found: list[_Given], at: int) -> bool:
    """Tell whether nothing of what a variable held before is left behind an assignment."""
    blocks = {id(block) for block in _blocks(tree, found[0].target)}
    return id(_blocks(tree, found[at].target)[0]) in blocks


def _assembly(tree: Tree, scope: _Scope, pieces: list[_Given], reads: list[int]) -> Assembly | None:
    if not pieces or any(not piece.adds for piece in pieces[1:]):
        return None
    blocks = [_blocks(tree, piece.target) for piece in pieces]
    start = _at(tree, pieces[0].target)
    left = [*reads, *(_at(tree, n) for n in tree.inside(scope) if isinstance(n, _JUMPS))]

    def is_optional(number: int) -> bool:
        here = _at(tree, pieces[number].target)
        if any(start < at < here for at in left):
            return True
        return blocks[number][0] is not blocks[0][0] or _may_fail(tree, blocks[0][0])

    branches = [_branches(tree, piece.target) for piece in pieces]
    return Assembly(
        tuple(pieces),
        tuple(number for number in range(1, len(pieces)) if is_optional(number)),
        frozenset(
            (a, b)
            for a, b in combinations(range(len(pieces)), 2)
            if any(branches[a][key] != branches[b][key] for key in branches[a].keys() & branches[b])
        ),
    )


def _at(tree: Tree, node: cst.CSTNode) -> int:
    return tree.span(node)[0]


def _blocks(tree: Tree, node: cst.CSTNode) -> list[cst.CSTNode]:
    """Return the blocks that a node stands in, the innermost first, up to that of the function."""
    found: list[cst.CSTNode] = []
    for parent in tree.parents(node):
        if isinstance(parent, cst.FunctionDef):
            break
        if isinstance(parent, _BLOCKS):
            found.append(parent)
    return found


def _may_fail(tree: Tree, block: cst.CSTNode) -> bool:
    """Tell whether an exception may leave a block half done, and the function goes on."""
    return isinstance(tree.parent(block), cst.Try | cst.TryStar)


def _branches(tree: Tree, node: cst.CSTNode) -> dict[int, bool]:
    """Return on which side of each `if` a node stands: the first one, or the other."""
    found: dict[int, bool] = {}
    inner = node
    for parent in tree.parents(node):
        if isinstance(parent, cst.FunctionDef):
            break
        if isinstance(parent, cst.If):
            found[id(parent)] = inner is parent.body
        inner = parent
    return found
