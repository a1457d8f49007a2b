"""`adpkv run gpu` where every call that waits for a device raises inside an iteration.

`python -m tests.gpu.no_wait OUT [--set ...]` starts the ranks. Only the model's step may wait. So
the calls are replaced while the rank's program runs, but not inside `GemmModel.run`. What cannot be
replaced is told. The environment says for tests how many ranks there are (NO_WAIT_RANKS), on which
file (NO_WAIT_FILE), and that a wait is planted (NO_WAIT_PLANT).
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

RUNTIME = (
    "deviceSynchronize",
    "eventSynchronize",
    "free",
    "freeHost",
    "hostAlloc",
    "malloc",
    "memcpy",
    "memcpyPeer",
    "memset",
    "streamSynchronize",
)
CLASSES = (("Stream", "synchronize"), ("Event", "synchronize"), ("Device", "synchronize"))
ARRAY = ("get", "item", "tolist", "__float__", "__int__", "__bool__")


class Guard:
    """Whether a call may wait now."""

    running = False
    in_step = 0
    refused = 0

    def guarded(self, what: str, call: Any) -> Any:
        def checked(*args: Any, **kwargs: Any) -> Any:
            if self.running and not self.in_step:
                self.refused += 1
                raise AssertionError(f"{what} waits for the device inside an iteration")
            return call(*args, **kwargs)

        return checked


def arm() -> Guard:
    """Replace all calls that wait."""
    from adpkv.model.gemm import GemmModel
    from adpkv.worlds.mpi.driver import Driver

    guard, cupy = Guard(), importlib.import_module("cupy")
    places = [(cupy.cuda.runtime, name) for name in RUNTIME]
    places += [(getattr(cupy.cuda, one, None), name) for one, name in CLASSES]
    places += [(getattr(cupy, "ndarray", None), name) for name in ARRAY]
    for owner, name in places:
        call = getattr(owner, name, None)
        if call is None:
            continue
        try:
            setattr(owner, name, guard.guarded(f"{owner} {name}", call))
        except (AttributeError, TypeError):
            print(f"cannot be replaced: {owner} {name}")
    run_step, run_program = GemmModel.run, Driver.run

    def step(self: Any, batch: Any) -> None:
        guard.in_step += 1
        try:
            run_step(self, batch)
        finally:
            guard.in_step -= 1

    def program(self: Any, coroutine: Any) -> Any:
        guard.running = True
        try:
            return run_program(self, coroutine)
        finally:
            guard.running = False

    if os.environ.get("NO_WAIT_PLANT"):
        from adpkv.memory.cuda import CudaMemory

        CudaMemory.poll = lambda self: self.device.wait()  # type: ignore[method-assign]
    GemmModel.run = step  # type: ignore[method-assign]
    Driver.run = program  # type: ignore[method-assign]
    return guard


def main(words: list[str]) -> int:
    out, *more = words
    if "OMPI_COMM_WORLD_SIZE" not in os.environ:
        mpirun = str(Path(sys.executable).parent / "mpirun")
        ranks = os.environ.get("NO_WAIT_RANKS", "8")
        command = [mpirun, "-n", ranks, sys.executable, "-m", "tests.gpu.no_wait", *words]
        os.execv(mpirun, command)
    from adpkv.__main__ import main as adpkv
    from adpkv.worlds.mpi.launcher import startup

    start_mpi = startup.start_mpi

    def start() -> None:
        start_mpi()
        arm()  # it imports MPI, which `adpkv run` itself has to start

    startup.start_mpi = start

    file = os.environ.get("NO_WAIT_FILE", "configs/gpu.yaml")
    sys.argv = ["adpkv", "run", file, "--quiet", "--out", out, *more]
    return int(adpkv() or 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
