"""A report as SARIF 2.1.0, which code hosts show beside the lines.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from codemods.edits import Edit
from codemods.findings import Outcome
from codemods.project import FileReport, Report

_RULES = {
    "legacy-name": ("A legacy name that can be replaced", "warning"),
    "needs-a-look": ("A legacy name that a human must decide on", "warning"),
    "value-changes": ("A value that becomes another one", "note"),
    "not-read": ("A file that could not be read", "error"),
}


def document(report: Report) -> dict[str, Any]:
    """Return a report as a SARIF document, ready for JSON."""
    results: list[dict[str, Any]] = []
    for file in report.files:
        results += [_change(file, edit) for edit in file.part.edits]
        results += [
            _result(
                "needs-a-look", f"{f.name}: {f.reason}", file.path, _region(file, f.start, f.end)
            )
            for f in file.part.findings
            if f.outcome is Outcome.LOOK
        ]
        results += [
            _result(
                "value-changes", f"{n.name}: {n.text}", file.path, _region(file, n.start, n.end)
            )
            for n in file.part.notes
        ]
    results += [_result("not-read", item.reason, item.path) for item in report.unread]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": _tool(), "columnKind": "unicodeCodePoints", "results": results}],
    }


def _tool() -> dict[str, Any]:
    rules = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}
        for name, (text, level) in _RULES.items()
    ]
    return {"driver": {"name": "compat-codemod", "rules": rules}}


def _change(file: FileReport, edit: Edit) -> dict[str, Any]:
    region = _region(file, edit.start, edit.end)
    text = f"{file.old(edit)} → {edit.new}: {edit.reason}" if file.old(edit) else edit.reason
    replacement = {"deletedRegion": region, "insertedContent": {"text": edit.new}}
    change = {"artifactLocation": _location(file.path), "replacements": [replacement]}
    fix = {"description": {"text": edit.reason}, "artifactChanges": [change]}
    return {**_result("legacy-name", text, file.path, region), "fixes": [fix]}


def _result(
    rule: str, text: str, path: Path, region: dict[str, int] | None = None
) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": _location(path)}
    if region is not None:
        place["region"] = region
    return {
        "ruleId": rule,
        "level": _RULES[rule][1],
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }


def _location(path: Path) -> dict[str, str]:
    return {"uri": path.as_uri() if path.is_absolute() else quote(path.as_posix())}


def _region(file: FileReport, start: int, end: int) -> dict[str, int]:
    first, last = file.position(start), file.position(end)
    return {
        "startLine": first[0],
        "startColumn": first[1],
        "endLine": last[0],
        "endColumn": last[1],
    }
