"""What else in a database hangs on a legacy table, and what a cutover does to it.

What means the table by its name means the view afterwards. Views, rules, functions with a SQL body
and policies mean it by its identity: the cutover defines them again, so that they follow the name.
What cannot follow (materialised views, row types, publications) goes on meaning the retired table:
reading is fine there, since the reverse sync keeps it current; writing is refused by its guard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import psycopg

from compat import catalog, state
from compat.connection import Connection
from compat.mapping import Mapping
from compat.run.dependents import keys, queries, replication, row_types, security, storage, triggers
from compat.run.dependents.dependent import Dependent, Verdict

__all__ = ["Dependent", "Verdict", "dependents"]

_Look = Callable[[Connection, Mapping, catalog.Relation], Iterable[Dependent]]

_KINDS: dict[str, _Look] = {
    "foreign key": keys.foreign_keys,
    "cascade": keys.cascades,
    "view": queries.views,
    "rule": queries.rules,
    "function": queries.functions,
    "row type": row_types.row_types,
    "trigger": triggers.triggers,
    "policy": security.policies,
    "publication": replication.replication,
    "added columns": replication.widened,
    "statistics": storage.statistics,
    "inheritance": storage.relatives,
    "event trigger": triggers.event_triggers,
    "security label": security.labels,
}


_KEEPS = ("added columns",)
"""What matters to a table that stays what it is: in the form `reversed`."""


def dependents(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> tuple[Dependent, ...]:
    """Return what hangs on the legacy table, kind by kind.

    :param relation: the legacy table under its name of the moment
    """
    found: list[Dependent] = []
    with state.installed_for_now(conn):
        # So that whatever PostgreSQL writes out is qualified.
        conn.execute("SET LOCAL search_path = pg_catalog")
        for kind, look in _KINDS.items():
            if mapping.chosen_form == "reversed" and kind not in _KEEPS:
                continue
            try:
                with conn.transaction():
                    found += look(conn, mapping, relation)
            except psycopg.errors.InsufficientPrivilege:
                found.append(
                    Dependent(
                        kind,
                        "(not visible to this role)",
                        "warning",
                        "cannot be looked at by this role",
                        "look as the owner of the table or as a superuser",
                    )
                )
    return tuple(found)
