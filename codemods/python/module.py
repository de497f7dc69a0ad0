"""Rewrites one Python module: SQL in its strings, and what SQLAlchemy is told about a table.

Every hit of a legacy name in names, strings and comments ends as a finding.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import libcst as cst

from codemods import models, sql
from codemods.analysis import Analysis, Part, joined
from codemods.entities import Entity
from codemods.findings import Finding, Note, Outcome
from codemods.python import assembled, calls, composed, context
from codemods.python.assembled import Assembly
from codemods.python.codenames import CodeNames
from codemods.python.literals import Text
from codemods.python.strangers import Strangers
from codemods.python.strings import Lookup, Strings, agreed, placed
from codemods.python.tree import NotPython, Tree, parse
from codemods.python.usage import Usage
from codemods.python.work import Work
from codemods.renames import INSERTED, SERIAL_SEQUENCE, NameHit, Names
from codemods.sql import SqlResult


def analyse(
    source: str,
    names: Names,
    lookup: Lookup = lambda origin: None,
    path: str = "",
    tree: Tree | None = None,
) -> Analysis:
    """Return what is to be done in a module, and all findings.

    :param lookup: the text of a constant in another module, None if unknown
    :param path: of the file, for what it imports and defines
    :param tree: of the source, if somebody has parsed it already
    """
    with _without_collecting():
        return _analysis(source, names, lookup, path, tree)


def _analysis(source: str, names: Names, lookup: Lookup, path: str, tree: Tree | None) -> Analysis:
    """Return what `analyse` does, and leave no tree behind that the collector would search."""
    try:
        if tree is None or not tree.holds(names.may_concern):
            tree = parse(source, names.may_concern)
        return _Module(tree, names, lookup, path).analysis()
    except (NotPython, RecursionError) as error:
        return unreadable(source, names, f"not readable as Python ({error})")


def tree_of(source: str, names: Names) -> Tree | None:
    """Return the tree of a module, None if it cannot be read."""
    with _without_collecting():
        try:
            return parse(source, names.may_concern)
        except NotPython:
            return None


def entities(tree: Tree, names: Names, path: str) -> tuple[Entity, ...]:
    """Return the models of legacy tables that a module defines."""
    with _without_collecting():
        try:
            work = Work(tree, names, Strings(tree, lambda origin: None), path)
            models.visit(work)
        except (NotPython, RecursionError):
            return ()
        return tuple(work.entities)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Keep Python from looking for cycles among nodes that all live as long as their tree.

    It would take a third of the time of an analysis.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def unreadable(source: str, names: Names, reason: str) -> Analysis:
    """Return the analysis of a text that cannot be read: every hit needs a look."""
    findings = tuple(
        Finding(h.start, h.end, h.name, h.kind, Outcome.LOOK, reason) for h in names.find(source)
    )
    return Analysis(Part(findings=findings), problem=reason)


class _Module:
    """The work on one module. Mutable, and seen by nobody but `analyse`."""

    def __init__(self, tree: Tree, names: Names, lookup: Lookup, path: str) -> None:
        self.tree = tree
        self.names = names
        self.strings = Strings(tree, lookup)
        self.work = Work(tree, names, self.strings, path)
        self.strangers = Strangers(self.work)
        self.usage = Usage(self.work)  # made anew when the models of the module are known
        self.parts = self.work.parts
        self.done = self.work.done
        self.compositions: dict[cst.CSTNode, frozenset[tuple[int, int]]] = {}
        self.assemblies: dict[cst.CSTNode, frozenset[tuple[int, int]]] = {}
        self.renamed = {
            old: f"{entity.name}.{old}, which is now {new}"
            for entity in names.entities
            for old, new in entity.renamed
        }
        self.doubts = False

    def analysis(self) -> Analysis:
        work = self.work
        past = None if self.names.settings.migrations else self._past()
        if past is not None:
            self._all_unrelated(past)
        else:
            self._work()
        keep = work.ignored.applied
        pending = tuple(
            replace(p, declarative=keep(p.declarative), core=keep(p.core)) for p in work.pending
        )
        parts = _once(joined(keep(part) for part in self.parts))
        return Analysis(parts, tuple(work.definitions), pending, is_related=self.is_related)

    def _work(self) -> None:
        CodeNames(self.work).visit()
        models.visit(self.work)
        self.usage = Usage(self.work)
        self.usage.visit()
        self.strangers = Strangers(self.work)
        self.renamed |= {
            old: f"{entity.name}.{old}, which is now {new}"
            for entity in self.work.entities
            for old, new in entity.renamed
        }
        calls.visit(self.work)
        for node in self.tree.of(cst.Name, cst.Comment, *context.STRINGS):
            if isinstance(node, cst.Name):
                if self._is_known(node.value) and node not in self.done:
                    self._name(node)
            elif node in self.done:
                continue
            elif isinstance(node, cst.Comment):
                self._comment(node)
            elif context.is_whole_string(self.tree, node):
                self._string(node)

    def _is_known(self, name: str) -> bool:
        """Tell whether a name in the code may be a hit, or a path over attributes that ends in one.

        Most are not, and a module has thousands.
        """
        names = self.names
        return (
            name in names.columns or name in names.tables or name in names.converted or "__" in name
        )

    @property
    def is_related(self) -> bool:
        """Whether the module uses a model of a legacy table, even if it does not name the table."""
        return self.doubts or self.usage.inference.knows_legacy

    def _past(self) -> str | None:
        """Return why the module tells the past, if it does."""
        if self._is_revision():
            return "an Alembic revision tells the past"
        if any(self._is_migration(node) for node in self.tree.of(cst.ClassDef)):
            return "a Django migration tells the past"
        return None

    def _is_migration(self, node: cst.CSTNode) -> bool:
        if not isinstance(node, cst.ClassDef) or node.name.value != "Migration":
            return False
        origins = [self.tree.scope.dotted(base.value) for base in node.bases]
        return "django.db.migrations.Migration" in origins

    def _beside_migration(self) -> frozenset[int]:
        """Return the ids of nodes of classes that only stand in the same file as a migration."""
        classes = [n for n in self.tree.module.body if isinstance(n, cst.ClassDef)]
        if not any(self._is_migration(node) for node in classes):
            return frozenset()
        others = (node for node in classes if not self._is_migration(node))
        return frozenset(id(inner) for node in others for inner in self.tree.inside(node))

    def _is_revision(self) -> bool:
        return {"revision", "down_revision"} <= self.tree.scope.bound and any(
            isinstance(node, cst.FunctionDef) and node.name.value == "upgrade"
            for node in self.tree.of(cst.FunctionDef)
        )

    def _all_unrelated(self, reason: str) -> None:
        beside = self._beside_migration()
        for node in self.tree.of(cst.Name, cst.Comment, *context.STRINGS):
            said = Outcome.UNRELATED, reason
            if id(node) in beside:
                said = Outcome.LOOK, f"a class beside a migration, perhaps of today: {reason}"
            self.parts.append(Part(findings=tuple(self._told(node, *said))))

    def _told(self, node: cst.CSTNode, outcome: Outcome, reason: str) -> Iterator[Finding]:
        """Yield the findings in a name, a comment or a string, of which the same is said."""
        if isinstance(node, cst.Name):
            yield from self._name_findings(node, outcome, reason)
        elif isinstance(node, cst.Comment):
            yield from self._raw(node, lambda hit: (outcome, reason))
        elif context.is_whole_string(self.tree, node) and (text := self._relevant(node)):
            yield from (self._finding(text, hit, outcome, reason) for hit in self._hits(text))

    # -- names and comments ------------------------------------------------------------------

    def _name(self, node: cst.Name) -> None:
        # Whose it is matters only where it would be listed.
        is_listed = node.value in self.renamed or node.value in self.names.converted
        stranger = self.strangers.owner(node) if is_listed else None
        if stranger is not None:
            told = f"an attribute of {stranger}, which is another class"
            hits = self._name_findings(node, Outcome.UNRELATED, told)
            self.parts.append(Part(findings=tuple(hits)))
            return
        self._note_value(node)
        if node.value not in self.names.columns and node.value not in self.names.tables:
            self._lookup(node)
            return
        reason, look = context.python_name(self.tree, node)
        parent = self.tree.parent(node)
        if node.value in self.renamed and isinstance(parent, cst.Attribute | cst.Arg):
            reason, look = f"perhaps {self.renamed[node.value]}", True
            self.doubts = True
        outcome = Outcome.LOOK if look else Outcome.UNRELATED
        self.parts.append(Part(findings=tuple(self._name_findings(node, outcome, reason))))

    def _lookup(self, node: cst.Name) -> None:
        """`line__qty__gt=3`: a path through models that may lead over a renamed attribute."""
        if "__" not in node.value or not isinstance(self.tree.parent(node), cst.Arg):
            return
        for step in node.value.split("__"):
            if step in self.renamed:
                told = f"perhaps {self.renamed[step]}"
                finding = self.work.name_found(node, Outcome.LOOK, told, kind="column")
                self.parts.append(Part(findings=(finding,)))
                self.doubts = True
                return

    def _note_value(self, node: cst.Name) -> None:
        rule = self.names.converted.get(node.value.partition("__")[0])
        if rule is None or not context.uses_value(self.tree, node):
            return
        start, end = self.tree.span(node)
        literal = context.compared_literal(self.tree, node)
        told = f"{literal}; {rule}" if literal else rule
        self.parts.append(Part(notes=(Note(start, end, node.value, f"if of the table: {told}"),)))

    def _name_findings(self, node: cst.Name, outcome: Outcome, reason: str) -> Iterator[Finding]:
        if node.value in self.names.tables:
            kind = "table"
        elif node.value in self.names.columns:
            kind = "column"
        else:
            return
        yield self.work.name_found(node, outcome, reason, kind=kind)

    def _comment(self, node: cst.Comment) -> None:
        def judged(hit: NameHit) -> tuple[Outcome, str]:
            if hit.kind == "table":
                return Outcome.LOOK, "a comment names the legacy table"
            return Outcome.UNRELATED, "a comment"

        self.parts.append(Part(findings=tuple(self._raw(node, judged))))

    def _raw(
        self, node: cst.Comment, judged: Callable[[NameHit], tuple[Outcome, str]]
    ) -> Iterator[Finding]:
        for hit in self.names.find(node.value):
            start, _ = self.tree.span(node)
            outcome, reason = judged(hit)
            yield Finding(start + hit.start, start + hit.end, hit.name, hit.kind, outcome, reason)

    # -- strings -----------------------------------------------------------------------------

    def _relevant(self, node: cst.CSTNode) -> Text | None:
        """Return the text of a string that holds a hit."""
        if not self.strings.may_hold(node, self._is_wanted):
            return None
        text = self.strings.text(node)
        return text if text is not None and self._is_wanted(text.value) else None

    def _is_wanted(self, text: str) -> bool:
        """Tell whether a text names something legacy, or a target whose values may be compared."""
        if self.names.converted and any(target in text for target in self.names.targets):
            return True
        return bool(self.names.find(text))

    def _hits(self, text: Text) -> Iterator[NameHit]:
        """Yield the hits in a text, but for those that stand in a constant elsewhere."""
        inserted = (*text.holes, *text.constants)
        for hit in self.names.find(text.value):
            if not any(a <= hit.start and hit.end <= b for a, b in inserted):
                yield hit

    def _finding(self, text: Text, hit: NameHit, outcome: Outcome, reason: str) -> Finding:
        start, end = text.source_span(hit.start, hit.end)
        return Finding(start, end, hit.name, hit.kind, outcome, reason)

    def _string(self, node: cst.CSTNode) -> None:
        self._note_sequence(node)
        text = self._relevant(node)
        if text is None:
            return
        statement = context.STATEMENT.match(text.value) is not None
        people = context.told_to_people(self.tree, node)
        if people is None and self._is_settled_by_composition(node):
            return
        if statement and people is None:
            part = self._sql(node, text)
            if part is not None:
                self.parts.append(part)
                return
        self.parts.append(
            Part(
                findings=tuple(
                    self._finding(text, hit, *self._judged(node, text, hit, people, statement))
                    for hit in self._hits(text)
                )
            )
        )

    def _note_sequence(self, node: cst.CSTNode) -> None:
        """The view has the sequence until contract, so that nothing finds it by the target."""
        if not self.strings.may_hold(node, SERIAL_SEQUENCE.search):
            return
        text = self.strings.text(node)
        for match in SERIAL_SEQUENCE.finditer(text.value if text is not None else ""):
            assert text is not None
            start, end = text.source_span(*match.span("name"))
            told = (
                "if of the table: until contract the sequence belongs to the view, and the target"
                " has none: name the sequence"
            )
            self.parts.append(Part(notes=(Note(start, end, match["name"], told),)))

    def _is_settled_by_composition(self, node: cst.CSTNode) -> bool:
        """Tell whether the text of which a string is a part could be read as SQL."""
        root = composed.root(self.tree, node)
        if self._is_settled_by_assembly(node, root):
            return True
        if root is node:
            return False
        if root not in self.compositions:
            self.compositions[root] = self._composition(root)
        return self.tree.span(node) in self.compositions[root]

    def _composition(self, root: cst.CSTNode) -> frozenset[tuple[int, int]]:
        """Work on a text that is put together; return where the literals stand that were read."""
        text = self.strings.composition(root)
        if text is None or context.STATEMENT.match(text.value) is None or _is_glued(text):
            return frozenset()
        part = self._sql(root, text)
        if part is None:
            return frozenset()
        self.parts.append(part)
        return frozenset((literal.start, literal.end) for literal in text.parts)

    def _is_settled_by_assembly(self, node: cst.CSTNode, root: cst.CSTNode) -> bool:
        """Tell whether the text that a variable holds in the end could be read as SQL."""
        assembly = assembled.find(self.tree, root)
        if assembly is None:
            return False
        first = assembly.pieces[0].target
        if first not in self.assemblies:
            self.assemblies[first] = self._assembly(assembly)
        return self.tree.span(node) in self.assemblies[first]

    def _assembly(self, assembly: Assembly) -> frozenset[tuple[int, int]]:
        """Work on all texts that a variable may hold; return where the literals stand.

        None of them is taken if one is in no text that could be read.
        """
        found: list[Part] = []
        literals: set[tuple[int, int]] = set()
        read: set[tuple[int, int]] = set()
        for nodes in assembly.variants():
            text = self.strings.assembly(nodes)
            if text is None or context.STATEMENT.match(text.value) is None:
                return frozenset()
            spans = {(literal.start, literal.end) for literal in text.parts}
            literals |= spans
            result = None if _is_glued(text) else self._rewritten(nodes, text)
            if result is not None and result.parsed:
                found.append(placed(text, result))
                read |= spans
        if literals - read:
            return frozenset()
        self.parts.append(agreed(found))
        return frozenset(literals)

    def _judged(
        self, node: cst.CSTNode, text: Text, hit: NameHit, people: str | None, statement: bool
    ) -> tuple[Outcome, str]:
        """Say what a hit is in a text that is no statement, or no readable one."""
        if people is not None:
            if hit.kind == "table":
                return Outcome.LOOK, f"{people} names the legacy table"
            return Outcome.UNRELATED, people
        if hit.kind == "table":
            if text.value == hit.name:
                return Outcome.LOOK, "the table's name as a plain string"
            return Outcome.LOOK, "a text that names the table and could not be read as SQL"
        if hit.kind == "derived":
            if text.value == hit.name and not sql.looks_derived(hit.name, self.names):
                return Outcome.UNRELATED, "another name that holds the table's"
            return Outcome.LOOK, "a name that follows the table's, perhaps of a sequence"
        if text.value.strip() == hit.name:
            if hit.name not in self.names.columns:
                return Outcome.UNRELATED, "written in another case than the column"
            reason = context.plain_column(self.tree, node)
            if hit.name in self.renamed:
                return Outcome.LOOK, f"perhaps {self.renamed[hit.name]}"
            if reason is not None:
                return Outcome.UNRELATED, reason
            return Outcome.LOOK, "the column's name as a plain string"
        if context.in_relationship(self.tree, node) and ".c." not in text.value:
            return Outcome.UNRELATED, "attributes in a relationship, which stay"
        if statement or context.may_be_sql(text.value) or context.is_told_as_sql(self.tree, node):
            return Outcome.LOOK, "a text that may be a piece of SQL"
        return Outcome.UNRELATED, "a text without signs of SQL"

    def _sql(self, node: cst.CSTNode, text: Text) -> Part | None:
        """Return what a text yields that begins as SQL does, None if it cannot be read."""
        piece = context.is_piece(self.tree, node)
        result = self._rewritten((node,), text, is_piece=piece is not None)
        if not result.parsed and not result.edits:
            return None
        part = placed(text, result)
        if piece and result.edits:
            return part.left(f"left as it is: {piece}")
        return part

    def _rewritten(
        self, nodes: Iterable[cst.CSTNode], text: Text, *, is_piece: bool = False
    ) -> SqlResult:
        """Read the text of some expressions as SQL."""
        percent = any(
            context.is_formatted_with_percent(self.tree, node)
            or any(isinstance(inner, cst.Modulo) for inner in self.tree.inside(node))
            for node in nodes
        )
        whole = not (is_piece or percent or text.holes or text.constants or "{" in text.value)
        return sql.rewrite(
            text.value,
            self.names,
            fixed=text.constants,
            percent_inserts=percent,
            complete=whole,
        )


def _once(part: Part) -> Part:
    """Return a part with one finding for each place: a class may be called as a column is."""
    weight = (Outcome.UNRELATED, Outcome.LOOK, Outcome.CHANGED)
    found: dict[tuple[int, int], Finding] = {}
    for finding in part.findings:
        place = finding.start, finding.end
        known = found.get(place)
        if known is None or weight.index(known.outcome) < weight.index(finding.outcome):
            found[place] = finding
    shown = (replace(f, name=INSERTED.sub("{…}", f.name)) for f in found.values())
    return replace(part, findings=tuple(shown))


def _is_glued(text: Text) -> bool:
    """Tell whether an inserted text may make one word with what stands beside it."""
    return any(
        re.match(r"\w", text.value[end : end + 1]) or re.match(r"\w", text.value[start - 1 : start])
        for start, end in text.holes
    )
