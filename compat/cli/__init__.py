"""The command line `compat`: its commands, one file for each kind.

Whatever changes a database needs --execute.
"""

from __future__ import annotations

from compat.cli import copy, demo, move, plan, status, steps, switch, usage
from compat.cli.app import app

__all__ = ["app", "copy", "demo", "main", "move", "plan", "status", "steps", "switch", "usage"]


def main() -> None:
    """Run the command line."""
    app()
