"""Functions that take a table's name as text, as the command line describes them."""

from __future__ import annotations

import pytest

from codemods.settings import TableCall
from compat.errors import CompatError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("load", TableCall("load")),
        ("load:1", TableCall("load", 1)),
        ("load:into", TableCall("load", None, "into")),
        ("load:1:names", TableCall("load", 1, columns=("names",))),
        ("load:into:2", TableCall("load", None, "into", (), 2)),
    ],
)
def test_a_call_is_described_by_function_table_and_columns(text: str, expected: TableCall) -> None:
    assert TableCall.parse(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "load:", "load:1:2:3", "load::columns"])
def test_what_describes_no_call_is_refused(text: str) -> None:
    with pytest.raises(CompatError, match="describes no call"):
        TableCall.parse(text)
