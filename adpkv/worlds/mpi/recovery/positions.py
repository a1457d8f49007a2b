"""Where each living rank is when a rank has failed, and how they agree again: pure functions, no
MPI.

A collective that a rank failure breaks may have completed on some ranks and failed on others. So
the members of a group can be one collective apart, and one wait, which is no collective. They agree
on the furthest position. A rank that is behind gets the content of the collective that it missed
from a rank that completed it, and skips waits, until all are at the same collective. There, members
of a group with a failed rank get an exception, and the other groups go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adpkv.worlds.mpi.call_site import CallSite

__all__ = ["Contributions", "RankPosition", "ReplayedCollective", "sources", "targets"]


class Contributions(msgspec.Struct, frozen=True, array_like=True):
    """The heads of all members in one collective, and their payloads."""

    heads: bytes
    payloads: tuple[bytes, ...]


class ReplayedCollective:
    """An exchange that replays one collective with what another rank received in it."""

    name = "replayed"
    communicators: tuple[()] = ()

    def __init__(self, contributions: Contributions) -> None:
        self._contributions = contributions

    def slots(self, site: CallSite, changed: bytes, *place: int) -> bool:
        """The heads as they were."""
        site.heads = self._contributions.heads
        return False

    def tail(self, member: int, length: int) -> bytes:
        """A payload that fitted."""
        return self._contributions.payloads[member]

    def payloads(self, own: bytes, lengths: Sequence[int]) -> bytes:
        """The payloads of the second round."""
        told = zip(self._contributions.payloads, lengths, strict=True)
        return b"".join(payload for payload, length in told if length)

    def places(self, own: bytes) -> Sequence[bytes]:
        """All were in the same collective, or nobody would have completed it."""
        return []

    def woken(self, number: int) -> bool:
        """Waits are skipped, not replayed."""
        return True

    def wake(self, number: int) -> None:
        """Nobody waits here."""

    def check(self) -> None:
        """The collective is over, and was complete."""

    def break_off(self) -> None:
        """Nobody waits here."""

    def close(self) -> None:
        """Nothing is held."""


class RankPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where one rank is, as it tells the other living ones."""

    rank: int
    next: dict[int, int]
    """By group: the number of the collective in which the rank is, or to which it comes next."""
    messages: dict[int, int]
    """By rank: how many of its messages this rank has received. `coordinator`: the same of messages
    to the coordinator."""
    coordinator: dict[int, int]


def targets(positions: Sequence[RankPosition]) -> dict[int, int]:
    """By group: the number of the collective from which all living members go on together."""
    found: dict[int, int] = {}
    for position in positions:
        for group, number in position.next.items():
            found[group] = max(found.get(group, 0), number)
    return found


def sources(positions: Sequence[RankPosition]) -> Mapping[int, tuple[int, int]]:
    """By group in which a member is behind: (a rank that has the missing collective, its
    number)."""
    first = {group: number for s in positions for group, number in s.next.items()}
    for position in positions:
        for group, number in position.next.items():
            first[group] = min(first[group], number)
    found: dict[int, tuple[int, int]] = {}
    for position in positions:
        for group, number in position.next.items():
            if number > first[group]:
                found.setdefault(group, (position.rank, first[group]))
    return found
