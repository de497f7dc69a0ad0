"""What was found out about each textual hit of a legacy name: changed, unrelated, or needs a look.

Every hit ends as exactly one of the three; a note is said in addition to that, about a value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one textual hit."""

    CHANGED = "changed"
    UNRELATED = "unrelated"
    LOOK = "needs a look"


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """One textual hit of a legacy name, at `start:end` of a text.

    :param kind: table, column, or derived (a longer name that holds the table's)
    :param new: what stands there after the change; None unless changed
    """

    start: int
    end: int
    name: str
    kind: str
    outcome: Outcome
    reason: str
    new: str | None = None

    def left(self, reason: str) -> Finding:
        """Return the finding for a change that is not made after all."""
        return replace(self, outcome=Outcome.LOOK, reason=reason, new=None)


@dataclass(frozen=True, order=True, slots=True)
class Note:
    """A use of a column whose value changes: right by name, but a human must check the value."""

    start: int
    end: int
    name: str
    text: str


IGNORED = "a comment says that it stays: compat: ignore"
"""The reason of every finding that a comment has asked to ignore."""
