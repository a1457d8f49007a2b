"""Messages between ranks by communicator, sender and tag: which receive takes which.

Between two ranks messages do not overtake each other. A receive from any source takes the first
message of one of several senders: a choice of the schedule. Small messages are buffered, as every
MPI does; larger ones wait for their receive.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from adpkv.rank_programs.letters import Letter, Sought
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.operations import Arrival, Operation, Wait
from adpkv.rank_programs.world import World

__all__ = ["ANY", "EAGER_BYTES", "Message", "Messages", "Receive"]

EAGER_BYTES: Final = 4096
"""A message of at most so many bytes may be sent before it is received: what Open MPI does within a
host."""

ANY: Final = -1
"""Any source, or any tag."""


class Message(Wait):
    """A message."""

    __slots__ = ("arrival", "data", "group", "nbytes", "source", "tag", "to")

    def __init__(self, group: int, source: int, to: int, tag: int, data: Any, nbytes: int) -> None:
        super().__init__()
        self.group, self.source, self.to, self.tag = group, source, to, tag
        self.data, self.nbytes = data, nbytes
        self.arrival: Arrival

    def view(self, world: World) -> Letter:
        """The same between ranks of the whole job."""
        ranks = world.groups[self.group].ranks
        return Letter(ranks[self.source], ranks[self.to], self.tag, self.group, self.arrival)

    def missing(self, world: World) -> int:
        """Its receiver."""
        to = world.groups[self.group].ranks[self.to]
        return to if to in world.gone else -1

    def told_ns(self, world: World) -> int:
        """At once."""
        told = world.groups[self.group].revoked or self.missing(world) >= 0
        return max(1, world.clock_ns) if told else 0


class Receive(Wait):
    """A receive, or a probe; `message` is what it has got."""

    __slots__ = (
        "arrival", "claims", "deliver", "group", "message", "probes", "source", "tag", "to",
    )  # fmt: skip

    def __init__(self, group: int, to: int, source: int, tag: int) -> None:
        super().__init__()
        self.group, self.to, self.source, self.tag = group, to, source, tag
        self.deliver: Callable[[Message], None] | None = None
        self.probes = False
        """It leaves the message where it is."""
        self.claims = False
        """It is a probe that keeps the message for whoever asked."""
        self.message: Message | None = None
        self.arrival: Arrival

    def missing(self, world: World) -> int:
        """Its sender; one of the members, where that may be any."""
        ranks = world.groups[self.group].ranks
        members = ranks if self.source == ANY else (ranks[self.source],)
        return next((rank for rank in world.gone if rank in members), -1)

    def told_ns(self, world: World) -> int:
        """At once."""
        told = world.groups[self.group].revoked or self.missing(world) >= 0
        return max(1, world.clock_ns) if told else 0

    def view(self, world: World) -> Sought:
        """The same between ranks of the whole job."""
        ranks = world.groups[self.group].ranks
        source = None if self.source == ANY else ranks[self.source]
        tag = None if self.tag == ANY else self.tag
        return Sought(ranks[self.to], source, tag, self.group, self.arrival)

    def takes(self, message: Message) -> bool:
        """Would it take this message?"""
        return (
            self.group == message.group
            and self.to == message.to
            and self.source in (ANY, message.source)
            and self.tag in (ANY, message.tag)
        )


class Messages:
    """The messages of one schedule that nobody has received, and receives that have none."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._messages: list[Message] = []
        self._receives: list[Receive] = []
        self._claimed: list[Message] = []
        """Kept for somebody who has not received them yet."""
        world.mailboxes.append(self)

    def letters(self) -> Iterator[Letter]:
        """What nobody has received."""
        left = (*self._messages, *self._claimed)
        return (message.view(self._world) for message in left)

    def sought(self) -> Iterator[Sought]:
        """The receives that have nothing yet."""
        return (receive.view(self._world) for receive in self._receives)

    def send(self, rank: Rank, message: Message, kind: str, text: str, *, eager: bool) -> None:
        """A rank sends; the message is done once it may go on."""
        message.arrival = self.note(rank, kind, text)
        if self._world.on_letter is not None:
            self._world.on_letter(message.view(self._world))
        kept = self._messages
        for receive in list(self._receives):
            if receive.takes(message):
                self._receives.remove(receive)
                receive.message, receive.done = message, True
                self._taken(receive, message)
                if not receive.probes:
                    self._deliver(receive, message)
                    return
                if receive.claims:
                    kept = self._claimed
                    break
        kept.append(message)
        message.done = eager and not (self._world.gone and message.missing(self._world) >= 0)

    def receive(self, rank: Rank, receive: Receive, kind: str, text: str) -> None:
        """A rank receives, or probes; done once it has a message."""
        receive.arrival = self.note(rank, kind, text)
        message = self.find(receive)
        if message is None:
            self._receives.append(receive)
            return
        receive.message, receive.done = message, True
        self._taken(receive, message)
        if receive.claims:
            self.claim(message)
        elif not receive.probes:
            self._messages.remove(message)
            self._deliver(receive, message)

    def claim(self, message: Message) -> None:
        """Nobody else can receive it any more."""
        self._messages.remove(message)
        self._claimed.append(message)

    def take(self, rank: Rank, message: Message, kind: str, text: str) -> Arrival:
        """A rank receives what it has claimed."""
        arrival = self.note(rank, kind, text)
        self._claimed.remove(message)
        message.done = True
        return arrival

    def find(self, receive: Receive) -> Message | None:
        """The message that it takes now; which one, is a choice where several senders have one."""
        first: dict[int, Message] = {}
        for message in self._messages:
            if receive.takes(message):
                first.setdefault(message.source, message)
        return first[self._world.choose(list(first))] if first else None

    def cancel(self, receive: Receive) -> None:
        """It takes nothing any more."""
        if receive in self._receives:
            self._receives.remove(receive)
        receive.done = True

    def note(self, rank: Rank, kind: str, text: str) -> Arrival:
        """One operation of a rank, with its line."""
        return self._world.note(rank, Operation(kind, (), text), sys._getframe(1))

    def looked(self, rank: Rank, sought: Receive, kind: str, text: str, message: Message) -> None:
        """A rank that asked has been told of this message."""
        if self._world.on_taken is not None:
            code, line = self._world.files.place(sys._getframe(1))
            sought.arrival = Arrival(rank.number, Operation(kind, (), text), None, code, line)
            self._taken(sought, message)

    def _taken(self, receive: Receive, message: Message) -> None:
        if self._world.on_taken is not None:
            self._world.on_taken(receive.view(self._world), message.view(self._world))

    def _deliver(self, receive: Receive, message: Message) -> None:
        message.done = True
        if receive.deliver is not None:
            receive.deliver(message)
