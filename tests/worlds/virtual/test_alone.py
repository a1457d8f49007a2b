"""A rank that stands still alone: its group waits for it, and no longer than is bearable."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.core.topology import Topology
from adpkv.errors import (
    CollectiveMismatchError,
    DeadlockError,
    HostLostError,
    Place,
    RankLostError,
)
from adpkv.executor.collectives import (
    WORLD,
    Collective,
    Elapsed,
    Gone,
    Operation,
    Pause,
    Receive,
    Wait,
)
from adpkv.executor.messages import Cancel, RankFailed
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.paused_groups import NOTICE_NS
from adpkv.worlds.virtual.world import VirtualWorld

FOUR = Topology.of(context=(1, 3), generation=(1, 1))
"""Ranks 0, 1, 2 are a group, rank 3 is another."""

MS = 1_000_000


def collective(site: str) -> Collective:
    return Collective(0, "tp_allgather", site, 1, None, ())


def pause(until_ns: int = NEVER, over: Callable[[], bool] = lambda: False) -> Pause:
    return Pause(0, "poll", "at_least=1", 1, None, until_ns, over)


def leave() -> Collective:
    return Collective(WORLD, "world_allgather", "leave", 0, None, ())


def idle(group: int, limit_ns: int = 50 * MS) -> Wait:
    return Wait(group, "wait", "wait", 1, None, limit_ns, 0)


async def meet(*operations: Operation) -> list[Any]:
    return [await operation for operation in operations]


class World(VirtualWorld):
    """Four ranks; the fourth waits and leaves."""

    def __init__(self, hang_ns: int = NEVER) -> None:
        super().__init__(
            FOUR, pace=Pace(collective_ns=0, jump=True), mail_latency_ns=1, hang_ns=hang_ns
        )

    def perform(self, *programs: Coroutine[Operation, Any, Any]) -> list[Any]:
        everybody = [*programs, meet(leave())]
        try:
            return self.run(everybody)
        finally:
            for program in everybody:
                program.close()


def test_the_others_wait_until_it_goes_on() -> None:
    world = World()
    others = [meet(collective("sync"), idle(0, 0), leave()) for _ in range(2)]
    results = world.perform(meet(pause(7 * MS), collective("sync"), idle(0, 0), leave()), *others)
    assert world.queue.now == 7 * MS
    assert results[0] == [None, ((), (), ()), Elapsed(0, 1, None), ((), (), (), ())]
    assert results[1] == results[0][1:]


def test_what_it_stands_still_for_ends_it() -> None:
    """Messages to rank 1, sent by the coordinator's address at the start, arrives 1 ns later."""
    world = World()
    box = world.post.box(1)
    world.post.carry(3, 1, Cancel(5))
    others = [meet(collective("sync"), idle(0, 0), leave()) for _ in range(2)]
    alone = meet(pause(9 * MS, box.ready), collective("sync"), idle(0, 0), leave())
    world.perform(others[0], alone, others[1])
    assert world.queue.now == 1


def test_what_comes_meanwhile_ends_the_next_wait() -> None:
    """Else it would lie there for the wait's whole limit."""
    world = World()
    world.post.box(2)
    world.post.carry(3, 2, Cancel(5))
    others = [meet(collective("sync"), idle(0), leave()) for _ in range(2)]
    world.perform(meet(pause(7 * MS), collective("sync"), idle(0), leave()), *others)
    assert world.queue.now == 7 * MS


def test_one_that_pauses_twice() -> None:
    world = World()
    others = [meet(collective("sync"), idle(0, 0), leave()) for _ in range(2)]
    twice = meet(pause(7 * MS), pause(9 * MS), collective("sync"), idle(0, 0), leave())
    world.perform(twice, *others)
    assert world.queue.now == 9 * MS


def test_for_ever_is_a_deadlock_at_once_when_nothing_can_come() -> None:
    with pytest.raises(DeadlockError) as caught:
        World(hang_ns=60_000 * MS).perform(
            meet(collective("sync")), meet(pause()), meet(collective("sync"))
        )
    text = str(caught.value)
    assert "no rank can go on at 0.000000 s" in text
    assert "rank 1 is in poll at at_least=1, iteration 1" in text
    assert "rank 0 is in tp_allgather at sync, iteration 1" in text
    assert caught.value.places == (
        Place(0, "tp_allgather", "sync", 1),
        Place(1, "poll", "at_least=1", 1),
        Place(2, "tp_allgather", "sync", 1),
        Place(3, "world_allgather", "leave", 0),
    )


