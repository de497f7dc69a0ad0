"""The statements of a comparison across two databases: one side each, hashed or as text.

The source shows the legacy rows that are to be in the target, the target what the mapping's rules
read from its rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from compat import sqltypes
from compat.catalog import ForeignKey
from compat.compile.functions import TARGET, same_target_row
from compat.mapping import Mapping
from compat.names import ident, literal
from compat.rules import Lens, Row
from verify.compare.join import after_loss
from verify.compare.ranges import Range

LEGACY = Row("l")

HashStyle = Literal["record", "text", "digest"]
"""How a row becomes 64 bits: by the hash functions of its types, where two servers surely have the
same ones; by its text; or by its text in UTF-8, where the databases' encodings differ."""


@dataclass(frozen=True)
class Classes:
    """The rows whose key has one of these hashes, modulo a power of two.

    Takes the place of ranges where the two sides do not order keys alike.
    """

    numbers: tuple[int, ...]
    modulus: int


Part = Range | Classes


@dataclass(frozen=True)
class Side:
    """One side of the comparison.

    :param mapping: its legacy types are known to both databases, or are text
    :param style: how rows are hashed
    """

    mapping: Mapping
    is_source: bool
    style: HashStyle

    def checksum(self, part: Range) -> str:
        """Return the query for the number of rows of a range, and the sum of their hashes."""
        return f"SELECT count(*), sum({self._hash}) FROM ({self._rows(part)}) AS r"

    def checksums(self, modulus: int) -> str:
        """Return the query for class, number of rows and sum of hashes, of every class."""
        return (
            f"SELECT {_class(self._keys, modulus)}, count(*), sum({self._hash})\n"
            f"FROM ({self._rows(Range())}) AS r GROUP BY 1"
        )

    def count(self) -> str:
        """Return the query for the number of rows."""
        return f"SELECT count(*) FROM ({self._rows(Range())}) AS r"

    def groups(self, column: str) -> str:
        """Return the query for the values (text) of a legacy column, and their rows."""
        value = self._columns[self.mapping.legacy.column_names.index(column)]
        return f"SELECT ({value})::text, count(*) FROM ({self._rows(Range())}) AS r GROUP BY 1"

    def hashes(self, part: Part) -> str:
        """Return the query for key (text[]) and hash of every row."""
        return f"SELECT {self._key_text}, {self._hash} FROM ({self._rows(part)}) AS r"

    def lookup(self, keys: Collection[tuple[str | None, ...]]) -> str:
        """Return the query for the rows of these legacy keys.

        Rows (key text[], whether the mapping selects the row, all columns text[]).
        """
        given = _given(keys, list(self.mapping.legacy.row_key), self.mapping)
        # On a line of its own: a condition may end in a comment.
        where = self.mapping.where
        selected = "true" if not self.is_source or where is None else f"(\n{where}\n) IS TRUE"
        if self.is_source:
            relation, row = f"{self.mapping.legacy.sql} AS s", Row("s")
            matches = " AND ".join(
                f"{row.column(n)} = {LEGACY.column(n)}" for n in self.mapping.legacy.row_key
            )
            selected_of = f"(SELECT {selected} FROM (SELECT s.*) AS this_row)"
            values = [row.column(n) for n in self.mapping.legacy.column_names]
        else:
            relation = f"{self.mapping.target.sql} AS {TARGET.name}"
            matches, selected_of = same_target_row(self.mapping, LEGACY), "true"
            values = list(self.mapping.reads(TARGET).values())
        columns = ", ".join(f"{value} AS c{n}" for n, value in enumerate(values))
        return (
            f"SELECT {self._key_text}, r.selected, {_texts(self._columns)} FROM (\n"
            f"SELECT {selected_of} AS selected, {columns}\n"
            f"FROM {given} JOIN {relation} ON {matches}) AS r"
        )

    def _rows(self, part: Part) -> str:
        mapping = self.mapping
        if self.is_source:
            relation, row = mapping.legacy.sql, LEGACY
            values = [row.column(name) for name in mapping.legacy.column_names]
            keys = [(row.column(lens.legacy.name), lens.legacy.type) for lens in mapping.key]
        else:
            relation, row = mapping.target.sql, TARGET
            values = list(mapping.reads(row).values())
            targets = [lens.ends.target(lens.key_column) for lens in mapping.key]
            keys = [(row.column(column.name), column.type) for column in targets]
        conditions = []
        if isinstance(part, Range):
            conditions.append(part.condition([key for key, _ in keys], [kind for _, kind in keys]))
        if self.is_source and mapping.where is not None:
            conditions.append(f"(\n{mapping.where}\n)")
        if isinstance(part, Classes):
            by_name = dict(zip(mapping.legacy.column_names, values, strict=True))
            of_key = [by_name[name] for name in mapping.legacy.row_key]
            numbers = ", ".join(map(str, part.numbers))
            conditions.append(f"{_class(of_key, part.modulus)} IN ({numbers})")
        columns = ", ".join(f"{value} AS c{n}" for n, value in enumerate(values))
        return f"SELECT {columns} FROM {relation} AS {row.name} WHERE {' AND '.join(conditions)}"

    @property
    def _columns(self) -> list[str]:
        return [f"r.c{n}" for n in range(len(self.mapping.lenses))]

    @property
    def _keys(self) -> list[str]:
        names = self.mapping.legacy.column_names
        return [self._columns[names.index(name)] for name in self.mapping.legacy.row_key]

    @property
    def _key_text(self) -> str:
        return _texts(self._keys)

    @property
    def _hash(self) -> str:
        """SQL for the hash of a row: what the other side can know, of every column."""
        values = [
            self._hashed(lens, value)
            for lens, value in zip(self.mapping.lenses, self._columns, strict=True)
            if is_compared(self.mapping, lens)
        ]
        record = f"ROW({', '.join(values)})"
        match self.style:
            case "record":
                # The record's hash is linear in its columns' hashes: bare sums would not see
                # values that two rows have exchanged.
                return (
                    f"pg_catalog.hashint8extended(pg_catalog.hash_record_extended({record}, 1), 1)"
                )
            case "text":
                return f"pg_catalog.hashtextextended({record}::text, 0)"
            case "digest":
                digest = f"pg_catalog.md5(pg_catalog.convert_to({record}::text, 'UTF8'))"
                return f"('x' || pg_catalog.substr({digest}, 1, 16))::bit(64)::bigint"

    def _hashed(self, lens: Lens, value: str) -> str:
        column = lens.legacy
        if self.style != "record":
            return value
        # Other types take for equal what can be told apart: 1.0 and 1.00, 0 and -0, {} and [].
        if not sqltypes.parse(column.type).equal_is_same:
            return f"{value}::text"
        return f'{value} COLLATE pg_catalog."C"' if column.collation is not None else value


