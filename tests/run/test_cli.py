"""The command line as its users type it: each command in a process of its own.

One migration goes through all commands, every one of them twice.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import psycopg
import pytest

from compat.cli.switch import Wanted
from compat.mapping import Form
from tests.compat.migrations import LINES, value
from tests.run.support import (
    INSIST,
    Connection,
    compat,
    compat_here,
    fill_lines,
    make_lines,
    phase,
    picture,
    steps,
    succeed,
    write_mapping,
)

COMMANDS = (
    *("draft", "plan", "expand", "unexpand", "copy", "cutover", "rollback", "contract"),
    *("status", "schema", "demo"),
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
STATUS_MAP = "((1, 'free'), (2, 'claimed'), (3, 'done'))"
EXECUTABLE = ("expand", "copy", "cutover", "rollback", "contract")


def settle(draft: Path) -> None:
    """Replace each OPEN question of a draft by the rule that answers it, as a user would."""
    answers = {
        "status": f"rules.ValueMap('status', 'state', {STATUS_MAP}),",
        "note": "rules.Column('note', 'remark'),",
    }
    lines, answering = [], False
    for line in draft.read_text(encoding="utf-8").splitlines():
        if "# OPEN:" in line:
            (name,) = [name for name in answers if f"'{name}'" in line]
            lines.append(f"        {answers[name]}")
            answering = True
        elif not (answering and line.lstrip().startswith("#   ")):
            lines.append(line)
            answering = False
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_migration_from_the_draft_to_the_end_and_every_command_can_be_repeated(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    conn.execute(LINES.replace("state text NOT NULL", "state text NOT NULL CHECK (state <> '')"))
    fill_lines(conn, 40)
    before = conn.execute("SELECT * FROM lines ORDER BY id").fetchall()
    file = tmp_path / "mapping.py"

    def run(*arguments: str | Path) -> str:
        """Run a command twice: the second time says that it was done, and changes nothing."""
        first = compat(url, *arguments)
        assert (first.code, first.err if "copy" not in arguments else "") == (0, ""), first
        seen = picture(conn)
        again = compat_here(url, *arguments)
        assert again.code == 0
        assert "already" in again.out
        assert picture(conn) == seen
        return first.out

    drafted = compat(url, "draft", "lines", "--output", file)
    assert drafted.code == 1
    assert drafted.err.count("open:") == 2
    unfinished = compat(url, "plan", file)
    assert unfinished.code == 2
    assert "'status'" in unfinished.err
    settle(file)

    planned = compat(url, "plan", file)
    assert planned.code == 0
    assert "form instead_of" in planned.out
    assert "cast converts the value" in planned.out
    assert "expand done" in run("expand", file, "--execute")
    forecast = compat(url, "copy", "lines")
    assert (forecast.code, forecast.err) == (0, "")
    assert "would copy 40 of 40 rows" in forecast.out
    assert "40 rows seen, 40 copied" in run("copy", "lines", "--execute", "--batch-size", "7")
    assert "cutover done" in run("cutover", "lines", "--execute", *INSIST["cutover"])
    assert value(conn, "SELECT relkind::text FROM pg_class WHERE oid = 'lines'::regclass") == "v"
    assert conn.execute("SELECT * FROM lines ORDER BY id").fetchall() == before

    conn.execute("UPDATE lines SET qty = 6 WHERE id = 1")
    assert "rollback done" in run("rollback", "lines", "--execute")
    assert value(conn, "SELECT relkind::text FROM pg_class WHERE oid = 'lines'::regclass") == "r"
    assert value(conn, "SELECT qty FROM lines WHERE id = 1") == 6

    conn.execute("UPDATE lines SET qty = 7 WHERE id = 2")
    assert "cutover done" in run("cutover", "lines", "--execute", *INSIST["cutover"])
    status = compat(url, "status")
    assert (status.code, status.err) == (0, "")
    assert "compat contract lines --execute" in " ".join(status.out.split())
    assert "contract done" in run("contract", "lines", "--execute", *INSIST["contract"])
    assert value(conn, "SELECT to_regclass('lines')") is None
    assert conn.execute("SELECT quantity FROM lines_v2 ORDER BY line_id LIMIT 2").fetchall() == [
        (6,),
        (7,),
    ]
    assert "nothing: only v2 is left" in compat(url, "status", "lines").out


def test_unexpand_takes_everything_back_but_the_log(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    file = write_mapping(make_lines(conn), tmp_path)
    succeed(url, "expand", file, "--execute")
    succeed(url, "unexpand", "lines", "--execute")  # the schema compat with its log stays
    before = picture(conn)[0]

    succeed(url, "expand", file, "--execute")
    result = succeed(url, "unexpand", "lines", "--execute")

    assert "unexpand done" in result.out
    assert picture(conn)[0] == before
    conn.execute("UPDATE lines SET qty = 3")
    assert value(conn, "SELECT count(*) FROM lines_v2") == 0
    again = compat_here(url, "unexpand", "lines", "--execute")
    assert again.code == 2
    assert "no mapping called 'lines'" in again.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(command: str) -> None:
    result = compat(None, command, "--help")

    assert (result.code, result.err) == (0, "")
    assert f"Example: compat {command}" in result.out
    assert "Traceback" not in result.out


def test_the_help_lists_every_command_and_no_arguments_are_not_an_error_of_ours() -> None:
    full, bare = compat(None, "--help"), compat(None)

    assert full.code == 0
    assert all(f" {command} " in full.out for command in COMMANDS)
    assert "Traceback" not in bare.out + bare.err


def test_the_console_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("compat")
    ended = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)

    assert ended.returncode == 0
    assert "draft" in ended.stdout


def test_the_help_is_there_at_once() -> None:
    code = "import sys, compat.cli; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_switch_offers_every_form() -> None:
    assert get_args(Wanted) == get_args(Form)


def test_dry_runs_print_the_sql_and_change_nothing(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    file = write_mapping(make_lines(conn), tmp_path)
    shown = {
        "expand": "CREATE VIEW",
        "copy": "would copy 30 of 30 rows",
        "cutover": 'RENAME TO "lines__retired"',
        "rollback": 'ALTER TABLE "public"."lines__retired" RENAME TO "lines"',
        "contract": "DROP TABLE",
    }
    for step in EXECUTABLE:
        source = file if step == "expand" else "lines"
        if step == "contract":
            steps(url, "lines", "cutover")
        before, insist = picture(conn), INSIST.get(step, ())
        dry = compat_here(url, step, source, *insist)
        assert (dry.code, dry.err) == (0, "")
        assert shown[step] in dry.out
        assert "nothing was changed; add --execute to do it" in dry.out
        assert picture(conn) == before
        succeed(url, step, source, *insist, "--execute")


@pytest.mark.parametrize("step", ["rollback", "contract", "unexpand"])
def test_a_dry_run_refuses_what_the_step_itself_would_refuse(
    url: str, conn: psycopg.Connection, tmp_path: Path, step: str
) -> None:
    succeed(url, "expand", write_mapping(make_lines(conn), tmp_path), "--execute")
    if step == "unexpand":
        steps(url, "lines", "copy", "cutover")
    if step == "rollback":
        steps(url, "lines", "copy", "cutover", "contract")

    dry, real = compat_here(url, step, "lines"), compat_here(url, step, "lines", "--execute")

    assert dry.code == 2
    assert dry == real


def test_the_sql_of_a_dry_run_is_the_whole_step(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    file = write_mapping(make_lines(conn), tmp_path)
    succeed(url, "expand", file, "--execute")
    succeed(url, "copy", "lines", "--execute")
    statements = succeed(url, "cutover", "lines", "--unverified", "--json").json["statements"]
    text = succeed(url, "cutover", "lines", "--unverified").out

    with conn.transaction():
        for statement in statements:
            conn.execute(statement)

    assert all(statement in text for statement in statements)
    assert phase(conn, "lines") == "cutover"
    assert "was done already" in succeed(url, "cutover", "lines", "--execute").out


def test_plan_prints_the_sql_of_every_step_on_request(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    file = write_mapping(make_lines(conn), tmp_path)
    before = picture(conn)

    result = succeed(url, "plan", file, "--sql")

    for step in ("expand", "cutover", "rollback", "contract"):
        assert f"\n-- {step}\n" in result.out
    assert picture(conn) == before


def test_plan_tells_the_phase_and_the_rows_in_every_phase(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    file = write_mapping(make_lines(conn), tmp_path)
    conn.execute("ANALYZE lines")
    plan = succeed(url, "plan", file, "--json").json
    assert (plan["phase"], plan["rows"]) == ("not started", 30)
    succeed(url, "expand", file, "--execute")
    for step, phase_then in (
        *(("copy", "copied"), ("cutover", "cutover"), ("rollback", "copied")),
        *(("cutover", "cutover"), ("contract", "contracted")),
    ):
        steps(url, "lines", step)
        plan = succeed(url, "plan", "lines", "--json").json
        assert (plan["phase"], plan["rows"], plan["form"]) == (phase_then, 30, "instead_of")


def test_json_has_stable_keys_and_nothing_else_on_standard_output(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    file = write_mapping(make_lines(conn), tmp_path)
    outcome = {"step", "mapping", "changed", "seconds", "attempts", "held", "notes"}
    preview = {"step", "mapping", "statements", "findings", "users", "notes"}
    keys = {
        ("plan", file): {
            *("mapping", "legacy", "target", "phase", "rows", "form", "why", "columns"),
            *("fidelity", "dependents", "indexes", "steps"),
            *("tables", "view", "through", "beneath"),
        },
        ("expand", file): preview,
        ("expand", file, "--execute"): outcome,
        ("copy", "lines"): {
            *("mapping", "rows", "rows_missing", "ranges", "workers", "losses"),
            "deferred_indexes",
        },
        ("copy", "lines", "--execute"): {
            *(
                "mapping",
                "rows_seen",
                "rows_copied",
                "swept",
                "purged",
                "rejected",
                "seconds",
                "changed",
            ),
            "finished",
        },
        ("cutover", "lines", "--unverified"): preview,
        ("cutover", "lines", "--unverified", "--execute"): outcome,
        ("usage", "lines"): {"mapping", "since", "now", "uses", "notes"},
        ("rollback", "lines"): preview,
        ("rollback", "lines", "--execute"): outcome,
        ("unexpand", "lines"): preview,
    }
    for arguments, expected in keys.items():
        assert set(succeed(url, *arguments, "--json").json) == expected, arguments

    (status,) = succeed(url, "status", "--json").json
    assert set(status) == {
        *("mapping", "legacy", "target", "form", "phase", "since", "rows", "rows_copied"),
        *("problems", "next_step", "rejects", "indexes_to_build", "twins", "verified", "command"),
        *("held_up_by", "not_validated", "switching"),
    }
    assert (status["phase"], status["rows_copied"], status["problems"]) == ("copied", 30, [])
    drafted = compat(url, "draft", "lines", "--json")
    assert drafted.code == 2  # its open questions have no place in JSON
    assert drafted.out == ""
    assert succeed(url, "status", "lines", "--json").json == [status]


def test_a_complete_draft_as_json_is_a_mapping_that_the_next_command_reads(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    conn.execute(
        "CREATE TABLE thing (id integer PRIMARY KEY, label text);"
        "CREATE TABLE thing_v2 (id integer PRIMARY KEY, label text)"
    )
    file = tmp_path / "thing.json"

    drafted = succeed(url, "draft", "thing", "--output", file)

    assert drafted.out == ""
    assert "thing: expand done" in succeed(url, "expand", file, "--execute").out
    assert succeed(url, "status", "thing", "--json").json[0]["form"] == "updatable"
    assert succeed(url, "draft", "thing", "--name", "other", "--json").json["name"] == "other"


def test_a_draft_never_overwrites_a_file_unless_told_to(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    make_lines(conn)
    file = tmp_path / "mapping.py"
    file.write_text("mine", encoding="utf-8")

    refused = compat_here(url, "draft", "lines", "--output", file)
    assert refused.code == 2
    assert "exists already" in refused.err
    assert file.read_text(encoding="utf-8") == "mine"
    assert compat_here(url, "draft", "lines", "--output", file, "--force").code == 1
    assert "OPEN" in file.read_text(encoding="utf-8")


def test_without_a_terminal_the_output_is_plain_lines(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    file = write_mapping(make_lines(conn), tmp_path)
    succeed(url, "expand", file, "--execute")

    result = compat(url, "copy", "lines", "--execute", "--throttle", "20")

    assert result.code == 0
    assert not CONTROL.search(result.out + result.err)
    progress = result.err.splitlines()
    assert progress[-1] == "copy lines: 30 of about 30 rows"
    assert len(progress) > 1
    status = compat(url, "status")
    assert not CONTROL.search(status.out)
    assert "lines" in status.out


def test_names_that_look_like_markup_are_printed_as_they_are(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    conn.execute(
        'CREATE TABLE "[/x]" (id integer PRIMARY KEY, "[red]" text, ":key:" text);'
        'CREATE TABLE "[/x]_v2" (id integer PRIMARY KEY, "[red]" text, ":key:" text)'
    )
    document = succeed(url, "draft", "[/x]", "--target", "[/x]_v2", "--json").out
    file = tmp_path / "mapping.json"
    file.write_text(document, encoding="utf-8")
    planned = succeed(url, "plan", file)
    dry = succeed(url, "expand", file)
    succeed(url, "expand", file, "--execute")
    copied = succeed(url, "copy", "[/x]", "--execute")
    steps(url, "[/x]", "cutover")
    conn.execute('ALTER VIEW "[/x]" RENAME TO "away"')
    status = compat_here(url, "status")

    assert "[red]" in planned.out
    assert '":key:"' in dry.out
    assert "[/x]: 0 rows seen" in copied.out
    assert status.code == 1
    assert "[/x]: public.[/x] is missing" in status.out


def test_a_url_option_counts_more_than_the_environment_and_sqlalchemys_spelling_is_understood(
    url: str, conn: Connection
) -> None:
    make_lines(conn)
    spelled = url.replace("postgresql://", "postgresql+psycopg://")

    result = compat("postgresql://nobody@127.0.0.1:1/nothing", "status", "--url", spelled)

    assert (result.code, result.err) == (0, "")
    assert "no migration in this database" in result.out
