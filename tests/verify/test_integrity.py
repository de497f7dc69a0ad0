"""What must hold among the rows themselves: derived from catalogue and mapping, or demanded."""

from __future__ import annotations

from pathlib import Path

import pytest

import verify
from compat import rules
from compat.errors import CompatError
from tests.verify import journey
from tests.verify.journey import Connection
from tests.verify.test_planted_faults import past_the_triggers
from verify import rulebook
from verify.options import Options
from verify.report import Result, Status
from verify.rulebook import Rulebook

SHOP = """
CREATE TABLE customers (legacy_id integer NOT NULL, id uuid PRIMARY KEY DEFAULT gen_random_uuid());
INSERT INTO customers (legacy_id) SELECT generate_series(1, 20);
CREATE TABLE orders (
    id integer PRIMARY KEY, customer_id integer NOT NULL, code text NOT NULL UNIQUE,
    total numeric(12,2) NOT NULL, deposit numeric(12,2), balance numeric(12,2),
    placed timestamptz NOT NULL);
INSERT INTO orders SELECT i, 1 + i % 20, 'c' || i, i, i / 2.0, i - i / 2.0,
    '2024-01-01'::timestamptz + i * interval '1 day' FROM generate_series(1, 60) i;
CREATE TABLE "new orders" (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY, legacy_id integer UNIQUE,
    legacy_customer_id integer NOT NULL, customer_id uuid REFERENCES customers,
    code text, total numeric(12,2) NOT NULL, deposit numeric(12,2), balance numeric(12,2),
    placed_at timestamptz NOT NULL);
"""


@pytest.fixture
def shop(conn: Connection) -> Connection:
    """Orders with two ids, and a line table that references the new one."""
    conn.execute(SHOP)
    mapping = journey.mapping_of(
        conn,
        "orders",
        "new orders",
        rules.Column("id", "legacy_id"),
        rules.Column("customer_id", "legacy_customer_id"),
        rules.Column("code", "code"),
        *(rules.Column(name, name) for name in ("total", "deposit", "balance")),
        rules.Column("placed", "placed_at"),
    )
    journey.copied(conn, mapping)
    conn.execute(
        """
        UPDATE "new orders" o SET customer_id = c.id FROM customers c
        WHERE c.legacy_id = o.legacy_customer_id;
        CREATE TABLE lines (id integer PRIMARY KEY, order_id uuid);
        INSERT INTO lines SELECT legacy_id, id FROM "new orders";
        ALTER TABLE lines ADD CONSTRAINT "lines to orders" FOREIGN KEY (order_id)
            REFERENCES "new orders" NOT VALID;
        """
    )
    return conn


def examine(conn: Connection, rules: Rulebook | None = None, limit: int = 10) -> Result:
    options = Options(rules=rules or Rulebook())
    (result,) = verify.run(conn, ["integrity"], options=options, limit=limit).results
    return result


def test_sound_rows_hold(shop: Connection) -> None:
    result = examine(shop)
    assert result.status is Status.HOLDS, result
    # Two foreign keys, the second id, the codes (the target does not make them unique), and the
    # nullable columns behind a key and behind a NOT NULL one (twice for the key).
    assert dict(result.numbers) == {"demands": 7}


@pytest.mark.parametrize(
    ("fault", "kind", "subject", "row"),
    [
        (
            """UPDATE "new orders" SET customer_id = '00000000-0000-0000-0000-000000000001'
               WHERE legacy_id = 7""",
            "orphan",
            "customer_id_fkey",
            "legacy_id = '7'",
        ),
        (
            'DELETE FROM "new orders" WHERE legacy_id = 7',
            "orphan",
            "lines to orders",
            "order_id",
        ),
        (
            """ALTER TABLE "new orders" DROP CONSTRAINT "new orders_legacy_id_key";
               INSERT INTO "new orders" SELECT gen_random_uuid(), legacy_id, legacy_customer_id,
                   customer_id, 'another', 1, 1, 0, now() FROM "new orders" WHERE legacy_id = 7""",
            "duplicate",
            "legacy_id",
            "legacy_id = '7'",
        ),
        (
            """UPDATE "new orders" SET code = 'c8' WHERE legacy_id = 7""",
            "duplicate",
            "code",
            "code = 'c8'",
        ),
        (
            'UPDATE "new orders" SET legacy_id = NULL WHERE legacy_id = 7',
            "null",
            "legacy_id",
            "legacy_id = NULL",
        ),
        (
            'UPDATE "new orders" SET code = NULL WHERE legacy_id = 7',
            "null",
            "code",
            "id = '7'",
        ),
        (
            'UPDATE "new orders" SET legacy_customer_id = 9 WHERE legacy_id = 7',
            "dual_id",
            "legacy_customer_id and customer_id",
            "legacy_id = '7'",
        ),
        (
            'UPDATE "new orders" SET customer_id = NULL WHERE legacy_id = 7',
            "dual_id",
            "legacy_customer_id and customer_id",
            "customer_id = NULL",
        ),
    ],
)
def test_a_planted_fault_is_found_and_named_with_its_row(
    shop: Connection, fault: str, kind: str, subject: str, row: str
) -> None:
    past_the_triggers(shop, fault)
    result = examine(shop)
    assert result.status is Status.DOES_NOT_HOLD
    found = [f for f in result.findings if f.kind == kind and subject in f.subject]
    assert len(found) == 1, result.findings
    assert row in found[0].message


