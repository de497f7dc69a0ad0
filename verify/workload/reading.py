"""Where an application's statements come from: a file, a PostgreSQL log, pg_stat_statements.

Each with its place, so that the report can say which one; what cannot be used is said too. Parsers
are imported when there is something to read: most runs of the verification have nothing.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import sql

from compat.connection import Connection
from compat.errors import CompatError

STATISTICS: Final = "pg_stat_statements"
"""Given in place of a file: the statements that the server has counted."""

MOST_OF_STATISTICS: Final = 500

_QUERIES = frozenset(("SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE"))
_OPENS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(\\?[A-Za-z]*)", re.DOTALL)
_LOGGED = re.compile(
    r"(?:duration: [\d.]+ ms  )?(?:statement|execute [^:]*): (?P<text>.*)", re.DOTALL
)
_PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')(?:, |$)")

# Columns of a csvlog, which has no header: database_name, message, detail, application.
_DATABASE, _MESSAGE, _DETAIL, _APPLICATION = 2, 13, 14, 22


@dataclass(frozen=True)
class Statement:
    """One statement of an application.

    :param place: where it stands, for people
    """

    text: str
    place: str


@dataclass(frozen=True)
class Workload:
    """What was read.

    :param left_out: why others were not taken, and how many
    """

    statements: tuple[Statement, ...] = ()
    left_out: tuple[str, ...] = ()


NOTHING = Workload()


def load(path: Path, database: str | None = None) -> Workload:
    """Return the statements in a file: .csv and .json are PostgreSQL logs, anything else is SQL.

    In SQL a statement ends with a semicolon; a file without any has one on each line.

    :param database: log lines of others are passed over; None takes all
    :raises CompatError: it cannot be read, or is no log of PostgreSQL
    """
    try:
        text = path.read_text(encoding="utf-8")
        match path.suffix:
            case ".csv":
                found = _logged(path, _csv_lines(text), database)
            case ".json" | ".jsonl":
                found = _logged(path, _json_lines(text), database)
            case _:
                found = _in_file(path.name, text)
        return _usable(found)
    except OSError as error:
        raise CompatError(f"{path} cannot be read: {error.strerror}", "name another file") from None
    except (ValueError, csv.Error, IndexError) as error:
        raise CompatError(
            f"{path} cannot be read as a log of PostgreSQL: {error}",
            "give a csvlog (.csv), a jsonlog (.json), or SQL (.sql)",
        ) from None


def from_statistics(conn: Connection, name: str) -> Workload | None:
    """Return the statements that the server has counted and that mention a name, the busiest first.

    None without the extension. Constants are parameters there.

    :raises psycopg.Error: its view cannot be read
    """
    row = conn.execute(
        "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n"
        " ON n.oid = e.extnamespace WHERE e.extname = %s",
        [STATISTICS],
    ).fetchone()
    if row is None:
        return None
    rows = conn.execute(
        sql.SQL(
            "SELECT query, queryid FROM {} WHERE dbid = (SELECT oid FROM pg_catalog.pg_database"
            " WHERE datname = current_database()) AND strpos(lower(query), lower(%s)) > 0"
            " ORDER BY calls DESC, queryid LIMIT %s"
        ).format(sql.Identifier(row[0], STATISTICS)),
        [name, MOST_OF_STATISTICS],
    ).fetchall()
    return _usable(Statement(text, f"{STATISTICS} {number}") for text, number in rows)


def _usable(found: Iterable[Statement]) -> Workload:
    """Keep queries, each once; count the rest by what it begins with."""
    kept: dict[str, Statement] = {}
    others: Counter[str] = Counter()
    for statement in found:
        match = _OPENS.match(statement.text)
        word = match[1].upper() if match else ""
        if word in _QUERIES:
            kept.setdefault(statement.text, statement)
        elif word or statement.text.strip():
            others[word or "?"] += 1
    left_out = tuple(f"{count} × {word}: no query" for word, count in sorted(others.items()))
    return Workload(tuple(kept.values()), left_out)


def _in_file(name: str, text: str) -> Iterator[Statement]:
    from codemods.sql.lexer import Kind, segments, statements

    found = segments(text)
    if any(segment.kind is Kind.SEMICOLON for segment in found):
        spans = list(statements(text, found))
    else:
        lines = re.finditer(r"[^\n]+", text)
        spans = [match.span() for match in lines]
    for start, end in spans:
        body = text[start:end].strip()
        code = _OPENS.match(body)
        if body and code and (code[1] or code.end() < len(body)):
            begin = start + text[start:end].index(body)
            yield Statement(body, f"{name}:{text.count(chr(10), 0, begin) + 1}")


@dataclass(frozen=True)
class _Line:
    """What matters of a log line."""

    number: int
    database: str
    application: str
    message: str
    detail: str


def _csv_lines(text: str) -> Iterator[_Line]:
    reader = csv.reader(io.StringIO(text, newline=""))
    for row in reader:
        yield _Line(reader.line_num, row[_DATABASE], row[_APPLICATION], row[_MESSAGE], row[_DETAIL])


def _json_lines(text: str) -> Iterator[_Line]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        item = json.loads(line)
        if not isinstance(item, dict):
            raise ValueError(f"line {number} is no object")
        names = ("dbname", "application_name", "message", "detail")
        yield _Line(number, *(str(item.get(name) or "") for name in names))


def _logged(path: Path, lines: Iterable[_Line], database: str | None) -> Iterator[Statement]:
    for line in lines:
        match = _LOGGED.fullmatch(line.message)
        is_ours = line.application == "compat" or line.application.startswith("compat ")
        if match is None or is_ours or (database is not None and line.database != database):
            continue
        given = dict(_PARAMETER.findall(line.detail))
        text = match["text"].strip().rstrip(";")
        yield Statement(filled(text, given), f"{path.name}:{line.number}")


def filled(text: str, values: dict[str, str]) -> str:
    """Return a statement with literals in place of those parameters ($1) whose value is known."""
    from codemods.sql.lexer import Kind, segments

    for segment in reversed(segments(text)):
        if segment.kind is Kind.PARAMETER and text[segment.start] == "$":
            value = values.get(text[segment.start + 1 : segment.end])
            if value is not None:
                text = text[: segment.start] + value + text[segment.end :]
    return text
