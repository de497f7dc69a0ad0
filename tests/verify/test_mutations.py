"""The verifier against mechanical mutations of what it verifies: a sample; see mutations.py."""

from __future__ import annotations

import pytest

import verify
from tests.verify import journey, mutations
from tests.verify.journey import Connection
from verify.report import Status

_EVERY = 16


@pytest.mark.parametrize("start", [0, _EVERY // 2])
def test_mutations_of_view_and_triggers_are_seen_by_behaviour_alone(
    conn: Connection, start: int
) -> None:
    mapping = journey.shop_mapping(conn)
    journey.copied(conn, mapping)
    journey.cut_over(conn, mapping)
    assert verify.run(conn).holds
    everything = mutations.all_of(mapping)
    assert len(everything) > 100
    sample = everything[start::_EVERY]
    assert [m.title for m in sample if not mutations.find(conn, m)] == []
    assert verify.run(conn, mutations.BEHAVIOUR).holds  # each was taken back


def test_what_changes_no_behaviour_is_seen_by_the_structure(conn: Connection) -> None:
    mapping = journey.shop_mapping(conn)
    journey.copied(conn, mapping)
    journey.cut_over(conn, mapping)
    known = {m.title: m for m in mutations.equivalent(mapping)}
    assert set(known) == set(mutations.EQUIVALENT)
    for mutation in known.values():
        conn.execute(mutation.plant)
        (result,) = verify.run(conn, ["structure"]).results
        assert result.status is Status.DOES_NOT_HOLD, mutation.title
        conn.execute(mutation.undo)
