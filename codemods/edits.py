"""Edits by position: the only way in which this package changes a text.

An edit replaces one span; spans never overlap, so the order of finding them does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class OverlappingEdits(ValueError):
    """Two edits claim the same characters."""


@dataclass(frozen=True, order=True, slots=True)
class Edit:
    """Replace `start:end` of a text by `new`; `start == end` inserts."""

    start: int
    end: int
    new: str
    reason: str = ""

    def moved(self, by: int) -> Edit:
        """Return the same edit for a text that begins `by` characters earlier."""
        return Edit(self.start + by, self.end + by, self.new, self.reason)


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with all edits made.

    :raises OverlappingEdits: two edits want the same characters
    """
    pieces: list[str] = []
    position = 0
    for edit in sorted(set(edits)):
        if edit.start < position:
            raise OverlappingEdits(f"{edit} begins before {position}")
        pieces += (text[position : edit.start], edit.new)
        position = edit.end
    pieces.append(text[position:])
    return "".join(pieces)