def is_compared(mapping: Mapping, lens: Lens) -> bool:
    """Return whether something is known of what the target should have in a column.

    Not of one that the target has no place for, and whose loss is accepted.
    """
    return lens.loss is None or bool(_expected(mapping, lens))


def lossy_columns(mapping: Mapping) -> tuple[Lens, ...]:
    """Return the columns whose legacy value may be lost, and what is left of it can be told."""
    return tuple(
        lens for lens in mapping.lenses if lens.loss is not None and is_compared(mapping, lens)
    )


def expected(mapping: Mapping, rows: Collection[tuple[str | None, ...]]) -> str:
    """Return the query for what is left of legacy rows in the lossy columns.

    To be asked in the target. Rows in the order given: the columns of `lossy_columns` (text[]).
    """
    names = list(mapping.legacy.column_names)
    wanted = (_expected(mapping, lens) or "NULL" for lens in lossy_columns(mapping))
    return f"SELECT {_texts(wanted)} FROM {_given(rows, names, mapping)} ORDER BY e.n"


def orphans(
    mapping: Mapping, keys: Collection[ForeignKey], rows: Collection[tuple[str | None, ...]]
) -> str:
    """Return the query for the numbers (from 1) of legacy rows that lack a parent in the target.

    :param keys: foreign keys of the target table
    """
    names = list(mapping.legacy.column_names)
    written = mapping.writes(LEGACY)
    conditions = []
    for key in keys:
        values = [written[name] for name in key.columns]
        given = " AND ".join(f"{value} IS NOT NULL" for value in values)
        matches = " AND ".join(
            f"p.{ident(name)} = {value}"
            for name, value in zip(key.parent_columns, values, strict=True)
        )
        parent = f"SELECT FROM {key.parent} AS p WHERE {matches}"
        conditions.append(f"({given} AND NOT EXISTS ({parent}))")
    return (
        f"SELECT e.n FROM {_given(rows, names, mapping)}\n"
        f"WHERE {' OR '.join(conditions) or 'false'}"
    )


def moved(mapping: Mapping, keys: Collection[tuple[str | None, ...]]) -> str:
    """Return the query for the numbers (from 1) of rows that a recorded move has brought over.

    :param keys: legacy keys
    """
    written = mapping.writes(LEGACY)
    # Of a compound key each part alone is looked for: a row must also be in the source to count.
    parts = ", ".join(f"({written[name]})::text" for name in mapping.target_key)
    return (
        f"SELECT DISTINCT e.n FROM {_given(keys, list(mapping.legacy.row_key), mapping)}\n"
        f"JOIN compat.move_batch AS b ON b.mapping = {literal(mapping.name)}\n"
        f"    AND b.keys @> ARRAY[{parts}]"
    )


def _expected(mapping: Mapping, lens: Lens) -> str | None:
    """Return SQL over a legacy row (alias l) for what the target shows, None when unknown."""
    if not lens.rule.reads:
        return None
    return after_loss(mapping, lens, {n: LEGACY.column(n) for n in mapping.legacy.column_names})


def _given(rows: Collection[tuple[str | None, ...]], names: list[str], mapping: Mapping) -> str:
    """Return FROM items: rows that a program has as text, typed (alias l), and numbers (e.n)."""
    types = {column.name: column.type for column in mapping.legacy.columns}
    columns = ", ".join(
        f"(e.row ->> {n})::{types[name]} AS {ident(name)}" for n, name in enumerate(names)
    )
    document = literal(json.dumps([list(row) for row in rows], ensure_ascii=False))
    return (
        f"pg_catalog.jsonb_array_elements({document}::jsonb) WITH ORDINALITY AS e(row, n)\n"
        f"CROSS JOIN LATERAL (SELECT {columns}) AS l"
    )


def _class(keys: Iterable[str], modulus: int) -> str:
    text = f"ROW({', '.join(f'{key}::text' for key in keys)})::text"
    return f"(pg_catalog.hashtextextended({text}, 0) & {modulus - 1})"


def _texts(values: Iterable[str]) -> str:
    items = [f"({value})::text" for value in values]
    return f"ARRAY[{', '.join(items)}]" if items else "ARRAY[]::text[]"
