"""What a dependent is, and the verdict over what means a table by its identity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from compat import catalog
from compat.connection import Connection
from compat.mapping import Mapping

Verdict = Literal["fine", "warning", "refusal"]


FOLLOWS = "follows the name to the view at the cutover, and back at a rollback"


STAYS = "goes on reading the retired table, which is kept current"


@dataclass(frozen=True)
class Dependent:
    """Something that hangs on the legacy table.

    :param verdict: `refusal` when it would break, or an acknowledged write would be lost
    :param fix: what to do about it; empty when it is fine
    """

    kind: str
    name: str
    verdict: Verdict
    what_happens: str
    fix: str = ""


def by_identity(
    conn: Connection,
    mapping: Mapping,
    relation: catalog.Relation,
    kind: str,
    name: str,
    *,
    text: str,
    can_follow: bool,
) -> Dependent:
    """Return the verdict over something that means the table by its identity.

    :param text: as PostgreSQL writes it
    :param can_follow: whether the cutover can define it again
    """
    row = conn.execute("SELECT %s::oid::regclass::text", [relation.oid]).fetchone()
    assert row is not None
    writing = r"\b(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO)\s+(ONLY\s+)?"
    writes = re.search(rf"{writing}{re.escape(row[0])}(?![\w$.\"])", text)
    if can_follow and relation.name == mapping.legacy.name:
        if writes and "ON CONFLICT" in text and mapping.inserts_by_trigger:
            return Dependent(
                kind,
                name,
                "refusal",
                "follows the name to the view, whose trigger for INSERT takes no ON CONFLICT",
                "let it handle 23505 instead, or choose another form (compat plan)",
            )
        return Dependent(kind, name, "fine", FOLLOWS)
    if writes:
        return Dependent(
            kind,
            name,
            "refusal",
            "writes to the table by its identity, not by its name: after the cutover that would "
            "be the retired table, which takes no writes",
            "run this as its owner; or let it write by name (a function: with a body in quotes; a "
            "rule: as a trigger); or drop it before the cutover and create it again after",
        )
    return Dependent(kind, name, "fine", f"{STAYS}; create it again before contract")
