"""The mapping: how one legacy table corresponds to its target. Everything else is derived from it.

An immutable value that validates itself when made, writes itself as JSON and reads that back.
"""

from __future__ import annotations

import hashlib
import json
import runpy
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from keyword import iskeyword
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from compat.errors import MappingError
from compat.names import check_identifier, derive, qualified
from compat.rules import AnyRule, Constant, Ends, Expression, Lens, Row
from compat.tables import STRICT, Column, Table

Form = Literal["updatable", "instead_of"]


@dataclass(frozen=True, config=STRICT)
class Fill:
    """What a column that only the target has receives for a row that comes from the legacy side.

    :param value: SQL over the bare legacy column names, or a constant expression
    """

    target: str
    value: str

    def write(self, legacy: Row) -> str:
        """Return SQL for the column over a legacy row."""
        return legacy.evaluate(self.value)


@dataclass(frozen=True, config=STRICT)
class CodeName:
    """A module, class or function of the applications that gets another name with the table.

    :param old: dotted, as it is imported: `shop.models.OrderLineItem`
    :param new: dotted as well
    """

    old: str
    new: str


@dataclass(frozen=True, config=STRICT)
class Mapping:
    """How a legacy table corresponds to a target table, column by column.

    :param name: the name of the migration, unique in a database
    :param rules: one rule for each legacy column
    :param fills: values for columns that only the target has
    :param form: how the view takes writes; `auto` takes `updatable` where the rules allow it
    :param accept: legacy columns whose loss, as `compat plan` describes it, is accepted
    :param code: names in the applications' code, which only `compat-codemod` changes
    :param where: SQL over the bare legacy column names: only such rows are moved to another
        database (`compat move`), None for all
    :param orphans: what such a move does with a row whose parent is missing in the target database
    :raises MappingError: names the mapping, the column and the fix
    """

    name: str
    legacy: Table
    target: Table
    rules: tuple[AnyRule, ...]
    fills: tuple[Fill, ...] = ()
    form: Literal["auto", "updatable", "instead_of"] = "auto"
    accept: tuple[str, ...] = ()
    code: tuple[CodeName, ...] = ()
    where: str | None = None
    orphans: Literal["reject", "skip"] = "reject"
    version: Literal[1] = Field(default=1)

    def __post_init__(self) -> None:
        for problems in (self._shape_problems, self._rule_problems, self._law_problems):
            try:
                found = list(problems())
            except MappingError as error:
                raise MappingError(f"mapping {self.name!r}: {error.message}", error.hint) from None
            if found:  # later checks rely on what earlier ones have established
                raise MappingError(f"mapping {self.name!r}: " + "\n  ".join(found))

    # -- what is derived ------------------------------------------------------------------

    @cached_property
    def lenses(self) -> tuple[Lens, ...]:
        """The rules bound to their columns, in the order of the legacy columns."""
        by_name = {rule.legacy: rule for rule in self.rules}
        return tuple(
            Lens(by_name[column.name], Ends(self.legacy, column, self.target))
            for column in self.legacy.columns
        )

    @cached_property
    def key(self) -> tuple[Lens, ...]:
        """The lenses of the legacy row key, which find the one target row."""
        return tuple(self.lens(name) for name in self.legacy.row_key)

    @property
    def target_key(self) -> tuple[str, ...]:
        """The target columns that the legacy row key is written to."""
        return tuple(lens.targets[0] for lens in self.key)

    def lens(self, legacy: str) -> Lens:
        """Return the lens of one legacy column."""
        return next(lens for lens in self.lenses if lens.legacy.name == legacy)

    @cached_property
    def chosen_form(self) -> Form:
        """The form of the view: as asked, or what `auto` takes."""
        if self.form != "auto":
            return self.form
        return "instead_of" if self.reasons_against_updatable else "updatable"

    @cached_property
    def reasons_against_updatable(self) -> tuple[str, ...]:
        """Why a plain updatable view would not do, one sentence each."""
        reasons = [
            f"{lens.legacy.name}: {_why_not_updatable(lens)}"
            for lens in self.lenses
            if lens.converts
        ]
        reasons += [f"{fill.target}: filled from {fill.value}" for fill in self.fills]
        required = {column.name for column in self.legacy.columns if not column.nullable}
        looser = [
            lens.legacy.name
            for lens in self.lenses
            if not lens.converts
            and lens.legacy.name in required
            and lens.ends.target(lens.targets[0]).nullable
        ]
        reasons += [f"{name}: NOT NULL in the legacy table only" for name in looser]
        return tuple(reasons)

    @property
    def reasons_against_view(self) -> tuple[str, ...]:
        """Why no view at the legacy name could stand for the legacy table, one sentence each."""
        reasons = []
        if self.where is not None:
            reasons.append(
                f"only rows WHERE {self.where} are moved; a view could not show the rest"
            )
        if self.orphans == "skip":
            reasons.append("orphans='skip' leaves rows behind, which a view could not show")
        if (self.legacy.schema, self.legacy.name) == (self.target.schema, self.target.name):
            reasons.append(f"legacy and target are both {self.legacy.title}: in two databases")
        return tuple(reasons)

    def writes(self, legacy: Row) -> dict[str, str]:
        """Return SQL for every target column of a new target row, over a legacy row."""
        written: dict[str, str] = {}
        for lens in self.lenses:
            written |= lens.write(legacy)
        return written | {fill.target: fill.write(legacy) for fill in self.fills}

    def reads(self, target: Row) -> dict[str, str]:
        """Return SQL for every legacy column, in order, over a target row."""
        return {lens.legacy.name: lens.read(target) for lens in self.lenses}

    # -- names of what is generated -------------------------------------------------------

    @property
    def retired_name(self) -> str:
        """The name of the legacy table after cutover."""
        return derive(self.legacy.name, "__retired")

    @property
    def standby_name(self) -> str:
        """The name of the compatibility view while the legacy table has its own."""
        return derive(self.legacy.name, "__compat")

    @property
    def retired(self) -> str:
        """The quoted name of the legacy table after cutover."""
        return qualified(self.legacy.schema, self.retired_name)

    @property
    def standby(self) -> str:
        """The quoted name of the view before cutover."""
        return qualified(self.legacy.schema, self.standby_name)

    def function(self, purpose: str) -> str:
        """Return the quoted name of one of the generated functions."""
        return qualified("compat", derive(self.name, f"__{purpose}"))

    # -- serialisation --------------------------------------------------------------------

    def to_json(self, indent: int | None = None) -> str:
        """Return the mapping document; equal mappings give equal text."""
        document: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)
        tags = _ADAPTER.dump_python(self, mode="json", include={"rules": {"__all__": {"rule"}}})
        for rule, tag in zip(document["rules"], tags["rules"], strict=True):
            rule["rule"] = tag["rule"]
        document["version"] = self.version
        return json.dumps(document, indent=indent, sort_keys=True, ensure_ascii=False)

    @staticmethod
    def from_json(text: str | bytes) -> Mapping:
        """Return the mapping that `to_json` wrote.

        :raises MappingError: not JSON, not of this form, or a mapping that contradicts itself
        """
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            lines = [
                f"{'.'.join(str(part) for part in item['loc']) or 'document'}: {item['msg']}"
                for item in error.errors(include_url=False)
            ]
            raise MappingError(
                "not a mapping document:\n  " + "\n  ".join(lines),
                "`compat draft` writes one; `compat schema` prints its JSON Schema",
            ) from None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the document, in hexadecimal: changes when anything in the mapping does."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    # -- validation -----------------------------------------------------------------------

    def _shape_problems(self) -> Iterator[str]:
        check_identifier(self.name, "mapping")
        for table in (self.legacy, self.target):
            for name in (table.schema, table.name, *table.column_names):
                check_identifier(name, table.title)
            for name, count in Counter(table.column_names).items():
                if count > 1:
                    yield f"{table.title} names the column {name!r} {count} times; reflect it again"
        if self.where is not None and (not self.where.strip() or "\0" in self.where):
            yield "where is no condition; write SQL over the legacy columns, or leave it out"
        for name, count in Counter(rule.legacy for rule in self.rules).items():
            if self.legacy.column(name) is None:
                yield (
                    f"a rule names {name!r}, which {self.legacy.title} does not have; drop the "
                    "rule or correct its name"
                )
            if count > 1:
                yield f"the legacy column {name!r} has {count} rules; keep one"
        ruled = {rule.legacy for rule in self.rules}
        for name in self.legacy.column_names:
            if name not in ruled:
                yield (
                    f"the legacy column {name!r} has no rule; give it one, for example "
                    f"rules.Column({name!r}, …) or rules.Constant({name!r}, …)"
                )
        for name in self.accept:
            if self.legacy.column(name) is None:
                yield (
                    f"accept names {name!r}, which {self.legacy.title} does not have; drop or "
                    "correct it"
                )
        yield from self._code_problems()

    def _code_problems(self) -> Iterator[str]:
        for code in self.code:
            for name in (code.old, code.new):
                if not all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
                    yield f"{name!r} in code is no dotted name; write it as an import does"
            if code.old == code.new:
                yield f"code renames {code.old!r} to itself; drop it"
        for name, count in Counter(code.old for code in self.code).items():
            if count > 1:
                yield f"code gives {name!r} {count} new names; keep one"

    def _rule_problems(self) -> Iterator[str]:
        written: Counter[str] = Counter()
        for rule in self.rules:
            written.update(rule.targets)
            missing = [name for name in rule.reads if self.target.column(name) is None]
            for name in missing:
                yield (
                    f"the rule for {rule.legacy!r} needs {self.target.title}.{name}, "
                    "which does not exist; create the column or correct the rule"
                )
        for fill in self.fills:
            written[fill.target] += 1
            if self.target.column(fill.target) is None:
                yield (
                    f"a fill names {fill.target!r}, which {self.target.title} does not have; "
                    "create the column or drop the fill"
                )
        for name, count in written.items():
            if count > 1:
                yield f"the target column {name!r} is written by {count} rules or fills; keep one"
            column = self.target.column(name)
            if column is not None and column.generated is not None:
                yield (
                    f"the target column {name!r} is GENERATED and cannot be written; read it with "
                    "rules.Expression, or make it a plain column"
                )
            if column is not None and column.identity == "always":
                yield (
                    f"the target column {name!r} is GENERATED ALWAYS AS IDENTITY, but legacy rows "
                    "bring their own values; make it a plain column"
                )
        for column in self.target.columns:
            if not _fills_itself(column) and column.name not in written:
                yield (
                    f"the target column {column.name!r} is NOT NULL without a default and nothing "
                    f"writes it; add Fill({column.name!r}, …) or a default"
                )

    def _law_problems(self) -> Iterator[str]:
        for lens in self.lenses:
            column = lens.legacy
            # A move only reads the legacy table: neither matters then.
            needs_view = not self.reasons_against_view
            if column.identity is not None and needs_view:
                yield (
                    f"{column.name}: an identity column's sequence cannot follow the view; make "
                    "it a serial column (DROP IDENTITY, then a sequence OWNED BY it as DEFAULT)"
                )
            if column.generated is not None and lens.targets and needs_view:
                yield (
                    f"{column.name}: the legacy column is GENERATED and takes no values; read it "
                    f"from the target with rules.Expression({column.name!r}, …) without writes"
                )
            for problem in lens.rule.problems(lens.ends):
                yield f"{lens.legacy.name}: {problem}"
            if lens.loss is not None and lens.legacy.name not in self.accept:
                keep = " or keep the original in a side column (keep=…)" * hasattr(
                    lens.rule, "keep"
                )
                yield (
                    f"{lens.legacy.name}: the rule may lose something: {lens.loss}; "
                    f"accept it by name (accept=({lens.legacy.name!r},)){keep}"
                )
        yield from self._key_problems()
        if self.form == "updatable":
            for lens in self.lenses:
                if lens.converts and not isinstance(lens.rule, Constant):
                    yield f"{lens.legacy.name}: an updatable view cannot convert; use instead_of"
            for fill in self.fills:
                yield (
                    f"{fill.target}: an updatable view cannot fill columns; give the target "
                    "column a default instead of the fill, or use form='instead_of'"
                )

    def _key_problems(self) -> Iterator[str]:
        if not self.legacy.row_key:
            yield (
                f"{self.legacy.title} has no primary key and no unique constraint over NOT NULL "
                "columns that is not deferrable, so rows cannot be told apart; add one "
                "(ALTER TABLE … ADD PRIMARY KEY)"
            )
            return
        for lens in self.key:
            # Not lens.loss: a side column keeps the spelling, but two rows would still be one.
            if not lens.rule.invertible or lens.rule.loss(lens.ends) is not None:
                yield (
                    f"{lens.legacy.name}: a key column needs a lossless rule over one target "
                    f"column, not {lens.rule.rule}; map it with rules.Column"
                )
                return
            if lens.ends.target(lens.targets[0]).collation != lens.legacy.collation:
                yield (
                    f"{lens.legacy.name}: a key column needs the same collation on both sides; "
                    f"give {lens.targets[0]!r} the legacy one"
                )
                return
        target = set(self.target_key)
        if not any(set(key) == target for key in self.target.unique_keys):
            yield (
                f"{self.target.title} has no primary key or unique constraint over exactly "
                f"({', '.join(self.target_key)}), where the legacy key is written, that is not "
                "deferrable; add one"
            )


