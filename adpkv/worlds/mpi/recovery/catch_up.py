"""Moves a rank from a group that a rank failure broke to the group of its living members.

All members come to the same collective (`positions.targets`) before they exchange anything new. A
member that is behind gets there by replaying the collective that the others have completed. There,
a group with failed members gets an exception for each of them; a group without goes on as if
nothing had happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from adpkv.errors import AdpkvError, Place, RankLostError
from adpkv.executor.collectives import Operation, Pause, Wait
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.recovery.positions import Contributions

__all__ = ["CatchUp"]


class CatchUp:
    """Performs what this rank's program awaits of a group, from the interrupted collective on.

    `target` is the collective from which all members go on together. `contributions` are those to
    the one that this rank may have missed. `lost` are the members that failed.
    """

    def __init__(
        self,
        rank: int,
        old: Group,
        new: Group,
        target: int,
        contributions: Contributions | None,
        lost: Iterable[int],
        stats: CollectiveStats,
    ) -> None:
        self._rank, self._old, self._target = rank, old, target
        self.new = new
        self._contributions, self._lost, self._stats = contributions, deque(lost), stats
        self._arrived = False
        self.quick = None
        """What comes here is no collective like others (`Group.quick`)."""

    @property
    def leads(self) -> bool:
        """Whether this rank is the first of the living members."""
        return self.new.leads

    @property
    def sequence(self) -> int:
        """The number of the last collective that this rank came to."""
        return (self.new if self._arrived else self._old).sequence

    @property
    def payload_bytes(self) -> int:
        """The size of this rank's payload in that collective."""
        return (self.new if self._arrived else self._old).payload_bytes

    def perform(self, op: Operation) -> Any:
        """Perform what the program awaits with the other members.

        Raises:
            RankLostError: at the target, once for each failed member of the group.
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
            return self._old.skip_wait(op)
        contributions, self._contributions = self._contributions, None
        if contributions is None:
            raise AdpkvError(
                f"no living rank still has {op.kind} at {op.place} of iteration {op.iteration}"
            )
        return self._old.repeat(op, contributions)
