"""Modules, classes and functions that the mapping gives other names, wherever code names them.

A name is followed to where it comes from: through imports of every form, and through packages that
only pass it on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from codemods.analysis import Part
from codemods.edits import Edit
from codemods.entities import CodeRename, absolute, binds, is_module, passed_on
from codemods.findings import Finding, Outcome
from codemods.python import context
from codemods.python.literals import Text
from codemods.python.tree import dotted_source
from codemods.python.work import Work, last_name
from codemods.sql.identifiers import words

_PATCHING = words(
    "patch import_module import_string __import__ setattr delattr importorskip find_spec"
    " resolve_name locate multiple load_object"
)
"""Functions that take a dotted name as text."""

_ATTRIBUTE_TAKING = words("object getattr setattr hasattr delattr")

_BY_CLASS_NAME = words(
    "relationship Relationship backref ForeignKey OneToOneField ManyToManyField cast TypeVar"
    " Required Optional Set ForeignKeyField"
)
"""Functions that take the name of a class as text."""


@dataclass(frozen=True)
class _Rename:
    """One renamed name, in parts."""

    code: CodeRename
    module: str
    leaf: str
    new_module: str
    new_leaf: str

    @staticmethod
    def of(code: CodeRename) -> _Rename:
        module, _, leaf = code.old.rpartition(".")
        new_module, _, new_leaf = code.new.rpartition(".")
        return _Rename(code, module, leaf, new_module, new_leaf)

    @property
    def reason(self) -> str:
        return f"{self.code.old} is now {self.code.new}"


class CodeNames:
    """Works on the renamed names in one module."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.tree = work.tree
        self.renames = [_Rename.of(code) for code in work.names.code]
        self.findings: list[Finding] = []
        self.local: dict[str, _Rename] = {}
        """What local names stand for a renamed one under its old name, and change."""
        self.kept: set[str] = set()
        """Local names that go on as they are, thanks to `as`."""
        self.modules: set[str] = set()
        """Modules that are imported under their full name."""

    def visit(self) -> None:
        """Decide about every occurrence of a renamed name."""
        for rename in self.renames:
            self._moved(rename)
        if not any(rename.leaf in self.tree.source for rename in self.renames):
            return
        for rename in self.renames:
            self._definition(rename)
        for node in self.tree.of(cst.Import, cst.ImportFrom):
            if isinstance(node, cst.Import):
                self._import(node)
            elif isinstance(node, cst.ImportFrom):
                self._import_from(node)
        self._names()
        for node in self.tree.of(*context.STRINGS):
            if context.is_whole_string(self.tree, node):
                self._string(node)
        self._rest()

    def _say(
        self, start: int, end: int, outcome: Outcome, reason: str, new: str | None = None
    ) -> None:
        name = self.tree.source[start:end]
        finding = Finding(start, end, name, "code", outcome, reason, new)
        self.findings.append(finding)
        self.work.parts.append(Part(findings=(finding,)))

    def _change(self, start: int, end: int, new: str, reason: str) -> None:
        name = self.tree.source[start:end]
        finding = Finding(start, end, name, "code", Outcome.CHANGED, reason, new)
        self.findings.append(finding)
        self.work.parts.append(Part((Edit(start, end, new, reason),), (finding,)))

    # -- where it is defined -----------------------------------------------------------------

    def _moved(self, rename: _Rename) -> None:
        if is_module(self.work.path, rename.code.old):
            old, new = (n.replace(".", "/") for n in (rename.code.old, rename.code.new))
            told = f"this file is the module {rename.code.old}: move it, {old} becomes {new}"
            self._say(0, 0, Outcome.LOOK, told)

    def _definition(self, rename: _Rename) -> None:
        if not rename.module or not is_module(self.work.path, rename.module):
            return
        for node in self._top_level(rename.leaf):
            start, end = self.work.name_span(node)
            if rename.module != rename.new_module:
                told = f"{rename.reason}: move its definition to {rename.new_module}"
                self._say(start, end, Outcome.LOOK, told)
                self.kept.add(rename.leaf)
            elif self.tree.scope.bindings.get(rename.leaf) != 1:
                self._say(start, end, Outcome.LOOK, f"{rename.reason}, but it is bound twice here")
                self.kept.add(rename.leaf)
            elif self._is_taken(rename):
                told = f"{rename.reason}, but {rename.new_leaf!r} is in use in the module"
                self._say(start, end, Outcome.LOOK, told)
                self.kept.add(rename.leaf)
            else:
                self.local[rename.leaf] = rename
                self._change(start, end, rename.new_leaf, rename.reason)

    def _top_level(self, name: str) -> Iterator[cst.Name]:
        for node in self.tree.of(cst.ClassDef, cst.FunctionDef, cst.AssignTarget, cst.AnnAssign):
            target: cst.CSTNode | None = None
            if isinstance(node, cst.ClassDef | cst.FunctionDef):
                target, outer = node.name, self.tree.parent(node)
            else:
                target = node.target if isinstance(node, cst.AssignTarget | cst.AnnAssign) else None
                line = node if isinstance(node, cst.AnnAssign) else self.tree.parent(node)
                outer = self.tree.parent(self.tree.parent(line) or line) if line else None
            is_meant = isinstance(target, cst.Name) and target.value == name
            if is_meant and isinstance(outer, cst.Module):
                assert isinstance(target, cst.Name)
                yield target

    def _is_taken(self, rename: _Rename) -> bool:
        scope = self.tree.scope
        return rename.new_leaf != rename.leaf and (
            rename.new_leaf in scope.bound or rename.new_leaf in scope.imports
        )

    # -- imports -----------------------------------------------------------------------------

    def _comes_from(self, origin: str) -> _Rename | None:
        """Return the renamed name that a dotted origin means, also through other modules.

        None if one of those cannot pass it on under the new name.
        """
        passing: list[str] = []
        for place, dotted in passed_on(self.work.path, origin):
            if place != self.work.path:
                passing.append(place)
            parts = absolute(place, dotted)
            for rename in self.renames:
                old = tuple(rename.code.old.split("."))
                is_relative = dotted.startswith(".")
                if parts == old or (is_relative and parts[-len(old) :] == old):
                    kept = any(binds(file, rename.new_leaf) for file in passing)
                    return None if kept and rename.new_leaf != rename.leaf else rename
        return None

    def _import(self, node: cst.Import) -> None:
        for alias in node.names:
            written = dotted_source(alias.name)
            if alias.asname is None:
                self.modules.add(written)
            for rename in self.renames:
                if written == rename.code.old or written.startswith(f"{rename.code.old}."):
                    start, _ = self.tree.span(alias.name)
                    end = start + len(rename.code.old)
                    self._change(start, end, rename.code.new, rename.reason)

    def _import_from(self, node: cst.ImportFrom) -> None:
        module = "." * len(node.relative) + dotted_source(node.module)
        self._from_module(node, module)
        if isinstance(node.names, cst.ImportStar):
            return
        for alias in node.names:
            name = alias.evaluated_name
            separator = "" if module.endswith(".") else "."
            rename = self._comes_from(f"{module}{separator}{name}")
            if rename is not None and name == rename.leaf:
                self._alias(node, alias, rename, module)

    def _from_module(self, node: cst.ImportFrom, module: str) -> None:
        """`from shop.order_line import X`, where the module or one above it is renamed."""
        if node.module is None:
            return
        parts = absolute(self.work.path, module)
        for rename in self.renames:
            old = tuple(rename.code.old.split("."))
            at = next(
                (
                    i
                    for i in range(len(parts) - len(old) + 1)
                    if parts[i : i + len(old)] == old and (i == 0 or node.relative)
                ),
                None,
            )
            if at is None:
                continue
            new = (*parts[:at], *rename.code.new.split("."), *parts[at + len(old) :])
            base = parts[: len(parts) - len(dotted_source(node.module).split("."))]
            start, end = self.tree.span(node.module)
            if new[: len(base)] != base:
                told = f"{rename.reason}, which this relative import cannot say"
                self._say(start, end, Outcome.LOOK, told)
            else:
                self._change(start, end, ".".join(new[len(base) :]), rename.reason)
            return

    def _alias(
        self, node: cst.ImportFrom, alias: cst.ImportAlias, rename: _Rename, module: str
    ) -> None:
        start, end = self.tree.span(alias.name)
        new = rename.new_leaf
        direct = absolute(self.work.path, module)[-len(rename.module.split(".")) :] == tuple(
            rename.module.split(".")
        )
        if alias.asname is not None and alias.evaluated_alias == new:
            end = self.tree.span(alias.asname)[1]
        passes_on = alias.evaluated_alias == rename.leaf  # `X as X` says that others may import it
        if passes_on and new != rename.leaf and alias.asname is not None:
            if not self._is_taken(rename):
                end = self.tree.span(alias.asname)[1]
                new = f"{new} as {new}"
                self.local[rename.leaf] = rename
        elif alias.asname is None and new != rename.leaf:
            shadowed = rename.leaf in self.tree.scope.bound
            if self._is_taken(rename) or shadowed:
                new = f"{new} as {rename.leaf}"
                self.kept.add(rename.leaf)
            else:
                self.local[rename.leaf] = rename
        if direct and rename.new_module != rename.module:
            self._moved_import(node, alias, rename, (start, end), new)
        elif new != rename.leaf:
            self._change(start, end, new, rename.reason)

    def _moved_import(
        self,
        node: cst.ImportFrom,
        alias: cst.ImportAlias,
        rename: _Rename,
        span: tuple[int, int],
        new: str,
    ) -> None:
        """Import from the other module: this statement changes, or one is put before it."""
        start, end = span
        assert not isinstance(node.names, cst.ImportStar)
        line_start = self.tree.source.rfind("\n", 0, self.tree.span(node)[0]) + 1
        indent = self.tree.source[line_start : self.tree.span(node)[0]]
        if indent.strip() or node.module is None:
            self._say(start, end, Outcome.LOOK, f"{rename.reason}: import it from there")
            self.local.pop(rename.leaf, None)
            return
        if len(node.names) == 1:
            begin = self.tree.span(node.relative[0])[0] if node.relative else None
            module_start, module_end = self.tree.span(node.module)
            at = module_start if begin is None else begin
            edits = [Edit(at, module_end, rename.new_module, rename.reason)]
            if new != rename.leaf:
                edits.append(Edit(start, end, new, rename.reason))
        else:
            has_as = " as " not in new and alias.evaluated_alias not in (None, new)
            as_name = f" as {alias.evaluated_alias}" if has_as else ""
            line = f"from {rename.new_module} import {new}{as_name}\n{indent}"
            a, b = self._alias_span(node, alias)
            begin = self.tree.span(node)[0]
            edits = [
                Edit(begin, begin, line, rename.reason),
                Edit(a, b, "", rename.reason),
            ]
        name = self.tree.source[start:end]
        finding = Finding(start, end, name, "code", Outcome.CHANGED, rename.reason, new)
        self.findings.append(finding)
        self.work.parts.append(Part(tuple(edits), (finding,)))

    def _alias_span(self, node: cst.ImportFrom, alias: cst.ImportAlias) -> tuple[int, int]:
        """Return what to cut so that a list of imports loses one name."""
        assert not isinstance(node.names, cst.ImportStar)
        names = list(node.names)
        index = names.index(alias)
        if index + 1 < len(names):
            return self.tree.span(alias)[0], self.tree.span(names[index + 1])[0]
        before = names[index - 1]
        name = before.name if before.asname is None else before.asname
        last = alias.name if alias.asname is None else alias.asname
        return self.tree.span(name)[1], self.tree.span(last)[1]

    # -- uses --------------------------------------------------------------------------------

    def _names(self) -> None:
        leaves = {rename.leaf: rename for rename in self.renames}
        for node in self.tree.of(cst.Name):
            if not isinstance(node, cst.Name) or node.value not in leaves:
                continue
            start, end = self.work.name_span(node)
            if self._is_said(start, end):
                continue
            parent = self.tree.parent(node)
            if isinstance(parent, cst.Attribute) and parent.attr is node:
                self._attribute(node, parent)
            elif isinstance(parent, cst.Arg) and parent.keyword is node:
                self._say(start, end, Outcome.UNRELATED, "the name of an argument")
            elif node.value in self.local:
                rename = self.local[node.value]
                self._change(start, end, rename.new_leaf, rename.reason)
            elif node.value in self.kept:
                self._say(start, end, Outcome.UNRELATED, "the local name stays")
            else:
                self._other_name(node, leaves[node.value])

    def _other_name(self, node: cst.Name, rename: _Rename) -> None:
        start, end = self.work.name_span(node)
        scope = self.tree.scope
        starred = any(self._comes_from(f"{star.rstrip('.')}.{node.value}") for star in scope.stars)
        if node.value not in scope.bound and node.value not in scope.imports and starred:
            if self._is_taken(rename):
                self._say(start, end, Outcome.LOOK, f"{rename.reason}: it comes with an import *")
            else:
                self._change(start, end, rename.new_leaf, rename.reason)
            return
        self._say(start, end, Outcome.UNRELATED, f"not {rename.code.old}: another name")

    def _attribute(self, node: cst.Name, parent: cst.Attribute) -> None:
        start, end = self.work.name_span(node)
        origin = self.tree.scope.dotted(parent)
        rename = self._comes_from(origin) if origin is not None else None
        if rename is None:
            known = next(r for r in self.renames if r.leaf == node.value)
            if origin is None and node.value[:1].isupper():
                self._say(start, end, Outcome.LOOK, f"an attribute, perhaps {known.code.old}")
            else:
                self._say(start, end, Outcome.UNRELATED, "another attribute")
        elif rename.new_module == rename.module or origin != rename.code.old:
            if rename.new_leaf != node.value:
                self._change(start, end, rename.new_leaf, rename.reason)
        elif dotted_source(parent) == rename.code.old and rename.code.old in self.modules:
            whole, end = self.tree.span(parent)
            self._change(whole, end, rename.code.new, rename.reason)
        else:
            self._say(start, end, Outcome.LOOK, f"{rename.reason}: import that module")

    def _is_said(self, start: int, end: int) -> bool:
        return any(f.start <= start and end <= f.end and f.end for f in self.findings)

    # -- strings -----------------------------------------------------------------------------

    def _string(self, node: cst.CSTNode) -> None:
        start, end = self.tree.span(node)
        written = self.tree.source[start:end]
        if not any(rename.leaf in written for rename in self.renames):
            return
        text = self.work.strings.text(node)
        if text is None:
            return
        for rename in self.renames:
            for match in re.finditer(rf"(?<![\w.]){re.escape(rename.code.old)}\b", text.value):
                a, b = match.span()
                if self._takes_names(node, text) or self._is_import_text(text.value, a):
                    part = self.work.replaced(
                        text, a, b, rename.code.new, rename.reason, kind="code"
                    )
                    if part is not None:
                        self.findings += part.findings
                        self.work.parts.append(part)
                        continue
                self._say(*text.source_span(a, b), Outcome.LOOK, "a text with the dotted name")
            for match in re.finditer(rf"(?<!\w){re.escape(rename.leaf)}\b", text.value):
                span = text.source_span(*match.span())
                if not self._is_said(*span):
                    self._leaf(node, rename, match, span)

    def _takes_names(self, node: cst.CSTNode, text: Text) -> bool:
        """Tell whether a string is an annotation, or handed to what takes a dotted name."""
        for parent in self.tree.parents(node):
            if isinstance(parent, cst.Annotation):
                return text.value.partition("[")[0].split(".")[0] not in self.tree.scope.bound
            if isinstance(parent, cst.Call):
                names = {last_name(parent.func), *dotted_source(parent.func).split(".")}
                return bool(names & _PATCHING)
            if not isinstance(parent, cst.Arg):
                return False
        return False

    def _is_import_text(self, value: str, at: int) -> bool:
        return re.search(r"(?:^|\n)\s*(?:from|import)\s+$", value[:at]) is not None

    def _leaf(
        self, node: cst.CSTNode, rename: _Rename, match: re.Match[str], span: tuple[int, int]
    ) -> None:
        """The last part of the name alone, in a string."""
        text = self.work.strings.text(node)
        assert text is not None
        is_annotation = any(isinstance(p, cst.Annotation) for p in self.tree.parents(node))
        known = rename.leaf in self.local
        before = text.value[: match.start()]
        if before.endswith(".") and self._takes_names(node, text):
            sure = self._comes_from(text.value[: match.end()].rsplit(":", 1)[-1]) is rename
        elif before.endswith("."):
            sure = False
        else:
            sure = (
                (is_annotation and (known or rename.leaf not in self.tree.scope.bound))
                or (known and self._in_all(node))
                or self._names_class(node, text.value, rename)
                or self._names_attribute(node, rename)
            )
        if sure and rename.leaf not in self.kept and rename.new_leaf != rename.leaf:
            part = self.work.replaced(
                text, *match.span(), rename.new_leaf, rename.reason, kind="code"
            )
            if part is not None:
                self.findings += part.findings
                self.work.parts.append(part)
                return
        if rename.leaf in self.kept and is_annotation:
            self._say(*span, Outcome.UNRELATED, "the local name stays")
        elif text.value == rename.leaf or rename.leaf[:1].isupper():
            self._say(*span, Outcome.LOOK, f"a text that may mean {rename.code.old}")
        else:
            self._say(*span, Outcome.UNRELATED, "a word in a text")

    def _in_all(self, node: cst.CSTNode) -> bool:
        for parent in self.tree.parents(node):
            if isinstance(parent, cst.Assign):
                return any(dotted_source(t.target) == "__all__" for t in parent.targets)
            if isinstance(parent, cst.AugAssign | cst.AnnAssign):
                return dotted_source(parent.target) == "__all__"
            if not isinstance(parent, cst.Element | cst.List | cst.Tuple):
                return False
        return False

    def _names_attribute(self, node: cst.CSTNode, rename: _Rename) -> bool:
        """Tell whether a string names an attribute of a module: `patch.object(models, "…")`."""
        arg = self.tree.parent(node)
        call = self.tree.parent(arg) if isinstance(arg, cst.Arg) else None
        if not isinstance(call, cst.Call) or len(call.args) < 2 or call.args[1] is not arg:
            return False
        if last_name(call.func) not in _ATTRIBUTE_TAKING:
            return False
        origin = self.tree.scope.dotted(call.args[0].value)
        if origin is None or (origin == rename.module != rename.new_module):
            return False
        return self._comes_from(f"{origin}.{rename.leaf}") is rename

    def _names_class(self, node: cst.CSTNode, value: str, rename: _Rename) -> bool:
        """Tell whether a string names a class in a function that looks it up."""
        bound = rename.leaf in self.tree.scope.bound and rename.leaf not in self.local
        for parent in self.tree.parents(node):
            if isinstance(parent, cst.Call):
                return last_name(parent.func) in _BY_CLASS_NAME and not bound
            if not isinstance(parent, cst.Arg):
                return False
        return False

    # -- the rest ----------------------------------------------------------------------------

    def _rest(self) -> None:
        """Every other occurrence, in comments and elsewhere, is listed."""
        for rename in self.renames:
            for match in re.finditer(rf"\b{re.escape(rename.leaf)}\b", self.tree.source):
                if self._is_said(*match.span()):
                    continue
                if rename.leaf[:1].isupper():
                    told = f"a text that may mean {rename.code.old}"
                    self._say(*match.span(), Outcome.LOOK, told)
                else:
                    self._say(*match.span(), Outcome.UNRELATED, "a word in a text")
