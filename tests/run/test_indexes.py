"""Indexes that wait for the rows: dropped before the copy, and the same as before at its end.

Whatever ends the copy between, the next one builds them, and so does who takes the migration back.
"""

from collections.abc import Callable

import psycopg
import pytest

from compat import rules
from compat.compile import swap
from compat.connection import connect
from compat.mapping import Mapping
from compat.run import indexes
from tests.compat import migrations
from tests.compat.migrations import value
from tests.run.copying import finish, start_copy, until_alone, until_seen
from tests.run.support import (
    Connection,
    columns,
    compat_here,
    ended,
    phase,
    same_rows,
    steps,
    succeed,
)

pytestmark = pytest.mark.installed

DEFERRED = (
    "CREATE INDEX plain ON lines_v2 (remark)",
    "CREATE INDEX partial ON lines_v2 (state) WHERE deleted_at IS NULL",
    "CREATE INDEX expression ON lines_v2 (lower(remark), (quantity % 10))",
    "CREATE INDEX descending ON lines_v2 (created_at DESC NULLS LAST, state text_pattern_ops)",
    "CREATE INDEX including ON lines_v2 (order_id) INCLUDE (quantity) WITH (fillfactor = 70)",
    "CREATE INDEX hashed ON lines_v2 USING hash (state)",
    "CREATE INDEX ranged ON lines_v2 USING brin (line_id) WITH (pages_per_range = 8)",
    """CREATE INDEX "an INDEX of 100% ""odd"" 'names' :x" ON lines_v2 (position)""",
    "CREATE INDEX calling ON lines_v2 (shout(state))",
)
KEPT = (
    "CREATE UNIQUE INDEX alone ON lines_v2 (remark, line_id)",
    "CREATE INDEX told_of ON lines_v2 (quantity); COMMENT ON INDEX told_of IS 'do not lose me'",
    "CREATE INDEX measured ON lines_v2 ((quantity + 1));"
    " ALTER INDEX measured ALTER COLUMN 1 SET STATISTICS 500",
    "CREATE INDEX ordered ON lines_v2 (position); CLUSTER lines_v2 USING ordered",
)
SHOUT = "CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) $$"


def definitions(conn: Connection) -> list[str]:
    """All valid indexes of the target, in the words of the server."""
    query = (
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'lines_v2'::regclass AND indisvalid AND indisready ORDER BY 1"
    )
    return columns(conn.execute(query).fetchall())


def make_indexes(conn: Connection, *statements: str) -> list[str]:
    conn.execute(SHOUT)
    for statement in statements:
        conn.execute(statement)
    return definitions(conn)


def deferred(conn: Connection) -> int:
    return int(value(conn, "SELECT count(*) FROM compat.deferred_index"))


def begin_and_kill(url: str, conn: Connection) -> None:
    """Let a copy drop the indexes, and kill it among its rows."""
    process = start_copy(url, "--defer-indexes", "--throttle", "10")
    until_seen(conn, 10, process)
    process.kill()
    ended(process)
    until_alone(conn)


