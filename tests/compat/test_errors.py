"""Errors through the view: every field as the legacy table would have raised them.

The same statements meet the view in one schema, and in another a table of the same name that was
never migrated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from compat import catalog, rules
from compat.names import ident
from compat.shapes import Choice, Half, Parent, Tag
from compat.tables import Table
from tests.compat.migrations import Connection, Migration, value

Reflect = Callable[[str], Table]

FIELDS = (
    "sqlstate", "message_primary", "message_detail", "schema_name", "table_name", "column_name",
    "constraint_name", "datatype_name",
)  # fmt: skip

LONG = "lönger als nötig: 'die' \"Buchung\" (100 %s), v1 " + "x" * 14
"""A name as long as one can be, with all that quoting may get wrong."""

LEGACY = f"""
CREATE DOMAIN percent AS integer CONSTRAINT "0 to 100 %" CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE "Rooms" (id integer, floor integer, PRIMARY KEY (id, floor));
CREATE TABLE kinds (code text PRIMARY KEY);
CREATE TABLE "Order Lines" (
    id integer CONSTRAINT "PK %" PRIMARY KEY,
    "Nr" integer NOT NULL,
    "select" varchar(40) NOT NULL DEFAULT 'a',
    qty integer NOT NULL DEFAULT 1 CHECK (qty > 0),
    price text NOT NULL DEFAULT '0.00',
    status integer NOT NULL DEFAULT 1,
    room integer,
    "the ""floor"" no" integer,
    kind text CONSTRAINT kind_fk REFERENCES kinds,
    during int4range,
    discount percent,
    email text,
    flags bool[],
    new text CHECK (new <> 'b'),
    "Übung" char(4) DEFAULT 'x',
    CONSTRAINT {ident(LONG)} CHECK ("select" <> 'b' AND "select" <> 'a; THEN'),
    UNIQUE ("Nr", "select"),
    CONSTRAINT "room fk" FOREIGN KEY (room, "the ""floor"" no") REFERENCES "Rooms" MATCH FULL,
    CONSTRAINT "no overlap" EXCLUDE USING gist (during WITH &&),
    CHECK (price <> "select" AND status < 3)
);
CREATE UNIQUE INDEX "one mail %" ON "Order Lines" (email) WHERE status = 1;
CREATE TABLE children (line integer CONSTRAINT "to ""line"" %" REFERENCES "Order Lines");
INSERT INTO "Rooms" VALUES (1, 1);
INSERT INTO kinds VALUES ('k');
INSERT INTO "Order Lines" (id, "Nr", email, during, room, "the ""floor"" no", kind)
VALUES (1, 1, 'a@x', '[1,5)', 1, 1, 'k'), (2, 2, NULL, '[5,7)', NULL, NULL, NULL),
       (3, 3, 'c@x', NULL, NULL, NULL, NULL);
