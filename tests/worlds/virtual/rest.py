"""Finds out whether a rank that says that it is at rest is: all that it has, compared with what it
had when it last came to rest.

`RestingPhases` are the loop's own phases, with a look at everything a rank owns wherever the loop
relies on nothing having happened. What is there is walked, not listed: so a new field is looked at
too, and what is left out stands here with its reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any

import msgspec

from adpkv.core.plan import Plan
from adpkv.executor.phases import Phases
from adpkv.executor.rank import status_of
from adpkv.worlds.assemble import build_rank

__all__ = ["RESTING", "RestingPhases", "resting"]

FIXED = (
    "adpkv.memory",
    "adpkv.faults",
    "adpkv.transport",
    "adpkv.model",
    "adpkv.output",
    "adpkv.core.rules",
)
"""Not a rank's, but the world's around it, or a record."""

PLAIN = (int, str, float, Enum, frozenset, msgspec.Struct)
"""What cannot change, or is replaced where it does."""

COUNTED = {
    "WorkMeter": None,
    "Sampler": None,
    # What else there is of a rank is walked by itself, or is the group's.
    "Rank": None,
    # A mere step changes these, and nothing follows from them until somebody is done.
    "DecodeSchedule": ("steps", "context_tokens", "_new", "_finish"),
    "PrefillSchedule": ("_chunks",),
    "ServedRequest": ("computed", "computing_ns"),
    # Entries that no longer stand are dropped as somebody comes by them.
    "SessionBook": ("_limits", "moved_ns"),
    # A count that is remembered until something changes.
    "SlotQueue": ("_room",),
    "ResponseBuffer": None,
    "HealthMonitor": None,
    "HealthWatch": None,
    "HeldAttempts": ("_mailbox",),
}
"""Classes, all of them or some of their fields, that may change while a rank is at rest."""


def walked(value: Any, seen: dict[int, int]) -> Any:
    """A value that is equal to that of another time if all in it is."""
    if value is None or isinstance(value, PLAIN):
        return value
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = len(seen)
    if isinstance(value, Mapping):
        return [(walked(k, seen), walked(v, seen)) for k, v in value.items()]
    if isinstance(value, list | tuple | deque | set):
        return [walked(one, seen) for one in value]
    kind = type(value)
    if callable(value) or kind.__module__.startswith(FIXED):
        return kind.__name__
    left_out = COUNTED.get(kind.__name__, ())
    if left_out is None:
        return kind.__name__
    slots = [name for one in kind.__mro__ for name in getattr(one, "__slots__", ())]
    names = [*getattr(value, "__dict__", ()), *slots]
    return [(name, walked(getattr(value, name), seen)) for name in names if name not in left_out]


class RestingPhases(Phases):
    """Looks whether a rank is at rest wherever it is taken to be."""

    rest: Any = None
    attended = False

    def owned(self) -> Any:
        """All that happens to a rank happens to these."""
        return walked([self.rank.serving, self.rank.transceiver], {})

    def attend(self, now_ns: int) -> None:
        self.attended = True
        super().attend(now_ns)

    def observe(self) -> None:
        self.attended = False
        super().observe()
        if not self.attended and self.rest is not None:
            assert self.owned() == self.rest, "something happened, and nobody attends to it"

    def _resolve(self, now_ns: int) -> None:
        super()._resolve(now_ns)
        self.rest = self.owned()

    async def sync(self) -> Plan:
        fresh = status_of(self.rank, self._abandon_ns, self.group_input)
        plan = await super().sync()
        assert self._status == fresh, "what it said is not how it is"
        return plan

    def is_quiet(self) -> bool:
        quiet = super().is_quiet()
        if quiet and self.rest is not None:
            assert not len(self.rank.responses)
            assert self.owned() == self.rest, "said to be quiet, and something has happened"
        return quiet


def resting(phases: type[RestingPhases]) -> Callable[..., Any]:
    """What makes ranks with these phases."""
    return partial(build_rank, phases=phases)


RESTING = resting(RestingPhases)
