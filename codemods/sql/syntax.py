"""What is read off a parsed statement: names, aliases, outputs. Knows sqlglot, and no mapping.

Identifiers carry the offsets at which they stand in the text (`meta["start"]`, `meta["end"]`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from codemods.sql.identifiers import fold
from codemods.sql.lexer import SPACE

DIALECT = "postgres"

_VALUE_PARENTS = (exp.Cast, exp.Paren, exp.Interval, exp.Neg)
_COMPARISONS = (exp.Predicate, exp.In, exp.Between)

# Statements that only name tables, which the parser does not read. They become the one with the
# same list of names that it reads; only where the names stand matters.
_TABLES_ONLY = re.compile(
    SPACE
    + r"""(?:LOCK(?:\s+TABLE)?
    |(?:ANALYZE|VACUUM)(?:\s*\([^()]*\)|(?:\s+(?:FULL|FREEZE|VERBOSE|ANALYZE))*)
    |REINDEX(?:\s*\([^()]*\))?\s+TABLE(?:\s+CONCURRENTLY)?)
    (?:\s+|(?<=\)))(?P<names>\S.*?)
    (?:\s+IN\s+[\w\s]+\s+MODE)?(?:\s+NOWAIT)?\s*""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_GRANT = re.compile(
    SPACE
    + r"(?:GRANT|REVOKE)\s+[\w\s,]+?\s+ON\s+(?:TABLE\s+)?(?P<names>[^()]*?)\s+(?:TO|FROM)\s.*",
    re.IGNORECASE | re.DOTALL,
)
_LIKE_THEM = ("TRUNCATE ", "")
_LIKE_THEM_WITH_COLUMNS = ("COPY ", " TO STDOUT")


def parse_one(text: str) -> exp.Expr | None:
    """Return the tree of a text that is one statement, else None."""
    if match := _TABLES_ONLY.fullmatch(text):
        return _list_of_tables(match)
    tree = _parsed(text)
    if tree is None and (match := _GRANT.fullmatch(text)):
        return _list_of_tables(match)
    return tree


def _list_of_tables(match: re.Match[str]) -> exp.Expr | None:
    like = _LIKE_THEM_WITH_COLUMNS if "(" in match["names"] else _LIKE_THEM
    before, after = like
    tree = _parsed(before + match["names"] + after)
    if not isinstance(tree, exp.TruncateTable | exp.Copy):
        return None
    by = match.start("names") - len(before)
    for identifier in tree.find_all(exp.Identifier):
        for side in ("start", "end"):
            identifier.meta[side] += by
    return tree


def _parsed(text: str) -> exp.Expr | None:
    try:
        trees = [tree for tree in parse(text, read=DIALECT) if tree is not None]
    except (SqlglotError, RecursionError):
        return None
    return trees[0] if len(trees) == 1 and not isinstance(trees[0], exp.Command) else None


def name_of(identifier: exp.Identifier) -> str:
    """Return the name that an identifier means."""
    return fold(identifier.name, bool(identifier.args.get("quoted")))


def unquoted(written: str) -> str:
    """Return an identifier as written, without its quotes."""
    return written[1:-1].replace('""', '"') if written.startswith('"') else written


def meant(written: str) -> str:
    """Return the name that an identifier means as it is written."""
    return fold(unquoted(written), written.startswith('"'))


def alias_of(node: exp.Expr) -> tuple[exp.Expr | None, list[exp.Expr] | None]:
    """Return the alias of a relation and the names that it gives to the columns."""
    alias = node.args.get("alias")
    if isinstance(alias, exp.TableAlias):
        return alias.this, alias.args.get("columns")
    return (alias if isinstance(alias, exp.Identifier) else None), None


def folded(columns: Sequence[exp.Expr] | None) -> frozenset[str] | None:
    """Return the names in a list of columns, None if there are none."""
    names = [c.this if isinstance(c, exp.ColumnDef) else c for c in columns or ()]
    return frozenset(name_of(n) for n in names if isinstance(n, exp.Identifier)) or None


def is_bare(column: exp.Column) -> bool:
    """Tell whether a column stands without the name of its relation."""
    return isinstance(column.this, exp.Identifier) and not column.args.get("table")


def is_star(item: exp.Expr) -> bool:
    """Tell whether an item of a select list is `*` or `relation.*`."""
    return isinstance(item, exp.Star) or (
        isinstance(item, exp.Column) and isinstance(item.this, exp.Star)
    )


def ordered_by(node: exp.Expr) -> list[exp.Expr]:
    """Return the items of an ORDER BY clause."""
    order = node.args.get("order")
    return order.expressions if isinstance(order, exp.Order) else []


def named_after(item: exp.Expr) -> exp.Column | None:
    """Return the column after which PostgreSQL names an output without alias."""
    node: object = item
    while isinstance(node, exp.Cast | exp.Paren | exp.Collate | exp.Bracket | exp.Case):
        node = node.args.get("default") if isinstance(node, exp.Case) else node.this
    if isinstance(node, exp.Column):
        return node
    return None


def output_name(item: exp.Expr) -> str | None:
    """Return the name of an output, None if it is not known."""
    if isinstance(item, exp.Alias):
        alias = item.args.get("alias")
        return name_of(alias) if isinstance(alias, exp.Identifier) else None
    column = named_after(item)
    if column is not None and isinstance(column.this, exp.Identifier):
        return name_of(column.this)
    return None


def outputs_of(items: Iterable[exp.Expr]) -> frozenset[str] | None:
    """Return the names of all outputs, None if one of them is not known."""
    names = [output_name(item) for item in items]
    return None if None in names else frozenset(n for n in names if n is not None)


def compared_with(node: exp.Expr) -> str:
    """Say with which literals a column is compared, if with any."""
    parent = node.parent
    if not isinstance(parent, _COMPARISONS):
        return ""
    literals = [c for c in parent.iter_expressions() if isinstance(c, exp.Literal | exp.Boolean)]
    if not literals:
        return ""
    return "compared with " + ", ".join(literal.sql(DIALECT) for literal in literals)


def is_harmless(identifier: exp.Identifier) -> bool:
    """Tell whether inserted text stands where only a value or a table's name can stand."""
    node: exp.Expr = identifier
    parent = identifier.parent
    if isinstance(parent, exp.Table):
        return identifier.arg_key == "this"
    if not isinstance(parent, exp.Column) or parent.args.get("table") is not None:
        return False
    node, parent = parent, parent.parent
    while isinstance(parent, _VALUE_PARENTS):
        node, parent = parent, parent.parent
    if isinstance(parent, exp.Tuple):
        return isinstance(parent.parent, exp.Values | exp.In)
    if isinstance(parent, exp.Limit | exp.Offset):
        return True
    if isinstance(parent, exp.In | exp.Between):
        return node.arg_key != "this"
    return isinstance(parent, exp.Predicate) and node.arg_key == "expression"


def regclass_casts(tree: exp.Expr, name: str) -> list[exp.Literal]:
    """Return the literals of a text that are read as the name of a relation.

    Nothing if the same text also stands somewhere as a plain value.
    """
    literals = [
        literal
        for literal in tree.find_all(exp.Literal)
        if literal.args.get("is_string") and literal.name == name
    ]
    return literals if all(_is_regclass(literal.parent) for literal in literals) else []


def _is_regclass(parent: exp.Expr | None) -> bool:
    if isinstance(parent, exp.Anonymous):
        return parent.name.lower() == "to_regclass"
    return isinstance(parent, exp.Cast) and parent.to.sql(DIALECT).upper() == "REGCLASS"
