"""The leader of a group: it exchanges the instance's messages with the coordinator.

It takes the coordinator's messages for the broadcast, answers for requests that no rank owns, and
forwards the responses that the flush gathered. It makes no decisions alone. The leader is also an
ordinary rank with requests of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, get_args

import msgspec

from adpkv.core.failure_memory import Trust
from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.core.plan import Plan
from adpkv.core.queue_limits import QueueLimits
from adpkv.core.rank_failure import RankFailure
from adpkv.core.rank_status import RankStatus
from adpkv.core.stop import StopReason
from adpkv.core.values import Response
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.messages import (
    MOST_UNHEALTHY,
    Admit,
    Answers,
    CancelTransfer,
    LeaderMessage,
    Missing,
    PeerMessage,
    Pulse,
    RankFailed,
    Shrink,
    Stop,
    Stopped,
    UnhealthyRank,
)
from adpkv.executor.ports import Clock, Mailbox
from adpkv.executor.status_notices import StatusNotices

__all__ = [
    "BROADCAST_IDS",
    "Leader",
    "sum_up",
    "unhealthy_ranks",
]

BROADCAST_IDS: Final = 65_536
"""The most block hashes and block ids in one broadcast, about 600 kB of the 16 MiB that a
collective can carry. So a burst of long prompts is spread over a few short iterations."""

MESSAGE_IDS: Final = 8
"""What a message without blocks counts towards `BROADCAST_IDS`."""

_FOR_THE_GROUP: Final = frozenset(get_args(LeaderMessage))
_FOR_PEERS: Final = frozenset(get_args(PeerMessage))
"""The kinds of messages. To ask whether a message is an instance of a union takes ten times as
long."""

Attempt = tuple[int, int]
"""(request, attempt)."""


class Leader:
    """The part of the first living rank of a group that talks to the coordinator."""

    def __init__(
        self,
        instance: int,
        mailbox: Mailbox,
        clock: Clock,
        *,
        queue_timeout_ns: int,
        pulse_ns: int,
    ) -> None:
        self._instance = instance
        self._mailbox = mailbox
        self._clock = clock
        self._limits = QueueLimits(queue_timeout_ns)
        self._pulse_ns = pulse_ns
        self._next_pulse_ns = 0 if pulse_ns else NEVER
        self._unowned_since: dict[Attempt, int] = {}
        """Request -> since when it waits for a rank."""
        self._unowned_for: dict[Attempt, int] = {}
        """Request -> how long it waited for a rank, from its assignment until it is answered."""
        self._is_successor = False
        """Whether it leads because a former leader has failed."""
        self._inherited: dict[Attempt, int] = {}
        """On a successor: when the coordinator sent the requests that the group had then, until
        they are answered."""
        self._announced: Stopped | None = None
        self._last_admit_taken = False
        """Whether a broadcast had the coordinator's stop, behind which it admits nothing."""
        self._tokens = 0
        self.notices = StatusNotices(instance, mailbox)
        """What it passes on of the ranks' statuses."""
        self._kept: deque[LeaderMessage] = deque()

    def take_messages(self) -> tuple[tuple[LeaderMessage, ...], list[PeerMessage]]:
        """Read the mailbox. Returns (messages for the group, messages about this rank's sessions).

        The group's are limited by `BROADCAST_IDS`; the rest is kept, in order, for the next call.
        """
        own: list[PeerMessage] = []
        for message in self._mailbox.receive():
            if type(message) in _FOR_PEERS:
                own.append(message)  # type: ignore[arg-type]
            elif type(message) in _FOR_THE_GROUP:
                self._kept.append(message)  # type: ignore[arg-type]
        return self._next_broadcast() if self._kept else (), own

    def put_back(self, messages: Sequence[LeaderMessage]) -> None:
        """Return messages that were broadcast, but on which a failure kept the group from agreeing:
        they come first in the next broadcast."""
        self._kept.extendleft(reversed(messages))

    def announce_rank_failure(self, rank: int, leader: int, detail: str) -> None:
        """Tell the coordinator that a rank of the instance has failed, and who leads it now."""
        self._mailbox.send(COORDINATOR, RankFailed(self._instance, rank, leader, detail))

    def has_more(self) -> bool:
        """Whether messages for the group are left for the next broadcast; then the group must not
        wait."""
        return bool(self._kept)

    def _next_broadcast(self) -> tuple[LeaderMessage, ...]:
        """Remove and return the oldest messages within the limit, at least one; what tells of
        failed ranks comes first (`failed_ranks`)."""
        kept, left = self._kept, BROADCAST_IDS
        group = [kept.popleft()]
        left -= _weight(group[0])
        while kept and (weight := _weight(kept[0])) <= left:
            left -= weight
            group.append(kept.popleft())
        kinds = {type(message) for message in group}
        if Stop in kinds:
            self._last_admit_taken = True
        if Shrink in kinds:
            group.sort(key=lambda message: type(message) is not Shrink)
        return tuple(group)

    def take_over(self, plan: Plan) -> None:
        """Lead from this plan on. Its waiting requests count as waiting since now, until the
        coordinator says since when it really is (`_inherit`): the former leader's times are lost.
        """
        self._is_successor = True
        self.notices.take_over()
        now_ns = self._clock()
        for spec in plan.waiting:
            attempt = (spec.request_id, spec.attempt)
            self._unowned_since[attempt] = now_ns
            self._limits.since(attempt, now_ns)

    def note_unowned(self, plan: Plan, messages: Sequence[LeaderMessage]) -> None:
        """Remember since when each request waits for a rank. `messages` is the broadcast from which
        the plan was made. Mostly all its requests have a rank already, and none is noted."""
        since, waits = self._unowned_since, plan.waiting.count or self._is_successor
        if not messages and not since and not plan.expired:
            return
        now_ns = self._clock()
        for message in messages:
            if type(message) is Admit:
                attempt = (message.spec.request_id, message.spec.attempt)
                self._limits.since(attempt, now_ns - message.waited_ns)
                if waits:
                    since[attempt] = now_ns
        if self._is_successor:
            for message in messages:
                if type(message) is Shrink and message.asked:
                    self._inherit(message, now_ns)
        for refusal in plan.refusals:
            attempt = (refusal.request_id, refusal.attempt)
            self._note_end(attempt, now_ns)
            self._limits.over(attempt)
        if since:
            for specs in plan.assignments.values():
                for spec in specs:
                    self._note_end((spec.request_id, spec.attempt), now_ns)
        for attempt in plan.expired:
            self._limits.over(attempt)

    def _note_end(self, attempt: Attempt, now_ns: int) -> None:
        """The request waits for a rank no more."""
        since_ns = self._unowned_since.pop(attempt, now_ns)
        if since_ns < now_ns:
            self._unowned_for[attempt] = now_ns - since_ns

    def _inherit(self, shrink: Shrink, now_ns: int) -> None:
        """Take over from the coordinator since when the group has each of its requests."""
        since = self._unowned_since
        for attempt, age_ns in zip(shrink.asked, shrink.ages, strict=True):
            given_ns = now_ns - age_ns
            self._inherited.setdefault(attempt, given_ns)
            self._limits.since(attempt, given_ns)
            if attempt in since:
                since[attempt] = min(since[attempt], given_ns)

    def next_expiry_ns(self) -> int:
        """When the oldest open request will have waited too long, if it still waits then; `NEVER`
        without one."""
        return self._limits.next_ns()

    def is_expiry_due(self) -> bool:
        """Whether that time has come."""
        return self._clock() >= self.next_expiry_ns()

    def expired(self, now_ns: int) -> tuple[Attempt, ...]:
        """The open requests that have waited too long unless they are scheduled by now, which only
        their ranks know; oldest first."""
        return self._limits.expired(now_ns)

    def refusals(self, plan: Plan, rank: int) -> list[Response]:
        """The responses for requests that end before any rank owned them. Context ranks that keep
        KV for them are told to free it."""
        for refusal in plan.refusals:
            if refusal.sender >= 0:
                self._mailbox.send(
                    refusal.sender, CancelTransfer(refusal.request_id, refusal.attempt)
                )
        return [
            Response(
                request_id=refusal.request_id,
                attempt=refusal.attempt,
                outcome=refusal.outcome,
                rank=rank,
                detail=refusal.detail,
            )
            for refusal in plan.refusals
        ]

    def answer(self, gathered: Sequence[Sequence[Response]], pulse: Callable[[int], Pulse]) -> None:
        """Forward the responses that a flush gathered; at the pulse interval also the instance's
        state, which `pulse(tokens so far)` makes."""
        due = self._next_pulse_ns != NEVER and self._clock() >= self._next_pulse_ns
        found = [response for responses in gathered for response in responses]
        if not due and not found:
            return
        responses = tuple(found)
        for response in responses:
            self._limits.over((response.request_id, response.attempt))
            self._tokens += response.tokens
        if self._unowned_for or self._inherited:
            responses = tuple(map(self._with_wait, responses))
        if due:
            self._next_pulse_ns = self._clock() + self._pulse_ns
        message = Answers(self._instance, responses, pulse(self._tokens) if due else None)
        self._mailbox.send(COORDINATOR, message)

    def _with_wait(self, response: Response) -> Response:
        """The response with the time until a rank owned its request added to its first column."""
        attempt = (response.request_id, response.attempt)
        waited_ns = self._unowned_for.pop(attempt, 0)
        given_ns = self._inherited.pop(attempt, None)
        if given_ns is not None:
            # The time since then that no rank of the group has measured, as no rank owned it.
            waited_ns = max(self._clock() - given_ns - sum(response.spent), waited_ns)
        if not waited_ns:
            return response
        first, *others = response.spent or (0,)
        return msgspec.structs.replace(response, spent=(first + waited_ns, *others))

    def announce_missing(self, failure: RankFailure) -> None:
        """Tell the coordinator which of the requests that it asked about were lost with the failed
        ranks. Call it after the flush: then this message follows the answers given before."""
        if failure.missing is not None:
            for attempt in failure.missing:
                self._limits.over(attempt)
            self._mailbox.send(COORDINATOR, Missing(self._instance, failure.missing))

    def announce_stop(self, stop: StopReason, statuses: Iterable[RankStatus]) -> None:
        """Tell the coordinator once that the instance has stopped and every open request is
        answered, and once that all its ranks are drained and it has taken the coordinator's stop:
        then nothing that was on its way to it is left without an answer. Call it after the flush:
        then this message follows the last answers."""
        last = self._announced
        drained = self._last_admit_taken and all(status.drained for status in statuses)
        if last is None or (drained and not last.drained):
            self._announced = Stopped(self._instance, stop, drained)
            self._mailbox.send(COORDINATOR, self._announced)


