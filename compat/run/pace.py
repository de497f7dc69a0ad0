"""The pace of a copy: how many rows at once, how many a second, and when to wait for replicas.

Small batches keep writers from waiting for row locks; their size follows from the time they take.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from compat.connection import Connection
from compat.errors import CompatError
from compat.run import defaults

SMALLEST_BATCH, LARGEST_BATCH = 100, 100_000
_LAG_PAUSE = 0.2
_LONGEST_SLEEP = 0.5


@dataclass(frozen=True)
class Pace:
    """How fast one worker goes.

    :param batch_size: rows in the first transaction
    :param batch_seconds: how long a transaction should take: its size is adapted; 0 keeps the size
    :raises CompatError: a number that is none, or infinite
    :param rows_per_second: at most, None for as fast as it goes
    :param pause: seconds between two transactions
    :param max_lag: bytes of WAL that a replica may have yet to replay, None for any number
    """

    batch_size: int = defaults.BATCH_SIZE
    batch_seconds: float = defaults.BATCH_SECONDS
    rows_per_second: float | None = None
    pause: float = defaults.PAUSE
    max_lag: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be slept."""
        for number in (self.batch_seconds, self.rows_per_second, self.pause):
            if number is not None and not math.isfinite(number):
                raise CompatError(
                    f"the pace cannot be {number}", "give a number of rows or seconds"
                )

    def first_size(self) -> int:
        """Return the rows of the first batch."""
        return self._limited(self.batch_size)

    def next_size(self, size: int, rows: int, seconds: float) -> int:
        """Return the rows of the next batch, after one of `rows` out of `size` took so long.

        At most twice as many and at least half of it: one slow batch says little of the next.
        """
        if rows < size:
            return self._limited(size)
        if self.batch_seconds <= 0:  # a row that was refused may have made it smaller
            return self._limited(max(size, min(2 * size, self.batch_size)))
        factor = self.batch_seconds / max(seconds, 1e-6)
        wanted = round(size * min(max(factor, 0.5), 2.0))
        smallest, largest = min(size, SMALLEST_BATCH), max(size, LARGEST_BATCH)
        return self._limited(min(max(wanted, smallest), largest))

    def _limited(self, size: int) -> int:
        """Under a throttle, never more at once than it allows for one second."""
        if self.rows_per_second is None:
            return size
        return min(size, max(1, int(self.rows_per_second)))

    def rest(
        self, conn: Connection, rows: int, seconds: float, is_wanted: Callable[[], bool]
    ) -> None:
        """Sleep after a batch of so many rows that took so long, as long as the pace demands.

        :param is_wanted: asked now and then; once it is False nobody waits for the rest
        """
        owed = self.pause
        if self.rows_per_second is not None:
            owed = max(owed, rows / self.rows_per_second - seconds)
        until = time.monotonic() + owed
        while (left := until - time.monotonic()) > 0 and is_wanted():
            time.sleep(min(left, _LONGEST_SLEEP))
        while self.max_lag is not None and _lag(conn) > self.max_lag and is_wanted():
            time.sleep(_LAG_PAUSE)


def bytes_of(conn: Connection, size: str) -> int:
    """Return the bytes of a size as PostgreSQL reads it, such as `64MB`.

    :raises CompatError: it is none
    """
    try:
        row = conn.execute("SELECT pg_size_bytes(%s)", [size]).fetchone()
    except psycopg.DataError:
        row = None
    if row is None or row[0] < 0:
        raise CompatError(f"{size!r} is no size", "write it as 64MB, 512kB or 1GB")
    return int(row[0])


def check_lag_is_visible(conn: Connection) -> None:
    """Look whether this role is shown how far the replicas are.

    :raises CompatError: it is not, though there are replicas
    """
    hidden = conn.execute(
        "SELECT 1 FROM pg_catalog.pg_stat_replication WHERE state IS NULL LIMIT 1"
    ).fetchone()
    if hidden is not None:
        raise CompatError(
            "the replication lag is not visible to this role",
            "GRANT pg_monitor to it, or copy without --max-lag",
        )


def _lag(conn: Connection) -> int:
    """Return the bytes of WAL that the slowest replica has yet to replay; 0 without replicas."""
    # Batches do not wait until their part of the log is written.
    row = conn.execute(
        "SELECT max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), replay_lsn))"
        " FROM pg_catalog.pg_stat_replication WHERE replay_lsn IS NOT NULL"
    ).fetchone()
    return int(row[0] or 0) if row else 0
