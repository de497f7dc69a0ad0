"""The command `compat-codemod`: moves applications to the target names of a mapping.

Only reads arguments, asks and prints. Nothing is written without --write or --interactive.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from compat.console import (
    COULD_NOT_RUN,
    DOES_NOT_HOLD,
    err,
    out,
    print_json,
    reporting_errors,
    to_json,
)
from compat.errors import CompatError

if TYPE_CHECKING:
    from codemods.interactive import Answer, Change
    from codemods.project import Report

REWRITE = "rewrite"

HELP = """
Rewrite applications from the legacy names of a mapping to the target names.

Finds SQLAlchemy models, Tables and keys, SQL in Python strings, .sql files (psql scripts, dbt
models), and SQL, Python and names as code in Markdown and reStructuredText. Names are replaced
where they stand; nothing else in a file changes. Attributes, keys and the names of outputs stay,
so that the rest of the program goes on as it is.

Each hit of a legacy name ends as *changed*, as *unrelated*, or in the list of what *needs a look*.

`compat-codemod scan` lists the statements that the compatibility view cannot serve.

**Examples**

* `compat-codemod app/ --mapping order_line_items.json` shows the diff and the lists
* `compat-codemod app/ --mapping mappings.py:LINES --write` makes the changes
* `compat-codemod app/ queries.sql --mapping order_line_items.json --check` for CI
* `compat-codemod app/ --url postgresql://localhost/shop` takes the mappings stored there
* `compat-codemod scan app/ --mapping order_line_items.json` before the plan is made

