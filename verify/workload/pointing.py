"""The same statement said of the legacy table and of the view, whichever has the legacy name.

Only the name of the table is replaced, where it stands; an alias keeps what refers to it working.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from codemods.sql.lexer import Kind, Segment, segments
from codemods.sql.syntax import name_of, parse_one
from compat.mapping import Mapping
from compat.names import ident, literal
from verify.probes.statements import Cells
from verify.workload.reading import filled

_COMPARISONS = (exp.Predicate, exp.In, exp.Between)
_THROUGH = (exp.Cast, exp.Paren, exp.Any, exp.Tuple, exp.Array)


class LeftOut(Exception):
    """A statement that is not tried; the message says why."""


@dataclass(frozen=True)
class Pointed:
    """A statement that speaks of the legacy table.

    :param order: what it is ordered by: names or numbers of output columns; None when it is not
        ordered, empty when what orders it is not among its output
    :param is_limited: whether it returns some rows only
    :param writes: whether it changes the table
    :param inserts: whether it makes new rows
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    names: tuple[str | None, ...]
    order: tuple[str, ...] | None
    is_limited: bool
    writes: bool
    inserts: bool

    def at(self, relation: str) -> str:
        """Return the statement with another relation in the table's place.

        :param relation: quoted
        """
        text = self.text
        for (start, end), alias in zip(reversed(self.spans), reversed(self.names), strict=True):
            tail = "" if alias is None else f" AS {ident(alias)}"
            text = text[:start] + relation + tail + text[end:]
        return text


def pointed(text: str, mapping: Mapping, sample: Cells | None) -> Pointed | None:
    """Return a statement that speaks of a mapping's legacy table, or None for one of other tables.

    What it writes to the table it returns, too, so that it can be compared.

    :param sample: a row of the table, by which parameters are filled that are compared with columns
    :raises LeftOut: it cannot be understood, or has parameters that cannot be filled
    """
    tree = parse_one(_masked(text, parameters := _parameters(text)))
    if tree is None:
        if mapping.legacy.name.lower() not in text.lower():
            return None
        raise LeftOut("it cannot be parsed")
    tables = sorted(_tables(tree, mapping), key=_start)
    if not tables:
        return None
    if any(_names_schema(column, mapping) for column in tree.find_all(exp.Column)):
        raise LeftOut("it names a column by schema and table")
    if parameters:
        values = _values(tree, text, parameters, mapping, sample)
        return pointed(filled(text, values), mapping, sample)
    written = [table for table in tables if _is_written(table)]
    if tree in [_command_of(table) for table in written] and not tree.args.get("returning"):
        text = f"{text.rstrip()}\nRETURNING *"
    return Pointed(
        text,
        tuple((_start(table), table.this.meta["end"] + 1) for table in tables),
        tuple(None if table.alias else name_of(table.this) for table in tables),
        _order(tree),
        tree.args.get("limit") is not None,
        bool(written),
        any(isinstance(_command_of(table), exp.Insert) for table in written),
    )


def _parameters(text: str) -> tuple[Segment, ...]:
    return tuple(
        segment
        for segment in segments(text)
        if segment.kind is Kind.PARAMETER and text[segment.start] == "$"
    )


def _masked(text: str, parameters: tuple[Segment, ...]) -> str:
    """Return a text of the same length in which $1 is p1: a parser may take `$1, $` for a quote."""
    letters = list(text)
    for segment in parameters:
        letters[segment.start] = "p"
    return "".join(letters)


def _start(table: exp.Table) -> int:
    schema = table.args.get("db")
    return int((schema or table.this).meta["start"])


def _tables(tree: exp.Expr, mapping: Mapping) -> Iterator[exp.Table]:
    legacy = mapping.legacy
    expressions = {
        name_of(cte.args["alias"].this) for cte in tree.find_all(exp.CTE) if cte.args.get("alias")
    }
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or name_of(table.this) != legacy.name:
            continue
        schema = table.args.get("db")
        if (legacy.name not in expressions) if schema is None else name_of(schema) == legacy.schema:
            yield table


def _names_schema(column: exp.Column, mapping: Mapping) -> bool:
    schema = column.args.get("db")
    return schema is not None and name_of(schema) == mapping.legacy.schema


def _command_of(table: exp.Table) -> exp.Expr | None:
    parent = table.parent
    return parent.parent if isinstance(parent, exp.Schema) else parent


def _is_written(table: exp.Table) -> bool:
    command = _command_of(table)
    if not isinstance(command, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        return False
    place = command.this.this if isinstance(command.this, exp.Schema) else command.this
    return place is table


def _order(tree: exp.Expr) -> tuple[str, ...] | None:
    order = tree.args.get("order")
    if order is None:
        return None
    keys = [item.this for item in order.expressions]
    if all(isinstance(key, exp.Column | exp.Literal) for key in keys):
        return tuple(
            name_of(key.this) if isinstance(key, exp.Column) else str(key.this) for key in keys
        )
    return ()


def _values(
    tree: exp.Expr,
    text: str,
    parameters: tuple[Segment, ...],
    mapping: Mapping,
    sample: Cells | None,
) -> dict[str, str]:
    """Return a value for each parameter, from what it is compared with.

    :raises LeftOut: there is one of which nothing is known
    """
    numbers = {segment.start: text[segment.start + 1 : segment.end] for segment in parameters}
    found: dict[str, str] = {}
    for column in tree.find_all(exp.Column):
        number = numbers.get(column.this.meta.get("start", -1))
        value = None if number is None else _value(column, mapping, sample)
        if number is not None and value is not None:
            found.setdefault(number, value)
    for number in numbers.values():
        if number not in found:
            raise LeftOut(f"nothing tells what ${number} may be")
    return found


def _value(parameter: exp.Expr, mapping: Mapping, sample: Cells | None) -> str | None:
    parent = parameter.parent
    while isinstance(parent, _THROUGH):
        parent = parent.parent
    if isinstance(parent, exp.Limit | exp.Offset):
        return "10" if isinstance(parent, exp.Limit) else "0"
    if not isinstance(parent, _COMPARISONS) or sample is None:
        return None
    for column in (parent.this, parent.args.get("expression")):
        if isinstance(column, exp.Column) and re.fullmatch(r"p\d+", column.name) is None:
            name = name_of(column.this)
            if name in mapping.legacy.column_names and sample[name] is not None:
                return literal(sample[name])
    return None
