"""Applications of several files: models in one, what uses them in others.

Names are followed through imports, packages that pass them on, and queries.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from codemods import project
from codemods.entities import CodeRename
from codemods.findings import Outcome
from codemods.renames import Names
from codemods.settings import Settings
from tests.codemods.cases import NAMES

MODELS = """
from sqlalchemy import Column, Integer
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


class OrderLine(Base):
    __tablename__ = "order_line_items"

    id = Column(Integer, primary_key=True)
    line_no = Column(Integer)
    qty = Column(Integer)
    status = Column(Integer)
    created = Column(Integer)
"""
UPSERT = """
from sqlalchemy.dialects.postgresql import insert

from {origin} import OrderLine

stmt = insert(OrderLine).values(qty=1)
stmt = stmt.on_conflict_do_update(index_elements=["id"], set_={{"qty": stmt.excluded.qty}})
recent = OrderLine.created > 1700000000
"""
ATTRIBUTES = replace(NAMES["default"], settings=Settings(attributes=True))
RENAMED_CLASS = replace(
    NAMES["default"],
    code=(CodeRename("shop.models.OrderLine", "shop.models.Line"),),
)


def rewritten(
    directory: Path, files: dict[str, str], names: Names
) -> tuple[dict[str, str], project.Report]:
    """Write files, and return their texts as rewritten, and the report."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    report = project.run([directory], names)
    after = dict(files)
    for file in report.files:
        after[file.path.relative_to(directory).as_posix()] = file.after
    return after, report


@pytest.mark.parametrize(
    ("place", "origin"),
    [
        ("shop/crud.py", "shop.models"),
        ("shop/crud.py", ".models"),
        ("shop/crud.py", "shop"),
        ("shop/crud.py", "."),
        ("shop/api/crud.py", "..models"),
        ("shop/api/crud.py", ".."),
    ],
)
def test_a_file_that_only_imports_the_model_is_followed(
    tmp_path: Path, place: str, origin: str
) -> None:
    files = {
        "shop/__init__.py": "from .models import OrderLine\n",
        "shop/models.py": MODELS,
        place: UPSERT.format(origin=origin),
    }
    after, report = rewritten(tmp_path, files, NAMES["default"])
    assert 'index_elements=["line_item_id"]' in after[place]
    assert 'set_={"quantity": stmt.excluded.quantity}' in after[place]
    assert "values(qty=1)" in after[place]
    notes = [n.text for f in report.files if f.path.name == "crud.py" for n in f.part.notes]
    assert notes == ["compared with 1700000000; epoch"]


def test_a_model_that_a_package_passes_on_under_another_name_is_followed(tmp_path: Path) -> None:
    files = {
        "shop/__init__.py": "from .models import OrderLine as Line\n",
        "shop/models.py": MODELS,
        "web/crud.py": UPSERT.format(origin="shop").replace("OrderLine", "Line"),
        "web/page.py": (
            "from shop import Line\n\n\n"
            "def page(session):\n"
            "    return [line.qty for line in session.query(Line).all()]\n"
        ),
    }
    after, _ = rewritten(tmp_path, files, NAMES["default"])
    assert 'index_elements=["line_item_id"]' in after["web/crud.py"]
    after, _ = rewritten(tmp_path, files, ATTRIBUTES)
    assert "[line.quantity for line" in after["web/page.py"]


def test_a_class_of_the_same_name_from_another_module_is_not_ours(tmp_path: Path) -> None:
    files = {
        "shop/models.py": MODELS,
        "archive/models.py": "class OrderLine:\n    qty = 1\n",
        "archive/crud.py": UPSERT.format(origin="archive.models"),
    }
    after, _ = rewritten(tmp_path, files, NAMES["default"])
    assert after["archive/crud.py"] == files["archive/crud.py"]
    assert after["archive/models.py"] == files["archive/models.py"]


def test_uses_stay_when_the_model_stays(tmp_path: Path) -> None:
    broken = MODELS.replace("qty = Column(Integer)", "qty = make_column()")
    for names in (NAMES["default"], ATTRIBUTES):
        files = {"shop/models.py": broken, "shop/crud.py": UPSERT.format(origin=".models")}
        after, report = rewritten(tmp_path, files, names)
        assert after == files
        looks = {
            found.reason
            for file in report.files
            if file.path.name == "crud.py"
            for found in file.part.findings
            if found.outcome is Outcome.LOOK
        }
        assert any("left as it is" in reason for reason in looks)


