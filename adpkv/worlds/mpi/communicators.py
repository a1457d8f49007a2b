"""The communicators of a job's living ranks, and what MPI calls these ranks.

Every communicator carries one thing: the slots of a group, what did not fit in them, wake messages,
messages between ranks, messages with the coordinator, KV bytes. So nothing is ever taken for
something else. A rank's number in the experiment never changes. MPI's number does, when a rank
before it fails and the others get new communicators (`recovery`): each such set is an epoch. Only
the one of the KV bytes is the same for the whole job, with the failed ranks in it, and nobody ever
waits on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from mpi4py import MPI

from adpkv.worlds.mpi.ending import survives_rank_failures

__all__ = ["Communicators", "RankMap", "must_be_whole"]


def must_be_whole(communicator: MPI.Comm) -> None:
    """Of a collective that MPI calls a success: it was seen to return without its bytes as another
    rank revoked the communicator.

    Raises:
        MPI.Exception: this may be one of those.
    """
    if survives_rank_failures() and (
        communicator.Is_revoked() or communicator.Get_failed().Get_size() > 0
    ):
        raise MPI.Exception(MPI.ERR_REVOKED)


class RankMap:
    """The living ranks: by their place in a communicator of all of them, and the way back."""

    __slots__ = ("_places", "ranks")

    def __init__(self, ranks: Sequence[int]) -> None:
        self.ranks = tuple(ranks)
        self._places = {rank: place for place, rank in enumerate(ranks)}

    def place(self, rank: int) -> int | None:
        """What MPI calls it; None if it has failed."""
        return self._places.get(rank)


class Communicators:
    """One epoch's communicators; every living rank must come. `instance` is this rank's, `data` the
    communicator of the KV bytes, which the first epoch makes."""

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
        try:
            self.messages, self.coordinator = world.Dup(), world.Dup()
            self.data = data or world.Dup()
            self.own = world.Split(instance, world.rank)
        except MPI.Exception:
            self.revoke()
            raise
        self._all += [self.messages, self.coordinator, self.own]

    def keep(self, communicators: Iterable[MPI.Comm]) -> None:
        """Count them among those that a revoke reaches."""
        self._all += communicators

    def revoke(self) -> None:
        """Free every rank from what it waits in on any of them: it gets an exception. From any
        thread; not only one communicator, as a rank may wait in another. `data` stays."""
        for communicator in self._all:
            with suppress(MPI.Exception):
                communicator.Revoke()
