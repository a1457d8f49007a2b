"""The world as the link sees it: `transport.virtual.Timetable`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adpkv.worlds.virtual.event_queue import LINK
from adpkv.worlds.virtual.world import VirtualWorld

__all__ = ["Timetable"]


class Timetable:
    """Over a world. What a rank's link has to do at one time is done in the order of asking."""

    def __init__(self, world: VirtualWorld) -> None:
        self.clock = world.queue.clock
        self.arrival = world.arrival
        self._add = world.queue.add
        self._numbers: dict[int, int] = {}

    def later(self, at_ns: int, owner: int, action: Callable[[Any], None], what: Any) -> None:
        """Do `action(what)` at a time of the world; `owner` is the rank whose link it is."""
        number = self._numbers[owner] = self._numbers.get(owner, 0) + 1
        self._add(at_ns, LINK, owner, number, action, what)
