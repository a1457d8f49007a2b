"""Messages between ranks over one communicator, none lost and none twice, also when a rank fails.

MPI keeps the order between one sender and one receiver, and that is all that is needed as long as
nobody fails. a rank failure takes the communicator along, and with it what was on its way between
the living. So where a job outlives rank failures (ULFM), each message is kept until its receiver
has said that it took it: every `ACKNOWLEDGE_EVERY` messages, or when both move to a new
communicator. Order and count are the same on both sides, so a message needs no number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final

from mpi4py import MPI

from adpkv.errors import AdpkvError
from adpkv.worlds.mpi.communicators import RankMap
from adpkv.worlds.mpi.quiesce import owed, poll_until

__all__ = ["ACKNOWLEDGE_EVERY", "MAX_UNSENT", "Endpoint"]

MAX_UNSENT: Final = 65_536
"""Messages that receivers have not taken yet. Reaching it means that one of them stands still."""

ACKNOWLEDGE_EVERY: Final = 64
"""Messages from one sender. Twice as many are kept before it looks for an acknowledgement."""

MESSAGE_TAG: Final = 0
ACKNOWLEDGE_TAG: Final = 1
"""The tags: a message, and how many of one's messages the other has taken so far, as eight
bytes."""

COUNT_BYTES: Final = 8


class Endpoint:
    """Sends and receives bytes on one communicator; the sends stay alive until they are done.

    Two threads of one rank may share it. `broke` is told when MPI reports an error: then nothing is
    sent or received until `move`, and what is to be sent is kept. Without `broke` the error is
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
        """Messages so far on this communicator, by place, acknowledgements included."""
        self._received = 0
        self._taken: dict[int, int] = {}
        """Messages of each rank that this one has taken, ever."""
        self._kept: dict[int, deque[bytes]] = {}
        """The last messages to each rank, of which it is not known that they were taken."""
        self._known: dict[int, int] = {}
        """How many letters of this rank each other has taken, as far as it said so."""

    def send(self, to: int, data: bytes) -> None:
        """Begin to send to a rank; never waits. A failed one's message goes nowhere.

        Raises:
            AdpkvError: too many messages are not taken.
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
                    f"{MAX_UNSENT} messages are not taken by their receivers (now to rank {to})"
                )

    def ready(self) -> bool:
        """Has a message arrived? Never waits."""
        with self._lock:
            return self._ready()

    def take(self) -> bytearray | None:
        """The next message, or None."""
        with self._lock:
            found: list[bytearray] = []
            if self._ready():
                self._guarded(lambda: found.append(self._receive()))
            return found[0] if found else None

    # -- when a rank has failed ------------------------------------------------------------------

    def halt(self) -> dict[int, int]:
        """Send and receive no more until `move`; how many letters of each rank were taken."""
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
        """Go on over another communicator. `taken` says how many letters of this rank each of the
        living has: what it has not is sent again."""
        with self._lock:
            self._comm, self._rank_map, self._broke = communicator, rank_map, broke
            # The revoke ended the old sends; yet their bytes stay where MPI knows them.
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
        """Take in what nobody reads any more, until all is taken and all of this rank's is; every
        rank must come. Errors of MPI are raised from here on."""
        self._closing = True
        due = owed(self._comm, self._sent, "letters")
        poll_until(lambda: self._has_received(due), "the last messages")
        poll_until(lambda: not self.unsent(), "the end of the last messages")

    def unsent(self) -> int:
        """How many sends are unfinished."""
        self._unsent = deque(entry for entry in self._unsent if not entry[0].Test())
        return len(self._unsent)

    def _has_received(self, due: int) -> bool:
        while self._ready():
            self._receive()
        self._hear()
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
        message.Recv([data, len(data), MPI.BYTE])
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
            self._hear()
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

    def _hear(self) -> None:
        """Take in what the others said that they have taken."""
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
