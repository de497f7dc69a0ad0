"""What `compat plan` says of each form, row by row: kept is kept, not possible fails as it says.

The twin is a table of the same name in a schema of its own, so that both sides get the same words.
A row of compat.fidelity that has no probe here, and a probe without a row, fail a test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import psycopg
import pytest
import sqlalchemy as sa

from compat import rules
from compat.database import Database, sqlalchemy_url
from compat.errors import MappingError
from compat.fidelity import Behaviour, behaviours, find_of
from compat.mapping import Form, Need
from tests.compat.migrations import Connection, Migration, outcome, value
from tests.compat.test_concurrency import until_waiting

FORMS: tuple[Form, ...] = get_args(Form)
NEEDS: tuple[tuple[Form, tuple[Need, ...]], ...] = (
    *((form, ()) for form in FORMS),
    ("updatable", ("copy",)),
    ("bridged", ("copy",)),
)
"""Each form, and those whose view takes INSERTs by a trigger where applications need COPY."""
TITLES = list(dict.fromkeys(row.behaviour for form in FORMS for row in behaviours(form)))

LEGACY = """
CREATE TABLE lines (
    id serial PRIMARY KEY,
    order_id integer NOT NULL,
    line_no integer NOT NULL DEFAULT 1,
    qty integer NOT NULL DEFAULT 1 CONSTRAINT few CHECK (qty > 0),
    status integer NOT NULL DEFAULT 1 CONSTRAINT known CHECK (status < 3),
    note varchar(20) DEFAULT 'none',
    old_hint text DEFAULT 'unused',
    CONSTRAINT one_line UNIQUE (order_id, line_no)
);
COMMENT ON TABLE lines IS 'Lines of orders';
COMMENT ON COLUMN lines.qty IS 'Pieces';
INSERT INTO lines (order_id, line_no, qty) SELECT 1, n, n FROM generate_series(1, 4) n;
"""
TARGET = """
CREATE TABLE lines_v2 (
    remark varchar(20),
    line_id integer PRIMARY KEY,
    order_id integer NOT NULL,
    position integer NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    state {} NOT NULL,
    made_by text DEFAULT current_user,
    UNIQUE (order_id, position)
);
"""


def migration_of(conn: Connection, form: Form, needs: tuple[Need, ...]) -> Migration:
    """Cut over to a view of a form; where it can convert, one column is converted."""
    converts = form != "updatable"
    conn.execute(LEGACY + TARGET.format("text" if converts else "integer"))
    status = rules.ValueMap("status", "state", ((1, "free"), (2, "taken")))
    found: list[rules.AnyRule] = [
        rules.Column("id", "line_id"),
        rules.Column("order_id", "order_id"),
        rules.Column("line_no", "position"),
        rules.Column("qty", "quantity"),
        status if converts else rules.Column("status", "state"),
        rules.Column("note", "remark"),
        rules.Constant("old_hint", "unused"),
    ]
    migration = Migration.between(
        conn, "lines", "lines_v2", found, form=form, needs=needs, accept=("old_hint",)
    )
    return migration.expand().copy().cutover()


@dataclass(frozen=True)
class Beside:
    """A view and its twin, and what the plan says of one behaviour.

    :param conn: in a transaction that is rolled back at the end
    """

    conn: Connection
    url: str
    migration: Migration
    plan: Behaviour

    @property
    def is_possible(self) -> bool:
        return self.plan.verdict != "not possible"

    @property
    def said(self) -> list[str]:
        """The SQLSTATEs that the plan's note names, in their order."""
        return re.findall(r"\b(?=\w*\d)[0-9A-Z]{5}\b", self.plan.note)

    def on_twin(self, conn: Connection | None = None) -> None:
        """Let the name mean the twin."""
        (conn or self.conn).execute("SET search_path = twin, public")

    def on_view(self, conn: Connection | None = None) -> None:
        (conn or self.conn).execute("SET search_path = public")

    def answers(self, *statements: str) -> tuple[list[Any], list[Any]]:
        """Say statements to the twin and to the view; return what clients of each see."""
        self.on_twin()
        on_twin = [outcome(self.conn, statement) for statement in statements]
        self.on_view()
        return on_twin, [outcome(self.conn, statement) for statement in statements]

    def alike(self, *statements: str) -> None:
        """Check that both answer the same, and hold the same."""
        on_twin, on_view = self.answers(*statements)
        assert self.without_new_columns(on_view, on_twin) == on_twin
        assert self.rows("public.lines") == self.rows("twin.lines")

    def holds(self, *statements: str, sqlstate: str) -> None:
        """Check statements that a table takes: as the plan says they are taken alike, or fail.

        :param sqlstate: of the failure, where the plan's note does not name it
        """
        if self.is_possible:
            self.alike(*statements)
            return
        for statement in statements:
            (on_twin,), (on_view,) = self.answers(statement)
            assert on_twin[0] == "done", on_twin
            assert on_view == ("failed", [*self.said, sqlstate][0])

    @property
    def is_table(self) -> bool:
        """Whether clients still have their table, and v2 a view."""
        return self.migration.mapping.chosen_form == "reversed"

    def without_new_columns(self, answers: list[Any], wanted: list[Any]) -> list[Any]:
        """Leave out what the plan says comes last, where a statement asks for all columns."""
        if not self.is_table:
            return answers
        return [
            (*given[:2], [row[: len(expected[2][0])] for row in given[2]])
            if given[0] == "done" and expected[2:] and expected[2]
            else given
            for given, expected in zip(answers, wanted, strict=True)
        ]

    def rows(self, table: str) -> list[Any]:
        columns = ", ".join(self.migration.mapping.legacy.column_names)
        query = f"SELECT ROW({columns})::text FROM {table} AS l ORDER BY l.id"
        return self.conn.execute(query).fetchall()

    def before_cutover(self, statements: str) -> None:
        """Do something to both tables while the legacy one still has its name."""
        self.migration.uncutover()
        for side in (self.on_twin, self.on_view):
            side()
            self.conn.execute(statements)
        self.migration.cutover()

    @contextmanager
    def client(self) -> Iterator[Connection]:
        """Another connection in a transaction that is rolled back; it waits for no lock."""
        with psycopg.connect(self.url) as other:
            other.execute("SET lock_timeout = '20s'")
            yield other
            other.rollback()


