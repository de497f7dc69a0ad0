"""Jobs of some ranges each, on threads or a Dask cluster, written into the log as they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from compat.run.workers import executor, run_each
from verify.compare.differences import Outcome
from verify.compare.log import Log, Numbered
from verify.options import Options

Job = TypeVar("Job")


def compare_all(
    function: Callable[[Job], list[tuple[int, Outcome]]],
    make_job: Callable[[tuple[Numbered, ...]], Job],
    ranges: list[Numbered],
    ranges_per_job: int,
    *,
    log: Log,
    name: str,
    options: Options,
) -> None:
    """Compare these ranges, and remember in the log what was found.

    :param function: compares the ranges of one job; of a module, so that it can travel
    :raises psycopg.Error: a side may not be read, or the connection was lost
    """
    workers = options.workers
    per_job = max(min(ranges_per_job, -(-len(ranges) // workers)), 1)
    jobs = [
        make_job(tuple(ranges[start : start + per_job])) for start in range(0, len(ranges), per_job)
    ]
    with executor(workers, options.dask) as crew:
        for done in run_each(crew, function, jobs, workers):
            for number, outcome in done:
                log.add(name, number, outcome)
