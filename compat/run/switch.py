"""A live migration goes from one form to another, while its clients go on writing.

Where rows have to be copied or filled, that happens beside what serves everybody, as before a
cutover; then one short transaction makes the change. Killed at any moment, the same command goes
on where it was: the database knows the form that is under way, and how far the copy has come.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import psycopg

from compat import catalog, state
from compat.compile import switch as compiled
from compat.connection import Connection
from compat.errors import DataError, StateError
from compat.log import event
from compat.mapping import Form, Mapping
from compat.run import health
from compat.run.copy import CopyOptions, CopyState, copy_between
from compat.run.dependents import dependents
from compat.run.quiet import copying
from compat.run.retry import LockPolicy, in_transaction


@dataclass(frozen=True)
class Switched:
    """What a switch did: `changed` is False when the migration had the form already.

    :param rows: how many rows were copied, or got columns filled; None where none had to
    """

    mapping: str
    before: Form
    after: Form
    changed: bool
    seconds: float = 0.0
    rows: int | None = None


def switch(
    conn: Connection,
    name: str,
    to: Form,
    options: CopyOptions | None = None,
    on_progress: Callable[[CopyState], None] = lambda state: None,
) -> Switched:
    """Switch a migration that was cut over to another form.

    :raises MappingError: the mapping cannot have that form
    :raises StateError: the migration is in another phase, locks could not be had, or there is no
        way from the one form to the other
    :raises DataError: the form refuses a row
    :raises CompatError: the role may not write rows without setting off triggers of others
    """
    options = options or CopyOptions()
    started = time.monotonic()
    state.lock(conn, name)
    stored = state.load(conn, name)
    before, after = switchable(conn, stored, to)
    if to == before.chosen_form and stored.switching is None:
        return Switched(name, to, to, False)
    event("switch.start", mapping=name, before=before.chosen_form, after=to)
    rows = None
    if to == before.chosen_form:
        _abandon(conn, stored, options.lock_policy)
    else:
        rows = _copy(conn, stored, after, options, on_progress)
        finish = compiled.WAYS[before.chosen_form, to].finish
        _in_transaction(conn, finish(before, after), options.lock_policy, name)
    seconds = time.monotonic() - started
    event("switch.end", mapping=name, after=to, seconds=round(seconds, 4))
    return Switched(name, before.chosen_form, to, True, seconds, rows)


def switchable(conn: Connection, stored: state.Stored, to: Form) -> tuple[Mapping, Mapping]:
    """Return the mapping before and after a switch. Changes nothing.

    :raises MappingError: the mapping cannot have that form
    :raises StateError: it would be refused
    """
    before, name = stored.mapping, stored.mapping.name
    if stored.phase != "cutover":
        raise StateError(
            f"switch of {name!r} needs the phase cutover; it is {stored.phase}",
            "before the cutover, unexpand it and expand it in the other form",
        )
    if stored.stated != before:
        raise StateError(
            f"{name!r} reads through {', '.join(before.through)}",
            "contract the later migration first, or roll it back",
        )
    now = before.chosen_form
    if to == now:
        return before, before
    if stored.switching not in (None, to):
        raise StateError(
            f"{name!r} is being switched to {stored.switching}",
            f"`compat switch {shlex.quote(name)} --to {now} --execute` takes that back",
        )
    after = replace(before, form=to)
    if (now, to) not in compiled.WAYS:
        raise StateError(
            f"there is no way from {now} to {to}",
            "roll it back, unexpand it, and expand it in the other form; nothing is lost",
        )
    if now == "reversed":
        _require_free(conn, before, after)
    if to == "reversed":
        _require_spare(conn, before)
    return before, after


def _require_free(conn: Connection, before: Mapping, after: Mapping) -> None:
    """Look for what could not follow the legacy name to a view, as before a cutover.

    :raises StateError: names it
    """
    relation = catalog.find_exact(conn, before.legacy.schema, before.legacy.name)
    if relation is None:
        return
    # What is to be there already, unique constraints say, the target has while it is set aside.
    aside = replace(after, target=replace(after.target, name=before.aside_name))
    found = [item for item in dependents(conn, aside, relation) if item.verdict == "refusal"]
    if found:
        lines = "".join(f"\n  {item.kind} {item.name}: {item.what_happens}" for item in found)
        raise StateError(f"switch of {before.name!r} is refused:{lines}", found[0].fix)


_HOLDING_ON = """
SELECT format('the foreign key %%I of %%s', conname, conrelid::regclass) AS what
FROM pg_constraint c WHERE contype = 'f' AND confrelid = %(target)s::regclass
AND conrelid <> confrelid AND conparentid = 0 AND NOT EXISTS (
    SELECT FROM compat.foreign_key f WHERE f.referencing = conrelid AND f.twin_name = conname)
