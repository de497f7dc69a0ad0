"""The sync triggers where rows are written more than once, or several tables by one statement.

The rows that triggers are given may be old news by then; both tables must hold the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import errors

from compat import rules
from tests.compat.migrations import Connection, Migration, one, value

TABLES = """
CREATE TABLE old (
    id integer PRIMARY KEY,
    code text NOT NULL UNIQUE,
    n integer NOT NULL DEFAULT 0,
    price text NOT NULL DEFAULT '0.00'
);
CREATE TABLE fresh (
    hidden uuid NOT NULL DEFAULT gen_random_uuid(),
    price numeric(12,2) NOT NULL DEFAULT 0,
    price_text text,
    n integer NOT NULL DEFAULT 0,
    code text NOT NULL UNIQUE,
    id integer PRIMARY KEY
);
INSERT INTO old SELECT n, 'c' || n, n, n || '.5' FROM generate_series(9, 1, -1) AS n;
"""
"""Both sides answer to the same names, so that one statement serves in either direction."""

RULES: tuple[rules.AnyRule, ...] = (
    rules.Column("id", "id"),
    rules.Column("code", "code"),
    rules.Column("n", "n"),
    rules.Cast("price", "price", keep="price_text"),
)


def made(conn: Connection) -> Migration:
    conn.execute(TABLES)
    return Migration.between(conn, "old", "fresh", RULES).expand()


def forward(conn: Connection) -> Migration:
    """Before the cutover, all rows copied."""
    return made(conn).copy()


def uncopied(conn: Connection) -> Migration:
    """The copy has brought nothing yet: writes bring what they touch."""
    return made(conn)


def reverse(conn: Connection) -> Migration:
    """After the cutover; the statements are those of an application of the target's."""
    return forward(conn).cutover()


def referenced(conn: Connection) -> Migration:
    """As `forward`, with another table that references the target: rows must not come late."""
    conn.execute(TABLES + "CREATE TABLE referrer (id integer REFERENCES fresh)")
    return Migration.between(conn, "old", "fresh", RULES).expand().copy()


@dataclass(frozen=True)
class Scenario:
    """A statement, and what a row trigger or function of the application does beside it.

    `{t}` is the table that the application writes.
    """

    statement: str
    event: str | None = None
    """Of the AFTER ROW trigger; None: the statement calls `react(id)` itself."""
    reaction: str | None = None


ADD = "INSERT INTO {t} (id, code, n) VALUES (20, 'x', 1), (21, 'y', 1), (22, 'z', 1)"
CHANGE = "UPDATE {t} SET n = 50 WHERE id < 5"
REMOVE = "DELETE FROM {t} WHERE id < 5"

