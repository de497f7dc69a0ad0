"""The Alembic operations: the reference revisions as users run them, and other people's projects.

Up and down with rows inside, online and as a script, beside the command line and instead of it.
"""

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from compat import operations as ops
from compat import rules, state
from compat.database import Database, sqlalchemy_url
from compat.mapping import Mapping
from compat.render import IMPORTS, render
from tests.compat import migrations
from tests.compat.migrations import one, value
from tests.forked import Process
from tests.programs import run_script
from tests.run.support import (
    ROOT,
    Connection,
    Ended,
    catalogue,
    compat_here,
    contents,
    ended,
    environment,
    make_lines,
    ordinary_role,
    phase,
    succeed,
    verify,
    write_mapping,
)
from tests.run.support import steps as run_steps

NAME = "order_line_items"
HEAD = f"{NAME}@head"  # a second branch, for another database, has a head of its own
LEGACY = f"SELECT * FROM {NAME} ORDER BY id"
TARGET = f"SELECT * FROM {NAME}_v2 ORDER BY line_item_id"
ONE_SCREEN = 24

Rows = list[tuple[Any, ...]]


def alembic(url: str, *arguments: str, folder: Path = ROOT) -> Ended:
    """Run the program `alembic` in a folder that holds an alembic.ini."""
    return ended(Process(environment(url), arguments, program="alembic", folder=folder))


def reached(result: Ended) -> str:
    """What Alembic logged of revisions that it has run."""
    assert result.code == 0, result.err
    return result.err


def configuration(url: str, output: io.StringIO | None = None) -> Config:
    """For the same revisions run in this process, which is faster."""
    config = Config(ROOT / "alembic.ini", output_buffer=output)
    config.attributes["configure_logging"] = False
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def upgrade(url: str, revision: str) -> None:
    command.upgrade(configuration(url), revision)


def downgrade(url: str, revision: str) -> None:
    command.downgrade(configuration(url), revision)


def script(url: str, direction: str, revisions: str) -> str:
    """What `alembic upgrade|downgrade FROM:TO --sql` prints."""
    output = io.StringIO()
    getattr(command, direction)(configuration(url, output), revisions, sql=True)
    return output.getvalue()


def refused(result: Ended) -> str:
    """What the user reads of a revision that failed for a reason that Alembic can print."""
    assert result.code != 0
    assert "Traceback" not in result.err
    message = (result.err + result.out).partition("FAILED: ")[2]
    assert message
    assert len((result.err + result.out).splitlines()) <= ONE_SCREEN
    return message


def load_shop(url: str, rows: int = 2_000) -> None:
    """Fill the tables of the baseline as the example shop does."""
    subprocess.run(
        [sys.executable, "-m", "shop", "load", "--rows", str(rows)],
        env=environment(url, PYTHONPATH=str(ROOT / "examples")),
        check=True,
        capture_output=True,
    )


def version(conn: Connection) -> str | None:
    row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def rows_of(conn: Connection, query: str) -> Rows:
    return conn.execute(query).fetchall()


def public(conn: Connection) -> dict[str, Rows]:
    """The catalogue without what the schema compat holds and what names it."""
    return {
        name: [row for row in rows if "compat" not in str(row[0])]
        for name, rows in catalogue(conn).items()
    }


# The reference revisions -------------------------------------------------------------------------


