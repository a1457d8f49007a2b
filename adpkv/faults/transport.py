"""Wraps a rank's transport. A held transfer behaves as on a faulty back end: its bytes come late or
never, and withdrawing it changes nothing.

One small record per open transfer says how its end is reported, and when. So each kind of fault is
a line or two that change this record, and several faults can hit one transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from msgspec.structs import replace

from adpkv.core.ids import SOON_NS, SessionId
from adpkv.faults.held import DelayedEnds, HeldPosts, OpenTransfer, ReportedAs
from adpkv.faults.injector import CONTACT, Decision, Injector
from adpkv.faults.schedule import Restart, Upcoming
from adpkv.transport.port import EndKind, Proof, Transfer, Transport, TransportEnd

__all__ = ["FaultyTransport", "Note"]

Note = Callable[[int, str, str], None]
"""`note(request, fault, phase)`: called when a fault fired."""

NS_PER_S: Final = 1_000_000_000
_NOT_FINAL: Final = frozenset({EndKind.ERROR, EndKind.LOST})


class FaultyTransport:
    """`transport.port.Transport` around another transport.

    Args:
        inner: the transport that moves the bytes.
        injector: this rank's faults at the transport.
        rank: this rank.
        restarts: the transport restarts of this rank and of its possible peers.
        clock: the clock that the times of faults are read from, in nanoseconds.
        wake: `wake(at_ns)` asks the world to poll this transport at that time.
        note: called for each fault that fired.
        restarted: called with the fault's number when this rank's own transport restarts.
    """

    def __init__(
        self,
        inner: Transport,
        injector: Injector,
        *,
        rank: int,
        clock: Callable[[], int],
        wake: Callable[[int], None],
        note: Note,
        restarts: Upcoming,
        restarted: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.name = inner.name
        self.proofs: Collection[Proof] = inner.proofs
        self.can_withdraw = inner.can_withdraw
        self._inner = inner
        self._injector = injector
        self._rank = rank
        self._clock = clock
        self._note = note
        self._watches = injector.asks(CONTACT, "withdraw")
        """Whether a fault may still hit a post after it was passed on."""
        self._open: dict[SessionId, OpenTransfer] = {}
        """The transfers that a fault has hit, or still may hit."""
        self._held = HeldPosts(wake)
        self._delayed = DelayedEnds(wake)
        self._links: dict[int, int] = {}
        """By peer: the time until which a slow link to it is busy."""
        self._contacts: dict[int, int] = {}
        """By peer: the time from which on it can be written to."""
        self._restarts, self._wake = restarts, wake
        self._restart = restarts.take()
        """The next restart that has not happened yet."""
        self._restarted = restarted
        self._failed: set[int] = set()
        if self._restart is not None:
            wake(self._restart.at_ns)

    # -- operations ----------------------------------------------------------------------------

    def expect(self, transfer: Transfer) -> bool:
        """On the receiver. A fault here changes when and how this side sees the end, or refuses to
        register the blocks."""
        decision = self._decide("expect", transfer.sender, transfer)
        if decision is not None and decision.kind == "refuse_registration":
            return False
        if not self._inner.expect(transfer):
            return False
        if decision is None and self._restart is None:
            return True
        known = self._open[transfer.session] = OpenTransfer(transfer, inside=True)
        if decision is None:
            return True
        if decision.kind in ("delay", "stall"):
            known.until_ns = decision.until_ns
        elif decision.kind == "false_completion":
            self._report_falsely(known, EndKind.DONE, transfer.nbytes)
        else:
            # The bytes may still come, so a failure can only be an error without proof.
            if decision.kind == "handle_error":
                known.reported_as = ReportedAs.FAILED
            self._report(known, EndKind.ERROR)
        return True

    def has_failed(self, rank: int) -> bool:
        """What the inner transport answers."""
        return self._inner.has_failed(rank)

    def post(self, transfer: Transfer) -> None:
        """On the sender. A fault here hits the write itself. Posts to failed ranks are passed on
        without faults."""
        if transfer.receiver in self._failed:
            self._inner.post(transfer)
            return
        decision = self._decide("post", transfer.receiver, transfer)
        if decision is None and not self._watches and self._restart is None:
            self._inner.post(transfer)
            return
        now_ns = self._clock()
        contact_ns = self._contact_ns(transfer, now_ns) if self._injector.slow_contacts else now_ns
        known = self._open[transfer.session] = OpenTransfer(transfer, inside=False)
        kind = "" if decision is None else decision.kind
        if decision is None or kind in ("delay", "stall", "slow_link"):
            until_ns = contact_ns
            if decision is not None:
                until_ns = max(until_ns, self._held_ns(decision, transfer, now_ns))
            if until_ns > now_ns:
                self._held.hold(known, until_ns)
            else:
                self._begin(known)
        elif kind == "handle_error":
            known.reported_as = ReportedAs.FAILED
            self._report(known, EndKind.ERROR)
            self._begin(known)
        elif kind == "false_completion":
            self._end(known, EndKind.DONE, transfer.nbytes)
        elif decision.proven:
            self._end(known, EndKind.FAILED)
        else:
            self._report(known, EndKind.ERROR)

    def withdraw(self, session: SessionId) -> None:
        """Passed on. A transfer that is held back is withdrawn when it is released."""
        known = self._open.get(session)
        if known is None:
            self._inner.withdraw(session)
        elif known.held:
            known.withdrawn = True
        elif known.inside:
            self._withdraw(known)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Passed on."""
        self._inner.peer_ended(session, pieces)

    def poll(self) -> list[TransportEnd]:
        """The ends that the inner transport reports, changed and delayed as the faults say."""
        if not (self._open or self._delayed or self._restart):
            return self._inner.poll()
        now_ns = self._clock()
        self._release_held(now_ns)
        # Delayed ends first: an error that precedes the end of its transfer must be reported first.
        ends = self._delayed.due(now_ns, self._open)
        for end in self._inner.poll():
            self._pass_on_end(end, now_ns, ends)
        restart = self._restart
        while restart is not None and restart.at_ns <= now_ns:
            self._handle_restart(restart, ends)
            restart = self._next_restart(now_ns)
        return ends

    def ready(self) -> bool:
        """Would `poll` report something now, as far as can be known without polling?"""
        if not (self._open or self._delayed or self._restart):
            return self._inner.ready()
        now_ns = self._clock()
        self._release_held(now_ns)
        if self._restart is not None and self._restart.at_ns <= now_ns:
            return True
        return self._delayed.is_due(now_ns) or self._inner.ready()

    def last_moved_ns(self) -> int:
        """What the inner transport answers."""
        return self._inner.last_moved_ns()

    def handle_peer_failure(self, rank: int) -> None:
        """A rank has failed. Transfers with it that the inner transport has open are ended by that
        transport, and their ends are no longer delayed. All other transfers with it are ended
        here."""
        self._failed.add(rank)
        for known in list(self._open.values()):
            transfer = known.transfer
            if known.reported_as is ReportedAs.NEVER or rank not in (
                transfer.sender,
                transfer.receiver,
            ):
                continue
            known.until_ns = 0
            if not known.inside or known.end is not None:
                known.held = False
                self._report(known, EndKind.LOST)
                self._end(known, EndKind.FAILED)

    def close(self) -> None:
        """Forget held transfers, and close the inner transport."""
        self._held.clear()
        self._inner.close()

    # -- how ends are reported -----------------------------------------------------------------

    def _decide(self, phase: str, peer: int, transfer: Transfer) -> Decision | None:
        decision = self._injector.decide(
            phase, peer, transfer.request_id, transfer.attempt, self._clock()
        )
        if decision is not None:
            self._note(transfer.request_id, decision.kind, phase)
        return decision

    def _contact_ns(self, transfer: Transfer, now_ns: int) -> int:
        """The time from which on this peer can be written to. A fault may delay the first post to
        it."""
        peer = transfer.receiver
        if peer not in self._contacts:
            decision = self._injector.decide(
                CONTACT, peer, transfer.request_id, transfer.attempt, now_ns
            )
            self._contacts[peer] = now_ns if decision is None else decision.until_ns
            if decision is not None:
                self._note(transfer.request_id, decision.kind, "post")
        return self._contacts[peer]

    def _held_ns(self, decision: Decision, transfer: Transfer, now_ns: int) -> int:
        rate = decision.bandwidth_bytes_per_s
        if not rate:
            return decision.until_ns
        free_ns = max(self._links.get(transfer.receiver, 0), now_ns)
        free_ns += -(-transfer.nbytes * NS_PER_S // rate)
        self._links[transfer.receiver] = free_ns
        return free_ns

    def _begin(self, known: OpenTransfer) -> None:
        known.inside = True
        self._inner.post(known.transfer)

    def _withdraw(self, known: OpenTransfer) -> None:
        transfer = known.transfer
        lies = known.reported_as is ReportedAs.AS_IT_IS and self._decide(
            "withdraw", transfer.receiver, transfer
        )
        if lies:
            self._report_falsely(known, EndKind.FAILED)
        else:
            self._inner.withdraw(transfer.session)

    def _release_held(self, now_ns: int) -> None:
        for known in self._held.due(now_ns):
            self._begin(known)
            if known.withdrawn:
                self._withdraw(known)

    def _pass_on_end(self, end: TransportEnd, now_ns: int, ends: list[TransportEnd]) -> None:
        """Report an end of the inner transport: unchanged, as another kind of end, later, or
        never."""
        known = self._open.get(end.session)
        if known is None:
            ends.append(end)
        elif end.kind in _NOT_FINAL:
            if known.reported_as is not ReportedAs.NEVER:
                ends.append(end)
        elif known.reported_as is ReportedAs.NEVER:
            del self._open[end.session]
        else:
            if known.reported_as is ReportedAs.FAILED:
                end = replace(end, kind=EndKind.FAILED)
            if known.until_ns > now_ns:
                self._delayed.delay(known, end, known.until_ns)
            else:
                del self._open[end.session]
                ends.append(end)

    def _next_restart(self, now_ns: int) -> Restart | None:
        """Advance to the next restart and ask to be woken for it. Only one is waited for at a time:
        there may be thousands."""
        self._restart = self._restarts.take()
        if self._restart is not None and self._restart.at_ns > now_ns:
            self._wake(self._restart.at_ns)
        return self._restart

    def _handle_restart(self, restart: Restart, ends: list[TransportEnd]) -> None:
        """Each open transfer with the restarted rank loses its peer. It is in doubt until the old
        connection is fenced and the bytes that are in flight have landed."""
        own = restart.rank == self._rank
        if own:
            self._restarted(restart.number)
            self._note(-1, "restart", "")
        for known in list(self._open.values()):
            transfer = known.transfer
            if known.reported_as is ReportedAs.NEVER or not (
                own or restart.rank in (transfer.sender, transfer.receiver)
            ):
                continue
            ends.append(TransportEnd(transfer.session, EndKind.LOST, detail="peer restarted"))
            known.reported_as = ReportedAs.FAILED
            known.until_ns = restart.fenced_ns
            if known.end is not None:
                self._delayed.delay(known, replace(known.end, kind=EndKind.FAILED), known.until_ns)
            elif not known.inside:
                known.held = False
                self._end(known, EndKind.FAILED, at_ns=known.until_ns)
            elif transfer.sender == self._rank:
                self._inner.withdraw(transfer.session)  # what was not written yet never will be

    # Nothing is reported at once: a quiet rank may only learn of it when it is woken for it.

    def _end(self, known: OpenTransfer, kind: EndKind, nbytes: int = 0, at_ns: int = 0) -> None:
        end = TransportEnd(known.transfer.session, kind, nbytes, detail="injected")
        self._delayed.delay(known, end, max(at_ns, self._clock() + SOON_NS))

    def _report(self, known: OpenTransfer, kind: EndKind, nbytes: int = 0) -> None:
        end = TransportEnd(known.transfer.session, kind, nbytes, detail="injected")
        self._delayed.report(end, self._clock() + SOON_NS)

    def _report_falsely(self, known: OpenTransfer, kind: EndKind, nbytes: int = 0) -> None:
        """Report a false end now, and suppress the real one."""
        known.reported_as = ReportedAs.NEVER
        self._report(known, kind, nbytes)
