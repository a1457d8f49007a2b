"""A program over our rank API on real ranks: `mpirun -n 4 adpkv check FILE.py:FUNCTION`.

The same calls, made with mpi4py: each blocks, so the program's coroutine never waits for its turn.
Once, as it happens to go: there are no schedules to choose here.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from adpkv.counting import counted
from adpkv.errors import MissingPieceError, TargetError
from adpkv.exit_codes import ExitCode
from adpkv.rank_programs.classify import short
from adpkv.rank_programs.driver import MOST_SECONDS
from adpkv.rank_programs.modules import ProgramModules
from adpkv.rank_programs.program_files import ProgramFiles
from adpkv.rank_programs.target import Target, arguments_of
from adpkv.rank_programs.variables import line_of

__all__ = ["RealRank", "end_after", "finish", "run_for_real"]

TELL_SECONDS = 1.0
"""For all ranks to say where they are."""


class RealRank:
    """What `RankApi` is, over a communicator of mpi4py."""

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._comm = mpi, mpi.COMM_WORLD
        self.rank = self.tp_rank = int(self._comm.rank)
        self.world_size = self.tp_size = int(self._comm.size)
        self._began_s = time.monotonic()
        self.last = "it has made no operation"
        """What it does, or has done last, for people."""

    def _at(self, operation: str) -> None:
        self.last = f"its last operation is {operation}"

    @property
    def clock(self) -> float:
        """Seconds since the program began."""
        return time.monotonic() - self._began_s

    async def tp_allgather(self, value: Any) -> list[Any]:
        """Everybody's value to everybody, in rank order."""
        self._at("tp_allgather")
        found: list[Any] = self._comm.allgather(value)
        return found

    async def tp_gather(self, value: Any, root: int = 0) -> list[Any] | None:
        """Everybody's value to the root; None on the others."""
        self._at(f"tp_gather (root {root})")
        found: list[Any] | None = self._comm.gather(value, root)
        return found

    async def tp_broadcast(self, value: Any = None, root: int = 0) -> Any:
        """The root's value to all."""
        self._at(f"tp_broadcast (root {root})")
        return self._comm.bcast(value, root)

    async def barrier(self) -> None:
        """All come."""
        self._at("barrier")
        self._comm.barrier()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._at(f"sleep({seconds:g})")
        time.sleep(seconds)

    async def send(self, value: Any, to: int, tag: int = 0) -> None:
        """A message. Handed to MPI at once; a large one may wait there for its receive."""
        self._at(f"send to rank {to}")
        self._comm.send(value, to, tag)

    async def recv(self, source: int | None = None, tag: int | None = None) -> Any:
        """The next message of a rank; of any rank, or with any tag, if that is None."""
        self._at(f"recv from {'any rank' if source is None else f'rank {source}'}")
        mpi = self._mpi
        return self._comm.recv(
            source=mpi.ANY_SOURCE if source is None else source,
            tag=mpi.ANY_TAG if tag is None else tag,
        )


def run_for_real(target: Target, ranks: int | None, bound_s: float = MOST_SECONDS) -> int:
    """Run the program on the ranks of this job; the exit code of this rank. A rank that raises ends
    the job: the others would wait for it. After `bound_s` each rank says where it is, and the job
    ends."""
    files = ProgramFiles(target.roots)
    if not target.is_async and not target.is_script:
        sys.path.insert(0, target.folder)
        target.load(ProgramModules(1, files))  # which says so if there is no such function
    if not target.is_async:
        raise TargetError(
            f"{target.text}: under mpirun only `async def program(rank)` can be run: other programs"
            " are run by mpirun or torchrun themselves"
        )
    try:
        from mpi4py import MPI
    except ImportError:
        raise MissingPieceError("this needs MPI: pip install 'adpkv[mpi]'") from None
    own = RealRank(MPI)
    if ranks is not None and ranks != own.world_size:
        raise TargetError(
            f"mpirun has started {counted(own.world_size, 'rank')}, and -n says {ranks}"
        )
    sys.path.insert(0, target.folder)
    end_after(MPI, files, bound_s, lambda: own.last)
    try:
        program = target.load(ProgramModules(1, files))
        assert program is not None, "a coroutine is a function"
        known = {"rank": own, "world_size": own.world_size, "size": own.world_size}
        finish(program(*arguments_of(program, known)))
        own.last = "its program has returned"
    except TargetError as error:
        sys.stderr.write(f"adpkv: {error}\n")
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(ExitCode.USAGE)
    except BaseException:
        sys.stderr.write(f"rank {own.rank}:\n{traceback.format_exc()}")
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(ExitCode.VIOLATION)
    MPI.COMM_WORLD.Barrier()
    if own.rank == 0:
        took_s = own.clock
        print(
            f"adpkv: {counted(own.world_size, 'real rank')} ended well in {took_s:.1f} s",
            file=sys.stderr,
        )
    return ExitCode.COMPLETED


def end_after(
    mpi: Any, files: ProgramFiles, bound_s: float, last: Callable[[], str]
) -> threading.Event:
    """End the job after that time, unless the returned event is set. A wait inside MPI cannot be
    interrupted, so another thread tells where the rank's own is; a second later the job ends: until
    then all ranks have told it. `last`: what the rank does, for people."""
    ident, over, rank = threading.get_ident(), threading.Event(), int(mpi.COMM_WORLD.rank)

    def watch() -> None:
        if over.wait(bound_s):
            return
        code, line = files.place(sys._current_frames().get(ident))
        told = f"rank {rank} has not ended with the others within {bound_s:g} s: {last()}"
        if code is not None:
            told += f"; it is at {short(code.co_filename)}:{line}"
            told += f" in {code.co_qualname}: {line_of(code.co_filename, line)}"
        sys.stderr.write(f"adpkv: {told}\n")
        sys.stderr.flush()
        time.sleep(TELL_SECONDS)
        mpi.COMM_WORLD.Abort(ExitCode.DEADLOCK)

    threading.Thread(target=watch, name="bound", daemon=True).start()
    return over


def finish(coroutine: Any) -> None:
    """Run a coroutine that never waits for its turn to its end."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise TypeError("a rank program awaits what its rank gives it, and nothing else")
