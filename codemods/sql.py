"""Rewrites the legacy names in one SQL text, by position, and accounts for every hit in it.

A statement is rewritten as a whole or not at all; what was rewritten is parsed again and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import cast

from sqlglot import exp, parse, tokenize
from sqlglot.errors import SqlglotError

from codemods import lexer
from codemods.edits import Edit, apply
from codemods.findings import Finding, Note, Outcome
from codemods.identifiers import fold, is_reserved, quote, words
from codemods.lexer import Kind, Segment
from codemods.renames import ColumnRename, NameHit, Names, Renames

DIALECT = "postgres"


@dataclass(frozen=True)
class SqlResult:
    """What was found in a SQL text, and the edits that rewrite it.

    :param findings: one for every hit of a legacy name, in order
    :param parsed: whether all statements with a hit could be read
    :param reads_legacy: whether some statement uses a legacy table
    """

    edits: tuple[Edit, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    parsed: bool = True
    reads_legacy: bool = False


def rewrite(
    text: str,
    names: Names,
    *,
    fixed: Sequence[tuple[int, int]] = (),
    percent_inserts: bool = False,
    complete: bool = False,
) -> SqlResult:
    """Return the edits that bring a SQL text to the target names.

    :param complete: nothing is added to the text before it runs, so that a statement which does
        not name a legacy table has nothing to do with one
    :param fixed: spans that come from elsewhere (an inserted constant): read, but not editable
    :param percent_inserts: `%s` inserts text (Python's `%` operator) and is no parameter
    """
    whole = lexer.segments(text)
    results: list[SqlResult] = []
    for start, end in lexer.statements(text, whole):
        statement = text[start:end]
        hits = names.find(statement)
        if not hits:
            continue
        if complete and all(hit.kind == "column" for hit in hits):
            reason = "the statement does not name the legacy table"
            results.append(_moved(SqlResult((), tuple(_unrelated(h, reason) for h in hits)), start))
            continue
        kept = [(a - start, b - start) for a, b in fixed if a < end and b > start]
        result = _Statement(statement, names, kept, percent_inserts).result()
        results.append(_moved(result, start))
    return SqlResult(
        tuple(edit for result in results for edit in result.edits),
        tuple(finding for result in results for finding in result.findings),
        tuple(note for result in results for note in result.notes),
        all(result.parsed for result in results),
        any(result.reads_legacy for result in results),
    )


def rewrite_expression(text: str, names: Names, renames: Renames) -> SqlResult:
    """Return the edits for a SQL expression over one legacy table, such as a check constraint."""
    table = ".".join(quote(n)[0] for n in (renames.legacy_schema, renames.legacy_table))
    prefix = f"SELECT 1 FROM {table} WHERE "
    # The end of the line closes a trailing comment before the parenthesis does.
    result = rewrite(f"{prefix}({text}\n)", names)
    size = len(prefix) + 1
    end = size + len(text)
    moved = _moved(
        replace(
            result,
            edits=tuple(e for e in result.edits if size <= e.start <= end),
            findings=tuple(f for f in result.findings if size <= f.start <= end),
            notes=tuple(n for n in result.notes if size <= n.start <= end),
        ),
        -size,
    )
    return moved


def _moved(result: SqlResult, by: int) -> SqlResult:
    return replace(
        result,
        edits=tuple(e.moved(by) for e in result.edits),
        findings=tuple(replace(f, start=f.start + by, end=f.end + by) for f in result.findings),
        notes=tuple(replace(n, start=n.start + by, end=n.end + by) for n in result.notes),
    )


def _unrelated(hit: NameHit, reason: str) -> Finding:
    return Finding(hit.start, hit.end, hit.name, hit.kind, Outcome.UNRELATED, reason)


class _Use(Enum):
    """What becomes of the names of a query's output columns."""

    NAMED = auto()  # somebody reads them: they stay as they are
    IGNORED = auto()  # only their order counts
    EXISTENCE = auto()  # not even that


@dataclass(frozen=True)
class _Source:
    """One relation in a FROM clause.

    :param name: what a qualifier calls it
    :param columns: its columns under their present names, None when unknown
    :param aliased: it goes by another name than the table's
    :param inserted: which relation it is depends on text inserted at run time
    """

    name: str
    columns: frozenset[str] | None = None
    legacy: Renames | None = None
    target: Renames | None = None
    aliased: bool = True
    inserted: bool = False

    def has(self, column: str) -> bool | None:
        return None if self.columns is None else column in self.columns


@dataclass
class _Frame:
    """The relations that one query level sees, its outer level, and the CTEs in force."""

    outer: _Frame | None
    ctes: dict[str, _Source]
    sources: list[_Source] = field(default_factory=list)

    def chain(self) -> Iterator[_Frame]:
        frame: _Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.outer

    def find(self, name: str) -> _Source | None:
        for frame in self.chain():
            for source in frame.sources:
                if source.name == name:
                    return source
        return None


@dataclass(frozen=True)
class _Mark:
    start: int
    end: int
    outcome: Outcome
    reason: str
    new: str | None = None


_COMPARISONS = (exp.Predicate, exp.In, exp.Between)
_VALUE_PARENTS = (exp.Cast, exp.Paren, exp.Interval, exp.Neg)
_CLAUSE_ENDS = words(
    """FROM WHERE GROUP HAVING ORDER LIMIT OFFSET UNION EXCEPT INTERSECT WINDOW FETCH FOR INTO
    , ;"""
)
_LIST_STARTS = words(", SELECT RETURNING DISTINCT ALL")


class _Statement:
    """The work on one statement: resolves each name, and gathers what is to be done.

    The only mutable object in this module; nobody sees it but `rewrite`.
    """

    def __init__(
        self,
        text: str,
        names: Names,
        fixed: Sequence[tuple[int, int]],
        percent_inserts: bool,
    ) -> None:
        self.text = text
        self.names = names
        self.fixed = fixed
        self.segments = _segments(text, percent_inserts)
        self.holes = [s for s in self.segments if s.kind is Kind.HOLE]
        self.masked = text
        self.marks: list[_Mark] = []
        self.edits: list[Edit] = []
        self.notes: list[Note] = []
        self.blockers: list[str] = []
        self.changes: list[Callable[[], object]] = []
        self.legacy = False

    def result(self) -> SqlResult:
        tree = self._parse()
        if tree is None:
            return self._listed("this could not be read as SQL", parsed=False)
        self.statement(tree)
        self.legacy = self.legacy or any(m.outcome is Outcome.CHANGED for m in self.marks)
        self._check_holes(tree)
        self._check_fixed()
        self._check_leftovers()
        if self.legacy and self.edits and not self.blockers:
            self._verify(tree)
        if self.blockers:
            return self._listed(self.blockers[0])
        return SqlResult(
            tuple(self.edits),
            tuple(self._finding(hit) for hit in self.names.find(self.text)),
            tuple(self.notes),
            reads_legacy=self.legacy,
        )

    # -- reading ---------------------------------------------------------------------------

    def _parse(self) -> exp.Expr | None:
        for masked in lexer.masks(self.text, self.segments):
            tree = _parse_one(masked)
            if tree is not None:
                self.masked = masked
                return tree
        return None

    def _verify(self, tree: exp.Expr) -> None:
        """Compare the rewritten text, parsed again, with the tree after the same renames."""
        for change in self.changes:
            change()
        try:
            again = _parse_one(apply(self.masked, self.edits))
        except ValueError:
            again = None
        if again != tree:
            self.blockers.append("the rewritten SQL would not mean the same")

    # -- accounting ------------------------------------------------------------------------

    def _listed(self, reason: str, *, parsed: bool = True) -> SqlResult:
        """Return the result for a statement that stays as it is."""
        findings = []
        for hit in self.names.find(self.text):
            found = self._finding(hit, reason)
            if found.outcome is Outcome.CHANGED:
                found = found.left(f"left as it is: {reason}")
            findings.append(found)
        notes = tuple(self.notes) if parsed else ()
        return SqlResult((), tuple(findings), notes, parsed, self.legacy)

    def _finding(self, hit: NameHit, reason: str | None = None) -> Finding:
        for mark in self.marks:
            if mark.start <= hit.start and hit.end <= mark.end:
                return Finding(
                    hit.start, hit.end, hit.name, hit.kind, mark.outcome, mark.reason, mark.new
                )
        outcome, why = self._unmarked(hit, reason)
        return Finding(hit.start, hit.end, hit.name, hit.kind, outcome, why)

    def _unmarked(self, hit: NameHit, reason: str | None) -> tuple[Outcome, str]:
        kind = self._segment(hit)
        if kind is Kind.COMMENT:
            if hit.kind == "column":
                return Outcome.UNRELATED, "a comment in SQL"
            return Outcome.LOOK, "a comment in SQL names the legacy table"
        if kind is Kind.PARAMETER:
            return Outcome.UNRELATED, "the name of a parameter"
        if kind is Kind.HOLE:
            return Outcome.UNRELATED, "the name of an inserted value"
        if kind is Kind.DOLLAR:
            return Outcome.LOOK, "inside a dollar-quoted text, which is not read"
        if kind is Kind.STRING:
            if hit.kind == "column" and not self._names_something(hit):
                return Outcome.UNRELATED, "a value in SQL"
            return Outcome.LOOK, "named inside a SQL string, perhaps as regclass or sequence"
        if hit.kind == "derived":
            if reason is None and not looks_derived(hit.name, self.names):
                return Outcome.UNRELATED, "another name that holds the table's"
            return Outcome.LOOK, "a sequence, constraint or index may follow the legacy name"
        if self._is_keyword(hit):
            return Outcome.UNRELATED, "a keyword of SQL"
        if reason is not None:
            return Outcome.LOOK, reason
        if hit.kind == "column" and not self.legacy:
            return Outcome.UNRELATED, "the statement does not read the legacy table"
        return Outcome.LOOK, "its role in the statement is not understood"

    def _is_keyword(self, hit: NameHit) -> bool:
        quoted = self.text[hit.start - 1 : hit.start] == '"'
        return not quoted and is_reserved(hit.name)

    def _segment(self, hit: NameHit) -> Kind | None:
        for segment in self.segments:
            if segment.start <= hit.start < segment.end and segment.kind is not Kind.QUOTED:
                return segment.kind
        return None

    def _names_something(self, hit: NameHit) -> bool:
        """Tell whether a SQL string might be the name of a column, not a value."""
        segment = next(s for s in self.segments if s.start <= hit.start < s.end)
        content = self.text[segment.start : segment.end].strip("'eE")
        before = self.text[: segment.start].rstrip()
        is_alone = content.lower() == hit.name.lower()
        return (
            is_alone
            and before.endswith(",")
            and any(h.kind != "column" for h in self.names.find(before[-200:]))
        )

    def _check_leftovers(self) -> None:
        """A name in the code that was not resolved leaves the whole statement alone."""
        if not self.legacy:
            return
        for hit in self.names.find(self.text):
            if self._segment(hit) is not None or hit.kind == "derived" or self._is_keyword(hit):
                continue
            if not any(m.start <= hit.start and hit.end <= m.end for m in self.marks):
                self.blockers.append(f"the role of {hit.name!r} in the statement is not understood")

    def _check_fixed(self) -> None:
        for edit in self.edits:
            if any(start < edit.end and edit.start < end for start, end in self.fixed):
                self.blockers.append("a constant that is inserted here uses legacy names")

    def _check_holes(self, tree: exp.Expr) -> None:
        """Text inserted at run time is let pass only where it can be nothing but a value."""
        if not self.holes:
            return
        harmless: set[int] = set()
        for identifier in tree.find_all(exp.Identifier):
            start = cast("int | None", identifier.meta.get("start"))
            hole = next((h for h in self.holes if h.start == start), None)
            if hole is not None and _is_harmless(identifier):
                harmless.add(hole.start)
        for hole in self.holes:
            if hole.start not in harmless:
                self.blockers.append("text inserted at run time may use legacy names")
                return

    # -- what is to be done ------------------------------------------------------------------

    def block(self, reason: str) -> None:
        self.blockers.append(reason)

    def span(self, identifier: exp.Identifier) -> tuple[int, int] | None:
        """Return where an identifier stands, or None when the parser lost it."""
        start, end = identifier.meta.get("start"), identifier.meta.get("end")
        if start is None or end is None:
            return None
        written = self.masked[start : end + 1]
        plain = written[1:-1].replace('""', '"') if written.startswith('"') else written
        return (start, end + 1) if plain == identifier.name else None

    def mark(self, identifier: exp.Expr | None, reason: str, *, look: bool = False) -> None:
        """Note that an identifier is none of ours, or not clearly so."""
        if isinstance(identifier, exp.Identifier) and (span := self.span(identifier)):
            outcome = Outcome.LOOK if look else Outcome.UNRELATED
            self.marks.append(_Mark(*span, outcome, reason))

    def rename(
        self, identifier: exp.Identifier, new: str, reason: str, *, output: str = ""
    ) -> None:
        """Replace an identifier; `output` is what follows it, an alias or nothing."""
        span = self.span(identifier)
        if span is None:
            self.block(f"the place of {identifier.name!r} is not known")
            return
        written, quoted = quote(new, keep_quotes=bool(identifier.args.get("quoted")))
        self.edits.append(Edit(*span, written + output, reason))
        self.marks.append(_Mark(*span, Outcome.CHANGED, reason, written + output))

        def change() -> None:
            identifier.set("this", new)
            identifier.set("quoted", quoted)

        self.changes.append(change)

    def note(self, node: exp.Expr, identifier: exp.Identifier, column: ColumnRename) -> None:
        span = self.span(identifier)
        if span is None or column.converted is None:
            return
        other = _compared_with(node)
        text = f"{other}; {column.converted}" if other else column.converted
        self.notes.append(Note(*span, identifier.name, text))

    # -- statements --------------------------------------------------------------------------

    def statement(self, tree: exp.Expr) -> None:
        root = _Frame(None, {})
        if isinstance(tree, exp.Query | exp.Insert | exp.Update | exp.Delete):
            self.query(tree, root, _Use.NAMED)
        elif isinstance(tree, exp.Create) and isinstance(tree.expression, exp.Query):
            self._created(tree.this)
            self.query(tree.expression, root, _Use.NAMED)
        elif isinstance(tree, exp.Copy):
            self._copy(tree, root)
        elif isinstance(tree, exp.TruncateTable):
            for table in tree.expressions:
                self.relation(table, root, root)
        else:
            self.block("statements of this kind are not rewritten")

    def _created(self, made: exp.Expr | None) -> None:
        table = made.this if isinstance(made, exp.Schema) else made
        if isinstance(table, exp.Table) and self._classify(table, {}).legacy:
            self.block("it creates a relation under the legacy name")
        if isinstance(made, exp.Schema):
            for column in made.expressions:
                self.mark(column, "a column of what is created")

    def _copy(self, tree: exp.Copy, root: _Frame) -> None:
        if any("header" in str(p).lower() for p in tree.args.get("params") or ()):
            self.block("COPY with a header shows the names of the columns")
        this = tree.this
        if isinstance(this, exp.Subquery):
            self.query(this, root, _Use.IGNORED)
        elif isinstance(this, exp.Schema) and isinstance(this.this, exp.Table):
            frame = _Frame(root, {})
            self.relation(this.this, frame, root)
            self._column_list(this.expressions, frame.sources[0])
        else:
            self.block("COPY without a list of columns")

    def query(self, node: exp.Expr, outer: _Frame, use: _Use) -> frozenset[str] | None:
        """Resolve a query or a statement; return the names of its outputs, None if unknown."""
        if isinstance(node, exp.Subquery):
            for key in ("order", "limit", "offset"):
                self.children(node.args.get(key), outer)
            return self.query(node.this, self._with(node, outer), use)
        frame = self._with(node, outer)
        if isinstance(node, exp.Select):
            return self._select(node, frame, use)
        if isinstance(node, exp.SetOperation):
            outputs = self.query(node.this, frame, use)
            second = use if use is _Use.EXISTENCE else _Use.IGNORED
            self.query(node.expression, frame, second)
            for ordered in _ordered(node):
                self._only_output(ordered, frame)
            self.children(node.args.get("limit"), frame)
            self.children(node.args.get("offset"), frame)
            return outputs
        if isinstance(node, exp.Insert):
            return self._insert(node, frame)
        if isinstance(node, exp.Update):
            return self._update(node, frame)
        if isinstance(node, exp.Delete):
            return self._delete(node, frame)
        if isinstance(node, exp.Values):
            self.children(node, frame)
            return None
        self.block("a statement of this kind inside another is not understood")
        return None

    def _with(self, node: exp.Expr, outer: _Frame) -> _Frame:
        """Return the frame for a query after its WITH clause, whose parts see earlier ones."""
        clause = node.args.get("with_")
        frame = _Frame(outer, dict(outer.ctes))
        if not isinstance(clause, exp.With):
            return frame
        for cte in clause.expressions:
            name, given = _alias(cte)
            self.mark(name, "the name of a common table expression")
            for column in given or ():
                self.mark(column, "a column of a common table expression")
            assert isinstance(name, exp.Identifier)
            known = _folded(given)
            seen = _Frame(outer, dict(frame.ctes))
            key = fold(name.name, bool(name.args.get("quoted")))
            if clause.args.get("recursive"):
                seen.ctes[key] = _Source(key, known)
            use = _Use.IGNORED if known else _Use.NAMED
            outputs = self.query(cte.this, seen, use)
            frame.ctes[key] = _Source(key, known or outputs)
        return frame

    def _select(self, node: exp.Select, frame: _Frame, use: _Use) -> frozenset[str] | None:
        from_ = node.args.get("from_")
        if isinstance(from_, exp.From):
            self.relation(from_.this, frame, frame.outer)
        self._joins(node, frame)
        for lateral in node.args.get("laterals") or ():
            self.relation(lateral, frame, frame)
        outputs = _outputs(node.expressions)
        self._projections(node.expressions, frame, use)
        for ordered in _ordered(node):
            self._by_output_first(ordered, node.expressions, frame)
        distinct = node.args.get("distinct")
        if isinstance(distinct, exp.Distinct) and isinstance(distinct.args.get("on"), exp.Expr):
            on = distinct.args["on"]
            for item in on.expressions if isinstance(on, exp.Tuple) else (on,):
                self._by_output_first(item, node.expressions, frame)
        for lock in node.args.get("locks") or ():
            self._lock(lock, frame)
        self._grouped(node, outputs, frame)
        done = {"from_", "joins", "laterals", "expressions", "order", "distinct", "locks", "with_"}
        for key, value in node.args.items():
            if key not in done:
                self.children(value, frame)
        return outputs

    def _grouped(self, node: exp.Select, outputs: frozenset[str] | None, frame: _Frame) -> None:
        """GROUP BY takes a bare name as an output's only while no relation has such a column."""
        group = node.args.get("group")
        for item in group.expressions if isinstance(group, exp.Group) else ():
            if isinstance(item, exp.Column) and _is_bare(item):
                name = _name(item.this)
                captured = any(_captures(source, name) for source in frame.sources)
                if captured and (outputs is None or name in outputs):
                    self.block(f"{name!r} would become a column of the target table as well")

    def _lock(self, lock: exp.Expr, frame: _Frame) -> None:
        for table in lock.expressions:
            if isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier):
                self._qualifier(table.this, frame)

    def _insert(self, node: exp.Insert, frame: _Frame) -> frozenset[str] | None:
        this = node.this
        table = this.this if isinstance(this, exp.Schema) else this
        if not isinstance(table, exp.Table):
            self.block("the target of INSERT is not understood")
            return None
        inside = _Frame(frame.outer, frame.ctes)
        self.relation(table, inside, frame, is_target=True)
        target = inside.sources[0]
        if isinstance(this, exp.Schema):
            self._column_list(this.expressions, target)
        elif target.legacy and not node.args.get("default"):
            self.block("INSERT without a list of columns")
        if isinstance(node.expression, exp.Expr):
            self.query(node.expression, frame, _Use.IGNORED)
        conflict = node.args.get("conflict")
        if isinstance(conflict, exp.OnConflict):
            self._conflict(conflict, inside, target)
        return self._returning(node, inside)

    def _conflict(self, conflict: exp.OnConflict, frame: _Frame, target: _Source) -> None:
        constraint = conflict.args.get("constraint")
        if target.legacy and constraint is not None:
            self.block("ON CONFLICT names a constraint, which the target may not have")
        excluded = replace(target, name="excluded", aliased=True)
        both = _Frame(frame.outer, frame.ctes, [target, excluded])
        for assignment in conflict.expressions:
            self._assignment(assignment, target, both)
        self.children(conflict.args.get("where"), both)
        done = {"expressions", "where", "constraint"}
        for key, value in conflict.args.items():
            if key not in done:
                self.children(value, frame)

    def _update(self, node: exp.Update, frame: _Frame) -> frozenset[str] | None:
        if not isinstance(node.this, exp.Table) or not node.expressions:
            self.block("UPDATE without SET")
            return None
        self.relation(node.this, frame, frame.outer, is_target=True)
        target = frame.sources[0]
        self._joins(node, frame)
        from_ = node.args.get("from_")
        if isinstance(from_, exp.From):
            self.relation(from_.this, frame, frame.outer)
        for assignment in node.expressions:
            self._assignment(assignment, target, frame)
        done = {"this", "expressions", "from_", "returning", "with_", "joins"}
        for key, value in node.args.items():
            if key not in done:
                self.children(value, frame)
        return self._returning(node, frame)

    def _delete(self, node: exp.Delete, frame: _Frame) -> frozenset[str] | None:
        if not isinstance(node.this, exp.Table):
            self.block("the target of DELETE is not understood")
            return None
        self.relation(node.this, frame, frame.outer, is_target=True)
        for using in node.args.get("using") or ():
            self.relation(using, frame, frame.outer)
        done = {"this", "using", "returning", "with_"}
        for key, value in node.args.items():
            if key not in done:
                self.children(value, frame)
        return self._returning(node, frame)

    def _returning(self, node: exp.Expr, frame: _Frame) -> frozenset[str] | None:
        returning = node.args.get("returning")
        if not isinstance(returning, exp.Returning):
            return frozenset()
        self._projections(returning.expressions, frame, _Use.NAMED)
        return _outputs(returning.expressions)

    def _assignment(self, node: exp.Expr, target: _Source, frame: _Frame) -> None:
        if not isinstance(node, exp.EQ):
            self.block("an assignment is not understood")
            return
        left = node.this
        for column in left.expressions if isinstance(left, exp.Tuple) else (left,):
            if isinstance(column, exp.Column) and not column.args.get("table"):
                self._column_of(column, column.this, target)
            elif target.legacy:
                self.block("the left side of an assignment is more than a column")
        self.expression(node.expression, frame)

    def _column_list(self, columns: Iterable[exp.Expr], target: _Source) -> None:
        for column in columns:
            if isinstance(column, exp.Identifier):
                self._column_of(column, column, target)
            elif target.legacy:
                self.block("a list of columns holds more than names")

    # -- relations -----------------------------------------------------------------------------

    def _joins(self, node: exp.Expr, frame: _Frame) -> None:
        joins = node.args.get("joins") or ()
        for join in joins:
            self.relation(join.this, frame, frame)
        for join in joins:
            mixes = any(source.legacy for source in frame.sources)
            if join.args.get("method") == "NATURAL" and mixes:
                self.block("NATURAL JOIN pairs columns by name")
            for identifier in join.args.get("using") or ():
                self._joined_by(identifier, frame)
            self.children(join.args.get("on"), frame)

    def _joined_by(self, node: exp.Expr, frame: _Frame) -> None:
        identifier = node.this if isinstance(node, exp.Column) else node
        if not isinstance(identifier, exp.Identifier):
            self.block("USING is not understood")
            return
        name = _name(identifier)
        for source in frame.sources:
            column = source.legacy.by_legacy.get(name) if source.legacy else None
            if column is not None and column.matters:
                self.block(f"USING pairs {name!r} with a column of another table by name")
                return
        self.mark(identifier, "USING, not over the legacy table")

    def relation(
        self, node: exp.Expr, frame: _Frame, outer: _Frame | None, *, is_target: bool = False
    ) -> None:
        """Add what one item of a FROM clause offers to a frame.

        :param outer: what the item itself sees (the level outside, or LATERAL its neighbours)
        """
        outside = outer or _Frame(None, frame.ctes)
        if isinstance(node, exp.Table):
            self._table(node, frame, outside, is_target=is_target)
            return
        name, given = _alias(node)
        self.mark(name, "an alias")
        for column in given or ():
            self.mark(column, "a column of an alias")
        key = _name(name) if isinstance(name, exp.Identifier) else ""
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            # Parentheses around a join; under an alias of their own the names inside are hidden.
            before = len(frame.sources)
            self.relation(node.this, frame, outer)
            if key:
                if any(s.legacy for s in frame.sources[before:]):
                    self.block("an alias over a join hides the legacy table")
                frame.sources[before:] = [_Source(key)]
            return
        columns: frozenset[str] | None = None
        if isinstance(node, exp.Subquery):
            # A sub-select in FROM sees its neighbours only when LATERAL.
            columns = self.query(node, _Frame(frame.outer, frame.ctes), _Use.NAMED)
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            columns = self.query(node.this, frame, _Use.NAMED)
        elif isinstance(node, exp.Lateral):
            self.children(node.this, frame)
        else:
            for arg, value in node.args.items():
                if arg != "alias":
                    self.children(value, frame)
        frame.sources.append(_Source(key, _folded(given) or columns))

    def _table(self, node: exp.Table, frame: _Frame, outside: _Frame, *, is_target: bool) -> None:
        alias, given = _alias(node)
        self.mark(alias, "an alias")
        for column in given or ():
            self.mark(column, "a column of an alias")
        if not isinstance(node.this, exp.Identifier):
            # A function in FROM sees the relations before it.
            self.children(node.this, frame)
            key = _name(alias) if isinstance(alias, exp.Identifier) else ""
            frame.sources.append(_Source(key, _folded(given)))
            return
        source = self._classify(node, {} if is_target else frame.ctes)
        if isinstance(alias, exp.Identifier):
            source = replace(source, name=_name(alias), aliased=True)
        if given:
            if source.legacy:
                self.block("an alias renames the columns of the legacy table")
            source = replace(source, columns=_folded(given))
        if any(h.start == node.this.meta.get("start") for h in self.holes):
            source = replace(source, inserted=True)
        frame.sources.append(source)
        if source.legacy:
            self._rename_table(node, source, frame)
        elif node.this.name:
            self.mark(node.this, "another relation")
        self._joins(node, frame)
        sample = node.args.get("sample")
        self.children(sample, outside)

    def _classify(self, node: exp.Table, ctes: dict[str, _Source]) -> _Source:
        """Return which relation a table's name means."""
        assert isinstance(node.this, exp.Identifier)
        name = _name(node.this)
        db = node.args.get("db")
        schema = _name(db) if isinstance(db, exp.Identifier) else None
        if schema is None and name in ctes:
            return replace(ctes[name], name=name)
        legacy = [
            r for r in self.names.for_table(name) if schema is None or schema == r.legacy_schema
        ]
        target = [
            r for r in self.names.for_target(name) if schema is None or schema == r.target_schema
        ]
        if len(legacy) > 1:
            self.block(f"{name!r} is a legacy table in several schemas")
        if legacy:
            self.legacy = True
            return _Source(name, frozenset(legacy[0].by_legacy), legacy=legacy[0], aliased=False)
        if target:
            known = frozenset(target[0].target_columns) or None
            return _Source(name, known, target=target[0], aliased=False)
        if schema is not None and any(
            h.start == db.meta.get("start") for h in self.holes if isinstance(db, exp.Identifier)
        ):
            return _Source(name, inserted=True, aliased=False)
        return _Source(name, self.names.columns_of(schema, name), aliased=False)

    def _rename_table(self, node: exp.Table, source: _Source, frame: _Frame) -> None:
        renames = source.legacy
        identifier = node.this
        assert renames is not None
        assert isinstance(identifier, exp.Identifier)
        taken = [s for s in frame.sources if s is not source and s.name == renames.target_table]
        if (taken and not source.aliased) or renames.target_table in frame.ctes:
            self.block(f"the name {renames.target_table!r} is in use in the statement")
        reason = f"{renames.legacy_title} is now {renames.target_schema}.{renames.target_table}"
        db = node.args.get("db")
        if node.args.get("catalog"):
            self.block("the table's name begins with a database")
        if isinstance(db, exp.Identifier):
            if renames.target_schema != renames.legacy_schema:
                self.rename(db, renames.target_schema, "the schema changes")
            else:
                self.mark(db, "a schema")
        elif renames.target_schema != renames.legacy_schema:
            self._rename_with_schema(node, identifier, renames, reason)
            return
        if renames.target_table != renames.legacy_table:
            self.rename(identifier, renames.target_table, reason)
        else:
            self.mark(identifier, "the table keeps its name")

    def _rename_with_schema(
        self, node: exp.Table, identifier: exp.Identifier, renames: Renames, reason: str
    ) -> None:
        """An unqualified name becomes a qualified one, as the schema may not be searched."""
        span = self.span(identifier)
        if span is None:
            self.block(f"the place of {identifier.name!r} is not known")
            return
        schema, schema_quoted = quote(renames.target_schema)
        written, quoted = quote(
            renames.target_table, keep_quotes=bool(identifier.args.get("quoted"))
        )
        new = f"{schema}.{written}"
        self.edits.append(Edit(*span, new, reason))
        self.marks.append(_Mark(*span, Outcome.CHANGED, reason, new))

        def change() -> None:
            identifier.set("this", renames.target_table)
            identifier.set("quoted", quoted)
            node.set("db", exp.to_identifier(renames.target_schema, quoted=schema_quoted))

        self.changes.append(change)

    # -- expressions ---------------------------------------------------------------------------

    def children(self, value: object, frame: _Frame) -> None:
        """Resolve what stands in one argument of a node: nothing, a node, or a list of them."""
        if isinstance(value, exp.Expr):
            self.expression(value, frame)
        elif isinstance(value, list):
            for item in value:
                self.children(item, frame)

    def expression(self, node: exp.Expr, frame: _Frame) -> None:
        if isinstance(node, exp.Column):
            self._column(node, frame)
        elif isinstance(node, exp.Exists):
            if isinstance(node.this, exp.Query):
                self.query(node.this, frame, _Use.EXISTENCE)
            else:
                self.children(node.this, frame)
        elif isinstance(node, exp.In) and isinstance(node.args.get("query"), exp.Expr):
            self.expression(node.this, frame)
            self.query(node.args["query"], frame, _Use.IGNORED)
        elif isinstance(node, exp.Query):
            self.query(node, frame, _Use.NAMED)
        elif isinstance(node, exp.Alias):
            self.mark(node.args.get("alias"), "the name of an output")
            self.expression(node.this, frame)
        elif isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
            return
        elif isinstance(node, exp.Star):
            if any(source.legacy for source in frame.sources):
                self.block("* shows all columns of the table, under their names")
        else:
            for value in node.args.values():
                self.children(value, frame)

    def _projections(self, items: Sequence[exp.Expr], frame: _Frame, use: _Use) -> None:
        for item in items:
            if isinstance(item, exp.Star) and use is _Use.EXISTENCE:
                continue
            column = _named_after(item) if use is _Use.NAMED else None
            if column is None or not isinstance(column.this, exp.Identifier):
                self.expression(item, frame)
                continue
            self.expression(item, frame)
            start = column.this.meta.get("start")
            for edit in [e for e in self.edits if e.start == start]:
                self._keep_output_name(item, column, edit)

    def _keep_output_name(self, item: exp.Expr, column: exp.Column, edit: Edit) -> None:
        """Give a renamed column its legacy name back as the name of the output."""
        identifier = column.this
        assert isinstance(identifier, exp.Identifier)
        if _name(identifier) == fold(_bare(edit.new), edit.new.startswith('"')):
            return
        written = self.text[edit.start : edit.end]
        output = f" AS {written}"
        if item is column:
            self._replace(edit, edit.new + output)
        else:
            end = self._end_of_projection(edit.start, edit.end)
            if end is None:
                self.block("the output's name follows the column in a way not understood")
                return
            self.edits.append(Edit(end, end, output, "the output keeps its name"))
        alias = exp.Identifier(this=identifier.name, quoted=bool(identifier.args.get("quoted")))

        def change() -> None:
            item.replace(exp.Alias(this=item.copy(), alias=alias))

        self.changes.append(change)

    def _replace(self, edit: Edit, new: str) -> None:
        self.edits[self.edits.index(edit)] = replace(edit, new=new)
        self.marks = [
            replace(m, new=new) if (m.start, m.end) == (edit.start, edit.end) else m
            for m in self.marks
        ]

    def _end_of_projection(self, start: int, end: int) -> int | None:
        """Return where the item of a select list ends that holds a name at `start:end`."""
        tokens = tokenize(self.masked, read=DIALECT)
        at = next((i for i, t in enumerate(tokens) if t.start == start), None)
        if at is None:
            return None
        opened = closed = 0
        for token in reversed(tokens[:at]):
            if token.text == ")":
                closed += 1
            elif token.text == "(":
                closed, opened = (closed - 1, opened) if closed else (0, opened + 1)
            elif not closed and token.text.upper() in _LIST_STARTS:
                break
        depth, last = 0, end
        for token in tokens[at + 1 :]:
            if token.text in ("(", "["):
                depth += 1
            elif token.text in (")", "]"):
                depth -= 1
                if depth < -opened:
                    break
            elif depth <= -opened and token.text.upper() in _CLAUSE_ENDS:
                break
            last = token.end + 1
        return last

    def _by_output_first(
        self, node: exp.Expr, projections: Sequence[exp.Expr], frame: _Frame
    ) -> None:
        """ORDER BY and DISTINCT ON take a bare name as that of an output, if there is one."""
        column = node.this if isinstance(node, exp.Ordered) else node
        if not (isinstance(column, exp.Column) and _is_bare(column)):
            self.expression(node, frame)
            return
        outputs = {_output_name(item) for item in projections}
        if _name(column.this) in outputs:
            self.mark(column.this, "the name of an output")
            return
        before = len(self.edits)
        self._column(column, frame)
        for edit in self.edits[before:]:
            if fold(_bare(edit.new), edit.new.startswith('"')) in outputs:
                self.block(f"{edit.new} would mean an output of that name")

    def _only_output(self, node: exp.Expr, frame: _Frame) -> None:
        column = node.this if isinstance(node, exp.Ordered) else node
        if isinstance(column, exp.Column) and _is_bare(column):
            self.mark(column.this, "the name of an output")
        else:
            self.expression(node, frame)

    # -- columns -------------------------------------------------------------------------------

    def _column(self, node: exp.Column, frame: _Frame) -> None:
        table = node.args.get("table")
        if isinstance(table, exp.Identifier):
            self._qualified(node, table, frame)
        elif isinstance(node.this, exp.Star):
            self.expression(node.this, frame)
        elif isinstance(node.this, exp.Identifier):
            self._bare_column(node, node.this, frame)
        else:
            self.children(node.this, frame)

    def _qualified(self, node: exp.Column, table: exp.Identifier, frame: _Frame) -> None:
        source = frame.find(_name(table))
        db = node.args.get("db")
        if isinstance(node.this, exp.Star):
            if source is not None and source.legacy:
                self.block("* shows all columns of the table, under their names")
            self.mark(table, "another relation")
            return
        if not isinstance(node.this, exp.Identifier):
            self.children(node.this, frame)
            return
        if source is None:
            self.mark(table, "no relation of this name in the statement", look=True)
            if self._matters(_name(node.this)):
                self.block(f"no relation {table.name!r} in the statement")
            return
        if source.legacy and isinstance(db, exp.Identifier):
            if _name(db) != source.legacy.legacy_schema:
                self.block(f"{db.name!r} is not the schema of the legacy table")
            elif source.legacy.target_schema != source.legacy.legacy_schema:
                self.rename(db, source.legacy.target_schema, "the schema changes")
        self._qualifier(table, frame)
        if source.inserted and self._matters(_name(node.this)):
            self.mark(node.this, "the table is inserted at run time", look=True)
            return
        self._column_of(node, node.this, source)

    def _qualifier(self, identifier: exp.Identifier, frame: _Frame) -> None:
        source = frame.find(_name(identifier))
        if source is None or not source.legacy or source.aliased:
            self.mark(identifier, "an alias or another relation")
        elif source.legacy.target_table != source.legacy.legacy_table:
            self.rename(identifier, source.legacy.target_table, "the table's name as a qualifier")
        else:
            self.mark(identifier, "the table keeps its name")

    def _bare_column(self, node: exp.Column, identifier: exp.Identifier, frame: _Frame) -> None:
        name = _name(identifier)
        whole = frame.find(name)
        if whole is not None and whole.legacy and not whole.has(name):
            self.block("a whole row of the table is used as a value")
            return
        everything = [source for level in frame.chain() for source in level.sources]
        if any(_captures(source, name) for source in everything):
            if any(s.has(name) is not False for s in everything):
                self.block(f"{name!r} would become a column of the target table as well")
            else:
                self.mark(identifier, "no table has it now: a name of the target already")
            return
        passed: list[_Source] = []
        for level in frame.chain():
            having = [s for s in level.sources if s.has(name)]
            unknown = [s for s in level.sources if s.has(name) is None]
            if having or unknown:
                self._among(
                    node, identifier, having=having, unknown=unknown, level=level, passed=passed
                )
                return
            passed += level.sources
        self.mark(identifier, "no column of the legacy table")

    def _among(
        self,
        node: exp.Column,
        identifier: exp.Identifier,
        *,
        having: list[_Source],
        unknown: list[_Source],
        level: _Frame,
        passed: list[_Source],
    ) -> None:
        """Decide between the relations of one level that may have a bare column."""
        name = _name(identifier)
        legacy = [s for s in having if s.legacy]
        beyond = list(level.outer.chain()) if level.outer else []
        if not legacy:
            outside = any(s.legacy and s.has(name) for f in beyond for s in f.sources)
            if not having and outside and self._matters(name):
                self.block(f"{name!r} may be a column of the legacy table or of another one")
            elif any(s.inserted for s in unknown):
                self.mark(identifier, "the table is inserted at run time", look=True)
            elif having and having[0].target:
                self._column_of(node, identifier, having[0])
            else:
                self.mark(identifier, "a column of another relation")
            return
        renames = legacy[0].legacy
        column = renames.by_legacy[name] if renames else None
        if column is None or not column.matters:
            return
        if len(having) > 1 or unknown:
            others = ", ".join(s.name or "a relation" for s in (*having, *unknown) if not s.legacy)
            self.block(f"{name!r} may be a column of {others or 'the table under another name'}")
            return
        neighbours = [s for s in (*level.sources, *passed) if s is not legacy[0]]
        if column.target is not None and any(s.has(column.target) for s in neighbours):
            self.block(f"{column.target!r} is also a column of another relation here")
            return
        self._column_of(node, identifier, legacy[0])

    def _column_of(self, node: exp.Expr, identifier: exp.Identifier, source: _Source) -> None:
        """Rename a column that is known to be one of `source`."""
        name = _name(identifier)
        if source.target is not None:
            self.mark(identifier, "a column of the target table")
            if (converted := source.target.converted_by_target.get(name)) is not None:
                self.note(node, identifier, converted)
            return
        if source.legacy is None:
            self.mark(identifier, f"a column of {source.name or 'another relation'}")
            return
        column = source.legacy.by_legacy.get(name)
        if column is None or not column.matters:
            return
        if column.target is None:
            self.block(f"{name!r} has no single counterpart in the target table")
            return
        if column.target == name:
            other = _compared_with(node)
            told = f"{other}; {column.converted}" if other else column.converted
            self.mark(identifier, f"the name stays, but {told}", look=True)
            return
        self.note(node, identifier, column)
        reason = f"{source.legacy.legacy_table}.{name} is now {column.target}"
        self.rename(identifier, column.target, reason)

    def _matters(self, name: str) -> bool:
        return name in self.names.columns


