"""From a group that a rank failure broke to the one that its living members make of it.

All come to the same collective (`position.targets`) before anybody meets again. Who is behind gets
there over what the others have seen already. Then a group that has failed members hears of it, rank
by rank, there; one that has not goes on as if nothing had been.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from adpkv.errors import AdpkvError, Place, RankLostError
from adpkv.executor.collectives import Operation, Pause, Wait
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.recovery.positions import Custom

__all__ = ["CatchUp"]


class CatchUp:
    """Performs what this rank's program awaits of a group, from the broken collective on.

    `target` is the collective in which all stand, `brought` the one that this rank may have missed,
    `lost` the members that failed.
    """

    def __init__(
        self,
        rank: int,
        old: Group,
        new: Group,
        target: int,
        brought: Custom | None,
        lost: Iterable[int],
        stats: CollectiveStats,
    ) -> None:
        self._rank, self._old, self._target = rank, old, target
        self.new = new
        self._custom, self._lost, self._stats = brought, deque(lost), stats
        self._arrived = False

    @property
    def leads(self) -> bool:
        """Whether this rank is the first of those that are alive."""
        return self.new.leads

    @property
    def sequence(self) -> int:
        """Of the last collective that this rank came to."""
        return (self.new if self._arrived else self._old).sequence

    @property
    def custom_bytes(self) -> int:
        """What it brought to that."""
        return (self.new if self._arrived else self._old).custom_bytes

    def perform(self, op: Operation) -> Any:
        """Meet the others as `op` says.

        Raises:
            RankLostError: here the group has a failed member.
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

    def _catch_up(self, op: Operation) -> Any:
        if isinstance(op, Wait):
            return self._old.pass_by(op)
        brought, self._custom = self._custom, None
        if brought is None:
            raise AdpkvError(f"nobody has {op.kind} at {op.place} of iteration {op.iteration} left")
        return self._old.repeat(op, brought)
