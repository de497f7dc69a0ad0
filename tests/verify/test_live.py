"""Tables that applications go on writing: a run ends, and raises no false alarm.

`make soak` does twenty runs on each (VERIFY_RUNS), one of which would be enough to lose trust.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest

import verify
from compat.compile import swap
from compat.mapping import Mapping
from tests.verify import journey, mutations
from tests.verify.journey import Connection
from verify.report import Status

pytestmark = pytest.mark.proof

RUNS = int(os.environ.get("VERIFY_RUNS", "1"))


@dataclass(frozen=True)
class Live:
    """A migration and what its applications say, again and again.

    :param statements: each takes a number, by the name of `n`
    """

    name: str
    make: Callable[[Connection], Mapping]
    statements: tuple[str, ...]


_LINES = (
    "UPDATE order_line_items SET qty = 1 + qty %% 9, deleted = NOT deleted "
    "WHERE id = 100 + %(n)s %% 20",
    "INSERT INTO order_line_items (order_id, product_id, line_no, price) "
    "VALUES (1 + %(n)s %% 60, 1, %(n)s, '3.5')",
    "DELETE FROM order_line_items WHERE line_no = %(n)s - 200 AND line_no > 1000",
)
_CUSTOMERS = (
    "UPDATE customers SET street = 'street ' || %(n)s, vip = NOT vip WHERE id = 10 + %(n)s %% 20",
    "UPDATE customers SET street = NULL, city = NULL WHERE id = 10 + %(n)s %% 20",
    "INSERT INTO customers (name, city) VALUES ('new', nullif(%(n)s %% 3, 0)::text)",
    "DELETE FROM customers WHERE id = (SELECT max(id) FROM customers WHERE name = 'new')",
)
LIVE = (
    Live("triggers", journey.shop_mapping, _LINES),
    Live("bridge", mutations.bridged_shop, _LINES),
    Live("half", mutations.customers, _CUSTOMERS),
)


@contextmanager
def applications(url: str, live: Live) -> Iterator[list[str]]:
    """Let two sessions write as long as the block lasts; yields the errors that they meet."""
    stop = threading.Event()
    errors: list[str] = []

    def work(n: int) -> None:
        with psycopg.connect(url, autocommit=True) as application:
            while not stop.wait(0.002):
                n += 2
                for statement in live.statements:
                    try:
                        application.execute(statement, {"n": n})
                    except psycopg.errors.SerializationFailure:
                        continue  # as applications do
                    except psycopg.Error as error:
                        errors.append(str(error))
                        return

    workers = [threading.Thread(target=work, args=(1000 + first,)) for first in (0, 1)]
    for worker in workers:
        worker.start()
    try:
        yield errors
    finally:
        stop.set()
        for worker in workers:
            worker.join()


@pytest.mark.parametrize("is_cutover", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("live", LIVE, ids=lambda live: live.name)
def test_a_table_that_is_written_all_the_time_verifies_without_false_alarm(
    conn: Connection, url: str, live: Live, is_cutover: bool
) -> None:
    mapping = live.make(conn)
    journey.copied(conn, mapping)
    if is_cutover:
        journey.cut_over(conn, mapping)
    with applications(url, live) as errors:
        reports = [verify.run(conn) for _ in range(RUNS)]
    assert errors == []
    results = [result for report in reports for result in report.results]
    alarms = [r for r in results if r.status is Status.DOES_NOT_HOLD]
    assert [(r.check, r.summary, r.findings[:1]) for r in alarms] == []
    # A probe may meet locked rows each time; whatever only reads gets its answer.
    hindered = [r for r in results if r.status is Status.NOT_RUN]
    assert [(r.check, r.summary) for r in hindered if r.check != "probes"] == []
    seconds = [sum(result.seconds for result in report.results) for report in reports]
    print(f"{len(reports)} runs, at most {max(seconds):.1f} s; probes not run: {len(hindered)}")


def test_a_cutover_between_two_checks_of_a_run_gives_no_false_alarm(
    conn: Connection, url: str
) -> None:
    mapping = journey.shop_mapping(conn)
    journey.copied(conn, mapping)
    swaps: list[Future[None]] = []

    with (
        psycopg.connect(url, autocommit=True) as other,
        psycopg.connect(url, autocommit=True) as watch,
        ThreadPoolExecutor(1) as thread,
    ):

        def swap_next(_: str, check: str) -> None:
            """Queue a swap behind the check, which holds the tables; it comes when that ends."""
            if check not in ("losses", "structure"):
                return
            steps = swap.uncutover if len(swaps) % 2 else swap.cutover
            swaps.append(thread.submit(journey.run, other, steps(mapping)))
            pids = (conn.info.backend_pid, other.info.backend_pid)
            while watch.execute("SELECT %s = ANY (pg_blocking_pids(%s))", pids).fetchone() != (
                True,
            ):
                assert not swaps[-1].done()

        reports = [verify.run(conn, on_start=swap_next) for _ in range(3)]
    assert [future.exception() for future in swaps] == [None] * 6
    assert [r for report in reports for r in report.results if r.status is not Status.HOLDS] == []
