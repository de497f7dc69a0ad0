"""The schema `compat`: state of migrations, and the functions that generated SQL calls.

Installing is idempotent; the statements run in any SQL client.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from compat.names import literal

VERSION = "State of compatibility-layer migrations, version 1"
"""The comment on the schema, by which an installed version is recognised."""


@cache
def install() -> tuple[str, ...]:
    """Return the statements that create or complete the schema `compat`."""
    text = resources.files("compat.compile").joinpath("install.sql").read_text(encoding="utf-8")
    return tuple(part.strip().rstrip(";") for part in text.split("\n---\n"))


def installed() -> str:
    """Return a query that gives one row when this version is installed."""
    return (
        "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'compat'"
        f" AND pg_catalog.obj_description(oid, 'pg_namespace') = {literal(VERSION)}"
    )
