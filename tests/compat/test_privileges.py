"""Rights: through the view a role can do what it could on the table, and nothing more, at any step.

Real roles with one privilege each do everything there is on the view and on a twin of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.compat.migrations import Connection, Migration, lines, outcome, renamed, value

Role = Callable[[str], str]

PRIVILEGES = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "MAINTAIN",
    "SELECT (id)",
    "SELECT (id, qty)",
    "INSERT (id)",
    "INSERT (id, note)",
    "UPDATE (qty)",
    "REFERENCES (id)",
    "SELECT (id), UPDATE (qty)",
    "SELECT, INSERT",
    "SELECT, UPDATE",
    "SELECT, DELETE",
    "INSERT, SELECT (id)",
    "UPDATE, MAINTAIN",
)
OPERATIONS = (
    "SELECT id FROM {t}",
    "SELECT * FROM {t}",
    "SELECT count(*) FROM {t}",
    "SELECT id, qty FROM {t} WHERE note IS NULL",
    "SELECT id FROM {t} FOR UPDATE",
    "SELECT id FROM {t} FOR KEY SHARE",
    "INSERT INTO {t} (id) VALUES (70)",
    "INSERT INTO {t} (id, note) VALUES (71, 'x')",
    "INSERT INTO {t} (id, qty) VALUES (72, 2)",
    "INSERT INTO {t} (id) VALUES (73) RETURNING id",
    "INSERT INTO {t} (id) VALUES (74) RETURNING qty",
    "INSERT INTO {t} (note) VALUES ('by the sequence')",
    "UPDATE {t} SET qty = 3",
    "UPDATE {t} SET qty = qty + 1",
    "UPDATE {t} SET qty = 3 WHERE id = 1",
    "UPDATE {t} SET note = 'x' WHERE id = 1 RETURNING note",
    "UPDATE {t} SET qty = 3 RETURNING id",
    "UPDATE {t} SET qty = DEFAULT",
    "DELETE FROM {t}",
    "DELETE FROM {t} WHERE id = 1",
    "DELETE FROM {t} RETURNING id",
    "LOCK TABLE {t} IN ACCESS SHARE MODE",
    "LOCK TABLE {t} IN ROW EXCLUSIVE MODE",
    "LOCK TABLE {t} IN ACCESS EXCLUSIVE MODE",
    "CREATE VIEW pg_temp.v AS SELECT id FROM {t}",
    "CREATE TABLE pg_temp.copy AS SELECT id FROM {t}",
    "ALTER TABLE {t} ALTER COLUMN qty DROP DEFAULT",
    "ALTER TABLE {t} OWNER TO current_user",
    "GRANT SELECT ON {t} TO PUBLIC",
    "COMMENT ON COLUMN {t}.id IS 'x'",
)
NEVER_ON_A_VIEW = (
    "TRUNCATE {t}",
    "CREATE TABLE pg_temp.child (id integer REFERENCES {t} (id))",
    "CREATE INDEX ON {t} (qty)",
)


@pytest.mark.parametrize("form", ["instead_of", "updatable"])
def test_every_privilege_allows_on_the_view_what_it_allowed_on_the_table(
    conn: Connection, role: Role, form: str
) -> None:
    client, owner = role("client"), role("owner")
    migration = renamed(conn, form=form)
    conn.execute("INSERT INTO lines (qty, note) VALUES (1, 'a'), (2, NULL)")
    twin = migration.twin()
    conn.execute(f"INSERT INTO {twin} SELECT * FROM lines")
    for table in ("lines", "lines_v2", twin):
        conn.execute(f"ALTER TABLE {table} OWNER TO {owner}")
    conn.execute(f"GRANT CREATE ON SCHEMA public TO {owner}")
    migration.expand().copy().cutover()
    allowed = 0
    for privilege in PRIVILEGES:
        if "MAINTAIN" in privilege and conn.info.server_version < 170000:
            continue
        with conn.transaction(force_rollback=True):
            for table in (twin, "lines"):
                conn.execute(f"GRANT {privilege} ON {table} TO {client}")
            conn.execute(f"SET LOCAL ROLE {client}")
            for operation in OPERATIONS:
                on_table, on_view = (
                    _tried(conn, operation.format(t=table)) for table in (twin, "lines")
                )
                assert on_view == on_table, (privilege, operation)
                allowed += on_view[0] == "done"
            for operation in NEVER_ON_A_VIEW:
                assert _tried(conn, operation.format(t="lines"))[0] == "failed", operation
            for hidden in ("lines_v2", "lines__retired"):
                for operation in OPERATIONS[:20]:
                    statement = operation.format(t=hidden).replace("id", "line_id")
                    assert _tried(conn, statement)[0] == "failed", (privilege, statement)
    assert allowed > 60


def _tried(conn: Connection, statement: str) -> tuple[Any, ...]:
    """The outcome of a statement, of which nothing stays."""
    seen: tuple[Any, ...] = ()
    with conn.transaction(force_rollback=True):
        seen = outcome(conn, statement)
    return seen


def test_a_right_that_is_revoked_lives_on_under_no_other_name(conn: Connection, role: Role) -> None:
    client = role("client")
    migration = lines(conn)
    conn.execute(f"GRANT SELECT, UPDATE (qty) ON lines TO {client}, PUBLIC")
    others = {"cutover": "lines__retired", "uncutover": "lines__compat"}
    migration.expand().copy()
    assert _may_read(conn, client) == {"lines"}
    for step in ("cutover", "uncutover", "cutover"):
        getattr(migration, step)()
        assert _may_read(conn, client) == {"lines"}, step
        conn.execute(f"REVOKE ALL ON lines FROM {client}, PUBLIC")
        assert _may_read(conn, client) == set(), (step, others[step])
        conn.execute(f"GRANT SELECT, UPDATE (qty) ON lines TO {client}, PUBLIC")
    migration.contract().uncontract()
    assert _may_read(conn, client) == {"lines"}


def _may_read(conn: Connection, role: str) -> set[str]:
    """The relations of which a role may read or write anything."""
    rows = conn.execute(
        "SELECT relname FROM pg_class WHERE relnamespace IN ('public'::regnamespace,"
        " 'compat'::regnamespace) AND relkind IN ('r', 'v') AND (has_any_column_privilege("
        "  %(role)s, oid, 'SELECT, INSERT, UPDATE')"
        "  OR has_table_privilege(%(role)s, oid, 'DELETE'))",
        {"role": role.strip('"')},
    )
    return {row[0] for row in rows}


def test_default_privileges_open_neither_functions_nor_tables_nor_the_schema(
    conn: Connection, role: Role
) -> None:
    stranger = role("stranger")
    migration = lines(conn)
    for kind in ("TABLES", "FUNCTIONS", "SEQUENCES", "SCHEMAS"):
        conn.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO {stranger}")
    conn.execute("CREATE TABLE mine (LIKE lines)")
    conn.execute(f"ALTER TABLE mine OWNER TO {stranger}; GRANT CREATE ON SCHEMA public TO PUBLIC")
    callable_by = (
        "SELECT array_agg(proname) FROM pg_proc WHERE prosecdef"
        " AND pronamespace = 'compat'::regnamespace AND has_function_privilege(%s, oid, 'EXECUTE')"
    )
    for step in ("expand", "copy", "cutover", "uncutover", "cutover", "contract", "uncontract"):
        getattr(migration, step)()
        name = stranger.strip('"')
        assert value(conn, callable_by, [name]) is None, step
        assert not value(conn, "SELECT has_schema_privilege(%s, 'compat', 'USAGE')", [name]), step
        for table in ("lines", "lines__retired", "lines__compat"):
            if value(conn, "SELECT to_regclass(%s)", [table]) is not None:
                denied = "SELECT has_table_privilege(%s, %s, 'SELECT')"
                assert not value(conn, denied, [name, table]), (step, table)
    conn.execute(f"SET ROLE {stranger}")
    trigger = (
        "CREATE TRIGGER t AFTER UPDATE OR DELETE ON mine FOR EACH ROW"
        " EXECUTE FUNCTION compat.lines__reverse()"
    )
    assert outcome(conn, trigger) == ("failed", "42501")


@pytest.mark.parametrize("make", [lines, renamed])
def test_a_server_on_which_nobody_may_call_new_functions_serves_the_view_all_the_same(
    conn: Connection, role: Role, make: Callable[[Connection], Migration]
) -> None:
    client, owner = role("client"), role("owner")
    conn.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    migration = make(conn)
    for table in ("lines", "lines_v2"):
        conn.execute(f"ALTER TABLE {table} OWNER TO {owner}")
    conn.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON lines TO {client}")
    conn.execute(f"GRANT USAGE ON SEQUENCE lines_id_seq TO {client}")
    given = "(order_id, note) VALUES (1, 'a')" if make is lines else "(note) VALUES ('a')"
    migration.expand()
    for step in ("copy", "cutover", "uncutover"):
        getattr(migration, step)()
        conn.execute(f"SET ROLE {client}")
        for statement in (
            f"INSERT INTO lines {given}",
            "UPDATE lines SET qty = 3, note = 'b'",
            "SELECT * FROM lines",
            "DELETE FROM lines",
        ):
            assert outcome(conn, statement)[:2] == ("done", 1), (step, statement)
        conn.execute("RESET ROLE")


def test_a_legacy_table_that_changes_its_owner_takes_what_serves_it_along(
    conn: Connection, role: Role
) -> None:
    first, second, client = role("first"), role("second"), role("client")
    migration = lines(conn)
    for table in ("lines", "lines_v2"):
        conn.execute(f"ALTER TABLE {table} OWNER TO {first}")
    conn.execute(
        f"GRANT ALL ON lines TO {client}; GRANT USAGE ON SEQUENCE lines_id_seq TO {client}"
    )
    migration.expand().copy()
    conn.execute(f"ALTER TABLE lines OWNER TO {second}")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="belongs to") as refused:
        migration.cutover()
    conn.execute(str(refused.value.diag.message_hint))
    migration.cutover()
    owners = (
        "SELECT array_agg(DISTINCT o) FROM (SELECT pg_get_userbyid(proowner) AS o FROM pg_proc"
        "  WHERE proname LIKE 'lines\\_\\_%%' UNION SELECT pg_get_userbyid(relowner) FROM pg_class"
        "  WHERE relname LIKE 'lines%%' AND relkind IN ('r', 'v')) AS x"
    )
    for step in (None, "uncutover"):
        if step:
            getattr(migration, step)()
        assert value(conn, owners) == [second.strip('"')], step
        with conn.transaction(force_rollback=True):
            conn.execute(f"SET LOCAL ROLE {client}")
            conn.execute("INSERT INTO lines (order_id) VALUES (1)")
        with conn.transaction(force_rollback=True):
            conn.execute(f"SET LOCAL ROLE {first}")
            assert outcome(conn, "SELECT FROM lines") == ("failed", "42501")


def test_a_role_with_the_right_to_make_triggers_gets_no_further_than_on_a_table(
    url: str, conn: Connection, role: Role
) -> None:
    client = role("client")
    migration = lines(conn)
    conn.execute(f"GRANT TRIGGER ON lines TO {client}; GRANT CREATE ON SCHEMA public TO {client}")
    migration.expand().copy().cutover()
    conn.execute(f"SET ROLE {client}")
    conn.execute(
        "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER spy BEFORE INSERT ON lines FOR EACH STATEMENT EXECUTE FUNCTION mine()"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(
            "CREATE TRIGGER spy AFTER UPDATE ON lines__retired FOR EACH ROW EXECUTE FUNCTION mine()"
        )
