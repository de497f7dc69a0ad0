"""The probes as a check: statements on view and twin, answers and stored rows compared.

Nothing is left behind but the values that two statements draw from a sequence: nextval is final.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import psycopg

from compat.bridge import in_transition
from compat.compile import bridge, horizon
from compat.compile.functions import TARGET, same_target_row
from compat.compile.source import parents, source
from compat.names import derive, ident, literal
from compat.rules import Epoch, Flag, Lens, Lookup
from compat.shapes import Half, Parent, Place
from compat.tables import Table
from verify.compare.join import after_loss
from verify.context import NO_TABLE, Context, Disturbed, one_line, plural, shown
from verify.probes import newer
from verify.probes.plan import Plan
from verify.probes.side import ROLLBACK, Answer, Side, attempt, read
from verify.probes.statements import (
    Cells,
    Copy,
    Delete,
    Direct,
    Insert,
    Probe,
    Touch,
    Update,
    where,
)
from verify.probes.twin import FITS_NOWHERE, Ground, prepare
from verify.probes.values import unused, worth_trying
from verify.report import Finding, Result, does_not_hold, holds, not_run
from verify.workload.comparison import Comparison, set_up

NAME = "probes"

# SQLSTATEs, by their beginnings, of a value that a table cannot hold.
_UNFIT = ("0A000", "22", "23")
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
_SERIALIZATION = "40001"
_SYNCED = "synced"
_UNUSUAL = 99  # the number of a value that no other probe takes


def check(context: Context) -> Result:
    """Return whether statements through the view have the effects that the table would show.

    :raises Disturbed: a live application got in the way; a new snapshot may do
    :raises psycopg.Error: the role may not do what is needed, or the view is not there
    """
    context = context.facing
    reason = _why_not(context)
    if reason is not None:
        return not_run(NAME, reason)
    timeout = f"{context.lock_timeout:d}ms"
    context.conn.execute("SELECT pg_catalog.set_config('lock_timeout', %s, true)", [timeout])
    # Before the cutover an updatable view would be refused like any other writer of the target.
    context.conn.execute("SELECT pg_catalog.set_config('compat.early_writes', 'on', true)")
    # The twin's answer must come at once too, or a deferred constraint would never be asked.
    context.conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return _Trial(context).result()


def _why_not(context: Context) -> str | None:
    unfinished = context.unfinished
    if unfinished is not None:
        return unfinished
    conn = context.conn
    if conn.execute("SHOW transaction_read_only").fetchone() == ("on",):
        return "this connection may only read (a standby, or default_transaction_read_only)"
    view = f"{literal(context.stored.view_sql)}::pg_catalog.regclass"
    row = conn.execute(
        "SELECT current_user::text, "
        + ", ".join(f"pg_catalog.has_table_privilege({view}, '{name}')" for name in _PRIVILEGES)
    ).fetchone()
    assert row is not None
    lacking = [name for name, held in zip(_PRIVILEGES, row[1:], strict=True) if not held]
    if lacking:
        return (
            f"permission denied: {row[0]} may not {', '.join(lacking)} on {context.stored.view_sql}"
        )
    return None


class _Trial:
    """One run of all probes on one snapshot; gathers what differs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._conn = context.conn
        self._ground: Ground = prepare(context)
        self._plan = Plan(context, self._ground)
        self._lenses = {lens.legacy.name: lens for lens in context.mapping.lenses}
        self._findings: list[Finding] = []
        self._notes: list[str] = []
        self._impossible: list[str] = []
        self._tried = 0
        self._drawn = 0
        self._hindered: list[str] = []

    def result(self) -> Result:
        """Make all probes and return the verdict."""
        for probe in self._plan.broken_checks():
            self._compare(probe)
        if self._ground.samples:
            if self._context.has_table:
                self._break_foreign_keys()
            self._delete_what_is_referred_to()
            self._look_for_side_effects()
            self._write_as_newer()
        for probe in self._plan.probes():
            self._compare(probe)
        self._compare_contents()
        self._try_own()
        notes = [*self._ground.notes, *self._plan.notes, *self._notes]
        if self._drawn:
            notes.append(
                f"{plural(self._drawn, 'value')} drawn from the key's sequence: nextval is not "
                "rolled back"
            )
        if self._impossible:
            form = self._context.mapping.chosen_form
            notes.append(
                f"not possible through a view of the form {form}: {', '.join(self._impossible)}"
            )
        numbers = (("statements", self._tried), ("sampled rows", len(self._ground.samples)))
        more = {"notes": tuple(dict.fromkeys(notes)), "numbers": numbers}
        if not self._tried:
            return not_run(NAME, "no statement could be made up for this table", **more)
        tried = plural(self._tried, "statement")
        if not self._findings and self._context.avoid and not self._ground.samples:
            return not_run(NAME, "locked: applications write every row that could be tried", **more)
        if not self._findings and self._hindered:
            return not_run(NAME, f"an own probe could not be tried: {self._hindered[0]}", **more)
        if not self._findings:
            return holds(NAME, f"{tried} answered alike by view and twin", **more)
        total = len(self._findings)
        subjects = len({finding.subject for finding in self._findings})
        return does_not_hold(
            NAME,
            f"{subjects} of {tried} answered differently",
            tuple(self._findings[: self._context.limit]),
            total,
            **more,
        )

    def _try_own(self) -> None:
        """Try the user's own statements: on the table itself, since they may need all its rows."""
        if not self._context.options.probes.statements:
            return
        if not self._context.has_table:
            self._hindered.append(NO_TABLE)
            return
        set_up(self._context)
        own = Comparison(self._context)
        own.add(self._context.options.probes)
        self._tried += own.tried
        self._findings += own.findings
        self._notes += own.notes()
        self._hindered = own.hindered

    # -- the same statement on both sides -----------------------------------------------------

    def _compare(self, probe: Probe) -> None:
        self._tried += 1
        ground = self._ground
        keys = [ground.key(row) for row in ground.samples] + list(probe.keys)
        with attempt(self._conn):
            seen = self._ask(self._ground.view, probe)
            stored: tuple[Cells, ...] = ()
            if seen.sqlstate is None:
                keys += [
                    ground.key(row) for row in seen.rows if None not in ground.key(row).values()
                ]
                stored = ground.view.rows(keys)
                self._check_currval(probe, seen)
                self._check_references(probe, keys)
                self._check_bridge(probe, keys)
                if self._context.is_cutover:
                    kept = self._table.rows(keys)
                    self._rows_agree(probe, _SYNCED, kept, stored, in_order=False)
        if isinstance(probe.statement, Insert) and self._draws_numbers(probe):
            self._drawn += len(probe.statement.rows)
        with attempt(self._conn):
            right = ground.twin.answer(probe, self._given(probe, seen))
            expected = ground.twin.rows(None) if right.sqlstate is None else ()
        is_synced = self._context.has_table and not self._context.is_cutover
        if is_synced and not probe.draws:
            self._compare_sync(probe, keys)
        if not self._answers_agree(probe, right, seen):
            return
        in_order = isinstance(probe.statement, Insert)
        self._rows_agree(probe, "returned", right.rows, seen.rows, in_order=in_order)
        self._rows_agree(probe, "stored", expected, stored, in_order=False)

    def _compare_contents(self) -> None:
        """Try the part of the guard that rows reach which were written just now.

        All others are known by their age.
        """
        mapping = self._context.mapping
        if mapping.chosen_form != "instead_of" or not horizon.tells(mapping):
            return
        with attempt(self._conn, "compat_verify_contents"):
            self._conn.execute(horizon.forget())
            for probe in self._plan.by_contents():
                self._compare(probe)

    def _draws_numbers(self, probe: Probe) -> bool:
        """Return whether a sequence fills a column, and not just a volatile default."""
        sequences = self._context.mapping.legacy.sequences
        return any(sequence.column in probe.draws for sequence in sequences)

    def _compare_sync(self, probe: Probe, keys: list[Cells]) -> None:
        """Say the statement of the legacy table, and compare what the sync makes of it."""
        with attempt(self._conn):
            said = self._ask(self._table, probe)
            if said.sqlstate is not None:
                return  # another comparison shows errors, and what nobody may do is no news
            rows, shown_rows = self._table.rows(keys), self._ground.view.rows(keys)
        self._rows_agree(probe, _SYNCED, rows, shown_rows, in_order=False)

    @property
    def _table(self) -> Side:
        """The legacy table itself."""
        return Side(self._conn, self._context.stored.legacy_sql, self._ground.view.columns)

    def _ask(self, side: Side, probe: Probe) -> Answer:
        """Return a side's answer to a probe; see `_told`."""
        return self._told(lambda: side.answer(probe))

    def _told(self, say: Callable[[], Answer]) -> Answer:
        """Return an answer; 40001 is one only when a guard raised it without a reason.

        PostgreSQL's own is always due to somebody else: a parent, say, that was just deleted.

        :raises Disturbed: somebody did, or holds them locked
        """
        try:
            return say()
        except Disturbed as error:
            self._conn.execute(ROLLBACK, prepare=False)
            rows = self._disturbed_rows()
            if rows == frozenset() and _is_raised(error):
                return Answer(error.sqlstate, error.reason)
            raise Disturbed(
                error.reason, error.sqlstate, is_lock=error.is_lock, rows=rows or frozenset()
            ) from error

    def _disturbed_rows(self) -> frozenset[tuple[str | None, ...]] | None:
        """Return the keys of the rows that others are writing, None if it cannot be told.

        Of all rows that might be sampled: who is told of one after the other is never through.

        Under REPEATABLE READ a row that is newer than the snapshot cannot be locked.
        """
        found = set()
        mapping = self._context.mapping
        keys = (*map(self._ground.key, self._ground.samples), *self._ground.window)
        for key in {tuple(key.values()): key for key in keys}.values():
            for table in self._whole:
                query = (
                    f"SELECT FROM {table.sql} AS t, {self._as_row(key)} "
                    f"WHERE {same_target_row(mapping, _ROW)} FOR UPDATE OF t NOWAIT"
                )
                try:
                    with attempt(self._conn, "compat_verify_row"):
                        if self._ground.view.tell(query).sqlstate is not None:
                            return None
                except Disturbed:
                    found.add(tuple(key.values()))
        return frozenset(found)

    def _given(self, probe: Probe, seen: Answer) -> tuple[Cells, ...]:
        """Return what the twin takes for generated values: the view's, or some that are unused."""
        if not probe.draws or not isinstance(probe.statement, Insert):
            return ()
        given = []
        for n in range(len(probe.statement.rows)):
            row: dict[str, str | None] = {}
            for name in probe.draws:
                drawn = seen.rows[n][name] if n < len(seen.rows) else None
                row[name] = unused(self._lenses[name], 80 + n) if drawn is None else drawn
            given.append(row)
        return tuple(given)

    def _check_currval(self, probe: Probe, seen: Answer) -> None:
        for sequence in self._context.mapping.legacy.sequences:
            if sequence.column not in probe.draws or not seen.rows:
                continue
            answer = self._ground.view.tell(
                f"SELECT pg_catalog.currval({literal(sequence.sql)})::text AS value"
            )
            current = answer.rows[0]["value"] if answer.rows else answer.said
            returned = seen.rows[-1][sequence.column]
            if current != returned:
                self._differ(
                    "currval",
                    probe,
                    f"currval of {sequence.sql} is {current}, the new row has {shown(returned)}",
                    current,
                    returned,
                )

    def _check_references(self, probe: Probe, keys: list[Cells]) -> None:
        """Check that the new key of a parent and the legacy number beside it name the same one."""
        mapping = self._context.mapping
        for lens in mapping.lenses:
            rule = lens.rule
            if not isinstance(rule, Lookup) or rule.keep is None or lens.part is not None:
                continue
            number, parent = TARGET.column(rule.keep), TARGET.column(rule.target)
            for key in keys:
                wrong = read(
                    self._conn,
                    f"SELECT {number}::text AS number, {parent}::text AS parent FROM "
                    f"{source(mapping)} CROSS JOIN {self._as_row(key)} WHERE "
                    f"{same_target_row(mapping, _ROW)} AND {number} IS DISTINCT FROM "
                    f"{rule.parent.legacy_of(parent)}",
                )
                for row in wrong:
                    message = f"{rule.target} {row['parent']} is not the row of {row['number']}"
                    self._differ("reference", probe, message, row["number"], row["parent"])

    def _check_bridge(self, probe: Probe, keys: list[Cells]) -> None:
        """Check that the target's own columns say what was written in the legacy shape."""
        mapping = self._context.mapping
        if mapping.chosen_form != "bridged":
            return
        demands = bridge.contradictions(mapping)
        for key in keys if demands else ():
            faults = ", ".join(f"{predicate} AS c{n}" for n, (_, predicate) in enumerate(demands))
            rows = read(
                self._conn,
                f"SELECT {faults} FROM {source(mapping)} CROSS JOIN {self._as_row(key)} "
                f"WHERE {same_target_row(mapping, _ROW)}",
            )
            for row in rows:
                for n, (name, _) in enumerate(demands):
                    if row[f"c{n}"] == "t":
                        message = f"the two shapes of {name} contradict each other"
                        self._differ("bridge", probe, message, None, None)

    def _answers_agree(self, probe: Probe, right: Answer, seen: Answer) -> bool:
        """Return whether rows remain to be compared."""
        if probe.refusal is not None and seen.sqlstate == probe.refusal:
            self._impossible.append(f"{probe.title} ({seen.sqlstate})")
            return False
        if self._context.writes_legacy and (seen.sqlstate or "").startswith(_UNFIT):
            self._notes.append(f"the legacy table refuses {probe.title} ({seen.sqlstate})")
            return False
        if right.sqlstate != seen.sqlstate:
            message = f"table: {right.said}; view: {seen.said}"
            self._differ("sqlstate", probe, message, right.sqlstate, seen.sqlstate)
            return False
        if right.sqlstate is not None:
            self._compare_names(probe, right, seen)
            return False
        if right.tag != seen.tag:
            message = f"table: {right.tag}; view: {seen.tag}"
            self._differ("row count", probe, message, right.tag, seen.tag)
        if right.types != seen.types:
            message = "the returned columns have other names or types"
            self._differ("type", probe, message, ", ".join(right.types), ", ".join(seen.types))
            return False
        return True

    def _compare_names(self, probe: Probe, right: Answer, seen: Answer) -> None:
        """Compare what an error names; of several broken constraints either may be the first."""
        mapping = self._context.mapping
        translates = mapping.chosen_form == "instead_of" or (
            mapping.inserts_by_trigger and isinstance(probe.statement, Insert | Copy)
        )
        legacy = mapping.legacy
        known = {c.name for c in legacy.constraints} | {index.name for index in legacy.indexes}
        for what, before, after in zip(
            ("column", "constraint"), right.blame, seen.blame, strict=True
        ):
            if before == after:
                continue
            message = (
                f"SQLSTATE {right.sqlstate}: the table names the {what} "
                f"{before or 'not at all'}, the view {after or 'not at all'}"
            )
            if translates and before != FITS_NOWHERE and after not in known:
                self._differ(f"{what} in an error", probe, message, before, after)
            else:
                self._notes.append(message)

    def _rows_agree(
        self,
        probe: Probe,
        what: str,
        right: tuple[Cells, ...],
        seen: tuple[Cells, ...],
        *,
        in_order: bool,
    ) -> None:
        if len(right) != len(seen):
            message = f"{what}: {plural(len(right), 'row')} by the table, {len(seen)} by the view"
            self._differ(what, probe, message, str(len(right)), str(len(seen)))
            return
        if not in_order:
            right, seen = self._sorted(right), self._sorted(seen)
        for before, after in zip(right, seen, strict=True):
            for name, value in before.items():
                if value == after[name] or self._is_accepted(self._lenses[name], before, after):
                    continue
                where_it_is = ", ".join(
                    f"{key} = {shown(v)}" for key, v in self._ground.key(before).items()
                )
                message = (
                    f"{what}: {name} is {shown(value)} by the table, {shown(after[name])} by the "
                    f"view ({where_it_is})"
                )
                self._differ(what, probe, message, value, after[name])

    def _sorted(self, rows: tuple[Cells, ...]) -> tuple[Cells, ...]:
        names = self._ground.key_names
        return tuple(sorted(rows, key=lambda row: [row[name] or "" for name in names]))

    def _is_accepted(self, lens: Lens, before: Cells, after: Cells) -> bool:
        """Return whether a difference is the loss that the mapping accepts for the column."""
        if lens.loss is None:
            return False
        row = {
            name: f"{literal(value)}::{self._lenses[name].legacy.type}"
            for name, value in before.items()
        }
        expected = after_loss(self._context.mapping, lens, row)
        if expected is None:
            return True
        answer = self._ground.view.tell(f"SELECT {expected} AS value")
        return bool(answer.rows) and answer.rows[0]["value"] == after[lens.legacy.name]

    def _differ(
        self, kind: str, probe: Probe, message: str, expected: str | None, found: str | None
    ) -> None:
        sql = one_line(probe.statement.sql(self._ground.view.relation), 300)
        self._findings.append(Finding(kind, probe.title, f"{message}\n{sql}", (), expected, found))

    # -- where a temporary twin cannot answer -------------------------------------------------

    def _break_foreign_keys(self) -> None:
        """Compare with the legacy table itself: a temporary table has no foreign keys."""
        ground = self._ground
        row = (ground.free or ground.samples)[0]
        for fk in ground.outbound:
            name = fk.columns[0]
            value = unused(self._lenses[name], _UNUSUAL)
            if value is None or fk.relation == ground.view.relation:
                continue
            statement = Update(((name, value),), where(ground.key(row)))
            self._compare_with_table(Probe(f"update {name}, against {fk.name}", statement))

    def _delete_what_is_referred_to(self) -> None:
        """Compare with the retired table; before the cutover nothing refers to the target yet."""
        if not self._context.is_cutover:
            return
        for fk in self._ground.inbound:
            if fk.relation == self._ground.view.relation:
                continue
            near = ", ".join(
                f"r.{ident(far)} AS {ident(name)}"
                for name, far in zip(fk.columns, fk.references, strict=True)
            )
            known = " AND ".join(f"r.{ident(far)} IS NOT NULL" for far in fk.references)
            try:
                with attempt(self._conn):
                    rows = read(
                        self._conn, f"SELECT {near} FROM {fk.relation} AS r WHERE {known} LIMIT 1"
                    )
            except psycopg.errors.InsufficientPrivilege as error:
                self._notes.append(f"{fk.name} was not tried: {error.diag.message_primary}")
                continue
            for row in rows:
                title = f"delete of a row that {fk.relation} refers to"
                self._compare_with_table(Probe(title, Delete(where(row))))

    def _compare_with_table(self, probe: Probe) -> None:
        self._tried += 1
        with attempt(self._conn):
            seen = self._ask(self._ground.view, probe)
        with attempt(self._conn):
            right = self._ask(self._table, probe)
        if right.sqlstate == "42501":
            self._notes.append(f"{probe.title}: not tried on the table: {right.message}")
            return
        if right.sqlstate != seen.sqlstate:
            message = f"table: {right.said}; view: {seen.said}"
            self._differ("sqlstate", probe, message, right.sqlstate, seen.sqlstate)
        elif right.tag != seen.tag:
            message = f"table: {right.tag}; view: {seen.tag}"
            self._differ("row count", probe, message, right.tag, seen.tag)

    # -- what no legacy client sees -----------------------------------------------------------

    def _look_for_side_effects(self) -> None:
        """Check that an update leaves alone whatever of the target row it does not name.

        The target first gets what a legacy column cannot show: microseconds, another instant
        behind a flag.
        """
        mapping = self._context.mapping
        hindrance = self._why_not_write_to_target("SELECT", "UPDATE")
        if hindrance is not None:
            self._notes.append(f"side effects were not looked for: {hindrance}")
            return
        for row in self._rows_with_flags():
            key = self._ground.key(row)
            touch = Touch(self._plan.changeable, where(key))
            self._side_effects_of(Probe("update that changes nothing", touch), key, ())
        row = self._ground.samples[0]
        for lens in mapping.lenses:
            change = self._plan.change_of(lens, row)
            if change is not None:
                key = self._ground.key(row)
                probe = Probe(f"update {lens.legacy.name}", Update((change,), where(key)))
                self._side_effects_of(probe, key, self._written_by(lens, row))
        for other in self._ground.elsewhere:
            self._side_effects_of_a_move(row, other)
            self._side_effects_of_a_move(other, row)
        for place in parents(mapping):
            self._leave_parent(place)

    def _leave_parent(self, place: Place) -> None:
        """Check that a parent stays or goes, as declared, when its only row leaves it."""
        row = (self._ground.free or self._ground.samples)[0]
        here = where(self._ground.key(row))
        held = self._context.mapping.lenses_of(place)
        new = {lens.legacy.name: unused(lens, _UNUSUAL) for lens in held}
        given = tuple((name, value) for name, value in new.items() if value is not None)
        former = tuple((name, row[name]) for name, _ in given)
        comes = Probe("update to a new parent", Update(given, here))
        for leaves in (
            Probe("update of the only row of a parent", Update(former, here)),
            Probe("delete of the only row of a parent", Delete(here)),
        ):
            self._tried += 1
            with attempt(self._conn):
                if self._ask(self._ground.view, comes).sqlstate is not None:
                    return  # another probe compares errors
                parent = self._parent_of_one(place, self._ground.key(row))
                if parent is None or self._ask(self._ground.view, leaves).sqlstate is not None:
                    continue
                stays = bool(read(self._conn, f"SELECT 1 FROM {place.table.sql} WHERE {parent}"))
            assert isinstance(place.part, Parent)
            wanted = "stays" if place.part.orphans == "keep" else "goes"
            if stays != (wanted == "stays"):
                found = "stays" if stays else "goes"
                message = f"{place.table.title}: the parent {found}, the mapping says it {wanted}"
                self._differ("orphan", leaves, message, wanted, found)

    def _parent_of_one(self, place: Place, key: Cells) -> str | None:
        """Return the condition that finds the parent of a row, None where others have it too."""
        row = self._target_row(key)
        if row is None or any(row[other] is None for _, other in place.on):
            return None
        target = self._context.mapping.target.sql
        siblings = where({other: row[other] for _, other in place.on})
        if len(read(self._conn, f"SELECT 1 FROM {target} WHERE {siblings} LIMIT 2")) > 1:
            return None
        return where({mine: row[other] for mine, other in place.on})

    def _side_effects_of_a_move(self, row: Cells, other: Cells) -> None:
        """Check what becomes of a row that goes to the table which another row is in."""
        names = [name for name in self._plan.changeable if name not in self._ground.key_names]
        key = self._ground.key(row)
        statement = Update(tuple((name, other[name]) for name in names), where(key))
        written = [lens for lens in self._context.mapping.lenses if lens.legacy.name in names]
        allowed = tuple(name for lens in written for name in self._written_by(lens, row))
        self._side_effects_of(Probe("update that moves a row", statement), key, allowed)

    def _why_not_write_to_target(self, *privileges: str) -> str | None:
        if self._context.writes_legacy:
            return "the table beneath the view is the legacy one"
        for table in self._context.mapping.tables:
            if table.triggers:
                return "the target has triggers of its own"
            target = f"{literal(table.sql)}::pg_catalog.regclass"
            wanted = ", ".join(map(literal, privileges))
            held = self._conn.execute(
                "SELECT bool_and(pg_catalog.has_table_privilege("
                f"{target}, p)) FROM unnest(ARRAY[{wanted}]) AS p"
            ).fetchone()
            if held != (True,):
                return f"no rights on {table.sql}"
        return None

    def _written_by(self, lens: Lens, row: Cells) -> tuple[str, ...]:
        """Return the columns, as _target_row has them, that a change of a legacy one changes."""
        mapping = self._context.mapping
        carried = in_transition(mapping).lens(lens.legacy.name).targets
        place = next(place for place in mapping.places if lens in mapping.lenses_of(place))
        if isinstance(place.part, Parent):  # another parent, whatever it has
            references = tuple(other for _, other in place.on)
            return (*references, *(_titled(place, name) for name in place.table.column_names))
        if isinstance(place.part, Half) and all(row[name] is None for name in place.part.holds):
            return tuple(_titled(place, name) for name in place.table.column_names)  # made for it
        return (*(_titled(place, name) for name in lens.targets), *carried)

    def _rows_with_flags(self) -> list[Cells]:
        """Return a few rows; among them, for each flag, one where it is set."""
        rows = [self._ground.samples[0]]
        for lens in self._context.mapping.lenses:
            if isinstance(lens.rule, Flag):
                on = worth_trying(lens)[0][:1]
                rows += [r for r in self._ground.samples if (r[lens.legacy.name] or "")[:1] == on][
                    :1
                ]
        return rows

    def _side_effects_of(self, probe: Probe, key: Cells, allowed: tuple[str, ...]) -> None:
        self._tried += 1
        with attempt(self._conn):
            visible = self._ground.view.rows([key])
            if not self._enrich(key):
                return  # the target refuses what we meant to hide there
            enriched = self._ground.view.rows([key])
            self._rows_agree(probe, "shown", visible, enriched, in_order=False)
            before = self._target_row(key)
            if self._ask(self._ground.view, probe).sqlstate is not None:
                return  # another probe compares errors
            after = self._target_row(key)
        for name, value in (before or {}).items():
            now = None if after is None else after[name]
            title, is_computed = self._columns.get(name, (name, False))
            if now != value and name not in allowed and not is_computed:
                message = (
                    f"{title} went from {shown(value)} to "
                    f"{shown(now)}, though the statement does not name it"
                )
                self._differ("side effect", probe, message, value, now)

    @property
    def _whole(self) -> tuple[Table, ...]:
        """The tables that may have the one row by which a legacy row is known."""
        mapping = self._context.mapping
        return (mapping.target, *(choice.table for choice in mapping.choices))

    @cached_property
    def _columns(self) -> dict[str, tuple[str, bool]]:
        """Title, and whether it is computed, of all columns, as _target_row calls them."""
        return {
            _titled(place, column.name): (
                f"{place.table.sql}.{ident(column.name)}",
                column.generated is not None,
            )
            for place in self._context.mapping.places
            for column in place.table.columns
        }

    def _enrich(self, key: Cells) -> bool:
        """Put into a target row what a legacy column cannot show; False if it was refused."""
        assignments = []
        for lens in self._context.mapping.lenses:
            if lens.legacy.name in key or lens.loss is not None or lens.part is not None:
                continue
            match lens.rule:
                case Epoch(unit="s" | "ms" as unit):
                    column, (field, more) = ident(lens.targets[0]), _FRACTIONS[unit]
                    hidden = f"pg_catalog.date_trunc('{field}', {column}) + interval '{more}'"
                    assignments.append(f"{column} = {hidden}")
                case Flag():
                    column = ident(lens.targets[0])
                    assignments.append(f"{column} = {column} - interval '1 day'")
        if not assignments:
            return True
        same = same_target_row(self._context.mapping, _ROW)
        return all(
            self._ground.view.tell(
                f"UPDATE {table.sql} AS t SET {', '.join(assignments)} "
                f"FROM {self._as_row(key)} WHERE {same}"
            ).sqlstate
            is None
            for table in self._whole
        )

    def _target_row(self, key: Cells) -> Cells | None:
        mapping = self._context.mapping
        columns = "t.*"
        if mapping.parts:
            columns = ", ".join(
                f"{place.row.column(name)} AS {ident(_titled(place, name))}"
                for place in mapping.places
                for name in place.table.column_names
            )
        rows = read(
            self._conn,
            f"SELECT {columns} FROM {source(mapping)} CROSS JOIN {self._as_row(key)} "
            f"WHERE {same_target_row(mapping, _ROW)}",
        )
        return rows[0] if rows else None

    def _as_row(self, key: Cells) -> str:
        return newer.row_of(self._context.mapping, key)

    # -- what v2 writes -----------------------------------------------------------------------

    def _write_as_newer(self) -> None:
        """Check that legacy clients see what v2 applications write to the target itself."""
        hindrance = self._why_not_write_to_target("SELECT", "INSERT", "UPDATE", "DELETE")
        if hindrance is not None:
            self._notes.append(f"what v2 writes was not tried: {hindrance}")
            return
        mapping, ground = self._context.mapping, self._ground
        for write in newer.updates(mapping, ground.samples):
            self._compare_newer(write)
        if mapping.is_shaped:
            return
        for row in ground.free[:1]:
            stored = self._target_row(ground.key(row))
            if stored is not None:
                for write in newer.replacement(mapping, row, stored):
                    self._compare_newer(write)
        for lens in mapping.lenses:
            self._forget_spelling(lens)

    def _forget_spelling(self, lens: Lens) -> None:
        """Check what legacy clients see when v2 forgets the spelling of a value that it keeps."""
        column, ground = newer.spelling(lens), self._ground
        if column is None:
            return
        for row in ground.samples:
            stored = self._target_row(ground.key(row))
            if stored is not None and stored[column] is not None:
                self._compare_newer(newer.forgotten(self._context.mapping, lens, row))
                return

    def _compare_newer(self, write: newer.Write) -> None:
        self._tried += 1
        probe = write.probe
        assert isinstance(probe.statement, Direct)
        with attempt(self._conn):
            for sql in probe.statement.texts:
                answer = self._told(partial(self._ground.view.tell, sql))
                if answer.sqlstate is not None:
                    if not (write.may_fail and _is_constraint(answer)):
                        self._differ("sqlstate", probe, answer.said, None, answer.sqlstate)
                    return
                if answer.tag.endswith(" 0"):
                    if not self._context.mapping.is_shaped:  # else another table may have it
                        message = f"{answer.tag}, though the row is there"
                        self._differ("row count", probe, message, None, answer.tag)
                    return
            self._check_bridge(probe, [write.key])
            seen = self._ground.view.rows([write.key])
            kept = self._table.rows([write.key]) if self._context.is_cutover else seen
        expected = () if write.shows is None else (write.shows,)
        self._rows_agree(probe, "shown", expected, seen, in_order=False)
        self._rows_agree(probe, _SYNCED, kept, seen, in_order=False)


def _titled(place: Place, column: str) -> str:
    """Return what a column is called among those of all places."""
    return column if place.part is None else derive(column, f" of {place.row.name}")


def _is_raised(error: Disturbed) -> bool:
    """Return whether a 40001 was raised by a trigger function, not by PostgreSQL itself."""
    cause = error.__cause__
    return (
        error.sqlstate == _SERIALIZATION
        and isinstance(cause, psycopg.Error)
        and cause.diag.source_function == "exec_stmt_raise"
    )


def _is_constraint(answer: Answer) -> bool:
    """Return whether the target itself, by a constraint, refuses what v2 was to write."""
    return answer.sqlstate == "23502" or answer.blame[1] is not None


_ROW = newer.LEGACY

# By the unit of a legacy column: what a timestamp is cut to, and what is added that it cannot show.
_FRACTIONS = {"s": ("second", "0.6 seconds"), "ms": ("milliseconds", "600 microseconds")}