def test_all_revisions_forth_and_back_with_rows_inside_lose_nothing(
    url: str, conn: psycopg.Connection
) -> None:
    reached(alembic(url, "upgrade", "oli_0001"))
    load_shop(url)
    baseline, legacy = public(conn), rows_of(conn, LEGACY)
    assert len(legacy) == 2_000

    reached(alembic(url, "upgrade", "oli_0002"))
    run_steps(url, NAME, "copy")
    reached(alembic(url, "upgrade", "oli_0003"))
    assert rows_of(conn, LEGACY) == legacy

    conn.execute(f"UPDATE {NAME} SET qty = 41, price = '7.50 ' WHERE id = 10")
    conn.execute(
        f"DELETE FROM {NAME} WHERE id = (SELECT max(id) FROM {NAME} l WHERE NOT EXISTS"
        " (SELECT FROM order_line_returns r WHERE r.line_item_id = l.id))"
    )
    new = value(
        conn,
        f"INSERT INTO {NAME} (order_id, product_id, line_no, price) VALUES (1, 1, 90, '1.5')"
        " RETURNING id",
    )
    conn.execute(
        f"UPDATE {NAME}_v2 SET created_at = '2024-05-06 07:08:09.123456+00',"
        " deleted_at = '2024-05-06 07:08:10.654321+00', note = 'v2', currency = 'USD'"
        " WHERE line_item_id = 11"
    )
    legacy, target = rows_of(conn, LEGACY), rows_of(conn, TARGET)
    reached(alembic(url, "upgrade", "oli_0004"))
    assert value(conn, f"SELECT to_regclass('{NAME}')") is None
    assert rows_of(conn, TARGET) == target

    conn.execute(
        f"INSERT INTO {NAME}_v2 (order_id, product_id, position, quantity, unit_price, status,"
        " created_at) VALUES (1, 1, 91, 2, 3.10, 'shipped', '2024-05-06 07:08:09.999999+00')"
    )
    conn.execute(f"DELETE FROM {NAME}_v2 WHERE line_item_id = 12")
    target = rows_of(conn, TARGET)
    expected = [row for row in legacy if row[0] != 12]
    expected.append((new + 1, 1, 1, 91, 2, "3.10", 3, 1714979289, False, None))
    for revision in ("oli_0003", "oli_0002", "oli_0003", "oli_0004", "oli_0003", "oli_0002"):
        (upgrade if revision > str(version(conn)) else downgrade)(url, revision)
        assert rows_of(conn, TARGET) == target, revision
        if revision != "oli_0004":
            assert rows_of(conn, LEGACY) == expected, revision

    reached(alembic(url, "downgrade", "oli_0001"))
    assert value(conn, f"SELECT to_regclass('{NAME}_v2')") is None
    assert rows_of(conn, LEGACY) == expected
    assert public(conn) == baseline

    upgrade(url, "oli_0002")
    run_steps(url, NAME, "copy")
    upgrade(url, HEAD)
    downgrade(url, "oli_0001")
    assert rows_of(conn, LEGACY) == expected
    assert public(conn) == baseline
    downgrade(url, "base")
    assert value(conn, "SELECT to_regclass('orders')") is None


def test_an_empty_database_goes_to_the_head_and_back_without_a_copy(
    url: str, conn: psycopg.Connection
) -> None:
    for _ in range(2):
        upgrade(url, HEAD)
        assert phase(conn, NAME) == "contracted"
        downgrade(url, "base")
        assert version(conn) is None
        assert contents(conn, "public") == {"public.alembic_version": []}


def test_the_cutover_revision_without_a_copy_says_what_to_do_on_one_screen(
    url: str, conn: psycopg.Connection
) -> None:
    upgrade(url, "oli_0001")
    load_shop(url, 100)

    message = refused(alembic(url, "upgrade", HEAD))

    assert f"copy {NAME}: needs the phase copied; it is expanded" in message
    assert f"fix: run `compat copy {NAME} --execute` first" in message
    assert version(conn) == "oli_0002"
    run_steps(url, NAME, "copy")
    upgrade(url, HEAD)


def test_a_value_that_the_mapping_refuses_stops_the_expand_before_any_client_meets_it(
    url: str, conn: psycopg.Connection
) -> None:
    upgrade(url, "oli_0001")
    load_shop(url, 100)
    conn.execute(f"UPDATE {NAME} SET status = 7 WHERE id IN (1, 2)")

    message = refused(alembic(url, "upgrade", HEAD))

    assert f"public.{NAME}.status: no counterpart for '7' (2 rows)" in message
    assert version(conn) == "oli_0001"
    assert conn.execute(f"UPDATE {NAME} SET qty = 2 WHERE id = 1").rowcount == 1
    conn.execute(f"UPDATE {NAME} SET status = 1 WHERE status = 7")
    upgrade(url, "oli_0002")