def _weight(message: LeaderMessage) -> int:
    """Roughly what a message counts towards `BROADCAST_IDS`."""
    if type(message) is Shrink:
        return MESSAGE_IDS + len(message.asked) + len(message.ages)
    if type(message) is not Admit:
        return MESSAGE_IDS
    spec = message.spec
    return MESSAGE_IDS + len(spec.block_hashes) + (len(spec.sender.blocks) if spec.sender else 0)


def unhealthy_ranks(reasons: Iterable[tuple[int, tuple[str, ...]]]) -> tuple[UnhealthyRank, ...]:
    """The first `MOST_UNHEALTHY` unhealthy ranks of (rank, reasons)."""
    return tuple(islice((UnhealthyRank(rank, why) for rank, why in reasons if why), MOST_UNHEALTHY))


def sum_up(
    by_rank: Mapping[int, RankStatus],
    unowned: int,
    tokens: int,
    iterations: int,
    counts: CollectiveCounts,
) -> Pulse:
    """An instance's pulse from the statuses of its ranks and what its leader has counted."""
    statuses = by_rank.values()
    reused = [status.reused for status in statuses if status.reused]
    return Pulse(
        running=sum(status.running for status in statuses),
        waiting=unowned + sum(max(0, s.requests - s.running - s.in_transfer) for s in statuses),
        in_transfer=sum(status.in_transfer for status in statuses),
        quarantined=sum(status.quarantined for status in statuses),
        unhealthy=unhealthy_ranks((rank, status.reasons) for rank, status in by_rank.items()),
        avoided=sum(status.trust is not Trust.FULL for status in statuses),
        tokens=tokens,
        iterations=iterations,
        collectives=counts.collectives,
        collectives_ns=counts.collectives_ns,
        transfers_cached=sum(transfers for transfers, _ in reused),
        bytes_cached=sum(nbytes for _, nbytes in reused),
    )
