"""The form `reversed` by its commands: the copy fills rows in place, and nobody notices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compat.mapping import Mapping
from tests.compat.migrations import one, value
from tests.run.support import (
    Connection,
    changed_url,
    compat_here,
    fill_lines,
    make_lines,
    ordinary_role,
    own,
    picture,
    steps,
    succeed,
    verify,
    write_mapping,
)

AUDITED = (
    "CREATE TABLE audit (line integer);"
    "CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    "  INSERT INTO audit VALUES (NEW.id); RETURN NEW; END $$;"
    "CREATE TRIGGER audited BEFORE UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION note_it()"
)


def make_reversed(conn: Connection, rows: int = 30) -> Mapping:
    return replace(make_lines(conn, rows), form="reversed")


def test_there_and_back_leaves_the_database_as_it_was(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    mapping = make_reversed(conn)
    conn.execute(f"{AUDITED}; CREATE INDEX ON lines_v2 (state)")
    file = write_mapping(mapping, tmp_path)
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'lines'::regclass AND attnum > 0"
    before = conn.execute(f"{columns} ORDER BY attnum").fetchall()
    plan = succeed(url, "plan", file).out
    assert "lines gets unit_price" in plan
    assert "lines_v2_quantity_check" in plan, "v2 is told what is not checked for it yet"
    succeed(url, "expand", file, "--execute")
    assert succeed(url, "copy", "lines", "--execute", "--json").json["rows_copied"] == 30
    assert value(conn, "SELECT count(*) FROM audit") == 0
    assert (
        value(conn, "SELECT count(*) FROM pg_indexes WHERE indexdef ~ 'lines .*\\(state\\)'") == 1
    )
    assert verify(url) == 0
    steps(url, "lines", "cutover")
    assert verify(url) == 0
    assert "compat switch lines" in succeed(url, "status", "lines").out
    ended = compat_here(url, "contract", "lines", "--execute", "--force", "--watch", "0s")
    assert (ended.code, "holds the rows" in ended.err) == (2, True)
    conn.execute("UPDATE lines_v2 SET state = 'done' WHERE line_id = 3")
    assert one(conn, "SELECT status FROM lines WHERE id = 3") == (3,)
    steps(url, "lines", "rollback", "unexpand")
    assert conn.execute(f"{columns} AND NOT attisdropped ORDER BY attnum").fetchall() == before
    assert value(conn, "SELECT count(*) FROM lines_v2") == 0


def test_a_role_that_would_set_off_triggers_is_refused_before_anything_is_copied(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    mapping = make_reversed(conn, 0)
    conn.execute(AUDITED)
    fill_lines(conn, 5)
    with ordinary_role(conn) as role:
        own(conn, role, "lines", "lines_v2")
        theirs = changed_url(url, user=role)
        succeed(theirs, "expand", write_mapping(mapping, tmp_path), "--execute")
        before = picture(conn)
        ended = compat_here(theirs, "copy", "lines", "--execute")
        assert ended.code == 2
        assert "would set off its triggers (audited)" in ended.err
        assert "session_replication_role" in ended.err
        assert picture(conn) == before
        conn.execute("DROP TRIGGER audited ON lines")
        succeed(theirs, "copy", "lines", "--execute")
        steps(theirs, "lines", "cutover", "rollback", "unexpand")
        conn.execute("DROP SCHEMA compat CASCADE")
