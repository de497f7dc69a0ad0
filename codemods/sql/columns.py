"""Decides to which relation a column belongs, and renames it if that is the legacy table.

A bare name is looked for level by level, as PostgreSQL does; where it could be the column of
another relation whose columns are not known, the statement stays as it is.
"""

from __future__ import annotations

from sqlglot import exp

from codemods.sql.ledger import Ledger
from codemods.sql.scope import Frame, Source
from codemods.sql.syntax import compared_with, name_of


class Columns:
    """The columns of one statement."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def resolve(self, node: exp.Column, frame: Frame) -> None:
        """Decide on a column that is named by an identifier, or is `relation.*`."""
        table = node.args.get("table")
        if isinstance(table, exp.Identifier):
            self._qualified(node, table, frame)
        elif isinstance(node.this, exp.Identifier):
            self._bare_column(node, node.this, frame)

    def _qualified(self, node: exp.Column, table: exp.Identifier, frame: Frame) -> None:
        source = frame.find(name_of(table))
        db = node.args.get("db")
        if isinstance(node.this, exp.Star):
            if source is not None and source.legacy:
                self.ledger.block("* shows all columns of the table, under their names")
            self.ledger.mark(table, "another relation")
            return
        if not isinstance(node.this, exp.Identifier):
            return
        if source is None and self.ledger.variables:
            self._field(table, node.this)
            return
        if source is None:
            self.ledger.mark(table, "no relation of this name in the statement", look=True)
            if self._matters(name_of(node.this)):
                self.ledger.block(f"no relation {table.name!r} in the statement")
            return
        if source.legacy and isinstance(db, exp.Identifier):
            if name_of(db) != source.legacy.legacy_schema:
                self.ledger.block(f"{db.name!r} is not the schema of the legacy table")
            elif source.legacy.target_schema != source.legacy.legacy_schema:
                self.ledger.rename(db, source.legacy.target_schema, "the schema changes")
        self.qualifier(table, frame)
        if source.inserted and self._matters(name_of(node.this)):
            self.ledger.mark(node.this, "the table is inserted at run time", look=True)
            return
        self.rename_of(node, node.this, source)

    def _field(self, record: exp.Identifier, field: exp.Identifier) -> None:
        """Decide on the field of a record variable of a function."""
        is_row = name_of(record) in ("new", "old")
        reason = "a row of a trigger, of a table that is not known here" if is_row else "a variable"
        self.ledger.mark(record, "a variable")
        self.ledger.mark(field, reason, look=is_row)

    def qualifier(self, identifier: exp.Identifier, frame: Frame) -> None:
        """Decide on the name of a relation before a column, or after FOR UPDATE OF."""
        source = frame.find(name_of(identifier))
        if source is None or not source.legacy or source.aliased:
            self.ledger.mark(identifier, "an alias or another relation")
        elif source.legacy.target_table != source.legacy.legacy_table:
            reason = "the table's name as a qualifier"
            self.ledger.rename(identifier, source.legacy.target_table, reason)
        else:
            self.ledger.mark(identifier, "the table keeps its name")

    def _bare_column(self, node: exp.Column, identifier: exp.Identifier, frame: Frame) -> None:
        name = name_of(identifier)
        whole = frame.find(name)
        if whole is not None and whole.legacy and not whole.has(name):
            self.ledger.block("a whole row of the table is used as a value")
            return
        everything = [source for level in frame.chain() for source in level.sources]
        if any(source.captures(name) for source in everything):
            if any(s.has(name) is not False for s in everything):
                self.ledger.block(f"{name!r} would become a column of the target table as well")
            else:
                self.ledger.mark(identifier, "no table has it now: a name of the target already")
            return
        passed: list[Source] = []
        for level in frame.chain():
            having = [s for s in level.sources if s.has(name)]
            unknown = [s for s in level.sources if s.has(name) is None]
            if having or unknown:
                self._among(
                    node, identifier, having=having, unknown=unknown, level=level, passed=passed
                )
                return
            passed += level.sources
        if everything or self.ledger.variables:
            self.ledger.mark(identifier, "no column of the legacy table")
        else:
            told = "no relation has this column here: a piece of a statement"
            self.ledger.mark(identifier, told, look=True)

    def _among(
        self,
        node: exp.Column,
        identifier: exp.Identifier,
        *,
        having: list[Source],
        unknown: list[Source],
        level: Frame,
        passed: list[Source],
    ) -> None:
        """Decide between the relations of one level that may have a bare column."""
        name = name_of(identifier)
        legacy = [s for s in having if s.legacy]
        beyond = list(level.outer.chain()) if level.outer else []
        if not legacy:
            outside = any(s.legacy and s.has(name) for f in beyond for s in f.sources)
            if not having and outside and self._matters(name):
                self.ledger.block(f"{name!r} may be a column of the legacy table or of another one")
            elif any(s.inserted for s in unknown):
                self.ledger.mark(identifier, "the table is inserted at run time", look=True)
            elif having and having[0].target:
                self.rename_of(node, identifier, having[0])
            else:
                self.ledger.mark(identifier, "a column of another relation")
            return
        renames = legacy[0].legacy
        column = renames.by_legacy.get(name) if renames else None
        if column is None or not column.matters:
            return
        if len(having) > 1 or unknown:
            others = ", ".join(
                "a relation inserted at run time" if s.inserted else s.name or "a relation"
                for s in (*having, *unknown)
                if not s.legacy
            )
            self.ledger.block(
                f"{name!r} may be a column of {others or 'the table under another name'}"
            )
            return
        neighbours = [s for s in (*level.sources, *passed) if s is not legacy[0]]
        if column.target is not None and any(s.has(column.target) for s in neighbours):
            self.ledger.block(f"{column.target!r} is also a column of another relation here")
            return
        self.rename_of(node, identifier, legacy[0])

    def rename_of(self, node: exp.Expr, identifier: exp.Identifier, source: Source) -> None:
        """Rename a column that is known to be one of `source`."""
        name = name_of(identifier)
        if source.target is not None:
            self.ledger.mark(identifier, "a column of the target table")
            if (converted := source.target.converted_by_target.get(name)) is not None:
                self.ledger.note(node, identifier, converted)
            return
        if source.legacy is None:
            self.ledger.mark(identifier, f"a column of {source.name or 'another relation'}")
            return
        column = source.legacy.by_legacy.get(name)
        if column is None or not column.matters:
            return
        if column.target is None:
            self.ledger.block(f"{name!r} {column.absence}")
            return
        if column.target == name:
            other = compared_with(node)
            told = f"{other}; {column.converted}" if other else column.converted
            self.ledger.mark(identifier, f"the name stays, but {told}", look=True)
            return
        self.ledger.note(node, identifier, column)
        reason = f"{source.legacy.legacy_table}.{name} is now {column.target}"
        self.ledger.rename(identifier, column.target, reason)

    def _matters(self, name: str) -> bool:
        return name in self.ledger.names.columns
