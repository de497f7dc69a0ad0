"""The pace: sizes of batches, pauses, a throttle that the workers share, and waiting for replicas.

The replica is a connection that speaks the replication protocol, and says what it has replayed.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import pq

from compat.database import Database
from compat.errors import CompatError
from compat.mapping import Mapping
from compat.run.pace import LARGEST_BATCH, SMALLEST_BATCH, Pace, bytes_of
from tests.compat.migrations import value
from tests.run.copying import finish, seen_by_range, start_copy, until_alone, until_seen
from tests.run.support import (
    PASSWORD,
    Connection,
    changed_url,
    compat_here,
    copied_rows,
    ended,
    make_lines,
    ordinary_role,
    own,
    phase,
    same_rows,
    succeed,
    until,
    write_mapping,
)

pytestmark = pytest.mark.installed

# Sizes -------------------------------------------------------------------------------------------

SIZES = st.integers(1, 2 * LARGEST_BATCH)
SECONDS = st.floats(0, 1e6)
RATES = st.none() | st.floats(0.001, 1e7)


@given(SIZES, SIZES, SECONDS, st.floats(0.001, 60), RATES)
def test_the_next_batch_is_at_most_twice_and_at_least_half_as_large(
    first: int, size: int, seconds: float, wanted: float, rate: float | None
) -> None:
    pace = Pace(first, wanted, rate)
    following = pace.next_size(size, size, seconds)

    assert 1 <= following <= max(2 * size, 1)
    if rate is None:
        assert following >= min(size, max(size // 2, SMALLEST_BATCH))
        assert following <= max(size, LARGEST_BATCH)
        assert following >= min(size, SMALLEST_BATCH)
    if seconds > 2 * wanted:
        assert following <= max(size // 2 + 1, SMALLEST_BATCH)


@given(SIZES, SECONDS, RATES)
def test_no_batch_is_larger_than_the_throttle_allows_for_a_second(
    size: int, seconds: float, rate: float | None
) -> None:
    pace = Pace(size, 0.1, rate)
    for batch in (pace.first_size(), pace.next_size(size, size, seconds)):
        assert batch >= 1
        if rate is not None:
            assert batch <= max(rate, 1)


@given(SIZES, SECONDS)
def test_a_batch_that_was_not_full_says_nothing_of_the_next(size: int, seconds: float) -> None:
    assert Pace().next_size(size, size - 1, seconds) == size


@given(SIZES, SECONDS)
def test_a_fixed_size_stays_and_is_reached_again_after_a_refusal(
    first: int, seconds: float
) -> None:
    pace = Pace(first, batch_seconds=0)
    assert pace.next_size(first, first, seconds) == first

    size = 1
    for _ in range(first.bit_length()):
        size = pace.next_size(size, size, seconds)
    assert size == first


@given(st.floats(0.02, 10), st.integers(100, 50_000))
def test_sizes_settle_where_a_batch_takes_as_long_as_wanted(wanted: float, rate: int) -> None:
    pace = Pace(batch_seconds=wanted)
    size = pace.first_size()
    for _ in range(30):
        size = pace.next_size(size, size, size / rate)
    ideal = min(max(wanted * rate, SMALLEST_BATCH), LARGEST_BATCH)
    assert size == pytest.approx(ideal, rel=0.05, abs=1)


@pytest.mark.parametrize("option", ["--throttle", "--pause", "--batch-seconds"])
def test_a_number_that_nobody_can_wait_for_is_refused(server: Database, option: str) -> None:
    result = compat_here(server.url, "copy", "lines", option, "inf")
    assert result.code == 2
    assert "error: the pace cannot be inf" in result.err


@pytest.mark.parametrize("size", ["much", "-1", "-64MB", "64 miles", "9999999 TB", ""])
def test_a_lag_that_is_no_size_is_refused(somewhere: Connection, size: str) -> None:
    with pytest.raises(CompatError, match="is no size") as caught:
        bytes_of(somewhere, size)
    assert caught.value.hint == "write it as 64MB, 512kB or 1GB"


def test_sizes_are_read_as_postgresql_reads_them(somewhere: Connection) -> None:
    assert [bytes_of(somewhere, size) for size in ("0", "512kB", "1.5 GB")] == [0, 2**19, 3 * 2**29]


# Resting -----------------------------------------------------------------------------------------


def test_a_rest_ends_when_nobody_wants_the_next_batch(somewhere: Connection) -> None:
    asked = []

    def is_wanted() -> bool:
        asked.append(True)
        return len(asked) < 3

    Pace(pause=1e9).rest(somewhere, 1, 0.0, is_wanted)

    assert len(asked) == 3


def test_nobody_rests_without_a_reason(somewhere: Connection) -> None:
    def is_wanted() -> bool:
        raise AssertionError("asked before a sleep")

    Pace().rest(somewhere, 1_000_000, 0.0, is_wanted)
    Pace(rows_per_second=10).rest(somewhere, 10, 1.0, is_wanted)


def test_the_workers_share_what_the_throttle_allows(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    """Each of the two takes half of it at once, and has taken one batch when the other has."""
    mapping = expand(12_000)
    process = start_copy(url, "--throttle", "1000")
    until_seen(conn, 1, process)
    until(lambda: min(seen_by_range(conn)) > 0, "rows of both ranges")

    assert [seen % 500 for seen in seen_by_range(conn)] == [0, 0]
    process.kill()
    ended(process)
    until_alone(conn)
    finish(url, conn, mapping)


def test_a_pause_stands_between_two_batches_and_ctrl_c_ends_it(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(30)
    process = start_copy(url, "--batch-size", "10", "--pause", "86400")
    until_seen(conn, 10, process)
    process.send_signal(2)

    result = ended(process)

    assert result.code == 130
    assert copied_rows(conn, "lines") == 10
    finish(url, conn, mapping)


# Replicas ----------------------------------------------------------------------------------------


class Replica:
    """A physical replica as its primary sees it: a connection that reports what it has replayed.

    Protocol: https://www.postgresql.org/docs/current/protocol-replication.html. With a database in
    place of `true`, no server needs a line of its own in pg_hba.conf.
    """

    def __init__(self, url: str) -> None:
        self.conn = pq.PGconn.connect(f"{url}?replication=database".encode())
        assert self.conn.status == pq.ConnStatus.OK, self.conn.get_error_message()
        system = self.conn.exec_(b"IDENTIFY_SYSTEM")
        start = system.get_value(0, 2)
        assert start is not None
        begun = self.conn.exec_(b"START_REPLICATION PHYSICAL " + start)
        assert begun.status == pq.ExecStatus.COPY_BOTH, begun.get_error_message()

    def replayed(self, position: int) -> None:
        """Send a standby status update: everything up to there is written, flushed, replayed."""
        clock = int((time.time() - 946_684_800) * 1_000_000)
        self.conn.put_copy_data(struct.pack("!cQQQqb", b"r", *[position] * 3, clock, 0))
        self.conn.flush()
        while self.conn.get_copy_data(1)[0] > 0:  # what the primary sends, unread, would block it
            pass

    def close(self) -> None:
        self.conn.finish()


@contextlib.contextmanager
def replica(url: str) -> Iterator[Replica]:
    standby = Replica(url)
    try:
        yield standby
    finally:
        standby.close()


def position(conn: Connection) -> int:
    """How far the primary's log has come, written yet or not."""
    return int(value(conn, "SELECT pg_current_wal_insert_lsn() - '0/0'"))


