"""A public sample database: two tables that reference each other are replaced, in either order.

Uses the Chinook script where it lies beside the repository, else a small stand-in of its tables.
"""

import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from compat import catalog, rules
from compat.mapping import Mapping
from tests.compat.migrations import value
from tests.run.support import ROOT, Connection, environment, steps, succeed, write_mapping

SCRIPT = ROOT.parent / "shared" / "data" / "chinook_postgresql_serial.sql"

STAND_IN = """
CREATE TABLE customer (customer_id serial CONSTRAINT customer_pkey PRIMARY KEY,
    first_name varchar(40) NOT NULL, last_name varchar(20) NOT NULL, email varchar(60) NOT NULL);
CREATE TABLE track (track_id serial CONSTRAINT track_pkey PRIMARY KEY, name varchar(200) NOT NULL,
    unit_price numeric(10,2) NOT NULL);
CREATE TABLE invoice (invoice_id serial NOT NULL, customer_id int NOT NULL,
    invoice_date timestamp NOT NULL, billing_address varchar(70), billing_city varchar(40),
    billing_state varchar(40), billing_country varchar(40), billing_postal_code varchar(10),
    total numeric(10,2) NOT NULL, CONSTRAINT invoice_pkey PRIMARY KEY (invoice_id));
CREATE TABLE invoice_line (invoice_line_id serial NOT NULL, invoice_id int NOT NULL,
    track_id int NOT NULL, unit_price numeric(10,2) NOT NULL, quantity int NOT NULL,
    CONSTRAINT invoice_line_pkey PRIMARY KEY (invoice_line_id));
INSERT INTO customer (first_name, last_name, email)
    SELECT 'Ann', 'No ' || g, g || '@example.org' FROM generate_series(1, 7) AS g;
INSERT INTO track (name, unit_price)
    SELECT 'Song ' || g, 0.99 + g % 2 FROM generate_series(1, 9) AS g;
INSERT INTO invoice (customer_id, invoice_date, billing_address, billing_city, billing_country,
                     total)
    SELECT 1 + g % 7, timestamp '2009-01-01' + g * interval '5 days 3 hours',
        'Street ' || g, CASE WHEN g % 3 > 0 THEN 'Zürich' END, 'Switzerland', 1.98
    FROM generate_series(1, 40) AS g;
INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
    SELECT 1 + g % 40, 1 + g % 9, 0.99 + g % 2, 1 + g % 3 FROM generate_series(1, 200) AS g;
ALTER TABLE invoice ADD CONSTRAINT invoice_customer_id_fkey
    FOREIGN KEY (customer_id) REFERENCES customer (customer_id);
ALTER TABLE invoice_line ADD CONSTRAINT invoice_line_invoice_id_fkey
    FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id);
ALTER TABLE invoice_line ADD CONSTRAINT invoice_line_track_id_fkey
    FOREIGN KEY (track_id) REFERENCES track (track_id);
CREATE INDEX invoice_customer_id_idx ON invoice (customer_id);
CREATE INDEX invoice_line_invoice_id_idx ON invoice_line (invoice_id);
"""

TARGETS = """
CREATE TABLE invoice_v2 (
    id integer PRIMARY KEY,
    customer integer NOT NULL CONSTRAINT invoice_v2_customer_fkey REFERENCES customer,
    issued_at timestamptz NOT NULL,
    street varchar(70), city varchar(40), region varchar(40), country varchar(40),
    postcode varchar(10),
    amount numeric(10,2) NOT NULL
);
CREATE TABLE invoice_line_v2 (
    id integer PRIMARY KEY,
    invoice integer NOT NULL CONSTRAINT invoice_line_v2_invoice_fkey REFERENCES {reference},
    track integer NOT NULL CONSTRAINT invoice_line_v2_track_fkey REFERENCES track,
    unit_price_cents integer NOT NULL,
    pieces integer NOT NULL
);
"""

RULES: dict[str, tuple[rules.AnyRule, ...]] = {
    "invoice": (
        rules.Column("invoice_id", "id"),
        rules.Column("customer_id", "customer"),
        rules.Cast("invoice_date", "issued_at", timezone="UTC"),
        rules.Column("billing_address", "street"),
        rules.Column("billing_city", "city"),
        rules.Column("billing_state", "region"),
        rules.Column("billing_country", "country"),
        rules.Column("billing_postal_code", "postcode"),
        rules.Column("total", "amount"),
    ),
    "invoice_line": (
        rules.Column("invoice_line_id", "id"),
        rules.Column("invoice_id", "invoice"),
        rules.Column("track_id", "track"),
        rules.Cast("unit_price", "unit_price_cents", factor=100),
        rules.Column("quantity", "pieces"),
    ),
}

