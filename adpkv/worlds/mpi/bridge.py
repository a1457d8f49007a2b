"""From a group that a death broke to the one that its living members make of it.

All come to the same meeting (`standing.targets`) before anybody meets again. Who is behind gets
there over what the others have seen already. Then a group that has lost members hears of it, rank
by rank, there; one that has not goes on as if nothing had been.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from adpkv.errors import AdpkvError, Place, RankLostError
from adpkv.executor.meetings import Meeting, Pause, Wait
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.standing import Brought

__all__ = ["Bridge"]


class Bridge:
    """Performs what this rank's program awaits of a group, from the broken meeting on.

    `target` is the meeting in which all stand, `brought` the one that this rank may have missed,
    `lost` the members that died.
    """

    def __init__(
        self,
        rank: int,
        old: Group,
        new: Group,
        target: int,
        brought: Brought | None,
        lost: Iterable[int],
        stats: CollectiveStats,
    ) -> None:
        self._rank, self._old, self._target = rank, old, target
        self.new = new
        self._brought, self._lost, self._stats = brought, deque(lost), stats
        self._arrived = False

    @property
    def leads(self) -> bool:
        """Whether this rank is the first of those that are alive."""
        return self.new.leads

    @property
    def sequence(self) -> int:
        """Of the last meeting that this rank came to."""
        return (self.new if self._arrived else self._old).sequence

    @property
    def brought_bytes(self) -> int:
        """What it brought to that."""
        return (self.new if self._arrived else self._old).brought_bytes

    def perform(self, op: Meeting) -> Any:
        """Meet the others as `op` says.

        Raises:
            RankLostError: here the group has lost a member.
        """
        if not self._arrived and not isinstance(op, Pause):
            if self._old.sequence + 1 < self._target:
                return self._catch_up(op)
            self._arrived = True
            self._stats.begin_anew()
        if self._arrived and self._lost:
            place = Place(self._rank, op.kind, op.place, op.iteration)
            raise RankLostError(self._lost.popleft(), place)
        return self.new.perform(op)

    def _catch_up(self, op: Meeting) -> Any:
        if isinstance(op, Wait):
            return self._old.pass_by(op)
        brought, self._brought = self._brought, None
        if brought is None:
            raise AdpkvError(f"nobody has {op.kind} at {op.place} of iteration {op.iteration} left")
        return self._old.repeat(op, brought)
