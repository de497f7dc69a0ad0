"""What the tests of the run share: commands as users start them, and pictures of a database.

A picture holds the catalogue and every row, so that "nothing changed" can be asserted.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import typer.main
from psycopg import sql

from compat.cli import app
from compat.mapping import Mapping
from compat.render import render_module
from tests.compat import migrations
from tests.forked import Process
from verify.cli import _app as verify_app

ROOT = Path(__file__).parents[2]
Connection = psycopg.Connection[Any]
DEADLINE = 60.0
INSIST = {"cutover": ("--unverified",), "contract": ("--force", "--watch", "0s")}
PASSWORD = "hush-hush"  # of the roles that tests make; must never be printed

# Nothing of the surroundings but what the commands are meant to read.
_NOT_INHERITED = ("DATABASE_URL", "COMPAT_DATABASE_URL", "PGPASSWORD", "PGHOST", "PGUSER")


# Commands ----------------------------------------------------------------------------------------

_command = functools.cache(typer.main.get_command)  # a third of the time of a short one


@dataclass(frozen=True)
class Ended:
    """What is left of a command: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


def environment(url: str | None, **more: str) -> dict[str, str]:
    """The variables for a command on this database."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return kept | ({"DATABASE_URL": url} if url is not None else {}) | more


def start(url: str | None, *arguments: str | Path) -> Process:
    """Start `compat` in a process of its own."""
    return Process(environment(url), tuple(map(str, arguments)))


def start_anew(url: str | None, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start `compat` as a shell would, in a Python that has imported nothing yet."""
    return subprocess.Popen(
        [sys.executable, "-c", "from compat.cli import main; main()", *map(str, arguments)],
        env=environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: Process | subprocess.Popen[str]) -> Ended:
    """Wait for the end of a command."""
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode is not None
    return Ended(process.returncode, out, err)


def compat(url: str | None, *arguments: str | Path) -> Ended:
    """Run `compat` in a process of its own, the database named by the environment."""
    return ended(start(url, *arguments))


def compat_here(url: str, *arguments: str | Path) -> Ended:
    """Run `compat` in this process: faster, and an error that nobody caught reaches the test."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            _command(app)([*map(str, arguments), "--url", url])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return Ended(code, out.getvalue(), err.getvalue())


def succeed(url: str, *arguments: str | Path) -> Ended:
    """Run a command in this process that must not fail."""
    result = compat_here(url, *arguments)
    assert result.code == 0, result
    return result


def verify(url: str, *arguments: str) -> int:
    """Run `compat-verify` in this process and return its exit code."""
    try:
        _command(verify_app)([url, *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def steps(url: str, name: str, *which: str) -> None:
    """Run some of copy, cutover, rollback, contract, with --execute, insisting where one can."""
    for step in which:
        succeed(url, step, name, "--execute", *INSIST.get(step, ()))


# Tables and mappings -----------------------------------------------------------------------------


def fill_lines(conn: Connection, rows: int) -> None:
    """Give the table `lines` so many deterministic rows."""
    conn.execute(
        "INSERT INTO lines (order_id, line_no, qty, price, status, created, deleted, note)"
        " SELECT g / 3, g %% 3, 1 + g %% 7, (g %% 90) || '.5' || (CASE g %% 4 WHEN 0 THEN '' ELSE"
        " '0' END), 1 + g %% 3, 1600000000 + g, g %% 11 = 0, CASE WHEN g %% 5 > 0 THEN 'n' || g END"
        " FROM generate_series(1, %s) AS g",
        [rows],
    )


def make_lines(conn: Connection, rows: int = 30) -> Mapping:
    """Make the tables `lines` and `lines_v2`, and return their mapping."""
    mapping = migrations.lines(conn).mapping
    fill_lines(conn, rows)
    return mapping


def write_mapping(mapping: Mapping, folder: Path, name: str = "mapping.py") -> Path:
    """Write a mapping as `compat draft` would have."""
    path = folder / name
    text = mapping.to_json() if path.suffix == ".json" else render_module(mapping)
    path.write_text(text, encoding="utf-8")
    return path


def phase(conn: Connection, name: str) -> str:
    """The phase of a migration as the database has it."""
    (found,) = migrations.one(conn, "SELECT phase FROM compat.mapping WHERE name = %s", [name])
    return str(found)


# Roles -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ordinary_role(conn: Connection) -> Iterator[str]:
    """A role that may log in with PASSWORD, and owns nothing."""
    name = f"compat_role_{os.urandom(4).hex()}"
    conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    try:
        yield name
    finally:
        conn.execute(f"DROP OWNED BY {name} CASCADE")
        conn.execute(f"DROP ROLE {name}")


def own(conn: Connection, role: str, *tables: str) -> None:
    """Let a role own tables, and create schemas as the owner of a database may."""
    database = sql.Identifier(conn.info.dbname)
    query = "GRANT CREATE ON DATABASE {} TO {}; GRANT CREATE ON SCHEMA public TO {}"
    grantee = sql.Identifier(role)
    conn.execute(sql.SQL(query).format(database, grantee, grantee))
    for table in tables:
        conn.execute(f"ALTER TABLE {table} OWNER TO {role}")


def changed_url(url: str, **parts: str) -> str:
    """The URL with another user and password, and everything else as it was."""
    old = urlsplit(url)
    user, password = parts.get("user", old.username or ""), parts.get("password", PASSWORD)
    place = old.netloc.rpartition("@")[2]
    query = f"?{old.query}" if old.query else ""
    return f"{old.scheme}://{user}:{password}@{place}{old.path}{query}"


# Pictures of a database --------------------------------------------------------------------------

_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_CATALOGUE = {
    "schemas": f"SELECT nspname, nspacl::text, obj_description(n.oid) FROM pg_namespace n"
    f" WHERE {_OURS}",
    "relations": "SELECT c.oid::regclass::text, c.relkind::text, pg_get_userbyid(c.relowner),"
    " (SELECT array_agg(g::text ORDER BY g::text) FROM unnest(coalesce(c.relacl,"
    "   acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))) AS g),"
    " obj_description(c.oid, 'pg_class'),"
    " CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END"
    f" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}",
    "columns": "SELECT a.attrelid::regclass::text, a.attnum, a.attname,"
    " format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),"
    " a.attacl::text, col_description(c.oid, a.attnum) FROM pg_attribute a"
    " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)"
    f" WHERE a.attnum > 0 AND NOT a.attisdropped AND {_OURS}",
    "constraints": "SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid),"
    " c.convalidated FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace"
    f" WHERE {_OURS}",
    "indexes": "SELECT pg_get_indexdef(i.indexrelid), i.indisvalid FROM pg_index i"
    " JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {_OURS}",
    "triggers": "SELECT t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid),"
    " t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND {_OURS}",
    "functions": "SELECT pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner),"
    " coalesce(p.proacl, acldefault('f', p.proowner))::text"
    f" FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS}",
    "sequences": "SELECT d.objid::regclass::text, d.refobjid::regclass::text, d.refobjsubid"
    " FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'"
    " WHERE d.deptype = 'a' AND d.refclassid = 'pg_class'::regclass",
}


def catalogue(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that DDL could have changed, without numbers that differ between databases."""
    return {
        name: sorted(conn.execute(query).fetchall(), key=repr) for name, query in _CATALOGUE.items()
    }


