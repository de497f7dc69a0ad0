"""A report as plain values, for JSON: version 1, described in docs/codemod.md."""

from __future__ import annotations

import dataclasses
from typing import Any

from codemods.findings import Finding, Note
from codemods.project import FileReport, Report
from codemods.reports import lines


def document(report: Report, *, wrote: bool = False) -> dict[str, Any]:
    """Return a report as plain values, ready for JSON."""
    return {
        "version": 1,
        "written": wrote,
        "totals": dataclasses.asdict(report.totals),
        "files": [_file(file) for file in report.files],
        "unread": [{"path": str(item.path), "reason": item.reason} for item in report.unread],
    }


def _file(file: FileReport) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "problem": file.problem,
        "changes": [
            {
                **_place(file, edit.start),
                "old": file.old(edit),
                "new": edit.new,
                "reason": edit.reason,
            }
            for edit in file.part.edits
        ],
        "findings": [_finding(file, found) for found in file.part.findings],
        "notes": [_note(file, note) for note in file.part.notes],
        "diff": "".join(f"{line}\n" for line in lines.diff(file)),
    }


def _place(file: FileReport, offset: int) -> dict[str, Any]:
    line, column = file.position(offset)
    return {"line": line, "column": column}


def _finding(file: FileReport, found: Finding) -> dict[str, Any]:
    return {
        **_place(file, found.start),
        "name": found.name,
        "kind": found.kind,
        "outcome": found.outcome.value,
        "reason": found.reason,
        "new": found.new,
    }


def _note(file: FileReport, note: Note) -> dict[str, Any]:
    return {**_place(file, note.start), "name": note.name, "text": note.text}
