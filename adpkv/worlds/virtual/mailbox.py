"""Messages in virtual time: they have a latency, and keep their order between one sender and one
receiver."""

from __future__ import annotations

from collections.abc import Callable

from adpkv.core.ids import COORDINATOR, SOON_NS
from adpkv.core.inbox_age import InboxAge
from adpkv.executor.messages import Message
from adpkv.worlds.virtual.event_queue import MESSAGES, EventQueue

__all__ = ["Latency", "Post", "VirtualMailbox"]

Latency = Callable[[int, int, int, Message], int]
"""(sender, receiver, number of the sender's message, message) -> nanoseconds; the coordinator is
one of them."""

_EMPTY: list[Message] = []


class VirtualMailbox:
    """The mailbox of one rank, or of the coordinator. `inbox_age`, where set, watches how long
    messages lie unread."""

    __slots__ = ("_arrived", "_owner", "_post", "_queue", "inbox_age")

    def __init__(self, owner: int, post: Post) -> None:
        self._owner = owner
        self._post, self._queue = post, post.queue
        self.inbox_age: InboxAge | None = None
        self._arrived: list[Message] = []

    def send(self, to: int, message: Message) -> None:
        """Send to a rank or to `COORDINATOR`."""
        self._post.carry(self._owner, to, message)

    def receive(self) -> list[Message]:
        """All messages that have arrived, oldest first. Callers must not change the list."""
        if not self._arrived:
            return _EMPTY
        arrived, self._arrived = self._arrived, []
        if self.inbox_age is not None:
            self.inbox_age.taken(self._queue.now)
        return arrived

    def ready(self) -> bool:
        """Would `receive` return something now?"""
        return bool(self._arrived)

    def put(self, message: Message) -> None:
        """Deliver a message."""
        if not self._arrived and self.inbox_age is not None:
            self.inbox_age.came(self._queue.now, getattr(message, "request_id", -1))
        self._arrived.append(message)


class Post:
    """Delivers all messages of a world; `on_arrival(rank)` is called for each."""

    def __init__(
        self, queue: EventQueue, latency_ns: int | Latency, on_arrival: Callable[[int], None]
    ) -> None:
        self._latency_ns = SOON_NS if callable(latency_ns) else max(latency_ns, SOON_NS)
        self._latency = latency_ns if callable(latency_ns) else None
        self._is_plain = type(queue) is EventQueue and self._latency is None
        """Whether each message takes `latency_ns`: nobody draws it or chooses another."""
        self.queue = queue
        self._on_arrival = on_arrival
        self._boxes: dict[int, VirtualMailbox] = {}
        self._sent: dict[int, int] = {}
        self._last: dict[tuple[int, int], int] = {}
        """(sender, receiver) -> when the last message arrives, where latencies differ."""
        self._deliver: Callable[[tuple[int, Message]], None] = self._delivered
        """Made once: a method is a new object whenever it is asked for."""

    def box(self, owner: int) -> VirtualMailbox:
        """The mailbox of a rank, or of the coordinator."""
        return self._boxes.setdefault(owner, VirtualMailbox(owner, self))

    def carry(self, sender: int, to: int, message: Message) -> None:
        """Deliver a message after the latency."""
        # The owner of the entry is the sender: its own count keeps its messages in order.
        owner = sender - COORDINATOR
        number = self._sent.get(owner, 0)
        self._sent[owner] = number + 1
        queue = self.queue
        if self._is_plain:
            at_ns = queue.now + self._latency_ns
        elif self._latency is None:
            at_ns = queue.arrival_ns(owner, to, number, self._latency_ns)
        else:
            latency_ns = max(self._latency(sender, to, number, message), SOON_NS)
            at_ns = queue.arrival_ns(owner, to, number, latency_ns)
            # A message never overtakes the one before it.
            at_ns = self._last[sender, to] = max(at_ns, self._last.get((sender, to), 0))
        queue.add(at_ns, MESSAGES, owner, number, self._deliver, (to, message))

    def _delivered(self, what: tuple[int, Message]) -> None:
        to, message = what
        self._boxes[to].put(message)
        on_arrival = self._on_arrival
        on_arrival(to)
