"""What a module tells an object-relational mapper about a legacy table, whichever it is.

Goes over classes and calls once, and hands each to who knows it.
"""

from __future__ import annotations

import libcst as cst

from codemods.models.constraints import Constraints
from codemods.models.declarative import Declarative
from codemods.models.fields import Fields
from codemods.models.tables import Tables
from codemods.python.work import Work, items, keyword, positional


def visit(work: Work) -> None:
    """Find and decide about all definitions of a module, and references to tables in them."""
    constraints = Constraints(work)
    declarative, tables, fields = (
        Declarative(work, constraints),
        Tables(work, constraints),
        Fields(work, constraints),
    )
    for node in work.tree.of(cst.ClassDef, cst.Call, cst.Subscript):
        if isinstance(node, cst.ClassDef):
            declarative.visit(node)
            fields.visit(node)
        elif isinstance(node, cst.Call):
            construct = work.tree.scope.construct(node.func)
            if construct == "Table":
                tables.visit(node)
            elif construct == "table":
                tables.visit_lightweight(node)
            else:
                _references(work, constraints, node)
        elif isinstance(node, cst.Subscript):
            _metadata_table(work, constraints, node)


def _references(work: Work, constraints: Constraints, call: cst.Call) -> None:
    """Names of tables and of their columns in the definitions of other tables."""
    construct = work.tree.scope.construct(call.func)
    plain = positional(call)
    if construct == "ForeignKey" and plain:
        constraints.reference(plain[0])
    elif construct == "ForeignKeyConstraint" and len(plain) > 1:
        for item in items(plain[1]):
            constraints.reference(item)
    elif construct in ("relationship", "Relationship", "backref"):
        for name in ("secondary", "link_model"):
            if (arg := keyword(call, name)) is not None:
                constraints.table_name(arg.value)
        for name in ("primaryjoin", "secondaryjoin", "order_by", "foreign_keys", "remote_side"):
            if (arg := keyword(call, name)) is not None:
                for node in (arg.value, *items(arg.value)):
                    constraints.joined(node)
    elif construct == "Field" and (arg := keyword(call, "foreign_key")) is not None:
        constraints.reference(arg.value)


def _metadata_table(work: Work, constraints: Constraints, node: cst.Subscript) -> None:
    """`metadata.tables["order_line_items"]`."""
    is_tables = isinstance(node.value, cst.Attribute) and node.value.attr.value == "tables"
    if is_tables and len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index):
        constraints.table_name(node.slice[0].slice.value)
