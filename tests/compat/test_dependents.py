"""What means the legacy table by its identity follows its name at the cutover, and back.

Each kind is used before the cutover, after it, and after the rollback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from compat import rules
from compat.run.plan import plan
from tests.compat.migrations import Connection, Migration, lines, one, outcome, renamed, value

Role = Callable[[str], str]
Make = Callable[[Connection], Migration]


def filled(conn: Connection, make: Make = lines) -> Migration:
    """A migration with two rows."""
    migration = make(conn)
    given = "order_id, note" if make is lines else "qty, note"
    conn.execute(f"INSERT INTO lines ({given}) VALUES (1, 'a'), (2, 'b')")
    return migration


def means(conn: Connection, kind: str, name: str) -> set[str]:
    """The relations that an object depends on by identity."""
    catalogue, oid = {
        "view": ("pg_rewrite", "(SELECT oid FROM pg_rewrite WHERE ev_class = %s::regclass)"),
        "rule": ("pg_rewrite", "(SELECT oid FROM pg_rewrite WHERE rulename = %s)"),
        "function": ("pg_proc", "%s::regproc"),
        "policy": ("pg_policy", "(SELECT oid FROM pg_policy WHERE polname = %s)"),
    }[kind]
    rows = conn.execute(
        "SELECT DISTINCT refobjid::regclass::text FROM pg_depend"
        f" WHERE classid = '{catalogue}'::regclass AND objid = {oid}"
        " AND refclassid = 'pg_class'::regclass AND deptype = 'n'",
        [name],
    ).fetchall()
    return {row[0] for row in rows} - {name}


# Views -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lines, renamed])
def test_a_view_follows_the_name_with_all_that_it_is_and_all_that_hangs_on_it(
    conn: Connection, role: Role, make: Make
) -> None:
    reader = role("reader")
    migration = filled(conn, make)
    conn.execute(
        "CREATE VIEW few WITH (security_barrier, check_option = local)"
        " AS SELECT id, qty, note FROM lines WHERE qty < 9;"
        f"GRANT SELECT, UPDATE (qty) ON few TO {reader}; COMMENT ON VIEW few IS 'not many';"
        "ALTER VIEW few ALTER COLUMN note SET DEFAULT 'new'; CREATE VIEW fewer AS SELECT * FROM few"
    )
    looks = (
        "SELECT c.reloptions, c.relacl::text, obj_description(c.oid, 'pg_class'), c.oid,"
        " (SELECT array_agg(attacl::text) FROM pg_attribute WHERE attrelid = c.oid),"
        " (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = c.oid)"
        " FROM pg_class c WHERE relname = 'few'"
    )
    before = one(conn, looks)
    migration.expand().copy()
    for step in ("cutover", "uncutover", "cutover"):
        getattr(migration, step)()
        assert one(conn, looks) == before, step
        assert means(conn, "view", "few") == {"lines"}, step
        conn.execute(f"SET ROLE {reader}")
        assert outcome(conn, "UPDATE few SET qty = qty + 1 WHERE id = 1")[:2] == ("done", 1)
        assert outcome(conn, "UPDATE few SET qty = 50") == ("failed", "44000")
        conn.execute("RESET ROLE")
        counted = "SELECT (SELECT qty FROM fewer WHERE id = 1), qty FROM lines WHERE id = 1"
        assert len(set(one(conn, counted))) == 1
    assert value(conn, "SELECT quantity FROM lines_v2 WHERE line_id = 1") > 3
    assert value(conn, "SELECT bool_and(left_behind IS NULL) FROM compat.dependent") is True


def test_a_view_that_cannot_follow_goes_on_reading_and_its_owner_may(
    conn: Connection, role: Role
) -> None:
    other = role("other")
    migration = filled(conn)
    conn.execute(
        "CREATE VIEW by_key AS SELECT id, qty FROM lines GROUP BY id;"
        "CREATE MATERIALIZED VIEW kept AS SELECT id, qty FROM lines;"
        f"GRANT SELECT ON lines TO {other}; ALTER MATERIALIZED VIEW kept OWNER TO {other}"
    )
    migration.expand().copy().cutover()
    conn.execute("UPDATE lines SET qty = 7 WHERE id = 1")
    assert value(conn, "SELECT qty FROM by_key WHERE id = 1") == 7
    conn.execute("REFRESH MATERIALIZED VIEW kept")
    assert value(conn, "SELECT qty FROM kept WHERE id = 1") == 7
    left = conn.execute("SELECT object, left_behind FROM compat.dependent").fetchall()
    assert [row[0] for row in left] == ["public.by_key"]
    assert "GROUP BY" in left[0][1]
    migration.uncutover()
    assert means(conn, "view", "by_key") >= {"lines"}


def test_a_view_made_over_the_view_means_the_table_after_the_rollback(conn: Connection) -> None:
    migration = filled(conn).expand().copy().cutover()
    conn.execute("CREATE VIEW later AS SELECT id, note FROM lines")
    migration.uncutover()
    assert means(conn, "view", "later") == {"lines"}
    assert value(conn, "SELECT relkind::text FROM pg_class WHERE oid = 'lines'::regclass") == "r"
    assert conn.execute("UPDATE later SET note = 'c' WHERE id = 1").rowcount == 1


# Rules, functions, policies ----------------------------------------------------------------------


def test_rules_functions_and_policies_follow_the_name_and_their_writes_arrive(
    conn: Connection, role: Role
) -> None:
    reader = role("reader")
    migration = filled(conn)
    conn.execute(
        "CREATE TABLE todo (id integer); CREATE RULE more AS ON INSERT TO todo"
        " DO ALSO INSERT INTO lines (order_id) VALUES (NEW.id);"
        "CREATE FUNCTION add(o integer) RETURNS integer BEGIN ATOMIC"
        " INSERT INTO lines (order_id) VALUES (o) RETURNING qty; END;"
        "COMMENT ON FUNCTION add IS 'adds'; REVOKE EXECUTE ON FUNCTION add FROM PUBLIC;"
        "CREATE FUNCTION many() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM lines; END;"
        "CREATE POLICY known ON todo USING (id IN (SELECT order_id FROM lines))"
        " WITH CHECK (id > (SELECT min(order_id) FROM lines));"
        "ALTER TABLE todo ENABLE ROW LEVEL SECURITY;"
        f"GRANT SELECT, INSERT ON todo, lines TO {reader};"
        f"GRANT USAGE ON SEQUENCE lines_id_seq TO {reader}; ALTER TABLE todo DISABLE RULE more;"
        "ALTER TABLE todo ENABLE ALWAYS RULE more"
    )
    made = {"rule": "more", "function": "add", "policy": "known"}
    migration.expand().copy()
    for number, step in enumerate(("cutover", "uncutover", "cutover"), 10):
        getattr(migration, step)()
        for kind, name in made.items():
            assert "lines" in means(conn, kind, name), (step, kind)
        conn.execute(f"INSERT INTO todo VALUES ({number})")
        assert value(conn, f"SELECT add({number * 100})") == 1
        assert value(conn, "SELECT many()") == value(conn, "SELECT count(*) FROM lines_v2")
        with conn.transaction(force_rollback=True):
            conn.execute(f"SET LOCAL ROLE {reader}")
            assert value(conn, "SELECT count(*) FROM todo") == number - 9
            assert outcome(conn, "INSERT INTO todo VALUES (0)") == ("failed", "42501")
    assert value(conn, "SELECT ev_enabled::text FROM pg_rewrite WHERE rulename = 'more'") == "A"
    assert value(conn, "SELECT obj_description('add'::regproc, 'pg_proc')") == "adds"
    assert not value(conn, "SELECT has_function_privilege('public', 'add(integer)', 'EXECUTE')")
    assert value(conn, "SELECT count(*) FROM lines_v2") == 2 + 2 * 3


def test_odd_names_follow_too(conn: Connection) -> None:
    conn.execute(
        'CREATE SCHEMA "Le Shop"; CREATE TABLE "Le Shop"."100% ""Lines""" ("the Key" integer'
        ' PRIMARY KEY, "%s" text); CREATE TABLE "Le Shop".new (k integer PRIMARY KEY, v text);'
        'CREATE VIEW "Le Shop"."a ""view""; --" AS SELECT * FROM "Le Shop"."100% ""Lines""";'
        'CREATE FUNCTION "Le Shop"."f""; --"() RETURNS bigint'
        ' BEGIN ATOMIC SELECT count("%s") FROM "Le Shop"."100% ""Lines"""; END;'
        "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS"
        ' $$ BEGIN NEW."%s" := TG_ARGV[0]; RETURN NEW; END $$;'
        'CREATE TRIGGER "t ON ""Le Shop""" BEFORE INSERT ON "Le Shop"."100% ""Lines"""'
        " FOR EACH ROW EXECUTE FUNCTION change('100%, ''x''')"
    )
    migration = Migration.between(
        conn,
        '"Le Shop"."100% ""Lines"""',
        '"Le Shop".new',
        [rules.Column("the Key", "k"), rules.Column("%s", "v")],
        form="instead_of",
    )
    migration.expand().copy()
    for number, step in enumerate(("cutover", "uncutover"), 1):
        getattr(migration, step)()
        conn.execute(f'INSERT INTO "Le Shop"."a ""view""; --" VALUES ({number}, \'y\')')
        assert value(conn, 'SELECT "Le Shop"."f""; --"()') == number
        assert value(conn, f'SELECT v FROM "Le Shop".new WHERE k = {number}') == "100%, 'x'"


