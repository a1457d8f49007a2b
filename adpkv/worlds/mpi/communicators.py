"""The communicators of a job's living ranks, and the numbers that MPI gives these ranks.

Every communicator carries one thing: the slots of a group, payloads that did not fit into them,
wake messages, messages between ranks, messages with the coordinator, KV bytes. So nothing can be
received as something else. A rank's number in the experiment never changes. Its MPI number does,
when a rank before it fails and the others get new communicators (`recovery`); each such set is an
epoch. Only the communicator of the KV bytes stays the same for the whole job. It keeps the failed
ranks in it, and no rank ever blocks on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from mpi4py import MPI

from adpkv.worlds.mpi.killing import survives_rank_failures

__all__ = ["Communicators", "LivingRanks", "RankMap", "raise_if_revoked"]


def raise_if_revoked(communicator: MPI.Comm) -> None:
    """To be called after a collective that MPI reports as a success: one was seen to return without
    its bytes when another rank revoked the communicator.

    Raises:
        MPI.Exception: the communicator was revoked or has a failed rank: bytes may be missing.
    """
    if survives_rank_failures() and (
        communicator.Is_revoked() or communicator.Get_failed().Get_size() > 0
    ):
        raise MPI.Exception(MPI.ERR_REVOKED)


class RankMap:
    """Maps the living ranks to their numbers in a communicator of all of them. `ranks` is the way
    back."""

    __slots__ = ("_places", "ranks")

    def __init__(self, ranks: Sequence[int]) -> None:
        self.ranks = tuple(ranks)
        self._places = {rank: place for place, rank in enumerate(ranks)}

    def place(self, rank: int) -> int | None:
        """The rank's number in MPI; None if it has failed."""
        return self._places.get(rank)


class Communicators:
    """One epoch's communicators. Every living rank must create them.

    `instance` is this rank's. `data` is the communicator of the KV bytes, which the first epoch
    creates.
    """

    def __init__(
        self,
        world: MPI.Intracomm,
        instance: int,
        rank_map: RankMap | None = None,
        epoch: int = 0,
        data: MPI.Intracomm | None = None,
    ) -> None:
        self.rank_map = rank_map or RankMap(range(world.size))
        self.epoch = epoch
        self.world = world
        self._all: list[MPI.Comm] = [world]
        self._break_off: list[Callable[[], None]] = []
        try:
            self.messages, self.coordinator = world.Dup(), world.Dup()
            self.data = data or world.Dup()
            self.own = world.Split(instance, world.rank)
        except MPI.Exception:
            self.revoke()
            raise
        self._all += [self.messages, self.coordinator, self.own]

    def keep(self, communicators: Iterable[MPI.Comm], break_off: Callable[[], None]) -> None:
        """Add communicators of a group that `revoke` must reach, and what interrupts those of its
        members that do not wait in MPI."""
        self._all += communicators
        self._break_off.append(break_off)

    def revoke(self) -> None:
        """Interrupt every rank that waits on any of them: it gets an exception. From any thread.
        All are revoked, as each rank may wait on another one; only `data` stays."""
        for break_off in self._break_off:
            break_off()
        for communicator in self._all:
            with suppress(MPI.Exception):
                communicator.Revoke()


class LivingRanks:
    """The living ranks of a job, on which this rank has agreed with the others: their current
    communicators, and the ranks that have failed so far. Only `recovery` changes them."""

    def __init__(self, world: MPI.Intracomm, instance: int) -> None:
        self.communicators = Communicators(world, instance)
        self.lost: list[int] = []
        """The ranks that have failed so far, in the order in which that was agreed."""

    def revoke(self) -> None:
        """MPI reported an error, in any thread: interrupt all ranks, so that they find out which
        have failed."""
        self.communicators.revoke()

    def note_lost(self, living: RankMap) -> list[int]:
        """Only the ranks in `living` are left; returns the ranks that have failed since the last
        call."""
        before = self.communicators.rank_map.ranks
        lost = [rank for rank in before if living.place(rank) is None]
        self.lost += lost
        return lost

    def move_to(self, communicators: Communicators) -> None:
        """Use these communicators from now on."""
        self.communicators = communicators
