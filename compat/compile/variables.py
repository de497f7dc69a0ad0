"""What conversions write, computed into variables of a trigger function.

PL/pgSQL keeps an expression ready from row to row; inside a statement it is made ready for every
row, which costs more than its evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compat import sqltypes
from compat.compile.functions import TARGET, indented
from compat.mapping import Mapping
from compat.rules import NEW, OLD, Chain, Expression, Lens, Lookup, Row
from compat.rules.any_rule import AnyRule

# A label, so that a column of whatever name hides no variable, and no variable NEW or FOUND.
_BLOCK = "made"


@dataclass(frozen=True)
class Variables:
    """Variables of a trigger function that hold the values of target columns.

    :param columns: SQL for what the columns get, by name
    :param declarations: those of the variables, in their order
    """

    columns: dict[str, str]
    declarations: tuple[str, ...]

    def around(self, lines: Iterable[str]) -> list[str]:
        """Return the block in which statements (indented by four) may use the variables."""
        if not self.declarations:
            return list(lines)
        return [
            f"    <<{_BLOCK}>>",
            "    DECLARE",
            *indented(self.declarations, 8),
            "    BEGIN",
            *indented(lines),
            "    END;",
        ]


def of_insert(mapping: Mapping) -> Variables:
    """Return what a new legacy row NEW needs computed."""
    written = mapping.writes(NEW)
    return _computed(
        mapping,
        (
            (name, value)
            for lens in _computable(mapping.lenses)
            for name, value in lens.write(NEW).items()
            if written[name] == value
        ),
    )


def of_update(mapping: Mapping, lenses: Sequence[Lens]) -> Variables:
    """Return what an update OLD → NEW needs computed: the values of columns that it changes."""
    return _computed(
        mapping,
        (
            (name, f"CASE WHEN {lens.changed(NEW, OLD)} THEN {value} END")
            for lens in _computable(lenses)
            for name, value in lens.write(NEW).items()
            if lens.write(NEW, TARGET)[name] == value  # it does not build on what is stored
        ),
    )


def of_reverse(lenses: Iterable[Lens], retired: Row) -> Variables:
    """Return what carrying a change OLD → NEW of a target row back needs computed.

    A legacy value that the change leaves as it is stays as it is stored, also where the rule would
    spell it otherwise.

    :param lenses: those of the legacy columns that follow the target
    :param retired: the legacy row that is written
    """
    columns: dict[str, str] = {}
    declarations: list[str] = []
    for number, lens in enumerate(_computable(lenses), start=1):
        legacy, value = lens.legacy, lens.read(NEW)
        if lens.rule.reads and _may_be_null(legacy.type):
            changed, new = f"changed_{number}", f"value_{number}"
            kept = retired.column(legacy.name)
            columns[legacy.name] = (
                f"CASE WHEN {_BLOCK}.{changed} THEN {_BLOCK}.{new} ELSE {kept} END"
            )
            differs = sqltypes.differs(value, lens.read(OLD), legacy.type, legacy.collation)
            declarations += [
                f"{changed} boolean := CASE WHEN {_reads_changed(lens)} THEN {differs}"
                " ELSE false END;",
                f"{new} {legacy.type} := CASE WHEN {changed} THEN {value} END;",
            ]
    return Variables(columns, tuple(declarations))


def _reads_changed(lens: Lens) -> str:
    """Return the condition that a change OLD → NEW touches a target column that is read at all."""
    columns = map(lens.ends.target, lens.rule.reads)
    return " OR ".join(
        sqltypes.differs(NEW.column(c.name), OLD.column(c.name), c.type, c.collation)
        for c in columns
    )


def rules_of(rule: AnyRule) -> Iterator[AnyRule]:
    """Yield a rule, or those that it is composed of."""
    if isinstance(rule, Chain):
        for inner in (rule.first, *rule.second, *rule.beside):
            yield from rules_of(inner)
    else:
        yield rule


def _computable(lenses: Iterable[Lens]) -> Iterator[Lens]:
    """Yield the lenses that convert without a query, which would cost as much as the statement."""
    for lens in lenses:
        queries = any(isinstance(rule, Lookup | Expression) for rule in rules_of(lens.rule))
        if lens.converts and not lens.rule.shares and not queries:
            yield lens


def _computed(mapping: Mapping, values: Iterable[tuple[str, str]]) -> Variables:
    columns: dict[str, str] = {}
    declarations: list[str] = []
    for name, value in values:
        column = mapping.target.column(name)
        assert column is not None, name
        if _may_be_null(column.type):
            variable = f"value_{len(declarations) + 1}"
            columns[name] = f"{_BLOCK}.{variable}"
            declarations.append(f"{variable} {column.type} := {value};")
    return Variables(columns, tuple(declarations))


def _may_be_null(type_text: str) -> bool:
    """Return whether a variable may be left NULL; a domain, which may not, is of no known type."""
    known = sqltypes.parse(type_text)
    return known.equal_is_same or known.is_numeric
