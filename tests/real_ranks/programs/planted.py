"""A real job of four ranks in which one of them breaks the contract: what its oracles say.

python -m tests.real_ranks.programs.planted CASE OUT
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.core.report import RankReport
from adpkv.core.stop import StopReason
from adpkv.executor.collectives import Wait
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import MS, Script, arrival, setting

CONTEXT, GENERATION = (0, 1), (2, 3)
CULPRIT = 3
ARRIVALS = [arrival(20 * i, 32, 6, wanted=i % 2) for i in range(30)]


class Honest(Phases):
    """Nothing is planted."""


class Planted(Phases):
    """What only the culprit does."""

    @property
    def is_culprit(self) -> bool:
        return self.rank.rank == CULPRIT

    @property
    def memory(self) -> Any:
        return self.rank.serving.memory


class WaitsElsewhere(Planted):
    """Waits as often as the others, so slots see nothing, but at a place of its own."""

    async def wait(self) -> None:
        if not self.is_culprit:
            return await super().wait()
        rank = self.rank
        operation = Wait(
            self._group, "wait", "queue", rank.iteration, rank.plan, MS, self.until_ns(), None
        )
        elapsed = await operation
        rank.iteration, rank.plan = elapsed.iteration, elapsed.plan
        return None


class Overwrites(Planted):
    """Writes into the first prompt block of whatever it decodes."""

    async def step(self) -> None:
        for request in list(self.rank.serving.requests.values()):
            if self.is_culprit and request.state == "decoding" and request.lease is not None:
                self.memory.view(request.lease.blocks[0], 1)[3] ^= 0xFF
                break
        await super().step()


class WritesAfterFree(Planted):
    """Writes, on its way out, into a block that was used and is free."""

    def report(self) -> RankReport:
        if self.is_culprit:
            used = next(b for b, new in enumerate(self.memory._book._never_used) if not new)
            self.memory.view(used, 1)[0] = 7
        return super().report()


class Deaf(Planted):
    """Sees in its waits that there are messages, and reads none for a while."""

    def observe(self) -> None:
        if not self.is_culprit or not 100 * MS <= self.rank.ports.clock() < 1500 * MS:
            super().observe()


class Leaks(Planted):
    """Takes two blocks and tells nobody."""

    async def leave(self) -> tuple[RankReport, ...]:
        if self.is_culprit:
            self.rank.serving.pool.acquire(2)
        return await super().leave()


class LeavesForNothing(Planted):
    """Says that it is ill, and is not."""

    def observe(self) -> None:
        super().observe()
        if self.is_culprit and self.rank.ports.clock() > 200 * MS:
            self.propose(StopReason(75, "a transfer was slow"))


CASES = {
    case.__name__: case
    for case in (
        Honest,
        WaitsElsewhere,
        Overwrites,
        WritesAfterFree,
        Deaf,
        Leaks,
        LeavesForNothing,
    )
}


def main() -> int:
    phases, out = CASES[sys.argv[1]], Path(sys.argv[2])
    data = setting(
        "planted",
        2,
        2,
        executor={"drain_timeout": "1s"},
        # Six times as much in the real world: 300 ms.
        observe={"unbounded_wait": "50ms" if phases is Deaf else "5s"},
    )
    return run(
        parse(data, "planted"),
        out=out,
        quiet=True,
        workload=Script(ARRIVALS) if MPI.COMM_WORLD.rank == 0 else None,
        assemble=partial(build_rank, phases=phases),
    )


if __name__ == "__main__":
    sys.exit(main())
