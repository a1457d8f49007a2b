"""A program over our rank API on real ranks: `mpirun -n 4 adpkv check FILE.py:FUNCTION`.

The same calls, made with mpi4py: each blocks, so the program's coroutine never waits for its turn.
Once, as it happens to go: there are no schedules to choose here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from adpkv.counting import counted
from adpkv.errors import MissingPieceError, Place, RankLostError, TargetError
from adpkv.exit_codes import ExitCode
from adpkv.rank_programs.driver import MOST_SECONDS
from adpkv.rank_programs.evidence import error_lines
from adpkv.rank_programs.modules import ProgramModules
from adpkv.rank_programs.program_files import ProgramFiles
from adpkv.rank_programs.sites import short
from adpkv.rank_programs.target import Target, arguments_of
from adpkv.rank_programs.variables import line_of

__all__ = ["RealRank", "end_after", "finish", "run_for_real"]

LEAVE_SECONDS = 0.02
"""Between ranks that end without MPI: mpirun may hang where they end at the same moment."""

UNKNOWN = -1
"""In place of the rank that is gone."""

TELL_SECONDS = 1.0
"""For all ranks to say where they are."""


class RealRank:
    """What `RankApi` is, over a communicator of mpi4py."""

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._comm = mpi, mpi.COMM_WORLD
        self.rank = self.tp_rank = int(self._comm.rank)
        self.world_size = self.tp_size = int(self._comm.size)
        self._members = tuple(range(self.world_size))
        self._survives = os.environ.get("OMPI_MCA_mpi_ft_enable") == "1"  # noqa: SIM112
        """Has `mpirun --with-ft ulfm` started it?"""
        self._began_s = time.monotonic()
        self.last = "it has made no operation"
        """What it does, or has done last, for people."""

    @property
    def clock(self) -> float:
        """Seconds since the program began."""
        return time.monotonic() - self._began_s

    @property
    def ranks(self) -> tuple[int, ...]:
        """The members of its group: all ranks, until it shrinks."""
        return self._members

    def _called(self, what: str, call: Callable[[], Any]) -> Any:
        """One call of MPI. Under ULFM its error about a process that is gone is RankLostError."""
        self.last = f"its last operation is {what}"
        try:
            return call()
        except self._mpi.Exception:
            if not self._survives:
                raise
            # A member that hears of it by `Revoke` does not know yet which rank is gone.
            gone = self._gone() or [UNKNOWN]
            raise RankLostError(gone[0], Place(self.rank, what, "real ranks", 0)) from None

    def _gone(self) -> list[int]:
        """The members whose processes are gone, as far as MPI knows: without ULFM nobody's."""
        try:
            failed = self._comm.Get_failed()
            found = failed.Translate_ranks(None, self._mpi.COMM_WORLD.Get_group())
        except (AttributeError, NotImplementedError, self._mpi.Exception):
            return []
        return sorted(map(int, found))

    def _member(self, rank: int) -> int:
        """Its number in the group."""
        if rank not in self._members:
            raise ValueError(f"there is no rank {rank}: there are {self.world_size}")
        return self._members.index(rank)

    async def tp_allgather(self, value: Any) -> list[Any]:
        """Everybody's value to everybody, in rank order."""
        found: list[Any] = self._called("tp_allgather", lambda: self._comm.allgather(value))
        return found

    async def tp_gather(self, value: Any, root: int = 0) -> list[Any] | None:
        """Everybody's value to the root; None on the others."""
        to = self._member(root)
        found: list[Any] | None = self._called(
            f"tp_gather (root {root})", lambda: self._comm.gather(value, to)
        )
        return found

    async def tp_broadcast(self, value: Any = None, root: int = 0) -> Any:
        """The root's value to all."""
        of = self._member(root)
        return self._called(f"tp_broadcast (root {root})", lambda: self._comm.bcast(value, of))

    async def barrier(self) -> None:
        """All come."""
        self._called("barrier", self._comm.barrier)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._called(f"sleep({seconds:g})", lambda: time.sleep(seconds))

    async def send(self, value: Any, to: int, tag: int = 0) -> None:
        """A message. Handed to MPI at once; a large one may wait there for its receive."""
        member = self._member(to)
        told = f"send to rank {to}" + (f", tag {tag}" if tag else "")
        self._called(told, lambda: self._comm.send(value, member, tag))

    async def recv(self, source: int | None = None, tag: int | None = None) -> Any:
        """The next message of a rank; of any rank, or with any tag, if that is None."""
        mpi = self._mpi
        member = mpi.ANY_SOURCE if source is None else self._member(source)
        which = mpi.ANY_TAG if tag is None else tag
        who = "any rank" if source is None else f"rank {source}"
        who += "" if tag is None else f", tag {tag}"
        return self._called(f"recv from {who}", lambda: self._comm.recv(source=member, tag=which))

    def kill(self, rank: int) -> None:
        """The process of this rank dies here by SIGKILL; on the others nothing happens."""
        if rank == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)

    async def shrink(self) -> tuple[int, ...]:
        """Go on without those that are gone; without ULFM nobody is."""
        if not self._survives:
            return self._members
        if self._gone():
            self._comm.Revoke()
        self._comm = self._called("shrink", self._comm.Shrink)
        world = self._mpi.COMM_WORLD.Get_group()
        found = self._comm.Get_group().Translate_ranks(None, world)
        self._members = tuple(map(int, found))
        return self._members

    async def agree(self, flag: bool) -> bool:
        """Do all members that live bring true?"""
        if not self._survives:
            return all(self._called("agree", lambda: self._comm.allgather(bool(flag))))
        if self._gone():
            self._comm.Revoke()
        self._comm.Ack_failed()
        try:
            return bool(self._called("agree", lambda: self._comm.Agree(int(flag))))
        except RankLostError:
            return False  # one has gone meanwhile: all get that error

    def leave(self) -> None:
        """The program is over. Where a rank is gone, `MPI_Finalize` may never end."""
        world = self._mpi.COMM_WORLD
        gone = [rank for rank in range(self.world_size) if rank not in self._members]
        gone = gone or (self._gone() if self._survives else [])
        if not gone:
            world.Barrier()
            return
        if self.rank == self._members[0]:
            print(f"adpkv: rank {gone[0]} is gone, the others ended well", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        time.sleep(LEAVE_SECONDS * self._members.index(self.rank))
        os._exit(ExitCode.COMPLETED)


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
    except BaseException as error:
        # In one piece: all ranks write to this stream.
        lines = "\n".join(f"  {line}" for line in error_lines(error, files))
        _say(f"adpkv: rank {own.rank} raised {type(error).__name__}, and ends the job\n{lines}\n")
        MPI.COMM_WORLD.Abort(ExitCode.VIOLATION)
    own.leave()
    if own.rank == 0:
        took_s = own.clock
        print(
            f"adpkv: {counted(own.world_size, 'real rank')} ended well in {took_s:.1f} s",
            file=sys.stderr,
        )
    return ExitCode.COMPLETED


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def end_after(
    mpi: Any,
    files: ProgramFiles,
    bound_s: float,
    last: Callable[[], str],
    say: Callable[[str], None] = _say,
) -> threading.Event:
    """End the job after that time, unless the returned event is set. A wait inside MPI cannot be
    interrupted, so another thread tells where the rank's own is; a second later the job ends: until
    then all ranks have told it. `last`: what the rank does, for people; `say` prints a line."""
    ident, over, rank = threading.get_ident(), threading.Event(), int(mpi.COMM_WORLD.rank)

    def watch() -> None:
        if over.wait(bound_s):
            return
        code, line = files.place(sys._current_frames().get(ident))
        told = f"rank {rank} has not ended with the others within {bound_s:g} s: {last()}"
        if code is not None:
            told += f"; it is at {short(code.co_filename)}:{line}"
            told += f" in {code.co_qualname}: {line_of(code.co_filename, line)}"
        say(f"adpkv: {told}\n")
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
