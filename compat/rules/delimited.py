"""Several values in one text, between delimiters, for an array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import literal
from compat.rules.core import Converting, Ends
from compat.tables import STRICT


@dataclass(frozen=True, config=STRICT)
class Delimited(Converting):
    """`a,b` ↔ `{a,b}`: a legacy text with delimiters ↔ an array of its pieces, or the reverse.

    A text becomes text[] and comes back without loss; the empty text is the empty array. An array
    of v2 that could not come back as it is (an element is NULL, or holds the delimiter) still reads
    as a text, and survives an update of something else.
    """

    legacy: str
    target: str
    delimiter: str = ","
    keep: str | None = None
    rule: Literal["delimited"] = "delimited"

    def encode(self, value: str, ends: Ends) -> str:
        return self._convert(value, ends.target(self.target).type)

    def decode(self, value: str, ends: Ends) -> str:
        return self._convert(value, ends.legacy.type)

    def _convert(self, value: str, result: str) -> str:
        function = "string_to_array" if sqltypes.parse(result).array else "array_to_string"
        return f"pg_catalog.{function}({value}, {literal(self.delimiter)})::{result}"

    def loss(self, ends: Ends) -> str | None:
        target = ends.target(self.target).type
        if sqltypes.parse(ends.legacy.type).array:
            return "an element that is NULL or holds the delimiter, and bounds, are lost"
        return sqltypes.cast_loss("text", sqltypes.element(target), None, None)

    def indexable(self, ends: Ends) -> bool:
        return False  # array_to_string() is not immutable: elements may print by settings

    def problems(self, ends: Ends) -> Iterator[str]:
        yield from super().problems(ends)
        if not self.delimiter or "\0" in self.delimiter:
            yield "the delimiter is empty, or contains a NUL character"
        kinds = [sqltypes.parse(c.type) for c in (ends.legacy, ends.target(self.target))]
        if sum(kind.array for kind in kinds) != 1 or sum(kind.is_text for kind in kinds) != 1:
            yield (
                f"{ends.legacy.type} and {ends.target(self.target).type} are not a text and an "
                "array"
            )
