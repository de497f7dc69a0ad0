"""The report as files: JUnit for a CI server, Markdown for its summary, a page with charts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compat.errors import CompatError
from verify.report import Report
from verify.reports import junit, markdown, page


def write(
    report: Report, *, junit_to: Path | None, html_to: Path | None, markdown_to: Path | None
) -> None:
    """Write the report where it was asked for; Markdown is added to what the file has.

    :raises CompatError: a file cannot be written
    """
    _write(junit_to, "w", lambda: junit.render(report))
    _write(html_to, "w", lambda: page.render(report))
    _write(markdown_to, "a", lambda: markdown.render(report))


def _write(path: Path | None, mode: str, text: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text())
    except OSError as error:
        raise CompatError(
            f"{path} cannot be written: {error.strerror}", "name another file"
        ) from None
