"""Which instance gets the next request, and what becomes of one that is avoided."""

from __future__ import annotations

from adpkv.core.fleet import Fleet
from adpkv.core.topology import Kind, Topology

TOPOLOGY = Topology.of_sizes([1], [2, 1, 1])
CONTEXT, *GENERATION = TOPOLOGY.instances
FIRST, SECOND, THIRD = GENERATION


def chosen(fleet: Fleet, requests: int, first: int = 0, tokens: int = 10) -> list[int]:
    """Which instances get so many requests of equal size, one after the other."""
    found = []
    for request in range(first, first + requests):
        instance = fleet.choose(Kind.GENERATION, request)
        fleet.add(instance, tokens)
        found.append(instance.index)
    return found


def test_the_fewest_tokens_for_each_rank_win() -> None:
    assert chosen(Fleet(TOPOLOGY), 4) == [1, 2, 3, 1]


def test_what_an_instance_has_no_more_weighs_nothing() -> None:
    fleet = Fleet(TOPOLOGY)
    chosen(fleet, 3)
    fleet.take(THIRD, 2, 10)
    assert chosen(fleet, 1) == [3]


def test_an_instance_without_trusted_ranks_gets_nothing_and_then_one_probe() -> None:
    fleet = Fleet(TOPOLOGY)
    assert fleet.stands(SECOND.index, 0, 0), "it becomes avoided"
    assert set(chosen(fleet, 6)) == {1, 3}
    assert not fleet.stands(SECOND.index, 0, 1), "and stays so"
    assert chosen(fleet, 3, first=6)[0] == 2
    assert 2 not in chosen(fleet, 3, first=9), "one at a time"
    fleet.take(SECOND, 6, 10)
    assert chosen(fleet, 1, first=12) == [2], "the next one, if that has shown nothing"
    assert fleet.stands(SECOND.index, 1, 0), "readmitted"
    assert 2 in chosen(fleet, 4, first=13)


def test_an_instance_counts_by_its_trusted_ranks() -> None:
    fleet = Fleet(TOPOLOGY)
    fleet.stands(FIRST.index, 1, 0)
    assert chosen(fleet, 6) == [1, 2, 3] * 2


def test_where_nobody_is_trusted_nobody_is_avoided() -> None:
    fleet = Fleet(TOPOLOGY)
    for instance in GENERATION:
        fleet.stands(instance.index, 0, 1)
    assert chosen(fleet, 4) == [1, 2, 3, 1]


def test_one_that_has_failed_gets_nothing() -> None:
    fleet = Fleet(TOPOLOGY)
    fleet.take_out(FIRST)
    fleet.take_out(SECOND)
    fleet.take_out(SECOND)  # two of its ranks failed together: each was told as the last
    assert chosen(fleet, 2) == [3, 3]
    fleet.take_out(THIRD)
    assert (fleet.has_any(Kind.GENERATION), fleet.has_any(Kind.CONTEXT)) == (False, True)


def test_equal_ones_take_turns() -> None:
    fleet = Fleet(Topology.of_sizes([1], [1, 1, 1]))
    found = []
    for request in range(6):
        instance = fleet.choose(Kind.GENERATION, request)
        fleet.add(instance, 10)
        fleet.take(instance, request, 10)
        found.append(instance.index)
    assert found == [1, 2, 3] * 2, "none has anything to do"


def test_a_spare_steps_in_and_who_comes_back_is_the_spare() -> None:
    fleet = Fleet(TOPOLOGY, {Kind.GENERATION: 1})
    assert set(chosen(fleet, 6)) == {1, 2}, "the last one waits"
    assert fleet.take_out(FIRST) is THIRD
    assert fleet.is_out(FIRST)
    assert not fleet.is_out(THIRD)
    assert fleet.take_out(SECOND) is None
    assert not fleet.is_replaceable(THIRD)
    assert fleet.put_in(FIRST)
    assert not fleet.put_in(SECOND), "as many serve as the topology says"
    assert set(chosen(fleet, 6)) == {1, 3}
    assert fleet.take_out(SECOND) is None, "a spare can be taken out too"
    assert fleet.is_out(SECOND)


def test_where_an_earlier_attempt_may_be_in_doubt_an_instance_has_one_rank_less() -> None:
    fleet = Fleet(TOPOLOGY)
    assert fleet.choose(Kind.GENERATION, 0, SECOND) is FIRST
    fleet.add(FIRST, 10)
    fleet.add(THIRD, 99)
    assert fleet.choose(Kind.GENERATION, 1) is SECOND
    assert fleet.choose(Kind.GENERATION, 1, SECOND) is FIRST, "idle, but of one rank"
    assert fleet.choose(Kind.CONTEXT, 1, CONTEXT) is CONTEXT, "there is no other"


def test_it_knows_how_many_requests_each_has() -> None:
    fleet = Fleet(TOPOLOGY)
    chosen(fleet, 4)
    assert [fleet.requests(one) for one in GENERATION] == [2, 1, 1]
    fleet.take(FIRST, 0, 10)
    assert fleet.requests(FIRST) == 1
