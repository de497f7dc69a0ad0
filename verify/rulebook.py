"""What a user demands of the rows, beside the mapping: a small TOML or JSON file.

[[rules]]     name, table, holds (SQL over the columns of one row)
[[ranges]]    table, column, min, max (SQL; either may be left out)
[[dual_ids]]  table, column, legacy, parent, parent_column, parent_legacy
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from compat.errors import CompatError
from compat.mapping import Mapping
from compat.names import literal
from compat.tables import STRICT


def _as_sql(value: object) -> object:
    """TOML has numbers and dates of its own; everything else is SQL already."""
    if isinstance(value, date):
        return literal(value.isoformat())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


Bound = Annotated[str, BeforeValidator(_as_sql)]


@dataclass(frozen=True, config=STRICT)
class Rule:
    """A condition that must be true for every row; NULL is not true.

    :param table: schema.name or name; a mapping's legacy name means the view
    :param holds: SQL over the bare column names of one row
    :param mapping: with which mapping it is looked at; by default the one that has the table
    """

    name: str
    table: str
    holds: str
    mapping: str | None = None


@dataclass(frozen=True, config=STRICT)
class Bounds:
    """A column whose values must lie between bounds, both included; NULL is allowed.

    :param min: SQL, for example `'2000-01-01'` or `0`; TOML's own dates and numbers will do
    :param max: SQL, for example `now()`
    """

    table: str
    column: str
    min: Bound | None = None
    max: Bound | None = None
    mapping: str | None = None


@dataclass(frozen=True, config=STRICT)
class DualId:
    """Two references of one row to one parent, by its new key and by its legacy key.

    :param column: the new reference (`customer_id`), to the parent's `parent_column`
    :param legacy: the legacy one (`legacy_customer_id`), to the parent's `parent_legacy`
    """

    table: str
    column: str
    legacy: str
    parent: str
    parent_column: str = "id"
    parent_legacy: str = "legacy_id"
    mapping: str | None = None


@dataclass(frozen=True, config=STRICT)
class Rulebook:
    """All that a file demands."""

    rules: tuple[Rule, ...] = ()
    ranges: tuple[Bounds, ...] = ()
    dual_ids: tuple[DualId, ...] = ()

    @property
    def _all(self) -> Iterator[Rule | Bounds | DualId]:
        yield from self.rules
        yield from self.ranges
        yield from self.dual_ids

    def of(self, mapping: Mapping) -> Rulebook:
        """Return what is to be looked at together with one mapping."""
        return Rulebook(
            tuple(rule for rule in self.rules if _concerns(rule, mapping)),
            tuple(bounds for bounds in self.ranges if _concerns(bounds, mapping)),
            tuple(dual for dual in self.dual_ids if _concerns(dual, mapping)),
        )

    def check_used(self, mappings: Iterable[Mapping]) -> None:
        """Refuse what none of these mappings would look at.

        :raises CompatError: names the table
        """
        known = tuple(mappings)
        for item in self._all:
            if not any(_concerns(item, mapping) for mapping in known):
                what = item.mapping or item.table
                raise CompatError(
                    f"the rules name {what!r}, which no mapping that is verified has",
                    'write the name of a legacy or target table, or add mapping = "NAME"',
                )


def _concerns(item: Rule | Bounds | DualId, mapping: Mapping) -> bool:
    if item.mapping is not None:
        return item.mapping == mapping.name
    names = {name for t in (mapping.legacy, *mapping.tables) for name in (t.name, t.title)}
    return item.table in names


def load(path: Path) -> Rulebook:
    """Return the rules in a file that ends in .toml or .json.

    :raises CompatError: no such file, or it does not have this form
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return _ADAPTER.validate_python(document)
    except OSError as error:
        raise CompatError(f"{path} cannot be read: {error.strerror}", "name another file") from None
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise CompatError(
            f"{path}: {problems}", "docs/verify.md shows what such a file may hold"
        ) from None
    except ValueError as error:
        raise CompatError(f"{path} cannot be read: {error}", "write TOML, or JSON") from None


_ADAPTER: TypeAdapter[Rulebook] = TypeAdapter(Rulebook)
