"""Tensors that one rank sends to another: which receive takes which message.

Between two ranks and with one tag, messages are received in the order in which they were sent.
A receive from any rank takes one of the first messages of several senders: a choice of the
schedule. Small messages of Gloo are buffered, as its sockets do; NCCL's never are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import torch

from adpkv.rank_programs.letters import Letter, Sought
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.operations import Arrival, Operation, Wait
from adpkv.rank_programs.world import World

__all__ = ["EAGER_BYTES", "Messages", "Received", "Sent"]

EAGER_BYTES: Final = 4096
"""A message of at most so many bytes may be sent before it is received."""


class Sent(Wait):
    """A message that nobody has received yet, or that has been."""

    __slots__ = ("arrival", "data", "group", "source", "tag", "text", "to")

    data: list[Any]

    def __init__(self, group: int, source: int, to: int, tag: int, text: str) -> None:
        super().__init__()
        self.group, self.source, self.to, self.tag, self.text = group, source, to, tag, text
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
        """When the library's patience with the group is over."""
        if self.missing(world) < 0:
            return 0
        return max(1, world.clock_ns + world.groups[self.group].patience_ns)


class Received(Wait):
    """A receive; `source` is the sender's number in the group as soon as that is known."""

    __slots__ = ("arrival", "group", "into", "of", "source", "tag", "to")

    def __init__(self, group: int, to: int, into: list[Any], of: int | None, tag: int) -> None:
        super().__init__()
        self.group, self.to, self.into, self.of, self.tag = group, to, into, of, tag
        self.source = -1
        self.arrival: Arrival

    def missing(self, world: World) -> int:
        """Its sender; one of the members, where that may be any."""
        ranks = world.groups[self.group].ranks
        members = ranks if self.of is None else (ranks[self.of],)
        return next((rank for rank in world.gone if rank in members), -1)

    def told_ns(self, world: World) -> int:
        """When the library's patience with the group is over; from any rank with its timeout."""
        if self.missing(world) < 0:
            return 0
        group = world.groups[self.group]
        wait_ns = group.timeout_ns if self.of is None else group.patience_ns
        return max(1, world.clock_ns + wait_ns)

    def view(self, world: World) -> Sought:
        """The same between ranks of the whole job."""
        ranks = world.groups[self.group].ranks
        source = None if self.of is None else ranks[self.of]
        return Sought(ranks[self.to], source, self.tag, self.group, self.arrival)

    def takes(self, sent: Sent) -> bool:
        """Would it take this message?"""
        return (
            self.group == sent.group
            and self.to == sent.to
            and self.tag == sent.tag
            and self.of in (None, sent.source)
        )


class Messages:
    """Those of one schedule that are not received, and receives that have no message."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent: list[Sent] = []
        self._receives: list[Received] = []
        world.mailboxes.append(self)

    def letters(self) -> Iterator[Letter]:
        """What nobody has received."""
        return (sent.view(self._world) for sent in self._sent)

    def sought(self) -> Iterator[Sought]:
        """The receives that have nothing yet."""
        return (receive.view(self._world) for receive in self._receives)

    def send(self, end: Any, tensors: list[Any], to: int, tag: int, text: str) -> Sent:
        """The member `end` sends to member `to`."""
        tag = _of(end, tag)
        sent = Sent(end._group.number, end.rank(), to, tag, text)
        told = f"{text}, tag {tag}" if tag else text
        sent.arrival = self._note(end._own, f"send to rank {end._global(to)}", told)
        if self._world.on_letter is not None:
            self._world.on_letter(sent.view(self._world))
        eager = end.shown_backend != "nccl" and sum(t.nbytes for t in tensors) <= EAGER_BYTES
        sent.data = [tensor.detach().clone() for tensor in tensors] if eager else tensors
        for receive in self._receives:
            if receive.takes(sent):
                self._receives.remove(receive)
                self._deliver(end, sent, receive)
                return sent
        self._sent.append(sent)
        sent.done = eager and not (self._world.gone and sent.missing(self._world) >= 0)
        return sent

    def receive(self, end: Any, into: list[Any], of: int | None, tag: int) -> Received:
        """The member `end` receives from member `of`; from any if None."""
        tag = _of(end, tag)
        receive = Received(end._group.number, end.rank(), into, of, tag)
        who = "any rank" if of is None else f"rank {end._global(of)}"
        told = f"tag {tag}" if tag else ""
        receive.arrival = self._note(end._own, f"recv from {who}", told)
        first: dict[int, Sent] = {}
        for sent in self._sent:
            if receive.takes(sent):
                first.setdefault(sent.source, sent)
        if not first:
            self._receives.append(receive)
            return receive
        chosen = first[self._world.choose(list(first))]
        self._sent.remove(chosen)
        self._deliver(end, chosen, receive)
        return receive

    def _note(self, rank: Rank, kind: str, text: str) -> Arrival:
        return self._world.note(rank, Operation(kind, (), text), sys._getframe(1))

    def _deliver(self, end: Any, sent: Sent, receive: Received) -> None:
        if self._world.on_taken is not None:
            self._world.on_taken(receive.view(self._world), sent.view(self._world))
        with torch.no_grad():
            for into, what in zip(receive.into, sent.data, strict=False):
                if into.numel() < what.numel() or into.dtype != what.dtype:
                    end.mismatched(
                        f"a message of {sent.text} is received into {list(into.shape)} {into.dtype}"
                    )
                into.detach().view(-1)[: what.numel()].copy_(what.reshape(-1))
        receive.source = sent.source
        sent.done = receive.done = True


def _of(end: Any, tag: int) -> int:
    """NCCL knows no tags."""
    return 0 if end.shown_backend == "nccl" else tag
