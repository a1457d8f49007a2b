"""What a rank's ports need besides where its KV blocks are on a device.

A device works behind the rank's back, in the order of its stream. Two things follow. What its
checks have found must be asked for: with each poll of the transport. And what a receiver exposes,
blocks or a staging slot, may still be checked, filled or copied by this rank when it advertises it:
the message waits until that is done, or a peer's bytes could come in between. (A sender's transport
waits for `written` itself.)
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from adpkv.executor.messages import Advertise, Message
from adpkv.executor.ports import Mailbox
from adpkv.memory.port import Fence
from adpkv.transport.port import Transport, TransportEnd

__all__ = ["AfterWrites", "DeviceMemory", "PollsMemory", "Written"]


class DeviceMemory(Protocol):
    """What is needed of the memory."""

    def poll(self) -> None:
        """Report what has become known. Never waits."""
        ...


class Written(Protocol):
    """What is needed of what peers touch: of the memory, or of its staging area."""

    def written(self) -> Fence:
        """All of this rank's own work on it so far."""
        ...


class PollsMemory:
    """A transport that polls the memory too; `transport.port.Transport`."""

    def __init__(self, transport: Transport, memory: DeviceMemory) -> None:
        self.name, self.proofs = transport.name, transport.proofs
        self.can_withdraw = transport.can_withdraw
        self.expect, self.has_failed = transport.expect, transport.has_failed
        self.post, self.withdraw = transport.post, transport.withdraw
        self.peer_ended, self.ready = transport.peer_ended, transport.ready
        self.last_moved_ns, self.close = transport.last_moved_ns, transport.close
        self._poll_transport, self._poll_memory = transport.poll, memory.poll

    def poll(self) -> list[TransportEnd]:
        """Poll both."""
        self._poll_memory()
        return self._poll_transport()


class AfterWrites:
    """A mailbox whose `Advertise` messages leave after what this rank has exposed is written.
    Later messages wait behind them, so the order stays. `executor.ports.Mailbox`."""

    def __init__(self, mailbox: Mailbox, exposed: Written) -> None:
        self._mailbox, self._exposed = mailbox, exposed
        self._held: deque[tuple[int, Message, Fence]] = deque()

    def send(self, to: int, message: Message) -> None:
        """Send now, or when the device has done what was put there before."""
        if self._held or isinstance(message, Advertise):
            self._held.append((to, message, self._exposed.written()))
            self._release()
        else:
            self._mailbox.send(to, message)

    def receive(self) -> list[Message]:
        """What has arrived; sends what may be sent by now."""
        self._release()
        return self._mailbox.receive()

    def ready(self) -> bool:
        """Whether `receive` would return something; sends what may be sent by now."""
        self._release()
        return self._mailbox.ready()

    def _release(self) -> None:
        held = self._held
        while held and held[0][2].passed():
            to, message, _ = held.popleft()
            self._mailbox.send(to, message)
