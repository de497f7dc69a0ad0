"""Finds in Python what a view at the place of a table does not do: in SQL strings and ORM calls."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from codemods.scan.needs import Need
from codemods.scan.statements import Statements
from codemods.sql import IGNORE
from compat.tables import Table

_INSERTS = frozenset(("insert", "pg_insert", "postgresql_insert"))
_CONFLICTS = frozenset(("on_conflict_do_update", "on_conflict_do_nothing"))
_COPIES = frozenset(("copy_from", "copy_records_to_table", "copy_to_table"))
_REFLECTS = frozenset(("autoload_with", "autoload"))
_INSPECTS = frozenset(("get_pk_constraint", "get_table_names", "has_table", "get_indexes"))
_ROW_LOCKS = frozenset(("with_for_update", "select_for_update"))
_HOLE = "{}"


@dataclass(frozen=True)
class Found:
    """A need at a line of a module.

    :param certain: False where the table is guessed from the surroundings
    """

    line: int
    need: Need
    certain: bool = True


def models(module: ast.Module, table: Table) -> frozenset[str]:
    """Return the classes and variables of a module that stand for a table."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and _named_table(node) == table.name:
            names.add(node.name)
        elif isinstance(node, ast.Assign) and _is_call_with(node.value, {"Table"}, table.name):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(names)


def _named_table(node: ast.ClassDef) -> str | None:
    for statement in node.body:
        if isinstance(statement, ast.ClassDef) and statement.name == "Meta":
            return _named_table(statement)
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
            if names & {"__tablename__", "db_table", "table_name"}:
                return str(statement.value.value)
    return None


def find(
    source: str, module: ast.Module, statements: Statements, known: frozenset[str]
) -> Iterator[Found]:
    """Yield what a module needs of a table.

    :param known: the names of classes and variables that stand for the table, in any module
    """
    lines = source.splitlines()
    program = _Program(module, statements, known)
    for found in program.find():
        if not IGNORE.search(lines[found.line - 1]):
            yield found


class _Program:
    """A module, and the table that it is searched for."""

    def __init__(self, module: ast.Module, statements: Statements, known: frozenset[str]) -> None:
        self.module = module
        self.statements = statements
        self.known = known
        self.table = statements.table

    def find(self) -> Iterator[Found]:
        yield from self._below(self.module, [self.module])

    def _below(self, node: ast.AST, scopes: list[ast.AST]) -> Iterator[Found]:
        for child in ast.iter_child_nodes(node):
            text = _text(child)
            if text is not None:
                yield from self._in_text(child, text)
                continue
            if isinstance(child, ast.Call):
                yield from self._in_call(child, scopes[-1])
            is_scope = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from self._below(child, [*scopes, child] if is_scope else scopes)

    def _in_text(self, node: ast.AST, text: str) -> Iterator[Found]:
        assert isinstance(node, ast.expr)
        for item in self.statements.find(text):
            # Lines of the text are lines of the source only where it is written over several.
            below = text.count("\n", 0, item.offset)
            inside = node.lineno + below <= (node.end_lineno or node.lineno)
            yield Found(node.lineno + (below if inside else 0), item.need)

    # -- calls -------------------------------------------------------------------------------

    def _in_call(self, call: ast.Call, scope: ast.AST) -> Iterator[Found]:
        name = _called(call)
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if name in _CONFLICTS:
            certain = self._inserts_into(call, scope)
            if certain is not None:
                yield Found(_line(call), _conflict(name, keywords), certain)
        elif name == "bulk_create" and self._speaks_of_model(call):
            if _is_true(keywords.get("update_conflicts")):
                yield Found(_line(call), Need.ON_CONFLICT)
            if _is_true(keywords.get("ignore_conflicts")):
                yield Found(_line(call), Need.ON_CONFLICT_ANY)
        elif name in _ROW_LOCKS and self._speaks_of_model(call):
            yield Found(_line(call), Need.ROW_LOCKS)
        elif name == "annotate" and self._speaks_of_model(call):
            # Django groups by the key alone where the model is managed.
            yield Found(_line(call), Need.GROUP_BY_KEY, certain=False)
        elif name == "group_by" and self._groups_by_key(call):
            yield Found(_line(call), Need.GROUP_BY_KEY, certain=False)
        elif name in _COPIES and self._names_table(call):
            yield Found(_line(call), Need.COPY_FROM)
        elif self._names_table(call) and (
            name in _INSPECTS or (name == "Table" and _REFLECTS & keywords.keys())
        ):
            yield Found(_line(call), Need.REFLECTION)

    def _inserts_into(self, call: ast.Call, scope: ast.AST) -> bool | None:
        """Tell whether an INSERT is into the table: surely, perhaps (False), or not (None)."""
        targets = set(_insert_targets(call))
        if not targets:
            names = {node.id for node in ast.walk(call.func) if isinstance(node, ast.Name)}
            targets = {
                target
                for node in ast.walk(scope)
                if isinstance(node, ast.Assign)
                and any(isinstance(t, ast.Name) and t.id in names for t in node.targets)
                for target in _insert_targets(node.value)
            }
        if targets:
            return True if targets & self.known else None
        mentioned = {node.id for node in ast.walk(scope) if isinstance(node, ast.Name)}
        return False if mentioned & self.known else None

    def _speaks_of_model(self, call: ast.Call) -> bool:
        return bool(_names_in(call.func) & self.known)

    def _groups_by_key(self, call: ast.Call) -> bool:
        """Tell whether a query groups by the key's columns and by nothing else."""
        columns = [a.attr for a in call.args if isinstance(a, ast.Attribute)]
        owners = set().union(*(_names_in(a) for a in call.args)) if call.args else set()
        key = self.statements.key
        return bool(owners & self.known and key and set(columns) == set(key))

    def _names_table(self, call: ast.Call) -> bool:
        values = (*call.args, *(keyword.value for keyword in call.keywords))
        return any(isinstance(v, ast.Constant) and v.value == self.table.name for v in values)


def _conflict(name: str, keywords: dict[str | None, ast.expr]) -> Need:
    if "constraint" in keywords:
        return Need.ON_CONFLICT_CONSTRAINT
    if name == "on_conflict_do_nothing" and not keywords:
        return Need.ON_CONFLICT_ANY
    return Need.ON_CONFLICT


def _insert_targets(node: ast.AST) -> Iterator[str]:
    """Yield the names of models in `insert(Model)` and `table.insert()`."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and _called(call) in _INSERTS:
            owner = call.func.value if isinstance(call.func, ast.Attribute) else None
            yield from _names_in(call.args[0] if call.args else owner)


def _names_in(node: ast.AST | None) -> set[str]:
    found: set[str] = set()
    for inner in ast.walk(node) if node is not None else ():
        if isinstance(inner, ast.Name):
            found.add(inner.id)
        elif isinstance(inner, ast.Attribute):
            found.add(inner.attr)
    return found


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _line(call: ast.Call) -> int:
    """Return the line of the method's name: a chain of calls begins far above."""
    return call.func.end_lineno or call.lineno


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_call_with(node: ast.expr, functions: Iterable[str], argument: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and _called(node) in functions
        and any(isinstance(a, ast.Constant) and a.value == argument for a in node.args)
    )


def _text(node: ast.AST) -> str | None:
    """Return the text of a string, with braces for what is inserted; None if it is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else _HOLE for part in node.values
        )
    return None
