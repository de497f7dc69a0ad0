"""What comparing all rows costs: in one database against a bare hash of both tables, and across two
against reladiff, which is no part of this package (`pip install 'compat-layer[bench]'`).

Of so many rows 10 are changed, 5 missing and 5 in excess; whoever does not find just these fails.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import verify
from benchmarks.measure import (
    Clock,
    Connection,
    Cost,
    Part,
    Result,
    interleave,
    median_cost,
    ratio,
    run_measured,
)
from benchmarks.report import Aim, Section
from compat import catalog, rules, state
from compat.compile import copy as compiled
from compat.compile import swap
from compat.connection import connect
from compat.database import Database
from compat.mapping import Mapping
from verify import between
from verify.options import Options
from verify.report import Report

HASH, ONE_DATABASE, ACROSS, RELADIFF = (
    "bare hash of both tables",
    "one database",
    "two databases",
    "reladiff",
)

_NARROW = (
    "customer_id integer NOT NULL, name varchar(60) NOT NULL, qty integer NOT NULL,"
    " price numeric(12,2) NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL,"
    " active boolean NOT NULL, note text, changed_at timestamptz"
)
_NARROW_VALUES = (
    "i % 9973, 'name ' || i, i % 100, (i % 100000) / 100.0,"
    " (ARRAY['new', 'paid', 'sent'])[1 + i % 3],"
    " '2024-01-01'::timestamptz + i * interval '1.000001 s', i % 2 = 0,"
    " CASE WHEN i % 7 <> 0 THEN 'note ' || i END, NULL"
)

# Settings that have proved fast for it; the fastest one counts.
_SETTINGS = (
    ("--threads", "2", "--bisection-factor", "32", "--bisection-threshold", "16384"),
    ("--threads", "4", "--bisection-factor", "64", "--bisection-threshold", "50000"),
    ("--threads", "4", "--bisection-factor", "256", "--bisection-threshold", "20000"),
)


@dataclass(frozen=True)
class Shape:
    """A table to compare: the type of its key, SQL for the i-th key, and the other columns.

    :param fewer: how many times fewer rows than the others it has, since they are so much wider
    """

    title: str
    key_type: str
    key: str
    columns: str
    values: str
    fewer: int = 1


_WIDE = range(1, 60)
SHAPES = (
    Shape("10 columns, bigint key", "bigint", "i * 2", _NARROW, _NARROW_VALUES),
    Shape(
        "10 columns, text key",
        "text",
        "'key ' || lpad((i * 2)::text, 12, '0')",
        _NARROW,
        _NARROW_VALUES,
    ),
    Shape(
        "60 columns",
        "bigint",
        "i * 2",
        "qty integer, " + ", ".join(f"c{n} {'text' if n % 2 else 'integer'}" for n in _WIDE[:-1]),
        "i % 100, " + ", ".join(f"'v' || (i % {n})" if n % 2 else f"i % {n}" for n in _WIDE[:-1]),
        fewer=5,
    ),
)


@dataclass(frozen=True)
class Verifying:
    """What was measured of one shape.

    :param against_hash: one database and two, against the bare hash query
    :param against_reladiff: reladiff against ours across two databases; None when it is not there,
        or did not find what it should
    :param peak_memory: of `compat-verify` as a user runs it, in bytes; None where unknown
    """

    against_hash: Result
    against_reladiff: Result | None
    peak_memory: int | None


def measure(server: Database, shape: Shape, rows: int, repeat: int) -> Verifying:
    """Compare two tables of so many rows in every way."""
    with (
        server.fresh() as source_url,
        server.fresh() as target_url,
        connect(source_url) as conn,
        connect(target_url) as target,
    ):
        mapping = _load(conn, target, shape, rows)
        ways = _ways(conn, target, mapping, (source_url, target_url))
        clock = _ServerClock(conn)

        @contextlib.contextmanager
        def sample(way: str, turn: int) -> Iterator[list[Part]]:
            yield [lambda: clock.cost_of(ways[way])]

        costs = dict(zip(ways, interleave(list(ways), sample, repeat), strict=True))
        memory = _peak_memory(source_url)
    title = f"{rows:,} rows, {shape.title}"
    against_reladiff = None
    if RELADIFF in costs:
        ours, theirs = costs[ACROSS], costs.pop(RELADIFF)
        against_reladiff = Result(title, median_cost(ours), {RELADIFF: ratio(theirs, ours)})
    bare = costs.pop(HASH)
    ratios = {name: ratio(others, bare) for name, others in costs.items()}
    return Verifying(Result(title, median_cost(bare), ratios), against_reladiff, memory)


def _load(conn: Connection, target: Connection, shape: Shape, rows: int) -> Mapping:
    """Make the legacy table and two targets, one of them in the other database."""
    columns = f"(id {shape.key_type} PRIMARY KEY, {shape.columns})"
    made = f"SELECT {shape.key}, {shape.values} FROM generate_series(1, {rows}) AS i"
    state.ensure_installed(conn)
    for name in ("goods", "goods_v2"):
        conn.execute(f"CREATE TABLE {name} {columns}")
    conn.execute(f"INSERT INTO goods {made}")
    legacy, v2 = (catalog.reflect_table(conn, name) for name in ("goods", "goods_v2"))
    mapping = Mapping(
        "goods", legacy, v2, tuple(rules.Column(name, name) for name in legacy.column_names)
    )
    with conn.transaction():
        for statement in (*swap.create_sync(mapping), *swap.create_compat_view(mapping)):
            conn.execute(statement)
    conn.execute(compiled.allow_writes())
    state.set_phase(conn, mapping.name, "copied")
    target.execute(f"CREATE TABLE goods_v2 {columns}")
    step = rows // 11
    for one in (conn, target):
        one.execute(f"INSERT INTO goods_v2 {made}")
        chosen = ", ".join(_key(shape, n * step) for n in range(1, 11))
        one.execute(f"UPDATE goods_v2 SET qty = -1 WHERE id IN ({chosen})")
        chosen = ", ".join(_key(shape, n * step + 3) for n in range(5))
        one.execute(f"DELETE FROM goods_v2 WHERE id IN ({chosen})")
        extra = f"{shape.key} || 'x'" if shape.key_type == "text" else f"{shape.key} + 1"
        one.execute(
            f"INSERT INTO goods_v2 SELECT {extra}, {shape.values}"
            f" FROM generate_series({step}, {5 * step}, {step}) AS i"
        )
        one.execute("VACUUM (ANALYZE) goods_v2")
    conn.execute("VACUUM (ANALYZE) goods")
    return mapping


def _key(shape: Shape, number: int) -> str:
    return re.sub(r"\bi\b", str(number), shape.key)


def _ways(
    conn: Connection, target: Connection, mapping: Mapping, urls: tuple[str, str]
) -> dict[str, Callable[[], None]]:
    def hash_both() -> None:
        hashed = "pg_catalog.hashint8extended(pg_catalog.hash_record_extended({}, 1), 1)"
        conn.execute("SET max_parallel_workers_per_gather = 0")
        conn.execute(
            f"SELECT (SELECT sum({hashed.format('goods')}) FROM goods),"
            f" (SELECT sum({hashed.format('goods_v2')}) FROM goods_v2)"
        )

    ways = {
        HASH: hash_both,
        ONE_DATABASE: lambda: _check(verify.run(conn, ["contents"])),
        ACROSS: lambda: _check(
            between.run(conn, target, mapping, ["contents"], options=Options(settle=0))
        ),
    }
    if (setting := _best_setting(mapping, urls)) is not None:
        ways[RELADIFF] = lambda: _require(_reladiff(mapping, urls, setting))
    return ways


def _check(report: Report) -> None:
    numbers = dict(report.results[0].numbers)
    found = tuple(numbers[name] for name in ("changed", "missing", "extra"))
    assert found == (10, 5, 5), report.results[0].summary


def _best_setting(mapping: Mapping, urls: tuple[str, str]) -> Sequence[str] | None:
    """Return the setting with which reladiff is fastest, None where it does not do its work."""
    if _program() is None:
        return None
    seconds = {}
    for setting in _SETTINGS:
        started = time.perf_counter()
        if _reladiff(mapping, urls, setting):
            seconds[setting] = time.perf_counter() - started
    return min(seconds, key=lambda setting: seconds[setting], default=None)


def _reladiff(mapping: Mapping, urls: tuple[str, str], setting: Sequence[str]) -> bool:
    """Run reladiff; return whether it has found what differs, which its exit code does not tell."""
    program = _program()
    assert program is not None
    columns = [part for name in mapping.legacy.column_names[1:] for part in ("-c", name)]
    source, target = urls
    done = subprocess.run(
        [program, source, "goods", target, "goods_v2", "-k", "id", *columns, *setting, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    signs = [line[2:3] for line in done.stdout.splitlines() if line.startswith('["')]
    return sorted(signs) == ["+"] * 15 + ["-"] * 15  # a changed row stands on both sides


def _program() -> str | None:
    own = Path(sys.executable).with_name("reladiff")
    return str(own) if own.exists() else shutil.which("reladiff")


def _require(found: bool) -> None:
    assert found, "reladiff did not find what differs"


def sections(measured: Sequence[Verifying]) -> list[Section]:
    """Return the tables of the report."""
    known = [found.peak_memory for found in measured if found.peak_memory is not None]
    peaks = ", ".join(f"{peak / 2**20:.0f} MB" for peak in known) or "unknown"
    within = Section(
        "Comparing all rows",
        "`contents` of compat-verify against one query that hashes both tables whole "
        "(`hash_record_extended`, not parallel) and so could tell neither how nor where they "
        "differ. 10 changed, 5 missing and 5 extra rows are found exactly; CPU time is that of all "
        f"server processes. Peak memory of the tool: {peaks} (aim: 150 MB).",
        HASH,
        (ONE_DATABASE, ACROSS),
        [found.against_hash for found in measured],
        {ONE_DATABASE: Aim(1.2)},
    )
    compared = [found.against_reladiff for found in measured if found.against_reladiff is not None]
    lacking = len(measured) - len(compared)
    missing = (
        f"Not measured for {lacking} of {len(measured)} tables: reladiff is not installed, or did "
        "not find what differs. "
        if lacking
        else ""
    )
    across = Section(
        "Comparing all rows across two databases",
        f"{missing}reladiff, at the fastest of {len(_SETTINGS)} settings, against `contents` of "
        "compat-verify. Its time includes the start of its program, under a second.",
        "compat-verify",
        (RELADIFF,),
        compared,
        {RELADIFF: Aim(4, at_least=True)} if compared else {},
    )
    return [within, across]


class _ServerClock:
    """Measures all processes of a server: workers on connections of their own are many."""

    def __init__(self, conn: Connection) -> None:
        self._postmaster = _parent(conn.info.backend_pid) if Clock(conn).sees_cpu else None

    def cost_of(self, work: Callable[[], None]) -> Cost:
        """Return what the work costs; CPU time in steps of 10 ms."""
        cpu, wall = self._cpu(), time.perf_counter()
        work()
        wall, after = time.perf_counter() - wall, self._cpu()
        return Cost(wall, None if cpu is None or after is None else after - cpu)

    def _cpu(self) -> float | None:
        if self._postmaster is None:
            return None
        while True:
            ended = _ticks(self._postmaster, ended_children=True)
            living = 0
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):  # it has just ended
                    if _parent(int(process.name)) == self._postmaster:
                        living += sum(_ticks(int(process.name), ended_children=False))
            # Else a child may have gone from one sum to the other meanwhile.
            if ended[2:] == _ticks(self._postmaster, ended_children=True)[2:]:
                return (sum(ended) + living) / os.sysconf("SC_CLK_TCK")


def _parent(process: int) -> int:
    return int(_fields(process)[1])


def _ticks(process: int, *, ended_children: bool) -> list[int]:
    return [int(field) for field in _fields(process)[11 : 15 if ended_children else 13]]


def _fields(process: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may hold anything."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _peak_memory(url: str) -> int | None:
    """The peak of the command, which must find what was planted."""
    code, peak = run_measured("verify.cli", url, "--checks", "counts,contents", "--no-record")
    assert code == 1, "compat-verify did not find what differs"
    return peak
