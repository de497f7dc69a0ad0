"""Taking a move back: exactly the rows that it inserted, and that nobody has changed since.

One transaction. A row is unchanged while the transaction that inserted it is still its xmin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compat import catalog, state
from compat.compile import move as compiled
from compat.connection import Connection
from compat.errors import StateError
from compat.mapping import Mapping
from compat.run import defaults
from compat.run.arrivals import title_of
from compat.run.retry import LockPolicy, in_transaction
from compat.run.steps import check_table

Why = Literal["changed", "referenced"]


@dataclass(frozen=True)
class Kept:
    """A moved row that stays, and why: somebody has changed it, or rows reference it."""

    row: str
    why: Why


@dataclass(frozen=True)
class Unmoved:
    """What taking back did, or, unless `executed`, what it would do.

    :param removed: rows deleted from the target
    :param changed: rows that stay because somebody has changed them since
    :param referenced: rows that stay because other rows reference them
    :param gone: rows that somebody has deleted already
    :param kept: some of those that stay, named
    """

    mapping: str
    executed: bool
    removed: int
    changed: int
    referenced: int
    gone: int
    kept: tuple[Kept, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing of the move stays."""
        return not (self.changed or self.referenced)


def unmove(
    conn: Connection,
    mapping: Mapping,
    run: int | None = None,
    *,
    changed: bool = False,
    execute: bool = False,
    listed: int = defaults.LISTED,
    policy: LockPolicy | None = None,
) -> Unmoved:
    """Delete the rows that a move has inserted, from the database to which it moved them.

    :param run: only this run's, None for those of all runs
    :param changed: also those that somebody has changed since
    :param listed: how many of the rows that stay to name
    :raises StateError: nothing was moved by this mapping, or another command is at work
    """
    state.lock(conn, mapping.name)
    _check_run(conn, mapping.name, run)
    relation = check_table(conn, mapping.target)
    inbound = catalog.inbound_foreign_keys(conn, relation)

    def work(conn: Connection) -> Unmoved:
        for statement in compiled.moved_keys(mapping, run):
            conn.execute(statement)
        if execute:
            conn.execute(compiled.lock_moved(mapping))
        _judge(conn, mapping, inbound, changed=changed)
        counts: dict[str, int] = dict(conn.execute(compiled.outcomes(mapping)).fetchall())
        kept = conn.execute(compiled.kept_keys(mapping, listed)).fetchall()
        if execute:
            conn.execute(compiled.delete_moved(mapping))
            for statement in compiled.forget_moved(mapping, run):
                conn.execute(statement)
            state.record(conn, mapping.name, "unmove", {"run": run, **counts})
        conn.execute(f"DROP TABLE {compiled.KEYS}")
        return Unmoved(
            mapping=mapping.name,
            executed=execute,
            removed=counts.get("removed", 0),
            changed=counts.get("changed", 0),
            referenced=counts.get("referenced", 0),
            gone=counts.get("gone", 0),
            kept=tuple(Kept(title_of(mapping.target_key, key), why) for key, why in kept),
        )

    return in_transaction(conn, work, policy or LockPolicy(), f"unmove of {mapping.name!r}")


def _judge(
    conn: Connection,
    mapping: Mapping,
    inbound: tuple[catalog.ForeignKey, ...],
    *,
    changed: bool,
) -> None:
    """Decide what becomes of each row."""
    conn.execute(compiled.judge_moved(mapping, changed=changed))
    # A row that stays keeps those that it references, in its own table over and over.
    while sum(conn.execute(compiled.keep_referenced(mapping, key)).rowcount for key in inbound):
        pass


def _check_run(conn: Connection, name: str, run: int | None) -> None:
    if conn.execute("SELECT to_regclass('compat.move_batch')").fetchone() == (None,):
        numbers: list[int] = []
    else:
        rows = conn.execute(
            "SELECT run FROM compat.move WHERE mapping = %s ORDER BY run", [name]
        ).fetchall()
        numbers = [row[0] for row in rows]
    if not numbers:
        raise StateError(
            f"nothing was moved into this database by {name!r}",
            "name the target database (--target); `compat status` lists what was moved there",
        )
    if run is not None and run not in numbers:
        there = ", ".join(map(str, numbers))
        raise StateError(f"{name!r} has no run {run}", f"give one of {there}, or none for all")
