"""A mapping as Python source: it evaluates to an equal mapping, and reads like written by hand.

Revisions that autogenerate writes hold it, so that they work without anything else.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from compat import rules
from compat.mapping import CodeName, Mapping, load
from compat.render import IMPORTS, render, render_module
from compat.tables import Column
from tests.compat.strategies import mappings, pure
from tests.compat.test_mapping import STATUS, one_column


def evaluate(source: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(IMPORTS, namespace)
    return eval(source, namespace)


@pure
@given(mappings())
def test_the_rendered_expression_evaluates_to_an_equal_mapping(original: Mapping) -> None:
    read = evaluate(render(original))
    assert read == original
    assert read.fingerprint == original.fingerprint


@pure
@given(mappings())
def test_indentation_changes_the_layout_only(original: Mapping) -> None:
    assert evaluate(render(original, indent=8)) == original


def test_decimals_survive_as_factors_and_as_mapped_values() -> None:
    pairs: Any = ((Decimal("1.50"), "x"),)
    for rule, kind, target in (
        (rules.Cast("a", "b", factor=Decimal("0.01")), "integer", "numeric(12,2)"),
        (rules.ValueMap("a", "b", pairs), "numeric(4,2)", "text"),
    ):
        found = one_column(kind, target, rule)
        assert evaluate(render(found)) == found


def test_names_in_code_are_rendered_and_do_not_touch_the_fingerprint_of_others() -> None:
    plain = one_column("integer", "text", STATUS, accept=("a",))
    code = (CodeName("shop.models.OrderLineItem", "shop.models.OrderLine"),)
    named = one_column("integer", "text", STATUS, accept=("a",), code=code)
    assert evaluate(render(named)) == named
    assert "code" not in plain.to_json()
    assert Mapping.from_json(named.to_json()) == named


def test_what_a_move_needs_is_rendered_and_does_not_touch_the_fingerprint_of_others() -> None:
    plain = one_column("integer", "text", STATUS, accept=("a",))
    moved = dataclasses.replace(plain, where="a > 1 AND b <> 'x'", orphans="skip")
    assert evaluate(render(moved)) == moved
    assert Mapping.from_json(moved.to_json()) == moved
    assert not {"where", "orphans"} & set(json.loads(plain.to_json()))
    assert moved.fingerprint != plain.fingerprint
    assert [len(mapping.reasons_against_view) for mapping in (plain, moved)] == [0, 2]


def test_a_short_mapping_reads_as_a_person_would_write_it() -> None:
    found = one_column("integer", "text", STATUS, accept=("a",))
    assert render(found) == GOLDEN.strip()


GOLDEN = """
Mapping(
    "lines",
    tables.Table(
        "public",
        "old",
        columns=(tables.Column("id", "integer", nullable=False), tables.Column("a", "integer")),
        constraints=(
            tables.Constraint(
                "old_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
        ),
    ),
    tables.Table(
        "public",
        "new",
        columns=(tables.Column("key", "integer", nullable=False), tables.Column("b", "text")),
        constraints=(
            tables.Constraint(
                "new_pkey",
                "primary_key",
                columns=("key",),
                definition="PRIMARY KEY (key)",
            ),
        ),
    ),
    rules=(rules.Column("id", "key"), rules.ValueMap("a", "b", ((1, "one"), (2, "two")))),
    accept=("a",),
)
"""


def test_a_long_line_is_broken_and_a_short_one_is_not() -> None:
    source = render(
        one_column("integer", "text", STATUS, *[Column(f"c{n}", "text") for n in "xyz"])
    )
    assert max(map(len, source.splitlines())) <= 100
    assert '            tables.Column("cx", "text"),\n' in source


@settings(pure, max_examples=5)
@given(mappings())
def test_a_rendered_module_loads_again(tmp_path_factory: Any, original: Mapping) -> None:
    path = tmp_path_factory.mktemp("rendered") / "m.py"
    path.write_text(render_module(original, note="drafted\nby hand"), encoding="utf-8")
    assert load(str(path)) == original


def test_a_rendered_module_is_as_the_formatter_and_the_linter_want_it(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    found = one_column("text", "numeric(9,2)", rules.Cast("a", "b"), accept=("a",))
    path.write_text(render_module(found, note="drafted"), encoding="utf-8")
    for command in ("format --check", "check --select E,F,W,I"):
        arguments = [sys.executable, "-m", "ruff", *command.split(), "--isolated"]
        done = subprocess.run(
            [*arguments, "--line-length", "100", str(path)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
