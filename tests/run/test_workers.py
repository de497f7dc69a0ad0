"""The workers of a copy, threads and a Dask cluster: stopped, killed, forsaken, and their errors.

Nobody waits for what a range would still take: most copies here are throttled to last too long.
"""

import contextlib
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from compat.errors import DataError
from compat.mapping import Mapping
from compat.run.batches import Job
from compat.run.pace import Pace
from compat.run.retry import LockPolicy
from compat.run.workers import executor, run_each
from tests.compat.migrations import value
from tests.forked import Process
from tests.run.copying import (
    finish,
    progress,
    seen_by_range,
    start_copy,
    terminate,
    until_alone,
    until_seen,
    workers_connected,
)
from tests.run.support import (
    DEADLINE,
    PASSWORD,
    Connection,
    changed_url,
    compat,
    compat_here,
    copied_rows,
    ended,
    environment,
    make_lines,
    ordinary_role,
    own,
    phase,
    succeed,
    until,
    write_mapping,
)

pytestmark = pytest.mark.installed

ROWS = 12_000  # two ranges
SLOWLY = ("--throttle", "20")  # ten minutes for a range of 6,000 rows


# One after the other, and side by side -----------------------------------------------------------


def test_results_come_from_as_many_calls_at_once_as_were_asked_for() -> None:
    meeting = threading.Barrier(3, timeout=DEADLINE)
    ticks = []

    def work(number: int) -> int:
        meeting.wait()  # would break if fewer than three were at work
        return number * number

    with executor(5) as threads:
        results = list(run_each(threads, work, range(6), 3, lambda: ticks.append(True)))

    assert sorted(results) == [0, 1, 4, 9, 16, 25]
    assert ticks


def test_after_an_error_no_further_call_begins() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        raise ValueError(number)

    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="0"):
        list(run_each(threads, work, range(100), 1))

    assert begun == [0]


def test_nothing_to_do_is_done() -> None:
    with executor(2) as threads:
        assert list(run_each(threads, str, [], 2)) == []


# Threads, disturbed ------------------------------------------------------------------------------


def start_two(url: str, conn: Connection, *options: str) -> Process:
    """Start a copy that takes long, and wait until two workers have copied something."""
    process = start_copy(url, *SLOWLY, *options)
    until_seen(conn, 1, process)
    until(lambda: len(seen_by_range(conn)) == 2 and min(seen_by_range(conn)) > 0, "both ranges")
    assert workers_connected(conn) == 2
    return process


def test_ctrl_c_stops_all_workers_in_the_middle_of_their_ranges(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(ROWS)
    process = start_two(url, conn)
    process.send_signal(signal.SIGINT)

    result = ended(process)

    assert result.code == 130
    assert "interrupted; run the command again" in result.err
    assert "Traceback" not in result.err
    seen, copied, done = progress(conn)
    assert seen == copied == value(conn, "SELECT count(*) FROM lines_v2") < ROWS
    assert not done
    finish(url, conn, mapping)
    assert progress(conn) == (ROWS, ROWS, True)


@pytest.mark.parametrize("session", ["compat copy", "compat copy worker"])
def test_the_loss_of_a_connection_ends_the_command_and_all_its_workers(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], session: str
) -> None:
    mapping = expand(ROWS)
    process = start_two(url, conn)
    assert terminate(conn, session) in (1, 2)

    result = ended(process)

    assert result.code == 2
    assert "error: the connection was lost: terminating connection" in result.err
    assert "fix: run the command again" in result.err
    assert "Traceback" not in result.err
    until_alone(conn)
    assert copied_rows(conn, "lines") < ROWS
    finish(url, conn, mapping)
    assert progress(conn) == (ROWS, ROWS, True)


