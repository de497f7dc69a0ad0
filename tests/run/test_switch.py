"""`compat switch`: a live migration goes to another form, and nobody's write is lost on the way."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

import verify
from compat.compile import switch as compiled
from compat.errors import MappingError, StateError
from compat.mapping import Form, Mapping
from compat.operations import SwitchFormOp
from compat.run import health, steps, switch
from compat.run.copy import CopyOptions
from compat.run.pace import Pace
from compat.state import load
from tests.compat.migrations import Migration, lines, one, value
from tests.faults.launcher import Command, Point
from tests.run.support import (
    Connection,
    fill_lines,
    picture,
    succeed,
    until,
    working,
)
from tests.test_alembic import operating

pytestmark = [pytest.mark.proof, pytest.mark.installed]

ROWS = 60
SMALL_BATCHES = CopyOptions(range_rows=20, pace=Pace(batch_size=5, batch_seconds=0))
WAYS = tuple(compiled.WAYS)


def cut_over(conn: Connection, form: Form, rows: int = ROWS) -> Migration:
    """`lines` cut over in a form, with a value that only v2 can tell."""
    migration = lines(conn, form=form)
    fill_lines(conn, rows)
    migration.expand().copy().cutover()
    conn.execute(
        "UPDATE lines_v2 SET created_at = created_at + interval '0.25 s', currency = 'USD'"
        " WHERE line_id = 1"
    )
    return migration


def legacy_rows(
    conn: Connection, mapping: Mapping, relation: str = "lines"
) -> list[tuple[Any, ...]]:
    columns = ", ".join(mapping.legacy.column_names)
    return conn.execute(f"SELECT {columns} FROM {relation} ORDER BY id").fetchall()


def v2_rows(conn: Connection, mapping: Mapping) -> list[tuple[Any, ...]]:
    columns = ", ".join(mapping.target.column_names)
    return conn.execute(f"SELECT {columns} FROM lines_v2 ORDER BY line_id").fetchall()


def check(conn: Connection, form: Form) -> Migration:
    """Check that everything is as a migration of a form should be."""
    stored = load(conn, "lines")
    assert (stored.mapping.chosen_form, stored.switching) == (form, None)
    assert health.problems(conn, stored) == ()
    return Migration(conn, stored.mapping)


@pytest.mark.parametrize(("before", "after"), WAYS)
def test_both_sides_hold_what_they_held_and_go_on_from_there(
    conn: Connection, before: Form, after: Form
) -> None:
    migration = cut_over(conn, before)
    mapping = migration.mapping
    legacy, v2 = legacy_rows(conn, mapping), v2_rows(conn, mapping)
    switch.switch(conn, "lines", after, SMALL_BATCHES)
    switched = check(conn, after)
    assert v2_rows(conn, mapping) == v2
    assert legacy_rows(conn, mapping) == legacy
    assert legacy_rows(conn, mapping, switched.mapping.retired) == legacy
    conn.execute("INSERT INTO lines (order_id, price, status) VALUES (900, '7.10', 2)")
    conn.execute("UPDATE lines_v2 SET state = 'done', unit_price = 2 WHERE line_id < 9")
    legacy = legacy_rows(conn, mapping)
    assert legacy_rows(conn, mapping, switched.mapping.retired) == legacy
    assert verify.run(conn).exit_code == 0
    assert not switch.switch(conn, "lines", after).changed
    assert legacy_rows(conn, mapping) == legacy
    switched.uncutover()
    assert legacy_rows(conn, mapping) == legacy
    switched.cutover()
    if after != "reversed":
        switched.contract()
    assert value(conn, "SELECT count(*) FROM lines_v2") == ROWS + 1


@pytest.mark.parametrize(("before", "after"), WAYS)
def test_no_write_of_either_side_is_lost_while_the_form_changes(
    conn: Connection, url: str, before: Form, after: Form
) -> None:
    cut_over(conn, before)
    told: dict[str, int] = {}

    def write(stop: threading.Event, statement: str) -> None:
        done = 0
        with psycopg.connect(url, autocommit=True) as client:
            while not stop.is_set():
                try:
                    done += client.execute(statement).rowcount
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                    continue
                told[statement] = done

    statements = (
        "UPDATE lines SET qty = qty + 1 WHERE id = 1",
        "UPDATE lines_v2 SET quantity = quantity + 1 WHERE line_id = 1",
        "UPDATE lines SET qty = qty + 1, status = status % 3 + 1 WHERE id = 1",
        "INSERT INTO lines (order_id) SELECT max(order_id) + 1 FROM lines",
        "DELETE FROM lines_v2 WHERE line_id = (SELECT max(line_id) FROM lines_v2"
        " WHERE line_id BETWEEN 40 AND 60)",
    )
    first = value(conn, "SELECT qty FROM lines WHERE id = 1")
    with working(*(partial(write, statement=statement) for statement in statements)):
        until(lambda: len(told) == len(statements), "writers that write")
        switch.switch(conn, "lines", after, SMALL_BATCHES)
        so_far = dict(told)
        until(lambda: all(told[s] > so_far[s] for s in statements[:4]), "writers that go on")
    switched = check(conn, after)
    assert value(conn, "SELECT qty FROM lines WHERE id = 1") == first + sum(
        told[s] for s in statements[:3]
    )
    assert (
        value(conn, "SELECT count(*) FROM lines")
        == ROWS + told[statements[3]] - told[statements[4]]
    )
    shown = legacy_rows(conn, switched.mapping)
    assert legacy_rows(conn, switched.mapping, switched.mapping.retired) == shown
    assert verify.run(conn).exit_code == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", range(12, 120, 27))
def test_a_switch_that_is_killed_goes_on_where_it_was(
    conn: Connection, url: str, tmp_path: Path, number: int, way: tuple[Form, Form]
) -> None:
    before, after = way
    mapping = cut_over(conn, before).mapping
    legacy, v2 = legacy_rows(conn, mapping), v2_rows(conn, mapping)
    arguments = ("switch", "lines", "--to", after, "--workers", "1", "--execute")
    command = Command(url, arguments, Point(number), tmp_path)
    if command.stopped() is not None:
        command.send(signal.SIGKILL)
    command.ended()
    assert (legacy_rows(conn, mapping), v2_rows(conn, mapping)) == (legacy, v2)
    succeed(url, *arguments)
    switched = check(conn, after)
    assert (legacy_rows(conn, mapping), v2_rows(conn, mapping)) == (legacy, v2)
    assert legacy_rows(conn, mapping, switched.mapping.retired) == legacy


@pytest.fixture
def interrupted(conn: Connection) -> Migration:
    """A switch from reversed to bridged, which a row that the target refuses has stopped."""
    migration = cut_over(conn, "reversed")
    conn.execute("ALTER TABLE lines_v2__aside ADD CHECK (quantity < 100)")
    conn.execute("UPDATE lines SET qty = 100 WHERE id = 30")
    with pytest.raises(Exception, match="id = 30 cannot be carried over"):
        switch.switch(conn, "lines", "bridged")
    return migration


def test_a_switch_that_cannot_go_on_is_taken_back_or_goes_on_when_the_row_is_mended(
    conn: Connection, interrupted: Migration
) -> None:
    assert load(conn, "lines").switching == "bridged"
    for step in (steps.rollback, steps.contract):
        with pytest.raises(StateError, match="is being switched to bridged"):
            step(conn, "lines")
    with pytest.raises(StateError, match="is being switched to bridged"):
        switch.switch(conn, "lines", "instead_of")
    switch.switch(conn, "lines", "reversed")
    check(conn, "reversed")
    assert value(conn, "SELECT count(*) FROM lines_v2__aside") == 0
    conn.execute("UPDATE lines SET qty = 1 WHERE id = 30")
    switch.switch(conn, "lines", "bridged")
    check(conn, "bridged")


def test_grants_prepared_statements_and_views_of_v2_live_on(conn: Connection, url: str) -> None:
    cut_over(conn, "reversed")
    conn.execute("GRANT SELECT ON lines_v2 TO PUBLIC")
    conn.execute("CREATE VIEW done AS SELECT line_id FROM lines_v2 WHERE state = 'done'")
    with psycopg.connect(url, autocommit=True) as client:
        client.execute("PREPARE all_of AS SELECT * FROM lines_v2 ORDER BY line_id")
        before = client.execute("EXECUTE all_of").fetchall()
        switch.switch(conn, "lines", "instead_of")
        assert client.execute("EXECUTE all_of").fetchall() == before
    assert value(conn, "SELECT has_table_privilege('public', 'lines_v2', 'SELECT')")
    conn.execute("UPDATE lines_v2 SET state = 'done'")
    assert value(conn, "SELECT count(*) FROM done") == ROWS


def test_the_dry_run_says_what_would_be_done_and_does_nothing(conn: Connection, url: str) -> None:
    cut_over(conn, "reversed")
    before = picture(conn)
    ended = succeed(url, "switch", "lines", "--to", "instead_of")
    assert 'ALTER TABLE "public"."lines_v2__aside" RENAME TO "lines_v2"' in ended.out
    assert "add --execute" in ended.out
    assert succeed(url, "switch", "lines", "--to", "reversed").out == "lines is reversed already\n"
    assert picture(conn) == before
    ended = succeed(url, "switch", "lines", "--to", "instead_of", "--execute", "--json")
    assert (ended.json["after"], ended.json["rows"]) == ("instead_of", ROWS)
    assert "compat contract" in succeed(url, "status", "lines").out


def test_what_is_no_way_is_refused_with_another_one(conn: Connection, url: str) -> None:
    migration = cut_over(conn, "instead_of")
    with pytest.raises(MappingError, match="cannot convert"):
        switch.switch(conn, "lines", "updatable")
    migration.uncutover()
    with pytest.raises(StateError, match="needs the phase cutover; it is copied"):
        switch.switch(conn, "lines", "bridged")


def test_a_revision_switches_an_empty_table_and_finds_done_what_was_done(
    conn: Connection, url: str
) -> None:
    before = cut_over(conn, "reversed", rows=0).mapping
    after = replace(before, form="bridged")
    last = replace(before, form="instead_of")
    for operation in (SwitchFormOp(before, after), SwitchFormOp(before, after)):
        with operating(url) as operations:
            operations.invoke(operation)
        check(conn, "bridged")
    conn.execute("INSERT INTO lines (order_id) VALUES (1)")
    with operating(url) as operations:
        operations.invoke(SwitchFormOp(after, last))
    assert one(conn, "SELECT state FROM lines_v2") == ("free",)
    check(conn, "instead_of")
