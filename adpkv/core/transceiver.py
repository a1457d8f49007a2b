"""The KV transceiver of one rank: slots, deadlines, structured cancel, polling that never waits.

Pure: time comes in as `now_ns`; what is to be done outside goes out as `book.orders`. The
transport's ends come in through `finished`, a queue, so that polling costs O(finished) however
many sessions are in flight (contract 1.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adpkv.core.cancel import TransferCancelResult
from adpkv.core.health import HealthInputs, HealthMonitor, TransceiverHealth, next_change_ns
from adpkv.core.ids import NEVER, RequestId
from adpkv.core.quarantine import ASKS
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Order, Role, Session, State
from adpkv.core.session_book import SessionBook
from adpkv.core.slots import SlotLimits, SlotQueue
from adpkv.core.tombstones import NEVER_POSTED, Tombstones

__all__ = ["Transceiver", "TransceiverLimits"]

MOST_HASTY = 16
"""Transfers given up too early that a rank remembers; one is a violation."""


@dataclass(frozen=True, slots=True)
class TransceiverLimits:
    """The bounds on everything that is in flight or waits. Durations in nanoseconds."""

    slots: SlotLimits
    transfer_timeout_ns: int
    """From where the transfer begins."""
    answer_timeout_ns: int
    """Receiver: how long its sender may say nothing to an advertise before it is repeated, and
    how long afterwards."""
    wait_timeout_ns: int
    """For blocks and a slot here; on a sender, for a receiver to ask."""
    slot_timeout_ns: int
    """For a slot at the sender's, from when it says that it has none."""
    quarantine_budget: int
    progress_deadline_ns: int
    shutdown_grace_ns: int
    poll_limit: int
    """Finished sessions taken in per poll; `at_least` may let more through (contract 1.1)."""


_Finish = tuple[int, int, Event, int, int]


