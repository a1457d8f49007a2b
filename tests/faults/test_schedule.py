"""When a fault happens a rank: drawn for each rank by itself, the same for whoever asks."""

from __future__ import annotations

from typing import Any

from adpkv.config import parse
from adpkv.config.experiment import Experiment
from adpkv.faults.schedule import Restart, Restarts, Upcoming, instants
from tests.scenarios.story import setting


def experiment(*faults: dict[str, Any], seed: int = 3) -> Experiment:
    return parse(setting("instants", 2, 2, faults=list(faults), seed=seed), "instants")


def drawn(seed: int, rank: int, **aims: Any) -> list[int]:
    found = experiment({"kind": "sigstop", "duration": "1ms", **aims}, seed=seed)
    return instants(seed, 0, found.faults[0], rank)


def test_without_an_end_it_is_at_its_beginning() -> None:
    assert drawn(1, 0, after="5ns") == [5]


def test_each_rank_and_each_hit_has_an_instant_of_its_own() -> None:
    times = [drawn(1, rank, after="1ms", before="2ms", count=3) for rank in range(4)]
    assert len({at_ns for found in times for at_ns in found}) == 12
    assert all(1_000_000 <= at_ns < 2_000_000 for found in times for at_ns in found)
    assert all(found == sorted(found) for found in times)
    assert times == [drawn(1, rank, after="1ms", before="2ms", count=3) for rank in range(4)]
    assert times[0] != drawn(2, 0, after="1ms", before="2ms", count=3)


def test_a_window_of_one_instant_is_that_instant() -> None:
    assert drawn(1, 0, after="7ns", before="8ns") == [7]


def test_chance_is_asked_for_each_hit() -> None:
    hits = [len(drawn(seed, 0, before="1s", count=10, probability=0.3)) for seed in range(100)]
    assert 200 < sum(hits) < 400
    assert drawn(1, 0, probability=0.0) == []


def taken(upcoming: Upcoming) -> list[Restart]:
    """All of them."""
    return list(iter(upcoming.take, None))


def test_both_ends_know_of_a_restart() -> None:
    found = experiment(
        {"kind": "stall"},
        {"kind": "restart", "ranks": [0, 3], "before": "1s", "duration": "2ms"},
    )
    known = Restarts(found, found.topology.build())
    at_sender, at_receiver = taken(known.concerning(0)), taken(known.concerning(3))
    assert at_sender == at_receiver
    assert {(one.rank, one.fenced_ns - one.at_ns, one.number) for one in at_sender} == {
        (0, 2_000_000, 1),
        (3, 2_000_000, 1),
    }


def test_many_ranks_share_the_restarts_that_they_know_of() -> None:
    """A list for each of 42 ranks took half a gigabyte, with as many hits as there may be."""
    restart = {"kind": "restart", "before": "1s", "duration": "1ms", "count": 10}
    found = parse(setting("instants", 20, 30, faults=[restart]), "instants")
    known = Restarts(found, found.topology.build())
    upcoming = [known.concerning(rank) for rank in range(50)]
    held = {id(one) for some in upcoming for restarts in some._lists for one in restarts}
    assert len(held) == 2 * 50 * 10, "each in the list of its rank and in that of its side"
    assert len(taken(upcoming[0])) == (1 + 30) * 10
    assert [one.at_ns for one in taken(upcoming[1])] == sorted(
        one.at_ns for one in taken(known.concerning(1))
    )
