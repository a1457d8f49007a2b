"""Who waits for whom: all of a collective, any of some input; and the circle in it."""

from __future__ import annotations

from adpkv.diagnosis.classify import classify
from adpkv.diagnosis.evidence import Evidence, Members, Position, RankState, State
from adpkv.diagnosis.graph import WaitGraph, folded, wait_graph

SYNC = Position(0, "tp_allgather", "sync", 1, 5)
POLL = Position(0, "poll", "status", 1)


def graph(*rank_states: RankState) -> WaitGraph:
    ranks = tuple(s.rank for s in rank_states)
    evidence = Evidence("mpi", "deadlock", "", rank_states, (Members(0, "context-0", ranks),), 0)
    return wait_graph(evidence, folded(evidence, classify(evidence)))


def waiting(rank: int) -> RankState:
    return RankState(rank, 0, State.COLLECTIVE, SYNC)


def alone(rank: int, *peers: int) -> RankState:
    return RankState(rank, 0, State.ALONE, POLL, peers=peers)


def test_a_collective_needs_all_and_a_poll_any() -> None:
    found = graph(waiting(0), waiting(1), alone(2, 0))
    assert {(edge.waiting, edge.needs, edge.of) for edge in found.edges} == {
        ((0, 1), "all", ((2,),)),
        ((2,), "any", ((0, 1),)),
    }
    assert found.cycle == ((2,), (0, 1))
    assert found.ends == ()


def test_a_rank_that_waits_for_nobody_ends_the_chain() -> None:
    for state in (State.STOPPED, State.FAILED, State.MOVING):
        found = graph(waiting(0), waiting(1), RankState(2, 0, state, SYNC))
        assert found.cycle == ()
        assert found.ends == ((2,),)


def test_any_notice_of_one_that_can_go_on_is_no_circle() -> None:
    """Rank 2 waits for 0, which waits for it, or for 3, which runs: that may end it."""
    running = RankState(3, 0, State.MOVING, Position(0, "step", "forward", 1, 4))
    found = graph(waiting(0), alone(2, 0, 3), running)
    assert found.cycle == ()