def contents(conn: Connection, *schemas: str) -> dict[str, list[str]]:
    """Every row of every table and the state of every sequence, as text."""
    tables = conn.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.relkind IN ('r', 'S') AND {_OURS} AND (%(all)s OR n.nspname = ANY (%(schemas)s))"
        " ORDER BY 1, 2",
        {"all": not schemas, "schemas": list(schemas)},
    ).fetchall()
    found = {}
    for schema, table in tables:
        relation = sql.Identifier(schema, table)
        query = sql.SQL("SELECT row(t.*)::text FROM {} AS t ORDER BY 1").format(relation)
        found[f"{schema}.{table}"] = [str(row[0]) for row in conn.execute(query)]
    return found


def picture(conn: Connection) -> tuple[Any, ...]:
    """The catalogue and all contents."""
    return catalogue(conn), contents(conn)


# Time and company --------------------------------------------------------------------------------


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with `what` when it does not come."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.005)


def copied_rows(conn: Connection, name: str) -> int:
    """How many rows the copy has seen so far; 0 before it began."""
    row = conn.execute(
        "SELECT sum(rows_seen) FROM compat.copy_range WHERE mapping = %s", [name]
    ).fetchone()
    return int(row[0] or 0) if row else 0


@contextlib.contextmanager
def working(*tasks: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run tasks in threads until the block is left; an error in one of them is raised here."""
    stop, errors = threading.Event(), list[BaseException]()

    def run(task: Callable[[threading.Event], None]) -> None:
        try:
            task(stop)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[task]) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
    if errors:
        raise errors[0]


def same_rows(conn: Connection, mapping: Mapping) -> bool:
    """Whether the standby view shows exactly what the legacy table holds, row by row."""
    return pairs(conn, mapping.standby) == pairs(conn, mapping.legacy.sql)


def pairs(conn: Connection, relation: str) -> list[str]:
    """The rows of a relation as text, sorted."""
    return [row[0] for row in conn.execute(f"SELECT x::text FROM {relation} AS x ORDER BY 1")]


def columns(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The first column of a result."""
    return [row[0] for row in rows]
