"""Who still uses a view: found by locks, by last statements and by pg_stat_statements.

A contract refuses for whom there is evidence, and says how far the evidence reaches.
"""

import contextlib
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compat import rules
from compat.connection import connect
from compat.database import Database
from compat.mapping import Mapping
from compat.run.mentions import kind_of_use
from compat.run.usage import Usage, observe
from tests.compat import migrations
from tests.compat.migrations import value
from tests.run.support import (
    PASSWORD,
    changed_url,
    compat_here,
    ended,
    make_lines,
    ordinary_role,
    phase,
    picture,
    start,
    steps,
    succeed,
    until,
    verify,
    write_mapping,
)

pytestmark = pytest.mark.installed

NOW = timedelta(0)


@pytest.fixture
def mapping(url: str, copied: Mapping) -> Mapping:
    """The migration of `lines` with 30 rows, cut over."""
    steps(url, "lines", "cutover")
    return copied


def look(url: str, watch: timedelta = NOW, *, remember: bool = True) -> Usage:
    """Look who uses the view of `lines`."""
    with connect(url, purpose="usage") as conn:
        return observe(conn, "lines", watch, timedelta(milliseconds=10), remember=remember)


def seen(url: str) -> set[tuple[str, str, str]]:
    """Application, source and kind of each use."""
    return {(use.application, use.source, use.kind) for use in look(url).uses}


# Texts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT * FROM lines", "read"),
        ("select 1 from a, public.lines l where x", "read"),
        ("SELECT * FROM t WHERE x = (SELECT max(y) FROM Lines", "read"),  # cut off
        ("SELECT * FROM (lines JOIN b USING (x))", "read"),
        ("COPY (SELECT * FROM lines) TO STDOUT", "read"),
        ("COPY lines (a, b) TO STDOUT", "read"),
        ("TABLE lines", "read"),
        ("INSERT INTO x SELECT * FROM lines", "read"),
        ("DELETE FROM x USING lines", "read"),
        ("SELECT $1 FROM ONLY lines FOR UPDATE", "read"),
        ("update lines set a=1", "write"),
        ('INSERT INTO "public"."lines" (a) VALUES ($1)', "write"),
        ("INSERT INTO lines(a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = 1", "write"),
        ("DELETE FROM ONLY lines WHERE a IN (SELECT b FROM c)", "write"),
        ("WITH x AS (DELETE FROM lines RETURNING *) SELECT * FROM x", "write"),
        ("MERGE INTO lines USING t ON true WHEN MATCHED THEN DELETE", "write"),
        ("COPY lines (a, b) FROM STDIN", "write"),
        ("SELECT lines FROM x", None),
        ("SELECT lines.a FROM t lines", None),
        ("SELECT 1 FROM t AS lines", None),
        ("SELECT 'x FROM lines', $$ FROM lines $$, E'\\' FROM lines' FROM y", None),
        ("SELECT 1 -- FROM lines\n FROM x /* , lines */", None),
        ("SELECT extract(epoch FROM lines) FROM t", None),
        ("SELECT a IS NOT DISTINCT FROM lines FROM t", None),
        ("INSERT INTO other.lines VALUES (1)", None),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET lines = 1", None),
        ("WITH lines AS NOT MATERIALIZED (SELECT 1) SELECT * FROM lines", None),
        ('SELECT * FROM "Lines"', None),
        ("SELECT * FROM lines(3)", None),
        ("SELECT * FROM a JOIN b USING (lines)", None),
        ("ALTER TABLE lines RENAME TO x; LOCK TABLE lines", None),
        ("<insufficient privilege>", None),
        ("", None),
    ],
)
def test_a_relation_in_a_statement_is_told_from_whatever_else_has_its_name(
    text: str, kind: str | None
) -> None:
    assert kind_of_use(text, "public", "lines") == kind


def test_odd_names_are_found_as_the_server_shows_them() -> None:
    assert (
        kind_of_use('UPDATE "s "".t"."Order ""x"" %" SET a = 1', 's ".t', 'Order "x" %') == "write"
    )
    assert kind_of_use('SELECT FROM "sélect"', "public", "sélect") == "read"


