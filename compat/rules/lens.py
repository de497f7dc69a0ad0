"""A rule bound to the columns that it connects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from compat import sqltypes
from compat.rules.any_rule import AnyRule
from compat.rules.core import Converting, Ends, Row
from compat.rules.expression import Expression
from compat.rules.json_field import JsonField
from compat.rules.lookup import Lookup
from compat.tables import Column


@dataclass(frozen=True)
class Lens:
    """A rule bound to the columns it connects: what compilation works with.

    :param part: the row of the part of the target that it reads and writes, None for the target
    :param among_others: whether compiled queries reach other tables beside that row
    """

    rule: AnyRule
    ends: Ends
    part: Row | None = None
    among_others: bool = False

    @property
    def legacy(self) -> Column:
        """The legacy column."""
        return self.ends.legacy

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns that writing sets, the main one first."""
        return self.rule.targets

    @property
    def key_column(self) -> str:
        """The target column that finds rows by the legacy value: beside a lookup, the number."""
        return self.targets[1] if self.keeps_number else self.targets[0]

    @property
    def keeps_number(self) -> bool:
        """True when the target holds a reference by its legacy number as well."""
        return isinstance(self.rule, Lookup) and self.rule.keep is not None

    def read(self, target: Row) -> str:
        """Return SQL of exactly the legacy type and collation over a target row.

        A part is read by its own alias, beside that row.
        """
        sql = self.rule.read(self._place(target), self.ends)
        return f"({sql}) COLLATE {self._collation}" if self._collation else sql

    @property
    def _collation(self) -> str | None:
        """The collation that the read expression must be given, None when it has it already."""
        sources = {self.ends.target(name).collation for name in self.rule.reads}
        wanted = self.legacy.collation
        if sources <= {wanted} and (self.rule.reads or wanted is None):
            return None
        if wanted is None and not sqltypes.parse(self.legacy.type).is_character:
            return None
        return wanted or 'pg_catalog."default"'

    def write(self, legacy: Row, current: Row | None = None) -> dict[str, str]:
        """Return SQL for each target column over a legacy row."""
        current = None if current is None else self._place(current)
        return self.rule.write(legacy, self.ends, current)

    def _place(self, target: Row) -> Row:
        if self.part is not None:
            return self.part
        # Bare names in a user's expression would be ambiguous among several tables.
        return replace(target, is_record=True) if self.among_others else target

    def changed(self, before: Row, after: Row) -> str:
        """Return SQL that is true when the legacy value differs between two legacy rows."""
        name = self.legacy.name
        return sqltypes.differs(
            before.column(name), after.column(name), self.legacy.type, self.legacy.collation
        )

    @property
    def loss(self) -> str | None:
        """Why the rule may lose something and does not keep it, or None."""
        keeps = isinstance(self.rule, Converting) and self.rule.keep is not None
        return None if keeps else self.rule.loss(self.ends)

    def lost(self, legacy: Row) -> str | None:
        """Return a predicate for legacy rows that would lose something, or None."""
        return self.rule.lost(legacy, self.ends)

    @property
    def refuses_null(self) -> bool:
        """True when the legacy column takes a NULL that the target does not."""
        may_be_null = self.legacy.nullable and not self.rule.absorbs_null()
        return may_be_null and any(not self.ends.target(n).nullable for n in self.targets[:1])

    @property
    def refusals(self) -> tuple[str, ...]:
        """What the legacy table takes and the target cannot hold: a write of it is an error."""
        found = ["NULL"] if self.refuses_null else []
        if (values := self.rule.refuses(self.ends)) is not None:
            found.append(values)
        return tuple(found)

    def refused(self, legacy: Row) -> str | None:
        """Return a predicate for legacy rows that cannot be written, or None."""
        predicate = self.rule.refused(legacy, self.ends)
        if self.refuses_null:
            is_null = f"{legacy.column(self.legacy.name)} IS NULL"
            return is_null if predicate is None else f"({predicate} OR {is_null})"
        return predicate

    def put(self, document: str, legacy: Row, when: str | None = None) -> str:
        """Return SQL for a document that lenses share, with the part of this one written.

        :param when: SQL of a condition without which the document stays as it is
        """
        assert isinstance(self.rule, JsonField), self.rule
        return self.rule.put(document, legacy, self.ends, when)

    @property
    def converts(self) -> bool:
        """True unless the rule is a plain rename."""
        return self.rule.rule != "column"

    @property
    def reads_back_exactly(self) -> bool:
        """True when reading after a write must give what was written (no loss, not read-only)."""
        return self.loss is None and not isinstance(self.rule, Expression)


def new_row(lenses: Iterable[Lens], legacy: Row, given: Mapping[str, str]) -> dict[str, str]:
    """Return SQL for what lenses write into a new target row, over a legacy row.

    Lenses that share a column write it together.

    :param given: SQL for columns that something else gives; where lenses share such a column, their
        parts are put into it
    """
    written: dict[str, str] = {}
    for lens in lenses:
        (name, *_) = lens.targets or ("",)
        if lens.rule.shares and (document := written.get(name, given.get(name))) is not None:
            written[name] = lens.put(document, legacy)
        else:
            written |= lens.write(legacy)
    return written


def changed_row(
    lenses: Sequence[Lens],
    current: Row,
    before: Row,
    after: Row,
    computed: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return SQL for what lenses write into a target row when the legacy row changes.

    A converted column is written only when its legacy value changed (GetPut), so that what the
    legacy side cannot see (microseconds, the instant behind a flag, other members of a document)
    survives.

    :param current: the target row, `before` and `after` the legacy row
    :param computed: SQL to take for a column, where what its lens writes was computed beforehand
    """
    written: dict[str, str] = {}
    for lens in lenses:
        if lens.rule.shares:
            (name,) = lens.targets
            if name not in written:
                sharing = [other for other in lenses if other.targets == lens.targets]
                written[name] = _changed_document(sharing, current, before, after)
            continue
        changed = lens.changed(after, before)
        for name, value in lens.write(after, current).items():
            new = computed.get(name, value)
            kept = f"CASE WHEN {changed} THEN {new} ELSE {current.column(name)} END"
            written[name] = kept if lens.converts else new
    return written


def _changed_document(lenses: Sequence[Lens], current: Row, before: Row, after: Row) -> str:
    first = lenses[0]
    assert isinstance(first.rule, JsonField), first.rule
    document = first.rule.document(current, first.ends)
    changes = [lens.changed(after, before) for lens in lenses]
    for lens, change in zip(lenses, changes, strict=True):
        document = lens.put(document, after, change if len(lenses) > 1 else None)
    kept = current.column(first.rule.target)
    return f"CASE WHEN {' OR '.join(changes)} THEN {document} ELSE {kept} END"
