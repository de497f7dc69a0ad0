"""The errors that a user can act on.

Whatever the tools raise on purpose derives from CompatError; anything else is a defect of ours.
"""

from __future__ import annotations


class CompatError(Exception):
    """Something that the user can put right: says what is wrong and, in `hint`, how to mend it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.hint}" if self.hint else self.message


class MappingError(CompatError):
    """A mapping contradicts itself, its tables, or a law that its rules must keep."""


class CatalogError(CompatError):
    """The database does not hold what was asked for, or holds something in its place."""


class StateError(CompatError):
    """The migration is in another phase than the step needs."""


class DataError(CompatError):
    """Rows that the mapping cannot carry over; the message names column and values."""


class ConnectionFailed(CompatError):
    """The database could not be reached, or its answer was a refusal."""
