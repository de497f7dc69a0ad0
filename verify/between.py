"""Runs the checks of data over two databases: what `compat move` has moved, or was to move.

Both sides are only read; neither is held in one snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from compat import catalog
from compat.connection import Connection, url_of
from compat.errors import CatalogError, CompatError
from compat.mapping import Mapping
from compat.run.move import check_movable
from verify.checks import counts, integrity, losses
from verify.checks.contents import NAME as CONTENTS
from verify.compare import across
from verify.compare import log as logs
from verify.compare.across import Databases, Plan
from verify.compare.crew import compare_all
from verify.compare.differences import Outcome
from verify.compare.log import Log, Numbered
from verify.compare.ranges import Range, cut, some
from verify.compare.verdict import ACROSS, Verdict, settled
from verify.options import Options
from verify.refusals import refused
from verify.report import MappingReport, Report, Result, not_run

NAMES = (counts.NAME, CONTENTS, integrity.NAME, losses.NAME)

MOST_SETTLED = 10_000
"""More rows than this are not looked at again: so many are no matter of moments."""

_PAUSE = 0.2


def run(
    source: Connection,
    target: Connection,
    mapping: Mapping,
    checks: Iterable[str] = NAMES,
    *,
    limit: int = 10,
    options: Options | None = None,
    on_start: Callable[[str, str], None] | None = None,
) -> Report:
    """Return what the checks say of the legacy table in one database and the target in another.

    :param source: a connection in autocommit mode; it is set to be read only
    :param target: likewise
    :param checks: some of NAMES, in any order
    :raises CatalogError: a table is missing
    :raises CompatError: an unknown check, or rules for a table that the mapping does not have
    :raises psycopg.Error: the connection was lost
    """
    options = options or Options()
    wanted = _wanted(checks)
    options.rules.check_used([mapping])
    options.check_groups([mapping.name])
    check_movable(mapping)
    if catalog.find_exact(source, mapping.legacy.schema, mapping.legacy.name) is None:
        raise CatalogError(f"the source database has no table {mapping.legacy.title}")
    plan = across.make_plan(source, target, mapping)
    with (
        across.across(source, target, plan) as databases,
        logs.opened(options.resume) as log,
    ):
        work = _Work(source, target, plan, databases, log, limit, options)
        results = []
        for name in wanted:
            if on_start is not None:
                on_start(mapping.name, name)
            results.append(work.one(name))
    report = MappingReport(
        mapping.name,
        mapping.fingerprint,
        "move",
        "two databases",
        mapping.legacy.sql,
        f"{target.info.dbname}: {mapping.target.sql}",
        mapping.target.sql,
        tuple(results),
    )
    return Report((report,))


def _wanted(checks: Iterable[str]) -> list[str]:
    asked = set(checks)
    for name in asked:
        if name not in NAMES:
            raise CompatError(
                f"no such check between two databases: {name!r}", f"choose from {', '.join(NAMES)}"
            )
    if not asked:
        raise CompatError("no check was asked for", f"choose from {', '.join(NAMES)}")
    return [name for name in NAMES if name in asked]


@dataclass(frozen=True)
class _Work:
    """The checks of one run."""

    source: Connection
    target: Connection
    plan: Plan
    databases: Databases
    log: Log
    limit: int
    options: Options

    @property
    def mapping(self) -> Mapping:
        return self.plan.mapping

    def one(self, name: str) -> Result:
        """Make one check; what the databases refuse is its result."""
        function = {
            counts.NAME: self._counts,
            CONTENTS: self._contents,
            integrity.NAME: self._integrity,
            losses.NAME: self._losses,
        }[name]
        started = time.monotonic()
        try:
            result = function()
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
            # The rules may use functions of ours, which are only where something was moved to.
            result = not_run(name, f"{error.diag.message_primary}")
        except psycopg.Error as error:
            result = refused(name, error)
        return replace(result, seconds=time.monotonic() - started)

    def _contents(self) -> Result:
        name = self.mapping.name
        remaining = self.log.begin(name, self._identity(), self._ranges)
        if self.plan.is_ordered:
            self._compare_ranges(remaining)
        elif remaining:
            self._compare_classes()
        total = self.log.total(name)
        verdict = Verdict(
            CONTENTS,
            name,
            self.mapping.legacy.row_key,
            ACROSS,
            {lens.legacy.name: lens.loss for lens in self.mapping.lenses if lens.loss is not None},
            self.options if self.plan.is_ordered else replace(self.options, sample=None),
            self.limit,
        )
        if not 0 < total.differing <= MOST_SETTLED:
            return verdict.result(total, self.log.differences(name))
        differences, changing = self.databases.settled(
            list(self.log.differences(name)), self.options.settle
        )
        return verdict.result(settled(total, differences, changing), differences)

    def _identity(self) -> dict[str, Any]:
        return {
            "fingerprint": self.mapping.fingerprint,
            "phase": "move",
            "sample": self.options.sample,
            "database": f"{self.source.info.dbname} to {self.target.info.dbname}",
        }

    def _ranges(self) -> tuple[Range, ...]:
        if not self.plan.is_ordered:
            return (Range(),)
        size = self.options.range_rows or across.ROWS_PER_RANGE
        found = cut(self.source, self.mapping, size)
        sample = self.options.sample
        return found if sample is None else some(found, sample)

    def _compare_classes(self) -> None:
        """Compare without ranges: in one piece, which cannot be sampled or taken up again."""
        name = self.mapping.name
        self.log.forget(name)
        rows = catalog.estimate_rows(
            self.source, self.mapping.legacy.schema, self.mapping.legacy.name
        )
        for number, outcome in enumerate(self.databases.compare_classes(rows), start=1):
            self.log.add(name, number, outcome)
        self.log.add(name, 0, Outcome())  # the one range that had to be done

    def _compare_ranges(self, ranges: list[Numbered]) -> None:
        if len(ranges) <= 1:
            for number, part in ranges:
                self.log.add(self.mapping.name, number, self.databases.compare(part))
            return
        urls = url_of(self.source), url_of(self.target)

        def job(numbered: tuple[Numbered, ...]) -> across.Job:
            return across.Job(*urls, self.plan, numbered)

        compare_all(
            across.compare_ranges,
            job,
            ranges,
            across.RANGES_PER_JOB,
            log=self.log,
            name=self.mapping.name,
            options=self.options,
        )

    def _counts(self) -> Result:
        """Count both sides until they agree, or the time for settling is over."""
        for column in self.options.groups(self.mapping.name):
            if reason := counts.no_groups(self.mapping, column):
                return not_run(counts.NAME, reason)
        if self.plan.keys:
            return not_run(
                counts.NAME,
                "the mapping skips rows whose parent is missing in the target: `contents` tells "
                "them from rows that should be there",
            )
        end = time.monotonic() + self.options.settle
        counted = self._counted()
        changing = False
        while not counted.agrees and (left := end - time.monotonic()) > 0:
            time.sleep(min(_PAUSE, left))
            before, counted = counted, self._counted()
            changing = before != counted
        if changing and not counted.agrees:
            return not_run(counts.NAME, "the sides went on changing while they were counted")
        return counts.judge(counted, self.limit)

    def _counted(self) -> counts.Counted:
        legacy, target = self.databases.rows()
        groups = []
        for column in self.options.groups(self.mapping.name):
            left, right = self.databases.groups(column)
            groups += [
                counts.Group(column, value, left.get(value, 0), right.get(value, 0))
                for value in sorted(left.keys() | right.keys(), key=lambda v: (v is None, v or ""))
            ]
        return counts.Counted(
            f"the source's {self.mapping.legacy.sql}",
            f"the target's {self.mapping.target.sql}",
            legacy,
            target,
            tuple(groups),
        )

    def _integrity(self) -> Result:
        rules = self.options.rules.of(self.mapping)
        return integrity.examine(self.target, self.mapping, rules, self.limit)

    def _losses(self) -> Result:
        return losses.count(self.source, self.mapping)