SCENARIOS = {
    "new rows are changed": Scenario(
        ADD, "INSERT", "UPDATE {t} SET n = n + 100, price = 7 WHERE id = NEW.id"
    ),
    "new rows change each other": Scenario(
        ADD, "INSERT", "UPDATE {t} SET n = n + 1 WHERE id <> NEW.id"
    ),
    "new rows are deleted": Scenario(ADD, "INSERT", "DELETE FROM {t} WHERE id = NEW.id"),
    "new rows delete each other": Scenario(ADD, "INSERT", "DELETE FROM {t} WHERE id = NEW.id + 1"),
    "new rows get other keys": Scenario(
        ADD, "INSERT", "UPDATE {t} SET id = id + 1000 WHERE id = NEW.id"
    ),
    "new rows are replaced": Scenario(
        ADD,
        "INSERT",
        "IF NEW.n = 1 THEN DELETE FROM {t} WHERE id = NEW.id;"
        " INSERT INTO {t} (id, code, n) VALUES (NEW.id, 'again ' || NEW.code, 2); END IF",
    ),
    "changed rows are changed": Scenario(
        CHANGE, "UPDATE", "IF NEW.n = 50 THEN UPDATE {t} SET n = 60 WHERE id = NEW.id; END IF"
    ),
    "changed rows change each other": Scenario(
        CHANGE,
        "UPDATE",
        "IF NEW.n = 50 THEN UPDATE {t} SET n = -id WHERE id <> NEW.id AND n > 0; END IF",
    ),
    "changed rows are deleted": Scenario(CHANGE, "UPDATE", "DELETE FROM {t} WHERE id = NEW.id"),
    "changed rows delete each other": Scenario(
        CHANGE, "UPDATE", "DELETE FROM {t} WHERE id IN (NEW.id - 1, NEW.id + 1)"
    ),
    "changed rows get other keys": Scenario(
        CHANGE,
        "UPDATE",
        "IF NEW.id < 10 THEN UPDATE {t} SET id = id + 10 WHERE id = NEW.id; END IF",
    ),
    "changed rows give each other keys": Scenario(
        CHANGE,
        "UPDATE",
        "IF NEW.id < 10 THEN UPDATE {t} SET id = id + 10 WHERE id < 5 AND id <> NEW.id; END IF",
    ),
    "keys are changed, then again": Scenario(
        "UPDATE {t} SET id = id + 10 WHERE id < 5",
        "UPDATE",
        "IF NEW.id < 20 THEN UPDATE {t} SET id = id + 100 WHERE id = NEW.id; END IF",
    ),
    "keys are changed, then the rows deleted": Scenario(
        "UPDATE {t} SET id = id + 10 WHERE id < 5",
        "UPDATE",
        "DELETE FROM {t} WHERE id BETWEEN 11 AND 14",
    ),
    "keys are changed and changed back": Scenario(
        "UPDATE {t} SET id = id + 10 WHERE id < 5",
        "UPDATE",
        "IF NEW.id > 10 THEN UPDATE {t} SET id = id - 10 WHERE id BETWEEN 11 AND 14; END IF",
    ),
    "deleted rows come back": Scenario(
        REMOVE, "DELETE", "INSERT INTO {t} (id, code, n) VALUES (OLD.id, 'again ' || OLD.code, 3)"
    ),
    "deleted rows come back under other keys": Scenario(
        REMOVE, "DELETE", "INSERT INTO {t} (id, code) VALUES (OLD.id + 100, OLD.code)"
    ),
    "deleted rows bring each other back": Scenario(
        REMOVE,
        "DELETE",
        "INSERT INTO {t} (id, code, n) SELECT i, 'again ' || i, 3 FROM generate_series(1, 4) AS i"
        " ON CONFLICT DO NOTHING",
    ),
    "deleted rows change others": Scenario(REMOVE, "DELETE", "UPDATE {t} SET n = n + 1"),
    "a function changes rows that were just inserted": Scenario(
        "WITH i AS (" + ADD + " RETURNING id) SELECT react(id) FROM i",
        None,
        "UPDATE {t} SET n = n + 100 WHERE id = $1",
    ),
    "a function deletes rows that were just inserted": Scenario(
        "WITH i AS (" + ADD + " RETURNING id) SELECT react(id) FROM i",
        None,
        "DELETE FROM {t} WHERE id = $1",
    ),
    "a function changes rows that were just changed": Scenario(
        CHANGE + " RETURNING react(id)", None, "UPDATE {t} SET n = n + 100 WHERE id = $1"
    ),
    "a function deletes rows that were just changed": Scenario(
        "WITH u AS (" + CHANGE + " RETURNING id) SELECT react(id) FROM u",
        None,
        "DELETE FROM {t} WHERE id = $1",
    ),
    "a function brings back rows that were just deleted": Scenario(
        "WITH d AS (" + REMOVE + " RETURNING id) SELECT react(id) FROM d",
        None,
        "INSERT INTO {t} (id, code, n) VALUES ($1, 'again ' || $1, 3)",
    ),
    "rows are inserted or updated": Scenario(
        "INSERT INTO {t} (id, code, n) SELECT i, 'c' || i, 70 FROM generate_series(5, 15) AS i"
        " ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n + {t}.n"
    ),
    "one statement inserts, updates and deletes": Scenario(
        "WITH i AS (INSERT INTO {t} (id, code) VALUES (30, 'i')),"
        " d AS (DELETE FROM {t} WHERE id = 1),"
        " u AS (UPDATE {t} SET n = 80 WHERE id = 2) UPDATE {t} SET n = 90 WHERE id = 3"
    ),
    "deleted rows are inserted again with their values dealt anew": Scenario(
        "WITH d AS (DELETE FROM {t} WHERE id IN (1, 2) RETURNING id, code)"
        " INSERT INTO {t} (id, code) SELECT 3 - id, code FROM d ORDER BY id"
    ),
    "a deleted row makes room for a new one": Scenario(
        "WITH d AS (DELETE FROM {t} WHERE id = 4 RETURNING code)"
        " INSERT INTO {t} (id, code) SELECT 40, code FROM d"
    ),
    "a deleted row gives its value to another": Scenario(
        "WITH d AS (DELETE FROM {t} WHERE id = 1 RETURNING code)"
        " UPDATE {t} SET code = d.code FROM d WHERE id = 2"
    ),
    "a changed row makes room for a new one": Scenario(
        "WITH u AS (UPDATE {t} SET code = 'moved' WHERE id = 4 RETURNING id)"
        " INSERT INTO {t} (id, code) SELECT 40, 'c4' FROM u"
    ),
    "nothing is inserted": Scenario("INSERT INTO {t} (id, code) SELECT 1, 'x' WHERE false"),
}


