"""A public sample database: people merged and split, invoices re-keyed, all tables at once.

Two databases hear the same statements: one is migrated by the commands of the example, the other
is never touched. Uses the Chinook script where it lies beside the repository, else the example's
stand-in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compat import catalog
from compat.database import Database
from compat.mapping import Mapping, load
from compat.operations import ContractOp
from examples.chinook.application import QUERIES, WRITES
from tests.compat.migrations import one, value
from tests.run.support import Connection, catalogue, steps, succeed, verify
from tests.test_alembic import operating
from tests.test_chinook import SCRIPT
from tests.test_docs import blocks, run

pytestmark = pytest.mark.proof

FOLDER = Path(__file__).parents[1] / "examples" / "chinook"
SAMPLE = FOLDER / "sample.sql"
TABLES = ("employee", "customer", "invoice", "invoice_line")
"""Parents first."""

REFUSED = {
    "a boss who does not exist": "23503",
    "a customer loses the last name": "23502",
    "a customer number that is taken": "23505",
    "a customer with invoices cannot be removed": "23503",
    "a customer with invoices keeps the number": "23503",
    "a customer without an email": "23502",
    "a line of an invoice that does not exist": "23503",
    "a line without a price": "23502",
    "a manager cannot be dismissed": "23503",
    "a name that is too long": "22001",
    "a representative who does not exist": "23503",
    "a representative who is a customer": "23503",
    "an employee number that is taken": "23505",
    "an employee with customers cannot be dismissed": "23503",
    "an invoice with lines cannot be removed": "23503",
    "an order of a customer who does not exist": "23503",
    "an order that fails with its second line": "23503",
    "a change that is taken back": "22012",
}
"""The writes that no table takes, with the SQLSTATE."""

Answers = list[tuple[Any, ...]]


def mapping(table: str) -> Mapping:
    return load(str(FOLDER / f"{table}.py"))


def answers(conn: Connection, statements: Iterable[str]) -> Answers:
    """What a client sees of a transaction: of each statement count and rows, or the SQLSTATE."""
    found: Answers = []
    try:
        with conn.transaction():
            for statement in statements:
                cursor = conn.execute(statement)
                rows = sorted(cursor.fetchall(), key=repr) if cursor.description else None
                found.append((cursor.rowcount, rows))
    except psycopg.Error as error:
        found.append((error.sqlstate,))
    return found


@dataclass(frozen=True)
class Shop:
    """The migrated database, with its address, and the untouched twin."""

    url: str
    conn: Connection
    twin: Connection

    def read(self, when: str) -> None:
        """Ask both databases all questions; they must give the same answers."""
        for name, query in QUERIES.items():
            expected = self.twin.execute(query).fetchall()
            assert self.conn.execute(query).fetchall() == expected, f"{when}: {name}"

    def trade(self, when: str) -> None:
        """Write to both databases all that the application writes, and read it back."""
        for name, statements in WRITES.items():
            expected = answers(self.twin, statements)
            assert answers(self.conn, statements) == expected, f"{when}: {name}"
        self.read(when)

    def expand_and_copy(self, *, trading: bool = False) -> None:
        """All tables, parents first; with `trading`, while the application goes on."""
        self.conn.execute((FOLDER / "targets.sql").read_bytes())
        for table in TABLES:
            succeed(self.url, "expand", FOLDER / f"{table}.py", "--execute")
            if trading:
                self.trade(f"{table} expanded")
            steps(self.url, table, "copy")
            if trading:
                self.trade(f"{table} copied")
        self.conn.execute((FOLDER / "references.sql").read_bytes())

    def step(self, which: str, *tables: str) -> None:
        """Cut over, or take back, one table after the other while the application goes on."""
        for table in tables:
            steps(self.url, table, which)
            self.trade(f"{which} of {table}")

    def verify(self) -> None:
        """Run compat-verify, which must find nothing, and let the twin draw the same numbers."""
        assert verify(self.url) == 0
        for table in TABLES:
            sequence = f"{table}_{table}_id_seq"
            drawn = one(self.conn, f"SELECT last_value, is_called FROM {sequence}")
            self.twin.execute(f"SELECT setval('{sequence}', %s, %s)", drawn)

    def take_back(self) -> None:
        """Undo what is left of it all: the two databases must be the same then."""
        for table in reversed(TABLES):
            succeed(self.url, "unexpand", table, "--execute")
        self.conn.execute("DROP TABLE sale_line, sale, person_address, person")
        self.trade("all taken back")
        self.conn.execute("DROP SCHEMA compat CASCADE")
        assert catalogue(self.conn) == catalogue(self.twin)


@pytest.fixture
def shop(server: Database) -> Iterator[Shop]:
    with (
        server.fresh() as url,
        server.fresh() as other,
        psycopg.connect(url, autocommit=True) as conn,
        psycopg.connect(other, autocommit=True) as twin,
    ):
        script = SCRIPT if SCRIPT.is_file() else SAMPLE
        for connection in (conn, twin):
            connection.execute(script.read_bytes())
        yield Shop(url, conn, twin)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (TABLES, tuple(reversed(TABLES))),
        (tuple(reversed(TABLES)), ("invoice", "customer", "invoice_line", "employee")),
        (
            ("invoice", "employee", "invoice_line", "customer"),
            ("customer", "employee", "invoice_line", "invoice"),
        ),
    ],
    ids="-".join,
)
def test_the_application_gets_the_answers_of_an_untouched_database_at_every_stage(
    shop: Shop, there: tuple[str, ...], back: tuple[str, ...]
) -> None:
    shop.trade("before")
    shop.expand_and_copy(trading=True)
    shop.step("cutover", *there)
    shop.step("rollback", *back)
    shop.take_back()


def test_the_application_goes_on_when_contracts_are_taken_back_last_first(shop: Shop) -> None:
    shop.expand_and_copy()
    for table in TABLES:
        steps(shop.url, table, "cutover")
    for order in (tuple(reversed(TABLES)), ("customer", "invoice", "employee", "invoice_line")):
        for table in order:
            steps(shop.url, table, "contract")
        for table in reversed(order):
            with operating(shop.url) as operations:
                operations.invoke(ContractOp(mapping(table)).reverse())
        shop.trade(f"after the contracts of {', '.join(order)} were taken back")
    for table in reversed(TABLES):
        steps(shop.url, table, "rollback")
    shop.take_back()


def test_compat_verify_finds_nothing_when_half_is_cut_over_nor_when_all_is(shop: Shop) -> None:
    shop.trade("before")
    shop.expand_and_copy()
    steps(shop.url, "invoice", "cutover")
    steps(shop.url, "customer", "cutover")
    shop.verify()
    shop.step("cutover", "invoice_line", "employee")
    shop.verify()


TOTALS = """
SELECT c.customer_id, c.last_name, c.city, e.last_name, count(DISTINCT i.invoice_id),
       sum(l.unit_price * l.quantity), max(i.invoice_date)
