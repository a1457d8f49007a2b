"""A job with a failed rank, on a host where MPI is to yield: when it does. Each rank that lives
writes down what it has seen.

python -m tests.real_ranks.programs.yielding FOLDER COLLECTIVES
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from adpkv.worlds.mpi.oversubscription import YIELD

os.environ[YIELD] = "1"

from mpi4py import MPI

from adpkv.executor.phases import Phases
from adpkv.worlds.mpi.rank_process import RankProcess
from adpkv.worlds.mpi.recovery.survivor import Survivor
from tests.real_ranks.programs.one_request import serve_one_request
from tests.scenarios.script import setting

VICTIM, AT = 3, 4
"""This rank fails, in this iteration."""

VARIABLE: Final = "opal_progress_yield_when_idle"


def yields() -> bool:
    """What Open MPI goes by."""
    return bool(ctypes.c_bool.in_dll(ctypes.CDLL(MPI.__file__), VARIABLE))


def main() -> int:
    folder, collectives = sys.argv[1:]
    notes: list[str] = []
    file = Path(folder, f"rank-{MPI.COMM_WORLD.rank}")

    def note(when: str) -> None:
        said = f"{when} {yields()}"
        if notes[-1:] != [said]:
            notes.append(said)
            file.write_text("\n".join(notes))

    def noted(method: Any, when: str) -> Any:
        def call(self: Any, *args: Any) -> Any:
            note(when)
            return method(self, *args)

        return call

    class Noting(Phases):
        async def sync(self) -> Any:
            if (self.rank.rank, self.rank.iteration) == (VICTIM, AT):
                os.kill(os.getpid(), signal.SIGKILL)
            note("program")
            return await super().sync()

    Survivor.recover = noted(Survivor.recover, "recovery")  # type: ignore[method-assign]
    RankProcess.finish = noted(RankProcess.finish, "end")  # type: ignore[method-assign]
    note("start")
    data = setting("yielding", 2, 2, on_rank_failure="shrink")
    data["topology"]["collectives"] = collectives
    return serve_one_request(data, Path(folder) / "out", Noting)


if __name__ == "__main__":
    sys.exit(main())