def play(conn: Connection, scenario: Scenario, table: str) -> None:
    """Create what the scenario's application brings along, and run its statement."""
    if scenario.reaction is not None:
        reaction = scenario.reaction.format(t=table)
        if scenario.event is None:
            conn.execute(
                "CREATE FUNCTION react(integer) RETURNS integer LANGUAGE plpgsql AS"
                f" $$ BEGIN {reaction}; RETURN 1; END $$"
            )
        else:
            conn.execute(
                "CREATE FUNCTION react() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN {reaction}; RETURN NULL; END $$;"
                f"CREATE TRIGGER react AFTER {scenario.event} ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION react()"
            )
    conn.execute(scenario.statement.format(t=table))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("side", [forward, uncopied, referenced, reverse])
def test_both_tables_hold_the_same_rows_when(
    conn: Connection, side: Callable[[Connection], Migration], name: str
) -> None:
    migration = side(conn)
    if side is reverse:
        play(conn, SCENARIOS[name], "fresh")
        assert migration.retired_rows() == migration.legacy_rows()
        return
    play(conn, SCENARIOS[name], "old")
    if side is uncopied:
        migration.copy()
    assert migration.standby_rows() == migration.legacy_rows()


def test_the_scenarios_differ_from_what_the_statement_alone_would_leave(conn: Connection) -> None:
    migration = forward(conn)
    play(conn, SCENARIOS["changed rows change each other"], "old")
    kept = conn.execute("SELECT id, n FROM old WHERE id < 5 ORDER BY id").fetchall()
    assert kept != [(number, 50) for number in range(1, 5)]
    assert migration.standby_rows() == migration.legacy_rows()


@pytest.mark.parametrize("side", [forward, uncopied, referenced])
@pytest.mark.parametrize("column", ["id = id + 1", "code = 'c' || (substr(code, 2)::integer + 1)"])
def test_unique_values_may_move_up_the_last_row_first(
    conn: Connection, side: Callable[[Connection], Migration], column: str
) -> None:
    """The target holds its rows in another order, in which this would not work."""
    migration = side(conn)
    conn.execute(f"UPDATE old SET {column}, n = 0")
    assert migration.copy().standby_rows() == migration.legacy_rows()


CASCADES = {
    "update": ("ON UPDATE CASCADE", "UPDATE old SET code = code || '!', n = 0"),
    "update of one": ("ON UPDATE CASCADE", "UPDATE old SET code = 'root' WHERE id = 1"),
    "delete": ("ON DELETE CASCADE", "DELETE FROM old WHERE id IN (1, 3)"),
    "set null": ("ON DELETE SET NULL", "DELETE FROM old WHERE id IN (1, 2, 3)"),
}


@pytest.mark.parametrize("name", CASCADES)
def test_cascades_to_the_same_table_are_carried_over(conn: Connection, name: str) -> None:
    action, statement = CASCADES[name]
    conn.execute(TABLES)
    conn.execute(
        f"ALTER TABLE old ADD parent text REFERENCES old (code) {action};"
        "ALTER TABLE fresh ADD parent text;"
        "UPDATE old SET parent = 'c' || id / 2 WHERE id > 1"
    )
    found = [*RULES, rules.Column("parent", "parent")]
    migration = Migration.between(conn, "old", "fresh", found).expand().copy()
    before = migration.legacy_rows()
    conn.execute(statement)
    assert migration.standby_rows() == migration.legacy_rows() != before


def hidden(conn: Connection) -> dict[int, str]:
    return dict(conn.execute("SELECT n, hidden::text FROM fresh").fetchall())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE old SET id = id + 1",
        "UPDATE old SET id = id + 100, price = '1.5'",
        "INSERT INTO old (id, code, n) SELECT id, code, n FROM old"
        " ON CONFLICT (id) DO UPDATE SET code = EXCLUDED.code || '!'",
    ],
)
def test_columns_that_only_the_target_has_survive_what_happens_to_the_legacy_row(
    conn: Connection, statement: str
) -> None:
    migration = forward(conn)
    before = hidden(conn)
    conn.execute(statement)
    assert hidden(conn) == before
    assert migration.standby_rows() == migration.legacy_rows()


