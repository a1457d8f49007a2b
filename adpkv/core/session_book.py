"""All sessions of one rank, and the only place where they change.

A transition leaves three things behind for the executor: `orders` (what to do in the world
outside), `resolved` (whose client is to be told, or whose blocks changed hands), and `journal`
(what happened, for the events of the run). Deadlines are a heap with lazy deletion.

Where sessions wait whose client has its answer, but whose blocks are not proven quiescent.

Bounded by the in-flight limits per peer (contract 4.3), counted, visible. Entries keep the order in
which they came, so the oldest is the first.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence

from adpkv.core.ids import NEVER, SessionId
from adpkv.core.report import TransferCounts
from adpkv.core.rules import Rules
from adpkv.core.session import STORY_LINES, Blocks, Event, Line, Order, Role, Session, State
from adpkv.core.values import Outcome
from adpkv.errors import IllegalTransitionError

__all__ = ["ASKS", "Quarantine", "SessionBook"]

ASKS = 4
"""How often a receiver in doubt cancels again within one progress deadline. Messages can be lost,
and one lost message must not keep blocks for ever, nor make a rank ill (contract 2.3, 4.2).
Afterwards each time after such a part of its doubt, which may last for years."""


class Quarantine:
    """Sessions in doubt, by when they came."""

    __slots__ = ("_since", "longest", "moved_ns", "peak")

    def __init__(self) -> None:
        # An OrderedDict finds its first entry in O(1) however many left before it; a dict does not.
        self._since: OrderedDict[SessionId, int] = OrderedDict()
        self.moved_ns = NEVER
        """When an entry last ended or heard from its peer, or the first one came; NEVER before."""
        self.peak = 0
        self.longest: tuple[int, SessionId] | None = None
        """The longest stay of an entry that has ended, and whose it was."""

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, session: SessionId) -> bool:
        return session in self._since

    def add(self, session: SessionId, now_ns: int) -> None:
        """A session comes into doubt."""
        if not self._since:
            self.moved_ns = now_ns  # the clock starts; another arrival is no movement
        self._since[session] = now_ns
        self.peak = max(self.peak, len(self._since))

    def move(self, session: SessionId, now_ns: int) -> None:
        """An entry heard from its peer: it is slow, not stuck."""
        if session in self._since:
            self.moved_ns = now_ns

    def end(self, session: SessionId, now_ns: int) -> None:
        """An entry is proven quiescent."""
        stay = now_ns - self._since.pop(session)
        if self.longest is None or stay > self.longest[0]:
            self.longest = stay, session
        self.moved_ns = now_ns

    def pause_ns(self, session: SessionId, now_ns: int) -> int:
        """How long an entry may wait before it asks again: the longer, the longer it is here."""
        return (now_ns - self._since[session]) // ASKS

    def oldest(self) -> SessionId | None:
        """Whose the oldest entry is; None if there is none."""
        return next(iter(self._since), None)

    def oldest_ns(self) -> int:
        """Since when the oldest entry is here; NEVER if there is none."""
        return next(iter(self._since.values())) if self._since else NEVER


_PEER_EVENTS = frozenset({Event.BEGAN, Event.PEER_QUEUED})
"""What a peer says of a session that goes on."""


class SessionBook:
    """One rank's sessions, all of one role. O(1) per transition, O(log sessions) per deadline."""

    def __init__(self, role: Role, rules: Rules) -> None:
        self.role = role
        self._rules = rules
        self._table = rules.tables[role]
        self.sessions: dict[int, Session] = {}
        self.quarantine = Quarantine()
        self.in_flight = 0
        """Sessions that a peer may touch, quarantined ones included."""
        self.under_way = 0
        """Of them, those that do not wait for a slot at their sender's."""
        self.moved_ns = 0
        self.orders: list[tuple[Order, Session]] = []
        self.resolved: deque[tuple[Session, Event, Line]] = deque()
        self.journal: list[tuple[Session, Event, Line]] = []
        self._limits: list[tuple[int, int, int, Event]] = []
        self._tags = 0
        self._completed = self._late = self._bytes = 0
        self._told = {Outcome.FAILED: 0, Outcome.CANCELLED: 0, Outcome.TIMED_OUT: 0}

    def open(self, session: Session) -> None:
        """A new session; its request has no other on this rank."""
        self.sessions[session.session_id[0]] = session

    def find(self, request_id: int, attempt: int) -> Session | None:
        """The session that a message from outside is about; None (and counted) if it is late."""
        session = self.sessions.get(request_id)
        if session is not None and self._rules.same_attempt(session, attempt):
            return session
        self.note_late()
        return None

    def note_late(self) -> None:
        """A message came for a session that is over, or for an earlier attempt of it."""
        self._late += 1

    def forget(self, request_id: int) -> None:
        """The request is gone and its blocks are somebody else's: so is the session."""
        self.sessions.pop(request_id, None)

    def hold(
        self, session: Session, blocks: Sequence[int], peer_blocks: Sequence[int] = ()
    ) -> None:
        """These are its blocks from now on, and its sender's as far as it knows them."""
        session.blocks = tuple(blocks)
        session.peer_blocks = tuple(peer_blocks)

    def meet(
        self, session: Session, peer: int, tag: int = -1, peer_blocks: Sequence[int] = ()
    ) -> None:
        """Sender: this is its receiver, with what its advertise says, if that has come."""
        session.peer = peer
        session.tag = tag
        session.peer_blocks = tuple(peer_blocks)

    def count_pieces(self, session: Session, pieces: int) -> None:
        """The transport has posted so many for it."""
        session.pieces = pieces

    def note_movement(self, at_ns: int) -> None:
        """The link has last moved a byte then."""
        if self.in_flight:
            self.moved_ns = max(self.moved_ns, at_ns)

    def fire(self, session: Session, event: Event, now_ns: int) -> Line:
        """Make one transition and note what follows from it.

        Raises:
            IllegalTransitionError: the table calls it impossible; nothing has changed.
        """
        before = session.state
        line = self._table[before][event]
        if line is None:
            raise IllegalTransitionError(
                f"{session.role} session {session.session_id}",
                before,
                event,
                session.story_lines(),
            )
        after = session.state = line.state
        story = session.story
        story.append((now_ns, event, after))
        if len(story) > STORY_LINES:
            del story[0]
        if line.late:
            self._late += 1
            return line
        self._note(session, before, event, now_ns)
        self.journal.append((session, event, line))
        for order in line.orders:
            self.orders.append((order, session))
        if after is before:
            # Only a peer's message is a movement; being asked again by us is not.
            if event in _PEER_EVENTS:
                self.quarantine.move(session.session_id, now_ns)
                self.moved_ns = now_ns
            return line
        self._expose(session, before, after, now_ns)
        self._count(session, line)
        if line.outcome is not None or not after.is_exposed or after is State.QUARANTINED:
            self.resolved.append((session, event, line))
        return line

    def _note(self, session: Session, before: State, event: Event, now_ns: int) -> None:
        """What the session itself remembers of an event."""
        after = session.state
        if event is Event.ADVERTISE:
            self._start(session, now_ns)
        elif event is Event.SILENCE:
            session.reminded = True
        elif after is not before:
            if after is State.TRANSFERRING:
                session.began_ns = now_ns
            elif after is State.PEER_QUEUED:
                session.peer_queued_ns = now_ns

    def _start(self, session: Session, now_ns: int) -> None:
        """The address goes out under a tag of its own; or the first byte, under the receiver's."""
        session.started_ns = now_ns
        if self.role is Role.RECEIVER:
            session.tag = self._tags
            self._tags += 1
        else:
            session.began_ns = now_ns

    def _expose(self, session: Session, before: State, after: State, now_ns: int) -> None:
        was, is_now = before.is_exposed, after.is_exposed
        first = not self.under_way
        self.in_flight += is_now - was
        self.under_way += after.is_moving - before.is_moving
        # The clock of 4.2 (a) starts with the first flight; another one that joins is no movement,
        # nor is coming into doubt.
        joins = is_now and not was
        if (was or is_now) and (first or not (joins or after is State.QUARANTINED)):
            self.moved_ns = now_ns
        if after is State.QUARANTINED:
            self.quarantine.add(session.session_id, now_ns)
        elif before is State.QUARANTINED:
            self.quarantine.end(session.session_id, now_ns)

    def _count(self, session: Session, line: Line) -> None:
        if line.outcome is not None:
            self._told[line.outcome] += 1
        elif line.state is State.COMPLETE:
            self._completed += 1
            self._bytes += session.nbytes
        elif line.state is State.RELEASED and line.blocks is Blocks.FREED:
            self._late += 1

    def limit(self, session: Session, at_ns: int, event: Event) -> None:
        """Fire `event` at `at_ns` unless the session has moved past it by then. Of each kind there
        is one at a time: a later call replaces it."""
        request_id, attempt = session.session_id
        if event is Event.WAIT_LIMIT:
            session.wait_until_ns = at_ns
        elif event is Event.SILENCE:
            session.answer_by_ns = at_ns
        elif event is Event.DEADLINE:
            if session.deadline_ns == at_ns:
                return  # as it is already
            session.deadline_ns = at_ns
        heapq.heappush(self._limits, (at_ns, request_id, attempt, event))

    def _stands(self, entry: tuple[int, int, int, Event]) -> Session | None:
        at_ns, request_id, attempt, event = entry
        session = self.sessions.get(request_id)
        if session is None or session.session_id[1] != attempt:
            return None
        if event is Event.ASK:
            return session if session.state is State.QUARANTINED else None
        if event is Event.WAIT_LIMIT:
            stands = session.state.may_wait and session.wait_until_ns == at_ns
            return session if stands else None
        if event is Event.SILENCE:
            stands = session.state is State.ADVERTISED and session.answer_by_ns == at_ns
            return session if stands else None
        open_still = session.state.is_moving and session.state is not State.QUARANTINED
        return session if open_still and session.deadline_ns == at_ns else None

    def next_limit_ns(self) -> int:
        """When the next limit passes; NEVER without one. Drops those that no longer stand."""
        limits = self._limits
        while limits:
            if self._stands(limits[0]) is not None:
                return limits[0][0]
            heapq.heappop(limits)
        return NEVER

    def expired(self, now_ns: int) -> list[tuple[Session, Event]]:
        """Take out the sessions whose limit has passed, in order of time and request."""
        found: list[tuple[Session, Event]] = []
        while self._limits and self._limits[0][0] <= now_ns:
            entry = heapq.heappop(self._limits)
            session = self._stands(entry)
            if session is not None:
                found.append((session, entry[3]))
        return found

    def counts(self) -> TransferCounts:
        """A frozen snapshot of how sessions ended; the sender's and the receiver's both count."""
        return TransferCounts(
            completed=self._completed,
            failed=self._told[Outcome.FAILED],
            cancelled=self._told[Outcome.CANCELLED],
            timed_out=self._told[Outcome.TIMED_OUT],
            late=self._late,
            bytes=self._bytes,
            quarantined_peak=self.quarantine.peak,
            quarantined_now=len(self.quarantine),
        )
