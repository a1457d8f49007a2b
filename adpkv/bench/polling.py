"""Polling costs O(finished): 10,000 sessions in flight against 10 (contract 1.3).

One poll is what an iteration does about transfers: the ends that the transport reported are fed in
as `executor.transfers` feeds them, and `check_transfer_status` takes them in. As many
finish per poll in both. Once they end in the order in which they began, as on a fair link, and once
at random: then each of many sessions has left the processor's caches by the time it ends, which is
the worst case. What finished is replaced off the clock.
"""

from __future__ import annotations

import random
from statistics import median
from time import perf_counter_ns

from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.measuring import without_collector
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Role
from adpkv.core.session_limits import TransceiverLimits
from adpkv.core.slots import SlotLimits
from adpkv.core.transceiver import Transceiver

__all__ = ["InFlight", "polling"]

NS_PER_S = 1_000_000_000
PEERS = 8
BLOCKS = 16
"""Per session."""

MOST_RATIO = 1.5
"""Issue 2, Speed."""


class InFlight:
    """A receiver with a constant number of sessions in flight."""

    def __init__(self, sessions: int, *, at_random: bool = False) -> None:
        limits = TransceiverLimits(
            slots=SlotLimits(2 * sessions, 2 * sessions, 2 * sessions * BLOCKS),
            transfer_timeout_ns=60 * NS_PER_S,
            answer_timeout_ns=60 * NS_PER_S,
            slot_timeout_ns=300 * NS_PER_S,
            wait_timeout_ns=60 * NS_PER_S,
            quarantine_budget=16,
            progress_deadline_ns=60 * NS_PER_S,
            shutdown_grace_ns=120 * NS_PER_S,
            poll_limit=64,
        )
        self.transceiver = Transceiver(Role.RECEIVER, limits, Rules(), can_withdraw=True)
        self._random = random.Random(sessions) if at_random else None
        self._live: list[int] = []
        self._opened = 0
        self._now_ns = 0
        self._replace(sessions)

    def _replace(self, count: int) -> None:
        transceiver, now_ns = self.transceiver, self._now_ns
        fresh = range(self._opened, self._opened + count)
        self._opened += count
        for request_id in fresh:
            session = transceiver.open(request_id, 0, request_id % PEERS, 1 << 20, now_ns)
            blocks = range(BLOCKS)
            transceiver.reserve(session, blocks, blocks, now_ns)
        transceiver.start(now_ns)
        for request_id in fresh:
            transceiver.on_peer_message(request_id, 0, Event.BEGAN, now_ns)
        self._live += fresh
        transceiver.take_orders()
        transceiver.book.journal.clear()

    def _pick(self, count: int) -> list[int]:
        live = self._live
        if self._random is not None:
            for at in range(count):
                other = self._random.randrange(at, len(live))
                live[at], live[other] = live[other], live[at]
        picked, self._live = live[:count], live[count:]
        return picked

    def poll(self, finishing: int) -> int:
        """Nanoseconds that one poll takes in which `finishing` sessions have ended."""
        transceiver, now_ns = self.transceiver, self._now_ns
        ends = self._pick(finishing)
        began_ns = perf_counter_ns()
        for request_id in ends:
            transceiver.finished(request_id, 0, Event.DONE, 1 << 20, 1)
        transceiver.check_transfer_status(now_ns)
        took_ns = perf_counter_ns() - began_ns
        transceiver.book.resolved.clear()
        for request_id in ends:
            transceiver.forget(request_id)
        self._now_ns += 1_000_000
        self._replace(finishing)
        return took_ns


def polling(
    *, many: int = 10_000, few: int = 10, finishing: int = 4, polls: int = 2_000, rounds: int = 7
) -> list[Figure]:
    """One poll with `many` sessions in flight beside one with `few`, in alternating rounds."""
    cases = (
        ("polling", finishing, False),
        ("polling, ends at random", finishing, True),
        ("polling, nothing finished", 0, False),
    )
    found = []
    for name, ends, at_random in cases:
        crowded, calm = (InFlight(sessions, at_random=at_random) for sessions in (many, few))
        many_ns, few_ns = [], []
        with without_collector():
            for _ in range(rounds):
                few_ns.append(median(calm.poll(ends) for _ in range(polls)))
                many_ns.append(median(crowded.poll(ends) for _ in range(polls)))
        found.append(
            figure(
                name,
                median(many_ns) / 1e3,
                "µs/poll",
                reference=median(few_ns) / 1e3,
                against=f"{few} in flight",
                target=Target("ratio", "<=", MOST_RATIO),
                note=f"{many:,} in flight, {ends} finished per poll",
            )
        )
    return found
