"""Which of several possible runs a virtual world makes: the order of simultaneous events, the delay
of messages, and how long steps take.

Without a schedule a world has one run: simultaneous events happen in their canonical order,
messages take the longest time that the experiment allows, and so do steps. A schedule chooses
others, all of which a real job could have. It may only make messages and steps faster than the
experiment says: its limits count on that (`config.legal_silence`).

Each choice is asked for by an identity that does not depend on what was asked before. So the same
choices give the same run, and one choice can be taken back while the others stay.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from adpkv.core.ids import SOON_NS
from adpkv.heaps import push_event
from adpkv.worlds.virtual.event_queue import (
    GROUP_WAKE,
    KINDS,
    LINK,
    MESSAGES,
    Action,
    EventQueue,
)
from adpkv.worlds.virtual.stretch import Columns, columns_of, lines_of

__all__ = ["DENOMINATOR", "MOST_PLACE", "Schedule", "ScheduledQueue", "paced", "queue_for"]

DENOMINATOR: Final = 16
"""Delays and step times are chosen in sixteenths of what the experiment says."""


LINKS_FIRST: Final = 1 << 40
"""What ends on a link comes before all else at its instant, in any order among itself. Some of
these events only wake a rank for what it sees by its clock (a delay that is over): a rank that came
before could see what it was not woken for. That it comes a nanosecond later is what delays are for.
"""

MOST_PLACE: Final = LINKS_FIRST // 2 - 1
"""With places up to this, before or after the canonical one, what ends on a link stays first, and
an event's numbers fit into 64 bits (`heaps.c`)."""


class Schedule(Protocol):
    """Makes the choices of one run. All answers are of one range, and 0 is what a world without a
    schedule does."""

    def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
        """The place of an event among those at the same time, from -`MOST_PLACE` to `MOST_PLACE`:
        the smallest first, equal ones in canonical order. `to` is the receiver of a message, else
        -1."""
        ...

    def haste(self, sender: int, to: int, number: int) -> int:
        """By how many sixteenths of the latency this message, its sender's `number`-th, is early: 0
        to 16. Less than 0: by how many nanoseconds it is late, as under the fault `late`."""
        ...

    def speed(self, group: int, iteration: int) -> int:
        """By how many sixteenths of their time the steps from this iteration on are faster, until
        the group looks up again: 0 to 15."""
        ...


class ScheduledQueue(EventQueue):
    """The queue of a world that has a schedule."""

    __slots__ = ("_arrives_ns", "_schedule")

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._arrives_ns: dict[tuple[int, int], int] = {}
        """When the last message from one to another arrives: a later one must not be earlier."""

    def add(
        self, at_ns: int, kind: int, owner: int, number: int, action: Action, what: Any
    ) -> None:
        """Call `action(what)` at `at_ns`. The place among simultaneous events comes before their
        kind, and does not depend on `number`: so what one sends to another, or does on its own
        link, stays in order."""
        if kind != GROUP_WAKE:
            self.outside += 1
        to = what[0] if kind == MESSAGES else -1
        place = self._schedule.order(kind, owner, to, at_ns)
        if kind == LINK:
            place -= LINKS_FIRST
        push_event(self._heap, (at_ns, place * KINDS + kind, owner, number, action, what))

    def arrival_ns(self, sender: int, to: int, number: int, latency_ns: int) -> int:
        """When a message arrives that is sent now; never before one that was sent earlier."""
        haste = self._schedule.haste(sender, to, number)
        early_ns = latency_ns * haste // DENOMINATOR if haste > 0 else haste
        at_ns = self.now + max(latency_ns - early_ns, SOON_NS)
        pair = (sender, to)
        at_ns = max(at_ns, self._arrives_ns.get(pair, 0))
        self._arrives_ns[pair] = at_ns
        return at_ns


def queue_for(schedule: Schedule | None) -> EventQueue:
    """The event queue of a world with this schedule, or without one. A schedule may be a queue
    itself: one that chooses by what else may happen now."""
    if isinstance(schedule, EventQueue):
        return schedule
    return EventQueue() if schedule is None else ScheduledQueue(schedule)


def paced(schedule: Schedule, group: int, iteration: int, columns: Columns) -> Columns:
    """The costs of the next steps of a group, from those that the experiment has."""
    speed = schedule.speed(group, iteration)
    if not speed:
        return columns
    left = DENOMINATOR - speed
    lines = [(base * left, slope * left) for base, slope in lines_of(columns)]
    return columns_of([(base // DENOMINATOR, slope // DENOMINATOR) for base, slope in lines])
