"""Rows compared across two databases: what was moved, what should have been, and live data."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from compat import catalog, rules
from compat.connection import connect
from compat.database import Database
from compat.mapping import Mapping
from compat.run.arrivals import MoveOptions
from compat.run.move import move
from tests.verify.journey import Connection
from tests.verify.test_command import command
from verify import between, cli
from verify.compare import across, side
from verify.compare.differences import Cell
from verify.compare.ranges import Range
from verify.options import Options
from verify.report import Report, Result, Status

QUICK = Options(settle=0)


@dataclass(frozen=True)
class Pair:
    """Two databases, and how the table of one becomes that of the other."""

    source: Connection
    target: Connection
    source_url: str
    target_url: str

    def mapping(
        self,
        legacy: str,
        target: str,
        *column_rules: rules.AnyRule,
        where: str | None = None,
        orphans: bool = False,
        accept: tuple[str, ...] = (),
    ) -> Mapping:
        return Mapping(
            legacy,
            catalog.reflect_table(self.source, legacy),
            catalog.reflect_table(self.target, target),
            column_rules,
            where=where,
            orphans="skip" if orphans else "reject",
            accept=accept,
        )

    def check(
        self, mapping: Mapping, name: str = "contents", options: Options = QUICK, limit: int = 1000
    ) -> Result:
        (result,) = self.run(mapping, [name], options, limit).results
        return result

    def run(
        self, mapping: Mapping, checks: list[str], options: Options = QUICK, limit: int = 1000
    ) -> Report:
        with connect(self.source_url) as source, connect(self.target_url) as target:
            return between.run(source, target, mapping, checks, options=options, limit=limit)


@pytest.fixture
def pair(server: Database) -> Iterator[Pair]:
    with (
        server.fresh() as source_url,
        server.fresh() as target_url,
        psycopg.connect(source_url, autocommit=True) as source,
        psycopg.connect(target_url, autocommit=True) as target,
    ):
        yield Pair(source, target, source_url, target_url)


# -- every type, every trap -------------------------------------------------------------------

EVERY_TYPE = """
CREATE TABLE things (
    id bigint PRIMARY KEY, small smallint, whole integer, exact numeric, money numeric(12,2),
    single real, double double precision, yes boolean, words text, short varchar(20),
    padded char(5), bytes bytea, day date, clock time, local timestamp, instant timestamptz,
    span interval, doc jsonb, raw json, ident uuid, tags text[], span_of int4range,
    net inet, bits bit(4), cased text COLLATE "C");
INSERT INTO things SELECT i, i, i, 1.50, 12.30, 1.5, i / 3.0, i % 2 = 0, 'word ' || i, 'Short',
    'ab', '\\x00ff', '2024-02-29', '10:00:00.123456', '2024-03-31 02:30:00.123456',
    '2024-03-31 02:30:00.123456+00', '1 mon', '{}', '{"a": 1}',
    '00000000-0000-0000-0000-00000000000a', ARRAY['a', NULL], '[1,3)', '10.0.0.1', '1010', 'x'
