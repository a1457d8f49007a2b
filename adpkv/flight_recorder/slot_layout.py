"""The memory that the members of a group on one host share for their collectives: what is where.

::

    header      magic, sizes, group, epoch, token, ranks         written once
    broken      not 0: a rank has failed, so do not wait         a line
    across      the last round of slots that came from the other
                hosts, the last wait that ended there, the last
                round of long payloads                           a line
    lines       by member of this host: the last wait that it
                ended, its last round of long payloads           a line each
    told        by member of this host: where it is, as text,
                once it has seen a mismatch                      TOLD_BYTES each
    heads       two sets of the heads of all members             HEAD_BYTES each
    tails       two sets of their short payloads                 TAIL_BYTES each
    windows     two windows for payloads that do not fit         WINDOW_BYTES each

A slot is a head and a tail. A head is one cache line: whether a member says something new, where it
is, and, last, the number of the round. Round n uses set n % 2. A member
writes its tail if its payload has changed, then its head: who has read n in all heads may read all
heads and tails of round n. Nobody writes for round n + 2 before all have written n + 1, and a
member does that only after it has read round n: so two sets are enough. Rounds of long payloads
have numbers and windows of their own, likewise.

This takes a processor that shows stores to others in their order, and does not move a store before
an earlier load: x86-64 is such a one. A word is stored and loaded as a whole.

Anyone may read along (`slot_reader`): a head whose number is the same before and after is whole.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "ENDED_WAIT",
    "HEAD",
    "HEAD_BYTES",
    "HEAD_WORDS",
    "LINE_BYTES",
    "LONG_ROUND",
    "ROUND",
    "SLOT_BYTES",
    "TAG_BYTES",
    "TAIL_BYTES",
    "TOKEN_BYTES",
    "TOLD_BYTES",
    "WINDOW_BYTES",
    "WORD_BYTES",
    "Layout",
    "SlotPlace",
    "paired",
]

HEAD: Final = struct.Struct("<II iIQQIII 4xQ 8x")
"""The tag: whether a payload is new, its length. Then the place (`SlotPlace`), and the round."""

HEAD_WORDS: Final = struct.Struct("<7Q 8x")
"""The same as words, for who writes it: tag, group and epoch, sequence, iteration, kind and site,
digest, round. Packed straight into the memory: `struct` clears the line, then stores word by word,
so the round is 0 until all else is there."""

HEAD_BYTES: Final = HEAD.size
TAG_BYTES: Final = 8
ROUND_AT: Final = 48
TAIL_BYTES: Final = 192
SLOT_BYTES: Final = HEAD_BYTES + TAIL_BYTES

MAGIC: Final = b"ADPKVSEG"
VERSION: Final = 4
TOKEN_BYTES: Final = 16
HEADER: Final = struct.Struct(f"@8s3IiI{TOKEN_BYTES}s")
"""magic, version, members, members of this host, group, epoch, token. Behind it the world ranks of
all members, then which members are on this host, four bytes each."""

NUMBER_BYTES: Final = 4
WORD_BYTES: Final = 8
LINE_BYTES: Final = 128
"""Cache lines have 64 bytes, and processors fetch them in pairs."""

TOLD_BYTES: Final = LINE_BYTES
WINDOW_BYTES: Final = 256 << 10
"""Payloads that do not fit into slots go through a window, this much of them in each round."""

ROUND, ENDED_WAIT, LONG_ROUND = 0, 1, 2
"""What the words of a line are. The round of slots is in that of the other hosts only. Rounds of
long payloads have a word for each parity."""


def paired(first: int, second: int) -> int:
    """Two numbers of four bytes as a word."""
    return (first & 0xFFFFFFFF) | second << 32


class SlotPlace(NamedTuple):
    """What all members must agree on in a collective; kind and site as CRC-32 of their texts, the
    site with what else must be equal there, as a step's batch."""

    group: int
    epoch: int
    sequence: int
    iteration: int
    kind: int
    site: int
    digest: int
    """Of the last agreed plan."""

    @classmethod
    def read(cls, heads: bytes | bytearray, member: int = 0) -> SlotPlace:
        """That of one member's head."""
        return cls(*HEAD.unpack_from(heads, member * HEAD_BYTES)[2:-1])

    def describe(self) -> str:
        """For people, without kind and site: those are only hashes here."""
        return (
            f"group {self.group}, epoch {self.epoch}, iteration {self.iteration},"
            f" sequence {self.sequence}, plan {self.digest:08x}"
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """Whose memory it is, and where everything is in it. `ranks` are the world ranks of all
    members; `here` are the numbers of those on this host among them."""

    group: int
    epoch: int
    ranks: tuple[int, ...]
    here: tuple[int, ...]

    @property
    def first_line(self) -> int:
        """The offset of the first line, in bytes."""
        head = HEADER.size + NUMBER_BYTES * (len(self.ranks) + len(self.here))
        return -(-head // LINE_BYTES) * LINE_BYTES

    @property
    def broken(self) -> int:
        """The word that breaks off all waits. Words are counted from the beginning."""
        return self.first_line // WORD_BYTES

    @property
    def across(self) -> int:
        """The first word of the line of the other hosts."""
        return (self.first_line + LINE_BYTES) // WORD_BYTES

    def line(self, place: int) -> int:
        """The first word of the line of a member of this host; `place` counts these members."""
        return (self.first_line + (2 + place) * LINE_BYTES) // WORD_BYTES

    def told(self, place: int) -> slice:
        """The text of a member of this host."""
        first = self.first_line + (2 + len(self.here)) * LINE_BYTES + place * TOLD_BYTES
        return slice(first, first + TOLD_BYTES)

    def heads(self, number: int) -> slice:
        """All heads of the set for a round."""
        first = self.told(len(self.here)).start + (number & 1) * self.set_bytes
        return slice(first, first + len(self.ranks) * HEAD_BYTES)

    @property
    def set_bytes(self) -> int:
        """The size of a set of heads, in whole lines."""
        return -(-len(self.ranks) * HEAD_BYTES // LINE_BYTES) * LINE_BYTES

    def head(self, number: int, member: int) -> slice:
        """A member's head in the set for a round."""
        first = self.heads(number).start + member * HEAD_BYTES
        return slice(first, first + HEAD_BYTES)

    def round(self, number: int, member: int) -> int:
        """The word of a member's head that tells of which round it is."""
        first: int = self.head(number, member).start
        return (first + ROUND_AT) // WORD_BYTES

    def tail(self, number: int, member: int) -> slice:
        """A member's tail in the set for a round."""
        place = (number & 1) * len(self.ranks) + member
        first = self.heads(0).start + 2 * self.set_bytes + place * TAIL_BYTES
        return slice(first, first + TAIL_BYTES)

    def window(self, number: int) -> int:
        """The offset of the window for a round of long payloads."""
        first: int = self.tail(1, len(self.ranks)).start
        return first + (number & 1) * WINDOW_BYTES

    @property
    def total_bytes(self) -> int:
        """The size of all of it."""
        return self.window(1) + WINDOW_BYTES

    def header(self, token: bytes) -> bytes:
        """What stands at the beginning."""
        head = HEADER.pack(
            MAGIC, VERSION, len(self.ranks), len(self.here), self.group, self.epoch, token
        )
        return head + array("I", [*self.ranks, *self.here]).tobytes()

    @classmethod
    def read(cls, found: bytes) -> Layout | None:
        """The layout of memory that begins with these bytes; None if they are something else."""
        if len(found) < HEADER.size or not found.startswith(MAGIC):
            return None
        _, version, members, here, group, epoch, _ = HEADER.unpack_from(found)
        numbers = array("I", found[HEADER.size :][: NUMBER_BYTES * (members + here)])
        if version != VERSION or len(numbers) != members + here or not here:
            return None
        layout = cls(group, epoch, tuple(numbers[:members]), tuple(numbers[members:]))
        return layout if all(member < members for member in layout.here) else None
