"""What the place of a string or a name in a Python module says about its meaning.

Pure questions about a tree; each answer is a reason that a reader of the report can follow.
"""

from __future__ import annotations

import re

import libcst as cst

from codemods.python.tree import Tree, dotted_source
from codemods.sql.identifiers import words

STATEMENT = re.compile(
    r"""(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*
    (?:SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|TRUNCATE|COPY|EXPLAIN|LOCK|GRANT
    |REVOKE|COMMENT|ANALYZE|VACUUM|DECLARE|PREPARE|REFRESH|VALUES|TABLE|DO|CALL)\b""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""How a text begins that may be a whole SQL statement."""

_PIECE = re.compile(
    r"""\b(?:SELECT|FROM|WHERE|JOIN|AND|OR|NOT|IN|ON|AS|SET|IS|ASC|DESC|VALUES|RETURNING|LIMIT
    |HAVING|LIKE|ILIKE|BETWEEN|NULL|USING|CONFLICT)\b
    |(?i:\b(?:select|where|order\s+by|group\s+by|having|returning|join|is\s+null)\b)
    |[=<>*]|::\w|%\(?\w*\)?s|(?<!:):[a-z_]+|\w+\.\w+|\w+\s*,\s*\w+|_hole_\d+_""",
    re.VERBOSE,
)
"""Signs that a text may be a piece of a statement; the bare words in capitals only."""

_TALKING = words(
    "debug info warning warn error exception critical fatal log print echo secho fail skip exit"
    " getLogger write_line trace success notice message"
)
_EXPLAINING = words("help description epilog doc comment message msg title label")

STRINGS = (cst.SimpleString, cst.FormattedString, cst.TemplatedString, cst.ConcatenatedString)


def is_whole_string(tree: Tree, node: cst.CSTNode) -> bool:
    """Tell whether a node is a string expression and not a part of one."""
    return isinstance(node, STRINGS) and not isinstance(tree.parent(node), cst.ConcatenatedString)


def told_to_people(tree: Tree, node: cst.CSTNode) -> str | None:
    """Return why a string is a text for people, if its place says so."""
    for parent in tree.parents(node):
        if isinstance(parent, cst.Expr):
            return "a docstring"
        if isinstance(parent, cst.Raise):
            return "the text of an exception"
        if isinstance(parent, cst.Assert):
            return "the text of an assertion"
        if isinstance(parent, cst.Arg) and parent.keyword is not None:
            if parent.keyword.value in _EXPLAINING:
                return f"a text for people ({parent.keyword.value}=)"
            return None
        if isinstance(parent, cst.Call):
            name = dotted_source(parent.func).rpartition(".")[2]
            if name in _TALKING:
                return f"a text for people ({name})"
            if name.endswith(("Error", "Exception", "Warning")):
                return "the text of an exception"
            return None
        if not isinstance(parent, cst.Arg | cst.BinaryOperation | cst.Attribute | cst.Tuple):
            return None
    return None


def is_formatted_with_percent(tree: Tree, node: cst.CSTNode) -> bool:
    """Tell whether Python's `%` operator fills in a string."""
    parent = tree.parent(node)
    return (
        isinstance(parent, cst.BinaryOperation)
        and isinstance(parent.operator, cst.Modulo)
        and parent.left is node
    )


def is_piece(tree: Tree, node: cst.CSTNode) -> str | None:
    """Return why a string is only a part of a longer text, if that is so."""
    inner = node
    for parent in tree.parents(node):
        if isinstance(parent, cst.BinaryOperation) and isinstance(parent.operator, cst.Add):
            return "joined with + to other text"
        if isinstance(parent, cst.AugAssign):
            return "added to another text"
        if isinstance(parent, cst.Assign):
            return _added_to(tree, [target.target for target in parent.targets])
        if isinstance(parent, cst.AnnAssign):
            return _added_to(tree, [parent.target])
        if isinstance(parent, cst.Element) and _is_joined(tree, parent):
            return "joined with other text"
        if isinstance(parent, cst.Call):
            # `"…".format(…)` and `dedent("…")` give one text; another call uses it up.
            by_method = isinstance(parent.func, cst.Attribute) and parent.func.value is inner
            name = dotted_source(parent.func).rpartition(".")[2]
            if not by_method and name not in ("dedent", "cleandoc", "text", "SQL"):
                return None
        elif not isinstance(
            parent, cst.BinaryOperation | cst.Attribute | cst.Arg | cst.IfExp | cst.NamedExpr
        ):
            return None
        inner = parent
    return None


def _is_joined(tree: Tree, element: cst.CSTNode) -> bool:
    """Tell whether a list of strings is the argument of `"…".join(…)`."""
    for parent in tree.parents(element):
        if isinstance(parent, cst.Call):
            return dotted_source(parent.func).endswith("join") or (
                isinstance(parent.func, cst.Attribute) and parent.func.attr.value == "join"
            )
        if not isinstance(parent, cst.List | cst.Tuple | cst.Arg):
            return False
    return False


def _added_to(tree: Tree, targets: list[cst.BaseAssignTargetExpression]) -> str | None:
    names = {target.value for target in targets if isinstance(target, cst.Name)}
    names |= {target.attr.value for target in targets if isinstance(target, cst.Attribute)}
    for name in sorted(names & tree.extended):
        return f"more is added to {name!r}, or it is put into another text"
    return None


_ATTRIBUTE_TAKING = words(
    "getattr setattr hasattr delattr attrgetter association_proxy synonym validates"
    " attribute_keyed_dict column_keyed_dict attribute_mapped_collection"
)


def plain_column(tree: Tree, node: cst.CSTNode) -> str | None:
    """Return why a string that is exactly a column's name keeps working as it is, if it does."""
    parent = tree.parent(node)
    if isinstance(parent, cst.Index):
        return "a key of a row: outputs keep their names"
    if isinstance(parent, cst.DictElement) and parent.key is node:
        if _inside_call(tree, node, "on_conflict_do_update"):
            return None
        return "a key of a dictionary: parameters and attributes keep their names"
    if isinstance(parent, cst.Comparison | cst.ComparisonTarget | cst.MatchValue):
        return "compared with a value"
    if isinstance(parent, cst.Element) and _lists_fields(tree, parent):
        return "a list of a model's fields, which stay"
    if isinstance(parent, cst.Arg):
        call = tree.parent(parent)
        if isinstance(call, cst.Call):
            name = _called(call)
            if name in _ATTRIBUTE_TAKING:
                return "the name of an attribute, which stays"
            if name in ("Placeholder", "bindparam"):
                return "the name of a parameter"
            if name in ("get", "pop", "setdefault") and call.args and call.args[0] is parent:
                return "a key: outputs and attributes keep their names"
    return None


_FIELD_LISTS = words(
    "list_display list_filter list_editable search_fields readonly_fields fields exclude ordering"
    " fieldsets filterset_fields ordering_fields raw_id_fields autocomplete_fields unique_together"
    " index_together get_latest_by"
)
"""Attributes of classes in which Django and its kin list the fields of a model."""


def _lists_fields(tree: Tree, element: cst.CSTNode) -> bool:
    for parent in tree.parents(element):
        if isinstance(parent, cst.Assign):
            names = {dotted_source(target.target) for target in parent.targets}
            return bool(names & _FIELD_LISTS) and _in_class_body(tree, parent)
        if not isinstance(parent, cst.Element | cst.List | cst.Tuple):
            return False
    return False


def _in_class_body(tree: Tree, statement: cst.CSTNode) -> bool:
    outer = (p for p in tree.parents(statement) if isinstance(p, cst.ClassDef | cst.FunctionDef))
    return isinstance(next(outer, None), cst.ClassDef)


def in_relationship(tree: Tree, node: cst.CSTNode) -> bool:
    """Tell whether a string is an argument of relationship(), which names attributes."""
    for parent in tree.parents(node):
        if isinstance(parent, cst.Call):
            return tree.scope.construct(parent.func) in ("relationship", "backref")
    return False


def _called(call: cst.Call) -> str:
    return dotted_source(call.func).rpartition(".")[2] or _method(call)


def _method(call: cst.Call) -> str:
    return call.func.attr.value if isinstance(call.func, cst.Attribute) else ""


def _inside_call(tree: Tree, node: cst.CSTNode, name: str) -> bool:
    return any(
        isinstance(parent, cst.Call) and _method(parent) == name for parent in tree.parents(node)
    )


def is_told_as_sql(tree: Tree, node: cst.CSTNode) -> bool:
    """Tell whether a string is handed to what makes SQL of it."""
    parent = tree.parent(node)
    call = tree.parent(parent) if isinstance(parent, cst.Arg) else None
    return isinstance(call, cst.Call) and _called(call) in _TAKES_SQL


_TAKES_SQL = words("text literal_column SQL RawSQL raw_sql DDL CheckConstraint Computed")


def may_be_sql(value: str) -> bool:
    """Tell whether a text that is no statement may be a piece of one."""
    return _PIECE.search(value) is not None


def python_name(tree: Tree, node: cst.Name) -> tuple[str, bool]:
    """Say what a name in the code is, and whether a human must look at it."""
    parent = tree.parent(node)
    if isinstance(parent, cst.Attribute) and parent.attr is node:
        return _attribute(parent)
    if isinstance(parent, cst.Arg) and parent.keyword is node:
        return _keyword(tree, parent)
    if isinstance(parent, cst.ImportAlias | cst.AsName):
        return "an imported name", False
    return "a Python name", False


def _attribute(node: cst.Attribute) -> tuple[str, bool]:
    inner = node.value
    if isinstance(inner, cst.Attribute) and inner.attr.value in ("c", "columns"):
        owner = inner.value
        if isinstance(owner, cst.Attribute) and owner.attr.value == "__table__":
            return "the columns of __table__ go by their names in the database", True
        return "the key of a column, which stays", False
    if isinstance(inner, cst.Attribute) and inner.attr.value == "excluded":
        return "`excluded` goes by the column's name, where the table is declarative", True
    return "a Python attribute, which stays", False


def _keyword(tree: Tree, arg: cst.Arg) -> tuple[str, bool]:
    call = tree.parent(arg)
    if isinstance(call, cst.Call):
        if _inside_call(tree, arg, "on_conflict_do_update"):
            return "on_conflict_do_update takes the column's name", True
        receiver = call.func
        while isinstance(receiver, cst.Attribute | cst.Call):
            if isinstance(receiver, cst.Attribute):
                if receiver.attr.value == "__table__":
                    return "the columns of __table__ go by their names in the database", True
                receiver = receiver.value
            else:
                receiver = receiver.func
    return "a keyword argument: attributes and parameters keep their names", False


_VALUED = words(
    "values filter_by ordered_values filter exclude update create get_or_create update_or_create"
)


def uses_value(tree: Tree, node: cst.Name) -> bool:
    """Tell whether a name reads or sets a value that an ORM object or a row may hold."""
    parent = tree.parent(node)
    if isinstance(parent, cst.Attribute) and parent.attr is node:
        above = tree.parent(parent)
        if isinstance(above, cst.Call) and above.func is parent:
            return False
        return not isinstance(above, cst.ImportAlias | cst.ImportFrom | cst.Decorator)
    if isinstance(parent, cst.Arg) and parent.keyword is node:
        call = tree.parent(parent)
        if not isinstance(call, cst.Call):
            return False
        name = _called(call)
        return name[:1].isupper() or name in _VALUED
    return False


def compared_literal(tree: Tree, node: cst.CSTNode) -> str:
    """Say with which literal a name's value is compared, or to which it is set, if to any."""
    parent = tree.parent(node)
    if isinstance(parent, cst.Arg) and parent.keyword is node:
        call = tree.parent(parent)
        name = _called(call) if isinstance(call, cst.Call) else ""
        made = name in _SETTING or name[:1].isupper()
        written = literal(tree, parent.value)
        told = "set to" if made and "__" not in parent.keyword.value else "compared with"
        return f"{told} {written}" if written else ""
    above = tree.parent(parent) if parent is not None else None
    if isinstance(above, cst.AssignTarget):
        assign = tree.parent(above)
        written = literal(tree, assign.value) if isinstance(assign, cst.Assign) else ""
        return f"set to {written}" if written else ""
    if isinstance(above, cst.Attribute) and above.attr.value in _COMPARING:
        call = tree.parent(above)
        if isinstance(call, cst.Call):
            literals = [literal(tree, arg.value) for arg in call.args]
            return f"compared with {', '.join(literals)}" if literals and all(literals) else ""
    if isinstance(above, cst.ComparisonTarget):
        above = tree.parent(above)
    if not isinstance(above, cst.Comparison):
        return ""
    sides = [above.left, *(target.comparator for target in above.comparisons)]
    written = next((found for side in sides if (found := literal(tree, side))), "")
    return f"compared with {written}" if written else ""


_SETTING = words("values update create get_or_create ordered_values")
_COMPARING = words("in_ notin_ not_in between is_ is_not isnot like ilike startswith contains eq")


def literal(tree: Tree, node: object) -> str:
    """Return how a literal is written, or a list of some; an empty text for anything else."""
    if isinstance(node, cst.Integer | cst.Float | cst.SimpleString):
        return node.value
    if isinstance(node, cst.UnaryOperation):
        inner = literal(tree, node.expression)
        return f"-{inner}" if inner and isinstance(node.operator, cst.Minus) else ""
    if isinstance(node, cst.Name) and node.value in ("True", "False"):
        return node.value
    if isinstance(node, cst.List | cst.Tuple | cst.Set):
        found = [literal(tree, element.value) for element in node.elements]
        return ", ".join(found) if all(found) else ""
    return ""
