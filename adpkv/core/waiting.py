"""The queue of requests that nobody owns: a value that a plan carries and all ranks share.

The queues of one group follow one another, each the former with a few requests more or fewer. They
share one log, which only grows: a place for each request, and with which version it left. So a new
queue costs what has changed and not what waits (20,000 requests, copied on each iteration, took
half a minute), and an older one still reads what it held. Only the newest queue of a log can be
changed; an older one, where an iteration was broken and is made anew, is copied first (`current`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from adpkv.core.values import RequestSpec

__all__ = ["NOBODY_WAITS", "Waiting"]

NOT_YET: Final = 1 << 62
"""With which version one has left that still waits."""

SPARED: Final = 64
"""A log is made anew when more have left it than wait, and more than so many."""


class _Log:
    """What the queues that follow one another share."""

    __slots__ = ("lanes", "left_with", "lives", "specs", "version")

    def __init__(self, specs: Iterable[RequestSpec]) -> None:
        self.version = 0
        """Of the newest queue, the only one that `lanes` and `lives` are about."""
        self.specs: list[RequestSpec] = []
        self.left_with: list[int] = []
        self.lanes: dict[int | None, deque[int]] = {}
        """The places of those that want this rank, or do not mind (None), in order. The first of
        each still waits."""
        self.lives: dict[int, list[int]] = {}
        """By request: the places of those of its lives that wait."""
        for spec in specs:
            self.add(spec)

    def add(self, spec: RequestSpec) -> None:
        place = len(self.specs)
        self.specs.append(spec)
        self.left_with.append(NOT_YET)
        self.lanes.setdefault(spec.wanted, deque()).append(place)
        self.lives.setdefault(spec.request_id, []).append(place)

    def take(self, place: int) -> None:
        """Whoever waits there leaves with the version that has just begun."""
        self.left_with[place] = self.version
        spec = self.specs[place]
        lives = self.lives[spec.request_id]
        lives.remove(place)
        if not lives:
            del self.lives[spec.request_id]
        lane = self.lanes[spec.wanted]
        while lane and self.left_with[lane[0]] != NOT_YET:
            lane.popleft()
        if not lane:
            del self.lanes[spec.wanted]


class Waiting:
    """Immutable, in order of arrival. A place is this queue's name for one of its requests; places
    rise in order of arrival."""

    __slots__ = ("_count", "_first", "_log", "_version")

    def __init__(self, specs: Iterable[RequestSpec] = ()) -> None:
        self._log = _Log(specs)
        self._version = self._first = 0
        self._count = len(self._log.specs)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[RequestSpec]:
        return (self._log.specs[place] for place in self.places())

    def __getitem__(self, place: int) -> RequestSpec:
        return self._log.specs[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Waiting) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # by content, as a plan's: nobody asks

    def __repr__(self) -> str:
        return f"Waiting({[*self]})"

    def places(self) -> Iterator[int]:
        """Of all that wait."""
        left_with, version, missing = self._log.left_with, self._version, self._count
        place = self._first
        while missing:  # what stands behind the last of them came later
            if left_with[place] > version:
                missing -= 1
                yield place
            place += 1

    # -- the newest queue of its log can be asked, and followed by another -------------------------

    def current(self) -> Waiting:
        """This queue, or one that equals it and is the newest of its log."""
        return self if self._version == self._log.version else Waiting(self)

    def wishes(self) -> Collection[int | None]:
        """The ranks that somebody insists on; None where somebody does not mind."""
        return self._newest().lanes.keys()

    def lane(self, wanted: int | None) -> Iterator[int]:
        """The places of those that want this rank, or do not mind (None)."""
        log = self._newest()
        left_with = log.left_with
        return (place for place in log.lanes.get(wanted, ()) if left_with[place] == NOT_YET)

    def lives(self, request_id: int) -> Collection[int]:
        """The places of a request: it may wait in more than one of its lives."""
        return self._newest().lives.get(request_id, ())

    def with_new(self, specs: Collection[RequestSpec]) -> Waiting:
        """This queue with these at its end."""
        if not specs:
            return self
        if not self._count:
            return Waiting(specs)  # nobody's log is kept for the sake of an empty queue
        log = self._newest()
        log.version += 1
        for spec in specs:
            log.add(spec)
        return self._following(log, self._count + len(specs))

    def without(self, places: Collection[int]) -> Waiting:
        """This queue without those."""
        if not places:
            return self
        if len(places) == self._count:
            return NOBODY_WAITS
        log = self._newest()
        log.version += 1
        for place in places:
            log.take(place)
        return self._following(log, self._count - len(places))

    def _newest(self) -> _Log:
        assert self._version == self._log.version, "an older queue: `current` first"
        return self._log

    def _following(self, log: _Log, count: int) -> Waiting:
        first, left_with = self._first, log.left_with
        while left_with[first] != NOT_YET:
            first += 1
        found = Waiting.__new__(Waiting)
        found._log, found._version, found._first, found._count = log, log.version, first, count
        gone = len(left_with) - count
        return Waiting(found) if gone > max(count, SPARED) else found


NOBODY_WAITS: Final = Waiting()
