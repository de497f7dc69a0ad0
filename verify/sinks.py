"""Where all differing rows go: a CSV or JSON Lines file, or a table.

One line for each differing column of a changed row, one for each missing or extra row.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from compat.connection import Connection, connect
from compat.errors import CompatError
from compat.names import qualified
from verify.compare.differences import Difference

_COLUMNS = ("mapping", "kind", "key", "column_name", "expected", "found")
_TABLE_PREFIX = "table:"


@dataclass(frozen=True)
class Line:
    """One differing value, or one row that is missing or extra; None is NULL.

    :param key: a JSON object of the key's columns
    """

    mapping: str
    kind: str
    key: str
    column_name: str | None = None
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True)
class Sink:
    """Takes lines.

    :param takes_all: whether it wants every difference, not only those that are shown
    """

    write: Callable[[Iterable[Line]], None]
    takes_all: bool = True


NOWHERE = Sink(lambda lines: deque(lines, maxlen=0).clear(), takes_all=False)


def lines(
    mapping: str, key_columns: tuple[str, ...], differences: Iterable[Difference]
) -> Iterator[Line]:
    """Yield the lines of some differences."""
    for item in differences:
        key = json.dumps(dict(zip(key_columns, item.key, strict=True)), ensure_ascii=False)
        if not item.cells:
            yield Line(mapping, item.kind, key)
        for cell in item.cells:
            yield Line(mapping, item.kind, key, cell.column, cell.expected, cell.found)


@contextmanager
def opened(place: str | None, url: str | None) -> Iterator[Sink]:
    """Yield where differences go, made empty, or added to when it is a table.

    :param place: FILE.csv, FILE.jsonl or table:SCHEMA.NAME; None for nowhere
    :param url: of the database that has the table
    :raises CompatError: another kind of file, or it cannot be written
    """
    if place is None:
        yield NOWHERE
    elif place.startswith(_TABLE_PREFIX):
        with connect(url, purpose="verify differences") as conn:
            yield _into_table(conn, place.removeprefix(_TABLE_PREFIX))
    else:
        path = Path(place)
        form = {".csv": _csv, ".jsonl": _json_line}.get(path.suffix)
        if form is None:
            raise CompatError(
                f"{place} is no place for differences",
                "name a file that ends in .csv or .jsonl, or table:SCHEMA.NAME",
            )
        try:
            file = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise CompatError(
                f"{place} cannot be written: {error.strerror}", "name another file"
            ) from None
        with file:
            if form is _csv:
                file.write(",".join(_COLUMNS) + "\n")
            yield Sink(lambda items: file.writelines(map(form, items)))


def _csv(line: Line) -> str:
    """As PostgreSQL's COPY writes CSV: what is NULL has no quotes, an empty text has them."""
    values = asdict(line).values()
    cells = ("" if value is None else '"' + value.replace('"', '""') + '"' for value in values)
    return ",".join(cells) + "\n"


def _json_line(line: Line) -> str:
    return json.dumps(asdict(line), ensure_ascii=False) + "\n"


def _into_table(conn: Connection, name: str) -> Sink:
    schema, dot, table = name.rpartition(".")
    relation = qualified(schema if dot else "public", table)
    columns = "mapping, kind, key, column_name, expected, found"
    conn.execute(
        f"CREATE TABLE IF NOT EXISTS {relation} (\n"
        "    found_at timestamptz NOT NULL DEFAULT now(), mapping text NOT NULL,\n"
        "    kind text NOT NULL, key jsonb NOT NULL, column_name text, expected text, found text)"
    )

    def write(items: Iterable[Line]) -> None:
        with (
            conn.transaction(),
            conn.cursor() as cursor,
            cursor.copy(f"COPY {relation} ({columns}) FROM STDIN") as copy,
        ):
            for item in items:
                copy.write_row(tuple(asdict(item).values()))

    return Sink(write)
