"""The KV transceiver of one rank: slots, deadlines, structured cancel, polling that never waits.

Pure: time comes in as `now_ns`; what is to be done outside goes out as `book.orders`. The
transport's ends come in through `finished`, a queue, so that polling costs O(finished) however
many sessions are in flight (contract 1.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from adpkv.core.cancel import TransferCancelResult
from adpkv.core.health_watch import HealthWatch
from adpkv.core.ids import NEVER, RequestId
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Order, Role, Session, State
from adpkv.core.session_book import SessionBook
from adpkv.core.session_limits import SessionLimits, TransceiverLimits
from adpkv.core.slots import SlotQueue
from adpkv.core.tombstones import NEVER_POSTED, Tombstones

__all__ = ["Transceiver"]

_OF_THE_ADVERTISED: Final = frozenset({Event.BEGAN, Event.PEER_QUEUED})
"""What a sender can say only of a session whose address it knows."""

_Finish = tuple[int, int, Event, int, int]


class Transceiver:
    """One rank's end of all its transfers, sender or receiver."""

    def __init__(
        self, role: Role, limits: TransceiverLimits, rules: Rules, *, can_withdraw: bool
    ) -> None:
        self.book = SessionBook(role, rules)
        self._receives = role is Role.RECEIVER
        self.limits = SessionLimits(self.book, limits, rules)
        self.health = HealthWatch(self.book, limits, rules)
        self.monitor = self.health.monitor
        self._poll_limit = limits.poll_limit
        self._rules = rules
        self._can_withdraw = can_withdraw
        self._slots = SlotQueue(limits.slots)
        self.pending_polls: deque[_Finish] = deque()
        """Ends that came in and were not taken in yet; more than the poll limit stay for later."""
        self._tombstones = Tombstones()
        self._asked: list[Session] = []
        """Sender: whose receivers have asked, or asked again, since the last `start`."""
        self._failed: set[int] = set()
        self.drain_deadline_ns = NEVER

    # -- sessions begin ------------------------------------------------------------------------

    def open(self, request_id: int, attempt: int, peer: int, nbytes: int, now_ns: int) -> Session:
        """A session for a request: WAITING on a receiver, PREPARED on a sender (peer -1)."""
        session = Session(self.book.role, (RequestId(request_id), attempt), peer, nbytes, now_ns)
        self.book.open(session)
        self.limits.opened(session, now_ns)
        if peer in self._failed:
            self._fire(session, Event.PEER_LOST, now_ns)
        return session

    def reserve(
        self, session: Session, blocks: Sequence[int], peer_blocks: Sequence[int], now_ns: int
    ) -> None:
        """Receiver: the blocks are there. Advertised as soon as a slot is free: see `start`."""
        self.book.hold(session, blocks, peer_blocks)
        if not self.book.fire(session, Event.RESERVED, now_ns).late:
            # Late: it is over here, and other ranks have not agreed to that yet.
            self._slots.wait(session)

    def prepare(self, session: Session, blocks: Sequence[int]) -> None:
        """Sender: these blocks hold the prompt's KV; they wait for a receiver to ask."""
        self.book.hold(session, blocks)

    def advertised(
        self,
        request_id: int,
        attempt: int,
        receiver: int,
        tag: int,
        blocks: Sequence[int],
        now_ns: int,
    ) -> int | None:
        """Sender: a receiver asked, maybe not for the first time. `start` gives it a slot, or says
        that it is queued. Of a session that is over: how many pieces were posted, `NEVER_POSTED` if
        none was nor will be. None: there is nothing to say here.
        """
        pieces = self._tombstones.pieces(request_id, attempt)
        if pieces != NEVER_POSTED:
            self.book.note_late()
            return pieces
        session = self.book.sessions.get(request_id)
        if session is None or not self._rules.same_attempt(session, attempt):
            return NEVER_POSTED
        if session.state.is_over:
            return NEVER_POSTED
        if session.state is not State.PREPARED:
            self._fire(session, Event.ADVERTISE_AGAIN, now_ns)
            return None
        if session.peer < 0:
            self.book.meet(session, receiver, tag, blocks)
            self._slots.wait(session)
        self._asked.append(session)
        return None

    def start(self, now_ns: int) -> None:
        """Begin as many waiting transfers as there are slots for; who asked for one and does not
        get it is told so."""
        for session in self._slots.admit():
            self.book.fire(session, Event.ADVERTISE, now_ns)
            self.limits.started(session, now_ns)
        for session in self._asked:
            if session.state is State.PREPARED:
                self.book.fire(session, Event.NO_SLOT, now_ns)
                self.limits.queued(session, now_ns)
        self._asked.clear()

    # -- sessions move -------------------------------------------------------------------------

    def hear(self, request_id: int, attempt: int, event: Event, now_ns: int) -> Session | None:
        """A peer's message (queued, began, cancel, an error): fired if its session lives, else
        counted."""
        session = self.book.find(request_id, attempt)
        if session is None:
            return None
        if event in _OF_THE_ADVERTISED and session.state.is_unexposed and self._receives:
            return None
        self._fire(session, event, now_ns)
        return session

    def cancelled(self, request_id: int, attempt: int, receiver: int, now_ns: int) -> int | None:
        """Sender: its receiver no longer wants it, and advertised its blocks unless `receiver` is
        -1. Returns how many pieces were posted of a session that is over, `NEVER_POSTED` if none
        ever was: the receiver has missed that message, or would not ask. None: nothing to say now.
        """
        session = self.book.find(request_id, attempt)
        over = session is None or session.state.is_over
        if session is not None:
            self._fire(session, Event.CANCEL, now_ns)
            if session.peer < 0 and not over:
                # Its advertise never came; it is to hear all the same that nothing was posted.
                self.book.meet(session, receiver)
        return self._tombstones.pieces(request_id, attempt) if over and receiver >= 0 else None

    def finished(
        self, request_id: int, attempt: int, event: Event, nbytes: int = 0, pieces: int = 0
    ) -> None:
        """The transport reports an end (DONE, ENDED, ERROR): queued until the next poll."""
        self.pending_polls.append((request_id, attempt, event, nbytes, pieces))

    def check_transfer_status(self, now_ns: int, at_least: int = 0) -> int:
        """Take in what is ready, never wait for what is not. The field has one call for each role:
        `check_context_transfer_status` and `check_generation_transfer_status`.

        `at_least` may only let more *ready* sessions through in this call (contract 1.1; upstream
        it selected unready ones and froze the loop, #13671). Returns how many were taken in.
        """
        queue = self.pending_polls
        count = min(len(queue), max(self._poll_limit, at_least))
        for _ in range(count):
            request_id, attempt, event, _nbytes, pieces = queue.popleft()
            session = self.book.find(request_id, attempt)
            if session is not None:
                self.book.count_pieces(session, pieces)
                self._fire(session, event, now_ns)
        return count

    def _fire(self, session: Session, event: Event, now_ns: int) -> None:
        queued = session.state is State.QUEUED or (
            session.state is State.PREPARED and session.peer >= 0
        )
        before = session.state
        exposed = session.started_ns >= 0 and not before.is_over
        if event is Event.DEADLINE:
            self.limits.passes(session, now_ns)
        line = self.book.fire(session, event, now_ns)
        if line.late:
            return
        if queued and not line.state.is_unexposed:
            self._slots.leave(session)
        elif exposed and line.state.is_over:
            self._slots.give_back(session)
        if self._receives:
            self.limits.moved(session, before, event, now_ns)
        elif line.state.is_over:
            self._tombstones.add(session)

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
        if session is not None and _is_open(session):
            self._fire(session, Event.CANCEL, now_ns)
        return answer

    def cancel_request(self, request_id: int, now_ns: int) -> bool:
        """True for exactly the three answers after which the blocks may be freed (2.2)."""
        return self._rules.may_release(self.cancel_request_structured(request_id, now_ns))

    def handle_peer_failure(self, failed: Iterable[int], now_ns: int) -> None:
        """These ranks have failed: what nobody has begun with them ends now, and nothing more
        begins. What is in flight ends when the transport has fenced it, and says so (contract
        2.5)."""
        self._failed.update(failed)
        for session in list(self.book.sessions.values()):
            if session.peer in self._failed and session.state.is_unexposed:
                self._fire(session, Event.PEER_LOST, now_ns)

    def forget(self, request_id: int) -> None:
        """The request is released: its session is over and no longer found."""
        self.book.forget(request_id)

    def drain(self, deadline_ns: int, now_ns: int) -> None:
        """Begin the end. What has not reached its own is answered now; what is in flight
        may end until `deadline_ns`, and is then given up as `quarantined_now`.

        The waiting is the loop's, together with the group: this is the one thing that it ever
        waits for (contract 1.2), until `is_drained` or `is_overdue`.
        """
        self.drain_deadline_ns = deadline_ns
        for session in list(self.book.sessions.values()):
            if _is_open(session):
                self._fire(session, Event.STOP, now_ns)

    def is_drained(self) -> bool:
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

    def wake_ns(self, seen_ns: int = -1) -> int:
        """When this transceiver has to be looked at next if nothing happens until then. What was
        over at its last look, at `seen_ns`, was seen, and is not due again."""
        drain_ns = self.drain_deadline_ns
        return min(
            self.health.due_ns(seen_ns),
            self.book.next_limit_ns(),
            drain_ns if drain_ns >= seen_ns else NEVER,
        )


def _is_open(session: Session) -> bool:
    """Its client has no answer yet."""
    return not session.state.is_over and session.state is not State.QUARANTINED
