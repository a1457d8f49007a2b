"""Ranks of a real job are killed in some phase of an iteration; the others end it well, or go on.

python -m tests.real_ranks.programs.dies FOLDER POLICY[/COLLECTIVES] PHASE VICTIM[:DELAY_MS]...

COLLECTIVES is what carries them, `auto` unless it is given.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.executor.phases import Phases
from adpkv.field_policies import assembly
from adpkv.worlds.mpi.run import run
from tests.real_ranks.programs.halfway import halfway
from tests.scenarios.script import Script, arrival, setting

FROM_NS = int(os.environ.get("DIES_FROM_MS", "200")) * 1_000_000
"""When each victim begins to look for its phase: ranks of a host have one clock."""

REQUESTS = 120
"""One every 10 ms: a victim finds any phase within them."""

HALFWAY = ("head", "tail", "payload")
"""Phases in which a rank fails while it writes into shared memory, and has written half."""

POLICIES: dict[str, dict[str, Any]] = {
    "shutdown": {},
    "shrink": {"on_rank_failure": "shrink"},
    "recompute": {"on_rank_failure": "shrink", "recompute": True},
}


def fail(ports: Any, phase: str, delay_s: float) -> None:
    """Kill this process, if it is time."""
    if ports.clock() >= FROM_NS or phase == "drain":
        time.sleep(delay_s)
        ports.recorder.event("dies", -1, phase=phase)
        ports.recorder._write.__self__.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def dying(phase: str, delay_s: float) -> type[Phases]:
    """Phases of which one kills this process, in a real iteration."""

    def die(self: Any) -> None:
        fail(self.rank.ports, phase, delay_s)

    class Dying(Phases):
        pass

    original = getattr(Phases, "wait" if phase == "drain" else phase)

    if phase in ("observe", "apply"):

        def method(self: Any, *args: Any) -> Any:
            die(self)
            return original(self, *args)

        setattr(Dying, phase, method)
        return Dying

    async def phased(self: Any) -> Any:
        if phase != "drain" or self.rank.plan.stop is not None:
            die(self)
        return await original(self)

    setattr(Dying, "wait" if phase == "drain" else phase, phased)
    return Dying


def main() -> int:
    folder, policy, phase, *victims = sys.argv[1:]
    policy, _, collectives = policy.partition("/")
    rank = MPI.COMM_WORLD.rank
    delays = dict((f"{victim}:0").split(":")[:2] for victim in victims)
    # Nothing is in flight where all is drained: whoever waited for a timeout then would be late.
    bound = {"drain_timeout": "30s" if phase == "drain" else "2s"}
    data = setting("dies", 4, 4, executor=bound, **POLICIES[policy])
    data["topology"]["collectives"] = collectives or "auto"
    # Where a group goes on, a wish for the failed rank could not be granted.
    wanted = {i: i % 4 if policy == "shutdown" else None for i in range(REQUESTS)}
    arrivals = [arrival(10 * i, 32, 4 + i % 9, wanted=wanted[i]) for i in range(REQUESTS)]

    assembled: list[Any] = []
    if str(rank) in delays and phase in HALFWAY:
        delay_s = float(delays[str(rank)]) / 1e3
        halfway(phase, lambda: fail(assembled[0], phase, delay_s) if assembled else None)

    def assemble(*args: Any, **ports: Any) -> Any:
        assembled.append(SimpleNamespace(**ports))
        if str(rank) in delays and phase not in HALFWAY:
            ports["phases"] = dying(phase, float(delays[str(rank)]) / 1e3)
        return assembly(args[0])(*args, **ports)

    return run(
        parse(data, "dies"),
        out=Path(folder) / "out",
        quiet=True,
        workload=Script(arrivals) if rank == 0 else None,
        assemble=assemble,
    )


if __name__ == "__main__":
    sys.exit(main())
