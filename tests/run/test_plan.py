"""The plan: what users are told before anything happens.

What it says of phases and steps is tested with the commands; here, what it says of columns.
"""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compat import catalog, rules, state
from compat.errors import CompatError
from compat.mapping import Mapping
from compat.run import needs
from compat.run.plan import plan
from compat.tables import Column, Constraint, Table
from tests.run.support import compat, make_lines, write_mapping


def test_the_plan_says_which_values_clients_will_not_be_able_to_write_any_more(
    conn: psycopg.Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, name text, state integer NOT NULL, price text,"
        " total numeric(10,2) NOT NULL)"
    )
    conn.execute(
        "CREATE TABLE new (id integer PRIMARY KEY, name text NOT NULL, state text NOT NULL,"
        " price numeric(12,2), cents integer NOT NULL)"
    )
    mapping = Mapping(
        "old",
        catalog.reflect_table(conn, "old"),
        catalog.reflect_table(conn, "new"),
        (
            rules.Column("id", "id"),
            rules.Column("name", "name"),
            rules.ValueMap("state", "state", ((1, "open"), (2, "closed"))),
            rules.Cast("price", "price"),
            rules.Cast("total", "cents", factor=100),
        ),
        accept=("price",),
    )
    refusals = {column.legacy: column.refusals for column in plan(conn, mapping).columns}
    assert refusals == {
        "id": (),
        "name": ("NULL",),
        "state": ("values without a pair",),
        "price": ("what does not fit into numeric(12,2)",),
        "total": ("what does not fit into integer",),
    }


def test_an_index_is_suggested_for_what_the_legacy_table_had_indexed_and_a_rule_converts(
    conn: psycopg.Connection,
) -> None:
    conn.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, created integer NOT NULL, state integer,"
        " mood mood, past varchar(4), size integer, days integer)"
    )
    for column in ("created", "state", "mood", "past", "size", "days"):
        conn.execute(f"CREATE INDEX ON old ({column})")
    conn.execute(
        "CREATE TABLE new (id integer PRIMARY KEY, created_at timestamptz NOT NULL, state text,"
        " mood varchar(20) CHECK (mood IN ('good', 'bad')), past mood, details jsonb,"
        " day timestamptz)"
    )
    moods = (("good", "good"), ("bad", "bad"))
    mapping = Mapping(
        "old",
        catalog.reflect_table(conn, "old"),
        catalog.reflect_table(conn, "new"),
        (
            rules.Column("id", "id"),
            rules.Epoch("created", "created_at"),
            rules.ValueMap("state", "state", ((1, "open"),)),
            rules.ValueMap("mood", "mood", moods),
            rules.ValueMap("past", "past", moods),
            rules.JsonField("size", "details", "size"),
            rules.Epoch("days", "day", "d", infinity=-1),
        ),
    )
    state.ensure_installed(conn)  # the index of a value map needs a function of ours
    suggested = plan(conn, mapping).indexes
    assert len(suggested) == 6
    for statement in suggested:
        conn.execute(statement)  # it is accepted: the expression is immutable
    conn.execute("SET enable_seqscan = off")
    for column in ("created", "state", "mood", "past", "size", "days"):
        read = mapping.lens(column).read(rules.Row("t"))
        value = "'bad'" if column in ("mood", "past") else "7"
        rows = conn.execute(f"EXPLAIN SELECT FROM new AS t WHERE {read} = {value}").fetchall()
        assert any("Index Cond" in row[0] for row in rows), rows


def lines() -> Mapping:
    """A mapping of renames only, for which both forms are possible."""
    key = Constraint("k", "primary_key", ("id",), "PRIMARY KEY (id)")
    names = ("id", "qty"), ("id", "quantity")
    legacy, target = (
        Table("public", name, tuple(Column(c, "integer", nullable=False) for c in columns), (key,))
        for name, columns in zip(("lines", "lines_v2"), names, strict=True)
    )
    both = tuple(rules.Column(old, new) for old, new in zip(*names, strict=True))
    return Mapping("lines", legacy, target, both)


def scanned(directory: Path, *behaviours: str, table: str = "public.lines") -> Path:
    """Write what a scan would say when each behaviour is needed in one place."""
    document: dict[str, Any] = {
        "version": 1,
        "server_version": 15,
        "mappings": [{"name": "scanned", "table": table, "form": "updatable"}],
        "uses": [
            {"path": "app.py", "line": n, "mapping": "scanned", "behaviour": b, "fix": "do without"}
            for n, b in enumerate(behaviours, 1)
        ],
    }
    path = directory / "needs.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_needs_tell_how_each_form_serves_them_and_which_serves_all(tmp_path: Path) -> None:
    conflict = needs.read(scanned(tmp_path, "ON CONFLICT (columns)", "LOCK TABLE"), lines())
    assert (conflict.form, conflict.serving, conflict.not_served) == (
        *("updatable", ("updatable", "reversed")),
        (),
    )
    copying = needs.read(scanned(tmp_path, "COPY … FROM", "reflection", "COPY … FROM"), lines())
    assert copying.serving == ("instead_of", "reversed")
    (missing,) = copying.not_served
    assert (missing.places, missing.fix) == (("app.py:1", "app.py:3"), "do without")
    assert {s.form: s.behaviour.verdict for s in missing.served} == {
        "updatable": "not possible",
        "instead_of": "kept",
        "reversed": "kept with a note",
    }
    of_a_table = needs.read(scanned(tmp_path, "TRUNCATE"), lines())
    assert of_a_table.serving == ("reversed",)


@pytest.mark.parametrize(("version", "served"), [(None, False), (16, False), (17, True)])
def test_a_merge_is_served_as_the_server_allows(
    tmp_path: Path, version: int | None, served: bool
) -> None:
    found = needs.read(scanned(tmp_path, "MERGE"), lines(), version)
    assert (not found.not_served) is served


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no result of a scan"),
        ('{"version": 1}', "is no result of a scan"),
        ('{"version": 2}', "of version 1"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_is_no_scan_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "needs.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CompatError, match=message):
        needs.read(path, lines())


def test_a_scan_of_another_table_or_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CompatError, match=r"says nothing of public\.lines"):
        needs.read(scanned(tmp_path, "TRUNCATE", table="public.other"), lines())
    with pytest.raises(CompatError, match="none of the plan's behaviours"):
        needs.read(scanned(tmp_path, "telepathy"), lines())


def test_the_command_ends_with_1_when_its_form_does_not_serve_a_need(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    mapping = make_lines(conn)
    file = write_mapping(mapping, tmp_path)
    served = scanned(tmp_path, "LOCK TABLE", table=mapping.legacy.title)
    kept = compat(url, "plan", file, "--needs", served)
    assert kept.code == 0, kept.err
    assert "the form instead_of serves all of it" in kept.out
    wanting = scanned(tmp_path, "TRUNCATE", "LOCK TABLE", table=mapping.legacy.title)
    failing = compat(url, "plan", file, "--needs", wanting, "--json")
    assert failing.code == 1, failing.err
    assert [need["behaviour"] for need in failing.json["needs"]["needs"]] == [
        "TRUNCATE",
        "LOCK TABLE",
    ]
    assert failing.json["needs"]["serving"] == ["reversed"]
