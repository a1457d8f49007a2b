"""Walks all interleavings of a small program over our rank API; with `--kill` all kills too.

Stateless: each path is performed from the start. Two things keep it small, and both are counted.
*States*: what a rank does follows from what it has got so far, so a path that comes to a state in
which another one was is cut off there. *Independent steps*: a rank that comes to a collective, or
goes on after one, meets nobody's step there; nor do messages, unless somebody receives from any
rank. Such a step is no choice. Where a program reads the clock, or ranks may die and there are
messages, all are.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from adpkv.errors import UsageError
from adpkv.rank_programs.failure import Stop
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.operations import Arrival
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.world import World

__all__ = ["Walked", "walk"]


class Walked(msgspec.Struct):
    """What was walked."""

    paths: int = 0
    """Schedules that came to their end."""
    states: int = 0
    """States at which something was to be chosen."""
    cut_off: int = 0
    """Schedules that were cut off at a state in which another one had been."""
    independent: int = 0
    """Where several ranks could go on, and their order made no difference."""
    ends: int = 0
    """Different ways to end: what each rank has got, and how it ended."""
    complete: bool = False

    def data(self) -> dict[str, Any]:
        """For programs, with the names of `explore.json`."""
        return {
            "complete": self.complete,
            "paths": self.paths,
            "states": self.states,
            "cut_off_at_known_states": self.cut_off,
            "orders_without_difference": self.independent,
            "different_ends": self.ends,
        }


class _Known:
    """What all paths share."""

    def __init__(self, *, reduced: bool) -> None:
        self.found = Walked()
        self.states: set[bytes] = set()
        self.ends: set[bytes] = set()
        self.reduced = reduced
        self.clock = False
        """A rank has read the clock: the order of steps can be seen."""
        self.any_source = False
        """A rank has received from any rank: the order of messages can be seen."""
        self.messages = False
        """There are messages."""

    def all_matter(self, *, kills: bool) -> bool:
        """Is every order a choice?"""
        return not self.reduced or self.clock or (kills and self.messages)

    def seen(self) -> tuple[bool, ...]:
        """What makes more of the orders matter."""
        return self.clock, self.any_source, self.messages


def walk(
    session: Session,
    look: Callable[[World], None],
    *,
    most: int,
    until_s: float,
    reduced: bool = True,
    progress: Callable[[int], None] | None = None,
    ended: Callable[[World], None] | None = None,
) -> tuple[Walked, World | None]:
    """All schedules, until one fails: that one's world comes too. At most `most`, and none begins
    after `until_s` of `time.monotonic`. `reduced`: leave out what makes no difference. `ended` is
    called with each world that came to its end."""
    if not session.target.is_async:
        raise UsageError(
            "strategy exhaustive walks programs over our rank API (async def program(rank)): of"
            " others nobody knows the state; random, pct:D and guided take them"
        )
    known = _Known(reduced=reduced)
    prefixes: list[tuple[int, ...]] = [()]
    performed = 0
    while prefixes:
        if performed >= most or time.monotonic() >= until_s:
            return known.found, None
        given = prefixes.pop()
        path = _Path(given, known)
        seen = known.seen()
        world = session.perform(path, look, prepare=path.begin)
        performed += 1
        if progress is not None:
            progress(performed)
        if reduced and seen != known.seen():
            # More is a choice than was thought: begin again.
            known.found, prefixes = Walked(), [()]
            known.states.clear()
            known.ends.clear()
            if world.failure is None:
                continue
        if path.cut:
            known.found.cut_off += 1
        else:
            known.found.paths += 1
            known.ends.add(path.end(world))
            known.found.ends = len(known.ends)
            if ended is not None:
                ended(world)
        known.found.states = len(known.states)
        if world.failure is not None:
            return known.found, world
        for at in range(len(given), len(path.options)):
            begun, chosen = tuple(world.choices[:at]), world.choices[at]
            prefixes += [(*begun, other) for other in path.options[at] if other != chosen]
    known.found.complete = True
    return known.found, None


class _Path:
    """One schedule: the given choices, and then the first of each; a `Strategy`."""

    def __init__(self, given: Sequence[int], known: _Known) -> None:
        self._given, self._known = given, known
        self.options: list[range] = []
        """Of each choice: which there were."""
        self.cut = False
        self._world: World | None = None
        self._got: list[bytes] = []

    def begin(self, world: World) -> None:
        """The schedule begins."""
        self._world = world
        self._got = [b""] * world.size
        world.on_input, world.on_note = self._gets, self._notes

    def _notes(self, rank: Rank, arrival: Arrival) -> None:
        self._known.messages = True
        if arrival.operation.kind == "recv from any rank":
            self._known.any_source = True

    def _gets(self, rank: Rank, what: Any) -> None:
        """A rank gets something: what it does from now on depends on it."""
        data = pickle.dumps(what)
        self._got[rank.number] = blake2b(self._got[rank.number] + data, digest_size=16).digest()
        if isinstance(what, int):
            self._known.clock = True

    def state(self, world: World) -> bytes:
        """A number for everything on which the rest depends."""
        ranks = [
            (
                rank.steps,
                len(rank.history),
                self._got[rank.number],
                rank.ended,
                rank.deadline_ns if rank.on else 0,
            )
            for rank in world.ranks
        ]
        whole = (ranks, world.clock_ns, world.polls, world.gone)
        return blake2b(repr(whole).encode(), digest_size=16).digest()

    def end(self, world: World) -> bytes:
        """What each rank has got, and how it ended."""
        ends = [(got, rank.ended) for got, rank in zip(self._got, world.ranks, strict=True)]
        what = None if world.failure is None else world.failure.what.value
        return blake2b(repr((ends, what)).encode(), digest_size=16).digest()

    def pick(self, options: Sequence[int], number: int) -> int:
        """As given, else the first that was not walked."""
        world, known = self._world, self._known
        assert world is not None
        if number < len(self._given):
            self.options.append(range(0))
            return self._given[number]
        if world.resting and known.reduced:
            self._look(world)
        if world.resting and not known.all_matter(kills=bool(world.kills)):
            for place, rank in enumerate(options):
                if self._is_alone(world.ranks[rank]):
                    known.found.independent += 1
                    self.options.append(range(place, place + 1))
                    return place
        self.options.append(range(len(options)))
        return 0

    def _look(self, world: World) -> None:
        state = self.state(world)
        if state in self._known.states:
            self.cut = True
            raise Stop
        self._known.states.add(state)

    def _is_alone(self, rank: Rank) -> bool:
        """Does its next step meet nobody else's?"""
        if rank.on is not None or not rank.started or rank.intends == "meet":
            return True
        return rank.intends == "message" and not self._known.any_source

    def die(self, asked: int, number: int) -> int:
        """As given, else not."""
        if number < len(self._given):
            self.options.append(range(0))
            return self._given[number]
        self.options.append(range(3))
        return 0