def test_indexes_that_guard_nothing_are_dropped_before_and_built_after_as_they_were(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(150)
    before = make_indexes(conn, *DEFERRED, *KEPT)
    forecast = succeed(url, "copy", "lines", "--defer-indexes").out
    assert forecast.count("dropped before, built again after") == len(DEFERRED)
    assert definitions(conn) == before
    process = start_copy(url, "--defer-indexes", "--throttle", "100")
    until_seen(conn, 1, process)

    assert len(definitions(conn)) == len(before) - len(DEFERRED)
    assert deferred(conn) == len(DEFERRED)
    assert ended(process).code == 0

    assert definitions(conn) == before
    assert deferred(conn) == 0
    assert same_rows(conn, mapping)
    steps(url, "lines", "cutover")


def test_indexes_stay_unless_it_is_asked_for(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(10)
    make_indexes(conn, *DEFERRED)
    oids = "SELECT array_agg(indexrelid ORDER BY 1) FROM pg_index"
    before = value(conn, oids)
    finish(url, conn, mapping)
    assert value(conn, oids) == before


@pytest.mark.parametrize("options", [(), ("--defer-indexes",)])
def test_a_copy_that_is_killed_leaves_a_note_by_which_the_next_one_builds_the_indexes(
    url: str,
    conn: psycopg.Connection,
    expand: Callable[[int], Mapping],
    options: tuple[str, ...],
) -> None:
    mapping = expand(100)
    before = make_indexes(conn, *DEFERRED)
    begin_and_kill(url, conn)
    assert deferred(conn) == len(DEFERRED)

    # As a build that was killed may leave it: one is there, another is there and not valid.
    conn.execute(DEFERRED[0])
    conn.execute("SET session_replication_role = replica; SET compat.early_writes = on")
    conn.execute("DELETE FROM lines_v2 WHERE line_id > 2")
    conn.execute("UPDATE lines_v2 SET state = 'same'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute("CREATE UNIQUE INDEX CONCURRENTLY partial ON lines_v2 (state)")
    conn.execute("DELETE FROM lines_v2")
    conn.execute("RESET session_replication_role")
    assert len(definitions(conn)) == len(before) - len(DEFERRED) + 1

    finish(url, conn, mapping, *options)

    assert definitions(conn) == before
    assert deferred(conn) == 0
    assert not value(conn, "SELECT count(*) FROM pg_index WHERE NOT indisvalid")


@pytest.mark.parametrize("way", ["command", "statements"])
def test_who_takes_the_migration_back_gets_the_indexes_back(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping], way: str
) -> None:
    mapping = expand(100)
    before = make_indexes(conn, *DEFERRED)
    begin_and_kill(url, conn)
    conn.execute(DEFERRED[0])  # which a build that was killed has made already

    if way == "command":
        succeed(url, "unexpand", "lines", "--execute")
    else:
        migrations.Migration(conn, mapping).run(
            swap.drop_compat_view(mapping), swap.drop_sync(mapping)
        )

    assert definitions(conn) == before
    assert migrations.uninstalled(conn)


def test_an_index_that_cannot_be_built_keeps_its_note_and_its_error(
    url: str, conn: psycopg.Connection, expand: Callable[[int], Mapping]
) -> None:
    mapping = expand(10)
    conn.execute("CREATE INDEX inverse ON lines_v2 ((1 / (line_id - 5)))")
    before = definitions(conn)

    result = compat_here(url, "copy", "lines", "--execute", "--defer-indexes")

    assert result.code == 2
    assert "division by zero" in result.err
    assert (phase(conn, "lines"), deferred(conn)) == ("copying", 1)
    conn.execute("DELETE FROM lines WHERE id = 5")
    finish(url, conn, mapping)
    assert definitions(conn) == before


def test_indexes_of_a_partitioned_target_are_left_alone(url: str, conn: psycopg.Connection) -> None:
    """They cannot be built concurrently."""
    conn.execute(
        'CREATE TABLE "Old" (id integer PRIMARY KEY, v text);'
        'CREATE TABLE "New" (id integer PRIMARY KEY, v text) PARTITION BY RANGE (id);'
        'CREATE TABLE part PARTITION OF "New" DEFAULT; CREATE INDEX "of v" ON "New" (v);'
        "INSERT INTO \"Old\" SELECT g, 'x' FROM generate_series(1, 10) AS g"
    )
    lenses = [rules.Column("id", "id"), rules.Column("v", "v")]
    mapping = migrations.Migration.between(conn, '"Old"', '"New"', lenses).expand().mapping
    with connect(url) as mine:
        assert indexes.deferrable(mine, mapping) == []

    succeed(url, "copy", "Old", "--execute", "--defer-indexes")

    assert same_rows(conn, mapping)
