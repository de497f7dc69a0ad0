"""What has been compared so far, range by range, in a file: a long run can go on where it stopped.

JSON lines, each written when a range is done; differing rows wait here, not in memory, for the end.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from compat.errors import CompatError, StateError
from verify.compare.differences import Difference, Outcome
from verify.compare.ranges import Range

_KEPT_IN_MEMORY = 1 << 20

Numbered = tuple[int, Range]


class Log:
    """The ranges of each mapping, and what was found in those that are done."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._begun: dict[str, tuple[dict[str, Any], tuple[Range, ...]]] = {}
        self._places: dict[str, dict[int, int]] = {}
        self._read()

    @staticmethod
    def temporary() -> Log:
        """Return a log that nobody else sees, and that is gone with this value."""
        return Log(tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY))

    def begin(
        self, name: str, identity: dict[str, Any], cut: Callable[[], tuple[Range, ...]]
    ) -> list[Numbered]:
        """Return the ranges of a mapping that have still to be compared, with their numbers.

        :param identity: what must be the same for the work to go on: fingerprint, phase, databases
        :param cut: makes the ranges of a run that begins
        :raises StateError: the file speaks of another state of the mapping
        """
        if name in self._begun:
            known, ranges = self._begun[name]
            if known != identity:
                changed = ", ".join(k for k in identity if identity[k] != known.get(k))
                raise StateError(
                    f"the interrupted run over {name!r} cannot go on: {changed} changed since",
                    "delete the file that --resume names, to begin again",
                )
        else:
            ranges = cut()
            self._begun[name] = identity, ranges
            bounds = [[part.after, part.upto] for part in ranges]
            self._write({"mapping": name, "identity": identity, "ranges": bounds})
        done = self._places.setdefault(name, {})
        return [(number, part) for number, part in enumerate(ranges) if number not in done]

    @property
    def is_complete(self) -> bool:
        """Whether every range of every mapping is done."""
        return all(
            self._places[name].keys() >= set(range(len(ranges)))
            for name, (_, ranges) in self._begun.items()
        )

    def forget(self, name: str) -> None:
        """Forget what was found in a mapping, of which a part is of no use."""
        self._places[name] = {}

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def add(self, name: str, number: int, outcome: Outcome) -> None:
        """Remember what was found in one range."""
        document = {"mapping": name, "range": number, "outcome": outcome.as_json()}
        self._places[name][number] = self._write(document)

    def total(self, name: str) -> Outcome:
        """Return what was found in all ranges, without the differences themselves."""
        total = Outcome()
        for outcome in self.outcomes(name):
            total += replace(outcome, differences=())
        return total

    def outcomes(self, name: str) -> Iterator[Outcome]:
        """Yield what was found range by range, in the order of the key."""
        for _, place in sorted(self._places[name].items()):
            self._file.seek(place)
            yield Outcome.from_json(json.loads(self._file.readline())["outcome"])

    def differences(self, name: str) -> Iterator[Difference]:
        """Yield the differing rows that were kept, in the order of the key."""
        for outcome in self.outcomes(name):
            yield from outcome.differences

    def _write(self, document: dict[str, Any]) -> int:
        place = self._file.seek(0, 2)
        self._file.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        return place

    def _read(self) -> None:
        self._file.seek(0)
        place = 0
        for line in iter(self._file.readline, b""):
            if not line.endswith(b"\n"):
                break  # the run was killed in the middle of it
            document = json.loads(line)
            name = document["mapping"]
            if "ranges" in document:
                ranges = tuple(Range(*map(_key, bounds)) for bounds in document["ranges"])
                self._begun[name] = document["identity"], ranges
            else:
                self._places.setdefault(name, {})[document["range"]] = place
            place += len(line)
        self._file.truncate(place)


@contextmanager
def opened(path: Path | None) -> Iterator[Log]:
    """Yield the log; a file of its own, or the one by which an interrupted run goes on.

    The file is removed when every range has been compared.

    :param path: None for a temporary file
    :raises CompatError: the file cannot be written, or is no such log
    """
    if path is None:
        log = Log.temporary()
        try:
            yield log
        finally:
            log.close()
        return
    try:
        file = path.open("r+b" if path.exists() else "w+b")
    except OSError as error:
        raise CompatError(
            f"{path} cannot be written: {error.strerror}", "name another file after --resume"
        ) from None
    with file:
        try:
            log = Log(file)
        except (ValueError, KeyError, TypeError):
            raise CompatError(
                f"{path} does not hold the progress of a run", "name another file after --resume"
            ) from None
        yield log
        is_complete = log.is_complete
    if is_complete:
        path.unlink(missing_ok=True)


def _key(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
