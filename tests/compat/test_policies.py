"""Row-level security of the legacy table: through the view it is applied to whoever uses the view.

Real roles do the same on the view and on a twin of the legacy table that has the same policies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import errors

from compat import catalog, rules
from compat.errors import MappingError
from compat.mapping import Mapping
from compat.render import render_module
from tests.compat.migrations import Connection, Migration, lines, outcome, uninstalled, value

Role = Callable[[str], str]

TABLES = """
CREATE TABLE "my docs" (id serial PRIMARY KEY, "owner" text NOT NULL DEFAULT current_user,
                        tenant integer NOT NULL DEFAULT 1, qty integer DEFAULT 1, note text);
CREATE TABLE docs_v2 (doc integer PRIMARY KEY, held_by text NOT NULL, tenant bigint NOT NULL,
                      quantity integer, remark text);
CREATE TABLE members (who text, tenant integer);
"""
RULES: tuple[rules.AnyRule, ...] = (
    rules.Column("id", "doc"),
    rules.Column("owner", "held_by"),
    rules.Cast("tenant", "tenant"),
    rules.Column("qty", "quantity"),
    rules.Column("note", "remark"),
)
TWIN = '"the twin"'

OWN = """CREATE POLICY mine ON {t} USING ("owner" = current_user)"""
POLICIES = {
    "none at all": "",
    "own rows": OWN,
    "of a setting": "CREATE POLICY s ON {t}"
    " USING (tenant = current_setting('app.tenant', true)::integer)",
    "one for each command": "CREATE POLICY r ON {t} FOR SELECT USING (true);"
    'CREATE POLICY a ON {t} FOR INSERT WITH CHECK ("owner" = current_user AND qty < 100);'
    "CREATE POLICY w ON {t} FOR UPDATE USING (tenant = 1) WITH CHECK (qty < 50);"
    'CREATE POLICY d ON {t} FOR DELETE USING ("owner" = current_user)',
    "read only": "CREATE POLICY r ON {t} FOR SELECT USING (tenant < 3)",
    "restrictive": OWN + "; CREATE POLICY \"100% 'few'\" ON {t} AS RESTRICTIVE USING (qty < 9);"
    "CREATE POLICY b ON {t} AS RESTRICTIVE FOR UPDATE TO {alice} USING (true) WITH CHECK (qty < 5)",
    "for roles": "CREATE POLICY a ON {t} TO {alice} USING (tenant = 1);"
    "CREATE POLICY s ON {t} FOR SELECT TO {staff}, {boss} USING (tenant = 2)",
    "of another table": "CREATE POLICY m ON {t} USING (tenant IN"
    " (SELECT m.tenant FROM members m WHERE m.who = current_user AND m.tenant = {t}.tenant))",
    "rows that leave": "CREATE POLICY r ON {t} FOR SELECT USING (tenant = 1);"
    "CREATE POLICY w ON {t} FOR UPDATE USING (true);"
    "CREATE POLICY a ON {t} FOR INSERT WITH CHECK (true)",
}
STATEMENTS = (
    'SELECT id, "owner", tenant, qty, note FROM {t} ORDER BY id',
    "SELECT count(*) FROM {t} WHERE qty < 50",
    "UPDATE {t} SET qty = qty + 3 WHERE id < 100 RETURNING id, qty",
    "UPDATE {t} SET note = 'x' WHERE tenant = 2",
    "UPDATE {t} SET tenant = 2 WHERE id = 1",
    "UPDATE {t} SET \"owner\" = 'nobody' WHERE id = 1",
    "UPDATE {t} SET qty = 60 WHERE id = 2",
    "INSERT INTO {t} (id, tenant, qty) VALUES (201, 1, 2)",
    "INSERT INTO {t} (id, tenant, qty) VALUES (202, 2, 2)",
    "INSERT INTO {t} (id, \"owner\", qty) VALUES (203, 'nobody', 2)",
    "INSERT INTO {t} (id, qty) VALUES (204, 200)",
    "INSERT INTO {t} (id, qty) SELECT 300 + n, n FROM generate_series(1, 12) n",
    "DELETE FROM {t} WHERE tenant = 2 RETURNING id",
    "DELETE FROM {t} WHERE qty > 5",
    "SELECT count(*) FROM {t}",
)


class Docs:
    """The table with rows of two people and three tenants, its roles, and its twin."""

    def __init__(self, conn: Connection, role: Role, policies: str) -> None:
        self.conn = conn
        names = ("owner", "alice", "bob", "boss", "staff")
        self.roles = {name: role(name) for name in names}
        conn.execute(TABLES)
        conn.execute(f'CREATE TABLE {TWIN} (LIKE "my docs" INCLUDING ALL)')
        plain = {name: quoted.strip('"') for name, quoted in self.roles.items()}
        for number, (who, tenant, qty) in enumerate(
            [("alice", 1, 1), ("alice", 2, 2), ("bob", 1, 7), ("bob", 2, 70), ("staff", 3, 1)], 1
        ):
            for table in ('"my docs"', TWIN):
                conn.execute(
                    f"INSERT INTO {table} VALUES (%s, %s, %s, %s)",
                    [number, plain[who], tenant, qty],
                )
        conn.execute("INSERT INTO members VALUES (%(alice)s, 1), (%(bob)s, 1), (%(bob)s, 2)", plain)
        conn.execute("GRANT SELECT ON members TO {alice}, {bob}, {boss}".format(**self.roles))
        conn.execute("ALTER ROLE {boss} BYPASSRLS; GRANT {staff} TO {bob}".format(**self.roles))
        for table in ('"my docs"', TWIN):
            conn.execute(policies.format(t=table, **self.roles))
            conn.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            conn.execute(f"ALTER TABLE {table} OWNER TO {self.roles['owner']}")
            for name in names[1:]:
                conn.execute(
                    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {self.roles[name]}"
                )
        conn.execute("ALTER TABLE docs_v2 OWNER TO {owner}".format(**self.roles))
        self.migration = Migration.between(conn, "my docs", "docs_v2", RULES)

    def seen_by(self, who: str, table: str, *statements: str) -> list[Any]:
        """What a role sees of statements; everything is rolled back."""
        seen: list[Any] = []
        with self.conn.transaction(force_rollback=True):
            self.conn.execute("SET LOCAL app.tenant = 2")
            self.conn.execute(f"SET LOCAL ROLE {self.roles[who]}")
            for statement in statements or STATEMENTS:
                query = statement.format(t=table)
                try:
                    with self.conn.transaction():
                        cursor = self.conn.execute(query)
                        rows = cursor.fetchall() if cursor.description else None
                        seen.append((statement, cursor.rowcount, rows and sorted(rows)))
                except psycopg.Error as error:
                    message = (error.diag.message_primary or "").replace("the twin", "my docs")
                    seen.append((statement, error.sqlstate, message))
        return seen


@pytest.mark.parametrize("policies", POLICIES.values(), ids=POLICIES)
def test_each_role_does_through_the_view_just_what_it_could_on_the_table(
    conn: Connection, role: Role, policies: str
) -> None:
    docs = Docs(conn, role, policies)
    assert docs.migration.mapping.chosen_form == "instead_of"
    expected = {who: docs.seen_by(who, TWIN) for who in docs.roles}
    for step in ("expand", "copy", "cutover", "uncutover", "cutover", "contract", "uncontract"):
        getattr(docs.migration, step)()
        if step == "contract":
            continue
        for who, seen in expected.items():
            assert docs.seen_by(who, '"my docs"') == seen, (step, who)
    docs.migration.uncutover().unexpand()
    assert catalog.reflect_table(conn, "my docs").policies == docs.migration.mapping.legacy.policies
    assert uninstalled(conn)


def test_the_view_and_what_serves_it_stand_open_to_nobody_at_any_step(
    conn: Connection, role: Role
) -> None:
    docs = Docs(conn, role, POLICIES["of another table"])
    for step in ("expand", "copy", "cutover", "uncutover"):
        getattr(docs.migration, step)()
        for name in ("docs_v2", '"my docs__retired"', '"my docs__compat"'):
            if value(conn, "SELECT to_regclass(%s)", [name]) is not None:
                ((_, answer, _),) = docs.seen_by("alice", name, "SELECT 1 FROM {t}")
                assert answer == "42501", (step, name)
        ((_, answer, _),) = docs.seen_by(
            "alice", "", """SELECT compat."my docs__visible"(1, 'x', 1, 1, 'x')"""
        )
        assert answer == "42501", step


def test_a_function_that_tells_what_it_is_given_is_not_given_hidden_rows(
    conn: Connection, role: Role
) -> None:
    docs = Docs(conn, role, OWN)
    conn.execute(
        "CREATE FUNCTION tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
        " $$ BEGIN INSERT INTO told VALUES ($1); RETURN true; END $$;"
        "CREATE TABLE told (what text); GRANT ALL ON told TO PUBLIC"
    )
    docs.migration.expand().copy().cutover()
    conn.execute(f"SET ROLE {docs.roles['alice']}")
    for statement in ("SELECT FROM {t} WHERE tell({o})", "UPDATE {t} SET qty = 1 WHERE tell({o})"):
        conn.execute(statement.format(t='"my docs"', o='"owner"'))
    conn.execute("RESET ROLE")
    assert value(conn, "SELECT array_agg(DISTINCT what) FROM told") == [
        docs.roles["alice"].strip('"')
    ]


def test_tables_that_a_policy_reads_are_read_with_the_rights_of_the_caller(
    conn: Connection, role: Role
) -> None:
    docs = Docs(conn, role, POLICIES["of another table"])
    conn.execute("REVOKE SELECT ON members FROM {bob}".format(**docs.roles))
    expected = docs.seen_by("bob", TWIN)
    assert {answer for _, answer, _ in expected} == {"42501"}
    docs.migration.expand().copy().cutover()
    assert docs.seen_by("bob", '"my docs"') == expected


def test_a_hostile_search_path_gets_past_no_policy(conn: Connection, role: Role) -> None:
    docs = Docs(conn, role, POLICIES["one for each command"])
    docs.migration.expand().copy().cutover()
    conn.execute("CREATE SCHEMA evil AUTHORIZATION {alice}".format(**docs.roles))
    conn.execute("SET ROLE {alice}".format(**docs.roles))
    conn.execute(
        "CREATE FUNCTION evil.yes(text, name) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = text, RIGHTARG = name);"
        "SET search_path = evil, pg_catalog, public"
    )
    statement = 'INSERT INTO public."my docs" (id, "owner") VALUES (9, \'bob\')'
    assert outcome(conn, statement) == ("failed", "42501")


def test_what_differs_is_what_the_plan_says(conn: Connection, role: Role) -> None:
    """No trigger can know of a RETURNING, nor see a SELECT that locks what it reads."""
    docs = Docs(conn, role, POLICIES["rows that leave"] + "; ALTER POLICY w ON {t} USING (qty > 1)")
    docs.migration.expand().copy().cutover()
    lock = "SELECT id FROM {t} WHERE tenant = 1 FOR UPDATE"
    assert docs.seen_by("alice", TWIN, lock)[0][1:] == (1, [(3,)])
    assert docs.seen_by("alice", '"my docs"', lock)[0][1:] == (2, [(1,), (3,)])
    insert = "INSERT INTO {t} (id, tenant) VALUES (400, 2)"
    assert docs.seen_by("alice", '"my docs"', insert) == docs.seen_by("alice", TWIN, insert)
    ((_, count, rows),) = docs.seen_by("alice", '"my docs"', f"{insert} RETURNING id")
    assert (count, rows) == (1, [(400,)])


def test_policies_are_part_of_the_mapping_and_of_what_is_rendered_of_it(
    conn: Connection, role: Role
) -> None:
    mapping = Docs(conn, role, POLICIES["restrictive"]).migration.mapping
    assert mapping.legacy.policies is not None
    assert [p.permissive for p in mapping.legacy.policies] == [False, False, True]
    assert Mapping.from_json(mapping.to_json()) == mapping
    found: dict[str, Any] = {}
    exec(render_module(mapping), found)
    assert found["MAPPING"] == mapping
    other = replace(mapping, legacy=replace(mapping.legacy, policies=None))
    assert "policies" not in other.to_json()
    assert other.fingerprint != mapping.fingerprint


KEYS = """
CREATE TABLE kinds (kind text PRIMARY KEY);
INSERT INTO kinds VALUES ('a'), ('b');
CREATE TABLE {0} (id integer PRIMARY KEY CONSTRAINT positive CHECK (id > 0), "owner" text NOT NULL,
                  code text UNIQUE, kind text REFERENCES kinds);
