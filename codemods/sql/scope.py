"""Which relations a query level sees, and what is known of their columns.

Values and lookups only; `queries` fills the frames while it walks a statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from codemods.renames import Renames


class Use(Enum):
    """What becomes of the names of a query's output columns."""

    NAMED = auto()  # somebody outside reads them: they stay as they are
    RENAMED = auto()  # somebody outside reads them, and is told to read the new ones
    RELATION = auto()  # the statement around it reads them
    IGNORED = auto()  # only their order counts
    EXISTENCE = auto()  # not even that


@dataclass(frozen=True)
class Shape:
    """The output columns of a query.

    :param columns: their names, None when unknown
    :param legacy: the table whose columns a `*` hands on, under names that change with it
    :param renamed: what those become that do not keep their name
    """

    columns: frozenset[str] | None = None
    legacy: Renames | None = None
    renamed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One relation in a FROM clause.

    :param name: what a qualifier calls it
    :param columns: its columns under their present names, None when unknown
    :param legacy: the table that it is, or whose columns it hands on
    :param aliased: it goes by another name than the table's
    :param derived: it hands on columns of `legacy`, and is a query itself
    :param inserted: which relation it is depends on text inserted at run time
    """

    name: str
    columns: frozenset[str] | None = None
    legacy: Renames | None = None
    target: Renames | None = None
    aliased: bool = True
    derived: bool = False
    inserted: bool = False

    @staticmethod
    def of_query(name: str, shape: Shape, given: frozenset[str] | None = None) -> Source:
        """Return the relation that a query is.

        :param given: names of the columns, as an alias gives them
        """
        if given is not None:
            return Source(name, given)
        return Source(name, shape.columns, legacy=shape.legacy, derived=shape.legacy is not None)

    def has(self, column: str) -> bool | None:
        """Tell whether it has a column, None when that is not known."""
        return None if self.columns is None else column in self.columns

    def captures(self, name: str) -> bool:
        """Tell whether it will have a column after the rewriting that it has not now."""
        legacy = self.legacy
        return legacy is not None and name in legacy.all_target_columns and not self.has(name)


@dataclass
class Frame:
    """The relations that one query level sees, its outer level, and the CTEs in force."""

    outer: Frame | None
    ctes: dict[str, Source]
    sources: list[Source] = field(default_factory=list)

    def chain(self) -> Iterator[Frame]:
        """Yield this level and those around it, inside out."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.outer

    def find(self, name: str) -> Source | None:
        """Return the relation that a qualifier means."""
        for frame in self.chain():
            for source in frame.sources:
                if source.name == name:
                    return source
        return None
