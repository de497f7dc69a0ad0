"""The golden corpus: how its files are written, and the renames that they speak of.

A file holds a title, the text before, the text after (unless nothing changes) and the report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from codemods import project
from codemods.entities import CodeRename
from codemods.files import Constants, SourceFile
from codemods.renames import ColumnRename, Names, OtherTable, Renames
from codemods.settings import Settings, TableCall

CORPUS = Path(__file__).with_name("corpus")

ORDER_LINES = Renames(
    "order_line_items",
    "public",
    "order_line_items",
    "public",
    "order_line_items_v2",
    (
        ColumnRename("id", "line_item_id"),
        ColumnRename("order_id", "order_id"),
        ColumnRename("product_id", "product_id"),
        ColumnRename("line_no", "position"),
        ColumnRename("qty", "quantity"),
        ColumnRename("price", "unit_price", "cast"),
        ColumnRename("status", "status", "value_map"),
        ColumnRename("created", "created_at", "epoch"),
        ColumnRename("deleted", "deleted_at", "flag"),
        ColumnRename("note", "note"),
    ),
    (
        "line_item_id",
        "order_id",
        "product_id",
        "position",
        "quantity",
        "unit_price",
        "status",
        "created_at",
        "deleted_at",
        "note",
    ),
)
SAME_COLUMNS = replace(
    ORDER_LINES,
    columns=tuple(ColumnRename(name, name) for name in ("id", "order_id", "qty")),
    target_columns=("id", "order_id", "qty"),
)
HOSTILE = Renames(
    "hostile",
    "public",
    'Order "Lines"; --',
    "public",
    'New "Lines"; --',
    (
        ColumnRename("select", "where"),
        ColumnRename("ключ", "значение"),
        ColumnRename("plain", "Qty"),
    ),
    ("where", "значение", "Qty"),
)

NAMES = {
    "default": Names((ORDER_LINES,)),
    "no counterpart": Names(
        (
            replace(
                ORDER_LINES,
                columns=(*ORDER_LINES.columns, ColumnRename("shape", None, "constant")),
            ),
        )
    ),
    "other schema": Names((replace(ORDER_LINES, target_schema="sales"),)),
    "same table, other schema": Names(
        (replace(ORDER_LINES, target_schema="sales", target_table="order_line_items"),)
    ),
    "needs quotes": Names(
        (
            replace(
                ORDER_LINES,
                target_table="Order Lines",
                columns=(ColumnRename("id", "id"), ColumnRename("qty", "order")),
                target_columns=("id", "order"),
            ),
        )
    ),
    "hostile": Names((HOSTILE,)),
    "new outputs": Names((ORDER_LINES,), outputs="new"),
    "attributes": Names((ORDER_LINES,), settings=Settings(attributes=True)),
    "migrations": Names((ORDER_LINES,), settings=Settings(migrations=True)),
    "same columns": Names((SAME_COLUMNS,)),
    "same table, other columns": Names(
        (
            replace(
                ORDER_LINES,
                columns=(
                    ColumnRename("id", "line_item_id"),
                    ColumnRename("order_id", "order_key"),
                    ColumnRename("product_id", "product_key"),
                ),
            ),
        )
    ),
    "sqlmodel": Names((replace(ORDER_LINES, legacy_table="lines"),)),
    "convention": Names((replace(ORDER_LINES, legacy_table="store_orderline"),)),
    "calls": Names(
        (ORDER_LINES,),
        settings=Settings(calls=(TableCall("load_rows", 1, "into", ("names",), 2),)),
    ),
    "code": Names(
        (ORDER_LINES,),
        code=(
            CodeRename("shop.models.OrderLineItem", "shop.models.OrderLine"),
            CodeRename("shop.line_tools", "shop.lines.tools"),
            CodeRename("shop.helpers.line_total", "shop.lines.total"),
        ),
    ),
    "orders known": Names(
        (ORDER_LINES,),
        (OtherTable("public", "orders", frozenset(("id", "customer_name", "placed_at"))),),
    ),
}


@dataclass(frozen=True)
class Case:
    """One file of the corpus."""

    title: str
    names: str
    file: str
    before: str
    after: str
    report: str

    def render(self) -> str:
        """Return the case as its file holds it."""
        parts = [
            f"# {self.title}\n# names: {self.names}\n",
            f"=== before: {self.file}\n",
            self.before,
        ]
        if self.after != self.before:
            parts += ["=== after\n", self.after]
        return "".join([*parts, "=== report\n", self.report])


def load(path: Path) -> Case:
    """Read one file of the corpus."""
    head, _, rest = path.read_text(encoding="utf-8").partition("=== before: ")
    title, names = (line.removeprefix("# ") for line in head.splitlines())
    file, _, rest = rest.partition("\n")
    before, _, report = rest.partition("=== report\n")
    before, _, after = before.partition("=== after\n")
    return Case(title, names.removeprefix("names: "), file, before, after or before, report)


def examine(text: str, file: str, names: Names) -> project.FileReport:
    """Return what is found in one text, as if it were the only file."""
    source = SourceFile(Path(file), text.encode(), text, "utf-8")
    analysis = project.analyse(source, names, Constants())
    (report,) = project.settled([(source, analysis)], names)
    return report


def outcome(title: str, names: str, file: str, before: str) -> Case:
    """Return the case that the package makes of a text."""
    report = examine(before, file, NAMES[names])
    return Case(title, names, file, before, report.after, described(report))


def described(report: project.FileReport) -> str:
    """Return the findings and notes of a report, one line each."""
    lines = []
    for found in report.part.findings:
        line, column = report.position(found.start)
        new = f" → {' '.join(found.new.split())}" if found.new is not None else ""
        lines.append(((line, column), f"{found.name}{new}: {found.outcome.value}: {found.reason}"))
    for note in report.part.notes:
        line, column = report.position(note.start)
        lines.append(((line, column), f"{note.name}: check the value: {note.text}"))
    return "".join(f"{line}:{column} {text}\n" for (line, column), text in sorted(lines))
