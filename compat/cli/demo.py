"""`compat demo`: the whole journey on a database of its own.

Only reads arguments; the work is in compat.demo.
"""

from __future__ import annotations

from typing import Annotated

import typer

from compat.cli.app import app
from compat.console import reporting_errors


@app.command()
def demo(
    rows: Annotated[int, typer.Option(help="Order lines to begin with.", min=100)] = 100_000,
    workers: Annotated[int, typer.Option(help="Shop processes that keep writing.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the data and of the shop's customers.")] = 1,
    keep: Annotated[bool, typer.Option(help="Keep the working directory (ledgers, logs).")] = False,
) -> None:
    """Run the whole journey on a database of its own, with a live shop on top. From a checkout.

    Example: `compat demo --rows 20000`
    """
    from compat.demo import run_demo

    with reporting_errors():
        raise SystemExit(run_demo(rows=rows, workers=workers, seed=seed, keep=keep))
