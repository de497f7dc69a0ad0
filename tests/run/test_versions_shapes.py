"""Versions on top of versions where one of them is over several tables, all of them written to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
import pytest
from psycopg import errors

from compat import catalog, rules, state
from compat.errors import StateError
from compat.mapping import Mapping
from compat.run import health
from compat.run import steps as run
from compat.shapes import Choice, Half, Parent, Tag
from tests.compat.migrations import Connection, Migration, outcome, value
from tests.run.support import catalogue, verify

pytestmark = [pytest.mark.proof, pytest.mark.installed]

V1 = """
CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, town integer, vip boolean NOT NULL
    DEFAULT false);
INSERT INTO people (name, town, vip)
SELECT 'p' || n, nullif(n % 4, 0), n % 3 = 0 FROM generate_series(1, 20) AS n;
"""


def _mapping(conn: Connection, name: str, legacy: str, target: str, **options: object) -> Mapping:
    column_rules = options.pop("rules")
    assert isinstance(column_rules, tuple)
    return Migration.between(conn, legacy, target, column_rules, name=name, **options).mapping


def _migrate(conn: Connection, mapping: Mapping) -> None:
    run.expand(conn, mapping)
    Migration(conn, mapping).copy()
    run.cutover(conn, mapping.name)


@dataclass(frozen=True)
class Story:
    """Two migrations on top of each other, and what clients of the newest version do.

    :param middle: tables of v2, and those of v3
    :param views: the views once both are cut over, with their keys
    :param writes: what is done to the newest tables
    """

    middle: str
    first: Callable[[Connection], Mapping]
    second: Callable[[Connection], Mapping]
    views: dict[str, str]
    writes: tuple[str, ...]


def _renamed(conn: Connection) -> Mapping:
    return _mapping(
        conn,
        "first",
        "people",
        "v2",
        rules=(
            rules.Column("id", "number"),
            rules.Column("name", "name"),
            rules.Cast("town", "place"),
            rules.Flag("vip", "vip_since"),
        ),
    )


V2 = """
CREATE TABLE v2 (number integer PRIMARY KEY, name text NOT NULL, place text, vip_since timestamptz,
    hidden text DEFAULT 'h');
"""
SECOND_RULES = (
    rules.Cast("number", "number"),
    rules.Column("name", "name"),
    rules.Column("place", "place"),
    rules.Column("vip_since", "since"),
    rules.Column("hidden", "hidden"),
)


def _with_parent(conn: Connection) -> Mapping:
    places = catalog.reflect_table(conn, "places")
    return _mapping(
        conn,
        "second",
        "v2",
        "v3",
        rules=SECOND_RULES,
        parts=(Parent(places, (("id", "place_id"),), ("place",)),),
    )


def _with_half(conn: Connection, is_optional: bool = False) -> Mapping:
    places = catalog.reflect_table(conn, "places")
    return _mapping(
        conn,
        "second",
        "v2",
        "v3",
        rules=SECOND_RULES,
        parts=(Half(places, (("number", "number"),), ("place",), optional=is_optional),),
    )


def _with_choice(conn: Connection) -> Mapping:
    other = catalog.reflect_table(conn, "vips")
    return _mapping(
        conn,
        "second",
        "v2",
        "v3",
        rules=SECOND_RULES,
        choices=(Choice(other, "vip_since IS NOT NULL"),),
    )


def _shared(conn: Connection) -> Mapping:
    return _mapping(conn, "second", "v2", "v3", rules=SECOND_RULES, tag=Tag("kind", "person"))


def _split_first(conn: Connection) -> Mapping:
    half = catalog.reflect_table(conn, "half2")
    return _mapping(
        conn,
        "first",
        "people",
        "v2",
        rules=(
            rules.Column("id", "number"),
            rules.Column("name", "name"),
            rules.Column("town", "town"),
            rules.Flag("vip", "vip_since"),
        ),
        parts=(Half(half, (("number", "number"),), ("town", "vip")),),
    )


def _replaced_target(conn: Connection) -> Mapping:
    return _mapping(
        conn,
        "second",
        "v2",
        "v3",
        rules=(rules.Column("number", "no"), rules.Cast("name", "title")),
    )


def _replaced_half(conn: Connection) -> Mapping:
    return _mapping(
        conn,
        "second",
        "half2",
        "half3",
        rules=(
            rules.Column("number", "no"),
            rules.Cast("town", "town"),
            rules.Cast("vip_since", "since", timezone="UTC"),
        ),
    )


def _authored(conn: Connection) -> Mapping:
    towns = catalog.reflect_table(conn, "towns")
    return _mapping(
        conn,
        "first",
        "people",
        "v2",
        rules=(
            rules.Column("id", "number"),
            rules.Column("name", "name"),
            rules.Cast("town", "label"),
            rules.Column("vip", "vip"),
        ),
        parts=(Parent(towns, (("id", "town_id"),), ("town",), orphans="delete"),),
    )


def _replaced_parent(conn: Connection) -> Mapping:
    return _mapping(
        conn,
        "second",
        "towns",
        "towns3",
        rules=(rules.Column("id", "uid"), rules.Column("label", "title")),
    )


V3 = """
    number bigint PRIMARY KEY, name text NOT NULL, since timestamptz, hidden text, more text