# Triggers ----------------------------------------------------------------------------------------

TRIGGERS = """
CREATE TABLE log (n serial, who text, what text);
CREATE FUNCTION put_right() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN
        RETURN CASE WHEN OLD.note = 'keep' THEN NULL ELSE OLD END;
    ELSIF NEW.note = 'skip' THEN
        RETURN NULL;
    END IF;
    NEW.note := concat(NEW.note, TG_ARGV[0]);
    INSERT INTO log (who, what) VALUES (current_user, TG_TABLE_NAME);
    RETURN NEW;
END $$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO log (who, what) VALUES (current_user, concat_ws(' ', TG_OP, TG_LEVEL, TG_ARGV[0]));
    RETURN NEW;
END $$;
CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON {t}
    FOR EACH ROW EXECUTE FUNCTION put_right('!');
CREATE TRIGGER a BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION put_right('?');
CREATE TRIGGER s BEFORE UPDATE ON {t} FOR EACH STATEMENT EXECUTE FUNCTION tell('before');
CREATE TRIGGER z AFTER INSERT OR UPDATE OR DELETE ON {t}
    FOR EACH STATEMENT EXECUTE FUNCTION tell('after, 100%');
"""
TRIGGERED = (
    "INSERT INTO {t} (id, order_id, line_no, note) VALUES (50, 9, 1, 'x'), (51, 9, 2, 'skip'),"
    " (52, 9, 3, 'keep') RETURNING id, note",
    "UPDATE {t} SET qty = 3 WHERE order_id = 9 RETURNING id, note",
    "UPDATE {t} SET note = 'keep' WHERE id = 52 RETURNING note",
    "UPDATE {t} SET note = 'keep!' WHERE id = 52 RETURNING note",
    "UPDATE {t} SET qty = 4 WHERE false",
    "DELETE FROM {t} WHERE order_id = 9 AND note <> 'keep' RETURNING id",
    "SELECT id, qty, note FROM {t} WHERE order_id = 9",
)


