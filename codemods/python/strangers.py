"""Which expressions of a module stand for classes that have nothing to do with a legacy table.

What is proven to be somebody else's attribute need not be listed.
"""

from __future__ import annotations

import libcst as cst

from codemods.analysis import Style
from codemods.entities import Entity, classes, defined_at
from codemods.python.inference import Inference
from codemods.python.tree import dotted_source
from codemods.python.work import Work
from codemods.sql.identifiers import words

_PLAIN_BASES = words("Model Base DeclarativeBase SQLModel Entity BaseModel NamedTuple TypedDict")
"""Classes that are no table of their own, by the names that libraries and custom give them."""


class Strangers(Inference):
    """What the expressions of one module stand for, of all classes but the models."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.models = {entity.name for entity in (*work.entities, *work.names.entities)}
        own = {
            node.name.value: tuple(dotted_source(b.value).rpartition(".")[2] for b in node.bases)
            for node in work.tree.of(cst.ClassDef)
            if isinstance(node, cst.ClassDef)
        }
        self.local = {name: self._as_entity(name) for name in own if self._is_stranger(name, own)}

    def owner(self, node: cst.Name) -> str | None:
        """Return the class of which a name in the code is an attribute, if it is a stranger."""
        parent = self.tree.parent(node)
        found: Entity | None = None
        if isinstance(parent, cst.Attribute) and parent.attr is node:
            model = self.model(parent.value)
            found = model.entity if model is not None else self.row(parent.value)
        elif isinstance(parent, cst.Arg) and parent.keyword is node:
            call = self.tree.parent(parent)
            model = self.model(call.func) if isinstance(call, cst.Call) else None
            if (
                model is None
                and isinstance(call, cst.Call)
                and isinstance(call.func, cst.Attribute)
            ):
                model = self.query(call.func.value)
            found = model.entity if model is not None else None
        return found.name if found is not None else None

    def _imported(self, origin: str) -> Entity | None:
        if origin not in self.imported:
            found = defined_at(self.work.path, origin)
            known = found is not None and self._is_stranger(found[1], classes(found[0]))
            self.imported[origin] = self._as_entity(found[1]) if found and known else None
        return self.imported[origin]

    def _is_stranger(self, name: str, known: dict[str, tuple[str, ...]]) -> bool:
        """Tell whether a class and all that it inherits from are no model of a legacy table."""
        if name in self.models:
            return False
        bases = known[name]
        return all(
            base in _PLAIN_BASES
            or (base != name and base in known and self._is_stranger(base, known))
            for base in bases
        )

    def _as_entity(self, name: str) -> Entity:
        return Entity(self.work.path, name, "", Style.DECLARATIVE, False, ())
