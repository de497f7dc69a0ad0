"""What an error of the database means for a check: not run, or a fault that clients meet too."""

from __future__ import annotations

import psycopg

from verify.report import Finding, Result, does_not_hold, not_run


def raise_if_lost(error: psycopg.Error) -> None:
    """Raise what means that there is no connection any more (57014 is a cancelled statement)."""
    sqlstate = error.sqlstate
    if sqlstate is None or (sqlstate[:2] in ("08", "57") and sqlstate != "57014"):
        raise error


def refused(check: str, error: psycopg.Error) -> Result:
    """Return what an error of the database means for a check."""
    raise_if_lost(error)
    message = (error.diag.message_primary or str(error)).strip()
    match error:
        case psycopg.errors.InsufficientPrivilege() | psycopg.errors.ReadOnlySqlTransaction():
            return not_run(check, message)
        case psycopg.errors.LockNotAvailable():
            return not_run(check, f"locked: {message}")
        case psycopg.errors.QueryCanceled():
            return not_run(check, message)
    if error.sqlstate is not None and error.sqlstate[:2] in ("53", "40", "55", "58", "XX", "25"):
        return not_run(check, f"{message} (SQLSTATE {error.sqlstate})")
    # A relation, column or function is gone, or reading a row raises: clients meet the same.
    finding = Finding(
        "error", error.diag.context or check, f"{message} (SQLSTATE {error.sqlstate})"
    )
    return does_not_hold(check, f"{message} (SQLSTATE {error.sqlstate})", (finding,))
