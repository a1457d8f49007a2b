"""Rank 0 puts a transport through the bodies in which its peer dies, each with a rank that dies of
it: `killed TRANSPORT WORD...`, under ULFM, on one rank more than there are bodies. Rank 0 prints a
line for each body. The words are those of `programs.transport`."""

# ruff: noqa: E402 - what must be imported before MPI

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from adpkv.worlds.mpi.transports import import_before_mpi

NAME = sys.argv[1]
import_before_mpi(NAME)

from mpi4py import MPI

from adpkv.testing.transport_killed import BODIES, MORTAL, SEED
from adpkv.testing.transport_pair import BLOCKS
from adpkv.transport.port import Transfer
from tests.real_ranks.programs import transport as program
from tests.real_ranks.programs.staged_side import staged

BOUND_S = 20.0
WORD, ANSWER = 1, 2


def made(name: str, comm: MPI.Intracomm, memory: Any) -> Any:
    """A transport as `programs.transport` makes it; one of MPI looks for failures."""
    if name != "mpi":
        return program.made(name, comm, memory)
    from adpkv.transport.mpi import MpiTransport

    return MpiTransport(
        comm,
        memory,
        piece_bytes=2 * memory.block_bytes,
        budget_bytes=5 * memory.block_bytes,
        clock=time.perf_counter_ns,
        broke=lambda: None,
    )


PLAIN: Any = program.OnDevice if "cuda" in sys.argv else program.Present
STAGED = "staged" in sys.argv
BASE: Any = staged(PLAIN, NAME, made) if STAGED else PLAIN


class Side(BASE):  # type: ignore[misc]
    """One end."""

    def _made(self, comm: MPI.Intracomm) -> Any:
        return made(NAME, comm, self.memory)

    def _read(self) -> None:
        try:
            super()._read()
        except MPI.Exception:  # nobody can be heard before it is known who has failed
            self._comm.Ack_failed()

    def _tell(self, *said: Any) -> None:
        with suppress(MPI.Exception):
            super()._tell(*said)

    def has_lost_peer(self) -> None:
        """All living ranks know that the other end has failed."""
        if not STAGED:
            self.transport.handle_peer_failure([MORTAL])
            return
        self.staged._inner.handle_peer_failure([MORTAL])
        self.staged.handle_peer_failure(MORTAL)

    def step(self) -> None:
        time.sleep(0)


class Living(Side):
    """Rank 0's end of the link to one mortal."""

    def __init__(self, comm: MPI.Intracomm, control: MPI.Intracomm, pid: int) -> None:
        super().__init__(comm)
        self._link, self._control, self._pid = comm, control, pid

    def tell(self, word: str, transfer: Transfer) -> None:
        self._control.send((word, transfer), MORTAL, WORD)
        answer = self._control.irecv(source=MORTAL, tag=ANSWER)
        until_s = time.monotonic() + BOUND_S
        while not answer.test()[0]:
            assert time.monotonic() < until_s, f"no answer to {word}"
            self.ready()

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        until_s = time.monotonic() + BOUND_S
        while not (self._is_gone() and self._link.Get_failed().Get_size()):
            assert time.monotonic() < until_s, "nobody has heard of it"
            try:
                self._control.Iprobe(MPI.ANY_SOURCE)
            except MPI.Exception:
                self._control.Ack_failed()
        self.has_lost_peer()

    def _is_gone(self) -> bool:
        try:
            return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True


def obey(side: Side, control: MPI.Intracomm) -> None:
    """A mortal: does what it is told until it is killed."""
    side.fill(tuple(range(BLOCKS)), SEED)
    while True:
        side.poll()
        if control.Iprobe(0, WORD):
            word, transfer = control.recv(source=0, tag=WORD)
            getattr(side, word)(transfer)
            control.send(None, 0, ANSWER)


def linked(world: MPI.Intracomm, other: int) -> tuple[MPI.Intracomm, MPI.Intracomm]:
    """Two communicators of rank 0 and another one: for the transport, and beside it."""
    both = world.group.Incl([0, other])
    found = [world.Create_group(both, tag=2 * other + more) for more in range(2)]
    for comm in found:
        comm.Set_errhandler(MPI.ERRORS_RETURN)
    return found[0], found[1]


def main() -> None:
    world = MPI.COMM_WORLD
    world.Set_errhandler(MPI.ERRORS_RETURN)
    pids = world.allgather(os.getpid())
    if world.rank:
        comm, control = linked(world, world.rank)
        obey(Side(comm), control)
    # All before the first rank dies: a call of the world would meet that.
    links = [linked(world, other) for other in range(1, world.size)]
    for pid, link, (name, body) in zip(pids[1:], links, BODIES.items(), strict=True):
        end: Any = Living(*link, pid)
        try:
            body(end)
        except BaseException:
            traceback.print_exc()
            print(f"{name} failed", file=sys.stderr, flush=True)
            os._exit(1)
        print(f"passed {name}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
