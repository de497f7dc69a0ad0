"""Tables as the catalogue has them become values, and values become tables again.

Names are found as users write them; what cannot be found is said.
"""

from __future__ import annotations

from typing import Any

import pytest

from compat import catalog
from compat.compile import swap
from compat.errors import CatalogError
from compat.names import ident
from compat.tables import Column, Constraint, Index, Sequence, Table
from tests.compat.migrations import Connection, value

EVERYTHING = """
CREATE SCHEMA other;
CREATE TYPE other.mood AS ENUM ('sad', 'happy');
CREATE FUNCTION other.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION label() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
CREATE TABLE parents (id integer PRIMARY KEY, code text UNIQUE);
CREATE TABLE things (
    id serial,
    parent integer NOT NULL REFERENCES parents ON DELETE CASCADE,
    "Name" varchar(20) COLLATE "C" DEFAULT 'it''s',
    price numeric(10,2) NOT NULL DEFAULT 0.00 CHECK (price >= 0),
    feeling other.mood DEFAULT 'sad',
    tags text[],
    at timestamp(3) DEFAULT now(),
    label text DEFAULT label(),
    gone integer,
    total numeric GENERATED ALWAYS AS (price * 2) STORED,
    CONSTRAINT things_pk PRIMARY KEY (id),
    CONSTRAINT "a USING b" UNIQUE ("Name", parent) DEFERRABLE,
    EXCLUDE USING btree (price WITH =)
);
ALTER TABLE things DROP COLUMN gone;
CREATE UNIQUE INDEX "USING btree (x) ON" ON things USING btree (lower("Name")) WHERE price > 1;
CREATE INDEX things_at ON things (at DESC NULLS LAST) INCLUDE (price);
CREATE TRIGGER z_before BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION other.stamp();
CREATE TRIGGER after AFTER INSERT ON things FOR EACH ROW EXECUTE FUNCTION other.stamp();
CREATE TRIGGER each BEFORE INSERT ON things FOR EACH STATEMENT EXECUTE FUNCTION other.stamp();
COMMENT ON TABLE things IS 'It''s all here';
COMMENT ON COLUMN things."Name" IS 'as called';
"""
THINGS = Table(
    "public",
    "things",
    (
        Column("id", "integer", False, "nextval('public.things_id_seq'::regclass)"),
        Column("parent", "integer", False),
        Column(
            "Name",
            "character varying(20)",
            default="'it''s'::character varying",
            collation='pg_catalog."C"',
            comment="as called",
        ),
        Column("price", "numeric(10,2)", False, "0.00"),
        Column("feeling", "other.mood", default="'sad'::other.mood"),
        Column("tags", "text[]"),
        Column("at", "timestamp(3) without time zone", default="now()"),
        Column("label", "text", default="public.label()"),
        Column("total", "numeric", generated="(price * (2)::numeric)"),
    ),
    (
        Constraint("things_pk", "primary_key", ("id",), "PRIMARY KEY (id)"),
        Constraint("a USING b", "unique", ("Name", "parent"), 'UNIQUE ("Name", parent) DEFERRABLE'),
        Constraint(
            "things_price_excl", "exclude", ("price",), "EXCLUDE USING btree (price WITH =)"
        ),
        Constraint("things_price_check", "check", ("price",), "CHECK ((price >= (0)::numeric))"),
        Constraint(
            "things_parent_fkey",
            "foreign_key",
            ("parent",),
            "FOREIGN KEY (parent) REFERENCES public.parents(id) ON DELETE CASCADE",
        ),
    ),
    (
        Index(
            "USING btree (x) ON",
            'USING btree (lower(("Name")::text)) WHERE (price > (1)::numeric)',
            unique=True,
        ),
        Index("things_at", "USING btree (at DESC NULLS LAST) INCLUDE (price)"),
    ),
    (Sequence("public", "things_id_seq", "id"),),
    ("z_before",),
    "It's all here",
)


def test_a_table_is_reflected_with_all_that_a_mapping_needs_to_know(conn: Connection) -> None:
    conn.execute(EVERYTHING)
    found = catalog.reflect_table(conn, "things")
    for field in ("columns", "indexes", "sequences", "triggers", "comment"):
        assert getattr(found, field) == getattr(THINGS, field)
    by_name = {constraint.name: constraint for constraint in THINGS.constraints}
    assert {constraint.name: constraint for constraint in found.constraints} == by_name
    assert found.row_key == ("id",)
    assert found.unique_keys == (("id",),)


def test_what_was_reflected_creates_an_equal_table(conn: Connection) -> None:
    conn.execute(EVERYTHING)
    things = catalog.reflect_table(conn, "things")
    conn.execute("ALTER TABLE things RENAME TO former; ALTER SEQUENCE things_id_seq OWNED BY NONE")
    for constraint in things.constraints:
        name = ident(constraint.name)
        former = ident(f"former {constraint.name}")
        conn.execute(f"ALTER TABLE former RENAME CONSTRAINT {name} TO {former}")
    for index in things.indexes:
        former = ident(f"former {index.name}")
        conn.execute(f"ALTER INDEX {ident(index.name)} RENAME TO {former}")
    for statement in [
        *swap.create_table(things, "things"),
        *swap.add_constraints(things, "things"),
    ]:
        conn.execute(statement)
    again = catalog.reflect_table(conn, "things")
    assert again.constraints == things.constraints
    assert again.indexes == things.indexes
    for old, new in zip(things.columns, again.columns, strict=True):
        assert (old.name, old.type, old.nullable, old.default, old.generated, old.collation) == (
            new.name,
            new.type,
            new.nullable,
            new.default,
            new.generated,
            new.collation,
        )