class Transceiver:
    """One rank's end of all its transfers, sender or receiver."""

    def __init__(
        self, role: Role, limits: TransceiverLimits, rules: Rules, *, can_withdraw: bool
    ) -> None:
        self.book = SessionBook(role, rules)
        self.monitor = HealthMonitor(limits.shutdown_grace_ns)
        self._limits = limits
        self._rules = rules
        self._can_withdraw = can_withdraw
        self._ask_every_ns = max(1, limits.progress_deadline_ns // ASKS)
        self._slots = SlotQueue(limits.slots)
        self.pending_polls: deque[_Finish] = deque()
        """Ends that came in and were not taken in yet; more than the poll limit stay for later."""
        self._tombstones = Tombstones()
        self._asked: list[Session] = []
        """Sender: whose receivers have asked, or asked again, since the last `start`."""
        self.hasty: list[tuple[int, int, int]] = []
        """(request, time, how long its wire had by then) of those that were given up before their
        deadline: the contract allows none. Bounded."""
        self._tags = 0
        self._dead: set[int] = set()
        self.drain_deadline_ns = NEVER

    # -- sessions begin ------------------------------------------------------------------------

    def open(
        self, request_id: int, generation: int, peer: int, nbytes: int, now_ns: int
    ) -> Session:
        """A session for a request: WAITING on a receiver, PREPARED on a sender (peer -1)."""
        session = Session(self.book.role, (RequestId(request_id), generation), peer, nbytes, now_ns)
        self.book.open(session)
        self.book.limit(session, now_ns + self._limits.wait_timeout_ns, Event.WAIT_LIMIT)
        if peer in self._dead:
            self._fire(session, Event.PEER_LOST, now_ns)
        return session

    def reserve(
        self, session: Session, blocks: Sequence[int], peer_blocks: Sequence[int], now_ns: int
    ) -> None:
        """Receiver: the blocks are there. Advertised as soon as a slot is free: see `start`."""
        session.blocks = tuple(blocks)
        session.peer_blocks = tuple(peer_blocks)
        if not self.book.fire(session, Event.RESERVED, now_ns).late:
            # Late: it is over here, and other ranks have not agreed to that yet.
            self._slots.wait(session)

    def prepare(self, session: Session, blocks: Sequence[int]) -> None:
        """Sender: these blocks hold the prompt's KV; they wait for a receiver to ask."""
        session.blocks = tuple(blocks)

    def advertised(
        self,
        request_id: int,
        generation: int,
        receiver: int,
        tag: int,
        blocks: Sequence[int],
        now_ns: int,
    ) -> int | None:
        """Sender: a receiver asked, maybe not for the first time. `start` gives it a slot, or says
        that it is queued. Of a session that is over: how many pieces were posted, `NEVER_POSTED` if
        none was nor will be. None: there is nothing to say here.
        """
        pieces = self._tombstones.pieces(request_id, generation)
        if pieces is not None and pieces != NEVER_POSTED:
            self.book.note_late()
            return pieces
        session = self.book.sessions.get(request_id)
        if session is None or not self._rules.same_life(session, generation):
            return NEVER_POSTED
        if session.state in _OVER:
            return NEVER_POSTED
        if session.state is not State.PREPARED:
            self._fire(session, Event.ADVERTISE_AGAIN, now_ns)
            return None
        if session.peer < 0:
            session.peer = receiver
            session.tag = tag
            session.peer_blocks = tuple(blocks)
            self._slots.wait(session)
        self._asked.append(session)
        return None

    def start(self, now_ns: int) -> None:
        """Begin as many waiting transfers as there are slots for; who asked for one and does not
        get it is told so."""
        for session in self._slots.admit():
            session.started_ns = now_ns
            if self.book.role is Role.RECEIVER:
                session.tag = self._tags
                self._tags += 1
            else:
                session.began_ns = now_ns
            self.book.fire(session, Event.ADVERTISE, now_ns)
            self._limit_transfer(session, now_ns)
        for session in self._asked:
            if session.state is State.PREPARED:
                self.book.fire(session, Event.NO_SLOT, now_ns)
                self._limit_queue(session, now_ns)
        self._asked.clear()

    def _limit_transfer(self, session: Session, now_ns: int) -> None:
        """Until the transfer begins, its sender may say nothing for so long; then, it may take so
        long."""
        anchor_ns = self._rules.deadline_anchor_ns(session)
        if anchor_ns == NEVER:
            at_ns = now_ns + self._limits.answer_timeout_ns
            event = Event.DEADLINE if session.reminded else Event.SILENCE
        else:
            at_ns, event = anchor_ns + self._limits.transfer_timeout_ns, Event.DEADLINE
        self.book.limit(session, at_ns, event)

    def _limit_queue(self, session: Session, now_ns: int) -> None:
        """It waits for a slot at the sender's."""
        self.book.limit(session, now_ns + self._limits.slot_timeout_ns, Event.WAIT_LIMIT)

    # -- sessions move -------------------------------------------------------------------------

    def hear(self, request_id: int, generation: int, event: Event, now_ns: int) -> Session | None:
        """A peer's word (queued, began, cancel, an error): fired if its session lives, else
        counted."""
        session = self.book.find(request_id, generation)
        if session is None or (event in _OF_THE_ADVERTISED and session.state in _UNADVERTISED):
            return None
        self._fire(session, event, now_ns)
        return session

    def cancelled(self, request_id: int, generation: int, receiver: int, now_ns: int) -> int | None:
        """Sender: its receiver no longer wants it, and advertised its blocks unless `receiver` is
        -1. Returns how many pieces were posted of a session that is over, `NEVER_POSTED` if none
        ever was: the receiver has missed that word, or would not ask. None: nothing to say now.
        """
        session = self.book.find(request_id, generation)
        if session is None:
            return self._tombstones.pieces(request_id, generation) if receiver >= 0 else None
        self._fire(session, Event.CANCEL, now_ns)
        if session.peer < 0:
            # Its advertise never came; it is to hear all the same that nothing was posted.
            session.peer = receiver
        return None

    def finished(
        self, request_id: int, generation: int, event: Event, nbytes: int = 0, pieces: int = 0
    ) -> None:
        """The transport reports an end (DONE, ENDED, ERROR): queued until the next poll."""
        self.pending_polls.append((request_id, generation, event, nbytes, pieces))

    def check_context_transfer_status(self, now_ns: int, at_least: int = 0) -> int:
        """Sender's poll: look at what is ready and return; see `check_generation_…`."""
        return self._poll(now_ns, at_least)

    def check_generation_transfer_status(self, now_ns: int, at_least: int = 0) -> int:
        """Receiver's poll: take in what is ready, never wait for what is not.

        `at_least` may only let more *ready* sessions through in this call (contract 1.1; upstream
        it selected unready ones and froze the loop, #13671). Returns how many were taken in.
        """
        return self._poll(now_ns, at_least)

    def _poll(self, now_ns: int, at_least: int) -> int:
        queue = self.pending_polls
        count = min(len(queue), max(self._limits.poll_limit, at_least))
        for _ in range(count):
            request_id, generation, event, _nbytes, pieces = queue.popleft()
            session = self.book.find(request_id, generation)
            if session is not None:
                session.pieces = pieces
                self._fire(session, event, now_ns)
        return count

    def _fire(self, session: Session, event: Event, now_ns: int) -> None:
        queued = session.state is State.QUEUED or (
            session.state is State.PREPARED and session.peer >= 0
        )
        before = session.state
        exposed = session.started_ns >= 0 and before not in _OVER
        if event is Event.DEADLINE:
            self._note_haste(session, now_ns)
        line = self.book.fire(session, event, now_ns)
        if line.late:
            return
        if queued and line.state not in (State.QUEUED, State.PREPARED):
            self._slots.leave(session)
        elif exposed and line.state in _OVER:
            self._slots.give_back(session)
        if self.book.role is Role.RECEIVER:
            self._follow(session, before, event, now_ns)
        elif line.state in _OVER:
            self._tombstones.bury(session)

    def _follow(self, session: Session, before: State, event: Event, now_ns: int) -> None:
        """Which limit a receiver's session is under from now on."""
        after = session.state
        if after is State.QUARANTINED:
            if event is Event.ASK or before is not after:
                pause_ns = self.book.quarantine.pause_ns(session.session_id, now_ns)
                ask_ns = now_ns + max(self._ask_every_ns, pause_ns)
                self.book.limit(session, ask_ns, Event.ASK)
        elif event is Event.SILENCE:
            session.reminded = True
            self._limit_transfer(session, now_ns)
        elif before is after:
            return
        elif after is State.TRANSFERRING:
            session.began_ns = now_ns
            self._limit_transfer(session, now_ns)
        elif after is State.PEER_QUEUED:
            session.peer_queued_ns = now_ns
            self._limit_queue(session, now_ns)

    def _note_haste(self, session: Session, now_ns: int) -> None:
        """Its deadline passes. By contract 3.1 it had that long from where it began, or its sender
        was silent, and asked twice."""
        began_ns = session.began_ns
        if began_ns < 0 and session.reminded:
            return
        wire_ns = now_ns - began_ns if began_ns >= 0 else 0
        if wire_ns < self._limits.transfer_timeout_ns and len(self.hasty) < MOST_HASTY:
            self.hasty.append((session.session_id[0], now_ns, wire_ns))

    def expire(self, now_ns: int) -> None:
        """Fire the limits and deadlines that have passed. A session whose end is in, and only
        waits for the next poll, has not missed its deadline."""
        ended = {finish[0] for finish in self.pending_polls}
        for session, event in self.book.expired(now_ns):
            if session.session_id[0] not in ended:
                self._fire(session, event, now_ns)

    # -- sessions end --------------------------------------------------------------------------

    def cancel_request_structured(self, request_id: int, now_ns: int) -> TransferCancelResult:
        """Cancel a request's transfer: one of six answers. Idempotent (contract 2)."""
        session = self.book.sessions.get(request_id)
        state = None if session is None else session.state
        answer = self._rules.cancel_answer(state, not self.monitor.reasons, self._can_withdraw)
        if session is not None and state not in _OVER and state is not State.QUARANTINED:
            self._fire(session, Event.CANCEL, now_ns)
        return answer

    def cancel_request(self, request_id: int, now_ns: int) -> bool:
        """True for exactly the three answers after which the blocks may be freed (2.2)."""
        return self._rules.may_release(self.cancel_request_structured(request_id, now_ns))

    def bury(self, dead: Iterable[int], now_ns: int) -> None:
        """These ranks are dead: what nobody has begun with them ends now, and nothing more begins.
        What is in flight ends when the transport has fenced it, and says so (contract 2.5)."""
        self._dead.update(dead)
        for session in list(self.book.sessions.values()):
            if session.peer in self._dead and session.state in _UNBEGUN:
                self._fire(session, Event.PEER_LOST, now_ns)

    def forget(self, request_id: int) -> None:
        """The request is released: its session is over and no longer found."""
        self.book.forget(request_id)

    def drain_context_transfers(self, deadline_ns: int, now_ns: int) -> None:
        """Sender: begin the end; see `drain_generation_transfers`."""
        self._drain(deadline_ns, now_ns)

    def drain_generation_transfers(self, deadline_ns: int, now_ns: int) -> None:
        """Receiver: begin the end. What has not reached its own is answered now; what is in flight
        may end until `deadline_ns`, and is then given up as `quarantined_now`.

        The waiting is the loop's, together with the group: this is the one thing that it ever
        waits for (contract 1.2), until `is_settled` or `is_overdue`.
        """
        self._drain(deadline_ns, now_ns)

    def _drain(self, deadline_ns: int, now_ns: int) -> None:
        self.drain_deadline_ns = deadline_ns
        for session in list(self.book.sessions.values()):
            if session.state not in _OVER and session.state is not State.QUARANTINED:
                self._fire(session, Event.STOP, now_ns)

    def is_settled(self) -> bool:
        """Nothing of this rank is exposed to a peer any more."""
        return self.book.in_flight == 0

    def is_overdue(self, now_ns: int) -> bool:
        """The bound on draining is over."""
        return now_ns >= self.drain_deadline_ns

    # -- looking -------------------------------------------------------------------------------

    def take_orders(self) -> list[tuple[Order, Session]]:
        """What is to be done outside, oldest first; the list is the caller's."""
        orders, self.book.orders = self.book.orders, []
        return orders

    def health_inputs(self) -> HealthInputs:
        """What health is judged from, as of now."""
        book = self.book
        return HealthInputs(
            in_flight=book.under_way,
            moved_ns=book.moved_ns,
            quarantined=len(book.quarantine),
            oldest_ns=book.quarantine.oldest_ns(),
            quarantine_moved_ns=book.quarantine.moved_ns,
            budget=self._limits.quarantine_budget,
            deadline_ns=self._limits.progress_deadline_ns,
        )

    def look(self, now_ns: int, wire_moved_ns: int) -> bool:
        """Judge health again; `wire_moved_ns` is when the transport last moved a byte. Says
        whether health changed."""
        if not self.book.in_flight and not self.monitor.reasons:
            return False  # nothing can be ill about nothing
        if self.book.in_flight:
            self.book.moved_ns = max(self.book.moved_ns, wire_moved_ns)
        return self.monitor.look(now_ns, self._rules.ill_reasons(now_ns, self.health_inputs()))

    def health(self, now_ns: int) -> TransceiverHealth:
        """A snapshot as of the last look."""
        seen = self.health_inputs()
        return TransceiverHealth(
            is_healthy=not self.monitor.reasons,
            quarantined_transfer_count=seen.quarantined,
            quarantine_budget=seen.budget,
            oldest_quarantine_age_ns=now_ns - seen.oldest_ns if seen.quarantined else 0,
            since_last_progress_ns=now_ns - seen.moved_ns if seen.in_flight else 0,
            global_progress_deadline_ns=seen.deadline_ns,
            reasons=self.monitor.reasons,
        )

    def wake_ns(self, seen_ns: int = -1) -> int:
        """When this transceiver has to be looked at next if nothing happens until then. What was
        over at its last look, at `seen_ns`, was seen, and is not due again."""
        reasons, drain_ns = self.monitor.reasons, self.drain_deadline_ns
        if not self.book.in_flight:
            at = NEVER if not reasons else 0
        else:
            # Ill: a movement heals, and is looked for; meanwhile the grace goes on, and what else
            # is wrong shows.
            at, grace_ns = (
                next_change_ns(self.health_inputs(), reasons),
                self.monitor.grace_over_ns(),
            )
            at = min(at, grace_ns if grace_ns >= seen_ns else NEVER)
        return min(at, self.book.next_limit_ns(), drain_ns if drain_ns >= seen_ns else NEVER)


_UNADVERTISED = frozenset({State.WAITING, State.QUEUED})
_UNBEGUN = _UNADVERTISED | {State.PREPARED}
_OF_THE_ADVERTISED = frozenset({Event.BEGAN, Event.PEER_QUEUED})
_OVER = frozenset({State.COMPLETE, State.FAILED, State.CANCELLED, State.TIMED_OUT, State.RELEASED})
