"""All sessions of one rank, and the only place where they change; with the quarantine.

A transition leaves three things for the executor: `orders` (calls of the transport and messages to
peers), `resolved` (sessions whose client gets an answer, or whose blocks became free), and
`journal` (what happened, for the events of the run).

A session has one limit at a time, that of its state. They are a heap with lazy deletion.

The quarantine has the sessions whose client has its answer, but whose blocks a peer may still
touch. The in-flight limits per peer bound it (contract 4.3).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, Final

from adpkv.core.ids import NEVER, SessionId
from adpkv.core.report import TransferCounts
from adpkv.core.rules import Rules
from adpkv.core.session import STORY_LINES, Blocks, Event, Line, Order, Role, Session, State
from adpkv.core.values import Outcome
from adpkv.errors import IllegalTransitionError
from adpkv.heaps import heappop, heappush

__all__ = ["ASKS", "Quarantine", "SessionBook"]

ASKS: Final = 4
"""How often a receiver repeats the cancel of a quarantined session within one progress deadline.
Messages can be lost, and one lost message must not hold blocks for ever, nor make a rank unhealthy
(contract 2.3, 4.2). Later the pause grows: it is this fraction of the time in quarantine."""


class Quarantine:
    """The quarantined sessions, oldest first. Times are nanoseconds."""

    __slots__ = ("longest", "moved_ns", "peak", "since")

    def __init__(self) -> None:
        # An OrderedDict finds its first entry in O(1) after many removals; a dict does not.
        self.since: OrderedDict[SessionId, int] = OrderedDict()
        """When each entry came. Read only."""
        self.moved_ns = NEVER
        """When an entry last ended or got a message from its peer, or when the first of the present
        entries came; `NEVER` before the first."""
        self.peak = 0
        """The most entries that there ever were at once."""
        self.longest: tuple[int, SessionId] | None = None
        """The longest stay of an entry that has ended, and its session."""

    def __len__(self) -> int:
        return len(self.since)

    def __contains__(self, session: SessionId) -> bool:
        return session in self.since

    def add(self, session: SessionId, now_ns: int) -> None:
        """Add a session."""
        if not self.since:
            self.moved_ns = now_ns  # the first entry starts the clock; a further one is no movement
        self.since[session] = now_ns
        self.peak = max(self.peak, len(self.since))

    def move(self, session: SessionId, now_ns: int) -> None:
        """A message came from the entry's peer: the transfer is slow, not stuck."""
        if session in self.since:
            self.moved_ns = now_ns

    def end(self, session: SessionId, now_ns: int) -> None:
        """Remove a session: it is proven that no peer touches its blocks."""
        stay = now_ns - self.since.pop(session)
        if self.longest is None or stay > self.longest[0]:
            self.longest = stay, session
        self.moved_ns = now_ns

    def pause_ns(self, session: SessionId, now_ns: int) -> int:
        """How long to wait before an entry's cancel is repeated; it grows with its stay."""
        return (now_ns - self.since[session]) // ASKS

    def oldest(self) -> SessionId | None:
        """The session of the oldest entry; None if there is none."""
        return next(iter(self.since), None)

    def oldest_ns(self) -> int:
        """When the oldest entry was added; `NEVER` if there is none."""
        return next(iter(self.since.values())) if self.since else NEVER


# Looked up once: a member that is looked up in its enum takes as long as ten comparisons.
_WAIT_LIMIT: Final = Event.WAIT_LIMIT
_SILENCE: Final = Event.SILENCE
_DEADLINE: Final = Event.DEADLINE
_ASK: Final = Event.ASK
_ADVERTISE: Final = Event.ADVERTISE
_QUEUED: Final = State.QUEUED
_TRANSFERRING: Final = State.TRANSFERRING
_PEER_QUEUED: Final = State.PEER_QUEUED
_QUARANTINED: Final = State.QUARANTINED
_COMPLETE: Final = State.COMPLETE
_HELD: Final = Blocks.HELD
"""Where a line leaves the blocks if its state is exposed, and only then."""

_PEER_EVENTS = frozenset({Event.BEGAN, Event.PEER_QUEUED})
"""A peer's messages about a session that goes on."""