def test_for_too_long_is_one_while_others_live() -> None:
    """Another group turns and turns: the world is not at its end, this group is."""
    world = World(hang_ns=5_000 * MS)
    programs = [meet(collective("sync")), meet(collective("sync")), meet(pause(60_000 * MS))]
    alive = meet(*[idle(1) for _ in range(1_000)])
    with pytest.raises(DeadlockError, match=r"context-0 has not gone on for 5 s at 5\.0"):
        world.run([*programs, alive])
    for program in [*programs, alive]:
        program.close()


def gone() -> Gone:
    return Gone(0, "killed", "SIGKILL", 1, None)


def test_the_others_of_a_failed_rank_are_told_where_they_stand() -> None:
    """Programs that do not know what to do about it end the job."""
    world = World()
    with pytest.raises(RankLostError) as caught:
        world.perform(meet(collective("sync")), meet(collective("sync")), meet(gone()))
    assert caught.value.rank == 2
    assert caught.value.place == Place(0, "tp_allgather", "sync", 1)
    assert world.queue.now == NOTICE_NS


def test_they_can_go_on_without_it() -> None:
    async def survivor() -> list[Any]:
        try:
            await collective("sync")
        except RankLostError as lost:
            return [lost.rank, *await meet(collective("sync"), leave())]
        raise AssertionError("it met a failed rank")

    results = World().perform(survivor(), survivor(), meet(gone()))
    assert results[0] == results[1] == [2, ((), ()), ((), (), ())]
    assert results[2] is None


def test_two_that_fail_at_once() -> None:
    async def survivor() -> list[int]:
        lost = []
        while True:
            try:
                await (leave() if len(lost) == 2 else collective("sync"))
                return lost
            except RankLostError as error:
                lost.append(error.rank)

    assert World().perform(meet(gone()), survivor(), meet(gone()))[1] == [0, 2]


def test_where_nobody_is_left_the_others_end_without_them() -> None:
    world = World()
    assert world.perform(*[meet(gone()) for _ in range(3)]) == [None] * 3 + [[((),)]]
    assert world.queue.now == NOTICE_NS


def test_where_all_have_failed_it_is_over() -> None:
    world = World()
    programs = [*[meet(gone()) for _ in range(3)], meet(Gone(1, "killed", "SIGKILL", 1, None))]
    assert world.run(programs) == [None] * 4


async def host(heard: list[Any]) -> None:
    while True:
        heard += await Receive(NEVER)


def test_the_coordinator_hears_of_a_deserted_instance_from_its_host() -> None:
    """Until it is told, it waits; and once it is, the survivors need not be asked."""
    world, heard = World(), []
    programs = [
        *[meet(idle(0), idle(0), leave()) for _ in range(3)],
        meet(Gone(1, "", "", 1, None)),
    ]
    world.run(programs, coordinator := host(heard))
    coordinator.close()
    detail = "rank 3 (generation-1) has failed, the last one there"
    assert heard == [RankFailed(1, 3, -1, detail)]


def test_with_rank_0_the_coordinator_fails() -> None:
    """At once, not when it is noticed: what arrives meanwhile it does not hear."""
    world, heard = World(), []
    box = world.post.box(3)
    timely, late = RankFailed(1, 3, 3, "timely"), RankFailed(1, 3, 3, "late")

    async def sender() -> None:
        box.send(COORDINATOR, timely)
        await idle(1, 5 * MS)
        box.send(COORDINATOR, late)
        await idle(1, 500 * MS)

    programs = [
        meet(pause(4 * MS), gone()),
        *[meet(collective("sync")) for _ in range(2)],
        sender(),
    ]
    with pytest.raises(
        HostLostError, match="rank 0 has failed, and with it the coordinator: the job"
    ):
        world.run(programs, host(heard))
    for program in programs:
        program.close()
    assert heard == [timely]
    assert world.queue.now == 4 * MS + NOTICE_NS


def test_the_others_are_still_compared() -> None:
    with pytest.raises(CollectiveMismatchError) as caught:
        World().perform(meet(pause(7 * MS)), meet(collective("sync")), meet(collective("poll")))
    assert "rank 1 is in tp_allgather at sync, iteration 1, rank 2 is in" in str(caught.value)


def test_one_that_goes_on_elsewhere_is_seen() -> None:
    with pytest.raises(CollectiveMismatchError, match="rank 0 is in tp_allgather at poll"):
        World().perform(
            meet(pause(7 * MS), collective("poll")),
            meet(collective("sync")),
            meet(collective("sync")),
        )
