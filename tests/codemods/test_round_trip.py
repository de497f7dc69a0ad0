"""There and back: the mapping, then its inverse, gives the original bytes for what was changed.

What a rewriting adds to keep the program's names (`AS qty`, `key="qty"`, the name of a column) the
way back renames too; there the third rewriting gives the second text again.
"""

from __future__ import annotations

import pytest

from codemods.edits import Edit
from tests.codemods.cases import CORPUS, NAMES, Case, examine, load

CHANGED = [
    case
    for case in map(load, sorted(CORPUS.glob("*.txt")))
    if case.before != case.after and case.file.endswith(".py")
]
ONE_WAY = {
    "An inserted constant that speaks of the target already": "it used target names before",
    "Names that only hold the table's": "it used target names before",
    "Only the schema changes": "it used target names before",
}


def there_and_back(case: Case) -> str:
    """Return the text after the mapping and its inverse."""
    return examine(case.after, case.file, NAMES[case.names].inverted()).after


def is_replacement(edit: Edit) -> bool:
    """Tell whether an edit puts one name for another, and adds nothing."""
    return edit.start < edit.end and " AS " not in edit.new and "(" not in edit.new


def is_pure(case: Case) -> bool:
    """Tell whether all edits of a case are replacements."""
    edits = examine(case.before, case.file, NAMES[case.names]).part.edits
    return all(map(is_replacement, edits))


THERE_AND_BACK = [case for case in CHANGED if case.title not in ONE_WAY]
PURE = [case for case in THERE_AND_BACK if is_pure(case)]
OTHERS = [case for case in THERE_AND_BACK if case not in PURE]


def title(case: Case) -> str:
    """Return how a test of a case is called."""
    return case.title


@pytest.mark.parametrize("case", PURE, ids=title)
def test_replaced_names_come_back_byte_for_byte(case: Case) -> None:
    assert there_and_back(case) == case.before


@pytest.mark.parametrize("case", OTHERS, ids=title)
def test_what_was_added_is_stable_from_then_on(case: Case) -> None:
    back = there_and_back(case)
    assert back != case.after
    assert examine(back, case.file, NAMES[case.names]).after == case.after


def test_both_kinds_of_cases_are_there() -> None:
    assert len(PURE) > 40
    assert len(OTHERS) > 70