def test_rows_that_copy_from_brings_are_carried_over(conn: Connection) -> None:
    migration = forward(conn)
    with conn.cursor().copy("COPY old (id, code, price) FROM STDIN") as rows:
        for number in range(100, 1100):
            rows.write_row((number, f"c{number}", "1.5"))
    assert len(migration.standby_rows()) == 1009
    assert migration.standby_rows() == migration.legacy_rows()


def test_what_a_savepoint_takes_back_is_taken_back_on_both_sides(conn: Connection) -> None:
    migration = forward(conn)
    before = migration.legacy_rows()
    with conn.transaction():
        for statement in (ADD, CHANGE, REMOVE, "UPDATE {t} SET id = id + 1"):
            with conn.transaction(force_rollback=True):
                conn.execute(statement.format(t="old"))
                assert migration.standby_rows() == migration.legacy_rows() != before
    assert migration.standby_rows() == migration.legacy_rows() == before


def test_an_older_snapshot_reads_its_own_rows_again(url: str, conn: Connection) -> None:
    migration = forward(conn)
    with psycopg.connect(url) as older:
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT FROM old")
        conn.execute("DELETE FROM old WHERE id = 9; UPDATE old SET n = 4 WHERE id = 8")
        older.execute("INSERT INTO old (id, code) VALUES (9, 'mine')")  # sees two rows of that key
        older.execute("UPDATE old SET n = 5 WHERE id < 5")
        older.execute("DELETE FROM old WHERE id = 5")
        with pytest.raises(errors.SerializationFailure), older.transaction():
            older.execute("UPDATE old SET n = 6 WHERE id = 8")
    assert migration.standby_rows() == migration.legacy_rows()
    assert value(conn, "SELECT code FROM fresh WHERE id = 9") == "mine"


def test_values_that_the_mapping_refuses_are_refused_with_the_same_error_in_one_row_or_many(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, v integer);"
        "CREATE TABLE new (id integer PRIMARY KEY, v text)"
    )
    found: list[rules.AnyRule] = [
        rules.Column("id", "id"),
        rules.ValueMap("v", "v", ((1, "one"),)),
    ]
    migration = Migration.between(conn, "old", "new", found).expand()
    for rows in ("(1, 7)", "(1, 1), (2, 7), (3, 1)"):
        with pytest.raises(errors.CheckViolation, match=r"public\.old\.v: no counterpart"):
            conn.execute(f"INSERT INTO old VALUES {rows}")
    assert migration.standby_rows() == migration.legacy_rows() == []


def insert_triggers(conn: Connection, function: str) -> list[str]:
    """Return how often the INSERT triggers of a function fire: for each row or statement."""
    rows = conn.execute(
        "SELECT CASE tgtype & 1 WHEN 1 THEN 'row' ELSE 'statement' END FROM pg_trigger"
        " WHERE tgfoid = %s::regproc AND tgtype & 4 <> 0 AND tgparentid = 0",
        [f"compat.{function}"],
    ).fetchall()
    return [row[0] for row in rows]


def test_new_rows_are_carried_over_once_for_a_statement_where_nothing_references_the_receiver(
    conn: Connection,
) -> None:
    migration = forward(conn)
    assert insert_triggers(conn, "old__sync") == ["statement"]
    migration.cutover()
    assert insert_triggers(conn, "old__reverse") == ["statement"]


def test_new_rows_are_carried_over_one_by_one_where_a_table_references_the_receiver(
    conn: Connection,
) -> None:
    migration = referenced(conn)
    assert insert_triggers(conn, "old__sync") == ["row"]
    migration.cutover()
    assert insert_triggers(conn, "old__reverse") == ["statement"]
    migration.uncutover()
    conn.execute("CREATE TABLE legacy_referrer (id integer REFERENCES old)")
    migration.cutover()
    assert insert_triggers(conn, "old__reverse") == ["row"]


def test_a_statement_may_write_a_parent_and_change_its_children_while_both_migrate(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE batches (id integer PRIMARY KEY, name text);"
        "CREATE TABLE items (id integer PRIMARY KEY, batch integer REFERENCES batches);"
        "CREATE TABLE batches_v2 (id integer PRIMARY KEY, name text);"
        "CREATE TABLE items_v2 (id integer PRIMARY KEY, batch integer REFERENCES batches_v2);"
        "INSERT INTO items VALUES (1), (2)"
    )
    batches, items = (
        Migration.between(
            conn, name, f"{name}_v2", [rules.Column("id", "id"), rules.Column(column, column)]
        )
        .expand()
        .copy()
        for name, column in (("batches", "name"), ("items", "batch"))
    )
    assign = (
        "WITH b AS (INSERT INTO batches VALUES (%s, 'b') RETURNING id)"
        " UPDATE items SET batch = b.id FROM b"
    )
    conn.execute(assign, [7])
    assert one(conn, "SELECT array_agg(batch), count(*) FROM items_v2") == ([7, 7], 2)
    for migration in (batches, items):
        assert migration.standby_rows() == migration.legacy_rows()
        migration.cutover()
    conn.execute(assign, [8])
    assert items.retired_rows() == items.legacy_rows() == [(1, 8), (2, 8)]


