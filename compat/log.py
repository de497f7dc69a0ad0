"""The structured log: what the tools do, as events with fields, on the Python logger "compat".

Applications and Alembic's logging configuration see ordinary records; `writing_to` adds JSON lines.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from compat.errors import CompatError

Field = str | int | float | bool | None

_logger = logging.getLogger("compat")
# Who has configured no logging gets none of ours on his terminal.
_logger.addHandler(logging.NullHandler())


def event(name: str, level: int = logging.INFO, **fields: Field) -> None:
    """Log one event, e.g. `event("step.end", mapping="lines", step="cutover", seconds=0.012)`.

    :param name: what happened: a thing and a verb or noun, with a dot between (step.start)
    :param fields: what it happened to. No connection strings; None is left out
    """
    known = {key: value for key, value in fields.items() if value is not None}
    text = " ".join([name, *(f"{key}={value}" for key, value in known.items())])
    # As an argument, so that a % in a name is no directive.
    _logger.log(level, "%s", text, extra={"event": name, "fields": known})


@contextmanager
def writing_to(path: str | None) -> Iterator[None]:
    """Append the events as JSON lines to a file while the block runs.

    :param path: `-` is standard error; None writes nothing
    :raises CompatError: the file cannot be opened
    """
    if path is None:
        yield
        return
    try:
        handler = logging.StreamHandler(sys.stderr) if path == "-" else _appending_to(path)
    except OSError as error:
        raise CompatError(
            f"the log {path} cannot be written: {error.strerror}", "name another file for --log"
        ) from error
    handler.setFormatter(JsonLines())
    before = _logger.level
    _logger.addHandler(handler)
    _logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _logger.setLevel(before)
        _logger.removeHandler(handler)
        if path != "-":
            handler.close()


def _appending_to(path: str) -> logging.Handler:
    return logging.FileHandler(path, encoding="utf-8")


class JsonLines(logging.Formatter):
    """One JSON object per record: time (UTC), level, event, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.getMessage()),
            **getattr(record, "fields", {}),
        }
        return json.dumps(document, ensure_ascii=False, default=str)