def triggered(conn: Connection, table: str, role: str) -> list[Any]:
    """What a role sees of statements that set off triggers, and what those have written down."""
    with conn.transaction(force_rollback=True):
        conn.execute("TRUNCATE log")
        conn.execute(f"SET LOCAL ROLE {role}")
        seen: list[Any] = [outcome(conn, statement.format(t=table)) for statement in TRIGGERED]
        rows = conn.execute("SELECT who, replace(what, 'twin', 'lines') FROM log ORDER BY n")
        return [*seen, rows.fetchall()]


def test_triggers_before_rows_and_of_statements_move_to_the_view_and_back(
    conn: Connection, role: Role
) -> None:
    client = role("client")
    migration = filled(conn)
    twin = migration.twin()
    for table in ("lines", "twin"):
        functions, _, rest = TRIGGERS.partition("CREATE TRIGGER b")
        if table == "lines":
            conn.execute(functions)
        conn.execute(f"CREATE TRIGGER b{rest}".format(t=table))
        conn.execute(
            f"GRANT ALL ON {table}, log TO {client}; GRANT USAGE ON log_n_seq TO {client}".replace(
                "ON log_n_seq", "ON SEQUENCE log_n_seq"
            )
        )
    expected = triggered(conn, twin, client)
    assert expected[0] == ("done", 2, [(50, "x?!"), (52, "keep?!")])
    migration.expand().copy()
    for step in ("cutover", "uncutover", "cutover"):
        getattr(migration, step)()
        assert triggered(conn, "lines", client) == expected, step
    conn.execute("INSERT INTO lines (id, order_id, note) VALUES (60, 60, 'new')")
    assert value(conn, "SELECT note FROM lines__retired WHERE id = 60") == "new?!"
    assert value(conn, "SELECT remark FROM lines_v2 WHERE line_id = 60") == "new?!"
    migration.uncutover()
    states = "SELECT DISTINCT tgenabled::text FROM pg_trigger WHERE tgrelid = 'lines'::regclass"
    assert conn.execute(states).fetchall() == [("O",)]


