"""The queue of requests that no rank owns yet: an immutable value that a plan carries.

Each iteration's queue is the last one with a few requests more or fewer. The successive queues
share one log, which only grows: it has a place for each request, and the version with which the
request left. So a new queue costs as much as has changed, not as much as waits (copying 20,000
requests in each iteration took half a minute), and an older queue can still be read. Only the
newest queue of a log can be followed by another. An older one is copied first (`current`); that
happens when a rank failure broke an iteration.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Final

from adpkv.core.values import RequestSpec

__all__ = ["NOBODY_WAITS", "Lane", "Waiting", "lane_of"]

Lane = tuple[int | None, int | None]
"""(rank index on which its requests insist, context rank that has their KV). What keeps the first
of a lane waiting mostly keeps the others waiting too, and no other lane."""

NOT_YET: Final = (1 << 62) - 1
"""The version with which a request leaves that still waits."""

MOST_LEFT: Final = 64
"""A log is replaced by a new one when more requests have left it than wait in it, and more than
this number."""


def lane_of(spec: RequestSpec) -> Lane:
    """The lane in which a request waits."""
    return spec.wanted, None if spec.sender is None else spec.sender.rank


class _Log:
    """The data that successive queues share. By lane and by request it is known from the first
    question on: mostly all requests of a queue find room at once, and nobody asks."""

    __slots__ = ("_attempts", "_lanes", "left_with", "specs", "version")

    def __init__(self, specs: Iterable[RequestSpec]) -> None:
        self.version = 0
        """The version of the newest queue. `lanes` and `attempts` are those of this queue."""
        self.specs = [*specs]
        self.left_with = [NOT_YET] * len(self.specs)
        self._lanes: dict[Lane, deque[int]] | None = None
        self._attempts: dict[int, list[int]] = {}

    def lanes(self) -> dict[Lane, deque[int]]:
        """The places of each lane's requests, in order. The first place of each still waits."""
        if self._lanes is None:
            self._lanes = {}
            for place, version in enumerate(self.left_with):
                if version == NOT_YET:
                    self._sort_in(self._lanes, place)
        return self._lanes

    def attempts(self) -> dict[int, list[int]]:
        """Request -> the places of its attempts that wait."""
        self.lanes()
        return self._attempts

    def add(self, spec: RequestSpec) -> None:
        self.specs.append(spec)
        self.left_with.append(NOT_YET)
        if self._lanes is not None:
            self._sort_in(self._lanes, len(self.specs) - 1)

    def _sort_in(self, lanes: dict[Lane, deque[int]], place: int) -> None:
        spec = self.specs[place]
        lanes.setdefault(lane_of(spec), deque()).append(place)
        self._attempts.setdefault(spec.request_id, []).append(place)

    def take(self, place: int) -> None:
        """The request at `place` leaves with the present version."""
        self.left_with[place] = self.version
        lanes = self._lanes
        if lanes is None:
            return
        spec = self.specs[place]
        attempts = self._attempts[spec.request_id]
        attempts.remove(place)
        if not attempts:
            del self._attempts[spec.request_id]
        lane = lanes[lane_of(spec)]
        while lane and self.left_with[lane[0]] != NOT_YET:
            lane.popleft()
        if not lane:
            del lanes[lane_of(spec)]


_Foremost = tuple[tuple[RequestSpec, ...], int, int]
"""(the first that insist on no rank, how many were asked for, the place of the last of them)"""


class Waiting:
    """Waiting requests in order of arrival. Immutable. A *place* is an integer that identifies one
    of them; places rise in order of arrival."""

    __slots__ = ("_first", "_foremost", "_log", "_version", "count")

    def __init__(self, specs: Iterable[RequestSpec] = ()) -> None:
        self._log = _Log(specs)
        self._version = self._first = 0
        self.count = len(self._log.specs)
        """How many wait: each rank asks in each iteration, and a call of `len` takes longer."""
        self._foremost: _Foremost | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[RequestSpec]:
        return (self._log.specs[place] for place in self.places())

    def __getitem__(self, place: int) -> RequestSpec:
        return self._log.specs[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Waiting) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # equality is by content, and no one needs a hash

    def __repr__(self) -> str:
        return f"Waiting({[*self]})"

    def places(self) -> Iterator[int]:
        """The places of all requests that wait, in order."""
        left_with, version, missing = self._log.left_with, self._version, self.count
        place = self._first
        while missing:  # places after the last of them belong to later queues
            if left_with[place] > version:
                missing -= 1
                yield place
            place += 1

    def foremost(self, most: int) -> tuple[RequestSpec, ...]:
        """The first `most` requests that insist on no rank.

        Each rank of a group asks in each iteration, for the same number: so the queue looks them up
        once, and passes them on to the next one if that has the same. Then that is the same object.
        """
        known = self._foremost
        if known is not None and known[1] == most:
            return known[0]
        found: list[RequestSpec] = []
        last = -1
        for last in islice(self._uninsisting(), most):
            found.append(self._log.specs[last])
        known = self._foremost = (tuple(found), most, last)
        return known[0]

    def _uninsisting(self) -> Iterator[int]:
        log = self._log
        if self._version != log.version:
            return (place for place in self.places() if log.specs[place].wanted is None)
        lanes = [self.lane(lane) for lane in log.lanes() if lane[0] is None]
        return lanes[0] if len(lanes) == 1 else heapq.merge(*lanes)

    # -- only for the newest queue of its log --------------------------------------------------

    def current(self) -> Waiting:
        """This queue if it is the newest of its log; else an equal one that is."""
        return self if self._version == self._log.version else Waiting(self)

    def lanes(self) -> Collection[Lane]:
        """The lanes in which requests wait."""
        return self._newest().lanes().keys()

    def lane(self, lane: Lane) -> Iterator[int]:
        """The places of a lane's requests, in order."""
        log = self._newest()
        left_with = log.left_with
        return (place for place in log.lanes().get(lane, ()) if left_with[place] == NOT_YET)

    def attempts(self, request_id: int) -> Collection[int]:
        """The places of a request, one for each of its attempts that waits."""
        return self._newest().attempts().get(request_id, ())

    def with_new(self, specs: Collection[RequestSpec]) -> Waiting:
        """This queue with these requests added at its end."""
        if not specs:
            return self
        if not self.count:
            return Waiting(specs)  # an empty queue need not keep its log
        log = self._newest()
        log.version += 1
        for spec in specs:
            log.add(spec)
        known = self._foremost
        if known is not None and len(known[0]) < known[1]:
            known = None
        return self._following(log, self.count + len(specs), known)

    def without(self, places: Collection[int]) -> Waiting:
        """This queue without the requests at these places."""
        if not places:
            return self
        if len(places) == self.count:
            return NOBODY_WAITS
        log = self._newest()
        log.version += 1
        known = self._foremost
        for place in places:
            log.take(place)
            if known is not None and place <= known[2] and log.specs[place].wanted is None:
                known = None
        return self._following(log, self.count - len(places), known)

    def _newest(self) -> _Log:
        assert self._version == self._log.version, "an older queue: `current` first"
        return self._log

    def _following(self, log: _Log, count: int, foremost: _Foremost | None) -> Waiting:
        first, left_with = self._first, log.left_with
        while left_with[first] != NOT_YET:
            first += 1
        found = Waiting.__new__(Waiting)
        found._log, found._version, found._first, found.count = log, log.version, first, count
        found._foremost = foremost
        gone = len(left_with) - count
        return Waiting(found) if gone > max(count, MOST_LEFT) else found


NOBODY_WAITS: Final = Waiting()
