"""Autogenerate: a project that registers mappings in its metadata, from `alembic init` on.

Every command is run as its developers would; what it renders is what the next command executes.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from compat import catalog, rules
from compat.database import Database, sqlalchemy_url
from compat.mapping import Mapping
from compat.render import render_module
from tests.compat.migrations import LINES_RULES, value
from tests.run.support import (
    ROOT,
    Connection,
    Ended,
    catalogue,
    environment,
    fill_lines,
    phase,
    steps,
    verify,
)

pytestmark = pytest.mark.proof

HEAD = "import sqlalchemy as sa\nmetadata = sa.MetaData()\n"
LEGACY = """
lines = sa.Table(
    "lines", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("order_id", sa.Integer, nullable=False),
    sa.Column("line_no", sa.Integer, nullable=False, server_default="1"),
    sa.Column("qty", sa.Integer, nullable=False, server_default="1"),
    sa.Column("price", sa.Text, nullable=False, server_default="0.00"),
    sa.Column("status", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created", sa.Integer, nullable=False, server_default="1700000000"),
    sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("note", sa.String(20)),
)
"""
OTHERS = """
returns = sa.Table(
    "returns", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("line_id", sa.ForeignKey("{lines}"), nullable=False, index=True),
)
sa.CreateView(sa.select(returns.c.line_id).distinct(), "returned", metadata=metadata)
"""
TARGET = """
sa.Table(
    "lines_v2", metadata,
    sa.Column("line_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("order_id", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("unit_price", sa.Numeric(12, 2), nullable=False),
    sa.Column("unit_price_text", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.Column("remark", sa.String(20)),
    sa.Column("currency", sa.CHAR(3), nullable=False, server_default="EUR"),
)
"""
REGISTER = """
from compat.autogenerate import register
from lines_mapping import MAPPING
register(metadata, MAPPING, goal="{goal}")
"""
ALL = HEAD + LEGACY + OTHERS.format(lines="lines.id") + TARGET
V2_ONLY = HEAD + OTHERS.format(lines="lines_v2.line_id") + TARGET


@dataclass(frozen=True)
class Project:
    """A folder as `alembic init` leaves it, with its models beside it."""

    folder: Path
    url: str

    def run(self, *arguments: str) -> Ended:
        process = subprocess.run(
            [str(Path(sys.executable).with_name("alembic")), *arguments],
            cwd=self.folder,
            env=environment(None, PYTHONDONTWRITEBYTECODE="1"),
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(process.returncode, process.stdout, process.stderr)

    def succeed(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.code == 0, result.err + result.out
        return result.err + result.out

    def models(self, *parts: str) -> None:
        (self.folder / "models.py").write_text("".join(parts), encoding="utf-8")

    def mapping(self, mapping: Mapping) -> None:
        (self.folder / "lines_mapping.py").write_text(render_module(mapping), encoding="utf-8")

    def autogenerate(self, revision: str) -> str:
        """Return the revision without its constants: what upgrade and downgrade do, in one text."""
        self.succeed("revision", "--autogenerate", "-m", revision, "--rev-id", revision)
        (path,) = (self.folder / "migrations" / "versions").glob(f"{revision}_*.py")
        return path.read_text("utf-8")

    def upgrade(self, revision: str) -> str:
        """Autogenerate, upgrade, check that nothing is left; return the revision."""
        text = self.autogenerate(revision)
        self.succeed("upgrade", "head")
        self.succeed("check")
        return text


def calls(revision: str) -> tuple[list[str], list[str]]:
    """Return the operations of upgrade() and of downgrade(), in order."""
    body = revision.partition("def upgrade()")[2]
    parts = body.partition("def downgrade()")
    return tuple(re.findall(r"\bop\.(\w\w+\([^\n]*)", part) for part in parts[::2])  # type: ignore[return-value]


def names(revision: str) -> tuple[list[str], list[str]]:
    """The same without arguments."""
    up, down = calls(revision)
    return [call.partition("(")[0] for call in up], [call.partition("(")[0] for call in down]


@pytest.fixture(scope="session")
def described(server: Database) -> Mapping:
    """The mapping between the two tables, reflected where the models have made them once."""
    with server.fresh() as url:
        space: dict[str, sa.MetaData] = {}
        exec(HEAD + LEGACY + TARGET, space)
        engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
        space["metadata"].create_all(engine)
        with psycopg.connect(url, autocommit=True) as conn:
            tables = [catalog.reflect_table(conn, name) for name in ("lines", "lines_v2")]
    return Mapping("lines", tables[0], tables[1], LINES_RULES)


@pytest.fixture
def project(url: str, tmp_path: Path, described: Mapping) -> Project:
    project = Project(tmp_path, url)
    project.succeed("init", "migrations")
    ini = tmp_path / "alembic.ini"
    address = sqlalchemy_url(url).replace("%", "%%")
    text = re.sub(
        r"(?m)^sqlalchemy\.url = .*$", lambda _: f"sqlalchemy.url = {address}", ini.read_text()
    )
    ini.write_text(text)
    env = tmp_path / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace(
            "target_metadata = None", "from models import metadata as target_metadata"
        )
    )
    project.mapping(described)
    return project


def changed(mapping: Mapping, legacy: str, rule: rules.AnyRule) -> Mapping:
    """The mapping with another rule for one column."""
    return replace(
        mapping, rules=tuple(rule if old.legacy == legacy else old for old in mapping.rules)
    )


def test_a_project_goes_from_its_tables_to_the_contract_and_back_by_rendered_revisions_alone(
    project: Project, url: str, conn: Connection, described: Mapping
) -> None:
    project.models(HEAD, LEGACY, OTHERS.format(lines="lines.id"))
    up, _ = names(project.upgrade("tables"))
    assert up.count("create_table") == 2  # not the view
    fill_lines(conn, 30)
    conn.execute("INSERT INTO returns (line_id) SELECT id FROM lines WHERE id % 5 = 0")
    legacy = conn.execute("SELECT * FROM lines ORDER BY id").fetchall()

    project.models(ALL, REGISTER.format(goal="expanded"))
    expand = project.upgrade("expand")
    assert names(expand) == (
        ["create_table", "create_sync", "create_compat_view"],
        ["drop_compat_view", "drop_sync", "drop_table"],
    )
    assert "models" not in expand
    assert "lines_mapping" not in expand
    expanded = catalogue(conn)
    project.succeed("downgrade", "tables")
    assert value(conn, "SELECT to_regclass('lines_v2')") is None
    project.succeed("upgrade", "head")
    assert catalogue(conn) == expanded
    steps(url, "lines", "copy")
    project.succeed("check")

    project.models(ALL, REGISTER.format(goal="cutover"))
    assert names(project.upgrade("cutover")) == (["cutover"], ["uncutover"])
    assert phase(conn, "lines") == "cutover"
    assert conn.execute("SELECT * FROM lines ORDER BY id").fetchall() == legacy
    assert verify(url) == 0

    project.models(V2_ONLY, REGISTER.format(goal="cutover"))
    project.succeed("check")  # the models may be rewritten any time from here on
    project.models(V2_ONLY, REGISTER.format(goal="contracted"))
    assert names(project.upgrade("contract")) == (["contract"], ["uncontract"])
    assert phase(conn, "lines") == "contracted"

    project.succeed("downgrade", "tables")
    assert conn.execute("SELECT * FROM lines ORDER BY id").fetchall() == legacy


# Changes -----------------------------------------------------------------------------------------


MORE = rules.ValueMap("status", "state", ((1, "free"), (2, "taken"), (3, "done"), (4, "lost")))
"""Another rule for the status, which has a state more and calls one otherwise."""


@pytest.fixture
def expanded(project: Project, conn: Connection) -> Project:
    """The project with 30 rows in the legacy table, after its expand."""
    project.models(HEAD, LEGACY, OTHERS.format(lines="lines.id"))
    project.autogenerate("tables")
    project.succeed("upgrade", "head")
    fill_lines(conn, 30)
    project.models(ALL, REGISTER.format(goal="expanded"))
    project.autogenerate("expand")
    project.succeed("upgrade", "head")
    return project


@pytest.fixture
def cut_over(expanded: Project, url: str) -> Project:
    """The project after the copy and a cutover from the command line."""
    steps(url, "lines", "copy", "cutover")
    return expanded


def states(conn: Connection) -> dict[int, str]:
    rows = conn.execute(
        "SELECT DISTINCT l.status, t.state FROM lines l JOIN lines_v2 t ON t.line_id = l.id"
    ).fetchall()
    return dict(rows)


def test_a_mapping_changed_before_the_cutover_is_copied_anew_and_so_on_the_way_back(
    expanded: Project, url: str, conn: Connection, described: Mapping
) -> None:
    steps(url, "lines", "copy")
    before = catalogue(conn)
    expanded.mapping(changed(described, "status", MORE))

    revision = expanded.upgrade("renamed_state")

    assert calls(revision) == (
        ["alter_mapping(LINES, LINES_2, recopy=True)"],
        ["alter_mapping(LINES_2, LINES, recopy=True)"],
    )
    assert phase(conn, "lines") == "expanded"
    assert value(conn, "SELECT count(*) FROM lines_v2") == 0
    steps(url, "lines", "copy")
    assert states(conn) == {1: "free", 2: "taken", 3: "done"}
    conn.execute("UPDATE lines SET status = 4 WHERE id = 1")
    assert states(conn)[4] == "lost"
    assert verify(url) == 0
    conn.execute("UPDATE lines SET status = 1 WHERE id = 1")

    expanded.succeed("downgrade", "expand")
    assert catalogue(conn) == before
    steps(url, "lines", "copy")
    assert states(conn) == {1: "free", 2: "claimed", 3: "done"}
    assert verify(url) == 0


def test_a_mapping_changed_after_the_cutover_changes_view_functions_and_retired_rows_in_place(
    cut_over: Project, url: str, conn: Connection, described: Mapping
) -> None:
    conn.execute("CREATE VIEW free AS SELECT id FROM lines WHERE status = 1")
    before = catalogue(conn)
    seen = conn.execute("SELECT * FROM lines ORDER BY id").fetchall()
    swapped = rules.ValueMap("status", "state", ((1, "free"), (3, "claimed"), (2, "done")))
    cut_over.mapping(changed(described, "status", swapped))

    revision = cut_over.upgrade("swapped_state")

    assert calls(revision) == (["alter_mapping(LINES, LINES_2)"], ["alter_mapping(LINES_2, LINES)"])
    assert states(conn) == {1: "free", 3: "claimed", 2: "done"}
    assert value(conn, "SELECT count(*) FROM free") == 10
    conn.execute("UPDATE lines SET status = 3 WHERE id = 1")
    assert value(conn, "SELECT state FROM lines_v2 WHERE line_id = 1") == "claimed"
    assert verify(url) == 0  # retired rows among it
    conn.execute("UPDATE lines SET status = 2 WHERE id = 1")

    cut_over.succeed("downgrade", "expand")
    assert catalogue(conn) == before
    assert conn.execute("SELECT * FROM lines ORDER BY id").fetchall() == [
        (1, *seen[0][1:5], 3, *seen[0][6:]) if row[0] == 1 else row for row in seen
    ]
    assert verify(url) == 0


@pytest.mark.parametrize("at", ["expanded", "cut_over"])
def test_definitions_edited_by_hand_are_found_and_made_as_the_mapping_says(
    at: str, request: pytest.FixtureRequest, url: str, conn: Connection, described: Mapping
) -> None:
    project: Project = request.getfixturevalue(at)
    if at == "expanded":
        steps(url, "lines", "copy")
    before = catalogue(conn)
    view = "lines" if at == "cut_over" else "lines__compat"
    sync = "lines_v2" if at == "cut_over" else "lines"
    trigger = "00_compat_reverse" if at == "cut_over" else "00_compat_sync"
    conn.execute(
        "CREATE OR REPLACE FUNCTION compat.lines__update() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'"
    )
    conn.execute(f'DROP TRIGGER "{trigger}" ON {sync}')
    conn.execute(f"DROP TRIGGER compat_delete ON {view}")
    conn.execute(f"ALTER VIEW {view} ALTER COLUMN qty SET DEFAULT 7")
    query = str(value(conn, f"SELECT pg_get_viewdef('{view}')")).replace(
        "t.quantity", "t.quantity + 0"
    )
    conn.execute(f"CREATE OR REPLACE VIEW {view} AS {query}")

    found = project.run("check")

    assert found.code != 0
    for part in (
        "'repair_compat_view', 'lines'",
        "the query of",
        "lines__update",
        "sync triggers on",
        "lines__delete",
        "the default of qty",
    ):
        assert part in found.out + found.err
    assert calls(project.upgrade("repaired")) == (
        ["repair_compat_view(LINES)"],
        ["repair_compat_view(LINES)"],
    )
    assert catalogue(conn) == before
    assert verify(url) == 0
    project.succeed("downgrade", "expand")
    assert catalogue(conn) == before


@pytest.mark.parametrize("at", ["expanded", "cut_over"])
def test_a_mapping_that_the_models_do_not_hold_any_more_is_taken_back_before_its_table_goes(
    at: str, request: pytest.FixtureRequest, url: str, conn: Connection
) -> None:
    project: Project = request.getfixturevalue(at)
    seen = conn.execute("SELECT * FROM lines ORDER BY id").fetchall()
    project.models(
        HEAD,
        LEGACY,
        OTHERS.format(lines="lines.id"),
        "from compat.autogenerate import register\nregister(metadata)\n",
    )

    revision = project.upgrade("removed")

    back = ["uncutover"] if at == "cut_over" else []
    again = ["cutover"] if at == "cut_over" else []
    assert names(revision) == (
        [*back, "drop_compat_view", "drop_sync", "drop_table"],
        ["create_table", "create_sync", "create_compat_view", *again],
    )
    assert conn.execute("SELECT * FROM lines ORDER BY id").fetchall() == seen
    assert value(conn, "SELECT count(*) FROM compat.mapping") == 0


@pytest.mark.parametrize("at", ["expanded", "cut_over"])
def test_a_project_that_registers_nothing_is_shown_nothing_of_a_migration(
    at: str, request: pytest.FixtureRequest
) -> None:
    project: Project = request.getfixturevalue(at)
    project.models(ALL)
    env = project.folder / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace(
            "connection=connection, target", "connection=connection, include_schemas=True, target"
        )
    )
    project.succeed("check")


def test_the_bridge_is_no_drift_and_its_triggers_are_repaired(
    project: Project, url: str, conn: Connection, described: Mapping
) -> None:
    project.mapping(replace(described, form="bridged"))
    project.models(ALL, REGISTER.format(goal="expanded"))
    project.upgrade("expand")
    before = catalogue(conn)
    fill_lines(conn, 10)
    steps(url, "lines", "copy")
    project.succeed("check")
    trigger = value(
        conn,
        "SELECT min(tgname::text) FROM pg_trigger WHERE tgrelid = 'lines_v2'::regclass"
        " AND tgtype & 2 = 2 AND tgtype & 4 = 4 AND tgname !~ 'early'",
    )
    conn.execute(f'DROP TRIGGER "{trigger}" ON lines_v2')

    assert names(project.upgrade("repaired"))[0] == ["repair_compat_view"]

    assert catalogue(conn) == before


def test_what_the_legacy_table_carries_for_v2_is_no_drift_and_is_repaired(
    project: Project, url: str, conn: Connection, described: Mapping
) -> None:
    project.mapping(replace(described, form="reversed"))
    project.models(ALL, REGISTER.format(goal="expanded"))
    project.upgrade("expand")
    fill_lines(conn, 10)
    steps(url, "lines", "copy")
    project.succeed("check")
    before = catalogue(conn)
    conn.execute('DROP TRIGGER "00_compat_bridge_insert" ON lines')
    assert names(project.upgrade("repaired"))[0] == ["repair_compat_view"]
    assert catalogue(conn) == before


def test_the_commands_of_the_documentation_do_what_it_says(project: Project) -> None:
    text = (ROOT / "docs" / "alembic.md").read_text("utf-8")
    (commands,) = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
    project.models(ALL, REGISTER.format(goal="expanded"))
    for command in commands.splitlines():
        project.succeed(*shlex.split(command)[1:])
