"""What packing and unpacking costs in virtual time: one copy at a time on each rank, in order."""

from __future__ import annotations

from typing import Final

from adpkv.memory.port import Fence
from adpkv.transport.virtual import Timetable

__all__ = ["CopyEngine"]

NS_PER_S: Final = 1_000_000_000


class _Copy:
    """The fence behind one copy."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done = False

    def passed(self) -> bool:
        """Whether the copy is done."""
        return self._done

    def finish(self) -> None:
        """It is done now."""
        self._done = True


class CopyEngine:
    """Copies between a rank's pool and its staging area at `bandwidth_bytes_per_s`. The end of a
    copy is input for the rank, as an event of the world: so it is noticed at the same time whether
    or not the world jumps."""

    def __init__(self, rank: int, bandwidth_bytes_per_s: int, timetable: Timetable) -> None:
        self._rank, self._bandwidth, self._timetable = rank, bandwidth_bytes_per_s, timetable
        self._free_ns = 0
        """When the copies that were begun so far are done."""

    def begin(self, nbytes: int) -> Fence:
        """Copy `nbytes` after what was begun before."""
        began_ns = max(self._free_ns, self._timetable.clock())
        self._free_ns = began_ns - (-nbytes * NS_PER_S // self._bandwidth)
        copy = _Copy()
        self._timetable.later(self._free_ns, self._rank, self._finish, copy)
        return copy

    def _finish(self, copy: _Copy) -> None:
        copy.finish()
        self._timetable.arrival(self._rank)
