"""What legacy clients can still do through each form of the view, and what they cannot.

The rows were measured on PostgreSQL 15 and 18; `compat plan` prints those of the chosen form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from compat.bridge import key_sequences
from compat.mapping import Form, Mapping

Verdict = Literal["kept", "kept with a note", "not possible"]


@dataclass(frozen=True)
class Behaviour:
    """One thing that clients do, and what becomes of it."""

    behaviour: str
    verdict: Verdict
    note: str = ""


_FOR_UPDATE: Final = "SELECT … FOR UPDATE, SKIP LOCKED"
_INBOUND: Final = "inbound foreign keys"
_COPY: Final = "COPY … FROM"
_ON_COLUMNS: Final = "ON CONFLICT (columns)"
_CONSTANT: Final = "writing a constant column"
_NAMES_IN_ERRORS: Final = "constraint and column names in errors"
_NO_COPY: Final = 'use INSERT, or needs=("copy",)'

_BOTH: Final = (
    Behaviour("column names, order and exact types; prepared SELECT *", "kept"),
    Behaviour("column defaults, the DEFAULT keyword", "kept"),
    Behaviour("RETURNING and row counts", "kept"),
    Behaviour("currval, lastval, pg_get_serial_sequence", "kept"),
    Behaviour("owner, table and column grants, comments", "kept"),
    Behaviour(_INBOUND, "kept", "a twin on the target, validated before contract"),
    Behaviour(
        "legacy CHECK, UNIQUE and NOT NULL constraints",
        "kept with a note",
        "the retired table enforces them until contract; afterwards only the target's own",
    ),
    Behaviour("REPEATABLE READ and SERIALIZABLE conflicts", "kept", "40001, as on a table"),
    Behaviour(_FOR_UPDATE, "kept"),
    Behaviour("ON CONFLICT ON CONSTRAINT name", "not possible"),
    Behaviour("LOCK TABLE", "kept", "the tables behind the view are locked with it"),
    Behaviour("MERGE", "kept with a note", "from PostgreSQL 17 on"),
    Behaviour("TRUNCATE", "not possible", "use DELETE"),
    Behaviour("WHERE CURRENT OF, ctid, xmin, tableoid", "not possible"),
    Behaviour("GROUP BY the key with other columns selected", "not possible", "no primary key"),
    Behaviour("new foreign keys to the name, new indexes on it", "not possible"),
    Behaviour(
        "ALTER TABLE on the name, new row triggers on it",
        "not possible",
        "views have neither; say it of the target",
    ),
    Behaviour(
        "AFTER row triggers on the legacy table",
        "kept with a note",
        "they fire on the retired table until contract; current_user is the owner there",
    ),
    Behaviour("views, rules, SQL functions and policies that mean the legacy table", "kept"),
    Behaviour("reflection", "kept with a note", "listed as a view, without a primary key"),
)

_NO_TRIGGERS_OF_ITS_OWN: Final = (
    Behaviour("row-level security", "not possible", "`auto` takes instead_of, which keeps it"),
    Behaviour(
        "BEFORE row triggers on the legacy table",
        "not possible",
        "they fire on the retired table; what they change is changed there only",
    ),
)

_UPDATABLE: Final = (
    *_NO_TRIGGERS_OF_ITS_OWN,
    Behaviour("concurrent qty = qty + 1, claims, stale deletes", "kept", "re-checked natively"),
    Behaviour(_ON_COLUMNS, "kept", "the arbiter is the target's index"),
    Behaviour(_COPY, "not possible", _NO_COPY),
    Behaviour(_CONSTANT, "not possible", "0A000"),
    Behaviour(_NAMES_IN_ERRORS, "kept with a note", "those of the target"),
)

_BRIDGED: Final = (
    *_NO_TRIGGERS_OF_ITS_OWN,
    Behaviour("concurrent qty = qty + 1, claims, stale deletes", "kept", "re-checked natively"),
    Behaviour(
        _ON_COLUMNS,
        "kept",
        "the arbiter is the target's index; the bridge has one where the legacy table has",
    ),
    Behaviour(_COPY, "not possible", _NO_COPY),
    Behaviour(
        _NAMES_IN_ERRORS,
        "kept with a note",
        "NOT NULL as the legacy table, except in an UPDATE of what is only renamed; other "
        "constraints by the target's names",
    ),
)

_INSERTS_BY_TRIGGER: Final = (
    Behaviour(_ON_COLUMNS, "not possible", "42P10; handle 23505 instead"),
    Behaviour("ON CONFLICT DO NOTHING", "not possible", "accepted, but raises 23505"),
    Behaviour(_COPY, "kept"),
    Behaviour("current_user inside defaults of the target", "kept with a note", "is the owner"),
)
"""Where an INSTEAD OF trigger takes INSERTs, whatever else the view is."""

_PLAIN_BUT_FOR_INSERTS: Final = (
    *_INSERTS_BY_TRIGGER,
    Behaviour(
        "MERGE",
        "not possible",
        "0A000 where it inserts and also updates or deletes; either alone from PostgreSQL 17 on",
    ),
    Behaviour(
        _NAMES_IN_ERRORS,
        "kept with a note",
        "an INSERT's are those of the legacy table; an UPDATE's or DELETE's may be the target's",
    ),
)

_INSTEAD_OF: Final = (
    Behaviour(
        "row-level security",
        "kept with a note",
        "SELECT … FOR UPDATE locks what may be read; INSERT … RETURNING shows a row that is hidden",
    ),
    Behaviour(
        "BEFORE row triggers on the legacy table",
        "kept with a note",
        "they move to the view, unless they have a condition or columns; v2 does not set them off",
    ),
    Behaviour(
        "concurrent qty = qty + 1, claims, stale deletes",
        "kept with a note",
        "nothing is lost; the second writer gets 40001 and must retry",
    ),
    *_INSERTS_BY_TRIGGER,
    Behaviour(_NAMES_IN_ERRORS, "kept"),
    Behaviour(
        "errors at COMMIT, and of what only the target enforces",
        "kept with a note",
        "by the target's names; under REPEATABLE READ a duplicate of what the snapshot does not "
        "show is 40001 instead of 23505",
    ),
)

_REVERSED: Final = (
    Behaviour(
        "column names, order and exact types; prepared SELECT *",
        "kept with a note",
        "the new columns come last, in SELECT * as well; one prepared before expand fails (0A000)",
    ),
    *(
        Behaviour(behaviour, "kept")
        for behaviour in (
            "column defaults, the DEFAULT keyword",
            "RETURNING and row counts",
            "currval, lastval, pg_get_serial_sequence",
            "owner, table and column grants, comments",
            _INBOUND,
            "legacy CHECK, UNIQUE and NOT NULL constraints",
            "REPEATABLE READ and SERIALIZABLE conflicts",
            "SELECT … FOR UPDATE, SKIP LOCKED",
            "ON CONFLICT ON CONSTRAINT name",
            _ON_COLUMNS,
            "LOCK TABLE",
            "MERGE",
            "TRUNCATE",
            "WHERE CURRENT OF, ctid, xmin, tableoid",
            "GROUP BY the key with other columns selected",
            "new foreign keys to the name, new indexes on it",
            "ALTER TABLE on the name, new row triggers on it",
            "AFTER row triggers on the legacy table",
            "BEFORE row triggers on the legacy table",
            "views, rules, SQL functions and policies that mean the legacy table",
            "concurrent qty = qty + 1, claims, stale deletes",
            _NAMES_IN_ERRORS,
        )
    ),
    Behaviour("row-level security", "not possible", "v2's view would read with its owner's rights"),
    Behaviour(_COPY, "kept with a note", "without a column list it must bring the new ones"),
    Behaviour("current_user inside defaults of the target", "kept with a note", "is the owner"),
    Behaviour("reflection", "kept with a note", "the new columns are listed"),
    Behaviour(
        "CHECK constraints and foreign keys of the target",
        "not possible",
        "what v2 writes is held to them once the target has the rows, see `compat switch`",
    ),
)


_MERGE_FROM: Final[dict[bool, int]] = {True: 15, False: 17}
"""PostgreSQL's major version from which MERGE writes to tables (True), and to views."""

