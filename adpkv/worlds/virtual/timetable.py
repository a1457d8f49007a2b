"""The world as the wire sees it: `transport.virtual.Timetable`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adpkv.worlds.virtual.agenda import WIRE
from adpkv.worlds.virtual.world import VirtualWorld

__all__ = ["Timetable"]


class Timetable:
    """Over a world. What a rank's wire has to do at one time is done in the order of asking."""

    def __init__(self, world: VirtualWorld) -> None:
        self.clock = world.agenda.clock
        self.arrival = world.arrival
        self._add = world.agenda.add
        self._numbers: dict[int, int] = {}

    def later(self, at_ns: int, owner: int, action: Callable[[Any], None], what: Any) -> None:
        """Do `action(what)` at a time of the world; `owner` is the rank whose wire it is."""
        number = self._numbers[owner] = self._numbers.get(owner, 0) + 1
        self._add(at_ns, WIRE, owner, number, action, what)
