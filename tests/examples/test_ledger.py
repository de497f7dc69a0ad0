"""The workers, and the check of what they wrote down.
A check that finds nothing is worth as much as the faults that it would have found.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from compat.database import provide_database
from examples.shop import operations
from examples.shop.database import Database, ShopError
from examples.shop.ledger import BOARD, BOARD_ID, Ledger, Verdict, check
from examples.shop.load import load
from examples.shop.operations import NewLine
from examples.shop.states import read_orders
from examples.shop.worker import Worker
from tests.examples.conftest import run_baseline


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The ledger of a worker."""
    return tmp_path / "worker-0.jsonl"


def work(shop: Database, book: Path, *, number: int = 0, at_most: int = 150) -> None:
    with Ledger(book, number) as ledger:
        worker = Worker(shop, ledger, number=number, workers=2, seed=1)
        worker.run(lambda: False, at_most=at_most)


def verdict(shop: Database, *books: Path, table: str | None = None) -> Verdict:
    return shop.run(lambda session: check(session, books, table))


def test_check_of_an_honest_ledger_finds_nothing(shop: Database, book: Path) -> None:
    work(shop, book)

    found = verdict(shop, book)

    assert found.discrepancies == ()
    assert found.refused == ()
    assert found.acknowledged >= 150
    assert found.unknown == 0
    assert found.orders > 10
    assert found.lines > 30
    assert found.longest_stall > 0


def test_worker_makes_use_of_every_operation(shop: Database, book: Path) -> None:
    work(shop, book, at_most=600)

    entries = [json.loads(line) for line in book.read_text(encoding="utf-8").splitlines()]
    actions = {entry["action"] for entry in entries if entry["kind"] == "intent"}
    assert actions == {
        "place_order",
        "look",
        "add_line",
        "change_quantity",
        "set_price",
        "write_note",
        "claim",
        "ship",
        "cancel",
        "soft_delete",
        "delete",
        "take_back",
        "drop_order",
        "search",
    }
    assert any(entry.get("order", "").startswith("#") for entry in entries)


def test_check_looks_at_another_relation_when_told_to(shop: Database, book: Path) -> None:
    work(shop, book)
    shop.run(
        lambda session: session.execute(
            text("CREATE TABLE other AS SELECT * FROM order_line_items WHERE line_no <> 2")
        )
    )

    assert verdict(shop, book).discrepancies == ()
    found = verdict(shop, book, table="other").discrepancies
    assert found
    assert all("line 2 is not there" in text or "so saw" in text for text in found)