class SessionBook:
    """One rank's sessions, all of one role. A transition costs O(1), a limit O(log sessions)."""

    def __init__(self, role: Role, rules: Rules) -> None:
        self.role = role
        self._receives = role is Role.RECEIVER
        self._same_attempt = rules.same_attempt
        self._table = rules.tables[role]
        self.sessions: dict[int, Session] = {}
        self.quarantine = Quarantine()
        self.in_flight = self.quarantined = 0
        """Sessions whose blocks a peer may touch, quarantined ones included; and those alone."""
        self.under_way = 0
        """Those of them that do not wait for a slot of their sender (`State.is_moving`)."""
        self.moved_ns = 0
        """The last movement (`core.health.HealthInputs.moved_ns`)."""
        self.orders: list[tuple[Order, Session]] = []
        self.resolved: deque[tuple[Session, Event, Line]] = deque()
        self.journal: list[tuple[Session, Event, Line]] = []
        self._limits: list[tuple[int, int, Event]] = []
        self._tags = 0
        self._completed = self._late = self._bytes = 0
        self._cached = self._bytes_cached = 0
        self.reused: tuple[int, ...] = ()
        """(completed transfers without a byte, bytes that no completed one had to move), as their
        receiver had the KV already; empty while there was none."""
        self._told = {Outcome.FAILED: 0, Outcome.CANCELLED: 0, Outcome.TIMED_OUT: 0}

    def open(self, session: Session, owner: Any = None) -> None:
        """Add a new session; its request must have no other one on this rank."""
        request_id = session.session_id[0]
        assert request_id not in self.sessions, "`forget` would forget the other one"
        session.owner = owner
        self.sessions[request_id] = session

    def find(self, request_id: int, attempt: int) -> Session | None:
        """The session that a message is about; None, and counted as late, if it is over or another
        attempt."""
        session, same = self.sessions.get(request_id), self._same_attempt
        if session is not None and same(session, attempt):
            return session
        self.note_late()
        return None

    def note_late(self) -> None:
        """Count a message for a session that is over, or for an earlier attempt."""
        self._late += 1

    def forget(self, request_id: int) -> None:
        """Remove a request's session; its blocks belong to others from now on."""
        session = self.sessions.pop(request_id, None)
        if session is not None:
            session.owner = None

    def set_blocks(
        self, session: Session, blocks: Sequence[int], peer_blocks: Sequence[int] = ()
    ) -> None:
        """Set the session's own blocks and, if they are known, its peer's."""
        session.blocks = tuple(blocks)
        session.peer_blocks = tuple(peer_blocks)

    def skip(self, session: Session, cached: int) -> None:
        """The receiver has the first `cached` blocks of the prompt: only the others are sent."""
        session.cached = cached
        session.cached_bytes = session.nbytes * cached // len(session.blocks)
        session.nbytes -= session.cached_bytes
        session.blocks = session.blocks[cached:]

    def set_peer(
        self,
        session: Session,
        peer: int,
        tag: int = -1,
        peer_blocks: Sequence[int] = (),
        peer_slot: int = -1,
    ) -> None:
        """Sender: set the receiver, and what its advertise says if that has come: tag, blocks,
        staging slot."""
        session.peer = peer
        session.tag = tag
        session.peer_blocks = tuple(peer_blocks)
        session.peer_slot = peer_slot

    def set_slot(self, session: Session, slot: int) -> None:
        """The session has this staging slot from now on; -1 without staging."""
        session.slot = slot

    def note_refusal(self, session: Session) -> None:
        """This rank's own transport has refused the session's transfer."""
        session.refused = True

    def count_pieces(self, session: Session, pieces: int) -> None:
        """Set how many pieces the transport has posted for the session."""
        session.pieces = pieces

    def note_movement(self, at_ns: int) -> None:
        """The transport last moved a byte at `at_ns`."""
        if self.in_flight:
            self.moved_ns = max(self.moved_ns, at_ns)

    def fire(self, session: Session, event: Event, now_ns: int) -> Line:
        """Make the transition of `event`, and note what follows from it.

        Raises:
            IllegalTransitionError: the event is impossible in this state; nothing has changed.
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
        story += (now_ns, event, after)
        if len(story) > 3 * STORY_LINES:
            del story[:3]
        if line.late:
            self._late += 1
            return line
        entry = (session, event, line)
        self.journal.append(entry)
        for order in line.orders:
            self.orders.append((order, session))
        if after is before:
            self._stays(session, event, now_ns)
            return line
        if after is not _QUEUED:  # the waits for blocks and for a slot have one limit together
            session.limit_ns = NEVER
        if event is _ADVERTISE:
            self._start(session, now_ns)
        elif after is _TRANSFERRING:
            session.began_ns = now_ns
        elif after is _PEER_QUEUED:
            session.peer_queued_ns = now_ns
        is_exposed = line.blocks is _HELD
        was_exposed = before.is_exposed
        if is_exposed or was_exposed:
            self._expose(session, before if was_exposed else None, line, now_ns)
        if line.outcome is not None or after.is_over:
            self._count(session, line)
            self.resolved.append(entry)
        return line

    def _stays(self, session: Session, event: Event, now_ns: int) -> None:
        """A session stays in its state. A peer's message is a movement; a message that this rank
        sends again is not."""
        if event in _PEER_EVENTS:
            self.quarantine.move(session.session_id, now_ns)
            self.moved_ns = now_ns
        elif event is _SILENCE:
            session.reminded = True

    def _start(self, session: Session, now_ns: int) -> None:
        """A receiver advertises, under a new tag; a sender posts, under the receiver's tag."""
        session.started_ns = now_ns
        if self._receives:
            session.tag = self._tags
            self._tags += 1
        else:
            session.began_ns = now_ns

    def _expose(self, session: Session, before: State | None, line: Line, now_ns: int) -> None:
        """The session's blocks are exposed to its peer, or were until now, in the state `before`;
        None if they were not."""
        after = line.state
        is_now = line.blocks is _HELD
        first = not self.under_way
        if before is None:
            self.in_flight += 1
        else:
            if not is_now:
                self.in_flight -= 1
            if before is not _PEER_QUEUED:
                self.under_way -= 1
        if is_now and after is not _PEER_QUEUED:
            self.under_way += 1
        # The clock of contract 4.2 (a) starts with the first session in flight. A further one, and
        # a session that becomes quarantined, are no movements.
        if first or not ((is_now and before is None) or after is _QUARANTINED):
            self.moved_ns = now_ns
        if after is _QUARANTINED:
            self.quarantine.add(session.session_id, now_ns)
            self.quarantined += 1
        elif before is _QUARANTINED:
            self.quarantine.end(session.session_id, now_ns)
            self.quarantined -= 1

    def _count(self, session: Session, line: Line) -> None:
        if line.outcome is not None:
            self._told[line.outcome] += 1
        elif line.state is _COMPLETE:
            self._completed += 1
            self._bytes += session.nbytes
            self._bytes_cached += session.cached_bytes
            self._cached += 0 if session.nbytes else 1
            if session.cached_bytes and self._receives:
                self.reused = self._cached, self._bytes_cached
        elif line.state is State.RELEASED and line.blocks is Blocks.FREED:
            self._late += 1

    def limit(self, session: Session, at_ns: int, event: Event) -> None:
        """Set a session's limit: fire `event` at `at_ns` unless it has left its state, or has got
        another limit, by then."""
        if session.limit_ns == at_ns and session.limit is event:
            return
        session.limit_ns, session.limit = at_ns, event
        heappush(self._limits, (at_ns, session.session_id[0], event))

    def next_limit_ns(self) -> int:
        """When the next limit passes; `NEVER` without one. Drops those that no longer apply."""
        limits, sessions = self._limits, self.sessions
        while limits:
            at_ns, request_id, event = limits[0]
            session = sessions.get(request_id)
            if session is not None and session.limit_ns == at_ns and session.limit is event:
                return at_ns
            heappop(limits)
        return NEVER

    def expired(self, now_ns: int) -> list[tuple[Session, Event]]:
        """Remove the limits that have passed; returns (session, event), in order of time and
        request."""
        found: list[tuple[Session, Event]] = []
        while self._limits and self._limits[0][0] <= now_ns:
            at_ns, request_id, event = heappop(self._limits)
            session = self.sessions.get(request_id)
            if session is not None and session.limit_ns == at_ns and session.limit is event:
                session.limit_ns = NEVER
                found.append((session, event))
        return found

    def counts(self) -> TransferCounts:
        """A frozen snapshot of how this rank's sessions ended. A transfer counts at both ends."""
        return TransferCounts(
            completed=self._completed,
            failed=self._told[Outcome.FAILED],
            cancelled=self._told[Outcome.CANCELLED],
            timed_out=self._told[Outcome.TIMED_OUT],
            late=self._late,
            bytes=self._bytes,
            bytes_cached=self._bytes_cached,
            cached=self._cached,
            quarantined_peak=self.quarantine.peak,
            quarantined_now=len(self.quarantine),
        )
