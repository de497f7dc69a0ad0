"""Plays a case on the view and on the twin, and compares all that a client can see after each step.

What may differ is what the plan says: refusals, losses that the mapping accepts, and what the form
does not serve. Everything is recorded, so that a difference comes with a script for psql.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import psycopg

from compat.catalog import reflect_table
from compat.errors import MappingError
from compat.fidelity import find
from compat.mapping import Mapping
from compat.names import ident, idents, literal
from compat.rules import Row
from tests.compat.migrations import Migration
from tests.compat.twins.statements import (
    FOR_UPDATE,
    Case,
    Contracted,
    CopyIn,
    Statement,
    Step,
    Turn,
    Undone,
    Written,
)
from tests.compat.twins.tables import TABLE

TWIN = "the twin"
V2_TWIN = "the twin of v2"


class Difference(AssertionError):
    """The view did what neither the twin did nor the plan said."""


class RecordedConnection(psycopg.Connection[Any]):
    """Remembers what was executed, with parameters put in."""

    script: list[str] | None = None

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[Any]:
        if self.script is not None:
            text = query
            if params is not None:
                text = psycopg.ClientCursor(self).mogrify(query, params)
            self.script.append(text)
        return super().execute(query, params, **options)

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Look at something that does not belong to the script."""
        script, self.script = self.script, None
        try:
            yield
        finally:
            self.script = script


@dataclass(frozen=True)
class Outcome:
    """What a client sees: an SQLSTATE, or rows counted and returned."""

    sqlstate: str | None
    count: int = 0
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    message: str = field(default="", compare=False)

    def without(self, columns: Iterable[str]) -> Outcome:
        """Return the outcome without some columns of the rows."""
        gone = {number for number, name in enumerate(self.columns) if name in set(columns)}
        rows = sorted(
            tuple(text for number, text in enumerate(row) if number not in gone)
            for row in self.rows
        )
        return replace(self, columns=(), rows=tuple(rows))

    def __str__(self) -> str:
        if self.sqlstate is not None:
            return f"fails: {self.sqlstate} {self.message}"
        return f"{self.count} rows" + (f": {self.rows}" if self.columns else "")


def outcome_of(conn: RecordedConnection, run: Callable[[], psycopg.Cursor[Any]]) -> Outcome:
    """Run something in a savepoint and return what a client sees of it."""
    try:
        with conn.transaction():
            cursor = run()
            if cursor.description is None:
                return Outcome(None, cursor.rowcount)
            columns = tuple(column.name for column in cursor.description)
            rows = tuple(tuple(map(repr, row)) for row in cursor.fetchall())
            return Outcome(None, cursor.rowcount, columns, rows)
    except psycopg.Error as error:
        message = (error.diag.message_primary or "").replace("\n", " ")
        found = Outcome(error.sqlstate, message=message)
    if conn.script is not None:
        conn.script[-1] += f"\n-- {found}"
    return found


def mapping_of(migration: Migration, form: str) -> Mapping:
    """Return the mapping in another form, or as it is where its rules do not allow that form."""
    try:
        return replace(migration.mapping, form=form)  # type: ignore[arg-type]
    except MappingError:
        return migration.mapping