def _captures(source: _Source, name: str) -> bool:
    """Tell whether a relation will have a column after the rewriting that it has not now."""
    legacy = source.legacy
    return legacy is not None and name in legacy.all_target_columns and not source.has(name)


def _segments(text: str, percent_inserts: bool) -> tuple[Segment, ...]:
    found = lexer.segments(text)
    if not percent_inserts:
        return found
    return tuple(
        replace(s, kind=Kind.HOLE) if s.kind is Kind.PARAMETER and text[s.start] == "%" else s
        for s in found
    )


def _parse_one(text: str) -> exp.Expr | None:
    try:
        trees = [tree for tree in parse(text, read=DIALECT) if tree is not None]
    except (SqlglotError, RecursionError):
        return None
    return trees[0] if len(trees) == 1 and not isinstance(trees[0], exp.Command) else None


def looks_derived(name: str, names: Names) -> bool:
    """Tell whether PostgreSQL makes such a name for a sequence, constraint or index of a table."""
    lowered = name.lower()
    return any(
        lowered.startswith(f"{table.lower()}_")
        and lowered.endswith(("_seq", "_pkey", "_key", "_fkey", "_check", "_idx", "_excl"))
        for table in names.tables
    )


def _name(identifier: exp.Identifier) -> str:
    return fold(identifier.name, bool(identifier.args.get("quoted")))


