"""Walks a parsed statement: resolves every name at the query level where it stands.

What a name means is decided by `columns` and `tables`; this module knows which relations are in
sight where, for each kind of statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlglot import exp

from codemods.sql.columns import Columns
from codemods.sql.ledger import Ledger
from codemods.sql.outputs import Outputs
from codemods.sql.scope import Frame, Shape, Source, Use
from codemods.sql.syntax import (
    alias_of,
    folded,
    is_bare,
    is_star,
    name_of,
    ordered_by,
    outputs_of,
)
from codemods.sql.tables import Tables

_STAR = "* shows all columns of the table, under their names"


class Queries:
    """The work on one statement."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.columns = Columns(ledger)
        self.tables = Tables(ledger)
        self.outputs = Outputs(ledger, self.expression)
        self.program = Use.RENAMED if ledger.names.outputs == "new" else Use.NAMED

    # -- statements --------------------------------------------------------------------------

    def statement(self, tree: exp.Expr) -> None:
        """Resolve every name in a statement, and report it to the ledger."""
        root = Frame(None, {})
        if isinstance(tree, exp.Query | exp.Insert | exp.Update | exp.Delete | exp.Merge):
            self.query(tree, root, self.program)
        elif isinstance(tree, exp.Create) and isinstance(tree.expression, exp.Query):
            self._created(tree.this)
            self.query(tree.expression, root, Use.NAMED)
        elif isinstance(tree, exp.Copy):
            self._copy(tree, root)
        elif isinstance(tree, exp.TruncateTable):
            for table in tree.expressions:
                self.relation(table, root, root)
        elif isinstance(tree, exp.Grant | exp.Revoke):
            self._grant(tree, root)
        elif isinstance(tree, exp.Comment):
            self._comment(tree, root)
        else:
            self.ledger.block("statements of this kind are not rewritten")

    def _created(self, made: exp.Expr | None) -> None:
        table = made.this if isinstance(made, exp.Schema) else made
        if isinstance(table, exp.Table) and self.tables.classify(table, {}).legacy:
            self.ledger.block("it creates a relation under the legacy name")
        if isinstance(made, exp.Schema):
            for column in made.expressions:
                self.ledger.mark(column, "a column of what is created")

    def _copy(self, tree: exp.Copy, root: Frame) -> None:
        options = " ".join(str(p).lower() for p in tree.args.get("params") or ())
        reads = bool(tree.args.get("kind"))  # COPY … FROM
        this = tree.this
        if isinstance(this, exp.Subquery):
            self.query(this, root, self.program if "header" in options else Use.IGNORED)
        elif isinstance(this, exp.Schema) and isinstance(this.this, exp.Table):
            # A header that is read is skipped, unless it must match.
            if "header" in options and (not reads or "match" in options):
                self.ledger.block("COPY with a header shows the names of the columns")
            frame = Frame(root, {})
            self.relation(this.this, frame, root)
            if reads:
                self._whole_rows(frame.sources[0])
            self._column_list(this.expressions, frame.sources[0])
        else:
            self.ledger.block("COPY without a list of columns")

    def _grant(self, tree: exp.Grant | exp.Revoke, root: Frame) -> None:
        securable = tree.args.get("securable")
        if tree.args.get("kind") not in (None, "TABLE") or not isinstance(securable, exp.Table):
            self.ledger.block("statements of this kind are not rewritten")
            return
        frame = Frame(root, {})
        self.relation(securable, frame, root)
        self._whole_rows(frame.sources[0])
        for privilege in tree.args.get("privileges") or ():
            for column in privilege.expressions:
                self._column_list([column.this], frame.sources[0])

    def _comment(self, tree: exp.Comment, root: Frame) -> None:
        named = tree.this
        frame = Frame(root, {})
        if tree.args.get("kind") == "TABLE" and isinstance(named, exp.Table):
            self.relation(named, frame, root)
        elif tree.args.get("kind") == "COLUMN" and isinstance(named, exp.Column):
            # Only to know the relation; its name is renamed as the qualifier of the column.
            table = exp.Table(this=named.args.get("table"), db=named.args.get("db"))
            if isinstance(table.this, exp.Identifier):
                frame.sources.append(self.tables.classify(table.copy(), {}))
                self.expression(named, frame)
        else:
            self.ledger.block("statements of this kind are not rewritten")

    # -- queries ---------------------------------------------------------------------------

    def query(self, node: exp.Expr, outer: Frame, use: Use) -> Shape:
        """Resolve a query or a statement; return its output columns."""
        if isinstance(node, exp.Subquery):
            for key in ("order", "limit", "offset"):
                self.children(node.args.get(key), outer)
            return self.query(node.this, self._with(node, outer), use)
        frame = self._with(node, outer)
        if isinstance(node, exp.Select):
            return self._select(node, frame, use)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, frame, use)
        if isinstance(node, exp.Insert):
            return self._insert(node, frame, use)
        if isinstance(node, exp.Update):
            return self._update(node, frame, use)
        if isinstance(node, exp.Delete):
            return self._delete(node, frame, use)
        if isinstance(node, exp.Merge):
            return self._merge(node, frame, use)
        if isinstance(node, exp.Values):
            self.children(node, frame)
            return Shape()
        self.ledger.block("a statement of this kind inside another is not understood")
        return Shape()

    def _with(self, node: exp.Expr, outer: Frame) -> Frame:
        """Return the frame for a query after its WITH clause, whose parts see earlier ones."""
        clause = node.args.get("with_")
        frame = Frame(outer, dict(outer.ctes))
        if not isinstance(clause, exp.With):
            return frame
        for cte in clause.expressions:
            name, given = alias_of(cte)
            self.ledger.mark(name, "the name of a common table expression")
            for column in given or ():
                self.ledger.mark(column, "a column of a common table expression")
            assert isinstance(name, exp.Identifier)
            known = folded(given)
            seen = Frame(outer, dict(frame.ctes))
            key = name_of(name)
            if clause.args.get("recursive"):
                seen.ctes[key] = Source(key, known)
            use = Use.IGNORED if known else Use.RELATION
            shape = self.query(cte.this, seen, use)
            frame.ctes[key] = Source.of_query(key, shape, known)
        return frame

    def _select(self, node: exp.Select, frame: Frame, use: Use) -> Shape:
        from_ = node.args.get("from_")
        if isinstance(from_, exp.From):
            self.relation(from_.this, frame, frame.outer)
        self._joins(node, frame)
        for lateral in node.args.get("laterals") or ():
            self.relation(lateral, frame, frame)
        shape = self._handed_on(node, frame) if use is Use.RELATION else None
        items = [item for item in node.expressions if shape is None or not is_star(item)]
        shape = shape or Shape(outputs_of(items))
        renamed = self.outputs.projections(items, frame, use)
        for ordered in ordered_by(node):
            self.outputs.by_output_first(ordered, items, renamed, frame)
        distinct = node.args.get("distinct")
        if isinstance(distinct, exp.Distinct) and isinstance(distinct.args.get("on"), exp.Expr):
            on = distinct.args["on"]
            for item in on.expressions if isinstance(on, exp.Tuple) else (on,):
                self.outputs.by_output_first(item, items, renamed, frame)
        for lock in node.args.get("locks") or ():
            self._lock(lock, frame)
        self._grouped(node, shape, frame)
        done = {"from_", "joins", "laterals", "expressions", "order", "distinct", "locks", "with_"}
        self._others(node, done, frame)
        return replace(shape, renamed=renamed)

    def _handed_on(self, node: exp.Select, frame: Frame) -> Shape | None:
        """Return what `SELECT *` over the legacy table alone hands to the query around it."""
        stars = [item for item in node.expressions if is_star(item)]
        legacy = frame.sources[0].legacy if len(frame.sources) == 1 else None
        if len(stars) != 1 or legacy is None:
            return None
        own = outputs_of(item for item in node.expressions if item not in stars)
        columns = frame.sources[0].columns
        if own is None or columns is None or own & (columns | legacy.all_target_columns):
            return None
        table = stars[0].args.get("table")
        if isinstance(table, exp.Identifier):
            self.columns.qualifier(table, frame)
        return Shape(columns | own, legacy)

    def _set_operation(self, node: exp.SetOperation, frame: Frame, use: Use) -> Shape:
        # A `*` is handed on by a single query only: both sides would have to agree.
        first = Use.NAMED if use is Use.RELATION else use
        shape = self.query(node.this, frame, first)
        second = use if use is Use.EXISTENCE else Use.IGNORED
        self.query(node.expression, frame, second)
        for ordered in ordered_by(node):
            self.outputs.only_output(ordered, shape.renamed, frame)
        self.children(node.args.get("limit"), frame)
        self.children(node.args.get("offset"), frame)
        return shape

    def _grouped(self, node: exp.Select, shape: Shape, frame: Frame) -> None:
        """GROUP BY takes a bare name as an output's only while no relation has such a column."""
        group = node.args.get("group")
        for item in group.expressions if isinstance(group, exp.Group) else ():
            if isinstance(item, exp.Column) and is_bare(item):
                name = name_of(item.this)
                captured = any(source.captures(name) for source in frame.sources)
                if captured and (shape.columns is None or name in shape.columns):
                    self.ledger.block(f"{name!r} would become a column of the target table as well")

    def _lock(self, lock: exp.Expr, frame: Frame) -> None:
        for table in lock.expressions:
            if isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier):
                self.columns.qualifier(table.this, frame)

    # -- statements that write ---------------------------------------------------------------

    def _insert(self, node: exp.Insert, frame: Frame, use: Use) -> Shape:
        this = node.this
        table = this.this if isinstance(this, exp.Schema) else this
        if not isinstance(table, exp.Table):
            self.ledger.block("the target of INSERT is not understood")
            return Shape()
        inside = Frame(frame.outer, frame.ctes)
        self.relation(table, inside, frame, is_target=True)
        target = inside.sources[0]
        self._whole_rows(target)
        if isinstance(this, exp.Schema):
            self._column_list(this.expressions, target)
        elif target.legacy and not node.args.get("default"):
            self.ledger.block("INSERT without a list of columns")
        if isinstance(node.expression, exp.Expr):
            self.query(node.expression, frame, Use.IGNORED)
        conflict = node.args.get("conflict")
        if isinstance(conflict, exp.OnConflict):
            self._conflict(conflict, inside, target)
        return self._returning(node, inside, use)

    def _whole_rows(self, target: Source) -> None:
        """List what makes or removes rows that are more than one row of the target."""
        if target.legacy and target.legacy.incomplete is not None:
            self.ledger.block(target.legacy.incomplete)

    def _conflict(self, conflict: exp.OnConflict, frame: Frame, target: Source) -> None:
        constraint = conflict.args.get("constraint")
        if target.legacy and constraint is not None:
            self.ledger.block("ON CONFLICT names a constraint, which the target may not have")
        excluded = replace(target, name="excluded", aliased=True)
        both = Frame(frame.outer, frame.ctes, [target, excluded])
        for assignment in conflict.expressions:
            self._assignment(assignment, target, both)
        self.children(conflict.args.get("where"), both)
        self._others(conflict, {"expressions", "where", "constraint"}, frame)

    def _update(self, node: exp.Update, frame: Frame, use: Use) -> Shape:
        if not isinstance(node.this, exp.Table) or not node.expressions:
            self.ledger.block("UPDATE without SET")
            return Shape()
        self.relation(node.this, frame, frame.outer, is_target=True)
        target = frame.sources[0]
        self._joins(node, frame)
        from_ = node.args.get("from_")
        if isinstance(from_, exp.From):
            self.relation(from_.this, frame, frame.outer)
        for assignment in node.expressions:
            self._assignment(assignment, target, frame)
        self._others(node, {"this", "expressions", "from_", "returning", "with_", "joins"}, frame)
        return self._returning(node, frame, use)

    def _delete(self, node: exp.Delete, frame: Frame, use: Use) -> Shape:
        if not isinstance(node.this, exp.Table):
            self.ledger.block("the target of DELETE is not understood")
            return Shape()
        self.relation(node.this, frame, frame.outer, is_target=True)
        self._whole_rows(frame.sources[0])
        for using in node.args.get("using") or ():
            self.relation(using, frame, frame.outer)
        self._others(node, {"this", "using", "returning", "with_"}, frame)
        return self._returning(node, frame, use)

    def _merge(self, node: exp.Merge, frame: Frame, use: Use) -> Shape:
        using = node.args.get("using")
        if not isinstance(node.this, exp.Table) or not isinstance(using, exp.Expr):
            self.ledger.block("MERGE is not understood")
            return Shape()
        self.relation(node.this, frame, frame.outer, is_target=True)
        target = frame.sources[0]
        self._whole_rows(target)
        self.relation(using, frame, frame.outer)
        source = Frame(frame.outer, frame.ctes, frame.sources[1:])
        self.children(node.args.get("on"), frame)
        whens = node.args.get("whens")
        for when in whens.expressions if isinstance(whens, exp.Whens) else ():
            # WHEN NOT MATCHED sees the source only: there is no row of the target.
            adds = isinstance(when.args.get("then"), exp.Insert)
            self.children(when.args.get("condition"), source if adds else frame)
            self._merge_action(when.args.get("then"), target, source if adds else frame)
        return self._returning(node, frame, use)

    def _merge_action(self, then: object, target: Source, frame: Frame) -> None:
        if isinstance(then, exp.Update):
            for assignment in then.expressions:
                self._assignment(assignment, target, frame)
        elif isinstance(then, exp.Insert):
            if isinstance(then.this, exp.Tuple):
                self._column_list([column.this for column in then.this.expressions], target)
            elif target.legacy:
                self.ledger.block("INSERT without a list of columns")
            self.children(then.expression, frame)

    def _returning(self, node: exp.Expr, frame: Frame, use: Use) -> Shape:
        returning = node.args.get("returning")
        if not isinstance(returning, exp.Returning):
            return Shape(frozenset())
        renamed = self.outputs.projections(returning.expressions, frame, use)
        return Shape(outputs_of(returning.expressions), renamed=renamed)

    def _assignment(self, node: exp.Expr, target: Source, frame: Frame) -> None:
        if not isinstance(node, exp.EQ):
            self.ledger.block("an assignment is not understood")
            return
        left = node.this
        for column in left.expressions if isinstance(left, exp.Tuple) else (left,):
            if isinstance(column, exp.Column) and not column.args.get("table"):
                self.columns.rename_of(column, column.this, target)
            elif target.legacy:
                self.ledger.block("the left side of an assignment is more than a column")
        self.expression(node.expression, frame)

    def _column_list(self, columns: Iterable[exp.Expr], target: Source) -> None:
        for column in columns:
            if isinstance(column, exp.Identifier):
                self.columns.rename_of(column, column, target)
            elif target.legacy:
                self.ledger.block("a list of columns holds more than names")

    # -- relations -----------------------------------------------------------------------------

    def _joins(self, node: exp.Expr, frame: Frame) -> None:
        joins = node.args.get("joins") or ()
        for join in joins:
            self.relation(join.this, frame, frame)
        for join in joins:
            mixes = any(source.legacy for source in frame.sources)
            if join.args.get("method") == "NATURAL" and mixes:
                self.ledger.block("NATURAL JOIN pairs columns by name")
            for identifier in join.args.get("using") or ():
                self._joined_by(identifier, frame)
            self.children(join.args.get("on"), frame)

    def _joined_by(self, node: exp.Expr, frame: Frame) -> None:
        identifier = node.this if isinstance(node, exp.Column) else node
        if not isinstance(identifier, exp.Identifier):
            self.ledger.block("USING is not understood")
            return
        name = name_of(identifier)
        having = [source for source in frame.sources if source.has(name) is not False]
        columns = [s.legacy.by_legacy.get(name) if s.legacy else None for s in frame.sources]
        if not any(column is not None and column.matters for column in columns):
            self.ledger.mark(identifier, "USING, not over the legacy table")
        elif len({source.legacy for source in having}) == 1:
            # The table joined with itself: both sides get the new name.
            self.columns.rename_of(identifier, identifier, having[0])
        else:
            self.ledger.block(f"USING pairs {name!r} with a column of another table by name")

    def relation(
        self, node: exp.Expr, frame: Frame, outer: Frame | None, *, is_target: bool = False
    ) -> None:
        """Add what one item of a FROM clause offers to a frame.

        :param outer: what the item itself sees (the level outside, or LATERAL its neighbours)
        """
        outside = outer or Frame(None, frame.ctes)
        if isinstance(node, exp.Table):
            self._table(node, frame, outside, is_target=is_target)
            return
        name, given = alias_of(node)
        self.ledger.mark(name, "an alias")
        for column in given or ():
            self.ledger.mark(column, "a column of an alias")
        key = name_of(name) if isinstance(name, exp.Identifier) else ""
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            # Parentheses around a join; under an alias of their own the names inside are hidden.
            before = len(frame.sources)
            self.relation(node.this, frame, outer)
            if key:
                if any(s.legacy for s in frame.sources[before:]):
                    self.ledger.block("an alias over a join hides the legacy table")
                frame.sources[before:] = [Source(key)]
            return
        known = folded(given)
        use = Use.IGNORED if known else Use.RELATION
        shape = Shape()
        if isinstance(node, exp.Subquery):
            # A sub-select in FROM sees its neighbours only when LATERAL.
            shape = self.query(node, Frame(frame.outer, frame.ctes), use)
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            shape = self.query(node.this, frame, use)
        elif isinstance(node, exp.Lateral):
            self.children(node.this, frame)
        else:
            self._others(node, {"alias"}, frame)
        frame.sources.append(Source.of_query(key, shape, known))

    def _table(self, node: exp.Table, frame: Frame, outside: Frame, *, is_target: bool) -> None:
        alias, given = alias_of(node)
        self.ledger.mark(alias, "an alias")
        for column in given or ():
            self.ledger.mark(column, "a column of an alias")
        if not isinstance(node.this, exp.Identifier):
            # A function in FROM sees the relations before it.
            self.children(node.this, frame)
            key = name_of(alias) if isinstance(alias, exp.Identifier) else ""
            frame.sources.append(Source(key, folded(given)))
            return
        source = self.tables.classify(node, {} if is_target else frame.ctes)
        if isinstance(alias, exp.Identifier):
            source = replace(source, name=name_of(alias), aliased=True)
        if given:
            if source.legacy:
                self.ledger.block("an alias renames the columns of the legacy table")
            source = replace(source, columns=folded(given))
        open_name = self.tables.may_be_legacy(node.this, source)
        if open_name or self.tables.is_inserted(node.this):
            source = replace(source, inserted=True)
        frame.sources.append(source)
        if source.legacy and not source.derived:
            self.tables.rename(node, source, frame)
        elif open_name:
            self.ledger.mark(node.this, "a part of its name is inserted at run time", look=True)
        elif node.this.name:
            self.ledger.mark(node.this, "another relation")
        self._joins(node, frame)
        self.children(node.args.get("sample"), outside)

    # -- expressions ---------------------------------------------------------------------------

    def _others(self, node: exp.Expr, done: set[str], frame: Frame) -> None:
        """Resolve the arguments of a node that nobody has taken care of."""
        for key, value in node.args.items():
            if key not in done:
                self.children(value, frame)

    def children(self, value: object, frame: Frame) -> None:
        """Resolve what stands in one argument of a node: nothing, a node, or a list of them."""
        if isinstance(value, exp.Expr):
            self.expression(value, frame)
        elif isinstance(value, list):
            for item in value:
                self.children(item, frame)

    def expression(self, node: exp.Expr, frame: Frame) -> None:
        """Resolve the names in an expression."""
        if isinstance(node, exp.Column):
            self._column(node, frame)
        elif isinstance(node, exp.Exists):
            if isinstance(node.this, exp.Query):
                self.query(node.this, frame, Use.EXISTENCE)
            else:
                self.children(node.this, frame)
        elif isinstance(node, exp.In) and isinstance(node.args.get("query"), exp.Expr):
            self.expression(node.this, frame)
            self.query(node.args["query"], frame, Use.IGNORED)
        elif isinstance(node, exp.Query):
            self.query(node, frame, Use.NAMED)
        elif isinstance(node, exp.Alias):
            self.ledger.mark(node.args.get("alias"), "the name of an output")
            self.expression(node.this, frame)
        elif isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
            return
        elif isinstance(node, exp.Star):
            if any(source.legacy for source in frame.sources):
                self.ledger.block(_STAR)
        else:
            for value in node.args.values():
                self.children(value, frame)

    def _column(self, node: exp.Column, frame: Frame) -> None:
        if isinstance(node.this, exp.Star) and not node.args.get("table"):
            self.expression(node.this, frame)
            return
        if not isinstance(node.this, exp.Identifier | exp.Star):
            self.children(node.this, frame)
        self.columns.resolve(node, frame)
