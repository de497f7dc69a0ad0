"""Tables whose rows are spread or shared: what is no mere rename is listed, with the place."""

from __future__ import annotations

import pytest

from codemods import sql
from codemods.edits import apply
from codemods.findings import Outcome
from codemods.renames import Names, from_mapping
from compat import rules
from compat.mapping import Mapping
from compat.shapes import Choice, Half, Parent, Tag
from compat.tables import Column, Constraint, Table


def table(name: str, *columns: str, key: tuple[str, ...] = ("id",)) -> Table:
    keys = (Constraint(f"{name}_pkey", "primary_key", key, f"PRIMARY KEY ({', '.join(key)})"),)
    found = tuple(Column(c, "text", nullable=c not in key) for c in columns)
    return Table("public", name, found, keys)


LEGACY = table("customers", "id", "name", "street")
RULES = (
    rules.Column("id", "id"),
    rules.Column("name", "full_name"),
    rules.Column("street", "road"),
)
ACCOUNTS = table("accounts", "id", "full_name")
HALF = Half(table("addresses", "id", "road"), (("id", "id"),), ("street",))
PARENT = Parent(
    Table(
        "public",
        "roads",
        (
            Column("no", "text", nullable=False, default="gen_random_uuid()"),
            Column("road", "text", nullable=False),
        ),
        (
            Constraint("roads_pkey", "primary_key", ("no",), "PRIMARY KEY (no)"),
            Constraint("roads_road_key", "unique", ("road",), "UNIQUE (road)"),
        ),
    ),
    (("no", "road_no"),),
    ("street",),
)
SPREAD = Names((from_mapping(Mapping("c", LEGACY, ACCOUNTS, RULES, parts=(HALF,))),))
WITH_ROAD_NO = table("accounts", "id", "full_name", "road_no")
JOINED = Names((from_mapping(Mapping("c", LEGACY, WITH_ROAD_NO, RULES, parts=(PARENT,))),))
WHOLE = table("accounts", "id", "full_name", "road")
CHOICE = Choice(table("others", "id", "full_name", "road"), "name IS NULL")
DIVIDED = Names((from_mapping(Mapping("c", LEGACY, WHOLE, RULES, choices=(CHOICE,))),))
SHARED_TARGET = table("people", "kind", "id", "full_name", "road", key=("kind", "id"))
SHARED = Names(
    (from_mapping(Mapping("c", LEGACY, SHARED_TARGET, RULES, tag=Tag("kind", "customer"))),)
)


@pytest.mark.parametrize("names", [SPREAD, JOINED])
def test_a_statement_that_uses_only_columns_of_the_target_is_rewritten(names: Names) -> None:
    text = "SELECT name FROM customers WHERE id = '1'"
    assert apply(text, sql.rewrite(text, names).edits) == (
        "SELECT full_name AS name FROM accounts WHERE id = '1'"
    )
    text = "UPDATE customers SET name = 'x' WHERE id = '1'"
    assert apply(text, sql.rewrite(text, names).edits) == (
        "UPDATE accounts SET full_name = 'x' WHERE id = '1'"
    )


@pytest.mark.parametrize(
    ("names", "text", "reason"),
    [
        (
            SPREAD,
            "SELECT name, street FROM customers",
            "'street' is in public.addresses now as road",
        ),
        (SPREAD, "UPDATE customers SET street = 'x'", "is in public.addresses now as road"),
        (
            SPREAD,
            "INSERT INTO customers (id, name) VALUES ('1', 'a')",
            "a half in public.addresses",
        ),
        (SPREAD, "DELETE FROM customers WHERE id = '1'", "a half in public.addresses"),
        (SPREAD, "COPY customers (id, name) FROM stdin", "a half in public.addresses"),
        (JOINED, "SELECT name FROM customers WHERE street = 'x'", "is in public.roads now as road"),
        (DIVIDED, "SELECT id FROM customers", "a row is in public.accounts or public.others"),
        (DIVIDED, "DELETE FROM customers", "a row is in public.accounts or public.others"),
        (SHARED, "SELECT id FROM customers", "only those with kind = 'customer' are meant"),
        (SHARED, "SELECT 'customers'::regclass", "named inside a SQL string"),
    ],
)
def test_what_is_no_mere_rename_is_listed_with_the_place_and_left_alone(
    names: Names, text: str, reason: str
) -> None:
    result = sql.rewrite(text, names)
    assert not result.edits
    looks = [found.reason for found in result.findings if found.outcome is Outcome.LOOK]
    assert any(reason in told for told in looks), looks