def test_attributes_are_renamed_in_the_whole_repository(tmp_path: Path) -> None:
    files = {
        "shop/models.py": MODELS,
        "shop/views.py": (
            "from .models import OrderLine\n\n\n"
            "def page(session, order: int):\n"
            "    lines = session.query(OrderLine).filter_by(qty=order).all()\n"
            "    return [(line.qty, line.line_no) for line in lines]\n"
        ),
        "shop/plain.py": "def show(line):\n    return line.qty, line.note\n",
        "shop/nothing.py": "def show(line):\n    return line.note\n",
    }
    after, report = rewritten(tmp_path, files, ATTRIBUTES)
    assert "quantity = Column(Integer)" in after["shop/models.py"]
    assert "filter_by(quantity=order)" in after["shop/views.py"]
    assert "(line.quantity, line.position)" in after["shop/views.py"]
    plain = next(file for file in report.files if file.path.name == "plain.py")
    assert plain.after == files["shop/plain.py"]
    assert [f.reason for f in plain.part.findings] == [
        "perhaps OrderLine.qty, which is now quantity"
    ]
    assert all(file.path.name != "nothing.py" for file in report.files)


def test_a_renamed_class_is_followed_through_the_package(tmp_path: Path) -> None:
    files = {
        "shop/__init__.py": "from .models import OrderLine as OrderLine\n",
        "shop/models.py": MODELS,
        "shop/views.py": "from shop import OrderLine\n\nlines: list[OrderLine] = []\n",
        "tests/test_views.py": (
            "from unittest import mock\n\n\n"
            '@mock.patch("shop.views.OrderLine")\n'
            "def test(line):\n    assert line\n"
        ),
        "other/views.py": "from other.models import OrderLine\n\nprint(OrderLine)\n",
    }
    after, _ = rewritten(tmp_path, files, RENAMED_CLASS)
    assert after["shop/__init__.py"] == "from .models import Line as Line\n"
    assert "class Line(Base):" in after["shop/models.py"]
    assert after["shop/views.py"] == "from shop import Line\n\nlines: list[Line] = []\n"
    assert '@mock.patch("shop.views.Line")' in after["tests/test_views.py"]
    assert after["other/views.py"] == files["other/views.py"]


def test_a_package_that_cannot_pass_the_new_name_on_keeps_the_old_one(tmp_path: Path) -> None:
    files = {
        "shop/__init__.py": "from .models import OrderLine\n\nLine = str\n",
        "shop/models.py": MODELS,
        "shop/views.py": "from shop import OrderLine\n\nprint(OrderLine)\n",
    }
    after, _ = rewritten(tmp_path, files, RENAMED_CLASS)
    assert after["shop/__init__.py"] == "from .models import Line as OrderLine\n\nLine = str\n"
    assert after["shop/views.py"] == files["shop/views.py"]


def test_a_module_that_is_renamed_is_to_be_moved(tmp_path: Path) -> None:
    names = replace(NAMES["default"], code=(CodeRename("shop.tools", "shop.lines.tools"),))
    files = {
        "shop/tools.py": "def double(number):\n    return 2 * number\n",
        "shop/views.py": "import shop.tools\n\nprint(shop.tools.double(2))\n",
    }
    after, report = rewritten(tmp_path, files, names)
    assert (
        after["shop/views.py"] == "import shop.lines.tools\n\nprint(shop.lines.tools.double(2))\n"
    )
    moved = next(file for file in report.files if file.path.name == "tools.py")
    assert [f.reason for f in moved.part.findings] == [
        "this file is the module shop.tools: move it, shop/tools becomes shop/lines/tools"
    ]


def test_a_second_run_over_a_package_changes_nothing(tmp_path: Path) -> None:
    files = {"shop/models.py": MODELS, "shop/crud.py": UPSERT.format(origin=".models")}
    for names in (NAMES["default"], ATTRIBUTES):
        after, _ = rewritten(tmp_path, files, names)
        again, report = rewritten(tmp_path, after, names)
        assert again == after
        assert not report.totals.edits


def test_attributes_of_other_classes_are_not_listed_where_they_are_proven(tmp_path: Path) -> None:
    page = (
        "from .models import Customer, OrderLine\n\n\n"
        "def page(session, customers: list[Customer], thing):\n"
        "    first = session.get(Customer, 1)\n"
        "    lines = session.query(OrderLine).all()\n"
        "    return [c.qty for c in customers], first.created, lines, thing.qty\n"
    )
    customer = (
        "\n\nclass Customer(Base):\n    __tablename__ = 'customers'\n    qty = Column(Integer)\n"
    )
    files = {"shop/models.py": MODELS + customer, "shop/page.py": page}
    _, report = rewritten(tmp_path, files, ATTRIBUTES)
    (found,) = (file for file in report.files if file.path.name == "page.py")
    listed = [f.name for f in found.part.findings if f.outcome is Outcome.LOOK]
    assert listed == ["qty"]
    assert found.part.notes == ()
