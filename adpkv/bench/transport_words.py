"""The mailbox between the two ranks of `transport`: it carries only how much is unpacked."""

from __future__ import annotations

from array import array

from mpi4py import MPI

from adpkv.core.ids import RequestId
from adpkv.executor.messages import Message, Unpacked
from adpkv.transport.port import TransportEnd
from adpkv.transport.staged import StagedTransport

__all__ = ["Polled", "Words"]

NUMBERS = 3
NBYTES = 8 * NUMBERS


class Words:
    """`executor.ports.Mailbox` over a communicator of its own, as far as it is needed here."""

    def __init__(self, communicator: MPI.Intracomm) -> None:
        self._comm = communicator.Dup()
        self._sent: list[tuple[MPI.Request, array[int]]] = []

    def send(self, to: int, message: Message) -> None:
        """Send without waiting."""
        assert isinstance(message, Unpacked)
        said = array("q", [message.request_id, message.attempt, message.chunks])
        self._sent = [one for one in self._sent if not one[0].Test()]
        self._sent.append((self._comm.Isend([said, NBYTES, MPI.BYTE], to), said))

    def ready(self) -> bool:
        """Whether something has come."""
        return self._comm.Iprobe()

    def receive(self) -> list[Message]:
        """What has come."""
        found: list[Message] = []
        while self.ready():
            said = array("q", bytes(NBYTES))
            self._comm.Recv([said, NBYTES, MPI.BYTE])
            found.append(Unpacked(said[0], said[1], said[2]))
        return found

    def close(self) -> None:
        """Every message has been received by now: both ranks have seen the end of each transfer."""
        MPI.Request.Waitall([request for request, _ in self._sent])
        self._comm.Free()


class Polled:
    """A staged transport whose poll also reads the words, as an executor's iteration does."""

    def __init__(self, staged: StagedTransport, words: Words) -> None:
        self.expect, self.post = staged.expect, staged.post
        self._staged, self._words = staged, words

    def poll(self) -> list[TransportEnd]:
        """The ends since the last call."""
        for word in self._words.receive():
            assert isinstance(word, Unpacked)
            session = (RequestId(word.request_id), word.attempt)
            self._staged.unpacked(session, word.chunks)
        return self._staged.poll()
