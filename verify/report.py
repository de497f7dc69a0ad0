"""What a verification found, as immutable values, and as JSON of a stable form.

Three verdicts only: what could not be tried is "not run", and never counts as passed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JSON_FORMAT = 1
"""Raised when the JSON document changes in a way that its readers would notice."""


class Status(StrEnum):
    """The verdict of one check."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was.

    :param kind: a stable word for programs: `changed`, `missing`, `trigger`, `sqlstate`, …
    :param subject: what it is about: a column, a trigger, a statement
    :param message: one sentence for people
    :param key: the row, as pairs of key column and value
    :param expected: what the legacy side has, as text; None is NULL or nothing
    :param found: what the view's side has
    """

    kind: str
    subject: str
    message: str
    key: tuple[tuple[str, str | None], ...] = ()
    expected: str | None = None
    found: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "message": self.message,
            "key": dict(self.key),
            "expected": self.expected,
            "found": self.found,
        }


@dataclass(frozen=True)
class Measure:
    """How long one kind of statement takes on the table and on the view, in milliseconds.

    :param table: half of the runs, and 95 % of them, took no longer than this
    :param view: likewise
    """

    title: str
    table: tuple[float, float]
    view: tuple[float, float]

    @property
    def ratios(self) -> tuple[float, float]:
        """How many times as long as the table the view takes: p50 and p95."""
        return self.view[0] / self.table[0], self.view[1] / self.table[1]

    def as_json(self) -> dict[str, Any]:
        """Return the measure as JSON values."""
        return {
            "title": self.title,
            "table_ms": {"p50": round(self.table[0], 4), "p95": round(self.table[1], 4)},
            "view_ms": {"p50": round(self.view[0], 4), "p95": round(self.view[1], 4)},
            "ratio": {"p50": round(self.ratios[0], 3), "p95": round(self.ratios[1], 3)},
        }


@dataclass(frozen=True)
class Result:
    """What one check says of one mapping.

    :param summary: one line
    :param findings: what does not hold, cut at the limit that was asked for
    :param total: how many findings there are in all
    :param notes: what a reader should know, though it is no fault
    :param numbers: counted things by name
    :param measures: what was timed
    """

    check: str
    status: Status
    summary: str
    findings: tuple[Finding, ...] = ()
    total: int = 0
    notes: tuple[str, ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()
    measures: tuple[Measure, ...] = ()
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "check": self.check,
            "status": self.status.value,
            "summary": self.summary,
            "findings": [finding.as_json() for finding in self.findings],
            "findings_total": self.total,
            "notes": list(self.notes),
            "numbers": dict(self.numbers),
            "measures": [measure.as_json() for measure in self.measures],
            "seconds": round(self.seconds, 3),
        }


def holds(check: str, summary: str, **more: Any) -> Result:
    """Return the result of a check that found nothing wrong."""
    return Result(check, Status.HOLDS, summary, **more)


def not_run(check: str, reason: str, **more: Any) -> Result:
    """Return the result of a check that could not be made."""
    return Result(check, Status.NOT_RUN, reason, **more)


def does_not_hold(
    check: str, summary: str, findings: tuple[Finding, ...], total: int | None = None, **more: Any
) -> Result:
    """Return the result of a check that found something wrong."""
    count = len(findings) if total is None else total
    return Result(check, Status.DOES_NOT_HOLD, summary, findings, count, **more)


def _together(results: Iterable[Result]) -> Status:
    statuses = {result.status for result in results}
    for status in (Status.DOES_NOT_HOLD, Status.NOT_RUN):
        if status in statuses:
            return status
    return Status.HOLDS


@dataclass(frozen=True)
class MappingReport:
    """The results for one mapping; the names are quoted SQL."""

    name: str
    fingerprint: str
    phase: str
    form: str
    legacy: str
    view: str
    target: str
    results: tuple[Result, ...]

    @property
    def verdict(self) -> Status:
        """What the checks say together: one that fails outweighs one that was not made."""
        return _together(self.results)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "phase": self.phase,
            "form": self.form,
            "legacy": self.legacy,
            "view": self.view,
            "target": self.target,
            "checks": [result.as_json() for result in self.results],
        }


@dataclass(frozen=True)
class Report:
    """The results for all mappings that were asked for."""

    mappings: tuple[MappingReport, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        """All results, mapping by mapping."""
        return tuple(result for mapping in self.mappings for result in mapping.results)

    @property
    def holds(self) -> bool:
        """True when every check was made and none found anything."""
        return all(result.status is Status.HOLDS for result in self.results)

    @property
    def exit_code(self) -> int:
        """0: all of it holds; 1: something does not; 2: something could not be checked."""
        return {Status.HOLDS: 0, Status.DOES_NOT_HOLD: 1, Status.NOT_RUN: 2}[
            _together(self.results)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "format": JSON_FORMAT,
            "holds": self.holds,
            "exit_code": self.exit_code,
            "mappings": [mapping.as_json() for mapping in self.mappings],
        }

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False)
