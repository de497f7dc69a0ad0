"""The shop's command line: load, work, check, report.
Run it as `python -m shop`, with the folder that holds the shop in PYTHONPATH.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from . import ledger, reports
from .database import Database, ShopError, connect
from .load import load
from .worker import Worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 for yes, 1 for no, 2 for a question that makes no sense."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        if not options.url:
            raise ShopError("Say which database: --url postgresql://… or DATABASE_URL.")
        return command(options)
    except ShopError as error:
        print(f"shop: {error}", file=sys.stderr)
    except (SQLAlchemyError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        print(f"shop: the database said: {str(cause).strip().splitlines()[0]}", file=sys.stderr)
    return 2


def _load(options: argparse.Namespace) -> int:
    with connect(options.url) as connection:
        loaded = load(connection, options.rows, options.seed)
    print(
        f"Loaded {loaded.lines:,} lines of {loaded.orders:,} orders over {loaded.products:,}"
        f" products, {loaded.returns:,} of them returned."
    )
    return 0


def _work(options: argparse.Namespace) -> int:
    if not 0 <= options.worker < options.workers:
        raise ShopError("--worker counts from 0 and is below --workers.")
    if options.rate is not None and options.rate <= 0:
        raise ShopError("--rate is a number of operations per second, above 0.")
    with (
        _told_to_stop(options.stop_file) as stop,
        _database(options.url) as database,
        ledger.Ledger(options.ledger, options.worker) as book,
    ):
        summary = Worker(
            database, book, number=options.worker, workers=options.workers, seed=options.seed
        ).run(stop, at_most=options.operations, rate=options.rate)
    print(json.dumps({"worker": options.worker, **asdict(summary)}))
    return 1 if summary.refused else 0


def _check(options: argparse.Namespace) -> int:
    with _database(options.url) as database:
        verdict = database.read(
            lambda session: ledger.check(session, options.ledgers, options.table)
        )
    if options.json:
        print(json.dumps(asdict(verdict), ensure_ascii=False, indent=2))
    else:
        print("\n".join(verdict.in_words()))
    return 1 if verdict.discrepancies else 0


def _report(options: argparse.Namespace) -> int:
    with _database(options.url) as database:
        print("\n".join(database.read(lambda session: list(reports.written(session)))))
    return 0


@contextmanager
def _database(url: str) -> Iterator[Database]:
    connect(url).close()  # to say at once what is wrong with it, where the shop would try again
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _told_to_stop(stop_file: Path | None) -> Iterator[Callable[[], bool]]:
    """Finish the operation at hand, and no more, after SIGTERM, Ctrl-C or the stop file."""
    told = False

    def tell(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = True

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: told or (stop_file is not None and stop_file.exists())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="shop", description="A small shop, and its ledger.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> _Add:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=run)
        added.add_argument(
            "--url", default=os.environ.get("DATABASE_URL"), help="default: DATABASE_URL"
        )
        return added.add_argument

    add = command("load", _load, "Fill empty tables with years of business.")
    add("--rows", type=int, default=100_000, help="order lines (100000)")
    add("--seed", type=int, default=1, help="the same seed gives the same rows (1)")

    add = command("work", _work, "Do business until told to stop (SIGTERM or --stop-file).")
    add("--ledger", type=Path, required=True, metavar="FILE", help="append what happens to it")
    add("--worker", type=int, default=0, metavar="N", help="which of them this is (0)")
    add("--workers", type=int, default=1, metavar="M", help="how many work at a time (1)")
    add("--seed", type=int, default=1, help="the same seed gives the same choices (1)")
    add("--stop-file", type=Path, metavar="FILE", help="stop as soon as it exists")
    add("--rate", type=float, metavar="R", help="do at most so many in a second")
    add("--operations", type=int, metavar="K", help="stop after so many")

    add = command("check", _check, "Compare the database with the ledgers of all workers.")
    add("ledgers", type=Path, nargs="+", metavar="LEDGER")
    add("--table", metavar="NAME", help="look at another relation with the lines' columns")
    add("--json", action="store_true", help="print the verdict as JSON")

    command("report", _report, "Print what the owner reads in the morning.")
    return parser


_Add = Callable[..., argparse.Action]

if __name__ == "__main__":
    sys.exit(main())