def _why_not_updatable(lens: Lens) -> str:
    if isinstance(lens.rule, Constant):
        return "a constant column refuses writes in an updatable view"
    if isinstance(lens.rule, Expression):
        return "an expression cannot be written in an updatable view"
    return f"{lens.rule.rule} converts the value"


def _fills_itself(column: Column) -> bool:
    return (
        column.nullable
        or column.default is not None
        or column.generated is not None
        or column.identity is not None
    )


_ADAPTER: TypeAdapter[Mapping] = TypeAdapter(Mapping)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the mapping document."""
    return _ADAPTER.json_schema()


def load(source: str) -> Mapping:
    """Return the mapping in a file: `path.json`, or `path.py[:NAME]` with one Mapping in it.

    :raises MappingError: no such file, or not exactly one mapping in it
    """
    path_text, _, attribute = source.partition(":") if ".py:" in source else (source, "", "")
    path = Path(path_text)
    if not path.is_file():
        raise MappingError(f"no such mapping file: {path}", "give a .json or .py file")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MappingError(f"{path} cannot be read: {error.strerror}") from None
    if path.suffix != ".py":
        return Mapping.from_json(text)
    try:
        found = {k: v for k, v in runpy.run_path(str(path)).items() if isinstance(v, Mapping)}
    except MappingError:
        raise
    except Exception as error:
        raise MappingError(f"{path} could not be run: {type(error).__name__}: {error}") from error
    if attribute:
        if attribute not in found:
            raise MappingError(f"{path} has no mapping called {attribute!r}")
        return found[attribute]
    if len(set(map(id, found.values()))) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise MappingError(f"{path} holds {names} as mappings", f"name one: {path}:NAME")
    return next(iter(found.values()))