def until_waiting(conn: Connection, rows: int) -> None:
    """Wait until a worker that has copied so many rows asks how far the replica is."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'compat copy worker'"
        " AND query LIKE '%pg_stat_replication%'"
    )
    until(
        lambda: copied_rows(conn, "lines") == rows and value(conn, query) == 1,
        f"a worker that waits after {rows} rows",
    )


def test_the_copy_waits_while_a_replica_lags_and_ends_when_it_has_caught_up(
    own_server: Database, tmp_path: Path
) -> None:
    """A server of its own: what other tests write would be lag too."""
    pace = ("--batch-size", "50", "--batch-seconds", "0", "--max-lag", "1kB")
    with own_server.fresh() as url, psycopg.connect(url, autocommit=True) as conn:
        mapping = make_lines(conn, 200)
        succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
        with replica(url) as standby:
            standby.replayed(position(conn))
            replayed = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn IS NOT NULL"
            until(lambda: value(conn, replayed) == 1, "what the replica says of itself")
            process = start_copy(url, *pace)
            for rows in (50, 100):
                until_waiting(conn, rows)
                standby.replayed(position(conn))
            until_waiting(conn, 150)
            assert process.poll() is None
            standby.replayed(2**62)
            result = ended(process)

        assert result.code == 0, result
        assert same_rows(conn, mapping)


def test_a_role_that_is_not_shown_the_lag_is_told_so_before_anything_is_copied(
    own_server: Database, tmp_path: Path
) -> None:
    with own_server.fresh() as url, psycopg.connect(url, autocommit=True) as conn:
        mapping = make_lines(conn)
        with ordinary_role(conn) as owner, replica(url):
            own(conn, owner, "lines", "lines_v2")
            mine = changed_url(url, user=owner, password=PASSWORD)
            succeed(mine, "expand", write_mapping(mapping, tmp_path), "--execute")

            result = compat_here(mine, "copy", "lines", "--execute", "--max-lag", "64MB")

            assert result.code == 2
            assert "error: the replication lag is not visible to this role" in result.err
            assert "fix: GRANT pg_monitor to it, or copy without --max-lag" in result.err
            assert phase(conn, "lines") == "expanded"
            conn.execute(f"GRANT pg_monitor TO {owner}")
            succeed(mine, "copy", "lines", "--execute", "--max-lag", "64MB")
