"""A report as one HTML page that needs nothing else, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterator

from codemods.findings import Outcome
from codemods.project import FileReport, Report
from codemods.reports import lines
from compat.page import render_page


def render(report: Report, *, wrote: bool) -> str:
    """Return the page."""
    return render_page(
        "codemods.reports",
        report=report,
        summary=lines.summary(report, wrote=wrote),
        wrote=wrote,
        look=Outcome.LOOK,
        unrelated=Outcome.UNRELATED,
        findings=lines.findings_of,
        diff=_diff,
    )


def _diff(file: FileReport) -> Iterator[tuple[str, str]]:
    """Yield the lines of the diff, each with its class; the path stands above it already."""
    for line in lines.diff(file):
        if line.startswith(("---", "+++")):
            continue
        kinds = {"+": "new", "-": "old", "@": "place"}
        yield kinds.get(line[:1], "same"), line
