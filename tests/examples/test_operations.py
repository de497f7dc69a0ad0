"""Each operation of the shop, and each of its reports.
A freshly loaded shop has 200 lines; these tests look at orders of their own.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from examples.shop import operations, reports
from examples.shop.database import Database, OutcomeUnknown, sqlstate
from examples.shop.operations import NewLine
from examples.shop.states import Line, read_orders, total

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
TWO_LINES = (
    NewLine(product_id=1, line_no=1, qty=2, price="12.50"),
    NewLine(product_id=2, line_no=2, qty=1, price="0.99", note='it\'s a "gift"'),
)
Change = Callable[..., int]


def placed(shop: Database) -> tuple[int, list[int]]:
    return shop.run(lambda session: operations.place_order(session, "Grace", TWO_LINES, at=NOON))


def do(shop: Database, change: Change, number: int, **details: object) -> int:
    return shop.run(lambda session: change(session, number, **details))


def lines(shop: Database, order_id: int) -> dict[int, Line]:
    return shop.run(lambda session: read_orders(session, [order_id])).get(order_id, {})


def test_placed_order_is_there_with_all_its_lines(shop: Database) -> None:
    order_id, ids = placed(shop)

    noon = int(NOON.timestamp())
    assert ids == [201, 202]
    assert lines(shop, order_id) == {
        1: Line(product_id=1, qty=2, price="12.50", id=201, created=noon),
        2: Line(product_id=2, qty=1, price="0.99", note='it\'s a "gift"', id=202, created=noon),
    }


def test_order_under_a_given_id_is_placed_once(shop: Database) -> None:
    first, second = (
        shop.run(lambda session: operations.place_order_once(session, 0, "Grace", TWO_LINES))
        for _ in range(2)
    )

    assert first == [201, 202]
    assert second == []
    assert list(lines(shop, 0)) == [1, 2]


def test_added_line_is_created_now_by_the_clock_of_the_database(shop: Database) -> None:
    order_id, _ = placed(shop)
    before = int(datetime.now(UTC).timestamp()) - 1

    added = shop.run(
        lambda session: operations.add_line(
            session, order_id, NewLine(product_id=3, line_no=3, qty=4, price="5.00")
        )
    )

    line = lines(shop, order_id)[3]
    assert line.created is not None
    assert line.created >= before
    assert line == Line(product_id=3, qty=4, price="5.00", id=added, created=line.created)


@pytest.mark.parametrize(
    ("change", "details", "changed"),
    [
        (operations.change_quantity, {"by": 3}, {"qty": 5}),
        (operations.change_quantity, {"by": -1}, {"qty": 1}),
        (operations.set_price, {"price": "7.00"}, {"price": "7.00"}),
        (operations.write_note, {"note": "100 % :now, 日本"}, {"note": "100 % :now, 日本"}),
        (operations.write_note, {"note": None}, {}),
        (operations.claim, {}, {"status": "reserved"}),
        (operations.cancel, {}, {"status": "cancelled"}),
        (operations.soft_delete, {}, {"deleted": True}),
        (operations.take_back, {"qty": 1, "reason": None}, {"returned": 1}),
    ],
)
def test_change_of_a_line_changes_that_line_and_nothing_else(
    shop: Database, change: Change, details: dict[str, Any], changed: dict[str, Any]
) -> None:
    order_id, ids = placed(shop)
    before = lines(shop, order_id)

    assert do(shop, change, ids[0], **details) == 1

    assert lines(shop, order_id) == {1: replace(before[1], **changed), 2: before[2]}


def test_line_is_claimed_shipped_and_then_too_late_to_cancel(shop: Database) -> None:
    _, (line_id, _) = placed(shop)
    steps: list[Change] = [
        operations.ship,
        operations.claim,
        operations.claim,
        operations.ship,
        operations.cancel,
    ]

    told = [do(shop, step, line_id) for step in steps]

    assert told == [0, 1, 0, 1, 0]


def test_deleted_line_is_gone_and_its_order_is_not(shop: Database) -> None:
    order_id, (first, second) = placed(shop)

    assert do(shop, operations.delete, first) == 1
    assert do(shop, operations.delete, first) == 0

    assert [line.id for line in lines(shop, order_id).values()] == [second]


def test_dropped_order_takes_its_lines_with_it(shop: Database) -> None:
    order_id, _ = placed(shop)

    assert do(shop, operations.drop_order, order_id) == 1

    assert lines(shop, order_id) == {}


@pytest.mark.parametrize(
    ("change", "details"),
    [
        (operations.change_quantity, {"by": 1}),
        (operations.set_price, {"price": "1.00"}),
        (operations.write_note, {"note": "nobody"}),
        (operations.claim, {}),
        (operations.ship, {}),
        (operations.cancel, {}),
        (operations.soft_delete, {}),
        (operations.delete, {}),
        (operations.drop_order, {}),
    ],
)
def test_change_of_what_is_not_there_changes_no_row(
    shop: Database, change: Change, details: dict[str, Any]
) -> None:
    assert do(shop, change, 9999, **details) == 0


def test_quantity_of_nothing_is_refused_by_the_check_and_not_tried_again(shop: Database) -> None:
    _, (line_id, _) = placed(shop)

    with pytest.raises(DBAPIError) as refused:
        do(shop, operations.change_quantity, line_id, by=-2)

    assert sqlstate(refused.value) == "23514"
    assert shop.retries == 0


def test_total_leaves_out_deleted_and_cancelled_lines(shop: Database) -> None:
    order_id, (first, second) = placed(shop)
    totals = []
    for change in (None, operations.soft_delete, operations.cancel):
        line_id = first if change is operations.soft_delete else second
        if change is not None:
            do(shop, change, line_id)
        totals.append(shop.run(lambda session: operations.order_total(session, order_id)))
        assert totals[-1] == total(lines(shop, order_id))

    assert totals == [Decimal("25.99"), Decimal("0.99"), Decimal(0)]


def test_pending_lines_are_those_that_nobody_has_claimed_or_deleted(shop: Database) -> None:
    order_id, (first, second) = placed(shop)
    found = []
    for change in (operations.claim, operations.soft_delete):
        found.append(
            shop.run(lambda session: operations.pending_lines(session, order_id, at_most=9))
        )
        line_id = first if change is operations.claim else second
        do(shop, change, line_id)
    found.append(shop.run(lambda session: operations.pending_lines(session, order_id, at_most=9)))

    assert found == [[(first, 1), (second, 2)], [(second, 2)], []]


def test_reports_agree_with_each_other(shop: Database) -> None:
    order_id, ids = placed(shop)
    do(shop, operations.set_price, ids[0], price="9999999.00")
    do(shop, operations.claim, ids[0])
    do(shop, operations.ship, ids[0])
    do(shop, operations.take_back, ids[0], qty=2, reason="too dear")

    by_status = shop.run(reports.by_status)
    assert sum(count.lines for count in by_status) == 202
    assert {count.status for count in by_status} == {"pending", "reserved", "shipped", "cancelled"}
    assert shop.run(reports.best_sellers)[0].revenue > 19_999_998
    largest = shop.run(reports.largest_orders)[0]
    assert (largest.order_id, largest.customer) == (order_id, "Grace")
    assert largest.total == Decimal("19999998.99")
    assert shop.run(lambda session: reports.lines_since(session, NOON)) == 2
    assert shop.run(reports.returned_pieces)[-1] == (ids[0], 2, 2)
    assert "Best sellers" in shop.run(lambda session: list(reports.written(session)))


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "57P01"])
def test_transaction_refused_for_a_passing_reason_is_tried_again(
    shop: Database, state: str
) -> None:
    tries = 0

    def refused_once(session: Session) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            session.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))
        return "through"

    assert shop.run(refused_once) == "through"
    assert (tries, shop.retries) == (2, 1)


def test_connection_lost_before_commit_is_tried_again(shop: Database) -> None:
    _, (line_id, _) = placed(shop)
    tries = 0

    def cut_off_once(session: Session) -> int:
        nonlocal tries
        tries += 1
        changed = operations.change_quantity(session, line_id, by=1)
        if tries == 1:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return changed

    assert shop.run(cut_off_once) == 1
    assert tries == 2


def test_connection_lost_at_commit_is_never_tried_again_for_it_may_have_happened(
    shop: Database, url: str
) -> None:
    _, (line_id, _) = placed(shop)
    other = Database(url)

    def cut_off_at_commit(session: Session) -> int:
        pid = session.scalar(text("SELECT pg_backend_pid()"))

        def cut_off(session: Session) -> None:
            # With a timeout it returns when the other one is gone.
            other.run(
                lambda killer: killer.execute(
                    text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}
                )
            )

        event.listen(session, "before_commit", cut_off)
        return operations.change_quantity(session, line_id, by=1)

    with pytest.raises(OutcomeUnknown):
        shop.run(cut_off_at_commit)
    other.close()
    assert shop.retries == 0
