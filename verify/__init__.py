"""Verifies that an application cannot tell the compatibility view from the legacy table.

Counts, contents, and statements tried on the view and on a twin of the table, then rolled back.
"""

from verify.report import Finding, MappingReport, Report, Result, Status
from verify.runner import run

__all__ = ["Finding", "MappingReport", "Report", "Result", "Status", "run"]