def test_a_lock_that_never_comes_is_a_message_and_the_revision_can_be_run_again(
    url: str, conn: psycopg.Connection
) -> None:
    mapping = make_lines(conn)
    with operating(url) as operations:
        create(operations, mapping)
    run_steps(url, "lines", "copy")
    with psycopg.connect(url, application_name="nightly report") as holder:
        holder.execute("LOCK TABLE lines IN ACCESS SHARE MODE")
        operation = ops.CutoverOp(mapping, lock_timeout=5, max_attempts=2)
        with pytest.raises(CommandError) as failure, operating(url) as operations:
            operations.invoke(operation)
    message = str(failure.value)
    assert "cutover of 'lines': canceling statement due to lock timeout" in message
    assert "nightly report, idle in transaction" in message
    assert "run the revision again" in message
    with operating(url) as operations:
        operations.invoke(operation)
    assert phase(conn, "lines") == "cutover"


def test_a_revision_asks_for_a_verification_and_for_silence_where_it_says_so(
    url: str, conn: psycopg.Connection
) -> None:
    mapping = make_lines(conn)
    with operating(url) as operations:
        create(operations, mapping)
    run_steps(url, "lines", "copy")

    def do(step: str, **demands: timedelta) -> None:
        with operating(url) as operations:
            getattr(operations, step)(mapping, **demands)

    def refused_step(step: str, **demands: timedelta) -> str:
        with pytest.raises(CommandError) as failure:
            do(step, **demands)
        return str(failure.value)

    day = timedelta(days=1)
    assert "it has not been verified yet" in refused_step("cutover", verified_within=day)
    assert phase(conn, "lines") == "copied"
    assert verify(url) == 0
    do("cutover", verified_within=day)
    with psycopg.connect(url, autocommit=True, application_name="shop 1.0") as client:
        client.execute("SELECT count(*) FROM lines")
        assert "(shop 1.0): read" in refused_step("contract", unused_for=day)
    assert phase(conn, "lines") == "cutover"
    do("contract", unused_for=timedelta(0))
    assert phase(conn, "lines") == "contracted"


# Beside the command line -------------------------------------------------------------------------


def test_steps_that_the_command_line_has_done_are_skipped_by_the_revisions(
    url: str, conn: psycopg.Connection
) -> None:
    upgrade(url, "oli_0001")
    load_shop(url, 100)
    upgrade(url, "oli_0002")
    run_steps(url, NAME, "copy", "cutover", "contract")
    before = catalogue(conn)

    log = reached(alembic(url, "upgrade", HEAD))

    assert f"cutover of {NAME} was done already" in log
    assert f"contract of {NAME} was done already" in log
    assert catalogue(conn) == before


def test_steps_that_the_revisions_have_done_are_known_to_the_command_line_and_back(
    url: str, conn: psycopg.Connection
) -> None:
    upgrade(url, "oli_0001")
    load_shop(url, 100)
    upgrade(url, "oli_0002")
    run_steps(url, NAME, "copy")
    upgrade(url, "oli_0003")
    assert "was done already" in succeed(url, "cutover", NAME, "--execute").out
    assert (
        "was done already"
        in succeed(url, "expand", ROOT / "alembic" / "mappings" / f"{NAME}.py", "--execute").out
    )

    run_steps(url, NAME, "rollback")
    run_steps(url, NAME, "unexpand")
    log = reached(alembic(url, "downgrade", "oli_0001"))

    for step in ("uncutover", "drop_compat_view", "drop_sync"):
        assert f"{step} of {NAME} was done already" in log
    assert value(conn, f"SELECT count(*) FROM {NAME}") == 100


@pytest.mark.parametrize(
    ("steps", "at"), [(("cutover",), "cutover"), (("cutover", "contract"), "contracted")]
)
def test_a_downgrade_never_drops_the_only_table_that_has_the_rows(
    url: str, conn: psycopg.Connection, steps: tuple[str, ...], at: str
) -> None:
    upgrade(url, "oli_0001")
    load_shop(url, 100)
    upgrade(url, "oli_0002")
    run_steps(url, NAME, "copy", *steps)  # Alembic knows nothing of these
    target = rows_of(conn, TARGET)

    message = refused(alembic(url, "downgrade", "oli_0001"))

    assert f"the migration is {at}" in message
    assert rows_of(conn, TARGET) == target
    assert version(conn) == "oli_0002"


