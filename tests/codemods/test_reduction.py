"""What a module is reduced to before it is parsed, and that nothing is missed by it."""

from __future__ import annotations

import random
import re
import warnings
from collections import Counter
from pathlib import Path

import alembic
import pytest
import sqlalchemy

from codemods import python
from codemods.python import module
from codemods.python.reduction import reduced
from codemods.python.tree import Tree, parse
from codemods.renames import ColumnRename, Names, Renames
from codemods.settings import Settings

PADDING = f'"""{"A long enough module. " * 50}"""\n'


def kept(source: str, *wanted: str) -> str:
    """Return what stays of a module, without the padding."""
    text = reduced(PADDING + source, lambda piece: any(word in piece for word in wanted))
    assert len(text) == len(PADDING + source)
    return re.sub(r"\.\.\. +", "...", text[len(PADDING) :])


def test_bodies_in_which_nothing_is_wanted_are_left_out() -> None:
    source = (
        "def one(a=1):\n    # why\n    b = a\n    return b  # because\n\n\n"
        "class Two:\n    def first(self):\n        return qty\n\n    def second(self):\n"
        "        if self:\n            return 1\n        return 2\n"
    )
    assert kept(source, "qty") == (
        "def one(a=1):\n    # why\n    ...\n\n\n"
        "class Two:\n    def first(self):\n        return qty\n\n"
        "    def second(self):\n        ...\n"
    )


@pytest.mark.parametrize(
    "source",
    [
        "def f(): return 1\n",
        "def f(\n    a): return a + 1\n",
        "SQL = 'qty'\n\n\ndef f(x):\n    return x.execute(SQL + '')\n",
        "class A:\n    SQL = 'qty'\n\n    def f(self, x):\n        return x.execute(self.SQL)\n",
        "class A:\n    def f(self):\n        self.sql = (\n            'qty'\n        )\n\n"
        "    def g(self):\n        return self.sql + ''\n",
        "from models import qty as Q\n\n\ndef f():\n    return Q().something\n",
        "class Model:\n    qty = 1\n\n\ndef f():\n    return Model().other\n",
        "def f():\n    return 'q' \\\n        'ty'\n",
        "def f():\n    return 'q' + r'ty'\n",
        "def f():\n    return 'q\\x74y'\n",
        "def f():\n    global known\n    known = 1\n",
        "def f():\n    return 1  # compat: ignore-file\n",
        "def f(:\n    return 1 + 1\n",
    ],
)
def test_what_may_matter_stays(source: str) -> None:
    assert kept(source, "qty") == source


def test_offsets_and_line_ends_stay() -> None:
    source = PADDING + "def f():\r\n    return 'é'\r\n\r\n\r\ndef g():\r\n    return qty\r\n"
    text = reduced(source, lambda piece: "qty" in piece)
    assert text.index("def g") == source.index("def g")
    assert "é" not in text
    assert text.endswith("return qty\r\n")


def sampled() -> list[Path]:
    paths = [
        path
        for library in (sqlalchemy, alembic)
        for path in sorted(Path(library.__file__ or "").parent.rglob("*.py"))
        if 3_000 < path.stat().st_size < 25_000
    ]
    return random.Random(5).sample(paths, 40)


def test_the_analysis_of_what_is_left_is_the_analysis_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(5)
    left = whole = 0
    for path in sampled():
        source = path.read_text(encoding="utf-8")
        words = Counter(re.findall(r"\b[a-z][a-z_]{2,}\b", source))
        table, *columns = chance.sample([word for word, n in words.items() if n <= 8], 5)
        renames = Renames(
            *("sample", "public", table, "public", f"{table}_v2"),
            tuple(ColumnRename(c, f"new_{c}", "epoch" if c > "m" else None) for c in columns),
        )
        names = Names((renames,), settings=Settings(attributes=chance.random() < 0.5))
        with warnings.catch_warnings(action="ignore"):  # of the code that is read
            found = python.analyse(source, names, path=str(path))
            left += len(parse(source, names.may_concern).nodes)
            whole += len(parse(source).nodes)
            with monkeypatch.context() as patched:
                patched.setattr(module, "parse", _whole)
                assert found == python.analyse(source, names, path=str(path)), (path, names)
    assert left < 0.9 * whole


def _whole(source: str, wanted: object) -> Tree:
    del wanted
    return parse(source)
