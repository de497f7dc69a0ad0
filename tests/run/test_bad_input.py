"""Bad input: what the user reads, exit code 2, and a database in which nothing has changed.

The message names the thing that is wrong, and says how to mend it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from compat import state
from compat.mapping import Mapping
from tests.compat.migrations import value
from tests.run.support import (
    INSIST,
    PASSWORD,
    Connection,
    Ended,
    changed_url,
    compat,
    compat_here,
    make_lines,
    ordinary_role,
    own,
    picture,
    start_anew,
    steps,
    succeed,
    write_mapping,
)


def refused(conn: Connection, url: str, *arguments: str | Path) -> Ended:
    """Run a command that must be refused without a trace in the database."""
    before = picture(conn)
    result = compat_here(url, *arguments)
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    assert picture(conn) == before
    return result


def has_schema(conn: Connection) -> bool:
    return value(conn, "SELECT to_regnamespace('compat') IS NOT NULL") is True


@pytest.fixture
def mapping(conn: psycopg.Connection) -> Mapping:
    return make_lines(conn)


@pytest.fixture
def file(mapping: Mapping, tmp_path: Path) -> Path:
    return write_mapping(mapping, tmp_path)


@pytest.fixture
def expanded(file: Path, url: str) -> Path:
    succeed(url, "expand", file, "--execute")
    return file


# Tables ------------------------------------------------------------------------------------------


def test_a_table_that_does_not_exist(url: str, conn: psycopg.Connection, tmp_path: Path) -> None:
    result = refused(conn, url, "draft", "nowhere", "-o", tmp_path / "m.py")

    assert "no such table: nowhere" in result.err
    assert "fix: check the name and the schema" in result.err
    assert "search path" in result.err
    assert not (tmp_path / "m.py").exists()


def test_a_view_where_a_table_is_asked_for(url: str, conn: psycopg.Connection) -> None:
    conn.execute("CREATE VIEW shown AS SELECT 1 AS id")

    assert "public.shown is a view" in refused(conn, url, "draft", "shown").err


def test_a_table_without_its_target(url: str, conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE lonely (id integer PRIMARY KEY)")

    result = refused(conn, url, "draft", "lonely")

    assert "no such table: public.lonely_v2 (give --target when" in result.err
    assert "fix: create the v2 table first" in result.err


def test_a_table_without_a_primary_key(
    url: str, conn: psycopg.Connection, tmp_path: Path, mapping: Mapping
) -> None:
    conn.execute(
        "ALTER TABLE lines DROP CONSTRAINT lines_pkey, DROP CONSTRAINT lines_order_line_key"
    )

    drafted = refused(conn, url, "draft", "lines", "-o", tmp_path / "m.py")
    assert "public.lines has no primary key" in drafted.err
    assert 'fix: ALTER TABLE "public"."lines" ADD PRIMARY KEY' in drafted.err
    assert not (tmp_path / "m.py").exists()

    document = mapping.to_json().replace('"primary_key"', '"check"').replace('"unique"', '"check"')
    keyless = tmp_path / "keyless.json"
    keyless.write_text(document, encoding="utf-8")
    planned = refused(conn, url, "plan", keyless)
    assert "public.lines has no primary key" in planned.err
    assert "ADD PRIMARY KEY" in planned.err


@pytest.mark.parametrize("table", ["lines", "lines_v2"])
@pytest.mark.parametrize("command", [["plan"], ["expand"], ["expand", "--execute"]])
def test_a_mapping_whose_table_has_gone(
    url: str, conn: psycopg.Connection, file: Path, table: str, command: list[str]
) -> None:
    conn.execute(f"DROP TABLE {table}")

    result = refused(conn, url, command[0], file, *command[1:])

    assert f"no such table: public.{table}\n" in result.err
    assert "fix: create it first" in result.err
    assert not has_schema(conn)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("lines_v2 DROP COLUMN remark", "column 'remark' is missing"),
        ("lines_v2 RENAME remark TO remarks", "column 'remarks' is not in the mapping"),
        (
            "lines_v2 ALTER quantity TYPE bigint",
            "column 'quantity' is bigint, the mapping says integer",
        ),
        ("lines_v2 ALTER remark SET NOT NULL", "column 'remark' is NOT NULL here"),
        ("lines ADD extra text", "column 'extra' is not in the mapping"),
        ("lines ALTER note TYPE text", "column 'note' is text, the mapping says character"),
    ],
)
def test_a_mapping_that_does_not_describe_the_tables(
    url: str, conn: psycopg.Connection, file: Path, change: str, complaint: str
) -> None:
    conn.execute(f"ALTER TABLE {change}")
    table = change.split(maxsplit=1)[0]

    for command in (["plan"], ["expand"], ["expand", "--execute"]):
        result = refused(conn, url, command[0], file, *command[1:])
        assert f"public.{table} is not what the mapping describes" in result.err
        assert complaint in result.err
        assert "fix: draft the mapping again" in result.err
    assert not has_schema(conn)


def test_a_table_that_changed_between_expand_and_copy(
    url: str, conn: psycopg.Connection, expanded: Path
) -> None:
    conn.execute("ALTER TABLE lines_v2 ADD later text")

    for dry in ([], ["--execute"]):
        result = refused(conn, url, "copy", "lines", *dry)
        assert "column 'later' is not in the mapping" in result.err


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["plan"], ["expand"], ["expand", "--execute"]])
def test_values_that_the_mapping_refuses_are_named_with_their_counts(
    url: str, conn: psycopg.Connection, file: Path, command: list[str]
) -> None:
    conn.execute("UPDATE lines SET status = 9 WHERE id IN (3, 5, 7)")
    conn.execute("UPDATE lines SET price = 'gratis' WHERE id = 4")

    result = refused(conn, url, command[0], file, *command[1:])

    assert "public.lines.status: no counterpart for '9' (3 rows)" in result.err
    assert "public.lines.price: no counterpart for 'gratis' (1 row)" in result.err
    assert "fix: add them to the mapping, keep them in a side column" in result.err
    assert not has_schema(conn)


def test_values_that_came_after_the_expand_are_refused_by_the_copy(
    url: str, conn: psycopg.Connection, expanded: Path
) -> None:
    conn.execute("ALTER TABLE lines DISABLE TRIGGER USER")
    conn.execute("UPDATE lines SET status = 8 WHERE id = 2")
    conn.execute("ALTER TABLE lines ENABLE TRIGGER USER")

    forecast = refused(conn, url, "copy", "lines")
    result = compat_here(url, "copy", "lines", "--execute")

    assert "public.lines.status: no counterpart for '8' (1 row)" in forecast.err
    assert result.code == 2
    assert "public.lines: the row with id = 2 cannot be carried over" in result.err
    assert "for the value '8' (SQLSTATE 23514)" in result.err


def test_a_row_that_only_the_target_refuses_is_named_by_the_copy(
    url: str, conn: psycopg.Connection, mapping: Mapping, tmp_path: Path
) -> None:
    conn.execute("ALTER TABLE lines_v2 ADD CONSTRAINT cheap CHECK (unit_price < 80) NOT VALID")
    succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    conn.execute("INSERT INTO lines (id, order_id, price) VALUES (500, 500, '1.00')")
    conn.execute("ALTER TABLE lines DISABLE TRIGGER USER")
    conn.execute("UPDATE lines SET price = '81.00' WHERE id = 25")
    conn.execute("ALTER TABLE lines ENABLE TRIGGER USER")

    result = compat_here(url, "copy", "lines", "--execute", "--batch-size", "10")

    assert result.code == 2
    assert "the row with id = 25 cannot be carried over" in result.err
    assert 'violates check constraint "cheap"' in result.err
    assert "Failing row contains (25," in result.err
    assert "fix: correct the row" in result.err
    conn.execute("UPDATE lines SET price = '79.00' WHERE id = 25")
    assert "31 rows seen" in succeed(url, "copy", "lines", "--execute").out


def test_a_target_that_is_not_empty(url: str, conn: psycopg.Connection, file: Path) -> None:
    conn.execute(
        "INSERT INTO lines_v2 (line_id, order_id, position, quantity, unit_price, state,"
        " created_at) VALUES (1, 1, 1, 1, 1, 'free', now())"
    )

    result = refused(conn, url, "expand", file, "--execute")

    assert "the target public.lines_v2 is not empty" in result.err
    assert "fix: " in result.err
    assert not has_schema(conn)


def test_rows_of_unknown_origin_in_the_target(
    url: str, conn: psycopg.Connection, expanded: Path
) -> None:
    stray = (
        "INSERT INTO lines_v2 (line_id, order_id, position, quantity, unit_price, state,"
        " created_at) VALUES (4711, 1, 99, 1, 1, 'free', now())"
    )
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="before the cutover"):
        conn.execute(stray)
    conn.execute("SET compat.early_writes = on")  # somebody insisted
    conn.execute(stray)

    for dry in ([], ["--execute"]):
        result = refused(conn, url, "copy", "lines", *dry)
        assert "public.lines_v2 is not empty" in result.err
        assert "line_id = 4711" in result.err
        assert "fix: delete these rows" in result.err


# Order of the steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["copy", "cutover", "rollback", "contract", "unexpand"])
def test_a_step_of_a_migration_that_was_never_expanded(
    url: str, conn: psycopg.Connection, mapping: Mapping, command: str
) -> None:
    for dry in ([], ["--execute"]):
        result = refused(conn, url, command, "lines", *dry)
        assert "no mapping called 'lines' in this database (there: none)" in result.err
        assert "`compat expand` first" in result.err
    assert not has_schema(conn)


def test_cutover_before_the_copy(url: str, conn: psycopg.Connection, expanded: Path) -> None:
    result = refused(conn, url, "cutover", "lines", "--execute")

    assert "needs the phase copied; it is expanded" in result.err
    assert "fix: run `compat copy lines --execute` first" in result.err


def test_contract_before_the_cutover(url: str, conn: psycopg.Connection, expanded: Path) -> None:
    steps(url, "lines", "copy")

    result = refused(conn, url, "contract", "lines", "--execute")

    assert "contract of 'lines' needs the phase cutover; it is copied" in result.err
    assert "fix: `compat status lines` tells the next step" in result.err


@pytest.mark.parametrize("step", ["rollback", "unexpand", "cutover", "copy"])
def test_going_back_after_the_contract(
    url: str, conn: psycopg.Connection, expanded: Path, step: str
) -> None:
    steps(url, "lines", "copy", "cutover", "contract")

    assert "contracted" in refused(conn, url, step, "lines", "--execute").err


def test_copy_after_the_cutover(url: str, conn: psycopg.Connection, expanded: Path) -> None:
    steps(url, "lines", "copy", "cutover")

    for dry in ([], ["--execute"]):
        assert "'lines' is cutover" in refused(conn, url, "copy", "lines", *dry).err


def test_another_mapping_of_the_same_name(
    url: str, conn: psycopg.Connection, mapping: Mapping, expanded: Path, tmp_path: Path
) -> None:
    other = write_mapping(replace(mapping, form="instead_of"), tmp_path, "other.py")

    for dry in ([], ["--execute"]):
        result = refused(conn, url, "expand", other, *dry)
        assert "a different mapping called 'lines' is expanded in this database" in result.err
        assert "fix: use another name" in result.err


def test_something_of_the_users_that_has_followed_the_legacy_name(
    url: str, conn: psycopg.Connection, expanded: Path
) -> None:
    conn.execute("CREATE VIEW cheap_lines AS SELECT id FROM lines WHERE qty = 1")
    steps(url, "lines", "copy", "cutover")

    result = refused(conn, url, "contract", "lines", "--execute", *INSIST["contract"])

    assert "view cheap_lines depends on view lines" in result.err
    assert "fix: move these to the v2 table or drop them" in result.err
    conn.execute("DROP VIEW cheap_lines")
    steps(url, "lines", "contract")


def test_a_view_that_somebody_put_on_the_compatibility_view(
    url: str, conn: psycopg.Connection, expanded: Path
) -> None:
    steps(url, "lines", "copy", "cutover")
    conn.execute("CREATE VIEW cheap_lines AS SELECT id FROM lines WHERE qty = 1")

    assert (
        "cheap_lines depends on view lines"
        in refused(conn, url, "contract", "lines", "--execute", *INSIST["contract"]).err
    )


# Mapping files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("gone.py", None, "no such mapping file"),
        ("gone.json", None, "no such mapping file"),
        ("typo.py", "MAPPING = Mapping(", "SyntaxError"),
        ("wrong.py", "MAPPING = 1 / 0", "ZeroDivisionError: division by zero"),
        ("empty.py", "", "holds none as mappings"),
        ("broken.json", '{"name": "lines", ', "not a mapping document"),
        ("other.json", '{"name": "lines"}', "legacy: Field required"),
        ("list.json", "[]", "not a mapping document"),
        ("binary.json", "\udcff\udcfe", "not a mapping document"),
    ],
)
def test_files_that_hold_no_mapping(
    url: str, tmp_path: Path, name: str, text: str | None, complaint: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")

    with psycopg.connect(url, autocommit=True) as conn:
        for command in (["plan"], ["expand", "--execute"]):
            result = refused(conn, url, command[0], tmp_path / name, *command[1:])
            assert complaint in result.err
        assert not has_schema(conn)


def test_a_file_of_two_mappings_of_which_none_is_named(
    url: str, conn: psycopg.Connection, file: Path
) -> None:
    text = file.read_text(encoding="utf-8")
    more = "from dataclasses import replace\nOTHER = replace(MAPPING, name='other')\n"
    file.write_text(text + more, encoding="utf-8")

    result = refused(conn, url, "expand", file, "--execute")
    assert "holds MAPPING, OTHER as mappings" in result.err
    assert f"fix: name one: {file}:NAME" in result.err
    assert "has no mapping called 'THIRD'" in refused(conn, url, "plan", f"{file}:THIRD").err
    assert succeed(url, "plan", f"{file}:OTHER", "--json").json["mapping"] == "other"


def test_a_name_that_the_database_does_not_know_lists_those_that_it_knows(
    url: str, conn: psycopg.Connection, expanded: Path
) -> None:
    result = refused(conn, url, "status", "linse")

    assert "no mapping called 'linse' in this database (there: lines)" in result.err


def test_a_draft_into_a_folder_that_does_not_exist(
    url: str, conn: psycopg.Connection, mapping: Mapping, tmp_path: Path
) -> None:
    result = refused(conn, url, "draft", "lines", "-o", tmp_path / "nowhere" / "m.py")

    assert "cannot write" in result.err
    assert "No such file or directory" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "lines", "--no-such-option"),
        ("no-such-command",),
        ("copy",),
        ("copy", "lines", "--batch-size", "0"),
        ("copy", "lines", "--batch-size", "many"),
        ("copy", "lines", "--throttle", "-1"),
        ("cutover", "lines", "--lock-timeout", "0"),
        ("cutover", "lines", "--max-attempts", "0"),
    ],
)
def test_command_lines_that_make_no_sense_are_usage_errors(
    url: str, conn: psycopg.Connection, arguments: tuple[str, ...]
) -> None:
    result = compat_here(url, *arguments)

    assert (result.code, result.out) == (2, "")
    assert "Usage: " in result.err
    assert "Traceback" not in result.err


# Connections -------------------------------------------------------------------------------------


def assert_cannot_connect(result: Ended) -> None:
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert "fix: " in result.err
    assert "Traceback" not in result.err
    for part in (PASSWORD, "hush"):
        assert part not in result.err


def test_no_url_at_all() -> None:
    result = compat(None, "status")

    assert_cannot_connect(result)
    assert "no database was named" in result.err
    assert "COMPAT_DATABASE_URL or DATABASE_URL" in result.err


def test_a_port_where_nobody_listens() -> None:
    result = compat(f"postgresql://me:{PASSWORD}@127.0.0.1:1/db", "status")

    assert_cannot_connect(result)
    assert "cannot connect to" in result.err
    assert "port=1" in result.err
    assert "fix: check host, port" in result.err


def test_a_database_that_does_not_exist(url: str) -> None:
    result = compat_here(url.rpartition("/")[0] + "/compat_nowhere", "status")

    assert result.code == 2
    assert '"compat_nowhere" does not exist' in result.err


@pytest.fixture
def role(conn: psycopg.Connection) -> Iterator[str]:
    """A role that may log in, and owns nothing."""
    with ordinary_role(conn) as name:
        yield name


def test_a_password_never_appears_also_when_it_is_wrong(url: str, role: str) -> None:
    for password in (f"{PASSWORD}-not", f"{PASSWORD}%40%2F"):
        result = compat_here(changed_url(url, user="compat_nobody", password=password), "status")
        assert_cannot_connect(result)
        assert "compat_nobody" in result.err


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@@127.0.0.1/db",
        f"postgresql://me:a@{PASSWORD}@127.0.0.1/db",
        f"postgresql://me:1/{PASSWORD}@127.0.0.1/db",
        f"postgresql://me:%zz{PASSWORD}@127.0.0.1/db",
        f"mysql://me:{PASSWORD}@127.0.0.1/db",
        f"host=127.0.0.1 password {PASSWORD}",
        PASSWORD,
    ],
)
def test_urls_that_cannot_be_read_are_not_quoted(url: str) -> None:
    result = compat_here(url, "status")

    assert_cannot_connect(result)
    assert "the database URL cannot be read" in result.err
    assert "percent-encoded" in result.err


def test_a_role_that_may_only_read(
    url: str, conn: psycopg.Connection, file: Path, role: str
) -> None:
    conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    reader = changed_url(url, user=role)

    result = refused(conn, reader, "expand", file, "--execute")

    assert "permission denied for database" in result.err
    assert "fix: run as the owner of the legacy and the target table" in result.err
    assert PASSWORD not in result.err
    assert not has_schema(conn)


@pytest.mark.parametrize("command", [["copy"], ["cutover"], ["rollback"], ["status"]])
def test_a_role_that_may_not_see_the_schema_compat(
    url: str, conn: psycopg.Connection, expanded: Path, role: str, command: list[str]
) -> None:
    conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")

    result = refused(conn, changed_url(url, user=role), command[0], "lines")

    assert "permission denied for schema compat" in result.err


def test_a_role_that_owns_the_legacy_table_but_not_the_target(
    url: str, conn: psycopg.Connection, file: Path, role: str
) -> None:
    own(conn, role, "lines")

    result = refused(conn, changed_url(url, user=role), "expand", file, "--execute")

    assert "permission denied for table lines_v2" in result.err
    assert "fix: run as the owner" in result.err
    assert not has_schema(conn)


def test_a_server_that_only_reads(url: str, conn: psycopg.Connection, file: Path) -> None:
    separator = "&" if "?" in url else "?"
    standby = f"{url}{separator}options=-cdefault_transaction_read_only%3Don"

    result = refused(conn, standby, "expand", file, "--execute")

    assert "the database is read-only" in result.err
    assert "fix: connect to the primary" in result.err


# Company -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def at_work(url: str, name: str) -> Iterator[None]:
    """Hold the advisory lock that a command holds while it works."""
    with psycopg.connect(url, autocommit=True) as other:
        state.lock(other, name)
        yield


@pytest.mark.parametrize("command", ["expand", "copy", "cutover", "rollback", "contract"])
def test_a_second_command_at_the_same_time(
    url: str, conn: psycopg.Connection, expanded: Path, command: str
) -> None:
    source = expanded if command == "expand" else "lines"
    with at_work(url, "lines"):
        result = refused(conn, url, command, source, "--execute")
    assert "another command is working on 'lines' right now" in result.err
    assert "fix: wait for it" in result.err


@pytest.mark.parametrize(("before", "step"), [((), "cutover"), (("cutover",), "rollback")])
def test_a_lock_that_never_comes_names_who_holds_it(
    url: str, conn: psycopg.Connection, expanded: Path, before: tuple[str, ...], step: str
) -> None:
    steps(url, "lines", "copy", *before)
    with psycopg.connect(url, application_name="nightly report") as reader:
        reader.execute("SELECT count(*) FROM lines")
        pid = reader.info.backend_pid
        options = ("--lock-timeout", "20", "--max-attempts", "3")

        before_it = picture(conn)
        insist = INSIST.get(step, ())
        result = compat_here(url, step, "lines", "--execute", *options, *insist)

        assert result.code == 2
        assert picture(conn) == before_it
        assert "met locks in all of 3 attempts" in result.err
        assert "canceling statement due to lock timeout" in result.err
        assert f"pid {pid}" in result.err
        assert "nightly report, idle in transaction" in result.err
        assert (
            "fix: end the long transactions, or give more attempts (--max-attempts)" in result.err
        )
        assert result.err.count("trying again") == 2
    steps(url, "lines", step)


def test_a_closed_pipe_is_not_a_traceback(url: str, conn: psycopg.Connection, file: Path) -> None:
    process = start_anew(url, "plan", file, "--sql")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(30)

    assert "Traceback" not in errors
    assert process.returncode != 0