"""
SPLIT = """
CREATE TABLE v2 (number integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE half2 (number integer PRIMARY KEY, town integer, vip_since timestamptz);
"""

STORIES = {
    "v3 has parents": Story(
        V2 + f"CREATE TABLE places (id serial PRIMARY KEY, place text NOT NULL UNIQUE);"
        f"CREATE TABLE v3 ({V3}, place_id integer REFERENCES places)",
        _renamed,
        _with_parent,
        {"people": "id", "v2": "number"},
        (
            "UPDATE places SET place = '77' WHERE place = '1'",
            "UPDATE v3 SET place_id = NULL WHERE number = 5",
            "DELETE FROM v3 WHERE number = 6",
        ),
    ),
    "v3 has halves": Story(
        V2 + f"CREATE TABLE v3 ({V3}); CREATE TABLE places (number bigint PRIMARY KEY, place text)",
        _renamed,
        _with_half,
        {"people": "id", "v2": "number"},
        ("UPDATE places SET place = '77' WHERE place = '1'", "DELETE FROM places WHERE number = 6"),
    ),
    "v3 has halves of some": Story(
        V2 + f"CREATE TABLE v3 ({V3}); CREATE TABLE places (number bigint PRIMARY KEY, place text)",
        _renamed,
        lambda conn: _with_half(conn, is_optional=True),
        {"people": "id", "v2": "number"},
        ("UPDATE places SET place = '77' WHERE place = '1'", "DELETE FROM places WHERE number = 6"),
    ),
    "v3 is split by predicate": Story(
        V2 + f"CREATE TABLE v3 ({V3}, place text); CREATE TABLE vips ({V3}, place text)",
        _renamed,
        _with_choice,
        {"people": "id", "v2": "number"},
        (
            "UPDATE vips SET name = upper(name)",
            "DELETE FROM v3 WHERE number = 5",
            "INSERT INTO vips (number, name, since) VALUES (500, 'new', now())",
        ),
    ),
    "v3 is shared": Story(
        V2 + "CREATE TABLE v3 (number bigint NOT NULL, name text NOT NULL, since timestamptz,"
        " hidden text, place text, kind text NOT NULL, PRIMARY KEY (kind, number));"
        " INSERT INTO v3 VALUES (1, 'other', NULL, NULL, NULL, 'firm')",
        _renamed,
        _shared,
        {"people": "id", "v2": "number"},
        (
            "UPDATE v3 SET name = upper(name)",
            "INSERT INTO v3 (number, name, kind) VALUES (500, 'new', 'person')",
            "UPDATE v3 SET kind = 'firm', number = 1000 WHERE number = 5",
        ),
    ),
    "v2 is split, and its target replaced": Story(
        SPLIT + "CREATE TABLE v3 (no integer PRIMARY KEY, title varchar NOT NULL, colour text)",
        _split_first,
        _replaced_target,
        {"people": "id", "v2": "number"},
        (
            "UPDATE half2 SET town = 77 WHERE town = 1",
            "UPDATE v3 SET title = upper(title), colour = 'red'",
        ),
    ),
    "v2 is split, and its half replaced": Story(
        SPLIT + "CREATE TABLE half3 (no integer PRIMARY KEY, town bigint, since timestamp)",
        _split_first,
        _replaced_half,
        {"people": "id", "half2": "number"},
        ("UPDATE half3 SET town = 77 WHERE town = 1", "UPDATE v2 SET name = 'x' WHERE number = 5"),
    ),
    "v2 has parents, and they are replaced": Story(
        "CREATE TABLE towns (id serial PRIMARY KEY, label bigint NOT NULL UNIQUE);"
        "CREATE TABLE v2 (number integer PRIMARY KEY, name text NOT NULL, vip boolean NOT NULL,"
        " town_id integer);"
        "CREATE TABLE towns3 (uid integer PRIMARY KEY, title bigint NOT NULL UNIQUE)",
        _authored,
        _replaced_parent,
        {"people": "id", "towns": "id"},
        (
            "UPDATE towns3 SET title = 77 WHERE title = 1",
            "UPDATE v2 SET name = 'x' WHERE number = 5",
        ),
    ),
}

V1_WRITES = (
    "INSERT INTO {} (id, name, town) VALUES (100, 'new', 9), (101, 'newer', NULL) RETURNING *",
    "UPDATE {} SET town = 10 WHERE id = 1",
    "UPDATE {} SET vip = NOT vip, name = name || '!' WHERE id IN (2, 3) RETURNING *",
    "UPDATE {} SET town = NULL WHERE id = 7",
    "UPDATE {} SET id = 300 WHERE id = 8",
    "INSERT INTO {} (id, name) VALUES (300, 'again')",
    "DELETE FROM {} WHERE id IN (9, 10) RETURNING name",
)


def _rows(conn: Connection, name: str, key: str) -> list[tuple[object, ...]]:
    return conn.execute(f"SELECT * FROM {name} ORDER BY {key}").fetchall()


def _problems(conn: Connection) -> set[tuple[str, ...]]:
    return {health.problems(conn, stored) for stored in state.load_all(conn)}


def _is_current(conn: Connection, story: Story) -> bool:
    return all(
        _rows(conn, name, key) == _rows(conn, f"{name}__retired", key)
        for name, key in story.views.items()
    )


@pytest.mark.parametrize("kind", STORIES)
def test_versions_follow_each_other_forward_and_back(conn: Connection, url: str, kind: str) -> None:
    story = STORIES[kind]
    conn.execute(V1)
    conn.execute("CREATE TABLE twin (LIKE people INCLUDING ALL)")
    conn.execute("INSERT INTO twin TABLE people")
    conn.execute(story.middle)
    _migrate(conn, story.first(conn))
    second = story.second(conn)
    run.expand(conn, second)
    Migration(conn, second).copy()
    before, shown = catalogue(conn), _rows(conn, "people", "id")
    run.cutover(conn, "second")
    assert _problems(conn) == {()}
    assert [row[0] for row in _rows(conn, "people", "id")] == [row[0] for row in shown]
    for statement in V1_WRITES:
        done, expected = (outcome(conn, statement.format(name)) for name in ("people", "twin"))
        assert done == expected, statement
        assert _rows(conn, "people", "id") == _rows(conn, "twin", "id"), statement
        assert _is_current(conn, story), statement
    for statement in story.writes:
        assert conn.execute(statement).rowcount > 0, statement
        assert _is_current(conn, story), statement
    assert verify(url, "--mapping", "first") == 0
    shown = _rows(conn, "people", "id")
    run.rollback(conn, "second")
    assert catalogue(conn) == before
    assert _rows(conn, "people", "id") == shown
    assert _problems(conn) == {()}
    conn.execute("UPDATE people SET name = 'back', town = 11 WHERE id = 4")
    run.cutover(conn, "second")
    assert _is_current(conn, story)
    run.contract(conn, "second")
    conn.execute("UPDATE people SET town = 12 WHERE id = 4")
    run.rollback(conn, "first")
    assert _problems(conn) == {()}
    assert value(conn, "SELECT town FROM people WHERE id = 4") == 12
    conn.execute("UPDATE people SET town = 13 WHERE id = 4")
    run.cutover(conn, "first")
    assert value(conn, "SELECT town FROM people WHERE id = 4") == 13
    run.contract(conn, "first")


def test_a_second_table_of_an_older_version_waits_until_that_is_contracted(
    conn: Connection,
) -> None:
    conn.execute(V1)
    conn.execute(SPLIT + "CREATE TABLE v3 (no integer PRIMARY KEY, title varchar NOT NULL)")
    conn.execute("CREATE TABLE half3 (no integer PRIMARY KEY, town bigint, since timestamp)")
    _migrate(conn, _split_first(conn))
    target, half = _replaced_target(conn), replace(_replaced_half(conn), name="half")
    for mapping in (target, half):
        run.expand(conn, mapping)
        Migration(conn, mapping).copy()
    run.cutover(conn, "second")
    with pytest.raises(StateError, match="reads through second already") as refused:
        run.cutover(conn, "half")
    assert "contract first first" in str(refused.value)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="through second already"):
        Migration(conn, half).cutover()
    run.unexpand(conn, "half")
    with pytest.raises(StateError, match="reads through second already"):
        run.expand(conn, half)
    run.contract(conn, "first")
    conn.execute("TRUNCATE half3")
    _migrate(conn, half)
    assert _problems(conn) == {()}


def test_a_key_is_unique_among_all_tables_for_clients_of_all_versions(
    conn: Connection, url: str
) -> None:
    story = STORIES["v3 is split by predicate"]
    conn.execute(V1)
    conn.execute(story.middle)
    _migrate(conn, story.first(conn))
    _migrate(conn, story.second(conn))
    newer = "INSERT INTO v2 (number, name) VALUES (900, 'not a vip')"
    with psycopg.connect(url) as other:
        other.execute("INSERT INTO people (id, name, vip) VALUES (900, 'a vip', true)")
        conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(errors.LockNotAvailable):
            conn.execute(newer)
    with pytest.raises(errors.UniqueViolation):
        conn.execute(newer)