FROM customer c JOIN employee e ON e.employee_id = c.support_rep_id
JOIN invoice i ON i.customer_id = c.customer_id
JOIN invoice_line l ON l.invoice_id = i.invoice_id
GROUP BY 1, 2, 3, 4 ORDER BY 1
"""
TOTALS_V2 = """
SELECT c.customer_number, c.last_name, a.city, e.last_name, count(DISTINCT s.id),
       sum(l.unit_price_cents * l.quantity) / 100.0, max(s.sold_at AT TIME ZONE 'UTC')
FROM person c JOIN person e ON e.employee_number = c.adviser_number
LEFT JOIN person_address a ON a.person_id = c.id
JOIN sale s ON s.customer_id = c.id
JOIN sale_line l ON l.sale_id = s.id
WHERE c.kind = 'customer' GROUP BY 1, 2, 3, 4 ORDER BY 1
"""


def test_both_versions_of_the_schema_tell_the_same_before_and_after_the_cutover(
    shop: Shop,
) -> None:
    shop.expand_and_copy()
    assert shop.conn.execute(TOTALS).fetchall() == shop.conn.execute(TOTALS_V2).fetchall() != []
    shop.step("cutover", *TABLES)
    assert shop.conn.execute(TOTALS).fetchall() == shop.conn.execute(TOTALS_V2).fetchall() != []


def test_what_version_2_writes_is_there_for_the_application_and_stays_after_going_back(
    shop: Shop,
) -> None:
    shop.expand_and_copy()
    for table in TABLES:
        steps(shop.url, table, "cutover")
    buyer = value(
        shop.conn,
        "WITH p AS (INSERT INTO person (kind, first_name, last_name, email, adviser_number)"
        "  VALUES ('customer', 'Vera', 'Two', 'v@example.org', 3) RETURNING id),"
        " a AS (INSERT INTO person_address (person_id, city) SELECT id, 'Uster' FROM p)"
        " SELECT id FROM p",
    )
    sale = value(
        shop.conn,
        "INSERT INTO sale (customer_id, sold_at, total) VALUES (%s, '2025-01-01 12:00+01', 1.98)"
        " RETURNING id",
        [buyer],
    )
    shop.conn.execute(
        "INSERT INTO sale_line (sale_id, track_id, unit_price_cents, quantity)"
        " VALUES (%s, 1, 99, 2)",
        [sale],
    )
    shop.conn.execute(
        "INSERT INTO person (kind, first_name, last_name, manager_id)"
        " SELECT 'employee', 'Emil', 'Two', id FROM person WHERE employee_number = 2"
    )
    asked = (
        "SELECT c.first_name, c.city, i.invoice_date::text, l.unit_price::text, l.quantity,"
        " e.employee_id > 8 FROM customer c JOIN invoice i USING (customer_id)"
        " JOIN invoice_line l USING (invoice_id), employee e"
        " WHERE c.last_name = 'Two' AND e.last_name = 'Two' AND e.reports_to = 2"
    )
    expected = ("Vera", "Uster", "2025-01-01 11:00:00", "0.99", 2, True)
    assert one(shop.conn, asked) == expected
    for table in TABLES:
        steps(shop.url, table, "rollback")
    assert one(shop.conn, asked) == expected


def test_the_statements_of_the_application_do_what_their_names_say(shop: Shop) -> None:
    refused = {
        name: found[-1][0]
        for name, statements in WRITES.items()
        if isinstance((found := answers(shop.twin, statements))[-1][0], str)
    }
    assert refused == REFUSED
    empty = {name for name, query in QUERIES.items() if not shop.twin.execute(query).fetchall()}
    assert empty == set()


@pytest.mark.parametrize("script", [SAMPLE, SCRIPT], ids=["stand-in", "public data"])
def test_the_mapping_files_know_the_tables_as_they_are(conn: Connection, script: Path) -> None:
    if not script.is_file():
        script = SAMPLE
    conn.execute(script.read_bytes())
    conn.execute((FOLDER / "targets.sql").read_bytes())
    for table in TABLES:
        known = mapping(table)
        for expected in (known.legacy, *known.tables):
            assert catalog.reflect_table(conn, expected.name) == expected


def test_every_command_of_the_readme_runs_in_the_order_in_which_it_stands(url: str) -> None:
    commands = [c for block in blocks(FOLDER / "README.md", "sh") for c in block.splitlines()]
    assert len(commands) > 15
    for command in commands:
        finished = run(command, url)
        assert finished.returncode == 0, f"{command}\n{finished.stdout}{finished.stderr}"
