"""The report as one HTML page that needs nothing else, with charts, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from compat.page import render_page
from verify.report import MappingReport, Report, Result, Status

_CLASSES = {Status.HOLDS: "good", Status.DOES_NOT_HOLD: "bad", Status.NOT_RUN: "open"}
_VERDICTS = {0: "All of it holds", 1: "It does not hold", 2: "Not everything could be checked"}
_FULL = 100.0


@dataclass(frozen=True)
class Bar:
    """One line of a chart.

    :param share: how much of the line is filled, in percent
    :param text: the figure
    """

    label: str
    share: float
    text: str
    kind: str = "good"


def render(report: Report) -> str:
    """Return the page."""
    return render_page(
        "verify.reports",
        report=report,
        verdict=_VERDICTS[report.exit_code],
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        classes=_CLASSES,
        matches=matches(report.mappings),
        by_column=by_column(report.mappings),
        ratios=ratios(report.mappings),
    )


def matches(mappings: Iterable[MappingReport]) -> list[Bar]:
    """Return the share of equal rows of each mapping whose contents were compared."""
    bars = []
    for mapping, result in _results(mappings, "contents"):
        numbers = dict(result.numbers)
        if "legacy" not in numbers:
            continue
        rows, differing = numbers["legacy"] + numbers["extra"], numbers["differing"]
        rate = _FULL if not differing else _FULL * max(rows - differing, 0) / max(rows, 1)
        # Nothing that differs may look like 100 %.
        shown = f"{rate:.4f}".rstrip("0").rstrip(".") if not differing else f"{rate:.4f}"
        if differing and shown.startswith("100"):
            shown = "> 99.9999"
        text = f"{shown} % of {rows:,} rows" + (f", {differing:,} differ" if differing else "")
        bars.append(Bar(mapping.name, rate, text, _CLASSES[result.status]))
    return bars


def by_column(mappings: Iterable[MappingReport]) -> list[Bar]:
    """Return how many rows differ in each column, the most first."""
    counted = [
        (f"{mapping.name}: {name.removeprefix('changed ')}", count)
        for mapping, result in _results(mappings, "contents")
        for name, count in result.numbers
        if name.startswith("changed ")
    ]
    counted.sort(key=lambda item: -item[1])
    most = max((count for _, count in counted), default=1)
    return [Bar(label, _FULL * count / most, f"{count:,}", "bad") for label, count in counted]


def ratios(mappings: Iterable[MappingReport]) -> list[Bar]:
    """Return how many times as long as the table the view takes, by kind of statement."""
    measured = [
        (mapping, result, measure)
        for mapping, result in _results(mappings, "performance")
        for measure in result.measures
    ]
    most = max((max(measure.ratios) for _, _, measure in measured), default=1.0)
    bars = []
    for mapping, result, measure in measured:
        is_slow = any(finding.subject == measure.title for finding in result.findings)
        for name, ratio, times in zip(("p50", "p95"), measure.ratios, (0, 1), strict=True):
            text = f"{ratio:.2f} × ({measure.table[times]:.3f} → {measure.view[times]:.3f} ms)"
            label = f"{mapping.name}: {measure.title}, {name}"
            bars.append(Bar(label, _FULL * ratio / most, text, "bad" if is_slow else "good"))
    return bars


def _results(
    mappings: Iterable[MappingReport], check: str
) -> Iterable[tuple[MappingReport, Result]]:
    return [
        (mapping, result)
        for mapping in mappings
        for result in mapping.results
        if result.check == check
    ]