UNION ALL
SELECT format('the trigger %%I', tgname) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE tgrelid = %(target)s::regclass AND NOT tgisinternal
AND pronamespace <> 'compat'::regnamespace
UNION ALL
SELECT format('the rule %%I', rulename) FROM pg_rewrite WHERE ev_class = %(target)s::regclass
UNION ALL
SELECT DISTINCT format('the materialized view %%s', ev_class::regclass)
FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'm'
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(target)s::regclass
UNION ALL
SELECT format('the publication %%I', pubname)
FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid
WHERE prrelid = %(target)s::regclass
UNION ALL
SELECT DISTINCT format('the row type, in %%s', pg_describe_object(d.classid, d.objid, d.objsubid))
FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid AND d.refclassid = 'pg_type'::regclass
WHERE d.deptype = 'n' AND t.oid IN (
    SELECT unnest(ARRAY[reltype, typarray]) FROM pg_class c JOIN pg_type r ON r.oid = c.reltype
    WHERE c.oid = %(target)s::regclass)
ORDER BY 1
"""


def _require_spare(conn: Connection, before: Mapping) -> None:
    """Look for what would go on to mean the target, which is to be empty and set aside.

    :raises StateError: names it
    """
    rows = conn.execute(_HOLDING_ON, {"target": before.target.sql}).fetchall()
    if rows:
        raise StateError(
            f"{before.target.title} cannot become a view: "
            f"{', '.join(what for (what,) in rows)} would go on to mean the table that is set "
            "aside, which is empty then",
            f"drop them until {before.target.title} holds the rows again",
        )


def _copy(
    conn: Connection,
    stored: state.Stored,
    after: Mapping,
    options: CopyOptions,
    on_progress: Callable[[CopyState], None],
) -> int | None:
    """Make the place ready to which clients are to change over; return its rows.

    None where nothing has to be copied.
    """
    before, name = stored.mapping, stored.mapping.name
    steps = compiled.WAYS[before.chosen_form, after.chosen_form].copied
    if steps is None:
        return None
    between = steps.between(before, after)
    if stored.switching is None:
        with copying(conn, between):
            pass  # if the role may not do it, nothing is begun
        _in_transaction(conn, steps.begin(before, after), options.lock_policy, name)
    try:
        result = copy_between(conn, name, between, options, on_progress)
    except psycopg.errors.UniqueViolation as error:
        diag = error.diag
        raise DataError(
            f"{diag.message_primary}: {diag.message_detail}",
            f"correct the rows, or {_back(before)}",
        ) from error
    # Somebody may have put "right" what makes both places follow, or taken it away.
    problems = health.definition_problems(conn, state.load(conn, name))
    if problems:
        raise StateError("; ".join(problems), _back(before))
    row = conn.execute(steps.different(before, after)).fetchone()
    if row != (0,):
        raise StateError(
            f"{row[0] if row else 'some'} rows of {between.legacy.title} are not in the form "
            f"{after.chosen_form} what they are as {before.chosen_form}",
            f"{_back(before)}; then look at triggers of the table that change what is written",
        )
    return result.rows_seen


def _abandon(conn: Connection, stored: state.Stored, policy: LockPolicy) -> None:
    before = stored.mapping
    assert stored.switching is not None
    way = compiled.WAYS[before.chosen_form, stored.switching]
    assert way.copied is not None
    other = replace(before, form=stored.switching)
    _in_transaction(conn, way.copied.abandon(before, other), policy, before.name)


def _back(before: Mapping) -> str:
    form, name = before.chosen_form, shlex.quote(before.name)
    return f"`compat switch {name} --to {form} --execute` takes it back"


def _in_transaction(
    conn: Connection, statements: Iterable[str], policy: LockPolicy, name: str
) -> None:
    def work(conn: Connection) -> None:
        for statement in statements:
            conn.execute(statement)

    try:
        in_transaction(conn, work, policy, f"switch of {name!r}")
    except (
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.FeatureNotSupported,  # TRUNCATE of what something references by now
    ) as error:
        raise StateError(
            error.diag.message_primary or str(error), error.diag.message_hint
        ) from error
