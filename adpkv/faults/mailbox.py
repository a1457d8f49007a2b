"""Faults on messages between ranks: a message is lost, duplicated, delayed, overtaken by the next,
or followed by a stale one about the earlier attempt of the same request id.

This wrapper knows the executor's message types; the transport's wrapper does not. A held message
leaves when the rank next calls `receive` or `ready`; `wake` makes sure that it does so in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from adpkv.executor.messages import (
    Advertise,
    Began,
    Cached,
    CancelTransfer,
    Ended,
    Message,
    NeverStarted,
    PeerMessage,
    Queued,
    Unpacked,
)
from adpkv.executor.ports import Clock, Mailbox
from adpkv.faults.injector import Decision, Injector
from adpkv.faults.transport import Note

__all__ = ["MANY_CHUNKS", "PHASES", "FaultyMailbox"]

PHASES: Final[dict[type, str]] = {
    Advertise: "advertise",
    Cached: "cached",
    Queued: "queued",
    Began: "began",
    Ended: "ended",
    NeverStarted: "never_started",
    CancelTransfer: "cancel",
    Unpacked: "unpacked",
}
"""The name in a fault's `phases` for each type of message about a session."""

MANY_CHUNKS: Final = 1 << 20
"""More than a transfer has: a sender that believed it would post all of its chunks."""


class _Held:
    """A message that is held back before it is sent."""

    __slots__ = ("message", "overtakable", "until_ns")

    def __init__(self, message: Message, until_ns: int, overtakable: bool) -> None:
        self.message = message
        self.until_ns = until_ns
        self.overtakable = overtakable
        """The next message to the same rank is sent before this one."""


class FaultyMailbox:
    """`executor.ports.Mailbox` around another mailbox. Faults hit the messages that this rank
    sends."""

    def __init__(
        self,
        inner: Mailbox,
        injector: Injector,
        *,
        clock: Clock,
        wake: Callable[[int], None],
        note: Note,
    ) -> None:
        self._inner = inner
        self._injector = injector
        self._clock = clock
        self._wake = wake
        self._note = note
        self._queues: dict[int, deque[_Held]] = {}
        """Held messages by receiving rank, in the order in which they will leave. A rank without
        any has no entry."""

    def send(self, to: int, message: Message) -> None:
        """Send the message, or do what the fault that hits it says."""
        phase = PHASES.get(type(message))
        if phase is None:
            self._inner.send(to, message)
            return
        about: Any = message
        now_ns = self._clock()
        decision = self._injector.decide(phase, to, about.request_id, about.attempt, now_ns)
        if decision is not None:
            self._send_faulty(to, about, phase, decision, now_ns)
        elif self._queues:
            self._put(to, message, now_ns)
        else:
            self._inner.send(to, message)

    def _send_faulty(
        self, to: int, message: PeerMessage, phase: str, decision: Decision, now_ns: int
    ) -> None:
        self._note(message.request_id, decision.kind, phase)
        match decision.kind:
            case "lose":
                return
            case "late":
                self._put(to, message, decision.until_ns)
            case "reorder":
                self._put(to, message, decision.until_ns, overtakable=True)
            case "duplicate":
                self._put(to, message, now_ns)
                self._put(to, message, now_ns)
            case "former_owner":
                self._put(to, message, now_ns)
                self._put(to, _stale_message(message), now_ns)

    def receive(self) -> list[Message]:
        """The messages that have arrived. Held messages whose time has come are sent first."""
        self._release_due()
        return self._inner.receive()

    def ready(self) -> bool:
        """Would `receive` return something now? Held messages whose time has come are sent
        first."""
        self._release_due()
        return self._inner.ready()

    def _put(self, to: int, message: Message, until_ns: int, *, overtakable: bool = False) -> None:
        queue = self._queues.get(to)
        now_ns = self._clock()
        if queue is None:
            if until_ns <= now_ns:
                self._inner.send(to, message)
                return
            queue = self._queues[to] = deque()
        held = _Held(message, until_ns, overtakable)
        _insert(queue, held)
        if not self._release_due_to(to, now_ns) and held.until_ns > now_ns:
            self._wake(held.until_ns)

    def _release_due(self) -> None:
        if self._queues:
            now_ns = self._clock()
            for to in list(self._queues):
                self._release_due_to(to, now_ns)

    def _release_due_to(self, to: int, now_ns: int) -> bool:
        """Send the held messages that are due; returns whether none is left for this rank."""
        queue = self._queues[to]
        while queue and queue[0].until_ns <= now_ns:
            self._inner.send(to, queue.popleft().message)
        if not queue:
            del self._queues[to]
        return not queue


def _stale_message(message: PeerMessage) -> PeerMessage:
    """A stale message about the id's earlier attempt. It is not a copy of `message`: a copy would
    be harmless even for a receiver that confuses the two attempts, since it is true of the new one
    too."""
    request_id, former = message.request_id, message.attempt - 1
    if isinstance(message, Advertise | Cached | CancelTransfer):
        return CancelTransfer(request_id, former)
    if isinstance(message, Unpacked):
        return Unpacked(request_id, former, MANY_CHUNKS)
    return Ended(request_id, former, 0, "of the id's former owner")


def _insert(queue: deque[_Held], new: _Held) -> None:
    """Append a message to a rank's queue. Order is kept, but a message that may be overtaken is
    placed behind the new one, without delaying the new one further than its own time."""
    last = queue[-1] if queue else None
    if last is not None and last.overtakable and new.until_ns <= last.until_ns:
        queue.pop()
        new.until_ns = max(new.until_ns, queue[-1].until_ns if queue else 0)
        last.until_ns, last.overtakable = new.until_ns, False
        queue.extend((new, last))
        return
    if last is not None:
        new.until_ns = max(new.until_ns, last.until_ns)
    queue.append(new)
