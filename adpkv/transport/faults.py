"""Faults on the wire: one small seam around any transport. An operation in, a verdict out.

Which faults fit is a matter of rank, peer, request, phase, time window and count; chance is drawn
from the run's seed, keyed by (fault, request, generation, phase) and never by order, so that both
worlds and both ways through a quiet stretch draw the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adpkv.core.ids import NEVER, SessionId
from adpkv.draws import uniform
from adpkv.transport.port import EndKind, Proof, Transfer, Transport, TransportEnd

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.faults import FaultConfig

__all__ = ["FaultyTransport", "Injector", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an operation: held until `until_ns`, or failed."""

    kind: str
    until_ns: int = 0
    proven: bool = True


class Injector:
    """One rank's faults."""

    def __init__(self, faults: list[tuple[int, FaultConfig]], seed: int, rank: int) -> None:
        self._faults = faults
        self._seed = seed
        self._rank = rank
        self._hits: dict[int, int] = {}

    @classmethod
    def of(cls, experiment: Experiment, rank: int) -> Injector | None:
        """The injector of a rank; None where no fault can ever hit it."""
        fitting = [
            (number, fault)
            for number, fault in enumerate(experiment.faults)
            if fault.ranks is None or rank in fault.ranks
        ]
        return cls(fitting, experiment.seed, rank) if fitting else None

    def verdict(self, phase: str, transfer: Transfer, now_ns: int) -> Verdict | None:
        """The first fault that fits and is drawn decides."""
        peer = transfer.receiver if self._rank == transfer.sender else transfer.sender
        for number, fault in self._faults:
            if not _fits(fault, phase, peer, transfer.request_id, now_ns):
                continue
            if fault.count is not None and self._hits.get(number, 0) >= fault.count:
                continue
            drawn = uniform(
                self._seed, "fault", number, transfer.request_id, transfer.generation, phase
            )
            if drawn >= fault.probability:
                continue
            self._hits[number] = self._hits.get(number, 0) + 1
            until_ns = NEVER if fault.duration_ns is None else now_ns + fault.duration_ns
            return Verdict(fault.kind, until_ns, fault.proven)
        return None


def _fits(fault: FaultConfig, phase: str, peer: int, request: int, now_ns: int) -> bool:
    return (
        fault.phase == phase
        and (fault.peers is None or peer in fault.peers)
        and (fault.requests is None or request in fault.requests)
        and fault.after_ns <= now_ns
        and (fault.before_ns is None or now_ns < fault.before_ns)
    )


class FaultyTransport:
    """Wraps a rank's transport. What a fault holds, it holds as a sick back end would: the bytes
    come late or never, and asking it to end changes nothing.

    `wake(at_ns)` is asked for whenever something is held until then; `note(request, fault, phase)`
    is told of each fault that fired.
    """

    def __init__(
        self,
        inner: Transport,
        injector: Injector,
        *,
        clock: Callable[[], int],
        wake: Callable[[int], None],
        note: Callable[[int, str, str], None],
    ) -> None:
        self.name = inner.name
        self.proofs: Collection[Proof] = inner.proofs
        self.can_withdraw = inner.can_withdraw
        self._inner = inner
        self._injector = injector
        self._clock = clock
        self._wake = wake
        self._note = note
        self._held: list[tuple[int, int, int, Transfer]] = []
        self._withdrawn: dict[SessionId, bool] = {}
        self._late: dict[SessionId, int] = {}
        self._kept_back: list[tuple[int, SessionId, int, TransportEnd]] = []
        self._kept = 0

    def expect(self, transfer: Transfer) -> None:
        """Receiver: a fault here concerns when and how this side sees the end."""
        verdict = self._verdict("expect", transfer)
        self._inner.expect(transfer)
        if verdict is None:
            return
        if verdict.kind == "fail":
            # The bytes may still come, so it can only be an error without proof.
            self._make(TransportEnd(transfer.session, EndKind.ERROR, detail="injected"))
        else:
            self._late[transfer.session] = verdict.until_ns

    def post(self, transfer: Transfer) -> None:
        """Sender: a fault here concerns the writing itself."""
        verdict = self._verdict("post", transfer)
        if verdict is None:
            self._inner.post(transfer)
        elif verdict.kind == "fail":
            kind = EndKind.FAILED if verdict.proven else EndKind.ERROR
            self._make(TransportEnd(transfer.session, kind, detail="injected"))
        else:
            self._withdrawn[transfer.session] = False
            entry = (verdict.until_ns, transfer.request_id, transfer.generation, transfer)
            heapq.heappush(self._held, entry)
            self._wake_at(verdict.until_ns)

    def _verdict(self, phase: str, transfer: Transfer) -> Verdict | None:
        verdict = self._injector.verdict(phase, transfer, self._clock())
        if verdict is not None:
            self._note(transfer.request_id, verdict.kind, phase)
        return verdict

    def _make(self, end: TransportEnd) -> None:
        # Not at once: a rank that is quiet learns of it when it is woken, and no earlier.
        self._keep_back(end, self._clock() + 1)

    def _keep_back(self, end: TransportEnd, until_ns: int) -> None:
        self._kept += 1
        heapq.heappush(self._kept_back, (until_ns, end.session, self._kept, end))
        self._wake_at(until_ns)

    def _wake_at(self, at_ns: int) -> None:
        if at_ns < NEVER:
            self._wake(at_ns)

    def withdraw(self, session: SessionId) -> None:
        """Passed on; for what is held, once it is held no more."""
        if session in self._withdrawn:
            self._withdrawn[session] = True
        else:
            self._inner.withdraw(session)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Passed on."""
        self._inner.peer_ended(session, pieces)

    def _let_go(self) -> None:
        now_ns = self._clock()
        while self._held and self._held[0][0] <= now_ns:
            transfer = heapq.heappop(self._held)[3]
            self._inner.post(transfer)
            if self._withdrawn.pop(transfer.session):
                self._inner.withdraw(transfer.session)

    def poll(self) -> list[TransportEnd]:
        """The inner transport's ends, without those that a fault keeps back."""
        self._let_go()
        now_ns = self._clock()
        ends: list[TransportEnd] = []
        # First what is overdue: an error that was announced before its transfer ended comes before.
        while self._kept_back and self._kept_back[0][0] <= now_ns:
            _, session, _, end = heapq.heappop(self._kept_back)
            self._late.pop(session, None)
            ends.append(end)
        for end in self._inner.poll():
            until_ns = self._late.get(end.session, 0)
            if until_ns > now_ns:
                self._keep_back(end, until_ns)
            else:
                ends.append(end)
        return ends

    def ready(self) -> bool:
        """Would `poll` report something now, as far as can be told without polling?"""
        self._let_go()
        now_ns = self._clock()
        due = bool(self._kept_back) and self._kept_back[0][0] <= now_ns
        return due or self._inner.ready()

    def last_moved_ns(self) -> int:
        """The inner wire's word."""
        return self._inner.last_moved_ns()

    def close(self) -> None:
        """Held transfers are forgotten; the inner transport gives everything back."""
        self._held.clear()
        self._inner.close()
