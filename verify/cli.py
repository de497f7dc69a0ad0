"""The command `compat-verify`: exit code 0 when all holds, 1 when not, 2 when it could not be told.

Only the report goes to standard output; what a user must put right goes to standard error.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compat.console import err, reporting_errors
from compat.errors import ConnectionFailed, MappingError

if TYPE_CHECKING:
    from compat.connection import Connection
    from compat.mapping import Mapping
    from verify.report import MappingReport
    from verify.workload.reading import Workload

_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_DEFAULTS = "structure,counts,contents,integrity,losses,probes,concurrency"


@_app.command()
def verify(
    url: Annotated[
        str | None,
        typer.Argument(
            help="postgresql://user@host/database; by default COMPAT_DATABASE_URL or DATABASE_URL",
            show_default=False,
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this stored mapping; may be given again. With --source: FILE.json or "
            "FILE.py[:NAME].",
            show_default=False,
        ),
    ] = None,
    checks: Annotated[
        str | None,
        typer.Option(
            help="Which checks, separated by commas; there are also workload and performance.",
            show_default=_DEFAULTS,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="How many differences are shown; totals are exact.")
    ] = 10,
    lock_timeout: Annotated[
        int,
        typer.Option(min=1, help="Milliseconds that a probe waits for a row of an application."),
    ] = 500,
    record: Annotated[
        bool,
        typer.Option(
            help="Remember the run in the database; `compat cutover` asks for a green one."
        ),
    ] = True,
    source: Annotated[
        str | None,
        typer.Option(
            help="URL of the database with the legacy table, when the target is in another one; "
            "else COMPAT_SOURCE_URL.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="URL of the database with the target; else COMPAT_TARGET_URL.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Ranges of rows that are compared side by side.")
    ] = 2,
    dask: Annotated[
        str | None,
        typer.Option(help="Dask scheduler (tcp://host:8786) that takes the ranges."),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(help="Compare only so many percent of the rows; such a run is not recorded."),
    ] = None,
    min_match: Annotated[
        list[str] | None,
        typer.Option(
            help="Percent of the rows that must match, or MAPPING=PERCENT; may be given again.",
            show_default="100",
        ),
    ] = None,
    settle: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds in which differing rows of two live databases may come to agree."
        ),
    ] = 5.0,
    differences: Annotated[
        str | None,
        typer.Option(
            help="Write all differences to FILE.csv, FILE.jsonl or table:SCHEMA.NAME.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Keep the progress in this file, and go on from it after an interruption.",
            show_default=False,
        ),
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            help="Count also by this legacy column, of all mappings or MAPPING=COLUMN; may be "
            "given again.",
            show_default=False,
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(help="TOML or JSON file of what must hold.", show_default=False),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option(help="Statements of yours to probe besides: SQL.", show_default=False),
    ] = None,
    workload: Annotated[
        Path | None,
        typer.Option(
            help="Statements of applications to compare: SQL, a csvlog (.csv) or jsonlog (.json), "
            "or the word pg_stat_statements.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="Queries to time besides single rows: SQL.", show_default=False),
    ] = None,
    max_ratio: Annotated[
        float,
        typer.Option(min=0, help="How many times as long as on the table a statement may take."),
    ] = 3.0,
    junit: Annotated[
        Path | None, typer.Option(help="Write the report as JUnit XML.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write it as a page with charts.", show_default=False)
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Add it to a file, say $GITHUB_STEP_SUMMARY.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare the compatibility views of a database with the tables whose place they take.

    Reads the stored mappings; compares structure, row counts and every row; tries statements on
    the view and on a twin of the table; lets two sessions race on a copy of the view. Nothing of
    it stays but the record of the run. A file of statements asks for its check.
    With --source, compares the rows of a legacy table with those of a target in another database.

    Exit code: 0 all of it holds, 1 something does not, 2 something could not be checked.

    Example: `compat-verify --checks counts,contents --min-match 99.99 --differences found.csv`
    """
    # Not before: --help, and what is wrong in the arguments, are told at once.
    from compat.connection import connect, user_errors
    from verify import between, reports, rulebook, runner, sinks, terminal
    from verify.options import Options, percent_of, thresholds
    from verify.workload import reading

    with ExitStack() as stack:
        stack.enter_context(reporting_errors())
        stack.enter_context(user_errors())
        options = Options(
            workers=workers,
            dask=dask,
            sample=None if sample is None else percent_of(sample, "--sample"),
            settle=settle,
            thresholds=thresholds(min_match or ()),
            group_by=tuple(group_by or ()),
            rules=rulebook.Rulebook() if rules is None else rulebook.load(rules),
            resume=resume,
            differences=stack.enter_context(sinks.opened(differences, target or url)),
        )
        on_start = stack.enter_context(terminal.progress(quiet=as_json))
        if source is None and target is None and not _is_file(mapping):
            conn = stack.enter_context(connect(url, purpose="verify"))
            database = conn.info.dbname
            options = replace(
                options,
                probes=_statements(probes, database) or reading.NOTHING,
                workload=_statements(workload, database),
                queries=_statements(queries, database) or reading.NOTHING,
                max_ratio=max_ratio,
            )
            asked = {"workload": workload is not None, "performance": queries is not None}
            extra = [name for name, is_asked in asked.items() if is_asked]
            report = runner.run(
                conn,
                _names(checks, (*runner.DEFAULTS, *extra)),
                mapping,
                limit=limit,
                lock_timeout=lock_timeout,
                on_start=on_start,
                # A look at a few of the rows vouches for nothing.
                record=partial(remember, conn) if record and sample is None else None,
                options=options,
            )
        else:
            legacy, other = (
                stack.enter_context(connect(_given(value, option), purpose="verify"))
                for value, option in ((source, "source"), (target or url, "target"))
            )
            report = between.run(
                legacy,
                other,
                _mapping_file(mapping),
                _names(checks, between.NAMES),
                limit=limit,
                options=options,
                on_start=on_start,
            )
        reports.write(report, junit_to=junit, html_to=html, markdown_to=markdown)
    if as_json:
        print(report.to_json())
    else:
        terminal.show(report)
    raise typer.Exit(report.exit_code)


