"""Each of the ten kinds, planted in the virtual world, is named right; so is where it began."""

from __future__ import annotations

import msgspec
import pytest

from adpkv.diagnosis.classify import Kind, classify
from adpkv.diagnosis.divergence import first_split
from adpkv.diagnosis.evidence import Evidence, Members, Position, RankState, State
from adpkv.executor.collectives import Gone, Pause
from adpkv.worlds.virtual.snapshot import STOPPED
from tests.diagnosis.planted import (
    NEVER,
    PLANTED,
    collective,
    flush,
    for_ever,
    idle_wait,
    meet,
    stuck,
    sync,
)

ALONE = {Kind.LOST_WAKE_UP, Kind.SYMMETRIC_WEDGE, Kind.ZERO_TIME_LIVELOCK}
"""Kinds in which no rank of a group is the odd one."""

SENTENCES = {
    Kind.MISSING_PARTICIPANT: "rank 1 never came to tp_allgather #2 at sync, iteration 1: it waits"
    " alone in poll at at_least=1; ranks 0, 2 wait there",
    Kind.WRONG_OPERATION: "rank 1 is in tp_gather #2 at respond; ranks 0, 2 are in tp_allgather #2"
    " at sync: rank 1 left the common order at iteration 1",
    Kind.ARGUMENT_MISMATCH: "in step #1 at forward, iteration 1, rank 1 brings the batch"
    " 1 sequences over 14 tokens; ranks 0, 2 bring the batch 1 sequences over 10 tokens",
    Kind.WRONG_GROUP: "rank 1 is in tp_allgather #1 at sync of generation-1; ranks 0, 2 are in"
    " tp_allgather #1 at sync of context-0",
    Kind.ORDER_INVERSION: "rank 1 is in world_allgather at barrier of the whole job and waits there"
    " for ranks 0, 2; ranks 0, 2 are in tp_allgather #1 at sync of context-0 and wait there for"
    " rank 1",
    Kind.EARLY_EXIT: "rank 1 has left the group; ranks 0, 2 are in",
    Kind.CROSSED_PAYLOAD: "rank 1 is in tp_allgather #2 at poll; ranks 0, 2 are in tp_allgather #2"
    " at sync: each would take the other's payload",
    Kind.ZERO_TIME_LIVELOCK: "context-0 repeats tp_allgather at sync",
    Kind.LOST_WAKE_UP: "ranks 0-2 wait for input in wait at wait, and no rank is left"
    " that could send",
    Kind.SYMMETRIC_WEDGE: "all of context-0 (ranks 0-2) are in step #2 at forward, iteration 1, and"
    " it does not end",
}


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
def test_it_is_named_right(kind: Kind) -> None:
    diagnosis = classify(stuck(PLANTED[kind]()))
    assert diagnosis.kind is kind
    assert diagnosis.sentence.startswith(SENTENCES[kind])
    if kind not in ALONE:
        assert diagnosis.outliers == (1,)
        assert diagnosis.others == (0, 2)


def test_all_ten_are_planted() -> None:
    assert set(PLANTED) == set(Kind) == set(SENTENCES)
    assert len(Kind) == 10


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (Pause(0, STOPPED, "sync", 1, None, NEVER, lambda: False), "its process is stopped"),
        (Gone(0, "killed", "sync", 1, None), "it has failed"),
        (idle_wait(), "rank 1 is in wait #1 at wait"),
    ],
    ids=["stopped", "failed", "elsewhere"],
)
def test_what_a_rank_does_instead_is_told(odd: Pause, told: str) -> None:
    async def survivor() -> None:
        try:
            await meet(sync())
        except Exception:
            await Pause(0, "tp_allgather", "sync", 1, None, NEVER, lambda: False)

    evidence = stuck([meet(odd) if rank == 1 else survivor() for rank in range(3)])
    assert told in classify(evidence).sentence


def test_where_all_are_elsewhere_the_history_tells_who_left_the_order() -> None:
    """Two of three join what has never come after a flush; the third is where it always was."""
    order = [sync(1), flush(1), sync(2), flush(2)]
    odd = collective("tp_allgather", "poll", 3)
    programs = [meet(*order, sync(3) if rank == 1 else odd) for rank in range(3)]
    diagnosis = classify(stuck(programs))
    assert diagnosis.outliers == (0, 2)
    assert "ranks 0, 2 left the common order at iteration 3" in diagnosis.sentence


# -- evidence by hand --------------------------------------------------------------------------