**Exit codes**: 0 done, or with --check nothing is left to change; 1 with --check something is;
2 it could not run.
"""


class _RewriteByDefault(TyperGroup):
    """Takes the first command when the first argument is not the name of one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = [REWRITE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RewriteByDefault,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=HELP,
)

Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH…", help="Files or directories; git's ignored files are not."),
]
Mappings = Annotated[
    list[str] | None,
    typer.Option(
        "--mapping", "-m", help="FILE.json or FILE.py[:NAME]; may be given several times."
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        "-u",
        envvar="COMPAT_DATABASE_URL",
        help="Database: its mappings if no --mapping is given, and what columns its other"
        " tables have.",
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", help="Only files that match, as in .gitignore; may be repeated."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="No files that match, as in .gitignore; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command(REWRITE, help=HELP)
def rewrite(
    paths: Paths,
    mapping: Mappings = None,
    url: Url = None,
    write: Annotated[bool, typer.Option("--write", help="Make the changes.")] = False,
    interactive: Annotated[
        bool,
        typer.Option("--interactive", "-i", help="Ask for each change, and make those wanted."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write to files with changes that git does not have.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when something is left to change.")
    ] = False,
    output_names: Annotated[
        Literal["legacy", "new"],
        typer.Option(help="Names of a statement's results: SELECT quantity AS qty, or quantity."),
    ] = "legacy",
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Rename attributes of models as well.")
    ] = False,
    migrations: Annotated[
        bool, typer.Option("--migrations", help="Rewrite Alembic and Django migrations too.")
    ] = False,
    table_call: Annotated[
        list[str] | None,
        typer.Option(
            "--table-call",
            metavar="FUNCTION[:TABLE[:COLUMNS]]",
            help="A function that takes a table's name as text, and by which argument (position"
            " or name): load_rows:1:columns; may be repeated.",
        ),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Processes; 0 for one per core.")
    ] = 0,
    as_json: Json = False,
    sarif: Annotated[Path | None, typer.Option(help="Write the report as SARIF 2.1.0.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML page.")] = None,
    log: Annotated[
        Path | None, typer.Option(help="Append what changes, file by file, to this file.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List what is unrelated as well.")
    ] = False,
) -> None:
    """Search, show, and write if asked to."""
    with reporting_errors():
        if (write or interactive) and check:
            raise CompatError("--write and --check exclude each other", "give one of them")
        # Heavy imports, which --help and a mistake in the arguments do not need.
        from codemods import project, sources
        from codemods.files import Choice
        from codemods.settings import TABLE_CALLS, Settings, TableCall

        calls = (*TABLE_CALLS, *map(TableCall.parse, table_call or ()))
        names = sources.names(
            mapping or [],
            url,
            outputs=output_names,
            settings=Settings(attributes=attributes, migrations=migrations, calls=calls),
        )
        choice = Choice(tuple(include or ()), tuple(exclude or ()))
        found = project.run(paths, names, choice=choice, jobs=jobs or os.cpu_count() or 1)
        if interactive:
            from codemods import interactive as dialogue

            found = dialogue.chosen(found, _ask)
        if write or interactive:
            _write(found, force=force)
        _report(found, wrote=write or interactive, as_json=as_json, verbose=verbose)
        _save(found, sarif, html, log, wrote=write or interactive)
        if found.unread:
            err.print(f"{len(found.unread)} files could not be read")
            raise SystemExit(COULD_NOT_RUN)
        if check and found.totals.edits:
            raise SystemExit(DOES_NOT_HOLD)


SCAN_HELP = """
List the statements of applications that the planned compatibility view cannot serve.

ON CONFLICT, TRUNCATE, COPY, LOCK, MERGE, WHERE CURRENT OF, ctid, GROUP BY the key only, foreign
keys and indexes on the name, and reflection: in SQL, in strings and as SQLAlchemy and Django spell
it. What a comment `compat: ignore` stands beside is left out.

**Examples**

* `compat-codemod scan app/ --mapping order_line_items.json`
* `compat-codemod scan app/ --mapping mappings.py:LINES --json > needs.json`

**Exit codes**: 0 the view serves everything that was found; 1 it does not; 2 it could not run.
"""


@app.command("scan", help=SCAN_HELP)
def scan(
    paths: Paths,
    mapping: Mappings = None,
    url: Url = None,
    server_version: Annotated[
        int | None,
        typer.Option(help="PostgreSQL's major version, if no database tells.", min=9),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Search and show."""
    with reporting_errors():
        from codemods import scan as scanner
        from codemods import sources
        from codemods.files import Choice
        from codemods.reports import terminal

        given = sources.given(mapping or [], url)
        found = scanner.run(
            paths,
            given.mappings,
            server_version=server_version or given.server_version,
            choice=Choice(tuple(include or ()), tuple(exclude or ())),
        )
        if as_json:
            print_json(found.document())
        else:
            terminal.show_scan(found, out)
        if found.unread:
            err.print(f"{len(found.unread)} files could not be read")
            raise SystemExit(COULD_NOT_RUN)
        if found.not_served:
            raise SystemExit(DOES_NOT_HOLD)


def _write(found: Report, *, force: bool) -> None:
    from codemods import files

    changed = [file for file in found.files if file.is_changed]
    dirty = [] if force else files.uncommitted(file.path for file in changed)
    if dirty:
        shown = ", ".join(str(path) for path in dirty[:5]) + (", …" if len(dirty) > 5 else "")
        raise CompatError(
            f"{len(dirty)} of {len(changed)} files to change hold work that git does not have:"
            f" {shown}",
            "commit or stash it, or give --force",
        )
    # Definitions come last, so that after an interrupted run the next one still finds their users.
    changed.sort(key=lambda file: file.defines)
    with files.undisturbed() as is_interrupted:
        for done, file in enumerate(changed):
            if is_interrupted():
                err.print(f"{done} of {len(changed)} files are written, the others as they were")
                raise KeyboardInterrupt
            files.write(file.file, file.after)


def _report(found: Report, *, wrote: bool, as_json: bool, verbose: bool) -> None:
    from codemods.reports import document, terminal

    if as_json:
        print_json(document.document(found, wrote=wrote))
    else:
        terminal.show(found, out, verbose=verbose, wrote=wrote)


def _save(
    found: Report, sarif: Path | None, html: Path | None, log: Path | None, *, wrote: bool
) -> None:
    from codemods.reports import log as as_log
    from codemods.reports import page as as_page
    from codemods.reports import sarif as as_sarif

    try:
        if sarif is not None:
            sarif.write_text(to_json(as_sarif.document(found)), encoding="utf-8")
        if html is not None:
            html.write_text(as_page.render(found, wrote=wrote), encoding="utf-8")
        if log is not None:
            with log.open("a", encoding="utf-8") as stream:
                stream.write(as_log.render(found, wrote=wrote))
    except OSError as error:
        raise CompatError(
            f"{error.filename} cannot be written: {error.strerror}", "name another file"
        ) from error


def _ask(change: Change) -> Answer:
    from rich.prompt import Prompt

    from codemods.interactive import Answer
    from codemods.reports import terminal

    terminal.show_change(change, err)
    try:
        answer = Prompt.ask(
            "make this change? yes, no, all, quit",
            choices=[answer.value for answer in Answer],
            default=Answer.YES.value,
            console=err,
        )
    except EOFError:  # nobody answers
        return Answer.QUIT
    return Answer(answer)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    app(arguments)
