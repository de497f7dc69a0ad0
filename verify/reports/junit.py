"""JUnit XML: a suite for each mapping, a case for each check.

A check that was not made is an error, not skipped: servers count what is skipped as passed.
"""

from __future__ import annotations

import re

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from verify.report import MappingReport, Report, Result, Status

# What XML 1.0 cannot hold, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """Return the document."""
    document = JUnitXml("compat-verify")
    for mapping in report.mappings:
        document.add_testsuite(_suite(mapping))
    xml: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return '<?xml version="1.0" encoding="utf-8"?>\n' + xml.decode() + "\n"


def _suite(mapping: MappingReport) -> TestSuite:
    suite = TestSuite(_legal(mapping.name))
    for name in ("phase", "form", "legacy", "view", "target", "fingerprint"):
        suite.add_property(name, _legal(getattr(mapping, name)))
    for result in mapping.results:
        suite.add_testcase(_case(mapping, result))
    return suite


def _case(mapping: MappingReport, result: Result) -> TestCase:
    case = TestCase(result.check, _legal(f"compat-verify.{mapping.name}"), round(result.seconds, 3))
    if result.status is Status.HOLDS:
        case.system_out = _legal("\n".join((result.summary, *result.notes)))
        return case
    kind = Failure if result.status is Status.DOES_NOT_HOLD else Error
    problem = kind(_legal(result.summary), result.status.value)
    problem.text = _legal(
        "\n".join(
            [
                *(f"{finding.subject}: {finding.message}" for finding in result.findings),
                *(f"note: {note}" for note in result.notes),
            ]
        )
    )
    case.result = [problem]
    return case


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
