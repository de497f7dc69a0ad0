"""The command as a user runs it: output, exit codes, permissions, and that nothing stays behind.

Each test starts the real program in a process of its own, or holds locks from another connection.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import verify
from compat import rules, state
from compat.compile import copy
from compat.database import Database
from compat.errors import CompatError, StateError
from compat.mapping import Mapping
from tests.run.support import until
from tests.verify import journey
from tests.verify.journey import Connection
from verify.probes.side import Answer, Side
from verify.probes.statements import Cells, Probe
from verify.report import Status
from verify.runner import DEFAULTS


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.endswith("DATABASE_URL")}
    return subprocess.run(
        [sys.executable, "-c", "from verify.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=kept | environment,
    )


def stored_mapping(conn: Connection) -> Mapping:
    (stored,) = state.load_all(conn)
    return stored.mapping


@pytest.fixture
def shop_url(server: Database, waiting_shop: str) -> Iterator[str]:
    """The address of a shop before the cutover."""
    with server.fresh(template=waiting_shop) as address:
        yield address


@pytest.fixture
def shop(shop: Connection) -> Connection:
    """A connection to that shop which may write to the target already."""
    shop.execute(copy.allow_writes())
    return shop


def test_the_command_needs_no_argument_but_the_environment_and_ends_with_its_verdict(
    shop: Connection, shop_url: str
) -> None:
    done = command(DATABASE_URL=shop_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "All of it holds."
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == [
        "structure",
        "counts",
        "contents",
        "integrity",
        "losses",
        "probes",
        "concurrency",
    ]
    assert "\x1b" not in done.stdout


def test_a_fault_gives_exit_code_1_and_a_json_report_that_names_it(
    shop: Connection, shop_url: str
) -> None:
    shop.execute("UPDATE order_line_items_v2 SET quantity = 9 WHERE line_item_id = 4")
    done = command(
        shop_url, "--json", "--checks", "counts,contents", "--mapping", "order_line_items"
    )
    assert done.returncode == 1
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["format"] == 1
    assert document["exit_code"] == 1
    assert document["holds"] is False
    (mapping,) = document["mappings"]
    assert [check["check"] for check in mapping["checks"]] == ["counts", "contents"]
    assert mapping["checks"][1]["findings"] == [
        {
            "kind": "changed",
            "subject": "id = '4'",
            "message": "qty: '4' in the table, '9' in the view",
            "key": {"id": "4"},
            "expected": "4",
            "found": "9",
        }
    ]


def test_the_limit_is_kept_and_values_cannot_give_the_terminal_commands(
    shop: Connection, shop_url: str
) -> None:
    note = "\x1b[31m [bold]x[/bold]\nnext"
    shop.execute("UPDATE order_line_items_v2 SET note = %s WHERE line_item_id <= 5", [note])
    done = command(shop_url, "--checks", "contents", "--limit", "2")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert "\\x1b[31m [bold]x[/bold]\\nnext" in done.stdout
    assert done.stdout.count(" in the view") == 1 + 2  # the summary and two findings
    assert "5 in all; --limit shows more" in done.stdout


def test_mistakes_in_the_arguments_are_told_with_exit_code_2(
    shop: Connection, shop_url: str
) -> None:
    for arguments, said in (
        (("--checks", "colour"), "no such check: 'colour'"),
        (("--checks", ""), "no check was asked for"),
        (("--mapping", "nobody"), "no mapping called 'nobody'"),
        (("--limit", "-1"), "limit"),
        (("--colour",), "--colour"),
    ):
        done = command(shop_url, *arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("loaded", "not_needed"), [("verify.cli", "psycopg"), ("verify.runner", "sqlglot")]
)
def test_what_a_run_does_not_need_is_not_waited_for(loaded: str, not_needed: str) -> None:
    code = f"import sys, {loaded}; sys.exit({not_needed!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_names_the_checks_that_are_made_by_default() -> None:
    done = command("--help", COLUMNS="300")
    assert done.returncode == 0
    assert ",".join(DEFAULTS) in done.stdout


def test_a_database_that_cannot_be_reached_is_told_without_its_password(url: str) -> None:
    for change in ({"port": "1"}, {"dbname": "not-there"}, {"user": "nobody-here"}):
        done = command(make_conninfo(url, **({"password": "s3cret-word"} | change)))
        assert done.returncode == 2
        assert "cannot connect to" in done.stderr
        assert "s3cret-word" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_no_database_or_nothing_stored_in_it_is_exit_code_2(url: str) -> None:
    done = command()
    assert done.returncode == 2
    assert "no database was named" in done.stderr
    done = command(url, "--json")
    assert done.returncode == 2
    assert "no mapping is stored in this database" in done.stderr
    assert done.stdout == ""


@pytest.fixture
def reader_url(shop: Connection, shop_url: str) -> Iterator[str]:
    """The address of the shop for a role that may read everything and write nothing."""
    role = f"reader_{shop.info.dbname}"
    shop.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader'")
    shop.execute(f"GRANT USAGE ON SCHEMA compat TO {role}")
    shop.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public, compat TO {role}")
    shop.execute(
        "SELECT compat.wear('order_line_items__compat', compat.looks_of('order_line_items'))"
    )
    yield make_conninfo(shop_url, user=role, password="reader")
    shop.execute(f"DROP OWNED BY {role}")
    shop.execute(f"DROP ROLE {role}")


def test_a_role_that_may_only_read_verifies_the_data_and_probes_are_not_run(
    reader_url: str,
) -> None:
    done = command(reader_url, "--json")
    assert done.returncode == 2, done.stdout + done.stderr
    (mapping,) = json.loads(done.stdout)["mappings"]
    assert [(check["check"], check["status"]) for check in mapping["checks"]] == [
        ("structure", "holds"),
        ("counts", "holds"),
        ("contents", "holds"),
        ("integrity", "holds"),
        ("losses", "holds"),
        ("probes", "not run"),
        ("concurrency", "not run"),
    ]
    assert "may not INSERT, UPDATE, DELETE" in mapping["checks"][-2]["summary"]
    assert "may not create a schema" in mapping["checks"][-1]["summary"]
    done = command(reader_url)
    assert done.stdout.splitlines()[-1] == "Not everything could be checked."
    assert command(reader_url, "--checks", "structure,counts,contents").returncode == 0


def test_a_role_that_may_write_but_make_no_schema_gets_all_but_the_races(
    shop: Connection, reader_url: str
) -> None:
    role = f"reader_{shop.info.dbname}"
    shop.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    shop.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
    checks = "contents,probes,concurrency"
    done = command(reader_url, "--json", "--no-record", "--checks", checks)
    (mapping,) = json.loads(done.stdout)["mappings"]
    assert {check["check"]: check["status"] for check in mapping["checks"]} == {
        "contents": "holds",
        "probes": "holds",
        "concurrency": "not run",
    }
    assert "leave the check out with --checks" in mapping["checks"][-1]["summary"]
    assert done.returncode == 2
    assert command(reader_url, "--no-record", "--checks", "contents,probes").returncode == 0


def test_a_role_without_any_rights_is_told_what_it_lacks(shop: Connection, reader_url: str) -> None:
    shop.execute(f"REVOKE SELECT ON order_line_items_v2 FROM reader_{shop.info.dbname}")
    done = command(reader_url, "--checks", "counts,contents")
    assert done.returncode == 2
    assert "permission denied for table order_line_items_v2" in done.stdout
    shop.execute(f"REVOKE ALL ON SCHEMA compat FROM reader_{shop.info.dbname}")
    done = command(reader_url)
    assert done.returncode == 2
    assert "permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_counts_for_more_than_what_could_not_be_checked(
    shop: Connection, reader_url: str
) -> None:
    shop.execute("DELETE FROM order_line_items_v2 WHERE line_item_id = 4")
    assert command(reader_url).returncode == 1


def test_a_connection_set_to_read_only_probes_nothing(shop: Connection) -> None:
    shop.execute("SET default_transaction_read_only = on")
    (result,) = verify.run(shop, ["probes"]).results
    assert result.status is Status.NOT_RUN
    assert "may only read" in result.summary
    assert verify.run(shop, ["structure", "counts", "contents"]).holds


# -- what is left behind ----------------------------------------------------------------------

_EVERYTHING = """
SELECT 'row ' || i::text FROM order_line_items i UNION ALL
SELECT 'row ' || i::text FROM order_line_items_v2 i UNION ALL
SELECT 'row ' || i::text FROM order_line_returns i UNION ALL
SELECT 'state ' || m.name || m.phase || m.changed_at FROM compat.mapping m UNION ALL
SELECT 'event ' || count(*) FROM compat.event UNION ALL
SELECT format('class %s %s %s', oid, relnamespace, relname) FROM pg_class
WHERE relnamespace::regnamespace::text !~ 'toast' UNION ALL
SELECT format('function %s %s', oid, md5(prosrc)) FROM pg_proc UNION ALL
SELECT format('trigger %s %s', oid, tgenabled) FROM pg_trigger UNION ALL
SELECT 'lock ' || mode FROM pg_locks
WHERE pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database
                                              WHERE datname = current_database())
