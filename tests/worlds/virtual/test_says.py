"""A quiet rank that brings something else than it said it would is caught, and named.

The virtual world leaves quiet ranks out of iterations and answers for them (`Step.quiet_status`,
`Wait.quiet_status`). When a plan turns out to concern one of them, its own word is compared.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec
import pytest

from adpkv.core.ids import NEVER
from adpkv.core.plan import FIRST_PLAN, Plan
from adpkv.core.topology import Topology
from adpkv.errors import AdpkvError
from adpkv.executor.collectives import WORLD, Collective, Operation, Step, Wait
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.world import VirtualWorld
from tests.worlds.virtual.running import run

THREE = Topology.of(context=(1, 2), generation=(1, 1))
"""Ranks 0 and 1 are a group, rank 2 is another."""

CALM = "nothing to do"
FOR_ALL = Plan(cancels=(7,))
"""Concerns every rank, also one that was left out so far."""


def asleep(stretch: str, until_ns: int) -> Operation:
    if stretch == "wait":
        return Wait(0, "wait", "wait", 1, FIRST_PLAN, 1, until_ns, quiet_status=CALM)
    return Step(
        0, "step", "forward", 1, FIRST_PLAN, 1, 0, 99, until_ns, lambda: None, quiet_status=CALM
    )


def brings(payload: Any, kind: str = "tp_allgather", site: str = "sync") -> Collective:
    plan = msgspec.structs.replace(FOR_ALL)
    return Collective(0, kind, site, 2, FIRST_PLAN, payload, lambda _: plan)


async def meet(*operations: Operation) -> None:
    for operation in operations:
        await operation
    await Collective(WORLD, "world_allgather", "leave", 0, None, ())


def perform(stretch: str, *woken: Collective) -> list[Any]:
    """The leader wakes up alone; the plan that comes of it wakes rank 1, which brings `woken`."""
    world = VirtualWorld(THREE, pace=Pace(collective_ns=0, jump=True), mail_latency_ns=1)
    leader = meet(asleep(stretch, 5), brings((), "tp_broadcast", "intake"), brings(CALM))
    programs: list[Coroutine[Operation, Any, Any]] = [
        leader,
        meet(asleep(stretch, NEVER), *woken),
        meet(),
    ]
    try:
        return world.run(programs)
    finally:
        for program in programs:
            program.close()


INTAKE = brings((), "tp_broadcast", "intake")
LIES = {
    "another word": ((INTAKE, brings("work")), f"with work, but had announced {CALM}"),
    "another site": ((INTAKE, brings(CALM, site="poll")), "is in tp_allgather at poll"),
    "another kind": ((INTAKE, brings(CALM, "tp_gather")), "is in tp_gather at sync"),
    "messages": (
        (brings("messages", "tp_broadcast", "intake"),),
        r"with messages, but had announced \(\)",
    ),
}


@pytest.mark.parametrize("stretch", ["wait", "step"])
@pytest.mark.parametrize("lie", LIES)
def test_who_brings_something_else_is_caught(stretch: str, lie: str) -> None:
    woken, told = LIES[lie]
    with pytest.raises(AdpkvError, match=f"rank 1 .*{told}"):
        perform(stretch, *woken)


@pytest.mark.parametrize("stretch", ["wait", "step"])
def test_who_brings_what_it_said_comes_along(stretch: str) -> None:
    assert perform(stretch, INTAKE, brings(CALM)) == [None] * 3


class ForgetfulPhases(Phases):
    """Says one load as it falls asleep, and brings another when it is woken."""

    async def sync(self) -> Plan:
        if self.rank.leader is None:
            self._status = msgspec.structs.replace(self._status, tokens=self.rank.iteration)
        return await super().sync()


SMALL: dict[str, Any] = {
    "name": "forgetful",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "workload": {
        "kind": "closed_loop",
        "users": 2,
        "requests": 4,
        "prompt_tokens": {"min": 10, "max": 100},
        "output_tokens": {"min": 2, "max": 5},
    },
}


def test_a_rank_whose_load_changes_in_its_sleep_is_caught() -> None:
    with pytest.raises(
        AdpkvError, match=r"rank [13] is in tp_allgather at sync.* but had announced"
    ):
        run(SMALL, assemble=partial(build_rank, phases=ForgetfulPhases), most_events=200_000)
