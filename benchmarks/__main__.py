"""`python -m benchmarks`: measure on one server in one run, and write the report."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import codemods, copying, load, moving, verifying, versions, views
from benchmarks.journey import Lookup, Side, Stage, open_side
from benchmarks.report import Aim, Part, Section, render
from compat.database import Database, DatabaseUnavailable, provide_database
from compat.mapping import Form
from compat.run.copy import CopyOptions

RESULTS = Path(__file__).with_name("RESULTS.md")
FORMS: tuple[Form, ...] = ("updatable", "bridged", "instead_of")
LOOKUPS: tuple[Lookup, ...] = ("with a lookup, kept", "with a lookup")
VIEW_AIMS = {"updatable": Aim(1.05), "bridged": Aim(1.35), "instead_of": Aim(3)}
VIEW_AIMS |= {lookup: Aim(3.5) for lookup in LOOKUPS}
COPY_AIM = Aim(0.7, at_least=True)
MOVE_AIM = Aim(0.6, at_least=True)

STAGES: dict[Stage, tuple[str, str]] = {
    "view": (
        "Through the view",
        "The legacy table against the view at its place, over a target with the same keys, checks "
        "and indexes. `updatable` renames every column; `instead_of` converts four of ten (text to "
        "numeric with a side column, a value map, Unix seconds, a flag), and so does `bridged`, "
        "whose target carries both shapes of these. The lookups are `instead_of` with one foreign "
        "key more that becomes a UUID, its legacy number kept in the target or not. Without "
        "preparing, every statement pays for planning through the view, some microseconds that "
        "show in short reads; an INSTEAD OF trigger runs a statement of its own for each row, "
        "which shows in large UPDATEs.",
    ),
    "forward": (
        "What legacy writers pay while rows are copied",
        "The legacy table with and without the sync triggers that carry each row into the target: "
        "two tables are written. Aims: bulk INSERT 2.2 ×, a single row 1.6 ×; the least that a row "
        "trigger can do, INSERT INTO the other table VALUES (NEW.…), costs 1.8 × CPU (1.6 × wall).",
    ),
    "reverse": (
        "What clients pay between cutover and contract",
        "The view with the reverse sync, which keeps the retired table current so that a rollback "
        "loses nothing, against the legacy table: again two tables are written.",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 when it was measured, whatever the figures say."""
    options = _parser().parse_args(arguments)
    names = set(options.only or ())
    try:
        with provide_database() as server:
            print(f"server: {server.origin}", file=sys.stderr)
            sections: list[tuple[Part, bool]] = [
                *_stages(server, options.rows, options.repeat, names),
                *_versions(server, options.rows, options.repeat, names),
                *_copies(server, options.rows, options.repeat, names),
                *_moves(server, options.rows, options.repeat, names),
                *_loads(server, options.rows, options.repeat, names),
                *_codemods(options.rows, options.repeat, names),
                *_verifying(server, options.rows, options.repeat, names),
            ]
    except DatabaseUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = render(
        [section for section, _ in sections],
        command=_command(options),
        server=f"PostgreSQL {server.version}, {server.kind}",
        sees_cpu=all(sees for _, sees in sections),
    )
    print(text)
    # A part must not take the place of the whole report unless told to.
    output = options.output or (None if names else RESULTS)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        print(f"written to {output}", file=sys.stderr)
    return 0


def _stages(
    server: Database, rows: int, repeat: int, names: set[str]
) -> list[tuple[Section, bool]]:
    sections = []
    for stage, (title, explanation) in STAGES.items():
        chosen = [
            operation
            for operation in views.operations(rows)
            if (stage == "view" or operation.writes)
            and (not names or {stage, operation.name, f"{stage}:{operation.name}"} & names)
        ]
        if not chosen:
            continue
        with contextlib.ExitStack() as stack:
            sides: list[Side] = [stack.enter_context(open_side(server, "native", None, rows))]
            sides += [stack.enter_context(open_side(server, stage, form, rows)) for form in FORMS]
            for lookup in LOOKUPS if stage == "view" else ():
                side = open_side(server, stage, "instead_of", rows, lookup)
                sides.append(stack.enter_context(side))
            results = []
            for operation in chosen:
                print(f"{title}: {operation.title}", file=sys.stderr)
                results.append(views.measure(operation, sides, repeat))
            section = Section(
                title,
                explanation,
                "native",
                [side.label for side in sides[1:]],
                results,
                VIEW_AIMS if stage == "view" else {},
            )
            sections.append((section, all(side.clock.sees_cpu for side in sides)))
    return sections


def _versions(
    server: Database, rows: int, repeat: int, names: set[str]
) -> list[tuple[Section, bool]]:
    if names and "versions" not in names:
        return []
    print(f"views {versions.DEPTH} versions deep", file=sys.stderr)
    return [(versions.measure(server, rows, repeat), True)]