FROM generate_series(1, 30) i;
"""

FAULTS = [
    ("small", "8", "7", "8"),
    ("whole", "-7", "7", "-7"),
    ("exact", "1.5", "1.50", "1.5"),
    ("exact", "'NaN'", "1.50", "NaN"),
    ("exact", "'Infinity'", "1.50", "Infinity"),
    ("money", "12.31", "12.30", "12.31"),
    ("single", "'1.5000001'", "1.5", "1.5000001"),
    ("double", "'-0'", "2.3333333333333335", "-0"),
    ("double", "'Infinity'", "2.3333333333333335", "Infinity"),
    ("double", "'NaN'", "2.3333333333333335", "NaN"),
    ("double", "2.3333333333333331", "2.3333333333333335", "2.333333333333333"),
    ("yes", "NULL", "false", None),
    ("words", "'word 7 '", "word 7", "word 7 "),
    ("words", "''", "word 7", ""),
    ("words", "NULL", "word 7", None),
    ("words", "'Word 7'", "word 7", "Word 7"),
    ("words", "E'word\\u00a07'", "word 7", "word\u00a07"),
    ("short", "'short'", "Short", "short"),
    ("padded", "'abc'", "ab", "abc"),
    ("bytes", "'\\x00fe'", "\\x00ff", "\\x00fe"),
    ("day", "'2024-03-01'", "2024-02-29", "2024-03-01"),
    ("clock", "'10:00:00.123'", "10:00:00.123456", "10:00:00.123"),
    (
        "local",
        "date_trunc('milliseconds', local)",
        "2024-03-31 02:30:00.123456",
        "2024-03-31 02:30:00.123",
    ),
    (
        "instant",
        "instant + interval '1 hour'",
        "2024-03-31 02:30:00.123456+00",
        "2024-03-31 03:30:00.123456+00",
    ),
    ("span", "'30 days'", "1 mon", "30 days"),
    ("doc", "'[]'", "{}", "[]"),
    ("doc", "NULL", "{}", None),
    ("doc", "'null'", "{}", "null"),
    ("raw", """'{"a":1}'""", '{"a": 1}', '{"a":1}'),
    (
        "ident",
        "'00000000-0000-0000-0000-00000000000b'",
        "00000000-0000-0000-0000-00000000000a",
        "00000000-0000-0000-0000-00000000000b",
    ),
    ("tags", "ARRAY['a', 'NULL']", "{a,NULL}", '{a,"NULL"}'),
    ("tags", "ARRAY['a']", "{a,NULL}", "{a}"),
    ("span_of", "'[1,4)'", "[1,3)", "[1,4)"),
    ("net", "'10.0.0.1/24'", "10.0.0.1/32", "10.0.0.1/24"),
    ("bits", "'1011'", "1010", "1011"),
    ("cased", "'X'", "x", "X"),
]


@pytest.fixture(scope="module")
def things(server: Database) -> Iterator[tuple[Pair, Mapping]]:
    with (
        server.fresh() as source_url,
        server.fresh() as target_url,
        psycopg.connect(source_url, autocommit=True) as source,
        psycopg.connect(target_url, autocommit=True) as target,
    ):
        source.execute(EVERY_TYPE)
        target.execute(EVERY_TYPE)
        both = Pair(source, target, source_url, target_url)
        columns = catalog.reflect_table(source, "things").column_names
        yield both, both.mapping("things", "things", *(rules.Column(n, n) for n in columns))


def test_equal_tables_of_every_type_are_equal(things: tuple[Pair, Mapping]) -> None:
    pair, mapping = things
    result = pair.check(mapping)
    assert (result.status, result.summary) == (Status.HOLDS, "30 rows compared, all equal")


@pytest.mark.parametrize("style", ["record", "text", "digest"])
def test_every_trap_of_every_type_is_found_whichever_way_rows_are_hashed(
    things: tuple[Pair, Mapping], style: side.HashStyle
) -> None:
    pair, mapping = things
    with connect(pair.source_url) as source, connect(pair.target_url) as target:
        plan = replace(across.make_plan(source, target, mapping), style=style)
        with across.across(source, target, plan) as databases:
            for column, value, expected, found in FAULTS:
                with psycopg.connect(pair.target_url) as writer:
                    writer.execute(f"UPDATE things SET {column} = {value} WHERE id = 7")
                outcome = databases.compare(Range())
                cells = [cell for item in outcome.differences for cell in item.cells]
                with psycopg.connect(pair.target_url) as writer:
                    writer.execute("DELETE FROM things WHERE id = 7")
                    writer.execute(
                        EVERY_TYPE.partition(";")[2].replace("series(1, 30)", "series(7, 7)")
                    )
                assert cells == [Cell(column, expected, found)], (column, value)
            assert databases.compare(Range()).differing == 0


def test_values_exchanged_between_columns_and_between_rows_are_found(
    things: tuple[Pair, Mapping],
) -> None:
    pair, mapping = things
    with pair.target.transaction(force_rollback=False):
        pair.target.execute("UPDATE things SET words = short, short = words WHERE id = 4")
        pair.target.execute("UPDATE things SET words = 'word ' || 13 - id WHERE id IN (6, 7)")
    try:
        result = pair.check(mapping)
    finally:
        pair.target.execute("UPDATE things SET words = 'word ' || id, short = 'Short'")
    assert {(f.key[0][1], f.message.split(":")[0]) for f in result.findings} == {
        ("4", "words"),
        ("4", "short"),
        ("6", "words"),
        ("7", "words"),
    }


# -- ranges -----------------------------------------------------------------------------------

CUSTOMERS = """
CREATE TABLE customers (code text PRIMARY KEY, name varchar(40), at integer NOT NULL);
INSERT INTO customers SELECT chr(65 + i % 26) || chr(97 + i % 7) || '-é' || i, 'n ' || i, i
FROM generate_series(1, 500) i;
ANALYZE customers;
"""
CLIENTS = """
CREATE TABLE "new clients" ("select" text PRIMARY KEY, full_name text, since timestamptz NOT NULL);
"""


def customers(pair: Pair) -> Mapping:
    """Fill both databases, without `compat move`."""
    pair.source.execute(CUSTOMERS)
    pair.target.execute(CUSTOMERS + CLIENTS)
    pair.target.execute(
        'INSERT INTO "new clients" SELECT code, name, to_timestamp(at) FROM customers;'
        "DROP TABLE customers"
    )
    return pair.mapping(
        "customers",
        "new clients",
        rules.Column("code", "select"),
        rules.Cast("name", "full_name"),
        rules.Epoch("at", "since"),
    )


PLANTED = """
DELETE FROM "new clients" WHERE "select" IN (SELECT min("select") FROM "new clients");
DELETE FROM "new clients" WHERE "select" IN (SELECT max("select") FROM "new clients");
INSERT INTO "new clients" VALUES ('', 'empty key', now()), ('zzzz', 'last', now());
UPDATE "new clients" SET full_name = 'other' WHERE "select" LIKE '%-é25_';
"""


def assert_planted(result: Result) -> None:
    numbers = dict(result.numbers)
    assert (numbers["missing"], numbers["extra"], numbers["changed"]) == (2, 2, 10)
    assert numbers["changed name"] == 10
    assert (numbers["legacy"], numbers["view"]) == (500, 500)


@pytest.mark.parametrize("workers", [1, 3])
def test_ranges_of_text_keys_are_compared_on_workers(pair: Pair, workers: int) -> None:
    mapping = customers(pair)
    options = replace(QUICK, workers=workers, range_rows=30)
    assert pair.check(mapping, options=options).status is Status.HOLDS
    pair.target.execute(PLANTED)
    assert_planted(pair.check(mapping, options=options))


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1"])
def test_databases_that_order_or_encode_text_differently_are_compared_all_the_same(
    pair: Pair, server: Database, encoding: str
) -> None:
    name = f"{pair.target.info.dbname}_other"
    with psycopg.connect(server.url, autocommit=True) as admin:
        settings = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING {}"
        admin.execute(
            sql.SQL("CREATE DATABASE {} " + settings).format(sql.Identifier(name), encoding)
        )
        try:
            url = make_conninfo(server.url, dbname=name)
            with psycopg.connect(url, autocommit=True) as target:
                other = replace(pair, target=target, target_url=url)
                mapping = customers(other)
                options = replace(QUICK, range_rows=30)
                assert other.check(mapping, options=options).status is Status.HOLDS
                target.execute(PLANTED)
                assert_planted(other.check(mapping, options=options))
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_key_that_the_target_has_in_another_type_is_compared_without_ranges(pair: Pair) -> None:
    pair.source.execute(
        "CREATE TABLE a (id integer PRIMARY KEY, v text);"
        "INSERT INTO a SELECT i, 'v' || i FROM generate_series(1, 60) i"
    )
    pair.target.execute(
        "CREATE TABLE b (id text PRIMARY KEY, v text);"
        "INSERT INTO b SELECT i::text, 'v' || i FROM generate_series(1, 61) i WHERE i <> 30;"
        "UPDATE b SET v = 'V7' WHERE id = '7'"
    )
    mapping = pair.mapping("a", "b", rules.Cast("id", "id"), rules.Column("v", "v"))
    result = pair.check(mapping)
    assert {(f.kind, f.key[0][1]) for f in result.findings} == {
        ("changed", "7"),
        ("missing", "30"),
        ("extra", "61"),
    }


def test_an_accepted_loss_is_counted_and_a_wrong_value_behind_it_is_found(pair: Pair) -> None:
    pair.source.execute(
        "CREATE TABLE prices (sku text PRIMARY KEY, price text NOT NULL, old integer);"
        "INSERT INTO prices SELECT 's' || i, CASE i % 2 WHEN 0 THEN '1.5' ELSE '2.50' END, i"
        " FROM generate_series(1, 20) i"
    )
    pair.target.execute(
        "CREATE TABLE prices_v2 (sku text PRIMARY KEY, price numeric(12,2) NOT NULL);"
        "INSERT INTO prices_v2 SELECT 's' || i, CASE i % 2 WHEN 0 THEN 1.5 ELSE 2.50 END"
        " FROM generate_series(1, 20) i"
    )
    mapping = pair.mapping(
        "prices",
        "prices_v2",
        rules.Column("sku", "sku"),
        rules.Cast("price", "price"),
        rules.Constant("old", 7),
        accept=("price", "old"),
    )
    result = pair.check(mapping)
    assert result.status is Status.HOLDS
    assert [note.split(" with")[0] for note in result.notes] == ["price: 10 rows"]
    pair.target.execute("UPDATE prices_v2 SET price = 1.51 WHERE sku = 's4'")
    (finding,) = pair.check(mapping).findings
    assert (finding.key, finding.expected, finding.found) == ((("sku", "s4"),), "1.5", "1.51")


# -- moved rows -------------------------------------------------------------------------------

MONOLITH = """
CREATE TYPE reservation_status AS ENUM ('active', 'committed', 'released', 'expired');
CREATE TABLE inventory_reservations (
    id bigserial PRIMARY KEY, product_id bigint NOT NULL, order_id bigint NOT NULL,
    quantity integer NOT NULL, status reservation_status NOT NULL,
    expires_at timestamptz NOT NULL);
