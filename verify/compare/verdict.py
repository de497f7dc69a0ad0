"""What was compared, as the result of a check: counts, match rate, the first differences named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from verify.compare.differences import Difference, Outcome, counted
from verify.compare.join import LOOKED_AT
from verify.context import plural, shown
from verify.options import Options
from verify.report import Finding, Result, does_not_hold, holds, not_run
from verify.sinks import lines


@dataclass(frozen=True)
class Sides:
    """What the two sides are called in messages."""

    legacy: str
    other: str


WITHIN, ACROSS = Sides("table", "view"), Sides("source", "target")


def settled(total: Outcome, differences: tuple[Difference, ...], changing: int) -> Outcome:
    """Return what is left of an outcome after its rows were looked at again."""
    by_column, _ = counted(differences)
    kinds = [item.kind for item in differences]
    return replace(
        total,
        missing=kinds.count("missing"),
        extra=kinds.count("extra"),
        changed=kinds.count("changed"),
        changing=changing,
        by_column=by_column,
    )


@dataclass(frozen=True)
class Verdict:
    """Turns an outcome into a result.

    :param accepted: by column, the loss that the mapping accepts
    :param limit: how many differing rows are shown
    """

    check: str
    mapping: str
    key: tuple[str, ...]
    sides: Sides
    accepted: dict[str, str]
    options: Options
    limit: int

    def result(self, total: Outcome, differences: Iterable[Difference]) -> Result:
        """Return the result, and write all differences where they were asked for.

        :param differences: in the order of the key; read once
        """
        first: list[Difference] = []
        self.options.differences.write(
            lines(self.mapping, self.key, self._remembering(first, differences))
        )
        findings = tuple(chain.from_iterable(map(self._findings, first)))
        notes = tuple(self._notes(total))
        numbers = tuple(self._numbers(total))
        if total.differing and total.match_rate < self.options.threshold(self.mapping):
            summary = f"{self._summary(total)}; {total.view:,} in the {self.sides.other}"
            return does_not_hold(
                self.check, summary, findings, total.differing, notes=notes, numbers=numbers
            )
        summary = self._green(total)
        if total.changing:
            reason = f"{plural(total.changing, 'row')} went on changing while looked at; {summary}"
            return not_run(self.check, reason, notes=notes, numbers=numbers)
        return holds(
            self.check,
            summary,
            findings=findings,
            total=total.differing,
            notes=notes,
            numbers=numbers,
        )

    def _remembering(
        self, first: list[Difference], differences: Iterable[Difference]
    ) -> Iterator[Difference]:
        for item in differences:
            if len(first) < self.limit:
                first.append(item)
            yield item

    def _green(self, total: Outcome) -> str:
        sample = self.options.sample
        of_sample = "" if sample is None else f"a sample of {sample:g} %: "
        if not total.differing:
            equal = "all equal" if not total.changing else "no other difference"
            return f"{of_sample}{plural(total.view, 'row')} compared, {equal}"
        return (
            f"{of_sample}{_percent(total.match_rate)} of {plural(total.view, 'row')} match, which "
            f"is enough: {self._summary(total)}"
        )

    def _summary(self, total: Outcome) -> str:
        columns = ", ".join(f"{name}: {count:,}" for name, count in total.by_column.items())
        many = total.differing > LOOKED_AT and sum(total.by_column.values()) < total.changed
        of_first = f", of the first {LOOKED_AT:,} rows" if many else ""
        other = self.sides.other
        parts = (
            (total.missing, f"{plural(total.missing, 'row')} missing in the {other}"),
            (total.extra, f"{plural(total.extra, 'row')} only in the {other}"),
            (total.changed, f"{plural(total.changed, 'row')} changed ({columns}{of_first})"),
        )
        return ", ".join(text for count, text in parts if count)

    def _numbers(self, total: Outcome) -> Iterator[tuple[str, int]]:
        names = ("legacy", "view", "differing", "missing", "extra", "changed")
        yield from ((name, getattr(total, name)) for name in names)
        if self.accepted:
            yield "accepted losses", sum(total.losses.values())
        optional = ("changing", "orphans", "unselected")
        yield from ((name, getattr(total, name)) for name in optional if getattr(total, name))
        yield from ((f"changed {name}", count) for name, count in total.by_column.items())

    def _notes(self, total: Outcome) -> Iterator[str]:
        for name, loss in self.accepted.items():
            if count := total.losses.get(name, 0):
                yield f"{name}: {plural(count, 'row')} with an accepted loss ({loss})"
        if total.orphans:
            yield f"{plural(total.orphans, 'row')} skipped, since a parent is missing in the target"
        if total.unselected:
            yield (
                f"{plural(total.unselected, 'row')} moved that the mapping's condition selects no "
                "longer"
            )
        if total.differing:
            yield f"match rate: {_percent(total.match_rate)}"

    def _findings(self, item: Difference) -> Iterator[Finding]:
        key = tuple(zip(self.key, item.key, strict=True))
        where = ", ".join(f"{name} = {shown(value)}" for name, value in key)
        legacy, other = self.sides.legacy, self.sides.other
        if item.kind != "changed":
            side = f"not in the {other}" if item.kind == "missing" else f"only in the {other}"
            yield Finding(item.kind, where, f"the row is {side}", key)
        for cell in item.cells:
            message = (
                f"{cell.column}: {shown(cell.expected)} in the {legacy}, "
                f"{shown(cell.found)} in the {other}"
            )
            yield Finding(item.kind, where, message, key, cell.expected, cell.found)


def _percent(rate: float) -> str:
    return f"{rate:.6f}".rstrip("0").rstrip(".") + " %"
