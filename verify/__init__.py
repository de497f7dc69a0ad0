"""Verifies that an application cannot tell the compatibility view from the legacy table.

Counts, contents, and statements tried on the view and on a twin of the table, then rolled back.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verify.report import Finding, MappingReport, Report, Result, Status
    from verify.runner import run

__all__ = ["Finding", "MappingReport", "Report", "Result", "Status", "run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: `compat-verify --help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("verify.runner" if name == "run" else "verify.report"), name)
