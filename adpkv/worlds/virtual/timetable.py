"""The virtual world as its link uses it: implements `transport.virtual.Timetable`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adpkv.worlds.virtual.event_queue import LINK
from adpkv.worlds.virtual.world import VirtualWorld

__all__ = ["Timetable"]


class Timetable:
    """Events of ranks' links. Those of one rank at one time are performed in the order in which
    they were added."""

    def __init__(self, world: VirtualWorld) -> None:
        self.clock = world.queue.clock
        self.arrival = world.arrival
        self._add = world.queue.add
        self._numbers: dict[int, int] = {}

    def later(self, at_ns: int, owner: int, action: Callable[[Any], None], what: Any) -> None:
        """Call `action(what)` at the world's time `at_ns`; `owner` is the rank whose link it is."""
        number = self._numbers[owner] = self._numbers.get(owner, 0) + 1
        add = self._add
        add(at_ns, LINK, owner, number, action, what)