INSERT INTO children VALUES (1);
"""

TARGET = """
CREATE TABLE lines_v2 (
    line_id integer PRIMARY KEY,
    "number" integer NOT NULL,
    variant varchar(40) NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    price numeric(12,2) NOT NULL,
    price_text text,
    state text NOT NULL,
    room_id integer,
    floor_no integer,
    kind_code text REFERENCES kinds,
    stay int4range,
    discount percent,
    mail text,
    flags bool[],
    old text,
    exercise char(4),
    hidden text DEFAULT 'untouched',
    UNIQUE (variant, "number"),
    FOREIGN KEY (floor_no, room_id) REFERENCES "Rooms" (floor, id) MATCH FULL,
    EXCLUDE USING gist (stay WITH &&)
);
CREATE UNIQUE INDEX ON lines_v2 (mail) WHERE state = 'open';
"""

RULES = (
    rules.Column("id", "line_id"),
    rules.Column("Nr", "number"),
    rules.Column("select", "variant"),
    rules.Column("qty", "quantity"),
    rules.Cast("price", "price", keep="price_text"),
    rules.ValueMap("status", "state", ((1, "open"), (2, "closed"), (3, "gone"))),
    rules.Column("room", "room_id"),
    rules.Column('the "floor" no', "floor_no"),
    rules.Column("kind", "kind_code"),
    rules.Column("during", "stay"),
    rules.Column("discount", "discount"),
    rules.Column("email", "mail"),
    rules.Column("flags", "flags"),
    rules.Column("new", "old"),
    rules.Column("Übung", "exercise"),
)


def migrate(conn: Connection, more: str = "") -> Migration:
    """Make the table in two schemas, and migrate it in `app`.

    :param more: SQL that is said of the target before
    """
    for schema in ("twin", "app"):
        conn.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}; {LEGACY}")
    conn.execute(f"{TARGET}; {more}")
    return Migration.between(conn, "Order Lines", "lines_v2", RULES).expand().copy().cutover()


@pytest.fixture
def migrated(conn: Connection) -> Migration:
    return migrate(conn)


def said(conn: Connection, statement: str, schema: str) -> dict[str, str | None]:
    """Return the fields of the error of a statement in a schema, {} where there is none."""
    conn.execute(f"SET search_path = {schema}")
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement)
    except psycopg.Error as error:
        fields = {name: getattr(error.diag, name) for name in FIELDS}
        if fields["schema_name"] == schema:
            fields["schema_name"] = "its own"
        return fields
    return {}


def assert_alike(conn: Connection, statement: str, sqlstate: str) -> None:
    expected = said(conn, statement, "twin")
    assert expected.get("sqlstate") == sqlstate, expected
    assert said(conn, statement, "app") == expected


L = '"Order Lines"'
FLOOR = '"the ""floor"" no"'
ERRORS = {
    f'INSERT INTO {L} (id, "Nr") VALUES (4, NULL)': "23502",
    f'INSERT INTO {L} (id, "Nr", qty) VALUES (NULL, 9, NULL)': "23502",
    f"""INSERT INTO {L} (id, "Nr", status, flags, "Übung")
        VALUES (4, 4, NULL, '{{t,null}}', 'ä')""": "23502",
    f"UPDATE {L} SET \"select\" = NULL, price = repeat('ö', 60) WHERE id = 1": "23502",
    f'INSERT INTO {L} (id, "Nr", qty) VALUES (4, 4, 0)': "23514",
    f"""INSERT INTO {L} (id, "Nr", "select") VALUES (4, 4, 'a; THEN')""": "23514",
    f"""INSERT INTO {L} (id, "Nr", "select", qty) VALUES (4, 4, 'b', -1)""": "23514",
    f"INSERT INTO {L} (id, \"Nr\", price, status) VALUES (4, 4, '1.5', 3)": "23514",
    f"INSERT INTO {L} (id, \"Nr\", new) VALUES (4, 4, 'b')": "23514",
    f"UPDATE {L} SET qty = -qty WHERE id = 1": "23514",
    f"UPDATE {L} SET new = 'b', \"Nr\" = 2 WHERE id = 1": "23514",
    f'INSERT INTO {L} (id, "Nr", discount) VALUES (4, 4, 101)': "23514",
    f'INSERT INTO {L} (id, "Nr") VALUES (1, 9)': "23505",
    f'INSERT INTO {L} (id, "Nr") VALUES (9, 2)': "23505",
    f'INSERT INTO {L} (id, "Nr") VALUES (10, 10), (11, 11), (3, 12)': "23505",
    f"INSERT INTO {L} (id, \"Nr\", email) VALUES (9, 9, 'a@x')": "23505",
    f"UPDATE {L} SET id = 1 WHERE id = 2": "23505",
    f'UPDATE {L} SET "Nr" = 1, price = 7 WHERE id = 2': "23505",
    f"UPDATE {L} SET email = 'a@x' WHERE id = 3": "23505",
    f"INSERT INTO {L} (id, \"Nr\", kind) VALUES (4, 4, 'z')": "23503",
    f'INSERT INTO {L} (id, "Nr", room, {FLOOR}) VALUES (4, 4, 1, 2)': "23503",
    f'INSERT INTO {L} (id, "Nr", room) VALUES (4, 4, 1)': "23503",
    f"UPDATE {L} SET kind = 'z' WHERE id = 3": "23503",
    f"UPDATE {L} SET room = 5 WHERE id = 1": "23503",
    f"UPDATE {L} SET room = NULL WHERE id = 1": "23503",
    f"INSERT INTO {L} (id, \"Nr\", during) VALUES (4, 4, '[4,6)')": "23P01",
    f"UPDATE {L} SET during = '[6,9)' WHERE id = 1": "23P01",
    f"DELETE FROM {L} WHERE id = 1": "23503",
    f"DELETE FROM {L}": "23503",
    f"UPDATE {L} SET id = 8 WHERE id = 1": "23503",
    f'INSERT INTO {L} (id, "Nr", "select") VALUES (4, 4, repeat(\'x\', 41))': "22001",
    f'INSERT INTO {L} (id, "Nr") VALUES (4, 3000000000)': "22003",
    f"INSERT INTO {L} (id, \"Nr\", status) VALUES (4, 4, 'x')": "22P02",
}


def test_every_error_is_the_legacy_tables(migrated: Migration) -> None:
    for statement, sqlstate in ERRORS.items():
        assert_alike(migrated.conn, statement, sqlstate)


def test_an_error_leaves_the_transaction_and_its_savepoints_as_on_a_table(
    migrated: Migration,
) -> None:
    conn = migrated.conn
    conn.execute("SET search_path = app")
    with conn.transaction():
        conn.execute(f'INSERT INTO {L} (id, "Nr") VALUES (20, 20)')
        with pytest.raises(psycopg.errors.UniqueViolation), conn.transaction():
            conn.execute(f'INSERT INTO {L} (id, "Nr") VALUES (21, 21), (1, 22)')
        conn.execute(f'INSERT INTO {L} (id, "Nr") VALUES (22, 22)')
    assert value(conn, f"SELECT array_agg(id ORDER BY id) FROM {L} WHERE id >= 20") == [20, 22]
    conn.execute("BEGIN")
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute(f"UPDATE {L} SET id = 1 WHERE id = 2")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        conn.execute("SELECT 1")
    conn.execute("ROLLBACK")


def test_what_is_written_without_an_error_costs_no_subtransaction(migrated: Migration) -> None:
    conn = migrated.conn
    conn.execute("SET search_path = app")
    with conn.transaction():
        conn.execute(
            f'INSERT INTO {L} (id, "Nr", room, {FLOOR}, kind, during)'
            " VALUES (30, 30, 1, 1, 'k', '[30,31)'), (31, 31, NULL, NULL, NULL, NULL)"
        )
        conn.execute(f"UPDATE {L} SET qty = 7, price = '7.5' WHERE id = 1")
        conn.execute(f"UPDATE {L} SET qty = 8, \"select\" = 'c' WHERE id = 2")
        written = conn.execute(
            "SELECT line_id, xmin = pg_current_xact_id()::xid FROM lines_v2"
            " WHERE line_id IN (1, 2, 30, 31) ORDER BY line_id"
        ).fetchall()
        # The key of the second has changed, of which other rows may have something to say.
        assert written == [(1, True), (2, False), (30, True), (31, True)]


def test_a_row_that_somebody_else_has_just_inserted_is_waited_for_and_named(
    migrated: Migration, url: str
) -> None:
    conn = migrated.conn
    with psycopg.connect(url) as other:
        other.execute('INSERT INTO app."Order Lines" (id, "Nr") VALUES (40, 40)')
        conn.execute("SET search_path = app; SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute(f'INSERT INTO {L} (id, "Nr") VALUES (40, 41)')
        other.commit()
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            conn.execute(f'INSERT INTO {L} (id, "Nr") VALUES (40, 41)')
        assert caught.value.diag.constraint_name == "PK %"


def test_an_error_shows_no_more_of_a_row_than_its_role_may_read(
    migrated: Migration, url: str
) -> None:
    conn = migrated.conn
    role = value(conn, "SELECT 'errors_' || md5(current_database())")
    conn.execute(f"CREATE ROLE {role}")
    try:
        for schema in ("twin", "app"):
            conn.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
            conn.execute(
                f"GRANT INSERT, UPDATE (qty), DELETE, SELECT (id) ON {schema}.{L} TO {role}"
            )
            conn.execute(f"GRANT UPDATE (id), SELECT (room) ON {schema}.{L} TO {role}")
        conn.execute(f"SET ROLE {role}")
        assert_alike(conn, f"UPDATE {L} SET id = 1 WHERE id = 2", "23505")
        assert_alike(conn, f"INSERT INTO {L} (id, \"Nr\", email) VALUES (9, 9, 'a@x')", "23505")
        assert_alike(conn, f'INSERT INTO {L} (id, "Nr") VALUES (9, 1)', "23505")
        assert_alike(
            conn, f'INSERT INTO {L} (id, "Nr", room, {FLOOR}) VALUES (4, 4, 1, 2)', "23503"
        )
        refused = said(conn, f"UPDATE {L} SET qty = 0 WHERE id = 1", "app")
        assert refused["message_detail"] == "Failing row contains (id, room) = (1, 1)."
        conn.execute("RESET ROLE")
        conn.execute(f"REVOKE SELECT (id, room) ON app.{L} FROM {role}; SET ROLE {role}")
        refused = said(conn, f'INSERT INTO {L} (id, "Nr", qty) VALUES (9, 9, 0)', "app")
        assert (refused["sqlstate"], refused["message_detail"]) == ("23514", None)
    finally:
        conn.execute("RESET ROLE")
        conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


STRICTER = """
CREATE TABLE plain (id integer PRIMARY KEY, a integer, b integer UNIQUE, c text, d integer);
CREATE TABLE parents (id integer PRIMARY KEY);
CREATE TABLE strict (
    id integer PRIMARY KEY,
    a integer NOT NULL,
    b integer,
    c varchar(3),
    e integer,
    CONSTRAINT only_v2 UNIQUE (e),
    CONSTRAINT small CHECK (b < 100)
);
ALTER TABLE plain ADD CONSTRAINT parent_fk FOREIGN KEY (d) REFERENCES parents;
INSERT INTO plain VALUES (1, 1, 1, 'x', NULL);
"""


def test_what_only_one_side_enforces_is_told_under_the_legacy_name(conn: Connection) -> None:
    """The retired table still has its keys, and the target has its own."""
    conn.execute(STRICTER)
    Migration.between(
        conn,
        "plain",
        "strict",
        (
            rules.Column("id", "id"),
            rules.Column("a", "a"),
            rules.Column("b", "b"),
            rules.Cast("c", "c"),
            rules.Column("d", "e"),
        ),
        accept=("c",),
    ).expand().copy().cutover()
    conn.execute("INSERT INTO parents VALUES (1), (2)")
    conn.execute("INSERT INTO plain VALUES (2, 2, 2, 'y', 1)")
    for statement, names in {
        "INSERT INTO plain VALUES (3, 3, 1)": ("plain", "plain_b_key"),  # the retired table's
        "UPDATE plain SET b = 1 WHERE id = 2": ("plain", "plain_b_key"),
        "INSERT INTO plain VALUES (3, 3, 3, 'z', 9)": ("plain", "parent_fk"),
        "UPDATE plain SET d = 9": ("plain", "parent_fk"),
        "INSERT INTO plain VALUES (3, 3, 3, 'z', 1)": ("plain", "only_v2"),  # the target's
        "UPDATE plain SET d = 1 WHERE id = 1": ("plain", "only_v2"),
    }.items():
        with pytest.raises(psycopg.errors.IntegrityError) as caught:
            conn.execute(statement)
        diag = caught.value.diag
        assert (diag.table_name, diag.constraint_name) == names, statement
        told = f"{diag.message_primary} {diag.message_detail}"
        assert "__retired" not in told
        assert "strict" not in told


def test_a_duplicate_of_what_the_snapshot_does_not_show_is_a_conflict_to_retry(
    migrated: Migration, url: str
) -> None:
    conn = migrated.conn
    conn.execute("SET search_path = app; BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert value(conn, f"SELECT count(*) FROM {L}") == 3
    with psycopg.connect(url, autocommit=True) as other:
        other.execute('INSERT INTO app."Order Lines" (id, "Nr") VALUES (50, 50)')
    with pytest.raises(psycopg.errors.SerializationFailure):
        conn.execute(f'INSERT INTO {L} (id, "Nr") VALUES (50, 51)')
    conn.execute("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ")
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute(f'INSERT INTO {L} (id, "Nr") VALUES (50, 51)')
    conn.execute("ROLLBACK")


NOT_BEFOREHAND = {
    "a deferrable key": "ALTER TABLE lines_v2 ADD UNIQUE (line_id, hidden) DEFERRABLE",
    "a trigger that leaves rows out": """
        CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RETURN CASE WHEN NEW.variant <> 'out' THEN NEW END; END $$;
        CREATE TRIGGER leave_out BEFORE INSERT ON lines_v2
            FOR EACH ROW EXECUTE FUNCTION leave_out()""",
}


@pytest.mark.parametrize("what", NOT_BEFOREHAND)
def test_where_rows_cannot_be_left_out_the_view_looks_for_duplicates(
    conn: Connection, what: str
) -> None:
    migrated = migrate(conn, NOT_BEFOREHAND[what])
    assert "ON CONFLICT" not in value(
        conn, "SELECT prosrc FROM pg_proc WHERE proname = %s", ["Order Lines__insert"]
    )
    for statement, sqlstate in ERRORS.items():
        if sqlstate == "23505" or "DELETE" in statement:
            assert_alike(migrated.conn, statement, sqlstate)
    conn.execute("SET search_path = app")
    done = conn.execute(
        f"INSERT INTO {L} (id, \"Nr\", \"select\", email) VALUES (60, 60, 'out', 'o@x')"
    )
    assert done.rowcount == (1 if what == "a deferrable key" else 0)


CLIENTS = """
CREATE TABLE kinds (code text PRIMARY KEY);
CREATE TABLE "Client List" (
    id integer CONSTRAINT "PK %" PRIMARY KEY,
    "full name" text NOT NULL CONSTRAINT "named" CHECK ("full name" <> ''),
    email text CONSTRAINT "one mail" UNIQUE,
    city text,
    kind text CONSTRAINT kind_fk REFERENCES kinds,
    CONSTRAINT "no namesake" UNIQUE (city, "full name"),
    CONSTRAINT "mail or city" CHECK (num_nonnulls(email, city) > 0)
);
CREATE TABLE visits (client integer CONSTRAINT "of a %" REFERENCES "Client List");
INSERT INTO kinds VALUES ('k');
INSERT INTO "Client List"
VALUES (1, 'Ada', 'a@x', 'London', 'k'), (2, 'Bob', 'b@x', NULL, NULL),
       (3, 'Cid', NULL, 'Rome', 'k');
