"""The collectives of a forward step as the model sees them: `model.gemm.Exchange`.

The members first gather how many tokens each has, so each knows what it sends and gets; dummy
batches join with none. This also tells of failed ranks before anything waits on a device. Every
received byte is checked: each chunk has a pattern that says from whom and for which step it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from mpi4py import MPI

from adpkv.worlds.mpi.communicators import Communicators, raise_if_revoked
from adpkv.worlds.mpi.step_collective.buffers import Buffers
from adpkv.worlds.mpi.step_collective.layout import COMBINE, DISPATCH, Chunk, moves, share_bytes
from adpkv.worlds.mpi.step_collective.movers import Mover

__all__ = ["StepExchange"]

Report = Callable[[str, str, tuple[int, ...]], None]

_NAMES = {DISPATCH: "dispatch", COMBINE: "combine"}


class StepExchange:
    """One rank's part.

    Args:
        communicators: the present ones of the living ranks; `own` carries nothing else.
        instance: the world ranks of the group's members, also of those that have failed.
        token_bytes: how many bytes a token has.
        buffers, mover: with room for the most tokens of a step.
        report: called with each violation, as a memory's.
    """

    def __init__(
        self,
        communicators: Callable[[], Communicators],
        instance: Sequence[int],
        token_bytes: int,
        buffers: Buffers,
        mover: Mover,
        report: Report,
    ) -> None:
        self._communicators, self._instance = communicators, instance
        self._token_bytes = token_bytes
        self._buffers, self._mover, self._report = buffers, mover, report
        self._epoch = -1
        self._members: list[int] = []
        self._step = 0
        self._shares: list[int] = []

    def open(self) -> MPI.Intracomm:
        """The communicator of the group's living members, made ready if it is new. Every member
        must call it."""
        found = self._communicators()
        group = found.own
        assert isinstance(group, MPI.Intracomm)
        if found.epoch != self._epoch:
            self._mover.open(group)
            self._members = [r for r in found.rank_map.ranks if r in self._instance]
            # Steps are counted anew: members may have been interrupted at different ones.
            self._epoch, self._step = found.epoch, 0
        return group

    def dispatch(self, tokens: int) -> int:
        """Give this rank's tokens to the experts on all ranks; returns how many its own got."""
        group = self.open()
        own, counts = array("Q", [tokens]), array("Q", [0] * group.size)
        group.Allgather([own, 8, MPI.BYTE], [counts, 8, MPI.BYTE])
        raise_if_revoked(group)
        self._step += 1
        size = group.size
        self._shares = [share_bytes(count, self._token_bytes, size) for count in counts]
        self._move(group, DISPATCH)
        return -(-sum(counts) // size)

    def combine(self) -> None:
        """Give them back."""
        self._move(self.open(), COMBINE)

    def _move(self, group: MPI.Intracomm, direction: int) -> None:
        step = self._step
        found = moves(direction, step, group.rank, self._shares)
        self._buffers.fill(direction, found.send)
        self._mover.move(group, direction, found)
        members = self._members

        def tell(chunk: Chunk) -> None:
            detail = (
                f"step {step}, {_NAMES[direction]}: {chunk.nbytes} bytes from rank"
                f" {members[chunk.member]} are not what it sent"
            )
            self._report("wrong_collective", detail, ())

        self._buffers.check(found.receive, tell)
