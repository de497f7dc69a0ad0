"""The command `compat-codemod`: moves applications to the target names of a mapping.

Only reads arguments and prints. Nothing is written without --write.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from codemods import files, project, report, sources
from compat.console import COULD_NOT_RUN, DOES_NOT_HOLD, err, out, print_json, reporting_errors
from compat.errors import CompatError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

HELP = """
Rewrite applications from the legacy names of a mapping to the target names.

Finds SQLAlchemy models, Tables and keys, and SQL in Python strings and .sql files. Names are
replaced where they stand; nothing else in a file changes. Attributes, keys and the names of
outputs stay, so that the rest of the program goes on as it is.

Each hit of a legacy name ends as *changed*, as *unrelated*, or in the list of what *needs a look*.

**Examples**

* `compat-codemod app/ --mapping order_line_items.json` shows the diff and the lists
* `compat-codemod app/ --mapping mappings.py:LINES --write` makes the changes
* `compat-codemod app/ queries.sql --mapping order_line_items.json --check` for CI
* `compat-codemod app/ --url postgresql://localhost/shop` takes the mappings stored there

**Exit codes**: 0 done, or with --check nothing is left to change; 1 with --check something is;
2 it could not run.
"""


@app.command(help=HELP)
def command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH…", help="Files or directories; git's ignored files are not."),
    ],
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--mapping", "-m", help="FILE.json or FILE.py[:NAME]; may be given several times."
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            "-u",
            envvar="COMPAT_DATABASE_URL",
            help="Database: its mappings if no --mapping is given, and what columns its other"
            " tables have.",
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Make the changes.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when something is left to change.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List what is unrelated as well.")
    ] = False,
) -> None:
    """Search, show, and write if asked to."""
    # The parser warns of statements that it reads as plain commands; they are reported here.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    with reporting_errors():
        if write and check:
            raise CompatError("--write and --check exclude each other", "give one of them")
        found = project.run(paths, sources.names(mapping or [], url))
        if write:
            for file in found.files:
                if file.is_changed:
                    files.write(file.file, file.after)
        if as_json:
            print_json(report.document(found, wrote=write))
        else:
            report.show(found, out, verbose=verbose, wrote=write)
        if found.unread:
            err.print(f"{len(found.unread)} files could not be read")
            raise SystemExit(COULD_NOT_RUN)
        if check and found.totals.edits:
            raise SystemExit(DOES_NOT_HOLD)


def main() -> None:
    """Run the command line."""
    app()