INSERT INTO visits VALUES (1);
"""
"""A legacy table whose keys lie across what the shapes make of it."""

ROW_OF_CLIENT = "client_no integer PRIMARY KEY, label text NOT NULL"
KIND_AND_MAIL = "kind_code text REFERENCES kinds, mail text UNIQUE"
SHAPES: dict[str, tuple[str, Callable[[Reflect], dict[str, Any]]]] = {
    "a half by the legacy key": (
        f"""CREATE TABLE persons ({ROW_OF_CLIENT});
        CREATE TABLE "%details" (client_no integer PRIMARY KEY REFERENCES persons, town text,
                                 {KIND_AND_MAIL});""",
        lambda reflect: {
            "parts": (
                Half(
                    reflect('"%details"'), (("client_no", "client_no"),), ("email", "city", "kind")
                ),
            )
        },
    ),
    "an optional half by another key": (
        f"""CREATE TABLE persons ({ROW_OF_CLIENT}, id uuid UNIQUE DEFAULT gen_random_uuid(),
                                  town text);
        CREATE TABLE "%details" (person uuid PRIMARY KEY REFERENCES persons (id), {KIND_AND_MAIL});
        """,
        lambda reflect: {
            "parts": (
                Half(reflect('"%details"'), (("person", "id"),), ("email", "kind"), optional=True),
            )
        },
    ),
    "a parent": (
        f"""CREATE TABLE towns (id serial PRIMARY KEY, town text NOT NULL UNIQUE);
        CREATE TABLE persons ({ROW_OF_CLIENT}, {KIND_AND_MAIL}, town_id integer REFERENCES towns,
                              UNIQUE (label, town_id));""",
        lambda reflect: {"parts": (Parent(reflect("towns"), (("id", "town_id"),), ("city",)),)},
    ),
    "a choice": (
        f"""CREATE TABLE persons ({ROW_OF_CLIENT}, {KIND_AND_MAIL}, town text);
        CREATE TABLE others (LIKE persons INCLUDING ALL);
        ALTER TABLE others ADD FOREIGN KEY (kind_code) REFERENCES kinds;""",
        lambda reflect: {"choices": (Choice(reflect("others"), "kind IS NULL AND id > 1"),)},
    ),
    "a tag": (
        """CREATE TABLE persons (client_no integer, label text NOT NULL, kind_code text
                                 REFERENCES kinds, mail text, town text, what text,
                                 PRIMARY KEY (what, client_no), UNIQUE (mail, what));
        INSERT INTO persons VALUES (1, 'Ada', NULL, 'a@x', 'London', 'another');""",
        lambda _: {"tag": Tag("what", "client")},
    ),
}
"""What CLIENTS becomes: tables as SQL, and what the mapping says of them."""

C = '"Client List"'
ERRORS_OF_CLIENTS = {
    f"INSERT INTO {C} VALUES (4, NULL, 'd@x')": "23502",
    f'UPDATE {C} SET "full name" = NULL': "23502",
    f"INSERT INTO {C} VALUES (4, '', 'd@x')": "23514",
    f"INSERT INTO {C} VALUES (4, 'Dan')": "23514",
    f"UPDATE {C} SET city = NULL, email = NULL WHERE id = 1": "23514",
    f"INSERT INTO {C} VALUES (1, 'Dan', 'd@x')": "23505",
    f"INSERT INTO {C} VALUES (2, 'Dan', 'd@x', NULL, 'k')": "23505",
    f"INSERT INTO {C} VALUES (4, 'Dan', 'a@x', 'Oslo')": "23505",
    f"INSERT INTO {C} VALUES (4, 'Dan', 'd@x'), (5, 'Eve', 'd@x')": "23505",
    f"INSERT INTO {C} VALUES (4, 'Ada', 'd@x', 'London')": "23505",
    f"INSERT INTO {C} VALUES (4, 'Cid', NULL, 'Rome', 'k')": "23505",
    f"UPDATE {C} SET id = 1 WHERE id = 2": "23505",
    f"UPDATE {C} SET id = 3, email = 'c@x' WHERE id = 2": "23505",
    f"UPDATE {C} SET email = 'a@x' WHERE id = 2": "23505",
    f"UPDATE {C} SET email = 'a@x' WHERE id = 3": "23505",
    f"UPDATE {C} SET city = 'London', \"full name\" = 'Ada', kind = 'k' WHERE id = 2": "23505",
    f"INSERT INTO {C} VALUES (4, 'Dan', 'd@x', NULL, 'z')": "23503",
    f"UPDATE {C} SET kind = 'z' WHERE id = 2": "23503",
    f"UPDATE {C} SET kind = 'z', city = 'Oslo' WHERE id = 3": "23503",
}
ERRORS_OF_REFERENCED_CLIENTS = {
    f"DELETE FROM {C} WHERE id = 1": "23503",
    f"DELETE FROM {C}": "23503",
    f"UPDATE {C} SET id = 8 WHERE id = 1": "23503",
}
"""Nothing can reference rows of one table or another, nor those of a table and others."""


@pytest.mark.parametrize("shape", SHAPES)
def test_every_error_of_a_shape_is_the_legacy_tables(conn: Connection, shape: str) -> None:
    is_referenced = shape not in ("a choice", "a tag")
    tables, options = SHAPES[shape]
    for schema in ("twin", "app"):
        conn.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}; {CLIENTS}")
    conn.execute(f"{tables} {'' if is_referenced else 'DROP TABLE visits'}")
    migration = Migration.between(
        conn,
        C,
        "persons",
        (
            rules.Column("id", "client_no"),
            rules.Column("full name", "label"),
            rules.Column("email", "mail"),
            rules.Column("city", "town"),
            rules.Column("kind", "kind_code"),
        ),
        **options(lambda name: catalog.reflect_table(conn, name)),
    )
    migration.expand().copy().cutover()
    for statement, sqlstate in ERRORS_OF_CLIENTS.items():
        assert_alike(conn, statement, sqlstate)
    for statement, sqlstate in ERRORS_OF_REFERENCED_CLIENTS.items() if is_referenced else ():
        assert_alike(conn, statement, sqlstate)
    conn.execute("SET search_path = app")
    assert migration.legacy_rows() == migration.rows(f"twin.{C}")
    with conn.transaction():
        conn.execute(f"INSERT INTO {C} VALUES (7, 'Gil', 'g@x', 'Graz', 'k')")
        conn.execute(f"UPDATE {C} SET \"full name\" = 'Bobby' WHERE id = 2")
        conn.execute(f"DELETE FROM {C} WHERE id = 3")
        # The name is part of a key: a subtransaction wrote it, and nothing else.
        assert value(
            conn, "SELECT xmin = pg_current_xact_id()::xid FROM persons WHERE client_no = 7"
        )


PARTITIONED = """
CREATE TABLE days (day date PRIMARY KEY);
CREATE TABLE stays (
    a integer, day date CONSTRAINT on_day REFERENCES days, n integer NOT NULL CHECK (n < 9),
    b integer,
    CONSTRAINT "one stay" PRIMARY KEY (a, day));
