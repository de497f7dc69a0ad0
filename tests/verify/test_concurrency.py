"""Races on a copy of the view: what they find, what they leave alone, what they leave behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import verify
from tests.verify import journey, test_good_migrations
from tests.verify.journey import Connection
from verify.report import Result, Status


def races(conn: Connection) -> Result:
    (result,) = verify.run(conn, ["concurrency"]).results
    return result


def without_guard(conn: Connection, operation: str, statements: tuple[int, ...]) -> None:
    """Take the guard out of some of a function's statements, as a hand would."""
    name = f"compat.order_line_items__{operation}()"
    row = conn.execute(f"SELECT pg_get_functiondef('{name}'::regprocedure)").fetchone()
    assert row is not None
    lines = row[0].splitlines()
    guards = [
        n for n, line in enumerate(lines) if "AND ROW(" in line or "AND pg_catalog.age(" in line
    ]
    for number in statements:
        lines[guards[number]] = ";" if lines[guards[number]].rstrip().endswith(";") else ""
    conn.execute("\n".join(lines))


def schemas(conn: Connection) -> list[str]:
    query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'compat\\_verify%'"
    return [name for (name,) in conn.execute(query).fetchall()]


@pytest.mark.parametrize("make", test_good_migrations.ALL, ids=lambda make: make.__name__)
def test_good_migrations_lose_no_race_and_the_copy_is_gone_afterwards(
    conn: Connection, make: test_good_migrations.Make
) -> None:
    mapping = make(conn)
    journey.copied(conn, mapping)
    assert races(conn).status is Status.HOLDS
    journey.cut_over(conn, mapping)
    result = races(conn)
    assert result.status is Status.HOLDS, result
    assert dict(result.numbers)["races"] >= 1
    assert schemas(conn) == []


def test_all_branches_of_update_and_delete_are_raced_for(shop: Connection) -> None:
    assert dict(races(shop).numbers)["races"] >= 20


@pytest.mark.parametrize(
    ("operation", "statements", "kinds"),
    [
        ("update", (0, 1, 2, 3), {"lost update", "double claim"}),
        ("update", (0,), {"lost update", "double claim"}),
        ("update", (1,), {"lost update", "double claim"}),
        ("update", (2,), {"lost update", "double claim"}),
        ("update", (3,), {"lost update", "double claim"}),
        ("delete", (0,), {"stale delete"}),
        ("delete", (1,), {"stale delete"}),
        ("delete", (2,), {"stale delete"}),
    ],
)
def test_a_guard_taken_out_of_a_trigger_by_hand_is_found_by_a_race_and_named(
    shop: Connection, operation: str, statements: tuple[int, ...], kinds: set[str]
) -> None:
    without_guard(shop, operation, statements)
    before = shop.execute("SELECT v FROM order_line_items v ORDER BY id").fetchall()
    result = races(shop)
    assert result.status is Status.DOES_NOT_HOLD
    assert {finding.kind for finding in result.findings} == kinds
    assert all(f"order_line_items__{operation}" in f.message for f in result.findings)
    assert shop.execute("SELECT v FROM order_line_items v ORDER BY id").fetchall() == before
    assert schemas(shop) == []


def edit(conn: Connection, operation: str, old: str, new: str) -> None:
    name = f"compat.order_line_items__{operation}()"
    row = conn.execute(f"SELECT pg_get_functiondef('{name}'::regprocedure)").fetchone()
    assert row is not None
    assert old in row[0]
    conn.execute(row[0].replace(old, new))


def test_a_conflict_that_is_kept_silent_is_found_too(shop: Connection) -> None:
    edit(shop, "delete", "RAISE EXCEPTION", "RETURN NULL; RAISE EXCEPTION")
    result = races(shop)
    assert {finding.kind for finding in result.findings} == {"lost delete"}
    assert "was told that the row is not there" in result.findings[0].message


def test_a_trigger_that_would_write_to_the_real_target_is_tried_on_no_copy(
    shop: Connection,
) -> None:
    edit(shop, "update", '"public"."order_line_items_v2"', "order_line_items_v2")
    rows = "SELECT v, xmin FROM order_line_items_v2 v ORDER BY 1"
    before = shop.execute(rows).fetchall()
    result = races(shop)
    assert result.status is Status.NOT_RUN
    assert "also writes to order_line_items__retired, order_line_items_v2" in result.summary
    assert shop.execute(rows).fetchall() == before
    assert schemas(shop) == []


def test_a_copy_that_not_even_the_server_survived_is_dropped_by_the_next_run(
    shop: Connection, shop_url: str
) -> None:
    shop.execute("CREATE SCHEMA compat_verify_17; CREATE TABLE compat_verify_17.t ()")
    shop.execute("CREATE SCHEMA compat_verify_18")
    with psycopg.connect(shop_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(18)")  # that one is in use
        assert races(shop).status is Status.HOLDS
        assert schemas(shop) == ["compat_verify_18"]
    assert races(shop).status is Status.HOLDS
    assert schemas(shop) == []


_HOLDS_A_COPY = """
import sys
import psycopg
from compat import state
from verify.context import Context
from verify.scratch import opened
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    (stored,) = state.load_all(conn)
    with opened(Context(conn, stored), rows=5) as scratch:
        print(scratch.schema, flush=True)
        sys.stdin.read()
"""


def test_the_copy_goes_although_the_program_is_killed(shop: Connection, shop_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS_A_COPY, shop_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        schema = program.stdout.readline().strip()
        assert schemas(shop) == [schema]
        assert shop.execute(
            "SELECT count(*), bool_and(relpersistence = 'u') FROM pg_class "
            "WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'",
            [schema],
        ).fetchone() == (2, True)
        program.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30
    while schemas(shop) and time.monotonic() < end:
        shop.execute("SELECT pg_sleep(0.02)")
    assert schemas(shop) == []


def test_a_role_that_may_make_no_schema_is_told_so_and_nothing_passes(
    shop: Connection, shop_url: str
) -> None:
    role = f"poor_{shop.info.dbname}"
    shop.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'poor'")
    shop.execute(f"GRANT USAGE ON SCHEMA compat TO {role}")
    shop.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public, compat TO {role}")
    try:
        with psycopg.connect(
            make_conninfo(shop_url, user=role, password="poor"), autocommit=True
        ) as other:
            report = verify.run(other, ["concurrency", "performance"])
    finally:
        shop.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert [result.status for result in report.results] == [Status.NOT_RUN] * 2
    assert "may not create a schema" in report.results[0].summary
    assert "writes were not measured: permission denied" in report.results[1].summary
