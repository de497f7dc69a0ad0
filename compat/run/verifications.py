"""The history of `compat-verify` runs, as the database remembers it, and what a cutover asks of it.

Written by the verifier, read by the preflight and by `compat status`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from psycopg.rows import dict_row

from compat.connection import Connection

Verdict = Literal["holds", "does not hold", "not run"]

DEMANDED: Final = ("structure", "counts", "contents", "probes")
"""The checks that a run must have made, all of them, before it vouches for a cutover."""


@dataclass(frozen=True)
class Verification:
    """One run over one mapping.

    :param age: how long ago it ended, by the server's clock
    :param summary: by check: verdict, summary line and numbers
    """

    fingerprint: str
    phase: str
    started_at: datetime
    finished_at: datetime
    age: timedelta
    checks: tuple[str, ...]
    verdict: Verdict
    summary: dict[str, Any]

    @property
    def is_complete(self) -> bool:
        """True when it made every check that a cutover demands."""
        return set(DEMANDED) <= set(self.checks)


def record(
    conn: Connection,
    name: str,
    *,
    fingerprint: str,
    phase: str,
    seconds: float,
    checks: tuple[str, ...],
    verdict: Verdict,
    summary: dict[str, Any],
) -> None:
    """Remember a run that has just ended and took so many seconds, in a transaction of its own.

    :raises psycopg.Error: the role may not write there
    """
    with conn.transaction():
        conn.execute(
            "INSERT INTO compat.verification"
            " (mapping, fingerprint, phase, started_at, checks, verdict, summary)"
            " VALUES (%s, %s, %s, clock_timestamp() - %s, %s, %s, %s)",
            [
                name,
                fingerprint,
                phase,
                timedelta(seconds=seconds),
                list(checks),
                verdict,
                json.dumps(summary),
            ],
        )


def history(conn: Connection, name: str) -> tuple[Verification, ...]:
    """Return the runs over a mapping, the latest first; none where nothing is installed."""
    if conn.execute("SELECT to_regclass('compat.verification')").fetchone() == (None,):
        return ()
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT fingerprint, phase, started_at, finished_at,"
            " clock_timestamp() - finished_at AS age, checks, verdict, summary"
            " FROM compat.verification WHERE mapping = %s ORDER BY id DESC",
            [name],
        ).fetchall()
    return tuple(Verification(**(row | {"checks": tuple(row["checks"])})) for row in rows)


def objection(runs: tuple[Verification, ...], fingerprint: str, within: timedelta) -> str | None:
    """Return why these runs do not vouch for a cutover, or None when they do.

    A later run that found something outweighs an earlier green one, also when it made only some
    of the checks; one that could not look does not.

    :param runs: the latest first
    """
    runs = tuple(run for run in runs if run.fingerprint == fingerprint)
    for run in runs:
        if run.verdict == "does not hold":
            failed = [name for name in run.checks if run.summary[name]["verdict"] == run.verdict]
            return (
                f"the run of {run.finished_at:%Y-%m-%d %H:%M} found that {', '.join(failed)} "
                + ("does not hold" if len(failed) == 1 else "do not hold")
            )
        if run.verdict == "holds" and run.is_complete:
            if run.age <= within:
                return None
            return f"the last green run is {_rounded(run.age)} old, more than {_rounded(within)}"
    wanted = ", ".join(DEMANDED)
    return f"no run over {wanted} has held yet" if runs else "it has not been verified yet"


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))
