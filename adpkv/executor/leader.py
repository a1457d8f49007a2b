"""What the leader of a group does beside its own requests: the instance's messages, in and out.

It takes the coordinator's messages in for the broadcast, answers for requests that nobody owns, and
sends on what the flush gathered. It decides nothing alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice, takewhile
from typing import Final

import msgspec

from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.core.plan import NO_STOP, GroupInput, Plan, RankStatus
from adpkv.core.rank_failure import RankFailure
from adpkv.core.values import RequestSpec, Response
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.messages import (
    MOST_UNHEALTHY,
    Admit,
    Answers,
    Cancel,
    CancelTransfer,
    LeaderMessage,
    Missing,
    PeerMessage,
    Pulse,
    RankFailed,
    Release,
    Shrink,
    Stop,
    Stopped,
    UnhealthyRank,
)
from adpkv.executor.ports import Clock, Mailbox
from adpkv.exit_codes import ExitCode, worst

__all__ = ["BROADCAST_IDS", "Leader", "sorted_messages", "sum_up", "unhealthy_ranks"]

BROADCAST_IDS: Final = 65_536
"""Block hashes and block ids in one broadcast, some 600 kB of the 16 MiB that can travel: a burst
of long prompts takes a few iterations, none of which stands still for long."""

MESSAGE_IDS: Final = 8
"""What a message weighs beside its blocks."""

Attempt = tuple[int, int]
"""A request, and which attempt of it."""


class Leader:
    """The instance's face to the coordinator, on the first rank of its group."""

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
        self._queue_timeout_ns = queue_timeout_ns
        self._pulse_ns = pulse_ns
        self._next_pulse_ns = 0 if pulse_ns else NEVER
        self._unowned_since: OrderedDict[Attempt, int] = OrderedDict()
        """Oldest first: a plain dict would look for its first entry through all former ones."""
        self._unowned_for: dict[Attempt, int] = {}
        """How long those that have a rank by now waited for one, until they are answered."""
        self._is_successor = False
        self._inherited: dict[Attempt, int] = {}
        """On the successor of a leader: when what its group had then was given to it, as far as is
        known, until it is answered."""
        self._announced: Stopped | None = None
        self._tokens = 0
        self._kept: deque[LeaderMessage] = deque()

    def take_messages(self) -> tuple[tuple[LeaderMessage, ...], list[PeerMessage]]:
        """(for the group, for this rank's sessions) of what has arrived. What the group gets is
        bounded by `BROADCAST_IDS`; the rest is kept, in order, for the next time."""
        own: list[PeerMessage] = []
        for message in self._mailbox.receive():
            if isinstance(message, LeaderMessage):
                self._kept.append(message)
            elif isinstance(message, PeerMessage):
                own.append(message)
        return self._next_broadcast() if self._kept else (), own

    def put_back(self, messages: Sequence[LeaderMessage]) -> None:
        """The group never agreed on what to do about it: it comes again next time."""
        self._kept.extendleft(reversed(messages))

    def announce_rank_failure(self, rank: int, leader: int, detail: str) -> None:
        """Tell the coordinator that a rank of the instance has failed, and who leads it now."""
        self._mailbox.send(COORDINATOR, RankFailed(self._instance, rank, leader, detail))

    def has_more(self) -> bool:
        """Are there messages for the group that did not fit? Then the group must not wait."""
        return bool(self._kept)

    def _next_broadcast(self) -> tuple[LeaderMessage, ...]:
        """The oldest messages, within the bound, but always one message."""
        kept, left = self._kept, BROADCAST_IDS
        group = [kept.popleft()]
        left -= _weight(group[0])
        while kept and (weight := _weight(kept[0])) <= left:
            left -= weight
            group.append(kept.popleft())
        return tuple(group)

    def take_over(self, plan: Plan) -> None:
        """Lead from this plan on: who waits in it waits since now, until the coordinator says how
        long it really has (`_inherit`). No clock of the former leader is of use here."""
        self._is_successor = True
        self._note_new(plan.waiting, self._clock())

    def note_unowned(self, plan: Plan, messages: Sequence[LeaderMessage]) -> None:
        """Remember since when each request waits for a rank with room; `messages` is what the plan
        was made of."""
        since = self._unowned_since
        if not messages and not since:
            return
        now_ns = self._clock()
        self._note_new((said.spec for said in messages if isinstance(said, Admit)), now_ns)
        for said in messages:
            if self._is_successor and isinstance(said, Shrink) and said.asked:
                self._inherit(said, now_ns)
        gone = [(refusal.request_id, refusal.attempt) for refusal in plan.refusals]
        for specs in plan.assignments.values():
            gone += [(spec.request_id, spec.attempt) for spec in specs]
        for attempt in gone:
            since_ns = since.pop(attempt, now_ns)
            if since_ns < now_ns:
                self._unowned_for[attempt] = now_ns - since_ns

    def _inherit(self, said: Shrink, now_ns: int) -> None:
        """The coordinator knows since when the group has each of its requests."""
        since = self._unowned_since
        for attempt, age_ns in zip(said.asked, said.ages, strict=True):
            given_ns = now_ns - age_ns
            self._inherited.setdefault(attempt, given_ns)
            if attempt in since:
                since[attempt] = min(since[attempt], given_ns)
        self._unowned_since = OrderedDict(sorted(since.items(), key=lambda noted: noted[1]))

    def _note_new(self, specs: Iterable[RequestSpec], now_ns: int) -> None:
        for spec in specs:
            self._unowned_since[spec.request_id, spec.attempt] = now_ns

    def next_expiry_ns(self) -> int:
        """When the oldest unowned request has waited for too long; NEVER without one."""
        if not self._unowned_since:
            return NEVER
        return next(iter(self._unowned_since.values())) + self._queue_timeout_ns

    def is_expiry_due(self) -> bool:
        """Has it?"""
        return self._clock() >= self.next_expiry_ns()

    def expired(self, now_ns: int) -> tuple[int, ...]:
        """Unowned requests that have waited for too long."""
        past_ns = now_ns - self._queue_timeout_ns
        oldest = takewhile(lambda noted: noted[1] <= past_ns, self._unowned_since.items())
        return tuple(request_id for (request_id, _), _ in oldest)

    def refusals(self, plan: Plan, rank: int) -> list[Response]:
        """The answers for requests that end without ever having had a rank. Context ranks that
        keep KV for them are told to let it go."""
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
        """Send on what a flush gathered; now and then, how the instance is doing."""
        responses = tuple(chain.from_iterable(gathered))
        due = self._next_pulse_ns != NEVER and self._clock() >= self._next_pulse_ns
        if not responses and not due:
            return
        if self._unowned_for or self._inherited:
            responses = tuple(map(self._with_wait, responses))
        self._tokens += sum(response.tokens for response in responses)
        if due:
            self._next_pulse_ns = self._clock() + self._pulse_ns
        message = Answers(self._instance, responses, pulse(self._tokens) if due else None)
        self._mailbox.send(COORDINATOR, message)

    def _with_wait(self, response: Response) -> Response:
        """Its first column begins when the instance has it, not when a rank has."""
        attempt = (response.request_id, response.attempt)
        waited_ns = self._unowned_for.pop(attempt, 0)
        given_ns = self._inherited.pop(attempt, None)
        if given_ns is not None:
            # What no rank of the group has measured since: it had none.
            waited_ns = max(self._clock() - given_ns - sum(response.spent), waited_ns)
        if not waited_ns:
            return response
        first, *others = response.spent or (0,)
        return msgspec.structs.replace(response, spent=(first + waited_ns, *others))

    def announce_missing(self, plan: Plan) -> None:
        """Tell the coordinator which of the requests that it asked for have gone with the failed
        ranks. Sent behind the flush that carried what was answered before, so it is behind that in
        the messages."""
        if plan.rank_failure is not None and plan.rank_failure.missing is not None:
            self._mailbox.send(COORDINATOR, Missing(self._instance, plan.rank_failure.missing))

    def announce_stop(self, plan: Plan, statuses: Iterable[RankStatus]) -> None:
        """Tell the coordinator, once, that every open request of the instance is answered, and once
        that all its ranks are drained. Sent behind the flush that carried the last answers, so it
        is behind them in the mailbox."""
        if plan.stop == NO_STOP:
            return
        said, drained = self._announced, all(status.drained for status in statuses)
        if said is None or (drained and not said.drained):
            self._announced = Stopped(self._instance, plan.stop, plan.detail, drained)
            self._mailbox.send(COORDINATOR, self._announced)


