"""How the data of a mapping is to be compared: what the options of `compat-verify` mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from compat.errors import CompatError
from verify.rulebook import Rulebook
from verify.sinks import NOWHERE, Sink
from verify.workload.reading import NOTHING, Workload


@dataclass(frozen=True)
class Threshold:
    """The share of rows, in percent, that must match: of all mappings, or of one."""

    percent: float = 100.0
    mapping: str | None = None


@dataclass(frozen=True)
class Options:
    """How data is compared.

    :param workers: ranges that are compared side by side
    :param dask: address of a Dask scheduler; None for threads of this process
    :param range_rows: rows of a range, more or less; None for what has proved fast
    :param sample: percent of the ranges to compare; None for all of them
    :param settle: seconds for which rows that differ between two live databases are looked at again
    :param thresholds: where less than 100 % is enough
    :param group_by: legacy columns by whose values rows are counted: of all mappings, or
        MAPPING=COLUMN
    :param rules: what the user demands of the rows
    :param differences: where all rows that differ are written to
    :param resume: the file that holds the progress of the run
    :param probes: the user's own statements to probe
    :param workload: the statements of applications; None for those that the server has counted
    :param queries: those to measure
    :param max_ratio: how many times as long a statement may take on the view, by the median
    """

    workers: int = 2
    dask: str | None = None
    range_rows: int | None = None
    sample: float | None = None
    settle: float = 5.0
    thresholds: tuple[Threshold, ...] = ()
    group_by: tuple[str, ...] = ()
    rules: Rulebook = field(default_factory=Rulebook)
    differences: Sink = NOWHERE
    resume: Path | None = None
    probes: Workload = NOTHING
    workload: Workload | None = None
    queries: Workload = NOTHING
    max_ratio: float = 3.0

    def threshold(self, mapping: str) -> float:
        """Return the share of rows, in percent, that must match in one mapping."""
        own = [item.percent for item in self.thresholds if item.mapping == mapping]
        general = [item.percent for item in self.thresholds if item.mapping is None]
        return [100.0, *general, *own][-1]

    def groups(self, mapping: str) -> tuple[str, ...]:
        """Return the legacy columns by whose values the rows of one mapping are counted."""
        asked = (text.partition("=") for text in self.group_by)
        return tuple(
            column if is_own else name
            for name, is_own, column in asked
            if name == mapping or not is_own
        )

    def check_groups(self, mappings: Iterable[str]) -> None:
        """Refuse groups of a mapping that is none of these, since nobody would count them.

        :raises CompatError: names the mapping
        """
        known = tuple(mappings)
        for name, is_own, column in (text.partition("=") for text in self.group_by):
            if is_own and name not in known:
                raise CompatError(
                    f"--group-by: no mapping called {name!r} is verified",
                    f"give MAPPING={column} (there: {', '.join(known)}), or COLUMN for all",
                )


def percent_of(text: str, what: str) -> float:
    """Return `1%` or `1` as a number of percent, above 0 and at most 100.

    :raises CompatError: it is none
    """
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 < number <= 100:
        raise CompatError(f"{what}: {text!r} is no percentage", "give one such as 99.99")
    return number


def thresholds(texts: Iterable[str]) -> tuple[Threshold, ...]:
    """Return `99.99` (for all) and `MAPPING=99.99` (for one) as thresholds.

    :raises CompatError: not of this form
    """
    found = []
    for text in texts:
        name, is_own, number = text.rpartition("=")
        percent = percent_of(number, "--min-match")
        found.append(Threshold(percent, name if is_own else None))
    return tuple(found)
