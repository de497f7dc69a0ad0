"""Quoting and derived names: every identifier and literal in generated SQL passes through here.

Quoting is psycopg's own; PostgreSQL cuts names at 63 bytes, so derived ones are shortened by hash.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal

from psycopg import sql

from compat.errors import MappingError

MAX_BYTES = 63

Scalar = bool | int | Decimal | str | None


def ident(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return sql.Identifier(name).as_string(None)


def idents(names: tuple[str, ...] | list[str]) -> str:
    """Return `names` as a comma-separated list of quoted identifiers."""
    return ", ".join(ident(name) for name in names)


def qualified(schema: str, name: str) -> str:
    """Return `schema.name`, both quoted."""
    return sql.Identifier(schema, name).as_string(None)


def literal(value: Scalar) -> str:
    """Return `value` as a SQL literal."""
    text = sql.Literal(value).as_string(None).strip()
    # `-1::text` is -(1::text): a cast binds tighter than a sign.
    return f"({text})" if text.startswith("-") else text


def regclass(schema: str, name: str) -> str:
    """Return a literal that names the relation, for functions that take a regclass."""
    return f"{literal(qualified(schema, name))}::pg_catalog.regclass"


def dollar_quote(body: str) -> str:
    """Return `body` in dollar quotes whose tag does not occur in it."""
    tag, n = "$compat$", 0
    while tag in body:
        n += 1
        tag = f"$compat{n}$"
    return f"{tag}{body}{tag}"


def derive(name: str, suffix: str) -> str:
    """Return `name` + `suffix` within 63 bytes; what does not fit is replaced by a hash of it."""
    whole = name + suffix
    if len(whole.encode()) <= MAX_BYTES:
        return whole
    digest = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    room = MAX_BYTES - len((digest + suffix).encode())
    return name.encode()[:room].decode(errors="ignore") + digest + suffix


def check_identifier(name: str, what: str) -> None:
    """Raise MappingError unless PostgreSQL can hold `name` as it is."""
    if not name:
        raise MappingError(f"{what}: a name is empty")
    if "\0" in name:
        raise MappingError(f"{what}: the name {name!r} contains a NUL character")
    if len(name.encode()) > MAX_BYTES:
        raise MappingError(
            f"{what}: the name {name!r} has {len(name.encode())} bytes; PostgreSQL keeps 63",
            "use the name as pg_class or pg_attribute shows it",
        )
