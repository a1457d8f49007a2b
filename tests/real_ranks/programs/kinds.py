"""Real ranks that get stuck in each way in which real ranks can.

python -m tests.real_ranks.programs.kinds CASE FOLDER
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.core.plan import Plan
from adpkv.executor.collectives import WORLD, Collective, Pause, Step
from adpkv.executor.phases import Phases
from adpkv.model.port import Batch
from tests.real_ranks.programs.one_request import serve_one_request
from tests.scenarios.script import setting

ODD, FROM = 2, 4
"""This rank, from this iteration on; ranks 1 to 3 are its group."""

Case = Callable[[Phases], Awaitable[Any]]


def _join(phases: Phases, kind: str, site: str, plan: Any = None, group: int = 1) -> Collective:
    rank = phases.rank
    return Collective(group, kind, site, rank.iteration, plan or rank.plan, None)


async def pauses(phases: Phases, kind: str = "poll") -> None:
    rank = phases.rank
    await Pause(1, kind, "status", rank.iteration, rank.plan, NEVER, lambda: False)


async def loops(phases: Phases) -> None:
    while phases:
        time.sleep(0.001)


async def holds(phases: Phases) -> None:
    """C code that never gives the interpreter's lock back: no thread of this process runs."""
    while phases:
        ctypes.PyDLL(None).sleep(3600)  # a signal ends it, but then comes the next


async def stops(phases: Phases) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


async def gathers(phases: Phases) -> None:
    await _join(phases, "tp_gather", "respond")


async def polls(phases: Phases) -> None:
    await _join(phases, "tp_allgather", "poll")


async def disagrees(phases: Phases) -> None:
    await _join(phases, "tp_allgather", "sync", Plan(cancels=(4711,)))


async def batches(phases: Phases) -> None:
    rank = phases.rank
    batch = Batch(sequences=1, context_tokens=14 if rank.rank == ODD else 10)
    await Step(
        1, "step", "forward", rank.iteration, rank.plan, 1, 0, 1, 0, lambda: None, None, batch
    )


async def leaves(phases: Phases) -> None:
    await phases.leave()


async def joins_the_world(phases: Phases) -> None:
    await _join(phases, "world_allgather", "barrier", group=WORLD)


async def takes_the_world_for_its_group(phases: Phases) -> None:
    await _join(phases, "world_allgather", "sync", group=WORLD)


async def wedges(phases: Phases) -> None:
    rank = phases.rank
    await Step(1, "step", "forward", rank.iteration, rank.plan, 1, 0, 1, 0, _for_ever)


def _for_ever() -> None:
    while True:
        time.sleep(0.05)


CASES: dict[str, tuple[Case, bool]] = {
    # What the odd rank does before sync, and whether its whole group does.
    "pauses": (pauses, False),
    "loops": (loops, False),
    "holds": (holds, False),
    "stops": (stops, False),
    "gathers": (gathers, False),
    "polls": (polls, False),
    "disagrees": (disagrees, False),
    "batches": (batches, True),
    "leaves": (leaves, False),
    "joins_the_world": (joins_the_world, False),
    "takes_the_world_for_its_group": (takes_the_world_for_its_group, False),
    "waits": (pauses, True),
    "wedges": (wedges, True),
}


def main() -> int:
    case, whole = CASES[sys.argv[1]]
    data = setting("kinds", 1, 3, diagnosis={"hang_timeout": "1s"})

    class Stuck(Phases):
        async def sync(self) -> Any:
            rank = self.rank
            if rank.iteration >= FROM and (rank.rank == ODD or (whole and rank.rank > 0)):
                await case(self)
            return await super().sync()

    return serve_one_request(data, Path(sys.argv[2]) / "out", Stuck)


if __name__ == "__main__":
    sys.exit(main())
