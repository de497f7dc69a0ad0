"""Migrations that went well verify green in every phase, whatever they are made of.

Each goes through copy and cutover with the compiled statements, as the commands would run them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import verify
from compat import rules
from compat.compile import swap
from compat.mapping import Fill, Mapping
from tests.compat import shaped
from tests.verify import journey
from tests.verify.journey import Connection
from verify.report import Report


def shop(conn: Connection) -> Mapping:
    return journey.shop_mapping(conn)


def renamed_columns_as_an_updatable_view(conn: Connection) -> Mapping:
    conn.execute(
        """
        CREATE TABLE customers (
            id bigserial PRIMARY KEY, name varchar(20) NOT NULL, email text UNIQUE,
            credit numeric(10,2) NOT NULL DEFAULT 0 CHECK (credit >= 0), born date,
            seen timestamptz NOT NULL DEFAULT now(), code char(3), vip boolean);
        INSERT INTO customers (name, email, credit, born, code, vip)
        SELECT 'n' || i, nullif('e' || i, 'e5'), i, '2000-01-01'::date + i, 'ab', i % 2 = 0
        FROM generate_series(1, 50) i;
        CREATE TABLE clients (
            vip boolean, client_code char(3), last_seen timestamptz NOT NULL DEFAULT now(),
            born_on date, credit numeric(10,2) NOT NULL CHECK (credit >= 0), mail text UNIQUE,
            full_name varchar(20) NOT NULL, client_id bigint PRIMARY KEY);
        """
    )
    return journey.mapping_of(
        conn,
        "customers",
        "clients",
        rules.Column("id", "client_id"),
        rules.Column("name", "full_name"),
        rules.Column("email", "mail"),
        rules.Column("credit", "credit"),
        rules.Column("born", "born_on"),
        rules.Column("seen", "last_seen"),
        rules.Column("code", "client_code"),
        rules.Column("vip", "vip"),
    )


LONG = "é" * 31 + "x"


def odd_names_and_a_compound_key(conn: Connection) -> Mapping:
    conn.execute(
        f"""
        CREATE TABLE "Order ""Lines"" %s; --" (
            "select" integer NOT NULL DEFAULT 5, "ключ" varchar(10) NOT NULL,
            "%s {{0}} \\" text DEFAULT 'it''s %', "{LONG}" integer,
            CONSTRAINT "a ""primary"" key" PRIMARY KEY ("ключ", "select"));
        INSERT INTO "Order ""Lines"" %s; --"
        SELECT i, 'k' || i % 3, nullif('%s' || i, '%s4'), i FROM generate_series(1, 20) i;
        CREATE TABLE "new; DROP 5%" (
            "from" varchar(10) NOT NULL, "where" bigint NOT NULL, "'" text, "{LONG}" text,
            PRIMARY KEY ("from", "where"));
        """
    )
    return journey.mapping_of(
        conn,
        'Order "Lines" %s; --',
        "new; DROP 5%",
        rules.Column("ключ", "from"),
        rules.Cast("select", "where"),
        rules.Column("%s {0} \\", "'"),
        rules.Cast(LONG, LONG),
    )


def a_text_key_and_accepted_losses(conn: Connection) -> Mapping:
    conn.execute(
        """
        CREATE TABLE prices (
            sku text PRIMARY KEY, price text NOT NULL DEFAULT '0', legacy_flag integer DEFAULT 3,
            gone smallint, day date, amount numeric, state varchar(8) NOT NULL DEFAULT 'new');
        INSERT INTO prices
        SELECT 'sku ' || i, CASE i % 2 WHEN 0 THEN '1.5' ELSE '2.50' END, i,
               CASE i % 3 WHEN 0 THEN NULL ELSE i % 2 END, '2024-01-01'::date + i, i / 2.0,
               CASE i % 2 WHEN 0 THEN 'new' ELSE 'old' END
        FROM generate_series(1, 30) i;
        CREATE TABLE prices_v2 (
            sku text PRIMARY KEY, cents numeric(12,2) NOT NULL, gone_at timestamptz,
            at timestamptz, amount numeric, is_new boolean NOT NULL, source text NOT NULL);
        """
    )
    return journey.mapping_of(
        conn,
        "prices",
        "prices_v2",
        rules.Column("sku", "sku"),
        rules.Cast("price", "cents"),
        rules.Constant("legacy_flag", 7),
        rules.Flag("gone", "gone_at"),
        rules.Cast("day", "at", timezone="Europe/Berlin"),
        rules.Column("amount", "amount"),
        rules.ValueMap("state", "is_new", (("new", True), ("old", False))),
        fills=(Fill("source", "'legacy'"),),
        accept=("price", "legacy_flag", "gone", "day"),
    )


def an_empty_table(conn: Connection) -> Mapping:
    conn.execute(
        """
        CREATE TABLE events (id serial PRIMARY KEY, kind text NOT NULL, at bigint NOT NULL,
                             body jsonb NOT NULL DEFAULT '{}');
        CREATE TABLE events_v2 (event_id integer PRIMARY KEY, kind text NOT NULL,
                                at timestamptz NOT NULL, body jsonb NOT NULL);
        """
    )
    return journey.mapping_of(
        conn,
        "events",
        "events_v2",
        rules.Column("id", "event_id"),
        rules.Column("kind", "kind"),
        rules.Epoch("at", "at", unit="ms"),
        rules.Column("body", "body"),
    )


def a_uuid_key_with_a_generated_default(conn: Connection) -> Mapping:
    conn.execute(
        """
        CREATE TABLE profiles (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tags text[], ratio double precision, wait interval, raw bytea, doc json,
            made timestamp(3) NOT NULL DEFAULT clock_timestamp());
        INSERT INTO profiles (tags, ratio, wait, raw, doc)
        SELECT ARRAY['a', NULL], i / 3.0, i * interval '1 day', '\\x00', '{"a":  1}'
        FROM generate_series(1, 20) i;
        CREATE TABLE profiles_v2 (id text PRIMARY KEY, labels text[], ratio double precision,
            wait interval, raw bytea, doc json, made_at timestamp(3) NOT NULL);
        """
    )
    return journey.mapping_of(
        conn,
        "profiles",
        "profiles_v2",
        rules.Cast("id", "id"),
        rules.Column("tags", "labels"),
        rules.Column("ratio", "ratio"),
        rules.Column("wait", "wait"),
        rules.Column("raw", "raw"),
        rules.Column("doc", "doc"),
        rules.Column("made", "made_at"),
    )


def a_link_table_of_nothing_but_foreign_keys(conn: Connection) -> Mapping:
    conn.execute(
        """
        CREATE TABLE users (id integer PRIMARY KEY);
        CREATE TABLE teams (id integer PRIMARY KEY);
        CREATE TABLE members (user_id integer REFERENCES users, team_id integer REFERENCES teams,
                              PRIMARY KEY (user_id, team_id));
        INSERT INTO users SELECT generate_series(1, 9);
        INSERT INTO teams SELECT generate_series(1, 4);
        INSERT INTO members SELECT u, 1 + u % 3 FROM generate_series(1, 9) u;
        CREATE TABLE memberships (team integer NOT NULL REFERENCES teams,
                                  person integer NOT NULL REFERENCES users,
                                  PRIMARY KEY (person, team));
        """
    )
    return journey.mapping_of(
        conn,
        "members",
        "memberships",
        rules.Column("user_id", "person"),
        rules.Column("team_id", "team"),
    )


def references_by_uuid_and_a_document(conn: Connection) -> Mapping:
    conn.execute(
        """
        CREATE TABLE makers (id integer PRIMARY KEY);
        CREATE TABLE shelves (id integer PRIMARY KEY);
        CREATE TABLE products (
            id serial PRIMARY KEY, maker integer NOT NULL REFERENCES makers,
            shelf integer REFERENCES shelves, mail text, tags text, sizes integer[],
            color varchar(10), weight numeric(8,3), is_new boolean,
            until bigint NOT NULL DEFAULT 0);
        CREATE INDEX ON products (maker);
        INSERT INTO makers SELECT generate_series(1, 9);
        INSERT INTO shelves SELECT generate_series(1, 4);
        INSERT INTO products (maker, shelf, mail, tags, sizes, color, weight, is_new, until)
        SELECT 1 + i % 9, nullif(i % 5, 0), ' M' || i, 'a,b' || i, ARRAY[i, NULL],
               nullif('c' || i % 4, 'c0'), i / 8.0, nullif(i % 3, 2) = 1, i % 2 * 1700000000
        FROM generate_series(1, 40) i;
        CREATE TABLE makers_v2 (id uuid PRIMARY KEY, legacy_id integer NOT NULL UNIQUE);
        CREATE TABLE shelves_v2 (id uuid PRIMARY KEY, legacy_id integer NOT NULL UNIQUE);
        INSERT INTO makers_v2 SELECT gen_random_uuid(), id FROM makers;
        INSERT INTO shelves_v2 SELECT gen_random_uuid(), id FROM shelves;
        CREATE TABLE products_v2 (
            id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(), legacy_id integer PRIMARY KEY,
            maker uuid NOT NULL REFERENCES makers_v2, legacy_maker integer,
            shelf uuid REFERENCES shelves_v2, email text, written_mail text, tags text[],
            sizes bigint[], details jsonb NOT NULL DEFAULT '{}', until timestamptz NOT NULL);
        CREATE INDEX ON products_v2 (legacy_maker);
        """
    )
    return journey.mapping_of(
        conn,
        "products",
        "products_v2",
        rules.Column("id", "legacy_id"),
        rules.Lookup(
            "maker", "maker", rules.Referenced("public", "makers_v2"), keep="legacy_maker"
        ),
        rules.Lookup("shelf", "shelf", rules.Referenced("public", "shelves_v2")),
        rules.Text("mail", "email", trim="both", case="lower", keep="written_mail"),
        rules.Delimited("tags", "tags"),
        rules.Cast("sizes", "sizes"),
        rules.JsonField("color", "details", "color"),
        rules.JsonField("weight", "details", ("measures", "weight")),
        rules.JsonField("is_new", "details", ("flags", 1), null="null"),
        rules.Epoch("until", "until", infinity=0),
    )


def rows_in_one_of_two_tables(conn: Connection) -> Mapping:
    mapping = shaped.jobs(conn).mapping
    conn.execute(
        "INSERT INTO jobs (state, n) SELECT CASE i % 3 WHEN 0 THEN 'done' ELSE 'open' END, i "
        "FROM generate_series(1, 40) i"
    )
    return mapping


def a_shared_target_with_an_address_beside(conn: Connection) -> Mapping:
    mapping = shaped.contacts(conn).mapping
    conn.execute(
        "INSERT INTO contact (name, street, since) SELECT 'name ' || i, "
        "nullif('street ' || i % 9, 'street 3'), nullif(date '2020-01-01' + i % 9, '2020-01-03') "
        "FROM generate_series(1, 40) i"
    )
    return mapping


Make = Callable[[Connection], Mapping]
ALL: tuple[Make, ...] = (
    shop,
    renamed_columns_as_an_updatable_view,
    odd_names_and_a_compound_key,
    a_text_key_and_accepted_losses,
    an_empty_table,
    a_uuid_key_with_a_generated_default,
    a_link_table_of_nothing_but_foreign_keys,
    references_by_uuid_and_a_document,
)


def problems(report: Report) -> list[tuple[str, str, str]]:
    return [
        (result.check, result.summary, f"{finding.subject}: {finding.message}")
        for result in report.results
        if result.status is not verify.Status.HOLDS
        for finding in result.findings or (verify.Finding("", "", ""),)
    ]


def bridged(make: Make) -> Make:
    def made(conn: Connection) -> Mapping:
        return replace(make(conn), form="bridged")

    made.__name__ = f"{make.__name__}_with_a_bridge"
    return made


def reversed_(make: Make) -> Make:
    def made(conn: Connection) -> Mapping:
        return replace(make(conn), form="reversed")

    made.__name__ = f"{make.__name__}_reversed"
    return made


def taking_copy(make: Make) -> Make:
    def made(conn: Connection) -> Mapping:
        return replace(make(conn), needs=("copy",))

    made.__name__ = f"{make.__name__}_taking_copy"
    return made


SHAPED: tuple[Make, ...] = (rows_in_one_of_two_tables, a_shared_target_with_an_address_beside)
REVERSIBLE = tuple(make for make in ALL if make is not references_by_uuid_and_a_document)
COPIED_INTO = (taking_copy(renamed_columns_as_an_updatable_view), taking_copy(bridged(shop)))
MADE = (*ALL, *SHAPED, *map(bridged, ALL), *map(reversed_, REVERSIBLE), *COPIED_INTO)


WITHOUT_STATEMENTS = ("structure", "counts", "contents", "integrity", "losses")


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_a_good_migration_is_green_after_the_cutover_and_its_rows_before_and_after(
    conn: Connection, make: Make
) -> None:
    mapping = make(conn)
    journey.copied(conn, mapping)
    assert problems(verify.run(conn, WITHOUT_STATEMENTS)) == []
    journey.cut_over(conn, mapping)
    report = verify.run(conn)
    assert problems(report) == []
    assert report.exit_code == 0
    journey.run(conn, swap.uncutover(mapping))
    assert problems(verify.run(conn, WITHOUT_STATEMENTS)) == []


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_statements_are_answered_alike_by_the_view_that_waits_for_the_cutover(
    conn: Connection, make: Make
) -> None:
    journey.copied(conn, make(conn))
    assert problems(verify.run(conn, ["probes"])) == []


@pytest.mark.proof
@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_every_check_is_green_before_the_cutover_and_after_the_way_back(
    conn: Connection, make: Make
) -> None:
    mapping = make(conn)
    journey.copied(conn, mapping)
    assert problems(verify.run(conn)) == []
    journey.cut_over(conn, mapping)
    journey.run(conn, swap.uncutover(mapping))
    assert problems(verify.run(conn)) == []


def test_the_two_forms_are_both_among_the_good_migrations(conn: Connection) -> None:
    forms = set()
    for make in ALL:
        with conn.transaction(force_rollback=True):
            forms.add(make(conn).chosen_form)
    assert forms == {"instead_of", "updatable"}


def test_accepted_losses_are_counted_and_are_no_difference(conn: Connection) -> None:
    journey.copied(conn, a_text_key_and_accepted_losses(conn))
    (result,) = verify.run(conn, ["contents"]).results
    assert result.status is verify.Status.HOLDS
    losses = [note for note in result.notes if "accepted loss" in note]
    assert [note.split(" with")[0] for note in losses] == [
        "price: 15 rows",
        "legacy_flag: 29 rows",
        "gone: 10 rows",
    ]
    assert dict(result.numbers)["accepted losses"] == 54


def test_a_wrong_value_in_a_column_with_accepted_losses_is_still_found(conn: Connection) -> None:
    journey.copied(conn, a_text_key_and_accepted_losses(conn))
    conn.execute("UPDATE prices_v2 SET cents = 1.51 WHERE sku = 'sku 2'")
    (result,) = verify.run(conn, ["contents"]).results
    assert [(f.key, f.expected, f.found) for f in result.findings] == [
        ((("sku", "sku 2"),), "1.5", "1.51")
    ]


def test_a_contracted_mapping_has_nothing_left_to_compare_and_holds(conn: Connection) -> None:
    mapping = shop(conn)
    journey.copied(conn, mapping)
    journey.cut_over(conn, mapping)
    journey.run(conn, swap.contract(mapping))
    report = verify.run(conn)
    assert report.holds
    assert {result.summary for result in report.results} == {
        "contracted: nothing is left to compare"
    }


def test_several_mappings_are_verified_together_or_one_by_one(conn: Connection) -> None:
    mappings = (shop(conn), renamed_columns_as_an_updatable_view(conn))
    journey.copied(conn, *mappings)
    journey.cut_over(conn, mappings[0])
    report = verify.run(conn)
    assert problems(report) == []
    assert [(m.name, m.phase) for m in report.mappings] == [
        ("customers", "copied"),
        ("order_line_items", "cutover"),
    ]
    one = verify.run(conn, ["counts"], ["customers"])
    assert [m.name for m in one.mappings] == ["customers"]
    assert [r.check for r in one.results] == ["counts"]
