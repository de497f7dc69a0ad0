"""What a client's statement has seen, told by the age of a row version instead of by its contents.

A version older than every transaction that was under way when the statement took its snapshot is
the one that the statement has read. Comparing two ages costs next to nothing; of whatever is
younger, own changes among them, the guard compares the contents.
"""

from __future__ import annotations

from collections.abc import Callable

from compat import constraints
from compat.compile.functions import indented
from compat.compile.variables import rules_of
from compat.mapping import Mapping
from compat.names import ident, qualified
from compat.rules import Expression, Lookup

BLOCK = "noted"
"""The label of the function's block: a column of the target may be called like its variable."""

_UNKNOWN = 2147483647
"""No row is older, so that all contents are compared."""

TRIGGER = "compat_horizon"
FUNCTION = qualified("compat", "note_horizon")
"""Fires before the statement, and notes the age of the oldest transaction that was under way."""


def tells(mapping: Mapping) -> bool:
    """Return whether the age of the target's row tells that the legacy row is as it was.

    Not where other rows are read too; nor where two rows may have one key for a while.
    """
    rules = [rule for lens in mapping.lenses for rule in rules_of(lens.rule)]
    others = any(
        isinstance(rule, Expression) or (isinstance(rule, Lookup) and rule.keep is None)
        for rule in rules
    )
    deferred = any(map(constraints.is_deferred, constraints.exclusive(mapping.target)))
    return not (mapping.parts or mapping.choices or others or deferred)


def trigger(mapping: Mapping, view: str) -> list[str]:
    """Return the statement that puts the trigger on a view."""
    if not tells(mapping):
        return []
    return [
        f"CREATE TRIGGER {ident(TRIGGER)} BEFORE UPDATE OR DELETE ON {view}\n"
        f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()"
    ]


def declaration(mapping: Mapping) -> list[str]:
    """Return the variable with what the trigger has noted."""
    if not tells(mapping):
        return []
    noted = "pg_catalog.current_setting('compat.horizon', true)"
    return [f"    horizon CONSTANT integer := COALESCE(NULLIF({noted}, '')::integer, {_UNKNOWN});"]


def forget() -> str:
    """Return the statement that has all contents compared until the transaction ends."""
    return f"SELECT pg_catalog.set_config('compat.horizon', '{_UNKNOWN}', true)"


def by_age(write: Callable[[str], list[str]], again: list[str]) -> list[str]:
    """Return an UPDATE or DELETE of the row (t) by its age, and what is done if it is too young.

    :param write: makes the statement with a condition
    :param again: the statement with the guard
    """
    return [
        *write(f"pg_catalog.age(t.xmin) > {BLOCK}.horizon"),
        "    IF NOT FOUND THEN",
        *indented(again),
        "    END IF;",
    ]
