"""The command line `compat`: draft, plan, expand, copy, cutover, rollback, contract, status, demo.

Whatever changes a database needs --execute.
"""

from __future__ import annotations

from compat.cli import copy, demo, plan, status, steps
from compat.cli.app import app

__all__ = ["app", "copy", "demo", "main", "plan", "status", "steps"]


def main() -> None:
    """Run the command line."""
    app()
