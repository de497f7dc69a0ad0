"""Workload: an application's own statements give the same answers on the table and on the view.

Each is undone at once. Sequences go on, though, where a statement draws from one.
"""

from __future__ import annotations

from verify.context import NO_TABLE, Context, plural
from verify.report import Result, does_not_hold, holds, not_run
from verify.workload import reading
from verify.workload.comparison import Comparison, set_up

NAME = "workload"


def check(context: Context) -> Result:
    """Return whether the statements of the workload are answered alike by table and view.

    :raises psycopg.Error: a relation is missing, or the statistics may not be read
    """
    workload = context.options.workload
    if workload is None:
        workload = reading.from_statistics(context.conn, context.mapping.legacy.name)
    if workload is None:
        return not_run(
            NAME, f"no workload was given (--workload FILE), and {reading.STATISTICS} is not there"
        )
    if not context.has_table:
        return not_run(NAME, NO_TABLE)
    if context.unfinished is not None:
        return not_run(NAME, context.unfinished)
    set_up(context)
    comparison = Comparison(context)
    comparison.add(workload)
    return _verdict(comparison)


def _verdict(done: Comparison) -> Result:
    numbers = (
        ("statements", done.tried),
        ("refused alike", done.refused),
        ("left out", len(done.left_out) + len(done.hindered)),
        ("table µs", round(done.seconds["table"] * 1e6)),
        ("view µs", round(done.seconds["view"] * 1e6)),
    )
    more = {"notes": tuple(done.notes()), "numbers": numbers}
    tried = plural(done.tried, "statement")
    if done.findings:
        return does_not_hold(
            NAME,
            f"{len(done.findings)} of {tried} answered differently",
            tuple(done.findings[: done.context.limit]),
            len(done.findings),
            **more,
        )
    if done.hindered:
        reason = f"{plural(len(done.hindered), 'statement')} could not be tried"
        return not_run(NAME, f"{reason}: {done.hindered[0]}", **more)
    if not done.tried:
        reason = f"no statement of the workload uses {done.context.mapping.legacy.title}"
        return not_run(NAME, reason, **more)
    times = ", ".join(f"{side} {1000 * s:.1f} ms" for side, s in done.seconds.items())
    return holds(NAME, f"{tried} answered alike ({times})", **more)