def _weight(message: LeaderMessage) -> int:
    """Roughly how much of a broadcast it takes, in block ids."""
    if isinstance(message, Shrink):
        return MESSAGE_IDS + len(message.asked) + len(message.ages)
    if not isinstance(message, Admit):
        return MESSAGE_IDS
    spec = message.spec
    return MESSAGE_IDS + len(spec.block_hashes) + (len(spec.sender.blocks) if spec.sender else 0)


def unhealthy_ranks(reasons: Iterable[tuple[int, tuple[str, ...]]]) -> tuple[UnhealthyRank, ...]:
    """Of (rank, why it is ill) those that are, as far as a pulse tells them."""
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
    return Pulse(
        running=sum(status.running for status in statuses),
        waiting=unowned + sum(max(0, s.requests - s.running - s.in_transfer) for s in statuses),
        in_transfer=sum(status.in_transfer for status in statuses),
        quarantined=sum(status.quarantined for status in statuses),
        unhealthy=unhealthy_ranks((rank, status.reasons) for rank, status in by_rank.items()),
        tokens=tokens,
        iterations=iterations,
        collectives=counts.collectives,
        collectives_ns=counts.collectives_ns,
    )


def sorted_messages(messages: Sequence[LeaderMessage]) -> GroupInput | None:
    """A broadcast by what it is; None for nothing."""
    if not messages:
        return None
    ends = [m for m in messages if isinstance(m, Stop | Release)]
    codes = [m.code for m in ends if m.code > 0]
    return GroupInput(
        admitted=tuple(m.spec for m in messages if isinstance(m, Admit)),
        cancelled=tuple(m.request_id for m in messages if isinstance(m, Cancel)),
        # A release without a stop means that the stop was lost: nobody waits for it any more.
        stop=worst(codes) if codes else ExitCode.COMPLETED if ends else NO_STOP,
        detail=next((m.detail for m in ends if m.detail), ""),
        released=any(isinstance(m, Release) for m in messages),
        readmitted=_readmitted(messages) if len(messages) > 1 else frozenset(),
        rank_failure=_rank_failure([m for m in messages if isinstance(m, Shrink)]),
    )


def _readmitted(messages: Sequence[LeaderMessage]) -> frozenset[int]:
    """Requests that are cancelled, and then admitted again as another attempt."""
    cancelled: set[int] = set()
    found: set[int] = set()
    for message in messages:
        if isinstance(message, Cancel):
            cancelled.add(message.request_id)
            found.discard(message.request_id)
        elif isinstance(message, Admit) and message.spec.request_id in cancelled:
            found.add(message.spec.request_id)
    return frozenset(found)


def _rank_failure(shrinks: Sequence[Shrink]) -> RankFailure | None:
    """Each `Shrink` names all the failed ranks so far, and asks for all that is open then."""
    if not shrinks:
        return None
    asked = next((shrink.asked for shrink in reversed(shrinks) if shrink.asked), ())
    return RankFailure(shrinks[-1].failed, asked)
