"""What was rewritten means the same: run by PostgreSQL and by SQLAlchemy, before and after.

The target here holds the same values under other names, so that results can be compared.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.abc import Query
from sqlalchemy import MetaData, Select, column, create_engine, func, select, table
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import UpdateBase

from codemods.python import context
from codemods.sql import lexer
from codemods.sql.lexer import Kind
from tests.codemods.cases import CORPUS, NAMES, ORDER_LINES, Case, load

TABLES = """
    CREATE TABLE orders (id int PRIMARY KEY, customer_name text, placed_at timestamptz);
    CREATE TABLE products (id int PRIMARY KEY, name text);
    CREATE TABLE returns (id int, line int, qty int, order_id int);
    CREATE TABLE archive (id int, qty int);
    CREATE TABLE staging (id int, qty int, line_no int);
    CREATE TABLE order_line_items (
        id int PRIMARY KEY, order_id int, product_id int, line_no int, qty int, price text,
        status int, created int, deleted boolean, note text, UNIQUE (order_id, line_no));
    INSERT INTO orders VALUES (1, 'a', now() + interval '1 day'), (2, 'b', now());
    INSERT INTO products VALUES (1, 'p'), (2, 'q');
    INSERT INTO returns VALUES (1, 1, 1, 1), (2, 2, 5, 1);
    INSERT INTO staging VALUES (1, 50, 7);
    INSERT INTO order_line_items
        SELECT n, 1 + n % 2, 1 + n % 2, n, n * n % 17, n::text, n % 4, 1700000000 + n, n % 5 = 0,
               CASE WHEN n % 3 = 0 THEN 'deleted' ELSE 'x' END
        FROM generate_series(1, 40) n;
"""


def cases() -> Iterator[Case]:
    for path in sorted(CORPUS.glob("*.txt")):
        case = load(path)
        known = case.names in ("default", "orders known") and case.file == "app.py"
        # Django's raw() takes columns by their own names, so the results of those change; template
        # strings are newer than the Python that runs this.
        others = ".raw(" in case.before or 't"' in case.before
        changed = case.before != case.after and not others
        if known and changed and case.before.isascii():
            yield case


def statements(source: str) -> list[str]:
    """Return the SQL texts of a module, with NULL for parameters."""
    found = []
    for node in ast.walk(ast.parse(source)):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and context.STATEMENT.match(value):
            pieces, at = [], 0
            for segment in lexer.segments(value):
                if segment.kind is Kind.PARAMETER:
                    pieces += [value[at : segment.start], "NULL"]
                    at = segment.end
            found.append(re.sub(r"= \?", "= NULL", "".join(pieces) + value[at:]))
    return found


Rows = list[tuple[object, ...]]


def outcome(conn: psycopg.Connection, statement: str) -> tuple[list[str], Rows, int] | None:
    """Return what a client sees, and put everything back; None when it is refused."""
    query: Query = statement.replace("%%", "%").encode()
    try:
        with conn.transaction(force_rollback=True), conn.cursor() as cursor:
            cursor.execute(query)
            if cursor.description is None:
                return [], [], cursor.rowcount
            names = [column.name for column in cursor.description]
            rows = cursor.fetchall() if cursor.statusmessage != "COPY" else []
            return names, rows, cursor.rowcount
    except psycopg.Error:
        return None


def test_rewritten_statements_give_the_same_names_rows_and_counts(url: str) -> None:
    renames = [c for c in ORDER_LINES.columns if c.target != c.legacy]
    compared = 0
    with psycopg.connect(url) as conn:
        conn.execute(TABLES.encode())
        conn.execute("CREATE TABLE order_line_items_v2 (LIKE order_line_items INCLUDING ALL)")
        conn.execute("INSERT INTO order_line_items_v2 SELECT * FROM order_line_items")
        for column in renames:
            change = f"RENAME {column.legacy} TO {column.target}"
            conn.execute(f"ALTER TABLE order_line_items_v2 {change}".encode())
        for case in cases():
            for before, after in zip(statements(case.before), statements(case.after), strict=True):
                shows_names = any(word in before for word in ("COPY", "EXPLAIN", "regclass"))
                if before == after or shows_names:
                    continue
                expected = outcome(conn, before)
                if expected is not None:
                    compared += 1
                    assert outcome(conn, after) == expected, (case.title, after)
    assert compared > 45


@pytest.mark.parametrize(
    "name",
    [
        "attribute_core_keys",
        "attribute_declarative",
        "on_conflict_core",
        "on_conflict_declarative",
        "orm_values_compared",
        "table_behind_class",
        "text_in_query",
    ],
)
def test_rewritten_expressions_give_sql_over_the_target(name: str) -> None:
    case = load(CORPUS / f"{name}.txt")
    namespace: dict[str, Any] = {"now": func.now, "other": table("other", column("qty"))}
    source = f"from __future__ import annotations\n{case.after}"
    exec(compile(source, case.title, "exec", dont_inherit=True), namespace)
    statements = [v for v in namespace.values() if isinstance(v, UpdateBase | Select)]
    for statement in statements:
        sql = str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        if "order_line_items" in sql:
            names = re.sub(r"%\(\w+\)s| AS \w+|:\w+", "", sql)
            found = {hit.name for hit in NAMES["default"].find(names)} - {"status"}
            assert not found, sql
    models: list[Any] = [v for v in namespace.values() if hasattr(v, "__table__")]
    assert statements or models


@pytest.mark.parametrize(
    "name", ["model_classic", "model_mapped", "model_table_args", "core_table"]
)
def test_rewritten_models_work_on_the_target(name: str) -> None:
    case = load(CORPUS / f"{name}.txt")
    source = case.after.replace('"public.order', '"order').replace('schema="public",', "")
    source = source.replace('"schema": "public", ', "").replace('ForeignKey("orders.id")', "")
    source = re.sub(r"(?m)^ +ForeignKeyConstraint.*\n|^ +returns = .*\n", "", source)
    module: dict[str, object] = {}
    exec(compile(source, case.title, "exec", dont_inherit=True), module)
    base = module.get("Base")
    metadata = getattr(base, "metadata", None) or module["metadata"]
    assert isinstance(metadata, MetaData)
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with Session(engine) as session:
        if name == "core_table":
            table = metadata.tables["order_line_items_v2"]
            session.execute(table.insert().values(id=1, qty=2, number=3, price="4"))
            row = session.execute(select(table.c.qty)).one()
        else:
            line = module["OrderLine"]
            assert isinstance(line, type)
            values = {"created": 1, "status": 1} if name == "model_mapped" else {}
            session.add(line(id=1, line_no=3, qty=2, **values))
            session.flush()
            row = session.execute(select(line.qty)).one()  # type: ignore[attr-defined]
        assert row.qty == 2
        found = session.connection().exec_driver_sql("SELECT quantity FROM order_line_items_v2")
        assert found.scalar_one() == 2
    engine.dispose()