def test_a_trigger_that_a_view_cannot_have_stays_on_the_retired_table(conn: Connection) -> None:
    migration = filled(conn)
    functions, _, _ = TRIGGERS.partition("CREATE TRIGGER b")
    conn.execute(functions)
    kinds = {
        "conditional": "BEFORE UPDATE ON lines FOR EACH ROW WHEN (NEW.qty > 5)",
        "of_columns": "BEFORE UPDATE OF qty ON lines FOR EACH ROW",
        "after_rows": "AFTER UPDATE ON lines FOR EACH ROW",
        "transition": "AFTER UPDATE ON lines REFERENCING NEW TABLE AS n FOR EACH STATEMENT",
        "truncated": "AFTER TRUNCATE ON lines FOR EACH STATEMENT",
    }
    for name, kind in kinds.items():
        conn.execute(f"CREATE TRIGGER {name} {kind} EXECUTE FUNCTION tell('{name}')")
    conn.execute("CREATE TRIGGER off BEFORE UPDATE ON lines EXECUTE FUNCTION tell('off')")
    conn.execute("ALTER TABLE lines DISABLE TRIGGER off")
    migration.expand().copy().cutover()
    assert (
        value(
            conn,
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'lines'::regclass"
            " AND tgname LIKE 'compat_before%%'",
        )
        == 0
    )
    conn.execute("UPDATE lines SET note = 'after' WHERE id = 1")
    assert value(conn, "SELECT array_agg(what ORDER BY n) FROM log") == [
        "UPDATE ROW of_columns",  # the reverse sync writes every column
        "UPDATE ROW after_rows",
        "UPDATE STATEMENT transition",
    ]
    migration.uncutover()
    assert value(conn, "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'off'") == "D"


def test_readers_through_views_and_a_cutover_do_not_lock_each_other_out(
    url: str, conn: Connection
) -> None:
    migration = filled(conn)
    conn.execute("CREATE VIEW few AS SELECT id FROM lines")
    migration.expand().copy()
    with psycopg.connect(url) as reader:
        reader.execute("SELECT FROM few")
        conn.execute("SET lock_timeout = '20ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migration.cutover()
        assert reader.execute("SELECT count(*) FROM few").fetchone() == (2,)
    migration.cutover()


# Partitions, publications ------------------------------------------------------------------------

PARTITIONED = """
CREATE TABLE tickets (id integer, status integer, note text, PRIMARY KEY (id, status));
CREATE TABLE tickets_v2 (id integer, state text, note text, PRIMARY KEY (id, state))
    PARTITION BY LIST (state);
CREATE TABLE tickets_open PARTITION OF tickets_v2 FOR VALUES IN ('open');
CREATE TABLE tickets_done PARTITION OF tickets_v2 FOR VALUES IN ('done');
INSERT INTO tickets VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 1, 'c');
"""


def tickets(conn: Connection, **options: Any) -> Migration:
    conn.execute(PARTITIONED)
    state = rules.ValueMap("status", "state", ((1, "open"), (2, "done")))
    columns: list[rules.AnyRule] = [rules.Column("id", "id"), state, rules.Column("note", "note")]
    return Migration.between(conn, "tickets", "tickets_v2", columns, **options)


def test_rows_move_between_partitions_by_what_a_rule_converts(conn: Connection) -> None:
    migration = tickets(conn).expand().copy(size=1)

    def write() -> None:
        update = "UPDATE tickets SET status = 3 - status, note = note || '!' WHERE id < 3"
        assert conn.execute(f"{update} RETURNING id, status").rowcount == 2
        conn.execute("INSERT INTO tickets VALUES (9, 2, 'z'), (8, 1, 'y')")
        assert conn.execute("DELETE FROM tickets WHERE id > 7").rowcount == 2
        assert outcome(conn, "UPDATE tickets SET status = 7 WHERE id = 1")[0] == "failed"

    write()
    assert migration.standby_rows() == migration.legacy_rows()
    migration.cutover()
    write()
    assert value(conn, "SELECT count(*) FROM tickets_open") == 2
    conn.execute("UPDATE tickets_v2 SET state = 'done' WHERE id = 3")
    conn.execute("INSERT INTO tickets_done VALUES (5, 'done', 'direct')")
    expected = [(1, 1, "a!!"), (2, 2, "b!!"), (3, 2, "c"), (5, 2, "direct")]
    assert migration.legacy_rows() == migration.retired_rows() == expected
    migration.uncutover()
    assert migration.legacy_rows() == migration.standby_rows() == expected


def test_a_bridge_cannot_move_rows_between_partitions_and_says_so(conn: Connection) -> None:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        tickets(conn, form="bridged").expand()
    assert "tickets_v2 is partitioned by state, which triggers of the form bridged write" in str(
        refused.value.diag.message_primary
    )
    assert "form='instead_of'" in str(refused.value.diag.message_hint)


@pytest.mark.parametrize("form", ["reversed", "bridged"])
def test_the_plan_names_the_publications_of_a_table_that_gets_columns(
    conn: Connection, form: str
) -> None:
    migration = lines(conn, form=form)
    table = "lines" if form == "reversed" else "lines_v2"
    conn.execute(f'CREATE PUBLICATION "all of it; %" FOR TABLE {table}')
    found = [
        item for item in plan(conn, migration.mapping).dependents if "adds" in item.what_happens
    ]
    (item,) = found
    assert (item.kind, item.name, item.verdict) == ("publication", '"all of it; %"', "warning")
    assert "state" in item.what_happens or "status" in item.what_happens
