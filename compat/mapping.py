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
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from compat.errors import MappingError
from compat.names import check_identifier, derive, literal, qualified
from compat.rules import AnyRule, Constant, Ends, Expression, Lens, Lookup, Row
from compat.rules.json_field import clashes
from compat.rules.lens import new_row
from compat.shapes import AnyPart, Choice, Half, Parent, Place, Tag
from compat.shapes import Fill as Fill  # noqa: PLC0414  (mappings are written with it)
from compat.tables import STRICT, Column, Table

Form = Literal["updatable", "bridged", "instead_of", "reversed"]
_POLICIES_NEED_TRIGGERS = "row-level security: triggers check, as the caller, what is written"

Need = Literal["copy", "for_update", "hot_rows", "on_conflict"]
"""What applications do to the legacy table that not every form of the view allows."""


def _sorted(needs: object) -> object:
    """Equal needs give equal documents, also when they are written as a set."""
    return sorted(needs) if isinstance(needs, set | frozenset | list | tuple) else needs


TARGET = Row("t")
"""The target table, as every generated statement aliases it."""


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
    :param parts: further tables over which the columns of a row are spread; see compat.shapes
    :param choices: tables that take some of the rows in place of the target
    :param remainder: what the target itself takes where there are choices: SQL over the bare legacy
        column names; None for every row that no choice takes
    :param tag: by what the rows of this legacy table are told from others in the same target
    :param needs: what applications do that `auto` is to serve: ON CONFLICT, COPY … FROM,
        SELECT … FOR UPDATE, or concurrent changes of the same rows without serialization errors
    :param through: the names of the later mappings with which this one was composed, in order; see
        compat.compose
    :raises MappingError: names the mapping, the column and the fix
    """

    name: str
    legacy: Table
    target: Table
    rules: tuple[AnyRule, ...]
    fills: tuple[Fill, ...] = ()
    form: Literal["auto", "updatable", "bridged", "instead_of", "reversed"] = "auto"
    accept: tuple[str, ...] = ()
    code: tuple[CodeName, ...] = ()
    where: str | None = None
    orphans: Literal["reject", "skip"] = "reject"
    parts: tuple[AnyPart, ...] = ()
    choices: tuple[Choice, ...] = ()
    remainder: str | None = None
    tag: Tag | None = None
    needs: Annotated[tuple[Need, ...], BeforeValidator(_sorted)] = ()
    through: tuple[str, ...] = ()
    version: Literal[1] = Field(default=1)

    def __post_init__(self) -> None:
        for problems in (
            self._name_problems,
            self._part_problems,
            self._rule_problems,
            self._law_problems,
        ):
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
        held = {name: place for place in self.places for name in self.holds(place)}
        return tuple(
            Lens(
                by_name[column.name],
                Ends(self.legacy, column, held[column.name].table),
                None if held[column.name].part is None else held[column.name].row,
                len(self.places) > 1,
            )
            for column in self.legacy.columns
        )

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The target, then its parts, each with its alias."""
        parts = (
            Place(Row(f"p{n}", is_record=True), part.table, part)
            for n, part in enumerate(self.parts, start=1)
        )
        return (Place(TARGET, self.target), *parts)

    def holds(self, place: Place) -> tuple[str, ...]:
        """Return the legacy columns whose rules write a place."""
        if place.part is not None:
            return place.part.holds
        elsewhere = {name for part in self.parts for name in part.holds}
        return tuple(name for name in self.legacy.column_names if name not in elsewhere)

    def lenses_of(self, place: Place) -> tuple[Lens, ...]:
        """Return the lenses of the legacy columns that a place holds."""
        held = set(self.holds(place))
        return tuple(lens for lens in self.lenses if lens.legacy.name in held)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table that rows are written to, the target first."""
        others = (*self.parts, *self.choices)
        return (self.target, *(other.table for other in others))

    @property
    def is_shaped(self) -> bool:
        """True when a legacy row is not always exactly one row of the target."""
        return bool(self.parts or self.choices)

    @property
    def copies_through_view(self) -> bool:
        """True when there are rows that must be copied one by one, as the view's triggers do it.

        Those that no choice takes, that are in the way of others' rows, that triggers of the tables
        make something else of, or whose parent has a NULL among what identifies it.
        """
        is_shared = self.tag is not None and self.tag.column not in self.target_key
        if is_shared or self.remainder is not None:
            return True
        if self.parts and any(table.triggers for table in self.tables):
            return True
        nullable = {column.name for column in self.legacy.columns if column.nullable}
        return any(
            isinstance(part, Parent) and len(part.holds) > 1 and nullable & set(part.holds)
            for part in self.parts
        )

    @property
    def syncs_through_view(self) -> bool:
        """True when only the view's triggers know which rows of which tables are concerned."""
        return self.is_shaped or self.tag is not None

    @cached_property
    def key(self) -> tuple[Lens, ...]:
        """The lenses of the legacy row key, which find the one target row."""
        return tuple(self.lens(name) for name in self.legacy.row_key)

    @property
    def target_key(self) -> tuple[str, ...]:
        """The target columns that the legacy row key is written to, after the tag's if need be."""
        written = tuple(lens.key_column for lens in self.key)
        if self.tag is None or any(set(key) == set(written) for key in self.target.unique_keys):
            return written
        return (self.tag.column, *written)

    def lens(self, legacy: str) -> Lens:
        """Return the lens of one legacy column."""
        return next(lens for lens in self.lenses if lens.legacy.name == legacy)

    @cached_property
    def chosen_form(self) -> Form:
        """The form of the view: as asked, or what `auto` takes."""
        if self.form != "auto":
            return self.form
        if not self.reasons_against_updatable:
            return "updatable"
        is_native = bool({"on_conflict", "hot_rows"} & set(self.needs))
        return "bridged" if is_native and not self.reasons_against_bridged else "instead_of"

    @property
    def inserts_by_trigger(self) -> bool:
        """True when a trigger of the view takes INSERTs: COPY … FROM works, ON CONFLICT does not.

        A view that is plain otherwise gets it where applications need the one and not the other.
        """
        if self.chosen_form in ("updatable", "bridged"):
            return self._needs_trigger_for_inserts
        return self.chosen_form == "instead_of"

    @property
    def _needs_trigger_for_inserts(self) -> bool:
        return "copy" in self.needs and "on_conflict" not in self.needs

    @cached_property
    def reasons_against_bridged(self) -> tuple[str, ...]:
        """Why the target could not carry the legacy columns too, one sentence each."""
        reasons = [f"a row is in {table.title} as well" for table in self.tables[1:]]
        if self.legacy.policies is not None:
            reasons.append(_POLICIES_NEED_TRIGGERS)
        if self.tag is not None:
            reasons.append(f"{self.target.title} holds the rows of other legacy tables as well")
        for lens in self.lenses if not reasons else ():
            is_own = isinstance(lens.rule, Lookup) and lens.rule.is_own(lens.ends)
            if is_own and self._needs_trigger_for_inserts:
                reasons.append(
                    f"{lens.legacy.name}: COPY … FROM brings each row by itself, and the one that "
                    "it references may come later"
                )
            computed = [n for n in lens.rule.reads if lens.ends.target(n).generated is not None]
            if lens.targets and computed:
                reasons.append(
                    f"{lens.legacy.name}: {computed[0]} is GENERATED, which PostgreSQL computes "
                    "after the triggers that keep both shapes in step"
                )
        return tuple(reasons)

    @cached_property
    def reasons_against_reversed(self) -> tuple[str, ...]:
        """Why the legacy table could not carry the target's columns too, one sentence each."""
        reasons = [f"a row is in {table.title} as well" for table in self.tables[1:]]
        if self.tag is not None:
            reasons.append(f"{self.target.title} holds the rows of other legacy tables as well")
        for table in (self.legacy, self.target):
            if table.policies is not None:
                reasons.append(f"row-level security of {table.title} knows only its own columns")
        for column in self.target.columns:
            if column.generated is not None or column.identity is not None:
                what = "GENERATED" if column.generated is not None else "an identity column"
                reasons.append(f"{column.name}: a view has no column that is {what}")
        for lens in self.lenses:
            if lens.rule.rule == "lookup":
                reasons.append(f"{lens.legacy.name}: a parent may not be there yet")
        if not self.target.row_key:
            reasons.append(f"{self.target.title} has no key of its own")
        return tuple(reasons)

    @cached_property
    def reasons_against_updatable(self) -> tuple[str, ...]:
        """Why a plain updatable view would not do, one sentence each."""
        reasons = [
            f"{lens.legacy.name}: {_why_not_updatable(lens)}"
            for lens in self.lenses
            if lens.converts
        ]
        reasons += [f"{fill.target}: filled from {fill.value}" for fill in self.fills]
        reasons += [f"a row is in {table.title} as well" for table in self.tables[1:]]
        if self.legacy.policies is not None:
            reasons.append(_POLICIES_NEED_TRIGGERS)
        if self.tag is not None:
            reasons.append(f"{self.tag.column}: only the rows that are {self.tag.value!r}")
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

    @property
    def reasons_against_move(self) -> tuple[str, ...]:
        """Why rows could not be moved to another database, one sentence each."""
        reasons = [f"a row is in {table.title} as well" for table in self.tables[1:]]
        if self.tag is not None:
            reasons.append(f"{self.target.title} holds the rows of other legacy tables as well")
        return tuple(reasons)

    def writes(self, legacy: Row) -> dict[str, str]:
        """Return SQL for every target column of a new target row, over a legacy row.

        Not for the columns that reference parents, nor for what other parts hold.
        """
        return self.writes_to(self.places[0], legacy)

    def writes_to(self, place: Place, legacy: Row) -> dict[str, str]:
        """Return SQL for the columns of a new row in one place, without those that join it."""
        fills = self.fills if place.part is None else place.part.fills
        given = {fill.target: fill.write(legacy) for fill in fills}
        written = new_row(self.lenses_of(place), legacy, given)
        if place.part is None and self.tag is not None:
            written[self.tag.column] = literal(self.tag.value)
        return written | {name: value for name, value in given.items() if name not in written}

    def reads(self, target: Row) -> dict[str, str]:
        """Return SQL for every legacy column, in order, over a target row."""
        return {lens.legacy.name: lens.read(target) for lens in self.lenses}

    # -- names of what is generated -------------------------------------------------------

    @property
    def view_of(self) -> Table:
        """The table whose name the view takes at cutover: in the form `reversed`, the target."""
        return self.target if self.chosen_form == "reversed" else self.legacy

    @property
    def retired_name(self) -> str:
        """The name of the legacy table after cutover; its own where it stays what it is."""
        is_reversed = self.chosen_form == "reversed"
        return self.legacy.name if is_reversed else derive(self.legacy.name, "__retired")

    @property
    def aside_name(self) -> str:
        """The name of the empty target while a view of the form `reversed` has its own."""
        return derive(self.target.name, "__aside")

    @property
    def standby_name(self) -> str:
        """The name of the view while the table that it stands for has its own."""
        return derive(self.view_of.name, "__compat")

    @property
    def retired(self) -> str:
        """The quoted name of the legacy table after cutover."""
        return qualified(self.legacy.schema, self.retired_name)

    @property
    def standby(self) -> str:
        """The quoted name of the view before cutover."""
        return qualified(self.view_of.schema, self.standby_name)

    def function(self, purpose: str) -> str:
        """Return the quoted name of one of the generated functions."""
        return qualified("compat", derive(self.name, f"__{purpose}"))

    # -- serialisation --------------------------------------------------------------------

    def to_json(self, indent: int | None = None) -> str:
        """Return the mapping document; equal mappings give equal text."""
        document: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)
        discriminators = {"rules": {"__all__": {"rule"}}, "parts": {"__all__": {"shape"}}}
        tags = _ADAPTER.dump_python(self, mode="json", include=discriminators)
        for rule, tag in zip(document["rules"], tags["rules"], strict=True):
            rule["rule"] = tag["rule"]
        for part, tag in zip(document.get("parts", ()), tags["parts"], strict=True):
            part["shape"] = tag["shape"]
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

    def _name_problems(self) -> Iterator[str]:
        check_identifier(self.name, "mapping")
        for table in (self.legacy, *self.tables):
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

    def _part_problems(self) -> Iterator[str]:
        names = [(table.schema, table.name) for table in self.tables]
        for title, count in Counter(names).items():
            if count > 1:
                yield f"{'.'.join(title)} stands {count} times among the tables; keep one"
        if self.tag is not None:
            yield from self.tag.problems(self.target)
        if self.choices and self.parts:
            yield "choices and parts do not go together; split by key in a mapping of its own"
        held = Counter(name for part in self.parts for name in part.holds)
        for name, count in held.items():
            if self.legacy.column(name) is None:
                yield f"a part holds {name!r}, which {self.legacy.title} does not have; correct it"
            elif count > 1:
                yield f"the legacy column {name!r} is held by {count} parts; keep one"
            elif name in self.legacy.row_key:
                yield f"the key column {name!r} must be in the target itself, not in a part"
        for part in self.parts:
            for mine, other in part.on:
                for table, name in ((part.table, mine), (self.target, other)):
                    if table.column(name) is None:
                        yield f"on names {table.title}.{name}, which does not exist; correct it"
            yield from part.problems()
        for choice in self.choices:
            if not choice.when.strip() or "\0" in choice.when:
                yield f"{choice.table.title}: when is no condition; write SQL over legacy columns"

    def _rule_problems(self) -> Iterator[str]:
        for place in self.places:
            yield from self._problems_of(place)
        needed = {name for rule in self.rules for name in (*rule.reads, *rule.targets)}
        for choice in self.choices:
            for name in sorted(needed):
                here, there = self.target.column(name), choice.table.column(name)
                if here is not None and (there is None or there.type != here.type):
                    yield (
                        f"{choice.table.title} needs the column {name!r} ({here.type}), as "
                        f"{self.target.title} has it; create it"
                    )

    def _problems_of(self, place: Place) -> Iterator[str]:
        table, held = place.table, set(self.holds(place))
        given = self.given_to(place)
        written = Counter(given)
        for rule in self.rules:
            if rule.legacy not in held:
                continue
            written.update(() if rule.shares else rule.targets)
            missing = [name for name in rule.reads if table.column(name) is None]
            for name in missing:
                yield (
                    f"the rule for {rule.legacy!r} needs {table.title}.{name}, "
                    "which does not exist; create the column or correct the rule"
                )
        parts = [rule for rule in self.rules if rule.shares and rule.legacy in held]
        shared = {name for rule in parts for name in rule.targets}
        written.update(shared)
        yield from clashes(parts)
        for fill in self.fills if place.part is None else place.part.fills:
            written[fill.target] += fill.target not in shared
            if table.column(fill.target) is None:
                yield (
                    f"a fill names {fill.target!r}, which {table.title} does not have; "
                    "create the column or drop the fill"
                )
        for name, count in written.items():
            if count > 1:
                yield f"the target column {name!r} is written by {count} rules or fills; keep one"
            column = table.column(name)
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
        for column in table.columns:
            if not _fills_itself(column) and column.name not in written:
                yield (
                    f"the target column {column.name!r} is NOT NULL without a default and nothing "
                    f"writes it; add Fill({column.name!r}, …) or a default"
                )

    def given_to(self, place: Place) -> tuple[str, ...]:
        """Return the columns of a place that its shape writes: tag and references."""
        if isinstance(place.part, Half):
            return tuple(mine for mine, _ in place.on)
        if place.part is not None:
            return ()
        references = (o for part in self.parts if isinstance(part, Parent) for _, o in part.on)
        return (*references, *(() if self.tag is None else (self.tag.column,)))

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
        if self.form == "auto" and {"copy", "on_conflict"} <= set(self.needs):
            yield (
                "no view takes both COPY … FROM (needs 'copy') and ON CONFLICT (needs "
                "'on_conflict'); leave one of them out, or use form='reversed', which has both"
            )
        yield from self._key_problems()
        yield from self._lookup_problems()
        yield from self._parent_problems()
        if self.form == "bridged":
            for reason in self.reasons_against_bridged:
                yield f"{reason}, which a bridge cannot follow; use form='instead_of'"
        if self.form == "reversed":
            for reason in self.reasons_against_reversed:
                yield f"{reason}, so the target cannot be a view; use form='instead_of'"
        if self.form == "updatable":
            if self.legacy.policies is not None:
                yield f"{_POLICIES_NEED_TRIGGERS}; use form='instead_of'"
            for table in self.tables[1:]:
                yield f"an updatable view cannot write {table.title} as well; use instead_of"
            if self.tag is not None:
                yield "an updatable view cannot fill in the tag; use instead_of"
            for lens in self.lenses:
                if lens.converts and not isinstance(lens.rule, Constant):
                    yield f"{lens.legacy.name}: an updatable view cannot convert; use instead_of"
            for fill in self.fills:
                yield (
                    f"{fill.target}: an updatable view cannot fill columns; give the target "
                    "column a default instead of the fill, or use form='instead_of'"
                )

    def _parent_problems(self) -> Iterator[str]:
        for place in self.places:
            if not isinstance(place.part, Parent):
                continue
            lenses = self.lenses_of(place)
            for lens in lenses:
                if not lens.rule.invertible or lens.loss is not None or len(lens.targets) != 1:
                    yield (
                        f"{lens.legacy.name}: what identifies a parent needs a lossless rule over "
                        "one column; map it with rules.Column"
                    )
            identity = {name for lens in lenses for name in lens.targets}
            if not any(set(key) == identity for key in place.table.unique_keys):
                yield (
                    f"{place.table.title} has no unique constraint over exactly "
                    f"({', '.join(sorted(identity))}), by which a parent is found; add one"
                )

    def _lookup_problems(self) -> Iterator[str]:
        for lens in self.lenses:
            rule = lens.rule
            if not isinstance(rule, Lookup) or (rule.parent.schema, rule.parent.name) != (
                self.target.schema,
                self.target.name,
            ):
                continue
            if lens.part is not None:
                yield (
                    f"{lens.legacy.name}: a part holds a reference to a row of the target; let the "
                    "target hold it"
                )
            elif self.choices:
                yield (
                    f"{lens.legacy.name}: the row that it references may be in any of the tables "
                    "of the choices, where no one foreign key can follow; keep it as a number"
                )

    def _why_no_key(self, rule: Lookup) -> str | None:
        """Return what keeps a lookup from being part of the key, None when nothing does."""
        if rule.keep is None:
            return (
                "a lookup is part of the key, by which rows are found, only with the number beside "
                f"it: name a column of {self.target.title} for that, keep=…, and make it unique "
                "together with the rest of the key"
            )
        if self.syncs_through_view or self.chosen_form != "instead_of":
            return (
                "a lookup is part of the key of one table only, without parts, choices or tag, and "
                "with form='instead_of'"
            )
        return None

    def _key_problems(self) -> Iterator[str]:
        if not self.legacy.row_key:
            yield (
                f"{self.legacy.title} has no primary key and no unique constraint over NOT NULL "
                "columns that is not deferrable, so rows cannot be told apart; add one "
                "(ALTER TABLE … ADD PRIMARY KEY)"
            )
            return
        for lens in self.key:
            if isinstance(lens.rule, Lookup):
                if problem := self._why_no_key(lens.rule):
                    yield f"{lens.legacy.name}: {problem}"
                    return
                continue
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
        for table in (self.target, *(choice.table for choice in self.choices)):
            if any(set(key) == target for key in table.unique_keys):
                continue
            yield (
                f"{table.title} has no primary key or unique constraint over exactly "
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
