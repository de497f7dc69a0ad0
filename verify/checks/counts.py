"""Row counts: the legacy table against the target, exact, in one snapshot.

Both are counted in one statement; sync keeps them equal in every snapshot, also while data is live.
"""

from __future__ import annotations

from verify.context import Context, plural
from verify.report import Finding, Result, does_not_hold, holds

NAME = "counts"


def check(context: Context) -> Result:
    """Return whether both sides have the same number of rows.

    :raises psycopg.Error: a relation is missing or may not be read
    """
    legacy_sql, target_sql = context.stored.legacy_sql, context.mapping.target.sql
    row = context.conn.execute(
        f"SELECT (SELECT count(*) FROM {legacy_sql}), (SELECT count(*) FROM {target_sql})"
    ).fetchone()
    assert row is not None
    legacy, target = row
    numbers = (("legacy", legacy), ("target", target))
    unfinished = context.unfinished
    if legacy == target and unfinished is None:
        return holds(NAME, f"{plural(legacy, 'row')} on both sides", numbers=numbers)
    summary = f"{legacy_sql} has {plural(legacy, 'row')}, {target_sql} has {target:,}"
    if unfinished is not None:
        finding = Finding("unfinished", context.mapping.name, unfinished)
        return does_not_hold(NAME, f"{unfinished} ({summary})", (finding,), numbers=numbers)
    finding = Finding("count", target_sql, summary, expected=str(legacy), found=str(target))
    return does_not_hold(NAME, summary, (finding,), numbers=numbers)
