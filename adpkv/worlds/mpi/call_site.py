"""One call site of a group's collectives: what this rank says there, and what all members have said
there last.

Most of what is said at a call site is what was said there the time before. So a payload is encoded
when it is another object, travels when its bytes are other ones, and is decoded when its member has
changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from zlib import crc32

from adpkv.flight_recorder.quick import SiteState
from adpkv.flight_recorder.slot_layout import TAIL_BYTES, paired
from adpkv.worlds.mpi.slots import NEW, code

__all__ = ["AGAIN", "CallSite"]

AGAIN: Final = 0
"""The tag of who says what it said at this site the time before."""


class CallSite(SiteState):
    """A kind at a place in the code.

    Args:
        kind, site: which one.
        size: how many members the group has.
        index: this rank's number among them.
    """

    def __init__(self, kind: str, site: str, size: int, index: int) -> None:
        self.kind = kind
        self._kind_code, self._site_code = code(kind), code(site)
        self.code = self.code_with("")
        """Kind and site, as they are in a head."""
        self._one = kind == "tp_broadcast"
        self._tells = self._one and not index
        self.speaks = not (self._one and index)
        """Whether it is this rank's payload that counts; else it is None."""
        if self._one:
            self._read = range(1 if index else 0)
        elif kind == "step" or (kind == "tp_gather" and index):
            self._read = range(0)
        else:
            self._read = range(size)
        self.payload: Any = None
        self.encoded, self.nbytes = b"", 0
        self.tag = paired(NEW, 0)
        """Of this rank's next head; the first payload is new, whatever it is."""
        self.heads = b""
        """Of all members in the last collective here."""
        self.payloads = [b""] * size
        """What each member has said last."""
        self._values: list[Any] = [None] * len(self._read)
        self.result: Any = None
        """The payloads that this rank reads: the leader's in a broadcast, which is its own on the
        leader; all in an all-gather and in a gather on the leader; None if it reads none."""

    def code_with(self, rest: str) -> int:
        """The code of a place where more must be equal than kind and site."""
        return paired(self._kind_code, crc32(rest.encode(), self._site_code))

    def say(self, payload: Any, encoded: bytes) -> bytes:
        """This rank says `payload` from now on; returns what goes into its slot for it: nothing if
        it is the same as before, or too long."""
        self.payload = payload
        if self._tells:
            self.result = payload
        if encoded == self.encoded:
            return b""
        self.encoded, self.nbytes = encoded, len(encoded)
        self.tag = paired(NEW, len(encoded))
        return encoded if len(encoded) <= TAIL_BYTES else b""

    def hear(self, said: Mapping[int, bytes], decode: Callable[[Any], Any]) -> None:
        """Some members say something new: `said`, by member. Payloads are frozen: those that have
        not changed stay the same objects."""
        for member, payload in said.items():
            self.payloads[member] = payload
            if member in self._read:
                self._values[member] = decode(payload)
        if self._read:
            self.result = self._values[0] if self._one else tuple(self._values)
        self.tag = AGAIN
