"""What carries a group's collectives: the slots of all members, payloads that did not fit, and the
word that ends a wait.

All members come to the same rounds in the same order. A round may be interrupted by a rank failure:
it then raises `MPI.Exception`, perhaps on some members only, and `recovery` takes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mpi4py import MPI

from adpkv.worlds.mpi.call_site import CallSite

__all__ = ["Exchange"]


class Exchange(Protocol):
    """One member's end of it."""

    @property
    def name(self) -> str:
        """What carries it, in the words of `topology.collectives`."""
        ...

    @property
    def communicators(self) -> Sequence[MPI.Comm]:
        """All that a revoke must reach."""
        ...

    def slots(
        self,
        site: CallSite,
        changed: bytes,
        group: int,
        sequence: int,
        iteration: int,
        code: int,
        digest: int,
    ) -> bool:
        """Contribute a slot: a head, by its words (`slot_layout.HEAD_WORDS`; the first is the
        site's tag), and the payload in its tail if that has `changed` and fits. Puts the heads of
        all members in order into `site.heads`, all of the same round. True if they are equal: all
        members are here, and nobody says anything new. Where some are in another collective, the
        heads of members that have not come may be all zero.

        Raises:
            MPI.Exception: a rank failure interrupted it.
        """
        ...

    def tail(self, member: int, length: int) -> bytes:
        """The payload in a member's slot, as of the last round."""
        ...

    def payloads(self, own: bytes, lengths: Sequence[int]) -> bytes | bytearray:
        """Contribute a payload of any length; returns those of all members, one after the other.
        `lengths` are those of all members, which all know.

        Raises:
            MPI.Exception: a rank failure interrupted it.
        """
        ...

    def places(self, own: bytes) -> Sequence[bytes]:
        """Some slots said that their members are in another collective: returns what each member
        calls the one that it is in, as far as it is known, cut to a fixed size. `own` is this
        rank's.

        Raises:
            MPI.Exception: a rank failure interrupted it.
        """
        ...

    def woken(self, number: int) -> bool:
        """Has any member ended the wait with this number? A wait and a collective never have the
        same number, and a later one has a higher.

        Raises:
            MPI.Exception: a rank has failed.
        """
        ...

    def wake(self, number: int) -> None:
        """End this wait for all members."""
        ...

    def check(self) -> None:
        """To be called where slots that were received make no sense.

        Raises:
            MPI.Exception: they may be incomplete, because of a rank failure.
        """
        ...

    def break_off(self) -> None:
        """Interrupt all members that can be reached from here. From any thread."""
        ...

    def close(self) -> None:
        """Give everything back. Every member must call it."""
        ...
