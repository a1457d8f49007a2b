"""Ranks of a real job are killed in some phase of an iteration; the others end it well, or go on.

python -m tests.mpi.programs.dies FOLDER POLICY[/COLLECTIVES] PHASE VICTIM[:DELAY_MS]...

COLLECTIVES is what carries them: shared_memory, or else mpi.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.executor.phases import Phases
from adpkv.field_policies import assembly
from adpkv.worlds.mpi.exchange.shared import SharedExchange
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import Script, arrival, setting

FROM_NS = int(os.environ.get("DIES_FROM_MS", "200")) * 1_000_000
"""When each victim begins to look for its phase: ranks of a host have one clock."""

REQUESTS = 120
"""One every 10 ms: a victim finds any phase within them."""

HALFWAY = ("slot", "payload")
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


def halfway(what: str, die: Callable[[], None]) -> None:
    """Let this process call `die` once half of its next slot, or of its next long payload, is
    written."""
    original = getattr(SharedExchange, "slots" if what == "slot" else "payloads")

    def half(exchange: Any, own: Any, *args: Any) -> Any:
        whole = exchange._memory
        exchange._memory = Half(whole, die)
        exchange._rounds = lambda memory, at: ()  # it takes real memory
        try:
            return original(exchange, own, *args)
        finally:
            exchange._memory = whole

    setattr(SharedExchange, "slots" if what == "slot" else "payloads", half)


class Half:
    """Memory of which only half is written."""

    def __init__(self, inner: Any, then: Callable[[], None]) -> None:
        self._inner, self._then = inner, then

    def __getitem__(self, place: slice) -> bytes:
        return self._inner[place]  # type: ignore[no-any-return]

    def __setitem__(self, place: slice, data: Any) -> None:
        middle = (place.stop - place.start) // 2
        self._inner[place.start : place.start + middle] = data[:middle]
        self._then()
        self._inner[place] = data


def main() -> int:
    folder, policy, phase, *victims = sys.argv[1:]
    policy, _, collectives = policy.partition("/")
    rank = MPI.COMM_WORLD.rank
    delays = dict((f"{victim}:0").split(":")[:2] for victim in victims)
    # Nothing is in flight where all is drained: whoever waited for a timeout then would be late.
    bound = {"drain_timeout": "30s" if phase == "drain" else "2s"}
    data = setting("dies", 4, 4, executor=bound, **POLICIES[policy])
    data["topology"]["collectives"] = collectives or "shared_memory"
    # Where a group goes on, a wish for the failed rank could not be granted.
    wanted = {i: i % 4 if policy == "shutdown" else None for i in range(REQUESTS)}
    arrivals = [arrival(10 * i, 32, 4 + i % 9, wanted=wanted[i]) for i in range(REQUESTS)]

    def assemble(*args: Any, **ports: Any) -> Any:
        if str(rank) in delays and phase in HALFWAY:
            named = SimpleNamespace(**ports)
            halfway(phase, lambda: fail(named, phase, float(delays[str(rank)]) / 1e3))
        elif str(rank) in delays:
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