def test_a_revision_waits_for_no_command_and_no_command_for_a_revision(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    mapping = make_lines(conn)
    with psycopg.connect(url, autocommit=True) as other:
        state.lock(other, "lines")
        with (
            pytest.raises(CommandError, match="another command is working on 'lines'"),
            operating(url) as operations,
        ):
            create(operations, mapping)
    with operating(url) as operations:
        create(operations, mapping)
        # Not yet committed, and nobody else may begin.
        expanded = compat_here(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    assert expanded.code == 2
    assert "another command is working on 'lines'" in expanded.err
    run_steps(url, "lines", "copy")


def test_an_edited_mapping_is_refused_by_its_fingerprint(
    url: str, conn: psycopg.Connection
) -> None:
    mapping = make_lines(conn)
    with operating(url) as operations:
        create(operations, mapping)
    edited = replace(mapping, form="instead_of")
    before = catalogue(conn)

    for kind in (ops.CreateSyncOp, ops.CutoverOp, ops.DropSyncOp, ops.UncontractOp):
        with pytest.raises(CommandError) as failure, operating(url) as operations:
            operations.invoke(kind(edited))
        assert "is not the one that the database holds" in str(failure.value)
        assert mapping.fingerprint[:12] in str(failure.value)
    assert catalogue(conn) == before


# As a script -------------------------------------------------------------------------------------


def test_the_scripts_of_upgrade_and_downgrade_do_what_the_online_run_does(
    server: Database, url: str, conn: psycopg.Connection
) -> None:
    with server.fresh() as other, psycopg.connect(other, autocommit=True) as offline:
        printed = alembic(other, "upgrade", "base:oli_0002", "--sql")
        reached(printed)
        run_script(server, other, printed.out)
        upgrade(url, "oli_0002")
        assert catalogue(offline) == catalogue(conn)
        for address in (url, other):
            load_shop(address, 300)
            run_steps(address, NAME, "copy")
        legacy = rows_of(conn, LEGACY)
        assert len(legacy) == 300
        for direction, first, last in (
            ("upgrade", "oli_0002", "oli_0003"),
            ("downgrade", "oli_0003", "oli_0002"),
            ("upgrade", "oli_0002", "oli_0004"),
            ("downgrade", "oli_0004", "oli_0002"),
            ("downgrade", "oli_0002", "oli_0001"),
        ):
            run_script(server, other, script(other, direction, f"{first}:{last}"))
            (upgrade if direction == "upgrade" else downgrade)(url, last)
            assert catalogue(offline) == catalogue(conn), (direction, last)
            assert version(offline) == last
            if last != "oli_0004":
                assert rows_of(offline, LEGACY) == legacy, (direction, last)
        log = "SELECT mapping, step FROM compat.event WHERE step NOT LIKE 'cop%' ORDER BY id"
        assert rows_of(offline, log) == rows_of(conn, log)


# Other people's projects -------------------------------------------------------------------------


ENV = """
import os
import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(os.environ["PROJECT_URL"], poolclass=sa.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, {options})
    with context.begin_transaction():
        context.run_migrations()
"""

INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = os
"""


@pytest.fixture
def project(url: str, conn: psycopg.Connection, tmp_path: Path) -> Callable[..., Path]:
    """Make an Alembic project with four revisions around the table `lines`."""

    def make(options: str) -> Path:
        versions = tmp_path / "migrations" / "versions"
        versions.mkdir(parents=True)
        (tmp_path / "alembic.ini").write_text(INI)
        (versions.parent / "env.py").write_text(ENV.format(options=options))
        source = render(make_lines(conn))
        (tmp_path / "lines_mapping.py").write_text(f"{IMPORTS}\n\nMAPPING = {source}\n")
        bodies = {
            "a1": (
                "op.create_sync(MAPPING); op.create_compat_view(MAPPING)",
                "op.drop_compat_view(MAPPING); op.drop_sync(MAPPING)",
            ),
            "a2": (
                "with op.get_context().autocommit_block():\n"
                "        op.create_index('quick', 'lines_v2', ['remark'],"
                " postgresql_concurrently=True)\n"
                "    op.execute(\"SET LOCAL lock_timeout = '7s'\")\n"
                "    op.cutover(MAPPING, lock_timeout=250)\n"
                "    assert op.get_bind().scalar(sa.text('SHOW lock_timeout')) == '7s'",
                "op.uncutover(MAPPING)\n"
                "    with op.get_context().autocommit_block():\n"
                "        op.drop_index('quick', postgresql_concurrently=True)",
            ),
            "a3": ("op.contract(MAPPING)", "op.uncontract(MAPPING)"),
        }
        before = None
        for name, (up, down) in bodies.items():
            (versions / f"{name}.py").write_text(
                "import sqlalchemy as sa\nfrom alembic import op\n"
                f"{IMPORTS}\n\nrevision, down_revision = {name!r}, {before!r}\n"
                f"MAPPING = {source}\n\n\n"
                f"def upgrade():\n    {up}\n\n\ndef downgrade():\n    {down}\n"
            )
            before = name
        return tmp_path

    return make


def project_alembic(url: str, folder: Path, *arguments: str) -> Ended:
    variables = environment(None, PROJECT_URL=sqlalchemy_url(url))
    return ended(Process(variables, arguments, program="alembic", folder=folder))


@pytest.mark.parametrize("per_migration", [True, False])
def test_the_operations_work_in_another_projects_revisions(
    url: str, conn: psycopg.Connection, project: Callable[..., Path], per_migration: bool
) -> None:
    folder = project(f"transaction_per_migration={per_migration}")
    before, legacy = public(conn), rows_of(conn, "SELECT * FROM lines ORDER BY id")

    def run(*arguments: str) -> None:
        result = project_alembic(url, folder, *arguments)
        assert result.code == 0, result.err

    run("upgrade", "a1")
    run_steps(url, "lines", "copy")
    run("upgrade", "head")
    assert phase(conn, "lines") == "contracted"
    run("downgrade", "a1")
    assert rows_of(conn, "SELECT * FROM lines ORDER BY id") == legacy
    run("upgrade", "a2")
    assert rows_of(conn, "SELECT * FROM lines ORDER BY id") == legacy
    run("downgrade", "base")
    assert rows_of(conn, "SELECT * FROM lines ORDER BY id") == legacy
    conn.execute("DROP TABLE alembic_version")
    assert public(conn) == before


def test_alembic_check_prints_an_operation_that_somebodys_comparison_found(
    url: str, conn: psycopg.Connection, project: Callable[..., Path]
) -> None:
    folder = project("target_metadata=sa.MetaData(), include_object=lambda *_: False")
    env = folder / "migrations" / "env.py"
    env.write_text(
        "from alembic.autogenerate import comparators\n"
        "from alembic.util import PriorityDispatchResult\n"
        "from compat.operations import CreateSyncOp\n"
        "import sys; from pathlib import Path; sys.path.insert(0, str(Path(__file__).parents[1]))\n"
        "from lines_mapping import MAPPING\n\n\n"
        "@comparators.dispatch_for('schema')\n"
        "def compare(context, upgrade_ops, schemas):\n"
        "    upgrade_ops.ops.append(CreateSyncOp(MAPPING))\n"
        "    return PriorityDispatchResult.CONTINUE\n" + env.read_text()
    )
    assert project_alembic(url, folder, "stamp", "head").code == 0

    result = project_alembic(url, folder, "check")

    assert result.code != 0
    assert "New upgrade operations detected: [('create_sync', 'lines')]" in result.out + result.err
    assert "Traceback" not in result.err


# The operations themselves -----------------------------------------------------------------------


@contextlib.contextmanager
def operating(url: str, **options: Any) -> Iterator[Operations]:
    """Operations on a transaction of their own, which is committed at the end."""
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool, **options)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context) as operations:
            yield operations


def create(operations: Operations, mapping: Mapping) -> None:
    operations.invoke(ops.CreateSyncOp(mapping))
    operations.invoke(ops.CreateCompatViewOp(mapping))


FORWARD = [ops.CreateSyncOp, ops.CreateCompatViewOp, ops.CutoverOp, ops.ContractOp]


@pytest.mark.parametrize("number", range(4))
def test_the_reverse_of_each_operation_is_its_inverse(
    url: str, conn: psycopg.Connection, number: int
) -> None:
    mapping = make_lines(conn)
    with operating(url) as operations:
        for kind in FORWARD[: max(number, 1)]:
            operations.invoke(kind(mapping))
            if kind is ops.CreateCompatViewOp:
                operations.get_bind().execute(sa.text("UPDATE compat.mapping SET phase = 'copied'"))
                operations.get_bind().execute(
                    sa.text("INSERT INTO lines__compat SELECT * FROM lines")
                )
        if number == 0:  # what the first one leaves behind is the schema compat
            operations.invoke(FORWARD[0](mapping).reverse())
    before, rows = catalogue(conn), contents(conn, "public")
    operation = FORWARD[number](mapping, lock_timeout=321, max_attempts=7)

    with operating(url) as operations:
        operations.invoke(operation)
    assert catalogue(conn) != before
    with operating(url) as operations:
        operations.invoke(operation.reverse())

    assert catalogue(conn) == before
    assert contents(conn, "public") == rows
    again = operation.reverse().reverse()
    assert type(again) is type(operation)
    assert (again.mapping, again.lock_timeout, again.max_attempts) == (mapping, 321, 7)


def test_a_step_outside_of_a_transaction_is_refused(url: str, conn: psycopg.Connection) -> None:
    mapping = make_lines(conn)
    before = catalogue(conn)

    with (
        pytest.raises(CommandError, match=r"must be one transaction.*\n.*autocommit_block"),
        operating(url, isolation_level="AUTOCOMMIT") as operations,
    ):
        create(operations, mapping)

    assert catalogue(conn) == before


def test_a_downgrade_of_a_contract_needs_the_mapping_in_the_database(
    url: str, conn: psycopg.Connection
) -> None:
    mapping = make_lines(conn)

    with (
        pytest.raises(CommandError, match="the mapping lines is not in this database"),
        operating(url) as operations,
    ):
        operations.invoke(ops.UncontractOp(mapping))

    assert one(conn, "SELECT to_regnamespace('compat')") == (None,)


# Changing a mapping under way -------------------------------------------------------------------


def alter(operations: Operations, before: Mapping, after: Mapping, **options: Any) -> None:
    operations.invoke(ops.AlterMappingOp(before, after, **options))


def with_states(mapping: Mapping, *pairs: tuple[int, str]) -> Mapping:
    """The mapping with other states."""
    rule = rules.ValueMap("status", "state", pairs)
    changed = tuple(rule if old.legacy == "status" else old for old in mapping.rules)
    return replace(mapping, rules=changed)


def test_a_mapping_that_converts_otherwise_empties_the_target_only_where_that_is_asked_for(
    url: str, conn: psycopg.Connection
) -> None:
    mapping = make_lines(conn)
    changed = with_states(mapping, (1, "free"), (2, "taken"), (3, "done"))
    with operating(url) as operations:
        create(operations, mapping)
    run_steps(url, "lines", "copy")
    before = catalogue(conn), contents(conn)

    with (
        pytest.raises(CommandError, match="holds rows as the mapping before") as failure,
        operating(url) as operations,
    ):
        alter(operations, mapping, changed)
    assert "recopy=True" in str(failure.value)
    assert (catalogue(conn), contents(conn)) == before

    with operating(url) as operations:
        alter(operations, mapping, changed, recopy=True)
        alter(operations, mapping, changed, recopy=True)  # done already
    assert phase(conn, "lines") == "expanded"
    assert value(conn, "SELECT count(*) FROM lines_v2") == 0
    assert conn.execute("UPDATE lines SET status = 2 WHERE id = 1").rowcount == 1
    run_steps(url, "lines", "copy")
    assert value(conn, "SELECT state FROM lines_v2 WHERE line_id = 1") == "taken"


@pytest.mark.parametrize("at", ["expanded", "cutover"])
def test_a_mapping_that_says_the_same_of_rows_changes_in_place_and_they_stay(
    url: str, conn: psycopg.Connection, at: str
) -> None:
    mapping = migrations.renamed(conn).mapping
    conn.execute("INSERT INTO lines (qty) SELECT g FROM generate_series(1, 5) AS g")
    with operating(url) as operations:
        create(operations, mapping)
    run_steps(url, "lines", "copy", *(["cutover"] if at == "cutover" else []))
    target = "SELECT * FROM lines_v2 ORDER BY line_id"
    name = "lines" if at == "cutover" else "lines__compat"
    conn.execute(f"CREATE VIEW mine AS SELECT id FROM {name}")
    before, rows = catalogue(conn), rows_of(conn, target)
    triggered = replace(mapping, form="instead_of")

    with operating(url) as operations:
        alter(operations, mapping, triggered)
    assert rows_of(conn, target) == rows
    instead_of = (
        f"SELECT count(*) FROM pg_trigger WHERE tgrelid = '{name}'::regclass AND tgtype & 64 > 0"
    )
    assert value(conn, instead_of) == 3
    assert verify(url) == 0
    with operating(url) as operations:
        operations.invoke(ops.AlterMappingOp(mapping, triggered).reverse())

    assert catalogue(conn) == before
    assert rows_of(conn, target) == rows
    assert verify(url) == 0


def test_views_of_the_users_are_made_anew_with_all_that_belongs_to_them_where_a_column_changes(
    url: str, conn: psycopg.Connection
) -> None:
    mapping = migrations.renamed(conn).mapping
    with operating(url) as operations:
        create(operations, mapping)
    with ordinary_role(conn) as role:
        conn.execute(
            'CREATE VIEW "My view" WITH (security_barrier) AS SELECT id, note FROM lines__compat;'
            f' GRANT SELECT, UPDATE (note) ON "My view" TO {role};'
            " COMMENT ON VIEW \"My view\" IS 'mine'; COMMENT ON COLUMN \"My view\".note IS 'his';"
            " ALTER VIEW \"My view\" ALTER note SET DEFAULT 'x';"
            ' CREATE RULE none AS ON DELETE TO "My view" DO INSTEAD NOTHING;'
            ' CREATE VIEW above AS SELECT m.id FROM "My view" m JOIN lines__compat USING (id);'
            f" ALTER VIEW above OWNER TO {role}; ALTER VIEW lines__compat ALTER qty SET DEFAULT 9"
        )
        before = catalogue(conn)
        conn.execute("ALTER TABLE lines ADD extra text; ALTER TABLE lines_v2 ADD extra text")
        wider = migrations.Migration.between(
            conn, "lines", "lines_v2", [*mapping.rules, rules.Column("extra", "extra")]
        ).mapping

        with operating(url) as operations:
            alter(operations, mapping, wider, recopy=True)
        assert value(conn, "SELECT count(extra) FROM lines__compat") == 0
        with operating(url) as operations:  # a view cannot lose a column in place
            operations.execute("ALTER TABLE lines DROP extra")
            operations.invoke(ops.AlterMappingOp(mapping, wider, recopy=True).reverse())
            operations.execute("ALTER TABLE lines_v2 DROP extra")

        conn.execute("ALTER VIEW lines__compat ALTER qty SET DEFAULT 9")
        assert catalogue(conn) == before


def test_an_operation_that_needs_the_database_says_so_in_a_script(
    url: str, conn: psycopg.Connection
) -> None:
    mapping = make_lines(conn)
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": io.StringIO()}
    )
    with Operations.context(context) as operations:
        for call in (
            lambda: alter(operations, mapping, replace(mapping, form="instead_of")),
            lambda: operations.invoke(ops.RepairCompatViewOp(mapping)),
        ):
            with pytest.raises(CommandError, match=r"which a script \(--sql\) cannot"):
                call()