def at(site: str, sequence: int, kind: str = "tp_allgather", iteration: int = 7) -> Position:
    return Position(0, kind, site, iteration, sequence)


def told(*rank_states: RankState, error: str = "deadlock") -> Evidence:
    ranks = tuple(rank_state.rank for rank_state in rank_states)
    return Evidence("mpi", error, "by hand", rank_states, (Members(0, "context-0", ranks),), 0)


def test_the_first_difference_counts_and_not_the_latest_wait() -> None:
    """An hour later they stand in an innocent collective (vllm-project/vllm #43547)."""
    fine = (at("sync", 3), at("flush", 4), at("wait", 5, "wait"), at("sync", 6))
    odd = (at("sync", 3), at("flush", 4), at("forward", 5, "step"), at("sync", 6))
    rank_states = [
        RankState(rank, 0, State.COLLECTIVE, at("flush", 7, "tp_gather"), last=last)
        for rank, last in enumerate((fine, fine, odd, fine))
    ]
    diagnosis = classify(told(*rank_states))
    assert diagnosis.kind is Kind.WRONG_OPERATION
    assert diagnosis.outliers == (2,)
    assert "rank 2 is in step #5 at forward; ranks 0, 1, 3 are in wait #5 at wait" in (
        diagnosis.sentence
    )


def test_a_ring_that_has_forgotten_more_is_no_difference() -> None:
    short = (at("flush", 6),)
    long = (at("sync", 5), at("flush", 6))
    rank_states = [
        RankState(rank, 0, State.COLLECTIVE, at("sync", 7), last=last)
        for rank, last in enumerate((short, long))
    ]
    assert first_split(told(*rank_states), 0) is None


def test_different_plans_are_an_argument() -> None:
    one, other = (
        msgspec.structs.replace(at("flush", 2, "tp_gather"), plan=plan) for plan in ("aa", "bb")
    )
    rank_states = [RankState(r, 0, State.COLLECTIVE, other if r == 2 else one) for r in range(3)]
    diagnosis = classify(told(*rank_states, error="mismatch"))
    assert diagnosis.kind is Kind.ARGUMENT_MISMATCH
    assert "rank 2 brings the plan bb; ranks 0, 1 bring the plan aa" in diagnosis.sentence


def test_all_in_their_own_part_of_a_step_is_a_wedge_and_one_is_missing() -> None:
    here = at("forward", 4, "step")
    before = (at("flush", 3),)
    wedged = [RankState(r, 0, State.COMPUTING, here, last=before) for r in range(3)]
    assert classify(told(*wedged)).kind is Kind.SYMMETRIC_WEDGE
    rest = [RankState(r, 0, State.COLLECTIVE, here, last=before) for r in (1, 2)]
    diagnosis = classify(told(wedged[0], *rest))
    assert diagnosis.kind is Kind.MISSING_PARTICIPANT
    assert "it is computing its own part of it" in diagnosis.sentence


def test_a_rank_that_runs_on_is_missing() -> None:
    rank_states = [
        RankState(0, 0, State.COLLECTIVE, at("sync", 9), last=(at("flush", 8),)),
        RankState(1, 0, State.MOVING, at("flush", 8), last=(at("sync", 7), at("flush", 8))),
    ]
    diagnosis = classify(told(*rank_states))
    assert diagnosis.kind is Kind.MISSING_PARTICIPANT
    assert "it is on its way, last seen in tp_allgather #8 at flush" in diagnosis.sentence


def test_two_groups_that_wait_for_ever_are_looked_at_by_how_long() -> None:
    """Without a group that was noticed, the one that has stood for longest is the cause."""
    groups = (Members(0, "context-0", (0, 1)), Members(1, "generation-1", (2, 3)))
    rank_states = []
    for rank in range(4):
        group, since_s = rank // 2, 1.0 if rank < 2 else 9.0
        place = Position(group, "tp_allgather", "sync", 1, 4)
        state = State.ALONE if rank in (1, 3) else State.COLLECTIVE
        alone = Position(group, "poll", "x", 1)
        there = alone if state is State.ALONE else place
        rank_states.append(RankState(rank, group, state, there, since_s))
    evidence = Evidence("virtual", "deadlock", "", tuple(rank_states), groups)
    assert classify(evidence).outliers == (3,)


def test_no_group_at_all_is_told_as_waiting() -> None:
    evidence = stuck([for_ever(idle_wait()) for _ in range(3)])
    assert classify(evidence).outliers == (0, 1, 2)
