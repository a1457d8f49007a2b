"""Wraps a rank's transport. What a fault holds, it holds as a sick back end would: the bytes come
late or never, and asking it to end changes nothing.

What a transfer's end is told as, and when, is kept in one small record per open transfer. So each
kind of fault is a line or two about that record, and they can happen to one transfer together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from msgspec.structs import replace

from adpkv.core.ids import SOON_NS, SessionId
from adpkv.faults.held import HeldPosts, KeptEnds, Open, Told
from adpkv.faults.injector import CONTACT, Decision, Injector
from adpkv.faults.schedule import Restart, Upcoming
from adpkv.transport.port import EndKind, Proof, Transfer, Transport, TransportEnd

__all__ = ["FaultyTransport", "Note"]

Note = Callable[[int, str, str], None]
"""`note(request, fault, phase)`: a fault fired."""

NS_PER_S: Final = 1_000_000_000
_NOT_FINAL: Final = frozenset({EndKind.ERROR, EndKind.LOST})


class FaultyTransport:
    """`transport.port.Transport` around another one.

    Args:
        inner: the transport that moves the bytes.
        injector: this rank's faults on the wire.
        rank: this rank.
        restarts: those that concern this rank, its own and its peers'.
        clock: the time that faults go by.
        wake: `wake(at_ns)` is asked for whenever something is held until then.
        note: is told of each fault that fired.
        restarted: is told of each restart of this rank's own, by the fault's number.
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
        """Whether what becomes of a post may be decided later."""
        self._open: dict[SessionId, Open] = {}
        """What a fault has hit, or still may."""
        self._held = HeldPosts(wake)
        self._kept = KeptEnds(wake)
        self._links: dict[int, int] = {}
        """Until when a slow link to each peer is taken."""
        self._contacts: dict[int, int] = {}
        """Since when each peer can be written to."""
        self._restarts, self._wake = restarts, wake
        self._restart = restarts.take()
        """The next one that has not come yet."""
        self._restarted = restarted
        self._failed: set[int] = set()
        if self._restart is not None:
            wake(self._restart.at_ns)

    # -- operations ----------------------------------------------------------------------------

    def expect(self, transfer: Transfer) -> bool:
        """Receiver: a fault here concerns when and how this side sees the end, or whether the
        blocks can be promised at all."""
        decision = self._decide("expect", transfer.sender, transfer)
        if decision is not None and decision.kind == "refuse_registration":
            return False
        if not self._inner.expect(transfer):
            return False
        if decision is None and self._restart is None:
            return True
        known = self._open[transfer.session] = Open(transfer, inside=True)
        if decision is None:
            return True
        if decision.kind in ("delay", "stall"):
            known.until_ns = decision.until_ns
        elif decision.kind == "false_completion":
            self._lie(known, EndKind.DONE, transfer.nbytes)
        else:
            # The bytes may still come, so a failure can only be an error without proof.
            if decision.kind == "handle_error":
                known.told = Told.FAILED
            self._say(known, EndKind.ERROR)
        return True

    def has_failed(self, rank: int) -> bool:
        """What the inner transport says."""
        return self._inner.has_failed(rank)

    def post(self, transfer: Transfer) -> None:
        """Sender: a fault here concerns the writing itself. Nothing is written to the failed
        ranks."""
        if transfer.receiver in self._failed:
            self._inner.post(transfer)
            return
        decision = self._decide("post", transfer.receiver, transfer)
        if decision is None and not self._watches and self._restart is None:
            self._inner.post(transfer)
            return
        now_ns = self._clock()
        contact_ns = self._contact_ns(transfer, now_ns) if self._injector.slow_contacts else now_ns
        known = self._open[transfer.session] = Open(transfer, inside=False)
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
            known.told = Told.FAILED
            self._say(known, EndKind.ERROR)
            self._begin(known)
        elif kind == "false_completion":
            self._end(known, EndKind.DONE, transfer.nbytes)
        elif decision.proven:
            self._end(known, EndKind.FAILED)
        else:
            self._say(known, EndKind.ERROR)

    def withdraw(self, session: SessionId) -> None:
        """Passed on; for what is held, once it is held no more."""
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
        """The inner transport's ends, without those that a fault keeps back."""
        if not (self._open or self._kept or self._restart):
            return self._inner.poll()
        now_ns = self._clock()
        self._let_go(now_ns)
        # First what is overdue: an error that was announced before its transfer ended comes before.
        ends = self._kept.due(now_ns, self._open)
        for end in self._inner.poll():
            self._take(end, now_ns, ends)
        restart = self._restart
        while restart is not None and restart.at_ns <= now_ns:
            self._lose(restart, ends)
            restart = self._next_restart(now_ns)
        return ends

    def ready(self) -> bool:
        """Would `poll` report something now, as far as can be told without polling?"""
        if not (self._open or self._kept or self._restart):
            return self._inner.ready()
        now_ns = self._clock()
        self._let_go(now_ns)
        if self._restart is not None and self._restart.at_ns <= now_ns:
            return True
        return self._kept.is_due(now_ns) or self._inner.ready()

    def last_moved_ns(self) -> int:
        """What the inner transport says."""
        return self._inner.last_moved_ns()

    def handle_peer_failure(self, rank: int) -> None:
        """A rank has failed. What the inner transport has open with it, that one ends, and nothing
        of it is kept back; what it knows nothing of, or has ended already, ends here."""
        self._failed.add(rank)
        for known in list(self._open.values()):
            transfer = known.transfer
            if known.told is Told.NEVER or rank not in (transfer.sender, transfer.receiver):
                continue
            known.until_ns = 0
            if not known.inside or known.end is not None:
                known.held = False
                self._say(known, EndKind.LOST)
                self._end(known, EndKind.FAILED)

    def close(self) -> None:
        """Held transfers are forgotten; the inner transport gives everything back."""
        self._held.clear()
        self._inner.close()

    # -- what comes of them --------------------------------------------------------------------

    def _decide(self, phase: str, peer: int, transfer: Transfer) -> Decision | None:
        decision = self._injector.decide(
            phase, peer, transfer.request_id, transfer.attempt, self._clock()
        )
        if decision is not None:
            self._note(transfer.request_id, decision.kind, phase)
        return decision

    def _contact_ns(self, transfer: Transfer, now_ns: int) -> int:
        """Since when this peer can be written to; the first post to it may find it slow."""
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

    def _begin(self, known: Open) -> None:
        known.inside = True
        self._inner.post(known.transfer)

    def _withdraw(self, known: Open) -> None:
        transfer = known.transfer
        lies = known.told is Told.AS_IT_IS and self._decide("withdraw", transfer.receiver, transfer)
        if lies:
            self._lie(known, EndKind.FAILED)
        else:
            self._inner.withdraw(transfer.session)

    def _let_go(self, now_ns: int) -> None:
        for known in self._held.due(now_ns):
            self._begin(known)
            if known.withdrawn:
                self._withdraw(known)

    def _take(self, end: TransportEnd, now_ns: int, ends: list[TransportEnd]) -> None:
        """An end that the inner transport reports: as it is, as another, later or never."""
        known = self._open.get(end.session)
        if known is None:
            ends.append(end)
        elif end.kind in _NOT_FINAL:
            if known.told is not Told.NEVER:
                ends.append(end)
        elif known.told is Told.NEVER:
            del self._open[end.session]
        else:
            if known.told is Told.FAILED:
                end = replace(end, kind=EndKind.FAILED)
            if known.until_ns > now_ns:
                self._kept.keep(known, end, known.until_ns)
            else:
                del self._open[end.session]
                ends.append(end)

    def _next_restart(self, now_ns: int) -> Restart | None:
        """Only the next is waited for: there may be thousands."""
        self._restart = self._restarts.take()
        if self._restart is not None and self._restart.at_ns > now_ns:
            self._wake(self._restart.at_ns)
        return self._restart

    def _lose(self, restart: Restart, ends: list[TransportEnd]) -> None:
        """Every transfer that is open with the restarted rank loses its peer: in doubt until the
        old connection is fenced, and until the bytes that were on their way have ended."""
        own = restart.rank == self._rank
        if own:
            self._restarted(restart.number)
            self._note(-1, "restart", "")
        for known in list(self._open.values()):
            transfer = known.transfer
            if known.told is Told.NEVER or not (
                own or restart.rank in (transfer.sender, transfer.receiver)
            ):
                continue
            ends.append(TransportEnd(transfer.session, EndKind.LOST, detail="peer restarted"))
            known.told = Told.FAILED
            known.until_ns = restart.fenced_ns
            if known.end is not None:
                self._kept.keep(known, replace(known.end, kind=EndKind.FAILED), known.until_ns)
            elif not known.inside:
                known.held = False
                self._end(known, EndKind.FAILED, at_ns=known.until_ns)
            elif transfer.sender == self._rank:
                self._inner.withdraw(transfer.session)  # what was not written yet never will be

    # Nothing is told at once: a rank that is quiet learns of it when it is woken, and no earlier.

    def _end(self, known: Open, kind: EndKind, nbytes: int = 0, at_ns: int = 0) -> None:
        end = TransportEnd(known.transfer.session, kind, nbytes, detail="injected")
        self._kept.keep(known, end, max(at_ns, self._clock() + SOON_NS))

    def _say(self, known: Open, kind: EndKind, nbytes: int = 0) -> None:
        end = TransportEnd(known.transfer.session, kind, nbytes, detail="injected")
        self._kept.mention(end, self._clock() + SOON_NS)

    def _lie(self, known: Open, kind: EndKind, nbytes: int = 0) -> None:
        """Told as an end, and the real one never is."""
        known.told = Told.NEVER
        self._say(known, kind, nbytes)