def _bare(written: str) -> str:
    return written[1:-1].replace('""', '"') if written.startswith('"') else written


def _alias(node: exp.Expr) -> tuple[exp.Expr | None, list[exp.Expr] | None]:
    """Return the alias of a relation and the names that it gives to the columns."""
    alias = node.args.get("alias")
    if isinstance(alias, exp.TableAlias):
        return alias.this, alias.args.get("columns")
    return (alias if isinstance(alias, exp.Identifier) else None), None


def _folded(columns: Sequence[exp.Expr] | None) -> frozenset[str] | None:
    names = [c.this if isinstance(c, exp.ColumnDef) else c for c in columns or ()]
    return frozenset(_name(n) for n in names if isinstance(n, exp.Identifier)) or None


def _is_bare(column: exp.Column) -> bool:
    return isinstance(column.this, exp.Identifier) and not column.args.get("table")


def _ordered(node: exp.Expr) -> list[exp.Expr]:
    order = node.args.get("order")
    return order.expressions if isinstance(order, exp.Order) else []


def _named_after(item: exp.Expr) -> exp.Column | None:
    """Return the column after which PostgreSQL names an output without alias."""
    node: object = item
    while isinstance(node, exp.Cast | exp.Paren | exp.Collate | exp.Bracket | exp.Case):
        node = node.args.get("default") if isinstance(node, exp.Case) else node.this
    if isinstance(node, exp.Column):
        return node
    return None