def test_a_refusal_in_one_range_ends_the_others_and_names_the_row(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(ROWS)
    process = start_two(url, conn)
    last = int(value(conn, "SELECT last_key[1] FROM compat.copy_range WHERE number = 2"))
    refused = last + 25
    conn.execute(f"ALTER TABLE lines_v2 ADD CHECK (line_id <> {refused}) NOT VALID")

    result = ended(process)

    assert result.code == 2
    assert f"public.lines: the row with id = {refused} cannot be carried over" in result.err
    assert 0 < min(seen_by_range(conn)) < ROWS / 4
    until_alone(conn)
    conn.execute("ALTER TABLE lines_v2 DROP CONSTRAINT lines_v2_line_id_check")
    finish(url, conn, mapping)


def test_no_other_command_works_on_the_migration_meanwhile(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    expand(ROWS)
    process = start_two(url, conn)

    for command in ("copy", "unexpand", "retry-rejects", "cutover"):
        result = compat_here(url, command, "lines", "--execute")
        assert result.code == 2
        assert "another command is working on 'lines' right now" in result.err
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert ended(process).code == 130


# Errors on their way -----------------------------------------------------------------------------


def test_errors_keep_message_and_hint_between_processes(conn: psycopg.Connection) -> None:
    error = DataError("no counterpart", "add it to the mapping")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.hint, str(again)) == (
        DataError,
        error.message,
        error.hint,
        str(error),
    )
    with pytest.raises(psycopg.errors.DivisionByZero) as caught:
        conn.execute("SELECT 1 / 0")
    there = pickle.loads(pickle.dumps(caught.value))
    assert (type(there), there.diag.message_primary) == (type(caught.value), "division by zero")


def test_a_job_does_not_show_the_password() -> None:
    url = f"postgresql://somebody:{PASSWORD}@localhost/there"
    job = Job(url, "{}", "lines", "leader", 1, Pace(), 0, LockPolicy())
    assert PASSWORD not in repr(job) + str(job)


# A Dask cluster ----------------------------------------------------------------------------------

CLUSTER = """
import sys
from distributed import LocalCluster
with LocalCluster(
    n_workers=2, threads_per_worker=1, processes=PROCESSES, protocol="tcp://",
    dashboard_address=":0", silence_logs=False,
) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Cluster:
    """A scheduler with two workers, and all that they log."""

    address: str
    log: Path
    process: "subprocess.Popen[str]"


@contextlib.contextmanager
def running_cluster(folder: Path, *, processes: bool) -> Iterator[Cluster]:
    """A cluster beside the tests; it ends when its standard input does, so never outlives them."""
    log = folder / "cluster.log"
    with (
        log.open("w") as err,
        subprocess.Popen(
            [sys.executable, "-c", CLUSTER.replace("PROCESSES", str(processes))],
            env=environment(None, DASK_LOGGING__DISTRIBUTED="debug"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, log.read_text()
        yield Cluster(address, log, process)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two processes that work, for all tests here."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), processes=True) as running:
        yield running


def test_a_cluster_copies_what_threads_would(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], cluster: Cluster
) -> None:
    mapping = expand(ROWS)
    result = finish(url, conn, mapping, "--dask", cluster.address, "--workers", "2", "--json")

    assert (result.json["rows_seen"], result.json["rows_copied"]) == (ROWS, ROWS)
    assert result.json["finished"] is True
    assert len(seen_by_range(conn)) == 2
    assert min(seen_by_range(conn)) > 0
    finish(url, conn, mapping, "--dask", cluster.address)


def test_a_command_that_is_killed_takes_its_workers_on_the_cluster_along(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], cluster: Cluster
) -> None:
    mapping = expand(ROWS)
    process = start_two(url, conn, "--dask", cluster.address)
    process.kill()
    ended(process)
    until_alone(conn)
    assert copied_rows(conn, "lines") < ROWS

    finish(url, conn, mapping, "--dask", cluster.address)

    assert progress(conn) == (ROWS, ROWS, True)


def test_workers_of_a_killed_command_do_not_go_on_under_the_next_one(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], cluster: Cluster
) -> None:
    """The next command leads at once, and never lets the lock go that the workers look for."""
    mapping = expand(ROWS)
    process = start_two(url, conn, "--dask", cluster.address)
    process.kill()
    finish(url, conn, mapping)
    ended(process)

    assert progress(conn) == (ROWS, ROWS, True)
    until_alone(conn)


def test_ctrl_c_ends_the_work_of_the_cluster(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], cluster: Cluster
) -> None:
    expand(ROWS)
    process = start_two(url, conn, "--dask", cluster.address)
    process.send_signal(signal.SIGINT)

    result = ended(process)

    assert result.code == 130
    assert "Traceback" not in result.err
    until_alone(conn)
    assert copied_rows(conn, "lines") < ROWS


@pytest.mark.bare  # the owner of the tables installs the schema
def test_an_error_on_the_cluster_is_told_whole_and_no_log_holds_the_password(
    url: str, conn: psycopg.Connection, tmp_path: Path, cluster: Cluster
) -> None:
    mapping = make_lines(conn, ROWS)
    with ordinary_role(conn) as owner:
        own(conn, owner, "lines", "lines_v2")
        mine = changed_url(url, user=owner, password=PASSWORD)
        succeed(mine, "expand", write_mapping(mapping, tmp_path), "--execute")
        conn.execute("ALTER TABLE lines_v2 ADD CHECK (line_id <> 7777) NOT VALID")

        result = ended(start_copy(mine, "--dask", cluster.address))

        assert result.code == 2
        assert "public.lines: the row with id = 7777 cannot be carried over" in result.err
        assert "fix: correct the row and copy again" in result.err
        assert PASSWORD not in result.out + result.err
        until(lambda: "copy_range" in cluster.log.read_text(), "the log of the cluster")
        assert "DataError" in cluster.log.read_text()
        assert PASSWORD not in cluster.log.read_text()

        conn.execute(f"ALTER ROLE {owner} CONNECTION LIMIT 1")
        result = ended(start_copy(mine, "--dask", cluster.address))

        assert result.code == 2
        assert "too many connections for role" in result.err
        assert PASSWORD not in result.out + result.err + cluster.log.read_text()
        conn.execute(f"ALTER ROLE {owner} CONNECTION LIMIT -1")
        conn.execute("ALTER TABLE lines_v2 DROP CONSTRAINT lines_v2_line_id_check")
        finish(mine, conn, mapping, "--dask", cluster.address)


def test_a_scheduler_that_dies_ends_the_command_which_resumes(
    url: str, conn: psycopg.Connection, tmp_path: Path, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(ROWS)
    with running_cluster(tmp_path, processes=False) as cluster:
        process = start_two(url, conn, "--dask", cluster.address)
        cluster.process.kill()
        result = ended(process)

    assert result.code == 2
    assert f"error: the Dask cluster at {cluster.address} has failed" in result.err
    assert "run the command again: it takes up where it stopped" in result.err
    assert "Traceback" not in result.err
    until_alone(conn)
    finish(url, conn, mapping)


@pytest.mark.parametrize("address", ["nonsense", "http://localhost:8786", "tcp://{}"])
def test_a_scheduler_that_does_not_answer_is_named_before_anything_is_done(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], address: str
) -> None:
    expand(10)
    address = address.format(f"{conn.info.host}:{conn.info.port}")  # somebody else, who hangs up

    result = compat(url, "copy", "lines", "--execute", "--dask", address)

    assert result.code == 2
    assert "Traceback" not in result.err
    assert f"error: no Dask scheduler answers at {address}" in result.err
    assert "fix: give its address: tcp://host:8786" in result.err
    assert phase(conn, "lines") == "expanded"


def test_dask_that_is_not_installed_is_asked_for(
    url: str,
    expand: Callable[[int], Mapping],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expand(10)
    monkeypatch.setitem(sys.modules, "distributed", None)  # its import fails

    result = compat_here(url, "copy", "lines", "--execute", "--dask", "tcp://localhost:8786")

    assert result.code == 2
    assert "error: Dask is not installed" in result.err
    assert "fix: pip install 'compat-layer[dask]', here and on its workers" in result.err


# Memory ------------------------------------------------------------------------------------------

MEASURED = """
import atexit, resource, sys
from compat.cli import main
def tell():
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
atexit.register(tell)
main()
"""


def test_the_memory_of_a_copy_does_not_grow_with_the_table(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    rows = 300_000
    expand(rows)
    # A shell between: what becomes of a process counts what it was before, a copy of this one.
    command = [sys.executable, "-c", MEASURED, "copy", "lines", "--execute", "--workers", "4"]
    result = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", *command],
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=True,
    )

    peak = int(result.stderr.split()[-1]) * (1 if sys.platform == "darwin" else 1024)
    assert peak < 150_000_000
    assert progress(conn) == (rows, rows, True)
