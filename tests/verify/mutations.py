"""Mutations of the generated view and triggers, made mechanically: does the verifier see them?

`make mutations` tries all of them, by behaviour alone: the check `structure`, which sees every edit
by comparing texts, is not asked.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass, field, replace
from itertools import pairwise

import psycopg

import verify
from compat.compile import bridge, lookups, sync, view
from compat.compile.functions import TARGET
from compat.database import provide_database
from compat.mapping import Mapping
from compat.names import ident
from tests.compat import shaped
from tests.verify import journey, test_good_migrations
from tests.verify.journey import Connection

BEHAVIOUR = ("contents", "probes", "concurrency")


@dataclass(frozen=True)
class Mutation:
    """One change.

    :param plant: the statement that makes it
    :param undo: the statement that takes it back
    """

    title: str
    plant: str
    undo: str

    @property
    def kind(self) -> str:
        """What is changed: the view, a default, a trigger, or the function of that name."""
        return self.title.partition(":")[0].partition(" ")[0]


@dataclass(frozen=True)
class Subject:
    """A migration whose generated SQL is mutated.

    :param make: creates tables with rows and returns the mapping
    :param unseen_ones: patterns of the titles of what no check can see, and why; most of it changes
        no behaviour
    """

    name: str
    make: Callable[[Connection], Mapping]
    unseen_ones: Mapping_[str, str] = field(default_factory=dict)

    def prepared(self, conn: Connection) -> Mapping:
        """Return the mapping after the cutover."""
        mapping = self.make(conn)
        journey.copied(conn, mapping)
        journey.cut_over(conn, mapping)
        for table in mapping.tables:
            if table.column("hidden") is not None:
                conn.execute(f"UPDATE {table.sql} SET hidden = 'kept'")
        return mapping

    def mutations(self, mapping: Mapping) -> list[Mutation]:
        """Return the mutations of a mapping that is cut over, but those that no check sees."""
        return [item for item in _made(mapping) if not self._is_unseen(item)]

    def unseen(self, mapping: Mapping) -> list[Mutation]:
        """Return the mutations that none of the checks can see."""
        return [item for item in _made(mapping) if self._is_unseen(item)]

    def _is_unseen(self, mutation: Mutation) -> bool:
        return any(
            re.fullmatch(pattern, mutation.title) for pattern in (*EVERYWHERE, *self.unseen_ones)
        )


def _made(mapping: Mapping) -> Iterator[Mutation]:
    yield from _of_the_view(mapping)
    yield from _of_the_defaults(mapping)
    yield from _of_the_triggers(mapping)
    yield from _of_the_functions(mapping)


def find(conn: Connection, mutation: Mutation) -> list[str]:
    """Plant a mutation, and return which checks see it; what it did is undone."""
    conn.execute(mutation.plant)
    try:
        report = verify.run(conn, BEHAVIOUR, limit=1)
    finally:
        conn.execute(mutation.undo)
    return [
        result.check for result in report.results if result.status is verify.Status.DOES_NOT_HOLD
    ]


# -- what is mutated ------------------------------------------------------------------------------


def bridged_shop(conn: Connection) -> Mapping:
    """Return the mapping of order lines whose target carries a bridge."""
    return replace(journey.shop_mapping(conn), form="bridged")


def customers(conn: Connection) -> Mapping:
    """Return a mapping that keeps addresses in a table of their own, which need not have a row."""
    mapping = shaped.customers(conn, optional=True).mapping
    conn.execute(
        "INSERT INTO customers (name, street, city, vip) SELECT 'name ' || i, "
        "nullif('street ' || i % 9, 'street 3'), nullif('city ' || i % 6, 'city 0'), i % 3 = 0 "
        "FROM generate_series(1, 40) i"
    )
    return mapping


def tasks(conn: Connection) -> Mapping:
    """Return a mapping that keeps authors in a table of their own, as long as they have tasks."""
    mapping = shaped.tasks(conn, orphans="delete").mapping
    conn.execute(
        "INSERT INTO task (author, task, prio) SELECT nullif('author ' || i % 7, 'author 3'), "
        "'task ' || i, nullif(i % 5, 4) FROM generate_series(1, 40) i"
    )
    return mapping


_ROUND_TRIP = "what the rule reads is what it wrote, so that writing it again changes nothing"
_NOT_TRIED = "a TRUNCATE would lock a live table: only `structure` looks at its trigger"
_BETWEEN = "only who writes between two statements of the function could tell"
_LOCKED_TWICE = "another lock on the same row is left, which holds others off as well"
_NOT_RACED = "the races are those of legacy clients, not of v2 writers with each other"
_ONE_SHAPE = "the probes write one shape at a time"
_ALSO_TARGET = "the target says the same of that column by itself"
_REFUSED_ANYWAY = "where a key is taken the row is refused, whatever becomes of its parent"
_COME_AND_GONE = "only who makes a parent and takes it back between two statements could tell"
_NOT_REFERENCED = "this is done for rows that others refer to, and nothing refers to these"

EVERYWHERE = {
    r'trigger ".*_truncate.*" dropped': _NOT_TRIED,
    r'trigger "compat_horizon" dropped': "then all contents are compared, which takes longer",
    r"reverse: DELETE dropped, 1": _NOT_TRIED,
    r"\w+: INSERT \d+ again, .*": _BETWEEN,
    r"reverse: lock dropped, \d+": _NOT_RACED,
}
_DELETED_TWICE = {
    r"reverse: DELETE dropped, 2": "the next DELETE does the same, with one look more",
    r"reverse: DELETE dropped, 3": "it is for rows of the same transaction: tests/compat/test_sync",
}
SUBJECTS = (
    Subject(
        "triggers",
        journey.shop_mapping,
        {
            **_DELETED_TWICE,
            r'trigger "compat_delete" dropped': "PostgreSQL then deletes by itself",
            r"insert: duplicates raise by themselves, 2": "where parents may not be read",
            r'update: SET list [124]: "(unit_price|unit_price_text|status|deleted_at)" '
            r"written though unchanged": _ROUND_TRIP,
        },
    ),
    Subject(
        "bridge",
        bridged_shop,
        {
            **_DELETED_TWICE,
            r"default of id dropped": "the target draws from the same sequence",
            r'trigger "00_compat_bridge_nulls" dropped': _ALSO_TARGET,
            r"bridge_(insert|nulls): null check off, 1": _ALSO_TARGET,
            r"bridge_nulls: RETURN .*": "it returns only where it had nothing to refuse",
            r"bridge_insert: assignment dropped, 1": "nobody reads the marker of a stored row",
            r"bridge_\w+: contradiction allowed, \d+": _ONE_SHAPE,
            r"bridge_update_1: a changed column forgotten, 1": _ONE_SHAPE,
        },
    ),
    Subject(
        "lookups",
        test_good_migrations.references_by_uuid_and_a_document,
        {
            **_DELETED_TWICE,
            r'(trigger "01_compat_products__follow_1" dropped|follow_1: .*)': (
                "parents keep their numbers: retired rows refer to them"
            ),
            r".*: INSERT 1, value 3 of .*products_v2. → NULL": "a trigger adds the number",
            r'update: SET list 1: "legacy_maker" .*': "a trigger adds the number",
            r"update: SET list \d: .* written though unchanged": _ROUND_TRIP,
            r"update: null check off, 1": _ALSO_TARGET,
            r"reverse: INSERT 1, value .*": "rows arrive by the statement, not by this INSERT",
        },
    ),
    Subject(
        "half",
        customers,
        {
            r"\w+: SET list \d: .* written though unchanged": _ROUND_TRIP,
            r"\w+: lock dropped, [13]": _LOCKED_TWICE,
            r"(update|delete): WHERE dropped, 1": "the row is read again under its lock",
        },
    ),
    Subject(
        "parent",
        tasks,
        {
            r"\w+: SET list \d: .* written though unchanged": _ROUND_TRIP,
            r"\w+: null check off, 1": _ALSO_TARGET,
            r"\w+: lock dropped, \d+": _LOCKED_TWICE,
            r"(update|delete): WHERE dropped, 1": "the row is read again under its lock",
            r"delete: WHERE dropped, 2": _NOT_REFERENCED,
            r"insert: (INSERT 1, value 1 of .*|conflict not expected, 1)": _REFUSED_ANYWAY,
            r"(insert: conflicts are silent, 1|update: conflicts are silent, 2)": _COME_AND_GONE,
            r'update: SET list 2: "id" forgotten': "a new key is written by list 1",
            r"update: first changed column forgotten, 1": "it locks parents early, in their order",
        },
    ),
    Subject(
        "choices",
        test_good_migrations.rows_in_one_of_two_tables,
        {
            r"\w+: null check off, 1": _ALSO_TARGET,
            r"\w+: duplicates raise by themselves, \d": "under its lock the key is free",
            r'update: SET list [24]: "id" forgotten': "a new key is written by lists 1 and 3",
            r'update: SET list [12]: "state" forgotten': "a row that is done and stays is done",
            r"update: always moved, \d": "only a row that v2 has put elsewhere stays so",
        },
    ),
)
_BY_NAME = {subject.name: subject for subject in SUBJECTS}


# -- view ---------------------------------------------------------------------------------------


def _of_the_view(mapping: Mapping) -> Iterator[Mutation]:
    query = view.select(mapping)
    head = f"CREATE OR REPLACE VIEW {mapping.legacy.sql} AS "
    for title, changed in _reads(mapping, query):
        if changed != query:
            yield Mutation(f"view: {title}", head + changed, head + query)


def _reads(mapping: Mapping, query: str) -> Iterator[tuple[str, str]]:
    lenses = mapping.lenses
    reads = dict(mapping.reads(TARGET))
    columns = {name: f"{sql} AS {ident(name)}" for name, sql in reads.items()}
    if mapping.chosen_form == "bridged":
        reads = {name: f"b.{ident(name)}" for name in reads}
        query = re.sub(r'(b\.("[^"]+"))(?=[,\n])', r"\1 AS \2", query)
        columns = {name: f"{sql} AS {ident(name)}" for name, sql in reads.items()}
    for first, second in pairwise(lenses):
        if first.legacy.type == second.legacy.type:
            a, b = first.legacy.name, second.legacy.name
            swapped = query.replace(columns[a], f"{reads[b]} AS {ident(a)}")
            swapped = swapped.replace(columns[b], f"{reads[a]} AS {ident(b)}")
            yield f"{a} and {b} swapped", swapped
    for lens in lenses:
        name = lens.legacy.name
        if name not in mapping.legacy.row_key:
            nothing = f"NULL::{lens.legacy.type} AS {ident(name)}"
            yield f"{name} → NULL", query.replace(columns[name], nothing)
    alias, key = "t", mapping.key[0].targets[0]
    if mapping.chosen_form == "bridged":
        alias, key = "b", mapping.key[0].legacy.name
    yield "one row left out", f"{query} WHERE {alias}.{ident(key)} <> 7"
    yield "all rows twice", f"{query} CROSS JOIN (VALUES (1), (2)) AS twice"
    for title, old, new in (
        ("two branches of a CASE swapped", r"THEN 1::(.*?)THEN 2::", r"THEN 2::\1THEN 1::"),
        ("last branch of a CASE", r"THEN 4::", r"THEN 3::"),
        ("side column ignored", r"\"unit_price_text\" IS NOT NULL AND", r"\g<0> false AND"),
        ("floor → ceil", r"floor\(", r"ceil("),
        ("floor → round", r"floor\(", r"round("),
        ("time zone", r"'UTC'", r"'Asia/Tokyo'"),
        ("flag turned", r"\(t\.\"deleted_at\" IS NOT NULL\)", r'(t."deleted_at" IS NULL)'),
    ):
        changed = re.sub(old, new, query, count=1)
        if changed != query:
            yield title, changed


def _of_the_defaults(mapping: Mapping) -> Iterator[Mutation]:
    for column in mapping.legacy.columns:
        if column.default is None:
            continue
        alter = f"ALTER VIEW {mapping.legacy.sql} ALTER {ident(column.name)}"
        undo = f"{alter} SET DEFAULT {column.default}"
        yield Mutation(f"default of {column.name} dropped", f"{alter} DROP DEFAULT", undo)
        if column.type == "integer":
            yield Mutation(f"default of {column.name} → 3", f"{alter} SET DEFAULT 3", undo)


# -- triggers -----------------------------------------------------------------------------------


def _of_the_triggers(mapping: Mapping) -> Iterator[Mutation]:
    for statement in [
        *view.create_view(mapping, mapping.legacy.name),
        *sync.attach_reverse(mapping),
        *_attached(mapping),
    ]:
        if match := re.search(r'CREATE TRIGGER ("[^"]+")[^;]*?\sON (".+?"\.".+?") ?\s', statement):
            drop = f"DROP TRIGGER {match[1]} ON {match[2]}"
            yield Mutation(f"trigger {match[1]} dropped", drop, statement)


def _attached(mapping: Mapping) -> list[str]:
    """Return the statements that attach triggers to the target, and those of their functions."""
    made = lookups.create(mapping)
    if mapping.chosen_form == "bridged":
        made += [*bridge.define(mapping), *bridge.attach(mapping)]
    return made


def _of_the_functions(mapping: Mapping) -> Iterator[Mutation]:
    for statement in [
        *view.create_view(mapping),
        *sync.define_reverse(mapping),
        *_attached(mapping),
    ]:
        if match := re.match(r'CREATE OR REPLACE FUNCTION "compat"\.".*__(\w+)"\(\)', statement):
            for title, changed in _bodies(match[1], statement):
                if changed != statement:
                    yield Mutation(f"{match[1]}: {title}", changed, statement)


def _bodies(operation: str, text: str) -> Iterator[tuple[str, str]]:
    yield from _assignments(text)
    yield from _inserted(text)
    for title, old, new in _PATTERNS:
        for number, match in enumerate(re.finditer(old, text)):
            changed = text[: match.start()] + match.expand(new) + text[match.end() :]
            if operation == "reverse" and title in _ONLY_OF_THE_VIEW:
                continue
            yield f"{title}, {number + 1}", changed


_PATTERNS = (
    ("guard dropped", r"\n +AND ROW\(.*?ROW\(OLD\.\*\)::record", r""),
    ("guard always false", r"\n +AND ROW\(.*?ROW\(OLD\.\*\)::record", r" AND false"),
    ("age not compared", r"\n +AND pg_catalog\.age\(t\.xmin\) > noted\.horizon", r""),
    ("RETURN NEW → NULL", r"RETURN NEW;", r"RETURN NULL;"),
    ("RETURN NEW → OLD", r"(?<=FOUND THEN\n        )RETURN NEW;", r"RETURN OLD;"),
    ("RETURN OLD → NULL", r"RETURN OLD;", r"RETURN NULL;"),
    ("RETURN a changed row", r"RETURN NEW;", r"NEW.note := 'mutant'; RETURN NEW;"),
    ("null check off", r"IF pg_catalog\.num_nulls", r"IF false AND pg_catalog.num_nulls"),
    ("other SQLSTATE for null", r"PERFORM compat\.refuse_null\((NEW, '\w+', '\w+'), .*?\);",
     r"PERFORM compat.refuse_check(\1, 'nulls');"),
    ("check off", r"IF NOT \(\(", r"IF false AND NOT (("),
    ("duplicates raise by themselves", r"\n    ON CONFLICT DO NOTHING", r""),
    ("FOUND turned", r"IF FOUND(?= THEN\n        RETURN (NEW|OLD))", r"IF NOT FOUND"),
    ("own changes are conflicts", r" AND NOT compat\.is_own_change\(t\.xmin\)", r""),
    ("conflicts are silent", r"RAISE EXCEPTION USING ERRCODE = 'serialization_failure'",
     r"RETURN NULL; \g<0>"),
    ("branches of the update turned", r"IF (NEW\.\"price\" IS)(.*?) THEN\n( +)(UPDATE|<<)",
     r"IF NOT (\1\2) THEN\n\3\4"),
    ("a changed column forgotten", r"\n    OR NEW\.\"(\w+)\" IS DISTINCT FROM OLD\.\"\1\"", r""),
    ("a guard off", r"IF NOT \(ROW\(.*?ROW\(OLD\.\*\)::record\) THEN", r"IF false THEN"),
    ("lock dropped", r" FOR (NO KEY UPDATE|UPDATE|SHARE|KEY SHARE);", r";"),
    ("own changes are conflicts too", r"AND compat\.is_own_change\(\w+\.xmin\)", r"AND false"),
    ("first changed column forgotten",
     r"IF NEW\.\"(\w+)\" IS DISTINCT FROM OLD\.\"\1\"(?= THEN|\n    OR)", r"IF false"),
    ("other table", r"wanted = 1 THEN", r"wanted = 2 THEN"),
    ("always moved", r"IF stays OR ", r"IF "),
    ("no lock on a key", r"PERFORM pg_catalog\.pg_advisory_xact_lock\(.*?\);", r"NULL;"),
    ("key not looked for", r"IF EXISTS \(SELECT FROM \(", r"IF false AND EXISTS (SELECT FROM ("),
    ("deletions not carried over", r"IF NOT FOUND THEN(?=\n +-- Gone)", r"\g<0> RETURN NULL;"),
    ("DELETE dropped", r"(?<=\n)\s+DELETE FROM [^;]*;", r"    NULL;"),
    ("conflict not expected", r"\n +ON CONFLICT \([^;]*?\) DO NOTHING(?=\n)", r""),
    ("marker turned", r"IF NEW\.\"compat_via_view\" THEN",
     r'IF NEW."compat_via_view" IS NOT TRUE THEN'),
    ("assignment dropped", r"(?<=\n) +NEW\.\"\w+\" := [^;]*;", r"    NULL;"),
    ("number not looked up", r"INTO NEW\.\"\w+\"\n    FROM (.*) WHERE (.*);",
     r"\g<0> NEW.legacy_maker := NULL;"),
    ("contradiction allowed", r"PERFORM compat\.contradict\(.*?\);", r"NULL;"),
    ("WHERE dropped", r"WHERE ([tr])\.\"\w+\" = OLD\.\"\w+\"(?=;)", r"WHERE true"),
)  # fmt: skip
_ONLY_OF_THE_VIEW = frozenset({"RETURN a changed row"})


_KEPT = re.compile(
    r'CASE WHEN (NEW\."\w+" IS DISTINCT FROM OLD\."\w+") THEN (.*) ELSE (t\."\w+") END'
)


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """Yield the text without each assignment, with neighbours swapped, and with others."""
    for number, block in enumerate(re.finditer(r" SET\n(.*?)\n\s*WHERE", text, re.DOTALL)):
        items = re.split(r",\n(?=\s*\"\w+\" = )", block[1])
        for at, item in enumerate(items):
            name, _, value = item.strip().partition(" = ")
            where = f"SET list {number + 1}: {name}"

            def put(new: list[str], block: re.Match[str] = block) -> str:
                return text[: block.start(1)] + ",\n".join(new) + text[block.end(1) :]

            if len(items) > 1:
                yield f"{where} forgotten", put(items[:at] + items[at + 1 :])
            kept = re.fullmatch(_KEPT, value)
            if kept is not None:
                always, never = f"{name} = {kept[2]}", f"{name} = {kept[3]}"
                yield (
                    f"{where} written though unchanged",
                    put([*items[:at], always, *items[at + 1 :]]),
                )
                yield f"{where} never written", put([*items[:at], never, *items[at + 1 :]])
            elif at + 1 < len(items) and "CASE" not in items[at + 1]:
                other, _, its = items[at + 1].strip().partition(" = ")
                swapped = [*items[:at], f"{name} = {its}", f"{other} = {value}", *items[at + 2 :]]
                yield f"{where} and {other} swapped", put(swapped)


def _inserted(text: str) -> Iterator[tuple[str, str]]:
    """Yield the text with each value of an INSERT replaced by NULL."""
    ends = r"(?=;|\n +ON CONFLICT|\n +RETURNING)"
    statements = re.finditer(
        rf"INSERT INTO (\S+) [^;]*?(?:VALUES \((.*?)\){ends}|SELECT ([^;]*?)\n +WHERE NOT \()",
        text,
        re.DOTALL,
    )
    before = set[tuple[str, str]]()
    for number, match in enumerate(statements, start=1):
        group = 2 if match[2] is not None else 3
        values = match[group].split(",\n")
        again = " again" if (match[1], match[group]) in before else ""
        before.add((match[1], match[group]))
        for at in range(len(values)):
            changed = ",\n".join([*values[:at], "NULL", *values[at + 1 :]])
            yield (
                f"INSERT {number}{again}, value {at + 1} of {match[1]} → NULL",
                text[: match.start(group)] + changed + text[match.end(group) :],
            )


def main(names: list[str]) -> int:
    """Try all mutations, print what became of each, and the share that was seen, by kind.

    :param names: of subjects; none for all
    """
    counts, seen = Counter[str](), Counter[str]()
    with provide_database(in_memory=True) as server:
        for subject in [_BY_NAME[name] for name in names] or SUBJECTS:
            with server.fresh() as url, psycopg.connect(url, autocommit=True) as conn:
                for mutation in subject.mutations(subject.prepared(conn)):
                    checks, kind = find(conn, mutation), f"{subject.name}: {mutation.kind}"
                    counts[kind] += 1
                    seen[kind] += bool(checks)
                    found = ", ".join(checks) or "NOT SEEN"
                    print(f"{found:<34} {subject.name}: {mutation.title}", flush=True)
    print()
    for kind, count in counts.items():
        print(f"{kind:<34} {seen[kind]:>4} of {count}")
    share = 100 * seen.total() / counts.total()
    print(f"{seen.total()} of {counts.total()} mutations seen: {share:.1f} %")
    return 0 if seen == counts else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
