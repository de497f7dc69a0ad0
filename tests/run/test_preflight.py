"""What stands against a cutover, and the guard of the retired table: no acknowledged write is lost.

Each refusal is provoked on a real database, and gone once its fix is followed.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from compat import catalog, rules
from compat.compile import swap
from compat.connection import connect
from compat.mapping import Mapping
from compat.run.preflight import Demands, Finding, preflight
from compat.state import load
from tests.compat.migrations import outcome, value
from tests.run.support import (
    Connection,
    changed_url,
    compat_here,
    make_lines,
    ordinary_role,
    phase,
    picture,
    steps,
    succeed,
    verify,
    write_mapping,
)

pytestmark = pytest.mark.installed

SOON = Demands(max_transaction_age=timedelta(0))


@pytest.fixture
def mapping(copied: Mapping) -> Mapping:
    return copied


def findings(url: str, demands: Demands | None = None) -> dict[tuple[str, str], Finding]:
    """What the preflight of `lines` says, by kind and subject."""
    with connect(url) as conn:
        found = preflight(conn, load(conn, "lines"), demands or Demands())
    return {(finding.kind, finding.subject): finding for finding in found}


def severities(url: str, demands: Demands | None = None) -> dict[tuple[str, str], str]:
    """The severity of each finding."""
    return {key: finding.severity for key, finding in findings(url, demands).items()}


# The list ----------------------------------------------------------------------------------------


def test_a_copied_migration_that_nothing_stands_against_has_no_findings(
    url: str, mapping: Mapping
) -> None:
    assert findings(url) == {}


def test_all_reasons_are_told_at_once_by_the_step_the_dry_run_and_as_json(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    succeed(url, "expand", write_mapping(make_lines(conn), tmp_path), "--execute")
    conn.execute("CREATE PUBLICATION lines_out FOR TABLE lines")
    conn.execute('DROP TRIGGER "00_compat_sync" ON lines')
    conn.execute(f"CREATE VIEW cheap AS {WHOLE} WHERE l.qty = 1")
    before = picture(conn)
    reasons = {
        ("copy", "lines", "refusal"),
        ("structure", "lines", "refusal"),
        ("publication", "lines_out", "refusal"),
        ("verification", "lines", "refusal"),
        ("view", "public.cheap", "warning"),
    }

    real = compat_here(url, "cutover", "lines", "--execute")
    dry = compat_here(url, "cutover", "lines")
    as_json = compat_here(url, "cutover", "lines", "--json")
    real_json = compat_here(url, "cutover", "lines", "--execute", "--json")

    assert [result.code for result in (real, dry, as_json, real_json)] == [2, 1, 1, 2]
    for kind, subject, severity in reasons:
        assert f"{kind} {subject}: " in dry.out
        assert (f"{kind} {subject}: " in real.err) == (severity == "refusal")
    assert real.err.count("fix: ") == 5  # one for each, and where to see what is left
    assert "run `compat copy lines --execute` first" in real.err
    for document in (as_json.json, real_json.json):
        told = {(f["kind"], f["subject"], f["severity"]) for f in document["findings"]}
        assert told == reasons
        assert all(f["message"] and f["fix"] for f in document["findings"])
    assert picture(conn) == before


def test_rejected_rows_and_postponed_indexes_stop_a_cutover(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    conn.execute(
        "INSERT INTO compat.reject VALUES ('lines', '{7}', '{\"id\": 7}', '23514', 'refused')"
    )
    conn.execute("INSERT INTO compat.deferred_index VALUES ('lines', 'by_state', 'CREATE INDEX …')")

    found = findings(url)

    assert set(found) == {("reject", "lines"), ("index", "by_state")}
    assert found["reject", "lines"].message.startswith("1 row could not be copied")
    conn.execute("DELETE FROM compat.reject; DELETE FROM compat.deferred_index")
    steps(url, "lines", "cutover")


# Verification ------------------------------------------------------------------------------------


def test_a_cutover_wants_a_green_run_over_all_checks_that_is_young_enough(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    def refused(*options: str) -> str:
        result = compat_here(url, "cutover", "lines", "--execute", *options)
        assert result.code == 2
        assert phase(conn, "lines") == "copied"
        return result.err

    assert "verification lines: it has not been verified yet" in refused()
    assert verify(url, "--no-record") == 0
    assert "it has not been verified yet" in refused()
    assert verify(url, "--checks", "counts,contents") == 0
    assert "no run over structure, counts, contents, probes has held yet" in refused()
    assert verify(url) == 0
    conn.execute("UPDATE compat.verification SET finished_at = finished_at - interval '3 hours'")
    assert "the last green run is 3:00:0" in refused("--verified-within", "2h30m")
    assert succeed(url, "cutover", "lines", "--execute").out.startswith("lines: cutover done")
    steps(url, "lines", "rollback")
    succeed(url, "cutover", "lines", "--execute")  # its age alone counts


def test_a_later_run_that_found_something_outweighs_an_earlier_green_one(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    assert verify(url) == 0
    conn.execute(
        "SET compat.early_writes = on; UPDATE lines_v2 SET quantity = 77 WHERE line_id = 3"
    )
    assert verify(url, "--checks", "contents") == 1

    err = compat_here(url, "cutover", "lines", "--execute").err

    assert "found that contents does not hold" in err
    succeed(url, "cutover", "lines", "--execute", "--unverified")


def test_a_run_over_another_mapping_of_the_name_does_not_count(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    assert verify(url) == 0
    conn.execute("UPDATE compat.verification SET fingerprint = 'of another'")
    assert ("verification", "lines") in findings(url, Demands(timedelta(hours=1)))


def test_an_empty_legacy_table_needs_neither_copy_nor_verification(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    succeed(url, "expand", write_mapping(make_lines(conn, 0), tmp_path), "--execute")
    succeed(url, "cutover", "lines", "--execute")


def test_a_verifier_that_may_not_write_says_so_and_goes_on(
    url: str, conn: psycopg.Connection, mapping: Mapping, capsys: pytest.CaptureFixture[str]
) -> None:
    with ordinary_role(conn) as role:
        conn.execute(
            f"GRANT USAGE ON SCHEMA compat TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA"
            f" compat, public TO {role}"
        )
        assert verify(changed_url(url, user=role), "--checks", "counts,contents") == 0
    assert "this run of lines is not remembered: permission denied" in capsys.readouterr().err
    assert value(conn, "SELECT count(*) FROM compat.verification") == 0


# Transactions ------------------------------------------------------------------------------------


def test_old_transactions_with_a_lock_on_one_of_the_tables_are_named(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    for table in ("lines", "lines_v2", "lines__compat"):
        with psycopg.connect(url, application_name="nightly report") as reader:
            reader.execute(f"SELECT count(*) FROM {table}")
            pid = reader.info.backend_pid
            assert findings(url) == {}  # younger than 30 seconds: waited for
            found = findings(url, SOON)["transaction", f"pid {pid}"]
            assert found.severity == "refusal"
            assert "nightly report, idle in transaction" in found.message
            assert table in found.message
            assert f"pg_terminate_backend({pid})" in found.fix
            result = compat_here(
                url, "cutover", "lines", "--execute", "--max-transaction-age", "0s", "--unverified"
            )
            assert f"transaction pid {pid}" in result.err
    assert findings(url, SOON) == {}


def test_a_transaction_that_holds_no_lock_here_is_no_reason(url: str, mapping: Mapping) -> None:
    with psycopg.connect(url) as other:
        other.execute("SELECT count(*) FROM pg_class")
        assert findings(url, SOON) == {}


def test_a_prepared_transaction_holds_its_locks_for_ever(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    with psycopg.connect(url) as other:
        other.execute("UPDATE lines SET qty = 3 WHERE id = 1")
        other.execute("PREPARE TRANSACTION 'left ''over'")
    try:
        found = findings(url)["prepared transaction", "left 'over"]
        assert found.severity == "refusal"
        assert found.fix == "COMMIT PREPARED or ROLLBACK PREPARED 'left ''over'"
        (status,) = succeed(url, "status", "--json").json
        assert "prepared transaction left 'over" in status["held_up_by"][0]
    finally:
        conn.execute("ROLLBACK PREPARED 'left ''over'")
    assert findings(url) == {}


# Dependents --------------------------------------------------------------------------------------

READS, WRITES = "SELECT id, qty FROM lines", "INSERT INTO lines (order_id) VALUES (77)"
WHOLE = "SELECT l.id, l.qty, l AS whole FROM lines l"  # shows the row type: cannot follow the name
UPSERTS = f"{WRITES} ON CONFLICT (id) DO NOTHING"
LABEL = "INSERT INTO pg_seclabel VALUES ('lines'::regclass, 'pg_class'::regclass, 0, 'mac', 'top')"


@dataclass(frozen=True)
class Case:
    """Something made by SQL: its kind and name, what it is to a cutover, and SQL that mends it."""

    made: str
    what: tuple[str, str]
    severity: str | None = None
    fix: str | None = None


DEPENDENTS = [
    Case(f"CREATE VIEW v AS {READS}", ("view", "public.v")),
    Case(f"CREATE VIEW v AS {WHOLE}", ("view", "public.v"), "warning", "DROP VIEW v"),
    Case(f"CREATE VIEW v AS {READS} GROUP BY id", ("view", "public.v")),
    Case(f"CREATE MATERIALIZED VIEW m AS {READS}", ("view", "public.m")),
    Case(
        f"CREATE FUNCTION f() RETURNS void BEGIN ATOMIC {WRITES}; END",
        ("function", "public.f()"),
    ),
    Case(
        f"CREATE FUNCTION f() RETURNS void BEGIN ATOMIC {UPSERTS}; END",
        ("function", "public.f()"),
        "refusal",
        f"CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS '{WRITES}'",
    ),
    Case(
        "CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM lines; END",
        ("function", "public.f()"),
    ),
    Case(
        "CREATE FUNCTION f() RETURNS SETOF lines LANGUAGE sql AS 'SELECT * FROM lines'",
        ("function", "public.f()"),
        "warning",
        "DROP FUNCTION f()",
    ),
    Case("CREATE DOMAIN d AS lines", ("domain", "public.d"), "warning", "DROP DOMAIN d"),
    Case(
        "CREATE FUNCTION f(l lines) RETURNS integer LANGUAGE sql AS 'SELECT l.qty * 2'",
        ("function", "public.f(public.lines)"),
        "refusal",
        "CREATE FUNCTION f(l lines__compat) RETURNS integer LANGUAGE sql AS 'SELECT l.qty * 2'",
    ),
    Case(
        f"CREATE TABLE todo (id int); CREATE RULE r AS ON INSERT TO todo DO ALSO {WRITES}",
        ("rule", "r on public.todo"),
    ),
    Case(
        f"CREATE TABLE todo (id int); CREATE RULE r AS ON INSERT TO todo DO ALSO {UPSERTS}",
        ("rule", "r on public.todo"),
        "refusal",
        "DROP RULE r ON todo",
    ),
    Case(
        "CREATE TABLE log (id int); CREATE RULE r AS ON DELETE TO log DO ALSO SELECT FROM lines",
        ("rule", "r on public.log"),
    ),
    Case(
        "CREATE TABLE log (id int); CREATE RULE r AS ON INSERT TO lines DO ALSO INSERT INTO log"
        " VALUES (NEW.id)",
        ("rule", "r on public.lines"),
        "refusal",
        "DROP RULE r ON lines",
    ),
    Case(
        "CREATE PUBLICATION p FOR TABLE lines",
        ("publication", "p"),
        "refusal",
        "ALTER PUBLICATION p DROP TABLE lines",
    ),
    Case(
        "CREATE PUBLICATION p FOR ALL TABLES",
        ("publication", "p"),
        "warning",
        "DROP PUBLICATION p",
    ),
    Case(
        "CREATE POLICY mine ON lines; ALTER TABLE lines ENABLE ROW LEVEL SECURITY",
        ("policy", "public.lines"),
        "refusal",
        "ALTER TABLE lines DISABLE ROW LEVEL SECURITY",
    ),
    Case(
        "CREATE TABLE log (id int); CREATE POLICY p ON log USING (id IN (SELECT id FROM lines))",
        ("policy", "p on public.log"),
    ),
    Case(
        "CREATE STATISTICS s ON qty, status FROM lines",
        ("statistics", "s"),
        "warning",
        "CREATE STATISTICS lines_v2_stats ON quantity, state FROM lines_v2; ANALYZE lines_v2",
    ),
    Case(
        "CREATE TABLE child () INHERITS (lines)",
        ("inheritance", "public.child"),
        "refusal",
        "ALTER TABLE child NO INHERIT lines",
    ),
    Case(
        f"SET allow_system_table_mods = on; {LABEL}; RESET allow_system_table_mods",
        ("security label", "mac"),
        "warning",
        "SET allow_system_table_mods = on; DELETE FROM pg_seclabel",
    ),
    Case(
        "CREATE TABLE kept (line lines)",
        ("column", "public.kept.line"),
        "warning",
        "DROP TABLE kept",
    ),
    Case(
        "CREATE TABLE child (line integer REFERENCES lines)",
        ("foreign key", "public.child.child_line_fkey"),
    ),
    Case(
        "ALTER TABLE lines ADD UNIQUE (price);"
        "CREATE TABLE child (price text REFERENCES lines (price))",
        ("foreign key", "public.child.child_price_fkey"),
        "refusal",
        "DROP TABLE child",
    ),
    Case(
        "ALTER TABLE lines ADD UNIQUE (note);"
        "CREATE TABLE child (note varchar REFERENCES lines (note))",
        ("foreign key", "public.child.child_note_fkey"),
        "refusal",
        "ALTER TABLE lines_v2 ADD UNIQUE (remark)",
    ),
    Case(
        "CREATE TABLE orders (id integer PRIMARY KEY);"
        "INSERT INTO orders SELECT generate_series(0, 50);"
        "ALTER TABLE lines ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE",
        ("cascade", "lines_order_id_fkey"),
        "warning",
        "ALTER TABLE lines_v2 ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE",
    ),
]


TRIGGER = (
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;"
    "CREATE TRIGGER t {kind} EXECUTE FUNCTION f()"
)
DEPENDENTS += [
    Case(
        TRIGGER.format(kind=kind, body=body),
        ("trigger", "t"),
        severity,
        "DROP TRIGGER t ON lines" if severity else None,
    )
    for kind, body, severity in (
        ("BEFORE INSERT ON lines FOR EACH ROW", "", None),
        ("BEFORE INSERT ON lines FOR EACH ROW WHEN (NEW.qty > 1)", "", "warning"),
        ("BEFORE INSERT ON lines FOR EACH ROW", "NEW.note := tg_when;", "warning"),
        ("BEFORE UPDATE OF qty ON lines FOR EACH ROW", "", "warning"),
        ("AFTER DELETE ON lines FOR EACH STATEMENT", "", None),
        (
            "AFTER DELETE ON lines REFERENCING OLD TABLE AS o FOR EACH STATEMENT",
            "",
            "warning",
        ),
        ("AFTER TRUNCATE ON lines FOR EACH STATEMENT", "", None),
        ("AFTER INSERT ON lines FOR EACH ROW", "", None),
        ("AFTER INSERT ON lines FOR EACH ROW", "PERFORM current_user;", "warning"),
    )
]


@pytest.mark.parametrize("case", DEPENDENTS, ids=lambda case: case.made[:50])
def test_each_dependent_is_fine_a_warning_or_a_refusal_with_a_fix_that_helps(
    url: str, conn: psycopg.Connection, mapping: Mapping, case: Case
) -> None:
    conn.execute("UPDATE lines SET price = id::text, note = id::text")
    conn.execute(case.made)

    assert severities(url) == ({case.what: case.severity} if case.severity else {})
    planned = {(d["kind"], d["name"]): d for d in _plan(url)["dependents"]}
    assert planned[case.what]["verdict"] == (case.severity or "fine")
    if case.fix is not None:
        conn.execute(case.fix)
        assert case.what not in severities(url)
    steps(url, "lines", "cutover", "rollback")


def _plan(url: str) -> Any:
    return succeed(url, "plan", "lines", "--json").json


def test_a_partitioned_table_that_references_the_table_is_refused_where_it_cannot_get_a_twin(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    conn.execute(
        "CREATE TABLE child (line integer REFERENCES lines) PARTITION BY RANGE (line);"
        "CREATE TABLE child_1 PARTITION OF child FOR VALUES FROM (0) TO (100)"
    )
    key = ("foreign key", "public.child.child_line_fkey")
    expected = {} if conn.info.server_version >= 180000 else {key: "refusal"}

    assert severities(url) == expected
    if not expected:
        steps(url, "lines", "cutover", "rollback")


def test_a_table_with_policies_and_triggers_goes_all_the_way_and_is_verified(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    mapping = make_lines(conn)
    conn.execute(
        "CREATE POLICY few ON lines USING (qty < 5 AND EXISTS (SELECT FROM pg_roles));"
        "ALTER TABLE lines ENABLE ROW LEVEL SECURITY"
    )
    conn.execute(TRIGGER.format(kind="BEFORE INSERT ON lines FOR EACH ROW", body=""))
    mapping = replace(mapping, legacy=catalog.reflect_table(conn, "lines"))
    succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    steps(url, "lines", "copy")
    assert severities(url) == {}
    for step in ("cutover", "rollback", "cutover"):
        assert verify(url, "--checks", "structure,counts,contents,probes") == 0
        succeed(url, step, "lines", "--execute")
    assert verify(url, "--checks", "structure,probes") == 0
    assert succeed(url, "status", "--json").json[0]["problems"] == []


def test_a_role_that_policies_show_a_part_of_the_rows_cannot_copy_that_part(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    mapping = make_lines(conn)
    conn.execute("CREATE POLICY few ON lines USING (qty < 5)")
    conn.execute("ALTER TABLE lines ENABLE ROW LEVEL SECURITY")
    mapping = replace(mapping, legacy=catalog.reflect_table(conn, "lines"))
    succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    with ordinary_role(conn) as role:
        conn.execute(
            f"GRANT USAGE ON SCHEMA compat TO {role};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA compat, public TO {role};"
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA compat TO {role}"
        )
        result = compat_here(changed_url(url, user=role), "copy", "lines", "--execute")
    assert result.code == 2
    assert 'affected by row-level security policy for table "lines"' in result.err
    assert value(conn, "SELECT count(*) FROM lines_v2") == 0


def test_who_sees_the_target_past_the_policies_is_named(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    mapping = make_lines(conn)
    conn.execute("ALTER TABLE lines ENABLE ROW LEVEL SECURITY")
    mapping = replace(mapping, legacy=catalog.reflect_table(conn, "lines"))
    succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    steps(url, "lines", "copy")
    conn.execute("GRANT SELECT ON lines_v2 TO PUBLIC")
    assert severities(url) == {("policy", "public.lines"): "warning"}
    conn.execute(
        "ALTER TABLE lines FORCE ROW LEVEL SECURITY; REVOKE SELECT ON lines_v2 FROM PUBLIC"
    )
    assert severities(url) == {("policy", "public.lines"): "refusal"}
    conn.execute(findings(url)["policy", "public.lines"].fix.partition(";")[0])
    assert severities(url) == {}


# The guard of the retired table ------------------------------------------------------------------


def guarded(conn: Connection, statement: str) -> str:
    """What the guard says to a statement."""
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as refused:
        conn.execute(statement)
    return refused.value.diag.message_primary or ""


def test_after_the_cutover_nothing_writes_to_the_retired_table_past_the_view(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    conn.execute("CREATE VIEW open_lines AS SELECT *, l AS whole FROM lines l WHERE NOT deleted")
    conn.execute(
        "CREATE TABLE orders (id integer);"
        "CREATE FUNCTION note_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE open_lines SET qty = 9 WHERE id = NEW.id; RETURN NULL; END $$;"
        "CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note_order()"
    )
    steps(url, "lines", "cutover")
    before = conn.execute("SELECT * FROM lines__retired ORDER BY id").fetchall()

    for statement in (
        "INSERT INTO lines__retired (order_id) VALUES (900)",
        "UPDATE lines__retired SET qty = 2",
        "DELETE FROM lines__retired WHERE id = 1",
        "TRUNCATE lines__retired",
        "UPDATE open_lines SET qty = 2",
        "INSERT INTO open_lines (order_id) VALUES (900)",
        "INSERT INTO orders VALUES (1)",  # through a trigger of the user's
    ):
        message = guarded(conn, statement)
        assert (
            message
            == "lines__retired takes no writes of its own: nothing would carry them to "
            + ("public.lines_v2")
        )
    assert conn.execute("SELECT * FROM lines__retired ORDER BY id").fetchall() == before

    assert conn.execute("UPDATE lines SET qty = 5 WHERE id = 1").rowcount == 1
    assert value(conn, "SELECT qty FROM lines__retired WHERE id = 1") == 5
    steps(url, "lines", "rollback")
    assert conn.execute("UPDATE open_lines SET qty = 2 WHERE id = 1").rowcount == 1
    assert value(conn, "SELECT quantity FROM lines_v2 WHERE line_id = 1") == 2


def test_the_guard_lets_pass_what_foreign_keys_do_and_a_truncate_that_empties_both(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    mapping = make_lines(conn)
    conn.execute(
        "CREATE TABLE orders (id integer PRIMARY KEY);"
        "INSERT INTO orders SELECT generate_series(0, 50);"
        "ALTER TABLE lines ADD FOREIGN KEY (order_id) REFERENCES orders"
        "  ON DELETE CASCADE ON UPDATE CASCADE;"
        "ALTER TABLE lines_v2 ADD FOREIGN KEY (order_id) REFERENCES orders"
        "  ON DELETE CASCADE ON UPDATE CASCADE"
    )
    mapping = replace(
        mapping,
        legacy=catalog.reflect_table(conn, "lines"),
        target=catalog.reflect_table(conn, "lines_v2"),
    )
    succeed(url, "expand", write_mapping(mapping, tmp_path), "--execute")
    steps(url, "lines", "copy", "cutover")

    def both() -> list[list[tuple[Any, ...]]]:
        return [
            conn.execute("SELECT id, order_id FROM lines ORDER BY 1").fetchall(),
            conn.execute("SELECT id, order_id FROM lines__retired ORDER BY 1").fetchall(),
            conn.execute("SELECT line_id, order_id FROM lines_v2 ORDER BY 1").fetchall(),
        ]

    conn.execute("DELETE FROM orders WHERE id = 3")
    conn.execute("UPDATE orders SET id = 99 WHERE id = 4")
    seen = both()
    assert seen[0] == seen[1] == seen[2]
    assert {order for _, order in seen[0]} >= {99, 5}
    assert not {order for _, order in seen[0]} & {3, 4}
    conn.execute("TRUNCATE orders CASCADE")
    assert both() == [[], [], []]


def test_partitions_of_the_retired_table_are_guarded_under_their_own_names(
    url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    conn.execute(
        "CREATE TABLE things (id integer PRIMARY KEY, note text) PARTITION BY RANGE (id);"
        "CREATE TABLE things_1 PARTITION OF things FOR VALUES FROM (0) TO (100);"
        "CREATE TABLE things_v2 (id integer PRIMARY KEY, remark text)"
    )
    legacy, target = (catalog.reflect_table(conn, name) for name in ("things", "things_v2"))
    columns = (rules.Column("id", "id"), rules.Column("note", "remark"))
    file = write_mapping(Mapping("things", legacy, target, columns), tmp_path)
    succeed(url, "expand", file, "--execute")
    steps(url, "things", "cutover")

    assert "takes no writes" in guarded(conn, "INSERT INTO things_1 VALUES (1, 'a')")
    conn.execute("INSERT INTO things VALUES (1, 'a')")
    assert conn.execute("SELECT * FROM things_1").fetchall() == [(1, "a")]
    steps(url, "things", "rollback")
    conn.execute("INSERT INTO things_1 VALUES (2, 'b')")
    assert value(conn, "SELECT remark FROM things_v2 WHERE id = 2") == "b"


def test_a_contract_that_is_taken_back_has_its_guard_again(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    steps(url, "lines", "cutover", "contract")
    with conn.transaction():
        for statement in swap.uncontract(mapping):
            conn.execute(statement)
    assert "takes no writes" in guarded(conn, "DELETE FROM lines__retired")
    assert succeed(url, "status", "--json").json[0]["problems"] == []


def test_who_insists_may_write_to_the_retired_table(
    url: str, conn: psycopg.Connection, mapping: Mapping
) -> None:
    steps(url, "lines", "cutover")
    conn.execute("SET compat.late_writes = on")
    assert outcome(conn, "DELETE FROM lines__retired WHERE id = 1")[:2] == ("done", 1)