_BY_FORM: Final[dict[Form, tuple[Behaviour, ...]]] = {
    "updatable": _BOTH + _UPDATABLE,
    "bridged": _BOTH + _BRIDGED,
    "instead_of": _BOTH + _INSTEAD_OF,
    "reversed": _REVERSED,
}


def behaviours(form: Form) -> tuple[Behaviour, ...]:
    """Return what becomes of each behaviour under a form."""
    return _BY_FORM[form]


def behaviours_of(mapping: Mapping) -> tuple[Behaviour, ...]:
    """Return what becomes of each behaviour under a mapping: its form, and over how many tables."""
    found = {item.behaviour: item for item in behaviours(mapping.chosen_form)}
    return tuple((found | _of_its_own(mapping)).values())


def _of_its_own(mapping: Mapping) -> dict[str, Behaviour]:
    """Return what a mapping does not have of its form alone, by behaviour."""
    found = [
        *_not_enforced(mapping),
        *_drawn(mapping),
        *(Behaviour(name, "not possible", why) for name, why in _prevented(mapping).items()),
    ]
    if mapping.inserts_by_trigger and mapping.chosen_form != "instead_of":
        found += _PLAIN_BUT_FOR_INSERTS
        if mapping.chosen_form == "updatable":
            found.append(Behaviour(_CONSTANT, "not possible", "0A000 in an UPDATE"))
    return {item.behaviour: item for item in found}


