"""Where sessions wait whose client has its answer, but whose blocks are not proven quiescent.

Bounded by the in-flight limits per peer (contract 4.3), counted, visible. Entries keep the order in
which they came, so the oldest is the first.
"""

from __future__ import annotations

from collections import OrderedDict

from adpkv.core.ids import NEVER, SessionId

__all__ = ["ASKS", "Quarantine"]

ASKS = 4
"""How often a receiver in doubt cancels again within one progress deadline. Mail can be lost, and
one lost word must not keep blocks for ever, nor make a rank ill (contract 2.3, 4.2). Afterwards
each time after such a part of its doubt, which may last for years."""


class Quarantine:
    """Sessions in doubt, by when they came."""

    __slots__ = ("_since", "longest", "moved_ns", "peak")

    def __init__(self) -> None:
        # An OrderedDict finds its first entry in O(1) however many left before it; a dict does not.
        self._since: OrderedDict[SessionId, int] = OrderedDict()
        self.moved_ns = NEVER
        """When an entry last ended or heard from its peer, or the first one came; NEVER before."""
        self.peak = 0
        self.longest: tuple[int, SessionId] | None = None
        """The longest stay of an entry that has ended, and whose it was."""

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, session: SessionId) -> bool:
        return session in self._since

    def add(self, session: SessionId, now_ns: int) -> None:
        """A session comes into doubt."""
        if not self._since:
            self.moved_ns = now_ns  # the clock starts; another arrival is no movement
        self._since[session] = now_ns
        self.peak = max(self.peak, len(self._since))

    def move(self, session: SessionId, now_ns: int) -> None:
        """An entry heard from its peer: it is slow, not stuck."""
        if session in self._since:
            self.moved_ns = now_ns

    def end(self, session: SessionId, now_ns: int) -> None:
        """An entry is proven quiescent."""
        stay = now_ns - self._since.pop(session)
        if self.longest is None or stay > self.longest[0]:
            self.longest = stay, session
        self.moved_ns = now_ns

    def pause_ns(self, session: SessionId, now_ns: int) -> int:
        """How long an entry may wait before it asks again: the longer, the longer it is here."""
        return (now_ns - self._since[session]) // ASKS

    def oldest(self) -> SessionId | None:
        """Whose the oldest entry is; None if there is none."""
        return next(iter(self._since), None)

    def oldest_ns(self) -> int:
        """Since when the oldest entry is here; NEVER if there is none."""
        return next(iter(self._since.values())) if self._since else NEVER