def test_rows_that_are_written_to_a_partition_by_its_name_are_carried_over(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, a text, b text) PARTITION BY RANGE (id);"
        "CREATE TABLE part (b text, gone integer, a text, id integer NOT NULL);"
        "ALTER TABLE part DROP gone;"
        "ALTER TABLE old ATTACH PARTITION part DEFAULT;"
        "CREATE TABLE new (id integer PRIMARY KEY, a text, b text)"
    )
    found = [rules.Column(name, name) for name in ("id", "a", "b")]
    migration = Migration.between(conn, "old", "new", found).expand()
    conn.execute("INSERT INTO part (id, a, b) VALUES (1, 'a', 'b'), (2, 'a', 'b')")
    conn.execute("UPDATE part SET a = 'A' WHERE id = 1; UPDATE old SET b = 'B' WHERE id = 1")
    assert migration.standby_rows() == migration.legacy_rows() == [(1, "A", "B"), (2, "a", "b")]


@pytest.mark.parametrize("counts", [(1, 2000), (2000, 1)])
def test_the_plan_made_for_the_first_statement_serves_any_number_of_rows(
    conn: Connection, counts: tuple[int, int]
) -> None:
    """PostgreSQL keeps it: a scan of the whole table for each row, or for one, would show here."""
    forward(conn)
    conn.execute(
        "INSERT INTO old (id, code) SELECT i, 'c' || i FROM generate_series(10, 5000) AS i"
    )
    conn.execute("ANALYZE")
    insert = "INSERT INTO old (id, code) SELECT i, 'c' || i FROM generate_series(%s::int, %s) AS i"
    scanned = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'old'"
    first = 10_000
    with conn.transaction():
        before = value(conn, scanned)
        for count in counts:
            conn.execute(insert, [first, first + count - 1])
            first += count
        assert value(conn, scanned) == before
    assert value(conn, "SELECT count(*) FROM fresh") == 5000 + sum(counts)


FAMILIES = """
CREATE TABLE parents (id integer PRIMARY KEY, name text);
CREATE TABLE children (
    id integer PRIMARY KEY,
    parent integer CONSTRAINT "of %" REFERENCES parents,
    price text
);
CREATE TABLE parents_v2 (id integer PRIMARY KEY, name text);
CREATE TABLE children_v2 (
    id integer PRIMARY KEY,
    parent integer REFERENCES parents_v2,
    price numeric(12,2),
    price_text text
);
"""


@pytest.mark.parametrize("first", ["parents", "children"])
def test_one_statement_inserts_parent_and_child_through_their_views(
    conn: Connection, first: str
) -> None:
    """The child's row reaches its retired table before the parent's does."""
    conn.execute(FAMILIES)
    same = [rules.Column(name, name) for name in ("id", "name", "parent")]
    price = rules.Cast("price", "price", keep="price_text")
    families = {
        "parents": Migration.between(conn, "parents", "parents_v2", same[:2]),
        "children": Migration.between(conn, "children", "children_v2", [same[0], same[2], price]),
    }
    for migration in families.values():
        migration.expand().copy()
    order = sorted(families, key=lambda name: name != first)
    for name in order:
        families[name].cutover()
    conn.execute(
        "WITH p AS (INSERT INTO parents VALUES (5, 'x') RETURNING id)"
        " INSERT INTO children SELECT 1, id, '1' FROM p"
    )
    assert families["parents"].retired_rows() == [(5, "x")]
    assert families["children"].retired_rows() == [(1, 5, "1")]
    with conn.transaction(force_rollback=True):  # not only at COMMIT
        for statement in ("INSERT INTO children VALUES (2, 9)", "UPDATE children SET parent = 9"):
            with pytest.raises(errors.ForeignKeyViolation) as caught, conn.transaction():
                conn.execute(statement)
            assert caught.value.diag.constraint_name == "of %"
    for name in order:
        families[name].uncutover()
    assert not value(conn, "SELECT bool_or(condeferrable) FROM pg_constraint WHERE contype = 'f'")
    with pytest.raises(errors.ForeignKeyViolation):
        conn.execute("INSERT INTO children VALUES (2, 9)")