ORDER BY 1
"""


@pytest.mark.parametrize("is_cutover", [False, True])
def test_a_run_leaves_nothing_behind_but_two_values_of_the_sequence(
    shop: Connection, shop_url: str, is_cutover: bool
) -> None:
    if is_cutover:
        journey.cut_over(shop, stored_mapping(shop))
    before = shop.execute(_EVERYTHING).fetchall()
    (drawn,) = shop.execute("SELECT last_value FROM order_line_items_id_seq").fetchone() or (0,)
    with psycopg.connect(shop_url, autocommit=True) as other:
        report = verify.run(other)
        assert report.holds, report
        # The session that watches over the scratch copy is closed, which the server sees later.
        until(
            lambda: shop.execute(_EVERYTHING).fetchall() == before,
            "everything as it was before",
        )
        assert other.execute("SELECT to_regclass('pg_temp.compat_verify_twin')").fetchone() == (
            None,
        )
    (after,) = shop.execute("SELECT last_value FROM order_line_items_id_seq").fetchone() or (0,)
    assert after - drawn == 2
    assert any("2 values drawn" in note for result in report.results for note in result.notes)


def test_a_connection_in_a_transaction_is_refused_and_one_without_autocommit_is_not(
    shop: Connection, shop_url: str
) -> None:
    with psycopg.connect(shop_url) as other:
        assert verify.run(other, ["contents", "probes"]).holds
        assert other.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        other.execute("SELECT 1")
        with pytest.raises(CompatError, match="a transaction is open"):
            verify.run(other)


def test_unknown_mappings_are_an_error_of_the_api_too(shop: Connection) -> None:
    with pytest.raises(StateError, match="there: order_line_items"):
        verify.run(shop, mappings=["x"])


# -- live applications ------------------------------------------------------------------------


def test_rows_that_an_application_holds_locked_are_not_waited_for_long(
    shop: Connection, shop_url: str
) -> None:
    with psycopg.connect(shop_url) as application:
        application.execute("UPDATE order_line_items SET qty = qty + 1")
        report = verify.run(shop, lock_timeout=50)
        results = {result.check: result for result in report.results}
        assert results["probes"].status is Status.NOT_RUN
        assert results["probes"].summary.startswith("locked: ")
        assert results["contents"].status is Status.HOLDS  # its snapshot is older than the update
        assert results["concurrency"].status is Status.HOLDS  # on rows of its own
        assert report.exit_code == 2
        application.rollback()
    assert verify.run(shop, ["contents", "probes"], lock_timeout=50).holds


def test_a_key_that_every_row_of_the_table_has_in_another_type_is_compared_too(
    conn: Connection,
) -> None:
    conn.execute(
        """
        CREATE TABLE a (id integer PRIMARY KEY, v text COLLATE "C");
        INSERT INTO a SELECT i, 'v' || i FROM generate_series(1, 50) i;
        CREATE TABLE b (id text PRIMARY KEY, v text);
        """
    )
    columns = (rules.Cast("id", "id"), rules.Cast("v", "v"))
    journey.copied(conn, journey.mapping_of(conn, "a", "b", *columns))
    (result,) = verify.run(conn, ["contents"]).results
    assert result.status is Status.HOLDS
    conn.execute("UPDATE b SET v = 'V7' WHERE id = '7'")
    conn.execute("DELETE FROM b WHERE id = '30'")
    (result,) = verify.run(conn, ["contents"]).results
    assert [(f.kind, f.key[0][1]) for f in result.findings] == [("changed", "7"), ("missing", "30")]


# -- files in, files out ------------------------------------------------------------------------


def test_statements_from_files_are_checked_and_reports_are_written(
    shop: Connection, shop_url: str, tmp_path: Path
) -> None:
    workload, queries = tmp_path / "workload.sql", tmp_path / "queries.sql"
    workload.write_text("SELECT sum(qty) FROM order_line_items;\nBEGIN;\n")
    queries.write_text("SELECT max(qty) FROM order_line_items\n")
    shop.execute("UPDATE order_line_items_v2 SET quantity = 99 WHERE line_item_id = 4")
    files = [tmp_path / name for name in ("j.xml", "r.html", "s.md")]
    done = command(
        shop_url,
        *("--workload", str(workload), "--queries", str(queries), "--max-ratio", "1000"),
        *("--probes", str(queries), "--checks", "contents,workload,performance"),
        *("--junit", str(files[0]), "--html", str(files[1]), "--markdown", str(files[2])),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 1 statement answered differently" in done.stdout
    assert "note: left out: 1 × BEGIN: no query" in done.stdout
    junit, page, summary = (file.read_text(encoding="utf-8") for file in files)
    assert 'failures="2"' in junit
    assert "99.5000 % of 200 rows, 1 differ" in page
    assert "queries.sql:1 SELECT max(qty)" in page
    assert "❌ does not hold" in summary


def test_a_file_asks_for_its_check_and_one_that_cannot_be_read_is_told(
    shop: Connection, shop_url: str, tmp_path: Path
) -> None:
    workload = tmp_path / "workload.sql"
    workload.write_text("SELECT sum(qty) FROM order_line_items\n")
    done = command(shop_url, "--workload", str(workload), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = [check["check"] for check in json.loads(done.stdout)["mappings"][0]["checks"]]
    assert checks[-2:] == ["concurrency", "workload"]
    for arguments in (
        ("--workload", str(tmp_path / "none.sql")),
        ("--checks", "counts", "--junit", str(tmp_path / "none" / "j.xml")),
    ):
        done = command(shop_url, *arguments)
        assert done.returncode == 2
        assert "cannot be" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_parent_that_is_deleted_meanwhile_gives_no_false_alarm(
    shop: Connection, shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.execute(
        "INSERT INTO orders SELECT 61, 'new'; DELETE FROM orders WHERE id BETWEEN 51 AND 60"
    )
    answer, deleted = Side.answer, list[int]()

    def deleting(side: Side, probe: Probe, given: tuple[Cells, ...] = ()) -> Answer:
        if probe.title.startswith("update order_id to '61'") and not deleted:
            deleted.append(shop_again.execute("DELETE FROM orders WHERE id = 61").rowcount)
        return answer(side, probe, given)

    monkeypatch.setattr(Side, "answer", deleting)
    with psycopg.connect(shop_url, autocommit=True) as shop_again:
        (result,) = verify.run(shop, ["probes"]).results
    assert deleted == [1]
    assert result.status is Status.HOLDS, result