def _output_name(item: exp.Expr) -> str | None:
    if isinstance(item, exp.Alias):
        alias = item.args.get("alias")
        return _name(alias) if isinstance(alias, exp.Identifier) else None
    column = _named_after(item)
    if column is not None and isinstance(column.this, exp.Identifier):
        return _name(column.this)
    return None


def _outputs(items: Iterable[exp.Expr]) -> frozenset[str] | None:
    names = [_output_name(item) for item in items]
    return None if None in names else frozenset(n for n in names if n is not None)


def _compared_with(node: exp.Expr) -> str:
    """Say with which literals a column is compared, if with any."""
    parent = node.parent
    if not isinstance(parent, _COMPARISONS):
        return ""
    literals = [c for c in parent.iter_expressions() if isinstance(c, exp.Literal | exp.Boolean)]
    if not literals:
        return ""
    return "compared with " + ", ".join(literal.sql(DIALECT) for literal in literals)


def _is_harmless(identifier: exp.Identifier) -> bool:
    """Tell whether inserted text stands where only a value or a table's name can stand."""
    node: exp.Expr = identifier
    parent = identifier.parent
    if isinstance(parent, exp.Table):
        return identifier.arg_key == "this"
    if not isinstance(parent, exp.Column) or parent.args.get("table") is not None:
        return False
    node, parent = parent, parent.parent
    while isinstance(parent, _VALUE_PARENTS):
        node, parent = parent, parent.parent
    if isinstance(parent, exp.Tuple):
        return isinstance(parent.parent, exp.Values | exp.In)
    if isinstance(parent, exp.Limit | exp.Offset):
        return True
    if isinstance(parent, exp.In | exp.Between):
        return node.arg_key != "this"
    return isinstance(parent, exp.Predicate) and node.arg_key == "expression"
