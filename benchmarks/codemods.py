"""What rewriting a repository costs, against parsing those of its files that name the table.

Each side is a process of its own, start-up included; figures are CPU time of all its processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Cost, Result, median_cost, ratio
from benchmarks.report import Aim, Section
from compat import rules
from compat.mapping import Mapping
from compat.tables import Column, Constraint, Table

OURS = "compat-codemod"
PEER = "libcst.tool codemod"
AIM = Aim(1.5)
MEMORY = 300
"""Megabytes that a worker may take."""

_LINES_OF_A_FILE = 100
_EVERY = 20
"""One of so many generated files names the table."""

_WHOLE = 100_000
"""From so many lines on, all installed packages are taken, else a small one."""

_PARSE = """
import sys, libcst
from pathlib import Path
needles = [name.encode() for name in sys.argv[2:]]
for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    data = path.read_bytes()
    lowered = data.lower()
    if any(needle in lowered for needle in needles):
        libcst.parse_module(data)
"""
_CODEMOD = "from codemods.cli import main; main()"
_RENAME = "rename.RenameCommand"


@dataclass(frozen=True)
class _Run:
    """One run of a command.

    :param memory: megabytes that its largest process took
    """

    cost: Cost
    memory: float


def measure(lines: int, repeat: int) -> Section:
    """Measure on a generated repository of that many lines, and on the installed packages."""
    with tempfile.TemporaryDirectory(prefix="compat-bench-") as directory:
        place = Path(directory)
        generated = place / "generated"
        _generate(generated, lines)
        none = _write(place, _mapping("no_such_table", ("id", "qty")))
        search = [sys.executable, "-c", _CODEMOD, str(generated), "-m", str(none), "--json"]
        idle = median_cost([_run(search).cost for _ in range(repeat)])
        lines_known = _write(place, _mapping("order_line_items", ("id", "qty", "created")))
        common = _write(place, _mapping("constraints", ("id", "name", "created")))
        installed = Path(sysconfig.get_path("purelib"))
        if lines < _WHOLE:
            installed = installed / "alembic" / "operations"
        compared = [
            _compare(f"generated, {lines:,} lines", generated, lines_known, place, repeat),
            _compare("installed packages", installed, common, place, repeat),
        ]
    return Section(
        "Rewriting applications",
        "`compat-codemod` on a whole repository, against searching its files for the table's name "
        "and parsing those that have it with libcst, which is the least that any rewriting with "
        "libcst costs; CPU time per line of those files, start-up included. The generated "
        f"repository names the table in every {_EVERY}th file; of the installed packages those "
        "are measured that have the word `constraints`; `id`, `name` and `created` are taken for "
        f"its columns. `{PEER}` renames one class in the same files only. "
        f"Without a hit, {lines:,} lines take {idle.wall:.2f} s by the wall clock (aim: 1 s "
        f"for 500,000). The largest process took {max(peak for _, peak in compared):.0f} MB "
        f"(aim: {MEMORY} MB).",
        "search and parse",
        (OURS, PEER),
        [result for result, _ in compared],
        {OURS: AIM},
    )


def _compare(
    title: str, repository: Path, mapping: Path, place: Path, repeat: int
) -> tuple[Result, float]:
    table = Mapping.from_json(mapping.read_text()).legacy.name
    matched = place / f"matched-{table}"
    lines = _copy_matching(repository, matched, table.encode())
    sides = {
        "parse": [sys.executable, "-c", _PARSE, str(repository), table],
        OURS: [
            *(sys.executable, "-c", _CODEMOD, str(repository), "-m", str(mapping)),
            *("--json", "--include=*.py"),
        ],
        PEER: [
            *(sys.executable, "-m", "libcst.tool", "codemod", "--jobs=1", "--no-format", _RENAME),
            *(f"--old_name={table}.a", f"--new_name={table}.b", str(matched)),
        ],
    }
    runs: dict[str, list[_Run]] = {side: [] for side in sides}
    for _ in range(repeat):
        for side, command in sides.items():
            runs[side].append(_run(command, cwd=place))
    costs = {side: [run.cost.per(lines) for run in done] for side, done in runs.items()}
    baseline = costs.pop("parse")
    result = Result(
        f"{title} ({lines:,} to read)",
        median_cost(baseline),
        {side: ratio(own, baseline) for side, own in costs.items()},
    )
    return result, max(run.memory for run in runs[OURS])


def _run(command: Sequence[str], cwd: Path | None = None) -> _Run:
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    told = process.stderr.read()
    process.stderr.close()
    # wait4 tells what this process and those that it started have used.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begun
    if process.returncode != 0:
        raise RuntimeError(f"{command[:4]} failed: {told.decode(errors='replace')[-1000:]}")
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return _Run(Cost(wall, usage.ru_utime + usage.ru_stime), usage.ru_maxrss / unit)


def _copy_matching(repository: Path, to: Path, needle: bytes) -> int:
    """Copy the files that hold a name; return how many lines they have."""
    to.mkdir()
    lines = 0
    for number, path in enumerate(sorted(repository.rglob("*.py"))):
        data = path.read_bytes()
        if needle in data.lower():
            lines += data.count(b"\n")
            shutil.copy(path, to / f"{number}_{path.name}")
    return lines


# -- what is searched ----------------------------------------------------------------------------

_OTHER = '''
def work_{n}(session, value, *, limit=10):
    """Return what value {n} stands for."""
    found = [item for item in session.items if item.number > value and item.kind == "plain"]
    if len(found) > limit:
        raise ValueError(f"too many: {{len(found)}} of {{limit}}")
    return {{item.name: (item.number + {n}) * 2 for item in found}}


'''
_CLIENT = '''
def lines_{n}(conn, order, least=1):
    """Return the lines of an order."""
    rows = conn.execute(
        "SELECT l.id, l.qty, o.placed_at FROM order_line_items l"
        " JOIN orders o ON o.id = l.order_id WHERE l.order_id = %s AND l.qty >= %s",
        (order, least),
    ).fetchall()
    return [(row.id, row.qty * {n}) for row in rows]


'''


def _generate(directory: Path, lines: int) -> None:
    """Write a repository: files of a hundred lines, some of which use the table."""
    for number in range(max(lines // _LINES_OF_A_FILE, _EVERY)):
        parts = [_OTHER.format(n=n) for n in range(_LINES_OF_A_FILE // _OTHER.count("\n"))]
        if number % _EVERY == 0:
            parts[3:5] = [_CLIENT.format(n=number)]
        path = directory / f"package_{number // 100}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Module {number}."""\n\n' + "".join(parts))


def _mapping(table: str, columns: tuple[str, ...]) -> Mapping:
    """A mapping that renames a table and its columns."""
    key = (f"v2_{columns[0]}",)
    return Mapping(
        table,
        Table(
            "public",
            table,
            tuple(Column(name, "integer", nullable=name != columns[0]) for name in columns),
            (Constraint("a", "primary_key", columns[:1], f"PRIMARY KEY ({columns[0]})"),),
        ),
        Table(
            "public",
            f"{table}_v2",
            tuple(Column(f"v2_{n}", "integer", nullable=n != columns[0]) for n in columns),
            (Constraint("b", "primary_key", key, f"PRIMARY KEY ({key[0]})"),),
        ),
        tuple(rules.Column(name, f"v2_{name}") for name in columns),
    )


def _write(place: Path, mapping: Mapping) -> Path:
    path = place / f"{mapping.name}.json"
    path.write_text(mapping.to_json())
    return path
