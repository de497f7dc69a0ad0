"""The schema `compat`: state of migrations, and the functions that generated SQL calls.

Installing is idempotent; the statements run in any SQL client.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from compat.names import literal

_FILES = (
    "state",  # first: what the others are made of
    "evidence",
    "values",
    "horizon",
    "versions",
    "refusals",
    "errors",
    "looks",
    "replacement",
    "ownership",
    "foreign_keys",
    "dependents",
    "policies",
    "bridge",
    "move",
    "execution",  # last: of all of them
)


@cache
def install() -> tuple[str, ...]:
    """Return the statements that create the schema `compat`, or bring it up to date."""
    statements = [part.strip().rstrip(";") for part in _text().split("\n---\n")]
    return (*statements, f"COMMENT ON SCHEMA compat IS {literal(_mark())}")


def installed() -> str:
    """Return a query that gives one row when exactly this version is installed."""
    return (
        "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'compat'"
        f" AND pg_catalog.obj_description(oid, 'pg_namespace') = {literal(_mark())}"
    )


@cache
def _text() -> str:
    folder = resources.files("compat.compile") / "schema"
    return "\n---\n".join((folder / f"{name}.sql").read_text(encoding="utf-8") for name in _FILES)


def _mark() -> str:
    """Return the comment on the schema, by which what is installed is recognised."""
    digest = hashlib.sha256(_text().encode()).hexdigest()[:12]
    return f"State of compatibility-layer migrations ({digest})"