def test_totals_are_exact_and_examples_end_at_the_limit(shop: Connection) -> None:
    past_the_triggers(shop, """UPDATE "new orders" SET code = NULL WHERE legacy_id <= 12""")
    result = examine(shop, limit=3)
    assert (len(result.findings), result.total) == (3, 12)
    result = examine(shop, limit=0)
    assert (len(result.findings), result.total) == (1, 12)


RULES = """
[[rules]]
name = "the balance adds up -- 100%"
table = "orders"
holds = "balance = total - deposit -- of both"

[[ranges]]
table = "public.new orders"
column = "placed_at"
min = 2024-01-02
max = "now() + interval '100 years'"

[[ranges]]
table = "new orders"
column = "total"
min = 0
max = 60.00

[[dual_ids]]
table = "new orders"
column = "customer_id"
legacy = "legacy_customer_id"
parent = "public.customers"
"""


@pytest.fixture
def demanded(tmp_path: Path) -> Rulebook:
    path = tmp_path / "rules.toml"
    path.write_text(RULES, encoding="utf-8")
    return rulebook.load(path)


@pytest.mark.parametrize(
    ("fault", "kind", "subject"),
    [
        ("balance = balance + 0.01", "rule", "the balance adds up -- 100%"),
        ("balance = NULL", "rule", "the balance adds up -- 100%"),
        ("placed_at = '1970-01-01'", "range", "placed_at of public.new orders"),
        ("total = 60.01, balance = 60.01 - deposit", "range", "total of new orders"),
        ("total = -1, balance = -1 - deposit", "range", "total of new orders"),
    ],
)
def test_what_a_file_demands_is_looked_at_and_named(
    shop: Connection, demanded: Rulebook, fault: str, kind: str, subject: str
) -> None:
    assert examine(shop, demanded).status is Status.HOLDS
    past_the_triggers(shop, f'UPDATE "new orders" SET {fault} WHERE legacy_id = 7')
    (finding,) = examine(shop, demanded).findings
    assert (finding.kind, finding.subject) == (kind, subject)
    assert "id = '7'" in finding.message


def test_a_rule_that_cannot_be_evaluated_is_never_passed(shop: Connection) -> None:
    wrong = rulebook.Rule("typo", "orders", "balanse > 0")
    result = examine(shop, Rulebook(rules=(wrong,)))
    assert result.status is Status.NOT_RUN
    assert 'typo: column "balanse" does not exist' in result.summary
    past_the_triggers(shop, 'DELETE FROM "new orders" WHERE legacy_id = 7')
    result = examine(shop, Rulebook(rules=(wrong,)))
    assert result.status is Status.DOES_NOT_HOLD
    assert any("balanse" in note for note in result.notes)


def test_rules_cannot_write(shop: Connection) -> None:
    shop.execute(
        "CREATE FUNCTION wipe() RETURNS boolean LANGUAGE sql AS 'DELETE FROM lines RETURNING true' "
    )
    assert examine(shop, Rulebook(rules=(rulebook.Rule("r", "orders", "wipe()"),))).status is (
        Status.NOT_RUN
    )
    assert shop.execute("SELECT count(*) FROM lines").fetchone() == (60,)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("r.toml", "[[rules]]\nname = 'x'", "rules.0.table"),
        ("r.toml", "[[rule]]\nname = 'x'", "rule: "),
        ("r.toml", "[[rules", "cannot be read"),
        ("r.json", '{"rules": [{"name": "x", "table": "t", "holds": 1}]}', "rules.0.holds"),
        ("absent/r.toml", None, "cannot be read: No such file"),
    ],
)
def test_a_file_of_another_form_is_refused_and_the_place_named(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(CompatError) as refusal:
        rulebook.load(path)
    assert said in refusal.value.message


def test_rules_for_a_table_that_no_mapping_has_are_refused(shop: Connection) -> None:
    with pytest.raises(CompatError, match="'colours'"):
        examine(shop, Rulebook(rules=(rulebook.Rule("r", "colours", "true"),)))
    elsewhere = rulebook.Rule("r", "customers", "legacy_id < 20", mapping="orders")
    result = examine(shop, Rulebook(rules=(elsewhere,)))
    assert (result.status, result.total) == (Status.DOES_NOT_HOLD, 1)


# -- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_cutover", [False, True])
def test_rows_that_lose_something_are_counted_by_rule_from_the_table_itself(
    conn: Connection, is_cutover: bool
) -> None:
    conn.execute(
        """
        CREATE TABLE prices (id integer PRIMARY KEY, price text NOT NULL, gone smallint, x text);
        INSERT INTO prices SELECT i, CASE i % 2 WHEN 0 THEN '1.5' ELSE '2.50' END,
            CASE WHEN i % 3 = 0 THEN 1 WHEN i % 3 = 1 THEN 0 END, 'x' FROM generate_series(1, 30) i;
        CREATE TABLE prices_v2 (id integer PRIMARY KEY, price numeric(12,2), gone_at timestamptz);
        """
    )
    mapping = journey.mapping_of(
        conn,
        "prices",
        "prices_v2",
        rules.Column("id", "id"),
        rules.Cast("price", "price"),
        rules.Flag("gone", "gone_at"),
        rules.Expression("x", "id::text", uses=("id",)),
        accept=("price", "gone", "x"),
    )
    journey.copied(conn, mapping)
    if is_cutover:
        journey.cut_over(conn, mapping)
    (result,) = verify.run(conn, ["losses"]).results
    assert result.status is Status.HOLDS
    assert dict(result.numbers) == {"price": 15, "gone": 10}
    assert result.summary == "rows lose what the mapping accepts to lose: price, gone"
    assert any(note.startswith("x: not counted") for note in result.notes)
