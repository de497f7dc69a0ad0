"""`compat move` and `compat unmove`: rows between two databases, counted, resumed, taken back.

The example of a monolith and its microservice, on two servers, is in tests/examples.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compat import catalog, rules, state
from compat.connection import connect
from compat.database import Database
from compat.errors import CompatError, DataError, StateError
from compat.mapping import Mapping
from compat.run.arrivals import MoveOptions, Record, Tally
from compat.run.move import MoveResult, move
from compat.run.pace import Pace
from compat.run.status import status
from compat.run.unmove import Unmoved, unmove
from tests.compat.migrations import Connection, value
from tests.run.support import (
    PASSWORD,
    Ended,
    changed_url,
    compat_here,
    ended,
    environment,
    ordinary_role,
    picture,
    start,
    succeed,
    until,
    write_mapping,
)

SOURCE = """
CREATE TYPE kind AS ENUM ('new', 'used');
CREATE TABLE goods (id serial PRIMARY KEY, shelf integer NOT NULL, kind kind NOT NULL,
                    amount numeric NOT NULL, changed_at timestamptz NOT NULL);
INSERT INTO goods (shelf, kind, amount, changed_at)
SELECT 1 + i % 4, (ARRAY['new', 'used'])[1 + i % 2]::kind, i / 4.0, '2020-01-01'::timestamptz + i *
       interval '1 us' FROM generate_series(1, 40) AS i;
"""
TARGET = """
CREATE TABLE shelves (id integer PRIMARY KEY);
INSERT INTO shelves SELECT generate_series(1, 4);
CREATE TABLE articles (article_id serial PRIMARY KEY,
    shelf_id integer NOT NULL CONSTRAINT articles_shelf_fkey REFERENCES shelves,
    kind varchar(20) NOT NULL, amount numeric NOT NULL CONSTRAINT enough CHECK (amount < 100),
    changed_at timestamptz NOT NULL DEFAULT now(), note text NOT NULL DEFAULT 'mine');
