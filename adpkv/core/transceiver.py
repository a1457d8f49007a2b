"""The KV transceiver of one rank: slots, deadlines, structured cancel, polling that never waits.

Pure: time comes in as `now_ns`; calls of the transport and messages to peers go out as
`book.orders`. Ends that the transport reports come in through `finished`, a queue, so that polling
costs O(finished sessions), however many are in flight (contract 1.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

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

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_ADVERTISE: Final = Event.ADVERTISE
_ADVERTISE_AGAIN: Final = Event.ADVERTISE_AGAIN
_CACHED: Final = Event.CACHED
_DEADLINE: Final = Event.DEADLINE
_NO_SLOT: Final = Event.NO_SLOT
_PEER_LOST: Final = Event.PEER_LOST
_RESERVED: Final = Event.RESERVED
_PREPARED: Final = State.PREPARED
_QUEUED: Final = State.QUEUED

_OF_THE_ADVERTISED: Final = frozenset({Event.BEGAN, Event.PEER_QUEUED})
"""Messages that a sender can send only about a session that was advertised to it."""

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
        self._is_staged = limits.slots.staging > 0
        self.pending_polls: deque[_Finish] = deque()
        """Ends reported by the transport that are not processed yet: (request, attempt, event,
        bytes, pieces). One poll processes at most the poll limit."""
        self._tombstones = Tombstones()
        self._asked: list[Session] = []
        """Sender: sessions for which an advertise came, perhaps not the first, since the last
        `start`."""
        self._failed: set[int] = set()
        self.drain_deadline_ns = NEVER

    # -- sessions begin ------------------------------------------------------------------------

    def open(
        self,
        request_id: int,
        attempt: int,
        peer: int,
        nbytes: int,
        now_ns: int,
        owner: Any = None,
    ) -> Session:
        """Open a session for a request: WAITING on a receiver, PREPARED on a sender.

        Args:
            peer: the other end's world rank; -1 on a sender, which learns it from the advertise.
            nbytes: the bytes to transfer.
            owner: what the caller finds by the session, in place of a table (`Session.owner`).
        """
        session = Session(self.book.role, (RequestId(request_id), attempt), peer, nbytes, now_ns)
        self.book.open(session, owner)
        self.limits.opened(session, now_ns)
        if self._failed and peer in self._failed:
            self._fire(session, Event.PEER_LOST, now_ns)
        return session

    def reserve(
        self,
        session: Session,
        blocks: Sequence[int],
        peer_blocks: Sequence[int],
        now_ns: int,
        cached: int = 0,
    ) -> None:
        """Receiver: the session has its blocks. `start` advertises it once a slot is free; if all
        of the KV is there already, it is complete, and the sender is told.

        Args:
            blocks, peer_blocks: the prompt's blocks here and at the sender, in the same order.
            cached: how many of them, the first ones, have their KV already. They are never exposed.
        """
        self.book.set_blocks(session, blocks, peer_blocks[cached:])
        if cached:
            self.book.skip(session, cached)
        if self.book.fire(session, _RESERVED, now_ns).late:
            return  # without ADP it may be over here before all ranks have agreed on that
        if session.blocks:
            self._slots.wait(session)
        else:
            self._fire(session, _CACHED, now_ns)

    def prepare(self, session: Session, blocks: Sequence[int]) -> None:
        """Sender: `blocks` hold the prompt's KV; they wait for a receiver's advertise."""
        self.book.set_blocks(session, blocks)

    def advertised(
        self,
        request_id: int,
        attempt: int,
        receiver: int,
        tag: int,
        blocks: Sequence[int],
        now_ns: int,
        slot: int = -1,
        cached: int = 0,
    ) -> int | None:
        """Sender: an advertise came, perhaps not the first one.

        Args:
            slot: the receiver's staging slot; -1 without staging.
            cached: how many blocks of the prompt, the first ones, the receiver has already.

        Returns:
            None if the session is open: `start` then gives it a slot, or tells the receiver that it
            is queued. For a session that is over or unknown: how many pieces were posted, to be
            sent to the receiver; `NEVER_POSTED` if none was nor will be.
        """
        session = self.book.sessions.get(request_id)
        if session is None or session.attempt != attempt or session.state.is_over:
            # Of an attempt that is open here, no end is remembered.
            pieces = self._tombstones.pieces(request_id, attempt)
            if pieces != NEVER_POSTED:
                self.book.note_late()
                return pieces
            if session is None or not self._rules.same_attempt(session, attempt):
                return NEVER_POSTED
            if session.state.is_over:
                return NEVER_POSTED
        if session.state is not _PREPARED:
            self._fire(session, _ADVERTISE_AGAIN, now_ns)
            return None
        if self._failed and receiver in self._failed:  # it failed after it had sent this
            self._fire(session, _PEER_LOST, now_ns)
            return None
        if session.peer < 0:
            self.book.set_peer(session, receiver, tag, blocks, slot)
            if cached:
                self.book.skip(session, cached)
            self._slots.wait(session)
        self._asked.append(session)
        return None

    def start(self, now_ns: int) -> None:
        """Begin as many waiting transfers as there are slots. A receiver whose advertise came and
        that gets no slot is told that it is queued. With a failed peer nothing is begun."""
        if self._slots.waiting:
            self._admit(now_ns)
        if not self._asked:
            return
        for session in self._asked:
            if session.state is _PREPARED:
                self.book.fire(session, _NO_SLOT, now_ns)
                self.limits.queued(session, now_ns)
        self._asked.clear()

    def _admit(self, now_ns: int) -> None:
        for session in self._slots.admit():
            if self._failed and session.peer in self._failed:
                self._slots.give_back(session)
                self._fire(session, _PEER_LOST, now_ns)
                continue
            if self._is_staged:
                self.book.set_slot(session, self._slots.number(session))
            self.book.fire(session, _ADVERTISE, now_ns)
            self.limits.started(session, now_ns)

    # -- sessions move -------------------------------------------------------------------------

    def on_peer_message(
        self, request_id: int, attempt: int, event: Event, now_ns: int
    ) -> Session | None:
        """A peer's message came (queued, began, an error).

        Returns:
            Its session; None if the message is late, which is counted, or does not apply.
        """
        session = self.book.find(request_id, attempt)
        if session is None:
            return None
        if event in _OF_THE_ADVERTISED and session.state.is_unexposed and self._receives:
            return None
        self._fire(session, event, now_ns)
        return session

    def not_needed(self, request_id: int, attempt: int, now_ns: int) -> None:
        """Sender: the receiver has all of the KV already, so it never advertises: the session is
        over. Late if it was over before."""
        session = self.book.find(request_id, attempt)
        if session is not None:
            if session.state is State.PREPARED:
                self.book.skip(session, len(session.blocks))
            self._fire(session, Event.CACHED, now_ns)

    def cancelled(self, request_id: int, attempt: int, receiver: int, now_ns: int) -> int | None:
        """Sender: the receiver cancels the transfer.

        Args:
            receiver: the receiver's world rank if it has advertised its blocks and so needs an
                answer about the end; else -1.

        Returns:
            For a session that is over: how many pieces were posted, `NEVER_POSTED` if none was. The
            receiver has missed that message, so it is to be sent again. None: nothing to send now.
        """
        session = self.book.find(request_id, attempt)
        over = session is None or session.state.is_over
        if session is not None:
            self._fire(session, Event.CANCEL, now_ns)
            if session.peer < 0 and not over:
                # Its advertise never came; it must still be told that nothing was posted.
                self.book.set_peer(session, receiver)
        return self._tombstones.pieces(request_id, attempt) if over and receiver >= 0 else None

    def finished(
        self, request_id: int, attempt: int, event: Event, nbytes: int = 0, pieces: int = 0
    ) -> None:
        """The transport reports an end (DONE, ENDED, ERROR, PEER_LOST). It is queued until the next
        `check_transfer_status`. `pieces`: how many were posted (sender)."""
        self.pending_polls.append((request_id, attempt, event, nbytes, pieces))

    def refused(self, session: Session) -> None:
        """This rank's own transport refuses the transfer, so its failure is not the peer's."""
        self.book.note_refusal(session)

    def check_transfer_status(self, now_ns: int, at_least: int = 0) -> int:
        """Process the ends that are ready, up to the poll limit; never wait for others.

        TensorRT-LLM has one call per role: `check_context_transfer_status` and
        `check_gen_transfer_status`.

        Args:
            at_least: raises the poll limit of this call. It never makes the call wait (contract
                1.1); in TensorRT-LLM it did, and froze the loop (#13671).

        Returns:
            How many ends were processed.
        """
        queue = self.pending_polls
        if not queue:
            return 0
        count = len(queue)
        if count > self._poll_limit:
            count = min(count, max(self._poll_limit, at_least))
        for _ in range(count):
            request_id, attempt, event, _nbytes, pieces = queue.popleft()
            session = self.book.find(request_id, attempt)
            if session is not None:
                self.book.count_pieces(session, pieces)
                self._fire(session, event, now_ns)
        return count

    def _fire(self, session: Session, event: Event, now_ns: int) -> None:
        before = session.state
        if event is _DEADLINE:
            self.limits.passes(session, now_ns)
        line = self.book.fire(session, event, now_ns)
        if line.late:
            return
        after = line.state
        if before is _QUEUED or (before is _PREPARED and session.peer >= 0):
            if not after.is_unexposed:
                self._slots.leave(session)
        elif after.is_over and session.started_ns >= 0:
            self._slots.give_back(session)
        if self._receives:
            self.limits.moved(session, before, event, now_ns)
        elif after.is_over:
            self._tombstones.add(session)

    def expire(self, now_ns: int) -> None:
        """Fire the limits and deadlines that have passed. A session whose end is queued for the
        next poll has not missed its deadline."""
        ended = {finish[0] for finish in self.pending_polls}
        for session, event in self.book.expired(now_ns):
            if session.session_id[0] not in ended:
                self._fire(session, event, now_ns)

    # -- sessions end --------------------------------------------------------------------------

    def cancel_request_structured(self, request_id: int, now_ns: int) -> TransferCancelResult:
        """Cancel a request's transfer; returns one of six answers. Idempotent (contract 2)."""
        session = self.book.sessions.get(request_id)
        state = None if session is None else session.state
        answer = self._rules.cancel_answer(state, not self.monitor.reasons, self._can_withdraw)
        if session is not None and _is_open(session):
            self._fire(session, Event.CANCEL, now_ns)
        return answer

    def cancel_request(self, request_id: int, now_ns: int) -> bool:
        """As `cancel_request_structured`, but returns whether the blocks may be freed: true for
        exactly three of the answers (contract 2.2)."""
        return self._rules.may_release(self.cancel_request_structured(request_id, now_ns))

    def handle_peer_failure(self, failed: Iterable[int], now_ns: int) -> None:
        """These world ranks have failed: end the sessions with them whose blocks are not exposed,
        and begin no more. A session in flight ends when the transport reports that its connection
        is fenced (contract 2.5)."""
        self.note_failures(failed)
        for session in list(self.book.sessions.values()):
            if session.peer in self._failed and session.state.is_unexposed:
                self._fire(session, Event.PEER_LOST, now_ns)

    def note_failures(self, failed: Iterable[int]) -> None:
        """These world ranks have failed: begin no transfer with them any more. What becomes of the
        sessions that there are is `handle_peer_failure`'s affair."""
        self._failed.update(failed)

    def give_up(self, session: Session, now_ns: int) -> None:
        """Receiver: the session, which is not advertised yet, has waited too long."""
        self._fire(session, Event.WAIT_LIMIT, now_ns)

    def forget(self, request_id: int) -> None:
        """Remove the session of a request whose blocks are released."""
        self.book.forget(request_id)

    def drain(self, deadline_ns: int, now_ns: int) -> None:
        """Begin to drain: every open session gets its answer now. Transfers in flight may end until
        `deadline_ns`; those that do not are reported as `quarantined_now`.

        This call does not wait. The loop waits, together with the group, until `is_drained` or
        that time has come (contract 1.2).
        """
        self.drain_deadline_ns = deadline_ns
        for session in list(self.book.sessions.values()):
            if _is_open(session):
                self._fire(session, Event.STOP, now_ns)

    def stuck_peers(self) -> tuple[int, ...]:
        """The ranks with which transfers are in quarantine; if none is, those of all in flight."""
        sessions = [one for one in self.book.sessions.values() if one.state.is_exposed]
        stuck = [one for one in sessions if one.state is State.QUARANTINED] or sessions
        return tuple(sorted({one.peer for one in stuck if one.peer >= 0}))

    def room(self) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        """How many transfers a receiver could begin now, in all and with which peers."""
        return self._slots.room()

    def slot_counts(self) -> tuple[int, int]:
        """How many staging slots there are, and how many of them no session has."""
        return self._slots.numbers()

    def is_drained(self) -> bool:
        """No blocks of this rank are exposed to a peer any more."""
        return self.book.in_flight == 0

    # -- looking -------------------------------------------------------------------------------

    def take_orders(self) -> list[tuple[Order, Session]]:
        """Remove and return the orders for the executor, oldest first."""
        orders, self.book.orders = self.book.orders, []
        return orders

    def wake_ns(self, seen_ns: int = -1) -> int:
        """When this transceiver needs attention next if nothing happens until then; `NEVER` if it
        needs none. What was due by the last check, at `seen_ns`, is not due again."""
        health_ns, limit_ns = self.health.due_ns(seen_ns), self.book.next_limit_ns()
        wake_ns = health_ns if health_ns < limit_ns else limit_ns
        drain_ns = self.drain_deadline_ns
        return drain_ns if seen_ns <= drain_ns < wake_ns else wake_ns


def _is_open(session: Session) -> bool:
    """Whether the session's client has no answer yet."""
    return not session.state.is_over and session.state is not State.QUARANTINED
