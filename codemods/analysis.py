"""What one file yields: edits and findings, and what depends on how other files define a table.

A foreign key names a column by its key, and only the table's definition says what that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from codemods.edits import Edit
from codemods.findings import Finding, Note, Outcome


class Style(Enum):
    """How SQLAlchemy knows the columns of a table that was rewritten."""

    DECLARATIVE = "declarative"  # by the name in the database
    CORE = "core"  # by `key=`, which keeps the legacy name


class State(Enum):
    """What became of a definition."""

    REWRITTEN = "rewritten"
    LEFT = "left as it is"
    TARGET = "already the target"


@dataclass(frozen=True)
class Definition:
    """A class or a Table that describes a legacy table or its target."""

    renames: str
    style: Style
    state: State


@dataclass(frozen=True)
class Part:
    """Edits of one place, and what they do to the hits there."""

    edits: tuple[Edit, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()

    def left(self, reason: str) -> Part:
        """Return the part with nothing changed."""
        return Part(
            (),
            tuple(f.left(reason) if f.outcome is Outcome.CHANGED else f for f in self.findings),
            self.notes,
        )


@dataclass(frozen=True)
class Pending:
    """A reference to a legacy table by the names that its definition gives."""

    renames: str
    declarative: Part
    core: Part

    def settled(self, definitions: Iterable[Definition]) -> Part:
        """Return what to do, given all definitions in the searched paths."""
        own = [d for d in definitions if d.renames == self.renames]
        if any(d.state is State.LEFT for d in own):
            return self.declarative.left("the definition of the table was left as it is")
        styles = {d.style for d in own}
        if styles == {Style.DECLARATIVE}:
            return self.declarative
        if styles == {Style.CORE}:
            return self.core
        if not styles:
            return self.declarative.left("no definition of the table in the searched paths")
        return self.declarative.left("the table is defined in two ways")


@dataclass(frozen=True)
class Analysis:
    """What was found in one file.

    :param problem: why the file could not be read, if so
    :param is_related: it uses what stands for a legacy table, even if it does not name the table
    """

    part: Part = Part()
    definitions: tuple[Definition, ...] = ()
    pending: tuple[Pending, ...] = ()
    problem: str | None = None
    is_related: bool = False

    def settled(self, definitions: Iterable[Definition]) -> Part:
        """Return all edits and findings, given all definitions in the searched paths."""
        known = tuple(definitions)
        parts = [self.part, *(pending.settled(known) for pending in self.pending)]
        return joined(parts)


def joined(parts: Iterable[Part]) -> Part:
    """Return one part for several, in the order of the source."""
    kept = tuple(parts)
    return Part(
        tuple(sorted({e for p in kept for e in p.edits})),
        tuple(sorted((f for p in kept for f in p.findings), key=lambda f: (f.start, f.end))),
        tuple(sorted({n for p in kept for n in p.notes})),
    )
