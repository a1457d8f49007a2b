"""Faults on the messages between ranks: a message is lost, said twice, late, overtaken, or followed
by the last message about a former owner of its id.

It knows the executor's messages, so the faults of the link (`transport`) are apart from it. What it
holds leaves when the rank next looks into its mailbox, which `wake` causes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from adpkv.executor.messages import (
    Advertise,
    Began,
    CancelTransfer,
    Ended,
    Message,
    NeverStarted,
    PeerMessage,
    Queued,
)
from adpkv.executor.ports import Clock, Mailbox
from adpkv.faults.injector import Decision, Injector
from adpkv.faults.transport import Note

__all__ = ["PHASES", "FaultyMailbox"]

PHASES: Final[dict[type, str]] = {
    Advertise: "advertise",
    Queued: "queued",
    Began: "began",
    Ended: "ended",
    NeverStarted: "never_started",
    CancelTransfer: "cancel",
}
"""What a fault calls each message about a session."""


class _Held:
    """A message on its way out."""

    __slots__ = ("message", "overtakable", "until_ns")

    def __init__(self, message: Message, until_ns: int, overtakable: bool) -> None:
        self.message = message
        self.until_ns = until_ns
        self.overtakable = overtakable
        """The next message to the same rank goes before it."""


class FaultyMailbox:
    """`executor.ports.Mailbox` around another one; faults concern what is sent."""

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
        """What is held for each rank, in the order in which it will leave; no empty ones."""

    def send(self, to: int, message: Message) -> None:
        """Send it, or what a fault makes of it."""
        phase = PHASES.get(type(message))
        if phase is None:
            self._inner.send(to, message)
            return
        about: Any = message
        now_ns = self._clock()
        decision = self._injector.decide(phase, to, about.request_id, about.attempt, now_ns)
        if decision is not None:
            self._send_hit(to, about, phase, decision, now_ns)
        elif self._queues:
            self._put(to, message, now_ns)
        else:
            self._inner.send(to, message)

    def _send_hit(
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
                self._put(to, _of_former_owner(message), now_ns)

    def receive(self) -> list[Message]:
        """What arrived; and what is held here no longer leaves."""
        self._let_go()
        return self._inner.receive()

    def ready(self) -> bool:
        """Would `receive` return something now? What is held here no longer leaves."""
        self._let_go()
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
        _line_up(queue, held)
        if not self._let_go_to(to, now_ns) and held.until_ns > now_ns:
            self._wake(held.until_ns)

    def _let_go(self) -> None:
        if self._queues:
            now_ns = self._clock()
            for to in list(self._queues):
                self._let_go_to(to, now_ns)

    def _let_go_to(self, to: int, now_ns: int) -> bool:
        """Send what is due; says whether nothing is left."""
        queue = self._queues[to]
        while queue and queue[0].until_ns <= now_ns:
            self._inner.send(to, queue.popleft().message)
        if not queue:
            del self._queues[to]
        return not queue


def _of_former_owner(message: PeerMessage) -> PeerMessage:
    """The last message about the id's earlier attempt. Not the same message again: about a session
    that it is true of as well, whoever took it for that one's would do no harm."""
    request_id, former = message.request_id, message.attempt - 1
    if isinstance(message, Advertise | CancelTransfer):
        return CancelTransfer(request_id, former)
    return Ended(request_id, former, 0, "of the id's former owner")


def _line_up(queue: deque[_Held], new: _Held) -> None:
    """The order to one rank is kept, but for who may be overtaken; and that is not held for longer
    than it would have been anyway."""
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
