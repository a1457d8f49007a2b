"""What a rank remembers of its own failures, so that what fails fast attracts no traffic.

A rank that fails at once has the smallest load, and would get every next request. So a rank whose
last requests failed is *avoided*: its status says so, and the group (`core.plan`) and the
coordinator (`core.fleet`) give it none while others are trusted. When a pause is over it gets one
request, a *probe*. If that is served, the rank is readmitted; if not, the next pause is twice as
long. The memory is the rank's own, so no failure of a leader loses it. Pure; in nanoseconds.

A transfer has two ends, and often neither knows which one failed. Failures with several peers in a
row speak against this rank; those with one peer alone may be the peer's, so it takes twice as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec

from adpkv.core.ids import NEVER
from adpkv.core.rank_failure import Attempt

__all__ = [
    "Avoidance",
    "FailureMemory",
    "FailureRow",
    "MemoryLimits",
    "Trust",
    "advice",
    "is_failing",
]


class Trust(IntEnum):
    """How many new requests a rank should get. Those that insist on it do not ask."""

    FULL = 0
    """Any."""
    PROBE = 1
    """One: its pause is over."""
    NONE = 2
    """None, while other ranks are trusted."""


# Looked up once: to look a member up in its enum takes longer than what is done with it.
_FULL: Final = Trust.FULL
_NONE: Final = Trust.NONE
_PROBE: Final = Trust.PROBE


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """When a rank is avoided, and for how long."""

    after: int = 0
    """How many requests in a row must have failed; 0: no rank is avoided."""
    pause_ns: int = 1
    longest_pause_ns: int = 1


class FailureRow(msgspec.Struct):
    """The failures since the last success."""

    own: int = 0
    """Those that this rank knows to be its own."""
    shared: int = 0
    """Transfers that failed at one of their two ends."""
    peers: set[int] = set()
    """The other ends of those."""


def is_failing(row: FailureRow, after: int) -> bool:
    """Whether a rank with this row of failures is to be avoided."""
    failed = row.own + row.shared
    if failed < after:
        return False
    return row.own >= after or len(row.peers) > 1 or failed >= 2 * after


def advice(trusts: Sequence[Trust], most: int) -> list[int]:
    """How many more requests each rank of a group should get, of at most `most`.

    While some ranks are trusted, the avoided ones get none and those due for a probe get one. Where
    none is trusted, those due get all; where none is due either, nobody can be avoided.
    """
    best = min(trusts)
    if best is _NONE or max(trusts) is best:
        return [most] * len(trusts)
    given = {_PROBE: 1, _NONE: 0, best: most}
    return [given[trust] for trust in trusts]


class Avoidance(msgspec.Struct, frozen=True, array_like=True):
    """How often a rank was avoided, for its report."""

    times: int = 0
    probes: int = 0
    readmitted: int = 0
    spent_ns: int = 0
    """For how long in all."""
    now: bool = False


class FailureMemory:
    """The failures of one rank's requests, and what follows for its trust.

    Each of `failed` and `served` returns whether the rank is avoided (again), or readmitted, by it.
    """

    def __init__(
        self,
        limits: MemoryLimits,
        failing: Callable[[FailureRow, int], bool] = is_failing,
    ) -> None:
        self._limits = limits
        self._failing = failing
        self.row = FailureRow()
        self.pause_ns = 0
        """The present pause; 0 while the rank is trusted."""
        self._until_ns = NEVER
        """When the pause is over, or was; `NEVER` while a probe is out, and while it is trusted."""
        self._since_ns = -1
        self.probe: Attempt | None = None
        self._times = self._probes = self._readmitted = self._spent_ns = 0

    @property
    def is_avoided(self) -> bool:
        """Whether it is not trusted."""
        return self.pause_ns > 0

    def trust(self, now_ns: int) -> Trust:
        """What the rank tells its group."""
        if not self.pause_ns:
            return _FULL
        return _PROBE if now_ns >= self._until_ns else _NONE

    def due_ns(self, seen_ns: int) -> int:
        """When the pause is over; `NEVER` if that was so by the last look, at `seen_ns`."""
        return self._until_ns if self._until_ns > seen_ns else NEVER

    def given(self, attempt: Attempt, now_ns: int) -> bool:
        """The rank gets a request. Returns whether it is a probe."""
        if now_ns < self._until_ns or self._until_ns == NEVER:
            return False
        self.probe, self._until_ns = attempt, NEVER
        self._probes += 1
        return True

    def failed(self, attempt: Attempt, peer: int | None, now_ns: int) -> bool:
        """A request failed, in a transfer with `peer`; None if the failure was surely this
        rank's."""
        if not self._limits.after:
            return False  # nobody is avoided: nothing is remembered
        if self.pause_ns and attempt != self.probe:
            return False  # it was given before the rank was avoided, or against the advice
        if not self.pause_ns:
            self._add(peer)
            if not self._failing(self.row, self._limits.after):
                return False
            self.pause_ns, self._since_ns = self._limits.pause_ns, now_ns
        else:
            self.pause_ns = min(2 * self.pause_ns, self._limits.longest_pause_ns)
        self.probe, self._until_ns = None, now_ns + self.pause_ns
        self._times += 1
        return True

    def _add(self, peer: int | None) -> None:
        if peer is None:
            self.row.own += 1
        else:
            self.row.shared += 1
            self.row.peers.add(peer)

    def served(self, attempt: Attempt, now_ns: int) -> bool:
        """A request was served, as far as this rank could fail it. While the rank is avoided only
        the probe counts: others may have been given before it fell ill."""
        if self.pause_ns:
            if attempt != self.probe:
                return False
            self._spent_ns += now_ns - self._since_ns
            self._readmitted += 1
            self.pause_ns, self._until_ns, self.probe = 0, NEVER, None
            self.row = FailureRow()
            return True
        if self.row.own or self.row.shared:
            self.row = FailureRow()
        return False

    def ended(self, attempt: Attempt, now_ns: int) -> None:
        """A request is over. If it is the probe, nothing was learned by it, and the next one is."""
        if self.probe == attempt:
            self.probe, self._until_ns = None, now_ns

    def counts(self, now_ns: int) -> Avoidance:
        """What there was so far."""
        open_ns = now_ns - self._since_ns if self.pause_ns else 0
        return Avoidance(
            self._times,
            self._probes,
            self._readmitted,
            self._spent_ns + open_ns,
            now=self.is_avoided,
        )
