"""Decides which relation a table's name means, and renames the legacy one."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from codemods.renames import INSERTED, Renames
from codemods.sql.identifiers import quote
from codemods.sql.ledger import Ledger
from codemods.sql.scope import Frame, Source
from codemods.sql.syntax import name_of


class Tables:
    """The tables of one statement."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def classify(self, node: exp.Table, ctes: dict[str, Source]) -> Source:
        """Return which relation a table's name means."""
        assert isinstance(node.this, exp.Identifier)
        name = name_of(node.this)
        db = node.args.get("db")
        schema = name_of(db) if isinstance(db, exp.Identifier) else None
        if schema is None and name in ctes:
            return replace(ctes[name], name=name)
        names = self.ledger.names
        legacy = [r for r in names.for_table(name) if schema in (None, r.legacy_schema)]
        target = [r for r in names.for_target(name) if schema in (None, r.target_schema)]
        if len(legacy) > 1:
            self.ledger.block(f"{name!r} is a legacy table in several schemas")
        if legacy:
            self.ledger.legacy = True
            return Source(name, frozenset(legacy[0].by_legacy), legacy=legacy[0], aliased=False)
        if target:
            known = frozenset(target[0].target_columns) or None
            return Source(name, known, target=target[0], aliased=False)
        if isinstance(db, exp.Identifier) and self.is_inserted(db):
            return Source(name, inserted=True, aliased=False)
        return Source(name, names.columns_of(schema, name), aliased=False)

    def is_inserted(self, identifier: exp.Identifier) -> bool:
        """Tell whether a name is only known at run time."""
        start = identifier.meta.get("start")
        return any(hole.start == start for hole in self.ledger.holes)

    def may_be_legacy(self, identifier: exp.Identifier, source: Source) -> bool:
        """Tell whether what is inserted into the name, or before it, may make it the legacy one."""
        span = self.ledger.span(identifier)
        if span is None or source.legacy:
            return False
        written = self.ledger.text[slice(*span)]
        is_open = (
            source.inserted
            or INSERTED.search(written) is not None
            or any(hole.start < span[1] and span[0] < hole.end for hole in self.ledger.holes)
        )
        return is_open and self.ledger.names.mentions_table(written)

    def rename(self, node: exp.Table, source: Source, frame: Frame) -> None:
        """Give a legacy table the name of its target."""
        renames = source.legacy
        identifier = node.this
        assert renames is not None
        assert isinstance(identifier, exp.Identifier)
        taken = [s for s in frame.sources if s is not source and s.name == renames.target_table]
        if (taken and not source.aliased) or renames.target_table in frame.ctes:
            self.ledger.block(f"the name {renames.target_table!r} is in use in the statement")
        if renames.divided is not None:
            self.ledger.block(renames.divided)
        reason = f"{renames.legacy_title} is now {renames.target_title}"
        db = node.args.get("db")
        if node.args.get("catalog"):
            self.ledger.block("the table's name begins with a database")
        if isinstance(db, exp.Identifier):
            if renames.target_schema != renames.legacy_schema:
                self.ledger.rename(db, renames.target_schema, "the schema changes")
            else:
                self.ledger.mark(db, "a schema")
        elif renames.target_schema != renames.legacy_schema:
            self._rename_with_schema(node, identifier, renames, reason)
            return
        if renames.target_table != renames.legacy_table:
            self.ledger.rename(identifier, renames.target_table, reason)
        else:
            self.ledger.mark(identifier, "the table keeps its name")

    def _rename_with_schema(
        self, node: exp.Table, identifier: exp.Identifier, renames: Renames, reason: str
    ) -> None:
        """An unqualified name becomes a qualified one, as the schema may not be searched."""
        schema, schema_quoted = quote(renames.target_schema)
        written, quoted = quote(
            renames.target_table, keep_quotes=bool(identifier.args.get("quoted"))
        )

        def change() -> None:
            identifier.set("this", renames.target_table)
            identifier.set("quoted", quoted)
            node.set("db", exp.to_identifier(renames.target_schema, quoted=schema_quoted))

        self.ledger.replace(identifier, f"{schema}.{written}", reason, change)
