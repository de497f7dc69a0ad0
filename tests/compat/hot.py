"""Fifty hot rows that many connections write at once, and an account of what was acknowledged.

A new shape or rule is one more entry of HOT: a target for the same legacy table.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from psycopg import errors

from compat import rules
from compat.mapping import Form
from compat.shapes import Choice, Half, Parent, Tag
from tests.compat.migrations import Connection, Migration, one, value
from tests.compat.shaped import reflected

ROWS = 50
STATEMENTS = 150
"""What each connection does."""

LEGACY = f"""
CREATE TABLE hot (
    id integer PRIMARY KEY,
    qty integer NOT NULL DEFAULT 0,
    status integer NOT NULL DEFAULT 1,
    owner text,
    place text NOT NULL DEFAULT 'here'
);
INSERT INTO hot SELECT n FROM generate_series(1, {ROWS}) n;
"""
PLAIN = "id integer PRIMARY KEY, qty integer NOT NULL, status integer NOT NULL, owner text"
PLACE = "place text NOT NULL"
STATES = rules.ValueMap("status", "status", ((1, "free"), (2, "taken")))


def _rules(*names: str) -> tuple[rules.AnyRule, ...]:
    return tuple(rules.Column(name, name) for name in names)


def _migration(
    conn: Connection, targets: str, found: tuple[rules.AnyRule, ...], **options: Any
) -> Migration:
    conn.execute(LEGACY + targets)
    return Migration.between(conn, "hot", "hot_v2", found, **options)


def renamed(conn: Connection, form: Form) -> Migration:
    found = (*_rules("id", "status", "owner", "place"), rules.Column("qty", "quantity"))
    target = PLAIN.replace("qty", "quantity")
    return _migration(conn, f"CREATE TABLE hot_v2 ({PLACE}, {target})", found, form=form)


def converted(conn: Connection, form: Form) -> Migration:
    columns = "id bigint PRIMARY KEY, qty numeric(12,2) NOT NULL, status text NOT NULL, owner text"
    found = (rules.Cast("id", "id"), rules.Cast("qty", "qty"), STATES, *_rules("owner", "place"))
    return _migration(conn, f"CREATE TABLE hot_v2 ({columns}, {PLACE})", found, form=form)


def split_by_key(conn: Connection, form: Form) -> Migration:
    """What is counted and what is claimed live in two tables."""
    conn.execute(
        "CREATE TABLE hot_claims (id integer PRIMARY KEY, status text NOT NULL, owner text)"
    )
    (half,) = reflected(conn, "hot_claims")
    return _migration(
        conn,
        f"CREATE TABLE hot_v2 (id integer PRIMARY KEY, qty integer NOT NULL, {PLACE})",
        (*_rules("id", "qty", "owner", "place"), STATES),
        form=form,
        parts=(Half(half, (("id", "id"),), ("status", "owner")),),
    )


def split_by_predicate(conn: Connection, form: Form) -> Migration:
    """A row that is claimed moves to another table."""
    columns = f"{PLAIN}, {PLACE}"
    conn.execute(f"CREATE TABLE hot_taken ({columns})")
    (taken,) = reflected(conn, "hot_taken")
    found = _rules("id", "qty", "status", "owner", "place")
    choices = (Choice(taken, "status = 2"),)
    return _migration(conn, f"CREATE TABLE hot_v2 ({columns})", found, form=form, choices=choices)


def joined(conn: Connection, form: Form) -> Migration:
    """Places get a table of their own, which rows share."""
    conn.execute("CREATE TABLE places (key serial PRIMARY KEY, place text NOT NULL UNIQUE)")
    (parent,) = reflected(conn, "places")
    return _migration(
        conn,
        f"CREATE TABLE hot_v2 ({PLAIN}, place_key integer REFERENCES places)",
        _rules("id", "qty", "status", "owner", "place"),
        form=form,
        parts=(Parent(parent, (("key", "place_key"),), ("place",)),),
    )


def tagged(conn: Connection, form: Form) -> Migration:
    """Another legacy table shares the target."""
    columns = PLAIN.replace("id integer PRIMARY KEY", "id integer NOT NULL")
    return _migration(
        conn,
        f"CREATE TABLE hot_v2 (kind text, {columns}, {PLACE}, PRIMARY KEY (kind, id));"
        "INSERT INTO hot_v2 VALUES ('other', 1, 77, 1, NULL, 'there')",
        _rules("id", "qty", "status", "owner", "place"),
        form=form,
        tag=Tag("kind", "hot"),
    )


FORMS: tuple[Form, ...] = get_args(Form)
CONVERTING = tuple(form for form in FORMS if form != "updatable")
SHAPED: tuple[Form, ...] = ("instead_of",)
HOT: dict[str, tuple[Callable[[Connection, Form], Migration], tuple[Form, ...]]] = {
    "renamed": (renamed, FORMS),
    "converted": (converted, CONVERTING),
    "split by key": (split_by_key, SHAPED),
    "split by predicate": (split_by_predicate, SHAPED),
    "joined": (joined, SHAPED),
    "tagged": (tagged, SHAPED),
}
"""Mappings of the hot table, and the forms that each can have."""

T = TypeVar("T")


@dataclass
class Account:
    """What the server has acknowledged; all connections write it.

    :param holders: row → the connection that has claimed it and not yet asked to give it back
    """

    increments: Counter[int] = field(default_factory=Counter)
    deleted: list[int] = field(default_factory=list)
    holders: dict[int, int] = field(default_factory=dict)
    retries: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client:
    """One connection's share of the work; retries what the server asks it to."""

    def __init__(self, conn: Connection, number: int, account: Account) -> None:
        self.conn, self.number, self.account = conn, number, account
        self.dice = random.Random(number)

    def work(self) -> None:
        kinds = [self.increment, self.increment, self.claim, self.release, self.move, self.delete]
        for _ in range(STATEMENTS):
            self.dice.choice(kinds)(self.dice.randint(1, ROWS))

    def retrying(self, run: Callable[[], T]) -> T:
        while True:
            try:
                with self.conn.transaction():
                    return run()
            except (errors.SerializationFailure, errors.DeadlockDetected):
                with self.account.lock:
                    self.account.retries += 1

    def say(self, statement: str, *parameters: Any) -> int:
        return self.conn.execute(statement, parameters).rowcount

    def increment(self, row: int) -> None:
        done = self.retrying(lambda: self.say("UPDATE hot SET qty = qty + 1 WHERE id = %s", row))
        with self.account.lock:
            self.account.increments[row] += done

    def claim(self, row: int) -> None:
        take = "UPDATE hot SET status = 2, owner = %s WHERE id = %s AND status = 1"
        if self.retrying(lambda: self.say(take, str(self.number), row)):
            with self.account.lock:
                assert row not in self.account.holders, f"{row} was claimed twice"
                self.account.holders[row] = self.number

    def release(self, row: int) -> None:
        """Give back a row that is still as it was claimed: nobody may have deleted it."""
        with self.account.lock:
            if self.account.holders.get(row) != self.number:
                return
            del self.account.holders[row]
        give = "UPDATE hot SET status = 1, owner = NULL WHERE id = %s AND owner = %s"
        assert self.retrying(lambda: self.say(give, row, str(self.number))) == 1

    def move(self, row: int) -> None:
        """Carry one piece from a row to another, in the order in which everybody locks."""
        other = self.dice.randint(1, ROWS)
        first, last = sorted((row, other))
        place = self.dice.choice(("here", "there"))

        def run() -> int:
            taken = self.say("UPDATE hot SET qty = qty - 1, place = %s WHERE id = %s", place, first)
            put = self.say("UPDATE hot SET qty = qty + 1 WHERE id = %s", last)
            if taken != put:  # one of them is being deleted and made again
                raise errors.SerializationFailure
            return taken

        if first != last:
            self.retrying(run)

    def delete(self, row: int) -> None:
        """Delete a row that nobody has claimed, note what it held, and make it again."""

        def run() -> list[Any]:
            gone = "DELETE FROM hot WHERE id = %s AND status = 1 RETURNING qty"
            found = self.conn.execute(gone, [row]).fetchall()
            if found:
                self.say("INSERT INTO hot (id) VALUES (%s)", row)
            return found

        for (qty,) in self.retrying(run):
            with self.account.lock:
                self.account.deleted.append(qty)


def balance(migration: Migration, account: Account) -> None:
    """Check what is there against what was acknowledged."""
    conn = migration.conn
    assert one(conn, "SELECT count(*), sum(qty) FROM hot") == (
        ROWS,
        sum(account.increments.values()) - sum(account.deleted),
    )
    taken = conn.execute("SELECT id, owner::integer FROM hot WHERE status = 2").fetchall()
    assert dict(taken) == account.holders
    assert value(conn, "SELECT count(*) FROM hot WHERE (status = 2) <> (owner IS NOT NULL)") == 0
    assert migration.retired_rows() == migration.legacy_rows()
