"""One member of a jsonb document for one legacy column; several columns may share a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, StrictInt
from pydantic.dataclasses import dataclass

from compat import sqltypes
from compat.names import literal
from compat.rules.core import Ends, Row, Rule
from compat.tables import STRICT

Step = str | StrictInt
Path = Step | tuple[Step, ...]


def _shortest(path: Path) -> Path:
    """Equal paths give equal documents."""
    return path[0] if isinstance(path, tuple) and len(path) == 1 else path


_FLOATS = frozenset({"real", "double precision"})
_BY_SETTINGS = frozenset({"interval", "money"})
_EXACT = frozenset({"boolean", "uuid", *_FLOATS})
_DATES = frozenset({"date", "time without time zone"})
_DOCUMENTS = frozenset({"json", "jsonb"})


@dataclass(frozen=True, config=STRICT)
class JsonField(Rule):
    """A legacy column ↔ one member of a jsonb column. All other members stay as they are.

    Numbers and booleans become those of JSON, dates and timestamps its ISO strings, everything else
    a string of its text. A member that is missing and one that is `null` both read as NULL.

    :param path: a key, or a tuple of keys and places in arrays: `("address", "lines", 0)`
    :param null: how NULL is written: the member is removed, or `null`; inside an array always
        `null`, unless nothing follows
    """

    legacy: str
    target: str
    path: Annotated[Path, AfterValidator(_shortest)]
    null: Literal["missing", "null"] = "missing"
    rule: Literal["json_field"] = "json_field"

    shares: ClassVar[bool] = True

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    def read(self, target: Row, ends: Ends) -> str:
        document = target.column(self.target)
        if isinstance(self.path, str):
            member = f"{document} ->> {literal(self.path)}"
        else:
            steps = ", ".join(literal(str(step)) for step in self.steps)
            member = f"{document} #>> ARRAY[{steps}]"
        return f"({member})::{ends.legacy.type}"

    def write(self, legacy: Row, ends: Ends, current: Row | None = None) -> dict[str, str]:
        document = self.empty(ends) if current is None else self.document(current, ends)
        return {self.target: self.put(document, legacy, ends)}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The path from the outside in: keys of objects, and places in arrays."""
        return self.path if isinstance(self.path, tuple) else (self.path,)

    def empty(self, ends: Ends) -> str:
        """Return SQL for the document of a row that has none yet."""
        bare = f"{literal('[]' if isinstance(self.steps[0], int) else '{}')}::jsonb"
        default = ends.target(self.target).default
        return bare if default is None else f"COALESCE({default}, {bare})"

    def document(self, current: Row, ends: Ends) -> str:
        """Return SQL for the document of a target row, which may be NULL or `null` there."""
        return f"COALESCE(NULLIF({current.column(self.target)}, 'null'::jsonb), {self.empty(ends)})"

    def put(self, document: str, legacy: Row, ends: Ends, when: str | None = None) -> str:
        """Return SQL for a document with this member as the legacy row has it.

        :param when: SQL of a condition without which the document stays as it is
        """
        column = legacy.column(self.legacy)
        as_itself = self._kind(ends) in _EXACT | _DATES or self._is_number_or_timestamp(ends)
        value = f"pg_catalog.to_jsonb({column if as_itself else f'({column})::text'})"
        absent = literal("delete_key" if self.null == "missing" else "use_json_null")
        if when is not None:
            value = f"CASE WHEN {when} THEN {value} END"
            absent = f"CASE WHEN {when} THEN {absent} ELSE 'return_target' END"
        if isinstance(self.path, str):
            place = f"ARRAY[{literal(self.path)}]"
            return f"pg_catalog.jsonb_set_lax({document}, {place}, {value}, true, {absent})"
        path = literal(json.dumps(self.steps, ensure_ascii=False))
        return f"compat.jsonb_put({document}, {path}::jsonb, {value}, {absent})"

    def _kind(self, ends: Ends) -> str:
        return sqltypes.parse(ends.legacy.type).name

    def _is_number_or_timestamp(self, ends: Ends) -> bool:
        kind = sqltypes.parse(ends.legacy.type)
        return kind.is_integer or kind.is_numeric or kind.is_timestamp

    def loss(self, ends: Ends) -> str | None:
        kind = self._kind(ends)
        if kind in _FLOATS:
            return "-0 becomes 0"
        return "its text depends on settings of the session" if kind in _BY_SETTINGS else None

    def lost(self, legacy: Row, ends: Ends) -> str | None:
        is_float = self._kind(ends) in _FLOATS
        return f"{legacy.column(self.legacy)}::text = '-0'" if is_float else None

    def indexable(self, ends: Ends) -> bool:
        kind = sqltypes.parse(ends.legacy.type)
        return kind.is_integer or kind.is_numeric or kind.is_character or kind.name in _EXACT

    def problems(self, ends: Ends) -> Iterator[str]:
        if not self.steps:
            yield "the path is empty; name the key of the member"
        if any(isinstance(step, int) and step < 0 for step in self.steps):
            yield "a place in an array counts from 0"
        if any(isinstance(step, str) and "\0" in step for step in self.steps):
            yield "a key contains a NUL character"
        target = ends.target(self.target)
        if target.type != "jsonb":
            yield f"the target column {self.target!r} is {target.type}; it must be jsonb"
        kind = sqltypes.parse(ends.legacy.type)
        if kind.array or kind.name in _DOCUMENTS:
            yield f"{ends.legacy.type} is no single value; use rules.Expression"

    def absorbs_null(self) -> bool:
        return True


def clashes(rules: Iterable[Rule]) -> Iterator[str]:
    """Yield which members of one document stand in each other's way."""
    fields = [rule for rule in rules if isinstance(rule, JsonField)]
    for one, other in combinations(fields, 2):
        if one.target != other.target:
            continue
        steps = zip(one.steps, other.steps, strict=False)
        parting = next(((mine, theirs) for mine, theirs in steps if mine != theirs), None)
        both = f"{one.legacy!r} and {other.legacy!r} in {one.target!r}"
        if parting is None:
            yield f"{both}: one's path leads to or into the other; give each a member of its own"
        elif type(parting[0]) is not type(parting[1]):
            yield f"{both}: a key and a place of an array in one and the same spot; choose one"


def pack(
    target: str,
    columns: Mapping[str, Step],
    *,
    under: tuple[Step, ...] = (),
    null: Literal["missing", "null"] = "missing",
) -> tuple[JsonField, ...]:
    """Return the rules that put several legacy columns into one jsonb document.

    `pack("factories", {"factory1": 0, "factory2": 1})` makes an array, in which each column has its
    place; keys in place of numbers make an object.

    :param columns: for each legacy column, its key or its place
    :param under: the path to the object or array inside the document
    :param null: as JsonField has it
    """
    return tuple(
        JsonField(legacy, target, (*under, step), null) for legacy, step in columns.items()
    )