# Sampling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "kind"),
    [("SELECT count(*) FROM lines", "read"), ("UPDATE lines SET qty = 2 WHERE id = 1", "write")],
)
def test_an_open_transaction_is_seen_by_its_lock_also_with_a_cached_plan(
    url: str, mapping: Mapping, statement: str, kind: str
) -> None:
    with psycopg.connect(url, application_name="shop 1.0", prepare_threshold=0) as client:
        for _ in range(8):  # from the sixth on, PostgreSQL may use a generic plan
            client.execute(statement)
            client.commit()
        client.execute(statement)
        client.execute("SELECT 1")  # so that the text tells nothing
        assert seen(url) == {("shop 1.0", "lock", kind)}


def test_a_function_that_uses_the_view_is_seen_by_its_lock(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    conn.execute(
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql AS"
        " 'BEGIN RETURN (SELECT count(*) FROM lines); END'"
    )
    with psycopg.connect(url, application_name="hidden") as client:
        client.execute("SELECT f()")
        assert seen(url) == {("hidden", "lock", "read")}


def test_an_idle_session_is_seen_by_its_last_statement_once(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    with psycopg.connect(url, autocommit=True, application_name="pool") as client:
        client.execute("DELETE FROM lines WHERE id = 1")
        for _ in range(3):
            (use,) = look(url, timedelta(milliseconds=50)).uses
            assert (use.application, use.source, use.kind, use.times) == (
                *("pool", "session", "write"),
                1,
            )
        assert use.role == value(conn, "SELECT current_user")
    assert value(conn, "SELECT times FROM compat.usage") == 1


def test_what_was_before_the_cutover_and_what_we_do_ourselves_is_no_use(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    steps(url, "lines", "rollback")
    conn.execute("SELECT count(*) FROM lines")  # of the table, and the last of its session
    steps(url, "lines", "cutover")
    with (
        connect(url, purpose="verify") as ours,
        psycopg.connect(url, application_name="pg_dump") as backup,
    ):
        ours.execute("SELECT count(*) FROM lines")
        backup.execute("SELECT count(*) FROM lines")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT 'lines' AS lines")
            assert seen(url) == set()


def test_a_name_that_holds_quotes_is_found_in_statements_which_double_them(
    url: str, conn: psycopg.Connection
) -> None:
    name = 'the "Old" %s'
    for table in (f'"{name.replace(chr(34), chr(34) * 2)}"', "young"):
        conn.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY)")
    made = migrations.Migration.between(
        conn, '"the ""Old"" %s"', "young", [rules.Column("id", "id")]
    )
    made.expand()
    steps(url, name, "copy", "cutover")
    with psycopg.connect(url, autocommit=True, application_name="night job") as client:
        client.execute('SELECT count(*) FROM "the ""Old"" %s"')
        refused = compat_here(url, "contract", name, "--execute", "--watch", "0s")

    assert refused.code == 2
    assert "is still used" in refused.err
    assert "(night job): read" in refused.err
    assert phase(conn, name) == "cutover"


def test_a_watch_that_is_interrupted_keeps_and_prints_what_it_saw(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    with psycopg.connect(url, autocommit=True, application_name="night job") as client:
        client.execute("SELECT count(*) FROM lines")
        process = start(url, "usage", "lines", "--watch", "10m", "--interval", "10ms")
        until(lambda: bool(value(conn, "SELECT count(*) FROM compat.usage")), "the watch to store")
        process.send_signal(signal.SIGINT)
        result = ended(process)

    assert result.code == 0
    assert "night job" in result.out
    assert "what was seen is kept" in result.err
    assert value(conn, "SELECT application FROM compat.usage") == "night job"


def test_a_role_that_may_only_read_sees_and_says_that_it_keeps_nothing(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    with ordinary_role(conn) as role:
        conn.execute(
            f"GRANT USAGE ON SCHEMA compat TO {role};"
            f" GRANT SELECT ON ALL TABLES IN SCHEMA compat TO {role}"
        )
        with psycopg.connect(url, application_name="shop") as client:
            client.execute("SELECT count(*) FROM lines")
            usage = look(changed_url(url, user=role, password=PASSWORD))
    assert {use.application for use in usage.uses} == {"shop"}
    assert any("is not kept" in note for note in usage.notes)
    assert value(conn, "SELECT count(*) FROM compat.usage") == 0


def test_usage_of_a_view_that_is_not_in_use_is_refused(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    steps(url, "lines", "rollback")
    result = compat_here(url, "usage", "lines")
    assert result.code == 2
    assert "the view of 'lines' is not in use: the migration is copied" in result.err


# Contract ----------------------------------------------------------------------------------------


def test_a_contract_refuses_while_the_view_is_used_and_says_by_whom(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    options = ("contract", "lines", "--execute", "--watch", "50ms")
    with psycopg.connect(url, autocommit=True, application_name="shop 1.0") as client:
        client.execute("SELECT count(*) FROM lines")
        before = picture(conn)
        dry = compat_here(url, "contract", "lines", "--watch", "0s")
        assert picture(conn) == before
        real = compat_here(url, *options)
        as_json = compat_here(url, *options, "--json")

    assert (dry.code, real.code, as_json.code) == (1, 2, 2)
    for text in (dry.out, real.err):
        assert "(shop 1.0): read, seen 1 × until " in text
        assert "pg_stat_statements" in text  # how far the evidence reaches
    assert [use["application"] for use in as_json.json["users"]] == ["shop 1.0"]
    assert phase(conn, "lines") == "cutover"

    # Gone, but seen lately: only evidence within --unused-for counts.
    assert compat_here(url, *options).code == 2
    conn.execute("UPDATE compat.usage SET last_seen = last_seen - interval '2 hours'")
    assert compat_here(url, *options).code == 2
    done = succeed(url, *options, "--unused-for", "90m")
    assert "contract done" in done.out
    assert phase(conn, "lines") == "contracted"


def test_who_insists_on_a_contract_is_told_who_may_break(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    with psycopg.connect(url, autocommit=True, application_name="shop 1.0") as client:
        client.execute("SELECT count(*) FROM lines")
        done = succeed(url, "contract", "lines", "--execute", "--force", "--watch", "0s")
    assert "note: may break: " in done.out
    assert "(shop 1.0): read" in done.out
    assert phase(conn, "lines") == "contracted"


# pg_stat_statements ------------------------------------------------------------------------------


@contextlib.contextmanager
def counting(server: Database) -> Iterator[str]:
    """A database in a server of the test's own, which counts statements if it can."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        if has_statements(conn):
            conn.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    server.restart_immediately()
    with server.fresh() as url:
        with psycopg.connect(url, autocommit=True) as conn:
            if has_statements(conn):
                conn.execute(
                    "CREATE SCHEMA stats; CREATE EXTENSION pg_stat_statements SCHEMA stats"
                )
        yield url


def has_statements(conn: psycopg.Connection[Any]) -> bool:
    """Whether the server's programs include pg_stat_statements."""
    query = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'"
    return bool(value(conn, query))


def test_pg_stat_statements_counts_every_statement_of_others_where_it_is_installed(
    own_server: Database, tmp_path: Path
) -> None:
    with counting(own_server) as url, psycopg.connect(url, autocommit=True) as conn:
        file = write_mapping(make_lines(conn), tmp_path)
        succeed(url, "expand", file, "--execute")
        steps(url, "lines", "copy", "cutover")
        if not has_statements(conn):
            assert any("without pg_stat_statements" in note for note in look(url).notes)
            return

        def counted() -> dict[str, int]:
            uses = look(url).uses
            return {use.kind: use.times for use in uses if use.source == "statements"}

        def work(times: int) -> None:
            with psycopg.connect(url, autocommit=True) as client:
                for n in range(times):
                    client.execute("SELECT qty FROM lines WHERE id = %s", [n])
                    client.execute("UPDATE lines SET qty = 3 WHERE id = %s", [n])
                client.execute("SELECT 'lines'")

        assert counted() == {}  # nothing since the cutover
        work(5)
        assert counted() == {"read": 5, "write": 5}
        work(2)
        assert counted() == {"read": 7, "write": 7}  # the difference is added to what is kept
        conn.execute("SELECT stats.pg_stat_statements_reset()")
        work(9)
        assert counted() == {"read": 16, "write": 16}  # 9 more, though 9 > 7 - 5 alone
        assert verify(url) == 0
        assert counted() == {"read": 16, "write": 16}  # not what our own verifier did
        refused = compat_here(url, "contract", "lines", "--execute", "--watch", "0s")
        assert refused.code == 2
        assert "postgres: 16 write statements between " in refused.err
        assert "pg_stat_statements has counted every statement since " in refused.err