"""
BREAKING = (
    "INSERT INTO {t} VALUES (1, '{alice}', 'new', 'a')",
    "INSERT INTO {t} VALUES (5, '{alice}', 'of bob', 'a')",
    "INSERT INTO {t} VALUES (5, '{alice}', 'new', 'c')",
    "INSERT INTO {t} VALUES (-5, '{alice}', 'new', 'a')",
    "INSERT INTO {t} VALUES (5, NULL, 'new', 'a')",
    "UPDATE {t} SET code = 'of bob' WHERE id = 1",
    "UPDATE {t} SET id = 2 WHERE id = 1",
    "UPDATE {t} SET kind = 'c' WHERE id = 1",
    "DELETE FROM {t} WHERE id = 1",
    "UPDATE {t} SET id = 7 WHERE id = 1",
)


@pytest.mark.parametrize("key", [rules.Column("id", "doc"), rules.Cast("id", "doc")])
def test_errors_show_values_to_those_only_to_whom_the_table_shows_them(
    conn: Connection, role: Role, key: rules.AnyRule
) -> None:
    """Who is under policies is told no other row's values, nor their own: as PostgreSQL does."""
    roles = {name: role(name) for name in ("owner", "alice", "bob", "boss", "member", "blind")}
    plain = {name: quoted.strip('"') for name, quoted in roles.items()}
    kind = "integer" if isinstance(key, rules.Column) else "bigint"
    conn.execute(KEYS.format("docs"))
    conn.execute(
        f"CREATE TABLE docs_v2 (doc {kind} PRIMARY KEY, held_by text NOT NULL, mark text UNIQUE,"
        " sort text REFERENCES kinds (kind));"
        f"CREATE TABLE {TWIN} (LIKE docs INCLUDING ALL, FOREIGN KEY (kind) REFERENCES kinds)"
    )
    for table in ("docs", TWIN):
        conn.execute(
            f"INSERT INTO {table} VALUES"
            " (1, %(alice)s, 'of alice', 'a'), (2, %(bob)s, 'of bob', 'b')",
            plain,
        )
        conn.execute(
            f'CREATE POLICY mine ON {table} USING ("owner" = current_user OR "owner" IS NULL);'
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
            f"ALTER TABLE {table} OWNER TO {roles['owner']};"
            f"GRANT ALL ON {table} TO {roles['alice']}, {roles['boss']};"
            f"GRANT INSERT, UPDATE, DELETE, SELECT (id) ON {table} TO {roles['blind']}"
        )
    conn.execute(
        "ALTER ROLE {boss} BYPASSRLS; ALTER ROLE {blind} BYPASSRLS; GRANT {owner} TO {member};"
        "ALTER TABLE docs_v2 OWNER TO {owner}; GRANT SELECT ON kinds TO PUBLIC;"
        "CREATE TABLE notes (doc integer REFERENCES docs ON UPDATE RESTRICT);"
        'CREATE TABLE "notes of the twin" (doc integer REFERENCES "the twin" ON UPDATE RESTRICT);'
        'INSERT INTO notes VALUES (1); INSERT INTO "notes of the twin" VALUES (1);'.format(**roles)
    )
    found = (
        key,
        rules.Column("owner", "held_by"),
        rules.Column("code", "mark"),
        rules.Column("kind", "sort"),
    )
    migration = Migration.between(conn, "docs", "docs_v2", found).expand().copy().cutover()
    assert migration.mapping.legacy.policies is not None

    def told(who: str, table: str, statement: str) -> Any:
        with conn.transaction(force_rollback=True):
            conn.execute(f"SET LOCAL ROLE {roles[who]}")
            try:
                conn.execute(statement.format(t=table, **plain))
            except psycopg.Error as error:
                diag = error.diag
                texts = (diag.message_primary, diag.message_detail, diag.constraint_name)
                return error.sqlstate, *[
                    text and text.replace("notes of the twin", "notes").replace("the twin", "docs")
                    for text in texts
                ]
        return None

    detailed = 0
    for who in ("alice", "owner", "member", "boss", "blind"):
        for statement in BREAKING:
            on_table, on_view = (told(who, table, statement) for table in (TWIN, "docs"))
            if who == "blind" and on_table and str(on_table[2]).startswith("Failing row"):
                continue  # a table shows what was given as well, which no trigger can know
            assert on_view == on_table, (who, statement)
            detailed += bool(on_table and on_table[2])
    assert detailed > 20


