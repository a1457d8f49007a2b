"""What every mailbox must do, as bodies that any implementation can be put through.

A body gets a `Mesh`: ranks and the coordinator, each with a mailbox. Where they live in several
processes each runs the whole body, for the addresses that are `here`; `meet()` is where all have
come to the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from adpkv.core.stop import StopReason
from adpkv.core.values import Outcome, RequestSpec, Response, SenderRef
from adpkv.executor.messages import (
    Admit,
    Advertise,
    Answers,
    Began,
    Cached,
    Cancel,
    CancelTransfer,
    Ended,
    Message,
    NeverStarted,
    Pulse,
    Release,
    Stop,
    Stopped,
)
from adpkv.executor.ports import Mailbox

__all__ = ["BODIES", "EVERY_MESSAGE", "Mesh"]

MESSAGES = 100
MANY = 5_000
"""More than any implementation hands over at once."""

LONG = tuple(range(100_000, 105_000))
"""Blocks of an advertise that is no small message on any link."""

SPEC = RequestSpec(3, 1, 40, 8, (5, -6, 1 << 60), 2, SenderRef(1, (4, 5)))
EVERY_MESSAGE: tuple[Message, ...] = (
    Admit(SPEC),
    Admit(RequestSpec(4, 0, 1, 1)),
    Cancel(3),
    Stop(StopReason(75, "unhealthy: ä", ("no_progress",))),
    Release(StopReason(130, "asked to stop")),
    Advertise(3, 1, 2, 99, (7, 1)),
    Began(3, 1),
    Ended(3, 1, -1, "error"),
    NeverStarted(3, 1, "no such session"),
    CancelTransfer(3, 1),
    Cached(3, 1),
    Answers(0, (Response(3, 1, Outcome.PREFILLED, 1, sender=SenderRef(1, ())),), Pulse(1)),
    Answers(1, ()),
    Stopped(1, StopReason(0)),
)


class Mesh(Protocol):
    """All addresses of a job; the coordinator's is the last."""

    addresses: Sequence[int]
    here: Sequence[int]
    """Those that live in this process."""

    def box(self, address: int) -> Mailbox:
        """The mailbox of an address that is here."""
        ...

    def step(self) -> None:
        """Let a little time or progress pass; an AssertionError when there was enough of it."""
        ...

    def meet(self) -> None:
        """All have come to the same place."""
        ...


def _collect(mesh: Mesh, address: int, count: int) -> list[Message]:
    """So many messages, however they come in."""
    box, found = mesh.box(address), list[Message]()
    while len(found) < count:
        found += box.receive()
        if len(found) < count:
            mesh.step()
    return found


def _ends_empty(mesh: Mesh) -> None:
    mesh.meet()
    for address in mesh.here:
        assert not mesh.box(address).ready(), f"{address} got too much"
        assert list(mesh.box(address).receive()) == []


def check_order_is_kept_for_each_pair(mesh: Mesh) -> None:
    """Everybody writes to everybody, oneself and the coordinator included, nobody's messages goes
    to another, and each receiver gets each sender's in order."""
    for number in range(MESSAGES):
        for sender in mesh.here:
            for to in mesh.addresses:
                mesh.box(sender).send(to, Ended(number, sender, to))
    for address in mesh.here:
        found = _collect(mesh, address, MESSAGES * len(mesh.addresses))
        messages = [m for m in found if isinstance(m, Ended) and m.pieces == address]
        assert len(messages) == len(found), "somebody else's messages"
        for sender in mesh.addresses:
            numbers = [m.request_id for m in messages if m.attempt == sender]
            assert numbers == list(range(MESSAGES)), f"from {sender} to {address}"
    _ends_empty(mesh)


def check_every_message_arrives_as_it_was_sent(mesh: Mesh) -> None:
    """All kinds, with what they hold, from the first rank to everybody and to oneself."""
    if mesh.addresses[0] in mesh.here:
        for to in mesh.addresses:
            for message in EVERY_MESSAGE:
                mesh.box(mesh.addresses[0]).send(to, message)
    for address in mesh.here:
        assert tuple(_collect(mesh, address, len(EVERY_MESSAGE))) == EVERY_MESSAGE
    _ends_empty(mesh)


def check_to_the_coordinator_and_back(mesh: Mesh) -> None:
    """Each asks, and each gets its own answer."""
    *ranks, coordinator = mesh.addresses
    for rank in mesh.here:
        if rank != coordinator:
            mesh.box(rank).send(coordinator, Stopped(rank, StopReason(0)))
    if coordinator in mesh.here:
        for message in _collect(mesh, coordinator, len(ranks)):
            assert isinstance(message, Stopped)
            mesh.box(coordinator).send(message.instance, Cancel(message.instance))
    for rank in mesh.here:
        if rank != coordinator:
            assert _collect(mesh, rank, 1) == [Cancel(rank)]
    _ends_empty(mesh)


def check_long_messages_keep_their_place(mesh: Mesh) -> None:
    """Thousands of block ids travel among small messages, and overtake or are overtaken by none."""
    ring = dict(zip(mesh.addresses, (*mesh.addresses[1:], mesh.addresses[0]), strict=True))
    for address in mesh.here:
        for number in range(10):
            mesh.box(address).send(ring[address], Advertise(number, 0, 0, number, LONG))
            mesh.box(address).send(ring[address], Began(number, 0))
    mesh.meet()
    for address in mesh.here:
        found = _collect(mesh, address, 20)
        assert [type(m) for m in found] == [Advertise, Began] * 10
        assert all(m.blocks == LONG for m in found if isinstance(m, Advertise))
    _ends_empty(mesh)


def check_receive_never_waits(mesh: Mesh) -> None:
    """Where nothing has arrived, nothing is what one gets, as often as one asks."""
    for _ in range(3):
        for address in mesh.here:
            assert not mesh.box(address).ready()
            assert list(mesh.box(address).receive()) == []
        mesh.meet()


def check_ready_announces_what_receive_gives(mesh: Mesh) -> None:
    """True from the arrival until the message is taken, however often it is asked."""
    sender, receiver = mesh.addresses[0], mesh.addresses[-2]
    mesh.meet()
    if sender in mesh.here:
        mesh.box(sender).send(receiver, Cancel(1))
    if receiver in mesh.here:
        box = mesh.box(receiver)
        while not box.ready():
            mesh.step()
        assert box.ready()
        assert list(box.receive()) == [Cancel(1)]
        assert not box.ready()
    _ends_empty(mesh)


def check_who_takes_nothing_holds_up_nobody(mesh: Mesh) -> None:
    """Sending goes on while a receiver stands still, and others get theirs meanwhile."""
    sender, slow, other = mesh.addresses[0], mesh.addresses[-2], mesh.addresses[-1]
    if sender in mesh.here:
        for number in range(MANY):
            mesh.box(sender).send(slow, Began(number, 0))
        mesh.box(sender).send(other, Cancel(7))
    if other in mesh.here:
        assert _collect(mesh, other, 1) == [Cancel(7)]
    mesh.meet()
    if slow in mesh.here:
        found = _collect(mesh, slow, MANY)
        assert found == [Began(number, 0) for number in range(MANY)]
    _ends_empty(mesh)


BODIES: dict[str, Callable[[Mesh], None]] = {
    name.removeprefix("check_"): body
    for name, body in sorted(globals().items())
    if name.startswith("check_")
}
"""Every body by its name."""
