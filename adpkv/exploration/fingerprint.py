"""A number for the state of a virtual world: of two runs with the same one, the rest is the same.

It is made of everything that the world's objects hold, but for what only tells of the past: counts,
stories, times that end up in a record. Programs are coroutines whose position is the operation that
their group holds; what they decide from is in the objects of their ranks.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import Enum
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
from pydantic import BaseModel

from adpkv.core.topology import Topology
from adpkv.native_value import NativeValue
from adpkv.worlds.virtual.event_queue import EventQueue
from adpkv.worlds.virtual.offers import Offers
from adpkv.worlds.virtual.run import Simulation

__all__ = ["fingerprint"]

PAST: Final = frozenset(
    {
        "story", "journal", "_history", "gaps", "iteration", "iterations", "collectives", "tally",
        "records", "recorder", "_recorder", "_recorders", "_events", "events", "sampler",
        "_sampler", "meter", "peak", "longest", "intervals", "seen_reasons", "first_unhealthy_ns",
        "early_deadlines", "_completed", "_late", "_bytes", "_bytes_cached", "_cached",
        "_told", "knowledge_of", "nearest", "queue", "_queue", "_began_ns", "_costs", "_foremost",
        "said",
    }
)  # fmt: skip
"""Names of attributes that no decision reads, as they say what has been or what was looked up; and
the event queue, which the caller tells in its own way."""

NUMBERS: Final = frozenset({("Course", "version"), ("InboxAge", "_request")})
"""What only numbers planned events, of which the caller leaves the void ones out; and which request
a violation would name."""

TURN: Final = "turn"
"""In which iteration a rank was last given a request. The router asks only whose turn is the
oldest, so what counts is their order within a group."""

_PLAIN: Final = (int, str, bytes, float, bool, type(None), Fraction)


def fingerprint(job: Simulation, *more: Any) -> bytes:
    """The state of a job between two events, with what a caller adds."""
    seen = _Walk()
    for group in job.world.groups:
        # First its ranks: what is told of turns is told by group.
        seen.see((group, [job.programs[rank] for rank in group.members]))
        seen.put_turns_in_order()
    seen.see((job.world, job.coordinator, job.programs, job.memories, more))
    return hashlib.blake2b(b"".join(seen.told), digest_size=16).digest()


class _Walk:
    """Goes through all objects once, in a fixed order."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self._tell = self.told.append
        self._turns: list[tuple[int, int]] = []
        """Where in `told` a turn belongs, and which it is."""
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []
        """What is made on the way must live as long: a number is an address."""

    def put_turns_in_order(self) -> None:
        """Tell the turns that were met since: the oldest as 0, and so on."""
        places = {turn: place for place, turn in enumerate(sorted({t for _, t in self._turns}))}
        for at, turn in self._turns:
            self.told[at] = b"turn %d;" % places[turn]
        self._turns.clear()

    def see(self, thing: Any) -> None:
        """Tell what it is, and what is in it."""
        left = [thing]
        while left:
            at = left.pop()
            if isinstance(at, _Turn):
                self._turns.append((len(self.told), at.number))
                self._tell(b"turn %d;" % at.number)
            elif isinstance(at, Enum):
                self._tell(repr(at.value).encode())
            elif isinstance(at, _PLAIN):
                self._tell(repr(at).encode() + b";")
            elif isinstance(at, EventQueue):
                self._tell(b"EventQueue")
            elif isinstance(at, BaseModel | Topology) or callable(at):
                self._tell(getattr(at, "__qualname__", type(at).__name__).encode())
            elif isinstance(at, tuple | msgspec.Struct | NativeValue):
                # A value: whether two places share one makes no difference.
                self._tell(type(at).__name__.encode() + b"(")
                left += reversed([*_parts(at), ")"])
            else:
                number = self._seen.get(id(at))
                if number is not None:
                    self._tell(b"@%d;" % number)
                    continue
                self._seen[id(at)] = len(self._seen)
                self._kept.append(at)
                self._tell(type(at).__name__.encode() + b"(")
                left += reversed([*_parts(at), ")"])


def _parts(at: Any) -> Iterator[Any]:
    if isinstance(at, tuple | list | deque):
        yield from at
    elif isinstance(at, dict | OrderedDict):
        for key, value in at.items():
            yield from (key, value)
    elif isinstance(at, set | frozenset):
        yield from sorted(map(repr, at))
    elif isinstance(at, bytearray):
        yield bytes(at)
    elif isinstance(at, msgspec.Struct | NativeValue):
        names = at.__match_args__ if isinstance(at, NativeValue) else at.__struct_fields__
        for name in names:
            if name not in PAST:
                yield _valued(name, getattr(at, name))
    elif isinstance(at, Offers):
        yield from at.ahead()
    elif type(at).__module__.startswith("adpkv."):
        for name in _names(type(at)):
            if (
                name not in PAST
                and (at.__class__.__name__, name) not in NUMBERS
                and (value := getattr(at, name, _PAST)) is not _PAST
            ):
                yield from (name, _valued(name, value))
        for name, value in getattr(at, "__dict__", {}).items():
            if name not in PAST:
                yield from (name, _valued(name, value))
    elif hasattr(at, "tobytes"):
        yield at.tobytes()


class _Turn(NamedTuple):
    """A turn, of which only the place among others is told."""

    number: int


def _valued(name: str, value: Any) -> Any:
    return _Turn(value) if name == TURN else value


_PAST: Final = object()


def _names(kind: type) -> list[str]:
    """The names of all slots, those of the bases first; of a compiled class, all its attributes."""
    found: list[str] = []
    for base in reversed(kind.__mro__):
        slots = base.__dict__.get("__slots__", base.__dict__.get("__mypyc_attrs__", ()))
        found += [slots] if isinstance(slots, str) else list(slots)
    return list(dict.fromkeys(found))