# As a legacy application has it; it is never changed.
TOTALS = """
SELECT c.customer_id, c.last_name, count(DISTINCT i.invoice_id), sum(l.unit_price * l.quantity),
       min(i.invoice_date), max(i.billing_city)
FROM customer c
JOIN invoice i ON i.customer_id = c.customer_id
JOIN invoice_line l ON l.invoice_id = i.invoice_id
GROUP BY c.customer_id, c.last_name ORDER BY c.customer_id
"""
TOTALS_V2 = """
SELECT c.customer_id, c.last_name, count(DISTINCT i.id), sum(l.unit_price_cents * l.pieces) / 100.0,
       min(i.issued_at AT TIME ZONE 'UTC'), max(i.city)
FROM customer c JOIN invoice_v2 i ON i.customer = c.customer_id
JOIN invoice_line_v2 l ON l.invoice = i.id
GROUP BY c.customer_id, c.last_name ORDER BY c.customer_id
"""

Rows = list[tuple[Any, ...]]


@pytest.fixture
def chinook(conn: psycopg.Connection) -> Connection:
    """The sample database, in a connection that commits each statement."""
    text = SCRIPT.read_text(encoding="utf-8") if SCRIPT.is_file() else STAND_IN
    conn.execute(text.encode())
    return conn


def expand(url: str, conn: Connection, folder: Path, reference: str) -> None:
    """Make the targets, and expand and copy both tables, the referenced one first."""
    conn.execute(TARGETS.format(reference=reference).encode())
    for table in ("invoice", "invoice_line"):
        legacy, target = (catalog.reflect_table(conn, name) for name in (table, f"{table}_v2"))
        file = write_mapping(Mapping(table, legacy, target, RULES[table]), folder, f"{table}.json")
        succeed(url, "expand", file, "--execute")
        succeed(url, "copy", table, "--execute", "--batch-size", "300")


