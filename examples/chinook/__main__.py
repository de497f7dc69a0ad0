"""Execute one of the scripts of this example: python -m examples.chinook sample"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cyclopts
import psycopg

from compat.connection import resolve_url

FOLDER = Path(__file__).parent

app = cyclopts.App(name="examples.chinook", help=__doc__, version_flags=[])


@app.default
def execute(script: Literal["sample", "targets", "references"], url: str | None = None) -> None:
    """Execute a script.

    :param script: the legacy tables with made-up rows, those of version 2, or what comes last
    :param url: the database (default: DATABASE_URL)
    """
    with psycopg.connect(resolve_url(url)) as conn:
        conn.execute((FOLDER / f"{script}.sql").read_bytes())


if __name__ == "__main__":
    app()
