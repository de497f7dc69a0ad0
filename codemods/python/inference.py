"""Which expressions of a module stand for a model, a query over it, or one of its rows.

Only what follows from the module itself: imports, assignments, annotations and loops of a function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

import libcst as cst

from codemods.entities import Entity, resolved
from codemods.python.tree import Tree, dotted_source
from codemods.python.work import Work, last_name, positional
from codemods.sql.identifiers import words

_DEPTH = 8
"""How many assignments are followed."""

_STATEMENTS = words("select query insert update delete replace")
_MANAGERS = words("objects query _default_manager _base_manager")
_TEXTS = words("text literal_column literal now")
_ONE = words(
    "first one one_or_none scalar scalar_one scalar_one_or_none get get_or_none first_or_404"
    " get_or_404 latest earliest last aget afirst alast acreate create get_by_id"
)
_ALL = words(
    "all scalars unique filter filter_by exclude order_by where limit offset iterator options"
    " partitions yield_per select_related prefetch_related"
)
_SCOPES = (
    cst.FunctionDef,
    cst.Lambda,
    cst.ListComp,
    cst.SetComp,
    cst.DictComp,
    cst.GeneratorExp,
)
_OPTIONAL = words("Optional Annotated ClassVar")
_SEVERAL = words("list List Sequence Iterable Iterator tuple set QuerySet")


@dataclass(frozen=True)
class Model:
    """An expression that stands for a model.

    :param as_table: it is the Table behind a class, which knows its columns by their names in the
        database
    """

    entity: Entity
    as_table: bool = False


class _How(Enum):
    VALUE = auto()
    ITERATED = auto()
    ANNOTATED = auto()
    OTHER = auto()


Binding = tuple[_How, cst.BaseExpression | None]


class Inference:
    """What the expressions of one module stand for. A cache; used by one analysis."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.tree: Tree = work.tree
        self.local = {entity.name: entity for entity in work.entities}
        self.others = tuple(e for e in work.names.entities if e.path != work.path)
        self.imported: dict[str, Entity | None] = {}

    @cached_property
    def is_useful(self) -> bool:
        """Whether the module knows any model at all."""
        if self.local:
            return True
        by_name = {entity.name for entity in self.others} | self.work.names.aliases
        known = [
            origin
            for origin in self.tree.scope.imports.values()
            if origin.rpartition(".")[2] in by_name
        ]
        if any(self._imported(origin) is not None for origin in known):
            return True
        # A module is imported, or everything in it, and the name of a model is used.
        return any(self.model(node) is not None for node in self._uses(by_name))

    @cached_property
    def knows_legacy(self) -> bool:
        """Whether the module knows a model that is not the target's already."""
        if not self.is_useful:
            return False
        known = (*self.local.values(), *self.imported.values())
        return any(entity is not None and not entity.is_target for entity in known)

    def _uses(self, names: set[str]) -> Iterator[cst.BaseExpression]:
        """Yield the names and attributes that end in one of these names."""
        for node in self.tree.of(cst.Name):
            if isinstance(node, cst.Name) and node.value in names:
                parent = self.tree.parent(node)
                if isinstance(parent, cst.Attribute) and parent.attr is node:
                    yield parent
                else:
                    yield node

    def _imported(self, origin: str) -> Entity | None:
        if origin not in self.imported:
            self.imported[origin] = resolved(self.work.path, origin, self.others)
        return self.imported[origin]

    # -- models ------------------------------------------------------------------------------

    def model(self, node: cst.BaseExpression, depth: int = _DEPTH) -> Model | None:
        """Return the model that an expression stands for."""
        if isinstance(node, cst.Attribute):
            if node.attr.value == "__table__":
                inner = self.model(node.value, depth)
                return Model(inner.entity, as_table=True) if inner is not None else None
            if dotted_source(node.value) == "self" and node.attr.value == "__class__":
                return self.own(node)
            origin = self.tree.scope.dotted(node)
            entity = self._imported(origin) if origin is not None else None
            return Model(entity) if entity is not None else None
        if isinstance(node, cst.Call):
            if last_name(node.func) in ("aliased", "alias", "with_polymorphic") and node.args:
                return self.model(node.args[0].value, depth)
            return None
        if not isinstance(node, cst.Name):
            return None
        return self._named(node, depth)

    def _named(self, node: cst.Name, depth: int) -> Model | None:
        name, scope = node.value, self.tree.scope
        if name in ("cls", "__class__"):
            return self.own(node)
        if name in self.local:
            return Model(self.local[name]) if scope.bindings.get(name) == 1 else None
        if (origin := scope.imports.get(name)) is not None:
            entity = self._imported(origin)
            return Model(entity) if entity is not None else None
        if name not in scope.bound:
            starred = (self._imported(f"{star.rstrip('.')}.{name}") for star in scope.stars)
            entity = next((e for e in starred if e is not None), None)
            return Model(entity) if entity is not None else None
        found = [
            self.model(value, depth - 1)
            for how, value in self._bindings(node)
            if how is _How.VALUE and value is not None and depth
        ]
        return found[0] if found and len(found) == len(self._bindings(node)) else None

    def own(self, node: cst.CSTNode) -> Model | None:
        """Return the model in whose class a node stands."""
        for parent in self.tree.parents(node):
            if isinstance(parent, cst.ClassDef) and parent.name.value in self.local:
                return Model(self.local[parent.name.value])
        return None

    # -- queries -----------------------------------------------------------------------------

    def query(self, node: cst.BaseExpression, depth: int = _DEPTH) -> Model | None:
        """Return the one model that a statement or a query is about."""
        if isinstance(node, cst.Await):
            return self.query(node.expression, depth)
        if isinstance(node, cst.Call):
            return self._called(node, depth)
        if isinstance(node, cst.Attribute):
            if node.attr.value in _MANAGERS:
                return self.model(node.value, depth)
            return self.model(node, depth) or self.query(node.value, depth)
        if isinstance(node, cst.Name):
            model = self.model(node, depth)
            if model is not None or not depth:
                return model
            found: list[Model | None] = []
            for how, value in self._bindings(node):
                if how is not _How.VALUE or value is None:
                    return None
                if not self._is_built_on(value, node.value):
                    found.append(self.query(value, depth - 1))
            return found[0] if found and all(f == found[0] for f in found) else None
        return None

    def _is_built_on(self, value: cst.BaseExpression, name: str) -> bool:
        """Tell whether a value is made by methods of the variable that it is assigned to."""
        node = value
        while isinstance(node, cst.Call | cst.Attribute):
            node = node.func if isinstance(node, cst.Call) else node.value
        return isinstance(node, cst.Name) and node.value == name

    def _called(self, node: cst.Call, depth: int) -> Model | None:
        name = last_name(node.func)
        is_method = isinstance(node.func, cst.Attribute)
        before = (
            self.query(node.func.value, depth) if isinstance(node.func, cst.Attribute) else None
        )
        if before is not None:
            return None if name in ("join", "outerjoin", "select_from", "join_from") else before
        if name in ("scalars", "execute", "stream", "stream_scalars", "exec") and is_method:
            arguments = positional(node)
            return self.query(arguments[0], depth) if arguments else None
        if name not in _STATEMENTS:
            return self.model(node, depth)
        models = [
            self.model(a, depth) or self._attribute_of(a, depth)
            for a in positional(node)
            if not self._is_text(a)
        ]
        known = {model for model in models if model is not None}
        return known.pop() if len(known) == 1 and None not in models else None

    def _is_text(self, node: cst.BaseExpression) -> bool:
        """Tell whether an output of a query is written as SQL, or is no column of any table."""
        while isinstance(node, cst.Call | cst.Attribute):
            if isinstance(node, cst.Call) and last_name(node.func) in _TEXTS:
                return True
            node = node.func if isinstance(node, cst.Call) else node.value
        return False

    def _attribute_of(self, node: cst.BaseExpression, depth: int) -> Model | None:
        if isinstance(node, cst.Attribute):
            return self.model(node.value, depth) or self._attribute_of(node.value, depth)
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
            origin = dotted_source(node.func.value)
            if origin in ("func", "sa.func", "sqlalchemy.func"):
                found = [self._attribute_of(a, depth) for a in positional(node)]
                return found[0] if found and all(f == found[0] for f in found) else None
            return self._attribute_of(node.func.value, depth)
        return None

    # -- rows --------------------------------------------------------------------------------

    def row(self, node: cst.BaseExpression, depth: int = _DEPTH) -> Entity | None:
        """Return the model of which an expression is one row."""
        if isinstance(node, cst.Await):
            return self.row(node.expression, depth)
        if isinstance(node, cst.Call):
            model = self.model(node.func, depth)
            if model is not None:
                return None if model.as_table else model.entity
            name = last_name(node.func)
            if name in ("get", "get_one", "merge", "refresh") and (arguments := positional(node)):
                found = self.model(arguments[0], depth)
                if found is not None:
                    return found.entity
            if name in _ONE and isinstance(node.func, cst.Attribute):
                return self.rows(node.func.value, depth)
            return None
        if isinstance(node, cst.Subscript):
            is_item = len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index)
            return self.rows(node.value, depth) if is_item else None
        if isinstance(node, cst.Name):
            return self._row_named(node, depth)
        return None

    def _row_named(self, node: cst.Name, depth: int) -> Entity | None:
        if node.value == "self":
            own = self.own(node)
            return own.entity if own is not None else None
        found: list[Entity | None] = []
        for how, value in self._bindings(node) if depth else ():
            if value is None or how is _How.OTHER:
                return None
            if how is _How.VALUE:
                if dotted_source(value) != "None":
                    found.append(self.row(value, depth - 1))
            elif how is _How.ITERATED:
                found.append(self.rows(value, depth - 1))
            else:
                found.append(self._annotated(value))
        return found[0] if found and all(f == found[0] for f in found) else None

    def _annotated(self, node: cst.BaseExpression) -> Entity | None:
        """Return the model that an annotation names: `OrderLine`, `"OrderLine"`, `… | None`."""
        if isinstance(node, cst.SimpleString) and isinstance(node.evaluated_value, str):
            try:
                return self._annotated(cst.parse_expression(node.evaluated_value))
            except cst.ParserSyntaxError:
                return None
        if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.BitOr):
            sides = [s for s in (node.left, node.right) if dotted_source(s) != "None"]
            return self._annotated(sides[0]) if len(sides) == 1 else None
        if isinstance(node, cst.Subscript) and last_name(node.value) in _OPTIONAL:
            inner = node.slice[0].slice
            return self._annotated(inner.value) if isinstance(inner, cst.Index) else None
        model = self.model(node, 0) if isinstance(node, cst.Name | cst.Attribute) else None
        return model.entity if model is not None and not model.as_table else None

    def rows(self, node: cst.BaseExpression, depth: int = _DEPTH) -> Entity | None:
        """Return the model whose rows an expression gives, one after the other."""
        if isinstance(node, cst.Await):
            return self.rows(node.expression, depth)
        if isinstance(node, cst.Attribute) and node.attr.value in _MANAGERS:
            model = self.model(node.value, depth)
            return model.entity if model is not None and not model.as_table else None
        if isinstance(node, cst.Call):
            name, arguments = last_name(node.func), positional(node)
            if name in ("query", "select") and len(arguments) == 1:
                model = self.model(arguments[0], depth)
                return model.entity if model is not None and not model.as_table else None
            if name in ("scalars", "stream_scalars", "exec") and arguments:
                return self.rows(arguments[0], depth)
            if name in ("execute", "stream") and arguments:
                return None
            if name in ("list", "tuple", "sorted", "reversed", "iter") and arguments:
                return self.rows(arguments[0], depth)
            if name in _ALL and isinstance(node.func, cst.Attribute):
                return self.rows(node.func.value, depth) or self._scalars(node.func, depth)
            return None
        if isinstance(node, cst.Name) and depth:
            found: list[Entity | None] = []
            for how, value in self._bindings(node):
                if how is _How.VALUE and value is not None:
                    if not self._is_built_on(value, node.value):
                        found.append(self.rows(value, depth - 1))
                elif how is _How.ANNOTATED and isinstance(value, cst.Subscript):
                    inner = value.slice[0].slice
                    several = last_name(value.value) in _SEVERAL
                    is_plain = several and isinstance(inner, cst.Index)
                    found.append(
                        self._annotated(inner.value)
                        if is_plain and isinstance(inner, cst.Index)
                        else None
                    )
                else:
                    return None
            return found[0] if found and all(f == found[0] for f in found) else None
        return None

    def _scalars(self, func: cst.Attribute, depth: int) -> Entity | None:
        """`session.execute(select(OrderLine)).scalars()`."""
        inner = func.value
        if func.attr.value != "scalars":
            return None
        if isinstance(inner, cst.Await):
            inner = inner.expression
        if isinstance(inner, cst.Call) and last_name(inner.func) == "execute" and inner.args:
            return self.rows(inner.args[0].value, depth)
        return None

    # -- bindings ----------------------------------------------------------------------------

    def _bindings(self, node: cst.Name) -> list[Binding]:
        """Return what binds a name, in the function where it is used or else around it."""
        if node not in self.tree:
            return []
        scopes: list[cst.CSTNode | None] = [
            parent for parent in self.tree.parents(node) if isinstance(parent, _SCOPES)
        ]
        for scope in (*scopes, None):
            found = self._all_bindings.get((scope, node.value))
            if found:
                return found
        return []

    @cached_property
    def _all_bindings(self) -> dict[tuple[cst.CSTNode | None, str], list[Binding]]:
        found: dict[tuple[cst.CSTNode | None, str], list[Binding]] = {}

        def bind(at: cst.CSTNode, target: cst.CSTNode | None, binding: Binding) -> None:
            if isinstance(target, cst.Name):
                found.setdefault((self._scope_of(at), target.value), []).append(binding)
            elif isinstance(target, cst.Tuple | cst.List):
                for element in target.elements:
                    bind(at, element.value, (_How.OTHER, None))

        kinds = (cst.Assign, cst.AnnAssign, cst.AugAssign, cst.NamedExpr, cst.For, cst.CompFor)
        for node in self.tree.of(*kinds, cst.Param, cst.WithItem):
            if isinstance(node, cst.Assign):
                for assigned in node.targets:
                    bind(node, assigned.target, (_How.VALUE, node.value))
            elif isinstance(node, cst.AnnAssign):
                bind(node, node.target, (_How.ANNOTATED, node.annotation.annotation))
            elif isinstance(node, cst.NamedExpr):
                bind(node, node.target, (_How.VALUE, node.value))
            elif isinstance(node, cst.For | cst.CompFor):
                bind(node, node.target, (_How.ITERATED, node.iter))
            elif isinstance(node, cst.Param):
                given = node.annotation
                how = _How.ANNOTATED if given is not None else _How.OTHER
                bind(node, node.name, (how, given.annotation if given is not None else None))
            elif isinstance(node, cst.AugAssign):
                bind(node, node.target, (_How.OTHER, None))
            elif isinstance(node, cst.WithItem) and node.asname is not None:
                bind(node, node.asname.name, (_How.OTHER, None))
        return found

    def _scope_of(self, node: cst.CSTNode) -> cst.CSTNode | None:
        return next((p for p in self.tree.parents(node) if isinstance(p, _SCOPES)), None)

    def conflict(self, node: cst.CSTNode) -> Model | None:
        """Return the model of the INSERT whose on_conflict_do_update a node is inside of."""
        for parent in self.tree.parents(node):
            func = parent.func if isinstance(parent, cst.Call) else None
            if isinstance(func, cst.Attribute) and func.attr.value.startswith("on_conflict_do_"):
                return self.query(func.value)
        return None