def verify(url: str) -> None:
    """Run compat-verify, which must find nothing."""
    command = [sys.executable, "-c", "from verify.cli import main; main()"]
    done = subprocess.run(
        command, env=environment(url), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def write_through_the_legacy_names(conn: Connection) -> None:
    """What the application does, and what the foreign keys let it do; net effect: one line more."""
    invoice = value(
        conn,
        "INSERT INTO invoice (customer_id, invoice_date, billing_city, total)"
        " VALUES (1, '2024-02-29 23:59:59.5', 'Łódź', 3.98) RETURNING invoice_id",
    )
    line = value(
        conn,
        "INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)"
        f" VALUES ({invoice}, 2, 1.99, 2) RETURNING invoice_line_id",
    )
    for statement in (
        "INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)"
        " VALUES (99999999, 1, 0.99, 1)",
        f"UPDATE invoice_line SET invoice_id = 99999999 WHERE invoice_line_id = {line}",
        f"UPDATE invoice_line SET track_id = -1 WHERE invoice_line_id = {line}",
        f"DELETE FROM invoice WHERE invoice_id = {invoice}",
        f"UPDATE invoice SET invoice_id = 99999998 WHERE invoice_id = {invoice}",
    ):
        with pytest.raises(errors.ForeignKeyViolation):
            conn.execute(statement)
    assert (
        conn.execute(
            f"UPDATE invoice_line SET quantity = 3 WHERE invoice_line_id = {line}"
        ).rowcount
        == 1
    )
    with conn.transaction():
        other = value(
            conn,
            "INSERT INTO invoice (customer_id, invoice_date, total) VALUES (2, now(), 0)"
            " RETURNING invoice_id",
        )
        conn.execute(
            "INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)"
            f" VALUES ({other}, 1, 1, 1)"
        )
        assert conn.execute(f"DELETE FROM invoice_line WHERE invoice_id = {other}").rowcount == 1
        assert conn.execute(f"DELETE FROM invoice WHERE invoice_id = {other}").rowcount == 1


def legacy_rows(conn: Connection) -> Rows:
    return (
        conn.execute("SELECT * FROM invoice ORDER BY 1").fetchall()
        + conn.execute("SELECT * FROM invoice_line ORDER BY 1").fetchall()
    )


ORDERS = list(permutations(("invoice", "invoice_line")))
REFERENCES = ("invoice (invoice_id)", "invoice_v2 (id)")


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("order", ORDERS)
def test_both_tables_go_there_and_back_and_there_again_in_either_order(
    url: str, chinook: Connection, tmp_path: Path, order: tuple[str, str], reference: str
) -> None:
    conn = chinook
    totals, rows = conn.execute(TOTALS).fetchall(), legacy_rows(conn)
    assert len(totals) > 5
    expand(url, conn, tmp_path, reference)
    write_through_the_legacy_names(conn)
    first, second = order

    def check(changed_since: Rows) -> Rows:
        """The application writes and reads; both schemas tell the same totals."""
        assert legacy_rows(conn) == changed_since
        write_through_the_legacy_names(conn)
        assert conn.execute(TOTALS).fetchall() == conn.execute(TOTALS_V2).fetchall()
        return legacy_rows(conn)

    now = legacy_rows(conn)
    assert len(now) == len(rows) + 2
    for steps_now in (
        [(first, "cutover")],
        [(second, "cutover")],
        [(first, "rollback")],
        [(second, "rollback")],
        [(second, "cutover"), (first, "cutover")],
        [(second, "rollback"), (first, "rollback")],
        [(first, "cutover"), (second, "cutover")],
    ):
        for table, step in steps_now:
            steps(url, table, step)
        now = check(now)

    before = conn.execute(TOTALS).fetchall()
    assert before[1:] == totals[1:]  # only the first customer bought more
    assert before[0][2] == totals[0][2] + 8
    steps(url, first, "contract")
    assert conn.execute(TOTALS_V2).fetchall() == before
    with pytest.raises(errors.ForeignKeyViolation):
        conn.execute("DELETE FROM invoice_v2 WHERE id = 1")
    steps(url, second, "contract")
    assert conn.execute(TOTALS_V2).fetchall() == before
    with pytest.raises(errors.ForeignKeyViolation):
        conn.execute("DELETE FROM invoice_v2 WHERE id = 1")
    with pytest.raises(errors.ForeignKeyViolation):
        conn.execute("UPDATE invoice_line_v2 SET invoice = -1 WHERE id = 1")
    referenced = conn.execute(
        "SELECT conrelid::regclass::text, conname, confrelid::regclass::text, convalidated"
        " FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE 'invoice%'"
        " ORDER BY 1, 2"
    ).fetchall()
    assert referenced == [
        ("invoice_line_v2", "invoice_line_v2_invoice_fkey", "invoice_v2", True),
        ("invoice_line_v2", "invoice_line_v2_track_fkey", "track", True),
        ("invoice_v2", "invoice_v2_customer_fkey", "customer", True),
    ]


def test_compat_verify_finds_nothing_before_and_after_the_cutover(
    url: str, chinook: Connection, tmp_path: Path
) -> None:
    before = chinook.execute(TOTALS).fetchall()
    expand(url, chinook, tmp_path, REFERENCES[0])

    verify(url)
    for table in ("invoice", "invoice_line"):
        steps(url, table, "cutover")
    verify(url)

    assert chinook.execute(TOTALS).fetchall() == before


def test_cents_from_a_price_of_two_digits_are_known_to_be_lossless(
    chinook: Connection,
) -> None:
    chinook.execute(TARGETS.format(reference=REFERENCES[0]).encode())
    legacy, target = (
        catalog.reflect_table(chinook, name) for name in ("invoice_line", "invoice_line_v2")
    )

    mapping = Mapping("cents", legacy, target, RULES["invoice_line"])

    assert mapping.accept == ()
    assert mapping.lens("unit_price").loss is None
    assert mapping.lens("unit_price").lost(rules.Row("l")) is None


def test_the_stand_in_has_the_columns_that_the_rules_name(conn: psycopg.Connection) -> None:
    conn.execute(STAND_IN.encode())
    for table, column_rules in RULES.items():
        names = catalog.reflect_table(conn, table).column_names
        assert names == tuple(rule.legacy for rule in column_rules)
    assert len(conn.execute(TOTALS).fetchall()) == 7
