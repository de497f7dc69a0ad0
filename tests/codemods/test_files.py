"""Bytes: encodings, marks, newlines and modes stay; writing is one step; git's ignored files stay.

Everything here is on a temporary directory.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from codemods import files, project
from codemods.analysis import Analysis, Part
from codemods.edits import Edit
from codemods.files import Constants, FileError, Prefilter, SourceFile
from codemods.findings import Finding, Outcome
from tests.codemods.cases import NAMES

DEFAULT = NAMES["default"]
SQL = "SELECT qty FROM order_line_items"
NEW = "SELECT quantity AS qty FROM order_line_items_v2"


def change(path: Path) -> bytes:
    report = project.run([path], DEFAULT)
    for file in report.files:
        files.write(file.file, file.after)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f'A = 1\r\nB = "{SQL}"\r\n', f'A = 1\r\nB = "{NEW}"\r\n'),
        (f'A = 1\nB = "{SQL}"\r\nC = 2', f'A = 1\nB = "{NEW}"\r\nC = 2'),
        (f'B = """\r\n{SQL}\r\n"""', f'B = """\r\n{NEW}\r\n"""'),
        (f'B = "{SQL}"\f\n\tif x', f'B = "{SQL}"\f\n\tif x'),
    ],
)
def test_newlines_stay_as_they_are(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "app.py"
    path.write_bytes(before.encode())
    assert change(path) == after.encode()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_inserted_line_has_the_newline_of_its_neighbours(tmp_path: Path, newline: str) -> None:
    lines = [
        "from sqlalchemy import Column, Integer",
        "from sqlalchemy.orm import DeclarativeBase",
        "class Base(DeclarativeBase): pass",
        "class Line(Base):",
        '    __tablename__ = "order_line_items"',
        "    id = Column(",
        "        Integer,",
        "    )",
        "",
    ]
    path = tmp_path / "app.py"
    path.write_bytes(newline.join(lines).encode())
    lines[4] = '    __tablename__ = "order_line_items_v2"'
    lines.insert(6, '        "line_item_id",')
    assert change(path) == newline.join(lines).encode()


def test_latin_1_and_byte_order_marks_stay(tmp_path: Path) -> None:
    latin = tmp_path / "latin.py"
    latin.write_bytes(f'# -*- coding: latin-1 -*-\nB = "{SQL}"  # caf\xe9\n'.encode("latin-1"))
    expected = f'# -*- coding: latin-1 -*-\nB = "{NEW}"  # caf\xe9\n'.encode("latin-1")
    assert change(latin) == expected
    marked = tmp_path / "marked.py"
    marked.write_bytes(b"\xef\xbb\xbf" + f'B = "é {SQL}"\nC = "{SQL}"\n'.encode())
    assert change(marked) == b"\xef\xbb\xbf" + f'B = "é {SQL}"\nC = "{NEW}"\n'.encode()
    legacy = tmp_path / "legacy.sql"
    legacy.write_bytes(f"-- caf\xe9\n{SQL};\n".encode("latin-1"))
    assert change(legacy) == f"-- caf\xe9\n{NEW};\n".encode("latin-1")


def test_a_new_name_that_the_encoding_lacks_leaves_the_file_alone() -> None:
    text = '# coding: latin-1\nSQL = \'SELECT plain, "select" FROM "Order ""Lines""; --"\'\n'
    hostile = NAMES["hostile"]
    renames = hostile.renames[0]
    from dataclasses import replace

    names = replace(hostile, renames=(replace(renames, target_table="Ж"),))
    file = SourceFile(Path("app.py"), text.encode("latin-1"), text, "latin-1")
    (report,) = project.settled([(file, project.analyse(file, names, Constants()))], names)
    assert report.after == text
    assert report.part.findings


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(b'B = "\xff order_line_items"\n')
    report = project.run([tmp_path], DEFAULT)
    assert [item.path.name for item in report.unread] == ["bad.py"]


def test_the_mode_of_a_file_and_a_link_to_it_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.py"
    real.write_text(f'B = "{SQL}"\n')
    real.chmod(0o754)
    link = tmp_path / "link.py"
    link.symlink_to(real)
    change(link)
    assert link.is_symlink()
    assert real.read_text() == f'B = "{NEW}"\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o754
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.py", "real.py"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.py"
    path.write_text(f'B = "{SQL}"\n')
    (file,) = project.run([path], DEFAULT).files

    def fail(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FileError, match="No space left"):
        files.write(file.file, file.after)
    assert path.read_text() == f'B = "{SQL}"\n'
    assert [p.name for p in tmp_path.iterdir()] == ["app.py"]


def test_a_file_that_changed_in_the_meantime_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(f'B = "{SQL}"\n')
    (file,) = project.run([path], DEFAULT).files
    path.write_text("something else\n")
    with pytest.raises(FileError, match="changed in the meantime"):
        files.write(file.file, file.after)
    assert path.read_text() == "something else\n"


def test_files_that_git_ignores_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("build/\n")
    (tmp_path / "build").mkdir()
    for name in ("app.py", "build/made.py", "notes.txt"):
        (tmp_path / name).write_text(f'B = "{SQL}"\n')
    found = [p.relative_to(tmp_path).as_posix() for p in files.find([tmp_path])]
    assert found == [".gitignore", "app.py", "notes.txt"]
    found = [p.name for p in files.find([tmp_path / "build", tmp_path / "build" / "made.py"])]
    assert found == ["made.py"]


def test_without_git_the_usual_directories_are_skipped(tmp_path: Path) -> None:
    for name in (".venv/lib.py", "node_modules/x.py", "__pycache__/y.py", "src/app.py", "q.sql"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    found = [p.relative_to(tmp_path).as_posix() for p in files.find([tmp_path])]
    assert found == ["q.sql", "src/app.py"]


def test_the_prefilter_lets_pass_whatever_may_name_a_table() -> None:
    prefilter = Prefilter.of(DEFAULT)
    assert prefilter.matches(b"... ORDER_LINE_ITEMS ...")
    assert not prefilter.matches(b"... order_lines ...")
    hostile = Prefilter.of(NAMES["hostile"])
    assert hostile.matches(b'"Order ""Lines""; --"')
    assert hostile.matches(b'"Order \\"Lines\\"; --"')


def test_an_inserted_constant_is_read_from_the_module_that_defines_it(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "values.py").write_text('LIVE: str = "total > 0"\nOLD = "NOT deleted"\n')
    (package / "a.py").write_text(
        "from . import values\n"
        'A = f"SELECT qty FROM order_line_items WHERE {values.LIVE}"\n'
        'B = f"SELECT qty FROM order_line_items WHERE {values.OLD}"\n'
        'C = f"SELECT qty FROM order_line_items WHERE {values.NONE}"\n'
    )
    (package / "b.py").write_text(
        'from shop.values import LIVE\nA = f"SELECT qty FROM order_line_items WHERE {LIVE}"\n'
    )
    report = project.run([tmp_path], DEFAULT)
    after = {file.path.name: file.after for file in report.files}
    assert after["a.py"].count("order_line_items_v2") == 1
    assert after["b.py"].count("order_line_items_v2") == 1


def test_foreign_keys_follow_a_definition_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(
        "import sqlalchemy as sa\n"
        "t = sa.Table('order_line_items', sa.MetaData(), sa.Column('id', sa.Integer))\n"
    )
    (tmp_path / "other.py").write_text(
        "import sqlalchemy as sa\nc = sa.Column(sa.ForeignKey('order_line_items.id'))\n"
    )
    after = {f.path.name: f.after for f in project.run([tmp_path], DEFAULT).files}
    assert "ForeignKey('order_line_items_v2.id')" in after["other.py"]
    # Rewritten in another run, or by hand: the definition still tells.
    (tmp_path / "models.py").write_text(after["models.py"])
    again = {f.path.name: f.after for f in project.run([tmp_path], DEFAULT).files}
    assert again["other.py"] == after["other.py"]


def test_without_git_what_gitignore_names_is_left_out(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("/made/\n*.gen.py\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / ".gitignore").write_text("local.py\n!kept.gen.py\n")
    (tmp_path / "made").mkdir()
    for name in ("made/a.py", "src/a.gen.py", "src/local.py", "src/b.py", "local.py"):
        (tmp_path / name).write_text("")
    found = [p.relative_to(tmp_path).as_posix() for p in files.find([tmp_path])]
    assert found == [".gitignore", "local.py", "src/.gitignore", "src/b.py"]


def test_text_of_an_unknown_kind_is_searched_and_listed(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("count:\n\tpsql -c 'SELECT qty FROM order_line_items'\n")
    (tmp_path / "notes.txt").write_text("order_line_items\n")
    (tmp_path / "heap.dat").write_bytes(b"order_line_items\0\1")
    (tmp_path / "large.csv").write_text("order_line_items\n" * 300_000)
    (tmp_path / "picture.png").write_bytes(b"order_line_items")
    report = project.run([tmp_path], DEFAULT)
    assert [file.path.name for file in report.files] == ["Makefile", "notes.txt"]
    assert (report.searched, report.totals.needs_a_look, report.totals.edits) == (2, 3, 0)


def test_files_are_chosen_by_patterns(tmp_path: Path) -> None:
    for name in ("a.py", "b.sql", "tests/a.py", "tests/deep/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    def found(**patterns: tuple[str, ...]) -> list[str]:
        choice = files.Choice(**patterns)
        return [p.relative_to(tmp_path).as_posix() for p in files.find([tmp_path], choice)]

    assert found(include=("*.py",)) == ["a.py", "tests/a.py", "tests/deep/c.py"]
    assert found(exclude=("/tests/",)) == ["a.py", "b.sql"]
    assert found(include=("*.py",), exclude=("deep/",)) == ["a.py", "tests/a.py"]


def test_a_dump_is_read_in_sections_and_every_hit_is_where_it_was(tmp_path: Path) -> None:
    row = "7\tsome words; -- 'one quote, {% and qty\n"
    other = "INSERT INTO notes (note) VALUES ('; it''s\n;\n');\n\\echo words;\n"
    rows = row * 8_000
    copied = f"/* ;\n */ COPY public.order_line_items (id, qty) FROM stdin;\n{rows}\\.\n"
    before = f"{SQL};\n{other * 8_000}{copied}{SQL};\n"
    assert len(before) > 700_000  # more than one section of each kind
    path = tmp_path / "dump.sql"
    path.write_text(before)
    report = project.run([tmp_path], DEFAULT)
    after = before.replace(f"{SQL};", f"{NEW};").replace(
        "public.order_line_items (id, qty)", "public.order_line_items_v2 (line_item_id, quantity)"
    )
    assert report.files[0].after == after
    assert [before[f.start : f.end] for f in report.files[0].part.findings] == [
        f.name for f in report.files[0].part.findings
    ]
    assert report.totals.unrelated == 8_000


def test_a_statement_that_is_too_large_is_listed(tmp_path: Path) -> None:
    rows = ",\n".join(["(1, 2)"] * 150_000)
    (tmp_path / "dump.sql").write_text(
        f"INSERT INTO order_line_items (id, qty) VALUES {rows};\n{SQL};\n"
    )
    report = project.run([tmp_path], DEFAULT)
    assert report.files[0].after.endswith(f"{NEW};\n")
    listed = [f for f in report.files[0].part.findings if f.outcome is Outcome.LOOK]
    assert [f.name for f in listed] == ["order_line_items", "id", "qty"]
    assert {f.reason for f in listed} == {"in a statement that is too large to be read"}


def test_links_are_not_followed_out_of_the_tree(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.py").write_text(f'B = "{SQL}"\n')
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "linked").symlink_to(outside)
    (tree / "app.py").symlink_to(outside / "app.py")
    assert list(files.find([tree])) == []


def test_utf_16_with_its_mark_stays_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "q.sql"
    path.write_bytes(f"{SQL};\r\n".encode("utf-16"))
    assert change(path) == f"{NEW};\r\n".encode("utf-16")


def test_generated_files_are_listed_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "q.py"
    path.write_text(f'# @generated\nB = "{SQL}"\n')
    assert change(path) == f'# @generated\nB = "{SQL}"\n'.encode()
    (report,) = project.run([path], DEFAULT).files
    assert "a generated file" in report.part.findings[-1].reason


def test_python_that_is_too_large_for_a_tree_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "data.py"
    path.write_text(f'B = "{SQL}"\nROWS = """{"x" * 2_000_000}"""\n')
    assert change(path) == path.read_bytes()
    (report,) = project.run([path], DEFAULT).files
    assert {found.outcome for found in report.part.findings} == {Outcome.LOOK}
    assert "too large" in report.part.findings[0].reason


def test_what_git_could_not_give_back_is_told(tmp_path: Path) -> None:
    for name in ("a.py", "b.py", "old name.py"):
        (tmp_path / name).write_text(f"{name}\n" * 5)
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", *settings, *arguments], cwd=tmp_path, check=True)
    (tmp_path / "b.py").write_text("changed")
    (tmp_path / "c.py").write_text("new")
    subprocess.run(["git", "mv", "old name.py", "new name.py"], cwd=tmp_path, check=True)
    paths = [tmp_path / name for name in ("a.py", "b.py", "c.py", "new name.py")]
    assert files.uncommitted(paths) == paths[1:]


def test_outside_of_a_repository_nobody_is_asked_about_git(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    assert files.uncommitted([tmp_path / "a.py"]) == []


def test_changes_that_want_the_same_place_leave_the_file_alone() -> None:
    file = files.decode(Path("app.py"), b"qty = 1\n")
    assert isinstance(file, SourceFile)
    changed = Finding(0, 3, "qty", "column", Outcome.CHANGED, "renamed", "quantity")
    part = Part((Edit(0, 3, "quantity"), Edit(1, 3, "ty")), (changed,))
    (report,) = project.settled([(file, Analysis(part, is_related=True))], DEFAULT)
    assert report.after == "qty = 1\n"
    assert report.refused
    assert [found.outcome for found in report.part.findings] == [Outcome.LOOK]


def test_what_a_comment_ignores_is_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text(
        "SELECT qty FROM order_line_items; -- compat: ignore\nSELECT qty FROM order_line_items;\n"
    )
    totals = project.run([tmp_path], DEFAULT).totals
    assert (totals.hits, totals.changed, totals.ignored, totals.unrelated) == (4, 2, 2, 0)
