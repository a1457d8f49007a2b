"""From the end of a session to the end of its request: by this rank alone, or by agreement.

A rank that has a request alone acts at once. If several ranks hold shards of it, each votes for
what it noticed, and all carry out what was agreed (`core.ownership`, contract 5.7).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from adpkv.core.event_lines import Caused
from adpkv.core.ownership import Vote
from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.session import Event, Line, Session, State
from adpkv.core.values import Cause, Outcome
from adpkv.errors import AdpkvError
from adpkv.executor.reasons import cause_of, why

if TYPE_CHECKING:
    from adpkv.executor.serving import Serving

__all__ = ["Decisions"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_COMPLETE: Final = State.COMPLETE
_CACHED: Final = Event.CACHED
_COMPLETED: Final = Outcome.COMPLETED
_FAILED: Final = Outcome.FAILED
_ENDED: Final = RequestState.ENDED

_EVENT_OF = {
    Outcome.CANCELLED: RequestEvent.CANCEL,
    Outcome.TIMED_OUT: RequestEvent.TIMEOUT,
    Outcome.FAILED: RequestEvent.FAILURE,
}

_FAILURES = frozenset({Event.ENDED, Event.ERROR, Event.DEADLINE})
"""What speaks against one of the two ends of a transfer. A wait is too long where there is much to
do, a peer that has failed is known, and a cancel or a stop is nobody's failure."""

NS_PER_S: Final = 1e9


class Decisions:
    """Acts on what happened to one rank's requests while they waited or were in transfer."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._book = serving.transceiver.book
        self._note = serving.recorder.note

    def resolve(self, now_ns: int) -> None:
        """Act on the sessions that the transceiver has resolved since the last call."""
        book = self._book
        if not book.journal:
            return  # without a transition there is nothing to resolve
        self._record_journal()
        resolved = book.resolved
        while resolved:
            session, event, line = resolved.popleft()
            request: ServedRequest | None = session.owner
            if request is not None and request.session is session:
                self._resolve(request, session, event, line, now_ns)
        if book.journal:
            self._record_journal()

    def _resolve(
        self, request: ServedRequest, session: Session, event: Event, line: Line, now_ns: int
    ) -> None:
        if line.state is _COMPLETE:
            wrong = self._serving.received(request, session, now_ns)
            if event is not _CACHED:  # where nothing was moved, nothing is learned
                self._remember(session, now_ns, bool(wrong))
            self.decide(request, _FAILED if wrong else _COMPLETED, now_ns, wrong)
        elif line.outcome is not None:
            if event in _FAILURES:
                self._remember(session, now_ns, failed=True)
            self.decide(request, line.outcome, now_ns, why(event, line), cause_of(event))

    def _remember(self, session: Session, now_ns: int, failed: bool) -> None:
        """What the end of a transfer says about this rank (`core.failure_memory`)."""
        failures, attempt = self._serving.failures, session.session_id
        if not failed:
            if failures.served(attempt, now_ns):
                self._serving.recorder.event("readmitted", attempt[0])
        elif failures.failed(attempt, None if session.refused else session.peer, now_ns):
            pause_s = failures.pause_ns / NS_PER_S
            self._serving.recorder.event("avoided", attempt[0], pause_s=pause_s)

    def decide(
        self,
        request: ServedRequest,
        outcome: Outcome,
        now_ns: int,
        detail: str,
        cause: Cause = Cause.OTHER,
    ) -> None:
        """This rank noticed the outcome of a request that waited or was in transfer: act on it, or
        vote for it. `COMPLETED` means that its KV has arrived."""
        if request.state is _ENDED:
            return  # decided already; only its blocks are still held
        if not self._serving.owner.defer(request.spec.request_id, outcome, detail, cause):
            self._conclude(request, outcome, now_ns, detail, cause)

    def carry_out(self, agreed: Sequence[Vote], cancels: Collection[int], now_ns: int) -> None:
        """Do what all ranks that hold these requests have agreed on.

        Args:
            agreed: the plan's agreed votes.
            cancels: requests that the same plan cancels. They have ended already, and one that had
                no blocks yet is not here any more.

        Raises:
            AdpkvError: another request is not here: the ranks' requests differ.
        """
        for vote in agreed:
            request = self._serving.requests.get(vote.request_id)
            if request is None and vote.request_id in cancels:
                self._serving.owner.acted(vote.request_id)
                continue
            if request is None:
                rank = self._serving.rank
                raise AdpkvError(f"all ranks agreed on {vote}, but rank {rank} has no such")
            if vote.outcome is None:
                self._serving.owner.acted(vote.request_id)
                self._serving.release(request)
            elif request.state is not RequestState.ENDED:  # a cancel came with the same plan
                self._serving.owner.acted(vote.request_id)
                self._conclude(request, vote.outcome, now_ns, vote.detail, vote.cause)

    def _conclude(
        self, request: ServedRequest, outcome: Outcome, now_ns: int, detail: str, cause: Cause
    ) -> None:
        if outcome is _COMPLETED:
            self._serving.arrived(request, now_ns)
        else:
            self._serving.end(request, _EVENT_OF[outcome], now_ns, detail, cause)

    def _record_journal(self) -> None:
        """Write the sessions' transitions to the run's events."""
        journal, note = self._book.journal, self._note
        for session, event, line in journal:
            note(Caused, line.state, session.session_id[0], event)
        journal.clear()
