"""Each of the ten kinds of getting stuck, as small rank programs of the virtual world."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.core.topology import Topology
from adpkv.diagnosis.classify import Kind
from adpkv.diagnosis.evidence import Evidence
from adpkv.errors import StuckError
from adpkv.executor.collectives import WORLD, Collective, Operation, Pause, Step, Wait
from adpkv.model.port import Batch
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.world import VirtualWorld

FOUR = Topology.of(context=(1, 3), generation=(1, 1))
"""Ranks 0, 1, 2 are a group, rank 3 is another."""

Programs = list[Coroutine[Operation, Any, Any]]


def collective(
    kind: str, site: str, iteration: int = 1, group: int = 0, plan: Any = None
) -> Collective:
    return Collective(group, kind, site, iteration, plan, ())


def sync(iteration: int = 1) -> Collective:
    return collective("tp_allgather", "sync", iteration)


def flush(iteration: int = 1) -> Collective:
    return collective("tp_gather", "flush", iteration)


def step(context_tokens: int, base_ns: int = 1) -> Step:
    batch = Batch(sequences=1, context_tokens=context_tokens)
    return Step(0, "step", "forward", 1, None, base_ns, 0, 1, 0, lambda: None, None, batch)


def pause() -> Pause:
    return Pause(0, "poll", "at_least=1", 1, None, NEVER, lambda: False)


def idle_wait(group: int = 0) -> Wait:
    return Wait(group, "wait", "wait", 1, None, 10, NEVER, quiet_status=())


def leave() -> Collective:
    return collective("world_allgather", "leave", 0, WORLD)


async def meet(*operations: Operation) -> None:
    for operation in operations:
        await operation


async def for_ever(*operations: Operation) -> None:
    while True:
        await meet(*operations)


def _one(odd: Operation, *before: Operation, others: Operation | None = None) -> Programs:
    """Rank 1 comes to something else than ranks 0 and 2."""
    rest = others or sync()
    return [meet(*before, odd if rank == 1 else rest) for rank in range(3)]


PLANTED: dict[Kind, Callable[[], Programs]] = {
    Kind.MISSING_PARTICIPANT: lambda: _one(pause(), flush()),
    Kind.WRONG_OPERATION: lambda: _one(collective("tp_gather", "respond"), flush()),
    Kind.ARGUMENT_MISMATCH: lambda: _one(step(14), others=step(10)),
    Kind.WRONG_GROUP: lambda: _one(collective("tp_allgather", "sync", group=1)),
    Kind.ORDER_INVERSION: lambda: _one(collective("world_allgather", "barrier", 1, WORLD)),
    Kind.EARLY_EXIT: lambda: [meet(sync()) if r == 1 else meet(sync(), flush()) for r in range(3)],
    Kind.CROSSED_PAYLOAD: lambda: _one(collective("tp_allgather", "poll"), flush()),
    Kind.ZERO_TIME_LIVELOCK: lambda: [for_ever(sync()) for _ in range(3)],
    Kind.LOST_WAKE_UP: lambda: [for_ever(idle_wait()) for _ in range(3)],
    Kind.SYMMETRIC_WEDGE: lambda: [meet(sync(), step(10, NEVER)) for _ in range(3)],
}


def stuck(programs: Programs, topology: Topology = FOUR) -> Evidence:
    """What the world says when these ranks cannot go on; all others have left."""
    world = VirtualWorld(topology, pace=Pace(collective_ns=0, jump=True), mail_latency_ns=1)
    everybody = [*programs, *(meet(leave()) for _ in range(topology.ranks - len(programs)))]
    found: object = None
    try:
        world.run(everybody)
    except StuckError as error:
        found = error.evidence
    finally:
        for program in everybody:
            program.close()
    assert isinstance(found, Evidence)
    return found
