"""Letters between ranks over one communicator, none lost and none twice, also when a rank dies.

MPI keeps the order between one sender and one receiver, and that is all that is needed as long as
nobody dies. A death takes the communicator along, and with it what was on its way between the
living. So where a job outlives deaths (ULFM), each letter is kept until its receiver has said that
it took it: every `ACKNOWLEDGE_EVERY` letters, or when both move to a new communicator. Order and
count are the same on both sides, so a letter needs no number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final

from mpi4py import MPI

from adpkv.errors import AdpkvError
from adpkv.worlds.mpi.closing import await_that, owed
from adpkv.worlds.mpi.wires import Seats

__all__ = ["ACKNOWLEDGE_EVERY", "MAX_UNSENT", "Endpoint"]

MAX_UNSENT: Final = 65_536
"""Messages that receivers have not taken yet. Reaching it means that one of them stands still."""

ACKNOWLEDGE_EVERY: Final = 64
"""Letters from one sender. Twice as many are kept before it looks for an acknowledgement."""

LETTER: Final = 0
TAKEN: Final = 1
"""The tags: a letter, and how many of one's letters the other has taken so far, as eight bytes."""

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
        seats: Seats | None = None,
        broke: Callable[[], None] | None = None,
    ) -> None:
        self._comm, self._broke = communicator, broke
        self._seats = seats or Seats(range(communicator.size))
        self._lock = Lock()
        self._broken = self._closing = False
        self._unsent: deque[tuple[MPI.Request, bytes]] = deque()
        self._buried: list[deque[tuple[MPI.Request, bytes]]] = []
        self._matched: MPI.Message | None = None
        self._status = MPI.Status()
        self._sent = [0] * communicator.size
        """Messages so far on this communicator, by place, acknowledgements included."""
        self._received = 0
        self._taken: dict[int, int] = {}
        """Letters of each rank that this one has taken, ever."""
        self._kept: dict[int, deque[bytes]] = {}
        """The last letters to each rank, of which it is not known that they were taken."""
        self._known: dict[int, int] = {}
        """How many letters of this rank each other has taken, as far as it said so."""

    def send(self, to: int, letter: bytes) -> None:
        """Begin to send to a rank; never waits. A dead one's letter goes nowhere.

        Raises:
            AdpkvError: too many letters are not taken.
        """
        with self._lock:
            place = self._seats.place(to)
            if place is None:
                return
            kept = self._kept.setdefault(to, deque())
            if self._broke is not None:
                kept.append(letter)
            if not self._broken:
                self._guarded(lambda: self._dispatch(place, letter, len(kept)))
            if max(len(self._unsent), len(kept)) > MAX_UNSENT:
                raise AdpkvError(
                    f"{MAX_UNSENT} messages are not taken by their receivers (now to rank {to})"
                )

    def ready(self) -> bool:
        """Has a letter arrived? Never waits."""
        with self._lock:
            return self._ready()

    def take(self) -> bytearray | None:
        """The next letter, or None."""
        with self._lock:
            found: list[bytearray] = []
            if self._ready():
                self._guarded(lambda: found.append(self._receive()))
            return found[0] if found else None

    # -- when a rank has died ------------------------------------------------------------------

    def halt(self) -> dict[int, int]:
        """Send and receive no more until `move`; how many letters of each rank were taken."""
        with self._lock:
            self._broken, self._matched = True, None
            return dict(self._taken)

    def move(
        self,
        communicator: MPI.Intracomm,
        seats: Seats,
        broke: Callable[[], None],
        taken: Mapping[int, int],
    ) -> None:
        """Go on over another communicator. `taken` says how many letters of this rank each of the
        living has: what it has not is sent again."""
        with self._lock:
            self._comm, self._seats, self._broke = communicator, seats, broke
            # The revoke ended the old sends; yet their bytes stay where MPI knows them.
            self._buried.append(self._unsent)
            self._unsent = deque()
            self._sent, self._received = [0] * communicator.size, 0
            self._broken = self._closing = False
            for rank in [rank for rank in self._kept if seats.place(rank) is None]:
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
        await_that(lambda: self._has_received(due), "the last letters")
        await_that(lambda: not self.unsent(), "the end of the last letters")

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
                self._matched = self._comm.Improbe(MPI.ANY_SOURCE, LETTER, self._status)
            except MPI.Exception:
                if self._broke is None or self._closing:
                    raise
                self._broken = True
                self._broke()
        return self._matched is not None

    def _receive(self) -> bytearray:
        message, self._matched = self._matched, None
        assert message is not None
        letter = bytearray(self._status.Get_count(MPI.BYTE))
        place = self._status.Get_source()
        message.Recv([letter, len(letter), MPI.BYTE])
        self._received += 1
        rank = self._seats.ranks[place]
        count = self._taken[rank] = self._taken.get(rank, 0) + 1
        if self._broke is not None and count % ACKNOWLEDGE_EVERY == 0 and not self._closing:
            self._begin(place, count.to_bytes(COUNT_BYTES, "little"), TAKEN)
        return letter

    def _dispatch(self, place: int, letter: bytes, kept: int) -> None:
        unsent = self._unsent
        while unsent and unsent[0][0].Test():
            unsent.popleft()
        if kept > 2 * ACKNOWLEDGE_EVERY:
            self._hear()
        self._begin(place, letter, LETTER)

    def _send_again(self) -> None:
        for rank, letters in self._kept.items():
            place = self._seats.place(rank)
            assert place is not None
            for letter in letters:
                self._begin(place, letter, LETTER)

    def _begin(self, place: int, message: bytes, tag: int) -> None:
        request = self._comm.Isend([message, len(message), MPI.BYTE], place, tag)
        self._sent[place] += 1
        if not request.Test():
            self._unsent.append((request, message))

    def _hear(self) -> None:
        """Take in what the others said that they have taken."""
        while self._comm.Iprobe(MPI.ANY_SOURCE, TAKEN, self._status):
            place, said = self._status.Get_source(), bytearray(COUNT_BYTES)
            self._comm.Recv([said, COUNT_BYTES, MPI.BYTE], place, TAKEN)
            self._received += 1
            self._taken_by(self._seats.ranks[place], int.from_bytes(said, "little"))

    def _taken_by(self, rank: int, count: int) -> None:
        kept, known = self._kept.get(rank), self._known.get(rank, 0)
        self._known[rank] = count
        for _ in range(count - known if kept else 0):
            kept.popleft()  # type: ignore[union-attr]
