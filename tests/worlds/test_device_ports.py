"""Where KV is on a device: an advertise leaves after what was written before it."""

from __future__ import annotations

from typing import Any

from adpkv.executor.messages import Advertise, Began, CancelTransfer
from adpkv.worlds.mpi.device_ports import AfterWrites, PollsMemory


class Outside:
    """A mailbox, a memory and a transport."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.done, self.written_so_far = 0, 0
        self.polled = 0
        self.name, self.proofs, self.can_withdraw = "mpi", (), True
        self.expect = self.has_failed = self.post = self.withdraw = self.peer_ended = None
        self.last_moved_ns = self.close = None

    def send(self, to: int, message: Any) -> None:
        self.sent.append((to, message))

    def receive(self) -> list[Any]:
        return []

    def ready(self) -> bool:
        return False

    def written(self) -> Any:
        self.written_so_far += 1
        number = self.written_so_far

        class Fence:
            def passed(_) -> bool:  # noqa: N805
                return self.done >= number

        return Fence()

    def poll(self) -> list[Any]:
        self.polled += 1
        return []


def advertise(request_id: int) -> Advertise:
    return Advertise(request_id, 0, 1, 2, (3,))


def test_an_advertise_waits_and_later_messages_stay_behind_it() -> None:
    outside = Outside()
    mailbox = AfterWrites(outside, outside)
    mailbox.send(1, Began(1, 0))
    assert outside.sent == [(1, Began(1, 0))]
    mailbox.send(1, advertise(2))
    mailbox.send(1, CancelTransfer(2, 0))
    mailbox.send(3, advertise(4))
    assert mailbox.receive() == []
    assert len(outside.sent) == 1
    outside.done = 1
    assert not mailbox.ready()
    assert outside.sent[1:] == [(1, advertise(2))]
    outside.done = 3
    mailbox.receive()
    assert outside.sent[2:] == [(1, CancelTransfer(2, 0)), (3, advertise(4))]


def test_nothing_waits_for_a_device_that_is_done() -> None:
    outside = Outside()
    outside.done = 1
    AfterWrites(outside, outside).send(1, advertise(2))
    assert outside.sent == [(1, advertise(2))]


def test_each_poll_of_the_transport_polls_the_memory() -> None:
    transport, memory = Outside(), Outside()
    found: Any = PollsMemory(transport, memory)  # type: ignore[arg-type]
    assert found.poll() == []
    assert (transport.polled, memory.polled) == (1, 1)