def _is_file(mapping: list[str] | None) -> bool:
    return any(name.endswith(".json") or ".py" in name for name in mapping or ())


def _names(checks: str | None, all_of_them: tuple[str, ...]) -> list[str]:
    if checks is None:
        return list(all_of_them)
    return [name.strip() for name in checks.split(",") if name.strip()]


def _statements(path: Path | None, database: str) -> Workload | None:
    """Return the statements in a file; None without one, or when the server is to tell them."""
    from verify.workload import reading

    if path is None or str(path) == reading.STATISTICS:
        return None
    return reading.load(path, database)


def _given(url: str | None, option: str) -> str:
    """Return the URL of one of two databases: as given, or from the environment.

    :raises ConnectionFailed: neither
    """
    variable = f"COMPAT_{option.upper()}_URL"
    found = url or os.environ.get(variable)
    if not found:
        raise ConnectionFailed(
            f"no {option} database was named", f"give --{option} URL, or set {variable}"
        )
    return found


def _mapping_file(names: list[str] | None) -> Mapping:
    """Return the one mapping that a comparison of two databases needs.

    :raises MappingError: none, more than one, or no such file
    """
    from compat.mapping import load

    if not names or len(names) > 1:
        raise MappingError(
            "two databases are compared by one mapping",
            "give --mapping FILE.json or FILE.py[:NAME]",
        )
    return load(names[0])


def remember(conn: Connection, report: MappingReport) -> None:
    """Record a run over one mapping in the database, or say why that cannot be done."""
    import psycopg

    from compat.run import verifications

    try:
        verifications.record(
            conn,
            report.name,
            fingerprint=report.fingerprint,
            phase=report.phase,
            seconds=sum(result.seconds for result in report.results),
            checks=tuple(result.check for result in report.results),
            verdict=report.verdict.value,
            summary={
                result.check: {
                    "verdict": result.status.value,
                    "summary": result.summary,
                    "numbers": dict(result.numbers),
                }
                for result in report.results
            },
        )
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.UndefinedTable,
    ) as error:
        reason = error.diag.message_primary
        err.print(f"note: this run of {report.name} is not remembered: {reason}", markup=False)


def main() -> None:
    """Run the command; a user's mistake gives a message and exit code 2, never a traceback."""
    _app()
