"""Ranks that cannot go on together are told apart from ranks that wait, and each is named."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.core.topology import Topology
from adpkv.errors import CollectiveMismatchError, DeadlockError, LivelockError
from adpkv.executor.collectives import WORLD, Collective, Operation, Receive, Step, Wait
from adpkv.executor.messages import Admit, Advertise, Answers, Message, Release, Stop
from adpkv.model.port import Batch
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.world import VirtualWorld
from tests.worlds.virtual.running import run

FOUR = Topology.of(context=(1, 3), generation=(1, 1))
"""Ranks 0, 1, 2 are a group, rank 3 is another."""

PLAN = object()


def collective(
    kind: str, site: str, iteration: int = 1, plan: object = PLAN, group: int = 0
) -> Collective:
    return Collective(group, kind, site, iteration, plan, ())


def wait(limit_ns: int = 0, until_ns: int = 0, group: int = 0) -> Wait:
    return Wait(group, "wait", "wait", 1, PLAN, limit_ns, until_ns, quiet_status=())


def leave() -> Collective:
    return collective("world_allgather", "leave", 0, None, WORLD)


async def meet(*operations: Operation) -> None:
    for operation in operations:
        await operation


async def for_ever(operation: Operation) -> None:
    while True:
        await operation


def perform(*programs: Coroutine[Operation, Any, Any], jump: bool = True) -> list[Any]:
    world = VirtualWorld(FOUR, pace=Pace(collective_ns=0, jump=jump), mail_latency_ns=1)
    try:
        return world.run(programs)
    finally:
        for program in programs:
            program.close()


SYNC = collective("tp_allgather", "sync")
OTHERS = {
    "another collective": (collective("tp_gather", "flush"), "rank 1 is in tp_gather at flush"),
    "another call site": (collective("tp_allgather", "poll"), "rank 1 is in tp_allgather at poll"),
    "another iteration": (collective("tp_allgather", "sync", 2), "at sync, iteration 2"),
    "another plan": (
        collective("tp_allgather", "sync", plan=object()),
        "agreed on different plans",
    ),
    "a step": (
        Step(0, "step", "forward", 1, PLAN, 1, 0, 1, 0, lambda: None),
        "rank 1 is in step at forward",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_ranks_in_different_collectives_are_seen_at_once(case: str) -> None:
    other, told = OTHERS[case]
    with pytest.raises(CollectiveMismatchError) as caught:
        perform(meet(SYNC), meet(other), meet(SYNC), for_ever(wait(1, group=1)))
    text = str(caught.value)
    assert told in text
    assert "context-0" in text
    lines = text.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["rank", str(r)] for r in range(3)]
    assert "rank 2 is in tp_allgather at sync, iteration 1" in text


def step(context_tokens: int, sequences: int = 1, most: int = 1) -> Step:
    """Part of a step that all members make over the same batch."""
    batch = Batch(sequences=sequences, context_tokens=context_tokens)
    return Step(0, "step", "forward", 1, PLAN, 1, 0, most, NEVER, lambda: None, (), batch)


@pytest.mark.parametrize("jump", [True, False])
def test_ranks_that_compute_different_batches_are_seen_at_the_step(jump: bool) -> None:
    programs = [meet(step(10)), meet(step(10)), meet(step(14, 2)), for_ever(wait(1, group=1))]
    with pytest.raises(CollectiveMismatchError) as caught:
        perform(*programs, jump=jump)
    first = str(caught.value).splitlines()[0]
    assert "rank 0 is in step at forward[1 sequences over 10 tokens]" in first
    assert "rank 2 is in step at forward[2 sequences over 14 tokens]" in first


def test_so_are_those_that_are_left_out_of_iterations() -> None:
    """A quiet rank's batch grows by a token per sequence and step, whether it is asked or not."""
    quiet = [meet(step(10, most=99)) for _ in range(2)]
    leader = meet(step(10), step(11), step(12), step(14))
    with pytest.raises(CollectiveMismatchError) as caught:
        perform(leader, *quiet, for_ever(wait(1, group=1)))
    first = str(caught.value).splitlines()[0]
    assert "rank 0 is in step at forward[1 sequences over 14 tokens]" in first
    assert "rank 1 is in step at forward[1 sequences over 13 tokens]" in first


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_a_rank_that_leaves_alone_is_named(alone: int) -> None:
    programs = [meet(SYNC) if rank == alone else meet(SYNC, SYNC) for rank in range(3)]
    with pytest.raises(CollectiveMismatchError) as caught:
        perform(*programs, for_ever(wait(1, group=1)))
    text = str(caught.value)
    assert text.startswith(f"context-0: rank {alone} left while others go on\n")
    for rank in range(3):
        where = "has left" if rank == alone else "is in tp_allgather at sync, iteration 1"
        assert f"rank {rank} {where}" in text


