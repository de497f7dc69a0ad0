"""Drafts: which columns are paired, by which rule, and what is left to the user.

Pairing is pure; what `compat draft` does with it is tested with the other commands.
"""

from pathlib import Path

from compat import rules
from compat.mapping import Mapping, load
from compat.run.draft import Draft, draft, pair
from compat.shapes import Parent
from compat.tables import Column, Constraint, Table
from tests.compat.shaped import customers, jobs
from tests.run.support import Connection, compat_here, succeed

KEY = (Column("id", "integer", nullable=False),)
PRIMARY = (Constraint("pk", "primary_key", ("id",), "PRIMARY KEY (id)"),)


def drafted(old: list[Column], new: list[Column], *checks: Constraint) -> Draft:
    """Pair two tables that have a key and these columns."""
    return pair(
        Table("public", "old", KEY + tuple(old), PRIMARY),
        Table("public", "new", KEY + tuple(new), PRIMARY + checks),
        "drafted",
    )


def rule(draft: Draft, legacy: str) -> object:
    """Return the rule of one column, or None."""
    return next((item for item in draft.rules if item.legacy == legacy), None)


def test_columns_of_the_same_name_or_nearly_are_paired() -> None:
    draft = drafted(
        [Column("qty", "integer"), Column("CustomerName", "text"), Column("note", "text")],
        [Column("note", "text"), Column("customer_name", "text"), Column("quantity", "integer")],
    )
    assert rule(draft, "qty") == rules.Column("qty", "quantity")
    assert rule(draft, "CustomerName") == rules.Column("CustomerName", "customer_name")
    assert rule(draft, "note") == rules.Column("note", "note")
    assert isinstance(draft.mapping, Mapping)
    assert draft.open_questions == ()


def test_the_types_say_which_conversion_it_is() -> None:
    moment = "timestamp with time zone"
    draft = drafted(
        [
            Column("created", "integer", nullable=False),
            Column("deleted", "boolean", nullable=False),
            Column("archived", "smallint", nullable=False),
            Column("shipped", "timestamp without time zone"),
            Column("price", "numeric(10,2)", nullable=False),
        ],
        [
            Column("created_at", moment, nullable=False),
            Column("deleted_at", moment),
            Column("archived_at", moment),
            Column("shipped_at", moment),
            Column("price_cents", "integer", nullable=False),
        ],
    )
    assert rule(draft, "created") == rules.Epoch("created", "created_at")
    assert rule(draft, "deleted") == rules.Flag("deleted", "deleted_at")
    assert rule(draft, "archived") == rules.Flag("archived", "archived_at")
    assert rule(draft, "shipped") == rules.Cast("shipped", "shipped_at", timezone="UTC")
    assert rule(draft, "price") == rules.Cast("price", "price_cents", factor=100)


def test_a_column_made_to_keep_originals_becomes_the_side_column() -> None:
    draft = drafted(
        [Column("price", "text")],
        [Column("unit_price", "numeric(12,2)"), Column("unit_price_text", "text")],
    )
    assert rule(draft, "price") == rules.Cast("price", "unit_price", keep="unit_price_text")


def test_codes_that_become_words_are_left_to_the_user() -> None:
    draft = drafted(
        [Column("status", "integer", nullable=False)],
        [Column("status", "text", nullable=False)],
        Constraint("c", "check", ("status",), "CHECK (status = ANY (ARRAY['a'::text]))"),
    )
    assert draft.mapping is None
    assert "rules.ValueMap('status', 'status'" in draft.open_questions[0]
    assert "# OPEN: 'status' and 'status' belong together" in draft.source


def test_the_only_columns_of_a_type_are_paired_as_a_marked_guess() -> None:
    draft = drafted(
        [Column("tags", "text[]", nullable=False), Column("no", "bigint", nullable=False)],
        [Column("labels", "text[]", nullable=False), Column("key", "bigint", nullable=False)],
    )
    assert rule(draft, "tags") == rules.Column("tags", "labels")
    assert draft.source.count("# GUESS:") == 2


def test_two_candidates_of_a_type_are_no_guess() -> None:
    draft = drafted(
        [Column("tags", "text[]", nullable=False)],
        [Column("labels", "text[]", nullable=False), Column("words", "text[]", nullable=False)],
    )
    assert rule(draft, "tags") is None
    assert "the legacy column 'tags' (text[]) has no counterpart" in draft.open_questions[0]


def test_columns_are_paired_over_the_tables_that_foreign_keys_join(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    expected = customers(conn).mapping
    file = tmp_path / "customers.py"
    arguments = ("customers", "--target", "accounts", "--part", "addresses", "-o", file)
    succeed(url, "draft", *arguments)
    assert load(str(file)) == expected


def test_columns_of_a_parent_are_looked_for_in_the_parent(conn: Connection, url: str) -> None:
    conn.execute(
        "CREATE TABLE tasks (id integer PRIMARY KEY, author_name text, mail text, task text);"
        "CREATE TABLE author (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), author_name text,"
        " e_mail text, UNIQUE (author_name, e_mail));"
        "CREATE TABLE tasks_v2 (id integer PRIMARY KEY, task text, author uuid REFERENCES author)"
    )
    drafted = draft(conn, "tasks", parts=["author"])
    mapping = drafted.mapping
    assert mapping is not None, drafted.open_questions
    (parent,) = mapping.parts
    assert isinstance(parent, Parent)
    assert (parent.on, parent.holds) == ((("id", "author"),), ("author_name", "mail"))


def test_a_table_that_nothing_joins_is_no_part_and_the_way_out_is_said(
    conn: Connection, url: str
) -> None:
    jobs(conn)
    ended = compat_here(url, "draft", "jobs", "--target", "open_jobs", "--part", "done_jobs")
    assert (ended.code, "joined to public.open_jobs by no foreign key" in ended.err) == (2, True)
    assert "shapes.Choice" in ended.err