INSERT INTO inventory_reservations (product_id, order_id, quantity, status, expires_at)
SELECT 1 + i % 13, i, 1 + i % 3, (enum_range(NULL::reservation_status))[1 + i % 4],
       '2100-01-01'::timestamptz + i * interval '1 us' FROM generate_series(1, 200) i;
"""
SERVICE = """
CREATE TABLE listings (id bigint PRIMARY KEY);
INSERT INTO listings SELECT generate_series(1, 10);
CREATE TABLE reservations (
    id bigint PRIMARY KEY, listing_id bigint NOT NULL REFERENCES listings, order_id bigint,
    quantity integer NOT NULL, status varchar(20) NOT NULL, expires_at timestamptz NOT NULL);
"""
WHERE = "expires_at > now() AND status = 'active' -- %s"


@pytest.fixture
def moved(pair: Pair) -> tuple[Pair, Mapping]:
    """Reservations that are active and whose listing is there, moved into the service."""
    pair.source.execute(MONOLITH)
    pair.target.execute(SERVICE)
    mapping = pair.mapping(
        "inventory_reservations",
        "reservations",
        rules.Column("id", "id"),
        rules.Column("product_id", "listing_id"),
        rules.Column("order_id", "order_id"),
        rules.Column("quantity", "quantity"),
        rules.Cast("status", "status"),
        rules.Column("expires_at", "expires_at"),
        where=WHERE,
        orphans=True,
        accept=("status",),
    )
    with connect(pair.source_url) as source, connect(pair.target_url) as target:
        move(source, target, mapping, MoveOptions(), execute=True)
    return pair, mapping


def test_exactly_the_rows_that_a_move_should_bring_over_are_demanded(
    moved: tuple[Pair, Mapping],
) -> None:
    pair, mapping = moved
    result = pair.check(mapping)
    assert result.status is Status.HOLDS, result
    numbers = dict(result.numbers)
    (there,) = pair.target.execute("SELECT count(*) FROM reservations").fetchone() or (0,)
    assert numbers["view"] == there > 0
    assert numbers["legacy"] == there + numbers["orphans"] == 50
    pair.target.execute("DELETE FROM reservations WHERE id = (SELECT min(id) FROM reservations)")
    (finding,) = pair.check(mapping).findings
    assert finding.kind == "missing"


def test_a_row_that_should_not_have_been_moved_is_in_excess(moved: tuple[Pair, Mapping]) -> None:
    pair, mapping = moved
    # The source has the first of them, but it is not active.
    pair.target.execute(
        "INSERT INTO reservations VALUES (1, 1, 1, 1, 'committed', now()),"
        " (9999, 1, 1, 1, 'active', now())"
    )
    found = pair.check(mapping).findings
    assert {(f.kind, f.key[0][1]) for f in found} == {("extra", "1"), ("extra", "9999")}


def test_a_row_that_was_moved_and_is_selected_no_longer_is_told_apart(
    moved: tuple[Pair, Mapping],
) -> None:
    pair, mapping = moved
    pair.source.execute(
        "UPDATE inventory_reservations SET status = 'released' WHERE id IN"
        " (SELECT id FROM inventory_reservations WHERE status = 'active' AND product_id < 10"
        "  LIMIT 3)"
    )
    result = pair.check(mapping)
    assert result.status is Status.HOLDS
    assert dict(result.numbers)["unselected"] == 3
    assert "3 rows moved that the mapping's condition selects no longer" in result.notes


def test_counts_and_integrity_look_at_the_target_database(pair: Pair) -> None:
    mapping = customers(pair)
    options = replace(QUICK, group_by=("name",))
    assert pair.run(mapping, ["counts", "integrity", "losses"], options).exit_code == 0
    pair.target.execute(PLANTED)
    result = pair.check(mapping, "counts", options)
    assert result.status is Status.DOES_NOT_HOLD
    assert ("name = 'other'", "0", "10") in {
        (f.subject, f.expected, f.found) for f in result.findings
    }


# -- live data --------------------------------------------------------------------------------


def test_rows_of_live_databases_are_looked_at_again_until_they_agree(pair: Pair) -> None:
    """A follower that lags behind: what differs at one moment agrees at a later one."""
    mapping = customers(pair)
    stop = threading.Event()

    def write() -> None:
        n = 0
        with (
            psycopg.connect(pair.source_url, autocommit=True) as source,
            psycopg.connect(pair.target_url, autocommit=True) as target,
        ):
            while not stop.is_set():
                n += 1
                name, code = f"new {n}", f"%-é{1 + n % 40}"
                source.execute("UPDATE customers SET name = %s WHERE code LIKE %s", [name, code])
                stop.wait(0.005)
                target.execute(
                    'UPDATE "new clients" SET full_name = %s WHERE "select" LIKE %s', [name, code]
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        options = Options(settle=20, range_rows=50)
        results = [pair.check(mapping, options=options) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert [r.summary for r in results if r.status is not Status.HOLDS] == []


def test_rows_that_go_on_changing_are_told_apart_from_differences(pair: Pair) -> None:
    mapping = customers(pair)
    name_seven = 'UPDATE "new clients" SET full_name = %s WHERE "select" LIKE \'%%-é7\''
    pair.target.execute(name_seven, ["wrong"])
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(pair.source_url, autocommit=True) as source:
            while not stop.is_set():
                source.execute("UPDATE customers SET name = gen_random_uuid() WHERE at IN (1, 2)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        both = pair.check(mapping, options=Options(settle=0.5))
        pair.target.execute(name_seven, ["n 7"])
        changing = pair.check(mapping, options=Options(settle=0.5))
    finally:
        stop.set()
        writer.join()
    assert both.status is Status.DOES_NOT_HOLD
    assert [(f.expected, f.found) for f in both.findings] == [("n 7", "wrong")]
    assert dict(both.numbers)["changing"] == 2
    assert changing.status is Status.NOT_RUN
    assert changing.summary.startswith("2 rows went on changing")


# -- the command ------------------------------------------------------------------------------


def test_the_command_compares_two_databases_by_a_mapping_file(pair: Pair, tmp_path: Path) -> None:
    mapping = customers(pair)
    path = tmp_path / "mapping.json"
    path.write_text(mapping.to_json(), encoding="utf-8")
    urls = ("--source", pair.source_url, "--target", pair.target_url, "--mapping", str(path))
    done = command(*urls)
    assert done.returncode == 0, done.stdout + done.stderr
    pair.target.execute(PLANTED)
    found = tmp_path / "found.jsonl"
    done = command(*urls, "--json", "--settle", "0", "--limit", "1", "--differences", str(found))
    assert done.returncode == 1
    (report,) = json.loads(done.stdout)["mappings"]
    verdicts = {check["check"]: check["status"] for check in report["checks"]}
    assert verdicts == {
        "counts": "holds",
        "contents": "does not hold",
        "integrity": "holds",
        "losses": "holds",
    }
    assert len(found.read_text(encoding="utf-8").splitlines()) == 14
    environment = {"COMPAT_SOURCE_URL": pair.source_url, "COMPAT_TARGET_URL": pair.target_url}
    assert command("--mapping", str(path), "--settle", "0", **environment).returncode == 1


def test_mistakes_in_naming_the_two_databases_are_told(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(customers(pair).to_json(), encoding="utf-8")
    urls = ("--source", pair.source_url, "--target", pair.target_url)
    for arguments, said in (
        (urls, "one mapping"),
        ((*urls, "--mapping", "absent.json"), "no such mapping file"),
        (("--mapping", str(path)), "no source database was named"),
        ((*urls, "--mapping", str(path), "--checks", "probes"), "between two databases: 'probes'"),
    ):
        refused(arguments, said)
    pair.target.execute('DROP TABLE "new clients"')
    refused((*urls, "--mapping", str(path)), "has no table public.new clients")


def refused(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(cli._app, arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_roles_that_may_only_read_compare_and_what_they_may_not_read_is_not_run(
    pair: Pair, tmp_path: Path
) -> None:
    mapping = customers(pair)
    role = f"reader_{pair.source.info.dbname}"
    pair.target.execute("CREATE SCHEMA compat")
    pair.source.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'r'")
    pair.source.execute(f"GRANT SELECT ON customers TO {role}")
    reader = replace(
        pair,
        source_url=make_conninfo(pair.source_url, user=role, password="r"),
        target_url=make_conninfo(pair.target_url, user=role, password="r"),
    )
    checks = ["counts", "contents", "integrity", "losses"]
    try:
        statuses = [result.status for result in reader.run(mapping, checks).results]
        assert statuses == [*[Status.NOT_RUN] * 2, Status.HOLDS, Status.HOLDS]
        pair.target.execute(f'GRANT SELECT ON "new clients" TO {role}')
        assert reader.run(mapping, checks).exit_code == 0
    finally:
        for conn in (pair.source, pair.target):
            conn.execute(f"DROP OWNED BY {role}")
        pair.source.execute(f"DROP ROLE {role}")
