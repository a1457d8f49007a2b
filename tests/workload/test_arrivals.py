"""Arrival processes: Poisson and closed loop, and the shapes of what they ask."""

from __future__ import annotations

import pytest

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.workload import Arrival, Workload
from adpkv.workload.arrivals import ClosedLoop, Poisson
from adpkv.workload.cancels import Clients
from adpkv.workload.shapes import Shapes

SHAPES = Shapes(5, 16, 40, 90, 3, 9)


def _all(workload: Workload) -> list[Arrival]:
    taken = []
    while workload.due_ns() < NEVER:
        taken.append(workload.take())
        workload.ended(taken[-1].at_ns, len(taken) - 1)
    return taken


def _poisson(seed: int = 5, total: int = 500) -> Poisson:
    return Poisson(SHAPES, Clients(seed), seed, rate_per_s=100.0, total=total)


def test_poisson_requests_come_at_their_rate_and_in_order() -> None:
    times = [arrival.at_ns for arrival in _all(_poisson())]
    assert len(times) == 500
    assert times == sorted(times)
    assert times[-1] / 1e9 == pytest.approx(5.0, rel=0.15)


def test_poisson_says_when_the_next_is_due_and_then_never() -> None:
    workload = _poisson(total=1)
    due_ns = workload.due_ns()
    assert workload.take().at_ns == due_ns
    assert workload.due_ns() == NEVER
    with pytest.raises(IndexError, match="all 1 requests"):
        workload.take()


def test_a_seed_is_a_workload() -> None:
    assert _all(_poisson()) == _all(_poisson())
    assert _all(_poisson()) != _all(_poisson(seed=6))


def test_users_ask_at_once_and_again_after_thinking() -> None:
    workload = ClosedLoop(SHAPES, Clients(5), users=2, think_time_ns=30, total=5)
    assert [workload.take().at_ns, workload.take().at_ns] == [0, 0]
    assert workload.due_ns() == NEVER
    workload.ended(100, 0)
    assert workload.due_ns() == 130
    workload.ended(110, 1)
    assert [workload.take().at_ns, workload.take().at_ns] == [130, 140]
    workload.ended(200, 2)
    workload.ended(200, 2)
    assert workload.take().at_ns == 230
    assert workload.due_ns() == NEVER, "5 were asked in all"


def test_taking_while_every_user_waits_is_refused() -> None:
    workload = ClosedLoop(SHAPES, Clients(5), users=1, think_time_ns=0, total=2)
    workload.take()
    with pytest.raises(IndexError, match="every user waits"):
        workload.take()


def test_more_users_than_requests_ask_no_more_than_there_are() -> None:
    workload = ClosedLoop(SHAPES, Clients(5), users=9, think_time_ns=0, total=4)
    assert len(_all(workload)) == workload.total == 4


def test_lengths_stay_within_their_ranges() -> None:
    taken = _all(_poisson())
    assert {a.prompt_tokens for a in taken} == set(range(40, 91))
    assert {a.output_tokens for a in taken} == set(range(3, 10))


def test_without_a_shared_prefix_no_block_is_equal() -> None:
    hashes = [h for a in _all(_poisson()) for h in a.block_hashes]
    assert len(hashes) == len(set(hashes))


def test_every_full_block_has_a_hash_and_the_partial_one_has_none() -> None:
    assert all(len(a.block_hashes) == a.prompt_tokens // 16 for a in _all(_poisson()))


def test_a_group_shares_the_full_blocks_of_its_prefix() -> None:
    shapes = Shapes(5, 16, 64, 64, 1, 1, groups=2, shared_tokens=40)
    taken = [shapes.arrival(n, 0, Clients(5)) for n in range(40)]
    assert len({a.block_hashes[:2] for a in taken}) == 2, "two groups, 40 tokens hold two blocks"
    rest = [h for a in taken for h in a.block_hashes[2:]]
    assert len(rest) == len(set(rest)) == 80


def test_a_prompt_shorter_than_the_prefix_is_all_prefix() -> None:
    shapes = Shapes(5, 16, 32, 32, 1, 1, groups=1, shared_tokens=1000)
    taken = [shapes.arrival(n, 0, Clients(5)) for n in range(4)]
    assert {a.block_hashes for a in taken} == {(0, 1)}


def test_clients_draws_reach_the_arrival() -> None:
    clients = Clients(5, cancel_probability=1.0, cancel_after_max_ns=0, pinned=1.0, ranks=1)
    arrival = SHAPES.arrival(0, 77, clients)
    assert (arrival.at_ns, arrival.cancel_ns, arrival.wanted) == (77, 0, 0)


def test_a_rate_of_nearly_nothing_still_has_an_arrival() -> None:
    workload = Poisson(SHAPES, Clients(5), 5, rate_per_s=1e-305, total=1)
    assert workload.due_ns() == LAST_NS