# A line of a worker's own that nothing else refers to, and one of those that all count on.
OWN = """
    (SELECT min(i.id) FROM order_line_items i JOIN orders o ON o.id = i.order_id
     WHERE o.customer_name LIKE 'Worker 0,%'
     AND NOT EXISTS (SELECT FROM order_line_returns r WHERE r.line_item_id = i.id))
"""
HOT = f"(SELECT id FROM order_line_items WHERE order_id = {BOARD_ID} ORDER BY qty DESC LIMIT 1)"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (f"DELETE FROM order_line_items WHERE id = {OWN}", "is not there"),
        (f"UPDATE order_line_items SET qty = qty + 1 WHERE id = {OWN}", ": qty is"),
        (f"UPDATE order_line_items SET price = '0.07' WHERE id = {OWN}", ": price is '0.07'"),
        (f"UPDATE order_line_items SET status = 1 + status % 4 WHERE id = {OWN}", ": status is"),
        (f"UPDATE order_line_items SET deleted = NOT deleted WHERE id = {OWN}", ": deleted is"),
        (f"UPDATE order_line_items SET created = created - 3600 WHERE id = {OWN}", ": created is"),
        (f"UPDATE order_line_items SET note = 'mine' WHERE id = {OWN}", ": note is 'mine'"),
        (f"UPDATE order_line_items SET id = 777777 WHERE id = {OWN}", ": id is 777777"),
        (
            f"UPDATE order_line_items SET product_id = 1 + product_id % 9 WHERE id = {OWN}",
            ": product_id is",
        ),
        (
            f"INSERT INTO order_line_returns (line_item_id, qty) VALUES ({OWN}, 1)",
            ": returned is 1 and should be 0",
        ),
        (
            "INSERT INTO order_line_items (order_id, product_id, line_no)"
            f" SELECT order_id, 1, 99 FROM order_line_items WHERE id = {OWN}",
            "line 99 should not be there",
        ),
        (
            f"INSERT INTO order_line_items (order_id, product_id, line_no)"
            f" VALUES ({BOARD_ID}, 1, 9999)",
            "line 9999 should not be there",
        ),
        (
            "INSERT INTO orders (customer_name) VALUES ('Worker 0, of whom nobody knows')",
            "of whom nobody knows: nobody ever placed it",
        ),
        (
            "INSERT INTO orders (customer_name) SELECT customer_name FROM orders JOIN"
            f" order_line_items i ON i.order_id = orders.id WHERE i.id = {OWN}",
            "it is there 2 times",
        ),
        (
            "ALTER TABLE order_line_items DROP CONSTRAINT order_line_items_order_line_key;"
            " INSERT INTO order_line_items (order_id, product_id, line_no)"
            f" SELECT order_id, 1, line_no FROM order_line_items WHERE id = {OWN}",
            "is there twice",
        ),
        (
            "ALTER TABLE order_line_items DROP CONSTRAINT order_line_items_order_id_fkey;"
            " DELETE FROM orders"
            f" WHERE id = (SELECT order_id FROM order_line_items WHERE id = {OWN})",
            "its lines are there, though it is gone itself",
        ),
        (f"UPDATE order_line_items SET qty = qty + 1 WHERE id = {HOT}", ": qty is"),
        (f"UPDATE order_line_items SET qty = qty - 1 WHERE id = {HOT}", ": qty is"),
    ],
)
def test_check_finds_a_planted_fault_and_nothing_else(
    shop: Database, book: Path, fault: str, words: str
) -> None:
    work(shop, book, at_most=80)

    def planted(session: Session) -> tuple[str, ...]:
        for statement in fault.split(";"):
            session.execute(text(statement))
        return check(session, [book]).discrepancies

    found = shop.run(planted)

    assert any(words in text for text in found), found
    assert len({text.split(":")[0] for text in found}) == 1
    assert len(found) <= 2


def test_check_finds_a_lost_acknowledgement(shop: Database, book: Path) -> None:
    work(shop, book, at_most=30)
    with Ledger(book, 0) as ledger:
        lines = {"1": {"product_id": 1, "qty": 1, "price": "1.00"}}
        promised = ledger.intend("place_order", "Worker 0, lost", {"lines": lines})
        ledger.acknowledge(promised, {"rows": 1, "ids": {"1": 5555}, "order_id": 5555}, 0.1, 0)

    assert verdict(shop, book).discrepancies == ("order Worker 0, lost: it is not there",)


def test_check_finds_a_change_that_was_told_the_wrong_number_of_rows(
    shop: Database, book: Path
) -> None:
    with Ledger(book, 0) as ledger:
        lines = {"1": {"product_id": 1, "qty": 1, "price": "1.00"}}
        order_id, (line_id,) = shop.run(
            lambda session: operations.place_order(session, "Worker 0", [NewLine(1, 1, 1, "1.00")])
        )
        ledger.acknowledge(
            ledger.intend("place_order", "Worker 0", {"lines": lines}),
            {"rows": 1, "ids": {"1": line_id}, "order_id": order_id},
            0.1,
            0,
        )
        shop.run(lambda session: operations.claim(session, line_id))
        claim = ledger.intend("claim", "Worker 0", {"line_no": 1})
        ledger.acknowledge(claim, {"rows": 0}, 0.1, 0)

    assert verdict(shop, book).discrepancies == (
        f"order Worker 0: claim {claim.name} was told 0 rows, not 1",
    )