class Stage:
    """A case being played, in a transaction that the caller rolls back."""

    def __init__(self, conn: RecordedConnection, case: Case, version: int) -> None:
        self.conn, self.case, self.version = conn, case, version
        self.phase = "expanded"
        tables = case.tables
        self.legacy, self.target = ident(tables.legacy_name), ident(tables.target_name)
        self.twin, self.v2_twin = ident(TWIN), ident(V2_TWIN)
        conn.script = []
        conn.execute("DEALLOCATE ALL")
        for needed in dict.fromkeys(block.before for block in tables.blocks):
            conn.execute(needed)
        for name in (self.legacy, self.twin):
            conn.execute(tables.legacy.replace(TABLE, name))
        for name in (self.target, self.v2_twin):
            conn.execute(tables.target.replace(TABLE, name))
        for beside in tables.shape.prepare:
            conn.execute(beside)
        with conn.unrecorded():
            found = Migration.between(
                conn,
                self.legacy,
                self.target,
                [block.rule for block in tables.blocks],
                name="twins",
                **tables.options,
                **tables.shape.options(lambda name: reflect_table(conn, name)),
            )
        self.migration = Migration(conn, mapping_of(found, tables.form))
        for statement in case.rows:
            self.both(statement)
        for number, statement in enumerate(case.prepared):
            for table, side in self.sides:
                conn.execute(f'PREPARE "{number} {side}" AS {statement.on(table, side)}')
        self.migration.expand()

    @property
    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return (self.twin, "twin"), (self.legacy, "view")

    @property
    def mapping(self) -> Mapping:
        return self.migration.mapping

    @cached_property
    def lossy(self) -> tuple[str, ...]:
        """Legacy columns of which the mapping accepts that they lose something."""
        return tuple(lens.legacy.name for lens in self.mapping.lenses if lens.loss is not None)

    # -- steps --------------------------------------------------------------------------------

    def play(self) -> None:
        """Play all steps.

        :raises Difference: with a script that shows it
        """
        self.compare()
        for step in self.case.steps:
            self.take(step)
            self.compare()

    def take(self, step: Step) -> None:
        match step:
            case Statement():
                self.say(step)
            case CopyIn():
                self.copy_in(step)
            case Undone():
                with self.conn.transaction(force_rollback=True):
                    self.conn.execute("SAVEPOINT undone")
                    for statement in step.statements:
                        self.say(statement)
                    self.conn.execute("ROLLBACK TO SAVEPOINT undone")
            case Written():
                self.write(step)
            case Turn():
                self.turn()
            case Contracted() if self.phase == "cutover":
                self.migration.contract().uncontract()
                self.follow()

    def turn(self) -> None:
        """Cut over, or go back."""
        if self.phase == "expanded":
            self.migration.copy()
            self.conn.execute("RESET compat.early_writes")  # which the copy has set
            self.phase = "copied"
            self.compare()
        if self.phase == "copied":
            self.migration.cutover()
            self.phase = "cutover"
        else:
            self.migration.uncutover()
            self.phase = "copied"
        if self.lossy:
            self.follow()

    def say(self, statement: Statement) -> None:
        """Say a statement to the twin and to the view."""
        watched = statement.keeps is not None and self.phase == "cutover"
        hidden = self.hidden(statement.keeps) if watched else []
        images = self.images() if watched else {}
        self.both(statement)
        if not watched:
            return
        if (now := self.hidden(statement.keeps)) != hidden:
            self.fail(f"hidden columns of the target changed: {hidden} → {now}")
        for legacy, image in self.images().items():
            if images.get(legacy, image) != image:
                self.fail(f"{legacy} stayed, not what is behind it: {images[legacy]} → {image}")

    def both(self, statement: Statement) -> None:
        def run(table: str, side: str) -> psycopg.Cursor[Any]:
            return self.conn.execute(statement.on(table, side))

        self.agree(run, statement.behaviour)

    def copy_in(self, step: CopyIn) -> None:
        """COPY the rows of a query into both; the columns are text on their way."""
        with self.conn.unrecorded():
            try:
                with self.conn.transaction():
                    rows = self.conn.execute(f"SELECT * FROM ({step.query}) AS s").fetchall()
            except psycopg.Error:
                return  # a value that is none of its type

        def run(table: str, _: str) -> psycopg.Cursor[Any]:
            cursor = self.conn.cursor()
            columns = idents(list(step.columns))
            if self.conn.script is not None:
                self.conn.script.append(f"-- COPY {table} ({columns}) FROM: {step.query}")
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return cursor

        self.agree(run, "COPY … FROM")

    def agree(
        self, run: Callable[[str, str], psycopg.Cursor[Any]], behaviour: str | None = None
    ) -> None:
        """Run something on both sides and compare what a client sees.

        :param behaviour: what the statement needs, as `compat.fidelity` calls it
        """
        self.conn.execute("SAVEPOINT twins")
        (on_twin, has_refused), on_view = self.run_on_twin(run), self.run_on(run, 1)
        if on_view.sqlstate is not None and on_twin.sqlstate is None:
            if not (has_refused or self.is_not_served(behaviour)):
                self.fail(f"{on_view}, but the twin: {on_twin}")
            self.conn.execute("ROLLBACK TO SAVEPOINT twins")
        elif has_refused:
            self.fail("the view took what the plan says is refused")
        elif not (self.is_not_served(behaviour) or self.are_alike(on_view, on_twin)):
            self.fail(f"the view: {on_view}\nthe twin: {on_twin}")
        self.conn.execute("RELEASE SAVEPOINT twins")
        if on_view.sqlstate is not None:
            self.same_sequence()
        elif self.lossy:
            self.compare()
            self.follow()

    def are_alike(self, one: Outcome, other: Outcome) -> bool:
        """Whether a client is told the same.

        A row may break several constraints; those of the target are looked at before those that
        only the retired table has, and PostgreSQL promises no order among the ones of one table.
        """
        states = {one.sqlstate, other.sqlstate}
        if None not in states and all(str(state).startswith("23") for state in states):
            return True
        return one.without(self.lossy) == other.without(self.lossy)

    def run_on_twin(self, run: Callable[[str, str], psycopg.Cursor[Any]]) -> tuple[Outcome, bool]:
        found = self.run_on(run, 0)
        return found, found.sqlstate is None and self.twin_has_refused()

    def run_on(self, run: Callable[[str, str], psycopg.Cursor[Any]], side: int) -> Outcome:
        return outcome_of(self.conn, lambda: run(*self.sides[side]))

    def is_not_served(self, behaviour: str | None) -> bool:
        """Whether the plan says that the form cannot do this."""
        if behaviour is None or self.phase != "cutover":
            return False
        if behaviour == FOR_UPDATE and (
            self.mapping.choices or any(part.may_lack for part in self.mapping.parts)
        ):
            return True  # the rows of a union or of an outer join cannot be locked
        form = self.mapping.chosen_form
        return find(behaviour, form, self.version).verdict == "not possible"

    def twin_has_refused(self) -> bool:
        """Whether the twin holds what the plan says that the target cannot."""
        found = [
            predicate
            for lens in self.mapping.lenses
            if (predicate := lens.refused(Row('"the row"'))) is not None
        ]
        if not found:
            return False
        return bool(self.look(f'SELECT FROM {self.twin} AS "the row" WHERE {" OR ".join(found)}'))

    def write(self, step: Written) -> None:
        """Say a statement of v2 to the target and to a copy of it."""
        if self.phase != "cutover":
            found = self.written(step, self.target)
            is_others = self.mapping.tag is not None and found.sqlstate is None
            if found.sqlstate != "55000" and not is_others:
                self.fail(f"the target took a write before the cutover: {found}")
            return
        if TABLE not in step.sql:
            found = self.written(step, self.target)
            if found.sqlstate is not None and not found.sqlstate.startswith("23"):
                self.fail(f"a write to v2's tables: {found}")
            self.follow()
            return
        # By name: a form may have given the target further columns.
        names = self.mapping.target.column_names
        self.refill(self.v2_twin, self.target, names)
        on_twin, on_target = (self.written(step, name) for name in (self.v2_twin, self.target))
        if on_target.sqlstate is None:
            if on_target != on_twin:
                self.fail(f"the target: {on_target}\na table like it: {on_twin}")
            shown, wanted = (
                self.contents(f"(SELECT {idents(names)} FROM {name})")
                for name in (self.target, self.v2_twin)
            )
            if shown != wanted:
                self.fail("the target holds something else than a table like it")
        elif on_twin.sqlstate is not None and not self.are_alike(on_target, on_twin):
            self.fail(f"the target: {on_target}\na table like it: {on_twin}")
        self.follow()

    def written(self, step: Written, table: str) -> Outcome:
        return outcome_of(self.conn, lambda: self.conn.execute(step.sql.replace(TABLE, table)))

    # -- comparing ----------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare the contents of what bears the legacy name, the twin and what is kept in step.

        :raises Difference: they are not the same
        """
        if self.phase == "expanded":  # without rows that only the copy brings
            others = {}
        elif self.phase == "copied":
            others = {"the view": self.mapping.standby}
        else:
            others = {"the retired table": self.mapping.retired}
        twin = self.contents(self.normal(self.twin))
        for title, name in {"the legacy name": self.legacy, **others}.items():
            found = self.contents(self.normal(name))
            if found != twin:
                self.fail(f"{title} shows {found}\nthe twin shows {twin}")

    def normal(self, relation: str) -> str:
        """Return SQL for the rows of a relation as the mapping brings them back."""
        if not self.lossy:
            return relation
        row, target = Row('"the row"'), Row('"its target"')
        own = ", ".join(
            f"{row.column(name)} AS {ident(f'own {number}')}"
            for number, name in enumerate(self.mapping.legacy.column_names)
        )
        written = ", ".join(f"{sql} AS {ident(n)}" for n, sql in self.mapping.writes(row).items())
        read = ", ".join(
            lens.read(target) if lens.legacy.name in self.lossy else target.column(f"own {number}")
            for number, lens in enumerate(self.mapping.lenses)
        )
        return (
            f'(SELECT {read} FROM (SELECT {own}, {written} FROM {relation} AS "the row")'
            ' AS "its target")'
        )

    def contents(self, relation: str) -> list[str]:
        """Return each row of a relation as text, exactly."""
        return [
            text
            for (text,) in self.look(
                f'SELECT ROW("a row".*)::text FROM {relation} AS "a row" ORDER BY 1'
            )
        ]

    def hidden(self, keeps: str | None) -> list[tuple[Any, ...]]:
        """Return the target columns that no rule writes, with the key or without."""
        names = list(self.case.tables.hidden)
        if keeps is None or not names:
            return []
        if keeps == "key and hidden":
            names += self.mapping.target_key
        columns = ", ".join(f"{ident(name)}::text" for name in names)
        return self.look(f"SELECT {columns} FROM {self.target} ORDER BY {columns}")

    def images(self) -> dict[tuple[str, ...], str]:
        """Return what the target holds behind each legacy value (GetPut: as long as that stays).

        A legacy value is key, column and value, as text.
        """
        if self.mapping.syncs_through_view:
            return {}  # more tables than this one, or rows of others in it
        row = Row("t")
        shared = Counter(name for lens in self.mapping.lenses for name in lens.targets)
        key = ", ".join(row.column(name) for name in self.mapping.target_key)
        pairs = []
        for lens in self.mapping.lenses:
            behind = ", ".join(row.column(name) for name in lens.targets if shared[name] == 1)
            pairs += [f"ROW({lens.read(row)})::text", f"ROW({behind})::text"]
        names = self.mapping.legacy.column_names
        images: dict[tuple[str, ...], str] = {}
        query = f"SELECT ROW({key})::text, {', '.join(pairs)} FROM {self.target} AS t"
        for found, *texts in self.look(query):
            for name, value, image in zip(names, texts[::2], texts[1::2], strict=True):
                images[found, name, value] = image
        return images

    def look(self, query: str) -> list[tuple[Any, ...]]:
        with self.conn.unrecorded():
            return self.conn.execute(query).fetchall()

    def fail(self, why: str) -> None:
        raise Difference(f"{why}\n\n{self.script}")

    @property
    def script(self) -> str:
        """What was done, for psql in an empty database that has the schema compat."""
        legacy, twin = (f"SELECT * FROM {name}" for name in (self.legacy, self.twin))
        lines = [
            f"-- PostgreSQL {self.version}; in an empty database with the schema compat:",
            "-- .venv/bin/python -c 'from compat.compile import install;"
            ' print(*install.install(), sep=";\\n", end=";\\n")\' | psql',
            "\\set ON_ERROR_ROLLBACK on",
            "BEGIN",
            *(self.conn.script or ()),
            legacy,
            twin,
            "ROLLBACK",
        ]
        return "\n".join(
            f"{line};" if not line.startswith(("--", "\\")) else line for line in lines
        )

    # -- keeping the twin abreast -------------------------------------------------------------

    def follow(self) -> None:
        """Give the twin what the legacy name shows: after a loss, or a write of v2."""
        self.refill(self.twin, self.legacy, self.mapping.legacy.column_names)
        self.same_sequence()

    def refill(self, table: str, source: str, names: tuple[str, ...]) -> None:
        self.conn.execute(f"DELETE FROM {table}")
        self.conn.execute(
            f"INSERT INTO {table} ({idents(names)}) SELECT {idents(names)} FROM {source}"
        )

    def same_sequence(self) -> None:
        """Numbers that failed statements drew are drawn on both sides."""
        for block in self.case.tables.key:
            if block.is_serial:
                drawn, own = (
                    f"pg_get_serial_sequence({literal(table)}, {literal(block.name)})"
                    for table in (self.legacy, self.twin)
                )
                ((sequence,),) = self.look(f"SELECT {drawn}")
                self.conn.execute(f"SELECT setval({own}, last_value, is_called) FROM {sequence}")
