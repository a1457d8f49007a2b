"""One open transfer of the MPI transport, and the list of pieces that polling tests.

Polling tests only the first open piece of each transfer: MPI matches the pieces of one tag in
order, and a piece that ended early is found as soon as those before it have ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mpi4py import MPI

from adpkv.transport.port import EndKind, Transfer, TransportEnd

__all__ = ["RECENT", "Heads", "Opened", "is_over"]

RECENT: Final = 64
OLDER_NS: Final = 1_000
"""Of the first open pieces so many are tested in each poll. Of the others as many, as soon as so
much time has passed for each; a poll that comes later tests more, and after an iteration all."""


def is_over(request: MPI.Request) -> bool:
    """Whether a request has ended, also with an error, as with a failed peer: in both cases no rank
    touches its bytes any more."""
    try:
        return bool(request.Test())
    except MPI.Exception:
        return True


class Opened:
    """An open transfer: which pieces are posted, finished, or will never be posted. `cut` has all
    its pieces, as `core.content.pieces` gives them."""

    __slots__ = (
        "cut", "finished", "lingering", "moved_bytes", "requests", "sends", "transfer", "wanted",
        "watched",
    )  # fmt: skip

    def __init__(self, transfer: Transfer, cut: list[tuple[int, int, int]], sends: bool) -> None:
        self.transfer, self.cut, self.sends = transfer, cut, sends
        self.requests: list[MPI.Request] = []
        """The requests of the posted pieces, in order."""
        self.wanted = len(cut)
        """How many pieces will be transferred in all; fewer after a withdrawal."""
        self.finished = 0
        """How many pieces have ended."""
        self.moved_bytes = 0
        self.watched = False
        """Whether its first open piece is in `Heads`."""
        self.lingering: list[MPI.Request] = []
        """Requests that were cancelled or given up and have not ended yet."""

    def cancel_from(self, first: int) -> None:
        """Cancel the pieces from `first` on. They end as cancelled, or as received."""
        for request in self.requests[first:]:
            request.Cancel()
            if not is_over(request):
                self.lingering.append(request)
        del self.requests[first:]
        self.wanted = first

    def peer(self) -> int:
        """The rank at the other end."""
        return self.transfer.receiver if self.sends else self.transfer.sender

    def is_posted(self) -> bool:
        """Whether no piece is left to be posted."""
        return len(self.requests) == len(self.cut)

    def open_blocks(self) -> int:
        """How many blocks are posted and have not ended."""
        return sum(count for _, _, count in self.cut[self.finished : len(self.requests)])

    def break_off(self) -> None:
        """The transfer cannot complete: wait only until its open requests have ended."""
        self.lingering += [r for r in self.give_up() if not is_over(r)]

    def give_up(self) -> list[MPI.Request]:
        """End the transfer at once; returns its requests that have not ended."""
        left = self.requests[self.finished :]
        del self.requests[self.finished :]
        self.wanted = self.finished
        return left

    def over(self) -> bool:
        """Whether every request of this transfer has ended."""
        if self.lingering:
            self.lingering = [request for request in self.lingering if not is_over(request)]
        return self.finished == self.wanted and not self.lingering

    def end(self) -> TransportEnd:
        """What `poll` reports once it is over."""
        whole = self.wanted == len(self.cut)
        return TransportEnd(
            self.transfer.session,
            EndKind.DONE if whole else EndKind.FAILED,
            self.moved_bytes,
            self.finished,
            "" if whole else f"ended after {self.finished} of {len(self.cut)} pieces",
        )


class _Tested:
    """Requests, and with the same indices their transfers: Testsome takes a plain list."""

    __slots__ = ("_at", "owners", "requests")

    def __init__(self) -> None:
        self.owners: list[Opened] = []
        self.requests: list[MPI.Request] = []
        self._at = 0
        """Where the next turn begins."""

    def add(self, found: Opened, request: MPI.Request) -> None:
        self.owners.append(found)
        self.requests.append(request)

    def pop(self, at: int) -> tuple[Opened, MPI.Request]:
        """Remove one; the others stay in their order."""
        if at < self._at:
            self._at -= 1
        return self.owners.pop(at), self.requests.pop(at)

    def finished(self) -> list[Opened]:
        # Ended requests are replaced by null; they are dropped at once.
        requests = self.requests
        if len(requests) == 1:
            return self.take([0]) if requests[0].Test() else []
        done = MPI.Request.Testsome(requests) if requests else None
        return self.take(done) if done else []

    def finished_in_turn(self, turn: int) -> list[Opened]:
        """Of the next `turn` of them."""
        count = len(self.requests)
        first = self._at if turn < count and self._at < count else 0
        self._at = min(first + turn, count)
        done = MPI.Request.Testsome(self.requests[first : self._at]) or []
        return self.take([first + at for at in done])

    def ended(self) -> list[Opened]:
        return self.take([at for at, request in enumerate(self.requests) if not request])

    def take(self, done: list[int]) -> list[Opened]:
        owners = [self.owners[at] for at in done]
        for at in sorted(done, reverse=True):
            self.pop(at)[0].watched = False
        return owners


class Heads:
    """The first open piece of each transfer that has one posted.

    To test one takes 16 ns. Where many transfers are open most of them stand still, so all but the
    `RECENT` newest are tested in turns, one for every `OLDER_NS`: 1,023 that stood still took a
    third of the rate from the one that moved. So of 1,000 each is tested within a millisecond, or
    in the next poll.
    """

    def __init__(self) -> None:
        self._recent, self._older = _Tested(), _Tested()
        self._tested_ns = 0
        """When older ones were tested last."""

    def __bool__(self) -> bool:
        return bool(self._recent.owners or self._older.owners)

    def watch(self, found: Opened) -> None:
        """Test the transfer's first open piece from now on, if one is posted."""
        if not found.watched and found.finished < len(found.requests):
            found.watched = True
            recent = self._recent
            recent.owners.append(found)
            recent.requests.append(found.requests[found.finished])
            if len(recent.owners) > RECENT:
                self._older.add(*recent.pop(0))

    def forget(self, found: Opened) -> None:
        """Do not test the transfer's first open piece any more."""
        if found.watched:
            tested = self._recent if found in self._recent.owners else self._older
            tested.take([tested.owners.index(found)])

    def finished(self, clock: Callable[[], int], into: list[Opened]) -> None:
        """Remove the transfers whose first open piece has ended, of those that are tested now, and
        put them into a list.

        Raises:
            MPI.Exception: one of them failed. What is in the list has ended well; others may have
                ended too, and `ended` returns them.
        """
        older = self._older
        if older.owners:
            now_ns = clock()
            turn = (now_ns - self._tested_ns) // OLDER_NS
            if turn >= RECENT or not self._recent.owners:
                self._tested_ns = now_ns
                into += older.finished_in_turn(max(turn, RECENT))
        into += self._recent.finished()

    def ended(self) -> list[Opened]:
        """After an error of `finished`: remove and return the transfers whose first open piece has
        ended, successfully or not. Which it was is not known: MPI has replaced all of them by null,
        and reports only how many failed."""
        return self._recent.ended() + self._older.ended()

    def clear(self) -> None:
        """Test nothing any more."""
        self._recent, self._older = _Tested(), _Tested()
