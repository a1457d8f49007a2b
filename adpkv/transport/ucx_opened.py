"""One open transfer of the UCX transport, and the list of transfers that polling looks at.

Each piece has a tag of its own, so pieces may end in any order. They are counted in order all the
same: what the two sides tell each other is how many of the first pieces were transferred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from adpkv.transport.port import EndKind, Transfer, TransportEnd
from adpkv.transport.ucx_cutting import Cut
from adpkv.transport.ucx_peers import DONE, OPEN, tag_of

__all__ = ["Heads", "Opened"]

SCAN: Final = 8
"""Of the expected transfers of which nothing has come, one poll looks at so many of the newest, and
at one of the others in turn. With 32, and more work for each, 1,023 idle ones took a third of the
rate of a transfer beside them, between devices; with 8 and 8 a tenth."""

LOOK_NS: Final = 2_000
"""And at one more of the others for each time as long since the last look: a poll that comes an
iteration later looks at all, and one that spins spends some 3 % of its time on it."""


PAUSE_NS: Final = 20_000
"""While one of them is coming, the others are looked at no more often than this."""


class Opened:
    """An open transfer: which pieces are posted, ended, or will never be posted. `cut` has all its
    pieces."""

    __slots__ = (
        "cut", "emptied", "finished", "first_tag", "lingering", "moved_bytes", "reason",
        "requests", "sends", "session", "to", "transfer", "wanted", "watched",
    )  # fmt: skip

    def __init__(self, transfer: Transfer, cut: Cut, sends: bool) -> None:
        self.transfer, self.cut, self.sends = transfer, cut, sends
        self.session = transfer.session
        self.first_tag = tag_of(transfer.tag, 0)
        """The tag of the first piece's message."""
        self.to = transfer.receiver if sends else transfer.sender
        self.requests: list[Any] = []
        """The requests of the posted pieces, in order. To drop a request cancels it, and nothing
        tells when that has happened: they stay here until they have ended."""
        self.wanted = cut.count
        """How many pieces will be transferred in all; fewer after a withdrawal or an error."""
        self.finished = 0
        """How many of the first pieces have ended without an error."""
        self.moved_bytes = 0
        self.watched = False
        """Whether it is in `Heads`."""
        self.reason = ""
        """Why it cannot complete; empty if it may."""
        self.lingering: Sequence[Any] = ()
        """Requests beyond `wanted` that have not ended yet."""
        self.emptied: Sequence[int] = ()
        """The tags whose receives were to be ended by empty messages."""

    def peer(self) -> int:
        """The rank at the other end."""
        return self.to

    def is_posted(self) -> bool:
        """Whether no piece is left to be posted."""
        return len(self.requests) >= self.wanted

    def tag(self, piece: int) -> int:
        """The tag of a piece's message."""
        return self.first_tag + piece

    def has_ended(self) -> bool:
        """Whether the first open piece has ended, in whatever way."""
        return self.finished < len(self.requests) and self.requests[self.finished].completed

    def ended_until(self) -> tuple[int, int | None]:
        """The first piece that has not ended well, and the status of its error; None if it has not
        ended."""
        requests, at, count = self.requests, self.finished, len(self.requests)
        while at < count:
            status: int = requests[at].status
            if status != DONE:
                return at, None if status == OPEN else status
            at += 1
        return at, None

    def bytes_between(self, first: int, end: int) -> int:
        """How many bytes the pieces from `first` to before `end` have."""
        cut = self.cut.until(end)
        if end == first + 1:
            return cut[first][2]
        return sum(nbytes for _, _, nbytes in cut[first:end])

    def end_at(self, wanted: int) -> list[int]:
        """No piece from `wanted` on is waited for any more, but the ends of those that are posted.
        Returns the open ones among these."""
        self.wanted = max(wanted, self.finished)
        after = range(self.wanted, len(self.requests))
        open_pieces = [piece for piece in after if not self.requests[piece].completed]
        self.lingering = [*self.lingering, *(self.requests[piece] for piece in open_pieces)]
        del self.requests[self.wanted :]
        return open_pieces

    def is_over(self) -> bool:
        """Whether every request of this transfer has ended."""
        if self.lingering:
            self.lingering = [request for request in self.lingering if not request.completed]
        return self.finished == self.wanted and not self.lingering

    def end(self) -> TransportEnd:
        """What `poll` reports once it is over."""
        done, count = self.finished, self.cut.count
        if self.wanted == count:
            return TransportEnd(self.session, EndKind.DONE, self.moved_bytes, done)
        reason = f": {self.reason}" if self.reason else ""
        detail = f"ended after {done} of {count} pieces{reason}"
        return TransportEnd(self.session, EndKind.FAILED, self.moved_bytes, done, detail)


