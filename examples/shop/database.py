"""Connections, and the shop's one rule for trying a transaction again.
Refused for a passing reason, or cut off before COMMIT was sent: nothing happened, so try again.
"""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

T = TypeVar("T")

# Serialisation failure, deadlock, lock not available.
PASSING: Final = frozenset({"40001", "40P01", "55P03"})
# Connection exceptions, and a server that shuts down, crashes or starts.
CONNECTION_CLASSES: Final = ("08", "57P")


class ShopError(Exception):
    """Something that the person at the keyboard can mend; its text says how."""


class OutcomeUnknown(Exception):
    """The connection broke during COMMIT: the transaction happened, or it did not."""


class Database:
    """A place to run short transactions, each again and again until it is through."""

    def __init__(self, url: str, *, patience: float = 60.0) -> None:
        """Take anything that libpq takes as `url`; give up on one transaction after `patience`."""
        self.patience = patience
        self.retries = 0
        self.engine: Engine = create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(url)
        )

    def run(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns, once its transaction is committed."""
        give_up = time.monotonic() + self.patience
        pause = 0.002
        while True:
            try:
                return self._once(work)
            except DBAPIError as error:
                if not is_passing(error) or time.monotonic() > give_up:
                    raise
            self.retries += 1
            time.sleep(pause * random.uniform(0.5, 1.5))  # or those who collided collide again
            pause = min(pause * 2, 0.5)

    def read(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns, which changes nothing: it may run twice."""
        while True:
            try:
                return self.run(work)
            except OutcomeUnknown:
                continue

    def _once(self, work: Callable[[Session], T]) -> T:
        with Session(self.engine, expire_on_commit=False) as session:
            result = work(session)
            session.flush()
            try:
                session.commit()
            except DBAPIError as error:
                if is_lost(error):
                    raise OutcomeUnknown from error
                raise
            return result

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE behind an error, if the database had the time to send one."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_lost(error: DBAPIError) -> bool:
    """Tell whether the connection is gone, or never came to be."""
    state = sqlstate(error)
    if state is None:
        return error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)
    return state.startswith(CONNECTION_CLASSES)


def is_passing(error: DBAPIError) -> bool:
    """Tell whether the same transaction may well succeed in a moment."""
    return sqlstate(error) in PASSING or is_lost(error)


def connect(url: str) -> psycopg.Connection:
    """Open one plain connection, or say in one line why that cannot be done."""
    try:
        return psycopg.connect(url)
    except psycopg.ProgrammingError:
        # libpq quotes the part that it does not understand, which may be the password.
        raise ShopError("The URL is not one: write postgresql://user@host:port/database.") from None
    except psycopg.OperationalError as error:
        raise ShopError(f"Cannot connect: {' '.join(str(error).split())}") from None
