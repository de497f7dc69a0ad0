"""The plan: what users are told before anything happens.

What it says of phases and steps is tested with the commands; here, what it says of columns.
"""

import psycopg

from compat import catalog, rules, state
from compat.mapping import Mapping
from compat.run.plan import plan


def test_the_plan_says_which_values_clients_will_not_be_able_to_write_any_more(
    conn: psycopg.Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, name text, state integer NOT NULL, price text,"
        " total numeric(10,2) NOT NULL)"
    )
    conn.execute(
        "CREATE TABLE new (id integer PRIMARY KEY, name text NOT NULL, state text NOT NULL,"
        " price numeric(12,2), cents integer NOT NULL)"
    )
    mapping = Mapping(
        "old",
        catalog.reflect_table(conn, "old"),
        catalog.reflect_table(conn, "new"),
        (
            rules.Column("id", "id"),
            rules.Column("name", "name"),
            rules.ValueMap("state", "state", ((1, "open"), (2, "closed"))),
            rules.Cast("price", "price"),
            rules.Cast("total", "cents", factor=100),
        ),
        accept=("price",),
    )
    refusals = {column.legacy: column.refusals for column in plan(conn, mapping).columns}
    assert refusals == {
        "id": (),
        "name": ("NULL",),
        "state": ("values without a pair",),
        "price": ("what does not fit into numeric(12,2)",),
        "total": ("what does not fit into integer",),
    }


def test_an_index_is_suggested_for_what_the_legacy_table_had_indexed_and_a_rule_converts(
    conn: psycopg.Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, created integer NOT NULL, state integer)"
    )
    conn.execute("CREATE INDEX ON old (created)")
    conn.execute("CREATE INDEX ON old (state)")
    conn.execute(
        "CREATE TABLE new (id integer PRIMARY KEY, created_at timestamptz NOT NULL, state text)"
    )
    mapping = Mapping(
        "old",
        catalog.reflect_table(conn, "old"),
        catalog.reflect_table(conn, "new"),
        (
            rules.Column("id", "id"),
            rules.Epoch("created", "created_at"),
            rules.ValueMap("state", "state", ((1, "open"),)),
        ),
    )
    state.ensure_installed(conn)  # the index of a value map needs a function of ours
    suggested = plan(conn, mapping).indexes
    assert len(suggested) == 2
    for statement in suggested:
        conn.execute(statement)  # it is accepted: the expression is immutable
    conn.execute("SET enable_seqscan = off")
    for column in ("created", "state"):
        read = mapping.lens(column).read(rules.Row("t"))
        rows = conn.execute(f"EXPLAIN SELECT FROM new AS t WHERE {read} = 7").fetchall()
        assert any("Index Cond" in row[0] for row in rows), rows
