"""The shop as its users start it: several processes on one database.
Whatever way they end, the ledgers agree with the database.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from examples.shop.__main__ import main
from examples.shop.database import Database

EXAMPLES = Path(__file__).parents[2] / "examples"


def start(url: str, *arguments: str | Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES), "DATABASE_URL": url}
    return subprocess.Popen(
        [sys.executable, "-m", "shop", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(url: str, *arguments: str | Path) -> tuple[int, str, str]:
    process = start(url, *arguments)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def wait_for_lines(path: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until a worker has written so many lines; fail if it ends before that."""
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            raise AssertionError(process.communicate())


def test_four_workers_at_once_lose_nothing(shop: Database, url: str, tmp_path: Path) -> None:
    books = [tmp_path / f"{number}.jsonl" for number in range(4)]
    workers = [
        start(url, "work", "--ledger", book, "--worker", str(n), "--workers=4", "--operations=250")
        for n, book in enumerate(books)
    ]
    summaries = []
    for worker in workers:
        output, errors = worker.communicate(timeout=60)
        assert (worker.returncode, errors) == (0, "")
        summaries.append(json.loads(output))

    code, output, errors = run(url, "check", "--json", *books)

    verdict = json.loads(output)
    assert (code, verdict["discrepancies"], errors) == (0, [], "")
    assert verdict["acknowledged"] == sum(summary["acknowledged"] for summary in summaries)
    assert verdict["acknowledged"] >= 1000
    assert verdict["unknown"] == 0


def test_workers_whose_connections_are_cut_lose_nothing(
    shop: Database, url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    books = [tmp_path / f"{number}.jsonl" for number in range(2)]
    workers = [
        start(url, "work", "--ledger", book, "--worker", str(n), "--workers=2", "--operations=400")
        for n, book in enumerate(books)
    ]
    cut = 0
    for lines in range(50, 550, 50):
        wait_for_lines(books[0], lines, workers[0])
        cut += conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        ).rowcount
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert (worker.returncode, errors) == (0, "")

    code, output, _ = run(url, "check", *books)

    assert cut >= 5
    assert (code, output.splitlines()[1:]) == (0, [output.splitlines()[1]])
    assert "no discrepancies" in output


def test_worker_that_was_killed_is_followed_by_one_that_is_told_to_stop(
    shop: Database, url: str, tmp_path: Path
) -> None:
    book = tmp_path / "0.jsonl"
    killed = start(url, "work", "--ledger", book)
    wait_for_lines(book, 100, killed)
    killed.kill()
    killed.communicate(timeout=60)
    written = book.read_bytes().count(b"\n")

    told = start(url, "work", "--ledger", book)
    wait_for_lines(book, written + 100, told)
    told.send_signal(signal.SIGTERM)
    output, errors = told.communicate(timeout=60)

    assert (told.returncode, errors) == (0, "")
    assert json.loads(output)["unknown"] == 0
    assert run(url, "check", book)[0] == 0


def test_worker_stops_when_the_stop_file_is_there(shop: Database, url: str, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()

    code, output, _ = run(url, "work", "--ledger", tmp_path / "0", "--stop-file", tmp_path / "stop")

    assert code == 0
    assert json.loads(output)["acknowledged"] == 1  # the board is put up before work begins


def test_worker_that_is_refused_says_so_and_goes_on(
    shop: Database, url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    conn.execute("ALTER TABLE order_line_items ADD CHECK (note <> 'urgent')")

    code, output, _ = run(url, "work", "--ledger", tmp_path / "0", "--operations=100")

    assert code == 1
    ((state, times),) = json.loads(output)["refused"]
    assert state == "23514"
    assert times > 0
    code, output, _ = run(url, "check", tmp_path / "0")
    assert code == 0
    assert f"{times} refused with 23514." in output


def test_check_prints_discrepancies_and_ends_with_one(
    shop: Database, url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    run(url, "work", "--ledger", tmp_path / "0", "--operations=20")
    conn.execute("INSERT INTO orders (customer_name) VALUES ('Worker 9')")

    code, output, _ = run(url, "check", tmp_path / "0")

    assert code == 1
    assert "1 discrepancies.\norder Worker 9: nobody ever placed it" in output


def test_load_and_report_on_an_empty_shop(database: Database, url: str) -> None:
    code, output, _ = run(url, "load", "--rows=300")
    assert (code, output.startswith("Loaded 300 lines of ")) == (0, True)

    code, output, _ = run(url, "report")
    assert (code, output.startswith("Lines by state\n  pending")) == (0, True)


@pytest.mark.parametrize(
    ("url_of_nothing", "arguments", "message"),
    [
        ("", ["report"], "Say which database"),
        ("postgresql://bob:hunter2@[/shop", ["report"], "The URL is not one"),
        ("hunter2", ["report"], "The URL is not one"),
        ("postgresql://bob:hunter2@127.0.0.1:1/shop", ["report"], "Cannot connect: "),
        (None, ["work", "--ledger", "/nowhere/at/all"], "Cannot write the ledger /nowhere/at/all"),
        (None, ["work", "--ledger", "unused", "--worker=3"], "--worker counts from 0"),
        (None, ["work", "--ledger", "unused", "--rate=0"], "--rate is a number"),
        (None, ["check", "/nowhere/at/all"], "Cannot read the ledger /nowhere/at/all"),
        (None, ["report"], 'relation "order_line_items" does not exist'),
        (None, ["load"], 'relation "orders" does not exist'),
        (None, ["load", "--rows=0"], "Ask for at least one row"),
    ],
)
def test_mistake_of_a_user_is_explained_in_one_line(
    url: str,
    url_of_nothing: str | None,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = url if url_of_nothing is None else url_of_nothing

    code = main([*arguments, "--url", address])

    output, errors = capsys.readouterr()
    assert (code, output) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert "hunter2" not in errors


def test_worker_without_anything_to_sell_says_what_to_do(
    database: Database, url: str, tmp_path: Path
) -> None:
    code, _, errors = run(url, "work", "--ledger", tmp_path / "0")

    assert code == 2
    assert errors == "shop: There are no products to sell: load some first.\n"
