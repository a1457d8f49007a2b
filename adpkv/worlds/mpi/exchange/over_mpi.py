"""A group's exchange over MPI: `Allgather` of the slots, `Allgatherv` of payloads that do not fit.

Each has a communicator of its own, so that a slot can never be received as something else. A rank
waits inside MPI. A revoke ends that wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from mpi4py import MPI

from adpkv.flight_recorder.slot_layout import (
    HEAD_BYTES,
    HEAD_WORDS,
    SLOT_BYTES,
    TAIL_BYTES,
    TOLD_BYTES,
)
from adpkv.worlds.mpi.call_site import AGAIN, CallSite
from adpkv.worlds.mpi.communicators import raise_if_revoked
from adpkv.worlds.mpi.exchange.wakes import WakeMessages

__all__ = ["MpiExchange", "told"]

_IN_PLACE: Final = MPI.IN_PLACE  # the own slot is in the receive buffer already


class MpiExchange:
    """One member's end. `communicator` is of the members, and is duplicated."""

    name = "mpi"

    def __init__(self, communicator: MPI.Comm) -> None:
        self._slots, self._payloads = communicator.Dup(), communicator.Dup()
        waking = communicator.Dup()
        self._wakes = WakeMessages(waking)
        self.woken, self.wake = self._wakes.woken, self._wakes.wake
        self.communicators = (self._slots, self._payloads, waking)
        self._size = communicator.size
        self._landing = bytearray(SLOT_BYTES * communicator.size)
        self._own = SLOT_BYTES * communicator.rank
        # Made once: mpi4py need not look at the buffer again on each call.
        self._receive = [self._landing, SLOT_BYTES, MPI.BYTE]
        self._heads = Struct(f"{HEAD_BYTES}s{TAIL_BYTES}x" * communicator.size).unpack
        self._round = 0

    def slots(self, site: CallSite, changed: bytes, *place: int) -> bool:
        """Contribute a slot."""
        self._round = number = self._round + 1
        HEAD_WORDS.pack_into(self._landing, self._own, site.tag, *place, number)
        if changed:
            at = self._own + HEAD_BYTES
            self._landing[at : at + len(changed)] = changed
        self._slots.Allgather(_IN_PLACE, self._receive)
        heads = site.heads = b"".join(self._heads(self._landing))
        return site.tag == AGAIN and heads == heads[:HEAD_BYTES] * self._size

    def tail(self, member: int, length: int) -> bytes:
        """The payload in a member's slot."""
        at = member * SLOT_BYTES + HEAD_BYTES
        return bytes(self._landing[at : at + length])

    def payloads(self, own: bytes, lengths: Sequence[int]) -> bytearray:
        """The payloads of all members."""
        landed = bytearray(sum(lengths))
        self._payloads.Allgatherv([own, len(own), MPI.BYTE], [landed, lengths, MPI.BYTE])
        raise_if_revoked(self._payloads)
        return landed

    def places(self, own: bytes) -> Sequence[bytes]:
        """A round of payloads: members that disagree are all here."""
        size = self._slots.size
        landed = self.payloads(told(own), [TOLD_BYTES] * size)
        return [bytes(landed[at : at + TOLD_BYTES]) for at in range(0, len(landed), TOLD_BYTES)]

    def check(self) -> None:
        """MPI was seen to return from a collective without its bytes when another rank revoked the
        communicator."""
        raise_if_revoked(self._slots)

    def break_off(self) -> None:
        """Nothing to do: who interrupts the members revokes the communicators."""

    def close(self) -> None:
        """Free the communicators."""
        self._wakes.close()
        for communicator in self.communicators:
            communicator.Free()


def told(text: bytes) -> bytes:
    """As it is told to others."""
    return text[:TOLD_BYTES].ljust(TOLD_BYTES, b"\0")
