"""What a rank remembers of its failures: when it is avoided, probed and trusted again."""

from __future__ import annotations

import pytest

from adpkv.core.failure_memory import FailureMemory, MemoryLimits, Trust, advice
from adpkv.core.ids import NEVER

TRUSTED, PROBE, AVOIDED = Trust
HERE = None
"""The failure is this rank's for certain."""


def memory(after: int = 3) -> FailureMemory:
    return FailureMemory(MemoryLimits(after, 100, 300))


def failing(*peers: int | None, found: FailureMemory | None = None) -> FailureMemory:
    """A memory of one failure with each of these peers in a row, at time 0."""
    found = found or memory()
    for number, peer in enumerate(peers):
        found.failed((number, 0), peer, 0)
    return found


@pytest.mark.parametrize(
    ("peers", "trust"),
    [
        ([HERE] * 2, TRUSTED),
        ([HERE] * 3, AVOIDED),
        ([7, 8, 7], AVOIDED),
        ([HERE, 7, 8], AVOIDED),
        ([7] * 5, TRUSTED),
        ([7] * 6, AVOIDED),
    ],
    ids=[
        "too few",
        "here",
        "several peers",
        "mixed",
        "perhaps the peer's",
        "too many all the same",
    ],
)
def test_when_a_row_of_failures_speaks_against_a_rank(
    peers: list[int | None], trust: Trust
) -> None:
    assert failing(*peers).trust(0) is trust


def test_a_success_ends_the_row_and_zero_avoids_nobody() -> None:
    found = failing(HERE, HERE)
    assert not found.served((9, 0), 0)
    assert failing(HERE, HERE, found=found).trust(0) is TRUSTED
    assert failing(*[HERE] * 99, found=memory(after=0)).trust(0) is TRUSTED


def test_each_failed_probe_doubles_the_pause_up_to_its_limit() -> None:
    found = failing(HERE, HERE, HERE)
    pauses, now_ns = [], 0
    for probe in range(4):
        assert found.trust(found.due_ns(now_ns) - 1) is AVOIDED
        pauses.append(found.due_ns(now_ns) - now_ns)
        now_ns = found.due_ns(now_ns)
        assert found.trust(now_ns) is PROBE
        assert found.due_ns(now_ns) == NEVER, "seen"
        assert found.given((probe, 1), now_ns)
        assert found.trust(now_ns) is AVOIDED, "one at a time"
        assert not found.given((probe, 2), now_ns)
        assert found.failed((probe, 1), HERE, now_ns)
    assert pauses == [100, 200, 300, 300]
    counts = found.counts(now_ns)
    assert (counts.times, counts.probes, counts.readmitted, counts.spent_ns) == (5, 4, 0, 900)
    assert counts.now


def test_a_served_probe_readmits_and_all_begins_anew() -> None:
    found = failing(HERE, HERE, HERE)
    found.given((5, 0), 100)
    assert found.served((5, 0), 130)
    assert found.trust(130) is TRUSTED
    assert found.counts(500).spent_ns == 130
    assert found.counts(500).readmitted == 1
    assert failing(HERE, HERE, found=found).trust(130) is TRUSTED
    assert failing(HERE, found=found).due_ns(0) == 100, "the first pause again"


def test_what_was_given_before_decides_nothing_while_it_is_avoided() -> None:
    found = failing(HERE, HERE, HERE)
    assert not found.served((77, 0), 10)
    assert not found.failed((78, 0), HERE, 20)
    assert (found.trust(99), found.trust(100)) == (AVOIDED, PROBE)


def test_a_probe_that_is_cancelled_has_shown_nothing_and_the_next_request_is_one() -> None:
    found = failing(HERE, HERE, HERE)
    found.given((5, 0), 100)
    found.ended((4, 0), 110)
    assert found.trust(110) is AVOIDED, "another one ended"
    found.ended((5, 0), 110)
    assert found.trust(110) is PROBE
    assert found.given((6, 0), 120)


@pytest.mark.parametrize(
    ("trusts", "most"),
    [
        ([TRUSTED, TRUSTED], [9, 9]),
        ([AVOIDED, TRUSTED, PROBE], [0, 9, 1]),
        ([AVOIDED, PROBE], [0, 9]),
        ([AVOIDED, AVOIDED], [9, 9]),
        ([PROBE, PROBE], [9, 9]),
    ],
)
def test_how_many_requests_each_rank_should_get(trusts: list[Trust], most: list[int]) -> None:
    assert advice(trusts, 9) == most
