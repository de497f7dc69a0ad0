"""Text that v2 holds in one spelling: without blanks around it, in one case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.rules.core import Converting, Ends
from compat.tables import STRICT

_TRIMS = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}
_BLANKS = {"both": "blanks around it", "leading": "leading blanks", "trailing": "trailing blanks"}


@dataclass(frozen=True, config=STRICT)
class Text(Converting):
    """Text without the blanks around it, in lower or upper case, or both.

    What is written otherwise is lost, unless `keep` remembers it. Blanks are spaces, as for TRIM;
    letters are folded as the collation of the legacy column has it.
    """

    legacy: str
    target: str
    trim: Literal["both", "leading", "trailing"] | None = None
    case: Literal["lower", "upper"] | None = None
    keep: str | None = None
    rule: Literal["text"] = "text"

    def encode(self, value: str, ends: Ends) -> str:
        if self.trim is not None:
            value = f"pg_catalog.{_TRIMS[self.trim]}({value})"
        if self.case is not None:
            value = f"pg_catalog.{self.case}({value})"
        return f"({value})::{ends.target(self.target).type}"

    def decode(self, value: str, ends: Ends) -> str:
        return f"{value}::{ends.legacy.type}"

    def loss(self, ends: Ends) -> str | None:
        lost = [] if self.trim is None else [_BLANKS[self.trim]]
        if self.case is not None:
            lost.append("upper case" if self.case == "lower" else "lower case")
        cut = sqltypes.cast_loss(ends.legacy.type, ends.target(self.target).type, None, None)
        return "; ".join(filter(None, (f"text loses {' and '.join(lost)}", cut)))

    def problems(self, ends: Ends) -> Iterator[str]:
        yield from super().problems(ends)
        for column in (ends.legacy, ends.target(self.target)):
            if not sqltypes.parse(column.type).is_character:
                yield f"{column.name!r} is {column.type}, which is no text"
        if self.trim is None and self.case is None:
            yield "nothing is trimmed nor folded; use rules.Column"
