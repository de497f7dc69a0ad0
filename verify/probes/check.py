"""The probes as a check: statements on view and twin, answers and stored rows compared.

Nothing is left behind but the values that two statements draw from a sequence: nextval is final.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from compat import sqltypes
from compat.compile.functions import same_target_row
from compat.connection import Connection
from compat.names import ident, literal
from compat.rules import Epoch, Lens, Row
from verify.checks.contents import after_loss
from verify.context import Context, plural, shown
from verify.probes.plan import Plan
from verify.probes.side import Answer, Disturbed, attempt, disturbed, read
from verify.probes.statements import Cells, Insert, Probe, Touch, Update, where
from verify.probes.twin import Ground, prepare
from verify.probes.values import unused
from verify.report import Finding, Result, does_not_hold, holds, not_run

NAME = "probes"

_ATTEMPTS = 3
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")


def check(context: Context) -> Result:
    """Return whether statements through the view have the effects that the table would show.

    :raises psycopg.Error: the role may not do what is needed, or the view is not there
    """
    reason = _why_not(context)
    if reason is not None:
        return not_run(NAME, reason)
    for turn in range(1, _ATTEMPTS + 1):
        try:
            with attempt(context.conn):
                return _Trial(context).result()
        except Disturbed as error:
            last = error
            if not error.is_lock and turn < _ATTEMPTS:
                raise
    what = "locked" if last.is_lock else "the sampled rows keep changing"
    return not_run(NAME, f"{what}: {last.reason}")