def test_a_rank_that_goes_on_after_the_last_collective_is_named() -> None:
    def programs() -> list[Coroutine[Operation, Any, Any]]:
        return [meet(leave()), meet(leave()), meet(leave(), SYNC), meet(leave())]

    with pytest.raises(CollectiveMismatchError, match="rank 2 goes on after the job's last"):
        perform(*programs())


@pytest.mark.parametrize("jump", [True, False])
def test_waiting_for_what_will_never_come_is_a_deadlock(jump: bool) -> None:
    idle = [for_ever(wait(10, NEVER)) for _ in range(3)]
    with pytest.raises(DeadlockError) as caught:
        perform(*idle, meet(leave()), jump=jump)
    text = str(caught.value)
    for rank in range(3):
        assert f"rank {rank} is in wait at wait, iteration 1" in text
    assert "rank 3 is in world_allgather at leave, iteration 0" in text


def test_a_coordinator_that_waits_for_ever_is_told() -> None:
    async def coordinator() -> None:
        await Receive(NEVER)

    world = VirtualWorld(FOUR, pace=Pace(collective_ns=0, jump=True), mail_latency_ns=1)
    idle = [for_ever(wait(10, NEVER, group=rank // 3)) for rank in range(4)]
    with pytest.raises(DeadlockError, match="the coordinator waits for messages"):
        world.run(idle, coordinator())


def test_collectives_without_end_at_one_instant_are_a_livelock() -> None:
    with pytest.raises(LivelockError, match=r"context-0: \d+ rounds, and time stands still") as e:
        perform(*(for_ever(SYNC) for _ in range(3)), for_ever(wait(1, group=1)))
    assert "rank 2 is in tp_allgather at sync, iteration 1" in str(e.value)


STEP = Step(0, "step", "forward", 1, PLAN, 0, 0, 1, 0, lambda: None)


@pytest.mark.parametrize("operation", [wait(), STEP], ids=["wait", "step"])
def test_waits_and_steps_that_take_no_time_are_a_livelock(operation: Operation) -> None:
    with pytest.raises(LivelockError, match="context-0"):
        perform(*(for_ever(operation) for _ in range(3)), for_ever(wait(1, group=1)))


def test_long_collectives_that_take_time_are_none() -> None:
    many = [wait(1)] * 30_000
    ends = perform(*(meet(*many, leave()) for _ in range(3)), meet(leave()))
    assert ends == [None] * 4


# -- lost messages
# ----------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "name": "lost-message",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "executor": {"drain_timeout": "100ms"},
    "transceiver": {
        "transfer_timeout": "200ms",
        "progress_deadline": "300ms",
        "wait_timeout": "500ms",
    },
    "workload": {
        "kind": "closed_loop",
        "users": 2,
        "requests": 4,
        "prompt_tokens": {"min": 10, "max": 100},
        "output_tokens": {"min": 2, "max": 5},
    },
}


def without(kind: type, at: int, times: int = 1) -> Any:
    """Lose the first message of a kind to an address, and further ones about the same request."""

    def prepare(job: Any) -> None:
        carry, lost = job.world.post.carry, []

        def lossy(sender: int, to: int, message: Message) -> None:
            about = getattr(message, "request_id", -1)
            fits = isinstance(message, kind) and to == at and len(lost) < times
            if fits and about == (lost[0] if lost else about):
                lost.append(about)
            else:
                carry(sender, to, message)

        job.world.post.carry = lossy

    return prepare


@pytest.mark.parametrize("jump", [True, False])
@pytest.mark.parametrize(("kind", "at"), [(Admit, 0), (Admit, 2), (Answers, COORDINATOR)])
def test_a_request_lost_in_the_messages_is_a_deadlock(kind: type, at: int, jump: bool) -> None:
    with pytest.raises(DeadlockError, match="the coordinator waits for messages"):
        run(SMALL, jump=jump, prepare=without(kind, at), most_events=200_000)


@pytest.mark.parametrize(("times", "timed_out"), [(1, 0), (2, 1)])
def test_a_lost_advertise_is_said_again_and_lost_again_a_timeout(
    times: int, timed_out: int
) -> None:
    for rank in (0, 1):
        lost = without(Advertise, rank, times)
        ran = run(SMALL, prepare=lost, most_events=200_000)
        assert sum(record.outcome == "timed_out" for record in ran.records) == timed_out
        assert ran.exit_code == 0


@pytest.mark.parametrize("kind", [Stop, Release])
def test_a_lost_stop_or_release_delays_the_end_and_no_more(kind: type) -> None:
    """The release makes up for a lost stop; the bound on draining for a lost release."""
    ran = run(SMALL, prepare=without(kind, 2), most_events=200_000)
    assert ran.exit_code == 0
    assert {record.outcome for record in ran.records} == {"completed"}
