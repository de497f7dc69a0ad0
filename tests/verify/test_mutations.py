"""The verifier against mechanical mutations of what it verifies: a sample; see mutations.py."""

from __future__ import annotations

import pytest

import verify
from tests.verify import mutations
from tests.verify.journey import Connection
from tests.verify.mutations import SUBJECTS, Subject
from verify.report import Status

pytestmark = pytest.mark.proof

_EVERY = 24
# Of the others some are not seen yet: `make mutations` tells which.
_ALL_SEEN = ("triggers", "bridge", "lookups", "parent")
_SEEN = [subject for subject in SUBJECTS if subject.name in _ALL_SEEN]


@pytest.mark.parametrize("subject", _SEEN, ids=lambda subject: subject.name)
def test_mutations_of_view_and_triggers_are_seen_by_behaviour_alone(
    conn: Connection, subject: Subject
) -> None:
    mapping = subject.prepared(conn)
    assert verify.run(conn).holds
    everything = subject.mutations(mapping)
    assert len(everything) > 50
    sample = everything[len(mapping.name) % _EVERY :: _EVERY]
    assert [m.title for m in sample if not mutations.find(conn, m)] == []
    assert verify.run(conn, mutations.BEHAVIOUR).holds  # each was taken back


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_what_behaviour_does_not_show_is_seen_by_the_structure(
    conn: Connection, subject: Subject
) -> None:
    for mutation in subject.unseen(subject.prepared(conn)):
        conn.execute(mutation.plant)
        (result,) = verify.run(conn, ["structure"]).results
        assert result.status is Status.DOES_NOT_HOLD, mutation.title
        conn.execute(mutation.undo)
