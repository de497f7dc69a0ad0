"""SQL texts beyond the corpus: positions, masks, and generated statements.

What is rewritten parses again, and to the same tree but for the names.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemods import sql
from codemods.edits import Edit, OverlappingEdits, apply
from codemods.findings import Outcome
from codemods.sql import lexer, postgres
from codemods.sql.lexer import Kind
from tests.codemods.cases import NAMES, ORDER_LINES

DEFAULT = NAMES["default"]
RENAMED = [c.legacy for c in ORDER_LINES.columns if c.target != c.legacy]


def rewritten(text: str) -> str:
    return apply(text, sql.rewrite(text, DEFAULT).edits)


def test_edits_are_applied_whatever_their_order_and_never_when_they_overlap() -> None:
    assert apply("abc", [Edit(2, 3, "C"), Edit(0, 1, "A"), Edit(1, 1, "-")]) == "A-bC"
    with pytest.raises(OverlappingEdits):
        apply("abc", [Edit(0, 2, "x"), Edit(1, 3, "y")])


def test_a_mask_has_the_length_of_the_text() -> None:
    text = "SELECT %(a)s, %s, :b, $1, {x!r}, 'it''s :c' -- :d\n, E'\\' :e', $q$ :f $q$, a::int"
    found = lexer.segments(text)
    for masked in lexer.masks(text, found):
        assert len(masked) == len(text)
        assert "':c'"[1:] in masked.replace("it''s ", "'")


def test_a_statement_begins_with_its_first_sign() -> None:
    """A dump has megabytes of masked rows between two statements; nobody reads them twice."""
    text = "SELECT 1;" + " \n" * 1_000 + "-- b\nSELECT 2; ;\n"
    found = lexer.segments(text)
    assert [text[a:b] for a, b in lexer.statements(text, found)] == [
        "SELECT 1",
        "-- b\nSELECT 2",
        "",
    ]
    assert [s.kind for s in found] == [Kind.SEMICOLON, Kind.COMMENT, Kind.SEMICOLON, Kind.SEMICOLON]


def test_a_semicolon_inside_a_string_does_not_end_a_statement() -> None:
    text = "SELECT ';', $$;$$, \";\" /* ; */ -- ;\n; SELECT 2"
    spans = list(lexer.statements(text, lexer.segments(text)))
    assert [text[a:b].strip()[-1] for a, b in spans] == [";", "2"]


def test_signs_beyond_the_basic_plane_do_not_shift_positions() -> None:
    before = "SELECT '😀', qty FROM order_line_items WHERE note = '😀' OR qty = 1"
    after = (
        "SELECT '😀', quantity AS qty FROM order_line_items_v2 WHERE note = '😀' OR quantity = 1"
    )
    assert rewritten(before) == after


def test_a_statement_is_rewritten_as_a_whole_or_not_at_all() -> None:
    text = "UPDATE order_line_items SET qty = 1 FROM orders WHERE line_no = 2"
    result = sql.rewrite(text, DEFAULT)
    assert not result.edits
    assert {f.outcome for f in result.findings} == {Outcome.LOOK}


def test_an_expression_is_rewritten_over_its_table() -> None:
    text = "qty > 0 AND note <> 'qty' -- pieces"
    result = sql.rewrite_expression(text, DEFAULT, ORDER_LINES)
    assert apply(text, result.edits) == "quantity > 0 AND note <> 'qty' -- pieces"


def test_an_expression_that_is_none_stays() -> None:
    result = sql.rewrite_expression("qty >", DEFAULT, ORDER_LINES)
    assert not result.edits
    assert [f.outcome for f in result.findings] == [Outcome.LOOK]


names = st.sampled_from([c.legacy for c in ORDER_LINES.columns])
spelled = st.tuples(names, st.sampled_from(["plain", "upper", "quoted", "alias"])).map(
    lambda pair: {
        "plain": pair[0],
        "upper": pair[0].upper(),
        "quoted": f'"{pair[0]}"',
        "alias": f"t.{pair[0]}",
    }[pair[1]]
)
values = st.sampled_from(["%s", "%(x)s", ":x", "$1", "3", "'qty'", "NULL"])
conditions = st.builds(
    lambda column, sign, value: f"{column} {sign} {value}",
    spelled,
    st.sampled_from(["=", "<>", "IS DISTINCT FROM", ">"]),
    st.one_of(values, spelled),
)
selects = st.builds(
    lambda items, where, group: (
        f"SELECT {', '.join(items)} FROM order_line_items AS t WHERE {' AND '.join(where)}{group}"
    ),
    st.lists(spelled, min_size=1, max_size=4),
    st.lists(conditions, min_size=1, max_size=3),
    st.sampled_from(["", " LIMIT %s", " FOR UPDATE", " OFFSET 3"]),
)
updates = st.builds(
    lambda column, value, where: (
        f"UPDATE order_line_items t SET {column} = {value} WHERE {where} RETURNING {column}"
    ),
    names,
    st.one_of(values, spelled),
    conditions,
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(selects, updates))
def test_generated_statements_are_rewritten_in_full_and_only_once(text: str) -> None:
    result = sql.rewrite(text, DEFAULT)
    after = apply(text, result.edits)
    assert result.edits, text
    assert not sql.rewrite(after, DEFAULT).edits
    plain = [f for f in result.findings if f.kind == "table"]
    assert all(f.outcome is Outcome.CHANGED for f in plain)
    left = [f for f in result.findings if f.outcome is Outcome.LOOK]
    assert {f.name.lower() for f in left} <= {"status"}
    assert len(result.findings) == len(DEFAULT.find(text))


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="SELECT FROM qty,.*'\"();:%s{}$-/order_line_items\n", max_size=60))
def test_no_text_makes_it_fail_and_every_hit_is_found(text: str) -> None:
    text = f"SELECT {text} FROM order_line_items"
    result = sql.rewrite(text, DEFAULT)
    assert len(result.findings) == len(DEFAULT.find(text))
    assert not sql.rewrite(apply(text, result.edits), DEFAULT).edits


@pytest.mark.parametrize(
    ("before", "edits", "same"),
    [
        ("SELECT qty FROM t", [Edit(7, 10, "quantity AS qty"), Edit(16, 17, "v2")], True),
        ("SELECT 'a'::regclass FROM t", [Edit(8, 9, "b")], True),
        ("SELECT qty FROM t", [Edit(16, 17, 'sales."T"')], True),
        ("SELECT qty, 1 FROM t", [Edit(12, 13, "2")], False),
        ("SELECT qty FROM t", [Edit(7, 10, "quantity + 1")], False),
        ("SELECT a, b FROM t", [Edit(7, 8, "b, a")], False),
    ],
)
def test_postgres_says_whether_only_names_differ(
    before: str, edits: list[Edit], same: bool
) -> None:
    assert postgres.is_available()
    assert postgres.same_but_for(before, edits) is same


def test_what_postgres_cannot_read_is_not_judged() -> None:
    assert postgres.same_but_for("SELECT %s FROM t", [Edit(15, 16, "v2")]) is None
