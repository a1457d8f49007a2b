"""Messages between ranks over one communicator: none is lost or delivered twice, even if a rank
fails.

MPI keeps the order between one sender and one receiver; without failures nothing more is needed. A
rank failure breaks the communicator, and loses the messages in flight between living ranks. So
where a job survives rank failures (ULFM), a sender keeps each message until its receiver has
acknowledged it: after every `ACKNOWLEDGE_EVERY` messages, or when both move to a new communicator.
Both sides count in the same order, so messages need no numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from os import sched_yield
from threading import Lock
from typing import Final

from mpi4py import MPI

from adpkv.errors import AdpkvError
from adpkv.worlds.mpi.communicators import RankMap
from adpkv.worlds.mpi.quiesce import owed, poll_until

__all__ = ["ACKNOWLEDGE_EVERY", "MAX_UNSENT", "Endpoint"]

MAX_UNSENT: Final = 65_536
"""The most messages that receivers have not received yet. More mean that one of them is stuck."""

ACKNOWLEDGE_EVERY: Final = 64
"""Messages from one sender per acknowledgement. A sender keeps twice as many before it looks for
one."""

MESSAGE_TAG: Final = 0
ACKNOWLEDGE_TAG: Final = 1
"""The tags: a message, and an acknowledgement. An acknowledgement is how many messages of its
receiver the sender has received so far, as eight bytes."""

COUNT_BYTES: Final = 8


class Endpoint:
    """Sends and receives bytes on one communicator. Send buffers are kept until MPI has sent them.

    Two threads of one rank may share it. `broke` is called when MPI reports an error: then nothing
    is sent or received until `move`, and messages to send are kept. Without `broke` the error is
    raised, and nothing is kept.
    """

    def __init__(
        self,
        communicator: MPI.Intracomm,
        rank_map: RankMap | None = None,
        broke: Callable[[], None] | None = None,
    ) -> None:
        self._comm, self._broke = communicator, broke
        self._rank_map = rank_map or RankMap(range(communicator.size))
        self._lock = Lock()
        self._broken = self._closing = False
        self._unsent: deque[tuple[MPI.Request, bytes]] = deque()
        self._for_failed: list[deque[tuple[MPI.Request, bytes]]] = []
        self._matched: MPI.Message | None = None
        self._status = MPI.Status()
        self._sent = [0] * communicator.size
        """Messages sent so far on this communicator, by MPI rank, acknowledgements included."""
        self._received = 0
        self._taken: dict[int, int] = {}
        """By rank: how many of its messages this rank has received, on all communicators."""
        self._kept: dict[int, deque[bytes]] = {}
        """By rank: the last messages to it that it has not acknowledged."""
        self._known: dict[int, int] = {}
        """By rank: how many of this rank's messages it has acknowledged."""

    def send(self, to: int, data: bytes) -> None:
        """Start to send to a rank; never blocks. A message to a failed rank is dropped.

        Raises:
            AdpkvError: too many messages have not been received.
        """
        with self._lock:
            place = self._rank_map.place(to)
            if place is None:
                return
            kept = self._kept.setdefault(to, deque())
            if self._broke is not None:
                kept.append(data)
            if not self._broken:
                self._guarded(lambda: self._dispatch(place, data, len(kept)))
            if max(len(self._unsent), len(kept)) > MAX_UNSENT:
                raise AdpkvError(
                    f"{MAX_UNSENT} messages were not received (the last one is to rank {to})"
                )

    def ready(self) -> bool:
        """Has a message arrived? Never blocks."""
        with self._lock:
            return self._ready()

    def take(self) -> bytearray | None:
        """The next message, or None."""
        with self._lock:
            found: list[bytearray] = []
            # A probe looks, and only then lets Open MPI take in what has come. Where nothing else
            # calls MPI, as with collectives through shared memory, one look is an iteration late.
            if self._ready() or self._ready():
                self._guarded(lambda: found.append(self._receive()))
            return found[0] if found else None

    # -- when a rank has failed ------------------------------------------------------------------

    def stop(self) -> dict[int, int]:
        """Stop sending and receiving until `move`; returns how many messages of each rank were
        received."""
        with self._lock:
            self._broken, self._matched = True, None
            return dict(self._taken)

    def move(
        self,
        communicator: MPI.Intracomm,
        rank_map: RankMap,
        broke: Callable[[], None],
        taken: Mapping[int, int],
    ) -> None:
        """Go on over another communicator. `taken` says how many of this rank's messages each
        living rank has received; the others are sent again."""
        with self._lock:
            self._comm, self._rank_map, self._broke = communicator, rank_map, broke
            # The revoke ended the old sends, but MPI may still refer to their buffers: keep them.
            self._for_failed.append(self._unsent)
            self._unsent = deque()
            self._sent, self._received = [0] * communicator.size, 0
            self._broken = self._closing = False
            for rank in [rank for rank in self._kept if rank_map.place(rank) is None]:
                del self._kept[rank]
            for rank, count in taken.items():
                self._taken_by(rank, count)
            self._guarded(self._send_again)

    # -- at the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Receive and drop what no rank reads any more, until all messages to and from this rank
        were received. Every rank must call it. Errors of MPI are raised from here on."""
        self._closing = True
        due = owed(self._comm, self._sent, "messages")
        poll_until(lambda: self._has_received(due), "the last messages")
        poll_until(lambda: not self.unsent(), "the end of the last messages")

    def unsent(self) -> int:
        """How many sends are unfinished."""
        self._unsent = deque(entry for entry in self._unsent if not entry[0].Test())
        return len(self._unsent)

    def _has_received(self, due: int) -> bool:
        while self._ready():
            self._receive()
        self._receive_acknowledgements()
        return self._received >= due

    # -- one thread at a time ------------------------------------------------------------------

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except MPI.Exception:
            if self._broke is None or self._closing:
                raise
            self._broken, self._matched = True, None
            self._broke()

    def _ready(self) -> bool:
        if self._matched is None and not self._broken:
            try:
                self._matched = self._comm.Improbe(MPI.ANY_SOURCE, MESSAGE_TAG, self._status)
            except MPI.Exception:
                if self._broke is None or self._closing:
                    raise
                self._broken = True
                self._broke()
        return self._matched is not None

    def _receive(self) -> bytearray:
        message, self._matched = self._matched, None
        assert message is not None
        data = bytearray(self._status.Get_count(MPI.BYTE))
        place = self._status.Get_source()
        request = message.Irecv([data, len(data), MPI.BYTE])
        while not request.Test():
            sched_yield()  # a long one is fetched from its sender, which may need this core for it
        self._received += 1
        rank = self._rank_map.ranks[place]
        count = self._taken[rank] = self._taken.get(rank, 0) + 1
        if self._broke is not None and count % ACKNOWLEDGE_EVERY == 0 and not self._closing:
            self._begin(place, count.to_bytes(COUNT_BYTES, "little"), ACKNOWLEDGE_TAG)
        return data

    def _dispatch(self, place: int, data: bytes, kept: int) -> None:
        unsent = self._unsent
        while unsent and unsent[0][0].Test():
            unsent.popleft()
        if kept > 2 * ACKNOWLEDGE_EVERY:
            self._receive_acknowledgements()
        self._begin(place, data, MESSAGE_TAG)

    def _send_again(self) -> None:
        for rank, messages in self._kept.items():
            place = self._rank_map.place(rank)
            assert place is not None
            for data in messages:
                self._begin(place, data, MESSAGE_TAG)

    def _begin(self, place: int, message: bytes, tag: int) -> None:
        request = self._comm.Isend([message, len(message), MPI.BYTE], place, tag)
        self._sent[place] += 1
        if not request.Test():
            self._unsent.append((request, message))

    def _receive_acknowledgements(self) -> None:
        """Receive the acknowledgements that have arrived."""
        while self._comm.Iprobe(MPI.ANY_SOURCE, ACKNOWLEDGE_TAG, self._status):
            place, said = self._status.Get_source(), bytearray(COUNT_BYTES)
            self._comm.Recv([said, COUNT_BYTES, MPI.BYTE], place, ACKNOWLEDGE_TAG)
            self._received += 1
            self._taken_by(self._rank_map.ranks[place], int.from_bytes(said, "little"))

    def _taken_by(self, rank: int, count: int) -> None:
        kept, known = self._kept.get(rank), self._known.get(rank, 0)
        self._known[rank] = count
        for _ in range(count - known if kept else 0):
            kept.popleft()  # type: ignore[union-attr]
