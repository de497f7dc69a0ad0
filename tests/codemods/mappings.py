"""A mapping as users write it, for tests that run the commands."""

MAPPING = """
from compat import rules
from compat.mapping import Mapping
from compat.tables import Column, Constraint, Table

LINES = Mapping(
    "order_line_items",
    Table(
        "public",
        "order_line_items",
        (Column("id", "integer", nullable=False), Column("qty", "integer"), Column("note", "text")),
        (Constraint("a", "primary_key", ("id",), "PRIMARY KEY (id)"),),
    ),
    Table(
        "public",
        "order_line_items_v2",
        (
            Column("line_item_id", "integer", nullable=False),
            Column("quantity", "integer"),
            Column("note", "text"),
        ),
        (Constraint("b", "primary_key", ("line_item_id",), "PRIMARY KEY (line_item_id)"),),
    ),
    (
        rules.Column("id", "line_item_id"),
        rules.Column("qty", "quantity"),
        rules.Column("note", "note"),
    ),
    form=FORM,
)
"""


def mapping(form: str = "auto") -> str:
    """Return the text of a mapping file, for a form of the view."""
    return MAPPING.replace("FORM", repr(form))