def _not_enforced(mapping: Mapping) -> tuple[Behaviour, ...]:
    """Return what v2 asks of a row, and the legacy table that carries v2's columns does not."""
    if mapping.chosen_form != "reversed":
        return ()
    names = [c.name for c in mapping.target.constraints if c.kind in ("check", "foreign_key")]
    if not names:
        return ()
    when = f"{', '.join(names)}: not before {mapping.target.title} has the rows, after a switch"
    return (Behaviour("CHECKs and foreign keys of v2", "not possible", when),)


def _drawn(mapping: Mapping) -> tuple[Behaviour, ...]:
    """Return what a key of v2 does not refuse where a trigger draws it."""
    keys = [mapping.lens(item.column).targets[0] for item in key_sequences(mapping)]
    if not keys:
        return ()
    note = f"{', '.join(keys)}: draws a number while the bridge is there; a table says 23502"
    return (Behaviour("NULL given for v2's key is refused", "not possible", note),)


def _prevented(mapping: Mapping) -> dict[str, str]:
    """Return the behaviours that no view over the tables of a mapping could have, and why."""
    if mapping.choices:
        return {
            _FOR_UPDATE: "0A000: the rows are in several tables",
            _INBOUND: "a key references one table; the cutover is refused",
        }
    if any(place.part is not None and place.part.may_lack for place in mapping.places):
        return {_FOR_UPDATE: "0A000: some rows lack a part"}
    return {}


def find(behaviour: str, form: Form, server_version: int | None = None) -> Behaviour:
    """Return what becomes of one behaviour under a form; what no row speaks of is kept.

    :param behaviour: its title
    :param server_version: PostgreSQL's major version, as in 15, None if not known
    """
    if behaviour == "MERGE" and server_version is not None:
        first = _MERGE_FROM[form == "reversed"]
        verdict: Verdict = "kept" if server_version >= first else "not possible"
        return Behaviour(behaviour, verdict, f"from {first} on")
    known = (item for item in behaviours(form) if item.behaviour == behaviour)
    return next(known, Behaviour(behaviour, "kept"))


def find_of(behaviour: str, mapping: Mapping, server_version: int | None = None) -> Behaviour:
    """Return what becomes of one behaviour under a mapping; see `find`."""
    by_form = find(behaviour, mapping.chosen_form, server_version)
    return _of_its_own(mapping).get(behaviour, by_form)


def is_known(behaviour: str) -> bool:
    """Tell whether some form has something to say of a behaviour."""
    return any(item.behaviour == behaviour for form in get_args(Form) for item in behaviours(form))
