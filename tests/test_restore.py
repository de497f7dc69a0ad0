"""pg_dump of a database in the middle of a migration restores into an empty one, and goes on there.

With owners and rights; and without, where the roles are not there any more.
"""

from __future__ import annotations

import psycopg
import pytest

from compat.database import Database
from compat.operations import UncontractOp
from tests.programs import dump, run_script
from tests.run.support import (
    catalogue,
    contents,
    make_lines,
    ordinary_role,
    own,
    phase,
    steps,
    verify,
)
from tests.test_alembic import create, operating

pytestmark = pytest.mark.proof

LEGACY = "SELECT * FROM lines ORDER BY id"
DONE = {
    "expanded": (),
    "copied": ("copy",),
    "cutover": ("copy", "cutover"),
    "contracted": ("copy", "cutover", "contract"),
}
NEXT = {"expanded": ("copy", "cutover"), "copied": ("cutover",), "cutover": ("rollback",)}


def tables(conn: psycopg.Connection) -> dict[str, list[str]]:
    """The rows; of a sequence, a dump does not keep how many values are in the log."""
    return {name: rows for name, rows in contents(conn).items() if not name.endswith("_seq")}


@pytest.mark.parametrize("without_roles", [False, True], ids=["as-it-is", "without-roles"])
@pytest.mark.parametrize("at", DONE)
def test_a_dump_of_a_migration_restores_into_an_empty_database_and_it_goes_on_there(
    server: Database, url: str, conn: psycopg.Connection, at: str, without_roles: bool
) -> None:
    mapping = make_lines(conn)
    conn.execute("CREATE TABLE returns (line_id integer REFERENCES lines)")
    conn.execute("INSERT INTO returns SELECT id FROM lines WHERE id % 3 = 0")
    legacy = conn.execute(LEGACY).fetchall()
    with ordinary_role(conn) as owner:
        if without_roles:
            own(conn, owner, "lines", "lines_v2", "returns")
        with operating(url) as operations:
            create(operations, mapping)
        steps(url, "lines", *DONE[at])
        if at == "cutover":
            assert verify(url) == 0  # what it has found is dumped, too
        before, rows = catalogue(conn), tables(conn)
        script = dump(server, url, *["--no-owner", "--no-privileges"] * without_roles)

    with server.fresh() as other, psycopg.connect(other, autocommit=True) as restored:
        run_script(server, other, script)

        assert phase(restored, "lines") == at
        assert tables(restored) == rows
        if not without_roles:
            assert catalogue(restored) == before
        if at == "contracted":
            with operating(other) as operations:
                operations.invoke(UncontractOp(mapping))
        if at != "expanded":  # where nothing has been copied yet
            assert verify(other) == 0
        steps(other, "lines", *NEXT.get(at, ()))
        assert restored.execute(LEGACY).fetchall() == legacy
        assert verify(other) == 0
