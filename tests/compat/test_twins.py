"""No silent difference: random mappings, rows and statements, beside a twin of the legacy table.

`make soak` plays an hour's worth; TWIN_CASES and TWIN_SEED say how many and which.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from compat import state
from tests.compat.twins import statements, tables
from tests.compat.twins.stage import RecordedConnection, Stage

CASES = int(os.environ.get("TWIN_CASES", "1000"))
SEED = int(os.environ.get("TWIN_SEED", "0"))
CASES_OF_A_SHARD = 100
"""So that several processes share the work; each has a database of its own."""

# Shrinking a difference may take minutes, and a soak takes an hour.
pytestmark = [pytest.mark.proof, pytest.mark.timeout(3 * 3600)]

many = settings(
    max_examples=CASES_OF_A_SHARD,
    deadline=None,
    database=None,
    print_blob=False,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("shard", range(max(1, CASES // CASES_OF_A_SHARD)))
def test_view_and_table_agree_in_all_that_the_plan_does_not_except(url: str, shard: int) -> None:
    """Each case is played in a transaction that is rolled back: a database each would take long."""
    with RecordedConnection.connect(url, autocommit=True, prepare_threshold=None) as conn:
        state.ensure_installed(conn)
        version = conn.info.server_version // 10000

        @seed(SEED + shard)
        @many
        @given(statements.cases(tables.tables(), version))
        def agree(case: statements.Case) -> None:
            with conn.transaction(force_rollback=True):
                Stage(conn, case, version).play()

        agree()