CREATE UNIQUE INDEX "one b" ON stays (b, day);
CREATE TABLE bills (a integer, day date, CONSTRAINT of_stay FOREIGN KEY (a, day) REFERENCES stays);
INSERT INTO days VALUES ('2020-01-01');
INSERT INTO stays VALUES (1, '2020-01-01', 1, 1), (2, '2020-01-01', 1, 2);
INSERT INTO bills VALUES (1, '2020-01-01');
"""
PARTITIONS = """
CREATE TABLE stays_v2 (
    a_key integer, on_the date REFERENCES days, n integer NOT NULL CHECK (n < 9), b integer,
    PRIMARY KEY (on_the, a_key)) PARTITION BY RANGE (on_the);
CREATE UNIQUE INDEX ON stays_v2 (on_the, b);
CREATE TABLE of_2020 PARTITION OF stays_v2 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')
    PARTITION BY RANGE (on_the);
CREATE TABLE of_january PARTITION OF of_2020 FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
"""


def test_an_error_of_a_partition_is_the_legacy_tables(conn: Connection) -> None:
    for schema in ("twin", "app"):
        conn.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}; {PARTITIONED}")
    conn.execute(PARTITIONS)
    found = [rules.Column(*names) for names in (("a", "a_key"), ("day", "on_the"), ("n", "n"))]
    migration = Migration.between(
        conn, "stays", "stays_v2", [*found, rules.Column("b", "b")], form="instead_of"
    )
    migration.expand().copy().cutover()
    for statement, sqlstate in {
        "INSERT INTO stays VALUES (1, '2020-01-01', 1, 9)": "23505",
        "INSERT INTO stays VALUES (3, '2020-01-01', 1, 2)": "23505",
        "UPDATE stays SET a = 7 WHERE b = 1": "23503",
        "UPDATE stays SET b = 1 WHERE a = 2": "23505",
        "INSERT INTO stays VALUES (3, '2020-01-02', 1, 3)": "23503",
        "UPDATE stays SET day = '2020-01-03' WHERE a = 2": "23503",
        "INSERT INTO stays VALUES (3, '2020-01-01', NULL, 3)": "23502",
        "UPDATE stays SET n = 9 WHERE a = 1": "23514",
        "DELETE FROM stays": "23503",
    }.items():
        assert_alike(conn, statement, sqlstate)
    conn.execute("INSERT INTO app.days VALUES ('2019-01-01')")
    for statement in (
        "INSERT INTO stays VALUES (3, '2019-01-01', 1, 3)",
        "UPDATE stays SET day = '2019-01-01' WHERE a = 2",
    ):
        nowhere = said(conn, statement, "app")
        assert nowhere["message_primary"] == 'no partition of relation "stays_v2" found for row'
