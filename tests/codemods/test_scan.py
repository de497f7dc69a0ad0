"""What a view cannot serve is found wherever it is written, and nothing else is.

The verdicts come from the plan's own table.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest

from codemods import scan
from codemods.scan.needs import NOT_SERVED, Need
from compat.fidelity import behaviours
from compat.mapping import Form, Mapping, load
from compat.shapes import Choice
from tests.codemods.mappings import mapping
from tests.codemods.test_command import run


@pytest.fixture
def converting(tmp_path: Path) -> Mapping:
    path = tmp_path / "mapping_of_the_test.py"
    path.write_text(mapping("instead_of"))
    return load(str(path))


def needs(place: Path, converting: Mapping, name: str, text: str) -> list[tuple[int, Need]]:
    """Return what is found in one file."""
    directory = place / "app"
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)
    return [(use.line, use.need) for use in scan.run([directory], [converting]).uses]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("INSERT INTO order_line_items (id) VALUES (1) ON CONFLICT (id) DO NOTHING", "ON_CONFLICT"),
        ("INSERT INTO order_line_items (id) VALUES (1) ON CONFLICT DO NOTHING", "ON_CONFLICT_ANY"),
        (
            "insert into public.order_line_items (id) values (1) on conflict on constraint a"
            " do nothing",
            "ON_CONFLICT_CONSTRAINT",
        ),
        ("TRUNCATE TABLE orders, order_line_items CASCADE", "TRUNCATE"),
        ("COPY order_line_items (id, qty) FROM STDIN", "COPY_FROM"),
        ("\\copy order_line_items from 'x.csv'", "COPY_FROM"),
        ("COPY order_line_items TO STDOUT", None),
        ("LOCK TABLE order_line_items IN SHARE MODE", "LOCK"),
        ("SELECT qty FROM order_line_items l WHERE id = 1 FOR NO KEY UPDATE OF l", "ROW_LOCKS"),
        (
            "SELECT 1 FROM orders JOIN order_line_items USING (id) FOR SHARE SKIP LOCKED",
            "ROW_LOCKS",
        ),
        ("CREATE POLICY p ON order_line_items FOR UPDATE USING (qty > 0)", None),
        ("MERGE INTO ONLY order_line_items t USING s ON true WHEN MATCHED THEN DELETE", "MERGE"),
        ("UPDATE order_line_items SET qty = 1 WHERE CURRENT OF c", "SYSTEM_COLUMNS"),
        ("SELECT ctid FROM order_line_items", "SYSTEM_COLUMNS"),
        ("SELECT 'ctid' FROM order_line_items -- ctid", None),
        ("SELECT id, qty, count(*) FROM order_line_items GROUP BY id", "GROUP_BY_KEY"),
        ("SELECT id, max(qty) FROM order_line_items GROUP BY id", None),
        ("SELECT id, qty FROM order_line_items GROUP BY id, qty", None),
        (
            "SELECT l.id, l.qty, count(*) FROM order_line_items l JOIN r ON r.l = l.id"
            " GROUP BY l.id",
            "GROUP_BY_KEY",
        ),
        ("CREATE TABLE r (l int REFERENCES order_line_items (id))", "DDL"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON order_line_items (qty)", "DDL"),
        ("ALTER TABLE order_line_items ADD x int", "ALTER"),
        ("CREATE TRIGGER t AFTER INSERT ON order_line_items EXECUTE FUNCTION f()", "ALTER"),
        ("TRUNCATE order_line_items_v2", None),
        ("TRUNCATE archive.order_line_items", None),
        ('TRUNCATE "order_line_items"', "TRUNCATE"),
        (
            "INSERT INTO orders (id) SELECT id FROM order_line_items ON CONFLICT (id) DO NOTHING",
            None,
        ),
        ("-- compat: ignore\nTRUNCATE order_line_items", None),
        ("DO $$ BEGIN\n TRUNCATE order_line_items; END $$", "TRUNCATE"),
    ],
)
def test_statements(
    tmp_path: Path, converting: Mapping, statement: str, expected: str | None
) -> None:
    found = needs(tmp_path, converting, "q.sql", f"SELECT 1;\n{statement};\n")
    assert [need.name for _, need in found] == ([expected] if expected else [])


def test_a_file_that_creates_the_table_is_no_client_of_it(
    tmp_path: Path, converting: Mapping
) -> None:
    text = "CREATE TABLE order_line_items (id int);\nCREATE INDEX i ON order_line_items (id);\n"
    assert needs(tmp_path, converting, "schema.sql", text) == []


PROGRAM = '''\
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy import Table, inspect

class Line(Base):
    __tablename__ = "order_line_items"

def save(session, rows):
    session.execute(
        insert(Line)
        .values(rows)
        .on_conflict_do_update(index_elements=["id"], set_={})
    )
    session.execute(insert(Other).values(rows).on_conflict_do_nothing())

def save_later(session, rows):
    statement = insert(Line).values(rows)
    statement = statement.on_conflict_do_nothing()
    other = insert(Other).on_conflict_do_update(constraint="x", set_={})

def read(conn, session):
    Table("order_line_items", metadata, autoload_with=conn)
    inspect(conn).get_pk_constraint("order_line_items")
    session.query(Line.id, Line.qty).group_by(Line.id)
    conn.execute("""
        SELECT 1;
        TRUNCATE order_line_items
    """)
    conn.execute(f"TRUNCATE order_line_items {how}")  # compat: ignore
    cursor.copy_from(file, "order_line_items")
'''


def test_sqlalchemy(tmp_path: Path, converting: Mapping) -> None:
    found = needs(tmp_path, converting, "app.py", PROGRAM)
    assert found == [
        (11, Need.ON_CONFLICT),
        (17, Need.ON_CONFLICT_ANY),
        (21, Need.REFLECTION),
        (22, Need.REFLECTION),
        (23, Need.GROUP_BY_KEY),
        (26, Need.TRUNCATE),
        (29, Need.COPY_FROM),
    ]


def test_django_models_are_known_in_other_files(tmp_path: Path, converting: Mapping) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "models.py").write_text(
        "class Line(models.Model):\n    class Meta:\n        db_table = 'order_line_items'\n"
    )
    found = needs(
        tmp_path,
        converting,
        "views.py",
        "Line.objects.bulk_create(rows, ignore_conflicts=True)\n"
        "Line.objects.bulk_create(rows, update_conflicts=True, unique_fields=['id'])\n"
        "Line.objects.bulk_create(rows)\n"
        "Other.objects.bulk_create(rows, ignore_conflicts=True)\n"
        "Line.objects.annotate(n=Count('returns'))\n"
        "Line.objects.select_for_update(skip_locked=True).first()\n",
    )
    assert found == [
        (1, Need.ON_CONFLICT_ANY),
        (2, Need.ON_CONFLICT),
        (5, Need.GROUP_BY_KEY),
        (6, Need.ROW_LOCKS),
    ]


@pytest.mark.parametrize("need", Need)
def test_every_need_is_a_behaviour_that_the_plan_speaks_of(need: Need) -> None:
    titles = {item.behaviour for form in ("updatable", "instead_of") for item in behaviours(form)}
    assert need.behaviour in titles


def test_the_verdict_depends_on_the_form_and_the_server() -> None:
    assert Need.ON_CONFLICT.verdict("instead_of", None) == NOT_SERVED
    assert Need.ON_CONFLICT.verdict("updatable", None) == "kept"
    assert Need.COPY_FROM.verdict("updatable", None) == NOT_SERVED
    assert Need.MERGE.verdict("updatable", 16) == NOT_SERVED
    assert Need.MERGE.verdict("updatable", 17) == "kept"
    assert Need.MERGE.verdict("updatable", None) == "kept with a note"


@pytest.mark.parametrize("form", get_args(Form))
def test_every_form_has_a_verdict_for_every_need(converting: Mapping, form: Form) -> None:
    mapping = dataclasses.replace(converting, form=form)
    verdicts = {need: need.verdict_of(mapping, 18) for need in Need}
    assert verdicts[Need.ROW_LOCKS] == "kept"
    assert (verdicts[Need.ON_CONFLICT] == NOT_SERVED) == (form == "instead_of")
    assert verdicts == {need: need.verdict(form, 18) for need in Need}


def test_rows_in_several_tables_cannot_be_locked(converting: Mapping) -> None:
    closed = dataclasses.replace(converting.target, name="closed_lines")
    divided = dataclasses.replace(converting, choices=(Choice(closed, "qty = 0"),))
    assert Need.ROW_LOCKS.verdict_of(divided, 18) == NOT_SERVED
    assert Need.TRUNCATE.verdict_of(divided, 18) == NOT_SERVED


def test_the_command_says_where_what_and_what_instead(tmp_path: Path) -> None:
    (tmp_path / "mapping.py").write_text(mapping("instead_of"))
    (tmp_path / "app.sql").write_text("SELECT 1;\nTRUNCATE order_line_items;\n")
    told = run(tmp_path, "scan", "app.sql", "-m", "mapping.py")
    assert told.returncode == 1, told.stderr
    assert "app.sql:2: TRUNCATE: not possible; instead: DELETE" in told.stdout
    document = json.loads(run(tmp_path, "scan", "app.sql", "-m", "mapping.py", "--json").stdout)
    assert document["totals"] == {"files_searched": 1, "uses": 1, "not_served": 1}
    assert document["mappings"][0]["form"] == "instead_of"
    (use,) = document["uses"]
    assert (use["path"], use["line"], use["behaviour"]) == ("app.sql", 2, "TRUNCATE")
    (tmp_path / "app.sql").write_text("SELECT qty FROM order_line_items;\n")
    assert run(tmp_path, "scan", "app.sql", "-m", "mapping.py").returncode == 0
    assert run(tmp_path, "scan", "nowhere", "-m", "mapping.py").returncode == 2
