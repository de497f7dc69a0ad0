"""Whether parents can be told apart by what identifies them, which only the catalogue says.

Where equal values may look different (1.5 and 1.50), the second of two rows would show the first.
"""

from __future__ import annotations

from compat.connection import Connection
from compat.errors import CatalogError
from compat.mapping import Mapping
from compat.shapes import Parent, Place

# What a B-tree may keep once for all equal values is what looks the same (support function 4).
_DIFFERENT_THOUGH_EQUAL = """
WITH RECURSIVE held (name, shown, type, modifier, collated) AS (
    SELECT attname, pg_catalog.format_type(atttypid, atttypmod), atttypid, atttypmod, attcollation
    FROM pg_catalog.pg_attribute
    WHERE attrelid = pg_catalog.to_regclass(%(table)s) AND attname::text = ANY (%(columns)s::text[])
    UNION ALL
    SELECT name, shown, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END,
           CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE modifier END, collated
    FROM held JOIN pg_catalog.pg_type t ON t.oid = type
    WHERE t.typtype = 'd' OR t.typcategory = 'A'
), compared (type, by_image) AS (
    SELECT o.opcintype, p.amproc IS NOT NULL
    FROM pg_catalog.pg_opclass o
    JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod AND a.amname = 'btree'
    LEFT JOIN pg_catalog.pg_amproc p ON p.amprocfamily = o.opcfamily AND p.amprocnum = 4
        AND p.amproclefttype = o.opcintype AND p.amprocrighttype = o.opcintype
    WHERE o.opcdefault
)
SELECT h.name::text,
       h.shown || CASE WHEN c.collisdeterministic THEN '' ELSE ' COLLATE ' || c.collname END
FROM held h JOIN pg_catalog.pg_type t ON t.oid = h.type
LEFT JOIN pg_catalog.pg_collation c ON c.oid = h.collated
WHERE t.typtype <> 'd' AND t.typcategory <> 'A' AND NOT (
    coalesce(c.collisdeterministic, true)
    AND CASE
        WHEN t.oid IN ('pg_catalog.numeric'::regtype, 'pg_catalog.bpchar'::regtype)
            THEN h.modifier <> -1
        WHEN t.typtype = 'e' THEN true
        ELSE coalesce(
            (SELECT by_image FROM compared WHERE type = t.oid),
            (SELECT pg_catalog.bool_or(by_image) FROM compared JOIN pg_catalog.pg_cast b
                 ON b.castsource = t.oid AND b.casttarget = type
                 AND b.castmethod = 'b' AND b.castcontext = 'i'),
            false)
    END)
ORDER BY 1
"""


def check_identities(conn: Connection, mapping: Mapping) -> None:
    """Look whether equal values of what identifies a parent are the same for every client.

    :raises CatalogError: names the parent's columns for which they are not
    """
    for place in mapping.places:
        if not isinstance(place.part, Parent):
            continue
        found = conn.execute(
            _DIFFERENT_THOUGH_EQUAL,
            {"table": place.table.sql, "columns": _identifying(mapping, place)},
        ).fetchall()
        if found:
            listed = ", ".join(f"{name} ({shown})" for name, shown in found)
            raise CatalogError(
                f"{place.table.title} cannot be found by {listed}: values that are equal there may "
                "look different (as 1.5 and 1.50 do), and a legacy row would show those of another",
                "let the columns that identify a parent have a type and a collation for which "
                "equal is the same (numeric with a scale, integer, text, a timestamp), or keep "
                "them in the target",
            )


def _identifying(mapping: Mapping, place: Place) -> list[str]:
    return [name for lens in mapping.lenses_of(place) for name in lens.targets]
