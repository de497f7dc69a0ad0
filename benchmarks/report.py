"""The report: tables of ratios with the aims beside them, and a sentence where one is missed."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from benchmarks.measure import Ratio, Result


@dataclass(frozen=True)
class Aim:
    """What a column of a table should be: at most, or at least, so many times the baseline."""

    bound: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g} ×"

    def is_met(self, measured: float) -> bool:
        """Judged as printed: two decimals."""
        shown = round(measured, 2)
        return shown >= self.bound if self.at_least else shown <= self.bound


@dataclass(frozen=True)
class Section:
    """One table of the report: its lines are results, its columns the sides that they name."""

    title: str
    explanation: str
    baseline: str
    columns: Sequence[str]
    results: Sequence[Result]
    aims: dict[str, Aim]

    def render(self) -> str:
        """The section as Markdown."""
        lines = [f"## {self.title}", "", self.explanation, ""]
        heads = [f"{name} ({self.aims[name]})" if name in self.aims else name
                 for name in self.columns]  # fmt: skip
        lines.append("| | " + " | ".join([self.baseline, *heads]) + " |")
        lines.append("|---|" + "--:|" * (len(heads) + 1))
        for result in self.results:
            cost = result.baseline
            seconds = cost.wall if cost.cpu is None else cost.cpu
            cells = [_micros(seconds)]
            cells += [self._cell(name, result.ratios[name]) for name in self.columns]
            lines.append(f"| {result.title} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", *self._verdict()])

    def _cell(self, column: str, ratio: Ratio) -> str:
        aim = self.aims.get(column)
        text = f"{ratio.best:.2f}"
        if aim is not None and not aim.is_met(ratio.best):
            text = f"**{text}**"
        return text if ratio.cpu is None else f"{text} ({ratio.wall:.2f})"

    def _verdict(self) -> list[str]:
        missed = [
            f"{result.title}, {column}: {result.ratios[column].best:.2f}, the aim is {aim}"
            for column, aim in self.aims.items()
            for result in self.results
            if not aim.is_met(result.ratios[column].best)
        ]
        if missed:
            return ["Missed:", "", *(f"- {line}" for line in missed), ""]
        return ["Every aim of this table is met.", ""] if self.aims else []


class Part(Protocol):
    """A part of the report that knows how it is written."""

    def render(self) -> str:
        """The part as Markdown, under a heading of its own."""


def render(sections: Sequence[Part], *, command: str, server: str, sees_cpu: bool) -> str:
    """The whole report as Markdown."""
    clock = (
        "Figures are CPU time of the server's process; in parentheses the same ratio by the wall "
        "clock, which includes the client."
        if sees_cpu
        else "Figures are wall time and include the client: the server's process could not be seen."
    )
    head = [
        "# What the compatibility layer costs",
        "",
        "Written by the benchmarks themselves; the machine is shared, so read the ratios, not the "
        "microseconds.",
        "",
        f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- machine: {_machine()}",
        f"- server: {server}",
        f"- command: `{command}`",
        "",
        clock + " A ratio is the median over the turns; the sides take turns within each. "
        "Figures that miss their aim are bold.",
        "",
    ]
    return "\n".join([*head, *(section.render() for section in sections)]).rstrip() + "\n"


def _micros(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _machine() -> str:
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores, {_processor()}, {memory:.0f} GiB, Python {platform.python_version()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
