"""What the fault seam costs where no fault fits: each operation wrapped, beside the same one bare.

The wrapped ones ask an injector with a fault of the right phase that never fits, which is the most
that a transfer or message without a fault meets; a rank that no fault can hit has no seam at all.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns

from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.measuring import without_collector
from adpkv.config.fault_kinds import Seam
from adpkv.config.faults import FaultConfig
from adpkv.core.ids import RequestId, SessionId
from adpkv.executor.messages import Began, Message
from adpkv.executor.ports import Mailbox
from adpkv.faults.injector import Armed, Injector
from adpkv.faults.mailbox import FaultyMailbox
from adpkv.faults.schedule import Upcoming
from adpkv.faults.transport import FaultyTransport
from adpkv.transport.port import EndKind, Transfer, Transport, TransportEnd

__all__ = ["fault_seam"]

MOST_US = 1.0
"""Issue 3, Speed: per operation."""

FAR_NS = 1 << 60


class _Link:
    """A transport on which everything ends at once."""

    name, proofs, can_withdraw = "link", (), True

    def __init__(self) -> None:
        self._ended: list[TransportEnd] = []

    def has_failed(self, rank: int) -> bool:
        return False

    def expect(self, transfer: Transfer) -> bool:
        """It can be received at once."""
        self.post(transfer)
        return True

    def post(self, transfer: Transfer) -> None:
        """It ends at once."""
        self._ended.append(TransportEnd(transfer.session, EndKind.DONE, transfer.nbytes))

    def withdraw(self, session: SessionId) -> None:
        """It has ended already."""

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """It has ended already."""

    def poll(self) -> list[TransportEnd]:
        """What ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def ready(self) -> bool:
        """Has anything ended since the last call?"""
        return bool(self._ended)

    def last_moved_ns(self) -> int:
        """Always now."""
        return 0

    def close(self) -> None:
        """There is nothing to give back."""


class _Box:
    """A mailbox that forgets what it is given."""

    def send(self, to: int, message: Message) -> None:
        """Forget it."""

    def receive(self) -> list[Message]:
        """There is never a message."""
        return []

    def ready(self) -> bool:
        """There is never a message."""
        return False


def _injector(kind: str, seam: Seam) -> Injector:
    fault = FaultConfig.model_validate({"kind": kind, "peers": [1 << 30]})
    return Injector([Armed(0, fault)], 0, seam)


def _ignore(*_: object) -> None:
    return None


def _posts(transport: Transport, transfers: list[Transfer]) -> int:
    """Nanoseconds that posting all takes; what ends is polled off the clock."""
    post = transport.post
    began_ns = perf_counter_ns()
    for transfer in transfers:
        post(transfer)
    took_ns = perf_counter_ns() - began_ns
    transport.poll()
    return took_ns


def _polls(transport: Transport, times: int) -> int:
    """Nanoseconds that so many polls take, of which one has ends to report."""
    transport.post(Transfer(RequestId(0), 0, 0, 1, 0, (1,), (1,), 4096))
    poll = transport.poll
    began_ns = perf_counter_ns()
    for _ in range(times):
        poll()
    return perf_counter_ns() - began_ns


def _sends(mailbox: Mailbox, messages: list[Began]) -> int:
    send = mailbox.send
    began_ns = perf_counter_ns()
    for message in messages:
        send(1, message)
    return perf_counter_ns() - began_ns


def fault_seam(*, operations: int = 20_000, rounds: int = 7) -> list[Figure]:
    """The seam around a transport and a mailbox, in alternating rounds with the bare ones."""
    clock = perf_counter_ns
    link, box = _Link(), _Box()
    faulty = FaultyTransport(
        link,
        _injector("delay", Seam.TRANSPORT),
        rank=0,
        clock=clock,
        wake=_ignore,
        note=_ignore,
        restarts=Upcoming(),
    )
    mailbox = FaultyMailbox(
        box, _injector("lose", Seam.MESSAGES), clock=clock, wake=_ignore, note=_ignore
    )
    transfers = [Transfer(RequestId(n), 0, 0, 1, n, (1,), (1,), 4096) for n in range(operations)]
    messages = [Began(n, 0) for n in range(operations)]
    return [
        _compared(
            "fault seam, post",
            lambda: _posts(link, transfers),
            lambda: _posts(faulty, transfers),
            operations,
            rounds,
        ),
        _compared(
            "fault seam, poll",
            lambda: _polls(link, operations),
            lambda: _polls(faulty, operations),
            operations,
            rounds,
        ),
        _compared(
            "fault seam, messages",
            lambda: _sends(box, messages),
            lambda: _sends(mailbox, messages),
            operations,
            rounds,
        ),
    ]


def _compared(
    name: str,
    bare: Callable[[], float],
    wrapped: Callable[[], float],
    operations: int,
    rounds: int,
) -> Figure:
    bare_ns, wrapped_ns = [], []
    with without_collector():
        for _ in range(rounds):
            bare_ns.append(bare() / operations)
            wrapped_ns.append(wrapped() / operations)
    value, reference = median(wrapped_ns) / 1e3, median(bare_ns) / 1e3
    return figure(
        name,
        value - reference,
        "µs/operation",
        reference=reference,
        against="the bare operation",
        target=Target("value", "<=", MOST_US),
        note="added to the bare operation, by a fault that never fits",
    )
