"""The report as files: what stands in them, that nothing breaks them, and how the page looks.

The page is opened in Chromium where there is one; what can be told from its text is told anyway.
"""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from compat.errors import CompatError
from tests import repository
from verify import reports
from verify.report import (
    Finding,
    MappingReport,
    Measure,
    Report,
    Result,
    does_not_hold,
    holds,
    not_run,
)
from verify.reports import junit, page

NASTY = 'a <b> & "c" | *d* `e` [f](g) é😀'


def mapping(name: str, *results: Result) -> MappingReport:
    return MappingReport(
        name,
        "f1",
        "cutover",
        "instead_of",
        '"p"."a"',
        '"p"."v"',
        '"p"."b"',
        tuple(results),
    )


@pytest.fixture
def report() -> Report:
    numbers = (
        ("legacy", 2000), ("view", 1999), ("differing", 5), ("missing", 1), ("extra", 0),
        ("changed", 4), ("changed qty", 4), (f"changed {NASTY}", 1),
    )  # fmt: skip
    findings = (
        Finding("changed", "id = '4'", "qty: '4' in the table, '5' in the view"),
        Finding("function", NASTY, f"was edited:\n- {NASTY}\n+ \x1b[31m</pre><script>x()</script>"),
    )
    all_equal = (("legacy", 3), ("extra", 0), ("differing", 0))
    measures = (
        Measure("read of one row by key", (0.1, 0.2), (0.15, 0.5)),
        Measure(f"update {NASTY}", (0.2, 0.3), (1.0, 1.5)),
    )
    slow = (Finding("slow", f"update {NASTY}", "5.00 ×, more than 3 ×"),)
    return Report(
        (
            mapping(
                "orders",
                holds("counts", "2,000 rows on both sides", seconds=0.25),
                does_not_hold("contents", "5 rows differ", findings, 5, numbers=numbers),
                not_run("probes", "permission denied: x may not INSERT", notes=(NASTY,)),
                does_not_hold("performance", "dearer than it may be", slow, measures=measures),
            ),
            mapping(
                NASTY,
                holds("contents", "3 rows", numbers=all_equal),
            ),
        )
    )  # fmt: skip


def test_junit_has_a_suite_for_each_mapping_and_what_was_not_made_is_an_error(
    report: Report,
) -> None:
    root = ElementTree.fromstring(junit.render(report))
    first, second = root.findall("testsuite")
    assert (first.get("name"), second.get("name")) == ("orders", NASTY)
    assert {k: first.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "2",
        "errors": "1",
        "skipped": "0",
    }
    cases = {case.get("name"): case for case in first.findall("testcase")}
    assert cases["counts"].get("time") == "0.25"
    assert cases["counts"].get("classname") == "compat-verify.orders"
    failure = cases["contents"].find("failure")
    assert failure is not None
    assert failure.get("message") == "5 rows differ"
    assert "</pre><script>x()</script>" in (failure.text or "")
    assert "\x1b" not in (failure.text or "")
    error = cases["probes"].find("error")
    assert error is not None
    assert error.get("type") == "not run"


def test_markdown_is_added_to_a_file_and_takes_nothing_for_markup(
    report: Report, tmp_path: Path
) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    reports.write(report, junit_to=None, html_to=None, markdown_to=path)
    text = path.read_text()
    assert text.startswith("before\n## compat-verify: ❌ It does not hold\n")
    assert "| contents | ❌ does not hold | 5 rows differ | 0.00 s |" in text
    assert "| probes | ⚠️ not run |" in text
    assert '| update a &lt;b&gt; &amp; "c" \\| \\*d\\* \\`e\\` \\[f\\](g) é😀 | 0.200 ms' in text
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5, 6}


class Outline(HTMLParser):
    """Checks that every element is closed, and gathers what refers to something."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.widths: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "action", "data")]
        self.widths += [v or "" for k, v in attrs if tag == "rect" and k == "width"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_well_formed_file_with_all_figures(report: Report) -> None:
    text = page.render(report)
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.references == []
    assert "script" not in outline.tags
    assert re.search(r"url\(|@import|https?:", text) is None
    assert 'name="viewport" content="width=device-width' in text
    for figure in (
        "99.7500 % of 2,000 rows, 5 differ",
        "100 % of 3 rows",
        "orders: qty",
        "1.50 × (0.100 → 0.150 ms)",
        "5.00 × (0.200 → 1.000 ms)",
        "permission denied: x may not INSERT",
        "&lt;/pre&gt;&lt;script&gt;",
    ):
        assert figure in text, figure
    filled = [float(width) for width in outline.widths if width != "100"]
    assert filled == [99.75, 100.0, 100.0, 25.0, 30.0, 50.0, 100.0, 100.0]


def test_what_differs_never_looks_like_all_of_it(report: Report) -> None:
    numbers = (("legacy", 10**9), ("extra", 0), ("differing", 1))
    (bar,) = page.matches([mapping("m", does_not_hold("contents", "x", (), numbers=numbers))])
    assert bar.text == "> 99.9999 % of 1,000,000,000 rows, 1 differ"


def test_a_file_that_cannot_be_written_is_told(report: Report, tmp_path: Path) -> None:
    with pytest.raises(CompatError, match="cannot be written"):
        reports.write(report, junit_to=tmp_path, html_to=None, markdown_to=None)


# -- in a browser -----------------------------------------------------------------------------


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


def looked_at(path: Path, program: str) -> tuple[dict[str, Any], list[str]]:
    """Return what a browser the size of a phone measures, and what it asked the network for."""
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 360, "height": 740})
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        measured: dict[str, Any] = tab.evaluate(
            """() => ({
                width: document.documentElement.scrollWidth,
                title: document.title,
                text: parseFloat(getComputedStyle(document.body).fontSize),
                charts: [...document.querySelectorAll('section')].map(s => s.id),
                shares: [...document.querySelectorAll('#matches .share')].map(
                    r => Math.round(100 * r.getBoundingClientRect().width
                                    / r.ownerSVGElement.getBoundingClientRect().width)),
                heights: [...document.querySelectorAll('svg')].map(
                    s => s.getBoundingClientRect().height),
            })"""
        )
        browser.close()
    return measured, asked


def test_the_page_is_readable_on_a_phone_and_asks_nobody_for_anything(
    report: Report, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    reports.write(report, junit_to=None, html_to=path, markdown_to=None)
    program = chromium()
    if program is None:  # what keeps a page from fitting, as far as its text tells
        text = path.read_text(encoding="utf-8")
        assert re.search(r"nowrap|<table|(?<!max-)width:\s*\d+(px|rem)", text) is None
        assert "overflow-wrap: anywhere" in text
        assert re.search(r'<svg(?! viewBox="0 0 100 1" preserveAspectRatio="none")', text) is None
        return
    measured, asked = looked_at(path, program)
    assert [url[:5] for url in asked] == ["file:"]
    assert measured["width"] == 360  # nothing to scroll sideways
    assert measured["title"] == "compat-verify: It does not hold"
    assert measured["text"] == 16
    assert measured["charts"] == ["matches", "columns", "ratios"]
    assert measured["shares"] == [100, 100]
    assert min(measured["heights"]) > 5


def test_continuous_integration_has_a_browser_to_look_with() -> None:
    script = (repository.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"apt-get install .*chromium", script)
