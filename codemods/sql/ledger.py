"""The account of one statement: what became of each hit, the edits, and what stands against them.

A statement is rewritten as a whole or not at all; what was rewritten is read again and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import cast

from sqlglot import exp

from codemods.edits import Edit, apply
from codemods.findings import Finding, Note, Outcome
from codemods.renames import ColumnRename, NameHit, Names, Renames
from codemods.sql import lexer, postgres
from codemods.sql.identifiers import is_reserved, quote
from codemods.sql.lexer import Kind, Segment
from codemods.sql.syntax import (
    compared_with,
    is_harmless,
    parse_one,
    regclass_casts,
    unquoted,
)


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

    def moved(self, by: int) -> SqlResult:
        """Return the same for a text that begins `by` characters earlier."""
        return replace(
            self,
            edits=tuple(e.moved(by) for e in self.edits),
            findings=tuple(replace(f, start=f.start + by, end=f.end + by) for f in self.findings),
            notes=tuple(replace(n, start=n.start + by, end=n.end + by) for n in self.notes),
        )

    def within(self, start: int, end: int) -> SqlResult:
        """Return as much of the result as lies in a part of the text."""
        return replace(
            self,
            edits=tuple(e for e in self.edits if start <= e.start <= end),
            findings=tuple(f for f in self.findings if start <= f.start <= end),
            notes=tuple(n for n in self.notes if start <= n.start <= end),
        )

    def left(self, reason: str) -> SqlResult:
        """Return the result with nothing changed."""
        findings = (f.left(reason) if f.outcome is Outcome.CHANGED else f for f in self.findings)
        return replace(self, edits=(), findings=tuple(findings))


def joined(results: Iterable[SqlResult]) -> SqlResult:
    """Return one result for those of several statements, or of several parts of a file."""
    kept = tuple(results)
    return SqlResult(
        tuple(edit for result in kept for edit in result.edits),
        tuple(finding for result in kept for finding in result.findings),
        tuple(note for result in kept for note in result.notes),
        all(result.parsed for result in kept),
        any(result.reads_legacy for result in kept),
    )


@dataclass(frozen=True)
class Mark:
    """What became of the identifier at a place of the text."""

    start: int
    end: int
    outcome: Outcome
    reason: str
    new: str | None = None


class Ledger:
    """What is known so far of one statement. Mutable; lives as long as the statement is read."""

    def __init__(
        self,
        text: str,
        names: Names,
        fixed: Sequence[tuple[int, int]] = (),
        *,
        percent_inserts: bool = False,
        variables: bool = False,
    ) -> None:
        self.text = text
        self.names = names
        self.fixed = fixed
        self.variables = variables
        self.segments = _segments(text, percent_inserts)
        self.holes = [s for s in self.segments if s.kind is Kind.HOLE]
        self.masked = text
        self.marks: list[Mark] = []
        self.edits: list[Edit] = []
        self.notes: list[Note] = []
        self.blockers: list[str] = []
        self.changes: list[Callable[[], object]] = []
        self.legacy = False

    # -- from text to tree, and from tree to result ------------------------------------------

    def parse(self) -> exp.Expr | None:
        """Return the tree of the statement, None if it cannot be read."""
        for masked in lexer.masks(self.text, self.segments):
            tree = parse_one(masked)
            if tree is not None:
                self.masked = masked
                return tree
        return None

    def settled(self, tree: exp.Expr) -> SqlResult:
        """Return the result after the whole tree was walked."""
        self._rename_in_strings(tree)
        self.legacy = self.legacy or any(m.outcome is Outcome.CHANGED for m in self.marks)
        self._check_holes(tree)
        self._check_fixed()
        self._check_leftovers()
        if self.legacy and self.edits and not self.blockers:
            self._verify(tree)
        if self.blockers:
            return self.listed(self.blockers[0])
        return SqlResult(
            tuple(self.edits),
            tuple(self._finding(hit) for hit in self.names.find(self.text)),
            tuple(self.notes),
            reads_legacy=self.legacy,
        )

    def listed(self, reason: str, *, parsed: bool = True) -> SqlResult:
        """Return the result for a statement that stays as it is."""
        findings = []
        for hit in self.names.find(self.text):
            found = self._finding(hit, reason)
            if found.outcome is Outcome.CHANGED:
                found = found.left(f"left as it is: {reason}")
            findings.append(found)
        notes = tuple(self.notes) if parsed else ()
        return SqlResult((), tuple(findings), notes, parsed, self.legacy)

    # -- what a walk reports ---------------------------------------------------------------

    def block(self, reason: str) -> None:
        """Leave the whole statement as it is."""
        self.blockers.append(reason)

    def span(self, identifier: exp.Identifier) -> tuple[int, int] | None:
        """Return where an identifier stands, or None when the parser lost it."""
        start, end = identifier.meta.get("start"), identifier.meta.get("end")
        if start is None or end is None:
            return None
        return (start, end + 1) if self._is_there(identifier, start, end + 1) else None

    def _is_there(self, identifier: exp.Identifier, start: int, end: int) -> bool:
        return unquoted(self.masked[start:end]) == identifier.name

    def mark(self, identifier: exp.Expr | None, reason: str, *, look: bool = False) -> None:
        """Note that an identifier is none of ours, or not clearly so."""
        if isinstance(identifier, exp.Identifier) and (span := self.span(identifier)):
            outcome = Outcome.LOOK if look else Outcome.UNRELATED
            self.marks.append(Mark(*span, outcome, reason))

    def rename(self, identifier: exp.Identifier, new: str, reason: str) -> None:
        """Replace an identifier by a name, quoted if it needs to be."""
        written, quoted = quote(new, keep_quotes=bool(identifier.args.get("quoted")))

        def change() -> None:
            identifier.set("this", new)
            identifier.set("quoted", quoted)

        self.replace(identifier, written, reason, change)

    def replace(
        self, identifier: exp.Identifier, written: str, reason: str, change: Callable[[], object]
    ) -> None:
        """Replace an identifier by a text.

        :param change: does the same to the tree, so that both can be compared in the end
        """
        span = self.span(identifier)
        if span is None:
            self.block(f"the place of {identifier.name!r} is not known")
            return
        self.edits.append(Edit(*span, written, reason))
        self.marks.append(Mark(*span, Outcome.CHANGED, reason, written))
        self.changes.append(change)

    def extend(self, edit: Edit, new: str) -> None:
        """Let an edit write another text than at first."""
        self.edits[self.edits.index(edit)] = replace(edit, new=new)
        self.marks = [
            replace(m, new=new) if (m.start, m.end) == (edit.start, edit.end) else m
            for m in self.marks
        ]

    def note(self, node: exp.Expr, identifier: exp.Identifier, column: ColumnRename) -> None:
        """Note that the value of a column becomes another one."""
        span = self.span(identifier)
        if span is None or column.converted is None:
            return
        other = compared_with(node)
        text = f"{other}; {column.converted}" if other else column.converted
        self.notes.append(Note(*span, identifier.name, text))

    # -- names in SQL strings --------------------------------------------------------------

    def _rename_in_strings(self, tree: exp.Expr) -> None:
        """Rename a table in strings that are cast to regclass."""
        for segment in self.segments:
            written = self.text[segment.start : segment.end]
            if segment.kind is not Kind.STRING or not self.names.mentions_table(written):
                continue
            content = written[1:-1]
            literals = regclass_casts(tree, content) if written.startswith("'") else []
            renames = self._of_path(content)
            if renames is None or not literals:
                continue
            if renames.divided is not None:
                self.block(renames.divided)
                continue
            schema, table = (quote(n)[0] for n in (renames.target_schema, renames.target_table))
            moves = renames.target_schema != renames.legacy_schema
            new = f"{schema}.{table}" if moves or "." in content else table
            reason = f"{renames.legacy_title} is now {renames.target_title}"
            new = new.replace("'", "''")
            span = (segment.start + 1, segment.end - 1)
            self.edits.append(Edit(*span, new, reason))
            self.marks.append(Mark(*span, Outcome.CHANGED, reason, new))
            self.changes += [partial(literal.set, "this", new) for literal in literals]

    def _of_path(self, written: str) -> Renames | None:
        """Return the renames of a table named in a string, with or without its schema."""
        for renames in self.names.renames:
            schema, table = (quote(n)[0] for n in (renames.legacy_schema, renames.legacy_table))
            if written in (table, f"{schema}.{table}"):
                return renames
        return None

    # -- accounting ------------------------------------------------------------------------

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
        if hit.kind == "derived" and is_sequence(hit.name, self.names):
            return Outcome.UNRELATED, "the sequence keeps its name, the target draws from it"
        if kind is Kind.STRING:
            return self._in_string(hit)
        if hit.kind == "derived":
            if reason is None and not looks_derived(hit.name, self.names):
                return Outcome.UNRELATED, "another name that holds the table's"
            return Outcome.LOOK, "a sequence, constraint or index may follow the legacy name"
        if self._is_keyword(hit):
            return Outcome.UNRELATED, "a keyword of SQL"
        if reason is not None:
            return Outcome.LOOK, reason
        if hit.kind == "column" and not self.legacy and not self._names_table:
            return Outcome.UNRELATED, "the statement does not read the legacy table"
        return Outcome.LOOK, "its role in the statement is not understood"

    @cached_property
    def _names_table(self) -> bool:
        """Whether the legacy table is named in the code, in a role that nobody has understood."""
        return any(
            hit.kind == "table"
            and self._segment(hit) is None
            and not any(m.start <= hit.start and hit.end <= m.end for m in self.marks)
            for hit in self.names.find(self.text)
        )

    def _in_string(self, hit: NameHit) -> tuple[Outcome, str]:
        segment = next(s for s in self.segments if s.start <= hit.start < s.end)
        if self.text[: segment.start].rstrip().lower().endswith("pg_get_serial_sequence("):
            return Outcome.LOOK, "until contract the view owns the sequence: name the sequence"
        if hit.kind == "column" and not self._names_something(hit, segment):
            return Outcome.UNRELATED, "a value in SQL"
        return Outcome.LOOK, "named inside a SQL string, perhaps as a relation"

    def _names_something(self, hit: NameHit, segment: Segment) -> bool:
        """Tell whether a SQL string might be the name of a column, not a value."""
        content = self.text[segment.start : segment.end].strip("'eE")
        before = self.text[: segment.start].rstrip()
        is_alone = content.lower() == hit.name.lower()
        return (
            is_alone
            and before.endswith(",")
            and any(h.kind != "column" for h in self.names.find(before[-200:]))
        )

    def _is_keyword(self, hit: NameHit) -> bool:
        quoted = self.text[hit.start - 1 : hit.start] == '"'
        return not quoted and is_reserved(hit.name)

    def _segment(self, hit: NameHit) -> Kind | None:
        for segment in self.segments:
            if segment.start <= hit.start < segment.end and segment.kind is not Kind.QUOTED:
                return segment.kind
        return None

    # -- what stands against a rewriting ---------------------------------------------------

    def _check_leftovers(self) -> None:
        """A name in the code that was not resolved leaves the whole statement alone."""
        if not self.legacy:
            return
        for hit in self.names.find(self.text):
            if self._segment(hit) is not None or hit.kind == "derived" or self._is_keyword(hit):
                continue
            if not any(m.start <= hit.start and hit.end <= m.end for m in self.marks):
                self.block(f"the role of {hit.name!r} in the statement is not understood")

    def _check_fixed(self) -> None:
        for edit in self.edits:
            if any(start < edit.end and edit.start < end for start, end in self.fixed):
                self.block("a constant that is inserted here uses legacy names")

    def _check_holes(self, tree: exp.Expr) -> None:
        """Text inserted at run time is let pass only where it can be nothing but a value."""
        if not self.holes:
            return
        harmless: set[int] = set()
        for identifier in tree.find_all(exp.Identifier):
            start = cast("int | None", identifier.meta.get("start"))
            hole = next((h for h in self.holes if h.start == start), None)
            if hole is not None and is_harmless(identifier):
                harmless.add(hole.start)
        for hole in self.holes:
            if hole.start not in harmless:
                self.block("text inserted at run time may use legacy names")
                return

    def _verify(self, tree: exp.Expr) -> None:
        """Compare the rewritten text, parsed again, with the tree after the same renames."""
        for change in self.changes:
            change()
        try:
            again = parse_one(apply(self.masked, self.edits))
        except ValueError:
            again = None
        if again != tree:
            self.block("the rewritten SQL would not mean the same")
        elif not self._holds_for_postgres():
            self.block("PostgreSQL would read the rewritten SQL in another way")

    def _holds_for_postgres(self) -> bool:
        """Ask PostgreSQL's own parser too, where it is installed and reads the text."""
        # The masks without a client's placeholders come last.
        for masked in reversed([*lexer.masks(self.text, self.segments)]):
            verdict = postgres.same_but_for(masked, self.edits)
            if verdict is not None:
                return verdict
        return True


def _segments(text: str, percent_inserts: bool) -> tuple[Segment, ...]:
    found = lexer.segments(text)
    if not percent_inserts:
        return found
    return tuple(
        replace(s, kind=Kind.HOLE) if s.kind is Kind.PARAMETER and text[s.start] == "%" else s
        for s in found
    )


def looks_derived(name: str, names: Names) -> bool:
    """Tell whether PostgreSQL makes such a name for a sequence, constraint or index of a table."""
    lowered = name.lower()
    return any(
        lowered.startswith(f"{table.lower()}_")
        and lowered.endswith(("_seq", "_pkey", "_key", "_fkey", "_check", "_idx", "_excl"))
        for table in names.tables
    )


def is_sequence(name: str, names: Names) -> bool:
    """Tell whether PostgreSQL makes such a name for the sequence of a serial column."""
    lowered = name.lower()
    return any(
        lowered == f"{renames.legacy_table}_{column.legacy}_seq".lower()
        for renames in names.renames
        for column in renames.columns
    )