class Heads:
    """The transfers with posted pieces: polling looks at the first open piece of each. Those that
    are sent, or of which something has come, are all looked at, and so are the newest of the others
    that are expected. The rest take turns, as many of them may be idle: longer ones where polls are
    further apart, so that of 1,000 each is looked at within 2 ms, or in the next poll."""

    def __init__(self) -> None:
        self._sent: list[Opened] = []
        self._coming: list[Opened] = []
        self._expected: list[Opened] = []
        """The oldest first; with the same indices, their first requests."""
        self._firsts: list[Any] = []
        self._at = 0
        """Where the next turn begins."""
        self._looked_ns = 0
        """When the last turn was."""
        self._unseen = 0
        """How many of the expected ones were not looked at since UCX last did anything."""

    def watch(self, found: Opened) -> None:
        """A piece of this transfer was posted: look at it from now on."""
        if not found.watched:
            found.watched = True
            if found.sends:
                self._sent.append(found)
            else:
                self._expected.append(found)
                self._firsts.append(found.requests[0])
        # Its message may have been there, so that it has ended already.
        self._unseen = len(self._expected)

    def forget(self, found: Opened) -> None:
        """Do not look at this transfer any more."""
        if found.watched:
            found.watched = False
            if found.sends:
                self._sent.remove(found)
            elif found in self._coming:
                self._coming.remove(found)
            else:
                self._take(self._expected.index(found))

    def renew(self) -> None:
        """UCX did something: any request may have ended."""
        self._unseen = len(self._expected)

    def ended(self, clock: Callable[[], int]) -> list[Opened]:
        """The transfers whose first open piece has ended; they stay watched. Costs nothing if UCX
        did nothing and all were looked at since."""
        done: list[Opened] = []
        for watched in (self._sent, self._coming):
            for found in watched:
                if found.has_ended():
                    done.append(found)
        if self._unseen > 0:
            now_ns = clock()
            if not self._coming or now_ns - self._looked_ns >= PAUSE_NS:
                done += self._begun(now_ns)
                self._looked_ns = now_ns
        return done

    def _begun(self, now_ns: int) -> list[Opened]:
        """Those expected transfers that were looked at now and of which something has come."""
        firsts = self._firsts
        if len(firsts) == 1:
            # The usual case, in a few calls less.
            self._unseen = 0
            if not firsts[0].completed:
                return []
            self._coming.append(self._take(0))
            return self._coming[-1:]
        newest = max(len(firsts) - SCAN, 0)
        at = [newest + i for i, first in enumerate(firsts[newest:]) if first.completed]
        # A turn ends with the last one, so it may be shorter than the time allows.
        self._unseen = min(self._unseen, newest)
        if newest:
            turn = 1 + (now_ns - self._looked_ns) // LOOK_NS
            begin = self._at if turn < newest and self._at < newest else 0
            end = min(begin + turn, newest)
            self._unseen -= end - begin
            at = [begin + i for i, first in enumerate(firsts[begin:end]) if first.completed] + at
            self._at = end
        begun = [self._take(one) for one in reversed(at)]
        begun.reverse()
        self._coming += begun
        return begun

    def _take(self, at: int) -> Opened:
        del self._firsts[at]
        if at < self._at:
            self._at -= 1
        return self._expected.pop(at)

    def clear(self) -> None:
        """Look at nothing any more."""
        for watched in (self._sent, self._coming, self._expected, self._firsts):
            watched.clear()