def _copies(
    server: Database, rows: int, repeat: int, names: set[str]
) -> list[tuple[Section, bool]]:
    if names and "copy" not in names:
        return []
    # From half as many to 25 times as many: a copy that reads from the beginning for each batch, or
    # that plans by the statistics of an empty table, does well on a small one only.
    measured = []
    for number in (rows // 2, rows * 5, rows * 25):
        print(f"copy of {number:,} rows", file=sys.stderr)
        measured.append(copying.measure(server, number, min(repeat, 3)))
    peaks = ", ".join(
        f"{found.peak_memory / 2**20:.0f} MB at {found.rates.title}"
        for found in measured
        if found.peak_memory is not None
    )
    columns = [copying.label(workers) for workers in copying.WORKERS]
    section = Section(
        "Rate of the copy",
        "Rows per second of the whole command, its checks, progress and statistics included, "
        "against one INSERT … SELECT of the same rows into the same target with all its keys, "
        "checks and indexes (converting mapping), by the wall clock. The baseline is the time of "
        f"one row. Peak memory of the tool: {peaks} (aim: 150 MB).",
        "one statement",
        columns,
        [found.rates for found in measured],
        {copying.label(CopyOptions.workers): COPY_AIM},  # what a user gets who asks for nothing
    )
    return [(section, True)]


def _moves(server: Database, rows: int, repeat: int, names: set[str]) -> list[tuple[Section, bool]]:
    if names and "move" not in names:
        return []
    if not moving.is_possible():
        print("no psql to compare a move with", file=sys.stderr)
        return []
    measured = []
    for number in (rows // 2, rows * 5):
        print(f"move of {number:,} rows", file=sys.stderr)
        measured.append(moving.measure(server, number, min(repeat, 3)))
    section = Section(
        "Rate of a move to another database",
        "Rows per second of `compat move`, with its record of what was moved, against psql's "
        "`\\copy` of the same rows out into a file and in from it, into the same table with its "
        "keys, checks and indexes; by the wall clock. The baseline is the time of one row.",
        "\\copy",
        [moving.COMMAND],
        measured,
        {moving.COMMAND: MOVE_AIM},
    )
    return [(section, True)]


def _loads(server: Database, rows: int, repeat: int, names: set[str]) -> list[tuple[Part, bool]]:
    if names and "load" not in names:
        return []
    print(f"cutover and rollback of {rows * 10:,} rows under load", file=sys.stderr)
    # Waiting times are by the wall clock in any case.
    return [(load.measure(server, rows * 10, alternations=2 * repeat, calm=2.0 * repeat), True)]


def _codemods(rows: int, repeat: int, names: set[str]) -> list[tuple[Part, bool]]:
    if names and "codemods" not in names:
        return []
    lines = rows * 5 // 2
    print(f"rewriting a repository of {lines:,} lines", file=sys.stderr)
    return [(codemods.measure(lines, min(repeat, 3)), True)]


def _verifying(
    server: Database, rows: int, repeat: int, names: set[str]
) -> list[tuple[Part, bool]]:
    if names and "verify" not in names:
        return []
    measured = []
    for shape in verifying.SHAPES:
        number = rows * 25 // shape.fewer
        print(f"comparing 2 × {number:,} rows, {shape.title}", file=sys.stderr)
        measured.append(verifying.measure(server, shape, number, min(repeat, 3)))
    return [(section, True) for section in verifying.sections(measured)]


def _parser() -> argparse.ArgumentParser:
    stages = ", ".join((*STAGES, "versions", "copy", "move", "load"))
    operations = ", ".join(operation.name for operation in views.operations(1))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows",
        type=_at_least(1000),
        default=200_000,
        help="rows of the measured tables (%(default)s)",
    )
    parser.add_argument(
        "--repeat", type=_at_least(1), default=5, help="samples of each figure (%(default)s)"
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=[
            *STAGES,
            "versions",
            "copy",
            "move",
            "load",
            "codemods",
            "verify",
            *(operation.name for operation in views.operations(1)),
            *(f"{stage}:{operation.name}" for stage in STAGES for operation in views.operations(1)),
        ],
        help=f"measure only this, may be repeated: a table ({stages}), an operation "
        f"({operations}), or both as table:operation; printed, and written only with --output",
    )
    parser.add_argument("--output", type=Path, help="where the report goes (benchmarks/RESULTS.md)")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


def _command(options: argparse.Namespace) -> str:
    parts = ["python -m benchmarks", f"--rows {options.rows}", f"--repeat {options.repeat}"]
    parts += [f"--only {name}" for name in options.only or ()]
    return " ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
