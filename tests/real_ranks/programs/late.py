"""A job of four ranks of which one takes longer than the others until it is built.

python -m tests.real_ranks.programs.late FOLDER rank|coordinator|model [spins]

`coordinator`: the last one is what rank 0 runs beside itself. `model`: it is a rank's first step,
in which models connect with each other. Each rank writes down when it was built, when the job's
clock began as far as its own readings tell, and how much processor time it took to begin.
`spins`: those that wait for the last one do not sleep.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.executor.phases import Phases
from adpkv.model.gemm import GemmModel
from adpkv.model.port import Batch
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.mpi import hosts
from adpkv.worlds.mpi.rank_process import RankProcess
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import Script, arrival, setting

LATE = 2
LATE_S = 1.0
RANK = MPI.COMM_WORLD.rank


def main() -> int:
    folder, who = Path(sys.argv[1]), sys.argv[2]

    def note(what: str, at_ns: int) -> None:
        (folder / f"{what}.{RANK}").write_text(str(at_ns))

    def built(is_late: bool) -> None:
        if is_late:
            time.sleep(LATE_S)
        note("built", perf_counter_ns())

    class Noted(Phases):
        async def intake(self) -> None:
            if self.rank.iteration == 0:
                note("began", perf_counter_ns() - self.rank.ports.clock())
            await super().intake()

    def assemble(*args: Any, clock: Any, **ports: Any) -> Any:
        assert clock() == 0, "time has begun, and not all is built"
        built(who == "rank" and RANK == LATE)
        return build_rank(*args, clock=clock, phases=Noted, **ports)

    coordinator_host = RankProcess.coordinator_host

    def beside(job: RankProcess, *args: Any) -> Any:
        found = coordinator_host(job, *args)
        built(who == "coordinator")
        return found

    RankProcess.coordinator_host = beside
    begin = RankProcess.begin

    def begin_and_note(job: RankProcess) -> None:
        before_ns = thread_time_ns()
        begin(job)
        note("spent", thread_time_ns() - before_ns)

    RankProcess.begin = begin_and_note
    if "spins" in sys.argv[3:]:
        hosts.meet = lambda world: world.Barrier()
    step, steps = GemmModel.run, []

    def first(model: GemmModel, batch: Batch) -> None:
        step(model, batch)
        if not steps:
            built(RANK == LATE)
        steps.append(batch)

    more: dict[str, Any] = {}
    if who == "model":
        GemmModel.run = first
        more = {"model": {"kind": "gemm", "hidden": 64, "layers": 1}}
    arrivals = [arrival(0, 32, 4), arrival(20, 32, 4)]
    return run(
        parse(setting("late", 2, 2, **more), "late"),
        out=folder / "out",
        quiet=True,
        workload=Script(arrivals) if RANK == 0 else None,
        assemble=assemble,
    )


if __name__ == "__main__":
    sys.exit(main())
