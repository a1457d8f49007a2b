"""Where the choices of a run come from: drawn from a seed, or written down one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from adpkv.exploration.dice import MASK, MIX_1, MIX_2, Dice, mixed
from adpkv.worlds.virtual.event_queue import GROUP_WAKE
from adpkv.worlds.virtual.schedule import DENOMINATOR, Schedule

__all__ = ["CALM", "Choices", "Drawn", "Priorities", "Recording", "Spread", "Written"]

PLACES: Final = 1 << 16
"""How many places among simultaneous events are drawn from."""

Order = tuple[int, int, int, int]
"""(kind of event, owner, receiver of a message, time)"""


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of a run that differ from those of a world without a schedule."""

    order: Mapping[Order, int] = field(default_factory=dict)
    """(kind, owner, to, at_ns) -> place among the simultaneous."""
    haste: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    """(sender, to, number) -> sixteenths by which a message is early."""
    speed: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """(group, iteration) -> sixteenths by which steps are faster."""

    def __len__(self) -> int:
        return len(self.order) + len(self.haste) + len(self.speed)

    def data(self) -> dict[str, list[list[int]]]:
        """As plain values: a list for each of the three, of the identity and the choice."""
        return {
            name: [[*identity, chosen] for identity, chosen in sorted(one.items())]
            for name, one in (("order", self.order), ("haste", self.haste), ("speed", self.speed))
            if one
        }

    def flat(self) -> list[tuple[str, Any, int]]:
        """(name, identity, choice) of all."""
        return [
            (name, identity, chosen)
            for name, one in (("order", self.order), ("haste", self.haste), ("speed", self.speed))
            for identity, chosen in sorted(one.items())
        ]

    @classmethod
    def of(cls, flat: Iterable[tuple[str, Any, int]]) -> Choices:
        """The way back from `flat`."""
        found: dict[str, dict[Any, int]] = {"order": {}, "haste": {}, "speed": {}}
        for name, identity, chosen in flat:
            found[name][tuple(identity)] = chosen
        return cls(**found)


CALM: Final = Choices()
"""The run of a world without a schedule."""


class Written:
    """A schedule that is written down."""

    def __init__(self, choices: Choices) -> None:
        self._order, self._haste = choices.order, choices.haste
        self._speed = choices.speed

    def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
        """As written; else canonical."""
        return self._order.get((kind, owner, to, at_ns), 0)

    def haste(self, sender: int, to: int, number: int) -> int:
        """As written; else none."""
        return self._haste.get((sender, to, number), 0)

    def speed(self, group: int, iteration: int) -> int:
        """As written; else none."""
        return self._speed.get((group, iteration), 0)


@dataclass(frozen=True, slots=True)
class Spread:
    """How much of a drawn schedule differs: so many choices of sixteen."""

    seed: int
    order: int = 0
    haste: int = 0
    speed: int = 0


class Drawn:
    """A schedule in which each choice is drawn by its identity."""

    def __init__(self, spread: Spread) -> None:
        self._seed = mixed(spread.seed + 0x51ED2701)
        self._order, self._haste, self._speed = spread.order, spread.haste, spread.speed

    def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
        """A place before or after the canonical one."""
        if not self._order:
            return 0
        number = self._seed ^ (at_ns * 0x2545F491 + kind * 0x9E3B + owner * 0x1F123 + to)
        # `mixed`, without a call: this is asked for each event.
        number &= MASK
        number = (number ^ (number >> 30)) * MIX_1 & MASK
        number = (number ^ (number >> 27)) * MIX_2 & MASK
        number ^= number >> 31
        return (number >> 8) % PLACES - PLACES // 2 if number & 15 < self._order else 0

    def haste(self, sender: int, to: int, number: int) -> int:
        """None, some, or all of the latency."""
        if not self._haste:
            return 0
        drawn = mixed(self._seed ^ (number * 0x5851F42D + sender * 0x14057B + to * 0x7EF7 + 1))
        if drawn & 15 >= self._haste:
            return 0
        return DENOMINATOR if drawn & 16 else (drawn >> 8) % (DENOMINATOR + 1)

    def speed(self, group: int, iteration: int) -> int:
        """None, or some of a step's time."""
        if not self._speed:
            return 0
        drawn = mixed(self._seed ^ (iteration * 0x369DEA0F + group * 0x31415 + 2))
        return (drawn >> 8) % DENOMINATOR if drawn & 15 < self._speed else 0


class Priorities:
    """Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010), in virtual time.

    The threads of the algorithm are those who own events: ranks, groups and the coordinator. Each
    has a drawn priority. Who has a high one comes first among simultaneous events, and its messages
    are fast; who has a low one comes last, and its messages take as long as they may. At `depth` -
    1 drawn events the owner of that event falls behind all others. A bug that needs `depth`
    ordering constraints is found in a run with a chance of at least 1/(n k^(depth - 1)), where n
    are the owners and k the events.
    """

    def __init__(self, seed: int, depth: int, owners: int, events: int) -> None:
        dice = Dice(seed, 0x9C7)
        self._dice, self._owners = dice, max(owners, 1)
        self._places: dict[tuple[int, int], int] = {}
        self._falls = {dice.below(max(events, 1)): -place for place in range(1, depth)}
        self._events = 0

    def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
        """The negative of its owner's priority."""
        fallen = self._falls.get(self._events)
        self._events += 1
        key = (int(kind == GROUP_WAKE), owner)
        if fallen is not None:
            self._places[key] = PLACES - fallen
        return self._place(key)

    def _place(self, key: tuple[int, int]) -> int:
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = 1 + self._dice.below(PLACES - 1)
        return found

    def haste(self, sender: int, to: int, number: int) -> int:
        """The higher its sender's priority, the earlier."""
        place = self._place((0, sender))
        return DENOMINATOR - min(place * (DENOMINATOR + 1) // PLACES, DENOMINATOR)

    def speed(self, group: int, iteration: int) -> int:
        """The higher the group's priority, the faster."""
        place = self._place((1, group))
        return DENOMINATOR - 1 - min(place * DENOMINATOR // PLACES, DENOMINATOR - 1)


class Recording:
    """Keeps what another schedule chooses."""

    def __init__(self, inner: Schedule) -> None:
        self._inner = inner
        self._found: dict[str, dict[Any, int]] = {"order": {}, "haste": {}, "speed": {}}
        self._asked: dict[int, int] = {}

    @property
    def choices(self) -> Choices:
        """What was chosen so far, without the places of events that were alone at their time."""
        order = self._found["order"]
        matter = {identity: at for identity, at in order.items() if self._asked[identity[3]] > 1}
        return Choices(**{**self._found, "order": matter})

    def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
        """As the inner one."""
        self._asked[at_ns] = self._asked.get(at_ns, 0) + 1
        chosen = self._inner.order(kind, owner, to, at_ns)
        return self._kept("order", (kind, owner, to, at_ns), chosen)

    def haste(self, sender: int, to: int, number: int) -> int:
        """As the inner one."""
        return self._kept("haste", (sender, to, number), self._inner.haste(sender, to, number))

    def speed(self, group: int, iteration: int) -> int:
        """As the inner one."""
        return self._kept("speed", (group, iteration), self._inner.speed(group, iteration))

    def _kept(self, name: str, identity: Any, chosen: int) -> int:
        if chosen:
            self._found[name][identity] = chosen
        return chosen