# Refusals ----------------------------------------------------------------------------------------


def test_security_that_was_switched_on_after_the_draft_is_refused(conn: Connection) -> None:
    migration = lines(conn)
    conn.execute("ALTER TABLE lines ENABLE ROW LEVEL SECURITY")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="another row-level"):
        migration.expand()


def test_security_that_binds_the_owner_too_is_refused_with_the_way_out(
    conn: Connection, role: Role
) -> None:
    docs = Docs(conn, role, OWN)
    conn.execute('ALTER TABLE "my docs" FORCE ROW LEVEL SECURITY')
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="forces row-level") as caught:
        docs.migration.expand()
    assert "NO FORCE ROW LEVEL SECURITY" in str(caught.value.diag.message_hint)
    conn.execute('ALTER TABLE "my docs" NO FORCE ROW LEVEL SECURITY')
    docs.migration.expand()


@pytest.mark.parametrize(
    "change",
    [
        'ALTER POLICY mine ON "my docs" USING (true)',
        'CREATE POLICY more ON "my docs"',
        'DROP POLICY mine ON "my docs"',
        'ALTER TABLE "my docs" DISABLE ROW LEVEL SECURITY',
    ],
)
def test_policies_that_were_changed_since_stop_the_cutover(
    conn: Connection, role: Role, change: str
) -> None:
    docs = Docs(conn, role, OWN)
    docs.migration.expand().copy()
    with conn.transaction(force_rollback=True):
        conn.execute(change)
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="another row-level"):
            docs.migration.cutover()
    docs.migration.cutover()


@pytest.mark.parametrize("form", ["updatable", "bridged"])
def test_forms_without_triggers_of_the_view_are_refused(
    conn: Connection, role: Role, form: str
) -> None:
    mapping = Docs(conn, role, OWN).migration.mapping
    with pytest.raises(MappingError, match="row-level security"):
        Migration.between(
            conn,
            mapping.legacy.title,
            mapping.target.title,
            [r if r.legacy != "tenant" else rules.Column("tenant", "tenant") for r in RULES],
            form=form,
        )
