"""Markdown for the summary of a CI run: a table for each mapping, findings folded below."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from verify.context import one_line
from verify.report import MappingReport, Report, Result, Status

_SIGNS = {Status.HOLDS: "✅", Status.DOES_NOT_HOLD: "❌", Status.NOT_RUN: "⚠️"}
_VERDICTS = {
    0: "✅ All of it holds",
    1: "❌ It does not hold",
    2: "⚠️ Not everything could be checked",
}
_MARKUP = re.compile(r"([\\`*_\[\]|~#!])")


def render(report: Report) -> str:
    """Return the summary; names and values are never taken for markup."""
    parts = [f"## compat-verify: {_VERDICTS[report.exit_code]}", ""]
    for mapping in report.mappings:
        parts += _mapping(mapping)
    return "\n".join(parts) + "\n"


def _mapping(mapping: MappingReport) -> Iterator[str]:
    yield f"### {_plain(mapping.name)} ({mapping.phase}, {mapping.form})"
    yield ""
    yield "| check | verdict | what was found | time |"
    yield "|---|---|---|--:|"
    for result in mapping.results:
        verdict = f"{_SIGNS[result.status]} {result.status.value}"
        yield (
            f"| {result.check} | {verdict} | {_plain(one_line(result.summary, 400))} "
            f"| {result.seconds:.2f} s |"
        )
    yield ""
    for result in mapping.results:
        yield from _details(result)


def _details(result: Result) -> Iterator[str]:
    if result.measures:
        yield "| statement | table p50 | view p50 | p50 | p95 |"
        yield "|---|--:|--:|--:|--:|"
        for measure in result.measures:
            ratios = " | ".join(f"{ratio:.2f} ×" for ratio in measure.ratios)
            yield (
                f"| {_plain(one_line(measure.title, 100))} | {measure.table[0]:.3f} ms "
                f"| {measure.view[0]:.3f} ms | {ratios} |"
            )
        yield ""
    lines = [f"{finding.subject}: {finding.message}" for finding in result.findings]
    if not lines and not result.notes:
        return
    yield f"<details><summary>{result.check}: {result.total or 'notes'}</summary>"
    yield ""
    for line in (*lines, *(f"note: {note}" for note in result.notes)):
        first, *more = line.splitlines() or [""]
        yield f"- {_plain(one_line(first, 1000))}"
        if more:
            yield f"  <pre>{'&#10;'.join(html.escape(one_line(item, 200)) for item in more)}</pre>"
    yield ""
    yield "</details>"
    yield ""


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\1", html.escape(text, quote=False))
