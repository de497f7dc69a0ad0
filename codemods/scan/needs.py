"""What clients may need of the legacy name that a view does not give, and how to do without.

The verdicts are those of `compat.fidelity`, by the title of the behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from compat.fidelity import Verdict, find, find_of
from compat.mapping import Form, Mapping

NOT_SERVED: Verdict = "not possible"


class Need(Enum):
    """A behaviour of a table, by its title in `compat.fidelity`, and what to do instead."""

    ON_CONFLICT = (
        "ON CONFLICT (columns)",
        "catch the error 23505 and UPDATE, or write to the target table",
    )
    ON_CONFLICT_ANY = (
        "ON CONFLICT DO NOTHING",
        "catch the error 23505 (in a savepoint), or write to the target table",
    )
    ON_CONFLICT_CONSTRAINT = (
        "ON CONFLICT ON CONSTRAINT name",
        "name the columns of the constraint instead, if the form of the view allows that",
    )
    TRUNCATE = ("TRUNCATE", "DELETE FROM the table, or TRUNCATE the target")
    COPY_FROM = ("COPY … FROM", "INSERT, or COPY into the target table")
    LOCK = ("LOCK TABLE", "nothing: the tables behind the view are locked with it")
    ROW_LOCKS = (
        "SELECT … FOR UPDATE, SKIP LOCKED",
        "lock the row of the target table, by its key",
    )
    SYSTEM_COLUMNS = (
        "WHERE CURRENT OF, ctid, xmin, tableoid",
        "find the row by its key",
    )
    MERGE = ("MERGE", "from PostgreSQL 17 on nothing; before, INSERT and UPDATE")
    GROUP_BY_KEY = (
        "GROUP BY the key with other columns selected",
        "group by every selected column; in Django set managed = False on the model",
    )
    DDL = (
        "new foreign keys to the name, new indexes on it",
        "say it of the target table",
    )
    ALTER = (
        "ALTER TABLE on the name, new row triggers on it",
        "say it of the target table",
    )
    REFLECTION = (
        "reflection",
        "name the primary key in the model: a view has none to be reflected",
    )

    @property
    def behaviour(self) -> str:
        """The title in `compat.fidelity`."""
        return self.value[0]

    @property
    def fix(self) -> str:
        """What to do instead."""
        return self.value[1]

    def verdict(self, form: Form, server_version: int | None) -> Verdict:
        """Return what becomes of it under a form of the view.

        :param server_version: as in 15, None if not known
        """
        return find(self.behaviour, form, server_version).verdict

    def verdict_of(self, mapping: Mapping, server_version: int | None) -> Verdict:
        """Return what becomes of it under a mapping."""
        return find_of(self.behaviour, mapping, server_version).verdict


@dataclass(frozen=True)
class Use:
    """A place in a repository that needs something of a legacy table.

    :param mapping: the name of the mapping
    :param certain: False where the table is guessed from the surroundings
    """

    path: str
    line: int
    mapping: str
    need: Need
    verdict: Verdict
    statement: str
    certain: bool = True

    @property
    def is_served(self) -> bool:
        """Whether the view does it, perhaps with a note."""
        return self.verdict != NOT_SERVED