def test_reflection_does_not_depend_on_the_search_path_and_leaves_it_alone(
    conn: Connection,
) -> None:
    conn.execute(EVERYTHING)
    seen = set()
    for path in ("public", "other, public", '"$user", public, pg_catalog'):
        conn.execute(f"SET search_path = {path}")
        seen.add(catalog.reflect_table(conn, "things"))
        assert value(conn, "SHOW search_path") == path
        with conn.transaction():
            catalog.reflect_table(conn, "things")
            assert value(conn, "SHOW search_path") == path
    assert seen == {catalog.reflect_table(conn, "public.things")}


def test_identity_columns_are_recognised(conn: Connection) -> None:
    conn.execute(
        "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY,"
        " b integer GENERATED BY DEFAULT AS IDENTITY, c integer)"
    )
    found = catalog.reflect_table(conn, "t").columns
    assert [column.identity for column in found] == ["always", "by default", None]


def test_a_unique_constraint_over_required_columns_serves_where_there_is_no_primary_key(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE t (a integer UNIQUE, b integer NOT NULL UNIQUE DEFERRABLE,"
        " c integer NOT NULL, d integer NOT NULL, UNIQUE (d, c))"
    )
    assert catalog.reflect_table(conn, "t").row_key == ("d", "c")
    conn.execute("ALTER TABLE t ALTER d DROP NOT NULL")
    assert catalog.reflect_table(conn, "t").row_key == ()


def test_indexes_of_partitioned_tables_are_reflected(conn: Connection) -> None:
    conn.execute("CREATE TABLE p (id integer) PARTITION BY RANGE (id); CREATE INDEX ON p (id)")
    assert catalog.reflect_table(conn, "p").indexes == (Index("p_id_idx", "USING btree (id)"),)


SPELLINGS: dict[str, list[str]] = {
    "public.things": ["things", "public.things", '"things"', 'public."things"', "THINGS"],
    'public.Order "Lines"; --': [
        'Order "Lines"; --',
        'public.Order "Lines"; --',
        '"Order ""Lines""; --"',
        'public."Order ""Lines""; --"',
    ],
    "public.a.b": ["a.b", "public.a.b", '"a.b"', 'public."a.b"'],
    "odd.schema.t": ['"odd.schema".t', '"odd.schema"."t"'],
    "other.things": ["other.things"],
    "public.%s": ["%s", "public.%s"],
}


@pytest.mark.parametrize("title", SPELLINGS)
def test_a_table_is_found_however_its_name_is_spelled(conn: Connection, title: str) -> None:
    conn.execute(
        'CREATE TABLE things (a integer); CREATE TABLE "Order ""Lines""; --" (a integer);'
        'CREATE TABLE "a.b" (a integer); CREATE TABLE "%s" (a integer);'
        'CREATE SCHEMA "odd.schema"; CREATE TABLE "odd.schema".t (a integer);'
        "CREATE SCHEMA other; CREATE TABLE other.things (a integer)"
    )
    for spelling in SPELLINGS[title]:
        found = catalog.find(conn, spelling)
        assert found is not None, spelling
        assert found.title == title
        assert catalog.require_table(conn, spelling) == found
        assert catalog.find_exact(conn, found.schema, found.name) == found


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "public.nothing",
        "no.things",
        "",
        ".",
        '"',
        'a "b',
        "a.b.c",
        "a.b.c.d",
        "a\0b",
        "x" * 99,
    ],
)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_what_is_not_there_is_said_whatever_the_name_looks_like(
    conn: Connection, name: str, in_transaction: bool
) -> None:
    if in_transaction:
        conn.execute("BEGIN")
    assert catalog.find(conn, name) is None
    with pytest.raises(CatalogError, match="no such table") as caught:
        catalog.require_table(conn, name)
    assert "search path" in str(caught.value)
    assert value(conn, "SELECT 1") == 1  # the transaction, if any, is still good


def test_what_is_no_table_is_called_by_its_kind(conn: Connection) -> None:
    conn.execute(
        "CREATE VIEW v AS SELECT 1 AS a; CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;"
        "CREATE SEQUENCE s"
    )
    kinds = {"v": "is a view", "m": "is a materialised view", "s": "is not a table"}
    for name, kind in kinds.items():
        with pytest.raises(CatalogError, match=f"public.{name} {kind}"):
            catalog.require_table(conn, name)


def test_a_table_that_vanished_is_said(conn: Connection) -> None:
    conn.execute("CREATE TABLE t (a integer)")
    relation = catalog.require_table(conn, "t")
    conn.execute("DROP TABLE t")
    with pytest.raises(CatalogError, match=r"public\.t has no columns"):
        catalog.reflect(conn, relation)


def test_rows_are_estimated_from_statistics(conn: Connection) -> None:
    conn.execute('CREATE TABLE "a.b" AS SELECT generate_series(1, 500) AS a')
    assert catalog.estimate_rows(conn, "public", "a.b") == 0
    conn.execute('ANALYZE "a.b"')
    assert catalog.estimate_rows(conn, "public", "a.b") == 500
    assert catalog.estimate_rows(conn, "public", "nothing") == 0


def test_reflected_tables_can_be_kept_in_sets(conn: Connection) -> None:
    conn.execute(EVERYTHING)
    seen: set[Any] = {catalog.reflect_table(conn, "things") for _ in range(2)}
    assert len(seen) == 1