Probe = Callable[[Beside], None]
PROBES: dict[str, Probe] = {}


def probe(title: str) -> Callable[[Probe], Probe]:
    """Register what checks one row of the plan."""

    def register(function: Probe) -> Probe:
        PROBES[title] = function
        return function

    return register


@pytest.fixture(scope="module", params=NEEDS, ids=lambda param: " ".join((param[0], *param[1])))
def cut_over(request: pytest.FixtureRequest, server: Database) -> Iterator[tuple[str, Migration]]:
    """A database in which a view of each form stands beside its twin; nothing stays changed."""
    with server.fresh() as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA twin; SET search_path = twin")
        conn.execute(LEGACY)
        conn.execute("SET search_path = public")
        yield url, migration_of(conn, *request.param)


@pytest.mark.parametrize("title", TITLES)
def test_the_plan_says_what_becomes_of(cut_over: tuple[str, Migration], title: str) -> None:
    url, migration = cut_over
    conn = migration.conn
    plan = find_of(title, migration.mapping, conn.info.server_version // 10000)
    # What was drawn from a sequence is not rolled back.
    conn.execute("SELECT setval('twin.lines_id_seq', 100), setval('public.lines_id_seq', 100)")
    with conn.transaction(force_rollback=True):
        PROBES[title](Beside(conn, url, migration, plan))


@pytest.mark.parametrize("form", FORMS)
def test_every_row_of_the_plan_has_a_probe(form: Form) -> None:
    assert {row.behaviour for row in behaviours(form)} <= PROBES.keys()
    assert PROBES.keys() <= set(TITLES)


# -- probes --------------------------------------------------------------------------------------


@probe("column names, order and exact types; prepared SELECT *")
def _columns(beside: Beside) -> None:
    beside.migration.uncutover()
    for number, side in enumerate((beside.on_twin, beside.on_view)):
        side()
        beside.conn.execute(f"PREPARE all_{number} AS SELECT * FROM lines ORDER BY id")
    beside.migration.cutover()
    beside.on_twin()
    on_twin = outcome(beside.conn, "EXECUTE all_0")
    beside.on_view()
    on_view = outcome(beside.conn, "EXECUTE all_1")
    assert beside.without_new_columns([on_view], [on_twin]) == [on_twin]
    columns = len(beside.migration.mapping.legacy.columns)
    beside.alike(
        "SELECT attname, atttypid::regtype::text, atttypmod, attcollation FROM pg_attribute"
        f" WHERE attrelid = 'lines'::regclass AND attnum BETWEEN 1 AND {columns} ORDER BY attnum",
        "SELECT * FROM lines",
    )
    if beside.said:
        beside.migration.uncutover().unexpand()
        beside.conn.execute("DEALLOCATE ALL; PREPARE before AS SELECT * FROM lines")
        beside.migration.expand()
        assert outcome(beside.conn, "EXECUTE before") == ("failed", *beside.said)
    beside.conn.execute("DEALLOCATE ALL")


@probe("column defaults, the DEFAULT keyword")
def _defaults(beside: Beside) -> None:
    beside.alike(
        "INSERT INTO lines (order_id) VALUES (9) RETURNING *",
        "INSERT INTO lines VALUES (DEFAULT, 10, DEFAULT, DEFAULT, DEFAULT, DEFAULT) RETURNING *",
        "INSERT INTO lines (order_id, note) VALUES (11, NULL), (12, DEFAULT) RETURNING note",
        "UPDATE lines SET qty = DEFAULT, note = DEFAULT WHERE id = 2 RETURNING *",
        "INSERT INTO lines DEFAULT VALUES",
    )


@probe("RETURNING and row counts")
def _returning(beside: Beside) -> None:
    beside.alike(
        "INSERT INTO lines (order_id, status) VALUES (9, 2), (10, 1) RETURNING id, status * 2",
        "UPDATE lines SET status = 2, qty = qty * 2 WHERE qty > 1 RETURNING lines.*",
        "UPDATE lines SET qty = qty + 1 FROM (VALUES (1), (1)) AS s (n) WHERE id = s.n",
        "UPDATE lines SET status = 2 WHERE false",
        "DELETE FROM lines WHERE status = 2 RETURNING note, id",
        "DELETE FROM lines USING (VALUES (1), (1)) AS s (n) WHERE id = s.n",
    )


@probe("currval, lastval, pg_get_serial_sequence")
def _sequence(beside: Beside) -> None:
    beside.alike(
        "INSERT INTO lines (order_id) VALUES (9)",
        "SELECT lastval(), currval(pg_get_serial_sequence('lines', 'id'))",
        "SELECT nextval(pg_get_serial_sequence('lines', 'id'))",
        "INSERT INTO lines (order_id) VALUES (10) RETURNING id",
    )


@probe("owner, table and column grants, comments")
def _looks(beside: Beside) -> None:
    beside.conn.execute('CREATE ROLE "probe: owner"; CREATE ROLE "probe: clerk"')
    beside.before_cutover(
        'GRANT SELECT ON lines TO "probe: clerk" WITH GRANT OPTION;'
        'GRANT UPDATE (qty, note) ON lines TO "probe: clerk"; GRANT INSERT ON lines TO PUBLIC;'
        "COMMENT ON COLUMN lines.note IS 'it''s free text'"
    )
    beside.alike(
        "SELECT relowner, relacl::text, obj_description(oid, 'pg_class') FROM pg_class"
        " WHERE oid = 'lines'::regclass",
        "SELECT attname, attacl::text, col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = 'lines'::regclass"
        f" AND attnum BETWEEN 1 AND {len(beside.migration.mapping.legacy.columns)}",
    )


@probe("inbound foreign keys")
def _foreign_keys(beside: Beside) -> None:
    beside.before_cutover(
        "CREATE TABLE parts (line_id integer REFERENCES lines ON DELETE CASCADE);"
        "CREATE TABLE notes (line_id integer CONSTRAINT noted REFERENCES lines);"
        "INSERT INTO parts VALUES (1), (2); INSERT INTO notes VALUES (2)"
    )
    beside.alike(
        "INSERT INTO parts VALUES (70)",
        "INSERT INTO notes VALUES (3)",
        "DELETE FROM lines WHERE id = 2",
        "UPDATE lines SET id = 70 WHERE id = 3",
        "DELETE FROM lines WHERE id = 1",
        "SELECT * FROM parts",
    )


@probe("legacy CHECK, UNIQUE and NOT NULL constraints")
def _constraints(beside: Beside) -> None:
    broken = (
        "INSERT INTO lines (order_id, qty) VALUES (9, 0)",
        "INSERT INTO lines (order_id) VALUES (NULL)",
        "INSERT INTO lines (order_id, line_no) VALUES (1, 1)",
        "UPDATE lines SET id = 1 WHERE id = 2",
        "UPDATE lines SET status = NULL",
        "UPDATE lines SET qty = -qty",
    )
    on_twin, on_view = beside.answers(*broken)
    assert {answer[0] for answer in on_twin} == {"failed"}
    assert on_view == on_twin
    only_legacy = "ALTER TABLE lines ADD CONSTRAINT not_this CHECK (note <> 'this')"
    beside.before_cutover(only_legacy)
    beside.alike("UPDATE lines SET note = 'this'")
    assert outcome(beside.conn, "UPDATE lines SET note = 'this'") == ("failed", "23514")
    if beside.is_table:
        return
    beside.migration.contract()
    assert outcome(beside.conn, "UPDATE lines_v2 SET remark = 'this'")[0] == "done"


@probe("REPEATABLE READ and SERIALIZABLE conflicts")
def _isolation(beside: Beside) -> None:
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        for statement in ("UPDATE lines SET qty = 9 WHERE id = 1", "DELETE FROM lines"):
            for side in (beside.on_twin, beside.on_view):
                with beside.client() as other, beside.client() as first:
                    side(first)
                    side(other)
                    first.commit()
                    other.commit()
                    other.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
                    other.execute("SELECT * FROM lines")
                    first.execute("UPDATE lines SET qty = qty WHERE id = 1")
                    first.execute("UPDATE lines SET note = 'changed' WHERE id = 1")
                    first.commit()
                    try:
                        assert outcome(other, statement) == ("failed", "40001")
                    finally:
                        other.rollback()
                        first.execute("UPDATE lines SET note = 'none' WHERE id = 1")
                        first.commit()


@probe("SELECT … FOR UPDATE, SKIP LOCKED")
def _row_locks(beside: Beside) -> None:
    free = "SELECT id, qty FROM lines ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
    seen = []
    for side in (beside.on_twin, beside.on_view):
        side()
        with beside.client() as other:
            side(other)
            first = outcome(beside.conn, free)
            second = outcome(other, free)
            third = outcome(other, "SELECT FROM lines WHERE id = 1 FOR UPDATE NOWAIT")
            seen.append((first, second, third))
    assert seen[1] == seen[0]
    assert seen[0] == (("done", 1, [(1, 1)]), ("done", 1, [(2, 2)]), ("failed", "55P03"))


@probe("ON CONFLICT ON CONSTRAINT name")
def _on_constraint(beside: Beside) -> None:
    row = "INSERT INTO lines (order_id, qty) VALUES (1, 5) ON CONFLICT ON CONSTRAINT one_line"
    beside.holds(f"{row} DO NOTHING", f"{row} DO UPDATE SET qty = excluded.qty", sqlstate="42704")


@probe("ON CONFLICT (columns)")
def _on_columns(beside: Beside) -> None:
    row = "INSERT INTO lines (order_id, line_no, qty) VALUES (1, 1, 5), (9, 1, 6)"
    key = "INSERT INTO lines (id, order_id) VALUES (1, 7) ON CONFLICT (id)"
    beside.holds(
        f"{row} ON CONFLICT (order_id, line_no) DO NOTHING",
        f"{row} ON CONFLICT (line_no, order_id) DO UPDATE SET qty = lines.qty + excluded.qty",
        f"{key} DO UPDATE SET note = excluded.note, status = 2 WHERE lines.qty = 1 RETURNING *",
        sqlstate="42P10",
    )


@probe("ON CONFLICT DO NOTHING")
def _on_anything(beside: Beside) -> None:
    beside.holds(
        "INSERT INTO lines (id, order_id) VALUES (1, 7) ON CONFLICT DO NOTHING", sqlstate="23505"
    )
    beside.alike("INSERT INTO lines (id, order_id) VALUES (70, 7) ON CONFLICT DO NOTHING")


@probe("LOCK TABLE")
def _lock_table(beside: Beside) -> None:
    for side, tables in ((beside.on_twin, ["lines"]), (beside.on_view, ["lines", "lines_v2"])):
        side()
        with beside.client() as other:
            side(other)
            assert outcome(other, "LOCK TABLE lines IN EXCLUSIVE MODE") == ("done", -1, None)
            for table in tables:
                lock = f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE NOWAIT"
                assert outcome(beside.conn, lock) == ("failed", "55P03")


@probe("MERGE")
def _merge(beside: Beside) -> None:
    if beside.conn.info.server_version < 150000:
        return  # no table takes it either
    both = (
        "MERGE INTO lines USING (VALUES (1, 5), (70, 6)) AS s (id, qty) ON lines.id = s.id"
        " WHEN MATCHED THEN UPDATE SET qty = s.qty, status = 2"
        " WHEN NOT MATCHED THEN INSERT (id, order_id, qty) VALUES (s.id, 7, s.qty)"
    )
    alone = (
        "MERGE INTO lines USING (VALUES (2)) AS s (id) ON lines.id = s.id"
        " WHEN MATCHED AND qty > 1 THEN DELETE"
    )
    if "either alone" in beside.plan.note and beside.conn.info.server_version >= 170000:
        beside.alike(alone)
        beside.holds(both, sqlstate="0A000")
    else:
        beside.holds(both, alone, sqlstate="0A000")


@probe("TRUNCATE")
def _truncate(beside: Beside) -> None:
    beside.holds("TRUNCATE lines", sqlstate="42809")


@probe("WHERE CURRENT OF, ctid, xmin, tableoid")
def _system_columns(beside: Beside) -> None:
    beside.holds("SELECT count(ctid), count(xmin), count(tableoid) FROM lines", sqlstate="42703")
    for side in (beside.on_twin, beside.on_view):
        side()
        beside.conn.execute("DECLARE c CURSOR FOR SELECT * FROM lines WHERE id = 1 FOR UPDATE")
        beside.conn.execute("FETCH c")
        done = outcome(beside.conn, "UPDATE lines SET qty = 3 WHERE CURRENT OF c")
        beside.conn.execute("CLOSE c")
        possible = beside.is_possible or side == beside.on_twin
        assert done == (("done", 1, None) if possible else ("failed", "0A000"))


@probe("GROUP BY the key with other columns selected")
def _group_by_key(beside: Beside) -> None:
    beside.holds("SELECT id, qty, count(*) FROM lines GROUP BY id ORDER BY id", sqlstate="42803")


@probe("new foreign keys to the name, new indexes on it")
def _references(beside: Beside) -> None:
    beside.holds(
        "CREATE TABLE pg_temp.child (line_id integer REFERENCES lines)"
        if beside.is_possible
        else "ALTER TABLE lines ADD CONSTRAINT more UNIQUE (note, id)",
        sqlstate="42809",
    )
    beside.holds("CREATE INDEX ON lines (note)", sqlstate="42809")


@probe("ALTER TABLE on the name, new row triggers on it")
def _alter(beside: Beside) -> None:
    beside.holds(
        "ALTER TABLE lines ALTER COLUMN note SET NOT NULL",
        "ALTER TABLE lines ADD CONSTRAINT short CHECK (length(note) < 9)",
        "CREATE TRIGGER t BEFORE UPDATE ON lines FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        sqlstate="42809",
    )


@probe("AFTER row triggers on the legacy table")
def _row_triggers(beside: Beside) -> None:
    beside.before_cutover(
        "CREATE TABLE audit (line integer, action text);"
        "CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  INSERT INTO audit VALUES (coalesce(NEW.id, OLD.id), TG_OP); RETURN NULL; END $$;"
        "CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON lines"
        " FOR EACH ROW EXECUTE FUNCTION note_it();"
    )
    beside.alike(
        "INSERT INTO lines (id, order_id) VALUES (70, 7), (71, 8)",
        "UPDATE lines SET qty = qty + 1, status = 2 WHERE id > 3",
        "DELETE FROM lines WHERE id < 3",
        "SELECT * FROM audit ORDER BY line, action",
    )


@probe("BEFORE row triggers on the legacy table")
def _before_triggers(beside: Beside) -> None:
    beside.before_cutover(
        "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  IF NEW.order_id = 9 THEN RETURN NULL; END IF; NEW.note := 'changed'; RETURN NEW; END $$;"
        "CREATE TRIGGER changed BEFORE INSERT OR UPDATE ON lines"
        " FOR EACH ROW EXECUTE FUNCTION change();"
    )
    insert = "INSERT INTO lines (id, order_id) VALUES (70, 7), (71, 9) RETURNING id, note"
    if beside.is_possible:
        beside.alike(insert, "UPDATE lines SET qty = 7 RETURNING note")
    else:
        on_twin, on_view = beside.answers(insert)
        assert on_view != on_twin


@probe("views, rules, SQL functions and policies that mean the legacy table")
def _dependents(beside: Beside) -> None:
    beside.before_cutover(
        "CREATE VIEW few AS SELECT id, qty, status FROM lines WHERE qty < 9;"
        "CREATE TABLE todo (id integer); CREATE RULE more AS ON INSERT TO todo"
        " DO ALSO INSERT INTO lines (id, order_id) VALUES (NEW.id, NEW.id);"
        "CREATE FUNCTION many() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM lines; END"
    )
    beside.alike(
        "UPDATE few SET qty = qty + 1, status = 2 RETURNING *",
        "INSERT INTO todo VALUES (70)",
        "SELECT many(), (SELECT sum(qty) FROM few)",
    )


@probe("row-level security")
def _policies(beside: Beside) -> None:
    beside.conn.execute(
        "CREATE TABLE notes (id integer PRIMARY KEY, v text);"
        "CREATE TABLE notes_v2 (id integer PRIMARY KEY, v text);"
        "INSERT INTO notes VALUES (1, 'shown'), (2, 'hidden'); CREATE ROLE fidelity_reader;"
        "CREATE POLICY shown ON notes USING (v <> 'hidden');"
        "ALTER TABLE notes ENABLE ROW LEVEL SECURITY; GRANT SELECT ON notes TO fidelity_reader"
    )
    same: list[rules.AnyRule] = [rules.Column("id", "id"), rules.Column("v", "v")]
    form = beside.migration.mapping.chosen_form
    if not beside.is_possible:
        with pytest.raises(MappingError, match="row-level security"):
            Migration.between(beside.conn, "notes", "notes_v2", same, form=form)
        return
    Migration.between(beside.conn, "notes", "notes_v2", same, form=form).expand().copy().cutover()
    beside.conn.execute("SET LOCAL ROLE fidelity_reader")
    assert outcome(beside.conn, "SELECT id FROM notes") == ("done", 1, [(1,)])
    beside.conn.execute("RESET ROLE")


@probe("reflection")
def _reflection(beside: Beside) -> None:
    engine = sa.create_engine(sqlalchemy_url(beside.url))
    found = sa.inspect(engine)
    columns = {
        schema: [
            (c["name"], str(c["type"]), c["comment"]) for c in found.get_columns("lines", schema)
        ]
        for schema in ("twin", "public")
    }
    if beside.is_table:
        assert len(columns["public"]) > len(columns["twin"])
        del columns["public"][len(columns["twin"]) :]
    assert columns["public"] == columns["twin"]
    assert found.get_pk_constraint("lines", "twin")["constrained_columns"] == ["id"]
    if not beside.is_table:
        assert "lines" in found.get_view_names("public")
        assert found.get_pk_constraint("lines", "public")["constrained_columns"] == []
    else:
        assert "lines" in found.get_table_names("public")
        assert found.get_pk_constraint("lines", "public")["constrained_columns"] == ["id"]
    engine.dispose()


@probe("COPY … FROM")
def _copy_from(beside: Beside) -> None:
    seen = []
    for side in (beside.on_twin, beside.on_view):
        side()
        try:
            with beside.conn.transaction():
                cursor = beside.conn.cursor()
                with cursor.copy("COPY lines (id, order_id, status) FROM STDIN") as copy:
                    copy.write_row((70, 7, 2))
                    copy.write_row((71, 7, 1))
            seen.append(("failed", "23505") if cursor.rowcount < 0 else ("done", cursor.rowcount))
        except psycopg.Error as error:
            seen.append(("failed", error.sqlstate or ""))
    assert seen == [("failed", "23505"), ("failed", "23505" if beside.is_possible else "42809")]


@probe("CHECK constraints and foreign keys of the target")
def _target_constraints(beside: Beside) -> None:
    beside.migration.uncutover()
    beside.conn.execute("ALTER TABLE lines_v2 ADD CONSTRAINT not_this CHECK (made_by <> 'this')")
    beside.migration.cutover()
    done = outcome(beside.conn, "UPDATE lines_v2 SET made_by = 'this'")
    assert done == (("failed", "23514") if beside.is_possible else ("done", 4, None))


@probe("writing a constant column")
def _constant(beside: Beside) -> None:
    insert = "INSERT INTO lines (id, order_id, old_hint) VALUES (70, 7, 'unused')"
    update = "UPDATE lines SET old_hint = 'unused' WHERE id = 1"
    if "in an UPDATE" in beside.plan.note:
        beside.alike(insert)
        beside.holds(update, sqlstate="0A000")
    else:
        beside.holds(insert, update, sqlstate="0A000")


@probe("concurrent qty = qty + 1, claims, stale deletes")
def _concurrent(beside: Beside) -> None:
    """The plan's note says which: each waits and counts, or is told to retry, and then counts."""
    for first, second, query in (
        ("qty = qty + 1", "UPDATE lines SET qty = qty + 1 WHERE id = 80", "SELECT qty"),
        (
            "status = 2",
            "UPDATE lines SET note = 'mine' WHERE id = 80 AND status = 1",
            "SELECT note",
        ),
        ("qty = 5", "DELETE FROM lines WHERE id = 80 AND qty = 1", "SELECT count(*)"),
    ):
        answers = []
        for side in (beside.on_twin, beside.on_view):
            with ExitStack() as stack:
                observer, one_, other = (
                    stack.enter_context(psycopg.connect(beside.url, autocommit=True))
                    for _ in range(3)
                )
                side(one_)
                side(other)
                one_.execute("INSERT INTO lines (id, order_id) VALUES (80, 8)")
                with ThreadPoolExecutor(1) as pool:
                    with one_.transaction():
                        one_.execute(f"UPDATE lines SET {first} WHERE id = 80")
                        waiting = pool.submit(outcome, other, second)
                        until_waiting(observer, other)
                    told = waiting.result(60)
                if side == beside.on_view and beside.said:
                    assert told == ("failed", beside.said[0])
                    told = outcome(other, second)
                answers.append((told, value(one_, f"{query} FROM lines WHERE id = 80")))
                one_.execute("DELETE FROM lines WHERE id = 80")
        assert answers[1] == answers[0]


@probe("constraint and column names in errors")
def _names_in_errors(beside: Beside) -> None:
    """Kept: all names; with a note: none, or those of NOT NULL, perhaps in an INSERT only."""
    broken = {
        "INSERT INTO lines (order_id) VALUES (NULL)": True,
        "UPDATE lines SET qty = NULL": True,
        "INSERT INTO lines (order_id, qty) VALUES (9, 0)": False,
        "INSERT INTO lines (order_id, line_no) VALUES (1, 1)": False,
        "INSERT INTO lines (id, order_id) VALUES (1, 9)": False,
    }
    for statement, is_null in broken.items():
        named = []
        for side in (beside.on_twin, beside.on_view):
            side()
            with pytest.raises(psycopg.errors.IntegrityError) as caught, beside.conn.transaction():
                beside.conn.execute(statement)
            diag = caught.value.diag
            named.append((diag.sqlstate, diag.table_name, diag.column_name, diag.constraint_name))
        note = beside.plan.note
        is_excepted = "except in an UPDATE" in note and statement.startswith("UPDATE")
        is_kept = "an INSERT's" in note and statement.startswith("INSERT")
        if not note or is_kept or (is_null and "NOT NULL" in note and not is_excepted):
            assert named[1] == named[0], statement
        else:
            assert named[1][0] == named[0][0]
            assert named[1][1] == "lines_v2", statement


@probe("errors at COMMIT, and of what only the target enforces")
def _errors_of_the_target(beside: Beside) -> None:
    if beside.is_table:
        return  # the target has no rows
    beside.conn.execute(
        "ALTER TABLE lines_v2 ADD CONSTRAINT few CHECK (quantity < 50) NOT VALID,"
        " ADD CONSTRAINT nobody FOREIGN KEY (position) REFERENCES lines_v2"
        " DEFERRABLE INITIALLY DEFERRED NOT VALID"
    )
    beside.on_view()
    for statement, constraint in (
        ("INSERT INTO lines (id, order_id, qty) VALUES (70, 70, 50)", "few"),
        (
            "INSERT INTO lines (id, order_id, line_no) VALUES (71, 71, 999);"
            "SET CONSTRAINTS ALL IMMEDIATE",
            "nobody",
        ),
    ):
        with pytest.raises(psycopg.errors.IntegrityError) as caught, beside.conn.transaction():
            beside.conn.execute(statement)
        diag = caught.value.diag
        assert (diag.table_name, diag.constraint_name) == ("lines_v2", constraint)


@probe("current_user inside defaults of the target")
def _current_user(beside: Beside) -> None:
    beside.conn.execute(
        'CREATE ROLE "probe: client"; GRANT INSERT ON lines TO "probe: client";'
        'GRANT USAGE ON SEQUENCE lines_id_seq TO "probe: client"; SET ROLE "probe: client"'
    )
    beside.conn.execute("INSERT INTO lines (id, order_id) VALUES (90, 9)")
    beside.conn.execute("RESET ROLE")
    made_by = value(beside.conn, "SELECT made_by FROM lines_v2 WHERE line_id = 90")
    owner = value(beside.conn, "SELECT current_user")
    assert made_by == (owner if beside.plan.note else "probe: client")
