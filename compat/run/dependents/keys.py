"""Foreign keys that lead to the legacy table, and its own that delete or change its rows."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from compat import catalog
from compat.compile import swap
from compat.connection import Connection
from compat.mapping import Mapping
from compat.names import qualified
from compat.run.dependents.dependent import Dependent

_OF_ITS_OWN = " (where other tables' keys may be the same, on a column of its own for this one's)"


def foreign_keys(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield the foreign keys of other tables that lead to the legacy table."""
    if mapping.choices:
        yield from _references_to_choices(conn, mapping, relation)
        return
    rows = conn.execute(
        "SELECT c.oid, c.conrelid::regclass::text || '.' || quote_ident(c.conname),"
        " t.relkind = 'p',"
        " ARRAY(SELECT a.attname::text FROM unnest(c.confkey) AS k(attnum) JOIN pg_attribute a"
        "       ON a.attrelid = c.confrelid AND a.attnum = k.attnum)"
        " FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
        " WHERE c.contype = 'f' AND c.confrelid = %s AND c.conparentid = 0"
        " AND c.conrelid NOT IN (c.confrelid, coalesce(to_regclass(%s), 0)) ORDER BY 2",
        [relation.oid, mapping.target.sql],
    ).fetchall()
    for oid, name, is_partitioned, columns in rows:
        if is_partitioned and conn.info.server_version < 180000:
            yield Dependent(
                "foreign key",
                name,
                "refusal",
                "a partitioned table cannot get the second, not yet validated key to the target",
                "drop it before the cutover, and add one that references the target after it",
            )
            continue
        try:
            with conn.transaction():
                conn.execute(swap.foreign_key_twin(mapping, oid))
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            message, hint = error.diag.message_primary or "", error.diag.message_hint or ""
            yield Dependent("foreign key", name, "refusal", message, hint)
            continue
        referenced = [mapping.lens(column).key_column for column in columns]
        if _is_unique(conn, mapping, referenced):
            yield Dependent("foreign key", name, "fine", "follows to the target at cutover")
        else:
            listed = ", ".join(referenced)
            yield Dependent(
                "foreign key",
                name,
                "refusal",
                f"{mapping.target.title} has no unique constraint on ({listed}) to reference",
                f"add UNIQUE ({listed}) to {mapping.target.title}"
                f"{_OF_ITS_OWN if mapping.tag is not None else ''}, or drop the key",
            )


def _references_to_choices(
    conn: Connection, mapping: Mapping, relation: catalog.Relation
) -> Iterator[Dependent]:
    """Yield the keys to rows that may be in several tables, those of the table itself included."""
    tables = ", ".join(table.title for table in mapping.tables)
    for (name,) in conn.execute(
        "SELECT conrelid::regclass::text || '.' || quote_ident(conname) FROM pg_constraint"
        " WHERE contype = 'f' AND confrelid = %s AND conparentid = 0 ORDER BY 1",
        [relation.oid],
    ):
        yield Dependent(
            "foreign key",
            name,
            "refusal",
            f"a row may be in any of {tables} afterwards, and move: a foreign key references one "
            "table, and lets no row go that is referenced",
            "drop it before the cutover, or keep all rows in one table, told apart by a column",
        )


def _is_unique(conn: Connection, mapping: Mapping, columns: list[str]) -> bool:
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass(%s) AND i.indisunique"
        " AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
        " AND %s::text[] = ARRAY(SELECT a.attname::text FROM pg_attribute a"
        "   WHERE a.attrelid = i.indrelid"
        "   AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts-1])"
        '   ORDER BY a.attname COLLATE "C"))',
        [mapping.target.sql, sorted(columns)],
    ).fetchone()
    return row == (True,)


def cascades(conn: Connection, mapping: Mapping, relation: catalog.Relation) -> Iterator[Dependent]:
    """Yield the legacy table's own keys by which rows elsewhere delete or change its rows."""
    query = (
        "SELECT quote_ident(c.conname), c.confrelid::regclass::text,"
        " c.confdeltype::text || c.confupdtype::text,"
        " ARRAY(SELECT a.attname::text FROM unnest(c.conkey) AS k(attnum) JOIN pg_attribute a"
        "       ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY 1)"
        " FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = to_regclass(%s)"
        " AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd')) ORDER BY 1"
    )
    carried = {
        (actions, tuple(columns))
        for _, _, actions, columns in conn.execute(query, [mapping.target.sql])
    }
    for name, referenced, actions, columns in conn.execute(
        query, [qualified(relation.schema, relation.name)]
    ):
        targets = sorted(t for column in columns for t in mapping.lens(column).targets)
        if (actions, tuple(targets)) not in carried:
            yield Dependent(
                "cascade",
                name,
                "warning",
                f"what it does when a row of {referenced} goes or changes its key, happens to the "
                "retired table only: the target has no such key",
                f"give {mapping.target.title} a foreign key with the same actions",
            )
