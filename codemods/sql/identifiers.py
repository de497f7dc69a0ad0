"""When PostgreSQL needs an identifier in double quotes, as `pg_get_keywords()` tells.

Not so the few words (`position`, `precision`, …) that serve as a name wherever a column stands.
"""

from __future__ import annotations

import re


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_RESERVED = words(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except
    exists extract false fetch float for foreign freeze from full grant greatest group grouping
    having ilike in initially inner int integer intersect interval into is isnull join
    json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar
    json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar normalize not notnull null nullif
    numeric offset on only or order outer overlaps overlay placing primary
    real references returning right row select session_user setof similar smallint some substring
    symmetric system_user table tablesample then time timestamp to trailing treat trim true union
    unique user using values varchar variadic verbose when where window with xmlattributes
    xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize
    xmltable
    """
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def is_reserved(word: str) -> bool:
    """Tell whether a word without quotes is a keyword, in whatever case."""
    return word.lower() in _RESERVED


def quote(name: str, *, keep_quotes: bool = False) -> tuple[str, bool]:
    """Return a name as SQL writes it, and whether it is in quotes.

    :param keep_quotes: the name that it replaces was in quotes, and formatting stays
    """
    quoted = keep_quotes or not _PLAIN.fullmatch(name) or name in _RESERVED
    return ('"' + name.replace('"', '""') + '"' if quoted else name), quoted


def fold(name: str, quoted: bool) -> str:
    """Return the name that an identifier means: without quotes it is lower case."""
    return name if quoted else name.lower()