"""
RULES: tuple[rules.AnyRule, ...] = (
    rules.Column("id", "article_id"),
    rules.Column("shelf", "shelf_id"),
    rules.ValueMap("kind", "kind", (("new", "new"), ("used", "second hand"))),
    rules.Column("amount", "amount"),
    rules.Column("changed_at", "changed_at"),
)
SMALL = Pace(batch_size=7, batch_seconds=0)


@pytest.fixture
def source_url(server: Database) -> Iterator[str]:
    """The address of a database with goods in it."""
    with server.fresh() as address:
        with psycopg.connect(address) as connection:
            connection.execute(SOURCE)
        yield address


@pytest.fixture
def source(source_url: str) -> Iterator[Connection]:
    with psycopg.connect(source_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def goods(source: Connection, conn: Connection) -> Mapping:
    """How goods become articles; the target is there, and empty."""
    conn.execute(TARGET)
    return mapping_between(source, conn, "goods", "articles", RULES)


@pytest.fixture
def file(goods: Mapping, tmp_path: Path) -> Path:
    """The mapping as a file."""
    return write_mapping(goods, tmp_path)


def mapping_between(
    source: Connection,
    target: Connection,
    legacy: str,
    new: str,
    column_rules: tuple[rules.AnyRule, ...],
    **options: Any,
) -> Mapping:
    tables = catalog.reflect_table(source, legacy), catalog.reflect_table(target, new)
    return Mapping(options.pop("name", legacy), *tables, column_rules, **options)


def moved(
    source_url: str, url: str, mapping: Mapping, *, execute: bool = True, **options: Any
) -> MoveResult:
    """Move once, on connections of its own, in small batches."""
    chosen = MoveOptions(**({"pace": SMALL} | options))
    with connect(source_url) as source, connect(url) as target:
        return move(source, target, mapping, chosen, execute=execute)


def taken_back(url: str, mapping: Mapping, **options: Any) -> Unmoved:
    with connect(url) as target:
        return unmove(target, mapping, **options)


def named(result: MoveResult, what: str) -> dict[str, str]:
    return {record.row: record.detail for record in result.records if record.what == what}


def count(conn: Connection, table: str = "articles") -> int:
    return int(value(conn, f"SELECT count(*) FROM {table}"))


# What is moved ------------------------------------------------------------------------------------


def test_rows_arrive_with_their_keys_and_times_and_the_source_is_only_read(
    source_url: str, source: Connection, url: str, conn: Connection, goods: Mapping
) -> None:
    before = picture(source)

    result = moved(source_url, url, goods)

    assert result.tally == Tally(found=40, moved=40)
    assert picture(source) == before
    assert (
        conn.execute(
            "SELECT article_id, shelf_id, kind, amount::text, changed_at FROM articles ORDER BY 1"
        ).fetchall()
        == source.execute(
            "SELECT id, shelf, CASE kind WHEN 'new' THEN 'new' ELSE 'second hand' END,"
            " amount::text, changed_at FROM goods ORDER BY 1"
        ).fetchall()
    )
    assert value(conn, "SELECT DISTINCT note FROM articles") == "mine"


def test_a_dry_run_counts_what_the_execution_does_and_leaves_both_databases_alone(
    source_url: str, source: Connection, url: str, conn: Connection, goods: Mapping
) -> None:
    conn.execute("DELETE FROM shelves WHERE id = 2")
    conn.execute("INSERT INTO articles VALUES (8, 1, 'other', 2, now())")
    source.execute("UPDATE goods SET amount = 100 WHERE id = 6")
    goods = dataclasses.replace(goods, orphans="skip", where="id <> 3")
    expected = Tally(found=39, moved=27, different=1, orphans=10, rejected=1)
    state.ensure_installed(conn)  # its tables would show what was written into them

    for _ in range(2):
        before = picture(source), picture(conn)
        dry = moved(source_url, url, goods, execute=False)
        assert dry.tally == expected
        assert not dry.executed
        assert (picture(source), picture(conn)) == before

    wet = moved(source_url, url, goods, max_rejects=1)
    assert (wet.tally, wet.records, wet.foreign_keys, wet.sequences) == (
        expected,
        dry.records,
        dry.foreign_keys,
        dry.sequences,
    )
    assert count(conn) == 28


def test_a_dry_run_in_a_database_without_our_schema_leaves_it_without(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    before = picture(conn)
    assert moved(source_url, url, goods, execute=False).tally.moved == 40
    assert picture(conn) == before


def test_moving_again_moves_only_what_is_new_and_never_overwrites(
    source_url: str, source: Connection, url: str, conn: Connection, goods: Mapping
) -> None:
    moved(source_url, url, goods)
    conn.execute("UPDATE articles SET amount = 1, kind = 'sold' WHERE article_id = 5")
    conn.execute("UPDATE articles SET note = 'seen' WHERE article_id = 6")  # not the source's
    source.execute(
        "INSERT INTO goods SELECT 41, shelf, kind, amount, changed_at FROM goods LIMIT 1"
    )

    result = moved(source_url, url, goods)

    assert result.tally == Tally(found=41, moved=1, same=39, different=1)
    (shown,) = status(conn)
    assert (shown.rows, shown.rows_copied) == (41, 41)
    assert result.tally.skipped == 40
    assert named(result, "different") == {"id = 5": "differs in kind, amount"}
    assert value(conn, "SELECT kind FROM articles WHERE article_id = 5") == "sold"
    assert result.holds


def test_only_rows_that_meet_the_conditions_are_found(
    source_url: str, url: str, goods: Mapping
) -> None:
    chosen = dataclasses.replace(goods, where="kind = 'new' -- a comment, 100 %")
    result = moved(source_url, url, chosen, condition="shelf = 3 AND amount > 5")
    assert result.tally == Tally(found=5, moved=5)


def test_a_condition_that_is_none_is_refused_with_the_columns_that_there_are(
    source_url: str, url: str, goods: Mapping
) -> None:
    for condition in (
        "colour = 'red'",
        "shelf >",
        "true); DROP TABLE goods; SELECT (true",
        "shelf",
    ):
        with pytest.raises(CompatError, match="condition cannot be evaluated") as failure:
            moved(source_url, url, goods, condition=condition)
        assert "id, shelf, kind, amount, changed_at" in str(failure.value)


def test_a_value_that_the_mapping_has_no_pair_for_is_set_aside(
    source_url: str, source: Connection, url: str, goods: Mapping
) -> None:
    source.execute("ALTER TYPE kind ADD VALUE 'torn'")
    source.execute("UPDATE goods SET kind = 'torn' WHERE id IN (1, 40)")
    result = moved(source_url, url, goods, max_rejects=2)
    assert result.tally == Tally(found=40, moved=38, rejected=2)
    assert "no counterpart for the value 'torn'" in named(result, "rejected")["id = 40"]


def test_what_the_microservice_wrote_need_not_have_a_legacy_counterpart(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    conn.execute("INSERT INTO articles VALUES (1, 1, 'never known', 1, now())")
    result = moved(source_url, url, goods)
    assert result.tally == Tally(found=40, moved=39, different=1)


def test_an_empty_table_moves_nothing_and_says_so(
    source_url: str, source: Connection, url: str, goods: Mapping
) -> None:
    source.execute("DELETE FROM goods")
    for _ in range(2):
        assert moved(source_url, url, goods).tally == Tally()


KEYS = {
    "text": "chr(97 + n % 26) || ' ,\"{}\\' || n",
    "uuid": "md5(n::text)::uuid",
    "numeric(12,3)": "n / 8.0",
    "timestamptz": "'2020-01-01'::timestamptz + n * interval '1 us'",
    "bytea": "int4send(n * 7919)",
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_run_that_stops_goes_on_after_its_last_batch_whatever_the_key(
    source_url: str, source: Connection, url: str, conn: Connection, kind: str
) -> None:
    source.execute(
        f"CREATE TABLE old (k {kind}, n integer, PRIMARY KEY (k, n));"
        f"INSERT INTO old SELECT {KEYS[kind]}, n FROM generate_series(1, 30) AS n"
    )
    conn.execute(f"CREATE TABLE new (k {kind}, n integer CHECK (n <> 17), PRIMARY KEY (n, k))")
    same = (rules.Column("k", "k"), rules.Column("n", "n"))
    mapping = mapping_between(source, conn, "old", "new", same)
    with pytest.raises(DataError, match="n = 17 cannot be moved"):
        moved(source_url, url, mapping)
    before = count(conn, "new")
    conn.execute("ALTER TABLE new DROP CONSTRAINT new_n_check")

    result = moved(source_url, url, mapping)

    assert result.resumed
    assert result.tally == Tally(found=30, moved=30)
    assert value(conn, "SELECT sum(cardinality(keys)) / 2 FROM compat.move_batch") == 30
    assert before < 30
    assert taken_back(url, mapping, execute=True).removed == 30
    assert count(conn, "new") == 0


def test_types_that_the_target_lacks_and_odd_names_travel(
    source_url: str, source: Connection, url: str, conn: Connection
) -> None:
    source.execute(
        """
        CREATE SCHEMA "a ""b";
        CREATE DOMAIN "a ""b"."Mail" AS text CHECK (value LIKE '%@%');
        CREATE TYPE "a ""b".mood AS ENUM ('fine', '100 %s');
        CREATE TYPE point3 AS (x int, y int, z int);
        CREATE TABLE "a ""b"."Select %s" (
            "from" bigint PRIMARY KEY, l "a ""b"."Mail", t "a ""b".mood[], p point3, m integer[],
            compat_row real, "Für %" jsonb, c "char", r int4range, iv interval, o regclass);
        INSERT INTO "a ""b"."Select %s" VALUES (9007199254740993, 'x@y', '{fine,"100 %s"}',
            '(1,2,3)', '{{1,2},{3,4}}', 'Infinity', '{"k": [1.50]}', 'z', '[1,5)', '1 mon -3 days',
            'pg_class'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
        """
    )
    conn.execute(
        """
        CREATE TYPE point3 AS (x int, y int, z int);
        CREATE TABLE "Into" ("""
        '"from" bigint PRIMARY KEY, l text, t text, p point3, m integer[], compat_row real, '
        '"Für %" jsonb, c "char", r int4range, iv interval, o regclass)'
    )
    names = ("from", "p", "m", "compat_row", "Für %", "c", "r", "iv", "o")
    same = tuple(rules.Column(name, name) for name in names)
    casts = (rules.Cast("l", "l"), rules.Cast("t", "t"))
    mapping = mapping_between(
        source, conn, 'a "b.Select %s', "Into", same + casts, name='"%s"', accept=("l", "t")
    )

    assert moved(source_url, url, mapping).tally == Tally(found=2, moved=2)
    assert moved(source_url, url, mapping).tally == Tally(found=2, same=2)

    def as_text(conn: Connection, table: str) -> list[Any]:
        return conn.execute(f"SELECT x::text FROM {table} AS x ORDER BY 1").fetchall()

    assert as_text(conn, '"Into"') == as_text(source, '"a ""b"."Select %s"')
    assert taken_back(url, mapping, execute=True).removed == 2


def test_an_identity_column_of_the_source_is_no_obstacle(
    source_url: str, source: Connection, url: str, conn: Connection
) -> None:
    source.execute(
        "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a integer,"
        " twice integer GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO things (a) VALUES (4), (5)"
    )
    conn.execute(
        "CREATE TABLE things (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, a integer,"
        " twice integer)"
    )
    same = tuple(rules.Column(name, name) for name in ("id", "a", "twice"))
    result = moved(source_url, url, mapping_between(source, conn, "things", "things", same))
    assert result.tally.moved == 2
    assert value(conn, "INSERT INTO things (a) VALUES (1) RETURNING id") == 3


# Refusals and orphans -----------------------------------------------------------------------------


def test_one_bad_row_does_not_lose_its_batch_and_is_kept_whole_with_the_reason(
    source_url: str, source: Connection, url: str, conn: Connection, goods: Mapping
) -> None:
    source.execute("UPDATE goods SET amount = 200 WHERE id IN (11, 12, 30)")

    result = moved(source_url, url, goods, max_rejects=3)

    assert result.tally == Tally(found=40, moved=37, rejected=3)
    assert not result.holds
    rows = conn.execute(
        "SELECT key, row_data ->> 'amount', sqlstate, reason FROM compat.reject WHERE mapping ="
        " 'goods' ORDER BY key"
    ).fetchall()
    assert [row[:3] for row in rows] == [([k], "200", "23514") for k in ("11", "12", "30")]
    assert 'violates check constraint "enough"' in rows[0][3]
    source.execute("UPDATE goods SET amount = 20 WHERE id < 20")
    assert moved(source_url, url, goods, max_rejects=1).tally.moved == 2
    assert value(conn, "SELECT array_agg(key) FROM compat.reject") == [["30"]]


def test_more_refusals_than_allowed_stop_it_with_the_row_and_then_it_goes_on_from_there(
    source_url: str, source: Connection, url: str, conn: Connection, goods: Mapping
) -> None:
    source.execute("UPDATE goods SET kind = 'used', amount = 200 WHERE id IN (5, 26)")

    with pytest.raises(DataError) as failure:
        moved(source_url, url, goods, max_rejects=1)

    assert "public.goods: the row with id = 26 cannot be moved" in failure.value.message
    assert "1 rows have been set aside already" in failure.value.message
    assert "SQLSTATE 23514" in failure.value.message
    assert "--max-rejects" in str(failure.value.hint)
    assert 20 <= count(conn) < 25
    result = moved(source_url, url, goods, max_rejects=2)
    assert result.resumed
    assert result.tally == Tally(found=40, moved=38, rejected=2)


@pytest.mark.parametrize("policy", ["skip", "reject"])
def test_rows_whose_parent_is_missing_are_named_with_the_key_and_its_values(
    source_url: str, url: str, conn: Connection, goods: Mapping, policy: Any
) -> None:
    conn.execute("DELETE FROM shelves WHERE id IN (1, 3)")
    goods = dataclasses.replace(goods, orphans=policy)

    result = moved(source_url, url, goods, max_rejects=20, listed=50)

    field = "orphans" if policy == "skip" else "rejected"
    assert result.tally == Tally(**{"found": 40, "moved": 20, field: 20})
    details = named(result, "orphan" if policy == "skip" else "rejected")
    assert len(details) == 20
    assert "articles_shelf_fkey: (shelf_id) = (3) is not in public.shelves" in details["id = 2"]
    assert [(key.name, key.holds, key.orphans) for key in result.foreign_keys] == [
        ("articles_shelf_fkey", True, 0)
    ]
    conn.execute("INSERT INTO shelves VALUES (1), (3)")
    assert moved(source_url, url, goods).tally == Tally(found=40, moved=20, same=20)
    assert value(conn, "SELECT count(*) FROM compat.reject") == 0


def test_an_orphan_of_a_key_that_does_not_hold_is_reported_after_the_move(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    conn.execute("ALTER TABLE articles DROP CONSTRAINT articles_shelf_fkey")
    conn.execute("INSERT INTO articles VALUES (1000, 99, 'lost', 1)")
    conn.execute(
        'ALTER TABLE articles ADD CONSTRAINT "the key" FOREIGN KEY (shelf_id) REFERENCES shelves'
        " NOT VALID"
    )
    result = moved(source_url, url, goods)
    assert result.tally.moved == 40
    assert [(key.name, key.holds, key.orphans) for key in result.foreign_keys] == [
        ("the key", False, 1)
    ]
    assert not result.holds


TREE = """
CREATE TABLE nodes (id integer PRIMARY KEY, parent integer, name text);
"""


def test_rows_that_reference_each_other_arrive_in_whatever_order_they_stand(
    source_url: str, source: Connection, url: str, conn: Connection
) -> None:
    source.execute(TREE)
    # Parents after their children, a circle over two batches, and a branch without a root.
    source.execute(
        "INSERT INTO nodes SELECT i, CASE WHEN i < 50 THEN i + 1 END FROM generate_series(1, 50) i;"
        "INSERT INTO nodes VALUES (60, 60), (61, 90), (70, 999), (71, 70), (72, 71), (90, 61)"
    )
    conn.execute(TREE + "ALTER TABLE nodes ADD CONSTRAINT up FOREIGN KEY (parent) REFERENCES nodes")
    same = tuple(rules.Column(name, name) for name in ("id", "parent", "name"))
    mapping = mapping_between(source, conn, "nodes", "nodes", same, orphans="skip")

    dry = moved(source_url, url, mapping, execute=False)
    result = moved(source_url, url, mapping)

    assert dry.tally == result.tally == Tally(found=56, moved=53, orphans=3)
    assert set(named(result, "orphan")) == {"id = 70", "id = 71", "id = 72"}
    assert count(conn, "nodes") == 53
    assert moved(source_url, url, mapping).tally == Tally(found=56, same=53, orphans=3)
    conn.execute("UPDATE nodes SET name = 'kept' WHERE id = 10")
    partly = taken_back(url, mapping, execute=True)
    # 11 to 50 are above the one that stays.
    assert (partly.removed, partly.changed, partly.referenced) == (12, 1, 40)
    assert taken_back(url, mapping, changed=True, execute=True).removed == 41
    assert count(conn, "nodes") == 0


def test_what_triggers_of_the_target_do_to_rows_is_reported(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    conn.execute(
        """
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.article_id = 13 THEN RETURN NULL; END IF;
            IF NEW.article_id = 14 THEN RAISE EXCEPTION 'never 14'; END IF;
            NEW.changed_at = now();
            RETURN NEW;
        END $$;
        CREATE TRIGGER meddles BEFORE INSERT ON articles FOR EACH ROW EXECUTE FUNCTION meddle();
        CREATE TRIGGER harmless BEFORE UPDATE ON articles FOR EACH ROW EXECUTE FUNCTION meddle();
        """
    )
    result = moved(source_url, url, goods, max_rejects=2)
    assert result.tally == Tally(found=40, moved=38, rejected=2)
    assert named(result, "rejected") == {
        "id = 13": "a trigger of the target discarded the row",
        "id = 14": "never 14 (P0001)",
    }
    assert [(a.column, a.rows, a.triggers) for a in result.altered] == [
        ("changed_at", 38, ("meddles",))
    ]


def test_constraints_that_wait_for_the_commit_still_refuse_single_rows(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    conn.execute(
        "ALTER TABLE articles ADD UNIQUE (amount) DEFERRABLE INITIALLY DEFERRED;"
        "INSERT INTO articles VALUES (100, 1, 'mine', 2.5000000000000000, now())"
    )
    result = moved(source_url, url, goods, max_rejects=1)
    assert result.tally == Tally(found=40, moved=39, rejected=1)
    assert "(23505)" in named(result, "rejected")["id = 10"]


def test_new_rows_of_the_target_are_not_given_a_moved_key(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    result = moved(source_url, url, goods)
    assert [(s.sequence, s.value) for s in result.sequences] == [
        ("public.articles_article_id_seq", 40)
    ]
    new = "INSERT INTO articles (shelf_id, kind, amount) VALUES (1, 'new', 1) RETURNING article_id"
    assert value(conn, new) == 41
    conn.execute("SELECT setval('articles_article_id_seq', 500)")
    assert moved(source_url, url, goods).sequences == ()
    assert value(conn, new) == 501


# Interrupted, refused, side by side ---------------------------------------------------------------


def test_killed_at_any_moment_it_goes_on_and_counts_every_row_once(
    source_url: str, source: Connection, url: str, conn: Connection, file: Path
) -> None:
    source.execute(
        "INSERT INTO goods (shelf, kind, amount, changed_at) SELECT shelf, kind, amount, changed_at"
        " FROM goods, generate_series(1, 99)"
    )
    command = ("move", file, "--source", source_url, "--execute", "--batch-size", "100")
    for wanted in (300, 1500):

        def has_moved(rows: int = wanted) -> bool:
            return moved_so_far(conn) >= rows

        process = start(url, *command, "--throttle", "2000")
        until(has_moved, "rows of the move")
        process.send_signal(signal.SIGKILL)
        ended(process)
        until(
            lambda: (
                not value(
                    conn,
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'compat move'",
                )
            ),
            "the end of the killed command's session",
        )
        assert count(conn) < 4000
        (shown,) = status(conn, "goods")
        assert (shown.phase, shown.rows_copied) == ("moving", count(conn))
        assert "compat move goods --execute" in shown.next_step

    result = succeed(url, *command, "--json").json

    assert result["resumed"] is True
    assert result["run"] == 1
    assert result["tally"] == dataclasses.asdict(Tally(found=4000, moved=4000))
    assert count(conn) == 4000
    (shown,) = status(conn)
    assert (shown.mapping, shown.phase, shown.rows_copied) == ("goods", "moved", 4000)


def moved_so_far(conn: Connection) -> int:
    is_installed = value(conn, "SELECT to_regclass('compat.move') IS NOT NULL")
    return int(value(conn, "SELECT sum(moved) FROM compat.move") or 0) if is_installed else 0


def test_a_second_command_at_once_is_refused(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    state.lock(conn, "goods")
    for attempt in (lambda: moved(source_url, url, goods), lambda: taken_back(url, goods)):
        with pytest.raises(StateError, match="another command is working on 'goods'"):
            attempt()


def test_the_source_needs_no_more_than_select(
    source_url: str, source: Connection, url: str, goods: Mapping
) -> None:
    with ordinary_role(source) as role:
        reader = changed_url(source_url, user=role, password=PASSWORD)
        with pytest.raises(CompatError) as failure:
            moved(reader, url, goods)
        assert "the source says: permission denied for table goods" in failure.value.message
        assert f'GRANT SELECT ON "public"."goods" TO {role}' in str(failure.value.hint)
        source.execute(f"GRANT SELECT ON goods TO {role}")
        assert moved(reader, url, goods).tally.moved == 40


def test_the_target_needs_the_rights_that_the_documentation_names(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    conn.execute("CREATE TABLE sales (article_id integer REFERENCES articles)")
    with ordinary_role(conn) as role:
        conn.execute(
            f"GRANT CREATE, TEMPORARY ON DATABASE {conn.info.dbname} TO {role};"
            f"GRANT SELECT, INSERT ON articles TO {role}; GRANT SELECT ON shelves TO {role};"
            f"GRANT SELECT, UPDATE ON SEQUENCE articles_article_id_seq TO {role}"
        )
        mover = changed_url(url, user=role, password=PASSWORD)
        assert moved(source_url, mover, goods).tally.moved == 40
        conn.execute(f"GRANT UPDATE, DELETE ON articles TO {role}; GRANT SELECT ON sales TO {role}")
        assert taken_back(mover, goods, execute=True).removed == 40


def test_rows_that_a_policy_would_hide_are_an_error_not_a_smaller_number(
    source_url: str, source: Connection, url: str, goods: Mapping
) -> None:
    source.execute("ALTER TABLE goods ENABLE ROW LEVEL SECURITY")
    with ordinary_role(source) as role:
        source.execute(f"GRANT SELECT ON goods TO {role}")
        reader = changed_url(source_url, user=role, password=PASSWORD)
        with pytest.raises(CompatError, match="row-level security"):
            moved(reader, url, goods)


def test_the_wrong_databases_are_refused_before_anything_is_written(
    source_url: str, source: Connection, url: str, conn: Connection, file: Path
) -> None:
    before = picture(conn), picture(source)

    def refused(*arguments: str | Path) -> str:
        result = compat_here(url, "move", file, "--execute", *arguments)
        assert (result.code, result.out) == (2, ""), result
        return result.err

    assert "no source database was named" in refused()
    assert "COMPAT_SOURCE_URL" in refused()
    assert "no such table: public.goods" in refused("--source", url)
    source.execute("ALTER TABLE goods RENAME shelf TO board")
    assert "column 'shelf' is missing" in refused("--source", source_url)
    source.execute("ALTER TABLE goods RENAME board TO shelf")
    conn.execute("ALTER TABLE articles ALTER amount TYPE integer")
    assert "the mapping says numeric" in refused("--source", source_url)
    conn.execute("ALTER TABLE articles ALTER amount TYPE numeric")
    assert (picture(conn), picture(source)) == before


def test_one_table_at_both_ends_is_refused(source_url: str, source: Connection) -> None:
    same = tuple(rules.Column(name, name) for name in ("id", "shelf", "kind", "amount"))
    mapping = mapping_between(
        source, source, "goods", "goods", (*same, rules.Column("changed_at", "changed_at"))
    )
    with pytest.raises(StateError, match="source and target are one table"):
        moved(source_url, source_url, mapping)


def test_a_mapping_that_leaves_rows_behind_cannot_stand_behind_a_view(
    source: Connection, conn: Connection, url: str, goods: Mapping, tmp_path: Path
) -> None:
    conn.execute(SOURCE)
    for change, why in (
        ({"where": "shelf = 1"}, "only rows WHERE shelf = 1 are moved"),
        ({"orphans": "skip"}, "leaves rows behind"),
    ):
        file = write_mapping(dataclasses.replace(goods, **change), tmp_path)  # type: ignore[arg-type]
        for command in ("expand", "plan"):
            result = compat_here(url, command, file)
            assert result.code == 2
            assert why in result.err
            assert "compat move goods --source URL" in result.err


# Taking it back -----------------------------------------------------------------------------------


def test_unmove_deletes_exactly_the_moved_rows_that_nobody_has_changed(
    source_url: str, source: Connection, url: str, conn: Connection, goods: Mapping
) -> None:
    conn.execute("INSERT INTO articles VALUES (7, 4, 'mine', 1)")
    moved(source_url, url, goods)
    conn.execute("INSERT INTO articles VALUES (900, 1, 'mine', 1)")
    conn.execute("UPDATE articles SET note = note WHERE article_id = 3")
    conn.execute("UPDATE articles SET note = 'changed' WHERE article_id IN (4, 900)")
    conn.execute("DELETE FROM articles WHERE article_id = 5")
    conn.execute("CREATE TABLE sales (article_id integer REFERENCES articles ON DELETE CASCADE)")
    conn.execute("INSERT INTO sales VALUES (6), (6)")
    conn.execute("VACUUM FREEZE articles")
    expected = {"removed": 35, "changed": 2, "referenced": 1, "gone": 1}

    before = picture(conn)
    dry = taken_back(url, goods)
    assert picture(conn) == before
    wet = taken_back(url, goods, execute=True)

    for result in (dry, wet):
        assert {name: getattr(result, name) for name in expected} == expected
        assert {kept.row: kept.why for kept in result.kept} == {
            "article_id = 3": "changed",
            "article_id = 4": "changed",
            "article_id = 6": "referenced",
        }
        assert not result.holds
    ids = conn.execute("SELECT article_id FROM articles ORDER BY 1").fetchall()
    assert ids == [(3,), (4,), (6,), (7,), (900,)]
    assert value(conn, "SELECT count(*) FROM sales") == 2
    assert [item.phase for item in status(conn)] == ["taken back"]
    # What stayed is still on record; nothing else is.
    conn.execute("DROP TABLE sales")
    rest = taken_back(url, goods, changed=True, execute=True)
    assert (rest.removed, rest.holds) == (3, True)
    again = moved(source_url, url, goods)
    assert (again.tally.moved, again.tally.different, again.resumed) == (39, 1, False)


def test_one_run_of_several_can_be_taken_back(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    for shelf in (1, 2):
        moved(source_url, url, goods, condition=f"shelf = {shelf}")
    assert taken_back(url, goods, run=1, execute=True).removed == 10
    assert value(conn, "SELECT DISTINCT shelf_id FROM articles") == 2
    with pytest.raises(StateError, match=r"has no run 7\n.*one of 1, 2"):
        taken_back(url, goods, run=7)
    # Moved again after somebody deleted it, a row counts for the later run.
    conn.execute("DELETE FROM articles WHERE article_id = 1")
    moved(source_url, url, goods)
    assert taken_back(url, goods, execute=True) == Unmoved("goods", True, 40, 0, 0, 0, ())


def test_rows_of_a_restored_dump_are_not_taken_for_those_that_were_moved(
    source_url: str, url: str, conn: Connection, goods: Mapping
) -> None:
    moved(source_url, url, goods)
    # As a dump and its restoration do: the same rows, written by another transaction.
    conn.execute("CREATE TABLE dump AS SELECT * FROM articles")
    conn.execute("TRUNCATE articles")
    conn.execute("INSERT INTO articles SELECT * FROM dump")
    result = taken_back(url, goods, execute=True)
    assert (result.removed, result.changed) == (0, 40)


def test_nothing_can_be_taken_back_where_nothing_was_moved(url: str, goods: Mapping) -> None:
    with pytest.raises(StateError, match="nothing was moved into this database by 'goods'"):
        taken_back(url, goods)


# The command line ---------------------------------------------------------------------------------


def test_the_commands_say_what_they_would_do_and_then_what_they_did(
    source_url: str, url: str, conn: Connection, goods: Mapping, tmp_path: Path
) -> None:
    conn.execute("DELETE FROM shelves WHERE id = 1")
    file = write_mapping(dataclasses.replace(goods, orphans="skip"), tmp_path, "goods.json")
    arguments = ("--source", source_url)

    dry = succeed(url, "move", file, *arguments, "--verbose")
    assert "would move id = 1: article_id = 1, shelf_id = 2" in dry.out
    assert "skipped id = 4: articles_shelf_fkey: (shelf_id) = (1) is not in" in dry.out
    assert "add --execute" in dry.out
    assert count(conn) == 0
    wet = succeed(url, "move", file, *arguments, "--execute")
    assert "foreign key articles_shelf_fkey → public.shelves: valid" in wet.out
    assert "run 1" in wet.out
    assert count(conn) == 30
    # From now on the target knows the mapping by its name.
    assert "goods" in succeed(url, "move", "goods", *arguments).out
    assert "would be removed" in succeed(url, "unmove", "goods").out
    assert succeed(url, "unmove", "goods", "--execute", "--json").json["removed"] == 30
    assert "taken back" in succeed(url, "status", "goods").out
    assert compat_here(url, "move", "nothing", *arguments).code == 2


def test_refused_rows_are_exit_code_1_when_set_aside_and_2_when_they_stop_it(
    source_url: str, source: Connection, url: str, file: Path
) -> None:
    source.execute("UPDATE goods SET amount = 200 WHERE id = 9")
    command = ("move", file, "--source", source_url)
    dry = compat_here(url, *command)
    assert dry.code == 1
    assert "--max-rejects 1 sets them aside" in dry.out
    assert compat_here(url, *command, "--execute").code == 2
    assert compat_here(url, *command, "--execute", "--max-rejects", "1").code == 1


def test_passwords_are_not_shown(source_url: str, source: Connection, url: str, file: Path) -> None:
    wrong = changed_url(source_url, user="nobody_here", password=PASSWORD)
    unreachable = compat_here(url, "move", file, "--source", wrong)
    assert unreachable.code == 2
    assert PASSWORD not in unreachable.err + unreachable.out
    with ordinary_role(source) as role:
        source.execute(f"GRANT SELECT ON goods TO {role}")
        reader = changed_url(source_url, user=role, password=PASSWORD)
        shown = succeed(url, "move", file, "--source", reader, "--execute")
        assert PASSWORD not in shown.out + shown.err + str(status_rows(url))


def status_rows(url: str) -> list[Any]:
    with connect(url) as conn:
        return conn.execute("SELECT * FROM compat.move").fetchall()


def test_at_a_terminal_there_is_time_to_think_again(
    source_url: str, url: str, conn: Connection, file: Path
) -> None:
    result = at_a_terminal(url, "move", file, "--source", source_url, "--execute")
    assert result.code == 130
    assert "cancelled; nothing was changed" in result.out
    assert count(conn) == 0


def at_a_terminal(url: str, *arguments: str | Path) -> Ended:
    """Run a command at a terminal, and interrupt it when it says that this cancels it."""
    ours, theirs = pty.openpty()
    code = "from compat.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(url),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 1024):
            if b"Ctrl-C" in piece and b"Ctrl-C" not in shown:
                process.send_signal(signal.SIGINT)
            shown += piece
    os.close(ours)
    return Ended(process.wait(), shown.decode(), "")


def test_a_draft_between_two_databases_pairs_tables_of_one_name(
    source_url: str, source: Connection, url: str, conn: Connection, tmp_path: Path
) -> None:
    conn.execute("CREATE TABLE goods (id integer PRIMARY KEY, shelf integer NOT NULL)")
    source.execute("ALTER TABLE goods DROP kind, DROP amount, DROP changed_at")
    file = tmp_path / "drafted.py"
    succeed(url, "draft", "goods", "--source", source_url, "-o", file)
    assert succeed(url, "move", file, "--source", source_url, "--json").json["tally"]["moved"] == 40


def test_records_of_one_kind_are_bounded(source_url: str, url: str, goods: Mapping) -> None:
    result = moved(source_url, url, goods, list_moved=True, listed=9)
    assert len(result.records) == 9
    assert result.records[0] == Record(
        "moved",
        "id = 1",
        "article_id = 1, shelf_id = 2, kind = second hand, amount = 0.25000000000000000000,"
        " changed_at = 2020-01-01 00:00:00.000001+00",
    )
