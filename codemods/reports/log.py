"""The log of what was changed, file by file, for whoever asks months later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from codemods.findings import Outcome
from codemods.project import FileReport, Report
from codemods.reports import lines


def render(report: Report, *, wrote: bool) -> str:
    """Return the log of one run: each file, its changes, and what was left in it."""
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    done = "changed" if wrote else "would change"
    head = f"# {moment}: {done} {report.totals.files_changed} files"
    return "\n".join([head, lines.summary(report, wrote=wrote), "", *_files(report)]) + "\n"


def _files(report: Report) -> Iterator[str]:
    for file in report.files:
        told = [*_told(file)]
        if told:
            yield f"## {file.path}: {len(file.part.edits)} edits"
            yield from told
            yield ""


def _told(file: FileReport) -> Iterator[str]:
    yield from lines.changes_of(file)
    for line in lines.findings_of(file, Outcome.LOOK):
        yield f"{line}  (needs a look)"