def test_check_finds_a_line_that_two_workers_claimed(shop: Database, tmp_path: Path) -> None:
    books = [tmp_path / "0", tmp_path / "1"]
    work(shop, books[0], at_most=10)
    work(shop, books[1], number=1, at_most=10)
    board = shop.run(lambda session: read_orders(session, [BOARD_ID]))[BOARD_ID]
    number, line_id = next((n, line.id) for n, line in board.items() if line.status == "pending")
    assert line_id is not None
    names = []
    for worker, path in enumerate(books):
        shop.run(
            lambda session: session.execute(
                text("UPDATE order_line_items SET status = 1 WHERE id = :id"), {"id": line_id}
            )
        )
        with Ledger(path, worker) as ledger:
            claim = ledger.intend("claim", BOARD, {"line_no": number, "line_id": line_id})
            rows = shop.run(lambda session: operations.claim(session, line_id))
            ledger.acknowledge(claim, {"rows": rows}, 0.1, 0)
            names.append(claim.name)

    assert verdict(shop, *books).discrepancies == (
        f"order {BOARD}: line {number} was claimed 2 times: {names[0]}, {names[1]}",
    )


def place_both(session: Session) -> None:
    lines = [NewLine(1, 1, 2, "1.00"), NewLine(2, 2, 3, "2.00")]
    operations.place_order(session, "Worker 0, unheard", lines)


def place_half(session: Session) -> None:
    operations.place_order(session, "Worker 0, unheard", [NewLine(1, 1, 2, "1.00")])


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (None, ()),
        (place_both, ()),
        (place_half, ("order Worker 0, unheard: line 2 is not there",)),
    ],
)
def test_order_of_unknown_outcome_is_there_as_a_whole_or_not_at_all(
    shop: Database,
    book: Path,
    happened: Callable[[Session], None] | None,
    expected: tuple[str, ...],
) -> None:
    work(shop, book, at_most=30)
    with Ledger(book, 0) as ledger:
        lines = {
            "1": {"product_id": 1, "qty": 2, "price": "1.00"},
            "2": {"product_id": 2, "qty": 3, "price": "2.00"},
        }
        ledger.intend("place_order", "Worker 0, unheard", {"lines": lines})
    if happened is not None:
        shop.run(happened)

    found = verdict(shop, book)

    assert found.unknown == 1
    assert found.discrepancies == expected


@pytest.mark.parametrize(("times", "faults"), [(0, 0), (1, 0), (2, 1)])
def test_counting_of_unknown_outcome_may_have_counted_once(
    shop: Database, book: Path, times: int, faults: int
) -> None:
    work(shop, book, at_most=30)
    board = shop.run(lambda session: read_orders(session, [BOARD_ID]))[BOARD_ID]
    line_id = board[1].id
    assert line_id is not None
    with Ledger(book, 0) as ledger:
        ledger.intend("change_quantity", BOARD, {"line_no": 1, "line_id": line_id, "by": 1})
    for _ in range(times):
        shop.run(lambda session: operations.change_quantity(session, line_id, by=1))

    assert len(verdict(shop, book).discrepancies) == faults


def test_ledger_torn_by_a_kill_is_continued_and_read(shop: Database, book: Path) -> None:
    work(shop, book, at_most=40)
    # Torn in the middle of the last answer: what it answers is of unknown outcome now.
    book.write_bytes(book.read_bytes()[:-20])
    assert verdict(shop, book).unknown == 1

    work(shop, book, at_most=40)

    found = verdict(shop, book)
    assert found.unknown == 1
    assert found.discrepancies == ()


@pytest.mark.parametrize("content", ["hello\nworld\n", '{"kind": "ack", "op": "x/1"}\n', "[1]\n"])
def test_file_that_is_no_ledger_is_refused(shop: Database, book: Path, content: str) -> None:
    book.write_text(content)

    with pytest.raises(ShopError, match=r"worker-0\.jsonl, line 1: this is not a line of a ledger"):
        verdict(shop, book)


def test_a_worker_goes_home_when_the_database_is_gone_and_does_not_come_back(book: Path) -> None:
    with ExitStack() as stack, Ledger(book, 0) as ledger:
        server = stack.enter_context(provide_database(own=True, in_memory=True))
        shop = Database(server.url, patience=0.1)
        run_baseline(shop, "upgrade")
        with psycopg.connect(server.url) as connection:
            load(connection, 100, 1)
        asked = count()

        def server_goes_after_a_while() -> bool:
            if next(asked) == 5:
                stack.close()
            return False

        with pytest.raises(ShopError, match="gone"):
            Worker(shop, ledger, number=0, workers=1, seed=1).run(server_goes_after_a_while)
        shop.close()
