"""Where the schedules of a check come from: the strategies of `adpkv explore`, for rank programs.

`random` and `pct:D` draw each schedule by itself. `guided` keeps the schedules in which operations
came in an order that no other one had, and changes them a little. `exhaustive` is in `walking`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from adpkv.errors import UsageError
from adpkv.rank_programs.choices import Pct, RandomOption, Strategy
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Arrival
from adpkv.rank_programs.world import World

__all__ = ["EXHAUSTIVE", "MOST_DEPTH", "Drawn", "Guided", "Plain", "Schedules", "schedules_of"]

EXHAUSTIVE: Final = "exhaustive"
MOST_DEPTH: Final = 100
MOST_KEPT: Final = 1000
"""Schedules that `guided` remembers."""


class Plain(NamedTuple):
    """What is known of the plain schedule, on which the others are drawn."""

    choices: int
    asked: int
    """How often a rank might have died."""
    kills: int


class Schedules(Protocol):
    """Gives out the schedules after the plain one."""

    def schedule(self, number: int) -> Strategy:
        """The schedule of this number, from 1."""
        ...

    def prepare(self, world: World) -> None:
        """It begins."""
        ...

    def learn(self, world: World) -> None:
        """It is over, and nothing failed."""
        ...


class Drawn:
    """Each by itself: `depth` is that of PCT, 0 for plain chance."""

    def __init__(self, seed: int, depth: int, plain: Plain) -> None:
        self._seed, self._depth, self._plain = seed, depth, plain

    def schedule(self, number: int) -> Strategy:
        """Drawn from the seed and the number."""
        plain, seed = self._plain, self._seed * 1_000_003 + number
        if not self._depth:
            return RandomOption(seed, plain.asked, plain.kills)
        return Pct(seed, self._depth, max(plain.choices, 1), plain.asked, plain.kills)

    def prepare(self, world: World) -> None:
        """Nothing to do."""

    def learn(self, world: World) -> None:
        """Nothing to do."""


class Guided:
    """One in four is drawn; the others change one that was kept."""

    def __init__(self, seed: int, plain: Plain) -> None:
        self._seed, self._plain = seed, plain
        self._kept: list[list[int]] = []
        self._seen: set[tuple[object, ...]] = set()
        self._new = 0
        self._last: tuple[object, ...] = ()

    def schedule(self, number: int) -> Strategy:
        """Drawn, or a kept one with another ending, or with one other choice."""
        draw = random.Random(self._seed * 1_000_003 + number)
        other = RandomOption(draw.getrandbits(60), self._plain.asked, self._plain.kills)
        if not self._kept or not draw.randrange(4):
            return other
        kept = self._kept[draw.randrange(len(self._kept))]
        at = draw.randrange(len(kept) + 1)
        return _Changed(kept, at, other, goes_on=bool(draw.randrange(2)))

    def prepare(self, world: World) -> None:
        """Look at the order in which operations come."""
        self._new, self._last = 0, ()
        world.on_arrival, world.on_note = self._arrived, self._noted

    def _arrived(self, rank: Rank, arrival: Arrival, group: Group) -> None:
        self._noted(rank, arrival)

    def _noted(self, rank: Rank, arrival: Arrival) -> None:
        now = (rank.number, arrival.line, arrival.operation.kind)
        pair = (self._last, now)
        if pair not in self._seen:
            self._seen.add(pair)
            self._new += 1
        self._last = now

    def learn(self, world: World) -> None:
        """Keep it, if two operations followed each other for the first time."""
        if self._new and len(self._kept) < MOST_KEPT:
            self._kept.append(list(world.choices))


class _Changed:
    """The choices of a kept schedule up to `at`, one that is drawn, and then the kept ones again or
    drawn ones."""

    def __init__(self, kept: Sequence[int], at: int, other: RandomOption, *, goes_on: bool) -> None:
        self._kept, self._at, self._other, self._goes_on = kept, at, other, goes_on

    def _as_kept(self, number: int) -> bool:
        return number < len(self._kept) and (
            number < self._at or (self._goes_on and number > self._at)
        )

    def pick(self, options: Sequence[int], number: int) -> int:
        """As kept, or drawn."""
        if self._as_kept(number):
            return min(self._kept[number], len(options) - 1)
        return self._other.pick(options, number)

    def die(self, asked: int, number: int) -> int:
        """As kept, or drawn."""
        if self._as_kept(number):
            return min(self._kept[number], 2)
        return self._other.die(asked, number)


def schedules_of(strategy: str, seed: int, plain: Plain) -> Schedules:
    """The schedules that `--strategy` names. Raises UsageError for what is no strategy."""
    word, colon, depth = strategy.partition(":")
    if word == "pct":
        if not (depth.isascii() and depth.isdigit() and 1 <= int(depth) <= MOST_DEPTH):
            raise UsageError(f"strategy {strategy}: needs a depth from 1 to {MOST_DEPTH}: pct:3")
        return Drawn(seed, int(depth), plain)
    if colon or word not in ("random", "guided", EXHAUSTIVE):
        raise UsageError(
            f"strategy {strategy}: is not known here: random, pct:D, guided or exhaustive"
        )
    return Guided(seed, plain) if word == "guided" else Drawn(seed, 0, plain)
